//! A task queue alone, without a server: the driver that it is compiled with has one thread for each client, which does what the
//! client says and answers when the operation has returned.

pub mod model;

use self::model::{Answer, Call, Op, State, explain};
use super::{
    Context,
    common::{died, not_yet},
};
use crate::{
    error::Trouble,
    model::Finding,
    probes::{
        clients::ClientId,
        session::{Session, Settled, Setup, Snapshot, Wait},
    },
};

use std::time::Duration;

/// A queue, and threads that use it.
pub struct Lab {
    pub session: Session,
    threads: Vec<ClientId>,
    calls: Vec<Vec<Op>>,
    /// The calls in the order in which they were begun: thread and place among its own.
    order: Vec<(usize, usize)>,
    /// What has been explained: so many answers of each thread, and the states that the queue may be in.
    told: Vec<usize>,
    states: Vec<State>,
}

/// The harness's own deadline for one call.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a student is told beside what was seen.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    pub expected: &'static str,
    pub hint: &'static str,
    /// Tasks must come out in their order.
    pub ordered: bool,
    /// Whoever waits must sleep.
    pub sleeps: bool,
}

/// One thing that is done to the queue: the number of the thread, from 0, and the operation.
pub type Step = (usize, Op);

impl Lab {
    /// From the beginning the threads take turns in a fixed order: the same calls lead to the same steps.
    ///
    /// # Errors
    ///
    /// As [`Session::launch`].
    pub fn launch(context: &Context<'_>, capacity: usize, threads: usize) -> Result<Self, Trouble> {
        let mut session = Session::launch_in_order(context.program, &Setup::new(1, capacity))?;
        session.computes_nothing();
        let ids = session.connect_many(threads)?;
        session.settle()?;
        Ok(Self {
            session,
            calls: vec![Vec::new(); threads],
            order: Vec::new(),
            told: vec![0; threads],
            threads: ids,
            states: vec![State::new(capacity)],
        })
    }

    /// The client behind a thread.
    pub fn client(&self, thread: usize) -> ClientId {
        self.threads[thread]
    }

    /// The clients, in the order of the threads.
    pub fn clients(&self) -> &[ClientId] {
        &self.threads
    }

    /// Notes that a thread was told to do this.
    pub fn note(&mut self, (thread, op): Step) {
        self.order.push((thread, self.calls[thread].len()));
        self.calls[thread].push(op);
    }

    /// What a thread's call returned; `None`: it has not.
    fn answer(&self, (thread, place): (usize, usize)) -> Option<Answer> {
        let lines = self.session.clients.get(self.threads[thread]).lines();
        lines.get(place).map(|line| Answer::read(line.strip_suffix(b"\n").unwrap_or(line)))
    }

    fn all_returned(&self) -> bool {
        self.order.iter().all(|call| self.answer(*call).is_some())
    }

    /// Does one thing after the other, each when everything has come to rest. A finding if what is seen then cannot be.
    ///
    /// # Errors
    ///
    /// As [`Session::settle`].
    pub fn run(&mut self, steps: &[Step], words: &Words) -> Result<Option<Finding>, Trouble> {
        for (thread, op) in steps {
            let may_return =
                self.all_returned() && self.states.iter().all(|state| state.after(*op).is_some());
            self.note((*thread, *op));
            self.session.clients.send(self.threads[*thread], &op.line());
            let fail = |observed: String, place: String| {
                Ok(Some(Finding::fail(words.expected, observed, place, words.hint)))
            };
            // Where nobody waits and nobody has to, nothing more can happen than that this call returns.
            let (id, count) = (self.threads[*thread], self.calls[*thread].len());
            let returns = |session: &mut Session| session.clients.get(id).answers() >= count;
            let settled = match may_return && matches!(self.session.until(DEADLINE, returns)?, Wait::Reached)
            {
                true => Settled::AtRest(Snapshot::default()),
                false => self.session.settle()?,
            };
            match settled {
                Settled::Spinning(_, snapshot) if words.sleeps => {
                    let observed =
                        format!("{}; now a thread goes round and round instead of sleeping", self.story());
                    return fail(observed, snapshot.describe());
                }
                Settled::Spinning(_, snapshot) => {
                    return Ok(Some(Finding::inconclusive(
                        words.expected,
                        format!(
                            "{}; now a thread goes round and round, and so nobody can say when nothing more will happen",
                            self.story()
                        ),
                        snapshot.describe(),
                        "first let everybody sleep who waits (Q2, Q3)",
                    )));
                }
                Settled::AtRest(_) => {
                    if let Some(wrong) = self.wrong(words.ordered) {
                        return fail(wrong, self.session.snapshot().describe());
                    }
                }
                Settled::Busy(snapshot) => {
                    return Ok(Some(not_yet(words.expected, &self.story(), &snapshot.describe())));
                }
                Settled::Ended => {
                    let observed = format!("{}; then the program ended", self.story());
                    return fail(observed, died(&self.session).unwrap_or_default());
                }
            }
        }
        Ok(None)
    }

    /// What is wrong with what is seen at rest, in words. All that was begun since the last time overlaps.
    fn wrong(&mut self, ordered: bool) -> Option<String> {
        let new: Vec<Call> = self
            .order
            .iter()
            .filter(|(thread, place)| *place >= self.told[*thread])
            .map(|call| self.call(*call, 0, usize::MAX))
            .collect();
        let states = explain(&self.states, &new, ordered);
        if states.is_empty() {
            return Some(self.accuse(&new));
        }
        self.states = states;
        for (thread, told) in self.told.iter_mut().enumerate() {
            *told = self.session.clients.get(self.threads[thread]).answers();
        }
        None
    }

    /// A call as the model takes it.
    pub fn call(&self, (thread, place): (usize, usize), begun: usize, ended: usize) -> Call {
        Call { op: self.calls[thread][place], answer: self.answer((thread, place)), begun, ended }
    }

    /// All calls, in the order in which they were begun.
    pub fn calls(&self) -> &[(usize, usize)] {
        &self.order
    }

    /// Says which of the calls that are new is wrong, and what the queue held before them.
    fn accuse(&self, new: &[Call]) -> String {
        let state = &self.states[0];
        let story = self.story();
        // The last one is what was done; the others had been waiting.
        let last = new.last().expect("something was done");
        let should = |call: &Call| match state.after(call.op) {
            None => "it has to wait".to_owned(),
            Some((answer, _)) => format!("it has to return {answer}"),
        };
        let alone = state.after(last.op).map(|(answer, _)| answer);
        match (alone == last.answer, new) {
            (false, _) => format!("{story}; before that call, {state}: {}", should(last)),
            (true, _) => format!(
                "{story}; before the last call, {state}: the calls that wait are not the ones that have to"
            ),
        }
    }

    /// What was called and what it returned: `thread 1: push(1) = true; thread 2: pop() waits`. The last ones, if there are many.
    pub fn story(&self) -> String {
        const SHOWN: usize = 12;
        let from = self.order.len().saturating_sub(SHOWN);
        let told = self.order[from..].iter().map(|(thread, place)| {
            let op = self.calls[*thread][*place];
            match self.answer((*thread, *place)) {
                Some(answer) => format!("thread {}: {op} = {answer}", thread + 1),
                None => format!("thread {}: {op} waits", thread + 1),
            }
        });
        let before = if from > 0 { format!("{from} calls; ") } else { String::new() };
        before + &told.collect::<Vec<_>>().join("; ")
    }
}

/// Whether a thread that has to wait goes round and round instead of sleeping: in a pop, or in a push.
///
/// # Errors
///
/// As [`Session::settle`].
pub fn spins(context: &Context<'_>) -> Result<bool, Trouble> {
    const SCENES: [&[Step]; 2] = [&[(0, Op::Pop)], &[(0, Op::Push(1)), (1, Op::Push(2))]];
    for steps in SCENES {
        let mut lab = Lab::launch(context, 1, 2)?;
        for (thread, op) in steps {
            lab.session.clients.send(lab.client(*thread), &op.line());
            if matches!(lab.session.settle()?, Settled::Spinning(..) | Settled::Busy(_)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Runs each of these on a queue of its own: the capacity, the number of threads, and what they do. The first that shows a mistake;
/// `None` if none does.
///
/// # Errors
///
/// As [`Lab::run`].
pub fn first_wrong(
    context: &Context<'_>,
    words: &Words,
    scenes: &[(usize, usize, &[Step])],
) -> Result<Option<Finding>, Trouble> {
    for (capacity, threads, steps) in scenes {
        if let Some(found) = Lab::launch(context, *capacity, *threads)?.run(steps, words)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
