//! What is measured: the queues, the situations, and what the server's queue shall reach.

use serde::Serialize;

/// One queue of the comparison. All but the ring in C are in `peers/queue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Queue {
    /// The server's own, one `push` for each task, as the others are used.
    PoolServer,
    /// The server's own as its event loop uses it: 16 tasks with one `push_all`.
    Batches,
    /// The plain ring of lesson 01, in C.
    CRing,
    /// The same ring in Rust, on `std::sync`.
    StdRing,
    /// `std::sync::mpsc::sync_channel`.
    SyncChannel,
    /// `crossbeam_channel::bounded`.
    Crossbeam,
    /// `flume::bounded`.
    Flume,
}

impl Queue {
    /// All, in the order in which a round takes them. The first is compared with all others.
    pub const ALL: [Queue; 7] = [
        Queue::PoolServer,
        Queue::Batches,
        Queue::CRing,
        Queue::StdRing,
        Queue::SyncChannel,
        Queue::Crossbeam,
        Queue::Flume,
    ];

    /// As `peers/queue` and the results call it.
    pub fn name(self) -> &'static str {
        match self {
            Queue::PoolServer => "pool-server",
            Queue::Batches => "batches",
            Queue::CRing => "c-ring",
            Queue::StdRing => "std-ring",
            Queue::SyncChannel => "sync-channel",
            Queue::Crossbeam => "crossbeam",
            Queue::Flume => "flume",
        }
    }

    /// As tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Queue::PoolServer => "pool_server",
            Queue::Batches => "pool_server, 16 at a time",
            Queue::CRing => "plain ring in C",
            Queue::StdRing => "plain ring, std",
            Queue::SyncChannel => "std sync_channel",
            Queue::Crossbeam => "crossbeam-channel",
            Queue::Flume => "flume",
        }
    }
}

/// Where producer and consumers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Cores {
    /// All on one core: what an operation costs, without the cache lines that travel between cores.
    One,
    /// Wherever the kernel puts them.
    All,
}

/// One situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Most tasks that wait.
    pub capacity: usize,
    /// Threads that take tasks out.
    pub consumers: usize,
    /// Where they run.
    pub cores: Cores,
    /// So many microseconds the producer sleeps before each task. With 0, tasks come as fast as they can.
    pub pause: usize,
}

impl Case {
    /// All situations.
    pub fn all() -> Vec<Case> {
        let mut cases = Vec::new();
        for cores in [Cores::One, Cores::All] {
            for capacity in [64, 1024] {
                cases.extend([1, 4].map(|consumers| Case { capacity, consumers, cores, pause: 0 }));
            }
        }
        cases.extend([1, 4].map(|consumers| Case { capacity: 64, consumers, cores: Cores::All, pause: 50 }));
        cases
    }

    /// In words, for a heading.
    pub fn words(&self) -> String {
        let Case { capacity, consumers, pause, .. } = self;
        let cores = match self.cores {
            Cores::One => "one core",
            Cores::All => "all cores",
        };
        let pace =
            if *pause == 0 { String::new() } else { format!(", {pause} µs of sleep before each task") };
        format!("1 to {consumers}, capacity {capacity}, {cores}{pace}")
    }

    /// A name for `bench.json`.
    pub fn key(&self) -> String {
        let cores = format!("{:?}", self.cores).to_lowercase();
        format!("1-to-{}-capacity-{}-{cores}-cores-pause-{}", self.consumers, self.capacity, self.pause)
    }

    /// Whether this queue is measured here. Where tasks are rare, gathering 16 of them is another thing.
    pub fn has(&self, queue: Queue) -> bool {
        self.pause == 0 || queue != Queue::Batches
    }

    /// How many times the throughput of this queue the server's shall have; `None`: no goal was set.
    pub fn goal(&self, queue: Queue) -> Option<f64> {
        match (queue, self.consumers) {
            _ if self.pause > 0 => None,
            (Queue::CRing, 1) | (Queue::SyncChannel | Queue::Flume, _) => Some(1.0),
            // Where several sleep, the plain ring wakes one for each task; the server's wakes one, who wakes the next.
            (Queue::CRing, _) => Some(1.6),
            (Queue::PoolServer | Queue::Batches | Queue::StdRing | Queue::Crossbeam, _) => None,
        }
    }
}
