//! Answers on their way from the workers back to the event loop: a mailbox behind one mutex, and a bell that epoll hears.

use std::io;

use super::task::Completion;
use crate::sync::{EventFd, Mutex};

/// Workers post; the event loop, woken by the bell, collects all there is.
pub struct Completions {
    mailbox: Mutex<Mailbox>,
    bell: EventFd,
}

/// Guarded by the mutex. Whenever the mutex is free, this holds: *results lie here, only if `rung`*.
struct Mailbox {
    results: Vec<Completion>,
    /// Somebody has rung the bell, or is about to, and the event loop has not collected since.
    rung: bool,
}

impl Completions {
    /// An empty mailbox. Fails when descriptors run out. eventfd(2).
    pub fn new() -> io::Result<Completions> {
        let mailbox = Mutex::new(Mailbox { results: Vec::new(), rung: false });
        Ok(Completions { mailbox, bell: EventFd::new()? })
    }

    /// What the event loop watches. It becomes readable when there is a reason to collect.
    pub fn bell(&self) -> &EventFd {
        &self.bell
    }

    /// Leaves an answer, and rings only if nobody has rung since the last collection. Workers.
    pub fn post(&self, completion: Completion) {
        let rung = {
            let mut mailbox = self.mailbox.lock();
            mailbox.results.push(completion);
            std::mem::replace(&mut mailbox.rung, true)
        };
        if !rung {
            self.bell.ring();
        }
    }

    /// Wakes the event loop without an answer, because the full queue has room again. Workers.
    pub fn ring(&self) {
        let rung = std::mem::replace(&mut self.mailbox.lock().rung, true);
        if !rung {
            self.bell.ring();
        }
    }

    /// Swaps all answers into `results`, which must be empty, and leaves its memory for the next ones. Main thread.
    ///
    /// First the bell, then the mailbox. The other way round, an answer posted in between would lie in the mailbox
    /// with its ring wiped out, and nobody would ring for the answers after it.
    pub fn collect(&self, results: &mut Vec<Completion>) {
        debug_assert!(results.is_empty());
        self.bell.silence();
        let mut mailbox = self.mailbox.lock();
        std::mem::swap(&mut mailbox.results, results);
        mailbox.rung = false;
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::handoff::{ConnectionId, Ticket};
    use crate::protocol::Answer;
    use crate::sys::{Epoll, Events, Interest};
    use std::time::Duration;

    fn completion(sequence: u64) -> Completion {
        Completion { ticket: Ticket { connection: ConnectionId(3), sequence }, answer: Answer::INVALID_INPUT }
    }

    #[test]
    fn the_bell_rings_for_the_first_answer_after_a_collection_and_for_no_other() {
        let completions = Completions::new().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(completions.bell(), 1, Interest::Read).unwrap();
        let mut events = Events::new();
        let mut rings = || {
            epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
            events.iter().count()
        };
        let mut results = Vec::new();

        completions.post(completion(0));
        assert_eq!(rings(), 1);
        completions.post(completion(1));
        completions.ring();
        assert_eq!(rings(), 0);
        completions.collect(&mut results);
        assert_eq!(results, [completion(0), completion(1)]);

        results.clear();
        completions.ring();
        assert_eq!(rings(), 1);
        completions.post(completion(2));
        assert_eq!(rings(), 0);
        completions.collect(&mut results);
        assert_eq!(results, [completion(2)]);
    }
}
