//! The run as one JSON object, for programs. `docs/report-format.md` describes it.

use super::{Format, Look};
use crate::model::Run;
use std::{
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

/// One JSON object and a newline.
pub(super) struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn about(&self) -> &'static str {
        "for programs: one JSON object when the run is complete"
    }

    fn end(&self, run: &Run, _: Duration, _: &Look, out: &mut dyn Write) -> io::Result<()> {
        let text = serde_json::to_string_pretty(run).map_err(io::Error::other)?;
        writeln!(out, "{}", harmless(&text))
    }
}

/// JSON leaves characters alone that some terminals obey (U+009B starts an escape sequence). Outside of strings there are
/// none, so each can become a `\u` escape, and the value stays the same.
fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};
    use crate::{
        model::{Note, Outcome},
        report::Palette,
    };

    fn written(run: &Run) -> String {
        let look = Look { palette: Palette::plain(), width: 100, verbose: false, quest: "quest".into() };
        let mut out = Vec::new();
        Json.end(run, Duration::ZERO, &look, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_keys_are_exactly_the_promised_ones() {
        let run = samples::run(vec![samples::verdict("R4", Outcome::Fail, ["e", "o", "w", "h", "a"])]);
        let value: serde_json::Value = serde_json::from_str(&written(&run)).unwrap();
        let promised = serde_json::json!({
            "format_version": 1, "quest": "07-pool-server", "submission": "solution", "seed": 1,
            "score": { "earned": 0, "possible": 10 },
            "verdicts": [{
                "id": "R4", "title": "answers come from workers", "verdict": "fail",
                "points": 0, "possible": 10, "duration_ms": 1234,
                "evidence": { "expected": "e", "observed": "o", "where": "w", "hint": "h", "again": "a" },
            }],
        });
        assert_eq!(value, promised);
    }

    #[test]
    fn a_note_has_a_key_a_text_and_a_place() {
        let mut verdict = samples::verdict("R8", Outcome::Pass, ["e", "o", "", "", "a"]);
        verdict.notes =
            vec![Note { key: "lock-order".into(), text: "both orders".into(), place: "a.c:1".into() }];
        let value: serde_json::Value = serde_json::from_str(&written(&samples::run(vec![verdict]))).unwrap();
        let promised = serde_json::json!([{ "key": "lock-order", "text": "both orders", "where": "a.c:1" }]);
        assert_eq!(value["verdicts"][0]["notes"], promised);
    }

    #[test]
    fn nothing_in_it_drives_a_terminal_and_it_reads_back() {
        let evil = "\u{1b}[2J \u{9b}31m \u{7f} \u{202e} \n ok é";
        let run = samples::run(vec![samples::verdict("R1", Outcome::Fail, [evil, "", "", "", ""])]);
        let text = written(&run);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text}");
        assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
    }
}
