//! The figure of the temperature section: what scaling the steps does, beside what tempering the
//! target would do, and where walks end when nearly all of their noise is taken away.

use super::as_table::{self, AsTable};
use super::demo::model_colour;
use super::format::{UNKNOWN, fixed, percent};
use super::link::{Draft, Engine, EngineState, ModelState, Slot};
use super::picture::{
    BINS, CELLS, Curve, Picture, in_rows, mean_of, target_curve, tempered_curve, total_variation,
};
use super::plot::{Layout, Scene, draw};
use super::screen::Screen;
use gflownet_tour_core::experiment::{DEFAULT_SEED, EXPERIMENTS, Experiment};
use gflownet_tour_core::message::{BatchResult, DeviceChoice};
use leptos::html;
use leptos::prelude::*;
use std::sync::Arc;

/// The experiment of the panels: its place in the table.
const SUBJECT: usize = 0;
/// The temperatures of the panels; the first is also that of the table.
const PANELS: [f64; 3] = [COLD, 0.5, 2.0];
const COLD: f64 = 0.05;

/// Asks the engine for the exact density of a model at a temperature, once it is near and its
/// weights are loaded, and gives the answer when it is there.
fn ask(
    engine: Engine,
    index: usize,
    temperature: f64,
    is_near: RwSignal<bool>,
) -> Signal<Option<Arc<BatchResult>>> {
    let slot: Slot = engine.open();
    let experiment = &EXPERIMENTS[index];
    let can_answer = Memo::new(move |_| {
        let runs = engine
            .state
            .with(|s| matches!(s, EngineState::Ready | EngineState::Settled(_)));
        runs && is_near.get() && engine.models[index].get() == ModelState::Loaded
    });
    Effect::new(move |_| {
        if can_answer.get() {
            let draft = Draft {
                demo: 0,
                id: 0,
                model: experiment.name.into(),
                snapshot: None,
                beta: None,
                sigma_scale: temperature,
                seed: DEFAULT_SEED,
                count: 16,
                device: DeviceChoice::Cpu,
                paths: 0,
                range: experiment.plot_range(),
                bins: BINS,
                cells: CELLS,
            };
            engine.ask(slot, draft);
        }
    });
    Signal::derive(move || slot.batch.get().filter(|batch| !batch.placeholder))
}

/// Panels and table.
#[component]
pub fn TemperatureFigure() -> impl IntoView {
    let engine = expect_context::<Engine>();
    let screen = expect_context::<Screen>();
    let is_near = RwSignal::new(false);
    let frame = NodeRef::<html::Figure>::new();
    Effect::new(move |_| {
        if let Some(frame) = frame.get()
            && !is_near.get_untracked()
            && screen.is_near(&frame)
        {
            is_near.set(true);
        }
    });
    let cold: Vec<_> = (0..EXPERIMENTS.len())
        .map(|index| ask(engine, index, COLD, is_near))
        .collect();
    let batches = PANELS.map(|temperature| {
        let batch = if temperature == COLD {
            cold[SUBJECT]
        } else {
            ask(engine, SUBJECT, temperature, is_near)
        };
        (temperature, batch)
    });
    let panels = batches
        .map(|(temperature, batch)| view! { <Panel temperature batch /> })
        .collect_view();
    let table = move || numbers(&batches);
    let rows = EXPERIMENTS
        .iter()
        .zip(cold)
        .map(|(experiment, batch)| {
            let told = move |tell: fn(&Experiment, &[f32]) -> String| {
                move || {
                    batch.with(|batch| {
                        batch.as_ref().map_or_else(
                            || UNKNOWN.into(),
                            |batch| tell(experiment, &batch.density),
                        )
                    })
                }
            };
            let tempered: Vec<f32> = tempered_curve(experiment, COLD)
                .iter()
                .map(|point| point.1 as f32)
                .collect();
            view! {
                <tr>
                    <th scope="row">{experiment.title}</th>
                    <td>{told(|experiment, density| fixed(end(experiment, density).0, 2))}</td>
                    <td>{told(|experiment, density| fixed(end(experiment, density).1, 2))}</td>
                    <td>{told(|experiment, density| percent(reward(experiment, density), 0))}</td>
                    <td>{percent(reward(experiment, &tempered), 0)}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <figure class="temperature-figure" node_ref=frame>
            <div class="panels">{panels}</div>
            <figcaption>
                <span class="key line target">"target"</span>
                <span class="key line model">"model with its steps scaled by T, exactly"</span>
                <span class="key line tempered">"tempered target"</span>
                <span class="key dash">"modes"</span>
                <span class="key dot">"start, S₀"</span>
            </figcaption>
            <AsTable of="The numbers of the three temperatures".to_owned() table />
        </figure>
        <table class="wide">
            <caption>
                {format!(
                    "The models at T = {}: where walks end, and the mean reward there as a share of the highest",
                    fixed(COLD, 2),
                )}
            </caption>
            <thead>
                <tr>
                    <th scope="col">"model"</th>
                    <th scope="col">"mean end"</th>
                    <th scope="col">"spread (std)"</th>
                    <th scope="col">"reward"</th>
                    <th scope="col">"reward if tempered"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
    }
}

/// The panels' curves as a table.
fn numbers(batches: &[(f64, Signal<Option<Arc<BatchResult>>>)]) -> String {
    let experiment = &EXPERIMENTS[SUBJECT];
    let curve = |curve: Curve| in_rows(&curve.iter().map(|c| c.1 as f32).collect::<Vec<_>>());
    let mut heads = vec!["x".to_owned(), "target".to_owned()];
    let mut columns = vec![curve(target_curve(experiment))];
    for &(temperature, batch) in batches {
        let at = fixed(temperature, 2);
        heads.extend([format!("model, T = {at}"), format!("tempered, T = {at}")]);
        columns.push(batch.with(|batch| {
            let batch = batch.as_ref();
            batch.map_or_else(Vec::new, |batch| in_rows(&batch.density))
        }));
        columns.push(curve(tempered_curve(experiment, temperature)));
    }
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let rows = as_table::rows_over(experiment.plot_range(), &columns, 3);
    as_table::html(
        "Densities over x, each a mean over an equal part of the plot",
        &heads,
        &rows,
    )
}

#[component]
fn Panel(temperature: f64, batch: Signal<Option<Arc<BatchResult>>>) -> impl IntoView {
    let experiment = &EXPERIMENTS[SUBJECT];
    let screen = expect_context::<Screen>();
    let canvas = NodeRef::<html::Canvas>::new();
    let range = experiment.plot_range();
    let curves: StoredValue<(Curve, Curve)> = StoredValue::new((
        target_curve(experiment),
        tempered_curve(experiment, temperature),
    ));
    Effect::new(move |_| {
        screen.resized.track();
        let palette = screen.palette.get();
        let Some(canvas) = canvas.get() else { return };
        let picture = batch.with(|batch| {
            batch
                .as_ref()
                .map_or_else(Picture::default, |batch| Picture {
                    histogram: Vec::new(),
                    ..Picture::of(batch, experiment)
                })
        });
        let outcome = curves.with_value(|(target, tempered)| {
            let scene = Scene {
                landscape: experiment.into(),
                layout: Layout::Densities,
                target,
                tempered: Some(tempered),
                picture: &picture,
                top: None,
                model: model_colour(experiment, &palette),
            };
            draw(&canvas, &scene, &palette)
        });
        if let Err(why) = outcome {
            leptos::logging::warn!("the figure could not be drawn: {why}");
        }
    });
    let distance = move || {
        batch.with(|batch| {
            batch.as_ref().map_or_else(
                || UNKNOWN.into(),
                |batch| {
                    let tv = curves
                        .with_value(|(_, green)| total_variation(&batch.density, green, range));
                    fixed(tv, 2)
                },
            )
        })
    };
    let label = move || {
        format!(
            "Densities over x at temperature {}: the model with scaled steps lies at total variation {} from the tempered target.",
            fixed(temperature, 2),
            distance(),
        )
    };
    view! {
        <div class="panel">
            <p class="panel-title">
                {format!("T = {}", fixed(temperature, 2))}
                <span>"model to tempered: TV "<b>{distance}</b></span>
            </p>
            <canvas class="plot" node_ref=canvas role="img" aria-label=label></canvas>
        </div>
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
