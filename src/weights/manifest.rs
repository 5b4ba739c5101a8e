//! `pretrained/manifest.json`: what each bundled model is, how it was trained and what it scores.

use crate::balance::BackwardLoop;
use crate::divergence::Metrics;
use crate::exploration::Exploration;
use crate::mixture::Mode;
use serde::{Deserialize, Serialize};

/// The only manifest format so far.
pub const FORMAT: u32 = 1;

/// The whole manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`]; a reader refuses any other.
    pub format: u32,
    /// The models, in the order of the experiments' table.
    pub models: Vec<ModelEntry>,
}

/// One bundled model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// The experiment's name.
    pub name: String,
    /// The weights' file, beside the manifest.
    pub file: String,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// How it was trained.
    pub recipe: Recipe,
    /// The seed of initial weights and training noise.
    pub seed: u64,
    /// Mean training loss of the last hundred iterations, in nats².
    pub final_loss: f64,
    /// The learned log Z, in nats.
    pub log_z: f64,
    /// The true log Z, in nats.
    pub log_z_true: f64,
    /// Loss and log Z through the training, thinned.
    pub curve: Vec<CurvePoint>,
    /// Exact scores at sigma scale 1.
    pub metrics: Metrics,
    /// Exact mass per mode of the model, from left to right.
    pub mode_mass: Vec<f64>,
    /// The target's own mass per mode.
    pub target_mode_mass: Vec<f64>,
    /// The same recipe under other seeds, where they were run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ensemble: Vec<SeedResult>,
}

/// Everything but the seed that decides a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The target's modes (mean and variance).
    pub modes: Vec<Mode>,
    /// The state S0.
    pub start: f64,
    /// The horizon N.
    pub steps: usize,
    /// Training iterations.
    pub iterations: usize,
    /// Trajectories in a batch.
    pub batch: usize,
    /// Neurons in each hidden layer.
    pub hidden: usize,
    /// Adam's learning rate for both networks.
    pub learning_rate: f64,
    /// Adam's learning rate for log Z.
    pub log_z_learning_rate: f64,
    /// Noise added to the sampling standard deviation.
    pub exploration: Exploration,
    /// The backward terms that the loss counts.
    pub backward_loop: BackwardLoop,
}

/// A point of the training curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The iteration, from 1.
    pub iteration: usize,
    /// The mean loss since the point before, in nats².
    pub loss: f64,
    /// log Z after the iteration, in nats.
    pub log_z: f64,
}

/// The result of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// Mean training loss of the last hundred iterations, in nats².
    pub final_loss: f64,
    /// The learned log Z, in nats.
    pub log_z: f64,
    /// Exact total variation to the target, in [0, 1].
    pub total_variation: f64,
    /// Exact KL(target, model), in nats.
    pub kl_target_model: f64,
    /// Exact mass per mode of the model.
    pub mode_mass: Vec<f64>,
}
