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

/// At most so many times as long.
pub const MOST: u32 = 8;

/// Measured once: by how much this machine is busy, and by how much it is slower than a usual one.
struct Pace {
    busy: f64,
    slow: f64,
}

fn pace() -> &'static Pace {
    static PACE: OnceLock<Pace> = OnceLock::new();
    PACE.get_or_init(measure)
}

/// By how much deadlines are stretched: 1 on an idle machine of today, 8 at most.
pub fn stretch() -> f64 {
    (pace().busy * pace().slow).clamp(1.0, MOST.into())
}

/// By how much work takes longer here than on a machine of today, however busy either is; 8 at most.
pub fn slowness() -> f64 {
    pace().slow.min(MOST.into())
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
/// one). Enough of it for several time slices: within one, being put off once makes all the difference.
fn measure() -> Pace {
    const ENOUGH: Duration = Duration::from_millis(40);
    const WORK: u32 = 100_000;
    /// Processor time of that work, unoptimised, on a machine of 2024.
    const USUAL: Duration = Duration::from_millis(1);
    let (begun, before) = (Instant::now(), processor_time());
    let mut times = 0;
    let (wall, cpu) = loop {
        black_box((0..WORK).fold(0u32, |sum, i| black_box(sum.wrapping_mul(31).wrapping_add(i))));
        times += 1;
        let (wall, cpu) = (begun.elapsed(), processor_time().saturating_sub(before));
        if cpu >= ENOUGH || wall >= ENOUGH * MOST {
            break (wall, cpu.max(Duration::from_micros(1)));
        }
    };
    let busy = wall.div_duration_f64(cpu);
    let slow = cpu.div_duration_f64(USUAL * times);
    Pace { busy, slow: slow.max(1.0) }
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
