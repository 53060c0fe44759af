//! How often verdicts were not as always: a line for each change when it comes, and a table at the end.

use super::{
    Look,
    columns::{above, cells},
    escape,
    layout::{INDENT, VERB, line},
    palette::paint,
    seconds,
};
use crate::{
    model::{Id, Outcome},
    selfcheck::flaky::{Flakiness, Plan, Repeated, Trial},
};
use std::{
    io::{self, Write},
    time::Duration,
};

/// Columns of a program's name, at least.
const NAME: usize = 36;

/// What is going to be done.
///
/// # Errors
///
/// Those of `out`, here and below.
pub fn head(plan: &Plan<'_>, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let (quest, times) = (plan.quest, plan.times);
    let count = plan.entries.len();
    let what = format!(
        "{count} programs of {quest}, each {times} times on an idle machine and {times} times on a busy one"
    );
    line(out, look.palette.verb, "Grading", &what)
}

/// One run, if it was not as always.
///
/// # Errors
///
/// Those of `out`.
pub fn trial(row: &Repeated, trial: &Trial, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let bad = look.palette.bad;
    for change in &trial.changes {
        let what = match (change.id, change.outcome.map_or("no verdict", Outcome::word)) {
            (Some(id), word) => format!("{id} {word}"),
            (None, _) => "no report".to_owned(),
        };
        let when = if trial.busy { "busy" } else { "idle" };
        let (name, observed) = (escape(&row.name), escape(&change.observed));
        let run = format!("{name}, run {}, seed {}, {when}", trial.number, trial.seed);
        line(out, bad, "CHANGED", &format!("{run}: {what}: {observed}"))?;
    }
    Ok(())
}

/// The table: programs times ids, how often each was not as always.
///
/// # Errors
///
/// Those of `out`.
pub fn end(all: &Flakiness, took: Duration, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let (dim, bad, good) = (look.palette.dim, look.palette.bad, look.palette.good);
    writeln!(out, "{}", paint(dim, "\u{2500}".repeat(VERB)))?;
    let [families, numbers] = above(&all.ids);
    writeln!(out, "{:INDENT$}{dim}{:<NAME$}  idle  busy  {families}{dim:#}", "", "")?;
    writeln!(out, "{:INDENT$}{dim}{:<NAME$}  runs  runs  {numbers}  changed{dim:#}", "", "")?;
    for row in &all.programs {
        let runs = |busy| row.runs.iter().filter(|run| run.busy == busy).count();
        let cells = cells(&all.ids, |id| cell(row.changes(id), look));
        let (name, idle, busy, changed) = (escape(&row.name), runs(false), runs(true), row.changed_runs());
        writeln!(out, "{:INDENT$}{name:<NAME$} {idle:>5} {busy:>5}  {cells}  {changed:>7}", "")?;
    }
    let runs = all.runs();
    let changes = |id: Id| all.programs.iter().map(|row| row.changes(id)).sum::<usize>();
    let count: usize = all.ids.iter().map(|id| changes(*id)).sum();
    let verdicts = runs * all.ids.len();
    let style = if count == 0 { good } else { bad };
    let time = paint(dim, format!("[{}]", seconds(took)));
    let words = format!("{runs} runs, {verdicts} verdicts: {count} not as always");
    line(out, style, "Summary", &format!("{time} {words}"))?;
    for id in all.ids.iter().filter(|id| changes(**id) > 0) {
        writeln!(out, "{:INDENT$}{:<4}{} of {runs}", "", id.to_string(), changes(*id))?;
    }
    Ok(())
}

/// A count in one column.
fn cell(count: usize, look: &Look) -> String {
    match count {
        0 => paint(look.palette.dim, '\u{b7}'),
        1..=9 => paint(look.palette.bad, count),
        _ => paint(look.palette.bad, '+'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        quests::corpus::Kind,
        report::Palette,
        selfcheck::flaky::{Change, FORMAT_VERSION},
    };
    use std::collections::BTreeMap;

    #[test]
    fn each_program_has_a_row_and_each_id_that_changed_a_count() {
        let ids: Vec<Id> = ["R1", "C1"].map(|id| id.parse().unwrap()).into();
        let run = |number, busy, changes| Trial { number, seed: 7, busy, duration_ms: 5, changes };
        let change = Change {
            id: Some(ids[1]),
            outcome: Some(Outcome::Inconclusive),
            observed: "it was\u{1b} late".into(),
        };
        let row = |name: &str, runs| Repeated {
            kind: Kind::Variant,
            name: name.into(),
            path: name.into(),
            fingerprint: String::new(),
            reference: BTreeMap::new(),
            runs,
        };
        let changed = row("changing", vec![run(1, false, vec![]), run(1, true, vec![change])]);
        let all = Flakiness {
            format_version: FORMAT_VERSION,
            quest: "q".into(),
            ids,
            programs: vec![changed.clone(), row("steady", vec![run(1, false, vec![])])],
        };
        let look = Look { palette: Palette::plain(), width: 90, verbose: false, quest: "quest".into() };
        let mut out = Vec::new();
        trial(&changed, &changed.runs[1], &look, &mut out).unwrap();
        end(&all, Duration::from_millis(1500), &look, &mut out).unwrap();
        let expected = r"
     CHANGED changing, run 1, seed 7, busy: C1 inconclusive: it was\u{1b} late
────────────
                                                   idle  busy  R C
                                                   runs  runs  1 1  changed
             changing                                 1     1  · 1        1
             steady                                   1     0  · ·        0
     Summary [  1.500s] 3 runs, 6 verdicts: 1 not as always
             C1  1 of 3
";
        let text = String::from_utf8(out).unwrap();
        assert!(format!("\n{text}") == expected, "{text}");
    }
}
