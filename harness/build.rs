//! Builds the preloaded library and gathers the folders of the quests that every user needs, which the `quest` binary then carries
//! inside itself.

use std::{
    collections::BTreeSet,
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::exit,
};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    build_interposer(&out.join("preload.so"));
    let quests = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../quests");
    let mut list = String::from("&[\n");
    // What a test harness is tried on.
    let harness = quests.join("06-regression-harness/quest.toml");
    println!("cargo::rerun-if-changed={}", harness.display());
    let mut servers = servers(&quests, &harness);
    servers.retain(|folder| !folder.ends_with("solution"));
    servers.iter().for_each(|folder| gather(&quests, folder, &mut list));
    // What a lesson hands out, what it is built with, and its solution. Nothing of the corpus: whoever works on that need not
    // wait for the harness to be built again. For the same reason a new quest is not noticed by itself: touch this file.
    gather(&quests, Path::new("frame"), &mut list);
    for quest in sorted(&quests) {
        let quest = quest.strip_prefix(&quests).expect("it lies in there");
        if quests.join(quest).join("quest.toml").is_file() {
            add(&quests, &quest.join("quest.toml"), &mut list);
        }
        ["starter", "solution", "driver"]
            .iter()
            .for_each(|part| gather(&quests, &quest.join(part), &mut list));
    }
    list += "]\n";
    fs::write(out.join("quests.rs"), list).expect("OUT_DIR can be written to");
}

fn build_interposer(library: &Path) {
    let source = "src/probes/interposer/preload.c";
    println!("cargo::rerun-if-changed={source}");
    // Optimised whatever the profile: without it the wrappers' own frames would stand in every stack.
    let compiler = cc::Build::new().opt_level(2).debug(false).get_compiler();
    let status = compiler
        .to_command()
        .args(["-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(library)
        .args([source, "-ldl", "-pthread"])
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => {
            eprintln!("the preloaded library {source} did not compile: {status}");
            exit(1);
        }
        Err(error) => {
            eprintln!("cannot run the C compiler {}: {error}", compiler.path().display());
            exit(1);
        }
    }
}

/// The folders that a quest names in its `[mutation]`, and those that they are laid over.
fn servers(quests: &Path, quest: &Path) -> BTreeSet<PathBuf> {
    let read =
        |file: &Path| fs::read_to_string(file).unwrap_or_default().parse::<toml::Table>().unwrap_or_default();
    let table = read(quest);
    let lists =
        table.get("mutation").and_then(toml::Value::as_table).into_iter().flat_map(|lists| lists.values());
    let mut folders: BTreeSet<PathBuf> = lists
        .filter_map(toml::Value::as_array)
        .flatten()
        .filter_map(toml::Value::as_str)
        .map(PathBuf::from)
        .collect();
    let base = |folder: &PathBuf| {
        let manifest = read(&quests.join(folder).join("quest.toml"));
        let base = manifest.get("base").and_then(toml::Value::as_str)?;
        Some(PathBuf::from(folder.iter().next()?).join(base))
    };
    let bases: Vec<PathBuf> = folders.iter().filter_map(base).collect();
    folders.extend(bases);
    folders
}

/// Adds the files of a folder, not those below.
fn gather(quests: &Path, folder: &Path, list: &mut String) {
    let path = quests.join(folder);
    // A file that comes or goes; what is in a file, the compiler watches itself.
    println!("cargo::rerun-if-changed={}", path.display());
    for file in sorted(&path).iter().filter(|file| file.is_file()) {
        add(quests, &folder.join(file.file_name().expect("a file has a name")), list);
    }
}

/// Adds `("02-x/starter/a.c", include_bytes!(...)),`.
fn add(quests: &Path, file: &Path, list: &mut String) {
    let path = quests.join(file).canonicalize().expect("it is there");
    let _ = writeln!(
        list,
        "    ({:?}, include_bytes!({:?})),",
        file.display().to_string(),
        path.display().to_string()
    );
}

/// What is in a folder, by name; nothing if it is not there.
fn sorted(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.sort();
    paths
}
