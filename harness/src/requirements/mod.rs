//! The requirements, one file each: observe a server through the probes, then judge what was seen by a pure function.
//!
//! To add one: write its file, name it in [`REGISTRY`], add its section to `docs/requirements.md` and its points to a quest.

mod b1_signal;
mod b2_dynamic_pool;
mod b3_timeout;
mod b4_stats;
mod c1_warnings;
mod c2_own_pool;
mod c3_destroyed;
mod c4_descriptors;
mod c5_workers_stay_off;
mod common;
mod deaf;
mod h1_no_stranger;
mod h2_vanishing;
mod h3_half_closed;
mod h4_pieces;
mod h5_noise;
mod h6_crowd;
mod h7_slow_clients;
mod idle;
mod leaving;
mod q1_order;
mod q2_push_waits;
mod q3_pop_waits;
mod q4_close;
mod q5_try_push;
mod harness;
mod q6_orders;
mod q7_races;
mod queue;
mod r1_bounded_queue;
mod r2_fixed_pool;
mod r3_shutdown;
mod r4_hand_off;
mod r5_errors;
mod r6_concurrent_clients;
mod r7_epoll;
mod r8_helgrind;
mod search;
mod t1_right_pass;
mod t2_wrong_fail;
mod t3_leaves_nothing;
mod t4_survives;
mod t5_ports;
mod traffic;

use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::{
        session::{Session, Setup},
        tracer::syscalls::Class,
    },
    submission::{Kind, Program},
};

/// What every requirement is given.
pub struct Context<'a> {
    /// The built submission.
    pub program: &'a Program,
    /// The seed of everything random; the same seed forces the same situations.
    pub seed: u64,
    /// How many orders of steps are tried where a mistake may show in few of them only.
    pub schedules: usize,
    /// The servers that a test harness is tried on; none where a server is handed in.
    pub servers: &'a Servers,
}

/// Servers to try a test harness on.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    /// Right ones.
    pub right: Vec<Source>,
    /// Each with a mistake.
    pub wrong: Vec<Source>,
    /// Those that hang.
    pub hang: Vec<Source>,
}

/// The sources of a server.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called.
    pub name: String,
    /// What is wrong with it, as somebody would put it who thinks it right; empty if nothing is.
    pub why: String,
    /// Names and what is in them.
    pub files: Vec<(String, &'static [u8])>,
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
    &q1_order::Order,
    &q2_push_waits::PushWaits,
    &q3_pop_waits::PopWaits,
    &q4_close::CloseEnds,
    &q5_try_push::TryPushReturns,
    &q6_orders::Orders,
    &q7_races::NoRaces,
    &t1_right_pass::RightPass,
    &t2_wrong_fail::WrongFail,
    &t3_leaves_nothing::LeavesNothing,
    &t4_survives::Survives,
    &t5_ports::Ports,
    &c1_warnings::Warnings,
    &c2_own_pool::OwnPool,
    &c3_destroyed::Destroyed,
    &c4_descriptors::Descriptors,
    &c5_workers_stay_off::WorkersStayOff,
    &b1_signal::Signal,
    &b2_dynamic_pool::DynamicPool,
    &b3_timeout::Timeout,
    &b4_stats::Stats,
    &h1_no_stranger::NoStranger,
    &h2_vanishing::Vanishing,
    &h3_half_closed::HalfClosed,
    &h4_pieces::Pieces,
    &h5_noise::Noise,
    &h6_crowd::Crowd,
    &h7_slow_clients::SlowClients,
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
    // What tests servers is none.
    if program.kind() == Kind::Script {
        return Ok(());
    }
    let session = Session::launch(program, &Setup::new(4, 64))?;
    let mut calls = session.tracer.events().iter().filter_map(|event| Some((event.tid, event.call()?)));
    let Some((tid, call)) = calls.find(|(_, call)| call.class == Class::Uring && call.result >= 0) else {
        return Ok(());
    };
    Err(Trouble::Decided(Box::new(Finding::inconclusive(
        "every byte that the server receives and sends goes through a system call of the thread that wants it",
        "the server uses io_uring, whose I/O is done by the kernel and can be attributed to no thread",
        session.tracer.describe_call(tid, call),
        "this quest is about epoll: wait with epoll_wait, and call recv and send yourself",
    ))))
}
