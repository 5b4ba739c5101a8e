//! How far a model's terminal density lies from its target: exact, by quadrature, and estimated
//! from samples with the error of the estimate.

use crate::density::TerminalDensity;
use crate::mixture::{Mixture, Tempered};
use serde::{Deserialize, Serialize};

/// Exact scores of a model.
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

/// A grid that resolves model and target and covers both.
struct Grid {
    lo: f64,
    hi: f64,
    spacing: f64,
    model: Vec<f64>,
    target: Vec<f64>,
}

impl Grid {
    fn of(density: &TerminalDensity, target: &Mixture) -> Grid {
        let (lo, hi, narrowest) = density.resolution();
        let (target_lo, target_hi) = target.support(1.0);
        let (lo, hi) = (lo.min(target_lo), hi.max(target_hi));
        let narrowest = target
            .modes()
            .iter()
            .fold(narrowest, |s, m| s.min(m.var.sqrt()));
        // Absurd weights may ask for more points than any machine has; accuracy gives way then.
        let intervals = ((hi - lo) / (narrowest / 6.0)).clamp(64.0, 4e5).ceil();
        let spacing = (hi - lo) / intervals;
        let n = intervals as usize + 1;
        Grid {
            lo,
            hi,
            spacing,
            model: density.points(lo, hi, n),
            target: (0..n)
                .map(|i| target.density(lo + i as f64 * spacing))
                .collect(),
        }
    }

    /// The integral of f(p, q) by the trapezoid rule; the ends carry nothing.
    fn integrate(&self, f: impl Fn(f64, f64) -> f64) -> f64 {
        let terms = self.model.iter().zip(&self.target);
        self.spacing * terms.map(|(&p, &q)| f(p, q)).sum::<f64>()
    }
}

/// The integral of |f| from values and slopes of f on a grid: Hermite's cubic between the points,
/// and where f changes its sign, the two triangles of the straight line.
fn integral_of_absolute(points: impl IntoIterator<Item = (f64, f64)>, spacing: f64) -> f64 {
    let mut points = points.into_iter();
    let Some(mut left) = points.next() else {
        return 0.0;
    };
    let mut sum = 0.0;
    for right in points {
        sum += if left.0 * right.0 < 0.0 {
            let outer = left.0.abs() + right.0.abs();
            0.5 * (left.0 * left.0 + right.0 * right.0) / outer
        } else {
            (0.5 * (left.0 + right.0) + spacing / 12.0 * (left.1 - right.1)).abs()
        };
        left = right;
    }
    sum * spacing
}

/// The share p ln(p / q) of a Kullback-Leibler divergence. Gaussian mixtures are positive
/// everywhere, so a q of zero is an underflow: it is taken as 1e-300, which makes the result a
/// lower bound.
fn kl_term(p: f64, q: f64) -> f64 {
    if p > 0.0 {
        p * (p / q.max(1e-300)).ln()
    } else {
        0.0
    }
}

/// Total variation between model and target: half the integral of |p - q|, in [0, 1].
pub fn total_variation(density: &TerminalDensity, target: &Mixture) -> f64 {
    total_variation_on(&Grid::of(density, target), density, target)
}

/// Between two neighbouring crossings of p and q the integral of |p - q| is a difference of
/// masses, and those are exact. An error e in a crossing costs only order e².
fn total_variation_on(grid: &Grid, density: &TerminalDensity, target: &Mixture) -> f64 {
    let differences = grid.model.iter().zip(&grid.target).map(|(p, q)| p - q);
    let mut edges = vec![f64::NEG_INFINITY];
    let mut last: Option<(usize, f64)> = None;
    // Where both are negligible their difference has no sign worth following.
    for (i, right) in differences.enumerate().filter(|(_, d)| d.abs() > 1e-12) {
        if let Some((j, left)) = last
            && left * right < 0.0
        {
            let share = left / (left - right);
            edges.push(grid.lo + grid.spacing * (j as f64 + share * (i - j) as f64));
        }
        last = Some((i, right));
    }
    edges.push(f64::INFINITY);
    let below: Vec<f64> = edges
        .iter()
        .map(|&x| density.mass_below(x) - target.mass_between(f64::NEG_INFINITY, x))
        .collect();
    0.5 * below.windows(2).map(|w| (w[1] - w[0]).abs()).sum::<f64>()
}

/// Total variation between a model and a tempered target, in [0, 1], to about 1e-6: the trapezoid
/// rule where the target has mass, and the model's mass outside.
pub fn total_variation_tempered(density: &TerminalDensity, target: &Tempered<'_>) -> f64 {
    let (lo, hi) = target.support();
    let (_, _, narrowest) = density.resolution();
    let width = narrowest.min(target.narrowest_std());
    // The rule is off by the square of the spacing where the two densities cross.
    let intervals = ((hi - lo) / width * 64.0).clamp(64.0, 4e5).ceil();
    let spacing = (hi - lo) / intervals;
    let model = density.points(lo, hi, intervals as usize + 1);
    let differences = model
        .iter()
        .enumerate()
        .map(|(i, p)| (p - target.density(lo + i as f64 * spacing)).abs());
    let outside = density.mass_below(lo) + density.mass_between(hi, f64::INFINITY);
    0.5 * (spacing * differences.sum::<f64>() + outside)
}

/// The model's mass in each basin of the target (split at the midpoints between neighbouring
/// modes), from left to right.
pub fn mode_mass(density: &TerminalDensity, target: &Mixture) -> Vec<f64> {
    let mut below = vec![0.0];
    below.extend(target.midpoints().iter().map(|&x| density.mass_below(x)));
    below.push(density.mass_below(f64::INFINITY));
    below.windows(2).map(|w| w[1] - w[0]).collect()
}

impl Metrics {
    /// The exact scores of a model against its target.
    pub fn exact(density: &TerminalDensity, target: &Mixture) -> Metrics {
        let grid = Grid::of(density, target);
        let cells = density.cells(grid.lo, grid.hi, grid.model.len() - 1);
        let mut model_cdf = cells.below;
        let masses = std::iter::once(&0.0).chain(&cells.mass);
        let cdf_differences = masses.enumerate().map(|(i, mass)| {
            model_cdf += mass;
            let x = grid.lo + i as f64 * grid.spacing;
            let difference = model_cdf - target.mass_between(f64::NEG_INFINITY, x);
            (difference, grid.model[i] - grid.target[i])
        });
        let wasserstein_1 = integral_of_absolute(cdf_differences, grid.spacing);
        Metrics {
            total_variation: total_variation_on(&grid, density, target),
            kl_target_model: grid.integrate(|p, q| kl_term(q, p)),
            kl_model_target: grid.integrate(kl_term),
            jensen_shannon: grid.integrate(|p, q| {
                let middle = 0.5 * (p + q);
                0.5 * (kl_term(p, middle) + kl_term(q, middle))
            }),
            wasserstein_1,
            mean: density.mean(),
            std: density.std(),
        }
    }
}

/// A Monte-Carlo estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
}

impl Estimate {
    /// The mean of independent draws and its standard error.
    pub fn mean_of(draws: impl Iterator<Item = f64>) -> Estimate {
        let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for draw in draws {
            n += 1.0;
            let delta = draw - mean;
            mean += delta / n;
            squares += delta * (draw - mean);
        }
        Estimate {
            value: mean,
            standard_error: (squares / (n * (n - 1.0))).sqrt(),
        }
    }
}

/// The Monte-Carlo twins of [`Metrics`], from independent draws. The 1-Wasserstein distance has
/// none: its plug-in estimate is biased upwards by about n^(-1/2), which no error bar shows.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledMetrics {
    /// Total variation, as the target's mean of (1 - p/q)+.
    pub total_variation: Estimate,
    /// KL(target, model), in nats.
    pub kl_target_model: Estimate,
    /// KL(model, target), in nats.
    pub kl_model_target: Estimate,
    /// Jensen-Shannon divergence, in nats.
    pub jensen_shannon: Estimate,
    /// The model's mean.
    pub mean: Estimate,
    /// The model's standard deviation.
    pub std: Estimate,
    /// The model's mass per mode, from left to right.
    pub mode_mass: Vec<Estimate>,
}

impl SampledMetrics {
    /// Estimates from draws of the model and of the target, at least two each.
    pub fn estimate(
        density: &TerminalDensity,
        target: &Mixture,
        model_draws: &[f64],
        target_draws: &[f64],
    ) -> SampledMetrics {
        let both = |draws: &[f64]| -> Vec<(f64, f64)> {
            let pair = |&x: &f64| {
                (
                    density.density(x).max(1e-300),
                    target.density(x).max(1e-300),
                )
            };
            draws.iter().map(pair).collect()
        };
        let (at_model, at_target) = (both(model_draws), both(target_draws));
        let from_model =
            |f: fn(f64, f64) -> f64| Estimate::mean_of(at_model.iter().map(|&(p, q)| f(p, q)));
        let from_target =
            |f: fn(f64, f64) -> f64| Estimate::mean_of(at_target.iter().map(|&(p, q)| f(p, q)));
        let js_model = from_model(|p, q| (2.0 * p / (p + q)).ln());
        let js_target = from_target(|p, q| (2.0 * q / (p + q)).ln());
        let mean = Estimate::mean_of(model_draws.iter().copied());
        let var = Estimate::mean_of(model_draws.iter().map(|x| (x - mean.value).powi(2)));
        let std = var.value.sqrt();
        SampledMetrics {
            total_variation: from_target(|p, q| (1.0 - p / q).max(0.0)),
            kl_target_model: from_target(|p, q| (q / p).ln()),
            kl_model_target: from_model(|p, q| (p / q).ln()),
            jensen_shannon: Estimate {
                value: 0.5 * (js_model.value + js_target.value),
                standard_error: 0.5 * js_model.standard_error.hypot(js_target.standard_error),
            },
            mean,
            std: Estimate {
                value: std,
                standard_error: var.standard_error / (2.0 * std),
            },
            mode_mass: sampled_mode_mass(target, model_draws.iter().copied()),
        }
    }
}

/// The share of `draws` in each basin of the target, from left to right, with binomial errors.
pub fn sampled_mode_mass(
    target: &Mixture,
    draws: impl ExactSizeIterator<Item = f64>,
) -> Vec<Estimate> {
    let midpoints = target.midpoints();
    let n = draws.len() as f64;
    let mut counts = vec![0u32; midpoints.len() + 1];
    for x in draws {
        counts[midpoints.partition_point(|&m| m < x)] += 1;
    }
    counts
        .into_iter()
        .map(|count| {
            let share = f64::from(count) / n;
            Estimate {
                value: share,
                standard_error: (share * (1.0 - share) / n).sqrt(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mixture::Mode;
    use crate::noise::ThreefryRng;
    use crate::policy::Policy;
    use crate::rollout::Rollout;

    /// Five placeholder steps end in one Gaussian of this standard deviation about the start.
    const STD: f64 = 0.3 * 2.236_067_977_499_79;

    fn gaussian(start: f64) -> TerminalDensity {
        TerminalDensity::of(&Policy::placeholder(64, 0.3), start, 5, 1.0)
    }

    #[test]
    fn a_model_that_is_its_target_has_no_distance() {
        let target = Mixture::new(vec![Mode::new(0.4, STD * STD)]);
        let metrics = Metrics::exact(&gaussian(0.4), &target);
        for zero in [
            metrics.total_variation,
            metrics.kl_target_model,
            metrics.kl_model_target,
            metrics.jensen_shannon,
            metrics.wasserstein_1,
        ] {
            assert!(zero.abs() < 1e-7, "{metrics:?}");
        }
    }

    #[test]
    fn two_gaussians_of_one_width_have_known_distances() {
        // At distance d: TV = erf(d / (2 sqrt(2) std)), KL = d² / (2 std²), W1 = d.
        for distance in [0.1, 1.0, 3.0] {
            let target = Mixture::new(vec![Mode::new(distance, STD * STD)]);
            let metrics = Metrics::exact(&gaussian(0.0), &target);
            let z = distance / STD;
            let total_variation = libm::erf(z / 8f64.sqrt());
            assert!((metrics.total_variation - total_variation).abs() < 1e-6);
            assert!((metrics.kl_target_model - 0.5 * z * z).abs() < 1e-5);
            assert!((metrics.kl_model_target - 0.5 * z * z).abs() < 1e-5);
            assert!((metrics.wasserstein_1 - distance).abs() < 1e-5);
        }
    }

    #[test]
    fn far_apart_the_distances_reach_their_bounds() {
        let target = Mixture::new(vec![Mode::new(60.0, 0.2), Mode::new(70.0, 0.2)]);
        let metrics = Metrics::exact(&gaussian(0.0), &target);
        assert!((metrics.total_variation - 1.0).abs() < 1e-9);
        assert!((metrics.jensen_shannon - 2f64.ln()).abs() < 1e-6);
        assert!((metrics.wasserstein_1 - 65.0).abs() < 1e-3);
        assert!(metrics.kl_target_model.is_finite() && metrics.kl_target_model > 100.0);
    }

    #[test]
    fn the_estimates_agree_with_the_exact_scores_within_their_errors() {
        let target = Mixture::new(vec![Mode::new(-1.0, 0.2), Mode::new(1.0, 0.4)]);
        let policy = Policy::<f64>::init(64, &mut ThreefryRng::new(3, 0));
        let density = TerminalDensity::of(&policy, 0.0, 2, 1.0);
        let rollout = Rollout {
            start: 0.0,
            steps: 2,
            sigma_scale: 1.0,
            extra_std: 0.0,
            seed: 21,
            first: 0,
        };
        let model_draws: Vec<f64> = rollout.draw(&policy, 4000).terminals().collect();
        let mut rng = ThreefryRng::new(22, 0);
        let target_draws: Vec<f64> = (0..4000).map(|_| target.sample(&mut rng)).collect();
        let sampled = SampledMetrics::estimate(&density, &target, &model_draws, &target_draws);
        let exact = Metrics::exact(&density, &target);
        let mut pairs = vec![
            (sampled.total_variation, exact.total_variation),
            (sampled.kl_target_model, exact.kl_target_model),
            (sampled.kl_model_target, exact.kl_model_target),
            (sampled.jensen_shannon, exact.jensen_shannon),
            (sampled.mean, exact.mean),
            (sampled.std, exact.std),
        ];
        let mass = mode_mass(&density, &target);
        pairs.extend(sampled.mode_mass.into_iter().zip(mass));
        for (estimate, exact) in pairs {
            let errors = (estimate.value - exact) / estimate.standard_error;
            assert!(errors.abs() < 4.5, "{estimate:?} for {exact}");
            assert!(estimate.standard_error < 0.1 * exact.abs().max(1.0));
        }
    }
}
