//! The workers, a bounded channel towards them and a mailbox back.

use crate::sys::{self, EventFd};
use std::io::Result;
use std::sync::atomic::{fence, AtomicBool, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

pub struct Task {
    pub client: u64,
    pub turn: u64,
    pub text: Vec<u8>,
}

pub struct Done {
    pub client: u64,
    pub turn: u64,
    pub answer: String,
}

/// What VALUE is looked up in. The same in every run.
pub struct Table([u64; 256]);

impl Table {
    /// Burns half a second of CPU time: a server that is slow to start.
    pub fn compute() -> Self {
        let until = sys::cpu_ms() + 500;
        loop {
            let mut x: u64 = 0x9E37_79B9_7F4A_7C15;
            let table = std::array::from_fn(|_| {
                for _ in 0..64 {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                }
                x
            });
            if sys::cpu_ms() >= until {
                return Self(table);
            }
            std::hint::black_box(&table);
        }
    }

    fn value(&self, text: &[u8]) -> u64 {
        text.iter()
            .fold(text.len() as u64, |sum, &byte| sum.rotate_left(9).wrapping_add(self.0[usize::from(byte)]))
    }
}

struct Shared {
    tasks: Mutex<Receiver<Task>>, // held by the one worker that waits; the others wait for the lock
    done: Mutex<Vec<Done>>,
    loop_wants_room: AtomicBool,
}

pub struct Pool {
    sender: SyncSender<Task>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    pub fn start(workers: usize, capacity: usize, bell: &Arc<EventFd>, table: &Arc<Table>) -> Result<Self> {
        let (sender, receiver) = sync_channel(capacity);
        let shared = Arc::new(Shared {
            tasks: Mutex::new(receiver),
            done: Mutex::new(Vec::new()),
            loop_wants_room: AtomicBool::new(false),
        });
        let threads = (0..workers)
            .map(|i| {
                let (shared, bell, table) = (shared.clone(), bell.clone(), table.clone());
                Builder::new().name(format!("worker-{i}")).spawn(move || worker(&shared, &bell, &table))
            })
            .collect::<Result<_>>()?;
        Ok(Self { sender, shared, threads })
    }

    /// Gives the task back when the queue is full. Then the bell rings as soon as there is room.
    pub fn push(&self, task: Task) -> std::result::Result<(), Task> {
        let Err(TrySendError::Full(task)) = self.sender.try_send(task) else { return Ok(()) };
        self.shared.loop_wants_room.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst); // either this second try sees the room, or the worker that made it sees the wish
        match self.sender.try_send(task) {
            Err(TrySendError::Full(task)) => Err(task),
            _ => Ok(()),
        }
    }

    pub fn collect(&self) -> Vec<Done> {
        std::mem::take(&mut *self.shared.done.lock().expect("no panic under this lock"))
    }

    /// The workers finish what is in the channel.
    pub fn join(self) {
        drop(self.sender);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn worker(shared: &Shared, bell: &EventFd, table: &Table) {
    loop {
        let next = shared.tasks.lock().expect("no panic under this lock").recv();
        let Ok(task) = next else { return };
        fence(Ordering::SeqCst);
        if shared.loop_wants_room.swap(false, Ordering::SeqCst) {
            bell.ring();
        }
        let answer = match work(table, &task.text) {
            Ok(value) => format!("result: {value}\n"),
            Err(message) => format!("ERROR: {message}\n"),
        };
        shared.done.lock().expect("no panic under this lock").push(Done {
            client: task.client,
            turn: task.turn,
            answer,
        });
        bell.ring();
    }
}

fn work(table: &Table, text: &[u8]) -> std::result::Result<u64, &'static str> {
    if text.is_empty() || text.starts_with(b"bad") {
        return Err("invalid input");
    }
    let spin = text.strip_prefix(b"spin ").and_then(|ms| std::str::from_utf8(ms).ok()?.parse::<u32>().ok());
    if let Some(ms) = spin {
        let until = sys::cpu_ms() + u64::from(ms).min(60_000);
        while sys::cpu_ms() < until {
            std::hint::black_box(table.value(&[0; 4096]));
        }
    }
    Ok(table.value(text))
}
