//! Who works here, and what each worker has in hand. Guarded by the task queue's mutex, of whose state it is a part.

use std::time::Instant;

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
    /// Is at work on the ticket's task, which is overdue from `deadline` on. `None`: it may take for ever, or that it
    /// takes too long has been reported.
    Working {
        ticket: Ticket,
        deadline: Option<Instant>,
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

    /// The worker has taken this task, and is to be done with it by `deadline`, if there is one.
    pub fn take(&mut self, seat: Seat, ticket: Ticket, deadline: Option<Instant>) {
        self.seats[seat.0] = State::Working { ticket, deadline };
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

    /// The tickets of all tasks in hand whose deadline is not after `now`; each is returned once.
    pub fn take_overdue(&mut self, now: Instant) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        for seat in &mut self.seats {
            if let State::Working { ticket, deadline } = seat
                && deadline.take_if(|deadline| *deadline <= now).is_some()
            {
                tickets.push(*ticket);
            }
        }
        tickets
    }

    /// When the next task in hand becomes overdue.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadline = |seat: &State| match *seat {
            State::Working { deadline, .. } => deadline,
            _ => None,
        };
        self.seats.iter().filter_map(deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(10));
        let ticket = |sequence| Ticket { connection: ConnectionId(1), sequence };
        let mut roster = roster(3, 3);
        let [first, second, third] = [(); 3].map(|()| roster.employ().unwrap());
        roster.take(first, ticket(1), Some(late));
        roster.take(second, ticket(2), Some(soon));
        roster.take(third, ticket(3), None);
        assert_eq!(roster.at_work(), 3);
        assert_eq!(roster.next_deadline(), Some(soon));
        assert_eq!(roster.take_overdue(now), []);
        roster.put_down(second);
        assert_eq!(roster.at_work(), 2);
        assert_eq!(roster.next_deadline(), Some(late));
        assert_eq!(roster.take_overdue(late), [ticket(1)]);
        assert_eq!(roster.take_overdue(late), []);
        assert_eq!(roster.next_deadline(), None);
    }
}
