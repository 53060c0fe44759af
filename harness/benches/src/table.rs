//! Tables: aligned text for the terminal, and Markdown.

/// Rows of cells below a row of headings. The first column is left-aligned, the others right.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    left: usize,
}

impl Table {
    /// An empty table with these headings.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Table {
        Table { headings: headings.into_iter().map(Into::into).collect(), rows: Vec::new(), left: 1 }
    }

    /// Left-aligns the first `columns` columns instead of one.
    pub fn left(mut self, columns: usize) -> Table {
        self.left = columns;
        self
    }

    /// Adds a row. What is missing at its end stays empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.headings.len(), String::new());
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines for a terminal, the headings first; no line ends with a space.
    pub fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        let all = std::iter::once(&self.headings).chain(&self.rows);
        all.map(|cells| {
            let padded = cells.iter().enumerate().map(|(n, cell)| self.pad(n, cell, widths[n]));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
    }

    /// The same as Markdown, aligned too, so that it can be read as it is.
    pub fn markdown(&self) -> String {
        let widths: Vec<usize> = self.widths().iter().map(|width| (*width).max(3)).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().enumerate().map(|(n, cell)| self.pad(n, cell, widths[n]));
            format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
        };
        let rule = widths.iter().enumerate().map(|(n, width)| match n < self.left {
            true => format!(":{}", "-".repeat(width - 1)),
            false => format!("{}:", "-".repeat(width - 1)),
        });
        let rule: Vec<String> = rule.collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}", line(&self.headings), line(&rule))
    }

    fn widths(&self) -> Vec<usize> {
        let all = || std::iter::once(&self.headings).chain(&self.rows);
        let width = |n: usize| all().map(|cells| cells[n].chars().count()).max().unwrap_or(0);
        (0..self.headings.len()).map(width).collect()
    }

    fn pad(&self, column: usize, cell: &str, width: usize) -> String {
        match column < self.left {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["server", "calls"]);
        table.row(["pool_server", "2.61"]);
        table.row(["x"]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(table().lines(), ["server       calls", "pool_server   2.61", "x"]);
    }

    #[test]
    fn markdown_has_a_rule_below_the_headings() {
        let expected = "\
| server      | calls |
| :---------- | ----: |
| pool_server |  2.61 |
| x           |       |
";
        assert_eq!(table().markdown(), expected);
    }
}
