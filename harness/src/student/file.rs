//! The file: found from a folder upwards, read with an eye for the line that is wrong, and replaced as a whole.

use super::{FORMAT_VERSION, Lesson, Progress};
use crate::error::HarnessError;
use nix::fcntl::{Flock, FlockArg};
use serde::Deserialize;
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Its name.
pub const FILE: &str = "quest-progress.toml";

/// What stands above it.
const HEAD: &str = "\
# What you have started and passed: `quest start`, `check` and `review` keep it, `quest list` shows it.
# Folders are seen from this one. A folder that you have moved can be corrected here.
";

/// Why there is no progress.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be used as it is; the text names it and the line.
    #[error("{0}")]
    Unusable(String),
    /// It could not be written.
    #[error(transparent)]
    Harness(#[from] HarnessError),
}

/// The progress, and where it is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The folder of the file; absolute.
    pub base: PathBuf,
    /// What is in it.
    pub progress: Progress,
}

/// A folder that a file notes.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The file that notes it.
    pub kept: Kept,
    /// What was started there.
    pub lesson: Lesson,
    /// Where that is; absolute.
    pub folder: PathBuf,
}

impl Kept {
    /// The file in this folder or the nearest one above.
    ///
    /// # Errors
    ///
    /// When the nearest one cannot be used.
    pub fn find(folder: &Path) -> Result<Option<Self>, Error> {
        let Ok(folder) = folder.canonicalize() else { return Ok(None) };
        folder.ancestors().find_map(|base| Self::read(base).transpose()).transpose()
    }

    /// No progress so far, to be kept in this folder.
    ///
    /// # Errors
    ///
    /// When the folder cannot be found.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        let base = folder
            .canonicalize()
            .map_err(|e| HarnessError::system(format!("find the folder {}", folder.display()), e))?;
        Ok(Self { base, progress: Progress::default() })
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.base.join(FILE)
    }

    /// The lesson in whose folder this path lies; an absolute one without links.
    pub fn around(&self, path: &Path) -> Option<(&Lesson, PathBuf)> {
        let lessons = self.progress.lessons.iter().filter_map(|lesson| {
            let folder = self.base.join(&lesson.folder).canonicalize().ok()?;
            // What is handed in says nothing itself; only a file above it does.
            let below = folder != self.base && folder.starts_with(&self.base);
            (below && path.starts_with(&folder)).then_some((lesson, folder))
        });
        // Of several the innermost; of those the newest.
        lessons.max_by_key(|(_, folder)| folder.components().count())
    }

    /// Reads the file again, changes what is in it, and replaces it.
    ///
    /// # Errors
    ///
    /// When it cannot be used any more, or cannot be written. Then it is left as it is.
    pub fn update(&mut self, change: impl FnOnce(&mut Progress)) -> Result<(), Error> {
        // Two commands at a time must not forget what the other one notes. Where the folder cannot be locked, it is rare enough.
        let _lock = File::open(&self.base).ok().map(|folder| Flock::lock(folder, FlockArg::LockExclusive));
        if let Some(now) = Self::read(&self.base)? {
            *self = now;
        }
        change(&mut self.progress);
        self.save().map_err(|e| {
            HarnessError::system(format!("the progress could not be written to {}", self.path().display()), e)
        })?;
        Ok(())
    }

    /// The file in this folder, if there is one.
    fn read(base: &Path) -> Result<Option<Self>, Error> {
        let path = base.join(FILE);
        let unusable = |line: Option<usize>, why: &str| {
            let line = line.map_or_else(String::new, |line| format!(", line {line}"));
            let what = "it is left as it is: correct it, or move it away and start anew";
            Error::Unusable(format!("{}{line}: {}\n{what}", path.display(), why.trim_end()))
        };
        match fs::symlink_metadata(&path) {
            // A program is handed in as a file: there is nothing below it.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
                ) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(unusable(None, &format!("it cannot be read: {e}"))),
            Ok(_) if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) => {
                return Err(unusable(None, "it is no file"));
            }
            Ok(_) => {}
        }
        let text =
            fs::read_to_string(&path).map_err(|e| unusable(None, &format!("it cannot be read: {e}")))?;
        let progress = parse(&text).map_err(|(line, why)| unusable(line, &why))?;
        Ok(Some(Self { base: base.to_owned(), progress }))
    }

    fn save(&self) -> io::Result<()> {
        let text = toml::to_string(&self.progress).map_err(io::Error::other)?;
        let path = self.path();
        // A link stays a link: its target is replaced.
        let path = path.canonicalize().unwrap_or(path);
        let mut draft = tempfile::Builder::new()
            .prefix(".quest-progress-")
            // As for any other new file; the umask takes from it.
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(path.parent().unwrap_or(&self.base))?;
        draft.write_all(format!("{HEAD}{text}").as_bytes())?;
        draft.as_file().sync_all()?;
        draft.persist(&path)?;
        Ok(())
    }
}

/// The lesson in whose folder this path lies, as a file above it has it noted.
///
/// # Errors
///
/// When a file on the way up cannot be used.
pub fn noted(path: &Path) -> Result<Option<Noted>, Error> {
    let Ok(path) = path.canonicalize() else { return Ok(None) };
    for base in path.ancestors().skip(1) {
        let Some(kept) = Kept::read(base)? else { continue };
        if let Some((lesson, folder)) = kept.around(&path) {
            let lesson = lesson.clone();
            return Ok(Some(Noted { kept, lesson, folder }));
        }
    }
    Ok(None)
}

/// What is in a file, or the line and what is wrong with it.
fn parse(text: &str) -> Result<Progress, (Option<usize>, String)> {
    /// Only the version, so that a newer file is not blamed for keys that are not known here.
    #[derive(Deserialize)]
    struct Version {
        format_version: toml::Spanned<i64>,
    }
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let wrong = |e: toml::de::Error| (e.span().map(|span| line(span.start)), e.message().to_owned());
    let version = toml::from_str::<Version>(text).map_err(wrong)?.format_version;
    if *version.get_ref() != FORMAT_VERSION {
        let why = format!(
            "format_version is {}, and this `quest` understands {FORMAT_VERSION}; a newer `quest` may know it",
            version.get_ref()
        );
        return Err((Some(line(version.span().start)), why));
    }
    toml::from_str(text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quests::catalogue;
    use jiff::civil::date;

    const GOOD: &str = "format_version = 1\n\n[[lesson]]\nquest = \"01-task-queue\"\nfolder = \"q\"\nstarted = \"2026-03-01\"\n";

    fn with_file(text: &str) -> tempfile::TempDir {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("q/inner")).unwrap();
        fs::write(base.path().join(FILE), text).unwrap();
        base
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_is_left() {
        let base = with_file(GOOD);
        let mut kept = Kept::find(&base.path().join("q/inner")).unwrap().unwrap();
        kept.update(|progress| progress.pass(&catalogue().unwrap()[0], Path::new("q"), date(2026, 3, 2)))
            .unwrap();
        let again = Kept::find(base.path()).unwrap().unwrap();
        assert_eq!(again.progress, kept.progress);
        let text = fs::read_to_string(base.path().join(FILE)).unwrap();
        for line in ["passed = \"2026-03-02\"", "due = \"2026-03-05\"", "steps = 0"] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.starts_with("# ") && !text.contains("missed"), "{text}");
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_another_command_noted_meanwhile_stays() {
        let base = with_file(GOOD);
        let mut one = Kept::find(base.path()).unwrap().unwrap();
        let mut other = one.clone();
        one.update(|progress| progress.start("02-worker-pool", Path::new("p"), date(2026, 3, 3))).unwrap();
        other.update(|progress| progress.start("03-shutdown", Path::new("s"), date(2026, 3, 3))).unwrap();
        assert_eq!(other.progress.lessons.len(), 3);
    }

    #[test]
    fn a_mistake_is_named_with_file_and_line_and_stays() {
        for (change, to, said) in [
            ("format_version = 1", "format_version = 2\nnew = 1", "line 1: format_version is 2"),
            ("format_version = 1\n", "", "missing field `format_version`"),
            ("started", "begun", "line 6: unknown field `begun`"),
            ("2026-03-01", "2026-02-30", "line 6: "),
            ("\"q\"", "\"q", "line 5: "),
        ] {
            let text = GOOD.replace(change, to);
            let base = with_file(&text);
            let file = base.path().canonicalize().unwrap().join(FILE);
            let error = Kept::find(base.path()).unwrap_err().to_string();
            assert!(error.starts_with(file.to_str().unwrap()) && error.contains(said), "{error}");
            assert!(noted(&base.path().join("q")).is_err());
            assert_eq!(fs::read_to_string(file).unwrap(), text);
        }
        let base = with_file(GOOD);
        fs::remove_file(base.path().join(FILE)).unwrap();
        fs::create_dir(base.path().join(FILE)).unwrap();
        assert!(Kept::find(base.path()).unwrap_err().to_string().contains("it is no file"));
    }

    /// A submission must not choose the quest that it is graded by.
    #[test]
    fn a_folder_is_noted_by_a_file_above_it_and_by_none_inside() {
        let base = with_file(GOOD);
        for inside in ["q", "q/inner"] {
            let noted = noted(&base.path().join(inside)).unwrap().unwrap();
            assert_eq!((noted.lesson.quest.as_str(), noted.folder.ends_with("q")), ("01-task-queue", true));
        }
        assert!(noted(base.path()).unwrap().is_none());
        fs::write(base.path().join("q/server"), "").unwrap();
        assert!(noted(&base.path().join("q/server")).unwrap().is_some());
        assert!(Kept::find(&base.path().join("q/server")).unwrap().is_some());
        fs::rename(base.path().join("q"), base.path().join("moved")).unwrap();
        assert!(noted(&base.path().join("moved")).unwrap().is_none());
        let planted = with_file(&GOOD.replace("\"q\"", "\".\""));
        fs::write(planted.path().join("server"), "").unwrap();
        for path in [planted.path().to_owned(), planted.path().join("server")] {
            assert!(noted(&path).unwrap().is_none());
        }
    }
}
