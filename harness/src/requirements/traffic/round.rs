//! One round of clients: workers free, workers held, queue full, and nobody reading.

use super::{CAPACITY, Manner, Visit, WORKERS};
use crate::{
    error::Trouble,
    probes::{
        clients::{Client, ClientId, Link},
        session::{Session, Settled},
    },
    requirements::{
        common::{ANSWER_DEADLINE, bad, good},
        deaf::stop_up,
    },
};
use std::time::Duration;

/// The kinds of client that come while the workers are free.
pub(super) const EVERY_MANNER: [Manner; 11] = [
    Manner::Answered,
    Manner::Rejected,
    Manner::Pipelined,
    Manner::HalfClosed,
    Manner::ClosedAtOnce,
    Manner::ResetAtOnce,
    Manner::NeverWaited,
    Manner::PartialLine,
    Manner::PartialLineReset,
    Manner::TooLong,
    Manner::Noise,
];

/// The kinds that every server can bear, one after the other. Good input comes last: what a server forgets to send when
/// there was only bad input goes out with the next result, every time.
pub(super) const TAME: [Manner; 2] = [Manner::Rejected, Manner::Answered];

/// Who leaves while the workers are held: no more than the workers and the queue hold.
const MID_TASK: [Manner; 8] = [
    Manner::ClosedMidTask,
    Manner::ResetMidTask,
    Manner::HalfClosedMidTask,
    Manner::ResetMidTask,
    Manner::ClosedMidTask,
    Manner::HalfClosedMidTask,
    Manner::ResetMidTask,
    Manner::ClosedMidTask,
];

const _: () = assert!(MID_TASK.len() <= WORKERS + CAPACITY);

/// How many clients are connected at once while the workers are free.
const AT_ONCE: usize = 27;

/// How long it may take to fill the queue: a server that is still at work then waits for room in its own way.
const FILLED: Duration = Duration::from_secs(1);

/// A line longer than any request may be.
const TOO_LONG: usize = 1500;

/// A round in progress.
pub(super) struct Round<'a> {
    session: &'a mut Session,
    visits: Vec<Visit>,
}

impl<'a> Round<'a> {
    pub(super) fn new(session: &'a mut Session) -> Self {
        Self { session, visits: Vec::new() }
    }

    /// Everybody who came.
    pub(super) fn done(self) -> Vec<Visit> {
        self.visits
    }

    /// Clients connect; they are those from the returned place on.
    fn arrive(&mut self, manners: impl IntoIterator<Item = Manner>) -> Result<usize, Trouble> {
        let first = self.visits.len();
        for manner in manners {
            let client = match manner {
                Manner::NeverWaited => {
                    let client = self.session.clients.connect()?;
                    self.session.clients.reset(client);
                    client
                }
                Manner::Deaf => stop_up(self.session, b"hush\n")?,
                _ => self.session.connect()?,
            };
            let port = self.session.clients.get(client).port();
            let connection = self.session.tracer.ledger().connection(port);
            self.visits.push(Visit { manner, client, connection, served: true });
        }
        Ok(first)
    }

    /// Those from this place on say what they have to say.
    fn ask(&mut self, first: usize) {
        for (number, visit) in self.visits[first..].iter().enumerate() {
            self.session.clients.send(visit.client, &request(visit.manner, number));
            if matches!(visit.manner, Manner::HalfClosed | Manner::HalfClosedMidTask) {
                self.session.clients.finish(visit.client);
            }
        }
    }

    /// Those from this place on who wait for answers do so, and then leave; the others have left already.
    fn part(&mut self, first: usize) -> Result<(), Trouble> {
        let visits = &mut self.visits[first..];
        self.session.until(ANSWER_DEADLINE, |session| {
            visits.iter().all(|visit| {
                let client = session.clients.get(visit.client);
                client.answers() >= awaited(visit.manner) || has_lost_it(client)
            })
        })?;
        for visit in visits {
            let client = self.session.clients.get(visit.client);
            visit.served = client.answers() >= awaited(visit.manner) || has_lost_it(client);
            // Who was not served may not be waited for any longer either.
            if visit.served {
                self.session.clients.close(visit.client);
            } else {
                self.session.clients.reset(visit.client);
            }
        }
        self.session.settle()?;
        Ok(())
    }

    /// So many of each kind, with the workers free; not more at once than any server bears.
    pub(super) fn free(&mut self, manners: &[Manner], each: usize) -> Result<(), Trouble> {
        // To see whose connection a reset has cut before it was accepted takes the kernel long.
        let count = |manner| if manner == Manner::NeverWaited { 1 } else { each };
        let all: Vec<Manner> =
            manners.iter().flat_map(|manner| std::iter::repeat_n(*manner, count(*manner))).collect();
        for batch in all.chunks(AT_ONCE) {
            let first = self.arrive(batch.iter().copied())?;
            self.ask(first);
            for at in first..self.visits.len() {
                self.leave_at_once(self.visits[at]);
            }
            self.part(first)?;
        }
        Ok(())
    }

    /// Clients that leave while workers have their tasks.
    pub(super) fn mid_task(&mut self) -> Result<(), Trouble> {
        let first = self.arrive(MID_TASK)?;
        self.session.settle()?;
        self.session.tracer.arm_mid_task();
        self.ask(first);
        self.session.settle()?;
        for at in first..self.visits.len() {
            self.leave_at_once(self.visits[at]);
        }
        self.session.settle()?;
        self.session.tracer.release_all()?;
        self.session.settle()?;
        Ok(())
    }

    /// More clients than the workers and the queue hold; some of them do not wait.
    pub(super) fn queue_full(&mut self) -> Result<(), Trouble> {
        let crowd = std::iter::repeat_n(Manner::QueueFull, WORKERS + CAPACITY + 3);
        let first =
            self.arrive(crowd.chain([Manner::QueueFullReset, Manner::QueueFullReset, Manner::Stats]))?;
        self.session.settle()?;
        self.session.tracer.arm_mid_task();
        self.ask(first);
        let settled = self.session.settle_within(FILLED)?;
        for at in first..self.visits.len() {
            self.leave_at_once(self.visits[at]);
        }
        // A loop that goes round and round until there is room notices nobody's leaving before that.
        if matches!(settled, Settled::AtRest(_)) {
            self.session.settle()?;
        }
        self.session.tracer.release_all()?;
        self.part(first)
    }

    /// A client that asks and does not read.
    pub(super) fn deaf(&mut self) -> Result<(), Trouble> {
        let first = self.arrive([Manner::Deaf])?;
        self.session.clients.reset(self.visits[first].client);
        self.session.settle()?;
        Ok(())
    }

    /// Those who do not wait leave.
    fn leave_at_once(&mut self, visit: Visit) {
        match visit.manner {
            Manner::ClosedAtOnce
            | Manner::PartialLine
            | Manner::ClosedMidTask
            | Manner::HalfClosedMidTask => self.session.clients.close(visit.client),
            Manner::ResetAtOnce
            | Manner::PartialLineReset
            | Manner::ResetMidTask
            | Manner::QueueFullReset => self.session.clients.reset(visit.client),
            _ => {}
        }
    }
}

/// What such a client sends.
fn request(manner: Manner, number: usize) -> Vec<u8> {
    match manner {
        Manner::ClosedAtOnce | Manner::ResetAtOnce | Manner::NeverWaited | Manner::Deaf => Vec::new(),
        Manner::Rejected => bad(number),
        Manner::QueueFull if number % 2 == 1 => bad(number),
        // The last is a task that takes a little longer, where that is known.
        Manner::Pipelined => [good(number), bad(number), b"STATS\n".to_vec(), b"spin 1\n".to_vec()].concat(),
        Manner::Stats => b"STATS\n".to_vec(),
        Manner::PartialLine | Manner::PartialLineReset => b"half a li".to_vec(),
        Manner::TooLong => vec![b'x'; TOO_LONG],
        Manner::Noise => b"\x00\xff\x1b[2J\xc3\x28\x7f\r\x01\n".to_vec(),
        _ => good(number),
    }
}

/// How many answers such a client waits for.
fn awaited(manner: Manner) -> usize {
    match manner {
        Manner::Answered
        | Manner::Rejected
        | Manner::HalfClosed
        | Manner::TooLong
        | Manner::Noise
        | Manner::QueueFull
        | Manner::Stats => 1,
        Manner::Pipelined => 4,
        _ => 0,
    }
}

/// Whether a client that waits will get nothing more because its connection is gone, or never was.
fn has_lost_it(client: &Client) -> bool {
    matches!(client.link(), Link::Ended | Link::Reset | Link::Refused | Link::Closed)
}

/// For the end: clients that are merely there.
pub(super) fn idle_clients(session: &mut Session) -> Result<Vec<ClientId>, Trouble> {
    let ids = session.connect_many(3)?;
    session.clients.send(ids[0], &good(0));
    session.clients.send(ids[1], b"half a li");
    session.until(ANSWER_DEADLINE, |session| {
        let client = session.clients.get(ids[0]);
        client.answers() > 0 || has_lost_it(client)
    })?;
    session.settle()?;
    Ok(ids)
}
