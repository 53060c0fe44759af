//! Layer 0: the command line as plain data. Pure functions: nothing is printed and nothing is opened here.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The usage line, for whoever got the arguments wrong.
pub const USAGE: &str = "usage: pool_server PORT [WORKERS [CAPACITY [TASK_TIMEOUT_MS]]]";

/// What `--help` prints.
pub const HELP: &str = "\
A server with one event loop and a pool of workers. It answers each line that a client sends with one line.

usage: pool_server PORT [WORKERS [CAPACITY [TASK_TIMEOUT_MS]]]

  PORT             TCP port on 127.0.0.1, 1 to 65535
  WORKERS          worker threads, 1 to 64, or MIN-MAX for a pool that grows and shrinks (default 4)
  CAPACITY         most tasks that may wait for a worker, 1 to 65536 (default 64)
  TASK_TIMEOUT_MS  longest a task may run, in milliseconds, 0 to 3600000; 0 means no limit (default 0)

examples:
  pool_server 9090                       4 workers, 64 waiting tasks
  pool_server 9090 2-8 16                2 workers, up to 8 while tasks wait; 16 waiting tasks
  pool_server 9090 4 64 500              'ERROR: timeout' for a task that runs longer than half a second
  echo hello | nc -q 1 localhost 9090    the answer: 'result: ' and a hash
  echo STATS | nc -q 1 localhost 9090    the counters

POOL_SERVER_LOG=1 in the environment shows on stderr who does what. SIGTERM or Ctrl-C: finish, answer, leave.
";

/// How many workers there may be: `min` at the start and when idle, up to `max` under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// Never fewer.
    pub min: usize,
    /// Never more; a fixed pool has `max == min`.
    pub max: usize,
}

/// How one server shall run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// Worker threads.
    pub workers: PoolSize,
    /// Most tasks that may wait in the task queue.
    pub capacity: usize,
    /// Longest a task may run, from the moment a worker takes it; `None` means for ever.
    pub task_timeout: Option<Duration>,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Print [`HELP`].
    Help,
    /// Serve.
    Run(Config),
}

/// Which argument is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    argument: &'static str,
    problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.argument, self.problem)
    }
}

/// Reads the arguments that follow the program's name. Fails on the first one that is missing, wrong or surplus.
pub fn parse(arguments: &[String]) -> Result<Invocation, ConfigError> {
    if let Some("--help" | "-h") = arguments.first().map(String::as_str) {
        return Ok(Invocation::Help);
    }
    if let Some(surplus) = arguments.get(4) {
        return Err(wrong("surplus argument", format!("'{surplus}': at most four are taken")));
    }
    let argument = |index: usize| arguments.get(index).map(String::as_str);
    let port = argument(0).ok_or_else(|| wrong("PORT", "is missing".to_string()))?;
    let milliseconds = number("TASK_TIMEOUT_MS", argument(3).unwrap_or("0"), 0..=3_600_000)?;
    Ok(Invocation::Run(Config {
        port: number("PORT", port, 1..=65535)? as u16,
        workers: pool_size(argument(1).unwrap_or("4"))?,
        capacity: number("CAPACITY", argument(2).unwrap_or("64"), 1..=65536)?,
        task_timeout: (milliseconds > 0).then(|| Duration::from_millis(milliseconds as u64)),
    }))
}

/// `N` or `MIN-MAX`.
fn pool_size(text: &str) -> Result<PoolSize, ConfigError> {
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let (min, max) = (number("WORKERS", min, 1..=64)?, number("WORKERS", max, 1..=64)?);
    if min > max {
        return Err(wrong("WORKERS", format!("'{text}': MIN is greater than MAX")));
    }
    Ok(PoolSize { min, max })
}

/// Decimal digits only: no sign, no spaces.
fn number(argument: &'static str, text: &str, range: RangeInclusive<usize>) -> Result<usize, ConfigError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong(argument, format!("'{text}' is not a number")));
    }
    match text.parse() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(wrong(argument, format!("{text} is not between {} and {}", range.start(), range.end()))),
    }
}

fn wrong(argument: &'static str, problem: String) -> ConfigError {
    ConfigError { argument, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Invocation, String> {
        let words: Vec<String> = line.split(' ').filter(|word| !word.is_empty()).map(String::from).collect();
        parse(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_port_alone_is_enough() {
        let workers = PoolSize { min: 4, max: 4 };
        let config = Config { port: 9090, workers, capacity: 64, task_timeout: None };
        assert_eq!(parse_words("9090"), Ok(Invocation::Run(config)));
    }

    #[test]
    fn every_argument_arrives_where_it_belongs() {
        let workers = PoolSize { min: 2, max: 8 };
        let task_timeout = Some(Duration::from_millis(3_600_000));
        let config = Config { port: 65535, workers, capacity: 65536, task_timeout };
        assert_eq!(parse_words("65535 2-8 65536 3600000"), Ok(Invocation::Run(config)));
    }

    #[test]
    fn help_is_no_error() {
        assert_eq!(parse_words("--help"), Ok(Invocation::Help));
    }

    #[test]
    fn a_bad_argument_is_named_with_its_fault() {
        for (line, message) in [
            ("", "PORT: is missing"),
            ("http", "PORT: 'http' is not a number"),
            ("+80", "PORT: '+80' is not a number"),
            ("0", "PORT: 0 is not between 1 and 65535"),
            ("65536", "PORT: 65536 is not between 1 and 65535"),
            ("99999999999999999999999", "PORT: 99999999999999999999999 is not between 1 and 65535"),
            ("9090 0", "WORKERS: 0 is not between 1 and 64"),
            ("9090 65", "WORKERS: 65 is not between 1 and 64"),
            ("9090 2-65", "WORKERS: 65 is not between 1 and 64"),
            ("9090 8-2", "WORKERS: '8-2': MIN is greater than MAX"),
            ("9090 2-", "WORKERS: '' is not a number"),
            ("9090 2-4-8", "WORKERS: '4-8' is not a number"),
            ("9090 4 0", "CAPACITY: 0 is not between 1 and 65536"),
            ("9090 4 65537", "CAPACITY: 65537 is not between 1 and 65536"),
            ("9090 4 64 3600001", "TASK_TIMEOUT_MS: 3600001 is not between 0 and 3600000"),
            ("9090 4 64 1s", "TASK_TIMEOUT_MS: '1s' is not a number"),
            ("9090 4 64 0 now", "surplus argument: 'now': at most four are taken"),
        ] {
            assert_eq!(parse_words(line), Err(message.to_string()), "for '{line}'");
        }
    }

    #[test]
    fn help_says_what_usage_says() {
        assert!(HELP.contains(USAGE));
    }
}
