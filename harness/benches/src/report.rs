//! The report: printed as it grows, and kept as Markdown and JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::table::Table;

const BOLD: Style = Style::new().bold();
const FAULT: Style = AnsiColor::Red.on_default().bold();

/// Everything that was found so far.
pub struct Report {
    folder: PathBuf,
    markdown: String,
    raw: Map<String, Value>,
    section: &'static str,
}

impl Report {
    /// Begins with the machine.
    pub fn new(context: &Context) -> Result<Report> {
        let mut raw = Map::new();
        raw.insert("machine".to_owned(), serde_json::to_value(&context.machine)?);
        let folder = context.in_results("");
        let mut report = Report { folder, markdown: String::new(), raw, section: "" };
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
        anstream::println!("\n  {words}");
        let _ = writeln!(self.markdown, "\n{words}");
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
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
    pub fn finish(&self) -> Result<()> {
        self.save()?;
        let folder = self.folder.display();
        anstream::println!("\n  tables: {folder}bench.md    all rounds: {folder}bench.json");
        Ok(())
    }
}

/// Says on stderr what went wrong.
pub fn complain(error: &anyhow::Error) {
    anstream::eprintln!("{FAULT}error{FAULT:#}: {error:#}");
}
