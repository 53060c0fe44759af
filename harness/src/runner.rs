//! Takes the requirements of a quest one by one, says what happens while it does, and gathers the verdicts into a run.

mod caught;

use crate::{
    error::{RunError, Trouble},
    interrupt,
    lanes::{News, in_lanes},
    model::{Evidence, Finding, Id, Outcome, Run, Verdict},
    quests::{Quest, Rule},
    requirements::{Context, REGISTRY, Requirement, Servers, starts},
    submission::{Program, Submission},
};
use caught::{Panicked, caught};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The seed of a run that was given none: the same for everybody, so that verdicts can be compared.
pub const DEFAULT_SEED: u64 = 1;

/// How many orders of steps are tried if nobody says.
pub const DEFAULT_SCHEDULES: usize = 60;

/// What is to be checked, and how.
pub struct Plan<'a> {
    /// The quest whose requirements are checked.
    pub quest: &'a Quest,
    /// What was handed in.
    pub submission: &'a Submission,
    /// Only these ids; the others get no verdict.
    pub only: Option<Vec<Id>>,
    /// The seed of everything random.
    pub seed: u64,
    /// How many orders of steps are tried where a mistake may show in few of them only.
    pub schedules: usize,
    /// Hardening counts too.
    pub strict: bool,
    /// The requirements that are known.
    pub registry: &'a [&'a dyn Requirement],
    /// What must be so before any of them is looked at; what it decides is every verdict.
    pub before: fn(&Program) -> Result<(), Trouble>,
    /// The servers that a test harness is tried on.
    pub servers: Servers,
    /// How many checks run at a time. Each runs on one thread from beginning to end, as ptrace demands.
    pub lanes: usize,
    /// The command that starts the harness, and the submission as the shell needs it: for [`Evidence::again`].
    pub command: Command,
}

/// How the user can call the harness again, each word quoted for a shell.
#[derive(Clone, Debug)]
pub struct Command {
    /// `quest`, or the path to it.
    pub quest: String,
    /// The submission.
    pub submission: String,
}

impl<'a> Plan<'a> {
    /// A plan that checks everything the quest asks for.
    pub fn new(quest: &'a Quest, submission: &'a Submission, command: Command) -> Self {
        Self {
            quest,
            submission,
            only: None,
            seed: DEFAULT_SEED,
            schedules: DEFAULT_SCHEDULES,
            strict: false,
            registry: REGISTRY,
            before: starts,
            servers: quest.servers(),
            lanes: 1,
            command,
        }
    }

    /// The rules that get a verdict, in the order of the ids.
    fn rules(&self) -> Vec<&'a Rule> {
        let asked = |rule: &&Rule| self.only.as_ref().is_none_or(|only| only.contains(&rule.id));
        let known = |rule: &&Rule| self.requirement(rule.id).is_some();
        let mut rules: Vec<&Rule> = self.quest.requirements.iter().filter(asked).filter(known).collect();
        rules.sort_by_key(|rule| rule.id);
        rules
    }

    fn requirement(&self, id: Id) -> Option<&'a dyn Requirement> {
        self.registry.iter().copied().find(|requirement| requirement.id() == id)
    }

    /// The one command that shows this verdict again.
    fn again(&self, id: Id) -> String {
        let Command { quest, submission } = &self.command;
        let named = match self.quest.id.as_str() {
            crate::quests::DEFAULT => String::new(),
            other => format!(" --quest {other}"),
        };
        let strict = if self.strict { " --strict" } else { "" };
        let schedules = match self.schedules {
            DEFAULT_SCHEDULES => String::new(),
            other => format!(" --schedules {other}"),
        };
        format!("{quest} check {submission}{named} --only {id} --seed {}{schedules}{strict} -v", self.seed)
    }
}

/// Does a verdict on this id decide whether the run passed? Requirements and constraints do, hardening when it was asked
/// for, bonuses never.
pub fn is_required(id: Id, strict: bool) -> bool {
    match id.family() {
        'B' => false,
        'H' => strict,
        _ => true,
    }
}

/// What happens during a run, for whoever shows it.
#[derive(Debug)]
pub enum Event<'a> {
    /// The submission is being built.
    Building,
    /// It is built; so many requirements follow.
    Checking {
        /// How many.
        count: usize,
    },
    /// A check begins.
    Started {
        /// Which.
        id: Id,
        /// Its title.
        title: &'a str,
    },
    /// A verdict is there. They come in the order of the ids.
    Finished(&'a Verdict),
}

/// Builds the submission and checks it.
///
/// # Errors
///
/// [`RunError`] when there is no run: the submission does not build, the harness cannot work, the user interrupted. What
/// goes wrong inside one check is that check's verdict instead.
pub fn run(plan: &Plan<'_>, on: &mut dyn FnMut(Event<'_>)) -> Result<Run, RunError> {
    on(Event::Building);
    let program = plan.submission.build()?;
    let rules = plan.rules();
    on(Event::Checking { count: rules.len() });
    let verdicts = match caught(|| (plan.before)(&program)) {
        Ok(Ok(())) => check_all(plan, &program, &rules, on)?,
        failed => {
            // Nothing is found by this but what is wrong.
            let failed = failed.map(|result| result.map(|()| Finding::pass("", "")));
            let finding = finding("the server starts", failed).ok_or(RunError::Interrupted)?;
            decided_for_all(plan, &rules, finding, on)
        }
    };
    let submission = plan.submission.given().display().to_string();
    Ok(Run::new(plan.quest.id.clone(), submission, plan.seed, verdicts))
}

/// With several lanes the longest begin. All events are told on the calling thread, and verdicts in the order of the ids, however
/// many lanes there are.
fn check_all(
    plan: &Plan<'_>,
    program: &Program,
    rules: &[&Rule],
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<Verdict>, RunError> {
    let cost = |at: usize| plan.requirement(rules[at].id).map_or(0, |requirement| requirement.cost());
    let mut order: Vec<usize> = (0..rules.len()).collect();
    if plan.lanes > 1 {
        order.sort_by_key(|at| Reverse(cost(*at)));
    }
    let act = |at: &usize| match interrupt::requested() {
        true => Err(RunError::Interrupted),
        false => check(plan, program, rules[*at]).ok_or(RunError::Interrupted),
    };
    let mut early = BTreeMap::new();
    let mut verdicts = Vec::new();
    in_lanes(plan.lanes, &order, act, |news| {
        match news {
            News::Started(at) => on(Event::Started { id: rules[*at].id, title: &rules[*at].title }),
            News::Finished(at, verdict) => drop(early.insert(*at, verdict)),
        }
        while let Some(verdict) = early.remove(&verdicts.len()) {
            on(Event::Finished(&verdict));
            verdicts.push(verdict);
        }
    })?;
    Ok(verdicts)
}

/// One verdict; `None` when the user interrupted.
fn check(plan: &Plan<'_>, program: &Program, rule: &Rule) -> Option<Verdict> {
    let requirement = plan.requirement(rule.id)?;
    let started = Instant::now();
    let Plan { seed, schedules, .. } = *plan;
    let context = Context { program, seed, schedules, servers: &plan.servers };
    let result = caught(|| requirement.check(&context));
    Some(verdict(plan, rule, finding(&rule.title, result)?, started.elapsed()))
}

/// What the end of a check amounts to, whatever it was; `None` when the user interrupted.
fn finding(title: &str, result: Result<Result<Finding, Trouble>, Panicked>) -> Option<Finding> {
    Some(match result {
        Ok(Ok(finding)) => finding,
        Ok(Err(Trouble::Decided(finding))) => *finding,
        Ok(Err(Trouble::Interrupted)) => return None,
        Ok(Err(Trouble::Harness(error))) => own_fault(title, error.to_string(), String::new()),
        Err(Panicked { message, place }) => own_fault(title, format!("a check panicked: {message}"), place),
    })
}

/// The same verdict on every rule.
fn decided_for_all(
    plan: &Plan<'_>,
    rules: &[&Rule],
    finding: Finding,
    on: &mut dyn FnMut(Event<'_>),
) -> Vec<Verdict> {
    let verdicts: Vec<Verdict> =
        rules.iter().map(|rule| verdict(plan, rule, finding.clone(), Duration::ZERO)).collect();
    for verdict in &verdicts {
        on(Event::Finished(verdict));
    }
    verdicts
}

fn own_fault(title: &str, observed: String, place: String) -> Finding {
    Finding {
        outcome: Outcome::Error,
        hint: "the harness failed here, not the submission; `quest doctor` tells whether something it needs is missing"
            .into(),
        ..Finding::fail(title, observed, place, "")
    }
}

fn verdict(plan: &Plan<'_>, rule: &Rule, finding: Finding, took: Duration) -> Verdict {
    let worth = if rule.id.family() == 'H' && !plan.strict { 0 } else { rule.points };
    // What is not required has points to win and none to lose: a bonus comes on top.
    let possible = if is_required(rule.id, plan.strict) { worth } else { 0 };
    let Finding { outcome, expected, observed, place, hint, notes } = finding;
    Verdict {
        id: rule.id,
        title: rule.title.clone(),
        outcome,
        points: if outcome == Outcome::Pass { worth } else { 0 },
        possible,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        evidence: Evidence { expected, observed, place, hint, again: plan.again(rule.id) },
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HarnessError;
    use std::path::Path;

    /// A requirement that does what its function says.
    struct Fake(Id, fn(&Context<'_>) -> Result<Finding, Trouble>);

    impl Requirement for Fake {
        fn id(&self) -> Id {
            self.0
        }
        fn title(&self) -> &'static str {
            "fake"
        }
        fn about(&self) -> &'static str {
            "fake"
        }
        fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
            (self.1)(context)
        }
    }

    const fn r(number: u8) -> Id {
        Id::new('R', number)
    }

    const PASS: &dyn Requirement = &Fake(r(1), |_| Ok(Finding::pass("e", "o")));
    const FAIL: &dyn Requirement = &Fake(r(2), |_| Ok(Finding::fail("e", "o", "w", "h")));
    const DECIDED: &dyn Requirement =
        &Fake(r(3), |_| Err(Trouble::Decided(Box::new(Finding::fail("start", "it did not start", "", "")))));
    const BROKEN: &dyn Requirement = &Fake(r(4), |_| Err(HarnessError::Broken("no valgrind".into()).into()));
    const PANIC: &dyn Requirement = &Fake(r(5), |_| panic!("oh"));
    const STOP: &dyn Requirement = &Fake(r(6), |_| Err(Trouble::Interrupted));
    const HARDENING: &dyn Requirement = &Fake(Id::new('H', 1), |_| Ok(Finding::pass("e", "o")));

    fn quest() -> Quest {
        let ids = ["H1", "R6", "R5", "R4", "R3", "R2", "R1"];
        let rules: String = ids
            .map(|id| format!("[[requirement]]\nid = \"{id}\"\ntitle = \"title of {id}\"\npoints = 10\n"))
            .concat();
        let head = "format_version = 1\nid = \"00-x\"\ntitle = \"\"\nsummary = \"\"\nstory = \"\"\n";
        let arguments = "arguments = { workers = 4, capacity = 64 }\n";
        let hints: String = ids.map(|id| format!("{id} = [\"a\", \"b\", \"c\"]\n")).concat();
        Quest::parse("00-x", &format!("{head}{arguments}{rules}[hints]\n{hints}")).unwrap()
    }

    fn run_with(
        registry: &[&dyn Requirement],
        change: impl FnOnce(&mut Plan<'_>),
    ) -> (Result<Run, RunError>, Vec<String>) {
        let (quest, submission) = (quest(), Submission::recognise(Path::new("/proc/self/exe")).unwrap());
        let command = Command { quest: "quest".into(), submission: "'a b'".into() };
        let mut plan = Plan { registry, before: |_| Ok(()), ..Plan::new(&quest, &submission, command) };
        change(&mut plan);
        let mut events = Vec::new();
        let result = run(&plan, &mut |event| {
            events.push(match event {
                Event::Building => "building".into(),
                Event::Checking { count } => format!("checking {count}"),
                Event::Started { id, .. } => format!("{id} started"),
                Event::Finished(verdict) => format!("{} {}", verdict.id, verdict.outcome.word()),
            });
        });
        (result, events)
    }

    #[test]
    fn every_result_of_a_check_becomes_a_verdict() {
        let (run, events) = run_with(&[PASS, FAIL, DECIDED, BROKEN, PANIC], |_| ());
        let run = run.unwrap();
        let outcomes: Vec<&str> = run.verdicts.iter().map(|v| v.outcome.word()).collect();
        assert_eq!(outcomes, ["pass", "fail", "fail", "error", "error"]);
        assert_eq!((run.score.earned, run.score.possible), (10, 50));
        assert_eq!(run.verdicts[0].title, "title of R1");
        assert_eq!(run.verdicts[2].evidence.observed, "it did not start");
        assert_eq!(run.verdicts[3].evidence.observed, "no valgrind");
        assert_eq!(run.verdicts[4].evidence.observed, "a check panicked: oh");
        assert!(run.verdicts[4].evidence.place.contains("runner.rs:"));
        assert_eq!(events[..4], ["building", "checking 5", "R1 started", "R1 pass"]);
    }

    #[test]
    fn again_is_the_command_that_shows_this_verdict() {
        let (run, _) = run_with(&[FAIL], |plan| (plan.seed, plan.strict) = (7, true));
        let again = &run.unwrap().verdicts[0].evidence.again;
        assert_eq!(again, "quest check 'a b' --quest 00-x --only R2 --seed 7 --strict -v");
    }

    #[test]
    fn with_only_the_others_get_no_verdict() {
        let (run, _) = run_with(&[PASS, FAIL, DECIDED], |plan| plan.only = Some(vec![r(3), r(1)]));
        let ids: Vec<Id> = run.unwrap().verdicts.iter().map(|v| v.id).collect();
        assert_eq!(ids, [r(1), r(3)]);
    }

    #[test]
    fn an_interruption_ends_the_run_without_a_verdict() {
        let (run, events) = run_with(&[PASS, STOP, HARDENING], |_| ());
        assert!(matches!(run, Err(RunError::Interrupted)));
        assert_eq!(events.last().unwrap(), "R6 started");
    }

    #[test]
    fn hardening_has_points_only_when_it_counts() {
        let possible = |strict| run_with(&[HARDENING], |plan| plan.strict = strict).0.unwrap().score.possible;
        assert_eq!((possible(false), possible(true)), (0, 10));
        assert!(is_required(r(1), false) && is_required(Id::new('C', 1), false));
        assert!(!is_required(Id::new('H', 1), false) && is_required(Id::new('H', 1), true));
        assert!(!is_required(Id::new('B', 1), true));
    }

    #[test]
    fn what_is_decided_before_is_every_verdict() {
        let (run, events) = run_with(&[PASS, FAIL], |plan| {
            plan.before =
                |_| Err(Trouble::Decided(Box::new(Finding::fail("it starts", "it did not start", "", ""))));
        });
        let run = run.unwrap();
        assert!(
            run.verdicts
                .iter()
                .all(|v| v.outcome == Outcome::Fail && v.evidence.observed == "it did not start")
        );
        assert_eq!(run.verdicts.len(), 2);
        assert!(!events.iter().any(|event| event.contains("starts")), "{events:?}");
        let (run, _) = run_with(&[PASS], |plan| plan.before = |_| Err(Trouble::Interrupted));
        assert!(matches!(run, Err(RunError::Interrupted)));
    }

    #[test]
    fn two_lanes_tell_verdicts_in_the_order_of_the_ids() {
        static GATE: std::sync::Barrier = std::sync::Barrier::new(2);
        const FIRST: &dyn Requirement = &Fake(r(1), |_| {
            GATE.wait();
            GATE.wait();
            Ok(Finding::pass("e", "o"))
        });
        const SECOND: &dyn Requirement = &Fake(r(2), |_| {
            GATE.wait();
            Ok(Finding::pass("e", "o"))
        });
        const THIRD: &dyn Requirement = &Fake(r(3), |_| {
            GATE.wait();
            Ok(Finding::pass("e", "o"))
        });
        let (run, events) = run_with(&[FIRST, SECOND, THIRD], |plan| plan.lanes = 2);
        assert_eq!(run.unwrap().verdicts.len(), 3);
        let finished: Vec<&String> = events.iter().filter(|event| event.ends_with("pass")).collect();
        assert_eq!(finished, ["R1 pass", "R2 pass", "R3 pass"]);
    }
}
