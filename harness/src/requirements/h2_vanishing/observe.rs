//! Clients that vanish, one that is there all the time, and newcomers.

use super::{Harm, Moment, Observation, PLANS, Plan, Stop};
use crate::{
    error::Trouble,
    probes::{
        clients::ClientId,
        session::{Session, Setup, Wait},
        tracer::{End, ledger::ObjectId, syscalls::Class},
    },
    requirements::{
        Context,
        common::{Ended, good, held_tids, stuck, wait_for_answers, worker_turns},
        deaf::stop_up_mid_answer,
        idle::{Rest, rest, sleeps},
        leaving::{Leaving, connection, descriptors, next_held},
    },
};
use nix::sys::signal::Signal;
use std::time::Duration;

const WORKERS: usize = 4;

/// Exactly as many as wait in the fullest situation, so that places that are lost are soon missed.
const CAPACITY: usize = 8;

/// The numbers of the requests of the client that is always there, of newcomers, and of those that vanish.
const BYSTANDER: usize = 3;
const NEWCOMER: usize = 5;
const VANISHES: usize = 10;

/// What a client asks that does not read.
const UNREAD: &[u8] = b"hush\n";

/// How often the first is asked when nobody else is there: oftener than there are workers.
const SAMPLES: usize = 2 * WORKERS + 1;

/// A server may close an idle connection after 30 seconds, and find out only then that its client is gone.
const LINGER: Duration = Duration::from_secs(35);

/// How long a server may take to end.
const END: Duration = Duration::from_secs(10);

/// A server, and somebody who is there all the time.
struct Scene {
    session: Session,
    random: fastrand::Rng,
    bystander: ClientId,
    /// What it is answered when nobody else is there, if it is always the same.
    alone: Option<Vec<u8>>,
    has_held: bool,
    turns: u64,
    /// With nothing to do it sleeps; R7 judges one that does not.
    sleeps: bool,
    /// Nobody vanishes: how things go otherwise.
    all_stay: bool,
}

pub(super) fn observe(context: &Context<'_>, all_stay: bool) -> Result<Observation, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(WORKERS, CAPACITY))?;
    let bystander = session.connect()?;
    let mut seen = Observation::default();
    let mut answers = Vec::new();
    for _ in 0..SAMPLES {
        match session.ask(bystander, &good(BYSTANDER))? {
            Ok(answer) => answers.push(answer),
            Err(wait) => {
                // Not anybody else's doing.
                seen.harm = Some(unanswered("a client that was alone", &wait));
                return Ok(seen);
            }
        }
    }
    let first = answers.swap_remove(0);
    let alone = answers.iter().all(|answer| *answer == first).then_some(first);
    let sleeps = sleeps(&mut session)?;
    let turns = worker_turns(&session);
    let random = fastrand::Rng::with_seed(context.seed);
    let mut scene = Scene { session, random, bystander, alone, has_held: false, turns, sleeps, all_stay };
    for plan in PLANS {
        seen.situation = plan.words();
        seen.vanished += plan.clients.len();
        seen.harm = harm(scene.situation(plan))?;
        seen.situations += 1;
        if seen.harm.is_some() {
            break;
        }
    }
    seen.held = scene.has_held;
    seen.workers_slept = worker_turns(&scene.session) == scene.turns;
    if seen.harm.is_none() {
        seen.harm = harm(scene.shut_down())?;
    }
    Ok(seen)
}

fn unanswered(who: &'static str, wait: &Wait) -> Harm {
    Harm::Unanswered { who, end: Ended::from(wait), stuck: stuck(wait) }
}

fn harm(went: Result<(), Stop>) -> Result<Option<Harm>, Trouble> {
    match went {
        Ok(()) => Ok(None),
        Err(Stop::Harm(harm)) => Ok(Some(harm)),
        Err(Stop::Trouble(trouble)) => Err(trouble),
    }
}

impl Scene {
    fn situation(&mut self, plan: &Plan) -> Result<(), Stop> {
        let (clients, workers) = self.come(plan)?;
        let connections: Vec<_> = clients.iter().map(|id| connection(&self.session, *id)).collect();
        let leaving = || clients.iter().copied().zip(plan.clients.iter().map(|(_, leaving)| *leaving));
        for (id, leaving) in leaving().filter(|_| !self.all_stay) {
            leaving.begin(&mut self.session, id)?;
        }
        match plan.moment {
            Moment::BetweenAnswers => {
                let mut first = 0;
                for (requests, _) in plan.clients {
                    self.release(workers.get(first).copied())?;
                    first += requests;
                }
                wait_for_answers(&mut self.session, &clients, 1)?;
            }
            Moment::ResultsReady => {
                self.session.tracer.arm_main();
                for tid in &workers {
                    self.release(Some(*tid))?;
                }
            }
            Moment::MidTask | Moment::Queued | Moment::Unread => {}
        }
        if !self.all_stay {
            let is_reset = |leaving: Leaving| matches!(leaving, Leaving::Reset | Leaving::HalfThenReset);
            let (resets, closes): (Vec<_>, Vec<_>) = leaving().partition(|(_, leaving)| is_reset(*leaving));
            self.leave(&closes, &resets)?;
        }
        let main_is_free = plan.moment != Moment::ResultsReady;
        let worker_is_free = main_is_free && plan.moment != Moment::Queued;
        if worker_is_free {
            self.everybody_is_served()?;
        }
        let newcomer = self.session.clients.connect()?;
        let waiting = [self.bystander, newcomer];
        let before = self.session.clients.get(self.bystander).answers();
        self.session.clients.send(self.bystander, &good(BYSTANDER));
        self.session.clients.send(newcomer, &good(NEWCOMER));
        self.session.settle()?;
        let mut order = held_tids(&self.session);
        self.random.shuffle(&mut order);
        for tid in order {
            self.release(Some(tid))?;
            if worker_is_free {
                self.everybody_is_served()?;
            }
        }
        self.session.tracer.release_all()?;
        self.session.settle()?;
        self.lives()?;
        for (id, answers) in waiting.into_iter().zip([before + 1, 1]) {
            let wait = wait_for_answers(&mut self.session, &[id], answers)?;
            if self.session.clients.get(id).answers() < answers {
                self.lives()?;
                let who = if id == newcomer { "a newcomer" } else { "a client that was there before" };
                return Err(Stop::Harm(unanswered(who, &wait)));
            }
        }
        self.session.clients.close(newcomer);
        self.everybody_is_served()?;
        if self.all_stay {
            self.go_in_good_order(plan, &clients)?;
        }
        self.are_closed(&connections)
    }

    /// The clients that are to vanish come and ask, while workers are held with their tasks: those, in the order of the tasks.
    fn come(&mut self, plan: &Plan) -> Result<(Vec<ClientId>, Vec<i32>), Stop> {
        let clients = match plan.moment {
            Moment::Unread => vec![stop_up_mid_answer(&mut self.session, UNREAD)?],
            _ => self.session.connect_many(plan.clients.len())?,
        };
        self.session.settle()?;
        self.session.tracer.arm_mid_task();
        let mut number = VANISHES;
        let mut held: Vec<i32> = Vec::new();
        for (id, (requests, _)) in clients.iter().zip(plan.clients) {
            for _ in 0..*requests {
                self.session.clients.send(*id, &good(number));
                number += 1;
                if held.len() == WORKERS {
                    continue; // the rest waits in the queue
                }
                held.extend(next_held(&mut self.session, &held)?);
            }
        }
        self.session.settle()?;
        // Whoever has no task yet is free for everybody else's.
        self.session.tracer.disarm();
        self.has_held |= !held.is_empty();
        Ok((clients, held))
    }

    fn release(&mut self, tid: Option<i32>) -> Result<(), Stop> {
        if let Some(tid) = tid {
            self.session.tracer.release(tid)?;
        }
        self.session.settle()?;
        self.lives()
    }

    fn leave(&mut self, closes: &[(ClientId, Leaving)], resets: &[(ClientId, Leaving)]) -> Result<(), Stop> {
        closes.iter().for_each(|(id, leaving)| leaving.finish(&mut self.session, *id));
        // A close cannot be told from a half-close, after which a server rightly has something to wait for; and a loop that goes
        // round already is not made to do so by what follows.
        let slept = sleeps(&mut self.session)? && self.sleeps;
        if resets.is_empty() {
            return self.lives();
        }
        resets.iter().for_each(|(id, leaving)| leaving.finish(&mut self.session, *id));
        if slept && let Rest::Spins(doing) = rest(&mut self.session)? {
            return Err(Stop::Harm(Harm::Spins(doing)));
        }
        self.lives()
    }

    /// Each client takes all its answers and closes. To close with some of them unread would be a reset.
    fn go_in_good_order(&mut self, plan: &Plan, clients: &[ClientId]) -> Result<(), Stop> {
        for (id, (requests, _)) in clients.iter().zip(plan.clients) {
            let mut answers = *requests;
            if plan.moment == Moment::Unread {
                self.session.clients.hear(*id);
                answers = self.session.clients.get(*id).queued() / UNREAD.len();
            }
            wait_for_answers(&mut self.session, &[*id], answers)?;
            self.session.clients.close(*id);
        }
        Ok(())
    }

    fn lives(&self) -> Result<(), Stop> {
        self.session.death().map_or(Ok(()), |death| Err(Stop::Harm(Harm::Died(death))))
    }

    /// The client that is always there asks and gets its answer, and a newcomer gets one.
    fn everybody_is_served(&mut self) -> Result<(), Stop> {
        let bystander = self.bystander;
        let got = self.is_answered("a client that was there before", bystander, BYSTANDER)?;
        if let Some(alone) = self.alone.clone().filter(|alone| got != *alone) {
            let sent_by = self.session.sent_by(bystander);
            return Err(Stop::Harm(Harm::Wrong { got, alone, sent_by }));
        }
        let newcomer = self.session.connect()?;
        // Whether it is its own answer is not asked here.
        self.is_answered("a newcomer", newcomer, NEWCOMER)?;
        self.session.clients.close(newcomer);
        Ok(())
    }

    fn is_answered(&mut self, who: &'static str, id: ClientId, number: usize) -> Result<Vec<u8>, Stop> {
        self.session.ask(id, &good(number))?.or_else(|wait| {
            self.lives()?;
            Err(Stop::Harm(unanswered(who, &wait)))
        })
    }

    /// Nothing is left of those who vanished.
    fn are_closed(&mut self, connections: &[Option<ObjectId>]) -> Result<(), Stop> {
        let open = |session: &Session| {
            let mut open = connections.iter().flatten().map(|id| (*id, descriptors(session, Some(*id))));
            open.find(|(_, descriptors)| !descriptors.is_empty())
        };
        let wait = self.session.until_patiently(LINGER + END, LINGER, |session| open(session).is_none())?;
        self.lives()?;
        let Some((id, descriptors)) = open(&self.session) else { return Ok(()) };
        let first_fd = i64::from(self.session.tracer.ledger().object(id).first_fd);
        let accepted = self.session.tracer.events().iter().rev().find_map(|event| {
            let call = event.call().filter(|call| call.class == Class::Accept && call.result == first_fd)?;
            Some(self.session.tracer.describe_call(event.tid, call))
        });
        let accepted_by = accepted.map(|call| format!("accepted by {call}")).unwrap_or_default();
        let (end, stuck) = (Ended::from(&wait), stuck(&wait));
        Err(Stop::Harm(Harm::StillOpen { descriptors, accepted_by, end, stuck }))
    }

    /// Everybody goes, and so does the server.
    fn shut_down(&mut self) -> Result<(), Stop> {
        self.session.clients.close(self.bystander);
        self.session.settle()?;
        self.session.signal(Signal::SIGTERM)?;
        let wait = self.session.until_patiently(END, END, |session| session.tracer.end().is_some())?;
        let (how, place, end) = match self.session.death() {
            Some(death) if death.end == End::Status(0) => return Ok(()),
            Some(death) => (format!("the server {} on SIGTERM", death.how), death.place, Ended::Never),
            None => ("the server did not end on SIGTERM".to_owned(), stuck(&wait), Ended::from(&wait)),
        };
        Err(Stop::Harm(Harm::Shutdown { how, place, end }))
    }
}
