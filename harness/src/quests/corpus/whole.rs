//! A program of the corpus as a whole: its base with the files that differ laid over it.

use super::{manifest, reading, usual};
use crate::error::HarnessError;
use std::{ffi::OsStr, fs, path::Path};
use tempfile::TempDir;

/// A program that was put together from its base and the files that differ. Dropped, it is removed.
#[derive(Debug)]
pub struct Whole(TempDir);

impl Whole {
    /// The folder that holds all of it.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The whole of a program of which this folder holds only what differs from its base; `None` for any other path.
///
/// It is one only where it lies in the folder `broken`, `noted` or `variants` of a quest: what is handed in elsewhere is taken
/// as it is, whatever files are in it.
///
/// # Errors
///
/// When its manifest is not as it must be, or a file cannot be copied.
pub fn whole(path: &Path) -> Result<Option<Whole>, HarnessError> {
    let Ok(path) = path.canonicalize() else { return Ok(None) };
    let subfolder = path.parent().filter(|parent| {
        ["broken", "noted", "variants"].map(OsStr::new).contains(&parent.file_name().unwrap_or_default())
    });
    let quest = subfolder.and_then(Path::parent).filter(|quest| quest.join("quest.toml").is_file());
    let (Some(quest), true) = (quest, path.join("quest.toml").is_file()) else { return Ok(None) };
    let base = match manifest::<toml::Table>(&path)?.1 {
        Some(base) => base,
        // A right program that looks wrong is whole unless it says what it stands on.
        None if path.parent().is_some_and(|parent| parent.ends_with("variants")) => return Ok(None),
        None => usual(),
    };
    let whole = tempfile::Builder::new()
        .prefix("quest-whole-")
        .tempdir()
        .map_err(|e| HarnessError::system("make a folder for a program of the corpus", e))?;
    lay_over(&quest.join(base), whole.path())?;
    lay_over(&path, whole.path())?;
    Ok(Some(Whole(whole)))
}

fn lay_over(folder: &Path, whole: &Path) -> Result<(), HarnessError> {
    for file in fs::read_dir(folder).map_err(reading(folder))? {
        let file = file.map_err(reading(folder))?.path();
        let copy = whole.join(file.file_name().unwrap_or_default());
        if file.is_dir() {
            fs::create_dir_all(&copy).map_err(reading(&copy))?;
            lay_over(&file, &copy)?;
        } else if !file.ends_with("quest.toml") {
            fs::copy(&file, &copy).map_err(reading(&file))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{GOOD, with_broken},
        *,
    };

    #[test]
    fn a_program_is_put_together_from_its_base_and_what_differs() {
        let folder = with_broken(GOOD);
        let whole = whole(&folder.path().join("broken/x")).unwrap().unwrap();
        let mut files = names_of_files(whole.path());
        files.sort();
        assert_eq!(files, ["a.c", "b.c"]);
        assert_eq!(fs::read_to_string(whole.path().join("b.c")).unwrap(), "wrong b");
        let path = whole.path().to_owned();
        drop(whole);
        assert!(!path.exists());
    }

    /// A submission may hold any file: a base that it names is not copied from anywhere.
    #[test]
    fn only_programs_of_a_quest_are_put_together() {
        let folder = with_broken(&format!("{GOOD}base = '/etc'\n"));
        assert!(whole(&folder.path().join("broken/x")).is_err());
        fs::rename(folder.path().join("broken"), folder.path().join("handed-in")).unwrap();
        assert!(whole(&folder.path().join("handed-in/x")).unwrap().is_none());
        assert!(whole(&folder.path().join("solution")).unwrap().is_none());
        assert!(whole(Path::new("/no/such")).unwrap().is_none());
    }

    fn names_of_files(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}
