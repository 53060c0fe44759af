//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// What `pool-bench` is asked to do.
#[derive(Debug, Parser)]
#[command(
    name = "pool-bench",
    version,
    about = "Measures pool_server against its peers and the limit",
    after_help = "\
Examples:
  pool-bench                                          everything
  pool-bench --only servers --rounds 3 --round-ms 100     a quick look
  pool-bench --only servers --servers pool_server,inline  two servers only
  pool-bench --list                                   the sections

Exit status: 0 measured, 1 something could not be measured, 2 wrong arguments."
)]
pub struct Options {
    /// Only these sections, such as servers,idle
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Only these servers, such as pool_server,inline
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub servers: Vec<String>,

    /// How often everything is measured; the servers take turns within each round
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// How long one measurement takes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=60_000))]
    pub round_ms: u32,

    /// Worker threads of each server that has such
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: u32,

    /// Most tasks that may wait for a worker, in each server whose queue is bounded
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub capacity: u32,

    /// How the load generator and the server share the processors
    #[arg(long, value_enum, default_value_t = Placement::Free)]
    pub placement: Placement,

    /// A measurement is dropped if other processes took more than this share of it, in per cent of one processor
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    pub disturbed: f64,

    /// The repository: where the servers are
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub root: PathBuf,

    /// Where cargo has put pool_server, and where the peers and the results go
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    pub target: PathBuf,

    /// Name the sections and stop
    #[arg(long)]
    pub list: bool,
}

/// How the load generator and the server share the processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Both run wherever the kernel puts them
    Free,
    /// The load generator has the last processor, the server all others
    Apart,
    /// The server has the first processor, the load generator the last
    OneCore,
    /// Both share the first processor
    Together,
}

impl Placement {
    /// In words, for the report.
    pub fn words(self) -> &'static str {
        match self {
            Placement::Free => "load generator and server share all processors as the kernel likes",
            Placement::Apart => {
                "the load generator has the last processor to itself, the server has all others"
            }
            Placement::OneCore => "the server has the first processor, the load generator the last",
            Placement::Together => "server and load generator share the first processor",
        }
    }
}

impl Options {
    /// Whether the section of this name shall run.
    pub fn wants(&self, section: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == section)
    }
}
