//! Words and numbers as people read them, and text of a submission made harmless.

use crate::model::{Outcome, Run};
use std::time::Duration;

/// Text of a submission for one place in a report: characters that a terminal obeys become visible. Line ends stay.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push(c),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                safe.extend(c.escape_unicode())
            }
            c if c.is_control() => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    safe
}

/// The same for the words of a compiler, whose tabs line things up.
pub fn escape_block(text: &str) -> String {
    text.split('\t').map(escape).collect::<Vec<_>>().join("\t")
}

/// `  1.234s`, so that the times of a report stand below each other.
pub fn seconds(time: Duration) -> String {
    format!("{:>7.3}s", time.as_secs_f64())
}

/// `8 checked: 7 passed, 1 failed; 85 of 100 points`.
pub(super) fn summary(run: &Run) -> String {
    let words = [
        (Outcome::Pass, "passed"),
        (Outcome::Fail, "failed"),
        (Outcome::Inconclusive, "inconclusive"),
        (Outcome::Error, "not judged by a fault of the harness"),
        (Outcome::Skip, "skipped"),
    ];
    let counts: Vec<String> = words
        .into_iter()
        .filter(|(outcome, _)| run.count(*outcome) > 0)
        .map(|(outcome, word)| format!("{} {word}", run.count(outcome)))
        .collect();
    let bonus: u32 = run.verdicts.iter().filter(|v| v.id.family() == 'B').map(|v| v.points).sum();
    let on_top = if bonus > 0 { format!(", {bonus} more for bonuses") } else { String::new() };
    let points = format!("{} of {} points{on_top}", run.score.earned - bonus, run.score.possible);
    format!(
        "{} checked: {}; {points}",
        run.verdicts.len(),
        if counts.is_empty() { "-".into() } else { counts.join(", ") }
    )
}

/// What to do next: words, each with the command for it if there is one.
pub(super) fn next_step(run: &Run, quest: &str) -> Vec<(String, Option<String>)> {
    let first = |outcome| run.verdicts.iter().find(|verdict| verdict.outcome == outcome);
    let one = |text: &str, command: &str| vec![(text.to_owned(), Some(format!("{quest} {command}")))];
    if let Some(failed) = first(Outcome::Fail) {
        let id = failed.id;
        let mut steps = one(&format!("start with {id}:"), &format!("show {id}"));
        steps.extend(one("; stuck?", &format!("hint {id}")));
        return steps;
    }
    if first(Outcome::Inconclusive).or(first(Outcome::Error)).is_some() {
        return one("not everything could be judged; what is missing here:", "doctor");
    }
    if run.verdicts.is_empty() {
        return one("nothing was checked; what there is:", "list");
    }
    vec![("all of it holds; with -v each pass says what was seen".into(), None)]
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn what_a_terminal_obeys_becomes_visible() {
        assert_eq!(
            escape("a\u{1b}[31mb\r\u{7}\u{9b}\u{202e}é\n"),
            "a\\u{1b}[31mb\\r\\u{7}\\u{9b}\\u{202e}é\n"
        );
        assert_eq!(escape("a\tb"), "a\\tb");
        assert_eq!(escape_block("a\tb\r"), "a\tb\\r");
    }

    #[test]
    fn the_summary_counts_what_there_is() {
        let none = [""; 5];
        let run = samples::run(vec![
            samples::verdict("R1", Outcome::Pass, none),
            samples::verdict("R2", Outcome::Fail, none),
            samples::verdict("R3", Outcome::Inconclusive, none),
        ]);
        assert_eq!(summary(&run), "3 checked: 1 passed, 1 failed, 1 inconclusive; 10 of 30 points");
        let commands: Vec<_> = next_step(&run, "quest").into_iter().filter_map(|step| step.1).collect();
        assert_eq!(commands, ["quest show R2", "quest hint R2"]);
    }

    #[test]
    fn the_next_step_is_doctor_when_nothing_failed_but_something_is_open() {
        let run = samples::run(vec![samples::verdict("R1", Outcome::Inconclusive, [""; 5])]);
        assert_eq!(next_step(&run, "quest")[0].1.as_deref(), Some("quest doctor"));
    }
}
