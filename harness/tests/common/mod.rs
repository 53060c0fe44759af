//! What the tests share that check whole programs.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use quest::{
    model::{Id, Outcome, Run},
    quests::{
        DEFAULT,
        corpus::{Entry, Kind, Whole, entries, whole},
        find,
    },
    runner::{Command, DEFAULT_SCHEDULES, Plan, run},
    selfcheck::{Graded, Row},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The folder of the quest.
pub fn quest_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../quests").join(DEFAULT).canonicalize().unwrap()
}

/// The whole corpus.
pub fn corpus() -> Vec<Entry> {
    corpus_of(DEFAULT)
}

/// The whole corpus of a quest.
pub fn corpus_of(name: &str) -> Vec<Entry> {
    let quest = find(name).unwrap().unwrap();
    entries(&quest, &quest_folder().with_file_name(&quest.id)).unwrap()
}

/// `1`, `2` or `3`: only every third broken program, from this one on. Otherwise all.
const THIRD: &str = "QUEST_CORPUS_THIRD";

/// Those broken programs whose turn it is.
pub fn whose_turn_it_is(broken: impl Iterator<Item = Entry>) -> impl Iterator<Item = Entry> {
    let (skipped, step) = match env::var(THIRD).as_deref() {
        Ok("1") => (0, 3),
        Ok("2") => (1, 3),
        Ok("3") => (2, 3),
        Ok(other) => panic!("{THIRD} is {other:?}, and can be 1, 2 or 3"),
        Err(_) => (0, 1),
    };
    broken.skip(skipped).step_by(step)
}

/// How many orders of steps are drawn where none is needed to find a mistake. `quest selfcheck` draws as many as `quest check`
/// does, but the tests have less time.
pub const FEW_SCHEDULES: usize = 1;

/// Grades a program of the corpus as `quest selfcheck` does, and fails where what comes out is not what must come out.
pub fn as_declared(entry: &Entry) -> Result<(), String> {
    as_declared_in(DEFAULT, entry)
}

/// The same for a program of another quest.
pub fn as_declared_in(quest: &str, entry: &Entry) -> Result<(), String> {
    let whole = whole(&entry.path).unwrap();
    let path = whole.as_ref().map_or(entry.path.as_path(), Whole::path);
    let rules = find(quest).unwrap().unwrap().requirements;
    let mut ids: Vec<Id> = rules.iter().map(|rule| rule.id).collect();
    ids.sort();
    let ours = matches!(entry.kind, Kind::Solution | Kind::Server);
    let (many, few): (Vec<Id>, Vec<Id>) = ids.iter().partition(|id| ours || entry.fails.contains(*id));
    let parts = [(DEFAULT_SCHEDULES, many), (FEW_SCHEDULES, few)];
    let runs = parts.into_iter().filter(|(_, ids)| !ids.is_empty());
    let run =
        runs.map(|(schedules, ids)| check_of(quest, schedules, path, Some(ids))).reduce(|mut run, more| {
            run.verdicts.extend(more.verdicts);
            run.verdicts.sort_by_key(|verdict| verdict.id);
            run
        });
    let run = run.expect("some requirement is registered");
    let row = Row::new(entry, None, Graded::of_run(&run, Duration::ZERO), &ids);
    if row.mismatches.is_empty() {
        return Ok(());
    }
    let wrong: String = row.mismatches.iter().map(|wrong| format!("\n    {}", wrong.what)).collect();
    Err(format!("\n{}:{wrong}{}", entry.name, not_passed(&run)))
}

/// Checks a submission; all ids, or only some.
pub fn check(path: &Path, only: Option<Vec<Id>>) -> Run {
    check_in(DEFAULT_SCHEDULES, path, only)
}

/// The same in so many orders of steps.
pub fn check_in(schedules: usize, path: &Path, only: Option<Vec<Id>>) -> Run {
    check_of(DEFAULT, schedules, path, only)
}

/// The same of another quest.
pub fn check_of(quest: &str, schedules: usize, path: &Path, only: Option<Vec<Id>>) -> Run {
    let quest = find(quest).unwrap().unwrap();
    let submission = quest.recognise(path).unwrap();
    let command = Command { quest: "quest".into(), submission: path.display().to_string() };
    // As `quest check` does it.
    let strict = quest.strict;
    run(&Plan { only, lanes: 2, schedules, strict, ..Plan::new(&quest, &submission, command) }, &mut |_| {})
        .unwrap()
}

/// The ids with this outcome.
pub fn with(run: &Run, outcome: Outcome) -> Vec<Id> {
    run.verdicts.iter().filter(|verdict| verdict.outcome == outcome).map(|verdict| verdict.id).collect()
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

/// The variable that tells the build of [`package_whose_build_never_ends`] where to connect.
pub const ADDRESS: &str = "QUEST_TEST_ADDRESS";

/// Writes a package whose build never ends; it says through a connection that it has begun, and the end of that connection
/// says that it is gone.
pub fn package_whose_build_never_ends(folder: &Path) {
    let build = format!(
        "fn main() {{\n    let _open = std::net::TcpStream::connect(env!({ADDRESS:?})).unwrap();\n    loop {{\n        \
         std::thread::park();\n    }}\n}}\n"
    );
    let manifest = "[package]\nname = \"pool_server\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
    fs::create_dir_all(folder.join("src")).unwrap();
    for (name, text) in [("Cargo.toml", manifest), ("build.rs", &build), ("src/main.rs", "fn main() {}\n")] {
        fs::write(folder.join(name), text).unwrap();
    }
}
