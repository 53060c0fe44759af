//! R6: thirty clients at once get what each would get alone.

mod unwatched;

use super::{
    Context, Requirement,
    common::{Ended, held_tids, is_result, mixed, not_yet, release_in_order, shown, stuck, wait_for_answers},
    search::{self, Crowd, Words},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
    probes::{
        clients::ClientId,
        session::{Session, Setup, Wait},
        tracer::thread::Role,
    },
};

/// R6.
pub struct ConcurrentClients;

const WORKERS: usize = 4;
const CAPACITY: usize = 64;
const CLIENTS: usize = 30;

/// Where orders of steps are drawn: room for everybody in the queue.
const CROWDS: [Crowd; 3] = [
    Crowd { workers: 2, capacity: CAPACITY, clients: 3 },
    Crowd { workers: 1, capacity: CAPACITY, clients: 2 },
    Crowd { workers: 2, capacity: CAPACITY, clients: 5 },
];

const WORDS: Words<'_> = Words {
    compares: true,
    expected: "in whatever order the threads take their steps, each client gets the answer that it gets alone",
    hint: "read the last turns: what had the thread that went on last believed, that was not so any more? Look again under \
           the lock before acting, wait in a `while`, and wake whoever may be waiting",
};

/// How a round mixes the answers up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mix {
    /// The workers are held mid-task and let go one by one: old tasks finish last.
    WorkersInOtherOrder,
    /// The main thread is held while the workers finish everything: all results wait at once.
    ResultsPileUp,
    /// Nobody is held.
    Free,
}

const ROUNDS: [Mix; 5] =
    [Mix::WorkersInOtherOrder, Mix::ResultsPileUp, Mix::Free, Mix::WorkersInOtherOrder, Mix::ResultsPileUp];

/// What one client got.
#[derive(Clone, Debug)]
struct Client {
    request: Vec<u8>,
    /// Alone.
    alone: Option<Vec<u8>>,
    /// With all the others.
    together: Vec<Vec<u8>>,
    /// The call that sent the last of that.
    sent_by: String,
}

/// What was seen in one round.
#[derive(Clone, Debug)]
struct Observation {
    round: usize,
    mix: Mix,
    clients: Vec<Client>,
    end: Ended,
    stuck: String,
}

impl Requirement for ConcurrentClients {
    fn id(&self) -> Id {
        Id::new('R', 6)
    }

    fn title(&self) -> &'static str {
        "30 clients at once are answered as each would be alone"
    }

    fn about(&self) -> &'static str {
        "Thirty clients, 20 with good and 10 with bad input, send one request each at the same time. Each gets exactly the \
         answer that the same request gets when it is sent alone.\n\n\
         Forced: first every request alone, which gives the right answers. Then five rounds of all together: with the \
         workers held mid-task and let go in an order drawn from the seed, so that old tasks finish last; with the main \
         thread held until the workers have finished everything, so that all results wait at once; and with nobody held. \
         Then some clients, again and again, while the threads take turns from one lock, wait or eventfd to the next, in orders \
         drawn from the seed. Then once more all together, of a server without tracer and preloaded library.\n\n\
         Decides: one line for each client, equal to the one it got alone; and the server that nobody watches answers the \
         same with as many threads. If not one good request gets a `result:` alone, there is nothing that could be mixed up, \
         and that is no pass."
    }

    fn cost(&self) -> u32 {
        4
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut session = Session::launch(context.program, &Setup::new(WORKERS, CAPACITY))?;
        let mut random = fastrand::Rng::with_seed(context.seed);
        let first = session.connect()?;
        let mut alone = Vec::new();
        for number in 0..CLIENTS {
            alone.push(match session.ask(first, &mixed(number))? {
                Ok(answer) => Some(answer),
                Err(Wait::Busy(snapshot)) => {
                    let expected = "each request is answered when it is sent alone";
                    return Ok(not_yet(expected, "one was not answered", &snapshot.describe()));
                }
                Err(_) => None,
            });
        }
        let ids = session.connect_many(CLIENTS)?;
        let mut finding = None;
        for (round, mix) in ROUNDS.into_iter().enumerate() {
            let seen = judge(&observe(&mut session, &mut random, &ids, &alone, round, mix)?);
            if seen.outcome != Outcome::Pass {
                return Ok(seen);
            }
            finding = Some(seen);
        }
        if let Some(found) = search::for_answers(context, &CROWDS, &WORDS)? {
            return Ok(found);
        }
        let threads = session.tracer.alive().filter(|thread| thread.role != Role::Child).count();
        let backlog = session.backlog();
        drop(session);
        let differs = unwatched::differs(context, &alone, threads, backlog)?;
        Ok(differs.or(finding).expect("there is a round"))
    }
}

fn observe(
    session: &mut Session,
    random: &mut fastrand::Rng,
    ids: &[ClientId],
    alone: &[Option<Vec<u8>>],
    round: usize,
    mix: Mix,
) -> Result<Observation, Trouble> {
    session.settle()?;
    let before: Vec<usize> = ids.iter().map(|id| session.clients.get(*id).answers()).collect();
    if mix != Mix::Free {
        session.tracer.arm_mid_task();
    }
    let mut order: Vec<usize> = (0..CLIENTS).collect();
    random.shuffle(&mut order);
    for number in order {
        session.clients.send(ids[number], &mixed(number));
    }
    if mix != Mix::Free {
        session.settle()?;
        // Nobody else is held from now on; who is let go also does what still waits.
        session.tracer.disarm();
    }
    match mix {
        Mix::WorkersInOtherOrder => {
            let mut order = held_tids(session);
            random.shuffle(&mut order);
            release_in_order(session, &order)?;
        }
        Mix::ResultsPileUp => {
            session.tracer.arm_main();
            for (tid, _) in session.tracer.held() {
                session.tracer.release(tid)?;
            }
            session.settle()?;
        }
        Mix::Free => {}
    }
    session.tracer.release_all()?;
    let wait = wait_for_answers(session, ids, round + 1)?;
    session.settle()?;
    let clients = ids
        .iter()
        .enumerate()
        .map(|(number, id)| Client {
            request: mixed(number),
            alone: alone[number].clone(),
            together: session.clients.get(*id).lines()[before[number]..]
                .iter()
                .map(|line| line.to_vec())
                .collect(),
            sent_by: session.sent_by(*id),
        })
        .collect();
    Ok(Observation { round, mix, clients, end: Ended::from(&wait), stuck: stuck(&wait) })
}

fn judge(o: &Observation) -> Finding {
    let expected =
        format!("each of {CLIENTS} clients at once gets one line, the one that its request gets alone");
    let how = match o.mix {
        Mix::WorkersInOtherOrder => "workers let go in another order than they took the tasks",
        Mix::ResultsPileUp => "all results waiting before the main thread sent the first",
        Mix::Free => "nobody held",
    };
    let place = format!("round {}: {how}", o.round + 1);
    // Answers that are all the same cannot be mixed up, and that is no merit.
    let good = o.clients.iter().filter(|client| !client.request.starts_with(b"bad"));
    let alone: Option<Vec<&[u8]>> = good.map(|client| client.alone.as_deref()).collect();
    if let Some(alone) = alone
        && !alone.iter().any(|answer| is_result(answer))
    {
        let first = alone.first().map(|answer| shown(answer)).unwrap_or_default();
        return Finding::fail(
            expected,
            format!(
                "not one of {} good requests gets a `result:`, even alone; the first gets {first}",
                alone.len()
            ),
            "each request alone",
            "`result: VALUE` for good input, from a worker; then thirty at once are worth a look",
        );
    }
    for (number, client) in o.clients.iter().enumerate() {
        let asked = client.request.strip_suffix(b"\n").unwrap_or(&client.request);
        let fail = |observed: String, hint: &str| {
            Finding::fail(expected.clone(), observed, format!("{}; {place}", client.sent_by), hint)
        };
        let who = format!("client {} asked {}", number + 1, shown(asked));
        let Some(alone) = &client.alone else {
            return fail(format!("{who} alone and got no answer"), "try it by hand: one client, one line");
        };
        let Some(first) = client.together.first() else {
            return match o.end {
                Ended::NotYet => not_yet(&expected, &format!("{who} and had no answer"), &o.stuck),
                _ => Finding::fail(
                    expected,
                    format!("{who} and got no answer"),
                    format!("{place}; {}", o.stuck),
                    "which result was lost, or whose wake-up?",
                ),
            };
        };
        if first != alone {
            let mut theirs =
                o.clients.iter().enumerate().filter(|(_, other)| other.alone.as_ref() == Some(first));
            let whose = match (theirs.next(), theirs.next()) {
                (Some((other, _)), None) => format!(", the answer of client {}", other + 1),
                _ => String::new(),
            };
            return fail(
                format!("{who}; alone it gets {}, now it got {}{whose}", shown(alone), shown(first)),
                "what do two tasks share? A static buffer, the place where results are kept, the idea of who comes first?",
            );
        }
        if let Some(second) = client.together.get(1) {
            return fail(
                format!("{who} and got a second line, {}", shown(second)),
                "one request, one answer",
            );
        }
    }
    Finding::pass(
        expected,
        format!("so it was in {} rounds, 20 good and 10 bad each, and without instruments too", ROUNDS.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right() -> Observation {
        let clients = (0..CLIENTS)
            .map(|number| {
                let request = mixed(number);
                let answer = match request.starts_with(b"bad") {
                    true => b"ERROR: invalid input".to_vec(),
                    false => format!("result: {number}").into_bytes(),
                };
                Client {
                    request,
                    alone: Some(answer.clone()),
                    together: vec![answer],
                    sent_by: String::new(),
                }
            })
            .collect();
        Observation { round: 0, mix: Mix::Free, clients, end: Ended::Reached, stuck: String::new() }
    }

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = right();
        change(&mut observation);
        judge(&observation).outcome
    }

    #[test]
    fn twenty_good_and_ten_bad() {
        let bad = (0..CLIENTS).filter(|n| mixed(*n).starts_with(b"bad")).count();
        assert_eq!((bad, CLIENTS - bad), (10, 20));
    }

    #[test]
    fn the_same_as_alone_is_right_and_anything_else_is_not() {
        assert_eq!(outcome(|_| {}), Outcome::Pass);
        assert_eq!(outcome(|o| o.clients[0].together[0] = b"result: 1".to_vec()), Outcome::Fail);
        assert_eq!(outcome(|o| o.clients[0].together.push(b"result: 0".to_vec())), Outcome::Fail);
        assert_eq!(outcome(|o| o.clients[2].together[0] = b"result: 2".to_vec()), Outcome::Fail);
        assert_eq!(outcome(|o| (o.clients[3].together.clear(), o.end = Ended::Never).0), Outcome::Fail);
        assert_eq!(
            outcome(|o| (o.clients[3].together.clear(), o.end = Ended::NotYet).0),
            Outcome::Inconclusive
        );
        assert_eq!(outcome(|o| o.clients[0].alone = None), Outcome::Fail);
    }

    #[test]
    fn answers_that_are_all_the_same_are_no_answers() {
        let same = |o: &mut Observation| {
            for client in &mut o.clients {
                let answer = b"ERROR: not implemented".to_vec();
                (client.alone, client.together) = (Some(answer.clone()), vec![answer]);
            }
        };
        assert_eq!(outcome(same), Outcome::Fail);
        // A VALUE may well be the same for all.
        let constant = |o: &mut Observation| {
            same(o);
            for client in o.clients.iter_mut().step_by(3) {
                (client.alone, client.together) = (Some(b"result: 1".to_vec()), vec![b"result: 1".to_vec()]);
            }
        };
        assert_eq!(outcome(constant), Outcome::Pass);
    }

    #[test]
    fn the_evidence_says_whose_answer_it_was() {
        let mut o = right();
        o.clients[0].together[0] = b"result: 1".to_vec();
        assert!(judge(&o).observed.ends_with("the answer of client 2"), "{}", judge(&o).observed);
    }
}
