//! A folder in which a lesson was started: which quest it answers, and that it passed.

use super::{
    Stop,
    check::{find_quest, own_name},
    palette_for,
};
use crate::{
    error::HarnessError,
    model::Id,
    quests::{self, Quest},
    report::{Palette, escape, shell},
    student::{self, Kept, Noted, State},
};
use std::{
    env, io,
    path::{Path, PathBuf},
};

/// The folder in which the command was called.
pub(super) fn here() -> Result<PathBuf, Stop> {
    env::current_dir().map_err(|e| HarnessError::system("find the current folder", e).into())
}

/// The harness as it was called, for a command that is typed in another folder.
pub(super) fn own_name_elsewhere() -> String {
    match (env::args_os().next(), env::current_dir()) {
        // Found by a path, not through PATH.
        (Some(name), Ok(here)) if Path::new(&name).components().count() > 1 => {
            shell::quoted_path(&here.join(name).components().collect::<PathBuf>())
        }
        _ => own_name(),
    }
}

/// The number of a quest, which is enough to name it.
pub(super) fn short(id: &str) -> &str {
    id.split_once('-').map_or(id, |(number, _)| number)
}

/// The quest that a submission answers: the one that is `named`, the one that was started in its folder, the one whose folder
/// it lies in, or the usual one. With it what is noted of its folder, if that is the same quest.
pub(super) fn of(path: &Path, named: Option<&str>) -> Result<(Quest, Option<Noted>), Stop> {
    if let Some(name) = named {
        let quest = find_quest(name)?;
        let noted = student::noted(path).unwrap_or_else(|error| {
            warn(&format!("the result will not be noted: {error}"));
            None
        });
        let noted = noted.filter(|noted| noted.lesson.quest == quest.id);
        return Ok((quest, noted));
    }
    if let Some(noted) = student::noted(path)? {
        let quest = quests::find(&noted.lesson.quest)?.ok_or_else(|| {
            let (file, quest) = (noted.kept.path(), &noted.lesson.quest);
            Stop::usage(format!(
                "{} notes {quest:?} for this folder, and there is no such quest",
                file.display()
            ))
        })?;
        return Ok((quest, Some(noted)));
    }
    if let Some(quest) = quests::around(path)? {
        return Ok((quest, None));
    }
    if let Some(kept) = Kept::find(path)? {
        warn(&format!(
            "{} does not note this folder, so it is checked as {}; --quest NAME takes another",
            kept.path().display(),
            quests::DEFAULT
        ));
    }
    Ok((find_quest(quests::DEFAULT)?, None))
}

/// The quest whose requirement somebody asks about: the one that is `named`, or else the first that has it: that of the folder
/// in which the command was called, the usual one, any other.
pub(super) fn with_requirement(id: &str, named: Option<&str>) -> Result<Quest, Stop> {
    if let Some(name) = named {
        return find_quest(name);
    }
    let here = here()?;
    let mut quests = Vec::new();
    // Where the progress cannot be read, there is still something to show.
    if let Ok(Some(noted)) = student::noted(&here) {
        quests.extend(quests::find(&noted.lesson.quest)?);
    }
    quests.extend(quests::around(&here)?);
    quests.push(find_quest(quests::DEFAULT)?);
    quests.extend(quests::catalogue()?);
    let id = id.trim().parse::<Id>().ok();
    let at = quests.iter().position(|quest| id.is_some_and(|id| quest.rule(id).is_some()));
    Ok(quests.swap_remove(at.unwrap_or(0)))
}

/// Notes that everything required passed, and says what is open now. The verdicts stand whether or not this can be done.
pub(super) fn passed(noted: Noted, quest: &Quest) {
    let Noted { mut kept, lesson, folder } = noted;
    if let Err(error) = kept.update(|progress| progress.pass(quest, &lesson.folder, student::today())) {
        warn(&format!("{} passed, and that is not noted: {error}", quest.id));
        return;
    }
    let Ok(path) = quests::catalogue() else { return };
    let Palette { verb, command, .. } = palette_for(&io::stderr());
    let own = own_name_elsewhere();
    let (what, how) = match kept.progress.next(&path) {
        None => ("every quest has passed; what do you remember?".to_owned(), format!("{own} review")),
        Some(next) => match kept.progress.state(&next.id, &path) {
            State::Started(lesson) => {
                let folder = kept.base.join(&lesson.folder);
                let text = format!("{} is noted; {} is started:", quest.id, next.id);
                (text, format!("cd {}", shell::quoted_path(&folder)))
            }
            _ => {
                let text = format!("{} is noted; {} is open now:", quest.id, next.id);
                (text, format!("{}{own} start {}", out_of(&folder, &kept), short(&next.id)))
            }
        },
    };
    anstream::eprintln!("{verb}{:>12}{verb:#} {} {command}{how}{command:#}", "Passed", escape(&what));
}

/// What to type first where a new folder would lie inside the one of a lesson; nothing elsewhere.
pub(super) fn out_of(folder: &Path, kept: &Kept) -> String {
    match here() {
        Ok(here) if here == folder && folder.parent() == Some(&kept.base) => "cd .. && ".to_owned(),
        Ok(here) if here.starts_with(folder) => format!("cd {} && ", shell::quoted_path(&kept.base)),
        _ => String::new(),
    }
}

fn warn(text: &str) {
    let unsure = palette_for(&io::stderr()).unsure;
    anstream::eprintln!("{unsure}warning{unsure:#}: {}", escape(text));
}
