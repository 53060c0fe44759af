//! Clients of every kind, one batch after the other, so that a server goes down each of its paths; and then SIGTERM.
//!
//! Nothing is judged here, and no answer is compared: what the server did meanwhile is for the requirements to look at.

mod ending;
mod round;

pub use ending::{Ending, end, tasks_queued, with_clients};

use crate::{
    error::Trouble,
    probes::{
        clients::ClientId,
        session::{Session, Settled, Setup, Wait, signal_name},
        tracer::{
            End,
            ledger::{Kind, Object, ObjectId},
            thread::Waiting,
        },
    },
};
use std::time::Duration;

/// Few, so that a handful of clients fills the queue.
const WORKERS: usize = 2;
const CAPACITY: usize = 8;

/// How long a server may take to close a connection whose client has gone, as long as it has something in hand.
const CLOSE_DEADLINE: Duration = Duration::from_secs(20);

/// Longer than any server waits that closes a connection late on purpose.
const LINGER: Duration = Duration::from_secs(4);

/// Longer than the longest time after which a server may close an idle connection.
const IDLE_LIMIT: Duration = Duration::from_secs(35);

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// Asks, gets its answer, leaves.
    Answered,
    /// Sends bad input, gets its answer, leaves.
    Rejected,
    /// Sends several requests at once, one of them bad and one of them STATS.
    Pipelined,
    /// Asks and shuts down its sending side; leaves after the answer.
    HalfClosed,
    /// Connects and leaves.
    ClosedAtOnce,
    /// Connects and leaves with a reset.
    ResetAtOnce,
    /// Leaves before it was accepted.
    NeverWaited,
    /// Leaves in the middle of a line.
    PartialLine,
    /// Leaves in the middle of a line, with a reset.
    PartialLineReset,
    /// Sends a line that is too long.
    TooLong,
    /// Sends bytes that are no text.
    Noise,
    /// Leaves while a worker has its task, or while it is queued.
    ClosedMidTask,
    /// The same with a reset.
    ResetMidTask,
    /// The same, after it had shut down its sending side.
    HalfClosedMidTask,
    /// Asks while the queue is full, and waits.
    QueueFull,
    /// Asks while the queue is full, and leaves with a reset.
    QueueFullReset,
    /// Asks for STATS while the queue is full.
    Stats,
    /// Asks, reads nothing, and leaves with a reset when the server cannot send any more.
    Deaf,
}

impl Manner {
    /// What such a client did, behind "a client that".
    pub fn words(self) -> &'static str {
        match self {
            Self::Answered => "was answered and closed",
            Self::Rejected => "sent bad input and closed",
            Self::Pipelined => "sent four requests at once and closed",
            Self::HalfClosed => "shut down its sending side, was answered and closed",
            Self::ClosedAtOnce => "connected and closed",
            Self::ResetAtOnce => "connected and reset the connection",
            Self::NeverWaited => "reset the connection before it was accepted",
            Self::PartialLine => "closed in the middle of a line",
            Self::PartialLineReset => "reset the connection in the middle of a line",
            Self::TooLong => "sent an over-long line and closed",
            Self::Noise => "sent binary noise and closed",
            Self::ClosedMidTask => "closed while its task was under way",
            Self::ResetMidTask => "reset the connection while its task was under way",
            Self::HalfClosedMidTask => {
                "shut down its sending side and then closed while its task was under way"
            }
            Self::QueueFull => "asked while the queue was full, and closed later",
            Self::QueueFullReset => "asked while the queue was full and reset the connection",
            Self::Stats => "asked for STATS while the queue was full, and closed later",
            Self::Deaf => "did not read its answers and reset the connection",
        }
    }
}

/// One client that came and went.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// How it behaved.
    pub manner: Manner,
    /// Who it was.
    pub client: ClientId,
    /// The server's side of its connection.
    pub connection: Option<ObjectId>,
    /// It got every answer that it had waited for. A server that owes one may keep the connection for it.
    pub served: bool,
}

/// Which clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowd {
    /// Of every kind: so many of each.
    Every(usize),
    /// The same once more, but for the one that does not read: it takes as long as all others together.
    Again(usize),
    /// Only those that ask, are answered and leave, and never more than the queue holds.
    Tame,
}

/// Whether the server came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// It serves as before.
    Through,
    /// It has ended, or its loop waits for something that will not come.
    Broken(String),
    /// It was still at work at the harness's deadline.
    NotYet(String),
}

/// Starts a server for [`visit`].
///
/// # Errors
///
/// As [`Session::launch`].
pub fn launch(context: &super::Context<'_>) -> Result<Session, Trouble> {
    Session::launch(context.program, &Setup::new(WORKERS, CAPACITY))
}

/// Sends in the clients, waits until they have left, and says who came.
///
/// # Errors
///
/// As [`Session::until`].
pub fn visit(session: &mut Session, crowd: Crowd) -> Result<(Vec<Visit>, Course), Trouble> {
    let mut round = round::Round::new(session);
    match crowd {
        Crowd::Every(each) | Crowd::Again(each) => {
            round.free(&round::EVERY_MANNER, each)?;
            round.mid_task()?;
            round.queue_full()?;
            if matches!(crowd, Crowd::Every(_)) {
                round.deaf()?;
            }
        }
        Crowd::Tame => {
            for manner in round::TAME {
                round.free(&[manner], CAPACITY)?;
            }
        }
    }
    let visits = round.done();
    let course = course(session)?;
    Ok((visits, course))
}

/// Waits until the server has closed every connection whose client has gone, as long as it may still do so by itself.
///
/// # Errors
///
/// As [`Session::until`].
pub fn until_closed(session: &mut Session) -> Result<Course, Trouble> {
    let closed = |session: &mut Session| open_connections(session).is_empty();
    let mut wait = session.until_patiently(CLOSE_DEADLINE, LINGER, closed)?;
    if matches!(wait, Wait::Stalled(_)) && matches!(session.settle()?, Settled::AtRest(_)) {
        // At once if every thread sleeps for good; a server that looks for idle connections now and then gets its time.
        wait = session.until_patiently(IDLE_LIMIT + CLOSE_DEADLINE, IDLE_LIMIT, closed)?;
    }
    match wait {
        Wait::Busy(snapshot) => Ok(Course::NotYet(snapshot.describe())),
        Wait::Reached | Wait::Stalled(_) | Wait::Ended => course(session),
    }
}

/// The connections that the server has not closed.
pub fn open_connections(session: &Session) -> Vec<ObjectId> {
    let is_open = |object: &Object| object.open > 0 && matches!(object.kind, Kind::Connection(_));
    session.tracer.ledger().objects().filter(|(_, object)| is_open(object)).map(|(id, _)| id).collect()
}

/// Whether the server still serves: it is alive, and its loop does not wait for a worker that waits for work.
fn course(session: &mut Session) -> Result<Course, Trouble> {
    let settled = session.settle()?;
    if let Some((end, _)) = session.tracer.end() {
        return Ok(Course::Broken(match end {
            End::Status(status) => format!("it ended with exit status {status}"),
            End::Signal(signal) => format!("it was killed by {}", signal_name(signal)),
        }));
    }
    let main = session.tracer.thread(session.tracer.main());
    let blocked = main.and_then(|main| main.waiting).is_some_and(|w| !matches!(w, Waiting::Join(_)));
    Ok(match settled {
        Settled::AtRest(snapshot) if blocked => {
            Course::Broken(format!("its loop is stuck: {}", snapshot.describe()))
        }
        Settled::Busy(snapshot) => Course::NotYet(snapshot.describe()),
        _ => Course::Through,
    })
}
