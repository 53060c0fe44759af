//! Builds a submission in its private copy, with the exact command of the contract, and brings the compiler's words home.

mod c;
mod room;

use super::{
    Kind, Parts, Program, Submission,
    command::{Ended, run},
    copy::{Limits, copy_tree},
};
use crate::error::{HarnessError, RunError, SubmissionError};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const CARGO_ARGUMENTS: [&str; 4] = ["build", "--release", "--bin", "pool_server"];
const CARGO_DEADLINE: Duration = Duration::from_secs(600);
/// What is shown of a compiler's output; the first errors are the ones to mend first.
const SHOWN_LINES: usize = 60;

/// Variables that belong to whoever started the harness and would change the build: a `cargo` or `make` above it.
const FOREIGN: [&str; 11] = [
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "DEPENDENCIES_OUTPUT",
    "MAKEFLAGS",
    "MFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "SUNPRO_DEPENDENCIES",
];

pub(super) fn build(submission: &Submission) -> Result<Program, RunError> {
    if submission.kind == Kind::Executable {
        let executable = submission.path.clone();
        return Ok(Program {
            executable,
            kind: submission.kind,
            source_folder: None,
            exact: None,
            _build: None,
        });
    }
    let private = tempfile::Builder::new()
        .prefix("quest-build-")
        .tempdir()
        .map_err(|e| HarnessError::system("making a private folder for the build", e))?;
    let root =
        private.path().canonicalize().map_err(|e| HarnessError::system("finding the private folder", e))?;
    // A compiler that is killed leaves its temporary files behind; here they go with everything else.
    let temporary = root.join("tmp");
    fs::create_dir(&temporary).map_err(|e| HarnessError::system("making a folder for temporary files", e))?;
    let source = root.join("source");
    let left_out = match &submission.parts {
        Some(parts) => parts.put_together(&submission.path, &source).map(|()| Vec::new())?,
        None => copy_tree(&submission.path, &source, &Limits::SUBMISSION)?,
    };
    let job = Job { submission, source, temporary, left_out };
    let (executable, exact) = match (submission.kind, &submission.parts) {
        (Kind::CSources, _) => {
            job.gcc(&root.join("includes")).map(|(program, exact)| (program, Some(exact)))?
        }
        (Kind::Script, Some(Parts { files, .. })) => (job.source.join(&files[0]), None),
        _ => (job.cargo(&root.join("target"))?, None),
    };
    let source_folder = Some(job.source);
    Ok(Program { executable, kind: submission.kind, source_folder, exact, _build: Some(private) })
}

struct Job<'a> {
    submission: &'a Submission,
    /// The private copy.
    source: PathBuf,
    /// Where the compiler may put what it needs for a moment.
    temporary: PathBuf,
    /// Links that were not copied, because they lead out of the folder.
    left_out: Vec<PathBuf>,
}

/// How a compiler failed, and what it said.
struct Failed {
    /// `failed (exit 1)`, say.
    how: String,
    /// Everything that was kept of its output, as it came.
    output: String,
    /// Its time was up.
    late: bool,
}

impl Job<'_> {
    fn cargo(&self, target: &Path) -> Result<PathBuf, RunError> {
        let mut command = Command::new("cargo");
        command.args(CARGO_ARGUMENTS).arg("--quiet");
        command.env("CARGO_TARGET_DIR", target).env("CARGO_TERM_COLOR", "never");
        let said = format!("cargo {}", CARGO_ARGUMENTS.join(" "));
        let missing = "cargo is missing, and a Cargo package is built with it. Get it from https://rustup.rs";
        if let Err(failed) = self.attempt(command, CARGO_DEADLINE, missing)? {
            return Err(self.does_not_build(&said, &failed).into());
        }
        let executable = target.join("release/pool_server");
        if executable.is_file() {
            return Ok(executable);
        }
        let summary = format!("{said} succeeded in {}, but left no release/pool_server", self.given());
        let output = "Does its .cargo/config.toml set another build target?".into();
        Err(SubmissionError::Build { summary, output }.into())
    }

    /// Runs a compiler in the private copy. Where it fails for want of room, that is nobody's fault but the machine's.
    fn attempt(
        &self,
        mut command: Command,
        deadline: Duration,
        missing: &str,
    ) -> Result<Result<(), Failed>, RunError> {
        command.current_dir(&self.source).env("LC_ALL", "C").env("TMPDIR", &self.temporary);
        let own: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        for name in FOREIGN.iter().filter(|name| !own.iter().any(|own| own == *name)) {
            command.env_remove(name);
        }
        let (ended, output) = run(command, deadline).map_err(|error| match error {
            RunError::Harness(HarnessError::System { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                HarnessError::Broken(missing.into()).into()
            }
            other => other,
        })?;
        let late = matches!(ended, Ended::TimeUp);
        let how = match ended {
            Ended::Exit(status) if status.success() => return Ok(Ok(())),
            Ended::Exit(status) => match status.code() {
                Some(code) => format!("failed (exit {code})"),
                None => format!("was killed ({status})"),
            },
            Ended::TimeUp => format!("was not done after {} s", deadline.as_secs()),
        };
        if let Some(words) = room::wanting(&output) {
            return Err(HarnessError::Broken(format!(
                "the compiler had no room for its files in {}: {}\n\
                 Make room there, or set TMPDIR to a folder on another disk",
                std::env::temp_dir().display(),
                self.with_given_names(words).trim()
            ))
            .into());
        }
        Ok(Err(Failed { how, output, late }))
    }

    fn does_not_build(&self, said: &str, failed: &Failed) -> SubmissionError {
        let summary = format!("{} does not build: {said} {}", self.given(), failed.how);
        SubmissionError::Build { summary, output: self.words(&failed.output) }
    }

    fn given(&self) -> std::path::Display<'_> {
        self.submission.given.display()
    }

    /// The compiler's words with the file names of the folder that was handed in.
    fn with_given_names(&self, output: &str) -> String {
        let copy = self.source.display().to_string();
        let output = output.replace(&format!("{}/", self.temporary.display()), "");
        output.replace(&format!("{copy}/"), "").replace(&copy, &self.given().to_string())
    }

    /// The same, bounded.
    fn words(&self, output: &str) -> String {
        let output = self.with_given_names(output);
        let mut lines: Vec<&str> = output.trim_end().lines().collect();
        let more = lines.len().saturating_sub(SHOWN_LINES);
        lines.truncate(SHOWN_LINES);
        let mut text = lines.join("\n");
        if more > 0 {
            text += &format!("\n... and {more} more lines");
        }
        for link in &self.left_out {
            text += &format!(
                "\nnote: {} was left out: it is a link that leads out of the folder",
                link.display()
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = "int main(void) { return 0; }\n";

    fn submission(files: &[(&str, &str)]) -> (tempfile::TempDir, Submission) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let submission = Submission::recognise(folder.path()).unwrap();
        (folder, submission)
    }

    fn build_error(files: &[(&str, &str)]) -> (String, String) {
        match submission(files).1.build() {
            Err(RunError::Submission(SubmissionError::Build { summary, output })) => (summary, output),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn c_is_built_without_touching_the_folder() {
        let (folder, submission) = submission(&[("-main.c", MAIN), ("b.c", "int b;\n"), ("x.h", "")]);
        let program = submission.build().unwrap();
        assert!(program.executable().starts_with(program.source_folder().unwrap()));
        assert!(Command::new(program.executable()).status().unwrap().success());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let executable = program.executable().to_owned();
        drop(program);
        assert!(!executable.exists());
    }

    #[test]
    fn the_compilers_words_name_the_file_and_line() {
        let (summary, output) =
            build_error(&[("a.c", "int main(void) {\n    int unused;\n    return none;\n}\n")]);
        assert!(
            summary.contains("gcc -Wall -Wextra -Werror -pthread -g -o pool_server *.c failed (exit 1)"),
            "{summary}"
        );
        assert!(output.contains("a.c:3:12: error: 'none' undeclared"), "{output}");
    }

    #[test]
    fn the_linker_speaks_of_the_same_files() {
        let (_, output) = build_error(&[("a.c", "int f(void);\nint main(void) { return f(); }\n")]);
        assert!(output.contains("a.c:2: undefined reference to `f'"), "{output}");
        assert!(!output.contains("quest-build-"), "{output}");
    }

    #[test]
    fn an_avalanche_of_errors_is_cut() {
        let wrong =
            (0..500).map(|n| format!("int f{n}(void) {{ return undeclared{n}; }}\n")).collect::<String>();
        let (_, output) = build_error(&[("a.c", &wrong)]);
        assert_eq!(output.lines().count(), SHOWN_LINES + 1);
        assert!(output.ends_with("more lines"), "{output}");
    }

    #[test]
    fn a_link_that_leads_out_is_named() {
        let (folder, submission) = submission(&[("a.c", MAIN)]);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("b.c")).unwrap();
        let said = submission.build().unwrap_err().to_string();
        assert!(said.contains("b.c is a link that leads out of the folder"), "{said}");
    }

    #[test]
    fn a_cargo_package_is_built_and_its_errors_are_shown() {
        let manifest = "[package]\nname = \"pool_server\"\nedition = \"2021\"\n[[bin]]\nname = \"pool_server\"\npath = \"main.rs\"\n";
        let (folder, good) = submission(&[("Cargo.toml", manifest), ("main.rs", "fn main() {}\n")]);
        let program = good.build().unwrap();
        assert!(Command::new(program.executable()).status().unwrap().success());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let (summary, output) = build_error(&[("Cargo.toml", manifest), ("main.rs", "fn main() { x }\n")]);
        assert!(summary.contains("cargo build --release --bin pool_server failed"), "{summary}");
        assert!(output.contains("main.rs:1:13"), "{output}");
    }
}
