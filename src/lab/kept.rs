//! The last run and the pinned ones as the browser keeps them, so that they survive a reload: text
//! for `localStorage`.

use super::record::Record;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use gflownet_tour_core::checkpoint::Checkpoint;
use gflownet_tour_core::lab::{self, DEFAULT_PRESET, Settings};
use gflownet_tour_core::message::{LossPoint, Phase, decode, encode};
use serde::{Deserialize, Serialize};

/// The key of the browser's storage.
pub const KEY: &str = "gflownet-tour.lab.1";
/// Browsers give a site some 5 million characters.
const MOST: usize = 3_000_000;
/// The key of the pinned runs, and their most characters, so that both fit.
pub const PINS_KEY: &str = "gflownet-tour.lab.pins.1";
const MOST_OF_PINS: usize = 1_500_000;
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

/// A pinned run. Its weights are left out where there is no room for them.
#[derive(Serialize, Deserialize)]
struct KeptPin {
    letter: char,
    settings: String,
    iteration: u32,
    log_z: f64,
    training_ms: f64,
    curve: Vec<(u32, f32, f32)>,
    scores: Vec<(u32, f64)>,
    checkpoint: Option<Checkpoint>,
}

/// Loss and log Z up to an iteration, thinned.
fn curve(record: &Record, last: u32) -> Vec<(u32, f32, f32)> {
    let stride = record.curve.len().div_ceil(MOST_POINTS).max(1);
    let points = record.curve.iter();
    points
        .filter(|point| point.iteration <= last)
        .step_by(stride)
        .map(|point| (point.iteration, point.loss, point.log_z))
        .collect()
}

/// Scores up to an iteration.
fn scores(record: &Record, last: u32) -> Vec<(u32, f64)> {
    let scores = record.scores.iter();
    scores.filter(|score| score.0 <= last).copied().collect()
}

fn points(curve: Vec<(u32, f32, f32)>) -> Vec<LossPoint> {
    let points = curve.into_iter();
    points
        .map(|(iteration, loss, log_z)| LossPoint {
            iteration,
            loss,
            log_z,
        })
        .collect()
}

/// The text of the pinned runs, with the letters by which they are called; each where it has weights
/// is kept as it was at these.
pub fn write_pins(pins: &[(char, &Record)]) -> Option<String> {
    let pin = |&(letter, record): &(char, &Record)| {
        let checkpoint = record.checkpoint.clone();
        let last = checkpoint
            .as_ref()
            .map_or(record.iteration, |c| c.iteration);
        Some(KeptPin {
            letter,
            settings: lab::to_json(&record.settings, DEFAULT_PRESET).ok()?,
            iteration: last,
            log_z: record.log_z,
            training_ms: record.training_ms,
            curve: curve(record, last),
            scores: scores(record, last),
            checkpoint,
        })
    };
    let mut kept: Vec<KeptPin> = pins.iter().filter_map(pin).collect();
    let write = |kept: &Vec<KeptPin>| encode(kept).ok().map(|bytes| BASE64.encode(bytes));
    // The last pinned ones lose their weights first.
    for place in (0..kept.len()).rev() {
        let text = write(&kept)?;
        if text.len() <= MOST_OF_PINS {
            return Some(text);
        }
        kept[place].checkpoint = None;
    }
    write(&kept).filter(|text| text.len() <= MOST_OF_PINS)
}

/// The pinned runs in a text, at rest, with their letters; those that cannot be read are left out.
pub fn read_pins(text: &str) -> Vec<(char, Record)> {
    let kept = || -> Option<Vec<KeptPin>> {
        let text = (text.len() <= MOST_OF_PINS).then_some(text)?;
        decode(&BASE64.decode(text).ok()?).ok()
    };
    let mut pins: Vec<(char, Record)> = Vec::new();
    for pin in kept().unwrap_or_default() {
        let is_new = pins.iter().all(|other| other.0 != pin.letter);
        let Ok(asked) = lab::from_json(&pin.settings) else {
            continue;
        };
        let is_sound = |checkpoint: &Checkpoint| {
            checkpoint.is_finite() && checkpoint.model(&asked.settings.recipe()).is_some()
        };
        if !is_new
            || !pin.letter.is_ascii_uppercase()
            || !asked.notes.is_empty()
            || !pin.checkpoint.as_ref().is_none_or(is_sound)
        {
            continue;
        }
        let mut record = Record::new(0, asked.settings);
        record.phase = match pin.iteration >= record.settings.iterations {
            true => Phase::Finished,
            false => Phase::Paused,
        };
        record.iteration = pin.iteration;
        record.log_z = pin.log_z;
        record.training_ms = pin.training_ms;
        record.curve = points(pin.curve);
        record.scores = pin.scores;
        record.checkpoint = pin.checkpoint;
        pins.push((pin.letter, record));
    }
    pins
}

/// The text of a run with weights; none for a run that has none, or is too large to keep.
pub fn write(record: &Record, preset: &str) -> Option<String> {
    let checkpoint = record.checkpoint.clone()?;
    let kept = Kept {
        settings: lab::to_json(&record.settings, preset).ok()?,
        preset: preset.to_owned(),
        training_ms: record.training_ms,
        curve: curve(record, checkpoint.iteration),
        scores: scores(record, checkpoint.iteration),
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
    record.curve = points(kept.curve);
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
    use gflownet_tour_speed::trainer::Trainer;

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
    fn pins_survive_and_lose_their_weights_where_there_is_no_room() {
        let done = Record {
            iteration: 5,
            log_z: 0.5,
            ..record(Settings {
                iterations: 5,
                ..Settings::default()
            })
        };
        let bare = Record {
            checkpoint: None,
            iteration: 9,
            ..record(Settings::preset("hard_solved").unwrap())
        };
        let text = write_pins(&[('B', &done), ('A', &bare)]).unwrap();
        let back = read_pins(&text);
        assert_eq!((back[0].0, back[1].0), ('B', 'A'));
        let (first, second) = (&back[0].1, &back[1].1);
        assert_eq!(first.checkpoint, done.checkpoint);
        assert_eq!((first.iteration, first.phase.clone()), (5, Phase::Finished));
        assert_eq!((&first.curve, first.log_z), (&done.curve, 0.5));
        assert_eq!(first.settings, done.settings);
        assert_eq!((second.iteration, second.phase.clone()), (9, Phase::Paused));
        assert_eq!((second.scores.len(), &second.checkpoint), (3, &None));

        // Four of the largest do not fit: the first ones keep their weights.
        let large = record(Settings {
            hidden: 128,
            ..Settings::preset("four_mode_solved").unwrap()
        });
        let all = ['A', 'B', 'C', 'D'].map(|letter| (letter, &large));
        let text = write_pins(&all).unwrap();
        assert!(text.len() <= MOST_OF_PINS, "{}", text.len());
        let back = read_pins(&text);
        let has = back.iter().map(|pin| pin.1.checkpoint.is_some());
        let has: Vec<bool> = has.collect();
        assert_eq!(has.len(), 4);
        assert!(
            has[0] && !has[3] && has.is_sorted_by(|a, b| a >= b),
            "{has:?}"
        );

        assert_eq!(read_pins(&write_pins(&[]).unwrap()).len(), 0);
        for bad in ["", "%%%", "AAAA", &text[..text.len() / 2], &text[4..]] {
            assert_eq!(read_pins(bad).len(), 0);
        }
        // A pin whose weights are not those of its settings, and one that comes twice.
        let mut other = done.clone();
        other.settings.hidden = 32;
        let text = write_pins(&[('A', &other), ('B', &bare), ('B', &done)]).unwrap();
        let letters: Vec<char> = read_pins(&text).iter().map(|pin| pin.0).collect();
        assert_eq!(letters, ['B']);
    }

    #[test]
    fn rubbish_is_no_run() {
        let text = write(&record(Settings::default()), "easy_correct").unwrap();
        for bad in ["", "%%%", "AAAA", &text[..text.len() / 2], &text[4..]] {
            assert!(read(bad).is_none());
        }
    }
}
