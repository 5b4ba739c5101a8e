//! Training one model at every temperature (see [`gflownet_tour_core::tempered`]).
//!
//! The groups of a batch go through the fused step one after the other, each with the networks as
//! they are at its β. What log β multiplies is added to a first bias, so its gradient is log β
//! times that bias's; the derivative by log Z goes on into the network that gives it. What is
//! left is little, and is written plainly.

use super::{
    ADAM_BETA_1, ADAM_EPSILON, Adam, Batch, Progress, Replay, Side, Source, Trainer, noise_seed,
    stream,
};
use crate::simd::{Aligned, Level};
use gflownet_tour_core::archive::BackwardRollouts;
use gflownet_tour_core::noise::{Noise, ThreefryRng};
use gflownet_tour_core::rollout::{Rollout, Trajectories};
use gflownet_tour_core::tempered::{Conditional, LogZ, TemperedModel, TemperedRecipe};
use gflownet_tour_core::weights::manifest::Recipe;

/// A training run over all temperatures in progress.
#[derive(Clone, Debug)]
pub struct TemperedTrainer {
    recipe: TemperedRecipe,
    /// What draws a group and computes its gradients. Its own log Z, exponent and count of
    /// iterations are set for each group.
    trainer: Trainer,
    forward: Conditioning,
    backward: Conditioning,
    log_z: LogZ<f32>,
    log_z_gradient: Vec<f32>,
    log_z_moments: [Vec<f32>; 2],
    betas: Noise,
    iteration: usize,
}

/// What a side of the trainer has besides: slopes of its first biases, and sums over the groups.
#[derive(Clone, Debug)]
struct Conditioning {
    /// Where the first biases lie in the network's buffer.
    places: Vec<usize>,
    /// The biases at β = 1.
    biases: Vec<f32>,
    slopes: Vec<f32>,
    slope_gradient: Vec<f32>,
    slope_moments: [Vec<f32>; 2],
    /// The sum of the groups' gradients.
    gradient: Aligned,
}

impl Conditioning {
    fn new(policy: &Conditional<f32>, side: &Side) -> Self {
        let layout = side.network.layout;
        let slopes = policy.slopes().to_vec();
        let weights = slopes.len() * layout.inputs.width();
        let places: Vec<usize> = layout.places().skip(weights).take(slopes.len()).collect();
        let zeros = vec![0.0; slopes.len()];
        Conditioning {
            biases: places
                .iter()
                .map(|&place| side.network.parameters.floats()[place])
                .collect(),
            places,
            slope_gradient: zeros.clone(),
            slope_moments: [zeros.clone(), zeros],
            slopes,
            gradient: Aligned::zeros(layout.len()),
        }
    }

    /// Makes the network the one at this log β; at 0 it is the one that Adam moves.
    fn set(&self, side: &mut Side, log_beta: f32) {
        let parameters = side.network.parameters.floats_mut();
        let biases = self.biases.iter().zip(&self.slopes);
        for (&place, (bias, slope)) in self.places.iter().zip(biases) {
            parameters[place] = bias + slope * log_beta;
        }
    }

    fn clear(&mut self) {
        self.gradient.floats_mut().fill(0.0);
        self.slope_gradient.fill(0.0);
    }

    /// Adds a group's gradient, which is `share` of the batch.
    fn add(&mut self, side: &Side, log_beta: f32, share: f32) {
        let group = side.gradient.floats();
        for (sum, &g) in self.gradient.floats_mut().iter_mut().zip(group) {
            *sum += share * g;
        }
        for (sum, &place) in self.slope_gradient.iter_mut().zip(&self.places) {
            *sum += share * log_beta * group[place];
        }
    }

    /// Hands the sums to the side, ready for Adam.
    fn hand_over(&self, side: &mut Side) {
        self.set(side, 0.0);
        let to = side.gradient.floats_mut();
        to.copy_from_slice(self.gradient.floats());
    }

    /// Learns where Adam has moved the biases, and moves the slopes.
    fn update(&mut self, side: &Side, adam: &PlainAdam) {
        for (bias, &place) in self.biases.iter_mut().zip(&self.places) {
            *bias = side.network.parameters.floats()[place];
        }
        adam.step(
            &mut self.slopes,
            &self.slope_gradient,
            &mut self.slope_moments,
        );
    }

    #[expect(clippy::unreachable, reason = "as many slopes as biases")]
    fn to_policy(&self, side: &Side) -> Conditional<f32> {
        match Conditional::new(side.network.to_policy(), self.slopes.clone()) {
            Some(policy) => policy,
            None => unreachable!("a slope for each bias"),
        }
    }
}

/// One step of Adam, one number after the other.
struct PlainAdam {
    rate: f64,
    beta_2: f64,
    /// From 1.
    iteration: i32,
}

impl PlainAdam {
    fn step(&self, values: &mut [f32], gradient: &[f32], [first, second]: &mut [Vec<f32>; 2]) {
        let [correct_1, correct_2] =
            [ADAM_BETA_1, self.beta_2].map(|beta| 1.0 - beta.powi(self.iteration));
        let rate = (self.rate / correct_1) as f32;
        let blend = |kept: f32, beta: f64, new: f32| beta as f32 * kept + (1.0 - beta) as f32 * new;
        let moments = first.iter_mut().zip(second);
        for ((value, &g), (m, s)) in values.iter_mut().zip(gradient).zip(moments) {
            *m = blend(*m, ADAM_BETA_1, g);
            *s = blend(*s, self.beta_2, g * g);
            *value -= rate * *m / ((*s / correct_2 as f32).sqrt() + ADAM_EPSILON as f32);
        }
    }
}

/// The gradient of a batch's loss.
#[derive(Clone, Debug, PartialEq)]
pub struct TemperedGradient {
    /// The loss, in nats².
    pub loss: f32,
    /// With respect to the policies' parameters at β = 1, in storage order, forward and backward.
    pub parameters: [Vec<f32>; 2],
    /// With respect to the slopes, forward and backward.
    pub slopes: [Vec<f32>; 2],
    /// With respect to the parameters of log Z.
    pub log_z: Vec<f32>,
}

impl TemperedTrainer {
    /// A run of `recipe` from `seed`, at its beginning.
    pub fn new(recipe: &TemperedRecipe, seed: u64) -> Self {
        let base = &recipe.base;
        let policy = |stream| {
            let mut rng = ThreefryRng::new(seed, stream);
            Conditional::init_with(base.options.inputs, base.hidden, &mut rng)
        };
        let model = TemperedModel {
            forward: policy(stream::FORWARD),
            backward: policy(stream::BACKWARD),
            log_z: LogZ::init(&mut ThreefryRng::new(seed, stream::LOG_Z)),
        };
        let mut run = TemperedTrainer::from_model(recipe, &model, seed);
        let backward_noise = Noise::new(noise_seed(seed, stream::BACKWARD_NOISE));
        run.trainer.replay = Replay::new(&run.trainer.recipe, backward_noise);
        run
    }

    /// A run of `recipe` from this model, with fresh moments and every trajectory drawn forwards.
    /// Its policies are as wide as each other and read the same inputs.
    pub fn from_model(recipe: &TemperedRecipe, model: &TemperedModel<f32>, seed: u64) -> Self {
        let groups = recipe.groups.max(1);
        let base = &recipe.base;
        // To the inner trainer, a group is a batch.
        let mut group = Recipe {
            batch: (base.batch / groups).max(1),
            ..base.clone()
        };
        if let BackwardRollouts::Archive {
            rows,
            from_iteration,
            ..
        } = &mut group.options.backward_rollouts
        {
            *rows /= groups;
            *from_iteration *= groups;
        }
        let (forward, backward) = (model.forward.base(), model.backward.base());
        let noise = noise_seed(seed, stream::NOISE);
        let trainer = Trainer::from_policies(&group, forward, backward, 0.0, noise);
        let zeros = vec![0.0; LogZ::<f32>::LEN];
        TemperedTrainer {
            recipe: recipe.clone(),
            forward: Conditioning::new(&model.forward, &trainer.forward),
            backward: Conditioning::new(&model.backward, &trainer.backward),
            trainer,
            log_z: model.log_z.clone(),
            log_z_gradient: zeros.clone(),
            log_z_moments: [zeros.clone(), zeros],
            betas: Noise::new(noise_seed(seed, stream::BETAS)),
            iteration: 0,
        }
    }

    /// The same run with these vectors instead of the machine's widest.
    #[must_use]
    pub fn at(self, level: Level) -> Self {
        TemperedTrainer {
            trainer: self.trainer.at(level),
            ..self
        }
    }

    /// log β of a group of this iteration: uniform in the group's part of the range.
    fn log_beta(&self, group: usize) -> f64 {
        let groups = self.recipe.groups.max(1);
        let (lo, hi) = self.recipe.betas;
        let uniform = self.betas.uniform((self.iteration * groups + group) as u32);
        let share = (group as f64 + uniform) / groups as f64;
        lo.ln() + share * (hi / lo).ln()
    }

    /// Draws a batch and moves every parameter by one step of Adam.
    pub fn step(&mut self) -> Progress {
        let groups = self.recipe.groups.max(1);
        let rows = self.trainer.recipe.batch;
        self.clear();
        let mut loss = 0.0;
        for group in 0..groups {
            let log_beta = self.log_beta(group);
            let index = self.iteration * groups + group;
            self.condition(log_beta as f32);
            self.trainer.iteration = index;
            let base = &self.recipe.base;
            let rollout = Rollout {
                start: base.start,
                steps: base.steps,
                sigma_scale: 1.0,
                extra_std: base.exploration.extra_std(self.iteration, base.iterations),
                seed: self.trainer.noise,
                first: (index * rows) as u32,
            };
            let backward_rows = self.trainer.draw_back();
            let source = Source::Draw {
                rollout: &rollout,
                forward_rows: rows - backward_rows,
            };
            loss += self.group(source, rows, log_beta as f32, 1.0 / groups as f32);
        }
        self.iteration += 1;
        self.update();
        Progress {
            iteration: self.iteration,
            loss,
            log_z: self.log_z.at(0.0),
            is_finite: loss.is_finite() && self.log_z.at(0.0).is_finite(),
        }
    }

    /// Loss and gradient of given groups, each with its log β; no parameter is changed.
    pub fn gradient(&mut self, groups: &[(f32, Trajectories<f32>)]) -> TemperedGradient {
        self.clear();
        let count: usize = groups.iter().map(|(_, group)| group.count()).sum();
        let mut loss = 0.0;
        for (log_beta, group) in groups {
            self.condition(*log_beta);
            let share = group.count() as f32 / count as f32;
            loss += self.group(Source::Given(group), group.count(), *log_beta, share);
        }
        let sides = [
            (&self.forward, &mut self.trainer.forward),
            (&self.backward, &mut self.trainer.backward),
        ];
        TemperedGradient {
            loss,
            parameters: sides.map(|(conditioning, side)| {
                conditioning.hand_over(side);
                side.gradient()
            }),
            slopes: [&self.forward, &self.backward].map(|side| side.slope_gradient.clone()),
            log_z: self.log_z_gradient.clone(),
        }
    }

    fn clear(&mut self) {
        self.forward.clear();
        self.backward.clear();
        self.log_z_gradient.fill(0.0);
    }

    /// Makes the inner trainer the one at this log β.
    fn condition(&mut self, log_beta: f32) {
        self.forward.set(&mut self.trainer.forward, log_beta);
        self.backward.set(&mut self.trainer.backward, log_beta);
        self.trainer.exponent = log_beta.exp();
        self.trainer.log_z = self.log_z.at(log_beta);
    }

    /// Adds the gradient of one group, which is `share` of the batch. Returns its part of the loss.
    fn group(&mut self, source: Source<'_>, count: usize, log_beta: f32, share: f32) -> f32 {
        let level = self.trainer.level;
        let outcome = level.dispatch(Batch {
            trainer: &mut self.trainer,
            source,
            count,
        });
        self.forward.add(&self.trainer.forward, log_beta, share);
        self.backward.add(&self.trainer.backward, log_beta, share);
        let by_log_z = share * self.trainer.log_z_gradient;
        self.log_z
            .add_gradient(log_beta, by_log_z, &mut self.log_z_gradient);
        share * outcome.loss
    }

    /// One step of Adam on everything.
    fn update(&mut self) {
        let base = &self.recipe.base;
        let rates = &base.options.learning_rates;
        let factor = rates.factor(self.iteration - 1, base.iterations);
        let adam = |rate: f64| PlainAdam {
            rate: rate * factor,
            beta_2: base.adam_beta_2,
            iteration: self.iteration as i32,
        };
        let trainer = &mut self.trainer;
        self.forward.hand_over(&mut trainer.forward);
        self.backward.hand_over(&mut trainer.backward);
        trainer.iteration = self.iteration;
        let level = trainer.level;
        level.dispatch(Adam(trainer));
        let slopes = adam(base.learning_rate);
        self.forward.update(&trainer.forward, &slopes);
        self.backward.update(&trainer.backward, &slopes);
        adam(base.log_z_learning_rate).step(
            self.log_z.parameters_mut(),
            &self.log_z_gradient,
            &mut self.log_z_moments,
        );
    }

    /// Finished iterations.
    pub fn iteration(&self) -> usize {
        self.iteration
    }

    /// The model as it is now.
    pub fn model(&mut self) -> TemperedModel<f32> {
        self.condition(0.0);
        TemperedModel {
            forward: self.forward.to_policy(&self.trainer.forward),
            backward: self.backward.to_policy(&self.trainer.backward),
            log_z: self.log_z.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::balance;
    use gflownet_tour_core::mixture::Mixture;
    use gflownet_tour_core::options::Options;
    use gflownet_tour_core::policy::{Inputs, Policy};

    fn recipe(hidden: usize, steps: usize, options: Options) -> TemperedRecipe {
        let mut recipe = TemperedRecipe::bundled();
        recipe.base.hidden = hidden;
        recipe.base.steps = steps;
        recipe.base.start = 0.25;
        recipe.base.options = options;
        recipe
    }

    /// The bundled recipe's options, for other horizons.
    fn options(steps: usize) -> Options {
        Options {
            inputs: Inputs::StepFeatures { steps },
            ..TemperedRecipe::bundled().base.options
        }
    }

    /// The loss by the plain formula, in f64, as a function of all parameters.
    fn plain_loss(
        recipe: &TemperedRecipe,
        model: &TemperedModel<f64>,
        groups: &[(f32, Trajectories<f32>)],
    ) -> f64 {
        let target = Mixture::new(recipe.base.modes.clone());
        let mut residuals = Vec::new();
        for (log_beta, group) in groups {
            let log_beta = f64::from(*log_beta);
            let [forward, backward] = [&model.forward, &model.backward].map(|p| p.at(log_beta));
            residuals.extend(group.iter().map(|states| {
                let states: Vec<f64> = states.iter().map(|&x| f64::from(x)).collect();
                balance::residual(
                    model.log_z.at(log_beta),
                    balance::log_forward(&forward, &states),
                    log_beta.exp() * target.log_reward(states[states.len() - 1]),
                    balance::log_backward_from(
                        recipe.base.options.backward_mean,
                        &backward,
                        &states,
                        recipe.base.backward_loop,
                    ),
                )
            }));
        }
        balance::loss(&residuals)
    }

    /// All parameters of a model, part by part, and the model with one of them moved.
    fn parts(model: &TemperedModel<f64>) -> [Vec<f64>; 5] {
        [
            model.forward.base().parameters().to_vec(),
            model.backward.base().parameters().to_vec(),
            model.forward.slopes().to_vec(),
            model.backward.slopes().to_vec(),
            model.log_z.parameters().to_vec(),
        ]
    }

    fn nudged(
        model: &TemperedModel<f64>,
        part: usize,
        index: usize,
        by: f64,
    ) -> TemperedModel<f64> {
        let (inputs, hidden) = (model.forward.base().inputs(), model.forward.base().hidden());
        let mut parts = parts(model);
        parts[part][index] += by;
        let [forward, backward, forward_slopes, backward_slopes, log_z] = parts;
        let conditional = |parameters, slopes| {
            let base = Policy::with_inputs(inputs, hidden, parameters).unwrap();
            Conditional::new(base, slopes).unwrap()
        };
        TemperedModel {
            forward: conditional(forward, forward_slopes),
            backward: conditional(backward, backward_slopes),
            log_z: LogZ::new(log_z).unwrap(),
        }
    }

    /// A model without a zero: the slopes and log Z have something to say.
    fn model(inputs: Inputs, hidden: usize) -> TemperedModel<f64> {
        let rng = &mut ThreefryRng::new(1, 0);
        let mut model = TemperedModel::<f64> {
            forward: Conditional::init_with(inputs, hidden, rng),
            backward: Conditional::init_with(inputs, hidden, rng),
            log_z: LogZ::init(rng),
        };
        for (i, value) in model.log_z.parameters_mut().iter_mut().enumerate() {
            *value += 0.1 + 0.01 * i as f64;
        }
        // What an f32 holds, so that both sides have the same parameters.
        TemperedModel {
            forward: model.forward.cast::<f32>().cast(),
            backward: model.backward.cast::<f32>().cast(),
            log_z: model.log_z.cast::<f32>().cast(),
        }
    }

    /// Every parameter's derivative, against a central difference of the plain f64 loss.
    #[test]
    fn the_gradient_is_the_plain_losss() {
        for (hidden, steps, counts, options) in [
            (5, 3, [70, 70, 70], options(3)),
            (17, 2, [9, 4, 1], options(2)),
            (4, 4, [6, 3, 8], Options::CLASSIC),
        ] {
            let recipe = recipe(hidden, steps, options);
            let model = model(options.inputs, hidden);
            let single = TemperedModel {
                forward: model.forward.cast::<f32>(),
                backward: model.backward.cast(),
                log_z: model.log_z.cast(),
            };
            let groups: Vec<(f32, Trajectories<f32>)> = [-1.3, 0.2, 1.2]
                .into_iter()
                .zip(counts)
                .map(|(log_beta, count)| {
                    let rollout = Rollout {
                        start: 0.25,
                        steps,
                        sigma_scale: 1.0,
                        extra_std: 1.0,
                        seed: 3,
                        first: count as u32,
                    };
                    (log_beta, rollout.draw(&single.forward.at(log_beta), count))
                })
                .collect();
            let h = 1e-5;
            let slope = |part: usize, index: usize| {
                let loss = |by| plain_loss(&recipe, &nudged(&model, part, index, by), &groups);
                (loss(h) - loss(-h)) / (2.0 * h)
            };
            let expected: Vec<Vec<f64>> = parts(&model)
                .iter()
                .enumerate()
                .map(|(part, values)| (0..values.len()).map(|i| slope(part, i)).collect())
                .collect();
            let plain = plain_loss(&recipe, &model, &groups);
            for level in Level::all() {
                let mut trainer = TemperedTrainer::from_model(&recipe, &single, 0).at(level);
                let TemperedGradient {
                    loss,
                    parameters: [forward, backward],
                    slopes: [forward_slopes, backward_slopes],
                    log_z,
                } = trainer.gradient(&groups);
                let name = level.name();
                assert!((f64::from(loss) / plain - 1.0).abs() < 1e-5, "{name}");
                let got = [forward, backward, forward_slopes, backward_slopes, log_z];
                for (part, (got, expected)) in got.iter().zip(&expected).enumerate() {
                    let size: f64 = expected.iter().map(|e| e * e).sum();
                    let differences = got.iter().zip(expected).map(|(&g, e)| f64::from(g) - e);
                    let error: f64 = differences.map(|d| d * d).sum();
                    assert_eq!(got.len(), expected.len());
                    assert!(size > 0.0 && (error / size).sqrt() < 1e-5, "{name} {part}");
                }
                // Asking for it changed nothing.
                assert_eq!(trainer.model(), single);
            }
        }
    }

    /// With β = 1 alone and one group, a step is the ordinary trainer's.
    #[test]
    fn at_one_temperature_it_is_the_ordinary_trainer() {
        let mut recipe = recipe(16, 5, options(5));
        recipe.betas = (1.0, 1.0);
        recipe.groups = 1;
        let mut tempered = TemperedTrainer::new(&recipe, 3);
        let model = tempered.model();
        let noise = noise_seed(3, stream::NOISE);
        let (forward, backward) = (model.forward.base(), model.backward.base());
        let mut plain = Trainer::from_policies(&recipe.base, forward, backward, 0.0, noise);
        assert_eq!(tempered.step().loss, plain.step().loss);
        let model = tempered.model();
        assert_eq!(*model.forward.base(), plain.forward());
        assert_eq!(*model.backward.base(), plain.backward());
        // Nothing multiplies the slopes there.
        let before = TemperedTrainer::new(&recipe, 3).model();
        assert_eq!(model.forward.slopes(), before.forward.slopes());
    }

    #[test]
    fn every_group_has_a_beta_of_its_own_part_of_the_range() {
        let recipe = TemperedRecipe::bundled();
        let mut run = TemperedTrainer::new(&recipe, 3);
        let mut mean = 0.0;
        for iteration in 0..200 {
            run.iteration = iteration;
            for group in 0..8 {
                let log_beta = run.log_beta(group);
                let share = (log_beta + 4f64.ln()) / (2.0 * 4f64.ln()) * 8.0;
                assert_eq!(share.floor() as usize, group);
                mean += log_beta / 1_600.0;
            }
        }
        assert!(mean.abs() < 0.02, "{mean}");
    }

    #[test]
    fn everything_learns_and_the_same_seed_gives_the_same_model() {
        let recipe = recipe(16, 5, options(5));
        let run = || {
            let mut trainer = TemperedTrainer::new(&recipe, 3);
            let losses: Vec<f32> = (0..30).map(|_| trainer.step().loss).collect();
            (losses, trainer.model())
        };
        let (losses, model) = run();
        assert_eq!(run(), (losses, model.clone()));
        let before = TemperedTrainer::new(&recipe, 3).model();
        let cast = |model: &TemperedModel<f32>| TemperedModel {
            forward: model.forward.cast::<f64>(),
            backward: model.backward.cast(),
            log_z: model.log_z.cast(),
        };
        for (before, after) in parts(&cast(&before)).iter().zip(parts(&cast(&model))) {
            // The backward policy's first layer of the forced step is never asked.
            let moved = before.iter().zip(&after).filter(|(b, a)| b != a).count();
            assert!(5 * moved >= 4 * before.len(), "{moved} of {}", before.len());
        }
    }

    #[test]
    fn all_vectors_train_alike() {
        let recipe = recipe(64, 5, options(5));
        let run = |level| {
            let mut trainer = TemperedTrainer::new(&recipe, 3).at(level);
            (0..20).map(|_| trainer.step().loss).last().unwrap()
        };
        let losses: Vec<f32> = Level::all().into_iter().map(run).collect();
        for loss in &losses {
            assert!((loss / losses[0] - 1.0).abs() < 1e-3, "{losses:?}");
        }
    }
}
