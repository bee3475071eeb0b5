//! A cluster of servers for a test. Each has a part of the slots.

use super::Server;
use std::time::Duration;

const SLOTS: u16 = 16_384;

pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    pub fn start(masters: u16) -> Self {
        let mut cluster = Self { nodes: Vec::new() };
        for number in 0..masters {
            let node = Server::with(&["--cluster-enabled", "yes"]);
            let (first, end) = (number * (SLOTS / masters), (number + 1) * (SLOTS / masters));
            let last = if number + 1 == masters { SLOTS } else { end } - 1;
            node.must(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
            // They would agree on that too, but later.
            node.must(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            cluster.join(node);
        }
        cluster
    }

    /// Adds a replica of a node, and returns its number.
    pub fn add_replica(&mut self, of: usize) -> usize {
        self.join(Server::with(&["--cluster-enabled", "yes"]));
        let number = self.nodes.len() - 1;
        let command = format!("CLUSTER REPLICATE {}", self.id(of));
        self.nodes[number].must(&command);
        self.wait_for(number, "INFO replication", "master_link_status:up");
        number
    }

    fn join(&mut self, node: Server) {
        if let Some(first) = self.nodes.first() {
            first.must(&format!("CLUSTER MEET 127.0.0.1 {}", node.port()));
        }
        self.nodes.push(node);
        let all = format!("cluster_known_nodes:{}\r", self.nodes.len());
        for number in 0..self.nodes.len() {
            self.wait_for(number, "CLUSTER INFO", &all);
        }
    }

    /// Waits until all slots are served, as each node sees it.
    pub fn wait(&self) {
        for number in 0..self.nodes.len() {
            self.wait_for(number, "CLUSTER INFO", "cluster_state:ok");
        }
    }

    /// Waits until a node says something.
    pub fn wait_for(&self, number: usize, command: &str, expected: &str) {
        while !self.nodes[number].must(command).contains(expected) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn address(&self, number: usize) -> String {
        self.nodes[number].address()
    }

    fn id(&self, number: usize) -> String {
        let answer = self.nodes[number].must("CLUSTER MYID");
        answer.lines().nth(1).expect("an id").to_owned()
    }

    /// The number of the node that has a key.
    pub fn holder(&self, key: &str) -> usize {
        let has = |node: &Server| node.keys().iter().any(|found| found == key);
        self.nodes.iter().position(has).expect("a node has the key")
    }

    pub fn slot(&self, key: &str) -> u16 {
        let answer = self.nodes[0].must(&format!("CLUSTER KEYSLOT {key}"));
        let number = answer.trim_start_matches(':').trim();
        number.parse().expect("a slot")
    }

    /// Begins to move the slot of a key, and moves the key: its node answers `ASK` from now on.
    pub fn begin_to_move(&self, key: &str, from: usize, to: usize) {
        let slot = self.slot(key);
        let (giver, taker) = (&self.nodes[from], &self.nodes[to]);
        taker.must(&format!(
            "CLUSTER SETSLOT {slot} IMPORTING {}",
            self.id(from)
        ));
        giver.must(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", self.id(to)));
        giver.must(&format!("MIGRATE 127.0.0.1 {} {key} 0 10000", taker.port()));
    }

    /// The slot has moved: its former node answers `MOVED` from now on.
    pub fn end_to_move(&self, key: &str, to: usize) {
        let command = format!("CLUSTER SETSLOT {} NODE {}", self.slot(key), self.id(to));
        self.nodes[to].must(&command);
        for node in &self.nodes {
            node.must(&command);
        }
    }

    /// How often the nodes have sent a client elsewhere since their statistics were reset.
    pub fn redirections(&self, kind: &str) -> u64 {
        let count = |node: &Server| {
            let errors = node.must("INFO errorstats");
            let start = format!("errorstat_{kind}:count=");
            let line = errors.lines().find_map(|line| line.strip_prefix(&start));
            line.map_or(0, |count| count.trim().parse().expect("a number"))
        };
        self.nodes.iter().map(count).sum()
    }

    pub fn reset_statistics(&self) {
        for node in &self.nodes {
            node.must("CONFIG RESETSTAT");
        }
    }
}
