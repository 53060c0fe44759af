//! Lines that are too long, and lines of arbitrary bytes.

use super::{Line, Long, Observation, Other, Row};
use crate::{
    error::Trouble,
    probes::{
        clients::{ClientId, Link},
        session::{Session, Setup},
    },
    requirements::{
        Context,
        common::{ANSWER_DEADLINE, Ended, LONGEST_LINE, died, good, stuck},
    },
};
use std::time::Duration;

/// One worker: what it computes for one request cannot meet another's.
const WORKERS: usize = 1;

/// More than one client ever asks here: what a full queue does is for R1 and H4 to judge.
const CAPACITY: usize = 256;

/// One byte more than a line may have, and far more.
const TOO_MANY: usize = LONGEST_LINE + 1;
const FAR_TOO_MANY: usize = 1 << 20;

/// Lines that one client sends, and the bytes of each: none is too long, but together they are far more than 16 bits count.
const IN_A_ROW: usize = 130;
const EACH: usize = 1000;

/// Lines of noise, beside the chosen ones.
const NOISE: usize = 12;

/// A server may read on for some seconds after the error before it closes, so that no reset destroys it.
const PATIENCE: Duration = Duration::from_secs(8);

/// A server, somebody who asks in between, and what has been seen so far.
struct Scene {
    session: Session,
    other: ClientId,
    seen: Observation,
    /// What was done last.
    last: &'static str,
    /// Who sent noise: each is to get one line.
    noisy: Vec<ClientId>,
}

pub(super) fn observe(context: &Context<'_>) -> Result<Observation, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(WORKERS, CAPACITY))?;
    let mut random = fastrand::Rng::with_seed(context.seed);
    let other = session.connect()?;
    let stable = session.ask(other, &good(2))?.ok() == session.ask(other, &good(2))?.ok();
    let seen = Observation {
        long: Vec::new(),
        row: None,
        lines: Vec::new(),
        others: Vec::new(),
        stable,
        died: None,
    };
    let mut scene = Scene { session, other, seen, last: "its start", noisy: Vec::new() };
    let a = |count: usize| b"a".repeat(count);
    scene.long("exactly 1025 bytes without a newline", 0, &a(TOO_MANY))?;
    scene.long("1025 bytes and a newline", 0, &[a(TOO_MANY), b"\n".to_vec()].concat())?;
    let ahead = [good(1), good(2), good(3), a(TOO_MANY), b"\nbehind\n".to_vec()].concat();
    scene.long("three good requests and a line that is too long", 3, &ahead)?;
    scene.long("a megabyte without a newline", 0, &a(FAR_TOO_MANY))?;
    scene.vanish("a line that was too long from a client that vanished", &a(TOO_MANY))?;
    scene.row()?;
    for text in lines(&mut random) {
        scene.line(text)?;
    }
    scene.surplus()?;
    let noise: Vec<u8> = (0..600).map(|_| byte(&mut random)).collect();
    scene.vanish("noise without a newline from a client that vanished", &noise)?;
    scene.leave("noise without a newline, and then the end of the stream", &noise)?;
    scene.seen.died = died(&scene.session).map(|how| (scene.last.to_owned(), how));
    Ok(scene.seen)
}

/// Any byte but the newline.
fn byte(random: &mut fastrand::Rng) -> u8 {
    loop {
        match random.u8(..) {
            b'\n' => {}
            byte => return byte,
        }
    }
}

/// Lines that are by no count too long, and not empty. None is a word that a server knows (`bad`, `STATS`, `spin`).
fn lines(random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let mut lines = vec![
        b"\0".to_vec(),
        b"\0behind a zero".to_vec(),
        b"before a zero\0".to_vec(),
        b"a\0b\0c".to_vec(),
        b"%n%n%s%s%x%d%%".to_vec(),
        b"\xff".repeat(1000),
        (0..=255).filter(|byte| *byte != b'\n').collect(),
    ];
    lines.extend((0..NOISE).map(|_| {
        let mut line: Vec<u8> = (0..random.usize(2..=1000)).map(|_| byte(random)).collect();
        line[0] |= 0x80;
        line
    }));
    lines
}

impl Scene {
    fn is_over(&self) -> bool {
        self.session.tracer.end().is_some()
    }

    /// Somebody else asks.
    fn other(&mut self, when: &'static str) -> Result<(), Trouble> {
        let asked = self.session.ask(self.other, &good(4))?;
        let (end, stuck) = match asked {
            Ok(_) => (Ended::Reached, String::new()),
            Err(wait) => (Ended::from(&wait), stuck(&wait)),
        };
        self.seen.others.push(Other { when, end, stuck });
        Ok(())
    }

    /// A client sends a line that is too long. If it sends good requests before, the worker is held at the first until the
    /// loop has seen the long line.
    fn long(&mut self, what: &'static str, before: usize, bytes: &[u8]) -> Result<(), Trouble> {
        if self.is_over() {
            return Ok(());
        }
        self.last = what;
        let id = self.session.connect()?;
        if before > 0 {
            self.session.settle()?;
            self.session.tracer.arm_mid_task();
            self.session.clients.send(id, bytes);
            self.session.settle()?;
            self.session.tracer.release_all()?;
        } else {
            self.session.clients.send(id, bytes);
            self.other(what)?;
        }
        let wait = self.session.until_patiently(PATIENCE * 2, PATIENCE, |session| {
            matches!(session.clients.get(id).link(), Link::Ended | Link::Reset)
        })?;
        let client = self.session.clients.get(id);
        self.seen.long.push(Long {
            what,
            before,
            got: client.lines().into_iter().map(<[u8]>::to_vec).collect(),
            link: client.link(),
            end: Ended::from(&wait),
            stuck: stuck(&wait),
            sent_by: self.session.sent_by(id),
        });
        self.session.clients.close(id);
        self.session.settle()?;
        self.other(what)
    }

    /// A client sends something and goes away with a reset.
    fn vanish(&mut self, what: &'static str, bytes: &[u8]) -> Result<(), Trouble> {
        if self.is_over() {
            return Ok(());
        }
        self.last = what;
        let id = self.session.connect()?;
        self.session.clients.send(id, bytes);
        self.session.clients.reset(id);
        self.session.settle()?;
        self.other(what)
    }

    /// A client sends something and then no more.
    fn leave(&mut self, what: &'static str, bytes: &[u8]) -> Result<(), Trouble> {
        if self.is_over() {
            return Ok(());
        }
        self.last = what;
        let id = self.session.connect()?;
        self.session.clients.send(id, bytes);
        self.session.clients.finish(id);
        self.session.settle()?;
        self.session.clients.close(id);
        self.session.settle()?;
        self.other(what)
    }

    /// Two clients send the same line, the second one in two packets.
    fn line(&mut self, text: Vec<u8>) -> Result<(), Trouble> {
        if self.is_over() || self.seen.lines.iter().any(|line| line.got.iter().any(Result::is_err)) {
            return Ok(());
        }
        self.last = "a line of binary noise";
        let line = [text.as_slice(), b"\n"].concat();
        let mut sent_by = String::new();
        let mut got = [(); 2].map(|()| Err((Ended::Never, String::new())));
        for (number, slot) in got.iter_mut().enumerate() {
            let id = self.session.connect()?;
            let first = number * line.len() / 2;
            if first > 0 {
                self.session.clients.send(id, &line[..first]);
                self.session.until(ANSWER_DEADLINE, |session| {
                    session.server_side(id).is_some_and(|side| side.bytes_in >= first as u64)
                })?;
            }
            self.session.clients.send(id, &line[first..]);
            let wait = self.session.until(ANSWER_DEADLINE, |session| {
                session.clients.get(id).answers() > 0 || session.clients.get(id).link() != Link::Open
            })?;
            *slot = match self.session.clients.get(id).lines().first() {
                Some(answer) => Ok(answer.to_vec()),
                None if wait.reached() => {
                    Err((Ended::Never, "the server has closed the connection".to_owned()))
                }
                None => Err((Ended::from(&wait), stuck(&wait))),
            };
            sent_by = self.session.sent_by(id);
            self.noisy.push(id);
        }
        self.seen.lines.push(Line { text, got, surplus: None, sent_by });
        Ok(())
    }

    /// Second answers to lines of noise: they have come by now. Then those clients go.
    fn surplus(&mut self) -> Result<(), Trouble> {
        self.session.settle()?;
        let each = self.seen.lines.iter_mut().zip(self.noisy.chunks(2));
        for (line, ids) in each {
            let lines = ids.iter().map(|id| self.session.clients.get(*id).lines());
            line.surplus = lines.into_iter().find_map(|lines| lines.get(1).map(|line| line.to_vec()));
        }
        self.noisy.iter().for_each(|id| self.session.clients.close(*id));
        self.session.settle()?;
        Ok(())
    }

    /// A client sends many lines at once.
    fn row(&mut self) -> Result<(), Trouble> {
        if self.is_over() {
            return Ok(());
        }
        self.last = "many lines on one connection";
        let line = [b"b".repeat(EACH).as_slice(), b"\n"].concat();
        let id = self.session.connect()?;
        self.session.clients.send(id, &line.repeat(IN_A_ROW));
        let wait = self.session.until(ANSWER_DEADLINE, |session| {
            let client = session.clients.get(id);
            client.answers() >= IN_A_ROW || client.link() != Link::Open
        })?;
        let lines = self.session.clients.get(id).lines();
        self.seen.row = Some(Row {
            sent: IN_A_ROW,
            each: EACH,
            got: lines.into_iter().map(<[u8]>::to_vec).collect(),
            end: Ended::from(&wait),
            stuck: stuck(&wait),
            sent_by: self.session.sent_by(id),
        });
        self.session.clients.close(id);
        self.session.settle()?;
        self.other(self.last)
    }
}
