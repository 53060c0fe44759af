//! The way of a student through the lessons: `quest start`, what `quest check` notes, `quest list`, `quest review`.

use assert_cmd::Command;
use predicates::{prelude::*, str::contains};
use quest::quests::files;
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{self, Stdio},
};
use tempfile::TempDir;

const FILE: &str = "quest-progress.toml";

/// `quest` with these arguments in a folder.
fn quest(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("quest").unwrap();
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CARGO_TERM_COLOR"] {
        command.env_remove(name);
    }
    command.current_dir(folder).args(arguments);
    command
}

/// A folder in which a student works, with this in the progress file after the version.
fn work(progress: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if !progress.is_empty() {
        fs::write(folder.path().join(FILE), format!("format_version = 1\n{progress}")).unwrap();
    }
    folder
}

/// A lesson in the progress file that passed.
fn passed(quest: &str, folder: &str, date: &str) -> String {
    format!(
        "[[lesson]]\nquest = \"{quest}\"\nfolder = \"{folder}\"\nstarted = \"2026-01-01\"\npassed = \"{date}\"\n"
    )
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn noted(folder: &Path) -> String {
    fs::read_to_string(folder.join(FILE)).unwrap()
}

#[test]
fn a_start_copies_the_starter_notes_it_and_says_what_comes_next() {
    let work = work("");
    quest(work.path(), &["start", "01", "my-queue"]).assert().code(0).stderr("").stdout(
        contains("started in my-queue: task_queue.c, task_queue.h")
            .and(contains(" show 01 "))
            .and(contains("  cd my-queue\n"))
            .and(contains(" check\n")),
    );
    assert_eq!(names(work.path()), ["my-queue", FILE]);
    for (name, bytes) in files::of("01-task-queue/starter") {
        assert_eq!(fs::read(work.path().join("my-queue").join(name)).unwrap(), bytes);
    }
    let text = noted(work.path());
    assert!(text.contains("quest = \"01-task-queue\"\nfolder = \"my-queue\"\nstarted = \"20"), "{text}");
    let mode = fs::metadata(work.path().join("my-queue")).unwrap().permissions().mode();
    assert_eq!(mode & 0o700, 0o700);

    // A folder that is there and empty is as good, and without a name it is that of the quest. Both go into the same file.
    let deep = work.path().join("deep");
    fs::create_dir_all(deep.join("empty")).unwrap();
    quest(&deep, &["start", "1", "empty"]).assert().code(0);
    quest(&deep, &["start", "task-queue"]).assert().code(0).stdout(contains("cd 01-task-queue"));
    assert_eq!(names(&deep), ["01-task-queue", "empty"]);
    let text = noted(work.path());
    assert!(text.contains("\"deep/empty\"") && text.contains("\"deep/01-task-queue\""), "{text}");
}

#[test]
fn a_start_refuses_what_it_would_spoil_and_leaves_nothing() {
    let work = work("");
    for (name, text) in [("full/mine.c", "int mine;"), ("file", "text")] {
        let path = work.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    symlink("gone", work.path().join("dangling")).unwrap();
    let before = names(work.path());
    for (dir, said) in [
        ("full", "full is there already and is not empty; nothing was changed\nname another folder: "),
        ("file", "file is there already and cannot be used"),
        ("dangling", "dangling cannot be used"),
        ("no/such", "no/such cannot be made: its folder no: No such file"),
        (".", ". is no folder inside of "),
        ("../elsewhere", "../elsewhere is no folder inside of "),
    ] {
        quest(work.path(), &["start", "01", dir]).assert().code(2).stdout("").stderr(contains(said));
        assert_eq!(names(work.path()), before, "{dir}");
    }
    assert_eq!(names(&work.path().join("full")), ["mine.c"]);
    quest(work.path(), &["start", "01-task-quee"])
        .assert()
        .code(2)
        .stderr(contains("did you mean 01-task-queue?"));
}

/// Whoever has passed a lesson still stands in its folder.
#[test]
fn a_lesson_is_not_started_inside_the_folder_of_another() {
    let work = work(&passed("01-task-queue", "q", "2026-03-01"));
    let inside = work.path().join("q");
    fs::create_dir(&inside).unwrap();
    quest(&inside, &["start", "02", "my-pool"]).assert().code(2).stderr(
        contains("would lie inside the folder of 01-task-queue")
            .and(contains("cd .. && ").and(contains(" start 02 my-pool\n"))),
    );
    quest(&inside, &["start", "02", "../my-pool"]).assert().code(0);
    assert!(noted(work.path()).contains("folder = \"my-pool\""));
}

#[test]
fn a_quest_opens_when_the_one_before_it_passed() {
    let work = work("");
    quest(work.path(), &["start", "02"]).assert().code(2).stdout("").stderr(
        contains("02-worker-pool is closed: it opens when 01-task-queue has passed")
            .and(contains(" start 01\n"))
            .and(contains("--anyway")),
    );
    assert!(names(work.path()).is_empty());
    quest(work.path(), &["start", "01"]).assert().code(0);
    quest(work.path(), &["start", "02"]).assert().code(2).stderr(contains("/01-task-queue\n"));
    quest(work.path(), &["start", "02", "--anyway"])
        .assert()
        .code(0)
        .stdout(contains("no task_queue.c of yours").and(contains("the solution")));
    assert_eq!(names(&work.path().join("02-worker-pool")), ["thread_pool.c"]);
    quest(work.path(), &["start", "07", "last", "--anyway"]).assert().code(0);
    let starter: Vec<&str> = files::of("07-pool-server/starter").map(|(name, _)| name).collect();
    assert_eq!(names(&work.path().join("last")), starter);
}

#[test]
fn files_of_ones_own_come_from_the_newest_lesson_that_passed_and_has_them() {
    let progress = [
        passed("01-task-queue", "old", "2026-03-01"),
        passed("01-task-queue", "new", "2026-03-02"),
        passed("01-task-queue", "moved", "2026-03-03"),
        passed("02-worker-pool", "pool", "2026-03-04"),
    ];
    let work = work(&progress.concat());
    for (file, text) in
        [("old/task_queue.c", "old"), ("new/task_queue.c", "new"), ("pool/thread_pool.c", "pool")]
    {
        let path = work.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    quest(work.path(), &["start", "03", "end"])
        .assert()
        .code(0)
        .stdout(contains("took task_queue.c from new\ntook thread_pool.c from pool\n"));
    let text = |name: &str| fs::read_to_string(work.path().join("end").join(name)).unwrap();
    assert_eq!((text("task_queue.c"), text("thread_pool.c")), ("new".into(), "pool".into()));
    assert_eq!(names(&work.path().join("end")), ["shutdown.c", "task_queue.c", "thread_pool.c"]);
}

#[test]
fn a_starter_that_is_a_script_can_be_started() {
    let work = work(&passed("05-error-propagation", "e", "2026-03-01"));
    quest(work.path(), &["start", "06", "h"]).assert().code(0);
    let mode = fs::metadata(work.path().join("h/test_harness.sh")).unwrap().permissions().mode();
    assert_eq!(mode & 0o100, 0o100);
}

/// The solution in the place of the starter.
fn solve(folder: &Path) {
    for (name, bytes) in files::of("01-task-queue/solution") {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn a_check_of_all_that_passes_is_noted_and_opens_the_next() {
    let work = work("");
    quest(work.path(), &["start", "01", "my-queue"]).assert().code(0);
    let folder = work.path().join("my-queue");
    // The starter does not pass, and one requirement is not all of them.
    quest(work.path(), &["check", "my-queue", "--only", "Q5"]).assert().code(1);
    solve(&folder);
    let one = quest(&folder, &["check", "--only", "C1"]).assert().code(0).stderr("");
    one.stdout(contains("1 requirement of 01-task-queue"));
    assert!(!noted(work.path()).contains("passed ="));

    let all = quest(&folder, &["check", "--schedules", "1"]).assert().code(0);
    all.stdout(contains("of 01-task-queue, seed")).stderr(
        contains("Passed 01-task-queue is noted; 02-worker-pool is open now: cd .. && ")
            .and(contains(" start 02\n")),
    );
    let text = noted(work.path());
    assert!(
        text.contains("\npassed = \"20") && text.contains("[[review]]") && text.contains("steps = 0"),
        "{text}"
    );
    quest(work.path(), &["list"]).assert().code(0).stdout(contains("passed 20").and(contains("open")));
    quest(work.path(), &["start", "02"]).assert().code(0).stdout(contains("took task_queue.c from my-queue"));
}

/// Root may write everywhere, unless it gives that up.
fn without_rights(folder: &Path, arguments: &[&str]) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return quest(folder, arguments);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(quest(folder, &[]).get_program());
    command.current_dir(folder).args(arguments);
    command
}

#[test]
fn a_folder_that_cannot_be_written_spoils_no_verdict() {
    let work = work("");
    quest(work.path(), &["start", "01", "q"]).assert().code(0);
    solve(&work.path().join("q"));
    let before = noted(work.path());
    let mode = |mode| fs::set_permissions(work.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    let check = without_rights(work.path(), &["check", "q", "--schedules", "1", "--format", "json"])
        .output()
        .unwrap();
    let start = without_rights(work.path(), &["start", "01", "r"]).output().unwrap();
    mode(0o755);
    let said = String::from_utf8(check.stderr).unwrap();
    assert_eq!(check.status.code(), Some(0), "{said}");
    assert!(said.contains("warning: 01-task-queue passed, and that is not noted: "), "{said}");
    assert!(said.contains("Permission denied") && said.contains(FILE), "{said}");
    let run: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(run["quest"], "01-task-queue");
    assert_eq!((start.status.code(), noted(work.path())), (Some(4), before));
    assert_eq!(names(work.path()), ["q", FILE]);
}

#[test]
fn the_list_shows_the_path() {
    let progress = passed("01-task-queue", "q", "2026-03-02")
        + "[[lesson]]\nquest = \"02-worker-pool\"\nfolder = \"deep/p\"\nstarted = \"2026-03-03\"\n";
    let list = |work: &TempDir| {
        let output = quest(work.path(), &["list"]).output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = list(&work(&progress));
    let lines: Vec<&str> = text.lines().collect();
    for (line, mark, id, state) in [
        (0, "[x] ", "01-task-queue ", "passed 2026-03-02 in q"),
        (1, "[>] ", "02-worker-pool ", "started in deep/p"),
        (2, "[-] ", "03-shutdown ", "closed until 02 has passed"),
    ] {
        let line = lines[line];
        assert!(line.starts_with(mark) && line.contains(id) && line.ends_with(state), "{text}");
    }
    let text = list(&work(&passed("01-task-queue", "q", "2026-03-02")));
    assert!(
        text.lines().any(|line| line.starts_with("[ ] 02-worker-pool") && line.ends_with("  open")),
        "{text}"
    );
    assert!(list(&work("")).contains("  R8 "));
}

#[test]
fn a_broken_progress_file_is_named_and_stays() {
    let work = work("[[lesson]]\nquest = 1\n");
    fs::create_dir(work.path().join("q")).unwrap();
    let before = noted(work.path());
    for arguments in [&["start", "01"][..], &["list"], &["review"], &["check", "q"]] {
        let assert = quest(work.path(), arguments).assert().code(2).stdout("");
        assert.stderr(
            contains("/quest-progress.toml, line 3: invalid type").and(contains("it is left as it is")),
        );
    }
    fs::write(work.path().join("q/task_queue.c"), "int nothing;\n").unwrap();
    let named = quest(work.path(), &["check", "q", "--quest", "01", "--only", "C1"]).assert().code(3);
    named.stderr(contains("warning: the result will not be noted: "));
    assert_eq!((noted(work.path()), names(work.path()).len()), (before, 2));
    fs::write(work.path().join(FILE), "# newer\nformat_version = 2\n").unwrap();
    quest(work.path(), &["list"]).assert().code(2).stderr(contains("line 2: format_version is 2"));
}

#[test]
fn a_folder_that_is_not_noted_is_said_to_be_checked_as_the_last_quest() {
    let work = work(&passed("01-task-queue", "q", "2026-03-02"));
    fs::create_dir(work.path().join("moved")).unwrap();
    quest(work.path(), &["check", "moved"])
        .assert()
        .code(2)
        .stderr(contains("does not note this folder, so it is checked as 07-pool-server; --quest NAME"));
}

#[test]
fn show_and_hint_know_the_lesson_of_the_folder() {
    let progress = passed("01-task-queue", "q", "2026-03-02") + &passed("02-worker-pool", "p", "2026-03-02");
    let work = work(&progress);
    for folder in ["q", "p"] {
        fs::create_dir(work.path().join(folder)).unwrap();
    }
    for folder in [".", "q", "p"] {
        let folder = work.path().join(folder);
        quest(&folder, &["show", "Q6"]).assert().code(0).stdout(contains("01-task-queue, 16 points"));
        quest(&folder, &["hint", "Q6"]).assert().code(0).stdout(contains("Hint 1 of 3"));
    }
    quest(&work.path().join("p"), &["show", "R2"]).assert().code(0).stdout(contains("02-worker-pool, "));
    quest(work.path(), &["show", "R2"]).assert().code(0).stdout(contains("07-pool-server, "));
    quest(work.path(), &["show", "01"]).assert().code(0).stdout(
        contains("quests/01-task-queue/README.md").and(contains(" start 01\n")).and(contains("  Q6 ")),
    );
}

const DUE: &str = "[[review]]\nquest = \"01-task-queue\"\ndue = \"2026-03-10\"\nsteps = 1\n";

#[test]
fn questions_are_due_after_days() {
    let work =
        work(&(passed("01-task-queue", "q", "2026-03-02") + &passed("02-worker-pool", "p", "2026-03-09")));
    let review = |arguments: &[&str]| {
        let mut command = quest(work.path(), &["review"]);
        command.args(arguments);
        command.assert()
    };
    // Noted nowhere yet: three days after the pass.
    review(&["--today", "2026-03-04"])
        .code(0)
        .stdout(contains("nothing is due today; next: 01-task-queue").and(contains("on 2026-03-05")));
    let text = contains("1. Why does pthread_cond_wait()").and(contains("7. `if (task_queue_length"));
    review(&["--today", "2026-03-05"]).code(0).stdout(
        text.and(contains("review 01 --answers"))
            .and(contains("02-worker-pool").not())
            .and(contains("Answer").not()),
    );
    review(&["--today", "2026-03-12"])
        .code(0)
        .stdout(contains("02-worker-pool").and(contains("01-task-queue")));
    review(&["02", "--today", "2026-03-11"]).code(0).stdout(contains("on 2026-03-12"));
    review(&["03"]).code(2).stderr(contains("03-shutdown has not passed").and(contains("--answers")));
    review(&["07"]).code(2).stderr(contains("07-pool-server has no questions"));
    review(&["--today", "yesterday"]).code(2).stderr(contains("invalid value 'yesterday'"));
    review(&["--answers"]).code(2);
    let before = noted(work.path());
    review(&["03", "--answers"]).code(0).stdout(contains("1. ").and(contains("Answer:")));
    assert_eq!(noted(work.path()), before);
    let empty = tempfile::tempdir().unwrap();
    quest(empty.path(), &["review"]).assert().code(2).stderr(contains("there is no quest-progress.toml"));
}

/// The other end of a terminal in which `quest review` runs.
struct Terminal(process::Child, fs::File);

impl Terminal {
    fn review(folder: &Path, today: &str) -> Self {
        let pty = nix::pty::openpty(None, None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = process::Command::new(quest(folder, &[]).get_program());
        command
            .args(["review", "--today", today])
            .current_dir(folder)
            .env("TERM", "dumb")
            .env("NO_COLOR", "1");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Self(child, pty.master.into())
    }

    /// Waits until `goal` appears, and answers with what did.
    fn until(&mut self, goal: &str) -> String {
        let mut seen = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&seen).into_owned();
            if text.contains(goal) {
                return text;
            }
            let mut bytes = [0; 4096];
            match self.1.read(&mut bytes) {
                Ok(count) if count > 0 => seen.extend_from_slice(&bytes[..count]),
                end => panic!("{goal:?} did not appear ({end:?}):\n{text}"),
            }
        }
    }

    fn says(&mut self, text: &str) {
        self.1.write_all(text.as_bytes()).unwrap();
    }

    /// Goes through these questions: the answer is shown only after Enter.
    fn answers(&mut self, answers: &[&str]) {
        for answer in answers {
            let question = self.until("q to stop:");
            assert!(!question.contains("Answer:"), "{question}");
            self.says("\n");
            assert!(self.until("[y/n/q]").contains("Answer:"));
            self.says(&format!("{answer}\n"));
        }
    }

    fn code(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

#[test]
fn on_a_terminal_answers_are_noted_and_decide_when_the_questions_come_again() {
    let work = work(&(passed("01-task-queue", "q", "2026-02-27") + DUE));
    let mut terminal = Terminal::review(work.path(), "2026-03-10");
    terminal.answers(&["y"; 7]);
    terminal.until("the next time on 2026-03-31");
    assert_eq!(terminal.code(), Some(0));
    assert!(noted(work.path()).contains("due = \"2026-03-31\"\nsteps = 2\n"), "{}", noted(work.path()));

    // Two answers and enough; the rest on another day, and one was not known.
    let mut terminal = Terminal::review(work.path(), "2026-03-31");
    terminal.answers(&["y", "n"]);
    terminal.until("q to stop:");
    terminal.says("q\n");
    assert_eq!(terminal.code(), Some(0));
    assert!(noted(work.path()).contains("answered = 2\nmissed = true\n"), "{}", noted(work.path()));
    let mut terminal = Terminal::review(work.path(), "2026-04-01");
    terminal.answers(&["maybe"]);
    terminal.until("[y/n/q]");
    terminal.says("y\n");
    terminal.until("q to stop:");
    let child = nix::unistd::Pid::from_raw(terminal.0.id().cast_signed());
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGINT).unwrap();
    terminal.until("stopped: interrupted; what was answered is noted");
    assert_eq!(terminal.code(), Some(130));
    let mut terminal = Terminal::review(work.path(), "2026-04-02");
    terminal.answers(&["y"; 4]);
    terminal.until("the next time on 2026-04-05");
    assert_eq!(terminal.code(), Some(0));
    assert!(noted(work.path()).contains("due = \"2026-04-05\"\nsteps = 0\n"), "{}", noted(work.path()));
}

#[test]
fn the_help_has_examples() {
    let work = work("");
    quest(work.path(), &["--help"]).assert().code(0).stdout(contains("quest start 01 my-queue"));
    for command in ["start", "review", "list", "check", "show", "hint"] {
        quest(work.path(), &[command, "--help"]).assert().code(0).stdout(contains("Examples:"));
    }
}
