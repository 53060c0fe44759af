//! C: the exact command of the contract, and a second try that minds no warning, so that a program which only draws warnings
//! is still judged on everything else.

use super::{
    super::recognise::{c_sources, is_c},
    Failed, Job,
};
use crate::{
    error::{RunError, SubmissionError},
    submission::{ExactBuild, command::OUTPUT_LIMIT, launch::limit_memory},
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const FLAGS: [&str; 5] = ["-Wall", "-Wextra", "-Werror", "-pthread", "-g"];
/// The same for the second try: no warning is an error, because none is given.
const LENIENT: [&str; 5] = ["-Wall", "-Wextra", "-w", "-pthread", "-g"];
/// What each part of the compiler may have. A source can make it read without end (`#include "/dev/zero"`).
const MEMORY: u64 = 2 << 30;
/// For both tries together.
const DEADLINE: Duration = Duration::from_secs(120);

impl Job<'_> {
    /// Builds C sources. gcc writes down in the file `includes` which headers it read.
    pub(super) fn gcc(&self, includes: &Path) -> Result<(PathBuf, ExactBuild), RunError> {
        if let Some(link) = self.left_out.iter().find(|link| is_c(link)) {
            return Err(SubmissionError::NotASubmission(format!(
                "{} is a link that leads out of the folder; put the file itself there",
                self.submission.given.join(link).display()
            ))
            .into());
        }
        let program = self.source.join("pool_server");
        let begun = Instant::now();
        let command = said(&FLAGS);
        let done =
            |words, cut| ExactBuild { command: command.clone(), words, cut, includes: includes.to_owned() };
        let Err(strict) = self.compile(&FLAGS, includes, DEADLINE)? else {
            return Ok((program, done(None, false)));
        };
        if strict.late {
            return Err(self.does_not_build(&command, &strict).into());
        }
        match self.compile(&LENIENT, includes, DEADLINE.saturating_sub(begun.elapsed()))? {
            Ok(()) => {
                let cut = strict.output.len() >= OUTPUT_LIMIT;
                Ok((program, done(Some(self.with_given_names(&strict.output)), cut)))
            }
            Err(lenient) if lenient.late => Err(self.does_not_build(&said(&LENIENT), &lenient).into()),
            // The words of the second try are the errors alone: what must be mended first is not lost among warnings.
            Err(lenient) => Err(self.does_not_build(&command, &Failed { how: strict.how, ..lenient }).into()),
        }
    }

    fn compile(
        &self,
        flags: &[&str],
        includes: &Path,
        deadline: Duration,
    ) -> Result<Result<(), Failed>, RunError> {
        let mut command = Command::new("gcc");
        command.args(flags).args(["-o", "pool_server"]).args(arguments(&self.source)?);
        limit_memory(&mut command, MEMORY);
        // Makes gcc note every header, without another argument; see "Environment Variables Affecting GCC" in its manual.
        command.env("SUNPRO_DEPENDENCIES", includes);
        let missing =
            "gcc is missing, and C is built with it. On Debian or Ubuntu: apt-get install gcc libc6-dev";
        self.attempt(command, deadline, missing)
    }
}

fn said(flags: &[&str]) -> String {
    format!("gcc {} -o pool_server *.c", flags.join(" "))
}

/// What the shell makes of `*.c`; a name that starts like an option is told apart from one.
fn arguments(folder: &Path) -> Result<Vec<OsString>, SubmissionError> {
    let names = c_sources(folder)?.into_iter();
    Ok(names
        .map(|name| match name.as_os_str().as_encoded_bytes().starts_with(b"-") {
            true => Path::new(".").join(name).into_os_string(),
            false => name.into_os_string(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use crate::{
        error::{RunError, SubmissionError},
        submission::{Program, Submission},
    };
    use std::{fs, process::Command};

    fn built(source: &str) -> Result<Program, RunError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.c"), source).unwrap();
        Submission::recognise(folder.path()).unwrap().build()
    }

    #[test]
    fn warnings_are_kept_and_the_program_is_there_all_the_same() {
        let program = built("int main(void) {\n    int unused;\n    return 7;\n}\n").unwrap();
        assert_eq!(Command::new(program.executable()).status().unwrap().code(), Some(7));
        let exact = program.exact_build().unwrap();
        assert_eq!(exact.command(), "gcc -Wall -Wextra -Werror -pthread -g -o pool_server *.c");
        let words = exact.complaints().unwrap();
        assert!(
            words.contains("\na.c:2:9: error: unused variable 'unused' [-Werror=unused-variable]"),
            "{words}"
        );
        assert!(!words.contains("quest-build-") && !exact.is_cut(), "{words}");
    }

    #[test]
    fn without_a_warning_there_are_no_complaints_and_the_headers_are_known() {
        let program = built("#include <pthread.h>\nint main(void) { return 0; }\n").unwrap();
        let exact = program.exact_build().unwrap();
        assert_eq!(exact.complaints(), None);
        assert!(fs::read_to_string(exact.includes()).unwrap().contains("/pthread.h"));
    }

    #[test]
    fn errors_are_not_lost_among_thousands_of_warnings() {
        let warnings: String =
            (0..3000).map(|n| format!("static int f{n}(int {}) {{ return 0; }}\n", "a".repeat(99))).collect();
        match built(&format!("{warnings}int main(void) {{ return none; }}\n")) {
            Err(RunError::Submission(SubmissionError::Build { summary, output })) => {
                assert!(
                    summary.contains("-Werror -pthread -g -o pool_server *.c failed (exit 1)"),
                    "{summary}"
                );
                assert!(output.contains("a.c:3001:25: error: 'none' undeclared"), "{output}");
            }
            other => panic!("{other:?}"),
        }
        let program = built(&format!("{warnings}int main(void) {{ return 0; }}\n")).unwrap();
        assert!(program.exact_build().unwrap().is_cut());
    }

    #[test]
    fn a_pragma_against_a_warning_is_the_students_right() {
        let source = "#pragma GCC diagnostic ignored \"-Wunused-variable\"\nint main(void) { int unused; return 0; }\n";
        assert_eq!(built(source).unwrap().exact_build().unwrap().complaints(), None);
    }
}
