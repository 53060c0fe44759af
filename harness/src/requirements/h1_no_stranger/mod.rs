//! H1: an answer never reaches a stranger who got the same descriptor number.

mod observe;
mod stage;

use super::{
    Context, Requirement,
    common::{Ended, held_where, not_yet, shown},
    leaving::{Leaving, numbers},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
    probes::{
        session::Death,
        tracer::{At, End},
    },
};

/// H1.
pub struct NoStranger;

/// What a client that leaves had asked (whether each request is bad), and how it leaves.
type Goes = (&'static [bool], Leaving);

/// What is forced in one round.
#[derive(Clone, Copy, Debug)]
struct Plan {
    leavers: &'static [Goes],
    /// The first request of each is answered, to nobody, before its number is free.
    first_answered: bool,
    /// How many newcomers there are at least, and how many tasks of theirs are in hand when the late results come.
    strangers: usize,
    in_hand: usize,
    /// Nobody leaves: how things go otherwise.
    all_stay: bool,
}

const fn plan(leavers: &'static [Goes], first_answered: bool, strangers: usize, in_hand: usize) -> Plan {
    Plan { leavers, first_answered, strangers, in_hand, all_stay: false }
}

const GOOD: bool = false;
const BAD: bool = true;

const PLANS: &[Plan] = &[
    plan(&[(&[GOOD], Leaving::Reset)], false, 1, 0),
    plan(&[(&[BAD], Leaving::Reset)], false, 1, 1),
    plan(&[(&[GOOD, BAD], Leaving::Reset)], false, 1, 2),
    plan(&[(&[GOOD], Leaving::Reset), (&[BAD], Leaving::Reset)], false, 2, 1),
    plan(
        &[(&[GOOD], Leaving::Close), (&[GOOD], Leaving::HalfThenClose), (&[BAD], Leaving::HalfThenReset)],
        false,
        1,
        1,
    ),
    plan(&[(&[GOOD, GOOD], Leaving::Close)], true, 1, 1),
];

/// A client that left.
#[derive(Clone, Debug)]
struct Leaver {
    name: String,
    leaving: Leaving,
    /// Each request with the answer that it gets when it is sent alone, if it gets one.
    asked: Vec<(String, Option<Vec<u8>>)>,
    /// The descriptors that its connection had in the server.
    descriptors: Vec<i32>,
    /// The server closed it while its task was in hand.
    closed: bool,
}

/// A client that came when others had left.
#[derive(Clone, Debug)]
struct Stranger {
    name: String,
    descriptors: Vec<i32>,
    /// Each request with the answer that it gets when it is sent alone, if it gets one.
    asked: Vec<(String, Option<Vec<u8>>)>,
    got: Vec<Vec<u8>>,
    /// The call that sent the first line that was not its own.
    sent_by: Option<String>,
}

impl Stranger {
    /// The first line that it did not ask for.
    fn first_wrong(&self) -> Option<&Vec<u8>> {
        let wrong = |(at, line): &(usize, &Vec<u8>)| match self.asked.get(*at) {
            Some((_, Some(own))) => own != *line,
            Some((_, None)) => false,
            None => true,
        };
        self.got.iter().enumerate().find(wrong).map(|(_, line)| line)
    }
}

/// What was seen in one round.
#[derive(Clone, Debug)]
struct Observation {
    leavers: Vec<Leaver>,
    strangers: Vec<Stranger>,
    held: Vec<(i32, At)>,
    workers_slept: bool,
    end: Ended,
    stuck: String,
    death: Option<Death>,
}

impl Observation {
    /// The client that had one of these descriptors before.
    fn before(&self, stranger: &Stranger) -> Option<&Leaver> {
        let had = |leaver: &&Leaver| leaver.descriptors.iter().any(|fd| stranger.descriptors.contains(fd));
        self.leavers.iter().filter(|leaver| leaver.closed).find(had)
    }
}

impl Requirement for NoStranger {
    fn id(&self) -> Id {
        Id::new('H', 1)
    }

    fn title(&self) -> &'static str {
        "an answer never reaches a stranger who got the same descriptor number"
    }

    fn about(&self) -> &'static str {
        "A client may vanish while a worker has its task. Its descriptor is closed, and the next client gets the same \
         number at once. The late result must go to nobody.\n\n\
         Forced: client A asks, and its worker is held in the middle of the task. A leaves (by a reset, a close, a half-close \
         and then either), and newcomers connect until one has A's number. Then the worker is let go: with one client \
         and several, with one task and several, good and bad, while the newcomer has nothing in hand or tasks of its own, in \
         orders drawn from the seed; and when the number has been used 1, 2, 255 and 256 times since, so that a \
         counter that is too small comes round.\n\n\
         Decides: the newcomer receives nothing that it did not ask for, and its own question gets its own answer. A server \
         that keeps A's descriptor until the task is back has no stranger on that number, and passes."
    }

    fn cost(&self) -> u32 {
        6
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let findings = observe::all(context)?;
        let worst = |outcome| findings.iter().find(|finding: &&Finding| finding.outcome == outcome);
        if let Some(finding) = worst(Outcome::Fail).or_else(|| worst(Outcome::Inconclusive)) {
            return Ok(finding.clone());
        }
        let observed: Vec<&str> = findings.iter().map(|finding| finding.observed.as_str()).collect();
        let count = |word: &str| observed.iter().filter(|seen| seen.starts_with(word)).count();
        let all = [REUSED, KEPT, NOT_REUSED, SIGPIPE, ALSO_OTHERWISE].map(|words| (count(words), words));
        let all =
            all.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("in {count} {words}"));
        Ok(Finding::pass(
            EXPECTED,
            format!("{} rounds: {}", observed.len(), all.collect::<Vec<_>>().join(", ")),
        ))
    }
}

const EXPECTED: &str = "the result of a client that has left goes to nobody: whoever has its descriptor number now receives \
                        its own answers only";

const REUSED: &str = "newcomers had the client's descriptor number and got their own answers only";
const KEPT: &str = "the server kept the client's descriptor until its task was back";
const NOT_REUSED: &str = "no newcomer was given the number";
const SIGPIPE: &str = "SIGPIPE ended the server, which is not asked here";
const ALSO_OTHERWISE: &str = "answers were wrong also when nobody left, which is not asked here";

fn judge(o: &Observation) -> Finding {
    let held = held_where(&o.held);
    if let Some(finding) = o.strangers.iter().filter(|s| s.first_wrong().is_some()).find_map(|s| wrong(o, s))
    {
        return finding;
    }
    if let Some(death) = &o.death {
        // To send to a client that has left is H2's.
        return if death.end == End::Signal(libc::SIGPIPE) {
            Finding::pass(EXPECTED, SIGPIPE)
        } else {
            Finding::fail(
                EXPECTED,
                format!("the server {} when a client had left and its task came back", death.how),
                format!("{}; {held}", death.place),
                "whoever frees a connection while a worker has its task leaves a pointer to memory that somebody else gets",
            )
        };
    }
    for stranger in &o.strangers {
        if let Some(finding) = wrong(o, stranger) {
            return finding;
        }
    }
    if o.held.is_empty() && !o.workers_slept {
        return Finding::inconclusive(
            EXPECTED,
            "the workers ran, but made no call at which they could be held",
            "",
            "link the program dynamically, so that its pthread calls can be seen",
        );
    }
    if o.leavers.iter().all(|leaver| !leaver.closed) {
        return Finding::pass(EXPECTED, KEPT);
    }
    if o.strangers.iter().all(|stranger| o.before(stranger).is_none()) {
        return Finding::pass(EXPECTED, NOT_REUSED);
    }
    Finding::pass(EXPECTED, REUSED)
}

/// What is wrong with what a stranger got, if anything is.
fn wrong(o: &Observation, stranger: &Stranger) -> Option<Finding> {
    let asked = match stranger.asked.as_slice() {
        [] => "had asked nothing".to_owned(),
        asked => {
            let texts: Vec<&str> = asked.iter().map(|(text, _)| text.as_str()).collect();
            format!("had asked {}", texts.join(" and "))
        }
    };
    let before = o.before(stranger);
    let Some(line) = stranger.first_wrong() else {
        if stranger.got.len() >= stranger.asked.len() {
            return None;
        }
        let what = format!("client {} {asked} and got {} answers", stranger.name, stranger.got.len());
        return Some(match o.end {
            Ended::NotYet => not_yet(EXPECTED, &what, &o.stuck),
            _ => Finding::fail(
                EXPECTED,
                format!("{what}; it came after another had left"),
                format!("{}; {}", o.stuck, story(o, before, stranger)),
                "a result that nobody waits for must leave no trace in what belongs to the next client",
            ),
        });
    };
    let owner = o.leavers.iter().find_map(|leaver| {
        let (text, _) = leaver.asked.iter().find(|(_, answer)| answer.as_ref() == Some(line))?;
        Some((leaver, text))
    });
    if owner.is_none() && stranger.got.len() <= stranger.asked.len() {
        // One line for each question, and nobody's who left: a VALUE that is wrong in itself is for R6.
        return None;
    }
    let whose = owner.map_or_else(String::new, |(leaver, text)| {
        format!(", the answer to {text} of client {}, which {}", leaver.name, leaver.leaving.words())
    });
    Some(Finding::fail(
        EXPECTED,
        format!("client {} {asked} and got {}{whose}", stranger.name, shown(line)),
        format!(
            "{}; {}",
            stranger.sent_by.as_deref().unwrap_or_default(),
            story(o, owner.map(|(leaver, _)| leaver).or(before), stranger)
        ),
        "a descriptor number is used again at once: let a task belong to a connection object that lives until its last task is \
         back, or to an id that is never used again, and drop the result when that client is gone",
    ))
}

/// Who had which descriptor, and when.
fn story(o: &Observation, leaver: Option<&Leaver>, stranger: &Stranger) -> String {
    let held = held_where(&o.held);
    let Some(leaver) = leaver else { return held };
    let asked: Vec<&str> = leaver.asked.iter().map(|(text, _)| text.as_str()).collect();
    format!(
        "client {} asked {} on descriptor {} and {} ({held}), then client {} connected and had descriptor {}",
        leaver.name,
        asked.join(" and "),
        numbers(&leaver.descriptors),
        leaver.leaving.words(),
        stranger.name,
        numbers(&stranger.descriptors),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaver(closed: bool) -> Leaver {
        Leaver {
            name: "A1".into(),
            leaving: Leaving::Reset,
            asked: vec![("`a`".into(), Some(b"result: a".to_vec()))],
            descriptors: vec![9],
            closed,
        }
    }

    fn seen(closed: bool, descriptor: i32, asked: &[&str], got: &[&str]) -> Observation {
        let answer = |text: &&str| (format!("`{text}`"), Some(format!("result: {text}").into_bytes()));
        Observation {
            leavers: vec![leaver(closed)],
            strangers: vec![Stranger {
                name: "B1".into(),
                descriptors: vec![descriptor],
                asked: asked.iter().map(answer).collect(),
                got: got.iter().map(|text| format!("result: {text}").into_bytes()).collect(),
                sent_by: Some("main thread (tid 1), sendto(fd 9, a client socket)".into()),
            }],
            held: vec![(2, At::Release)],
            workers_slept: false,
            end: Ended::Reached,
            stuck: String::new(),
            death: None,
        }
    }

    #[test]
    fn own_answers_are_right_whether_or_not_the_number_was_used_again() {
        for (closed, descriptor, words) in [(true, 9, REUSED), (true, 10, NOT_REUSED), (false, 10, KEPT)] {
            let finding = judge(&seen(closed, descriptor, &["b"], &["b"]));
            assert_eq!((finding.outcome, finding.observed.as_str()), (Outcome::Pass, words));
        }
    }

    #[test]
    fn a_line_that_was_not_asked_for_fails_and_names_both_clients() {
        for (asked, got) in
            [(&[][..], &["a"][..]), (&["b"], &["a"]), (&["b"], &["b", "a"]), (&["b", "c"], &["b", "a"])]
        {
            let finding = judge(&seen(true, 9, asked, got));
            assert_eq!(finding.outcome, Outcome::Fail, "{got:?}");
            assert!(finding.observed.contains("client B1") && finding.observed.contains("`a` of client A1"));
            assert!(finding.place.contains("A1 asked `a` on descriptor 9"), "{}", finding.place);
            assert!(finding.place.contains("B1 connected and had descriptor 9"), "{}", finding.place);
        }
    }

    #[test]
    fn an_answer_that_never_comes_fails_and_one_that_is_late_is_not_decided() {
        let mut o = seen(true, 9, &["b"], &[]);
        o.end = Ended::Never;
        assert_eq!(judge(&o).outcome, Outcome::Fail);
        o.end = Ended::NotYet;
        assert_eq!(judge(&o).outcome, Outcome::Inconclusive);
    }

    #[test]
    fn a_server_that_ends_fails_unless_it_was_a_broken_pipe() {
        let died = |signal| {
            let how = format!("was killed by signal {signal}");
            let death = Some(Death { end: End::Signal(signal), how, place: String::new() });
            judge(&Observation { death, ..seen(true, 9, &[], &[]) }).outcome
        };
        assert_eq!((died(libc::SIGSEGV), died(libc::SIGPIPE)), (Outcome::Fail, Outcome::Pass));
    }

    #[test]
    fn a_worker_that_cannot_be_held_leaves_it_open() {
        let unheld = Observation { held: Vec::new(), ..seen(true, 9, &[], &[]) };
        assert_eq!(judge(&unheld).outcome, Outcome::Inconclusive);
        assert_eq!(judge(&Observation { workers_slept: true, ..unheld }).outcome, Outcome::Pass);
    }
}
