//! A client that asks and does not read, and a server whose buffers for it are small enough to fill.

use crate::{
    error::{HarnessError, Trouble},
    probes::{
        clients::{ClientId, Link},
        session::{Session, Settled},
    },
};
use nix::sys::socket::{setsockopt, sockopt};
use std::time::Duration;

/// What the deaf client asks in one go, less than the smallest queue holds for which this is used.
pub const BATCH: usize = 32;

/// What it asks in all at most: far more answers than its buffers hold once those are small.
const MOST: usize = 3200;

/// How long the server may take to accept it.
const ACCEPT: Duration = Duration::from_secs(10);

/// A client that does not read asks `request` again and again, until the server cannot send to it any more.
///
/// # Errors
///
/// As [`Session::until`].
pub fn stop_up(session: &mut Session, request: &[u8]) -> Result<ClientId, Trouble> {
    let deaf = come(session)?;
    ask_until_stuck(session, deaf, request, BATCH)?;
    Ok(deaf)
}

/// A client comes that does not read, and the server's buffer for it is made small.
///
/// # Errors
///
/// As [`Session::until`].
pub fn come(session: &mut Session) -> Result<ClientId, Trouble> {
    let deaf = session.clients.connect_deaf()?;
    session.until(ACCEPT, |session| {
        session.is_accepted(deaf) || session.clients.get(deaf).link() == Link::Refused
    })?;
    shrink_send_buffer(session, deaf)?;
    Ok(deaf)
}

/// It asks `request` again and again, so often in one go, until the server cannot send to it any more. Each time when the server
/// has read what was asked before: one that stops to read meanwhile would find more in one go, now and then, than its queue holds.
///
/// # Errors
///
/// As [`Session::until`].
pub fn ask_until_stuck(
    session: &mut Session,
    deaf: ClientId,
    request: &[u8],
    batch: usize,
) -> Result<(), Trouble> {
    let moved =
        |session: &Session| session.server_side(deaf).map_or((0, 0), |side| (side.bytes_in, side.bytes_out));
    for _ in 0..MOST / batch {
        let before = moved(session);
        if before.0 == session.clients.get(deaf).queued() as u64 {
            session.clients.send(deaf, &request.repeat(batch));
        }
        let settled = session.settle()?;
        if moved(session).1 == before.1 || matches!(settled, Settled::Busy(_) | Settled::Ended) {
            break;
        }
    }
    Ok(())
}

/// Gives the server's side of a connection the smallest send buffer there is, as on a machine with little memory: what
/// fills it is then kilobytes and not megabytes.
fn shrink_send_buffer(session: &Session, id: ClientId) -> Result<(), Trouble> {
    let ledger = session.tracer.ledger();
    let connection = ledger.connection(session.clients.get(id).port());
    let fd = connection.and_then(|connection| ledger.descriptor_of(connection));
    let Some(socket) = fd.and_then(|fd| session.tracer.borrow_fd(fd)) else { return Ok(()) };
    setsockopt(&socket, sockopt::SndBuf, &1)
        .map_err(|e| HarnessError::system("make the server's send buffer small", e))?;
    Ok(())
}
