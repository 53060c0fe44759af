//! What the tracer has seen, in words.

use super::{Tracer, event::Call, ledger::ObjectId, thread::Thread};

impl Tracer {
    /// `worker 2 (tid 4711)`, also for a thread that has ended.
    pub fn name(&self, tid: i32) -> String {
        self.threads.get(&tid).map_or_else(|| format!("tid {tid}"), Thread::name)
    }

    /// `file.c:12 (function)`, for the address in the submission to which a call returns, as far as debug information tells.
    pub fn place(&self, caller: Option<u64>) -> Option<String> {
        self.origin.as_ref()?.place(caller?)
    }

    /// ` at file.c:12 (function)`, or nothing.
    pub fn at_place(&self, caller: Option<u64>) -> String {
        self.place(caller).map_or_else(String::new, |place| format!(" at {place}"))
    }

    /// `worker 1 (tid 8), sendto(fd 7, a client socket) at server.c:120 (flush)`.
    pub fn describe_call(&self, tid: i32, call: &Call) -> String {
        let words = |id: ObjectId| self.ledger.object(id).kind.words();
        let what = call.object.map_or("", words);
        let other = call.second.map_or(String::new(), |id| format!("; on the other side{}", words(id)));
        let (name, place) = (self.name(tid), self.at_place(call.caller));
        format!("{name}, {}(fd {}{what}{other}){place}", call.name, call.fd())
    }

    /// `fd 7, a client socket, made by accept4 at server.c:80 (accept_clients)`.
    pub fn describe_object(&self, id: ObjectId) -> String {
        let object = self.ledger.object(id);
        let (fd, what, made_with) = (object.first_fd, object.kind.words(), object.made_with);
        format!("fd {fd}{what}, made by {made_with}{}", self.at_place(object.made_at))
    }
}
