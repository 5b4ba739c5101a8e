//! The laboratory's settings: everything that a reader can choose of a run, with what is allowed,
//! as a link and as a file.
//!
//! The settings are flat, and two tables, [`NUMBERS`] and [`CHOICES`], say all that forms, links
//! and checks need to know of a field. Only the target's modes stand apart.

use crate::address;
use crate::archive::{BackwardRollouts, Priority};
use crate::balance::{BackwardLoop, BackwardMean};
use crate::experiment::{self, Experiment};
use crate::exploration::Exploration;
use crate::limits;
use crate::mixture::{Mixture, Mode};
use crate::objective::{self, Objective};
use crate::options::{Options, Schedule};
use crate::policy::{Inputs, StdRange};
use crate::weights::manifest::Recipe;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::ops::RangeInclusive;

/// The version of links and files. A reader of another says so and goes on with the default.
pub const VERSION: u32 = 1;
/// The preset that a link without one means.
pub const DEFAULT_PRESET: &str = "easy_correct";
/// The most modes that a target can have.
pub const MOST_MODES: usize = *limits::MODES.end();
/// The first iteration from which rows are drawn from the archive.
const ARCHIVE_FROM: usize = 20;
/// The schedule of learning rates that can be chosen.
const WARM_UP_COSINE: Schedule = Schedule::WarmUpCosine {
    warm_up: 100,
    last: 0.01,
};
/// Words and modes of a link beyond this many are not read.
const MOST_WORDS: usize = 100;

/// A mode of the target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// The mean, in units of x.
    pub centre: f64,
    /// How wide it is: its standard deviation, in units of x.
    pub width: f64,
    /// The area under it.
    pub weight: f64,
}

impl Peak {
    /// The largest value of the mode's own reward.
    pub fn height(&self) -> f64 {
        self.weight / (self.width * std::f64::consts::TAU.sqrt())
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $key:literal, $label:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $key)] $variant,)+
        }

        impl $name {
            /// All of them, in the order in which they are offered.
            pub const ALL: &[$name] = &[$($name::$variant),+];
            const OPTIONS: &[(&str, &str)] = &[$(($key, $label)),+];
        }
    };
}

choice! {
    /// What the training makes small.
    Loss {
        /// Trajectory balance (Malkin et al. 2022).
        TrajectoryBalance = "tb", "trajectory balance";
        /// The variance of the log-ratio (Richter et al. 2020).
        LogVariance = "vargrad", "log-variance (VarGrad)";
        /// Detailed balance (Bengio et al. 2023).
        DetailedBalance = "db", "detailed balance";
        /// Sub-trajectory balance (Madan et al. 2023).
        SubTrajectoryBalance = "subtb", "sub-trajectory balance";
        /// Reverse KL, the variational baseline.
        ReverseKl = "reverse_kl", "reverse KL";
    }
}

choice! {
    /// The backward policy.
    BackwardPolicy {
        /// A network.
        Learned = "learned", "learned";
        /// A network that is added to the mean of the Brownian bridge to the start.
        Correction = "correction", "learned, added to a bridge";
        /// The Brownian bridge itself, which learns nothing.
        Bridge = "bridge", "fixed Brownian bridge";
    }
}

choice! {
    /// What is added to σ while trajectories are drawn.
    Noise {
        /// Nothing: on-policy.
        None = "none", "none";
        /// The same throughout.
        Constant = "constant", "constant";
        /// A line that falls to zero over a part of the run.
        Linear = "linear", "falling to zero";
    }
}

choice! {
    /// Which rows of a batch are drawn backwards.
    Replay {
        /// None.
        None = "none", "none";
        /// From an archive of terminal states that were met.
        Archive = "archive", "from a replay buffer";
        /// From a power of the reward, as if it could be sampled.
        Reward = "reward", "from the reward itself";
    }
}

choice! {
    /// What the networks read.
    Reads {
        /// x and t.
        Raw = "raw", "x and t";
        /// Features of x, and a first layer for each step.
        Features = "features", "features of x, at each step";
    }
}

choice! {
    /// How the learning rates change during the run.
    Rates {
        /// Not at all.
        Constant = "constant", "constant";
        /// They warm up over 100 iterations and fall to a hundredth, as a cosine does.
        Cosine = "cosine", "warm up, then fall";
    }
}

/// Everything that a reader can choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The modes of the target, 1 to [`MOST_MODES`].
    pub modes: Vec<Peak>,
    /// The state S0.
    pub start: f64,
    /// The horizon N.
    pub steps: u32,
    /// What the training makes small.
    pub objective: Loss,
    /// λ of sub-trajectory balance.
    pub lambda: f64,
    /// The backward policy.
    pub backward: BackwardPolicy,
    /// The standard deviation of the steps of a fixed bridge.
    pub bridge_std: f64,
    /// The backward steps that the loss counts.
    pub backward_loop: BackwardLoop,
    /// What is added to σ while trajectories are drawn.
    pub noise: Noise,
    /// How much, as a standard deviation.
    pub noise_std: f64,
    /// The part of the run after which a falling line is zero.
    pub noise_until: f64,
    /// Which rows of a batch are drawn backwards.
    pub replay: Replay,
    /// How many they are.
    pub replay_rows: u32,
    /// The power of the reward that they begin from, if they begin there.
    pub replay_power: f64,
    /// Below all standard deviations that the policies can give.
    pub min_std: f64,
    /// Above all of them.
    pub max_std: f64,
    /// Neurons in each of the two hidden layers.
    pub hidden: u32,
    /// What the networks read.
    pub inputs: Reads,
    /// Trajectories in a batch.
    pub batch: u32,
    /// Adam's learning rate for both networks.
    pub learning_rate: f64,
    /// Adam's learning rate for log Z.
    pub log_z_learning_rate: f64,
    /// How they change.
    pub rates: Rates,
    /// Adam's β2.
    pub adam_beta_2: f64,
    /// Iterations.
    pub iterations: u32,
    /// The seed of initial weights and noise.
    pub seed: u64,
}

/// What can be begun with, in the order in which it is offered: every trained experiment, and
/// [`STEADY`](experiment::STEADY) before the tour's recipe for the same modes.
pub fn presets() -> impl Iterator<Item = &'static Experiment> {
    experiment::all().flat_map(|experiment| {
        let steady = Some(&experiment::STEADY).filter(|_| experiment.name == "hard_off_policy");
        steady.into_iter().chain([experiment])
    })
}

/// The preset called `name`, if there is one.
pub fn preset_named(name: &str) -> Option<&'static Experiment> {
    presets().find(|preset| preset.name == name)
}

impl Default for Settings {
    fn default() -> Self {
        Settings::of(&experiment::EXPERIMENTS[0])
    }
}

/// A number of the settings: how it is called, what it may be, and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// The name in links.
    pub key: &'static str,
    /// The name that readers see.
    pub name: &'static str,
    /// The smallest and the largest value.
    pub range: (f64, f64),
    /// Whether it is a whole number.
    pub is_whole: bool,
    /// The step of a control.
    pub step: f64,
    get: fn(&Settings) -> f64,
    set: fn(&mut Settings, f64),
}

/// A choice of the settings among a few.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The name in links.
    pub key: &'static str,
    /// The name that readers see.
    pub name: &'static str,
    /// For each option its name in links and that for readers.
    pub options: &'static [(&'static str, &'static str)],
    get: fn(&Settings) -> usize,
    set: fn(&mut Settings, usize),
}

macro_rules! number {
    ($key:literal, $name:literal, $field:ident as $kind:ident, $range:expr, $step:expr) => {
        Number {
            key: $key,
            name: $name,
            range: $range,
            is_whole: number!(@whole $kind),
            step: $step,
            get: |settings| settings.$field as f64,
            set: |settings, value| settings.$field = value as $kind,
        }
    };
    (@whole f64) => { false };
    (@whole $kind:ident) => { true };
}

/// All numbers of the settings but the modes'. The largest seed is the largest whole number that
/// every reader of JSON keeps.
pub const NUMBERS: &[Number] = &[
    number!("start", "Start S₀", start as f64, ends(&limits::PLACE), 0.1),
    number!(
        "steps",
        "Steps",
        steps as u32,
        whole_ends(&limits::STEPS),
        1.0
    ),
    number!("lambda", "λ", lambda as f64, ends(&limits::LAMBDA), 0.05),
    number!(
        "bridge_std",
        "Bridge’s σ",
        bridge_std as f64,
        ends(&limits::STD),
        0.05
    ),
    number!(
        "noise_std",
        "Added to σ",
        noise_std as f64,
        ends(&limits::EXTRA_STD),
        0.1
    ),
    number!(
        "noise_until",
        "Zero after this part of the run",
        noise_until as f64,
        (0.01, 1.0),
        0.05
    ),
    number!(
        "rows",
        "Rows drawn backwards",
        replay_rows as u32,
        (1.0, *limits::BATCH.end() as f64),
        1.0
    ),
    number!(
        "power",
        "Power of the reward",
        replay_power as f64,
        ends(&limits::EXPONENT),
        0.1
    ),
    number!(
        "min_std",
        "Smallest σ",
        min_std as f64,
        ends(&limits::STD),
        0.05
    ),
    number!(
        "max_std",
        "Largest σ",
        max_std as f64,
        ends(&limits::STD),
        0.05
    ),
    number!(
        "hidden",
        "Hidden neurons",
        hidden as u32,
        whole_ends(&limits::HIDDEN),
        16.0
    ),
    number!(
        "batch",
        "Batch",
        batch as u32,
        whole_ends(&limits::BATCH),
        16.0
    ),
    number!(
        "lr",
        "Learning rate",
        learning_rate as f64,
        ends(&limits::LEARNING_RATE),
        1e-4
    ),
    number!(
        "lr_z",
        "Learning rate of log Z",
        log_z_learning_rate as f64,
        ends(&limits::LEARNING_RATE),
        1e-2
    ),
    number!(
        "beta2",
        "Adam’s β₂",
        adam_beta_2 as f64,
        ends(&limits::ADAM_BETA_2),
        1e-3
    ),
    number!(
        "iterations",
        "Iterations",
        iterations as u32,
        (1.0, 100_000.0),
        1_000.0
    ),
    number!(
        "seed",
        "Seed",
        seed as u64,
        (0.0, 9_007_199_254_740_991.0),
        1.0
    ),
];

macro_rules! choices {
    ($key:literal, $name:literal, $field:ident as $kind:ident) => {
        Choice {
            key: $key,
            name: $name,
            options: $kind::OPTIONS,
            get: |settings| settings.$field as usize,
            set: |settings, place| settings.$field = $kind::ALL[place.min($kind::ALL.len() - 1)],
        }
    };
}

/// All choices of the settings.
pub const CHOICES: &[Choice] = &[
    choices!("objective", "Objective", objective as Loss),
    choices!("backward", "Backward policy", backward as BackwardPolicy),
    Choice {
        key: "loop",
        name: "Backward steps counted",
        options: &[
            ("correct", "t = 2 to N, right"),
            ("counts_forced", "t = 1 to N, the bug"),
            ("drops_real", "t = 3 to N, its twin"),
        ],
        get: |settings| {
            let place = BackwardLoop::ALL
                .iter()
                .position(|l| *l == settings.backward_loop);
            place.unwrap_or(0)
        },
        set: |settings, place| settings.backward_loop = BackwardLoop::ALL[place.min(2)],
    },
    choices!("noise", "Exploration noise", noise as Noise),
    choices!("replay", "Backward rollouts", replay as Replay),
    choices!("inputs", "The networks read", inputs as Reads),
    choices!("rates", "Learning rates", rates as Rates),
];

const fn ends(range: &RangeInclusive<f64>) -> (f64, f64) {
    (*range.start(), *range.end())
}

const fn whole_ends(range: &RangeInclusive<usize>) -> (f64, f64) {
    (*range.start() as f64, *range.end() as f64)
}

/// A number of a mode: how it is called, what it may be, and where it is.
#[derive(Clone, Copy, Debug)]
pub struct PeakNumber {
    /// The name that readers see.
    pub name: &'static str,
    /// The smallest and the largest value.
    pub range: (f64, f64),
    /// The step of a control.
    pub step: f64,
    get: fn(&Peak) -> f64,
    set: fn(&mut Peak, f64),
}

/// The numbers of a mode, in the order of links.
pub const PEAK_NUMBERS: [PeakNumber; 3] = [
    PeakNumber {
        name: "centre",
        range: ends(&limits::PLACE),
        step: 0.1,
        get: |peak| peak.centre,
        set: |peak, value| peak.centre = value,
    },
    PeakNumber {
        name: "width",
        range: (0.1, 5.0),
        step: 0.05,
        get: |peak| peak.width,
        set: |peak, value| peak.width = value,
    },
    PeakNumber {
        name: "weight",
        range: ends(&limits::WEIGHT),
        step: 0.1,
        get: |peak| peak.weight,
        set: |peak, value| peak.weight = value,
    },
];

/// A value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field's name in links: that of a number, a choice, or `modes`.
    pub key: &'static str,
    /// What is wrong and what is allowed, a sentence.
    pub words: String,
}

/// `value`, brought into `range`; not a number is its lower end.
fn brought(value: f64, range: (f64, f64), is_whole: bool) -> f64 {
    let value = if value.is_nan() {
        range.0
    } else {
        value.clamp(range.0, range.1)
    };
    if is_whole { value.round() } else { value }
}

fn allowed(range: (f64, f64), is_whole: bool) -> String {
    let what = if is_whole {
        "a whole number"
    } else {
        "a number"
    };
    format!("{what} from {} to {}", range.0, range.1)
}

/// A number as people write it, with a comma or a point.
///
/// # Errors
/// A sentence that says what was found.
pub fn read_number(text: &str) -> Result<f64, String> {
    let typed = text.trim().replace(',', ".").replace('\u{2212}', "-");
    match typed.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => {
            let short: String = typed.chars().take(20).collect();
            Err(format!("`{short}` is no number"))
        }
    }
}

impl Number {
    /// The number with this name in links.
    pub fn named(key: &str) -> Option<&'static Number> {
        NUMBERS.iter().find(|number| number.key == key)
    }

    /// Its value.
    pub fn get(&self, settings: &Settings) -> f64 {
        (self.get)(settings)
    }

    /// Sets it to `value`, brought into its range.
    pub fn set(&self, settings: &mut Settings, value: f64) {
        (self.set)(settings, brought(value, self.range, self.is_whole));
    }

    /// What may stand in the field, or else why `value` may not.
    ///
    /// # Errors
    /// A sentence with the field's name, the value and what is allowed.
    pub fn check(&self, value: f64) -> Result<(), String> {
        if brought(value, self.range, self.is_whole) == value {
            return Ok(());
        }
        let allowed = allowed(self.range, self.is_whole);
        Err(format!("{} cannot be {value}: it is {allowed}.", self.name))
    }
}

impl Choice {
    /// The choice with this name in links.
    pub fn named(key: &str) -> Option<&'static Choice> {
        CHOICES.iter().find(|choice| choice.key == key)
    }

    /// The place of the option that is chosen.
    pub fn get(&self, settings: &Settings) -> usize {
        (self.get)(settings)
    }

    /// Chooses the option at `place`; the last one where there is none.
    pub fn set(&self, settings: &mut Settings, place: usize) {
        (self.set)(settings, place);
    }
}

impl PeakNumber {
    /// Its value.
    pub fn get(&self, peak: &Peak) -> f64 {
        (self.get)(peak)
    }

    /// Sets it to `value`, brought into its range.
    pub fn set(&self, peak: &mut Peak, value: f64) {
        (self.set)(peak, brought(value, self.range, false));
    }

    /// Why `value` may not be.
    ///
    /// # Errors
    /// A sentence with the name, the value and what is allowed.
    pub fn check(&self, value: f64) -> Result<(), String> {
        if brought(value, self.range, false) == value {
            return Ok(());
        }
        let allowed = allowed(self.range, false);
        Err(format!(
            "The {} of a mode cannot be {value}: it is {allowed}.",
            self.name
        ))
    }
}

impl Settings {
    /// The settings of an experiment of the table.
    pub fn of(experiment: &Experiment) -> Settings {
        let (noise, noise_std, noise_until) = match experiment.exploration {
            Exploration::None => (Noise::None, 2.0, 1.0),
            Exploration::Constant { std } => (Noise::Constant, std, 1.0),
            Exploration::Linear { from_std, .. } => (Noise::Linear, from_std, 1.0),
            Exploration::LinearByFraction {
                from_std, fraction, ..
            } => (Noise::Linear, from_std, fraction),
        };
        let (replay, replay_rows, replay_power) = match experiment.options.backward_rollouts {
            BackwardRollouts::None => (Replay::None, 50, 1.0),
            BackwardRollouts::Archive { rows, .. } => (Replay::Archive, rows as u32, 1.0),
            BackwardRollouts::Tempered { rows, exponent } => {
                (Replay::Reward, rows as u32, exponent)
            }
        };
        let peaks = experiment.modes.iter().map(|mode| Peak {
            centre: mode.mean,
            width: mode.var.sqrt(),
            weight: mode.weight,
        });
        Settings {
            modes: peaks.collect(),
            start: experiment.start,
            steps: experiment.steps as u32,
            objective: match experiment.options.objective {
                Objective::TrajectoryBalance => Loss::TrajectoryBalance,
                Objective::LogVariance => Loss::LogVariance,
                Objective::DetailedBalance => Loss::DetailedBalance,
                Objective::SubTrajectoryBalance { .. } => Loss::SubTrajectoryBalance,
                Objective::ReverseKl => Loss::ReverseKl,
            },
            lambda: match experiment.options.objective {
                Objective::SubTrajectoryBalance { lambda } => lambda,
                _ => objective::LAMBDA,
            },
            backward: match experiment.options.backward_mean {
                BackwardMean::Net => BackwardPolicy::Learned,
                BackwardMean::Bridge => BackwardPolicy::Correction,
                BackwardMean::FixedBridge { .. } => BackwardPolicy::Bridge,
            },
            bridge_std: match experiment.options.backward_mean {
                BackwardMean::FixedBridge { step_std } => step_std,
                _ => 1.0,
            },
            backward_loop: experiment.backward_loop,
            noise,
            noise_std,
            noise_until,
            replay,
            replay_rows,
            replay_power,
            min_std: experiment.options.std_range.min_std,
            max_std: experiment.options.std_range.max_std,
            hidden: experiment::HIDDEN as u32,
            inputs: match experiment.options.inputs {
                Inputs::Raw => Reads::Raw,
                Inputs::StepFeatures { .. } => Reads::Features,
            },
            batch: experiment::BATCH as u32,
            learning_rate: experiment.learning_rate,
            log_z_learning_rate: experiment::LOG_Z_LEARNING_RATE,
            rates: match experiment.options.learning_rates {
                Schedule::Constant => Rates::Constant,
                Schedule::WarmUpCosine { .. } => Rates::Cosine,
            },
            adam_beta_2: experiment.adam_beta_2,
            iterations: experiment.iterations as u32,
            seed: experiment::DEFAULT_SEED,
        }
    }

    /// The settings of the preset called `name`: any of [`presets`].
    pub fn preset(name: &str) -> Option<Settings> {
        preset_named(name).map(Settings::of)
    }

    /// What is not allowed; nothing for settings that can be trained.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = NUMBERS
            .iter()
            .filter_map(|number| {
                let words = number.check(number.get(self)).err()?;
                Some(Problem {
                    key: number.key,
                    words,
                })
            })
            .collect();
        let mut add = |key, words| problems.push(Problem { key, words });
        if !(1..=MOST_MODES).contains(&self.modes.len()) {
            let found = self.modes.len();
            add(
                "modes",
                format!("A target has 1 to {MOST_MODES} modes, not {found}."),
            );
        }
        for peak in &self.modes {
            for number in PEAK_NUMBERS {
                if let Err(words) = number.check(number.get(peak)) {
                    add("modes", words);
                }
            }
        }
        if self.replay != Replay::None && self.replay_rows > self.batch {
            let Settings {
                replay_rows, batch, ..
            } = self;
            let words = format!(
                "Rows drawn backwards cannot be {replay_rows}: the whole batch is {batch}."
            );
            add("rows", words);
        }
        if self.min_std >= self.max_std {
            let Settings {
                min_std, max_std, ..
            } = self;
            let words = format!("Largest σ cannot be {max_std}: smallest σ is {min_std}.");
            add("max_std", words);
        }
        if self.objective == Loss::ReverseKl {
            let own = "reverse KL is a mean over the policy’s own trajectories";
            if self.noise != Noise::None {
                add("noise", format!("Exploration noise has to be none: {own}."));
            }
            if self.replay != Replay::None {
                add(
                    "replay",
                    format!("Backward rollouts have to be none: {own}."),
                );
            }
        }
        problems
    }

    /// The nearest settings that can be trained, and what was changed, in sentences.
    #[must_use]
    pub fn clamped(mut self) -> (Settings, Vec<String>) {
        let problems = self.problems();
        for number in NUMBERS {
            let value = number.get(&self);
            number.set(&mut self, value);
        }
        self.modes.truncate(MOST_MODES);
        if self.modes.is_empty() {
            self.modes = Settings::default().modes;
        }
        for peak in &mut self.modes {
            for number in PEAK_NUMBERS {
                let value = number.get(peak);
                number.set(peak, value);
            }
        }
        if self.replay != Replay::None {
            self.replay_rows = self.replay_rows.min(self.batch);
        }
        if self.min_std >= self.max_std {
            let usual = StdRange::USUAL;
            (self.min_std, self.max_std) = (usual.min_std, usual.max_std);
        }
        if self.objective == Loss::ReverseKl {
            (self.noise, self.replay) = (Noise::None, Replay::None);
        }
        let changes = problems.into_iter().map(|problem| {
            let now = Number::named(problem.key).map(|number| number.get(&self));
            match now {
                Some(now) => format!("{} It is {now} now.", problem.words),
                None => format!("{} So it is now.", problem.words),
            }
        });
        let changes = changes.collect();
        (self, changes)
    }

    /// The modes as the mathematics has them.
    pub fn mixture_modes(&self) -> Vec<Mode> {
        let modes = self.modes.iter();
        modes
            .map(|peak| Mode::new(peak.centre, peak.width * peak.width).weighing(peak.weight))
            .collect()
    }

    /// The target.
    pub fn target(&self) -> Mixture {
        Mixture::new(self.mixture_modes())
    }

    /// What these settings have that `others` do not: a name and a value each.
    pub fn differences(&self, others: &Settings) -> Vec<String> {
        let mut differences = Vec::new();
        if self.modes != others.modes {
            let modes = self.modes.iter().map(|peak| {
                let Peak {
                    centre,
                    width,
                    weight,
                } = peak;
                format!("{centre:.2} ± {width:.2} × {weight:.2}")
            });
            let modes: Vec<String> = modes.collect();
            differences.push(format!("Modes {}", modes.join(", ")));
        }
        for choice in CHOICES {
            if choice.get(self) != choice.get(others) {
                let (_, option) = choice.options[choice.get(self)];
                differences.push(format!("{} {option}", choice.name));
            }
        }
        for number in NUMBERS {
            if number.get(self) != number.get(others) {
                differences.push(format!("{} {}", number.name, number.get(self)));
            }
        }
        differences
    }

    /// The part of the x-axis that plots show.
    pub fn plot_range(&self) -> (f64, f64) {
        experiment::plot_range(&self.mixture_modes(), self.start)
    }

    /// The noise as the trainer has it.
    pub fn exploration(&self) -> Exploration {
        let std = self.noise_std;
        match self.noise {
            Noise::None => Exploration::None,
            Noise::Constant => Exploration::Constant { std },
            Noise::Linear if self.noise_until == 1.0 => Exploration::Linear {
                from_std: std,
                to_std: 0.0,
            },
            Noise::Linear => Exploration::LinearByFraction {
                from_std: std,
                to_std: 0.0,
                fraction: self.noise_until,
            },
        }
    }

    /// The training that these settings ask for, but for its seed. The settings are to be without
    /// [`Settings::problems`].
    pub fn recipe(&self) -> Recipe {
        let rows = self.replay_rows as usize;
        Recipe {
            modes: self.mixture_modes(),
            start: self.start,
            steps: self.steps as usize,
            iterations: self.iterations as usize,
            batch: self.batch as usize,
            hidden: self.hidden as usize,
            learning_rate: self.learning_rate,
            log_z_learning_rate: self.log_z_learning_rate,
            adam_beta_2: self.adam_beta_2,
            exploration: self.exploration(),
            backward_loop: self.backward_loop,
            options: Options {
                inputs: match self.inputs {
                    Reads::Raw => Inputs::Raw,
                    Reads::Features => Inputs::StepFeatures {
                        steps: self.steps as usize,
                    },
                },
                backward_mean: match self.backward {
                    BackwardPolicy::Learned => BackwardMean::Net,
                    BackwardPolicy::Correction => BackwardMean::Bridge,
                    BackwardPolicy::Bridge => BackwardMean::FixedBridge {
                        step_std: self.bridge_std,
                    },
                },
                learning_rates: match self.rates {
                    Rates::Constant => Schedule::Constant,
                    Rates::Cosine => WARM_UP_COSINE,
                },
                objective: match self.objective {
                    Loss::TrajectoryBalance => Objective::TrajectoryBalance,
                    Loss::LogVariance => Objective::LogVariance,
                    Loss::DetailedBalance => Objective::DetailedBalance,
                    Loss::SubTrajectoryBalance => Objective::SubTrajectoryBalance {
                        lambda: self.lambda,
                    },
                    Loss::ReverseKl => Objective::ReverseKl,
                },
                std_range: StdRange {
                    min_std: self.min_std,
                    max_std: self.max_std,
                },
                backward_rollouts: match self.replay {
                    Replay::None => BackwardRollouts::None,
                    Replay::Archive => BackwardRollouts::Archive {
                        rows,
                        from_iteration: ARCHIVE_FROM,
                        priority: Priority::Reward,
                    },
                    Replay::Reward => BackwardRollouts::Tempered {
                        rows,
                        exponent: self.replay_power,
                    },
                },
            },
        }
    }

    /// The settings as a link's words: the version, the preset, and what differs from it.
    pub fn to_query(&self, preset: &str) -> String {
        let mut query = format!("v={VERSION}&preset={preset}");
        let base = Settings::preset(preset).unwrap_or_default();
        // Writing to a string does not fail.
        if self.modes != base.modes {
            let modes = self.modes.iter();
            let modes = modes.map(|peak| format!("{},{},{}", peak.centre, peak.width, peak.weight));
            let _ = write!(query, "&modes={}", modes.collect::<Vec<_>>().join(";"));
        }
        for number in NUMBERS {
            let value = number.get(self);
            if value != number.get(&base) {
                let _ = write!(query, "&{}={value}", number.key);
            }
        }
        for choice in CHOICES {
            let place = choice.get(self);
            if place != choice.get(&base) {
                let _ = write!(query, "&{}={}", choice.key, choice.options[place].0);
            }
        }
        query
    }
}

/// What a link or a file asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The preset's name.
    pub preset: &'static str,
    /// The settings, which can be trained.
    pub settings: Settings,
    /// What was not read as it stood, in sentences.
    pub notes: Vec<String>,
}

/// Whether links have a word of this key.
pub fn is_key(key: &str) -> bool {
    matches!(key, "preset" | "modes")
        || Number::named(key).is_some()
        || Choice::named(key).is_some()
}

/// Reads an address, without its `#`, if it asks for a run: if its place is the laboratory, or it names
/// a preset.
pub fn from_address(address: &str) -> Option<Asked> {
    let (place, query) = address.split_once('?')?;
    let names_one = query.split('&').any(|word| word.starts_with("preset="));
    (place == address::LAB || names_one).then(|| from_query(query))
}

/// Reads a link's words; those of the page around the laboratory are passed over. Whatever they are, the
/// answer can be trained.
pub fn from_query(query: &str) -> Asked {
    let mut notes = Vec::new();
    let words: Vec<(String, String)> = query
        .split('&')
        .filter(|word| !word.is_empty())
        .map(|word| {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            (unescaped(key), unescaped(value))
        })
        .filter(|(key, _)| !address::is_of_page(key))
        .take(MOST_WORDS)
        .collect();
    let of = |key: &str| words.iter().find(|word| word.0 == key).map(|word| &*word.1);
    if let Some(version) = of("v").filter(|version| *version != VERSION.to_string()) {
        notes.push(format!(
            "The link is of version {}, and this page reads version {VERSION}: what it knows is used.",
            shortened(version)
        ));
    }
    let named = of("preset").unwrap_or(DEFAULT_PRESET);
    let experiment = preset_named(named).unwrap_or_else(|| {
        notes.push(format!("There is no preset `{}`.", shortened(named)));
        &experiment::EXPERIMENTS[0]
    });
    let mut settings = Settings::of(experiment);
    for (key, value) in words
        .iter()
        .filter(|word| word.0 != "v" && word.0 != "preset")
    {
        let read = if key == "modes" {
            read_modes(value).map(|modes| settings.modes = modes)
        } else if let Some(number) = Number::named(key) {
            // Checked here, since a field may not hold what was asked for.
            read_number(value).map(|asked| {
                number.set(&mut settings, asked);
                if let Err(words) = number.check(asked) {
                    notes.push(format!("{words} It is {} now.", number.get(&settings)));
                }
            })
        } else if let Some(choice) = Choice::named(key) {
            let place = choice.options.iter().position(|option| option.0 == value);
            match place {
                Some(place) => {
                    choice.set(&mut settings, place);
                    Ok(())
                }
                None => Err(format!("`{}` is none of its options", shortened(value))),
            }
        } else {
            Err("this page has no such setting".to_owned())
        };
        if let Err(why) = read {
            notes.push(format!("`{}` was left out: {why}.", shortened(key)));
        }
    }
    let (settings, changes) = settings.clamped();
    notes.extend(changes);
    Asked {
        preset: experiment.name,
        settings,
        notes,
    }
}

fn read_modes(text: &str) -> Result<Vec<Peak>, String> {
    let modes = text.split(';').take(MOST_WORDS).map(|mode| {
        // A decimal comma would end the number here.
        let numbers: Result<Vec<f64>, String> = mode.split(',').map(read_number).collect();
        match *numbers?.as_slice() {
            [centre, width, weight] => Ok(Peak {
                centre,
                width,
                weight,
            }),
            _ => Err(format!("`{}` is not centre,width,weight", shortened(mode))),
        }
    });
    modes.collect()
}

/// The beginning of what a link says, short enough for a sentence.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(20).collect()
}

/// Text with its %xx read. What is no such escape stays.
pub(crate) fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let digit = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (byte, digit(i + 1), digit(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((16 * high + low) as u8);
                i += 3;
            }
            _ => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A file of settings.
#[derive(Serialize, Deserialize)]
struct File {
    /// [`VERSION`].
    gflownet_lab: u32,
    preset: String,
    settings: Settings,
}

/// The settings as a file: JSON, indented, with a newline at the end.
///
/// # Errors
/// Never for finite numbers; the caller still gets a `Result`, not a panic.
pub fn to_json(settings: &Settings, preset: &str) -> Result<String, serde_json::Error> {
    let file = File {
        gflownet_lab: VERSION,
        preset: preset.to_owned(),
        settings: settings.clone(),
    };
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

/// Reads a file of settings; what is out of its range is brought into it and noted.
///
/// # Errors
/// A sentence that says why the text is no such file, or of which version it is.
pub fn from_json(text: &str) -> Result<Asked, String> {
    #[derive(Deserialize)]
    struct Header {
        gflownet_lab: u32,
    }
    let not_settings = |error: serde_json::Error| {
        format!("This is not a file of the laboratory's settings: {error}.")
    };
    let Header { gflownet_lab } = serde_json::from_str(text).map_err(not_settings)?;
    if gflownet_lab != VERSION {
        return Err(format!(
            "The file is of version {gflownet_lab}, and this page reads version {VERSION}."
        ));
    }
    let file: File = serde_json::from_str(text).map_err(not_settings)?;
    let (settings, notes) = file.settings.clamped();
    Ok(Asked {
        preset: preset_named(&file.preset).map_or(DEFAULT_PRESET, |e| e.name),
        settings,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::ThreefryRng;
    use rand::RngExt;

    #[test]
    fn differences_are_named() {
        let settings = Settings::default();
        assert!(settings.differences(&settings).is_empty());
        let other = Settings {
            batch: 64,
            objective: Loss::DetailedBalance,
            ..settings.clone()
        };
        assert_eq!(
            other.differences(&settings),
            ["Objective detailed balance", "Batch 64"]
        );
        let moved = Settings {
            modes: settings.modes[..1].to_vec(),
            ..settings.clone()
        };
        assert_eq!(moved.differences(&settings), ["Modes -1.00 ± 0.45 × 1.00"]);
    }

    #[test]
    fn a_preset_is_its_experiment() {
        for experiment in presets() {
            let settings = Settings::preset(experiment.name).unwrap();
            assert_eq!(settings.problems(), []);
            let (mut got, expected) = (settings.recipe(), Recipe::of(experiment));
            // A width is the root of a variance, and its square that again but for rounding.
            for (mode, expected) in got.modes.iter_mut().zip(&expected.modes) {
                assert!((mode.var / expected.var - 1.0).abs() < 1e-15);
                mode.var = expected.var;
            }
            assert_eq!(got, expected);
            assert_eq!(settings.plot_range().0, experiment.plot_range().0);
        }
    }

    /// Settings with every field drawn anew, where they may be or not.
    fn drawn(rng: &mut ThreefryRng, is_sound: bool) -> Settings {
        let mut settings = Settings::default();
        let mut value = |range: (f64, f64)| {
            let share: f64 = rng.random();
            let share = if is_sound { share } else { 6.0 * share - 2.5 };
            let value = range.0 + share * (range.1 - range.0);
            // With more digits a reader of JSON may miss the last one.
            (1e6 * value).round() / 1e6
        };
        for number in NUMBERS {
            let value = value(number.range);
            (number.set)(
                &mut settings,
                if number.is_whole {
                    value.round()
                } else {
                    value
                },
            );
        }
        let count = value((1.0, 8.0)) as usize;
        settings.modes = vec![settings.modes[0]; count.min(12)];
        for peak in &mut settings.modes {
            for number in PEAK_NUMBERS {
                (number.set)(peak, value(number.range));
            }
        }
        for choice in CHOICES {
            choice.set(
                &mut settings,
                value((0.0, 3.0)) as usize % choice.options.len(),
            );
        }
        if is_sound {
            return settings.clamped().0;
        }
        settings
    }

    #[test]
    fn links_and_files_give_back_what_was_put_in() {
        let mut rng = ThreefryRng::new(1, 0);
        for _ in 0..200 {
            let settings = drawn(&mut rng, true);
            assert_eq!(settings.problems(), []);
            for preset in ["easy_correct", "four_mode_solved"] {
                let asked = Asked {
                    preset,
                    settings: settings.clone(),
                    notes: Vec::new(),
                };
                assert_eq!(from_query(&settings.to_query(preset)), asked);
                let text = to_json(&settings, preset).unwrap();
                assert_eq!(from_json(&text).unwrap(), asked);
            }
        }
    }

    #[test]
    fn a_link_of_a_preset_is_short() {
        for experiment in presets() {
            let settings = Settings::of(experiment);
            let query = settings.to_query(experiment.name);
            assert_eq!(query, format!("v=1&preset={}", experiment.name));
            let more = Settings {
                batch: 512,
                noise: Noise::Constant,
                ..settings
            };
            let query = more.to_query(experiment.name);
            assert!(query.ends_with("&batch=512&noise=constant"), "{query}");
        }
    }

    #[test]
    fn what_is_clamped_can_be_trained_and_is_told() {
        let mut rng = ThreefryRng::new(2, 0);
        for _ in 0..200 {
            let wild = drawn(&mut rng, false);
            let problems = wild.problems();
            let (settings, changes) = wild.clone().clamped();
            assert_eq!(settings.problems(), []);
            assert_eq!(problems.len(), changes.len());
            assert_eq!(problems.is_empty(), settings == wild);
            // What the trainer itself says.
            assert_eq!(settings.recipe().errors(), []);
        }
        let nowhere = Settings {
            modes: Vec::new(),
            start: f64::NAN,
            ..Settings::default()
        };
        assert_eq!(nowhere.problems().len(), 2);
        assert_eq!(nowhere.clamped().0.problems(), []);
    }

    #[test]
    fn no_link_is_too_bad_to_be_read() {
        let mut rng = ThreefryRng::new(3, 0);
        let whole = drawn(&mut rng, true).to_query("four_mode");
        for end in 0..=whole.len() {
            assert_eq!(from_query(&whole[..end]).settings.problems(), []);
        }
        let alphabet: Vec<char> = "v=1&preset=batchmodes,;.-+eE%20∞NaNinf√\u{0}"
            .chars()
            .collect();
        for _ in 0..3_000 {
            let length = rng.random_range(0..60);
            let query: String = (0..length)
                .map(|_| alphabet[rng.random_range(0..alphabet.len())])
                .collect();
            assert_eq!(from_query(&query).settings.problems(), [], "{query}");
        }
        for key in NUMBERS
            .iter()
            .map(|n| n.key)
            .chain(["modes", "preset", "v"])
        {
            for value in [
                "", "NaN", "inf", "-1e999", "1e999", "1e-999", ";;;", ",,", "%", "%zz", "0x10",
            ] {
                assert_eq!(
                    from_query(&format!("{key}={value}")).settings.problems(),
                    []
                );
            }
        }
    }

    fn check(query: &str, note: &str) {
        let notes = from_query(query).notes;
        assert!(
            notes.len() == 1 && notes[0].contains(note),
            "{query}: {notes:?}"
        );
    }

    #[test]
    fn a_bad_link_is_told_word_by_word() {
        check("v=7&preset=easy_correct", "version 7");
        check("v=1&preset=nine_mode", "no preset `nine_mode`");
        check(
            "batch=99999",
            "Batch cannot be 99999: it is a whole number from 16 to 4096. It is 4096 now.",
        );
        check("batch=-1", "It is 16 now.");
        check("batch=many", "`batch` was left out: `many` is no number");
        check("steps=2.5", "Steps cannot be 2.5");
        check(
            "noise=loud",
            "`noise` was left out: `loud` is none of its options",
        );
        check(
            "colour=red",
            "`colour` was left out: this page has no such setting",
        );
        check("modes=1,2", "`1,2` is not centre,width,weight");
        check("modes=1,9,1", "The width of a mode cannot be 9");
        check(
            "modes=0,1,1;1,1,1;2,1,1;3,1,1;4,1,1;5,1,1;6,1,1;7,1,1;8,1,1",
            "not 9",
        );
        check("min_std=2&max_std=1", "smallest σ is 2. It is 1 now.");
        check(
            "objective=reverse_kl&noise=constant",
            "Exploration noise has to be none",
        );
        check(
            "replay=archive&rows=300",
            "the whole batch is 256. It is 256 now.",
        );
        assert_eq!(from_query("v%3D1").settings, Settings::default());
        let escaped = from_query("modes=0%2C1%2C2%3B3,1,1");
        assert_eq!(
            (escaped.settings.modes.len(), escaped.notes),
            (2, Vec::new())
        );
    }

    #[test]
    fn a_bad_file_is_named() {
        for (text, why) in [
            ("", "not a file of the laboratory's settings"),
            ("{}", "gflownet_lab"),
            (r#"{"gflownet_lab": 2}"#, "version 2"),
            (
                r#"{"gflownet_lab": 1, "preset": "x", "settings": {"batch": "a"}}"#,
                "expected u32",
            ),
            (
                r#"{"gflownet_lab": 1, "preset": "x", "settings": {"badge": 1}}"#,
                "badge",
            ),
        ] {
            let error = from_json(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let text = r#"{"gflownet_lab": 1, "preset": "x", "settings": {"batch": 7}}"#;
        let asked = from_json(text).unwrap();
        assert_eq!(
            (asked.preset, asked.settings.batch, asked.notes.len()),
            (DEFAULT_PRESET, 16, 1)
        );
    }
}
