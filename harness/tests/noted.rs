//! Programs with a habit that costs nothing today pass everything, and their report carries exactly the notes that their
//! manifests name.

mod common;

use common::{as_declared, corpus};
use quest::{quests::corpus::Kind, requirements::NOTES};

#[test]
fn every_habit_is_noted_and_costs_nothing() {
    let habits = corpus().into_iter().filter(|entry| entry.kind == Kind::Noted);
    let wrong: String = habits.filter_map(|entry| as_declared(&entry).err()).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_note_has_a_program_that_deserves_it() {
    let deserved: Vec<String> = corpus().into_iter().flat_map(|entry| entry.notes).collect();
    assert!(NOTES.iter().all(|key| deserved.iter().any(|note| note == key)), "{deserved:?}");
    assert!(deserved.iter().all(|note| NOTES.contains(&note.as_str())), "{deserved:?}");
}
