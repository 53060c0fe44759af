//! Sends SIGTERM in one of the two orders and reads from the trace what became of it.

use super::{Announcer, Handler, Observation, Order};
use crate::{
    error::Trouble,
    probes::{
        interposer::{Marker, Op},
        session::{Session, Setup},
        tracer::{
            End, Turn,
            event::{Call, Event, What},
            ledger::{Kind, ObjectId},
            syscalls::Class,
        },
    },
    requirements::{
        Context,
        common::{Ended, epolls_of_main, good},
    },
};
use nix::{errno::Errno, sys::signal::Signal};
use std::{collections::BTreeSet, time::Duration};

/// A server may take its time to stop, which is not asked here.
const LONGEST: Duration = Duration::from_secs(10);

pub(super) fn observe(context: &Context<'_>, order: Order) -> Result<Observation, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(2, 16))?;
    match order {
        Order::Asleep => drop(session.settle()?),
        Order::AtWork => hold_main(&mut session, Turn::AtWork)?,
        Order::Leaving => hold_main(&mut session, Turn::Leaving)?,
    }
    let waits = !epolls_of_main(&session).is_empty();
    let from = session.tracer.events().len();
    session.signal(Signal::SIGTERM)?;
    if order != Order::Asleep {
        session.settle()?;
        session.tracer.release_all()?;
    }
    let wait = session.until_patiently(LONGEST, LONGEST, |session| {
        session.tracer.end().is_some() || has_closed_its_door(session)
    })?;
    // What the handler did may be heard a moment later than what the main thread did for it.
    session.settle()?;
    let epolls = epolls_of_main(&session);
    Ok(Observation {
        order,
        waits,
        handler: handler(&session, from, &epolls),
        signalfds: signalfds(&session, &epolls),
        killed: session.tracer.end().is_some_and(|(end, _)| end == End::Signal(Signal::SIGTERM as i32)),
        stopping: is_stopping(&session),
        end: if session.tracer.end().is_some() { Ended::Reached } else { Ended::from(&wait) },
        doing: session.snapshot().describe(),
    })
}

/// Holds the main thread at this place of its round, for which somebody comes who then keeps quiet: nothing but the signal
/// ends its next wait.
fn hold_main(session: &mut Session, turn: Turn) -> Result<(), Trouble> {
    session.tracer.arm_main_at(turn);
    let knocks = session.clients.connect()?;
    session.settle()?;
    if session.tracer.held().is_empty() {
        // Where another thread accepts, the main thread only hears of requests.
        session.clients.send(knocks, &good(1));
        session.settle()?;
    }
    Ok(())
}

fn has_closed_its_door(session: &Session) -> bool {
    let mut listeners = session.tracer.ledger().objects().filter(|(_, object)| object.kind == Kind::Listener);
    listeners.all(|(_, object)| object.open == 0)
}

/// The server has ended, or closed its listener, or its main thread no longer waits for clients.
fn is_stopping(session: &Session) -> bool {
    let main = session.tracer.thread(session.tracer.main());
    let waits = main.and_then(|main| main.inside).is_some_and(|inside| inside.call.class == Class::EpollWait);
    session.tracer.end().is_some() || has_closed_its_door(session) || !waits
}

fn is_watched(session: &Session, id: ObjectId, epolls: &BTreeSet<ObjectId>) -> bool {
    let watches = &session.tracer.ledger().object(id).watches;
    watches.iter().any(|watch| epolls.contains(&watch.epoll) && watch.mask & libc::EPOLLIN as u32 != 0)
}

fn signalfds(session: &Session, epolls: &BTreeSet<ObjectId>) -> Vec<Announcer> {
    let ledger = session.tracer.ledger();
    let made = |id: ObjectId| {
        let object = ledger.object(id);
        format!("{}, {} made fd {}", session.tracer.name(object.made_by), object.made_with, object.first_fd)
    };
    ledger
        .objects()
        .filter(|(_, object)| object.kind == Kind::Signalfd)
        .map(|(id, _)| Announcer { watched: is_watched(session, id, epolls), failed: None, words: made(id) })
        .collect()
}

/// What the first thread to which SIGTERM was delivered did until it came back from the handler; and the eventfds of those to
/// which it passed the signal on.
fn handler(session: &Session, from: usize, epolls: &BTreeSet<ObjectId>) -> Option<Handler> {
    let events = &session.tracer.events()[from..];
    let deliveries = events.iter().enumerate();
    let mut deliveries = deliveries.filter(|(_, event)| matches!(event.what, What::Signal(libc::SIGTERM)));
    let run = |(begun, event): (usize, &Event)| of_one(session, event.tid, &events[begun + 1..], epolls);
    let mut handler = run(deliveries.next()?);
    handler.eventfds.extend(deliveries.flat_map(|delivery| run(delivery).eventfds));
    Some(handler)
}

fn of_one(session: &Session, tid: i32, events: &[Event], epolls: &BTreeSet<ObjectId>) -> Handler {
    let mut handler = Handler { thread: session.tracer.name(tid), ..Handler::default() };
    for event in events.iter().filter(|event| event.tid == tid) {
        match &event.what {
            What::Call(call) if call.class == Class::SignalReturn => {
                handler.returned = true;
                break;
            }
            What::Call(call) => handler.note(session, tid, call, epolls),
            What::Marker(marker) => handler.forbidden.extend(forbidden(session, marker)),
            // Another handler on top of this one is not told apart.
            _ => {}
        }
    }
    handler
}

impl Handler {
    fn note(&mut self, session: &Session, tid: i32, call: &Call, epolls: &BTreeSet<ObjectId>) {
        let Some(id) = call.object else { return };
        let words = session.tracer.describe_call(tid, call);
        match session.tracer.ledger().object(id).kind {
            Kind::Eventfd if call.class == Class::Send => {
                // One that is full is readable.
                let failed = call.error().filter(|error| *error != libc::EAGAIN);
                let failed = failed.map(|error| format!("{:?}", Errno::from_raw(error)));
                self.eventfds.push(Announcer { watched: is_watched(session, id, epolls), failed, words });
            }
            Kind::Pipe | Kind::LocalSocket if call.class == Class::Send => self.pipe = Some(words),
            _ => self.others.push(words),
        }
    }
}

/// What POSIX does not allow in a handler, in words.
fn forbidden(session: &Session, marker: &Marker) -> Option<String> {
    let what = match marker.op {
        Op::Hello | Op::SemPosted | Op::WaitFailed | Op::WaitLate | Op::WaitYielded => return None,
        // What they announce follows.
        Op::CondBroadcasts | Op::CondRelayed => return None,
        Op::MutexLocked | Op::MutexBlocked => "took a mutex",
        Op::RwlockLocked | Op::RwlockBlocked => "took a read-write lock",
        Op::CondSignal | Op::CondBroadcast => "signalled a condition variable",
        Op::CondWait | Op::CondTimedWait | Op::SemBlocked => "waited for another thread",
        Op::JoinBegin => "joined a thread",
        Op::ThreadCreated | Op::ThreadCreatedDetached => "created a thread",
        _ => "used a lock, a condition variable or a thread",
    };
    Some(format!("{what}{}", session.tracer.at_place(Some(marker.caller))))
}
