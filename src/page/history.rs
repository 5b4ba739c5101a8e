//! Trainings shown: the curves of each run with a cursor, and the count of modes that its log Z
//! stands for. All of it comes from the manifest.

use gflownet_tour_core::balance::BackwardLoop;
use gflownet_tour_core::experiment::EXPERIMENTS;
use gflownet_tour_core::weights::manifest::ModelEntry;
use gflownet_tour_widgets::format::{fixed, thousands};
use gflownet_tour_widgets::formulas;
use gflownet_tour_widgets::math::Math;
use gflownet_tour_widgets::numbers;
use gflownet_tour_widgets::record::{self, Axis, BOX, Quantity, quantities};
use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::html;
use leptos::prelude::*;

/// The class that gives a run its colour.
fn colour(model: &ModelEntry) -> &'static str {
    match model.recipe.backward_loop {
        BackwardLoop::Correct => "model",
        _ => "bug",
    }
}

fn title(model: &ModelEntry) -> &'static str {
    EXPERIMENTS
        .iter()
        .find(|e| e.name == model.name)
        .map_or("", |e| e.title)
}

/// The tour's five models, by their final loss; or why there are none.
pub fn runs() -> Result<Vec<&'static ModelEntry>, String> {
    if let Some(why) = numbers::problem() {
        return Err(why.to_owned());
    }
    let mut models: Vec<_> = EXPERIMENTS
        .iter()
        .filter_map(|e| numbers::model(e.name))
        .collect();
    models.sort_by(|a, b| a.final_loss.total_cmp(&b.final_loss));
    if models.is_empty() {
        return Err("no training is known".to_owned());
    }
    Ok(models)
}

/// The table of the runs, from which one is chosen, and its curves and gauge.
#[component]
pub fn History(
    /// One at least, as [`runs`] gives them.
    models: Vec<&'static ModelEntry>,
) -> impl IntoView {
    let chosen = RwSignal::new(0);
    let rows = models.iter().enumerate().map(|(place, model)| {
        view! {
            <tr class:chosen=move || chosen.get() == place>
                <th scope="row">
                    <label class="run">
                        <input
                            type="radio"
                            name="history-run"
                            value=model.name.clone()
                            prop:checked=move || chosen.get() == place
                            on:change=move |_| chosen.set(place)
                        />
                        {title(model)}
                    </label>
                </th>
                <td>{record::loss(model.final_loss)}</td>
                <td>{fixed(record::modes_believed(model.log_z), 2)}</td>
                <td>{model.recipe.modes.len()}</td>
                <td>{fixed(model.metrics.total_variation, 3)}</td>
            </tr>
        }
    });
    let rows = rows.collect_view();
    view! {
        <figure class="history">
            <table class="wide">
                <caption>
                    "The five runs, the lowest loss first. Choose one to see its training"
                </caption>
                <thead>
                    <tr>
                        <th scope="col">"run"</th>
                        <th scope="col">"loss"</th>
                        // A head has to have letters: some readers have no formulas.
                        <th scope="col">
                            <span class="unseen">"e to the log Z"</span>
                            <span aria-hidden="true"><Math formula=formulas::EXP_LOG_Z /></span>
                        </th>
                        <th scope="col">"modes"</th>
                        <th scope="col">"total variation"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
            <Curves models chosen />
        </figure>
    }
}

#[component]
fn Curves(models: Vec<&'static ModelEntry>, chosen: RwSignal<usize>) -> impl IntoView {
    let longest = models.iter().map(|m| m.recipe.iterations).max();
    let x = Axis {
        lo: 1.0,
        hi: longest.unwrap_or(2) as f64,
        is_log: true,
    };
    let quantities = quantities(&models);
    let most_modes = models
        .iter()
        .flat_map(|m| &m.curve)
        .map(|point| record::modes_believed(point.log_z));
    let believed = Axis::units(most_modes.chain([0.0]));
    let models = StoredValue::new(models);
    let model = move || models.with_value(|models| models[chosen.get().min(models.len() - 1)]);
    // The iteration under the cursor; the end until a reader moves it.
    let cursor = RwSignal::new(x.hi);
    let place = Memo::new(move |_| record::nearest(&model().curve, cursor.get()));
    let point = move || {
        let curve = &model().curve;
        curve[place.get().min(curve.len() - 1)]
    };
    let area = NodeRef::<html::Div>::new();
    let hover = move |ev: PointerEvent| {
        if let Some(area) = area.get_untracked() {
            let place = area.get_bounding_client_rect();
            let share = (f64::from(ev.client_x()) - place.left()) / place.width().max(1.0);
            cursor.set(x.value(share.clamp(0.0, 1.0)));
        }
    };
    let press = move |ev: KeyboardEvent| {
        let (now, last) = (place.get_untracked(), model().curve.len() - 1);
        let next = match ev.key().as_str() {
            "ArrowLeft" | "ArrowDown" => now.saturating_sub(1),
            "ArrowRight" | "ArrowUp" => now + 1,
            "PageDown" => now.saturating_sub(10),
            "PageUp" => now + 10,
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        ev.prevent_default();
        cursor.set(model().curve[next.min(last)].iteration as f64);
    };
    let words = Memo::new(move |_| record::tell(model(), &point()));
    let field = NodeRef::<html::Input>::new();
    let show = move |iteration: usize| {
        if let Some(field) = field.get_untracked() {
            field.set_value(&iteration.to_string());
        }
    };
    Effect::new(move |_| {
        field.track();
        show(point().iteration);
    });
    let type_done = move |ev| {
        let (curve, now) = (&untrack(model).curve, place.get_untracked());
        let iterations: Vec<usize> = curve.iter().map(|point| point.iteration).collect();
        let typed = event_target_value(&ev).trim().parse();
        let next = typed.map_or(now, |typed| record::toward(&iterations, now, typed));
        cursor.set(iterations[next] as f64);
        // Also where the place stays and what was typed does not.
        show(iterations[next]);
    };
    let plots = quantities.map(|quantity| {
        let Quantity { name, of, axis, digits } = quantity;
        let line = move |model: &ModelEntry| {
            let points = model.curve.iter().map(|p| (p.iteration as f64, of(p)));
            record::path(points, x, axis)
        };
        let others = models.with_value(|models| {
            let line = |model: &&'static ModelEntry| view! { <path class="other" d=line(model) /> };
            models.iter().map(line).collect_view()
        });
        let is_log_z = name.starts_with("log Z");
        let truth = move || {
            let down = BOX * (1.0 - axis.share(model().log_z_true));
            format!("M0 {down:.0}H{BOX}")
        };
        let ticks = axis.ticks(4).into_iter().map(|value| {
            let place = format!("bottom: {:.2}%", 100.0 * axis.share(value));
            view! { <span class="tick" prop:style=place>{digits(value)}</span> }
        });
        let ticks = ticks.collect_view();
        view! {
            <p class="plot-name">{name}</p>
            <div class="curve">
                {ticks}
                <svg viewBox=format!("0 0 {BOX} {BOX}") preserveAspectRatio="none" aria-hidden="true">
                    {others}
                    {is_log_z.then(|| view! { <path class="truth" d=truth /> })}
                    <path class=move || colour(model()) d=move || line(model()) />
                </svg>
                <span
                    class=move || format!("dot {}", colour(model()))
                    prop:style=move || {
                        let point = point();
                        format!(
                            "left: {:.2}%; bottom: {:.2}%",
                            100.0 * x.share(point.iteration as f64),
                            100.0 * axis.share(of(&point)),
                        )
                    }
                ></span>
            </div>
        }
    });
    let ticks = x.ticks(5).into_iter().map(|value| {
        let place = format!("left: {:.2}%", 100.0 * x.share(value));
        view! { <span class="tick" prop:style=place>{thousands(value.round() as u64)}</span> }
    });
    let ticks = ticks.collect_view();
    view! {
        <div
            class="curves"
            role="slider"
            tabindex="0"
            aria-label="Iteration of the training"
            aria-valuemin="1"
            aria-valuemax=move || model().recipe.iterations.to_string()
            aria-valuenow=move || point().iteration.to_string()
            aria-valuetext=words
            on:pointermove=hover
            on:pointerdown=hover
            on:keydown=press
        >
            <div class="area" node_ref=area>
                {plots.into_iter().collect_view()}
                <span
                    class="cursor"
                    prop:style=move || {
                        format!("left: {:.2}%", 100.0 * x.share(point().iteration as f64))
                    }
                ></span>
            </div>
            <div class="x-ticks">{ticks}</div>
            <p class="x-name">"iteration, log scale"</p>
        </div>
        <div class="history-line">
            <label for="history-iteration">"Iteration"</label>
            <input
                type="number"
                id="history-iteration"
                node_ref=field
                min="1"
                max=move || model().recipe.iterations.to_string()
                inputmode="numeric"
                on:change=type_done
            />
            <p class="history-readout">{words}</p>
        </div>
        <Gauge
            believed
            colour=Signal::derive(move || colour(model()))
            log_z=Signal::derive(move || point().log_z)
            modes=Signal::derive(move || model().recipe.modes.len())
        />
        <figcaption>
            <span class=move || {
                format!("key line {}", colour(model()))
            }>{move || title(model())}</span>
            <span class="key other">"the other runs"</span>
            <span class="key truth">"log Z, true"</span>
        </figcaption>
    }
}

/// How many modes of area one a log Z stands for, beside how many there are.
#[component]
fn Gauge(
    believed: Axis,
    colour: Signal<&'static str>,
    log_z: Signal<f64>,
    modes: Signal<usize>,
) -> impl IntoView {
    let count = move || record::modes_believed(log_z.get());
    let ticks = believed.ticks(8).into_iter().map(|value| {
        let place = format!("left: {:.2}%", 100.0 * believed.share(value));
        view! { <span class="tick" prop:style=place>{fixed(value, 0)}</span> }
    });
    let ticks = ticks.collect_view();
    view! {
        <div class="gauge">
            <p class="gauge-words">
                "How many modes does it believe in? " <b>{move || fixed(count(), 2)}</b> ", of "
                {move || modes.get()}
            </p>
            <div class="gauge-bar" aria-hidden="true">
                <span
                    class=move || format!("gauge-fill {}", colour.get())
                    prop:style=move || format!("width: {:.2}%", 100.0 * believed.share(count()))
                ></span>
                <span
                    class="gauge-truth"
                    prop:style=move || {
                        format!("left: {:.2}%", 100.0 * believed.share(modes.get() as f64))
                    }
                ></span>
                {ticks}
            </div>
        </div>
    }
}
