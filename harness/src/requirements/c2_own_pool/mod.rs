//! C2: the pool is the submission's own: no external thread-pool library.

mod known;
mod observe;

use super::{Context, Requirement};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::ingredients::{Executable, Header, Package},
    submission::Kind,
};
use known::{CODE, CRATES, Crate, Library, Trade};
use observe::{file_name, observe};
use std::{collections::BTreeSet, path::PathBuf};

/// C2.
pub struct OwnPool;

const EXPECTED: &str =
    "the thread pool is the submission's own code: no thread-pool library is linked, loaded or pasted in";
const HINT: &str = "the pool is what this quest is about: write the queue, the workers and the way back yourself, with pthreads (or \
                    your language's threads and locks)";

/// What was seen of the build and of a server that had answered requests.
#[derive(Clone, Debug)]
struct Observation {
    kind: Kind,
    /// Headers of the build that are neither the submission's nor the platform's.
    headers: Vec<Header>,
    /// The running program's names; `None` if it could not be read.
    executable: Option<Executable>,
    /// The name of the running program's file.
    running: String,
    /// The libraries that it has mapped.
    libraries: Vec<PathBuf>,
    /// For each worker that a library's code made, that library's file.
    makers: Vec<String>,
    /// Where the first worker was made, in the submission's code.
    made_at: String,
    /// The threads' names.
    threads: Vec<String>,
    /// The foreign packages of a Cargo package: `Some(None)` if Cargo did not say.
    packages: Option<Option<Vec<Package>>>,
}

impl Requirement for OwnPool {
    fn id(&self) -> Id {
        Id::new('C', 2)
    }

    fn title(&self) -> &'static str {
        "no external thread-pool library"
    }

    fn about(&self) -> &'static str {
        "The workers, their queue and the way back are the submission's own code. A library that brings a thread pool is not \
         used: neither linked, nor loaded while the program runs, nor pasted into the sources.\n\n\
         Looked at: the headers that the build read from outside the folder; the names that the executable defines, imports \
         and could look up while it runs; the libraries that a server has mapped once it has answered requests, and whose code \
         made its threads; for a Cargo package, the packages in its program.\n\n\
         Decides: a known pool library whose pool is used. Code that was pasted in is recognised only by several names that \
         are typical of that library together, its private ones among them: a function of your own that is called \
         threadpool_create is yours. Other libraries are named, and no fault."
    }

    fn cost(&self) -> u32 {
        3
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        Ok(judge(&observe(context)?))
    }
}

fn judge(o: &Observation) -> Finding {
    let used = pasted(o).or_else(|| loaded(o)).or_else(|| packaged(o)).or_else(|| at_work(o));
    used.or_else(|| unclear(o)).unwrap_or_else(|| Finding::pass(EXPECTED, nothing_found(o)))
}

/// The code of a known library in the executable itself.
fn pasted(o: &Observation) -> Option<Finding> {
    let executable = o.executable.as_ref()?;
    let (code, names) = CODE.iter().find_map(|code| Some((code, code.seen_in(executable)?)))?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = match o.made_at.as_str() {
        "" => o.running.clone(),
        place => format!("a worker is created at {place}"),
    };
    Some(Finding::fail(
        EXPECTED,
        format!("the executable holds the code of {}, known by {}", code.name, shortened(&names, 6)),
        place,
        format!("{HINT}. If you did write all of that yourself, give it names of your own"),
    ))
}

/// A known library that is mapped and whose pool is used.
fn loaded(o: &Observation) -> Option<Finding> {
    o.libraries.iter().find_map(|path| {
        let file = file_name(path);
        let library = Library::of_file(&file)?;
        let made = o.makers.iter().filter(|maker| **maker == file).count();
        let entry = o.executable.as_ref().and_then(|executable| library.entry_in(executable));
        let evidence = match (made, entry) {
            (0, None) => return None,
            (0, Some(entry)) => format!("the executable {entry}"),
            (made, Some(entry)) => {
                format!("the executable {entry}, and {made} of its threads were made in there")
            }
            // Threads of GLib alone are no pool of GLib.
            (made, None) if library.makes_only_pools => format!("{made} of its threads were made in there"),
            (_, None) => return None,
        };
        let linked = o
            .executable
            .as_ref()
            .is_some_and(|executable| executable.needed.iter().any(|n| file.starts_with(n.as_str())));
        let how = if linked { "linked" } else { "loaded while it runs" };
        let header = o.headers.iter().find(|header| {
            !header.included_at.is_empty() && library.headers.iter().any(|name| header.path.ends_with(name))
        });
        let place = match header {
            Some(header) => format!(
                "{} includes {}; {} is mapped",
                header.included_at,
                header.path.display(),
                path.display()
            ),
            None => format!("{} is mapped", path.display()),
        };
        Some(Finding::fail(EXPECTED, format!("{} is {how}: {evidence}", library.name), place, HINT))
    })
}

/// A known package that the program is built with.
fn packaged(o: &Observation) -> Option<Finding> {
    known_packages(o).find_map(|(package, known)| {
        let evidence = match known.trade {
            Trade::Pool if package.through.is_empty() => known.word.to_owned(),
            Trade::Pool if o.executable.as_ref().is_some_and(|e| Crate::is_linked(&package.name, e)) => {
                format!("{}, and its code is in the executable", known.word)
            }
            Trade::Runtime { threads, .. } => {
                let name = o.threads.iter().find(|name| name.starts_with(threads))?;
                format!("{}, and a thread of the server is called {name}", known.word)
            }
            Trade::Pool => return None,
        };
        Some(Finding::fail(
            EXPECTED,
            format!("the package {}: {evidence}", with_way(package)),
            "Cargo.toml",
            HINT,
        ))
    })
}

/// A known runtime in a program of which Cargo says nothing: its code is there, and a thread bears its name.
fn at_work(o: &Observation) -> Option<Finding> {
    let executable = o.executable.as_ref()?;
    CRATES.iter().find_map(|known| {
        let Trade::Runtime { threads, .. } = known.trade else { return None };
        let name = o.threads.iter().find(|name| name.starts_with(threads))?;
        Crate::is_linked(known.name, executable).then(|| {
            let observed = format!(
                "the executable holds the code of {}, {}, and a thread of the server is called {name}",
                known.name, known.word
            );
            Finding::fail(EXPECTED, observed, o.running.clone(), HINT)
        })
    })
}

/// What cannot be told.
fn unclear(o: &Observation) -> Option<Finding> {
    let unsure = |observed: String, hint: &str| Some(Finding::inconclusive(EXPECTED, observed, "", hint));
    for (package, known) in known_packages(o) {
        match known.trade {
            Trade::Runtime { usually: true, .. } if package.through.is_empty() => {
                return unsure(
                    format!(
                        "the package {}: {}; whether it runs the server's tasks cannot be seen",
                        with_way(package),
                        known.word
                    ),
                    "switch off the feature that brings the pool (rt-multi-thread, say), or do without the package",
                );
            }
            Trade::Pool if o.executable.as_ref().is_none_or(|executable| !executable.has_symbols) => {
                return unsure(
                    format!(
                        "the package {}: {}; whether its code is in the program cannot be seen, because the executable has \
                         no symbol table",
                        with_way(package),
                        known.word
                    ),
                    "leave `strip` out of the release profile",
                );
            }
            _ => {}
        }
    }
    // A thread library of a language, or one that is not known: who makes the workers may be their pool.
    let maker = o.makers.iter().find(|maker| !known::is_platform(maker) && Library::of_file(maker).is_none());
    if let Some(maker) = maker {
        let count = o.makers.iter().filter(|other| *other == maker).count();
        return unsure(
            format!(
                "{count} of the server's threads were made by code in {maker}; whether that is a pool cannot be seen"
            ),
            "make the threads in your own code",
        );
    }
    if let Some(interpreter) = known::interpreter(&o.running) {
        return unsure(
            format!("the program runs in {interpreter}: what its code uses cannot be seen from the process"),
            "",
        );
    }
    if matches!(o.packages, Some(None)) {
        return unsure(
            "cargo tree did not say which packages the program holds".into(),
            "run cargo tree -e normal in its folder",
        );
    }
    None
}

fn known_packages(o: &Observation) -> impl Iterator<Item = (&Package, &'static Crate)> {
    let packages = o.packages.iter().flatten().flatten();
    packages.filter_map(|package| Some((package, Crate::of(package)?)))
}

/// `rayon-core 1.12.1 (through image, rayon)`.
fn with_way(package: &Package) -> String {
    let way = match package.through.as_slice() {
        [] => String::new(),
        through => format!(" (through {})", through.join(", ")),
    };
    format!("{} {}{way}", package.name, package.version)
}

/// What was looked at, and what is foreign in it all the same.
fn nothing_found(o: &Observation) -> String {
    let mut looked = match &o.executable {
        Some(executable) if executable.has_symbols => {
            format!("{} names in the executable", executable.defined.len())
        }
        Some(_) => {
            "the executable's imports (it has no symbol table, so code that was pasted in would not be seen)"
                .into()
        }
        None => "no names (the executable could not be read)".to_owned(),
    };
    looked += &format!(
        ", the {} that a running server has mapped",
        counted(o.libraries.len(), "library", "libraries")
    );
    looked += &match (&o.packages, o.kind) {
        (Some(Some(packages)), _) => {
            format!(", {}", counted(packages.len(), "package of others", "packages of others"))
        }
        (_, Kind::CSources) => ", the headers of the build".to_owned(),
        _ => String::new(),
    };
    let mut foreign: BTreeSet<String> =
        o.libraries.iter().map(|path| file_name(path)).filter(|file| !known::is_platform(file)).collect();
    foreign.extend(o.headers.iter().map(|header| header.path.display().to_string()));
    foreign.extend(known_packages(o).map(|(package, _)| with_way(package)));
    let foreign: Vec<&str> = foreign.iter().map(String::as_str).collect();
    match foreign.as_slice() {
        [] => format!("no thread-pool library; looked at {looked}"),
        some => format!(
            "no thread pool of a library is used; looked at {looked}; from elsewhere: {}",
            shortened(some, 6)
        ),
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn shortened(names: &[&str], most: usize) -> String {
    let more = names.len().saturating_sub(most);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn clean() -> Observation {
        let executable = Executable {
            defined: BTreeSet::from(["main".to_owned()]),
            needed: vec!["libc.so.6".into()],
            has_symbols: true,
            ..Executable::default()
        };
        Observation {
            kind: Kind::CSources,
            headers: Vec::new(),
            executable: Some(executable),
            running: "pool_server".into(),
            libraries: vec!["/lib/libc.so.6".into(), "/lib64/ld-linux-x86-64.so.2".into()],
            makers: Vec::new(),
            made_at: "thread_pool.c:40 (thread_pool_start)".into(),
            threads: vec!["pool_server".into(); 5],
            packages: None,
        }
    }

    fn with(change: impl FnOnce(&mut Observation)) -> Finding {
        let mut observation = clean();
        change(&mut observation);
        judge(&observation)
    }

    fn executable(o: &mut Observation) -> &mut Executable {
        o.executable.as_mut().unwrap()
    }

    fn package(name: &str, features: &[&str], through: &[&str]) -> Option<Option<Vec<Package>>> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Some(Some(vec![Package {
            name: name.into(),
            version: "1.0.0".into(),
            features: owned(features),
            through: owned(through),
        }]))
    }

    #[test]
    fn ones_own_pool_passes_and_so_does_a_library_that_is_none() {
        let finding = judge(&clean());
        assert_eq!(finding.outcome, Outcome::Pass);
        assert!(
            finding.observed.starts_with("no thread-pool library; looked at 1 names"),
            "{}",
            finding.observed
        );
        let finding = with(|o| {
            o.libraries.push("/lib/libssl.so.3".into());
            o.headers.push(Header { path: "/usr/include/openssl/ssl.h".into(), included_at: "a.c:1".into() });
        });
        assert_eq!(finding.outcome, Outcome::Pass);
        assert!(
            finding.observed.ends_with("from elsewhere: /usr/include/openssl/ssl.h, libssl.so.3"),
            "{}",
            finding.observed
        );
    }

    #[test]
    fn pasted_code_fails_with_its_names_and_the_place_that_makes_workers() {
        let names =
            ["thpool_init", "thpool_add_work", "jobqueue_pull", "bsem_post_all", "bsem_reset", "thread_hold"];
        let finding = with(|o| executable(o).defined.extend(names.map(str::to_owned)));
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(
            finding.observed.contains("thpool.c") && finding.observed.contains("jobqueue_pull"),
            "{}",
            finding.observed
        );
        assert!(finding.place.ends_with("thread_pool.c:40 (thread_pool_start)"), "{}", finding.place);
    }

    #[test]
    fn a_library_with_a_pool_counts_only_if_its_pool_is_used() {
        let glib = |o: &mut Observation| o.libraries.push("/lib/libglib-2.0.so.0".into());
        assert_eq!(with(glib).outcome, Outcome::Pass);
        // g_thread_new is no pool.
        let threads = with(|o| {
            glib(o);
            o.makers = vec!["libglib-2.0.so.0".into(); 4];
        });
        assert_eq!(threads.outcome, Outcome::Pass);
        let linked = with(|o| {
            glib(o);
            executable(o).imported.insert("g_thread_pool_new".into());
            executable(o).needed.push("libglib-2.0.so.0".into());
            o.headers
                .push(Header { path: "/usr/include/glib-2.0/glib.h".into(), included_at: "a.c:3".into() });
        });
        assert_eq!(linked.outcome, Outcome::Fail);
        assert_eq!(linked.observed, "GLib is linked: the executable imports g_thread_pool_new");
        assert!(linked.place.starts_with("a.c:3 includes /usr/include/glib-2.0/glib.h"), "{}", linked.place);
        let unmapped = with(|o| {
            executable(o).said.insert("g_thread_pool_new".into());
        });
        assert_eq!(unmapped.outcome, Outcome::Pass);
    }

    #[test]
    fn a_library_that_is_loaded_while_it_runs_is_seen_too() {
        let finding = with(|o| {
            o.libraries.push("/lib/libgomp.so.1".into());
            executable(o).said.insert("GOMP_parallel".into());
            o.makers = vec!["libgomp.so.1".into(); 4];
        });
        let said = "GNU OpenMP is loaded while it runs: the executable looks up GOMP_parallel, and 4 of its threads were made \
                    in there";
        assert_eq!((finding.outcome, finding.observed.as_str()), (Outcome::Fail, said));
        let hidden = with(|o| {
            o.libraries.push("/lib/libgomp.so.1".into());
            o.makers = vec!["libgomp.so.1".into(); 4];
        });
        assert_eq!(hidden.outcome, Outcome::Fail);
    }

    #[test]
    fn threads_of_an_unknown_library_cannot_be_judged_and_those_of_the_platform_are_ones_own() {
        let made_by = |library: &str| with(|o| o.makers = vec![library.to_owned(); 4]);
        assert_eq!(made_by("libmystery.so").outcome, Outcome::Inconclusive);
        assert_eq!(made_by("libstdc++.so.6").outcome, Outcome::Pass);
        assert_eq!(made_by("libc.so.6").outcome, Outcome::Pass);
    }

    #[test]
    fn a_pool_among_the_packages_fails_if_it_is_asked_for_or_linked() {
        let finding = with(|o| o.packages = package("rayon", &[], &[]));
        assert_eq!(finding.outcome, Outcome::Fail);
        assert_eq!(finding.observed, "the package rayon 1.0.0: a work-stealing thread pool");
        let through = |defined: &str, has_symbols: bool| {
            with(|o| {
                o.packages = package("rayon", &[], &["image"]);
                executable(o).defined.insert(defined.into());
                executable(o).has_symbols = has_symbols;
            })
        };
        assert_eq!(through("_ZN5rayon4iter17h1E", true).outcome, Outcome::Fail);
        assert_eq!(through("_ZN5image4load17h1E", true).outcome, Outcome::Pass);
        assert_eq!(through("main", false).outcome, Outcome::Inconclusive);
        assert_eq!(with(|o| o.packages = package("libc", &[], &[])).outcome, Outcome::Pass);
        assert_eq!(with(|o| o.packages = Some(None)).outcome, Outcome::Inconclusive);
    }

    #[test]
    fn a_runtime_is_judged_by_the_threads_that_it_makes() {
        let tokio = |features: &[&str], thread: &str| {
            with(|o| {
                o.packages = package("tokio", features, &[]);
                o.threads.push(thread.to_owned());
            })
            .outcome
        };
        assert_eq!(tokio(&["rt-multi-thread"], "tokio-runtime-w"), Outcome::Fail);
        assert_eq!(tokio(&["rt-multi-thread"], "worker"), Outcome::Inconclusive);
        assert_eq!(tokio(&["rt"], "tokio-rt-worker"), Outcome::Fail);
        assert_eq!(tokio(&["rt"], "worker"), Outcome::Pass);
        assert_eq!(tokio(&["sync"], "worker"), Outcome::Pass);
        let executable_only = with(|o| {
            executable(o).defined.insert("_ZN5tokio7runtime4task17h1E".into());
            o.threads.push("tokio-runtime-w".into());
        });
        assert_eq!(executable_only.outcome, Outcome::Fail);
    }

    #[test]
    fn what_runs_in_an_interpreter_or_is_stripped_says_so() {
        assert_eq!(with(|o| o.running = "python3.11".into()).outcome, Outcome::Inconclusive);
        assert_eq!(with(|o| o.running = "java_like_server".into()).outcome, Outcome::Pass);
        let stripped = with(|o| executable(o).has_symbols = false);
        assert_eq!(stripped.outcome, Outcome::Pass);
        assert!(stripped.observed.contains("it has no symbol table"), "{}", stripped.observed);
    }
}
