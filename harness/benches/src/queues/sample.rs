//! What one measurement of one queue found.

use std::str::FromStr;

use anyhow::bail;
use serde::Serialize;

/// What one measurement of one queue found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Tasks that went in and came out.
    pub operations: u64,
    /// Wall time in nanoseconds.
    pub nanoseconds: u64,
    /// CPU time of the whole process in nanoseconds.
    pub cpu: u64,
    /// Context switches of the whole process, wanted or not.
    pub switches: u64,
    /// What others took of the processors meanwhile, as a share of one. Whoever started the measurement fills it in.
    pub others: f64,
}

impl Sample {
    /// Operations per second.
    pub fn throughput(&self) -> f64 {
        self.operations as f64 * 1e9 / self.nanoseconds as f64
    }

    /// Nanoseconds of CPU time for each operation.
    pub fn cpu_per_operation(&self) -> f64 {
        self.cpu as f64 / self.operations as f64
    }

    /// Context switches for each operation.
    pub fn switches_per_operation(&self) -> f64 {
        self.switches as f64 / self.operations as f64
    }

    /// The share of the time in which the process had no processor. On one core a queue that is never idle always wants it: what
    /// is missing was taken by others.
    pub fn missing(&self) -> f64 {
        1.0 - self.cpu as f64 / self.nanoseconds as f64
    }
}

/// Reads the line that a queue's process prints.
impl FromStr for Sample {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Sample> {
        let numbers: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        match numbers[..] {
            [operations, nanoseconds, cpu, switches] if operations > 0 && nanoseconds > 0 => {
                Ok(Sample { operations, nanoseconds, cpu, switches, others: 0.0 })
            }
            _ => bail!("these are not the figures of a queue: {line:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_four_numbers_is_a_sample() {
        let sample: Sample = "10 2000 500 4\n".parse().unwrap();
        assert_eq!(sample, Sample { operations: 10, nanoseconds: 2000, cpu: 500, switches: 4, others: 0.0 });
        assert_eq!((sample.throughput(), sample.cpu_per_operation()), (5e6, 50.0));
        assert_eq!((sample.switches_per_operation(), sample.missing()), (0.4, 0.75));
        for wrong in ["", "0 1 2 3", "1 2 3", "1 2 3 4 5", "ring: no memory"] {
            assert!(wrong.parse::<Sample>().is_err(), "{wrong}");
        }
    }
}
