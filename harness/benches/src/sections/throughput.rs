//! Throughput, processor time and latency of all servers, side by side.

use anyhow::Result;
use serde::Serialize;

use super::{SHAPES, limit, plan, servers};
use crate::cli::Placement;
use crate::context::Context;
use crate::load::{Cost, Shape, Task};
use crate::measure::{Finding, Plan, Sample, Series, cell, measure};
use crate::report::{Limit, Report};
use crate::section::Section;
use crate::servers::{INLINE, LESSON, OURS, Server};
use crate::table::Table;

/// Throughput and the rest.
pub const SERVERS: Section =
    Section { name: "servers", about: "Throughput, processor time and latency, side by side", run };

/// Places in [`SHAPES`].
const AT_30: usize = 1;
const AT_1000: usize = 2;
const PIPELINED: usize = 3;
/// Microseconds.
const COSTS: [u32; 3] = [0, 10, 100];

/// Where one connection alone is looked at.
const PLACEMENTS: [Placement; 3] = [Placement::Free, Placement::OneCore, Placement::Together];

/// By how much pool_server's throughput with tiny tasks shall exceed a peer's: peer, place in [`SHAPES`], ratio.
const GOALS: &[(&str, usize, f64)] = &[
    (INLINE, AT_30, 0.80),
    (INLINE, AT_1000, 0.95),
    (LESSON, AT_30, 1.6),
    (LESSON, AT_1000, 1.8),
    (LESSON, PIPELINED, 3.8),
    ("tokio-blocking", AT_30, 1.4),
    ("tokio-blocking", AT_1000, 1.75),
    ("tokio-blocking", PIPELINED, 3.3),
    ("tokio-rayon", AT_30, 1.0),
    ("tokio-rayon", AT_1000, 1.15),
    ("tokio-rayon", PIPELINED, 1.9),
    ("tokio-crossbeam", AT_30, 1.0),
    ("tokio-crossbeam", AT_1000, 1.15),
    ("tokio-crossbeam", PIPELINED, 1.9),
];
/// Servers with a pool of workers besides ours.
const POOLS: &[&str] = &[LESSON, "tokio-blocking", "tokio-rayon", "tokio-crossbeam", "libuv"];

/// One load, and what all servers made of it.
#[derive(Serialize)]
struct Workload {
    shape: Shape,
    cost: Cost,
    placement: Placement,
    servers: Vec<&'static str>,
    series: Vec<Series>,
    #[serde(skip)]
    task: Task,
}

impl Workload {
    fn new(shape: Shape, cost: Cost, placement: Placement, servers: &[&Server]) -> Workload {
        Workload {
            shape,
            cost,
            placement,
            servers: servers.iter().map(|server| server.name).collect(),
            series: vec![Series::default(); servers.len()],
            task: Task::new(cost.length, shape.pipelined),
        }
    }

    fn of(&self, server: &str) -> Option<&Series> {
        self.servers.iter().position(|name| *name == server).map(|place| &self.series[place])
    }

    /// The ratio of ours to a peer.
    fn ratio(&self, peer: &str, limit: f64, figure: impl Fn(&Sample) -> f64) -> Option<Finding> {
        self.of(OURS)?.compare(self.of(peer)?, limit, figure)
    }

    fn words(&self) -> String {
        format!("{} connections, {} us", self.shape.words(), self.cost.wanted)
    }
}

fn run(context: &Context, report: &mut Report) -> Result<()> {
    let servers = servers(context, report)?;
    let costs = COSTS.map(Cost::calibrate);
    introduce(context, report, &costs);

    let placement = context.options.placement;
    let all: Vec<&Server> = servers.iter().collect();
    let limits: Vec<&Server> = servers.iter().filter(|it| [OURS, INLINE].contains(&it.name)).collect();
    let shared =
        costs.iter().flat_map(|&cost| SHAPES.map(|shape| Workload::new(shape, cost, placement, &all)));
    let one_core = SHAPES.map(|shape| Workload::new(shape, costs[0], Placement::OneCore, &limits));
    let alone = PLACEMENTS.map(|placement| Workload::new(SHAPES[0], costs[0], placement, &limits));
    let mut workloads: Vec<Workload> = shared.chain(one_core).chain(alone).collect();

    let rounds = context.options.rounds as usize;
    let steps: usize = workloads.iter().map(|it| it.servers.len()).sum();
    let bar = context.progress("Measuring", rounds * steps);
    for round in 0..rounds {
        for workload in &mut workloads {
            // Each round begins with another server.
            for turn in 0..workload.servers.len() {
                let place = (turn + round) % workload.servers.len();
                let Some(server) = servers.iter().find(|it| it.name == workload.servers[place]) else {
                    continue;
                };
                bar.set_message(format!("{}: {}", workload.words(), server.name));
                let sample = one_sample(context, server, workload)?;
                workload.series[place].0.push(sample);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();

    let samples = || workloads.iter().flat_map(|workload| &workload.series);
    let dropped: usize = samples().map(|series| series.dropped(limit(context))).sum();
    report.text(&format!("Dropped because of others: {dropped} of {} measurements.", rounds * steps));
    let (shared, rest) = workloads.split_at(costs.len() * SHAPES.len());
    let (one_core, alone) = rest.split_at(SHAPES.len());
    for of_cost in shared.chunks(SHAPES.len()) {
        write_ratios(context, report, of_cost, "Throughput", Sample::throughput);
    }
    let of_0_us = &shared[..SHAPES.len()];
    write_ratios(context, report, of_0_us, "Processor time per request", Sample::cpu_per_request);
    write_one_core(context, report, one_core);
    write_alone(context, report, alone);
    shared.iter().for_each(|workload| write_details(context, report, workload));
    note_goals(context, report, shared, one_core);
    report.raw("workloads", &workloads)
}

fn introduce(context: &Context, report: &mut Report, costs: &[Cost]) {
    let options = &context.options;
    let costs = costs.iter().map(|it| format!("{:.1} us (line of {} bytes)", it.measured, it.length));
    report.text(&format!(
        "{} rounds of {} ms; the servers take turns within a round. {} workers, capacity {}. A task costs {}.",
        options.rounds,
        options.round_ms,
        options.workers,
        options.capacity,
        costs.collect::<Vec<_>>().join(", ")
    ));
    report.text(&format!("Processors: {}. The load generator is one thread.", options.placement.words()));
    report.text(&format!(
        "Ratios are those of the same round: median (lower-upper quartile). A measurement is dropped if other \
         processes took more than {} % of a processor. If that leaves less than half of the rounds, all count, and ~ \
         marks the figure.",
        options.disturbed
    ));
}

fn one_sample(context: &Context, server: &Server, workload: &Workload) -> Result<Sample> {
    let plan = plan(context, workload.shape, &workload.task);
    measure(context, server, &Plan { placement: workload.placement, ..plan })
}

/// For one cost: the ratio of one figure of pool_server to that of each peer.
fn write_ratios(
    context: &Context,
    report: &mut Report,
    of_cost: &[Workload],
    what: &str,
    figure: impl Fn(&Sample) -> f64,
) {
    let [first, ..] = of_cost else { return };
    report.heading(&format!("{what}, pool_server / peer; tasks of {} us", first.cost.wanted));
    let headings = of_cost.iter().map(|workload| workload.shape.words());
    let mut table = Table::new(["connections".to_owned()].into_iter().chain(headings));
    for peer in first.servers.iter().filter(|name| **name != OURS) {
        let ratios = of_cost
            .iter()
            .map(|workload| cell(workload.ratio(peer, limit(context), &figure), |it| it.words(2)));
        table.row([(*peer).to_owned()].into_iter().chain(ratios));
    }
    report.table(&table);
}

/// Against the limit with one processor for the server.
fn write_one_core(context: &Context, report: &mut Report, one_core: &[Workload]) {
    report.heading("Against the limit on one core: pool_server / inline, tasks of 0 us");
    report.text(&format!("Processors: {}.", Placement::OneCore.words()));
    let mut table = Table::new(["connections", "CPU per request", "throughput"]);
    for workload in one_core {
        let cpu = workload.ratio(INLINE, limit(context), Sample::cpu_per_request);
        let throughput = workload.ratio(INLINE, limit(context), Sample::throughput);
        let cells = [cpu, throughput].map(|finding| cell(finding, |it| it.words(2)));
        table.row([workload.shape.words()].into_iter().chain(cells));
    }
    report.table(&table);
}

/// One client alone: who is woken where decides.
fn write_alone(context: &Context, report: &mut Report, alone: &[Workload]) {
    report.heading("One connection alone: where the time goes");
    report.text(
        "With one request under way, everybody else sleeps, and waking a processor that sleeps costs more than the \
         request. So the same server is fast or slow by where its threads happen to run. No goal is set.",
    );
    let mut table =
        Table::new(["server", "placement", "p50 us", "p99 us", "CPU us/request", "sleeps/request"]).left(2);
    for workload in alone {
        for (name, series) in workload.servers.iter().zip(&workload.series) {
            let find = |digits: usize, figure: &dyn Fn(&Sample) -> f64| {
                cell(series.find(limit(context), figure), |it| it.words(digits))
            };
            table.row([
                (*name).to_owned(),
                workload.placement.words().to_owned(),
                find(0, &|it| it.latency[0]),
                find(0, &|it| it.latency[1]),
                find(1, &Sample::cpu_per_request),
                find(2, &|it| it.per_request(it.sleeps)),
            ]);
        }
    }
    report.table(&table);
}

fn write_details(context: &Context, report: &mut Report, workload: &Workload) {
    report.heading(&workload.words());
    let mut table =
        Table::new(["server", "requests/s", "CPU us/request", "p50 us", "p99 us", "p99.9 us", "dropped"]);
    for (name, series) in workload.servers.iter().zip(&workload.series) {
        let find = |digits: usize, figure: &dyn Fn(&Sample) -> f64| {
            cell(series.find(limit(context), figure), |it| it.median(digits))
        };
        table.row([
            (*name).to_owned(),
            find(0, &Sample::throughput),
            find(2, &Sample::cpu_per_request),
            find(0, &|it| it.latency[0]),
            find(0, &|it| it.latency[1]),
            find(0, &|it| it.latency[2]),
            format!("{} of {}", series.dropped(limit(context)), series.0.len()),
        ]);
    }
    report.table(&table);
}

fn note_goals(context: &Context, report: &mut Report, shared: &[Workload], one_core: &[Workload]) {
    let limit = limit(context);
    let mut note = |what: String, goal: Limit, found: Option<Finding>| {
        // Without a finding the peer is not here or was not chosen.
        if let Some(found) = found {
            report.goal(what, goal, Some(found.summary), found.disturbed);
        }
    };
    let cpu = one_core[AT_30].ratio(INLINE, limit, Sample::cpu_per_request);
    note("CPU per request / inline, one core, 30 connections".to_owned(), Limit::AtMost(1.20), cpu);
    for &(peer, place, goal) in GOALS {
        let what = format!("throughput / {peer}, {} connections", SHAPES[place].words());
        note(what, Limit::AtLeast(goal), shared[place].ratio(peer, limit, Sample::throughput));
    }
    let of_100_us = &shared[(COSTS.len() - 1) * SHAPES.len()..];
    for workload in &of_100_us[AT_30..] {
        let ratios = POOLS.iter().filter_map(|peer| workload.ratio(peer, limit, Sample::throughput));
        let to_best = ratios.min_by(|a, b| a.summary.median.total_cmp(&b.summary.median));
        let what = format!("throughput / best pool, {} connections, 100 us", workload.shape.words());
        note(what, Limit::AtLeast(0.97), to_best);
    }
}
