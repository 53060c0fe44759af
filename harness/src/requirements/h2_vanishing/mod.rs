//! H2: clients that vanish mid-task do no harm.

mod observe;

use super::{
    Context, Requirement,
    common::{Ended, not_yet, shown},
    leaving::{Leaving, numbers},
};
use crate::{
    error::{HarnessError, Trouble},
    model::{Finding, Id},
    probes::{session::Death, tracer::End},
};

/// H2.
pub struct Vanishing;

/// When clients vanish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Workers have all their tasks in hand.
    MidTask,
    /// Some of their tasks wait in the queue.
    Queued,
    /// All their results are ready, and the loop is about to find them.
    ResultsReady,
    /// They have had the first of two answers.
    BetweenAnswers,
    /// The server has more answers for them than their buffers hold.
    Unread,
}

impl Moment {
    fn words(self) -> &'static str {
        match self {
            Self::MidTask => "while workers had their tasks",
            Self::Queued => "while their tasks were in the workers' hands and in the queue",
            Self::ResultsReady => "when their results were ready and the loop was about to find them",
            Self::BetweenAnswers => "between two answers",
            Self::Unread => "with answers that did not fit into the buffers",
        }
    }
}

/// One situation: how many requests each client has under way, and how it leaves.
#[derive(Clone, Copy, Debug)]
struct Plan {
    moment: Moment,
    clients: &'static [(usize, Leaving)],
}

const fn plan(moment: Moment, clients: &'static [(usize, Leaving)]) -> Plan {
    Plan { moment, clients }
}

const PLANS: &[Plan] = &[
    plan(Moment::MidTask, &[(3, Leaving::Reset)]),
    plan(Moment::MidTask, &[(3, Leaving::Close)]),
    plan(Moment::MidTask, &[(1, Leaving::HalfThenClose), (2, Leaving::HalfThenReset)]),
    plan(Moment::Queued, &[(4, Leaving::Close), (3, Leaving::Reset), (3, Leaving::HalfThenReset)]),
    plan(Moment::ResultsReady, &[(2, Leaving::Reset), (2, Leaving::Close)]),
    plan(Moment::ResultsReady, &[(2, Leaving::HalfThenReset)]),
    plan(Moment::BetweenAnswers, &[(2, Leaving::Reset), (2, Leaving::Close)]),
    plan(Moment::Unread, &[(1, Leaving::Close)]),
];

impl Plan {
    /// Behind "when": `a client left by a reset and another closed its connection while workers had their tasks`.
    fn words(&self) -> String {
        let mut ways: Vec<&str> = self.clients.iter().map(|(_, leaving)| leaving.words()).collect();
        ways.dedup();
        format!("a client {} {}", ways.join(" and another "), self.moment.words())
    }
}

/// What somebody noticed.
#[derive(Clone, Debug)]
enum Harm {
    /// The server ended.
    Died(Death),
    /// Somebody else waits for an answer in vain.
    Unanswered { who: &'static str, end: Ended, stuck: String },
    /// The client that was there before got something else than before.
    Wrong { got: Vec<u8>, alone: Vec<u8>, sent_by: String },
    /// The loop goes round and round; what it does.
    Spins(String),
    /// A connection of theirs stays open.
    StillOpen { descriptors: Vec<i32>, accepted_by: String, end: Ended, stuck: String },
    /// SIGTERM does not end the server as it should.
    Shutdown { how: String, place: String, end: Ended },
}

/// Why a situation ended early.
enum Stop {
    Harm(Harm),
    Trouble(Trouble),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<HarnessError> for Stop {
    fn from(error: HarnessError) -> Self {
        Self::Trouble(error.into())
    }
}

/// What was seen.
#[derive(Clone, Debug, Default)]
struct Observation {
    /// How many situations were gone through, and how many clients had vanished by then.
    situations: usize,
    vanished: usize,
    /// The situation of the harm.
    situation: String,
    harm: Option<Harm>,
    /// A worker was held with a task.
    held: bool,
    workers_slept: bool,
    /// Harm was done also when nobody vanished.
    also_otherwise: bool,
}

impl Requirement for Vanishing {
    fn id(&self) -> Id {
        Id::new('H', 2)
    }

    fn title(&self) -> &'static str {
        "clients that vanish mid-task do no harm: no SIGPIPE, no leak, nobody else notices"
    }

    fn about(&self) -> &'static str {
        "A client may vanish at any moment, also while its tasks are queued or in the workers' hands, and nobody else may \
         notice.\n\n\
         Forced: workers are held in the middle of tasks, and clients vanish by a reset, by a close, or by a half-close and \
         then either: with tasks in hand and in the queue, when all results are ready and the loop is about to find them (it \
         is held at its return from epoll), between two answers, and with answers that do not fit into the buffers. Then the \
         workers are let go in an order drawn from the seed. All the time a client that was there before asks its \
         question, and newcomers ask theirs. In the end SIGTERM.\n\n\
         Decides: the process lives; the client that was there before always gets its answer, and newcomers are answered; the loop \
         sleeps while a client that was reset has a task in hand; connections of clients that have vanished are closed once \
         everything is at rest; SIGTERM ends the server with status 0. What goes wrong also when the same clients stay is not \
         judged."
    }

    fn cost(&self) -> u32 {
        6
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut seen = observe::observe(context, false)?;
        if seen.harm.is_some() {
            seen.also_otherwise = observe::observe(context, true)?.harm.is_some();
        }
        Ok(judge(&seen))
    }
}

fn judge(o: &Observation) -> Finding {
    let expected = "clients that vanish with tasks under way cost the server nothing: it lives, answers everybody else, closes \
                    their connections, sleeps, and ends with status 0 on SIGTERM";
    let fail = |observed: String, place: &str, hint: &str| {
        Finding::fail(expected, format!("{observed}, when {}", o.situation), place, hint)
    };
    if o.also_otherwise {
        return Finding::pass(
            expected,
            "something went wrong also when nobody vanished, which is not asked here",
        );
    }
    match &o.harm {
        None => {}
        Some(Harm::Died(death)) => {
            let pipe = death.end == End::Signal(libc::SIGPIPE);
            return fail(
                format!("the server {}", death.how),
                &death.place,
                if pipe {
                    "a send to a connection that is gone raises SIGPIPE, which ends the process: pass MSG_NOSIGNAL, or ignore \
                     SIGPIPE, and treat EPIPE and ECONNRESET as the end of that client"
                } else {
                    "what does a task that comes back point to when its client is gone? A connection must live as long as its last \
                     task"
                },
            );
        }
        Some(Harm::Unanswered { who, end: Ended::NotYet, stuck }) => {
            return not_yet(expected, &format!("{who} had no answer"), stuck);
        }
        Some(Harm::Unanswered { who, stuck, .. }) => {
            return fail(
                format!("{who} got no answer"),
                stuck,
                "a result that nobody waits for must still free its place: the worker, the slot in the queue, every count",
            );
        }
        Some(Harm::Wrong { got, alone, sent_by }) => {
            return fail(
                format!("a client that was there before got {} instead of {}", shown(got), shown(alone)),
                sent_by,
                "drop the result of a client that is gone; it belongs to nobody else",
            );
        }
        Some(Harm::Spins(doing)) => {
            return fail(
                "the loop did not sleep while workers had the tasks".to_owned(),
                doing,
                "EPOLLHUP and EPOLLERR are reported whether they are asked for or not, and again and again: close the connection, \
                 or take it out of the epoll set, at once",
            );
        }
        Some(Harm::StillOpen { end: Ended::NotYet, stuck, .. }) => {
            return not_yet(expected, "a connection of a client that had vanished was open", stuck);
        }
        Some(Harm::StillOpen { descriptors, accepted_by, stuck, .. }) => {
            return fail(
                format!("descriptor {} of such a connection was never closed", numbers(descriptors)),
                &format!("{accepted_by}; {stuck}"),
                "when the last task of a client that is gone has come back, nobody will ask for that connection again: close it \
                 then, at the latest",
            );
        }
        Some(Harm::Shutdown { how, place, end: Ended::NotYet }) => return not_yet(expected, how, place),
        Some(Harm::Shutdown { how, place, .. }) => {
            return Finding::fail(
                expected,
                format!("after {} clients had vanished, {how}", o.vanished),
                place.clone(),
                "count a task as done when it comes back, whether or not its client is still there",
            );
        }
    }
    if !o.held && !o.workers_slept {
        return Finding::inconclusive(
            expected,
            "the workers ran, but made no call at which they could be held",
            "",
            "link the program dynamically, so that its pthread calls can be seen",
        );
    }
    Finding::pass(
        expected,
        format!(
            "{} clients vanished in {} situations and nobody else noticed; SIGTERM, status 0",
            o.vanished, o.situations
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn seen(harm: Option<Harm>) -> Observation {
        Observation {
            situations: 3,
            vanished: 5,
            situation: PLANS[0].words(),
            harm,
            held: true,
            workers_slept: false,
            also_otherwise: false,
        }
    }

    fn never() -> [Harm; 6] {
        let (stuck, end) = (String::new(), Ended::Never);
        let death = Death { end: End::Signal(13), how: "was killed by SIGPIPE".into(), place: String::new() };
        [
            Harm::Died(death),
            Harm::Unanswered { who: "a newcomer", end, stuck: stuck.clone() },
            Harm::Wrong { got: b"result: 1".to_vec(), alone: b"result: 2".to_vec(), sent_by: stuck.clone() },
            Harm::Spins(stuck.clone()),
            Harm::StillOpen { descriptors: vec![9], accepted_by: stuck.clone(), end, stuck: stuck.clone() },
            Harm::Shutdown { how: stuck.clone(), place: stuck, end },
        ]
    }

    #[test]
    fn no_harm_is_right_and_any_harm_fails() {
        assert_eq!(judge(&seen(None)).outcome, Outcome::Pass);
        for harm in never() {
            assert_eq!(judge(&seen(Some(harm.clone()))).outcome, Outcome::Fail, "{harm:?}");
        }
    }

    #[test]
    fn what_goes_wrong_also_when_nobody_vanishes_is_for_others() {
        for harm in never() {
            let o = Observation { also_otherwise: true, ..seen(Some(harm)) };
            assert_eq!(judge(&o).outcome, Outcome::Pass);
        }
    }

    #[test]
    fn what_is_late_is_not_decided() {
        let (stuck, end) = (String::new(), Ended::NotYet);
        for harm in [
            Harm::Unanswered { who: "a newcomer", end, stuck: stuck.clone() },
            Harm::StillOpen { descriptors: vec![9], accepted_by: stuck.clone(), end, stuck: stuck.clone() },
            Harm::Shutdown { how: stuck.clone(), place: stuck, end },
        ] {
            assert_eq!(judge(&seen(Some(harm))).outcome, Outcome::Inconclusive);
        }
    }

    #[test]
    fn a_worker_that_cannot_be_held_leaves_it_open() {
        let unheld = Observation { held: false, ..seen(None) };
        assert_eq!(judge(&unheld).outcome, Outcome::Inconclusive);
        assert_eq!(judge(&Observation { workers_slept: true, ..unheld }).outcome, Outcome::Pass);
    }
}
