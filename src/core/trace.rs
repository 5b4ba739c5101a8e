//! One trajectory under trajectory balance, term by term: every number of the formula
//!
//! > residual = log Z + Σ log P_F - log R - Σ log P_B,  loss = residual²,
//!
//! and which way the gradient of the loss pushes each of them. [`crate::balance`] has the sums.

use crate::balance::{self, BackwardLoop};
use crate::density::Laws;
use crate::mixture::Mixture;
use crate::noise::Noise;
use crate::policy::{Gaussian, StdRange};
use serde::{Deserialize, Serialize};

/// One term log P of a trajectory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The mean of the action's law, in units of x.
    pub mean: f64,
    /// Its standard deviation, in units of x.
    pub std: f64,
    /// The action, x_{t+1} - x_t or x_t - x_{t-1}, in units of x.
    pub action: f64,
    /// The action's log-density, in nats.
    pub log_density: f64,
    /// Whether the loss counts the term.
    pub is_counted: bool,
    /// d loss / d mean, in nats² per unit of x; zero where the loss does not count the term.
    pub by_mean: f64,
    /// d loss / d r, in nats², with std = min + (max - min) / (1 + e^-r), the network's raw output.
    pub by_raw_std: f64,
}

/// One trajectory and all of its terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// x_0, ..., x_N.
    pub states: Vec<f64>,
    /// log P_F(x_{t+1} | x_t), for t = 0, ..., N-1.
    pub forward: Vec<Term>,
    /// log P_B(x_{t-1} | x_t), for t = 1, ..., N.
    pub backward: Vec<Term>,
    /// The learned log Z, in nats.
    pub log_z: f64,
    /// log R(x_N), in nats.
    pub log_reward: f64,
    /// log Z + Σ log P_F - log R - Σ log P_B over the counted terms, in nats. The loss is its
    /// square.
    pub residual: f64,
    /// d loss / d log Z, in nats.
    pub by_log_z: f64,
}

impl Trace {
    /// The terms of the trajectory `states` (x_0, ..., x_N with N at least 1) under a model.
    /// `counted` says which backward terms its loss has.
    pub fn of(
        forward: &impl Laws,
        backward: &impl Laws,
        log_z: f64,
        target: &Mixture,
        counted: BackwardLoop,
        states: &[f64],
    ) -> Trace {
        let steps = states.len().saturating_sub(1);
        let law = |policy: &dyn Laws, x: f64, t: usize| policy.laws(&[x], t)[0];
        let action = |t: usize| states[t + 1] - states[t];
        let ranges = [forward.std_range(), backward.std_range()];
        let laws_forward = (0..steps).map(|t| law(forward, states[t], t));
        let laws_backward = (1..=steps).map(|t| law(backward, states[t], t));
        let mut forward: Vec<Term> = laws_forward
            .enumerate()
            .map(|(t, law)| Term::of(law, action(t), true))
            .collect();
        let counted = counted.counted_steps(steps);
        let mut backward: Vec<Term> = laws_backward
            .enumerate()
            .map(|(t, law)| Term::of(law, action(t), counted.contains(&(t + 1))))
            .collect();
        let sum = |terms: &[Term]| -> f64 {
            let counted = terms.iter().filter(|term| term.is_counted);
            counted.map(|term| term.log_density).sum()
        };
        let log_reward = states.last().map_or(f64::NAN, |&x| target.log_reward(x));
        let residual = balance::residual(log_z, sum(&forward), log_reward, sum(&backward));
        for term in &mut forward {
            term.differentiate(2.0 * residual, ranges[0]);
        }
        for term in &mut backward {
            term.differentiate(-2.0 * residual, ranges[1]);
        }
        Trace {
            states: states.to_vec(),
            forward,
            backward,
            log_z,
            log_reward,
            residual,
            by_log_z: 2.0 * residual,
        }
    }

    /// The counted terms' sum, forward: log P_F of the trajectory, in nats.
    pub fn log_forward(&self) -> f64 {
        self.forward.iter().map(|term| term.log_density).sum()
    }

    /// The counted terms' sum, backward: log P_B of the trajectory as the loss has it, in nats.
    pub fn log_backward(&self) -> f64 {
        let counted = self.backward.iter().filter(|term| term.is_counted);
        counted.map(|term| term.log_density).sum()
    }
}

impl Term {
    fn of(law: Gaussian<f64>, action: f64, is_counted: bool) -> Term {
        Term {
            mean: law.mean,
            std: law.std,
            action,
            log_density: law.log_density(action),
            is_counted,
            by_mean: 0.0,
            by_raw_std: 0.0,
        }
    }

    /// Sets the derivatives of a loss that changes by `by_log_density` with this term.
    fn differentiate(&mut self, by_log_density: f64, range: StdRange) {
        if !self.is_counted {
            return;
        }
        let z = (self.action - self.mean) / self.std;
        let by_std = by_log_density * (z * z - 1.0) / self.std;
        self.by_mean = by_log_density * z / self.std;
        self.by_raw_std =
            by_std * (self.std - range.min_std) * (range.max_std - self.std) / range.span();
    }
}

/// The states x_0, ..., x_N of a walk back from x_N = `from` under the backward policy: the
/// actions at t = N, ..., 2 are drawn with the noise of (seed, walk, t), the step into `start` is
/// forced.
pub fn walk_back(
    backward: &impl Laws,
    start: f64,
    steps: usize,
    from: f64,
    seed: u64,
    walk: u32,
) -> Vec<f64> {
    let noise = Noise::new(seed);
    let mut states = vec![start; steps + 1];
    let mut x = from;
    for t in (1..=steps).rev() {
        states[t] = x;
        if t > 1 {
            let law = backward.laws(&[x], t)[0];
            x -= law.mean + law.std * f64::from(noise.normal(walk, t as u32));
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::BackwardMean;
    use crate::flow::Backward;
    use crate::mixture::Mode;
    use crate::noise::ThreefryRng;
    use crate::policy::Policy;

    const STATES: [f64; 6] = [0.0, 0.4, -0.2, 1.3, 0.9, 1.1];
    const LOG_Z: f64 = 0.3;

    fn policies() -> [Policy<f64>; 2] {
        [5, 6].map(|seed| Policy::init(16, &mut ThreefryRng::new(seed, 0)))
    }

    fn target() -> Mixture {
        Mixture::new(vec![Mode::new(-1.0, 0.2), Mode::new(1.0, 0.2)])
    }

    /// The loss by the plain sums of `balance`.
    fn plain(forward: &Policy<f64>, backward: &Policy<f64>, counted: BackwardLoop) -> f64 {
        balance::residual(
            LOG_Z,
            balance::log_forward(forward, &STATES),
            target().log_reward(STATES[5]),
            balance::log_backward(backward, &STATES, counted),
        )
    }

    #[test]
    fn the_terms_add_up_to_the_residual_in_every_loop() {
        let [forward, backward] = policies();
        for counted in BackwardLoop::ALL {
            let trace = Trace::of(&forward, &backward, LOG_Z, &target(), counted, &STATES);
            let expected = plain(&forward, &backward, counted);
            assert!((trace.residual - expected).abs() < 1e-12, "{counted:?}");
            let sum = trace.log_z + trace.log_forward() - trace.log_reward - trace.log_backward();
            assert!((trace.residual - sum).abs() < 1e-12, "{counted:?}");
        }
    }

    #[test]
    fn the_backward_mean_is_measured_from_where_the_recipe_says() {
        let [forward, network] = policies();
        let states = STATES.map(|x| x + 0.3);
        for mean in [BackwardMean::Net, BackwardMean::Bridge] {
            let backward = Backward {
                network: &network,
                mean,
                start: states[0],
            };
            for counted in BackwardLoop::ALL {
                let trace = Trace::of(&forward, &backward, LOG_Z, &target(), counted, &states);
                let expected = balance::log_backward_from(mean, &network, &states, counted);
                assert!((trace.log_backward() - expected).abs() < 1e-12, "{mean:?}");
            }
        }
    }

    /// The last layer's biases are added to every mean and every raw number, so the derivative by
    /// them is the sum over the terms: against central differences of the plain loss.
    #[test]
    fn the_derivatives_are_those_of_the_plain_loss() {
        let [forward, backward] = policies();
        let moved = |policy: &Policy<f64>, bias: usize, by: f64| {
            let mut parameters = policy.parameters().to_vec();
            let at = parameters.len() - 2 + bias;
            parameters[at] += by;
            Policy::new(16, parameters).unwrap()
        };
        let by_differences = |loss: &dyn Fn(f64) -> f64| {
            let step = 1e-5;
            (loss(step) - loss(-step)) / (2.0 * step)
        };
        for counted in BackwardLoop::ALL {
            let trace = Trace::of(&forward, &backward, LOG_Z, &target(), counted, &STATES);
            let sums = |terms: &[Term]| {
                [
                    terms.iter().map(|t| t.by_mean).sum::<f64>(),
                    terms.iter().map(|t| t.by_raw_std).sum::<f64>(),
                ]
            };
            let (got_forward, got_backward) = (sums(&trace.forward), sums(&trace.backward));
            for bias in 0..2 {
                let expected = by_differences(&|by| {
                    plain(&moved(&forward, bias, by), &backward, counted).powi(2)
                });
                let error = (got_forward[bias] - expected).abs() / expected.abs();
                assert!(error < 1e-7, "{counted:?} {bias}: {error}");
                let expected = by_differences(&|by| {
                    plain(&forward, &moved(&backward, bias, by), counted).powi(2)
                });
                let error = (got_backward[bias] - expected).abs() / expected.abs();
                assert!(error < 1e-7, "{counted:?} {bias}: {error}");
            }
            let expected = 2.0 * plain(&forward, &backward, counted);
            assert!((trace.by_log_z - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_walk_back_ends_at_the_start_and_has_the_backward_policys_steps() {
        const WALKS: u32 = 20_000;
        let backward = Policy::<f64>::placeholder(8, 0.3);
        let mut squares = 0.0;
        for walk in 0..WALKS {
            let states = walk_back(&backward, 0.5, 5, -3.0, 9, walk);
            assert_eq!((states[0], states[5], states.len()), (0.5, -3.0, 6));
            squares += (states[1] + 3.0).powi(2);
        }
        // Four free steps lie between; five standard errors of a normal's variance.
        let (var, n) = (4.0 * 0.09, f64::from(WALKS));
        let error = (squares / n - var).abs();
        assert!(error < 5.0 * var * (2.0 / n).sqrt(), "{error}");
    }

    #[test]
    fn nothing_to_walk_is_no_panic() {
        let [forward, backward] = policies();
        for states in [&[][..], &[0.0]] {
            let counted = BackwardLoop::CountsForced;
            let trace = Trace::of(&forward, &backward, LOG_Z, &target(), counted, states);
            assert!(trace.forward.is_empty() && trace.backward.is_empty());
        }
        assert_eq!(walk_back(&backward, 0.5, 0, 1.0, 1, 0), [0.5]);
    }
}
