//! The queue, one step at a time, against a plain model that says who answers and who sleeps after each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use pool_server::config::PoolSize;
use pool_server::handoff::{ConnectionId, Refused, Seat, Task, TaskQueue, Ticket};
use proptest::prelude::*;

use crate::crew::Crew;

/// The first free thread of its kind does this; if there is none, nobody.
#[derive(Clone, Copy)]
enum Step {
    Push,
    TryPush,
    PushAll(u64),
    Pop,
    Close,
}

impl fmt::Debug for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Push => write!(out, "push"),
            Step::TryPush => write!(out, "try"),
            Step::PushAll(count) => write!(out, "all {count}"),
            Step::Pop => write!(out, "pop"),
            Step::Close => write!(out, "close"),
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Push),
        3 => Just(Step::TryPush),
        3 => (1_u64..5).prop_map(Step::PushAll),
        9 => Just(Step::Pop),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 0..40)
}

/// What a thread has to say after a step.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Done,
    Full,
    Closed,
    Took(usize),
    Task(u64, bool),
    Nothing,
}

/// The queue and those who sleep in it. The threads are those of the crew.
struct Model {
    capacity: usize,
    closed: bool,
    tasks: VecDeque<u64>,
    /// Who sleeps in `push`, with which task.
    pushers: BTreeMap<usize, u64>,
    /// Who sleeps in `pop`.
    poppers: BTreeSet<usize>,
}

impl Model {
    fn room(&self) -> usize {
        if self.closed { 0 } else { self.capacity - self.tasks.len() }
    }

    fn take(&mut self) -> Option<Answer> {
        let was_full = self.tasks.len() == self.capacity;
        self.tasks.pop_front().map(|task| Answer::Task(task, was_full))
    }

    /// What `thread` is told at once; `None` if it sleeps.
    fn begin(&mut self, thread: usize, step: Step, first: u64) -> Option<Answer> {
        match step {
            Step::Push | Step::TryPush if self.closed => Some(Answer::Closed),
            Step::TryPush if self.room() == 0 => Some(Answer::Full),
            Step::Push if self.room() == 0 => {
                self.pushers.insert(thread, first);
                None
            }
            Step::Push | Step::TryPush => {
                self.tasks.push_back(first);
                Some(Answer::Done)
            }
            Step::PushAll(count) => {
                let taken = (count as usize).min(self.room());
                self.tasks.extend(first..first + taken as u64);
                Some(Answer::Took(taken))
            }
            Step::Pop => {
                let answer = self.take().or(self.closed.then_some(Answer::Nothing));
                if answer.is_none() {
                    self.poppers.insert(thread);
                }
                answer
            }
            Step::Close => {
                self.closed = true;
                Some(Answer::Done)
            }
        }
    }

    /// Goes through what has to happen now by itself, and takes each such answer out of `answers`. Which of several
    /// sleepers is woken is not said, so it looks who was.
    fn go_on(&mut self, answers: &mut Vec<(usize, Answer)>) -> Result<(), String> {
        loop {
            let awaited = if self.closed {
                let closed = self.pushers.pop_first().map(|(thread, _)| (vec![thread], Answer::Closed));
                closed.or_else(|| self.poppers.pop_first().map(|thread| (vec![thread], Answer::Nothing)))
            } else if !self.poppers.is_empty() && !self.tasks.is_empty() {
                self.take().map(|answer| (self.poppers.iter().copied().collect(), answer))
            } else if !self.pushers.is_empty() && self.room() > 0 {
                Some((self.pushers.keys().copied().collect(), Answer::Done))
            } else {
                None
            };
            let Some((threads, answer)) = awaited else { return Ok(()) };
            let found =
                answers.iter().position(|(thread, given)| threads.contains(thread) && *given == answer);
            let Some(found) = found else {
                return Err(format!("one of {threads:?} should say {answer:?}, but said: {answers:?}"));
            };
            let (thread, _) = answers.remove(found);
            self.poppers.remove(&thread);
            if let Some(task) = self.pushers.remove(&thread) {
                self.tasks.push_back(task);
            }
        }
    }
}

/// The real queue and its threads: the producers, then the consumers, then one that must never sleep.
struct Rig {
    queue: Arc<TaskQueue>,
    seats: Vec<Seat>,
    producers: usize,
    crew: Crew<Answer>,
}

impl Rig {
    fn new(capacity: usize, producers: usize, consumers: usize) -> Rig {
        let queue = Arc::new(TaskQueue::new(capacity, PoolSize { min: consumers, max: consumers }, None));
        let seats = (0..consumers).map(|_| queue.employ().unwrap()).collect();
        Rig { queue, seats, producers, crew: Crew::new(producers + consumers + 1) }
    }

    /// Who could do this step.
    fn free_for(&self, step: Step) -> Option<usize> {
        let consumers = self.producers..self.producers + self.seats.len();
        let mut threads = match step {
            Step::Push => 0..self.producers,
            Step::Pop => consumers,
            Step::TryPush | Step::PushAll(_) | Step::Close => consumers.end..consumers.end + 1,
        };
        threads.find(|&thread| self.crew.is_free(thread))
    }

    fn order(&mut self, thread: usize, step: Step, first: u64) {
        let queue = Arc::clone(&self.queue);
        let seat = thread.checked_sub(self.producers).and_then(|seat| self.seats.get(seat)).copied();
        self.crew.order(thread, move || match step {
            Step::Push => match queue.push(task(first)) {
                Ok(()) => Answer::Done,
                Err(back) if back == task(first) => Answer::Closed,
                Err(back) => panic!("another task came back: {back:?}"),
            },
            Step::TryPush => match queue.try_push(task(first)) {
                Ok(()) => Answer::Done,
                Err(Refused::Full(back)) if back == task(first) => Answer::Full,
                Err(Refused::Closed(back)) if back == task(first) => Answer::Closed,
                Err(refused) => panic!("another task came back: {refused:?}"),
            },
            Step::PushAll(count) => {
                let mut batch: Vec<Task> = (first..first + count).map(task).collect();
                queue.push_all(&mut batch);
                let taken = count as usize - batch.len();
                assert!(batch.into_iter().eq((first + taken as u64..first + count).map(task)));
                Answer::Took(taken)
            }
            Step::Pop => match queue.pop(seat.expect("only consumers pop")) {
                Some(taken) => Answer::Task(taken.task.ticket.sequence, taken.made_room),
                None => Answer::Nothing,
            },
            Step::Close => {
                queue.close();
                Answer::Done
            }
        });
    }
}

fn task(sequence: u64) -> Task {
    Task { ticket: Ticket { connection: ConnectionId(0), sequence }, text: Vec::new() }
}

/// Does one step in the rig and in the model and compares.
fn take_step(rig: &mut Rig, model: &mut Model, step: Step, next: &mut u64) -> Result<(), TestCaseError> {
    let Some(thread) = rig.free_for(step) else { return Ok(()) };
    rig.order(thread, step, *next);
    let mut answers = rig.crew.settle();
    if let Some(answer) = model.begin(thread, step, *next) {
        let found = answers.iter().position(|given| *given == (thread, answer.clone()));
        prop_assert!(found.is_some(), "{:?} should give {:?}, but gave: {:?}", step, answer, answers);
        answers.remove(found.unwrap());
    }
    *next += if let Step::PushAll(count) = step { count } else { 1 };
    model.go_on(&mut answers).map_err(TestCaseError::fail)?;
    prop_assert!(answers.is_empty(), "after {:?} these should sleep: {:?}", step, answers);
    prop_assert_eq!(rig.queue.occupancy().waiting, model.tasks.len());
    prop_assert_eq!(rig.queue.room(), model.room());
    Ok(())
}

proptest! {
    #![proptest_config(crate::cases(96))]

    /// FIFO; never more than the capacity inside; nothing lost, nothing twice; `push` sleeps exactly while the queue is
    /// full and `pop` exactly while it is empty; nothing else sleeps; after the close `push` gives back, `pop` gives what is left,
    /// then `None`.
    #[test]
    fn after_each_step_exactly_those_sleep_that_have_to(
        capacity in 1_usize..4,
        producers in 1_usize..4,
        consumers in 1_usize..4,
        steps in steps(),
    ) {
        let mut rig = Rig::new(capacity, producers, consumers);
        let (closed, tasks, pushers, poppers) = Default::default();
        let mut model = Model { capacity, closed, tasks, pushers, poppers };
        let mut next = 0;
        // The end: nobody sleeps any more, and the consumers take what is left.
        let ending = std::iter::once(Step::Close).chain(std::iter::repeat_n(Step::Pop, capacity + 1));
        let verdict = steps.into_iter().chain(ending)
            .try_for_each(|step| take_step(&mut rig, &mut model, step, &mut next));
        rig.crew.dismiss();
        verdict?;
    }
}
