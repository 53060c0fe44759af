//! Shared libraries that hold a thread pool, and what every program has anyway.

use crate::probes::ingredients::Executable;

/// A shared library that holds a thread pool, perhaps among other things.
#[derive(Debug)]
pub(in super::super) struct Library {
    /// What people call it.
    pub(in super::super) name: &'static str,
    /// How its file's name begins.
    file: &'static str,
    /// How the names of the functions begin by which its pool is used.
    pub(in super::super) entries: &'static [&'static str],
    /// Headers of it.
    pub(in super::super) headers: &'static [&'static str],
    /// It makes no other threads than its pool's.
    pub(in super::super) makes_only_pools: bool,
}

/// Shared libraries with a thread pool.
pub(in super::super) static LIBRARIES: &[Library] = &[
    Library {
        name: "GNU OpenMP",
        file: "libgomp.so",
        entries: &["GOMP_parallel", "GOMP_task", "GOMP_teams"],
        headers: &["omp.h"],
        makes_only_pools: true,
    },
    Library {
        name: "LLVM OpenMP",
        file: "libomp.so",
        entries: &["__kmpc_fork_call", "__kmpc_omp_task", "GOMP_parallel"],
        headers: &["omp.h"],
        makes_only_pools: true,
    },
    Library {
        name: "Intel OpenMP",
        file: "libiomp5.so",
        entries: &["__kmpc_fork_call", "__kmpc_omp_task", "GOMP_parallel"],
        headers: &["omp.h"],
        makes_only_pools: true,
    },
    Library {
        name: "GLib",
        file: "libglib-2.0.so",
        entries: &["g_thread_pool_new", "g_thread_pool_push"],
        headers: &["glib.h"],
        makes_only_pools: false,
    },
    Library {
        name: "GIO",
        file: "libgio-2.0.so",
        entries: &["g_task_run_in_thread", "g_threaded_socket_service_new"],
        headers: &["gio.h"],
        makes_only_pools: false,
    },
    Library {
        name: "libuv",
        file: "libuv.so",
        entries: &["uv_queue_work"],
        headers: &["uv.h"],
        makes_only_pools: false,
    },
    Library {
        name: "APR",
        file: "libaprutil-1.so",
        entries: &["apr_thread_pool_create", "apr_thread_pool_push"],
        headers: &["apr_thread_pool.h"],
        makes_only_pools: false,
    },
    Library {
        name: "libdispatch",
        file: "libdispatch.so",
        entries: &["dispatch_async", "dispatch_apply", "dispatch_group_async", "dispatch_barrier_async"],
        headers: &["dispatch.h"],
        makes_only_pools: true,
    },
    Library {
        name: "oneTBB",
        file: "libtbb.so",
        entries: &["_ZN3tbb6detail2r1", "_ZN3tbb10interface", "_ZN3tbb8internal"],
        headers: &["tbb.h", "task_group.h", "task_arena.h"],
        makes_only_pools: true,
    },
    Library {
        name: "pthreadpool",
        file: "libpthreadpool.so",
        entries: &["pthreadpool_create"],
        headers: &["pthreadpool.h"],
        makes_only_pools: true,
    },
    Library {
        name: "Qt 5",
        file: "libQt5Core.so",
        entries: &["_ZN11QThreadPool"],
        headers: &["qthreadpool.h"],
        makes_only_pools: false,
    },
    Library {
        name: "Qt 6",
        file: "libQt6Core.so",
        entries: &["_ZN11QThreadPool"],
        headers: &["qthreadpool.h"],
        makes_only_pools: false,
    },
    Library {
        name: "POCO",
        file: "libPocoFoundation.so",
        entries: &["_ZN4Poco10ThreadPool"],
        headers: &["ThreadPool.h"],
        makes_only_pools: false,
    },
    Library {
        name: "C-Thread-Pool",
        file: "libthpool.so",
        entries: &["thpool_init"],
        headers: &["thpool.h"],
        makes_only_pools: true,
    },
];

impl Library {
    /// The known library that a file is.
    pub(in super::super) fn of_file(file: &str) -> Option<&'static Self> {
        LIBRARIES.iter().find(|library| file.starts_with(library.file))
    }

    /// An entry to its pool that the executable imports, or names in its data to look it up.
    pub(in super::super) fn entry_in(&self, executable: &Executable) -> Option<String> {
        let imported = |entry: &&str| {
            executable
                .imported
                .iter()
                .find(|name| name.starts_with(entry))
                .map(|name| format!("imports {name}"))
        };
        self.entries.iter().find_map(imported).or_else(|| {
            let said = |entry: &&&str| executable.said.contains(**entry);
            self.entries.iter().find(said).map(|entry| format!("looks up {entry}"))
        })
    }
}

/// The names whose presence in an executable's data tells something.
pub(in super::super) fn words() -> Vec<&'static str> {
    LIBRARIES.iter().flat_map(|library| library.entries).copied().collect()
}

/// Whether a file belongs to what every program has: the C library, the compiler's helpers, the loader.
pub(in super::super) fn is_platform(file: &str) -> bool {
    const STEMS: [&str; 24] = [
        "ld-linux",
        "ld-musl",
        "ld64",
        "ld.so",
        "ld-2",
        "libc",
        "libm",
        "libmvec",
        "libpthread",
        "libdl",
        "librt",
        "libgcc_s",
        "libstdc++",
        "libatomic",
        "libresolv",
        "libutil",
        "libanl",
        "libnsl",
        "libcrypt",
        "libthread_db",
        "libc++",
        "libc++abi",
        "libunwind",
        "libBrokenLocale",
    ];
    // libc.so.6, libc-2.31.so, libc.musl-x86_64.so.1
    let is = |stem: &&str| {
        file.strip_prefix(*stem).is_some_and(|rest| {
            stem.starts_with("ld") || [".so", ".musl", "-2."].iter().any(|start| rest.starts_with(start))
        })
    };
    STEMS.iter().any(is) || file.starts_with("libnss_")
}

/// The interpreter that a file is: what runs in it cannot be seen from outside.
pub(in super::super) fn interpreter(file: &str) -> Option<&'static str> {
    const KNOWN: [&str; 12] = [
        "python", "pypy", "perl", "ruby", "node", "java", "lua", "php", "guile", "dotnet", "beam.smp", "bash",
    ];
    let rest = |name: &&&str| {
        file.strip_prefix(**name).is_some_and(|rest| !rest.contains(|c: char| c.is_alphabetic() || c == '_'))
    };
    KNOWN.iter().find(rest).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_has_the_platforms_libraries() {
        for file in [
            "libc.so.6",
            "libm.so.6",
            "libc-2.31.so",
            "ld-linux-x86-64.so.2",
            "libgcc_s.so.1",
            "libnss_files.so.2",
            "libstdc++.so.6.0.30",
            "ld-musl-x86_64.so.1",
        ] {
            assert!(is_platform(file), "{file}");
        }
        for file in
            ["libcurl.so.4", "libmystuff.so", "libgomp.so.1", "libcares.so.2", "libdlx.so", "libuv.so.1"]
        {
            assert!(!is_platform(file), "{file}");
        }
    }
}
