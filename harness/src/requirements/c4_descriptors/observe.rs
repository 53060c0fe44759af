//! Clients come and go, SIGTERM comes, and the ledger tells what is open.

use super::{Coming, End, Left, Observation, ROUNDS};
use crate::{
    error::Trouble,
    probes::{
        session::Session,
        tracer::ledger::{Kind, ObjectId},
    },
    requirements::{
        Context,
        traffic::{self, Course, Crowd, Ending, Manner, Visit},
    },
};
use std::collections::BTreeMap;

/// How many clients of each kind come in each round while the workers are free.
const EACH: usize = 8;

const EVERYBODY: [Crowd; ROUNDS] = [Crowd::Every(EACH), Crowd::Again(EACH)];

const ORDINARY: [Crowd; ROUNDS] = [Crowd::Tame, Crowd::Tame];

pub(super) fn observe(context: &Context<'_>) -> Result<Observation, Trouble> {
    let mut seen = busy(context, EVERYBODY)?;
    if let Some(how) = trouble(&seen) {
        // What a server does that did not come through is for others to judge; clients who do it no harm are left.
        seen = Observation { spared: Some(how), ..busy(context, ORDINARY)? };
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
fn busy(context: &Context<'_>, rounds: [Crowd; ROUNDS]) -> Result<Observation, Trouble> {
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

fn come_and_go(session: &mut Session, rounds: [Crowd; ROUNDS]) -> Result<Coming, Trouble> {
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
