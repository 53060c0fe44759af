//! What a quest asks for: `quest.toml` read into a [`Quest`], and the catalogue of all quests, which is part of the binary.

pub mod corpus;
pub mod files;

use crate::{
    error::{HarnessError, SubmissionError},
    model::Id,
    requirements::Servers,
    submission::{Parts, Submission},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    path::Path,
};

/// The newest `format_version` of a `quest.toml` that is understood.
pub const FORMAT_VERSION: i64 = 1;

/// The quest that is checked when none is named.
pub const DEFAULT: &str = "07-pool-server";

/// How many hints each requirement has.
pub const HINTS: usize = 3;

/// One quest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quest {
    /// [`FORMAT_VERSION`].
    pub format_version: i64,
    /// The name of its folder, such as `07-pool-server`.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// One sentence.
    pub summary: String,
    /// A paragraph or more.
    pub story: String,
    /// What a submission is started with when a requirement has no reason to ask for something else.
    #[serde(default)]
    pub arguments: Arguments,
    /// Which part of a server is handed in; without it, all of one.
    pub submission: Option<Part>,
    /// Hardening counts here as it does elsewhere with `--strict`.
    #[serde(default)]
    pub strict: bool,
    /// What is asked for.
    #[serde(rename = "requirement")]
    pub requirements: Vec<Rule>,
    /// What the quest's starter must fail, if that is not all that is required.
    #[serde(default)]
    pub starter: Starter,
    /// What the quest's own solution claims.
    #[serde(default)]
    pub solution: Solution,
    /// The self-test at the end of a lesson.
    #[serde(default)]
    pub review: Vec<Question>,
    /// Which servers a test harness that is handed in is tried on.
    pub mutation: Option<Mutation>,
    /// For everything that is asked for, three hints: the idea, where to look, nearly the answer.
    pub hints: BTreeMap<Id, [String; HINTS]>,
}

/// The usual arguments of a submission.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// Number of workers.
    pub workers: u32,
    /// Most tasks that may wait.
    pub capacity: u32,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { workers: 4, capacity: 64 }
    }
}

/// One requirement of a quest: what it is called there and what it is worth.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requirement.
    pub id: Id,
    /// Its title in every report.
    pub title: String,
    /// What a pass earns.
    pub points: u32,
}

/// What the quest's own solution claims beyond what is required.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solution {
    /// The bonuses it has.
    #[serde(default)]
    pub claims: Vec<Id>,
}

/// The part of a program that is handed in, and where the rest comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The files that make it up.
    pub files: Vec<String>,
    /// Files of earlier lessons: one's own are used if they are there.
    #[serde(default)]
    pub own: Vec<String>,
    /// The folders of [`files`] that are laid one over the other beneath what is handed in.
    #[serde(default)]
    pub frame: Vec<String>,
}

/// What the starter of a quest must fail.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Starter {
    /// These; if there are none, everything that is required.
    pub fails: Vec<Id>,
}

/// A question of a self-test.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// What is asked.
    pub question: String,
    /// What one should have said.
    pub answer: String,
}

/// The servers that a test harness is tried on, each a folder of the quests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// Right ones, which it must pass.
    pub right: Vec<String>,
    /// Broken ones, which it must fail.
    pub wrong: Vec<String>,
    /// Servers that hang, which it must survive.
    pub hang: Vec<String>,
}

impl Quest {
    /// Reads a `quest.toml`; `folder` is the name of the folder it lies in.
    ///
    /// # Errors
    ///
    /// In words for the author of the quest: the line and what is wrong with it.
    pub fn parse(folder: &str, text: &str) -> Result<Self, HarnessError> {
        let wrong = |what: String| HarnessError::Broken(format!("quests/{folder}/quest.toml: {what}"));
        /// Only the version, so that a newer file is not blamed for keys that this harness does not know.
        #[derive(Deserialize)]
        struct Version {
            format_version: i64,
        }
        let version: Version = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        if version.format_version != FORMAT_VERSION {
            return Err(wrong(format!(
                "format_version is {}, and this harness understands {FORMAT_VERSION}; a newer `quest` may know it",
                version.format_version
            )));
        }
        let quest: Self = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        quest.validate(folder).map_err(wrong)?;
        Ok(quest)
    }

    /// The rule with this id.
    pub fn rule(&self, id: Id) -> Option<&Rule> {
        self.requirements.iter().find(|rule| rule.id == id)
    }

    /// What lies at this path, as this quest takes it: a whole server, or the part that it asks for.
    ///
    /// # Errors
    ///
    /// As [`Submission::recognise`] and [`Submission::recognise_part`].
    pub fn recognise(&self, path: &Path) -> Result<Submission, SubmissionError> {
        let Some(part) = &self.submission else { return Submission::recognise(path) };
        let given = part.frame.iter().flat_map(|folder| files::of(folder)).collect();
        Submission::recognise_part(path, Parts { files: part.files.clone(), own: part.own.clone(), given })
    }

    /// The servers that a test harness which answers this quest is tried on.
    pub fn servers(&self) -> Servers {
        let sources = |folders: &[String]| folders.iter().map(|folder| files::source(folder)).collect();
        self.mutation.as_ref().map_or_else(Servers::default, |Mutation { right, wrong, hang }| Servers {
            right: sources(right),
            wrong: sources(wrong),
            hang: sources(hang),
        })
    }

    /// Does a person who says `name` mean this quest? `07-pool-server`, `pool-server`, `07` and `7` are all understood.
    fn answers_to(&self, name: &str) -> bool {
        let (number, words) = self.id.split_once('-').unwrap_or(("", &self.id));
        let same_number = name.parse::<u32>().is_ok_and(|n| number.parse() == Ok(n));
        name == self.id || name == words || same_number
    }

    fn validate(&self, folder: &str) -> Result<(), String> {
        if self.id != folder {
            return Err(format!("its id is {:?}, and its folder {folder:?}", self.id));
        }
        if self.requirements.is_empty() {
            return Err("it asks for nothing: no [[requirement]]".into());
        }
        let mut seen = HashSet::new();
        if let Some(twice) = self.requirements.iter().find(|rule| !seen.insert(rule.id)) {
            return Err(format!("{} stands in it twice", twice.id));
        }
        if let Some(without) = self.requirements.iter().find(|rule| !self.hints.contains_key(&rule.id)) {
            return Err(format!("[hints] has none for {}", without.id));
        }
        if let Some((id, _)) = self.hints.iter().find(|(_, steps)| steps.iter().any(|s| s.trim().is_empty()))
        {
            return Err(format!("a hint of {id} is empty"));
        }
        if let Some(part) = &self.submission {
            if part.files.is_empty() {
                return Err("[submission] asks for no files".into());
            }
            if let Some(none) = part.frame.iter().find(|folder| files::of(folder).next().is_none()) {
                return Err(format!("[submission] frame: there is nothing in {none}"));
            }
        }
        if let Some(Mutation { right, wrong, hang }) = &self.mutation
            && let Some(none) =
                [right, wrong, hang].into_iter().flatten().find(|folder| files::of(folder).next().is_none())
        {
            return Err(format!("[mutation]: there is nothing in {none}"));
        }
        let Arguments { workers, capacity } = self.arguments;
        if !(1..=64).contains(&workers) || !(1..=65_536).contains(&capacity) {
            return Err(format!("workers ({workers}) must be 1 to 64 and capacity ({capacity}) 1 to 65536"));
        }
        Ok(())
    }
}

/// All quests.
///
/// # Errors
///
/// When a compiled-in `quest.toml` is not as it must be.
pub fn catalogue() -> Result<Vec<Quest>, HarnessError> {
    files::quests().map(|(folder, text)| Quest::parse(folder, text)).collect()
}

/// The quest that is called `name`: `07-pool-server`, `pool-server` or `7`.
///
/// # Errors
///
/// As [`catalogue`].
pub fn find(name: &str) -> Result<Option<Quest>, HarnessError> {
    Ok(catalogue()?.into_iter().find(|quest| quest.answers_to(name)))
}

/// The quest whose folder this path lies in: its starter, its solution, or a program of its corpus. What is handed in says
/// nothing itself; only the folders above it do.
///
/// # Errors
///
/// As [`catalogue`].
pub fn around(path: &Path) -> Result<Option<Quest>, HarnessError> {
    let Ok(path) = path.canonicalize() else { return Ok(None) };
    // quests/02-x/starter, quests/02-x/broken/y
    let above = path.ancestors().skip(1).take(2).filter(|folder| folder.join("quest.toml").is_file());
    let ids: Vec<&OsStr> = above.filter_map(Path::file_name).collect();
    Ok(catalogue()?.into_iter().find(|quest| ids.contains(&OsStr::new(&quest.id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        format_version = 1
        id = "01-x"
        title = "X"
        summary = "s"
        story = "t"
        arguments = { workers = 4, capacity = 64 }
        requirement = [{ id = "R1", title = "one", points = 5 }]
        hints.R1 = ["first", "second", "third"]
    "#;

    fn said(text: &str) -> String {
        Quest::parse("01-x", text).unwrap_err().to_string()
    }

    #[test]
    fn the_catalogue_holds_every_folder_that_has_a_quest() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../quests");
        let mut folders: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("quest.toml").exists())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        folders.sort();
        let ids: Vec<String> = catalogue().unwrap().into_iter().map(|quest| quest.id).collect();
        assert_eq!(ids, folders, "a new folder is noticed when harness/build.rs runs again: touch it");
    }

    #[test]
    fn a_quest_is_found_by_its_id_its_words_and_its_number() {
        for name in ["07-pool-server", "pool-server", "07", "7"] {
            assert_eq!(find(name).unwrap().unwrap().id, DEFAULT, "{name}");
        }
        for name in ["", "pool", "8", "07-"] {
            assert!(find(name).unwrap().is_none(), "{name}");
        }
    }

    #[test]
    fn a_good_quest_is_read() {
        let quest = Quest::parse("01-x", GOOD).unwrap();
        assert_eq!(quest.rule(Id::new('R', 1)).unwrap().points, 5);
        assert!(quest.solution.claims.is_empty());
    }

    /// Every id that the harness knows has hints, and nothing else has.
    #[test]
    fn the_quest_has_hints_for_all_families() {
        let quest = find(DEFAULT).unwrap().unwrap();
        let all: Vec<Id> = [('R', 8), ('C', 5), ('B', 4), ('H', 7)]
            .into_iter()
            .flat_map(|(family, count)| (1..=count).map(move |number| Id::new(family, number)))
            .collect();
        assert_eq!(quest.hints.keys().copied().collect::<Vec<_>>(), all);
        assert!(quest.requirements.iter().all(|rule| all.contains(&rule.id)));
    }

    #[test]
    fn the_version_is_looked_at_before_anything_else() {
        assert!(said("format_version = 2\nnew_key = 1").contains("format_version is 2"));
        assert!(said("id = '01-x'").contains("format_version"));
    }

    #[test]
    fn mistakes_are_named_with_the_file() {
        for (change, to, word) in [
            ("summary", "sumary", "unknown field `sumary`"),
            ("01-x", "02-y", "its folder"),
            ("\"R1\"", "\"X1\"", "`X1` is not an id"),
            ("workers = 4", "workers = 65", "must be 1 to 64"),
            ("hints.R1", "hints.R2", "[hints] has none for R1"),
            ("hints.R1", "hints.X1", "`X1` is not an id"),
            ("\"second\", ", "", "an array of length 3"),
            ("second", " ", "a hint of R1 is empty"),
            ("[{ id = \"R1\", title = \"one\", points = 5 }]", "[]", "asks for nothing"),
            ("5 }]", "5 }, { id = \"R1\", title = \"again\", points = 1 }]", "R1 stands in it twice"),
        ] {
            let text = said(&GOOD.replace(change, to));
            assert!(text.starts_with("quests/01-x/quest.toml: ") && text.contains(word), "{text}");
        }
    }
}
