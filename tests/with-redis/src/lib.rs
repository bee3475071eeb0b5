//! What a Redis server did, as it counts itself. For the rest see `examples/` and `tests/`.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Sub;

/// What a server did since it started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Commands that clients sent; what scripts call is not counted again.
    pub commands: u64,
    /// Touches and changes of deadlines that were written down.
    pub expiries: u64,
    /// Of the server's processor time.
    pub micros: f64,
    /// Over the network, both ways.
    pub bytes: u64,
}

impl Usage {
    /// Asks the server at a port of this machine.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn of(port: u16) -> io::Result<Self> {
        let info = info(port)?;
        let number = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name));
            value.map_or(0.0, |value| value.trim().parse().unwrap_or(0.0))
        };
        let calls = |command: &str| {
            let found = info.split(&format!("cmdstat_{command}:calls=")).nth(1);
            let digits = found.and_then(|found| found.split(',').next());
            digits.map_or(0, |digits| digits.parse().unwrap_or(0))
        };
        Ok(Self {
            commands: ["evalsha", "get", "set", "del"].map(calls).iter().sum(),
            expiries: calls("pexpire"),
            micros: 1e6 * (number("used_cpu_user:") + number("used_cpu_sys:")),
            bytes: (number("total_net_input_bytes:") + number("total_net_output_bytes:")) as u64,
        })
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            commands: self.commands - before.commands,
            expiries: self.expiries - before.expiries,
            micros: self.micros - before.micros,
            bytes: self.bytes - before.bytes,
        }
    }
}

/// Bytes that the server uses for its data and what goes with it.
///
/// # Errors
/// If it does not answer.
pub fn memory(port: u16) -> io::Result<u64> {
    let info = info(port)?;
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    Ok(used.map_or(0, |used| used.trim().parse().unwrap_or(0)))
}

fn info(port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"INFO everything\r\nQUIT\r\n")?;
    let mut info = String::new();
    stream.read_to_string(&mut info)?;
    Ok(info)
}
