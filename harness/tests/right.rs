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

/// A right program that looks wrong.
fn never_failed(name: &str) {
    let variant = &programs::<Variant>("variants")[name];
    let run = check(&quest_folder().join("variants").join(name), None);
    let unexpected = run.verdicts.iter().any(|verdict| match verdict.outcome {
        Outcome::Pass => false,
        Outcome::Skip => verdict.id.family() != 'B',
        Outcome::Inconclusive => !variant.inconclusive.contains(&verdict.id),
        _ => true,
    });
    assert!(!unexpected && notes(&run).is_empty(), "notes {:?}{}", notes(&run), not_passed(&run));
}

macro_rules! one_test_for_each {
    ($($name:ident $folder:literal;)*) => {
        $(
            #[test]
            fn $name() {
                never_failed($folder);
            }
        )*

        #[test]
        fn every_variant_is_tested() {
            let folders: Vec<String> = programs::<Variant>("variants").into_keys().collect();
            assert_eq!(folders, [$($folder),*]);
        }
    };
}

one_test_for_each! {
    batching "batching";
    c11_threads "c11-threads";
    dynamic_pool "dynamic-pool";
    pipe_and_table "pipe-and-table";
    ring_per_worker "ring-per-worker";
    rust_std "rust-std";
    rwlock_and_dup "rwlock-and-dup";
    semaphores "semaphores";
    single_file_blocking_push "single-file-blocking-push";
    two_condvars_timed "two-condvars-timed";
}
