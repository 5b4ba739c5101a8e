//! One trajectory, every term: a stepper through the formula with its numbers, and which way the
//! gradient pushes.

use super::share::AddressBar;
use super::study::{Inquiry, ModelChoice, StudyPanel};
use gflownet_tour_core::address;
use gflownet_tour_core::experiment::Experiment;
use gflownet_tour_core::message::{Study, TraceStudy};
use gflownet_tour_core::trace::Trace;
use gflownet_tour_widgets::format::{fixed, place};
use gflownet_tour_widgets::island::Island;
use gflownet_tour_widgets::palette::Palette;
use gflownet_tour_widgets::plot::{Sheet, solid, told};
use gflownet_tour_widgets::study::{end_of, means, subject, walk_question};
use gflownet_tour_widgets::walk::{CAPTION, Stop, explain, rarity, row, sum};
use leptos::html;
use leptos::prelude::*;
use plotters::prelude::{Circle, PathElement};
use web_sys::HtmlCanvasElement;

/// The part, closed at first.
#[component]
pub fn TracePanel() -> impl IntoView {
    let bar = expect_context::<AddressBar>();
    let chosen = bar.signal(|state, _| &mut state.trace.model, 0);
    let is_open = bar.signal(|state, _| &mut state.trace.is_open, 0);
    let asked = bar.signal(|state, _| &mut state.trace.walk, 0);
    // None: the forward policy draws; else walks come back from a mode.
    let from = Memo::new(move |_| end_of(subject(chosen.get()), asked.get()));
    let seed = bar.signal(|state, _| &mut state.trace.seed, 0);
    let stop = bar.signal(|state, _| &mut state.trace.term, 0);
    let inquiry = Inquiry::new(is_open, move || {
        walk_question(subject(chosen.get()), from.get(), seed.get())
    });
    let with_trace = move |tell: &mut dyn FnMut(&'static Experiment, &TraceStudy, Stop)| {
        inquiry.told(|result, study| match study {
            Study::Trace(study) => {
                let experiment = Experiment::named(&result.model)?;
                tell(experiment, study, Stop::at(stop.get(), experiment.steps));
                Some(())
            }
            _ => None,
        });
    };
    let said = move |tell: &dyn Fn(&'static Experiment, &TraceStudy, Stop) -> String| {
        let mut text = String::new();
        with_trace(&mut |experiment, study, stop| text = tell(experiment, study, stop));
        text
    };
    let canvas = NodeRef::<html::Canvas>::new();
    inquiry.draw(
        canvas,
        move || stop.track(),
        move |canvas, palette| {
            let mut outcome = Ok(());
            with_trace(&mut |experiment, study, stop| {
                outcome = draw(canvas, experiment, &study.trace, stop, palette);
            });
            outcome
        },
    );
    let last = move || Stop::count(subject(chosen.get()).steps) - 1;
    let go = move |forward: bool| {
        stop.update(|at| {
            *at = if forward {
                (*at + 1).min(last())
            } else {
                at.saturating_sub(1)
            }
        });
    };
    let rows = move || {
        let mut rows = Vec::new();
        with_trace(&mut |experiment, study, now| {
            let steps = experiment.steps;
            rows = (0..Stop::count(steps) - 1)
                .map(|index| row(Stop::at(index, steps), &study.trace, now))
                .collect();
        });
        rows.into_iter()
            .map(|[name, law, action, log, push, class]| {
                let is_now = class == "now";
                view! {
                    <tr class=class aria-current=is_now.then_some("step")>
                        <th scope="row">{name}</th>
                        <td class="law">{law}</td>
                        <td>{action}</td>
                        <td>{log}</td>
                        <td>{push}</td>
                    </tr>
                }
            })
            .collect_view()
    };
    let explain = move || said(&|_, study, stop| explain(&study.trace, stop));
    let sum = move || said(&|_, study, _| sum(&study.trace));
    let rarity = move || said(&|experiment, study, _| rarity(experiment, study));
    let label = move || {
        said(&|experiment, study, _| {
            let states: Vec<String> = study.trace.states.iter().map(|&x| fixed(x, 2)).collect();
            format!(
                "One walk of the model {}, through x = {}. ",
                experiment.title,
                states.join(", ")
            )
        }) + &explain()
    };
    let walks = move || {
        means(subject(chosen.get()))
            .into_iter()
            .enumerate()
            .map(|(mode, mean)| {
                view! {
                    <option value=mode.to_string() prop:selected=move || from.get() == Some(mode)>
                        {format!("walked back from the mode at {}", place(mean))}
                    </option>
                }
            })
            .collect_view()
    };
    let note = RwSignal::new(None::<String>);
    let resample = move |_| match getrandom::u64() {
        Ok(fresh) => {
            note.set(None);
            seed.set(fresh);
        }
        Err(why) => note.set(Some(format!("The browser gave no random seed: {why}."))),
    };
    let reading = move || note.get().unwrap_or_else(explain);
    view! {
        <StudyPanel
            island=Island::Trace
            inquiry
            spoken=Signal::derive(reading)
            controls=move || {
                view! {
                    <ModelChoice
                        id="trace-model"
                        chosen
                        before=move |_| asked.set(address::Walk::Poorest)
                    />
                    <div class="field">
                        <label for="trace-walk">"Walk"</label>
                        <select
                            id="trace-walk"
                            on:change=move |ev| {
                                let mode = event_target_value(&ev).parse();
                                asked.set(mode.map_or(address::Walk::Forward, address::Walk::Mode));
                            }
                        >
                            <option value="forward" prop:selected=move || from.get().is_none()>
                                "drawn by the forward policy"
                            </option>
                            {walks}
                        </select>
                    </div>
                    <button type="button" class="resample" on:click=resample>
                        "Another walk"
                    </button>
                }
            }
        >
            <figure>
                <canvas class="plot walk" node_ref=canvas role="img" aria-label=label></canvas>
                <figcaption>
                    <span class="key line walked">"the walk"</span>
                    <span class="key line model">"forward policy's step, ±1 and ±2 σ"</span>
                    <span class="key line bug">"backward policy's step"</span>
                    <span class="key dash">"modes"</span>
                    <span class="key dot">"start, S₀"</span>
                </figcaption>
            </figure>
            <div class="controls">
                <button
                    type="button"
                    prop:disabled=move || stop.get() == 0
                    on:click=move |_| go(false)
                >
                    "Term before"
                </button>
                <button
                    type="button"
                    class="later"
                    prop:disabled=move || { stop.get() >= last() }
                    on:click=move |_| go(true)
                >
                    "Next term"
                </button>
                <p class="reading">{reading}</p>
            </div>
            <table class="terms">
                <caption>{CAPTION}</caption>
                <thead>
                    <tr>
                        <th scope="col">"log of"</th>
                        <th scope="col" class="law">"law μ ± σ"</th>
                        <th scope="col">"step"</th>
                        <th scope="col">"value"</th>
                        <th scope="col">"push μ, σ"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
            <p class="sum">{sum}</p>
            <p class="finding">{rarity}</p>
        </StudyPanel>
    }
}

fn draw(
    canvas: &HtmlCanvasElement,
    experiment: &Experiment,
    trace: &Trace,
    stop: Stop,
    palette: &Palette,
) -> Result<(), String> {
    let Some(sheet) = Sheet::on(canvas, palette)? else {
        return Ok(());
    };
    let range = experiment.plot_range();
    let steps = experiment.steps as f64;
    let span = (-0.08 * steps, 1.05 * steps);
    let [heading, axis, left, right] = [28.0, 30.0, 46.0, 10.0].map(|css| sheet.px(css));
    let area = sheet.root.margin(heading, axis, left, right);
    let plane = Sheet::plane(&area, range, span);
    sheet.modes(&plane, experiment.modes, span)?;

    // The law of the step in question, where it may land.
    let landing = match stop {
        Stop::Forward(t) => Some((t, t + 1, 1.0, palette.model)),
        Stop::Backward(t) => Some((t, t - 1, -1.0, palette.bug)),
        _ => None,
    };
    if let (Some((from, to, sign, colour)), Some(term)) = (landing, stop.term(trace)) {
        let start = trace.states[from];
        let mean = start + sign * term.mean;
        for (reach, alpha, width) in [(2.0, 0.25, 9.0), (1.0, 0.55, 9.0)] {
            let ends = [mean - reach * term.std, mean + reach * term.std];
            let bar = ends.map(|x| (x.clamp(range.0, range.1), to as f64));
            let style = sheet.stroke(colour, alpha, width);
            plane
                .draw(&PathElement::new(bar.to_vec(), style))
                .map_err(told)?;
        }
        let lean = vec![
            (start, from as f64),
            (mean.clamp(range.0, range.1), to as f64),
        ];
        let style = sheet.stroke(colour, 1.0, 1.5);
        plane.draw(&PathElement::new(lean, style)).map_err(told)?;
    }
    let points: Vec<(f64, f64)> = trace
        .states
        .iter()
        .enumerate()
        .map(|(t, &x)| (x.clamp(range.0, range.1), t as f64))
        .collect();
    let line = PathElement::new(points.clone(), sheet.stroke(palette.ink, 1.0, 1.75));
    plane.draw(&line).map_err(told)?;
    for &point in &points {
        let dot = Circle::new(point, sheet.px(3.5), solid(palette.ink, 1.0).filled());
        plane.draw(&dot).map_err(told)?;
    }
    sheet.start(&plane, (experiment.start, 0.0))?;
    sheet.y_axis(&plane, (range.0, span.1), "step t", |t| {
        (t.fract() == 0.0 && t >= 0.0).then(|| fixed(t, 0))
    })?;
    sheet.x_axis(&area, range)
}
