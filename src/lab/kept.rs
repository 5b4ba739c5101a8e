//! The last run as the browser keeps it, so that it survives a reload: text for `localStorage`.

use super::record::Record;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use gflownet_tour_core::lab::{self, DEFAULT_PRESET, Settings};
use gflownet_tour_core::message::{Phase, decode, encode};
use gflownet_tour_core::trainer::Checkpoint;
use serde::{Deserialize, Serialize};

/// The key of the browser's storage.
pub const KEY: &str = "gflownet-tour.lab.1";
/// Browsers give a site some 5 million characters.
const MOST: usize = 3_000_000;
/// The most points of the curves that are kept.
const MOST_POINTS: usize = 2_000;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// The settings by their own text, which names their version.
    settings: String,
    preset: String,
    training_ms: f64,
    curve: Vec<(u32, f32, f32)>,
    scores: Vec<(u32, f64)>,
    checkpoint: Checkpoint,
}

/// The text of a run with weights; none for a run that has none, or is too large to keep.
pub fn write(record: &Record, preset: &str) -> Option<String> {
    let checkpoint = record.checkpoint.clone()?;
    let stride = record.curve.len().div_ceil(MOST_POINTS).max(1);
    let kept = Kept {
        settings: lab::to_json(&record.settings, preset).ok()?,
        preset: preset.to_owned(),
        training_ms: record.training_ms,
        curve: record
            .curve
            .iter()
            .filter(|point| point.iteration <= checkpoint.iteration)
            .step_by(stride)
            .map(|point| (point.iteration, point.loss, point.log_z))
            .collect(),
        scores: record
            .scores
            .iter()
            .filter(|score| score.0 <= checkpoint.iteration)
            .copied()
            .collect(),
        checkpoint,
    };
    let text = BASE64.encode(encode(&kept).ok()?);
    (text.len() <= MOST).then_some(text)
}

/// The run in a text, paused at its weights, and its preset; none for what is no such text, or of
/// another version of the page.
pub fn read(text: &str) -> Option<(Record, &'static str)> {
    if text.len() > MOST {
        return None;
    }
    let kept: Kept = decode(&BASE64.decode(text).ok()?).ok()?;
    let asked = lab::from_json(&kept.settings).ok()?;
    // Weights that are not those of the settings would begin another run than the one kept.
    kept.checkpoint.model(&asked.settings.recipe())?;
    if !kept.checkpoint.is_finite() || !asked.notes.is_empty() {
        return None;
    }
    let mut record = Record::new(0, asked.settings);
    record.phase = Phase::Paused;
    record.iteration = kept.checkpoint.iteration;
    record.training_ms = kept.training_ms;
    record.curve = kept
        .curve
        .into_iter()
        .map(
            |(iteration, loss, log_z)| gflownet_tour_core::message::LossPoint {
                iteration,
                loss,
                log_z,
            },
        )
        .collect();
    record.log_z = record
        .curve
        .last()
        .map_or(0.0, |point| f64::from(point.log_z));
    record.scores = kept.scores;
    record.checkpoint = Some(kept.checkpoint);
    let preset = Settings::preset(&kept.preset).map(|_| asked.preset);
    Some((record, preset.unwrap_or(DEFAULT_PRESET)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::message::LossPoint;
    use gflownet_tour_core::trainer::Trainer;

    fn record(settings: Settings) -> Record {
        let mut trainer = Trainer::new(&settings.recipe(), settings.seed);
        let mut record = Record::new(1, settings);
        for _ in 0..5 {
            let progress = trainer.step();
            record.curve.push(LossPoint {
                iteration: progress.iteration as u32,
                loss: progress.loss,
                log_z: progress.log_z,
            });
        }
        record.scores = vec![(2, 0.5), (5, 0.25), (9, 0.1)];
        record.training_ms = 12.5;
        record.checkpoint = Some(trainer.checkpoint());
        record
    }

    #[test]
    fn a_run_survives() {
        for preset in ["easy_correct", "four_mode_solved"] {
            let record = record(Settings::preset(preset).unwrap());
            let text = write(&record, preset).unwrap();
            let (back, name) = read(&text).unwrap();
            assert_eq!(name, preset);
            assert_eq!(back.settings, record.settings);
            assert_eq!(back.checkpoint, record.checkpoint);
            assert_eq!(back.curve, record.curve);
            // A score of later than the weights belongs to what is lost.
            assert_eq!(back.scores, [(2, 0.5), (5, 0.25)]);
            assert_eq!((back.iteration, back.training_ms), (5, 12.5));
            assert_eq!(back.phase, Phase::Paused);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut long = record(Settings::default());
        long.curve = (0..100_000)
            .map(|iteration| LossPoint {
                iteration: iteration / 20_000,
                loss: 1.0,
                log_z: 0.0,
            })
            .collect();
        let text = write(&long, "easy_correct").unwrap();
        assert!(text.len() < 400_000, "{}", text.len());
        assert_eq!(write(&Record::new(1, Settings::default()), ""), None);
        let large = record(Settings {
            hidden: 128,
            ..Settings::preset("four_mode_solved").unwrap()
        });
        assert!(write(&large, "four_mode_solved").is_some());
    }

    #[test]
    fn rubbish_is_no_run() {
        let text = write(&record(Settings::default()), "easy_correct").unwrap();
        for bad in ["", "%%%", "AAAA", &text[..text.len() / 2], &text[4..]] {
            assert!(read(bad).is_none());
        }
    }
}
