//! B1: the SIGTERM handler sets a flag and writes an eventfd that breaks `epoll_wait`; a signalfd counts too.

mod observe;

use super::{
    Context, Requirement,
    common::{Ended, not_yet},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Note, Outcome},
};

/// B1.
pub struct Signal;

/// Where the main thread is when SIGTERM comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// It sleeps in its epoll call.
    Asleep,
    /// It has come back from there and is held in the middle of seeing to a newcomer: a signal interrupts no wait.
    AtWork,
    /// It has done all that and is held where it is about to wait again, after its last look at any flag.
    Leaving,
}

impl Order {
    fn words(self) -> &'static str {
        match self {
            Self::Asleep => "SIGTERM while the main thread slept in epoll",
            Self::AtWork => "SIGTERM while the main thread was held between two waits",
            Self::Leaving => "SIGTERM while the main thread was held just before its next wait",
        }
    }
}

/// What was seen in one order.
#[derive(Clone, Debug)]
struct Observation {
    order: Order,
    /// The main thread waits with epoll.
    waits: bool,
    /// The handler that SIGTERM ran, if it ran one (or would have run one).
    handler: Option<Handler>,
    /// The signalfds of the process.
    signalfds: Vec<Announcer>,
    /// SIGTERM killed the process.
    killed: bool,
    /// The server has begun to stop: it has ended, or closed its listener, or left the loop.
    stopping: bool,
    end: Ended,
    doing: String,
}

/// What a thread did between the delivery of SIGTERM and its return from the handler.
#[derive(Clone, Debug, Default)]
struct Handler {
    /// The thread, in words.
    thread: String,
    /// It came back from the handler.
    returned: bool,
    /// Eventfds that it wrote there.
    eventfds: Vec<Announcer>,
    /// It wrote a pipe there, in words.
    pipe: Option<String>,
    /// What it did there with threads, locks and condition variables, in words.
    forbidden: Vec<String>,
    /// Other calls that it made there, in words.
    others: Vec<String>,
}

/// A descriptor that is to wake the main thread.
#[derive(Clone, Debug)]
struct Announcer {
    /// It is in an epoll set on which the main thread waits, which is told when it is readable.
    watched: bool,
    /// The error with which the write failed that was to make it readable.
    failed: Option<String>,
    /// The call that wrote or made it, in words.
    words: String,
}

impl Requirement for Signal {
    fn id(&self) -> Id {
        Id::new('B', 1)
    }

    fn title(&self) -> &'static str {
        "the SIGTERM handler sets a flag and writes an eventfd that epoll watches, or a signalfd does it all"
    }

    fn about(&self) -> &'static str {
        "A handler runs at any moment, on any thread that does not block the signal. It may set a flag and write an eventfd; \
         the eventfd is in the epoll set, so that the main thread's next wait returns at once, even if the signal came just \
         before it. A signalfd in the epoll set does the same without a handler.\n\n\
         Forced: SIGTERM while the main thread sleeps in its epoll call; SIGTERM while it is held between two waits, where it \
         sees to a newcomer; and SIGTERM while it is held just before its next wait, after its last look at any flag.\n\n\
         Decides: what the handler did between the delivery of the signal and its return; that the eventfd that it wrote, or \
         the signalfd, is in an epoll set on which the main thread waits; that the server then begins to stop. A server \
         that does it in another way (a pipe, a flag and EINTR, epoll_pwait) does not claim this bonus: skip."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        for order in [Order::Asleep, Order::AtWork] {
            let finding = judge(&observe::observe(context, order)?);
            if finding.outcome != Outcome::Pass {
                return Ok(finding);
            }
        }
        Ok(judge(&observe::observe(context, Order::Leaving)?))
    }
}

const EXPECTED: &str = "SIGTERM runs a handler that writes an eventfd, or makes a signalfd readable, which is in the main \
                        thread's epoll set, and the server begins to stop";

fn judge(o: &Observation) -> Finding {
    let skip = |why: &str| Finding::skip(EXPECTED, format!("not claimed: {why}"));
    if !o.waits {
        return skip("the main thread does not wait with epoll");
    }
    match &o.handler {
        Some(handler) if !handler.eventfds.is_empty() => judge_handler(o, handler),
        Some(_) if o.killed && !o.signalfds.is_empty() => Finding::fail(
            EXPECTED,
            "SIGTERM killed the process: there is a signalfd, but the signal is not blocked in every thread",
            o.signalfds[0].words.clone(),
            "block SIGTERM with pthread_sigmask before the first thread is created",
        ),
        Some(_) if o.killed => skip("there is no handler, SIGTERM killed the process"),
        Some(handler) => match &handler.pipe {
            Some(_) => skip("the SIGTERM handler writes a pipe"),
            // It is asked only of those whose handler wrote one while the main thread slept.
            None if o.order != Order::Asleep && o.signalfds.is_empty() => Finding::fail(
                EXPECTED,
                format!(
                    "{}: the handler wrote no eventfd, as it does while the main thread sleeps",
                    o.order.words()
                ),
                handler.thread.clone(),
                "let the handler write it every time: there is a moment between the last look at a flag and the wait",
            ),
            None => skip("the SIGTERM handler writes no eventfd"),
        },
        None if o.signalfds.is_empty() => skip("SIGTERM runs no handler, and there is no signalfd"),
        None => judge_signalfd(o),
    }
}

fn judge_handler(o: &Observation, handler: &Handler) -> Finding {
    let written = &handler.eventfds[0];
    if let Some(first) = handler.forbidden.first() {
        return Finding::fail(
            EXPECTED,
            format!("in the SIGTERM handler, {} {first}", handler.thread),
            written.words.clone(),
            "a handler may interrupt the very function that holds this lock: let it set a flag and write the eventfd, and do \
             the rest in the loop",
        );
    }
    if !handler.returned && !o.stopping {
        return Finding::fail(
            EXPECTED,
            format!("{}: the SIGTERM handler never returned", o.order.words()),
            o.doing.clone(),
            "nothing in a handler may wait",
        );
    }
    let watched = handler.eventfds.iter().find(|eventfd| eventfd.watched);
    let Some(watched) = watched else {
        if handler.pipe.is_some() {
            return Finding::skip(EXPECTED, "not claimed: the SIGTERM handler writes a pipe");
        }
        return Finding::fail(
            EXPECTED,
            "the eventfd that the SIGTERM handler writes is in no epoll set on which the main thread waits",
            written.words.clone(),
            "add it with EPOLLIN: a signal that comes just before epoll_wait interrupts nothing",
        );
    };
    let failed = handler.eventfds.iter().filter(|eventfd| eventfd.watched).all(|it| it.failed.is_some());
    if let Some(error) = watched.failed.as_ref().filter(|_| failed) {
        return Finding::fail(
            EXPECTED,
            format!("the write of the eventfd in the SIGTERM handler failed with {error}"),
            watched.words.clone(),
            "an eventfd takes exactly 8 bytes: write a uint64_t",
        );
    }
    let mut finding = judge_stop(
        o,
        &watched.words,
        &format!("{} wrote the eventfd in its SIGTERM handler", handler.thread),
    );
    finding.notes.extend(handler.others.iter().take(1).map(|other| Note {
        key: "more-in-handler".to_owned(),
        text: "the SIGTERM handler does more than set a flag and write the eventfd; what is left to the loop cannot \
               interrupt anything"
            .to_owned(),
        place: other.clone(),
    }));
    finding
}

fn judge_signalfd(o: &Observation) -> Finding {
    match o.signalfds.iter().find(|signalfd| signalfd.watched) {
        Some(watched) => judge_stop(o, &watched.words, "the signalfd became readable"),
        None => Finding::fail(
            EXPECTED,
            "the signalfd is in no epoll set on which the main thread waits",
            o.signalfds[0].words.clone(),
            "add it with EPOLLIN",
        ),
    }
}

fn judge_stop(o: &Observation, place: &str, seen: &str) -> Finding {
    if o.stopping {
        return Finding::pass(
            EXPECTED,
            format!("{seen}, whether the main thread slept in epoll, was at work or about to sleep"),
        );
    }
    match o.end {
        Ended::NotYet => not_yet(EXPECTED, "the server had not begun to stop", &o.doing),
        _ => Finding::fail(
            EXPECTED,
            format!("{}: {seen}, and yet the main thread sleeps on in epoll", o.order.words()),
            format!("{place}; {}", o.doing),
            "write 1, not 0, which leaves an eventfd as it is; and look at the flag after every return of epoll_wait, whatever \
             it returned: reading the eventfd uses it up",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcer(watched: bool) -> Announcer {
        Announcer { watched, failed: None, words: "main thread (tid 7), write(fd 5, an eventfd)".into() }
    }

    fn right() -> Observation {
        Observation {
            order: Order::Asleep,
            waits: true,
            handler: Some(Handler {
                thread: "main thread (tid 7)".into(),
                returned: true,
                eventfds: vec![announcer(true)],
                ..Handler::default()
            }),
            signalfds: Vec::new(),
            killed: false,
            stopping: true,
            end: Ended::Reached,
            doing: String::new(),
        }
    }

    fn outcome<T>(change: impl FnOnce(&mut Observation) -> T) -> Outcome {
        let mut o = right();
        change(&mut o);
        judge(&o).outcome
    }

    fn handler(o: &mut Observation) -> &mut Handler {
        o.handler.as_mut().unwrap()
    }

    #[test]
    fn a_handler_with_an_eventfd_and_a_signalfd_are_right() {
        assert_eq!(outcome(|_| ()), Outcome::Pass);
        assert_eq!(outcome(|o| (o.handler = None, o.signalfds.push(announcer(true)))), Outcome::Pass);
        assert_eq!(outcome(|o| handler(o).eventfds.push(announcer(false))), Outcome::Pass);
        // It may end the process without coming back.
        assert_eq!(outcome(|o| handler(o).returned = false), Outcome::Pass);
    }

    #[test]
    fn what_is_done_in_another_way_is_not_claimed() {
        assert_eq!(outcome(|o| handler(o).eventfds.clear()), Outcome::Skip);
        assert_eq!(outcome(|o| o.handler = None), Outcome::Skip);
        assert_eq!(outcome(|o| o.waits = false), Outcome::Skip);
        assert_eq!(outcome(|o| (handler(o).eventfds.clear(), o.killed = true)), Outcome::Skip);
        let pipe = |o: &mut Observation| {
            handler(o).pipe = Some(String::new());
            handler(o).eventfds = vec![announcer(false)];
        };
        assert_eq!(outcome(pipe), Outcome::Skip);
        // A handler that does nothing, and a signalfd for some other signal.
        let other = |o: &mut Observation| (handler(o).eventfds.clear(), o.signalfds.push(announcer(true)));
        assert_eq!(outcome(other), Outcome::Skip);
    }

    #[test]
    fn an_announcement_that_nobody_watches_fails() {
        assert_eq!(outcome(|o| handler(o).eventfds = vec![announcer(false)]), Outcome::Fail);
        assert_eq!(outcome(|o| (o.handler = None, o.signalfds.push(announcer(false)))), Outcome::Fail);
    }

    #[test]
    fn a_write_that_failed_announces_nothing() {
        let failed = || Announcer { failed: Some("EINVAL".into()), ..announcer(true) };
        assert_eq!(outcome(|o| handler(o).eventfds = vec![failed()]), Outcome::Fail);
        assert_eq!(outcome(|o| handler(o).eventfds.insert(0, failed())), Outcome::Pass);
    }

    #[test]
    fn an_eventfd_that_is_written_only_while_the_main_thread_sleeps_fails() {
        for order in [Order::AtWork, Order::Leaving] {
            assert_eq!(outcome(|o| (o.order = order, handler(o).eventfds.clear())), Outcome::Fail);
            assert_eq!(outcome(|o| o.order = order), Outcome::Pass);
        }
    }

    #[test]
    fn a_signalfd_without_a_blocked_signal_fails() {
        let killed = |o: &mut Observation| {
            (handler(o).eventfds.clear(), o.signalfds.push(announcer(true)), o.killed = true)
        };
        assert_eq!(outcome(killed), Outcome::Fail);
    }

    #[test]
    fn a_handler_that_locks_or_blocks_fails() {
        assert_eq!(outcome(|o| handler(o).forbidden.push("took a mutex".into())), Outcome::Fail);
        let blocks = |o: &mut Observation| (handler(o).returned, o.stopping) = (false, false);
        assert_eq!(outcome(blocks), Outcome::Fail);
    }

    #[test]
    fn other_calls_in_the_handler_are_only_remarked_on() {
        let mut o = right();
        handler(&mut o).others.push("close".into());
        let finding = judge(&o);
        assert_eq!((finding.outcome, finding.notes.len()), (Outcome::Pass, 1));
    }

    #[test]
    fn a_loop_that_sleeps_on_fails_and_one_that_is_at_work_is_not_decided() {
        let sleeps = |o: &mut Observation| (o.stopping, o.end) = (false, Ended::Never);
        assert_eq!(outcome(sleeps), Outcome::Fail);
        assert_eq!(outcome(|o| (o.stopping, o.end) = (false, Ended::NotYet)), Outcome::Inconclusive);
    }
}
