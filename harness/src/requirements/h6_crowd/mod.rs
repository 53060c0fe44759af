//! H6: 1,000 idle connections, and running out of descriptors, leave established clients served.

mod observe;

use super::{
    Context, Requirement,
    common::{Ended, not_yet},
    idle::{Rest, spins_anyway},
};
use crate::{
    error::Trouble,
    model::{Finding, Id, Outcome},
};

/// H6.
pub struct Crowd;

/// So many clients connect and say nothing.
const IDLE: usize = 1000;

/// What the server is up against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    /// 1,000 clients that want nothing.
    Idle,
    /// More clients than it has descriptors for.
    NoDescriptors,
}

impl Situation {
    fn words(self) -> &'static str {
        match self {
            Self::Idle => "with a crowd of idle clients",
            Self::NoDescriptors => "out of descriptors",
        }
    }
}

/// Somebody who asked.
#[derive(Clone, Debug)]
struct Asked {
    /// Who, and when.
    who: String,
    end: Ended,
    stuck: String,
}

/// What was seen in one situation.
#[derive(Clone, Debug)]
struct Observation {
    situation: Situation,
    /// How many clients were in: served once, or accepted and idle.
    inside: usize,
    /// Newcomers were kept out in the end.
    full: bool,
    /// The server spins with hardly any client, too: R7 judges that.
    spins_anyway: bool,
    established: Vec<Asked>,
    rest: Rest,
    /// Those who came when there was room again; empty if it did not come so far.
    newcomers: Vec<Asked>,
    /// How the process ended, if it did.
    died: Option<String>,
}

impl Requirement for Crowd {
    fn id(&self) -> Id {
        Id::new('H', 6)
    }

    fn title(&self) -> &'static str {
        "1,000 idle clients, or no descriptor left: the established are served, newcomers later"
    }

    fn about(&self) -> &'static str {
        "Clients that are connected and want nothing cost nothing; and when accept fails because no descriptor is left, those \
         who are in are served as before, the loop does not spin, and when somebody leaves, newcomers are served again. \
         Until then newcomers may wait or be turned away.\n\n\
         Forced: 1,000 clients connect and say nothing, while four that were there before ask; then a hundred leave. And: \
         the server started with so few descriptors (RLIMIT_NOFILE) that a dozen clients use them up; more come; those \
         who are in ask; then all but three leave.\n\n\
         Decides: the process lives; an answer for each client that was served before; that every thread sleeps while nobody \
         asks; and afterwards an answer for the newcomer that waited (unless it was turned away) and for one that comes \
         then, with ten seconds of patience for a server that looks again by a timer."
    }

    fn cost(&self) -> u32 {
        12
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let (mut idle, needed) = match observe::idle(context)? {
            Ok(seen) => seen,
            Err(cannot) => return Ok(cannot),
        };
        let spins = |seen: &Observation| matches!(seen.rest, Rest::Spins(_));
        idle.spins_anyway = spins(&idle) && spins_anyway(context)?;
        let first = judge(&idle);
        if first.outcome != Outcome::Pass {
            return Ok(first);
        }
        let mut few = match observe::no_descriptors(context, needed)? {
            Ok(seen) => seen,
            Err(cannot) => return Ok(cannot),
        };
        few.spins_anyway = spins(&few) && (idle.spins_anyway || spins_anyway(context)?);
        let second = judge(&few);
        if second.outcome != Outcome::Pass {
            return Ok(second);
        }
        Ok(Finding::pass(EXPECTED, format!("so it was {}, and {}", first.observed, second.observed)))
    }
}

const EXPECTED: &str = "with 1,000 idle clients, and with no descriptor left, established clients are answered and the loop \
                        sleeps; newcomers are answered once there is room again";

fn judge(o: &Observation) -> Finding {
    let when = o.situation.words();
    let fail = |observed: String, place: String, hint: &str| {
        Finding::fail(EXPECTED, format!("{when}: {observed}"), place, hint)
    };
    if let Some(died) = &o.died {
        return fail(
            format!("the server's process ended when {} clients were in", o.inside),
            died.clone(),
            "accept may fail at any time, with EMFILE above all: that is no reason to end; and no table of clients may be \
             shorter than the number of descriptors",
        );
    }
    if let Some(asked) = o.established.iter().find(|asked| asked.end != Ended::Reached) {
        let what = format!("with {} clients in, {} asked and had no answer", o.inside, asked.who);
        return match asked.end {
            Ended::NotYet => not_yet(EXPECTED, &format!("{when}: {what}"), &asked.stuck),
            _ => fail(
                what,
                asked.stuck.clone(),
                "who came first must not suffer from who comes now: when accept fails, go on with the others",
            ),
        };
    }
    match &o.rest {
        Rest::Spins(doing) if !o.spins_anyway => {
            return fail(
                format!("with {} clients in and nobody asking, the server does not sleep", o.inside),
                doing.clone(),
                "a listener that cannot be served stays readable: stop watching it until a client leaves, or try again by a \
                 timer",
            );
        }
        Rest::NotYet(doing) => return not_yet(EXPECTED, &format!("{when}: nobody asked"), doing),
        _ => {}
    }
    if o.situation == Situation::NoDescriptors && !o.full {
        return Finding::inconclusive(
            EXPECTED,
            format!("{when}: the server had room for {} clients, more than its descriptors allow", o.inside),
            "",
            "",
        );
    }
    if let Some(asked) = o.newcomers.iter().find(|asked| asked.end != Ended::Reached) {
        let what = format!("{} had no answer, though the others had left", asked.who);
        return match asked.end {
            Ended::NotYet => not_yet(EXPECTED, &format!("{when}: {what}"), &asked.stuck),
            _ => fail(
                what,
                asked.stuck.clone(),
                "whoever stops watching the listener must watch it again when a client leaves (or look again by a timer)",
            ),
        };
    }
    Finding::pass(EXPECTED, format!("{when} ({} in)", o.inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(end: Ended) -> Asked {
        Asked { who: "client 1".into(), end, stuck: String::new() }
    }

    fn right() -> Observation {
        Observation {
            situation: Situation::NoDescriptors,
            inside: 12,
            full: true,
            spins_anyway: false,
            established: vec![asked(Ended::Reached)],
            rest: Rest::Sleeps,
            newcomers: vec![asked(Ended::Reached)],
            died: None,
        }
    }

    fn outcome(change: impl FnOnce(&mut Observation)) -> Outcome {
        let mut observation = right();
        change(&mut observation);
        judge(&observation).outcome
    }

    #[test]
    fn served_asleep_and_open_again_is_right() {
        assert_eq!(outcome(|_| {}), Outcome::Pass);
    }

    #[test]
    fn whoever_is_in_must_be_served_and_newcomers_afterwards() {
        assert_eq!(outcome(|o| o.established[0].end = Ended::Never), Outcome::Fail);
        assert_eq!(outcome(|o| o.newcomers[0].end = Ended::Never), Outcome::Fail);
        assert_eq!(outcome(|o| o.died = Some("exit status 1".into())), Outcome::Fail);
    }

    #[test]
    fn spinning_counts_only_if_the_crowd_is_its_cause() {
        assert_eq!(outcome(|o| o.rest = Rest::Spins(String::new())), Outcome::Fail);
        assert_eq!(outcome(|o| (o.rest, o.spins_anyway) = (Rest::Spins(String::new()), true)), Outcome::Pass);
    }

    #[test]
    fn what_was_not_forced_or_not_waited_for_decides_nothing() {
        assert_eq!(outcome(|o| o.full = false), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.established[0].end = Ended::NotYet), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.newcomers[0].end = Ended::NotYet), Outcome::Inconclusive);
        assert_eq!(outcome(|o| o.rest = Rest::NotYet(String::new())), Outcome::Inconclusive);
    }
}
