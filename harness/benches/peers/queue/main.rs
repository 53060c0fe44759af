//! `queue KIND CAPACITY CONSUMERS MILLISECONDS PAUSE` measures one bounded queue, in a process of its own, so that what the kernel
//! counts for the process belongs to that queue alone.
//!
//! It prints one line: operations, nanoseconds, nanoseconds of CPU time, context switches.

mod drive;
mod kinds;

use std::time::Duration;

use clap::Parser;

use drive::Pace;
use kinds::Kind;

/// What is to be measured.
#[derive(Parser)]
struct Arguments {
    /// Which queue
    kind: Kind,
    /// Most tasks that wait in it
    capacity: usize,
    /// So many threads take tasks out; one puts them in
    consumers: usize,
    /// For how long
    milliseconds: u64,
    /// So many microseconds the producer sleeps before each task
    #[arg(default_value_t = 0)]
    pause: u64,
}

fn main() -> anyhow::Result<()> {
    let Arguments { kind, capacity, consumers, milliseconds, pause } = Arguments::parse();
    let pace = Pace { length: Duration::from_millis(milliseconds), pause: Duration::from_micros(pause) };
    println!("{}", kind.measure(capacity, consumers, pace)?);
    Ok(())
}
