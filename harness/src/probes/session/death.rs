//! How a server's process ended, and where in the submission it came to that.

use super::{Session, signal_name};
use crate::probes::tracer::{
    End,
    event::{Call, What},
    syscalls::Class,
};

/// The end of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Its status or signal.
    pub end: End,
    /// The same in words: `was killed by SIGPIPE`.
    pub how: String,
    /// Thread, call and line, as far as is known.
    pub place: String,
}

impl Session {
    /// How the server's process ended; `None` while it lives.
    pub fn death(&self) -> Option<Death> {
        let (end, _) = self.tracer.end()?;
        let (how, place) = match end {
            End::Status(status) => (format!("exited with status {status}"), self.place_of_exit()),
            End::Signal(signal) => {
                (format!("was killed by {}", signal_name(signal)), self.place_of_signal(signal))
            }
        };
        Some(Death { end, how, place })
    }

    fn place_of_exit(&self) -> String {
        let by = self.tracer.events().iter().find_map(|event| match event.what {
            What::ExitGroup(status) => Some((event.tid, status)),
            _ => None,
        });
        by.map_or_else(
            || self.tracer.name(self.tracer.main()),
            |(tid, status)| format!("{}, exit_group({status})", self.tracer.name(tid)),
        )
    }

    fn place_of_signal(&self, signal: i32) -> String {
        let struck = self.tracer.struck().filter(|struck| struck.signal == signal);
        let Some(struck) = struck else { return self.tracer.name(self.tracer.main()) };
        let broken_pipe = |call: &&Call| call.class == Class::Send && call.error() == Some(libc::EPIPE);
        let sent = self.tracer.events().iter().rev().filter(|event| event.tid == struck.tid);
        let sent = sent.filter_map(|event| event.call()).find(broken_pipe);
        match sent.filter(|_| signal == libc::SIGPIPE) {
            Some(call) => self.tracer.describe_call(struck.tid, call),
            None => format!("{}{}", self.tracer.name(struck.tid), self.tracer.at_place(struck.at)),
        }
    }
}
