//! The two who judge: `quest check`, and the shell script that does the same as far as a shell can.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::timed::{Timed, wait};
use crate::children::Child;
use crate::context::Context;

/// The requirements that both look at.
pub const IDS: [&str; 8] = ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8"];

/// One requirement's part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Part {
    /// How long its check took.
    pub seconds: f64,
    /// How much of that was sleep which waited for nothing that can be seen; the harness has none.
    pub slept: f64,
}

/// One run: the whole, and its parts by id.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// From the start of the command to its end.
    pub whole: Timed,
    /// By id.
    pub parts: BTreeMap<String, Part>,
}

/// The report of `quest check`, as far as it is needed here.
#[derive(Deserialize)]
struct QuestReport {
    verdicts: Vec<Verdict>,
}

#[derive(Deserialize)]
struct Verdict {
    id: String,
    verdict: String,
    duration_ms: f64,
}

/// Where `quest` is. Fails if it is not built.
pub fn quest(context: &Context) -> Result<PathBuf> {
    let program = context.options.target.join("release/quest");
    ensure!(program.is_file(), "{} is not there; `make bench` builds it", program.display());
    Ok(program)
}

/// Has a folder of C judged by `quest check`. Fails if it does not pass.
pub fn by_quest(quest: &Path, submission: &Path, folder: &Path) -> Result<Run> {
    let out = folder.join("report.json");
    let mut command = Command::new(quest);
    command.arg("check").arg(submission).args(["--quest", "07-pool-server", "--only", &IDS.join(",")]);
    command.args(["--format", "json", "--out"]).arg(&out);
    let (whole, text) = judged(command.env("TMPDIR", folder), &out)?;
    let report: QuestReport = serde_json::from_str(&text).context("the report of quest is not understood")?;
    let part = |it: Verdict| match it.verdict.as_str() {
        "pass" => Ok((it.id, Part { seconds: it.duration_ms / 1e3, slept: 0.0 })),
        other => bail!("quest check: {} is {other}", it.id),
    };
    complete(whole, report.verdicts.into_iter().map(part).collect::<Result<_>>()?)
}

/// Has it judged by the script.
pub fn by_shell(script: &Path, submission: &Path, folder: &Path) -> Result<Run> {
    let out = folder.join("checks");
    let mut command = Command::new("bash");
    command.arg(script).arg(submission).arg(&out);
    let (whole, text) = judged(command.env("TMPDIR", folder), &out)?;
    complete(whole, text.lines().map(read_line).collect::<Result<_>>()?)
}

/// A line of the script: `R1 pass 5031 3000`, and perhaps a remark.
fn read_line(line: &str) -> Result<(String, Part)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [id, "pass", took, slept, ..] = words[..] else { bail!("the script says: {line}") };
    Ok((id.to_owned(), Part { seconds: took.parse::<f64>()? / 1e3, slept: slept.parse::<f64>()? / 1e3 }))
}

fn complete(whole: Timed, parts: BTreeMap<String, Part>) -> Result<Run> {
    ensure!(parts.keys().eq(IDS.iter()), "not all of {} were judged: {:?}", IDS.join(", "), parts.keys());
    Ok(Run { whole, parts })
}

/// Runs a command that writes its verdicts to `out`.
fn judged(command: &Command, out: &Path) -> Result<(Timed, String)> {
    // What the run before left there.
    let _ = fs::remove_file(out);
    let mut words = None;
    let whole = Timed::of(|| {
        let mut child = Child::start(command, &[])?;
        wait(&child)?;
        words = child.last_words();
        Ok(())
    })?;
    let text = fs::read_to_string(out);
    Ok((whole, text.with_context(|| format!("no verdicts; {}", words.unwrap_or_default()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_script_is_a_part() {
        let (id, part) = read_line("R8 pass 3516 1000 ERROR SUMMARY: 0 errors").unwrap();
        assert_eq!((id.as_str(), part), ("R8", Part { seconds: 3.516, slept: 1.0 }));
        assert!(read_line("R1 fail 10 0 it does not listen").is_err());
    }
}
