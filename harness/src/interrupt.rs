//! Ctrl-C: a flag to ask, a descriptor to wait on, and an exit at once for whoever presses it twice.
//!
//! SIGINT, SIGTERM and SIGHUP only *ask* the harness to stop. Every wait of the harness watches [`fd`] and every loop asks
//! [`requested`]; both lead to `Err(Interrupted)`, which unwinds through every `Drop` on the way: process groups are
//! killed, private folders removed, and the `quest` command exits with 130.

use crate::error::HarnessError;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag, low_level,
};
use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// The exit status of an interrupted `quest`: 128 + SIGINT, as shells have it.
pub const EXIT_STATUS: i32 = 130;

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// One pipe for all: it is written by the signal handlers and never read, so once it is readable it stays so for every
/// thread that waits on it.
static PIPE: LazyLock<io::Result<(PipeReader, PipeWriter)>> = LazyLock::new(io::pipe);

/// From here on the signals ask instead of killing. A second signal ends the process at once, without cleaning up.
///
/// # Errors
///
/// When the system refuses the pipe or a handler.
pub fn install() -> Result<(), HarnessError> {
    let refused = |source| HarnessError::system("setting up Ctrl-C", source);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Handlers run in this order: on the first signal the flag is still down when the exit is considered.
        flag::register_conditional_shutdown(signal, EXIT_STATUS, Arc::clone(&REQUESTED)).map_err(refused)?;
        flag::register(signal, Arc::clone(&REQUESTED)).map_err(refused)?;
        low_level::pipe::register(signal, pipe()?.1.try_clone().map_err(refused)?).map_err(refused)?;
    }
    Ok(())
}

/// Did the user ask to stop?
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// A descriptor that becomes readable, and stays readable, when the user asks to stop. To be put in a `poll`; never read it.
///
/// # Errors
///
/// When the system refuses the pipe.
pub fn fd() -> Result<BorrowedFd<'static>, HarnessError> {
    Ok(pipe()?.0.as_fd())
}

fn pipe() -> Result<&'static (PipeReader, PipeWriter), HarnessError> {
    PIPE.as_ref().map_err(|error| {
        let source = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        HarnessError::system("making the pipe for Ctrl-C", source)
    })
}
