//! R5: a failed task's error goes to the client that asked, and to no other.

use super::{
    Context, Requirement,
    common::{
        Ended, REJECTED, bad, good, held_tids, held_where, is_result, not_yet, release_in_order, shown,
        stuck, wait_for_answers, worker_turns,
    },
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
    probes::{
        session::{Session, Setup},
        tracer::At,
    },
};

/// R5.
pub struct Errors;

const WORKERS: usize = 4;

/// Who sends bad input in each round; the order in which the workers finish is drawn anew each time.
const ROUNDS: [[bool; WORKERS]; 6] = [
    [true, false, true, false],
    [false, true, false, true],
    [true, true, false, false],
    [false, false, false, true],
    [true, true, true, true],
    [false, true, true, false],
];

/// One client of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Client {
    bad: bool,
    /// The lines that it received.
    answers: Vec<Vec<u8>>,
    /// The call that sent the last of them.
    sent_by: String,
}

/// What was seen in one round.
#[derive(Clone, Debug)]
struct Observation {
    round: usize,
    clients: Vec<Client>,
    held: Vec<(i32, At)>,
    workers_slept: bool,
    /// Clients with bad input that were answered while every worker was held.
    errors_early: usize,
    /// The order in which workers were let go.
    order: Vec<String>,
    end: Ended,
    stuck: String,
}

impl Requirement for Errors {
    fn id(&self) -> Id {
        Id::new('R', 5)
    }

    fn title(&self) -> &'static str {
        "a failed task's error reaches the client that asked, and no other"
    }

    fn about(&self) -> &'static str {
        "A worker that rejects its input sends `ERROR: invalid input` on the same way as a result: it belongs to the \
         connection that asked.\n\n\
         Forced: four clients, good and bad input mixed, each with a worker of its own that is held in the middle of the \
         task. The workers are then let go one by one in orders drawn from the seed, six rounds of it, so that answers \
         overtake each other.\n\n\
         Decides: the bad ones get exactly that error and the good ones a result, one line each; and no error comes while \
         all workers are held, because it is the worker who decides."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut session = Session::launch(context.program, &Setup::new(WORKERS, 64))?;
        let mut random = fastrand::Rng::with_seed(context.seed);
        let mut finding = None;
        for round in 0..ROUNDS.len() {
            let seen = judge(&observe(&mut session, &mut random, round)?);
            if seen.outcome != Outcome::Pass {
                return Ok(seen);
            }
            finding = Some(seen);
        }
        Ok(finding.expect("there is a round"))
    }
}

fn observe(session: &mut Session, random: &mut fastrand::Rng, round: usize) -> Result<Observation, Trouble> {
    let ids = session.connect_many(WORKERS)?;
    session.settle()?;
    let turns = worker_turns(session);
    session.tracer.arm_mid_task();
    for (number, id) in ids.iter().enumerate() {
        let number = round * WORKERS + number;
        let request = if ROUNDS[round][number % WORKERS] { bad(number) } else { good(number) };
        session.clients.send(*id, &request);
    }
    session.settle()?;
    let held = session.tracer.held();
    let workers_slept = worker_turns(session) == turns;
    let errors_early = ids
        .iter()
        .zip(ROUNDS[round])
        .filter(|(id, bad)| *bad && session.clients.get(**id).answers() > 0)
        .count();
    let mut order = held_tids(session);
    random.shuffle(&mut order);
    release_in_order(session, &order)?;
    session.tracer.release_all()?;
    let wait = wait_for_answers(session, &ids, 1)?;
    session.settle()?;
    let clients = ids
        .iter()
        .zip(ROUNDS[round])
        .map(|(id, bad)| Client {
            bad,
            answers: session.clients.get(*id).lines().iter().map(|l| l.to_vec()).collect(),
            sent_by: session.sent_by(*id),
        })
        .collect();
    let order = order.iter().map(|tid| session.tracer.name(*tid)).collect();
    for id in ids {
        session.clients.close(id);
    }
    Ok(Observation {
        round,
        clients,
        held,
        workers_slept,
        errors_early,
        order,
        end: Ended::from(&wait),
        stuck: stuck(&wait),
    })
}

fn judge(o: &Observation) -> Finding {
    let expected = format!(
        "each client with bad input gets one line, {}, from the worker that had its task, and each other client a result",
        shown(REJECTED)
    );
    let order = if o.order.is_empty() {
        String::new()
    } else {
        format!("; let go in the order {}", o.order.join(", "))
    };
    let place = format!("round {}: {}{order}", o.round + 1, held_where(&o.held));
    let fail = |observed: String, client: Option<&Client>, hint: &str| {
        let sender = client.map(|client| format!("{}; ", client.sent_by)).unwrap_or_default();
        Finding::fail(expected.clone(), observed, format!("{sender}{place}"), hint)
    };
    // Certain in the round in which all input is bad: no worker has run then.
    if o.errors_early > 0 && o.workers_slept {
        return fail(
            format!(
                "{} clients got an error before any worker could find it: the event loop decided",
                o.errors_early
            ),
            o.clients.iter().find(|client| client.bad),
            "whether input is bad is for the worker to find out: push the request as it is",
        );
    }
    for (number, client) in o.clients.iter().enumerate() {
        let who = format!("client {} with {} input", number + 1, if client.bad { "bad" } else { "good" });
        let Some(first) = client.answers.first() else {
            if o.end == Ended::NotYet {
                return not_yet(&expected, &format!("{who} had no answer"), &o.stuck);
            }
            if client.bad {
                return fail(
                    format!("{who} got no answer"),
                    Some(client),
                    "an error is a result too: put it into the list and write the eventfd on that path as well",
                );
            }
            // A good client that waits in vain is for the other requirements, unless somebody else has its answer.
            continue;
        };
        let error = first.starts_with(b"ERROR");
        if client.bad && first != REJECTED {
            return fail(
                format!("{who} got {}", shown(first)),
                Some(client),
                "carry the error in the result, beside the connection that asked, from the worker to the answer",
            );
        }
        if !client.bad && (error || !is_result(first)) {
            return fail(
                format!("{who} got {}", shown(first)),
                Some(client),
                "an error must not reach anybody else: which connection does the result belong to?",
            );
        }
        if let Some(second) = client.answers.get(1) {
            return fail(
                format!("{who} got a second line, {}", shown(second)),
                Some(client),
                "one request, one answer: who else's was this?",
            );
        }
    }
    Finding::pass(
        expected,
        format!("so it was in {} rounds with answers in other orders than requests", ROUNDS.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(bad: bool, answers: &[&[u8]]) -> Client {
        Client { bad, answers: answers.iter().map(|a| a.to_vec()).collect(), sent_by: String::new() }
    }

    fn seen(clients: Vec<Client>) -> Observation {
        Observation {
            round: 0,
            clients,
            held: (2..6).map(|tid| (tid, At::Release)).collect(),
            workers_slept: false,
            errors_early: 0,
            order: vec!["worker 2 (tid 3)".into()],
            end: Ended::Reached,
            stuck: String::new(),
        }
    }

    #[test]
    fn each_its_own_is_right() {
        let o = seen(vec![client(true, &[REJECTED]), client(false, &[b"result: 1"])]);
        assert_eq!(judge(&o).outcome, Outcome::Pass);
    }

    #[test]
    fn an_error_in_the_wrong_hands_fails() {
        for clients in [
            vec![client(true, &[b"result: 1"]), client(false, &[REJECTED])],
            vec![client(true, &[REJECTED]), client(false, &[REJECTED])],
            vec![client(true, &[REJECTED, REJECTED]), client(false, &[b"result: 1"])],
            vec![client(true, &[b"ERROR: "]), client(false, &[b"result: 1"])],
            vec![client(true, &[REJECTED]), client(false, &[b"result: 1", REJECTED])],
        ] {
            assert_eq!(judge(&seen(clients.clone())).outcome, Outcome::Fail, "{clients:?}");
        }
    }

    #[test]
    fn an_error_that_never_comes_fails_and_one_that_is_late_is_not_decided() {
        let mut o = seen(vec![client(true, &[])]);
        o.end = Ended::Never;
        assert_eq!(judge(&o).outcome, Outcome::Fail);
        o.end = Ended::NotYet;
        assert_eq!(judge(&o).outcome, Outcome::Inconclusive);
    }

    #[test]
    fn the_loop_may_not_decide() {
        let o = Observation { errors_early: 1, workers_slept: true, ..seen(vec![client(true, &[REJECTED])]) };
        assert_eq!(judge(&o).outcome, Outcome::Fail);
    }
}
