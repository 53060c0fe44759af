//! What is said about one requirement: an outcome with the evidence for it.

use super::Id;
use serde::{Deserialize, Serialize};

/// The five things that can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The requirement was seen to hold in every situation that was forced.
    Pass,
    /// The requirement was seen to be broken.
    Fail,
    /// The harness could not tell: blames nobody, scores nothing.
    Inconclusive,
    /// Not asked for, or what it depends on failed.
    Skip,
    /// The harness itself failed.
    Error,
}

impl Outcome {
    /// The word for it in every format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Skip => "skip",
            Self::Error => "error",
        }
    }
}

/// What a judge concludes from an observation: an outcome and the first four keys of its evidence.
///
/// The fifth key, `again`, is the runner's to add: a judge does not know how it was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The outcome.
    pub outcome: Outcome,
    /// What the requirement promises, with this situation's numbers.
    pub expected: String,
    /// What was seen instead (or, on a pass, what was seen).
    pub observed: String,
    /// Thread role and tid, system call, descriptor, file:line: as much as is known. Empty when there is no one place.
    pub place: String,
    /// What to look at next. Empty on a pass.
    pub hint: String,
    /// What else was noticed, whatever the outcome. It costs no points.
    pub notes: Vec<Note>,
}

/// A remark beside a verdict, as a teacher would write it in the margin: it decides nothing and costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which kind of remark it is: words with hyphens, the same in every version.
    pub key: String,
    /// What was noticed and why it matters, in one or two sentences.
    pub text: String,
    /// Thread, call, file:line: as much as is known.
    #[serde(rename = "where")]
    pub place: String,
}

impl Finding {
    /// The requirement holds; `observed` says what was seen.
    pub fn pass(expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Pass,
            expected: expected.into(),
            observed: observed.into(),
            place: String::new(),
            hint: String::new(),
            notes: Vec::new(),
        }
    }

    /// The requirement was not looked at, for the reason in `observed`: a bonus that the submission does not claim.
    pub fn skip(expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skip, ..Self::pass(expected, observed) }
    }

    /// The requirement is broken.
    pub fn fail(
        expected: impl Into<String>,
        observed: impl Into<String>,
        place: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            outcome: Outcome::Fail,
            expected: expected.into(),
            observed: observed.into(),
            place: place.into(),
            hint: hint.into(),
            notes: Vec::new(),
        }
    }

    /// The harness could not tell, for the reason in `observed`.
    pub fn inconclusive(
        expected: impl Into<String>,
        observed: impl Into<String>,
        place: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { outcome: Outcome::Inconclusive, ..Self::fail(expected, observed, place, hint) }
    }
}

/// The five keys of evidence, in the order of every format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the requirement promises, with this situation's numbers.
    pub expected: String,
    /// What was seen.
    pub observed: String,
    /// Thread role and tid, system call, descriptor, file:line: as much as is known.
    #[serde(rename = "where")]
    pub place: String,
    /// What to look at next.
    pub hint: String,
    /// The one command that shows it again.
    pub again: String,
}

/// One requirement's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which requirement.
    pub id: Id,
    /// Its title, as the quest words it.
    pub title: String,
    /// The outcome.
    #[serde(rename = "verdict")]
    pub outcome: Outcome,
    /// Points earned: all or none.
    pub points: u32,
    /// Points that a pass earns.
    pub possible: u32,
    /// Wall time of the check, in milliseconds.
    pub duration_ms: u64,
    /// Why. On a pass it says what was seen; `hint` is empty then.
    pub evidence: Evidence,
    /// Remarks that decide nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}
