//! What the page and the engine's worker say to each other.
//!
//! Each message crosses the thread border as one `Uint8Array` of postcard bytes, written by
//! [`encode`] and read by [`decode`]. Both ends are built from one source, so the format needs no
//! version of its own: the engine's first message names its [`BUILD`], and an end of another build is
//! told so and no more is said to it.

use crate::checkpoint::Checkpoint;
use crate::files::Files;
use crate::lab::Settings;
use crate::trace::Trace;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// This build's name: a hash of the crate's sources. Files of different builds meet where a cache or
/// a half-finished upload mixes them.
pub const BUILD: &str = env!("GFLOWNET_TOUR_BUILD");

/// The standard deviation of the placeholder policy, whose mean is 0, in units of x.
pub const PLACEHOLDER_STD: f64 = 0.3;

/// The most bins or cells over an x-range that an answer has.
pub const MOST_CELLS: u32 = 10_000;

/// Page to engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToEngine {
    /// The first message. `files` says where to fetch what later messages ask for, such as
    /// `pretrained/NAME.safetensors`, and how to tell it from something else; `threads` how many may
    /// draw on the CPU by the sampler for relaxed SIMD, 0 if that is not wanted; with `gpu` false no GPU
    /// is asked for (after a crash, say).
    Start {
        files: Files,
        threads: u32,
        gpu: bool,
    },
    /// Fetch and check the weights of the experiment called `model`, or of the model of every
    /// temperature.
    Load { model: String },
    /// Fetch and check the snapshots of `model`'s training: `file`, below the folder of the weights,
    /// must have the SHA-256 `sha256`.
    LoadSnapshots {
        model: String,
        file: String,
        sha256: String,
    },
    /// Run a batch. A request replaces an older one of the same `demo` that still waits or runs.
    Sample(SampleRequest),
    /// Compute something exact about a model. A request replaces an older one of the same `panel`
    /// that still waits; weights that are not there are fetched.
    Study(StudyRequest),
    /// Train the experiment called `model` anew, from `seed` and for its first `iterations`.
    Train {
        model: String,
        seed: u64,
        iterations: u32,
    },
    /// A [`ToRun`] in bytes of its own: the page's WASM file, which has no use for it, then does
    /// not carry its code.
    Run(Vec<u8>),
}

/// The laboratory to a worker that trains for it. A worker has one run at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToRun {
    /// Begin a run, paused, in the place of the one before.
    Begin(Box<Begin>),
    /// Go on to the end, which is the recipe's number of iterations.
    Play,
    Pause,
    /// Do one iteration and pause.
    Step,
    /// Go on with the learning rates and the noise of these settings; the others are the run's.
    Tune(Box<Settings>),
    /// Do no more than this many iterations a second.
    Limit(Option<f64>),
    /// Change what the reports show.
    Look(Look),
    /// The report with this number has arrived: the next but one may be sent.
    Heard(u32),
    /// Train an ensemble, at once and to its end, beside the run if there is one.
    Seeds(Box<BeginSeeds>),
}

/// What an ensemble is: one training by several seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeginSeeds {
    /// The settings of every run, but for the seed.
    pub settings: Settings,
    /// The seeds, in the order in which they are trained.
    pub seeds: Vec<u64>,
    /// The x-range of the densities.
    pub range: (f64, f64),
    /// Their cells.
    pub cells: u32,
}

/// How a run begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// Which run this is: a number that its reports carry.
    pub run: u32,
    pub settings: Settings,
    pub look: Look,
    /// Where to go on; none for the beginning.
    pub from: Option<Checkpoint>,
}

/// What the reports of a run show.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// The x-range of histogram and density.
    pub range: (f64, f64),
    /// Cells of the exact density.
    pub cells: u32,
    /// Bins of the histogram.
    pub bins: u32,
    /// Trajectories that are drawn for it.
    pub samples: u32,
    /// How many of these to send whole.
    pub paths: u32,
    /// Scale on the policy's standard deviation, for what is shown and not for the training.
    pub sigma_scale: f64,
    /// Cells of the flow map; none is made for 0.
    pub flow_cells: u32,
}

/// A worker that trains to the laboratory, in bytes of its own like [`ToRun`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromRun {
    Report(Box<Report>),
    /// The run could not begin, for the reason given.
    Refused {
        run: u32,
        why: String,
    },
    /// How one seed of an ensemble is doing.
    Seed(Box<SeedReport>),
    /// The ensemble could not begin, for the reason given.
    SeedsRefused {
        why: String,
    },
}

/// How one seed of an ensemble is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedReport {
    pub seed: u64,
    /// Finished iterations.
    pub iteration: u32,
    /// What was added to its curves since the report before.
    pub points: Vec<SeedPoint>,
    /// The model at its end, with the last report of the seed.
    pub end: Option<SeedEnd>,
}

/// A point of a seed's curves. All seeds of an ensemble have theirs after the same iterations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedPoint {
    pub iteration: u32,
    /// The mean loss of the iterations since the point before, in nats².
    pub loss: f32,
    /// log Z after them, in nats.
    pub log_z: f32,
    /// Exact total variation to the target, in [0, 1]; NaN where the density has lost its mass.
    pub total_variation: f64,
}

/// What a seed came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedEnd {
    /// The exact terminal density, averaged over each cell.
    pub density: Vec<f32>,
    /// Exact mass per mode, from left to right.
    pub mode_mass: Vec<f64>,
    /// The iteration at which its loss or its weights left all bounds, if they did: it was ended
    /// there.
    pub diverged_at: Option<u32>,
}

/// How a run is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The run's number.
    pub run: u32,
    /// The report's, counted up.
    pub id: u32,
    pub phase: Phase,
    /// Finished iterations.
    pub iteration: u32,
    /// log Z after them, in nats.
    pub log_z: f64,
    /// Time in the iterations so far, in milliseconds.
    pub training_ms: f64,
    /// Where the last iterations were done.
    pub device: DeviceUsed,
    /// Why the GPU does not train this run, where there is one.
    pub why_cpu: Option<String>,
    /// Iterations per second of late; none while it is not known.
    pub per_second: Option<f64>,
    /// What was added to the curves since the report before.
    pub curve: Vec<LossPoint>,
    /// The model as it is now, from time to time.
    pub picture: Option<RunPicture>,
    /// Its flow, from time to time, where that is looked at.
    pub flow: Option<FlowMap>,
    /// From where the run could go on elsewhere, from time to time.
    pub checkpoint: Option<Checkpoint>,
}

/// What a run is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Paused,
    Playing,
    /// All iterations are done.
    Finished,
    /// The loss or the weights left all bounds at this iteration, and the run went back to its
    /// last good weights. It goes on from there when it is told to play.
    Diverged {
        at: u32,
    },
}

/// A point of a run's curves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// The last iteration of those that the point stands for.
    pub iteration: u32,
    /// Their mean loss, in nats².
    pub loss: f32,
    /// log Z after them, in nats.
    pub log_z: f32,
}

/// What a run's model samples, at the sigma scale that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPicture {
    /// The iteration after which this is so.
    pub iteration: u32,
    pub sigma_scale: f64,
    /// The exact terminal density, averaged over each cell.
    pub density: Vec<f32>,
    /// The histogram as a density.
    pub histogram: Vec<f32>,
    /// Whole trajectories, row-major [paths, steps + 1].
    pub paths: Vec<f32>,
    /// Exact total variation to the target, in [0, 1].
    pub total_variation: f64,
    /// Exact mass per mode, from left to right.
    pub mode_mass: Vec<f64>,
    /// The samples' mass per mode.
    pub sampled_mode_mass: Vec<f64>,
}

/// One batch of one demo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRequest {
    /// Which demo asks: an index that the answer carries back.
    pub demo: u32,
    /// Counts up with every request of a demo, so that late answers can be told from new ones.
    pub id: u32,
    /// The experiment whose target, start and horizon apply and whose weights are used; the
    /// placeholder policy stands in while these are not loaded.
    pub model: String,
    /// The place, from 0, of the snapshot of the training whose weights are used instead; it must
    /// have been loaded.
    pub snapshot: Option<u32>,
    /// The exponent β, for the model of every temperature, which must have been loaded: its target
    /// is R^β / Z_β. None for any other model.
    pub beta: Option<f64>,
    /// Scale on the policy's standard deviation at every step ("temperature"), 0.02 to 5.
    pub sigma_scale: f64,
    /// The seed of the batch's random numbers.
    pub seed: u64,
    /// Trajectories to draw.
    pub count: u32,
    /// Where to run.
    pub device: DeviceChoice,
    /// How many trajectories to send back whole, for drawing.
    pub paths: u32,
    /// The x-range of histogram and density.
    pub range: (f64, f64),
    /// Histogram bins over `range`.
    pub bins: u32,
    /// Cells of the exact density over `range`.
    pub cells: u32,
}

/// One question about one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyRequest {
    /// Which panel asks: an index that the answer carries back.
    pub panel: u32,
    /// Counts up with every request of a panel.
    pub id: u32,
    /// The experiment whose trained model is meant.
    pub model: String,
    pub question: Question,
}

/// What a panel can ask. Curves are wanted at the centres of `cells` equal cells of `range`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// What the model's loss asks for, beside what the model does.
    Asked { range: (f64, f64), cells: u32 },
    /// The flow from both ends, and the policies.
    Flow { range: (f64, f64), cells: u32 },
    /// One trajectory, term by term.
    Trace { walk: Walk, seed: u64 },
}

/// Where the trajectory of a [`Question::Trace`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Walk {
    /// The forward policy draws it, as in training on-policy.
    Forward,
    /// The backward policy draws it from the terminal state `from`.
    Backward { from: f64 },
}

/// The reader's choice of engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceChoice {
    /// WebGPU where it works, else the CPU with the tabulated policy.
    #[default]
    Auto,
    /// The CPU, which evaluates the network at every step.
    Cpu,
    /// The CPU, which looks the network's answers up in a table.
    CpuTable,
    WebGpu,
}

/// Where a batch did run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceUsed {
    /// The CPU by the network.
    Cpu,
    /// The CPU by the network's table.
    CpuTable,
    WebGpu,
}

/// Engine to page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromEngine {
    /// The worker of the build `build` runs and takes messages; batches run on the CPU until
    /// [`FromEngine::Gpu`]. It stays the first of this list, so that every build can read it.
    Ready { build: String },
    /// What became of the GPU. Sent once after `Start`, and again if the device is lost.
    Gpu(GpuStatus),
    /// What became of a `Load`.
    Model {
        model: String,
        /// The error names the file, what was found and what to do.
        outcome: Result<(), String>,
    },
    /// What became of a `LoadSnapshots`, likewise.
    Snapshots {
        model: String,
        outcome: Result<(), String>,
    },
    /// A finished batch.
    Batch(BatchResult),
    /// The answer to a `Study`.
    Study(StudyResult),
    /// The end of a `Train`.
    Trained(Result<TrainingResult, String>),
    /// A batch that could not be run, with the reason.
    Failed { demo: u32, id: u32, why: String },
    /// A [`FromRun`] in bytes of its own.
    Run(Vec<u8>),
}

/// What a training run gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingResult {
    /// Time in the iterations, in milliseconds.
    pub training_ms: f64,
    /// The loss of the last batch, in nats².
    pub loss: f32,
    /// The learned log Z, in nats.
    pub log_z: f32,
    /// Exact total variation to the target, in [0, 1].
    pub total_variation: f64,
}

/// What became of the GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuStatus {
    /// The GPU agrees with the CPU on a fixed batch and is in use.
    Running { adapter: String },
    /// The GPU is not in use, for the reason given: the page runs on the CPU.
    Unavailable { why: String },
}

/// What a batch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchResult {
    pub demo: u32,
    pub id: u32,
    /// The snapshot that was drawn, if it was one.
    pub snapshot: Option<u32>,
    /// Where it ran.
    pub device: DeviceUsed,
    /// Whether it was drawn on the CPU by relaxed SIMD.
    pub relaxed_simd: bool,
    /// The threads that drew it on the CPU.
    pub threads: u32,
    /// True when the weights are not there and the placeholder policy was drawn.
    pub placeholder: bool,
    /// Trajectories drawn: the count asked for, or fewer when a newer request waited.
    pub sampled: u32,
    /// Time in the sampling kernel, transfers included, in milliseconds.
    pub sampling_ms: f64,
    /// Time for the exact density and its metrics, in milliseconds.
    pub density_ms: f64,
    /// Time that the model's table took when it was made, in milliseconds.
    pub table_ms: f64,
    /// The histogram as a density: per bin, share of all samples over bin width. `bins` values.
    pub histogram: Vec<f32>,
    /// Per mode, the share of the samples nearest to it (split at the midpoints).
    pub sampled_mode_mass: Vec<f64>,
    /// `paths` whole trajectories, row-major [paths, steps + 1], start included.
    pub paths: Vec<f32>,
    /// The model's exact terminal density, averaged over each of `cells` cells.
    pub density: Vec<f32>,
    /// Exact total variation to the target, in [0, 1].
    pub total_variation: f64,
    /// Exact mass per mode of the model.
    pub mode_mass: Vec<f64>,
    /// The model's learned log Z, in nats; none for the placeholder.
    pub log_z: Option<f64>,
}

/// What a `Study` gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyResult {
    pub panel: u32,
    pub id: u32,
    /// The model that was asked about.
    pub model: String,
    /// The error says what could not be had and why.
    pub outcome: Result<Study, String>,
}

/// The answer to a [`Question`], of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Study {
    Asked(Asked),
    Flow(FlowMap),
    Trace(TraceStudy),
}

/// What the loss of a model asks for (see [`crate::flow`]) and what the model does. Densities are
/// per unit of x, log Z are in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The model's exact terminal density.
    pub density: Vec<f32>,
    /// The density that the loss asks for: R·h / Z' where it counts the forced step, else R / K.
    pub asked: Vec<f32>,
    /// Total variation between the model and what its loss asks for, in [0, 1].
    pub to_asked: f64,
    /// Total variation between the model and the target, in [0, 1].
    pub to_target: f64,
    /// log Z as learned.
    pub log_z: f64,
    /// log Z as the loss asks for: ln ∫ R·h where it counts the forced step, ln K where it is
    /// right. Where it drops a real step there is none, and this is the bound ln K + H(x_1 | x_2).
    pub log_z_asked: f64,
    /// ln K.
    pub log_z_true: f64,
}

/// The flow of a model, and its policies. Each field is row-major [N, cells].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowMap {
    /// log(Z·p_t(x)) for t = 1, ..., N, with the learned Z, in nats; -inf where it has faded.
    pub log_forward: Vec<f32>,
    /// log F(x, t) for t = 1, ..., N, from R through the backward policy, in nats.
    pub log_backward: Vec<f32>,
    /// mu(x, t) of the forward policy for t = 0, ..., N-1, in units of x.
    pub forward_mean: Vec<f32>,
    /// sigma(x, t) of the forward policy, likewise.
    pub forward_std: Vec<f32>,
    /// mu(x, t) of the backward policy for t = 1, ..., N, in units of x.
    pub backward_mean: Vec<f32>,
    /// sigma(x, t) of the backward policy, likewise.
    pub backward_std: Vec<f32>,
}

/// One trajectory of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceStudy {
    /// Its terms.
    pub trace: Trace,
    /// The mode in whose basin it ends: the place among the modes from left to right.
    pub basin: u32,
    /// The exact probability that a walk of the forward policy ends in that basin.
    pub chance: f64,
}

/// Whether an engine of the build `build` can be spoken to.
///
/// # Errors
/// A clause for a reader, when it is another build than this one.
pub fn check_build(build: &str) -> Result<(), String> {
    if build == BUILD {
        return Ok(());
    }
    let build: String = build.chars().take(BUILD.len()).collect();
    Err(format!(
        "the page is of build {BUILD} and its engine of build {build}: a cache or a half-finished \
         upload has mixed two versions"
    ))
}

/// The bytes of a message.
///
/// # Errors
/// Never for the types of this module; the caller still gets a `Result`, not a panic.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_allocvec(message)
}

/// The message in `bytes`.
///
/// # Errors
/// When the bytes are not a message of this build.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    postcard::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_crossing_and_rubbish_is_an_error() {
        let message = ToEngine::Sample(SampleRequest {
            demo: 3,
            id: 77,
            model: "four_mode".into(),
            snapshot: Some(7),
            beta: Some(0.5),
            sigma_scale: 0.35,
            seed: u64::MAX - 1,
            count: 100_000,
            device: DeviceChoice::WebGpu,
            paths: 120,
            range: (-5.0, 13.0),
            bins: 80,
            cells: 400,
        });
        let bytes = encode(&message).unwrap();
        assert_eq!(decode::<ToEngine>(&bytes).unwrap(), message);
        assert!(decode::<ToEngine>(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode::<FromEngine>(&[99, 1, 2]).is_err());
    }

    /// Bytes 0, length, text: what any later build must still read.
    #[test]
    fn engines_of_other_builds_are_told_apart() {
        let ready = |build: &str| FromEngine::Ready {
            build: build.into(),
        };
        assert_eq!(encode(&ready("abc")).unwrap(), b"\0\x03abc");
        assert_eq!(check_build(BUILD), Ok(()));
        let other = "0123456789abcdef and more";
        let why = check_build(other).unwrap_err();
        assert!(
            why.contains(BUILD) && why.contains("build 0123456789abcdef:"),
            "{why}"
        );
        assert!(decode::<FromEngine>(&[0]).is_err());
    }

    /// An enum that names its kind in its fields cannot cross: a run was not tuned.
    #[test]
    fn orders_survive_the_crossing() {
        let settings = Box::new(Settings::preset("four_mode_solved").unwrap());
        let look = Look {
            range: (-5.0, 13.0),
            cells: 400,
            bins: 80,
            samples: 2_000,
            paths: 120,
            sigma_scale: 0.5,
            flow_cells: 0,
        };
        let begin = Begin {
            run: 3,
            settings: (*settings).clone(),
            look,
            from: None,
        };
        for order in [
            ToRun::Begin(Box::new(begin)),
            ToRun::Tune(settings),
            ToRun::Limit(Some(10.0)),
            ToRun::Look(look),
            ToRun::Heard(7),
        ] {
            let bytes = encode(&order).unwrap();
            assert_eq!(decode::<ToRun>(&bytes).unwrap(), order);
        }
    }
}
