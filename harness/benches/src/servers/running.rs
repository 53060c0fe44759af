//! One running server: started on a free port, checked, measured from outside, killed at the end.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Pid;

use super::Server;
use crate::children::Child;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// A port that was free may be taken a moment later; so often another one is tried.
const ATTEMPTS: usize = 5;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Worker threads.
    pub workers: u32,
    /// Most tasks that may wait.
    pub capacity: u32,
    /// The processors that it may use; none named: all.
    pub processors: Vec<usize>,
}

/// A server that accepts clients.
pub struct Running {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Running {
    /// Starts a server and waits until it accepts a client.
    pub fn start(server: &Server, settings: &Settings) -> Result<Running> {
        let mut last_words = String::new();
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            let mut child = Child::start(&server.command(port, settings), &settings.processors)?;
            match first_client(port, &mut child, PATIENCE) {
                Ok(_) => return Ok(Running { child, port }),
                Err(Some(words)) => last_words = words,
                Err(None) => bail!("{} accepts nobody on port {port} after {PATIENCE:?}", server.name),
            }
        }
        bail!("{} does not start: {last_words}", server.name)
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.child.pid()
    }

    /// Fails unless it answers as every server here has to, a request split into two packets included.
    pub fn check_answers(&self) -> Result<()> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let long = "x".repeat(1000);
        let requests = ["hello", "", "bad input", "hello\r", "\u{fc}", &long];
        let text: String = requests.iter().flat_map(|line| [line, "\n"]).collect();
        let (first, second) = text.as_bytes().split_at(text.len() - 700);
        (&stream).write_all(first)?;
        (&stream).write_all(second)?;
        let mut answers = BufReader::new(&stream).lines();
        for request in requests {
            let answer = answers.next().context("the connection ended")?.context("no answer")?;
            let expected = expected_answer(request.trim_end_matches('\r').as_bytes());
            if answer != expected.trim_end() {
                bail!("'{request}' was answered '{answer}' instead of '{}'", expected.trim_end());
            }
        }
        Ok(())
    }
}

/// Connects to a server that has just been started, as soon as it listens. If it ends instead: its last words; `None` if
/// it does not listen within `patience`.
pub fn first_client(
    port: u16,
    child: &mut Child,
    patience: Duration,
) -> std::result::Result<TcpStream, Option<String>> {
    let start = Instant::now();
    loop {
        if let Ok(client) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            return Ok(client);
        }
        if let Some(words) = child.last_words() {
            return Err(Some(words));
        }
        if start.elapsed() > patience {
            return Err(None);
        }
        std::thread::yield_now();
    }
}

/// The answer that every server has to give to a line, with its end.
pub fn expected_answer(line: &[u8]) -> String {
    let mut out = Vec::new();
    peers::write_answer(peers::compute(line), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A port that nobody has at this moment.
pub fn free_port() -> Result<u16> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    Ok(socket.local_addr()?.port())
}
