//! All verdicts of one submission.

use super::{Outcome, Verdict};
use serde::{Deserialize, Serialize};

/// The version of the run's serialised form. It grows when a key changes its meaning or goes away.
pub const FORMAT_VERSION: u32 = 1;

/// Points over the verdicts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Points earned.
    pub earned: u32,
    /// Points that could be earned.
    pub possible: u32,
}

/// All verdicts of one submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The quest's id, such as `07-pool-server`.
    pub quest: String,
    /// The submission as the user named it.
    pub submission: String,
    /// The seed of everything random in the run.
    pub seed: u64,
    /// Points over `verdicts`.
    pub score: Score,
    /// One verdict per requirement, in the order of the ids.
    pub verdicts: Vec<Verdict>,
}

impl Run {
    /// A run from its verdicts; the score is computed from them.
    pub fn new(quest: String, submission: String, seed: u64, mut verdicts: Vec<Verdict>) -> Self {
        verdicts.sort_by_key(|verdict| verdict.id);
        let score = Score {
            earned: verdicts.iter().map(|v| v.points).sum(),
            possible: verdicts.iter().map(|v| v.possible).sum(),
        };
        Self { format_version: FORMAT_VERSION, quest, submission, seed, score, verdicts }
    }

    /// How many verdicts have this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.verdicts.iter().filter(|v| v.outcome == outcome).count()
    }
}
