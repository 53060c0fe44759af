//! pool_server with nothing but std::thread, std::sync and four system calls from libc.
//!
//! `server` runs on the main thread and owns every socket; `pool` runs on the workers; `sys` wraps epoll and eventfd.

mod pool;
mod server;
mod sys;

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

struct Arguments {
    port: u16,
    workers: usize,
    capacity: usize,
}

fn number(
    name: &str,
    text: Option<&String>,
    from: usize,
    to: usize,
    preset: Option<usize>,
) -> Result<usize, String> {
    match (text, preset) {
        (None, Some(preset)) => Ok(preset),
        (None, None) => Err(format!("{name} is missing")),
        (Some(text), _) => text
            .parse()
            .ok()
            .filter(|value| (from..=to).contains(value) && !text.starts_with('+'))
            .ok_or_else(|| format!("{name} must be from {from} to {to}, but it is {text:?}")),
    }
}

fn arguments() -> Result<Arguments, String> {
    let given: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    if let Some(surplus) = given.get(4) {
        return Err(format!("what is {surplus:?} for? Four arguments at most"));
    }
    let arguments = Arguments {
        port: number("PORT", given.first(), 1, 65535, None)? as u16,
        workers: number("WORKERS", given.get(1), 1, 64, Some(4))?,
        capacity: number("CAPACITY", given.get(2), 1, 65536, Some(64))?,
    };
    number("TASK_TIMEOUT_MS", given.get(3), 0, 0, Some(0))?;
    Ok(arguments)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!(
                "pool_server: {message}\nusage: pool_server PORT [WORKERS [CAPACITY [TASK_TIMEOUT_MS]]]"
            );
            return ExitCode::from(2);
        }
    };
    let run = || -> std::io::Result<()> {
        let bell = Arc::new(sys::EventFd::new()?);
        sys::ring_on_sigterm(&bell)?;
        let table = Arc::new(pool::Table::compute()); // takes its time; nobody can connect yet
        let listener = TcpListener::bind(("127.0.0.1", arguments.port))?; // std sets SO_REUSEADDR
        let pool = pool::Pool::start(arguments.workers, arguments.capacity, &bell, &table)?;
        let result = server::Server::new(listener, pool, &bell).and_then(server::Server::run);
        sys::ignore_sigterm(); // the bell is about to go
        result
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pool_server: port {}: {error}", arguments.port);
            ExitCode::FAILURE
        }
    }
}
