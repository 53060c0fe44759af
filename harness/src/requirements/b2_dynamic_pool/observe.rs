//! Makes a pool grow, shrink, grow again and stop.

use super::{MAX, MIN, Observation, Step, judge_step, pool::Pool, wrong_answer};
use crate::{
    error::Trouble,
    probes::{
        clients::ClientId,
        session::{Session, Setup},
        tracer::event::What,
    },
    requirements::{
        Context,
        common::{Ended, good, held_before_results, held_tids, held_without_work, stuck, wait_for_answers},
    },
};
use nix::sys::signal::Signal;
use std::{collections::BTreeSet, time::Duration};

/// Tasks of the first growth: more than there may be workers.
const TASKS: usize = MAX + 4;
/// Tasks of the second.
pub(super) const FEWER: usize = MIN + 3;
/// Tasks in hand at SIGTERM.
const LAST: usize = MIN + 2;
/// Whose answers alone are known.
const REQUESTS: usize = TASKS + 2;

/// A pool may look only now and then whether it is to grow.
const PATIENCE: Duration = Duration::from_secs(3);
/// A main thread that joins its workers may look now and then whether they have ended.
const BRIEF: Duration = Duration::from_secs(1);
/// An idle worker may have a lot of patience.
pub(super) const LONGEST: Duration = Duration::from_secs(15);

/// `None` if the server refuses the range.
pub(super) fn observe(context: &Context<'_>) -> Result<Option<Observation>, Trouble> {
    let setup = Setup { workers: format!("{MIN}-{MAX}"), ..Setup::new(MIN, 64) };
    let Some(mut session) = Session::launch_unless_refused(context.program, &setup)? else { return Ok(None) };
    let pool = Pool::of(&session);
    let ready_at = session.tracer.events().len();
    let ready = pool.size(&session);
    let mut o = Observation {
        ready,
        for_nothing: 0,
        growth: Vec::new(),
        held: true,
        most: ready,
        fewest: ready,
        wrong: Vec::new(),
        answers: Ended::Reached,
        stuck: String::new(),
        shrank: None,
        shrinking: Ended::Reached,
        left: String::new(),
        retiring: Vec::new(),
        end: None,
        unjoined: Vec::new(),
    };
    if ready != MIN {
        return Ok(Some(o));
    }
    let alone = one_at_a_time(&mut session)?;
    o.for_nothing = pool.created(&session, session.ready_at());
    let mut run = Run { session, pool, alone, nudged: BTreeSet::new() };
    let first = run.grow(TASKS, &mut o)?;
    if o.for_nothing == 0 && !is_wrong(&o) {
        run.let_go(&first, &mut o)?;
        run.shrink(&mut o)?;
        if o.shrank.is_some() {
            run.again(&mut o)?;
        }
    }
    o.fewest = run.pool.fewest(&run.session, ready_at, ready);
    if o.shrank.is_some() && !is_wrong(&o) {
        run.stop(&mut o)?;
    }
    Ok(Some(o))
}

pub(super) fn is_wrong(o: &Observation) -> bool {
    !o.held || o.most > MAX || !o.wrong.is_empty() || o.growth.iter().any(|step| judge_step(step).is_some())
}

/// One client after the other, with a pause after each; what each request gets alone.
fn one_at_a_time(session: &mut Session) -> Result<Vec<Vec<u8>>, Trouble> {
    let id = session.connect()?;
    let mut alone = Vec::new();
    for number in 0..REQUESTS {
        alone.push(session.ask(id, &good(number))?.unwrap_or_default());
        session.settle()?;
    }
    session.clients.close(id);
    session.settle()?;
    Ok(alone)
}

pub(super) struct Run {
    pub(super) session: Session,
    pool: Pool,
    alone: Vec<Vec<u8>>,
    /// Newcomers that were let go once because they may have been held before they had a task.
    nudged: BTreeSet<i32>,
}

impl Run {
    /// Sends one task after the other while every worker is held with one. Client `n` sends request `n`.
    pub(super) fn grow(&mut self, tasks: usize, o: &mut Observation) -> Result<Vec<ClientId>, Trouble> {
        let ids = self.session.connect_many(tasks)?;
        self.session.settle()?;
        self.session.tracer.arm_mid_task();
        for (number, id) in ids.iter().enumerate() {
            let before = self.pool.size(&self.session);
            self.session.clients.send(*id, &good(number));
            self.session.settle()?;
            let mut step = self.step(number + 1, before);
            if before < MAX && number + 1 > before && step.after <= before {
                self.nudge()?;
                let pool = &self.pool;
                // A pool that is looked after now and then may need a moment.
                self.session.until_patiently(LONGEST, PATIENCE, |session| pool.size(session) > before)?;
                self.session.settle()?;
                step = self.step(number + 1, before);
            }
            let held = self.session.tracer.held();
            o.held &= held.len() > number.min(MIN - 1)
                && held_before_results(&held)
                && !held_without_work(&self.session);
            o.most = o.most.max(step.after);
            let wrong = judge_step(&step).is_some();
            o.growth.push(step);
            if wrong || !o.held {
                break;
            }
        }
        Ok(ids)
    }

    fn step(&self, tasks: usize, before: usize) -> Step {
        let after = self.pool.size(&self.session);
        Step { tasks, before, after, doing: self.session.snapshot().describe() }
    }

    /// A newcomer may have been held where it only said that it is there: lets each go on to its next such place, once.
    fn nudge(&mut self) -> Result<(), Trouble> {
        let ready = self.session.tracer.events()[self.session.ready_at()].at;
        let newcomers: Vec<i32> = self
            .session
            .tracer
            .alive_workers()
            .filter(|thread| thread.is_held() && thread.began >= ready && !self.nudged.contains(&thread.tid))
            .map(|thread| thread.tid)
            .collect();
        for tid in newcomers {
            self.nudged.insert(tid);
            self.session.tracer.release(tid)?;
            self.session.tracer.arm_next_release(tid);
        }
        self.session.settle()?;
        Ok(())
    }

    /// Lets everybody go and looks at the answers.
    pub(super) fn let_go(&mut self, ids: &[ClientId], o: &mut Observation) -> Result<(), Trouble> {
        self.session.tracer.release_all()?;
        let wait = wait_for_answers(&mut self.session, ids, 1)?;
        if !wait.reached() {
            (o.answers, o.stuck) = (Ended::from(&wait), stuck(&wait));
        }
        self.compare(ids, o);
        Ok(())
    }

    fn compare(&self, ids: &[ClientId], o: &mut Observation) {
        let seen = ids.iter().enumerate().filter_map(|(number, id)| {
            wrong_answer(number + 1, &self.session.clients.get(*id).lines(), &self.alone[number])
        });
        o.wrong.extend(seen);
    }

    /// Idle, until the pool is small.
    fn shrink(&mut self, o: &mut Observation) -> Result<(), Trouble> {
        let idle = self.session.tracer.now();
        let pool = &self.pool;
        let wait = self.session.until_patiently(LONGEST, LONGEST, |session| pool.size(session) <= MIN)?;
        if wait.reached() {
            let end = self.pool.last_end(&self.session).unwrap_or(idle);
            o.shrank = Some(end.saturating_sub(idle));
        }
        (o.shrinking, o.left) = (Ended::from(&wait), stuck(&wait));
        self.session.settle()?;
        Ok(())
    }

    /// SIGTERM with a task in every worker's hand, more of them than at the start.
    fn stop(&mut self, o: &mut Observation) -> Result<(), Trouble> {
        // Idle workers may be leaving meanwhile: who comes and goes now is not looked at.
        let ids = self.session.connect_many(LAST)?;
        self.session.tracer.arm_mid_task();
        for (number, id) in ids.iter().enumerate() {
            self.session.clients.send(*id, &good(number));
        }
        self.session.settle()?;
        self.session.signal(Signal::SIGTERM)?;
        self.session.settle()?;
        // Those who have a task end because of SIGTERM, and each not before somebody waits for it.
        let busy = held_tids(&self.session);
        self.session.tracer.keep_from_ending(&busy);
        self.session.tracer.release_all()?;
        while !self.session.tracer.is_ending() {
            let over =
                |session: &mut Session| session.tracer.is_ending() || session.tracer.waited_for().is_some();
            self.session.until_patiently(LONGEST, BRIEF, over)?;
            match self.session.tracer.waited_for() {
                Some(tid) => self.session.tracer.let_end(tid)?,
                None => break,
            }
        }
        o.unjoined = alive_at_end(&self.session);
        for tid in busy {
            self.session.tracer.let_end(tid)?;
        }
        let wait =
            self.session.until_patiently(LONGEST, LONGEST, |session| session.tracer.end().is_some())?;
        self.session.hear_out(PATIENCE)?;
        o.end = self.session.tracer.end().map(|(end, _)| end);
        if o.end.is_none() {
            o.left = stuck(&wait);
            return Ok(());
        }
        if o.unjoined.is_empty() {
            o.unjoined = alive_at_end(&self.session);
        }
        self.compare(&ids, o);
        Ok(())
    }
}

/// The threads that were alive when the process ended, as far as it has; those that were kept from ending count as alive.
fn alive_at_end(session: &Session) -> Vec<String> {
    if !session.tracer.is_ending() {
        return Vec::new();
    }
    let events = session.tracer.events();
    let main = session.tracer.main();
    let kept = session.tracer.kept();
    let is_end = |what: &What, tid: i32| {
        matches!(what, What::ExitGroup(_)) || (tid == main && matches!(what, What::Ended))
    };
    let end = events.iter().position(|event| is_end(&event.what, event.tid)).unwrap_or(events.len());
    let ended: BTreeSet<i32> = events[..end]
        .iter()
        .filter(|event| matches!(event.what, What::Ended) && !kept.contains(&event.tid))
        .map(|event| event.tid)
        .collect();
    session
        .tracer
        .threads()
        .filter(|thread| thread.tid != main && !ended.contains(&thread.tid))
        .map(|thread| format!("{}, created{}", thread.name(), session.tracer.at_place(thread.made_at)))
        .collect()
}
