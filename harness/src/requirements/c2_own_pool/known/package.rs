//! Packages of Rust that hold a thread pool.

use crate::probes::ingredients::{Executable, Package};

/// How a package of Rust has threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Trade {
    /// It is a pool, and nothing else.
    Pool,
    /// It is more than that, and its pool need not be used.
    Runtime {
        /// How the names of its threads begin.
        threads: &'static str,
        /// It runs tasks on its pool if nobody tells it otherwise.
        usually: bool,
    },
}

/// A package of Rust that holds a thread pool.
#[derive(Debug)]
pub(in super::super) struct Crate {
    /// Its name.
    pub(in super::super) name: &'static str,
    /// Only with this feature; empty if with every one.
    feature: &'static str,
    pub(in super::super) trade: Trade,
    /// What it is.
    pub(in super::super) word: &'static str,
}

const fn pool(name: &'static str, word: &'static str) -> Crate {
    Crate { name, feature: "", trade: Trade::Pool, word }
}

const fn runtime(
    name: &'static str,
    feature: &'static str,
    threads: &'static str,
    word: &'static str,
) -> Crate {
    Crate { name, feature, trade: Trade::Runtime { threads, usually: true }, word }
}

/// Packages of Rust with a thread pool.
pub(in super::super) static CRATES: &[Crate] = &[
    pool("rayon", "a work-stealing thread pool"),
    pool("rayon-core", "rayon's thread pool"),
    pool("threadpool", "a fixed thread pool with a queue"),
    pool("threads_pool", "a thread pool"),
    pool("scheduled-thread-pool", "a thread pool with timers"),
    pool("scoped_threadpool", "a thread pool for borrowed data"),
    pool("scoped-pool", "a thread pool for borrowed data"),
    pool("workerpool", "a thread pool with state in each worker"),
    pool("rusty_pool", "a growing thread pool"),
    pool("fast-threadpool", "a fixed thread pool"),
    pool("executors", "a collection of thread pools"),
    pool("uvth", "a thread pool"),
    pool("actix-threadpool", "actix's thread pool"),
    pool("tokio-threadpool", "the thread pool of early tokio"),
    pool("blocking", "a growing thread pool for blocking calls"),
    Crate {
        name: "futures",
        feature: "thread-pool",
        trade: Trade::Pool,
        word: "with its ThreadPool switched on",
    },
    Crate {
        name: "futures-executor",
        feature: "thread-pool",
        trade: Trade::Pool,
        word: "with its ThreadPool switched on",
    },
    runtime("tokio", "rt-multi-thread", "tokio-r", "a runtime that runs tasks on a thread pool"),
    Crate {
        name: "tokio",
        feature: "rt",
        trade: Trade::Runtime { threads: "tokio-r", usually: false },
        word: "a runtime with a thread pool behind spawn_blocking",
    },
    runtime("async-std", "", "async-std", "a runtime that runs tasks on a thread pool"),
    runtime("async-global-executor", "", "async-global", "a thread pool for futures"),
    runtime("smol", "", "smol-", "a runtime that runs tasks on threads of its own"),
];

impl Crate {
    /// What is known of a package.
    pub(in super::super) fn of(package: &Package) -> Option<&'static Self> {
        let fits = |known: &&Self| {
            known.name == package.name
                && (known.feature.is_empty()
                    || package.features.iter().any(|feature| feature == known.feature))
        };
        CRATES.iter().find(fits)
    }

    /// Whether the executable holds code of a package: a mangled name begins with the name of its crate.
    pub(in super::super) fn is_linked(package: &str, executable: &Executable) -> bool {
        let krate = package.replace('-', "_");
        let part = format!("{}{krate}", krate.len());
        // The two ways in which rustc mangles: _ZN4rayon..., and _RNv...CsHASH_4rayon...
        let (legacy, v0) = (format!("_ZN{part}"), format!("_{part}"));
        executable
            .defined
            .iter()
            .any(|name| name.starts_with(&legacy) || (name.starts_with("_R") && name.contains(&v0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(defined: &[&str]) -> Executable {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Executable { defined: set(defined), has_symbols: true, ..Executable::default() }
    }

    #[test]
    fn a_runtime_counts_with_the_feature_that_brings_its_pool() {
        let tokio = |features: &[&str]| {
            let features = features.iter().map(|f| (*f).to_owned()).collect();
            Crate::of(&Package { name: "tokio".into(), features, ..Package::default() })
        };
        assert!(tokio(&["default", "sync"]).is_none());
        assert!(tokio(&["rt", "rt-multi-thread"]).unwrap().word.contains("runs tasks on"));
        assert!(tokio(&["rt"]).unwrap().word.contains("spawn_blocking"));
        assert!(Crate::of(&Package { name: "libc".into(), ..Package::default() }).is_none());
    }

    #[test]
    fn linked_code_is_told_from_a_module_of_the_same_name() {
        assert!(Crate::is_linked("rayon-core", &executable(&["_ZN10rayon_core4join17h1E"])));
        assert!(Crate::is_linked("rayon-core", &executable(&["_RNvNtCs12ab_10rayon_core4join4join"])));
        assert!(!Crate::is_linked("rayon-core", &executable(&["_ZN11pool_server10rayon_core4join17h1E"])));
    }
}
