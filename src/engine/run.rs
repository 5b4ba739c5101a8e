//! A training run of the laboratory: trains for a moment at a time, and tells between the moments
//! what came of it. Orders are taken in between. Knows no browser: the worker lends it a clock.

use crate::batch::SIGMA_SCALES;
use gflownet_tour_core::checkpoint::Checkpoint;
use gflownet_tour_core::counts::Counts;
use gflownet_tour_core::density::{Tails, TerminalDensity};
use gflownet_tour_core::divergence;
use gflownet_tour_core::message::{
    Begin, DeviceUsed, FlowMap, Look, LossPoint, MOST_CELLS, Phase, Question, Report, RunPicture,
    Study, ToRun,
};
use gflownet_tour_core::mixture::Mixture;
use gflownet_tour_core::rollout::Rollout;
use gflownet_tour_core::study::Subject;
use gflownet_tour_core::weights::manifest::Recipe;
use gflownet_tour_speed::sampler::Sampler;
use gflownet_tour_speed::trainer::{self, Progress, Trainer, stream};

/// How long to train before messages are let in: short, so that a pause is one.
pub(crate) const MOMENT_MS: f64 = 10.0;
/// The time between two reports: thirty a second.
const REPORT_MS: f64 = 1_000.0 / 30.0;
/// Reports that may be on their way. A page that is busy elsewhere gets fewer, and holds nothing up.
const MOST_UNHEARD: u32 = 2;
/// The most of the time that pictures may take, and flow maps: the rest is for the training.
const PICTURE_SHARE: f64 = 0.2;
const FLOW_SHARE: f64 = 0.1;
/// The time between two checkpoints.
const CHECKPOINT_MS: f64 = 1_000.0;
/// Iterations that have to go well before weights count as good.
const SURE: u32 = 20;
/// The time over which iterations per second are counted.
const SPEED_MS: f64 = 1_000.0;
/// Iterations after which it is known how fast the CPU is.
const KNOWN: u32 = 10;
/// The most samples of a picture.
const MOST_SAMPLES: u32 = 100_000;

/// The iterations whose losses say what is usual, and how many times their largest is too much. Rare
/// trajectories make single losses large, so a number of them in a row has to be.
const USUAL: usize = 20;
const EXPLODED: f32 = 1e3;
const EXPLODED_AT_LEAST: f32 = 1e8;
const EXPLODED_IN_A_ROW: u32 = 5;

/// When to go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// At once.
    Now,
    /// In so many milliseconds.
    After(f64),
    /// When an order comes.
    Waiting,
}

/// A run, at work or paused.
#[derive(Debug)]
pub struct Run {
    id: u32,
    seed: u64,
    recipe: Recipe,
    target: Mixture,
    trainer: Trainer,
    look: Look,
    phase: Phase,
    /// One iteration was asked for.
    is_step: bool,
    /// An order wants an answer: a report with everything.
    is_due: bool,
    curve: Curve,
    watch: Watch,
    /// Where to go back to, and what takes its place when some time went well after it: weights may
    /// be lost an iteration before it shows.
    good: Checkpoint,
    newer: Checkpoint,
    /// The speed limit, in milliseconds to an iteration, and when the next one may be done.
    least_ms: f64,
    next_ms: f64,
    training_ms: f64,
    /// Of that, milliseconds and iterations on the CPU.
    on_cpu: (f64, u32),
    device: DeviceUsed,
    why_cpu: Option<String>,
    speed: Speed,
    last_id: u32,
    heard: u32,
    reported_ms: f64,
    checked_ms: f64,
    pictures: Budget,
    flows: Budget,
}

/// When something costly may be done again.
#[derive(Clone, Copy, Debug)]
struct Budget {
    share: f64,
    next_ms: f64,
}

impl Budget {
    fn spend<T>(&mut self, clock: &dyn Fn() -> f64, work: impl FnOnce() -> T) -> T {
        let begin = clock();
        let done = work();
        let end = clock();
        self.next_ms = end + (end - begin) * (1.0 / self.share - 1.0);
        done
    }
}

/// Iterations per second.
#[derive(Clone, Copy, Debug, Default)]
struct Speed {
    /// When counting began, and at which iteration.
    since: Option<(f64, usize)>,
    per_second: Option<f64>,
}

impl Speed {
    fn count(&mut self, now: f64, iteration: usize) {
        let &mut (begin, from) = self.since.get_or_insert((now, iteration));
        // The first answer soon, the others over a longer time.
        let enough = if self.per_second.is_none() {
            0.2 * SPEED_MS
        } else {
            SPEED_MS
        };
        if now - begin >= enough && iteration > from {
            self.per_second = Some((iteration - from) as f64 * 1_000.0 / (now - begin));
            self.since = Some((now, iteration));
        }
    }
}

/// Losses, thinned: a point stands for a part of the run so far at first, and later for a small part
/// of the whole, so that a run has a thousand points whatever its length.
#[derive(Debug)]
struct Curve {
    longest: usize,
    sum: f64,
    count: usize,
    points: Vec<LossPoint>,
}

impl Curve {
    fn add(&mut self, progress: &Progress) {
        self.sum += f64::from(progress.loss);
        self.count += 1;
        let wanted = (progress.iteration / 64).min(self.longest).max(1);
        if self.count >= wanted {
            self.points.push(LossPoint {
                iteration: progress.iteration as u32,
                loss: (self.sum / self.count as f64) as f32,
                log_z: progress.log_z,
            });
            (self.sum, self.count) = (0.0, 0);
        }
    }
}

/// Sees when a training leaves all bounds.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: usize,
    largest: f32,
    in_a_row: u32,
}

impl Watch {
    pub fn is_lost(&mut self, progress: &Progress) -> bool {
        let loss = progress.loss.abs();
        if !progress.is_finite {
            return true;
        }
        if self.seen < USUAL {
            self.seen += 1;
            self.largest = self.largest.max(loss);
        }
        let limit = (EXPLODED * self.largest).max(EXPLODED_AT_LEAST);
        self.in_a_row = if loss > limit { self.in_a_row + 1 } else { 0 };
        self.in_a_row >= EXPLODED_IN_A_ROW
    }
}

impl Run {
    /// A run at its beginning, paused. Its first report is due.
    ///
    /// # Errors
    /// What is wrong with the settings or the look, or that the checkpoint is another run's.
    pub fn begin(begin: Begin) -> Result<Run, String> {
        let Begin {
            run,
            settings,
            look,
            from,
        } = begin;
        if let Some(problem) = settings.problems().into_iter().next() {
            return Err(problem.words);
        }
        let recipe = settings.recipe();
        let mut trainer = Trainer::new(&recipe, settings.seed);
        if let Some(from) = &from
            && !trainer.restore(from)
        {
            return Err("the weights to go on from belong to other settings".to_owned());
        }
        Ok(Run {
            id: run,
            seed: settings.seed,
            target: settings.target(),
            look: checked(look)?,
            phase: Phase::Paused,
            is_step: false,
            is_due: true,
            curve: Curve {
                longest: recipe.iterations.div_ceil(512),
                sum: 0.0,
                count: 0,
                points: Vec::new(),
            },
            watch: Watch::default(),
            good: trainer.checkpoint(),
            newer: trainer.checkpoint(),
            least_ms: 0.0,
            next_ms: f64::NEG_INFINITY,
            training_ms: 0.0,
            on_cpu: (0.0, 0),
            device: DeviceUsed::Cpu,
            why_cpu: None,
            speed: Speed::default(),
            last_id: 0,
            heard: 0,
            reported_ms: f64::NEG_INFINITY,
            checked_ms: f64::NEG_INFINITY,
            pictures: Budget {
                share: PICTURE_SHARE,
                next_ms: f64::NEG_INFINITY,
            },
            flows: Budget {
                share: FLOW_SHARE,
                next_ms: f64::NEG_INFINITY,
            },
            trainer,
            recipe,
        })
    }

    /// The run's number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Takes an order; those that begin something are the worker's to take. A look without a sensible reading
    /// is not taken.
    pub fn take(&mut self, order: ToRun) {
        match order {
            ToRun::Begin(_) | ToRun::Seeds(_) => {}
            ToRun::Play => {
                if self.phase != Phase::Finished {
                    self.phase = Phase::Playing;
                    self.speed = Speed::default();
                }
                self.is_due = true;
            }
            ToRun::Pause => {
                if self.phase == Phase::Playing {
                    self.phase = Phase::Paused;
                }
                self.is_due = true;
            }
            ToRun::Step => {
                if self.phase != Phase::Finished {
                    self.phase = Phase::Paused;
                    self.is_step = true;
                }
                self.is_due = true;
            }
            ToRun::Tune(settings) => {
                self.trainer
                    .set_rates(settings.learning_rate, settings.log_z_learning_rate);
                self.trainer.set_exploration(settings.exploration());
            }
            ToRun::Limit(per_second) => {
                let least = per_second.filter(|limit| *limit > 0.0);
                self.least_ms = least.map_or(0.0, |limit| 1_000.0 / limit);
                self.next_ms = f64::NEG_INFINITY;
            }
            ToRun::Look(look) => {
                if let Ok(look) = checked(look) {
                    self.look = look;
                    self.is_due = true;
                }
            }
            ToRun::Heard(id) => self.heard = id,
        }
    }

    /// Trains for a moment, if that is wanted, and reports, if that is due. `clock` gives
    /// milliseconds.
    pub fn work(&mut self, clock: &dyn Fn() -> f64) -> (Option<Report>, Next) {
        let begin = clock();
        let mut now = begin;
        while self.wants_step() && now - begin < MOMENT_MS && self.next_ms <= now {
            self.step(clock);
            now = clock();
            self.wait_from(now);
        }
        self.report_if_due(now, clock)
    }

    /// Sets when the next iteration may be done.
    fn wait_from(&mut self, now: f64) {
        if self.least_ms > 0.0 {
            // What was missed is not made up for, but for a moment.
            self.next_ms = self.next_ms.max(now - MOMENT_MS) + self.least_ms;
        }
    }

    /// Reports, if that is due `now`.
    pub fn report_if_due(&mut self, now: f64, clock: &dyn Fn() -> f64) -> (Option<Report>, Next) {
        if self.phase == Phase::Playing {
            self.speed.count(now, self.trainer.iteration());
        }
        let is_timely = self.phase == Phase::Playing
            && now - self.reported_ms >= REPORT_MS
            && self.last_id.wrapping_sub(self.heard) < MOST_UNHEARD;
        // An order to step is answered after the step.
        let report = ((self.is_due && !self.is_step) || is_timely).then(|| self.report(clock));
        let next = match self.wants_step() {
            false => Next::Waiting,
            true if self.next_ms > clock() => Next::After(self.next_ms - clock()),
            true => Next::Now,
        };
        (report, next)
    }

    /// The state of the training.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// How many iterations may be done at once elsewhere, at most `most`: none when none is wanted
    /// now, and all of them are then brought back by [`Run::take_iterations`].
    pub fn due(&self, most: usize, now: f64) -> usize {
        let left = self
            .recipe
            .iterations
            .saturating_sub(self.trainer.iteration());
        match self.wants_step() && self.next_ms <= now {
            false => 0,
            true if self.is_step || self.least_ms > 0.0 => left.min(1),
            true => left.min(most),
        }
    }

    /// Goes on from iterations that were done elsewhere and took `ms`.
    pub fn take_iterations(
        &mut self,
        (checkpoint, progress): (&Checkpoint, &[Progress]),
        ms: f64,
        now: f64,
    ) {
        if self.trainer.restore(checkpoint) {
            self.training_ms += ms;
            self.device = DeviceUsed::WebGpu;
            for progress in progress {
                self.note(progress);
            }
            self.wait_from(now);
        }
    }

    /// Milliseconds that the CPU takes for an iteration, once that is known.
    pub fn cpu_ms(&self) -> Option<f64> {
        let (ms, iterations) = self.on_cpu;
        (iterations >= KNOWN).then(|| ms / f64::from(iterations))
    }

    /// Notes why the GPU does not train this run.
    pub fn stay_on_cpu(&mut self, why: String) {
        self.why_cpu = Some(why);
    }

    fn wants_step(&self) -> bool {
        self.is_step || self.phase == Phase::Playing
    }

    fn step(&mut self, clock: &dyn Fn() -> f64) {
        let begin = clock();
        let progress = self.trainer.step();
        let end = clock();
        self.training_ms += end - begin;
        self.on_cpu.0 += end - begin;
        self.on_cpu.1 += 1;
        self.device = DeviceUsed::Cpu;
        self.note(&progress);
    }

    /// What an iteration means for the run.
    fn note(&mut self, progress: &Progress) {
        if self.watch.is_lost(progress) {
            self.trainer.restore(&self.good);
            self.newer = self.good.clone();
            self.phase = Phase::Diverged {
                at: progress.iteration as u32,
            };
            (self.is_step, self.is_due) = (false, true);
            (self.curve.sum, self.curve.count) = (0.0, 0);
            self.watch = Watch::default();
            return;
        }
        self.curve.add(progress);
        if self.is_step {
            (self.is_step, self.is_due) = (false, true);
        }
        if progress.iteration >= self.recipe.iterations {
            self.phase = Phase::Finished;
            self.is_due = true;
        }
    }

    fn report(&mut self, clock: &dyn Fn() -> f64) -> Report {
        let is_whole = std::mem::take(&mut self.is_due);
        let now = clock();
        self.reported_ms = now;
        self.last_id = self.last_id.wrapping_add(1);
        let mut pictures = self.pictures;
        let picture =
            (is_whole || now >= pictures.next_ms).then(|| pictures.spend(clock, || self.picture()));
        self.pictures = pictures;
        let mut flows = self.flows;
        let is_seen = self.look.flow_cells > 0 && (is_whole || now >= flows.next_ms);
        let flow = is_seen
            .then(|| flows.spend(clock, || self.flow()))
            .flatten();
        self.flows = flows;
        let checkpoint = (is_whole || now - self.checked_ms >= CHECKPOINT_MS).then(|| {
            self.checked_ms = now;
            let here = self.trainer.checkpoint();
            if here.is_finite() && here.iteration >= self.newer.iteration + SURE {
                self.good = std::mem::replace(&mut self.newer, here.clone());
            }
            here
        });
        Report {
            run: self.id,
            id: self.last_id,
            phase: self.phase.clone(),
            iteration: self.trainer.iteration() as u32,
            log_z: f64::from(self.trainer.log_z()),
            training_ms: self.training_ms,
            device: self.device,
            why_cpu: self.why_cpu.clone(),
            per_second: self.speed.per_second,
            curve: std::mem::take(&mut self.curve.points),
            picture,
            flow,
            checkpoint,
        }
    }

    fn picture(&self) -> RunPicture {
        let Recipe { start, steps, .. } = self.recipe;
        let Look {
            range, sigma_scale, ..
        } = self.look;
        let sampler = Sampler::new(&self.trainer.forward());
        let mut counts = Counts::new(range, self.look.bins as usize, &self.target.midpoints());
        let mut paths = Vec::new();
        let rollout = Rollout {
            start,
            steps,
            sigma_scale,
            extra_std: 0.0,
            // The same numbers in every picture, so that trajectories move and do not jump.
            seed: trainer::noise_seed(self.seed, stream::FIGURE),
            first: 0,
        };
        let wanted = self.look.paths as usize;
        sampler.draw_blocks(&rollout, self.look.samples as usize, &mut |block| {
            counts.add(block.terminals());
            for i in 0..block.len.min(wanted.saturating_sub(block.first)) {
                paths.extend(block.states.iter().map(|states| states[i]));
            }
        });
        let terminal =
            TerminalDensity::with_tails(&sampler, start, steps, sigma_scale, Tails::Bulk);
        let density = terminal.averages(range.0, range.1, self.look.cells as usize);
        let (total_variation, mode_mass) = scores(&terminal, &self.target);
        RunPicture {
            iteration: self.trainer.iteration() as u32,
            sigma_scale,
            density: density.iter().map(|&density| density as f32).collect(),
            histogram: counts.density(),
            paths,
            total_variation,
            mode_mass,
            sampled_mode_mass: counts.basin_shares(),
        }
    }

    fn flow(&self) -> Option<FlowMap> {
        let policies = (&self.trainer.forward(), &self.trainer.backward());
        let subject = Subject::of(self.recipe.clone(), policies, self.trainer.log_z());
        let question = Question::Flow {
            range: self.look.range,
            cells: self.look.flow_cells,
        };
        match subject.answer(&question) {
            Ok(Study::Flow(map)) => Some(map),
            _ => None,
        }
    }
}

/// The exact total variation of a model to its target, and the model's mass per mode. Weights that
/// throw walks out of all bounds leave a density that has lost its mass: then nothing is known,
/// which is better than a number that says something, and all are NaN.
pub(crate) fn scores(terminal: &TerminalDensity, target: &Mixture) -> (f64, Vec<f64>) {
    let is_known = (terminal.mass_below(f64::INFINITY) - 1.0).abs() < 1e-3;
    let known = |value: f64| if is_known { value } else { f64::NAN };
    let mode_mass = divergence::mode_mass(terminal, target);
    (
        known(divergence::total_variation(terminal, target)),
        mode_mass.into_iter().map(known).collect(),
    )
}

/// A look with its numbers brought within their bounds.
///
/// # Errors
/// When the x-range is empty, or it or the sigma scale is no number.
fn checked(look: Look) -> Result<Look, String> {
    let (lo, hi) = look.range;
    if !(lo.is_finite() && hi.is_finite() && lo < hi) {
        return Err(format!("the x-range goes from {lo} to {hi}"));
    }
    if !look.sigma_scale.is_finite() {
        return Err(format!("the sigma scale is {}", look.sigma_scale));
    }
    let samples = look.samples.clamp(1, MOST_SAMPLES);
    Ok(Look {
        cells: look.cells.clamp(1, MOST_CELLS),
        bins: look.bins.clamp(1, MOST_CELLS),
        samples,
        paths: look.paths.min(samples),
        sigma_scale: look
            .sigma_scale
            .clamp(*SIGMA_SCALES.start(), *SIGMA_SCALES.end()),
        flow_cells: look.flow_cells.min(MOST_CELLS),
        ..look
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::lab::Settings;
    use std::cell::Cell;
    use std::time::Instant;

    fn look() -> Look {
        Look {
            range: (-4.0, 4.0),
            cells: 100,
            bins: 40,
            samples: 500,
            paths: 20,
            sigma_scale: 1.0,
            flow_cells: 0,
        }
    }

    fn begin(settings: Settings) -> Begin {
        Begin {
            run: 7,
            settings,
            look: look(),
            from: None,
        }
    }

    fn small() -> Settings {
        Settings {
            batch: 32,
            hidden: 16,
            iterations: 300,
            ..Settings::default()
        }
    }

    /// A clock that moves by `tick` whenever it is read.
    fn ticking(tick: f64) -> impl Fn() -> f64 {
        let now = Cell::new(0.0);
        move || {
            now.set(now.get() + tick);
            now.get()
        }
    }

    /// Works until there is nothing to do, and hears every report.
    fn to_the_end(run: &mut Run, clock: &dyn Fn() -> f64) -> Vec<Report> {
        let mut reports = Vec::new();
        loop {
            let (report, next) = run.work(clock);
            if let Some(report) = report {
                run.take(ToRun::Heard(report.id));
                reports.push(report);
            }
            if next == Next::Waiting {
                return reports;
            }
        }
    }

    fn bits(checkpoint: &Checkpoint) -> String {
        format!("{checkpoint:?}")
    }

    #[test]
    fn a_run_reports_from_its_beginning_to_its_end() {
        let mut run = Run::begin(begin(small())).unwrap();
        let clock = ticking(0.5);
        let first = to_the_end(&mut run, &clock);
        assert_eq!(first.len(), 1);
        assert_eq!(
            (first[0].phase.clone(), first[0].iteration),
            (Phase::Paused, 0)
        );
        assert!(first[0].picture.is_some() && first[0].curve.is_empty());

        run.take(ToRun::Play);
        let reports = to_the_end(&mut run, &clock);
        let last = reports.last().unwrap();
        assert_eq!((last.run, last.iteration), (7, 300));
        assert_eq!(last.phase, Phase::Finished);
        assert!(last.per_second.is_some() && last.training_ms > 0.0);
        let curve: Vec<_> = reports.iter().flat_map(|report| &report.curve).collect();
        assert!(
            curve
                .windows(2)
                .all(|pair| pair[0].iteration < pair[1].iteration)
        );
        assert_eq!(curve[0].iteration, 1);
        let picture = last.picture.as_ref().unwrap();
        assert_eq!(picture.iteration, 300);
        assert_eq!((picture.density.len(), picture.histogram.len()), (100, 40));
        assert_eq!((picture.paths.len(), picture.mode_mass.len()), (20 * 6, 2));
        let area: f32 = picture.density.iter().map(|d| d * 0.08).sum();
        assert!((area - 1.0).abs() < 1e-2, "{area}");

        // The trainer alone comes to the same weights.
        let mut trainer = Trainer::new(&small().recipe(), small().seed);
        for _ in 0..300 {
            trainer.step();
        }
        let here = last.checkpoint.as_ref().unwrap();
        assert_eq!(bits(here), bits(&trainer.checkpoint()));
        // Nothing more can be done.
        run.take(ToRun::Play);
        assert_eq!(to_the_end(&mut run, &clock).last().unwrap().iteration, 300);
    }

    /// What a GPU brings back is as if the run had done it.
    #[test]
    fn iterations_that_were_done_elsewhere_are_the_runs() {
        let mut run = Run::begin(begin(small())).unwrap();
        assert_eq!(run.due(50, 0.0), 0);
        run.take(ToRun::Step);
        assert_eq!(run.due(50, 0.0), 1);
        run.take(ToRun::Play);
        let mut elsewhere = run.trainer().clone();
        // A step, and three chunks.
        let mut now = 0.0;
        while run.due(120, now) > 0 {
            let count = run.due(120, now);
            let progress: Vec<Progress> = (0..count).map(|_| elsewhere.step()).collect();
            now += 6.0;
            run.take_iterations((&elsewhere.checkpoint(), &progress), 6.0, now);
        }
        run.stay_on_cpu("it was lost".to_owned());
        let clock = ticking(0.5);
        let last = to_the_end(&mut run, &clock).pop().unwrap();
        assert_eq!((last.iteration, last.phase), (300, Phase::Finished));
        assert_eq!((last.training_ms, last.device), (24.0, DeviceUsed::WebGpu));
        assert_eq!(last.why_cpu.as_deref(), Some("it was lost"));
        assert_eq!(last.curve.last().unwrap().iteration, 300);
        assert_eq!(run.cpu_ms(), None);
        let here = last.checkpoint.unwrap();
        assert_eq!(bits(&here), bits(&elsewhere.checkpoint()));
    }

    #[test]
    fn pictures_leave_most_of_the_time_to_the_training() {
        let mut run = Run::begin(begin(Settings {
            iterations: 3_000,
            ..small()
        }))
        .unwrap();
        let start = Instant::now();
        let clock = move || start.elapsed().as_secs_f64() * 1e3;
        run.take(ToRun::Look(Look {
            flow_cells: 50,
            ..look()
        }));
        run.take(ToRun::Play);
        let reports = to_the_end(&mut run, &clock);
        let pictures = reports
            .iter()
            .filter(|report| report.picture.is_some())
            .count();
        let flows = reports
            .iter()
            .filter(|report| report.flow.is_some())
            .count();
        assert!(pictures > 1 && flows > 1);
        assert!(pictures <= reports.len() && reports.len() < 3_000);
    }

    #[test]
    fn a_step_is_one_iteration_and_a_pause_holds() {
        let mut run = Run::begin(begin(small())).unwrap();
        let clock = ticking(0.1);
        to_the_end(&mut run, &clock);
        for iteration in 1..4 {
            run.take(ToRun::Step);
            let reports = to_the_end(&mut run, &clock);
            assert_eq!(reports.len(), 1);
            assert_eq!(reports[0].iteration, iteration);
            assert_eq!(reports[0].picture.as_ref().unwrap().iteration, iteration);
        }
        run.take(ToRun::Play);
        let (_, next) = run.work(&clock);
        assert_eq!(next, Next::Now);
        run.take(ToRun::Pause);
        let paused = to_the_end(&mut run, &clock).pop().unwrap();
        assert_eq!(paused.phase, Phase::Paused);
        assert!(paused.iteration > 3 && paused.iteration < 300);
        assert_eq!(run.work(&clock), (None, Next::Waiting));
    }

    #[test]
    fn a_page_that_does_not_listen_gets_two_reports_and_holds_nothing_up() {
        let mut run = Run::begin(begin(small())).unwrap();
        let clock = ticking(1.0);
        run.take(ToRun::Play);
        let mut reports = Vec::new();
        loop {
            let (report, next) = run.work(&clock);
            reports.extend(report);
            if next == Next::Waiting {
                break;
            }
        }
        // Those two, and the end.
        assert_eq!(reports.len(), 3);
        let points: usize = reports.iter().map(|report| report.curve.len()).sum();
        assert_eq!((reports[2].iteration, points > 100), (300, true));
    }

    #[test]
    fn a_limited_run_waits_between_its_iterations() {
        let mut run = Run::begin(begin(small())).unwrap();
        let clock = ticking(0.5);
        to_the_end(&mut run, &clock);
        run.take(ToRun::Limit(Some(20.0)));
        run.take(ToRun::Play);
        let (_, next) = run.work(&clock);
        let Next::After(wait) = next else {
            panic!("{next:?}");
        };
        assert!((30.0..50.0).contains(&wait), "{wait}");
        assert!(run.trainer.iteration() <= 2);
        run.take(ToRun::Limit(None));
        assert_eq!(run.work(&clock).1, Next::Now);
    }

    #[test]
    fn a_run_that_explodes_goes_back_to_its_last_good_weights() {
        let mut run = Run::begin(begin(small())).unwrap();
        let clock = ticking(0.5);
        run.take(ToRun::Play);
        for _ in 0..5 {
            run.work(&clock);
        }
        run.take(ToRun::Pause);
        let before = to_the_end(&mut run, &clock).pop().unwrap();
        run.take(ToRun::Tune(Box::new(Settings {
            learning_rate: 1e12,
            ..small()
        })));
        run.take(ToRun::Play);
        let lost = to_the_end(&mut run, &clock).pop().unwrap();
        assert!(matches!(lost.phase, Phase::Diverged { at } if at > before.iteration));
        assert!(lost.iteration <= before.iteration);
        // Those are weights that the training had passed.
        let mut trainer = Trainer::new(&small().recipe(), small().seed);
        while trainer.iteration() < lost.iteration as usize {
            trainer.step();
        }
        assert_eq!(
            bits(lost.checkpoint.as_ref().unwrap()),
            bits(&trainer.checkpoint())
        );
        // With a rate that can be, it goes on.
        run.take(ToRun::Tune(Box::new(small())));
        run.take(ToRun::Play);
        let end = to_the_end(&mut run, &clock).pop().unwrap();
        assert_eq!((end.phase, end.iteration), (Phase::Finished, 300));
    }

    /// A density without its mass said TV 0.
    #[test]
    fn weights_that_lose_all_walks_have_no_score() {
        let mut run = Run::begin(begin(small())).unwrap();
        let clock = ticking(0.5);
        run.trainer.set_rates(1e6, 0.1);
        run.take(ToRun::Step);
        let report = to_the_end(&mut run, &clock).pop().unwrap();
        let picture = report.picture.unwrap();
        let tv = picture.total_variation;
        assert!(tv.is_nan() || tv > 0.4, "{tv}");
    }

    #[test]
    fn a_run_goes_on_in_another_worker() {
        let clock = ticking(0.5);
        let mut whole = Run::begin(begin(small())).unwrap();
        whole.take(ToRun::Play);
        let end = to_the_end(&mut whole, &clock).pop().unwrap();

        let mut part = Run::begin(begin(small())).unwrap();
        part.take(ToRun::Play);
        for _ in 0..5 {
            part.work(&clock);
        }
        part.take(ToRun::Pause);
        let from = to_the_end(&mut part, &clock).pop().unwrap().checkpoint;
        let mut rest = Run::begin(Begin {
            from,
            ..begin(small())
        })
        .unwrap();
        rest.take(ToRun::Play);
        let again = to_the_end(&mut rest, &clock).pop().unwrap();
        assert_eq!(
            bits(&again.checkpoint.unwrap()),
            bits(&end.checkpoint.clone().unwrap())
        );

        let other = Settings {
            hidden: 32,
            ..small()
        };
        let why = Run::begin(Begin {
            from: end.checkpoint,
            ..begin(other)
        })
        .unwrap_err();
        assert!(why.contains("other settings"), "{why}");
    }

    #[test]
    fn settings_that_cannot_be_trained_are_refused_by_name() {
        let refused = |settings| Run::begin(begin(settings)).unwrap_err();
        let why = refused(Settings {
            batch: 5,
            ..small()
        });
        assert!(why.contains("Batch cannot be 5"), "{why}");
        let why = refused(Settings {
            modes: Vec::new(),
            ..small()
        });
        assert!(why.contains("modes"), "{why}");
        let mut begin = begin(small());
        begin.look.range = (1.0, 1.0);
        assert!(Run::begin(begin).unwrap_err().contains("x-range"));
    }
}
