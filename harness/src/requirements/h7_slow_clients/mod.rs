//! H7: a client that never reads, or never comes to the end of its line, does not stop the loop.

mod observe;

use super::{
    Context, Requirement,
    common::{Ended, is_result, not_yet, shown},
    idle::{Rest, spins_anyway},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::clients::Link,
};

/// H7.
pub struct SlowClients;

/// Somebody else's request while slow clients are connected.
#[derive(Clone, Debug)]
struct Other {
    /// What the slow ones were doing.
    meanwhile: &'static str,
    got: Option<Vec<u8>>,
    end: Ended,
    stuck: String,
    sent_by: String,
}

/// What a slow client got in the end.
#[derive(Clone, Debug)]
struct Slow {
    who: String,
    /// Requests that it sent, all with the same text.
    asked: usize,
    /// What that text gets alone.
    alone: Vec<u8>,
    lines: Vec<Vec<u8>>,
    link: Link,
    end: Ended,
    stuck: String,
    sent_by: String,
}

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    /// The same text alone, twice.
    alone: [Option<Vec<u8>>; 2],
    /// The server spins without any slow client, too: R7 judges that.
    spins_anyway: bool,
    /// The server could not send to the deaf client any more, or had closed its connection.
    stopped_up: bool,
    others: Vec<Other>,
    /// While nobody but the deaf client wanted anything.
    rest: Rest,
    /// The same when it had read everything.
    rest_afterwards: Rest,
    slow: Vec<Slow>,
    /// How the process ended, if it did.
    died: Option<String>,
}

impl Requirement for SlowClients {
    fn id(&self) -> Id {
        Id::new('H', 7)
    }

    fn title(&self) -> &'static str {
        "a client that never reads does not stop the loop"
    }

    fn about(&self) -> &'static str {
        "A client that does not read its answers, or that sends half a line and nothing more, is nobody else's trouble: the \
         others are served, and the loop sleeps. The server may stop reading from a client that does not read, or close its \
         connection; if it does neither, that client gets all its answers, whole and in order, when it reads at last.\n\n\
         Forced: a client asks until the server cannot send to it any more (the server's send buffer is made small from \
         outside, so that kilobytes fill it, and each send takes a part of an answer, as it may when buffers are nearly full, \
         so that the last one stops in the middle of an answer); others ask meanwhile; then it reads. To another client every \
         other send takes a few bytes at most. Fifty clients send half a line each; others ask meanwhile; then each line is \
         completed, byte by byte for some.\n\n\
         Decides: a whole answer for every other client; that every thread sleeps while the deaf client is stuck, and when \
         it has read everything; and each byte that the slow clients get."
    }

    fn cost(&self) -> u32 {
        6
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut seen = observe::observe(context)?;
        let spins = |rest: &Rest| matches!(rest, Rest::Spins(_));
        seen.spins_anyway = (spins(&seen.rest) || spins(&seen.rest_afterwards)) && spins_anyway(context)?;
        Ok(judge(&seen))
    }
}

const EXPECTED: &str = "others are answered while a client does not read or does not end its line, the loop sleeps meanwhile, \
                        and the slow ones get all their answers, whole and in order";

fn judge(o: &Observation) -> Finding {
    let fail = |observed: String, place: String, hint: &str| Finding::fail(EXPECTED, observed, place, hint);
    let [Some(alone), Some(again)] = &o.alone else {
        return fail(
            "a request got no answer, with no slow client near".to_owned(),
            o.died.clone().unwrap_or_default(),
            "try it by hand: one client, one line",
        );
    };
    // A VALUE that changes by itself is for R6 to judge.
    let stable = alone == again;
    if let Some(other) = o.others.iter().find(|other| other.end != Ended::Reached) {
        let what = format!("{}, another client asked and had no answer", other.meanwhile);
        if other.end == Ended::NotYet {
            return not_yet(EXPECTED, &what, &other.stuck);
        }
        return fail(
            what,
            o.died.clone().unwrap_or_else(|| other.stuck.clone()),
            "sockets must not block: accept4 with SOCK_NONBLOCK; at EAGAIN keep the rest, watch for EPOLLOUT and go on to the \
             next client",
        );
    }
    if let Some(died) = &o.died {
        return fail(
            "the server's process ended".to_owned(),
            died.clone(),
            "what kills it? Try it under a debugger",
        );
    }
    match &o.rest {
        Rest::Spins(doing) if !o.spins_anyway => {
            return fail(
                "while one client does not read and nobody wants anything, the server does not sleep"
                    .to_owned(),
                doing.clone(),
                "at EAGAIN give up until epoll says EPOLLOUT; and do not watch for reading what you do not read",
            );
        }
        Rest::NotYet(doing) => {
            return not_yet(EXPECTED, "one client does not read, nobody wants anything", doing);
        }
        _ => {}
    }
    // Whether it is the right one is for others to judge; here it must be whole.
    let torn = |other: &Other| other.got.clone().filter(|got| !is_result(got));
    if let Some((other, got)) = o.others.iter().find_map(|other| Some((other, torn(other)?))) {
        return fail(
            format!("{}, another client got {}", other.meanwhile, shown(&got)),
            other.sent_by.clone(),
            "how much send took belongs to one connection: keep it there, not in a global or static variable",
        );
    }
    for slow in &o.slow {
        if let Some(finding) = judge_slow(slow, stable) {
            return finding;
        }
    }
    match &o.rest_afterwards {
        Rest::Spins(doing) if !o.spins_anyway => {
            return fail(
                "when a client that had not read for a time had read everything, the server does not sleep any more"
                    .to_owned(),
                doing.clone(),
                "a socket with room is ready for writing for ever: stop watching for EPOLLOUT once everything is sent",
            );
        }
        Rest::NotYet(doing) => {
            return not_yet(EXPECTED, "one client has read everything at last, nobody wants anything", doing);
        }
        _ => {}
    }
    if !o.stopped_up {
        return Finding::inconclusive(
            EXPECTED,
            "the server could always send: the harness did not fill the buffers of the client that does not read",
            "",
            "",
        );
    }
    Finding::pass(
        EXPECTED,
        "so it was with one client that did not read and fifty that did not end their lines",
    )
}

fn judge_slow(slow: &Slow, stable: bool) -> Option<Finding> {
    let right = |line: &Vec<u8>| if stable { *line == slow.alone } else { is_result(line) };
    let fail =
        |observed: String, place: String, hint: &str| Some(Finding::fail(EXPECTED, observed, place, hint));
    let who = &slow.who;
    if let Some((number, line)) = slow.lines.iter().enumerate().find(|(_, line)| !right(line)) {
        return fail(
            format!(
                "{who}: answer {} of {} is {}, alone the same request gets {}",
                number + 1,
                slow.asked,
                shown(line),
                shown(&slow.alone)
            ),
            slow.sent_by.clone(),
            "send may take only a part: remember how much it took, and send the rest, no more and no less, when epoll says \
             EPOLLOUT",
        );
    }
    if slow.lines.len() > slow.asked {
        return fail(
            format!("{who} sent {} requests and got {} answers", slow.asked, slow.lines.len()),
            slow.sent_by.clone(),
            "one request, one answer: what was sent must not be sent again",
        );
    }
    // The server may give up on a client that does not read.
    if slow.lines.len() == slow.asked || slow.link != Link::Open {
        return None;
    }
    let what = format!("{who} sent {} requests and got {} answers", slow.asked, slow.lines.len());
    if slow.end == Ended::NotYet {
        return Some(not_yet(EXPECTED, &what, &slow.stuck));
    }
    fail(
        what,
        slow.stuck.clone(),
        "what send did not take must go out when epoll says EPOLLOUT, and then the connection must be read again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn slow() -> Slow {
        Slow {
            who: "the client that did not read".into(),
            asked: 2,
            alone: b"result: 1".to_vec(),
            lines: vec![b"result: 1".to_vec(); 2],
            link: Link::Open,
            end: Ended::Reached,
            stuck: String::new(),
            sent_by: String::new(),
        }
    }

    fn right() -> Observation {
        Observation {
            alone: [Some(b"result: 1".to_vec()), Some(b"result: 1".to_vec())],
            spins_anyway: false,
            stopped_up: true,
            others: vec![Other {
                meanwhile: "it sleeps",
                got: Some(b"result: 3".to_vec()),
                end: Ended::Reached,
                stuck: String::new(),
                sent_by: String::new(),
            }],
            rest: Rest::Sleeps,
            rest_afterwards: Rest::Sleeps,
            slow: vec![slow()],
            died: None,
        }
    }

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = right();
        change(&mut observation);
        judge(&observation).outcome
    }

    #[test]
    fn others_served_a_sleeping_loop_and_whole_answers_are_right() {
        assert_eq!(outcome(|_| {}), Outcome::Pass);
    }

    #[test]
    fn a_loop_that_one_client_stops_fails() {
        assert_eq!(outcome(|o| o.others[0].end = Ended::Never), Outcome::Fail);
        assert_eq!(outcome(|o| o.others[0].end = Ended::NotYet), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.died = Some("SIGPIPE".into())), Outcome::Fail);
    }

    #[test]
    fn spinning_counts_only_if_the_slow_client_is_its_cause() {
        assert_eq!(outcome(|o| o.rest = Rest::Spins(String::new())), Outcome::Fail);
        assert_eq!(outcome(|o| (o.rest, o.spins_anyway) = (Rest::Spins(String::new()), true)), Outcome::Pass);
        let afterwards =
            |anyway| outcome(|o| (o.rest_afterwards, o.spins_anyway) = (Rest::Spins(String::new()), anyway));
        assert_eq!((afterwards(false), afterwards(true)), (Outcome::Fail, Outcome::Pass));
    }

    #[test]
    fn another_client_gets_a_whole_answer() {
        assert_eq!(outcome(|o| o.others[0].got = Some(b": 3".to_vec())), Outcome::Fail);
    }

    #[test]
    fn every_byte_counts() {
        assert_eq!(outcome(|o| o.slow[0].lines[1] = b"result: ".to_vec()), Outcome::Fail);
        assert_eq!(outcome(|o| o.slow[0].lines.push(b"result: 1".to_vec())), Outcome::Fail);
        let lost = |end, link| {
            outcome(|o| {
                o.slow[0].lines.pop();
                (o.slow[0].end, o.slow[0].link) = (end, link);
            })
        };
        assert_eq!(lost(Ended::Never, Link::Open), Outcome::Fail);
        assert_eq!(lost(Ended::NotYet, Link::Open), Outcome::Inconclusive);
        assert_eq!(lost(Ended::Never, Link::Reset), Outcome::Pass, "it may be given up");
    }

    #[test]
    fn a_value_that_changes_by_itself_is_not_judged_here() {
        let other = Some(b"result: 2".to_vec());
        assert_eq!(
            outcome(|o| (o.alone[1], o.slow[0].lines[1]) = (other.clone(), b"result: 3".to_vec())),
            Outcome::Pass
        );
    }

    #[test]
    fn buffers_that_did_not_fill_prove_nothing() {
        assert_eq!(outcome(|o| o.stopped_up = false), Outcome::Inconclusive);
    }
}
