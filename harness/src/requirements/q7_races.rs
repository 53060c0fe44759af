//! Q7: Helgrind finds nothing in the queue.

use super::{
    Context, Requirement,
    queue::{
        model::{
            Answer,
            Op::{self, Close, Length, Pop, Push, TryPush},
        },
        spins,
    },
    r8_helgrind,
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::{
        clients::ClientId,
        helgrind::{self, Helgrind},
        session::Setup,
    },
    submission::port,
};
use nix::sys::signal::Signal;

/// Q7.
pub struct NoRaces;

const EXPECTED: &str =
    "0 errors from 0 contexts under Helgrind, with six threads that use the queue at once, and a close";
const CAPACITY: usize = 2;

/// The connections may all come at once: the driver's backlog is large.
const BACKLOG: u64 = 64;

/// All at the same time; none has to wait for ever.
const AT_ONCE: [&[Op]; 6] = [
    &[Push(1), Push(2), Push(3), Push(4), Length, Push(5)],
    &[Push(11), Push(12), Push(13), Push(14), TryPush(15)],
    &[Pop, Pop, Pop, Pop],
    &[Pop, Pop, Pop, Pop],
    &[Length, TryPush(21), Length, TryPush(22), Length],
    &[TryPush(31), Length],
];

/// Each by a thread that has not used the queue before: nothing orders it behind what others did but the queue's own lock. They
/// come while one of them closes.
const AFTERWARDS: [&[Op]; 6] =
    [&[Length], &[Push(41)], &[TryPush(42)], &[Close], &[Pop, Pop, Pop, Pop, Pop, Pop], &[Push(43), Length]];

impl Requirement for NoRaces {
    fn id(&self) -> Id {
        Id::new('Q', 7)
    }

    fn title(&self) -> &'static str {
        "no data race: Helgrind reports 0 errors from 0 contexts"
    }

    fn about(&self) -> &'static str {
        "Every field of the queue is touched with the lock held, and signals are sent with the lock held.\n\n\
         Forced: the queue runs under Valgrind's Helgrind while six threads push, pop, try and ask at the same time; then six new threads \
         come, one of which closes it; then the program ends.\n\n\
         Decides: 0 errors, while tasks go through: a queue that does nothing has nothing that could race, and that is no pass. Each \
         error is shown with both accesses and their lines."
    }

    fn cost(&self) -> u32 {
        20
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        match observe(context) {
            Ok(finding) => Ok(finding),
            Err(trouble) => match helgrind::usable() {
                Ok(_) => Err(trouble),
                Err(missing) => Ok(Finding::inconclusive(
                    "Helgrind runs the queue",
                    missing,
                    "",
                    "install it: apt-get install valgrind libc6-dbg; `quest doctor` says what else is missing",
                )),
            },
        }
    }
}

fn observe(context: &Context<'_>) -> Result<Finding, Trouble> {
    // Helgrind lets one thread run at a time: whether the others ever get their turn beside one that never sleeps is chance.
    if spins(context)? {
        return Ok(Finding::inconclusive(
            EXPECTED,
            "a thread goes round and round instead of sleeping, and under Helgrind leaves the others no time",
            "",
            "first let everybody sleep who waits (Q2, Q3)",
        ));
    }
    let port = port::pick()?;
    let args = Setup::new(1, CAPACITY).args(port.number());
    let mut helgrind = Helgrind::launch(context.program, &args, port)?;
    let late = |what: &str| {
        Finding::inconclusive(
            EXPECTED,
            format!("under Helgrind the program {what} by the harness's own deadline"),
            "",
            "run the check again on a machine that is less busy",
        )
    };
    if helgrind.server.connect_when_it_listens(helgrind::DEADLINE)?.is_none() {
        return Ok(late("did not listen"));
    }
    let mut out = 0;
    for scripts in [AT_ONCE, AFTERWARDS] {
        let server = &mut helgrind.server;
        let ids = server.connect_many(scripts.len(), BACKLOG, helgrind::DEADLINE)?;
        for (id, ops) in ids.iter().zip(scripts) {
            let lines: Vec<u8> = ops.iter().flat_map(|op| op.line()).collect();
            server.clients.send(*id, &lines);
        }
        // What waits for ever is for others to judge; Helgrind has seen it all the same.
        let rest = server.until_at_rest(helgrind::DEADLINE, |server| {
            ids.iter().zip(scripts).all(|(id, ops)| server.clients.get(*id).answers() >= ops.len())
        })?;
        if rest.is_none() {
            return Ok(late("was still at work"));
        }
        let popped = |id: &ClientId| {
            let lines = server.clients.get(*id).lines();
            lines
                .iter()
                .filter(|line| matches!(Answer::read(line.trim_ascii_end()), Answer::Number(_)))
                .count()
        };
        out += ids
            .iter()
            .zip(scripts)
            .filter(|(_, ops)| ops.contains(&Pop))
            .map(|(id, _)| popped(id))
            .sum::<usize>();
    }
    helgrind.server.signal(Signal::SIGTERM)?;
    let ended = helgrind.server.until_at_rest(helgrind::DEADLINE, |server| server.end().is_some())?;
    if let Some(finding) = r8_helgrind::of_races(EXPECTED, &helgrind.races()?) {
        return Ok(finding);
    }
    if ended.is_none() {
        return Ok(late("did not end"));
    }
    Ok(match out {
        0 => Finding::fail(
            EXPECTED,
            "0 errors, but not one task came out of the queue: where nothing is done, nothing can race",
            "",
            "first let tasks go through the queue; then ask Helgrind",
        ),
        _ => Finding::pass(EXPECTED, format!("0 errors from 0 contexts; {out} tasks came out")),
    })
}
