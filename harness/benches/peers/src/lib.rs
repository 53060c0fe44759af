//! What all Rust peers share: the protocol and the computation of `pool_server`, without its limits on lines.

pub mod connection;

use std::io::Write;

/// How often the hash goes over the line, as in `pool_server`.
const ROUNDS: usize = 64;

/// The arguments `PORT WORKERS`. Ends the program with status 2 if they are wrong.
pub fn arguments() -> (u16, usize) {
    let numbers: Vec<usize> = std::env::args().skip(1).flat_map(|text| text.parse()).collect();
    match numbers[..] {
        [port @ 1..=65535, workers @ 1..=1024] => (port as u16, workers),
        _ => {
            eprintln!("usage: PORT WORKERS");
            std::process::exit(2);
        }
    }
}

/// What one line gives: a hash, or nothing for bad input.
pub type Outcome = Option<u64>;

/// Computes the answer to one line.
pub fn compute(line: &[u8]) -> Outcome {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    if line.is_empty() || line.starts_with(b"bad") {
        return None;
    }
    Some((0..ROUNDS).fold(OFFSET_BASIS, |hash, _| {
        line.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
    }))
}

/// Appends an answer to what is to be sent.
pub fn write_answer(outcome: Outcome, out: &mut Vec<u8>) {
    let written = match outcome {
        Some(hash) => writeln!(out, "result: {hash:016x}"),
        None => writeln!(out, "ERROR: invalid input"),
    };
    written.expect("writing to memory does not fail");
}

/// Cuts `input` into its whole lines and gives each to `take`; says how many bytes they had.
pub fn each_line(input: &[u8], mut take: impl FnMut(&[u8])) -> usize {
    let mut start = 0;
    while let Some(length) = input[start..].iter().position(|&byte| byte == b'\n') {
        let line = &input[start..start + length];
        take(line.strip_suffix(b"\r").unwrap_or(line));
        start += length + 1;
    }
    start
}
