//! The requirements, one file each: observe a server through the probes, then judge what was seen by a pure function.
//!
//! To add one: write its file, name it in [`REGISTRY`], add its section to `docs/requirements.md` and its points to a quest.

mod common;
mod r1_bounded_queue;
mod r2_fixed_pool;
mod r3_shutdown;
mod r4_hand_off;
mod r5_errors;
mod r6_concurrent_clients;
mod r7_epoll;
mod r8_helgrind;

use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::session::{Session, Setup},
    submission::Program,
};

/// What every requirement is given.
pub struct Context<'a> {
    /// The built submission.
    pub program: &'a Program,
    /// The seed of everything random; the same seed forces the same situations.
    pub seed: u64,
}

/// One rule of the contract.
pub trait Requirement: Sync {
    /// Its id.
    fn id(&self) -> Id;

    /// What the submission must do, in one sentence without a full stop.
    fn title(&self) -> &'static str;

    /// For `quest show`: what is promised, which situation is forced and what decides. Plain text, paragraphs separated
    /// by blank lines.
    fn about(&self) -> &'static str;

    /// How long it takes on a right submission, in tenths of a second: where several run at a time, the long ones begin.
    fn cost(&self) -> u32 {
        1
    }

    /// Observes and judges.
    ///
    /// # Errors
    ///
    /// [`Trouble`] when there is nothing to judge: the server did not start, the harness failed, the user interrupted.
    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble>;
}

/// Every requirement, in the order of the ids.
pub static REGISTRY: &[&dyn Requirement] = &[
    &r1_bounded_queue::BoundedQueue,
    &r2_fixed_pool::FixedPool,
    &r3_shutdown::Shutdown,
    &r4_hand_off::HandOff,
    &r5_errors::Errors,
    &r6_concurrent_clients::ConcurrentClients,
    &r7_epoll::Epoll,
    &r8_helgrind::NoRaces,
];

/// The keys of the notes that may stand beside a verdict.
pub const NOTES: &[&str] = r8_helgrind::NOTES;

/// Starts the server once and lets it answer one request, so that one that does not start is found out once and not by
/// every requirement.
///
/// # Errors
///
/// [`Trouble::Decided`] with what was seen instead.
pub fn starts(program: &Program) -> Result<(), Trouble> {
    Session::launch(program, &Setup::new(4, 64)).map(drop)
}
