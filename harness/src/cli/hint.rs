//! `quest hint`: three hints for each requirement, one at a time.

use super::{
    ExitCode, Stop,
    ask::{ask, somebody_is_there},
    check::{id, own_name},
    lesson::with_requirement,
    output::print,
    palette_for,
    show::paragraphs,
};
use crate::{
    model::Id,
    quests::{self, HINTS, Quest},
    report::Palette,
};
use clap::Args;
use std::io;

/// What each hint is.
const KINDS: [&str; HINTS] = ["the idea", "where to look", "nearly the answer"];

/// Help with a requirement: three hints, each nearer to the answer, one at a time
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quest hint R4             the first hint for R4; on a terminal, Enter shows the next
  quest hint R4 --step 2    the second hint only
  quest hint R4 --all       all three
  quest show R4             what R4 asks for and how it is checked")]
pub(super) struct Arguments {
    /// A requirement, such as R4
    #[arg(value_name = "ID")]
    name: String,

    /// Show this hint only: 1 (the idea), 2 (where to look) or 3 (nearly the answer)
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=HINTS as i64))]
    step: Option<u8>,

    /// Show all hints at once
    #[arg(long, conflicts_with = "step")]
    all: bool,

    /// The quest that the requirement belongs to [default: that of this folder, 07-pool-server, or the first that has it]
    #[arg(long, value_name = "NAME")]
    quest: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Stop> {
    let quest = with_requirement(&arguments.name, arguments.quest.as_deref())?;
    let palette = palette_for(&io::stdout());
    let hints = Hints { id: id(&quest, &arguments.name)?, quest: &quest, palette };
    let asks = somebody_is_there();
    let (first, last) = match arguments.step.map(usize::from) {
        Some(step) => (step, step),
        None if arguments.all || asks => (1, HINTS),
        None => (1, 1),
    };
    print(&hints.title())?;
    for step in first..=last {
        print(&hints.step(step))?;
        if step < last && !arguments.all && !another(palette)? {
            return Ok(ExitCode::Passed);
        }
    }
    print(&hints.after(last))?;
    Ok(ExitCode::Passed)
}

/// The hints of one requirement.
struct Hints<'a> {
    quest: &'a Quest,
    id: Id,
    palette: Palette,
}

impl Hints<'_> {
    fn title(&self) -> String {
        let strong = self.palette.strong;
        let title = self.quest.rule(self.id).map_or("", |rule| &rule.title);
        format!("{strong}{}  {title}{strong:#}\n\n", self.id)
    }

    fn step(&self, step: usize) -> String {
        let dim = self.palette.dim;
        let text = self.quest.hints.get(&self.id).map_or("", |hints| &hints[step - 1]);
        format!("{dim}Hint {step} of {HINTS}: {}{dim:#}\n\n{}", KINDS[step - 1], paragraphs(text))
    }

    /// What to do when the hint with this number was not enough.
    fn after(&self, step: usize) -> String {
        let command = self.palette.command;
        let of = match self.quest.id.as_str() {
            quests::DEFAULT => String::new(),
            other => format!(" --quest {other}"),
        };
        let (text, arguments) = match step {
            HINTS => ("What is asked for and how it is checked", format!("show {}{of}", self.id)),
            _ => ("The next one", format!("hint {}{of} --step {}", self.id, step + 1)),
        };
        format!("{text}: {command}{} {arguments}{command:#}\n", own_name())
    }
}

/// Asks whoever sits at the terminal for one more; false when it is enough.
fn another(palette: Palette) -> Result<bool, Stop> {
    let Palette { dim, .. } = palette;
    let answer = ask(&format!("{dim}Enter for the next hint, q to stop:{dim:#} "))?;
    Ok(answer.is_some_and(|line| !line.starts_with('q')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hint_leads_back_to_the_requirement_and_the_others_to_the_next() {
        let quest = quests::find(quests::DEFAULT).unwrap().unwrap();
        let hints = Hints { quest: &quest, id: Id::new('R', 4), palette: Palette::plain() };
        assert!(hints.after(1).ends_with(" hint R4 --step 2\n"), "{}", hints.after(1));
        assert!(hints.after(HINTS).ends_with(" show R4\n"), "{}", hints.after(HINTS));
        let other = Quest { id: "08-other".into(), ..quest.clone() };
        let hints = Hints { quest: &other, ..hints };
        assert!(hints.after(2).ends_with(" hint R4 --quest 08-other --step 3\n"), "{}", hints.after(2));
    }
}
