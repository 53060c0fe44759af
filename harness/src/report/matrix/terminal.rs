//! The matrix on a terminal: a line per program as soon as it is graded, and what is wrong below it.

use super::{Cell, LEGEND, sentences};
use crate::{
    model::Outcome,
    report::{
        Look,
        columns::{above, cells},
        escape,
        layout::{INDENT, VERB, line, row as key_and_text, wrapped},
        palette::paint,
        seconds,
        shell::quoted_path,
    },
    selfcheck::{Matrix, Row},
};
use anstyle::Style;
use std::{
    io::{self, Write},
    time::Duration,
};

/// Columns of a program's name, at least.
const NAME: usize = 38;

/// What stands above the rows: how many programs there will be, and the columns.
///
/// # Errors
///
/// Those of `out`, here and below.
pub fn head(matrix: &Matrix, count: usize, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let programs = if count == 1 { "program" } else { "programs" };
    let what = format!("{count} {programs} of {}, seed {}", matrix.quest, matrix.seed);
    line(out, look.palette.verb, "Grading", &what)?;
    let dim = look.palette.dim;
    for line in above(&matrix.ids) {
        writeln!(out, "{:1$}{dim}{line}{dim:#}", "", VERB + 1 + "[  1.234s] ".len() + NAME + 1)?;
    }
    Ok(())
}

/// One program.
///
/// # Errors
///
/// Those of `out`.
pub fn row(matrix: &Matrix, row: &Row, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let right = row.mismatches.is_empty();
    let (verb, style) =
        if right { (row.kind.to_string(), look.palette.good) } else { ("WRONG".into(), look.palette.bad) };
    let time =
        paint(look.palette.dim, format!("[{}]", seconds(Duration::from_millis(row.graded.duration_ms))));
    let cells = cells(&matrix.ids, |id| {
        let cell = Cell::of(row, id);
        paint(style_of(cell, look), cell.letter)
    });
    line(out, style, &verb, &format!("{time} {:<NAME$} {cells}", escape(&row.name)))?;
    for mismatch in &row.mismatches {
        wrapped("wrong", &mismatch.what, look, out)?;
        if let Some(seen) = mismatch.id.and_then(|id| row.graded.observed.get(&id)) {
            wrapped("observed", seen, look, out)?;
        }
        wrapped("hint", &mismatch.advice, look, out)?;
        let only = mismatch.id.map(|id| format!(" --only {id}")).unwrap_or_default();
        let path = quoted_path(&row.path);
        let again = format!("{} check {path}{only} --seed {} -v", look.quest, matrix.seed);
        key_and_text("again", &paint(look.palette.command, escape(&again)), look, out)?;
    }
    Ok(())
}

fn style_of(cell: Cell, look: &Look) -> Style {
    match (cell.right, cell.outcome) {
        (false, _) => look.palette.bad,
        (true, Some(Outcome::Fail)) => look.palette.strong,
        (true, Some(Outcome::Inconclusive)) => look.palette.unsure,
        (true, _) => look.palette.dim,
    }
}

/// What all of it amounts to.
///
/// # Errors
///
/// Those of `out`.
pub fn end(matrix: &Matrix, took: Duration, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let wrong = matrix.programs.iter().filter(|row| !row.mismatches.is_empty()).count();
    let style = if wrong == 0 { look.palette.good } else { look.palette.bad };
    let dim = look.palette.dim;
    writeln!(out, "{}", paint(dim, "\u{2500}".repeat(VERB)))?;
    writeln!(out, "{:INDENT$}{}", "", paint(dim, LEGEND))?;
    let kills = matrix.ids.iter().map(|id| (id, matrix.kills(*id))).filter(|(_, (all, _))| *all > 0);
    let kills: Vec<String> = kills.map(|(id, (all, killed))| format!("{id} {killed}/{all}")).collect();
    if !kills.is_empty() {
        wrapped("kills", &kills.join("  "), look, out)?;
    }
    let time = paint(dim, format!("[{}]", seconds(took)));
    let right = matrix.programs.len() - wrong;
    let count = matrix.programs.len();
    line(out, style, "Summary", &format!("{time} {count} programs: {right} as they must be, {wrong} not"))?;
    for sentence in sentences(matrix) {
        writeln!(out, "{:INDENT$}{sentence}", "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};
    use crate::report::Palette;

    fn written(palette: Palette) -> String {
        let look = Look { palette, width: 90, verbose: false, quest: "quest".into() };
        let matrix = samples::matrix();
        let mut out = Vec::new();
        head(&matrix, matrix.programs.len(), &look, &mut out).unwrap();
        for program in &matrix.programs {
            row(&matrix, program, &look, &mut out).unwrap();
        }
        end(&matrix, Duration::from_millis(5678), &look, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_for_each_program_and_what_is_wrong_below_it() {
        let expected = r"
     Grading 4 programs of 07-pool-server, seed 1
                                                               R  C B
                                                               12 1 1
      server [  1.234s] server                                 ·· · -
      broken [  1.234s] killed                                 x· · ·
       WRONG [  1.234s] missed                                 ·P X -
             wrong     R2 must be fail, and is pass
             hint      the check has missed the mistake: make the situation in which it
                       shows. Only if the program is right there, take the id out of
                       `fails`
             again     quest check missed --only R2 --seed 1 -v
             wrong     C1 must be pass, and is fail
             observed  seen <C1>
             hint      a false accusation, or a consequence of the mistake: if the
                       evidence is true, the id belongs in `fails`; if not, correct the
                       check
             again     quest check missed --only C1 --seed 1 -v
       WRONG [  0.000s] gone                                   !! ! !
             wrong     it was not graded: exit status: 3: no
             hint      a program of the corpus builds, starts and ends; look at what
                       `quest check` says of it
             again     quest check gone --seed 1 -v
────────────
             x failed  · passed  - not claimed  ? not judged  X P S I the same, but wrong  ! no verdict
             kills     R1 1/1  R2 0/1
     Summary [  5.678s] 4 programs: 2 as they must be, 2 not
             server    1 of 2 passed everything
             broken    1 of 2 failed exactly the ids in their manifests
";
        let text = written(Palette::plain());
        assert!(format!("\n{text}") == expected, "{text}");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let stripped = anstream::adapter::strip_str(&written(Palette::coloured())).to_string();
        assert_eq!(stripped, written(Palette::plain()));
    }
}
