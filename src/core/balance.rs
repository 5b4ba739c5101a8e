//! Trajectory balance (Malkin et al. 2022) for continuous states (Lahlou et al. 2023), with the
//! backward loop as a named choice, because getting its bounds wrong is the pedagogical bug.

use crate::policy::{Policy, constant};
use num_traits::Float;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Which backward steps x_t -> x_{t-1} the loss counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackwardLoop {
    /// t = 2..=N. The step into x_0 is forced (every trajectory starts at S0), so its backward
    /// probability is one and its term is zero.
    Correct,
    /// t = 1..=N: scores the forced step as if it had been free.
    CountsForced,
    /// t = 3..=N: leaves out a step that is free.
    DropsReal,
}

impl BackwardLoop {
    /// All three, in the order of the text.
    pub const ALL: [BackwardLoop; 3] = [
        BackwardLoop::Correct,
        BackwardLoop::CountsForced,
        BackwardLoop::DropsReal,
    ];

    /// The t whose terms log P_B(x_{t-1} | x_t, t) are summed; empty for short horizons.
    pub fn counted_steps(self, steps: usize) -> RangeInclusive<usize> {
        match self {
            BackwardLoop::Correct => 2..=steps,
            BackwardLoop::CountsForced => 1..=steps,
            BackwardLoop::DropsReal => 3..=steps,
        }
    }
}

/// log P_F of one trajectory, in nats: the sum over t = 0..N of the forward policy's log-density
/// of x_{t+1} - x_t in state (x_t, t). `states` are x_0, ..., x_N.
pub fn log_forward<F: Float>(policy: &Policy<F>, states: &[F]) -> F {
    states
        .windows(2)
        .enumerate()
        .fold(F::zero(), |sum, (t, pair)| {
            let law = policy.evaluate(pair[0], constant(t as f64));
            sum + law.log_density(pair[1] - pair[0])
        })
}

/// log P_B of one trajectory, in nats: the sum over the counted t of the backward policy's
/// log-density of x_t - x_{t-1} in state (x_t, t). `states` are x_0, ..., x_N.
pub fn log_backward<F: Float>(policy: &Policy<F>, states: &[F], counted: BackwardLoop) -> F {
    counted
        .counted_steps(states.len().saturating_sub(1))
        .fold(F::zero(), |sum, t| {
            let law = policy.evaluate(states[t], constant(t as f64));
            sum + law.log_density(states[t] - states[t - 1])
        })
}

/// The trajectory-balance residual log Z + log P_F - log R - log P_B, in nats. It is zero on
/// every trajectory when the sampler is perfect.
pub fn residual<F: Float>(log_z: F, log_forward: F, log_reward: F, log_backward: F) -> F {
    log_z + log_forward - log_reward - log_backward
}

/// The trajectory-balance loss: the mean of the squared residuals, in nats².
pub fn loss<F: Float>(residuals: &[F]) -> F {
    let sum = residuals.iter().fold(F::zero(), |sum, &r| sum + r * r);
    sum / constant(residuals.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::ThreefryRng;

    #[test]
    fn the_three_loops_nest() {
        let policy = Policy::<f64>::init(16, &mut ThreefryRng::new(9, 0));
        let states = [0.0, 0.4, -0.2, 1.3, 0.9, 1.1];
        let term = |t: usize| {
            policy
                .evaluate(states[t], t as f64)
                .log_density(states[t] - states[t - 1])
        };
        let sum = |counted| log_backward(&policy, &states, counted);
        let correct = sum(BackwardLoop::Correct);
        assert!((sum(BackwardLoop::CountsForced) - correct - term(1)).abs() < 1e-12);
        assert!((correct - sum(BackwardLoop::DropsReal) - term(2)).abs() < 1e-12);
    }

    #[test]
    fn short_horizons_have_nothing_to_count() {
        let policy = Policy::<f64>::placeholder(4, 0.3);
        assert_eq!(
            log_backward(&policy, &[0.0, 1.0], BackwardLoop::Correct),
            0.0
        );
        assert_eq!(
            log_backward(&policy, &[0.0], BackwardLoop::CountsForced),
            0.0
        );
    }
}
