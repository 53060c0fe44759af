//! Who works here, and what each worker has in hand. Guarded by the task queue's mutex, of whose state it is a part.

use std::time::{Duration, Instant};

use super::task::Ticket;
use crate::config::PoolSize;

/// A worker's place in the roster, from 0. A new worker may get the place of one who has retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat(pub usize);

/// One seat for each worker that there may ever be at a time.
#[derive(Debug)]
pub struct Roster {
    seats: Vec<State>,
    min: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Vacant,
    /// Looks for work.
    EmptyHanded,
    /// Has been at work on the ticket's task since then. `overdue`: that it takes too long has been reported.
    Working {
        ticket: Ticket,
        since: Instant,
        overdue: bool,
    },
}

impl Roster {
    /// `max` vacant seats.
    pub fn new(size: PoolSize) -> Roster {
        Roster { seats: vec![State::Vacant; size.max], min: size.min }
    }

    /// Gives a seat to a new worker, unless all are taken.
    pub fn employ(&mut self) -> Option<Seat> {
        let vacant = self.seats.iter().position(|&seat| seat == State::Vacant)?;
        self.seats[vacant] = State::EmptyHanded;
        Some(Seat(vacant))
    }

    /// Gives the seat back: the worker will not ask for work again.
    pub fn leave(&mut self, seat: Seat) {
        self.seats[seat.0] = State::Vacant;
    }

    /// The worker has taken this task.
    pub fn take(&mut self, seat: Seat, ticket: Ticket) {
        self.seats[seat.0] = State::Working { ticket, since: Instant::now(), overdue: false };
    }

    /// The worker has done its task.
    pub fn put_down(&mut self, seat: Seat) {
        self.seats[seat.0] = State::EmptyHanded;
    }

    /// How many workers there are.
    pub fn employed(&self) -> usize {
        self.seats.iter().filter(|&&seat| seat != State::Vacant).count()
    }

    /// How many of them have a task in hand.
    pub fn at_work(&self) -> usize {
        self.seats.iter().filter(|seat| matches!(seat, State::Working { .. })).count()
    }

    /// Whether there are more workers than there must be.
    pub fn can_spare_one(&self) -> bool {
        self.employed() > self.min
    }

    /// The tickets of all tasks that have been in hand for `limit` or longer at the time `now`; each is returned once.
    pub fn take_overdue(&mut self, now: Instant, limit: Duration) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        for seat in &mut self.seats {
            if let State::Working { ticket, since, overdue: overdue @ false } = seat
                && *since + limit <= now
            {
                *overdue = true;
                tickets.push(*ticket);
            }
        }
        tickets
    }

    /// Since when the oldest task that is not yet overdue has been in hand.
    pub fn longest_at_work(&self) -> Option<Instant> {
        let since = |seat: &State| match *seat {
            State::Working { since, overdue: false, .. } => Some(since),
            _ => None,
        };
        self.seats.iter().filter_map(since).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::ConnectionId;

    fn roster(min: usize, max: usize) -> Roster {
        Roster::new(PoolSize { min, max })
    }

    #[test]
    fn seats_are_given_lowest_first_and_again_after_a_leave() {
        let mut roster = roster(1, 2);
        assert_eq!([roster.employ(), roster.employ(), roster.employ()], [Some(Seat(0)), Some(Seat(1)), None]);
        assert!(roster.can_spare_one());
        roster.leave(Seat(0));
        assert!(!roster.can_spare_one());
        assert_eq!((roster.employed(), roster.employ()), (1, Some(Seat(0))));
    }

    #[test]
    fn a_task_is_overdue_once_and_only_while_in_hand() {
        let limit = Duration::from_secs(10);
        let ticket = |sequence| Ticket { connection: ConnectionId(1), sequence };
        let mut roster = roster(2, 2);
        let (first, second) = (roster.employ().unwrap(), roster.employ().unwrap());
        roster.take(first, ticket(1));
        roster.take(second, ticket(2));
        assert_eq!(roster.at_work(), 2);
        let start = roster.longest_at_work().unwrap();
        assert_eq!(roster.take_overdue(start, limit), []);
        roster.put_down(second);
        assert_eq!(roster.at_work(), 1);
        let late = Instant::now() + limit;
        assert_eq!(roster.take_overdue(late, limit), [ticket(1)]);
        assert_eq!(roster.take_overdue(late, limit), []);
        assert_eq!(roster.longest_at_work(), None);
    }
}
