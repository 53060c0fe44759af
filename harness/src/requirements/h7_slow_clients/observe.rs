//! One client that does not read, then fifty that do not end their lines; and others who ask meanwhile.

use super::{Observation, Other, Slow};
use crate::{
    error::Trouble,
    probes::{
        clients::{ClientId, Link},
        session::{Session, Setup, Wait},
        tracer::{Shorten, syscalls::Class},
    },
    requirements::{
        Context,
        common::{ANSWER_DEADLINE, Ended, died, good, stuck},
        deaf::stop_up_mid_answer,
        idle::{Rest, rest},
    },
};

/// One worker: what it computes for one request cannot meet another's, and it takes them in order.
const WORKERS: usize = 1;

/// More than the deaf client ever asks: what a full queue does is for R1 and H4 to judge.
const CAPACITY: usize = 8192;

/// Requests that the deaf client sends on top, so that its buffers fill again and again once it reads.
const MORE: usize = 200;

/// So little does every other send to the slow reader take at most, and so many requests does it send.
const SIP: u64 = 7;
const SIPS: usize = 20;

/// Clients that send half a line, and every which of them goes on byte by byte.
const HALVES: usize = 50;
const EVERY: usize = 10;

pub(super) fn observe(context: &Context<'_>) -> Result<Observation, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(WORKERS, CAPACITY))?;
    let text = good(7);
    let [one, two] = [session.connect()?, session.connect()?];
    let alone = [session.ask(one, &text)?.ok(), session.ask(two, &text)?.ok()];
    let mut seen = Observation {
        alone,
        spins_anyway: false,
        stopped_up: false,
        others: Vec::new(),
        rest: Rest::Sleeps,
        rest_afterwards: Rest::Sleeps,
        slow: Vec::new(),
        died: None,
    };
    let Some(answer) = seen.alone[0].clone() else { return Ok(seen) };
    deaf(&mut session, &mut seen, [one, two], &text, &answer)?;
    if !seen.is_over() && !matches!(seen.rest, Rest::NotYet(_)) {
        sips(&mut session, &mut seen, &text, &answer)?;
        halves(&mut session, &mut seen, one, &text, &answer)?;
    }
    seen.died = died(&session);
    Ok(seen)
}

impl Observation {
    /// Whether there is nothing more to look at.
    fn is_over(&self) -> bool {
        self.others.iter().any(|other| other.end != Ended::Reached)
    }
}

/// Somebody else asks.
fn other(
    session: &mut Session,
    seen: &mut Observation,
    id: ClientId,
    meanwhile: &'static str,
) -> Result<(), Trouble> {
    if seen.is_over() {
        return Ok(());
    }
    let before = session.clients.get(id).answers();
    session.clients.send(id, &good(3));
    let wait = until_answered(session, &[id], before + 1)?;
    let got = session.clients.get(id).lines().get(before).map(|line| line.to_vec());
    let end = if got.is_some() { Ended::Reached } else { Ended::from(&wait) };
    seen.others.push(Other { meanwhile, got, end, stuck: stuck(&wait), sent_by: session.sent_by(id) });
    Ok(())
}

/// Waits until each of these clients has so many answers, or no connection any more.
///
/// An answer may be missing that the server has not even tried to send: a wake-up was lost, which R4 and R6 force and judge.
/// Here it would come to pass now and then, and have nothing to do with slow clients; so somebody else asks, which wakes
/// the loop.
fn until_answered(session: &mut Session, ids: &[ClientId], answers: usize) -> Result<Wait, Trouble> {
    let lacks = |session: &Session, id: &ClientId| {
        let client = session.clients.get(*id);
        client.answers() < answers && client.link() == Link::Open
    };
    let nobody_lacks = |session: &mut Session| !ids.iter().any(|id| lacks(session, id));
    let wait = session.until(ANSWER_DEADLINE, nobody_lacks)?;
    let tried = ids.iter().any(|id| lacks(session, id) && was_sent_less_than_meant(session, *id));
    if !matches!(wait, Wait::Stalled(_)) || tried {
        return Ok(wait);
    }
    let somebody = session.connect()?;
    let _ = session.ask(somebody, &good(3))?;
    session.clients.close(somebody);
    let again = session.until(ANSWER_DEADLINE, nobody_lacks)?;
    Ok(if again.reached() { again } else { wait })
}

/// Whether the server's last send to a client took less than it was given.
fn was_sent_less_than_meant(session: &Session, id: ClientId) -> bool {
    let last = session.last_sent(id, |call| call.class == Class::Send);
    last.is_some_and(|(_, call)| match call.name {
        "sendto" | "write" => call.result < call.args[2] as i64,
        _ => call.result < 0,
    })
}

fn deaf(
    session: &mut Session,
    seen: &mut Observation,
    [one, two]: [ClientId; 2],
    text: &[u8],
    answer: &[u8],
) -> Result<(), Trouble> {
    let deaf = stop_up_mid_answer(session, text)?;
    let requests = |session: &Session| session.clients.get(deaf).sent() / text.len();
    let answered = |session: &Session| {
        session.server_side(deaf).map_or(0, |side| side.bytes_out) as usize / (answer.len() + 1)
    };
    seen.stopped_up = answered(session) < requests(session) || session.clients.get(deaf).link() != Link::Open;
    session.clients.send(deaf, &text.repeat(MORE));
    let meanwhile = "while one client did not read its answers";
    for id in [one, two, one] {
        other(session, seen, id, meanwhile)?;
    }
    if seen.is_over() {
        return Ok(());
    }
    let newcomer = session.connect()?;
    other(session, seen, newcomer, meanwhile)?;
    session.clients.close(newcomer);
    seen.rest = rest(session)?;
    if seen.is_over() || matches!(seen.rest, Rest::NotYet(_)) {
        return Ok(());
    }
    session.clients.hear(deaf);
    let asked = session.clients.get(deaf).queued() / text.len();
    let wait = until_answered(session, &[deaf], asked)?;
    // A line too many would come now.
    session.settle()?;
    let who = "the client that did not read for a time".to_owned();
    seen.slow.push(slow(session, deaf, who, asked, answer, (Ended::from(&wait), stuck(&wait))));
    seen.rest_afterwards = rest(session)?;
    session.clients.close(deaf);
    session.settle()?;
    Ok(())
}

/// A client to which a few bytes can be sent at a time.
fn sips(session: &mut Session, seen: &mut Observation, text: &[u8], answer: &[u8]) -> Result<(), Trouble> {
    let id = session.connect()?;
    let Some(connection) = session.tracer.ledger().connection(session.clients.get(id).port()) else {
        return Ok(());
    };
    session.tracer.shorten_sends(connection, Shorten::EveryOther, SIP);
    for asked in [1, SIPS] {
        session.clients.send(id, &text.repeat(asked));
        let asked = session.clients.get(id).queued() / text.len();
        let wait = until_answered(session, &[id], asked)?;
        session.settle()?;
        let cut = match session.tracer.sends_cut() {
            0 => String::new(),
            _ => format!(" (every other send to it took {SIP} bytes at most)"),
        };
        let who = format!("a client that reads slowly{cut}");
        let end = (Ended::from(&wait), stuck(&wait));
        seen.slow.push(slow(session, id, who, asked, answer, end));
        if !wait.reached() {
            break;
        }
    }
    session.clients.close(id);
    session.settle()?;
    Ok(())
}

fn halves(
    session: &mut Session,
    seen: &mut Observation,
    other_client: ClientId,
    text: &[u8],
    answer: &[u8],
) -> Result<(), Trouble> {
    let ids = session.connect_many(HALVES)?;
    let half = text.len() / 2;
    for id in &ids {
        session.clients.send(*id, &text[..half]);
    }
    session.settle()?;
    let meanwhile = "while fifty clients had sent half a line each";
    other(session, seen, other_client, meanwhile)?;
    // Some go on byte by byte, with somebody else's request in between.
    for at in half..text.len() - 1 {
        for id in ids.iter().step_by(EVERY) {
            session.clients.send(*id, &text[at..=at]);
        }
        other(session, seen, other_client, meanwhile)?;
    }
    if seen.is_over() {
        return Ok(());
    }
    for (number, id) in ids.iter().enumerate() {
        let rest = if number % EVERY == 0 { text.len() - 1 } else { half };
        session.clients.send(*id, &text[rest..]);
    }
    let wait = until_answered(session, &ids, 1)?;
    session.settle()?;
    for (number, id) in ids.iter().enumerate() {
        let who = format!("client {} of the fifty that sent their line in two parts", number + 1);
        let end = (Ended::from(&wait), stuck(&wait));
        seen.slow.push(slow(session, *id, who, 1, answer, end));
    }
    Ok(())
}

fn slow(
    session: &Session,
    id: ClientId,
    who: String,
    asked: usize,
    alone: &[u8],
    (end, stuck): (Ended, String),
) -> Slow {
    let client = session.clients.get(id);
    Slow {
        who,
        asked,
        alone: alone.to_vec(),
        lines: client.lines().into_iter().map(<[u8]>::to_vec).collect(),
        link: client.link(),
        end,
        stuck,
        sent_by: session.sent_by(id),
    }
}
