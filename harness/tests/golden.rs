//! Golden transcripts: what `quest check` prints for twelve telling programs, word for word but for what no two runs share.
//!
//! `SNAPSHOTS=overwrite cargo test --package quest-harness --test golden` records them anew; read the difference before you
//! commit it.

mod common;

use assert_cmd::Command;
use common::quest_folder;
use regex::Regex;
use snapbox::{Assert, Data};
use std::path::Path;

/// Numbers that another run has otherwise, and what stands for them.
const DIFFERENT_EACH_TIME: [(&str, &str); 7] = [
    (r"tid \d+", "tid N"),
    (r"\[ *\d+\.\d{3}s\]", "[TIME]"),
    (r"0x[0-9a-fA-F]+", "0xADDRESS"),
    (r"thread #\d+", "thread #N"),
    (r"[1-9]\d* errors from \d+ contexts", "N errors from N contexts"),
    (r"\d+ times", "N times"),
    (r"\d+ ms", "N ms"),
];

/// Checks one id of a program of the corpus, and compares what is printed with the file of the same name.
fn prints_what_it_printed(program: &str, id: &str) {
    let path = quest_folder().join("broken").join(program);
    let mut command = Command::cargo_bin("quest").unwrap();
    let output = command.arg("check").arg(&path).args(["--only", id]).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let mut text = String::from_utf8(output.stdout).unwrap();
    text = text.replace(&path.display().to_string(), "PROGRAM");
    text = text.replace(command.get_program().to_str().unwrap(), "quest");
    text = unwrapped(&text);
    for (pattern, instead) in DIFFERENT_EACH_TIME {
        text = Regex::new(pattern).unwrap().replace_all(&text, instead).into_owned();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{program}.txt"));
    Assert::new().action_env("SNAPSHOTS").eq(text, Data::read_from(&file, None).raw());
}

/// Where lines are wrapped depends on how long the numbers in them are: each text on one line.
fn unwrapped(report: &str) -> String {
    // The columns of the evidence's keys, and those before them.
    let goes_on = " ".repeat(13 + 10);
    let mut text = String::new();
    for line in report.lines() {
        match line.strip_prefix(&goes_on) {
            Some(rest) => text += &format!(" {rest}"),
            None => text += &format!("\n{line}"),
        }
    }
    format!("{}\n", text.trim_start_matches('\n'))
}

macro_rules! golden {
    ($($name:ident $program:literal $id:literal;)*) => {
        $(
            #[test]
            fn $name() {
                prints_what_it_printed($program, $id);
            }
        )*
    };
}

golden! {
    r1_one_condition_for_both "one-condition-for-both" "R1";
    r3_drops_queued_tasks "drops-queued-tasks" "R3";
    r4_main_computes_inline "main-computes-inline" "R4";
    r6_results_matched_in_order "results-matched-in-order" "R6";
    r7_poll_loop "poll-loop" "R7";
    r8_length_read_outside_lock "length-read-outside-lock" "R8";
    c1_sign_compare "sign-compare" "C1";
    c3_condition_not_destroyed "condition-not-destroyed" "C3";
    c4_socket_for_each_error "socket-for-each-error" "C4";
    b4_stats_counts_threads "stats-counts-threads" "B4";
    h1_result_keyed_by_descriptor "result-keyed-by-descriptor" "H1";
    h2_sigpipe_not_ignored "sigpipe-not-ignored" "H2";
}
