//! A client that asks and does not read, and a server whose buffers for it are small enough to fill.

use crate::{
    error::{HarnessError, Trouble},
    probes::{
        clients::{ClientId, LITTLE_ROOM, Link, send_at_once},
        session::{Session, Settled},
        tracer::{
            Shorten,
            kernel::{cork, unsent},
        },
    },
};
use nix::sys::socket::{setsockopt, sockopt};
use std::time::Duration;

/// What the deaf client asks in one go, less than the smallest queue holds for which this is used.
const BATCH: usize = 32;

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
    let deaf = come(session, request, BATCH)?;
    ask_until_stuck(session, deaf, request, BATCH)?;
    Ok(deaf)
}

/// As [`stop_up`], and the server's last send to it stopped within an answer, if it sends one at a time.
///
/// # Errors
///
/// As [`Session::until`].
pub fn stop_up_mid_answer(session: &mut Session, request: &[u8]) -> Result<ClientId, Trouble> {
    // Most of an answer, so that there are not many more sends than answers; the other where answers fit exactly.
    let mut shares = [6, 2].into_iter();
    loop {
        let deaf = come(session, request, BATCH)?;
        let asked = session.clients.get(deaf).queued() / request.len();
        // One that talks before it is asked may have been asked nothing.
        let answer = sent(session, deaf).checked_div(asked).unwrap_or(0);
        let connection = session.tracer.ledger().connection(session.clients.get(deaf).port());
        if let (Some(connection), Some(share), 1..) = (connection, shares.next(), answer) {
            session.tracer.shorten_sends(connection, Shorten::Each, (answer - answer / share) as u64);
        }
        ask_until_stuck(session, deaf, request, BATCH)?;
        session.tracer.let_sends_be();
        if shares.len() == 0 || answer == 0 || !sent(session, deaf).is_multiple_of(answer) {
            return Ok(deaf);
        }
    }
}

/// A client comes that does not read. It asks `request`, so often in one go, until its own buffer is full; and then the server's
/// buffer for it is made small.
///
/// The other way round the server would find a little room with each acknowledgement, which a kernel puts off: it would look
/// stopped, and go on again.
///
/// # Errors
///
/// As [`Session::until`].
pub fn come(session: &mut Session, request: &[u8], batch: usize) -> Result<ClientId, Trouble> {
    let deaf = session.clients.connect_deaf()?;
    session.until(ACCEPT, |session| {
        session.is_accepted(deaf) || session.clients.get(deaf).link() == Link::Refused
    })?;
    if let Some(socket) = session.server_socket(deaf) {
        // Answers that are only paced would look as if they waited for room.
        send_at_once(&socket);
        // Few long packets. Of many short ones each takes more memory than was announced for its bytes: the client's kernel
        // would drop some, and then, since they are missing, the acknowledgements that come behind them.
        cork(&socket, true);
    }
    ask_until(session, deaf, request, batch, |session| sent(session, deaf) > LITTLE_ROOM)?;
    if let Some(socket) = session.server_socket(deaf) {
        cork(&socket, false);
    }
    session.settle()?;
    ask_until(session, deaf, request, batch, |session| {
        session.server_socket(deaf).is_none_or(|socket| unsent(&socket) > 0)
    })?;
    shrink_send_buffer(session, deaf)?;
    Ok(deaf)
}

/// It asks `request` again and again, so often in one go, until the server cannot send to it any more.
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
    ask_until(session, deaf, request, batch, |_| false)
}

/// It asks again and again, until that is so or the server sends no more. Each time when the server has read what was asked before:
/// one that stops to read meanwhile would find more in one go, now and then, than its queue holds.
fn ask_until(
    session: &mut Session,
    deaf: ClientId,
    request: &[u8],
    batch: usize,
    is_full: impl Fn(&Session) -> bool,
) -> Result<(), Trouble> {
    let taken = |session: &Session| session.server_side(deaf).map_or(0, |side| side.bytes_in) as usize;
    for _ in 0..MOST / batch {
        if is_full(session) {
            break;
        }
        let before = sent(session, deaf);
        if taken(session) == session.clients.get(deaf).queued() {
            session.clients.send(deaf, &request.repeat(batch));
        }
        let settled = session.settle()?;
        let goes_on = sent(session, deaf) > before;
        if !goes_on || matches!(settled, Settled::Busy(_) | Settled::Ended) {
            break;
        }
    }
    Ok(())
}

/// How many bytes the server has sent to a client.
fn sent(session: &Session, id: ClientId) -> usize {
    session.server_side(id).map_or(0, |side| side.bytes_out) as usize
}

/// Gives the server's side of a connection the smallest send buffer there is, as on a machine with little memory: what
/// fills it is then kilobytes and not megabytes.
fn shrink_send_buffer(session: &Session, id: ClientId) -> Result<(), Trouble> {
    let Some(socket) = session.server_socket(id) else { return Ok(()) };
    setsockopt(&socket, sockopt::SndBuf, &1)
        .map_err(|e| HarnessError::system("make the server's send buffer small", e))?;
    Ok(())
}
