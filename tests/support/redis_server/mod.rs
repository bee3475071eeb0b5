//! A Redis server for a test: on a free port of this machine, with a directory of its own, and gone
//! afterwards.
#![allow(dead_code)] // each binary that mounts this uses its own part

pub mod asking;
pub mod cluster;
pub mod lab;
pub mod relay;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Whatever a test waits for has happened long before; if not, it fails instead of hanging.
pub const LONG: Duration = Duration::from_secs(120);

pub struct Server {
    process: Option<Child>,
    port: u16,
    directory: TempDir,
    options: Vec<String>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Started with more options. What it has acknowledged is on its disk.
    pub fn with(options: &[&str]) -> Self {
        let mut server = Self {
            process: None,
            port: free_port(),
            directory: TempDir::new().expect("a directory"),
            options: options.iter().map(|option| option.to_string()).collect(),
        };
        // Another process may take the port before the server does.
        while !server.try_start() {
            server.port = free_port();
        }
        server
    }

    /// Started again, after it was killed: on the same port, with what is on its disk.
    pub fn restart(&mut self) {
        assert!(self.try_start(), "the server does not start again");
    }

    fn try_start(&mut self) -> bool {
        let mut process = Command::new(binary())
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .args(["--save", "", "--daemonize", "no"])
            // A replica is served at once, not after waiting for others.
            .args(["--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed: apt-get install redis-server");
        while process.try_wait().expect("a process").is_none() {
            if self.is_ready(process.id()) {
                self.process = Some(process);
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Whether this very process answers: another server may have got the port.
    fn is_ready(&self, process: u32) -> bool {
        let answer = self.command("INFO");
        let is_own = answer.contains(&format!("process_id:{process}\r"));
        is_own && answer.contains("\nloading:0\r") || answer.starts_with("-NOAUTH")
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the server can be killed");
            process.wait().expect("the server has ended");
        }
    }

    /// Lets it stand still, or go on.
    pub fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("the server runs");
        let sent = Command::new("kill")
            .args(["-s", signal, &process.id().to_string()])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill -s {signal}"
        );
    }

    /// Sends a command, as it is typed, and returns what comes back at first.
    pub fn command(&self, line: &str) -> String {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            return String::new();
        };
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        let mut answer = vec![0; 1 << 16];
        let sent = stream.write_all(format!("{line}\r\n").as_bytes());
        match sent.and_then(|()| stream.read(&mut answer)) {
            Ok(length) => String::from_utf8_lossy(&answer[..length]).into_owned(),
            Err(_) => String::new(),
        }
    }

    /// A command that must succeed.
    #[track_caller]
    pub fn must(&self, line: &str) -> String {
        let answer = self.command(line);
        assert!(
            !answer.starts_with('-') && !answer.is_empty(),
            "{line}: {answer}"
        );
        answer
    }

    /// Waits until a replica has all that was written here until now.
    pub fn wait_for_replica(&self, replica: &Self) {
        let written = self.replicated("master_repl_offset:");
        while replica.replicated("slave_repl_offset:") < written {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn replicated(&self, field: &str) -> u64 {
        let info = self.must("INFO replication");
        let offset = info.lines().find_map(|line| line.strip_prefix(field));
        offset.map_or(0, |offset| offset.trim().parse().expect("a number"))
    }

    /// How many scripts it was asked to run since its statistics were reset.
    pub fn scripts(&self) -> u64 {
        let stats = self.must("INFO commandstats");
        let calls = |command: &str| {
            let calls = stats.split(&format!("cmdstat_{command}:calls=")).nth(1);
            let digits = calls.and_then(|calls| calls.split(',').next());
            digits.map_or(0, |digits| digits.parse().expect("a number"))
        };
        calls("evalsha") + calls("eval")
    }

    /// The names of all keys.
    pub fn keys(&self) -> Vec<String> {
        let answer = self.must("KEYS *");
        let lines = answer.lines().filter(|line| !line.starts_with(['*', '$']));
        lines.map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server to test with: `DWELL_REDIS_SERVER`, or the one of the system.
pub fn binary() -> std::ffi::OsString {
    std::env::var_os("DWELL_REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A runtime for a test.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}
