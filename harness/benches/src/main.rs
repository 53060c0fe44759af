//! `make bench`: pool_server against its peers and the limit.
//!
//! Each section measures one thing and adds text and tables to the report. A new section is one line in [`SECTIONS`].

// What every section uses.
mod cli;
mod machine;
mod stats;
mod table;
mod plot;
mod children;
mod context;
mod report;
mod section;
// Servers under load.
mod kernel;
mod servers;
mod load;
mod measure;
// What is measured.
mod sections;
mod queues;
mod judging;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use context::Context;
use report::Report;
use section::Section;

/// All sections, in the order of the output.
const SECTIONS: &[Section] = &[
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
    let sections = SECTIONS.iter().map(|section| section.name).collect();
    for (option, given, known) in
        [("--only", &options.only, sections), ("--servers", &options.servers, servers::names())]
    {
        if let Some(unknown) = given.iter().find(|name| !known.contains(&name.as_str())) {
            let problem = format!("{option}: there is no '{unknown}'; there are {}", known.join(", "));
            cli::Options::command().error(ErrorKind::InvalidValue, problem).exit();
        }
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
    for section in SECTIONS.iter().filter(|section| context.options.wants(section.name)) {
        report.begin(section.name, section.about);
        if let Err(error) = (section.run)(&context, &mut report) {
            report.failed(&error);
        }
        report.save()?;
    }
    report.finish()?;
    Ok(report.is_complete())
}
