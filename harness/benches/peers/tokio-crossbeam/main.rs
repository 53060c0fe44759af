//! tokio on one thread, as the event loop; requests go to worker threads through a bounded crossbeam channel. Workers
//! leave outcomes in a list and wake the loop only if the list was empty, so one wake-up may bring many outcomes. If the
//! channel is full, the loop waits for a worker.

use std::sync::Mutex;

use crossbeam_channel::{Receiver, Sender, bounded};
use peers::connection::accept_all;
use peers::{Outcome, arguments, compute};
use tokio::sync::{Notify, oneshot};

/// Most tasks that may wait for a worker.
const CAPACITY: usize = 1024;

struct Task {
    line: Vec<u8>,
    reply: oneshot::Sender<Outcome>,
}

/// What the workers have computed and the loop has not yet seen.
#[derive(Default)]
struct Finished {
    list: Mutex<Vec<(oneshot::Sender<Outcome>, Outcome)>>,
    is_not_empty: Notify,
}

fn main() -> std::io::Result<()> {
    let (port, workers) = arguments();
    let (tasks, queue) = bounded(CAPACITY);
    let finished: &'static Finished = Box::leak(Box::default());
    for _ in 0..workers {
        let queue = queue.clone();
        std::thread::spawn(move || work(&queue, finished));
    }
    let tasks: &'static Sender<Task> = Box::leak(Box::new(tasks));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.spawn(distribute(finished));
    runtime.block_on(accept_all(port, move |line| {
        let (reply, answer) = oneshot::channel();
        tasks.send(Task { line, reply }).expect("the workers never leave");
        async { answer.await.expect("every task is answered") }
    }))
}

fn work(queue: &Receiver<Task>, finished: &Finished) {
    for Task { line, reply } in queue {
        let outcome = compute(&line);
        let mut list = finished.list.lock().expect("nobody panics");
        list.push((reply, outcome));
        let is_first = list.len() == 1;
        drop(list);
        if is_first {
            finished.is_not_empty.notify_one();
        }
    }
}

/// Runs on the loop: gives the outcomes to the connections that wait for them.
async fn distribute(finished: &Finished) {
    let mut taken = Vec::new();
    loop {
        finished.is_not_empty.notified().await;
        std::mem::swap(&mut *finished.list.lock().expect("nobody panics"), &mut taken);
        for (reply, outcome) in taken.drain(..) {
            // Nobody may be waiting any more: the client has left.
            let _ = reply.send(outcome);
        }
    }
}
