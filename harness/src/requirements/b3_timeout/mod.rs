//! B3: a task that takes too long is answered `ERROR: timeout` while it still runs, and its late result goes to nobody.

mod judge;
mod observe;
mod others;

use super::{Context, Requirement, common::Ended};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
};
use std::time::Duration;

/// B3.
pub struct Timeout;

/// The limit that the server gets at first.
const LIMIT: Duration = Duration::from_millis(120);

/// So much longer is it each time that the machine was too slow for it.
const LONGER: u32 = 4;

/// A server's clock may be this coarse.
const GRAIN: Duration = Duration::from_millis(10);

/// A machine may be so slow that tasks which nobody holds take longer than the limit, or that half of the limit is over before
/// the second task is taken. So often it is tried.
const TRIES: u32 = 3;

/// One client of the scenario.
#[derive(Clone, Debug)]
struct Client {
    /// What it is there for, in words.
    who: &'static str,
    role: Role,
    /// What came while the workers were held.
    early: Vec<Vec<u8>>,
    /// From the moment at which its first request was sent to the first answer.
    took: Option<Duration>,
    /// Everything that came.
    lines: Vec<Vec<u8>>,
    /// The server closed its connection.
    closed: bool,
    /// What its last request gets when it is sent alone; `None` where it asks nothing in the end.
    alone: Option<Vec<u8>>,
    /// From the moment at which the workers were let go to the last answer.
    after_release: Option<Duration>,
    /// The call that sent the last of it.
    sent_by: String,
}

/// What a client must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Its first task is held: a timeout, and after that the answer to its next request.
    Held,
    /// Its task waits behind held workers: nothing, and then its answer.
    Queued,
    /// It has the descriptor number of somebody who has left: nothing, and then its own answer.
    Stranger,
}

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    /// The limit that the server got.
    limit: Duration,
    /// The second task was taken early enough to be half over, and not more, when the time of the first is.
    staggered: bool,
    /// Requests sent alone that were answered with a timeout, and after what time.
    fast: Vec<Duration>,
    /// So many workers were held mid-task of so many.
    held: (usize, usize),
    /// How the wait for the timeouts ended, and what every thread was doing then.
    timeouts: Ended,
    doing: String,
    clients: Vec<Client>,
    /// How the wait for the last answers ended, and what every thread was doing then.
    end: Ended,
    stuck: String,
    /// How many workers there were before and, once all had gone on, in the end.
    workers: (usize, usize),
    /// A task that is taken when the one before it has been given up.
    next: Option<Next>,
    /// With TASK_TIMEOUT_MS 0: what a client got while the worker was held. `None`: the server refused the 0.
    unlimited: Option<Vec<Vec<u8>>>,
}

/// A client has sent two tasks to a server with one worker. The first was held until it was given up; the second, which had
/// waited meanwhile, takes long by itself (`spin`), if the server knows that.
#[derive(Clone, Debug)]
struct Next {
    /// The answer to the second.
    answer: Option<Vec<u8>>,
    /// From the moment at which the worker could take it to the answer.
    after: Duration,
    /// The limit of this server.
    limit: Duration,
    /// How the wait for it ended, and what every thread was doing then.
    end: Ended,
    doing: String,
}

impl Requirement for Timeout {
    fn id(&self) -> Id {
        Id::new('B', 3)
    }

    fn title(&self) -> &'static str {
        "a task that takes too long is answered ERROR: timeout while it runs, its late result goes to nobody"
    }

    fn about(&self) -> &'static str {
        "The event loop answers for a worker that takes longer than TASK_TIMEOUT_MS, counted from the moment at which the \
         worker took the task. The worker goes on; what it brings in the end is thrown away. The connection stays as usable as \
         before.\n\n\
         Forced: with a limit of 120 ms (more on a slow machine), four workers held mid-task, each with the task of another \
         client; more requests wait, one of them behind a held one on the same connection; one client leaves at once and one after its timeout, and each \
         time a newcomer gets the same descriptor number. When all timeouts have come, those who were answered ask again, and \
         the workers are let go. Then a server with one worker: a task is held until it is given up, and behind it, on the same \
         connection, waits one that takes long by itself (`spin`, where the server knows it). Then a server with limit 0 and a \
         held worker.\n\n\
         Decides: `ERROR: timeout` while the worker is still held, once, and not before its time; nothing for a task that \
         waits in the queue, which is answered as usual later, or with a timeout of its own if it takes long when it is taken; \
         nothing more for those who had a timeout, and nothing for the newcomers; each further request gets what it gets alone; \
         no worker is gone in the end; no timeout with limit 0. A server that refuses \
         TASK_TIMEOUT_MS with exit status 2 does not claim this bonus: skip."
    }

    fn cost(&self) -> u32 {
        6
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut last = None;
        for attempt in 0..TRIES {
            let limit = LIMIT * LONGER.pow(attempt);
            let Some(o) = observe::observe(context, limit)? else {
                return Ok(Finding::skip(
                    EXPECTED,
                    "not claimed: TASK_TIMEOUT_MS is refused with exit status 2",
                ));
            };
            let finding = judge::judge(&o);
            let unclear = finding.outcome == Outcome::Inconclusive
                || (finding.outcome == Outcome::Pass && !o.staggered);
            if !unclear {
                return Ok(finding);
            }
            last = Some(finding);
        }
        Ok(last.expect("there was a try"))
    }
}

const EXPECTED: &str = "with TASK_TIMEOUT_MS each task that a worker has for longer is answered `ERROR: timeout` while the \
                        worker still has it, once; all others get their results";
