//! tokio's multi-thread runtime; each request is a `spawn_blocking`.

use peers::connection::accept_all;
use peers::{arguments, compute};

fn main() -> std::io::Result<()> {
    let (port, workers) = arguments();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.max_blocking_threads(workers).enable_io().build()?;
    runtime.block_on(accept_all(port, |line| {
        let task = tokio::task::spawn_blocking(move || compute(&line));
        async { task.await.expect("computing does not panic") }
    }))
}
