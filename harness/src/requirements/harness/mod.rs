//! A test harness that was handed in, let loose on servers.

use super::Source;
use crate::{
    error::{HarnessError, RunError, Trouble},
    lanes::each,
    model::Finding,
    probes::{plain::PlainServer, tracer::End},
    submission::{Program, Submission, port, sandbox::network, turn::Turn},
};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// The harness's own deadline for one run of the script on a server that does not hang.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The contract's own limit for a run, on a server with a mistake: some of them hang.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How long a process that was told to end may take for it, before it counts as left behind.
const GRACE: Duration = Duration::from_secs(2);

/// A run of the script that goes on.
pub struct Running {
    pub process: PlainServer,
    _turn: Option<Turn>,
}

/// Waits until no other harness on this machine runs a script on the network that all share. A script that knows only one port must
/// not be failed because somebody else's knows the same.
///
/// # Errors
///
/// As [`Turn::wait`].
pub fn turn() -> Result<Turn, Trouble> {
    Turn::wait("quest-script")
}

/// What came of a run of the script.
#[derive(Clone, Debug)]
pub struct Tried {
    /// How it ended; `None`: it had not by the deadline.
    pub end: Option<End>,
    /// How long it was waited for.
    pub took: Duration,
    /// The last of what it said.
    pub said: String,
    /// Processes that it left behind, by their names.
    pub processes: Vec<String>,
    /// Files that it left behind, by their names.
    pub files: Vec<String>,
}

impl Tried {
    /// Whether it passed the server (true) or failed it; `None` if it did neither.
    pub fn verdict(&self) -> Option<bool> {
        match self.end {
            Some(End::Status(0)) => Some(true),
            Some(End::Status(1)) => Some(false),
            _ => None,
        }
    }

    /// `exited with status 2`.
    pub fn how(&self) -> String {
        match self.end {
            Some(End::Status(status)) => format!("exited with status {status}"),
            Some(End::Signal(signal)) => format!("was killed by signal {signal}"),
            None => "had not ended".to_owned(),
        }
    }

    /// What is left of it, in words; empty if nothing is.
    pub fn left(&self) -> String {
        let some = |what: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
        };
        let left = [some("the processes", &self.processes), some("the files", &self.files)];
        left.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

impl Running {
    /// Starts the script on a server where it can meet nobody: in a network of its own, or when its turn has come.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or the user interrupts.
    pub fn start(script: &Program, server: &Path) -> Result<Self, Trouble> {
        if !network::is_possible() {
            return Ok(Self { _turn: Some(turn()?), ..Self::start_among_others(script, server)? });
        }
        let args = [server.display().to_string()];
        let process = PlainServer::launch_apart(script.executable(), &args, port::pick()?)?;
        Ok(Self { process, _turn: None })
    }

    /// The same on the network of this machine. Whoever does that has waited for his turn.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_among_others(script: &Program, server: &Path) -> Result<Self, Trouble> {
        let args = [server.display().to_string()];
        let process = PlainServer::launch(script.executable(), &args, port::pick()?)?;
        Ok(Self { process, _turn: None })
    }

    /// Waits until it has ended, for so long of its own time at most, and takes stock.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until_it_ends`].
    pub fn finish(mut self, deadline: Duration) -> Result<Tried, Trouble> {
        let begun = Instant::now();
        self.process.until_it_ends(deadline)?;
        self.take_stock(begun.elapsed())
    }

    fn take_stock(mut self, took: Duration) -> Result<Tried, Trouble> {
        const LINES: usize = 6;
        let end = self.process.end();
        let left = if end.is_some() { self.process.left_behind(GRACE)? } else { Vec::new() };
        let name = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned())
        };
        let files = fs::read_dir(self.process.dir()).into_iter().flatten().flatten();
        let said = format!("{}{}", self.process.stdout(), self.process.stderr());
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        Ok(Tried {
            end,
            took,
            said: lines[lines.len().saturating_sub(LINES)..].join(" / "),
            processes: left.iter().filter_map(name).collect(),
            files: files.map(|file| file.file_name().to_string_lossy().into_owned()).collect(),
        })
    }
}

/// Lets the script loose on a server until it ends.
///
/// # Errors
///
/// As [`PlainServer::until`].
pub fn try_on(script: &Program, server: &Program, deadline: Duration) -> Result<Tried, Trouble> {
    Running::start(script, server.executable())?.finish(deadline)
}

/// Lets the script loose on each of these servers, several at a time; what came of it, in their order.
///
/// # Errors
///
/// As [`PlainServer::until`].
pub fn try_each(script: &Program, sources: &[Source], deadline: Duration) -> Result<Vec<Tried>, Trouble> {
    /// A script mostly waits.
    const AT_A_TIME: usize = 5;
    each(AT_A_TIME, sources, |source| try_on(script, &build(source)?, deadline))
}

/// Builds a server; warnings do not matter.
///
/// # Errors
///
/// When it does not build, which is our fault.
pub fn build(source: &Source) -> Result<Program, Trouble> {
    let folder = tempfile::Builder::new()
        .prefix("quest-server-")
        .tempdir()
        .map_err(|e| HarnessError::system("make a folder for a server", e))?;
    for (name, bytes) in &source.files {
        let file = folder.path().join(name);
        fs::write(&file, bytes).map_err(|e| HarnessError::system(format!("write {}", file.display()), e))?;
    }
    let broken =
        |what: String| HarnessError::Broken(format!("the server {} does not build: {what}", source.name));
    let built = Submission::recognise(folder.path()).map_err(RunError::from).and_then(|it| it.build());
    built.map_err(|error| match error {
        RunError::Interrupted => Trouble::Interrupted,
        RunError::Harness(error) => error.into(),
        RunError::Submission(error) => broken(error.to_string()).into(),
    })
}

/// The finding when the script had not ended by the harness's own deadline, on a server that does not hang.
pub fn too_long(expected: &str, server: &str, tried: &Tried) -> Finding {
    Finding::inconclusive(
        expected,
        format!("on {server} the script had not ended after {} s", tried.took.as_secs()),
        format!("it said: {}", tried.said),
        "give every wait of the script a deadline; a whole run should take some seconds",
    )
}
