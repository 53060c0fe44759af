//! The descriptor ledger: what each descriptor of the server stands for, kept from the calls it made.
//!
//! Objects, not numbers: a number is used again as soon as it is closed, and `dup` gives one object two numbers.

use super::{event::Call, syscalls::Class};
use std::collections::BTreeMap;

/// An index into [`Ledger::objects`]; never used again.
pub type ObjectId = usize;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network socket that neither listens nor was accepted.
    Socket,
    /// A socket that stays on this machine by its nature (`AF_UNIX`, `AF_NETLINK`): the system log, name services.
    LocalSocket,
    /// A listening socket.
    Listener,
    /// An accepted connection, with the client's port where it could be learnt.
    Connection(Option<u16>),
    /// An eventfd.
    Eventfd,
    /// An epoll instance.
    Epoll,
    /// A signalfd.
    Signalfd,
    /// A timerfd.
    Timerfd,
    /// An end of a pipe or of a socket pair.
    Pipe,
}

impl Kind {
    /// What evidence says behind a descriptor's number.
    pub fn words(self) -> &'static str {
        match self {
            Self::Socket => ", a socket",
            Self::LocalSocket => ", a local socket",
            Self::Listener => ", the listener",
            Self::Connection(_) => ", a client socket",
            Self::Eventfd => ", an eventfd",
            Self::Epoll => ", an epoll instance",
            Self::Signalfd => ", a signalfd",
            Self::Timerfd => ", a timerfd",
            Self::Pipe => ", a pipe",
        }
    }

    /// Whether a server must close it: it makes these for its clients and its loop.
    pub fn is_to_be_closed(self) -> bool {
        self.is_socket() || matches!(self, Self::Eventfd | Self::Epoll)
    }

    /// Whether bytes of a client go through it.
    pub fn is_socket(self) -> bool {
        matches!(self, Self::Socket | Self::Listener | Self::Connection(_))
    }
}

/// An epoll registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The epoll instance.
    pub epoll: ObjectId,
    /// The event mask, as in epoll_ctl(2).
    pub mask: u32,
}

/// Something that a descriptor stands for.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// The number it had first.
    pub first_fd: i32,
    /// The thread that made it.
    pub made_by: i32,
    /// The call that made it.
    pub made_with: &'static str,
    /// The port that it was bound to, for a network socket.
    pub port: Option<u16>,
    /// The address in the submission's code at which it was made, where that is known.
    pub made_at: Option<u64>,
    /// How many descriptors stand for it now.
    pub open: usize,
    /// Bytes read from it and taken out of it, in all.
    pub bytes_in: u64,
    /// Bytes written to it, in all.
    pub bytes_out: u64,
    /// Every way in which it is or was registered with epoll.
    pub watches: Vec<Watch>,
}

/// The ledger of one process.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    objects: Vec<Object>,
    table: BTreeMap<i32, ObjectId>,
    /// The newest connection of each client's port.
    ports: BTreeMap<u16, ObjectId>,
}

impl Ledger {
    /// Every object there ever was.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        self.objects.iter().enumerate()
    }

    /// The object with this id.
    pub fn object(&self, id: ObjectId) -> &Object {
        &self.objects[id]
    }

    /// What this number stands for now.
    pub fn at(&self, fd: i32) -> Option<ObjectId> {
        self.table.get(&fd).copied()
    }

    /// The open descriptors.
    pub fn open(&self) -> impl Iterator<Item = (i32, ObjectId)> {
        self.table.iter().map(|(fd, id)| (*fd, *id))
    }

    /// The connection whose client has this port; the newest, should the port have been used twice.
    pub fn connection(&self, client_port: u16) -> Option<ObjectId> {
        self.ports.get(&client_port).copied()
    }

    /// A descriptor that stands for this object, while it is open.
    pub fn descriptor_of(&self, object: ObjectId) -> Option<i32> {
        self.open().find(|(_, open)| *open == object).map(|(fd, _)| fd)
    }

    /// A call is about to be made. Closing happens here: from now on the number may stand for something else, and the
    /// call that makes it so may come back before this one does.
    pub fn enter(&mut self, name: &str, args: &[u64; 6]) {
        const CLOSE_RANGE_CLOEXEC: u64 = 4;
        match name {
            "close" => self.unlink(args[0] as i32),
            "close_range" if args[2] & CLOSE_RANGE_CLOEXEC == 0 => {
                let (first, last) = (args[0] as u32, args[1] as u32);
                let fds: Vec<i32> =
                    self.table.keys().copied().filter(|fd| (first..=last).contains(&(*fd as u32))).collect();
                for fd in fds {
                    self.unlink(fd);
                }
            }
            _ => {}
        }
    }

    /// A call came back. `peer` is the client's port for an accepted connection, `pair` the two descriptors of a pipe,
    /// `mask` the event mask of epoll_ctl.
    pub fn leave(&mut self, tid: i32, call: &Call, extra: Extra) {
        if call.error().is_some() {
            return;
        }
        let made = |kind| Some((kind, call.result as i32));
        let new = match call.class {
            Class::Socket if matches!(call.args[0] as i32, libc::AF_INET | libc::AF_INET6) => {
                made(Kind::Socket)
            }
            Class::Socket => made(Kind::LocalSocket),
            Class::Accept => made(Kind::Connection(extra.peer)),
            Class::Eventfd => made(Kind::Eventfd),
            Class::EpollCreate => made(Kind::Epoll),
            Class::Timerfd => made(Kind::Timerfd),
            // With a descriptor given, signalfd changes that one.
            Class::Signalfd if call.fd() == -1 => made(Kind::Signalfd),
            _ => None,
        };
        if let Some((kind, fd)) = new {
            self.make(kind, fd, tid, call);
        }
        match call.class {
            Class::Pipe => {
                for fd in extra.pair.into_iter().flatten() {
                    self.make(Kind::Pipe, fd, tid, call);
                }
            }
            Class::Bind => {
                if let Some(id) = call.object {
                    self.objects[id].port = extra.bound;
                }
            }
            Class::Listen => {
                if let Some(id) = call.object.filter(|id| self.objects[*id].kind == Kind::Socket) {
                    self.objects[id].kind = Kind::Listener;
                }
            }
            Class::Duplicate if call.name != "fcntl" || is_dup(call.args[1]) => {
                self.link(call.result as i32, call.object);
            }
            Class::Receive | Class::Send => {
                let bytes = extra.bytes.unwrap_or(call.result as u64);
                if let Some(id) = call.reads().filter(|_| !is_peek(call)) {
                    self.objects[id].bytes_in += bytes;
                }
                if let Some(id) = call.writes() {
                    self.objects[id].bytes_out += bytes;
                }
            }
            Class::EpollControl => self.watch(call, extra.mask),
            _ => {}
        }
    }

    fn watch(&mut self, call: &Call, mask: u32) {
        let (Some(epoll), Some(id)) = (call.object, self.at(call.args[2] as i32)) else { return };
        if call.args[1] as i32 != libc::EPOLL_CTL_DEL {
            self.objects[id].watches.push(Watch { epoll, mask });
        }
    }

    fn make(&mut self, kind: Kind, fd: i32, tid: i32, call: &Call) {
        self.objects.push(Object {
            kind,
            first_fd: fd,
            made_by: tid,
            made_with: call.name,
            made_at: call.caller,
            port: None,
            open: 0,
            bytes_in: 0,
            bytes_out: 0,
            watches: Vec::new(),
        });
        let id = self.objects.len() - 1;
        if let Kind::Connection(Some(port)) = kind {
            self.ports.insert(port, id);
        }
        self.link(fd, Some(id));
    }

    /// The number stands for the object from now on; whatever it stood for is closed (dup2).
    fn link(&mut self, fd: i32, id: Option<ObjectId>) {
        if let (Some(id), Some(old)) = (id, self.at(fd))
            && id == old
        {
            return;
        }
        self.unlink(fd);
        if let Some(id) = id {
            self.table.insert(fd, id);
            self.objects[id].open += 1;
        }
    }

    fn unlink(&mut self, fd: i32) {
        if let Some(id) = self.table.remove(&fd) {
            self.objects[id].open -= 1;
        }
    }
}

/// What a call says beside its arguments and its result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra {
    /// The client's port of an accepted connection.
    pub peer: Option<u16>,
    /// The port of an address that a socket was bound to.
    pub bound: Option<u16>,
    /// The two descriptors of a pipe or a socket pair.
    pub pair: Option<[i32; 2]>,
    /// The event mask that epoll_ctl was given.
    pub mask: u32,
    /// Bytes moved, where the result counts something else (messages).
    pub bytes: Option<u64>,
}

fn is_dup(command: u64) -> bool {
    matches!(command as i32, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC)
}

/// A look that leaves the bytes where they are.
fn is_peek(call: &Call) -> bool {
    let flags = match call.name {
        "recvfrom" => call.args[3],
        "recvmsg" => call.args[2],
        "recvmmsg" => call.args[3],
        _ => return false,
    };
    flags as i32 & libc::MSG_PEEK != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(class: Class, name: &'static str, args: [u64; 6], object: Option<ObjectId>, result: i64) -> Call {
        Call { name, class, args, object, second: None, caller: None, entered: 0, result }
    }

    /// A ledger after the call, made with whatever its first argument stands for.
    fn after(
        ledger: &mut Ledger,
        class: Class,
        name: &'static str,
        args: [u64; 6],
        result: i64,
        extra: Extra,
    ) {
        let object = ledger.at(args[0] as i32);
        ledger.enter(name, &args);
        ledger.leave(1, &call(class, name, args, object, result), extra);
    }

    fn accepted(ledger: &mut Ledger, fd: i64, port: u16) -> ObjectId {
        after(
            ledger,
            Class::Accept,
            "accept4",
            [3, 0, 0, 0, 0, 0],
            fd,
            Extra { peer: Some(port), ..Extra::default() },
        );
        ledger.connection(port).unwrap()
    }

    #[test]
    fn a_number_that_is_used_again_is_another_object() {
        let mut ledger = Ledger::default();
        let first = accepted(&mut ledger, 7, 50_000);
        after(&mut ledger, Class::Close, "close", [7, 0, 0, 0, 0, 0], 0, Extra::default());
        let second = accepted(&mut ledger, 7, 50_001);
        assert_ne!(first, second);
        assert_eq!((ledger.object(first).open, ledger.object(second).open), (0, 1));
    }

    #[test]
    fn an_object_is_open_while_one_of_its_numbers_is() {
        let mut ledger = Ledger::default();
        let id = accepted(&mut ledger, 7, 50_000);
        after(&mut ledger, Class::Duplicate, "dup", [7, 0, 0, 0, 0, 0], 9, Extra::default());
        after(&mut ledger, Class::Close, "close", [7, 0, 0, 0, 0, 0], 0, Extra::default());
        assert_eq!((ledger.object(id).open, ledger.at(9)), (1, Some(id)));
        after(
            &mut ledger,
            Class::Duplicate,
            "fcntl",
            [9, libc::F_GETFL as u64, 0, 0, 0, 0],
            2,
            Extra::default(),
        );
        assert_eq!(ledger.at(2), None, "fcntl that does not duplicate changes nothing");
        after(&mut ledger, Class::Close, "close", [9, 0, 0, 0, 0, 0], 0, Extra::default());
        assert_eq!(ledger.object(id).open, 0);
    }

    #[test]
    fn an_accept_that_overtakes_a_close_keeps_its_number() {
        let mut ledger = Ledger::default();
        accepted(&mut ledger, 7, 50_000);
        let close = [7, 0, 0, 0, 0, 0];
        let object = ledger.at(7);
        ledger.enter("close", &close);
        let second = accepted(&mut ledger, 7, 50_001);
        ledger.leave(1, &call(Class::Close, "close", close, object, 0), Extra::default());
        assert_eq!(ledger.at(7), Some(second));
    }

    #[test]
    fn bytes_that_were_only_looked_at_do_not_count() {
        let mut ledger = Ledger::default();
        let id = accepted(&mut ledger, 7, 50_000);
        let peek = [7, 0, 100, libc::MSG_PEEK as u64, 0, 0];
        after(&mut ledger, Class::Receive, "recvfrom", peek, 10, Extra::default());
        assert_eq!(ledger.object(id).bytes_in, 0);
        after(&mut ledger, Class::Receive, "recvfrom", [7, 0, 100, 0, 0, 0], 10, Extra::default());
        after(&mut ledger, Class::Receive, "read", [7, 0, 100, 0, 0, 0], -11, Extra::default());
        assert_eq!(ledger.object(id).bytes_in, 10);
    }

    #[test]
    fn bytes_that_go_from_one_to_another_count_on_both_sides() {
        let mut ledger = Ledger::default();
        let from = accepted(&mut ledger, 7, 50_000);
        let to = accepted(&mut ledger, 8, 50_001);
        let splice = call(Class::Receive, "splice", [7, 0, 8, 0, 100, 0], Some(from), 10);
        ledger.leave(1, &Call { second: Some(to), ..splice }, Extra::default());
        let sendfile = call(Class::Send, "sendfile", [7, 8, 0, 100, 0, 0], Some(from), 3);
        ledger.leave(1, &Call { second: Some(to), ..sendfile }, Extra::default());
        let moved = |id| (ledger.object(id).bytes_in, ledger.object(id).bytes_out);
        assert_eq!((moved(from), moved(to)), ((10, 3), (3, 10)));
    }

    #[test]
    fn close_range_closes_a_range() {
        let mut ledger = Ledger::default();
        for fd in 5..9 {
            accepted(&mut ledger, fd, 50_000 + fd as u16);
        }
        ledger.enter("close_range", &[6, u64::from(u32::MAX), 0, 0, 0, 0]);
        assert_eq!(ledger.open().map(|(fd, _)| fd).collect::<Vec<_>>(), [5]);
        // The kernel refuses a range that ends before it begins.
        ledger.enter("close_range", &[5, 3, 0, 0, 0, 0]);
        assert_eq!(ledger.open().count(), 1);
    }

    #[test]
    fn a_registration_names_its_epoll_instance() {
        let mut ledger = Ledger::default();
        after(&mut ledger, Class::EpollCreate, "epoll_create1", [0; 6], 4, Extra::default());
        after(&mut ledger, Class::Eventfd, "eventfd2", [0; 6], 5, Extra::default());
        let add = [4, libc::EPOLL_CTL_ADD as u64, 5, 0, 0, 0];
        after(&mut ledger, Class::EpollControl, "epoll_ctl", add, 0, Extra { mask: 1, ..Extra::default() });
        let eventfd = ledger.at(5).unwrap();
        assert_eq!(ledger.object(eventfd).watches, [Watch { epoll: ledger.at(4).unwrap(), mask: 1 }]);
    }
}
