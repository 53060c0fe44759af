//! R8: Helgrind finds nothing.

mod discipline;
mod inside;
mod observe;

use self::discipline::key;
use super::{Context, Requirement};
use crate::{
    error::Trouble,
    model::{Finding, Id, Note, Outcome},
    probes::helgrind::{self, Access, Race},
};

/// R8.
pub struct NoRaces;

/// The keys of its notes.
pub const NOTES: &[&str] = &[key::IO, key::WAIT, key::ORDER, key::COMPUTE, key::SIGNAL, key::WAKE];

const WORKERS: usize = 4;
const CLIENTS: usize = 30;

/// So many requests come first, one after the other. Among many, a lock that has nothing to do with it may happen to lie between
/// two accesses, and Helgrind takes it for protection; alone, nothing does.
const ALONE: usize = 4;

/// The mixed load is repeated: a race is only found between accesses that happen. In every other round the lines are long: Helgrind
/// lets one thread run at a time, and takes turns within a task only if that takes long.
const ROUNDS: usize = 6;

/// How the server's threads synchronise, as far as Helgrind would see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Synchronisation {
    /// The main thread and a worker share a pthread mutex or a semaphore.
    Pthread,
    /// The same by `<threads.h>`, which Helgrind follows only where the C library builds it on the pthread functions.
    C11,
    /// They share one, but idle workers wait for something else (a pipe, a futex).
    Partly,
    /// By something that makes no pthread calls.
    Unseen,
    /// There is nobody to synchronise with: no thread was ever started beside the main one.
    Alone,
}

/// What a short look with the tracer tells.
#[derive(Clone, Debug)]
struct Inside {
    synchronisation: Synchronisation,
    /// Somebody got a `result:`, as others should under Helgrind.
    computes: bool,
    /// How many connections may wait to be accepted.
    backlog: u64,
    /// What a teacher would write in the margin.
    notes: Vec<Note>,
}

/// How the run under Helgrind ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    /// After SIGTERM.
    Exited,
    /// By itself, before it was told to; so much was not seen.
    Early,
    /// It did not: all its threads sleep for good.
    Hangs,
    /// By a signal, before or after.
    Killed(String),
    /// Not by the deadline, or not ready by it.
    Late(&'static str),
}

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    synchronisation: Synchronisation,
    /// Without Helgrind the server computes.
    computes: bool,
    ended: Ended,
    /// Clients with an answer.
    answered: usize,
    /// Those of them whose answer was a `result:`.
    results: usize,
    races: Vec<Race>,
    notes: Vec<Note>,
}

impl Requirement for NoRaces {
    fn id(&self) -> Id {
        Id::new('R', 8)
    }

    fn title(&self) -> &'static str {
        "no data race: Helgrind reports 0 errors from 0 contexts"
    }

    fn about(&self) -> &'static str {
        "Every datum that two threads touch is protected, and the pthread functions are used as they are meant to be.\n\n\
         Forced: the server runs under Valgrind's Helgrind while one client asks alone, four times, and then 30 clients, 20 with \
         good and 10 with bad input, at the same time, three times over; then SIGTERM.\n\n\
         Decides: 0 errors, while workers are at work: a server that computes nothing for anybody has nothing that could \
         race, and that is no pass. Each error is shown with both accesses, their lines and the variable. A program that \
         synchronises by other means than pthread calls (std::sync in Rust, Go) cannot be judged by Helgrind, \
         which would report hundreds of races that are none: it gets `inconclusive`, never `fail`.\n\n\
         Beside the verdict stand notes, which cost nothing: habits with locks that were seen while the server was driven \
         into a full queue, long tasks, wake-ups for nothing and a shutdown."
    }

    fn cost(&self) -> u32 {
        7
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let inside = inside::look_inside(context)?;
        if matches!(inside.synchronisation, Synchronisation::Unseen | Synchronisation::Alone) {
            return Ok(judge(&Observation::before(inside)));
        }
        let notes = inside.notes.clone();
        let observation = observe::observe(context, inside);
        // Asked only when something went wrong: the question takes as long as half the answer.
        let failed =
            observation.as_ref().map_or(true, |seen| seen.ended != Ended::Exited || seen.answered == 0);
        if failed && let Err(missing) = helgrind::usable() {
            let hint =
                "install it: apt-get install valgrind libc6-dbg; `quest doctor` says what else is missing";
            let finding = Finding::inconclusive("Helgrind runs the server", missing, "", hint);
            return Ok(Finding { notes, ..finding });
        }
        Ok(judge(&observation?))
    }
}

impl Observation {
    /// Nothing has been seen under Helgrind yet.
    fn before(inside: Inside) -> Self {
        let Inside { synchronisation, computes, notes, .. } = inside;
        let (ended, races) = (Ended::Exited, Vec::new());
        Self { synchronisation, computes, ended, answered: 0, results: 0, races, notes }
    }
}

fn judge(o: &Observation) -> Finding {
    let finding = verdict(o);
    let said = |note: &Note| finding.outcome == Outcome::Fail && is_said(note, &o.races);
    Finding { notes: o.notes.iter().filter(|note| !said(note)).cloned().collect(), ..finding }
}

/// Whether one of Helgrind's errors says the same.
fn is_said(note: &Note, races: &[Race]) -> bool {
    races.iter().any(|race| match note.key.as_str() {
        key::ORDER => race.kind == "LockOrder",
        key::SIGNAL => race.accesses.iter().any(|access| access.what.contains("lock is not held")),
        _ => false,
    })
}

fn verdict(o: &Observation) -> Finding {
    let expected = "0 errors from 0 contexts under Helgrind, with 30 mixed clients at once and a SIGTERM";
    let cannot = |why: &str| {
        Finding::inconclusive(
            expected,
            why,
            "",
            "Helgrind follows pthread mutexes, condition variables and semaphores; a program that uses them can be judged",
        )
    };
    if o.synchronisation == Synchronisation::Alone {
        return Finding::fail(
            expected,
            "no thread was ever started beside the main thread: without workers at work there is nothing that could race",
            "",
            "leave this for later: first let workers compute and the main thread send what they found",
        );
    }
    if o.synchronisation == Synchronisation::Unseen {
        return cannot(
            "the main thread and the workers share no pthread lock: they synchronise by something that Helgrind does not see",
        );
    }
    if o.synchronisation == Synchronisation::Partly && !o.races.is_empty() {
        return cannot(
            "Helgrind reports errors, but the workers also wait for something that it does not follow",
        );
    }
    if o.synchronisation == Synchronisation::C11 && !o.races.is_empty() {
        return cannot(
            "Helgrind reports errors, but the threads synchronise through <threads.h>, which it may not follow here",
        );
    }
    if let Some(finding) = of_races(expected, &o.races) {
        return finding;
    }
    // 0 errors of a server at rest say nothing; but it may be Helgrind that keeps it from its work.
    if o.results == 0 && matches!(o.ended, Ended::Exited | Ended::Hangs) {
        let none =
            format!("0 errors, but of {} requests not one was answered with a `result:`", CLIENTS * ROUNDS);
        return match o.computes {
            false => Finding::fail(
                expected,
                format!("{none}: without workers at work there is nothing that could race"),
                "",
                "first let requests go all the way, from the event loop to a worker and back; then ask Helgrind",
            ),
            true => Finding::inconclusive(
                expected,
                format!("{none}, as they are without Helgrind"),
                "",
                "run it by hand: valgrind --tool=helgrind ./pool_server 9090",
            ),
        };
    }
    match &o.ended {
        Ended::Exited => {
            Finding::pass(expected, format!("0 errors from 0 contexts; {} requests answered", o.answered))
        }
        Ended::Early => Finding::inconclusive(
            expected,
            format!(
                "under Helgrind the server ended by itself after {} answers, so that little was seen",
                o.answered
            ),
            "",
            "run it by hand: valgrind --tool=helgrind ./pool_server 9090",
        ),
        // That it hangs is for R3 to say; what was asked here was seen.
        Ended::Hangs => Finding::pass(
            expected,
            format!(
                "0 errors from 0 contexts; {} requests answered; it did not end after SIGTERM",
                o.answered
            ),
        ),
        Ended::Killed(signal) => Finding::fail(
            expected,
            format!("the server was killed by {signal} under Helgrind, after {} answers", o.answered),
            "",
            "run it by hand: valgrind --tool=helgrind ./pool_server 9090",
        ),
        Ended::Late(what) => Finding::inconclusive(
            expected,
            format!(
                "under Helgrind the server {what} by the harness's own deadline; {} requests were answered",
                o.answered
            ),
            "",
            "run it by hand: valgrind --tool=helgrind ./pool_server 9090",
        ),
    }
}

/// The finding when Helgrind has found something.
pub(super) fn of_races(expected: &str, races: &[Race]) -> Option<Finding> {
    // Not the one that was noticed first: which that is depends on who was given the first task.
    let line = |race: &&Race| {
        let line = race.accesses.first().and_then(Access::line);
        (line.is_none(), line.map(|(file, line)| (file.to_owned(), line)))
    };
    let race = races.iter().min_by_key(line)?;
    let contexts = races.len();
    let errors: u64 = races.iter().map(|race| race.count).sum();
    let sides: Vec<String> = race.accesses.iter().map(describe).collect();
    let about = race.about.first().map(|text| format!(" ({text})")).unwrap_or_default();
    Some(Finding::fail(
        expected,
        format!("{errors} errors from {contexts} contexts; the first: {}{about}", first_sentence(race)),
        sides.join("; "),
        hint(race),
    ))
}

fn first_sentence(race: &Race) -> String {
    race.accesses.first().map_or_else(|| race.kind.clone(), |access| access.what.clone())
}

fn describe(access: &Access) -> String {
    let place = access.place().unwrap_or_else(|| "an unknown place".to_owned());
    format!("{} at {place}", access.what)
}

fn hint(race: &Race) -> &'static str {
    match race.kind.as_str() {
        "Race" => "name the mutex that protects this datum, and take it at both places",
        "LockOrder" => "take the two locks in the same order everywhere",
        "UnlockUnlocked" | "UnlockForeign" | "UnlockBogus" => {
            "a mutex is unlocked by the thread that locked it, once"
        }
        _ => {
            "signal a condition variable while holding the mutex that its waiters use; destroy nothing that is in use"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::helgrind::Frame;

    fn access(what: &str, line: u32) -> Access {
        let frame = Frame {
            function: Some("push".into()),
            file: Some("task_queue.c".into()),
            line: Some(line),
            obj: Some("/tmp/pool_server".into()),
        };
        Access { what: what.into(), stack: vec![frame] }
    }

    fn clean() -> Observation {
        Observation {
            synchronisation: Synchronisation::Pthread,
            computes: true,
            ended: Ended::Exited,
            answered: 90,
            results: 60,
            races: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn nothing_found_is_right_and_a_race_is_not() {
        assert_eq!(judge(&clean()).outcome, Outcome::Pass);
        let race = Race {
            kind: "Race".into(),
            accesses: vec![access("Possible data race during read", 30), access("a previous write", 44)],
            about: vec!["data symbol \"count\"".into()],
            count: 7,
        };
        let finding = judge(&Observation { races: vec![race], ..clean() });
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.observed.starts_with("7 errors from 1 contexts"), "{}", finding.observed);
        assert!(
            finding.place.contains("task_queue.c:30 (push)")
                && finding.place.contains("task_queue.c:44 (push)")
        );
    }

    #[test]
    fn a_note_stands_below_a_pass_too_but_not_below_an_error_that_says_the_same() {
        let note = |key: &str| Note { key: key.into(), text: "text".into(), place: String::new() };
        let notes = vec![note(key::SIGNAL), note(key::ORDER), note(key::IO)];
        let keys = |races| {
            let finding = judge(&Observation { races, notes: notes.clone(), ..clean() });
            (finding.outcome, finding.notes.into_iter().map(|note| note.key).collect::<Vec<_>>())
        };
        let all = [key::SIGNAL, key::ORDER, key::IO].map(str::to_owned).to_vec();
        assert_eq!(keys(Vec::new()), (Outcome::Pass, all));
        let said = "pthread_cond_signal: associated lock is not held by calling thread";
        let signal =
            Race { kind: "Misc".into(), accesses: vec![access(said, 3)], about: Vec::new(), count: 1 };
        let order = Race { kind: "LockOrder".into(), accesses: Vec::new(), about: Vec::new(), count: 1 };
        assert_eq!(keys(vec![signal.clone(), order]), (Outcome::Fail, vec![key::IO.to_owned()]));
        // Where Helgrind's errors are not believed, the note says what is certain.
        let unsure = Observation {
            synchronisation: Synchronisation::C11,
            races: vec![signal],
            notes: notes.clone(),
            ..clean()
        };
        assert_eq!(judge(&unsure).notes.len(), 3);
    }

    #[test]
    fn what_helgrind_does_not_see_is_not_judged() {
        let with = |synchronisation, races| judge(&Observation { synchronisation, races, ..clean() }).outcome;
        assert_eq!(with(Synchronisation::Unseen, Vec::new()), Outcome::Inconclusive);
        assert_eq!(with(Synchronisation::C11, Vec::new()), Outcome::Pass);
        let race = Race { kind: "Race".into(), accesses: Vec::new(), about: Vec::new(), count: 1 };
        assert_eq!(with(Synchronisation::C11, vec![race.clone()]), Outcome::Inconclusive);
        assert_eq!(with(Synchronisation::Pthread, vec![race]), Outcome::Fail);
    }

    #[test]
    fn a_server_that_computes_nothing_has_nothing_that_could_race() {
        let idle = |computes, ended| Observation { computes, results: 0, ended, ..clean() };
        for ended in [Ended::Exited, Ended::Hangs] {
            let finding = judge(&idle(false, ended.clone()));
            assert_eq!(finding.outcome, Outcome::Fail);
            assert!(finding.observed.contains("of 180 requests not one"), "{}", finding.observed);
            // It computes elsewhere: perhaps it is Helgrind that keeps it from its work.
            assert_eq!(judge(&idle(true, ended)).outcome, Outcome::Inconclusive);
        }
        assert_eq!(judge(&idle(false, Ended::Late("did not end"))).outcome, Outcome::Inconclusive);
        let alone = Observation { synchronisation: Synchronisation::Alone, ..clean() };
        assert_eq!(judge(&alone).outcome, Outcome::Fail);
        assert_eq!(judge(&Observation { results: 1, answered: 1, ..clean() }).outcome, Outcome::Pass);
    }

    #[test]
    fn a_deadline_of_ours_blames_nobody_but_a_crash_does() {
        assert_eq!(
            judge(&Observation { ended: Ended::Late("did not end"), ..clean() }).outcome,
            Outcome::Inconclusive
        );
        assert_eq!(
            judge(&Observation { ended: Ended::Killed("SIGSEGV".into()), ..clean() }).outcome,
            Outcome::Fail
        );
    }
}
