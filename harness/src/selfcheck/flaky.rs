//! Whether verdicts stay the same: programs of the corpus graded many times, on an idle machine and on a busy one.

use super::{Grader, fingerprint, matrix::Graded};
use crate::{
    error::{HarnessError, RunError},
    lanes::{News, in_lanes},
    model::{Id, Outcome},
    quests::corpus::{Entry, Kind},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    hint,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// The version of the serialised form.
pub const FORMAT_VERSION: u32 = 2;

/// What is to be graded how often.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The quest's id.
    pub quest: &'a str,
    /// The ids that it asks for, in their order.
    pub ids: Vec<Id>,
    /// The programs.
    pub entries: Vec<Entry>,
    /// How often each is graded on an idle machine, and how often on a busy one. Programs that must pass are graded with the seeds
    /// 1 to this: whatever is drawn, they are right. Broken ones always with the seed of `grader`: what one seed has found it
    /// must find each time.
    pub times: u64,
    /// How many are graded at a time.
    pub jobs: usize,
    /// Who grades them.
    pub grader: Grader,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flakiness {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The quest's id.
    pub quest: String,
    /// The columns.
    pub ids: Vec<Id>,
    /// A row for each program.
    pub programs: Vec<Repeated>,
}

/// A program that was graded many times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeated {
    /// What it is there to show.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// What the runs depend on.
    pub fingerprint: String,
    /// The outcome that each id must have every time: the one that its manifest allows; where it allows several, the first
    /// that came out.
    pub reference: BTreeMap<Id, Outcome>,
    /// Each time.
    pub runs: Vec<Trial>,
}

/// One time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Which time it was, from 1 on.
    pub number: u64,
    /// The seed.
    pub seed: u64,
    /// Every core had something else to do.
    pub busy: bool,
    /// Wall time, in milliseconds.
    pub duration_ms: u64,
    /// Where it was not as the reference.
    pub changes: Vec<Change>,
}

/// A verdict that was not as always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which id; none if there was no report at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// What came out instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What was seen.
    pub observed: String,
}

impl Repeated {
    fn new(entry: &Entry, fingerprint: String, ids: &[Id]) -> Self {
        let only = |id: &Id| match entry.allows(*id) {
            [one] => Some((*id, *one)),
            _ => None,
        };
        Self {
            kind: entry.kind,
            name: entry.name.clone(),
            path: entry.path.clone(),
            fingerprint,
            reference: ids.iter().filter_map(only).collect(),
            runs: Vec::new(),
        }
    }

    /// How often this id was not as always.
    pub fn changes(&self, id: Id) -> usize {
        let all = self.runs.iter().flat_map(|run| &run.changes);
        all.filter(|change| change.id.is_none_or(|changed| changed == id)).count()
    }

    /// How many runs had a verdict that was not as always.
    pub fn changed_runs(&self) -> usize {
        self.runs.iter().filter(|run| !run.changes.is_empty()).count()
    }

    fn has(&self, number: u64, busy: bool) -> bool {
        self.runs.iter().any(|run| (run.number, run.busy) == (number, busy))
    }

    fn add(&mut self, (number, seed, busy): (u64, u64, bool), graded: &Graded, ids: &[Id]) {
        let mut changes = Vec::new();
        if let Some(trouble) = &graded.trouble {
            changes.push(Change { id: None, outcome: None, observed: trouble.clone() });
        } else {
            for id in ids {
                let outcome = graded.verdicts.get(id).copied();
                let usual = match (self.reference.get(id), outcome) {
                    (None, Some(first)) => *self.reference.entry(*id).or_insert(first),
                    (usual, _) => usual.copied().unwrap_or(Outcome::Error),
                };
                if outcome != Some(usual) {
                    let observed = graded.observed.get(id).cloned().unwrap_or_default();
                    changes.push(Change { id: Some(*id), outcome, observed });
                }
            }
        }
        self.runs.push(Trial { number, seed, busy, duration_ms: graded.duration_ms, changes });
    }
}

impl Flakiness {
    /// Before the first run; with those of `earlier` where neither the program nor the harness has changed since.
    ///
    /// # Errors
    ///
    /// When a file of a program, or the harness itself, cannot be read.
    pub fn begin(plan: &Plan<'_>, earlier: Option<Self>) -> Result<Self, HarnessError> {
        let harness = plan.grader.with_seed(0).fingerprint()?;
        let known = earlier.map(|earlier| earlier.programs).unwrap_or_default();
        let mut programs = Vec::new();
        for entry in &plan.entries {
            // What is built from more than its folder counts as unchanged as long as the harness is: this is about the harness.
            let mark = fingerprint::of_entry(&harness, entry)?.unwrap_or_else(|| harness.clone());
            let same = |row: &&Repeated| row.path == entry.path && row.fingerprint == mark;
            let row = known.iter().find(same).cloned();
            programs.push(row.unwrap_or_else(|| Repeated::new(entry, mark, &plan.ids)));
        }
        Ok(Self {
            format_version: FORMAT_VERSION,
            quest: plan.quest.to_owned(),
            ids: plan.ids.clone(),
            programs,
        })
    }

    /// How many runs there were.
    pub fn runs(&self) -> usize {
        self.programs.iter().map(|row| row.runs.len()).sum()
    }
}

/// Grades each program again and again, in turn on an idle machine and on a busy one; those runs that `all` does not have yet.
/// `on` is told after each of them, and of which program it was the last.
///
/// # Errors
///
/// When the harness cannot do its part, or the user interrupts; `all` holds what there is.
pub fn run(
    plan: &Plan<'_>,
    all: &mut Flakiness,
    on: &mut dyn FnMut(&Flakiness, usize),
) -> Result<(), RunError> {
    for number in 1..=plan.times {
        for busy in [false, true] {
            let left: Vec<usize> =
                (0..all.programs.len()).filter(|at| !all.programs[*at].has(number, busy)).collect();
            let seed = |at: usize| match plan.entries[at].kind {
                Kind::Broken => plan.grader.seed(),
                _ => number,
            };
            let _load = (busy && !left.is_empty()).then(Load::on_every_core);
            in_lanes(
                plan.jobs,
                &left,
                |at| plan.grader.with_seed(seed(*at)).grade(&plan.entries[*at].path),
                |news| {
                    if let News::Finished(at, graded) = news {
                        all.programs[*at].add((number, seed(*at), busy), &graded, &plan.ids);
                        on(all, *at);
                    }
                },
            )?;
        }
    }
    Ok(())
}

/// Threads that keep every core busy until this is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn on_every_core() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |stop: Arc<AtomicBool>| {
            move || {
                while !stop.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..cores).map(|_| thread::spawn(spin(Arc::clone(&stop)))).collect();
        Self { stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A loop that only looks at a flag does not panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn ids() -> Vec<Id> {
        ["R1", "B1"].map(|id| id.parse().unwrap()).into()
    }

    fn graded(outcomes: [Outcome; 2]) -> Graded {
        Graded { verdicts: std::iter::zip(ids(), outcomes).collect(), ..Graded::default() }
    }

    #[test]
    fn what_is_not_as_always_is_a_change() {
        use Outcome::{Fail, Inconclusive, Pass, Skip};
        let ids = ids();
        let mut row = Repeated::new(&Entry::server(Path::new("x")), String::new(), &ids);
        row.add((1, 1, false), &graded([Pass, Skip]), &ids);
        row.add((1, 1, true), &graded([Inconclusive, Skip]), &ids);
        row.add((2, 2, false), &graded([Fail, Pass]), &ids);
        assert_eq!((row.changes(ids[0]), row.changes(ids[1]), row.changed_runs()), (2, 1, 2));
        row.add((2, 2, true), &Graded { trouble: Some("no".into()), ..Graded::default() }, &ids);
        assert_eq!((row.changes(ids[0]), row.changes(ids[1]), row.changed_runs()), (3, 2, 3));
        assert!(row.has(2, true) && !row.has(3, false));
    }

    #[test]
    fn the_first_run_must_be_what_the_manifest_allows() {
        use Outcome::{Fail, Pass};
        let ids = ids();
        let mut row = Repeated::new(&Entry::server(Path::new("x")), String::new(), &ids);
        row.add((1, 1, false), &graded([Fail, Fail]), &ids);
        row.add((2, 2, false), &graded([Pass, Fail]), &ids);
        assert_eq!((row.changes(ids[0]), row.changes(ids[1])), (1, 0));
    }

    #[test]
    fn load_ends_when_it_is_dropped() {
        let load = Load::on_every_core();
        let stop = Arc::clone(&load.stop);
        drop(load);
        assert!(stop.load(Ordering::Relaxed) && Arc::strong_count(&stop) == 1);
    }
}
