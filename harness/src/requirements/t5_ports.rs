//! T5: no port conflict.

use super::{
    Context, Requirement, Source,
    harness::{DEADLINE, Running, Tried, build, too_long},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    probes::{plain::PlainServer, session::Setup},
    submission::{Program, port::Port},
};
use std::{fs, path::Path, time::Duration};

/// T5.
pub struct Ports;

const EXPECTED: &str =
    "two of the script at the same time, and one whose port is taken, say the same as one alone";

/// How long one of two is looked at before the other is.
const SLICE: Duration = Duration::from_millis(5);

impl Requirement for Ports {
    fn id(&self) -> Id {
        Id::new('T', 5)
    }

    fn title(&self) -> &'static str {
        "no port conflict, and no stranger's server"
    }

    fn about(&self) -> &'static str {
        "Two students share a machine, and somebody always listens on 9090.\n\n\
         Forced: the script runs on a right and on a wrong server at the same time. Then, on each of them alone, while a right server of \
         somebody else's listens on the port that the script used first.\n\n\
         Decides: exit status 0 for the right server, 1 for the wrong one, each time; and no signal goes to a process that the script \
         did not start."
    }

    fn cost(&self) -> u32 {
        150
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let ([right, ..], [wrong, ..]) = (context.servers.right.as_slice(), context.servers.wrong.as_slice())
        else {
            return Ok(Finding::skip(EXPECTED, "there are no servers"));
        };
        let servers = [(right, build(right)?, true), (wrong, build(wrong)?, false)];
        let (both, port) = at_the_same_time(context.program, &servers)?;
        for ((source, _, passes), tried) in servers.iter().zip(&both) {
            if let Some(found) =
                judge("with another run of the script at the same time", source, *passes, tried)
            {
                return Ok(found);
            }
        }
        // A script that asks the kernel for a port never comes back to one that is taken.
        if let Some(port) = port {
            for (source, server, passes) in &servers {
                let args = Setup::new(4, 64).args(port);
                let mut stranger = PlainServer::launch(servers[0].1.executable(), &args, Port::given(port)?)?;
                if stranger.connect_when_it_listens(DEADLINE)?.is_none() {
                    continue;
                }
                let mut running = Running::start(context.program, server.executable())?;
                running.ended(DEADLINE)?;
                let tried = running.take_stock()?;
                let when = format!("while somebody else's server listened on port {port}");
                if let Some(found) = judge(&when, source, *passes, &tried) {
                    return Ok(found);
                }
            }
        }
        Ok(Finding::pass(EXPECTED, "so it was, with a right server and a wrong one"))
    }
}

/// Runs the script on both servers at once; and the port that the first of them was given.
fn at_the_same_time(
    script: &Program,
    servers: &[(&Source, Program, bool); 2],
) -> Result<(Vec<Tried>, Option<u16>), Trouble> {
    let mut runs = Vec::new();
    for (_, server, _) in servers {
        runs.push(Running::start(script, server.executable())?);
    }
    let mut port = None;
    let mut left = DEADLINE;
    while !left.is_zero() {
        let mut all = true;
        for (run, (_, server, _)) in runs.iter_mut().zip(servers) {
            all &= run.ended(SLICE)?;
            port = port.or_else(|| port_of(&run.process, server.executable()));
        }
        if all {
            break;
        }
        left = left.saturating_sub(SLICE);
    }
    let tried: Result<Vec<Tried>, Trouble> = runs.into_iter().map(Running::take_stock).collect();
    Ok((tried?, port))
}

/// The first argument of the server that a script has started.
fn port_of(script: &PlainServer, server: &Path) -> Option<u16> {
    script.started().into_iter().find_map(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = words.split(|byte| *byte == 0);
        let is_server = words.next()? == server.as_os_str().as_encoded_bytes();
        is_server.then(|| str::from_utf8(words.next()?).ok()?.parse().ok())?
    })
}

fn judge(when: &str, source: &Source, passes: bool, tried: &Tried) -> Option<Finding> {
    if tried.end.is_none() {
        return Some(too_long(EXPECTED, &source.name, tried));
    }
    let kind = if passes { "right" } else { "wrong" };
    (tried.verdict() != Some(passes)).then(|| {
        Finding::fail(
            EXPECTED,
            format!("{when}, on the {kind} server {}, the script {}", source.name, tried.how()),
            format!("it said: {}", tried.said),
            "draw a port and try another if the server says that it is taken; before you trust an answer, see that your own server still runs",
        )
    })
}
