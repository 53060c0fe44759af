//! Layer 0: the wire. Bytes become lines here, and answers become bytes; no sockets, no threads.

use std::ops::Range;

/// Most bytes in a line, without its end (`\n` or `\r\n`).
pub const MAX_LINE: usize = 1024;

/// One thing that a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Work for the pool: the line's bytes, whatever they are.
    Task(Vec<u8>),
    /// The counters are wanted. The event loop answers by itself.
    Stats,
    /// More than [`MAX_LINE`] bytes came without an end. Nothing after it can be understood.
    TooLong,
}

/// One answer to one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What the worker computed.
    Result(String),
    /// Why there is no result.
    Error(&'static str),
    /// The counters, ready for the wire.
    Stats(String),
}

impl Answer {
    /// The worker found the input bad.
    pub const INVALID_INPUT: Answer = Answer::Error("invalid input");
    /// The event loop found the line too long.
    pub const LINE_TOO_LONG: Answer = Answer::Error("line too long");
    /// The task ran longer than the limit.
    pub const TIMEOUT: Answer = Answer::Error("timeout");

    /// Appends the answer to `out` as one line.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let (label, text) = match self {
            Answer::Result(value) => ("result: ", value.as_str()),
            Answer::Error(message) => ("ERROR: ", *message),
            Answer::Stats(counters) => ("STATS ", counters.as_str()),
        };
        for part in [label, text, "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// Cuts a stream of bytes into lines, however the network has cut it into packets.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// `bytes[..taken]` has been given out already. Every idle connection has this: four bytes will do.
    taken: u32,
    /// A line was too long: what follows is thrown away.
    broken: bool,
}

/// What stands at the front of the buffer.
enum Front {
    /// A line, and where the next one starts.
    Line {
        text: Range<usize>,
        next: usize,
    },
    TooLong,
    /// Not yet enough to tell.
    Unfinished,
}

impl LineBuffer {
    /// Adds what the network brought. Whoever calls this only while [`LineBuffer::has_line`] is false never has more
    /// than [`MAX_LINE`] + 1 bytes and one such addition in the buffer.
    pub fn extend(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.bytes.drain(..self.taken as usize);
            self.taken = 0;
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Whether [`LineBuffer::next_line`] has something to give.
    pub fn has_line(&self) -> bool {
        !matches!(self.front(), Front::Unfinished)
    }

    /// Takes the next line. [`Line::TooLong`] is the last one of its stream.
    pub fn next_line(&mut self) -> Option<Line> {
        match self.front() {
            Front::Unfinished => None,
            Front::TooLong => {
                *self = LineBuffer { broken: true, ..LineBuffer::default() };
                Some(Line::TooLong)
            }
            Front::Line { text, next } => {
                self.taken = next as u32;
                Some(match &self.bytes[text] {
                    b"STATS" => Line::Stats,
                    text => Line::Task(text.to_vec()),
                })
            }
        }
    }

    fn front(&self) -> Front {
        // A line of full length, with its `\r\n`, is the most that needs looking at.
        let taken = self.taken as usize;
        let ahead = &self.bytes[taken..];
        let ahead = &ahead[..ahead.len().min(MAX_LINE + 2)];
        let newline = ahead.iter().position(|&byte| byte == b'\n');
        let text = &ahead[..newline.unwrap_or(ahead.len())];
        // The `\r` does not count, not even while its `\n` has yet to come.
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match newline {
            _ if text.len() > MAX_LINE => Front::TooLong,
            Some(newline) => Front::Line { text: taken..taken + text.len(), next: taken + newline + 1 },
            None => Front::Unfinished,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(packets: &[&[u8]]) -> Vec<Line> {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for packet in packets {
            buffer.extend(packet);
            while buffer.has_line() {
                lines.extend(buffer.next_line());
            }
            assert_eq!(buffer.next_line(), None);
        }
        lines
    }

    fn task(text: &[u8]) -> Line {
        Line::Task(text.to_vec())
    }

    #[test]
    fn a_line_may_end_with_or_without_a_carriage_return() {
        let expected = [task(b"one"), task(b"two"), task(b""), task(b"\r")];
        assert_eq!(lines_of(&[b"one\ntwo\r\n\n\r\r\n"]), expected);
    }

    #[test]
    fn a_line_without_its_end_is_not_a_line() {
        assert_eq!(lines_of(&[b"one\ntw"]), [task(b"one")]);
    }

    #[test]
    fn stats_is_recognised_only_as_a_whole_line() {
        let expected = [Line::Stats, Line::Stats, task(b"STATS "), task(b"stats")];
        assert_eq!(lines_of(&[b"STATS\nSTATS\r\nSTATS \nstats\n"]), expected);
    }

    #[test]
    fn bytes_that_are_not_text_are_bytes() {
        assert_eq!(lines_of(&[b"\xff\x00\xfe\n"]), [task(b"\xff\x00\xfe")]);
    }

    #[test]
    fn the_longest_line_is_a_line_with_either_end() {
        let full = [b'x'; MAX_LINE];
        assert_eq!(lines_of(&[&full, b"\n"]), [task(&full)]);
        assert_eq!(lines_of(&[&full, b"\r", b"\n"]), [task(&full)]);
    }

    #[test]
    fn one_byte_more_is_too_long_at_once_and_the_last_line() {
        let full = [b'x'; MAX_LINE];
        assert_eq!(lines_of(&[&full]), []);
        assert_eq!(lines_of(&[&full, b"x"]), [Line::TooLong]);
        assert_eq!(lines_of(&[&full, b"x\nnext\n"]), [Line::TooLong]);
        assert_eq!(lines_of(&[&full, b"\r\r\n"]), [Line::TooLong]);
        assert_eq!(lines_of(&[b"first\n", &full, b"x", b"next\n"]), [task(b"first"), Line::TooLong]);
    }

    #[test]
    fn an_answer_is_one_line() {
        let mut out = Vec::new();
        Answer::Result("42".to_string()).write_to(&mut out);
        Answer::INVALID_INPUT.write_to(&mut out);
        Answer::Stats("errors=1".to_string()).write_to(&mut out);
        assert_eq!(out, b"result: 42\nERROR: invalid input\nSTATS errors=1\n");
    }
}
