//! In progress.

use serde::{Deserialize, Serialize};

/// How far a model's terminal density lies from its target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Total variation, in [0, 1].
    pub total_variation: f64,
    /// KL(target, model), in nats.
    pub kl_target_model: f64,
    /// KL(model, target), in nats.
    pub kl_model_target: f64,
    /// Jensen-Shannon divergence, in nats: at most ln 2.
    pub jensen_shannon: f64,
    /// 1-Wasserstein distance, in units of x.
    pub wasserstein_1: f64,
    /// The model's mean.
    pub mean: f64,
    /// The model's standard deviation.
    pub std: f64,
}
