//! How the cost of a request grows with connections, workers and capacity.

use anyhow::Result;
use serde::Serialize;

use super::{can_count, limit, most_connections, plan, servers};
use crate::context::Context;
use crate::kernel::ANY_CALL;
use crate::load::{Shape, Task};
use crate::measure::{Plan, Sample, Series, cell, measure};
use crate::plot::{Plot, Points};
use crate::report::{Limit, Report};
use crate::section::Section;
use crate::servers::{OURS, Server};
use crate::stats::Summary;
use crate::table::Table;

/// Costs as a function of size.
pub const GROWTH: Section =
    Section { name: "growth", about: "Growth: what a request costs as everything gets bigger", run };

/// So many clients send while others are idle, and while workers and capacity vary.
const ACTIVE: usize = 30;
const CONNECTIONS: [usize; 8] = [1, 10, 30, 100, 300, 1000, 3000, 10_000];
const WORKERS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
const CAPACITIES: [u32; 9] = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536];
/// In so many rounds calls are counted, in the others time.
const COUNTED_ROUNDS: usize = 2;
/// Growth that may be noise: above this, costs have grown with idle connections.
const MAY_BE_NOISE: f64 = 1.10;

/// One size of one thing.
#[derive(Clone, Serialize)]
struct Step {
    /// What stands on the axis.
    size: u32,
    shape: Shape,
    workers: u32,
    capacity: u32,
    /// Rounds without counting calls.
    timed: Series,
    /// Others with it, for the calls only.
    counted: Series,
}

/// One curve.
#[derive(Serialize)]
struct Curve {
    name: &'static str,
    steps: Vec<Step>,
}

fn run(context: &Context, report: &mut Report) -> Result<()> {
    let servers = servers(context, report)?;
    let Some(ours) = servers.iter().find(|server| server.name == OURS) else {
        report.text("Only pool_server is measured here, and it was not chosen.");
        return Ok(());
    };
    let most = most_connections()?;
    let (workers, capacity) = (context.options.workers, context.options.capacity);
    let step = |size: usize, shape, workers, capacity| Step {
        size: size as u32,
        shape,
        workers,
        capacity,
        timed: Series::default(),
        counted: Series::default(),
    };
    let sizes = || CONNECTIONS.into_iter().filter(move |&count| count <= most);
    let idle = |count: usize| Shape { idle: count - ACTIVE.min(count), ..Shape::clients(ACTIVE.min(count)) };
    let active = Shape::clients(ACTIVE);
    let mut curves = [
        Curve {
            name: "all active",
            steps: sizes().map(|it| step(it, Shape::clients(it), workers, capacity)).collect(),
        },
        Curve {
            name: "30 active, the others idle",
            steps: sizes()
                .filter(|&it| it >= ACTIVE)
                .map(|it| step(it, idle(it), workers, capacity))
                .collect(),
        },
        Curve { name: "workers", steps: WORKERS.map(|it| step(it as usize, active, it, capacity)).to_vec() },
        Curve {
            name: "capacity",
            steps: CAPACITIES.map(|it| step(it as usize, active, workers, it)).to_vec(),
        },
    ];
    report.text("pool_server alone; tasks cost next to nothing; 30 connections where nothing else is said.");
    let tracepoints: &[&str] = if can_count(report) { &[ANY_CALL] } else { &[] };
    take_all(context, ours, &mut curves, tracepoints)?;

    let [all_active, some_idle, by_workers, by_capacity] = &curves;
    write(context, report, "connections", &[all_active, some_idle])?;
    write(context, report, "workers", &[by_workers])?;
    write(context, report, "capacity", &[by_capacity])?;
    note_goal(context, report, some_idle);
    report.raw("curves", &curves)
}

/// All sizes take turns, round by round.
fn take_all(context: &Context, server: &Server, curves: &mut [Curve], tracepoints: &[&str]) -> Result<()> {
    let rounds = context.options.rounds as usize;
    let steps: usize = curves.iter().map(|curve| curve.steps.len()).sum();
    let bar = context.progress("Growing", steps * (rounds + COUNTED_ROUNDS));
    let task = Task::new(0, 1);
    for round in 0..rounds + COUNTED_ROUNDS {
        let is_counted = round < COUNTED_ROUNDS;
        for curve in curves.iter_mut() {
            for step in &mut curve.steps {
                bar.set_message(format!("{}: {}", curve.name, step.size));
                let plan = Plan {
                    workers: step.workers,
                    capacity: step.capacity,
                    tracepoints: if is_counted { tracepoints } else { &[] },
                    ..plan(context, step.shape, &task)
                };
                let sample = measure(context, server, &plan)?;
                if is_counted { &mut step.counted } else { &mut step.timed }.0.push(sample);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A table and a plot for what varies.
fn write(context: &Context, report: &mut Report, what: &str, curves: &[&Curve]) -> Result<()> {
    report.heading(&format!("Cost of a request by {what}"));
    let mut table = Table::new(["", what, "CPU us/request", "calls/request", "requests/s", "p99 us"]);
    for curve in curves {
        for step in &curve.steps {
            let find = |digits: usize, figure: &dyn Fn(&Sample) -> f64| {
                cell(step.timed.find(limit(context), figure), |it| it.median(digits))
            };
            table.row([
                curve.name.to_owned(),
                step.size.to_string(),
                find(2, &Sample::cpu_per_request),
                cell_of(calls(step)),
                find(0, &Sample::throughput),
                find(0, &|it| it.latency[1]),
            ]);
        }
    }
    report.table(&table);

    let cpu = |step: &Step| {
        let found = step.timed.find(limit(context), Sample::cpu_per_request)?.summary;
        Some((f64::from(step.size), [found.lower, found.median, found.upper]))
    };
    let points = |curve: &Curve| Points {
        name: curve.name.to_owned(),
        points: curve.steps.iter().filter_map(cpu).collect(),
    };
    let plot = Plot {
        title: format!("pool_server: processor time per request by {what}"),
        x: what.to_owned(),
        y: "microseconds per request".to_owned(),
        series: curves.iter().map(|curve| points(curve)).collect(),
    };
    report.plot(&format!("growth-{what}.svg"), &plot.svg())
}

fn calls(step: &Step) -> f64 {
    step.counted.find(f64::INFINITY, |it| it.calls(0)).map_or(f64::NAN, |it| it.summary.median)
}

fn cell_of(calls: f64) -> String {
    if calls.is_nan() { "-".to_owned() } else { format!("{calls:.2}") }
}

/// With the same 30 clients active, the other connections must not cost anything.
fn note_goal(context: &Context, report: &mut Report, some_idle: &Curve) {
    let [first, .., last] = &some_idle.steps[..] else { return };
    let what = format!("CPU per request, {ACTIVE} of {} connections active / {ACTIVE} alone", last.size);
    let found = last.timed.compare(&first.timed, limit(context), Sample::cpu_per_request);
    let is_disturbed = found.is_some_and(|it| it.disturbed);
    report.goal(what, Limit::AtMost(MAY_BE_NOISE), found.map(|it| it.summary), is_disturbed);
    let ratio = calls(last) / calls(first);
    let what = format!("calls per request, {ACTIVE} of {} connections active / {ACTIVE} alone", last.size);
    report.goal(what, Limit::AtMost(MAY_BE_NOISE), Summary::of([ratio]), false);
}
