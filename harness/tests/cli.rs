//! The `quest` command from outside: what it prints, where, and with which exit status.

use assert_cmd::Command;
use predicates::{prelude::*, str::contains};
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{self, Stdio},
};
use tempfile::TempDir;

fn quest() -> Command {
    let mut command = Command::cargo_bin("quest").unwrap();
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CARGO_TERM_COLOR"] {
        command.env_remove(name);
    }
    command
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// A program that is a submission, but no server: whatever is asked of it, there is a quick verdict.
fn no_server() -> (TempDir, PathBuf) {
    let folder = folder(&[("no_server", b"#!/bin/sh\nexit 7\n")]);
    let path = folder.path().join("no_server");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, path)
}

#[test]
fn every_command_has_help_with_examples() {
    quest().arg("--help").assert().code(0).stdout(contains("Examples:").and(contains("quest show R4")));
    for command in ["check", "show", "hint", "list"] {
        quest().args([command, "--help"]).assert().code(0).stdout(contains("Examples:"));
    }
    quest().args(["check", "--help"]).assert().stdout(contains("Exit status:").and(contains("130")));
    quest().args(["doctor", "--help"]).assert().code(0).stdout(contains("Exit status:"));
    quest().arg("--version").assert().code(0).stdout(contains("quest 0."));
}

#[test]
fn wrong_usage_is_2_and_says_how_it_goes() {
    quest().assert().code(2).stderr(contains("Usage: quest"));
    quest().arg("chekc").assert().code(2).stderr(contains("'check'"));
    quest().args(["check", "--only"]).assert().code(2);
    quest().args(["check", "--seed", "x"]).assert().code(2).stderr(contains("invalid value 'x'"));
    quest().args(["check", "--format", "xml"]).assert().code(2).stderr(contains("terminal, json"));
}

#[test]
fn a_path_that_is_no_submission_is_2_and_says_why() {
    let elf = |class: u8, machine: u8| {
        [b"\x7fELF".as_slice(), &[class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, machine, 0], &[0; 44]]
            .concat()
    };
    let files = folder(&[
        ("both/a.c", b""),
        ("both/Cargo.toml", b""),
        ("deep/src/server.c", b""),
        ("notes.txt", b"hello"),
        ("one.c", b""),
        ("s390", &elf(2, 22)),
        ("i386", &elf(1, 3)),
        ("norun", b"#!/bin/sh\n"),
    ]);
    fs::create_dir(files.path().join("empty")).unwrap();
    symlink("gone", files.path().join("dangling")).unwrap();
    symlink("loop", files.path().join("loop")).unwrap();
    for (path, said) in [
        ("missing", "no such file or folder: "),
        ("dangling", "is a link to gone, which does not exist"),
        ("loop", "cannot read "),
        ("empty", "is an empty folder"),
        ("both", "could be two submissions: a Cargo package (Cargo.toml) and C sources (a.c)"),
        ("deep", "Its folder "),
        ("notes.txt", "is not a program"),
        ("one.c", "is one C source file; name its folder instead"),
        ("s390", "is a program for s390, and this machine is "),
        ("i386", "is a 32-bit program (i386)"),
        ("norun", "has no run bit; if it is the program to check: chmod +x "),
    ] {
        let path = files.path().join(path);
        let shown = path.display().to_string();
        quest()
            .arg("check")
            .arg(&path)
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains(said).and(contains(shown)));
    }
}

#[test]
fn what_does_not_build_is_3_and_shows_the_compilers_words() {
    let source = b"int main(void) {\n    int unused;\n    return none;\n}\n";
    let files = folder(&[("server.c", source)]);
    let assert = quest().arg("check").arg(files.path()).assert().code(3).stdout("");
    let said = "does not build: gcc -Wall -Wextra -Werror -pthread -g -o pool_server *.c failed (exit 1)";
    assert.stderr(contains(said).and(contains("server.c:3:12: error: 'none' undeclared")));
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 1);
}

#[test]
fn what_only_draws_warnings_is_checked_all_the_same() {
    let source = b"int main(void) {\n    int unused;\n    return 7;\n}\n";
    let files = folder(&[("server.c", source)]);
    let assert = quest().arg("check").arg(files.path()).args(["--only", "R1"]).assert().code(1);
    assert.stdout(contains("exited with status 7")).stderr("");
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 1);
}

#[test]
fn a_compiler_without_room_is_the_harness_own_trouble() {
    let says = "server.c:1:1: fatal error: error writing to /tmp/ccRNbbwl.s: No space left on device";
    let script = format!("#!/bin/sh\necho '{says}'\nexit 1\n");
    let files = folder(&[("server.c", b"int main(void) { return 0; }\n"), ("bin/gcc", script.as_bytes())]);
    let bin = files.path().join("bin");
    fs::set_permissions(bin.join("gcc"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let assert = quest().arg("check").arg(files.path()).env("PATH", path).assert().code(4).stdout("");
    assert.stderr(contains("had no room for its files in ").and(contains("No space left on device")));
}

#[test]
fn an_id_or_quest_that_does_not_exist_is_2_and_names_those_that_do() {
    let (_folder, path) = no_server();
    for only in ["R44", "R1,R44", "R1,", "foo"] {
        let assert = quest().arg("check").arg(&path).args(["--only", only]).assert().code(2).stdout("");
        assert.stderr(contains("has no requirement").and(contains("requirements: R1, R2")));
    }
    quest().arg("check").arg(&path).args(["--only", "R44"]).assert().stderr(contains("did you mean R4?"));
    for command in ["show", "hint"] {
        let assert = quest().args([command, "R99"]).assert().code(2).stdout("");
        assert.stderr(contains("requirements: R1, R2"));
    }
    quest().args(["hint", "R44"]).assert().code(2).stderr(contains("did you mean R4?"));
    for command in ["check", "show", "hint"] {
        let assert = quest().args([command, "R1", "--quest", "07-pol-server"]).assert().code(2).stdout("");
        assert.stderr(contains("did you mean 07-pool-server?").and(contains("quests: 01-task-queue")));
    }
}

#[test]
fn a_program_that_is_no_server_fails_with_evidence() {
    let (_folder, path) = no_server();
    let again = format!("check {} --only R1 --seed 5 -v", path.display());
    let assert = quest().arg("check").arg(&path).args(["--only", "R1", "--seed", "5"]).assert().code(1);
    assert
        .stdout(contains("FAIL").and(contains("observed")).and(contains(again)).and(contains("Summary")))
        .stderr("");
}

#[test]
fn json_has_exactly_the_promised_keys() {
    let (_folder, path) = no_server();
    let output =
        quest().arg("check").arg(&path).args(["--only", "r2,R1", "--format", "json"]).output().unwrap();
    let run: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&run), ["format_version", "quest", "score", "seed", "submission", "verdicts"]);
    assert_eq!(keys(&run["score"]), ["earned", "possible"]);
    let verdicts = run["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.iter().map(|v| v["id"].as_str().unwrap()).collect::<Vec<_>>(), ["R1", "R2"]);
    for verdict in verdicts {
        assert_eq!(
            keys(verdict),
            ["duration_ms", "evidence", "id", "points", "possible", "title", "verdict"]
        );
        assert_eq!(keys(&verdict["evidence"]), ["again", "expected", "hint", "observed", "where"]);
    }
    assert_eq!(run["submission"], path.display().to_string());
}

#[test]
fn a_report_in_a_file_is_complete_or_not_there() {
    let (folder, path) = no_server();
    let out = folder.path().join("report.json");
    let check = |out: &Path| {
        let mut command = quest();
        command.arg("check").arg(&path).args(["--only", "R1", "--format", "json", "--out"]).arg(out);
        command
    };
    check(&out).assert().code(1).stdout("").stderr(contains("Wrote the report to "));
    assert!(serde_json::from_slice::<serde_json::Value>(&fs::read(&out).unwrap()).is_ok());
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o600, 0o600);

    let missing = folder.path().join("no/such/report.json");
    check(&missing).assert().code(4).stdout("").stderr(contains("could not be written to"));
    check(folder.path()).assert().code(4).stderr(contains("Is a directory"));
    check(Path::new("/dev/full")).assert().code(4).stderr(contains("/dev/full: No space left on device"));
    assert!(!fs::metadata("/dev/full").unwrap().is_file());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_full_disk_under_the_standard_output_is_the_harness_own_fault() {
    let (_folder, path) = no_server();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = process::Command::new(quest().get_program())
        .args(["check", "--only", "R1"])
        .arg(&path)
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(contains("No space left").eval(&String::from_utf8(output.stderr).unwrap()));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (_folder, path) = no_server();
    for (arguments, code) in [(vec!["list"], 0), (vec!["check", path.to_str().unwrap(), "--only", "R1"], 1)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = process::Command::new(quest().get_program());
        let output = command.args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(code), b"".as_slice()));
    }
}

#[test]
fn colours_are_for_terminals_or_for_whoever_asks() {
    let escape = || contains("\u{1b}[");
    quest().arg("list").assert().stdout(escape().not());
    quest().args(["list", "--color", "always"]).assert().stdout(escape());
    quest().args(["list", "--color", "never"]).env("CLICOLOR_FORCE", "1").assert().stdout(escape().not());
    quest().arg("list").env("CLICOLOR_FORCE", "1").assert().stdout(escape());
    quest().arg("list").env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").assert().stdout(escape().not());
}

#[test]
fn list_show_and_doctor_tell_what_there_is() {
    quest().arg("list").assert().code(0).stdout(contains("07-pool-server").and(contains("  R8 ")));
    let r1 = contains("R1  ").and(contains("points, required")).and(contains(" hint R1\n"));
    quest().args(["show", "r1"]).assert().code(0).stdout(r1);
    quest().args(["show", "pool-server"]).assert().code(0).stdout(contains("Check yours:"));
    let output = quest().arg("doctor").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(if text.contains("MISSING") { 5 } else { 0 }));
    for need in ["gcc", "cargo", "valgrind", "ptrace", "seccomp", "/proc", "loopback", "open-file"] {
        assert!(text.contains(need), "{need} is not in {text}");
    }
}

#[test]
fn doctor_says_what_is_missing_and_how_to_get_it() {
    let assert = quest().arg("doctor").env("PATH", "/nowhere").assert().code(5);
    assert.stdout(
        contains("MISSING gcc").and(contains("without it")).and(contains("apt-get install gcc libc6-dev")),
    );
    let files = folder(&[("a.c", b"int main(void) { return 0; }\n")]);
    let assert = quest().arg("check").arg(files.path()).env("PATH", "/nowhere").assert().code(4).stdout("");
    assert.stderr(contains("gcc is missing").and(contains("apt-get install gcc")));
}

#[test]
fn hints_come_one_at_a_time() {
    let hint = |number: usize| contains(format!("Hint {number} of 3: "));
    let only = |number: usize| {
        let (one, other) = ((number + 1) % 3 + 1, number % 3 + 1);
        hint(number).and(hint(one).not()).and(hint(other).not())
    };
    quest()
        .args(["hint", "r4"])
        .assert()
        .code(0)
        .stdout(only(1).and(contains(" hint R4 --step 2\n")))
        .stderr("");
    let second = quest().args(["hint", "R4", "--step", "2"]).assert().code(0);
    second.stdout(only(2).and(contains("R4  workers compute")).and(contains(" hint R4 --step 3\n")));
    quest()
        .args(["hint", "R4", "-n", "3", "--quest", "7"])
        .assert()
        .code(0)
        .stdout(only(3).and(contains(" show R4\n")));
    quest().args(["hint", "R4", "--all"]).assert().code(0).stdout(hint(1).and(hint(2)).and(hint(3)));
    for wrong in [&["R4", "--step", "4"][..], &["R4", "--step", "0"], &["R4", "--all", "-n", "1"], &[]] {
        quest().arg("hint").args(wrong).assert().code(2).stdout("");
    }
    let text = String::from_utf8(quest().args(["hint", "R3", "--all"]).output().unwrap().stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

/// The other end of a terminal that `quest` runs in: everything that appears there until `goal` does.
fn read_until(terminal: &mut fs::File, goal: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if text.contains(goal) {
            return text;
        }
        let mut bytes = [0; 4096];
        // At the end of the other side Linux says EIO.
        match terminal.read(&mut bytes) {
            Ok(count) if count > 0 => seen.extend_from_slice(&bytes[..count]),
            end => panic!("{goal:?} did not appear ({end:?}):\n{text}"),
        }
    }
}

/// `quest` with these arguments in a terminal of its own.
fn in_a_terminal(arguments: &[&str]) -> (process::Child, fs::File) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = process::Command::new(quest().get_program());
    command.args(arguments).env("TERM", "dumb").env("NO_COLOR", "1").stdin(end()).stdout(end()).stderr(end());
    (command.spawn().unwrap(), pty.master.into())
}

#[test]
fn on_a_terminal_enter_shows_the_next_hint() {
    const PROMPT: &str = "Enter for the next hint, q to stop: ";
    let (mut quest, mut terminal) = in_a_terminal(&["hint", "R4"]);
    assert!(read_until(&mut terminal, PROMPT).contains("Hint 1 of 3"));
    terminal.write_all(b"\n").unwrap();
    assert!(read_until(&mut terminal, PROMPT).contains("Hint 2 of 3"));
    terminal.write_all(b"\n").unwrap();
    assert!(read_until(&mut terminal, "show R4").contains("Hint 3 of 3"));
    assert_eq!(quest.wait().unwrap().code(), Some(0));

    // `q` and Ctrl-D (the end of the input) are enough, and Ctrl-C interrupts.
    for (typed, code, said) in
        [("q\n", Some(0), "q"), ("\u{4}", Some(0), "\n"), ("", Some(130), "stopped: interrupted")]
    {
        let (mut quest, mut terminal) = in_a_terminal(&["hint", "R4"]);
        read_until(&mut terminal, PROMPT);
        match typed {
            "" => {
                let pid = nix::unistd::Pid::from_raw(quest.id().cast_signed());
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
            }
            _ => terminal.write_all(typed.as_bytes()).unwrap(),
        }
        let said = read_until(&mut terminal, said);
        assert!(!said.contains("Hint 2"), "{said}");
        assert_eq!(quest.wait().unwrap().code(), code);
    }
}
