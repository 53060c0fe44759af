//! T1: right servers pass.

use super::{
    Context, Requirement,
    harness::{DEADLINE, too_long, try_each},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
};

/// T1.
pub struct RightPass;

/// How often it is tried on each.
const TIMES: usize = 2;

const EXPECTED: &str = "the script exits with status 0 on every server that keeps the contract";

impl Requirement for RightPass {
    fn id(&self) -> Id {
        Id::new('T', 1)
    }

    fn title(&self) -> &'static str {
        "right servers pass"
    }

    fn about(&self) -> &'static str {
        "A test that accuses the innocent is soon ignored.\n\n\
         Forced: the script is run on several right servers, which look quite different from each other: one is slow to start, one \
         answers in small packets, one computes strange values. Twice on each.\n\n\
         Decides: exit status 0, each time."
    }

    fn cost(&self) -> u32 {
        200
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let right = &context.servers.right;
        let sources = [right.as_slice(); TIMES].concat();
        for (source, tried) in sources.iter().zip(try_each(context.program, &sources, DEADLINE)?) {
            if tried.end.is_none() {
                return Ok(too_long(EXPECTED, &source.name, &tried));
            }
            if tried.verdict() != Some(true) {
                return Ok(Finding::fail(
                    EXPECTED,
                    format!("on the right server {} the script {}", source.name, tried.how()),
                    format!("it said: {}", tried.said),
                    "ask only what the contract promises, wait for events instead of for time, and give slow machines time",
                ));
            }
        }
        let count = right.len();
        Ok(Finding::pass(EXPECTED, format!("so it did on {count} right servers, {TIMES} times on each")))
    }
}
