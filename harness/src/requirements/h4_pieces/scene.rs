//! What H4 sends its requests to, and how it waits for the answers.

use super::{Exchange, Observation};
use crate::{
    error::Trouble,
    probes::{
        clients::{ClientId, Link},
        session::{Session, Setup, Wait},
    },
    requirements::{
        Context,
        common::{ANSWER_DEADLINE, Ended, died, mixed, stuck},
    },
};
use std::collections::BTreeMap;

/// A server, what each request gets alone, and what has been seen so far.
pub(super) struct Scene {
    pub(super) session: Session,
    /// By the text without its end.
    pub(super) alone: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) bystander: ClientId,
    /// How many answers each client is to get in all.
    owed: BTreeMap<ClientId, usize>,
    pub(super) seen: Observation,
}

/// A request without its end.
pub(super) fn text(request: &[u8]) -> Vec<u8> {
    let line = request.strip_suffix(b"\n").unwrap_or(request);
    line.strip_suffix(b"\r").unwrap_or(line).to_vec()
}

impl Scene {
    /// Asks each of the first `count` requests alone.
    pub(super) fn begin(context: &Context<'_>, setup: &Setup, count: usize) -> Result<Self, Trouble> {
        let mut session = Session::launch(context.program, setup)?;
        let bystander = session.connect()?;
        let seen =
            Observation { capacity: setup.capacity, unanswered: None, exchanges: Vec::new(), died: None };
        let mut scene = Self { session, alone: BTreeMap::new(), bystander, owed: BTreeMap::new(), seen };
        scene.ask_alone(b"\n".to_vec())?;
        for number in 0..count {
            scene.ask_alone(mixed(number))?;
        }
        Ok(scene)
    }

    /// What was seen in all.
    pub(super) fn end(mut self) -> Result<Observation, Trouble> {
        // An answer too many would come by now.
        self.session.settle()?;
        for (id, owed) in self.owed {
            let lines = self.session.clients.get(id).lines();
            if lines.len() > owed && !self.seen.is_over() {
                self.seen.exchanges.push(Exchange {
                    how: "after all answers had come".to_owned(),
                    asked: Vec::new(),
                    got: lines[owed..].iter().map(|line| line.to_vec()).collect(),
                    end: Ended::Reached,
                    stuck: String::new(),
                    sent_by: self.session.sent_by(id),
                });
            }
        }
        self.seen.died = died(&self.session);
        Ok(self.seen)
    }

    /// Asks while nobody else does, and remembers the answer.
    pub(super) fn ask_alone(&mut self, request: Vec<u8>) -> Result<(), Trouble> {
        self.ask_alone_as(self.bystander, request)
    }

    /// As `ask_alone`, by this client.
    pub(super) fn ask_alone_as(&mut self, id: ClientId, request: Vec<u8>) -> Result<(), Trouble> {
        if self.seen.is_over() {
            return Ok(());
        }
        match self.session.ask(id, &request)? {
            Ok(answer) => drop(self.alone.insert(text(&request), answer)),
            Err(wait) => self.seen.unanswered = Some((request, Ended::from(&wait), stuck(&wait))),
        }
        Ok(())
    }

    /// Waits until the server has read all that this client has sent, or will not.
    pub(super) fn read(&mut self, id: ClientId) -> Result<Wait, Trouble> {
        let sent = self.session.clients.get(id).sent() as u64;
        self.session.until(ANSWER_DEADLINE, |session| {
            session.server_side(id).is_some_and(|side| side.bytes_in >= sent || side.open == 0)
        })
    }

    /// Sends requests in some way and waits for their answers, if all went well so far.
    pub(super) fn exchange(
        &mut self,
        id: ClientId,
        how: &str,
        requests: &[Vec<u8>],
        send: impl FnOnce(&mut Self) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        if self.seen.is_over() || self.session.tracer.end().is_some() {
            return Ok(());
        }
        let before = self.session.clients.get(id).answers();
        send(self)?;
        let wait = self.session.until(ANSWER_DEADLINE, |session| {
            let client = session.clients.get(id);
            client.answers() >= before + requests.len() || client.link() != Link::Open
        })?;
        let asked = requests.iter().map(|request| (request.clone(), self.alone[&text(request)].clone()));
        let lines = self.session.clients.get(id).lines();
        self.owed.insert(id, before + requests.len());
        self.seen.exchanges.push(Exchange {
            how: how.to_owned(),
            asked: asked.collect(),
            got: lines[before.min(lines.len())..].iter().map(|line| line.to_vec()).collect(),
            end: Ended::from(&wait),
            stuck: stuck(&wait),
            sent_by: self.session.sent_by(id),
        });
        Ok(())
    }
}
