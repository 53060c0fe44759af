//! `quest start`: a new folder with the starter of a quest and what one has written for the lessons before.

use super::{
    ExitCode, Stop,
    check::{find_quest, own_name},
    lesson::{here, out_of, own_name_elsewhere, short},
    output::print,
    palette_for,
};
use crate::{
    error::HarnessError,
    quests::{Quest, catalogue, files},
    report::{Palette, escape, shell},
    student::{self, Kept, State},
};
use clap::Args;
use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Start a quest in a new folder: its starter, and your own files of the lessons before
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quest start 01 my-queue        the first lesson, in the new folder my-queue
  quest start 02                 the second, in the new folder 02-worker-pool
  quest start 04 x --anyway      although lesson 03 has not passed
  quest list                     which quests have passed, and which are open

A quest opens when the one before it has passed (`quest check`). What was started and what passed is
kept in quest-progress.toml, in this folder or the nearest one above that has it.")]
pub(super) struct Arguments {
    /// The quest: 01, task-queue or 01-task-queue
    name: String,

    /// The new folder [default: named like the quest, in this folder]
    dir: Option<PathBuf>,

    /// Start it although the quest before it has not passed
    #[arg(long)]
    anyway: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Stop> {
    let quest = find_quest(arguments.name.trim())?;
    let path = catalogue()?;
    let here = here()?;
    let mut kept = match Kept::find(&here)? {
        Some(kept) => kept,
        None => Kept::new(&here)?,
    };
    if !arguments.anyway
        && let Some(before) = kept.progress.closed_by(&quest.id, &path)
    {
        return Err(closed(&quest, before, &kept, &path));
    }
    let dir = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(&quest.id));
    let new = New::at(&dir, &kept, &quest)?;
    let own: Vec<Own> = own_files(&quest).iter().map(|name| Own::find(name, &quest, &kept, &path)).collect();
    let starter = format!("{}/starter", quest.id);
    let mut content: Vec<(&str, &[u8])> = files::of(&starter).collect();
    let names: Vec<&str> = content.iter().map(|(name, _)| *name).collect();
    content.extend(own.iter().filter_map(|own| Some((own.name.as_str(), own.bytes.as_deref()?))));
    new.make(&content)?;
    let noted = kept.update(|progress| progress.start(&quest.id, &new.relative, student::today()));
    if let Err(error) = noted {
        // Made just now, and nobody else knows it.
        let _ = fs::remove_dir_all(&new.target);
        return Err(error.into());
    }
    print(&said(&quest, &dir, &names, &own, palette_for(&io::stdout())))?;
    Ok(ExitCode::Passed)
}

/// Why a quest is closed and what opens it.
fn closed(quest: &Quest, before: &str, kept: &Kept, path: &[Quest]) -> Stop {
    let own = own_name();
    let first = match kept.progress.state(before, path) {
        State::Started(lesson) => {
            format!("to go on with that: {own} check {}", shell::quoted_path(&kept.base.join(&lesson.folder)))
        }
        State::Closed(_) => format!("what is open: {own} list"),
        _ => format!("to start that: {own} start {}", short(before)),
    };
    Stop::usage(format!(
        "{} is closed: it opens when {before} has passed\n{first}\nto start it all the same: add --anyway",
        quest.id
    ))
}

/// The files of earlier lessons that this one is built with.
fn own_files(quest: &Quest) -> &[String] {
    quest.submission.as_ref().map_or(&[], |part| &part.own)
}

/// A file of an earlier lesson.
struct Own {
    name: String,
    /// The folder that it comes from, as it is noted.
    from: PathBuf,
    /// What is in it; `None` if no lesson that passed has it.
    bytes: Option<Vec<u8>>,
}

impl Own {
    /// The newest of the lessons before that passed.
    fn find(name: &str, quest: &Quest, kept: &Kept, path: &[Quest]) -> Self {
        let lessons = kept.progress.passed_before(&quest.id, path);
        let found = lessons.into_iter().find_map(|lesson| {
            let file = kept.base.join(&lesson.folder).join(name);
            let bytes = file.is_file().then(|| fs::read(&file).ok()).flatten()?;
            Some((lesson.folder.clone(), bytes))
        });
        let (from, bytes) = found.map_or_else(Default::default, |(from, bytes)| (from, Some(bytes)));
        Self { name: name.to_owned(), from, bytes }
    }
}

/// The folder that is made.
struct New {
    /// Absolute and without links.
    target: PathBuf,
    /// Seen from the folder of the progress file.
    relative: PathBuf,
}

impl New {
    /// Where `dir` is, if a folder may be made there.
    fn at(dir: &Path, kept: &Kept, quest: &Quest) -> Result<Self, Stop> {
        let not = |why: String| Stop::usage(format!("{} {why}", escape(&dir.display().to_string())));
        let other = format!("name another folder: {} start {} FOLDER", own_name(), short(&quest.id));
        let target = if fs::symlink_metadata(dir).is_ok() {
            let target = dir.canonicalize().map_err(|e| not(format!("cannot be used: {e}\n{other}")))?;
            let mut inside = fs::read_dir(&target)
                .map_err(|e| not(format!("is there already and cannot be used: {e}\n{other}")))?;
            if target != kept.base && inside.next().is_some() {
                return Err(not(format!("is there already and is not empty; nothing was changed\n{other}")));
            }
            target
        } else {
            let parent =
                dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let parent = parent
                .canonicalize()
                .map_err(|e| not(format!("cannot be made: its folder {}: {e}", parent.display())))?;
            parent.join(dir.file_name().ok_or_else(|| not(format!("is no name for a folder\n{other}")))?)
        };
        let relative = match target.strip_prefix(&kept.base) {
            Ok(relative) if !relative.as_os_str().is_empty() => relative.to_owned(),
            _ => {
                let base = kept.base.display();
                return Err(not(format!(
                    "is no folder inside of {base}, where {} is kept\n\
                     name one there, or go to the folder in which all your lessons are to lie",
                    student::FILE
                )));
            }
        };
        if let Some((lesson, folder)) = kept.around(&target)
            && folder != target
        {
            let name = dir.file_name().map_or_else(String::new, |name| format!(" {}", shell::quoted(name)));
            let command =
                format!("{}{} start {}{name}", out_of(&folder, kept), own_name_elsewhere(), short(&quest.id));
            return Err(not(format!(
                "would lie inside the folder of {}; start it beside that: {command}",
                lesson.quest
            )));
        }
        if relative.to_str().is_none() {
            return Err(not(format!("is not UTF-8, which {} has to be\n{other}", student::FILE)));
        }
        Ok(Self { target, relative })
    }

    /// Makes the folder with these files: all of them, or nothing.
    fn make(&self, files: &[(&str, &[u8])]) -> Result<(), Stop> {
        let failed = |e| HarnessError::system(format!("making the folder {}", self.target.display()), e);
        let parent = self.target.parent().unwrap_or(Path::new("/"));
        let draft = tempfile::Builder::new()
            .prefix(".quest-start-")
            // As for any other new folder; the umask takes from it.
            .permissions(fs::Permissions::from_mode(0o777))
            .tempdir_in(parent)
            .map_err(failed)?;
        for (name, bytes) in files {
            // A script can be started.
            let mode = if bytes.starts_with(b"#!") { 0o777 } else { 0o666 };
            let file = draft.path().join(name);
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
            file.and_then(|mut file| file.write_all(bytes)).map_err(failed)?;
        }
        // An empty folder makes way, and one that was filled meanwhile does not.
        fs::rename(draft.path(), &self.target).map_err(failed)?;
        let _ = draft.keep();
        Ok(())
    }
}

/// What is there now, and what to do next.
fn said(quest: &Quest, dir: &Path, names: &[&str], own: &[Own], palette: Palette) -> String {
    let Palette { strong, command, .. } = palette;
    let quest_command = own_name_elsewhere();
    let (number, folder) = (short(&quest.id), escape(&dir.display().to_string()));
    let mut text = format!(
        "{strong}{}{strong:#}  {}\nstarted in {folder}: {}\n",
        quest.id,
        quest.title,
        names.join(", ")
    );
    for Own { name, from, bytes } in own {
        let _ = match bytes {
            Some(_) => writeln!(text, "took {name} from {}", escape(&from.display().to_string())),
            None => writeln!(
                text,
                "no {name} of yours: no lesson that passed has it, so the check uses the one of the solution"
            ),
        };
    }
    let _ = write!(
        text,
        "\nNext:\n  \
         {command}{quest_command} show {number}{command:#}    what it is about and where its README is\n  \
         {command}cd {}{command:#}\n  \
         {command}{quest_command} check{command:#}\n",
        shell::quoted_path(dir)
    );
    text
}
