//! A picture of a trained model: what it samples, how it gets there, and how it was trained.

use super::report::Scored;
use super::{noise_seed, stream};
use crate::mixture::Mixture;
use crate::rollout::{Rollout, Trajectories};
use crate::weights::manifest::CurvePoint;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use std::error::Error;
use std::ops::Range;

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Trajectories behind the histogram.
const SAMPLES: usize = 10_000;
/// Trajectories drawn as lines.
const PATHS: usize = 120;
const BINS: usize = 80;

// One meaning per colour, as on the page (Okabe and Ito's palette).
const TARGET: RGBColor = RGBColor(40, 40, 40);
const MODEL: RGBColor = RGBColor(0, 114, 178);
const SAMPLE: RGBColor = RGBColor(173, 208, 232);
const START: RGBColor = RGBColor(240, 228, 66);
const MODE: RGBColor = RGBColor(150, 150, 150);

/// The picture of a scored run as SVG text; `range` is the part of the x-axis that it shows.
///
/// # Errors
/// When plotters cannot draw, which no finite input brings about.
pub fn svg(
    scored: &Scored,
    curve: &[CurvePoint],
    range: (f64, f64),
) -> Result<String, Box<dyn Error>> {
    let rollout = Rollout {
        start: scored.recipe.start,
        steps: scored.recipe.steps,
        sigma_scale: 1.0,
        extra_std: 0.0,
        seed: noise_seed(scored.seed, stream::FIGURE),
        first: 0,
    };
    let trajectories = rollout.draw(&scored.trained.forward, SAMPLES);
    let target = Mixture::new(scored.recipe.modes.clone());
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (1_100, 760)).into_drawing_area();
        root.fill(&WHITE)?;
        let title = format!(
            "{}, seed {}: TV {:.4}, log Z {:.3} (true {:.3})",
            scored.name,
            scored.seed,
            scored.metrics.total_variation,
            scored.trained.log_z,
            target.log_partition()
        );
        let root = root.titled(&title, ("sans-serif", 22))?;
        let panels = root.split_evenly((2, 2));
        let x = range.0..range.1;
        densities(&panels[0], scored, &target, &trajectories, x.clone())?;
        paths(&panels[2], &target, &trajectories, x)?;
        losses(&panels[1], curve)?;
        log_partitions(&panels[3], curve, target.log_partition())?;
        root.present()?;
    }
    Ok(text)
}

/// A panel with the axes that X and Y make.
type Chart<'a, 'b, X, Y> = ChartContext<
    'b,
    SVGBackend<'a>,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, <Y as AsRangedCoord>::CoordDescType>,
>;

fn chart<'a, 'b, X, Y>(
    panel: &'b Panel<'a>,
    x: X,
    y: Y,
    labels: [&str; 2],
    y_tick: &dyn Fn(&f64) -> String,
) -> Result<Chart<'a, 'b, X, Y>, Box<dyn Error>>
where
    X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
{
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(62)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc(labels[0])
        .x_label_formatter(&number)
        .y_label_formatter(y_tick)
        .y_desc(labels[1])
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .draw()?;
    Ok(chart)
}

fn densities(
    panel: &Panel,
    scored: &Scored,
    target: &Mixture,
    trajectories: &Trajectories<f32>,
    x: Range<f64>,
) -> Result<(), Box<dyn Error>> {
    const POINTS: usize = 400;
    let at = |i: usize, n: usize| x.start + (x.end - x.start) * i as f64 / n as f64;
    let exact = scored.density.points(x.start, x.end, POINTS + 1);
    let width = (x.end - x.start) / BINS as f64;
    let mut bins = [0.0; BINS];
    for terminal in trajectories.terminals().map(f64::from) {
        // As a density: the share of all samples over the bin's width.
        if x.contains(&terminal) {
            let bin = ((terminal - x.start) / width) as usize;
            bins[bin.min(BINS - 1)] += 1.0 / (trajectories.count() as f64 * width);
        }
    }
    let reward: Vec<f64> = (0..=POINTS)
        .map(|i| target.density(at(i, POINTS)))
        .collect();
    let highest = [&exact[..], &reward, &bins]
        .concat()
        .into_iter()
        .fold(0.0, f64::max);
    let mut chart = chart(
        panel,
        x.clone(),
        0.0..1.1 * highest,
        ["x", "density"],
        &number,
    )?;
    chart
        .draw_series(bins.iter().enumerate().map(|(i, &height)| {
            let corners = [(at(i, BINS), 0.0), (at(i + 1, BINS), height)];
            Rectangle::new(corners, SAMPLE.filled())
        }))?
        .label("samples")
        .legend(|(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], SAMPLE.filled()));
    for (label, color, values) in [
        ("model, exact", MODEL, exact),
        ("reward / Z", TARGET, reward),
    ] {
        let line = values
            .into_iter()
            .enumerate()
            .map(|(i, y)| (at(i, POINTS), y));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 14))
        .draw()?;
    Ok(())
}

fn paths(
    panel: &Panel,
    target: &Mixture,
    trajectories: &Trajectories<f32>,
    x: Range<f64>,
) -> Result<(), Box<dyn Error>> {
    let steps = trajectories.steps as f64;
    // Time runs downwards, as on the page.
    let labels = ["x", "step t"];
    let whole = |t: &f64| match t.fract() {
        0.0 => number(t),
        _ => String::new(),
    };
    let mut chart = chart(panel, x, steps..0.0, labels, &whole)?;
    for mode in target.modes() {
        let ends = [(mode.mean, 0.0), (mode.mean, steps)];
        chart.draw_series(DashedLineSeries::new(ends, 5, 4, MODE.into()))?;
    }
    chart.draw_series(trajectories.iter().take(PATHS).map(|states| {
        let points = states
            .iter()
            .enumerate()
            .map(|(t, &x)| (f64::from(x), t as f64));
        PathElement::new(points.collect::<Vec<_>>(), MODEL.mix(0.25))
    }))?;
    if let Some(start) = trajectories.states.first() {
        let at = (f64::from(*start), 0.0);
        chart.draw_series([
            Circle::new(at, 6, START.filled()),
            Circle::new(at, 6, TARGET),
        ])?;
    }
    Ok(())
}

/// A tick's label without the dust of its computation.
fn number(value: &f64) -> String {
    ((value * 1e9).round() / 1e9).to_string()
}

fn iterations(curve: &[CurvePoint]) -> Range<f64> {
    0.0..curve.last().map_or(1.0, |point| point.iteration as f64)
}

fn losses(panel: &Panel, curve: &[CurvePoint]) -> Result<(), Box<dyn Error>> {
    let losses = || curve.iter().map(|point| point.loss.max(1e-12));
    let low = losses().fold(f64::INFINITY, f64::min) / 1.5;
    let high = losses().fold(0.0, f64::max) * 1.5;
    let labels = ["iteration", "loss (nats², log scale)"];
    let mut chart = chart(
        panel,
        iterations(curve),
        (low..high).log_scale(),
        labels,
        &number,
    )?;
    let line = curve
        .iter()
        .zip(losses())
        .map(|(point, loss)| (point.iteration as f64, loss));
    chart.draw_series(LineSeries::new(line, MODEL))?;
    Ok(())
}

fn log_partitions(panel: &Panel, curve: &[CurvePoint], truth: f64) -> Result<(), Box<dyn Error>> {
    let values = || curve.iter().map(|point| point.log_z);
    let low = values().fold(truth.min(0.0), f64::min) - 0.1;
    let high = values().fold(truth.max(0.0), f64::max) + 0.1;
    let x = iterations(curve);
    let labels = ["iteration", "log Z (nats)"];
    let mut chart = chart(panel, x.clone(), low..high, labels, &number)?;
    let line = curve
        .iter()
        .map(|point| (point.iteration as f64, point.log_z));
    chart
        .draw_series(LineSeries::new(line, MODEL))?
        .label("learned")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], MODEL));
    let ends = [(x.start, truth), (x.end, truth)];
    chart
        .draw_series(DashedLineSeries::new(ends, 6, 4, TARGET.into()))?
        .label("true")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], TARGET));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(("sans-serif", 14))
        .draw()?;
    Ok(())
}
