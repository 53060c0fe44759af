//! A column for each id, one character wide, the families apart.

use crate::model::Id;

/// The two lines above the columns: the letters of the families, and the last digits of the numbers.
pub(super) fn above(ids: &[Id]) -> [String; 2] {
    let mut families = String::new();
    let mut last = None;
    for id in ids {
        let first = last != Some(id.family());
        families += if first && last.is_some() { " " } else { "" };
        families.push(if first { id.family() } else { ' ' });
        last = Some(id.family());
    }
    let number = |id: Id| id.to_string().chars().last().unwrap_or(' ').to_string();
    [families.trim_end().to_owned(), cells(ids, number)]
}

/// A line of cells; each is what `cell` says, with colours or without.
pub(super) fn cells(ids: &[Id], cell: impl Fn(Id) -> String) -> String {
    let mut line = String::new();
    let mut last = None;
    for id in ids {
        line += if last.is_some_and(|family| family != id.family()) { " " } else { "" };
        line += &cell(*id);
        last = Some(id.family());
    }
    line
}
