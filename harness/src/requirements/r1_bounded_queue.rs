//! R1: the task queue is bounded, and a full queue makes the loop wait without spinning.

use super::{
    Context, Requirement,
    common::{
        Ended, all_held, good, held_before_results, held_where, is_result, not_yet, shown, stuck,
        wait_for_answers, worker_turns,
    },
    search::{self, Crowd, Words},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::{
        session::{Session, Settled, Setup},
        tracer::At,
    },
};

/// R1.
pub struct BoundedQueue;

/// Pools and queues of two sizes, so that a number that happens to fit is not enough.
const SITUATIONS: [(usize, usize); 2] = [(4, 8), (2, 3)];

/// More clients than the queue and the workers can take, by this many.
const SURPLUS: usize = 16;

/// Where orders of steps are drawn: nearly no room in the queue.
const CROWDS: [Crowd; 2] =
    [Crowd { workers: 1, capacity: 1, clients: 5 }, Crowd { workers: 2, capacity: 1, clients: 6 }];

const WORDS: Words<'_> = Words {
    compares: false,
    expected: "in whatever order the threads take their steps, a request that finds the queue full goes on when there is \
               room, and every client is answered",
    hint: "read the last turns: a push that waits for room must look again under the lock after it woke, and every pop must \
           wake it",
};

/// What was seen in one situation.
#[derive(Clone, Debug)]
struct Observation {
    workers: usize,
    capacity: usize,
    clients: usize,
    /// Where workers were held.
    held: Vec<(i32, At)>,
    /// Every worker that there is was held.
    all_held: bool,
    /// No worker was given a processor while the requests came in.
    workers_slept: bool,
    /// Requests that the server had taken off the sockets when everything had come to rest.
    taken: usize,
    /// Requests that it had answered by then.
    answered_early: usize,
    /// How it had come to rest.
    rest: Rest,
    /// What each thread was doing then.
    doing: String,
    /// Requests answered `result:` in the end, and the first answer that was something else, with the call that sent it.
    answered: usize,
    refused: Option<(String, String)>,
    /// How the wait for that ended, and what each thread was doing if in vain.
    end: Ended,
    stuck: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Asleep,
    MainSpins,
    OtherSpins,
    Busy,
    Gone,
}

impl Requirement for BoundedQueue {
    fn id(&self) -> Id {
        Id::new('R', 1)
    }

    fn title(&self) -> &'static str {
        "the task queue is bounded: a full queue makes the loop wait"
    }

    fn about(&self) -> &'static str {
        "The queue takes CAPACITY tasks. When it is full, a push waits until a worker takes one; it neither drops the task \
         nor grows the queue, and the loop sleeps meanwhile.\n\n\
         Forced: every worker is held in the middle of a task. Then WORKERS + CAPACITY + 16 clients send one request each, \
         for two sizes of pool and queue. Then 1 or 2 workers, CAPACITY 1 and some clients, again and again: the threads take turns \
         from one lock, wait or eventfd to the next, in orders drawn from the seed.\n\n\
         Decides: between CAPACITY and WORKERS + CAPACITY + 1 requests are taken off the sockets, the others wait in the \
         kernel (a loop that blocks in push and a loop that stops reading are both right); every thread sleeps; and once \
         the workers go on, every client is answered."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut seen = Vec::new();
        for (workers, capacity) in SITUATIONS {
            let observation = observe(context, workers, capacity)?;
            let finding = judge(&observation);
            if finding.outcome != crate::model::Outcome::Pass {
                return Ok(finding);
            }
            seen.push(finding);
        }
        if let Some(found) = search::for_answers(context, &CROWDS, &WORDS)? {
            return Ok(found);
        }
        let observed: Vec<String> = seen.iter().map(|finding| finding.observed.clone()).collect();
        Ok(Finding::pass(seen[0].expected.clone(), observed.join("; ")))
    }
}

fn observe(context: &Context<'_>, workers: usize, capacity: usize) -> Result<Observation, Trouble> {
    let clients = workers + capacity + SURPLUS;
    let mut session = Session::launch(context.program, &Setup::new(workers, capacity))?;
    let ids = session.connect_many(clients)?;
    session.settle()?;
    let turns = worker_turns(&session);
    session.tracer.arm_mid_task();
    for (number, id) in ids.iter().enumerate() {
        session.clients.send(*id, &good(number));
    }
    let settled = session.settle()?;
    let main = session.tracer.main();
    let rest = match &settled {
        Settled::AtRest(_) => Rest::Asleep,
        Settled::Spinning(by, _) if by.contains(&main) => Rest::MainSpins,
        Settled::Spinning(..) => Rest::OtherSpins,
        Settled::Busy(_) => Rest::Busy,
        Settled::Ended => Rest::Gone,
    };
    let taken = |number: usize, id: usize| {
        session.server_side(id).is_some_and(|side| side.bytes_in >= good(number).len() as u64)
    };
    let observation = Observation {
        workers,
        capacity,
        clients,
        held: session.tracer.held(),
        all_held: all_held(&session),
        workers_slept: worker_turns(&session) == turns,
        taken: ids.iter().enumerate().filter(|(number, id)| taken(*number, **id)).count(),
        answered_early: ids.iter().filter(|id| session.clients.get(**id).answers() > 0).count(),
        rest,
        doing: settled.snapshot().map(|s| s.describe()).unwrap_or_default(),
        answered: 0,
        refused: None,
        end: Ended::Never,
        stuck: String::new(),
    };
    session.tracer.release_all()?;
    let wait = wait_for_answers(&mut session, &ids, 1)?;
    let firsts = || ids.iter().filter_map(|id| Some((*id, *session.clients.get(*id).lines().first()?)));
    Ok(Observation {
        answered: firsts().filter(|(_, answer)| is_result(answer)).count(),
        refused: firsts()
            .find(|(_, answer)| !is_result(answer))
            .map(|(id, answer)| (shown(answer), session.sent_by(id))),
        end: Ended::from(&wait),
        stuck: stuck(&wait),
        ..observation
    })
}

fn judge(o: &Observation) -> Finding {
    let Observation { workers, capacity, clients, .. } = *o;
    let most = workers + capacity + 1;
    let expected = format!(
        "with {workers} workers held mid-task and CAPACITY {capacity}, {capacity} to {most} of {clients} requests are taken \
         off the sockets, the loop sleeps, and all are answered once the workers go on"
    );
    let fail =
        |observed: String, place: &str, hint: &str| Finding::fail(expected.clone(), observed, place, hint);
    if o.rest == Rest::Gone {
        return fail(
            format!("the server ended while {clients} requests came in"),
            "",
            "a client that has to wait is no reason to end",
        );
    }
    if o.held.is_empty() {
        return if o.workers_slept && o.answered_early > 0 {
            fail(
                format!(
                    "{} requests were answered and no worker ran: there is no queue between loop and workers",
                    o.answered_early
                ),
                &o.doing,
                "the event loop must push each request as a task and leave the computing to the workers",
            )
        } else {
            Finding::inconclusive(
                expected,
                "the workers ran, but made no call at which they could be held",
                o.doing.clone(),
                "link the program dynamically, so that its pthread calls can be seen",
            )
        };
    }
    let in_hand = o.taken.saturating_sub(o.answered_early);
    let seen = format!("{}: {in_hand} of {clients} requests taken off the sockets", held_where(&o.held));
    if in_hand > most {
        return fail(
            format!("{seen}, {} more than fit", in_hand - most),
            &o.doing,
            "push must wait while the queue holds CAPACITY tasks (or the loop must stop reading); is CAPACITY what bounds it?",
        );
    }
    if o.rest == Rest::Busy {
        return not_yet(&expected, &seen, &o.doing);
    }
    // A worker that was not held, or that was held late with a lock that nobody sees, may be what the others wait for.
    if in_hand < capacity && !(o.all_held && held_before_results(&o.held)) {
        return Finding::inconclusive(
            expected,
            format!("{seen}; not every worker could be held where it holds no lock"),
            o.doing.clone(),
            "link the program dynamically and let workers wait on a condition variable or a semaphore, which can be seen",
        );
    }
    if in_hand < capacity {
        return fail(
            seen,
            &o.doing,
            "the queue must take CAPACITY tasks before push waits; is it as large as the argument says?",
        );
    }
    match o.rest {
        Rest::MainSpins => {
            return fail(
                format!("{seen}; the loop does not sleep while the queue is full"),
                &o.doing,
                "wait on a condition variable (or stop watching the sockets) instead of trying again and again",
            );
        }
        Rest::Asleep | Rest::OtherSpins | Rest::Busy | Rest::Gone => {}
    }
    if let Some((answer, sent_by)) = &o.refused {
        return fail(
            format!("{} of {clients} good requests were answered {answer} or the like", clients - o.answered),
            sent_by,
            "a full queue is no reason to refuse a request: push waits until there is room",
        );
    }
    match o.end {
        _ if o.answered == clients => Finding::pass(
            "CAPACITY to WORKERS + CAPACITY + 1 requests are taken while every worker is held; all are answered",
            format!(
                "{workers} workers, CAPACITY {capacity}: {in_hand} of {clients} taken, then all answered"
            ),
        ),
        Ended::NotYet => not_yet(&expected, &format!("{} of {clients} were answered", o.answered), &o.stuck),
        _ => fail(
            format!("{} of {clients} clients were answered once the workers went on", o.answered),
            &o.stuck,
            "a worker that takes a task must wake a push that waits for room; no request may be dropped when the queue is full",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn right() -> Observation {
        Observation {
            workers: 4,
            capacity: 8,
            clients: 28,
            held: (1..=4).map(|tid| (tid, At::Release)).collect(),
            all_held: true,
            workers_slept: false,
            taken: 12,
            answered_early: 0,
            rest: Rest::Asleep,
            doing: "main thread (tid 1) sleeps in epoll_wait".into(),
            answered: 28,
            refused: None,
            end: Ended::Reached,
            stuck: String::new(),
        }
    }

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = right();
        change(&mut observation);
        judge(&observation).outcome
    }

    #[test]
    fn the_whole_range_is_right_and_nothing_beyond() {
        for taken in 8..=13 {
            assert_eq!(outcome(|o| o.taken = taken), Outcome::Pass, "{taken}");
        }
        for taken in [0, 7, 14, 28] {
            assert_eq!(outcome(|o| o.taken = taken), Outcome::Fail, "{taken}");
        }
    }

    #[test]
    fn too_few_taken_is_judged_only_if_every_worker_was_surely_held() {
        assert_eq!(outcome(|o| (o.taken, o.all_held) = (2, false)), Outcome::Inconclusive);
        assert_eq!(outcome(|o| (o.taken, o.held[0].1) = (2, At::Call("write"))), Outcome::Inconclusive);
        assert_eq!(outcome(|o| (o.taken, o.rest) = (2, Rest::Busy)), Outcome::Inconclusive);
    }

    #[test]
    fn a_loop_that_spins_while_full_fails() {
        assert_eq!(outcome(|o| o.rest = Rest::MainSpins), Outcome::Fail);
        assert_eq!(outcome(|o| o.rest = Rest::OtherSpins), Outcome::Pass);
    }

    #[test]
    fn requests_that_are_never_answered_fail_and_late_ones_are_not_decided() {
        assert_eq!(outcome(|o| (o.answered, o.end) = (27, Ended::Never)), Outcome::Fail);
        assert_eq!(outcome(|o| (o.answered, o.end) = (27, Ended::Reached)), Outcome::Fail);
        assert_eq!(outcome(|o| (o.answered, o.end) = (27, Ended::NotYet)), Outcome::Inconclusive);
    }

    #[test]
    fn a_request_that_is_refused_fails_even_if_it_has_an_answer() {
        let refuses = |o: &mut Observation| (o.taken, o.answered_early, o.answered) = (28, 16, 12);
        assert_eq!(
            outcome(|o| (
                refuses(o),
                o.refused = Some(("`ERROR: busy`".into(), "main thread (tid 1), send(fd 7)".into()))
            )
                .0),
            Outcome::Fail
        );
    }

    #[test]
    fn a_server_without_a_queue_fails_but_one_that_cannot_be_seen_into_does_not() {
        let none = |o: &mut Observation| (o.held, o.taken, o.answered_early) = (Vec::new(), 28, 28);
        assert_eq!(outcome(|o| (none(o), o.workers_slept = true).0), Outcome::Fail);
        assert_eq!(outcome(none), Outcome::Inconclusive);
    }

    #[test]
    fn the_evidence_names_the_numbers_and_what_the_threads_did() {
        let finding = judge(&Observation { taken: 28, ..right() });
        assert!(
            finding.observed.contains("28 of 28 requests") && finding.observed.contains("15 more"),
            "{finding:?}"
        );
        assert!(finding.place.contains("epoll_wait"));
    }
}
