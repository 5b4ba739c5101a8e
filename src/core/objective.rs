//! What a training run minimises: five objectives of the literature over the same two policies.
//!
//! With l_s = log P_F(x_{s+1} | x_s) - log P_B(x_s | x_{s+1}) for s = 0, ..., N-1, where the loss's
//! [`BackwardLoop`](crate::balance::BackwardLoop) says which backward terms are counted, let
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

use serde::{Deserialize, Serialize};

/// What is minimised. Losses are means over the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
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
    pub(crate) const fn compares_trajectories(self) -> bool {
        matches!(self, Objective::LogVariance | Objective::ReverseKl)
    }

    /// The pairs (m, n), m < n, whose (a_m - a_n)² the loss sums, with their weights, which add up
    /// to one; none for an objective that is no such sum.
    pub(crate) fn pairs(self, steps: usize) -> Vec<Pair> {
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
pub(crate) struct Pair {
    pub from: usize,
    pub to: usize,
    pub weight: f32,
}
