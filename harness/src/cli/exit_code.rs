//! The exit status of every `quest` command: one enum, documented here and in `docs/report-format.md`.

use crate::{
    error::{RunError, SubmissionError},
    interrupt,
    model::{Outcome, Run},
    runner::is_required,
};
use std::process;

/// How a `quest` command ended. When several hold for a run, the order is `OwnFault`, `Failed`, `Inconclusive`, `Passed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything required passed (R and C; with `--strict` also H). Bonuses never matter.
    Passed = 0,
    /// Something required failed.
    Failed = 1,
    /// The command line is wrong: unknown option, id or quest, or the path is not a submission.
    Usage = 2,
    /// The submission does not build.
    DoesNotBuild = 3,
    /// The harness itself failed, or could not write the report.
    OwnFault = 4,
    /// Nothing required failed, but something required could not be judged; `quest doctor`: something is missing.
    Inconclusive = 5,
    /// Interrupted by Ctrl-C, SIGTERM or SIGHUP.
    Interrupted = interrupt::EXIT_STATUS as u8,
}

/// The same for `--help`.
pub(super) const HELP: &str = "\
Exit status:
  0    everything required passed
  1    something required failed
  2    wrong usage, or the path is not a submission
  3    the submission does not build
  4    the harness itself failed, or the report could not be written
  5    something required could not be judged
  130  interrupted";

/// Those of commands that grade no submission of their own.
pub(super) const HELP_OTHERS: &str = "  2    wrong usage
  4    the harness itself failed, or a report could not be written
  130  interrupted";

impl ExitCode {
    /// The exit code of a complete run.
    pub fn of_run(run: &Run, strict: bool) -> Self {
        let required =
            |outcome| run.verdicts.iter().any(|v| v.outcome == outcome && is_required(v.id, strict));
        if run.count(Outcome::Error) > 0 {
            Self::OwnFault
        } else if required(Outcome::Fail) {
            Self::Failed
        } else if required(Outcome::Inconclusive) {
            Self::Inconclusive
        } else {
            Self::Passed
        }
    }

    /// The exit code when there is no run.
    pub fn of_error(error: &RunError) -> Self {
        match error {
            RunError::Submission(SubmissionError::Build { .. }) => Self::DoesNotBuild,
            RunError::Submission(_) => Self::Usage,
            RunError::Harness(_) => Self::OwnFault,
            RunError::Interrupted => Self::Interrupted,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Evidence, Verdict};

    fn code(strict: bool, outcomes: &[(&str, Outcome)]) -> ExitCode {
        let verdict = |&(id, outcome): &(&str, Outcome)| Verdict {
            id: id.parse().unwrap(),
            title: String::new(),
            outcome,
            points: 0,
            possible: 0,
            duration_ms: 0,
            evidence: Evidence {
                expected: String::new(),
                observed: String::new(),
                place: String::new(),
                hint: String::new(),
                again: String::new(),
            },
            notes: Vec::new(),
        };
        let verdicts = outcomes.iter().map(verdict).collect();
        ExitCode::of_run(&Run::new(String::new(), String::new(), 1, verdicts), strict)
    }

    #[test]
    fn the_worst_required_verdict_decides() {
        assert_eq!(code(false, &[("R1", Outcome::Pass), ("C1", Outcome::Pass)]), ExitCode::Passed);
        assert_eq!(code(false, &[("R1", Outcome::Fail), ("R2", Outcome::Inconclusive)]), ExitCode::Failed);
        assert_eq!(code(false, &[("R1", Outcome::Fail), ("R2", Outcome::Error)]), ExitCode::OwnFault);
        assert_eq!(
            code(false, &[("C1", Outcome::Inconclusive), ("R1", Outcome::Pass)]),
            ExitCode::Inconclusive
        );
        assert_eq!(code(false, &[]), ExitCode::Passed);
    }

    #[test]
    fn bonuses_never_matter_and_hardening_only_when_strict() {
        assert_eq!(code(true, &[("B1", Outcome::Fail), ("B2", Outcome::Inconclusive)]), ExitCode::Passed);
        assert_eq!(code(false, &[("H1", Outcome::Fail)]), ExitCode::Passed);
        assert_eq!(code(true, &[("H1", Outcome::Fail)]), ExitCode::Failed);
    }

    #[test]
    fn the_help_names_every_code() {
        use ExitCode::{DoesNotBuild, Failed, Inconclusive, Interrupted, OwnFault, Passed, Usage};
        for code in [Passed, Failed, Usage, DoesNotBuild, OwnFault, Inconclusive, Interrupted] {
            assert!(HELP.contains(&format!("\n  {} ", code as u8)), "{code:?}");
        }
    }
}
