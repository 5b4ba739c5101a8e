//! The GPU kernel: every step of a few trajectories in one thread, on the runtime of burn-wgpu
//! (WebGPU in a browser, Vulkan and its like elsewhere).
//!
//! One launch draws and counts a whole batch: the weights lie in one read-only buffer, the two
//! hidden layers never leave the thread, and what comes back is the histogram, the basins' counts
//! and the few trajectories to draw. Its twin on the CPU is
//! [`gflownet_tour_speed::sampler`]; [`Gpu::self_test`] holds the one against the other before a reader
//! sees a number, because a browser that rejects a kernel reports nothing: the read then returns
//! whatever the buffer held.

use burn_wgpu::graphics::AutoGraphicsApi;
use burn_wgpu::{RuntimeOptions, WgpuDevice, WgpuInitError, WgpuSetup, try_init_setup_async};
use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::server::Handle;
use gflownet_tour_core::counts::Counts;
use gflownet_tour_core::noise::{CENTRAL, Noise, TAIL, ThreefryRng};
use gflownet_tour_core::policy::{
    FEATURES, FREQUENCIES, Inputs, LINEAR_GAIN, Policy, SQUARE_GAIN, StdRange, WAVE_GAIN,
};
use gflownet_tour_core::rollout::{Rollout, Trajectories};
use std::sync::{Arc, OnceLock};

/// Threads in a workgroup. Every WebGPU device takes 256; 64 leaves a thread more registers and
/// spreads a batch of a few thousand trajectories over more of the GPU.
const WORKGROUP: u32 = 64;

/// Trajectories that one thread walks side by side: every weight is read once for all of them,
/// and the reads are what the kernel waits for.
pub(crate) const LANES: usize = 4;
pub(crate) type Lanes = Vector<f32, Const<4>>;

/// The largest difference to the CPU's states, in units of x, that the self-test forgives.
/// Rounding alone stays some fifty times below it; a wrong kernel is wrong by tenths.
pub const SELF_TEST_TOLERANCE: f32 = 1e-3;

/// Counts that the self-test forgives, of samples at the edge of a bin.
const SELF_TEST_MISCOUNTS: u32 = 4;

/// A GPU that is ready to draw. At most one can be started in a process (or worker).
pub struct Gpu {
    pub(crate) client: Client,
    adapter: String,
    /// Why the device can no longer be trusted, once it cannot.
    pub(crate) fault: Arc<OnceLock<String>>,
}

/// A policy's weights in the GPU's memory.
#[derive(Clone, Debug)]
pub struct GpuPolicy {
    parameters: Handle,
    len: usize,
    inputs: Inputs,
    hidden: usize,
    std_range: StdRange,
}

impl Gpu {
    /// Asks for a GPU and a device on it.
    ///
    /// # Errors
    /// The reason, for a reader, when there is no WebGPU, no adapter or no device.
    pub async fn start() -> Result<Gpu, String> {
        let device = WgpuDevice::default();
        let options = RuntimeOptions::try_default().map_err(|error| error.to_string())?;
        let setup = try_init_setup_async::<AutoGraphicsApi>(&device, options)
            .await
            .map_err(|error| match error {
                WgpuInitError::AdapterUnavailable { .. } => {
                    "no GPU adapter: neither the browser nor the graphics driver offers one here"
                        .to_owned()
                }
                other => other.to_string(),
            })?;

        // The runtime's own handler panics on an error that no call returned. Here such an error
        // ends the use of the GPU and nothing else.
        let fault = Arc::new(OnceLock::new());
        let note = Arc::clone(&fault);
        setup.device.on_uncaptured_error(Arc::new(move |error| {
            // The rest is the browser's trace of its own calls.
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            let _ = note.set(format!("the GPU reported an error: {first}"));
        }));
        let note = Arc::clone(&fault);
        setup.device.set_device_lost_callback(move |reason, text| {
            let _ = note.set(format!("the GPU device was lost ({reason:?}): {text}"));
        });

        Ok(Gpu {
            client: cubecl::Device::Wgpu(device).client(),
            adapter: adapter_name(&setup),
            fault,
        })
    }

    /// What the browser or the driver calls the GPU.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// Why the device can no longer be used (lost, or an error that no call returned), once that
    /// has happened.
    pub fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// Copies a policy's weights to the GPU.
    pub fn load(&self, policy: &Policy<f32>) -> GpuPolicy {
        let parameters = policy.parameters();
        GpuPolicy {
            parameters: self
                .client
                .create_from_slice(bytemuck::cast_slice(parameters)),
            len: parameters.len(),
            inputs: policy.inputs(),
            hidden: policy.hidden(),
            std_range: policy.std_range(),
        }
    }

    /// Draws `count` trajectories: [`Rollout::draw`] on the GPU, to rounding.
    ///
    /// # Errors
    /// When the device is lost or refuses the work. A read that never ends is the caller's to
    /// time out.
    pub async fn draw(
        &self,
        policy: &GpuPolicy,
        rollout: &Rollout,
        count: usize,
    ) -> Result<Trajectories<f32>, String> {
        let mut ignored = Counts::new((0.0, 1.0), 1, &[]);
        self.count(policy, rollout, count, count, &mut ignored)
            .await
    }

    /// Draws `count` trajectories, adds their terminal states to `counts`, and returns the first
    /// `paths` of them. Nothing is counted when it fails.
    ///
    /// # Errors
    /// As [`Gpu::draw`].
    pub async fn count(
        &self,
        policy: &GpuPolicy,
        rollout: &Rollout,
        count: usize,
        paths: usize,
        counts: &mut Counts,
    ) -> Result<Trajectories<f32>, String> {
        let steps = rollout.steps;
        let paths = paths.min(count);
        let len = paths * (steps + 1);
        if count == 0 {
            return Ok(Trajectories {
                steps,
                states: Vec::new(),
            });
        }
        self.check()?;
        let (bins, midpoints) = (counts.bins(), counts.midpoints());
        let (lo, hi) = counts.range();
        // No buffer is empty, even where nothing is written to it.
        let states = self.client.empty(len.max(1) * size_of::<f32>());
        // The bins, the samples above each midpoint, and those that are numbers.
        let slots = bins + midpoints.len() + 1;
        let tally = self
            .client
            .create_from_slice(bytemuck::cast_slice(&vec![0u32; slots]));
        let mut between = midpoints.to_vec();
        between.resize(between.len().max(1), f32::INFINITY);
        let between_len = between.len();
        let between = self
            .client
            .create_from_slice(bytemuck::cast_slice(&between));
        let [key_low, key_high] = Noise::new(rollout.seed).key();
        let workgroups = count.div_ceil(WORKGROUP as usize * LANES) as u32;
        // SAFETY: the lengths are those of the buffers, which come from `load` and from the calls
        // above. The kernel reads the parameters that a policy of this shape has and the midpoints
        // below their number, writes row `i` of the states for i < paths, and counts in slots
        // below `slots`.
        unsafe {
            rollout_kernel::launch_unchecked(
                &self.client,
                CubeCount::Static(workgroups, 1, 1),
                CubeDim::new_1d(WORKGROUP),
                BufferArg::from_raw_parts(policy.parameters.clone(), policy.len),
                BufferArg::from_raw_parts(between, between_len),
                BufferArg::from_raw_parts(states.clone(), len.max(1)),
                BufferArg::from_raw_parts(tally.clone(), slots),
                rollout.start as f32,
                rollout.sigma_scale as f32,
                rollout.extra_std as f32,
                policy.std_range.min_std as f32,
                policy.std_range.span() as f32,
                key_low,
                key_high,
                rollout.first,
                count as u32,
                paths as u32,
                steps as u32,
                lo as f32,
                (bins as f64 / (hi - lo)) as f32,
                bins as u32,
                midpoints.len() as u32,
                feature_layers(policy.inputs),
                policy.hidden,
            );
        }
        let read = self.client.read_async(vec![states, tally]).await;
        let read = read.map_err(|error| {
            let text = error.to_string();
            format!("the GPU did not return a batch: {}", cause(&text))
        });
        // A fault explains a failed read, and forbids to trust one that seems to have worked.
        self.check()?;
        let read = read?;
        let [states, tally] = read.as_slice() else {
            return Err(format!("the GPU returned {} buffers of 2", read.len()));
        };
        let sizes = (states.len(), tally.len());
        let expected = (len.max(1) * size_of::<f32>(), slots * size_of::<u32>());
        if sizes != expected {
            return Err(format!(
                "the GPU returned {} and {} bytes for a batch of {} and {}",
                sizes.0, sizes.1, expected.0, expected.1
            ));
        }
        let tally: Vec<u32> = bytemuck::pod_collect_to_vec(tally);
        let (in_bins, rest) = tally.split_at(bins);
        let (above, numbers) = rest.split_at(rest.len() - 1);
        counts.merge(in_bins, above, numbers[0], count as u32);
        let mut states: Vec<f32> = bytemuck::pod_collect_to_vec(states);
        states.truncate(len);
        Ok(Trajectories { steps, states })
    }

    /// Draws a fixed batch of a fixed policy that reads `inputs`, and compares it with the CPU's:
    /// what a policy reads decides which kernel draws from it.
    ///
    /// # Errors
    /// When the GPU fails or differs by more than [`SELF_TEST_TOLERANCE`], with the figures.
    pub async fn self_test(&self, inputs: Inputs) -> Result<(), String> {
        let policy = Policy::<f32>::init_with(
            inputs,
            gflownet_tour_core::experiment::HIDDEN,
            &mut ThreefryRng::new(1, 0),
        );
        let rollout = Rollout {
            start: 0.25,
            steps: 5,
            sigma_scale: 0.7,
            extra_std: 0.0,
            seed: 0x0123_4567_89ab_cdef,
            first: 1_000,
        };
        // Not a multiple of the workgroup, so that its edge is tested too.
        let count = 250;
        let expected = rollout.draw(&policy, count);
        let mut counted = Counts::new((-3.0, 3.0), 40, &[-0.5, 0.25]);
        let mut recounted = counted.clone();
        let loaded = self.load(&policy);
        let got = self
            .count(&loaded, &rollout, count, count, &mut counted)
            .await?;
        let difference = largest_difference(&got.states, &expected.states);
        if difference > SELF_TEST_TOLERANCE {
            return Err(format!(
                "the GPU's test batch differs from the CPU's by {difference:.2e}, \
                 more than {SELF_TEST_TOLERANCE:.0e}"
            ));
        }
        recounted.add(&got.terminals().collect::<Vec<f32>>());
        match counted.difference(&recounted) {
            0..=SELF_TEST_MISCOUNTS => Ok(()),
            wrong => Err(format!(
                "the GPU counted {wrong} of its {count} test trajectories in other places than \
                 the CPU"
            )),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.fault().map_or(Ok(()), |why| Err(why.to_owned()))
    }
}

/// First layers of a policy that reads features; none for one that reads the state.
fn feature_layers(inputs: Inputs) -> usize {
    match inputs {
        Inputs::StepFeatures { steps } => steps,
        _ => 0,
    }
}

/// The innermost cause in an error of the runtime, which ends with a backtrace.
pub(crate) fn cause(text: &str) -> &str {
    text.lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Backtrace"))
        .filter(|line| !line.is_empty())
        .last()
        .unwrap_or("no reason was given")
}

/// What a reader may call the GPU. Browsers leave the description empty unless a developer asks,
/// but name the vendor and the architecture.
fn adapter_name(setup: &WgpuSetup) -> String {
    #[cfg(target_arch = "wasm32")]
    let names = setup.device.as_webgpu().map(|device| {
        let info = device.adapter_info();
        [
            info.description(),
            format!("{} {}", info.vendor(), info.architecture()),
        ]
    });
    #[cfg(not(target_arch = "wasm32"))]
    let names = Some([setup.adapter.get_info().name]);

    names
        .into_iter()
        .flatten()
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "a GPU without a name".to_owned())
}

/// The largest absolute difference of two slices of states; infinite when a value is not a number
/// or the lengths differ.
fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    a.iter().zip(b).fold(0.0, |largest, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() {
            f32::INFINITY
        } else {
            largest.max(difference)
        }
    })
}

/// Draws trajectory `first + i`, i < count. The first `paths` go into the rows of `states`, shaped
/// [paths, steps + 1]; the terminal states of all are counted in `tally`: a slot for each of `bins`
/// bins from `lo` on, one for each midpoint and the states above it, one for all numbers.
///
/// `parameters` holds a policy in storage order. One thread walks [`LANES`] neighbouring
/// trajectories; every row is guarded by `count`, so the launch needs no bounds checks.
#[cube(launch_unchecked)]
fn rollout_kernel(
    parameters: &[f32],
    midpoints: &[f32],
    states: &mut [f32],
    tally: &mut [Atomic<u32>],
    start: f32,
    sigma_scale: f32,
    extra_std: f32,
    min_std: f32,
    std_span: f32,
    key_low: u32,
    key_high: u32,
    first: u32,
    count: u32,
    paths: u32,
    steps: u32,
    lo: f32,
    per_unit: f32,
    bins: u32,
    midpoint_count: u32,
    #[comptime] feature_layers: usize,
    #[comptime] hidden: usize,
) {
    let row = ABSOLUTE_POS as u32 * comptime!(LANES as u32);
    if row < count {
        let mut first_layer = Array::<Lanes>::new(hidden);
        let mut x = Lanes::new(start);
        write(states, x, row, 0u32, paths, steps);
        for step in 0..steps {
            if comptime!(feature_layers == 0) {
                read_state(parameters, x, step, &mut first_layer, hidden);
            } else {
                read_features(
                    parameters,
                    x,
                    step,
                    &mut first_layer,
                    feature_layers,
                    hidden,
                );
            }
            let w1 = comptime!(match feature_layers {
                0 => 3 * hidden,
                layers => layers * hidden * (FEATURES + 1),
            });
            let law = evaluate(parameters, &first_layer, min_std, std_span, w1, hidden);
            let std = law.std * Lanes::new(sigma_scale) + Lanes::new(extra_std);
            let mut z = Lanes::empty();
            #[unroll]
            for lane in 0..LANES {
                let trajectory = first + row + comptime!(lane as u32);
                z.insert(lane, normal(key_low, key_high, trajectory, step));
            }
            x = x + law.mean + std * z;
            write(states, x, row, step + 1, paths, steps);
        }
        #[unroll]
        for lane in 0..LANES {
            if row + comptime!(lane as u32) < count {
                tally_one(
                    tally,
                    midpoints,
                    x.extract(lane),
                    lo,
                    per_unit,
                    bins,
                    midpoint_count,
                );
            }
        }
    }
}

/// Counts one terminal state, as [`Counts::add`] does.
#[cube]
fn tally_one(
    tally: &mut [Atomic<u32>],
    midpoints: &[f32],
    x: f32,
    lo: f32,
    per_unit: f32,
    bins: u32,
    midpoint_count: u32,
) {
    let place = (x - lo) * per_unit;
    if place >= 0.0f32 && place < f32::cast_from(bins) {
        tally[u32::cast_from(place) as usize].fetch_add(1u32);
    }
    for i in 0..midpoint_count {
        if x > midpoints[i as usize] {
            tally[(bins + i) as usize].fetch_add(1u32);
        }
    }
    if x <= 0.0f32 || x > 0.0f32 {
        tally[(bins + midpoint_count) as usize].fetch_add(1u32);
    }
}

/// Writes x_t of the rows from `row` on.
#[cube]
fn write(states: &mut [f32], x: Lanes, row: u32, t: u32, rows: u32, steps: u32) {
    #[unroll]
    for lane in 0..LANES {
        let row = row + comptime!(lane as u32);
        if row < rows {
            states[(row * (steps + 1) + t) as usize] = x.extract(lane);
        }
    }
}

#[derive(CubeType)]
struct Law {
    mean: Lanes,
    std: Lanes,
}

/// The first hidden layer of a policy that reads the state.
#[cube]
fn read_state(
    parameters: &[f32],
    x: Lanes,
    step: u32,
    first: &mut Array<Lanes>,
    #[comptime] hidden: usize,
) {
    let b0 = comptime!(2 * hidden);
    let t = f32::cast_from(step);
    #[unroll]
    for i in 0..hidden {
        let at_zero = parameters[2 * i + 1] * t + parameters[b0 + i];
        first[i] = elu(Lanes::new(parameters[2 * i]) * x + Lanes::new(at_zero));
    }
}

/// Radians per unit of x of a wave, for the kernel's compiler.
pub(crate) fn frequency(wave: usize) -> f32 {
    FREQUENCIES[wave] as f32
}

/// The first hidden layer of a policy that reads features, of which it has one a step.
#[cube]
fn read_features(
    parameters: &[f32],
    x: Lanes,
    step: u32,
    first: &mut Array<Lanes>,
    #[comptime] layers: usize,
    #[comptime] hidden: usize,
) {
    let neuron = (step as usize % layers) * hidden;
    let b0 = comptime!(layers * hidden * FEATURES) + neuron;
    let w0 = neuron * FEATURES;
    let x_scaled = Lanes::new(comptime!(LINEAR_GAIN as f32)) * x;
    let square = Lanes::new(comptime!(SQUARE_GAIN as f32)) * x * x;
    #[unroll]
    for i in 0..hidden {
        let row = w0 + comptime!(i * FEATURES);
        first[i] = Lanes::new(parameters[b0 + i])
            + Lanes::new(parameters[row]) * x_scaled
            + Lanes::new(parameters[row + 1]) * square;
    }
    #[unroll]
    for wave in 0..comptime!(FREQUENCIES.len()) {
        let angle = Lanes::new(comptime!(frequency(wave))) * x;
        let gain = Lanes::new(comptime!(WAVE_GAIN as f32));
        let turn = half_turn(angle);
        let sin = gain * turn.sign * polynomial(turn.rest, 1usize);
        let cos = gain * turn.sign * polynomial(turn.rest, 0usize);
        #[unroll]
        for i in 0..hidden {
            let row = w0 + comptime!(i * FEATURES + 2 + 2 * wave);
            first[i] += Lanes::new(parameters[row]) * sin + Lanes::new(parameters[row + 1]) * cos;
        }
    }
    #[unroll]
    for i in 0..hidden {
        first[i] = elu(first[i]);
    }
}

/// [`Policy::evaluate`] for [`LANES`] states, from the first hidden layer, which is kept in
/// registers where the compiler can (its indices are known when the kernel is built); each neuron
/// of the second is added to both outputs as soon as it is known. `w1` is where the parameters
/// behind the first layer begin.
#[cube]
fn evaluate(
    parameters: &[f32],
    first: &Array<Lanes>,
    min_std: f32,
    std_span: f32,
    #[comptime] w1: usize,
    #[comptime] hidden: usize,
) -> Law {
    let b1 = comptime!(w1 + hidden * hidden);
    let w2 = comptime!(b1 + hidden);
    let b2 = comptime!(w2 + 2 * hidden);

    let mut mean = Lanes::new(parameters[b2]);
    let mut raw = Lanes::new(parameters[b2 + 1]);
    for j in 0..hidden {
        let row = w1 + j * hidden;
        let mut sum = Lanes::new(parameters[b1 + j]);
        #[unroll]
        for i in 0..hidden {
            sum += Lanes::new(parameters[row + i]) * first[i];
        }
        let second = elu(sum);
        mean += Lanes::new(parameters[w2 + j]) * second;
        raw += Lanes::new(parameters[w2 + hidden + j]) * second;
    }
    let one = Lanes::new(1.0f32);
    let std = Lanes::new(min_std) + Lanes::new(std_span) / (one + Lanes::exp(-raw));
    Law { mean, std }
}

/// An angle as whole half turns and a rest in [-π/2, π/2]; an odd number of half turns changes the
/// sign of sine and cosine.
#[derive(CubeType)]
pub(crate) struct HalfTurn {
    pub sign: Lanes,
    pub rest: Lanes,
}

/// WGSL promises its own sine and cosine to 2^-11 only, and nothing beyond one turn.
#[cube]
pub(crate) fn half_turn(angle: Lanes) -> HalfTurn {
    let turns = Lanes::floor(
        angle * Lanes::new(comptime!(std::f32::consts::FRAC_1_PI)) + Lanes::new(0.5f32),
    );
    let pairs = Lanes::floor(turns * Lanes::new(0.5f32));
    let odd = turns - pairs * Lanes::new(2.0f32);
    // π in three parts, the first two so short that their products with the turns are exact.
    let rest = angle
        - turns * Lanes::new(3.140_625f32)
        - turns * Lanes::new(9.675_026e-4f32)
        - turns * Lanes::new(1.509_958e-7f32);
    HalfTurn {
        sign: Lanes::new(1.0f32) - odd * Lanes::new(2.0f32),
        rest,
    }
}

/// The sine (`power` 1) or the cosine (`power` 0) of an angle in [-π/2, π/2], by its power series
/// up to the twelfth power: to 6e-8.
#[cube]
pub(crate) fn polynomial(x: Lanes, #[comptime] power: usize) -> Lanes {
    let square = x * x;
    let mut sum = Lanes::new(1.0f32);
    #[unroll]
    for term in 0..6usize {
        let last = comptime!(12 - 2 * term + power);
        let factor = comptime!(-1.0f32 / (last * (last - 1)) as f32);
        sum = Lanes::new(1.0f32) + sum * square * Lanes::new(factor);
    }
    if comptime!(power == 1) { sum * x } else { sum }
}

#[cube]
pub(crate) fn elu(x: Lanes) -> Lanes {
    // No expm1 on a GPU: near zero the difference costs at most one unit of 2^-24.
    let below = Lanes::exp(x) - Lanes::new(1.0f32);
    select_many(x.greater_than(&Lanes::new(0.0f32)), x, below)
}

/// [`Noise::normal`].
#[cube]
pub(crate) fn normal(key_low: u32, key_high: u32, trajectory: u32, step: u32) -> f32 {
    let key_parity = 0x1BD1_1BDAu32 ^ key_low ^ key_high;
    let mut x0 = trajectory + key_low;
    let mut x1 = step / 2 + key_high;

    x0 = four_rounds(x0, &mut x1, 13u32, 15u32, 26u32, 6u32);
    x0 += key_high;
    x1 += key_parity + 1;
    x0 = four_rounds(x0, &mut x1, 17u32, 29u32, 16u32, 24u32);
    x0 += key_parity;
    x1 += key_low + 2;
    x0 = four_rounds(x0, &mut x1, 13u32, 15u32, 26u32, 6u32);
    x0 += key_low;
    x1 += key_high + 3;
    x0 = four_rounds(x0, &mut x1, 17u32, 29u32, 16u32, 24u32);
    x0 += key_high;
    x1 += key_parity + 4;
    x0 = four_rounds(x0, &mut x1, 13u32, 15u32, 26u32, 6u32);
    x0 += key_parity;
    x1 += key_low + 5;

    normal_from_bits(select(step & 1 == 0, x0, x1))
}

/// Four of Threefry's rounds: returns the first word and changes the second.
#[cube]
fn four_rounds(
    first: u32,
    second: &mut u32,
    #[comptime] r0: u32,
    #[comptime] r1: u32,
    #[comptime] r2: u32,
    #[comptime] r3: u32,
) -> u32 {
    let mut x0 = first;
    let mut x1 = *second;
    x0 += x1;
    x1 = ((x1 << r0) | (x1 >> comptime!(32 - r0))) ^ x0;
    x0 += x1;
    x1 = ((x1 << r1) | (x1 >> comptime!(32 - r1))) ^ x0;
    x0 += x1;
    x1 = ((x1 << r2) | (x1 >> comptime!(32 - r2))) ^ x0;
    x0 += x1;
    x1 = ((x1 << r3) | (x1 >> comptime!(32 - r3))) ^ x0;
    *second = x1;
    x0
}

/// [`gflownet_tour_core::noise::normal_from_bits`].
#[cube]
fn normal_from_bits(bits: u32) -> f32 {
    let x = (f32::cast_from(bits >> 9u32) + 0.5f32) * comptime!(1.0f32 / 4_194_304.0) - 1.0f32;
    let w = -f32::ln((1.0f32 - x) * (1.0f32 + x));
    let near = w - 2.5f32;
    let far = f32::sqrt(w) - 3.0f32;
    let mut central = f32::new(comptime!(CENTRAL[0]));
    let mut tail = f32::new(comptime!(TAIL[0]));
    #[unroll]
    for power in 1..9usize {
        central = central * near + comptime!(CENTRAL[power]);
        tail = tail * far + comptime!(TAIL[power]);
    }
    select(w < 5.0f32, central, tail) * x * comptime!(std::f32::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_is_no_number_is_infinite() {
        assert_eq!(largest_difference(&[1.0, 2.0], &[1.0, 2.5]), 0.5);
        assert_eq!(
            largest_difference(&[1.0, f32::NAN], &[1.0, 2.5]),
            f32::INFINITY
        );
        assert_eq!(largest_difference(&[1.0], &[1.0, 2.5]), f32::INFINITY);
    }

    #[test]
    fn the_innermost_cause_is_told_without_its_backtrace() {
        let text = "An error happened\nCaused by:\n  the buffer could not be mapped\nBacktrace:\n0";
        assert_eq!(cause(text), "the buffer could not be mapped");
        assert_eq!(cause(""), "no reason was given");
    }
}
