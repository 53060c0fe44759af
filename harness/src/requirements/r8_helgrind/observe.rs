//! Runs the bare program under Helgrind.

use super::{ALONE, CLIENTS, Ended, Inside, Observation, ROUNDS, WORKERS};
use crate::{
    error::Trouble,
    probes::{
        helgrind::{self, Helgrind},
        plain::PlainServer,
        session::{Setup, signal_name},
        tracer::End,
    },
    requirements::{
        Context,
        common::{bad, good, is_result},
    },
    submission::port,
};
use nix::sys::signal::Signal;

/// Near the longest line that the contract allows.
const LONG: usize = 1000;

pub(super) fn observe(context: &Context<'_>, inside: Inside) -> Result<Observation, Trouble> {
    let backlog = inside.backlog;
    let port = port::pick()?;
    let args = Setup::new(WORKERS, 64).args(port.number());
    let mut helgrind = Helgrind::launch(context.program, &args, port)?;
    let mut observation = Observation::before(inside);
    let Some(first) = helgrind.server.connect_when_it_listens(helgrind::DEADLINE)? else {
        observation.ended = before_sigterm(&helgrind, "did not listen");
        return Ok(observation);
    };
    for number in 0..ALONE {
        let server = &mut helgrind.server;
        server.clients.send(first, &if number % 2 == 0 { good(number) } else { bad(number) });
        let answered = |server: &mut PlainServer| server.clients.get(first).answers() > number;
        match server.until_at_rest(helgrind::DEADLINE, answered)? {
            Some(true) => {}
            // That it gets no answer is for others to say; the next one would get none either.
            Some(false) => break,
            None => {
                observation.ended = Ended::Late("did not answer the first client");
                return Ok(observation);
            }
        }
    }
    for round in 0..ROUNDS {
        let server = &mut helgrind.server;
        let ids = server.connect_many(CLIENTS, backlog, helgrind::DEADLINE)?;
        for (number, id) in ids.iter().enumerate() {
            let request = match (number % 3, round % 2) {
                (2, _) => bad(number),
                (_, 0) => good(number),
                _ => good(LONG - number),
            };
            server.clients.send(*id, &request);
        }
        let answered = server.until_at_rest(helgrind::DEADLINE, |server| {
            ids.iter().all(|id| server.clients.get(*id).answers() > 0)
        })?;
        let firsts: Vec<&[u8]> =
            ids.iter().filter_map(|id| server.clients.get(*id).lines().first().copied()).collect();
        observation.answered += firsts.len();
        observation.results += firsts.iter().filter(|answer| is_result(answer)).count();
        if answered.is_none() {
            observation.ended = Ended::Late("did not answer everybody");
            return Ok(observation);
        }
        for id in ids {
            server.clients.close(id);
        }
        if server.end().is_some() {
            observation.races = helgrind.races()?;
            observation.ended = before_sigterm(&helgrind, "did not answer everybody");
            return Ok(observation);
        }
    }
    helgrind.server.signal(Signal::SIGTERM)?;
    let ended = helgrind.server.until_at_rest(helgrind::DEADLINE, |server| server.end().is_some())?;
    observation.races = helgrind.races()?;
    observation.ended = match ended {
        Some(true) => match helgrind.server.end() {
            // That SIGTERM kills it is for R3 to say.
            Some(End::Signal(signal)) if signal != libc::SIGTERM => Ended::Killed(signal_name(signal)),
            _ => Ended::Exited,
        },
        Some(false) => Ended::Hangs,
        None => Ended::Late("did not end after SIGTERM"),
    };
    Ok(observation)
}

/// How a server ended that nobody has told to.
fn before_sigterm(helgrind: &Helgrind, otherwise: &'static str) -> Ended {
    match helgrind.server.end() {
        Some(End::Signal(signal)) => Ended::Killed(signal_name(signal)),
        Some(End::Status(_)) => Ended::Early,
        None => Ended::Late(otherwise),
    }
}
