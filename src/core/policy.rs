//! The policy network: a state (x, t) in, a Gaussian over the next action out.

use num_traits::Float;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The smallest standard deviation that a policy usually can give, in units of x.
pub const MIN_STD: f64 = 0.1;
/// The largest standard deviation that a policy usually can give, in units of x.
pub const MAX_STD: f64 = 1.0;

/// The standard deviations that a policy can give, in units of x: those between two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StdRange {
    /// Below all of them; positive.
    pub min_std: f64,
    /// Above all of them; larger than `min_std`.
    pub max_std: f64,
}

impl StdRange {
    /// From [`MIN_STD`] to [`MAX_STD`]: every bundled model's.
    pub const USUAL: StdRange = StdRange {
        min_std: MIN_STD,
        max_std: MAX_STD,
    };

    /// How far the ends are apart.
    pub fn span(self) -> f64 {
        self.max_std - self.min_std
    }
}

impl Default for StdRange {
    fn default() -> Self {
        StdRange::USUAL
    }
}

/// A normal distribution over the real line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian<F> {
    /// The mean.
    pub mean: F,
    /// The standard deviation (not the variance).
    pub std: F,
}

impl<F: Float> Gaussian<F> {
    /// The log-density at `x`, in nats.
    pub fn log_density(&self, x: F) -> F {
        let half = constant::<F>(0.5);
        let z = (x - self.mean) / self.std;
        -half * z * z - self.std.ln() - constant::<F>(0.5 * LN_TAU)
    }
}

const LN_TAU: f64 = 1.837_877_066_409_345_3;

pub(crate) fn constant<F: Float>(value: f64) -> F {
    // Every float type holds the constants used here, rounded.
    F::from(value).unwrap_or_else(F::nan)
}

/// Angular frequencies of the features, in radians per unit of x.
pub const FREQUENCIES: [f64; 6] = [0.25, 0.5, 1.0, 1.5, 2.0, 3.0];
/// How many functions of x a policy with features reads.
pub const FEATURES: usize = 2 + 2 * FREQUENCIES.len();
/// The amplitude of the waves among the features. Adam steps alike in every weight, so larger
/// features learn faster.
pub const WAVE_GAIN: f64 = 3.0;
/// What multiplies x, the first feature.
pub const LINEAR_GAIN: f64 = WAVE_GAIN / 5.0;
/// What multiplies x², the second feature.
pub const SQUARE_GAIN: f64 = WAVE_GAIN / 100.0;
/// A policy with features begins near the mean 0 and this raw number, with last weights this much
/// smaller than usual: a walk that neither runs away nor stands still.
const FEATURES_OUTPUT: (f64, f64) = (0.13, 0.1);

/// What a policy's first layer reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Inputs {
    /// The state (x, t) as it is.
    #[default]
    Raw,
    /// [`features`] of x, through a first layer of its own at each of `steps` values of t: the
    /// same as features crossed with a one-hot t. The layer of t is number t mod `steps`: forward
    /// policies read t in 0..N and backward policies t in 1..=N, N layers each.
    StepFeatures {
        /// First layers: the horizon N.
        steps: usize,
    },
}

impl Inputs {
    /// Numbers that the first layer reads.
    pub const fn width(self) -> usize {
        match self {
            Inputs::Raw => 2,
            Inputs::StepFeatures { .. } => FEATURES,
        }
    }

    /// First layers.
    pub const fn layers(self) -> usize {
        match self {
            Inputs::Raw => 1,
            Inputs::StepFeatures { steps } => steps,
        }
    }

    /// The first layer that serves `t`.
    pub const fn layer(self, t: usize) -> usize {
        match self {
            Inputs::Raw | Inputs::StepFeatures { steps: 0 } => 0,
            Inputs::StepFeatures { steps } => t % steps,
        }
    }
}

/// What a policy with [`Inputs::StepFeatures`] reads of x: 0.6 x, 0.03 x², and 3 sin kx, 3 cos kx
/// for each k of [`FREQUENCIES`].
pub fn features<F: Float>(x: F) -> [F; FEATURES] {
    let mut values = [F::zero(); FEATURES];
    values[0] = constant::<F>(LINEAR_GAIN) * x;
    values[1] = constant::<F>(SQUARE_GAIN) * x * x;
    for (waves, &k) in values[2..].chunks_exact_mut(2).zip(&FREQUENCIES) {
        let (sin, cos) = (constant::<F>(k) * x).sin_cos();
        let gain = constant::<F>(WAVE_GAIN);
        waves.copy_from_slice(&[gain * sin, gain * cos]);
    }
    values
}

/// The weights of Linear(2, H), ELU, Linear(H, H), ELU, Linear(H, 2), in one slice in the order
/// of [`Policy::LAYOUT`]. The outputs are the mean of the action and a raw number r that gives
/// its standard deviation, min + (max - min) / (1 + e^-r) with the ends of a [`StdRange`], usually
/// 0.1 + 0.9 / (1 + e^-r). With [`Inputs::StepFeatures`] the first layer reads features instead of
/// the state, by weights of its own at every step.
///
/// Forward and backward policies have the same shape. The forward policy reads (x_t, t) for t in
/// 0..N and gives the law of the action x_{t+1} - x_t; the backward policy reads (x_t, t) for t
/// in 1..=N and gives the law of the action x_t - x_{t-1} that led there.
///
/// ```
/// use gflownet_tour_core::noise::ThreefryRng;
/// use gflownet_tour_core::policy::{Inputs, MAX_STD, MIN_STD, Policy};
/// let policy = Policy::<f64>::init(64, &mut ThreefryRng::new(4444, 0));
/// // [64, 2] + [64] + [64, 64] + [64] + [2, 64] + [2]
/// assert_eq!(policy.parameters().len(), 4_482);
/// assert_eq!(Policy::<f64>::shapes(Inputs::Raw, 64)[0], [64, 2]);
/// let law = policy.evaluate(0.4, 3.0); // at x = 0.4 after three steps
/// assert!(MIN_STD < law.std && law.std < MAX_STD); // units of x
/// assert!(law.log_density(law.mean) > law.log_density(law.mean + 1.0)); // nats
/// // Another number of parameters is no policy.
/// assert_eq!(Policy::new(64, vec![0.0; 7]), None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Policy<F> {
    inputs: Inputs,
    hidden: usize,
    std_range: StdRange,
    parameters: Vec<F>,
}

impl<F: Float> Policy<F> {
    /// Names of the parts, in storage order. Weights are row-major [out, in]; a policy with step
    /// features has its first layers behind each other, W0 [step, out, in] and b0 [step, out].
    pub const LAYOUT: [&'static str; 6] = ["W0", "b0", "W1", "b1", "W2", "b2"];

    /// Shapes of the parts for `hidden` neurons, in storage order.
    pub fn shapes(inputs: Inputs, hidden: usize) -> [Vec<usize>; 6] {
        let [mut w0, mut b0] = [vec![hidden, inputs.width()], vec![hidden]];
        if inputs != Inputs::Raw {
            w0.insert(0, inputs.layers());
            b0.insert(0, inputs.layers());
        }
        let square = vec![hidden, hidden];
        [w0, b0, square, vec![hidden], vec![2, hidden], vec![2]]
    }

    /// How many parameters each part has, in storage order.
    fn lengths(inputs: Inputs, hidden: usize) -> [usize; 6] {
        let first = inputs.layers() * hidden;
        [
            first * inputs.width(),
            first,
            hidden * hidden,
            hidden,
            2 * hidden,
            2,
        ]
    }

    /// How many parameters a policy that reads the raw state has, with `hidden` neurons a layer.
    pub fn parameter_count(hidden: usize) -> usize {
        Self::parameter_count_with(Inputs::Raw, hidden)
    }

    /// How many parameters a policy has that reads `inputs`, with `hidden` neurons a layer.
    pub fn parameter_count_with(inputs: Inputs, hidden: usize) -> usize {
        Self::lengths(inputs, hidden).iter().sum()
    }

    /// A policy that reads the raw state, from its parameters in storage order, or `None` when
    /// their number is not what `hidden` asks for.
    pub fn new(hidden: usize, parameters: Vec<F>) -> Option<Self> {
        Self::with_inputs(Inputs::Raw, hidden, parameters)
    }

    /// A policy that reads `inputs`, from its parameters in storage order, or `None` when their
    /// number is not what `inputs` and `hidden` ask for or there is no first layer.
    pub fn with_inputs(inputs: Inputs, hidden: usize, parameters: Vec<F>) -> Option<Self> {
        let fits = parameters.len() == Self::parameter_count_with(inputs, hidden);
        (fits && inputs.layers() > 0).then_some(Policy {
            inputs,
            hidden,
            std_range: StdRange::USUAL,
            parameters,
        })
    }

    /// A policy that reads the raw state, with weights and biases uniform in ±1/sqrt(fan_in), as
    /// PyTorch and burn start a linear layer.
    pub fn init(hidden: usize, rng: &mut impl Rng) -> Self {
        Self::init_with(Inputs::Raw, hidden, rng)
    }

    /// A policy that reads `inputs`, with weights and biases uniform in ±1/sqrt(fan_in). A policy
    /// with features begins with a last layer that is nearly constant.
    pub fn init_with(inputs: Inputs, hidden: usize, rng: &mut impl Rng) -> Self {
        let lengths = Self::lengths(inputs, hidden);
        let mut parameters = Vec::with_capacity(lengths.iter().sum());
        // Features crossed with a one-hot t, and the one-hot t itself, are what a first layer sees.
        let fan_in = match inputs {
            Inputs::Raw => inputs.width(),
            Inputs::StepFeatures { steps } => steps * (inputs.width() + 1),
        };
        for (layer, fan_in) in lengths.chunks(2).zip([fan_in, hidden, hidden]) {
            let bound = 1.0 / (fan_in as f64).sqrt();
            for _ in 0..layer[0] + layer[1] {
                parameters.push(constant(rng.random_range(-bound..bound)));
            }
        }
        if inputs != Inputs::Raw {
            let (raw, gain) = FEATURES_OUTPUT;
            let end = parameters.len();
            for weight in &mut parameters[end - lengths[4] - lengths[5]..end - lengths[5]] {
                *weight = *weight * constant(gain);
            }
            parameters[end - 2..].copy_from_slice(&[F::zero(), constant(raw)]);
        }
        Policy {
            inputs,
            hidden,
            std_range: StdRange::USUAL,
            parameters,
        }
    }

    /// The same parameters with other standard deviations.
    #[must_use]
    pub fn with_std_range(self, std_range: StdRange) -> Self {
        Policy { std_range, ..self }
    }

    /// The policy that stands in while no weights are loaded: mean 0 and the given standard
    /// deviation everywhere.
    ///
    /// `std` is clamped to the open range that the network can express.
    pub fn placeholder(hidden: usize, std: f64) -> Self {
        let share = ((std - MIN_STD) / (MAX_STD - MIN_STD)).clamp(1e-6, 1.0 - 1e-6);
        let mut parameters = vec![F::zero(); Self::parameter_count(hidden)];
        if let Some(last) = parameters.last_mut() {
            *last = constant((share / (1.0 - share)).ln());
        }
        Policy {
            inputs: Inputs::Raw,
            hidden,
            std_range: StdRange::USUAL,
            parameters,
        }
    }

    /// What the first layer reads.
    pub fn inputs(&self) -> Inputs {
        self.inputs
    }

    /// Neurons in each hidden layer.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// The standard deviations that it can give.
    pub fn std_range(&self) -> StdRange {
        self.std_range
    }

    /// All parameters, in storage order.
    pub fn parameters(&self) -> &[F] {
        &self.parameters
    }

    /// The six parts, in the order of [`Policy::LAYOUT`].
    pub fn parts(&self) -> [&[F]; 6] {
        let mut rest = self.parameters.as_slice();
        Self::lengths(self.inputs, self.hidden).map(|len| {
            let (part, tail) = rest.split_at(len);
            rest = tail;
            part
        })
    }

    /// The same policy in another precision.
    pub fn cast<G: Float>(&self) -> Policy<G> {
        Policy {
            inputs: self.inputs,
            hidden: self.hidden,
            std_range: self.std_range,
            parameters: self
                .parameters
                .iter()
                .map(|&p| G::from(p).unwrap_or_else(G::nan))
                .collect(),
        }
    }

    /// Weights and bias of every neuron of the first layer at `t`.
    fn first_layer(&self, t: F) -> impl Iterator<Item = (&[F], F)> {
        let [w0, b0, ..] = self.parts();
        let (h, width) = (self.hidden, self.inputs.width());
        let first = h * self.inputs.layer(t.to_usize().unwrap_or(0));
        let weights = w0[first * width..].chunks_exact(width).take(h);
        weights.zip(b0[first..].iter().copied())
    }

    /// The law of the action in state (x, t). This is the plain formula, the oracle of the
    /// engine's kernels.
    pub fn evaluate(&self, x: F, t: F) -> Gaussian<F> {
        let [w0, b0, w1, b1, w2, b2] = self.parts();
        let h = self.hidden;
        let dot = |row: &[F], input: &[F]| {
            row.iter()
                .zip(input)
                .fold(F::zero(), |sum, (&w, &v)| sum + w * v)
        };
        let first: Vec<F> = match self.inputs {
            Inputs::Raw => (0..h)
                .map(|i| elu(w0[2 * i] * x + w0[2 * i + 1] * t + b0[i]))
                .collect(),
            Inputs::StepFeatures { .. } => {
                let features = features(x);
                let neurons = self.first_layer(t);
                neurons.map(|(w, b)| elu(dot(w, &features) + b)).collect()
            }
        };
        let second: Vec<F> = (0..h)
            .map(|i| elu(dot(&w1[i * h..(i + 1) * h], &first) + b1[i]))
            .collect();
        let mean = dot(&w2[..h], &second) + b2[0];
        let raw = dot(&w2[h..], &second) + b2[1];
        let std = constant::<F>(self.std_range.min_std)
            + constant::<F>(self.std_range.span()) / (F::one() + (-raw).exp());
        Gaussian { mean, std }
    }
}

fn elu<F: Float>(x: F) -> F {
    if x > F::zero() { x } else { x.exp_m1() }
}

/// States that [`Policy::evaluate_block`] takes at once: eight lanes fill the vector registers of
/// SSE2 and WASM's simd128 with the tile of four neurons below, in f32 and f64 alike.
pub const LANES: usize = 8;

/// A float type with an exponential that the compiler can turn into vector code.
pub trait Scalar: Float + Send + Sync + 'static {
    /// e^x for x in [-700, 700] (f64) or [-87, 87] (f32), clamped outside. The relative error is
    /// below 4 units in the last place.
    fn vector_exp(self) -> Self;
}

impl Scalar for f64 {
    #[inline(always)]
    fn vector_exp(self) -> f64 {
        // Adding 1.5·2^52 leaves the nearest integer in the low bits.
        const SHIFT: f64 = 6_755_399_441_055_744.0;
        let x = self.clamp(-700.0, 700.0);
        let shifted = x * std::f64::consts::LOG2_E + SHIFT;
        let n = shifted - SHIFT;
        let r = (x - n * 6.931_471_803_691_238e-1) - n * 1.908_214_929_270_587_7e-10;
        let mut p = 1.0 / 6_227_020_800.0;
        for c in [
            1.0 / 479_001_600.0,
            1.0 / 39_916_800.0,
            1.0 / 3_628_800.0,
            1.0 / 362_880.0,
            1.0 / 40_320.0,
            1.0 / 5_040.0,
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
            1.0,
            1.0,
        ] {
            p = p * r + c;
        }
        p * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
    }
}

impl Scalar for f32 {
    #[inline(always)]
    fn vector_exp(self) -> f32 {
        const SHIFT: f32 = 12_582_912.0; // 1.5·2^23
        let x = self.clamp(-87.0, 87.0);
        let shifted = x * std::f32::consts::LOG2_E + SHIFT;
        let n = shifted - SHIFT;
        let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
        let mut p = 1.0 / 5_040.0;
        for c in [
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
            1.0,
            1.0,
        ] {
            p = p * r + c;
        }
        p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
    }
}

impl<F: Scalar> Policy<F> {
    /// The laws in the states `(x[l], t)` of one block: what [`Policy::evaluate`] gives, to
    /// rounding, in vector code. `scratch` holds the first layer and may start empty.
    ///
    /// Returns means and standard deviations, [LANES] each.
    pub fn evaluate_block(
        &self,
        x: &[F; LANES],
        t: F,
        scratch: &mut Vec<[F; LANES]>,
    ) -> ([F; LANES], [F; LANES]) {
        const TILE: usize = 4;
        let [w0, b0, w1, b1, w2, b2] = self.parts();
        let h = self.hidden;
        scratch.clear();
        match self.inputs {
            Inputs::Raw => scratch.extend((0..h).map(|i| {
                let offset = w0[2 * i + 1] * t + b0[i];
                let mut neuron = [F::zero(); LANES];
                for l in 0..LANES {
                    neuron[l] = vector_elu(w0[2 * i] * x[l] + offset);
                }
                neuron
            })),
            Inputs::StepFeatures { .. } => {
                let features = x.map(features);
                scratch.extend(self.first_layer(t).map(|(weights, bias)| {
                    let mut neuron = [bias; LANES];
                    for (sum, features) in neuron.iter_mut().zip(&features) {
                        for (&w, &feature) in weights.iter().zip(features) {
                            *sum = *sum + w * feature;
                        }
                    }
                    neuron.map(vector_elu)
                }));
            }
        }
        let mut mean = [b2[0]; LANES];
        let mut raw = [b2[1]; LANES];
        let mut tile_start = 0;
        while tile_start < h {
            // The last tile of a width that four does not divide repeats neurons it has no need
            // of; they are left out below.
            let used = TILE.min(h - tile_start);
            let row = |j: usize| {
                let i = tile_start + j.min(used - 1);
                &w1[i * h..(i + 1) * h]
            };
            let rows = [row(0), row(1), row(2), row(3)];
            let mut sums = [[F::zero(); LANES]; TILE];
            for (k, input) in scratch.iter().enumerate() {
                for (sum, row) in sums.iter_mut().zip(rows) {
                    let w = row[k];
                    for l in 0..LANES {
                        sum[l] = sum[l] + w * input[l];
                    }
                }
            }
            for (j, sum) in sums.iter().enumerate().take(used) {
                let i = tile_start + j;
                for l in 0..LANES {
                    let neuron = vector_elu(sum[l] + b1[i]);
                    mean[l] = mean[l] + w2[i] * neuron;
                    raw[l] = raw[l] + w2[h + i] * neuron;
                }
            }
            tile_start += TILE;
        }
        let mut std = [F::zero(); LANES];
        let (least, span) = (
            constant::<F>(self.std_range.min_std),
            constant::<F>(self.std_range.span()),
        );
        for l in 0..LANES {
            std[l] = least + span / (F::one() + (-raw[l]).vector_exp());
        }
        (mean, std)
    }

    /// The laws in the states (x, t) for all of `x`, in its order.
    pub fn evaluate_many(&self, x: &[F], t: F) -> Vec<Gaussian<F>> {
        let mut scratch = Vec::with_capacity(self.hidden);
        let mut laws = Vec::with_capacity(x.len());
        for chunk in x.chunks(LANES) {
            let mut block = [F::zero(); LANES];
            block[..chunk.len()].copy_from_slice(chunk);
            let (mean, std) = self.evaluate_block(&block, t, &mut scratch);
            for l in 0..chunk.len() {
                laws.push(Gaussian {
                    mean: mean[l],
                    std: std[l],
                });
            }
        }
        laws
    }
}

#[inline(always)]
fn vector_elu<F: Scalar>(x: F) -> F {
    // exp(x) - 1 loses relative precision near zero, but not absolute precision, and the sums
    // that follow need no more.
    let below = x.min(F::zero()).vector_exp() - F::one();
    if x > F::zero() { x } else { below }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::ThreefryRng;

    #[test]
    fn the_usual_size_has_4482_parameters() {
        assert_eq!(Policy::<f32>::parameter_count(64), 4_482);
        assert!(Policy::new(64, vec![0.0f32; 4_481]).is_none());
    }

    #[test]
    fn the_placeholder_is_the_same_law_everywhere() {
        let policy = Policy::<f64>::placeholder(64, 0.3);
        for (x, t) in [(0.0, 0.0), (-7.5, 3.0), (12.0, 4.0)] {
            let law = policy.evaluate(x, t);
            assert_eq!(law.mean, 0.0);
            assert!((law.std - 0.3).abs() < 1e-12);
        }
    }

    #[test]
    fn a_range_moves_the_standard_deviations_and_no_mean() {
        let usual = Policy::<f64>::init(8, &mut ThreefryRng::new(1, 0));
        let range = StdRange {
            min_std: 0.5,
            max_std: 3.0,
        };
        let wide = usual.clone().with_std_range(range);
        assert_eq!(wide.cast::<f32>().std_range(), range);
        let x = [-2.0, 0.3, 5.0];
        for (x, block) in x.into_iter().zip(wide.evaluate_many(&x, 2.0)) {
            let [law, wide] = [&usual, &wide].map(|policy| policy.evaluate(x, 2.0));
            let share = (law.std - MIN_STD) / (MAX_STD - MIN_STD);
            assert_eq!(wide.mean, law.mean);
            assert!((wide.std - (0.5 + 2.5 * share)).abs() < 1e-12);
            assert!((block.std - wide.std).abs() < 1e-12);
        }
    }

    #[test]
    fn initial_weights_fill_their_range_and_no_more() {
        let policy = Policy::<f64>::init(64, &mut ThreefryRng::new(1, 0));
        let bounds = [2.0f64, 2.0, 64.0, 64.0, 64.0, 64.0].map(|fan_in| 1.0 / fan_in.sqrt());
        for (part, bound) in policy.parts().into_iter().zip(bounds) {
            let largest = part.iter().fold(0.0f64, |m, p| m.max(p.abs()));
            assert!(largest <= bound);
            if part.len() > 100 {
                assert!(largest > 0.95 * bound);
            }
        }
    }

    #[test]
    fn the_vector_exponential_is_exp() {
        for i in -3_500..3_500 {
            let x = f64::from(i) * 0.199;
            let error = x.vector_exp() / x.exp() - 1.0;
            assert!(error.abs() < 1e-15, "{x}: {error}");
            let x = (x / 8.1) as f32;
            let error = f64::from(x.vector_exp()) / f64::from(x).exp() - 1.0;
            assert!(error.abs() < 4.0 * f64::from(f32::EPSILON), "{x}: {error}");
        }
    }

    #[test]
    fn step_features_have_a_first_layer_at_every_step() {
        let inputs = Inputs::StepFeatures { steps: 5 };
        assert_eq!(Policy::<f32>::parameter_count_with(inputs, 64), 9_090);
        let policy = Policy::<f64>::init_with(inputs, 64, &mut ThreefryRng::new(1, 0));
        assert_eq!(policy.parameters().len(), 9_090);
        let shapes = Policy::<f64>::shapes(inputs, 64);
        for (part, shape) in policy.parts().iter().zip(&shapes) {
            assert_eq!(part.len(), shape.iter().product::<usize>());
        }
        // The weights of one step move its law and no other; N and 0 share a layer.
        let mut moved = policy.parameters().to_vec();
        moved[2 * 64 * FEATURES] += 1.0;
        let moved = Policy::with_inputs(inputs, 64, moved).unwrap();
        for t in 0..=5 {
            let same = policy.evaluate(0.3, t as f64) == moved.evaluate(0.3, t as f64);
            assert_eq!(same, t != 2);
        }
        assert_eq!(policy.evaluate(0.3, 0.0), policy.evaluate(0.3, 5.0));
        // A number of steps that cannot be, and times that cannot be.
        let none = Inputs::StepFeatures { steps: 0 };
        let count = Policy::<f64>::parameter_count_with(none, 4);
        assert_eq!(Policy::with_inputs(none, 4, vec![0.0; count]), None);
        for t in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(policy.evaluate(0.3, t).std > 0.0);
        }
    }

    #[test]
    fn a_policy_with_features_begins_nearly_constant() {
        let inputs = Inputs::StepFeatures { steps: 5 };
        let policy = Policy::<f64>::init_with(inputs, 64, &mut ThreefryRng::new(1, 0));
        for x in [-8.0, 0.0, 9.0] {
            let law = policy.evaluate(x, 3.0);
            assert!(
                law.mean.abs() < 0.2 && (law.std - 0.58).abs() < 0.1,
                "{law:?}"
            );
        }
    }

    #[test]
    fn blocks_give_what_the_plain_formula_gives() {
        fn check<F: Scalar + std::fmt::Debug>(inputs: Inputs, hidden: usize, tolerance: f64) {
            let policy = Policy::<F>::init_with(inputs, hidden, &mut ThreefryRng::new(4, 0));
            let x: Vec<F> = (-30..31).map(|i| constant(f64::from(i) * 0.7)).collect();
            let t = constant(3.0);
            let laws = policy.evaluate_many(&x, t);
            assert_eq!(laws.len(), x.len());
            for (&x, law) in x.iter().zip(laws) {
                let plain = policy.evaluate(x, t);
                let close = |a: F, b: F| (a - b).abs().to_f64().unwrap() < tolerance;
                assert!(close(law.mean, plain.mean) && close(law.std, plain.std));
            }
        }
        for hidden in [64, 16, 3] {
            for inputs in [Inputs::Raw, Inputs::StepFeatures { steps: 4 }] {
                check::<f64>(inputs, hidden, 1e-13);
                check::<f32>(inputs, hidden, 1e-5);
            }
        }
    }

    #[test]
    fn a_gaussian_density_integrates_to_one() {
        let law = Gaussian {
            mean: 0.4,
            std: 0.25,
        };
        let sum: f64 = (-4000..4000)
            .map(|i| law.log_density(0.4 + f64::from(i) * 1e-3).exp() * 1e-3)
            .sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }
}
