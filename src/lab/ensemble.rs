//! An ensemble: one training by several seeds, what came of each, and what they say together.

use gflownet_tour_core::lab::{self, Settings};
use gflownet_tour_core::message::{SeedEnd, SeedPoint, SeedReport};
use gflownet_tour_widgets::record::{Dot, Fate, apart};
use std::fmt::{Display, Write};

/// How many seeds an ensemble has.
pub const SEEDS: u64 = 16;
/// Iterations of each, if a reader does not choose others: fewer than a training's, so that all of
/// them take about a minute.
pub const ITERATIONS: u32 = 2_000;
/// The share of its own mass below which a mode counts as lost, if a reader does not choose another.
pub const LOST: f64 = 0.05;
/// The two-sided 95 % quantile of the normal law.
const Z_95: f64 = 1.959_963_985;

/// An ensemble, as far as it has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// The settings of every run, but for its seed: the first one's stands there.
    pub settings: Settings,
    /// The x-range of the densities.
    pub range: (f64, f64),
    /// The runs, by rising seed.
    pub runs: Vec<SeedRun>,
}

/// The run of a seed, as far as it has come.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedRun {
    pub seed: u64,
    /// Finished iterations.
    pub iteration: u32,
    pub points: Vec<SeedPoint>,
    /// Its model, once it has come to an end.
    pub end: Option<SeedEnd>,
}

impl SeedRun {
    /// Its last total variation, once it is over.
    pub fn total_variation(&self) -> Option<f64> {
        self.end.as_ref()?;
        Some(self.points.last()?.total_variation)
    }

    /// Its last log Z, in nats, once it is over.
    pub fn log_z(&self) -> Option<f64> {
        self.end.as_ref()?;
        Some(self.points.last()?.log_z.into())
    }

    /// The end of a run that did not diverge.
    fn whole(&self) -> Option<&SeedEnd> {
        self.end.as_ref().filter(|end| end.diverged_at.is_none())
    }
}

/// What several runs have at an iteration: the least, the median, and the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandPoint {
    pub iteration: u32,
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

/// How many runs lost a mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Collapse {
    pub lost: usize,
    /// Of so many runs that came to their end without diverging.
    pub of: usize,
    /// Runs that diverged.
    pub diverged: usize,
    /// Wilson's 95 % interval of the rate.
    pub interval: (f64, f64),
}

impl Ensemble {
    /// An ensemble of [`SEEDS`] seeds, from the settings' own on, that has not begun.
    pub fn new(settings: Settings) -> Self {
        let seeds = settings.seed..settings.seed.saturating_add(SEEDS);
        Ensemble {
            range: settings.plot_range(),
            runs: seeds
                .map(|seed| SeedRun {
                    seed,
                    iteration: 0,
                    points: Vec::new(),
                    end: None,
                })
                .collect(),
            settings,
        }
    }

    /// The seeds of each of so many workers.
    pub fn shares(&self, workers: usize) -> Vec<Vec<u64>> {
        let workers = workers.max(1);
        let of = |worker| {
            let runs = self.runs.iter().skip(worker).step_by(workers);
            runs.map(|run| run.seed).collect()
        };
        (0..workers).map(of).collect()
    }

    /// Adds a report; one of a seed that is not here is left out.
    pub fn add(&mut self, report: SeedReport) {
        let Some(run) = self.runs.iter_mut().find(|run| run.seed == report.seed) else {
            return;
        };
        run.iteration = report.iteration;
        run.points.extend(report.points);
        run.end = report.end.or(run.end.take());
    }

    /// The runs that are over.
    pub fn finished(&self) -> impl Iterator<Item = &SeedRun> {
        self.runs.iter().filter(|run| run.end.is_some())
    }

    /// Whether every run is over.
    pub fn is_finished(&self) -> bool {
        self.runs.iter().all(|run| run.end.is_some())
    }

    /// The part of all iterations that is done; a run that ended early is done.
    pub fn progress(&self) -> f64 {
        let all = f64::from(self.settings.iterations).max(1.0);
        let done = self.runs.iter().map(|run| match run.end {
            Some(_) => 1.0,
            None => f64::from(run.iteration) / all,
        });
        done.sum::<f64>() / self.runs.len().max(1) as f64
    }

    /// The band of the runs that came to their end without diverging: over the points that they
    /// all have. What is not a number is left out.
    pub fn band(&self, of: impl Fn(&SeedPoint) -> f64) -> Vec<BandPoint> {
        let runs: Vec<&[SeedPoint]> = self
            .runs
            .iter()
            .filter(|run| run.whole().is_some())
            .map(|run| &run.points[..])
            .collect();
        let points = runs.first().copied().unwrap_or_default().iter();
        let band = points.enumerate().filter_map(|(place, point)| {
            let values = runs.iter().filter_map(|points| points.get(place)).map(&of);
            let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
            values.sort_by(f64::total_cmp);
            Some(BandPoint {
                iteration: point.iteration,
                low: *values.first()?,
                median: median(&values)?,
                high: *values.last()?,
            })
        });
        band.collect()
    }

    /// The smallest part that a mode of this run has of the mass that is its own; none before its
    /// end, or where nothing is known.
    pub fn least_share(&self, run: &SeedRun) -> Option<f64> {
        let end = run.whole()?;
        let target = self.settings.target().mode_mass();
        let shares = end.mode_mass.iter().zip(target).map(|(got, own)| got / own);
        let least = shares.fold(f64::INFINITY, |least, share| match share.is_nan() {
            true => f64::NAN,
            false => least.min(share),
        });
        least.is_finite().then_some(least)
    }

    /// What became of a run: whole, or fallen to the side that has most of the mass. None while it
    /// goes on, and for one that diverged.
    pub fn fate(&self, run: &SeedRun, lost: f64) -> Option<Fate> {
        if self.least_share(run)? >= lost {
            return Some(Fate::Whole);
        }
        let mass = &run.whole()?.mode_mass;
        let left: f64 = mass.iter().take(mass.len() / 2).sum();
        Some(match left > 0.5 {
            true => Fate::FellLeft,
            false => Fate::FellRight,
        })
    }

    /// How many of the runs that are over lost a mode.
    pub fn collapse(&self, lost: f64) -> Collapse {
        let fates: Vec<Fate> = self
            .runs
            .iter()
            .filter_map(|run| self.fate(run, lost))
            .collect();
        let lost = fates.iter().filter(|fate| **fate != Fate::Whole).count();
        Collapse {
            lost,
            of: fates.len(),
            diverged: self.finished().count() - fates.len(),
            interval: wilson(lost, fates.len()),
        }
    }

    /// A dot for each run that is over and did not diverge, along the axis of total variation.
    /// Dots less than `width` apart stand above and below each other.
    pub fn dots(&self, lost: f64, width: f64) -> Vec<Dot> {
        let runs = self
            .runs
            .iter()
            .filter_map(|run| Some((run.total_variation()?, self.fate(run, lost)?)));
        apart(runs.collect(), width)
    }

    /// A row for each point of each run, as CSV.
    pub fn csv(&self) -> String {
        let mut text = "seed,iteration,loss,log_z,total_variation\n".to_owned();
        for run in &self.runs {
            for point in &run.points {
                let SeedPoint {
                    iteration,
                    loss,
                    log_z,
                    total_variation,
                } = point;
                // Writing to a string cannot fail.
                let seed = run.seed;
                let _ = writeln!(text, "{seed},{iteration},{loss},{log_z},{total_variation}");
            }
        }
        text
    }

    /// Everything, as JSON: the settings as a file of them has them, the collapse, and each run
    /// with its curves as rows like those of [`Ensemble::csv`], its masses and its density. Written
    /// here: a library's writer for so many fields would be a tenth of the laboratory's file.
    ///
    /// # Errors
    /// Never for finite settings; the caller still gets a `Result`, not a panic.
    pub fn json(&self, preset: &str, lost: f64) -> Result<String, serde_json::Error> {
        let settings = lab::to_json(&self.settings, preset)?;
        let target = self.settings.target();
        let collapse = self.collapse(lost);
        let mut text = String::from("{\n");
        let mut field = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\"{name}\": {value},");
        };
        field("settings", settings.trim_end().to_owned());
        field("log_z_true", number(target.log_partition()));
        field("target_mode_mass", list(target.mode_mass(), number));
        field("density_range", list([self.range.0, self.range.1], number));
        field("lost_below_share", number(lost));
        field("lost", collapse.lost.to_string());
        field("of", collapse.of.to_string());
        field("diverged", collapse.diverged.to_string());
        let (low, high) = collapse.interval;
        field("interval_95", list([low, high], number));
        let columns = ["iteration", "loss", "log_z", "total_variation"];
        field("curve_columns", list(columns, |name| format!("\"{name}\"")));
        let runs = list(&self.runs, |run| self.run_json(run, lost));
        let _ = writeln!(text, "\"runs\": {runs}\n}}");
        Ok(text)
    }

    fn run_json(&self, run: &SeedRun, lost: f64) -> String {
        let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
        let row = |p: &SeedPoint| {
            let [loss, log_z] = [p.loss, p.log_z].map(number);
            let tv = number(p.total_variation);
            format!("[{}, {loss}, {log_z}, {tv}]", p.iteration)
        };
        let end = run.end.as_ref();
        let fate = self.fate(run, lost).map(|fate| fate != Fate::Whole);
        let fields = [
            ("seed", run.seed.to_string()),
            ("iterations", run.iteration.to_string()),
            ("is_finished", end.is_some().to_string()),
            (
                "diverged_at",
                or_null(end.and_then(|end| Some(end.diverged_at?.to_string()))),
            ),
            (
                "total_variation",
                or_null(run.total_variation().map(number)),
            ),
            ("log_z", or_null(run.log_z().map(number))),
            (
                "mode_mass",
                or_null(end.map(|end| list(end.mode_mass.iter().copied(), number))),
            ),
            ("lost_a_mode", or_null(fate.map(|lost| lost.to_string()))),
            ("curve", list(&run.points, row)),
            (
                "density",
                or_null(end.map(|end| list(end.density.iter().copied(), number))),
            ),
        ];
        let fields = fields.map(|(name, value)| format!("\"{name}\": {value}"));
        format!("\n{{{}}}", fields.join(", "))
    }
}

/// A number as JSON; null for what is none.
fn number(value: impl Into<f64> + Display + Copy) -> String {
    match value.into().is_finite() {
        true => value.to_string(),
        false => "null".to_owned(),
    }
}

/// A list as JSON.
fn list<T>(values: impl IntoIterator<Item = T>, write: impl Fn(T) -> String) -> String {
    let values: Vec<String> = values.into_iter().map(write).collect();
    format!("[{}]", values.join(", "))
}

/// The median of sorted values.
pub fn median(values: &[f64]) -> Option<f64> {
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(0.5 * (values[low] + values[high]))
}

/// Wilson's 95 % interval of a rate of which `hits` of `of` were seen (Wilson 1927); all of [0, 1]
/// where nothing was.
pub fn wilson(hits: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, rate) = (of as f64, hits as f64 / of as f64);
    let square = Z_95 * Z_95;
    let middle = rate + square / (2.0 * n);
    let reach = Z_95 * (rate * (1.0 - rate) / n + square / (4.0 * n * n)).sqrt();
    let scale = 1.0 + square / n;
    (
        ((middle - reach) / scale).max(0.0),
        ((middle + reach) / scale).min(1.0),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A far-mode ensemble of two whole runs, one that lost its left mode, one that diverged, and
    /// others that have not begun.
    pub fn ensemble() -> Ensemble {
        let settings = Settings {
            iterations: 100,
            ..Settings::preset("hard_off_policy").unwrap()
        };
        let mut ensemble = Ensemble::new(settings);
        let ends = [
            (0.10, vec![0.45, 0.55], None),
            (0.12, vec![0.6, 0.4], None),
            (0.49, vec![0.01, 0.99], None),
            (f64::NAN, vec![f64::NAN; 2], Some(70)),
        ];
        for (i, (total_variation, mode_mass, diverged_at)) in ends.into_iter().enumerate() {
            let seed = 4444 + i as u64;
            for iteration in [50, 100] {
                let is_last = iteration == 100;
                ensemble.add(SeedReport {
                    seed,
                    iteration,
                    points: vec![SeedPoint {
                        iteration,
                        loss: 10.0 / (i + 1) as f32 / iteration as f32,
                        log_z: 0.1 * i as f32,
                        total_variation: if is_last { total_variation } else { 0.8 },
                    }],
                    end: is_last.then(|| SeedEnd {
                        density: vec![0.0, 0.125 * (i + 1) as f32, 0.25, 0.0],
                        mode_mass: mode_mass.clone(),
                        diverged_at,
                    }),
                });
            }
        }
        ensemble
    }

    #[test]
    fn seeds_are_the_settings_own_and_those_after_it() {
        let ensemble = Ensemble::new(Settings::default());
        let seeds: Vec<u64> = ensemble.runs.iter().map(|run| run.seed).collect();
        assert_eq!(seeds, (4444..4460).collect::<Vec<_>>());
        let shares = ensemble.shares(2);
        assert_eq!(
            (shares[0][..3].to_vec(), shares[1][0]),
            (vec![4444, 4446, 4448], 4445)
        );
        assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 16);
        assert_eq!(ensemble.shares(0), [seeds]);
    }

    #[test]
    fn a_band_is_of_the_runs_that_ended_well() {
        let ensemble = ensemble();
        let band = ensemble.band(|point| point.total_variation);
        assert_eq!(band.len(), 2);
        assert_eq!(band[0].iteration, 50);
        assert_eq!((band[0].low, band[0].high), (0.8, 0.8));
        assert_eq!(
            (band[1].low, band[1].median, band[1].high),
            (0.1, 0.12, 0.49)
        );
        assert!((ensemble.progress() - 0.25).abs() < 1e-12);
        assert!(!ensemble.is_finished());
        assert_eq!(
            Ensemble::new(Settings::default()).band(|p| p.total_variation),
            []
        );
        // A value that is none leaves the others.
        let band = ensemble.band(|point| match point.total_variation {
            0.49 => f64::NAN,
            tv => tv,
        });
        assert_eq!(band[1].median, 0.11);
    }

    #[test]
    fn a_run_that_lost_a_mode_is_counted_and_one_that_diverged_is_named() {
        let ensemble = ensemble();
        let collapse = ensemble.collapse(LOST);
        assert_eq!((collapse.lost, collapse.of, collapse.diverged), (1, 3, 1));
        let fates: Vec<_> = ensemble
            .runs
            .iter()
            .map(|r| ensemble.fate(r, LOST))
            .collect();
        assert_eq!(
            fates[..5],
            [
                Some(Fate::Whole),
                Some(Fate::Whole),
                Some(Fate::FellRight),
                None,
                None
            ]
        );
        // A hundredth of the mass is a fiftieth of the mode's own.
        assert_eq!(ensemble.collapse(0.01).lost, 0);
        assert_eq!(ensemble.collapse(0.85).lost, 2);
        assert_eq!(ensemble.dots(LOST, 0.01).len(), 3);
    }

    /// Figures of Brown, Cai and DasGupta's formula, computed apart.
    #[test]
    fn wilsons_interval_is_wilsons() {
        let check = |hits, of, expected: (f64, f64)| {
            let got = wilson(hits, of);
            assert!((got.0 - expected.0).abs() < 5e-4, "{got:?}");
            assert!((got.1 - expected.1).abs() < 5e-4, "{got:?}");
        };
        check(0, 16, (0.0, 0.1936));
        check(1, 16, (0.0111, 0.2833));
        check(8, 16, (0.2800, 0.7200));
        check(16, 16, (0.8064, 1.0));
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn files_hold_the_same_numbers() {
        let ensemble = ensemble();
        let csv = ensemble.csv();
        assert_eq!(csv.lines().count(), 1 + 8);
        assert_eq!(csv.lines().nth(2), Some("4444,100,0.1,0,0.1"));
        let json: Value =
            serde_json::from_str(&ensemble.json("hard_off_policy", LOST).unwrap()).unwrap();
        let rows: usize = json["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["curve"].as_array().unwrap().len())
            .sum();
        assert_eq!(rows, 8);
        assert_eq!((&json["lost"], &json["of"]), (&json!(1), &json!(3)));
        let settings = lab::from_json(&json["settings"].to_string()).unwrap();
        assert_eq!(settings.settings, ensemble.settings);
        assert_eq!(json["runs"][2]["lost_a_mode"], json!(true));
        assert_eq!(json["runs"][3]["diverged_at"], json!(70));
        assert_eq!(json["runs"][9]["is_finished"], json!(false));
    }
}
