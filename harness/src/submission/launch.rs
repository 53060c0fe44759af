//! From a program to a process of its own group, of which nothing is left when it is dropped.

#![allow(unsafe_code)]

use super::{captured::Captured, process::Process, sandbox::Sandbox};
use crate::error::HarnessError;
use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask},
    },
    unistd::{
        ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, read, setpgid, write,
    },
};
use seccompiler::{BpfProgram, apply_filter};
use std::{
    convert::Infallible,
    ffi::{CString, OsStr, c_char},
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The exit status of a child that could not become the program; the error number stands in for it where it fits.
pub const EXEC_FAILED: i32 = 126;

/// How many descriptors a server may have open when nothing else is wanted, if the system allows as many.
pub const USUAL_DESCRIPTORS: u64 = 4096;

/// Held while a new process still has copies of this process's descriptors.
static FORKING: Mutex<()> = Mutex::new(());

/// Waits until no process that was just forked holds copies of our descriptors, and keeps it so while the guard lives: only
/// then does closing the last descriptor of a socket close the connection at once.
pub fn nobody_forks() -> MutexGuard<'static, ()> {
    // The lock guards no data that a panic could have left half done.
    FORKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets a command and what it starts have at most so many bytes of memory each (`RLIMIT_AS`).
pub fn limit_memory(command: &mut Command, bytes: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_AS).unwrap_or((bytes, bytes));
    let most = bytes.min(hard);
    // SAFETY: between fork and exec this makes one system call; an error number becomes an error without allocating.
    unsafe { command.pre_exec(move || Ok(setrlimit(Resource::RLIMIT_AS, most, most)?)) };
}

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
    /// How many descriptors it may have open; [`USUAL_DESCRIPTORS`] if nothing is said.
    pub descriptors: Option<u64>,
    /// Whether it gets a network of its own, in which every port is free and nobody else is. Only where that
    /// [is possible](super::sandbox::network::is_possible).
    pub own_network: bool,
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
        let (ready, child_ready) = pipe().map_err(failed)?;
        let (out, child_out) = pipe().map_err(failed)?;
        let (err, child_err) = pipe().map_err(failed)?;
        let mut child = Child {
            program: &program,
            argv: pointers(&argv),
            envp: pointers(&envp),
            dir: &dir,
            sandbox: Sandbox::new(self.filter.is_some(), self.own_network)?,
            filter: self.filter,
            descriptors: self.descriptors,
            wait: &wait,
            ready: &child_ready,
            stdio: [&null, &child_out, &child_err],
        };
        let guard = nobody_forks();
        // SAFETY: until it is another program, the child calls only async-signal-safe functions (see `Child::become_program`).
        match unsafe { fork() }.map_err(|e| failed(e.into()))? {
            ForkResult::Child => child.run(),
            ForkResult::Parent { child } => {
                // Also done by the child; whoever comes first, the group is there before anybody signals it.
                let _ = setpgid(child, child);
                drop(child_ready);
                // A byte when the child has closed its copies, the end of the pipe if it could not get so far.
                let _ = read(&ready, &mut [0]);
                drop(guard);
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
    sandbox: Sandbox,
    filter: Option<&'a BpfProgram>,
    descriptors: Option<u64>,
    wait: &'a OwnedFd,
    ready: &'a OwnedFd,
    stdio: [&'a OwnedFd; 3],
}

impl Child<'_> {
    fn run(&mut self) -> ! {
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
    fn become_program(&mut self) -> Result<Infallible, Errno> {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        // SAFETY: an integer argument only. Nobody of ours outlives the thread that started it.
        Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // Rust ignores SIGPIPE, and an ignored signal stays ignored across exec; the submission starts as from a shell.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default action runs no code of this process.
        unsafe { sigaction(Signal::SIGPIPE, &default) }?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        // The same for all, whatever the harness itself may have open by now.
        let most = self.descriptors.unwrap_or(USUAL_DESCRIPTORS.min(hard));
        setrlimit(Resource::RLIMIT_NOFILE, most, if self.descriptors.is_some() { most } else { hard })?;
        let [null, out, err] = self.stdio;
        dup2_stdin(null)?;
        dup2_stdout(out)?;
        dup2_stderr(err)?;
        chdir(self.dir.as_c_str())?;
        self.close_copies();
        self.sandbox.enter()?;
        write(self.ready, &[1])?;
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

impl Child<'_> {
    /// Closes every descriptor but the three standard ones and the two pipes: other threads of the parent close sockets
    /// meanwhile, and mean it.
    fn close_copies(&self) {
        let (wait, ready) = (self.wait.as_raw_fd() as u32, self.ready.as_raw_fd() as u32);
        let (low, high) = (wait.min(ready), wait.max(ready));
        for (first, last) in [(3, low - 1), (low + 1, high - 1), (high + 1, u32::MAX)] {
            if first <= last {
                // SAFETY: closes descriptors of the child alone, and none that it still uses.
                unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            }
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
