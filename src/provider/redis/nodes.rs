//! Which node of a cluster has what. One server is a cluster of one.
//!
//! Nobody asks for a map of the cluster: a node that is asked for what it does not have says who
//! has it (`MOVED`), and that is noted for the slot. If a node fails, all notes are given up, and
//! another one is asked where things are. A node says `ASK` while a slot moves: that counts for one
//! request, and is noted nowhere.

use super::failure::RedisFailure;
use crate::IdleMap;
use redis::{Client, ConnectionAddr, ErrorKind, ServerErrorKind};
use std::sync::Arc;
use std::time::Duration;

/// For how long a node that failed is not asked where things are, if there is another one.
const AVOIDED: Duration = Duration::from_secs(1);

/// A node: its host and port.
pub(super) type Node = Arc<str>;

/// Where a request goes.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) node: Node,
    /// The slot is on its way to this node.
    pub(super) is_asking: bool,
}

pub(super) struct Nodes {
    /// Those that the program was given.
    given: Vec<(Node, Client)>,
    /// Those that others told of.
    told: IdleMap<Node, ()>,
    by_slot: IdleMap<u16, Node>,
    failed: IdleMap<Node, ()>,
}

impl Nodes {
    /// There is at least one client.
    pub(super) fn new(clients: Vec<Client>) -> Self {
        let named = |client: Client| {
            let name = client.get_connection_info().addr().to_string();
            (Node::from(name), client)
        };
        Self {
            given: clients.into_iter().map(named).collect(),
            told: IdleMap::without_idle_timeout(),
            by_slot: IdleMap::without_idle_timeout(),
            failed: IdleMap::new(AVOIDED),
        }
    }

    /// The node that has a slot, or one that may know which node has.
    pub(super) fn home(&self, slot: u16) -> Node {
        match self.by_slot.peek(&slot) {
            Some(node) => Arc::clone(&node),
            None => self.guide(),
        }
    }

    fn guide(&self) -> Node {
        let is_fine = |node: &Node| self.failed.peek(node).is_none();
        let given = self.given.iter().map(|(node, _)| node);
        let fine = given.clone().find(|node| is_fine(node)).cloned();
        let told = || self.told.iter().map(|node| node.key().clone());
        fine.or_else(|| told().find(is_fine))
            .unwrap_or_else(|| Arc::clone(&self.given[0].0))
    }

    /// Where else a node says that a slot is, if that is what it says.
    pub(super) fn follow(&self, slot: u16, from: &Node, failure: &RedisFailure) -> Option<Way> {
        let RedisFailure::NotReady(error) = failure else {
            return None;
        };
        let (node, _) = error.redirect_node()?;
        let node = match node.strip_prefix(':') {
            // No host: the same one.
            Some(port) => format!("{}:{port}", from.rsplit_once(':')?.0).into(),
            None => Node::from(node),
        };
        let is_asking = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        if !is_asking {
            self.told.insert(Arc::clone(&node), ());
            self.by_slot.insert(slot, Arc::clone(&node));
        }
        Some(Way { node, is_asking })
    }

    /// A node is out of reach: others may know better where things are.
    pub(super) fn failed(&self, node: &Node) {
        self.failed.insert(Arc::clone(node), ());
        self.by_slot.clear();
    }

    /// Connects to a node.
    pub(super) fn client(&self, node: &Node) -> Result<Client, redis::RedisError> {
        if let Some((_, client)) = self.given.iter().find(|(given, _)| given == node) {
            return Ok(client.clone());
        }
        // As the others, but elsewhere.
        let like = self.given[0].1.get_connection_info().clone();
        let address = at(node, like.addr());
        let address =
            address.ok_or((ErrorKind::InvalidClientConfig, "a node without an address"))?;
        Client::open(like.set_addr(address))
    }

    /// Whether all nodes must be of a cluster: more than one was given.
    pub(super) fn must_be_cluster(&self) -> bool {
        self.given.len() > 1
    }
}

fn at(node: &str, like: &ConnectionAddr) -> Option<ConnectionAddr> {
    let (new_host, new_port) = node.rsplit_once(':')?;
    let mut address = like.clone();
    match &mut address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            *host = new_host.to_owned();
            *port = new_port.parse().ok()?;
        }
        _ => return None,
    }
    Some(address)
}
