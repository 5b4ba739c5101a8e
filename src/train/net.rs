//! The policies and the losses as burn modules: what autodiff differentiates, and the oracle of
//! [`crate::trainer`].

use crate::balance::{BackwardLoop, BackwardMean};
use crate::mixture::Mixture;
use crate::noise::Noise;
use crate::objective::Objective;
use crate::policy::{Policy, StdRange};
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
    min_std: f64,
    max_std: f64,
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
            min_std: policy.std_range().min_std,
            max_std: policy.std_range().max_std,
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
        match Policy::new(hidden, parameters) {
            Some(policy) => Ok(policy.with_std_range(StdRange {
                min_std: self.min_std,
                max_std: self.max_std,
            })),
            None => Err(ReadError("a layer lost its shape".into())),
        }
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
        let span = self.max_std - self.min_std;
        let std = sigmoid(out.clone().narrow(1, 1, 1)) * span + self.min_std;
        (out.narrow(1, 0, 1), std)
    }

    /// Log-densities of `actions` in `states`, in nats.
    ///
    /// # Shapes
    /// - states: `[rows, 2]`
    /// - actions, output: `[rows, 1]`
    pub fn log_density(&self, states: Tensor<2>, actions: Tensor<2>) -> Tensor<2> {
        let (mean, std) = self.laws(states);
        log_density(actions, mean, std)
    }
}

/// Log-densities of normal laws, in nats, elementwise.
fn log_density(actions: Tensor<2>, mean: Tensor<2>, std: Tensor<2>) -> Tensor<2> {
    let z = (actions - mean) / std.clone();
    z.square() * -0.5 - std.log() - 0.5 * TAU.ln()
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
    /// The network whose mean is log F, where flows are learned.
    pub flow: Option<PolicyNet>,
    /// log Z, in nats: `[1]`.
    pub log_z: Param<Tensor<1>>,
}

/// What a batch's loss is made of, beside its trajectories.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is minimised.
    pub objective: Objective,
    /// The target.
    pub target: Mixture,
    /// The backward terms that are counted.
    pub counted: BackwardLoop,
    /// Where the backward network's mean is measured from.
    pub mean: BackwardMean,
}

/// A batch's loss.
#[derive(Debug)]
pub struct Evaluated {
    /// The loss, in nats² or, for reverse KL, nats: `[1]`.
    pub value: Tensor<1>,
    /// What has the gradient that is learned from: the loss itself, or for reverse KL what has its
    /// estimated gradient: `[1]`.
    pub differentiated: Tensor<1>,
    /// The mean of r over the batch, in nats: `[1]`.
    pub mean_residual: Tensor<1>,
}

impl Sampler {
    /// Policies and log Z on `device`, which differentiates when it is an autodiff device.
    pub fn new(forward: &Policy<f32>, backward: &Policy<f32>, log_z: f32, device: &Device) -> Self {
        Sampler {
            forward: PolicyNet::new(forward, device),
            backward: PolicyNet::new(backward, device),
            flow: None,
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

    /// The same with a flow network.
    #[must_use]
    pub fn with_flow(self, flow: &Policy<f32>, device: &Device) -> Self {
        Sampler {
            flow: Some(PolicyNet::new(flow, device)),
            ..self
        }
    }

    /// The trajectory-balance loss of a batch, in nats²: the mean of the squared residuals of
    /// [`crate::balance::residual`].
    ///
    /// # Shapes
    /// - output: `[1]`
    pub fn loss(
        &self,
        trajectories: &Trajectories<f32>,
        target: &Mixture,
        counted: BackwardLoop,
    ) -> Tensor<1> {
        let loss = Loss {
            objective: Objective::TrajectoryBalance,
            target: target.clone(),
            counted,
            mean: BackwardMean::Net,
        };
        self.evaluate(trajectories, &loss).value
    }

    /// The loss of a batch by any objective: [`Objective::loss`]. All states of the batch go through
    /// each network at once. An objective that learns flows needs a flow network.
    pub fn evaluate(&self, trajectories: &Trajectories<f32>, loss: &Loss) -> Evaluated {
        let device = self.log_z.device();
        let steps = trajectories.steps;
        let count = trajectories.count();
        let matrix = |values: Vec<f32>, columns: usize| {
            let rows = values.len() / columns;
            Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device)
        };
        // The states at the given times of all trajectories, rows (x, t).
        let states = |times: &[usize]| {
            let rows = trajectories.iter();
            let rows = rows.flat_map(|x| times.iter().flat_map(|&t| [x[t], t as f32]));
            matrix(rows.collect(), 2)
        };
        // What of each step into the given times there is to explain, less what `offset` takes off.
        let actions = |times: &[usize], offset: BackwardMean| {
            let rows = trajectories.iter().flat_map(|x| {
                let action = |&t: &usize| x[t] - x[t - 1] - offset.offset(x[0], x[t], t);
                times.iter().map(action).collect::<Vec<f32>>()
            });
            matrix(rows.collect(), 1)
        };
        let all: Vec<usize> = (1..=steps).collect();
        let before: Vec<usize> = (0..steps).collect();
        let log_forward = self
            .forward
            .log_density(states(&before), actions(&all, BackwardMean::Net))
            .reshape([count, steps]);
        // A column for each step, zeros where none is counted.
        let zeros = |columns: usize| Tensor::<2>::zeros([count, columns], &device);
        let counted: Vec<usize> = loss.counted.counted_steps(steps).collect();
        let log_backward = if counted.is_empty() {
            zeros(steps)
        } else {
            let actions = actions(&counted, loss.mean);
            let log_density = match loss.mean {
                BackwardMean::FixedBridge { .. } => {
                    let stds = counted
                        .iter()
                        .map(|&t| loss.mean.fixed_std(t).unwrap_or(1.0) as f32);
                    let stds: Vec<f32> = stds.collect();
                    let stds = matrix(stds.repeat(count), 1);
                    log_density(actions, zeros(counted.len()).reshape([-1, 1]), stds)
                }
                _ => self.backward.log_density(states(&counted), actions),
            };
            let terms = log_density.reshape([count, counted.len()]);
            match steps - counted.len() {
                0 => terms,
                missing => Tensor::cat(vec![zeros(missing), terms], 1),
            }
        };
        let log_reward = trajectories
            .terminals()
            .map(|x| loss.target.log_reward(f64::from(x)) as f32);
        let log_reward = matrix(log_reward.collect(), 1);
        let log_z = self.log_z.val().unsqueeze::<2>();
        let sum = |terms: &Tensor<2>| terms.clone().sum_dim(1);
        let residual = sum(&log_forward) - log_reward.clone() - sum(&log_backward);
        let mean = |values: Tensor<2>| values.mean();
        let value = match loss.objective {
            Objective::LogVariance => {
                let middle = residual.clone().mean_dim(0);
                mean((residual.clone() - middle).square())
            }
            Objective::ReverseKl => mean(residual.clone()),
            Objective::DetailedBalance | Objective::SubTrajectoryBalance { .. } => {
                // A column for each of F_0, ..., F_N.
                let mut flows = vec![log_z.repeat_dim(0, count)];
                if steps > 1
                    && let Some(flow) = &self.flow
                {
                    let between: Vec<usize> = (1..steps).collect();
                    let (log_flow, _) = flow.laws(states(&between));
                    flows.push(log_flow.reshape([count, steps - 1]));
                }
                flows.push(log_reward);
                let flows = Tensor::cat(flows, 1);
                let ratios = log_forward.clone() - log_backward.clone();
                let lambda = match loss.objective {
                    Objective::SubTrajectoryBalance { lambda } => lambda,
                    _ => 1.0,
                };
                let longest = match loss.objective {
                    Objective::DetailedBalance => 1,
                    _ => steps,
                };
                let (mut squares, mut weights) = (zeros(1), 0.0);
                for m in 0..steps {
                    for n in m + 1..=steps.min(m + longest) {
                        let weight = lambda.powi((n - m) as i32);
                        let flow = |t: usize| flows.clone().narrow(1, t, 1);
                        let part = ratios.clone().narrow(1, m, n - m).sum_dim(1);
                        let imbalance = flow(m) + part - flow(n);
                        squares = squares + imbalance.square() * weight;
                        weights += weight;
                    }
                }
                mean(squares / weights)
            }
            _ => mean((log_z + residual.clone()).square()),
        };
        let differentiated = match loss.objective {
            Objective::ReverseKl => {
                let r = residual.clone().detach();
                let others = (count as f64 - 1.0).max(1.0);
                let weights = (r.clone() - r.mean_dim(0)) * (count as f64 / others);
                mean(sum(&log_forward) * weights - sum(&log_backward))
            }
            _ => value.clone(),
        };
        Evaluated {
            value,
            differentiated,
            mean_residual: mean(residual),
        }
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
