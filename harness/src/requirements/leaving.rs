//! Clients that leave before they are answered: the ways to go, and what the server still has of them.

use super::common::{ANSWER_DEADLINE, held_tids};
use crate::{
    error::Trouble,
    probes::{
        clients::ClientId,
        session::Session,
        tracer::{event::Call, ledger::ObjectId, syscalls::Class},
    },
};

/// A way to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// With a reset: the connection is gone at once.
    Reset,
    /// By closing: the end of the stream, and a reset if anything is sent afterwards.
    Close,
    /// By closing the sending side first, and then altogether.
    HalfThenClose,
    /// By closing the sending side first, and then with a reset.
    HalfThenReset,
}

impl Leaving {
    /// Behind "client A": `left by a reset`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Reset => "left by a reset",
            Self::Close => "closed its connection",
            Self::HalfThenClose => "shut down its sending side and then closed its connection",
            Self::HalfThenReset => "shut down its sending side and then left by a reset",
        }
    }

    /// The first half of it, if it has two; the server has noticed when this returns.
    ///
    /// # Errors
    ///
    /// As [`Session::settle`].
    pub fn begin(self, session: &mut Session, id: ClientId) -> Result<(), Trouble> {
        if matches!(self, Self::HalfThenClose | Self::HalfThenReset) {
            session.clients.finish(id);
            session.settle()?;
        }
        Ok(())
    }

    /// The rest of it.
    pub fn finish(self, session: &mut Session, id: ClientId) {
        match self {
            Self::Reset | Self::HalfThenReset => session.clients.reset(id),
            Self::Close | Self::HalfThenClose => session.clients.close(id),
        }
    }
}

/// Waits until one more worker is held than these; `None` if it cannot be any more.
///
/// # Errors
///
/// As [`Session::until`].
pub fn next_held(session: &mut Session, before: &[i32]) -> Result<Option<i32>, Trouble> {
    let next = |session: &Session| held_tids(session).into_iter().find(|tid| !before.contains(tid));
    session.until(ANSWER_DEADLINE, |session| next(session).is_some())?;
    Ok(next(session))
}

/// The server's side of a client's connection. To be asked for while the client is there: a port is used again.
pub fn connection(session: &Session, id: ClientId) -> Option<ObjectId> {
    session.tracer.ledger().connection(session.clients.get(id).port())
}

/// The descriptors that stand for a connection now.
pub fn descriptors(session: &Session, connection: Option<ObjectId>) -> Vec<i32> {
    session.tracer.ledger().open().filter(|(_, id)| Some(*id) == connection).map(|(fd, _)| fd).collect()
}

/// `9`, or `9 and 10`.
pub fn numbers(descriptors: &[i32]) -> String {
    let words: Vec<String> = descriptors.iter().map(i32::to_string).collect();
    words.join(" and ")
}

/// The call that closed a connection, as far as it was closed.
pub fn closed_by(session: &Session, connection: Option<ObjectId>) -> Option<String> {
    session.tracer.events().iter().rev().find_map(|event| {
        let closes = |call: &&Call| call.class == Class::Close && call.object == connection;
        let call = event.call().filter(closes)?;
        connection.map(|_| format!("closed by {}", session.tracer.describe_call(event.tid, call)))
    })
}
