//! T4: servers that hang do not make the script hang.

use super::{
    Context, Requirement,
    harness::{LIMIT, try_each},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
};

/// T4.
pub struct Survives;

const EXPECTED: &str =
    "on a server that hangs, the script ends by itself within 60 s, with status 1, and leaves nothing behind";

impl Requirement for Survives {
    fn id(&self) -> Id {
        Id::new('T', 4)
    }

    fn title(&self) -> &'static str {
        "a server that hangs does not make it hang"
    }

    fn about(&self) -> &'static str {
        "The servers that need a test most are the ones that never answer.\n\n\
         Forced: the script runs on servers that never listen, never accept, never answer, answer without end, and do not end on SIGTERM.\n\n\
         Decides: it has ended after 60 s, in which nobody kept it from running, with status 1, and no process and no file of it is left."
    }

    fn cost(&self) -> u32 {
        400
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let servers = &context.servers.hang;
        for (source, tried) in servers.iter().zip(try_each(context.program, servers, LIMIT)?) {
            let fail = |observed: String| {
                Finding::fail(
                    EXPECTED,
                    format!("on the server {} {observed}", source.name),
                    format!("it said: {}", tried.said),
                    "give every read, every connect and every wait a deadline; a server that does not end on SIGTERM gets SIGKILL",
                )
            };
            if tried.verdict() != Some(false) {
                return Ok(fail(match tried.end {
                    None => format!("the script had not ended after {} s", tried.took.as_secs()),
                    Some(_) => format!("the script {}", tried.how()),
                }));
            }
            let left = tried.left();
            if !left.is_empty() {
                return Ok(fail(format!("the script ended and left {left}")));
            }
        }
        Ok(Finding::pass(EXPECTED, format!("so it was on {} servers that hang", servers.len())))
    }
}
