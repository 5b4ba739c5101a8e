//! Trajectory balance (Malkin et al. 2022) for continuous states (Lahlou et al. 2023), with the
//! backward loop as a named choice, because getting its bounds wrong is the pedagogical bug.

use crate::mixture::Mixture;
use crate::policy::{Gaussian, MIN_STD, Policy, constant};
use crate::rollout::Trajectories;
use num_traits::Float;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Which backward steps x_t -> x_{t-1} the loss counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// Where the backward network's mean is measured from, or what stands in the network's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackwardMean {
    /// From zero: the network's mean is the mean of the action x_t - x_{t-1}.
    #[default]
    Net,
    /// From the Brownian bridge to S0: the action's mean is (x_t - x_0)/t plus the network's.
    Bridge,
    /// No network: P_B is the Brownian bridge itself and learns nothing. It is a random walk of
    /// steps with standard deviation `step_std`, given where it starts and where it is: the action
    /// x_t - x_{t-1} has mean (x_t - x_0)/t and standard deviation step_std·√((t-1)/t), but at least
    /// [`MIN_STD`], because the bridge into x_0 has none.
    FixedBridge {
        /// In units of x.
        step_std: f64,
    },
}

impl BackwardMean {
    /// What is added to the network's mean in state (x, t), t >= 1, of a trajectory from `start`.
    pub fn offset<F: Float>(self, start: F, x: F, t: usize) -> F {
        match self {
            BackwardMean::Net => F::zero(),
            BackwardMean::Bridge | BackwardMean::FixedBridge { .. } => {
                (x - start) / constant(t as f64)
            }
        }
    }

    /// The standard deviation at t >= 1 where no network decides it.
    pub fn fixed_std(self, t: usize) -> Option<f64> {
        match self {
            BackwardMean::Net | BackwardMean::Bridge => None,
            BackwardMean::FixedBridge { step_std } => {
                Some((step_std * (1.0 - 1.0 / t as f64).sqrt()).max(MIN_STD))
            }
        }
    }

    /// The law, at t >= 1, of an action less [`Self::offset`], where the network says `network`.
    pub fn centred<F: Float>(self, network: Gaussian<F>, t: usize) -> Gaussian<F> {
        match self.fixed_std(t) {
            None => network,
            Some(std) => Gaussian {
                mean: F::zero(),
                std: constant(std),
            },
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
    log_backward_from(BackwardMean::Net, policy, states, counted)
}

/// [`log_backward`] with the policy's mean measured from `mean`.
pub fn log_backward_from<F: Float>(
    mean: BackwardMean,
    policy: &Policy<F>,
    states: &[F],
    counted: BackwardLoop,
) -> F {
    counted
        .counted_steps(states.len().saturating_sub(1))
        .fold(F::zero(), |sum, t| {
            let law = mean.centred(policy.evaluate(states[t], constant(t as f64)), t);
            let offset = mean.offset(states[0], states[t], t);
            sum + law.log_density(states[t] - states[t - 1] - offset)
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

/// log Z by importance weighting, in nats: the log of the mean of R P_B / P_F over trajectories
/// that the forward policy drew without exploration. The mean is an unbiased estimate of Z
/// whatever the policies are; how far it scatters is what the policies decide.
pub fn importance_log_z(
    target: &Mixture,
    (forward, backward): (&Policy<f64>, &Policy<f64>),
    mean: BackwardMean,
    trajectories: &Trajectories<f64>,
) -> f64 {
    let steps = trajectories.steps;
    let column = |t: usize| -> Vec<f64> { trajectories.iter().map(|states| states[t]).collect() };
    let mut log_weights: Vec<f64> = trajectories
        .terminals()
        .map(|x| target.log_reward(x))
        .collect();
    for t in 1..=steps {
        let (from, to) = (column(t - 1), column(t));
        let start = column(0);
        let forward = forward.evaluate_many(&from, (t - 1) as f64);
        for (i, (weight, law)) in log_weights.iter_mut().zip(forward).enumerate() {
            *weight -= law.log_density(to[i] - from[i]);
        }
        if BackwardLoop::Correct.counted_steps(steps).contains(&t) {
            let backward = backward.evaluate_many(&to, t as f64);
            for (i, (weight, law)) in log_weights.iter_mut().zip(backward).enumerate() {
                let offset = mean.offset(start[i], to[i], t);
                let law = mean.centred(law, t);
                *weight += law.log_density(to[i] - from[i] - offset);
            }
        }
    }
    let largest = log_weights.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = log_weights.iter().map(|w| (w - largest).exp()).sum();
    largest + (sum / log_weights.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mixture::Mode;
    use crate::noise::ThreefryRng;
    use crate::rollout::Rollout;

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
    fn a_bridge_shifts_the_backward_mean_towards_the_start() {
        let policy = Policy::<f64>::placeholder(4, 0.3);
        let states = [0.5, 1.0, 2.0];
        let bridge = |states: &[f64]| {
            log_backward_from(BackwardMean::Bridge, &policy, states, BackwardLoop::Correct)
        };
        // From (2, 2) the bridge's mean action is (2 - 0.5) / 2, and the walk's was 1.
        let law = policy.evaluate(2.0, 2.0);
        assert_eq!(bridge(&states), law.log_density(1.0 - 0.75));
        assert_eq!(bridge(&[0.5, 1.25, 2.0]), law.log_density(0.0));
    }

    /// Forwards a random walk, backwards its bridges: the same measure on walks that end in x_N.
    #[test]
    fn a_fixed_bridge_undoes_a_random_walk() {
        const STD: f64 = 0.3;
        let walk = Policy::<f64>::placeholder(4, STD);
        let backward = Policy::<f64>::init(4, &mut ThreefryRng::new(1, 0));
        let mean = BackwardMean::FixedBridge { step_std: STD };
        for states in [[0.5, 0.6, 0.2, 1.1], [0.5, -0.4, 0.9, 0.7]] {
            let forward = log_forward(&walk, &states);
            let backward = log_backward_from(mean, &backward, &states, BackwardLoop::Correct);
            let end = Gaussian {
                mean: 0.5,
                std: STD * 3f64.sqrt(),
            };
            let error = forward - end.log_density(states[3]) - backward;
            assert!(error.abs() < 1e-12, "{error}");
        }
        assert_eq!(mean.fixed_std(1), Some(MIN_STD));
        assert_eq!(mean.fixed_std(4), Some(STD * 0.75f64.sqrt()));
    }

    /// With one step there is nothing to learn backwards: the weights are R / P_F of the terminal
    /// state, and their mean is known.
    #[test]
    fn importance_weights_find_log_z() {
        let target = Mixture::new(vec![Mode::new(0.2, 0.05), Mode::new(-0.3, 0.03)]);
        let rollout = |steps| Rollout {
            start: 0.0,
            steps,
            sigma_scale: 1.0,
            extra_std: 0.0,
            seed: 5,
            first: 0,
        };
        for (steps, mean) in [
            (1, BackwardMean::Net),
            (3, BackwardMean::Bridge),
            (3, BackwardMean::FixedBridge { step_std: 0.5 }),
        ] {
            let forward = Policy::<f64>::placeholder(4, 0.5);
            let backward = Policy::<f64>::placeholder(4, 0.4);
            let trajectories = rollout(steps).draw(&forward, 100_000);
            let policies = (&forward, &backward);
            let log_z = importance_log_z(&target, policies, mean, &trajectories);
            assert!((log_z - 2f64.ln()).abs() < 0.02, "{steps}: {log_z}");
            // The same by the plain terms of a few trajectories.
            let few = rollout(steps).draw(&forward, 7);
            let weights = few.iter().map(|states| {
                let residual = residual(
                    0.0,
                    log_forward(&forward, states),
                    target.log_reward(states[steps]),
                    log_backward_from(mean, &backward, states, BackwardLoop::Correct),
                );
                (-residual).exp()
            });
            let plain = (weights.sum::<f64>() / 7.0).ln();
            let fast = importance_log_z(&target, policies, mean, &few);
            assert!((fast - plain).abs() < 1e-12, "{fast} {plain}");
        }
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
