//! The report that people read, in the manner of cargo and nextest: verbs aligned in the first twelve columns.

use super::{
    Format, Head, Look, escape,
    layout::{VERB, line, row, wrapped},
    palette::paint,
    seconds, wording,
};
use crate::model::{Evidence, Note, Outcome, Run, Verdict};
use std::{
    io::{self, Write},
    time::Duration,
};

/// Lines, colours, evidence below what is not a pass.
pub(super) struct Terminal;

impl Format for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn about(&self) -> &'static str {
        "for people: a line per verdict as soon as it is there, evidence below what is not a pass"
    }

    fn begin(&self, head: &Head<'_>, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Head { quest, submission, kind, seed, count } = head;
        let requirements = if *count == 1 { "requirement" } else { "requirements" };
        let what = format!("{} ({kind}): {count} {requirements} of {quest}, seed {seed}", escape(submission));
        line(out, look.palette.verb, "Checking", &what)
    }

    fn verdict(
        &self,
        verdict: &Verdict,
        seen: &[Verdict],
        look: &Look,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let family = verdict.id.family();
        if let Some((verb, what)) = heading(family)
            && seen.last().is_none_or(|before| before.id.family() != family)
        {
            line(out, look.palette.verb, verb, what)?;
        }
        let time = seconds(Duration::from_millis(verdict.duration_ms));
        let what = format!(
            "{} {}  {}",
            paint(look.palette.dim, format!("[{time}]")),
            paint(look.palette.strong, format!("{:<3}", verdict.id.to_string())),
            escape(&verdict.title)
        );
        line(out, look.palette.outcome(verdict.outcome), &verdict.outcome.word().to_uppercase(), &what)?;
        match (verdict.outcome, look.verbose) {
            (Outcome::Pass, false) => Ok(()),
            (Outcome::Skip, false) => wrapped("observed", &verdict.evidence.observed, look, out),
            (Outcome::Pass | Outcome::Skip, true) => evidence(&verdict.evidence, false, look, out),
            // A server that does not start fails everything in the same words; once is enough.
            _ => match seen.iter().find(|before| is_same(before, verdict)) {
                Some(before) if !look.verbose => {
                    row("observed", &format!("the same as for {}", before.id), look, out)
                }
                _ => evidence(&verdict.evidence, true, look, out),
            },
        }?;
        for Note { key: _, text, place } in &verdict.notes {
            let place = if place.is_empty() { String::new() } else { format!(" [{place}]") };
            wrapped("note", &format!("{text}{place}"), look, out)?;
        }
        Ok(())
    }

    fn end(&self, run: &Run, took: Duration, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let style = match run.verdicts.iter().all(|verdict| verdict.outcome == Outcome::Pass) {
            true => look.palette.good,
            false if run.count(Outcome::Fail) + run.count(Outcome::Error) > 0 => look.palette.bad,
            false => look.palette.unsure,
        };
        writeln!(out, "{}", paint(look.palette.dim, "\u{2500}".repeat(VERB)))?;
        let time = paint(look.palette.dim, format!("[{}]", seconds(took)));
        line(out, style, "Summary", &format!("{time} {}", wording::summary(run)))?;
        let steps = wording::next_step(run, &look.quest).into_iter().map(|(text, command)| {
            let command = command.map(|c| format!(" {}", paint(look.palette.command, c))).unwrap_or_default();
            text + &command
        });
        line(out, look.palette.verb, "Next", &steps.collect::<String>())
    }
}

/// What stands above the verdicts of a family: the verb and the rest of the line. Nothing above the first.
fn heading(family: char) -> Option<(&'static str, &'static str)> {
    match family {
        'C' => Some(("Constraints", "how it is built, and what is left when it ends")),
        'B' => Some(("Bonuses", "on top of the points, for who claims them")),
        'H' => Some(("Hardening", "reported; counted with --strict")),
        _ => None,
    }
}

/// The same outcome with the same evidence, but for the command that shows it again.
fn is_same(one: &Verdict, other: &Verdict) -> bool {
    let words = |v: &Verdict| {
        let Evidence { expected, observed, place, hint, again: _ } = v.evidence.clone();
        (v.outcome, expected, observed, place, hint)
    };
    words(one) == words(other)
}

/// The keys that have something to say, in their fixed order. `all`: not only what was expected and observed.
fn evidence(evidence: &Evidence, all: bool, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let Evidence { expected, observed, place, hint, again } = evidence;
    let mut rows = vec![("expected", expected), ("observed", observed)];
    if all {
        rows.extend([("where", place), ("hint", hint)]);
    }
    for (key, text) in rows.into_iter().filter(|(_, text)| !text.is_empty()) {
        wrapped(key, text, look, out)?;
    }
    // One line however long it is, so that it can be copied.
    if all {
        row("again", &paint(look.palette.command, escape(again)), look, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Palette, samples},
        *,
    };

    const FAILED: [&str; 5] = [
        "while all 4 workers are held, no client gets an answer",
        "client 3 was answered \"\u{1b}[31mresult: 5\" while every worker was held, which is a long sentence that does not fit",
        "main (tid 71): send(7) at handoff_server.c:88",
        "",
        "quest check solution --only R4 --seed 1 -v",
    ];

    fn written(run: &Run, palette: Palette, verbose: bool) -> String {
        let look = Look { palette, width: 70, verbose, quest: "quest".into() };
        let head = Head {
            quest: "07-pool-server",
            submission: "solution",
            kind: "C sources",
            seed: 1,
            count: run.verdicts.len(),
        };
        let mut out = Vec::new();
        Terminal.begin(&head, &look, &mut out).unwrap();
        for (at, verdict) in run.verdicts.iter().enumerate() {
            Terminal.verdict(verdict, &run.verdicts[..at], &look, &mut out).unwrap();
        }
        Terminal.end(run, Duration::from_millis(2468), &look, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn run() -> Run {
        let passed =
            ["8 to 13 requests are taken", "12 were taken", "", "", "quest check solution --only R1"];
        samples::run(vec![
            samples::verdict("R1", Outcome::Pass, passed),
            samples::verdict("R4", Outcome::Fail, FAILED),
            samples::verdict("R8", Outcome::Inconclusive, ["", "valgrind is missing", "", "", "again 8"]),
        ])
    }

    #[test]
    fn the_report_is_aligned_wrapped_and_harmless() {
        let expected = r#"
    Checking solution (C sources): 3 requirements of 07-pool-server, seed 1
        PASS [  1.234s] R1   answers come from workers
        FAIL [  1.234s] R4   answers come from workers
             expected  while all 4 workers are held, no client gets an
                       answer
             observed  client 3 was answered "\u{1b}[31mresult: 5"
                       while every worker was held, which is a long
                       sentence that does not fit
             where     main (tid 71): send(7) at handoff_server.c:88
             again     quest check solution --only R4 --seed 1 -v
INCONCLUSIVE [  1.234s] R8   answers come from workers
             observed  valgrind is missing
             again     again 8
────────────
     Summary [  2.468s] 3 checked: 1 passed, 1 failed, 1 inconclusive; 10 of 30 points
        Next start with R4: quest show R4; stuck? quest hint R4
"#;
        let text = written(&run(), Palette::plain(), false);
        assert!(format!("\n{text}") == expected, "{text}");
    }

    #[test]
    fn verbose_says_what_a_pass_saw() {
        let text = written(&run(), Palette::plain(), true);
        assert!(text.contains("             observed  12 were taken\n        FAIL"), "{text}");
    }

    #[test]
    fn each_family_has_a_heading_and_a_skip_says_why() {
        let nothing = ["", "", "", "", ""];
        let mut noted = samples::verdict("R8", Outcome::Pass, nothing);
        noted.notes = vec![Note { key: "k".into(), text: "look here".into(), place: "a.c:1".into() }];
        let run = samples::run(vec![
            noted,
            samples::verdict("C1", Outcome::Pass, nothing),
            samples::verdict("B2", Outcome::Skip, ["e", "not claimed", "", "", ""]),
            samples::verdict("B3", Outcome::Skip, ["e", "not claimed either", "", "", ""]),
            samples::verdict("H1", Outcome::Pass, nothing),
        ]);
        let text = written(&run, Palette::plain(), false);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let at = |start: &str| {
            lines.iter().position(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{text}"))
        };
        let order = [
            "note look here [a.c:1]",
            "Constraints",
            "Bonuses",
            "observed not claimed",
            "Hardening",
            "Summary",
        ];
        assert!(order.map(at).is_sorted(), "{text}");
        assert_eq!((text.matches("Bonuses").count(), text.matches("expected").count()), (1, 0), "{text}");
    }

    #[test]
    fn the_same_evidence_is_told_once() {
        let run = samples::run(["R1", "R2"].map(|id| samples::verdict(id, Outcome::Fail, FAILED)).into());
        let short = written(&run, Palette::plain(), false);
        assert_eq!(short.matches("handoff_server.c").count(), 1);
        assert!(short.contains("             observed  the same as for R1\n"), "{short}");
        assert_eq!(written(&run, Palette::plain(), true).matches("handoff_server.c").count(), 2);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = written(&run(), Palette::coloured(), false);
        assert!(coloured.contains("\u{1b}[1m\u{1b}[31m        FAIL\u{1b}[0m"), "{coloured}");
        let stripped = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(stripped, written(&run(), Palette::plain(), false));
    }
}
