//! Ctrl-C, in a process of its own: the flag is the process's and never goes down again.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use quest::interrupt::{fd, install, requested};
use signal_hook::{consts::SIGTERM, low_level::raise};

fn readable() -> bool {
    let mut fds = [PollFd::new(fd().unwrap(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
}

#[test]
fn a_signal_raises_the_flag_and_the_descriptor_stays_readable() {
    install().unwrap();
    assert!(!requested() && !readable());
    raise(SIGTERM).unwrap();
    assert!(requested() && readable() && readable());
}
