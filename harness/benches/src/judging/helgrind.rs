//! One run of the server under Helgrind, with the load that R8 gives it. No judging of submissions can be faster than its slowest
//! instrument, so this is the measure for the rest.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};

use super::timed::{Timed, wait};
use crate::children::Child;
use crate::servers::{C_COMPILER, compile, first_client, free_port};

/// As in R8.
const CLIENTS: usize = 30;
const ALONE: usize = 4;
const ROUNDS: usize = 6;
const LONG: usize = 1000;

/// How long the server may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds the C sources in `solution` as the contract says, into `folder`.
pub fn build(solution: &Path, folder: &Path) -> Result<PathBuf> {
    let program = folder.join("pool_server");
    let entries = fs::read_dir(solution).with_context(|| format!("cannot read {}", solution.display()))?;
    let sources =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("c".as_ref()));
    let mut gcc = Command::new("gcc");
    gcc.args(["-Wall", "-Wextra", "-Werror", "-pthread", "-g", "-o"]).arg(&program).args(sources);
    compile(&mut gcc, C_COMPILER)?;
    Ok(program)
}

/// From the start of Helgrind to its end. Fails if it finds errors, or is not there.
pub fn run(server: &Path, folder: &Path) -> Result<Timed> {
    let log = folder.join("helgrind");
    let port = free_port()?;
    let mut command = Command::new("valgrind");
    command.args([
        "--tool=helgrind",
        "--fair-sched=try",
        "--num-callers=16",
        "--error-limit=no",
        "--vgdb=no",
    ]);
    command.arg(format!("--log-file={}", log.display())).arg(server).args([&port.to_string(), "4", "64"]);
    let timed = Timed::of(|| {
        let mut child = Child::start(&command, &[])?;
        give_load(port, &mut child)?;
        kill(child.pid(), Signal::SIGTERM)?;
        wait(&child)
    })?;
    let said = fs::read_to_string(&log).context("valgrind has left no report")?;
    ensure!(said.contains("0 errors from 0 contexts"), "Helgrind finds errors:\n{said}");
    Ok(timed)
}

fn give_load(port: u16, child: &mut Child) -> Result<()> {
    let mut first = match first_client(port, child, PATIENCE) {
        Ok(client) => client,
        Err(Some(words)) => bail!("the server does not start under Helgrind: {words}"),
        Err(None) => bail!("the server does not listen under Helgrind"),
    };
    for number in 0..ALONE {
        ask(&mut first, &if number % 2 == 0 { good(number) } else { bad(number) })?;
        hear(&first)?;
    }
    for round in 0..ROUNDS {
        let connect = |_| TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let mut clients = (0..CLIENTS).map(connect).collect::<std::io::Result<Vec<_>>>()?;
        for (number, client) in clients.iter_mut().enumerate() {
            let line = match (number % 3, round % 2) {
                (2, _) => bad(number),
                (_, 0) => good(number),
                _ => good(LONG - number),
            };
            ask(client, &line)?;
        }
        clients.iter().try_for_each(hear)?;
    }
    Ok(())
}

fn good(number: usize) -> String {
    format!("request {number:03} {}\n", "x".repeat(number))
}

fn bad(number: usize) -> String {
    format!("bad request {number:03}\n")
}

fn ask(client: &mut TcpStream, line: &str) -> Result<()> {
    client.write_all(line.as_bytes()).context("a request cannot be sent")
}

fn hear(client: &TcpStream) -> Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    let bytes = BufReader::new(client).read_line(&mut answer).context("no answer under Helgrind")?;
    ensure!(bytes > 0, "the server hangs up under Helgrind");
    Ok(())
}
