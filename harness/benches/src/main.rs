//! `make bench`: pool_server against its peers and the limit.
//!
//! Each section measures one thing and adds text and tables to the report. A new section is one line in [`SECTIONS`].

// What every section uses.
mod children;
mod cli;
mod context;
mod machine;
mod plot;
mod report;
mod stats;
mod table;
// Servers under load.
mod kernel;
mod load;
mod measure;
mod servers;
// What is measured.
mod sections;
mod queues;
mod judging;

use std::process::ExitCode;

use clap::Parser;

use context::Context;
use report::Report;

/// One part of the report.
pub struct Section {
    /// The word for `--only`.
    pub name: &'static str,
    /// One line: what is measured.
    pub about: &'static str,
    /// Measures, and adds what was found to the report. An error ends this section only.
    pub run: fn(&Context, &mut Report) -> anyhow::Result<()>,
}

/// All sections, in the order of the output.
pub const SECTIONS: &[Section] = &[
    sections::COUNTS,
    sections::SERVERS,
    sections::IDLE,
    sections::GROWTH,
    queues::SECTION,
    judging::SECTION,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == children::TRAMPOLINE) {
        children::become_another(&arguments[2..]).unwrap_or_else(|error| report::complain(&error));
        return ExitCode::FAILURE;
    }
    let options = cli::Options::parse();
    if options.list {
        for section in SECTIONS {
            anstream::println!("{:<10} {}", section.name, section.about);
        }
        return ExitCode::SUCCESS;
    }
    match run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs the chosen sections. False if one of them could not measure.
fn run(options: cli::Options) -> anyhow::Result<bool> {
    children::end_on_interrupt()?;
    let context = Context::new(options)?;
    let mut report = Report::new(&context)?;
    let mut all_measured = true;
    for section in SECTIONS.iter().filter(|section| context.options.wants(section.name)) {
        report.begin(section.name, section.about);
        if let Err(error) = (section.run)(&context, &mut report) {
            all_measured = false;
            report.failed(&error);
        }
        report.save()?;
    }
    report.finish()?;
    Ok(all_measured)
}
