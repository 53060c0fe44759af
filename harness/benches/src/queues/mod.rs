//! The queue by itself: the server's [`TaskQueue`](../../../src/handoff/task_queue.rs) against the plain ring of lesson 01
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
use crate::report::Report;
use crate::stats::Summary;
use crate::table::Table;
use case::{Case, Cores, Queue};
use run::Programs;
use sample::Sample;

/// A queue is started quickly and its figures scatter: each round of the command line is two here, of half the length.
const ROUNDS_IN_ONE: u32 = 2;

/// What was measured in one situation: for each queue all rounds, `None` where a round was dropped.
struct Measured {
    case: Case,
    samples: Vec<Vec<Option<Sample>>>,
}

/// Measures all situations and reports them.
pub fn run(context: &Context, report: &mut Report) -> Result<()> {
    let programs = Programs::build(context)?;
    let rounds = context.options.rounds * ROUNDS_IN_ONE;
    let length = Duration::from_millis(u64::from(context.options.round_ms / ROUNDS_IN_ONE).max(10));
    report.text(&format!(
        "One producer, 1 or 4 consumers, tasks that cost nothing; {rounds} rounds of {} ms. Median (quartiles). \
         \"pool_server / it\" is the ratio of throughputs in the same round.",
        length.as_millis()
    ));
    let cases = Case::all();
    let bar = context.progress("queues", cases.len() * rounds as usize);
    let mut measured = Vec::new();
    for case in cases {
        let mut samples = vec![Vec::new(); Queue::ALL.len()];
        for _ in 0..rounds {
            bar.set_message(case.words());
            for (samples, queue) in samples.iter_mut().zip(Queue::ALL) {
                samples.push(programs.measure(queue, case, length, context.options.disturbed / 100.0)?);
            }
            bar.inc(1);
        }
        measured.push(Measured { case, samples });
    }
    bar.finish_and_clear();
    for one in &measured {
        report.heading(&one.case.words());
        report.table(&one.table());
        if one.dropped() > 0 {
            report.text(&format!("{} measurements were dropped: others used the processor.", one.dropped()));
        }
        report.raw(&one.case.key(), one.raw())?;
    }
    report.heading("What spinning buys and costs");
    report.text(
        "crossbeam-channel and sync_channel (which is built from it) look again and again for some microseconds before they \
         sleep. pool_server never spins. The ratios are theirs to pool_server's: more tasks per second, and more processor \
         time for each task when tasks are rare.",
    );
    report.table(&spinning(&measured));
    Ok(())
}

impl Measured {
    fn of(&self, queue: Queue) -> &[Option<Sample>] {
        let place = Queue::ALL.iter().position(|known| *known == queue).unwrap_or_default();
        &self.samples[place]
    }

    /// One figure of all rounds of one queue.
    fn figures(&self, queue: Queue, figure: fn(&Sample) -> f64) -> Vec<Option<f64>> {
        self.of(queue).iter().map(|sample| sample.as_ref().map(figure)).collect()
    }

    fn ratio(&self, a: Queue, b: Queue, figure: fn(&Sample) -> f64) -> Option<Summary> {
        Summary::of_ratios(&self.figures(a, figure), &self.figures(b, figure))
    }

    fn dropped(&self) -> usize {
        self.samples.iter().flatten().filter(|sample| sample.is_none()).count()
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            "queue",
            "million/s",
            "CPU ns each",
            "switches per 1,000",
            "pool_server / it",
            "goal",
            "",
        ]);
        for queue in Queue::ALL {
            let summary = |figure| Summary::of(self.figures(queue, figure).into_iter().flatten());
            let ratio = self.ratio(Queue::PoolServer, queue, Sample::throughput);
            let goal = self.case.goal(queue);
            table.row([
                queue.title().to_owned(),
                shown(summary(|sample| sample.throughput() / 1e6), 2),
                shown(summary(Sample::cpu_per_operation), 0),
                shown(summary(|sample| 1000.0 * sample.switches_per_operation()), 1),
                if queue == Queue::PoolServer { String::new() } else { shown(ratio, 2) },
                goal.map_or_else(String::new, |goal| format!("{goal:.1}")),
                verdict(ratio, goal).to_owned(),
            ]);
        }
        table
    }

    fn raw(&self) -> BTreeMap<&'static str, &[Option<Sample>]> {
        Queue::ALL.iter().map(|queue| (queue.name(), self.of(*queue))).collect()
    }
}

/// What the queues that spin have, as ratios to the server's.
fn spinning(measured: &[Measured]) -> Table {
    let mut table =
        Table::new(["situation", "crossbeam: tasks/s", "CPU each", "sync_channel: tasks/s", "CPU each"]);
    for one in measured.iter().filter(|one| one.case.cores == Cores::All) {
        let mut row = vec![one.case.words()];
        for queue in [Queue::Crossbeam, Queue::SyncChannel] {
            row.push(shown(one.ratio(queue, Queue::PoolServer, Sample::throughput), 2));
            row.push(shown(one.ratio(queue, Queue::PoolServer, Sample::cpu_per_operation), 2));
        }
        table.row(row);
    }
    table
}

fn shown(summary: Option<Summary>, digits: usize) -> String {
    summary.map_or_else(|| "not measured".to_owned(), |summary| format!("{summary:.digits$}"))
}

/// A goal is met if the median says so.
fn verdict(ratio: Option<Summary>, goal: Option<f64>) -> &'static str {
    match (ratio, goal) {
        (Some(ratio), Some(goal)) if ratio.median >= goal => "met",
        (Some(_), Some(_)) => "not met",
        _ => "",
    }
}
