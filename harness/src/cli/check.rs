//! `quest check`: builds a submission, checks it, writes the report.

use super::{
    ExitCode, Stop, exit_code, lesson,
    output::{Output, wrote},
    palette_for,
    screen::Screen,
    suggest::did_you_mean,
    width,
};
use crate::{
    error::{RunError, SubmissionError},
    model::{Id, Run, Verdict},
    quests::{
        self, Quest,
        corpus::{self, Whole},
    },
    report::{self, Format, Head, Look, Palette, escape, escape_block, shell},
    runner::{self, Event, Plan},
    submission::sandbox,
};
use clap::{Args, builder::PossibleValuesParser};
use std::{
    env,
    io::{self, Write},
    mem,
    path::PathBuf,
    thread,
    time::Instant,
};

/// Check a submission and report what holds and what does not
#[derive(Args, Debug)]
#[command(after_help = format!("\
Examples:
  quest check                          the Cargo package in this folder
  quest check solution/                a folder of C
  quest check my-queue                 a folder in which a lesson was started
  quest check ./pool_server            an executable
  quest check solution/ --only R1,R4   two requirements
  quest check . --only R6 --seed 7 --schedules 500
                                       look longer for a rare order of steps
  quest check solution/ --format json --out report.json

{}", exit_code::HELP))]
pub(super) struct Arguments {
    /// A folder of C sources, a Cargo package or an executable
    #[arg(default_value = ".")]
    path: PathBuf,

    /// Check only these requirements, such as R1,R4
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    only: Vec<String>,

    /// The quest that the submission answers [default: the one that was started in its folder (`quest start`) or whose folder
    /// it lies in, or else 07-pool-server]
    #[arg(long, value_name = "NAME")]
    quest: Option<String>,

    /// How the report is written
    #[arg(long, value_name = "FORMAT", default_value = report::FORMATS[0].name(), value_parser = formats())]
    format: String,

    /// Write the report to this file; it appears when it is complete
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The seed of everything random; the same seed forces the same situations
    #[arg(long, value_name = "N", default_value_t = runner::DEFAULT_SEED)]
    seed: u64,

    /// How many orders of steps are tried where a mistake may show in few of them only (R1, R3, R6; five times as many in Q6)
    #[arg(long, value_name = "N", default_value_t = runner::DEFAULT_SCHEDULES)]
    schedules: usize,

    /// Hardening (H1, H2, ...) counts like a requirement
    #[arg(long)]
    strict: bool,

    /// Say what was seen where something passed, too
    #[arg(short, long)]
    verbose: bool,
}

fn formats() -> PossibleValuesParser {
    let value = |format: &&dyn Format| clap::builder::PossibleValue::new(format.name()).help(format.about());
    report::FORMATS.iter().map(value).collect::<Vec<_>>().into()
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Stop> {
    sandbox::shield()?;
    let (quest, noted) = lesson::of(&arguments.path, arguments.quest.as_deref())?;
    let only = ids(&quest, &arguments.only)?;
    let whole = corpus::whole(&arguments.path)?;
    let path = whole.as_ref().map_or(arguments.path.as_path(), Whole::path);
    let submission = quest.recognise(path).map_err(|error| stop(error.into()))?;
    let submission = submission.shown_as(&arguments.path);
    let command = runner::Command { quest: own_name(), submission: shell::quoted_path(&arguments.path) };
    let mut plan = Plan::new(&quest, &submission, command);
    plan.only = only;
    plan.seed = arguments.seed;
    plan.schedules = arguments.schedules;
    plan.strict = arguments.strict || quest.strict;
    // More would not make it faster: a check mostly waits for a server's threads to take turns with the tracer.
    plan.lanes = thread::available_parallelism().map_or(1, |cores| cores.get().min(2));

    let started = Instant::now();
    let mut writer = Writer::new(arguments, &plan)?;
    let run = runner::run(&plan, &mut |event| writer.on(event)).map_err(stop)?;
    writer.finish(&run, started)?;
    if let Some(noted) = noted.filter(|_| plan.only.is_none() && passed(&run, &quest)) {
        lesson::passed(noted, &quest);
    }
    Ok(ExitCode::of_run(&run, arguments.strict || quest.strict))
}

/// Everything passed that the quest requires, whatever else `--strict` asks for.
fn passed(run: &Run, quest: &Quest) -> bool {
    ExitCode::of_run(run, quest.strict) == ExitCode::Passed
}

/// The quest that is called `name`.
pub(super) fn find_quest(name: &str) -> Result<Quest, Stop> {
    if let Some(quest) = quests::find(name)? {
        return Ok(quest);
    }
    let known: Vec<String> = quests::catalogue()?.into_iter().map(|quest| quest.id).collect();
    let closest = did_you_mean(name, known.iter().map(String::as_str));
    Err(Stop::usage(format!("there is no quest {name:?}{closest}\nquests: {}", known.join(", "))))
}

/// The ids that `--only` names; `None` when it is not there.
fn ids(quest: &Quest, only: &[String]) -> Result<Option<Vec<Id>>, Stop> {
    let ids: Result<Vec<Id>, Stop> = only.iter().map(|text| id(quest, text)).collect();
    Ok(Some(ids?).filter(|ids| !ids.is_empty()))
}

/// The id that `text` names, if the quest asks for it.
pub(super) fn id(quest: &Quest, text: &str) -> Result<Id, Stop> {
    match text.parse::<Id>() {
        Ok(id) if quest.rule(id).is_some() => Ok(id),
        _ => {
            let known: Vec<String> = quest.requirements.iter().map(|rule| rule.id.to_string()).collect();
            let closest = did_you_mean(text.trim(), known.iter().map(String::as_str));
            let all = known.join(", ");
            Err(Stop::usage(format!(
                "quest {} has no requirement {text:?}{closest}\nrequirements: {all}",
                quest.id
            )))
        }
    }
}

/// The harness as it was called, for commands in a report: what is found through PATH or by a path works again.
pub(super) fn own_name() -> String {
    env::args_os().next().map_or_else(|| "quest".into(), |name| shell::quoted(&name))
}

/// What to say when there is no run.
pub(super) fn stop(error: RunError) -> Stop {
    let code = ExitCode::of_error(&error);
    let message = match error {
        RunError::Submission(SubmissionError::Build { summary, output }) => {
            format!("{}\n\n{}", escape(&summary), escape_block(&output))
        }
        RunError::Interrupted => return Stop::interrupted(),
        other => escape(&other.to_string()),
    };
    Stop { code, message }
}

/// Brings the events of a run to the terminal and to the report.
struct Writer<'a> {
    plan: &'a Plan<'a>,
    format: &'static dyn Format,
    screen: Screen,
    out: Option<&'a PathBuf>,
    seen: Vec<Verdict>,
}

impl<'a> Writer<'a> {
    fn new(arguments: &'a Arguments, plan: &'a Plan<'a>) -> Result<Self, Stop> {
        let format =
            report::format(&arguments.format).ok_or_else(|| Stop::usage("there is no such format"))?;
        let palette = match arguments.out {
            Some(_) => Palette::plain(),
            None => palette_for(&io::stdout()),
        };
        let look =
            Look { palette, width: width(), verbose: arguments.verbose, quest: plan.command.quest.clone() };
        let screen = Screen::with(look, Output::open(arguments.out.as_deref())?);
        Ok(Self { plan, format, screen, out: arguments.out.as_ref(), seen: Vec::new() })
    }

    fn on(&mut self, event: Event<'_>) {
        let submission = self.plan.submission;
        let (name, kind) = (submission.given().display().to_string(), submission.kind().to_string());
        match event {
            Event::Building => self.screen.progress.doing(format!("building {} ({kind})", escape(&name))),
            Event::Checking { count } => {
                let (quest, seed) = (self.plan.quest.id.as_str(), self.plan.seed);
                let head = Head { quest, submission: &name, kind: &kind, seed, count };
                self.write(|format, look, out| format.begin(&head, look, out));
            }
            Event::Started { id, title } => self.screen.progress.doing(format!("{id}  {title}")),
            Event::Finished(verdict) => {
                let seen = mem::take(&mut self.seen);
                self.write(|format, look, out| format.verdict(verdict, &seen, look, out));
                self.seen = seen;
                self.seen.push(verdict.clone());
            }
        }
    }

    fn write(&mut self, part: impl FnOnce(&dyn Format, &Look, &mut dyn Write) -> io::Result<()>) {
        self.screen.write(|look, out| part(self.format, look, out));
    }

    fn finish(mut self, run: &Run, started: Instant) -> Result<(), Stop> {
        self.screen.progress.done();
        self.write(|format, look, out| format.end(run, started.elapsed(), look, out));
        self.screen.finish()?;
        if let Some(path) = self.out {
            wrote(&format!("the report to {}", path.display()));
        }
        Ok(())
    }
}
