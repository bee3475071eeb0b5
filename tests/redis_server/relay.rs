//! Stands between a client and a server: what is sent can be lost on the way, and the server be another one.

use super::Server;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

pub struct Relay {
    pub address: String,
    is_silent: Arc<AtomicBool>,
    port: Arc<AtomicU16>,
}

impl Relay {
    pub fn to(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Self {
            address: format!("redis://{}/", listener.local_addr().unwrap()),
            is_silent: Arc::new(AtomicBool::new(false)),
            port: Arc::new(AtomicU16::new(server.port())),
        };
        let (port, silent) = (Arc::clone(&relay.port), Arc::clone(&relay.is_silent));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let port = port.load(Ordering::Relaxed);
                let Ok(upstream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
                    continue; // the client finds its connection closed
                };
                let (other_client, other_upstream) =
                    (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                let (one, two) = (Arc::clone(&silent), Arc::clone(&silent));
                std::thread::spawn(move || pass(client, upstream, &one));
                std::thread::spawn(move || pass(other_upstream, other_client, &two));
            }
        });
        relay
    }

    /// Loses everything without a word from now on, or passes it on again.
    pub fn be_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// New connections go to another server.
    pub fn turn_to(&self, server: &Server) {
        self.port.store(server.port(), Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_silent: &AtomicBool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        // Or it is lost on the way.
        if !is_silent.load(Ordering::Relaxed) && to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    // The other side shall know.
    let _ = to.shutdown(std::net::Shutdown::Both);
}
