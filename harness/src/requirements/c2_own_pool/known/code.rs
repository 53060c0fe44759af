//! Libraries whose code is recognised in an executable, pasted into the sources or linked in.

use crate::probes::ingredients::Executable;

/// The code of a library inside an executable: pasted into the sources, or linked in.
#[derive(Debug)]
pub(in super::super) struct Code {
    /// The library.
    pub(in super::super) name: &'static str,
    /// Names that all must be defined, whole. A student's own code may have some of them.
    all: &'static [&'static str],
    /// Names that nobody else has a reason to choose, of functions, variables, types or enumerators: that many must be
    /// there.
    marks: (usize, &'static [&'static str]),
    /// A piece of a mangled name that says by itself whose it is; empty if there is none.
    mangled: &'static str,
}

const NO_MARKS: (usize, &[&str]) = (0, &[]);

/// Libraries whose code is recognised in the executable.
pub(in super::super) static CODE: &[Code] = &[
    Code {
        name: "C-Thread-Pool (thpool.c by J. H. Seferidis)",
        all: &["thpool_init", "thpool_add_work"],
        marks: (
            4,
            &[
                "jobqueue_pull",
                "jobqueue_clear",
                "bsem_post_all",
                "bsem_reset",
                "thread_hold",
                "threads_keepalive",
                "threads_on_hold",
                "thpool_num_threads_working",
            ],
        ),
        mangled: "",
    },
    Code {
        name: "threadpool (threadpool.c by M. Brossard)",
        all: &[
            "threadpool_create",
            "threadpool_add",
            "threadpool_destroy",
            "threadpool_free",
            "threadpool_thread",
        ],
        marks: (
            4,
            &[
                "threadpool_lock_failure",
                "threadpool_thread_failure",
                "threadpool_queue_full",
                "threadpool_task_t",
                "immediate_shutdown",
                "graceful_shutdown",
            ],
        ),
        mangled: "",
    },
    Code {
        name: "GNU OpenMP (libgomp)",
        all: &["GOMP_parallel", "gomp_team_start", "gomp_team_end"],
        marks: NO_MARKS,
        mangled: "",
    },
    Code {
        name: "LLVM OpenMP (libomp)",
        all: &["__kmpc_fork_call", "__kmp_fork_call", "__kmp_join_call"],
        marks: NO_MARKS,
        mangled: "",
    },
    Code {
        name: "APR's thread pool (libaprutil)",
        all: &["apr_thread_pool_create", "apr_thread_pool_push", "apr_thread_pool_thread_max_set"],
        marks: NO_MARKS,
        mangled: "",
    },
    Code {
        name: "pthreadpool",
        all: &["pthreadpool_create", "pthreadpool_parallelize_1d", "pthreadpool_get_threads_count"],
        marks: NO_MARKS,
        mangled: "",
    },
    Code {
        name: "libeio",
        all: &["eio_init", "eio_submit", "eio_set_max_parallel", "eio_nreqs"],
        marks: NO_MARKS,
        mangled: "",
    },
    Code {
        name: "Boost.Asio's thread_pool",
        all: &[],
        marks: NO_MARKS,
        mangled: "N5boost4asio11thread_pool",
    },
    Code { name: "BS::thread_pool", all: &[], marks: NO_MARKS, mangled: "N2BS11thread_pool" },
    Code { name: "rayon", all: &[], marks: NO_MARKS, mangled: "10rayon_core8registry" },
    Code { name: "ants", all: &[], marks: NO_MARKS, mangled: "github.com/panjf2000/ants" },
    Code { name: "workerpool", all: &[], marks: NO_MARKS, mangled: "github.com/gammazero/workerpool" },
    Code { name: "pond", all: &[], marks: NO_MARKS, mangled: "github.com/alitto/pond" },
    Code { name: "tunny", all: &[], marks: NO_MARKS, mangled: "github.com/Jeffail/tunny" },
    Code { name: "conc/pool", all: &[], marks: NO_MARKS, mangled: "github.com/sourcegraph/conc/pool" },
];

impl Code {
    /// The names by which this library is recognised in an executable; `None` if it is not.
    pub(in super::super) fn seen_in(&self, executable: &Executable) -> Option<Vec<String>> {
        if !self.mangled.is_empty() {
            return executable
                .defined
                .iter()
                .find(|name| name.contains(self.mangled))
                .map(|name| vec![name.clone()]);
        }
        let defines = |name: &&&str| executable.defined.contains(**name);
        let known = |name: &&&str| defines(name) || executable.debugged.contains(**name);
        let (least, marks) = self.marks;
        let marks: Vec<&&str> = marks.iter().filter(known).collect();
        let whole = self.all.iter().filter(defines).count() == self.all.len() && marks.len() >= least;
        whole.then(|| self.all.iter().chain(marks).map(|name| (*name).to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(defined: &[&str], debugged: &[&str]) -> Executable {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Executable {
            defined: set(defined),
            debugged: set(debugged),
            has_symbols: true,
            ..Executable::default()
        }
    }

    fn library_in(executable: &Executable) -> Option<&'static str> {
        CODE.iter().find(|code| code.seen_in(executable).is_some()).map(|code| code.name)
    }

    #[test]
    fn a_pasted_library_is_known_by_its_private_names_too() {
        let names =
            ["thpool_init", "thpool_add_work", "jobqueue_pull", "bsem_post_all", "bsem_reset", "thread_hold"];
        assert!(library_in(&executable(&names, &[])).unwrap().contains("thpool.c"));
        let names = [
            "threadpool_create",
            "threadpool_add",
            "threadpool_destroy",
            "threadpool_free",
            "threadpool_thread",
        ];
        let debugged = [
            "threadpool_lock_failure",
            "threadpool_thread_failure",
            "immediate_shutdown",
            "graceful_shutdown",
        ];
        assert!(library_in(&executable(&names, &debugged)).unwrap().contains("threadpool.c"));
    }

    #[test]
    fn a_students_own_pool_is_not_taken_for_one() {
        for (defined, debugged) in [
            // Names that everybody chooses.
            (
                &[
                    "threadpool_create",
                    "threadpool_add",
                    "threadpool_destroy",
                    "threadpool_free",
                    "threadpool_thread",
                ][..],
                &["threadpool_t", "graceful_shutdown", "threadpool_queue_full"][..],
            ),
            (
                &[
                    "thpool_init",
                    "thpool_add_work",
                    "thpool_wait",
                    "thpool_destroy",
                    "jobqueue_pull",
                    "jobqueue_push",
                ],
                &[],
            ),
            (&["thpool_init", "jobqueue_pull", "bsem_post_all", "bsem_reset", "thread_hold"], &[]),
            (&["GOMP_parallel"], &[]),
            // The thread pool of the Rust book, in a module or a package of one's own.
            (
                &[
                    "_ZN11pool_server10threadpool10ThreadPool7execute17h0123E",
                    "_ZN10threadpool10ThreadPool3new17h0123E",
                ],
                &[],
            ),
        ] {
            assert_eq!(library_in(&executable(defined, debugged)), None, "{defined:?}");
        }
    }

    #[test]
    fn mangled_names_tell_their_library() {
        assert_eq!(
            library_in(&executable(&["_ZN10rayon_core8registry8Registry3new17h1E"], &[])),
            Some("rayon")
        );
        assert_eq!(
            library_in(&executable(&["github.com/panjf2000/ants/v2.(*Pool).Submit"], &[])),
            Some("ants")
        );
    }
}
