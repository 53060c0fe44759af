//! Where things stand on a line of every report for a terminal, in the manner of cargo and nextest: verbs aligned in the first
//! twelve columns, and below them rows of a key and a text.

use super::{Look, escape, palette::paint};
use anstyle::Style;
use std::io::{self, Write};

/// Columns of the verb; `inconclusive`, the longest verdict, fills them.
pub(super) const VERB: usize = 12;
/// Columns before what stands below a verb's line, and of its keys.
pub(super) const INDENT: usize = 13;
const KEY: usize = 10;

/// A verb and what it is about.
pub(super) fn line(out: &mut dyn Write, style: Style, verb: &str, what: &str) -> io::Result<()> {
    writeln!(out, "{style}{verb:>VERB$}{style:#} {what}")
}

/// A key and a text of a submission, made harmless, on as many lines as it needs.
pub(super) fn wrapped(key: &str, text: &str, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let width = look.width.saturating_sub(INDENT + KEY).max(20);
    let safe = escape(text);
    let lines = safe.lines().flat_map(|text| textwrap::wrap(text, width));
    for (number, text) in lines.enumerate() {
        row(if number == 0 { key } else { "" }, &text, look, out)?;
    }
    Ok(())
}

/// A key and a text, as it is, on one line.
pub(super) fn row(key: &str, text: &str, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let key = paint(look.palette.dim, format!("{key:<KEY$}"));
    writeln!(out, "{:INDENT$}{key}{text}", "")
}
