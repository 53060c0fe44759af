//! Plain data that travels between the rooms: ids, verdicts, evidence, a run. No behaviour that touches the system.

mod id;
mod run;
mod verdict;

pub use id::{Id, UnknownId};
pub use run::{FORMAT_VERSION, Run, Score};
pub use verdict::{Evidence, Finding, Note, Outcome, Verdict};
