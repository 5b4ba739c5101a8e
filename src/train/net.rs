//! The policies and the trajectory-balance loss as burn modules: what autodiff differentiates,
//! and the oracle of [`crate::trainer`].

use crate::balance::BackwardLoop;
use crate::mixture::Mixture;
use crate::noise::Noise;
use crate::policy::{MAX_STD, MIN_STD, Policy};
use crate::rollout::{Rollout, Trajectories};
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use std::f64::consts::TAU;

/// A [`Policy`] as a burn module: Linear(2, H), ELU, Linear(H, H), ELU, Linear(H, 2).
#[derive(Module, Debug)]
pub struct PolicyNet {
    first: Linear,
    second: Linear,
    last: Linear,
}

impl PolicyNet {
    /// The module of a policy, on `device`.
    pub fn new(policy: &Policy<f32>, device: &Device) -> Self {
        let [w0, b0, w1, b1, w2, b2] = policy.parts();
        let layer = |weight: &[f32], bias: &[f32]| {
            let rows = bias.len();
            let weight = TensorData::new(weight.to_vec(), [rows, weight.len() / rows]);
            Linear {
                // Ours is [out, in], burn's is [in, out].
                weight: Param::from_tensor(Tensor::from_data(weight, device).transpose().detach()),
                bias: Some(Param::from_tensor(Tensor::from_floats(bias, device))),
            }
        };
        PolicyNet {
            first: layer(w0, b0),
            second: layer(w1, b1),
            last: layer(w2, b2),
        }
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn to_policy(&self) -> Result<Policy<f32>, ReadError> {
        let parts = self.tensors().into_iter().map(values);
        let parameters = parts.collect::<Result<Vec<_>, _>>()?.concat();
        let hidden = self.first.weight.dims()[1];
        Policy::new(hidden, parameters).ok_or_else(|| ReadError("a layer lost its shape".into()))
    }

    /// The six parts in the layout of [`Policy::LAYOUT`], flat.
    fn tensors(&self) -> Vec<Tensor<1>> {
        let layers = [&self.first, &self.second, &self.last].into_iter();
        layers
            .flat_map(|layer| {
                let weight = layer.weight.val().transpose().flatten(0, 1);
                std::iter::once(weight).chain(layer.bias.as_ref().map(Param::val))
            })
            .collect()
    }

    /// The gradients of the six parts in the layout of [`Policy::LAYOUT`], after a backward pass
    /// from `loss`. A part that the loss does not reach is `None`.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn gradients(
        &self,
        gradients: &burn::tensor::Gradients,
    ) -> Result<[Option<Vec<f32>>; 6], ReadError> {
        let mut parts: [Option<Vec<f32>>; 6] = Default::default();
        let layers = [&self.first, &self.second, &self.last];
        for (layer, parts) in layers.into_iter().zip(parts.chunks_exact_mut(2)) {
            if let Some(gradient) = layer.weight.grad(gradients) {
                parts[0] = Some(values(gradient.transpose().flatten(0, 1))?);
            }
            if let Some(gradient) = layer.bias.as_ref().and_then(|bias| bias.grad(gradients)) {
                parts[1] = Some(values(gradient)?);
            }
        }
        Ok(parts)
    }

    /// The laws of the actions in `states`, rows (x, t): means and standard deviations.
    ///
    /// # Shapes
    /// - states: `[rows, 2]`
    /// - output: `[rows, 1]` twice
    pub fn laws(&self, states: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let first = elu(self.first.forward(states));
        let second = elu(self.second.forward(first));
        let out = self.last.forward(second);
        let std = sigmoid(out.clone().narrow(1, 1, 1)) * (MAX_STD - MIN_STD) + MIN_STD;
        (out.narrow(1, 0, 1), std)
    }

    /// Log-densities of `actions` in `states`, in nats.
    ///
    /// # Shapes
    /// - states: `[rows, 2]`
    /// - actions, output: `[rows, 1]`
    pub fn log_density(&self, states: Tensor<2>, actions: Tensor<2>) -> Tensor<2> {
        let (mean, std) = self.laws(states);
        let z = (actions - mean) / std.clone();
        z.square() * -0.5 - std.log() - 0.5 * TAU.ln()
    }
}

/// ELU. Burn's own raises e to the input before it masks, so that an input above 88 has a NaN for
/// its gradient (infinity times zero); exploration can lead a state that far.
fn elu(x: Tensor<2>) -> Tensor<2> {
    relu(x.clone()) + (x.clamp_max(0.0).exp() - 1.0)
}

/// A device that could not be read: a lost GPU, for example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device could not be read: {0}")]
pub struct ReadError(String);

pub(super) fn values(tensor: Tensor<1>) -> Result<Vec<f32>, ReadError> {
    let data = tensor
        .try_into_data()
        .map_err(|e| ReadError(e.to_string()))?;
    data.try_into_vec().map_err(|e| ReadError(e.to_string()))
}

/// Everything that trains.
#[derive(Module, Debug)]
pub struct Sampler {
    /// The forward policy.
    pub forward: PolicyNet,
    /// The backward policy.
    pub backward: PolicyNet,
    /// log Z, in nats: `[1]`.
    pub log_z: Param<Tensor<1>>,
}

impl Sampler {
    /// Policies and log Z on `device`, which differentiates when it is an autodiff device.
    pub fn new(forward: &Policy<f32>, backward: &Policy<f32>, log_z: f32, device: &Device) -> Self {
        Sampler {
            forward: PolicyNet::new(forward, device),
            backward: PolicyNet::new(backward, device),
            log_z: Param::from_tensor(Tensor::from_floats([log_z], device)),
        }
    }

    /// Draws `count` trajectories from the forward policy: [`Rollout::draw`] for a whole batch,
    /// with the same noise. The states carry no gradient.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn draw(&self, rollout: &Rollout, count: usize) -> Result<Trajectories<f32>, ReadError> {
        let net = self.forward.valid();
        let device = self.log_z.device().without_autodiff();
        let noise = Noise::new(rollout.seed);
        let mut x = Tensor::<2>::full([count, 1], rollout.start, &device);
        let mut columns = vec![x.clone()];
        for step in 0..rollout.steps {
            let trajectories = (0..count as u32).map(|i| rollout.first.wrapping_add(i));
            let z: Vec<f32> = trajectories.map(|i| noise.normal(i, step as u32)).collect();
            let z = Tensor::<2>::from_data(TensorData::new(z, [count, 1]), &device);
            let t = Tensor::full([count, 1], step as f64, &device);
            let (mean, std) = net.laws(Tensor::cat(vec![x.clone(), t], 1));
            x = x + mean + (std * rollout.sigma_scale + rollout.extra_std) * z;
            columns.push(x.clone());
        }
        Ok(Trajectories {
            steps: rollout.steps,
            states: values(Tensor::cat(columns, 1).flatten(0, 1))?,
        })
    }

    /// The trajectory-balance loss of a batch, in nats²: the mean of the squared residuals of
    /// [`crate::balance::residual`]. All states of the batch go through each network at once.
    ///
    /// # Shapes
    /// - output: `[1]`
    pub fn loss(
        &self,
        trajectories: &Trajectories<f32>,
        target: &Mixture,
        counted: BackwardLoop,
    ) -> Tensor<1> {
        let device = self.log_z.device();
        let steps = trajectories.steps;
        let count = trajectories.count();
        let column = |values: Vec<f32>| {
            let rows = values.len();
            Tensor::<2>::from_data(TensorData::new(values, [rows, 1]), &device)
        };
        // Σ over the given t of the log-density of x_t - x_{t-1} in the state that `at` picks.
        let sum = |net: &PolicyNet, steps: Vec<usize>, at: fn(usize) -> usize| {
            if steps.is_empty() {
                return Tensor::zeros([count, 1], &device);
            }
            let mut states = Vec::with_capacity(2 * count * steps.len());
            let mut actions = Vec::with_capacity(count * steps.len());
            for x in trajectories.iter() {
                for &t in &steps {
                    states.extend([x[at(t)], at(t) as f32]);
                    actions.push(x[t] - x[t - 1]);
                }
            }
            let rows = actions.len();
            let states = Tensor::from_data(TensorData::new(states, [rows, 2]), &device);
            let log_density = net.log_density(states, column(actions));
            log_density.reshape([count, steps.len()]).sum_dim(1)
        };
        let log_forward = sum(&self.forward, (1..=steps).collect(), |t| t - 1);
        let log_backward = sum(
            &self.backward,
            counted.counted_steps(steps).collect(),
            |t| t,
        );
        let log_reward = trajectories
            .terminals()
            .map(|x| target.log_reward(f64::from(x)) as f32);
        let log_reward = column(log_reward.collect());
        let log_z = self.log_z.val().unsqueeze::<2>();
        (log_z + log_forward - log_reward - log_backward)
            .square()
            .mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance;
    use crate::experiment::EXPERIMENTS;
    use crate::noise::ThreefryRng;

    const ROLLOUT: Rollout = Rollout {
        start: 0.0,
        steps: 5,
        sigma_scale: 1.0,
        extra_std: 0.5,
        seed: 5,
        first: 256,
    };

    fn policies() -> (Policy<f32>, Policy<f32>) {
        let policy = |stream| Policy::init(64, &mut ThreefryRng::new(8, stream));
        (policy(0), policy(1))
    }

    fn sampler() -> Sampler {
        let (forward, backward) = policies();
        Sampler::new(&forward, &backward, 0.25, &Device::flex().autodiff())
    }

    #[test]
    fn a_policy_survives_being_a_module() {
        let (forward, _) = policies();
        assert_eq!(sampler().forward.to_policy().unwrap(), forward);
    }

    #[test]
    fn the_batch_draws_the_trajectories_of_the_plain_rollout() {
        let batch = sampler().draw(&ROLLOUT, 100).unwrap();
        let plain = ROLLOUT.draw(&policies().0, 100);
        assert_eq!(batch.states.len(), plain.states.len());
        for (a, b) in batch.states.iter().zip(&plain.states) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn the_loss_is_the_plain_formulas() {
        let (forward, backward) = policies();
        let trajectories = ROLLOUT.draw(&forward, 50);
        for experiment in &EXPERIMENTS {
            for counted in BackwardLoop::ALL {
                let target = experiment.target();
                let residuals: Vec<f64> = trajectories
                    .iter()
                    .map(|states| {
                        let states: Vec<f64> = states.iter().map(|&x| f64::from(x)).collect();
                        balance::residual(
                            0.25,
                            balance::log_forward(&forward.cast(), &states),
                            target.log_reward(states[5]),
                            balance::log_backward(&backward.cast(), &states, counted),
                        )
                    })
                    .collect();
                let expected = balance::loss(&residuals);
                let loss = sampler().loss(&trajectories, &target, counted);
                let got = f64::from(values(loss).unwrap()[0]);
                assert!((got - expected).abs() < 1e-5 * expected, "{got} {expected}");
            }
        }
    }

    #[test]
    fn a_horizon_of_one_has_no_backward_terms() {
        let trajectories = Trajectories {
            steps: 1,
            states: vec![0.0, 0.7, 0.0, -1.2],
        };
        let sampler = sampler();
        let loss = sampler.loss(
            &trajectories,
            &EXPERIMENTS[0].target(),
            BackwardLoop::Correct,
        );
        let gradients = loss.backward();
        let parts = sampler.backward.gradients(&gradients).unwrap();
        assert!(parts.iter().all(Option::is_none));
    }

    /// Burn's `elu` gives a NaN here.
    #[test]
    fn a_state_far_out_has_finite_gradients() {
        let trajectories = Trajectories {
            steps: 2,
            states: vec![0.0, 4000.0, 3999.0],
        };
        let sampler = sampler();
        let loss = sampler.loss(
            &trajectories,
            &EXPERIMENTS[0].target(),
            BackwardLoop::Correct,
        );
        let gradients = loss.backward();
        for part in sampler.forward.gradients(&gradients).unwrap() {
            assert!(part.unwrap().iter().all(|g| g.is_finite()));
        }
    }
}
