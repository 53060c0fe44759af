//! T5: no port conflict.

use super::{
    Context, Requirement, Source,
    harness::{DEADLINE, Running, Tried, build, too_long, turn},
};
use crate::{
    error::{HarnessError, Trouble},
    lanes::each,
    model::{Finding, Id},
    probes::{plain::PlainServer, proc::connections, session::Setup},
    submission::{
        Program,
        port::{self, Port},
    },
};
use std::{
    fs,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

/// T5.
pub struct Ports;

/// How long a script has for coming to a stranger who listens on its port, while its own server has not begun. One that knows its
/// own server waits all the while.
const MISLED: Duration = Duration::from_secs(2);

/// How many wrong servers are tried until the script fails one.
const MOST: usize = 8;

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
         Forced: the script runs on a right server, and at the same time on a wrong one that it fails alone, while \
         somebody else uses the right one. Then on each of them by itself, while the other one listens, as somebody else's, on the port that the script has chosen: the server that it starts is held \
         before its first instruction until that is so.\n\n\
         Decides: exit status 0 for the right server, 1 for the wrong one, each time; and no signal goes to a process that the script \
         did not start."
    }

    fn cost(&self) -> u32 {
        150
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let Some(right) = context.servers.right.first() else {
            return Ok(Finding::skip(EXPECTED, "there are no servers"));
        };
        let _turn = turn()?;
        let Some((wrong, built)) = that_fails_alone(context.program, &context.servers.wrong)? else {
            return Ok(Finding::fail(
                EXPECTED,
                format!(
                    "even alone the script exits with status 1 on none of {MOST} wrong servers, so two of it cannot differ"
                ),
                "",
                "begin with T2: what does a client get from a wrong server that it should not?",
            ));
        };
        let servers = [(right, build(right)?, true), (wrong, built, false)];
        // Whoever ends "all pool_servers" finds one more.
        let mut somebody_elses = launch(&servers[0].1, port::pick()?)?;
        somebody_elses.connect_when_it_listens(DEADLINE)?;
        // Each on a thread of its own: a tracer hears of those alone that it started.
        let both = each(2, &servers, |(_, server, _)| beside_others(context.program, server))?;
        drop(somebody_elses);
        for ((source, _, passes), tried) in servers.iter().zip(&both) {
            if let Some(found) =
                judge("with another run of the script at the same time", source, *passes, tried)
            {
                return Ok(found);
            }
        }
        let [(_, right, _), (_, wrong, _)] = &servers;
        for ((source, server, passes), stranger) in servers.iter().zip([wrong, right]) {
            let (tried, port) = with_its_port_taken(context.program, server, stranger)?;
            let Some(port) = port else {
                return Ok(Finding::inconclusive(
                    EXPECTED,
                    format!(
                        "on {} the script never ran SERVER PORT, so its port could not be taken",
                        source.name
                    ),
                    format!("it said: {}", tried.said),
                    "start the executable from where it is, with the port as its first argument",
                ));
            };
            let when = format!(
                "while somebody else's server, a {} one, listened on the port {port} that it had chosen",
                kind(!passes)
            );
            if let Some(found) = judge(&when, source, *passes, &tried) {
                return Ok(found);
            }
        }
        Ok(Finding::pass(
            EXPECTED,
            "so it was, with a right server and a wrong one: both at the same time, and each with its port taken by the other",
        ))
    }
}

/// The first of these servers that the script fails when it is alone. What it cannot see alone is no matter of ports.
fn that_fails_alone<'s>(
    script: &Program,
    wrong: &'s [Source],
) -> Result<Option<(&'s Source, Program)>, Trouble> {
    for source in wrong.iter().take(MOST) {
        let server = build(source)?;
        if beside_others(script, &server)?.verdict() == Some(false) {
            return Ok(Some((source, server)));
        }
    }
    Ok(None)
}

/// Lets the script loose on a server on the network of this machine.
fn beside_others(script: &Program, server: &Program) -> Result<Tried, Trouble> {
    Running::start_among_others(script, server.executable())?.finish(DEADLINE)
}

/// Runs the script on a server, and has a stranger listen on the port that it gives it, before the server's first instruction.
/// The port; `None` if there was none that could be taken.
fn with_its_port_taken(
    script: &Program,
    server: &Program,
    stranger: &Program,
) -> Result<(Tried, Option<u16>), Trouble> {
    let mut running = Running::start_among_others(script, server.executable())?;
    thread::scope(|scope| {
        let (no_more, is_over) = mpsc::channel::<()>();
        let mut is_over = Some(is_over);
        let mut taken = None;
        while let Some(pid) = running.process.until_it_starts(server.executable(), DEADLINE)? {
            // Scripts try what is no port, too; and some see to it that a port is taken.
            if let Some(port) = port_of(pid)
                && let Some(is_over) = is_over.take()
            {
                let (tell, told) = mpsc::channel();
                // A tracer's thread has no other children.
                scope.spawn(move || listen(stranger, port, &tell, &is_over));
                let listens = told.recv().unwrap_or(Ok(false))?;
                taken = listens.then_some(port);
                running.process.until_asked(MISLED, || connections(port) > 1)?;
            }
            running.process.let_start(pid)?;
            if is_over.is_none() {
                break;
            }
        }
        let tried = running.finish(DEADLINE)?;
        drop(no_more);
        Ok((tried, taken))
    })
}

/// Starts a server of somebody else's.
fn launch(server: &Program, port: Port) -> Result<PlainServer, HarnessError> {
    PlainServer::launch_alone(server.executable(), &Setup::new(4, 64).args(port.number()), port)
}

/// Has a server listen on a port until it is over. Says whether it does.
fn listen(server: &Program, port: u16, tell: &Sender<Result<bool, Trouble>>, is_over: &Receiver<()>) {
    let launched = || {
        let mut server = launch(server, Port::given(port)?)?;
        let listens = server.connect_when_it_listens(DEADLINE)?.is_some();
        Ok((server, listens))
    };
    let server = launched().map(|(server, listens)| tell.send(Ok(listens)).map(|()| server));
    match server {
        // It lives until the other side hangs up.
        Ok(server) => drop((is_over.recv(), server)),
        Err(trouble) => drop(tell.send(Err(trouble))),
    }
}

/// The first argument of a process, if it is a port.
fn port_of(pid: i32) -> Option<u16> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let port = str::from_utf8(words.split(|byte| *byte == 0).nth(1)?).ok()?.parse().ok()?;
    (port > 0).then_some(port)
}

fn kind(right: bool) -> &'static str {
    if right { "right" } else { "wrong" }
}

fn judge(when: &str, source: &Source, passes: bool, tried: &Tried) -> Option<Finding> {
    if tried.end.is_none() {
        return Some(too_long(EXPECTED, &source.name, tried));
    }
    (tried.verdict() != Some(passes)).then(|| {
        Finding::fail(
            EXPECTED,
            format!("{when}, on the {} server {}, the script {}", kind(passes), source.name, tried.how()),
            format!("it said: {}", tried.said),
            "draw a port and try another if the server says that it is taken; before you trust an answer, see that your own server still runs",
        )
    })
}
