//! What is known of a run: its settings, and all that the worker has told of it.

use gflownet_tour_core::checkpoint::Checkpoint;
use gflownet_tour_core::lab::Settings;
use gflownet_tour_core::message::{DeviceUsed, FlowMap, LossPoint, Phase, Report, RunPicture};

/// Scores are thinned when there are more than this many.
const MOST_SCORES: usize = 1_000;

/// A run, as far as it has come.
#[derive(Clone, Debug)]
pub struct Record {
    /// The run's number.
    pub run: u32,
    /// The settings that it was begun with, and tuned to since.
    pub settings: Settings,
    pub phase: Phase,
    /// Finished iterations.
    pub iteration: u32,
    /// log Z as learned, in nats.
    pub log_z: f64,
    /// Time in the iterations, in milliseconds.
    pub training_ms: f64,
    /// Iterations per second of late.
    pub per_second: Option<f64>,
    /// Where the last iteration ran, and why not on the GPU, if that was tried.
    pub device: DeviceUsed,
    pub why_cpu: Option<String>,
    /// Whether the GPU did a part of it.
    pub was_on_gpu: bool,
    /// Loss and log Z, with rising iterations.
    pub curve: Vec<LossPoint>,
    /// Iterations and exact total variations at temperature 1, rising likewise.
    pub scores: Vec<(u32, f64)>,
    /// The newest picture of the model.
    pub picture: Option<RunPicture>,
    /// Its newest flow map.
    pub flow: Option<FlowMap>,
    /// Its last good weights.
    pub checkpoint: Option<Checkpoint>,
}

impl Record {
    /// A run that has not begun.
    pub fn new(run: u32, settings: Settings) -> Self {
        Record {
            run,
            settings,
            phase: Phase::Paused,
            iteration: 0,
            log_z: 0.0,
            training_ms: 0.0,
            per_second: None,
            device: DeviceUsed::Cpu,
            why_cpu: None,
            was_on_gpu: false,
            curve: Vec::new(),
            scores: Vec::new(),
            picture: None,
            flow: None,
            checkpoint: None,
        }
    }

    /// Adds a report. Those of other runs are left out; a run that went back loses what came after.
    pub fn add(&mut self, report: Report) {
        if report.run != self.run {
            return;
        }
        self.phase = report.phase;
        self.iteration = report.iteration;
        self.log_z = report.log_z;
        self.training_ms = report.training_ms;
        self.per_second = report.per_second.or(self.per_second);
        self.device = report.device;
        self.was_on_gpu |= report.device == DeviceUsed::WebGpu;
        self.why_cpu = report.why_cpu;
        if let Some(first) = report.curve.first() {
            self.curve.retain(|point| point.iteration < first.iteration);
        }
        self.curve.extend(report.curve);
        if let Some(picture) = report.picture {
            self.scores.retain(|score| score.0 < picture.iteration);
            if picture.sigma_scale == 1.0 && picture.total_variation.is_finite() {
                self.scores
                    .push((picture.iteration, picture.total_variation));
            }
            if self.scores.len() > MOST_SCORES {
                let mut place = 0;
                self.scores.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
            }
            self.picture = Some(picture);
        }
        self.flow = report.flow.or(self.flow.take());
        self.checkpoint = report.checkpoint.or(self.checkpoint.take());
    }

    /// Whether `settings` can be had by tuning this run; else they are another run's.
    pub fn is_tuned_by(&self, settings: &Settings) -> bool {
        Settings {
            learning_rate: self.settings.learning_rate,
            log_z_learning_rate: self.settings.log_z_learning_rate,
            noise: self.settings.noise,
            noise_std: self.settings.noise_std,
            noise_until: self.settings.noise_until,
            ..settings.clone()
        } == self.settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(iteration: u32) -> Report {
        Report {
            run: 3,
            id: 1,
            phase: Phase::Playing,
            iteration,
            log_z: 0.5,
            training_ms: 1.0,
            per_second: None,
            device: DeviceUsed::Cpu,
            why_cpu: None,
            curve: vec![LossPoint {
                iteration,
                loss: 2.0,
                log_z: 0.5,
            }],
            picture: Some(RunPicture {
                iteration,
                sigma_scale: 1.0,
                density: Vec::new(),
                histogram: Vec::new(),
                paths: Vec::new(),
                total_variation: 0.25,
                mode_mass: Vec::new(),
                sampled_mode_mass: Vec::new(),
            }),
            flow: None,
            checkpoint: None,
        }
    }

    #[test]
    fn a_record_grows_stays_bounded_and_forgets_what_was_taken_back() {
        let mut record = Record::new(3, Settings::default());
        for iteration in 1..=2_500 {
            record.add(report(iteration));
        }
        assert_eq!(record.curve.len(), 2_500);
        assert!(record.scores.len() <= MOST_SCORES);
        let scores = &record.scores;
        assert!(scores.windows(2).all(|pair| pair[0].0 < pair[1].0));
        record.add(report(100));
        assert_eq!(record.curve.last().unwrap().iteration, 100);
        assert_eq!(record.scores.last().unwrap().0, 100);
        assert_eq!(record.curve.len(), 100);
        let before = record.iteration;
        record.add(Report {
            run: 4,
            ..report(7)
        });
        assert_eq!(record.iteration, before);
    }

    #[test]
    fn rates_and_noise_tune_a_run_and_nothing_else_does() {
        let record = Record::new(1, Settings::default());
        let tuned = Settings {
            learning_rate: 0.5,
            noise_std: 1.5,
            ..Settings::default()
        };
        assert!(record.is_tuned_by(&tuned));
        assert!(!record.is_tuned_by(&Settings { batch: 64, ..tuned }));
    }
}
