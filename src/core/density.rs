//! The exact terminal density of a policy.
//!
//! After one step from S0 the state is Gaussian. If the density p_t of x_t is known at the points
//! x_i of a lattice of spacing h, then
//!
//! > p_{t+1}(y) = ∫ p_t(x) N(y; x + mu(x, t), s²) dx ≈ Σ h p_t(x_i) N(y; x_i + mu(x_i, t), s_i²)
//!
//! with s = sigma_scale · sigma(x, t): again a mixture of Gaussians, now with one component per
//! point. So every p_t is a finite Gaussian mixture, and the terminal one can be evaluated,
//! integrated over a cell or averaged without any grid of its own. That is what keeps it right
//! when it is far narrower than a plot's grid.
//!
//! The trapezoid rule is exponentially accurate for Gaussian-smooth integrands: a product of
//! Gaussians whose joint standard deviation is c has relative error 2 exp(-2π²c²/h²), 5e-9 at
//! h = c. The lattice is refined until h is a set part of c wherever there is mass, with c taken
//! from the width of p_t and from the width of the next step's kernel *as a function of x*, which
//! a steep mean makes narrow. The part is below one because ELU has a kink in its second
//! derivative, which leaves an error of order h³: the golden densities of `tests/golden` decide
//! how large it may be.

use crate::mixture::{Mixture, normal_between, normal_cdf};
use crate::policy::{Gaussian, Policy, StdRange};
use std::f64::consts::TAU;

/// What a terminal density is computed from: the laws of a policy's actions.
pub trait Laws {
    /// The laws in the states (x, t), one for each x.
    fn laws(&self, x: &[f64], t: usize) -> Vec<Gaussian<f64>>;

    /// The standard deviations that these laws can have.
    fn std_range(&self) -> StdRange {
        StdRange::USUAL
    }
}

impl Laws for Policy<f64> {
    fn laws(&self, x: &[f64], t: usize) -> Vec<Gaussian<f64>> {
        self.evaluate_many(x, t as f64)
    }

    fn std_range(&self) -> StdRange {
        Policy::std_range(self)
    }
}

/// How far into the tails a density is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tails {
    /// Mass below 1e-9 is left out, and the density is right to about 3e-4 of its maximum:
    /// enough to draw, to integrate and for total variation, in a fifth of the time.
    Bulk,
    /// Densities are right down to about 1e-50, which KL(target, model) of a collapsed model
    /// needs.
    Deep,
}

impl Tails {
    fn limits(self) -> Limits {
        match self {
            Tails::Bulk => Limits {
                window: 6.6,
                floor: 1e-13,
                fineness: 0.45,
            },
            Tails::Deep => Limits {
                window: 16.0,
                floor: 1e-60,
                fineness: 0.15,
            },
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Half-width of a component's window, in its standard deviations.
    window: f64,
    /// The weight below which a component is left out.
    floor: f64,
    /// The lattice's spacing in units of the width c of the integrand.
    fineness: f64,
}

/// Lattices never have more points than this, so that absurd weights cost accuracy and not the
/// machine's memory. A trained policy at sigma scale 0.02 needs about 20,000.
const MAX_POINTS: usize = 1 << 19;

#[derive(Clone, Copy, Debug)]
struct Component {
    weight: f64,
    mean: f64,
    std: f64,
}

/// The density of x_N under a forward policy, as a mixture of many Gaussians.
///
/// ```
/// use gflownet_tour_core::{density::TerminalDensity, policy::Policy};
/// // Five steps of mean 0 and standard deviation 0.4 from 1.0, by a policy that knows nothing.
/// let walk = Policy::<f64>::placeholder(64, 0.4);
/// let end = TerminalDensity::of(&walk, 1.0, 5, 1.0);
/// let std = 0.4 * 5f64.sqrt();
/// let peak = 1.0 / (std * std::f64::consts::TAU.sqrt());
/// assert!((end.density(1.0) - peak).abs() < 1e-6); // per unit of x
/// let half = end.mass_between(f64::NEG_INFINITY, 1.0);
/// assert!((half - 0.5).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct TerminalDensity {
    components: Vec<Component>,
    window: f64,
}

/// Mass per cell of a grid, and what lies outside of it. The parts add up to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// Mass below the grid.
    pub below: f64,
    /// Mass of each cell, from left to right.
    pub mass: Vec<f64>,
    /// Mass above the grid.
    pub above: f64,
}

impl TerminalDensity {
    /// The density after `steps` steps (at least 1) from `start`, with the policy's standard
    /// deviations multiplied by `sigma_scale`. Tails are followed deep; [`Self::with_tails`]
    /// trades them for time.
    pub fn of(policy: &impl Laws, start: f64, steps: usize, sigma_scale: f64) -> Self {
        Self::with_tails(policy, start, steps, sigma_scale, Tails::Deep)
    }

    /// As [`Self::of`], with a choice of how far the tails are followed.
    pub fn with_tails(
        policy: &impl Laws,
        start: f64,
        steps: usize,
        sigma_scale: f64,
        tails: Tails,
    ) -> Self {
        let mut density = Self::after_one_step(policy, start, sigma_scale, tails);
        for t in 1..steps {
            density = density.step(policy, t, sigma_scale, tails.limits());
        }
        density
    }

    /// The densities of x_1, ..., x_N (N = `steps`, at least 1) at sigma scale 1, in this order:
    /// the last is [`Self::with_tails`].
    pub fn marginals(policy: &impl Laws, start: f64, steps: usize, tails: Tails) -> Vec<Self> {
        let mut density = Self::after_one_step(policy, start, 1.0, tails);
        let mut marginals = Vec::with_capacity(steps);
        for t in 1..steps {
            let next = density.step(policy, t, 1.0, tails.limits());
            marginals.push(std::mem::replace(&mut density, next));
        }
        marginals.push(density);
        marginals
    }

    /// The reward as a density that is not normalised: its mass is Z. Pushed
    /// through the steps of a backward policy it stays a mixture of Gaussians, too.
    pub(crate) fn of_reward(target: &Mixture, tails: Tails) -> Self {
        let modes = target.modes().iter();
        TerminalDensity {
            components: modes
                .map(|mode| Component {
                    weight: mode.weight,
                    mean: mode.mean,
                    std: mode.var.sqrt(),
                })
                .collect(),
            window: tails.limits().window,
        }
    }

    /// This density pushed through the step that `policy` takes at `t`.
    pub(crate) fn pushed(&self, policy: &impl Laws, t: usize, tails: Tails) -> Self {
        self.step(policy, t, 1.0, tails.limits())
    }

    fn after_one_step(policy: &impl Laws, start: f64, sigma_scale: f64, tails: Tails) -> Self {
        let first = policy.laws(&[start], 0);
        TerminalDensity {
            components: first
                .iter()
                .map(|law| Component {
                    weight: 1.0,
                    mean: start + law.mean,
                    std: sigma_scale * law.std,
                })
                .collect(),
            window: tails.limits().window,
        }
    }

    /// The density one step on.
    fn step(&self, policy: &impl Laws, t: usize, sigma_scale: f64, limits: Limits) -> Self {
        let (lo, hi) = self.support();
        let narrowest = self
            .components
            .iter()
            .filter(|c| c.weight > 1e-12)
            .fold(f64::INFINITY, |s, c| s.min(c.std));
        let mut spacing = limits.fineness * 0.7 * narrowest;
        loop {
            let intervals = ((hi - lo) / spacing).ceil().min(MAX_POINTS as f64).max(1.0);
            let capped = intervals >= MAX_POINTS as f64;
            spacing = (hi - lo) / intervals;
            let density = self.lattice(lo, spacing, intervals as usize + 1);
            let (points, weights): (Vec<f64>, Vec<f64>) = density
                .iter()
                .enumerate()
                .filter(|(_, p)| *p * spacing > limits.floor)
                .map(|(i, p)| (lo + i as f64 * spacing, p * spacing))
                .unzip();
            let laws = policy.laws(&points, t);
            let components: Vec<Component> = points
                .iter()
                .zip(&weights)
                .zip(&laws)
                .map(|((x, &weight), law)| Component {
                    weight,
                    mean: x + law.mean,
                    std: sigma_scale * law.std,
                })
                .collect();
            let needed = limits.fineness * spacing_needed(&components, spacing, narrowest);
            if spacing <= needed * 1.05 || capped {
                return TerminalDensity {
                    components,
                    window: self.window,
                };
            }
            spacing = needed;
        }
    }

    fn support(&self) -> (f64, f64) {
        let (lo, hi) =
            self.components
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), c| {
                    let reach = self.window * c.std;
                    (lo.min(c.mean - reach), hi.max(c.mean + reach))
                });
        if lo.is_finite() && hi.is_finite() {
            (lo, hi)
        } else {
            (-1.0, 1.0) // Only weights that are not numbers get here.
        }
    }

    /// Adds up the components at lo + i·spacing, i in 0..n. A Gaussian along a lattice obeys a
    /// recurrence of two multiplications a point, so there are three exponentials a component.
    fn lattice(&self, lo: f64, spacing: f64, n: usize) -> Vec<f64> {
        let mut out = vec![0.0; n];
        for c in &self.components {
            let reach = self.window * c.std;
            let index = |x: f64| (x - lo) / spacing;
            let first = index(c.mean - reach).ceil().max(0.0);
            let last = index(c.mean + reach).floor().min(n as f64 - 1.0);
            // False for NaN, too.
            let is_reached = first <= last;
            if !is_reached {
                continue;
            }
            let centre = index(c.mean).round().clamp(first, last);
            let z = (lo + centre * spacing - c.mean) / c.std;
            let d = spacing / c.std;
            let peak = c.weight / (c.std * TAU.sqrt()) * (-0.5 * z * z).exp();
            let shrink = (-d * d).exp();
            let (first, centre, last) = (first as usize, centre as usize, last as usize);
            let mut value = peak;
            let mut ratio = (-d * (z + 0.5 * d)).exp();
            for slot in &mut out[centre..=last] {
                *slot += value;
                value *= ratio;
                ratio *= shrink;
            }
            let mut ratio = (d * (z - 0.5 * d)).exp();
            let mut value = peak * ratio;
            for slot in out[first..centre].iter_mut().rev() {
                ratio *= shrink;
                *slot += value;
                value *= ratio;
            }
        }
        out
    }

    /// The density at `n` points (at least 2) from `lo` to `hi`, ends included.
    pub fn points(&self, lo: f64, hi: f64, n: usize) -> Vec<f64> {
        self.lattice(lo, (hi - lo) / (n as f64 - 1.0), n)
    }

    /// The density at `x`: the plain sum.
    pub fn density(&self, x: f64) -> f64 {
        self.components
            .iter()
            .map(|c| {
                let z = (x - c.mean) / c.std;
                c.weight / (c.std * TAU.sqrt()) * (-0.5 * z * z).exp()
            })
            .sum()
    }

    /// The mass of each of `n` equal cells from `lo` to `hi`, by differences of the normal
    /// distribution function: right however narrow the density is.
    pub fn cells(&self, lo: f64, hi: f64, n: usize) -> Cells {
        let width = (hi - lo) / n as f64;
        let mut cells = Cells {
            below: 0.0,
            mass: vec![0.0; n],
            above: 0.0,
        };
        for c in &self.components {
            let z = |edge: usize| (lo + edge as f64 * width - c.mean) / c.std;
            cells.below += c.weight * normal_cdf(z(0));
            cells.above += c.weight * normal_cdf(-z(n));
            let cell_of = |x: f64| ((x - lo) / width).floor().clamp(0.0, n as f64) as usize;
            let first = cell_of(c.mean - 8.3 * c.std);
            let last = (cell_of(c.mean + 8.3 * c.std) + 1).min(n);
            // Each edge is used by two cells; upper tails keep their digits by symmetry.
            let mut left = (normal_cdf(z(first)), normal_cdf(-z(first)));
            for i in first..last {
                let right = (normal_cdf(z(i + 1)), normal_cdf(-z(i + 1)));
                let share = if z(i) > 0.0 {
                    left.1 - right.1
                } else {
                    right.0 - left.0
                };
                cells.mass[i] += c.weight * share;
                left = right;
            }
        }
        cells
    }

    /// The density averaged over each of `n` equal cells from `lo` to `hi`: what [`Self::cells`]
    /// gives over the cells' width, to 2e-4 of a component's peak, in a small part of the time.
    ///
    /// Components wider than two cells are summed at the cells' centres, and their averages follow
    /// from the second and fourth differences; only the narrower ones need the distribution
    /// function.
    pub fn averages(&self, lo: f64, hi: f64, n: usize) -> Vec<f64> {
        const BEYOND: usize = 2;
        let width = (hi - lo) / n as f64;
        let split = |is_wide: bool| {
            let side = self.components.iter().copied();
            TerminalDensity {
                components: side.filter(|c| (c.std >= 2.0 * width) == is_wide).collect(),
                window: self.window,
            }
        };
        let first = lo + (0.5 - BEYOND as f64) * width;
        let p = split(true).lattice(first, width, n + 2 * BEYOND);
        let mut averages: Vec<f64> = p
            .windows(2 * BEYOND + 1)
            .map(|p| {
                let second = p[1] - 2.0 * p[2] + p[3];
                let fourth = p[0] - 4.0 * p[1] + 6.0 * p[2] - 4.0 * p[3] + p[4];
                p[2] + second / 24.0 - fourth * (17.0 / 5_760.0)
            })
            .collect();
        let narrow = split(false);
        if !narrow.components.is_empty() {
            let cells = narrow.cells(lo, hi, n);
            for (average, mass) in averages.iter_mut().zip(cells.mass) {
                *average += mass / width;
            }
        }
        averages
    }

    /// The mass below `x`, which may be infinite.
    pub fn mass_below(&self, x: f64) -> f64 {
        // Beyond 8.3 standard deviations there is less than the rounding of the sum.
        let share = |z: f64| match z {
            z if z > 8.3 => 1.0,
            z if z < -8.3 => 0.0,
            z => normal_cdf(z),
        };
        self.components
            .iter()
            .map(|c| c.weight * share((x - c.mean) / c.std))
            .sum()
    }

    /// The mass between `a` and `b` (a <= b), right in the tails, too; both may be infinite.
    pub fn mass_between(&self, a: f64, b: f64) -> f64 {
        self.components
            .iter()
            .map(|c| c.weight * normal_between((a - c.mean) / c.std, (b - c.mean) / c.std))
            .sum()
    }

    /// The mean of x_N.
    pub fn mean(&self) -> f64 {
        self.components.iter().map(|c| c.weight * c.mean).sum()
    }

    /// The standard deviation of x_N.
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        let var: f64 = self
            .components
            .iter()
            .map(|c| c.weight * (c.std * c.std + (c.mean - mean).powi(2)))
            .sum();
        var.sqrt()
    }

    /// An interval outside of which the density is negligible, and the width of its narrowest
    /// feature: what a quadrature over it needs to know.
    pub(crate) fn resolution(&self) -> (f64, f64, f64) {
        let heavy = || self.components.iter().filter(|c| c.weight > 1e-12);
        heavy().fold(
            (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY),
            |(lo, hi, narrowest), c| {
                let reach = 8.3 * c.std;
                (
                    lo.min(c.mean - reach),
                    hi.max(c.mean + reach),
                    narrowest.min(c.std),
                )
            },
        )
    }
}

/// The lattice spacing that the trapezoid rule needs for the step that gave these components
/// (neighbours in the slice are neighbours on a lattice of `spacing`, or a gap apart, which only
/// makes the answer smaller).
fn spacing_needed(components: &[Component], spacing: f64, narrowest: f64) -> f64 {
    let mut needed = narrowest;
    for pair in components.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        if a.weight.max(b.weight) < 1e-9 * spacing {
            continue;
        }
        let std = a.std.min(b.std);
        // Speed of the kernel's centre, and of its edge at two standard deviations, in x.
        let speed = ((b.mean - a.mean).abs() + 2.0 * (b.std - a.std).abs()) / spacing;
        let kernel = std / speed;
        needed = needed.min(1.0 / (narrowest.powi(-2) + kernel.powi(-2)).sqrt());
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::ThreefryRng;
    use crate::policy::Policy;

    fn policy(seed: u64) -> Policy<f64> {
        Policy::init(64, &mut ThreefryRng::new(seed, 0))
    }

    #[test]
    fn constant_steps_add_up_to_one_gaussian() {
        let policy = Policy::<f64>::placeholder(64, 0.3);
        for (steps, scale) in [(1, 1.0), (5, 0.02), (5, 1.0), (20, 5.0)] {
            let density = TerminalDensity::of(&policy, 0.5, steps, scale);
            let std = 0.3 * scale * (steps as f64).sqrt();
            assert!((density.mean() - 0.5).abs() < 1e-12);
            assert!((density.std() / std - 1.0).abs() < 1e-7);
            for z in [-4.0f64, -1.0, 0.0, 0.3, 2.5] {
                let expected = (-0.5 * z * z).exp() / (std * TAU.sqrt());
                let got = density.density(0.5 + z * std);
                assert!((got * std - expected * std).abs() < 1e-7, "{steps} {z}");
            }
        }
    }

    #[test]
    fn it_integrates_to_one_for_every_scale_and_horizon() {
        for seed in 0..4 {
            let policy = policy(seed);
            for scale in [0.02, 0.1, 0.5, 1.0, 2.0, 5.0] {
                for steps in [1, 2, 5, 20] {
                    for tails in [Tails::Bulk, Tails::Deep] {
                        let density =
                            TerminalDensity::with_tails(&policy, 0.0, steps, scale, tails);
                        // A grid far too coarse for the narrow cases and too short for the wide.
                        let cells = density.cells(-3.0, 4.0, 70);
                        let total = cells.below + cells.mass.iter().sum::<f64>() + cells.above;
                        assert!(
                            (total - 1.0).abs() < 1e-6,
                            "seed {seed} scale {scale} steps {steps} {tails:?}: {total}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn lattice_and_plain_sum_agree() {
        let density = TerminalDensity::of(&policy(7), 0.0, 5, 0.7);
        let (lo, hi, n) = (-4.0, 3.0, 113);
        for (i, p) in density.points(lo, hi, n).iter().enumerate() {
            let x = lo + (hi - lo) * i as f64 / (n as f64 - 1.0);
            assert!((p - density.density(x)).abs() < 1e-9);
        }
    }

    #[test]
    fn cells_narrower_than_the_density_hold_its_average() {
        let density = TerminalDensity::of(&policy(8), 0.0, 5, 1.0);
        let cells = density.cells(-4.0, 4.0, 4000);
        let middle = density.points(-4.0 + 1e-3, 4.0 - 1e-3, 4000);
        for (mass, p) in cells.mass.iter().zip(middle) {
            assert!((mass / 2e-3 - p).abs() < 1e-5);
        }
        let part = density.mass_between(-4.0, 4.0);
        assert!((part - cells.mass.iter().sum::<f64>()).abs() < 1e-12);
    }

    #[test]
    fn averages_are_the_cells_masses_over_their_width() {
        for (seed, scale, n) in [(1, 1.0, 400), (2, 0.02, 70), (3, 0.1, 150), (4, 5.0, 31)] {
            let density = TerminalDensity::with_tails(&policy(seed), 0.0, 5, scale, Tails::Bulk);
            let (lo, hi) = (-4.0, 4.0);
            let cells = density.cells(lo, hi, n);
            let per_unit = n as f64 / (hi - lo);
            let largest = cells.mass.iter().copied().fold(0.0, f64::max) * per_unit;
            for (average, mass) in density.averages(lo, hi, n).iter().zip(&cells.mass) {
                let error = (average - mass * per_unit).abs();
                assert!(error < 2e-4 * largest, "{seed}: {error} of {largest}");
            }
        }
    }

    #[test]
    fn a_finer_lattice_changes_nothing_that_is_promised() {
        let fine = Limits {
            window: 16.0,
            floor: 1e-60,
            fineness: 0.06,
        };
        for (seed, scale) in [(1, 0.02), (2, 0.3), (3, 1.0), (4, 3.0)] {
            let policy = policy(seed);
            let mut reference = TerminalDensity::of(&policy, 0.0, 1, scale);
            for t in 1..5 {
                reference = reference.step(&policy, t, scale, fine);
            }
            for (tails, tolerance) in [(Tails::Deep, 1e-4), (Tails::Bulk, 1e-3)] {
                let density = TerminalDensity::with_tails(&policy, 0.0, 5, scale, tails);
                let (mean, std) = (reference.mean(), reference.std());
                let (lo, hi) = (mean - 4.0 * std, mean + 4.0 * std);
                let expected = reference.points(lo, hi, 200);
                let largest = expected.iter().copied().fold(0.0, f64::max);
                for (got, expected) in density.points(lo, hi, 200).iter().zip(&expected) {
                    assert!((got - expected).abs() < tolerance * largest);
                }
            }
        }
    }

    #[test]
    fn weights_that_are_not_numbers_do_not_hang_or_panic() {
        for value in [f64::NAN, f64::INFINITY, 1e300] {
            let policy =
                Policy::new(4, vec![value; Policy::<f64>::parameter_count(4)]).expect("count");
            let density = TerminalDensity::of(&policy, 0.0, 3, 1.0);
            assert_eq!(density.cells(-1.0, 1.0, 10).mass.len(), 10);
        }
    }
}
