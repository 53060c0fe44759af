//! `quest selfcheck` from outside, on a small corpus: what it says, what it keeps, and that nothing else is left.

mod common;

use assert_cmd::Command;
use common::{ADDRESS, package_whose_build_never_ends};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use predicates::{prelude::PredicateBooleanExt, str::contains};
use std::{
    fs,
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Stdio},
};
use tempfile::TempDir;

/// Builds and starts at once, and is no server: fails everything.
const NO_SERVER: &str = "int main(void)\n{\n    return 7;\n}\n";

/// A corpus of these files, and a folder for what is written.
struct Corpus {
    folder: TempDir,
    temporary: TempDir,
}

impl Corpus {
    fn new(fails: &str) -> Self {
        let corpus = Self { folder: tempfile::tempdir().unwrap(), temporary: tempfile::tempdir().unwrap() };
        corpus.write("quest.toml", "");
        corpus.write("starter/server.c", NO_SERVER);
        corpus.write("solution/server.c", NO_SERVER);
        corpus.write("broken/late/note.txt", "differs");
        let manifest = format!("format_version = 1\nfails = {fails}\nwhy = \"so\"\nrarity = \"always\"\n");
        corpus.write("broken/late/quest.toml", &manifest);
        corpus
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join("07-pool-server").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn arguments(&self, programs: &[&str]) -> Vec<String> {
        self.arguments_of("selfcheck", programs)
    }

    fn arguments_of(&self, command: &str, programs: &[&str]) -> Vec<String> {
        let (quests, out) = (self.folder.path().display().to_string(), self.out().display().to_string());
        let fixed = [command, "--quest", "07", "--quests", &quests, "--out", &out];
        fixed.iter().chain(programs).map(|word| (*word).to_owned()).collect()
    }

    fn selfcheck(&self, programs: &[&str]) -> assert_cmd::assert::Assert {
        self.run("selfcheck", programs)
    }

    fn run(&self, name: &str, programs: &[&str]) -> assert_cmd::assert::Assert {
        let mut command = Command::cargo_bin("quest").unwrap();
        command.args(self.arguments_of(name, programs)).env("TMPDIR", self.temporary.path());
        let assert = command.assert();
        assert!(is_empty(self.temporary.path()), "nothing is left");
        assert
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.out().join("07-pool-server.json")).unwrap()).unwrap()
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn what_is_as_declared_is_0_and_what_is_not_is_1_with_advice() {
    let corpus = Corpus::new("[\"R1\"]");
    corpus.selfcheck(&["starter"]).code(0).stdout(contains("starter   1 of 1 failed everything"));
    let wrong = contains("R2 must be pass, and is fail").and(contains("exited with status 7"));
    let advice = contains("the id belongs in `fails`").and(contains("broken/late --only R2 --seed 1 -v"));
    corpus.selfcheck(&["late"]).code(1).stdout(wrong.and(advice).and(contains("kills     R1 1/1")));
    let row = &corpus.json()["programs"][0];
    assert_eq!((&row["name"], &row["verdicts"]["R1"]), (&"late".into(), &"fail".into()));
    assert_eq!(row["mismatches"][0]["id"], "R2");
    let page = fs::read_to_string(corpus.out().join("07-pool-server.html")).unwrap();
    assert!(page.contains("R2 must be pass, and is fail"));
}

#[test]
fn what_has_not_changed_is_taken_over_and_judged_anew() {
    let corpus = Corpus::new("[\"R1\"]");
    corpus.selfcheck(&["starter", "late"]).code(1);
    let duration = |name: &str| {
        let json = corpus.json();
        let programs = json["programs"].as_array().unwrap();
        programs.iter().find(|row| row["name"] == name).unwrap()["duration_ms"].as_u64().unwrap()
    };
    // No check takes so long: what comes back was taken over.
    let mark = |corpus: &Corpus| {
        let mut json = corpus.json();
        for row in json["programs"].as_array_mut().unwrap() {
            row["duration_ms"] = 999_999_999_u64.into();
        }
        fs::write(corpus.out().join("07-pool-server.json"), json.to_string()).unwrap();
    };
    mark(&corpus);
    corpus.selfcheck(&["starter", "late"]).code(1);
    assert_eq!((duration("starter"), duration("late")), (999_999_999, 999_999_999));
    corpus.write("broken/late/note.txt", "differs more");
    corpus.selfcheck(&["starter", "late"]).code(1);
    assert!(duration("starter") == 999_999_999 && duration("late") < 999_999_999);
    corpus.selfcheck(&["starter", "--fresh"]).code(0);
    assert!(duration("starter") < 999_999_999);
    // What cannot be read is replaced.
    fs::write(corpus.out().join("07-pool-server.json"), "{").unwrap();
    corpus.selfcheck(&["starter"]).code(0);
    assert!(duration("starter") < 999_999_999);
}

#[test]
fn wrong_usage_is_2_and_says_what_to_do() {
    let corpus = Corpus::new("[\"R1\"]");
    corpus.selfcheck(&["strater"]).code(2).stderr(contains("no program \"strater\"; did you mean starter?"));
    corpus.selfcheck(&["--only-kind", "x"]).code(2).stderr(contains("variant"));
    corpus.selfcheck(&["--jobs", "0"]).code(2);
    let mut command = Command::cargo_bin("quest").unwrap();
    let nowhere = command.current_dir(corpus.temporary.path()).arg("selfcheck").assert();
    nowhere.code(2).stderr(contains("--quests"));
    let corpus = Corpus::new("[\"X1\"]");
    corpus
        .selfcheck(&[])
        .code(4)
        .stderr(contains("broken/late/quest.toml: ").and(contains("`X1` is not an id")));
}

#[test]
fn a_program_that_does_not_build_is_a_mismatch_and_not_the_end() {
    let corpus = Corpus::new("[\"R1\"]");
    corpus.write("broken/late/server.c", "int main(void) { return none; }\n");
    let said = contains("it was not graded: exit status: 3").and(contains("'none' undeclared"));
    corpus.selfcheck(&["late", "starter"]).code(1).stdout(said.and(contains("starter   1 of 1")));
}

#[test]
fn a_broken_program_of_a_quest_is_checked_as_a_whole() {
    let corpus = Corpus::new("[\"R1\"]");
    let late = corpus.folder.path().join("07-pool-server/broken/late");
    let mut command = Command::cargo_bin("quest").unwrap();
    let assert = command.arg("check").arg(&late).args(["--only", "R1"]).assert().code(1);
    let path = late.display().to_string();
    assert.stdout(
        contains(format!("Checking {path} (C sources)")).and(contains(format!("check {path} --only R1"))),
    );
}

#[test]
fn verdicts_that_are_not_as_always_are_counted_and_runs_are_kept() {
    let corpus = Corpus::new("[\"R1\"]");
    corpus
        .run("flaky", &["starter", "--times", "2"])
        .code(0)
        .stdout(contains("4 runs, 96 verdicts: 0 not as always"));
    let kept = fs::read_to_string(corpus.out().join("flaky.json")).unwrap();
    let again = corpus.run("flaky", &["starter", "--times", "2"]).code(0);
    again.stdout(contains("4 runs, 96 verdicts: 0 not as always"));
    assert_eq!(fs::read_to_string(corpus.out().join("flaky.json")).unwrap(), kept);
    // What the manifest does not allow is a change each time.
    let changed = contains("CHANGED late, run 1, seed 1, idle: R2 fail: ").and(contains("R2  2 of 2"));
    corpus.run("flaky", &["late", "--times", "1"]).code(1).stdout(changed);
    corpus.run("flaky", &["late", "--times", "0"]).code(2);
}

#[test]
fn ctrl_c_leaves_nothing_and_loses_nothing() {
    let corpus = Corpus::new("[\"R1\"]");
    corpus.selfcheck(&["starter"]).code(0);
    fs::remove_file(corpus.folder.path().join("07-pool-server/solution/server.c")).unwrap();
    package_whose_build_never_ends(&corpus.folder.path().join("07-pool-server/solution"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let selfcheck = process::Command::new(env!("CARGO_BIN_EXE_quest"))
        .args(corpus.arguments(&["starter", "solution"]))
        .env("TMPDIR", corpus.temporary.path())
        .env(ADDRESS, listener.local_addr().unwrap().to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut build = listener.accept().unwrap().0;
    kill(Pid::from_raw(selfcheck.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = selfcheck.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    // The end of the stream, or a reset: either way whoever held it is gone.
    let _ = build.read(&mut [0]);
    assert!(is_empty(corpus.temporary.path()));
    assert_eq!(corpus.json()["programs"][0]["name"], "starter");
    let files: Vec<_> = fs::read_dir(corpus.out()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
}
