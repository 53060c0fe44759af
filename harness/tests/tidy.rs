//! The rules of the house, as tests: which room may use which, where `unsafe` may stand, and that every requirement is
//! described and worth something.

use quest::{quests::catalogue, requirements::REGISTRY};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A file's code may be this long; its tests come on top.
const MOST_LINES: usize = 300;

/// One Rust file.
struct Source {
    /// Its path below the repository's root.
    path: String,
    text: String,
}

impl Source {
    /// Everything before the tests of the file. A file in a folder `tests` holds nothing else.
    fn before_tests(&self) -> &str {
        if self.path.split('/').any(|folder| folder == "tests") {
            return "";
        }
        self.text.split("#[cfg(test)]").next().unwrap_or_default()
    }

    /// The code before the tests, without comments: line by line, with the numbers of the lines.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.before_tests()
            .lines()
            .enumerate()
            .map(|(n, line)| (n + 1, line.split("//").next().unwrap_or_default()))
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// The top-level module of a crate with the sources `root` that this file is part of; `None` for `lib.rs`,
    /// `main.rs` and tests.
    fn room(&self, root: &str) -> Option<&str> {
        let inner = self.path.strip_prefix(root)?.trim_start_matches('/');
        let room = inner.split('/').next()?.trim_end_matches(".rs");
        (!["lib", "main", "tests"].contains(&room)).then_some(room)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file of both crates and of the benchmarks, tests included.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let folders = ["src", "tests", "harness/src", "harness/tests", "harness/benches"];
    let mut folders: Vec<PathBuf> = folders.map(|f| root().join(f)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 20, "the sources are not where this test looks for them");
    sources
}

/// The rooms of a crate, lowest first: the order of the modules in its `lib.rs`, or `main.rs` if it has none.
fn rooms(root_of_crate: &str) -> Vec<String> {
    let folder = root().join(root_of_crate);
    let text = fs::read_to_string(folder.join("lib.rs"))
        .or_else(|_| fs::read_to_string(folder.join("main.rs")))
        .unwrap();
    let modules = text.lines().filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod "));
    modules.map(|name| name.trim_end_matches(';').to_owned()).collect()
}

/// Every room that `code` names: the `x` of `crate::x` and of `crate::{x::y, ...}`.
fn used(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    used.insert(name(item.trim()));
                    item.clear();
                }
                _ if depth == 0 => item.push(c),
                _ => {}
            }
        }
        used.insert(name(item.trim()));
    }
    used.remove("");
    used
}

#[test]
fn the_parser_of_this_test_reads_every_form_of_use() {
    let code =
        "use crate::{\n    error::{A, B},\n    model::C, runner,\n};\nfn f() { crate::quests::DEFAULT }";
    let expected = ["error", "model", "quests", "runner"].map(str::to_owned);
    assert_eq!(used(code), BTreeSet::from(expected));
}

#[test]
fn a_room_uses_only_rooms_that_stand_before_it_in_the_list() {
    let mut wrong = Vec::new();
    for crate_root in ["src", "harness/src", "harness/benches/src"] {
        let rooms = rooms(crate_root);
        let place = |room: &str| rooms.iter().position(|known| known == room);
        for source in sources() {
            let Some(room) = source.room(crate_root) else { continue };
            let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
            let Some(own) = place(room) else {
                wrong.push(format!("{}: {room} is not in the list of modules of {crate_root}", source.path));
                continue;
            };
            for other in used(&code) {
                // What is no module is a type or macro that lib.rs re-exports; there is none so far.
                if place(&other).is_none_or(|other| other > own) {
                    wrong.push(format!("{} ({room}) uses {other}, which stands above it", source.path));
                }
            }
            if code.contains("super::super::super::") {
                wrong.push(format!(
                    "{}: name the room with `crate::` instead of three times `super`",
                    source.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_event_loop_and_the_thread_pool_meet_only_in_the_handoff() {
    for (room, other) in [("event_loop", "thread_pool"), ("thread_pool", "event_loop")] {
        for source in sources().iter().filter(|source| source.room("src") == Some(room)) {
            let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
            assert!(!used(&code).contains(other), "{} uses {other}", source.path);
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_is_short_enough_to_read() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            wrong.push(format!("{} does not begin with `//! `", source.path));
        }
        let lines = source.before_tests().lines().count();
        if lines > MOST_LINES {
            wrong.push(format!(
                "{} has {lines} lines before its tests; {MOST_LINES} are allowed",
                source.path
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lines of code that hold `words`, in files that `chosen` picks.
fn lines_with(words: &[&str], chosen: impl Fn(&Source) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| chosen(source)) {
        for (number, line) in source.code() {
            found.extend(
                words.iter().find(|w| line.contains(**w)).map(|w| format!("{}:{number}: {w}", source.path)),
            );
        }
    }
    found
}

#[test]
fn unsafe_stands_only_where_a_system_call_is_wrapped() {
    let places = [
        "src/sys/",
        "harness/src/probes/tracer/",
        "harness/src/probes/interposer/",
        "harness/src/submission/sandbox/",
        "harness/src/submission/launch.rs",
    ];
    let found =
        lines_with(&["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code)"], |s| !s.is_in(&places));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_server_uses_no_thread_and_no_lock_of_the_standard_library() {
    let words = ["std::thread", "std::sync", "println!", "eprintln!"];
    let found = lines_with(&words, |source| source.is_in(&["src/"]));
    assert!(found.is_empty(), "Helgrind takes these for data races:\n{}", found.join("\n"));
}

#[test]
fn nobody_sleeps_to_let_something_happen() {
    let words = ["thread::sleep", "park_timeout", "libc::sleep(", "usleep(", "nanosleep("];
    let found = lines_with(&words, |source| source.is_in(&["src/", "harness/src/"]));
    assert!(found.is_empty(), "wait for the event, with a deadline:\n{}", found.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    let words = [
        "TO".to_owned() + "DO",
        "FIX".to_owned() + "ME",
        "#[ign".to_owned() + "ore",
        "todo".to_owned() + "!(",
    ];
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            found.extend(
                words
                    .iter()
                    .filter(|w| line.contains(*w))
                    .map(|w| format!("{}:{}: {w}", source.path, number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_requirement_is_described_and_worth_something() {
    let text = fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    let quests = catalogue().unwrap();
    for requirement in REGISTRY {
        let id = requirement.id();
        let described = text.lines().any(|line| {
            line.strip_prefix(&format!("## {id}"))
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        assert!(described, "docs/requirements.md has no section that begins with `## {id}`");
        assert!(quests.iter().any(|quest| quest.rule(id).is_some()), "no quest gives points for {id}");
    }
}

#[test]
fn every_link_in_a_document_leads_somewhere() {
    let mut folders = vec![root().join("docs"), root().join("quests")];
    let mut documents = vec![root().join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|end| end == "md") => documents.push(path),
                false => {}
            }
        }
    }
    let mut wrong = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for rest in text.split("](").skip(1) {
            let link = rest.split([')', '#']).next().unwrap_or_default();
            if !link.is_empty() && !link.contains("://") && !document.parent().unwrap().join(link).exists() {
                wrong.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_registry_is_in_the_order_of_the_ids_and_every_quest_asks_only_for_what_is_in_it() {
    let ids: Vec<_> = REGISTRY.iter().map(|requirement| requirement.id()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    for quest in catalogue().unwrap() {
        for rule in &quest.requirements {
            assert!(ids.contains(&rule.id), "{} asks for {}, which nothing checks", quest.id, rule.id);
        }
    }
}

#[test]
fn the_top_level_holds_the_agreed_names_and_nothing_else() {
    let agreed = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Makefile",
        "README.md",
        "docs",
        "harness",
        // What the quest proposes as the name of one's own copy of the starter; git does not look at it.
        "mine",
        "quests",
        "src",
        "target",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || agreed.contains(&name.as_str()),
            "{name} has no place at the top level"
        );
    }
}
