//! From a path to a program that can be started.
//!
//! [`Submission::recognise`] says which kind of submission a path is, or what is wrong with it. [`Submission::build`] makes a
//! [`Program`] of it in a private copy: the folder that was handed in is never written to.

mod build;
pub mod captured;
pub(crate) mod command;
mod copy;
mod elf;
pub mod launch;
mod part;
pub mod port;
pub mod process;
mod recognise;
pub mod sandbox;
pub mod turn;

pub use part::Parts;

use crate::error::{RunError, SubmissionError};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder of C sources.
    CSources,
    /// A Cargo package whose binary is `pool_server`.
    Cargo,
    /// An executable file.
    Executable,
    /// A shell script that tests servers.
    Script,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CSources => "C sources",
            Self::Cargo => "Cargo package",
            Self::Executable => "executable",
            Self::Script => "test harness",
        })
    }
}

/// A path that is known to be a submission; nothing is built yet.
#[derive(Clone, Debug)]
pub struct Submission {
    given: PathBuf,
    path: PathBuf,
    kind: Kind,
    /// What is asked for and what is given, if it is a part of a program.
    parts: Option<Parts>,
}

impl Submission {
    /// Looks at `path` and says what it is.
    ///
    /// # Errors
    ///
    /// Each of these is told apart and worded for the person who handed it in: no such path, nothing readable, an empty
    /// folder, a folder with two candidates or none, a file without the run bit or for another machine.
    pub fn recognise(path: &Path) -> Result<Self, SubmissionError> {
        let kind = recognise::kind_of(path)?;
        let absolute = path
            .canonicalize()
            .map_err(|source| SubmissionError::Unreadable { path: path.to_owned(), source })?;
        Ok(Self { given: path.to_owned(), path: absolute, kind, parts: None })
    }

    /// The same, shown to people under another path: it was put together from what lies there.
    #[must_use]
    pub fn shown_as(self, given: &Path) -> Self {
        Self { given: given.to_owned(), ..self }
    }

    /// Builds it, in a private copy that lives as long as the [`Program`].
    ///
    /// # Errors
    ///
    /// [`SubmissionError::Build`] with the compiler's own words; or the harness could not do its part (no compiler, no room).
    pub fn build(&self) -> Result<Program, RunError> {
        build::build(self)
    }

    /// The path as it was given.
    pub fn given(&self) -> &Path {
        &self.given
    }

    /// The same path, absolute and without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// A built submission: an executable that can be started as often as needed. Its private build folder goes with it.
#[derive(Debug)]
pub struct Program {
    executable: PathBuf,
    kind: Kind,
    source_folder: Option<PathBuf>,
    exact: Option<ExactBuild>,
    _build: Option<tempfile::TempDir>,
}

impl Program {
    /// The executable.
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// What it was built from.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The private copy of the sources that was compiled: the folder that the debug information names. File names relative to
    /// it are those of the folder that was handed in. `None` for an executable.
    pub fn source_folder(&self) -> Option<&Path> {
        self.source_folder.as_deref()
    }

    /// How the exact command of the contract went. `None` where there is no C to build.
    pub fn exact_build(&self) -> Option<&ExactBuild> {
        self.exact.as_ref()
    }
}

/// The build of C sources with the exact command of the contract.
#[derive(Debug)]
pub struct ExactBuild {
    command: String,
    words: Option<String>,
    cut: bool,
    includes: PathBuf,
}

impl ExactBuild {
    /// The command, as a shell takes it.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// What the compiler said if it failed, with the file names of the folder that was handed in; the program was then built
    /// without minding warnings. `None` if the command succeeded.
    pub fn complaints(&self) -> Option<&str> {
        self.words.as_deref()
    }

    /// Whether it said more than was kept.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The file in which the compiler wrote down, as rules for make, which headers it read.
    pub fn includes(&self) -> &Path {
        &self.includes
    }
}
