//! All clients once more, of a server that nobody watches: no tracer, no filter that stops it, no preloaded library. What it
//! does then must be what it did under the instruments; a program that behaves when it is looked at has not been judged.

use super::{CAPACITY, CLIENTS, WORKERS};
use crate::{
    error::Trouble,
    model::Finding,
    probes::{
        clients::ClientId,
        plain::PlainServer,
        session::{Setup, signal_name},
        tracer::End,
    },
    requirements::{
        Context,
        common::{mixed, not_yet, shown},
    },
    submission::port,
};
use std::time::Duration;

/// How long a server may take that nobody slows down.
const DEADLINE: Duration = Duration::from_secs(20);

/// Somebody may take a port between the pick and the server's bind; more often than this it is not by chance.
const PORT_TRIES: usize = 3;

/// What was seen of one server.
#[derive(Clone, Debug)]
struct Observation {
    /// How it ended, if it has.
    end: Option<End>,
    /// It was still at work at the deadline.
    late: bool,
    /// What each client got.
    answers: Vec<Vec<Vec<u8>>>,
    /// How many threads it had.
    threads: usize,
}

/// Compares with what was answered `alone` under the instruments, by a server of so many `threads` and
/// with this backlog; nothing if it is the same.
///
/// # Errors
///
/// When the harness fails or the user interrupts.
pub(super) fn differs(
    context: &Context<'_>,
    alone: &[Option<Vec<u8>>],
    threads: usize,
    backlog: u64,
) -> Result<Option<Finding>, Trouble> {
    let mut seen = observe(context, backlog)?;
    for _ in 1..PORT_TRIES {
        if seen.end.is_none() || !seen.answers.is_empty() {
            break;
        }
        seen = observe(context, backlog)?;
    }
    Ok(judge(&seen, alone, threads))
}

fn observe(context: &Context<'_>, backlog: u64) -> Result<Observation, Trouble> {
    let port = port::pick()?;
    let args = Setup::new(WORKERS, CAPACITY).args(port.number());
    let mut server = PlainServer::launch_alone(context.program.executable(), &args, port)?;
    let mut seen = Observation { end: None, late: false, answers: Vec::new(), threads: 0 };
    if let Some(first) = server.connect_when_it_listens(DEADLINE)? {
        server.clients.close(first);
        let ids = server.connect_many(CLIENTS, backlog, DEADLINE)?;
        for (number, id) in ids.iter().enumerate() {
            server.clients.send(*id, &mixed(number));
        }
        let answered = server
            .until_at_rest(DEADLINE, |server| ids.iter().all(|id| server.clients.get(*id).answers() > 0))?;
        seen.late = answered.is_none();
        let lines =
            |id: &ClientId| server.clients.get(*id).lines().iter().map(|line| line.to_vec()).collect();
        seen.answers = ids.iter().map(lines).collect();
        seen.threads = server.threads();
    } else {
        seen.late = server.end().is_none();
    }
    seen.end = server.end();
    Ok(seen)
}

fn judge(o: &Observation, alone: &[Option<Vec<u8>>], threads: usize) -> Option<Finding> {
    let expected = "without tracer and preloaded library the server does what it did with them";
    let fail = |observed: String| {
        let hint = "a program that behaves only when it is looked at; or is there a race that the tracer's pace hides?";
        Some(Finding::fail(expected, format!("without instruments {observed}"), "", hint))
    };
    if let Some(end) = o.end {
        let how = match end {
            End::Status(status) => format!("exited with status {status}"),
            End::Signal(signal) => format!("was killed by {}", signal_name(signal)),
        };
        let got = o.answers.iter().filter(|lines| !lines.is_empty()).count();
        return fail(format!("the server {how} after {got} answers; nobody had told it to end"));
    }
    if o.late {
        return Some(not_yet(expected, "without instruments not everybody had an answer", ""));
    }
    for (number, (lines, alone)) in o.answers.iter().zip(alone).enumerate() {
        let (asked, who) = (mixed(number), number + 1);
        let asked = shown(asked.strip_suffix(b"\n").unwrap_or(&asked));
        let Some(alone) = alone else { continue };
        match lines.first() {
            None => return fail(format!("client {who} asked {asked} and got no answer")),
            Some(first) if first != alone => {
                return fail(format!(
                    "client {who} asked {asked} and got {}; under the tracer it is {}",
                    shown(first),
                    shown(alone)
                ));
            }
            Some(_) => {}
        }
    }
    // A pool that is not fixed has other numbers of threads at other times; that is for R2 to say.
    if threads == WORKERS + 1 && o.threads != threads {
        return fail(format!("the server has {} threads; under the tracer it has {threads}", o.threads));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn outcome(change: impl FnOnce(&mut Observation)) -> Option<Outcome> {
        let answers = vec![vec![b"result: 1".to_vec()], vec![b"ERROR: invalid input".to_vec()]];
        let alone: Vec<_> = answers.iter().map(|lines| lines.first().cloned()).collect();
        let mut seen = Observation { end: None, late: false, answers, threads: 5 };
        change(&mut seen);
        judge(&seen, &alone, 5).map(|finding| finding.outcome)
    }

    #[test]
    fn only_what_is_the_same_passes() {
        assert_eq!(outcome(|_| ()), None);
        assert_eq!(outcome(|o| o.answers[0] = vec![b"result: 2".to_vec()]), Some(Outcome::Fail));
        assert_eq!(outcome(|o| o.answers[1].clear()), Some(Outcome::Fail));
        assert_eq!(outcome(|o| o.threads = 2), Some(Outcome::Fail));
        assert_eq!(outcome(|o| o.end = Some(End::Signal(11))), Some(Outcome::Fail));
        assert_eq!(outcome(|o| o.late = true), Some(Outcome::Inconclusive));
    }
}
