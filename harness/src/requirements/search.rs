//! Beyond the situations that are always forced: orders of steps drawn from the seed, in which the threads take turns.
//!
//! A mistake that shows in few orders only is looked for in a bounded number of them. What is found is certain: an order that
//! the kernel could have chosen, told step by step; and the same seed makes the same order again.

use super::{
    Context,
    common::{ANSWER_DEADLINE, bad, died, good, not_yet, shown},
};
use crate::{
    error::Trouble,
    model::Finding,
    probes::{
        clients::ClientId,
        schedule::{Schedule, WAYS},
        session::{Deed, Explored, Session, Setup, Snapshot, Wait},
        tracer::End,
    },
};
use nix::sys::signal::Signal;
use std::time::Duration;

/// How many steps the first order of a crowd has, more or less: where priorities change is drawn from so many. The next ones
/// have about as many as the one before.
const LENGTH: usize = 60;

/// So many orders, one after the other, are tried on one server: what it does for the first time only comes often enough, and a
/// slow start does not count too often.
const ROUNDS: usize = 2 * WAYS;

/// A pool and a queue, and how many clients ask at once.
pub(super) struct Crowd {
    pub(super) workers: usize,
    pub(super) capacity: usize,
    pub(super) clients: usize,
}

/// What a requirement looks for, and what it says if an order is found that breaks it.
pub(super) struct Words<'a> {
    /// Whether each must get the answer that it gets alone: then some ask something bad, requests come in pieces, and waits may
    /// be interrupted. If not, all ask something good, and each must get an answer at all.
    pub(super) compares: bool,
    pub(super) expected: &'a str,
    pub(super) hint: &'a str,
}

/// In each order all clients of one of these crowds ask a server that is at rest; each must get the answer that it gets
/// alone. A finding if one does not.
///
/// # Errors
///
/// As [`Session::until`].
pub(super) fn for_answers(
    context: &Context<'_>,
    crowds: &[Crowd],
    words: &Words<'_>,
) -> Result<Option<Finding>, Trouble> {
    let most = crowds.iter().map(|crowd| crowd.clients).max().unwrap_or(0);
    let requests: Vec<Vec<u8>> = (0..most).map(if words.compares { request } else { good }).collect();
    let Some(alone) = alone(context, &crowds[0], &requests)? else { return Ok(None) };
    let mut lengths = vec![LENGTH; crowds.len()];
    let mut stage = None;
    for number in 0..context.schedules {
        let (round, at) = (number % ROUNDS, number / ROUNDS % crowds.len());
        let crowd = &crowds[at];
        let (mut session, ids) = match stage.take().filter(|_| round > 0) {
            Some(stage) => stage,
            None => gather(context, crowd)?,
        };
        session.settle()?;
        let schedule = Schedule::new(context.seed, number, lengths[at]);
        let mut schedule = if words.compares { schedule.with_interrupts() } else { schedule };
        let deeds = match words.compares {
            true => in_pieces(&mut schedule, &ids, &requests),
            false => whole(&ids, &requests),
        };
        let answered = |session: &Session, id: &ClientId| session.clients.get(*id).answers() > round;
        let explored = session.explore(&mut schedule, deeds, ANSWER_DEADLINE, |session| {
            ids.iter().all(|id| answered(session, id))
        })?;
        lengths[at] = schedule.steps();
        let said = |observed: String, place: String| told(context, number, words, &explored, observed, place);
        match &explored.wait {
            Wait::Busy(snapshot) => return Ok(Some(unfinished(context, number, words, snapshot))),
            Wait::Ended => {
                let how = died(&session).unwrap_or_default();
                return Ok(Some(said("the server ended".into(), how)));
            }
            Wait::Stalled(snapshot) => {
                let without = ids.iter().filter(|id| !answered(&session, id)).map(|id| id + 1);
                let observed = format!(
                    "{} never got an answer, and nothing is on its way any more",
                    clients_in_words(&without.collect::<Vec<_>>())
                );
                return Ok(Some(said(observed, snapshot.describe())));
            }
            Wait::Reached => {}
        }
        let lines = |id: &ClientId| session.clients.get(*id).lines()[round..].concat();
        let other = (0..ids.len()).find(|at| lines(&ids[*at]) != alone[*at]);
        if let Some(at) = other.filter(|_| words.compares) {
            let (got, asked) = (lines(&ids[at]), &requests[at]);
            let asked = shown(asked.strip_suffix(b"\n").unwrap_or(asked));
            let observed = format!(
                "client {} asked {asked} and got {}; alone the same request gets {}",
                ids[at] + 1,
                shown(&got),
                shown(&alone[at])
            );
            return Ok(Some(said(observed, session.sent_by(ids[at]))));
        }
        stage = Some((session, ids));
    }
    Ok(None)
}

/// A server that has just started, and clients that are connected to it.
fn gather(context: &Context<'_>, crowd: &Crowd) -> Result<(Session, Vec<ClientId>), Trouble> {
    let setup = Setup::new(crowd.workers, crowd.capacity);
    let mut session = Session::launch_in_order(context.program, &setup)?;
    let ids = session.connect_many(crowd.clients)?;
    session.settle()?;
    Ok((session, ids))
}

/// What the clients of a crowd ask: every third something bad, and the first two the same.
fn request(number: usize) -> Vec<u8> {
    if number % 3 == 2 { bad(number) } else { good(number - number % 2) }
}

/// What these requests are answered one after the other. `None` if one is not: who gets no answer alone is judged elsewhere.
fn alone(
    context: &Context<'_>,
    crowd: &Crowd,
    requests: &[Vec<u8>],
) -> Result<Option<Vec<Vec<u8>>>, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(crowd.workers, crowd.capacity))?;
    let id = session.connect()?;
    let mut answers = Vec::new();
    for request in requests {
        match session.ask(id, request)? {
            Ok(answer) => answers.push(answer),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(answers))
}

/// In each order all clients of the crowd ask and SIGTERM comes; what was taken must be answered and the server must end with
/// status 0. A finding if it does not.
///
/// # Errors
///
/// As [`Session::until`].
pub(super) fn for_an_end(
    context: &Context<'_>,
    crowd: &Crowd,
    words: &Words<'_>,
) -> Result<Option<Finding>, Trouble> {
    let requests: Vec<Vec<u8>> = (0..crowd.clients).map(good).collect();
    let mut length = LENGTH;
    for number in 0..context.schedules {
        let (mut session, ids) = gather(context, crowd)?;
        let mut schedule = Schedule::new(context.seed, number, length);
        let mut deeds = whole(&ids, &requests);
        deeds.push(Deed::Signal(Signal::SIGTERM));
        let explored = session.explore(&mut schedule, deeds, ANSWER_DEADLINE, |_| false)?;
        length = schedule.steps();
        let said = |observed: String, place: String| told(context, number, words, &explored, observed, place);
        match &explored.wait {
            Wait::Busy(snapshot) => return Ok(Some(unfinished(context, number, words, snapshot))),
            Wait::Stalled(snapshot) => {
                let observed = "the server does not end, and nothing is on its way any more".to_owned();
                return Ok(Some(said(observed, snapshot.describe())));
            }
            Wait::Ended | Wait::Reached => {}
        }
        session.hear_out(Duration::from_secs(2))?;
        if session.tracer.end().is_some_and(|(end, _)| end != End::Status(0)) {
            return Ok(Some(said(
                "the server did not end with status 0".into(),
                died(&session).unwrap_or_default(),
            )));
        }
        let taken = |at: &usize| {
            explored.received.get(&ids[*at]).is_some_and(|bytes| *bytes >= requests[*at].len() as u64)
        };
        let lost = (0..ids.len()).filter(taken).find(|at| session.clients.get(ids[*at]).answers() == 0);
        if let Some(at) = lost {
            let observed = format!(
                "the request of client {} was taken before SIGTERM and never answered; the server ended with status 0",
                ids[at] + 1
            );
            return Ok(Some(said(observed, String::new())));
        }
    }
    Ok(None)
}

/// Each client sends its request.
fn whole(ids: &[ClientId], requests: &[Vec<u8>]) -> Vec<Deed> {
    std::iter::zip(ids, requests).map(|(id, request)| Deed::Send(*id, request.clone())).collect()
}

/// Each client sends its request; every third in two pieces, the second of which comes when others have begun.
fn in_pieces(schedule: &mut Schedule, ids: &[ClientId], requests: &[Vec<u8>]) -> Vec<Deed> {
    const IN_PIECES: u64 = 3;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (id, request) in std::iter::zip(ids, requests) {
        let whole = schedule.draw(IN_PIECES) != 0;
        let cut = if whole { request.len() } else { 1 + schedule.draw(request.len() as u64 - 1) as usize };
        first.push(Deed::Send(*id, request[..cut].to_vec()));
        if cut < request.len() {
            second.push(Deed::Send(*id, request[cut..].to_vec()));
        }
    }
    first.extend(second);
    first
}

/// The finding when the schedule with this number, counted from 0, took too long.
fn unfinished(context: &Context<'_>, number: usize, words: &Words<'_>, snapshot: &Snapshot) -> Finding {
    not_yet(words.expected, &which(context, number), &snapshot.describe())
}

/// The schedule with this number, counted from 0, in words.
pub(super) fn which(context: &Context<'_>, number: usize) -> String {
    format!("in order {} of those drawn from seed {}", number + 1, context.seed)
}

/// The finding for the schedule with this number, counted from 0.
pub(super) fn told(
    context: &Context<'_>,
    number: usize,
    words: &Words<'_>,
    explored: &Explored,
    observed: String,
    place: String,
) -> Finding {
    let turns = explored.turns.join("; ");
    let which = which(context, number);
    let rare = chances(explored.spurious, explored.interrupted);
    let place = if place.is_empty() { place } else { format!("{place}; ") };
    Finding::fail(
        words.expected,
        format!("{which}{rare}: {observed}"),
        format!("{place}the last turns: {turns}"),
        words.hint,
    )
}

/// What came to pass in an order that is rare by itself: ` (with 2 spurious wake-ups)`.
fn chances(spurious: usize, interrupted: usize) -> String {
    let some = |n: usize, one: &str, more: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {more}")),
    };
    let all = [
        some(spurious, "spurious wake-up", "spurious wake-ups"),
        some(interrupted, "interrupted epoll wait", "interrupted epoll waits"),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { String::new() } else { format!(" (with {})", all.join(" and ")) }
}

/// `client 2`, or `clients 2, 3 and 5`.
fn clients_in_words(numbers: &[usize]) -> String {
    let words: Vec<String> = numbers.iter().map(usize::to_string).collect();
    match words.split_last() {
        Some((last, [])) => format!("client {last}"),
        Some((last, others)) => format!("clients {} and {last}", others.join(", ")),
        None => "no client".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_pieces_is_whole_in_the_end_and_its_rest_comes_behind_the_others() {
        let requests: Vec<Vec<u8>> = (0..5).map(request).collect();
        let mut cut = 0;
        for number in 0..30 {
            let mut got = vec![Vec::<u8>::new(); requests.len()];
            let deeds = in_pieces(&mut Schedule::new(1, number, 10), &[0, 1, 2, 3, 4], &requests);
            for deed in &deeds {
                let Deed::Send(id, bytes) = deed else { panic!("{deed:?}") };
                assert!(!bytes.is_empty());
                got[*id].extend(bytes);
            }
            assert_eq!(got, requests);
            cut += deeds.len() - requests.len();
        }
        assert!(cut > 10, "{cut}");
    }

    #[test]
    fn what_is_rare_by_itself_is_said() {
        assert_eq!(chances(0, 0), "");
        assert_eq!(chances(1, 0), " (with 1 spurious wake-up)");
        assert_eq!(chances(2, 1), " (with 2 spurious wake-ups and 1 interrupted epoll wait)");
        assert_eq!(clients_in_words(&[2]), "client 2");
        assert_eq!(clients_in_words(&[2, 3, 5]), "clients 2, 3 and 5");
    }
}
