//! C4: every socket, eventfd and epoll instance is closed on every path: while clients come and go, and at the end.

mod observe;

use super::{
    Context, Requirement,
    common::not_yet,
    traffic::{Course, Ending},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
};

/// C4.
pub struct Descriptors;

/// What grows in both rounds of clients grows with the clients.
const ROUNDS: usize = 2;

/// How long the list of leaks in the evidence may be.
const MOST_PLACES: usize = 4;

/// Connections of one kind of client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    /// What the client did.
    client: &'static str,
    /// How many there were, and how many of them are still open.
    came: usize,
    open: usize,
    /// One of them, in words.
    example: String,
}

/// What was seen while clients came and went.
#[derive(Clone, Debug)]
struct Coming {
    clients: usize,
    /// Connections that are still open, by the kind of client.
    left: Vec<Left>,
    /// Other sockets, eventfds and epoll instances that became more in every round, one of them in words.
    grown: usize,
    grown_example: String,
    course: Course,
}

/// What was seen at a SIGTERM.
#[derive(Clone, Debug)]
struct End {
    situation: &'static str,
    ending: Ending,
    /// What was open when the process ended, in words.
    open: Vec<String>,
}

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    coming: Coming,
    /// Why the clients had to be tame, if they had to.
    spared: Option<String>,
    ends: Vec<End>,
}

impl Requirement for Descriptors {
    fn id(&self) -> Id {
        Id::new('C', 4)
    }

    fn title(&self) -> &'static str {
        "every socket, eventfd and epoll instance is closed, on every path"
    }

    fn about(&self) -> &'static str {
        "A connection is closed when its client has gone, however it went, and everything that was ever opened is closed \
         before the process ends.\n\n\
         Forced: two rounds of a hundred clients: answered, rejected, half-closed, gone at once, reset, in the middle of a line, \
         with over-long lines and binary noise, gone while workers are held with their tasks, gone or waiting while the queue is \
         full, gone with unread answers. Then SIGTERM with tasks queued behind held workers and idle clients connected; and \
         once more with idle clients alone.\n\n\
         Decides: when all have gone and the server is at rest, no connection is open, and no more other sockets, \
         eventfds and epoll instances than before; when the process exits, none of them at all. Descriptors are followed \
         through dup and close_range; one that is closed late (a farewell, an idle limit) is waited for."
    }

    fn cost(&self) -> u32 {
        12
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        Ok(judge(&observe::observe(context)?))
    }
}

fn judge(o: &Observation) -> Finding {
    let expected = "no socket, eventfd or epoll instance is open when its clients have gone, nor any when the process exits";
    match &o.coming.course {
        Course::Through => {}
        Course::NotYet(doing) => return not_yet(expected, "clients had left", doing),
        Course::Broken(how) => {
            return Finding::inconclusive(
                expected,
                format!("the server does not come through a few ordinary clients: {how}"),
                "",
                "see what the other requirements say first",
            );
        }
    }
    if let Some(first) = o.coming.left.first() {
        let others: usize = o.coming.left[1..].iter().map(|left| left.open).sum();
        let and = if others > 0 { format!(", and {others} more of other clients") } else { String::new() };
        return Finding::fail(
            expected,
            format!(
                "{} of {} connections are still open whose client {}{and}; the server is at rest",
                first.open, first.came, first.client
            ),
            o.coming.left.iter().take(MOST_PLACES).map(|l| l.example.as_str()).collect::<Vec<_>>().join("; "),
            "every way out of a connection leads by one function that closes it; who calls that on this path, and when?",
        );
    }
    if o.coming.grown > 0 {
        return Finding::fail(
            expected,
            format!(
                "at least {} other sockets, eventfds and epoll instances more are open after each round of {} clients",
                o.coming.grown,
                o.coming.clients / ROUNDS
            ),
            o.coming.grown_example.clone(),
            "what is opened for a request or a client is closed with it",
        );
    }
    for end in &o.ends {
        let finding = judge_end(expected, end);
        if finding.outcome != Outcome::Pass {
            return finding;
        }
    }
    let but = match &o.spared {
        Some(how) => format!("; only ordinary clients came: with clients of every kind, {how}"),
        None => String::new(),
    };
    Finding::pass(
        expected,
        format!("none after {} clients, and none at the end of the process{but}", o.coming.clients),
    )
}

fn judge_end(expected: &str, end: &End) -> Finding {
    let situation = end.situation;
    match &end.ending {
        Ending::Exited => {}
        // It ended by SIGTERM without having closed anything itself.
        Ending::Killed => {}
        Ending::Crashed(how) => {
            return Finding::inconclusive(
                expected,
                format!("{situation}: the server crashed ({how}) before it could close anything"),
                "",
                "see R3 first: the server must exit by itself",
            );
        }
        Ending::Never(doing) => {
            return Finding::inconclusive(
                expected,
                format!("{situation}: the server does not exit, so there is no moment to look at"),
                doing.clone(),
                "see R3 first: the server must exit by itself",
            );
        }
        Ending::NotYet(doing) => return not_yet(expected, situation, doing),
    }
    if end.open.is_empty() {
        return Finding::pass(expected, situation);
    }
    let how = if end.ending == Ending::Killed { "SIGTERM killed the process" } else { "the process exited" };
    Finding::fail(
        expected,
        format!("{situation}: {how} with {}", open_ones(end.open.len())),
        end.open.iter().take(MOST_PLACES).cloned().collect::<Vec<_>>().join("; "),
        "close at the end what was opened at the start, in the opposite order, whatever way led there",
    )
}

fn open_ones(count: usize) -> String {
    if count == 1 { "one descriptor open".to_owned() } else { format!("{count} descriptors open") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirements::traffic::Manner;

    fn right() -> Observation {
        let end = |situation| End { situation, ending: Ending::Exited, open: Vec::new() };
        Observation {
            coming: Coming {
                clients: 200,
                left: Vec::new(),
                grown: 0,
                grown_example: String::new(),
                course: Course::Through,
            },
            spared: None,
            ends: vec![end("SIGTERM while busy"), end("SIGTERM while idle")],
        }
    }

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = right();
        change(&mut observation);
        judge(&observation).outcome
    }

    fn left(manner: Manner, open: usize) -> Left {
        Left { client: manner.words(), came: 14, open, example: "fd 9, a client socket".into() }
    }

    #[test]
    fn everything_closed_is_right() {
        assert_eq!(outcome(|_| {}), Outcome::Pass);
        assert_eq!(outcome(|o| o.spared = Some("it was killed by SIGPIPE".into())), Outcome::Pass);
    }

    #[test]
    fn whatever_stays_open_fails() {
        assert_eq!(outcome(|o| o.coming.left.push(left(Manner::ResetAtOnce, 1))), Outcome::Fail);
        assert_eq!(outcome(|o| o.coming.grown = 1), Outcome::Fail);
        assert_eq!(outcome(|o| o.ends[1].open.push("fd 4, an eventfd".into())), Outcome::Fail);
        let killed = |o: &mut Observation| {
            (o.ends[0].ending, o.ends[0].open) = (Ending::Killed, vec!["fd 3, the listener".into()]);
        };
        assert_eq!(outcome(killed), Outcome::Fail);
    }

    #[test]
    fn without_an_exit_there_is_nothing_to_look_at() {
        assert_eq!(outcome(|o| o.ends[0].ending = Ending::Never("main".into())), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.ends[0].ending = Ending::NotYet("main".into())), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.ends[0].ending = Ending::Crashed("SIGSEGV".into())), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.coming.course = Course::NotYet("main".into())), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.coming.course = Course::Broken("it ended".into())), Outcome::Inconclusive);
    }

    #[test]
    fn the_evidence_says_whose_connections_they_are() {
        let mut o = right();
        o.coming.left = vec![left(Manner::ResetMidTask, 6), left(Manner::Deaf, 2)];
        let finding = judge(&o);
        assert!(
            finding.observed.starts_with(
                "6 of 14 connections are still open whose client reset the connection while its task was under way, and 2 more"
            ),
            "{finding:?}"
        );
    }
}
