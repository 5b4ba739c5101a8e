//! The target: a reward that is a weighted sum of Gaussian densities, exact in everything.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, SQRT_2};

/// One mode of the reward: `weight` times the normal density of the given mean and *variance*.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mode {
    /// The centre.
    pub mean: f64,
    /// The variance (not the standard deviation).
    pub var: f64,
    /// The area, positive. Texts leave it out where it is one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
}

const fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == one()
}

impl Mode {
    /// A mode of area one from its mean and variance.
    pub const fn new(mean: f64, var: f64) -> Self {
        Mode {
            mean,
            var,
            weight: 1.0,
        }
    }

    /// The same mode with another area.
    #[must_use]
    pub const fn weighing(self, weight: f64) -> Self {
        Mode { weight, ..self }
    }

    /// The logarithm of its part of the reward.
    fn log_reward(&self, x: f64) -> f64 {
        let d = x - self.mean;
        -0.5 * (d * d / self.var + (2.0 * PI * self.var).ln()) + self.weight.ln()
    }
}

/// The standard normal distribution function.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}

/// The probability that a standard normal lies between `a` and `b` (a <= b), exact in both tails.
pub fn normal_between(a: f64, b: f64) -> f64 {
    if a > 0.0 {
        0.5 * (libm::erfc(a / SQRT_2) - libm::erfc(b / SQRT_2))
    } else {
        0.5 * (libm::erfc(-b / SQRT_2) - libm::erfc(-a / SQRT_2))
    }
}

/// The reward R(x) = sum over the modes of weight · N(x; mean, var), which is not normalised: it
/// integrates to the sum of the weights, so K modes of weight one to K.
///
/// ```
/// use gflownet_tour_core::mixture::{Mixture, Mode};
/// // Mean and variance, in units of x and x²; the second mode has three times the area.
/// let target = Mixture::new(vec![Mode::new(-1.0, 0.2), Mode::new(1.0, 0.2).weighing(3.0)]);
/// assert!((target.log_partition() - 4f64.ln()).abs() < 1e-12); // nats
/// assert!((target.mass_between(f64::NEG_INFINITY, f64::INFINITY) - 1.0).abs() < 1e-12);
/// let [left, right] = target.mode_mass()[..] else { panic!("a mass for each mode") };
/// assert!(left < 0.27 && right > 0.73);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    modes: Vec<Mode>,
}

impl Mixture {
    /// A mixture of the given modes.
    pub fn new(modes: Vec<Mode>) -> Self {
        Mixture { modes }
    }

    /// The modes, in the order given.
    pub fn modes(&self) -> &[Mode] {
        &self.modes
    }

    /// log R(x), in nats, by logsumexp: finite as long as the squared distance in standard
    /// deviations is.
    pub fn log_reward(&self, x: f64) -> f64 {
        let terms = || self.modes.iter().map(|m| m.log_reward(x));
        let largest = terms().fold(f64::NEG_INFINITY, f64::max);
        if largest == f64::NEG_INFINITY {
            return largest;
        }
        largest + terms().map(|t| (t - largest).exp()).sum::<f64>().ln()
    }

    /// Z: the sum of the weights.
    fn partition(&self) -> f64 {
        self.modes.iter().map(|m| m.weight).sum()
    }

    /// log Z, in nats: ln K for K modes of weight one.
    pub fn log_partition(&self) -> f64 {
        self.partition().ln()
    }

    /// The target density R(x) / Z.
    pub fn density(&self, x: f64) -> f64 {
        (self.log_reward(x) - self.log_partition()).exp()
    }

    /// The target's mass between `a` and `b` (a <= b).
    pub fn mass_between(&self, a: f64, b: f64) -> f64 {
        let sum: f64 = self
            .modes
            .iter()
            .map(|m| {
                let std = m.var.sqrt();
                m.weight * normal_between((a - m.mean) / std, (b - m.mean) / std)
            })
            .sum();
        sum / self.partition()
    }

    /// The points halfway between neighbouring modes: K - 1 of them, ascending. They split the
    /// line into one basin per mode.
    pub fn midpoints(&self) -> Vec<f64> {
        let mut means: Vec<f64> = self.modes.iter().map(|m| m.mean).collect();
        means.sort_by(f64::total_cmp);
        means.windows(2).map(|w| 0.5 * (w[0] + w[1])).collect()
    }

    /// The target's own mass in each basin, from left to right.
    pub fn mode_mass(&self) -> Vec<f64> {
        let midpoints = self.midpoints();
        let lower = std::iter::once(f64::NEG_INFINITY).chain(midpoints.iter().copied());
        let upper = midpoints.iter().copied().chain([f64::INFINITY]);
        lower
            .zip(upper)
            .map(|(a, b)| self.mass_between(a, b))
            .collect()
    }

    /// The target's mean.
    pub fn mean(&self) -> f64 {
        self.modes.iter().map(|m| m.weight * m.mean).sum::<f64>() / self.partition()
    }

    /// The target's standard deviation.
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        let var = self
            .modes
            .iter()
            .map(|m| m.weight * (m.var + (m.mean - mean).powi(2)))
            .sum::<f64>();
        (var / self.partition()).sqrt()
    }

    /// One exact draw from the target.
    pub fn sample(&self, rng: &mut impl Rng) -> f64 {
        let mut left = rng.random::<f64>() * self.partition();
        let lies_here = |mode: &&Mode| {
            left -= mode.weight;
            left < 0.0
        };
        let last = self.modes[self.modes.len() - 1];
        let mode = *self.modes.iter().find(lies_here).unwrap_or(&last);
        let z = f64::from(crate::noise::normal_from_bits(rng.random::<u32>()));
        mode.mean + mode.var.sqrt() * z
    }

    /// An interval that holds all but less than 1e-15 of the mass of R^(1/temperature).
    pub fn support(&self, temperature: f64) -> (f64, f64) {
        let reach = 8.5 * temperature.max(1.0).sqrt();
        self.modes
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), m| {
                let r = reach * m.var.sqrt();
                (lo.min(m.mean - r), hi.max(m.mean + r))
            })
    }

    /// The standard deviation of the narrowest mode, or of the narrowest of R^(1/temperature) if
    /// that is narrower: a Gaussian of variance v becomes one of variance v·T.
    fn narrowest_std(&self, temperature: f64) -> f64 {
        let narrowest = self.modes.iter().fold(f64::INFINITY, |s, m| s.min(m.var));
        (narrowest * temperature.min(1.0)).sqrt()
    }

    /// The tempered target R^(1/temperature), normalised. Its partition function has no closed
    /// form; it is found by the trapezoid rule, which converges exponentially here.
    ///
    /// `temperature` must be positive.
    pub fn tempered(&self, temperature: f64) -> Tempered<'_> {
        let (lo, hi) = self.support(temperature);
        // Eight points to a standard deviation leave no visible error.
        let spacing = self.narrowest_std(temperature) / 8.0;
        let cells = ((hi - lo) / spacing).ceil() as usize;
        let spacing = (hi - lo) / cells as f64;
        let log_terms: Vec<f64> = (0..=cells)
            .map(|i| self.log_reward(lo + i as f64 * spacing) / temperature)
            .collect();
        let largest = log_terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = log_terms.iter().map(|l| (l - largest).exp()).sum();
        Tempered {
            target: self,
            temperature,
            log_partition: largest + (sum * spacing).ln(),
        }
    }
}

/// A tempered target R^(1/T) / Z_T.
#[derive(Clone, Copy, Debug)]
pub struct Tempered<'a> {
    target: &'a Mixture,
    temperature: f64,
    log_partition: f64,
}

impl Tempered<'_> {
    /// log Z_T, in nats.
    pub fn log_partition(&self) -> f64 {
        self.log_partition
    }

    /// An interval that holds all but less than 1e-15 of the mass.
    pub fn support(&self) -> (f64, f64) {
        self.target.support(self.temperature)
    }

    /// A width, as a standard deviation, that nothing in this density is much narrower than.
    pub fn narrowest_std(&self) -> f64 {
        self.target.narrowest_std(self.temperature)
    }

    /// The mass in each basin of the target, from left to right, to about 1e-4: by the midpoint
    /// rule, between midpoints of the modes where the density need not vanish.
    pub fn mode_mass(&self) -> Vec<f64> {
        let (lo, hi) = self.support();
        let mut edges = vec![lo];
        edges.extend(self.target.midpoints());
        edges.push(hi);
        let mass = |pair: &[f64]| {
            let cells = ((pair[1] - pair[0]) / self.narrowest_std() * 8.0)
                .ceil()
                .max(1.0);
            let width = (pair[1] - pair[0]) / cells;
            let middles = (0..cells as usize).map(|i| pair[0] + (i as f64 + 0.5) * width);
            width * middles.map(|x| self.density(x)).sum::<f64>()
        };
        edges.windows(2).map(mass).collect()
    }

    /// The normalised density at `x`.
    pub fn density(&self, x: f64) -> f64 {
        (self.target.log_reward(x) / self.temperature - self.log_partition).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::ThreefryRng;

    fn four() -> Mixture {
        Mixture::new(vec![
            Mode::new(-3.0, 0.2),
            Mode::new(4.0, 0.4),
            Mode::new(6.0, 1.0),
            Mode::new(10.0, 0.2),
        ])
    }

    #[test]
    fn far_from_every_mode_log_reward_stays_finite() {
        let log_reward = four().log_reward(-1.0e6);
        assert!(log_reward.is_finite() && log_reward < -1.0e11);
    }

    #[test]
    fn the_basins_hold_all_the_mass() {
        let mass = four().mode_mass();
        assert!((mass.iter().sum::<f64>() - 1.0).abs() < 1e-14);
        for (got, expected) in mass.iter().zip([0.250, 0.275, 0.219, 0.256]) {
            assert!((got - expected).abs() < 6e-4, "{mass:?}");
        }
    }

    /// Weights are areas: a mode of weight two is two modes of weight one in the same place.
    #[test]
    fn a_heavy_mode_is_two_in_one_place() {
        let light = [Mode::new(-1.0, 0.2), Mode::new(2.0, 0.5)];
        let twice = Mixture::new(vec![light[0], light[1], light[1]]);
        let heavy = Mixture::new(vec![light[0], light[1].weighing(2.0)]);
        assert!((heavy.log_partition() - 3f64.ln()).abs() < 1e-15);
        for x in [-3.0, -1.0, 0.4, 2.2] {
            assert!((heavy.log_reward(x) - twice.log_reward(x)).abs() < 1e-12);
            assert!((heavy.density(x) - twice.density(x)).abs() < 1e-12);
            assert!((heavy.mass_between(-9.0, x) - twice.mass_between(-9.0, x)).abs() < 1e-12);
        }
        assert!((heavy.mean() - 1.0).abs() < 1e-12);
        assert!((heavy.std() - twice.std()).abs() < 1e-12);
        assert!((heavy.mode_mass().iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let error = heavy.tempered(1.0).log_partition() - heavy.log_partition();
        assert!(error.abs() < 1e-12);
        let mut rng = ThreefryRng::new(11, 0);
        let right = (0..10_000).filter(|_| heavy.sample(&mut rng) > 0.5).count();
        // Five standard errors.
        let expected = heavy.mass_between(0.5, f64::INFINITY);
        assert!(
            (right as f64 / 1e4 - expected).abs() < 5.0 * 0.0048,
            "{right}"
        );
    }

    #[test]
    fn texts_leave_a_weight_of_one_out() {
        let plain = serde_json::to_string(&Mode::new(1.0, 0.2)).unwrap();
        assert_eq!(plain, r#"{"mean":1.0,"var":0.2}"#);
        let heavy = Mode::new(1.0, 0.2).weighing(2.0);
        for (text, mode) in [
            (plain, Mode::new(1.0, 0.2)),
            (serde_json::to_string(&heavy).unwrap(), heavy),
        ] {
            assert_eq!(serde_json::from_str::<Mode>(&text).unwrap(), mode);
        }
    }

    #[test]
    fn at_temperature_one_the_tempered_target_is_the_target() {
        let target = four();
        let tempered = target.tempered(1.0);
        assert!((tempered.log_partition() - target.log_partition()).abs() < 1e-12);
        for (got, expected) in tempered.mode_mass().iter().zip(target.mode_mass()) {
            assert!((got - expected).abs() < 1e-4, "{got} {expected}");
        }
        for temperature in [0.25, 4.0] {
            let mass: f64 = target.tempered(temperature).mode_mass().iter().sum();
            assert!((mass - 1.0).abs() < 1e-4, "{mass}");
        }
    }

    #[test]
    fn one_gaussian_tempered_is_a_gaussian_of_scaled_variance() {
        let target = Mixture::new(vec![Mode::new(0.7, 0.3)]);
        for temperature in [0.02, 0.5, 2.0, 5.0] {
            let tempered = target.tempered(temperature);
            let expected = Mixture::new(vec![Mode::new(0.7, 0.3 * temperature)]);
            for x in [-1.0, 0.2, 0.7, 1.9] {
                let error = tempered.density(x) - expected.density(x);
                assert!(error.abs() < 1e-12, "{temperature} {x} {error}");
            }
        }
    }

    #[test]
    fn samples_have_the_mean_and_spread_of_the_target() {
        let target = four();
        let mut rng = ThreefryRng::new(11, 0);
        let n = 100_000;
        let draws: Vec<f64> = (0..n).map(|_| target.sample(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let var = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        let standard_error = target.std() / f64::from(n).sqrt();
        assert!((mean - target.mean()).abs() < 5.0 * standard_error);
        assert!((var.sqrt() - target.std()).abs() < 5.0 * standard_error);
    }
}
