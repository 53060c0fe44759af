//! From a program to a session that is ready: it has accepted a connection, answered one request and come to rest.

use super::{Session, Wait, scan::Scan, watch};
use crate::{
    error::{HarnessError, Trouble},
    model::Finding,
    probes::{
        bell::Bell,
        clients::Clients,
        interposer::Interposer,
        tracer::{
            self, End, Tracer,
            ledger::{Kind, Object},
            syscalls::Class,
            thread::Role,
        },
    },
    submission::{
        Program,
        launch::Launch,
        port::{self, Port},
    },
};
use std::time::Duration;

/// How long a server may take until it listens: a slow start is not a fault.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// Somebody may take a port between the pick and the server's bind; more often than this it is not by chance.
const PORT_TRIES: usize = 4;

/// The exit status of a server that does not understand its arguments.
const REFUSED: i32 = 2;

/// The request by which a server shows that it is ready.
pub const READY_REQUEST: &[u8] = b"ready\n";

/// The arguments of a server.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `WORKERS`: a number, or `MIN-MAX`.
    pub workers: String,
    /// `CAPACITY`.
    pub capacity: usize,
    /// `TASK_TIMEOUT_MS`, if it is given at all.
    pub timeout_ms: Option<u32>,
    /// The port; a free one if none is given.
    pub port: Option<u16>,
    /// How many descriptors it may have open, if fewer than usual (`RLIMIT_NOFILE`).
    pub descriptors: Option<u64>,
}

impl Setup {
    /// A fixed pool.
    pub fn new(workers: usize, capacity: usize) -> Self {
        Self { workers: workers.to_string(), capacity, timeout_ms: None, port: None, descriptors: None }
    }

    /// The same on this port.
    pub fn on_port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    /// The arguments as the submission gets them.
    pub fn args(&self, port: u16) -> Vec<String> {
        let mut args = vec![port.to_string(), self.workers.clone(), self.capacity.to_string()];
        args.extend(self.timeout_ms.map(|ms| ms.to_string()));
        args
    }
}

/// The surroundings of every server: few, and the same everywhere.
pub fn environment(dir: &std::path::Path) -> Vec<(String, String)> {
    let folder = dir.display().to_string();
    let mut env = vec![
        ("HOME".to_owned(), folder.clone()),
        ("TMPDIR".to_owned(), folder),
        ("LC_ALL".into(), "C".into()),
    ];
    for name in ["PATH", "LD_LIBRARY_PATH"] {
        env.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
    }
    env
}

impl Session {
    /// Launches a server under the tracer and waits until it is ready and at rest.
    ///
    /// # Errors
    ///
    /// [`Trouble::Decided`] when the server does not become ready, with what was seen instead.
    pub fn launch(program: &Program, setup: &Setup) -> Result<Self, Trouble> {
        let (mut session, waited) = Self::begin(program, setup, false)?;
        session.become_ready(waited)?;
        Ok(session)
    }

    /// As [`Session::launch`], for arguments that only a bonus gives a meaning: `None` when the server refuses them with exit
    /// status 2, as one without that bonus must.
    ///
    /// # Errors
    ///
    /// As [`Session::launch`].
    pub fn launch_unless_refused(program: &Program, setup: &Setup) -> Result<Option<Self>, Trouble> {
        let (mut session, waited) = Self::begin(program, setup, false)?;
        if matches!(session.tracer.end(), Some((End::Status(REFUSED), _))) {
            return Ok(None);
        }
        session.become_ready(waited)?;
        Ok(Some(session))
    }

    /// Starts it and waits until it listens, on another port if somebody else took the first one; how that wait ended.
    /// `in_order`: its threads take turns from the beginning.
    pub(super) fn begin(program: &Program, setup: &Setup, in_order: bool) -> Result<(Self, Wait), Trouble> {
        for attempt in 1.. {
            let mut session = Self::spawn(program, setup)?;
            if in_order {
                session.keep_order();
            }
            let waited =
                session.until_patiently(START_DEADLINE, START_DEADLINE, |session| session.listens())?;
            let taken = setup.port.is_none() && attempt < PORT_TRIES && session.found_its_port_taken();
            if !taken {
                return Ok((session, waited));
            }
        }
        unreachable!("the last attempt returns")
    }

    fn spawn(program: &Program, setup: &Setup) -> Result<Self, Trouble> {
        let port = setup.port.map_or_else(port::pick, Port::given)?;
        let dir = tempfile::Builder::new()
            .prefix("quest-run-")
            .tempdir()
            .map_err(|e| HarnessError::system("make a folder for the server to run in", e))?;
        let interposer = Interposer::unpack()?;
        let mut env = environment(dir.path());
        env.push(("LD_PRELOAD".to_owned(), interposer.path().display().to_string()));
        let bell = Bell::new()?;
        let filter = tracer::filter()?;
        let mut process = Launch {
            program: program.executable(),
            args: &setup.args(port.number()),
            env: &env,
            dir: dir.path(),
            filter: Some(&filter),
            descriptors: setup.descriptors,
            own_network: false,
        }
        .spawn()?;
        let tracer = Tracer::seize(process.pid()).map_err(refused)?;
        process.go()?;
        Ok(Self {
            process,
            tracer,
            clients: Clients::new(port.number()),
            port,
            bell,
            watch: watch::Watch::new(),
            scan: Scan::default(),
            ready_at: 0,
            orderly: None,
            computes: true,
            interposer,
            _dir: dir,
        })
    }

    fn found_its_port_taken(&self) -> bool {
        let mut binds =
            self.tracer.events().iter().filter_map(|e| e.call()).filter(|c| c.class == Class::Bind);
        !self.listens() && binds.any(|bind| bind.error() == Some(libc::EADDRINUSE))
    }

    fn listens(&self) -> bool {
        self.listeners().any(|port| port == self.port.number())
    }

    /// The ports on which it listens.
    fn listeners(&self) -> impl Iterator<Item = u16> {
        let open = |object: &&Object| object.kind == Kind::Listener && object.open > 0;
        self.tracer.ledger().objects().map(|(_, object)| object).filter(open).filter_map(|object| object.port)
    }

    pub(super) fn become_ready(&mut self, listening: Wait) -> Result<(), Trouble> {
        if !listening.reached() {
            let elsewhere = self.listeners().next();
            let what = elsewhere.map_or_else(
                || "does not listen".to_owned(),
                |port| format!("listens on port {port} and not on PORT, which is {},", self.port.number()),
            );
            return Err(self.not_ready(&what, listening));
        }
        let client = self.clients.connect()?;
        self.clients.send(client, READY_REQUEST);
        let waited = self.until(START_DEADLINE, |session| session.clients.get(client).answers() > 0)?;
        if !waited.reached() {
            return Err(self.not_ready("listens, but does not answer a single request", waited));
        }
        self.clients.close(client);
        // The first client has left when the server has closed its side too; a server that does not is for C4 to judge.
        self.settle()?;
        self.ready_at = self.tracer.events().len();
        Ok(())
    }

    /// The call that failed before the server ended, if it is one without which no server can listen; else the main thread.
    fn place_of_end(&self) -> String {
        let setup = [Class::Socket, Class::Bind, Class::Listen];
        let failed = self.tracer.events().iter().rev().find_map(|event| {
            let call = event.call().filter(|call| setup.contains(&call.class) && call.error().is_some())?;
            Some(self.tracer.describe_call(event.tid, call))
        });
        failed.unwrap_or_else(|| self.tracer.name(self.tracer.main()))
    }

    fn not_ready(&mut self, what: &str, waited: Wait) -> Trouble {
        let expected = "the server listens on its port and answers one request";
        let hint = "start it by hand: ./pool_server 9090 4 64, then: echo hello | nc 127.0.0.1 9090";
        let said = last_lines(&self.stderr());
        let finding = match waited {
            Wait::Reached | Wait::Ended => match self.tracer.end() {
                Some((End::Status(status), _)) if !self.tracer.executed() => {
                    let reason = std::io::Error::from_raw_os_error(status);
                    Finding::fail(
                        expected,
                        format!("the program cannot be started: {reason}"),
                        "",
                        "is it built for this machine?",
                    )
                }
                Some((End::Status(0), _)) if self.tracer.alive().any(|t| t.role == Role::Child) => {
                    Finding::fail(
                        expected,
                        format!("it exited with status 0 and left a child process behind{said}"),
                        self.place_of_end(),
                        "a server that is graded stays in the foreground: no daemon(), no fork() and exit",
                    )
                }
                Some((End::Status(status), _)) => Finding::fail(
                    expected,
                    format!("it exited with status {status}{said}"),
                    self.place_of_end(),
                    hint,
                ),
                Some((End::Signal(signal), _)) => Finding::fail(
                    expected,
                    format!("it was killed by {}{said}", signal_name(signal)),
                    self.place_of_end(),
                    hint,
                ),
                None => Finding::inconclusive(expected, "its state is not known", "", hint),
            },
            Wait::Stalled(snapshot) => {
                Finding::fail(expected, format!("it {what}{said}"), snapshot.describe(), hint)
            }
            Wait::Busy(snapshot) => Finding::inconclusive(
                expected,
                format!(
                    "it {what} yet, but is still at work after {:.0} s{said}",
                    START_DEADLINE.as_secs_f64()
                ),
                snapshot.describe(),
                hint,
            ),
        };
        Trouble::Decided(Box::new(finding))
    }
}

/// Without the tracer nothing can be told, which is nobody's fault.
fn refused(error: HarnessError) -> Trouble {
    Trouble::Decided(Box::new(Finding::inconclusive(
        "the harness may trace the processes that it starts",
        format!("it may not: {error}"),
        "",
        "run it outside the container or the debugger, or give the container CAP_SYS_PTRACE; see `quest doctor`",
    )))
}

/// The end of what a server printed, as part of a sentence.
fn last_lines(stderr: &str) -> String {
    const LINES: usize = 3;
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.len() {
        0 => " (it printed nothing on stderr)".to_owned(),
        n => format!("; its last words on stderr: {}", lines[n.saturating_sub(LINES)..].join(" / ")),
    }
}

/// `SIGSEGV`, or the number of a signal that has no name.
pub fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal)
        .map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}
