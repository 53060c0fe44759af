//! Figures that noise cannot touch: what the kernel counts per request.

use anyhow::Result;

use super::{SHAPES, can_count, limit, plan, servers};
use crate::context::Context;
use crate::kernel::{ANY_CALL, EPOLL_CTL};
use crate::load::{Shape, Task};
use crate::measure::{Plan, Sample, Series, cell, measure};
use crate::report::{Limit, Report};
use crate::section::Section;
use crate::servers::{OURS, Server};
use crate::stats::Summary;
use crate::table::Table;

/// System calls, sleeps and switches per request.
pub const COUNTS: Section =
    Section { name: "counts", about: "Figures that noise cannot touch: calls and switches per request", run };

/// The most that pool_server may need, in the order of the shapes.
const GOALS: [Option<f64>; 4] = [None, Some(2.6), Some(2.3), Some(0.20)];
const ROUNDS: usize = 3;

/// One figure of a sample.
type Figure = fn(&Sample) -> f64;

/// What a table of calls by name has in its columns: a name, and the tracepoints that belong to it.
const BY_NAME: &[(&str, &[&str])] = &[
    ("epoll_wait", &["syscalls/sys_enter_epoll_wait", "syscalls/sys_enter_epoll_pwait"]),
    ("recv, read", &["syscalls/sys_enter_recvfrom", "syscalls/sys_enter_read"]),
    ("send, write", &["syscalls/sys_enter_sendto", "syscalls/sys_enter_write"]),
    ("futex", &["syscalls/sys_enter_futex"]),
    ("epoll_ctl", &[EPOLL_CTL]),
];

fn run(context: &Context, report: &mut Report) -> Result<()> {
    let servers = servers(context, report)?;
    report.text(
        "Tasks cost next to nothing. A call is a system call of any of the server's threads. A sleep is a voluntary \
         context switch: so often a thread waited and was woken. Preemptions are the involuntary ones.",
    );
    let is_counting = can_count(report);
    let tracepoints: &[&str] = if is_counting { &[ANY_CALL, EPOLL_CTL] } else { &[] };
    let bar = context.progress("Counting", servers.len() * SHAPES.len() * ROUNDS);
    let mut all = vec![vec![Series::default(); servers.len()]; SHAPES.len()];
    for _ in 0..ROUNDS {
        for (shape, of_shape) in SHAPES.iter().zip(&mut all) {
            for (server, series) in servers.iter().zip(of_shape) {
                bar.set_message(format!("{} {}", shape.words(), server.name));
                series.0.push(sample(context, server, *shape, tracepoints)?);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();

    let figures: [(&str, Figure); 3] = [
        ("System calls per request", |it| it.calls(0)),
        ("Sleeps per request", |it| it.per_request(it.sleeps)),
        ("Preemptions per request", |it| it.per_request(it.preemptions)),
    ];
    for (heading, figure) in figures {
        let mut table =
            Table::new(["connections".to_owned()].into_iter().chain(SHAPES.iter().map(Shape::words)));
        for (number, server) in servers.iter().enumerate() {
            let cells = all.iter().map(|of_shape| of_shape[number].find(f64::INFINITY, figure));
            let cells = cells.map(|finding| cell(finding, |it| it.median(3)));
            table.row([server.name.to_owned()].into_iter().chain(cells));
        }
        report.heading(heading);
        report.table(&table);
    }
    if is_counting {
        by_name(context, report, servers)?;
    }
    copied(report, &all);
    note_goals(context, report, servers, &all);
    let names: Vec<_> = servers.iter().map(|server| server.name).collect();
    report.raw("rounds", serde_json::json!({ "shapes": SHAPES, "servers": names, "samples": all }))
}

fn sample(context: &Context, server: &Server, shape: Shape, tracepoints: &[&str]) -> Result<Sample> {
    let task = Task::new(0, shape.pipelined);
    measure(context, server, &Plan { tracepoints, ..plan(context, shape, &task) })
}

/// Which calls they are, at 30 connections.
fn by_name(context: &Context, report: &mut Report, servers: &[Server]) -> Result<()> {
    let mut tracepoints = vec![ANY_CALL];
    tracepoints.extend(BY_NAME.iter().flat_map(|(_, names)| names.iter()));
    let names = BY_NAME.iter().map(|(name, _)| *name);
    let mut table = Table::new(["30 connections"].into_iter().chain(names).chain(["other", "all"]));
    for server in servers {
        let sample = sample(context, server, Shape::clients(30), &tracepoints)?;
        let mut counts = sample.counted[1..].iter();
        let mut cells = vec![server.name.to_owned()];
        let mut named = 0;
        for (_, names) in BY_NAME {
            let count: u64 = counts.by_ref().take(names.len()).sum();
            named += count;
            cells.push(format!("{:.3}", sample.per_request(count)));
        }
        cells.push(format!("{:.3}", sample.per_request(sample.counted[0].saturating_sub(named))));
        cells.push(format!("{:.3}", sample.per_request(sample.counted[0])));
        table.row(cells);
    }
    report.heading("System calls per request, by name");
    report.table(&table);
    Ok(())
}

fn copied(report: &mut Report, all: &[Vec<Series>]) {
    let samples = all.iter().flatten().flat_map(|series| &series.0);
    let Some(bytes) = Summary::of(samples.map(|sample| sample.per_request(sample.bytes))) else { return };
    report.text(&format!(
        "Copied between kernel and server: {:.0} bytes per request, the line and its answer, in each server. That is \
         the load generator's sum: the kernel's own (/proc/PID/io) does not count recv and send.",
        bytes.median
    ));
}

fn note_goals(context: &Context, report: &mut Report, servers: &[Server], all: &[Vec<Series>]) {
    let Some(ours) = servers.iter().position(|server| server.name == OURS) else { return };
    for ((shape, goal), of_shape) in SHAPES.iter().zip(GOALS).zip(all) {
        let Some(goal) = goal else { continue };
        let series = &of_shape[ours];
        let found = series.find(f64::INFINITY, |it| it.calls(0));
        let is_disturbed = series.dropped(limit(context)) > 0;
        let what = format!("calls per request, {} connections", shape.words());
        report.goal(what, Limit::AtMost(goal), found.map(|it| it.summary), is_disturbed);
    }
    let ctl = all
        .iter()
        .flat_map(|of_shape| &of_shape[ours].0)
        .filter_map(|sample| Some(*sample.counted.get(1)? as f64));
    report.goal("epoll_ctl calls after accept", Limit::AtMost(0.0), Summary::of(ctl), false);
}
