//! What is measured of servers under load: one file per section.

mod counts;
mod growth;
mod idle;
mod throughput;

use std::sync::OnceLock;

use anyhow::{Result, bail};

pub use counts::COUNTS;
pub use growth::GROWTH;
pub use idle::IDLE;
pub use throughput::SERVERS;

use crate::children::raise_descriptor_limit;
use crate::context::Context;
use crate::kernel::CallCounter;
use crate::load::{Shape, Task};
use crate::measure::Plan;
use crate::report::Report;
use crate::servers::{Running, Server, Settings, find_all};
use crate::table::Table;

/// The loads under which servers are compared.
const SHAPES: [Shape; 4] = [
    Shape::clients(1),
    Shape::clients(30),
    Shape::clients(1000),
    Shape { active: 30, pipelined: 16, idle: 0 },
];
/// Descriptors that are needed besides those of the connections.
const SPARE: u64 = 200;

/// The servers that can be measured, found and checked once. Those that cannot, and those that answer wrongly, are
/// named in the report.
fn servers(context: &Context, report: &mut Report) -> Result<&'static [Server]> {
    static FOUND: OnceLock<Vec<Server>> = OnceLock::new();
    if let Some(servers) = FOUND.get() {
        return Ok(servers);
    }
    let (mut servers, missing) = find_all(context)?;
    servers.retain(|server| {
        let checked = Running::start(server, &settings(context)).and_then(|it| it.check_answers());
        if let Err(error) = &checked {
            report.lacks(&format!("{}: not measured, it answers wrongly: {error:#}", server.name));
        }
        checked.is_ok()
    });
    let mut table = Table::new(["server", "what it is"]).left(2);
    servers.iter().for_each(|server| table.row([server.name, server.about]));
    report.table(&table);
    missing.iter().for_each(|line| report.text(line));
    if servers.is_empty() {
        bail!("there is no server to measure");
    }
    Ok(FOUND.get_or_init(|| servers))
}

/// Whether system calls can be counted. If not, the report says why.
fn can_count(report: &mut Report) -> bool {
    let tried = CallCounter::try_once();
    if let Err(error) = &tried {
        report.lacks(&format!("System calls are not counted here: {error:#}."));
    }
    tried.is_ok()
}

fn settings(context: &Context) -> Settings {
    let options = &context.options;
    Settings { workers: options.workers, capacity: options.capacity, processors: Vec::new() }
}

/// What the command line says of a measurement; no calls are counted.
fn plan<'a>(context: &Context, shape: Shape, task: &'a Task) -> Plan<'a> {
    let options = &context.options;
    let (placement, workers, capacity) = (options.placement, options.workers, options.capacity);
    Plan { shape, task, placement, workers, capacity, tracepoints: &[] }
}

/// So many connections this process, and each server, may have at a time.
fn most_connections() -> Result<usize> {
    Ok(raise_descriptor_limit()?.saturating_sub(SPARE) as usize)
}

/// The limit of disturbance as a share.
fn limit(context: &Context) -> f64 {
    context.options.disturbed / 100.0
}
