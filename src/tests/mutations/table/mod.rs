//! What is planted, and which models catch it; one file for each wake-up.

mod close;
mod mailbox;
mod pop_and_push;
mod push_and_pop;

/// One mistake in the hand-off.
pub struct Mutation {
    /// Which function, and what is wrong with it.
    pub what: &'static str,
    /// A file of `src/handoff/`.
    pub file: &'static str,
    /// Stands there exactly once.
    pub find: &'static str,
    /// Stands there instead.
    pub replace: &'static str,
    /// The models that fail, in the order of their names.
    pub caught_by: &'static [&'static str],
    /// Why no model fails, if none does.
    pub unseen: &'static str,
}

const fn queue(
    what: &'static str,
    find: &'static str,
    replace: &'static str,
    caught_by: &'static [&'static str],
) -> Mutation {
    Mutation { what, file: "task_queue.rs", find, replace, caught_by, unseen: "" }
}

const fn mailbox(
    what: &'static str,
    find: &'static str,
    replace: &'static str,
    caught_by: &'static [&'static str],
) -> Mutation {
    Mutation { what, file: "completions.rs", find, replace, caught_by, unseen: "" }
}

const fn harmless(mutation: Mutation, unseen: &'static str) -> Mutation {
    Mutation { unseen, ..mutation }
}

/// All of them, in the order of the table.
pub fn mutations() -> Vec<&'static Mutation> {
    let all = [push_and_pop::MUTATIONS, pop_and_push::MUTATIONS, close::MUTATIONS, mailbox::MUTATIONS];
    all.into_iter().flatten().collect()
}
