//! The numbers in the text. They come from the manifest of the bundled models, so that retraining
//! never makes a sentence false: natively it is read at compile time; the page's program reads what
//! that needs of it from [`TRAININGS`].

use crate::format::{UNKNOWN, enumeration, fixed, percent, place, spelled, thousands};
use crate::record;
use gflownet_tour_core::experiment::Experiment;
#[cfg(not(target_arch = "wasm32"))]
use gflownet_tour_core::weights::ablation::{self, Ablation};
use gflownet_tour_core::weights::manifest::{
    self, CurvePoint, Manifest, ModelEntry, TemperedEntry,
};
use std::sync::LazyLock;

/// The file that has of the manifest what the page's program needs. start.js fetches it beside the
/// program and puts it into the element with the id `trainings`.
pub const TRAININGS: &str = "trainings.json";

/// What is read, and what is said where it is not there.
#[cfg(not(target_arch = "wasm32"))]
const SOURCE: (&str, &str) = (
    "pretrained/manifest.json",
    "this build has no pretrained/manifest.json",
);
#[cfg(target_arch = "wasm32")]
const SOURCE: (&str, &str) = (TRAININGS, "trainings.json could not be fetched");

static MANIFEST: LazyLock<Result<Manifest, String>> = LazyLock::new(|| read(&text()));

#[cfg(not(target_arch = "wasm32"))]
fn text() -> String {
    include_str!(concat!(env!("OUT_DIR"), "/manifest.json")).to_owned()
}

#[cfg(target_arch = "wasm32")]
fn text() -> String {
    let document = web_sys::window().and_then(|window| window.document());
    let element = document.and_then(|document| document.get_element_by_id("trainings"));
    let text = element.and_then(|element| element.text_content());
    text.unwrap_or_default()
}

fn read(json: &str) -> Result<Manifest, String> {
    if json.is_empty() {
        return Err(SOURCE.1.to_owned());
    }
    manifest::parse(SOURCE.0, json).map_err(|error| error.to_string())
}

#[cfg(not(target_arch = "wasm32"))]
static ABLATION: LazyLock<Option<Ablation>> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("OUT_DIR"), "/four_mode_solved.ablation.json"));
    ablation::parse("four_mode_solved.ablation.json", text).ok()
});

#[cfg(not(target_arch = "wasm32"))]
/// What each option of the solved four modes' recipe is worth, where that was measured.
pub fn ablation() -> Option<&'static Ablation> {
    ABLATION.as_ref()
}

/// Why the text has no numbers, if it has none.
pub fn problem() -> Option<&'static str> {
    MANIFEST.as_ref().err().map(String::as_str)
}

/// The manifest, if this build has a sound one.
pub fn manifest() -> Option<&'static Manifest> {
    MANIFEST.as_ref().ok()
}

/// The manifest's entry for the model called `name`.
pub fn model(name: &str) -> Option<&'static ModelEntry> {
    MANIFEST
        .as_ref()
        .ok()?
        .models
        .iter()
        .find(|m| m.name == name)
}

/// The manifest's entry for the model of every temperature.
pub fn tempered() -> Option<&'static TemperedEntry> {
    MANIFEST.as_ref().ok()?.tempered.as_ref()
}

fn tell(name: &str, what: impl Fn(&ModelEntry) -> String) -> String {
    model(name).map_or_else(|| UNKNOWN.into(), what)
}

/// Exact total variation between model and target at T = 1.
pub fn total_variation(name: &str) -> String {
    tell(name, |m| fixed(m.metrics.total_variation, 3))
}

/// The same, as a share in percent.
pub fn misplaced(name: &str) -> String {
    tell(name, |m| percent(m.metrics.total_variation, 0))
}

/// KL(target, model), in nats.
pub fn kl(name: &str) -> String {
    tell(name, |m| fixed(m.metrics.kl_target_model, 3))
}

/// The learned log Z, in nats.
pub fn log_z(name: &str) -> String {
    tell(name, |m| fixed(m.log_z, 2))
}

/// The true log Z, in nats.
pub fn log_z_true(name: &str) -> String {
    tell(name, |m| fixed(m.log_z_true, 2))
}

/// True minus learned log Z, in nats.
pub fn log_z_gap(name: &str) -> String {
    tell(name, |m| fixed(m.log_z_true - m.log_z, 2))
}

/// Mean training loss at the end, in nats².
pub fn loss(name: &str) -> String {
    tell(name, |m| fixed(m.final_loss, 3))
}

/// e^(log Z): the area that the model believes in, in modes of area one.
pub fn modes_believed(name: &str) -> String {
    tell(name, |m| fixed(record::modes_believed(m.log_z), 2))
}

/// How many runs of other seeds collapsed, in words.
pub fn collapsed(name: &str) -> String {
    tell(name, record::collapsed)
}

/// How many runs fell to the left and how many to the right, in words.
pub fn fallen(name: &str) -> (String, String) {
    let side = |side: usize| tell(name, |m| spelled(record::fates(m)[side]));
    (side(1), side(2))
}

/// Whether the model was trained with other seeds too.
pub fn has_seeds(name: &str) -> bool {
    model(name).is_some_and(|m| m.ensemble.len() > 1)
}

/// Seeds that were run.
pub fn seeds(name: &str) -> String {
    tell(name, |m| spelled(m.ensemble.len()))
}

/// The number of iterations after which the total variation moved no more, and the losses then
/// and at the end.
pub fn settled(name: &str) -> (String, String, String) {
    let point = |what: fn(&CurvePoint) -> String| {
        tell(name, |m| {
            record::settled(m).map_or_else(|| UNKNOWN.into(), what)
        })
    };
    (
        point(|p| thousands(p.iteration as u64)),
        point(|p| record::loss(p.loss)),
        tell(name, |m| record::loss(m.final_loss)),
    )
}

/// Mass per mode of the model, from left to right.
pub fn masses(name: &str) -> String {
    tell(name, |m| shares(&m.mode_mass))
}

/// Mass per mode of the target, from left to right.
pub fn target_masses(name: &str) -> String {
    tell(name, |m| shares(&m.target_mode_mass))
}

fn shares(mass: &[f64]) -> String {
    let shares: Vec<String> = mass.iter().map(|&m| percent(m, 1)).collect();
    enumeration(&shares)
}

/// A mode that gets the wrong share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Where the mode is.
    pub place: String,
    /// The model's mass there.
    pub model: String,
    /// The target's mass there.
    pub target: String,
}

/// The modes that the model serves worst and best for their size: the lowest and the highest
/// ratio of the model's mass to the target's.
pub fn extremes(name: &str) -> (Share, Share) {
    let nowhere = || Share {
        place: UNKNOWN.into(),
        model: UNKNOWN.into(),
        target: UNKNOWN.into(),
    };
    let Some((experiment, model)) = Experiment::named(name).zip(model(name)) else {
        return (nowhere(), nowhere());
    };
    let mut means: Vec<f64> = experiment.modes.iter().map(|m| m.mean).collect();
    means.sort_by(f64::total_cmp);
    let mut rows: Vec<(f64, Share)> = means
        .iter()
        .zip(model.mode_mass.iter().zip(&model.target_mode_mass))
        .map(|(&mean, (&got, &truth))| {
            let share = Share {
                place: place(mean),
                model: percent(got, 1),
                target: percent(truth, 1),
            };
            (got / truth, share)
        })
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let worst = rows.first().map_or_else(nowhere, |row| row.1.clone());
    let best = rows.last().map_or_else(nowhere, |row| row.1.clone());
    (worst, best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_cannot_be_used_says_which_file_and_why() {
        for (json, why) in [
            ("", "no pretrained/manifest.json"),
            ("{", "pretrained/manifest.json is not a manifest"),
            (r#"{"format": 99, "models": []}"#, "format 99"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_tours_models_have_their_training_and_seeds() {
        for experiment in &gflownet_tour_core::experiment::EXPERIMENTS {
            let entry = model(experiment.name).unwrap();
            assert!(entry.curve.len() >= 100 && entry.ensemble.len() > 1);
        }
        assert!(tempered().is_some());
    }

    #[test]
    fn a_model_that_is_not_there_leaves_dashes_and_no_panic() {
        assert_eq!(total_variation("nine_mode"), UNKNOWN);
        assert_eq!(extremes("nine_mode").0.model, UNKNOWN);
    }
}
