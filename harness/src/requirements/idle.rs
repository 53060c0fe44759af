//! Whether a server that has nothing to do sleeps, and how a busy loop is told from one that wakes now and then.

use super::{Context, common::good};
use crate::{
    error::Trouble,
    probes::{
        machine::stretched,
        proc::time_without_processor,
        session::{Session, Settled, Setup, Snapshot, Wait},
        tracer::{event::Call, syscalls::Class},
    },
};
use nix::unistd::gettid;
use std::{collections::BTreeMap, time::Duration};

/// How long a server that does not sleep for good is watched.
const WINDOW: Duration = Duration::from_millis(600);

/// A server that slept at one moment, but has gone round so often for nothing before, is looked at for longer.
const TURNS_IN_VAIN: u64 = 5;

/// So many looks: only when all of them show a busy loop is it one.
pub const LOOKS: usize = 3;

/// A loop that comes back from waiting more often than this in a second, with nothing to do, does not sleep. Twice as often as
/// the shortest timer that is usual, 10 ms: what is taken off for want of a processor is an estimate.
const MOST_TURNS: f64 = 200.0;

/// A loop that gave its wait at least so many milliseconds, and slept them, has ticked.
const TICK_MS: i32 = 5;

/// A server that uses more than this part of a processor with nothing to do does not sleep.
const MOST_CPU: f64 = 0.10;

/// One look at a server that has nothing to do.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Every thread slept in a call without a deadline: it would have slept for ever.
    pub asleep: bool,
    /// How often a second the main thread came back from waiting, with nothing to do, and not because its time was over.
    pub turns: f64,
    /// How often a second some thread tried to accept in vain.
    pub vain: f64,
    /// The part of one processor that all threads used.
    pub cpu: f64,
}

impl Look {
    /// Whether it shows a busy loop.
    pub fn is_busy(&self) -> bool {
        !self.asleep && (self.turns.max(self.vain) > MOST_TURNS || self.cpu > MOST_CPU)
    }
}

/// Looks once.
///
/// # Errors
///
/// As [`Session::until`].
pub fn look(session: &mut Session) -> Result<Look, Trouble> {
    let settled = session.settle()?;
    let before = session.snapshot();
    let from = session.tracer.events().len();
    let begun = session.tracer.now();
    let delayed = delay(session.tracer.main());
    if matches!(settled, Settled::AtRest(_)) {
        // A server that sleeps for good says so at once; only one that wakes by itself is watched.
        if let Wait::Stalled(_) =
            session.until(WINDOW, |session| session.tracer.now() - begun >= stretched(WINDOW))?
        {
            return Ok(Look { asleep: true, turns: 0.0, vain: 0.0, cpu: 0.0 });
        }
    } else {
        session.until(WINDOW, |session| session.tracer.now() - begun >= stretched(WINDOW))?;
    }
    let main = session.tracer.main();
    // Time in which nobody gave the loop, or the tracer that has to let it go on, a processor says nothing about either.
    let elapsed = session.tracer.now() - begun;
    let seconds =
        elapsed.saturating_sub(delay(main).saturating_sub(delayed)).max(elapsed / 100).as_secs_f64();
    let calls =
        || session.tracer.events()[from..].iter().filter_map(|event| Some((event.tid, event.call()?)));
    let turns = calls().filter(|(tid, call)| *tid == main && comes_back(call)).count();
    let vain = calls().filter(|(_, call)| call.class == Class::Accept && call.error().is_some()).count();
    let cpu = |snapshot: &Snapshot| -> Duration { snapshot.threads.iter().map(|t| t.cpu).sum() };
    let used = cpu(&session.snapshot()).saturating_sub(cpu(&before));
    Ok(Look {
        asleep: false,
        turns: turns as f64 / seconds,
        vain: vain as f64 / seconds,
        cpu: used.as_secs_f64() / seconds,
    })
}

/// Whether it is a wait that ended, and not because the time was over that the loop gave it.
fn comes_back(call: &Call) -> bool {
    // The time of epoll_pwait2 is no number but stands in memory.
    let ticks = call.result == 0 && call.name != "epoll_pwait2" && call.args[3] as i32 >= TICK_MS;
    call.class == Class::EpollWait && !ticks
}

/// How long this thread of the server and the calling thread have been ready to run without a processor.
fn delay(tid: i32) -> Duration {
    time_without_processor(tid) + time_without_processor(gettid().as_raw())
}

/// The call that a thread has made most often since `from`: `main thread (tid 7): epoll_wait at server.c:50 (run), 5000
/// times; `.
pub fn busiest_call(session: &Session, from: usize) -> String {
    let mut counts: BTreeMap<(i32, &str, Option<u64>), usize> = BTreeMap::new();
    for event in &session.tracer.events()[from..] {
        if let Some(call) = event.call() {
            *counts.entry((event.tid, call.name, call.caller)).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map_or_else(String::new, |((tid, name, caller), count)| {
        let at = session.tracer.at_place(caller);
        format!("{}: {name}{at}, {count} times; ", session.tracer.name(tid))
    })
}

/// Whether a server spins whatever happens, with a client or two that want nothing: R7 judges that, and nobody else.
///
/// # Errors
///
/// As [`Session::launch`].
pub fn spins_anyway(context: &Context<'_>) -> Result<bool, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(2, 16))?;
    for id in session.connect_many(2)? {
        session.ask(id, &good(0))?.ok();
    }
    Ok(look(&mut session)?.is_busy())
}

/// Whether a server sleeps that has nothing to do, at first sight.
///
/// # Errors
///
/// As [`Session::until`].
pub fn sleeps(session: &mut Session) -> Result<bool, Trouble> {
    // All may sleep at one moment, but for a millisecond only, again and again.
    Ok(matches!(session.settle()?, Settled::AtRest(_)) && session.turns_in_vain() < TURNS_IN_VAIN)
}

/// What a server does that has nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It sleeps, for good or until a timer of its own wakes it.
    Sleeps,
    /// It goes round and round; which call it makes, and what each thread does.
    Spins(String),
    /// It was at work all the time.
    NotYet(String),
    /// Its process has ended.
    Ended,
}

/// What a server does once everything is said and done. One that is seen asleep is not watched for long.
///
/// # Errors
///
/// As [`Session::until`].
pub fn rest(session: &mut Session) -> Result<Rest, Trouble> {
    let from = session.tracer.events().len();
    let busy = match session.settle()? {
        // As in `sleeps`.
        Settled::AtRest(_) if session.turns_in_vain() < TURNS_IN_VAIN => return Ok(Rest::Sleeps),
        Settled::AtRest(_) => None,
        Settled::Ended => return Ok(Rest::Ended),
        Settled::Spinning(..) => None,
        Settled::Busy(snapshot) => Some(snapshot.describe()),
    };
    for _ in 0..LOOKS {
        if !look(session)?.is_busy() {
            return Ok(busy.map_or(Rest::Sleeps, Rest::NotYet));
        }
    }
    Ok(Rest::Spins(format!("{}{}", busiest_call(session, from), session.snapshot().describe())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(name: &'static str, timeout: i32, result: i64) -> Call {
        let args = [3, 0, 64, timeout as u64, 0, 0];
        Call {
            name,
            class: Class::EpollWait,
            args,
            object: None,
            second: None,
            caller: None,
            entered: 0,
            result,
        }
    }

    #[test]
    fn a_timer_of_the_loop_that_has_run_out_is_no_turn_in_vain() {
        assert!(!comes_back(&wait("epoll_wait", 10, 0)));
        assert!(comes_back(&wait("epoll_wait", 10, 1)), "something is ready, again and again");
        assert!(comes_back(&wait("epoll_wait", 1, 0)), "a nap");
        assert!(comes_back(&wait("epoll_wait", 0, 0)), "a look");
        assert!(comes_back(&wait("epoll_pwait2", 4096, 0)), "an address is no time");
        assert!(!comes_back(&Call { class: Class::Receive, ..wait("read", 0, 8) }));
    }
}
