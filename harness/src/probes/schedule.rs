//! Who is next: orders of the steps of several threads, drawn from a seed.
//!
//! Two ways take turns, because each finds what the other misses. A *random walk* draws anew at each step, and mixes the
//! threads finely. *Priorities* are drawn once, the first that can go on always does, and at a few steps, also drawn, it becomes
//! the last: so a thread is kept waiting for long at one place. A mistake that needs few such changes is found with a chance
//! that is known (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010).

use std::collections::BTreeMap;

/// Whoever may be given a turn: 0 for the clients together, 1 for the main thread, 2 for the first worker.
pub type Slot = u32;

/// A thread that had so many turns in a row, while others could go on, goes behind them: it may be waiting for one of them.
const LONGEST_STREAK: usize = 64;

/// The fractional part of the golden ratio.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// So many orders, one after the other, take turns in every way that there is.
pub const WAYS: usize = 3;

/// One order, drawn while it goes on.
#[derive(Clone, Debug)]
pub struct Schedule {
    random: fastrand::Rng,
    way: Way,
    steps: usize,
    streak: (Slot, usize),
    interrupts: bool,
}

#[derive(Clone, Debug)]
enum Way {
    /// The last one goes on with this chance, in percent; otherwise anybody.
    Walk { stays: u32 },
    /// The greatest goes on; at these steps it becomes the least.
    Priorities { of: BTreeMap<Slot, u64>, changes: Vec<usize>, least: u64 },
}

impl Schedule {
    /// The schedule with this number out of those of a seed; `length`: how many steps it will have, more or less.
    pub fn new(seed: u64, number: usize, length: usize) -> Self {
        // Each schedule on its own: another number of draws in one changes nothing in the next.
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number as u64);
        let way = match number % WAYS {
            0 => Way::Walk { stays: random.u32(30..90) },
            _ => {
                // The first change of all orders together is spread evenly: the golden ratio leaves no large gap.
                let part = (fastrand::Rng::with_seed(seed).f64() + number as f64 * GOLDEN).fract();
                let first = (part * length as f64) as usize;
                let more = (1..random.usize(1..=4)).map(|_| random.usize(0..length.max(1)));
                let changes = std::iter::once(first).chain(more).collect();
                Way::Priorities { of: BTreeMap::new(), changes, least: u64::from(u32::MAX) }
            }
        };
        Self { random, way, steps: 0, streak: (0, 0), interrupts: false }
    }

    /// The same, with waits that are interrupted now and then.
    #[must_use]
    pub fn with_interrupts(self) -> Self {
        Self { interrupts: true, ..self }
    }

    /// Whether waits are interrupted now and then.
    pub fn interrupts(&self) -> bool {
        self.interrupts
    }

    /// How many steps there were.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Which of these goes on; there is at least one.
    pub fn choose(&mut self, slots: &[Slot]) -> Slot {
        let random = &mut self.random;
        let last = self.streak.0;
        let tired = self.streak.1 >= LONGEST_STREAK && slots.len() > 1;
        let chosen = match &mut self.way {
            Way::Walk { stays } => match slots.contains(&last) && !tired && random.u32(0..100) < *stays {
                true => last,
                false => slots[random.usize(0..slots.len())],
            },
            Way::Priorities { of, changes, least } => {
                let mut first = |of: &mut BTreeMap<Slot, u64>| {
                    let rank = |slot: &Slot| {
                        *of.entry(*slot).or_insert_with(|| random.u64(u64::from(u32::MAX)..u64::MAX))
                    };
                    slots.iter().copied().max_by_key(rank).unwrap_or(last)
                };
                let chosen = first(of);
                if changes.contains(&self.steps) || (tired && chosen == last) {
                    *least -= 1;
                    of.insert(chosen, *least);
                    first(of)
                } else {
                    chosen
                }
            }
        };
        self.steps += 1;
        self.streak = (chosen, if chosen == last { self.streak.1 + 1 } else { 1 });
        chosen
    }

    /// One of `n` numbers from 0 on.
    pub fn draw(&mut self, n: u64) -> u64 {
        self.random.u64(0..n.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64, number: usize) -> Vec<Slot> {
        let mut schedule = Schedule::new(seed, number, 40);
        (0..40).map(|_| schedule.choose(&[0, 1, 2, 3])).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_order_and_another_one_another() {
        for number in 0..6 {
            assert_eq!(order(1, number), order(1, number));
        }
        assert_ne!(order(1, 0), order(2, 0));
        let different: std::collections::BTreeSet<_> = (0..12).map(|number| order(1, number)).collect();
        assert!(different.len() > 8, "{}", different.len());
    }

    #[test]
    fn priorities_change_only_where_they_were_drawn_to() {
        let order = order(1, 1);
        let switches = order.windows(2).filter(|two| two[0] != two[1]).count();
        assert!(switches <= 2, "{order:?}");
    }

    #[test]
    fn nobody_goes_on_for_ever_while_others_could() {
        for number in 0..6 {
            let mut schedule = Schedule::new(3, number, 1000);
            let order: Vec<Slot> = (0..1000).map(|_| schedule.choose(&[1, 2])).collect();
            let longest = order.chunk_by(|a, b| a == b).map(<[Slot]>::len).max().unwrap();
            assert!(longest <= 4 * LONGEST_STREAK, "{number}: {longest}");
        }
    }

    #[test]
    fn only_who_can_go_on_is_chosen() {
        for number in 0..6 {
            let mut schedule = Schedule::new(5, number, 10);
            assert!((0..100).all(|step| schedule.choose(&[step % 5, 9]) != 7));
            assert_eq!(schedule.choose(&[4]), 4);
        }
    }
}
