//! `quest list`: all quests and what they ask for.

use super::{ExitCode, Stop, output::print, palette_for};
use crate::{
    quests::{Quest, catalogue},
    report::Palette,
    runner::is_required,
};
use clap::Args;
use std::{fmt::Write, io};

/// List all quests and their requirements
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quest list
  quest show R4      more about one requirement")]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> Result<ExitCode, Stop> {
    let palette = palette_for(&io::stdout());
    let texts: Vec<String> = catalogue()?.iter().map(|quest| text(quest, palette)).collect();
    print(&texts.join("\n"))?;
    Ok(ExitCode::Passed)
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
