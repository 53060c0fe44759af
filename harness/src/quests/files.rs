//! The files of the quests that are part of the binary, so that `quest` works from any directory: of each quest its `quest.toml`,
//! starter and solution, and what the parts that students write are built with.

use crate::error::HarnessError;
use std::{fs, path::Path};

/// Each file under its path below `quests/`, in the order of the paths within a folder.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/quests.rs"));

/// Every quest, in the order of the folders: the folder's name and its `quest.toml`.
pub(super) fn quests() -> impl Iterator<Item = (&'static str, &'static str)> {
    let manifest = |path: &'static str| path.strip_suffix("/quest.toml");
    FILES.iter().filter_map(move |(path, bytes)| {
        Some((manifest(path)?, str::from_utf8(bytes).unwrap_or("is not UTF-8")))
    })
}

/// The files of a folder, such as `02-worker-pool/starter`: their names and what is in them. None if there is no such folder.
pub fn of(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().filter_map(move |(path, bytes)| {
        let name = path.strip_prefix(folder)?.strip_prefix('/')?;
        (!name.contains('/')).then_some((name, *bytes))
    })
}

/// Writes the files of a folder into `to`, which is there, over what has the same name.
///
/// # Errors
///
/// When a file cannot be written.
pub fn lay_out(folder: &str, to: &Path) -> Result<(), HarnessError> {
    for (name, bytes) in of(folder) {
        let file = to.join(name);
        fs::write(&file, bytes).map_err(|e| HarnessError::system(format!("write {}", file.display()), e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_folder_are_those_in_it_and_not_below() {
        let names: Vec<&str> = of("07-pool-server/solution").map(|(name, _)| name).collect();
        assert!(names.contains(&"task_queue.c") && names.is_sorted(), "{names:?}");
        assert!(of("07-pool-server").all(|(name, _)| name == "quest.toml"));
        assert_eq!(of("07-pool-serve").count() + of("07-pool-server/broken").count(), 0);
        let folder = tempfile::tempdir().unwrap();
        lay_out("07-pool-server/solution", folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), names.len());
    }
}
