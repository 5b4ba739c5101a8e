//! One model for every temperature: a policy that reads x, t and log β and samples R^β / Z_β.
//!
//! Both networks read log β as one more number beside what else their first layer reads, so at a
//! fixed β they are ordinary policies with other first biases ([`Conditional::at`]): samplers,
//! tables, the GPU and the exact density know nothing of β. log Z depends on β, and is a small
//! network of log β ([`LogZ`]).

use crate::density::{Tails, TerminalDensity};
use crate::divergence;
use crate::experiment::{
    TEMPERED, TEMPERED_BATCH, TEMPERED_BETAS, TEMPERED_GROUPS, TEMPERED_LOG_Z_LEARNING_RATE,
};
use crate::mixture::Mixture;
use crate::policy::{Inputs, Policy, constant};
use crate::weights::manifest;
use num_traits::Float;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Neurons of the network that gives log Z.
pub const LOG_Z_HIDDEN: usize = 16;

/// The exponents that a model is scored at.
pub const SCORED_BETAS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// Everything but the seed that decides a training run over all temperatures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemperedRecipe {
    /// The reward R and how it is trained on; a batch is all groups together.
    pub base: manifest::Recipe,
    /// The lowest and the highest β; log β is uniform between their logarithms.
    pub betas: (f64, f64),
    /// Groups of a batch. Each has a β of its own: one from each of as many equal parts of the
    /// range of log β.
    pub groups: usize,
}

impl TemperedRecipe {
    /// The recipe of the bundled model.
    pub fn bundled() -> Self {
        TemperedRecipe {
            base: manifest::Recipe {
                batch: TEMPERED_BATCH,
                log_z_learning_rate: TEMPERED_LOG_Z_LEARNING_RATE,
                ..manifest::Recipe::of(&TEMPERED)
            },
            betas: TEMPERED_BETAS,
            groups: TEMPERED_GROUPS,
        }
    }
}

/// A policy that is told log β.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditional<F> {
    /// The policy at β = 1.
    base: Policy<F>,
    /// What log β adds to the first biases, per unit: [layers, hidden], as b0.
    slopes: Vec<F>,
}

impl<F: Float> Conditional<F> {
    /// A policy from its parts, or `None` when there are not as many slopes as first biases.
    pub fn new(base: Policy<F>, slopes: Vec<F>) -> Option<Self> {
        let fits = slopes.len() == base.inputs().layers() * base.hidden();
        fits.then_some(Conditional { base, slopes })
    }

    /// [`Policy::init_with`], with slopes that begin like weights of the first layer.
    pub fn init_with(inputs: Inputs, hidden: usize, rng: &mut impl Rng) -> Self {
        let base = Policy::init_with(inputs, hidden, rng);
        let bound = 1.0 / ((inputs.layers() * (inputs.width() + 1)) as f64).sqrt();
        let slopes = 0..inputs.layers() * hidden;
        Conditional {
            slopes: slopes
                .map(|_| constant(rng.random_range(-bound..bound)))
                .collect(),
            base,
        }
    }

    /// The policy at β = 1.
    pub fn base(&self) -> &Policy<F> {
        &self.base
    }

    /// The slopes, [layers, hidden].
    pub fn slopes(&self) -> &[F] {
        &self.slopes
    }

    /// The policy at this log β.
    #[expect(clippy::unreachable, reason = "as many parameters as the base has")]
    pub fn at(&self, log_beta: F) -> Policy<F> {
        let inputs = self.base.inputs();
        let mut parameters = self.base.parameters().to_vec();
        let biases = &mut parameters[self.slopes.len() * inputs.width()..];
        for (bias, &slope) in biases.iter_mut().zip(&self.slopes) {
            *bias = *bias + slope * log_beta;
        }
        match Policy::with_inputs(inputs, self.base.hidden(), parameters) {
            Some(policy) => policy,
            None => unreachable!("no parameter was added or taken away"),
        }
    }

    /// The same policy in another precision.
    pub fn cast<G: Float>(&self) -> Conditional<G> {
        Conditional {
            base: self.base.cast(),
            slopes: cast(&self.slopes),
        }
    }
}

fn cast<F: Float, G: Float>(values: &[F]) -> Vec<G> {
    let cast = |&value: &F| G::from(value).unwrap_or_else(G::nan);
    values.iter().map(cast).collect()
}

/// log Z as a function of log β: Linear(1, [`LOG_Z_HIDDEN`]), tanh, Linear([`LOG_Z_HIDDEN`], 1).
#[derive(Clone, Debug, PartialEq)]
pub struct LogZ<F> {
    /// w0, b0, w1, each of length [`LOG_Z_HIDDEN`], and b1.
    parameters: Vec<F>,
}

impl<F: Float> LogZ<F> {
    /// How many parameters there are.
    pub const LEN: usize = 3 * LOG_Z_HIDDEN + 1;

    /// The network with these parameters, w0, b0, w1 and b1 behind each other, or `None` when
    /// there are not [`LogZ::LEN`].
    pub fn new(parameters: Vec<F>) -> Option<Self> {
        (parameters.len() == Self::LEN).then_some(LogZ { parameters })
    }

    /// Weights and biases uniform in ±1/sqrt(fan_in), but for the last layer's, which are zero:
    /// log Z begins at 0 for every β.
    pub fn init(rng: &mut impl Rng) -> Self {
        let mut parameters = vec![F::zero(); Self::LEN];
        for value in &mut parameters[..2 * LOG_Z_HIDDEN] {
            *value = constant(rng.random_range(-1.0..1.0));
        }
        LogZ { parameters }
    }

    /// All parameters.
    pub fn parameters(&self) -> &[F] {
        &self.parameters
    }

    /// All parameters, to be trained.
    pub fn parameters_mut(&mut self) -> &mut [F] {
        &mut self.parameters
    }

    /// log Z at this log β, in nats.
    pub fn at(&self, log_beta: F) -> F {
        let (first, [bias]) = self.split();
        first.fold(bias, |sum, [w0, b0, w1]| {
            sum + w1 * (w0 * log_beta + b0).tanh()
        })
    }

    /// The derivatives of [`LogZ::at`] by the parameters, times `by`, added to `gradient`.
    pub fn add_gradient(&self, log_beta: F, by: F, gradient: &mut [F]) {
        const H: usize = LOG_Z_HIDDEN;
        for (i, [w0, b0, w1]) in self.split().0.enumerate() {
            let neuron = (w0 * log_beta + b0).tanh();
            let by_sum = by * w1 * (F::one() - neuron * neuron);
            gradient[i] = gradient[i] + by_sum * log_beta;
            gradient[H + i] = gradient[H + i] + by_sum;
            gradient[2 * H + i] = gradient[2 * H + i] + by * neuron;
        }
        gradient[3 * H] = gradient[3 * H] + by;
    }

    /// The neurons' w0, b0 and w1, and b1.
    fn split(&self) -> (impl Iterator<Item = [F; 3]>, [F; 1]) {
        const H: usize = LOG_Z_HIDDEN;
        let p = &self.parameters;
        let neurons = (0..H).map(|i| [p[i], p[H + i], p[2 * H + i]]);
        (neurons, [p[3 * H]])
    }

    /// The same network in another precision.
    pub fn cast<G: Float>(&self) -> LogZ<G> {
        LogZ {
            parameters: cast(&self.parameters),
        }
    }
}

/// A trained model: both policies and log Z, as functions of log β.
///
/// ```
/// use gflownet_tour_core::{experiment::TEMPERED, weights::tempered};
/// let file = "../../pretrained/tempered.safetensors";
/// let model = tempered::parse(file, &std::fs::read(file)?)?.model;
/// // At a fixed β it is a policy like any other.
/// let policy = model.forward.at(2f32.ln());
/// assert_eq!(policy.hidden(), 64);
/// let score = model.score(&TEMPERED.target(), TEMPERED.start, TEMPERED.steps, 2.0);
/// assert!(score.total_variation < 0.05);
/// assert!((score.log_z - score.log_z_true).abs() < 0.05); // nats
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TemperedModel<F> {
    /// The forward policy.
    pub forward: Conditional<F>,
    /// The backward policy.
    pub backward: Conditional<F>,
    /// log Z, in nats.
    pub log_z: LogZ<F>,
}

/// What a model is worth at one β.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The exponent.
    pub beta: f64,
    /// Exact total variation to R^β / Z_β, in [0, 1].
    pub total_variation: f64,
    /// The learned log Z_β, in nats.
    pub log_z: f64,
    /// The true log Z_β, in nats.
    pub log_z_true: f64,
}

impl TemperedModel<f32> {
    /// The exact scores at `beta`, for walks of `steps` steps from `start`.
    pub fn score(&self, target: &Mixture, start: f64, steps: usize, beta: f64) -> Score {
        let policy = self.forward.cast::<f64>().at(beta.ln());
        let density = TerminalDensity::with_tails(&policy, start, steps, 1.0, Tails::Deep);
        let tempered = target.tempered(1.0 / beta);
        Score {
            beta,
            total_variation: divergence::total_variation_tempered(&density, &tempered),
            log_z: f64::from(self.log_z.at(beta.ln() as f32)),
            log_z_true: tempered.log_partition(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::ThreefryRng;
    use crate::policy::features;

    /// What reads log β beside its features, with the slope as its weight.
    #[test]
    fn a_conditioned_policy_reads_log_beta_as_one_more_input() {
        const HIDDEN: usize = 3;
        let inputs = Inputs::StepFeatures { steps: 2 };
        let policy = Conditional::<f64>::init_with(inputs, HIDDEN, &mut ThreefryRng::new(1, 0));
        assert_eq!(policy.slopes().len(), 2 * HIDDEN);
        let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
        let [w0, b0, w1, b1, w2, b2] = policy.base().parts();
        for (x, t, log_beta) in [(0.3, 0, 0.7), (-2.0, 1, -1.3), (1.0, 1, 0.0)] {
            let values = features(x);
            let first: Vec<f64> = (t * HIDDEN..(t + 1) * HIDDEN)
                .map(|i| {
                    let row = &w0[i * values.len()..(i + 1) * values.len()];
                    let sum: f64 = row.iter().zip(&values).map(|(w, v)| w * v).sum();
                    elu(sum + policy.slopes()[i] * log_beta + b0[i])
                })
                .collect();
            let layer = |w: &[f64], input: &[f64], b: f64| {
                b + w.iter().zip(input).map(|(w, v)| w * v).sum::<f64>()
            };
            let second: Vec<f64> = (0..HIDDEN)
                .map(|i| elu(layer(&w1[i * HIDDEN..(i + 1) * HIDDEN], &first, b1[i])))
                .collect();
            let law = policy.at(log_beta).evaluate(x, t as f64);
            let mean = layer(&w2[..HIDDEN], &second, b2[0]);
            assert!((law.mean - mean).abs() < 1e-12, "{law:?} {mean}");
        }
        assert_eq!(policy.at(0.0), *policy.base());
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let base = Policy::<f32>::placeholder(4, 0.3);
        assert!(Conditional::new(base.clone(), vec![0.0; 3]).is_none());
        assert!(Conditional::new(base, vec![0.0; 4]).is_some());
        assert!(LogZ::new(vec![0.0f32; LogZ::<f32>::LEN - 1]).is_none());
    }

    #[test]
    fn log_z_begins_at_zero_and_its_gradient_is_a_difference() {
        let rng = &mut ThreefryRng::new(2, 0);
        let start = LogZ::<f64>::init(rng);
        assert_eq!(start.at(0.8), 0.0);
        let parameters = |_| rng.random_range(-1.0..1.0);
        let parameters: Vec<f64> = (0..LogZ::<f64>::LEN).map(parameters).collect();
        let at = |parameters: Vec<f64>| LogZ::new(parameters).unwrap().at(0.8);
        let mut gradient = vec![0.0; LogZ::<f64>::LEN];
        LogZ::new(parameters.clone())
            .unwrap()
            .add_gradient(0.8, 2.0, &mut gradient);
        for (i, got) in gradient.into_iter().enumerate() {
            let nudged = |h: f64| {
                let mut nudged = parameters.clone();
                nudged[i] += h;
                at(nudged)
            };
            let expected = 2.0 * (nudged(1e-5) - nudged(-1e-5)) / 2e-5;
            assert!((got - expected).abs() < 1e-8, "{i}: {got} {expected}");
        }
    }

    /// At β = 1 the tempered target is the target, whose distance other code computes exactly.
    #[test]
    fn the_score_at_one_is_the_ordinary_one() {
        let target = Mixture::new(TEMPERED.modes.to_vec());
        let inputs = Inputs::StepFeatures { steps: 3 };
        let rng = &mut ThreefryRng::new(3, 0);
        let model = TemperedModel {
            forward: Conditional::<f32>::init_with(inputs, 8, rng),
            backward: Conditional::init_with(inputs, 8, rng),
            log_z: LogZ::init(rng),
        };
        let score = model.score(&target, 0.5, 3, 1.0);
        let density = TerminalDensity::of(&model.forward.base().cast::<f64>(), 0.5, 3, 1.0);
        let exact = divergence::total_variation(&density, &target);
        assert!((score.total_variation - exact).abs() < 1e-6);
        assert_eq!(score.log_z, 0.0);
        assert!((score.log_z_true - 4f64.ln()).abs() < 1e-12);
    }
}
