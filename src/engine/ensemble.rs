//! An ensemble of the laboratory: one training by several seeds, one after the other, a moment at a
//! time. Of each there are curves, and the model at its end.

use crate::run::{MOMENT_MS, Watch, scores};
use gflownet_tour_core::density::{Tails, TerminalDensity};
use gflownet_tour_core::lab::Settings;
use gflownet_tour_core::message::MOST_CELLS;
use gflownet_tour_core::message::{BeginSeeds, SeedEnd, SeedPoint, SeedReport};
use gflownet_tour_core::mixture::Mixture;
use gflownet_tour_speed::sampler::Sampler;
use gflownet_tour_speed::trainer::Trainer;
use std::collections::VecDeque;

/// Points of a seed's curves.
const POINTS: u64 = 50;
/// The longest time between two reports.
const SILENCE_MS: f64 = 1_000.0;
/// The most seeds of an ensemble.
const MOST_SEEDS: usize = 64;

/// An ensemble at work.
#[derive(Debug)]
pub struct Ensemble {
    settings: Settings,
    target: Mixture,
    range: (f64, f64),
    cells: usize,
    waiting: VecDeque<u64>,
    now: Option<Seed>,
    reported_ms: f64,
}

/// The seed that is trained.
#[derive(Debug)]
struct Seed {
    seed: u64,
    trainer: Trainer,
    watch: Watch,
    /// Losses since the last point.
    sum: f64,
    count: usize,
}

impl Seed {
    fn new(settings: &Settings, seed: u64) -> Self {
        Seed {
            seed,
            trainer: Trainer::new(&settings.recipe(), seed),
            watch: Watch::default(),
            sum: 0.0,
            count: 0,
        }
    }

    fn density(&self) -> TerminalDensity {
        let recipe = self.trainer.recipe();
        let sampler = Sampler::new(&self.trainer.forward());
        TerminalDensity::with_tails(&sampler, recipe.start, recipe.steps, 1.0, Tails::Bulk)
    }
}

/// Whether the curves of a run of so many iterations have a point here.
fn is_point(iteration: usize, iterations: usize) -> bool {
    let (iteration, iterations) = (iteration as u64, iterations as u64);
    iteration * POINTS / iterations > (iteration - 1) * POINTS / iterations
}

impl Ensemble {
    /// An ensemble at its beginning.
    ///
    /// # Errors
    /// What is wrong with the settings by any of the seeds, or with the range.
    pub fn begin(begin: BeginSeeds) -> Result<Ensemble, String> {
        let BeginSeeds {
            settings,
            seeds,
            range: (lo, hi),
            cells,
        } = begin;
        if !(1..=MOST_SEEDS).contains(&seeds.len()) {
            let found = seeds.len();
            return Err(format!(
                "an ensemble has 1 to {MOST_SEEDS} seeds, not {found}"
            ));
        }
        for &seed in &seeds {
            let settings = Settings {
                seed,
                ..settings.clone()
            };
            if let Some(problem) = settings.problems().into_iter().next() {
                return Err(problem.words);
            }
        }
        if !(lo.is_finite() && hi.is_finite() && lo < hi) {
            return Err(format!("the x-range goes from {lo} to {hi}"));
        }
        Ok(Ensemble {
            target: settings.target(),
            range: (lo, hi),
            cells: cells.clamp(1, MOST_CELLS) as usize,
            waiting: seeds.into(),
            now: None,
            reported_ms: f64::NEG_INFINITY,
            settings,
        })
    }

    /// Trains for a moment. Returns what is to be told, and whether there is more to do. `clock`
    /// gives milliseconds.
    pub fn work(&mut self, clock: &dyn Fn() -> f64) -> (Option<SeedReport>, bool) {
        let begin = clock();
        let Some(mut seed) = self.now.take().or_else(|| {
            let seed = self.waiting.pop_front()?;
            Some(Seed::new(&self.settings, seed))
        }) else {
            return (None, false);
        };
        let mut points = Vec::new();
        let mut end = None;
        let mut now = begin;
        while now - begin < MOMENT_MS && points.is_empty() && end.is_none() {
            end = self.step(&mut seed, &mut points);
            now = clock();
        }
        let is_due = !points.is_empty() || end.is_some() || now - self.reported_ms >= SILENCE_MS;
        let is_over = end.is_some();
        let report = is_due.then(|| {
            self.reported_ms = now;
            SeedReport {
                seed: seed.seed,
                iteration: seed.trainer.iteration() as u32,
                points,
                end,
            }
        });
        self.now = Some(seed).filter(|_| !is_over);
        (report, self.now.is_some() || !self.waiting.is_empty())
    }

    /// One iteration: adds its point if it has one, and returns the end if it is the last.
    fn step(&self, seed: &mut Seed, points: &mut Vec<SeedPoint>) -> Option<SeedEnd> {
        let progress = seed.trainer.step();
        let is_lost = seed.watch.is_lost(&progress);
        seed.sum += f64::from(progress.loss);
        seed.count += 1;
        let iterations = seed.trainer.recipe().iterations;
        let is_last = progress.iteration >= iterations || is_lost;
        if !is_last && !is_point(progress.iteration, iterations) {
            return None;
        }
        let density = seed.density();
        let (total_variation, mode_mass) = scores(&density, &self.target);
        if !is_lost {
            points.push(SeedPoint {
                iteration: progress.iteration as u32,
                loss: (seed.sum / seed.count as f64) as f32,
                log_z: progress.log_z,
                total_variation,
            });
            (seed.sum, seed.count) = (0.0, 0);
        }
        let averages = || density.averages(self.range.0, self.range.1, self.cells);
        is_last.then(|| SeedEnd {
            density: averages().iter().map(|&value| value as f32).collect(),
            mode_mass,
            diverged_at: is_lost.then_some(progress.iteration as u32),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Next, Run};
    use gflownet_tour_core::message::{Begin, Look, ToRun};
    use std::cell::Cell;

    fn small() -> Settings {
        Settings {
            batch: 32,
            hidden: 16,
            iterations: 120,
            ..Settings::default()
        }
    }

    fn begin(settings: Settings, seeds: Vec<u64>) -> BeginSeeds {
        BeginSeeds {
            settings,
            seeds,
            range: (-4.0, 4.0),
            cells: 100,
        }
    }

    /// A clock that moves by half a millisecond whenever it is read.
    fn ticking() -> impl Fn() -> f64 {
        let now = Cell::new(0.0);
        move || {
            now.set(now.get() + 0.5);
            now.get()
        }
    }

    fn to_the_end(begin: BeginSeeds) -> Vec<SeedReport> {
        let (mut ensemble, clock) = (Ensemble::begin(begin).unwrap(), ticking());
        let mut reports = Vec::new();
        loop {
            let (report, is_more) = ensemble.work(&clock);
            reports.extend(report);
            if !is_more {
                assert_eq!(ensemble.work(&clock), (None, false));
                return reports;
            }
        }
    }

    /// What a single run of these settings shows at its end.
    fn single(settings: Settings) -> (f64, Vec<f64>, Vec<f32>, f64) {
        let look = Look {
            range: (-4.0, 4.0),
            cells: 100,
            bins: 10,
            samples: 10,
            paths: 0,
            sigma_scale: 1.0,
            flow_cells: 0,
        };
        let mut run = Run::begin(Begin {
            run: 1,
            settings,
            look,
            from: None,
        })
        .unwrap();
        run.take(ToRun::Play);
        let clock = ticking();
        loop {
            let (report, next) = run.work(&clock);
            if next == Next::Waiting {
                let report = report.unwrap();
                let picture = report.picture.unwrap();
                return (
                    picture.total_variation,
                    picture.mode_mass,
                    picture.density,
                    report.log_z,
                );
            }
            run.take(ToRun::Heard(report.map_or(0, |report| report.id)));
        }
    }

    #[test]
    fn every_seed_is_a_single_run_of_it() {
        let reports = to_the_end(begin(small(), vec![7, 5, 9]));
        let mut order: Vec<u64> = reports.iter().map(|report| report.seed).collect();
        order.dedup();
        assert_eq!(order, [7, 5, 9]);
        for seed in order {
            let of_seed = || reports.iter().filter(|report| report.seed == seed);
            let points: Vec<SeedPoint> = of_seed().flat_map(|r| r.points.clone()).collect();
            assert_eq!(points.len(), POINTS as usize);
            let last = points.last().unwrap();
            assert_eq!(last.iteration, 120);
            let end = of_seed().next_back().unwrap().end.clone().unwrap();
            let (total_variation, mode_mass, density, log_z) = single(Settings { seed, ..small() });
            assert_eq!(last.total_variation, total_variation);
            assert_eq!((end.mode_mass, end.density), (mode_mass, density));
            assert_eq!(f64::from(last.log_z), log_z);
            assert_eq!(end.diverged_at, None);
        }
    }

    #[test]
    fn points_are_the_same_for_all_and_few() {
        for iterations in [1, 2, 49, 50, 51, 120, 5_000] {
            let points: Vec<usize> = (1..=iterations)
                .filter(|&iteration| is_point(iteration, iterations))
                .collect();
            assert_eq!(points.len(), iterations.min(POINTS as usize));
            assert_eq!(points.last(), Some(&iterations));
        }
        let whole = small();
        let mut sum = 0.0;
        let mut trainer = Trainer::new(&whole.recipe(), 3);
        for _ in 0..3 {
            sum += trainer.step().loss;
        }
        // Of 120 iterations, a point after 3, 5, 8, ...
        let first = to_the_end(begin(whole, vec![3]))[0].points[0];
        assert_eq!(first.iteration, 3);
        assert!((first.loss - sum / 3.0).abs() < 1e-5 * sum);
    }

    #[test]
    fn a_seed_that_diverges_ends_and_the_next_goes_on() {
        let settings = Settings {
            learning_rate: 1.0,
            log_z_learning_rate: 1.0,
            adam_beta_2: 0.5,
            batch: 16,
            iterations: 5_000,
            ..Settings::default()
        };
        let reports = to_the_end(begin(settings, vec![4444, 4445]));
        let ends: Vec<(u64, u32, Option<u32>)> = reports
            .iter()
            .filter_map(|r| Some((r.seed, r.iteration, r.end.as_ref()?.diverged_at)))
            .collect();
        assert_eq!(ends.len(), 2);
        for (_, iteration, diverged_at) in ends {
            assert!(diverged_at.is_some_and(|at| at == iteration && at < 5_000));
        }
    }

    #[test]
    fn what_cannot_be_trained_is_refused_by_name() {
        let refused = |begin| Ensemble::begin(begin).unwrap_err();
        let why = refused(begin(small(), Vec::new()));
        assert!(why.contains("not 0"), "{why}");
        let why = refused(begin(small(), vec![1, u64::MAX]));
        assert!(why.contains("Seed cannot be"), "{why}");
        let why = refused(BeginSeeds {
            range: (1.0, f64::NAN),
            ..begin(small(), vec![1])
        });
        assert!(why.contains("x-range"), "{why}");
    }
}
