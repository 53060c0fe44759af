//! B2: with WORKERS = 2-8 the pool grows while tasks wait and all workers are busy, and shrinks when it is idle.

mod observe;
mod pool;
mod retire;

use super::{
    Context, Requirement,
    common::{Ended, not_yet, shown},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
    probes::{session::signal_name, tracer::End},
};
use std::time::Duration;

/// B2.
pub struct DynamicPool;

/// The range that the quest asks for.
const MIN: usize = 2;
const MAX: usize = 8;

/// How soon an idle pool is small again.
const LIMIT: Duration = Duration::from_secs(5);

/// Too slow is only what was too slow so often.
const TRIES: usize = 3;

/// One task more than before, sent when everything was at rest and every worker so far was held.
#[derive(Clone, Debug)]
struct Step {
    /// Tasks that are not finished, this one included.
    tasks: usize,
    /// Workers before and after.
    before: usize,
    after: usize,
    doing: String,
}

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    /// Workers when the server was ready.
    ready: usize,
    /// Workers that came while one client at a time asked.
    for_nothing: usize,
    /// Growing for the first time and, after it was small again, for the second time.
    growth: Vec<Step>,
    /// All workers whose holding was tried in the first growth were held mid-task.
    held: bool,
    /// The most workers at any time.
    most: usize,
    /// The fewest since readiness.
    fewest: usize,
    /// Clients whose answers were wrong in the end: who, and what they got.
    wrong: Vec<String>,
    /// How the wait for answers ended, if not with all of them.
    answers: Ended,
    stuck: String,
    /// From the last answer to the moment at which MIN workers were left; `None` if that never came.
    shrank: Option<Duration>,
    shrinking: Ended,
    left: String,
    /// Tasks that were sent when a worker was about to retire and all others were held.
    retiring: Vec<Retiring>,
    /// SIGTERM while it was grown.
    end: Option<End>,
    unjoined: Vec<String>,
}

/// What became of a task that was sent while a worker was held whose wait had timed out.
#[derive(Clone, Debug)]
struct Retiring {
    answered: bool,
    end: Ended,
    place: String,
    doing: String,
}

impl Requirement for DynamicPool {
    fn id(&self) -> Id {
        Id::new('B', 2)
    }

    fn title(&self) -> &'static str {
        "with WORKERS 2-8 the pool grows while tasks wait, shrinks when idle, and loses nothing"
    }

    fn about(&self) -> &'static str {
        "`2-8` means: two workers at the start; one more whenever a task waits and every worker is busy, up to eight; two \
         again within 5 seconds of idling.\n\n\
         Forced: one client at a time asks, which two workers can do; then each worker is held mid-task while one task after \
         the other is sent, newcomers included, up to eight held workers and four tasks that wait; all are let go; when the \
         pool is small again it must grow again, and of two workers whose wait times out one is held before it has the lock \
         back and one where it releases it, all others are held mid-task, and each time a task is sent; SIGTERM while the pool is \
         grown, and the workers do not end before the process does or waits for them.\n\n\
         Decides: the number of workers at each of these moments, never above eight and never below two; every task is \
         answered once, that of the retiring moment while the other workers are still held; after SIGTERM every worker has \
         ended before the process exits with 0. More than 5 seconds to get small fails only three times in a row. Threads \
         that run another function than the two workers at the start do not count. A server that refuses `2-8` with exit \
         status 2 does not claim this bonus: skip."
    }

    fn cost(&self) -> u32 {
        25
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut finding = None;
        for _ in 0..TRIES {
            let Some(o) = observe::observe(context)? else {
                return Ok(Finding::skip(EXPECTED, "not claimed: WORKERS 2-8 is refused with exit status 2"));
            };
            let seen = judge(&o);
            let slow = seen.outcome == Outcome::Fail && o.shrank.is_some_and(|took| took > LIMIT);
            let again = slow || seen.outcome == Outcome::Inconclusive;
            finding = Some(seen);
            if !again {
                break;
            }
        }
        Ok(finding.expect("there was a try"))
    }
}

const EXPECTED: &str = "with WORKERS 2-8, 2 workers when ready, one more whenever a task waits and all are busy, never more \
                        than 8, and 2 again within 5 s of idling; every task is answered once";

fn judge(o: &Observation) -> Finding {
    let fail = |observed: String, place: &str, hint: &str| Finding::fail(EXPECTED, observed, place, hint);
    if o.ready != MIN {
        return fail(
            format!("{} workers when ready", o.ready),
            "",
            "start with MIN workers; without this bonus refuse `2-8` with exit status 2",
        );
    }
    if o.for_nothing > 0 {
        return fail(
            format!("{} workers were created while one client at a time asked", o.for_nothing),
            "",
            "grow only if a task would have to wait: if unfinished tasks outnumber the workers",
        );
    }
    if !o.held {
        return Finding::inconclusive(
            EXPECTED,
            "the workers could not be held in the middle of a task",
            "",
            "link the program dynamically and use pthread locks, so that its calls can be seen",
        );
    }
    if o.most > MAX {
        return fail(
            format!("{} workers at a time", o.most),
            "",
            "MAX counts all workers, those of the start included",
        );
    }
    if let Some(finding) = o.growth.iter().find_map(judge_step) {
        return finding;
    }
    if o.fewest < MIN {
        return fail(
            format!("only {} workers were left", o.fewest),
            "",
            "decide and count in one critical section: a worker may go only while more than MIN are left",
        );
    }
    if let Some(first) = o.wrong.first() {
        return match o.answers {
            Ended::NotYet => not_yet(EXPECTED, first, &o.stuck),
            _ => fail(
                first.clone(),
                &o.stuck,
                "a task is taken by one worker and answered once, whoever comes and goes",
            ),
        };
    }
    if let Some(finding) = judge_shrinking(o) {
        return finding;
    }
    if let Some(retiring) = o.retiring.iter().find(|retiring| !retiring.answered) {
        let seen = "a task that was sent while a worker was about to retire was not answered while the others were busy";
        return match retiring.end {
            Ended::NotYet => not_yet(EXPECTED, seen, &retiring.doing),
            _ => Finding::fail(
                EXPECTED,
                seen,
                format!("{}; then {}", retiring.place, retiring.doing),
                "a worker whose wait timed out looks at the queue once more and counts itself out in the same critical \
                 section; otherwise a push still counts on it",
            ),
        };
    }
    judge_end(o).unwrap_or_else(|| {
        let took = o.shrank.unwrap_or_default().as_secs_f64();
        Finding::pass(
            EXPECTED,
            format!("2 to {} workers as tasks came, 2 again {took:.1} s after the last answer", o.most),
        )
    })
}

/// `None` if it is right.
fn judge_step(step: &Step) -> Option<Finding> {
    let Step { tasks, before, after, .. } = *step;
    let what = format!("{tasks} unfinished tasks and {before} workers");
    let fail =
        |observed: String, hint: &str| Some(Finding::fail(EXPECTED, observed, step.doing.clone(), hint));
    if tasks <= before && after > before {
        return fail(
            format!("with {what} the pool grew to {after}, although a worker was free"),
            "grow only if unfinished tasks outnumber the workers",
        );
    }
    if tasks > before && after <= before && before < MAX {
        return fail(
            format!("with {what}, all of them busy, the pool did not grow"),
            "after each push: does a task wait, is every worker busy, are there fewer than MAX?",
        );
    }
    None
}

fn judge_shrinking(o: &Observation) -> Option<Finding> {
    match (o.shrank, o.shrinking) {
        (Some(took), _) if took <= LIMIT => None,
        (Some(took), _) => Some(Finding::fail(
            EXPECTED,
            format!(
                "{:.1} s after the last answer 2 workers were left, {TRIES} times in a row",
                took.as_secs_f64()
            ),
            "",
            "let an idle worker wait with a time limit (pthread_cond_timedwait) of a second or so",
        )),
        (None, Ended::NotYet) => Some(not_yet(EXPECTED, "the pool had not become small", &o.left)),
        (None, _) => Some(Finding::fail(
            EXPECTED,
            "the pool was idle and never became small again",
            o.left.clone(),
            "let an idle worker wait with a time limit (pthread_cond_timedwait), and go if there are more than MIN",
        )),
    }
}

fn judge_end(o: &Observation) -> Option<Finding> {
    let fail =
        |observed: String, place: String, hint: &str| Some(Finding::fail(EXPECTED, observed, place, hint));
    match o.end {
        Some(End::Status(0)) => {}
        Some(End::Status(status)) => {
            return fail(
                format!("exit status {status} after SIGTERM while grown"),
                String::new(),
                "as with a fixed pool: 0",
            );
        }
        Some(End::Signal(signal)) => {
            return fail(
                format!("killed by {} after SIGTERM while grown", signal_name(signal)),
                String::new(),
                "join all workers that were ever started, each once",
            );
        }
        None => {
            return fail(
                "the server did not end after SIGTERM while grown".to_owned(),
                o.left.clone(),
                "wake all workers, those that came later too",
            );
        }
    }
    let first = o.unjoined.first()?;
    fail(
        format!("{} workers were still alive when the process ended", o.unjoined.len()),
        first.clone(),
        "join every worker that is there at the end, whenever it was created",
    )
}

/// A client that was not answered exactly once with what it should get, in words.
fn wrong_answer(client: usize, lines: &[&[u8]], alone: &[u8]) -> Option<String> {
    match lines {
        [] => Some(format!("client {client} was not answered")),
        [one] if *one == alone => None,
        [one] => Some(format!("client {client} got {}, and alone it gets {}", shown(one), shown(alone))),
        [_, second, ..] => Some(format!("client {client} got a second answer, {}", shown(second))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(tasks: usize, before: usize, after: usize) -> Step {
        Step { tasks, before, after, doing: String::new() }
    }

    fn right() -> Observation {
        let up = |tasks: usize| step(tasks, (tasks - 1).clamp(MIN, MAX), tasks.clamp(MIN, MAX));
        Observation {
            ready: 2,
            for_nothing: 0,
            growth: (1..=12).chain(1..=4).map(up).collect(),
            held: true,
            most: 8,
            fewest: 2,
            wrong: Vec::new(),
            answers: Ended::Reached,
            stuck: String::new(),
            shrank: Some(Duration::from_secs(1)),
            shrinking: Ended::Reached,
            left: String::new(),
            retiring: vec![Retiring {
                answered: true,
                end: Ended::Reached,
                place: String::new(),
                doing: String::new(),
            }],
            end: Some(End::Status(0)),
            unjoined: Vec::new(),
        }
    }

    fn outcome<T>(change: impl FnOnce(&mut Observation) -> T) -> Outcome {
        let mut o = right();
        change(&mut o);
        judge(&o).outcome
    }

    #[test]
    fn growing_and_shrinking_within_the_range_is_right() {
        assert_eq!(outcome(|_| ()), Outcome::Pass);
        // More than one at a time is allowed.
        assert_eq!(outcome(|o| o.growth = vec![step(3, 2, 8), step(4, 8, 8)]), Outcome::Pass);
        // Who never leaves while others are busy is not caught on its way out.
        assert_eq!(outcome(|o| o.retiring.clear()), Outcome::Pass);
    }

    #[test]
    fn a_wrong_number_fails() {
        for wrong in [0, 1, 3, 8] {
            assert_eq!(outcome(|o| o.ready = wrong), Outcome::Fail, "{wrong}");
        }
        assert_eq!(outcome(|o| o.most = 9), Outcome::Fail);
        assert_eq!(outcome(|o| o.fewest = 1), Outcome::Fail);
        assert_eq!(outcome(|o| o.for_nothing = 1), Outcome::Fail);
    }

    #[test]
    fn growth_without_need_and_need_without_growth_fail() {
        assert_eq!(outcome(|o| o.growth = vec![step(1, 2, 3)]), Outcome::Fail);
        assert_eq!(outcome(|o| o.growth = vec![step(2, 2, 3)]), Outcome::Fail);
        assert_eq!(outcome(|o| o.growth = vec![step(3, 2, 2)]), Outcome::Fail);
        assert_eq!(outcome(|o| o.growth = vec![step(8, 7, 7)]), Outcome::Fail);
        assert_eq!(outcome(|o| o.growth = vec![step(12, 8, 8)]), Outcome::Pass);
    }

    #[test]
    fn a_pool_that_stays_large_fails_and_one_that_may_yet_shrink_is_not_decided() {
        assert_eq!(outcome(|o| (o.shrank, o.shrinking) = (None, Ended::Never)), Outcome::Fail);
        assert_eq!(outcome(|o| (o.shrank, o.shrinking) = (None, Ended::NotYet)), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.shrank = Some(Duration::from_secs(6))), Outcome::Fail);
    }

    #[test]
    fn a_lost_task_fails() {
        let lost = |o: &mut Observation, end| {
            (o.retiring[0].answered, o.retiring[0].end) = (false, end);
        };
        assert_eq!(outcome(|o| lost(o, Ended::Never)), Outcome::Fail);
        assert_eq!(outcome(|o| lost(o, Ended::NotYet)), Outcome::Inconclusive);
        let none = |o: &mut Observation| {
            (o.wrong.push("client 1 was not answered".into()), o.answers = Ended::Never)
        };
        assert_eq!(outcome(none), Outcome::Fail);
    }

    #[test]
    fn the_end_is_that_of_a_fixed_pool() {
        assert_eq!(outcome(|o| o.end = Some(End::Status(1))), Outcome::Fail);
        assert_eq!(outcome(|o| o.end = Some(End::Signal(11))), Outcome::Fail);
        assert_eq!(outcome(|o| o.end = None), Outcome::Fail);
        assert_eq!(outcome(|o| o.unjoined.push("worker 5 (tid 9)".into())), Outcome::Fail);
    }

    #[test]
    fn without_holds_nothing_is_decided() {
        assert_eq!(outcome(|o| o.held = false), Outcome::Inconclusive);
    }

    #[test]
    fn one_answer_and_the_right_one() {
        let own = &b"result: 1"[..];
        assert_eq!(wrong_answer(1, &[own], own), None);
        for lines in [&[][..], &[&b"result: 2"[..]], &[own, own]] {
            assert!(wrong_answer(1, lines, own).is_some());
        }
    }
}
