//! Layer 6: arguments in, exit status out. 0 after a clean shutdown, 1 if the server failed, 2 for bad arguments.

use std::process::ExitCode;

use pool_server::config::{self, HELP, Invocation, USAGE};
use pool_server::server;
use pool_server::sys::stdio::{write_stderr, write_stdout};

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    match config::parse(&arguments) {
        Ok(Invocation::Help) => {
            write_stdout(HELP);
            ExitCode::SUCCESS
        }
        Ok(Invocation::Run(config)) => match server::run(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                write_stderr(&format!("pool_server: {error}\n"));
                ExitCode::from(1)
            }
        },
        Err(error) => {
            write_stderr(&format!("pool_server: {error}\n{USAGE}\n"));
            ExitCode::from(2)
        }
    }
}
