//! T3: nothing is left behind.

use super::{
    Context, Requirement, Source,
    harness::{DEADLINE, Running, Tried, build, too_long, try_on},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    submission::Program,
};
use nix::sys::signal::Signal;
use std::time::Duration;

/// T3.
pub struct LeavesNothing;

/// How long a script may take until it waits for its server. One that never does gets its signal all the same.
const SOON: Duration = Duration::from_secs(2);

const EXPECTED: &str = "when the script has ended, however it did, every process that it started has ended and every file is removed";

impl Requirement for LeavesNothing {
    fn id(&self) -> Id {
        Id::new('T', 3)
    }

    fn title(&self) -> &'static str {
        "nothing is left behind, also when a test fails"
    }

    fn about(&self) -> &'static str {
        "Whoever runs a test every night finds in the morning what it leaves behind each time.\n\n\
         Forced: the script runs, in an empty folder that is also its TMPDIR, on a right server, on wrong ones, and on a right one where it gets \
         SIGTERM or SIGINT as soon as it has started the server and waits for it.\n\n\
         Decides: when it has ended no process is left that it started, and the folder is empty."
    }

    fn cost(&self) -> u32 {
        150
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let servers = context.servers;
        let mut count = 0;
        let few = |sources: &[Source]| sources.iter().take(2).cloned().collect::<Vec<_>>();
        for source in few(&servers.right).iter().take(1).chain(&few(&servers.wrong)) {
            let tried = try_on(context.program, &build(source)?, DEADLINE)?;
            if let Some(found) = judge(&format!("on {}", source.name), &source.name, &tried) {
                return Ok(found);
            }
            count += 1;
        }
        let Some(right) = servers.right.first() else {
            return Ok(Finding::skip(EXPECTED, "there are no servers"));
        };
        let server = build(right)?;
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let tried = interrupted(context.program, &server, signal)?;
            if let Some(found) = judge(&format!("after {signal} in the middle"), &right.name, &tried) {
                return Ok(found);
            }
            count += 1;
        }
        Ok(Finding::pass(
            EXPECTED,
            format!("so it was {count} times, 2 of them after a signal in the middle"),
        ))
    }
}

/// A run that gets a signal when the server has been started, and the script has come to wait for something: that it listens,
/// most likely. Until then the server is held, and cannot.
fn interrupted(script: &Program, server: &Program, signal: Signal) -> Result<Tried, Trouble> {
    let mut running = Running::start(script, server.executable())?;
    let started = running.process.until_it_starts(server.executable(), DEADLINE)?;
    running.process.until_it_waits(SOON)?;
    running.process.signal_at_once(signal)?;
    if let Some(pid) = started {
        running.process.let_start(pid)?;
    }
    running.finish(DEADLINE)
}

fn judge(when: &str, server: &str, tried: &Tried) -> Option<Finding> {
    if tried.end.is_none() {
        return Some(too_long(EXPECTED, server, tried));
    }
    let left = tried.left();
    (!left.is_empty()).then(|| {
        Finding::fail(
            EXPECTED,
            format!("{when} the script {} and left {left}", tried.how()),
            format!("it said: {}", tried.said),
            "clean up in a function that `trap ... EXIT INT TERM` calls: end the server by its pid, wait for it, remove the folder that mktemp -d made",
        )
    })
}
