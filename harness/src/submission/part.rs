//! A submission that is a part of a program: the files that are asked for, and the rest, which is given.

use super::{
    Kind, Submission,
    copy::{copy_file, writing},
    recognise::unreadable,
};
use crate::error::{RunError, SubmissionError};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What is handed in of a program, and the rest of it.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The files that must be handed in.
    pub files: Vec<String>,
    /// Files that may be; if they are not, the given ones are used.
    pub own: Vec<String>,
    /// The rest: names and what is in them. What is handed in is laid over it.
    pub given: Vec<(&'static str, &'static [u8])>,
}

/// Larger than any file that a person writes.
const MOST_BYTES: u64 = 4 << 20;

impl Submission {
    /// As [`Submission::recognise`], for a folder that holds a part of a program.
    ///
    /// # Errors
    ///
    /// When it is no folder, or a file of the part is not in it.
    pub fn recognise_part(path: &Path, parts: Parts) -> Result<Self, SubmissionError> {
        let not = |why: String| SubmissionError::NotASubmission(format!("{} {why}", path.display()));
        let metadata = fs::metadata(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => SubmissionError::NotFound(path.to_owned()),
            _ => unreadable(path)(source),
        })?;
        let asked = parts.files.join(" and ");
        if !metadata.is_dir() {
            return Err(not(format!("is no folder; this quest asks for a folder with {asked}")));
        }
        if let Some(missing) = parts.files.iter().find(|file| !path.join(file).is_file()) {
            return Err(not(format!("has no {missing}; this quest asks for a folder with {asked}")));
        }
        let script = parts.files.iter().any(|file| file.ends_with(".sh"));
        let kind = if script { Kind::Script } else { Kind::CSources };
        let absolute = path.canonicalize().map_err(unreadable(path))?;
        Ok(Self { given: path.to_owned(), path: absolute, kind, parts: Some(parts) })
    }
}

impl Parts {
    /// Puts the program together in the folder `to`, which is not there yet.
    pub(super) fn put_together(&self, from: &Path, to: &Path) -> Result<(), RunError> {
        fs::create_dir_all(to).map_err(writing)?;
        for (name, bytes) in &self.given {
            fs::write(to.join(name), bytes).map_err(writing)?;
        }
        for name in self.files.iter().chain(&self.own) {
            let Some(source) = inside(from, name)? else { continue };
            let target = to.join(name);
            if target.exists() {
                fs::remove_file(&target).map_err(writing)?;
            }
            copy_file(&source, &target, RUN)?;
        }
        Ok(())
    }
}

/// A script is started whether or not its run bit survived the way here.
const RUN: u32 = 0o755;

/// A file that was handed in; `None` if it was not. A link must not lead out of the folder: what lies elsewhere was not handed in.
fn inside(folder: &Path, name: &str) -> Result<Option<PathBuf>, RunError> {
    let path = folder.join(name);
    let Ok(real) = path.canonicalize() else { return Ok(None) };
    let not = |why: &str| SubmissionError::NotASubmission(format!("{} {why}", path.display()));
    if !real.starts_with(folder) {
        return Err(not("is a link that leads out of the folder; put the file itself there").into());
    }
    let metadata = fs::metadata(&real).map_err(unreadable(&path))?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return Err(not("is no file that a person has written").into());
    }
    Ok(Some(real))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::symlink, process::Command};

    const MAIN: &[u8] = b"int answer(void);\nint main(void) { return answer(); }\n";

    fn parts() -> Parts {
        Parts {
            files: vec!["a.c".into()],
            own: vec!["b.c".into()],
            given: vec![("main.c", MAIN), ("b.c", b"int b;\n")],
        }
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn said(folder: &Path) -> String {
        match Submission::recognise_part(folder, parts()) {
            Ok(submission) => submission.build().map(|_| ()).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// What is not asked for does not get in: neither a `main` of the student's own nor another version of what is given.
    #[test]
    fn the_files_that_are_asked_for_are_built_with_the_rest() {
        let mine = [
            ("a.c", "extern int b;\nint answer(void) { return b; }\n"),
            ("main.c", "wrong"),
            ("b.c", "int b = 9;\n"),
        ];
        for (files, status) in [(&mine[..2], 0), (&mine[..], 9)] {
            let folder = folder(files);
            let program = Submission::recognise_part(folder.path(), parts()).unwrap().build().unwrap();
            assert_eq!(Command::new(program.executable()).status().unwrap().code(), Some(status));
            assert_eq!(program.exact_build().unwrap().complaints(), None);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(
            said(folder(&[("b.c", "")]).path()).contains("has no a.c; this quest asks for a folder with a.c")
        );
        assert!(said(folder(&[("a.c", "")]).path().join("a.c").as_path()).contains("is no folder"));
        assert!(matches!(
            Submission::recognise_part(Path::new("/no/such"), parts()),
            Err(SubmissionError::NotFound(_))
        ));
        let elsewhere = folder(&[]);
        symlink("/etc/hostname", elsewhere.path().join("a.c")).unwrap();
        assert!(said(elsewhere.path()).contains("leads out of the folder"));
    }

    #[test]
    fn a_script_is_taken_as_it_is() {
        let folder = folder(&[("test_harness.sh", "#!/bin/sh\nexit 3\n")]);
        let parts = Parts { files: vec!["test_harness.sh".into()], ..Parts::default() };
        let program = Submission::recognise_part(folder.path(), parts).unwrap().build().unwrap();
        assert_eq!(
            (program.kind(), Command::new(program.executable()).status().unwrap().code()),
            (Kind::Script, Some(3))
        );
        assert_eq!(fs::read(folder.path().join("test_harness.sh")).unwrap().len(), 17);
    }
}
