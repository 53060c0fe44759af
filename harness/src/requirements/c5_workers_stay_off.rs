//! C5: workers never send, receive, read or write on a client's socket, on no path.

use super::{
    Context, Requirement,
    common::{good, not_yet, wait_for_answers},
    traffic::{self, Course, Crowd, Ending},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::{
        session::{Session, Setup},
        tracer::{
            event::Call,
            ledger::{Kind, ObjectId},
            syscalls::Class,
            thread::{Inside, Role},
        },
    },
};
use std::{collections::BTreeSet, time::Duration};

/// C5.
pub struct WorkersStayOff;

/// How many clients of each kind come while the workers are free.
const EACH: usize = 2;

/// How long a task may run where that can be limited, and how long such a server is given to notice.
const TASK_TIMEOUT_MS: u32 = 50;
const NOTICE: Duration = Duration::from_secs(1);

/// Takes that long in a server that knows `spin`, and is ordinary text to others.
const LONG_TASK: &[u8] = b"spin 80\n";

/// How many calls the evidence names.
const MOST_PLACES: usize = 3;

/// What was seen.
#[derive(Clone, Debug, Default)]
struct Observation {
    /// Calls by other threads than the main thread that move, or look at, bytes of a client.
    calls: usize,
    /// The first at each place, in words.
    places: Vec<String>,
    /// Such calls by the main thread.
    by_main: usize,
    /// The server set up io_uring.
    uring: bool,
    /// What it was doing at a deadline of the harness, if one passed.
    not_yet: Option<String>,
    /// Why it does not come through ordinary clients, if so.
    broken: Option<String>,
}

impl Requirement for WorkersStayOff {
    fn id(&self) -> Id {
        Id::new('C', 5)
    }

    fn title(&self) -> &'static str {
        "workers never send, receive, read or write on a client's socket"
    }

    fn about(&self) -> &'static str {
        "A client's socket is the main thread's alone, on every path and not only where all goes well.\n\n\
         Forced: clients of every kind, as in C4: good and bad input, over-long lines, binary noise, requests sent ahead, STATS, \
         half-closed and vanished clients, workers held with their tasks meanwhile, a full queue, a client that does not read; \
         then SIGTERM with tasks queued; and tasks that run too long, where the server limits them.\n\n\
         Decides: no call by which bytes of a client are read, written or looked at is made by another thread than the main \
         thread. Descriptors are followed through dup; both sides of splice and sendfile count. With io_uring in use nobody can \
         tell."
    }

    fn cost(&self) -> u32 {
        5
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        Ok(judge(&observe(context)?))
    }
}

fn observe(context: &Context<'_>) -> Result<Observation, Trouble> {
    let mut seen = Observation::default();
    for crowd in [Crowd::Every(EACH), Crowd::Tame] {
        let mut session = traffic::launch(context)?;
        let (_, course) = traffic::visit(&mut session, crowd)?;
        seen.broken = None;
        match course {
            Course::Through => {
                traffic::with_clients(&mut session)?;
                traffic::tasks_queued(&mut session)?;
                if let Ending::NotYet(doing) = traffic::end(&mut session)? {
                    seen.not_yet = Some(doing);
                }
            }
            Course::NotYet(doing) => seen.not_yet = Some(doing),
            Course::Broken(how) => seen.broken = Some(how),
        }
        seen.look(&session);
        if seen.broken.is_none() || seen.calls > 0 {
            break;
        }
    }
    if let Some(session) = with_late_tasks(context)? {
        seen.look(&session);
    }
    Ok(seen)
}

/// A server that limits the time of a task, after a worker came too late; `None` if it does not.
fn with_late_tasks(context: &Context<'_>) -> Result<Option<Session>, Trouble> {
    let setup = Setup { timeout_ms: Some(TASK_TIMEOUT_MS), ..Setup::new(2, 8) };
    let Some(mut session) = Session::launch_unless_refused(context.program, &setup)? else { return Ok(None) };
    let ids = session.connect_many(2)?;
    session.settle()?;
    session.tracer.arm_mid_task();
    for (number, id) in ids.iter().enumerate() {
        session.clients.send(*id, &good(number));
    }
    // Answered while the worker is held, or not: after that time it is late either way.
    session.until_patiently(NOTICE, NOTICE, |session| {
        ids.iter().all(|id| session.clients.get(*id).answers() > 0)
    })?;
    session.tracer.release_all()?;
    session.settle()?;
    // Where it is the worker who looks at the clock, the task itself must be long.
    for id in &ids {
        session.clients.send(*id, LONG_TASK);
    }
    wait_for_answers(&mut session, &ids, 2)?;
    session.settle()?;
    Ok(Some(session))
}

impl Observation {
    /// Counts the calls on client sockets, by whom.
    fn look(&mut self, session: &Session) {
        let tracer = &session.tracer;
        let ledger = tracer.ledger();
        let is_client = |id: ObjectId| matches!(ledger.object(id).kind, Kind::Connection(_));
        let came_back = tracer.events().iter().filter_map(|event| Some((event.tid, *event.call()?)));
        // Who sleeps in such a call, for ever perhaps.
        let inside =
            tracer.threads().filter_map(|thread| Some((thread.tid, unfinished(thread.inside.as_ref()?))));
        let mut known = BTreeSet::new();
        for (tid, call) in came_back.chain(inside) {
            self.uring |= call.class == Class::Uring && call.result >= 0;
            if ![call.reads(), call.writes()].into_iter().flatten().any(is_client) {
                continue;
            }
            match tracer.thread(tid).map(|thread| thread.role) {
                Some(Role::Main) => self.by_main += 1,
                Some(Role::Worker(_)) => {
                    self.calls += 1;
                    if known.insert((call.name, call.caller)) {
                        self.places.push(tracer.describe_call(tid, &call));
                    }
                }
                Some(Role::Child) | None => {}
            }
        }
    }
}

/// A call that has not come back, as if it had.
fn unfinished(inside: &Inside) -> Call {
    let Inside { call, args, object, second, caller, entered, .. } = *inside;
    Call { name: call.name, class: call.class, args, object, second, caller, entered, result: 0 }
}

fn judge(o: &Observation) -> Finding {
    let expected = "every call that sends to a client's socket, or receives from it, is the main thread's, on every path";
    let untold = |observed: String| {
        Finding::inconclusive(expected, observed, "", "use read, write, recv and send, which can be seen")
    };
    if o.calls > 0 {
        return Finding::fail(
            expected,
            format!("other threads than the main thread made {} such calls", o.calls),
            o.places.iter().take(MOST_PLACES).cloned().collect::<Vec<_>>().join("; "),
            "errors, timeouts and farewells are answers too: leave them in the list, write the eventfd, and let the main \
             thread send them",
        );
    }
    if o.uring {
        return untold("the server uses io_uring, and nobody sees which thread asked for what".to_owned());
    }
    if let Some(doing) = &o.not_yet {
        return not_yet(expected, "clients had come and gone", doing);
    }
    if let Some(how) = &o.broken {
        return untold(format!("the server does not come through a few ordinary clients: {how}"));
    }
    if o.by_main == 0 {
        return untold("no call on a client's socket was seen at all".to_owned());
    }
    Finding::pass(expected, format!("all {} such calls were the main thread's", o.by_main))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = Observation { by_main: 300, ..Observation::default() };
        change(&mut observation);
        judge(&observation).outcome
    }

    #[test]
    fn one_call_by_a_worker_is_enough() {
        assert_eq!(outcome(|_| {}), Outcome::Pass);
        assert_eq!(outcome(|o| o.calls = 1), Outcome::Fail);
        assert_eq!(outcome(|o| (o.calls, o.broken) = (1, Some("it was killed".into()))), Outcome::Fail);
    }

    #[test]
    fn what_cannot_be_seen_is_not_judged() {
        assert_eq!(outcome(|o| o.uring = true), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.by_main = 0), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.broken = Some("it ended".into())), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.not_yet = Some("main".into())), Outcome::Inconclusive);
    }
}
