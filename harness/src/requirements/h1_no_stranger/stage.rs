//! What a round of H1 is made of: clients that ask and leave, and newcomers.

use super::{Goes, Leaver, Observation, Stranger};
use crate::{
    error::Trouble,
    probes::{
        clients::ClientId,
        session::{Session, Setup, Wait},
        tracer::{At, ledger::ObjectId},
    },
    requirements::{
        Context,
        common::{Ended, REJECTED, bad, good, held_tids, shown, stuck, wait_for_answers, worker_turns},
        leaving::{connection, descriptors, next_held},
    },
};

/// As many as there are tasks in hand at most.
const WORKERS: usize = 4;

/// How many different good requests a round may need.
///
/// An odd number: workers that take turns have other texts when all are asked again.
const TEXTS: usize = 31;

/// How many questions a newcomer asks when the late results have come: what they left behind may fit a later one only.
const QUESTIONS: usize = 2;

/// A server on which one round after another is played.
pub(super) struct Stage<'a> {
    context: &'a Context<'a>,
    pub(super) session: Session,
    /// What each good request is answered when nobody else asks, if it is always the same.
    alone: Vec<Option<Vec<u8>>>,
    /// The number of the next request of this round.
    next: usize,
    /// No worker was given a processor while the clients asked that are to leave.
    slept: bool,
}

/// A client that is to leave.
pub(super) struct Leaves {
    pub(super) id: ClientId,
    connection: Option<ObjectId>,
    /// The workers that hold its tasks, in the order of the requests.
    pub(super) workers: Vec<i32>,
    pub(super) seen: Leaver,
}

/// A newcomer.
pub(super) struct Newcomer {
    pub(super) id: ClientId,
    pub(super) seen: Stranger,
}

impl Newcomer {
    /// Writes down what it got; to be called often, so that the call that sent the first wrong line is the last that sent
    /// anything.
    pub(super) fn note(&mut self, session: &Session) {
        self.seen.got = session.clients.get(self.id).lines().iter().map(|line| line.to_vec()).collect();
        if self.seen.sent_by.is_none() && self.seen.first_wrong().is_some() {
            self.seen.sent_by = Some(session.sent_by(self.id));
        }
    }
}

impl<'a> Stage<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Result<Self, Trouble> {
        let mut session = launch(context)?;
        let id = session.connect()?;
        let mut answers = Vec::new();
        for number in (0..TEXTS).chain(0..TEXTS) {
            match session.ask(id, &good(number))? {
                Ok(answer) => answers.push(Some(answer)),
                Err(_) => break,
            }
        }
        answers.resize(2 * TEXTS, None);
        let again = answers.split_off(TEXTS);
        // Where the same text is answered now so and now so, no answer can be told from another.
        let alone = if answers == again { answers } else { vec![None; TEXTS] };
        session.clients.close(id);
        session.settle()?;
        Ok(Self { context, session, alone, next: 0, slept: false })
    }

    /// Connects the clients that are to leave, and lets them ask while the workers are held mid-task.
    pub(super) fn ask_and_hold(&mut self, leavers: &[Goes]) -> Result<Vec<Leaves>, Trouble> {
        if self.session.tracer.end().is_some() {
            self.session = launch(self.context)?;
        }
        self.next = 0;
        let mut here = Vec::new();
        for (at, (_, leaving)) in leavers.iter().enumerate() {
            let id = self.session.connect()?;
            let (name, leaving) = (name('A', at), *leaving);
            let seen = Leaver { name, leaving, asked: vec![], descriptors: vec![], closed: false };
            here.push(Leaves { id, connection: connection(&self.session, id), workers: vec![], seen });
        }
        self.session.settle()?;
        let turns = worker_turns(&self.session);
        self.session.tracer.arm_mid_task();
        for (leaver, (requests, _)) in here.iter_mut().zip(leavers) {
            for is_bad in *requests {
                let (request, answer) = self.request(*is_bad);
                let before = held_tids(&self.session);
                // One at a time, so that it is known which worker has which task.
                self.session.clients.send(leaver.id, &request);
                leaver.workers.extend(next_held(&mut self.session, &before)?);
                leaver.seen.asked.push((text(&request), answer));
            }
            leaver.seen.descriptors = descriptors(&self.session, leaver.connection);
        }
        self.session.settle()?;
        self.slept = worker_turns(&self.session) == turns;
        Ok(here)
    }

    /// A request unlike every other of this round, and its answer.
    fn request(&mut self, is_bad: bool) -> (Vec<u8>, Option<Vec<u8>>) {
        let number = self.next % TEXTS;
        self.next += 1;
        if is_bad {
            (bad(number), Some(REJECTED.to_vec()))
        } else {
            (good(number), self.alone[number].clone())
        }
    }

    /// Everybody leaves.
    pub(super) fn leave(&mut self, leavers: &[Leaves]) -> Result<(), Trouble> {
        for leaver in leavers {
            leaver.seen.leaving.begin(&mut self.session, leaver.id)?;
        }
        for leaver in leavers {
            leaver.seen.leaving.finish(&mut self.session, leaver.id);
        }
        self.session.settle()?;
        Ok(())
    }

    /// Looks which of their connections the server has closed by now.
    pub(super) fn look(&self, leavers: &mut [Leaves]) {
        for leaver in leavers {
            leaver.seen.closed =
                leaver.connection.is_some() && descriptors(&self.session, leaver.connection).is_empty();
        }
    }

    /// Somebody comes, who may be given one of these descriptors.
    pub(super) fn newcomer(&mut self, at: usize, wanted: &[i32]) -> Result<Newcomer, Trouble> {
        let id = self.session.connect()?;
        let connection = connection(&self.session, id);
        let mut has = descriptors(&self.session, connection);
        if !has.iter().any(|fd| wanted.contains(fd)) {
            // The server may be about to give it another number.
            self.session.settle()?;
            has = descriptors(&self.session, connection);
        }
        let (name, descriptors) = (name('B', at), has);
        Ok(Newcomer { id, seen: Stranger { name, descriptors, asked: vec![], got: vec![], sent_by: None } })
    }

    /// A newcomer asks something of its own.
    pub(super) fn ask(&mut self, newcomer: &mut Newcomer) {
        let (request, answer) = self.request(false);
        newcomer.seen.asked.push((text(&request), answer));
        self.session.clients.send(newcomer.id, &request);
    }

    /// Lets a newcomer ask so many questions, one after the other; how the wait for the answers ended.
    pub(super) fn question(&mut self, newcomer: &mut Newcomer, count: usize) -> Result<Wait, Trouble> {
        let mut wait = wait_for_answers(&mut self.session, &[newcomer.id], newcomer.seen.asked.len())?;
        newcomer.note(&self.session);
        for _ in 0..count {
            if !wait.reached() || newcomer.seen.first_wrong().is_some() {
                break;
            }
            self.ask(newcomer);
            wait = wait_for_answers(&mut self.session, &[newcomer.id], newcomer.seen.asked.len())?;
            newcomer.note(&self.session);
        }
        Ok(wait)
    }

    /// Holds nobody any more, and lets each newcomer ask again; how the wait for all their answers ended.
    pub(super) fn question_all(&mut self, newcomers: &mut [Newcomer]) -> Result<Wait, Trouble> {
        self.session.tracer.release_all()?;
        for newcomer in newcomers.iter_mut() {
            let wait = self.question(newcomer, QUESTIONS)?;
            if !wait.reached() {
                return Ok(wait);
            }
        }
        // A line too many may still come.
        self.session.settle()?;
        newcomers.iter_mut().for_each(|newcomer| newcomer.note(&self.session));
        Ok(Wait::Reached)
    }

    /// Puts everything together when the round is over, and everybody goes home.
    pub(super) fn observation(
        &mut self,
        leavers: Vec<Leaves>,
        newcomers: Vec<Newcomer>,
        held: Vec<(i32, At)>,
        wait: &Wait,
    ) -> Result<Observation, Trouble> {
        let ids = leavers.iter().map(|leaver| leaver.id).chain(newcomers.iter().map(|newcomer| newcomer.id));
        ids.for_each(|id| self.session.clients.close(id));
        self.session.settle()?;
        Ok(Observation {
            leavers: leavers.into_iter().map(|leaver| leaver.seen).collect(),
            strangers: newcomers.into_iter().map(|newcomer| newcomer.seen).collect(),
            held,
            workers_slept: self.slept,
            end: Ended::from(wait),
            stuck: stuck(wait),
            death: self.session.death(),
        })
    }
}

fn launch(context: &Context<'_>) -> Result<Session, Trouble> {
    Session::launch(context.program, &Setup::new(WORKERS, 64))
}

/// `A1`.
fn name(letter: char, at: usize) -> String {
    format!("{letter}{}", at + 1)
}

/// A request without its newline, as evidence shows it.
fn text(request: &[u8]) -> String {
    shown(request.strip_suffix(b"\n").unwrap_or(request))
}
