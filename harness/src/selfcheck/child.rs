//! One `quest check` in a process of its own.

use super::{Graded, fingerprint};
use crate::{
    error::{HarnessError, RunError},
    model::Run,
    submission::command::{Ended, run},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// A program that takes longer has made the harness hang.
const DEADLINE: Duration = Duration::from_secs(900);

/// Who grades: the `quest` executable and the seed that it is given.
#[derive(Clone, Debug)]
pub struct Grader {
    executable: PathBuf,
    seed: u64,
}

impl Grader {
    /// `executable` is a `quest`.
    pub fn new(executable: PathBuf, seed: u64) -> Self {
        Self { executable, seed }
    }

    /// The seed of every check.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The same with another seed.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }

    pub(super) fn fingerprint(&self) -> Result<String, HarnessError> {
        fingerprint::of_harness(&self.executable, self.seed)
    }

    /// Checks the submission at this path.
    ///
    /// # Errors
    ///
    /// When the check cannot be started, or the user interrupts. A check that ends without a report is [`Graded::trouble`].
    pub fn grade(&self, path: &Path) -> Result<Graded, RunError> {
        let started = Instant::now();
        let room = tempfile::Builder::new().prefix("quest-graded-").tempdir();
        let room = room.map_err(|e| HarnessError::system("make a folder for a report", e))?;
        let report = room.path().join("report.json");
        let mut command = Command::new(&self.executable);
        command.arg("check").arg(path).args(["--color", "never", "--format", "json", "--out"]).arg(&report);
        command.args(["--seed", &self.seed.to_string()]);
        // One that must be killed, on Ctrl-C or at the deadline, would leave its folders behind.
        command.env("TMPDIR", room.path());
        let (ended, words) = run(command, DEADLINE)?;
        let took = started.elapsed();
        let trouble = match ended {
            Ended::TimeUp => format!("it was not done after {} s", DEADLINE.as_secs()),
            Ended::Exit(status) => match fs::read(&report) {
                Ok(text) => match serde_json::from_slice::<Run>(&text) {
                    Ok(run) => return Ok(Graded::of_run(&run, took)),
                    Err(error) => format!("its report cannot be read: {error}"),
                },
                Err(_) => format!("{status}: {}", words.trim()),
            },
        };
        Ok(Graded::none(trouble, took))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::launch::nobody_forks;
    use std::{io::Write, os::unix::fs::OpenOptionsExt};

    #[test]
    fn what_a_killed_check_leaves_behind_goes_with_its_room() {
        let folder = tempfile::tempdir().unwrap();
        let quest = folder.path().join("quest");
        {
            // A child with a copy of the descriptor would make it a file that is being written, which cannot be run.
            let _guard = nobody_forks();
            let mut file =
                fs::OpenOptions::new().create_new(true).write(true).mode(0o755).open(&quest).unwrap();
            file.write_all(b"#!/bin/sh\n: >$TMPDIR/left\nls -d $TMPDIR/left\nkill -9 $$\n").unwrap();
        }
        let trouble = Grader::new(quest, 1).grade(Path::new("submission")).unwrap().trouble.unwrap();
        let left = trouble.split_whitespace().find(|word| word.ends_with("/left")).expect(&trouble);
        assert!(!Path::new(left).exists() && !Path::new(left).parent().unwrap().exists(), "{left}");
    }
}
