//! The bundled models: whole, unchanged, scored rightly, and showing what the text says of them.

use gflownet_tour::balance::importance_log_z;
use gflownet_tour::density::TerminalDensity;
use gflownet_tour::divergence::{self, Metrics};
use gflownet_tour::experiment::{self, DEFAULT_SEED, Experiment, TEMPERED};
use gflownet_tour::rollout::Rollout;
use gflownet_tour::tempered::{SCORED_BETAS, Score, TemperedRecipe};
use gflownet_tour::weights::ablation;
use gflownet_tour::weights::manifest::{
    self, Manifest, ModelEntry, Recipe, SeedResult, TemperedEntry,
};
use gflownet_tour::weights::snapshots::{self, rounded};
use gflownet_tour::weights::{self, Model};
use std::fs;
use std::path::Path;

const SEEDS: usize = 16;
/// Seeds of the model of every temperature.
const TEMPERED_SEEDS: usize = 3;
/// What the rounding of a snapshot's weights may move its total variation by.
const ROUNDING: f64 = 2e-3;

fn read(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("pretrained")
        .join(file);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn manifest() -> Manifest {
    let text = String::from_utf8(read("manifest.json")).unwrap();
    manifest::parse("manifest.json", &text).unwrap()
}

fn entry(name: &str) -> ModelEntry {
    let found = manifest().models.into_iter().find(|m| m.name == name);
    found.unwrap_or_else(|| panic!("the manifest has no {name}"))
}

fn model(entry: &ModelEntry) -> Model {
    weights::parse(&entry.file, &read(&entry.file)).unwrap()
}

fn of_seeds(entry: &ModelEntry, value: impl Fn(&SeedResult) -> f64) -> Vec<f64> {
    assert_eq!(entry.ensemble.len(), SEEDS, "{}", entry.name);
    let mut values: Vec<f64> = entry.ensemble.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values
}

#[test]
fn the_manifest_lists_the_table_of_experiments() {
    let manifest = manifest();
    assert_eq!(manifest.models.len(), experiment::all().count());
    for (entry, experiment) in manifest.models.iter().zip(experiment::all()) {
        assert_eq!(entry.name, experiment.name);
        assert_eq!(entry.recipe, Recipe::of(experiment));
        assert_eq!(entry.seed, DEFAULT_SEED);
    }
}

#[test]
fn the_weights_are_the_ones_that_were_scored() {
    for entry in manifest().models {
        assert_eq!(weights::sha256(&read(&entry.file)), entry.sha256);
        let model = model(&entry);
        assert_eq!(model.metadata["experiment"], entry.name);
        assert_eq!(model.metadata["seed"], entry.seed.to_string());
        let recipe: Recipe = serde_json::from_str(&model.metadata["recipe"]).unwrap();
        assert_eq!(recipe, entry.recipe);
        assert_eq!(entry.log_z as f32, model.log_z);
    }
}

#[test]
fn the_scores_are_those_of_the_weights() {
    for entry in manifest().models {
        let experiment = Experiment::named(&entry.name).unwrap();
        let target = experiment.target();
        let policy = model(&entry).forward.cast::<f64>();
        let density = TerminalDensity::of(&policy, experiment.start, experiment.steps, 1.0);
        let (got, stated) = (Metrics::exact(&density, &target), entry.metrics);
        let close = |what: &str, got: f64, stated: f64| {
            let error = (got - stated).abs();
            assert!(
                error < 1e-6 * stated.abs().max(1.0),
                "{} {what}: {got}, the manifest says {stated}",
                entry.name
            );
        };
        close("TV", got.total_variation, stated.total_variation);
        close(
            "KL(target, model)",
            got.kl_target_model,
            stated.kl_target_model,
        );
        close(
            "KL(model, target)",
            got.kl_model_target,
            stated.kl_model_target,
        );
        close("JS", got.jensen_shannon, stated.jensen_shannon);
        close("W1", got.wasserstein_1, stated.wasserstein_1);
        close("mean", got.mean, stated.mean);
        close("std", got.std, stated.std);
        close("log Z", target.log_partition(), entry.log_z_true);
        let masses = divergence::mode_mass(&density, &target);
        for (got, &stated) in masses.into_iter().zip(&entry.mode_mass) {
            close("mode mass", got, stated);
        }
        for (got, &stated) in target.mode_mass().into_iter().zip(&entry.target_mode_mass) {
            close("target's mode mass", got, stated);
        }
        // The shipped seed is one of the ensemble and has the same numbers there.
        let seed = entry.ensemble.iter().find(|seed| seed.seed == entry.seed);
        let seed = seed.unwrap_or_else(|| panic!("{}: no ensemble", entry.name));
        assert_eq!(seed.total_variation, stated.total_variation);
        assert_eq!(seed.log_z, entry.log_z);
    }
}

#[test]
fn the_curves_run_to_the_end_of_the_training() {
    for entry in manifest().models {
        let last = entry.curve.last().unwrap();
        assert_eq!(last.iteration, entry.recipe.iterations);
        assert!(entry.curve.len() >= 100 && entry.curve.len() <= 200);
        assert!((last.log_z - entry.log_z).abs() < 1e-5);
        assert!((last.total_variation - entry.metrics.total_variation).abs() < 1e-5);
        assert_eq!(entry.curve[0].iteration, 1);
    }
}

/// The file is the manifest's, begins untrained and ends with the shipped model; between them
/// total variation and log Z are the curve's: rounding to halves does little.
#[test]
fn the_snapshots_are_the_training_that_the_curve_tells_of() {
    for entry in manifest().models {
        let listed = entry.snapshots.as_ref().expect(&entry.name);
        let bytes = read(&listed.file);
        assert_eq!(weights::sha256(&bytes), listed.sha256);
        let snapshots = snapshots::parse(&listed.file, &bytes).unwrap();
        let iterations: Vec<usize> = snapshots.iter().map(|s| s.iteration as usize).collect();
        assert_eq!(iterations, listed.iterations);
        let last = snapshots.last().unwrap();
        let model = model(&entry);
        let halves = model.forward.parameters().iter().map(|&w| rounded(w));
        assert!(halves.eq(last.forward.parameters().iter().copied()));
        assert_eq!(last.log_z, model.log_z);

        let experiment = Experiment::named(&entry.name).unwrap();
        for snapshot in &snapshots[1..] {
            let iteration = snapshot.iteration as usize;
            let point = entry.curve.iter().find(|p| p.iteration == iteration);
            let point = point.expect("snapshots are points of the curve");
            let policy = snapshot.forward.cast::<f64>();
            let density = TerminalDensity::of(&policy, experiment.start, experiment.steps, 1.0);
            let got = divergence::total_variation(&density, &experiment.target());
            let moved = (got - point.total_variation).abs();
            assert!(moved < ROUNDING, "{} at {iteration}: {moved}", entry.name);
            assert!((f64::from(snapshot.log_z) - point.log_z).abs() < 1e-5);
        }
    }
}

/// The shipped model and the median of the seeds reach this total variation.
fn check_reaches(name: &str, total_variation: f64) {
    let entry = entry(name);
    let shipped = entry.metrics.total_variation;
    assert!(shipped <= total_variation, "{name}: TV {shipped}");
    let median = of_seeds(&entry, |seed| seed.total_variation)[SEEDS / 2];
    assert!(median <= total_variation, "{name}: median TV {median}");
}

#[test]
fn the_happy_case_is_close_to_its_target() {
    check_reaches("easy_correct", 0.075);
}

#[test]
fn off_policy_training_finds_both_far_modes() {
    check_reaches("hard_off_policy", 0.10);
    for mass in entry("hard_off_policy").mode_mass {
        assert!(mass > 0.4, "{mass}");
    }
}

#[test]
fn the_four_modes_are_covered() {
    check_reaches("four_mode", 0.20);
}

/// What a solved model is held to.
struct Solved {
    total_variation: f64,
    kl_target_model: f64,
    mode_mass_error: f64,
    log_z_error: f64,
}

/// The shipped model and the median of the seeds are as near to the target as `bound` says, and
/// importance weights find log Z.
fn check_solved(name: &str, bound: &Solved) {
    check_reaches(name, bound.total_variation);
    let entry = entry(name);
    let target = Experiment::named(name).unwrap().target();
    let kl = of_seeds(&entry, |seed| seed.kl_target_model)[SEEDS / 2];
    assert!(kl <= bound.kl_target_model, "{name}: median KL {kl}");
    let off = |masses: &[f64]| {
        let pairs = masses.iter().zip(&entry.target_mode_mass);
        pairs.fold(0.0, |worst: f64, (got, truth)| {
            worst.max((got / truth - 1.0).abs())
        })
    };
    let shipped = off(&entry.mode_mass);
    let median = of_seeds(&entry, |seed| off(&seed.mode_mass))[SEEDS / 2];
    assert!(
        shipped.max(median) <= bound.mode_mass_error,
        "{name}: {shipped} {median}"
    );
    let log_z = of_seeds(&entry, |seed| (seed.log_z - entry.log_z_true).abs())[SEEDS / 2];
    assert!(
        log_z <= bound.log_z_error,
        "{name}: log Z is off by {log_z}"
    );

    let Model {
        forward, backward, ..
    } = model(&entry);
    let (forward, backward) = (forward.cast::<f64>(), backward.cast::<f64>());
    let rollout = Rollout {
        start: entry.recipe.start,
        steps: entry.recipe.steps,
        sigma_scale: 1.0,
        extra_std: 0.0,
        seed: 1,
        first: 0,
    };
    let trajectories = rollout.draw(&forward, 20_000);
    let mean = entry.recipe.options.backward_mean;
    let weighted = importance_log_z(&target, (&forward, &backward), mean, &trajectories);
    let error = (weighted - entry.log_z_true).abs();
    assert!(error <= 0.03, "{name}: weighted log Z is off by {error}");
}

#[test]
fn two_near_modes_are_solved() {
    check_solved(
        "easy_solved",
        &Solved {
            total_variation: 0.035,
            kl_target_model: 0.008,
            mode_mass_error: 0.08,
            log_z_error: 0.05,
        },
    );
}

#[test]
fn two_far_modes_are_solved() {
    check_solved(
        "hard_solved",
        &Solved {
            total_variation: 0.025,
            kl_target_model: 0.01,
            mode_mass_error: 0.08,
            log_z_error: 0.05,
        },
    );
}

#[test]
fn four_modes_are_solved() {
    check_solved(
        "four_mode_solved",
        &Solved {
            total_variation: 0.035,
            kl_target_model: 0.015,
            mode_mass_error: 0.08,
            log_z_error: 0.05,
        },
    );
}

fn tempered() -> TemperedEntry {
    manifest().tempered.expect("a model of every temperature")
}

#[test]
fn the_tempered_scores_are_those_of_the_weights() {
    let entry = tempered();
    assert_eq!(entry.recipe, TemperedRecipe::bundled());
    assert_eq!(entry.seed, DEFAULT_SEED);
    let bytes = read(&entry.file);
    assert_eq!(weights::sha256(&bytes), entry.sha256);
    let file = weights::tempered::parse(&entry.file, &bytes).unwrap();
    assert_eq!(file.metadata["seed"], entry.seed.to_string());
    let recipe: TemperedRecipe = serde_json::from_str(&file.metadata["recipe"]).unwrap();
    assert_eq!(recipe, entry.recipe);
    assert_eq!(entry.ensemble[0].scores, entry.scores);
    let target = TEMPERED.target();
    for stated in &entry.scores {
        let got = file
            .model
            .score(&target, TEMPERED.start, TEMPERED.steps, stated.beta);
        for (got, stated) in [
            (got.total_variation, stated.total_variation),
            (got.log_z, stated.log_z),
            (got.log_z_true, stated.log_z_true),
        ] {
            assert!((got - stated).abs() < 2e-6, "{got} {stated}");
        }
    }
}

/// At every exponent, of the shipped weights and of the median of the seeds: TV to R^β / Z_β, and
/// the error of log Z_β.
#[test]
fn one_model_samples_every_temperature() {
    let entry = tempered();
    assert_eq!(entry.ensemble.len(), TEMPERED_SEEDS);
    for (i, beta) in SCORED_BETAS.into_iter().enumerate() {
        let of = |value: fn(&Score) -> f64| {
            let mut values: Vec<f64> = entry.ensemble.iter().map(|s| value(&s.scores[i])).collect();
            values.sort_by(f64::total_cmp);
            [value(&entry.scores[i]), values[TEMPERED_SEEDS / 2]]
        };
        for tv in of(|score| score.total_variation) {
            assert!(tv <= 0.05, "β {beta}: TV {tv}");
        }
        for error in of(|score| (score.log_z - score.log_z_true).abs()) {
            assert!(error <= 0.05, "β {beta}: log Z is off by {error}");
        }
    }
}

/// The exponents between those that are scored are sampled as well: it is one function of β.
#[test]
fn between_the_scored_exponents_the_model_is_as_good() {
    let entry = tempered();
    let file = weights::tempered::parse(&entry.file, &read(&entry.file)).unwrap();
    for beta in [0.35, 0.7, 1.4, 2.8] {
        let target = TEMPERED.target();
        let score = file
            .model
            .score(&target, TEMPERED.start, TEMPERED.steps, beta);
        let error = (score.log_z - score.log_z_true).abs();
        assert!(score.total_variation <= 0.05 && error <= 0.05, "{score:?}");
    }
}

/// The table of options is of the shipped recipe, and each of the options that it was built from
/// is worth something: without it the total variation is larger.
#[test]
fn the_options_table_is_of_the_shipped_recipe() {
    let entry = entry("four_mode_solved");
    let file = "four_mode_solved.ablation.json";
    let text = String::from_utf8(read(file)).unwrap();
    let table = ablation::parse(file, &text).unwrap();
    assert_eq!(table.experiment, entry.name);
    assert_eq!(table.seeds.len(), 5);
    let (whole, changed) = table.rows.split_first().unwrap();
    assert_eq!(whole.recipe, entry.recipe);
    assert_eq!(whole.parameters, model(&entry).forward.parameters().len());
    let classic = changed.last().unwrap();
    assert_eq!(classic.recipe, self::entry("four_mode").recipe);
    assert!(classic.total_variation > 3.0 * whole.total_variation);
    for row in changed {
        let (less, all) = (row.total_variation, whole.total_variation);
        assert!(less > all, "{}: {less} {all}", row.change);
    }
}

#[test]
fn on_policy_training_keeps_one_far_mode_in_every_seed() {
    let entry = entry("hard_on_policy");
    let largest = |masses: &[f64]| masses.iter().copied().fold(0.0, f64::max);
    assert!(largest(&entry.mode_mass) > 0.99);
    assert!(of_seeds(&entry, |seed| largest(&seed.mode_mass))[0] > 0.99);
    // The loss does not show it: it is the smallest but log Z is ln 1, one mode's.
    assert!(of_seeds(&entry, |seed| seed.log_z.abs())[SEEDS - 1] < 0.1);
    assert!(entry.final_loss < 0.1);
}

#[test]
fn the_bug_moves_the_samples_and_log_z_in_every_seed() {
    let entry = entry("easy_buggy");
    assert!(entry.metrics.total_variation > 0.2);
    assert!(of_seeds(&entry, |seed| seed.total_variation)[0] > 0.15);
    assert!(entry.log_z_true - entry.log_z > 2.0);
    let off = of_seeds(&entry, |seed| entry.log_z_true - seed.log_z);
    assert!(off[0] > 2.0, "{off:?}");
    // The loss does not show it: it is smaller than the correct model's.
    let correct = self::entry("easy_correct");
    assert!(entry.final_loss < correct.final_loss);
}
