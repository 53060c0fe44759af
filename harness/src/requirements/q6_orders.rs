//! Q6: right in any order of steps.

use super::{
    Context, Requirement,
    common::{died, not_yet},
    queue::{
        Lab,
        model::{
            Call,
            Op::{self, Close, Length, Pop, Push, TryPush},
            State, explain,
        },
    },
    search::{self, Words},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::{
        schedule::{Schedule, WAYS},
        session::{Deed, Session, Wait},
        tracer::syscalls::Class,
    },
};
use std::time::Duration;

/// Q6.
pub struct Orders;

const WORDS: Words<'_> = Words {
    compares: false,
    expected: "in every order of the threads' steps, what the calls return is what they could return one after the other, and whoever \
               waits has to",
    hint: "after each wait look at the queue again, in a `while` loop; look at it and change it under one lock; and signal whoever can \
           go on now, with the lock held: several may sleep, for different reasons",
};

/// The harness's own deadline for one order.
const DEADLINE: Duration = Duration::from_secs(10);

/// So many orders are tried for one of a whole server: a queue with a few calls goes through one in a tenth of the time, and some
/// mistakes show in one of a hundred only.
const ORDERS: usize = 5;

/// How many steps an order has, before one is known.
const LENGTH: usize = 60;

/// What each thread does.
type Script = &'static [&'static [Op]];

/// The size of the queue, and a script.
const SCENES: [(usize, Script); 9] = [
    (1, &[&[Push(1), Push(2)], &[Push(3), Push(4)], &[Pop, Pop], &[Pop, Pop]]),
    (2, &[&[Pop], &[Pop], &[Push(1), Push(2), Push(3)], &[Pop]]),
    (1, &[&[Push(1), Push(2)], &[Push(3)], &[Pop, Pop, Pop], &[Pop, Pop], &[Close]]),
    (2, &[&[Push(1), Push(2), Push(3)], &[Push(4)], &[Push(5)], &[Pop, Pop, Pop], &[Pop, Pop]]),
    (1, &[&[TryPush(1), Push(2)], &[TryPush(3), Length], &[Pop], &[Pop, Close]]),
    (2, &[&[Push(1), Push(2), Push(3)], &[Push(4)], &[Close], &[Push(5), TryPush(6)], &[Pop, Length]]),
    (1, &[&[Pop], &[Pop], &[Pop], &[Push(1), Push(2)], &[Push(3), Close]]),
    (1, &[&[TryPush(1)], &[TryPush(2)], &[TryPush(3)], &[Length]]),
    (2, &[&[Pop], &[Pop], &[Pop], &[Close]]),
];

impl Requirement for Orders {
    fn id(&self) -> Id {
        Id::new('Q', 6)
    }

    fn title(&self) -> &'static str {
        "right in any order of the threads' steps"
    }

    fn about(&self) -> &'static str {
        "A queue that works nearly always does not work.\n\n\
         Forced: four or five threads push, pop, ask and close at the same time, on a queue of 1 or 2, again and again: they take turns \
         from one lock, wait or signal to the next, in orders drawn from the seed. Now and then a wait ends for no reason, as POSIX allows, or \
         a thread that was woken is overtaken on its way back to the mutex.\n\n\
         Decides: there is an order in which the calls could have returned the same one after the other, each between its begin and \
         its end (the queue is linearizable); and when every thread sleeps, each call that still waits has to. --schedules N tries \
         five times N orders."
    }

    fn cost(&self) -> u32 {
        30
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut lengths = [LENGTH; SCENES.len()];
        let orders = context.schedules * ORDERS;
        for number in 0..orders {
            let at = number / WAYS % SCENES.len();
            let mut schedule = Schedule::new(context.seed, number, lengths[at]);
            if let Some(found) = one_order(context, number, SCENES[at], &mut schedule)? {
                return Ok(found);
            }
            lengths[at] = schedule.steps();
        }
        Ok(Finding::pass(WORDS.expected, format!("so it was in {orders} orders")))
    }
}

fn one_order(
    context: &Context<'_>,
    number: usize,
    (capacity, script): (usize, Script),
    schedule: &mut Schedule,
) -> Result<Option<Finding>, Trouble> {
    let mut lab = Lab::launch(context, capacity, script.len())?;
    let mut deeds = Vec::new();
    for (thread, ops) in script.iter().enumerate() {
        ops.iter().for_each(|op| lab.note((thread, *op)));
        deeds.push(Deed::Send(lab.client(thread), ops.iter().flat_map(|op| op.line()).collect()));
    }
    let order: Vec<usize> = lab.clients().to_vec();
    let returned = |session: &mut Session| {
        order.iter().zip(script).all(|(id, ops)| session.clients.get(*id).answers() >= ops.len())
    };
    let explored = lab.session.explore(schedule, deeds, DEADLINE, returned)?;
    let fail = |observed: String, place: String| {
        Ok(Some(search::told(context, number, &WORDS, &explored, observed, place)))
    };
    let place = match &explored.wait {
        Wait::Ended => return fail("the program ended".into(), died(&lab.session).unwrap_or_default()),
        Wait::Busy(snapshot) => {
            return Ok(Some(not_yet(WORDS.expected, &search::which(context, number), &snapshot.describe())));
        }
        Wait::Stalled(snapshot) => snapshot.describe(),
        Wait::Reached => String::new(),
    };
    let calls = calls(&lab);
    if !explain(&[State::new(capacity)], &calls, true).is_empty() {
        return Ok(None);
    }
    let finished: Vec<Call> = calls.iter().filter(|call| call.answer.is_some()).cloned().collect();
    let story = lab.story();
    match explain(&[State::new(capacity)], &finished, true).first() {
        Some(state) => fail(
            format!("{story}. Every thread sleeps, and not every call that waits has to ({state})"),
            place,
        ),
        None => fail(format!("CAPACITY {capacity}; {story}. No order of these calls explains that"), place),
    }
}

/// All calls, with the moments at which the driver's threads began them and had their results.
fn calls(lab: &Lab) -> Vec<Call> {
    let session = &lab.session;
    let moments = |thread: usize| {
        let connection = session.tracer.ledger().connection(session.clients.get(lab.client(thread)).port());
        let (mut begun, mut ended) = (0, Vec::new());
        let events = session.tracer.events().iter().enumerate();
        for (at, call) in events.filter_map(|(at, event)| Some((at, event.call()?))) {
            match call.class {
                Class::Receive if call.result > 0 && call.object == connection && ended.is_empty() => {
                    begun = at
                }
                Class::Send if call.result > 0 && call.object == connection => ended.push((call.entered, at)),
                _ => {}
            }
        }
        (begun, ended)
    };
    let moments: Vec<(usize, Vec<(usize, usize)>)> = (0..lab.clients().len()).map(moments).collect();
    lab.calls()
        .iter()
        .map(|(thread, place)| {
            let (first, ended) = &moments[*thread];
            // The driver's thread does one thing after the other: the next begins when the answer before it is sent.
            let begun =
                place.checked_sub(1).map_or(*first, |before| ended.get(before).map_or(*first, |end| end.1));
            lab.call((*thread, *place), begun, ended.get(*place).map_or(usize::MAX, |end| end.0))
        })
        .collect()
}
