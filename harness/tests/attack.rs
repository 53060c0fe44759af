//! Programs that do not play along: a clear verdict, and nothing left behind.

mod common;

use assert_cmd::Command;
use common::{FEW_SCHEDULES, check, check_in, not_passed, quest_folder, with};
use predicates::{prelude::*, str::contains};
use quest::{
    model::{Id, Outcome},
    quests::{DEFAULT, find},
    runner::is_required,
};
use std::fs;
use tempfile::TempDir;

/// A folder with one C file.
fn program(source: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("server.c"), source).unwrap();
    folder
}

/// The C solution with one more file.
fn solution_with(name: &str, text: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(quest_folder().join("solution")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

fn quest_check(folder: &TempDir) -> Command {
    let mut quest = Command::cargo_bin("quest").unwrap();
    quest.arg("check").arg(folder.path());
    quest
}

const C1: Id = Id::new('C', 1);
const R1: Id = Id::new('R', 1);
const R8: Id = Id::new('R', 8);

/// The verdict on one id: its outcome and what was observed.
fn verdict(source: &str, id: Id) -> (Outcome, String) {
    let folder = program(source);
    let run = check(folder.path(), Some(vec![id]));
    (run.verdicts[0].outcome, run.verdicts[0].evidence.observed.clone())
}

#[test]
fn a_program_that_exits_at_once_fails_with_its_status_and_its_words() {
    let source = r#"
        #include <stdio.h>
        int main(void) { fprintf(stderr, "no configuration\n"); return 3; }"#;
    for id in [R1, R8] {
        let (outcome, observed) = verdict(source, id);
        assert_eq!(outcome, Outcome::Fail);
        assert!(
            observed.contains("exited with status 3") && observed.contains("no configuration"),
            "{observed}"
        );
    }
}

#[test]
fn a_program_that_crashes_at_start_fails_with_the_signal() {
    let (outcome, observed) = verdict("#include <stdlib.h>\nint main(void) { abort(); }", R1);
    assert_eq!(outcome, Outcome::Fail);
    assert!(observed.contains("SIGABRT"), "{observed}");
}

#[test]
fn a_program_that_never_listens_fails_without_a_long_wait_when_it_sleeps_for_good() {
    let (outcome, observed) = verdict("#include <unistd.h>\nint main(void) { return pause(); }", R1);
    assert_eq!(outcome, Outcome::Fail);
    assert!(observed.contains("does not listen"), "{observed}");
}

#[test]
fn a_program_that_listens_and_says_nothing_fails() {
    let source = r#"
        #include <netinet/in.h>
        #include <stdlib.h>
        #include <unistd.h>
        int main(int argc, char **argv) {
            int fd = socket(AF_INET, SOCK_STREAM, 0);
            struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0)};
            if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 8)) return 1;
            return pause();
        }"#;
    let (outcome, observed) = verdict(source, R1);
    assert_eq!(outcome, Outcome::Fail);
    assert!(observed.contains("does not answer a single request"), "{observed}");
}

#[test]
fn a_program_that_prints_without_end_is_drained_and_judged() {
    // It never listens; what it prints is thrown away, and it is found to be at work and not asleep.
    let source = r#"
        #include <stdio.h>
        int main(void) { for (long i = 0; i < 2000000; i++) puts("a line of output, and another one after it"); return 4; }"#;
    let (outcome, observed) = verdict(source, R1);
    assert_eq!(outcome, Outcome::Fail);
    assert!(observed.contains("exited with status 4"), "{observed}");
}

#[test]
fn children_that_leave_the_group_are_gone_afterwards() {
    // The child starts a session of its own, ignores SIGTERM and writes down who it is.
    let note = tempfile::NamedTempFile::new().unwrap();
    let source = format!(
        r#"
        #include <signal.h>
        #include <stdio.h>
        #include <unistd.h>
        int main(void) {{
            if (fork() == 0) {{
                setsid();
                signal(SIGTERM, SIG_IGN);
                FILE *f = fopen("{}", "w");
                fprintf(f, "%d", getpid());
                fclose(f);
                for (;;) pause();
            }}
            return pause();
        }}"#,
        note.path().display()
    );
    let folder = program(&source);
    let run = check(folder.path(), Some(vec![R1]));
    assert_eq!(with(&run, Outcome::Fail), [R1], "{}", not_passed(&run));
    let child = fs::read_to_string(note.path()).unwrap();
    // Gone, or dead and not yet reaped by whoever inherits orphans here.
    let state = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_else(|_| ") Z".to_owned());
    assert!(state.contains(") Z"), "{state}");
}

#[test]
fn a_program_that_stops_itself_does_not_stop_the_harness() {
    let (outcome, observed) =
        verdict("#include <signal.h>\nint main(void) { raise(SIGSTOP); return 0; }", R1);
    assert_eq!((outcome, observed.contains("does not listen")), (Outcome::Fail, true), "{observed}");
}

#[test]
fn a_program_that_kills_its_parent_is_refused_and_told_so() {
    for call in
        ["kill(getppid(), SIGKILL)", "kill(-1, SIGKILL)", "setpgid(0, getpgid(getppid())), kill(0, SIGKILL)"]
    {
        let source = format!(
            "#define _GNU_SOURCE\n#include <signal.h>\n#include <unistd.h>\n\
             int main(void) {{ {call}; return pause(); }}"
        );
        let (outcome, observed) = verdict(&source, R1);
        assert_eq!(outcome, Outcome::Fail, "{observed}");
        if !call.starts_with("setpgid") {
            assert!(observed.contains("SIGKILL") && observed.contains("refused"), "{observed}");
        }
    }
}

#[test]
fn a_program_that_leaves_its_group_is_ended_too() {
    let source = r#"
        #define _GNU_SOURCE
        #include <unistd.h>
        int main(void) { setsid(); if (fork()) _exit(0); setsid(); return pause(); }"#;
    let (outcome, observed) = verdict(source, R1);
    assert_eq!(outcome, Outcome::Fail, "{observed}");
}

/// A server that listens on its port, accepts one client and then runs `then` with the client's descriptor in `fd`.
fn one_client(then: &str) -> String {
    format!(
        r#"
        #define _GNU_SOURCE
        #include <netinet/in.h>
        #include <sched.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(int argc, char **argv) {{
            int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
            struct sockaddr_in a = {{.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0)}};
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
            if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 8)) return 1;
            int fd = accept(listener, NULL, NULL);
            {then}
        }}"#
    )
}

#[test]
fn a_program_that_answers_without_end_does_not_fill_the_memory() {
    let flood = one_client(
        "signal(SIGPIPE, SIG_IGN); char lines[65536]; memset(lines, 10, sizeof lines);
         for (;;) if (write(fd, lines, sizeof lines) < 0) fd = accept(listener, NULL, NULL);",
    );
    let (outcome, observed) = verdict(&flood, R1);
    assert_ne!(outcome, Outcome::Pass, "{observed}");
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 1 << 20, "{peak} kB");
}

#[test]
fn a_program_that_hides_a_child_from_the_tracer_may_not() {
    let hide = one_client(
        "(void)fd; long made = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
         if (made == 0) for (;;) pause();
         if (made < 0) fprintf(stderr, \"hidden: no\\n\");
         return 7;",
    );
    let (outcome, observed) = verdict(&hide, R1);
    assert_eq!(outcome, Outcome::Fail, "{observed}");
    assert!(observed.contains("status 7") && observed.contains("hidden: no"), "{observed}");
}

#[test]
fn odd_habits_at_the_start_are_no_faults() {
    let habits = [
        "close(0); close(1); close(2);",
        "if (chdir(\"/\") != 0) abort();",
        "if (system(\"true\") != 0) abort(); if (fork() == 0) for (;;) pause();",
        "for (int i = 0; i < 20000; i++) puts(\"a line of output\"); fflush(stdout);",
    ];
    for habit in habits {
        let source = format!(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
             __attribute__((constructor)) static void habit(void) {{ {habit} }}"
        );
        let folder = solution_with("more.c", source.as_bytes());
        let required: Vec<Id> = find(DEFAULT)
            .unwrap()
            .unwrap()
            .requirements
            .iter()
            .map(|rule| rule.id)
            .filter(|id| is_required(*id, false))
            .collect();
        let run = check_in(FEW_SCHEDULES, folder.path(), Some(required.clone()));
        assert_eq!(with(&run, Outcome::Pass), required, "{habit}{}", not_passed(&run));
    }
}

#[test]
fn a_program_that_leaves_a_daemon_behind_when_nobody_watches_leaves_nothing() {
    let note = tempfile::NamedTempFile::new().unwrap();
    let daemon = format!(
        r#"
        #include <stdio.h>
        #include <string.h>
        #include <unistd.h>
        __attribute__((constructor)) static void leave_a_daemon(void) {{
            char line[256];
            FILE *status = fopen("/proc/self/status", "r");
            while (fgets(line, sizeof line, status) && strcmp(line, "TracerPid:\t0\n")) continue;
            int watched = feof(status);
            fclose(status);
            if (watched || fork() != 0) return;
            setsid();
            if (fork() != 0) _exit(0);
            FILE *note = fopen("{}", "w");
            fprintf(note, "%d", getpid());
            fclose(note);
            for (;;) pause();
        }}"#,
        note.path().display()
    );
    let folder = solution_with("more.c", daemon.as_bytes());
    let r6 = Id::new('R', 6);
    let run = check(folder.path(), Some(vec![r6]));
    assert_eq!(with(&run, Outcome::Pass), [r6], "{}", not_passed(&run));
    let daemon = fs::read_to_string(note.path()).unwrap();
    assert!(!daemon.is_empty());
    assert!(!std::path::Path::new("/proc").join(&daemon).exists(), "{daemon} is still there");
}

#[test]
fn a_program_that_reaches_for_the_harness_gets_hold_of_nothing() {
    let folder = solution_with(
        "more.c",
        br#"
        #define _GNU_SOURCE
        #include <asm/sockios.h>
        #include <errno.h>
        #include <fcntl.h>
        #include <signal.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/ioctl.h>
        #include <sys/socket.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        static int watched(void) {
            char line[256];
            FILE *status = fopen("/proc/self/status", "r");
            while (fgets(line, sizeof line, status) && strcmp(line, "TracerPid:\t0\n")) continue;
            int end = feof(status);
            fclose(status);
            return end;
        }
        static void signal_by_arrival(int by_ioctl) {
            int pair[2], harness = getppid();
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) _exit(10);
            if (by_ioctl ? ioctl(pair[0], FIOSETOWN, &harness) : fcntl(pair[0], F_SETOWN, harness)) errno = 0; /* refused */
            fcntl(pair[0], F_SETSIG, SIGKILL);
            fcntl(pair[0], F_SETFL, O_ASYNC);
            if (write(pair[1], "x", 1) != 1) _exit(11);
            close(pair[0]);
            close(pair[1]);
        }
        __attribute__((constructor)) static void reach(void) {
            char memory[64];
            snprintf(memory, sizeof memory, "/proc/%d/mem", getppid());
            if (open(memory, O_RDWR) >= 0) _exit(12);
            signal_by_arrival(0);
            signal_by_arrival(1);
            if (watched()) return;
            kill(getppid(), SIGKILL);
            syscall(SYS_tgkill, getppid(), getppid(), SIGKILL);
            syscall(SYS_tkill, getppid(), SIGKILL);
            syscall(SYS_pidfd_send_signal, syscall(SYS_pidfd_open, getppid(), 0), SIGKILL, NULL, 0);
            kill(-1, SIGKILL);
        }"#,
    );
    quest_check(&folder).args(["--only", "R2,R6"]).assert().code(0);
}

#[test]
fn a_program_that_uses_io_uring_cannot_be_judged() {
    let folder = solution_with(
        "more.c",
        br#"
        #include <string.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        __attribute__((constructor)) static void set_up_a_ring(void) {
            char parameters[120];
            memset(parameters, 0, sizeof parameters);
            syscall(SYS_io_uring_setup, 4, parameters);
        }"#,
    );
    let run = check(folder.path(), Some(vec![R1]));
    // Where the kernel has no io_uring, or refuses it, the server has not used it.
    let verdict = &run.verdicts[0];
    let used = verdict.evidence.observed.contains("io_uring");
    assert_eq!(verdict.outcome, if used { Outcome::Inconclusive } else { Outcome::Pass });
}

#[test]
fn a_program_that_becomes_a_daemon_is_told_to_stay() {
    let (outcome, observed) = verdict(
        "#define _GNU_SOURCE\n#include <unistd.h>\n\
         int main(void) { if (daemon(0, 0)) return 1; return pause(); }",
        R1,
    );
    assert_eq!(outcome, Outcome::Fail);
    assert!(observed.contains("left a child process behind"), "{observed}");
}

#[test]
fn warnings_that_are_no_text_are_shown_harmlessly() {
    // Latin-1, an escape sequence that would clear a terminal, and something that looks like the end of a warning.
    let source = b"#warning \xff\xfe \x1b[2J : error: x [-Werror=y] \x07\nint nothing_else;\n";
    let folder = solution_with("extra.c", source);
    let run = check(folder.path(), Some(vec![R1, C1]));
    assert_eq!(
        (with(&run, Outcome::Pass), with(&run, Outcome::Fail)),
        (vec![R1], vec![C1]),
        "{}",
        not_passed(&run)
    );
    assert_eq!(run.verdicts[1].evidence.place, "extra.c:1");
    let assert = quest_check(&folder).args(["--only", "C1"]).assert().code(1);
    assert.stdout(contains("1 warning: ").and(contains("\u{1b}").not()).and(contains("\u{7}").not()));
}

#[test]
fn an_avalanche_of_warnings_is_counted_and_the_program_is_judged() {
    let source: String =
        (0..3000).map(|n| format!("static int f{n}(int {}) {{ return 0; }}\n", "a".repeat(99))).collect();
    let folder = solution_with("extra.c", source.as_bytes());
    let run = check(folder.path(), Some(vec![R1, C1]));
    assert_eq!(
        (with(&run, Outcome::Pass), with(&run, Outcome::Fail)),
        (vec![R1], vec![C1]),
        "{}",
        not_passed(&run)
    );
    let observed = &run.verdicts[1].evidence.observed;
    assert!(observed.starts_with("at least ") && observed.len() < 300, "{observed}");
}

#[test]
fn sources_that_read_what_is_no_source_do_not_build() {
    for (source, said) in [
        ("#include \"/etc/passwd\"\n", "/etc/passwd:1:"),
        ("#error fatal error: No space left on device\n", "#error"),
        ("_Pragma(\"GCC diagnostic error \\\"-Wunused\\\"\") int f(void) { no }\n", "'no' undeclared"),
    ] {
        let folder = solution_with("extra.c", source.as_bytes());
        quest_check(&folder).assert().code(3).stdout("").stderr(contains(said));
    }
}
