//! What a training run minimises: five objectives of the literature over the same two policies.
//!
//! With l_s = log P_F(x_{s+1} | x_s) - log P_B(x_s | x_{s+1}) for s = 0, ..., N-1, where the loss's
//! [`BackwardLoop`] says which backward terms are counted, let
//!
//! > a_t = log F_t - Σ_{s<t} l_s,
//!
//! with F_0 = Z, F_N = R(x_N) and F_t = F(x_t, t) between, the flow through a state. A perfect model
//! has a_0 = a_1 = ... = a_N on every trajectory. The balance objectives are mean squares of
//! differences of the a: of a_0 and a_N (trajectory balance), of neighbours (detailed balance), of
//! all pairs (sub-trajectory balance). Where F is needed it is learned, by a network of the policies'
//! shape.
//!
//! The other two need no Z. With r = Σ l_s - log R, log-variance takes the variance of r over the
//! batch, and reverse KL the mean of r.

use crate::balance::{BackwardLoop, BackwardMean};
use crate::mixture::Mixture;
use crate::policy::Policy;
use serde::{Deserialize, Serialize};

/// The learning rate of the flow network, relative to the policies'. The flow is what the loss of a
/// step compares with: where it moves as slowly as the policies, log Z and R reach the steps between
/// late, and detailed and sub-trajectory balance gave up one of two far modes (in 3 and 2 of three
/// seeds of the laboratory's recipe; at ten times the rate in 1 and 1, at thirty and a hundred in
/// none, and at thirty in none of eight for detailed balance).
pub const FLOW_RATE: f64 = 30.0;

/// What is minimised. Losses are means over the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Objective {
    /// (log Z + r)², in nats², with a learned log Z (Malkin et al. 2022).
    #[default]
    TrajectoryBalance,
    /// The variance of r over the batch, in nats²: trajectory balance with the batch's own estimate
    /// in the place of log Z (Richter et al. 2020; Zhang et al. 2023).
    LogVariance,
    /// The mean over the steps of (a_t - a_{t+1})², in nats², with learned F and log Z (Bengio et
    /// al. 2023; for continuous states Lahlou et al. 2023).
    DetailedBalance,
    /// The mean over all pairs m < n of (a_m - a_n)², weighted by `lambda`^(n-m), in nats², with
    /// learned F and log Z (Madan et al. 2023). A small `lambda` comes near detailed balance, a
    /// large one near trajectory balance.
    SubTrajectoryBalance {
        /// The weight of a pair relative to one that is a step shorter.
        lambda: f64,
    },
    /// The mean of r, in nats: KL(P_F, R·P_B / Z) - log Z. P_F learns by the score function with
    /// the mean r of the batch's other trajectories as baseline, P_B by the derivative itself (the
    /// hierarchical variational inference of Malkin et al. 2023). It is a mean under P_F, so
    /// trajectories that were drawn otherwise have no part in it: a trainer draws without
    /// exploration and without backward rollouts, whatever the recipe says, and
    /// [`Recipe::validate`](crate::weights::manifest::Recipe::validate) refuses them.
    ReverseKl,
}

impl Objective {
    /// Every kind, with the usual λ.
    pub const ALL: [Objective; 5] = [
        Objective::TrajectoryBalance,
        Objective::LogVariance,
        Objective::DetailedBalance,
        Objective::SubTrajectoryBalance { lambda: LAMBDA },
        Objective::ReverseKl,
    ];

    /// What a reader calls it.
    pub const fn title(self) -> &'static str {
        match self {
            Objective::TrajectoryBalance => "trajectory balance",
            Objective::LogVariance => "log-variance",
            Objective::DetailedBalance => "detailed balance",
            Objective::SubTrajectoryBalance { .. } => "sub-trajectory balance",
            Objective::ReverseKl => "reverse KL",
        }
    }

    /// Whether log Z is learned. Where it is not, a trainer reports the batch's estimate: the mean
    /// of -r, which on-policy is the evidence lower bound, at most log Z.
    pub const fn learns_log_z(self) -> bool {
        !self.compares_trajectories()
    }

    /// Whether the flow F(x, t) through the states between is learned.
    pub const fn learns_flow(self) -> bool {
        matches!(
            self,
            Objective::DetailedBalance | Objective::SubTrajectoryBalance { .. }
        )
    }

    /// Whether any trajectories will do, and not only those that P_F drew.
    pub const fn is_off_policy(self) -> bool {
        !matches!(self, Objective::ReverseKl)
    }

    /// Whether a trajectory's share of the gradient depends on the whole batch.
    pub const fn compares_trajectories(self) -> bool {
        matches!(self, Objective::LogVariance | Objective::ReverseKl)
    }

    /// The pairs (m, n), m < n, whose (a_m - a_n)² the loss sums, with their weights, which add up
    /// to one; none for an objective that is no such sum.
    pub fn pairs(self, steps: usize) -> Vec<Pair> {
        let of_length = |length: usize| match self {
            Objective::TrajectoryBalance => f64::from(length == steps),
            Objective::DetailedBalance => f64::from(length == 1),
            Objective::SubTrajectoryBalance { lambda } => lambda.powi(length as i32 - 1),
            Objective::LogVariance | Objective::ReverseKl => 0.0,
        };
        let pairs = (0..steps).flat_map(|m| (m + 1..=steps).map(move |n| (m, n)));
        let total: f64 = pairs.clone().map(|(m, n)| of_length(n - m)).sum();
        pairs
            .filter(|(m, n)| of_length(n - m) > 0.0)
            .map(|(from, to)| Pair {
                from,
                to,
                weight: (of_length(to - from) / total) as f32,
            })
            .collect()
    }
}

/// The λ that Madan et al. (2023) use.
pub const LAMBDA: f64 = 0.9;

/// Two times whose a should agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The earlier time.
    pub from: usize,
    /// The later time.
    pub to: usize,
    /// The share of the loss, of which all pairs together have one.
    pub weight: f32,
}

/// What the losses see of one trajectory, in nats: the plain formulas, which the trainers are tested
/// against.
///
/// ```
/// use gflownet_tour_core::objective::{Objective, Terms};
/// // Two steps. a_0 = log Z, a_1 = log F(x_1, 1) - l_0 and a_2 = log R - l_0 - l_1.
/// let terms = Terms {
///     log_forward: vec![-1.0, -2.0],
///     log_backward: vec![0.0, -1.5],
///     log_flow: vec![-0.75],
///     log_reward: -1.0,
/// };
/// let batch = [terms];
/// let log_z = 0.5; // a = 0.5, 0.25, 0.5
/// assert_eq!(Objective::TrajectoryBalance.loss(log_z, &batch), 0.0); // nats²
/// assert_eq!(Objective::DetailedBalance.loss(log_z, &batch), 0.25f64.powi(2));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// log P_F(x_{s+1} | x_s), for s = 0, ..., N-1.
    pub log_forward: Vec<f64>,
    /// log P_B(x_s | x_{s+1}), for s = 0, ..., N-1; 0 where the loop does not count it.
    pub log_backward: Vec<f64>,
    /// log F(x_t, t), for t = 1, ..., N-1.
    pub log_flow: Vec<f64>,
    /// log R(x_N).
    pub log_reward: f64,
}

impl Terms {
    /// The terms of the trajectory `states` (x_0, ..., x_N, N at least 1) under these policies, with
    /// the mean output of `flow` for log F.
    pub fn of(
        [forward, backward, flow]: [&Policy<f64>; 3],
        mean: BackwardMean,
        counted: BackwardLoop,
        target: &Mixture,
        states: &[f64],
    ) -> Terms {
        let steps = states.len() - 1;
        let action = |s: usize| states[s + 1] - states[s];
        let log_forward = |s: usize| {
            let law = forward.evaluate(states[s], s as f64);
            law.log_density(action(s))
        };
        let log_backward = |s: usize| {
            let (x, t) = (states[s + 1], s + 1);
            let law = mean.centred(backward.evaluate(x, t as f64), t);
            let log_density = law.log_density(action(s) - mean.offset(states[0], x, t));
            match counted.counted_steps(steps).contains(&t) {
                true => log_density,
                false => 0.0,
            }
        };
        Terms {
            log_forward: (0..steps).map(log_forward).collect(),
            log_backward: (0..steps).map(log_backward).collect(),
            log_flow: (1..steps)
                .map(|t| flow.evaluate(states[t], t as f64).mean)
                .collect(),
            log_reward: target.log_reward(states[steps]),
        }
    }

    /// r = log P_F - log P_B - log R of the whole trajectory.
    pub fn residual(&self) -> f64 {
        let sum = |terms: &[f64]| terms.iter().sum::<f64>();
        sum(&self.log_forward) - sum(&self.log_backward) - self.log_reward
    }

    /// How far the part of the trajectory from time m to time n is from balance:
    /// log F_m + Σ log P_F - Σ log P_B - log F_n, with F_0 = Z and F_N = R.
    pub fn imbalance(&self, log_z: f64, m: usize, n: usize) -> f64 {
        let steps = self.log_forward.len();
        let log_flow = |t: usize| match t {
            0 => log_z,
            t if t == steps => self.log_reward,
            t => self.log_flow[t - 1],
        };
        let part = |terms: &[f64]| terms[m..n].iter().sum::<f64>();
        log_flow(m) + part(&self.log_forward) - part(&self.log_backward) - log_flow(n)
    }
}

impl Objective {
    /// The loss of a batch, in nats² or, for reverse KL, nats.
    pub fn loss(self, log_z: f64, batch: &[Terms]) -> f64 {
        let mean = |of: &dyn Fn(&Terms) -> f64| {
            let sum: f64 = batch.iter().map(of).sum();
            sum / batch.len() as f64
        };
        match self {
            Objective::TrajectoryBalance => mean(&|terms| (log_z + terms.residual()).powi(2)),
            Objective::LogVariance => {
                let middle = mean(&Terms::residual);
                mean(&|terms| (terms.residual() - middle).powi(2))
            }
            Objective::DetailedBalance => mean(&|terms| {
                let steps = terms.log_forward.len();
                let squares = (0..steps).map(|t| terms.imbalance(log_z, t, t + 1).powi(2));
                squares.sum::<f64>() / steps as f64
            }),
            Objective::SubTrajectoryBalance { lambda } => mean(&|terms| {
                let steps = terms.log_forward.len();
                let (mut sum, mut weights) = (0.0, 0.0);
                for n in 1..=steps {
                    for m in 0..n {
                        let weight = lambda.powi((n - m) as i32);
                        sum += weight * terms.imbalance(log_z, m, n).powi(2);
                        weights += weight;
                    }
                }
                sum / weights
            }),
            Objective::ReverseKl => mean(&Terms::residual),
        }
    }
}

/// What reverse KL multiplies the gradient of each trajectory's log P_F by: its r less the mean r of
/// the batch's others, which makes the mean over the batch an unbiased gradient with less variance.
/// A batch of one has nothing to compare with: its weight is 0.
pub fn score_weights(batch: &[Terms]) -> Vec<f64> {
    let residuals: Vec<f64> = batch.iter().map(Terms::residual).collect();
    let count = batch.len() as f64;
    let mean = residuals.iter().sum::<f64>() / count;
    let others = (count - 1.0).max(1.0);
    let weights = residuals.iter().map(|r| (r - mean) * count / others);
    weights.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_of_the_pairs_add_up_to_one() {
        for objective in Objective::ALL {
            for steps in [1, 2, 5, 20] {
                let pairs = objective.pairs(steps);
                let sum: f32 = pairs.iter().map(|pair| pair.weight).sum();
                let expected = f32::from(!objective.compares_trajectories());
                assert!((sum - expected).abs() < 1e-5, "{objective:?}: {sum}");
            }
        }
    }

    fn batch(steps: usize) -> Vec<Terms> {
        let number = |i: usize, s: usize| (1.0 + i as f64 * 7.3 + s as f64 * 1.7).sin();
        let row = |i: usize, len: usize| (0..len).map(move |s| number(i, s)).collect();
        (0..4)
            .map(|i| Terms {
                log_forward: row(3 * i, steps),
                log_backward: row(3 * i + 1, steps),
                log_flow: row(3 * i + 2, steps - 1),
                log_reward: number(i, 50),
            })
            .collect()
    }

    /// Sub-trajectory balance has the other two balances at its ends.
    #[test]
    fn lambda_leads_from_detailed_to_trajectory_balance() {
        let batch = batch(5);
        let with = |lambda| Objective::SubTrajectoryBalance { lambda }.loss(0.3, &batch);
        let detailed = Objective::DetailedBalance.loss(0.3, &batch);
        let trajectory = Objective::TrajectoryBalance.loss(0.3, &batch);
        assert!((with(1e-9) - detailed).abs() < 1e-7 * detailed);
        assert!((with(1e9) - trajectory).abs() < 1e-7 * trajectory);
    }

    /// With one step all balances are one, and the variance is the least over log Z.
    #[test]
    fn losses_agree_where_they_must() {
        let one = batch(1);
        let trajectory = Objective::TrajectoryBalance.loss(0.3, &one);
        for objective in Objective::ALL.into_iter().filter(|o| o.learns_flow()) {
            assert!((objective.loss(0.3, &one) - trajectory).abs() < 1e-12);
        }
        let batch = batch(5);
        let best = -Objective::ReverseKl.loss(0.0, &batch);
        let variance = Objective::LogVariance.loss(0.0, &batch);
        let at = |log_z| Objective::TrajectoryBalance.loss(log_z, &batch);
        assert!((at(best) - variance).abs() < 1e-12);
        assert!(at(best + 0.1) > variance && at(best - 0.1) > variance);
    }

    #[test]
    fn score_weights_compare_with_the_others() {
        let batch = batch(3);
        let r: Vec<f64> = batch.iter().map(Terms::residual).collect();
        let weights = score_weights(&batch);
        assert!((weights[1] - (r[1] - (r[0] + r[2] + r[3]) / 3.0)).abs() < 1e-12);
        assert!(weights.iter().sum::<f64>().abs() < 1e-12);
        assert_eq!(score_weights(&batch[..1]), [0.0]);
    }
}
