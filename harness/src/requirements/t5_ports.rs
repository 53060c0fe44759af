//! T5: no port conflict.

use super::{
    Context, Requirement, Source,
    harness::{DEADLINE, Tried, build, too_long, try_on},
};
use crate::{
    error::Trouble,
    lanes::{News, in_lanes},
    model::{Finding, Id},
    probes::{plain::PlainServer, session::Setup},
    submission::{Program, port::Port},
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// T5.
pub struct Ports;

const EXPECTED: &str =
    "two of the script at the same time, and one whose port is taken, say the same as one alone";

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
                let mut stranger =
                    PlainServer::launch_alone(servers[0].1.executable(), &args, Port::given(port)?)?;
                if stranger.connect_when_it_listens(DEADLINE)?.is_none() {
                    continue;
                }
                let tried = try_on(context.program, server, DEADLINE, |_| ())?;
                let when = format!("while somebody else's server listened on port {port}");
                if let Some(found) = judge(&when, source, *passes, &tried) {
                    return Ok(found);
                }
            }
        }
        Ok(Finding::pass(EXPECTED, "so it was, with a right server and a wrong one"))
    }
}

/// Runs the script on both servers at once; and the port that one of them was given.
fn at_the_same_time(
    script: &Program,
    servers: &[(&Source, Program, bool); 2],
) -> Result<(Vec<Tried>, Option<u16>), Trouble> {
    let port = Mutex::new(None);
    let lock = || port.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tried = BTreeMap::new();
    // Each on a thread of its own: a tracer hears of those alone that it started.
    in_lanes(
        2,
        &[0, 1],
        |at: &usize| {
            let server = &servers[*at].1;
            try_on(script, server, DEADLINE, |process| {
                if lock().is_none() {
                    *lock() = port_of(process, server.executable());
                }
            })
        },
        |news| {
            if let News::Finished(at, one) = news {
                tried.insert(*at, one);
            }
        },
    )?;
    let port = *lock();
    Ok((tried.into_values().collect(), port))
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
