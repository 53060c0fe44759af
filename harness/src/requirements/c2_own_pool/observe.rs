//! Looks at what the program was built from, and at a server that has work to do.

use super::{Observation, known};
use crate::{
    error::Trouble,
    probes::{
        ingredients::{Executable, headers, mapped, packages},
        session::{Session, Setup},
    },
    requirements::{
        Context,
        common::{good, wait_for_answers},
    },
    submission::Kind,
};
use std::{collections::BTreeSet, path::Path};

const WORKERS: usize = 4;
/// Twice as many as workers, so that a pool that begins late begins now.
const CLIENTS: usize = 2 * WORKERS;

pub(super) fn observe(context: &Context<'_>) -> Result<Observation, Trouble> {
    let program = context.program;
    let headers = match (program.exact_build(), program.source_folder()) {
        (Some(build), Some(folder)) => headers::foreign(build.includes(), folder),
        _ => Vec::new(),
    };
    let packages = match (program.kind(), program.source_folder()) {
        (Kind::Cargo, Some(folder)) => Some(packages::packages(folder)?),
        _ => None,
    };
    let mut session = Session::launch(program, &Setup::new(WORKERS, 64))?;
    let ids = session.connect_many(CLIENTS)?;
    for (number, id) in ids.iter().enumerate() {
        session.clients.send(*id, &good(number));
    }
    // Whether they are answered is not asked here.
    wait_for_answers(&mut session, &ids, 1)?;
    session.settle()?;
    let pid = session.tracer.main();
    let running = mapped::executable(pid).unwrap_or_else(|| program.executable().to_owned());
    let code = mapped::mapped(pid, session.preloaded());
    let library_at = |address: u64| code.iter().find(|map| map.code.contains(&address));
    let makers = session
        .tracer
        .alive_workers()
        .filter_map(|worker| library_at(worker.made_at?).map(|map| file_name(&map.file)))
        .collect();
    let read = |path: &Path| Executable::read(path, &known::words());
    let made_at = session.tracer.alive_workers().find_map(|worker| session.tracer.place(worker.made_at));
    Ok(Observation {
        kind: program.kind(),
        headers,
        executable: read(&mapped::readable(pid)).or_else(|| read(program.executable())),
        running: file_name(&running),
        libraries: code.iter().map(|map| map.file.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
        makers,
        made_at: made_at.unwrap_or_default(),
        threads: mapped::thread_names(pid),
        packages,
    })
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
