//! What always holds of the task queue, of the mailbox and of the parser, on random sequences of operations. What
//! proptest prints when it finds a counterexample is the shortest one that it could find, in words like `push` and `pop`.
//!
//! That a thread sleeps is seen, never waited for by the clock: [`crew`] says how.

mod crew;
mod mailbox;
mod protocol;
mod queue_in_steps;
mod queue_under_load;

use proptest::test_runner::Config;

/// So many cases; counterexamples are printed and not kept in files.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}
