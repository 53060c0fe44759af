//! The kill matrix, for people: on the terminal as it grows, and as a page.

mod page;
mod terminal;

pub use page::page;
pub use terminal::{end, head, row};

use crate::{
    model::{Id, Outcome},
    quests::corpus::Kind,
    selfcheck::{Matrix, Row},
};

/// One cell: the letter for what came out, a capital where it is not what must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    letter: char,
    outcome: Option<Outcome>,
    right: bool,
}

impl Cell {
    fn of(row: &Row, id: Id) -> Self {
        let outcome = row.graded.verdicts.get(&id).copied();
        let right = row.graded.trouble.is_none() && row.mismatches.iter().all(|wrong| wrong.id != Some(id));
        let letter = match (outcome, right) {
            (Some(Outcome::Pass), true) => '\u{b7}',
            (Some(Outcome::Pass), false) => 'P',
            (Some(Outcome::Fail), true) => 'x',
            (Some(Outcome::Fail), false) => 'X',
            (Some(Outcome::Inconclusive), true) => '?',
            (Some(Outcome::Inconclusive), false) => 'I',
            (Some(Outcome::Skip), true) => '-',
            (Some(Outcome::Skip), false) => 'S',
            (Some(Outcome::Error) | None, _) => '!',
        };
        Self { letter, outcome, right }
    }
}

/// What the letters mean.
const LEGEND: &str =
    "x failed  \u{b7} passed  - not claimed  ? not judged  X P S I the same, but wrong  ! no verdict";

/// `broken    146 of 147 failed exactly the ids in their manifests`, a line for each kind that there is.
fn sentences(matrix: &Matrix) -> Vec<String> {
    let words = [
        (Kind::Starter, "failed everything that is required"),
        (Kind::Solution, "passed all that it claims"),
        (Kind::Server, "passed everything"),
        (Kind::Variant, "were not failed, although they look wrong"),
        (Kind::Broken, "failed exactly the ids in their manifests"),
        (Kind::Noted, "passed with exactly the notes in their manifests"),
    ];
    let counted = words.map(|(kind, what)| (matrix.count(kind), kind.to_string(), what));
    let said = counted.into_iter().filter(|((all, _), ..)| *all > 0);
    said.map(|((all, right), kind, what)| format!("{kind:<9} {right} of {all} {what}")).collect()
}

#[cfg(test)]
mod samples {
    //! A matrix for the tests of the two.

    use crate::{
        model::{Id, Outcome},
        quests::corpus::{Entry, Kind},
        selfcheck::{Graded, Matrix, Row},
    };
    use std::path::Path;

    pub(super) fn matrix() -> Matrix {
        let ids: Vec<Id> = ["R1", "R2", "C1", "B1"].map(|id| id.parse().unwrap()).into();
        let row = |kind, name: &str, fails: &[usize], outcomes: [Outcome; 4]| {
            let mut entry = Entry::server(Path::new(name));
            (entry.kind, entry.why) = (kind, "I <think> so".into());
            entry.fails = fails.iter().map(|at| ids[*at]).collect();
            let observed = std::iter::zip(&ids, outcomes).filter(|(_, outcome)| *outcome != Outcome::Pass);
            let graded = Graded {
                duration_ms: 1234,
                verdicts: std::iter::zip(ids.iter().copied(), outcomes).collect(),
                observed: observed.map(|(id, _)| (*id, format!("seen <{id}>"))).collect(),
                ..Graded::default()
            };
            Row::new(&entry, None, graded, &ids)
        };
        use Outcome::{Fail, Pass, Skip};
        let mut matrix = Matrix {
            format_version: 1,
            quest: "07-pool-server".into(),
            seed: 1,
            ids: ids.clone(),
            programs: vec![
                row(Kind::Server, "server", &[], [Pass, Pass, Pass, Skip]),
                row(Kind::Broken, "killed", &[0], [Fail, Pass, Pass, Pass]),
                row(Kind::Broken, "missed", &[1], [Pass, Pass, Fail, Skip]),
            ],
        };
        let trouble = Graded { trouble: Some("exit status: 3: no".into()), ..Graded::default() };
        matrix.programs.push(Row::new(&Entry::server(Path::new("gone")), None, trouble, &ids));
        matrix
    }
}
