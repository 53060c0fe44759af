//! The parser: however the network cuts the bytes, the requests are the same, and they are those of a plain reading.

use std::fmt;

use pool_server::protocol::{Line, LineBuffer, MAX_LINE};
use proptest::prelude::*;

/// A piece of what a client sends. Long ones print short.
#[derive(Clone)]
enum Piece {
    Bytes(Vec<u8>),
    Letters(usize),
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::Letters(count) => vec![b'x'; *count],
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Bytes(bytes) => write!(out, "{}", bytes.escape_ascii()),
            Piece::Letters(count) => write!(out, "x*{count}"),
        }
    }
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        4 => Just(Piece::Bytes(b"\n".to_vec())),
        2 => Just(Piece::Bytes(b"\r\n".to_vec())),
        1 => Just(Piece::Bytes(b"\r".to_vec())),
        1 => Just(Piece::Bytes(b"STATS".to_vec())),
        2 => prop::collection::vec(any::<u8>(), 1..4).prop_map(Piece::Bytes),
        1 => (MAX_LINE - 2..MAX_LINE + 3).prop_map(Piece::Letters),
    ];
    prop::collection::vec(piece, 0..12)
}

/// What the parser makes of these packets.
fn parsed<'a>(packets: impl Iterator<Item = &'a [u8]>) -> Vec<Line> {
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

/// The plain reading: cut at each end of line; the first line that is too long is the last, and an unfinished one counts
/// only for that.
fn read_plainly(stream: &[u8]) -> Vec<Line> {
    let mut parts: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
    let unfinished = parts.pop().unwrap_or_default();
    let text = |part: &[u8]| part.strip_suffix(b"\r").unwrap_or(part).to_vec();
    let mut lines = Vec::new();
    for part in parts {
        lines.push(match text(part) {
            long if long.len() > MAX_LINE => return [lines, vec![Line::TooLong]].concat(),
            stats if stats == b"STATS" => Line::Stats,
            task => Line::Task(task),
        });
    }
    if text(unfinished).len() > MAX_LINE {
        lines.push(Line::TooLong);
    }
    lines
}

proptest! {
    #![proptest_config(crate::cases(512))]

    #[test]
    fn any_split_of_the_bytes_gives_the_same_lines(
        pieces in pieces(),
        cuts in prop::collection::vec(prop_oneof![0_usize..4, 1_usize..1200], 1..40),
    ) {
        let stream: Vec<u8> = pieces.iter().flat_map(Piece::bytes).collect();
        let mut rest = &stream[..];
        let mut packets: Vec<&[u8]> = Vec::new();
        for cut in cuts {
            let (packet, after) = rest.split_at(cut.min(rest.len()));
            packets.push(packet);
            rest = after;
        }
        packets.push(rest);
        let plain = read_plainly(&stream);
        prop_assert_eq!(parsed(packets.into_iter()), &plain[..]);
        prop_assert_eq!(parsed(std::iter::once(&stream[..])), &plain[..], "in one piece");
        prop_assert_eq!(parsed(stream.chunks(1)), plain, "byte by byte");
    }
}
