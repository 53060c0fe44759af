//! What is right passes: this repository's server, the C solution, and correct programs that look wrong.

mod common;

use assert_cmd::Command;
use common::{Variant, check, not_passed, notes, programs, quest_folder, with};
use predicates::{prelude::PredicateBooleanExt, str::contains};
use quest::{
    model::{Id, Outcome},
    quests::{DEFAULT, find},
    requirements::REGISTRY,
};
use std::path::Path;

#[test]
fn this_repositorys_server_passes_everything() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Command::cargo_bin("quest")
        .unwrap()
        .arg("check")
        .arg(root)
        .assert()
        .code(0)
        .stdout(contains("100 of 100 points").and(contains(" note ").not()));
}

#[test]
fn the_c_solution_passes_everything() {
    let run = check(&quest_folder().join("solution"), None);
    let claims = find(DEFAULT).unwrap().unwrap().solution.claims;
    let claimed = |id: &Id| id.family() != 'B' || claims.contains(id);
    let expected: Vec<Id> = REGISTRY.iter().map(|requirement| requirement.id()).filter(claimed).collect();
    assert_eq!(with(&run, Outcome::Pass), expected, "{}", not_passed(&run));
    assert_eq!(notes(&run), [""; 0]);
}

#[test]
fn a_right_program_that_looks_wrong_is_never_failed() {
    let mut wrong = String::new();
    for (name, variant) in programs::<Variant>("variants") {
        let run = check(&quest_folder().join("variants").join(&name), None);
        let unexpected = run.verdicts.iter().any(|verdict| match verdict.outcome {
            Outcome::Pass => false,
            Outcome::Skip => verdict.id.family() != 'B',
            Outcome::Inconclusive => !variant.inconclusive.contains(&verdict.id),
            _ => true,
        });
        if unexpected || !notes(&run).is_empty() {
            wrong += &format!("\n{name}: notes {:?}{}", notes(&run), not_passed(&run));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
