//! Layer 2: lines on stderr that show who does what. Off unless POOL_SERVER_LOG=1.

use std::fmt;

use crate::sync::Mutex;
use crate::sys::stdio;

/// The thread that speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The event loop.
    Main,
    /// A worker, by its number, counted from 1.
    Worker(usize),
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Main => out.write_str("main"),
            Role::Worker(number) => write!(out, "worker-{number}"),
        }
    }
}

/// Where log lines go. All threads share one.
pub struct Log {
    enabled: bool,
    /// Guards nothing but the order of the write(2) calls: two lines never mix. Nobody holds another lock here.
    turn: Mutex<()>,
}

impl Log {
    /// A log that writes only if `enabled`.
    pub fn new(enabled: bool) -> Log {
        Log { enabled, turn: Mutex::new(()) }
    }

    /// As the environment variable POOL_SERVER_LOG says.
    pub fn from_environment() -> Log {
        Log::new(std::env::var_os("POOL_SERVER_LOG").is_some_and(|value| value == "1"))
    }

    /// Writes `[role] message`, or nothing.
    pub fn say(&self, role: Role, message: fmt::Arguments<'_>) {
        if self.enabled {
            let line = format!("[{role}] {message}\n");
            let _turn = self.turn.lock();
            stdio::write_stderr(&line);
        }
    }
}
