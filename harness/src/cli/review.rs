//! `quest review`: the questions of the lessons that have passed, when they are due.

use super::{
    ExitCode, Stop,
    ask::{ask, somebody_is_there},
    check::{find_quest, own_name},
    lesson::{here, short},
    output::print,
    palette_for,
    show::paragraphs,
};
use crate::{
    quests::{Quest, catalogue},
    report::Palette,
    student::{self, FILE, Kept, Review},
};
use clap::Args;
use jiff::civil::Date;
use std::io;

/// Ask the questions of passed lessons again, after 3, 7, 21 and 60 days
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quest review                 the questions that are due; on a terminal one after the other
  quest review 01              only those of lesson 01
  quest review 01 --answers    its questions and answers, due or not

A lesson whose questions you all knew comes again after the next interval, and one with an answer that you did
not know after 3 days. What you have answered is kept when you stop in the middle.")]
pub(super) struct Arguments {
    /// Only this quest: 01, task-queue or 01-task-queue
    name: Option<String>,

    /// Print the questions of one quest with their answers; nothing is noted
    #[arg(long, requires = "name")]
    answers: bool,

    /// Take this for the date of today
    #[arg(long, value_name = "YYYY-MM-DD")]
    today: Option<Date>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Stop> {
    let palette = palette_for(&io::stdout());
    let named = arguments.name.as_deref().map(|name| find_quest(name.trim())).transpose()?;
    if let Some(quest) = named.as_ref().filter(|quest| quest.review.is_empty()) {
        return Err(Stop::usage(format!("{} has no questions for a review", quest.id)));
    }
    if let Some(quest) = named.as_ref().filter(|_| arguments.answers) {
        print(&with_answers(quest, palette))?;
        return Ok(ExitCode::Passed);
    }
    let today = arguments.today.unwrap_or_else(student::today);
    let Some(mut kept) = Kept::find(&here()?)? else {
        let own = own_name();
        return Err(Stop::usage(format!(
            "there is no {FILE} in this folder or above; go to the folder in which you work, or begin: {own} start 01"
        )));
    };
    let quests = match named {
        Some(quest) if kept.progress.passed(&quest.id).is_none() => {
            let (id, number, own) = (&quest.id, short(&quest.id), own_name());
            return Err(Stop::usage(format!(
                "{id} has not passed; its questions come {} days after that\n\
                 to see them now, with the answers: {own} review {number} --answers",
                student::INTERVALS[0]
            )));
        }
        Some(quest) => vec![quest],
        None => catalogue()?,
    };
    let reviews: Vec<(Review, Quest)> =
        quests.into_iter().filter_map(|quest| Some((kept.progress.review(&quest)?, quest))).collect();
    let due: Vec<_> = reviews.iter().filter(|(review, _)| review.is_due(today)).collect();
    if due.is_empty() {
        print(&nothing_due(&reviews))?;
        return Ok(ExitCode::Passed);
    }
    if !somebody_is_there() {
        let texts: Vec<String> =
            due.iter().map(|(review, quest)| without_answers(review, quest, palette)).collect();
        let own = own_name();
        print(&format!("{}\n`{own} review` on a terminal asks one after the other.\n", texts.join("\n")))?;
        return Ok(ExitCode::Passed);
    }
    for (review, quest) in due {
        if !test(review.clone(), quest, &mut kept, today, palette)? {
            break;
        }
    }
    Ok(ExitCode::Passed)
}

/// When the next questions come.
fn nothing_due(reviews: &[(Review, Quest)]) -> String {
    match reviews.iter().min_by_key(|(review, _)| review.due) {
        Some((review, quest)) => {
            format!("nothing is due today; next: {}  {}, on {}\n", quest.id, quest.title, review.due)
        }
        None => format!(
            "nothing is due: no lesson has passed; questions come {} days after that\n",
            student::INTERVALS[0]
        ),
    }
}

fn title(quest: &Quest, rest: &str, palette: Palette) -> String {
    let Palette { strong, dim, .. } = palette;
    format!("{strong}{}  {}{strong:#}{dim}{rest}{dim:#}\n\n", quest.id, quest.title)
}

fn without_answers(review: &Review, quest: &Quest, palette: Palette) -> String {
    let command = palette.command;
    let count = quest.review.len();
    let questions: String = (review.next(count)..count).map(|at| question(quest, at)).collect();
    let title = title(quest, &format!("  due since {}", review.due), palette);
    let (own, number) = (own_name(), short(&quest.id));
    format!("{title}{questions}The answers: {command}{own} review {number} --answers{command:#}\n")
}

fn with_answers(quest: &Quest, palette: Palette) -> String {
    let pairs = (0..quest.review.len()).map(|at| question(quest, at) + &answer(quest, at, palette));
    title(quest, "", palette) + &pairs.collect::<String>()
}

fn question(quest: &Quest, at: usize) -> String {
    paragraphs(&format!("{}. {}", at + 1, quest.review[at].question))
}

fn answer(quest: &Quest, at: usize, palette: Palette) -> String {
    let dim = palette.dim;
    format!("{dim}Answer:{dim:#}\n{}", paragraphs(&quest.review[at].answer))
}

/// Asks the questions of a quest, and notes each answer at once; false when somebody has enough.
fn test(
    mut review: Review,
    quest: &Quest,
    kept: &mut Kept,
    today: Date,
    palette: Palette,
) -> Result<bool, Stop> {
    let Palette { dim, strong, .. } = palette;
    let count = quest.review.len();
    print(&title(quest, &format!("  {count} questions"), palette))?;
    for at in review.next(count)..count {
        print(&question(quest, at))?;
        let enter = format!("{dim}Say it, then Enter for the answer; q to stop:{dim:#} ");
        if ask(&enter).map_err(kept_all)?.is_none_or(|line| line.starts_with('q')) {
            return Ok(false);
        }
        print(&answer(quest, at, palette))?;
        let Some(known) = known(palette)? else { return Ok(false) };
        review.answer(known, count, today);
        kept.update(|progress| progress.note(review.clone()))?;
    }
    print(&format!("{strong}{}{strong:#}: the next time on {}\n\n", quest.id, review.due))?;
    Ok(true)
}

/// Whether an answer was known; `None` when somebody has enough.
fn known(palette: Palette) -> Result<Option<bool>, Stop> {
    let dim = palette.dim;
    loop {
        let Some(line) = ask(&format!("{dim}did you know it? [y/n/q]{dim:#} ")).map_err(kept_all)? else {
            return Ok(None);
        };
        match line.chars().next() {
            Some('y') => return Ok(Some(true)),
            Some('n') => return Ok(Some(false)),
            Some('q') => return Ok(None),
            _ => {}
        }
    }
}

/// Ctrl-C in the middle of a self-test.
fn kept_all(stop: Stop) -> Stop {
    match stop.code {
        ExitCode::Interrupted => Stop { message: "interrupted; what was answered is noted".into(), ..stop },
        _ => stop,
    }
}
