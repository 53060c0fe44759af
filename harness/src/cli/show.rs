//! `quest show`: one requirement or one quest, in words.

use super::{
    ExitCode, Stop,
    check::{find_quest, id, own_name},
    lesson::{short, with_requirement},
    list::table,
    output::print,
    palette_for, width,
};
use crate::{
    model::Id,
    quests::{self, Quest},
    report::Palette,
    requirements::REGISTRY,
};
use clap::Args;
use std::io;

/// Show what a requirement asks for and how it is checked, or what a quest is about
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quest show R4                what R4 promises, which situation is forced, what decides
  quest show 01                the first lesson: its story, its requirements and where its README is
  quest show 07-pool-server    the same for the last quest")]
pub(super) struct Arguments {
    /// A requirement (R4) or a quest (07-pool-server)
    #[arg(value_name = "ID|QUEST")]
    name: String,

    /// The quest that the requirement belongs to [default: that of this folder, 07-pool-server, or the first that has it]
    #[arg(long, value_name = "NAME")]
    quest: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Stop> {
    let palette = palette_for(&io::stdout());
    let name = arguments.name.trim();
    let text = if let Some(quest) = quests::find(name)? {
        about_quest(&quest, palette)
    } else if looks_like_an_id(name) {
        let quest = with_requirement(name, arguments.quest.as_deref())?;
        about_requirement(&quest, id(&quest, name)?, palette)
    } else {
        about_quest(&find_quest(name)?, palette)
    };
    print(&text)?;
    Ok(ExitCode::Passed)
}

/// `R4`, and also `R99` or `X1`: whoever writes that means a requirement, and is told which there are.
fn looks_like_an_id(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(char::is_alphabetic)
        && !chars.as_str().is_empty()
        && chars.all(|c| c.is_ascii_digit())
}

fn about_quest(quest: &Quest, palette: Palette) -> String {
    let Palette { strong, command, .. } = palette;
    let own = own_name();
    format!(
        "{strong}{id}{strong:#}  {}\n{}\n\n{}{}\n\
         The whole text: quests/{id}/README.md in the repository\n\
         Begin: {command}{own} start {}{command:#}\n\
         Check yours: {command}{own} check PATH{command:#}\n",
        quest.title,
        quest.summary,
        paragraphs(&quest.story),
        table(quest, palette),
        short(&quest.id),
        id = quest.id,
    )
}

fn about_requirement(quest: &Quest, id: Id, palette: Palette) -> String {
    let Palette { strong, dim, command, .. } = palette;
    let rule = quest.rule(id).expect("it was looked up in this quest");
    let requirement = REGISTRY.iter().find(|requirement| requirement.id() == id);
    let own = own_name();
    let of = if quest.id == quests::DEFAULT { String::new() } else { format!(" --quest {}", quest.id) };
    let kind = match id.family() {
        'R' => "required",
        'C' => "a required constraint",
        'B' => "a bonus",
        _ => "hardening: counts with --strict",
    };
    format!(
        "{strong}{id}  {}{strong:#}\n{dim}{}, {} points, {kind}{dim:#}\n\n{}\
         Check it alone: {command}{own} check PATH --only {id} -v{command:#}\n\
         Stuck? {command}{own} hint {id}{of}{command:#}\n",
        rule.title,
        quest.id,
        rule.points,
        requirement.map_or_else(String::new, |requirement| {
            paragraphs(&sentence(requirement.title())) + &paragraphs(requirement.about())
        }),
    )
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

/// Paragraphs, each wrapped, with a blank line after each. Indented lines stay as they are.
pub(super) fn paragraphs(text: &str) -> String {
    let mut wrapped = String::new();
    for paragraph in text.trim().split("\n\n") {
        if paragraph.starts_with(' ') {
            wrapped += paragraph;
        } else {
            let one_line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            wrapped += &textwrap::fill(&one_line, width());
        }
        wrapped += "\n\n";
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_quests_are_told_apart() {
        for id in ["R4", "r4", "R99", "X1"] {
            assert!(looks_like_an_id(id), "{id}");
        }
        for quest in ["07-pool-server", "pool", "", "R", "4"] {
            assert!(!looks_like_an_id(quest), "{quest}");
        }
    }

    #[test]
    fn paragraphs_are_wrapped_and_examples_are_not() {
        assert_eq!(paragraphs("one\ntwo\n\n    as it\n      is\n"), "one two\n\n    as it\n      is\n\n");
    }
}
