//! A limit in time that counts only while nobody is kept from running.

use super::PlainServer;
use crate::{
    error::Trouble,
    probes::{
        machine::{MOST, slowness},
        proc::time_without_processor,
    },
};
use nix::unistd::gettid;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long to wait before asking again how long threads were kept waiting: there are many, and it is about seconds.
const LOOK: Duration = Duration::from_millis(100);

/// How long threads were kept waiting for a processor, all in all.
#[derive(Debug)]
struct KeptWaiting {
    each: BTreeMap<i32, Duration>,
    total: Duration,
}

impl KeptWaiting {
    /// Takes down how long each was kept waiting since its beginning. Of those that waited since the last look the longest counts;
    /// and all of it, even if it is more than the time since then: the kernel says it when the wait is over.
    fn note(&mut self, now: BTreeMap<i32, Duration>) {
        let before = |tid| self.each.get(tid).copied().unwrap_or_default();
        self.total +=
            now.iter().map(|(tid, waited)| waited.saturating_sub(before(tid))).max().unwrap_or_default();
        self.each = now;
    }
}

impl PlainServer {
    /// Waits until it has ended; false if it has not after so much of its own time: that in which nobody of it, nor who looks after
    /// it, was kept waiting for a processor. It counts for more on a slow machine.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn until_it_ends(&mut self, limit: Duration) -> Result<bool, Trouble> {
        let (begun, mut looked) = (Instant::now(), Instant::now());
        let mut kept = KeptWaiting { each: self.kept_waiting(), total: Duration::ZERO };
        let own = limit.mul_f64(slowness());
        while self.end().is_none()
            && begun.elapsed().saturating_sub(kept.total) < own
            && begun.elapsed() < limit * MOST
        {
            if !self.pump()? {
                self.nap(LOOK)?;
            }
            if looked.elapsed() >= LOOK {
                kept.note(self.kept_waiting());
                looked = Instant::now();
            }
        }
        Ok(self.end().is_some())
    }

    /// How long each thread that the guard knows was kept waiting for a processor so far, and this one.
    fn kept_waiting(&self) -> BTreeMap<i32, Duration> {
        let alive = self.tracer.iter().flat_map(|tracer| tracer.alive().map(|thread| thread.tid));
        alive.chain([gettid().as_raw()]).map(|tid| (tid, time_without_processor(tid))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::port::pick;
    use std::path::Path;

    #[test]
    fn of_those_who_wait_at_the_same_time_the_longest_counts() {
        let ms = Duration::from_millis;
        let mut kept = KeptWaiting { each: BTreeMap::from([(1, ms(500))]), total: ms(0) };
        kept.note(BTreeMap::from([(1, ms(510)), (2, ms(30))]));
        assert_eq!(kept.total, ms(30));
        // One that has ended says nothing more, and its number may be given anew.
        kept.note(BTreeMap::from([(1, ms(710)), (2, ms(0))]));
        assert_eq!(kept.total, ms(230));
        kept.note(BTreeMap::new());
        assert_eq!(kept.total, ms(230));
    }

    #[test]
    fn one_that_hangs_is_given_up_and_one_that_ends_is_not_waited_for() {
        let launch = |command: &str| {
            let args = ["-c".to_owned(), command.to_owned()];
            PlainServer::launch(Path::new("/bin/sh"), &args, pick().unwrap()).unwrap()
        };
        assert!(!launch("sleep 1000").until_it_ends(LOOK * 2).unwrap());
        assert!(launch("exit 1").until_it_ends(Duration::from_secs(60)).unwrap());
    }
}
