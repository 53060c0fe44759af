//! A question to whoever sits at the terminal.

use super::{Stop, output::print};
use crate::{error::HarnessError, interrupt};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    io::{self, IsTerminal},
    os::fd::AsFd,
};

/// Somebody sits there: both what is asked and what is answered go through a terminal.
pub(super) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Prints `prompt` and waits for a line; `None` at the end of the input (Ctrl-D). Ctrl-C is [`Stop::interrupted`].
pub(super) fn ask(prompt: &str) -> Result<Option<String>, Stop> {
    print(prompt)?;
    let stdin = io::stdin();
    let mut fds = [interrupt::fd()?, stdin.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // A read of the standard input would go on after Ctrl-C.
    while !interrupt::requested() {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(e) => return Err(HarnessError::system("wait for a key (poll)", e).into()),
        }
    }
    if interrupt::requested() {
        print("\n")?;
        return Err(Stop::interrupted());
    }
    let mut line = String::new();
    let count = stdin.read_line(&mut line).map_err(|e| HarnessError::system("read the standard input", e))?;
    print("\n")?;
    Ok((count > 0).then(|| line.trim().to_lowercase()))
}
