//! R7: the loop waits with epoll and with nothing else, and it sleeps when there is nothing to do.

use super::{
    Context, Requirement,
    common::{good, wait_for_answers},
    idle::{LOOKS, Look, busiest_call, look},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::{
        session::{Session, Setup},
        tracer::{syscalls::Class, thread::Role},
    },
};
use nix::sys::signal::Signal;

/// R7.
pub struct Epoll;

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    /// The first epoll wait of the main thread: the call's name.
    epoll: Option<&'static str>,
    /// Calls of the poll and select family after that, in words.
    forbidden: Vec<String>,
    looks: Vec<Look>,
    /// The call that the main thread made most often during the looks, in words.
    busiest: String,
    doing: String,
}

impl Requirement for Epoll {
    fn id(&self) -> Id {
        Id::new('R', 7)
    }

    fn title(&self) -> &'static str {
        "the loop waits with epoll only, and sleeps when there is nothing to do"
    }

    fn about(&self) -> &'static str {
        "From its first epoll call on the server waits with epoll_wait (or epoll_pwait, epoll_pwait2), never with poll, \
         ppoll, select or pselect, and it sleeps while nobody wants anything.\n\n\
         Forced: a few clients are answered and stay connected; then nothing happens at all. Then SIGTERM.\n\n\
         Decides: every call of the poll and select family in the whole trace from the first epoll call on (before that, \
         the runtimes of some languages check descriptors 0 to 2); and when nothing happens, that every thread sleeps. A \
         loop with a timer of its own may wake now and then: more than 200 times a second (not counting waits of 5 ms and \
         more that ran out), or more than a tenth of a processor, three times in a row, is a busy loop."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        Ok(judge(&observe(context)?))
    }
}

fn observe(context: &Context<'_>) -> Result<Observation, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(2, 16))?;
    let ids = session.connect_many(4)?;
    for (number, id) in ids.iter().enumerate() {
        session.clients.send(*id, &good(number));
    }
    wait_for_answers(&mut session, &ids, 1)?;
    let from = session.tracer.events().len();
    let mut looks = Vec::new();
    while looks.len() < LOOKS {
        let look = look(&mut session)?;
        looks.push(look);
        if !look.is_busy() {
            break;
        }
    }
    let doing = session.snapshot().describe();
    let busiest = busiest_call(&session, from);
    session.signal(Signal::SIGTERM)?;
    session.settle()?;
    let main = session.tracer.main();
    let events = session.tracer.events();
    let waits = |class: Class| {
        events
            .iter()
            .enumerate()
            .filter_map(move |(at, event)| Some((at, event.tid, event.call()?)))
            .filter(move |(_, _, call)| call.class == class)
    };
    // Told by when it was entered: the first one may still sleep while others come back.
    let sleeping =
        session.tracer.thread(main).and_then(|t| t.inside).filter(|i| i.call.class == Class::EpollWait);
    let first = waits(Class::EpollWait)
        .find(|(_, tid, _)| *tid == main)
        .map(|(_, _, call)| (call.entered, call.name));
    let first = first.or(sleeping.map(|inside| (inside.entered, inside.call.name)));
    let forbidden = match first {
        None => Vec::new(),
        Some((from, _)) => waits(Class::Poll)
            .filter(|(_, _, call)| call.entered >= from)
            // What a child process of the server's waits with is its own business.
            .filter(|(_, tid, _)| session.tracer.thread(*tid).is_some_and(|t| t.role != Role::Child))
            .map(|(_, tid, call)| {
                format!(
                    "{} called {}{}",
                    session.tracer.name(tid),
                    call.name,
                    session.tracer.at_place(call.caller)
                )
            })
            .collect(),
    };
    Ok(Observation { epoll: first.map(|(_, name)| name), forbidden, looks, busiest, doing })
}

fn judge(o: &Observation) -> Finding {
    let expected = "the loop waits with epoll_wait, epoll_pwait or epoll_pwait2 and nothing else, and every thread sleeps \
                    while there is nothing to do";
    let Some(epoll) = o.epoll else {
        return Finding::fail(
            expected,
            "the main thread never waited with epoll",
            o.doing.clone(),
            "create an epoll instance, register the listener, the clients and the eventfd, and wait with epoll_wait",
        );
    };
    if let Some(first) = o.forbidden.first() {
        return Finding::fail(
            expected,
            format!("{} calls of the poll or select family after the first {epoll}", o.forbidden.len()),
            first.clone(),
            "register that descriptor with the epoll instance instead",
        );
    }
    match o.looks.last() {
        Some(look) if look.is_busy() => Finding::fail(
            expected,
            format!(
                "with nothing to do the main thread came back from waiting {:.0} times a second, and the server used {:.0} % of a \
                 processor ({} looks in a row)",
                look.turns,
                look.cpu * 100.0,
                o.looks.len()
            ),
            format!("{}{}", o.busiest, o.doing),
            "wait without a timeout (-1); what is ready and never read (an eventfd, a closed connection) is reported for ever",
        ),
        Some(look) if look.asleep => {
            Finding::pass(expected, format!("{epoll} only; asleep for good when idle"))
        }
        _ => Finding::pass(
            expected,
            format!("{epoll} only; idle, it wakes now and then and uses next to no processor time"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    const ASLEEP: Look = Look { asleep: true, turns: 0.0, vain: 0.0, cpu: 0.0 };
    const BUSY: Look = Look { asleep: false, turns: 9_000.0, vain: 0.0, cpu: 0.4 };
    const TICKS: Look = Look { asleep: false, turns: 10.0, vain: 0.0, cpu: 0.001 };

    fn outcome(epoll: Option<&'static str>, forbidden: &[&str], looks: &[Look]) -> Outcome {
        let forbidden = forbidden.iter().map(|f| (*f).to_owned()).collect();
        judge(&Observation {
            epoll,
            forbidden,
            looks: looks.to_vec(),
            busiest: String::new(),
            doing: String::new(),
        })
        .outcome
    }

    #[test]
    fn epoll_and_sleep_are_right() {
        assert_eq!(outcome(Some("epoll_wait"), &[], &[ASLEEP]), Outcome::Pass);
        assert_eq!(outcome(Some("epoll_pwait2"), &[], &[TICKS]), Outcome::Pass);
    }

    #[test]
    fn no_epoll_and_another_wait_beside_it_fail() {
        assert_eq!(outcome(None, &[], &[ASLEEP]), Outcome::Fail);
        assert_eq!(
            outcome(Some("epoll_wait"), &["main thread (tid 1) called poll"], &[ASLEEP]),
            Outcome::Fail
        );
    }

    #[test]
    fn a_busy_loop_fails_only_if_every_look_shows_it() {
        assert_eq!(outcome(Some("epoll_wait"), &[], &[BUSY, BUSY, BUSY]), Outcome::Fail);
        assert_eq!(outcome(Some("epoll_wait"), &[], &[BUSY, TICKS]), Outcome::Pass);
        let computing = Look { asleep: false, turns: 0.0, vain: 0.0, cpu: 0.9 };
        assert_eq!(outcome(Some("epoll_wait"), &[], &[computing; 3]), Outcome::Fail);
    }
}
