//! How slow this machine is right now, so that deadlines stretch with it.

use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use std::{
    hint::black_box,
    sync::OnceLock,
    time::{Duration, Instant},
};

/// By how much deadlines are stretched: 1 on an idle machine of today, 8 at most. Measured once.
pub fn stretch() -> f64 {
    static STRETCH: OnceLock<f64> = OnceLock::new();
    *STRETCH.get_or_init(measure)
}

/// A deadline for this machine.
pub fn stretched(deadline: Duration) -> Duration {
    deadline.mul_f64(stretch())
}

/// Makes sure that this process, and one that it starts, may have so many descriptors open.
///
/// # Errors
///
/// How many it may have, if the system's limit is lower.
pub fn may_open(descriptors: u64) -> Result<(), u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or_default();
    if soft >= descriptors {
        return Ok(());
    }
    match setrlimit(Resource::RLIMIT_NOFILE, descriptors.min(hard), hard) {
        Ok(()) if hard >= descriptors => Ok(()),
        Ok(()) => Err(hard),
        Err(_) => Err(soft),
    }
}

/// Compares the wall time of some work with its processor time (a busy machine) and with what it takes elsewhere (a slow
/// one).
fn measure() -> f64 {
    const WORK: u64 = 4_000_000;
    /// Processor time of that work, unoptimised, on a machine of 2024.
    const USUAL: Duration = Duration::from_millis(40);
    let (wall, cpu) = (Instant::now(), processor_time());
    let mut sum = 0u64;
    for i in 0..WORK {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(i));
    }
    black_box(sum);
    let (wall, cpu) = (wall.elapsed(), processor_time().saturating_sub(cpu));
    let busy = wall.as_secs_f64() / cpu.as_secs_f64().max(1e-6);
    let slow = cpu.as_secs_f64() / USUAL.as_secs_f64();
    (busy * slow.max(1.0)).clamp(1.0, 8.0)
}

fn processor_time() -> Duration {
    // The calling thread's own; see clock_gettime(2). It cannot fail for this clock.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_stretch_and_never_shrink() {
        assert!((1.0..=8.0).contains(&stretch()));
        assert!(stretched(Duration::from_secs(1)) >= Duration::from_secs(1));
    }
}
