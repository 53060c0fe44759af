//! The table of all clients: a number leads to its connection at once, or to nobody if that one has gone.

use super::connection::Connection;
use crate::handoff::ConnectionId;

/// A slot for each connection. Slots are used again, numbers are not: who comes with the number of a connection that has
/// gone finds its slot empty, or somebody else there with another number.
pub struct Connections {
    slots: Vec<Option<Connection>>,
    /// The empty slots. The one that was emptied last is filled first: its memory is still in the cache.
    free: Vec<usize>,
    /// How many connections there have been.
    accepted: u64,
}

/// So many slots that malloc(3) maps memory of its own for them: only what is touched becomes resident, and the table grows
/// by mremap(2), which copies nothing and leaves nothing behind.
const SLOTS_AT_FIRST: usize = 2048;

impl Default for Connections {
    fn default() -> Connections {
        Connections { slots: Vec::with_capacity(SLOTS_AT_FIRST), free: Vec::new(), accepted: 0 }
    }
}

impl Connections {
    /// The number that the next connection gets.
    pub fn next_id(&self) -> ConnectionId {
        ConnectionId::new(self.accepted + 1, self.free.last().copied().unwrap_or(self.slots.len()))
    }

    /// Takes a connection in. It has the number that [`Connections::next_id`] gave.
    pub fn insert(&mut self, connection: Connection) {
        debug_assert_eq!(connection.id(), self.next_id());
        self.accepted += 1;
        match self.free.pop() {
            Some(slot) => self.slots[slot] = Some(connection),
            None => self.slots.push(Some(connection)),
        }
    }

    /// The connection with this number, if it is still there.
    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots.get_mut(id.slot())?.as_mut().filter(|connection| connection.id() == id)
    }

    /// Gives the connection with this number away.
    pub fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.get_mut(id)?;
        self.free.push(id.slot());
        self.slots[id.slot()].take()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.slots.iter_mut().flatten()
    }

    /// Gives all of them away.
    pub fn drain(&mut self) -> impl Iterator<Item = Connection> {
        self.free.clear();
        self.slots.drain(..).flatten()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::sys::Socket;
    use std::fs::File;
    use std::os::fd::OwnedFd;

    fn insert(table: &mut Connections) -> ConnectionId {
        let id = table.next_id();
        // Any descriptor will do.
        let socket = Socket::from(OwnedFd::from(File::open("/dev/null").unwrap()));
        table.insert(Connection::new(id, socket));
        id
    }

    #[test]
    fn a_slot_is_used_again_and_its_old_number_leads_to_nobody() {
        let mut table = Connections::default();
        let (first, second) = (insert(&mut table), insert(&mut table));
        assert!(table.remove(first).is_some_and(|connection| connection.id() == first));
        let third = insert(&mut table);
        assert_eq!(third.slot(), first.slot());
        assert_ne!(third, first);
        assert!(table.get_mut(first).is_none() && table.remove(first).is_none());
        assert!(table.get_mut(third).is_some_and(|connection| connection.id() == third));
        assert!(table.get_mut(second).is_some_and(|connection| connection.id() == second));
    }

    #[test]
    fn it_is_empty_when_all_have_gone() {
        let mut table = Connections::default();
        assert!(table.is_empty());
        let ids = [insert(&mut table), insert(&mut table), insert(&mut table)];
        assert!(table.remove(ids[1]).is_some());
        assert_eq!(table.iter_mut().map(|connection| connection.id()).collect::<Vec<_>>(), [ids[0], ids[2]]);
        assert_eq!(table.drain().count(), 2);
        assert!(table.is_empty() && table.get_mut(ids[0]).is_none());
        let next = insert(&mut table);
        assert!(!ids.contains(&next));
    }
}
