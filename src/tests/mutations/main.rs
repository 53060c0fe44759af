//! The loom models, proved by planted mistakes. Each mutation is one exact replacement in a copy of `src/handoff/`; the
//! models run on all copies, and which model catches which mistake has to be what `table/` says. `make model` prints it.
//!
//! All copies are modules of one generated crate (`m00` is the hand-off as it is, `m01` has the first mutation, and so
//! on), so there is one build. Each model then runs in a process of its own, for a panic in the middle of a model may
//! take the process with it.

mod table;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use table::{Mutation, mutations};

/// Modules that the hand-off uses, and that all copies share.
const SHARED: [&str; 3] = ["config.rs", "protocol.rs", "sync.rs"];

/// Built with the flags of the step `Models` of `.ci/test`, so that loom is compiled once for both. The lock file is that of the repository,
/// so it is the same loom, too.
const MANIFEST: &str = r#"
[package]
name = "mutations"
version = "0.0.0"
edition = "2024"

[dependencies]
loom = "0.7"

[lints.rust]
warnings = "allow"

# In so many copies it would be a hundred megabytes.
[profile.dev.package.mutations]
debug = false

[workspace]
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text with the mutation in it. What it replaces has to be there exactly once: a change of the code that touches it
/// has to touch the mutation, too.
fn mutated(text: &str, mutation: &Mutation) -> String {
    let places = text.matches(mutation.find).count();
    assert!(places == 1, "`{}`: what it replaces is {places} times in {}", mutation.what, mutation.file);
    text.replace(mutation.find, mutation.replace)
}

/// Copies the hand-off as the module `name` of the generated crate.
fn copy_handoff(from: &Path, to: &Path, name: &str, mutation: Option<&Mutation>) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_handoff(&path, &target, name, mutation);
            continue;
        }
        let mut text = fs::read_to_string(&path).unwrap();
        if let Some(mutation) = mutation.filter(|mutation| path.ends_with(mutation.file)) {
            text = mutated(&text, mutation);
        }
        write_if_new(&target, &text.replace("crate::handoff", &format!("crate::{name}::handoff")));
    }
}

/// Leaves a file alone that is right already, so that nothing is built again for it.
fn write_if_new(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes the crate with all copies and builds its tests; where the program is.
fn build() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations");
    let sources = crate_folder.join("src");
    let mut lib = String::from("//! Copies of the hand-off, each with one mistake.\n");
    for file in SHARED {
        write_if_new(&sources.join(file), &fs::read_to_string(root().join("src").join(file)).unwrap());
        writeln!(lib, "pub mod {};", file.trim_end_matches(".rs")).unwrap();
    }
    for (number, mutation) in [None].into_iter().chain(mutations().into_iter().map(Some)).enumerate() {
        let name = format!("m{number:02}");
        let handoff = sources.join(&name).join("handoff");
        // A model that was taken out of the repository must not stay here.
        if handoff.exists() {
            fs::remove_dir_all(&handoff).unwrap();
        }
        copy_handoff(&root().join("src/handoff"), &handoff, &name, mutation);
        let what = mutation.map_or("as it is", |mutation| mutation.what);
        writeln!(lib, "#[doc = {what:?}]\npub mod {name} {{ pub mod handoff; }}").unwrap();
    }
    write_if_new(&sources.join("lib.rs"), &lib);
    write_if_new(&crate_folder.join("Cargo.toml"), MANIFEST);
    write_if_new(&crate_folder.join("Cargo.lock"), &fs::read_to_string(root().join("Cargo.lock")).unwrap());

    let output = Command::new(env!("CARGO"))
        .args(["test", "--lib", "--no-run", "--quiet", "--message-format=json-render-diagnostics"])
        .current_dir(&crate_folder)
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("loom"))
        .env("RUSTFLAGS", "--cfg loom")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "a mutation is no Rust any more (`mNN` counts them from 1):\n{error}");
    let program = text.split("\"executable\":\"").nth(1).and_then(|rest| rest.split('"').next());
    PathBuf::from(program.expect("cargo says what it has built"))
}

/// The names of all models, `module::model`.
fn models(program: &Path) -> Vec<String> {
    let list = Command::new(program).args(["--list", "m00::handoff::models"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    names.map(|name| name.trim_start_matches("m00::handoff::models::").to_owned()).collect()
}

/// Whether `model` fails on copy `number`.
fn fails(program: &Path, number: usize, model: &str) -> bool {
    let name = format!("m{number:02}::handoff::models::{model}");
    let mut command = Command::new(program);
    command.args(["--exact", &name]).env("RUST_BACKTRACE", "0").stdout(Stdio::null()).stderr(Stdio::null());
    !command.status().unwrap().success()
}

/// By copy: the models that fail on it, without the names of their modules. Two at a time.
fn run_all(program: &Path, models: &[String]) -> Vec<Vec<String>> {
    let copies = mutations().len() + 1;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let job = next.fetch_add(1, SeqCst);
            if job >= copies * models.len() {
                return failed;
            }
            if fails(program, job / models.len(), &models[job % models.len()]) {
                failed.push(job);
            }
        }
    };
    let mut failed = thread::scope(|scope| {
        let runners = [scope.spawn(work), scope.spawn(work)];
        runners.map(|runner| runner.join().unwrap()).concat()
    });
    failed.sort_unstable();
    let mut caught = vec![Vec::new(); copies];
    for job in failed {
        let model = models[job % models.len()].rsplit(':').next().unwrap();
        caught[job / models.len()].push(model.to_owned());
    }
    caught
}

/// The table as it stands in the documentation: what is broken, and which models say so.
fn table(rows: impl Iterator<Item = (&'static Mutation, Vec<String>)>) -> String {
    let mut table = String::from("| mistake | caught by |\n|---|---|\n");
    for (mutation, caught) in rows {
        let caught = match caught.is_empty() {
            true => format!("no model: {}", mutation.unseen),
            false => caught.iter().map(|model| format!("`{model}`")).collect::<Vec<_>>().join(", "),
        };
        writeln!(table, "| {} | {caught} |", mutation.what).unwrap();
    }
    table
}

fn declared() -> String {
    table(mutations().into_iter().map(|m| (m, m.caught_by.iter().map(|model| (*model).to_owned()).collect())))
}

#[test]
fn every_planted_mistake_is_caught_by_the_models_that_the_table_names() {
    let program = build();
    let models = models(&program);
    assert!(!models.is_empty());
    let mut caught = run_all(&program, &models);
    let unplanted = caught.remove(0);
    let observed = table(mutations().into_iter().zip(caught.iter().cloned()));
    println!("{observed}");
    assert!(unplanted.is_empty(), "these models fail without any mistake: {unplanted:?}");
    for model in &models {
        let model = model.rsplit(':').next().unwrap();
        assert!(caught.iter().flatten().any(|name| name == model), "{model} catches nothing");
    }
    let differing: Vec<_> = observed.lines().filter(|row| !declared().contains(row)).collect();
    assert!(differing.is_empty(), "src/tests/mutations/table/ says otherwise:\n{}", differing.join("\n"));
}

#[test]
fn a_mistake_that_no_model_catches_has_a_reason() {
    for mutation in mutations() {
        assert_eq!(mutation.caught_by.is_empty(), !mutation.unseen.is_empty(), "{}", mutation.what);
    }
}

#[test]
fn the_documentation_has_the_same_table() {
    let text = fs::read_to_string(root().join("docs/concurrency-model.md")).unwrap();
    assert!(
        text.contains(&declared()),
        "docs/concurrency-model.md should have this table:\n\n{}",
        declared()
    );
}
