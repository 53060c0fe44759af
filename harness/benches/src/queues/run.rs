//! Runs the processes that measure one queue each.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;

use super::case::{Case, Cores, Queue};
use super::sample::Sample;
use crate::children::TRAMPOLINE;
use crate::context::Context;
use crate::machine::BusyMoment;
use crate::servers::{C_COMPILER, compile};

/// The programs that measure.
pub struct Programs {
    /// Measures each queue that is written in Rust.
    queue: PathBuf,
    /// Measures the ring of lesson 01.
    ring: PathBuf,
    last_core: usize,
}

impl Programs {
    /// Builds the one in C. Fails if the compiler does.
    pub fn build(context: &Context) -> Result<Programs> {
        let queue = std::env::current_exe()?.with_file_name("queue");
        ensure!(queue.is_file(), "{} is not built", queue.display());
        let ring = context.in_results("c-ring");
        let lesson = context.in_repository("quests/01-task-queue");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-I"])
            .arg(lesson.join("starter"))
            .arg("-o")
            .args([&ring, &context.in_repository("harness/benches/peers/c-ring/main.c")])
            .arg(lesson.join("solution/task_queue.c"));
        compile(&mut gcc, C_COMPILER)?;
        Ok(Programs { queue, ring, last_core: context.machine.cores - 1 })
    }

    /// Measures once. Fails if the queue lost a task.
    pub fn measure(&self, queue: Queue, case: Case, length: Duration) -> Result<Sample> {
        let begin = (Instant::now(), BusyMoment::now());
        let output = self.command(queue, case, length)?.output().context("cannot start a process")?;
        let others = BusyMoment::now().others_since(&begin.1, &[Pid::this()]);
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}; {}", queue.title(), output.status, said.trim());
        let mut sample: Sample = String::from_utf8_lossy(&output.stdout).parse()?;
        sample.others = match case.cores {
            Cores::One => sample.missing(),
            Cores::All => others.as_secs_f64() / begin.0.elapsed().as_secs_f64(),
        };
        Ok(sample)
    }

    /// On its processors, and for no longer than this process lives.
    fn command(&self, queue: Queue, case: Case, length: Duration) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(TRAMPOLINE).arg(match case.cores {
            Cores::One => self.last_core.to_string(),
            Cores::All => String::new(),
        });
        match queue {
            Queue::CRing => command.arg(&self.ring),
            _ => command.arg(&self.queue).arg(queue.name()),
        };
        let numbers = [case.capacity, case.consumers, length.as_millis() as usize, case.pause];
        command.args(numbers.map(|number| number.to_string()));
        command.stdin(Stdio::null());
        Ok(command)
    }
}
