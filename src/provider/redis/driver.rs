//! The thread that the connections live on.
//!
//! Each connection is served by a task. On the runtime of whoever made it that task would stand
//! still while a handler blocks its worker, and end with that runtime, for all who share the
//! connection. Here nobody blocks it, and it lives for as long as the provider does.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub(super) struct Driver {
    runtime: Handle,
    /// The thread ends when this is dropped.
    _running: oneshot::Sender<Infallible>,
}

impl Driver {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("dwell-redis".into());
        thread.spawn(move || runtime.block_on(ended))?;
        Ok(Self {
            runtime: handle,
            _running: running,
        })
    }

    /// Runs a task on the thread. It ends with the future that waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(task, &self.runtime);
        let ended = tasks.join_next().await.expect("there is a task");
        ended.map_err(io::Error::other)
    }
}
