//! The matrix as one page of HTML that needs nothing else: no script, no file beside it.

use super::{Cell, LEGEND, sentences};
use crate::{
    model::{Id, Outcome},
    selfcheck::{Matrix, Row},
};
use askama::Template;

/// The page.
#[derive(Template)]
#[template(path = "matrix.html")]
struct Page<'a> {
    matrix: &'a Matrix,
    families: Vec<(char, usize)>,
    sentences: Vec<String>,
    wrong: Vec<&'a Row>,
    legend: &'static str,
}

impl Page<'_> {
    fn cell(&self, row: &Row, id: &Id) -> Shown {
        let cell = Cell::of(row, *id);
        let class = match (cell.right, cell.outcome) {
            (false, _) => "wrong",
            (true, Some(Outcome::Fail)) => "kill",
            (true, Some(Outcome::Inconclusive)) => "open",
            (true, Some(Outcome::Skip)) => "skip",
            (true, _) => "pass",
        };
        let word = cell.outcome.map_or("no verdict", Outcome::word);
        let seen = row.graded.observed.get(id).map(|seen| format!(": {seen}")).unwrap_or_default();
        Shown { letter: cell.letter, class, title: format!("{} {id} {word}{seen}", row.name) }
    }

    fn kills(&self, id: &Id) -> String {
        match self.matrix.kills(*id) {
            (0, _) => String::new(),
            (all, killed) => format!("{killed}/{all}"),
        }
    }

    fn seconds(&self, row: &Row) -> String {
        format!("{:.1}", row.graded.duration_ms as f64 / 1000.0)
    }
}

struct Shown {
    letter: char,
    class: &'static str,
    title: String,
}

/// The page for a matrix.
///
/// # Errors
///
/// None that a template which compiles can have; the type says it may.
pub fn page(matrix: &Matrix) -> Result<String, askama::Error> {
    let mut families: Vec<(char, usize)> = Vec::new();
    for id in &matrix.ids {
        match families.last_mut() {
            Some((family, count)) if *family == id.family() => *count += 1,
            _ => families.push((id.family(), 1)),
        }
    }
    let wrong = matrix.programs.iter().filter(|row| !row.mismatches.is_empty()).collect();
    Page { matrix, families, sentences: sentences(matrix), wrong, legend: LEGEND }.render()
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn every_program_is_a_row_and_what_is_wrong_stands_above() {
        let text = page(&samples::matrix()).unwrap();
        assert_eq!(text.matches("<tr class=\"program\">").count(), 4);
        assert_eq!(text.matches("class=\"wrong\"").count(), 2 + 4, "{text}");
        assert!(text.contains("R2 must be fail, and is pass") && text.contains("broken    1 of 2 failed"));
    }

    #[test]
    fn what_a_program_says_is_text() {
        let text = page(&samples::matrix()).unwrap();
        assert!(!text.contains("<think>") && !text.contains("seen <"), "{text}");
        assert!(text.contains("seen &#60;C1&#62;") && !text.contains("<script"));
    }
}
