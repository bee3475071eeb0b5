//! A server on a loopback port, and a client that sends any bytes at all.
#![allow(dead_code)] // each binary that mounts this uses its own part

use axum::Router;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Deref;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Longer than any answer takes, so that a test which hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// An axum server, which stops when this is dropped, and a client of it.
pub struct Server {
    client: Client,
    _runtime: Runtime,
}

impl Server {
    pub fn new(router: Router) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, router).await });
        Self {
            client: Client(address),
            _runtime: runtime,
        }
    }
}

impl Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A client of the server at an address, with a connection for each request.
pub struct Client(pub SocketAddr);

impl Client {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.0).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request with these header lines, each of which ends in `\r\n`.
    pub fn send(&self, path: &str, headers: &[u8]) -> Answer {
        let mut stream = self.connect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        let request = [head.as_bytes(), headers, b"\r\n"].concat();
        // A server that has read enough may hang up.
        let _ = stream.write_all(&request);
        Answer::read(stream)
    }

    pub fn get(&self, path: &str, cookie: Option<&str>) -> Answer {
        let header = cookie.map(|cookie| format!("Cookie: {cookie}\r\n"));
        self.send(path, header.unwrap_or_default().as_bytes())
    }

    /// Announces a body, sends a part of it, and goes away.
    pub fn abort(&self, path: &str, cookie: &str) -> Answer {
        let mut stream = self.connect();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookie}\r\n\
             Content-Length: 1000\r\n\r\na part"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        Answer::read(stream)
    }
}

/// What the server said: nothing at all, perhaps.
#[derive(Debug)]
pub struct Answer {
    text: String,
}

impl Answer {
    pub fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut bytes);
        Self {
            text: String::from_utf8(bytes).expect("a text"),
        }
    }

    /// None if the server hung up.
    pub fn status(&self) -> Option<u16> {
        self.text
            .split(' ')
            .nth(1)
            .map(|code| code.parse().unwrap())
    }

    fn parts(&self) -> (&str, &str) {
        self.text.split_once("\r\n\r\n").expect("a head and a body")
    }

    pub fn head(&self) -> &str {
        self.parts().0
    }

    pub fn body(&self) -> &str {
        self.parts().1
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head().lines().skip(1);
        lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// Name and value of the one cookie that is set.
    pub fn cookie(&self) -> Option<&str> {
        let cookies = self.headers("set-cookie");
        assert!(cookies.len() <= 1, "one cookie at the most: {cookies:?}");
        cookies.first()?.split(';').next()
    }
}
