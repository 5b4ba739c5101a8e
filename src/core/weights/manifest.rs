//! `pretrained/manifest.json`: what each bundled model is, how it was trained and what it scores.

use crate::balance::BackwardLoop;
use crate::divergence::Metrics;
use crate::experiment::{self, Experiment, TEMPERED};
use crate::exploration::Exploration;
use crate::mixture::Mode;
use crate::options::Options;
use crate::tempered::{SCORED_BETAS, Score, TemperedRecipe};
use crate::weights::{WeightsError, snapshots};
use serde::{Deserialize, Serialize};

/// The manifest format. The second: the first had no total variation in its curves.
pub const FORMAT: u32 = 2;

/// The whole manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`]; a reader refuses any other.
    pub format: u32,
    /// The models, in the order of the experiments' table.
    pub models: Vec<ModelEntry>,
    /// The model of every temperature, where it was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tempered: Option<TemperedEntry>,
}

/// The bundled model of every temperature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemperedEntry {
    /// The weights' file, beside the manifest.
    pub file: String,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// How it was trained.
    pub recipe: TemperedRecipe,
    /// The seed of the weights.
    pub seed: u64,
    /// What the weights score at each of [`SCORED_BETAS`].
    pub scores: Vec<Score>,
    /// The same recipe under all seeds that were run, the first one's included.
    pub ensemble: Vec<TemperedSeed>,
}

/// The result of one seed of the model of every temperature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemperedSeed {
    /// The seed.
    pub seed: u64,
    /// Mean training loss of the last hundred iterations, in nats².
    pub final_loss: f64,
    /// What it scores at each of [`SCORED_BETAS`].
    pub scores: Vec<Score>,
}

/// One bundled model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// The experiment's name.
    pub name: String,
    /// The weights' file, beside the manifest.
    pub file: String,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// How it was trained.
    pub recipe: Recipe,
    /// The seed of initial weights and training noise.
    pub seed: u64,
    /// Mean training loss of the last hundred iterations, in nats².
    pub final_loss: f64,
    /// The learned log Z, in nats.
    pub log_z: f64,
    /// The true log Z, in nats.
    pub log_z_true: f64,
    /// Loss, log Z and total variation through the training, thinned, and dense early on.
    pub curve: Vec<CurvePoint>,
    /// The forward policy through the training, where it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<SnapshotsEntry>,
    /// Exact scores at sigma scale 1.
    pub metrics: Metrics,
    /// Exact mass per mode of the model, from left to right.
    pub mode_mass: Vec<f64>,
    /// The target's own mass per mode.
    pub target_mode_mass: Vec<f64>,
    /// The same recipe under other seeds, where they were run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ensemble: Vec<SeedResult>,
}

/// Everything but the seed that decides a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The target's modes (mean and variance, and weight where it is not one).
    pub modes: Vec<Mode>,
    /// The state S0.
    pub start: f64,
    /// The horizon N.
    pub steps: usize,
    /// Training iterations.
    pub iterations: usize,
    /// Trajectories in a batch.
    pub batch: usize,
    /// Neurons in each hidden layer.
    pub hidden: usize,
    /// Adam's learning rate for both networks.
    pub learning_rate: f64,
    /// Adam's learning rate for log Z.
    pub log_z_learning_rate: f64,
    /// Adam's β2, the decay of its mean of squared gradients.
    pub adam_beta_2: f64,
    /// Noise added to the sampling standard deviation.
    pub exploration: Exploration,
    /// The backward terms that the loss counts.
    pub backward_loop: BackwardLoop,
    /// What the training does beside the classic one.
    #[serde(default, skip_serializing_if = "Options::is_classic")]
    pub options: Options,
}

impl Recipe {
    /// The recipe of an experiment of the table.
    pub fn of(experiment: &Experiment) -> Self {
        Recipe {
            modes: experiment.modes.to_vec(),
            start: experiment.start,
            steps: experiment.steps,
            iterations: experiment.iterations,
            batch: experiment::BATCH,
            hidden: experiment::HIDDEN,
            learning_rate: experiment.learning_rate,
            log_z_learning_rate: experiment::LOG_Z_LEARNING_RATE,
            adam_beta_2: experiment.adam_beta_2,
            exploration: experiment.exploration,
            backward_loop: experiment.backward_loop,
            options: experiment.options,
        }
    }
}

/// A point of the training curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The iteration, from 1.
    pub iteration: usize,
    /// The mean loss since the point before, in nats².
    pub loss: f64,
    /// log Z after the iteration, in nats.
    pub log_z: f64,
    /// Exact total variation to the target after the iteration, in [0, 1].
    pub total_variation: f64,
}

/// The file of a model's snapshots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotsEntry {
    /// The file, in the manifest's folder.
    pub file: String,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// Finished iterations at each snapshot, rising from 0, the untrained policy, to the whole
    /// training.
    pub iterations: Vec<usize>,
}

/// The result of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// Mean training loss of the last hundred iterations, in nats².
    pub final_loss: f64,
    /// The learned log Z, in nats.
    pub log_z: f64,
    /// Exact total variation to the target, in [0, 1].
    pub total_variation: f64,
    /// Exact KL(target, model), in nats.
    pub kl_target_model: f64,
    /// Exact mass per mode of the model.
    pub mode_mass: Vec<f64>,
}

/// Reads a manifest. `file` is the name that errors give.
///
/// # Errors
/// When the text is not the JSON of this format, or a model's fields contradict each other.
pub fn parse(file: &str, text: &str) -> Result<Manifest, WeightsError> {
    // The format first: a manifest of another format may lack fields of this one, and the reader
    // should hear of the format and not of a field.
    #[derive(Deserialize)]
    struct Header {
        format: u64,
    }
    let not_manifest = |error: serde_json::Error| WeightsError::NotManifest {
        file: file.into(),
        why: error.to_string(),
    };
    let Header { format } = serde_json::from_str(text).map_err(not_manifest)?;
    if format != u64::from(FORMAT) {
        return Err(WeightsError::Format {
            file: file.into(),
            found: format,
            expected: FORMAT,
        });
    }
    let manifest: Manifest = serde_json::from_str(text).map_err(not_manifest)?;
    for (index, entry) in manifest.models.iter().enumerate() {
        entry.check(file)?;
        if manifest.models[..index]
            .iter()
            .any(|m| m.name == entry.name)
        {
            return Err(entry.field(file, "name", "a second entry", "one entry a model"));
        }
    }
    if let Some(tempered) = &manifest.tempered {
        tempered.check(file)?;
    }
    Ok(manifest)
}

/// The text of a manifest: JSON, indented, with a newline at the end.
///
/// # Errors
/// Never for finite numbers; the caller still gets a `Result`, not a panic.
pub fn to_json(manifest: &Manifest) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(manifest)? + "\n")
}

/// The error of a field that is not what it should be.
fn field(
    file: &str,
    model: &str,
    field: &'static str,
    found: impl ToString,
    expected: impl ToString,
) -> WeightsError {
    WeightsError::Field {
        file: file.into(),
        model: model.into(),
        field,
        found: found.to_string(),
        expected: expected.to_string(),
    }
}

fn is_sha256(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == 64 && text.bytes().all(hex)
}

const SHA256: &str = "64 lower-case hexadecimal digits";

impl TemperedEntry {
    /// The model's name.
    pub const NAME: &'static str = TEMPERED.name;

    fn check(&self, file: &str) -> Result<(), WeightsError> {
        let field = |name, found, expected| Err(field(file, Self::NAME, name, found, expected));
        let expected = format!("{}.safetensors", Self::NAME);
        if self.file != expected {
            return field("file", format!("`{}`", self.file), expected);
        }
        if !is_sha256(&self.sha256) {
            return field("sha256", format!("`{}`", self.sha256), SHA256.into());
        }
        let seeds = self.ensemble.iter().map(|seed| &seed.scores);
        for scores in seeds.chain([&self.scores]) {
            let betas: Vec<f64> = scores.iter().map(|score| score.beta).collect();
            if betas != SCORED_BETAS {
                return field("scores", format!("{betas:?}"), format!("{SCORED_BETAS:?}"));
            }
        }
        Ok(())
    }
}

impl ModelEntry {
    fn field(
        &self,
        file: &str,
        field: &'static str,
        found: impl ToString,
        expected: impl ToString,
    ) -> WeightsError {
        self::field(file, &self.name, field, found, expected)
    }

    fn check(&self, file: &str) -> Result<(), WeightsError> {
        // The name becomes part of a path, here and in links.
        if self.file != format!("{}.safetensors", self.name) || self.name.contains(['/', '\\']) {
            let expected = "the model's name with .safetensors";
            return Err(self.field(file, "file", format!("`{}`", self.file), expected));
        }
        if self.curve.is_empty() {
            return Err(self.field(file, "curve", "no point", "at least one"));
        }
        let snapshots = self.snapshots.as_ref();
        for sha256 in [Some(&self.sha256), snapshots.map(|s| &s.sha256)]
            .into_iter()
            .flatten()
        {
            if !is_sha256(sha256) {
                return Err(self.field(file, "sha256", format!("`{sha256}`"), SHA256));
            }
        }
        if let Some(snapshots) = snapshots {
            self.check_snapshots(file, snapshots)?;
        }
        let modes = self.recipe.modes.len();
        let masses = self.ensemble.iter().map(|seed| &seed.mode_mass);
        for mass in masses.chain([&self.mode_mass, &self.target_mode_mass]) {
            if mass.len() != modes {
                let found = format!("{} numbers", mass.len());
                return Err(self.field(
                    file,
                    "mode_mass",
                    found,
                    format!("one per mode ({modes})"),
                ));
            }
        }
        Ok(())
    }

    fn check_snapshots(&self, file: &str, snapshots: &SnapshotsEntry) -> Result<(), WeightsError> {
        if snapshots.file != snapshots::file_name(&self.name) {
            let (found, expected) = (&snapshots.file, snapshots::file_name(&self.name));
            return Err(self.field(file, "snapshots.file", format!("`{found}`"), expected));
        }
        let iterations = &snapshots.iterations;
        let ends = (iterations.first().copied(), iterations.last().copied());
        let rises = iterations.windows(2).all(|pair| pair[0] < pair[1]);
        if !rises || ends != (Some(0), Some(self.recipe.iterations)) {
            let expected = "iterations that rise from 0 to the recipe's";
            return Err(self.field(
                file,
                "snapshots.iterations",
                format!("{iterations:?}"),
                expected,
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let entry = ModelEntry {
            name: "two".into(),
            file: "two.safetensors".into(),
            sha256: "0f".repeat(32),
            recipe: Recipe {
                modes: vec![Mode::new(-1.0, 0.2), Mode::new(1.0, 0.2)],
                start: 0.0,
                steps: 5,
                iterations: 10,
                batch: 256,
                hidden: 64,
                learning_rate: 1e-3,
                log_z_learning_rate: 1e-1,
                adam_beta_2: 0.999,
                exploration: Exploration::Linear {
                    from_std: 2.0,
                    to_std: 0.0,
                },
                backward_loop: BackwardLoop::CountsForced,
                options: Options::CLASSIC,
            },
            seed: u64::MAX,
            final_loss: 0.125,
            log_z: 0.6,
            log_z_true: std::f64::consts::LN_2,
            curve: vec![CurvePoint {
                iteration: 10,
                loss: 0.125,
                log_z: 0.6,
                total_variation: 0.1,
            }],
            snapshots: Some(SnapshotsEntry {
                file: "snapshots/two.safetensors".into(),
                sha256: "1e".repeat(32),
                iterations: vec![0, 3, 10],
            }),
            metrics: Metrics {
                total_variation: 0.1,
                kl_target_model: 0.2,
                kl_model_target: 0.3,
                jensen_shannon: 0.05,
                wasserstein_1: 0.4,
                mean: -0.01,
                std: 1.1,
            },
            mode_mass: vec![0.4, 0.6],
            target_mode_mass: vec![0.5, 0.5],
            ensemble: Vec::new(),
        };
        Manifest {
            format: FORMAT,
            models: vec![entry],
            tempered: None,
        }
    }

    fn check(change: impl FnOnce(&mut ModelEntry), message: &str) {
        let mut manifest = manifest();
        change(&mut manifest.models[0]);
        let error = parse("m.json", &to_json(&manifest).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_manifest_survives() {
        let manifest = manifest();
        assert_eq!(
            parse("m.json", &to_json(&manifest).unwrap()).unwrap(),
            manifest
        );
    }

    #[test]
    fn a_later_format_is_named_before_its_fields_are_read() {
        assert_eq!(
            parse("m.json", r#"{"format": 3, "networks": []}"#)
                .unwrap_err()
                .to_string(),
            "m.json has format 3, and this build reads format 2: \
             use the build it came with, or retrain"
        );
    }

    #[test]
    fn rubbish_is_refused() {
        for text in ["", "<!doctype html>", "{}", r#"{"format": 2}"#] {
            let error = parse("m.json", text).unwrap_err();
            assert!(matches!(error, WeightsError::NotManifest { .. }), "{text}");
        }
    }

    #[test]
    fn fields_that_cannot_be_are_named() {
        check(
            |entry| entry.file = "../two.safetensors".into(),
            "m.json: model `two` has `../two.safetensors` in `file`, \
             where the model's name with .safetensors belongs; retrain",
        );
        check(
            |entry| entry.sha256.truncate(63),
            &format!(
                "m.json: model `two` has `{}` in `sha256`, \
                 where 64 lower-case hexadecimal digits belongs; retrain",
                &"0f".repeat(32)[..63]
            ),
        );
        check(
            |entry| entry.snapshots.as_mut().unwrap().file = "two.safetensors".into(),
            "m.json: model `two` has `two.safetensors` in `snapshots.file`, \
             where snapshots/two.safetensors belongs; retrain",
        );
        check(
            |entry| entry.snapshots.as_mut().unwrap().iterations = vec![0, 5, 5, 10],
            "m.json: model `two` has [0, 5, 5, 10] in `snapshots.iterations`, \
             where iterations that rise from 0 to the recipe's belongs; retrain",
        );
        check(
            |entry| entry.mode_mass.push(0.0),
            "m.json: model `two` has 3 numbers in `mode_mass`, \
             where one per mode (2) belongs; retrain",
        );
    }

    #[test]
    fn a_model_listed_twice_is_refused() {
        let mut manifest = manifest();
        manifest.models.push(manifest.models[0].clone());
        let error = parse("m.json", &to_json(&manifest).unwrap()).unwrap_err();
        assert!(matches!(error, WeightsError::Field { field: "name", .. }));
    }
}
