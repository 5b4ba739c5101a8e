//! The flow of a model, seen from both ends, and what a wrong backward loop really asks for.
//!
//! Trajectory balance (Malkin et al. 2022, for continuous states Lahlou et al. 2023) asks two
//! measures on trajectories to agree. Forward, Z·P_F: its marginal at step t is the forward flow
//! Z·p_t(x). Backward, R·P_B: its marginal is
//!
//! > F(x, N) = R(x),  F(x, t-1) = ∫ F(y, t) N(y - x; mu_B(y, t), sigma_B(y, t)²) dy.
//!
//! R is a mixture of Gaussians, so each F(·, t) is one, by the construction of [`crate::density`]
//! walked the other way. For a perfect model both flows are the same function.
//!
//! # The loop that counts the forced step
//!
//! With t = 1..=N in the backward sum the second measure becomes R·P_B·P_B(x_0 | x_1), which has
//! one factor more: the density that the backward net happens to give to s0. Its marginal over
//! x_N is R(x)·h(x) with
//!
//! > h(x) = E[P_B(x_0 | x_1)] over backward walks from x_N = x,
//!
//! so the right answer to that loss is the density R·h / Z' with Z' = ∫ R·h, and log Z' is what it
//! calls log Z. On the way, at step t, the forward flow differs from F by the factor g_t(x), the
//! same mean over backward walks from x_t = x. [`Retargeted`] computes it.
//!
//! # The loop that drops a real step
//!
//! With t = 3..=N the second measure is G = R(x_N)·Π_{t>=3} P_B(x_{t-1} | x_t), which does not name
//! x_1: it spreads x_1 evenly over the whole line, and its mass is infinite. No Z balances it.
//! What training finds is still finite. On-policy, the loss descends on KL(P_F, G / Z), and the
//! best log Z for a given policy is E[log G - log P_F] (Malkin et al. 2023, "GFlowNets and
//! variational inference"). Splitting P_F into the law of (x_2, ..., x_N) and that of x_1 given
//! the rest, which by the Markov property depends on x_2 alone,
//!
//! > E[log G - log P_F] = ln K + H(x_1 | x_2) - KL(P_F(x_2..x_N), R·P_B / K),
//!
//! with H the conditional entropy. The last term pulls to the right target, which has not moved.
//! The middle one rewards forgetting: a first step as wide as the network can make it, undone by
//! the second. It is bounded because sigma is, H(x_1 | x_2) <= H(x_1) <= ½ ln(2πe·1²), so log Z
//! runs up to at most that far above ln K: [`first_step_entropy`] gives the bound of a policy.

use crate::balance::BackwardMean;
use crate::density::{Laws, Tails, TerminalDensity};
use crate::mixture::Mixture;
use crate::policy::{Gaussian, MIN_STD, StdRange};
use std::f64::consts::{E, TAU};

/// Points never lie further apart than this in an integral over the steps of a policy: a fifth of
/// the narrowest one.
fn finest_spacing(laws: &impl Laws) -> f64 {
    laws.std_range().min_std / 5.0
}

/// Steps are followed to this many standard deviations.
const REACH: f64 = 8.3;
/// Absurd weights cost accuracy and not the machine's memory.
const MAX_POINTS: f64 = 65_536.0;

/// A backward policy as its loss has it: with the network's mean measured from where the recipe
/// says.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a, P> {
    /// The network.
    pub network: &'a P,
    /// Where its mean is measured from.
    pub mean: BackwardMean,
    /// The state S0.
    pub start: f64,
}

impl<P: Laws> Laws for Backward<'_, P> {
    fn laws(&self, x: &[f64], t: usize) -> Vec<Gaussian<f64>> {
        let mut laws = self.network.laws(x, t);
        for (law, &x) in laws.iter_mut().zip(x) {
            *law = self.mean.centred(*law, t);
            law.mean += self.mean.offset(self.start, x, t);
        }
        laws
    }

    fn std_range(&self) -> StdRange {
        match self.mean {
            BackwardMean::FixedBridge { step_std } => StdRange {
                min_std: MIN_STD,
                max_std: step_std.max(MIN_STD),
            },
            _ => self.network.std_range(),
        }
    }
}

/// A backward policy whose actions are added instead of taken off.
struct Reversed<'a, P>(&'a P);

impl<P: Laws> Laws for Reversed<'_, P> {
    fn laws(&self, x: &[f64], t: usize) -> Vec<Gaussian<f64>> {
        let mut laws = self.0.laws(x, t);
        for law in &mut laws {
            law.mean = -law.mean;
        }
        laws
    }

    fn std_range(&self) -> StdRange {
        self.0.std_range()
    }
}

/// The flow F(x, t) of a model for t = 1..=N, from both ends. At t = 0 all of it is at S0.
#[derive(Clone, Debug)]
pub struct Flow {
    log_z: f64,
    forward: Vec<TerminalDensity>,
    backward: Vec<TerminalDensity>,
}

/// One row of a flow, at equal distances in x: natural logarithms of flow per unit of x. Where a
/// flow has faded beyond what floats hold, the logarithm is -inf.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRow {
    /// log(Z·p_t(x)), from the forward policy and the learned Z.
    pub log_forward: Vec<f64>,
    /// log F(x, t), from R through the backward policy.
    pub log_backward: Vec<f64>,
}

impl Flow {
    /// The flow of a model with these policies, its learned `log_z` in nats, for walks of `steps`
    /// steps (at least 1) from `start`.
    pub fn of(
        forward: &impl Laws,
        backward: &impl Laws,
        log_z: f64,
        target: &Mixture,
        start: f64,
        steps: usize,
    ) -> Flow {
        const TAILS: Tails = Tails::Deep;
        let mut from_the_end = vec![TerminalDensity::of_reward(target, TAILS)];
        for t in (2..=steps).rev() {
            let later = &from_the_end[from_the_end.len() - 1];
            from_the_end.push(later.pushed(&Reversed(backward), t, TAILS));
        }
        from_the_end.reverse();
        Flow {
            log_z,
            forward: TerminalDensity::marginals(forward, start, steps, TAILS),
            backward: from_the_end,
        }
    }

    /// Both flows at `t`, in 1..=N, at `n` points (at least 2) from `lo` to `hi`; empty for other t.
    pub fn row(&self, t: usize, lo: f64, hi: f64, n: usize) -> FlowRow {
        let logs = |side: &[TerminalDensity], log_scale: f64| -> Vec<f64> {
            let density = t.checked_sub(1).and_then(|i| side.get(i));
            let points = density.map_or_else(Vec::new, |density| density.points(lo, hi, n));
            points.iter().map(|p| p.ln() + log_scale).collect()
        };
        FlowRow {
            log_forward: logs(&self.forward, self.log_z),
            log_backward: logs(&self.backward, 0.0),
        }
    }
}

/// At each of `x`, the density that the backward policy gives to the forced step into `start`,
/// averaged over the backward walks from x_N = x: h(x), per unit of x. `steps` is N; with N = 0
/// there is no step, and h is 1.
pub fn forced_density(backward: &impl Laws, start: f64, steps: usize, x: &[f64]) -> Vec<f64> {
    forced_density_on(backward, start, steps, x, finest_spacing(backward))
}

fn forced_density_on(
    backward: &impl Laws,
    start: f64,
    steps: usize,
    x: &[f64],
    spacing: f64,
) -> Vec<f64> {
    if steps == 0 {
        return vec![1.0; x.len()];
    }
    // Down: where the walks from x can be at N-1, ..., 1, and the laws of their steps there.
    let mut levels = vec![(x.to_vec(), backward.laws(x, steps))];
    for t in (1..steps).rev() {
        let (points, laws) = &levels[levels.len() - 1];
        let lattice = lattice_below(points, laws, spacing);
        let laws = backward.laws(&lattice, t);
        levels.push((lattice, laws));
    }
    // Up: g_1 is the density itself, and each g_t the mean of the one before over a step.
    let mut values: Vec<f64> = Vec::new();
    let mut below: &[f64] = &[];
    for (level, (points, laws)) in levels.iter().rev().enumerate() {
        let steps = points.iter().zip(laws);
        values = if level == 0 {
            steps
                .map(|(x, law)| law.log_density(x - start).exp())
                .collect()
        } else {
            steps
                .map(|(&x, law)| mean_over_step(x, law, below, &values))
                .collect()
        };
        below = points;
    }
    values
}

/// Equal distances over all that a step back from `points` reaches.
fn lattice_below(points: &[f64], laws: &[Gaussian<f64>], spacing: f64) -> Vec<f64> {
    let reached =
        points
            .iter()
            .zip(laws)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), (x, law)| {
                let (centre, reach) = (x - law.mean, REACH * law.std);
                (lo.min(centre - reach), hi.max(centre + reach))
            });
    let (lo, hi) = match reached {
        (lo, hi) if lo.is_finite() && hi.is_finite() => (lo, hi),
        _ => (-1.0, 1.0), // Only weights that are not numbers get here.
    };
    let intervals = ((hi - lo) / spacing).ceil().clamp(1.0, MAX_POINTS);
    let spacing = (hi - lo) / intervals;
    (0..=intervals as usize)
        .map(|i| lo + i as f64 * spacing)
        .collect()
}

/// The mean of `values`, known on `lattice`, over one step back from x, by the trapezoid rule.
fn mean_over_step(x: f64, law: &Gaussian<f64>, lattice: &[f64], values: &[f64]) -> f64 {
    let spacing = (lattice[lattice.len() - 1] - lattice[0]) / (lattice.len() - 1) as f64;
    let index = |y: f64| (y - lattice[0]) / spacing;
    let (centre, reach) = (x - law.mean, REACH * law.std);
    let first = index(centre - reach).ceil().max(0.0) as usize;
    let last = (index(centre + reach).floor().max(0.0) as usize).min(lattice.len() - 1);
    let sum: f64 = (first..=last)
        .map(|i| {
            let z = (lattice[i] - centre) / law.std;
            (-0.5 * z * z).exp() * values[i]
        })
        .sum();
    sum * spacing / (law.std * TAU.sqrt())
}

/// The right answer to the loss that counts the forced step: the density R·h / Z'.
#[derive(Clone, Debug, PartialEq)]
pub struct Retargeted {
    lo: f64,
    spacing: f64,
    /// R·h at lo + i·spacing.
    flow: Vec<f64>,
    log_partition: f64,
}

impl Retargeted {
    /// The answer for a reward and a backward policy, for walks of `steps` steps from `start`.
    pub fn of(backward: &impl Laws, target: &Mixture, start: f64, steps: usize) -> Self {
        let (lo, hi) = target.support(1.0);
        let intervals = ((hi - lo) / finest_spacing(backward))
            .ceil()
            .clamp(1.0, MAX_POINTS);
        let spacing = (hi - lo) / intervals;
        let x: Vec<f64> = (0..=intervals as usize)
            .map(|i| lo + i as f64 * spacing)
            .collect();
        let h = forced_density(backward, start, steps, &x);
        let flow: Vec<f64> = x
            .iter()
            .zip(h)
            .map(|(&x, h)| target.log_reward(x).exp() * h)
            .collect();
        Retargeted {
            lo,
            spacing,
            log_partition: (flow.iter().sum::<f64>() * spacing).ln(),
            flow,
        }
    }

    /// log Z' = ln ∫ R·h, in nats: the log Z that this loss asks for.
    pub fn log_partition(&self) -> f64 {
        self.log_partition
    }

    /// Total variation between a model and R·h / Z', in [0, 1], to about 1e-4.
    pub fn total_variation(&self, model: &TerminalDensity) -> f64 {
        let hi = self.lo + self.spacing * (self.flow.len() - 1) as f64;
        let model_inside = model.points(self.lo, hi, self.flow.len());
        let scale = self.log_partition.exp();
        let inside: f64 = model_inside
            .iter()
            .zip(&self.flow)
            .map(|(p, flow)| (p - flow / scale).abs())
            .sum();
        let outside = model.mass_below(self.lo) + model.mass_between(hi, f64::INFINITY);
        0.5 * (inside * self.spacing + outside)
    }
}

/// H(x_1 | x_2) under a forward policy, in nats: how much of the first step the second one lets
/// be forgotten, H(x_1) + H(x_2 | x_1) - H(x_2). This is how far above ln K the log Z of a loss
/// that drops the backward step into x_1 can come.
pub fn first_step_entropy(forward: &impl Laws, start: f64) -> f64 {
    let marginals = TerminalDensity::marginals(forward, start, 2, Tails::Deep);
    // Over x_1: p, and the entropy of the step that follows.
    let [first, second] = [&marginals[0], &marginals[1]].map(|density| {
        let (lo, hi, narrowest) = density.resolution();
        let intervals = (6.0 * (hi - lo) / narrowest).clamp(64.0, MAX_POINTS).ceil();
        let spacing = (hi - lo) / intervals;
        let n = intervals as usize + 1;
        let x: Vec<f64> = (0..n).map(|i| lo + i as f64 * spacing).collect();
        (x, density.points(lo, hi, n), spacing)
    });
    let entropy = |(_, p, spacing): &(Vec<f64>, Vec<f64>, f64)| {
        let terms = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln());
        terms.sum::<f64>() * spacing
    };
    let laws = forward.laws(&first.0, 1);
    let step_entropy: f64 = laws
        .iter()
        .zip(&first.1)
        .map(|(law, p)| p * (0.5 * (TAU * E).ln() + law.std.ln()))
        .sum();
    entropy(&first) + step_entropy * first.2 - entropy(&second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mixture::Mode;
    use crate::noise::{Noise, ThreefryRng};
    use crate::policy::Policy;

    const STD: f64 = 0.3;

    fn policy(seed: u64) -> Policy<f64> {
        Policy::init(64, &mut ThreefryRng::new(seed, 0))
    }

    fn two_modes() -> Mixture {
        Mixture::new(vec![Mode::new(-1.0, 0.2), Mode::new(1.0, 0.2)])
    }

    /// What undoes a random walk of steps with standard deviation STD from 0.
    struct Bridge;

    impl Laws for Bridge {
        fn laws(&self, x: &[f64], t: usize) -> Vec<Gaussian<f64>> {
            let t = t as f64;
            let std = STD * ((t - 1.0) / t).sqrt();
            x.iter().map(|&x| Gaussian { mean: x / t, std }).collect()
        }
    }

    fn normal(x: f64, var: f64) -> f64 {
        (-0.5 * x * x / var).exp() / (TAU * var).sqrt()
    }

    #[test]
    fn both_flows_of_a_perfect_model_are_one() {
        const STEPS: usize = 5;
        let var = STEPS as f64 * STD * STD;
        let target = Mixture::new(vec![Mode::new(0.0, var)]);
        let forward = Policy::<f64>::placeholder(8, STD);
        let flow = Flow::of(&forward, &Bridge, 0.0, &target, 0.0, STEPS);
        for t in 1..=STEPS {
            let row = flow.row(t, -3.0, 3.0, 61);
            assert_eq!(row.log_forward.len(), 61);
            let expected_var = t as f64 * STD * STD;
            for (i, (f, b)) in row.log_forward.iter().zip(&row.log_backward).enumerate() {
                let x = -3.0 + 0.1 * i as f64;
                let expected = normal(x, expected_var).ln();
                // To 50 nats below the peak.
                if expected > -50.0 {
                    assert!((f - b).abs() < 1e-5, "t {t}, x {x}: {f} {b}");
                    assert!((f - expected).abs() < 1e-5, "t {t}, x {x}: {f} {expected}");
                }
            }
        }
        assert!(flow.row(0, -1.0, 1.0, 2).log_forward.is_empty());
        assert!(flow.row(STEPS + 1, -1.0, 1.0, 2).log_backward.is_empty());
    }

    #[test]
    fn the_learned_log_z_lifts_the_forward_flow_alone() {
        let (forward, backward) = (policy(1), policy(2));
        let target = two_modes();
        let at = |log_z| Flow::of(&forward, &backward, log_z, &target, 0.0, 3).row(2, -2.0, 2.0, 9);
        let (low, high) = (at(0.0), at(0.7));
        assert_eq!(low.log_backward, high.log_backward);
        for (low, high) in low.log_forward.iter().zip(&high.log_forward) {
            assert!((high - low - 0.7).abs() < 1e-12);
        }
    }

    #[test]
    fn constant_steps_back_widen_the_reward() {
        let backward = Policy::<f64>::placeholder(8, STD);
        let target = two_modes();
        let flow = Flow::of(&backward, &backward, 0.0, &target, 0.0, 5);
        for t in 1..=5 {
            let extra = (5 - t) as f64 * STD * STD;
            let wider = Mixture::new(vec![
                Mode::new(-1.0, 0.2 + extra),
                Mode::new(1.0, 0.2 + extra),
            ]);
            for (i, got) in flow
                .row(t, -4.0, 4.0, 41)
                .log_backward
                .into_iter()
                .enumerate()
            {
                let expected = wider.log_reward(-4.0 + 0.2 * i as f64);
                assert!((got - expected).abs() < 1e-5, "{t} {i}: {got} {expected}");
            }
        }
    }

    #[test]
    fn constant_steps_back_hit_the_start_like_a_random_walk() {
        let backward = Policy::<f64>::placeholder(8, STD);
        for steps in [1, 2, 5, 12] {
            let var = steps as f64 * STD * STD;
            let x = [-2.0, -0.3, 0.0, 0.5, 1.7];
            let h = forced_density(&backward, 0.5, steps, &x);
            for (x, h) in x.into_iter().zip(h) {
                let expected = normal(x - 0.5, var);
                assert!((h / expected - 1.0).abs() < 1e-7, "{steps} {x}: {h}");
            }
        }
        assert_eq!(forced_density(&backward, 0.0, 0, &[3.0]), [1.0]);
    }

    /// The oracle: walks back, one by one, and the density of the forced step at their end.
    #[test]
    fn h_is_the_mean_over_backward_walks() {
        const WALKS: u32 = 40_000;
        for (seed, start) in [(3, 0.0), (4, 0.4)] {
            let backward = policy(seed);
            let noise = Noise::new(seed);
            for (place, x) in [-1.2, 0.1, 0.9].into_iter().enumerate() {
                let draws: Vec<f64> = (0..WALKS)
                    .map(|walk| {
                        let mut x = x;
                        for t in [4u32, 3, 2] {
                            let law = backward.evaluate(x, f64::from(t));
                            let z = noise.normal(walk + WALKS * place as u32, t);
                            x -= law.mean + law.std * f64::from(z);
                        }
                        backward.evaluate(x, 1.0).log_density(x - start).exp()
                    })
                    .collect();
                let n = f64::from(WALKS);
                let mean = draws.iter().sum::<f64>() / n;
                let var = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / n;
                let h = forced_density(&backward, start, 4, &[x])[0];
                let error = (h - mean).abs();
                assert!(error < 5.0 * (var / n).sqrt(), "{x}: {h}, sampled {mean}");
            }
        }
    }

    #[test]
    fn a_finer_lattice_does_not_change_h() {
        let x: Vec<f64> = (-20..=20).map(|i| 0.2 * f64::from(i)).collect();
        for seed in 1..4 {
            let backward = policy(seed);
            let h = forced_density(&backward, 0.0, 5, &x);
            let fine = forced_density_on(&backward, 0.0, 5, &x, 0.2 * finest_spacing(&backward));
            let largest = fine.iter().copied().fold(0.0, f64::max);
            for (h, fine) in h.iter().zip(fine) {
                assert!((h - fine).abs() < 1e-6 * largest, "{h} {fine}");
            }
        }
    }

    /// Z' from the other end: the backward flow at t = 1, which other code computes, times the
    /// density of the forced step there.
    #[test]
    fn the_area_of_r_h_is_the_backward_flow_through_the_forced_step() {
        for seed in 1..4 {
            let (backward, target) = (policy(seed), two_modes());
            let answer = Retargeted::of(&backward, &target, 0.0, 5);
            let flow = Flow::of(&backward, &backward, 0.0, &target, 0.0, 5);
            let (lo, hi, n) = (-12.0, 12.0, 2_401);
            let row = flow.row(1, lo, hi, n).log_backward;
            let area: f64 = row
                .iter()
                .enumerate()
                .map(|(i, log_flow)| {
                    let x = lo + 0.01 * i as f64;
                    let forced = backward.evaluate(x, 1.0).log_density(x);
                    0.01 * (log_flow + forced).exp()
                })
                .sum();
            let error = area.ln() - answer.log_partition();
            assert!(error.abs() < 1e-5, "seed {seed}: {error}");
        }
    }

    #[test]
    fn a_model_that_is_the_answer_has_no_distance_to_it() {
        // Steps back as a random walk: h is normal around the start, and so is R·h, if R is.
        let backward = Policy::<f64>::placeholder(8, STD);
        let var = 2.0 * STD * STD;
        let target = Mixture::new(vec![Mode::new(0.0, var)]);
        let answer = Retargeted::of(&backward, &target, 0.0, 2);
        // The product of two equal normals, which is what one random step of half the variance,
        // here STD², gives.
        let model = TerminalDensity::of(&Policy::<f64>::placeholder(8, STD), 0.0, 1, 1.0);
        assert!(answer.total_variation(&model) < 1e-4);
        let area = normal(0.0, 2.0 * var).ln();
        assert!((answer.log_partition() - area).abs() < 1e-7);
        let far = TerminalDensity::of(&Policy::<f64>::placeholder(8, STD), 40.0, 1, 1.0);
        assert!((answer.total_variation(&far) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn two_equal_steps_let_half_of_the_first_be_forgotten() {
        let forward = Policy::<f64>::placeholder(8, STD);
        // x_1 given x_2 lies halfway between, with half the variance.
        let expected = 0.5 * (TAU * E * 0.5 * STD * STD).ln();
        let got = first_step_entropy(&forward, 0.3);
        assert!((got - expected).abs() < 1e-6, "{got} {expected}");
    }

    #[test]
    fn weights_that_are_not_numbers_do_not_hang_or_panic() {
        let target = two_modes();
        for value in [f64::NAN, f64::INFINITY, 1e300] {
            let absurd =
                Policy::new(4, vec![value; Policy::<f64>::parameter_count(4)]).expect("count");
            let flow = Flow::of(&absurd, &absurd, value, &target, 0.0, 3);
            assert_eq!(flow.row(2, -1.0, 1.0, 5).log_forward.len(), 5);
            let answer = Retargeted::of(&absurd, &target, 0.0, 3);
            let model = TerminalDensity::of(&absurd, 0.0, 3, 1.0);
            let _ = (answer.total_variation(&model), answer.log_partition());
            let _ = first_step_entropy(&absurd, 0.0);
        }
    }
}
