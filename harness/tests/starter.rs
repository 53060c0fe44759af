//! The place where students begin: it builds, it starts, it is quick, and nothing of the quest is done in it.

mod common;

use assert_cmd::Command;
use common::{check, not_passed, quest_folder, with};
use quest::model::{Id, Outcome};
use std::fs;

/// R1 to R8.
fn required() -> Vec<Id> {
    (1..=8).map(|number| Id::new('R', number)).collect()
}

#[test]
fn the_starter_fails_every_requirement_with_evidence() {
    let run = check(&quest_folder().join("starter"), Some(required()));
    assert_eq!(with(&run, Outcome::Fail), required(), "{}", not_passed(&run));
    for verdict in &run.verdicts {
        let evidence = &verdict.evidence;
        let said = [&evidence.expected, &evidence.observed, &evidence.hint, &evidence.again];
        assert!(said.iter().all(|text| !text.is_empty()), "{} says too little: {evidence:?}", verdict.id);
    }
}

#[test]
fn the_command_exits_with_1_and_says_where_to_go_on() {
    let mut command = Command::cargo_bin("quest").unwrap();
    let assert = command.arg("check").arg(quest_folder().join("starter")).args(["--only", "R1,R2"]).assert();
    assert.code(1).stdout(predicates::str::contains("quest hint R1"));
}

#[test]
fn the_starter_refuses_what_the_quest_says_it_must() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("pool_server");
    let sources =
        ["task_queue.c", "thread_pool.c", "handoff_server.c"].map(|f| quest_folder().join("starter").join(f));
    let flags = ["-Wall", "-Wextra", "-Werror", "-pthread", "-o"];
    Command::new("gcc").args(flags).arg(&program).args(sources).assert().code(0).stderr("");
    for (arguments, named) in [
        (vec![], "PORT"),
        (vec!["70000"], "PORT"),
        (vec!["9090", "2-8"], "WORKERS"),
        (vec!["9090", "4", "0"], "CAPACITY"),
        (vec!["9090", "4", "64", "50"], "TASK_TIMEOUT_MS"),
        (vec!["9090", "4", "64", "0", "x"], "surplus"),
    ] {
        let assert = Command::new(&program).args(&arguments).assert().code(2);
        assert.stdout("").stderr(predicates::str::contains(named));
    }
}

/// The state in which a student is for a while: everything goes round, and nothing is computed yet. Answers that are all
/// the same cannot be mixed up, and threads without work cannot race; neither is a pass.
#[test]
fn a_pool_that_computes_nothing_does_not_pass_what_asks_for_computing() {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(quest_folder().join("solution")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let pool = folder.path().join("thread_pool.c");
    let text = fs::read_to_string(&pool).unwrap();
    let computing = "static void compute(struct task *task)\n{\n";
    assert!(text.contains(computing));
    let nothing = format!(
        "{computing}    if (task != NULL) {{\n        task_answer(task, \"ERROR: not implemented\");\n        return;\n    }}\n"
    );
    fs::write(&pool, text.replace(computing, &nothing)).unwrap();
    let run = check(folder.path(), Some(required()));
    let failed = with(&run, Outcome::Fail);
    for (family, number) in [('R', 1), ('R', 5), ('R', 6), ('R', 8)] {
        assert!(failed.contains(&Id::new(family, number)), "{failed:?}{}", not_passed(&run));
    }
    let passed = [2, 3, 4, 7].map(|number| Id::new('R', number));
    assert_eq!(with(&run, Outcome::Pass), passed, "{}", not_passed(&run));
}
