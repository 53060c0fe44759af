//! A thousand clients that want nothing, and a dozen too many.

use super::{Asked, EXPECTED, IDLE, Observation, Situation};
use crate::{
    error::Trouble,
    model::Finding,
    probes::{
        clients::{ClientId, Link},
        machine::{may_open, stretched},
        proc::highest_descriptor,
        session::{Session, Setup, Wait},
    },
    requirements::{
        Context,
        common::{Ended, died, good, stuck},
        idle::{Rest, rest},
    },
};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

const WORKERS: usize = 2;
const CAPACITY: usize = 16;

/// Clients that are there before all others.
const ESTABLISHED: usize = 4;

/// Every which of the crowd leaves in the end.
const LEAVING: usize = 10;

/// Descriptors for the server: more than two for each client.
const MANY: u64 = 2500;

/// What the harness needs for as many clients, and for everything else.
const OURS: u64 = 2000;

/// Descriptors beyond those of a server that is ready: room for a few clients. If it cannot start with the first number, it
/// needs some for a moment only.
const ROOM: [i32; 2] = [13, 45];

/// A server that tries again by a timer may take so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Newcomers that are turned away are followed by another one after this.
const AGAIN: Duration = Duration::from_millis(250);

/// What was seen, or why it cannot be looked at.
type Seen<T> = Result<T, Finding>;

/// What was seen so far, the clients that were served, and the first that was not let in.
type Begun = Seen<(Observation, Vec<ClientId>, Option<ClientId>)>;

/// A thousand idle clients; also the highest descriptor of the server when it was ready.
pub(super) fn idle(context: &Context<'_>) -> Result<Seen<(Observation, i32)>, Trouble> {
    if let Err(most) = may_open(MANY.max(OURS)) {
        return Ok(Err(Finding::inconclusive(
            EXPECTED,
            format!("the harness may open {most} descriptors only, fewer than {IDLE} clients need"),
            "",
            format!("raise the limit: ulimit -n {}", MANY.max(OURS)),
        )));
    }
    let setup = Setup { descriptors: Some(MANY), ..Setup::new(WORKERS, CAPACITY) };
    let mut session = Session::launch(context.program, &setup)?;
    let needed = highest_descriptor(session.tracer.main()).unwrap_or(0);
    let (mut seen, established, waiting) = match begin(&mut session, Situation::Idle)? {
        Ok(begun) => begun,
        Err(cannot) => return Ok(Err(cannot)),
    };
    if seen.is_over() {
        return Ok(Ok((seen, needed)));
    }
    let mut crowd = Vec::new();
    let all = if waiting.is_some() { 0 } else { IDLE };
    for number in 1..=all {
        let id = session.connect()?;
        if !is_in(&session, id) {
            seen.full = true;
            session.clients.close(id);
            break;
        }
        session.clients.ignore(id);
        crowd.push(id);
        seen.inside = established.len() + crowd.len();
        if number % (IDLE / 2) == 0 {
            let who = "a client that was served before";
            seen.ask(&mut session, established[number % established.len()], who, 1)?;
        }
    }
    session.settle()?;
    seen.inside = established.len() + crowd.iter().filter(|id| is_in(&session, **id)).count();
    for id in &established {
        seen.ask(&mut session, *id, "a client that was served before", 2)?;
    }
    seen.rest = rest(&mut session)?;
    if seen.stop(&session) {
        return Ok(Ok((seen, needed)));
    }
    for id in crowd.iter().step_by(LEAVING) {
        session.clients.close(*id);
    }
    session.settle()?;
    seen.ask(&mut session, established[0], "a client that was there before the crowd", 1)?;
    newcomer(&mut session, &mut seen)?;
    seen.died = died(&session);
    // Reset behind a server that is gone, a thousand connections leave no trace in the kernel.
    session.signal(Signal::SIGKILL)?;
    session.until(PATIENCE, |_| false)?;
    for id in crowd {
        session.clients.reset(id);
    }
    Ok(Ok((seen, needed)))
}

/// More clients than descriptors, for a server that had `needed` as its highest when it was ready.
pub(super) fn no_descriptors(context: &Context<'_>, needed: i32) -> Result<Seen<Observation>, Trouble> {
    let mut last = None;
    for room in ROOM {
        let most = (needed + room) as u64;
        let setup = Setup { descriptors: Some(most), ..Setup::new(WORKERS, CAPACITY) };
        match Session::launch(context.program, &setup) {
            Ok(session) => return fill(session, most as usize),
            Err(Trouble::Decided(finding)) => last = Some((most, finding)),
            Err(other) => return Err(other),
        }
    }
    let (most, finding) = last.expect("there is an attempt");
    Ok(Err(Finding::inconclusive(
        EXPECTED,
        format!("with {most} descriptors the server does not start: {}", finding.observed),
        finding.place,
        "",
    )))
}

fn fill(mut session: Session, most: usize) -> Result<Seen<Observation>, Trouble> {
    let (mut seen, established, mut waiting) = match begin(&mut session, Situation::NoDescriptors)? {
        Ok(begun) => begun,
        Err(cannot) => return Ok(Err(cannot)),
    };
    if seen.is_over() {
        return Ok(Ok(seen));
    }
    let mut inside = Vec::new();
    while inside.len() < most && waiting.is_none() {
        let id = session.clients.connect()?;
        session.settle()?;
        if session.tracer.end().is_some() {
            break;
        }
        if !is_in(&session, id) {
            seen.full = true;
            waiting = Some(id);
            break;
        }
        seen.inside += 1;
        inside.push(id);
    }
    for id in &established {
        seen.ask(&mut session, *id, "a client that was served before", 3)?;
    }
    seen.rest = rest(&mut session)?;
    if seen.stop(&session) {
        return Ok(Ok(seen));
    }
    for id in inside {
        session.clients.close(id);
    }
    session.clients.close(established[0]);
    session.settle()?;
    if let Some(id) = waiting.filter(|id| !is_turned_away(&session, *id)) {
        session.clients.send(id, &good(5));
        let wait = until_served(&mut session, id)?;
        seen.newcomers.push(asked(&wait, "the newcomer that was kept waiting"));
    }
    newcomer(&mut session, &mut seen)?;
    seen.ask(&mut session, established[1], "a client that had been there all the time", 1)?;
    seen.died = died(&session);
    Ok(Ok(seen))
}

/// The first clients are served, as many as the server lets in, and then all is quiet.
fn begin(session: &mut Session, situation: Situation) -> Result<Begun, Trouble> {
    let mut seen = Observation {
        situation,
        inside: 0,
        full: false,
        spins_anyway: false,
        established: Vec::new(),
        rest: Rest::Sleeps,
        newcomers: Vec::new(),
        died: None,
    };
    let mut established = Vec::new();
    let mut waiting = None;
    while established.len() < ESTABLISHED && waiting.is_none() {
        let id = session.connect()?;
        if is_in(session, id) {
            seen.ask(session, id, "one of the first clients", 1)?;
        }
        // A server may keep descriptors back for itself; whoever was never served is a newcomer.
        if is_in(session, id) {
            established.push(id);
        } else {
            seen.established.pop_if(|asked| asked.end == Ended::Never && seen.died.is_none());
            waiting = Some(id);
        }
    }
    seen.inside = established.len();
    seen.full = waiting.is_some();
    if established.len() < 2 && !seen.is_over() {
        return Ok(Err(Finding::inconclusive(
            EXPECTED,
            format!("{}: the server lets in no more than {} clients", situation.words(), established.len()),
            session.snapshot().describe(),
            "",
        )));
    }
    Ok(Ok((seen, established, waiting)))
}

impl Observation {
    /// Asks so often, one request after the other.
    fn ask(&mut self, session: &mut Session, id: ClientId, who: &str, count: usize) -> Result<(), Trouble> {
        for _ in 0..count {
            if self.is_over() {
                return Ok(());
            }
            let before = session.clients.get(id).answers();
            session.clients.send(id, &good(5));
            let wait = session.until(PATIENCE, |session| {
                session.clients.get(id).answers() > before || is_turned_away(session, id)
            })?;
            let mut asked = asked(&wait, who);
            if wait.reached() && session.clients.get(id).answers() == before {
                asked.end = Ended::Never;
                asked.stuck = "the server has closed its connection".to_owned();
            }
            self.established.push(asked);
            self.died = died(session);
        }
        Ok(())
    }

    /// Whether there is nothing more to look at.
    fn is_over(&self) -> bool {
        self.died.is_some() || self.established.iter().any(|asked| asked.end != Ended::Reached)
    }

    /// The same after a rest.
    fn stop(&mut self, session: &Session) -> bool {
        self.died = died(session);
        self.is_over() || matches!(self.rest, Rest::NotYet(_))
    }
}

fn asked(wait: &Wait, who: &str) -> Asked {
    Asked { who: who.to_owned(), end: Ended::from(wait), stuck: stuck(wait) }
}

/// The server has accepted this client and has not closed its connection.
fn is_in(session: &Session, id: ClientId) -> bool {
    session.clients.get(id).link() == Link::Open
        && session.server_side(id).is_some_and(|connection| connection.open > 0)
}

fn is_turned_away(session: &Session, id: ClientId) -> bool {
    matches!(session.clients.get(id).link(), Link::Ended | Link::Reset | Link::Refused)
}

fn until_served(session: &mut Session, id: ClientId) -> Result<Wait, Trouble> {
    session.until_patiently(PATIENCE, PATIENCE, |session| {
        session.clients.get(id).answers() > 0 || is_turned_away(session, id)
    })
}

/// Newcomers come until one of them is served: a server may take a moment until it sees that there is room.
fn newcomer(session: &mut Session, seen: &mut Observation) -> Result<(), Trouble> {
    let who = "a newcomer";
    let begun = Instant::now();
    loop {
        let id = session.clients.connect()?;
        session.clients.send(id, &good(5));
        let wait = until_served(session, id)?;
        let served = session.clients.get(id).answers() > 0;
        session.clients.close(id);
        if served || !wait.reached() {
            seen.newcomers.push(asked(&wait, who));
            return Ok(());
        }
        if begun.elapsed() >= stretched(PATIENCE) {
            let stuck = "every newcomer is turned away".to_owned();
            seen.newcomers.push(Asked { who: who.to_owned(), end: Ended::Never, stuck });
            return Ok(());
        }
        let since = Instant::now();
        session.until(AGAIN, |_| since.elapsed() >= AGAIN)?;
    }
}
