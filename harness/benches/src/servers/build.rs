//! Finds the servers, and builds those that cargo does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{INLINE, LESSON, OURS, Server};
use crate::context::Context;

/// How one comes to a server's program.
enum Source {
    /// Cargo has put it there, below the target folder.
    Cargo(&'static str),
    /// C files of this folder, built with one thing `changed`: what stands there, and what shall stand there.
    C {
        folder: &'static str,
        changed: Option<(&'static str, &'static str)>,
        libraries: &'static [&'static str],
        needs: &'static str,
    },
    /// Go files of this folder.
    Go { folder: &'static str },
}

struct Entry {
    name: &'static str,
    about: &'static str,
    source: Source,
    has_capacity: bool,
}

/// What is needed for C.
pub const C_COMPILER: &str = "apt-get install gcc libc6-dev";

const CATALOGUE: &[Entry] = &[
    Entry {
        name: OURS,
        about: "this one: epoll loop, bounded queue, pthread workers, eventfd back",
        source: Source::Cargo("release/pool_server"),
        has_capacity: true,
    },
    Entry {
        name: LESSON,
        about: "the solution of quest 07 in C, with gcc -O2",
        source: Source::C {
            folder: "quests/07-pool-server/solution",
            // The lesson's tasks are longer. Here all servers have to compute the same.
            changed: Some(("HASH_ROUNDS = 200", "HASH_ROUNDS = 64")),
            libraries: &[],
            needs: C_COMPILER,
        },
        has_capacity: true,
    },
    Entry {
        name: INLINE,
        about: "the limit: one thread, edge-triggered epoll, no hand-off",
        source: Source::Cargo("bench-build/release/inline"),
        has_capacity: false,
    },
    Entry {
        name: "tokio-blocking",
        about: "tokio, multi-thread; each request is a spawn_blocking",
        source: Source::Cargo("bench-build/release/tokio-blocking"),
        has_capacity: false,
    },
    Entry {
        name: "tokio-rayon",
        about: "tokio, multi-thread; each request is spawned on a rayon pool",
        source: Source::Cargo("bench-build/release/tokio-rayon"),
        has_capacity: false,
    },
    Entry {
        name: "tokio-crossbeam",
        about: "tokio on one thread; worker threads behind a crossbeam channel",
        source: Source::Cargo("bench-build/release/tokio-crossbeam"),
        has_capacity: false,
    },
    Entry {
        name: "goroutines",
        about: "Go: a goroutine for each connection, which computes by itself",
        source: Source::Go { folder: "harness/benches/peers/goroutines" },
        has_capacity: false,
    },
    Entry {
        name: "libuv",
        about: "libuv: one loop, uv_queue_work for each request",
        source: Source::C {
            folder: "harness/benches/peers/libuv",
            changed: None,
            libraries: &["-luv"],
            needs: "apt-get install libuv1-dev",
        },
        has_capacity: false,
    },
];

/// The names for `--servers`.
pub fn names() -> Vec<&'static str> {
    CATALOGUE.iter().map(|entry| entry.name).collect()
}

/// All chosen servers that this machine can build, and for each other one why it cannot. Fails if this repository's own
/// cannot be built.
pub fn find_all(context: &Context) -> Result<(Vec<Server>, Vec<String>)> {
    let chosen = &context.options.servers;
    let (mut servers, mut missing) = (Vec::new(), Vec::new());
    let is_chosen = |entry: &&Entry| chosen.is_empty() || chosen.iter().any(|name| name == entry.name);
    for entry in CATALOGUE.iter().filter(is_chosen) {
        match entry.build(context) {
            Ok(program) => servers.push(Server {
                name: entry.name,
                about: entry.about,
                program,
                has_capacity: entry.has_capacity,
            }),
            Err(error) if [OURS, LESSON].contains(&entry.name) => return Err(error),
            Err(error) => missing.push(format!("{}: {error:#}", entry.name)),
        }
    }
    Ok((servers, missing))
}

impl Entry {
    fn build(&self, context: &Context) -> Result<PathBuf> {
        let result = context.in_results(self.name);
        match &self.source {
            Source::Cargo(place) => {
                let program = context.options.target.join(place);
                if !program.exists() {
                    bail!("{} is not there; `make bench` builds it", program.display());
                }
                return Ok(program);
            }
            Source::C { folder, changed, libraries, needs } => {
                let copy = context.in_results(&format!("{}-source", self.name));
                let files = copy_sources(&context.in_repository(folder), &copy, *changed)?;
                let mut gcc = Command::new("gcc");
                gcc.args(["-O2", "-pthread", "-o"]).arg(&result).args(files).args(*libraries);
                compile(&mut gcc, needs)?;
            }
            Source::Go { folder } => {
                let mut go = Command::new("go");
                go.env("GOCACHE", context.in_results("go-cache")).env("GOFLAGS", "-mod=mod");
                go.current_dir(context.in_repository(folder))
                    .args(["build", "-o"])
                    .arg(&result)
                    .arg("main.go");
                compile(&mut go, "apt-get install golang-go")?;
            }
        }
        Ok(result)
    }
}

/// Copies C files and headers, with one change in one of them; says which files are to be compiled.
fn copy_sources(folder: &Path, copy: &Path, changed: Option<(&str, &str)>) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    fs::create_dir_all(copy)?;
    let (mut files, mut changes) = (Vec::new(), 0);
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default();
        let end = path.extension().unwrap_or_default();
        if end != "c" && end != "h" {
            continue;
        }
        let mut text = fs::read_to_string(&path)?;
        if let Some((old, new)) = changed {
            changes += text.matches(old).count();
            text = text.replace(old, new);
        }
        fs::write(copy.join(name), text)?;
        if end == "c" {
            files.push(copy.join(name));
        }
    }
    if let Some((old, _)) = changed.filter(|_| changes != 1) {
        bail!("'{old}' does not stand exactly once in {}", folder.display());
    }
    Ok(files)
}

/// Runs a compiler. If it is not there, or not content, the error says what is `needed`.
pub fn compile(compiler: &mut Command, needed: &str) -> Result<()> {
    let Ok(output) = compiler.output() else { bail!("not here: {needed}") };
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let first =
        words.lines().find(|line| line.contains("error")).or(words.lines().next()).unwrap_or_default();
    bail!("does not build ({first}); if something is missing: {needed}")
}
