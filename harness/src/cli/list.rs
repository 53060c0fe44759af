//! `quest list`: all quests and what they ask for.

use super::{
    ExitCode, Stop,
    check::own_name,
    lesson::{here, short},
    output::print,
    palette_for,
};
use crate::{
    quests::{Quest, catalogue},
    report::{Palette, escape},
    runner::is_required,
    student::{Kept, State},
};
use clap::Args;
use std::{fmt::Write, io};

/// List all quests and their requirements; where lessons were started, how far you are
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quest list
  quest show 01      one quest and its requirements
  quest show R4      more about one requirement

Where there is a quest-progress.toml, in this folder or above, the list says of each quest whether it has passed, was
started, is open or is closed.")]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> Result<ExitCode, Stop> {
    let palette = palette_for(&io::stdout());
    let quests = catalogue()?;
    let text = match Kept::find(&here()?)? {
        Some(kept) => path(&kept, &quests, palette),
        None => quests.iter().map(|quest| text(quest, palette)).collect::<Vec<_>>().join("\n"),
    };
    print(&text)?;
    Ok(ExitCode::Passed)
}

/// One line per quest: how far the student is with it.
fn path(kept: &Kept, quests: &[Quest], palette: Palette) -> String {
    let Palette { strong, dim, good, unsure, command, .. } = palette;
    let widest = |text: fn(&Quest) -> &str| quests.iter().map(|q| text(q).chars().count()).max().unwrap_or(0);
    let (ids, titles) = (widest(|quest| &quest.id), widest(|quest| &quest.title));
    let mut lines = String::new();
    for quest in quests {
        let (colour, mark, state) = match kept.progress.state(&quest.id, quests) {
            State::Passed(lesson, date) => {
                (good, 'x', format!("passed {date} in {}", lesson.folder.display()))
            }
            State::Started(lesson) => (unsure, '>', format!("started in {}", lesson.folder.display())),
            State::Open => (strong, ' ', "open".to_owned()),
            State::Closed(before) => (dim, '-', format!("closed until {} has passed", short(before))),
        };
        let (id, title, state) = (&quest.id, &quest.title, escape(&state));
        let _ = writeln!(
            lines,
            "{colour}[{mark}]{colour:#} {strong}{id:<ids$}{strong:#}  {title:<titles$}  {colour}{state}{colour:#}"
        );
    }
    let (own, base) = (own_name(), escape(&kept.base.display().to_string()));
    format!(
        "{lines}\n{dim}Folders are below {base}.{dim:#} What a quest asks for: {command}{own} show 01{command:#}\n"
    )
}

fn text(quest: &Quest, palette: Palette) -> String {
    let Palette { strong, dim, .. } = palette;
    let text = format!("{strong}{}{strong:#}  {}\n{dim}{}{dim:#}\n", quest.id, quest.title, quest.summary);
    text + &table(quest, palette)
}

/// One line per requirement: id, points, title.
pub(super) fn table(quest: &Quest, palette: Palette) -> String {
    let Palette { strong, dim, .. } = palette;
    let mut rules: Vec<_> = quest.requirements.iter().collect();
    rules.sort_by_key(|rule| rule.id);
    let mut text = String::new();
    for rule in rules {
        let optional = if is_required(rule.id, false) { "" } else { " (optional)" };
        let id = rule.id.to_string();
        let points = format!("{} points", rule.points);
        let _ =
            writeln!(text, "  {strong}{id:<3}{strong:#}  {dim}{points:>9}{dim:#}  {}{optional}", rule.title);
    }
    text
}
