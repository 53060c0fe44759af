//! What a server prints: read as it comes, so that the server never waits for it, and kept in bounds.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// How much of a server's output is kept: this many bytes of its beginning and as many of its end.
const KEPT_OUTPUT: usize = 16 * 1024;

/// What a process printed on one stream, bounded: the beginning and the end are kept.
#[derive(Debug)]
pub struct Captured {
    pipe: Option<File>,
    head: Vec<u8>,
    tail: Vec<u8>,
    dropped: u64,
}

impl Captured {
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { pipe: Some(File::from(pipe)), head: Vec::new(), tail: Vec::new(), dropped: 0 })
    }

    /// Takes what has come; never blocks. True if there was anything.
    pub fn pump(&mut self) -> bool {
        // Bounded, so that a server that prints without end does not keep the harness from everything else.
        const MOST_READS: usize = 16;
        let mut buffer = [0; 16 * 1024];
        let mut any = false;
        for _ in 0..MOST_READS {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => self.keep(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            }
            any = true;
        }
        any
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(KEPT_OUTPUT - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(rest);
        // Cut now and then rather than at every read.
        if self.tail.len() > 4 * KEPT_OUTPUT {
            let surplus = self.tail.len() - KEPT_OUTPUT;
            self.tail.drain(..surplus);
            self.dropped += surplus as u64;
        }
    }

    /// The stream to wait on, while it is open.
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// What was printed; what was left out in the middle is said.
    pub fn text(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        let tail = String::from_utf8_lossy(&self.tail);
        match self.dropped {
            0 => format!("{head}{tail}"),
            n => format!("{head}\n[{n} bytes left out]\n{tail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let (read, mut write) = io::pipe().unwrap();
        let mut captured = Captured::new(read.into()).unwrap();
        let line = format!("{}\n", "x".repeat(1023));
        write.write_all(b"first\n").unwrap();
        for _ in 0..200 {
            write.write_all(line.as_bytes()).unwrap();
            assert!(captured.pump());
        }
        write.write_all(b"last\n").unwrap();
        captured.pump();
        let text = captured.text();
        assert!(text.starts_with("first\n") && text.ends_with("last\n") && text.contains("bytes left out"));
        assert!(text.len() < 6 * KEPT_OUTPUT);
    }
}
