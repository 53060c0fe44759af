//! The limit for tiny tasks: one thread, one edge-triggered epoll set, every task computed on the spot. There is no
//! hand-off, so no server with one can take fewer steps; and one long task makes everybody wait.

use std::io::{self, ErrorKind, Read, Write};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use peers::{arguments, compute, each_line, write_answer};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
/// Most bytes read at once.
const READ_SIZE: usize = 16 * 1024;

struct Connection {
    stream: TcpStream,
    /// A line that has not come to its end.
    unfinished: Vec<u8>,
    /// What the client's socket had no room for. Nothing more is read before it has gone.
    unsent: Vec<u8>,
}

/// Memory that all connections share.
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

fn main() -> io::Result<()> {
    let (port, _) = arguments();
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slab<Connection> = Slab::new();
    let mut buffers = Buffers { input: vec![0; READ_SIZE], output: Vec::new() };
    loop {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        for event in &events {
            match event.token() {
                LISTENER => accept_all(&poll, &listener, &mut connections)?,
                Token(key) => {
                    let Some(connection) = connections.get_mut(key) else { continue };
                    if connection.serve(event, &mut buffers).is_err() {
                        connections.remove(key);
                    }
                }
            }
        }
    }
}

fn accept_all(poll: &Poll, listener: &TcpListener, connections: &mut Slab<Connection>) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let entry = connections.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(entry.key()), both)?;
        entry.insert(Connection { stream, unfinished: Vec::new(), unsent: Vec::new() });
    }
}

impl Connection {
    /// Reads, computes and answers. Fails when the connection is at its end.
    fn serve(&mut self, event: &Event, buffers: &mut Buffers) -> io::Result<()> {
        if event.is_writable() && !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(&unsent)?;
        }
        while self.unsent.is_empty() {
            let count = match self.stream.read(&mut buffers.input) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.answer(&buffers.input[..count], &mut buffers.output)?;
            // A short read has emptied the socket, and epoll will tell of anything new. Not so its end.
            if count < READ_SIZE && !event.is_read_closed() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers all whole lines with one write.
    fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        output.clear();
        let respond = |line: &[u8]| write_answer(compute(line), output);
        if self.unfinished.is_empty() {
            let used = each_line(input, respond);
            self.unfinished.extend_from_slice(&input[used..]);
        } else {
            self.unfinished.extend_from_slice(input);
            let used = each_line(&self.unfinished, respond);
            self.unfinished.drain(..used);
        }
        self.send(output)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }
}
