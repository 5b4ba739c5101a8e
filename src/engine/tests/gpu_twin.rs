//! The GPU kernel against its CPU twin, on the machine's own adapter. A software adapter such as
//! lavapipe (Debian: `mesa-vulkan-drivers`) will do; without any adapter the tests print that
//! they were skipped.

#![allow(clippy::expect_used, reason = "a test's set-up")]

use cubecl::future::block_on;
use gflownet_tour_core::counts::Counts;
use gflownet_tour_core::noise::ThreefryRng;
use gflownet_tour_core::policy::{Inputs, Policy, StdRange};
use gflownet_tour_core::rollout::Rollout;
use gflownet_tour_speed::sampler::Sampler;
use support::gpu;

mod support;

/// Largest difference of any state, relative to 1 + |state|: the two round differently at every
/// step (fused multiply-adds, exponentials, logarithms), and a step passes on the error of the
/// one before.
const TOLERANCE: f32 = 2e-4;

/// A policy whose weights are `gain` times PyTorch's initial ones: 1 is nearly linear, 3 is as
/// bent as a trained policy.
fn policy(hidden: usize, gain: f32) -> Policy<f32> {
    let initial = Policy::<f32>::init(hidden, &mut ThreefryRng::new(7, hidden as u32));
    let scaled = initial.parameters().iter().map(|p| gain * p).collect();
    Policy::new(hidden, scaled).expect("as many parameters as before")
}

const FEATURES: Inputs = Inputs::StepFeatures { steps: 5 };

/// The same for a policy that reads step features.
fn policy_with_features(hidden: usize, gain: f32) -> Policy<f32> {
    let mut rng = ThreefryRng::new(7, hidden as u32);
    let initial = Policy::<f32>::init_with(FEATURES, hidden, &mut rng);
    let scaled = initial.parameters().iter().map(|p| gain * p).collect();
    Policy::with_inputs(FEATURES, hidden, scaled).expect("as many parameters as before")
}

const ROLLOUT: Rollout = Rollout {
    start: 0.0,
    steps: 5,
    sigma_scale: 1.0,
    extra_std: 0.0,
    seed: 4444,
    first: 0,
};

fn check(policy: &Policy<f32>, rollout: Rollout, count: usize) {
    let Some(gpu) = gpu() else { return };
    let got = block_on(gpu.draw(&gpu.load(policy), &rollout, count)).expect("the GPU draws");
    for (twin, expected) in [
        ("the plain formula", rollout.draw(policy, count)),
        (
            "the CPU sampler",
            Sampler::new(policy).draw(&rollout, count),
        ),
    ] {
        assert_eq!(got.states.len(), expected.states.len());
        for (index, (got, expected)) in got.states.iter().zip(&expected.states).enumerate() {
            let difference = (got - expected).abs() / (1.0 + expected.abs());
            assert!(
                difference <= TOLERANCE,
                "{rollout:?}: state {index} is {got}, and {expected} by {twin}"
            );
        }
    }
}

#[test]
fn seeds() {
    for seed in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
        check(&policy(64, 1.0), Rollout { seed, ..ROLLOUT }, 1_000);
    }
}

#[test]
fn sigma_scales() {
    for sigma_scale in [0.02, 0.3, 1.0, 3.0, 5.0] {
        let rollout = Rollout {
            sigma_scale,
            ..ROLLOUT
        };
        check(&policy(64, 1.0), rollout, 500);
        check(&policy(64, 3.0), rollout, 500);
    }
}

#[test]
fn horizons() {
    for steps in [1, 2, 3, 8, 20] {
        check(&policy(64, 1.0), Rollout { steps, ..ROLLOUT }, 300);
    }
}

#[test]
fn starts_and_exploration() {
    for (start, extra_std) in [(-6.5, 0.0), (12.0, 2.0), (0.3, 0.7)] {
        let rollout = Rollout {
            start,
            extra_std,
            ..ROLLOUT
        };
        check(&policy(64, 2.0), rollout, 300);
    }
}

#[test]
fn trajectory_numbers() {
    for first in [1, 4_095, u32::MAX - 100] {
        check(&policy(64, 1.0), Rollout { first, ..ROLLOUT }, 300);
    }
}

#[test]
fn counts_around_the_workgroup() {
    for count in [0, 1, 3, 4, 5, 255, 256, 257] {
        check(&policy(64, 1.0), ROLLOUT, count);
    }
}

#[test]
fn other_widths() {
    for hidden in [8, 32, 128] {
        check(&policy(hidden, 1.0), ROLLOUT, 200);
    }
}

#[test]
fn other_standard_deviations() {
    let range = StdRange {
        min_std: 0.02,
        max_std: 3.0,
    };
    check(&policy(64, 1.0).with_std_range(range), ROLLOUT, 300);
}

#[test]
fn step_features() {
    for gain in [1.0, 2.0] {
        let policy = policy_with_features(64, gain);
        for seed in [0, u64::MAX] {
            check(&policy, Rollout { seed, ..ROLLOUT }, 500);
        }
        for sigma_scale in [0.02, 3.0] {
            let rollout = Rollout {
                sigma_scale,
                ..ROLLOUT
            };
            check(&policy, rollout, 300);
        }
        for (start, steps) in [(12.0, 1), (-40.0, 5), (0.3, 8)] {
            let rollout = Rollout {
                start,
                steps,
                ..ROLLOUT
            };
            check(&policy, rollout, 300);
        }
    }
    for hidden in [8, 32] {
        check(&policy_with_features(hidden, 1.0), ROLLOUT, 200);
    }
}

#[test]
fn a_large_batch() {
    check(&policy(64, 2.0), ROLLOUT, 20_000);
}

/// The GPU counts what it draws, as the CPU would count the same states.
#[test]
fn counts_and_the_first_trajectories() {
    let Some(gpu) = gpu() else { return };
    let policy = gpu.load(&policy(64, 3.0));
    for (count, paths, bins) in [
        (1, 0, 1),
        (300, 7, 80),
        (5_000, 5_000, 13),
        (20_000, 120, 80),
    ] {
        let whole = block_on(gpu.draw(&policy, &ROLLOUT, count)).expect("the GPU draws");
        let mut expected = Counts::new((-1.5, 2.0), bins, &[-0.3, 0.2, 0.9]);
        let mut got = expected.clone();
        expected.add(&whole.terminals().collect::<Vec<f32>>());
        let first = gpu.count(&policy, &ROLLOUT, count, paths, &mut got);
        let first = block_on(first).expect("the GPU counts");
        assert_eq!(got, expected, "{count}");
        assert_eq!(first.states, whole.states[..paths * 6]);
    }
}

#[test]
fn the_self_test_passes() {
    let Some(gpu) = gpu() else { return };
    for inputs in [Inputs::Raw, FEATURES] {
        assert_eq!(block_on(gpu.self_test(inputs)), Ok(()));
    }
}
