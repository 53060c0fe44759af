//! Where a report goes: the standard output, or a file that is either complete or not there.

use super::{ExitCode, Stop, palette_for};
use crate::report::escape;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Where a report goes.
pub(super) enum Output {
    /// The standard output; `open` until its reader goes away.
    Stdout { open: bool },
    /// A file beside the one that was named; it takes its place when the report is complete.
    Beside { draft: NamedTempFile, path: PathBuf },
    /// Something that cannot be replaced: a device or a pipe.
    Direct { file: File, path: PathBuf },
}

impl Output {
    /// Opens the file now, so that a path that cannot be written is known before anything is checked.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Stop> {
        let Some(path) = path else { return Ok(Self::Stdout { open: true }) };
        let failed = |e| cannot_write(path, &e);
        // A link stays a link: its target is replaced.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
            return Ok(Self::Direct { file, path });
        }
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let draft = tempfile::Builder::new()
            .prefix(".quest-report-")
            // As for any other new file; the umask takes from it.
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(failed)?;
        Ok(Self::Beside { draft, path })
    }

    /// Writes a part of the report.
    pub(super) fn write(&mut self, text: &[u8]) -> Result<(), Stop> {
        match self {
            Self::Stdout { open: false } => Ok(()),
            Self::Stdout { open } => {
                let mut stdout = io::stdout().lock();
                match stdout.write_all(text).and_then(|()| stdout.flush()) {
                    // Whoever reads has enough (`quest check | head -1`); the verdicts and the exit code are still due.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => *open = false,
                    Err(error) => return Err(cannot_write(Path::new("the standard output"), &error)),
                    Ok(()) => {}
                }
                Ok(())
            }
            Self::Beside { draft, path } => draft.write_all(text).map_err(|e| cannot_write(path, &e)),
            Self::Direct { file, path } => file.write_all(text).map_err(|e| cannot_write(path, &e)),
        }
    }

    /// The report is complete.
    pub(super) fn finish(self) -> Result<(), Stop> {
        match self {
            Self::Stdout { .. } | Self::Direct { .. } => Ok(()),
            Self::Beside { draft, path } => {
                draft.as_file().sync_all().map_err(|e| cannot_write(&path, &e))?;
                draft.persist(&path).map_err(|e| cannot_write(&path, &e.error))?;
                Ok(())
            }
        }
    }
}

/// Tells that something was written, and where.
pub(super) fn wrote(what: &str) {
    let verb = palette_for(&io::stderr()).verb;
    anstream::eprintln!("{verb}{:>12}{verb:#} {}", "Wrote", escape(what));
}

/// Prints what a command answers with.
pub(super) fn print(text: &str) -> Result<(), Stop> {
    Output::Stdout { open: true }.write(text.as_bytes())
}

fn cannot_write(path: &Path, error: &io::Error) -> Stop {
    let message = format!("the report could not be written to {}: {error}", path.display());
    Stop { code: ExitCode::OwnFault, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_when_the_report_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        fs::write(&path, "old").unwrap();
        let mut output = Output::open(Some(&path)).unwrap();
        output.write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        output.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        drop(Output::open(Some(&path)).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let mut output = Output::open(Some(Path::new("/dev/full"))).unwrap();
        let stop = output.write(b"x").unwrap_err();
        assert_eq!(stop.code, ExitCode::OwnFault);
        assert!(stop.message.contains("/dev/full: No space left"), "{}", stop.message);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut output = Output::open(Some(&link)).unwrap();
        output.write(b"new").unwrap();
        output.finish().unwrap();
        assert!(link.is_symlink() && fs::read_to_string(&file).unwrap() == "new");
    }
}
