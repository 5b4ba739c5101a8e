//! What trainings leave behind, as plain numbers for figures: curves in a unit box, what a log Z
//! says of modes, and the runs of other seeds. How it is drawn is [`history`](super)'s business.

use crate::format::{fixed, spelled, superscript, thousands};
use gflownet_tour_core::weights::manifest::{CurvePoint, ModelEntry, SeedResult};
use std::fmt::Write;

/// A mode that holds less than this part of its share counts as lost, and its run as collapsed.
const LOST: f64 = 0.1;
/// From here on total variation has settled: it stays within this of its last value.
const SETTLED: f64 = 0.01;

/// An axis from `lo` to `hi`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    pub lo: f64,
    pub hi: f64,
    /// Whether equal ratios, not equal differences, are equally long.
    pub is_log: bool,
}

impl Axis {
    /// An axis of whole decades around positive `values`.
    pub fn decades(values: impl Iterator<Item = f64>) -> Axis {
        let (lo, hi) = limits(values.map(f64::log10));
        Axis {
            lo: 10f64.powf(lo.floor()),
            hi: 10f64.powf(hi.ceil().max(lo.floor() + 1.0)),
            is_log: true,
        }
    }

    /// An axis between whole numbers around `values`.
    pub fn units(values: impl Iterator<Item = f64>) -> Axis {
        let (lo, hi) = limits(values);
        Axis {
            lo: lo.floor(),
            hi: hi.ceil().max(lo.floor() + 1.0),
            is_log: false,
        }
    }

    /// Where `value` is, as a share of the axis's length, kept on the axis.
    pub fn share(self, value: f64) -> f64 {
        let share = match self.is_log {
            true => (value / self.lo).ln() / (self.hi / self.lo).ln(),
            false => (value - self.lo) / (self.hi - self.lo),
        };
        // A value that is not a number is nowhere; the axis's foot is as good as any place.
        if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        }
    }

    /// The value at a share of the axis's length.
    pub fn value(self, share: f64) -> f64 {
        match self.is_log {
            true => self.lo * (self.hi / self.lo).powf(share),
            false => self.lo + share * (self.hi - self.lo),
        }
    }

    /// Values to name, at most `most` of them but for both ends.
    pub fn ticks(self, most: usize) -> Vec<f64> {
        let steps = match self.is_log {
            true => (self.hi / self.lo).log10().round(),
            false => (self.hi - self.lo).round(),
        };
        let stride = (steps / most.max(1) as f64).ceil().max(1.0);
        let count = (steps / stride).floor() as usize;
        (0..=count)
            .map(|i| match (i as f64 * stride, self.is_log) {
                (at, true) => self.lo * 10f64.powf(at),
                (at, false) => self.lo + at,
            })
            .collect()
    }
}

fn limits(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (lo, hi) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), value| {
        (lo.min(value), hi.max(value))
    });
    if lo <= hi { (lo, hi) } else { (0.0, 1.0) }
}

/// A number that is drawn over the training.
#[derive(Clone, Copy)]
pub struct Quantity {
    pub name: &'static str,
    pub of: fn(&CurvePoint) -> f64,
    pub axis: Axis,
    /// How a value is written at the axis.
    pub digits: fn(f64) -> String,
}

/// What is drawn over the trainings of these models, with axes that hold all of them.
pub fn quantities(models: &[&ModelEntry]) -> [Quantity; 3] {
    let all = || models.iter().flat_map(|model| &model.curve);
    let truths = models.iter().map(|model| model.log_z_true);
    [
        Quantity {
            name: "loss (nats²)",
            of: |point| point.loss,
            axis: Axis::decades(all().map(|point| point.loss)),
            digits: |value| match value {
                v if v < 1.0 => format!("10{}", superscript(v.log10().round() as i32)),
                v => thousands(v.round() as u64),
            },
        },
        Quantity {
            name: "log Z (nats)",
            of: |point| point.log_z,
            axis: Axis::units(all().map(|point| point.log_z).chain(truths)),
            digits: |value| fixed(value, 0),
        },
        Quantity {
            name: "total variation",
            of: |point| point.total_variation,
            axis: Axis {
                lo: 0.0,
                hi: 1.0,
                is_log: false,
            },
            digits: |value| fixed(value, 0),
        },
    ]
}

/// The width and height of the box that [`path`] draws in.
pub const BOX: f64 = 1000.0;

/// A line through `points` as the `d` of an SVG path in a box of [`BOX`] by [`BOX`], its height
/// upwards.
pub fn path(points: impl Iterator<Item = (f64, f64)>, x: Axis, y: Axis) -> String {
    let mut text = String::new();
    for (i, (across, up)) in points.enumerate() {
        let command = if i == 0 { 'M' } else { 'L' };
        let (right, down) = (BOX * x.share(across), BOX * (1.0 - y.share(up)));
        // Writing to a string does not fail.
        let _ = write!(text, "{command}{right:.0} {down:.0}");
    }
    text
}

/// The point of the curve that is nearest to `iteration`, by its place.
pub fn nearest(curve: &[CurvePoint], iteration: f64) -> usize {
    let distance = |point: &CurvePoint| (point.iteration as f64 - iteration).abs();
    let nearest = curve
        .iter()
        .enumerate()
        .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
    nearest.map_or(0, |(place, _)| place)
}

/// The place that a reader at place `now` of the rising `iterations` asks for by the number `typed`:
/// the nearest one in that direction, so that a step in the number is a step.
pub fn toward(iterations: &[usize], now: usize, typed: f64) -> usize {
    let Some(&at) = iterations.get(now) else {
        return now;
    };
    let distance = |place: &usize| (iterations[*place] as f64 - typed).abs();
    let nearest =
        |places: std::ops::Range<usize>| places.min_by(|a, b| distance(a).total_cmp(&distance(b)));
    let found = match typed.partial_cmp(&(at as f64)) {
        Some(std::cmp::Ordering::Less) => nearest(0..now),
        Some(std::cmp::Ordering::Greater) => nearest(now + 1..iterations.len()),
        _ => None,
    };
    found.unwrap_or(now)
}

/// A point of a training in words.
pub fn tell(model: &ModelEntry, point: &CurvePoint) -> String {
    format!(
        "iteration {} of {}: loss {}, log Z {} (true {}), total variation {}",
        thousands(point.iteration as u64),
        thousands(model.recipe.iterations as u64),
        loss(point.loss),
        fixed(point.log_z, 2),
        fixed(model.log_z_true, 2),
        fixed(point.total_variation, 3),
    )
}

/// A loss with the digits that mean something.
pub fn loss(value: f64) -> String {
    let digits = match value {
        v if v < 0.1 => 4,
        v if v < 10.0 => 2,
        _ => 0,
    };
    fixed(value, digits)
}

/// How many modes of area one fit into the area e^(log Z).
pub fn modes_believed(log_z: f64) -> f64 {
    log_z.exp()
}

/// The point from which on the model's total variation stays where it ends.
pub fn settled(model: &ModelEntry) -> Option<&CurvePoint> {
    let last = model.curve.last()?.total_variation;
    let moves = |point: &CurvePoint| (point.total_variation - last).abs() > SETTLED;
    let begin = model.curve.iter().rposition(moves).map_or(0, |i| i + 1);
    model.curve.get(begin)
}

/// What became of a seed's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Every mode has at least a tenth of its share.
    Whole,
    /// A mode is lost, and most of the mass is in the left half of the modes.
    FellLeft,
    /// A mode is lost, and most of the mass is in the right half.
    FellRight,
}

/// What became of a run, where the target's masses per mode are `target`.
pub fn fate(run: &SeedResult, target: &[f64]) -> Fate {
    let mut pairs = run.mode_mass.iter().zip(target);
    if pairs.all(|(got, share)| *got >= LOST * share) {
        return Fate::Whole;
    }
    let left: f64 = run.mode_mass.iter().take(target.len() / 2).sum();
    if left > 0.5 {
        Fate::FellLeft
    } else {
        Fate::FellRight
    }
}

/// How many of a model's runs had each fate: whole, fallen to the left, fallen to the right.
pub fn fates(model: &ModelEntry) -> [usize; 3] {
    let count = |wanted| {
        let runs = model.ensemble.iter();
        runs.filter(|run| fate(run, &model.target_mode_mass) == wanted)
            .count()
    };
    [Fate::Whole, Fate::FellLeft, Fate::FellRight].map(count)
}

/// How many of a model's runs collapsed, in words: `none of 16`, `all 16`, `three of 16`.
pub fn collapsed(model: &ModelEntry) -> String {
    let [whole, left, right] = fates(model);
    let all = whole + left + right;
    match left + right {
        0 => format!("none of {all}"),
        some if some == all => format!("all {all}"),
        some => format!("{} of {all}", spelled(some)),
    }
}

/// A run's dot in the strip of its model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// Where it stands along the axis of total variation.
    pub place: f64,
    pub fate: Fate,
    /// Its row, counted from the middle one: 0, 1, -1, 2, ...
    pub row: i32,
}

/// Rows of a strip.
pub const ROWS: usize = 5;

/// The dots of a model's runs (see [`apart`]).
pub fn dots(model: &ModelEntry, width: f64) -> Vec<Dot> {
    let runs = model.ensemble.iter();
    let runs = runs.map(|run| (run.total_variation, fate(run, &model.target_mode_mass)));
    apart(runs.collect(), width)
}

/// Dots for runs with these total variations, from left to right; those less than `width` apart
/// stand above and below each other; where these are too many for the rows, they stand around their
/// mean in columns, the runs of one fate together.
pub fn apart(mut runs: Vec<(f64, Fate)>, width: f64) -> Vec<Dot> {
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut dots = Vec::new();
    while let Some(&(first, _)) = runs.first() {
        let covered = runs.partition_point(|(value, _)| value - first < width);
        let mut group: Vec<(f64, Fate)> = runs.drain(..covered.max(1)).collect();
        group.sort_by_key(|&(_, fate)| fate);
        let mean = group.iter().map(|run| run.0).sum::<f64>() / group.len() as f64;
        let columns = group.len().div_ceil(ROWS);
        dots.extend(group.into_iter().enumerate().map(|(number, run)| {
            let step = (number % ROWS) as i32;
            let column = (number / ROWS) as f64 - 0.5 * (columns - 1) as f64;
            Dot {
                place: match columns {
                    1 => run.0,
                    _ => mean + width * column,
                },
                fate: run.1,
                row: if step % 2 == 1 {
                    (step + 1) / 2
                } else {
                    -step / 2
                },
            }
        }));
    }
    dots
}

/// The median of the total variation over a model's runs; none without any.
pub fn median(model: &ModelEntry) -> Option<f64> {
    let mut values: Vec<f64> = model
        .ensemble
        .iter()
        .map(|run| run.total_variation)
        .collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(0.5 * (values[low] + values[high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(runs: &[(f64, [f64; 2])]) -> ModelEntry {
        let json = include_str!("../../pretrained/manifest.json");
        let mut models = gflownet_tour_core::weights::manifest::parse("m", json)
            .unwrap()
            .models;
        let mut model = models.remove(0);
        let run = model.ensemble[0].clone();
        model.target_mode_mass = vec![0.5, 0.5];
        model.ensemble = runs
            .iter()
            .map(|&(total_variation, mass)| SeedResult {
                total_variation,
                mode_mass: mass.into(),
                ..run.clone()
            })
            .collect();
        model
    }

    #[test]
    fn typed_iterations_go_to_the_nearest_in_their_direction() {
        let iterations = [0, 25, 50, 1_000, 5_000];
        for (now, typed, expected) in [
            (2, 51.0, 3),
            (2, 49.0, 1),
            (2, 50.0, 2),
            (0, 900.0, 3),
            (4, 1e9, 4),
            (0, -3.0, 0),
            (3, f64::NAN, 3),
        ] {
            assert_eq!(toward(&iterations, now, typed), expected, "{now} {typed}");
        }
        assert_eq!(toward(&[], 0, 7.0), 0);
    }

    #[test]
    fn axes_hold_their_values_and_name_round_ones() {
        let axis = Axis::decades([0.002, 30.0, f64::NAN].into_iter());
        assert_eq!((axis.lo, axis.hi), (0.001, 100.0));
        assert!((axis.share(1.0) - 0.6).abs() < 1e-12);
        assert!((axis.value(axis.share(7.0)) - 7.0).abs() < 1e-9);
        assert_eq!((axis.share(1e-9), axis.share(f64::NAN)), (0.0, 0.0));
        let named: Vec<i32> = axis
            .ticks(3)
            .iter()
            .map(|t| t.log10().round() as i32)
            .collect();
        assert_eq!(named, [-3, -1, 1]);
        let axis = Axis::units([-1.9, 1.4].into_iter());
        assert_eq!((axis.lo, axis.hi), (-2.0, 2.0));
        assert_eq!(axis.ticks(10), [-2.0, -1.0, 0.0, 1.0, 2.0]);
        assert_eq!(axis.share(0.0), 0.5);
        assert_eq!(
            Axis::units(std::iter::empty()),
            Axis::units([0.0, 1.0].into_iter())
        );
    }

    #[test]
    fn a_path_runs_from_the_lower_left_to_the_upper_right() {
        let axis = Axis {
            lo: 0.0,
            hi: 2.0,
            is_log: false,
        };
        let points = [(0.0, 0.0), (1.0, 1.0), (2.0, 5.0)];
        assert_eq!(
            path(points.into_iter(), axis, axis),
            "M0 1000L500 500L1000 0"
        );
    }

    #[test]
    fn the_nearest_point_is_found() {
        let curve = model(&[]).curve;
        assert_eq!(nearest(&curve, 0.0), 0);
        assert_eq!(nearest(&curve, 1e9), curve.len() - 1);
        assert_eq!(nearest(&curve, curve[7].iteration as f64 + 0.1), 7);
        assert_eq!(nearest(&[], 3.0), 0);
    }

    #[test]
    fn runs_are_whole_or_fell_to_a_side() {
        let model = model(&[
            (0.1, [0.6, 0.4]),
            (0.5, [1.0, 0.0]),
            (0.47, [0.04, 0.96]),
            (0.3, [0.2, 0.8]),
        ]);
        assert_eq!(fates(&model), [2, 1, 1]);
        assert_eq!(collapsed(&model), "two of 4");
        assert_eq!(collapsed(&self::model(&[(0.1, [0.5, 0.5])])), "none of 1");
        assert_eq!(collapsed(&self::model(&[(0.5, [0.0, 1.0])])), "all 1");
        assert_eq!(median(&model), Some(0.385));
        assert_eq!(median(&self::model(&[])), None);
    }

    #[test]
    fn dots_that_would_cover_each_other_stand_apart() {
        let mut runs = vec![(0.5, [1.0, 0.0]); 4];
        runs.extend([(0.5, [0.0, 1.0]); 3]);
        runs.push((0.1, [0.5, 0.5]));
        let dots = dots(&model(&runs), 0.01);
        assert_eq!((dots[0].place, dots[0].row), (0.1, 0));
        let rows: Vec<i32> = dots[1..].iter().map(|dot| dot.row).collect();
        assert_eq!(rows, [0, 1, -1, 2, -2, 0, 1]);
        for (number, dot) in dots[1..].iter().enumerate() {
            let place = if number < ROWS { 0.495 } else { 0.505 };
            assert!((dot.place - place).abs() < 1e-12, "{dot:?}");
        }
        assert!(dots[1..5].iter().all(|dot| dot.fate == Fate::FellLeft));
    }

    #[test]
    fn a_curve_settles_where_it_moves_no_more() {
        let mut model = model(&[]);
        for (i, point) in model.curve.iter_mut().enumerate() {
            point.total_variation = if i < 9 {
                0.9
            } else {
                0.5 + 0.001 * (i % 3) as f64
            };
        }
        assert_eq!(settled(&model), model.curve.get(9));
    }
}
