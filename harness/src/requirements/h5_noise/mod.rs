//! H5: a line without end is refused, and binary noise is a request like any other.

mod observe;

use super::{
    Context, Requirement,
    common::{Ended, TOO_LONG, is_result, not_yet, shown},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::clients::Link,
};

/// H5.
pub struct Noise;

/// A client that sent a line that is too long.
#[derive(Clone, Debug)]
struct Long {
    /// What it sent.
    what: &'static str,
    /// Good requests that it sent before.
    before: usize,
    got: Vec<Vec<u8>>,
    link: Link,
    end: Ended,
    stuck: String,
    sent_by: String,
}

/// A line of arbitrary bytes, asked twice.
#[derive(Clone, Debug)]
struct Line {
    text: Vec<u8>,
    got: [Result<Vec<u8>, (Ended, String)>; 2],
    /// A second answer to it.
    surplus: Option<Vec<u8>>,
    sent_by: String,
}

/// A client that sent so many lines of so many bytes each, none of them too long.
#[derive(Clone, Debug)]
struct Row {
    sent: usize,
    each: usize,
    got: Vec<Vec<u8>>,
    end: Ended,
    stuck: String,
    sent_by: String,
}

/// Somebody else's request.
#[derive(Clone, Debug)]
struct Other {
    /// What had happened before.
    when: &'static str,
    end: Ended,
    stuck: String,
}

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    long: Vec<Long>,
    /// `None` if the server did not live so long.
    row: Option<Row>,
    lines: Vec<Line>,
    others: Vec<Other>,
    /// An ordinary request got the same answer twice; a VALUE that changes by itself is for R6 to judge.
    stable: bool,
    /// What was sent last, and how the process ended, if it did.
    died: Option<(String, String)>,
}

impl Requirement for Noise {
    fn id(&self) -> Id {
        Id::new('H', 5)
    }

    fn title(&self) -> &'static str {
        "a line without end is refused, and binary noise is a request like any other"
    }

    fn about(&self) -> &'static str {
        "As soon as 1025 bytes came without a newline, the client gets all earlier answers, then `ERROR: line too long`, and \
         its connection is closed. A shorter line may hold any bytes but the newline, zeros included, and gets one answer.\n\n\
         Forced: exactly 1025 bytes and nothing more; the same with a newline; good requests before it, with the worker held \
         so that their answers come later than the error could; a megabyte without a newline; a client that sends too much \
         and vanishes. 130 lines of 1000 bytes each on one connection. Lines of random bytes drawn from the seed and some \
         chosen ones (zeros, all 255 values, `%n`), each asked twice; noise without a newline, and then the end. In between another client asks.\n\n\
         Decides: the lines that each client gets, and that the connection is closed (the end of the stream, or a reset behind \
         the last line); one answer for each line of noise, the same both times; an answer for the other client."
    }

    fn cost(&self) -> u32 {
        4
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        Ok(judge(&observe::observe(context)?))
    }
}

const EXPECTED: &str = "1025 bytes without a newline get `ERROR: line too long` behind all earlier answers, and the connection \
                        is closed; any other bytes get one answer; nobody else notices";

fn judge(o: &Observation) -> Finding {
    let fail = |observed: String, place: String, hint: &str| Finding::fail(EXPECTED, observed, place, hint);
    if let Some((after, how)) = &o.died {
        return fail(
            format!("the server's process ended after {after}"),
            how.clone(),
            "a request is bytes with a length, not a C string; no buffer may be shorter than what is read into it",
        );
    }
    if let Some(finding) = o.long.iter().find_map(judge_long) {
        return finding;
    }
    if let Some(finding) = o.row.as_ref().and_then(judge_row) {
        return finding;
    }
    if let Some(finding) = o.lines.iter().find_map(|line| judge_line(line, o.stable)) {
        return finding;
    }
    if let Some(other) = o.others.iter().find(|other| other.end != Ended::Reached) {
        let what = format!("after {} another client asked and had no answer", other.when);
        return match other.end {
            Ended::NotYet => not_yet(EXPECTED, &what, &other.stuck),
            _ => fail(what, other.stuck.clone(), "what is wrong with one client must not stop the loop"),
        };
    }
    Finding::pass(
        EXPECTED,
        format!("so it was with {} long lines and {} of noise", o.long.len(), o.lines.len()),
    )
}

fn judge_long(long: &Long) -> Option<Finding> {
    let what = long.what;
    let fail = |observed: String, place: &str, hint: &str| {
        Some(Finding::fail(EXPECTED, format!("a client sent {what}: {observed}"), place, hint))
    };
    let wait_over = |observed: String, hint: &str| match long.end {
        Ended::NotYet => Some(not_yet(EXPECTED, &format!("a client sent {what}: {observed}"), &long.stuck)),
        _ => fail(observed, &long.stuck, hint),
    };
    for (number, line) in long.got.iter().enumerate() {
        let right = match number {
            n if n < long.before => is_result(line),
            n => n == long.before && line == TOO_LONG,
        };
        if !right {
            return fail(
                format!(
                    "line {} of what it got is {}; {} answers should come first, then {}, then the end",
                    number + 1,
                    shown(line),
                    long.before,
                    shown(TOO_LONG)
                ),
                &long.sent_by,
                "count the bytes since the last newline; the error stands in line behind the answers that are still owed, and \
                 nothing comes after it",
            );
        }
    }
    if long.got.len() <= long.before {
        let got = match long.before {
            0 => String::new(),
            before => format!("it got {} of {before} answers, and ", long.got.len()),
        };
        return wait_over(
            format!("{got}there came no {}", shown(TOO_LONG)),
            "do not wait for a newline that may never come: 1025 bytes without one are enough to know; and close only when \
             all that is owed was sent",
        );
    }
    match long.link {
        Link::Ended | Link::Reset => None,
        _ => wait_over(
            "it got its error, but the connection stays open".to_owned(),
            "after the error nothing can be understood any more: close (or shut down the sending side)",
        ),
    }
}

fn judge_row(row: &Row) -> Option<Finding> {
    let Row { sent, each, .. } = row;
    let what = format!("a client sent {sent} lines of {each} bytes each, none of them too long");
    if let Some((number, line)) = row.got.iter().enumerate().find(|(_, line)| !is_answer(line)) {
        return Some(Finding::fail(
            EXPECTED,
            format!("{what}: answer {} was {}", number + 1, shown(line)),
            &row.sent_by,
            "the limit is for one line: count the bytes since the last newline, not those of the connection",
        ));
    }
    let what = format!("{what}: {} answers came", row.got.len());
    match row.end {
        _ if row.got.len() == *sent => None,
        Ended::NotYet => Some(not_yet(EXPECTED, &what, &row.stuck)),
        _ => Some(Finding::fail(
            EXPECTED,
            what,
            &row.stuck,
            "the limit is for one line: a connection may carry any number of them",
        )),
    }
}

fn judge_line(line: &Line, stable: bool) -> Option<Finding> {
    let text = shown(&line.text);
    let fail =
        |observed: String, place: &str, hint: &str| Some(Finding::fail(EXPECTED, observed, place, hint));
    for got in &line.got {
        match got {
            Err((Ended::NotYet, stuck)) => {
                return Some(not_yet(EXPECTED, &format!("{text} had no answer"), stuck));
            }
            Err((_, stuck)) => {
                return fail(
                    format!("{text} ({} bytes and a newline) got no answer", line.text.len()),
                    stuck,
                    "look for the newline with memchr and the number of bytes read: strchr and strlen stop at a zero byte",
                );
            }
            Ok(answer) if !is_answer(answer) => {
                return fail(
                    format!("{text} ({} bytes and a newline) got {}", line.text.len(), shown(answer)),
                    &line.sent_by,
                    "an answer is `result: VALUE` with a VALUE that is not empty, or the worker's `ERROR: ...`",
                );
            }
            Ok(_) => {}
        }
    }
    if let Some(surplus) = &line.surplus {
        return fail(
            format!(
                "{text} ({} bytes and a newline) got a second answer: {}",
                line.text.len(),
                shown(surplus)
            ),
            &line.sent_by,
            "a line ends at its \\n and nowhere else: not at a \\r, not at a zero byte",
        );
    }
    match &line.got {
        [Ok(first), Ok(second)] if stable && first != second => fail(
            format!("{text} got {} first and then {}", shown(first), shown(second)),
            &line.sent_by,
            "compute from the bytes of the line and from no others: is its length right?",
        ),
        _ => None,
    }
}

/// Whether this can be the worker's answer to a line that is not too long.
fn is_answer(line: &[u8]) -> bool {
    let error = line.strip_prefix(b"ERROR: ").is_some_and(|message| !message.is_empty());
    is_result(line) || (error && line != TOO_LONG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn right() -> Observation {
        let long = Long {
            what: "1025 bytes",
            before: 1,
            got: vec![b"result: 1".to_vec(), TOO_LONG.to_vec()],
            link: Link::Reset,
            end: Ended::Reached,
            stuck: String::new(),
            sent_by: String::new(),
        };
        let line = Line {
            text: b"a\0b".to_vec(),
            got: [Ok(b"result: 3".to_vec()), Ok(b"result: 3".to_vec())],
            surplus: None,
            sent_by: String::new(),
        };
        let row = Row {
            sent: 2,
            each: 1000,
            got: vec![b"result: 4".to_vec(); 2],
            end: Ended::Reached,
            stuck: String::new(),
            sent_by: String::new(),
        };
        let other = Other { when: "that", end: Ended::Reached, stuck: String::new() };
        Observation {
            long: vec![long],
            row: Some(row),
            lines: vec![line],
            others: vec![other],
            stable: true,
            died: None,
        }
    }

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = right();
        change(&mut observation);
        judge(&observation).outcome
    }

    #[test]
    fn refused_in_its_turn_and_closed_is_right() {
        assert_eq!(outcome(|_| {}), Outcome::Pass);
        assert_eq!(outcome(|o| o.long[0].link = Link::Ended), Outcome::Pass);
        let rejected = || Ok(b"ERROR: invalid input".to_vec());
        assert_eq!(outcome(|o| o.lines[0].got = [rejected(), rejected()]), Outcome::Pass);
    }

    #[test]
    fn an_error_too_early_too_late_or_not_at_all_fails() {
        assert_eq!(outcome(|o| o.long[0].got.swap(0, 1)), Outcome::Fail);
        assert_eq!(outcome(|o| o.long[0].got.push(b"result: 2".to_vec())), Outcome::Fail);
        assert_eq!(outcome(|o| (o.long[0].got.pop(), o.long[0].end = Ended::Never).1), Outcome::Fail);
        assert_eq!(
            outcome(|o| (o.long[0].got.pop(), o.long[0].end = Ended::NotYet).1),
            Outcome::Inconclusive
        );
        assert_eq!(outcome(|o| (o.long[0].link, o.long[0].end) = (Link::Open, Ended::Never)), Outcome::Fail);
    }

    #[test]
    fn noise_gets_one_answer_and_the_same_both_times() {
        let answered = |with: &'static [u8]| outcome(move |o| o.lines[0].got[1] = Ok(with.to_vec()));
        assert_eq!(answered(b"result: "), Outcome::Fail);
        assert_eq!(answered(TOO_LONG), Outcome::Fail);
        assert_eq!(answered(b"result: 4"), Outcome::Fail);
        assert_eq!(
            outcome(|o| (o.lines[0].got[1], o.stable) = (Ok(b"result: 4".to_vec()), false)),
            Outcome::Pass
        );
        assert_eq!(outcome(|o| o.lines[0].got[0] = Err((Ended::Never, String::new()))), Outcome::Fail);
        assert_eq!(
            outcome(|o| o.lines[0].got[0] = Err((Ended::NotYet, String::new()))),
            Outcome::Inconclusive
        );
    }

    #[test]
    fn a_second_answer_to_noise_fails() {
        assert_eq!(outcome(|o| o.lines[0].surplus = Some(b"result: 5".to_vec())), Outcome::Fail);
    }

    #[test]
    fn many_lines_are_not_one_long_line() {
        let row = |change: fn(&mut Row)| outcome(|o| o.row.as_mut().map_or((), change));
        assert_eq!(row(|row| row.got[1] = TOO_LONG.to_vec()), Outcome::Fail);
        let lost = |row: &mut Row| (row.got.pop(), row.end = Ended::Never).1;
        assert_eq!(row(lost), Outcome::Fail);
        let late = |row: &mut Row| (row.got.pop(), row.end = Ended::NotYet).1;
        assert_eq!(row(late), Outcome::Inconclusive);
    }

    #[test]
    fn the_others_and_the_process_survive() {
        assert_eq!(outcome(|o| o.others[0].end = Ended::Never), Outcome::Fail);
        assert_eq!(outcome(|o| o.died = Some(("noise".into(), "SIGSEGV".into()))), Outcome::Fail);
    }
}
