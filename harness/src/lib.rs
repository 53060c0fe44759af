//! The harness behind the `quest` command: it launches a submission, forces the rare situations,
//! watches what every thread does, and says with evidence what is wrong.
//!
//! One check, from top to bottom:
//!
//! 1. [`cli`] reads the command line and [`submission`] turns a path into a program that can be started.
//! 2. [`runner`] takes the [`requirements`] one by one.
//! 3. A requirement *observes* a running server through the [`probes`] (tracer, clients, /proc, Helgrind) and then
//!    *judges* the plain data it got with a pure function.
//! 4. The verdicts form a [`model::Run`], which [`report`] writes for people or for programs.
//!
//! A module uses only modules that stand above it in this list.

pub mod model;
pub mod error;
pub mod interrupt;
pub mod lanes;
pub mod submission;
pub mod probes;
pub mod requirements;
pub mod quests;
pub mod student;
pub mod runner;
pub mod selfcheck;
pub mod report;
pub mod cli;
