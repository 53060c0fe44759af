//! T2: wrong servers fail.

use super::{
    Context, Requirement,
    harness::{LIMIT, try_each},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
};

/// T2.
pub struct WrongFail;

const EXPECTED: &str = "the script exits with status 1 on every server with a mistake";

impl Requirement for WrongFail {
    fn id(&self) -> Id {
        Id::new('T', 2)
    }

    fn title(&self) -> &'static str {
        "wrong servers fail, every one of them"
    }

    fn about(&self) -> &'static str {
        "What a test is worth is what it finds. Each wrong server is a right one with one mistake planted: a mutant.\n\n\
         Forced: the script is run once on each mutant.\n\n\
         Decides: exit status 1 for every one of them, within 60 s in which nobody kept the script from running. The evidence says how many were \
         killed, and what those thought who wrote the ones that came through."
    }

    fn cost(&self) -> u32 {
        600
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut missed = Vec::new();
        let mutants = &context.servers.wrong;
        for (source, tried) in mutants.iter().zip(try_each(context.program, mutants, LIMIT)?) {
            if tried.verdict() != Some(false) {
                missed.push(format!("{} (the script {}): \"{}\"", source.name, tried.how(), source.why));
            }
        }
        let all = mutants.len();
        let killed = format!("{} of {all} mutants killed", all - missed.len());
        Ok(match missed.as_slice() {
            [] => Finding::pass(EXPECTED, killed),
            _ => Finding::fail(
                EXPECTED,
                format!("{killed}; these came through: {}", missed.join("; ")),
                "",
                "read the contract sentence by sentence, and ask of each: which answer would a server give that does not keep it?",
            ),
        })
    }
}
