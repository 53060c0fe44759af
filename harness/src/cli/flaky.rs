//! `quest flaky`: grades programs of the corpus many times and counts the verdicts that were not as always.

use super::{
    ExitCode, Stop,
    check::stop,
    corpus::{Chosen, executable, keep, kept, make_folder},
    exit_code,
    output::wrote,
    screen::Screen,
};
use crate::{
    quests::corpus::{Entry, Kind, Rarity},
    report::flaky as report,
    runner,
    selfcheck::{
        Grader,
        flaky::{self, FORMAT_VERSION, Flakiness, Plan},
    },
};
use clap::Args;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Show that verdicts stay the same: grade programs many times, on an idle and on a busy machine
#[derive(Args, Debug)]
#[command(after_help = format!("\
Without names: the solution, every right program that looks wrong, and ten broken programs whose mistake \
is a rare interleaving. Each is graded N times with nothing else to do and N times with every core kept busy: \
right programs with the seeds 1 to N, since they must pass with any, and broken ones with seed 1 each time, since what \
it finds it must find again. A verdict that is not the one that the manifest asks for is a change; so is `inconclusive`.

Examples:
  quest flaky --times 20                              all of them, 40 runs each
  quest flaky --times 200 --out target/flaky          keeps the runs, and goes on where it stopped
  quest flaky solution semaphores --times 50          two programs

Exit status:
  0    nothing has changed
  1    some verdict has
{}", exit_code::HELP_OTHERS))]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,

    /// How often each program is graded in each of the two ways
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    times: u64,

    /// Keep flaky.json in this folder, and take over from there what has not changed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// How many programs are graded at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

/// The name of the file in `--out`.
const JSON: &str = "flaky.json";
/// How many broken programs are graded if nobody says which.
const BROKEN: usize = 10;
/// The file is written no more often than this, and at the end: it may be long.
const KEEP_EVERY: Duration = Duration::from_secs(10);

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Stop> {
    let mut programs = arguments.chosen.programs()?;
    if arguments.chosen.all() {
        programs.entries = telling(programs.entries);
    }
    let plan = Plan {
        quest: &programs.quest.id,
        ids: programs.ids,
        entries: programs.entries,
        times: arguments.times,
        jobs: arguments.jobs.into(),
        grader: Grader::new(executable()?, runner::DEFAULT_SEED),
    };
    let json = arguments.out.as_ref().map(|out| out.join(JSON));
    let earlier = match &json {
        Some(file) => kept::<Flakiness>(file)?.filter(|kept| kept.format_version == FORMAT_VERSION),
        None => None,
    };
    if let Some(out) = &arguments.out {
        make_folder(out)?;
    }
    let mut all = Flakiness::begin(&plan, earlier)?;
    let started = Instant::now();
    let mut kept_at = Instant::now();
    let total = plan.entries.len() * 2 * usize::try_from(plan.times).unwrap_or(usize::MAX);
    let mut screen = Screen::new();
    screen.write(|look, out| report::head(&plan, look, out));
    screen.progress.doing(format!("{} of {total} runs", all.runs()));
    let result = flaky::run(&plan, &mut all, &mut |all, at| {
        let row = &all.programs[at];
        if let Some(trial) = row.runs.last() {
            screen.write(|look, out| report::trial(row, trial, look, out));
        }
        if let (Some(file), true) = (&json, kept_at.elapsed() >= KEEP_EVERY) {
            screen.note(|_| keep(file, all));
            kept_at = Instant::now();
        }
        screen.progress.doing(format!("{} of {total} runs", all.runs()));
    });
    screen.progress.done();
    // What there is until now is kept and shown even if the rest will not come.
    if let Some(file) = &json {
        screen.note(|_| keep(file, &all));
    }
    screen.write(|look, out| report::end(&all, started.elapsed(), look, out));
    result.map_err(stop)?;
    screen.finish()?;
    if let Some(file) = &json {
        wrote(&file.display().to_string());
    }
    let changed = all.programs.iter().any(|row| row.changed_runs() > 0);
    Ok(if changed { ExitCode::Failed } else { ExitCode::Passed })
}

/// All right programs, and some broken ones from all over the corpus.
fn telling(entries: Vec<Entry>) -> Vec<Entry> {
    let is_rare = |entry: &Entry| entry.rarity == Some(Rarity::RareInterleaving);
    let rare: Vec<Entry> = entries.iter().filter(|entry| is_rare(entry)).cloned().collect();
    let count = BROKEN.min(rare.len());
    let some = (0..count).map(|number| rare[number * rare.len() / count].clone());
    let right = |entry: &Entry| matches!(entry.kind, Kind::Solution | Kind::Server | Kind::Variant);
    entries.into_iter().filter(right).chain(some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quests::{DEFAULT, corpus::entries, find};
    use std::{collections::BTreeSet, path::Path};

    #[test]
    fn ten_broken_programs_are_among_those_that_tell() {
        let quest = find(DEFAULT).unwrap().unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../quests").join(DEFAULT);
        let chosen = telling(entries(&quest, &folder).unwrap());
        let count = |kind| chosen.iter().filter(|entry| entry.kind == kind).count();
        assert_eq!(count(Kind::Broken), BROKEN);
        let names: BTreeSet<&str> = chosen.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names.len(), chosen.len());
        assert!(count(Kind::Solution) == 1 && count(Kind::Variant) >= 7 && count(Kind::Starter) == 0);
    }
}
