//! The lessons before the last quest: their starters fail, their solutions pass, and their broken programs fail exactly what
//! their manifests name.

mod common;

use common::{as_declared_in, check_of, corpus_of, not_passed, whose_turn_it_is, with};
use quest::{
    model::{Id, Outcome},
    quests::{
        catalogue,
        corpus::{Entry, Kind},
        find,
    },
};
use std::collections::BTreeSet;

fn graded(quest: &str) {
    let (broken, right): (Vec<Entry>, Vec<Entry>) =
        corpus_of(quest).into_iter().partition(|entry| entry.kind == Kind::Broken);
    let all = right.into_iter().chain(whose_turn_it_is(broken.into_iter()));
    let wrong: String = all.filter_map(|entry| as_declared_in(quest, &entry).err()).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_task_queue() {
    graded("01");
}

#[test]
fn the_worker_pool() {
    graded("02");
}

#[test]
fn the_shutdown() {
    graded("03");
}

#[test]
fn the_hand_off() {
    graded("04");
}

#[test]
fn errors() {
    graded("05");
}

/// Each script is tried on dozens of servers, so only the first id of each broken one is looked at here; `quest selfcheck` looks
/// at all. One test for each requirement: some of these scripts hang, which takes a minute.
mod the_regression_harness {
    use super::*;

    fn killed_by(number: u8) {
        let id = Id::new('T', number);
        let broken = corpus_of("06").into_iter().filter(|entry| entry.kind == Kind::Broken);
        let mut wrong = String::new();
        for entry in whose_turn_it_is(broken).filter(|entry| entry.fails[0] == id) {
            let run = check_of("06", 1, &entry.path, Some(vec![id]));
            if with(&run, Outcome::Fail) != [id] {
                wrong += &format!("\n{} does not fail {id}:{}", entry.name, not_passed(&run));
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }

    #[test]
    fn t1() {
        killed_by(1);
    }

    #[test]
    fn t2() {
        killed_by(2);
    }

    #[test]
    fn t3() {
        killed_by(3);
    }

    #[test]
    fn t4() {
        killed_by(4);
    }

    #[test]
    fn t5() {
        killed_by(5);
    }

    #[test]
    fn the_solution() {
        let solutions = corpus_of("06").into_iter().filter(|entry| entry.kind == Kind::Solution);
        let wrong: String = solutions.filter_map(|entry| as_declared_in("06", &entry).err()).collect();
        assert!(wrong.is_empty(), "{wrong}");
    }
}

#[test]
fn every_lesson_is_whole() {
    for quest in catalogue().unwrap() {
        let entries = corpus_of(&quest.id);
        let broken: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == Kind::Broken).collect();
        assert!(broken.len() >= 4, "{} has {} broken programs", quest.id, broken.len());
        let killed: BTreeSet<_> = broken.iter().flat_map(|entry| &entry.fails).collect();
        let unproved = quest.requirements.iter().find(|rule| !killed.contains(&rule.id));
        assert!(unproved.is_none(), "{}: nothing fails {:?}", quest.id, unproved.map(|rule| rule.id));
        let required = |rule: &&quest::quests::Rule| quest::runner::is_required(rule.id, quest.strict);
        let points: u32 = quest.requirements.iter().filter(required).map(|rule| rule.points).sum();
        assert_eq!(points, 100, "{}", quest.id);
        let lesson = quest.id != find("07").unwrap().unwrap().id;
        assert!(!lesson || quest.review.len() >= 5, "{} asks {} questions", quest.id, quest.review.len());
    }
}
