//! One order of a server's steps out of all that there are: its threads take turns, from stop to stop, as a schedule says.

mod rounds;
mod words;

use super::{Session, Wait, wait::PATIENCE};
use crate::{
    error::Trouble,
    probes::{
        clients::ClientId,
        interposer::Op,
        machine::stretched,
        schedule::{Schedule, Slot},
        tracer::{
            Nudge, Place,
            syscalls::Class,
            thread::{Role, Waiting},
        },
    },
};
use nix::sys::signal::Signal;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Something that comes from outside when it is its turn.
#[derive(Clone, Debug)]
pub enum Deed {
    /// A client sends this.
    Send(ClientId, Vec<u8>),
    /// The server gets this signal.
    Signal(Signal),
}

/// How an order went.
#[derive(Debug)]
pub struct Explored {
    /// How the wait for the goal ended.
    pub wait: Wait,
    /// The last turns at which somebody else went on than before, in words.
    pub turns: Vec<String>,
    /// How many waits on a condition variable ended though nobody had signalled.
    pub spurious: usize,
    /// How many waits on epoll ended with `EINTR`.
    pub interrupted: usize,
    /// How many bytes of each client's the server had received when the signal was sent.
    pub received: BTreeMap<ClientId, u64>,
}

/// A thread that has used so much processor time without coming to a stop computes for long, or waits for somebody by going
/// round: others may go on meanwhile.
const LONG: Duration = Duration::from_millis(30);

/// How many of the last turns are kept.
const TURNS: usize = 8;

/// Of so many waits on a condition variable one ends at once; of so many that end one has its mutex back late; of so many waits
/// on epoll one is interrupted.
const SPURIOUS_ONE_IN: u64 = 8;
const OVERTAKEN_ONE_IN: u64 = 4;
const INTERRUPTED_ONE_IN: u64 = 32;

const CLIENTS: Slot = 0;

impl Session {
    /// Lets the threads take turns until `goal` is seen, with these deeds from outside in their order; one thread runs at a
    /// time, but for those that it wakes, which come to their next stop. In the end they take turns in a fixed order, as after
    /// [`Session::launch_in_order`].
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn explore(
        &mut self,
        schedule: &mut Schedule,
        deeds: Vec<Deed>,
        deadline: Duration,
        goal: impl FnMut(&mut Self) -> bool,
    ) -> Result<Explored, Trouble> {
        self.orderly = None;
        self.tracer.close_gate();
        let mut explored = Explored {
            wait: Wait::Ended,
            turns: Vec::new(),
            spurious: 0,
            interrupted: 0,
            received: BTreeMap::new(),
        };
        let result = self.take_turns(schedule, deeds.into(), deadline, goal, &mut explored);
        self.keep_order();
        explored.wait = result?;
        Ok(explored)
    }

    fn take_turns(
        &mut self,
        schedule: &mut Schedule,
        mut deeds: VecDeque<Deed>,
        deadline: Duration,
        mut goal: impl FnMut(&mut Self) -> bool,
        explored: &mut Explored,
    ) -> Result<Wait, Trouble> {
        let (deadline, patience) = (stretched(deadline), stretched(PATIENCE));
        let begun = Instant::now();
        let (mut last, mut last_tid) = (None, None);
        let mut used = BTreeMap::new();
        self.watch.restart();
        loop {
            if self.pump()? {
                continue;
            }
            if goal(self) {
                return Ok(Wait::Reached);
            }
            if self.tracer.end().is_some() {
                return Ok(Wait::Ended);
            }
            if begun.elapsed() >= deadline {
                return Ok(Wait::Busy(self.snapshot()));
            }
            // Or the goal would be seen a step sooner or later, and the next order be drawn from another length.
            if !self.all_received() {
                self.nap(super::wait::TICK)?;
                continue;
            }
            let parked = self.tracer.parked();
            // Looking at every thread is dear, and needless where the last turn can have woken nobody.
            let alone = last_tid.is_some_and(|tid| self.nobody_else_runs(tid, &parked));
            let rest = match alone {
                true => None,
                false => self.nobody_has_run(),
            };
            if !alone && rest.is_none() && !self.runs_for_long(&mut used) {
                self.nap(super::wait::TICK)?;
                continue;
            }
            if let Some((tid, ..)) = parked.iter().find(|(.., place)| place.is_halfway()) {
                self.tracer.give_turn(*tid, Nudge::None)?;
                continue;
            }
            let mut slots: Vec<Slot> = parked.iter().map(|(_, role, _)| slot(*role)).collect();
            if !deeds.is_empty() {
                slots.push(CLIENTS);
            }
            if slots.is_empty() {
                let patient = self.watch.since.elapsed() < patience;
                if rest.as_ref().is_some_and(|sleep| !sleep.timed) || !patient {
                    return Ok(Wait::Stalled(self.snapshot()));
                }
                self.nap(super::wait::TICK)?;
                continue;
            }
            used.clear();
            let chosen = schedule.choose(&slots);
            let thread = parked.iter().find(|(_, role, _)| slot(*role) == chosen).copied();
            last_tid = thread.map(|(tid, ..)| tid);
            let words = match thread {
                Some((tid, _, place)) => {
                    let nudge = nudge(schedule, place);
                    let given = self.tracer.give_turn(tid, nudge)?;
                    explored.spurious += usize::from(given && nudge == Nudge::Spurious);
                    explored.interrupted += usize::from(given && nudge == Nudge::Interrupted);
                    (last != Some(chosen) || given).then(|| self.turn_in_words(tid, place, nudge, given))
                }
                None => {
                    let deed = deeds.pop_front();
                    if let Some(Deed::Signal(_)) = deed {
                        let received = |id| self.server_side(id).map_or(0, |side| side.bytes_in);
                        explored.received = self.clients.iter().map(|(id, _)| (id, received(id))).collect();
                    }
                    deed.map(|deed| self.act(deed)).transpose()?
                }
            };
            if let Some(words) = words {
                explored.turns.push(words);
                let surplus = explored.turns.len().saturating_sub(TURNS);
                explored.turns.drain(..surplus);
            }
            last = Some(chosen);
        }
    }

    /// Does what comes from outside; what it was, in words.
    fn act(&mut self, deed: Deed) -> Result<String, Trouble> {
        Ok(match deed {
            Deed::Send(id, bytes) => {
                self.clients.send(id, &bytes);
                format!("client {} sends", id + 1)
            }
            Deed::Signal(signal) => {
                self.signal(signal)?;
                format!("{signal} comes")
            }
        })
    }

    /// Whether some thread has used much processor time without coming to a stop since the last turn; `used`: how much each
    /// had used when that was first asked.
    fn runs_for_long(&mut self, used: &mut BTreeMap<i32, Duration>) -> bool {
        let quiet = &mut self.scan.quiet;
        self.tracer.alive().filter(|thread| !thread.is_held()).any(|thread| {
            let Some(state) = quiet.state(thread.tid).filter(|state| !state.asleep) else { return false };
            state.cpu.saturating_sub(*used.entry(thread.tid).or_insert(state.cpu)) >= LONG
        })
    }
}

fn slot(role: Role) -> Slot {
    match role {
        Role::Main => 1,
        Role::Worker(number) => 1 + number,
        Role::Child => u32::MAX,
    }
}

/// What may happen to a thread that goes on from here, if it is drawn.
fn nudge(schedule: &mut Schedule, place: Place) -> Nudge {
    let (nudge, one_in) = match place {
        Place::Marker(marker) if matches!(marker.op, Op::CondWait | Op::CondTimedWait) => {
            (Nudge::Spurious, SPURIOUS_ONE_IN)
        }
        Place::Marker(marker) if marker.op == Op::CondWoken => (Nudge::Overtaken, OVERTAKEN_ONE_IN),
        Place::Entry(_, Class::EpollWait, _) if schedule.interrupts() => {
            (Nudge::Interrupted, INTERRUPTED_ONE_IN)
        }
        _ => return Nudge::None,
    };
    if schedule.draw(one_in) == 0 { nudge } else { Nudge::None }
}
