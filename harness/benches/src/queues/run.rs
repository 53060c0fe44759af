//! Runs the processes that measure one queue each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, getpid};
use tempfile::TempDir;

use super::case::{Case, Cores, Queue};
use super::sample::Sample;
use crate::context::Context;
use crate::machine::BusyMoment;

/// The programs that measure.
pub struct Programs {
    /// Measures each queue that is written in Rust.
    queue: PathBuf,
    /// Measures the ring of lesson 01.
    ring: PathBuf,
    /// Holds `ring`.
    _folder: TempDir,
}

impl Programs {
    /// Builds the one in C. Fails if the compiler does.
    pub fn build(context: &Context) -> Result<Programs> {
        let queue = std::env::current_exe()?.with_file_name("queue");
        ensure!(queue.is_file(), "{} is not built", queue.display());
        let folder = tempfile::Builder::new().prefix("pool-bench-").tempdir()?;
        let ring = folder.path().join("ring");
        let lesson = context.in_repository("quests/01-task-queue");
        let gcc = Command::new("gcc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-I"])
            .arg(lesson.join("starter"))
            .arg("-o")
            .args([&ring, &context.in_repository("harness/benches/peers/c-ring/main.c")])
            .arg(lesson.join("solution/task_queue.c"))
            .output()
            .context("cannot run gcc")?;
        ensure!(gcc.status.success(), "gcc says: {}", String::from_utf8_lossy(&gcc.stderr));
        Ok(Programs { queue, ring, _folder: folder })
    }

    /// Measures once; `None` if other processes took more than `disturbed` of the time (0 to 1). Fails if the queue lost a task.
    pub fn measure(
        &self,
        queue: Queue,
        case: Case,
        length: Duration,
        disturbed: f64,
    ) -> Result<Option<Sample>> {
        let mut command = match queue {
            Queue::CRing => Command::new(&self.ring),
            _ => Command::new(&self.queue),
        };
        command.args((queue != Queue::CRing).then(|| queue.name()));
        let numbers = [case.capacity, case.consumers, length.as_millis() as usize, case.pause];
        command.args(numbers.map(|number| number.to_string()));

        let (begin, before) = (Instant::now(), BusyMoment::now());
        let output = match case.cores {
            Cores::All => command.output(),
            Cores::One => on_the_last_core(|| command.output())?,
        };
        let output = output.with_context(|| format!("cannot run {}", program(&command).display()))?;
        let others = BusyMoment::now().others_since(&before, &[getpid()]);
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}; {}", queue.name(), output.status, said.trim());
        let sample: Sample = String::from_utf8_lossy(&output.stdout).parse()?;
        let taken = match case.cores {
            Cores::One => sample.missing(),
            Cores::All => others.as_secs_f64() / begin.elapsed().as_secs_f64(),
        };
        Ok((taken <= disturbed).then_some(sample))
    }
}

fn program(command: &Command) -> &Path {
    Path::new(command.get_program())
}

/// Does something on one core only; processes that it starts stay there.
fn on_the_last_core<T>(act: impl FnOnce() -> T) -> Result<T> {
    let this_thread = Pid::from_raw(0);
    let all = sched_getaffinity(this_thread)?;
    let last = (0..CpuSet::count()).rev().find(|core| all.is_set(*core).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.context("there is no core to run on")?)?;
    sched_setaffinity(this_thread, &one)?;
    let result = act();
    sched_setaffinity(this_thread, &all)?;
    Ok(result)
}
