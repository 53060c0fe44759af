//! Programs with a habit that costs nothing today pass everything, and their report carries exactly the notes that their
//! manifests name.

mod common;

use common::{Noted, check, not_passed, notes, overlay_of, programs, unclaimed, with};
use quest::{
    model::Outcome,
    requirements::{NOTES, REGISTRY},
};

#[test]
fn every_habit_is_noted_and_costs_nothing() {
    let mut wrong = String::new();
    for (name, noted) in programs::<Noted>("noted") {
        let run = check(overlay_of("noted", &name, &noted.base).path(), None);
        if with(&run, Outcome::Pass).len() + unclaimed(&run) != REGISTRY.len() || notes(&run) != noted.notes {
            wrong += &format!(
                "\n{name} must pass with the notes {:?}: {:?}{}",
                noted.notes,
                notes(&run),
                not_passed(&run)
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_note_has_a_program_that_deserves_it_and_every_manifest_is_whole() {
    let habits = programs::<Noted>("noted");
    for key in NOTES {
        assert!(habits.values().any(|noted| noted.notes.iter().any(|name| name == key)), "{key}");
    }
    for (name, noted) in habits {
        let known = noted.notes.iter().all(|key| NOTES.contains(&key.as_str()));
        assert!(
            !noted.notes.is_empty() && known && !noted.why.is_empty() && noted.format_version == 1,
            "{name}"
        );
    }
}
