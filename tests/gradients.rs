//! Gradients of the trajectory-balance loss, by burn's autodiff and by the fused step, against the
//! golden files and each other.

mod support;

use burn::tensor::Device;
use gflownet_tour::balance::BackwardLoop;
use gflownet_tour::experiment::Experiment;
use gflownet_tour::policy::Policy;
use gflownet_tour::rollout::Trajectories;
use gflownet_tour::simd::Level;
use gflownet_tour::train::net::Sampler;
use gflownet_tour::trainer::{self, Trainer};
use gflownet_tour::weights::manifest::Recipe;
use support::golden::{self, Golden, Gradient};

const RELATIVE: f64 = 1e-4;

fn sampler(golden: &Golden) -> Sampler {
    let device = Device::flex().autodiff();
    let (forward, backward) = (golden.forward.policy(), golden.backward.policy());
    Sampler::new(&forward, &backward, golden.log_z as f32, &device)
}

fn trajectories(golden: &Golden) -> Trajectories<f32> {
    let actions = golden.trajectories.actions.chunks(golden.env.steps);
    let states = actions.flat_map(|actions| golden.states(actions));
    Trajectories {
        steps: golden.env.steps,
        states: states.map(|x| x as f32).collect(),
    }
}

fn l2(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The error is relative to the gradient's own size: single entries can be sums that cancel.
fn check_tensor(name: &str, got: &[f32], golden: &Gradient) {
    let Gradient::Tensor {
        l2: expected_l2,
        first8,
    } = golden
    else {
        panic!("{name} is a scalar in the golden file");
    };
    let got_l2 = l2(got.iter().map(|&g| f64::from(g)));
    assert!(
        (got_l2 - expected_l2).abs() <= RELATIVE * expected_l2,
        "{name}: norm {got_l2}, expected {expected_l2}"
    );
    let pairs = got.iter().zip(first8);
    let error = l2(pairs.map(|(&g, &e)| f64::from(g) - e));
    let size = l2(first8.iter().copied());
    assert!(
        error <= RELATIVE * size,
        "{name}: {:?}, expected {first8:?}",
        &got[..first8.len()]
    );
}

/// Loss and gradient by burn's autodiff.
fn by_burn(golden: &Golden, counted: BackwardLoop) -> trainer::Gradient {
    let sampler = sampler(golden);
    let loss = sampler.loss(&trajectories(golden), &golden.target(), counted);
    let gradients = loss.backward();
    let parts = [&sampler.forward, &sampler.backward].map(|net| {
        let parts = net.gradients(&gradients).unwrap();
        parts.map(Option::unwrap).concat()
    });
    let [forward, backward] = parts;
    trainer::Gradient {
        loss: loss.into_scalar::<f32>(),
        forward,
        backward,
        log_z: sampler.log_z.grad(&gradients).unwrap().into_scalar::<f32>(),
    }
}

/// Loss and gradient by the fused step.
fn by_the_fused_step(golden: &Golden, counted: BackwardLoop, level: Level) -> trainer::Gradient {
    let forward: Policy<f32> = golden.forward.policy();
    let recipe = Recipe {
        modes: golden.target().modes().to_vec(),
        start: golden.env.start,
        steps: golden.env.steps,
        hidden: forward.hidden(),
        backward_loop: counted,
        ..Recipe::of(Experiment::named("easy_correct").unwrap())
    };
    let backward = golden.backward.policy();
    Trainer::from_policies(&recipe, &forward, &backward, golden.log_z as f32, 0)
        .at(level)
        .gradient(&trajectories(golden))
}

fn check_golden(golden: &Golden, got: &trainer::Gradient) {
    let expected = &golden.trajectories.grad_of_correct_tb_loss;
    for (side, gradient) in [("forward", &got.forward), ("backward", &got.backward)] {
        let hidden = golden.forward.policy::<f32>().hidden();
        let parts = Policy::new(hidden, gradient.clone()).unwrap();
        for (part, got) in Policy::<f32>::LAYOUT.iter().zip(parts.parts()) {
            let name = format!("{side}.{part}");
            check_tensor(&format!("{}: {name}", golden.name), got, &expected[&name]);
        }
    }
    let expected = golden.trajectories.grad_log_z.unwrap();
    assert!(
        (f64::from(got.log_z) - expected).abs() <= RELATIVE * expected.abs(),
        "{}: log Z {}, expected {expected}",
        golden.name,
        got.log_z
    );
}

#[test]
fn burns_gradients_are_the_golden_ones() {
    for golden in golden::all() {
        check_golden(&golden, &by_burn(&golden, BackwardLoop::Correct));
    }
}

#[test]
fn the_fused_steps_gradients_are_the_golden_ones() {
    for golden in golden::all() {
        for level in Level::all() {
            let gradient = by_the_fused_step(&golden, BackwardLoop::Correct, level);
            check_golden(&golden, &gradient);
        }
    }
}

#[test]
fn the_fused_step_and_burn_agree() {
    let close = |got: &[f32], expected: &[f32], what: &str| {
        let pairs = got.iter().zip(expected);
        let error = l2(pairs.map(|(&g, &e)| f64::from(g) - f64::from(e)));
        let size = l2(expected.iter().map(|&e| f64::from(e)));
        assert!(error <= 1e-5 * size, "{what}: {:.1e}", error / size);
    };
    for golden in golden::all() {
        for (name, counted) in golden::LOOPS {
            let burn = by_burn(&golden, counted);
            for level in Level::all() {
                let fused = by_the_fused_step(&golden, counted, level);
                let what = format!("{}, {name}, {}", golden.name, level.name());
                close(&[fused.loss], &[burn.loss], &format!("{what}, loss"));
                // The mean of the residuals, which can cancel: against their root mean square.
                let error = (fused.log_z - burn.log_z).abs();
                assert!(
                    error <= 1e-5 * 2.0 * burn.loss.sqrt(),
                    "{what}, log Z: {error}"
                );
                close(&fused.forward, &burn.forward, &format!("{what}, forward"));
                close(
                    &fused.backward,
                    &burn.backward,
                    &format!("{what}, backward"),
                );
            }
        }
    }
}

#[test]
fn burns_losses_are_the_golden_ones() {
    for golden in golden::all() {
        for (name, counted) in golden::LOOPS {
            let loss = sampler(&golden).loss(&trajectories(&golden), &golden.target(), counted);
            let got = f64::from(loss.into_scalar::<f32>());
            let expected = golden.trajectories.tb_loss[name];
            assert!(
                (got - expected).abs() <= 1e-5 * expected,
                "{} {name}: {got}, expected {expected}",
                golden.name
            );
        }
    }
}
