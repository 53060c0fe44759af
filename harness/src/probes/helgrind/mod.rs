//! Helgrind, Valgrind's detector of data races: runs a server under it and reads what it found.

mod xml;

pub use xml::{Access, Frame, Race};

use super::plain::PlainServer;
use crate::{
    error::HarnessError,
    submission::{Program, launch::nobody_forks, port::Port},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Helgrind is twenty to a hundred times slower than the bare program.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// A server under Helgrind.
#[derive(Debug)]
pub struct Helgrind {
    /// The server, which answers as the bare one does.
    pub server: PlainServer,
    report: tempfile::NamedTempFile,
}

impl Helgrind {
    /// Starts the program under Helgrind.
    ///
    /// # Errors
    ///
    /// When Valgrind is not there or cannot be started.
    pub fn launch(program: &Program, args: &[String], port: Port) -> Result<Self, HarnessError> {
        let valgrind =
            find("valgrind").ok_or_else(|| HarnessError::Broken("valgrind is not installed".to_owned()))?;
        let report = tempfile::Builder::new()
            .prefix("quest-helgrind-")
            .suffix(".xml")
            .tempfile()
            .map_err(|e| HarnessError::system("make a file for Helgrind's report", e))?;
        let mut all = vec![
            "--tool=helgrind".to_owned(),
            "--xml=yes".to_owned(),
            format!("--xml-file={}", report.path().display()),
            // Threads take turns in the order in which they asked: more interleavings, and the same ones more often.
            "--fair-sched=try".to_owned(),
            "--num-callers=16".to_owned(),
            "--error-limit=no".to_owned(),
            "--vgdb=no".to_owned(),
            program.executable().display().to_string(),
        ];
        all.extend_from_slice(args);
        Ok(Self { server: PlainServer::launch(&valgrind, &all, port)?, report })
    }

    /// What it found so far; all of it when the server has ended.
    ///
    /// # Errors
    ///
    /// When the report is not the XML that Valgrind writes.
    pub fn races(&self) -> Result<Vec<Race>, HarnessError> {
        let text = fs::read_to_string(self.report.path())
            .map_err(|e| HarnessError::system("read Helgrind's report", e))?;
        xml::races(&text)
    }
}

/// Whether Helgrind works here; its version.
///
/// # Errors
///
/// What is missing, in words.
pub fn usable() -> Result<String, String> {
    let valgrind = find("valgrind").ok_or("valgrind is not installed")?;
    let version = output(&valgrind, &["--version"]).map_err(|e| format!("valgrind does not run: {e}"))?;
    // Without glibc's debug symbols Valgrind starts, prints a long text about redirections and gives up.
    output(&valgrind, &["--tool=helgrind", "-q", "true"]).map_err(|e| {
        format!("helgrind does not run (are glibc's debug symbols, libc6-dbg, installed?): {e}")
    })?;
    Ok(version.trim().to_owned())
}

fn output(program: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let guard = nobody_forks();
    let child = command.spawn().map_err(|e| e.to_string())?;
    drop(guard);
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed").to_owned())
    }
}

/// The first executable of this name on the `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
