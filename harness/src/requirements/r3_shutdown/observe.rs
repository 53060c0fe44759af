//! The four situations in which SIGTERM comes.

use super::{LIMIT, Observation, Situation};
use crate::{
    error::Trouble,
    model::Outcome,
    probes::{
        clients::ClientId,
        session::{Session, Setup, signal_name},
        tracer::{End, event::What, syscalls::Class, thread::Role},
    },
    requirements::{
        Context,
        common::{Ended, good, stuck},
        deaf::stop_up,
    },
};
use nix::sys::signal::Signal;
use std::{collections::BTreeMap, time::Duration};

const WORKERS: usize = 2;
const CAPACITY: usize = 64;

/// Tasks that wait behind held workers.
const QUEUED: usize = 4;

/// Starting again may meet somebody who took the port by chance; not twice.
const PORT_TRIES: usize = 2;

pub(super) fn observe(context: &Context<'_>, situation: Situation) -> Result<Observation, Trouble> {
    for attempt in 1.. {
        let (mut observation, port) = shut_down(context, situation)?;
        if situation != Situation::ClientsConnected || observation.end != Ended::Reached {
            return Ok(observation);
        }
        // The server has closed its connections first, so its port is remembered by the kernel: the moment to ask.
        match Session::launch(context.program, &Setup::new(WORKERS, CAPACITY).on_port(port)) {
            Ok(_) => {}
            Err(Trouble::Decided(_)) if attempt < PORT_TRIES && somebody_listens(port) => continue,
            Err(Trouble::Decided(finding)) if finding.outcome == Outcome::Fail => {
                observation.restart = Err((finding.observed, finding.place));
            }
            Err(other) => return Err(other),
        }
        return Ok(observation);
    }
    unreachable!("the last attempt returns")
}

/// Somebody else has taken the port: with `SO_REUSEADDR`, which the standard library sets, only a listener is in the way.
fn somebody_listens(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_err()
}

fn shut_down(context: &Context<'_>, situation: Situation) -> Result<(Observation, u16), Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(WORKERS, CAPACITY))?;
    let asking = match situation {
        Situation::Idle => Vec::new(),
        Situation::TasksQueued => hold_with_tasks(&mut session, WORKERS + QUEUED)?,
        Situation::OneMidTask => hold_with_tasks(&mut session, 1)?,
        Situation::ClientsConnected => {
            session.connect_many(3)?;
            stop_up(&mut session, b"hush\n")?;
            Vec::new()
        }
    };
    let taken: Vec<ClientId> = asking
        .iter()
        .enumerate()
        .filter(|(number, id)| {
            session.server_side(**id).is_some_and(|s| s.bytes_in >= good(*number).len() as u64)
        })
        .map(|(_, id)| *id)
        .collect();
    let held = !session.tracer.held().is_empty();
    let before = session.tracer.events().len();
    let mut begun = session.tracer.now();
    session.signal(Signal::SIGTERM)?;
    let mut ended_while_held = false;
    if held {
        session.settle()?;
        ended_while_held = session.tracer.end().is_some();
        if situation == Situation::TasksQueued && !ended_while_held {
            knock(&mut session)?;
        }
        begun = session.tracer.now();
        session.tracer.release_all()?;
    }
    let delayed = time_without_processor(&session);
    // A server that waits for a time and then ends is slow, not stuck.
    let wait = session.until_patiently(LIMIT * 5, LIMIT * 5, |session| session.tracer.end().is_some())?;
    // Measured on the stream's own clock; an answer on its way is waited for below.
    let took = session.tracer.end().map_or_else(|| session.tracer.now(), |(_, at)| at).saturating_sub(begun);
    let took = took.saturating_sub(delay(&delayed, &time_without_processor(&session)));
    let accepted_late = session.tracer.events()[before..].iter().find_map(|event| {
        let call = event.call().filter(|call| call.class == Class::Accept && call.result >= 0)?;
        Some(session.tracer.describe_call(event.tid, call))
    });
    // The end of the process closes every socket: each client sees its last answers and then the end.
    session.hear_out(Duration::from_secs(2))?;
    let observation = Observation {
        situation,
        taken: taken.len(),
        answered: taken.iter().filter(|id| session.clients.get(**id).answers() > 0).count(),
        ended_while_held,
        accepted_late,
        end: if session.tracer.end().is_some() { Ended::Reached } else { Ended::from(&wait) },
        stuck: stuck(&wait),
        status: session.tracer.end().map(|(end, _)| end),
        ended_by: ended_by(&session),
        took,
        unjoined: unjoined(&session),
        restart: Ok(()),
    };
    // Or the kernel would not remember the port.
    session.clients.close_all();
    Ok((observation, session.port()))
}

/// How long each thread of the server was ready to run without a processor so far.
fn time_without_processor(session: &Session) -> BTreeMap<i32, Duration> {
    let of_server = session.tracer.threads().filter(|thread| thread.role != Role::Child);
    of_server.map(|thread| (thread.tid, session.tracer.time_without_processor(thread))).collect()
}

/// By how much that has delayed a shutdown at most: the slowest thread in each of its steps.
fn delay(before: &BTreeMap<i32, Duration>, after: &BTreeMap<i32, Duration>) -> Duration {
    let grown = |(tid, time): (&i32, &Duration)| {
        time.saturating_sub(before.get(tid).copied().unwrap_or(Duration::ZERO))
    };
    after.iter().map(grown).sum()
}

/// Sends so many requests to a server whose workers are all held at their first one.
fn hold_with_tasks(session: &mut Session, count: usize) -> Result<Vec<ClientId>, Trouble> {
    let ids = session.connect_many(count)?;
    session.settle()?;
    session.tracer.arm_mid_task();
    for (number, id) in ids.iter().enumerate() {
        session.clients.send(*id, &good(number));
    }
    session.settle()?;
    // Who is held stays held, but whatever SIGTERM wakes runs free.
    session.tracer.disarm();
    Ok(ids)
}

/// A newcomer tries to connect and to ask.
fn knock(session: &mut Session) -> Result<(), Trouble> {
    let newcomer = session.clients.connect()?;
    session.clients.send(newcomer, &good(0));
    session.settle()?;
    Ok(())
}

/// The thread that ended the process, and how.
fn ended_by(session: &Session) -> String {
    let ending = session.tracer.events().iter().find_map(|event| match event.what {
        What::ExitGroup(status) => Some(format!("{}, exit_group({status})", session.tracer.name(event.tid))),
        What::Signal(signal) if session.tracer.end().is_some_and(|(end, _)| end == End::Signal(signal)) => {
            Some(format!("{}, killed by {}", session.tracer.name(event.tid), signal_name(signal)))
        }
        _ => None,
    });
    ending.unwrap_or_else(|| session.tracer.name(session.tracer.main()))
}

/// The workers that nobody joined before the process ended.
fn unjoined(session: &Session) -> Vec<String> {
    let events = session.tracer.events();
    let main = session.tracer.main();
    let ending = events
        .iter()
        .position(|e| {
            matches!(e.what, What::ExitGroup(_)) || (e.tid == main && matches!(e.what, What::Ended))
        })
        .unwrap_or(events.len());
    let ended: Vec<i32> =
        events[..ending].iter().filter(|e| matches!(e.what, What::Ended)).map(|e| e.tid).collect();
    session
        .tracer
        .threads()
        .filter(|thread| matches!(thread.role, Role::Worker(_)))
        .filter_map(|thread| {
            let made_at = session.tracer.at_place(thread.made_at);
            let made = if made_at.is_empty() { String::new() } else { format!("; it was created{made_at}") };
            if !ended.contains(&thread.tid) {
                Some(format!("{} was still alive when the process ended{made}", thread.name()))
            } else if thread.detached {
                Some(format!("{} was detached, so that nobody could join it{made}", thread.name()))
            } else if thread.handle.is_some() && !thread.joined {
                Some(format!("{} was never joined{made}", thread.name()))
            } else {
                None
            }
        })
        .collect()
}
