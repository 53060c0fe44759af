//! From a program to a process of its own group, of which nothing is left when it is dropped.

#![allow(unsafe_code)]

use crate::error::HarnessError;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        resource::{Resource, setrlimit},
        signal::{
            SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, killpg, sigaction, sigprocmask,
        },
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, read, setpgid},
};
use seccompiler::{BpfProgram, apply_filter};
use std::{
    convert::Infallible,
    ffi::{CString, OsStr, c_char},
    fs::File,
    io::{self, Read},
    os::{fd::AsFd, fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

/// The exit status of a child that could not become the program; the error number stands in for it where it fits.
pub const EXEC_FAILED: i32 = 126;

/// How much of a server's output is kept: this many bytes of its beginning and as many of its end.
const KEPT_OUTPUT: usize = 16 * 1024;

/// What to start, and in which surroundings.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The executable.
    pub program: &'a Path,
    /// Its arguments, without its name.
    pub args: &'a [String],
    /// Its whole environment.
    pub env: &'a [(String, String)],
    /// Its working folder.
    pub dir: &'a Path,
    /// The filter that it runs under. It is in force only after [`Process::go`], when a tracer should be there.
    pub filter: Option<&'a BpfProgram>,
}

/// A started process and what it printed. Dropped, it is killed with its whole group and reaped.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    start: Option<OwnedFd>,
    reaped: bool,
    /// What it printed on its standard output.
    pub stdout: Captured,
    /// What it printed on its standard error.
    pub stderr: Captured,
}

impl Launch<'_> {
    /// Makes the process. It waits until [`Process::go`].
    ///
    /// # Errors
    ///
    /// When there is no room for another process or pipe.
    pub fn spawn(&self) -> Result<Process, HarnessError> {
        let failed = |e: io::Error| HarnessError::system(format!("start {}", self.program.display()), e);
        // All that needs memory is made before the fork: the child of a process with threads may not allocate.
        let program = c_string(self.program.as_os_str()).map_err(failed)?;
        let mut argv = vec![program.clone()];
        for arg in self.args {
            argv.push(c_string(OsStr::new(arg)).map_err(failed)?);
        }
        let mut envp = Vec::new();
        for (name, value) in self.env {
            envp.push(c_string(OsStr::new(&format!("{name}={value}"))).map_err(failed)?);
        }
        let dir = c_string(self.dir.as_os_str()).map_err(failed)?;
        let null = OwnedFd::from(File::open("/dev/null").map_err(failed)?);
        let (wait, start) = pipe().map_err(failed)?;
        let (out, child_out) = pipe().map_err(failed)?;
        let (err, child_err) = pipe().map_err(failed)?;
        let child = Child {
            program: &program,
            argv: pointers(&argv),
            envp: pointers(&envp),
            dir: &dir,
            filter: self.filter,
            wait: &wait,
            stdio: [&null, &child_out, &child_err],
        };
        // SAFETY: until it is another program, the child calls only async-signal-safe functions (see `Child::become_program`).
        match unsafe { fork() }.map_err(|e| failed(e.into()))? {
            ForkResult::Child => child.run(),
            ForkResult::Parent { child } => {
                // Also done by the child; whoever comes first, the group is there before anybody signals it.
                let _ = setpgid(child, child);
                Ok(Process {
                    pid: child,
                    start: Some(start),
                    reaped: false,
                    stdout: Captured::new(out).map_err(failed)?,
                    stderr: Captured::new(err).map_err(failed)?,
                })
            }
        }
    }
}

/// Everything that the child needs between fork and exec, made beforehand.
struct Child<'a> {
    program: &'a CString,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    dir: &'a CString,
    filter: Option<&'a BpfProgram>,
    wait: &'a OwnedFd,
    stdio: [&'a OwnedFd; 3],
}

impl Child<'_> {
    fn run(&self) -> ! {
        let error = match self.become_program() {
            Err(error) => error,
            Ok(never) => match never {},
        };
        // Only this number gets out; 126 where the system has none that fits.
        let status = if (1..=EXEC_FAILED).contains(&(error as i32)) { error as i32 } else { EXEC_FAILED };
        // SAFETY: ends the process at once, without running anything of the parent's.
        unsafe { libc::_exit(status) }
    }

    /// Async-signal-safe throughout (signal-safety(7)): no memory is allocated, no lock taken. nix's `execve` collects
    /// its pointers on the heap, so it is called by hand here.
    fn become_program(&self) -> Result<Infallible, Errno> {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        // SAFETY: an integer argument only. Nobody of ours outlives the thread that started it.
        Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // Rust ignores SIGPIPE, and an ignored signal stays ignored across exec; the submission starts as from a shell.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default action runs no code of this process.
        unsafe { sigaction(Signal::SIGPIPE, &default) }?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        let [null, out, err] = self.stdio;
        dup2_stdin(null)?;
        dup2_stdout(out)?;
        dup2_stderr(err)?;
        chdir(self.dir.as_c_str())?;
        // Blocks until the parent says go, with the tracer in place; the end of the pipe means that it is gone.
        if read(self.wait, &mut [0])? == 0 {
            return Err(Errno::ECANCELED);
        }
        if let Some(filter) = self.filter {
            apply_filter(filter).map_err(|_| Errno::EPERM)?;
        }
        // SAFETY: both arrays end with a null pointer, and the strings that they point to live as long as `self`'s maker.
        unsafe { libc::execve(self.program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        Err(Errno::last())
    }
}

impl Process {
    /// Its process id, which is also its group's.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets it become the program.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn go(&mut self) -> Result<(), HarnessError> {
        match self.start.take() {
            Some(start) => nix::unistd::write(start, &[1])
                .map(drop)
                .map_err(|e| HarnessError::system("let the server start", e)),
            None => Ok(()),
        }
    }

    /// Somebody else (the tracer) has reaped it.
    pub fn set_reaped(&mut self) {
        self.reaped = true;
    }

    /// Reaps it if it has ended; its status as a shell would say it.
    ///
    /// # Errors
    ///
    /// When it is not a child of the calling thread any more.
    pub fn try_wait(&mut self) -> Result<Option<WaitStatus>, HarnessError> {
        let status = waitpid(self.pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL))
            .map_err(|e| HarnessError::system("wait for the server (waitpid)", e))?;
        if status == WaitStatus::StillAlive {
            return Ok(None);
        }
        self.reaped = true;
        Ok(Some(status))
    }

    /// Kills it and everybody in its group.
    pub fn kill_group(&self) {
        // It may be gone already, which is as good.
        let _ = killpg(self.pid, Signal::SIGKILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.start = None;
        self.kill_group();
        while !self.reaped {
            match waitpid(self.pid, Some(WaitPidFlag::__WALL)) {
                // A tracee may stop on its way out; it dies without being asked again.
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => self.reaped = true,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => self.reaped = true,
            }
        }
    }
}

/// What a process printed on one stream, bounded: the beginning and the end are kept.
#[derive(Debug)]
pub struct Captured {
    pipe: Option<File>,
    head: Vec<u8>,
    tail: Vec<u8>,
    dropped: u64,
}

impl Captured {
    fn new(pipe: OwnedFd) -> io::Result<Self> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { pipe: Some(File::from(pipe)), head: Vec::new(), tail: Vec::new(), dropped: 0 })
    }

    /// Takes what has come; never blocks. True if there was anything.
    pub fn pump(&mut self) -> bool {
        // Bounded, so that a server that prints without end does not keep the harness from everything else.
        const MOST_READS: usize = 16;
        let mut buffer = [0; 16 * 1024];
        let mut any = false;
        for _ in 0..MOST_READS {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => self.keep(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            }
            any = true;
        }
        any
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(KEPT_OUTPUT - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(rest);
        // Cut now and then rather than at every read.
        if self.tail.len() > 4 * KEPT_OUTPUT {
            let surplus = self.tail.len() - KEPT_OUTPUT;
            self.tail.drain(..surplus);
            self.dropped += surplus as u64;
        }
    }

    /// The stream to wait on, while it is open.
    pub fn pipe(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// What was printed; what was left out in the middle is said.
    pub fn text(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        let tail = String::from_utf8_lossy(&self.tail);
        match self.dropped {
            0 => format!("{head}{tail}"),
            n => format!("{head}\n[{n} bytes left out]\n{tail}"),
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe2(OFlag::O_CLOEXEC)?)
}

/// The strings as execve(2) wants them: pointers with a null pointer behind them.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "holds a NUL byte"))
}
