//! The command line of `quest`: one file per subcommand.

mod ask;
mod check;
mod corpus;
mod doctor;
mod exit_code;
mod flaky;
mod hint;
mod lesson;
mod list;
mod output;
mod progress;
mod review;
mod screen;
mod selfcheck;
mod show;
mod start;
mod suggest;

pub use exit_code::ExitCode;

use crate::{error::HarnessError, interrupt, report::Palette, student};
use anstream::AutoStream;
use clap::{Parser, Subcommand, ValueEnum, error::ErrorKind};
use std::{io, process};

/// What `quest` is asked to do.
#[derive(Debug, Parser)]
#[command(
    name = "quest",
    version,
    about = "Checks a concurrent server: forces the rare situations and says with evidence what is wrong",
    after_help = "\
Examples:
  quest start 01 my-queue          begin the first lesson in a new folder
  quest check solution/            check a folder of C
  quest check . --only R4 -v       one requirement of the Cargo package here
  quest show R4                    what R4 asks for and how it is checked
  quest hint R4                    help with R4, one hint at a time

`quest COMMAND --help` tells more about a command.",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    /// Colours: on a terminal only, always, or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(start::Arguments),
    Check(check::Arguments),
    Show(show::Arguments),
    Hint(hint::Arguments),
    Review(review::Arguments),
    List(list::Arguments),
    Selfcheck(selfcheck::Arguments),
    Flaky(flaky::Arguments),
    Doctor(doctor::Arguments),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// Why a command ends early: what to say, and the exit code.
#[derive(Debug)]
struct Stop {
    code: ExitCode,
    message: String,
}

impl Stop {
    fn interrupted() -> Self {
        let message = "interrupted; nothing that was started is left".into();
        Self { code: ExitCode::Interrupted, message }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Usage, message: message.into() }
    }
}

impl From<HarnessError> for Stop {
    fn from(error: HarnessError) -> Self {
        Self { code: ExitCode::OwnFault, message: error.to_string() }
    }
}

impl From<student::Error> for Stop {
    fn from(error: student::Error) -> Self {
        match error {
            student::Error::Harness(error) => error.into(),
            other => Self::usage(other.to_string()),
        }
    }
}

/// Everything that `quest` does.
pub fn main() -> process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads to the end (`quest --help | head -1`) is no error.
            let _ = error.print();
            let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if help { ExitCode::Passed } else { ExitCode::Usage }.into();
        }
    };
    match cli.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::AlwaysAnsi,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let result = interrupt::install().map_err(Stop::from).and_then(|()| match cli.command {
        Command::Start(arguments) => start::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Hint(arguments) => hint::run(&arguments),
        Command::Review(arguments) => review::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Selfcheck(arguments) => selfcheck::run(&arguments),
        Command::Flaky(arguments) => flaky::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    });
    match result {
        Ok(code) => code.into(),
        Err(Stop { code, message }) => {
            let word = if code == ExitCode::Interrupted { "stopped" } else { "error" };
            let bad = palette_for(&io::stderr()).bad;
            anstream::eprintln!("{bad}{word}{bad:#}: {message}");
            code.into()
        }
    }
}

/// The colours that suit where something is written to: the terminal's, or none.
fn palette_for(stream: &impl anstream::stream::RawStream) -> Palette {
    match AutoStream::choice(stream) {
        anstream::ColorChoice::Never => Palette::plain(),
        _ => Palette::coloured(),
    }
}

/// Columns of a line: those of the terminal, and 100 at most, because longer lines are hard to read.
fn width() -> usize {
    const READABLE: usize = 100;
    terminal_size::terminal_size().map_or(READABLE, |(columns, _)| usize::from(columns.0).min(READABLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
