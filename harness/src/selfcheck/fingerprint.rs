//! What a row depends on: if none of it has changed, a program need not be graded again.

use crate::{
    error::HarnessError,
    quests::corpus::{Entry, Kind},
};
use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

/// Everything that a verdict depends on beside the program: the executable of the harness, and the seed.
pub(super) fn of_harness(executable: &Path, seed: u64) -> Result<String, HarnessError> {
    let mut hasher = DefaultHasher::new();
    read(executable)?.hash(&mut hasher);
    seed.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The same with the files of a program. `None` for one that is built from more than its folder.
pub(super) fn of_entry(harness: &str, entry: &Entry) -> Result<Option<String>, HarnessError> {
    if entry.kind == Kind::Server {
        return Ok(None);
    }
    let mut hasher = DefaultHasher::new();
    harness.hash(&mut hasher);
    for folder in entry.base.iter().chain([&entry.path]) {
        hash_folder(folder, &mut hasher)?;
    }
    Ok(Some(format!("{:016x}", hasher.finish())))
}

fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) -> Result<(), HarnessError> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| reading(folder, e))? {
        files.push(entry.map_err(|e| reading(folder, e))?.path());
    }
    files.sort();
    for file in files {
        file.file_name().hash(hasher);
        if file.is_dir() {
            hash_folder(&file, hasher)?;
        } else {
            read(&file)?.hash(hasher);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, HarnessError> {
    fs::read(file).map_err(|e| reading(file, e))
}

fn reading(path: &Path, error: std::io::Error) -> HarnessError {
    HarnessError::system(format!("read {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_with_every_file_and_with_the_harness() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let mut entry = Entry::server(folder.path());
        assert_eq!(of_entry("h", &entry).unwrap(), None);
        entry.kind = Kind::Solution;
        let mark = |harness: &str| of_entry(harness, &entry).unwrap().unwrap();
        file("a", "1");
        let first = mark("h");
        assert_eq!(first, mark("h"));
        assert_ne!(first, mark("i"));
        file("a", "2");
        assert_ne!(first, mark("h"));
        file("a", "1");
        assert_eq!(first, mark("h"));
        file("b", "");
        assert_ne!(first, mark("h"));
        let own = Path::new("/proc/self/exe");
        assert_ne!(of_harness(own, 1).unwrap(), of_harness(own, 2).unwrap());
    }
}
