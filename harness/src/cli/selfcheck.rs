//! `quest selfcheck`: grades the whole corpus of a quest and says where a verdict is not what the manifests say.

use super::{
    ExitCode, Stop,
    check::{find_quest, own_name},
    exit_code,
    output::Output,
    palette_for,
    progress::Progress,
    suggest::did_you_mean,
    width,
};
use crate::{
    error::{HarnessError, RunError},
    quests::{
        self, Quest,
        corpus::{self, Entry},
    },
    report::{Look, escape, matrix},
    runner,
    selfcheck::{self, Event, FORMAT_VERSION, Grader, Matrix, Plan},
};
use clap::Args;
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

/// Prove the checks: grade every program of the corpus and compare with its manifest
#[derive(Args, Debug)]
#[command(after_help = format!("\
The starter must fail all that is required, the solution and the right programs that look wrong \
must pass, and every broken program must fail exactly the ids that its quest.toml names.

Examples:
  quest selfcheck                            everything; takes some minutes
  quest selfcheck --out target/selfcheck     with the matrix as JSON and as a page;
                                             goes on where it was interrupted
  quest selfcheck semaphores c11-threads     two programs of the corpus
  quest selfcheck --only-kind variant        all right programs that look wrong

Exit status:
  0    everything is as it must be
  1    some verdict is not
{}", exit_code::HELP_OTHERS))]
pub(super) struct Arguments {
    /// Only these programs, by the names of their folders
    #[arg(value_name = "PROGRAM")]
    programs: Vec<String>,

    /// Only programs of this kind
    #[arg(long, value_name = "KIND", value_enum)]
    only_kind: Option<corpus::Kind>,

    /// The quest whose corpus it is
    #[arg(long, value_name = "NAME", default_value = quests::DEFAULT)]
    quest: String,

    /// The folder of all quests; without it the nearest `quests` here or above
    #[arg(long, value_name = "DIR")]
    quests: Option<PathBuf>,

    /// One more submission, which must pass everything
    #[arg(long, value_name = "PATH")]
    also: Vec<PathBuf>,

    /// Write selfcheck.json and selfcheck.html into this folder, and take over from there what has not changed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Grade everything again, whatever an earlier run has found
    #[arg(long, requires = "out")]
    fresh: bool,

    /// How many programs are graded at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,

    /// The seed of every check
    #[arg(long, value_name = "N", default_value_t = runner::DEFAULT_SEED)]
    seed: u64,
}

/// The names of the files in `--out`.
const JSON: &str = "selfcheck.json";
const PAGE: &str = "selfcheck.html";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Stop> {
    let quest = find_quest(&arguments.quest)?;
    let folder = folder_of(&quest, arguments.quests.as_deref())?;
    let entries = chosen(corpus::entries(&quest, &folder)?, arguments)?;
    let mut ids: Vec<_> = quest.requirements.iter().map(|rule| rule.id).collect();
    ids.sort();
    let executable = env::current_exe().map_err(|e| HarnessError::system("find this executable", e))?;
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(usize::from(u16::MAX)));
    let plan = Plan {
        quest: &quest.id,
        ids,
        entries,
        jobs: arguments.jobs.map_or(cores, usize::from),
        grader: Grader::new(executable, arguments.seed),
    };
    let earlier = match &arguments.out {
        Some(out) if !arguments.fresh => earlier(out)?,
        _ => None,
    };
    if let Some(out) = &arguments.out {
        fs::create_dir_all(out)
            .map_err(|e| HarnessError::system(format!("make the folder {}", out.display()), e))?;
    }
    let started = Instant::now();
    let mut screen = Screen::new(plan.entries.len());
    let graded = selfcheck::run(&plan, earlier.as_ref(), &mut |event| {
        screen.on(event);
        if let (Event::Finished(matrix, _), Some(out)) = (event, &arguments.out)
            && screen.failed.is_none()
        {
            screen.failed = write(&out.join(JSON), &json(matrix)).err();
        }
    });
    screen.progress.done();
    let matrix = match graded {
        Ok(matrix) => matrix,
        Err(RunError::Interrupted) => return Err(Stop::interrupted()),
        Err(error) => return Err(Stop { code: ExitCode::OwnFault, message: escape(&error.to_string()) }),
    };
    screen.write(|look, out| matrix::end(&matrix, started.elapsed(), look, out));
    if let Some(stop) = screen.failed {
        return Err(stop);
    }
    if let Some(out) = &arguments.out {
        write(&out.join(JSON), &json(&matrix))?;
        let page = matrix::page(&matrix).map_err(|e| HarnessError::Broken(format!("make the page: {e}")))?;
        write(&out.join(PAGE), &page)?;
        let verb = palette_for(&io::stderr()).verb;
        let files = out.join("selfcheck.{json,html}");
        anstream::eprintln!("{verb}{:>12}{verb:#} {}", "Wrote", escape(&files.display().to_string()));
    }
    Ok(if matrix.mismatches().next().is_none() { ExitCode::Passed } else { ExitCode::Failed })
}

/// The folder of this quest.
pub(super) fn folder_of(quest: &Quest, quests: Option<&Path>) -> Result<PathBuf, Stop> {
    let holds = |folder: &Path| folder.join(&quest.id).join("quest.toml").is_file();
    let found = match quests {
        Some(quests) => Some(quests.to_owned()),
        None => {
            let here =
                env::current_dir().map_err(|e| HarnessError::system("find the working directory", e))?;
            let above = here.ancestors().map(|folder| folder.join("quests")).find(|quests| holds(quests));
            // Shown as it would be typed from here, if it lies here.
            above.map(|quests| quests.strip_prefix(&here).map(Path::to_owned).unwrap_or(quests))
        }
    };
    match found {
        Some(quests) if holds(&quests) => Ok(quests.join(&quest.id)),
        Some(quests) => Err(Stop::usage(format!(
            "{} holds no {}/quest.toml: name the folder of all quests",
            quests.display(),
            quest.id
        ))),
        None => Err(Stop::usage(
            "there is no folder `quests` here or above; the corpus is part of the repository: run this there, or name the \
             folder with --quests",
        )),
    }
}

/// The programs that were asked for.
fn chosen(entries: Vec<Entry>, arguments: &Arguments) -> Result<Vec<Entry>, Stop> {
    for name in &arguments.programs {
        if !entries.iter().any(|entry| entry.name == *name) {
            let closest = did_you_mean(name, entries.iter().map(|entry| entry.name.as_str()));
            return Err(Stop::usage(format!("the corpus has no program {name:?}{closest}")));
        }
    }
    let named = |entry: &Entry| arguments.programs.is_empty() || arguments.programs.contains(&entry.name);
    let of_kind = |entry: &Entry| arguments.only_kind.is_none_or(|kind| kind == entry.kind);
    let also = arguments.also.iter().map(|path| Entry::server(path));
    Ok(entries.into_iter().filter(|entry| named(entry) && of_kind(entry)).chain(also).collect())
}

/// The matrix of an earlier run in this folder.
fn earlier(out: &Path) -> Result<Option<Matrix>, Stop> {
    let file = out.join(JSON);
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HarnessError::system(format!("read {}", file.display()), error).into()),
    };
    // What cannot be read is of another version: everything is graded again, and the file replaced.
    Ok(serde_json::from_slice(&text).ok().filter(|matrix: &Matrix| matrix.format_version == FORMAT_VERSION))
}

fn json(matrix: &Matrix) -> String {
    let text = serde_json::to_string_pretty(matrix).expect("plain data has a JSON form");
    format!("{text}\n")
}

fn write(path: &Path, text: &str) -> Result<(), Stop> {
    let mut output = Output::open(Some(path))?;
    output.write(text.as_bytes())?;
    output.finish()
}

/// Brings what happens to the terminal.
struct Screen {
    look: Look,
    output: Output,
    progress: Progress,
    count: usize,
    done: usize,
    begun: bool,
    /// The first thing that went wrong while writing.
    failed: Option<Stop>,
}

impl Screen {
    fn new(count: usize) -> Self {
        let look =
            Look { palette: palette_for(&io::stdout()), width: width(), verbose: false, quest: own_name() };
        let output = Output::Stdout { open: true };
        Self { look, output, progress: Progress::new(), count, done: 0, begun: false, failed: None }
    }

    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Started(entry) => {
                let (at, count) = (self.done + 1, self.count);
                self.progress.doing(format!("{at} of {count}: {} {}", entry.kind, escape(&entry.name)));
            }
            Event::Finished(matrix, row) => {
                self.done += 1;
                if !self.begun {
                    self.begun = true;
                    let count = self.count;
                    self.write(|look, out| matrix::head(matrix, count, look, out));
                }
                self.write(|look, out| matrix::row(matrix, row, look, out));
            }
        }
    }

    fn write(&mut self, part: impl FnOnce(&Look, &mut dyn io::Write) -> io::Result<()>) {
        let mut text = Vec::new();
        // Memory takes everything.
        let _ = part(&self.look, &mut text);
        if self.failed.is_none() {
            self.failed = self.progress.aside(|| self.output.write(&text)).err();
        }
    }
}
