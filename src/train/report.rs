//! What a run says of itself: manifest entries, the weights' metadata, and tables.

use super::{Moment, Trained};
use crate::density::TerminalDensity;
use crate::divergence::{self, Metrics};
use crate::experiment;
use crate::mixture::Mixture;
use crate::sampler::Sampler;
use crate::trainer::Progress;
use crate::weights::manifest::{
    CurvePoint, FORMAT, Manifest, ModelEntry, Recipe, SeedResult, SnapshotsEntry, TemperedEntry,
};
use crate::weights::snapshots::{self, Snapshot};
use crate::weights::{self, Model};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The most points of the curve that a manifest keeps.
const CURVE_POINTS: usize = 200;
/// The most snapshots of a training, the untrained policy aside.
const SNAPSHOTS: usize = 40;
/// Iterations that the final loss is the mean of.
pub const FINAL_ITERATIONS: usize = 100;

/// `value` to so many significant digits: a manifest is read by people and compared in diffs.
pub fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

/// The decimal that names the f32, and not the longer one that names its f64.
pub fn widened(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

pub fn mean_loss(history: &[Progress]) -> f64 {
    history.iter().map(|p| f64::from(p.loss)).sum::<f64>() / history.len() as f64
}

/// The iteration of the curve's point number `point` of [`CURVE_POINTS`]. They rise as its square,
/// for a training changes most early on.
fn curve_point(iterations: usize, point: f64) -> usize {
    (iterations as f64 * (point / CURVE_POINTS as f64).powi(2)).round() as usize
}

/// The iterations after which the curve has a point.
fn curve_iterations(iterations: usize) -> BTreeSet<usize> {
    (1..=CURVE_POINTS)
        .map(|point| curve_point(iterations, point as f64))
        .filter(|&iteration| iteration > 0)
        .collect()
}

/// The iterations after which there is a snapshot: 0, and points of the curve, denser early on than
/// these are.
fn snapshot_iterations(iterations: usize) -> BTreeSet<usize> {
    (0..=SNAPSHOTS)
        .map(|i| {
            let share = (i as f64 / SNAPSHOTS as f64).powf(1.5);
            curve_point(iterations, (CURVE_POINTS as f64 * share).round())
        })
        .collect()
}

/// The iterations of a run whose policy a report needs, rising.
pub fn moments(iterations: usize) -> Vec<usize> {
    let untrained = std::iter::once(0);
    untrained.chain(curve_iterations(iterations)).collect()
}

/// The curve: losses are means since the point before. It has points where moments were kept.
fn curve(
    history: &[Progress],
    moments: &[Moment],
    total_variation: impl Fn(&Moment) -> f64,
) -> Vec<CurvePoint> {
    let points = curve_iterations(history.len());
    let mut begin = 0;
    moments
        .iter()
        .filter(|moment| points.contains(&moment.iteration))
        .map(|moment| {
            let chunk = &history[begin..moment.iteration];
            begin = moment.iteration;
            CurvePoint {
                iteration: moment.iteration,
                loss: rounded(mean_loss(chunk), 6),
                log_z: rounded(widened(moment.log_z), 6),
                total_variation: rounded(total_variation(moment), 5),
            }
        })
        .collect()
}

/// A trained run with its exact scores.
pub struct Scored {
    /// The experiment's name.
    pub name: String,
    pub recipe: Recipe,
    pub seed: u64,
    pub trained: Trained,
    /// The model's exact terminal density at sigma scale 1.
    pub density: TerminalDensity,
    /// The seed's line of an ensemble.
    pub result: SeedResult,
    pub metrics: Metrics,
}

impl Scored {
    /// Scores a run.
    pub fn new(name: &str, recipe: Recipe, seed: u64, trained: Trained) -> Self {
        let target = Mixture::new(recipe.modes.clone());
        let policy = trained.forward.cast::<f64>();
        let density = TerminalDensity::of(&policy, recipe.start, recipe.steps, 1.0);
        let exact = Metrics::exact(&density, &target);
        let digits = |value| rounded(value, 9);
        let metrics = Metrics {
            total_variation: digits(exact.total_variation),
            kl_target_model: digits(exact.kl_target_model),
            kl_model_target: digits(exact.kl_model_target),
            jensen_shannon: digits(exact.jensen_shannon),
            wasserstein_1: digits(exact.wasserstein_1),
            mean: digits(exact.mean),
            std: digits(exact.std),
        };
        let mode_mass = divergence::mode_mass(&density, &target);
        let last = trained.history.len().saturating_sub(FINAL_ITERATIONS);
        let result = SeedResult {
            seed,
            final_loss: rounded(mean_loss(&trained.history[last..]), 6),
            log_z: widened(trained.log_z),
            total_variation: metrics.total_variation,
            kl_target_model: metrics.kl_target_model,
            mode_mass: mode_mass.into_iter().map(digits).collect(),
        };
        Scored {
            name: name.to_owned(),
            recipe,
            seed,
            trained,
            density,
            result,
            metrics,
        }
    }

    /// The model as its file holds it.
    ///
    /// # Errors
    /// Never for a finite recipe.
    pub fn model(&self) -> Result<Model, serde_json::Error> {
        let metadata = [
            ("experiment", self.name.clone()),
            ("format", weights::FORMAT.to_string()),
            ("recipe", serde_json::to_string(&self.recipe)?),
            ("seed", self.seed.to_string()),
        ];
        Ok(Model {
            forward: self.trained.forward.clone(),
            backward: self.trained.backward.clone(),
            // No experiment of the table learns one.
            flow: None,
            log_z: self.trained.log_z,
            metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
        })
    }

    /// The kept policies that make the snapshots file.
    fn snapshots(&self) -> Vec<Snapshot> {
        let Recipe {
            iterations,
            exploration,
            ..
        } = self.recipe;
        let points = snapshot_iterations(iterations);
        let moments = self.trained.moments.iter();
        moments
            .filter(|moment| points.contains(&moment.iteration))
            .map(|moment| Snapshot {
                iteration: moment.iteration as u32,
                forward: moment.forward.clone(),
                log_z: moment.log_z,
                extra_std: exploration.extra_std(moment.iteration, iterations) as f32,
            })
            .collect()
    }

    /// The bytes of the snapshots file, and what the manifest says of it.
    pub fn snapshots_file(&self) -> (Vec<u8>, SnapshotsEntry) {
        let snapshots = self.snapshots();
        let metadata = [
            ("experiment", self.name.clone()),
            ("seed", self.seed.to_string()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        let bytes = snapshots::serialize(&snapshots, &metadata);
        let entry = SnapshotsEntry {
            file: snapshots::file_name(&self.name),
            sha256: weights::sha256(&bytes),
            iterations: snapshots.iter().map(|s| s.iteration as usize).collect(),
        };
        (bytes, entry)
    }

    /// The manifest's entry for the weights file `bytes`.
    pub fn entry(
        &self,
        bytes: &[u8],
        snapshots: SnapshotsEntry,
        ensemble: Vec<SeedResult>,
    ) -> ModelEntry {
        let target = Mixture::new(self.recipe.modes.clone());
        let (start, steps) = (self.recipe.start, self.recipe.steps);
        let total_variation = |moment: &Moment| {
            // Two hundred of them: the vector code is ten times as fast as the plain formula, and
            // the last must agree with the scores, which are by that.
            let density = TerminalDensity::of(&Sampler::new(&moment.forward), start, steps, 1.0);
            divergence::total_variation(&density, &target)
        };
        ModelEntry {
            name: self.name.clone(),
            file: format!("{}.safetensors", self.name),
            sha256: weights::sha256(bytes),
            recipe: self.recipe.clone(),
            seed: self.seed,
            final_loss: self.result.final_loss,
            log_z: self.result.log_z,
            log_z_true: rounded(target.log_partition(), 9),
            curve: curve(
                &self.trained.history,
                &self.trained.moments,
                total_variation,
            ),
            snapshots: Some(snapshots),
            metrics: self.metrics,
            mode_mass: self.result.mode_mass.clone(),
            target_mode_mass: target.mode_mass().iter().map(|&m| rounded(m, 9)).collect(),
            ensemble,
        }
    }
}

/// The entries of `old` with those of `new` in the place of their namesakes, in the order of the
/// experiments' table; names that are not of the table come last.
pub fn merge(
    old: Option<Manifest>,
    new: Vec<ModelEntry>,
    tempered: Option<TemperedEntry>,
) -> Manifest {
    let (old, old_tempered) = old.map_or_else(Default::default, |manifest| {
        (manifest.models, manifest.tempered)
    });
    let mut models: BTreeMap<(usize, String), ModelEntry> = BTreeMap::new();
    for entry in old.into_iter().chain(new) {
        let known = experiment::all().position(|e| e.name == entry.name);
        let place = known.unwrap_or(usize::MAX);
        models.insert((place, entry.name.clone()), entry);
    }
    Manifest {
        format: FORMAT,
        models: models.into_values().collect(),
        tempered: tempered.or(old_tempered),
    }
}

/// Numbers with `digits` decimals, separated by spaces.
fn list(values: &[f64], digits: usize) -> String {
    let texts: Vec<String> = values.iter().map(|v| format!("{v:.digits$}")).collect();
    texts.join(" ")
}

/// Rows of cells as a table with aligned columns; the first row is its head.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells.map(|(cell, &w)| format!("{cell:<w$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// One line a model: TV, KL, mass per mode and log Z against the truth.
pub fn models_table(manifest: &Manifest) -> String {
    let mut rows = vec![row([
        "model",
        "TV",
        "KL",
        "mass per mode (true)",
        "log Z (true)",
    ])];
    for m in &manifest.models {
        rows.push(vec![
            m.name.clone(),
            format!("{:.4}", m.metrics.total_variation),
            format!("{:.4}", m.metrics.kl_target_model),
            format!(
                "{} ({})",
                list(&m.mode_mass, 3),
                list(&m.target_mode_mass, 3)
            ),
            format!("{:.3} ({:.3})", m.log_z, m.log_z_true),
        ]);
    }
    table(&rows)
}

/// The middle of `values`: with an even number of them, the mean of the middle two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    0.5 * (values[low] + values[high])
}

/// Median and range over the seeds of the models that have an ensemble; empty without any.
pub fn ensemble_table(manifest: &Manifest) -> String {
    let spread = |values: Vec<f64>, digits: usize| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let median = median(values);
        format!("{median:.digits$} [{low:.digits$}, {high:.digits$}]")
    };
    let mut rows = vec![row([
        "model",
        "seeds",
        "TV",
        "KL",
        "log Z",
        "mass per mode",
    ])];
    for m in manifest.models.iter().filter(|m| !m.ensemble.is_empty()) {
        let of = |f: fn(&SeedResult) -> f64| m.ensemble.iter().map(f).collect::<Vec<f64>>();
        let masses = (0..m.recipe.modes.len()).map(|mode| {
            let of_mode = m.ensemble.iter().map(|seed| seed.mode_mass[mode]);
            spread(of_mode.collect(), 3)
        });
        rows.push(vec![
            m.name.clone(),
            m.ensemble.len().to_string(),
            spread(of(|seed| seed.total_variation), 4),
            spread(of(|seed| seed.kl_target_model), 4),
            spread(of(|seed| seed.log_z), 3),
            masses.collect::<Vec<_>>().join(" "),
        ]);
    }
    match rows.len() {
        1 => String::new(),
        _ => format!(
            "\nMedian [lowest, highest] over the seeds:\n{}",
            table(&rows)
        ),
    }
}

/// The experiments and their recipes.
pub fn experiments_table() -> String {
    let mut rows = vec![row([
        "name",
        "iterations",
        "exploration",
        "backward loop",
        "modes: mean (variance)",
    ])];
    for e in experiment::all().chain([&experiment::TEMPERED]) {
        let modes = e.modes.iter().fold(String::new(), |mut text, mode| {
            let _ = write!(text, "{} ({})  ", mode.mean, mode.var);
            text
        });
        rows.push(vec![
            e.name.to_owned(),
            e.iterations.to_string(),
            format!("{:?}", e.exploration),
            format!("{:?}", e.backward_loop),
            modes,
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn history(iterations: usize) -> Vec<Progress> {
        (1..=iterations)
            .map(|iteration| Progress {
                iteration,
                loss: iteration as f32,
                log_z: 0.1 * iteration as f32,
                is_finite: true,
            })
            .collect()
    }

    fn kept(iterations: usize) -> Vec<Moment> {
        let moment = |iteration| Moment {
            iteration,
            forward: Policy::placeholder(1, 0.3),
            log_z: 0.1 * iteration as f32,
        };
        moments(iterations).into_iter().map(moment).collect()
    }

    #[test]
    fn the_curve_is_thinned_to_means_and_ends_at_the_end() {
        let curve_of = |iterations| curve(&history(iterations), &kept(iterations), |_| 0.25);
        let long = curve_of(5_000);
        assert!((150..=200).contains(&long.len()), "{}", long.len());
        assert_eq!((long[0].iteration, long[0].loss), (1, 1.0));
        let [before, last] = [long.len() - 2, long.len() - 1].map(|i| long[i]);
        assert_eq!((before.iteration, last.iteration), (4_950, 5_000));
        assert_eq!(last.loss, 4_975.5);
        assert_eq!((last.log_z, last.total_variation), (500.0, 0.25));
        assert_eq!(curve_of(10_001).last().unwrap().iteration, 10_001);
        assert_eq!(curve_of(1).len(), 1);
        assert_eq!(curve_of(3)[0].log_z, 0.1);
    }

    #[test]
    fn snapshots_go_from_the_untrained_policy_to_the_end_and_are_dense_early() {
        for iterations in [1, 3, 40, 5_000, 10_000] {
            let points = snapshot_iterations(iterations);
            assert_eq!(points.first(), Some(&0));
            assert_eq!(points.last(), Some(&iterations));
            assert!(points.len() <= SNAPSHOTS + 1);
            let curve = curve_iterations(iterations);
            assert!(points.iter().skip(1).all(|point| curve.contains(point)));
        }
        let points: Vec<usize> = snapshot_iterations(5_000).into_iter().collect();
        assert!(points.len() > 35, "{points:?}");
        assert!(points[points.len() / 2] < 5_000 / 4, "{points:?}");
    }

    #[test]
    fn numbers_lose_their_noise_and_nothing_else() {
        assert_eq!(rounded(1.0 / 3.0, 9), 0.333_333_333);
        assert_eq!(rounded(-123_456.789, 3), -123_000.0);
        assert_eq!(rounded(0.0, 9), 0.0);
        assert_eq!(widened(0.1), 0.1);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
