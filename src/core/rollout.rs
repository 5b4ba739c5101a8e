//! Rollouts: trajectories drawn from a forward policy. The plain formula, one trajectory after
//! the other; the engine's kernels are faster and are tested against this.

use crate::balance::BackwardMean;
use crate::noise::Noise;
use crate::policy::{Policy, constant};
use num_traits::Float;
use serde::{Deserialize, Serialize};

/// How trajectories are drawn.
///
/// ```
/// use gflownet_tour_core::{policy::Policy, rollout::Rollout};
/// let rollout = Rollout {
///     start: 0.0,
///     steps: 5,
///     sigma_scale: 1.0,
///     extra_std: 0.0, // units of x
///     seed: 7,
///     first: 0,
/// };
/// let policy = Policy::<f32>::placeholder(64, 0.35);
/// let plain = rollout.draw(&policy, 100);
/// assert_eq!(plain.states.len(), 100 * 6); // row-major [100, 6]: x_0, ..., x_5
/// // The tenth on its own: noise is a pure function.
/// let tenth = Rollout { first: 9, ..rollout }.draw(&policy, 1);
/// assert_eq!(tenth.states, plain.states[9 * 6..][..6]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The state S0 in which every trajectory starts.
    pub start: f64,
    /// The horizon N.
    pub steps: usize,
    /// Scale on the policy's standard deviation.
    pub sigma_scale: f64,
    /// Added to the scaled standard deviation (exploration), in units of x.
    pub extra_std: f64,
    /// The seed of the noise.
    pub seed: u64,
    /// The number of the first trajectory: batches that follow each other share one stream.
    pub first: u32,
}

/// Trajectories of equal length.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectories<F> {
    /// The horizon N.
    pub steps: usize,
    /// Row-major [count, N + 1]: x_0, ..., x_N of each trajectory.
    pub states: Vec<F>,
}

impl<F: Float> Trajectories<F> {
    /// The trajectories, each as its N + 1 states.
    pub fn iter(&self) -> impl Iterator<Item = &[F]> {
        self.states.chunks_exact(self.steps + 1)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.states.len() / (self.steps + 1)
    }

    /// The terminal states x_N.
    pub fn terminals(&self) -> impl Iterator<Item = F> {
        self.iter().map(|states| states[states.len() - 1])
    }
}

impl Rollout {
    /// Draws `count` trajectories.
    pub fn draw<F: Float>(&self, policy: &Policy<F>, count: usize) -> Trajectories<F> {
        let noise = Noise::new(self.seed);
        let mut states = Vec::with_capacity(count * (self.steps + 1));
        for trajectory in 0..count as u32 {
            let mut x = constant::<F>(self.start);
            states.push(x);
            for step in 0..self.steps {
                let law = policy.evaluate(x, constant(step as f64));
                let std = law.std * constant(self.sigma_scale) + constant(self.extra_std);
                let z = noise.normal(self.first.wrapping_add(trajectory), step as u32);
                x = x + law.mean + std * constant(f64::from(z));
                states.push(x);
            }
        }
        Trajectories {
            steps: self.steps,
            states,
        }
    }
}

impl Rollout {
    /// Trajectories that end in `terminals`, each walked back to the start by the backward policy,
    /// whose mean is measured from `mean`. The scale and the addition, which are the forward
    /// policy's, have no part in it.
    pub fn draw_back<F: Float>(
        &self,
        backward: &Policy<F>,
        mean: BackwardMean,
        terminals: &[F],
    ) -> Trajectories<F> {
        let noise = Noise::new(self.seed);
        let start = constant::<F>(self.start);
        let row = self.steps + 1;
        let mut states = vec![start; terminals.len() * row];
        let rows = states.chunks_exact_mut(row).zip(terminals);
        for (trajectory, (row, &terminal)) in (0..).zip(rows) {
            row[self.steps] = terminal;
            for t in (2..=self.steps).rev() {
                let law = mean.centred(backward.evaluate(row[t], constant(t as f64)), t);
                let z = noise.normal(self.first.wrapping_add(trajectory), t as u32);
                let offset = mean.offset(start, row[t], t);
                row[t - 1] = row[t] - law.mean - offset - law.std * constant(f64::from(z));
            }
        }
        Trajectories {
            steps: self.steps,
            states,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::ThreefryRng;

    const ROLLOUT: Rollout = Rollout {
        start: 0.0,
        steps: 5,
        sigma_scale: 1.0,
        extra_std: 0.0,
        seed: 5,
        first: 0,
    };

    #[test]
    fn batches_that_follow_each_other_are_one_long_batch() {
        let policy = Policy::<f64>::init(16, &mut ThreefryRng::new(2, 0));
        let whole = ROLLOUT.draw(&policy, 12);
        let head = ROLLOUT.draw(&policy, 5);
        let tail = Rollout {
            first: 5,
            ..ROLLOUT
        }
        .draw(&policy, 7);
        assert_eq!(whole.states, [head.states, tail.states].concat());
    }

    #[test]
    fn precision_changes_rounding_and_nothing_else() {
        let policy = Policy::<f64>::init(64, &mut ThreefryRng::new(3, 0));
        let double = ROLLOUT.draw(&policy, 200);
        let single = ROLLOUT.draw(&policy.cast::<f32>(), 200);
        for (a, b) in double.states.iter().zip(&single.states) {
            assert!((a - f64::from(*b)).abs() < 1e-4);
        }
    }
}
