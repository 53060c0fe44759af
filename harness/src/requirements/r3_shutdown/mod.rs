//! R3: SIGTERM: stop accepting, finish and answer what was taken, join the workers, exit 0, and start again at once.

mod observe;

use super::{
    Context, Requirement,
    common::Ended,
    search::{self, Crowd, Words},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
    probes::{session::signal_name, tracer::End},
};
use std::time::Duration;

/// R3.
pub struct Shutdown;

/// From the moment at which nothing holds the server up any more to its end.
const LIMIT: Duration = Duration::from_secs(2);

/// Too slow is only what was too slow so often.
const TRIES: usize = 3;

/// Where orders of steps are drawn.
const CROWD: Crowd = Crowd { workers: 2, capacity: 64, clients: 2 };

const WORDS: Words<'_> = Words {
    compares: false,
    expected: "in whatever order the threads take their steps, SIGTERM leads to answers for all that was taken and to exit \
               status 0",
    hint: "read the last turns: set the flag and wake the workers under the lock under which they look at it, and look again \
           after every wake-up",
};

/// What the server is doing when SIGTERM comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    /// Nothing.
    Idle,
    /// Tasks wait behind workers that are held mid-task.
    TasksQueued,
    /// One task is in a worker's hand, the other workers sleep.
    OneMidTask,
    /// Nothing, but clients are connected; one of them does not read its answers.
    ClientsConnected,
}

const SITUATIONS: [Situation; 4] =
    [Situation::Idle, Situation::TasksQueued, Situation::OneMidTask, Situation::ClientsConnected];

impl Situation {
    fn words(self) -> &'static str {
        match self {
            Self::Idle => "SIGTERM while idle",
            Self::TasksQueued => "SIGTERM with tasks queued behind held workers",
            Self::OneMidTask => "SIGTERM with one task in a worker's hand",
            Self::ClientsConnected => "SIGTERM with idle clients and one that does not read",
        }
    }
}

/// What was seen in one situation.
#[derive(Clone, Debug)]
struct Observation {
    situation: Situation,
    /// Requests that had been taken off the sockets when SIGTERM came, and how many of these were answered in the end.
    taken: usize,
    answered: usize,
    /// The process ended while workers were held with tasks.
    ended_while_held: bool,
    /// The call by which a client that came after SIGTERM was accepted, in words.
    accepted_late: Option<String>,
    /// How the wait for the end ended, and what each thread was doing if in vain.
    end: Ended,
    stuck: String,
    /// The status, and the time it took from the moment at which nobody was held, without that in which somebody was ready to
    /// run and had no processor.
    status: Option<End>,
    /// The thread that ended the process.
    ended_by: String,
    took: Duration,
    /// Workers that were not joined before the process ended, and why that is said.
    unjoined: Vec<String>,
    /// Starting again at once on the same port failed, for this reason and at this place.
    restart: Result<(), (String, String)>,
}

impl Requirement for Shutdown {
    fn id(&self) -> Id {
        Id::new('R', 3)
    }

    fn title(&self) -> &'static str {
        "SIGTERM: finish and answer what was taken, join the workers, exit 0, start again at once"
    }

    fn about(&self) -> &'static str {
        "On SIGTERM the server stops accepting, finishes every task that is in the queue or in a worker's hand, sends the \
         answers, joins the workers and exits with status 0, within 2 seconds of the moment at which the workers can go on. \
         Clients that are connected and idle, or that do not read, do not hold it up. Started again at once on the same \
         port, it serves.\n\n\
         Forced: SIGTERM (a) while idle, (b) with tasks queued behind workers that are held mid-task, while a newcomer \
         tries to connect, (c) with one task in a worker's hand, (d) with idle clients connected and one whose answers do \
         not fit into its buffers any more. Held workers are let go after SIGTERM. Then (e), again and again: three clients ask and \
         SIGTERM comes while the threads take turns from one lock, wait or eventfd to the next, in orders drawn from the seed.\n\n\
         Decides: no newcomer is accepted; the process does not end before the workers are let go; every request taken \
         before SIGTERM is answered; every worker is joined before the process ends; status 0; the time; and a second \
         start on the same port."
    }

    fn cost(&self) -> u32 {
        15
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut slowest = Duration::ZERO;
        for situation in SITUATIONS {
            let mut observation = observe::observe(context, situation)?;
            for _ in 1..TRIES {
                if observation.took <= LIMIT || judge_all_but_time(&observation).outcome != Outcome::Pass {
                    break;
                }
                observation = observe::observe(context, situation)?;
            }
            let finding = judge(&observation);
            if finding.outcome != Outcome::Pass {
                return Ok(finding);
            }
            slowest = slowest.max(observation.took);
        }
        if let Some(found) = search::for_an_end(context, &CROWD, &WORDS)? {
            return Ok(found);
        }
        Ok(Finding::pass(
            expected(),
            format!(
                "so it was when idle, with tasks queued, with one in hand and with clients connected; at most {}",
                ms(slowest)
            ),
        ))
    }
}

fn expected() -> String {
    format!(
        "no newcomer is accepted, every request taken is answered, the workers are joined, exit status 0 within {} s, and a \
         new start on the same port serves",
        LIMIT.as_secs()
    )
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn judge(o: &Observation) -> Finding {
    let finding = judge_all_but_time(o);
    if finding.outcome == Outcome::Pass && o.took > LIMIT {
        return Finding::fail(
            expected(),
            format!("{}: it took {}, {TRIES} times in a row", o.situation.words(), ms(o.took)),
            o.ended_by.clone(),
            "wake the loop and the workers at once (eventfd, broadcast); give a client that does not read little time",
        );
    }
    finding
}

fn judge_all_but_time(o: &Observation) -> Finding {
    let situation = o.situation.words();
    let fail = |observed: String, place: String, hint: &str| {
        Finding::fail(expected(), format!("{situation}: {observed}"), place, hint)
    };
    if o.ended_while_held {
        return fail(
            format!(
                "the process ended while workers still had tasks in hand; {} of {} requests taken were answered",
                o.answered, o.taken
            ),
            o.ended_by.clone(),
            "close the queue, let the workers finish what is in it, send the results, join, and only then exit",
        );
    }
    if let Some(call) = &o.accepted_late {
        return fail(
            "a client that connected after SIGTERM was accepted".to_owned(),
            call.clone(),
            "close the listening socket (or take it out of the epoll set) first of all",
        );
    }
    match o.end {
        Ended::Reached => {}
        Ended::NotYet => {
            return Finding::inconclusive(
                expected(),
                format!("{situation}: the server was still at work at the harness's own deadline"),
                o.stuck.clone(),
                "run the check again on a machine that is less busy",
            );
        }
        Ended::Never => {
            return fail(
                format!(
                    "the server does not end; {} of {} requests taken were answered",
                    o.answered, o.taken
                ),
                o.stuck.clone(),
                "who waits for whom? Every sleeping worker must be woken, and no client may be waited for without a limit",
            );
        }
    }
    if o.answered < o.taken {
        return fail(
            format!("{} of {} requests taken off the sockets were answered", o.answered, o.taken),
            o.ended_by.clone(),
            "drain: what is in the queue is finished, and its results are sent before the sockets are closed",
        );
    }
    if o.status != Some(End::Status(0)) {
        return fail(
            format!("the server ended with {}", how(o.status)),
            o.ended_by.clone(),
            "handle SIGTERM (a flag and an eventfd, or a signalfd) and return 0 from main",
        );
    }
    if let Some(first) = o.unjoined.first() {
        return fail(
            format!("{} workers were not joined", o.unjoined.len()),
            first.clone(),
            "pthread_join every worker after closing the queue and waking them all; do not detach them",
        );
    }
    if let Err((reason, place)) = &o.restart {
        return fail(
            format!("started again at once on the same port it does not serve: {reason}"),
            place.clone(),
            "set SO_REUSEADDR on the listening socket before bind: connections that it closed are remembered for a minute",
        );
    }
    Finding::pass(expected(), format!("{situation}: {} answered, exit 0 after {}", o.answered, ms(o.took)))
}

fn how(status: Option<End>) -> String {
    match status {
        Some(End::Status(status)) => format!("exit status {status}"),
        Some(End::Signal(signal)) => signal_name(signal),
        None => "no status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right() -> Observation {
        Observation {
            situation: Situation::TasksQueued,
            taken: 6,
            answered: 6,
            ended_while_held: false,
            accepted_late: None,
            end: Ended::Reached,
            stuck: String::new(),
            status: Some(End::Status(0)),
            ended_by: String::new(),
            took: Duration::from_millis(5),
            unjoined: Vec::new(),
            restart: Ok(()),
        }
    }

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = right();
        change(&mut observation);
        judge(&observation).outcome
    }

    #[test]
    fn a_clean_shutdown_is_right() {
        assert_eq!(outcome(|_| {}), Outcome::Pass);
        assert_eq!(outcome(|o| o.took = LIMIT), Outcome::Pass);
    }

    #[test]
    fn each_promise_that_is_broken_fails() {
        assert_eq!(outcome(|o| o.ended_while_held = true), Outcome::Fail);
        assert_eq!(outcome(|o| o.accepted_late = Some("main thread (tid 1), accept4".into())), Outcome::Fail);
        assert_eq!(outcome(|o| o.answered = 5), Outcome::Fail);
        assert_eq!(outcome(|o| o.end = Ended::Never), Outcome::Fail);
        assert_eq!(outcome(|o| o.status = Some(End::Status(1))), Outcome::Fail);
        assert_eq!(outcome(|o| o.status = Some(End::Signal(15))), Outcome::Fail);
        assert_eq!(outcome(|o| o.unjoined.push("worker 1 (tid 2)".into())), Outcome::Fail);
        assert_eq!(
            outcome(|o| o.restart = Err(("exited with status 1".into(), "bind".into()))),
            Outcome::Fail
        );
        assert_eq!(outcome(|o| o.took = LIMIT + Duration::from_millis(1)), Outcome::Fail);
    }

    #[test]
    fn a_deadline_of_ours_decides_nothing() {
        assert_eq!(outcome(|o| o.end = Ended::NotYet), Outcome::Inconclusive);
    }

    #[test]
    fn the_evidence_names_the_situation() {
        let finding = judge(&Observation { answered: 2, ..right() });
        assert!(
            finding.observed.starts_with("SIGTERM with tasks queued behind held workers: 2 of 6"),
            "{finding:?}"
        );
    }
}
