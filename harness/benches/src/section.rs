//! What a section is.

use crate::context::Context;
use crate::report::Report;

/// One part of the report.
pub struct Section {
    /// The word for `--only`.
    pub name: &'static str,
    /// One line: what is measured.
    pub about: &'static str,
    /// Measures, and adds what was found to the report. An error ends this section only.
    pub run: fn(&Context, &mut Report) -> anyhow::Result<()>,
}
