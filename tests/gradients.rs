//! Gradients of the losses, by burn's autodiff and by the fused step, against the golden files and
//! each other.

mod support;

use burn::tensor::Device;
use gflownet_tour::balance::{BackwardLoop, BackwardMean};
use gflownet_tour::experiment::Experiment;
use gflownet_tour::noise::ThreefryRng;
use gflownet_tour::objective::Objective;
use gflownet_tour::options::Options;
use gflownet_tour::policy::Policy;
use gflownet_tour::rollout::Trajectories;
use gflownet_tour::simd::Level;
use gflownet_tour::train::net::{Loss, Sampler};
use gflownet_tour::trainer::{self, Trainer};
use gflownet_tour::weights::manifest::Recipe;
use support::golden::{self, Golden, Gradient};

const RELATIVE: f64 = 1e-4;
const TB: Objective = Objective::TrajectoryBalance;

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

/// The flow network of both sides: no golden file has one.
fn flow() -> Policy<f32> {
    Policy::init(64, &mut ThreefryRng::new(6, 0))
}

/// Loss and gradient by burn's autodiff.
fn by_burn(golden: &Golden, objective: Objective, counted: BackwardLoop) -> trainer::Gradient {
    let device = Device::flex().autodiff();
    let learns_flow = objective.learns_flow();
    let sampler = match learns_flow {
        true => sampler(golden).with_flow(&flow(), &device),
        false => sampler(golden),
    };
    let loss = Loss {
        objective,
        target: golden.target(),
        counted,
        mean: BackwardMean::Net,
    };
    let evaluated = sampler.evaluate(&trajectories(golden), &loss);
    let gradients = evaluated.differentiated.backward();
    let parts = [
        Some(&sampler.forward),
        Some(&sampler.backward),
        sampler.flow.as_ref(),
    ]
    .map(|net| {
        let parts = net.map(|net| net.gradients(&gradients).unwrap());
        parts.map_or_else(Vec::new, |parts| parts.map(Option::unwrap).concat())
    });
    let [forward, backward, flow] = parts;
    let by_log_z = sampler.log_z.grad(&gradients);
    assert_eq!(by_log_z.is_some(), objective.learns_log_z());
    trainer::Gradient {
        loss: evaluated.value.into_scalar::<f32>(),
        forward,
        backward,
        flow,
        log_z: by_log_z.map_or(0.0, |gradient| gradient.into_scalar::<f32>()),
    }
}

/// Loss and gradient by the fused step.
fn by_the_fused_step(
    golden: &Golden,
    objective: Objective,
    counted: BackwardLoop,
    level: Level,
) -> trainer::Gradient {
    let forward: Policy<f32> = golden.forward.policy();
    let recipe = Recipe {
        modes: golden.target().modes().to_vec(),
        start: golden.env.start,
        steps: golden.env.steps,
        hidden: forward.hidden(),
        backward_loop: counted,
        options: Options {
            objective,
            ..Options::CLASSIC
        },
        ..Recipe::of(Experiment::named("easy_correct").unwrap())
    };
    let backward = golden.backward.policy();
    Trainer::from_policies(&recipe, &forward, &backward, golden.log_z as f32, 0)
        .with_flow(&flow())
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
        check_golden(&golden, &by_burn(&golden, TB, BackwardLoop::Correct));
    }
}

#[test]
fn the_fused_steps_gradients_are_the_golden_ones() {
    for golden in golden::all() {
        for level in Level::all() {
            let gradient = by_the_fused_step(&golden, TB, BackwardLoop::Correct, level);
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
        let loops = golden::LOOPS.map(|(_, counted)| (TB, counted));
        let objectives = Objective::ALL.map(|objective| (objective, BackwardLoop::Correct));
        for (objective, counted) in loops.into_iter().chain(objectives) {
            let burn = by_burn(&golden, objective, counted);
            for level in Level::all() {
                let fused = by_the_fused_step(&golden, objective, counted, level);
                let what = format!(
                    "{}, {objective:?}, {counted:?}, {}",
                    golden.name,
                    level.name()
                );
                close(&[fused.loss], &[burn.loss], &format!("{what}, loss"));
                // The mean of the residuals, which can cancel: against their root mean square.
                let error = (fused.log_z - burn.log_z).abs();
                assert!(
                    error <= 1e-5 * 2.0 * burn.loss.abs().sqrt(),
                    "{what}, log Z: {error}"
                );
                close(&fused.forward, &burn.forward, &format!("{what}, forward"));
                close(
                    &fused.backward,
                    &burn.backward,
                    &format!("{what}, backward"),
                );
                assert_eq!(fused.flow.len(), burn.flow.len());
                close(&fused.flow, &burn.flow, &format!("{what}, flow"));
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
