//! The report: printed as it grows, and kept as Markdown and JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::stats::Summary;
use crate::table::Table;

/// The width of a paragraph on the terminal.
const COLUMNS: usize = 100;
const BOLD: Style = Style::new().bold();
const FAULT: Style = AnsiColor::Red.on_default().bold();

/// What a goal asks for.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

/// One line of the table of goals.
#[derive(Clone, Debug, Serialize)]
struct Goal {
    what: String,
    limit: Limit,
    measured: Option<Summary>,
    disturbed: bool,
}

/// Everything that was found so far.
pub struct Report {
    folder: PathBuf,
    markdown: String,
    raw: Map<String, Value>,
    section: &'static str,
    goals: Vec<Goal>,
    /// Something could not be measured.
    is_incomplete: bool,
}

impl Report {
    /// Begins with the machine.
    pub fn new(context: &Context) -> Result<Report> {
        let mut raw = Map::new();
        raw.insert("machine".to_owned(), serde_json::to_value(&context.machine)?);
        let folder = context.in_results("");
        let mut report = Report {
            folder,
            markdown: String::new(),
            raw,
            section: "",
            goals: Vec::new(),
            is_incomplete: false,
        };
        report.text(&context.machine.words());
        Ok(report)
    }

    /// Begins a section.
    pub fn begin(&mut self, name: &'static str, about: &str) {
        self.section = name;
        anstream::println!("\n{BOLD}{about}{BOLD:#}");
        let _ = writeln!(self.markdown, "\n## {about}");
    }

    /// A heading within a section.
    pub fn heading(&mut self, words: &str) {
        anstream::println!("\n  {BOLD}{words}{BOLD:#}");
        let _ = writeln!(self.markdown, "\n### {words}");
    }

    /// A paragraph.
    pub fn text(&mut self, words: &str) {
        anstream::println!();
        wrapped(words).iter().for_each(|line| anstream::println!("  {line}"));
        let _ = writeln!(self.markdown, "\n{words}");
    }

    /// A table; nothing if it has no rows.
    pub fn table(&mut self, table: &Table) {
        if table.is_empty() {
            return;
        }
        anstream::println!();
        for (number, line) in table.lines().iter().enumerate() {
            match number {
                0 => anstream::println!("  {BOLD}{line}{BOLD:#}"),
                _ => anstream::println!("  {line}"),
            }
        }
        let _ = write!(self.markdown, "\n{}", table.markdown());
    }

    /// Keeps raw figures in `bench.json`, below the name of the section and `key`.
    pub fn raw(&mut self, key: &str, figures: impl Serialize) -> Result<()> {
        let section = self.raw.entry(self.section).or_insert_with(|| Value::Object(Map::new()));
        section[key] = serde_json::to_value(figures)?;
        Ok(())
    }

    /// Notes what was measured for a goal; the table of goals comes at the end. `disturbed`: others took more of the
    /// machine than they should.
    pub fn goal(
        &mut self,
        what: impl Into<String>,
        limit: Limit,
        measured: Option<Summary>,
        disturbed: bool,
    ) {
        self.goals.push(Goal { what: what.into(), limit, measured, disturbed });
    }

    /// Writes a plot next to the report, and names it there.
    pub fn plot(&mut self, file: &str, svg: &str) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
        anstream::println!("\n  plot: {}", path.display());
        let _ = writeln!(self.markdown, "\n![{file}]({file})");
        Ok(())
    }

    /// Says that a section could not measure, and why.
    pub fn failed(&mut self, error: &anyhow::Error) {
        complain(error);
        let _ = writeln!(self.markdown, "\nnot measured: {error:#}");
        self.is_incomplete = true;
    }

    /// Says what could not be measured, and why; the section goes on without.
    pub fn lacks(&mut self, words: &str) {
        self.text(words);
        self.is_incomplete = true;
    }

    /// Whether everything was measured.
    pub fn is_complete(&self) -> bool {
        !self.is_incomplete
    }

    /// Writes what there is so far.
    pub fn save(&self) -> Result<()> {
        let json = serde_json::to_string_pretty(&self.raw)? + "\n";
        for (name, text) in [("bench.md", self.markdown.trim_start()), ("bench.json", &json)] {
            let path = self.folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes everything and says where it is.
    pub fn finish(&mut self) -> Result<()> {
        if !self.goals.is_empty() {
            self.begin("goals", "Goals");
            let table = goals_table(&self.goals);
            self.table(&table);
            self.raw.insert("goals".to_owned(), serde_json::to_value(&self.goals)?);
        }
        self.save()?;
        let folder = self.folder.display();
        anstream::println!("\n  tables: {folder}bench.md    all rounds: {folder}bench.json");
        Ok(())
    }
}

/// A paragraph as lines of at most [`COLUMNS`] columns, where its words allow that.
fn wrapped(words: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                *line += " ";
                *line += word;
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn goals_table(goals: &[Goal]) -> Table {
    let mut table = Table::new(["what", "goal", "measured", "met"]);
    for Goal { what, limit, measured, disturbed } in goals {
        let (words, is_met): (_, fn(f64, f64) -> bool) = match limit {
            Limit::AtMost(_) => ("at most", |value, limit| value <= limit),
            Limit::AtLeast(_) => ("at least", |value, limit| value >= limit),
        };
        let (Limit::AtMost(limit) | Limit::AtLeast(limit)) = *limit;
        let mark = if *disturbed { "~" } else { "" };
        let (value, met) = match measured {
            Some(it) => (format!("{mark}{it:.2}"), if is_met(it.median, limit) { "yes" } else { "no" }),
            None => ("-".to_owned(), "-"),
        };
        table.row([what.clone(), format!("{words} {limit:.2}"), value, met.to_owned()]);
    }
    table
}

/// Says on stderr what went wrong.
pub fn complain(error: &anyhow::Error) {
    anstream::eprintln!("{FAULT}error{FAULT:#}: {error:#}");
}
