//! One measurement: a fresh server, a load, and what the kernel and the clients counted in the same time.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sched::{sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;

use crate::children::pin_to;
use crate::cli::Placement;
use crate::context::Context;
use crate::kernel::{CallCounter, Switches};
use crate::load::{Edge, Load, Shape, Task};
use crate::machine::{BusyMoment, cpu_time};
use crate::servers::{Running, Server, Settings};
use crate::stats::Summary;

/// What to measure.
pub struct Plan<'a> {
    /// Under which load.
    pub shape: Shape,
    /// With which requests.
    pub task: &'a Task,
    /// Who runs where.
    pub placement: Placement,
    /// Worker threads.
    pub workers: u32,
    /// Most tasks that may wait.
    pub capacity: u32,
    /// Tracepoints to count. They cost time, so times are measured without.
    pub tracepoints: &'a [&'a str],
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Requests answered.
    pub requests: u64,
    /// How long that took, in seconds.
    pub seconds: f64,
    /// The server's processor time, in seconds.
    pub server_cpu: f64,
    /// The load generator's.
    pub load_cpu: f64,
    /// Everybody else's, as a share of one processor.
    pub others: f64,
    /// Bytes of requests and answers.
    pub bytes: u64,
    /// So often a thread of the server slept and was woken.
    pub sleeps: u64,
    /// So often one had to make room for another.
    pub preemptions: u64,
    /// What the tracepoints counted.
    pub counted: Vec<u64>,
    /// Microseconds from sending to the answer that 50, 99 and 99.9 % of the requests did not exceed.
    pub latency: [f64; 3],
}

impl Sample {
    /// Requests answered in a second.
    pub fn throughput(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// The server's processor time for one request, in microseconds.
    pub fn cpu_per_request(&self) -> f64 {
        self.server_cpu * 1e6 / self.requests as f64
    }

    /// What the tracepoint with this number counted, per request; no number if it was not counted.
    pub fn calls(&self, tracepoint: usize) -> f64 {
        self.counted.get(tracepoint).map_or(f64::NAN, |&count| self.per_request(count))
    }

    /// So much of a count falls to one request.
    pub fn per_request(&self, count: u64) -> f64 {
        count as f64 / self.requests as f64
    }
}

/// Starts the server, lets the load run, looks at both edges of the measured time, kills the server.
pub fn measure(context: &Context, server: &Server, plan: &Plan) -> Result<Sample> {
    try_to_measure(context, server, plan)
        .with_context(|| format!("{} with {} connections", server.name, plan.shape.words()))
}

fn try_to_measure(context: &Context, server: &Server, plan: &Plan) -> Result<Sample> {
    let window = Duration::from_millis(context.options.round_ms.into());
    let warm_up = window.div_f64(4.0).max(Duration::from_millis(30));
    let (for_server, for_load) = processors(plan.placement, context.machine.cores);
    let settings = Settings { workers: plan.workers, capacity: plan.capacity, processors: for_server };
    let running = Running::start(server, &settings)?;
    let _pinned = Pinned::to(&for_load)?;
    let mut load = Load::connect(running.port, plan.shape, plan.task)?;

    let ours = [running.pid(), Pid::this()];
    let mut counter = CallCounter::new(running.pid(), plan.tracepoints)?;
    let mut edges = Vec::new();
    let tally = load.run(warm_up, window, |edge| {
        let busy = BusyMoment::now();
        let switches = Switches::of(running.pid())?;
        let times = ours.map(|pid| cpu_time(pid).unwrap_or_default().as_secs_f64());
        edges.push((busy, switches, times));
        match edge {
            Edge::Begin => counter.enable(),
            Edge::End => counter.disable(),
        }
    })?;
    let [(busy_before, before, from), (busy_after, after, to)] = &edges[..] else {
        unreachable!("there are two edges")
    };
    let latency = |share| tally.latencies.value_at_quantile(share) as f64 / 1e3;
    Ok(Sample {
        requests: tally.requests.max(1),
        seconds: tally.time.as_secs_f64(),
        server_cpu: to[0] - from[0],
        load_cpu: to[1] - from[1],
        others: busy_after.others_since(busy_before, &ours).as_secs_f64() / tally.time.as_secs_f64(),
        bytes: tally.bytes,
        sleeps: after.voluntary.saturating_sub(before.voluntary),
        preemptions: after.involuntary.saturating_sub(before.involuntary),
        counted: counter.read()?,
        latency: [latency(0.5), latency(0.99), latency(0.999)],
    })
}

/// The processors of the server and those of the load generator; none named means all.
fn processors(placement: Placement, cores: usize) -> (Vec<usize>, Vec<usize>) {
    match placement {
        Placement::Apart if cores > 1 => ((0..cores - 1).collect(), vec![cores - 1]),
        Placement::OneCore if cores > 1 => (vec![0], vec![cores - 1]),
        Placement::Together => (vec![0], vec![0]),
        _ => (Vec::new(), Vec::new()),
    }
}

/// Keeps this thread on some processors until it is dropped.
struct Pinned {
    before: nix::sched::CpuSet,
}

impl Pinned {
    fn to(processors: &[usize]) -> Result<Pinned> {
        let before = sched_getaffinity(Pid::from_raw(0))?;
        pin_to(processors)?;
        Ok(Pinned { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // The old set was allowed before.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}

/// The samples of one server under one load, round by round.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series(pub Vec<Sample>);

/// Several measurements in one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Finding {
    /// The median and its spread.
    pub summary: Summary,
    /// Hardly any measurement was left alone, so all of them count.
    pub disturbed: bool,
}

impl Finding {
    /// With a mark if it was disturbed.
    pub fn words(&self, digits: usize) -> String {
        format!("{}{:.digits$}", if self.disturbed { "~" } else { "" }, self.summary)
    }

    /// The median alone, with the mark.
    pub fn median(&self, digits: usize) -> String {
        format!("{}{:.digits$}", if self.disturbed { "~" } else { "" }, self.summary.median)
    }
}

/// For a table: a finding, or a dash.
pub fn cell(finding: Option<Finding>, words: impl Fn(Finding) -> String) -> String {
    finding.map_or("-".to_owned(), words)
}

impl Series {
    /// How many samples others disturbed, who took more than `limit` of a processor.
    pub fn dropped(&self, limit: f64) -> usize {
        self.0.iter().filter(|sample| sample.others > limit).count()
    }

    /// What one figure of the samples says, those left out that others disturbed.
    pub fn find(&self, limit: f64, figure: impl Fn(&Sample) -> f64) -> Option<Finding> {
        let values = |limit: f64| Summary::of(self.0.iter().filter(|it| it.others <= limit).map(&figure));
        choose(self.0.len(), values(limit), values(f64::INFINITY))
    }

    /// The ratios of one figure of ours to that of `peer` in the same round.
    pub fn compare(&self, peer: &Series, limit: f64, figure: impl Fn(&Sample) -> f64) -> Option<Finding> {
        let values = |series: &Series, limit: f64| -> Vec<Option<f64>> {
            series.0.iter().map(|sample| (sample.others <= limit).then(|| figure(sample))).collect()
        };
        let ratios = |limit| Summary::of_ratios(&values(self, limit), &values(peer, limit));
        choose(self.0.len(), ratios(limit), ratios(f64::INFINITY))
    }
}

/// The clean rounds, if there are at least half of them; else all rounds.
fn choose(rounds: usize, clean: Option<Summary>, all: Option<Summary>) -> Option<Finding> {
    match clean {
        Some(summary) if 2 * summary.count >= rounds => Some(Finding { summary, disturbed: false }),
        _ => Some(Finding { summary: all?, disturbed: true }),
    }
}
