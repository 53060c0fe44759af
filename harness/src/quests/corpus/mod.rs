//! The corpus of a quest: programs that are right, and programs with one mistake each, whose manifests say what they must
//! fail. It is what proves the checks.
//!
//! A program in `broken/` or `noted/` holds only the files that differ from another folder of the quest, its base; so may one in
//! `variants/`.

mod whole;

pub use whole::{Whole, whole};

use super::{Quest, Rule};
use crate::{
    error::HarnessError,
    model::{Id, Outcome},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fmt, fs,
    path::{Component, Path, PathBuf},
};

/// What a program of the corpus is there to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Where students begin: fails everything that is required.
    Starter,
    /// The quest's own solution: passes what it claims.
    Solution,
    /// Another program that passes everything, such as this repository's server.
    Server,
    /// A right program that looks wrong: never failed.
    Variant,
    /// One mistake: fails exactly what its manifest names.
    Broken,
    /// A habit that costs nothing today: passes, with exactly the notes that its manifest names.
    Noted,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starter => "starter",
            Self::Solution => "solution",
            Self::Server => "server",
            Self::Variant => "variant",
            Self::Broken => "broken",
            Self::Noted => "noted",
        })
    }
}

/// How rarely a mistake shows by itself, when nothing is forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rarity {
    /// Whenever the situation comes up.
    #[serde(rename = "always")]
    Always,
    /// When the server has much to do.
    #[serde(rename = "under load")]
    UnderLoad,
    /// When threads meet in an order that hardly ever happens.
    #[serde(rename = "rare interleaving")]
    RareInterleaving,
}

/// A program of the corpus.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it shows.
    pub kind: Kind,
    /// The name of its folder.
    pub name: String,
    /// Its folder; what `quest check` is given.
    pub path: PathBuf,
    /// What it must fail, in the order of the ids.
    pub fails: Vec<Id>,
    /// What cannot be judged of it.
    pub inconclusive: Vec<Id>,
    /// The notes that its report must carry.
    pub notes: Vec<String>,
    /// One sentence: why somebody would write it like this, or why it is right.
    pub why: String,
    /// How rare its mistake is, if it has one.
    pub rarity: Option<Rarity>,
    /// The folder that its files are laid over, if they are not all of it.
    pub base: Option<PathBuf>,
    /// The bonuses that the solution claims.
    claims: Vec<Id>,
}

impl Entry {
    /// A program that passes everything, wherever it lies.
    pub fn server(path: &Path) -> Self {
        Self::new(Kind::Server, path.display().to_string(), path.to_owned())
    }

    fn new(kind: Kind, name: String, path: PathBuf) -> Self {
        Self {
            kind,
            name,
            path,
            fails: Vec::new(),
            inconclusive: Vec::new(),
            notes: Vec::new(),
            why: String::new(),
            rarity: None,
            base: None,
            claims: Vec::new(),
        }
    }

    /// The outcomes that are as they must be for this id.
    pub fn allows(&self, id: Id) -> &'static [Outcome] {
        use Outcome::{Fail, Inconclusive, Pass, Skip};
        let unjudged = self.inconclusive.contains(&id);
        match (self.kind, id.family()) {
            (Kind::Starter, _) if self.fails.contains(&id) => &[Fail],
            // What is not there yet may be anything.
            (Kind::Starter, _) => &[Pass, Fail, Inconclusive, Skip],
            (Kind::Solution, 'B') if !self.claims.contains(&id) => &[Skip],
            (Kind::Solution, _) => &[Pass],
            (Kind::Broken, _) if self.fails.contains(&id) => &[Fail],
            (Kind::Broken, _) if unjudged => &[Inconclusive],
            (Kind::Variant, _) if unjudged => &[Pass, Inconclusive],
            (_, 'B') => &[Pass, Skip],
            _ => &[Pass],
        }
    }

    /// Whether its report must carry exactly [`Entry::notes`]. A mistake may well be noted, too, and its manifest need not say.
    pub fn notes_count(&self) -> bool {
        !self.notes.is_empty() || !matches!(self.kind, Kind::Starter | Kind::Broken)
    }
}

/// The `quest.toml` of a broken program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Broken {
    fails: Vec<Id>,
    #[serde(default)]
    inconclusive: Vec<Id>,
    #[serde(default)]
    notes: Vec<String>,
    why: String,
    rarity: Rarity,
}

/// The `quest.toml` of a program with a habit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    notes: Vec<String>,
    why: String,
}

/// The `quest.toml` of a right program that looks wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    looks_wrong: String,
    right_because: String,
    inconclusive: Vec<Id>,
}

/// The base of a program that names none, where it has to have one.
fn usual() -> PathBuf {
    "solution".into()
}

/// What stands in the manifest of a folder beside `format_version` and `base`, and the base: a folder of the quest.
fn manifest<T: DeserializeOwned>(folder: &Path) -> Result<(T, Option<PathBuf>), HarnessError> {
    let file = folder.join("quest.toml");
    let text = fs::read_to_string(&file).map_err(reading(&file))?;
    let wrong = |what: &str| HarnessError::Broken(format!("{}: {what}", file.display()));
    let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| wrong(&e.to_string()))?;
    let version = table.remove("format_version").and_then(|version| version.as_integer());
    if version != Some(super::FORMAT_VERSION) {
        return Err(wrong("format_version is not 1, and this harness understands no other"));
    }
    let base = table.remove("base").map(|base| PathBuf::from(base.as_str().unwrap_or_default()));
    let inside = |part| matches!(part, Component::Normal(_));
    if base.iter().any(|base| base.as_os_str().is_empty() || !base.components().all(inside)) {
        return Err(wrong("`base` is a folder of the quest, such as \"solution\""));
    }
    Ok((T::deserialize(table).map_err(|e| wrong(&e.to_string()))?, base))
}

fn reading(path: &Path) -> impl Fn(std::io::Error) -> HarnessError {
    let path = path.to_owned();
    move |source| HarnessError::system(format!("read {}", path.display()), source)
}

/// Every program of the quest whose folder this is: the starter, the solution, then the others by kind and name.
///
/// # Errors
///
/// When a folder cannot be read, or a manifest is not as it must be; the message names the file.
pub fn entries(quest: &Quest, folder: &Path) -> Result<Vec<Entry>, HarnessError> {
    let top = |kind: Kind| {
        let path = folder.join(kind.to_string());
        Entry { claims: quest.solution.claims.clone(), ..Entry::new(kind, kind.to_string(), path) }
    };
    let required = |rule: &&Rule| rule.id.family() == 'R';
    let fails = match quest.starter.fails.as_slice() {
        [] => quest.requirements.iter().filter(required).map(|rule| rule.id).collect(),
        fails => fails.to_vec(),
    };
    let mut entries = vec![Entry { fails, ..top(Kind::Starter) }, top(Kind::Solution)];
    for (kind, subfolder) in [(Kind::Variant, "variants"), (Kind::Broken, "broken"), (Kind::Noted, "noted")] {
        let mut names = names(&folder.join(subfolder))?;
        names.sort();
        for name in names {
            let path = folder.join(subfolder).join(&name);
            entries.push(entry(kind, name, path, folder)?);
        }
    }
    Ok(entries)
}

/// `quest`: the folder of the quest that it belongs to.
fn entry(kind: Kind, name: String, path: PathBuf, quest: &Path) -> Result<Entry, HarnessError> {
    let wrong = |what: &str| HarnessError::Broken(format!("{}/quest.toml: {what}", path.display()));
    let mut entry = Entry::new(kind, name, path.clone());
    match kind {
        Kind::Broken => {
            let (Broken { fails, inconclusive, notes, why, rarity }, base) = manifest(&path)?;
            let base = Some(quest.join(base.unwrap_or_else(usual)));
            entry = Entry { fails, inconclusive, notes, why, rarity: Some(rarity), base, ..entry };
            if entry.fails.is_empty() || !entry.fails.is_sorted() {
                return Err(wrong("`fails` lists at least one id, in order"));
            }
        }
        Kind::Noted => {
            let (Noted { notes, why }, base) = manifest(&path)?;
            entry = Entry { notes, why, base: Some(quest.join(base.unwrap_or_else(usual))), ..entry };
            if entry.notes.is_empty() {
                return Err(wrong("`notes` lists at least one key"));
            }
        }
        _ => {
            let (Variant { looks_wrong, right_because, inconclusive }, base) = manifest(&path)?;
            let base = base.map(|base| quest.join(base));
            entry = Entry { why: right_because, inconclusive, base, ..entry };
            if looks_wrong.is_empty() {
                return Err(wrong("`looks_wrong` is a sentence"));
            }
        }
    }
    match entry.why.is_empty() {
        true => Err(wrong("it says nowhere why")),
        false => Ok(entry),
    }
}

/// The folders in a folder; none if it is not there.
fn names(folder: &Path) -> Result<Vec<String>, HarnessError> {
    let mut names = Vec::new();
    if !folder.exists() {
        return Ok(names);
    }
    for entry in fs::read_dir(folder).map_err(reading(folder))? {
        let entry = entry.map_err(reading(folder))?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quests::{DEFAULT, find};
    use std::collections::BTreeSet;
    use tempfile::TempDir;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn quest_folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../quests").join(DEFAULT)
    }

    /// A quest with one broken program, whose manifest is this.
    pub(super) fn with_broken(manifest: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("quest.toml", ""),
            ("solution/a.c", "right a"),
            ("solution/b.c", "right b"),
            ("broken/x/b.c", "wrong b"),
            ("broken/x/quest.toml", manifest),
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    pub(super) const GOOD: &str =
        "format_version = 1\nfails = ['R1', 'H2']\nwhy = 'because'\nrarity = 'under load'\n";

    #[test]
    fn the_corpus_is_whole() {
        let quest = find(DEFAULT).unwrap().unwrap();
        let entries = entries(&quest, &quest_folder()).unwrap();
        let count = |kind| entries.iter().filter(|entry| entry.kind == kind).count();
        assert!(count(Kind::Broken) >= 60 && count(Kind::Variant) >= 8, "{}", count(Kind::Variant));
        let rare = entries.iter().filter(|entry| entry.rarity == Some(Rarity::RareInterleaving));
        assert!(rare.count() >= 20);
        for rule in &quest.requirements {
            let killed = entries.iter().filter(|entry| entry.fails.contains(&rule.id)).count();
            assert!(killed >= 2, "{} is failed by {killed} broken programs", rule.id);
        }
        let names: BTreeSet<&Path> = entries.iter().map(|entry| entry.path.as_path()).collect();
        assert!(names.len() == entries.len() && names.iter().all(|path| path.is_dir()));
    }

    #[test]
    fn what_a_program_must_do_follows_from_its_kind() {
        use Outcome::{Fail, Inconclusive, Pass, Skip};
        let folder = with_broken(&format!("{GOOD}inconclusive = ['C3']\n"));
        let broken = entry(Kind::Broken, "x".into(), folder.path().join("broken/x"), folder.path()).unwrap();
        for (text, allowed) in
            [("R1", [Fail].as_slice()), ("H2", &[Fail]), ("R2", &[Pass]), ("C3", &[Inconclusive])]
        {
            assert_eq!(broken.allows(id(text)), allowed, "{text}");
        }
        assert_eq!((broken.allows(id("B1")), broken.notes_count()), ([Pass, Skip].as_slice(), false));

        let quest = find(DEFAULT).unwrap().unwrap();
        let all = entries(&quest, &quest_folder()).unwrap();
        let (starter, solution) = (&all[0], &all[1]);
        assert_eq!((starter.allows(id("R7")), starter.allows(id("H1")).len()), ([Fail].as_slice(), 4));
        let bonus = |claimed: bool| if claimed { [Pass] } else { [Skip] };
        for text in ["B1", "B2", "B3", "B4"] {
            assert_eq!(solution.allows(id(text)), bonus(quest.solution.claims.contains(&id(text))));
        }
        assert_eq!(Entry::server(Path::new(".")).allows(id("B2")), [Pass, Skip]);
    }

    #[test]
    fn a_mistake_in_a_manifest_is_named_with_the_file() {
        for (change, to, word) in [
            ("format_version = 1", "format_version = 2", "format_version is not 1"),
            ("format_version = 1", "", "format_version is not 1"),
            ("fails", "fail", "unknown field `fail`"),
            ("'R1', 'H2'", "'H2', 'R1'", "in order"),
            ("'R1', 'H2'", "", "at least one id"),
            ("'R1'", "'X1'", "`X1` is not an id"),
            ("because", "", "says nowhere why"),
            ("under load", "seldom", "unknown variant `seldom`"),
            ("why", "base = '../x'\nwhy", "`base` is a folder of the quest"),
            ("why", "base = 7\nwhy", "`base` is a folder of the quest"),
        ] {
            let folder = with_broken(&GOOD.replace(change, to));
            let error =
                entry(Kind::Broken, "x".into(), folder.path().join("broken/x"), folder.path()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("broken/x/quest.toml: ") && text.contains(word), "{word}: {text}");
        }
    }
}
