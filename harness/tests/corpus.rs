//! Every broken program fails exactly the requirements that its manifest names, and passes all others.
//!
//! One test for each requirement, over the programs that name it first.

mod common;

use common::{Broken, check, not_passed, overlay, programs, unclaimed, with};
use quest::{
    model::{Id, Outcome},
    requirements::REGISTRY,
};

/// Checks the broken programs whose manifest names this id first.
fn killed_by(family: char, number: u8) {
    let id = Id::new(family, number);
    let mut wrong = String::new();
    for (name, broken) in programs::<Broken>("broken") {
        if broken.fails.first() != Some(&id) {
            continue;
        }
        let run = check(overlay(&name, &broken.base).path(), None);
        let right = with(&run, Outcome::Pass).len() + unclaimed(&run);
        if with(&run, Outcome::Fail) != broken.fails || right + broken.fails.len() != REGISTRY.len() {
            wrong += &format!("\n{name} must fail {:?} and nothing else:{}", broken.fails, not_passed(&run));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

macro_rules! one_test_for_each {
    ($($name:ident $family:literal $number:literal;)*) => {
        $(
            #[test]
            fn $name() {
                killed_by($family, $number);
            }
        )*
    };
}

one_test_for_each! {
    r1 'R' 1;
    r2 'R' 2;
    r3 'R' 3;
    r4 'R' 4;
    r5 'R' 5;
    r6 'R' 6;
    r7 'R' 7;
    r8 'R' 8;
    c1 'C' 1;
    c2 'C' 2;
    c3 'C' 3;
    c4 'C' 4;
    c5 'C' 5;
    b1 'B' 1;
    b2 'B' 2;
    b3 'B' 3;
    b4 'B' 4;
    h1 'H' 1;
    h2 'H' 2;
    h3 'H' 3;
    h4 'H' 4;
    h5 'H' 5;
    h6 'H' 6;
    h7 'H' 7;
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
