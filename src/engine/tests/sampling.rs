//! A million samples of the CPU sampler, by the network and by its table, against the exact density.

use gflownet_tour_core::density::TerminalDensity;
use gflownet_tour_core::noise::ThreefryRng;
use gflownet_tour_core::policy::Policy;
use gflownet_tour_core::rollout::Rollout;
use gflownet_tour_speed::sampler::Sampler;

/// Pearson's chi-squared over the cells that expect at least 20 samples, in standard deviations
/// of its own law (n - 1 degrees of freedom, nearly normal for the many cells used here).
fn chi_squared_excess(counts: &[f64], expected: &[f64]) -> f64 {
    let (mut sum, mut cells) = (0.0, 0.0);
    for (count, expected) in counts.iter().zip(expected).filter(|(_, e)| **e >= 20.0) {
        sum += (count - expected).powi(2) / expected;
        cells += 1.0;
    }
    assert!(cells > 20.0, "too few cells: {cells}");
    let freedom = cells - 1.0;
    (sum - freedom) / (2.0 * freedom).sqrt()
}

fn check(policy_seed: u64, steps: usize, sigma_scale: f64, tabulated: bool) -> f64 {
    const SAMPLES: usize = 1_000_000;
    let policy = Policy::<f64>::init(64, &mut ThreefryRng::new(policy_seed, 0));
    let density = TerminalDensity::of(&policy, 0.0, steps, sigma_scale);
    let reach = 4.0 * density.std();
    let (lo, hi, n) = (density.mean() - reach, density.mean() + reach, 200);
    let rollout = Rollout {
        start: 0.0,
        steps,
        sigma_scale,
        extra_std: 0.0,
        seed: policy_seed,
        first: 0,
    };
    let mut counts = vec![0.0; n];
    let mut sampler = Sampler::new(&policy.cast());
    if tabulated {
        sampler = sampler.tabulated(0.0, steps);
    }
    let trajectories = sampler.draw(&rollout, SAMPLES);
    for x in trajectories.terminals() {
        let cell = (f64::from(x) - lo) / (hi - lo) * n as f64;
        if (0.0..n as f64).contains(&cell) {
            counts[cell as usize] += 1.0;
        }
    }
    let expected: Vec<f64> = density
        .cells(lo, hi, n)
        .mass
        .iter()
        .map(|mass| mass * SAMPLES as f64)
        .collect();
    chi_squared_excess(&counts, &expected)
}

#[test]
fn a_million_samples_follow_the_exact_density() {
    for (policy_seed, steps, sigma_scale) in [(1, 5, 1.0), (2, 5, 0.05), (3, 12, 0.6)] {
        for tabulated in [false, true] {
            let excess = check(policy_seed, steps, sigma_scale, tabulated);
            assert!(excess < 4.0, "seed {policy_seed}: {excess} deviations");
        }
    }
}

#[test]
fn the_test_would_notice_a_slightly_wrong_density() {
    let expected: Vec<f64> = (0..100).map(|i| 10_000.0 + f64::from(i)).collect();
    let shifted: Vec<f64> = expected.iter().map(|e| e * 1.02).collect();
    assert!(chi_squared_excess(&shifted, &expected) > 4.0);
}
