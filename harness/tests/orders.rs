//! Orders of steps drawn from a seed: they find what the situations that are always forced do not reach, and the same seed
//! draws the same ones.

mod common;

use common::{check_in, quest_folder};
use quest::{
    model::{Id, Outcome},
    quests::corpus::whole,
};

/// What is said about one id of a broken program in so many orders.
fn said(program: &str, id: Id, schedules: usize) -> (Outcome, String) {
    let whole = whole(&quest_folder().join("broken").join(program)).unwrap().unwrap();
    let run = check_in(schedules, whole.path(), Some(vec![id]));
    let verdict = &run.verdicts[0];
    (verdict.outcome, verdict.evidence.observed.clone())
}

#[test]
fn one_condition_for_two_causes_is_found_in_some_order_and_in_no_other_way() {
    let (r1, program) = (Id::new('R', 1), "one-condition-for-both");
    assert_eq!(said(program, r1, 0).0, Outcome::Pass);
    let (outcome, observed) = said(program, r1, 60);
    assert_eq!(outcome, Outcome::Fail, "{observed}");
    assert!(observed.contains("of those drawn from seed 1"), "{observed}");
}

#[test]
fn the_same_seed_finds_the_same_in_the_same_order_with_the_same_steps() {
    let steps = || {
        let (outcome, observed) = said("remembers-before-it-knows", Id::new('R', 6), 60);
        assert_eq!(outcome, Outcome::Fail, "{observed}");
        observed
    };
    let first = steps();
    for _ in 0..3 {
        assert_eq!(steps(), first);
    }
}
