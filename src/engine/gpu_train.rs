//! Training on the GPU: the twin of core's [`Trainer`], in two launches an iteration.
//!
//! The first draws a batch with a workgroup for a few trajectories, a thread for each neuron, and
//! runs both networks backwards over it. What it leaves in memory is a record for every network
//! evaluation: both hidden layers, the gradients by their sums, what was read and what came out.
//! Every parameter's derivative is then the sum over the records of the product of two of their
//! columns. The second launch has a thread for each parameter (four, each with a part of the
//! records) that sums in a fixed order and moves its parameter by one step of Adam. No two threads
//! ever add to the same place: WebGPU has no atomic addition of floats.
//!
//! [`GpuTrainer::advance`] takes a trainer's state, goes many iterations without reading back, and
//! hands back the state from which the trainer goes on. So the CPU's trainer stays the run, and a
//! GPU that fails costs it nothing but the iterations on their way.

use crate::gpu::{Gpu, LANES, Lanes, cause, elu, frequency, half_turn, normal, polynomial};
use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::server::Handle;
use gflownet_tour_core::archive::BackwardRollouts;
use gflownet_tour_core::balance::BackwardMean;
use gflownet_tour_core::checkpoint::Checkpoint;
use gflownet_tour_core::layout::Layout;
use gflownet_tour_core::mixture::Mode;
use gflownet_tour_core::noise::Noise;
use gflownet_tour_core::objective::Objective;
use gflownet_tour_core::policy::{
    FEATURES, FREQUENCIES, Inputs, LINEAR_GAIN, SQUARE_GAIN, WAVE_GAIN,
};
use gflownet_tour_core::weights::manifest::Recipe;
use gflownet_tour_speed::trainer::{ADAM_BETA_1, ADAM_EPSILON, Progress, Trainer};
use std::future::Future;
use std::sync::{Arc, OnceLock};

/// The widest hidden layers: a workgroup has a thread for each neuron, and every WebGPU device
/// takes 256.
const MOST_HIDDEN: usize = 256;
/// Threads that a workgroup has at least, where the layers are narrow: they share trajectories.
const WORKGROUP: usize = 128;
/// The most groups of [`LANES`] trajectories in a workgroup.
const MOST_GROUPS: usize = 4;
/// Bytes of a workgroup's own memory that every WebGPU device has.
const SHARED_BYTES: usize = 16 * 1024;
/// Bytes that the records may take. A batch that needs more is taken in several parts.
const RECORD_BYTES: usize = 64 << 20;
/// Threads that share the sums of one output, or of one parameter.
const PARTS: usize = 8;
const SUMMANDS: usize = 4;
/// Parameters that a workgroup moves.
const PARAMETERS: usize = 64;
/// Numbers of a parameter's entry in the table.
const ENTRY: usize = 5;
/// Where an entry names no second place.
const NOWHERE: u32 = u32::MAX;

/// The largest [`difference`] to the CPU's state that the self-test forgives.
const SELF_TEST_TOLERANCE: f32 = 0.02;

/// What the kernels are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    /// Neurons in a hidden layer, with those that are zero.
    width: usize,
    /// First layers, one a step; none where the state itself is read.
    feature_layers: usize,
    /// Numbers that the first layer reads, with a one for the bias.
    inputs: usize,
    /// Floats in a network's buffer.
    len: usize,
    /// Floats in each of its first layers.
    layer_len: usize,
    /// Floats of all first layers.
    layers_len: usize,
    steps: usize,
    /// The first t whose backward term is counted.
    counted: usize,
    /// Groups of trajectories in a workgroup.
    groups: usize,
}

impl Shape {
    fn of(recipe: &Recipe) -> Shape {
        let inputs = recipe.options.inputs;
        let layout = Layout::new(inputs, recipe.hidden);
        let layer_len = layout.first_rows() * layout.width;
        let mut shape = Shape {
            width: layout.width,
            feature_layers: match inputs {
                Inputs::Raw => 0,
                other => other.layers(),
            },
            inputs: inputs.width() + 1,
            len: layout.len(),
            layer_len,
            layers_len: inputs.layers() * layer_len,
            steps: recipe.steps,
            counted: *recipe.backward_loop.counted_steps(recipe.steps).start(),
            groups: (WORKGROUP / layout.width).clamp(1, MOST_GROUPS),
        };
        while shape.groups > 1 && shape.shared_bytes() > SHARED_BYTES {
            shape.groups /= 2;
        }
        shape
    }

    /// Evaluations of both networks along a trajectory.
    fn slots(self) -> usize {
        self.steps + (self.steps + 1).saturating_sub(self.counted)
    }

    /// Numbers in an array over the parameters: both networks, log Z, and the loss beside them.
    fn numbers(self) -> usize {
        2 * self.len + 2
    }

    /// Groups of lanes that a group needs while a network is evaluated: both layers, the parts of
    /// the outputs, what is read.
    fn scratch(self) -> usize {
        2 * self.width + 2 * PARTS + self.inputs
    }

    fn shared_bytes(self) -> usize {
        let lanes = self.scratch() + (self.steps + 1) + self.steps + 2 * self.slots();
        lanes * self.groups * LANES * size_of::<f32>()
    }

    /// Columns of a record: the two layers, the gradients by their sums, what was read, the
    /// derivatives by mean and raw number, and the derivative by the residual.
    fn columns(self) -> usize {
        4 * self.width + self.inputs + 3
    }

    fn one(self) -> usize {
        4 * self.width + self.inputs - 1
    }

    fn by_mean(self) -> usize {
        4 * self.width + self.inputs
    }

    fn by_residual(self) -> usize {
        self.by_mean() + 2
    }

    /// For each parameter, the two columns whose products are summed, the slots from and to which
    /// that is done, and where its copy in a transposed W1 lies.
    fn table(self) -> Vec<u32> {
        let Shape {
            width, steps, len, ..
        } = self;
        let slots = self.slots();
        let mut table = Vec::with_capacity(self.numbers() * ENTRY);
        let mut entry = |a: usize, b: usize, slots: (usize, usize), mirror: Option<usize>| {
            let mirror = mirror.map_or(NOWHERE, |place| place as u32);
            table.extend([a, b, slots.0, slots.1].map(|number| number as u32));
            table.push(mirror);
        };
        for side in 0..2 {
            // The forward policy is asked at t = 0, 1, ...; the backward policy from `counted` on.
            let (all, first_t) = match side {
                0 => ((0, steps), 0),
                _ => ((steps, slots), self.counted),
            };
            for at in 0..self.layers_len {
                let (row, neuron) = (at % self.layer_len / width, at % width);
                let read = match self.feature_layers {
                    0 => all,
                    layers => {
                        // The one t of this side that the layer serves.
                        let layer = at / self.layer_len;
                        let t = (first_t..first_t + all.1 - all.0).find(|t| t % layers == layer);
                        t.map_or((0, 0), |t| (all.0 + t - first_t, all.0 + t - first_t + 1))
                    }
                };
                match row < self.inputs {
                    true => entry(2 * width + neuron, 4 * width + row, read, None),
                    false => entry(0, 0, (0, 0), None),
                }
            }
            let copy = 4 * self.numbers() + side * width * width;
            for out in 0..width {
                for input in 0..width {
                    let place = copy + input * width + out;
                    entry(3 * width + out, input, all, Some(place));
                }
            }
            for neuron in 0..width {
                entry(3 * width + neuron, self.one(), all, None);
            }
            for output in 0..2 {
                for neuron in 0..width {
                    entry(self.by_mean() + output, width + neuron, all, None);
                }
            }
            for place in 0..len - (self.layers_len + width * (width + 3)) {
                match place {
                    0 | 1 => entry(self.by_mean() + place, self.one(), all, None),
                    _ => entry(0, 0, (0, 0), None),
                }
            }
        }
        // log Z, and the loss.
        entry(self.by_residual(), self.one(), (0, 1), None);
        entry(self.by_residual(), self.by_residual(), (0, 1), None);
        table
    }
}

/// What a checkpoint's numbers become on the GPU: parameters, first moments, second moments and
/// gradients, each of both networks, log Z and the loss; and W1 of both, transposed.
fn to_state(shape: Shape, numbers: &[f32]) -> Option<Vec<f32>> {
    let (n, len, width) = (shape.numbers(), shape.len, shape.width);
    let (log_z, networks) = numbers.split_first_chunk::<3>()?;
    if networks.len() != 6 * len {
        return None;
    }
    let mut state = vec![0.0; 4 * n + 2 * width * width];
    for (i, part) in networks.chunks_exact(len).enumerate() {
        let (side, kind) = (i / 3, i % 3);
        state[kind * n + side * len..][..len].copy_from_slice(part);
    }
    for (kind, &number) in log_z.iter().enumerate() {
        state[kind * n + 2 * len] = number;
    }
    for entry in shape.table().chunks_exact(ENTRY).enumerate() {
        if let (parameter, &[.., mirror]) = entry
            && mirror != NOWHERE
        {
            state[mirror as usize] = state[parameter];
        }
    }
    Some(state)
}

/// The way back, from parameters and moments.
fn to_numbers(shape: Shape, state: &[f32]) -> Vec<f32> {
    let (n, len) = (shape.numbers(), shape.len);
    let mut numbers: Vec<f32> = (0..3).map(|kind| state[kind * n + 2 * len]).collect();
    for side in 0..2 {
        for kind in 0..3 {
            numbers.extend_from_slice(&state[kind * n + side * len..][..len]);
        }
    }
    numbers
}

/// A place on the GPU where runs of one recipe's shape are trained.
pub struct GpuTrainer {
    client: Client,
    fault: Arc<OnceLock<String>>,
    shape: Shape,
    table: Handle,
    records: Handle,
    /// Groups of trajectories that the records have room for.
    room: usize,
}

impl GpuTrainer {
    /// Makes room for runs of `recipe`.
    ///
    /// # Errors
    /// What about the recipe can be trained on the CPU only.
    pub fn new(gpu: &Gpu, recipe: &Recipe) -> Result<GpuTrainer, String> {
        GpuTrainer::within(gpu, recipe, RECORD_BYTES)
    }

    fn within(gpu: &Gpu, recipe: &Recipe, record_bytes: usize) -> Result<GpuTrainer, String> {
        supports(recipe)?;
        let shape = Shape::of(recipe);
        let group_bytes = shape.slots() * shape.columns() * LANES * size_of::<f32>();
        let wanted = recipe.batch.div_ceil(LANES);
        let most = (record_bytes / group_bytes).max(1);
        // Whole workgroups.
        let room = wanted.min(most).next_multiple_of(shape.groups);
        let table = shape.table();
        Ok(GpuTrainer {
            client: gpu.client.clone(),
            fault: Arc::clone(&gpu.fault),
            table: gpu.client.create_from_slice(bytemuck::cast_slice(&table)),
            records: gpu.client.empty(room * group_bytes),
            room,
            shape,
        })
    }

    /// Goes `iterations` iterations on from where `trainer` is, as it would. All of it is on its
    /// way to the GPU when this returns; what is awaited is the state to restore the trainer to,
    /// and the progress of each iteration.
    ///
    /// # Errors
    /// When the trainer is of another recipe, when the GPU is lost or refuses the work, and when
    /// its numbers leave all bounds. A read that never ends is the caller's to time out.
    pub fn advance(
        &self,
        trainer: &Trainer,
        iterations: usize,
    ) -> impl Future<Output = Result<(Checkpoint, Vec<Progress>), String>> + use<> {
        let launched = self.launch(trainer, iterations);
        let (shape, client, fault) = (self.shape, self.client.clone(), Arc::clone(&self.fault));
        let first = trainer.iteration();
        async move {
            let check = || fault.get().map_or(Ok(()), |why| Err(why.clone()));
            check()?;
            let (state, losses) = launched?;
            let rest = shape.numbers() + 2 * shape.width * shape.width;
            let state = state.offset_end((rest * size_of::<f32>()) as u64);
            let read = client.read_async(vec![state, losses]).await;
            // A fault explains a failed read, and forbids to trust one that seems to have worked.
            check()?;
            let read = read.map_err(|error| {
                let text = error.to_string();
                format!("the GPU did not return a training: {}", cause(&text))
            })?;
            let read: Vec<Vec<f32>> = read
                .iter()
                .map(|b| bytemuck::pod_collect_to_vec(b))
                .collect();
            let [state, losses] = read.as_slice() else {
                return Err(format!("the GPU returned {} buffers of 2", read.len()));
            };
            if (state.len(), losses.len()) != (3 * shape.numbers(), 2 * iterations) {
                let (state, losses) = (state.len(), losses.len());
                return Err(format!("the GPU returned {state} and {losses} numbers"));
            }
            let numbers = to_numbers(shape, state);
            if let Some(bad) = losses.iter().chain(&numbers).find(|x| !x.is_finite()) {
                return Err(format!("training on the GPU arrived at {bad}"));
            }
            let pairs = losses.chunks_exact(2).zip(first + 1..);
            let progress = pairs.map(|(pair, iteration)| Progress {
                iteration,
                loss: pair[0],
                log_z: pair[1],
                is_finite: true,
            });
            let checkpoint = Checkpoint::new((first + iterations) as u32, numbers);
            Ok((checkpoint, progress.collect()))
        }
    }

    /// Starts the work. Returns the state that it changes, and where losses and log Z go.
    fn launch(&self, trainer: &Trainer, iterations: usize) -> Result<(Handle, Handle), String> {
        let (recipe, shape) = (trainer.recipe(), self.shape);
        supports(recipe)?;
        let checkpoint = trainer.checkpoint();
        let state = to_state(shape, checkpoint.numbers());
        let Some(state) = state.filter(|_| Shape::of(recipe) == shape) else {
            return Err("this run is of another shape than what the GPU was told".to_owned());
        };
        let len = state.len();
        let state = self.client.create_from_slice(bytemuck::cast_slice(&state));
        let densities: Vec<f32> = recipe.modes.iter().flat_map(log_density_of).collect();
        let modes = self
            .client
            .create_from_slice(bytemuck::cast_slice(&densities));
        // No buffer is empty.
        let losses = 2 * iterations.max(1);
        let progress = self.client.empty(losses * size_of::<f32>());
        let groups = shape.groups;
        let records = self.room * shape.slots() * shape.columns();
        let table = shape.numbers() * ENTRY;
        let [key_low, key_high] = Noise::new(trainer.noise()).key();
        let bridge = match recipe.options.backward_mean {
            BackwardMean::Bridge => 1.0f32,
            _ => 0.0,
        };
        let stds = recipe.options.std_range;
        let batch = recipe.batch as f32;
        for i in 0..iterations {
            let iteration = trainer.iteration() + i;
            let extra_std = recipe.exploration.extra_std(iteration, recipe.iterations);
            let rates = &recipe.options.learning_rates;
            let factor = rates.factor(iteration, recipe.iterations);
            let beta_2 = recipe.adam_beta_2;
            let power = iteration as i32 + 1;
            let corrections = [ADAM_BETA_1, beta_2].map(|beta| 1.0 - beta.powi(power));
            let mut begin = 0;
            while begin < recipe.batch {
                let count = (self.room * LANES).min(recipe.batch - begin);
                let workgroups = count.div_ceil(LANES * groups);
                let end = begin + count;
                // SAFETY: the lengths are those of the buffers, which were made for this shape.
                // The records have room for whole workgroups, every column of a record is below
                // their number, and the table holds places of the state only.
                unsafe {
                    walk_kernel::launch_unchecked(
                        &self.client,
                        CubeCount::Static(workgroups as u32, 1, 1),
                        CubeDim::new_2d(shape.width as u32, groups as u32),
                        BufferArg::from_raw_parts(state.clone(), len),
                        BufferArg::from_raw_parts(modes.clone(), densities.len()),
                        BufferArg::from_raw_parts(self.records.clone(), records),
                        recipe.start as f32,
                        extra_std as f32,
                        stds.min_std as f32,
                        stds.span() as f32,
                        bridge,
                        2.0 / batch,
                        key_low,
                        key_high,
                        (iteration * recipe.batch + begin) as u32,
                        count as u32,
                        workgroups * groups,
                        recipe.modes.len(),
                        shape,
                    );
                    adam_kernel::launch_unchecked(
                        &self.client,
                        CubeCount::Static(shape.numbers().div_ceil(PARAMETERS) as u32, 1, 1),
                        CubeDim::new_2d(PARAMETERS as u32, SUMMANDS as u32),
                        BufferArg::from_raw_parts(state.clone(), len),
                        BufferArg::from_raw_parts(self.records.clone(), records),
                        BufferArg::from_raw_parts(self.table.clone(), table),
                        BufferArg::from_raw_parts(progress.clone(), losses),
                        workgroups * groups,
                        u32::from(begin > 0),
                        u32::from(end == recipe.batch),
                        beta_2 as f32,
                        (1.0 - beta_2) as f32,
                        (-recipe.learning_rate * factor / corrections[0]) as f32,
                        (-recipe.log_z_learning_rate * factor / corrections[0]) as f32,
                        (1.0 / corrections[1]) as f32,
                        // The records hold 2/batch times the residuals.
                        0.25 * batch,
                        i,
                        shape.numbers(),
                        shape.columns(),
                    );
                }
                begin = end;
            }
        }
        Ok((state, progress))
    }
}

/// Whether the GPU can train a recipe.
///
/// # Errors
/// What it cannot do, for a reader.
pub fn supports(recipe: &Recipe) -> Result<(), String> {
    let shape = Shape::of(recipe);
    let options = &recipe.options;
    let why = if options.objective != Objective::TrajectoryBalance {
        options.objective.title().to_owned()
    } else if options.backward_rollouts != BackwardRollouts::None {
        "trajectories that are drawn backwards".to_owned()
    } else if options.backward_mean.fixed_std(1).is_some() {
        "a fixed backward policy".to_owned()
    } else if recipe.hidden > MOST_HIDDEN {
        format!("more than {MOST_HIDDEN} neurons a layer")
    } else if shape.shared_bytes() > SHARED_BYTES {
        format!("as many as {} steps at this width", recipe.steps)
    } else if recipe.modes.is_empty() || [recipe.steps, recipe.hidden, recipe.batch].contains(&0) {
        "a run without modes, steps, neurons or batch".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("the GPU's trainer does not know {why}"))
}

/// Trains a few iterations on the GPU and on the CPU, from one seed, and compares where they are
/// then. To be passed before a run of this recipe: its kernels are built for it.
///
/// # Errors
/// What the GPU cannot train, how it failed, or by how much it differs.
pub async fn self_test(gpu: &Gpu, recipe: &Recipe) -> Result<(), String> {
    const ITERATIONS: usize = 3;
    let recipe = Recipe {
        // Not a whole number of workgroups, so that their edges are tested too.
        batch: 30,
        ..recipe.clone()
    };
    let mut trainer = Trainer::new(&recipe, 1);
    let start = trainer.checkpoint();
    let advance = GpuTrainer::new(gpu, &recipe)?.advance(&trainer, ITERATIONS);
    let (got, _) = advance.await?;
    for _ in 0..ITERATIONS {
        trainer.step();
    }
    match difference(&start, &got, &trainer.checkpoint()) {
        difference if difference <= SELF_TEST_TOLERANCE => Ok(()),
        difference => Err(format!(
            "the GPU's test training differs from the CPU's by {difference:.2e} of its way, more \
             than {SELF_TEST_TOLERANCE:.0e}"
        )),
    }
}

/// How far two runs are from each other that left one start, as a part of the way that the second
/// went: the largest over parameters and moments of each network and over log Z. Infinite when
/// something is not a number.
fn difference(start: &Checkpoint, got: &Checkpoint, expected: &Checkpoint) -> f32 {
    let [start, got, expected] = [start, got, expected].map(Checkpoint::numbers);
    if start.len() != got.len() || got.len() != expected.len() {
        return f32::INFINITY;
    }
    let distance = |a: &[f32], b: &[f32]| -> f32 {
        let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f32>().sqrt()
    };
    let part = (start.len() - 3) / 6;
    let begins = (0..6).map(|i| 3 + i * part);
    let ranges = begins
        .map(|begin| begin..begin + part)
        .chain(std::iter::once(0..3));
    ranges.fold(0.0, |largest, range| {
        let [start, got, expected] = [start, got, expected].map(|all| &all[range.clone()]);
        let difference = distance(got, expected);
        let share = match distance(expected, start) {
            0.0 if difference == 0.0 => 0.0,
            way => difference / way,
        };
        if share.is_nan() {
            f32::INFINITY
        } else {
            largest.max(share)
        }
    })
}

/// A mode as the kernel reads it: mean, -1 / (2 var), -ln(2π var) / 2 + ln weight.
fn log_density_of(mode: &Mode) -> [f32; 3] {
    let log_peak = -0.5 * (std::f64::consts::TAU * mode.var).ln() + mode.weight.ln();
    [mode.mean as f32, (-0.5 / mode.var) as f32, log_peak as f32]
}

/// Draws `count` trajectories from number `first` on, in a workgroup for some groups of [`LANES`]
/// each, and leaves the records of their network evaluations, shaped [slot, group, column]: the
/// forward policy's slots first. The rows beyond `count` get no weight in any sum.
///
/// `state` is laid out by [`to_state`], `modes` by [`log_density_of`]. A thread is a neuron of both
/// networks' hidden layers, for one group; what the group as a whole needs is computed by each.
#[cube(launch_unchecked)]
fn walk_kernel(
    state: &[f32],
    modes: &[f32],
    records: &mut [Lanes],
    start: f32,
    extra_std: f32,
    least_std: f32,
    std_span: f32,
    bridge: f32,
    weight: f32,
    key_low: u32,
    key_high: u32,
    first: u32,
    count: u32,
    all_groups: usize,
    mode_count: usize,
    #[comptime] shape: Shape,
) {
    let width = comptime!(shape.width);
    let groups = comptime!(shape.groups);
    let steps = comptime!(shape.steps);
    let columns = comptime!(shape.columns());
    let lanes = comptime!(LANES as u32);
    let neuron = UNIT_POS_X as usize;
    let group = UNIT_POS_Y as usize;
    let global_group = CUBE_POS * groups + group;
    let row = global_group as u32 * lanes;

    let mut scratch = Shared::<[Lanes]>::new_slice(comptime!(shape.scratch() * shape.groups));
    let mut states = Shared::<[Lanes]>::new_slice(comptime!((shape.steps + 1) * shape.groups));
    let mut noise = Shared::<[f32]>::new_slice(comptime!(shape.steps * shape.groups * LANES));
    let mut slopes = Shared::<[Lanes]>::new_slice(comptime!(2 * shape.slots() * shape.groups));

    // The noise of all steps, shared out among the threads of the group.
    let mut i = UNIT_POS_X;
    while i < comptime!((shape.steps * LANES) as u32) {
        let z = normal(key_low, key_high, first + row + i % lanes, i / lanes);
        noise[i as usize * groups + group] = z;
        i += comptime!(shape.width as u32);
    }
    if neuron == 0 {
        states[group] = Lanes::new(start);
    }
    sync_cube();

    let mut x = Lanes::new(start);
    let mut residual = Lanes::new(state[comptime!(2 * shape.len)]);
    for t in 0..steps {
        let record = (t * all_groups + global_group) * columns;
        let law = evaluate(
            state,
            records,
            &mut scratch,
            x,
            t,
            record,
            0usize,
            0usize,
            least_std,
            std_span,
            shape,
        );
        let mut z = Lanes::empty();
        #[unroll]
        for lane in 0..LANES {
            z.insert(lane, noise[(t * LANES + lane) * groups + group]);
        }
        let next = x + law.mean + (law.std + Lanes::new(extra_std)) * z;
        let term = term(next - x, &law, std_span);
        residual += term.log_density;
        x = next;
        if neuron == 0 {
            states[(t + 1) * groups + group] = x;
            slopes[2 * t * groups + group] = term.by_mean;
            slopes[(2 * t + 1) * groups + group] = term.by_raw;
        }
    }
    residual -= log_reward(modes, x, mode_count);
    sync_cube();

    for t in comptime!(shape.counted)..comptime!(shape.steps + 1) {
        let slot = t + comptime!(shape.steps) - comptime!(shape.counted);
        let record = (slot * all_groups + global_group) * columns;
        let from = states[(t - 1) * groups + group];
        let to = states[t * groups + group];
        let base = comptime!(shape.len);
        let mirror = comptime!(shape.width * shape.width);
        let law = evaluate(
            state,
            records,
            &mut scratch,
            to,
            t,
            record,
            base,
            mirror,
            least_std,
            std_span,
            shape,
        );
        let way = (to - Lanes::new(start)) * Lanes::new(bridge / f32::cast_from(t));
        let term = term(to - from - way, &law, std_span);
        residual -= term.log_density;
        if neuron == 0 {
            slopes[2 * slot * groups + group] = -term.by_mean;
            slopes[(2 * slot + 1) * groups + group] = -term.by_raw;
        }
    }
    sync_cube();

    let mut by_residual = residual * Lanes::new(weight);
    #[unroll]
    for lane in 0..LANES {
        if row + comptime!(lane as u32) >= count {
            by_residual.insert(lane, 0.0f32);
        }
    }
    if neuron == 0 {
        records[global_group * columns + comptime!(shape.by_residual())] = by_residual;
    }
    let at = neuron * groups + group;
    for slot in 0..comptime!(shape.slots()) {
        let base = select(slot < steps, 0usize, comptime!(shape.len));
        let w1 = base + comptime!(shape.layers_len);
        let w2 = w1 + comptime!(shape.width * (shape.width + 1)) + neuron;
        let record = (slot * all_groups + global_group) * columns;
        let by_mean = slopes[2 * slot * groups + group] * by_residual;
        let by_raw = slopes[(2 * slot + 1) * groups + group] * by_residual;
        if neuron == 0 {
            records[record + comptime!(shape.by_mean())] = by_mean;
            records[record + comptime!(shape.by_mean() + 1)] = by_raw;
        }
        // What this thread left there itself.
        let layer_1 = records[record + neuron];
        let layer_2 = records[record + width + neuron];
        let by_neuron = Lanes::new(state[w2]) * by_mean + Lanes::new(state[w2 + width]) * by_raw;
        let by_sum = by_neuron * elu_slope(layer_2);
        records[record + comptime!(3 * shape.width) + neuron] = by_sum;
        scratch[at] = by_sum;
        sync_cube();
        let mut by_neuron = Lanes::new(0.0f32);
        for j in 0..width {
            by_neuron += Lanes::new(state[w1 + j * width + neuron]) * scratch[j * groups + group];
        }
        records[record + comptime!(2 * shape.width) + neuron] = by_neuron * elu_slope(layer_1);
        sync_cube();
    }
}

#[derive(CubeType)]
struct Law {
    mean: Lanes,
    std: Lanes,
    /// (std - least) / span.
    share: Lanes,
}

/// The network whose parameters begin at `base`, and its transposed W1 at `mirror` behind the
/// first, in the states (x, t) of a group. Leaves what it read and both layers in the record.
#[cube]
fn evaluate(
    state: &[f32],
    records: &mut [Lanes],
    scratch: &mut [Lanes],
    x: Lanes,
    t: usize,
    record: usize,
    base: usize,
    mirror: usize,
    least_std: f32,
    std_span: f32,
    #[comptime] shape: Shape,
) -> Law {
    let width = comptime!(shape.width);
    let groups = comptime!(shape.groups);
    let neuron = UNIT_POS_X as usize;
    let group = UNIT_POS_Y as usize;
    let read = record + comptime!(4 * shape.width);

    // What a group's threads tell each other: the first layer, the second, parts of the outputs,
    // and features.
    let second_at = comptime!(shape.width * shape.groups);
    let parts_at = comptime!(2 * shape.width * shape.groups);
    let inputs_at = comptime!((2 * shape.width + 2 * PARTS) * shape.groups);

    let sum = if comptime!(shape.feature_layers == 0) {
        let time = Lanes::new(f32::cast_from(t));
        if neuron == 0 {
            records[read] = x;
            records[read + 1] = time;
            records[read + 2] = Lanes::new(1.0f32);
        }
        let layer = base + neuron;
        Lanes::new(state[layer]) * x
            + Lanes::new(state[layer + width]) * time
            + Lanes::new(state[layer + comptime!(2 * shape.width)])
    } else {
        // A thread for each wave, and one for the rest.
        let mut wave_frequency = 0.0f32;
        #[unroll]
        for wave in 0..comptime!(FREQUENCIES.len()) {
            if neuron == wave {
                wave_frequency = f32::new(comptime!(frequency(wave)));
            }
        }
        let mut a = Lanes::new(comptime!(LINEAR_GAIN as f32)) * x;
        let mut b = Lanes::new(comptime!(SQUARE_GAIN as f32)) * x * x;
        let mut place = 0usize;
        if neuron < comptime!(FREQUENCIES.len()) {
            let turn = half_turn(Lanes::new(wave_frequency) * x);
            let gain = Lanes::new(comptime!(WAVE_GAIN as f32)) * turn.sign;
            a = gain * polynomial(turn.rest, 1usize);
            b = gain * polynomial(turn.rest, 0usize);
            place = 2 + 2 * neuron;
        }
        if neuron <= comptime!(FREQUENCIES.len()) {
            records[read + place] = a;
            records[read + place + 1] = b;
            scratch[inputs_at + place * groups + group] = a;
            scratch[inputs_at + (place + 1) * groups + group] = b;
        }
        if neuron == 0 {
            records[read + FEATURES] = Lanes::new(1.0f32);
        }
        sync_cube();
        let layer = base + (t % comptime!(shape.feature_layers)) * comptime!(shape.layer_len);
        let mut sum = Lanes::new(state[layer + comptime!(FEATURES * shape.width) + neuron]);
        for i in 0..FEATURES {
            sum += Lanes::new(state[layer + i * width + neuron])
                * scratch[inputs_at + i * groups + group];
        }
        sum
    };
    let first = elu(sum);
    let at = neuron * groups + group;
    scratch[at] = first;
    records[record + neuron] = first;
    sync_cube();

    let b1 = base + comptime!(shape.layers_len + shape.width * shape.width);
    let w2 = b1 + width;
    let w1 = comptime!(4 * shape.numbers()) + mirror + neuron;
    let mut sum = Lanes::new(state[b1 + neuron]);
    for k in 0..width {
        sum += Lanes::new(state[w1 + k * width]) * scratch[k * groups + group];
    }
    let second = elu(sum);
    scratch[second_at + at] = second;
    records[record + width + neuron] = second;
    sync_cube();

    let part = parts_at + 2 * neuron * groups + group;
    if neuron < PARTS {
        let mut mean = Lanes::new(0.0f32);
        let mut raw = Lanes::new(0.0f32);
        for i in 0..comptime!(shape.width / PARTS) {
            let j = i * PARTS + neuron;
            let second = scratch[second_at + j * groups + group];
            mean += Lanes::new(state[w2 + j]) * second;
            raw += Lanes::new(state[w2 + width + j]) * second;
        }
        scratch[part] = mean;
        scratch[part + groups] = raw;
    }
    sync_cube();
    let b2 = w2 + comptime!(2 * shape.width);
    let mut mean = Lanes::new(state[b2]);
    let mut raw = Lanes::new(state[b2 + 1]);
    for i in 0..PARTS {
        mean += scratch[parts_at + 2 * i * groups + group];
        raw += scratch[parts_at + (2 * i + 1) * groups + group];
    }
    let one = Lanes::new(1.0f32);
    let share = one / (one + Lanes::exp(-raw));
    Law {
        mean,
        std: Lanes::new(least_std) + Lanes::new(std_span) * share,
        share,
    }
}

/// A step's term of the residual and its derivatives by the law's mean and raw number.
#[derive(CubeType)]
struct Term {
    log_density: Lanes,
    by_mean: Lanes,
    by_raw: Lanes,
}

#[cube]
fn term(action: Lanes, law: &Law, std_span: f32) -> Term {
    let one = Lanes::new(1.0f32);
    let precision = one / law.std;
    let z = (action - law.mean) * precision;
    let square = z * z;
    let log_density =
        Lanes::new(-0.5f32) * square - Lanes::new(0.918_938_5f32) - Lanes::ln(law.std);
    let std_by_raw = Lanes::new(std_span) * law.share * (one - law.share);
    Term {
        log_density,
        by_mean: z * precision,
        by_raw: (square - one) * precision * std_by_raw,
    }
}

/// log R(x), in nats.
#[cube]
fn log_reward(modes: &[f32], x: Lanes, mode_count: usize) -> Lanes {
    let mut largest = Lanes::new(f32::MIN);
    for mode in 0..mode_count {
        largest = Lanes::max(largest, log_density(modes, mode, x));
    }
    let mut sum = Lanes::new(0.0f32);
    for mode in 0..mode_count {
        sum += Lanes::exp(log_density(modes, mode, x) - largest);
    }
    largest + Lanes::ln(sum)
}

#[cube]
fn log_density(modes: &[f32], mode: usize, x: Lanes) -> Lanes {
    let d = x - Lanes::new(modes[3 * mode]);
    Lanes::new(modes[3 * mode + 1]) * d * d + Lanes::new(modes[3 * mode + 2])
}

/// ELU's slope where its value is `neuron`.
#[cube]
fn elu_slope(neuron: Lanes) -> Lanes {
    let one = Lanes::new(1.0f32);
    select_many(neuron.greater_than(&Lanes::new(0.0f32)), one, neuron + one)
}

/// Sums every parameter's derivative over the records, and moves it by one step of Adam; the loss
/// is summed beside them and left in `progress`, with log Z. A batch that comes in parts is summed
/// over the launches: those but the first add (`adds` 1), and only the last moves (`moves` 1).
#[cube(launch_unchecked)]
fn adam_kernel(
    state: &mut [f32],
    records: &[Lanes],
    table: &[u32],
    progress: &mut [f32],
    all_groups: usize,
    adds: u32,
    moves: u32,
    keep_2: f32,
    take_2: f32,
    rate: f32,
    log_z_rate: f32,
    correct_2: f32,
    loss_weight: f32,
    iteration: usize,
    #[comptime] numbers: usize,
    #[comptime] columns: usize,
) {
    let mut sums = Shared::<[f32]>::new_slice(comptime!(PARAMETERS * SUMMANDS));
    let unit = UNIT_POS_X as usize;
    let parameter = CUBE_POS * PARAMETERS + unit;
    if parameter < numbers {
        let a = table[parameter * ENTRY] as usize;
        let b = table[parameter * ENTRY + 1] as usize;
        let end = table[parameter * ENTRY + 3] as usize * all_groups;
        let mut record = table[parameter * ENTRY + 2] as usize * all_groups + UNIT_POS_Y as usize;
        let mut sum = Lanes::new(0.0f32);
        while record < end {
            sum += records[record * columns + a] * records[record * columns + b];
            record += SUMMANDS;
        }
        let mut total = 0.0f32;
        #[unroll]
        for lane in 0..LANES {
            total += sum.extract(lane);
        }
        sums[UNIT_POS as usize] = total;
    }
    sync_cube();
    if parameter < numbers && UNIT_POS_Y == 0 {
        let mut gradient = 0.0f32;
        #[unroll]
        for part in 0..SUMMANDS {
            gradient += sums[part * PARAMETERS + unit];
        }
        let kept = parameter + 3 * numbers;
        if adds == 1 {
            gradient += state[kept];
        }
        if moves == 0 {
            state[kept] = gradient;
        } else if parameter == numbers - 1 {
            progress[2 * iteration] = gradient * loss_weight;
        } else {
            let second_at = parameter + 2 * numbers;
            let first = state[parameter + numbers] * comptime!(ADAM_BETA_1 as f32)
                + gradient * comptime!((1.0 - ADAM_BETA_1) as f32);
            let second = state[second_at] * keep_2 + gradient * gradient * take_2;
            state[parameter + numbers] = first;
            state[second_at] = second;
            let step = first / (f32::sqrt(second * correct_2) + comptime!(ADAM_EPSILON as f32));
            let is_log_z = parameter == numbers - 2;
            let moved = state[parameter] + step * select(is_log_z, log_z_rate, rate);
            state[parameter] = moved;
            if is_log_z {
                progress[2 * iteration + 1] = moved;
            }
            let mirror = table[parameter * ENTRY + 4];
            if mirror != NOWHERE {
                state[mirror as usize] = moved;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cubecl::future::block_on;
    use gflownet_tour_core::experiment::EXPERIMENTS;

    fn trainer() -> Trainer {
        let recipe = Recipe {
            batch: 8,
            hidden: 16,
            ..Recipe::of(&EXPERIMENTS[0])
        };
        Trainer::new(&recipe, 1)
    }

    #[test]
    fn a_state_goes_to_the_gpu_and_comes_back() {
        let mut trainer = trainer();
        trainer.step();
        let checkpoint = trainer.checkpoint();
        let shape = Shape::of(trainer.recipe());
        let state = to_state(shape, checkpoint.numbers()).unwrap();
        assert_eq!(to_numbers(shape, &state), checkpoint.numbers());
        assert_eq!(to_state(shape, &checkpoint.numbers()[1..]), None);
    }

    #[test]
    fn a_wrong_kernel_is_seen() {
        let mut trainer = trainer();
        let start = trainer.checkpoint();
        trainer.step();
        let expected = trainer.checkpoint();
        assert_eq!(difference(&start, &expected, &expected), 0.0);
        // One that does nothing, and ones that forget or spoil one network's part.
        assert!(difference(&start, &start, &expected) >= 0.9);
        let part = (start.numbers().len() - 3) / 6;
        for wrong in [0.0, f32::NAN] {
            for begin in (3..start.numbers().len()).step_by(part) {
                let mut numbers = expected.numbers().to_vec();
                numbers[begin..begin + part].fill(wrong);
                let got = Checkpoint::new(1, numbers);
                assert!(
                    difference(&start, &got, &expected) >= 0.9,
                    "{wrong} {begin}"
                );
            }
        }
    }

    /// A device that was lost ends with its reason, before and after the launches.
    #[test]
    fn a_lost_device_is_an_error() {
        let Ok(gpu) = block_on(Gpu::start()) else {
            return;
        };
        let trainer = trainer();
        let on_gpu = GpuTrainer::new(&gpu, trainer.recipe()).unwrap();
        let on_its_way = on_gpu.advance(&trainer, 2);
        gpu.fault.set("it was lost".to_owned()).unwrap();
        for advance in [on_its_way, on_gpu.advance(&trainer, 2)] {
            assert_eq!(block_on(advance).unwrap_err(), "it was lost");
        }
        assert_eq!(
            block_on(self_test(&gpu, trainer.recipe())),
            Err("it was lost".to_owned())
        );
    }
}
