//! The ways in which requests are cut into packets.

use super::{
    Exchange, MANY, Observation,
    scene::{Scene, text},
};
use crate::{
    error::Trouble,
    probes::session::Setup,
    requirements::{
        Context,
        common::{Ended, LONGEST_LINE, held_tids, is_result, mixed, release_in_order},
    },
};

const WORKERS: usize = 4;
const CAPACITY: usize = 64;

/// A pool and a queue so small that a packet of requests does not fit, and how many that packet holds.
const SMALL: usize = 2;
const MORE_THAN_SMALL: usize = 20;

/// So many that they fill most buffers again and again, and each time it is another line that is cut in two.
const MORE_THAN_A_BUFFER: usize = 8 * MANY;

/// Lines with a `\r` that is text.
const CARRIAGE_RETURNS: [&[u8]; 3] = [b"one\rtwo\n", b"\rthree\n", b"four\r\r\n"];

/// Rounds in which the workers finish in another order than they began.
const ROUNDS: usize = 2;

/// The same request with `\r\n` at its end.
fn with_cr(request: &[u8]) -> Vec<u8> {
    let text = request.strip_suffix(b"\n").unwrap_or(request);
    [text, b"\r\n"].concat()
}

pub(super) fn with_room(context: &Context<'_>, random: &mut fastrand::Rng) -> Result<Observation, Trouble> {
    let mut scene = Scene::begin(context, &Setup::new(WORKERS, CAPACITY), MANY)?;
    scene.long_lines()?;
    scene.byte_by_byte()?;
    scene.cut_in_two()?;
    scene.carriage_returns()?;
    scene.one_packet(MANY)?;
    scene.one_packet(MORE_THAN_A_BUFFER)?;
    for _ in 0..ROUNDS {
        scene.finished_in_other_order(random)?;
    }
    scene.end()
}

pub(super) fn with_a_small_queue(context: &Context<'_>) -> Result<Observation, Trouble> {
    let mut scene = Scene::begin(context, &Setup::new(SMALL, SMALL), MORE_THAN_SMALL)?;
    scene.one_packet(MORE_THAN_SMALL)?;
    scene.held_behind_a_small_queue()?;
    scene.end()
}

impl Scene {
    /// The longest line that there may be, with and without `\r`.
    fn long_lines(&mut self) -> Result<(), Trouble> {
        let longest = [b"long ".as_slice(), &b"y".repeat(LONGEST_LINE - 5), b"\n"].concat();
        self.ask_alone(longest.clone())?;
        if self.seen.is_over() {
            return Ok(());
        }
        let answer = self.alone[&text(&longest)].clone();
        if !is_result(&answer) {
            // The line alone is the exchange: nothing else says what it should have got.
            let asked = vec![(longest, b"result: ...".to_vec())];
            self.seen.exchanges.push(Exchange {
                how: format!("a line of exactly {LONGEST_LINE} bytes"),
                asked,
                got: vec![answer],
                end: Ended::Reached,
                stuck: String::new(),
                sent_by: self.session.sent_by(self.bystander),
            });
            return Ok(());
        }
        let id = self.session.connect()?;
        let requests = [with_cr(&longest)];
        let how = format!("a line of exactly {LONGEST_LINE} bytes with \\r\\n");
        self.exchange(id, &how, &requests, |scene| {
            scene.session.clients.send(id, &requests[0]);
            Ok(())
        })?;
        let requests = [with_cr(&mixed(3)), with_cr(&mixed(2)), b"\r\n".to_vec()];
        self.exchange(id, "lines that end in \\r\\n", &requests, |scene| {
            scene.session.clients.send(id, &requests.concat());
            Ok(())
        })
    }

    fn byte_by_byte(&mut self) -> Result<(), Trouble> {
        let id = self.session.connect()?;
        let requests = [with_cr(&mixed(6)), mixed(5)];
        let bytes = requests.concat();
        let pauses = [1, 9, requests[0].len() - 1, requests[0].len() + 3];
        self.exchange(id, "one byte at a time", &requests, |scene| {
            for (at, byte) in bytes.iter().enumerate() {
                if pauses.contains(&at) {
                    scene.ask_alone(mixed(0))?;
                }
                scene.session.clients.send(id, &[*byte]);
                scene.read(id)?;
            }
            Ok(())
        })
    }

    fn cut_in_two(&mut self) -> Result<(), Trouble> {
        let requests = [with_cr(&mixed(10)), mixed(11), with_cr(&mixed(12)), mixed(13)];
        let bytes = requests.concat();
        let first = requests[0].len();
        let second = first + requests[1].len();
        let third = second + requests[2].len();
        let cuts = [
            (first - 2, "before \\r"),
            (first - 1, "between \\r and \\n"),
            (first, "behind \\n"),
            (first + 1, "behind the first byte of a line"),
            (second - 1, "before \\n"),
            ((second + third) / 2, "in the middle of the third line"),
        ];
        let id = self.session.connect()?;
        for (cut, place) in cuts {
            self.exchange(id, &format!("four requests in two packets, cut {place}"), &requests, |scene| {
                scene.session.clients.send(id, &bytes[..cut]);
                scene.read(id)?;
                scene.session.clients.send(id, &bytes[cut..]);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A `\r` that no `\n` follows at once ends no line.
    fn carriage_returns(&mut self) -> Result<(), Trouble> {
        for request in CARRIAGE_RETURNS {
            // Each on a connection of its own: whoever takes it for two lines sends two answers.
            let id = self.session.connect()?;
            self.ask_alone_as(id, request.to_vec())?;
            self.session.clients.close(id);
        }
        if self.seen.is_over() {
            return Ok(());
        }
        let id = self.session.connect()?;
        let requests = [CARRIAGE_RETURNS.map(<[u8]>::to_vec).to_vec(), vec![mixed(1)]].concat();
        self.exchange(id, "lines with a \\r that is not at their end", &requests, |scene| {
            scene.session.clients.send(id, &requests.concat());
            Ok(())
        })
    }

    fn one_packet(&mut self, count: usize) -> Result<(), Trouble> {
        let id = self.session.connect()?;
        let requests: Vec<Vec<u8>> = (0..count).map(|number| mixed(number % MANY)).collect();
        self.exchange(id, &format!("{count} requests in one packet"), &requests, |scene| {
            scene.session.clients.send(id, &requests.concat());
            Ok(())
        })
    }

    fn finished_in_other_order(&mut self, random: &mut fastrand::Rng) -> Result<(), Trouble> {
        let id = self.session.connect()?;
        let requests: Vec<Vec<u8>> = (0..MANY).map(mixed).collect();
        let how = format!("{MANY} requests in one packet, later tasks finished first");
        self.exchange(id, &how, &requests, |scene| {
            scene.session.settle()?;
            scene.session.tracer.arm_mid_task();
            scene.session.clients.send(id, &requests.concat());
            scene.session.settle()?;
            let in_turn = held_tids(&scene.session);
            let mut order = in_turn.clone();
            random.shuffle(&mut order);
            // Whoever has taken the first task is not the first to finish.
            if order.len() > 1 && order.first() == in_turn.first() {
                order.rotate_left(1);
            }
            release_in_order(&mut scene.session, &order)?;
            Ok(scene.session.tracer.release_all()?)
        })
    }

    fn held_behind_a_small_queue(&mut self) -> Result<(), Trouble> {
        let id = self.session.connect()?;
        let requests: Vec<Vec<u8>> = (0..MORE_THAN_SMALL).map(mixed).collect();
        let how = format!(
            "{MORE_THAN_SMALL} requests in one packet, with a queue of {SMALL} and the workers held at first"
        );
        self.exchange(id, &how, &requests, |scene| {
            scene.session.settle()?;
            scene.session.tracer.arm_mid_task();
            scene.session.clients.send(id, &requests.concat());
            scene.session.settle()?;
            Ok(scene.session.tracer.release_all()?)
        })
    }
}
