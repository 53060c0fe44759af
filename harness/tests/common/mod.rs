//! What the tests share that check whole programs.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use quest::{
    model::{Id, Outcome, Run},
    quests::{DEFAULT, find},
    runner::{Command, Plan, run},
    submission::Submission,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The folder of the quest.
pub fn quest_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../quests").join(DEFAULT).canonicalize().unwrap()
}

/// The `quest.toml` of a broken program: what it must fail, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    pub format_version: u32,
    pub fails: Vec<Id>,
    /// What cannot be judged of it: a server that does not exit has no end to look at.
    #[serde(default)]
    pub inconclusive: Vec<Id>,
    pub why: String,
    pub rarity: String,
    /// What its files are laid over.
    #[serde(default = "solution")]
    pub base: String,
}

fn solution() -> String {
    "solution".into()
}

/// The `quest.toml` of a program that passes with a note in the margin: a habit that costs nothing today.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    pub format_version: u32,
    pub notes: Vec<String>,
    pub why: String,
    /// What its files are laid over.
    #[serde(default = "solution")]
    pub base: String,
}

/// The `quest.toml` of a correct program that looks wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub format_version: u32,
    pub looks_wrong: String,
    pub right_because: String,
    pub inconclusive: Vec<Id>,
}

/// The programs in a subfolder of the quest, with their manifests.
pub fn programs<T: for<'a> Deserialize<'a>>(subfolder: &str) -> BTreeMap<String, T> {
    let folders = fs::read_dir(quest_folder().join(subfolder)).unwrap().map(|entry| entry.unwrap());
    folders
        .map(|folder| {
            let manifest = folder.path().join("quest.toml");
            let text =
                fs::read_to_string(&manifest).unwrap_or_else(|e| panic!("{}: {e}", manifest.display()));
            let parsed = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", manifest.display()));
            (folder.file_name().into_string().unwrap(), parsed)
        })
        .collect()
}

/// A broken program as a whole: its base (a folder of the quest) with the files that differ laid over it.
pub fn overlay(name: &str, base: &str) -> TempDir {
    overlay_of("broken", name, base)
}

/// The same for a program in another subfolder of the quest.
pub fn overlay_of(subfolder: &str, name: &str, base: &str) -> TempDir {
    let whole = tempfile::tempdir().unwrap();
    lay_over(&quest_folder().join(base), whole.path());
    lay_over(&quest_folder().join(subfolder).join(name), whole.path());
    whole
}

fn lay_over(folder: &Path, whole: &Path) {
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let copy = whole.join(file.file_name().unwrap());
        if file.is_dir() {
            fs::create_dir_all(&copy).unwrap();
            lay_over(&file, &copy);
        } else if !file.ends_with("quest.toml") {
            fs::copy(&file, copy).unwrap();
        }
    }
}

/// Checks a submission; all ids, or only some.
pub fn check(path: &Path, only: Option<Vec<Id>>) -> Run {
    let quest = find(DEFAULT).unwrap().unwrap();
    let submission = Submission::recognise(path).unwrap();
    let command = Command { quest: "quest".into(), submission: path.display().to_string() };
    // As `quest check` does it.
    run(&Plan { only, lanes: 2, ..Plan::new(&quest, &submission, command) }, &mut |_| {}).unwrap()
}

/// The ids with this outcome.
pub fn with(run: &Run, outcome: Outcome) -> Vec<Id> {
    run.verdicts.iter().filter(|verdict| verdict.outcome == outcome).map(|verdict| verdict.id).collect()
}

/// The keys of all notes in the report.
pub fn notes(run: &Run) -> Vec<&str> {
    run.verdicts.iter().flat_map(|verdict| &verdict.notes).map(|note| note.key.as_str()).collect()
}

/// How many bonuses were skipped because the submission does not claim them.
pub fn unclaimed(run: &Run) -> usize {
    with(run, Outcome::Skip).iter().filter(|id| id.family() == 'B').count()
}

/// Everything that was not passed, with its evidence: what a failing test should print.
pub fn not_passed(run: &Run) -> String {
    run.verdicts
        .iter()
        .filter(|verdict| verdict.outcome != Outcome::Pass)
        .map(|verdict| {
            let (id, word, evidence) = (verdict.id, verdict.outcome.word(), &verdict.evidence);
            format!("\n    {id} {word}: {} [{}]", evidence.observed, evidence.place)
        })
        .collect()
}
