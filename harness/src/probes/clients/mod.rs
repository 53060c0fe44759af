//! Clients: many connections at once from one thread, scripted bytes in, bytes and times out.

mod client;

pub use client::{Client, Link};

use crate::{error::HarnessError, submission::launch::nobody_forks};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, connect, getsockname, setsockopt, socket, sockopt,
    },
};
use std::os::fd::{AsFd, AsRawFd};

/// The number of a client in its [`Clients`].
pub type ClientId = usize;

/// So many bytes there is room for at most in a client that does not read.
pub const LITTLE_ROOM: usize = 4096;

/// All clients of one server. Dropped, those that are still there go away with a reset: where a server closes first, the kernel
/// would keep its port from everybody for a minute (`TIME_WAIT`), and a check starts hundreds of servers.
#[derive(Debug)]
pub struct Clients {
    server: u16,
    list: Vec<Client>,
}

impl Clients {
    /// No client yet, of the server on this port of the loopback address.
    pub fn new(server: u16) -> Self {
        Self { server, list: Vec::new() }
    }

    /// Begins to connect. The connection is there once its [`Link`] says so.
    ///
    /// # Errors
    ///
    /// When the harness has no descriptor or port left.
    pub fn connect(&mut self) -> Result<ClientId, HarnessError> {
        self.open(None)
    }

    /// As [`Clients::connect`], for a client that does not read and has hardly any room for what it is sent.
    ///
    /// # Errors
    ///
    /// As [`Clients::connect`].
    pub fn connect_deaf(&mut self) -> Result<ClientId, HarnessError> {
        // It must be set before the handshake, which announces it.
        let id = self.open(Some(LITTLE_ROOM))?;
        self.list[id].reading = false;
        self.list[id].deaf = true;
        Ok(id)
    }

    /// From now on a deaf client reads, and has room.
    pub fn hear(&mut self, id: ClientId) {
        const ROOM: usize = 1 << 18;
        let client = &mut self.list[id];
        client.reading = true;
        client.deaf = false;
        if let Some(socket) = &client.socket {
            // With the least buffer the kernel would drop what does not fit, and send it again later and later.
            let _ = setsockopt(socket, sockopt::RcvBuf, &ROOM);
        }
        client.pump();
    }

    /// From now on nobody looks at what this client gets: one of a crowd that wants nothing.
    pub fn ignore(&mut self, id: ClientId) {
        self.list[id].reading = false;
    }

    fn open(&mut self, receive_buffer: Option<usize>) -> Result<ClientId, HarnessError> {
        let failed = |e: Errno| HarnessError::system("connect a client", e);
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).map_err(failed)?;
        // What a script sends in one go is one packet, and what it sends apart is two.
        setsockopt(&socket, sockopt::TcpNoDelay, &true).map_err(failed)?;
        send_at_once(&socket);
        if let Some(bytes) = receive_buffer {
            setsockopt(&socket, sockopt::RcvBuf, &bytes).map_err(failed)?;
        }
        let link = match connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, self.server)) {
            Ok(()) => Link::Open,
            Err(Errno::EINPROGRESS) => Link::Connecting,
            Err(Errno::ECONNREFUSED) => Link::Refused,
            Err(e) => return Err(failed(e)),
        };
        let port = getsockname::<SockaddrIn>(socket.as_raw_fd()).map_err(failed)?.port();
        self.list.push(Client::new(socket, port, link));
        Ok(self.list.len() - 1)
    }

    /// Sends these bytes behind what is still to be sent.
    pub fn send(&mut self, id: ClientId, bytes: &[u8]) {
        self.list[id].out.extend_from_slice(bytes);
        self.list[id].pump();
    }

    /// Closes the sending side once everything is sent.
    pub fn finish(&mut self, id: ClientId) {
        self.list[id].finish = true;
        self.list[id].pump();
    }

    /// Closes the connection in good order.
    pub fn close(&mut self, id: ClientId) {
        let _guard = nobody_forks();
        self.list[id].socket = None;
        self.list[id].link = Link::Closed;
    }

    /// Goes away with a reset: the server loses the connection and all that is on its way.
    pub fn reset(&mut self, id: ClientId) {
        if let Some(socket) = &self.list[id].socket {
            let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
            // A connection that is gone already needs no reset.
            let _ = setsockopt(socket, sockopt::Linger, &at_once);
        }
        self.close(id);
    }

    /// Everybody who is still there closes in good order.
    pub fn close_all(&mut self) {
        (0..self.list.len()).for_each(|id| self.close(id));
    }

    /// The client with this number.
    pub fn get(&self, id: ClientId) -> &Client {
        &self.list[id]
    }

    /// Every client with its number.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        self.list.iter().enumerate()
    }

    /// Sends and receives what can be without waiting. True if anything moved.
    pub fn pump(&mut self) -> bool {
        let (ids, mut fds): (Vec<ClientId>, Vec<PollFd<'_>>) = self.waiting().unzip();
        // One question for all of them: most have nothing to do most of the time.
        if !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(ready) if ready > 0) {
            return false;
        }
        let ready: Vec<ClientId> =
            ids.into_iter().zip(fds).filter(|(_, fd)| fd.any() == Some(true)).map(|(id, _)| id).collect();
        ready.into_iter().fold(false, |moved, id| self.list[id].pump() | moved)
    }

    /// What to wait for until there may be something to do.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.waiting().map(|(_, fd)| fd)
    }

    /// The clients that wait for something, and for what.
    fn waiting(&self) -> impl Iterator<Item = (ClientId, PollFd<'_>)> {
        self.iter().filter_map(|(id, client)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, client.reading && client.link == Link::Open);
            let writes =
                client.link == Link::Connecting || (client.link == Link::Open && !client.has_sent_all());
            flags.set(PollFlags::POLLOUT, writes);
            let socket = client.socket.as_ref().filter(|_| !flags.is_empty())?;
            Some((id, PollFd::new(socket.as_fd(), flags)))
        })
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        (0..self.list.len()).for_each(|id| self.reset(id));
    }
}

/// Lets a socket send as soon as the other end has room. Some machines pace what they send (BBR): then a packet may lie
/// there for longer than a kernel puts off an acknowledgement, and looks as if it waited for room.
pub fn send_at_once(socket: &impl AsFd) {
    // Every kernel has it; see tcp(7), TCP_CONGESTION.
    let _ = setsockopt(socket, sockopt::TcpCongestion, &"reno".into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::port::{is_free, pick};
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
    };

    /// Pumps until the condition holds; a test that never gets there is ended by the runner.
    fn pump_until(clients: &mut Clients, condition: impl Fn(&Clients) -> bool) {
        while !condition(clients) {
            clients.pump();
            let mut fds: Vec<PollFd<'_>> = clients.poll_fds().collect();
            poll(&mut fds, 10u8).unwrap();
        }
    }

    #[test]
    fn thirty_clients_are_served_from_one_thread() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut clients = Clients::new(listener.local_addr().unwrap().port());
        let server = std::thread::spawn(move || {
            let streams: Vec<_> = (0..30).map(|_| listener.accept().unwrap().0).collect();
            for mut stream in streams {
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                stream.write_all(line.to_uppercase().as_bytes()).unwrap();
            }
        });
        let ids: Vec<ClientId> = (0..30).map(|_| clients.connect().unwrap()).collect();
        for id in &ids {
            clients.send(*id, format!("client {id}\n").as_bytes());
        }
        pump_until(&mut clients, |clients| clients.iter().all(|(_, c)| c.link() == Link::Ended));
        server.join().unwrap();
        for id in ids {
            assert_eq!(clients.get(id).lines(), [format!("CLIENT {id}").as_bytes()]);
        }
    }

    #[test]
    fn an_answer_that_is_cut_short_is_not_a_line() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut clients = Clients::new(listener.local_addr().unwrap().port());
        let id = clients.connect().unwrap();
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"one\ntw").unwrap();
        drop(stream);
        pump_until(&mut clients, |clients| clients.get(id).link() == Link::Ended);
        assert_eq!(
            (clients.get(id).lines(), clients.get(id).received()),
            (vec![&b"one"[..]], &b"one\ntw"[..])
        );
        assert_eq!(clients.get(id).answers(), 1);
    }

    /// A server that has closed its connection first, and is gone; whether its port can be bound again after `end`.
    fn port_is_free_after(end: impl FnOnce(Clients)) -> bool {
        let port = pick().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
        let mut clients = Clients::new(port.number());
        let id = clients.connect().unwrap();
        drop(listener.accept().unwrap());
        drop(listener);
        pump_until(&mut clients, |clients| clients.get(id).link() == Link::Ended);
        end(clients);
        is_free(port.number()).unwrap()
    }

    #[test]
    fn dropped_clients_leave_the_port_free_and_those_that_close_do_not() {
        assert!(port_is_free_after(drop));
        assert!(!port_is_free_after(|mut clients| clients.close_all()));
    }

    #[test]
    fn nobody_listening_is_refused() {
        let port = pick().unwrap();
        let mut clients = Clients::new(port.number());
        let id = clients.connect().unwrap();
        pump_until(&mut clients, |clients| clients.get(id).link() != Link::Connecting);
        assert_eq!(clients.get(id).link(), Link::Refused);
    }
}
