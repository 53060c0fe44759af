//! SIGTERM after clients have come and gone, and the books at the end.

use super::{
    Left, Observation, Situation,
    books::{Books, Thing},
};
use crate::{
    error::Trouble,
    probes::{
        session::Session,
        tracer::{event::What, thread::Role},
    },
    requirements::{
        Context,
        traffic::{self, Course, Crowd},
    },
};

use nix::errno::Errno;

/// How many clients of each kind come while the workers are free.
const EACH: usize = 2;

pub(super) fn observe(context: &Context<'_>, situation: Situation) -> Result<Observation, Trouble> {
    let crowd = match situation {
        Situation::Busy => Crowd::Every(EACH),
        Situation::Idle => Crowd::Tame,
    };
    let (seen, trouble) = end_after(context, situation, crowd)?;
    match trouble.filter(|_| situation == Situation::Busy) {
        // What a server does that did not come through is for others to judge; clients who do it no harm are left.
        Some(how) => Ok(Observation { spared: Some(how), ..end_after(context, situation, Crowd::Tame)?.0 }),
        None => Ok(seen),
    }
}

/// SIGTERM after these clients; and why the server did not come through, if it did not.
fn end_after(
    context: &Context<'_>,
    situation: Situation,
    crowd: Crowd,
) -> Result<(Observation, Option<String>), Trouble> {
    let mut session = traffic::launch(context)?;
    let (_, course) = traffic::visit(&mut session, crowd)?;
    if situation == Situation::Busy && course == Course::Through {
        traffic::with_clients(&mut session)?;
        traffic::tasks_queued(&mut session)?;
    }
    let ending = traffic::end(&mut session)?;
    let trouble = match &course {
        Course::Broken(how) => Some(how.clone()),
        _ => ending.trouble(),
    };
    let books = books(&session);
    let (left, unknown) = left(&session, &books);
    let seen = Observation {
        situation,
        markers: session.tracer.has_markers(),
        destroyed: books.destroyed,
        left,
        unknown,
        spared: None,
        not_yet: match course {
            Course::NotYet(doing) => Some(doing),
            _ => None,
        },
        ending,
    };
    Ok((seen, trouble))
}

/// The books over everything that the server did.
fn books(session: &Session) -> Books {
    let mut books = Books::default();
    for event in session.tracer.events() {
        if session.tracer.thread(event.tid).is_some_and(|thread| thread.role == Role::Child) {
            continue;
        }
        match &event.what {
            What::Marker(marker) => books.note(marker, session.tracer.is_own(marker.caller)),
            // Another program begins with nothing.
            What::Exec => books = Books::default(),
            _ => {}
        }
    }
    books
}

/// What was used and not destroyed, gathered by where it was made; and how many of them cannot be judged.
fn left(session: &Session, books: &Books) -> (Vec<Left>, usize) {
    /// By one of these a C++ program is known.
    const CPP: [&str; 3] = ["libstdc++.so", "libc++.so", "__gxx_personality_v0"];
    let mut things = books.left();
    let mut unknown = 0;
    if things.iter().any(|thing| thing.made_at.is_none()) && session.tracer.mentions(&CPP) {
        // A std::mutex is made without a call and ends without one.
        let before = things.len();
        things.retain(|thing| thing.made_at.is_some());
        unknown = before - things.len();
    }
    let mut left: Vec<Left> = Vec::new();
    for thing in &things {
        let new = describe(session, thing);
        let same = |old: &&mut Left| {
            (old.sort, &old.name, &old.made_at) == (new.sort, &new.name, &new.made_at)
                && (!new.made_at.is_empty() || old.used_at == new.used_at)
        };
        match left.iter_mut().find(same) {
            Some(old) => old.count += 1,
            None => left.push(new),
        }
    }
    (left, unknown)
}

fn describe(session: &Session, thing: &Thing) -> Left {
    Left {
        sort: thing.sort,
        count: 1,
        name: session.tracer.variable(thing.address),
        made_at: session.tracer.at_place(thing.made_at),
        used_at: session.tracer.at_place(thing.used_at),
        refused: thing.refused.map(|error| Errno::from_raw(error).desc().to_owned()),
    }
}
