//! tokio's multi-thread runtime; each request is a `spawn` on a rayon pool, and comes back through a oneshot channel.

use peers::connection::accept_all;
use peers::{arguments, compute};
use rayon_core::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

fn main() -> std::io::Result<()> {
    let (port, workers) = arguments();
    let pool = ThreadPoolBuilder::new().num_threads(workers).build().map_err(std::io::Error::other)?;
    let pool: &'static ThreadPool = Box::leak(Box::new(pool));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    runtime.block_on(accept_all(port, move |line| {
        let (reply, answer) = oneshot::channel();
        pool.spawn(move || {
            // Nobody may be waiting any more: the client has left.
            let _ = reply.send(compute(&line));
        });
        async { answer.await.expect("every task is answered") }
    }))
}
