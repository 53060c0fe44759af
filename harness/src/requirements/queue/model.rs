//! What a task queue may do: its operations, one after the other, and whether calls that overlap can be explained by any order.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
};

/// An operation on the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Push(u32),
    TryPush(u32),
    Pop,
    Close,
    Length,
}

impl Op {
    /// The line that makes the driver do it.
    pub fn line(self) -> Vec<u8> {
        let text = match self {
            Self::Push(task) => format!("push {task}\n"),
            Self::TryPush(task) => format!("try_push {task}\n"),
            Self::Pop => "pop\n".into(),
            Self::Close => "close\n".into(),
            Self::Length => "length\n".into(),
        };
        text.into_bytes()
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push(task) => write!(f, "push({task})"),
            Self::TryPush(task) => write!(f, "try_push({task})"),
            Self::Pop => f.write_str("pop()"),
            Self::Close => f.write_str("close()"),
            Self::Length => f.write_str("length()"),
        }
    }
}

/// What an operation returned, as the driver says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    True,
    False,
    Null,
    Done,
    /// A task, or a length.
    Number(u32),
    /// Something that no operation returns.
    Odd(String),
}

impl Answer {
    /// Reads the driver's line, without its end.
    pub fn read(line: &[u8]) -> Self {
        match line {
            b"true" => Self::True,
            b"false" => Self::False,
            b"NULL" => Self::Null,
            b"closed" => Self::Done,
            _ => {
                let text = String::from_utf8_lossy(line);
                text.parse().map_or_else(|_| Self::Odd(text.into_owned()), Self::Number)
            }
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::True => f.write_str("true"),
            Self::False => f.write_str("false"),
            Self::Null => f.write_str("NULL"),
            Self::Done => f.write_str("done"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Odd(text) => write!(f, "{text:?}"),
        }
    }
}

/// A queue at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub capacity: usize,
    pub inside: VecDeque<u32>,
    pub closed: bool,
}

impl State {
    /// An empty queue.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, inside: VecDeque::new(), closed: false }
    }

    /// The queue behind an operation that has returned this, if it can have; `ordered`: tasks come out in their order, as they have to.
    /// Where that is not what is asked, any task that is inside may.
    fn behind(&self, op: Op, answer: &Answer, ordered: bool) -> Option<Self> {
        if let (Op::Pop, Answer::Number(task), false) = (op, answer, ordered) {
            let mut after = self.clone();
            let at = after.inside.iter().position(|inside| inside == task)?;
            after.inside.remove(at);
            return Some(after);
        }
        self.after(op).filter(|(right, _)| right == answer).map(|(_, after)| after)
    }

    /// What the operation returns now, and the queue behind it; `None`: it has to wait.
    pub fn after(&self, op: Op) -> Option<(Answer, Self)> {
        let mut after = self.clone();
        let full = self.inside.len() >= self.capacity;
        let answer = match op {
            Op::Push(_) | Op::TryPush(_) if self.closed => Answer::False,
            Op::Push(_) if full => return None,
            Op::TryPush(_) if full => Answer::False,
            Op::Push(task) | Op::TryPush(task) => {
                after.inside.push_back(task);
                Answer::True
            }
            Op::Pop => match after.inside.pop_front() {
                Some(task) => Answer::Number(task),
                None if self.closed => Answer::Null,
                None => return None,
            },
            Op::Close => {
                after.closed = true;
                Answer::Done
            }
            Op::Length => Answer::Number(self.inside.len() as u32),
        };
        Some((answer, after))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: Vec<String> = self.inside.iter().map(u32::to_string).collect();
        let inside = if tasks.is_empty() { "nothing".to_owned() } else { tasks.join(", ") };
        write!(f, "inside: {inside}; CAPACITY {}", self.capacity)?;
        if self.closed { f.write_str("; closed") } else { Ok(()) }
    }
}

/// One call of an operation.
#[derive(Clone, Debug)]
pub struct Call {
    pub op: Op,
    /// `None`: it waits.
    pub answer: Option<Answer>,
    /// Moments on one clock: it took effect after the one and before the other.
    pub begun: usize,
    pub ended: usize,
}

/// In which states the queue may be after these calls, if it began in one of `before`: each took effect at one moment between
/// its begin and its end, and what waits has to wait. None if nothing explains the answers.
///
/// A search over all orders that remembers where it has been (Wing and Gong, "Testing and Verifying Concurrent Objects", 1993;
/// the memory is Lowe's, "Testing for Linearizability", 2017). At most 64 calls.
pub fn explain(before: &[State], calls: &[Call], ordered: bool) -> Vec<State> {
    let returned: Vec<&Call> = calls.iter().filter(|call| call.answer.is_some()).collect();
    let waits = |state: &State| {
        calls.iter().filter(|call| call.answer.is_none()).all(|call| state.after(call.op).is_none())
    };
    let all = (0..returned.len()).fold(0_u64, |all, at| all | 1 << at);
    let mut seen: HashSet<(u64, State)> = HashSet::new();
    let mut open: Vec<(u64, State)> = before.iter().map(|state| (0, state.clone())).collect();
    let mut ends = Vec::new();
    while let Some((done, state)) = open.pop() {
        if !seen.insert((done, state.clone())) {
            continue;
        }
        if done == all {
            if waits(&state) {
                ends.push(state);
            }
            continue;
        }
        let left = || (0..returned.len()).filter(|at| done & 1 << at == 0);
        // Who has ended comes before whoever had not begun by then.
        let first_end = left().map(|at| returned[at].ended).min().unwrap_or(usize::MAX);
        for at in left().filter(|at| returned[*at].begun <= first_end) {
            let Call { op, answer, .. } = returned[at];
            if let Some(after) = answer.as_ref().and_then(|answer| state.behind(*op, answer, ordered)) {
                open.push((done | 1 << at, after));
            }
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use Op::{Close, Length, Pop, Push, TryPush};

    fn call(op: Op, answer: Option<Answer>, begun: usize, ended: usize) -> Call {
        Call { op, answer, begun, ended }
    }

    fn number(n: u32) -> Option<Answer> {
        Some(Answer::Number(n))
    }

    const YES: Option<Answer> = Some(Answer::True);
    const NO: Option<Answer> = Some(Answer::False);

    fn ends(capacity: usize, calls: &[Call]) -> usize {
        explain(&[State::new(capacity)], calls, true).len()
    }

    #[test]
    fn what_comes_out_came_in_first() {
        let pushes = [call(Push(1), YES, 0, 1), call(Push(2), YES, 2, 3)];
        let with = |more: Call| [&pushes[..], &[more]].concat();
        assert_eq!(ends(2, &with(call(Pop, number(1), 4, 5))), 1);
        assert_eq!(ends(2, &with(call(Pop, number(2), 4, 5))), 0, "last in, first out");
        let bag = |n| explain(&[State::new(2)], &with(call(Pop, number(n), 4, 5)), false).len();
        assert_eq!((bag(1), bag(2), bag(3)), (1, 1, 0), "where the order is not asked");
        assert_eq!(ends(1, &pushes), 0, "more than CAPACITY");
        assert_eq!(ends(2, &with(call(Length, number(2), 4, 5))), 1);
        assert_eq!(ends(2, &with(call(Pop, Some(Answer::Null), 4, 5))), 0);
    }

    #[test]
    fn calls_that_overlap_may_take_effect_either_way() {
        let pushes = [call(Push(1), YES, 0, 3), call(Push(2), YES, 1, 2)];
        assert_eq!(ends(2, &pushes), 2);
        let pops = [call(Pop, number(2), 4, 5), call(Pop, number(1), 6, 7)];
        assert_eq!(ends(2, &[&pushes[..], &pops[..]].concat()), 1);
        let twice = [call(Pop, number(2), 4, 7), call(Pop, number(2), 5, 6)];
        assert_eq!(ends(2, &[&pushes[..], &twice[..]].concat()), 0, "one task, two takers");
    }

    #[test]
    fn who_waits_must_have_to() {
        assert_eq!(ends(1, &[call(Pop, None, 0, 9)]), 1);
        assert_eq!(ends(1, &[call(Push(1), None, 0, 9)]), 0, "there is room");
        assert_eq!(ends(1, &[call(Push(1), YES, 0, 1), call(Push(2), None, 2, 9)]), 1);
        assert_eq!(ends(1, &[call(Push(1), YES, 0, 1), call(Pop, None, 2, 9)]), 0, "a lost wake-up");
        assert_eq!(ends(1, &[call(Close, Some(Answer::Done), 0, 1), call(Pop, None, 2, 9)]), 0);
    }

    #[test]
    fn after_close_nothing_comes_in_and_what_is_inside_comes_out() {
        let closed = [call(Push(1), YES, 0, 1), call(Close, Some(Answer::Done), 2, 3)];
        let with = |more: Call| ends(2, &[&closed[..], &[more]].concat());
        assert_eq!(with(call(Push(2), NO, 4, 5)) + with(call(TryPush(2), NO, 4, 5)), 2);
        assert_eq!(with(call(Push(2), YES, 4, 5)) + with(call(TryPush(2), YES, 4, 5)), 0);
        assert_eq!((with(call(Pop, number(1), 4, 5)), with(call(Pop, Some(Answer::Null), 4, 5))), (1, 0));
        assert_eq!(ends(1, &[call(TryPush(1), NO, 0, 1)]), 0, "refused for nothing");
    }

    #[test]
    fn the_drivers_words_are_understood() {
        for (line, answer) in [("true", Answer::True), ("NULL", Answer::Null), ("17", Answer::Number(17))] {
            assert_eq!(Answer::read(line.as_bytes()), answer);
        }
        assert_eq!(Answer::read(b"-1"), Answer::Odd("-1".into()));
        assert_eq!(State::new(2).to_string(), "inside: nothing; CAPACITY 2");
        assert_eq!(String::from_utf8(TryPush(3).line()).unwrap(), "try_push 3\n");
    }
}
