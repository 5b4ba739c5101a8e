//! What a figure shows, as plain numbers: curves, bars and trajectories. How it is drawn is
//! [`plot`](super)'s business.

use gflownet_tour_core::experiment::{self, Experiment};
use gflownet_tour_core::message::{BatchResult, PLACEHOLDER_STD};
use gflownet_tour_core::mixture::{Mode, normal_between};
use gflownet_tour_core::policy::Policy;
use gflownet_tour_core::rollout::Rollout;

/// Histogram bins over the plotted range.
pub const BINS: u32 = 80;
/// Cells of the exact density over the plotted range.
pub const CELLS: u32 = 400;
/// Trajectories drawn as lines.
pub const PATHS: u32 = 120;

/// A curve as points (x, density).
pub type Curve = Vec<(f64, f64)>;

/// What a figure's samplers walk over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landscape<'a> {
    /// The target's modes.
    pub modes: &'a [Mode],
    /// The state S0.
    pub start: f64,
    /// The horizon N.
    pub steps: usize,
}

impl Landscape<'_> {
    /// The part of the x-axis that is shown.
    pub fn plot_range(&self) -> (f64, f64) {
        experiment::plot_range(self.modes, self.start)
    }
}

impl<'a> From<&'a Experiment> for Landscape<'a> {
    fn from(experiment: &'a Experiment) -> Self {
        Landscape {
            modes: experiment.modes,
            start: experiment.start,
            steps: experiment.steps,
        }
    }
}

/// A sampler's terminal density, samples and trajectories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// The horizon N.
    pub steps: usize,
    /// Samples per bin, as a density; empty when nothing was sampled.
    pub histogram: Vec<f32>,
    /// The exact terminal density, averaged over each of equal cells; empty when not known.
    pub density: Vec<f32>,
    /// Row-major [paths, N + 1].
    pub paths: Vec<f32>,
}

impl Picture {
    /// The picture of an engine's answer.
    pub fn of(batch: &BatchResult, experiment: &Experiment) -> Self {
        Picture {
            steps: experiment.steps,
            histogram: batch.histogram.clone(),
            density: batch.density.clone(),
            paths: batch.paths.clone(),
        }
    }

    /// The picture of the placeholder policy at T = 1: a random walk whose end is normal, with
    /// variance N times that of a step. Small enough to be made where it is drawn, so that there
    /// is something to see before an engine runs.
    pub fn placeholder(experiment: &Experiment) -> Self {
        let (lo, hi) = experiment.plot_range();
        let rollout = Rollout {
            start: experiment.start,
            steps: experiment.steps,
            sigma_scale: 1.0,
            extra_std: 0.0,
            seed: experiment::DEFAULT_SEED,
            first: 0,
        };
        let walks = rollout.draw(&Policy::<f32>::placeholder(1, PLACEHOLDER_STD), 1_000);
        let bin_width = (hi - lo) / f64::from(BINS);
        let mut histogram = vec![0.0; BINS as usize];
        let share = (1.0 / (walks.count() as f64 * bin_width)) as f32;
        for end in walks.terminals() {
            let bin = ((f64::from(end) - lo) / bin_width).floor();
            if bin >= 0.0 && bin < f64::from(BINS) {
                histogram[bin as usize] += share;
            }
        }
        let std = PLACEHOLDER_STD * (experiment.steps as f64).sqrt();
        let width = (hi - lo) / f64::from(CELLS);
        let density = (0..CELLS)
            .map(|cell| {
                let z = |x: f64| (x - experiment.start) / std;
                let a = lo + f64::from(cell) * width;
                (normal_between(z(a), z(a + width)) / width) as f32
            })
            .collect();
        let drawn = PATHS as usize * (experiment.steps + 1);
        Picture {
            steps: experiment.steps,
            histogram,
            density,
            paths: walks.states.into_iter().take(drawn).collect(),
        }
    }

    /// The largest value of the exact density; 0 when it is not known.
    pub fn peak(&self) -> f64 {
        self.density
            .iter()
            .fold(0.0, |peak, &d| peak.max(f64::from(d)))
    }

    /// Where the density is largest, in the plotted `range`.
    pub fn peak_place(&self, range: (f64, f64)) -> Option<f64> {
        let (cell, _) = self
            .density
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))?;
        let width = (range.1 - range.0) / self.density.len() as f64;
        Some(range.0 + (cell as f64 + 0.5) * width)
    }
}

/// The centres of `cells` equal cells of `range`.
pub fn centres(range: (f64, f64), cells: usize) -> impl Iterator<Item = f64> {
    let width = (range.1 - range.0) / cells as f64;
    (0..cells).map(move |cell| range.0 + (cell as f64 + 0.5) * width)
}

/// The target's density over the plotted range.
pub fn target_curve(experiment: &Experiment) -> Curve {
    let target = experiment.target();
    centres(experiment.plot_range(), CELLS as usize)
        .map(|x| (x, target.density(x)))
        .collect()
}

/// The density of the tempered target R^(1/temperature) over the plotted range.
pub fn tempered_curve(experiment: &Experiment, temperature: f64) -> Curve {
    let target = experiment.target();
    let tempered = target.tempered(temperature);
    centres(experiment.plot_range(), CELLS as usize)
        .map(|x| (x, tempered.density(x)))
        .collect()
}

/// Total variation, in [0, 1], between a density averaged over equal cells of `range` and a curve
/// known at their centres. What lies outside the range counts as if it agreed.
pub fn total_variation(density: &[f32], curve: &[(f64, f64)], range: (f64, f64)) -> f64 {
    let width = (range.1 - range.0) / density.len().max(1) as f64;
    let distance: f64 = density
        .iter()
        .zip(curve)
        .map(|(&d, point)| (f64::from(d) - point.1).abs())
        .sum();
    0.5 * distance * width
}

/// The total variation that a perfect sampler shows, on average, when `samples` of its samples are
/// counted in the bins of the plot: what chance alone does. Each bin's count is taken as normal.
pub fn chance(experiment: &Experiment, samples: u32) -> f64 {
    let (target, range) = (experiment.target(), experiment.plot_range());
    let half = 0.5 * (range.1 - range.0) / f64::from(BINS);
    let deviations = centres(range, BINS as usize).map(|x| {
        let share = target.mass_between(x - half, x + half);
        let variance = share * (1.0 - share) / f64::from(samples);
        (2.0 * variance / std::f64::consts::PI).sqrt()
    });
    0.5 * deviations.sum::<f64>()
}

/// The mean of `of` under a density averaged over equal cells of `range`, of which the part that
/// lies in the range counts as the whole.
pub fn mean_of(density: &[f32], range: (f64, f64), of: impl Fn(f64) -> f64) -> f64 {
    let cells = density.iter().map(|&d| f64::from(d));
    let (sum, mass) = centres(range, density.len())
        .zip(cells)
        .fold((0.0, 0.0), |(sum, mass), (x, d)| {
            (sum + d * of(x), mass + d)
        });
    sum / mass
}

/// The top of the density axis. It follows the target, so that it stays put while the temperature
/// is dragged, gives way to a taller model, and stops at three times the target's peak: a spike
/// taller than that is cut, and the plot says so.
pub fn axis_top(target_peak: f64, model_peak: f64) -> f64 {
    (1.15 * model_peak).clamp(1.6 * target_peak, 3.0 * target_peak)
}

/// The outline of a histogram's bars over `range`, as steps no higher than `top`.
pub fn outline(histogram: &[f32], range: (f64, f64), top: f64) -> Curve {
    let bin = (range.1 - range.0) / histogram.len().max(1) as f64;
    let step = |(i, &density): (usize, &f32)| {
        let (a, up) = (range.0 + i as f64 * bin, f64::from(density).min(top));
        [(a, up), (a + bin, up)]
    };
    let steps = histogram.iter().enumerate().flat_map(step);
    let (first, last) = ((range.0, 0.0), (range.1, 0.0));
    [first].into_iter().chain(steps).chain([last]).collect()
}

/// Rows of the numbers of a figure as a table.
pub const ROWS: usize = 40;

/// The means over [`ROWS`] equal parts of the plotted range of what is known on equal cells of it;
/// empty where it is not known.
pub fn in_rows(cells: &[f32]) -> Vec<f64> {
    let count = cells.len() / ROWS;
    if count == 0 {
        return Vec::new();
    }
    let mean = |part: &[f32]| part.iter().map(|&v| f64::from(v)).sum::<f64>() / part.len() as f64;
    cells.chunks(count).take(ROWS).map(mean).collect()
}

/// The pieces of a line through `points` that lie in the box of `x` and `y` (lowest, highest).
pub fn within(points: &[(f64, f64)], x: (f64, f64), y: (f64, f64)) -> Vec<Curve> {
    let mut pieces: Vec<Curve> = Vec::new();
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let step = (to.0 - from.0, to.1 - from.1);
        // The part of the segment that is inside, as shares of its length (Liang and Barsky).
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        for (at, by, (lo, hi)) in [(from.0, step.0, x), (from.1, step.1, y)] {
            if by == 0.0 {
                if at < lo || at > hi {
                    leave = -1.0;
                }
            } else {
                let (a, b) = ((lo - at) / by, (hi - at) / by);
                enter = enter.max(a.min(b));
                leave = leave.min(a.max(b));
            }
        }
        if enter > leave {
            continue;
        }
        // The end itself comes back unrounded, so that the next segment is seen to join it.
        let point = |share: f64| match share {
            1.0 => to,
            share => (from.0 + share * step.0, from.1 + share * step.1),
        };
        match pieces.last_mut().filter(|_| enter == 0.0) {
            Some(piece) if piece.last() == Some(&from) => piece.push(point(leave)),
            _ => pieces.push(vec![point(enter), point(leave)]),
        }
    }
    pieces
}

/// A short hash of a histogram (FNV-1a), by which tests tell one picture from another.
pub fn fingerprint(histogram: &[f32]) -> String {
    let hash = histogram
        .iter()
        .flat_map(|value| value.to_bits().to_le_bytes())
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    format!("{hash:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::experiment::EXPERIMENTS;

    #[test]
    fn the_placeholder_is_a_density_and_its_samples_agree_with_it() {
        for experiment in &EXPERIMENTS {
            let (lo, hi) = experiment.plot_range();
            let picture = Picture::placeholder(experiment);
            let integral = |values: &[f32]| {
                let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
                sum * (hi - lo) / values.len() as f64
            };
            assert!((integral(&picture.density) - 1.0).abs() < 1e-4);
            assert!((integral(&picture.histogram) - 1.0).abs() < 1e-2);
            assert_eq!(picture.paths.len(), PATHS as usize * (experiment.steps + 1));
            let variance = experiment.steps as f64 * PLACEHOLDER_STD.powi(2);
            let expected = 1.0 / (2.0 * std::f64::consts::PI * variance).sqrt();
            assert!((picture.peak() / expected - 1.0).abs() < 1e-2);
            let place = picture.peak_place((lo, hi)).unwrap();
            assert!((place - experiment.start).abs() < (hi - lo) / f64::from(CELLS));
        }
    }

    #[test]
    fn the_axis_stays_put_until_the_model_is_taller() {
        assert_eq!(axis_top(1.0, 0.2), axis_top(1.0, 1.3));
        assert!(axis_top(1.0, 2.0) > axis_top(1.0, 1.3));
        assert_eq!(axis_top(1.0, 50.0), 3.0);
    }

    #[test]
    fn at_temperature_one_both_curves_are_the_target() {
        let experiment = &EXPERIMENTS[4];
        for (a, b) in target_curve(experiment)
            .iter()
            .zip(tempered_curve(experiment, 1.0))
        {
            assert!((a.1 - b.1).abs() < 1e-12);
        }
    }

    #[test]
    fn total_variation_is_zero_at_home_and_one_far_away() {
        let experiment = &EXPERIMENTS[0];
        let (range, curve) = (experiment.plot_range(), target_curve(experiment));
        let same: Vec<f32> = curve.iter().map(|point| point.1 as f32).collect();
        assert!(total_variation(&same, &curve, range) < 1e-6);
        let mut spike = vec![0.0; CELLS as usize];
        spike[0] = (f64::from(CELLS) / (range.1 - range.0)) as f32;
        assert!((total_variation(&spike, &curve, range) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn chance_is_what_perfect_samples_show() {
        use gflownet_tour_core::noise::ThreefryRng;
        let experiment = &EXPERIMENTS[4];
        let (target, (lo, hi)) = (experiment.target(), experiment.plot_range());
        let width = (hi - lo) / f64::from(BINS);
        let mut rng = ThreefryRng::new(4, 0);
        let (samples, repeats) = (500, 100);
        let mut sum = 0.0;
        for _ in 0..repeats {
            let mut counts = vec![0.0; BINS as usize];
            for _ in 0..samples {
                let bin = ((target.sample(&mut rng) - lo) / width) as usize;
                counts[bin.min(BINS as usize - 1)] += 1.0 / f64::from(samples);
            }
            let distance = |(bin, count): (usize, &f64)| {
                let a = lo + bin as f64 * width;
                (count - target.mass_between(a, a + width)).abs()
            };
            sum += 0.5 * counts.iter().enumerate().map(distance).sum::<f64>();
        }
        let measured = sum / f64::from(repeats);
        let expected = chance(experiment, samples);
        assert!(
            (measured / expected - 1.0).abs() < 0.05,
            "{measured} {expected}"
        );
    }

    #[test]
    fn means_under_a_density_are_those_of_the_target() {
        let experiment = &EXPERIMENTS[4];
        let (range, target) = (experiment.plot_range(), experiment.target());
        let curve = target_curve(experiment);
        let density: Vec<f32> = curve.iter().map(|point| point.1 as f32).collect();
        let mean = mean_of(&density, range, |x| x);
        let var = mean_of(&density, range, |x| (x - mean).powi(2));
        assert!((mean - target.mean()).abs() < 1e-2);
        assert!((var.sqrt() - target.std()).abs() < 1e-2);
    }

    #[test]
    fn outlines_go_up_and_down_each_bar() {
        let steps = outline(&[0.0, 2.0, 1.0], (-3.0, 3.0), 1.5);
        let expected = [
            (-3.0, 0.0),
            (-3.0, 0.0),
            (-1.0, 0.0),
            (-1.0, 1.5),
            (1.0, 1.5),
            (1.0, 1.0),
            (3.0, 1.0),
            (3.0, 0.0),
        ];
        assert_eq!(steps, expected);
        assert_eq!(outline(&[], (0.0, 1.0), 1.0), [(0.0, 0.0), (1.0, 0.0)]);
    }

    #[test]
    fn rows_are_means_and_lose_nothing() {
        let cells: Vec<f32> = (0..CELLS).map(|cell| cell as f32).collect();
        let rows = in_rows(&cells);
        assert_eq!((rows.len(), rows[0], rows[39]), (ROWS, 4.5, 394.5));
        assert_eq!(in_rows(&vec![0.5; BINS as usize]), [0.5; ROWS]);
        assert_eq!(in_rows(&[]), [] as [f64; 0]);
    }

    /// Plotters moves what is out of range to the edge, which drew walks that never were.
    #[test]
    fn lines_are_cut_where_they_leave_the_box() {
        let unit = (0.0, 1.0);
        let out_and_in = [(0.5, 0.0), (1.5, 0.5), (0.5, 1.0)];
        assert_eq!(
            within(&out_and_in, unit, unit),
            [vec![(0.5, 0.0), (1.0, 0.25)], vec![(1.0, 0.75), (0.5, 1.0)]]
        );
        let inside = [(0.0, 0.1), (0.5, 0.9), (1.0, 0.1)];
        assert_eq!(within(&inside, unit, unit), [inside.to_vec()]);
        let across = [(-1.0, 0.5), (2.0, 0.5)];
        let cut = within(&across, unit, unit);
        assert_eq!(cut.len(), 1);
        assert!(cut[0][0].0.abs() < 1e-12 && (cut[0][1].0 - 1.0).abs() < 1e-12);
        assert!(within(&[(0.0, 2.0), (1.0, 2.0)], unit, unit).is_empty());
        assert!(within(&[(-1.0, 0.5), (0.5, 2.1)], unit, unit).is_empty());
    }

    #[test]
    fn fingerprints_tell_histograms_apart() {
        assert_eq!(fingerprint(&[0.1, 0.2]), fingerprint(&[0.1, 0.2]));
        assert_ne!(fingerprint(&[0.1, 0.2]), fingerprint(&[0.2, 0.1]));
    }
}
