//! Threads that do what they are told, and a way to see that nothing more will happen by itself.
//!
//! A thread is *at rest* if it sleeps in futex(2) or epoll_wait(2) without a time limit. [`Crew::settle`] looks at all
//! threads of the crew twice. If both times each of them sleeps in such a call, and the kernel has not counted a switch of any
//! of them in between, then there was a moment, between the two rounds, at which all of them slept. At that moment
//! nobody was left who could wake one of them but the test itself, which does nothing but look. So they sleep until the
//! test goes on: "it sleeps" is then a fact, not a guess, and takes no time to find out.

use std::fs;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// What a thread of the crew is told to do.
type Order<T> = Box<dyn FnOnce() -> T + Send>;

/// Some threads. Each either waits for an order or carries one out, and may sleep in the middle of it.
pub struct Crew<T> {
    members: Vec<Member<T>>,
}

struct Member<T> {
    orders: Sender<Order<T>>,
    answer: Arc<Mutex<Option<T>>>,
    busy: bool,
    /// Its folder in /proc.
    folder: String,
    thread: JoinHandle<()>,
}

impl<T: Send + 'static> Crew<T> {
    pub fn new(count: usize) -> Crew<T> {
        Crew { members: (0..count).map(|_| Member::start()).collect() }
    }

    /// Whether this thread has nothing to do.
    pub fn is_free(&self, member: usize) -> bool {
        !self.members[member].busy
    }

    /// Gives an order to a thread that is free.
    pub fn order(&mut self, member: usize, order: impl FnOnce() -> T + Send + 'static) {
        let member = &mut self.members[member];
        assert!(!member.busy);
        member.busy = true;
        member.orders.send(Box::new(order)).unwrap();
    }

    /// Waits until nothing more happens by itself; what the threads have answered meanwhile, and which. Who has not
    /// answered sleeps in the middle of an order.
    pub fn settle(&mut self) -> Vec<(usize, T)> {
        let look = || self.members.iter().map(|member| at_rest(&member.folder)).collect::<Option<Vec<_>>>();
        let mut before = None;
        loop {
            let now = look();
            if now.is_some() && now == before {
                break;
            }
            before = now;
            thread::yield_now();
        }
        let mut answers = Vec::new();
        for (number, member) in self.members.iter_mut().enumerate() {
            if let Some(answer) = member.answer.lock().unwrap().take() {
                member.busy = false;
                answers.push((number, answer));
            }
        }
        answers
    }

    /// Sends all home. Who still sleeps is left behind; a test that fails has such.
    pub fn dismiss(self) {
        for Member { orders, busy, thread, .. } in self.members {
            drop(orders);
            if !busy {
                thread.join().unwrap();
            }
        }
    }
}

impl<T: Send + 'static> Member<T> {
    fn start() -> Member<T> {
        let (orders, inbox) = channel::<Order<T>>();
        let (introduce, introduced) = channel();
        let answer = Arc::new(Mutex::new(None));
        let thread = thread::spawn({
            let answer = Arc::clone(&answer);
            move || {
                let myself = fs::read_link("/proc/thread-self").unwrap();
                introduce.send(format!("/proc/{}", myself.display())).unwrap();
                for order in inbox {
                    let result = order();
                    *answer.lock().unwrap() = Some(result);
                }
            }
        });
        Member { orders, answer, busy: false, folder: introduced.recv().unwrap(), thread }
    }
}

/// How often the kernel has switched away from the thread, if it is at rest now. A thread that has panicked is, for ever.
fn at_rest(folder: &str) -> Option<String> {
    let read = |file| fs::read_to_string(format!("{folder}/{file}"));
    let (Ok(call), Ok(status)) = (read("syscall"), read("status")) else { return Some("gone".to_owned()) };
    // `running`, or the number of the call in which the thread is blocked.
    let call = call.split_whitespace().next()?.parse().ok()?;
    let waits = [libc::SYS_futex, libc::SYS_epoll_wait, libc::SYS_epoll_pwait].contains(&call);
    // A thread that has been woken, and whose processor has not heard of it yet, is still in its call, but sleeps no more.
    let sleeps = status.lines().any(|line| line.starts_with("State:\tS"));
    (waits && sleeps).then(|| status.lines().filter(|line| line.contains("ctxt_switches")).collect())
}

#[test]
fn a_crew_settles_only_when_all_sleep_or_have_answered() {
    let (sender, receiver) = channel();
    let mut crew = Crew::new(2);
    crew.order(0, move || receiver.recv().unwrap());
    assert_eq!(crew.settle(), []);
    assert!(!crew.is_free(0));
    crew.order(1, move || {
        sender.send((0..100_000).sum::<u64>()).unwrap();
        7
    });
    assert_eq!(crew.settle(), [(0, 4_999_950_000), (1, 7)]);
    crew.dismiss();
}
