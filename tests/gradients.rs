//! Gradients of the trajectory-balance loss by burn's autodiff against the golden files.

mod support;

use burn::tensor::Device;
use gflownet_tour::balance::BackwardLoop;
use gflownet_tour::policy::Policy;
use gflownet_tour::rollout::Trajectories;
use gflownet_tour::train::net::Sampler;
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

#[test]
fn burns_gradients_are_the_golden_ones() {
    for golden in golden::all() {
        let sampler = sampler(&golden);
        let loss = sampler.loss(
            &trajectories(&golden),
            &golden.target(),
            BackwardLoop::Correct,
        );
        let gradients = loss.backward();
        let expected = &golden.trajectories.grad_of_correct_tb_loss;
        for (side, net) in [
            ("forward", &sampler.forward),
            ("backward", &sampler.backward),
        ] {
            let parts = net.gradients(&gradients).unwrap();
            for (part, got) in Policy::<f32>::LAYOUT.iter().zip(parts) {
                let name = format!("{side}.{part}");
                check_tensor(
                    &format!("{}: {name}", golden.name),
                    &got.unwrap(),
                    &expected[&name],
                );
            }
        }
        let log_z = sampler.log_z.grad(&gradients).unwrap().into_scalar::<f32>();
        let expected = golden.trajectories.grad_log_z.unwrap();
        assert!(
            (f64::from(log_z) - expected).abs() <= RELATIVE * expected.abs(),
            "{}: log Z {log_z}, expected {expected}",
            golden.name
        );
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
