//! H3: half-closed clients are answered.

mod observe;

use super::{
    Context, Requirement,
    common::{Ended, LONGEST_LINE, TOO_LONG, held_where, is_result, not_yet, shown},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
    probes::{clients::Link, session::Death, tracer::At},
};

/// H3.
pub struct HalfClosed;

/// When a client shuts down its sending side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Together with its requests.
    AtOnce,
    /// While workers have its tasks.
    MidTask,
    /// Before its results are ready; the loop finds both at the same time.
    JustBeforeResults,
    /// After its results are ready; the loop finds both at the same time.
    JustAfterResults,
    /// When the server has more answers for it than its buffers hold.
    Unread,
}

impl When {
    fn words(self) -> &'static str {
        match self {
            Self::AtOnce => "together with them",
            Self::MidTask => "while workers had them",
            Self::JustBeforeResults => {
                "just before their results were ready, so that the loop found both at once"
            }
            Self::JustAfterResults => {
                "just after their results were ready, so that the loop found both at once"
            }
            Self::Unread => "while it did not read, and the answers did not fit into the buffers",
        }
    }
}

/// One case.
#[derive(Clone, Copy, Debug)]
struct Case {
    requests: usize,
    when: When,
    tail: Tail,
}

/// What follows behind the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nothing.
    None,
    /// A last line without its newline, which is no request.
    Unfinished,
    /// 1025 bytes without a newline, which get an error of their own.
    TooLong,
}

impl Tail {
    fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Unfinished => " and a line without its newline",
            Self::TooLong => " and a line that is too long",
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Unfinished => b"no newline".to_vec(),
            Self::TooLong => vec![b'x'; LONGEST_LINE + 1],
        }
    }

    /// What it is answered.
    fn answer(self) -> Option<&'static [u8]> {
        (self == Self::TooLong).then_some(TOO_LONG)
    }
}

const CASES: &[Case] = &[
    Case { requests: 1, when: When::AtOnce, tail: Tail::None },
    Case { requests: 5, when: When::AtOnce, tail: Tail::Unfinished },
    Case { requests: 0, when: When::AtOnce, tail: Tail::Unfinished },
    Case { requests: 1, when: When::MidTask, tail: Tail::None },
    Case { requests: 5, when: When::MidTask, tail: Tail::Unfinished },
    Case { requests: 50, when: When::MidTask, tail: Tail::None },
    Case { requests: 2, when: When::JustBeforeResults, tail: Tail::None },
    Case { requests: 2, when: When::JustAfterResults, tail: Tail::None },
    // More than most servers take before they stop reading: the end of the stream lies behind what is unread.
    Case { requests: 150, when: When::MidTask, tail: Tail::None },
    Case { requests: 1, when: When::MidTask, tail: Tail::TooLong },
    // As many as fill the buffers.
    Case { requests: 0, when: When::Unread, tail: Tail::None },
];

/// What was seen in one case.
#[derive(Clone, Debug)]
struct Observation {
    case: Case,
    held: Vec<(i32, At)>,
    /// What each request is answered when it is sent alone, as far as that was asked.
    alone: Vec<Vec<u8>>,
    got: Vec<Vec<u8>>,
    link: Link,
    /// The call that closed the connection, and the one that sent the last line.
    closed_by: String,
    sent_by: String,
    /// What the loop did that did not sleep while it waited for the workers.
    spins: Option<String>,
    end: Ended,
    stuck: String,
    death: Option<Death>,
}

impl Requirement for HalfClosed {
    fn id(&self) -> Id {
        Id::new('H', 3)
    }

    fn title(&self) -> &'static str {
        "half-closed clients get their answers, and the loop sleeps meanwhile"
    }

    fn about(&self) -> &'static str {
        "A client may shut down its sending side when it has asked everything, as `nc -N` does, and still reads. It gets all \
         its answers.\n\n\
         Forced: one request and several, sent ahead, and the end of the stream together with them, while workers are held \
         with them in the middle of the task, and just before and after their results are ready while the loop is held at \
         its return from epoll; 150 requests, so that the end lies behind what the server has not read yet; a client that does \
         not read at first, so that the server cannot send it more when the end comes. A last line without its newline comes \
         behind some of them, and behind one a line that is too long.\n\n\
         Decides: one answer for each whole line, in the order of the requests, and none for the unfinished one; and the loop \
         sleeps while a half-closed client waits. When the server closes the connection afterwards is not asked here, and what \
         goes wrong also without the half-close is not judged."
    }

    fn cost(&self) -> u32 {
        5
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let (seen, otherwise) = observe::all(context)?;
        let Some(last) = seen.last() else { return Ok(judge_all(&seen)) };
        if judge(last).outcome == Outcome::Fail
            && otherwise.is_some_and(|otherwise| judge(&otherwise).outcome == Outcome::Fail)
        {
            return Ok(Finding::pass(
                EXPECTED,
                "answers were missing or wrong also without a half-close, which is not asked here",
            ));
        }
        Ok(judge_all(&seen))
    }
}

const EXPECTED: &str = "a client that has shut down its sending side gets one answer for each of its requests, in their order, \
                        and the loop sleeps while it waits for the workers";

/// The first finding that is not a pass, or all of them together.
fn judge_all(seen: &[Observation]) -> Finding {
    let not_passed = seen.iter().map(judge).find(|finding| finding.outcome != Outcome::Pass);
    not_passed.unwrap_or_else(|| {
        let answers: usize = seen.iter().map(|seen| seen.got.len()).sum();
        let held = seen.iter().filter(|seen| !seen.held.is_empty()).count();
        Finding::pass(
            EXPECTED,
            format!(
                "{answers} answers to half-closed clients in {} cases, {held} of them with workers held mid-task",
                seen.len()
            ),
        )
    })
}

fn judge(o: &Observation) -> Finding {
    let Case { requests, when, tail } = o.case;
    let last = tail.words();
    let answers = requests + usize::from(tail.answer().is_some());
    let held = if o.held.is_empty() { String::new() } else { format!("; {}", held_where(&o.held)) };
    let client = format!(
        "a client that sent {requests} {}{last} and shut down its sending side {}",
        if requests == 1 { "request" } else { "requests" },
        when.words()
    );
    let fail = |observed: String, place: &str, hint: &str| {
        Finding::fail(EXPECTED, observed, format!("{place}{held}"), hint)
    };
    if let Some(death) = &o.death {
        return fail(
            format!("the server {} when it served {client}", death.how),
            &death.place,
            "recv() returns 0 at the end of the stream: that is no error, and the connection is still there",
        );
    }
    if let Some(doing) = &o.spins {
        return fail(
            format!("the loop did not sleep for {client}"),
            doing,
            "at the end of the stream a level-triggered socket is readable for ever (EPOLLIN, EPOLLRDHUP): stop watching for \
             both with EPOLL_CTL_MOD, and answer when the results are there",
        );
    }
    if let Some(extra) = o.got.get(answers) {
        return fail(
            format!("{client} got {} answers; the last one was {}", o.got.len(), shown(extra)),
            &o.sent_by,
            "a last line without its newline is no request: drop what is left in the input at the end of the stream",
        );
    }
    if o.got.len() < answers {
        let what = format!("{client} got {} of {answers} answers", o.got.len());
        let then = match o.link {
            Link::Ended => " and then the end of the stream",
            Link::Reset => " and then a reset",
            _ => "",
        };
        return match o.end {
            Ended::NotYet => not_yet(EXPECTED, &what, &o.stuck),
            _ => fail(
                format!("{what}{then}"),
                if o.closed_by.is_empty() { &o.stuck } else { &o.closed_by },
                "recv() returning 0 says that the client will send no more, not that it has gone: remember it, answer what is \
                 owed, and close when nothing is owed any more",
            ),
        };
    }
    let (good, behind) = o.got.split_at(requests);
    if let Some(other) = good.iter().find(|line| !is_result(line)) {
        return fail(
            format!("{client} got {} for good input", shown(other)),
            &o.sent_by,
            "the end of the stream says nothing about the requests before it",
        );
    }
    if let Some(other) = behind.iter().find(|line| Some(line.as_slice()) != tail.answer()) {
        return fail(
            format!("{client} got {} for the line that was too long", shown(other)),
            &o.sent_by,
            "the end of the stream behind it changes nothing about a line that was too long",
        );
    }
    let (mut got, mut alone) = (good.to_vec(), o.alone.clone());
    // Only where the order in which results come is forced, so that without the half-close it is the same.
    if when != When::AtOnce && got != alone {
        got.sort();
        alone.sort();
        // Answers that are nobody's are for the other requirements.
        if got == alone {
            return fail(
                format!("{client} got its answers in another order than it asked"),
                &o.sent_by,
                "answers go out in the order of the requests, also when the client sends no more",
            );
        }
    }
    Finding::pass(EXPECTED, format!("{client} got all answers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::tracer::End;

    fn seen(requests: usize, got: &[&str]) -> Observation {
        Observation {
            case: Case { requests, when: When::MidTask, tail: Tail::Unfinished },
            held: vec![(2, At::Release)],
            alone: (0..requests).map(|n| format!("result: {n}").into_bytes()).collect(),
            got: got.iter().map(|line| line.as_bytes().to_vec()).collect(),
            link: Link::Ended,
            closed_by: String::new(),
            sent_by: String::new(),
            spins: None,
            end: Ended::Reached,
            stuck: String::new(),
            death: None,
        }
    }

    #[test]
    fn all_answers_in_order_are_right() {
        assert_eq!(judge(&seen(2, &["result: 0", "result: 1"])).outcome, Outcome::Pass);
        assert_eq!(judge(&seen(0, &[])).outcome, Outcome::Pass);
        assert_eq!(
            judge(&seen(2, &["result: 7", "result: 7"])).outcome,
            Outcome::Pass,
            "wrong, but not here"
        );
    }

    #[test]
    fn too_few_too_many_other_and_out_of_order_fail() {
        for got in [
            &["result: 0"][..],
            &[],
            &["result: 0", "result: 1", "result: 2"],
            &["result: 0", "ERROR: closed"],
            &["result: 1", "result: 0"],
        ] {
            let mut o = seen(2, got);
            o.end = Ended::Never;
            assert_eq!(judge(&o).outcome, Outcome::Fail, "{got:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_gets_its_error_behind_the_answers() {
        let long = |got: &[&str]| {
            let o = seen(1, got);
            judge(&Observation { case: Case { tail: Tail::TooLong, ..o.case }, end: Ended::Never, ..o })
                .outcome
        };
        assert_eq!(long(&["result: 0", "ERROR: line too long"]), Outcome::Pass);
        for got in [&["result: 0"][..], &[], &["ERROR: line too long"], &["result: 0", "ERROR: closed"]] {
            assert_eq!(long(got), Outcome::Fail, "{got:?}");
        }
    }

    #[test]
    fn a_loop_that_spins_and_a_server_that_ends_fail() {
        let right = seen(1, &["result: 0"]);
        let spins = Observation { spins: Some("main thread (tid 1)".into()), ..right.clone() };
        assert_eq!(judge(&spins).outcome, Outcome::Fail);
        let death = Death { end: End::Signal(11), how: "was killed by SIGSEGV".into(), place: String::new() };
        assert_eq!(judge(&Observation { death: Some(death), ..right }).outcome, Outcome::Fail);
    }

    #[test]
    fn an_answer_that_is_late_is_not_decided() {
        let o = Observation { end: Ended::NotYet, ..seen(2, &["result: 0"]) };
        assert_eq!(judge(&o).outcome, Outcome::Inconclusive);
    }
}
