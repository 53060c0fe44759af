//! `quest selfcheck`: grades the whole corpus of a quest and says where a verdict is not what the manifests say.

use super::{
    ExitCode, Stop,
    check::stop,
    corpus::{Chosen, Programs, executable, keep, kept, make_folder, write},
    exit_code,
    output::wrote,
    screen::Screen,
};
use crate::{
    error::HarnessError,
    report::{escape, matrix},
    runner,
    selfcheck::{self, Event, FORMAT_VERSION, Grader, Matrix, Plan, Row},
};
use clap::Args;
use std::{path::PathBuf, thread, time::Instant};

/// Prove the checks: grade every program of the corpus and compare with its manifest
#[derive(Args, Debug)]
#[command(after_help = format!("\
The starter must fail all that is required, the solution and the right programs that look wrong \
must pass, and every broken program must fail exactly the ids that its quest.toml names.

Examples:
  quest selfcheck                            every quest; takes half an hour
  quest selfcheck --quest 02                 one quest
  quest selfcheck --out target/selfcheck     with the matrix as JSON and as a page;
                                             goes on where it was interrupted
  quest selfcheck semaphores c11-threads     two programs of the corpus
  quest selfcheck --only-kind variant        all right programs that look wrong

Exit status:
  0    everything is as it must be
  1    some verdict is not
{}", exit_code::HELP_OTHERS))]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,

    /// Write a matrix for each quest into this folder, as JSON and as a page, and take over from there what has not changed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Grade everything again, whatever an earlier run has found
    #[arg(long, requires = "out")]
    fresh: bool,

    /// How many programs are graded at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,

    /// The seed of every check
    #[arg(long, value_name = "N", default_value_t = runner::DEFAULT_SEED)]
    seed: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Stop> {
    let all = arguments.chosen.programs_of_all()?;
    if let Some(out) = &arguments.out {
        make_folder(out)?;
    }
    let mut right = true;
    for programs in all {
        right &= of_one_quest(arguments, programs)?;
    }
    Ok(if right { ExitCode::Passed } else { ExitCode::Failed })
}

/// Grades the programs of one quest; true if all are as they must be.
fn of_one_quest(arguments: &Arguments, programs: Programs) -> Result<bool, Stop> {
    let plan = Plan {
        quest: &programs.quest.id,
        ids: programs.ids,
        entries: programs.entries,
        jobs: arguments
            .jobs
            .map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from),
        grader: Grader::new(executable()?, arguments.seed),
    };
    let file = |end: &str| arguments.out.as_ref().map(|out| out.join(format!("{}.{end}", plan.quest)));
    let json = file("json");
    let earlier = match &json {
        Some(file) if !arguments.fresh => kept::<Matrix>(file)?,
        _ => None,
    };
    let started = Instant::now();
    let count = plan.entries.len();
    let mut screen = Screen::new();
    let show = |screen: &mut Screen, matrix: &Matrix, row: &Row| {
        if matrix.programs.len() == 1 {
            screen.write(|look, out| matrix::head(matrix, count, look, out));
        }
        screen.write(|look, out| matrix::row(matrix, row, look, out));
    };
    let graded = selfcheck::run(
        &plan,
        earlier.filter(|matrix| matrix.format_version == FORMAT_VERSION).as_ref(),
        &mut |event| match event {
            Event::Started(entry) => {
                screen.progress.doing(format!("{} {}", entry.kind, escape(&entry.name)));
            }
            Event::TakenOver(matrix, row) => show(&mut screen, matrix, row),
            Event::Finished(matrix, row) => {
                show(&mut screen, matrix, row);
                if let Some(file) = &json {
                    screen.note(|_| keep(file, matrix));
                }
            }
        },
    );
    screen.progress.done();
    let matrix = graded.map_err(stop)?;
    screen.write(|look, out| matrix::end(&matrix, started.elapsed(), look, out));
    screen.finish()?;
    if let (Some(json), Some(html)) = (&json, file("html")) {
        keep(json, &matrix)?;
        let page = matrix::page(&matrix).map_err(|e| HarnessError::Broken(format!("make the page: {e}")))?;
        write(&html, &page)?;
        wrote(&json.with_extension("{json,html}").display().to_string());
    }
    Ok(matrix.mismatches().next().is_none())
}
