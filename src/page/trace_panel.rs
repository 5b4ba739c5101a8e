//! One trajectory, every term: a stepper through the formula with its numbers, and which way the
//! gradient pushes.

use super::share::AddressBar;
use super::study::{Inquiry, ModelChoice, StudyPanel, subject};
use gflownet_tour_core::address;
use gflownet_tour_core::experiment::{BATCH, Experiment};
use gflownet_tour_core::exploration::Exploration;
use gflownet_tour_core::message::{Question, Study, TraceStudy, Walk};
use gflownet_tour_core::trace::{Term, Trace};
use gflownet_tour_widgets::format::{UNKNOWN, chance, fixed, place, thousands};
use gflownet_tour_widgets::formulas as tex;
use gflownet_tour_widgets::island::Island;
use gflownet_tour_widgets::math::Math;
use gflownet_tour_widgets::numbers;
use gflownet_tour_widgets::palette::Palette;
use gflownet_tour_widgets::plot::{Sheet, solid, told};
use leptos::html;
use leptos::prelude::*;
use plotters::prelude::{Circle, PathElement};
use web_sys::HtmlCanvasElement;

/// Where the reader has stepped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// log P_F of the step from t to t + 1.
    Forward(usize),
    /// log R at the end.
    Reward,
    /// log P_B of the step from t back to t - 1.
    Backward(usize),
    /// The residual.
    Sum,
}

impl Stop {
    fn count(steps: usize) -> usize {
        2 * steps + 2
    }

    /// The place number `index`: forward from the start to the reward, then back.
    fn at(index: usize, steps: usize) -> Stop {
        match index {
            i if i < steps => Stop::Forward(i),
            i if i == steps => Stop::Reward,
            i if i <= 2 * steps => Stop::Backward(2 * steps + 1 - i),
            _ => Stop::Sum,
        }
    }

    fn term(self, trace: &Trace) -> Option<&Term> {
        match self {
            Stop::Forward(t) => trace.forward.get(t),
            Stop::Backward(t) => trace.backward.get(t.checked_sub(1)?),
            _ => None,
        }
    }

    /// What the place takes the logarithm of, as the formula has it.
    fn name(self, steps: usize) -> String {
        let sub = |t: usize| char::from_u32('₀' as u32 + t as u32).unwrap_or('ₜ');
        match self {
            Stop::Forward(t) => format!("P_F(x{}|x{})", sub(t + 1), sub(t)),
            Stop::Backward(t) => format!("P_B(x{}|x{})", sub(t.saturating_sub(1)), sub(t)),
            Stop::Reward => format!("R(x{})", sub(steps)),
            Stop::Sum => "residual".into(),
        }
    }
}

/// Means of the modes, from left to right.
fn means(experiment: &Experiment) -> Vec<f64> {
    let mut means: Vec<f64> = experiment.modes.iter().map(|m| m.mean).collect();
    means.sort_by(f64::total_cmp);
    means
}

/// The mode that the model serves worst: its place from left to right.
fn poorest(experiment: &Experiment) -> Option<usize> {
    let masses = &numbers::model(experiment.name)?.mode_mass;
    let (mode, _) = masses
        .iter()
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(b.1))?;
    Some(mode)
}

/// The part, closed at first.
#[component]
pub fn TracePanel() -> impl IntoView {
    let bar = expect_context::<AddressBar>();
    let chosen = bar.signal(|state, _| &mut state.trace.model, 0);
    let is_open = bar.signal(|state, _| &mut state.trace.is_open, 0);
    let asked = bar.signal(|state, _| &mut state.trace.walk, 0);
    // None: the forward policy draws; else walks come back from a mode.
    let from = Memo::new(move |_| {
        let experiment = subject(chosen.get());
        match asked.get() {
            address::Walk::Poorest => poorest(experiment),
            address::Walk::Forward => None,
            address::Walk::Mode(mode) => Some(mode.min(experiment.modes.len() - 1)),
        }
    });
    let seed = bar.signal(|state, _| &mut state.trace.seed, 0);
    let stop = bar.signal(|state, _| &mut state.trace.term, 0);
    let inquiry = Inquiry::new(is_open, move || {
        let experiment = subject(chosen.get());
        let place = from
            .get()
            .and_then(|mode| means(experiment).get(mode).copied());
        let walk = place.map_or(Walk::Forward, |from| Walk::Backward { from });
        let seed = seed.get();
        (experiment.name, Question::Trace { walk, seed })
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
            name="trace"
            title=Island::Trace.title()
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
                <caption>
                    "The terms of this walk: logarithms, in nats. Push: the negative derivatives of the squared residual by μ, and by the network's raw number for σ"
                </caption>
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
            <p class="aside">
                "The walk is one sample, drawn from its seed. Its terms, and the chance of its basin, are exact. A
                positive residual says that the forward side is too large for this walk: the gradient then makes its
                steps less likely, lowers "<Math formula=tex::LOG_Z />", and makes the backward
                steps more likely. A negative one does the reverse."
            </p>
        </StudyPanel>
    }
}

/// A row of the table: name, law, action, value, push and the row's class.
fn row(stop: Stop, trace: &Trace, now: Stop) -> [String; 6] {
    let none = String::new;
    let steps = trace.forward.len();
    let Some(term) = stop.term(trace) else {
        let class = if stop == now { "now" } else { "" };
        let value = fixed(trace.log_reward, 2);
        return [
            stop.name(steps),
            none(),
            none(),
            value,
            none(),
            class.into(),
        ];
    };
    let class = match (stop == now, term.is_counted) {
        (true, _) => "now",
        (false, true) => "",
        (false, false) => "uncounted",
    };
    let (value, push) = if term.is_counted {
        let push = format!("{}, {}", signed(-term.by_mean), signed(-term.by_raw_std));
        (fixed(term.log_density, 2), push)
    } else {
        ("uncounted".into(), none())
    };
    [
        stop.name(steps),
        format!("{} ± {}", fixed(term.mean, 2), fixed(term.std, 2)),
        fixed(term.action, 2),
        value,
        push,
        class.into(),
    ]
}

/// A number with its sign, as short as its size allows.
fn signed(value: f64) -> String {
    let digits = if value.abs() < 9.95 { 1 } else { 0 };
    let text = fixed(value, digits);
    if value > 0.0 {
        format!("+{text}")
    } else {
        text
    }
}

/// What the place says, in a sentence or two.
fn explain(trace: &Trace, stop: Stop) -> String {
    let steps = trace.forward.len();
    let state = |t: usize| {
        trace
            .states
            .get(t)
            .map_or_else(|| UNKNOWN.into(), |&x| fixed(x, 2))
    };
    let law = |term: &Term| format!("μ = {}, σ = {}", fixed(term.mean, 2), fixed(term.std, 2));
    match (stop, stop.term(trace)) {
        (Stop::Forward(t), Some(term)) => format!(
            "Step {} of {steps}, forward: at x = {} the policy says {}, and the step was {}. log {} = {}. {}",
            t + 1,
            state(t),
            law(term),
            fixed(term.action, 2),
            stop.name(steps),
            fixed(term.log_density, 2),
            push(term),
        ),
        (Stop::Backward(t), Some(term)) if term.is_counted => format!(
            "Back from t = {t}: at x = {} the backward policy says {}, and the step was {}. log {} = {}. {}",
            state(t),
            law(term),
            fixed(term.action, 2),
            stop.name(steps),
            fixed(term.log_density, 2),
            push(term),
        ),
        (Stop::Backward(t), _) => format!(
            "Back from t = {t} to x = {}: this loss does not count the step{}",
            state(t.saturating_sub(1)),
            if t == 1 { ", which is forced." } else { "." },
        ),
        (Stop::Reward, _) => format!(
            "The walk has ended at x = {}. log R = {}.",
            state(steps),
            fixed(trace.log_reward, 2)
        ),
        _ => format!(
            "All together: a residual of {} nats, a loss of {}. The gradient moves log Z {}.",
            fixed(trace.residual, 2),
            fixed(trace.residual.powi(2), 2),
            if trace.by_log_z > 0.0 { "down" } else { "up" },
        ),
    }
}

/// Which way the gradient moves a law.
fn push(term: &Term) -> String {
    let toward = (term.action > term.mean) == (term.by_mean < 0.0);
    format!(
        "The gradient moves μ {} this step, and makes σ {}.",
        if toward { "toward" } else { "away from" },
        if term.by_raw_std < 0.0 {
            "wider"
        } else {
            "narrower"
        },
    )
}

/// The formula with this walk's numbers.
fn sum(trace: &Trace) -> String {
    let in_brackets = |value: f64| {
        let text = fixed(value, 2);
        if value < 0.0 {
            format!("({text})")
        } else {
            text
        }
    };
    format!(
        "log Z + Σ log P_F \u{2212} log R \u{2212} Σ log P_B = {} + {} \u{2212} {} \u{2212} {} = {}; squared, {}.",
        fixed(trace.log_z, 2),
        in_brackets(trace.log_forward()),
        in_brackets(trace.log_reward),
        in_brackets(trace.log_backward()),
        fixed(trace.residual, 2),
        fixed(trace.residual.powi(2), 2),
    )
}

/// How likely walks to this basin are, and what that means for training.
fn rarity(experiment: &Experiment, study: &TraceStudy) -> String {
    let mean = means(experiment).get(study.basin as usize).copied();
    let trained = (experiment.iterations * BATCH) as f64;
    let mut words = format!(
        "The chance that a walk of this model ends nearest the mode at {} is {}, exactly. Its \
         training saw {} walks. ",
        place(mean.unwrap_or(f64::NAN)),
        chance(study.chance),
        thousands(trained as u64),
    );
    if study.chance * trained < 0.01 {
        let residual = study.trace.residual;
        words += &format!(
            "As the model is now, not one of as many would come here: the residual of {} nats, a loss \
             of {}, enters no average. ",
            fixed(residual, 1),
            thousands(residual.powi(2).round() as u64),
        );
        if experiment.exploration == Exploration::None {
            words += "On-policy, nothing can pull this walk into balance.";
        }
    }
    words
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
