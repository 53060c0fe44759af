//! A port that is really free, and stays so for as long as somebody needs it.

use super::turn::Turn;
use crate::error::HarnessError;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};
use std::{
    ops::Range,
    os::fd::AsRawFd,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the ports that the kernel gives to outgoing connections (ip(7), `ip_local_port_range`): none of our own clients
/// can take the port between the end of a server and its start again.
const PORTS: Range<u16> = 12_000..32_000;

/// A port that no other harness on this machine picks until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _turn: Option<Turn>,
}

impl Port {
    /// This port, whoever has it: that of a server which has ended, and starts again.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn given(number: u16) -> Result<Self, HarnessError> {
        Ok(reserve(number)?.unwrap_or(Self { number, _turn: None }))
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Picks a port on which nobody listens and which no connection still occupies.
///
/// Between the pick and the server's bind somebody who is no harness may take it; whoever launches must notice and pick
/// again.
///
/// # Errors
///
/// When there is none at all, or the system has no descriptor left.
pub fn pick() -> Result<Port, HarnessError> {
    // Processes start at different places, so that two harnesses on one machine rarely meet.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    let start = (u64::from(std::process::id()) * 7919 % u64::from(span)) as u16;
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % span;
        let port = PORTS.start + (u32::from(start) + u32::from(step)).rem_euclid(u32::from(span)) as u16;
        if let Some(reserved) = reserve(port)?
            && is_free(port)?
        {
            return Ok(reserved);
        }
    }
    Err(HarnessError::Broken(format!(
        "no port between {} and {} is free; `ss -tan` shows who has them, also for a minute after their end (TIME-WAIT)",
        PORTS.start, PORTS.end
    )))
}

/// The port, unless another harness has it.
fn reserve(number: u16) -> Result<Option<Port>, HarnessError> {
    let turn = Turn::take(&format!("quest-port-{number}"))?;
    Ok(turn.map(|turn| Port { number, _turn: Some(turn) }))
}

/// Whether a server could bind the port: on every address, and without `SO_REUSEADDR`, which it may not set.
///
/// # Errors
///
/// When the system has no descriptor left.
pub fn is_free(port: u16) -> Result<bool, HarnessError> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|e| HarnessError::system("look for a free port", e))?;
    Ok(bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_picked_port_can_be_bound_and_is_not_picked_twice() {
        let first = pick().unwrap();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first.number())).unwrap();
        assert_ne!(pick().unwrap().number(), first.number());
    }

    #[test]
    fn a_port_is_one_harnesss_until_it_is_dropped() {
        let port = pick().unwrap();
        let number = port.number();
        assert!(reserve(number).unwrap().is_none());
        drop(port);
        assert!(reserve(number).unwrap().is_some());
    }
}
