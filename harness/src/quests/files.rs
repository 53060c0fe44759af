//! The files of the quests that are part of the binary, so that `quest` works from any directory: of each quest its `quest.toml`,
//! starter and solution, and what the parts that students write are built with.

use crate::{error::HarnessError, requirements::Source};
use std::{collections::BTreeMap, fs, path::Path};

/// Each file under its path below `quests/`, in the order of the paths within a folder.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/quests.rs"));

/// Every quest, in the order of the folders: the folder's name and its `quest.toml`.
pub(super) fn quests() -> impl Iterator<Item = (&'static str, &'static str)> {
    let manifest =
        |path: &'static str| path.strip_suffix("/quest.toml").filter(|folder| !folder.contains('/'));
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

/// The sources of a program of a corpus: what is in its folder, laid over its base if it has one.
pub(super) fn source(folder: &str) -> Source {
    let manifest =
        of(folder).find(|(name, _)| *name == "quest.toml").and_then(|(_, text)| str::from_utf8(text).ok());
    let manifest: toml::Table = manifest.and_then(|text| text.parse().ok()).unwrap_or_default();
    let said = |key: &str| manifest.get(key).and_then(toml::Value::as_str);
    let quest = folder.split('/').next().unwrap_or_default();
    let base = said("base").or_else(|| folder.contains("/broken/").then_some("solution"));
    let base = base.map(|base| format!("{quest}/{base}"));
    let mut files: BTreeMap<String, &'static [u8]> = BTreeMap::new();
    for folder in base.as_deref().into_iter().chain([folder]) {
        files.extend(
            of(folder).filter(|(name, _)| *name != "quest.toml").map(|(name, text)| (name.to_owned(), text)),
        );
    }
    Source {
        name: folder.rsplit('/').next().unwrap_or(folder).to_owned(),
        why: said("why").unwrap_or_default().to_owned(),
        files: files.into_iter().collect(),
    }
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
