//! Exploration schedules: how much is added to the forward policy's standard deviation while
//! training trajectories are *sampled*. The log-probabilities in the loss are always the learned
//! policy's, which is what makes the training off-policy.

use serde::{Deserialize, Serialize};

/// An addition to the sampling standard deviation, as a function of training progress.
///
/// ```
/// use gflownet_tour_core::exploration::Exploration;
/// let schedule = Exploration::Linear { from_std: 2.0, to_std: 0.0 };
/// assert_eq!(schedule.extra_std(0, 101), 2.0);
/// assert_eq!(schedule.extra_std(50, 101), 1.0);
/// assert_eq!(schedule.extra_std(100, 101), 0.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Exploration {
    /// On-policy: trajectories are drawn from the learned policy itself.
    None,
    /// The same addition throughout.
    Constant {
        /// Added standard deviation, in units of x.
        std: f64,
    },
    /// A straight line over the whole run, both ends included.
    Linear {
        /// Added standard deviation at the first iteration.
        from_std: f64,
        /// Added standard deviation at the last iteration.
        to_std: f64,
    },
    /// A straight line over the first part of the run, then `to_std` to the end.
    LinearByFraction {
        /// Added standard deviation at the first iteration.
        from_std: f64,
        /// Added standard deviation from `fraction` of the run on.
        to_std: f64,
        /// The part of the run, in (0, 1], over which the line falls.
        fraction: f64,
    },
}

impl Exploration {
    /// The addition to the standard deviation at `iteration` (from 0) of `iterations`.
    pub fn extra_std(&self, iteration: usize, iterations: usize) -> f64 {
        let line = |from: f64, to: f64, last: f64| {
            let progress = if last > 0.0 {
                (iteration as f64 / last).min(1.0)
            } else {
                1.0
            };
            from + (to - from) * progress
        };
        let last = iterations.saturating_sub(1) as f64;
        match *self {
            Exploration::None => 0.0,
            Exploration::Constant { std } => std,
            Exploration::Linear { from_std, to_std } => line(from_std, to_std, last),
            Exploration::LinearByFraction {
                from_std,
                to_std,
                fraction,
            } => line(from_std, to_std, last * fraction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_by_fraction_reaches_its_end_early_and_stays_there() {
        let schedule = Exploration::LinearByFraction {
            from_std: 2.0,
            to_std: 0.5,
            fraction: 0.5,
        };
        assert_eq!(schedule.extra_std(0, 1001), 2.0);
        assert_eq!(schedule.extra_std(250, 1001), 1.25);
        assert_eq!(schedule.extra_std(500, 1001), 0.5);
        assert_eq!(schedule.extra_std(1000, 1001), 0.5);
    }

    #[test]
    fn none_and_constant_do_not_depend_on_progress() {
        for iteration in [0, 1, 99] {
            assert_eq!(Exploration::None.extra_std(iteration, 100), 0.0);
            let constant = Exploration::Constant { std: 0.7 };
            assert_eq!(constant.extra_std(iteration, 100), 0.7);
        }
    }

    #[test]
    fn a_run_of_one_iteration_is_at_its_end() {
        let schedule = Exploration::Linear {
            from_std: 2.0,
            to_std: 0.0,
        };
        assert_eq!(schedule.extra_std(0, 1), 0.0);
    }
}
