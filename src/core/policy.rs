//! The policy network: a state (x, t) in, a Gaussian over the next action out.

use num_traits::Float;
use rand::{Rng, RngExt};

/// The smallest standard deviation that a policy can give, in units of x.
pub const MIN_STD: f64 = 0.1;
/// The largest standard deviation that a policy can give, in units of x.
pub const MAX_STD: f64 = 1.0;

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
    F::from(value).expect("every float type holds the constants used here, rounded")
}

/// The weights of Linear(2, H), ELU, Linear(H, H), ELU, Linear(H, 2), in one slice in the order
/// of [`Policy::LAYOUT`]. The outputs are the mean of the action and a raw number r that gives
/// its standard deviation, 0.1 + 0.9 / (1 + e^-r).
///
/// Forward and backward policies have the same shape. The forward policy reads (x_t, t) for t in
/// 0..N and gives the law of the action x_{t+1} - x_t; the backward policy reads (x_t, t) for t
/// in 1..=N and gives the law of the action x_t - x_{t-1} that led there.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy<F> {
    hidden: usize,
    parameters: Vec<F>,
}

impl<F: Float> Policy<F> {
    /// Names of the parts, in storage order. Weights are row-major [out, in].
    pub const LAYOUT: [&'static str; 6] = ["W0", "b0", "W1", "b1", "W2", "b2"];

    /// Shapes of the parts for `hidden` neurons, in storage order: [out, in], or [out, 0] for a
    /// bias, which is a vector.
    pub fn shapes(hidden: usize) -> [[usize; 2]; 6] {
        [
            [hidden, 2],
            [hidden, 0],
            [hidden, hidden],
            [hidden, 0],
            [2, hidden],
            [2, 0],
        ]
    }

    /// How many parameters a policy with `hidden` neurons a layer has.
    pub fn parameter_count(hidden: usize) -> usize {
        Self::shapes(hidden)
            .iter()
            .map(|s| s[0] * s[1].max(1))
            .sum()
    }

    /// A policy from its parameters in storage order, or `None` when their number is not what
    /// `hidden` asks for.
    pub fn new(hidden: usize, parameters: Vec<F>) -> Option<Self> {
        (parameters.len() == Self::parameter_count(hidden)).then_some(Policy { hidden, parameters })
    }

    /// Weights and biases uniform in ±1/sqrt(fan_in), as PyTorch and burn start a linear layer.
    pub fn init(hidden: usize, rng: &mut impl Rng) -> Self {
        let shapes = Self::shapes(hidden);
        let mut parameters = Vec::with_capacity(Self::parameter_count(hidden));
        for layer in shapes.chunks(2) {
            let bound = 1.0 / (layer[0][1] as f64).sqrt();
            for _ in 0..layer[0][0] * layer[0][1] + layer[1][0] {
                parameters.push(constant(rng.random_range(-bound..bound)));
            }
        }
        Policy { hidden, parameters }
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
        Policy { hidden, parameters }
    }

    /// Neurons in each hidden layer.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// All parameters, in storage order.
    pub fn parameters(&self) -> &[F] {
        &self.parameters
    }

    /// The six parts, in the order of [`Policy::LAYOUT`].
    pub fn parts(&self) -> [&[F]; 6] {
        let mut rest = self.parameters.as_slice();
        Self::shapes(self.hidden).map(|shape| {
            let (part, tail) = rest.split_at(shape[0] * shape[1].max(1));
            rest = tail;
            part
        })
    }

    /// The same policy in another precision.
    pub fn cast<G: Float>(&self) -> Policy<G> {
        Policy {
            hidden: self.hidden,
            parameters: self
                .parameters
                .iter()
                .map(|&p| G::from(p).unwrap_or_else(G::nan))
                .collect(),
        }
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
        let first: Vec<F> = (0..h)
            .map(|i| elu(w0[2 * i] * x + w0[2 * i + 1] * t + b0[i]))
            .collect();
        let second: Vec<F> = (0..h)
            .map(|i| elu(dot(&w1[i * h..(i + 1) * h], &first) + b1[i]))
            .collect();
        let mean = dot(&w2[..h], &second) + b2[0];
        let raw = dot(&w2[h..], &second) + b2[1];
        let std =
            constant::<F>(MIN_STD) + constant::<F>(MAX_STD - MIN_STD) / (F::one() + (-raw).exp());
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
        for i in 0..h {
            let offset = w0[2 * i + 1] * t + b0[i];
            let mut neuron = [F::zero(); LANES];
            for l in 0..LANES {
                neuron[l] = vector_elu(w0[2 * i] * x[l] + offset);
            }
            scratch.push(neuron);
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
        for l in 0..LANES {
            std[l] = constant::<F>(MIN_STD)
                + constant::<F>(MAX_STD - MIN_STD) / (F::one() + (-raw[l]).vector_exp());
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
    fn blocks_give_what_the_plain_formula_gives() {
        fn check<F: Scalar + std::fmt::Debug>(hidden: usize, tolerance: f64) {
            let policy = Policy::<F>::init(hidden, &mut ThreefryRng::new(4, 0));
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
            check::<f64>(hidden, 1e-13);
            check::<f32>(hidden, 1e-5);
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
