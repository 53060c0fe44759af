//! C4: every socket, eventfd and epoll instance is closed on every path: while clients come and go, and at the end.

use super::{
    Context, Requirement,
    common::not_yet,
    traffic::{self, Course, Crowd, Ending, Manner, Visit},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
    probes::{
        session::Session,
        tracer::ledger::{Kind, ObjectId},
    },
};
use std::collections::BTreeMap;

/// C4.
pub struct Descriptors;

/// How many clients of each kind come in each round while the workers are free.
const EACH: usize = 8;

/// What grows in the first round and in the second grows with the clients.
const ROUNDS: [Crowd; 2] = [Crowd::Every(EACH), Crowd::Again(EACH)];

const TAME_ROUNDS: [Crowd; 2] = [Crowd::Tame, Crowd::Tame];

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
        Ok(judge(&observe(context)?))
    }
}

fn observe(context: &Context<'_>) -> Result<Observation, Trouble> {
    let mut seen = busy(context, ROUNDS)?;
    if let Some(how) = trouble(&seen) {
        // What a server does that did not come through is for others to judge; clients who do it no harm are left.
        seen = Observation { spared: Some(how), ..busy(context, TAME_ROUNDS)? };
    }
    if seen.ends.iter().any(|end| end.ending == Ending::Exited) {
        let mut session = traffic::launch(context)?;
        traffic::with_clients(&mut session)?;
        seen.ends.push(sigterm(&mut session, "SIGTERM with idle clients connected")?);
    }
    Ok(seen)
}

/// Why the server did not come through, if nothing else is to be said of it.
fn trouble(seen: &Observation) -> Option<String> {
    match &seen.coming.course {
        Course::Broken(how) => Some(how.clone()),
        Course::Through if seen.coming.left.is_empty() && seen.coming.grown == 0 => {
            seen.ends.iter().find_map(|end| end.ending.trouble())
        }
        _ => None,
    }
}

/// Clients come and go, and then SIGTERM finds the server at work.
fn busy(context: &Context<'_>, rounds: [Crowd; 2]) -> Result<Observation, Trouble> {
    let mut session = traffic::launch(context)?;
    let coming = come_and_go(&mut session, rounds)?;
    let mut ends = Vec::new();
    if coming.course == Course::Through {
        traffic::with_clients(&mut session)?;
        traffic::tasks_queued(&mut session)?;
        ends.push(sigterm(&mut session, "SIGTERM with tasks queued and idle clients connected")?);
    }
    Ok(Observation { coming, spared: None, ends })
}

fn come_and_go(session: &mut Session, rounds: [Crowd; 2]) -> Result<Coming, Trouble> {
    let mut visits = Vec::new();
    let mut course = Course::Through;
    let mut others = vec![others_open(session)];
    for crowd in rounds {
        let (came, how) = traffic::visit(session, crowd)?;
        visits.extend(came);
        course = how;
        if course == Course::Through {
            course = traffic::until_closed(session)?;
        }
        if course != Course::Through {
            break;
        }
        others.push(others_open(session));
    }
    let grown = others.windows(2).map(|two| two[1].len().saturating_sub(two[0].len())).min().unwrap_or(0);
    let newest = others.last().and_then(|open| open.iter().max());
    Ok(Coming {
        clients: visits.len(),
        left: left(session, &visits),
        grown,
        grown_example: newest.map(|id| session.tracer.describe_object(*id)).unwrap_or_default(),
        course,
    })
}

/// The open connections, by the kind of client. Those that a client left that was owed an answer are not counted: the
/// server may keep them for it, and why it does not come is for others to judge.
fn left(session: &Session, visits: &[Visit]) -> Vec<Left> {
    let of: BTreeMap<ObjectId, &Visit> =
        visits.iter().filter_map(|visit| Some((visit.connection?, visit))).collect();
    let mut left: BTreeMap<Manner, Left> = BTreeMap::new();
    for id in traffic::open_connections(session) {
        let visit = of.get(&id);
        if visit.is_some_and(|visit| !visit.served) {
            continue;
        }
        let manner = visit.map_or(Manner::NeverWaited, |visit| visit.manner);
        let came = visits.iter().filter(|visit| visit.manner == manner).count();
        let example = session.tracer.describe_object(id);
        left.entry(manner).or_insert(Left { client: manner.words(), came, open: 0, example }).open += 1;
    }
    left.into_values().collect()
}

/// The open sockets, eventfds and epoll instances that are no connections.
fn others_open(session: &Session) -> Vec<ObjectId> {
    let ledger = session.tracer.ledger();
    let is_other = |kind| matches!(kind, Kind::Socket | Kind::Listener | Kind::Eventfd | Kind::Epoll);
    let open = ledger.objects().filter(|(_, object)| object.open > 0 && is_other(object.kind));
    open.map(|(id, _)| id).collect()
}

fn sigterm(session: &mut Session, situation: &'static str) -> Result<End, Trouble> {
    let ending = traffic::end(session)?;
    let ledger = session.tracer.ledger();
    let mut open: Vec<ObjectId> = session
        .tracer
        .left_open()
        .into_iter()
        .map(|(_, id)| id)
        .filter(|id| ledger.object(*id).kind.is_to_be_closed())
        .collect();
    open.dedup();
    // Go's runtime watches by an epoll instance and an eventfd of its own, which no program can close.
    let of_runtime = |kind| matches!(kind, Kind::Eventfd | Kind::Epoll);
    if open.iter().any(|id| of_runtime(ledger.object(*id).kind)) && session.tracer.mentions(&[".gopclntab"]) {
        open.retain(|id| !of_runtime(ledger.object(*id).kind));
    }
    Ok(End { situation, ending, open: open.iter().map(|id| session.tracer.describe_object(*id)).collect() })
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
                o.coming.clients / ROUNDS.len()
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
