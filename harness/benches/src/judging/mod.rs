//! How long a verdict takes: `quest check` with R1 to R8 against one Helgrind run of the load of R8, and against a shell script
//! that makes the same checks as far as a shell can. All judge the C solution of quest 07.

mod checks;
mod helgrind;
mod timed;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::report::{Limit, Report};
use crate::section::Section;
use crate::stats::Summary;
use crate::table::Table;
use checks::{IDS, Part, Run};
use timed::Timed;

/// This section.
pub const SECTION: Section =
    Section { name: "judging", about: "The harness: how long a verdict takes, and on what", run };

/// The script takes long, so this is not repeated as often as the rest.
const MOST_ROUNDS: u32 = 3;

const SCRIPT: &str = "harness/benches/peers/shell/checks.sh";
const SOLUTION: &str = "quests/07-pool-server/solution";

/// Everything that was measured, round by round.
#[derive(Default)]
struct Measured {
    helgrind: Vec<Timed>,
    quest: Vec<Run>,
    shell: Vec<Run>,
}

fn run(context: &Context, report: &mut Report) -> Result<()> {
    let folder = Folder::new(context)?;
    let folder = &folder.0;
    let quest = checks::quest(context)?;
    let (solution, script) = (context.in_repository(SOLUTION), context.in_repository(SCRIPT));
    let server = helgrind::build(&solution, folder)?;
    let rounds = context.options.rounds.min(MOST_ROUNDS);
    let bar = context.progress("judging", 3 * rounds as usize);
    let mut measured = Measured::default();
    for _ in 0..rounds {
        bar.set_message("Helgrind");
        measured.helgrind.push(helgrind::run(&server, folder)?);
        bar.inc(1);
        bar.set_message("quest check");
        measured.quest.push(checks::by_quest(&quest, &solution, folder)?);
        bar.inc(1);
        bar.set_message("the shell script");
        measured.shell.push(checks::by_shell(&script, &solution, folder)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    measured.tell(context.options.disturbed / 100.0, report)
}

/// Where everything goes that a judge writes. What is killed cannot clear away, so the next run begins with that.
struct Folder(PathBuf);

impl Folder {
    fn new(context: &Context) -> Result<Folder> {
        let folder = context.in_results("judging");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Measured {
    /// Writes the tables, the goals and the raw figures.
    fn tell(&self, limit: f64, report: &mut Report) -> Result<()> {
        let quest: Vec<Timed> = self.quest.iter().map(|run| run.whole).collect();
        let shell: Vec<Timed> = self.shell.iter().map(|run| run.whole).collect();
        let is_disturbed = [&self.helgrind, &quest, &shell].into_iter().flatten().any(|it| it.others > limit);
        let to_helgrind = ratio(&quest, &self.helgrind);
        let to_shell = ratio(&shell, &quest);
        let mark = if is_disturbed { "~" } else { "" };
        let shown = |summary: Option<Summary>| summary.map_or("-".to_owned(), |it| format!("{mark}{it:.2}"));

        report.text(&format!(
            "The C solution of quest 07, {} rounds in turn; medians with quartiles. quest and the script also build it.",
            quest.len()
        ));
        if is_disturbed {
            report.text("Others used the processors meanwhile.");
        }
        let mut table = Table::new(["who", "seconds", "to one Helgrind run"]);
        table.row(["Helgrind, once, the load of R8".to_owned(), shown(seconds(&self.helgrind))]);
        table.row(["quest check, R1 to R8".to_owned(), shown(seconds(&quest)), shown(to_helgrind)]);
        table.row([
            "the shell script, R1 to R8".to_owned(),
            shown(seconds(&shell)),
            shown(ratio(&shell, &self.helgrind)),
        ]);
        report.table(&table);
        report.goal("R1 to R8 to one Helgrind run, wall time", Limit::AtMost(2.0), to_helgrind, is_disturbed);
        report.goal("the shell script to R1 to R8, wall time", Limit::AtLeast(2.5), to_shell, is_disturbed);

        report.heading("Where the time goes");
        report.text("Two checks of the harness run at a time, the longest first; the script makes one after the other.");
        report.table(&self.parts());
        report.raw("helgrind", &self.helgrind)?;
        report.raw("quest", &self.quest)?;
        report.raw("shell", &self.shell)
    }

    /// Seconds for each requirement.
    fn parts(&self) -> Table {
        let mut table = Table::new(["", "quest check", "the script", "of which sleep"]);
        for id in IDS {
            table.row(self.row(id, |part| part == id));
        }
        table.row(self.row("all, added up", |_| true));
        table
    }

    /// The medians of what the parts with these ids take together.
    fn row(&self, name: &str, is_meant: impl Fn(&str) -> bool) -> [String; 4] {
        let median = |runs: &[Run], figure: fn(&Part) -> f64| {
            let meant =
                |run: &Run| run.parts.iter().filter(|(id, _)| is_meant(id)).map(|(_, it)| figure(it)).sum();
            Summary::of(runs.iter().map(meant)).map_or("-".to_owned(), |it| format!("{:.2}", it.median))
        };
        [
            name.to_owned(),
            median(&self.quest, |part| part.seconds),
            median(&self.shell, |part| part.seconds),
            median(&self.shell, |part| part.slept),
        ]
    }
}

fn seconds(times: &[Timed]) -> Option<Summary> {
    Summary::of(times.iter().map(|it| it.seconds))
}

/// The ratios of wall times in the same round.
fn ratio(a: &[Timed], b: &[Timed]) -> Option<Summary> {
    let seconds = |times: &[Timed]| times.iter().map(|it| Some(it.seconds)).collect::<Vec<_>>();
    Summary::of_ratios(&seconds(a), &seconds(b))
}
