//! One measurement of one queue: a producer, some consumers, tasks that cost nothing, and what the kernel counted
//! meanwhile. The driver of the C ring does the same, step by step.

use nix::{
    sys::resource::{UsageWho, getrusage},
    time::{ClockId, clock_gettime},
};
use pool_server::handoff::{ConnectionId, Task, Ticket};
use std::{
    fmt,
    str::FromStr,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

/// The producer looks at the clock after so many tasks, so that the clock costs nothing.
const LOOKS_AT_THE_CLOCK_EVERY: u64 = 64;

/// What one measurement found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Tasks that went in and came out.
    pub operations: u64,
    /// Wall time in nanoseconds.
    pub nanoseconds: u64,
    /// CPU time of the whole process in nanoseconds.
    pub cpu: u64,
    /// Context switches of the whole process, wanted or not.
    pub switches: u64,
}

impl Sample {
    /// Operations per second.
    pub fn throughput(&self) -> f64 {
        self.operations as f64 * 1e9 / self.nanoseconds as f64
    }

    /// Nanoseconds of CPU time for each operation.
    pub fn cpu_per_operation(&self) -> f64 {
        self.cpu as f64 / self.operations as f64
    }

    /// Context switches for each operation.
    pub fn switches_per_operation(&self) -> f64 {
        self.switches as f64 / self.operations as f64
    }
}

/// The line by which a child tells its parent.
impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {} {}", self.operations, self.nanoseconds, self.cpu, self.switches)
    }
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(line: &str) -> Result<Sample, String> {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [operations, nanoseconds, cpu, switches] if operations > 0 && nanoseconds > 0 => {
                Ok(Sample { operations, nanoseconds, cpu, switches })
            }
            _ => Err(format!("not the figures of a queue: {line:?}")),
        }
    }
}

/// The same for every queue: the event loop's own type, without text.
pub fn task(number: u64) -> Task {
    Task { ticket: Ticket { connection: ConnectionId(0), sequence: number }, text: Vec::new() }
}

/// Pushes tasks for `length`, drops `sender` (which must close the queue), and waits until the consumers, one for each of
/// `receivers`, have taken everything.
///
/// # Errors
///
/// If a task was lost or came twice: such a queue is not measured.
pub fn drive<Sender, Receiver: Send>(
    length: Duration,
    sender: Sender,
    push: impl Fn(&Sender, Task),
    receivers: Vec<Receiver>,
    pop: impl Fn(&Receiver) -> Option<Task> + Sync,
) -> Result<Sample, String> {
    let start = Barrier::new(receivers.len() + 1);
    let consume = |receiver: Receiver| {
        start.wait();
        let mut seen = Seen::default();
        while let Some(task) = pop(&receiver) {
            seen.note(task.ticket.sequence);
        }
        seen
    };
    let consume = &consume;
    thread::scope(|scope| {
        let consumers: Vec<_> =
            receivers.into_iter().map(|receiver| scope.spawn(move || consume(receiver))).collect();

        start.wait();
        let (switches, cpu, begin) = (switches()?, cpu()?, Instant::now());
        let mut pushed = Seen::default();
        while begin.elapsed() < length {
            for _ in 0..LOOKS_AT_THE_CLOCK_EVERY {
                let number = pushed.count + 1;
                pushed.note(number);
                push(&sender, task(number));
            }
        }
        drop(sender);
        let mut popped = Seen::default();
        for consumer in consumers {
            popped.add(consumer.join().map_err(|_| "a consumer panicked".to_owned())?);
        }
        let nanoseconds = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (cpu, switches) = (self::cpu()? - cpu, self::switches()? - switches);
        if popped != pushed {
            return Err(format!("a task was lost or came twice: {pushed:?} went in, {popped:?} came out"));
        }
        Ok(Sample { operations: pushed.count, nanoseconds, cpu, switches })
    })
}

/// The tasks that somebody has had in hand.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    count: u64,
    sum: u64,
}

impl Seen {
    fn note(&mut self, number: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(number);
    }

    fn add(&mut self, other: Seen) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

fn cpu() -> Result<u64, String> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_err(|error| error.to_string())?;
    u64::try_from(Duration::from(time).as_nanos()).map_err(|error| error.to_string())
}

fn switches() -> Result<u64, String> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|error| error.to_string())?;
    let count = usage.voluntary_context_switches() + usage.involuntary_context_switches();
    u64::try_from(count).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, mpsc};

    #[test]
    fn a_sample_reads_back() {
        let sample = Sample { operations: 10, nanoseconds: 20, cpu: 30, switches: 4 };
        assert_eq!(sample.to_string().parse(), Ok(sample));
        assert!("0 1 2 3".parse::<Sample>().is_err());
        assert!("ring: no memory".parse::<Sample>().is_err());
        assert_eq!(sample.throughput(), 5e8);
    }

    #[test]
    fn a_queue_that_loses_a_task_is_not_measured() {
        let measured = |loses: bool| {
            let (sender, receiver) = mpsc::sync_channel(4);
            let receivers = vec![Arc::new(Mutex::new(receiver))];
            let push = |sender: &mpsc::SyncSender<Task>, task: Task| {
                if !loses || task.ticket.sequence != 5 {
                    sender.send(task).unwrap();
                }
            };
            drive(Duration::from_millis(1), sender, push, receivers, |r| r.lock().unwrap().recv().ok())
        };
        assert!(measured(false).is_ok());
        assert!(measured(true).unwrap_err().contains("lost"));
    }
}
