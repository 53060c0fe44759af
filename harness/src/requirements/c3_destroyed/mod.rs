//! C3: every mutex, condition variable, semaphore and read-write lock that was used is destroyed before the process exits.

mod books;
mod observe;

use super::{Context, Requirement, common::not_yet, traffic::Ending};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
};
use books::Sort;

/// C3.
pub struct Destroyed;

/// How many objects the evidence names.
const MOST_PLACES: usize = 4;

/// What the server is doing when SIGTERM comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    /// Tasks wait behind held workers, after clients of every kind.
    Busy,
    /// Nothing, after a few clients.
    Idle,
}

const SITUATIONS: [Situation; 2] = [Situation::Busy, Situation::Idle];

impl Situation {
    fn words(self) -> &'static str {
        match self {
            Self::Busy => "SIGTERM with tasks queued, after clients of every kind",
            Self::Idle => "SIGTERM while idle, after a few clients",
        }
    }
}

/// Objects that were used and not destroyed, all made at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    sort: Sort,
    count: usize,
    /// The variable's name, where it has one.
    name: Option<String>,
    /// Where it was initialised, if by a call, and where it was first used.
    made_at: String,
    used_at: String,
    /// An attempt to destroy it was refused, for this reason.
    refused: Option<String>,
}

/// What was seen in one situation.
#[derive(Clone, Debug)]
struct Observation {
    situation: Situation,
    /// The preloaded library spoke.
    markers: bool,
    /// Used and destroyed.
    destroyed: usize,
    left: Vec<Left>,
    /// Used, not destroyed, and perhaps no pthread objects to the program: C++'s `std::mutex` needs no destruction.
    unknown: usize,
    /// Why only tame clients could come, if so.
    spared: Option<String>,
    /// A deadline of the harness passed before SIGTERM; what the threads did.
    not_yet: Option<String>,
    ending: Ending,
}

impl Requirement for Destroyed {
    fn id(&self) -> Id {
        Id::new('C', 3)
    }

    fn title(&self) -> &'static str {
        "every mutex, condition variable and semaphore that was used is destroyed before the exit"
    }

    fn about(&self) -> &'static str {
        "What was locked, waited for, signalled or posted is destroyed before the process exits on SIGTERM, static \
         initialisers included, and a lock inside an allocation before that is freed.\n\n\
         Forced: SIGTERM (a) with tasks queued behind held workers, after clients of every kind have come and gone, as in C4; \
         (b) while idle, after a few clients.\n\n\
         Decides: the calls that the submission's own code makes, from the start to the exit: an object that was used and \
         for which no destroy call succeeded by then, or before its memory was initialised anew. Locks of libraries do \
         not count, nor named semaphores. A program that uses no pthread object (Rust's std::sync, Go) or is linked statically cannot \
         be judged."
    }

    fn cost(&self) -> u32 {
        5
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut last = None;
        for situation in SITUATIONS {
            let finding = judge(&observe::observe(context, situation)?);
            if finding.outcome != Outcome::Pass {
                return Ok(finding);
            }
            last.get_or_insert(finding);
        }
        Ok(last.expect("there is a situation"))
    }
}

fn judge(o: &Observation) -> Finding {
    let expected = "every mutex, condition variable, semaphore and read-write lock that was used is destroyed when the \
                    process exits on SIGTERM";
    let situation = o.situation.words();
    let untold =
        |observed: String, place: &str, hint: &str| Finding::inconclusive(expected, observed, place, hint);
    if !o.markers {
        return untold(
            "the program is not linked dynamically, so its pthread calls cannot be seen".to_owned(),
            "",
            "link it dynamically",
        );
    }
    if let Some(doing) = &o.not_yet {
        return not_yet(expected, "clients had come and gone", doing);
    }
    let exit_first = "see R3 first: the server must exit by itself";
    let how = match &o.ending {
        Ending::Exited => "the process exited",
        Ending::Killed => "SIGTERM killed the process",
        Ending::Crashed(how) => {
            return untold(format!("{situation}: the server crashed ({how}) before its end"), "", exit_first);
        }
        Ending::Never(doing) => {
            return untold(
                format!("{situation}: the server does not exit, so there is no moment to look at"),
                doing,
                exit_first,
            );
        }
        Ending::NotYet(doing) => return not_yet(expected, situation, doing),
    };
    if let Some(first) = o.left.first() {
        let count: usize = o.left.iter().map(|left| left.count).sum();
        let refused =
            first.refused.as_ref().map_or(String::new(), |why| format!(" (destroying it failed: {why})"));
        let and = if count > first.count { format!(", {count} in all") } else { String::new() };
        return Finding::fail(
            expected,
            format!("{situation}: {how} without destroying {}{refused}{and}", what(first)),
            o.left.iter().take(MOST_PLACES).map(place).collect::<Vec<_>>().join("; "),
            "destroy each at the end of what owns it: a pool's after its workers are joined, a connection's before it is \
             freed, a static one at the end of main",
        );
    }
    if o.unknown > 0 {
        return untold(
            format!(
                "the program uses locks of C++ ({} of them), which never call pthread_mutex_destroy",
                o.unknown
            ),
            "",
            "nothing to do: std::mutex and std::condition_variable look after themselves",
        );
    }
    if o.destroyed == 0 {
        return untold(
            "the program uses no pthread, C11 or semaphore object of its own: it synchronises otherwise"
                .to_owned(),
            "",
            "nothing to do: Rust's std::sync, for one, looks after itself",
        );
    }
    let but = match &o.spared {
        Some(how) => format!("; only ordinary clients came: with clients of every kind, {how}"),
        None => String::new(),
    };
    Finding::pass(expected, format!("{} objects were used and destroyed{but}", o.destroyed))
}

/// `the mutex `queue_lock``, `12 mutexes`.
fn what(left: &Left) -> String {
    let sort = left.sort.words(left.count);
    match (&left.name, left.count) {
        (Some(name), _) => format!("the {sort} `{name}`"),
        (None, 1) => format!("a {sort}"),
        (None, count) => format!("{count} {sort}"),
    }
}

fn place(left: &Left) -> String {
    let at = |deed: &str, place: &String| match place.is_empty() {
        true => String::new(),
        false => format!(", {deed}{place}"),
    };
    format!("{}{}{}", what(left), at("initialised", &left.made_at), at("first used", &left.used_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left() -> Left {
        Left {
            sort: Sort::Mutex,
            count: 1,
            name: Some("queue_lock".into()),
            made_at: String::new(),
            used_at: " at queue.c:12 (push)".into(),
            refused: None,
        }
    }

    fn right() -> Observation {
        Observation {
            situation: Situation::Idle,
            markers: true,
            destroyed: 4,
            left: Vec::new(),
            unknown: 0,
            spared: None,
            not_yet: None,
            ending: Ending::Exited,
        }
    }

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = right();
        change(&mut observation);
        judge(&observation).outcome
    }

    #[test]
    fn everything_destroyed_is_right() {
        assert_eq!(outcome(|_| {}), Outcome::Pass);
        assert_eq!(outcome(|o| o.spared = Some("it was killed by SIGPIPE".into())), Outcome::Pass);
    }

    #[test]
    fn what_is_left_fails_and_is_named() {
        let finding = judge(&Observation { left: vec![left()], ..right() });
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(
            finding.observed.ends_with("exited without destroying the mutex `queue_lock`"),
            "{finding:?}"
        );
        assert_eq!(finding.place, "the mutex `queue_lock`, first used at queue.c:12 (push)");
        let on_heap = Left { name: None, count: 3, made_at: " at server.c:8 (add)".into(), ..left() };
        let finding = judge(&Observation { left: vec![on_heap], ..right() });
        assert!(finding.place.starts_with("3 mutexes, initialised at server.c:8"), "{finding:?}");
        assert_eq!(outcome(|o| (o.left, o.ending) = (vec![left()], Ending::Killed)), Outcome::Fail);
    }

    #[test]
    fn what_cannot_be_seen_is_not_judged() {
        assert_eq!(outcome(|o| o.markers = false), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.destroyed = 0), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.unknown = 2), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.not_yet = Some("main".into())), Outcome::Inconclusive);
        for ending in
            [Ending::Never("main".into()), Ending::NotYet("main".into()), Ending::Crashed("SIGSEGV".into())]
        {
            assert_eq!(outcome(|o| (o.left, o.ending) = (vec![left()], ending)), Outcome::Inconclusive);
        }
    }
}
