//! What every section is given: the options, the machine, the folders, and how to show progress.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Options;
use crate::machine::Machine;

/// What every section is given.
pub struct Context {
    /// The command line.
    pub options: Options,
    /// This machine.
    pub machine: Machine,
}

impl Context {
    /// Makes the folder for the results. Fails if that cannot be done.
    pub fn new(mut options: Options) -> Result<Context> {
        let whole =
            |path: &Path| fs::canonicalize(path).with_context(|| format!("{} is not there", path.display()));
        fs::create_dir_all(options.target.join("bench"))
            .with_context(|| format!("cannot make {}/bench", options.target.display()))?;
        options.root = whole(&options.root)?;
        options.target = whole(&options.target)?;
        Ok(Context { options, machine: Machine::look() })
    }

    /// A file or folder of the repository.
    pub fn in_repository(&self, path: &str) -> PathBuf {
        self.options.root.join(path)
    }

    /// A file in the folder of the results, `target/bench`.
    pub fn in_results(&self, name: &str) -> PathBuf {
        self.options.target.join("bench").join(name)
    }

    /// A line on a terminal's stderr that tells how far `steps` steps have come; nothing elsewhere.
    pub fn progress(&self, what: &str, steps: usize) -> ProgressBar {
        let style = ProgressStyle::with_template("{prefix:>12} [{pos}/{len}] {wide_msg}");
        let bar = ProgressBar::new(steps as u64).with_prefix(what.to_owned());
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.tick();
        bar
    }
}
