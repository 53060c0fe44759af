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
        plain::PlainServer,
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

/// All at the same time. There is a pop for each push, also for those that may come to nothing.
const AT_ONCE: [&[Op]; 6] = [
    &[Push(1), Push(2), Push(3), Push(4), Length, Push(5)],
    &[Push(11), Push(12), Push(13), Push(14), TryPush(15)],
    &[Pop, Pop, Pop, Pop, Pop, Pop, Pop],
    &[Pop, Pop, Pop, Pop, Pop, Pop],
    &[Length, TryPush(21), Length, TryPush(22), Length],
    &[TryPush(31), Length],
];

/// As many are pushed as pops still wait: how many of the tries came to nothing is chance, and who waits when it is closed must not be.
const MORE: &[Op] = &[Push(51), Push(52), Push(53), Push(54)];

/// Each by a thread that has not used the queue before: nothing orders it behind what others did but the queue's own lock. They
/// come while one of them closes. Whoever pushes asks something more: had it kept the lock, Helgrind would see that, too.
const AFTERWARDS: [&[Op]; 6] = [
    &[Length],
    &[Push(41), Length],
    &[TryPush(42), Length],
    &[Close],
    &[Pop, Pop, Pop, Pop, Pop, Pop],
    &[Push(43), Length],
];

/// And when it is closed, whatever the order was before.
const CLOSED: [&[Op]; 3] = [&[Push(61), Length], &[TryPush(62), Length], &[Pop, Pop]];

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
         come, one of which closes it; then three more, to the closed queue; then the program ends.\n\n\
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
    for (scripts, more) in [(&AT_ONCE[..], MORE), (&AFTERWARDS[..], &[]), (&CLOSED[..], &[])] {
        let server = &mut helgrind.server;
        let ids = server.connect_many(scripts.len(), BACKLOG, helgrind::DEADLINE)?;
        let mut asked: Vec<Vec<Op>> = scripts.iter().map(|ops| ops.to_vec()).collect();
        for (id, ops) in ids.iter().zip(&asked) {
            send(server, *id, ops);
        }
        if !is_over(server, &ids, &asked)? {
            return Ok(late("was still at work"));
        }
        // A program may answer more than it was asked.
        let waits = |(ops, id): (&Vec<Op>, &ClientId)| ops.len().saturating_sub(answers(server, *id));
        let more = &more[..more.len().min(asked.iter().zip(&ids).map(waits).sum())];
        if !more.is_empty() {
            send(server, ids[0], more);
            asked[0].extend(more);
            if !is_over(server, &ids, &asked)? {
                return Ok(late("was still at work"));
            }
        }
        out += ids
            .iter()
            .zip(&asked)
            .filter(|(_, ops)| ops.contains(&Pop))
            .map(|(id, _)| popped(server, *id))
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

fn send(server: &mut PlainServer, id: ClientId, ops: &[Op]) {
    let lines: Vec<u8> = ops.iter().flat_map(|op| op.line()).collect();
    server.clients.send(id, &lines);
}

/// What waits for ever is for others to judge; Helgrind has seen it all the same. False if the deadline came first.
fn is_over(server: &mut PlainServer, ids: &[ClientId], asked: &[Vec<Op>]) -> Result<bool, Trouble> {
    let all =
        |server: &mut PlainServer| ids.iter().zip(asked).all(|(id, ops)| answers(server, *id) >= ops.len());
    Ok(server.until_at_rest(helgrind::DEADLINE, all)?.is_some())
}

fn answers(server: &PlainServer, id: ClientId) -> usize {
    server.clients.get(id).answers()
}

/// How many tasks a thread that only pops has got.
fn popped(server: &PlainServer, id: ClientId) -> usize {
    let lines = server.clients.get(id).lines();
    lines.iter().filter(|line| matches!(Answer::read(line.trim_ascii_end()), Answer::Number(_))).count()
}
