//! What a request computes: a pure function from a line to an answer. The answer depends on the line alone.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::protocol::Answer;

/// How often the hash goes over the line: enough to be work, little enough that most time goes to the hand-off.
const ROUNDS: usize = 64;

/// The longest `spin MS` accepted, in milliseconds. A worker cannot be interrupted, so the limit is also the longest
/// that one line can hold up a shutdown.
pub const MAX_SPIN_MS: u64 = 60_000;
const SPIN_TOO_LONG: Answer = Answer::Error("spin takes at most 60000 milliseconds");

/// Computes the answer to one line. A line that is empty or starts with `bad` is bad input; `spin MS` keeps the worker
/// busy for MS milliseconds first.
pub fn run(line: &[u8]) -> Answer {
    if line.is_empty() || line.starts_with(b"bad") {
        return Answer::INVALID_INPUT;
    }
    match spin_milliseconds(line) {
        Some(milliseconds) if milliseconds > MAX_SPIN_MS => return SPIN_TOO_LONG,
        Some(milliseconds) => spin(Duration::from_millis(milliseconds)),
        None => {}
    }
    Answer::Result(format!("{:016x}", hash(line)))
}

/// 64-bit FNV-1a over the line, [`ROUNDS`] times in a row.
fn hash(line: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    (0..ROUNDS).fold(OFFSET_BASIS, |hash, _| {
        line.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
    })
}

/// The number in `spin MS`; `None` for any other line.
fn spin_milliseconds(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"spin ")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Burns CPU for as long. Wall time: on a busy machine it may burn less, but never takes longer.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        black_box(hash(black_box(b"spin")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_gives_the_same_result_and_another_line_another() {
        let (first, again, other) = (run(b"hello"), run(b"hello"), run(b"hellp"));
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert!(matches!(first, Answer::Result(value) if value.len() == 16));
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        let rounds_of_one_byte =
            (0..ROUNDS).fold(0xcbf29ce484222325_u64, |hash, _| (hash ^ 0x61).wrapping_mul(0x100000001b3));
        assert_eq!(hash(b"a"), rounds_of_one_byte);
    }

    #[test]
    fn bad_input_is_refused() {
        assert_eq!(run(b""), Answer::INVALID_INPUT);
        assert_eq!(run(b"bad"), Answer::INVALID_INPUT);
        assert_eq!(run(b"badger"), Answer::INVALID_INPUT);
        assert!(matches!(run(b" bad"), Answer::Result(_)));
        assert!(matches!(run(b"\xff\x00"), Answer::Result(_)));
    }

    #[test]
    fn spin_answers_as_usual() {
        assert_eq!(spin_milliseconds(b"spin 250"), Some(250));
        assert_eq!(run(b"spin 0"), Answer::Result(format!("{:016x}", hash(b"spin 0"))));
    }

    #[test]
    fn a_line_that_only_looks_like_spin_is_ordinary_text() {
        for line in ["spin", "spin ", "spin x", "spin -1", "spin 1 ", "spinning 1", "Spin 1"] {
            assert_eq!(spin_milliseconds(line.as_bytes()), None, "for '{line}'");
            assert!(matches!(run(line.as_bytes()), Answer::Result(_)), "for '{line}'");
        }
    }

    #[test]
    fn nobody_can_spin_for_ever() {
        assert_eq!(run(b"spin 60001"), SPIN_TOO_LONG);
        assert_eq!(run(b"spin 18446744073709551615"), SPIN_TOO_LONG);
    }
}
