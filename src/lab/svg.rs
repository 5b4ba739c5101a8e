//! The laboratory's pictures as SVG, made from the same records as those on the screen: text that
//! stands by itself in the light theme's colours, with classes by which a page can give it others.

use super::ensemble::{BandPoint, Ensemble};
use super::record::Record;
use gflownet_tour_core::message::SeedPoint;
use gflownet_tour_widgets::format::{fixed, superscript, thousands};
use gflownet_tour_widgets::picture::{CELLS, axis_top, centres, within};
use gflownet_tour_widgets::record::{Axis, Fate, ROWS};
use std::fmt::Write;

/// The width of a picture that is a file.
pub const WIDTH: f64 = 720.0;

/// What is drawn in one colour: a class's name, the light theme's property and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ink(&'static str, &'static str, &'static str);

const TARGET: Ink = Ink("target", "--ink", "#1d1f21");
const MODEL: Ink = Ink("model", "--model", "#0072b2");
const SAMPLE: Ink = Ink("sample", "--sample", "#bfdcf0");
const PATH: Ink = Ink("path", "--path", "#17507c");
const START: Ink = Ink("start", "--start", "#f0e442");
const MODE: Ink = Ink("mode", "--mode", "#73736e");
const AXIS: Ink = Ink("axis", "--axis", "#7d7d77");
const LABEL: Ink = Ink("label", "--label", "#54585e");
const LEFT: Ink = Ink("left", "--bug", "#bb4b00");
const RIGHT: Ink = Ink("right", "--flow", "#5e3c99");
const PAPER: Ink = Ink("paper", "--paper", "#fffefa");

/// Left and right of all planes.
const MARGINS: (f64, f64) = (52.0, 12.0);
/// Above a plane, for its name, and below one with an axis.
const HEADING: f64 = 24.0;
const FOOT: f64 = 36.0;

/// A picture in the making.
struct Svg {
    text: String,
    width: f64,
}

/// A plane of a picture: where it is, and what its edges stand for.
#[derive(Clone, Copy)]
struct Plane {
    /// Left, top, width and height.
    place: [f64; 4],
    x: Axis,
    y: Axis,
}

fn linear((lo, hi): (f64, f64)) -> Axis {
    Axis {
        lo,
        hi,
        is_log: false,
    }
}

impl Plane {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, top, width, height] = self.place;
        (
            left + width * self.x.share(x),
            top + height * (1.0 - self.y.share(y)),
        )
    }

    /// The `d` of a path through the points, in the pieces that are in the plane; what is not a
    /// number makes a gap. Log axes hold what is beyond them at their ends, as the curves do.
    fn line(&self, points: &[(f64, f64)]) -> String {
        let mut text = String::new();
        let is_known = |point: &(f64, f64)| point.0.is_finite() && point.1.is_finite();
        for part in points.split(|point| !is_known(point)) {
            let pieces = match self.y.is_log {
                true => vec![part.to_vec()],
                false => within(part, (self.x.lo, self.x.hi), (self.y.lo, self.y.hi)),
            };
            for piece in pieces {
                for (i, point) in piece.into_iter().enumerate() {
                    let (across, down) = self.at(point);
                    let command = if i == 0 { 'M' } else { 'L' };
                    // Writing to a string does not fail.
                    let _ = write!(text, "{command}{across:.1} {down:.1}");
                }
            }
        }
        text
    }
}

impl Svg {
    /// A picture of this size, with what it shows in words.
    fn new((width, height): (f64, f64), title: &str) -> Self {
        let title = escaped(title);
        let Ink(class, _, paper) = PAPER;
        Svg {
            text: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
                 width=\"{width}\" height=\"{height}\" role=\"img\" font-family=\"sans-serif\" \
                 font-size=\"12\">\n<title>{title}</title>\n\
                 <rect class=\"{class}\" width=\"{width}\" height=\"{height}\" fill=\"{paper}\"/>\n"
            ),
            width,
        }
    }

    fn end(mut self) -> String {
        self.text += "</svg>\n";
        self.text
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(element);
        self.text.push('\n');
    }

    fn stroke(&mut self, Ink(class, _, colour): Ink, d: &str, width: f64, more: &str) {
        if !d.is_empty() {
            self.add(format_args!(
                "<path class=\"line {class}\" d=\"{d}\" fill=\"none\" stroke=\"{colour}\" \
                 stroke-width=\"{width}\"{more}/>"
            ));
        }
    }

    fn fill(&mut self, Ink(class, _, colour): Ink, d: &str, more: &str) {
        if !d.is_empty() {
            self.add(format_args!(
                "<path class=\"area {class}\" d=\"{d}\" fill=\"{colour}\"{more}/>"
            ));
        }
    }

    fn words(&mut self, (x, y): (f64, f64), anchor: &str, words: &str) {
        let Ink(class, _, colour) = LABEL;
        let words = escaped(words);
        self.add(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" \
             fill=\"{colour}\">{words}</text>"
        ));
    }

    /// A plane of this height below `top`, with its name and the ticks of its y-axis.
    fn plane(&mut self, (top, height): (f64, f64), (x, y): (Axis, Axis), name: &str) -> Plane {
        let (left, right) = MARGINS;
        let plane = Plane {
            place: [
                left,
                top + HEADING,
                self.width - left - right,
                height - HEADING,
            ],
            x,
            y,
        };
        self.words((0.0, top + 14.0), "start", name);
        let (foot, head) = (plane.place[1] + plane.place[3], plane.place[1]);
        self.stroke(AXIS, &format!("M{left} {head:.1}V{foot:.1}"), 1.0, "");
        for value in ticks(y) {
            let (_, down) = plane.at((x.lo, value));
            self.stroke(AXIS, &format!("M{left} {down:.1}h-4"), 1.0, "");
            let words = match y.is_log && !(0.9..1e4).contains(&value) {
                true => format!("10{}", superscript(value.log10().round() as i32)),
                false => fixed(value, if y.hi - y.lo < 2.5 && !y.is_log { 1 } else { 0 }),
            };
            self.words((left - 7.0, down + 4.0), "end", &words);
        }
        plane
    }

    /// The x-axis below a plane.
    fn x_axis(&mut self, plane: &Plane, name: &str, words: impl Fn(f64) -> String) {
        let [left, top, width, height] = plane.place;
        let foot = top + height;
        self.stroke(AXIS, &format!("M{left} {foot:.1}h{width:.1}"), 1.0, "");
        for value in round_values(plane.x, 6) {
            let (across, _) = plane.at((value, plane.y.lo));
            self.stroke(AXIS, &format!("M{across:.1} {foot:.1}v4"), 1.0, "");
            self.words((across, foot + 16.0), "middle", &words(value));
        }
        self.words((left + width / 2.0, foot + 31.0), "middle", name);
    }

    fn modes(&mut self, plane: &Plane, means: &[f64]) {
        for &mean in means {
            let d = plane.line(&[(mean, plane.y.lo), (mean, plane.y.hi)]);
            self.stroke(MODE, &d, 1.0, " stroke-dasharray=\"4 4\"");
        }
    }

    fn start(&mut self, plane: &Plane, start: f64) {
        let (across, down) = plane.at((start, 0.0));
        let (Ink(class, _, colour), Ink(_, _, rim)) = (START, TARGET);
        self.add(format_args!(
            "<circle class=\"{class}\" cx=\"{across:.1}\" cy=\"{down:.1}\" r=\"5\" \
             fill=\"{colour}\" stroke=\"{rim}\" stroke-width=\"1.5\"/>"
        ));
    }

    /// What the lines are, in a row at `top`.
    fn key(&mut self, top: f64, entries: &[(Ink, &str)]) {
        let mut across = MARGINS.0;
        for &(ink, words) in entries {
            self.stroke(ink, &format!("M{across:.0} {top:.0}h18"), 3.0, "");
            self.words((across + 24.0, top + 4.0), "start", words);
            across += 40.0 + 6.4 * words.chars().count() as f64;
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Values to name on a y-axis.
fn ticks(axis: Axis) -> Vec<f64> {
    match axis.is_log {
        true => axis.ticks(4),
        false => round_values(axis, 4),
    }
}

/// At most about `most` round values of a linear axis: multiples of 1, 2 or 5 times a power of ten.
fn round_values(axis: Axis, most: usize) -> Vec<f64> {
    let rough = (axis.hi - axis.lo) / most as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return Vec::new();
    }
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let step = step.into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (axis.lo / step - 1e-9).ceil() as i64;
    let last = (axis.hi / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A coordinate as an axis names it.
fn coordinate(x: f64) -> String {
    let digits = if (x - x.round()).abs() < 1e-9 { 0 } else { 1 };
    fixed(x, digits)
}

fn iterations(value: f64) -> String {
    thousands(value.round() as u64)
}

/// An axis of losses: of decades, unless a loss is no square.
fn losses(values: impl Iterator<Item = f64> + Clone) -> Axis {
    match values.clone().any(|value| value <= 0.0) {
        true => Axis::units(values),
        false => Axis::decades(values),
    }
}

/// Target, model, samples and trajectories of a run.
///
/// # Errors
/// When there is no picture of the run yet.
pub fn density(record: &Record) -> Result<String, String> {
    let picture = record.picture.as_ref();
    let picture = picture.ok_or("there is no picture yet: train for a moment")?;
    let settings = &record.settings;
    let (range, target) = (settings.plot_range(), settings.target());
    let means: Vec<f64> = settings.modes.iter().map(|mode| mode.centre).collect();
    let curve: Vec<(f64, f64)> = centres(range, CELLS as usize)
        .map(|x| (x, target.density(x)))
        .collect();
    let model: Vec<(f64, f64)> = centres(range, picture.density.len())
        .zip(picture.density.iter().map(|&density| f64::from(density)))
        .collect();
    let peak = |curve: &[(f64, f64)]| curve.iter().fold(0.0, |p: f64, point| p.max(point.1));
    let top = axis_top(peak(&curve), peak(&model));
    let mut svg = Svg::new(
        (WIDTH, 580.0),
        &format!(
            "Densities over x and trajectories after {} iterations; total variation to the target {}",
            iterations(record.iteration.into()),
            fixed(picture.total_variation, 3)
        ),
    );
    let axes = (linear(range), linear((0.0, top)));
    let plane = svg.plane((28.0, 282.0), axes, "density (per unit of x)");
    let bin = (range.1 - range.0) / picture.histogram.len().max(1) as f64;
    let mut bars = String::new();
    for (i, &height) in picture.histogram.iter().enumerate() {
        if height > 0.0 {
            let left = range.0 + i as f64 * bin;
            let (from, foot) = plane.at((left, 0.0));
            let (to, head) = plane.at((left + bin, f64::from(height)));
            let _ = write!(bars, "M{from:.1} {foot:.1}V{head:.1}H{to:.1}V{foot:.1}Z");
        }
    }
    svg.fill(SAMPLE, &bars, "");
    svg.modes(&plane, &means);
    svg.stroke(TARGET, &plane.line(&curve), 1.75, "");
    svg.stroke(MODEL, &plane.line(&model), 2.25, "");
    svg.start(&plane, settings.start);

    let last = f64::from(settings.steps);
    let axes = (linear(range), linear((-0.06 * last, last)));
    let below = svg.plane((318.0, 226.0), axes, "step t");
    svg.modes(&below, &means);
    let mut paths = String::new();
    for states in picture.paths.chunks_exact(settings.steps as usize + 1) {
        let points = states.iter().enumerate();
        let points: Vec<(f64, f64)> = points.map(|(t, &x)| (f64::from(x), t as f64)).collect();
        paths += &below.line(&points);
    }
    svg.stroke(PATH, &paths, 1.0, " stroke-opacity=\"0.35\"");
    svg.start(&below, settings.start);
    svg.x_axis(&below, "x", coordinate);
    svg.key(
        14.0,
        &[
            (TARGET, "target"),
            (MODEL, "the model, exactly"),
            (SAMPLE, "samples"),
            (MODE, "modes"),
            (PATH, "trajectories"),
        ],
    );
    Ok(svg.end())
}

/// Loss, log Z and total variation of a run.
///
/// # Errors
/// When nothing was trained yet.
pub fn curves(record: &Record) -> Result<String, String> {
    if record.curve.is_empty() {
        return Err("there are no curves yet: train for a moment".to_owned());
    }
    let settings = &record.settings;
    let truth = settings.target().log_partition();
    let x = linear((0.0, settings.iterations.into()));
    let of = |value: fn(&gflownet_tour_core::message::LossPoint) -> f64| -> Vec<(f64, f64)> {
        let points = record.curve.iter();
        points.map(|p| (f64::from(p.iteration), value(p))).collect()
    };
    let loss = of(|point| point.loss.into());
    let log_z = of(|point| point.log_z.into());
    let scores = record.scores.iter();
    let scores: Vec<(f64, f64)> = scores.map(|&(at, tv)| (f64::from(at), tv)).collect();
    let mut svg = Svg::new(
        (WIDTH, 3.0 * 170.0 + FOOT + 4.0),
        &format!(
            "Loss, log Z and total variation over {} iterations",
            iterations(record.iteration.into())
        ),
    );
    let axis = losses(loss.iter().map(|point| point.1));
    let plane = svg.plane((0.0, 160.0), (x, axis), "loss");
    svg.stroke(MODEL, &plane.line(&loss), 1.75, "");
    let axis = Axis::units(log_z.iter().map(|point| point.1).chain([truth, 0.0]));
    let plane = svg.plane((170.0, 160.0), (x, axis), "log Z (nats); dashed, the truth");
    let d = plane.line(&[(x.lo, truth), (x.hi, truth)]);
    svg.stroke(TARGET, &d, 1.25, " stroke-dasharray=\"6 4\"");
    svg.stroke(MODEL, &plane.line(&log_z), 1.75, "");
    let plane = svg.plane(
        (340.0, 160.0),
        (x, linear((0.0, 1.0))),
        "total variation, exact",
    );
    svg.stroke(MODEL, &plane.line(&scores), 1.75, "");
    svg.x_axis(&plane, "iteration", iterations);
    Ok(svg.end())
}

/// The ensemble so far, in a picture of this width: bands of loss, log Z and total variation over the
/// runs that ended well, each one's density, and a dot for each.
pub fn ensemble(ensemble: &Ensemble, lost: f64, width: f64) -> String {
    let collapse = ensemble.collapse(lost);
    let settings = &ensemble.settings;
    let truth = settings.target().log_partition();
    let mut svg = Svg::new(
        (
            width,
            3.0 * 150.0 + FOOT + 240.0 + FOOT + 100.0 + FOOT + 16.0,
        ),
        &format!(
            "{} runs of {} iterations: median and range of loss, log Z and total variation; \
             {} of {} lost a mode",
            collapse.of,
            iterations(settings.iterations.into()),
            collapse.lost,
            collapse.of
        ),
    );
    let x = linear((0.0, settings.iterations.into()));
    let band = |of: fn(&SeedPoint) -> f64| ensemble.band(of);
    let ends =
        |band: &[BandPoint]| -> Vec<f64> { band.iter().flat_map(|p| [p.low, p.high]).collect() };
    let name = |of: &str| format!("{of}: median and range");

    let loss = band(|point| point.loss.into());
    let axis = losses(ends(&loss).into_iter());
    let plane = svg.plane((0.0, 142.0), (x, axis), &name("loss"));
    svg.band(&plane, &loss);
    let log_z = band(|point| point.log_z.into());
    let axis = Axis::units(ends(&log_z).into_iter().chain([truth, 0.0]));
    let plane = svg.plane((150.0, 142.0), (x, axis), "log Z (nats); dashed, the truth");
    svg.band(&plane, &log_z);
    let d = plane.line(&[(x.lo, truth), (x.hi, truth)]);
    svg.stroke(TARGET, &d, 1.25, " stroke-dasharray=\"6 4\"");
    let tv = band(|point| point.total_variation);
    let plane = svg.plane(
        (300.0, 142.0),
        (x, linear((0.0, 1.0))),
        "total variation, exact",
    );
    svg.band(&plane, &tv);
    svg.x_axis(&plane, "iteration", iterations);

    let range = ensemble.range;
    let target = settings.target();
    let curve: Vec<(f64, f64)> = centres(range, CELLS as usize)
        .map(|x| (x, target.density(x)))
        .collect();
    let models: Vec<Vec<(f64, f64)>> = ensemble
        .runs
        .iter()
        .filter(|run| ensemble.fate(run, lost).is_some())
        .filter_map(|run| run.end.as_ref())
        .map(|end| {
            let values = end.density.iter().map(|&density| f64::from(density));
            centres(range, end.density.len()).zip(values).collect()
        })
        .collect();
    let peak = |curve: &[(f64, f64)]| curve.iter().fold(0.0, |p: f64, point| p.max(point.1));
    let highest = models.iter().fold(0.0, |p: f64, model| p.max(peak(model)));
    let axes = (
        linear(range),
        linear((0.0, axis_top(peak(&curve), highest))),
    );
    let top = 450.0 + FOOT;
    let plane = svg.plane((top, 232.0), axes, "densities: the target, and each run’s");
    for model in &models {
        svg.stroke(MODEL, &plane.line(model), 1.0, " stroke-opacity=\"0.6\"");
    }
    svg.stroke(TARGET, &plane.line(&curve), 1.75, "");
    svg.x_axis(&plane, "x", coordinate);

    let top = top + 240.0 + FOOT;
    let axes = (linear((0.0, 1.0)), linear((-0.5, 0.5)));
    let (left, right) = MARGINS;
    let strip = Plane {
        place: [left, top + HEADING, width - left - right, 100.0 - HEADING],
        x: axes.0,
        y: axes.1,
    };
    svg.words(
        (0.0, top + 14.0),
        "start",
        "a dot for each run; triangles lost a mode",
    );
    let each = 11.0 / strip.place[2];
    for dot in ensemble.dots(lost, each) {
        let row = f64::from(dot.row) / ROWS as f64 * 0.9;
        let (across, down) = strip.at((dot.place, -row));
        let (ink, d) = match dot.fate {
            Fate::Whole => (MODEL, "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z"),
            Fate::FellLeft => (LEFT, "m-5 0l9-5v10z"),
            Fate::FellRight => (RIGHT, "m5 0l-9-5v10z"),
        };
        svg.fill(ink, &format!("M{across:.1} {down:.1}{d}"), "");
    }
    svg.x_axis(&strip, "total variation", |value| fixed(value, 1));
    svg.end()
}

impl Svg {
    /// A band and its median.
    fn band(&mut self, plane: &Plane, band: &[BandPoint]) {
        let edge = |of: fn(&BandPoint) -> f64| -> Vec<(f64, f64)> {
            let points = band.iter();
            points.map(|p| (f64::from(p.iteration), of(p))).collect()
        };
        let (mut outline, mut low) = (edge(|point| point.high), edge(|point| point.low));
        low.reverse();
        outline.extend(low);
        // Held at the plane's edges where it leaves them: a band cut in pieces would be another.
        let corners = outline.into_iter().map(|point| plane.at(point));
        let mut d = String::new();
        for (i, (across, down)) in corners.enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            let _ = write!(d, "{command}{across:.1} {down:.1}");
        }
        if !d.is_empty() {
            d.push('Z');
        }
        self.fill(MODEL, &d, " fill-opacity=\"0.2\"");
        self.stroke(MODEL, &plane.line(&edge(|point| point.median)), 1.75, "");
    }
}

#[cfg(test)]
mod tests {
    use super::super::ensemble::{self as of, tests::ensemble as example};
    use super::*;
    use gflownet_tour_core::lab::Settings;
    use gflownet_tour_core::message::{LossPoint, RunPicture};
    use roxmltree::{Document, Node};

    const ALL: [Ink; 11] = [
        TARGET, MODEL, SAMPLE, PATH, START, MODE, AXIS, LABEL, LEFT, RIGHT, PAPER,
    ];

    fn record() -> Record {
        let mut record = Record::new(1, Settings::preset("hard_off_policy").unwrap());
        record.iteration = 3;
        record.curve = (1..=3)
            .map(|iteration| LossPoint {
                iteration,
                loss: 10.0 / iteration as f32,
                log_z: 0.2 * iteration as f32,
            })
            .collect();
        record.scores = vec![(1, 0.9), (3, f64::NAN), (4, 0.5)];
        record.picture = Some(RunPicture {
            iteration: 3,
            sigma_scale: 1.0,
            density: vec![0.0, 0.25, 0.0, 0.125],
            histogram: vec![0.0, 0.5, 0.125],
            paths: [0.0, 1.0, 2.0, 2.5, 2.75, 3.0].repeat(2),
            total_variation: 0.5,
            mode_mass: vec![0.5; 2],
            sampled_mode_mass: vec![0.5; 2],
        });
        record
    }

    fn paths<'a>(document: &'a Document<'a>, class: &str) -> Vec<&'a str> {
        let has = |node: &Node| node.attribute("class") == Some(class);
        let nodes = document.descendants().filter(has);
        nodes.filter_map(|node| node.attribute("d")).collect()
    }

    /// How many points a path has.
    fn points(d: &str) -> usize {
        d.matches(['M', 'L']).count()
    }

    fn sound(text: &str) -> Document<'_> {
        let document = Document::parse(text).expect("well-formed XML");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        let root = document.root_element();
        assert_eq!(
            root.tag_name().namespace(),
            Some("http://www.w3.org/2000/svg")
        );
        assert!(root.children().any(|node| node.has_tag_name("title")));
        document
    }

    #[test]
    fn a_density_has_the_records_numbers() {
        let text = density(&record()).unwrap();
        let document = sound(&text);
        // The model's four cells, the target's, two bars, two walks.
        assert_eq!(points(paths(&document, "line model")[0]), 4);
        assert_eq!(points(paths(&document, "line target")[0]), CELLS as usize);
        assert_eq!(paths(&document, "area sample")[0].matches('Z').count(), 2);
        assert_eq!(paths(&document, "line path")[0].matches('M').count(), 2);
        let empty = Record::new(1, Settings::default());
        assert!(density(&empty).unwrap_err().contains("no picture"));
    }

    #[test]
    fn curves_have_the_records_numbers() {
        let text = curves(&record()).unwrap();
        let document = sound(&text);
        let lines = paths(&document, "line model");
        // A score that is not known makes a gap, and a single point is no line.
        assert_eq!(lines.iter().map(|d| points(d)).collect::<Vec<_>>(), [3, 3]);
        let empty = Record::new(1, Settings::default());
        assert!(curves(&empty).unwrap_err().contains("no curves"));
        // Losses that are no squares have a plain axis.
        let mut negative = record();
        negative.curve[1].loss = -3.0;
        sound(&curves(&negative).unwrap());
    }

    #[test]
    fn an_ensemble_has_its_bands_and_dots() {
        let text = ensemble(&example(), of::LOST, WIDTH);
        let document = sound(&text);
        // Three bands and two round dots; one triangle.
        let areas = paths(&document, "area model");
        assert_eq!(areas.iter().filter(|d| d.contains('a')).count(), 2);
        assert_eq!(areas.iter().filter(|d| points(d) == 4).count(), 3);
        assert_eq!(paths(&document, "area right").len(), 1);
        // Three medians, and a density for each run that ended well.
        assert_eq!(paths(&document, "line model").len(), 6);
        // Nothing trained yet is a picture, too, also a narrow one.
        let none = Ensemble::new(Settings::default());
        for width in [280.0, WIDTH] {
            let text = ensemble(&none, of::LOST, width);
            assert_eq!(paths(&sound(&text), "area model").len(), 0);
        }
    }

    #[test]
    fn words_are_escaped_and_axes_round() {
        assert_eq!(escaped("a<b & \"c\">"), "a&lt;b &amp; &quot;c&quot;&gt;");
        assert_eq!(
            round_values(linear((0.0, 2_000.0)), 6),
            [0.0, 500.0, 1_000.0, 1_500.0, 2_000.0]
        );
        assert_eq!(
            round_values(linear((-4.9, 4.9)), 6),
            [-4.0, -2.0, 0.0, 2.0, 4.0]
        );
        assert!(round_values(linear((1.0, 1.0)), 6).is_empty());
    }

    /// A picture that is a file has the page's light colours.
    #[test]
    fn colours_are_the_style_sheets() {
        let sheet = include_str!("../../assets/style.css");
        for Ink(_, property, colour) in ALL {
            let line = sheet
                .lines()
                .find(|line| line.trim_start().starts_with(&format!("{property}:")));
            let line = line.map(str::trim).unwrap_or_default();
            let written = ["", "light-dark("].map(|before| format!("{property}: {before}{colour}"));
            assert!(
                line == format!("{};", written[0]) || line.starts_with(&format!("{},", written[1])),
                "{line}"
            );
        }
    }
}
