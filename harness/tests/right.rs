//! What is right passes: this repository's server, the C solution, and correct programs that look wrong.

mod common;

use assert_cmd::Command;
use common::{as_declared, corpus};
use predicates::{prelude::PredicateBooleanExt, str::contains};
use quest::quests::corpus::{Entry, Kind};
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

/// The entry of the corpus with this name.
fn entry(name: &str) -> Entry {
    corpus().into_iter().find(|entry| entry.name == name).unwrap()
}

#[test]
fn the_c_solution_passes_everything() {
    as_declared(&entry("solution")).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// A right program that looks wrong.
fn never_failed(name: &str) {
    as_declared(&entry(name)).unwrap_or_else(|wrong| panic!("{wrong}"));
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
            let variants = corpus().into_iter().filter(|entry| entry.kind == Kind::Variant);
            let folders: Vec<String> = variants.map(|entry| entry.name).collect();
            assert_eq!(folders, [$($folder),*]);
        }
    };
}

one_test_for_each! {
    batching "batching";
    c11_threads "c11-threads";
    dynamic_pool "dynamic-pool";
    event_count "event-count";
    pipe_and_table "pipe-and-table";
    ring_per_worker "ring-per-worker";
    rust_std "rust-std";
    rwlock_and_dup "rwlock-and-dup";
    semaphores "semaphores";
    single_file_blocking_push "single-file-blocking-push";
    two_condvars_timed "two-condvars-timed";
}
