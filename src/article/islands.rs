//! What stands in the places of the live parts: a picture that was drawn when the page was built,
//! the words around it, and controls in their places that cannot be used yet. It has the markup of
//! what takes its place, so that nothing moves then.

use crate::blank;
use crate::figures::{self, Scene, colour, plot, title};
use crate::models::{Models, Still};
use crate::prose::math;
use gflownet_tour_core::address::State;
use gflownet_tour_core::balance::BackwardLoop;
use gflownet_tour_core::experiment::{self, EXPERIMENTS, Experiment, TEMPERED};
use gflownet_tour_core::weights::manifest::{CurvePoint, ModelEntry};
use gflownet_tour_widgets::format::{UNKNOWN, fixed, percent, place, thousands};
use gflownet_tour_widgets::formulas as tex;
use gflownet_tour_widgets::island::{DEVICES, Island, TEMPERED_COUNT};
use gflownet_tour_widgets::numbers;
use gflownet_tour_widgets::picture::{Curve, target_curve, tempered_curve};
use gflownet_tour_widgets::record::{self, Axis, BOX, quantities};
use maud::{Markup, html};

/// What every still picture says of itself.
const STILL: &str = "Drawn when this page was built, from the trained weights.";

/// The place of an island, with what stands there until it comes.
pub(crate) fn place_of(island: Island, still: Markup) -> Markup {
    html! {
        div data-island=(island.name()) data-model=[island.model()] { (still) }
    }
}

/// The demo of the model called `name`.
///
/// # Panics
/// When there is no such experiment.
pub fn demo(models: &Models, name: &str) -> Markup {
    let experiment = Experiment::named(name)
        .unwrap_or_else(|| panic!("the text shows `{name}`, which is no experiment"));
    let index = experiment::place(name).unwrap_or_default();
    let count = State::default().demos[index].count;
    let still = models.still(experiment, count);
    let entry = numbers::model(name);
    let has_training = entry.is_some_and(|entry| entry.snapshots.is_some());
    let bug = experiment.backward_loop != BackwardLoop::Correct;
    let label = describe(experiment, still.as_ref(), entry);
    let picture = still.as_ref().map(|still| still.picture.clone());
    let scene = Scene {
        experiment,
        picture: &picture.unwrap_or_default(),
        tempered: None,
        top: None,
        walks: true,
        label: &label,
    };
    let iterations = |entry: &ModelEntry| entry.recipe.iterations.to_string();
    place_of(
        Island::Demo(experiment),
        html! {
            div.demo.buggy[bug] {
                figure {
                    div.plot { (plot(&scene)) }
                    figcaption {
                        span.key.line.target { "target" }
                        @if bug {
                            span.key.line.bug { "the buggy model, exactly" }
                        } @else {
                            span.key.line.model { "the model, exactly" }
                        }
                        span.key.bar { "samples" }
                        span.key.dash { "modes" }
                        span.key.dot { "start, S₀" }
                        span.key.line.path { "trajectories" }
                    }
                }
                div.controls {
                    div.field.wide {
                        span.label { "Temperature " (math(tex::TEMPERATURE)) }
                        (blank::slider())
                        (blank::number("1.00"))
                    }
                    @if has_training {
                        div.field.wide {
                            span.label { "Training" }
                            (blank::slider())
                            (blank::number(&entry.map_or_else(String::new, iterations)))
                            button.play type="button" disabled { "Play" }
                        }
                        p.training-readout {}
                    }
                    button.resample type="button" disabled { "Resample" }
                    div.field {
                        span.label { "Trajectories" }
                        (blank::choice(thousands(count.into())))
                    }
                    div.field {
                        span.label { "Engine" }
                        (blank::choice(DEVICES[0].2))
                    }
                    span.check {
                        (blank::tick())
                        "Show " (math(tex::TEMPERED))
                    }
                    button.copy-link type="button" disabled { "Copy link" }
                }
                p.status { (STILL) " The model itself is on its way." }
                (readout(experiment, count, still.as_ref(), entry))
                (figures::as_table(
                    experiment,
                    &["x", "target", "model", "samples"],
                    &[
                        &figures::values(&target_curve(experiment)),
                        &scene.picture.density,
                        &scene.picture.histogram,
                    ],
                ))
            }
        },
    )
}

fn readout(
    experiment: &Experiment,
    count: u32,
    still: Option<&Still>,
    entry: Option<&ModelEntry>,
) -> Markup {
    let target = experiment.target();
    let told = |tell: &dyn Fn(&ModelEntry) -> f64| fixed(entry.map_or(f64::NAN, tell), 3);
    html! {
        div.readout {
            (masses(
                experiment,
                "target",
                &target.mode_mass(),
                still,
            ))
            dl {
                dt { "Total variation to the target, exact" }
                dd.tv { (told(&|entry| entry.metrics.total_variation)) }
                dt { "log Z, learned" }
                dd { (told(&|entry| entry.log_z)) }
                dt { "log Z, true" }
                dd { (fixed(target.log_partition(), 3)) }
                dt { "Trajectories sampled" }
                dd { (thousands(count.into())) }
                dt { "Time to sample" }
                dd { (UNKNOWN) }
                dt { "Engine that ran" }
                dd.runner { (UNKNOWN) }
            }
        }
    }
}

/// The table of masses per mode; dashes for what is not known.
fn masses(experiment: &Experiment, name: &str, target: &[f64], still: Option<&Still>) -> Markup {
    let mut means: Vec<f64> = experiment.modes.iter().map(|mode| mode.mean).collect();
    means.sort_by(f64::total_cmp);
    let nothing = vec![f64::NAN; means.len()];
    let (exact, sampled) = match still {
        Some(still) => (&still.mode_mass, &still.sampled_mode_mass),
        None => (&nothing, &nothing),
    };
    let cell = |mass: f64| match mass.is_finite() {
        true => percent(mass, 1),
        false => UNKNOWN.to_owned(),
    };
    html! {
        table.mass {
            caption { "Mass per mode" }
            thead {
                tr {
                    th scope="col" { "mode at" }
                    @for &mean in &means {
                        th scope="col" { (place(mean)) }
                    }
                }
            }
            tbody {
                @for (name, masses) in [(name, target), ("model, exact", exact), ("samples", sampled)] {
                    tr {
                        th scope="row" { (name) }
                        @for &mass in masses {
                            td { (cell(mass)) }
                        }
                    }
                }
            }
        }
    }
}

/// A demo's picture in words.
fn describe(experiment: &Experiment, still: Option<&Still>, entry: Option<&ModelEntry>) -> String {
    let mut means: Vec<f64> = experiment.modes.iter().map(|mode| mode.mean).collect();
    means.sort_by(f64::total_cmp);
    let means: Vec<String> = means.into_iter().map(place).collect();
    let mut words = format!(
        "Above, densities over x: a target with modes at {}. Below, trajectories of {} steps from \
         x = {}. ",
        means.join(", "),
        experiment.steps,
        place(experiment.start),
    );
    words += &match (still, entry) {
        (Some(_), Some(entry)) => format!(
            "The sampler is the trained model: total variation to the target {}; mass per mode {} \
             (target {}); log Z learned {}, true {}.",
            fixed(entry.metrics.total_variation, 3),
            numbers::masses(experiment.name),
            numbers::target_masses(experiment.name),
            fixed(entry.log_z, 3),
            fixed(entry.log_z_true, 3),
        ),
        _ => "This build has no trained model.".to_owned(),
    };
    words
}

/// The figure of the model of every temperature.
pub fn tempered(models: &Models) -> Markup {
    let beta = State::default().beta;
    let found = models.still_tempered(beta, TEMPERED_COUNT);
    let (still, log_z) = match found {
        Some((still, log_z)) => (Some(still), log_z),
        None => (None, f64::NAN),
    };
    let target = TEMPERED.target();
    let tempered = target.tempered(1.0 / beta);
    let green = tempered_curve(&TEMPERED, 1.0 / beta);
    let peak = |curve: &[(f64, f64)]| curve.iter().fold(0.0, |p: f64, point| p.max(point.1));
    let ink: Curve = target_curve(&TEMPERED);
    let score = numbers::tempered()
        .and_then(|entry| entry.scores.iter().find(|score| score.beta == beta))
        .map_or(f64::NAN, |score| score.total_variation);
    let label = format!(
        "Above, densities over x at β = {}: the model told β, its target R to the power β, and R. \
         Below, its trajectories. Total variation to the target {}, log Z learned {}.",
        fixed(beta, 2),
        fixed(score, 3),
        fixed(log_z, 3),
    );
    let picture = still.as_ref().map(|still| still.picture.clone());
    let scene = Scene {
        experiment: &TEMPERED,
        picture: &picture.unwrap_or_default(),
        tempered: Some(&green),
        top: Some((1.25 * peak(&green)).max(1.6 * peak(&ink))),
        walks: true,
        label: &label,
    };
    place_of(
        Island::Tempered,
        html! {
            div.demo.conditional {
                div {
                    figure {
                        div.plot { (plot(&scene)) }
                        figcaption {
                            span.key.line.tempered { "its target, tempered" }
                            span.key.line.model { "the model, exactly" }
                            span.key.bar { "samples" }
                            span.key.line.target { "R, not tempered" }
                            span.key.dash { "modes" }
                            span.key.dot { "start, S₀" }
                            span.key.line.path { "trajectories" }
                        }
                    }
                    div.controls {
                        div.field.wide {
                            span.label { "β = 1/T" }
                            (blank::slider())
                            (blank::number(&fixed(beta, 2)))
                        }
                        button.copy-link type="button" disabled { "Copy link" }
                    }
                }
                p.status { (STILL) " The model itself is on its way." }
                div {
                    div.readout {
                        (masses(
                            &TEMPERED,
                            "tempered target",
                            &tempered.mode_mass(),
                            still.as_ref(),
                        ))
                        dl {
                            dt { "Total variation to the tempered target, exact" }
                            dd.tv { (fixed(score, 3)) }
                            dt {
                                "The same of " code { "four_mode_solved" }
                                " with its steps scaled by T"
                            }
                            dd.scaled { (UNKNOWN) }
                            dt { "log Z, learned" }
                            dd { (fixed(log_z, 3)) }
                            dt { "log Z, true" }
                            dd { (fixed(tempered.log_partition(), 3)) }
                            dt { "Trajectories sampled" }
                            dd { (thousands(TEMPERED_COUNT.into())) }
                        }
                    }
                    (figures::as_table(
                        &TEMPERED,
                        &["x", "target", "model", "samples", "tempered"],
                        &[
                            &figures::values(&ink),
                            &scene.picture.density,
                            &scene.picture.histogram,
                            &figures::values(&green),
                        ],
                    ))
                }
            }
        },
    )
}

/// A question, its answers, and what is said to each.
pub fn predict(name: &str, question: &str, answers: &[(&str, String)]) -> Markup {
    place_of(
        Island::Predict,
        html! {
            div.predict data-question=(name) {
                fieldset {
                    legend {
                        b { "What do you expect? " }
                        span.question { (question) }
                    }
                    @for (answer, outcome) in answers {
                        div.option {
                            (blank::option(false))
                            span {
                                span.answer { (answer) }
                                span.told { (outcome) }
                            }
                        }
                    }
                    button.skip type="button" disabled { "Skip" }
                }
                p.outcome {}
            }
        },
    )
}

/// The laboratory's place.
pub fn laboratory() -> Markup {
    place_of(
        Island::Laboratory,
        html! {
            div #lab-app {
                p.status { "The laboratory is a program; it is loaded when you come here." }
            }
        },
    )
}

/// The table of the trainings, and the curves of the first.
pub fn history() -> Markup {
    let mut models: Vec<&'static ModelEntry> = EXPERIMENTS
        .iter()
        .filter_map(|e| numbers::model(e.name))
        .collect();
    models.sort_by(|a, b| a.final_loss.total_cmp(&b.final_loss));
    let Some(&shown) = models.first() else {
        return html! {};
    };
    place_of(
        Island::History,
        html! {
            figure.history {
                table.wide {
                    caption { "The five runs, the lowest loss first. Choose one to see its training" }
                    thead {
                        tr {
                            th scope="col" { "run" }
                            th scope="col" { "loss" }
                            th scope="col" {
                                span.unseen { "e to the log Z" }
                                span aria-hidden="true" { (math(tex::EXP_LOG_Z)) }
                            }
                            th scope="col" { "modes" }
                            th scope="col" { "total variation" }
                        }
                    }
                    tbody {
                        @for (number, model) in models.iter().enumerate() {
                            tr.chosen[number == 0] {
                                th scope="row" {
                                    span.run {
                                        (blank::option(number == 0))
                                        (title(model))
                                    }
                                }
                                td { (record::loss(model.final_loss)) }
                                td { (fixed(record::modes_believed(model.log_z), 2)) }
                                td { (model.recipe.modes.len()) }
                                td { (fixed(model.metrics.total_variation, 3)) }
                            }
                        }
                    }
                }
                (curves(&models, shown))
            }
        },
    )
}

fn curves(models: &[&'static ModelEntry], shown: &ModelEntry) -> Markup {
    let longest = models.iter().map(|model| model.recipe.iterations).max();
    let x = Axis {
        lo: 1.0,
        hi: longest.unwrap_or(2) as f64,
        is_log: true,
    };
    let share = |value: f64| format!("{:.2}%", 100.0 * value);
    let line = |model: &ModelEntry, of: fn(&CurvePoint) -> f64, axis: Axis| {
        let points = model.curve.iter().map(|p| (p.iteration as f64, of(p)));
        record::path(points, x, axis)
    };
    let colour = colour(shown.recipe.backward_loop);
    let end = shown.curve.last();
    let words = end.map_or_else(String::new, |end| record::tell(shown, end));
    html! {
        div.curves role="img" aria-label={ (title(shown)) ", " (words) } {
            div.area {
                @for quantity in quantities(models) {
                    @let axis = quantity.axis;
                    p.plot-name { (quantity.name) }
                    div.curve {
                        svg {
                            @for value in axis.ticks(4) {
                                text.end x="0" y=(share(1.0 - axis.share(value))) dx="-7" dy="4" {
                                    ((quantity.digits)(value))
                                }
                            }
                            svg viewBox={ "0 0 " (BOX) " " (BOX) } preserveAspectRatio="none" {
                                @for model in models {
                                    path.other d=(line(model, quantity.of, axis)) {}
                                }
                                @if quantity.name.starts_with("log Z") {
                                    @let down = BOX * (1.0 - axis.share(shown.log_z_true));
                                    path.truth d=(format!("M0 {down:.0}H{BOX}")) {}
                                }
                                path class=(colour) d=(line(shown, quantity.of, axis)) {}
                            }
                        }
                    }
                }
            }
            div.x-ticks {
                svg {
                    @for value in x.ticks(5) {
                        text.middle x=(share(x.share(value))) y="16" {
                            (thousands(value.round() as u64))
                        }
                    }
                }
            }
            p.x-name { "iteration, log scale" }
        }
        div.history-line {
            span.label { "Iteration" }
            (blank::number(&end.map_or_else(String::new, |end| end.iteration.to_string())))
            p.history-readout { (words) }
        }
        @if let Some(end) = end {
            (gauge(models, shown, end))
        }
        figcaption {
            span class={ "key line " (colour) } { (title(shown)) }
            span.key.other { "the other runs" }
            span.key.truth { "log Z, true" }
        }
    }
}

fn gauge(models: &[&'static ModelEntry], shown: &ModelEntry, end: &CurvePoint) -> Markup {
    let most = models
        .iter()
        .flat_map(|model| &model.curve)
        .map(|point| record::modes_believed(point.log_z));
    let axis = Axis::units(most.chain([0.0]));
    let share = |value: f64| format!("{:.2}%", 100.0 * axis.share(value));
    let count = record::modes_believed(end.log_z);
    let modes = shown.recipe.modes.len();
    html! {
        div.gauge {
            p.gauge-words {
                "How many modes does it believe in? " b { (fixed(count, 2)) } ", of " (modes)
            }
            div.gauge-bar aria-hidden="true" {
                svg {
                    rect class=(figures::colour(shown.recipe.backward_loop))
                        width=(share(count)) height="100%" rx="3" {}
                    line.truth x1=(share(modes as f64)) x2=(share(modes as f64))
                        y1="-25%" y2="125%" {}
                    @for value in axis.ticks(8) {
                        text.middle x=(share(value)) y="100%" dy="15" { (fixed(value, 0)) }
                    }
                }
            }
        }
    }
}
