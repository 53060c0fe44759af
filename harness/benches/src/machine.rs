//! The machine that measures: what it is, and how much of it others take.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::time::TimeValLike;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::Serialize;

/// What belongs next to every figure.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The day of the measurement.
    pub date: String,
    /// The processor's name.
    pub processor: String,
    /// How many processors there are.
    pub cores: usize,
    /// All memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's version.
    pub kernel: String,
    /// The Rust compiler's version.
    pub rustc: String,
    /// The C compiler's version.
    pub gcc: String,
}

impl Machine {
    /// Looks at this machine. What cannot be found out is called `unknown`.
    pub fn look() -> Machine {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        let kilobytes: u64 = memory.split(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
        Machine {
            date: jiff::Zoned::now().strftime("%Y-%m-%d").to_string(),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory_mib: kilobytes / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            rustc: first_line_of("rustc").unwrap_or_else(unknown),
            gcc: first_line_of("gcc").unwrap_or_else(unknown),
        }
    }

    /// One line for a report.
    pub fn words(&self) -> String {
        format!(
            "{}; {} cores of {}; {} MiB; Linux {}; {}; {}",
            self.date, self.cores, self.processor, self.memory_mib, self.kernel, self.rustc, self.gcc
        )
    }
}

fn first_line_of(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

/// The processor time that a process and its threads, ended ones too, have taken so far, by the kernel's own clock.
pub fn cpu_time(pid: Pid) -> Option<Duration> {
    let time = clock_gettime(clock_getcpuclockid(pid).ok()?).ok()?;
    Some(Duration::from_nanos(time.num_nanoseconds() as u64))
}

/// What all processes had taken at one moment. Two of these tell how much others took in between.
#[derive(Debug)]
pub struct BusyMoment {
    by_process: HashMap<i32, Duration>,
    stolen: Duration,
}

impl BusyMoment {
    /// Looks at every process.
    pub fn now() -> BusyMoment {
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let by_process = pids.filter_map(|pid| Some((pid, cpu_time(Pid::from_raw(pid))?))).collect();
        BusyMoment { by_process, stolen: stolen() }
    }

    /// The processor time that all processes but `ours` have taken since `earlier`, and what the hypervisor took for
    /// other machines. A process that both began and ended in between is not seen.
    pub fn others_since(&self, earlier: &BusyMoment, ours: &[Pid]) -> Duration {
        let others = self.by_process.iter().filter(|(pid, _)| !ours.contains(&Pid::from_raw(**pid)));
        let taken = others
            .map(|(pid, now)| now.saturating_sub(earlier.by_process.get(pid).copied().unwrap_or_default()));
        taken.sum::<Duration>() + self.stolen.saturating_sub(earlier.stolen)
    }
}

/// Time that the hypervisor gave to somebody else, of all processors, since the start; in steps of 10 ms.
fn stolen() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let steal = text.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse().ok());
    Duration::from_millis(10 * steal.unwrap_or(0_u64))
}
