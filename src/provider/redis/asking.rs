//! A connection to a node that a slot is on its way to: it answers for that slot only if it is told
//! so before each request (`ASKING`).

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisFuture, Value};

pub(super) struct Asking<'a>(pub(super) &'a mut MultiplexedConnection);

impl ConnectionLike for Asking<'_> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            // In one piece, so that nothing comes between.
            let mut both = redis::pipe();
            both.cmd("ASKING").add_command(command.clone());
            let answers = self.0.req_packed_commands(&both, 0, 2).await?;
            let none = (
                ErrorKind::UnexpectedReturnType,
                "fewer answers than requests",
            );
            Ok(answers.into_iter().nth(1).ok_or(none)?)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        // The scripts send single commands.
        self.0.req_packed_commands(commands, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}
