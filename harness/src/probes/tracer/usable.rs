//! Whether tracing is permitted here, found by doing it.

use super::{Tracer, filter};
use crate::{error::HarnessError, probes::bell::Bell, submission::launch::Launch};
use std::{
    iter,
    time::{Duration, Instant},
};

/// Whether a server can be traced here.
///
/// # Errors
///
/// What is refused, in words.
pub fn usable() -> Result<(), String> {
    let tried = || {
        let filter = filter()?;
        let program =
            std::env::current_exe().map_err(|e| HarnessError::system("find the harness's own program", e))?;
        let mut process = Launch {
            program: &program,
            // Whatever it does with this, it makes calls that stop it and then it ends.
            args: &["--version".to_owned()],
            env: &[],
            dir: "/".as_ref(),
            filter: Some(&filter),
            descriptors: None,
            own_network: false,
        }
        .spawn()?;
        let mut tracer = Tracer::seize(process.pid())?;
        process.go()?;
        let bell = Bell::new()?;
        let begun = Instant::now();
        while tracer.unreaped().next().is_some() && begun.elapsed() < Duration::from_secs(10) {
            if tracer.drain()? == 0 {
                bell.wait(iter::empty(), iter::empty(), Duration::from_millis(50))?;
            }
            process.stdout.pump();
            process.stderr.pump();
        }
        if tracer.unreaped().next().is_none() {
            process.set_reaped();
        }
        Ok::<_, HarnessError>((tracer.executed(), !tracer.events().is_empty(), tracer.pidfd.is_some()))
    };
    match tried() {
        Ok((true, true, true)) => Ok(()),
        Ok((false, ..)) => Err("a traced program did not start".to_owned()),
        Ok((_, false, _)) => Err("the seccomp filter stops no call".to_owned()),
        Ok((_, _, false)) => Err("pidfd_open is refused".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}
