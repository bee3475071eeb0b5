//! Whether the server ends sessions by itself when its memory is full (`maxmemory-policy`).
//!
//! A server that evicts may give up an owner's index and keep the owner's sessions: "log out
//! everywhere" would miss them. So each connection asks when it is made, and a server that evicts
//! is refused, unless that is allowed. A server that does not tell, such as one behind a proxy or
//! with an ACL that forbids `INFO`, is taken as it is.

use super::failure::RedisFailure;
use redis::aio::MultiplexedConnection;

/// Refuses a server that may evict. It can only if its memory is bounded.
pub(super) async fn refuse(connection: &mut MultiplexedConnection) -> Result<(), RedisFailure> {
    let mut ask = redis::cmd("INFO");
    let told: Result<String, _> = ask.arg("memory").query_async(connection).await;
    let info = match told.map_err(RedisFailure::to_answer) {
        Ok(info) => info,
        Err(RedisFailure::Denied(_) | RedisFailure::Other(_)) => return Ok(()),
        Err(RedisFailure::Interrupted(error)) => return Err(RedisFailure::Unreachable(error)),
        Err(failure) => return Err(failure),
    };
    let field = |name| {
        let value = info.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_default().trim()
    };
    let (bound, policy) = (field("maxmemory:"), field("maxmemory_policy:"));
    match (bound, policy) {
        ("" | "0", _) | (_, "" | "noeviction") => Ok(()),
        (_, policy) => Err(RedisFailure::Evicts {
            policy: policy.to_owned(),
        }),
    }
}
