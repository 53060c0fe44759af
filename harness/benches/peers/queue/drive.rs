//! One measurement of one queue: a producer, some consumers, tasks that cost nothing, and what the kernel counted
//! meanwhile. The driver of the C ring does the same, step by step.

use std::fmt;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use pool_server::handoff::{ConnectionId, Task, Ticket};

/// The producer looks at the clock after so many tasks, so that the clock costs nothing.
const LOOKS_AT_THE_CLOCK_EVERY: u64 = 64;

/// What one measurement found: the line that is printed. Operations, nanoseconds of wall time, nanoseconds of CPU time, context
/// switches; the last two of the whole process.
#[derive(Debug)]
pub struct Figures([u64; 4]);

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [operations, nanoseconds, cpu, switches] = self.0;
        write!(out, "{operations} {nanoseconds} {cpu} {switches}")
    }
}

/// The same for every queue: the event loop's own type, without text.
pub fn task(number: u64) -> Task {
    Task { ticket: Ticket { connection: ConnectionId(0), sequence: number }, text: Vec::new() }
}

/// How the producer works.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// For so long.
    pub length: Duration,
    /// So long it sleeps before each task; zero: it never does, and tasks come as fast as they can.
    pub pause: Duration,
}

/// Pushes tasks at this pace, drops `sender` (which must close the queue), and waits until the consumers, one for each of
/// `receivers`, have taken everything. Fails if a task was lost or came twice: such a queue is not measured.
pub fn drive<Sender, Receiver: Send>(
    pace: Pace,
    sender: Sender,
    push: impl Fn(&Sender, Task),
    receivers: Vec<Receiver>,
    pop: impl Fn(&Receiver) -> Option<Task> + Sync,
) -> Result<Figures> {
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
        while begin.elapsed() < pace.length {
            let pauses = !pace.pause.is_zero();
            if pauses {
                thread::sleep(pace.pause);
            }
            for _ in 0..if pauses { 1 } else { LOOKS_AT_THE_CLOCK_EVERY } {
                let number = pushed.count + 1;
                pushed.note(number);
                push(&sender, task(number));
            }
        }
        drop(sender);
        let mut popped = Seen::default();
        for consumer in consumers {
            popped.add(consumer.join().map_err(|_| anyhow!("a consumer panicked"))?);
        }
        let nanoseconds = u64::try_from(begin.elapsed().as_nanos())?;
        let (cpu, switches) = (self::cpu()? - cpu, self::switches()? - switches);
        ensure!(popped == pushed, "a task was lost or came twice: {pushed:?} went in, {popped:?} came out");
        Ok(Figures([pushed.count, nanoseconds, cpu, switches]))
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

fn cpu() -> Result<u64> {
    let time = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?);
    Ok(u64::try_from(time.as_nanos())?)
}

fn switches() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(u64::try_from(usage.voluntary_context_switches() + usage.involuntary_context_switches())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, mpsc};

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
            let pace = Pace { length: Duration::from_millis(1), pause: Duration::ZERO };
            drive(pace, sender, push, receivers, |r| r.lock().unwrap().recv().ok())
        };
        let figures = measured(false).unwrap();
        assert_eq!(figures.to_string().split(' ').count(), 4);
        assert!(measured(true).unwrap_err().to_string().contains("lost"));
    }
}
