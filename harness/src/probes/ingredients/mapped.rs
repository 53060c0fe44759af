//! Which files a running process has mapped as code: its libraries, however they came there.

use procfs::process::{MMPermissions, MMapPath, Process};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// A piece of a file that is mapped as code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The file.
    pub file: PathBuf,
    /// Where it lies.
    pub code: Range<u64>,
}

/// The running program's file. `None` when the process is gone.
pub fn executable(pid: i32) -> Option<PathBuf> {
    Process::new(pid).ok()?.exe().ok()
}

/// A path by which the running program's file can be read, even if it has lost its name.
pub fn readable(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/exe"))
}

/// What a process has mapped as code from files other than its program and `besides`, which is ours. Empty when it is gone.
pub fn mapped(pid: i32, besides: &Path) -> Vec<Mapped> {
    let Ok(process) = Process::new(pid) else { return Vec::new() };
    let own = process.exe().ok();
    let maps = process.maps().map(|maps| maps.0).unwrap_or_default();
    maps.into_iter()
        .filter(|map| map.perms.contains(MMPermissions::EXECUTE))
        .filter_map(|map| match map.pathname {
            MMapPath::Path(file) => Some(Mapped { file, code: map.address.0..map.address.1 }),
            _ => None,
        })
        // A temporary folder may be reached through a link, so the names are compared: they are drawn at random.
        .filter(|map| Some(&map.file) != own.as_ref() && map.file.file_name() != besides.file_name())
        .collect()
}

/// The names of a process's threads, as the system shows them: at most fifteen bytes.
pub fn thread_names(pid: i32) -> Vec<String> {
    let tasks = Process::new(pid).and_then(|process| process.tasks());
    let stats = tasks.into_iter().flatten().flatten().filter_map(|task| task.stat().ok());
    stats.map(|stat| stat.comm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_mapped_the_c_library_and_has_names() {
        let pid = std::process::id().cast_signed();
        let files = |besides: &str| -> Vec<PathBuf> {
            mapped(pid, Path::new(besides)).into_iter().map(|map| map.file).collect()
        };
        let library = files("").into_iter().find(|file| file.to_string_lossy().contains("libc.so")).unwrap();
        assert!(!files(&library.display().to_string()).contains(&library));
        assert!(!files("").contains(&executable(pid).unwrap()));
        assert!(!thread_names(pid).is_empty());
    }
}
