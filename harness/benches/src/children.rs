//! Processes that were started here end here: with the value that owns them, on Ctrl-C, and when the benchmark dies.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The first argument with which this program becomes another one, as [`become_another`] says.
pub const TRAMPOLINE: &str = "--start-a-server-on";

static RUNNING: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// A running process. Dropping it kills the process.
pub struct Child {
    process: std::process::Child,
}

impl Child {
    /// Starts `command` on these processors (all if there are none), with as many descriptors as it may have. It does
    /// not outlive the thread that calls this.
    pub fn start(command: &Command, processors: &[usize]) -> Result<Child> {
        let list: Vec<String> = processors.iter().map(usize::to_string).collect();
        // This program itself, even if its file has been replaced since.
        let mut through = Command::new("/proc/self/exe");
        through.arg(TRAMPOLINE).arg(list.join(",")).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            through.env(name, value.unwrap_or_default());
        }
        through.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let process = through.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        running().push(process.id() as i32);
        Ok(Child { process })
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id() as i32)
    }

    /// What it said on stderr if it has ended; `None` while it runs.
    pub fn last_words(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok()??;
        let mut words = String::new();
        if let Some(stderr) = &mut self.process.stderr {
            let _ = stderr.read_to_string(&mut words);
        }
        Some(format!("{status}: {}", words.trim()))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        running().retain(|&pid| pid != self.process.id() as i32);
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<i32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on Ctrl-C and SIGTERM kill all that was started, and end this program with status 130.
pub fn end_on_interrupt() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot watch for Ctrl-C")?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            for &pid in running().iter() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            anstream::eprintln!("\nstopped; nothing that was started is left");
            std::process::exit(130);
        }
    });
    Ok(())
}

/// Becomes the program in `arguments`, whose first one lists its processors, and dies when its parent does. Returns
/// only if that fails.
pub fn become_another(arguments: &[String]) -> Result<()> {
    let [processors, program, rest @ ..] = arguments else { bail!("no program") };
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    raise_descriptor_limit()?;
    pin_to(&processors.split(',').flat_map(str::parse).collect::<Vec<_>>())?;
    Err(Command::new(program).args(rest).exec()).with_context(|| format!("cannot start {program}"))
}

/// Allows this process as many descriptors as the system lets it have; says how many.
pub fn raise_descriptor_limit() -> Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

/// Keeps this thread on these processors. With none of them named, nothing changes.
pub fn pin_to(processors: &[usize]) -> Result<()> {
    if processors.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &processor in processors {
        set.set(processor)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot choose the processors to run on")
}
