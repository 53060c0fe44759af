//! A client that does not read: the server comes to a point at which it cannot send to it any more.

use crate::{
    error::{HarnessError, Trouble},
    probes::{
        clients::{ClientId, Link},
        session::Session,
        tracer::ledger::Kind,
    },
};
use nix::sys::socket::{setsockopt, sockopt};
use std::time::Duration;

const ACCEPT_DEADLINE: Duration = Duration::from_secs(10);

/// How often it asks at most: far more answers than its buffers hold once those are small.
const BATCHES: usize = 100;

/// Connects a client that asks, `batch` requests in one go, and does not read, until the server cannot send to it any more.
///
/// # Errors
///
/// As [`Session::until`].
pub fn stop_up(session: &mut Session, batch: usize) -> Result<ClientId, Trouble> {
    let deaf = session.clients.connect_deaf()?;
    session.until(ACCEPT_DEADLINE, |session| {
        session.is_accepted(deaf) || session.clients.get(deaf).link() == Link::Refused
    })?;
    shrink_send_buffer(session, deaf)?;
    let sent = |session: &Session| session.server_side(deaf).map_or(0, |side| side.bytes_out);
    for _ in 0..BATCHES {
        let before = sent(session);
        session.clients.send(deaf, &b"hush\n".repeat(batch));
        session.settle()?;
        if sent(session) == before {
            break;
        }
    }
    Ok(deaf)
}

/// Gives the server's side of a connection the smallest send buffer there is, as on a machine with little memory: what
/// fills it is then kilobytes and not megabytes.
fn shrink_send_buffer(session: &Session, id: ClientId) -> Result<(), Trouble> {
    let ledger = session.tracer.ledger();
    let port = session.clients.get(id).port();
    let fd = ledger.open().find(|(_, object)| ledger.object(*object).kind == Kind::Connection(Some(port)));
    let Some(socket) = fd.and_then(|(fd, _)| session.tracer.borrow_fd(fd)) else { return Ok(()) };
    setsockopt(&socket, sockopt::SndBuf, &1)
        .map_err(|e| HarnessError::system("make the server's send buffer small", e))?;
    Ok(())
}
