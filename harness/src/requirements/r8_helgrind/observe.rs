//! Runs the bare program under Helgrind.

use super::{CLIENTS, CLIENTS_AND_SOME, Ended, Inside, Observation, ROUNDS, WORKERS};
use crate::{
    error::Trouble,
    probes::{
        helgrind::{self, Helgrind},
        session::{Setup, signal_name},
        tracer::End,
    },
    requirements::{
        Context,
        common::{bad, good},
    },
    submission::port,
};
use nix::sys::signal::Signal;

pub(super) fn observe(context: &Context<'_>, inside: Inside) -> Result<Observation, Trouble> {
    let Inside { synchronisation, backlog, notes } = inside;
    let port = port::pick()?;
    let args = Setup::new(WORKERS, 64).args(port);
    let mut helgrind = Helgrind::launch(context.program, &args, port)?;
    let mut observation =
        Observation { synchronisation, ended: Ended::Exited, answered: 0, races: Vec::new(), notes };
    if helgrind.server.connect_when_it_listens(helgrind::DEADLINE)?.is_none() {
        observation.ended = before_sigterm(&helgrind, "did not listen");
        return Ok(observation);
    }
    for _ in 0..ROUNDS {
        let server = &mut helgrind.server;
        // Without the tracer a short backlog has to be watched, which takes its time.
        let connect = |_| match backlog {
            0..=CLIENTS_AND_SOME => server.connect(helgrind::DEADLINE),
            _ => Ok(server.clients.connect()?),
        };
        let ids = (0..CLIENTS).map(connect).collect::<Result<Vec<_>, _>>()?;
        for (number, id) in ids.iter().enumerate() {
            let request = if number % 3 == 2 { bad(number) } else { good(number) };
            server.clients.send(*id, &request);
        }
        let answered = server.until_at_rest(helgrind::DEADLINE, |server| {
            ids.iter().all(|id| server.clients.get(*id).answers() > 0)
        })?;
        observation.answered += ids.iter().filter(|id| server.clients.get(**id).answers() > 0).count();
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
