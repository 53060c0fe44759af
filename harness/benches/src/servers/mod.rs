//! The servers that are compared: which there are, how they are built, and how one is started.

mod build;
mod running;

use std::path::PathBuf;
use std::process::Command;

pub use build::{C_COMPILER, compile, find_all, names};
pub use running::{Running, Settings, expected_answer, first_client, free_port};

/// One server, ready to be started.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its short name, for tables and `--servers`.
    pub name: &'static str,
    /// Its design, in a few words.
    pub about: &'static str,
    program: PathBuf,
    /// Whether it takes the capacity of its queue as third argument.
    has_capacity: bool,
}

impl Server {
    fn command(&self, port: u16, settings: &Settings) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(port.to_string()).arg(settings.workers.to_string());
        if self.has_capacity {
            command.arg(settings.capacity.to_string());
        }
        command
    }
}

/// What is measured.
pub const OURS: &str = "pool_server";
/// The C solution of quest 07.
pub const LESSON: &str = "lesson-c";
/// The limit.
pub const INLINE: &str = "inline";
