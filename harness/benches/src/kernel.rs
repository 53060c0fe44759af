//! The kernel's own counters of one process: system calls, context switches, memory.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::unistd::Pid;
use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};

/// Counts how often a process meets tracepoints of the kernel, in all its threads and those it starts.
pub struct CallCounter {
    /// For each tracepoint, one counter per thread.
    counters: Vec<Vec<Counter>>,
}

/// Every system call.
pub const ANY_CALL: &str = "raw_syscalls/sys_enter";
/// epoll_ctl(2).
pub const EPOLL_CTL: &str = "syscalls/sys_enter_epoll_ctl";

impl CallCounter {
    /// Prepares to count these tracepoints. Fails if the kernel does not let us.
    pub fn new(pid: Pid, tracepoints: &[&str]) -> Result<CallCounter> {
        let mut counters = Vec::new();
        for name in tracepoints {
            let mut builder = Builder::new(tracepoint(name)?);
            builder.include_kernel().inherit(true);
            let of_thread = |thread| builder.clone().observe_pid(thread).build();
            let of_all: std::io::Result<_> = threads(pid)?.into_iter().map(of_thread).collect();
            counters.push(of_all.with_context(|| format!("cannot count {name}"))?);
        }
        Ok(CallCounter { counters })
    }

    /// Fails, and says why, if the kernel does not let us count at all.
    pub fn try_once() -> Result<()> {
        CallCounter::new(Pid::this(), &[ANY_CALL, EPOLL_CTL]).map(drop)
    }

    /// Begins to count.
    pub fn enable(&mut self) -> Result<()> {
        Ok(self.counters.iter_mut().flatten().try_for_each(Counter::enable)?)
    }

    /// Stops counting.
    pub fn disable(&mut self) -> Result<()> {
        Ok(self.counters.iter_mut().flatten().try_for_each(Counter::disable)?)
    }

    /// What was counted, in the order of the tracepoints.
    pub fn read(&mut self) -> Result<Vec<u64>> {
        let sum =
            |counters: &mut Vec<Counter>| counters.iter_mut().map(|it| Ok(it.read()?)).sum::<Result<u64>>();
        self.counters.iter_mut().map(sum).collect()
    }
}

/// The number of a tracepoint.
fn tracepoint(name: &str) -> Result<Tracepoint> {
    let folders = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let read =
        |folder: &&str| fs::read_to_string(Path::new(folder).join("events").join(name).join("id")).ok();
    let id = folders
        .iter()
        .find_map(read)
        .with_context(|| format!("cannot count {name}: it takes root, and tracefs at {}", folders[0]))?;
    Ok(Tracepoint::with_id(id.trim().parse()?))
}

/// The threads of a process.
pub fn threads(pid: Pid) -> Result<Vec<i32>> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).context("the server is gone")?;
    Ok(folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// How often the threads of a process, those that still exist, gave up a processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switches {
    /// Because they had to wait for something: so often a thread slept and was woken.
    pub voluntary: u64,
    /// Because somebody else was to run.
    pub involuntary: u64,
}

impl Switches {
    /// Since the process began.
    pub fn of(pid: Pid) -> Result<Switches> {
        let mut sum = Switches::default();
        for thread in threads(pid)? {
            // It may have ended since.
            let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap_or_default();
            sum.voluntary += number_after(&status, "\nvoluntary_ctxt_switches:");
            sum.involuntary += number_after(&status, "\nnonvoluntary_ctxt_switches:");
        }
        Ok(sum)
    }
}

/// What a process has in memory, in bytes.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Memory {
    /// All resident pages.
    pub resident: u64,
    /// Those that no other process shares.
    pub private: u64,
}

impl Memory {
    /// Now, page by page: what `/proc/PID/status` says may lag behind.
    pub fn of(pid: Pid) -> Result<Memory> {
        let text =
            fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("cannot read its memory map")?;
        let kilobytes = |name| number_after(&text, name);
        let private = kilobytes("\nPrivate_Clean:") + kilobytes("\nPrivate_Dirty:");
        Ok(Memory { resident: 1024 * kilobytes("\nRss:"), private: 1024 * private })
    }
}

fn number_after(text: &str, name: &str) -> u64 {
    let rest = text.split_once(name).map_or("", |(_, rest)| rest);
    rest.split_whitespace().next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
