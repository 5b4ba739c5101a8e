//! What a reader can take away of a run: its weights, its curves, its settings, and a script that
//! does the same elsewhere. Bytes out, no file and no browser.

use super::record::Record;
use super::svg;
use gflownet_tour_core::checkpoint::Checkpoint;
use gflownet_tour_core::experiment;
use gflownet_tour_core::lab::{self, Asked, Settings};
use gflownet_tour_core::pytorch;
use gflownet_tour_core::weights::{self, Model};
use gflownet_tour_onnx as onnx;
use std::fmt::Write;

/// What can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// Both policies, log Z, and the flow where one is learned, as the bundled models are kept.
    Weights,
    /// The forward policy.
    Onnx,
    /// The settings.
    Settings,
    /// Loss, log Z and total variation.
    Curves,
    /// The run in PyTorch.
    Script,
    /// Densities and trajectories as SVG.
    Picture,
    /// The curves as SVG.
    CurvesPicture,
}

impl Artifact {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Artifact; 7] = [
        Artifact::Weights,
        Artifact::Onnx,
        Artifact::Settings,
        Artifact::Curves,
        Artifact::Script,
        Artifact::Picture,
        Artifact::CurvesPicture,
    ];

    /// What a reader calls it.
    pub fn title(self) -> &'static str {
        match self {
            Artifact::Weights => "Weights (safetensors)",
            Artifact::Onnx => "Forward policy (ONNX)",
            Artifact::Settings => "Settings (JSON)",
            Artifact::Curves => "Curves (CSV)",
            Artifact::Script => "PyTorch script",
            Artifact::Picture => "Picture (SVG)",
            Artifact::CurvesPicture => "Curves (SVG)",
        }
    }

    /// The name of its file for a run of `preset` after so many iterations.
    pub fn file_name(self, preset: &str, iteration: u32) -> String {
        match self {
            Artifact::Weights => format!("{preset}-{iteration}.safetensors"),
            Artifact::Onnx => format!("{preset}-{iteration}.onnx"),
            Artifact::Settings => format!("{preset}-settings.json"),
            Artifact::Curves => format!("{preset}-curves.csv"),
            Artifact::Script => format!("{preset}.py"),
            Artifact::Picture => format!("{preset}.svg"),
            Artifact::CurvesPicture => format!("{preset}-curves.svg"),
        }
    }

    /// The file of a run that began from `preset`.
    ///
    /// # Errors
    /// What is not there yet, and what to do.
    pub fn file(self, record: &Record, preset: &str) -> Result<Vec<u8>, String> {
        let settings = &record.settings;
        let text = match self {
            Artifact::Weights => return Ok(weights::serialize(&model(record)?)),
            Artifact::Onnx => return Ok(onnx::serialize(&model(record)?.forward)),
            Artifact::Settings => {
                lab::to_json(settings, preset).map_err(|error| error.to_string())?
            }
            Artifact::Curves => curves(record),
            Artifact::Script => pytorch::script(&settings.recipe(), settings.seed),
            Artifact::Picture => svg::density(record)?,
            Artifact::CurvesPicture => svg::curves(record)?,
        };
        Ok(text.into_bytes())
    }
}

/// The run's last good weights, as a weights file holds them.
fn model(record: &Record) -> Result<Model, String> {
    let checkpoint = record.checkpoint.as_ref();
    let checkpoint =
        checkpoint.ok_or("there are no weights yet: train for a moment, or pause the run")?;
    let recipe = record.settings.recipe();
    let ([forward, backward], log_z) = checkpoint
        .model(&recipe)
        .ok_or("the kept weights are not those of these settings: train again")?;
    let text = serde_json::to_string(&recipe).map_err(|error| error.to_string())?;
    let metadata = [
        ("experiment", "laboratory".to_owned()),
        ("format", weights::FORMAT.to_string()),
        ("iteration", checkpoint.iteration.to_string()),
        (
            "laboratory",
            lab::to_json(&record.settings, lab::DEFAULT_PRESET)
                .map_err(|error| error.to_string())?,
        ),
        ("recipe", text),
        ("seed", record.settings.seed.to_string()),
    ];
    Ok(Model {
        forward,
        backward,
        flow: checkpoint.flow(&recipe),
        log_z,
        metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
    })
}

/// What a dropped file begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The preset and the settings, with what was changed of them.
    pub asked: Asked,
    /// Where a run of these begins, if the file holds weights.
    pub from: Option<Checkpoint>,
}

/// Reads a file that a reader brings: settings, or weights that say how they were trained.
///
/// # Errors
/// A sentence that names the file and says what is wrong with it.
pub fn take(name: &str, bytes: &[u8]) -> Result<Taken, String> {
    if !name.ends_with(".safetensors") {
        let text = std::str::from_utf8(bytes).map_err(|_| {
            format!("{name} is no text: bring settings (JSON) or weights (safetensors).")
        })?;
        let asked = lab::from_json(text).map_err(|why| format!("{name}: {why}"))?;
        return Ok(Taken { asked, from: None });
    }
    let model = weights::parse(name, bytes).map_err(|error| format!("{error}."))?;
    let said = |key: &str| model.metadata.get(key).map(String::as_str);
    let preset = said("experiment").and_then(|name| Some((name, Settings::preset(name)?)));
    let asked = match (said("laboratory"), preset) {
        (Some(text), _) => lab::from_json(text).map_err(|why| format!("{name}: {why}"))?,
        (None, Some((preset, settings))) => Asked {
            preset: experiment::Experiment::named(preset).map_or(lab::DEFAULT_PRESET, |e| e.name),
            settings,
            notes: Vec::new(),
        },
        (None, None) => {
            return Err(format!(
                "{name} does not say how it was trained: bring weights that this page or \
                 train_distill wrote."
            ));
        }
    };
    let policies = [&model.forward, &model.backward];
    let recipe = asked.settings.recipe();
    let from = Checkpoint::beginning(&recipe, policies, model.flow.as_ref(), model.log_z);
    match from {
        Some(from) => Ok(Taken {
            asked,
            from: Some(from),
        }),
        None => Err(format!(
            "{name} cannot begin a run of its settings: its networks are others, or its objective \
             learns a flow that the file does not hold."
        )),
    }
}

/// A row for each point of a curve; what was not measured there is left empty.
fn curves(record: &Record) -> String {
    let mut text = "iteration,loss,log_z,total_variation\n".to_owned();
    let mut points = record.curve.iter().peekable();
    let mut scores = record.scores.iter().peekable();
    loop {
        let iterations = [
            points.peek().map(|point| point.iteration),
            scores.peek().map(|score| score.0),
        ];
        let Some(iteration) = iterations.into_iter().flatten().min() else {
            return text;
        };
        let point = points.next_if(|point| point.iteration == iteration);
        let score = scores.next_if(|score| score.0 == iteration);
        let (loss, log_z) = match point {
            Some(point) => (point.loss.to_string(), point.log_z.to_string()),
            None => Default::default(),
        };
        let score = score.map_or_else(String::new, |score| score.1.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{iteration},{loss},{log_z},{score}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::lab::Loss;
    use gflownet_tour_core::message::LossPoint;
    use gflownet_tour_speed::trainer::Trainer;

    /// A run of ten iterations, and the trainer that made it.
    fn trained(settings: Settings) -> (Record, Trainer) {
        let mut trainer = Trainer::new(&settings.recipe(), settings.seed);
        let mut record = Record::new(1, settings);
        for _ in 0..10 {
            let progress = trainer.step();
            record.curve.push(LossPoint {
                iteration: progress.iteration as u32,
                loss: progress.loss,
                log_z: progress.log_z,
            });
        }
        record.iteration = 10;
        record.checkpoint = Some(trainer.checkpoint());
        (record, trainer)
    }

    #[test]
    fn weights_come_back_as_they_were() {
        for (preset, objective) in [
            ("hard_off_policy", Loss::TrajectoryBalance),
            ("four_mode_solved", Loss::LogVariance),
            ("hard_off_policy", Loss::DetailedBalance),
            ("four_mode_solved", Loss::SubTrajectoryBalance),
        ] {
            let settings = Settings {
                objective,
                hidden: 24,
                min_std: 0.2,
                ..Settings::preset(preset).unwrap()
            };
            let (record, trainer) = trained(settings);
            let bytes = Artifact::Weights.file(&record, preset).unwrap();
            let model = weights::parse("exported.safetensors", &bytes).unwrap();
            assert_eq!(model.forward, trainer.forward());
            assert_eq!(model.backward, trainer.backward());
            assert_eq!(model.flow, trainer.flow());
            assert_eq!(model.log_z, trainer.log_z());
            assert_eq!(model.metadata["iteration"], "10");
            let taken = take("exported.safetensors", &bytes).unwrap();
            assert_eq!(taken.asked.settings, record.settings);
            let mut anew = Trainer::new(&record.settings.recipe(), 1);
            assert!(anew.restore(&taken.from.unwrap()));
            assert_eq!(anew.forward(), trainer.forward());
            assert_eq!(anew.flow(), trainer.flow());
            if model.flow.is_some() {
                let without = Model {
                    flow: None,
                    ..model
                };
                let error = take("without.safetensors", &weights::serialize(&without));
                assert!(error.unwrap_err().contains("learns a flow"));
            }
            assert!(!Artifact::Onnx.file(&record, preset).unwrap().is_empty());
        }
    }

    #[test]
    fn settings_and_scripts_are_the_runs() {
        let settings = Settings {
            batch: 64,
            ..Settings::preset("hard_solved").unwrap()
        };
        let (record, _) = trained(settings.clone());
        let text = |artifact: Artifact| {
            String::from_utf8(artifact.file(&record, "hard_solved").unwrap()).unwrap()
        };
        let asked = lab::from_json(&text(Artifact::Settings)).unwrap();
        assert_eq!(asked.settings, settings);
        assert!(text(Artifact::Script).contains("\nBATCH = 64\n"));
    }

    #[test]
    fn curves_are_rows_by_iteration() {
        let (mut record, _) = trained(Settings::default());
        record.scores = vec![(3, 0.5), (11, 0.25)];
        let bytes = Artifact::Curves.file(&record, "").unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|row| row.split(',').collect()).collect();
        assert_eq!(rows.len(), 12);
        assert!(rows.iter().all(|row| row.len() == 4));
        let loss = record.curve[2].loss;
        assert_eq!(rows[3][0], "3");
        assert_eq!(rows[3][1].parse::<f32>().unwrap(), loss);
        assert_eq!(rows[3][3], "0.5");
        assert_eq!(rows[11], ["11", "", "", "0.25"]);
    }

    #[test]
    fn the_bundled_weights_can_be_taken() {
        for experiment in experiment::all() {
            let file = format!("{}.safetensors", experiment.name);
            let bytes = std::fs::read(format!(
                "{}/../../pretrained/{file}",
                env!("CARGO_MANIFEST_DIR")
            ))
            .unwrap();
            let taken = take(&file, &bytes).unwrap();
            assert_eq!(taken.asked.preset, experiment.name);
            assert!(taken.from.is_some());
        }
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let (record, _) = trained(Settings::default());
        let bytes = Artifact::Weights.file(&record, "").unwrap();
        let mut broken = bytes.clone();
        broken.truncate(bytes.len() / 2);
        for (name, bytes) in [
            ("half.safetensors", &broken[..]),
            ("picture.png", &[0xff, 0xd8, 0x00]),
            ("other.json", b"{\"a\": 1}"),
            ("newer.json", b"{\"gflownet_lab\": 99}"),
        ] {
            let error = take(name, bytes).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
        let stranger = Model {
            metadata: Default::default(),
            ..weights::parse("", &bytes).unwrap()
        };
        let error = take("stranger.safetensors", &weights::serialize(&stranger)).unwrap_err();
        assert!(error.contains("does not say"), "{error}");
    }

    #[test]
    fn a_run_without_weights_says_so() {
        let record = Record::new(1, Settings::default());
        let error = Artifact::Weights.file(&record, "").unwrap_err();
        assert!(error.contains("no weights yet"), "{error}");
    }
}
