//! `quest doctor`: is everything here that the checks need? And if not: what cannot be judged, and how to get it.

use super::{ExitCode, Stop, output::print, palette_for, progress::Progress};
use crate::{
    interrupt,
    probes::{helgrind, tracer},
    report::{Palette, escape},
};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    fmt::Write as _,
    fs,
    io::{self, Read, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

/// Look whether this machine has everything that the checks need
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status:
  0    everything is here
  5    something is missing; what it is needed for stands beside it")]
pub(super) struct Arguments {}

/// One thing that is needed.
struct Need {
    name: &'static str,
    /// Looks for it: its version (or what else is to be said of it), or what is wrong.
    look: fn() -> Result<String, String>,
    /// What cannot be done without it.
    without: &'static str,
    /// How to get it.
    get: &'static str,
}

/// The most connections that a check opens at once, and some room for everything else.
const OPEN_FILES: u64 = 2048;

static NEEDS: &[Need] = &[
    Need {
        name: "gcc",
        look: gcc,
        without: "C sources cannot be built",
        get: "apt-get install gcc libc6-dev",
    },
    Need {
        name: "cargo",
        look: || version("cargo"),
        without: "Cargo packages cannot be built",
        get: "https://rustup.rs",
    },
    Need {
        name: "valgrind",
        look: || helgrind::usable().map(|version| version.trim_start_matches("valgrind-").to_owned()),
        without: "R8 (no data race) cannot be judged",
        get: "apt-get install valgrind libc6-dbg",
    },
    Need {
        name: "ptrace",
        look: || tracer::usable().map(|()| "permitted".into()),
        without: "R1 to R7 cannot be judged: they watch and hold the threads of a server",
        get: "in a container: docker run --cap-add=SYS_PTRACE; elsewhere: sysctl kernel.yama.ptrace_scope=1",
    },
    Need {
        name: "seccomp filters",
        look: seccomp,
        without: "R1 to R7 cannot be judged: a filter picks the system calls to watch",
        get: "a Linux kernel with CONFIG_SECCOMP_FILTER (every Debian and Ubuntu kernel has it)",
    },
    Need {
        name: "/proc",
        look: proc,
        without: "R2 and R7 cannot be judged: threads and their CPU time are counted there",
        get: "mount -t proc proc /proc; in a container: not masked by the sandbox",
    },
    Need {
        name: "loopback sockets",
        look: loopback,
        without: "nothing can be judged: clients talk to the server over 127.0.0.1",
        get: "ip link set lo up",
    },
    Need {
        name: "open-file limit",
        look: open_files,
        without: "checks with very many clients cannot be judged",
        get: "ulimit -Hn 4096, or `nofile` in /etc/security/limits.conf",
    },
];

pub(super) fn run(_: &Arguments) -> Result<ExitCode, Stop> {
    let palette = palette_for(&io::stdout());
    let progress = Progress::new();
    let mut missing = 0;
    for need in NEEDS {
        progress.doing(format!("looking for {}", need.name));
        let found = (need.look)();
        if interrupt::requested() {
            return Err(Stop::interrupted());
        }
        missing += usize::from(found.is_err());
        progress.aside(|| print(&line(need, &found, palette)))?;
    }
    progress.done();
    let Palette { good, unsure, .. } = palette;
    print(&match missing {
        0 => format!("{good}{:>12}{good:#} for every check\n", "Ready"),
        count => format!("{unsure}{:>12}{unsure:#} {count} of {} things\n", "Missing", NEEDS.len()),
    })?;
    Ok(if missing == 0 { ExitCode::Passed } else { ExitCode::Inconclusive })
}

fn line(need: &Need, found: &Result<String, String>, palette: Palette) -> String {
    let Palette { good, bad, dim, command, .. } = palette;
    let Need { name, without, get, .. } = need;
    let mut text = String::new();
    let _ = match found {
        Ok(version) => writeln!(text, "{good}{:>12}{good:#} {name:<17} {}", "present", escape(version)),
        Err(why) => {
            let (why, skip) = (escape(why.trim()).replace('\n', " "), "");
            writeln!(text, "{bad}{:>12}{bad:#} {name:<17} {why}", "MISSING").and_then(|()| {
                writeln!(text, "{skip:13}{dim}{:<17}{dim:#} {without}", "without it")?;
                writeln!(text, "{skip:13}{dim}{:<17}{dim:#} {command}{get}{command:#}", "to get it")
            })
        }
    };
    text
}

/// The last word of the first line of `PROGRAM --version` that looks like a version.
fn version(program: &str) -> Result<String, String> {
    let output = Command::new(program)
        .arg("--version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_started(program, &error))?;
    if !output.status.success() {
        return Err(format!("{program} --version failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    let version = words.rfind(|word| word.chars().all(|c| c.is_ascii_digit() || c == '.'));
    Ok(version.unwrap_or("of an unknown version").to_owned())
}

/// gcc alone is not enough: without the headers of the C library nothing compiles.
fn gcc() -> Result<String, String> {
    let version = version("gcc")?;
    let mut gcc = Command::new("gcc")
        .args(["-pthread", "-fsyntax-only", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| not_started("gcc", &error))?;
    let source = b"#include <pthread.h>\n#include <sys/eventfd.h>\n";
    let written = gcc.stdin.take().expect("it is a pipe").write_all(source);
    let output = gcc.wait_with_output().map_err(|error| not_started("gcc", &error))?;
    match written {
        Ok(()) if output.status.success() => Ok(version),
        _ => Err(format!("gcc {version} cannot compile: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn not_started(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no {program}"),
        _ => format!("{program} could not be started: {error}"),
    }
}

fn seccomp() -> Result<String, String> {
    let path = "/proc/sys/kernel/seccomp/actions_avail";
    let actions = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    match actions.split_whitespace().any(|action| action == "trace") {
        true => Ok("with the action `trace`".into()),
        false => Err(format!("the kernel has no action `trace`, only {}", actions.trim())),
    }
}

fn proc() -> Result<String, String> {
    for path in ["/proc/self/stat", "/proc/self/net/tcp"] {
        fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    }
    for path in ["/proc/self/task", "/proc/self/fd"] {
        fs::read_dir(path).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok("readable".into())
}

fn loopback() -> Result<String, String> {
    let talk = || -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        client.write_all(b"x")?;
        let mut byte = [0];
        listener.accept()?.0.read_exact(&mut byte)
    };
    talk().map(|()| "127.0.0.1 answers".into()).map_err(|error| error.to_string())
}

fn open_files() -> Result<String, String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    if hard < OPEN_FILES {
        return Err(format!("{hard}, and {OPEN_FILES} are needed"));
    }
    if soft < OPEN_FILES {
        setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, hard).map_err(|error| error.to_string())?;
    }
    Ok(format!("{hard}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_what_it_is_for_and_how_to_get_it() {
        let need = Need { name: "gcc", look: || version("no-such-program"), without: "no C", get: "apt-get" };
        let text = line(&need, &(need.look)(), Palette::plain());
        let expected = "     MISSING gcc               there is no no-such-program\n             without it        no C\n             to get it         apt-get\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn versions_are_read_from_the_first_line() {
        assert!(version("cargo").unwrap().starts_with("1."));
    }

    #[test]
    fn what_this_test_needs_itself_is_here() {
        for look in [proc, loopback, seccomp] {
            look().unwrap();
        }
    }
}
