//! R2: the pool is fixed: WORKERS + 1 threads from readiness to shutdown.

use super::{
    Context, Requirement,
    common::{bad, good, wait_for_answers},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
    probes::{
        session::{Session, Setup},
        tracer::{event::What, thread::Role},
    },
};
use nix::sys::signal::Signal;

/// R2.
pub struct FixedPool;

/// Two sizes, so that a number in the source is not enough; and two capacities: the load does not fill the first queue, and
/// more than fills the second.
const SIZES: [(usize, usize); 2] = [(3, 64), (6, 8)];

/// More requests than workers, by this factor: whoever makes threads on demand makes them now.
const LOAD: usize = 3;

/// What was seen with one size of pool.
#[derive(Clone, Debug)]
struct Observation {
    workers: usize,
    /// Threads alive when the server was ready, and their names.
    ready: usize,
    names: Vec<String>,
    /// What happened to threads (or child processes) between readiness and SIGTERM, in words.
    changes: Vec<String>,
}

impl Requirement for FixedPool {
    fn id(&self) -> Id {
        Id::new('R', 2)
    }

    fn title(&self) -> &'static str {
        "the pool is fixed: WORKERS + 1 threads from readiness to shutdown"
    }

    fn about(&self) -> &'static str {
        "The server starts WORKERS threads beside the main thread before it serves anybody, and then neither makes nor ends \
         a thread until it is told to stop, whatever the load.\n\n\
         Forced: for two sizes of pool, all workers are held in the middle of a task while three times as many requests \
         wait, in one case more than the queue holds; then all are let go and answered; then it is quiet again.\n\n\
         Decides: the number of threads when the server is ready, and every creation and end of a thread from then until \
         SIGTERM: there must be none."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut last = None;
        for (workers, capacity) in SIZES {
            let finding = judge(&observe(context, workers, capacity)?);
            if finding.outcome != Outcome::Pass {
                return Ok(finding);
            }
            last = Some(finding);
        }
        let expected = last.map(|finding| finding.expected).unwrap_or_default();
        let sizes: Vec<String> =
            SIZES.iter().map(|(n, _)| format!("{} threads with {n} workers", n + 1)).collect();
        Ok(Finding::pass(expected, format!("{}; none came or went", sizes.join(", "))))
    }
}

fn observe(context: &Context<'_>, workers: usize, capacity: usize) -> Result<Observation, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(workers, capacity))?;
    let names = |session: &Session| -> Vec<String> {
        let of_server = session.tracer.alive().filter(|t| t.role != Role::Child);
        of_server.map(|t| format!("{}{}", t.name(), session.tracer.at_place(t.made_at))).collect()
    };
    let names = names(&session);
    let ids = session.connect_many(workers * LOAD)?;
    session.tracer.arm_mid_task();
    for (number, id) in ids.iter().enumerate() {
        // An error is no reason to lose a worker either.
        session.clients.send(*id, &if number % 2 == 1 { bad(number) } else { good(number) });
    }
    session.settle()?;
    session.tracer.release_all()?;
    // Whether they are answered is not asked here.
    wait_for_answers(&mut session, &ids, 1)?;
    for id in ids {
        session.clients.close(id);
    }
    session.settle()?;
    let until = session.tracer.events().len();
    let changes = session.tracer.events()[session.ready_at()..until]
        .iter()
        .filter_map(|event| {
            let name = session.tracer.name(event.tid);
            match event.what {
                What::Began => {
                    let made_at = session.tracer.thread(event.tid).and_then(|thread| thread.made_at);
                    Some(format!("{name} was created{}", session.tracer.at_place(made_at)))
                }
                What::Ended => Some(format!("{name} ended")),
                What::Exec => Some(format!("{name} became another program")),
                _ => None,
            }
        })
        .collect();
    session.signal(Signal::SIGTERM)?;
    Ok(Observation { workers, ready: names.len(), names, changes })
}

fn judge(o: &Observation) -> Finding {
    let right = o.workers + 1;
    let expected = format!("with WORKERS {}, {right} threads from readiness to SIGTERM", o.workers);
    if let Some(first) = o.changes.first() {
        let more = o.changes.len() - 1;
        let and = if more > 0 { format!(", and {more} more such changes") } else { String::new() };
        return Finding::fail(
            expected,
            format!("{} threads when ready; under load {first}{and}", o.ready),
            o.changes.iter().take(4).cloned().collect::<Vec<_>>().join("; "),
            "create all workers before the first accept, and let none of them return before shutdown",
        );
    }
    if o.ready != right {
        let (word, by) = if o.ready > right { ("more", o.ready - right) } else { ("fewer", right - o.ready) };
        return Finding::fail(
            expected,
            format!("{} threads when ready, {by} {word}", o.ready),
            o.names.join(", "),
            "WORKERS counts the threads that compute; the main thread runs the event loop, and nobody else is needed",
        );
    }
    Finding::pass(
        "WORKERS + 1 threads from readiness to SIGTERM, whatever the load",
        format!("{right} threads"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ready: usize, changes: &[&str]) -> Observation {
        Observation {
            workers: 3,
            ready,
            names: (0..ready).map(|n| format!("worker {n} (tid {n})")).collect(),
            changes: changes.iter().map(|c| (*c).to_owned()).collect(),
        }
    }

    #[test]
    fn exactly_one_more_than_workers() {
        assert_eq!(judge(&seen(4, &[])).outcome, Outcome::Pass);
        for wrong in [1, 3, 5, 8] {
            assert_eq!(judge(&seen(wrong, &[])).outcome, Outcome::Fail, "{wrong}");
        }
    }

    #[test]
    fn a_thread_that_comes_or_goes_fails_even_if_the_number_is_right() {
        let finding = judge(&seen(4, &["worker 4 (tid 9) was created", "worker 4 (tid 9) ended"]));
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(
            finding.observed.contains("worker 4 (tid 9) was created, and 1 more"),
            "{}",
            finding.observed
        );
    }
}
