//! Every broken program fails exactly the requirements that its manifest names, and passes all others.
//!
//! One test for each requirement, over the programs that name it first.

mod common;

use common::{as_declared, corpus, corpus_of, quest_folder, whose_turn_it_is};
use quest::{
    model::Id,
    quests::{
        catalogue,
        corpus::{Entry, Kind},
    },
};
use std::fs;

/// Checks the broken programs whose manifest names this id first.
fn killed_by(family: char, number: u8) {
    let first = Some(Id::new(family, number));
    let mine = corpus()
        .into_iter()
        .filter(|entry| entry.kind == Kind::Broken && entry.fails.first().copied() == first);
    let wrong: String = whose_turn_it_is(mine).filter_map(|entry| as_declared(&entry).err()).collect();
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
fn every_section_of_the_requirements_names_only_programs_that_fail_its_id() {
    let text = fs::read_to_string(quest_folder().join("../../docs/requirements.md")).unwrap();
    let all = catalogue().unwrap();
    let entries = all.iter().flat_map(|quest| corpus_of(&quest.id));
    let broken: Vec<Entry> = entries.filter(|entry| entry.kind == Kind::Broken).collect();
    let mut proofs = 0;
    for section in text.split("\n## ").skip(1) {
        let Ok(id) = section.split(':').next().unwrap_or_default().parse::<Id>() else { continue };
        let proof = section.split("**Proved by** ").nth(1).and_then(|rest| rest.split("\n\n").next());
        let proof = proof.unwrap_or_else(|| panic!("{id} is proved by nothing"));
        // Every other piece stands between backquotes; one with a slash is a link.
        for name in proof.split('`').skip(1).step_by(2).filter(|piece| !piece.contains('/')) {
            let proves = |entry: &Entry| entry.name == name && entry.fails.contains(&id);
            assert!(broken.iter().any(proves), "{name} does not fail {id}");
            proofs += 1;
        }
    }
    assert!(proofs > 100, "{proofs}");
}
