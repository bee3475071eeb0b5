//! Stands between a client and a server: what is sent can be lost on the way or come twice, the
//! server be another one, and commands be unknown.

use super::Server;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

pub struct Relay {
    pub address: String,
    state: Arc<State>,
}

struct State {
    is_silent: AtomicBool,
    port: AtomicU16,
    /// How many of the next pieces that come from the server are passed on twice.
    twice: AtomicUsize,
    /// Commands that the server does not know, as far as the client sees.
    unknown: &'static [&'static str],
}

impl Relay {
    pub fn to(server: &Server) -> Self {
        Self::without(&[], server)
    }

    pub fn without(unknown: &'static [&'static str], server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let state = Arc::new(State {
            is_silent: AtomicBool::new(false),
            port: AtomicU16::new(server.port()),
            twice: AtomicUsize::new(0),
            unknown,
        });
        let relay = Self {
            address: format!("redis://{}/", listener.local_addr().unwrap()),
            state: Arc::clone(&state),
        };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let port = state.port.load(Ordering::Relaxed);
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
                    continue; // the client finds its connection closed
                };
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (one, two) = (Arc::clone(&state), Arc::clone(&state));
                std::thread::spawn(move || one.pass(client, server, |_, piece| one.rename(piece)));
                std::thread::spawn(move || {
                    two.pass(back.0, back.1, |from, piece| two.repeat(from, piece))
                });
            }
        });
        relay
    }

    /// Loses everything without a word from now on, or passes it on again.
    pub fn be_silent(&self, is_silent: bool) {
        self.state.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// New connections go to another server.
    pub fn turn_to(&self, server: &Server) {
        self.state.port.store(server.port(), Ordering::Relaxed);
    }

    /// Whether all that was to be repeated has been.
    pub fn has_repeated(&self) -> bool {
        self.state.twice.load(Ordering::Relaxed) == 0
    }

    /// Passes the next pieces from the server on twice.
    pub fn repeat_answers(&self, pieces: usize) {
        self.state.twice.store(pieces, Ordering::Relaxed);
    }
}

impl State {
    fn pass(
        &self,
        mut from: TcpStream,
        mut to: TcpStream,
        change: impl Fn(&mut TcpStream, &mut Vec<u8>),
    ) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let mut piece = bytes[..length].to_vec();
            change(&mut from, &mut piece);
            // Or it is lost on the way.
            if !self.is_silent.load(Ordering::Relaxed) && to.write_all(&piece).is_err() {
                break;
            }
        }
        // The other side shall know.
        let _ = to.shutdown(std::net::Shutdown::Both);
    }

    /// Puts a name that no server knows in the place of a command's.
    fn rename(&self, piece: &mut [u8]) {
        for name in self.unknown {
            let head = format!("\r\n${}\r\n{name}\r\n", name.len());
            let found = piece
                .windows(head.len())
                .position(|part| part == head.as_bytes());
            if let Some(at) = found {
                let end = at + head.len() - 2;
                piece[end - name.len()..end].fill(b'X');
            }
        }
    }

    fn repeat(&self, from: &mut TcpStream, piece: &mut Vec<u8>) {
        let less = |left: usize| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.twice.fetch_update(set, get, less).is_ok() {
            // Whole answers: a part of one would only be rubbish.
            let pause = std::time::Duration::from_millis(5);
            from.set_read_timeout(Some(pause)).unwrap();
            let mut more = [0; 1 << 12];
            while let Ok(length @ 1..) = from.read(&mut more) {
                piece.extend_from_slice(&more[..length]);
            }
            from.set_read_timeout(None).unwrap();
            piece.extend_from_within(..);
        }
    }
}
