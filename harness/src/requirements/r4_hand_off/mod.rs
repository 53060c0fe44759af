//! R4: the main thread does all socket I/O, workers compute, and results come back through an eventfd.

mod observe;

use super::{
    Context, Requirement,
    common::{Ended, held_where, not_yet},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::tracer::At,
};

/// R4.
pub struct HandOff;

const WORKERS: usize = 3;
const CLIENTS: usize = 6;

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    /// Where workers were held while the requests came in.
    held: Vec<(i32, At)>,
    workers_slept: bool,
    /// Clients that had an answer before a worker was let go, and the call that sent one.
    answered_early: usize,
    early_sender: String,
    /// Clients that had one in the end, and how the wait for that ended.
    answered: usize,
    end: Ended,
    stuck: String,
    /// Calls on sockets by threads other than the main thread, in words.
    foreign: Vec<String>,
    /// The eventfds that a worker wrote.
    eventfds: Vec<Eventfd>,
    /// Workers that finished a task while all else was at rest, and nobody wrote an eventfd.
    silent: Vec<String>,
    /// What workers wrote to instead, in words.
    instead: Vec<String>,
}

/// An eventfd that a worker wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Eventfd {
    fd: i32,
    /// It is registered with an epoll instance on which the main thread waits.
    watched: bool,
    edge_triggered: bool,
    /// How often the main thread read it.
    read_by_main: usize,
    writer: String,
}

impl Requirement for HandOff {
    fn id(&self) -> Id {
        Id::new('R', 4)
    }

    fn title(&self) -> &'static str {
        "workers compute, the main thread talks, an eventfd in its epoll set wakes it"
    }

    fn about(&self) -> &'static str {
        "Only the main thread accepts, receives and sends. A worker computes, leaves the result where the main thread finds \
         it, and writes an eventfd that is in the main thread's epoll set; the main thread wakes, reads the eventfd and \
         sends the answer.\n\n\
         Forced: every worker is held in the middle of a task: nobody may be answered. Then they are let go, one at a \
         time, with everything else at rest.\n\n\
         Decides: who made each call on a socket; that nobody is answered while no worker has run; that an eventfd is written for \
         each worker that finishes while all else is at rest; that it is watched by the epoll instance on which the main thread waits, and read by it (unless it is \
         edge-triggered)."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        Ok(judge(&observe::observe(context)?))
    }
}

fn judge(o: &Observation) -> Finding {
    let expected = "every call on a socket is the main thread's; workers announce results by an eventfd that the main \
                    thread's epoll watches and that it reads";
    let fail = |observed: String, place: String, hint: &str| Finding::fail(expected, observed, place, hint);
    if let Some(first) = o.foreign.first() {
        return fail(
            format!("a thread other than the main thread used a socket, {} times", o.foreign.len()),
            first.clone(),
            "let the worker leave its result in a list and write the eventfd; the main thread sends it",
        );
    }
    if o.held.is_empty() && !o.workers_slept {
        return Finding::inconclusive(
            expected,
            "the workers ran, but made no call at which they could be held",
            "",
            "link the program dynamically, so that its pthread calls can be seen",
        );
    }
    // A worker that has run may have left a result, wherever it is held now; one that slept has not.
    if o.answered_early > 0 && o.workers_slept {
        return fail(
            format!("{} of {CLIENTS} clients were answered and no worker ran", o.answered_early),
            o.early_sender.clone(),
            "the main thread must not compute (or invent) answers: it pushes a task and waits for a worker's result",
        );
    }
    let Some(eventfd) = o.eventfds.first() else {
        return match o.end {
            Ended::NotYet => {
                not_yet(expected, &format!("{} of {CLIENTS} were answered", o.answered), &o.stuck)
            }
            _ => fail(
                format!("no worker wrote an eventfd; {} of {CLIENTS} clients were answered", o.answered),
                o.instead.first().cloned().unwrap_or_else(|| o.stuck.clone()),
                "create an eventfd, add it to the epoll set, and write 1 to it after a result is in the list",
            ),
        };
    };
    if o.eventfds.iter().all(|eventfd| !eventfd.watched)
        && let Some(unwatched) = o.eventfds.first()
    {
        return fail(
            "the eventfd that a worker wrote is in no epoll set on which the main thread waits".to_owned(),
            unwatched.writer.clone(),
            "add it with epoll_ctl(EPOLL_CTL_ADD) and EPOLLIN to the epoll instance of the event loop",
        );
    }
    if let Some(unread) =
        o.eventfds.iter().find(|eventfd| eventfd.read_by_main == 0 && !eventfd.edge_triggered)
    {
        return fail(
            "the main thread never read the eventfd".to_owned(),
            unread.writer.clone(),
            "read its 8 bytes when epoll reports it; a level-triggered eventfd that is not read is reported for ever",
        );
    }
    if let Some(first) = o.silent.first().filter(|_| o.end == Ended::Reached) {
        return fail(
            format!(
                "{} of {} workers finished a task while all else slept, and nobody wrote an eventfd; the answer was sent later",
                o.silent.len(),
                o.held.len()
            ),
            first.clone(),
            "every result that finds the main thread asleep needs a write of the eventfd; a timeout is no hand-off",
        );
    }
    if o.end != Ended::Reached {
        // Why an answer stays away is for the other requirements; what is asked here was seen.
        return Finding::pass(
            expected,
            format!("as expected for the {} of {CLIENTS} answers that came", o.answered),
        );
    }
    Finding::pass(
        expected,
        format!(
            "nobody was answered while {}; then {} answers through eventfd {}",
            held_where(&o.held),
            o.answered,
            eventfd.fd
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn eventfd() -> Eventfd {
        Eventfd {
            fd: 5,
            watched: true,
            edge_triggered: false,
            read_by_main: 2,
            writer: "worker 1 (tid 2)".into(),
        }
    }

    fn right() -> Observation {
        Observation {
            held: (2..5).map(|tid| (tid, At::Release)).collect(),
            workers_slept: false,
            answered_early: 0,
            early_sender: String::new(),
            answered: CLIENTS,
            end: Ended::Reached,
            stuck: String::new(),
            foreign: Vec::new(),
            eventfds: vec![eventfd()],
            silent: Vec::new(),
            instead: Vec::new(),
        }
    }

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = right();
        change(&mut observation);
        judge(&observation).outcome
    }

    #[test]
    fn the_whole_way_is_right() {
        assert_eq!(outcome(|_| {}), Outcome::Pass);
        assert_eq!(
            outcome(|o| o.eventfds.push(Eventfd { fd: 6, ..eventfd() })),
            Outcome::Pass,
            "one for each worker"
        );
        assert_eq!(
            outcome(|o| (o.eventfds[0].edge_triggered, o.eventfds[0].read_by_main) = (true, 0)),
            Outcome::Pass
        );
    }

    #[test]
    fn each_step_left_out_fails() {
        assert_eq!(
            outcome(|o| o.foreign.push("worker 1 (tid 2) called send(fd 7, a client socket)".into())),
            Outcome::Fail
        );
        assert_eq!(outcome(|o| (o.answered_early, o.workers_slept) = (1, true)), Outcome::Fail);
        assert_eq!(outcome(|o| o.eventfds.clear()), Outcome::Fail);
        assert_eq!(outcome(|o| o.silent.push("worker 1 (tid 2)".into())), Outcome::Fail);
        assert_eq!(outcome(|o| o.eventfds[0].watched = false), Outcome::Fail);
        assert_eq!(outcome(|o| o.eventfds[0].read_by_main = 0), Outcome::Fail);
    }

    #[test]
    fn a_worker_that_ran_may_have_left_its_result_already() {
        assert_eq!(outcome(|o| o.answered_early = 1), Outcome::Pass);
    }

    #[test]
    fn what_cannot_be_seen_is_not_judged() {
        assert_eq!(outcome(|o| (o.held, o.answered_early) = (Vec::new(), 6)), Outcome::Inconclusive);
        let inline =
            |o: &mut Observation| (o.held, o.workers_slept, o.answered_early) = (Vec::new(), true, 6);
        assert_eq!(outcome(inline), Outcome::Fail);
        assert_eq!(outcome(|o| (o.eventfds.clear(), o.end = Ended::NotYet).0), Outcome::Inconclusive);
    }
}
