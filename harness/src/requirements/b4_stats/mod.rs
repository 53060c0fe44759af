//! B4: STATS is answered by the event loop, even while all workers are busy, with the exact numbers.

mod line;
mod observe;

use super::{Context, Requirement, common::shown};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
};
use line::Line;

/// B4.
pub struct Stats;

const WORKERS: usize = 3;
/// So often it is tried to hold them.
const TRIES: usize = 3;
/// Requests that wait behind the held workers.
const WAITING: usize = 4;

/// One question and what came back.
#[derive(Clone, Debug)]
struct Asked {
    /// In which situation.
    when: String,
    /// The answer; `None` if none came.
    answer: Option<Vec<u8>>,
    /// What every thread was doing when none came.
    doing: String,
    /// What is right, in any of these forms.
    right: Vec<Line>,
}

impl Asked {
    /// It was answered like text of which nobody knows what it means.
    fn answer_is_ordinary(&self) -> bool {
        self.answer
            .as_deref()
            .is_some_and(|answer| answer.starts_with(b"result: ") || answer.starts_with(b"ERROR"))
    }
}

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    /// In the order of asking. The first tells whether the bonus is claimed.
    asked: Vec<Asked>,
    /// Why the situation in which workers are held could not be made, and whether the server is to blame.
    unheld: Option<Unheld>,
    /// STATS sent between other requests on one connection.
    between: Option<Between>,
    /// With every worker at work for a long time (`spin`): how many STATS tells are active, and how many tasks wait. Asked only if
    /// fewer were told active while workers were held; `None` also if the server does not know `spin`.
    spinning: Option<(u64, u64)>,
    /// Text like any other that was answered as if it were STATS.
    look_alike: Option<&'static str>,
    /// Something that other requirements judge went wrong, and the numbers mean nothing.
    spoilt: Option<String>,
}

/// Why workers were not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unheld {
    /// It is not a pool of WORKERS threads that compute, which is for others to judge.
    NoPool,
    /// They ran, but could not be held before they left their results.
    Invisible,
}

/// STATS behind a request that a held worker has.
#[derive(Clone, Debug)]
struct Between {
    /// Lines that came while the worker was held.
    early: usize,
    /// All lines in the end.
    lines: Vec<Vec<u8>>,
}

impl Requirement for Stats {
    fn id(&self) -> Id {
        Id::new('B', 4)
    }

    fn title(&self) -> &'static str {
        "STATS is answered by the event loop, even while all workers are busy, with exact numbers"
    }

    fn about(&self) -> &'static str {
        "`STATS` never goes to a worker: the event loop answers `STATS queue_depth=N active_workers=N completed=N errors=N`: \
         tasks that wait, workers with a task in hand, tasks answered `result:`, tasks answered `ERROR:` (timeouts too). STATS \
         itself counts nowhere, and keeps its place among the answers of its connection.\n\n\
         Forced: a fresh server; `STATS` with `\\r\\n`; text that only looks like it; all workers held mid-task with four more \
         tasks waiting; after they were let go, good and bad input answered; STATS sent between two requests on one connection \
         while the first is held; a client that left while its task was held; a line that is too long, which never becomes a \
         task. With a time limit (where the server takes one): a task that was answered `ERROR: timeout`, before \
         and after its worker comes back.\n\n\
         Decides: the line, to the letter, at each of these moments, asked at rest on a connection of its own. Whether a task \
         whose client has left counts as answered is left open. A server that takes STATS for ordinary text does not claim \
         this bonus: skip."
    }

    fn cost(&self) -> u32 {
        2
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut finding = judge(&observe::observe(context)?);
        // A worker may have been held because its wait had just ended by itself.
        for _ in 1..TRIES {
            if finding.outcome != Outcome::Inconclusive {
                break;
            }
            finding = judge(&observe::observe(context)?);
        }
        Ok(finding)
    }
}

const FORM: &str = "STATS queue_depth=N active_workers=N completed=N errors=N";

fn judge(o: &Observation) -> Finding {
    let expected = format!("the event loop answers `{FORM}` with the exact numbers at every moment");
    if let Some(first) = o.asked.first()
        && let Some(answer) = first.answer.as_ref().filter(|_| first.answer_is_ordinary())
    {
        return Finding::skip(expected, format!("not claimed: STATS was answered {}", shown(answer)));
    }
    for asked in &o.asked {
        if let Some(finding) = judge_one(o, asked) {
            return finding;
        }
    }
    if let Some(text) = o.look_alike {
        return Finding::fail(
            format!("`{text}` is a request like any other"),
            format!("`{text}` was answered as if it were `STATS`"),
            "",
            "STATS is the whole line, in capitals: compare the length too",
        );
    }
    if let Some(why) = &o.spoilt {
        return Finding::skip(
            expected,
            format!("not looked at: {why}, which is for other requirements to judge"),
        );
    }
    match o.unheld {
        Some(Unheld::NoPool) => {
            return Finding::skip(
                expected,
                format!(
                    "not looked at: there are not {WORKERS} workers that take tasks, which is for other requirements to judge"
                ),
            );
        }
        Some(Unheld::Invisible) => {
            return Finding::inconclusive(
                expected,
                "the workers could not be held in the middle of a task",
                "",
                "link the program dynamically and use pthread locks, so that its calls can be seen",
            );
        }
        None => {}
    }
    if let Some(between) = &o.between
        && let Some(finding) = judge_between(between)
    {
        return finding;
    }
    Finding::pass(expected, format!("so it was at {} moments", o.asked.len()))
}

/// `None` if it is right.
fn judge_one(o: &Observation, asked: &Asked) -> Option<Finding> {
    let right: Vec<String> = asked.right.iter().map(|line| format!("`{line}`")).collect();
    let expected = format!("{}: {}", asked.when, right.join(" or "));
    let Some(answer) = &asked.answer else {
        return Some(Finding::fail(
            expected,
            format!("{}: STATS was not answered", asked.when),
            asked.doing.clone(),
            "do not push STATS into the queue: answer it where the line is read",
        ));
    };
    if asked.answer_is_ordinary() {
        return Some(Finding::fail(
            expected,
            format!("{}: STATS was answered {}", asked.when, shown(answer)),
            "",
            "one \\r before the \\n does not belong to the line: drop it before you look what the line is",
        ));
    }
    let Some(told) = Line::parse(answer) else {
        return Some(Finding::fail(
            expected,
            format!("{}: {}", asked.when, shown(answer)),
            "",
            format!("the line is {FORM}, one blank between the numbers and nothing behind them"),
        ));
    };
    if asked.right.contains(&told) {
        return None;
    }
    let wrong = told.differences(&asked.right[0]);
    // A worker is held where it has just taken its task. Whoever counts it a moment later is right in a long computation.
    let right_now = asked.right[0];
    let uncounted = wrong == ["active_workers"] && told.active < right_now.active;
    // Nor has it taken one yet where what it woke for only says that there is something to take.
    let untaken = !wrong.contains(&"completed")
        && !wrong.contains(&"errors")
        && told.active < right_now.active
        && told.active + told.depth == right_now.active + right_now.depth;
    if uncounted || untaken {
        match o.spinning {
            Some((active, waiting)) if active == right_now.active && waiting == 0 => return None,
            Some(_) => {}
            None => {
                return Some(Finding::inconclusive(
                    expected,
                    format!(
                        "{}: `{told}`; the workers were held where they had just taken their tasks, perhaps before they were \
                         counted",
                        asked.when
                    ),
                    "",
                    "count a worker as active in the same critical section in which it takes the task",
                ));
            }
        }
    }
    Some(Finding::fail(
        expected,
        format!("{}: `{told}`: wrong are {}", asked.when, wrong.join(", ")),
        "",
        hint(&wrong, &told, asked),
    ))
}

fn hint(wrong: &[&str], told: &Line, asked: &Asked) -> &'static str {
    let right = asked.right[0];
    match wrong.first() {
        Some(&"active_workers") if told.active > right.active => {
            "active_workers counts the workers that have a task in hand, not the threads that are alive"
        }
        Some(&"active_workers") => {
            "a worker is active from the moment it has taken a task until it has handed it back"
        }
        Some(&"queue_depth") => "queue_depth counts the tasks that wait, not those in a worker's hand",
        _ if told.completed + told.errors > right.completed + right.errors => {
            "count each task once, when it is answered; STATS is no task, nor is a line that is too long, and a late result is \
             no answer"
        }
        _ => "completed counts the tasks answered `result:`, errors those answered `ERROR:`",
    }
}

fn judge_between(between: &Between) -> Option<Finding> {
    let expected = "a good request, STATS and a bad request sent together are answered in this order";
    let fail = |observed: String| {
        Some(Finding::fail(
            expected,
            observed,
            "",
            "put the answer to STATS into the row of answers that the connection is owed, behind those that come before it",
        ))
    };
    if between.early > 0 {
        return fail(format!(
            "{} came while the worker still had the request before it",
            shown(&between.lines[0])
        ));
    }
    let kinds: [&[u8]; 3] = [b"result: ", b"STATS ", b"ERROR: "];
    let in_order = between.lines.len() == kinds.len()
        && between.lines.iter().zip(kinds).all(|(line, kind)| line.starts_with(kind));
    if in_order {
        return None;
    }
    let lines: Vec<String> = between.lines.iter().map(|line| shown(line)).collect();
    fail(if lines.is_empty() {
        "no answer came".to_owned()
    } else {
        format!("the answers were {}", lines.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(depth: u64, active: u64, completed: u64, errors: u64) -> Line {
        Line { depth, active, completed, errors }
    }

    fn asked(when: &str, answer: &str, right: &[Line]) -> Asked {
        Asked {
            when: when.into(),
            answer: Some(answer.as_bytes().to_vec()),
            doing: String::new(),
            right: right.to_vec(),
        }
    }

    const FRESH: &str = "STATS queue_depth=0 active_workers=0 completed=1 errors=0";
    const BUSY: &str = "STATS queue_depth=4 active_workers=3 completed=1 errors=0";

    fn right() -> Observation {
        Observation {
            asked: vec![
                asked("fresh", FRESH, &[line(0, 0, 1, 0)]),
                asked("held", BUSY, &[line(4, 3, 1, 0)]),
                asked(
                    "left",
                    "STATS queue_depth=0 active_workers=0 completed=5 errors=3",
                    &[line(0, 0, 5, 3), line(0, 0, 6, 3)],
                ),
            ],
            unheld: None,
            between: Some(Between {
                early: 0,
                lines: [&b"result: 1"[..], FRESH.as_bytes(), b"ERROR: invalid input"]
                    .map(<[u8]>::to_vec)
                    .into(),
            }),
            spinning: None,
            look_alike: None,
            spoilt: None,
        }
    }

    fn outcome<T>(change: impl FnOnce(&mut Observation) -> T) -> Outcome {
        let mut o = right();
        change(&mut o);
        judge(&o).outcome
    }

    #[test]
    fn exact_numbers_pass_and_either_count_of_a_client_that_left() {
        assert_eq!(outcome(|_| ()), Outcome::Pass);
        let other = b"STATS queue_depth=0 active_workers=0 completed=6 errors=3";
        assert_eq!(outcome(|o| o.asked[2].answer = Some(other.to_vec())), Outcome::Pass);
    }

    #[test]
    fn ordinary_text_is_no_claim() {
        assert_eq!(outcome(|o| o.asked[0].answer = Some(b"result: 77".to_vec())), Outcome::Skip);
        assert_eq!(outcome(|o| o.asked[0].answer = Some(b"ERROR: what?".to_vec())), Outcome::Skip);
    }

    #[test]
    fn stats_is_the_whole_line_without_its_end() {
        assert_eq!(outcome(|o| o.asked[1].answer = Some(b"result: 77".to_vec())), Outcome::Fail);
        assert_eq!(outcome(|o| o.look_alike = Some("STATSX")), Outcome::Fail);
    }

    #[test]
    fn a_wrong_number_fails() {
        for (n, answer) in [
            (0, "STATS queue_depth=0 active_workers=3 completed=1 errors=0"),
            (0, "STATS queue_depth=0 active_workers=0 completed=2 errors=0"),
            (1, "STATS queue_depth=7 active_workers=3 completed=1 errors=0"),
            (1, "STATS queue_depth=3 active_workers=4 completed=1 errors=0"),
            (2, "STATS queue_depth=0 active_workers=0 completed=7 errors=3"),
            (2, "STATS queue_depth=0 active_workers=0 completed=5 errors=0"),
        ] {
            let wrong = |o: &mut Observation| o.asked[n].answer = Some(answer.as_bytes().to_vec());
            assert_eq!(outcome(wrong), Outcome::Fail, "{answer}");
        }
    }

    #[test]
    fn another_form_and_no_answer_fail() {
        for answer in ["", "STATS", "STATS queue_depth=0 active_workers=0 completed=1 errors=0 ", "OK"] {
            assert_eq!(outcome(|o| o.asked[0].answer = Some(answer.as_bytes().to_vec())), Outcome::Fail);
        }
        assert_eq!(outcome(|o| o.asked[1].answer = None), Outcome::Fail);
    }

    #[test]
    fn a_worker_that_is_counted_a_moment_later_is_looked_at_again() {
        let late = |o: &mut Observation, spinning| {
            let answer = b"STATS queue_depth=4 active_workers=0 completed=1 errors=0";
            o.asked[1].answer = Some(answer.to_vec());
            o.spinning = spinning;
        };
        assert_eq!(outcome(|o| late(o, None)), Outcome::Inconclusive);
        assert_eq!(outcome(|o| late(o, Some((3, 0)))), Outcome::Pass);
        assert_eq!(outcome(|o| late(o, Some((3, 2)))), Outcome::Fail);
        assert_eq!(outcome(|o| late(o, Some((0, 0)))), Outcome::Fail);
    }

    #[test]
    fn a_worker_that_has_only_heard_of_a_task_has_none_yet() {
        let told = |answer: &'static str, spinning| {
            outcome(|o| {
                o.asked[1].right = vec![Line { depth: 4, active: 3, completed: 1, errors: 0 }];
                o.asked[1].answer = Some(answer.as_bytes().to_vec());
                o.spinning = spinning;
            })
        };
        let none = "STATS queue_depth=7 active_workers=0 completed=1 errors=0";
        assert_eq!(told(none, Some((3, 0))), Outcome::Pass);
        assert_eq!(told(none, Some((0, 3))), Outcome::Fail);
        assert_eq!(told(none, None), Outcome::Inconclusive);
        let lost = "STATS queue_depth=6 active_workers=0 completed=1 errors=0";
        assert_eq!(told(lost, Some((3, 0))), Outcome::Fail);
    }

    #[test]
    fn stats_keeps_its_place() {
        let between = |early, lines: &[&str]| {
            let lines = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
            outcome(|o| o.between = Some(Between { early, lines }))
        };
        assert_eq!(between(1, &[FRESH, "result: 1", "ERROR: invalid input"]), Outcome::Fail);
        assert_eq!(between(0, &["result: 1", "ERROR: invalid input", FRESH]), Outcome::Fail);
        assert_eq!(between(0, &["result: 1", "ERROR: invalid input"]), Outcome::Fail);
    }

    #[test]
    fn what_others_judge_is_not_judged_here() {
        assert_eq!(outcome(|o| o.spoilt = Some("client 3 got no answer".into())), Outcome::Skip);
        assert_eq!(outcome(|o| o.unheld = Some(Unheld::NoPool)), Outcome::Skip);
        assert_eq!(outcome(|o| o.unheld = Some(Unheld::Invisible)), Outcome::Inconclusive);
        // What was seen before that counts all the same.
        let both = |o: &mut Observation| {
            (o.spoilt = Some(String::new()), o.asked[0].answer = Some(BUSY.as_bytes().to_vec()))
        };
        assert_eq!(outcome(both), Outcome::Fail);
    }
}
