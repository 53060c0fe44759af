//! Runs a command, mostly a compiler: bounded output, a deadline, and nothing of it left behind.

use super::launch;
use crate::{
    error::{HarnessError, RunError},
    interrupt,
};
use nix::{
    poll::{PollFd, PollFlags, poll},
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use std::{
    io::{self, PipeReader, Read},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// What a compiler may say before the rest is thrown away.
pub(crate) const OUTPUT_LIMIT: usize = 1 << 20;
/// How often a compiler whose output is held open by a process it left behind is asked whether it has ended.
const ASK_EVERY_MS: u16 = 50;

/// How long a command that is asked to end may take for it.
const GRACE: Duration = Duration::from_secs(5);

/// How a command ended.
pub(crate) enum Ended {
    /// By itself.
    Exit(ExitStatus),
    /// It was killed when its time was up.
    TimeUp,
}

/// Runs `command` in its own process group and answers with how it ended and what it said (stdout and stderr in one).
/// Whatever is left of the group is killed: at the deadline, on an interruption, and also after a normal end.
pub(crate) fn run(mut command: Command, deadline: Duration) -> Result<(Ended, String), RunError> {
    let program = command.get_program().display().to_string();
    let failed = |what: &str, source: io::Error| HarnessError::system(format!("{what} {program}"), source);
    let (mut reader, writer) = io::pipe().map_err(|e| failed("making a pipe for", e))?;
    let second = writer.try_clone().map_err(|e| failed("making a pipe for", e))?;
    command.stdin(Stdio::null()).stdout(writer).stderr(second).process_group(0);
    // It has become the other program, and holds no copies of our descriptors, when `spawn` returns.
    let spawned = {
        let _guard = launch::nobody_forks();
        command.spawn()
    };
    let mut group = Group(spawned.map_err(|e| failed("starting", e))?);
    // The command holds the writing ends of the pipe; with them the end of its output would never come.
    drop(command);

    let end = Instant::now() + deadline;
    let mut output = Vec::new();
    let mut open = true;
    while open {
        if group.has_ended()? {
            break;
        }
        if Instant::now() >= end {
            return Ok((Ended::TimeUp, text(&output)));
        }
        open = read_some(&mut reader, &mut output, ASK_EVERY_MS)?;
    }
    while open && ready(&reader, 0)? {
        open = read_some(&mut reader, &mut output, 0)?;
    }
    // The pipe may be closed a moment before the end of the process.
    while !group.has_ended()? {
        if Instant::now() >= end {
            return Ok((Ended::TimeUp, text(&output)));
        }
        ready_or_interrupted(None, ASK_EVERY_MS)?;
    }
    group.kill();
    let status = group.0.wait().map_err(|e| failed("waiting for", e))?;
    Ok((Ended::Exit(status), text(&output)))
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Reads once if there is something within `milliseconds`; `false` at the end of the stream.
fn read_some(reader: &mut PipeReader, output: &mut Vec<u8>, milliseconds: u16) -> Result<bool, RunError> {
    if !ready(reader, milliseconds)? {
        return Ok(true);
    }
    let mut buffer = [0; 8192];
    let count =
        reader.read(&mut buffer).map_err(|e| HarnessError::system("reading a compiler's output", e))?;
    output.extend_from_slice(&buffer[..count.min(OUTPUT_LIMIT.saturating_sub(output.len()))]);
    Ok(count > 0)
}

fn ready(reader: &PipeReader, milliseconds: u16) -> Result<bool, RunError> {
    ready_or_interrupted(Some(reader), milliseconds)
}

fn ready_or_interrupted(reader: Option<&PipeReader>, milliseconds: u16) -> Result<bool, RunError> {
    let mut fds = vec![PollFd::new(interrupt::fd()?, PollFlags::POLLIN)];
    fds.extend(reader.map(|reader| PollFd::new(reader.as_fd(), PollFlags::POLLIN)));
    match poll(&mut fds, milliseconds) {
        Ok(_) | Err(nix::Error::EINTR) => {}
        Err(error) => return Err(HarnessError::system("waiting for a compiler", error).into()),
    }
    if interrupt::requested() {
        return Err(RunError::Interrupted);
    }
    Ok(fds.get(1).is_some_and(|fd| fd.any().unwrap_or(true)))
}

/// A child that leads its own process group, which does not outlive this value.
struct Group(Child);

impl Group {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    /// Has the leader ended? It is not reaped yet, so the number of the group stays ours until [`Group::kill`].
    fn has_ended(&mut self) -> Result<bool, HarnessError> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid()), flags) {
            Ok(WaitStatus::StillAlive) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) => Err(HarnessError::system("waiting for a compiler", error)),
        }
    }

    fn kill(&self) {
        // Fails only when the group is gone, which is what is wanted.
        let _ = killpg(self.pid(), Signal::SIGKILL);
    }

    /// Asks the group to end, and gives the leader a moment to clean up behind itself.
    fn ask_to_end(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGTERM);
        let end = Instant::now() + GRACE;
        while Instant::now() < end && matches!(self.has_ended(), Ok(false)) {
            // Nothing tells of its end but asking; the user has been heard, so nothing interrupts this.
            let _ = poll(&mut [], 10_u8);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.ask_to_end();
            self.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_of_both_kinds_arrives_in_order_with_the_status() {
        let (ended, output) = run(shell("echo a; echo b >&2; exit 3"), Duration::from_secs(20)).unwrap();
        assert!(matches!(ended, Ended::Exit(status) if status.code() == Some(3)));
        assert_eq!(output, "a\nb\n");
    }

    #[test]
    fn a_command_that_does_not_end_is_killed_with_all_its_children() {
        let started = Instant::now();
        let (ended, output) =
            run(shell("sleep 1000 & echo $!; exec 2>&- >&-; wait"), Duration::from_millis(300)).unwrap();
        assert!(matches!(ended, Ended::TimeUp) && started.elapsed() < Duration::from_secs(20));
        assert!(gone(output.trim()), "{output}");
    }

    #[test]
    fn what_a_command_leaves_behind_is_killed_too() {
        let (ended, output) = run(shell("sleep 1000 & echo $!"), Duration::from_secs(20)).unwrap();
        assert!(matches!(ended, Ended::Exit(status) if status.success()));
        assert!(gone(output.trim()), "{output}");
    }

    #[test]
    fn memory_is_limited_if_asked() {
        let mut limited = shell("ulimit -v");
        launch::limit_memory(&mut limited, 1 << 30);
        let (_, output) = run(limited, Duration::from_secs(20)).unwrap();
        assert_eq!(output, "1048576\n");
    }

    #[test]
    fn more_output_than_fits_is_dropped_but_read() {
        let (_, output) = run(shell("yes | head -c 3000000"), Duration::from_secs(20)).unwrap();
        assert_eq!(output.len(), OUTPUT_LIMIT);
    }

    /// A killed process needs a moment to die, and may stay as a zombie until its new parent looks after it.
    fn gone(pid: &str) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") || stat.contains(") X ") {
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            std::thread::yield_now();
        }
    }
}
