//! The wake-ups of the event loop: post and collect, pop and read.

use super::{Mutation, mailbox, queue};

pub const MUTATIONS: &[Mutation] = &[
    mailbox(
        "`post`: no ring",
        "        if !rung {
            self.bell.ring();
        }
    }

    /// Wakes the event loop without",
        "    }

    /// Wakes the event loop without",
        &["post_and_collect", "shutdown"],
    ),
    mailbox(
        "`post`: rings before the answer is there",
        "        let rung = {
            let mut mailbox",
        "        let rung = std::mem::replace(&mut self.mailbox.lock().rung, true);
        if !rung {
            self.bell.ring();
        }
        let rung = {
            let mut mailbox",
        &["post_and_collect"],
    ),
    mailbox(
        "`post`: rings for every answer",
        "            std::mem::replace(&mut mailbox.rung, true)
",
        "            mailbox.rung
",
        &["post_and_collect"],
    ),
    mailbox(
        "`post`: notes the ring in another critical section",
        "            std::mem::replace(&mut mailbox.rung, true)
",
        "            drop(mailbox);
            std::mem::replace(&mut self.mailbox.lock().rung, true)
",
        &["post_and_collect"],
    ),
    mailbox(
        "`collect`: empties the mailbox first and silences the bell after",
        "        self.bell.silence();
        let mut mailbox = self.mailbox.lock();
        std::mem::swap(&mut mailbox.results, results);
        mailbox.rung = false;
",
        "        let mut mailbox = self.mailbox.lock();
        std::mem::swap(&mut mailbox.results, results);
        mailbox.rung = false;
        drop(mailbox);
        self.bell.silence();
",
        &["pop_and_read", "post_and_collect", "shutdown"],
    ),
    mailbox(
        "`collect`: does not forget the ring",
        "        mailbox.rung = false;\n",
        "",
        &["pop_and_read", "post_and_collect", "shutdown"],
    ),
    mailbox(
        "`collect`: forgets the ring in a later critical section",
        "        mailbox.rung = false;
",
        "        drop(mailbox);
        self.mailbox.lock().rung = false;
",
        &["post_and_collect", "shutdown"],
    ),
    mailbox(
        "`ring`: no ring",
        "        let rung = std::mem::replace(&mut self.mailbox.lock().rung, true);
        if !rung {
            self.bell.ring();
        }
",
        "        self.mailbox.lock().rung = true;
",
        &["pop_and_read"],
    ),
    queue(
        "`pop`: looks whether the queue was full after the task was taken",
        "        let made_room = self.tasks.len() == capacity;
        let Some(task) = self.tasks.pop_front() else {
            self.roster.leave(seat);
            return None;
        };
",
        "        let Some(task) = self.tasks.pop_front() else {
            self.roster.leave(seat);
            return None;
        };
        let made_room = self.tasks.len() == capacity;
",
        &["pop_and_read"],
    ),
];
