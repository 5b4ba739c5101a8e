//! Training in vector code: one iteration of trajectory balance as one fused step.
//!
//! A chunk of trajectories is drawn with its activations kept, both networks are run backwards
//! over it, and Adam follows when the whole batch is done. All buffers are made once: an iteration
//! allocates nothing. The first step, which all trajectories take from the same state, costs one
//! row forward and one backward: the gradient of its law is summed first.
//!
//! The oracle of all of this is burn's autodiff, in the crate `gflownet-tour`.

use crate::archive::{Archive, BackwardRollouts, Priority};
use crate::balance::BackwardMean;
use crate::exploration::Exploration;
use crate::mixture::Mixture;
use crate::network::{Activations, FEATURE_ROW, Network, ROW_TILE, Stds, tile};
use crate::noise::{Noise, ThreefryRng};
use crate::policy::{Inputs, Policy};
use crate::rollout::{Rollout, Trajectories};
use crate::sampler::Walk;
use crate::simd::{self, Aligned, Level, mul_add};
use crate::weights::manifest::Recipe;
use pulp::{Simd, WithSimd};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Streams of a run's seed: each use of randomness has its own.
pub mod stream {
    /// The forward policy's initial weights.
    pub const FORWARD: u32 = 0;
    /// The backward policy's initial weights.
    pub const BACKWARD: u32 = 1;
    /// The noise of the training trajectories.
    pub const NOISE: u32 = 2;
    /// The noise of the figure's trajectories.
    pub const FIGURE: u32 = 3;
    /// The noise of trajectories that are drawn backwards.
    pub const BACKWARD_NOISE: u32 = 4;
    /// The noise of trajectories that estimate log Z.
    pub const SCORE: u32 = 5;
}

/// The seed of a stream of noise that belongs to the run's `seed`.
pub fn noise_seed(seed: u64, stream: u32) -> u64 {
    ThreefryRng::new(seed, stream).random()
}

/// Adam's β1.
pub const ADAM_BETA_1: f64 = 0.9;
/// Adam's ε, beside the root of the mean square.
pub const ADAM_EPSILON: f64 = 1e-8;

/// One finished iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The iteration, from 1.
    pub iteration: usize,
    /// The loss of its batch, in nats²; for reverse KL in nats, and it can be negative.
    pub loss: f32,
    /// log Z after it, in nats. Where the objective learns none, the batch's estimate: the mean of
    /// log R + log P_B - log P_F, which for reverse KL is the evidence lower bound.
    pub log_z: f32,
    /// Whether the loss and its whole gradient were finite, and all weights still are. Where loss
    /// or gradient were not, nothing was learned from this batch: every weight is as it was before.
    pub is_finite: bool,
}

/// The gradient of a batch's loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// The loss, in nats².
    pub loss: f32,
    /// With respect to the forward policy's parameters, in storage order.
    pub forward: Vec<f32>,
    /// With respect to the backward policy's parameters, in storage order.
    pub backward: Vec<f32>,
    /// With respect to log Z.
    pub log_z: f32,
}

/// How far a run is: from it another trainer of the same recipe and seed goes on with the same
/// steps, except that an archive of terminal states begins anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Finished iterations.
    pub iteration: u32,
    /// log Z and its moments, then parameters and moments of every network, as they lie in memory.
    numbers: Vec<f32>,
}

impl Checkpoint {
    /// A checkpoint from its numbers, in the order of [`Checkpoint::numbers`].
    pub fn new(iteration: u32, numbers: Vec<f32>) -> Checkpoint {
        Checkpoint { iteration, numbers }
    }

    /// log Z and its moments, then parameters, first and second moments of every network. Each is
    /// laid out as a [`Layout`](crate::network::Layout) says.
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// Whether every number of it is finite.
    pub fn is_finite(&self) -> bool {
        self.numbers.iter().all(|number| number.is_finite())
    }
}

/// Trajectories that are taken through a network together: their activations stay in the second
/// cache, and a layer's in the first.
const CHUNK: usize = 64;

/// A training run in progress.
#[derive(Clone, Debug)]
pub struct Trainer {
    recipe: Recipe,
    level: Level,
    noise: u64,
    reward: Reward,
    forward: Side,
    backward: Side,
    log_z: f32,
    log_z_moments: [f32; 2],
    log_z_gradient: f32,
    iteration: usize,
    replay: Option<Replay>,
    scratch: Scratch,
}

/// A network, its gradient and Adam's moments, all in one layout.
#[derive(Clone, Debug)]
struct Side {
    network: Network,
    gradient: Aligned,
    moments: [Aligned; 2],
    /// Features and activations of the chunk, step after step.
    features: Aligned,
    first: Aligned,
    second: Aligned,
    /// Per step, the derivatives of the residual by mean and raw number.
    by_mean: Vec<[f32; CHUNK]>,
    by_raw: Vec<[f32; CHUNK]>,
}

impl Side {
    fn new(policy: &Policy<f32>, steps: usize) -> Self {
        let network = Network::new(policy);
        let zeros = Aligned::zeros(network.layout.len());
        let activations = Aligned::zeros(steps * CHUNK * network.layout.width);
        Side {
            gradient: zeros.clone(),
            moments: [zeros.clone(), zeros],
            features: Aligned::zeros(steps * CHUNK * network.layout.feature_row()),
            first: activations.clone(),
            second: activations,
            by_mean: vec![[0.0; CHUNK]; steps],
            by_raw: vec![[0.0; CHUNK]; steps],
            network,
        }
    }

    fn gradient(&self) -> Vec<f32> {
        let floats = self.gradient.floats();
        let places = self.network.layout.places();
        places.map(|place| floats[place]).collect()
    }

    /// Where the step kept at `slot` leaves the activations of `rows` rows.
    #[inline(always)]
    fn room<S: Simd>(&mut self, slot: usize, rows: usize) -> (&Network, Activations<'_, S::f32s>) {
        let layout = self.network.layout;
        let (n, features) = (layout.vectors::<S>(), layout.feature_row());
        let room = Activations {
            features: &mut self.features.floats_mut()[slot * CHUNK * features..][..rows * features],
            first: &mut self.first.vectors_mut::<S>()[slot * CHUNK * n..][..rows * n],
            second: Some(&mut self.second.vectors_mut::<S>()[slot * CHUNK * n..][..rows * n]),
        };
        (&self.network, room)
    }
}

/// The rows of a batch that are drawn backwards.
#[derive(Clone, Debug)]
struct Replay {
    archive: Archive,
    noise: Noise,
    /// Rows of a batch, once there are any.
    rows: usize,
    /// x_0, ..., x_N: a row of states each.
    states: Vec<Aligned>,
}

impl Replay {
    fn new(recipe: &Recipe, noise: Noise) -> Option<Self> {
        let rows = recipe.options.backward_rollouts.rows(recipe.batch);
        let target = Mixture::new(recipe.modes.clone());
        let archive = match recipe.options.backward_rollouts {
            BackwardRollouts::None => return None,
            BackwardRollouts::Archive { .. } => Archive::empty(),
            BackwardRollouts::Tempered { exponent, .. } => {
                let mut archive = Archive::full(&target);
                archive.weigh_by_reward(exponent);
                archive
            }
        };
        let mut start = Aligned::zeros(rows.next_multiple_of(CHUNK));
        start.floats_mut().fill(recipe.start as f32);
        Some(Replay {
            archive,
            noise,
            rows,
            states: vec![start; recipe.steps + 1],
        })
    }

    /// Chooses the terminal states of an iteration's rows. Returns the number of rows.
    fn choose(&mut self, recipe: &Recipe, iteration: usize) -> usize {
        if let BackwardRollouts::Archive {
            from_iteration,
            priority,
            ..
        } = recipe.options.backward_rollouts
        {
            if iteration < from_iteration {
                return 0;
            }
            match priority {
                Priority::Reward => self.archive.weigh_by_reward(1.0),
                Priority::Rank => self.archive.weigh_by_rank(),
            }
        }
        let Some(terminals) = self.states.last_mut() else {
            return 0;
        };
        for (i, terminal) in terminals.floats_mut()[..self.rows].iter_mut().enumerate() {
            let trajectory = (iteration * self.rows + i) as u32;
            match self.archive.draw(self.noise.uniform(trajectory)) {
                Some(state) => *terminal = state,
                None => return 0,
            }
        }
        self.rows
    }
}

#[derive(Clone, Debug)]
struct Scratch {
    states: Vec<[f32; CHUNK]>,
    log_reward: Aligned,
    residual: Aligned,
    mean: Aligned,
    raw: Aligned,
    /// The first step's one row: features and activations.
    start_features: Aligned,
    start_first: Aligned,
    start_second: Aligned,
    /// The gradient by the second hidden layer's sums.
    delta: Aligned,
    /// The gradient by the first hidden layer's sums, where features are read.
    first_delta: Aligned,
}

/// The mixture, ready for vectors.
#[derive(Clone, Debug)]
struct Reward {
    /// Per mode: mean, -1 / (2 var), -ln(2π var) / 2 + ln weight.
    modes: Vec<[f32; 3]>,
}

impl Reward {
    fn new(target: &Mixture) -> Self {
        let modes = target.modes().iter().map(|mode| {
            let log_peak = -0.5 * (std::f64::consts::TAU * mode.var).ln() + mode.weight.ln();
            [mode.mean as f32, (-0.5 / mode.var) as f32, log_peak as f32]
        });
        Reward {
            modes: modes.collect(),
        }
    }

    /// log R(x), in nats.
    #[inline(always)]
    fn log<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s {
        let mut largest = simd.splat_f32s(f32::MIN);
        for mode in &self.modes {
            largest = simd::max(simd, largest, log_density(simd, mode, x));
        }
        let mut sum = simd.splat_f32s(0.0);
        for mode in &self.modes {
            let term = simd.sub_f32s(log_density(simd, mode, x), largest);
            sum = simd.add_f32s(sum, simd::exp(simd, term));
        }
        simd.add_f32s(largest, simd::ln(simd, sum))
    }
}

#[inline(always)]
fn log_density<S: Simd>(simd: S, &[mean, factor, log_peak]: &[f32; 3], x: S::f32s) -> S::f32s {
    let d = simd.sub_f32s(x, simd.splat_f32s(mean));
    mul_add(
        simd,
        simd.mul_f32s(d, d),
        simd.splat_f32s(factor),
        simd.splat_f32s(log_peak),
    )
}

impl Trainer {
    /// A run of `recipe` from `seed`, at its beginning.
    pub fn new(recipe: &Recipe, seed: u64) -> Trainer {
        let policy = |stream| {
            let mut rng = ThreefryRng::new(seed, stream);
            Policy::init_with(recipe.options.inputs, recipe.hidden, &mut rng)
                .with_std_range(recipe.options.std_range)
        };
        let (forward, backward) = (policy(stream::FORWARD), policy(stream::BACKWARD));
        let noise = noise_seed(seed, stream::NOISE);
        let backward_noise = Noise::new(noise_seed(seed, stream::BACKWARD_NOISE));
        Trainer {
            replay: Replay::new(recipe, backward_noise),
            ..Trainer::from_policies(recipe, &forward, &backward, 0.0, noise)
        }
    }

    /// A run of `recipe` from these policies and log Z, with fresh moments and every trajectory
    /// drawn forwards. The policies are as wide as each other and read the same inputs; `noise` is
    /// the seed of the trajectories.
    pub fn from_policies(
        recipe: &Recipe,
        forward: &Policy<f32>,
        backward: &Policy<f32>,
        log_z: f32,
        noise: u64,
    ) -> Trainer {
        let forward = Side::new(forward, recipe.steps);
        let layout = forward.network.layout;
        let width = layout.width;
        Trainer {
            level: Level::best(),
            noise,
            reward: Reward::new(&Mixture::new(recipe.modes.clone())),
            backward: Side::new(backward, recipe.steps),
            log_z,
            log_z_moments: [0.0; 2],
            log_z_gradient: 0.0,
            iteration: 0,
            replay: None,
            scratch: Scratch {
                states: vec![[recipe.start as f32; CHUNK]; recipe.steps + 1],
                log_reward: Aligned::zeros(CHUNK),
                residual: Aligned::zeros(CHUNK),
                mean: Aligned::zeros(CHUNK),
                raw: Aligned::zeros(CHUNK),
                start_features: Aligned::zeros(ROW_TILE * layout.feature_row()),
                start_first: Aligned::zeros(ROW_TILE * width),
                start_second: Aligned::zeros(ROW_TILE * width),
                delta: Aligned::zeros(CHUNK * width),
                first_delta: Aligned::zeros(match layout.inputs {
                    Inputs::Raw => 0,
                    Inputs::StepFeatures { .. } => CHUNK * width,
                }),
            },
            recipe: recipe.clone(),
            forward,
        }
    }

    /// The same run with these vectors instead of the machine's widest.
    #[must_use]
    pub fn at(self, level: Level) -> Trainer {
        Trainer { level, ..self }
    }

    /// Draws a batch and moves every parameter by one step of Adam.
    pub fn step(&mut self) -> Progress {
        let recipe = &self.recipe;
        let rollout = Rollout {
            start: recipe.start,
            steps: recipe.steps,
            sigma_scale: 1.0,
            extra_std: recipe
                .exploration
                .extra_std(self.iteration, recipe.iterations),
            seed: self.noise,
            first: (self.iteration * recipe.batch) as u32,
        };
        let count = recipe.batch;
        let backward_rows = self.draw_back();
        let loss = self.level.dispatch(Batch {
            trainer: self,
            source: Source::Draw {
                rollout: &rollout,
                forward_rows: count - backward_rows,
            },
            count,
        });
        self.iteration += 1;
        self.level.dispatch(Adam(self));
        Progress {
            iteration: self.iteration,
            loss,
            log_z: self.log_z,
            is_finite: true,
        }
    }

    /// The recipe as it is now: with the rates and the exploration that were set since.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Changes the learning rates of the networks and of log Z from the next iteration on. The
    /// recipe's schedule goes on to scale them.
    pub fn set_rates(&mut self, learning_rate: f64, log_z_learning_rate: f64) {
        self.recipe.learning_rate = learning_rate;
        self.recipe.log_z_learning_rate = log_z_learning_rate;
    }

    /// Changes the exploration from the next iteration on. Its schedule counts from the beginning
    /// of the run. Reverse KL goes on without any.
    pub fn set_exploration(&mut self, exploration: Exploration) {
        self.recipe.exploration = exploration;
    }

    /// Draws the batch's backward rows. Returns how many there are.
    fn draw_back(&mut self) -> usize {
        let Some(replay) = &mut self.replay else {
            return 0;
        };
        let rows = replay.choose(&self.recipe, self.iteration);
        let first = (self.iteration * replay.rows) as u32;
        self.level.dispatch(DrawBack {
            trainer: self,
            rows,
            first,
        });
        rows
    }

    /// Loss and gradient of a given batch; no parameter is changed. The trajectories have the
    /// recipe's horizon.
    pub fn gradient(&mut self, trajectories: &Trajectories<f32>) -> Gradient {
        let loss = self.level.dispatch(Batch {
            count: trajectories.count(),
            source: Source::Given(trajectories),
            trainer: self,
        });
        Gradient {
            loss,
            forward: self.forward.gradient(),
            backward: self.backward.gradient(),
            log_z: self.log_z_gradient,
        }
    }

    /// Goes on with other rates and another noise.
    pub fn tune(&mut self, learning_rate: f64, log_z_learning_rate: f64, exploration: Exploration) {
        self.recipe.learning_rate = learning_rate;
        self.recipe.log_z_learning_rate = log_z_learning_rate;
        self.recipe.exploration = exploration;
    }

    /// Where the run is.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut numbers = vec![self.log_z];
        numbers.extend(self.log_z_moments);
        for side in [&self.forward, &self.backward] {
            let [first, second] = &side.moments;
            for buffer in [&side.network.parameters, first, second] {
                numbers.extend_from_slice(buffer.floats());
            }
        }
        Checkpoint {
            iteration: self.iteration as u32,
            numbers,
        }
    }

    /// Goes to where a run of the same recipe was. Returns whether it did: a checkpoint of networks
    /// of other sizes changes nothing.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> bool {
        let Some((&[log_z, first, second], mut rest)) = checkpoint.numbers.split_first_chunk()
        else {
            return false;
        };
        let sides = [&mut self.forward, &mut self.backward];
        let lengths = sides.iter().map(|side| 3 * side.network.layout.len());
        if lengths.sum::<usize>() != rest.len() {
            return false;
        }
        for side in sides {
            let [first, second] = &mut side.moments;
            for buffer in [&mut side.network.parameters, first, second] {
                let (numbers, tail) = rest.split_at(buffer.floats().len());
                buffer.floats_mut().copy_from_slice(numbers);
                rest = tail;
            }
            side.network.transpose();
        }
        self.log_z = log_z;
        self.log_z_moments = [first, second];
        self.iteration = checkpoint.iteration as usize;
        true
    }

    /// What is trained, and how: as it is now, where it was tuned.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The seed of the trajectories' noise.
    pub fn noise(&self) -> u64 {
        self.noise
    }

    /// Finished iterations.
    pub fn iteration(&self) -> usize {
        self.iteration
    }

    /// The forward policy as it is now.
    pub fn forward(&self) -> Policy<f32> {
        self.forward.network.to_policy()
    }

    /// The backward policy as it is now.
    pub fn backward(&self) -> Policy<f32> {
        self.backward.network.to_policy()
    }

    /// log Z as it is now, in nats.
    pub fn log_z(&self) -> f32 {
        self.log_z
    }
}

/// Where a batch's trajectories come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// The first rows from the forward policy, the others as they were drawn back.
    Draw {
        rollout: &'a Rollout,
        forward_rows: usize,
    },
    Given(&'a Trajectories<f32>),
}

/// Walks the chosen terminal states back to the start: [`Rollout::draw_back`], to rounding.
struct DrawBack<'a> {
    trainer: &'a mut Trainer,
    rows: usize,
    /// The number of the first row among all that the run draws back.
    first: u32,
}

impl WithSimd for DrawBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let DrawBack {
            trainer,
            rows,
            first,
        } = self;
        let Trainer {
            recipe,
            replay,
            backward,
            scratch,
            ..
        } = trainer;
        let Some(Replay { noise, states, .. }) = replay else {
            return;
        };
        let start = recipe.start as f32;
        for begin in (0..rows).step_by(CHUNK) {
            for t in (2..=recipe.steps).rev() {
                let (before, after) = states.split_at_mut(t);
                let x = &after[0].floats()[begin..begin + CHUNK];
                let (network, room) = backward.room::<S>(t - 1, CHUNK);
                let (mean, raw) = (&mut scratch.mean, &mut scratch.raw);
                let state = (x, t as f32);
                network.forward(simd, state, room, mean.floats_mut(), raw.floats_mut());
                let stds = backward.network.stds();
                for raw in raw.vectors_mut::<S>() {
                    *raw = stds.of(simd, *raw);
                }
                let laws = mean.floats().iter().zip(raw.floats());
                let to = &mut before[t - 1].floats_mut()[begin..begin + CHUNK];
                let rows = to.iter_mut().zip(x).zip(laws).take(rows - begin);
                for (i, ((to, &x), (mean, std))) in (begin as u32..).zip(rows) {
                    let z = noise.normal(first.wrapping_add(i), t as u32);
                    let offset = recipe.options.backward_mean.offset(start, x, t);
                    *to = x - mean - offset - std * z;
                }
            }
        }
    }
}

/// Loss and gradients of one batch. Returns the loss.
struct Batch<'a> {
    trainer: &'a mut Trainer,
    source: Source<'a>,
    count: usize,
}

impl WithSimd for Batch<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let Batch {
            trainer,
            source,
            count,
        } = self;
        let Trainer {
            recipe,
            reward,
            forward,
            backward,
            log_z,
            log_z_gradient,
            replay,
            scratch,
            ..
        } = trainer;
        let steps = recipe.steps;
        let counted = recipe.backward_loop.counted_steps(steps);
        for side in [&mut *forward, &mut *backward] {
            side.gradient.floats_mut().fill(0.0);
        }
        let start = match source {
            Source::Draw { rollout, .. } => rollout.start as f32,
            Source::Given(trajectories) => trajectories.states.first().copied().unwrap_or(0.0),
        };
        let mut walk = match source {
            Source::Draw { rollout, .. } => Some(Walk::<S, CHUNK>::new(simd, rollout)),
            Source::Given(_) => None,
        };
        let (extra, forward_rows) = match source {
            Source::Draw {
                rollout,
                forward_rows,
            } => (rollout.extra_std as f32, forward_rows),
            Source::Given(_) => (0.0, count),
        };

        let starts = simd.splat_f32s(start);
        let stds = forward.network.stds();
        let backward_mean = recipe.options.backward_mean;

        // The law of the first step.
        let [mut start_mean, mut start_raw] = [[0.0f32; ROW_TILE]; 2];
        forward.network.forward(
            simd,
            (&[start; ROW_TILE], 0.0),
            Activations {
                features: scratch.start_features.floats_mut(),
                first: scratch.start_first.vectors_mut::<S>(),
                second: Some(scratch.start_second.vectors_mut::<S>()),
            },
            &mut start_mean,
            &mut start_raw,
        );
        let mut start_by_mean = [0.0f32; ROW_TILE];
        let mut start_by_raw = [0.0f32; ROW_TILE];

        let mut loss = 0.0f64;
        let mut by_log_z = 0.0f64;
        for chunk in (0..count).step_by(CHUNK) {
            let len = CHUNK.min(count - chunk);
            let rows = len.next_multiple_of(S::F32_LANES.max(ROW_TILE)).min(CHUNK);
            let vectors = rows / S::F32_LANES;
            scratch.states[0] = [start; CHUNK];
            if let Source::Given(trajectories) = source {
                for (t, states) in scratch.states.iter_mut().enumerate() {
                    for (i, state) in states.iter_mut().enumerate().take(len) {
                        *state = trajectories.states[(chunk + i) * (steps + 1) + t];
                    }
                }
            }
            for v in scratch.residual.vectors_mut::<S>() {
                *v = simd.splat_f32s(*log_z);
            }

            for t in 0..steps {
                if t == 0 {
                    scratch.mean.floats_mut().fill(start_mean[0]);
                    scratch.raw.floats_mut().fill(start_raw[0]);
                } else {
                    let (network, room) = forward.room::<S>(t, rows);
                    network.forward(
                        simd,
                        (&scratch.states[t][..rows], t as f32),
                        room,
                        &mut scratch.mean.floats_mut()[..rows],
                        &mut scratch.raw.floats_mut()[..rows],
                    );
                }
                let (before, after) = scratch.states.split_at_mut(t + 1);
                let (from, _) = S::as_simd_f32s(&before[t]);
                let (to, _) = S::as_mut_simd_f32s(&mut after[0]);
                let (by_mean, _) = S::as_mut_simd_f32s(&mut forward.by_mean[t]);
                let (by_raw, _) = S::as_mut_simd_f32s(&mut forward.by_raw[t]);
                let mean = scratch.mean.vectors::<S>();
                let raw = scratch.raw.vectors::<S>();
                if let Some(walk) = &mut walk {
                    let z = walk.normals(simd, chunk as u32, t as u32, t + 1 == steps);
                    for v in 0..vectors {
                        let std = simd.add_f32s(stds.of(simd, raw[v]), simd.splat_f32s(extra));
                        to[v] = mul_add(simd, std, z[v], simd.add_f32s(from[v], mean[v]));
                    }
                }
                if let Some(replay) = replay {
                    let first = forward_rows.saturating_sub(chunk).min(len);
                    let stored = (chunk + first).saturating_sub(forward_rows);
                    let stored = &replay.states[t + 1].floats()[stored..];
                    for (to, &stored) in after[0][first..len].iter_mut().zip(stored) {
                        *to = stored;
                    }
                }
                let (to, _) = S::as_simd_f32s(&after[0]);
                let residual = scratch.residual.vectors_mut::<S>();
                for v in 0..vectors {
                    let action = simd.sub_f32s(to[v], from[v]);
                    let term = Term::of(simd, stds, action, mean[v], raw[v]);
                    residual[v] = simd.add_f32s(residual[v], term.log_density);
                    by_mean[v] = term.by_mean;
                    by_raw[v] = term.by_raw;
                }
            }

            let (terminal, _) = S::as_simd_f32s(&scratch.states[steps]);
            let residual = scratch.residual.vectors_mut::<S>();
            let log_reward = scratch.log_reward.vectors_mut::<S>();
            for v in 0..vectors {
                log_reward[v] = reward.log(simd, terminal[v]);
                residual[v] = simd.sub_f32s(residual[v], log_reward[v]);
            }
            if matches!(source, Source::Draw { .. })
                && let Some(replay) = replay
                && let BackwardRollouts::Archive { .. } = recipe.options.backward_rollouts
            {
                let log_rewards = scratch.log_reward.floats();
                let met = scratch.states[steps].iter().zip(log_rewards);
                for (&state, &log_reward) in met.take(len) {
                    replay.archive.add(state, log_reward);
                }
            }

            for t in counted.clone() {
                let (network, room) = backward.room::<S>(t - 1, rows);
                network.forward(
                    simd,
                    (&scratch.states[t][..rows], t as f32),
                    room,
                    &mut scratch.mean.floats_mut()[..rows],
                    &mut scratch.raw.floats_mut()[..rows],
                );
                let (from, _) = S::as_simd_f32s(&scratch.states[t - 1]);
                let (to, _) = S::as_simd_f32s(&scratch.states[t]);
                let (by_mean, _) = S::as_mut_simd_f32s(&mut backward.by_mean[t - 1]);
                let (by_raw, _) = S::as_mut_simd_f32s(&mut backward.by_raw[t - 1]);
                let mean = scratch.mean.vectors::<S>();
                let raw = scratch.raw.vectors::<S>();
                let residual = scratch.residual.vectors_mut::<S>();
                // The share of the way from the start that a bridge takes in one step.
                let bridge = simd.splat_f32s(backward_mean.offset(0.0, 1.0, t));
                for v in 0..vectors {
                    let action = simd.sub_f32s(to[v], from[v]);
                    let action = match backward_mean {
                        BackwardMean::Net => action,
                        BackwardMean::Bridge | BackwardMean::FixedBridge { .. } => {
                            let way = simd.sub_f32s(to[v], starts);
                            simd.sub_f32s(action, simd.mul_f32s(bridge, way))
                        }
                    };
                    let term = Term::of(simd, stds, action, mean[v], raw[v]);
                    residual[v] = simd.sub_f32s(residual[v], term.log_density);
                    by_mean[v] = simd.neg_f32s(term.by_mean);
                    by_raw[v] = simd.neg_f32s(term.by_raw);
                }
            }

            // From here on the residual's place holds the loss's derivative by it.
            let by_residual = scratch.residual.floats_mut();
            by_residual[len..].fill(0.0);
            for r in &mut by_residual[..len] {
                loss += f64::from(*r * *r);
                *r *= 2.0 / count as f32;
                by_log_z += f64::from(*r);
            }
            let by_residual = &by_residual[..rows];
            scale(&mut forward.by_mean[0], by_residual);
            scale(&mut forward.by_raw[0], by_residual);
            start_by_mean[0] += forward.by_mean[0][..rows].iter().sum::<f32>();
            start_by_raw[0] += forward.by_raw[0][..rows].iter().sum::<f32>();
            for t in 1..steps {
                backpropagate(
                    simd,
                    forward,
                    t,
                    t,
                    &scratch.states[t],
                    by_residual,
                    (
                        scratch.delta.vectors_mut::<S>(),
                        scratch.first_delta.vectors_mut::<S>(),
                    ),
                );
            }
            for t in counted.clone() {
                backpropagate(
                    simd,
                    backward,
                    t - 1,
                    t,
                    &scratch.states[t],
                    by_residual,
                    (
                        scratch.delta.vectors_mut::<S>(),
                        scratch.first_delta.vectors_mut::<S>(),
                    ),
                );
            }
        }
        backpropagate_rows(
            simd,
            &forward.network,
            &mut forward.gradient,
            (&[start; ROW_TILE], 0.0),
            (
                scratch.start_features.floats(),
                scratch.start_first.vectors::<S>(),
                scratch.start_second.vectors::<S>(),
            ),
            (&start_by_mean, &start_by_raw),
            (
                scratch.delta.vectors_mut::<S>(),
                scratch.first_delta.vectors_mut::<S>(),
            ),
        );
        *log_z_gradient = by_log_z as f32;
        (loss / count as f64) as f32
    }
}

/// A step's term of the residual and its derivatives.
struct Term<V> {
    log_density: V,
    by_mean: V,
    by_raw: V,
}

impl<V> Term<V> {
    #[inline(always)]
    fn of<S: Simd<f32s = V>>(simd: S, stds: Stds, action: V, mean: V, raw: V) -> Term<V>
    where
        V: Copy,
    {
        const HALF_LN_TAU: f32 = 0.918_938_5;
        let one = simd.splat_f32s(1.0);
        let share = simd::sigmoid(simd, raw);
        let range = simd.splat_f32s(stds.span);
        let std = mul_add(simd, share, range, simd.splat_f32s(stds.least));
        let precision = simd.div_f32s(one, std);
        let z = simd.mul_f32s(simd.sub_f32s(action, mean), precision);
        let square = simd.mul_f32s(z, z);
        let log_density = simd.sub_f32s(
            mul_add(
                simd,
                square,
                simd.splat_f32s(-0.5),
                simd.splat_f32s(-HALF_LN_TAU),
            ),
            simd::ln(simd, std),
        );
        let by_std = simd.mul_f32s(simd.sub_f32s(square, one), precision);
        let std_by_raw = simd.mul_f32s(simd.mul_f32s(range, share), simd.sub_f32s(one, share));
        Term {
            log_density,
            by_mean: simd.mul_f32s(z, precision),
            by_raw: simd.mul_f32s(by_std, std_by_raw),
        }
    }
}

#[inline(always)]
fn scale(values: &mut [f32; CHUNK], factors: &[f32]) {
    for (value, factor) in values.iter_mut().zip(factors) {
        *value *= factor;
    }
}

/// Adds to a side's gradient what the chunk's step, kept at `slot`, contributes. `by_residual` is
/// the loss's derivative by each row's residual.
#[inline(always)]
fn backpropagate<S: Simd>(
    simd: S,
    side: &mut Side,
    slot: usize,
    t: usize,
    x: &[f32; CHUNK],
    by_residual: &[f32],
    deltas: (&mut [S::f32s], &mut [S::f32s]),
) {
    let rows = by_residual.len();
    scale(&mut side.by_mean[slot], by_residual);
    scale(&mut side.by_raw[slot], by_residual);
    let layout = side.network.layout;
    let (n, features) = (layout.vectors::<S>(), layout.feature_row());
    let place = slot * CHUNK * n;
    backpropagate_rows(
        simd,
        &side.network,
        &mut side.gradient,
        (&x[..rows], t as f32),
        (
            &side.features.floats()[slot * CHUNK * features..][..rows * features],
            &side.first.vectors::<S>()[place..][..rows * n],
            &side.second.vectors::<S>()[place..][..rows * n],
        ),
        (&side.by_mean[slot][..rows], &side.by_raw[slot][..rows]),
        deltas,
    );
}

/// Adds to `gradient` what rows (x, t) contribute, given their activations and the loss's
/// derivatives by their means and raw numbers.
#[inline(always)]
fn backpropagate_rows<S: Simd>(
    simd: S,
    network: &Network,
    gradient: &mut Aligned,
    (x, t): (&[f32], f32),
    (features, first, second): (&[f32], &[S::f32s], &[S::f32s]),
    (by_mean, by_raw): (&[f32], &[f32]),
    (delta, first_delta): (&mut [S::f32s], &mut [S::f32s]),
) {
    let layout = network.layout;
    let n = layout.vectors::<S>();
    let parts = layout.parts(network.parameters.vectors::<S>(), S::F32_LANES);
    let [_, w1, _, to_mean, to_raw, _] = parts;
    let b2 = gradient.floats_mut().len() - simd::LINE;
    gradient.floats_mut()[b2] += by_mean.iter().sum::<f32>();
    gradient.floats_mut()[b2 + 1] += by_raw.iter().sum::<f32>();
    let [into_layers, into_w1, into_b1, into_mean, into_raw, _] =
        layout.parts_mut(gradient.vectors_mut::<S>(), S::F32_LANES);
    let into_layer = &mut into_layers[layout.first_layer(t, S::F32_LANES)];

    // The output layer, and through the second hidden layer's ELU.
    for v in 0..n {
        let (w_mean, w_raw) = (to_mean[v], to_raw[v]);
        let mut sums = [into_mean[v], into_raw[v], into_b1[v]];
        for (((second, delta), &by_mean), &by_raw) in second
            .chunks_exact(n)
            .zip(delta.chunks_exact_mut(n))
            .zip(by_mean)
            .zip(by_raw)
        {
            let (by_mean, by_raw) = (simd.splat_f32s(by_mean), simd.splat_f32s(by_raw));
            let neuron = second[v];
            sums[0] = mul_add(simd, by_mean, neuron, sums[0]);
            sums[1] = mul_add(simd, by_raw, neuron, sums[1]);
            let by_neuron = mul_add(simd, w_raw, by_raw, simd.mul_f32s(w_mean, by_mean));
            let by_sum = simd.mul_f32s(by_neuron, simd::elu_slope(simd, neuron));
            sums[2] = simd.add_f32s(sums[2], by_sum);
            delta[v] = by_sum;
        }
        [into_mean[v], into_raw[v], into_b1[v]] = sums;
    }
    let delta: &[f32] = bytemuck::cast_slice(&delta[..x.len() * n]);
    let hidden = Hidden::<S> {
        n,
        reads: match layout.inputs {
            Inputs::Raw => Reads::State(x, t),
            Inputs::StepFeatures { .. } => Reads::Features(features),
        },
        first,
        delta,
        w1,
    };
    let first_delta = &mut first_delta[..features.len() / FEATURE_ROW * n];
    if S::F32_LANES >= simd::LINE {
        hidden.backpropagate::<4>(simd, into_w1, into_layer, first_delta);
    } else {
        hidden.backpropagate::<2>(simd, into_w1, into_layer, first_delta);
    }
}

/// What the gradients of the two hidden layers are made of.
struct Hidden<'a, S: Simd> {
    /// Vectors in a row.
    n: usize,
    reads: Reads<'a>,
    first: &'a [S::f32s],
    delta: &'a [f32],
    w1: &'a [S::f32s],
}

/// What the first layer read: states at one t, or rows of features.
#[derive(Clone, Copy)]
enum Reads<'a> {
    State(&'a [f32], f32),
    Features(&'a [f32]),
}

impl<S: Simd> Hidden<'_, S> {
    /// The gradient of W1, and of the first layer behind it. `first_delta` has room for the
    /// gradient by the first layer's sums where features are read.
    #[inline(always)]
    fn backpropagate<const V: usize>(
        &self,
        simd: S,
        into_w1: &mut [S::f32s],
        into_layer: &mut [S::f32s],
        first_delta: &mut [S::f32s],
    ) {
        let mut v = 0;
        while v < self.n {
            if v + V <= self.n {
                self.panel::<V>(simd, v, into_w1, into_layer, first_delta);
                v += V;
            } else {
                self.panel::<1>(simd, v, into_w1, into_layer, first_delta);
                v += 1;
            }
        }
    }

    /// Columns v.. of both.
    #[inline(always)]
    fn panel<const V: usize>(
        &self,
        simd: S,
        v: usize,
        into_w1: &mut [S::f32s],
        into_layer: &mut [S::f32s],
        first_delta: &mut [S::f32s],
    ) {
        let n = self.n;
        let delta = (self.delta, n * S::F32_LANES);
        weights_panel::<S, V>(simd, self.first, delta, n, v, into_w1);
        match self.reads {
            Reads::State(x, t) => self.state_panel::<V>(simd, (x, t), v, into_layer),
            Reads::Features(features) => {
                self.delta_panel::<V>(simd, v, first_delta);
                let features = (features, FEATURE_ROW);
                weights_panel::<S, V>(simd, first_delta, features, n, v, into_layer);
            }
        }
    }

    /// Columns v.. of delta · W1, through the first layer's ELU, into the gradient of a first layer
    /// that reads the state.
    #[inline(always)]
    fn state_panel<const V: usize>(
        &self,
        simd: S,
        (x, t): (&[f32], f32),
        v: usize,
        into_layer: &mut [S::f32s],
    ) {
        const M: usize = ROW_TILE;
        let n = self.n;
        let (into_x, rest) = into_layer.split_at_mut(n);
        let (into_t, into_b0) = rest.split_at_mut(n);
        let width = n * S::F32_LANES;
        let zeros = [[simd.splat_f32s(0.0); V]; M];
        let mut by_x = zeros[0];
        let mut by_b0 = zeros[0];
        for ((delta, first), x) in self
            .delta
            .chunks_exact(M * width)
            .zip(self.first.chunks_exact(M * n))
            .zip(x.chunks_exact(M))
        {
            let tile = tile::<S, M, V>(simd, delta, width, self.w1, n, v, zeros);
            for m in 0..M {
                let x = simd.splat_f32s(x[m]);
                for i in 0..V {
                    let slope = simd::elu_slope(simd, first[m * n + v + i]);
                    let by_sum = simd.mul_f32s(tile[m][i], slope);
                    by_x[i] = mul_add(simd, by_sum, x, by_x[i]);
                    by_b0[i] = simd.add_f32s(by_b0[i], by_sum);
                }
            }
        }
        let t = simd.splat_f32s(t);
        for i in 0..V {
            into_x[v + i] = simd.add_f32s(into_x[v + i], by_x[i]);
            into_t[v + i] = mul_add(simd, by_b0[i], t, into_t[v + i]);
            into_b0[v + i] = simd.add_f32s(into_b0[v + i], by_b0[i]);
        }
    }

    /// Columns v.. of delta · W1, through the first layer's ELU, row by row.
    #[inline(always)]
    fn delta_panel<const V: usize>(&self, simd: S, v: usize, first_delta: &mut [S::f32s]) {
        const M: usize = ROW_TILE;
        let n = self.n;
        let width = n * S::F32_LANES;
        let zeros = [[simd.splat_f32s(0.0); V]; M];
        for ((delta, first), into) in self
            .delta
            .chunks_exact(M * width)
            .zip(self.first.chunks_exact(M * n))
            .zip(first_delta.chunks_exact_mut(M * n))
        {
            let tile = tile::<S, M, V>(simd, delta, width, self.w1, n, v, zeros);
            for m in 0..M {
                for i in 0..V {
                    let slope = simd::elu_slope(simd, first[m * n + v + i]);
                    into[m * n + v + i] = simd.mul_f32s(tile[m][i], slope);
                }
            }
        }
    }
}

/// Adds deltaᵀ · first to columns v.. of a weights' gradient: `delta` are rows of the given width,
/// one for each row of `first`.
#[inline(always)]
fn weights_panel<S: Simd, const V: usize>(
    simd: S,
    first: &[S::f32s],
    (delta, width): (&[f32], usize),
    n: usize,
    v: usize,
    into: &mut [S::f32s],
) {
    const M: usize = ROW_TILE;
    for (j, into) in into.chunks_exact_mut(M * n).enumerate() {
        let mut sums = [[simd.splat_f32s(0.0); V]; M];
        for m in 0..M {
            for i in 0..V {
                sums[m][i] = into[m * n + v + i];
            }
        }
        for (delta, first) in delta.chunks_exact(width).zip(first.chunks_exact(n)) {
            let delta = &delta[j * M..(j + 1) * M];
            let first = &first[v..v + V];
            for m in 0..M {
                let delta = simd.splat_f32s(delta[m]);
                for i in 0..V {
                    sums[m][i] = mul_add(simd, delta, first[i], sums[m][i]);
                }
            }
        }
        for m in 0..M {
            for i in 0..V {
                into[m * n + v + i] = sums[m][i];
            }
        }
    }
}

/// One step of Adam (Kingma and Ba 2015) on all parameters.
struct Adam<'a>(&'a mut Trainer);

impl WithSimd for Adam<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let trainer = self.0;
        let recipe = &trainer.recipe;
        let beta_2 = recipe.adam_beta_2;
        let iteration = trainer.iteration as i32;
        let corrections = [ADAM_BETA_1, beta_2].map(|beta| 1.0 - beta.powi(iteration));
        let rates = &recipe.options.learning_rates;
        let factor = rates.factor(trainer.iteration - 1, recipe.iterations);
        let splat = [
            ADAM_BETA_1,
            1.0 - ADAM_BETA_1,
            beta_2,
            1.0 - beta_2,
            -recipe.learning_rate * factor / corrections[0],
            1.0 / corrections[1],
            ADAM_EPSILON,
        ]
        .map(|value| value as f32);
        let [keep_1, take_1, keep_2, take_2, rate, correct_2, epsilon] = splat;
        for side in [&mut trainer.forward, &mut trainer.backward] {
            let [first, second] = &mut side.moments;
            for (((p, &g), m), s) in side
                .network
                .parameters
                .vectors_mut::<S>()
                .iter_mut()
                .zip(side.gradient.vectors::<S>())
                .zip(first.vectors_mut::<S>())
                .zip(second.vectors_mut::<S>())
            {
                *m = mul_add(
                    simd,
                    *m,
                    simd.splat_f32s(keep_1),
                    simd.mul_f32s(g, simd.splat_f32s(take_1)),
                );
                *s = mul_add(
                    simd,
                    *s,
                    simd.splat_f32s(keep_2),
                    simd.mul_f32s(simd.mul_f32s(g, g), simd.splat_f32s(take_2)),
                );
                let root = simd.sqrt_f32s(simd.mul_f32s(*s, simd.splat_f32s(correct_2)));
                let step = simd.div_f32s(*m, simd.add_f32s(root, simd.splat_f32s(epsilon)));
                *p = mul_add(simd, step, simd.splat_f32s(rate), *p);
            }
            side.network.transpose();
        }
        let g = trainer.log_z_gradient;
        let [m, s] = &mut trainer.log_z_moments;
        *m = keep_1 * *m + take_1 * g;
        *s = keep_2 * *s + take_2 * g * g;
        let rate = (recipe.log_z_learning_rate * factor / corrections[0]) as f32;
        trainer.log_z -= rate * *m / ((*s * correct_2).sqrt() + epsilon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{self, BackwardLoop};
    use crate::experiment::EXPERIMENTS;
    use crate::options::{Options, Schedule};

    /// After a crash the reader's run has to be the same run.
    #[test]
    fn a_run_goes_on_from_a_checkpoint_with_the_same_steps() {
        let recipe = Recipe {
            batch: 64,
            ..recipe(20, 3, BackwardLoop::Correct)
        };
        let mut whole = Trainer::new(&recipe, 5);
        for _ in 0..7 {
            whole.step();
        }
        let checkpoint = whole.checkpoint();
        let mut resumed = Trainer::new(&recipe, 5);
        assert!(resumed.restore(&checkpoint));
        assert_eq!(resumed.iteration(), 7);
        for _ in 0..3 {
            assert_eq!(resumed.step(), whole.step());
        }
        assert_eq!(resumed.forward(), whole.forward());
        assert_eq!(resumed.backward(), whole.backward());

        let mut wider = Trainer::new(
            &Recipe {
                hidden: 40,
                ..recipe
            },
            5,
        );
        assert!(!wider.restore(&checkpoint));
        assert_eq!(
            wider.checkpoint(),
            Trainer::new(&wider.recipe, 5).checkpoint()
        );
    }

    /// Every option.
    const OPTIONS: Options = Options {
        inputs: Inputs::StepFeatures { steps: 5 },
        backward_mean: BackwardMean::Bridge,
        learning_rates: Schedule::WarmUpCosine {
            warm_up: 2,
            last: 0.01,
        },
        backward_rollouts: BackwardRollouts::Archive {
            rows: 70,
            from_iteration: 1,
            priority: Priority::Reward,
        },
        ..Options::CLASSIC
    };

    fn recipe(hidden: usize, steps: usize, backward_loop: BackwardLoop) -> Recipe {
        Recipe {
            hidden,
            steps,
            backward_loop,
            ..Recipe::of(&EXPERIMENTS[4])
        }
    }

    /// The loss by the plain formula, in f64, as a function of all parameters.
    fn plain_loss(
        recipe: &Recipe,
        forward: &Policy<f64>,
        backward: &Policy<f64>,
        log_z: f64,
        trajectories: &Trajectories<f32>,
    ) -> f64 {
        let target = Mixture::new(recipe.modes.clone());
        let residuals: Vec<f64> = trajectories
            .iter()
            .map(|states| {
                let states: Vec<f64> = states.iter().map(|&x| f64::from(x)).collect();
                balance::residual(
                    log_z,
                    balance::log_forward(forward, &states),
                    target.log_reward(states[states.len() - 1]),
                    balance::log_backward_from(
                        recipe.options.backward_mean,
                        backward,
                        &states,
                        recipe.backward_loop,
                    ),
                )
            })
            .collect();
        balance::loss(&residuals)
    }

    /// Every parameter's derivative, against a central difference of the plain f64 loss.
    #[test]
    fn the_gradient_is_the_plain_losss() {
        let features = |steps| Options {
            inputs: Inputs::StepFeatures { steps },
            ..Options::CLASSIC
        };
        let bridge = |options| Options {
            backward_mean: BackwardMean::Bridge,
            ..options
        };
        for (hidden, steps, count, backward_loop, options) in [
            (5, 5, 70, BackwardLoop::Correct, Options::CLASSIC),
            (17, 3, 9, BackwardLoop::CountsForced, Options::CLASSIC),
            (4, 6, 3, BackwardLoop::DropsReal, Options::CLASSIC),
            (3, 1, 5, BackwardLoop::Correct, Options::CLASSIC),
            (5, 3, 70, BackwardLoop::Correct, features(3)),
            (17, 2, 9, BackwardLoop::CountsForced, bridge(features(2))),
            (4, 5, 6, BackwardLoop::Correct, bridge(Options::CLASSIC)),
        ] {
            let recipe = Recipe {
                options,
                start: 0.25,
                ..recipe(hidden, steps, backward_loop)
            };
            let inputs = options.inputs;
            let policy = |seed| {
                let rng = &mut ThreefryRng::new(seed, 0);
                Policy::<f64>::init_with(inputs, hidden, rng)
            };
            let [forward, backward] = [policy(1), policy(2)].map(|p| p.cast::<f32>().cast::<f64>());
            let rollout = Rollout {
                start: 0.25,
                steps,
                sigma_scale: 1.0,
                extra_std: 1.0,
                seed: 3,
                first: 0,
            };
            let trajectories = rollout.draw(&forward.cast::<f32>(), count);
            let loss = |forward: &Policy<f64>, backward: &Policy<f64>, log_z: f64| {
                plain_loss(&recipe, forward, backward, log_z, &trajectories)
            };
            let nudged = |policy: &Policy<f64>, index: usize, by: f64| {
                let mut parameters = policy.parameters().to_vec();
                parameters[index] += by;
                Policy::with_inputs(inputs, hidden, parameters).unwrap()
            };
            let h = 1e-5;
            let slope = |f: &dyn Fn(f64) -> f64| (f(h) - f(-h)) / (2.0 * h);
            let len = forward.parameters().len();
            let by_forward: Vec<f64> = (0..len)
                .map(|i| slope(&|h| loss(&nudged(&forward, i, h), &backward, 0.5)))
                .collect();
            let by_backward: Vec<f64> = (0..len)
                .map(|i| slope(&|h| loss(&forward, &nudged(&backward, i, h), 0.5)))
                .collect();
            let by_log_z = slope(&|h| loss(&forward, &backward, 0.5 + h));
            let plain = loss(&forward, &backward, 0.5);
            for level in Level::all() {
                let (forward, backward) = (forward.cast(), backward.cast());
                let got = Trainer::from_policies(&recipe, &forward, &backward, 0.5, 0)
                    .at(level)
                    .gradient(&trajectories);
                let relative = |got: &[f32], expected: &[f64]| {
                    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>();
                    let errors = &mut got.iter().zip(expected).map(|(&g, e)| f64::from(g) - e);
                    let size = norm(&mut expected.iter().copied());
                    (norm(errors) / size.max(1e-30)).sqrt()
                };
                let name = level.name();
                assert!((f64::from(got.loss) / plain - 1.0).abs() < 1e-5, "{name}");
                assert!(
                    relative(&got.forward, &by_forward) < 1e-5,
                    "{name} {hidden}"
                );
                assert!(
                    relative(&got.backward, &by_backward) < 1e-5,
                    "{name} {hidden}"
                );
                assert!(relative(&[got.log_z], &[by_log_z]) < 1e-5, "{name}");
            }
        }
    }

    /// Adam's first step is the learning rate times the gradient's sign.
    #[test]
    fn the_networks_and_log_z_learn_at_their_own_rates() {
        let recipe = recipe(16, 5, BackwardLoop::Correct);
        let mut trainer = Trainer::new(&recipe, 3);
        let before = [trainer.forward(), trainer.backward()];
        trainer.step();
        assert!((trainer.log_z().abs() - 0.1).abs() < 1e-5);
        for (before, after) in before.iter().zip([trainer.forward(), trainer.backward()]) {
            let steps = before.parameters().iter().zip(after.parameters());
            for step in steps.map(|(b, a)| (a - b).abs()) {
                assert!((step - 1e-3).abs() < 2e-5, "{step}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_weights() {
        for options in [Options::CLASSIC, OPTIONS] {
            let recipe = Recipe {
                options,
                ..recipe(64, 5, BackwardLoop::Correct)
            };
            let run = || {
                let mut trainer = Trainer::new(&recipe, 3);
                let progress: Vec<Progress> = (0..4).map(|_| trainer.step()).collect();
                (progress, trainer.forward(), trainer.backward())
            };
            assert_eq!(run(), run());
        }
    }

    #[test]
    fn backward_rows_are_the_plain_backward_rollouts() {
        let recipe = Recipe {
            options: OPTIONS,
            start: 0.25,
            ..recipe(16, 5, BackwardLoop::Correct)
        };
        for level in Level::all() {
            let mut trainer = Trainer::new(&recipe, 3).at(level);
            assert_eq!(trainer.draw_back(), 0);
            trainer.step();
            let backward = trainer.backward();
            assert_eq!(trainer.draw_back(), 70);
            let replay = trainer.replay.as_ref().unwrap();
            let row = |t: usize| &replay.states[t].floats()[..70];
            let rollout = Rollout {
                start: 0.25,
                steps: 5,
                sigma_scale: 1.0,
                extra_std: 0.0,
                seed: noise_seed(3, stream::BACKWARD_NOISE),
                first: 70,
            };
            let plain = rollout.draw_back(&backward, BackwardMean::Bridge, row(5));
            for (i, states) in plain.iter().enumerate() {
                for (t, &state) in states.iter().enumerate() {
                    let got = row(t)[i];
                    assert!((got - state).abs() < 1e-4, "{i} {t}: {got} {state}");
                }
            }
            // Every terminal state is one that the first batch met.
            let first = Rollout {
                seed: noise_seed(3, stream::NOISE),
                first: 0,
                extra_std: 2.0,
                ..rollout
            };
            let policy = Trainer::new(&recipe, 3).forward();
            let met: Vec<f32> = first.draw(&policy, 256).terminals().collect();
            for &terminal in row(5) {
                assert!(met.iter().any(|&state| (state - terminal).abs() < 1e-4));
            }
        }
    }

    /// The rows that were drawn back are a part of the batch: with the same noise and weights, the
    /// loss is the plain one of both kinds of rows.
    #[test]
    fn a_batch_holds_rows_of_both_directions() {
        let recipe = Recipe {
            options: Options {
                backward_rollouts: BackwardRollouts::Tempered {
                    rows: 70,
                    exponent: 0.5,
                },
                ..OPTIONS
            },
            ..recipe(16, 5, BackwardLoop::Correct)
        };
        let mut trainer = Trainer::new(&recipe, 3);
        let [forward, backward] = [trainer.forward(), trainer.backward()];
        let rollout = Rollout {
            start: 0.0,
            steps: 5,
            sigma_scale: 1.0,
            extra_std: 2.0,
            seed: noise_seed(3, stream::NOISE),
            first: 0,
        };
        let mut states = rollout.draw(&forward, 256 - 70).states;
        trainer.draw_back();
        let terminals = trainer.replay.as_ref().unwrap().states[5].floats()[..70].to_vec();
        let back = Rollout {
            seed: noise_seed(3, stream::BACKWARD_NOISE),
            ..rollout
        };
        states.extend(
            back.draw_back(&backward, BackwardMean::Bridge, &terminals)
                .states,
        );
        let trajectories = Trajectories { steps: 5, states };
        let plain = plain_loss(
            &recipe,
            &forward.cast(),
            &backward.cast(),
            0.0,
            &trajectories,
        );
        let loss = f64::from(trainer.step().loss);
        assert!((loss / plain - 1.0).abs() < 1e-4, "{loss} {plain}");
    }

    #[test]
    fn all_vectors_train_alike() {
        for options in [Options::CLASSIC, OPTIONS] {
            let recipe = Recipe {
                options,
                ..recipe(64, 5, BackwardLoop::Correct)
            };
            let run = |level| {
                let mut trainer = Trainer::new(&recipe, 3).at(level);
                let loss = (0..20).map(|_| trainer.step().loss).last();
                (loss.unwrap(), trainer.forward())
            };
            let runs: Vec<_> = Level::all().into_iter().map(run).collect();
            for (loss, forward) in &runs {
                assert!((loss / runs[0].0 - 1.0).abs() < 1e-3);
                let pairs = forward.parameters().iter().zip(runs[0].1.parameters());
                for (a, b) in pairs {
                    assert!((a - b).abs() < 1e-3, "{a} {b}");
                }
            }
        }
    }
}
