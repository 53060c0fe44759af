//! The line that answers STATS.

use std::fmt;

/// Its four numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Tasks that wait.
    pub(super) depth: u64,
    /// Workers with a task in hand.
    pub(super) active: u64,
    /// Tasks answered `result:`.
    pub(super) completed: u64,
    /// Tasks answered `ERROR:`.
    pub(super) errors: u64,
}

impl Line {
    /// Reads the line; `None` unless it is one to the letter.
    pub(super) fn parse(answer: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(answer).ok()?;
        let mut words = text.strip_prefix("STATS ")?.split(' ');
        let mut number = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        let line = Self {
            depth: number("queue_depth")?,
            active: number("active_workers")?,
            completed: number("completed")?,
            errors: number("errors")?,
        };
        // Whatever else stands there (a sign, a nought before a number, another word) is not the form.
        (line.to_string() == text).then_some(line)
    }

    /// The names of the numbers that differ.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let pairs = [
            ("active_workers", self.active, other.active),
            ("queue_depth", self.depth, other.depth),
            ("completed", self.completed, other.completed),
            ("errors", self.errors, other.errors),
        ];
        pairs.into_iter().filter(|(_, mine, its)| mine != its).map(|(name, ..)| name).collect()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { depth, active, completed, errors } = self;
        write!(f, "STATS queue_depth={depth} active_workers={active} completed={completed} errors={errors}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let line = Line { depth: 4, active: 3, completed: 20, errors: 0 };
        assert_eq!(Line::parse(line.to_string().as_bytes()), Some(line));
    }

    #[test]
    fn nothing_but_the_form_is_read() {
        for text in [
            "STATS",
            "STATS queue_depth=0 active_workers=0 completed=1",
            "STATS queue_depth=0 active_workers=0 completed=1 errors=0 ",
            "STATS queue_depth=0  active_workers=0 completed=1 errors=0",
            "STATS queue_depth=00 active_workers=0 completed=1 errors=0",
            "STATS queue_depth=+1 active_workers=0 completed=1 errors=0",
            "STATS queue_depth=-1 active_workers=0 completed=1 errors=0",
            "STATS active_workers=0 queue_depth=0 completed=1 errors=0",
            "STATS queue_depth=0 active_workers=0 completed=1 errors=0 uptime=3",
            "stats queue_depth=0 active_workers=0 completed=1 errors=0",
        ] {
            assert_eq!(Line::parse(text.as_bytes()), None, "{text}");
        }
    }
}
