//! The two tiers of errors: what is wrong with what was handed in, and what went wrong in the harness itself.

use crate::model::Finding;
use std::path::PathBuf;

/// Something is wrong with the path that was given, before anything could be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmissionError {
    /// The path does not exist.
    #[error("no such file or folder: {0}")]
    NotFound(PathBuf),
    /// The path exists, but cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The path is none of the three kinds of submission, or more than one; the text says what was found and what to do.
    #[error("{0}")]
    NotASubmission(String),
    /// It does not build; the compiler's own words.
    #[error("{summary}\n{output}")]
    Build {
        /// One line: which command failed and how.
        summary: String,
        /// What the compiler said, bounded, with the paths of the folder that was handed in.
        output: String,
    },
}

/// The harness itself failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// A system call of the harness failed.
    #[error("{doing}: {source}")]
    System {
        /// What the harness was doing.
        doing: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Something that must be there is not, or data is not as it must be.
    #[error("{0}")]
    Broken(String),
}

impl HarnessError {
    /// Wraps a failed system call with what the harness was doing.
    pub fn system(doing: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::System { doing: doing.into(), source: source.into() }
    }
}

/// Why an observation ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The observation is decided already, by something that is not its subject (the server did not start, say).
    #[error("{}", .0.observed)]
    Decided(Box<Finding>),
    /// The harness failed.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// The user asked to stop (Ctrl-C, SIGTERM).
    #[error("interrupted")]
    Interrupted,
}

/// Why there is no run at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// What was handed in is not a submission, or does not build.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// The harness failed.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// The user asked to stop (Ctrl-C, SIGTERM).
    #[error("interrupted")]
    Interrupted,
}
