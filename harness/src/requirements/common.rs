//! What several requirements need: requests, answers, and the usual first and last steps of a scenario.

use crate::{
    error::Trouble,
    model::Finding,
    probes::{
        clients::{ClientId, Link},
        interposer::Op,
        session::{Session, Wait, signal_name},
        tracer::{
            At, End,
            event::{Event, What},
            ledger::{Kind, ObjectId},
            syscalls::Class,
        },
    },
};
use std::{collections::BTreeSet, time::Duration};

/// What the worker answers to bad input.
pub const REJECTED: &[u8] = b"ERROR: invalid input";

/// What the event loop answers to a line that is too long.
pub const TOO_LONG: &[u8] = b"ERROR: line too long";

/// The longest line, in bytes, without its end.
pub const LONGEST_LINE: usize = 1024;

/// What the event loop answers for a worker that takes too long.
pub const TIMED_OUT: &[u8] = b"ERROR: timeout";

/// How long a client may wait for an answer once nobody is held.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// A good request, unlike every other: its text and its length differ from those with other numbers, so that answers
/// that were swapped differ even if they are nothing but a length.
pub fn good(number: usize) -> Vec<u8> {
    format!("request {number:03} {}\n", "x".repeat(number)).into_bytes()
}

/// A request that the worker rejects.
pub fn bad(number: usize) -> Vec<u8> {
    format!("bad request {number:03}\n").into_bytes()
}

/// One of many requests, every third of which is bad.
pub fn mixed(number: usize) -> Vec<u8> {
    if number % 3 == 2 { bad(number) } else { good(number) }
}

/// Whether an answer is one to good input.
pub fn is_result(answer: &[u8]) -> bool {
    answer.strip_prefix(b"result: ").is_some_and(|value| !value.is_empty())
}

/// An answer as evidence shows it: one line, bounded, nothing that a terminal would obey.
pub fn shown(answer: &[u8]) -> String {
    const MOST: usize = 60;
    let cut = answer.len() > MOST;
    let text = answer[..answer.len().min(MOST)].escape_ascii().to_string();
    format!("`{text}{}`", if cut { "..." } else { "" })
}

/// Where the workers were held, in words; the contract wants it said when it was not the usual place.
pub fn held_where(held: &[(i32, At)]) -> String {
    let calls: Vec<&str> = held
        .iter()
        .filter_map(|(_, at)| match at {
            At::Call(name) => Some(*name),
            _ => None,
        })
        .collect();
    match calls.first() {
        None if held.len() == 1 => "1 worker held mid-task".to_owned(),
        None => format!("{} workers held mid-task", held.len()),
        Some(call) => {
            format!("{} workers held ({} of them at their next system call, {call})", held.len(), calls.len())
        }
    }
}

/// Whether there are workers and all of them are held: only then is an answer somebody else's doing.
pub fn all_held(session: &Session) -> bool {
    let workers: Vec<_> = session.tracer.alive_workers().collect();
    !workers.is_empty() && workers.iter().all(|thread| thread.is_held())
}

/// Whether everybody who is held is held before it could have left a result: nobody may be answered then. A worker that
/// could only be held at its next system call may have left its result already, where an attentive loop finds it.
pub fn held_before_results(held: &[(i32, At)]) -> bool {
    held.iter().all(|(_, at)| *at == At::Release)
}

/// The threads that are held, in the order in which they came to be held.
pub fn held_tids(session: &Session) -> Vec<i32> {
    session.tracer.held().iter().map(|(tid, _)| *tid).collect()
}

/// Lets these held threads go, one at a time: what each does is done before the next one goes on.
///
/// # Errors
///
/// As [`Session::settle`].
pub fn release_in_order(session: &mut Session, order: &[i32]) -> Result<(), Trouble> {
    for tid in order {
        session.tracer.release(*tid)?;
        session.settle()?;
    }
    Ok(())
}

/// Whether somebody is held whose last wait for a condition variable had ended because its time was over: it may have found
/// nothing to do, and not be in the middle of a task.
pub fn held_without_work(session: &Session) -> bool {
    session.tracer.held().iter().any(|(tid, _)| woke_by_itself(session.tracer.events(), *tid))
}

fn woke_by_itself(events: &[Event], tid: i32) -> bool {
    let mut ops = events.iter().rev().filter(|event| event.tid == tid).filter_map(|event| match event.what {
        What::Marker(marker) => Some(marker.op),
        _ => None,
    });
    ops.any(|op| op == Op::CondWoken) && ops.next() == Some(Op::WaitFailed)
}

/// The processor turns of all workers together: if they do not grow, no worker ran.
pub fn worker_turns(session: &Session) -> u64 {
    session
        .tracer
        .alive_workers()
        .filter_map(|thread| crate::probes::proc::thread_state(thread.tid))
        .map(|state| state.turns)
        .sum()
}

/// Waits until each of these clients has `answers` lines or has lost its connection.
///
/// # Errors
///
/// As [`Session::until`].
pub fn wait_for_answers(session: &mut Session, ids: &[ClientId], answers: usize) -> Result<Wait, Trouble> {
    session.until(ANSWER_DEADLINE, |session| {
        ids.iter().all(|id| {
            let client = session.clients.get(*id);
            client.answers() >= answers || matches!(client.link(), Link::Ended | Link::Reset | Link::Refused)
        })
    })
}

/// The epoll instances on which the main thread waits or has waited, and those that these watch.
pub fn epolls_of_main(session: &Session) -> BTreeSet<ObjectId> {
    let main = session.tracer.main();
    let ledger = session.tracer.ledger();
    let waits = |class: Class| class == Class::EpollWait;
    let came_back = session.tracer.events().iter().filter(|event| event.tid == main).filter_map(|e| e.call());
    let inside = session.tracer.thread(main).and_then(|thread| thread.inside);
    let mut found: BTreeSet<ObjectId> = came_back
        .filter(|call| waits(call.class))
        .filter_map(|call| call.object)
        .chain(inside.filter(|inside| waits(inside.call.class)).and_then(|inside| inside.object))
        .collect();
    loop {
        let is_watched =
            |id: &ObjectId| ledger.object(*id).watches.iter().any(|watch| found.contains(&watch.epoll));
        let instances = ledger.objects().filter(|(_, object)| object.kind == Kind::Epoll).map(|(id, _)| id);
        let inner: Vec<ObjectId> = instances.filter(|id| !found.contains(id) && is_watched(id)).collect();
        if inner.is_empty() {
            return found;
        }
        found.extend(inner);
    }
}

/// What every thread was doing when a wait ended without its goal; empty when it reached it.
pub fn stuck(wait: &Wait) -> String {
    match wait {
        Wait::Reached => String::new(),
        Wait::Stalled(snapshot) | Wait::Busy(snapshot) => snapshot.describe(),
        Wait::Ended => "the server's process has ended".to_owned(),
    }
}

/// How the server's process ended, if it did: `main thread (tid 7): it was killed by SIGPIPE`.
pub fn died(session: &Session) -> Option<String> {
    let (end, _) = session.tracer.end()?;
    let how = match end {
        End::Status(status) => format!("it exited with status {status}"),
        End::Signal(signal) => format!("it was killed by {}", signal_name(signal)),
    };
    let by = session.tracer.events().iter().find_map(|event| match event.what {
        What::ExitGroup(_) => Some(event.tid),
        What::Signal(signal) if end == End::Signal(signal) => Some(event.tid),
        _ => None,
    });
    Some(format!("{}: {how}", session.tracer.name(by.unwrap_or(session.tracer.main()))))
}

/// How a wait ended, as plain data for an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With what was waited for.
    Reached,
    /// It cannot come any more.
    Never,
    /// It had not come by the deadline: the harness cannot tell.
    NotYet,
}

impl From<&Wait> for Ended {
    fn from(wait: &Wait) -> Self {
        match wait {
            Wait::Reached => Self::Reached,
            Wait::Stalled(_) | Wait::Ended => Self::Never,
            Wait::Busy(_) => Self::NotYet,
        }
    }
}

/// The finding when the server was still at work at a deadline.
pub fn not_yet(expected: &str, what: &str, doing: &str) -> Finding {
    Finding::inconclusive(
        expected,
        format!("{what} when the harness's own deadline passed, and the server was still at work"),
        doing,
        "run the check again on a machine that is less busy; if it stays so, look for a task that takes very long",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::interposer::Marker;

    #[test]
    fn a_wait_that_ended_by_itself_is_told_from_one_that_was_signalled() {
        let told = |ops: &[(i32, Op)]| {
            let event = |(tid, op): &(i32, Op)| Event {
                at: Duration::ZERO,
                tid: *tid,
                cpu: None,
                what: What::Marker(Marker { op: *op, c11: false, object: 0x20, more: 0, caller: 0 }),
            };
            let events: Vec<Event> = ops.iter().map(event).collect();
            woke_by_itself(&events, 8)
        };
        let late = [(8, Op::CondTimedWait), (8, Op::WaitFailed), (7, Op::CondSignal), (8, Op::CondWoken)];
        assert!(told(&late));
        assert!(told(&[&late[..], &[(8, Op::MutexUnlocked)]].concat()));
        assert!(!told(&[(8, Op::CondTimedWait), (7, Op::CondSignal), (8, Op::CondWoken)]));
        assert!(!told(&[&late[..], &[(8, Op::CondWait), (8, Op::CondWoken)]].concat()));
        assert!(!told(&[(9, Op::WaitFailed), (9, Op::CondWoken), (8, Op::MutexUnlocked)]));
    }
}
