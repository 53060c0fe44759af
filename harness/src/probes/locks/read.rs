//! From events to steps: keeps the books on what each thread has in hand.

use super::{Deed, Held, History, Object, Step};
use crate::probes::{
    interposer::{Marker, Op},
    tracer::event::{Call, Event, What},
};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Reader {
    pub(super) history: History,
    held: BTreeMap<i32, Vec<Held>>,
    beside: BTreeMap<i32, Vec<Object>>,
    /// Locks that a thread has taken more often than once, as a recursive mutex allows.
    again: BTreeMap<(i32, Object), u32>,
    spurious: BTreeMap<i32, bool>,
    lives: BTreeMap<u64, u32>,
}

impl Reader {
    pub(super) fn event(&mut self, at: usize, event: &Event) {
        let tid = event.tid;
        let deed = match &event.what {
            What::Began => {
                self.history.lives.insert(tid, (at, usize::MAX));
                return;
            }
            What::Spurious => {
                self.spurious.insert(tid, true);
                return;
            }
            What::Ended => {
                self.history.lives.entry(tid).or_insert((0, at)).1 = at;
                Deed::Ended
            }
            What::Signal(signal) => Deed::Got(*signal),
            What::Call(call) => calls(call),
            What::Marker(marker) => match self.marker(tid, marker) {
                Some(deed) => deed,
                None => return,
            },
            What::ExitGroup(_) => Deed::Exits,
            What::Exec => return,
        };
        let caller = match &event.what {
            What::Call(call) => call.caller,
            What::Marker(marker) => Some(marker.caller),
            _ => None,
        };
        let held = self.held.entry(tid).or_default();
        let beside = self.beside.entry(tid).or_default();
        let step = Step { at, tid, deed, caller, held: held.clone(), beside: beside.clone(), cpu: event.cpu };
        match deed {
            Deed::Took { lock, .. } | Deed::Woken { mutex: lock, .. } => {
                held.push(Held { lock, taken_at: caller.unwrap_or_default() });
            }
            Deed::Released(lock) | Deed::Waits { mutex: lock, .. } => held.retain(|held| held.lock != lock),
            Deed::Down(sem) => beside.push(sem),
            Deed::Up(sem) => beside.retain(|other| *other != sem),
            _ => {}
        }
        self.history.steps.push(step);
    }

    fn marker(&mut self, tid: i32, marker: &Marker) -> Option<Deed> {
        let object = self.object(marker.object);
        Some(match marker.op {
            Op::MutexInit
            | Op::MutexDestroy
            | Op::RwlockInit
            | Op::RwlockDestroy
            | Op::CondInit
            | Op::CondDestroy
            | Op::SemInit
            | Op::SemDestroy => {
                *self.lives.entry(marker.object).or_default() += 1;
                return None;
            }
            Op::MutexLocked | Op::RwlockLocked if marker.is_exclusive() => {
                if self.held.entry(tid).or_default().iter().any(|held| held.lock == object) {
                    *self.again.entry((tid, object)).or_default() += 1;
                    return None;
                }
                Deed::Took { lock: object, patiently: marker.waits_for_ever() }
            }
            Op::RwlockLocked => {
                self.beside.entry(tid).or_default().push(object);
                return None;
            }
            Op::MutexUnlocked | Op::RwlockUnlocked => {
                self.beside.entry(tid).or_default().retain(|other| *other != object);
                if let Some(again) = self.again.get_mut(&(tid, object)).filter(|again| **again > 0) {
                    *again -= 1;
                    return None;
                }
                Deed::Released(object)
            }
            Op::CondWait | Op::CondTimedWait => Deed::Waits { cond: object, mutex: self.object(marker.more) },
            Op::CondWoken => {
                let spurious = self.spurious.remove(&tid).unwrap_or(false);
                Deed::Woken { cond: object, mutex: self.object(marker.more), spurious }
            }
            Op::CondSignal | Op::CondBroadcast => Deed::Signalled(object),
            Op::SemBlocked => Deed::Blocks(object),
            Op::SemTaken => Deed::Down(object),
            Op::SemPosted => Deed::Up(object),
            Op::JoinBegin => Deed::Joins,
            _ => return None,
        })
    }

    fn object(&self, address: u64) -> Object {
        Object { address, life: self.lives.get(&address).copied().unwrap_or(0) }
    }
}

fn calls(call: &Call) -> Deed {
    Deed::Calls {
        name: call.name,
        class: call.class,
        fd: call.fd(),
        limit: call.args[3],
        object: call.object,
        result: call.result,
    }
}
