//! H4: a request may come in any number of pieces, and any number of requests in one.

mod observe;
mod scene;

use super::{
    Context, Requirement,
    common::{Ended, not_yet, shown},
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
};

/// H4.
pub struct Pieces;

/// So many requests in one packet.
const MANY: usize = 50;

/// One connection on which requests were sent in some way, and what came back.
#[derive(Clone, Debug)]
struct Exchange {
    /// How they were sent.
    how: String,
    /// Each request with the answer that it gets alone.
    asked: Vec<(Vec<u8>, Vec<u8>)>,
    got: Vec<Vec<u8>>,
    end: Ended,
    stuck: String,
    sent_by: String,
}

impl Exchange {
    fn is_right(&self) -> bool {
        self.asked.iter().map(|(_, alone)| alone).eq(&self.got)
    }
}

/// What was seen.
#[derive(Clone, Debug)]
struct Observation {
    /// How many tasks fit into the queue.
    capacity: usize,
    /// A request that got no answer though it was sent alone and whole, and how that wait ended.
    unanswered: Option<(Vec<u8>, Ended, String)>,
    /// Every exchange up to the first that went wrong.
    exchanges: Vec<Exchange>,
    /// How the process ended, if it did.
    died: Option<String>,
}

impl Requirement for Pieces {
    fn id(&self) -> Id {
        Id::new('H', 4)
    }

    fn title(&self) -> &'static str {
        "requests that arrive byte by byte, or many in one packet, are answered like any other"
    }

    fn about(&self) -> &'static str {
        "What one recv returns is neither one request nor a whole number of them. A request gets the same answer whether it \
         comes whole, in pieces or with others; a client that sends ahead gets one answer for each request, in the order of \
         the requests.\n\n\
         Forced: each request alone first, which gives the right answers. Then one byte at a time, each read by the server \
         before the next is sent, while another client is served; cut in two at every place that matters (before and behind \
         \\r, behind \\n, within a word); two requests and a half; 50 requests in one packet, good and bad mixed, also with \
         the workers held and let go in an order drawn from the seed, so that later tasks finish earlier, and with a queue of \
         two; 400 requests at once, more than most buffers hold; \\r\\n and \\n, and \\r within a line; a line of exactly \
         1024 bytes.\n\n\
         Decides: as many answers as requests, in their order, each the one that the same request got alone."
    }

    fn cost(&self) -> u32 {
        6
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut random = fastrand::Rng::with_seed(context.seed);
        let seen = observe::with_room(context, &mut random)?;
        let first = judge(&seen);
        if !seen.exchanges.iter().all(Exchange::is_right) || seen.is_over() {
            return Ok(first);
        }
        let small = observe::with_a_small_queue(context)?;
        let second = judge(&small);
        Ok(if second.outcome == first.outcome { first } else { second })
    }
}

impl Observation {
    /// Whether there is nothing more to look at.
    fn is_over(&self) -> bool {
        self.died.is_some()
            || self.unanswered.is_some()
            || self.exchanges.last().is_some_and(|exchange| !exchange.is_right())
    }
}

fn judge(o: &Observation) -> Finding {
    let expected = "each request gets one answer, the one that it gets alone, in the order of the requests, however it is cut \
                    into packets";
    let fail = |observed: String, place: String, hint: &str| Finding::fail(expected, observed, place, hint);
    if let Some(died) = &o.died {
        let how = o.exchanges.last().map_or_else(String::new, |exchange| format!(": {}", exchange.how));
        return fail(
            format!("the server's process ended{how}"),
            died.clone(),
            "which buffer was too small for what came at once?",
        );
    }
    if let Some((request, end, stuck)) = &o.unanswered {
        let text = match request.strip_suffix(b"\n").unwrap_or(request) {
            b"" => "an empty line".to_owned(),
            text => shown(text),
        };
        let what = format!("{text} was sent alone and whole, and got no answer");
        return match end {
            Ended::NotYet => not_yet(expected, &what, stuck),
            _ => fail(
                what,
                stuck.clone(),
                "a line may have 1024 bytes, and a \\r before its \\n does not count",
            ),
        };
    }
    let small = (o.capacity < MANY).then_some(
        "what does not fit into the queue must wait: push blocks, or the loop stops reading for a while",
    );
    let Some(wrong) = o.exchanges.iter().find(|exchange| !exchange.is_right()) else {
        return Finding::pass(
            expected,
            format!("so it was byte by byte, cut in two anywhere, and {MANY} at a time"),
        );
    };
    let (asked, got, how) = (wrong.asked.len(), wrong.got.len(), &wrong.how);
    let differs = wrong.asked.iter().zip(&wrong.got).position(|((_, alone), answer)| alone != answer);
    if let Some(at) = differs {
        let (request, alone) = &wrong.asked[at];
        let answer = &wrong.got[at];
        let mut theirs = wrong.asked.iter().enumerate().filter(|(_, (_, alone))| alone == answer);
        let (whose, hint) = match (theirs.next(), theirs.next()) {
            (Some((other, _)), None) => (
                format!(", the answer to request {}", other + 1),
                "an answer that is ready must wait until all earlier ones of its client are out; and each client needs a place \
                 of its own for what belongs to no whole line yet",
            ),
            _ => (
                String::new(),
                "keep what belongs to no whole line yet, for each client, and put it before what the next recv brings; mind \
                 the \\r and the limit of 1024 bytes",
            ),
        };
        return fail(
            format!(
                "{how}: answer {} of {asked} was {}{whose}; the request was {}, which gets {} alone",
                at + 1,
                shown(answer),
                shown(request.strip_suffix(b"\n").unwrap_or(request)),
                shown(alone)
            ),
            wrong.sent_by.clone(),
            small.unwrap_or(hint),
        );
    }
    if got > asked {
        return fail(
            format!("{how}: {asked} requests, {got} answers; one too many is {}", shown(&wrong.got[asked])),
            wrong.sent_by.clone(),
            "one answer for each line, and a line ends at its \\n, not where recv ends",
        );
    }
    let what = format!("{how}: {got} of {asked} answers came");
    match wrong.end {
        Ended::NotYet => not_yet(expected, &what, &wrong.stuck),
        _ => fail(
            what,
            wrong.stuck.clone(),
            small.unwrap_or(
                "after a recv, cut lines until there is none left; keep the rest of the buffer for the next recv",
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    fn exchange(got: &[&str]) -> Exchange {
        let asked = |n: u8| (vec![b'a' + n, b'\n'], format!("result: {n}").into_bytes());
        Exchange {
            how: "3 requests in one packet".into(),
            asked: (0..3).map(asked).collect(),
            got: got.iter().map(|line| line.as_bytes().to_vec()).collect(),
            end: Ended::Never,
            stuck: String::new(),
            sent_by: String::new(),
        }
    }

    fn finding(got: &[&str]) -> Finding {
        judge(&Observation { capacity: 64, unanswered: None, exchanges: vec![exchange(got)], died: None })
    }

    #[test]
    fn as_many_as_asked_and_in_order_is_right() {
        assert_eq!(finding(&["result: 0", "result: 1", "result: 2"]).outcome, Outcome::Pass);
    }

    #[test]
    fn too_few_too_many_and_another_order_fail() {
        assert_eq!(finding(&["result: 0", "result: 1"]).outcome, Outcome::Fail);
        assert_eq!(finding(&["result: 0", "result: 1", "result: 2", "result: 2"]).outcome, Outcome::Fail);
        let swapped = finding(&["result: 1", "result: 0", "result: 2"]);
        assert_eq!(swapped.outcome, Outcome::Fail);
        assert!(swapped.observed.contains("the answer to request 2"), "{}", swapped.observed);
    }

    #[test]
    fn a_deadline_of_ours_decides_nothing() {
        let late = Exchange { end: Ended::NotYet, ..exchange(&["result: 0"]) };
        let seen = Observation { capacity: 64, unanswered: None, exchanges: vec![late], died: None };
        assert_eq!(judge(&seen).outcome, Outcome::Inconclusive);
        let alone = Some((b"x\n".to_vec(), Ended::NotYet, String::new()));
        let seen = Observation { capacity: 64, unanswered: alone, exchanges: Vec::new(), died: None };
        assert_eq!(judge(&seen).outcome, Outcome::Inconclusive);
    }

    #[test]
    fn a_request_that_is_not_answered_even_alone_fails() {
        let alone = Some((b"x\n".to_vec(), Ended::Never, String::new()));
        let seen = Observation { capacity: 64, unanswered: alone, exchanges: Vec::new(), died: None };
        assert_eq!(judge(&seen).outcome, Outcome::Fail);
        let seen = Observation {
            capacity: 64,
            unanswered: None,
            exchanges: Vec::new(),
            died: Some("SIGSEGV".into()),
        };
        assert_eq!(judge(&seen).outcome, Outcome::Fail);
    }
}
