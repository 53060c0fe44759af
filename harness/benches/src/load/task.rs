//! What the clients ask: lines that cost about as much as wanted. The hash goes over the line 64 times, so the length
//! of the line sets the cost.

use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::servers::expected_answer;

/// So many different lines there are; the clients take them in turn.
const VARIANTS: usize = 64;
const SHORTEST: usize = 2;
/// The servers accept no more.
const LONGEST: usize = 1024;

/// How much one request shall cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// What was wanted, in microseconds.
    pub wanted: u32,
    /// Bytes in a line.
    pub length: usize,
    /// What computing the answer to such a line takes, in microseconds, measured.
    pub measured: f64,
}

impl Cost {
    /// Finds the length of a line that costs about as much as wanted on this machine.
    pub fn calibrate(wanted: u32) -> Cost {
        let full = microseconds(LONGEST);
        let length = (f64::from(wanted) / full * LONGEST as f64).round() as usize;
        let length = length.clamp(SHORTEST, LONGEST);
        Cost { wanted, length, measured: microseconds(length) }
    }
}

/// The fastest of several: what disturbs makes it only slower.
fn microseconds(length: usize) -> f64 {
    let line = vec![b'x'; length];
    let times = 1 + 20 * LONGEST / length.max(SHORTEST) / 64;
    let once = || {
        let start = Instant::now();
        for _ in 0..times {
            black_box(peers::compute(black_box(&line)));
        }
        start.elapsed() / times as u32
    };
    (0..50).map(|_| once()).min().unwrap_or(Duration::ZERO).as_secs_f64() * 1e6
}

/// The lines that the clients send, and what they have to be answered.
pub struct Task {
    batches: Vec<Rc<Batch>>,
}

/// What one client sends at a time, and what it gets.
pub(super) struct Batch {
    pub requests: Vec<u8>,
    pub answers: String,
}

impl Task {
    /// Lines of this length, so many to a batch. Neighbours in a batch differ, so an answer out of order is seen.
    pub fn new(length: usize, pipelined: usize) -> Task {
        let line = |number: usize| {
            let mut line = format!("{:02x}", number % VARIANTS).into_bytes();
            line.resize(length.max(SHORTEST), b'x');
            line
        };
        let batch = |first: usize| {
            let lines = || (0..pipelined).map(move |n| line(first + n));
            let requests = lines().flat_map(|line| [line, b"\n".to_vec()]).flatten().collect();
            let answers = lines().map(|line| expected_answer(&line)).collect();
            Rc::new(Batch { requests, answers })
        };
        Task { batches: (0..VARIANTS).map(batch).collect() }
    }

    pub(super) fn batch(&self, client: usize) -> Rc<Batch> {
        Rc::clone(&self.batches[client % VARIANTS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_different_lines_of_the_same_length() {
        let task = Task::new(4, 2);
        assert_eq!(task.batch(63).requests, b"3fxx\n00xx\n");
        assert_eq!(task.batch(63).answers.lines().count(), 2);
    }
}
