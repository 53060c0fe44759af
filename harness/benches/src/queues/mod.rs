//! The queue by itself: the server's `TaskQueue` against the plain ring of lesson 01
//! and the bounded channels of Rust.
//!
//! One thread puts tasks in, one or four take them out, and a task costs nothing. Each measurement is a process of its
//! own, so that what the kernel counts belongs to one queue; the queues take turns within each round.

mod case;
mod run;
mod sample;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::context::Context;
use crate::report::{Limit, Report};
use crate::section::Section;
use crate::stats::Summary;
use crate::table::Table;
use case::{Case, Cores, Queue};
use run::Programs;
use sample::Sample;

/// A queue is started quickly, and its figures scatter: a round of the command line is two here, of half the length.
const ROUNDS_IN_ONE: u32 = 2;

/// This section.
pub const SECTION: Section =
    Section { name: "queues", about: "The queue by itself: the server's against others", run };

/// What was measured in one situation: all rounds of each queue.
struct Measured {
    case: Case,
    samples: Vec<Vec<Sample>>,
    /// Hardly any measurement was left alone, so all of them count.
    disturbed: bool,
    dropped: usize,
    /// What others may take.
    limit: f64,
}

fn run(context: &Context, report: &mut Report) -> Result<()> {
    let programs = Programs::build(context)?;
    let rounds = context.options.rounds * ROUNDS_IN_ONE;
    let length = Duration::from_millis(u64::from(context.options.round_ms / ROUNDS_IN_ONE));
    report.text(&format!(
        "One producer, 1 or 4 consumers, tasks that cost nothing; {rounds} rounds of {} ms, each in a process of its own. \
         Medians with quartiles. \"Ours to it\" compares throughputs of the same round. On one core a figure shows what the \
         operations cost; on all cores also how expensive it is to meet.",
        length.as_millis()
    ));
    let bar = context.progress("queues", Case::all().len() * rounds as usize);
    let mut all = Vec::new();
    for case in Case::all() {
        bar.set_message(case.words());
        let mut samples = vec![Vec::new(); Queue::ALL.len()];
        for _ in 0..rounds {
            for (samples, queue) in samples.iter_mut().zip(Queue::ALL).filter(|(_, queue)| case.has(*queue)) {
                samples.push(programs.measure(queue, case, length)?);
            }
            bar.inc(1);
        }
        all.push(Measured::new(case, samples, context.options.disturbed / 100.0));
    }
    bar.finish_and_clear();
    all.iter().try_for_each(|measured| measured.tell(report))?;
    report.heading("What spinning buys and costs");
    report.text(
        "crossbeam-channel, and sync_channel which is built like it, look again and again before they sleep; pool_server never \
         spins. Their figures as multiples of pool_server's, on all cores: tasks per second, and processor time for each task, \
         which is what spinning costs where tasks are rare.",
    );
    report.table(&spinning(&all));
    Ok(())
}

impl Measured {
    fn new(case: Case, samples: Vec<Vec<Sample>>, limit: f64) -> Measured {
        let dropped = samples.iter().flatten().filter(|sample| sample.others > limit).count();
        // Half of the rounds have to be left.
        let disturbed = 2 * dropped > samples.iter().flatten().count();
        Measured { case, samples, disturbed, dropped, limit }
    }

    fn of(&self, queue: Queue) -> &[Sample] {
        let place = Queue::ALL.iter().position(|known| *known == queue).unwrap_or_default();
        &self.samples[place]
    }

    /// One figure of all rounds of one queue; `None` where others disturbed it.
    fn figures(&self, queue: Queue, figure: impl Fn(&Sample) -> f64) -> Vec<Option<f64>> {
        let counts = |sample: &&Sample| self.disturbed || sample.others <= self.limit;
        self.of(queue).iter().map(|sample| Some(sample).filter(counts).map(&figure)).collect()
    }

    fn summary(&self, queue: Queue, figure: impl Fn(&Sample) -> f64) -> Option<Summary> {
        Summary::of(self.figures(queue, figure).into_iter().flatten())
    }

    fn ratio(&self, a: Queue, b: Queue, figure: fn(&Sample) -> f64) -> Option<Summary> {
        Summary::of_ratios(&self.figures(a, figure), &self.figures(b, figure))
    }

    /// Writes the table, the goals and the raw figures.
    fn tell(&self, report: &mut Report) -> Result<()> {
        report.heading(&self.case.words());
        report.table(&self.table());
        match (self.disturbed, self.dropped) {
            (_, 0) => {}
            (true, _) => {
                report.text("Others used the processors in most measurements: all of them count here.")
            }
            (false, dropped) => {
                report.text(&format!("{dropped} measurements dropped: others used the processors."))
            }
        }
        for queue in Queue::ALL {
            let Some(goal) = self.case.goal(queue) else { continue };
            let what = format!("queue {}: throughput to {}", self.case.words(), queue.title());
            let ratio = self.ratio(Queue::PoolServer, queue, Sample::throughput);
            report.goal(what, Limit::AtLeast(goal), ratio, self.disturbed);
        }
        let raw: BTreeMap<_, _> = Queue::ALL.iter().map(|queue| (queue.name(), self.of(*queue))).collect();
        report.raw(&self.case.key(), raw)
    }

    fn table(&self) -> Table {
        let is_paced = self.case.pause > 0;
        let compared = if is_paced { "its CPU to ours" } else { "ours to it" };
        let mut table = Table::new(["queue", "million/s", "CPU ns each", "switches per 1,000", compared]);
        for queue in Queue::ALL.into_iter().filter(|queue| self.case.has(*queue)) {
            let ratio = match queue {
                Queue::PoolServer => None,
                _ if is_paced => self.ratio(queue, Queue::PoolServer, Sample::cpu_per_operation),
                _ => self.ratio(Queue::PoolServer, queue, Sample::throughput),
            };
            table.row([
                queue.title().to_owned(),
                self.shown(self.summary(queue, |it| it.throughput() / 1e6), if is_paced { 4 } else { 2 }),
                self.shown(self.summary(queue, Sample::cpu_per_operation), 0),
                self.shown(self.summary(queue, |it| 1000.0 * it.switches_per_operation()), 1),
                self.shown(ratio, 2),
            ]);
        }
        table
    }

    /// With the mark of a disturbed figure.
    fn shown(&self, summary: Option<Summary>, digits: usize) -> String {
        let mark = if self.disturbed { "~" } else { "" };
        summary.map_or_else(|| "-".to_owned(), |summary| format!("{mark}{summary:.digits$}"))
    }
}

/// What the queues that spin have, as multiples of what the server's has.
fn spinning(all: &[Measured]) -> Table {
    let mut table =
        Table::new(["situation", "crossbeam: tasks/s", "CPU each", "sync_channel: tasks/s", "CPU each"]);
    for measured in all.iter().filter(|measured| measured.case.cores == Cores::All) {
        let mut row = vec![measured.case.words()];
        for queue in [Queue::Crossbeam, Queue::SyncChannel] {
            for figure in [Sample::throughput, Sample::cpu_per_operation] {
                row.push(measured.shown(measured.ratio(queue, Queue::PoolServer, figure), 2));
            }
        }
        table.row(row);
    }
    table
}
