//! What the commands share that grade the corpus of a quest: which programs, and where to keep what came out.

use super::{Stop, check::find_quest, output::Output, suggest::did_you_mean};
use crate::{
    error::HarnessError,
    model::Id,
    quests::{
        self, Quest,
        corpus::{self, Entry, Kind},
    },
};
use clap::Args;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Which programs of which corpus.
#[derive(Args, Debug)]
pub(super) struct Chosen {
    /// Only these programs, by the names of their folders
    #[arg(value_name = "PROGRAM")]
    programs: Vec<String>,

    /// Only programs of this kind
    #[arg(long, value_name = "KIND", value_enum)]
    only_kind: Option<Kind>,

    /// The quest whose corpus it is; `quest selfcheck` takes all quests without it
    #[arg(long, value_name = "NAME")]
    quest: Option<String>,

    /// The folder of all quests; without it the nearest `quests` here or above
    #[arg(long, value_name = "DIR")]
    quests: Option<PathBuf>,

    /// One more submission, which must pass everything
    #[arg(long, value_name = "PATH")]
    also: Vec<PathBuf>,
}

/// The programs that were chosen.
pub(super) struct Programs {
    pub(super) quest: Quest,
    /// The ids that the quest asks for, in their order.
    pub(super) ids: Vec<Id>,
    pub(super) entries: Vec<Entry>,
}

impl Chosen {
    /// Whether nobody said which programs.
    pub(super) fn all(&self) -> bool {
        self.programs.is_empty() && self.only_kind.is_none()
    }

    /// Of the quest that was named, or of the usual one.
    pub(super) fn programs(&self) -> Result<Programs, Stop> {
        let quest = find_quest(self.quest.as_deref().unwrap_or(quests::DEFAULT))?;
        let mut one = self.of(vec![quest])?;
        Ok(one.pop().expect("one quest has one corpus"))
    }

    /// Of the quest that was named, or of all quests that have any of them.
    pub(super) fn programs_of_all(&self) -> Result<Vec<Programs>, Stop> {
        let quests = match &self.quest {
            Some(name) => vec![find_quest(name)?],
            None => quests::catalogue()?,
        };
        let mut all = self.of(quests)?;
        all.retain(|programs| !programs.entries.is_empty());
        Ok(all)
    }

    fn of(&self, quests: Vec<Quest>) -> Result<Vec<Programs>, Stop> {
        let mut all = Vec::new();
        for quest in quests {
            let folder = folder_of(&quest, self.quests.as_deref())?;
            let entries = corpus::entries(&quest, &folder)?;
            all.push((quest, entries));
        }
        let names = || all.iter().flat_map(|(_, entries)| entries).map(|entry| entry.name.as_str());
        if let Some(name) = self.programs.iter().find(|name| !names().any(|known| known == **name)) {
            let closest = did_you_mean(name, names());
            return Err(Stop::usage(format!("the corpus has no program {name:?}{closest}")));
        }
        Ok(all.into_iter().map(|(quest, entries)| self.chosen(quest, entries)).collect())
    }

    fn chosen(&self, quest: Quest, entries: Vec<Entry>) -> Programs {
        let named = |entry: &Entry| self.programs.is_empty() || self.programs.contains(&entry.name);
        let of_kind = |entry: &Entry| self.only_kind.is_none_or(|kind| kind == entry.kind);
        // A server is nothing to a quest that asks for a part of one.
        let also = self.also.iter().filter(|_| quest.submission.is_none()).map(|path| Entry::server(path));
        let entries =
            entries.into_iter().filter(|entry| named(entry) && of_kind(entry)).chain(also).collect();
        let mut ids: Vec<Id> = quest.requirements.iter().map(|rule| rule.id).collect();
        ids.sort();
        Programs { quest, ids, entries }
    }
}

/// The folder of this quest.
fn folder_of(quest: &Quest, quests: Option<&Path>) -> Result<PathBuf, Stop> {
    let holds = |folder: &Path| folder.join(&quest.id).join("quest.toml").is_file();
    let found = match quests {
        Some(quests) => Some(quests.to_owned()),
        None => {
            let here =
                env::current_dir().map_err(|e| HarnessError::system("find the working directory", e))?;
            let above = here.ancestors().map(|folder| folder.join("quests")).find(|quests| holds(quests));
            // Shown as it would be typed from here, if it lies here.
            above.map(|quests| quests.strip_prefix(&here).map(Path::to_owned).unwrap_or(quests))
        }
    };
    match found {
        Some(quests) if holds(&quests) => Ok(quests.join(&quest.id)),
        Some(quests) => Err(Stop::usage(format!(
            "{} holds no {}/quest.toml: name the folder of all quests",
            quests.display(),
            quest.id
        ))),
        None => Err(Stop::usage(
            "there is no folder `quests` here or above; the corpus is part of the repository: run this there, or name the \
             folder with --quests",
        )),
    }
}

/// This executable, which grades.
pub(super) fn executable() -> Result<PathBuf, Stop> {
    Ok(env::current_exe().map_err(|e| HarnessError::system("find this executable", e))?)
}

/// What an earlier run has kept in a file; nothing if there is none, or if it is of another version: everything is graded
/// again then, and the file replaced.
pub(super) fn kept<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, Stop> {
    match fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HarnessError::system(format!("read {}", file.display()), error).into()),
    }
}

pub(super) fn make_folder(path: &Path) -> Result<(), Stop> {
    fs::create_dir_all(path)
        .map_err(|e| HarnessError::system(format!("make the folder {}", path.display()), e).into())
}

/// Keeps this in a file, which is replaced as a whole.
pub(super) fn keep(file: &Path, what: &impl Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(what).expect("plain data has a JSON form");
    write(file, &format!("{text}\n"))
}

pub(super) fn write(file: &Path, text: &str) -> Result<(), Stop> {
    let mut output = Output::open(Some(file))?;
    output.write(text.as_bytes())?;
    output.finish()
}
