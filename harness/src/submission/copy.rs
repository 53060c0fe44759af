//! The private copy in which a submission is built, so that the folder that was handed in is never written to.
//!
//! Copied are folders, regular files and links that stay inside the folder. Left out are links that lead out of it, devices,
//! sockets and pipes, `.git`, Cargo's `target` and what a compiler leaves behind.

use super::recognise::{names, unreadable};
use crate::{
    error::{HarnessError, RunError, SubmissionError},
    interrupt,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// More than this is not a submission but a mistake (a home folder, say).
pub(super) struct Limits {
    /// Files and folders.
    pub(super) entries: usize,
    /// Bytes.
    pub(super) bytes: u64,
}

impl Limits {
    /// A Cargo package with all its dependencies in `vendor/` still fits.
    pub(super) const SUBMISSION: Self = Self { entries: 20_000, bytes: 256 << 20 };
}

/// Copies what is in the folder `from` (an absolute path without links) into the folder `to`. Answers with the links that
/// were left out because they lead out of `from`.
pub(super) fn copy_tree(from: &Path, to: &Path, limits: &Limits) -> Result<Vec<PathBuf>, RunError> {
    let (mut entries, mut bytes) = (0, 0);
    let mut left_out = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(to.join(&folder)).map_err(writing)?;
        for name in names(&from.join(&folder))? {
            if interrupt::requested() {
                return Err(RunError::Interrupted);
            }
            let inner = folder.join(name);
            let (source, target) = (from.join(&inner), to.join(&inner));
            let metadata = fs::symlink_metadata(&source).map_err(unreadable(&source))?;
            entries += 1;
            if metadata.is_dir() {
                if !is_product_folder(&source) {
                    folders.push(inner);
                }
            } else if metadata.is_symlink() {
                match source.canonicalize().ok().and_then(|p| Some(p.strip_prefix(from).ok()?.to_owned())) {
                    Some(inside) => symlink(to.join(inside), &target).map_err(writing)?,
                    None => left_out.push(inner),
                }
            } else if metadata.is_file() && !is_product(&source) {
                bytes += metadata.len();
                check(entries, bytes, from, limits)?;
                copy_file(&source, &target, metadata.permissions().mode())?;
            }
            check(entries, bytes, from, limits)?;
        }
    }
    Ok(left_out)
}

pub(super) fn copy_file(source: &Path, target: &Path, mode: u32) -> Result<(), RunError> {
    let mut read = File::open(source).map_err(unreadable(source))?;
    let mut write = File::create_new(target).map_err(writing)?;
    io::copy(&mut read, &mut write).map_err(writing)?;
    // A script that the build calls needs its run bit; everything must be ours to read, write and remove.
    write.set_permissions(fs::Permissions::from_mode(mode & 0o777 | 0o600)).map_err(writing)?;
    Ok(())
}

fn check(entries: usize, bytes: u64, from: &Path, limits: &Limits) -> Result<(), SubmissionError> {
    if entries <= limits.entries && bytes <= limits.bytes {
        return Ok(());
    }
    Err(SubmissionError::NotASubmission(format!(
        "{} is too large for a submission: more than {} files or {} MiB. Name the folder that holds only the sources",
        from.display(),
        limits.entries,
        limits.bytes >> 20
    )))
}

fn is_product_folder(path: &Path) -> bool {
    let target = path.ends_with("target")
        && (path.join("CACHEDIR.TAG").exists() || path.with_file_name("Cargo.toml").exists());
    target || path.ends_with(".git")
}

fn is_product(path: &Path) -> bool {
    path.extension().is_some_and(|end| ["o", "d", "gch"].iter().any(|product| end == *product))
}

pub(super) fn writing(source: io::Error) -> HarnessError {
    HarnessError::system("copying the submission into a private folder", source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(
        files: &[&str],
        limits: &Limits,
    ) -> (tempfile::TempDir, Result<Vec<PathBuf>, RunError>, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().canonicalize().unwrap().join("from");
        for file in files {
            let path = from.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, file).unwrap();
        }
        symlink("/etc/passwd", from.join("out")).unwrap();
        symlink("a.c", from.join("in")).unwrap();
        symlink(from.join("sub"), from.join("folder")).unwrap();
        symlink(".", from.join("circle")).unwrap();
        nix::unistd::mkfifo(&from.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let to = from.with_file_name("to");
        let result = copy_tree(&from, &to, limits);
        (folder, result, to)
    }

    #[test]
    fn sources_are_copied_and_products_are_not() {
        let files = ["a.c", "a.o", ".git/HEAD", "Cargo.toml", "target/x", "sub/target/b.c", "sub/b.h"];
        let (_folder, result, to) = copied(&files, &Limits::SUBMISSION);
        assert_eq!(result.unwrap(), [PathBuf::from("out")]);
        for there in ["a.c", "Cargo.toml", "sub/b.h", "sub/target/b.c"] {
            assert_eq!(fs::read_to_string(to.join(there)).unwrap(), there);
        }
        for gone in ["a.o", ".git", "target", "out", "pipe"] {
            assert!(!to.join(gone).exists(), "{gone}");
        }
    }

    #[test]
    fn a_link_inside_leads_into_the_copy() {
        let (_folder, result, to) = copied(&["a.c", "sub/b.h"], &Limits::SUBMISSION);
        result.unwrap();
        assert_eq!(to.join("in").canonicalize().unwrap(), to.join("a.c"));
        assert_eq!(to.join("folder").canonicalize().unwrap(), to.join("sub"));
        assert_eq!(to.join("circle").canonicalize().unwrap(), to);
    }

    #[test]
    fn too_many_files_or_bytes_are_refused() {
        for limits in [Limits { entries: 3, bytes: 1000 }, Limits { entries: 1000, bytes: 5 }] {
            let (_folder, result, _) = copied(&["a.c", "b.c", "c.c", "d.c"], &limits);
            assert!(result.unwrap_err().to_string().contains("too large"));
        }
    }
}
