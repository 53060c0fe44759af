//! Which kind of submission is this path? And if it is none: what is there, and what to do about it.

use super::{Kind, elf};
use crate::error::SubmissionError;
use nix::unistd::{AccessFlags, access};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Folders are only looked into for a hint as long as there are no more entries than this.
const LOOK_AT_MOST: usize = 500;

/// What a path is.
pub(super) fn kind_of(path: &Path) -> Result<Kind, SubmissionError> {
    if path.as_os_str().is_empty() {
        return Err(SubmissionError::NotASubmission(
            "the path is empty: name a folder or an executable".into(),
        ));
    }
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing(path),
        _ => unreadable(path)(source),
    })?;
    if metadata.is_dir() {
        return folder(path);
    }
    if !metadata.is_file() {
        return Err(not(path, "is neither a folder nor a file"));
    }
    executable(path).map(|()| Kind::Executable)
}

/// The names in a folder, sorted.
pub(super) fn names(path: &Path) -> Result<Vec<PathBuf>, SubmissionError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable(path))? {
        names.push(PathBuf::from(entry.map_err(unreadable(path))?.file_name()));
    }
    names.sort();
    Ok(names)
}

/// The names that the shell's `*.c` stands for.
pub(super) fn c_sources(path: &Path) -> Result<Vec<PathBuf>, SubmissionError> {
    let mut names = names(path)?;
    names.retain(|name| is_c(name) && !path.join(name).is_dir());
    Ok(names)
}

fn folder(path: &Path) -> Result<Kind, SubmissionError> {
    let all = names(path)?;
    let sources = c_sources(path)?;
    let cargo = path.join("Cargo.toml").is_file();
    match (sources.as_slice(), cargo) {
        ([], false) if all.is_empty() => Err(not(
            path,
            "is an empty folder. Hand in a folder of C sources, a Cargo package or an executable",
        )),
        ([], false) => Err(not(path, &nothing_here(path, &all))),
        ([], true) => Ok(Kind::Cargo),
        (_, false) => Ok(Kind::CSources),
        (sources, true) => Err(not(
            path,
            &format!(
                "could be two submissions: a Cargo package (Cargo.toml) and C sources ({}).\n\
                 Keep one of them at its top level: move the other into a folder of its own and name the one to check",
                list(sources)
            ),
        )),
    }
}

/// Says what a folder without a submission holds instead, and where a submission may be.
fn nothing_here(path: &Path, all: &[PathBuf]) -> String {
    let mut text = format!("holds no C sources (*.c) and no Cargo.toml, only: {}.\n", list(all));
    let folders: Vec<&PathBuf> =
        all.iter().take(LOOK_AT_MOST).filter(|name| looks_like_a_submission(&path.join(name))).collect();
    let program = all.iter().take(LOOK_AT_MOST).find(|name| {
        let file = path.join(name);
        file.is_file() && executable(&file).is_ok()
    });
    let cpp = all.iter().any(|name| {
        name.extension().is_some_and(|end| ["cpp", "cc", "cxx", "C"].iter().any(|known| end == *known))
    });
    text += &match (folders.as_slice(), program) {
        ([one], _) => {
            format!("Its folder {0} looks like a submission: name {0} instead", path.join(one).display())
        }
        ([_, _, ..], _) => {
            let names: Vec<PathBuf> = folders.into_iter().cloned().collect();
            format!("Several of its folders look like submissions ({}): name one of them", list(&names))
        }
        ([], Some(program)) => format!("To check the program in it, name {}", path.join(program).display()),
        ([], None) if cpp => "C++ is not built here: build it yourself and name the executable".into(),
        ([], None) => "Hand in a folder of C sources, a Cargo package or an executable".into(),
    };
    text
}

fn looks_like_a_submission(path: &Path) -> bool {
    path.is_dir()
        && (path.join("Cargo.toml").is_file() || c_sources(path).is_ok_and(|sources| !sources.is_empty()))
}

fn executable(path: &Path) -> Result<(), SubmissionError> {
    if is_c(Path::new(path.file_name().unwrap_or_default())) {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return Err(not(
            path,
            &format!("is one C source file; name its folder instead: {}", folder.display()),
        ));
    }
    if path.file_name().is_some_and(|name| name == "Cargo.toml") {
        return Err(not(path, "is a Cargo manifest; name its folder instead"));
    }
    let mut head = Vec::new();
    let file = File::open(path).map_err(unreadable(path))?;
    file.take(elf::HEADER as u64).read_to_end(&mut head).map_err(unreadable(path))?;
    elf::runnable(&head).map_err(|why| not(path, &why))?;
    access(path, AccessFlags::X_OK).map_err(|_| {
        not(path, &format!("has no run bit; if it is the program to check: chmod +x {}", path.display()))
    })
}

/// Is this a name that `*.c` stands for? Hidden files (an editor's lock, say) and those of folders below are not.
pub(super) fn is_c(name: &Path) -> bool {
    name.components().count() == 1
        && name.extension().is_some_and(|end| end == "c")
        && !name.as_os_str().as_encoded_bytes().starts_with(b".")
}

/// At most six names, and how many more there are.
fn list(names: &[PathBuf]) -> String {
    const SHOWN: usize = 6;
    let mut text = names.iter().take(SHOWN).map(|n| n.display().to_string()).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

fn missing(path: &Path) -> SubmissionError {
    match fs::read_link(path) {
        Ok(target) => not(path, &format!("is a link to {}, which does not exist", target.display())),
        Err(_) => SubmissionError::NotFound(path.to_owned()),
    }
}

fn not(path: &Path, why: &str) -> SubmissionError {
    SubmissionError::NotASubmission(format!("{} {why}", path.display()))
}

/// For `map_err`: this path could not be read.
pub(super) fn unreadable(path: &Path) -> impl Fn(io::Error) -> SubmissionError {
    let path = path.to_owned();
    move |source| SubmissionError::Unreadable { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        folder
    }

    fn said(path: &Path) -> String {
        kind_of(path).unwrap_err().to_string()
    }

    #[test]
    fn the_three_kinds_are_told_apart() {
        assert_eq!(kind_of(folder_with(&["a.c", "a.h", "README.md"]).path()).unwrap(), Kind::CSources);
        assert_eq!(kind_of(folder_with(&["Cargo.toml", "src/main.rs"]).path()).unwrap(), Kind::Cargo);
        assert_eq!(kind_of(Path::new("/proc/self/exe")).unwrap(), Kind::Executable);
    }

    #[test]
    fn a_missing_path_is_not_found() {
        assert!(matches!(kind_of(Path::new("/no/such/path")), Err(SubmissionError::NotFound(_))));
        assert!(matches!(kind_of(Path::new("/etc/passwd/x")), Err(SubmissionError::NotFound(_))));
        assert!(said(Path::new("")).contains("the path is empty"));
    }

    #[test]
    fn links_that_lead_nowhere_are_named() {
        let folder = folder_with(&[]);
        let (dangling, looping) = (folder.path().join("dangling"), folder.path().join("loop"));
        symlink("gone", &dangling).unwrap();
        symlink("loop", &looping).unwrap();
        assert!(said(&dangling).contains("is a link to gone, which does not exist"));
        assert!(matches!(kind_of(&looping), Err(SubmissionError::Unreadable { .. })));
    }

    #[test]
    fn an_empty_folder_and_two_candidates_are_refused() {
        assert!(said(folder_with(&[]).path()).contains("is an empty folder"));
        let both = said(folder_with(&["Cargo.toml", "b.c", "a.c"]).path());
        assert!(both.contains("a Cargo package (Cargo.toml) and C sources (a.c, b.c)"), "{both}");
    }

    #[test]
    fn a_folder_without_sources_says_what_is_there_and_where_they_may_be() {
        let folder = folder_with(&["README.md", "src/server.c", "notes/a.txt"]);
        let text = said(folder.path());
        assert!(text.contains("only: README.md, notes, src"), "{text}");
        assert!(text.contains(&format!("name {} instead", folder.path().join("src").display())), "{text}");
        assert!(said(folder_with(&["a/x.c", "b/x.c"]).path()).contains("(a, b): name one of them"));
        assert!(said(folder_with(&["main.cpp"]).path()).contains("C++ is not built here"));
        assert!(said(folder_with(&[".hidden.c"]).path()).contains("only: .hidden.c"));
    }

    #[test]
    fn files_that_cannot_be_started_say_why() {
        let folder = folder_with(&["a.c", "notes.txt", "Cargo.toml"]);
        assert!(said(&folder.path().join("a.c")).contains("is one C source file"));
        assert!(said(&folder.path().join("notes.txt")).contains("is not a program"));
        assert!(said(&folder.path().join("Cargo.toml")).contains("is a Cargo manifest"));
        let script = folder.path().join("run.sh");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(said(&script).contains("has no run bit"));
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(kind_of(&script).unwrap(), Kind::Executable);
        assert!(said(Path::new("/dev/null")).contains("neither a folder nor a file"));
    }
}
