//! Memory: of a fresh server, and for each connection on which nothing happens.

use anyhow::Result;
use serde::Serialize;

use super::{most_connections, servers, settings};
use crate::context::Context;
use crate::kernel::Memory;
use crate::load::{ask_all_once, connect_idle};
use crate::report::{Limit, Report};
use crate::section::Section;
use crate::servers::{OURS, Running, Server};
use crate::stats::Summary;
use crate::table::Table;

/// Resident memory.
pub const IDLE: Section =
    Section { name: "idle", about: "Memory: a fresh server, and 10,000 idle connections", run };

const CONNECTIONS: usize = 10_000;
const MIB: f64 = 1024.0 * 1024.0;

#[derive(Serialize)]
struct Found {
    server: &'static str,
    connections: usize,
    fresh: Memory,
    /// Connected, nothing sent.
    connected: Memory,
    /// One request answered on each.
    served: Memory,
}

impl Found {
    fn per_connection(&self, memory: Memory) -> f64 {
        (memory.resident as f64 - self.fresh.resident as f64) / self.connections as f64
    }
}

fn run(context: &Context, report: &mut Report) -> Result<()> {
    let connections = CONNECTIONS.min(most_connections()?);
    if connections < CONNECTIONS {
        report.text(&format!("Only {connections} connections: `ulimit -Hn` allows no more."));
    }
    let servers = servers(context, report)?;
    report.text(
        "Resident pages of the process, by /proc/PID/smaps_rollup; what the kernel keeps for sockets comes on top and is \
         the same for all. Fresh: one client has been answered. The last two columns are bytes per idle connection.",
    );
    let bar = context.progress("Connecting", servers.len());
    let mut all = Vec::new();
    for server in servers {
        bar.set_message(server.name);
        all.push(look(context, server, connections)?);
        bar.inc(1);
    }
    bar.finish_and_clear();

    let headings = ["server", "fresh MiB", "of it private", "never used", "after one request each"];
    let mut table = Table::new(headings);
    for found in &all {
        table.row([
            found.server.to_owned(),
            format!("{:.2}", found.fresh.resident as f64 / MIB),
            format!("{:.2}", found.fresh.private as f64 / MIB),
            format!("{:.0}", found.per_connection(found.connected)),
            format!("{:.0}", found.per_connection(found.served)),
        ]);
    }
    report.table(&table);
    if let Some(ours) = all.iter().find(|found| found.server == OURS) {
        let fresh = Summary::of([ours.fresh.resident as f64 / MIB]);
        report.goal("fresh server, MiB resident", Limit::AtMost(2.2), fresh, false);
        let idle = Summary::of([ours.per_connection(ours.connected)]);
        report.goal("bytes per idle connection", Limit::AtMost(128.0), idle, false);
    }
    report.raw("memory", all)
}

fn look(context: &Context, server: &Server, connections: usize) -> Result<Found> {
    let running = Running::start(server, &settings(context))?;
    running.check_answers()?;
    let fresh = Memory::of(running.pid())?;
    let streams = connect_idle(running.port, connections)?;
    let connected = Memory::of(running.pid())?;
    ask_all_once(&streams)?;
    let served = Memory::of(running.pid())?;
    Ok(Found { server: server.name, connections, fresh, connected, served })
}
