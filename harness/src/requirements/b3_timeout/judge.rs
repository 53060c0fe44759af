//! Judges what the clients of the scenario saw.

use super::{Client, EXPECTED, GRAIN, Next, Observation, Role, others::SPIN};
use crate::{
    model::Finding,
    requirements::common::{Ended, TIMED_OUT, is_result, not_yet, shown},
};
use std::time::Duration;

impl Observation {
    fn too_early(&self, took: Duration) -> bool {
        took + GRAIN < self.limit
    }
}

pub(super) fn judge(o: &Observation) -> Finding {
    if let Some(took) = o.fast.iter().find(|took| o.too_early(**took)) {
        return Finding::fail(
            EXPECTED,
            format!(
                "a request that nobody held up was answered `ERROR: timeout` after {} ms",
                took.as_millis()
            ),
            "",
            "the time runs from the moment at which the worker takes the task, anew for each task",
        );
    }
    let (held, workers) = o.held;
    if !o.fast.is_empty() || held < workers {
        return Finding::inconclusive(
            EXPECTED,
            match o.fast.is_empty() {
                true => format!("{held} of {workers} workers could be held mid-task"),
                false => "tasks that nobody held up took longer than the limit".to_owned(),
            },
            "",
            "run the check again on a machine that is less busy, and link the program dynamically",
        );
    }
    for client in &o.clients {
        if let Some(finding) = judge_early(o, client) {
            return finding;
        }
    }
    for client in &o.clients {
        if let Some(finding) = judge_late(o, client) {
            return finding;
        }
    }
    let (before, after) = o.workers;
    if after < before {
        return Finding::fail(
            EXPECTED,
            format!("{after} workers were left of {before} when all tasks were finished"),
            "",
            "a worker whose task was given up brings a late result, which is dropped, and takes the next task",
        );
    }
    if let Some(finding) = o.next.as_ref().and_then(judge_next) {
        return finding;
    }
    let unlimited = "with TASK_TIMEOUT_MS 0 a task may take as long as it likes";
    match &o.unlimited {
        None => {
            return Finding::fail(
                unlimited,
                "the server refused the 0 with exit status 2",
                "",
                "0 means no limit, and it is what TASK_TIMEOUT_MS is when it is not given",
            );
        }
        Some(lines) if lines.iter().any(|line| line == TIMED_OUT) => {
            return Finding::fail(
                unlimited,
                "a held task was answered `ERROR: timeout`",
                "",
                "look for overdue tasks only if there is a limit",
            );
        }
        Some(_) => {}
    }
    let slowest = o.clients.iter().filter_map(|client| client.took).max().unwrap_or_default();
    Finding::pass(
        EXPECTED,
        format!(
            "timeouts came within {} ms while {held} workers were held; nothing came twice",
            slowest.as_millis()
        ),
    )
}

/// The task behind one that was given up; `None` if it is right.
fn judge_next(next: &Next) -> Option<Finding> {
    let who = format!("a task that had waited behind one that was given up, `{SPIN}`,");
    match (next.answer.as_deref(), next.end) {
        (Some(TIMED_OUT), _) if next.after + GRAIN < next.limit => Some(Finding::fail(
            EXPECTED,
            format!("{who} got its timeout {} ms after its worker could take it", next.after.as_millis()),
            "",
            "the time runs from the moment at which a worker takes the task, not from the push",
        )),
        // `spin` may be text like any other.
        (Some(_), _) => None,
        (None, Ended::NotYet) => Some(not_yet(EXPECTED, &format!("{who} had no answer"), &next.doing)),
        (None, _) => Some(Finding::fail(
            EXPECTED,
            format!("{who} ran for {:.1} s without `ERROR: timeout`", next.after.as_secs_f64()),
            next.doing.clone(),
            "each task in hand has a deadline: when a worker takes one, or at the latest when the loop has given one up, see to \
             it that the loop wakes for the next",
        )),
    }
}

/// What came while the workers were held; `None` if it is right.
fn judge_early(o: &Observation, client: &Client) -> Option<Finding> {
    let who = client.who;
    let fail =
        |observed: String, hint: &str| Some(Finding::fail(EXPECTED, observed, client.sent_by.clone(), hint));
    let first = client.early.first().map(Vec::as_slice);
    match (client.role, first) {
        (Role::Held, None) if o.timeouts == Ended::NotYet => {
            Some(not_yet(EXPECTED, &format!("{who} had no answer"), &o.doing))
        }
        (Role::Held, None) if client.closed => fail(
            format!("the connection of {who} was closed without an answer"),
            "answer `ERROR: timeout` and keep the connection: the client may go on",
        ),
        (Role::Held, None) => Some(Finding::fail(
            EXPECTED,
            format!("{who} was not answered while the worker was held"),
            o.doing.clone(),
            "the worker cannot say that it is late: the event loop must wake at the deadline (a timeout of epoll_wait, a \
             timerfd) and answer for it",
        )),
        (Role::Held, Some(line)) if line != TIMED_OUT => fail(
            format!("{who} got {} while its worker was held", shown(line)),
            "the answer is `ERROR: timeout`",
        ),
        (Role::Held, Some(_)) if client.took.is_some_and(|took| o.too_early(took)) => fail(
            format!(
                "{who} got its timeout {} ms after it asked",
                client.took.unwrap_or_default().as_millis()
            ),
            "the time runs from the moment at which the worker takes the task, anew for each task",
        ),
        (Role::Held, Some(_)) if client.early.len() > 1 => fail(
            format!("{who} got a second line, {}, while every worker was held", shown(&client.early[1])),
            "one timeout for the task in hand; what waits behind it in the queue is not late",
        ),
        (Role::Queued, Some(line)) => fail(
            format!("{who} got {} while every worker was held with another task", shown(line)),
            "the time runs from the moment at which a worker takes the task: what waits in the queue is not late",
        ),
        (Role::Stranger, Some(line)) => {
            fail(format!("{who} got {}, for which it did not ask", shown(line)), STRANGER_HINT)
        }
        _ => None,
    }
}

const STRANGER_HINT: &str = "the number of a descriptor is used again at once: remember the connection by something that \
                             is never used twice";

/// What came in the end; `None` if it is right.
fn judge_late(o: &Observation, client: &Client) -> Option<Finding> {
    let who = client.who;
    let fail =
        |observed: String, hint: &str| Some(Finding::fail(EXPECTED, observed, client.sent_by.clone(), hint));
    let before = if client.role == Role::Held { 1 } else { 0 };
    let expected = before + usize::from(client.alone.is_some());
    if client.closed {
        return fail(
            format!("the connection of {who} was closed"),
            "a timeout ends a task, not a connection: the client may go on",
        );
    }
    let Some(own) = &client.alone else {
        return (client.lines.len() > expected).then(|| {
            Finding::fail(
                EXPECTED,
                format!("{who} got a second answer, {}", shown(&client.lines[expected])),
                client.sent_by.clone(),
                "the request has its answer: drop the late result",
            )
        });
    };
    let Some(line) = client.lines.get(before) else {
        return match o.end {
            Ended::NotYet => {
                Some(not_yet(EXPECTED, &format!("{who} had no answer to its next request"), &o.stuck))
            }
            _ => Some(Finding::fail(
                EXPECTED,
                format!("{who} got no answer to its request once the workers went on"),
                o.stuck.clone(),
                "an answer waits for those before it on its connection: is the place of the timed-out one taken?",
            )),
        };
    };
    if line == TIMED_OUT
        && client.role != Role::Held
        && client.after_release.is_some_and(|after| o.too_early(after))
    {
        return fail(
            format!("{who} got a timeout as soon as a worker took its task"),
            "the time runs from the moment at which a worker takes the task, not from the push",
        );
    }
    if line == TIMED_OUT && client.after_release.is_some_and(|after| !o.too_early(after)) {
        return Some(Finding::inconclusive(
            EXPECTED,
            "tasks that nobody held up took longer than the limit",
            "",
            "run the check again on a machine that is less busy",
        ));
    }
    if line != own {
        let whose = if is_result(line) { "somebody's late result" } else { "another answer" };
        let hint = if client.role == Role::Stranger {
            STRANGER_HINT
        } else {
            "a late result must not answer anything else"
        };
        return fail(format!("{who} got {whose}, {}, and alone it gets {}", shown(line), shown(own)), hint);
    }
    client.lines.get(expected).and_then(|extra| {
        fail(
            format!("{who} got one line more, {}", shown(extra)),
            "the request has its answer: drop the late result",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    const OWN: &[u8] = b"result: 2";
    const LATE: &[u8] = b"result: 1";

    fn client(role: Role, early: &[&[u8]], lines: &[&[u8]]) -> Client {
        let owned = |lines: &[&[u8]]| lines.iter().map(|line| line.to_vec()).collect::<Vec<_>>();
        Client {
            who: "a client",
            role,
            early: owned(early),
            took: Some(Duration::from_millis(125)),
            lines: owned(lines),
            closed: false,
            alone: Some(OWN.to_vec()),
            after_release: Some(Duration::from_millis(5)),
            sent_by: String::new(),
        }
    }

    fn right() -> Observation {
        Observation {
            limit: Duration::from_millis(120),
            staggered: true,
            fast: Vec::new(),
            held: (4, 4),
            timeouts: Ended::Reached,
            doing: String::new(),
            clients: vec![
                client(Role::Held, &[TIMED_OUT], &[TIMED_OUT, OWN]),
                client(Role::Queued, &[], &[OWN]),
                client(Role::Stranger, &[], &[OWN]),
                Client { alone: None, ..client(Role::Held, &[TIMED_OUT], &[TIMED_OUT]) },
            ],
            end: Ended::Reached,
            stuck: String::new(),
            workers: (4, 4),
            next: Some(next(Some(TIMED_OUT), 62)),
            unlimited: Some(Vec::new()),
        }
    }

    fn next(answer: Option<&[u8]>, after: u64) -> Next {
        Next {
            answer: answer.map(<[u8]>::to_vec),
            after: Duration::from_millis(after),
            limit: Duration::from_millis(60),
            end: if answer.is_some() { Ended::Reached } else { Ended::Never },
            doing: String::new(),
        }
    }

    fn outcome<T>(change: impl FnOnce(&mut Observation) -> T) -> Outcome {
        let mut o = right();
        change(&mut o);
        judge(&o).outcome
    }

    fn with(n: usize, client: Client) -> Outcome {
        outcome(|o| o.clients[n] = client)
    }

    #[test]
    fn a_timeout_and_then_the_next_answer_are_right() {
        assert_eq!(outcome(|_| ()), Outcome::Pass);
    }

    #[test]
    fn no_timeout_while_the_worker_is_held_fails() {
        let late = client(Role::Held, &[], &[TIMED_OUT, OWN]);
        assert_eq!(with(0, late.clone()), Outcome::Fail);
        let busy = |o: &mut Observation| (o.clients[0] = late, o.timeouts = Ended::NotYet);
        assert_eq!(outcome(busy), Outcome::Inconclusive);
        assert_eq!(with(0, client(Role::Held, &[b"ERROR: too late"], &[])), Outcome::Fail);
    }

    #[test]
    fn a_timeout_before_its_time_fails() {
        let early = client(Role::Held, &[TIMED_OUT], &[TIMED_OUT, OWN]);
        assert_eq!(with(0, Client { took: Some(Duration::from_millis(60)), ..early.clone() }), Outcome::Fail);
        // Clocks tick.
        assert_eq!(with(0, Client { took: Some(Duration::from_millis(112)), ..early }), Outcome::Pass);
        assert_eq!(outcome(|o| o.fast.push(Duration::from_millis(3))), Outcome::Fail);
        assert_eq!(outcome(|o| o.fast.push(o.limit)), Outcome::Inconclusive);
    }

    #[test]
    fn what_waits_in_the_queue_is_not_late() {
        assert_eq!(with(1, client(Role::Queued, &[TIMED_OUT], &[TIMED_OUT])), Outcome::Fail);
        let at_once = client(Role::Queued, &[], &[TIMED_OUT]);
        assert_eq!(with(1, at_once.clone()), Outcome::Fail);
        let slow = Client { after_release: Some(Duration::from_millis(200)), ..at_once };
        assert_eq!(with(1, slow), Outcome::Inconclusive);
    }

    #[test]
    fn two_timeouts_for_one_task_in_hand_fail() {
        let twice = client(Role::Held, &[TIMED_OUT, TIMED_OUT], &[TIMED_OUT, TIMED_OUT]);
        assert_eq!(with(0, twice), Outcome::Fail);
    }

    #[test]
    fn a_late_result_goes_to_nobody() {
        assert_eq!(with(0, client(Role::Held, &[TIMED_OUT], &[TIMED_OUT, LATE])), Outcome::Fail);
        assert_eq!(with(0, client(Role::Held, &[TIMED_OUT], &[TIMED_OUT, OWN, LATE])), Outcome::Fail);
        let twice = Client { alone: None, ..client(Role::Held, &[TIMED_OUT], &[TIMED_OUT, LATE]) };
        assert_eq!(with(3, twice), Outcome::Fail);
        assert_eq!(with(2, client(Role::Stranger, &[], &[LATE, OWN])), Outcome::Fail);
        assert_eq!(with(2, client(Role::Stranger, &[TIMED_OUT], &[TIMED_OUT, OWN])), Outcome::Fail);
    }

    #[test]
    fn the_connection_stays_usable() {
        let closed = Client { closed: true, ..client(Role::Held, &[TIMED_OUT], &[TIMED_OUT]) };
        assert_eq!(with(0, closed), Outcome::Fail);
        assert_eq!(with(0, client(Role::Held, &[TIMED_OUT], &[TIMED_OUT])), Outcome::Fail);
    }

    #[test]
    fn the_next_task_has_a_limit_of_its_own() {
        let seen = |answer: Option<&[u8]>, after| outcome(|o| o.next = Some(next(answer, after)));
        assert_eq!(seen(Some(TIMED_OUT), 40), Outcome::Fail);
        assert_eq!(seen(None, 5000), Outcome::Fail);
        // Where `spin` is ordinary text.
        assert_eq!(seen(Some(OWN), 2), Outcome::Pass);
        assert_eq!(outcome(|o| o.next = None), Outcome::Pass);
        let busy = |o: &mut Observation| o.next = Some(Next { end: Ended::NotYet, ..next(None, 20_000) });
        assert_eq!(outcome(busy), Outcome::Inconclusive);
    }

    #[test]
    fn a_worker_that_leaves_with_its_late_result_fails() {
        assert_eq!(outcome(|o| o.workers = (4, 3)), Outcome::Fail);
        assert_eq!(outcome(|o| o.workers = (4, 4)), Outcome::Pass);
    }

    #[test]
    fn nought_is_no_limit() {
        assert_eq!(outcome(|o| o.unlimited = Some(vec![TIMED_OUT.to_vec()])), Outcome::Fail);
        assert_eq!(outcome(|o| o.unlimited = None), Outcome::Fail);
    }

    #[test]
    fn without_holds_nothing_is_decided() {
        assert_eq!(outcome(|o| o.held = (2, 4)), Outcome::Inconclusive);
    }
}
