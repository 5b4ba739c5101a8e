//! Figures as SVG: places along an axis are shares of the picture's width and height, so that one
//! picture fits every screen, and words and dots keep their size.

use crate::models::Models;
use gflownet_tour_core::balance::BackwardLoop;
use gflownet_tour_core::experiment::{EXPERIMENTS, Experiment};
use gflownet_tour_core::weights::manifest::ModelEntry;
use gflownet_tour_widgets::as_table;
use gflownet_tour_widgets::format::{UNKNOWN, fixed, percent, place};
use gflownet_tour_widgets::numbers;
use gflownet_tour_widgets::picture::{
    Curve, Picture, axis_top, centres, in_rows, mean_of, target_curve, tempered_curve,
    total_variation, within,
};
use gflownet_tour_widgets::record::{self, Axis, Fate, ROWS};
use maud::{Markup, PreEscaped, html};
use std::fmt::Write;

/// The side of the box that lines are drawn in; the picture stretches it.
const BOX: f64 = 1000.0;
/// A line may leave out points that are this near to it, in the box's units.
const NEAR: f64 = 0.6;
/// Of the walks of a batch, how many are drawn.
const WALKS: usize = 80;
/// The height of a figure with trajectories and of one without, in CSS pixels, as in the style sheet.
const TALL: f64 = 432.0;
const SHORT: f64 = 240.0;
// Around the plots, in CSS pixels.
const HEADING: f64 = 28.0;
const FOOT: f64 = 30.0;
const GAP: f64 = 10.0;

/// What a figure of densities shows.
pub struct Scene<'a> {
    pub experiment: &'a Experiment,
    pub picture: &'a Picture,
    /// The tempered target, where it is shown.
    pub tempered: Option<&'a [(f64, f64)]>,
    /// The top of the density axis, where it does not follow the curves.
    pub top: Option<f64>,
    /// Whether trajectories stand below the densities.
    pub walks: bool,
    /// The finding in words.
    pub label: &'a str,
}

/// The class that gives a model its colour.
pub fn colour(counted: BackwardLoop) -> &'static str {
    match counted {
        BackwardLoop::Correct => "model",
        _ => "bug",
    }
}

/// A share as a percentage for an attribute.
pub fn share(value: f64) -> String {
    format!("{}%", (10_000.0 * value).round() / 100.0)
}

/// A line through `points`, in the box of `x` and `y`.
pub fn line(points: &[(f64, f64)], x: (f64, f64), y: (f64, f64)) -> String {
    traced(points, x, y, 10.0)
}

/// The same, to a thousandth of the box: for lines of which there are hundreds.
fn walk(points: &[(f64, f64)], x: (f64, f64), y: (f64, f64)) -> String {
    traced(points, x, y, 1.0)
}

/// A line whose places are whole numbers of the `grain`th part of a unit. Each is told by how far it
/// is from the one before, which takes fewer letters.
fn traced(points: &[(f64, f64)], x: (f64, f64), y: (f64, f64), grain: f64) -> String {
    let mut text = String::new();
    for piece in within(points, x, y) {
        let inside: Vec<(f64, f64)> = piece.into_iter().map(|p| in_box(p, x, y)).collect();
        let mut at = (0.0, 0.0);
        for (number, (right, down)) in thinned(&inside).into_iter().enumerate() {
            match number {
                0 => text.push('M'),
                1 => text.push('l'),
                _ => text.push(' '),
            }
            let place = ((grain * right).round(), (grain * down).round());
            let step = [place.0 - at.0, place.1 - at.1].map(|step| short(step / grain));
            text.push_str(&step.join(" "));
            at = place;
        }
    }
    // A sign parts two numbers, too.
    text.replace(" -", "-")
}

/// A number without the zero that stands before its point.
fn short(value: f64) -> String {
    let text = value.to_string();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    let digits = digits
        .strip_prefix("0")
        .filter(|d| !d.is_empty())
        .unwrap_or(digits);
    format!("{sign}{digits}")
}

fn in_box((across, up): (f64, f64), x: (f64, f64), y: (f64, f64)) -> (f64, f64) {
    let along = |value: f64, (lo, hi): (f64, f64)| BOX * (value - lo) / (hi - lo);
    (along(across, x), BOX - along(up, y))
}

/// The line without the points that it hardly needs (Douglas and Peucker).
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let [first, .., last] = points else {
        return points.to_vec();
    };
    let (along, across) = (last.0 - first.0, last.1 - first.1);
    let length = along.hypot(across);
    let distance = |point: &(f64, f64)| {
        let (right, down) = (point.0 - first.0, point.1 - first.1);
        match length {
            0.0 => right.hypot(down),
            length => (along * down - across * right).abs() / length,
        }
    };
    let farthest = points
        .iter()
        .enumerate()
        .max_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
    match farthest {
        Some((at, point)) if distance(point) > NEAR => {
            let mut line = thinned(&points[..=at]);
            line.pop();
            line.extend(thinned(&points[at..]));
            line
        }
        _ => vec![*first, *last],
    }
}

/// Bars from the foot of the box, as one outline.
fn bars(heights: &[f32], top: f64) -> String {
    let width = BOX / heights.len().max(1) as f64;
    let mut outline = format!("M0 {BOX}");
    let mut at = (0.0, 10.0 * BOX);
    for (number, &height) in heights.iter().enumerate() {
        let down = BOX * (1.0 - (f64::from(height) / top).min(1.0));
        let right = width * (number + 1) as f64;
        let place = ((10.0 * right).round(), (10.0 * down).round());
        let [along, up] = [place.0 - at.0, place.1 - at.1].map(|step| short(step / 10.0));
        // Writing to a string does not fail.
        let _ = write!(outline, "v{up}h{along}");
        at = place;
    }
    let _ = write!(outline, "V{BOX}Z");
    outline
}

/// Round values on an axis, as many as fit but at most `most`.
pub fn ticks((lo, hi): (f64, f64), most: usize) -> Vec<f64> {
    let decade = 10f64.powf((hi - lo).log10().floor());
    let steps = [10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05].map(|part| part * decade);
    let inside = |step: f64| {
        (
            (lo / step - 1e-9).ceil() as i64,
            (hi / step + 1e-9).floor() as i64,
        )
    };
    let fits = |&step: &f64| {
        let (first, last) = inside(step);
        (last - first + 1) as usize <= most
    };
    let Some(step) = steps.into_iter().take_while(fits).last() else {
        return Vec::new();
    };
    let (first, last) = inside(step);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A figure of densities, with or without trajectories below.
pub fn plot(scene: &Scene) -> Markup {
    let Scene {
        experiment,
        picture,
        ..
    } = *scene;
    let height = if scene.walks { TALL } else { SHORT };
    let inner = height - HEADING - FOOT;
    let upper = match scene.walks {
        true => ((inner - GAP - HEADING) * 11.0 / 20.0).floor(),
        false => inner,
    };
    let (above, below) = (
        Band::new(HEADING, upper, height),
        Band::new(
            HEADING + upper + GAP + HEADING,
            inner - upper - GAP - HEADING,
            height,
        ),
    );
    let x = experiment.plot_range();
    let across = |value: f64| share((value - x.0) / (x.1 - x.0));
    let target = target_curve(experiment);
    let peak = target
        .iter()
        .fold(0.0, |peak: f64, point| peak.max(point.1));
    let top = scene.top.unwrap_or_else(|| axis_top(peak, picture.peak()));
    let cells = centres(x, picture.density.len());
    let density: Curve = cells
        .zip(picture.density.iter().map(|&d| f64::from(d)))
        .collect();
    let colour = colour(experiment.backward_loop);
    let densities = html! {
        (modes(experiment, &above, &across))
        (above.sheet(html! {
            @if picture.histogram.iter().any(|&bar| bar > 0.0) {
                path.bars d=(bars(&picture.histogram, top)) {}
            }
            @if let Some(tempered) = scene.tempered {
                path.tempered d=(line(tempered, x, (0.0, top))) {}
            }
            path.target d=(line(&target, x, (0.0, top))) {}
            path class=(colour) d=(line(&density, x, (0.0, top))) {}
        }))
        circle.s0 cx=(across(experiment.start)) cy=(share(above.at(0.0))) r="5.25" {}
        (above.density_axis(top))
        @if let Some(spike) = picture.peak_place(x).filter(|_| picture.peak() > top) {
            @let is_left = spike < 0.5 * (x.0 + x.1);
            text.end[!is_left].cut x=(across(spike)) y=(share(above.at(0.97)))
                dx=(if is_left { "8" } else { "-8" }) dy="9" {
                "cut: reaches " (fixed(picture.peak(), 1))
            }
        }
    };
    let last = experiment.steps as f64;
    let y = (-0.06 * last, last);
    let lowest = if scene.walks { &below } else { &above };
    html! {
        svg role="img" aria-label=(scene.label) {
            (densities)
            @if scene.walks {
                (modes(experiment, &below, &across))
                (below.sheet(html! {
                    @for states in picture.paths.chunks_exact(picture.steps + 1).take(WALKS) {
                        @let walk: Curve = states.iter().enumerate()
                            .map(|(t, &x)| (f64::from(x), t as f64)).collect();
                        path.walk d=(self::walk(&walk, x, y)) {}
                    }
                }))
                circle.s0 cx=(across(experiment.start))
                    cy=(share(below.at(-y.0 / (y.1 - y.0)))) r="5.25" {}
                @let steps: Vec<f64> = (0..=experiment.steps).map(|t| t as f64).collect();
                (below.axis("step t", &steps, y, |t| Some(fixed(t, 0))))
            }
            (foot(lowest, x))
        }
    }
}

/// The axis of x at the foot of a plot.
pub fn foot(band: &Band, x: (f64, f64)) -> Markup {
    let foot = share(band.at(0.0));
    html! {
        line.axis x1="0" x2="100%" y1=(foot) y2=(foot) {}
        @for value in ticks(x, 11) {
            svg.tick x=(share((value - x.0) / (x.1 - x.0))) y=(foot) {
                path.axis d="M0 0V4" {}
                text.middle dy="17" { (place(value)) }
            }
        }
        text.end x="100%" y=(foot) dy="28" { "x" }
    }
}

/// Thin dashed lines at the modes.
pub fn modes(experiment: &Experiment, band: &Band, across: &dyn Fn(f64) -> String) -> Markup {
    html! {
        @for mode in experiment.modes {
            line.mode x1=(across(mode.mean)) x2=(across(mode.mean))
                y1=(share(band.top)) y2=(share(band.top + band.height)) {}
        }
    }
}

/// The part of a figure that one plot has, in shares of the figure's height.
pub struct Band {
    pub top: f64,
    pub height: f64,
}

impl Band {
    pub fn new(top: f64, height: f64, whole: f64) -> Band {
        Band {
            top: top / whole,
            height: height / whole,
        }
    }

    /// The place of a share of the plot's height, counted upwards.
    pub fn at(&self, up: f64) -> f64 {
        self.top + self.height * (1.0 - up)
    }

    /// The axis of densities up to `top`.
    pub fn density_axis(&self, top: f64) -> Markup {
        // Tenths on a low axis, whole numbers on a tall one.
        let digits = if top < 2.5 { 1 } else { 0 };
        let named = |value: f64| {
            let steps = value * 10f64.powi(digits as i32);
            ((steps - steps.round()).abs() < 1e-6).then(|| fixed(value, digits))
        };
        let span = (0.0, top);
        self.axis("density (per unit of x)", &ticks(span, 7), span, named)
    }

    /// Lines drawn in the box.
    pub fn sheet(&self, lines: Markup) -> Markup {
        html! {
            svg width="100%" y=(share(self.top)) height=(share(self.height))
                viewBox={ "0 0 " (BOX) " " (BOX) } preserveAspectRatio="none" { (lines) }
        }
    }

    /// The axis at the left of values `span`: its title, and each tick that `named` names.
    pub fn axis(
        &self,
        title: &str,
        ticks: &[f64],
        span: (f64, f64),
        named: impl Fn(f64) -> Option<String>,
    ) -> Markup {
        html! {
            text x="0" y=(share(self.top)) dx="-38" dy="-11" { (title) }
            @for &value in ticks {
                @if let Some(name) = named(value) {
                    @let up = (value - span.0) / (span.1 - span.0);
                    svg.tick x="0" y=(share(self.at(up))) {
                        path.axis d="M-4 0H0" {}
                        text.end dx="-8" dy="4" { (name) }
                    }
                }
            }
        }
    }
}

/// The numbers of curves over the plotted range of `experiment`, to be opened.
pub fn as_table(experiment: &Experiment, heads: &[&str], curves: &[&[f32]]) -> Markup {
    let columns: Vec<Vec<f64>> = curves.iter().map(|curve| in_rows(curve)).collect();
    let rows = as_table::rows_over(experiment.plot_range(), &columns, 3);
    let table = as_table::html(
        "Densities over x, each a mean over an equal part of the plot",
        heads,
        &rows,
    );
    html! {
        details.as-table {
            summary { "The numbers as a table" }
            div.scroll tabindex="0" role="group" aria-label="Densities over x" { (PreEscaped(table)) }
        }
    }
}

/// The values of a curve.
pub fn values(curve: &[(f64, f64)]) -> Vec<f32> {
    curve.iter().map(|point| point.1 as f32).collect()
}

/// The figure of the policy that knows nothing.
pub fn placeholder(experiment: &Experiment, picture: &Picture) -> Markup {
    let label = format!(
        "Above, densities over x: the target has modes at {} and {}; the placeholder policy's \
         walks end around {}, where the target is low. Below, its walks from there.",
        place(experiment.modes[0].mean),
        place(experiment.modes[1].mean),
        place(experiment.start),
    );
    let scene = Scene {
        experiment,
        picture,
        tempered: None,
        top: None,
        walks: true,
        label: &label,
    };
    html! {
        figure.placeholder {
            div.plot { (plot(&scene)) }
            figcaption {
                span.key.line.target { "target" }
                span.key.line.model { "placeholder policy, exactly" }
                span.key.bar { "samples" }
                span.key.dash { "modes" }
                span.key.dot { "start, S₀" }
                span.key.line.path { "trajectories" }
            }
        }
    }
}

/// The temperatures of the panels; the first is also that of the table.
const PANELS: [f64; 3] = [COLD, 0.5, 2.0];
const COLD: f64 = 0.05;

/// What scaling the steps does, beside what tempering the target would do, and where walks end when
/// nearly all of their noise is taken away.
pub fn temperature(models: &Models) -> Markup {
    html! {
        figure.temperature-figure {
            div.panels {
                @for temperature in PANELS {
                    (panel(models, &EXPERIMENTS[0], temperature))
                }
            }
            figcaption {
                span.key.line.target { "target" }
                span.key.line.model { "model with its steps scaled by T, exactly" }
                span.key.line.tempered { "tempered target" }
                span.key.dash { "modes" }
                span.key.dot { "start, S₀" }
            }
            (panels_table(models, &EXPERIMENTS[0]))
        }
        table.wide {
            caption {
                "The models at T = " (fixed(COLD, 2))
                ": where walks end, and the mean reward there as a share of the highest"
            }
            thead {
                tr {
                    th scope="col" { "model" }
                    th scope="col" { "mean end" }
                    th scope="col" { "spread (std)" }
                    th scope="col" { "reward" }
                    th scope="col" { "reward if tempered" }
                }
            }
            tbody {
                @for experiment in &EXPERIMENTS {
                    (cold_row(models, experiment))
                }
            }
        }
    }
}

/// The numbers of the panels.
fn panels_table(models: &Models, experiment: &Experiment) -> Markup {
    let mut heads = vec!["x".to_owned(), "target".to_owned()];
    let mut curves = vec![values(&target_curve(experiment))];
    for temperature in PANELS {
        let at = fixed(temperature, 2);
        heads.extend([format!("model, T = {at}"), format!("tempered, T = {at}")]);
        curves.push(models.density(experiment, temperature).unwrap_or_default());
        curves.push(values(&tempered_curve(experiment, temperature)));
    }
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let curves: Vec<&[f32]> = curves.iter().map(Vec::as_slice).collect();
    as_table(experiment, &heads, &curves)
}

fn panel(models: &Models, experiment: &Experiment, temperature: f64) -> Markup {
    let tempered = tempered_curve(experiment, temperature);
    let density = models.density(experiment, temperature);
    let distance = density.as_ref().map_or_else(
        || UNKNOWN.to_owned(),
        |density| {
            fixed(
                total_variation(density, &tempered, experiment.plot_range()),
                2,
            )
        },
    );
    let picture = Picture {
        steps: experiment.steps,
        density: density.unwrap_or_default(),
        ..Picture::default()
    };
    let label = format!(
        "Densities over x at temperature {}: the model with scaled steps lies at total variation \
         {distance} from the tempered target.",
        fixed(temperature, 2),
    );
    let scene = Scene {
        experiment,
        picture: &picture,
        tempered: Some(&tempered),
        top: None,
        walks: false,
        label: &label,
    };
    html! {
        div.panel {
            p.panel-title {
                "T = " (fixed(temperature, 2))
                span { "model to tempered: TV " b { (distance) } }
            }
            div.plot { (plot(&scene)) }
        }
    }
}

fn cold_row(models: &Models, experiment: &Experiment) -> Markup {
    let tempered: Vec<f32> = tempered_curve(experiment, COLD)
        .iter()
        .map(|point| point.1 as f32)
        .collect();
    let density = models.density(experiment, COLD);
    let told = |tell: &dyn Fn(&[f32]) -> String| {
        density.as_deref().map_or_else(|| UNKNOWN.to_owned(), tell)
    };
    html! {
        tr {
            th scope="row" { (experiment.title) }
            td { (told(&|density| fixed(end(experiment, density).0, 2))) }
            td { (told(&|density| fixed(end(experiment, density).1, 2))) }
            td { (told(&|density| percent(reward(experiment, density), 0))) }
            td { (percent(reward(experiment, &tempered), 0)) }
        }
    }
}

/// Mean and standard deviation of where walks end.
fn end(experiment: &Experiment, density: &[f32]) -> (f64, f64) {
    let range = experiment.plot_range();
    let mean = mean_of(density, range, |x| x);
    let var = mean_of(density, range, |x| (x - mean).powi(2));
    (mean, var.sqrt())
}

/// The mean reward of a sampler, over the largest reward in the plotted range.
fn reward(experiment: &Experiment, density: &[f32]) -> f64 {
    let target = experiment.target();
    let best = target_curve(experiment)
        .into_iter()
        .fold(0.0, |best: f64, (_, density)| best.max(density));
    mean_of(density, experiment.plot_range(), |x| target.density(x)) / best
}

/// The title of a model's experiment.
pub fn title(model: &ModelEntry) -> &'static str {
    Experiment::named(&model.name).map_or("", |experiment| experiment.title)
}

/// A strip of dots for each experiment: the total variation of every seed, and the median.
pub fn seeds() -> Markup {
    /// Dots closer than this would cover each other.
    const WIDTH: f64 = 0.011;
    /// The axis: total variation from nothing to a little over a lost half.
    const AXIS: Axis = Axis {
        lo: 0.0,
        hi: 0.6,
        is_log: false,
    };
    let models = EXPERIMENTS.iter().filter_map(|e| numbers::model(e.name));
    let strips = models.filter_map(|model| Some((model, record::median(model)?)));
    html! {
        figure.seeds {
            @for (model, median) in strips {
                @let label = format!(
                    "{} seeds: median total variation {}; {} collapsed",
                    model.ensemble.len(),
                    fixed(median, 3),
                    record::collapsed(model),
                );
                p.strip-name { (title(model)) " " span { "median " (fixed(median, 3)) } }
                div class={ "strip " (colour(model.recipe.backward_loop)) } {
                    svg role="img" aria-label=(label) {
                        line.median x1=(share(AXIS.share(median))) x2=(share(AXIS.share(median)))
                            y1="8%" y2="92%" {}
                        @for dot in record::dots(model, WIDTH) {
                            @let down = 0.5 + f64::from(dot.row) / ROWS as f64 * 0.9;
                            svg.tick x=(share(AXIS.share(dot.place))) y=(share(down)) {
                                @match dot.fate {
                                    Fate::Whole => circle.run r="4" {},
                                    Fate::FellLeft => path.run d="M-5 0L5-5V5Z" {},
                                    Fate::FellRight => path.run d="M5 0L-5-5V5Z" {},
                                }
                            }
                        }
                    }
                }
            }
            div.x-ticks {
                svg aria-hidden="true" {
                    @for tenth in 0..=6 {
                        @let value = f64::from(tenth) / 10.0;
                        text.middle x=(share(AXIS.share(value))) y="16" { (fixed(value, 1)) }
                    }
                }
            }
            p.x-name { "total variation" }
            figcaption {
                span.key.seed { "a run" }
                span.key.seed.left { "collapsed to the left" }
                span.key.seed.right { "collapsed to the right" }
                span.key.median { "median" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_line_stays_near_and_keeps_its_ends() {
        let wave: Vec<(f64, f64)> = (0..400)
            .map(|i| f64::from(i) * 2.5)
            .map(|x| (x, 500.0 + 400.0 * (x / 90.0).sin()))
            .collect();
        let thin = thinned(&wave);
        assert!(thin.len() < 150, "{}", thin.len());
        assert_eq!((thin.first(), thin.last()), (wave.first(), wave.last()));
        for point in &wave {
            let near = thin.windows(2).any(|pair| {
                let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
                let along = (point.0 - ax) / (bx - ax);
                (0.0..=1.0).contains(&along)
                    && (ay + along * (by - ay) - point.1).abs() < 8.0 * NEAR
            });
            assert!(near, "{point:?}");
        }
        assert_eq!(thinned(&[(0.0, 0.0), (5.0, 0.1), (9.0, 0.0)]).len(), 2);
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            ticks((0.0, 1.0), 7),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(
            ticks((-3.2, 4.7), 11),
            [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
        );
        for top in [0.37, 0.71, 0.9, 1.7, 6.4, 19.0] {
            let ticks = ticks((0.0, top), 7);
            assert!((3..=7).contains(&ticks.len()), "{top}: {ticks:?}");
        }
    }

    #[test]
    fn bars_are_one_outline() {
        assert_eq!(
            bars(&[0.5, 2.0, 1.0], 1.0),
            "M0 1000v-500h333.3v-500h333.4v0h333.3V1000Z"
        );
    }

    #[test]
    fn a_line_is_told_by_its_steps_and_does_not_drift() {
        let points = [(0.0, 0.0), (0.1, 0.95), (0.20004, 0.0), (1.0, 0.49996)];
        let unit = (0.0, 1.0);
        assert_eq!(line(&points, unit, unit), "M0 1000l100-950 100 950 800-500");
        assert_eq!(walk(&points[..2], unit, (0.0, 3.0)), "M0 1000l100-317");
        for (value, text) in [
            (0.0, "0"),
            (0.5, ".5"),
            (-0.5, "-.5"),
            (-12.0, "-12"),
            (10.2, "10.2"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
