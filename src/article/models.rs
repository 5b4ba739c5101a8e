//! The bundled models, and what their pictures show.

use gflownet_tour_core::counts::Counts;
use gflownet_tour_core::density::{Laws, Tails, TerminalDensity};
use gflownet_tour_core::experiment::{DEFAULT_SEED, EXPERIMENTS, Experiment, TEMPERED};
use gflownet_tour_core::policy::Policy;
use gflownet_tour_core::rollout::Rollout;
use gflownet_tour_core::study::Subject;
use gflownet_tour_core::weights::manifest::Manifest;
use gflownet_tour_core::weights::{self, WeightsError};
use gflownet_tour_widgets::numbers;
use gflownet_tour_widgets::picture::{BINS, CELLS, PATHS, Picture};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::{fs, io};

/// The models that there are.
#[derive(Default)]
pub struct Models {
    models: BTreeMap<&'static str, weights::Model>,
    tempered: Option<weights::tempered::TemperedFile>,
}

/// What a sampler does, drawn once.
pub struct Still {
    pub picture: Picture,
    /// Share of the samples in each mode's basin, from left to right.
    pub sampled_mode_mass: Vec<f64>,
    /// Exact mass per mode, from left to right.
    pub mode_mass: Vec<f64>,
}

/// Why the models cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// A file is there and cannot be read.
    File(String, io::Error),
    /// A file is no model.
    Weights(WeightsError),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::File(file, why) => write!(f, "{file} cannot be read: {why}"),
            ReadError::Weights(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl Models {
    /// Reads the weights in the folder `pretrained`. Those that are not there are left out.
    ///
    /// # Errors
    /// When a file is there and is not a whole model.
    pub fn read(pretrained: &Path) -> Result<Models, ReadError> {
        let bytes = |name: &str| {
            let file = format!("{name}.safetensors");
            match fs::read(pretrained.join(&file)) {
                Ok(bytes) => Ok(Some((file, bytes))),
                Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
                Err(why) => Err(ReadError::File(file, why)),
            }
        };
        let mut models = Models::default();
        for experiment in gflownet_tour_core::experiment::all() {
            if let Some((file, bytes)) = bytes(experiment.name)? {
                let model = weights::parse(&file, &bytes).map_err(ReadError::Weights)?;
                models.models.insert(experiment.name, model);
            }
        }
        if let Some((file, bytes)) = bytes(TEMPERED.name)? {
            let model = weights::tempered::parse(&file, &bytes).map_err(ReadError::Weights)?;
            models.tempered = Some(model);
        }
        Ok(models)
    }

    /// The exact terminal density of a model with its steps scaled, averaged over the cells of the
    /// plot; none where there are no weights.
    pub fn density(&self, experiment: &Experiment, sigma_scale: f64) -> Option<Vec<f32>> {
        let policy = &self.models.get(experiment.name)?.forward;
        let terminal = terminal(&policy.cast::<f64>(), experiment, sigma_scale);
        Some(averages(&terminal, experiment))
    }

    /// A model of which exact questions can be asked.
    pub fn subject(&self, experiment: &Experiment) -> Option<Subject> {
        Some(Subject::new(experiment, self.models.get(experiment.name)?))
    }

    /// What `count` walks of a model with the default seed do, as its demo first shows them.
    pub fn still(&self, experiment: &Experiment, count: u32) -> Option<Still> {
        Some(still(
            &self.models.get(experiment.name)?.forward,
            experiment,
            count,
        ))
    }

    /// The same of the model of every temperature, with its log Z, in nats.
    pub fn still_tempered(&self, beta: f64, count: u32) -> Option<(Still, f64)> {
        let model = &self.tempered.as_ref()?.model;
        let policy = model.forward.at(beta.ln() as f32);
        let log_z = f64::from(model.log_z.at(beta.ln() as f32));
        Some((still(&policy, &TEMPERED, count), log_z))
    }

    /// What the page's program needs of the manifest, as JSON: of the models that come after the
    /// tour's no training but its end, and no other seeds. Nothing where there is no manifest.
    pub fn trainings(&self) -> String {
        let Some(manifest) = numbers::manifest() else {
            return String::new();
        };
        let mut manifest: Manifest = manifest.clone();
        for model in &mut manifest.models {
            model.ensemble.clear();
            if !EXPERIMENTS.iter().any(|e| e.name == model.name) {
                let most = model.curve.len().saturating_sub(1);
                model.curve.drain(..most);
            }
            for point in &mut model.curve {
                for value in [
                    &mut point.loss,
                    &mut point.log_z,
                    &mut point.total_variation,
                ] {
                    *value = four_digits(*value);
                }
            }
        }
        if let Some(tempered) = &mut manifest.tempered {
            tempered.ensemble.clear();
        }
        serde_json::to_string(&manifest).unwrap_or_default()
    }
}

/// A number as exactly as a curve shows it.
fn four_digits(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

fn terminal(policy: &impl Laws, experiment: &Experiment, sigma_scale: f64) -> TerminalDensity {
    let (start, steps) = (experiment.start, experiment.steps);
    TerminalDensity::with_tails(policy, start, steps, sigma_scale, Tails::Bulk)
}

fn averages(terminal: &TerminalDensity, experiment: &Experiment) -> Vec<f32> {
    let (lo, hi) = experiment.plot_range();
    let cells = terminal.averages(lo, hi, CELLS as usize);
    cells.into_iter().map(|density| density as f32).collect()
}

fn still(policy: &Policy<f32>, experiment: &Experiment, count: u32) -> Still {
    let rollout = Rollout {
        start: experiment.start,
        steps: experiment.steps,
        sigma_scale: 1.0,
        extra_std: 0.0,
        seed: DEFAULT_SEED,
        first: 0,
    };
    let walks = rollout.draw(policy, count as usize);
    let target = experiment.target();
    let (range, bins) = (experiment.plot_range(), BINS as usize);
    let mut counts = Counts::new(range, bins, &target.midpoints());
    counts.add(&walks.terminals().collect::<Vec<f32>>());
    let terminal = terminal(&policy.cast::<f64>(), experiment, 1.0);
    let drawn = PATHS as usize * (experiment.steps + 1);
    Still {
        picture: Picture {
            steps: experiment.steps,
            histogram: counts.density(),
            density: averages(&terminal, experiment),
            paths: walks.states.into_iter().take(drawn).collect(),
        },
        sampled_mode_mass: counts.basin_shares(),
        mode_mass: gflownet_tour_core::divergence::mode_mass(&terminal, &target),
    }
}
