//! Every broken program fails exactly the requirements that its manifest names, and passes all others.
//!
//! One test for each requirement, over the programs that name it first.

mod common;

use common::{Broken, check, not_passed, overlay, programs, with};
use quest::{
    model::{Id, Outcome},
    requirements::REGISTRY,
};

/// Checks the broken programs whose manifest names this id first.
fn killed_by(number: u8) {
    let id = Id::new('R', number);
    let mut wrong = String::new();
    for (name, broken) in programs::<Broken>("broken") {
        if broken.fails.first() != Some(&id) {
            continue;
        }
        let run = check(overlay(&name).path(), None);
        if with(&run, Outcome::Fail) != broken.fails
            || with(&run, Outcome::Pass).len() + broken.fails.len() != REGISTRY.len()
        {
            wrong += &format!("\n{name} must fail {:?} and nothing else:{}", broken.fails, not_passed(&run));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn r1() {
    killed_by(1);
}

#[test]
fn r2() {
    killed_by(2);
}

#[test]
fn r3() {
    killed_by(3);
}

#[test]
fn r4() {
    killed_by(4);
}

#[test]
fn r5() {
    killed_by(5);
}

#[test]
fn r6() {
    killed_by(6);
}

#[test]
fn r7() {
    killed_by(7);
}

#[test]
fn r8() {
    killed_by(8);
}

#[test]
fn every_requirement_has_two_broken_programs_and_every_manifest_is_whole() {
    let corpus = programs::<Broken>("broken");
    for requirement in REGISTRY {
        let killed = corpus.values().filter(|broken| broken.fails.contains(&requirement.id())).count();
        assert!(killed >= 2, "{} is failed by {killed} broken programs", requirement.id());
    }
    for (name, broken) in corpus {
        let mut sorted = broken.fails.clone();
        sorted.sort();
        assert!(
            !sorted.is_empty() && sorted == broken.fails,
            "{name}: `fails` lists at least one id, in order"
        );
        assert!(!broken.why.is_empty(), "{name}: `why` is a sentence");
        assert!(
            ["always", "under load", "rare interleaving"].contains(&broken.rarity.as_str()),
            "{name}: `rarity`"
        );
    }
}
