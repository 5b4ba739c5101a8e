//! The parts that a reader opens, as they first answer: the markup of what takes their places, with
//! pictures from the real weights.

use crate::blank;
use crate::figures::{Band, colour, foot, line, modes, share, ticks};
use crate::islands::place_of;
use crate::models::Models;
use crate::prose::math;
use gflownet_tour_core::address::State;
use gflownet_tour_core::balance::BackwardLoop;
use gflownet_tour_core::experiment::Experiment;
use gflownet_tour_core::message::{Asked, FlowMap, Study, TraceStudy};
use gflownet_tour_widgets::flow_map::{AXIS, DEPTH, HEADING, LIMIT, Pane, View};
use gflownet_tour_widgets::format::{fixed, place, superscript};
use gflownet_tour_widgets::formulas as tex;
use gflownet_tour_widgets::island::Island;
use gflownet_tour_widgets::picture::{Curve, centres};
use gflownet_tour_widgets::study::{
    AskedCurves, asked_finding, asked_numbers, end_of, flow_numbers, flow_reading, loop_title,
    means, opening,
};
use gflownet_tour_widgets::walk::{self, Stop};
use maud::{Markup, PreEscaped, html};
use std::collections::BTreeMap;
use std::fmt::Write;

// Heights of the figures in CSS pixels, as in the style sheet.
const SHORT: f64 = 272.0;
const MAPS: f64 = 512.0;
const WALK: f64 = 320.0;
/// Above a plot and below it, in CSS pixels, but for the maps.
const ABOVE: f64 = 28.0;
const BELOW: f64 = 30.0;
/// Shades of a map's colour: more would not be seen, and make the article long.
const SHADES: f64 = 16.0;

/// The part `island` as it is before a reader changes anything; `aside` is what stands below every
/// answer.
pub fn study(models: &Models, island: Island, aside: &Markup) -> Markup {
    let answer = opening(island).and_then(|(experiment, question)| {
        let subject = models.subject(experiment)?;
        Some((experiment, subject.answer(&question).ok()?))
    });
    let body = match &answer {
        Some((experiment, Study::Asked(asked))) => algebra(experiment, asked),
        Some((experiment, Study::Flow(map))) => flow(experiment, map),
        Some((experiment, Study::Trace(study))) => trace(experiment, study),
        None => html! { p.status { "This build has no trained model." } },
    };
    let controls = match island {
        Island::Algebra => algebra_controls(),
        Island::Flow => model_choice(State::default().flow.model),
        _ => trace_controls(),
    };
    place_of(
        island,
        html! {
            details.study {
                summary { (island.title()) }
                div.controls {
                    (controls)
                    button.copy-link type="button" disabled { "Copy link" }
                }
                div.study-still {
                    (body)
                    p.aside { (aside) }
                }
            }
        },
    )
}

fn algebra_controls() -> Markup {
    let chosen = State::default().algebra.counted;
    html! {
        fieldset.switch {
            legend { "The backward sum runs over" }
            @for counted in BackwardLoop::ALL {
                span.check {
                    (blank::option(counted == chosen))
                    (loop_title(counted))
                }
            }
        }
    }
}

fn model_choice(chosen: usize) -> Markup {
    html! {
        div.field {
            span.label { "Model" }
            (blank::choice(gflownet_tour_widgets::study::subject(chosen).title))
        }
    }
}

fn trace_controls() -> Markup {
    let state = State::default().trace;
    let experiment = gflownet_tour_widgets::study::subject(state.model);
    let end = end_of(experiment, state.walk);
    html! {
        (model_choice(state.model))
        div.field {
            span.label { "Walk" }
            (blank::choice(match end {
                Some(mode) => format!("walked back from the mode at {}", place(means(experiment)[mode])),
                None => "drawn by the forward policy".to_owned(),
            }))
        }
        button.resample type="button" disabled { "Another walk" }
    }
}

/// A figure's numbers, to be opened.
fn table(of: &str, table: String) -> Markup {
    html! {
        details.as-table {
            summary { "The numbers as a table" }
            div.scroll tabindex="0" role="group" aria-label=(of) { (PreEscaped(table)) }
        }
    }
}

fn algebra(experiment: &Experiment, asked: &Asked) -> Markup {
    let finding = asked_finding(experiment, asked);
    let range = experiment.plot_range();
    let curves = AskedCurves::of(experiment, asked);
    let top = curves.top;
    let band = Band::new(ABOVE, SHORT - ABOVE - BELOW, SHORT);
    let across = |value: f64| share((value - range.0) / (range.1 - range.0));
    let label = format!(
        "Densities over x: the target, the density that the loss asks for, and the model. {finding}"
    );
    let colour = colour(experiment.backward_loop);
    let number = |value: f64| fixed(value, 3);
    html! {
        figure {
            div.plot.short {
                svg role="img" aria-label=(label) {
                    (modes(experiment, &band, &across))
                    (band.sheet(html! {
                        path.asked d=(line(&curves.asked, range, (0.0, top))) {}
                        path.target d=(line(&curves.target, range, (0.0, top))) {}
                        path class=(colour) d=(line(&curves.model, range, (0.0, top))) {}
                    }))
                    circle.s0 cx=(across(experiment.start)) cy=(share(band.at(0.0))) r="5.25" {}
                    (band.density_axis(top))
                    (foot(&band, range))
                }
            }
            figcaption {
                span.key.line.target { "target " (math(tex::R_OVER_K)) }
                span.key.line.asked { "what the loss asks for" }
                span class={ "key line " (colour) } { "the model, exactly" }
                span.key.dash { "modes" }
                span.key.dot { "start, S₀" }
            }
        }
        (table("The numbers of the three densities", asked_numbers(experiment, asked)))
        p.finding { (finding) }
        dl.numbers {
            dt { (math(tex::LOG_Z)) ", learned" }
            dd.learned-log-z { (number(asked.log_z)) }
            dt {
                @match experiment.backward_loop {
                    BackwardLoop::CountsForced => { (math(tex::LN_R_H)) ", asked for" }
                    BackwardLoop::DropsReal => { (math(tex::LN_BOUND)) ", its bound" }
                    _ => { (math(tex::LN_R)) ", asked for" }
                }
            }
            dd.asked-log-z { (number(asked.log_z_asked)) }
            dt { (math(tex::LN_K)) " = ln " (experiment.modes.len()) ", the truth" }
            dd { (number(asked.log_z_true)) }
            dt { "Total variation, model to what the loss asks for" }
            dd.to-asked { (number(asked.to_asked)) }
            dt { "Total variation, model to target" }
            dd { (number(asked.to_target)) }
        }
    }
}

/// The rectangles of a pane, in a box of a unit per cell and two per step: for each class and shade,
/// from 1 to [`SHADES`], an outline. Neighbours of one shade are one rectangle.
fn shades(view: &View, pane: Pane) -> BTreeMap<(&'static str, u32), String> {
    let shade = |cell: usize, t: usize| -> (&'static str, u32) {
        let tone = view.tone(pane, cell, t);
        let class = match (pane, tone) {
            (_, None) => return ("faint", SHADES as u32),
            (Pane::Ratio, Some(tone)) if tone < 0.0 => "under",
            (Pane::Ratio, Some(_)) => "over",
            _ => "flow",
        };
        (class, (tone.unwrap_or(0.0).abs() * SHADES).round() as u32)
    };
    let mut found = BTreeMap::new();
    for t in 1..=view.steps {
        // Half a step below the first row is the start's.
        let up = 2 * (view.steps - t);
        let mut first = 0;
        for cell in 1..=view.cells {
            if cell < view.cells && shade(cell, t) == shade(first, t) {
                continue;
            }
            if shade(first, t).1 > 0 {
                let outline: &mut String = found.entry(shade(first, t)).or_default();
                // Writing to a string does not fail.
                let _ = write!(outline, "M{first} {up}H{cell}v2H{first}z");
            }
            first = cell;
        }
    }
    found
}

fn flow(experiment: &Experiment, map: &FlowMap) -> Markup {
    let Some(view) = View::of(map, experiment.steps) else {
        return html! {};
    };
    let (cell, t) = (State::default().flow.cell, State::default().flow.t);
    let finding = view.finding();
    let label = format!(
        "Three heat maps over x and the step t, for {}: the forward flow, the backward flow, and \
         the logarithm of their ratio. {finding}",
        experiment.title
    );
    let range = experiment.plot_range();
    let reading = flow_reading(experiment, &view, cell, t);
    html! {
        figure {
            div.plot.maps {
                svg role="img" aria-label=(label) {
                    @for pane in Pane::ALL {
                        (map_pane(experiment, &view, pane, (cell, t)))
                    }
                }
            }
            figcaption {
                span.scale {
                    "e" (superscript(-DEPTH as i32)) " of the highest flow"
                    span.ramp.flow {}
                    "the highest"
                }
                span.scale {
                    "log-ratio \u{2212}" (fixed(LIMIT, 0))
                    span.ramp.ratio {}
                    "+" (fixed(LIMIT, 0)) " nats"
                }
                span.key.faint { "hardly any flow" }
                span.key.dash { "modes" }
                span.key.dot { "start, S₀" }
            }
        }
        p.finding { (finding) }
        div.controls.pointer {
            @let x = centres(range, view.cells).nth(cell).unwrap_or(range.0);
            (dial("Cursor at x", &format!("{x:.2}")))
            (dial("at step t", &t.to_string()))
            p.reading { (reading) }
        }
        figure {
            div.plot.walk { (laws(experiment, &view, t, &reading)) }
            figcaption {
                span.key.line.model { "forward policy, at " (math(tex::STATE)) }
                span.key.line.bug.dashed { "backward policy" }
                span.key.line.thin { "where its walks hardly come" }
            }
        }
        (table(
            "The numbers of the flow at the cursor's step",
            flow_numbers(experiment, &view, t),
        ))
    }
}

fn dial(name: &str, value: &str) -> Markup {
    html! {
        div.field {
            span.label { (name) }
            (blank::slider())
            (blank::number(value))
        }
    }
}

fn map_pane(experiment: &Experiment, view: &View, pane: Pane, (cell, t): (usize, usize)) -> Markup {
    let range = experiment.plot_range();
    let rows = pane.rows(MAPS);
    let band = Band::new(rows.start, rows.end - rows.start, MAPS);
    let across = |value: f64| share((value - range.0) / (range.1 - range.0));
    let span = (0.0, view.steps as f64 + 0.5);
    let steps: Vec<f64> = (0..=view.steps).map(|t| t as f64).collect();
    let height = 2 * view.steps + 1;
    html! {
        svg.map width="100%" y=(share(band.top)) height=(share(band.height))
            viewBox={ "0 0 " (view.cells) " " (height) } preserveAspectRatio="none" {
            @for ((class, shade), outline) in shades(view, pane) {
                path class=(class) fill-opacity=[(class != "faint").then(|| f64::from(shade) / SHADES)]
                    d=(outline) {}
            }
            @if let Some(row) = view.steps.checked_sub(t) {
                // Where it starts, a step has only half of its row.
                path.ring d={ "M" (cell.saturating_sub(1)) " " (2 * row) "h3v2h-3z" } {}
            }
        }
        (modes(experiment, &band, &across))
        circle.s0 cx=(across(experiment.start)) cy=(share(band.at(0.0))) r="5.25" {}
        (band.axis(pane.title(), &steps, span, |t| Some(fixed(t, 0))))
        @if pane == Pane::Ratio {
            (foot(&band, range))
        }
    }
}

/// Means and standard deviations of the policies' steps at `t`.
fn laws(experiment: &Experiment, view: &View, t: usize, reading: &str) -> Markup {
    let range = experiment.plot_range();
    let xs: Vec<f64> = centres(range, view.cells).collect();
    type Law<'a> = &'a dyn Fn(usize) -> Option<(f64, f64)>;
    let policies: [(&str, Law, Law); 2] = [
        ("model", &|cell| view.forward_law(cell, t), &|cell| {
            view.forward_law(cell, t)
                .filter(|_| t > 0 && view.is_visited(cell, t))
        }),
        ("bug dashed", &|cell| view.backward_law(cell, t), &|cell| {
            view.backward_law(cell, t)
                .filter(|_| view.is_visited_back(cell, t))
        }),
    ];
    let (lo, hi) = policies
        .iter()
        .flat_map(|policy| (0..view.cells).filter_map(policy.2))
        .fold((-0.5f64, 0.5f64), |(lo, hi), law| {
            (lo.min(law.0), hi.max(law.0))
        });
    let air = 0.1 * (hi - lo);
    let each = (WALK - AXIS) / 2.0;
    let panes = [
        ((lo - air, hi + air), "mean μ of a step (units of x)", false),
        ((0.0, 1.05), "standard deviation σ of a step", true),
    ];
    let across = |value: f64| share((value - range.0) / (range.1 - range.0));
    let label = format!(
        "Mean and standard deviation of the policies' steps over x, at step t = {t}. {reading}"
    );
    html! {
        svg role="img" aria-label=(label) {
            @for (index, (span, title, is_std)) in panes.into_iter().enumerate() {
                @let band = Band::new(index as f64 * each + HEADING, each - HEADING, WALK);
                @let value = |law: (f64, f64)| if is_std { law.1 } else { law.0 };
                (modes(experiment, &band, &across))
                (band.sheet(html! {
                    @for (class, all, visited) in policies {
                        @let curve = |law: Law| -> Vec<Curve> {
                            let points = xs.iter().enumerate()
                                .map(|(cell, &x)| law(cell).map(|law| (x, value(law))));
                            let points: Vec<Option<(f64, f64)>> = points.collect();
                            let runs = points.split(Option::is_none);
                            runs.map(|run| run.iter().flatten().copied().collect()).collect()
                        };
                        @for (kind, law) in [("thin ", all), ("", visited)] {
                            @for run in curve(law).iter().filter(|run| run.len() > 1) {
                                path class={ (kind) (class) } d=(line(run, range, span)) {}
                            }
                        }
                    }
                }))
                (band.axis(title, &ticks(span, 7), span, |y| {
                    let tenths = 10.0 * y;
                    ((tenths - tenths.round()).abs() < 1e-6).then(|| fixed(y, 1))
                }))
                @if is_std {
                    (foot(&band, range))
                }
            }
            text.end x="100%" y="0" dy="15" { "t = " (t) }
        }
    }
}

fn trace(experiment: &Experiment, study: &TraceStudy) -> Markup {
    let trace = &study.trace;
    let steps = experiment.steps;
    let stop = Stop::at(State::default().trace.term, steps);
    let reading = walk::explain(trace, stop);
    let states: Vec<String> = trace.states.iter().map(|&x| fixed(x, 2)).collect();
    let label = format!(
        "One walk of the model {}, through x = {}. {reading}",
        experiment.title,
        states.join(", ")
    );
    html! {
        figure {
            div.plot.walk {
                svg role="img" aria-label=(label) { (walked(experiment, study, stop)) }
            }
            figcaption {
                span.key.line.walked { "the walk" }
                span.key.line.model { "forward policy's step, ±1 and ±2 σ" }
                span.key.line.bug { "backward policy's step" }
                span.key.dash { "modes" }
                span.key.dot { "start, S₀" }
            }
        }
        div.controls {
            button type="button" disabled { "Term before" }
            button.later type="button" disabled { "Next term" }
            p.reading { (reading) }
        }
        table.terms {
            caption { (walk::CAPTION) }
            thead {
                tr {
                    th scope="col" { "log of" }
                    th.law scope="col" { "law μ ± σ" }
                    th scope="col" { "step" }
                    th scope="col" { "value" }
                    th scope="col" { "push μ, σ" }
                }
            }
            tbody {
                @for index in 0..Stop::count(steps) - 1 {
                    @let [name, law, action, log, push, class] =
                        walk::row(Stop::at(index, steps), trace, stop);
                    tr class=[Some(class).filter(|class| !class.is_empty())] {
                        th scope="row" { (name) }
                        td.law { (law) }
                        td { (action) }
                        td { (log) }
                        td { (push) }
                    }
                }
            }
        }
        p.sum { (walk::sum(trace)) }
        p.finding { (walk::rarity(experiment, study)) }
    }
}

/// The walk from the foot of the figure up, and where the step in question may land.
fn walked(experiment: &Experiment, study: &TraceStudy, stop: Stop) -> Markup {
    let trace = &study.trace;
    let range = experiment.plot_range();
    let steps = experiment.steps as f64;
    let span = (-0.08 * steps, 1.05 * steps);
    let band = Band::new(ABOVE, WALK - ABOVE - BELOW, WALK);
    let across = |value: f64| share((value - range.0) / (range.1 - range.0));
    let up = |t: f64| share(band.at((t - span.0) / (span.1 - span.0)));
    let inside = |x: f64| x.clamp(range.0, range.1);
    let points: Curve = trace
        .states
        .iter()
        .enumerate()
        .map(|(t, &x)| (inside(x), t as f64))
        .collect();
    let landing = match stop {
        Stop::Forward(t) => Some((t, t + 1, 1.0, "model")),
        Stop::Backward(t) => Some((t, t - 1, -1.0, "bug")),
        _ => None,
    };
    html! {
        (modes(experiment, &band, &across))
        (band.sheet(html! {
            @if let (Some((from, to, sign, class)), Some(term)) = (landing, stop.term(trace)) {
                @let start = trace.states[from];
                @let mean = start + sign * term.mean;
                @for (reach, kind) in [(2.0, "reach far "), (1.0, "reach ")] {
                    @let ends = [-reach, reach].map(|by| (inside(mean + by * term.std), to as f64));
                    path class={ (kind) (class) } d=(line(&ends, range, span)) {}
                }
                @let lean = [(start, from as f64), (inside(mean), to as f64)];
                path class={ "lean " (class) } d=(line(&lean, range, span)) {}
            }
            path.walked d=(line(&points, range, span)) {}
        }))
        @for &(x, t) in &points {
            circle.state cx=(across(x)) cy=(up(t)) r="3.5" {}
        }
        circle.s0 cx=(across(experiment.start)) cy=(up(0.0)) r="5.25" {}
        @let ts: Vec<f64> = (0..=experiment.steps).map(|t| t as f64).collect();
        (band.axis("step t", &ts, span, |t| Some(fixed(t, 0))))
        (foot(&band, range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::balance;
    use gflownet_tour_core::density::TerminalDensity;
    use gflownet_tour_core::flow::{Backward, Flow, Retargeted};
    use gflownet_tour_core::weights;
    use std::path::{Path, PathBuf};

    fn pretrained() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pretrained")
    }

    /// A part as the article has it, with its experiment and the whole model.
    fn part(island: Island) -> (String, &'static Experiment, weights::Model) {
        let models = Models::read(&pretrained()).unwrap();
        let html = study(&models, island, &html! {}).into_string();
        let (experiment, _) = opening(island).unwrap();
        let file = format!("{}.safetensors", experiment.name);
        let bytes = std::fs::read(pretrained().join(&file)).unwrap();
        (html, experiment, weights::parse(&file, &bytes).unwrap())
    }

    fn backward<'a, P>(network: &'a P, experiment: &Experiment) -> Backward<'a, P> {
        let (mean, start) = (experiment.options.backward_mean, experiment.start);
        Backward {
            network,
            mean,
            start,
        }
    }

    /// What stands between `open` and `close`, each time.
    fn all<'a>(html: &'a str, open: &str, close: &str) -> Vec<&'a str> {
        let parts = html.split(open).skip(1);
        parts.filter_map(|part| part.split(close).next()).collect()
    }

    /// The points of an outline of lines: one place, then steps.
    fn points(d: &str) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        for piece in d.split('M').skip(1) {
            let spaced = piece.replace('l', " ").replace('-', " -");
            let numbers: Vec<f64> = spaced
                .split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect();
            let mut at = (0.0, 0.0);
            for step in numbers.chunks_exact(2) {
                at = (at.0 + step[0], at.1 + step[1]);
                points.push(at);
            }
        }
        points
    }

    #[test]
    fn the_curve_of_the_algebra_is_the_models_density() {
        let (html, experiment, model) = part(Island::Algebra);
        let (forward, network) = (model.forward.cast::<f64>(), model.backward.cast::<f64>());
        let (start, steps) = (experiment.start, experiment.steps);
        let density = TerminalDensity::of(&forward, start, steps, 1.0);
        let (lo, hi) = experiment.plot_range();
        let drawn = points(all(&html, "<path class=\"bug\" d=\"", "\"")[0]);
        assert!(drawn.len() > 20);
        // The curve's height at its own peak gives the scale, and then every point is on it.
        let at = |right: f64| {
            let x = lo + right / 1000.0 * (hi - lo);
            density.points(x, x + 1e-6, 2)[0]
        };
        let &(right, down) = drawn.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let scale = (1000.0 - down) / at(right);
        for (right, down) in drawn {
            let error = (1000.0 - down - scale * at(right)).abs();
            assert!(error < 1.0, "at {right}: {error}");
        }
        let answer = Retargeted::of(
            &backward(&network, experiment),
            &experiment.target(),
            start,
            steps,
        );
        for (class, value) in [
            ("asked-log-z", answer.log_partition()),
            ("learned-log-z", f64::from(model.log_z)),
            ("to-asked", answer.total_variation(&density)),
        ] {
            let shown = all(&html, &format!("<dd class=\"{class}\">"), "<")[0];
            assert_eq!(shown, fixed(value, 3), "{class}");
        }
    }

    #[test]
    fn every_cell_of_the_maps_has_the_shade_of_its_flow() {
        let (html, experiment, model) = part(Island::Flow);
        let (forward, network) = (model.forward.cast::<f64>(), model.backward.cast::<f64>());
        let flow = Flow::of(
            &forward,
            &backward(&network, experiment),
            f64::from(model.log_z),
            &experiment.target(),
            experiment.start,
            experiment.steps,
        );
        let cells = gflownet_tour_core::address::FLOW_CELLS;
        let (lo, hi) = experiment.plot_range();
        let half = 0.5 * (hi - lo) / cells as f64;
        let rows = (1..=experiment.steps).map(|t| flow.row(t, lo + half, hi - half, cells));
        let rows: Vec<_> = rows.collect();
        let logs = rows
            .iter()
            .flat_map(|row| row.log_forward.iter().chain(&row.log_backward));
        let peak = logs.fold(f64::NEG_INFINITY, |peak, &log| peak.max(log));
        let maps = all(&html, "<svg class=\"map\"", "</svg>");
        assert_eq!(maps.len(), 3);
        let half_a_shade = 0.5 / SHADES + 1e-3;
        for (map, backwards) in maps.iter().zip([false, true]) {
            // What is drawn at each cell.
            let mut drawn = vec![0.0; cells * experiment.steps];
            for path in all(map, "<path class=\"flow\" fill-opacity=\"", "\"></path>") {
                let (opacity, outline) = path.split_once("\" d=\"").unwrap();
                for rectangle in all(outline, "M", "z") {
                    let numbers = rectangle.split(|c: char| !c.is_ascii_digit());
                    let numbers: Vec<usize> = numbers.filter_map(|n| n.parse().ok()).collect();
                    let [from, up, to, _, _] = numbers[..] else {
                        panic!("{rectangle}");
                    };
                    let t = experiment.steps - up / 2;
                    for cell in from..to {
                        drawn[(t - 1) * cells + cell] += opacity.parse::<f64>().unwrap();
                    }
                }
            }
            for (t, row) in rows.iter().enumerate() {
                let logs = if backwards {
                    &row.log_backward
                } else {
                    &row.log_forward
                };
                for (cell, log) in logs.iter().enumerate() {
                    let tone = ((log - peak) / DEPTH + 1.0).clamp(0.0, 1.0);
                    let error = (drawn[t * cells + cell] - tone).abs();
                    assert!(error < half_a_shade, "t {} cell {cell}: {error}", t + 1);
                }
            }
        }
        // The model has lost the right mode: too little forward flow at the last step there.
        let under = all(
            maps[2],
            "<path class=\"under\" fill-opacity=\"1\" d=\"",
            "\"",
        );
        let last_row = |rectangle: &&str| rectangle.contains(" 0H");
        assert!(all(under[0], "M", "z").iter().any(last_row));
    }

    #[test]
    fn the_walk_is_drawn_through_its_states_and_its_terms_add_up() {
        let (html, experiment, model) = part(Island::Trace);
        let network = model.backward.cast::<f64>();
        let from = means(experiment)[1];
        let seed = State::default().trace.seed;
        let (start, steps) = (experiment.start, experiment.steps);
        let backward = backward(&network, experiment);
        let states = gflownet_tour_core::trace::walk_back(&backward, start, steps, from, seed, 0);
        let (lo, hi) = experiment.plot_range();
        let drawn = all(&html, "<circle class=\"state\" cx=\"", "%\"");
        assert_eq!(drawn.len(), steps + 1);
        for (drawn, x) in drawn.iter().zip(&states) {
            let error = drawn.parse::<f64>().unwrap() - 100.0 * (x - lo) / (hi - lo);
            assert!(error.abs() < 0.01, "{drawn} {x}");
        }
        let mean = experiment.options.backward_mean;
        let counted = experiment.backward_loop;
        let residual = balance::residual(
            f64::from(model.log_z),
            balance::log_forward(&model.forward.cast::<f64>(), &states),
            experiment.target().log_reward(from),
            balance::log_backward_from(mean, &network, &states, counted),
        );
        let sum = all(&html, "<p class=\"sum\">", "</p>")[0];
        assert!(
            sum.contains(&format!("= {}; squared", fixed(residual, 2))),
            "{sum}"
        );
    }
}
