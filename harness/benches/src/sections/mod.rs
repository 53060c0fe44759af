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

use crate::context::Context;
use crate::kernel::CallCounter;
use crate::report::Report;
use crate::servers::{Running, Server, Settings, find_all};
use crate::table::Table;

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

/// The limit of disturbance as a share.
fn limit(context: &Context) -> f64 {
    context.options.disturbed / 100.0
}
