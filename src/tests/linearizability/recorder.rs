//! Random programs for a few threads, and the histories that they leave.
//!
//! A queue that forgets to wake somebody leaves no history: its program does not end. The loom models and
//! `src/tests/properties/` find that and say so; here it is what was answered that is judged.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use crate::checker::Operation;
use crate::queue::{Answer, Call, Queue};

/// What was recorded: one operation after the other, thread by thread.
pub type Recorded = Vec<Operation<Call, Answer>>;

/// SplitMix64: the same numbers for the same seed, on every machine.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What each thread does. The last thread closes the queue, whatever the others do, and nobody sleeps in a closed queue:
/// so every program ends.
pub struct Program {
    pub capacity: usize,
    /// Fixed lists of calls.
    threads: Vec<Vec<Call>>,
    /// So many threads more, which pop until there is nothing.
    poppers: usize,
    /// So many looks at the room, while the others run, and then the close; `None`: the close when all fixed lists are
    /// done, which the poppers make sure of.
    looks: Option<usize>,
}

impl Program {
    /// The program with this number.
    pub fn new(seed: u64) -> Program {
        let mut random = Random(seed);
        let capacity = 1 + random.below(3) as usize;
        let mut next = 0;
        let mut number = || {
            next += 1;
            next
        };
        let disciplined = random.below(2) == 0;
        let count = if disciplined { 1 + random.below(3) } else { 2 + random.below(3) };
        let threads = (0..count)
            .map(|_| {
                let call = |_| match random.below(if disciplined { 4 } else { 8 }) {
                    0 | 1 => Call::Push(number()),
                    2 => Call::TryPush(number()),
                    3 => Call::PushAll(vec![number(), number()]),
                    4 => Call::Room,
                    _ => Call::Pop,
                };
                (0..4).map(call).collect()
            })
            .collect();
        match disciplined {
            true => Program { capacity, threads, poppers: 1 + random.below(3) as usize, looks: None },
            false => Program { capacity, threads, poppers: 0, looks: Some(random.below(6) as usize) },
        }
    }

    /// How many threads it takes, the one that closes included.
    pub fn threads(&self) -> usize {
        self.threads.len() + self.poppers + 1
    }

    /// Runs it on `queue`, all threads at once.
    pub fn run(&self, queue: &dyn Queue) -> Recorded {
        let clock = AtomicU64::new(0);
        let start = Barrier::new(self.threads());
        let operate = |thread: usize, call: Call| {
            let began = clock.fetch_add(1, SeqCst);
            let answer = Some(queue.run(thread, &call));
            Operation { thread, call, answer, began, ended: clock.fetch_add(1, SeqCst) }
        };
        let fixed = |thread: usize| {
            start.wait();
            self.threads[thread].iter().map(|call| operate(thread, call.clone())).collect::<Recorded>()
        };
        let popper = |thread: usize| {
            start.wait();
            let mut popped = vec![operate(thread, Call::Pop)];
            while popped.last().is_some_and(|operation| operation.answer != Some(Answer::Nothing)) {
                popped.push(operate(thread, Call::Pop));
            }
            // A second close does nothing. But a queue that says `Nothing` too soon would leave the pushers to sleep.
            popped.push(operate(thread, Call::Close));
            popped
        };
        thread::scope(|scope| {
            let count = self.threads.len();
            let fixed: Vec<_> = (0..count).map(|thread| scope.spawn(move || fixed(thread))).collect();
            let poppers: Vec<_> =
                (count..count + self.poppers).map(|thread| scope.spawn(move || popper(thread))).collect();
            let last = count + self.poppers;
            start.wait();
            let mut recorded = Recorded::new();
            for _ in 0..self.looks.unwrap_or(0) {
                thread::yield_now();
                recorded.push(operate(last, Call::Room));
            }
            let mut close = || recorded.push(operate(last, Call::Close));
            if self.looks.is_some() {
                close();
                recorded.extend(fixed.into_iter().flat_map(|thread| thread.join().unwrap()));
            } else {
                let fixed: Vec<_> = fixed.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
                close();
                recorded.extend(fixed);
            }
            recorded.extend(poppers.into_iter().flat_map(|thread| thread.join().unwrap()));
            recorded
        })
    }
}

/// Whether two operations of the history were under way at the same time.
pub fn overlaps(history: &Recorded) -> bool {
    let mut spans: Vec<_> = history.iter().map(|operation| (operation.began, operation.ended)).collect();
    spans.sort_unstable();
    spans.windows(2).any(|pair| pair[1].0 < pair[0].1)
}
