//! The kill matrix: programs times ids, what came out, and where that is not what it must be.

use crate::{
    model::{Id, Outcome, Run},
    quests::corpus::{Entry, Kind},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// The version of the matrix's serialised form.
pub const FORMAT_VERSION: u32 = 1;

/// Programs times ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The quest's id.
    pub quest: String,
    /// The seed of every check.
    pub seed: u64,
    /// The columns.
    pub ids: Vec<Id>,
    /// A row for each program.
    pub programs: Vec<Row>,
}

/// What came out for one program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graded {
    /// Wall time, in milliseconds.
    pub duration_ms: u64,
    /// Why there is no report, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The outcome for each id.
    pub verdicts: BTreeMap<Id, Outcome>,
    /// What was seen where something did not pass.
    pub observed: BTreeMap<Id, String>,
    /// The keys of the notes.
    pub notes: Vec<String>,
}

impl Graded {
    /// There is no report, for this reason.
    pub(super) fn none(trouble: String, took: Duration) -> Self {
        Self { trouble: Some(trouble), duration_ms: milliseconds(took), ..Self::default() }
    }

    /// What a run says.
    pub fn of_run(run: &Run, took: Duration) -> Self {
        let seen = run.verdicts.iter().filter(|verdict| verdict.outcome != Outcome::Pass);
        let words = |observed: &str, place: &str| match place {
            "" => observed.to_owned(),
            place => format!("{observed} [{place}]"),
        };
        Self {
            duration_ms: milliseconds(took),
            trouble: None,
            verdicts: run.verdicts.iter().map(|verdict| (verdict.id, verdict.outcome)).collect(),
            observed: seen.map(|v| (v.id, words(&v.evidence.observed, &v.evidence.place))).collect(),
            notes: run.verdicts.iter().flat_map(|v| &v.notes).map(|note| note.key.clone()).collect(),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A program, what came out for it, and what is wrong with that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What it is there to show.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// What it must fail.
    pub fails: Vec<Id>,
    /// Why it is as it is.
    pub why: String,
    /// What all of this depends on; rows without one are not taken over by a later run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What came out.
    #[serde(flatten)]
    pub graded: Graded,
    /// Where it is not what it must be.
    pub mismatches: Vec<Mismatch>,
}

/// A verdict that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Which id; none if it concerns the whole program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// What must be, and what is.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

impl Matrix {
    pub(super) fn new(quest: &str, seed: u64, ids: Vec<Id>) -> Self {
        Self { format_version: FORMAT_VERSION, quest: quest.to_owned(), seed, ids, programs: Vec::new() }
    }

    /// Adds a row and says where it is.
    pub(super) fn add(&mut self, row: Row) -> usize {
        self.programs.push(row);
        self.programs.len() - 1
    }

    /// Puts the rows into the order of these entries.
    pub(super) fn sort(&mut self, entries: &[Entry]) {
        self.programs.sort_by_key(|row| entries.iter().position(|entry| entry.path == row.path));
    }

    /// What came out for the program with this fingerprint.
    pub(super) fn graded(&self, fingerprint: Option<&str>) -> Option<Graded> {
        let same = |row: &&Row| row.fingerprint.is_some() && row.fingerprint.as_deref() == fingerprint;
        self.programs.iter().find(same).map(|row| row.graded.clone())
    }

    /// How many programs of this kind there are, and how many of them are as they must be.
    pub fn count(&self, kind: Kind) -> (usize, usize) {
        let of_kind = || self.programs.iter().filter(move |row| row.kind == kind);
        (of_kind().count(), of_kind().filter(|row| row.mismatches.is_empty()).count())
    }

    /// How many broken programs this id must fail, and how many of them it did fail.
    pub fn kills(&self, id: Id) -> (usize, usize) {
        let mine =
            || self.programs.iter().filter(move |row| row.kind == Kind::Broken && row.fails.contains(&id));
        (mine().count(), mine().filter(|row| row.graded.verdicts.get(&id) == Some(&Outcome::Fail)).count())
    }

    /// Everything that is not as it must be.
    pub fn mismatches(&self) -> impl Iterator<Item = (&Row, &Mismatch)> {
        self.programs.iter().flat_map(|row| row.mismatches.iter().map(move |mismatch| (row, mismatch)))
    }
}

impl Row {
    /// `ids`: those that the quest asks for.
    pub fn new(entry: &Entry, fingerprint: Option<String>, graded: Graded, ids: &[Id]) -> Self {
        Self {
            kind: entry.kind,
            name: entry.name.clone(),
            path: entry.path.clone(),
            fails: entry.fails.clone(),
            why: entry.why.clone(),
            fingerprint,
            mismatches: mismatches(entry, &graded, ids),
            graded,
        }
    }
}

/// Where what came out is not what must come out.
fn mismatches(entry: &Entry, graded: &Graded, ids: &[Id]) -> Vec<Mismatch> {
    if let Some(trouble) = &graded.trouble {
        let what = format!("it was not graded: {trouble}");
        let advice = "a program of the corpus builds, starts and ends; look at what `quest check` says of it";
        return vec![Mismatch { id: None, what, advice: advice.into() }];
    }
    let mut found: Vec<Mismatch> =
        ids.iter().filter_map(|id| mismatch(entry, *id, graded.verdicts.get(id).copied())).collect();
    if entry.notes_count() && graded.notes != entry.notes {
        let words = |notes: &[String]| if notes.is_empty() { "no note".into() } else { notes.join(", ") };
        found.push(Mismatch {
            id: None,
            what: format!("it must be noted with {}, and got {}", words(&entry.notes), words(&graded.notes)),
            advice: "a note is for a habit that its text describes: correct the check of the note, or `notes` in the \
                     manifest"
                .into(),
        });
    }
    found
}

fn mismatch(entry: &Entry, id: Id, outcome: Option<Outcome>) -> Option<Mismatch> {
    let allowed = entry.allows(id);
    if outcome.is_some_and(|outcome| allowed.contains(&outcome)) {
        return None;
    }
    let must = allowed.iter().map(|outcome| outcome.word()).collect::<Vec<_>>().join(" or ");
    let got = outcome.map_or("no verdict", Outcome::word);
    let advice = match (outcome, entry.kind) {
        (Some(Outcome::Pass), Kind::Broken) => {
            "the check has missed the mistake: make the situation in which it shows. Only if the program is right there, take \
             the id out of `fails`"
        }
        (Some(Outcome::Fail), Kind::Broken) => {
            "a false accusation, or a consequence of the mistake: if the evidence is true, the id belongs in `fails`; if not, \
             correct the check"
        }
        (Some(Outcome::Fail), _) => {
            "a false accusation, if the program is right: its evidence says what the check took amiss"
        }
        (Some(Outcome::Inconclusive), _) => {
            "find what keeps the harness from telling; `inconclusive` in the manifest is for what nobody could tell"
        }
        (Some(Outcome::Skip), _) => "it was taken for a bonus that is not claimed: its evidence says why",
        (Some(Outcome::Error) | None, _) => "the harness failed: its evidence says where",
        (Some(Outcome::Pass), _) => "it does not show any more what it is there to show",
    };
    Some(Mismatch { id: Some(id), what: format!("{id} must be {must}, and is {got}"), advice: advice.into() })
}
