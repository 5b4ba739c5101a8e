//! One demo: a figure, its controls and its numbers. The page uses it for each model of the tour.

use super::link::{Draft, Engine, EngineState, ModelState};
use super::scrub::{Scrub, Scrubber};
use super::share::{AddressBar, CopyLink};
use super::still::{Framed, Still, Told};
use gflownet_tour_core::address::{COUNTS, Control};
use gflownet_tour_core::balance::BackwardLoop;
use gflownet_tour_core::experiment::{self, Experiment};
use gflownet_tour_core::message::{
    BatchResult, DeviceChoice, DeviceUsed, GpuStatus, PLACEHOLDER_STD,
};
use gflownet_tour_widgets::as_table::{self, AsTable};
use gflownet_tour_widgets::dial::{Dial, Scale};
use gflownet_tour_widgets::follow::follow;
use gflownet_tour_widgets::format::{
    TEMPERATURE_STEP, TEMPERATURES, UNKNOWN, duration, fixed, percent, place, thousands,
};
use gflownet_tour_widgets::formulas;
use gflownet_tour_widgets::island::DEVICES;
use gflownet_tour_widgets::math::Math;
use gflownet_tour_widgets::palette::{Palette, Rgb};
use gflownet_tour_widgets::picture::{
    BINS, CELLS, Curve, PATHS, Picture, fingerprint, in_rows, target_curve, tempered_curve,
    total_variation,
};
use gflownet_tour_widgets::plot::{Layout, Scene, draw};
use gflownet_tour_widgets::screen::{Screen, once_near};
use gflownet_tour_widgets::spoken::Spoken;
use leptos::html;
use leptos::prelude::*;
use std::sync::Arc;

/// The temperatures that the slider offers.
const TEMPERATURE_ENDS: (f64, f64) = (*TEMPERATURES.start(), *TEMPERATURES.end());

/// The colour of a model's exact density: one that was trained with a bug wears the bug's.
pub fn model_colour(experiment: &Experiment, palette: &Palette) -> Rgb {
    match experiment.backward_loop {
        BackwardLoop::Correct => palette.model,
        _ => palette.bug,
    }
}

/// The demo of the experiment with the given place among all.
#[component]
pub fn Demo(index: usize) -> impl IntoView {
    let experiment = experiment::at(index);
    let engine = expect_context::<Engine>();
    let screen = expect_context::<Screen>();
    let slot = engine.open();
    let bar = expect_context::<AddressBar>();
    let scrub = Scrub::new(index, engine, bar);
    // The trained model as the article shows it, until the engine has drawn it.
    let still = use_context::<Still>();
    let has_still = still.is_some();

    let temperature = bar.signal(|state, index| &mut state.demos[index].temperature, index);
    let seed = bar.signal(|state, index| &mut state.demos[index].seed, index);
    let count = bar.signal(|state, index| &mut state.demos[index].count, index);
    let tempered = bar.signal(|state, index| &mut state.demos[index].tempered, index);
    let note = RwSignal::new(None::<String>);
    let is_near = RwSignal::new(false);
    // The batch on the canvas, from which the numbers are read, so that both always agree.
    let drawn = RwSignal::new(None::<Arc<BatchResult>>);

    // Whether the reader did something here, and so waits for what comes of it.
    let is_used = RwSignal::new(false);

    let frame = NodeRef::<html::Div>::new();
    let canvas = NodeRef::<html::Canvas>::new();

    Effect::new(move |_| {
        if let Some(frame) = frame.get() {
            once_near(&frame, move || {
                engine.load(index);
                is_near.set(true);
            });
        }
    });

    // A batch is asked for when the reader changes something, when the weights are there, and when
    // an engine or its GPU starts. That a GPU is not there changes nothing.
    let powers = Memo::new(move |_| match engine.state.get() {
        EngineState::Starting | EngineState::Gone(_) => 0,
        EngineState::Ready | EngineState::Settled(GpuStatus::Unavailable { .. }) => 1,
        EngineState::Settled(GpuStatus::Running { .. }) => 2,
    });
    let loaded = Memo::new(move |_| engine.models[index].get() == ModelState::Loaded);
    Effect::new(move |_| {
        follow(loaded);
        if powers.get() == 0 || !is_near.get() {
            return;
        }
        let draft = Draft {
            demo: 0,
            id: 0,
            model: experiment.name.into(),
            snapshot: scrub.and_then(Scrub::snapshot),
            beta: None,
            sigma_scale: temperature.get(),
            seed: seed.get(),
            count: count.get(),
            device: engine.device.get(),
            paths: PATHS,
            range: experiment.plot_range(),
            bins: BINS,
            cells: CELLS,
        };
        engine.ask(slot, draft);
    });

    let target = StoredValue::new(target_curve(experiment));
    let paint = move || {
        let Some(canvas) = canvas.get_untracked() else {
            return;
        };
        let batch = slot.batch.get_untracked();
        // The placeholder is a picture of what will not come; what may come is better waited for.
        let may_come = engine.models[index].with_untracked(|m| !matches!(m, ModelState::Failed(_)));
        if has_still && may_come && batch.as_ref().is_none_or(|batch| batch.placeholder) {
            return;
        }
        let palette = screen.palette.get_untracked();
        let picture = batch.as_ref().map_or_else(
            || Picture::placeholder(experiment),
            |batch| Picture::of(batch, experiment),
        );
        let green = tempered
            .get_untracked()
            .then(|| tempered_curve(experiment, temperature.get_untracked()));
        let outcome = target.with_value(|target| {
            let scene = Scene {
                landscape: experiment.into(),
                layout: Layout::Both,
                target,
                tempered: green.as_deref(),
                picture: &picture,
                top: None,
                model: model_colour(experiment, &palette),
            };
            draw(&canvas, &scene, &palette)
        });
        match outcome {
            Ok(()) => drawn.set(batch),
            Err(why) => note.set(Some(format!("The figure could not be drawn: {why}."))),
        }
    };
    // A batch is drawn as it comes, within the frame that it comes in; it was asked for by an event,
    // of which there is one a frame. All else can wait for the next frame.
    Effect::new(move |_| {
        slot.batch.track();
        engine.models[index].track();
        if canvas.get().is_some() {
            paint();
        }
    });
    let queued = StoredValue::new(false);
    Effect::new(move |_| {
        screen.palette.track();
        screen.resized.track();
        if tempered.get() {
            temperature.track();
        }
        if canvas.get().is_some() && !queued.get_value() {
            queued.set_value(true);
            request_animation_frame(move || {
                // A demo that went before its frame came has no figure any more.
                if queued.try_set_value(false).is_none() {
                    paint();
                }
            });
        }
    });

    let resample = move |_| match getrandom::u64() {
        Ok(fresh) => {
            note.set(None);
            seed.set(fresh);
        }
        Err(why) => note.set(Some(format!("The browser gave no random seed: {why}."))),
    };

    let status = Memo::new(move |_| {
        if let Some(note) = note.get() {
            return (Tone::Problem, note);
        }
        status(&Situation {
            experiment,
            engine: engine.state.get(),
            model: engine.models[index].get(),
            restarted: engine.restarted.get(),
            failure: slot.failure.get(),
            device: engine.device.get(),
            is_still: has_still && drawn.with(Option::is_none),
            has_model: drawn.with(|d| d.as_ref().is_some_and(|d| !d.placeholder)),
            no_training: scrub.and_then(Scrub::failure),
            progress: drawn.with(|d| d.as_ref().and_then(|d| progress(scrub, d))),
        })
    });

    let spoken = move || {
        let (tone, words) = status.get();
        let is_playing = scrub.is_some_and(Scrub::is_playing);
        let is_heard = is_near.get() && (is_used.get() || tone == Tone::Problem);
        let finding = drawn.with(|d| {
            let batch = d.as_ref().filter(|batch| !batch.placeholder)?;
            Some(finding(temperature.get(), batch))
        });
        (is_heard && !is_playing && !engine.is_busy(slot))
            .then(|| format!("{words} {}", finding.unwrap_or_default()))
    };

    let told = move |tell: fn(&BatchResult) -> String| {
        move || drawn.with(|d| d.as_ref().map_or_else(String::new, |d| tell(d)))
    };
    let is_drawn = move || drawn.with(Option::is_some);
    let table = move || {
        let picture = drawn.with(|d| {
            let batch = d.as_ref();
            batch.map_or_else(
                || Picture::placeholder(experiment),
                |batch| Picture::of(batch, experiment),
            )
        });
        let green = tempered
            .get()
            .then(|| tempered_curve(experiment, temperature.get()));
        let truth = target.get_value();
        numbers(experiment, &truth, green.as_ref(), &picture)
    };
    let still_label = still.as_ref().map(|still| still.label.clone());
    let label = move || {
        drawn.with(|d| {
            if let (Some(label), None) = (&still_label, d) {
                return label.clone();
            }
            let progress = d.as_ref().and_then(|d| progress(scrub, d));
            describe(experiment, temperature.get(), d.as_deref(), progress)
        })
    };
    let id = |part: &str| format!("{}-{part}", experiment.name);
    let bug = experiment.backward_loop != BackwardLoop::Correct;

    view! {
        <div
            class="demo"
            class:buggy=bug
            node_ref=frame
            data-demo=experiment.name
            data-state=move || {
                drawn.with(|d| match d {
                    None => "waiting",
                    Some(batch) if batch.placeholder => "placeholder",
                    Some(_) => "model",
                })
            }
            data-device=told(|b| device_name(b.device).into())
            data-batch=told(|b| b.id.to_string())
            data-sampled=told(|b| b.sampled.to_string())
            data-snapshot=told(|b| b.snapshot.map_or_else(|| "end".into(), |place| place.to_string()))
            data-tv=told(|b| format!("{:.6}", b.total_variation))
            data-histogram=told(|b| fingerprint(&b.histogram))
        >
            <figure>
                <Framed still=still.clone() drawn=Signal::derive(is_drawn)>
                    <canvas class="plot" node_ref=canvas role="img" aria-label=label></canvas>
                </Framed>
                <figcaption>
                    <Legend bug tempered=Signal::derive(move || tempered.get()) />
                </figcaption>
            </figure>
            <div
                class="controls"
                on:input=move |_| is_used.set(true)
                on:click=move |_| is_used.set(true)
            >
                <div class="field wide" hidden=move || bar.hides(Control::Temperature)>
                    <Dial
                        id=id("temperature")
                        class="temperature"
                        name="Temperature"
                        symbol="T"
                        digits=2
                        scale=Scale::plain(TEMPERATURE_ENDS, TEMPERATURE_STEP)
                        range=TEMPERATURE_ENDS
                        value=temperature
                        set=Callback::new(move |value| temperature.set(value))
                        note=Callback::new(move |words| note.set(words))
                    >
                        "Temperature "
                        <Math formula=formulas::TEMPERATURE />
                    </Dial>
                </div>
                {scrub.map(|scrub| view! { <Scrubber scrub drawn /> })}
                <button
                    type="button"
                    class="resample"
                    hidden=move || bar.hides(Control::Resample)
                    on:click=resample
                >
                    "Resample"
                </button>
                <div class="field" hidden=move || bar.hides(Control::Trajectories)>
                    <label for=id("count")>"Trajectories"</label>
                    <select
                        class="count"
                        id=id("count")
                        on:change=move |ev| {
                            if let Ok(value) = event_target_value(&ev).parse() {
                                count.set(value);
                            }
                        }
                    >
                        {COUNTS
                            .map(|n| {
                                view! {
                                    <option value=n.to_string() prop:selected=move || count.get() == n>
                                        {thousands(n.into())}
                                    </option>
                                }
                            })
                            .collect_view()}
                    </select>
                </div>
                <div class="field" hidden=move || bar.hides(Control::Engine)>
                    <label for=id("device")>"Engine"</label>
                    <select
                        class="device"
                        id=id("device")
                        on:change=move |ev| {
                            let value = event_target_value(&ev);
                            if let Some(choice) = DEVICES.iter().find(|d| d.1 == value) {
                                engine.device.set(choice.0);
                            }
                        }
                    >
                        {DEVICES
                            .map(|(choice, value, name)| {
                                let disabled = move || {
                                    choice == DeviceChoice::WebGpu && !gpu_may_run(&engine.state.get())
                                };
                                view! {
                                    <option
                                        value=value
                                        prop:selected=move || engine.device.get() == choice
                                        disabled=disabled
                                    >
                                        {name}
                                    </option>
                                }
                            })
                            .collect_view()}
                    </select>
                </div>
                <label class="check" hidden=move || bar.hides(Control::Tempered)>
                    <input
                        type="checkbox"
                        class="tempered"
                        prop:checked=move || tempered.get()
                        on:change=move |ev| tempered.set(event_target_checked(&ev))
                    />
                    "Show "
                    <Math formula=formulas::TEMPERED />
                </label>
                <CopyLink group=experiment.name about=experiment.title />
            </div>
            <p class="status" class:problem=move || status.get().0 == Tone::Problem>
                {move || status.get().1}
            </p>
            <Spoken words=Signal::derive(spoken) />
            <Told still drawn=Signal::derive(is_drawn)>
                <Readout experiment drawn tempered temperature count engine />
            </Told>
            <AsTable of=format!("The numbers of {}", experiment.title) table />
        </div>
    }
}

#[component]
fn Legend(bug: bool, tempered: Signal<bool>) -> impl IntoView {
    let model = if bug {
        view! { <span class="key line bug">"the buggy model, exactly"</span> }
    } else {
        view! { <span class="key line model">"the model, exactly"</span> }
    };
    view! {
        <span class="key line target">"target"</span>
        {model}
        <span class="key bar">"samples"</span>
        <span class="key dash">"modes"</span>
        <span class="key dot">"start, S₀"</span>
        <span class="key line path">"trajectories"</span>
        <Show when=move || tempered.get()>
            <span class="key line tempered">"tempered target"</span>
        </Show>
    }
}

#[component]
fn Readout(
    experiment: &'static Experiment,
    drawn: RwSignal<Option<Arc<BatchResult>>>,
    tempered: RwSignal<bool>,
    temperature: RwSignal<f64>,
    count: RwSignal<u32>,
    engine: Engine,
) -> impl IntoView {
    let told = move |tell: fn(&BatchResult) -> String| {
        move || drawn.with(|d| d.as_ref().map_or_else(|| UNKNOWN.to_owned(), |d| tell(d)))
    };
    let mut means: Vec<f64> = experiment.modes.iter().map(|m| m.mean).collect();
    means.sort_by(f64::total_cmp);
    let truth = experiment.target().mode_mass();
    let row = move |mass: fn(&BatchResult) -> &[f64]| {
        (0..experiment.modes.len())
            .map(|mode| {
                let cell = move || {
                    drawn.with(|d| {
                        d.as_ref()
                            .and_then(|d| mass(d).get(mode))
                            .map_or_else(|| UNKNOWN.to_owned(), |&m| percent(m, 1))
                    })
                };
                view! { <td>{cell}</td> }
            })
            .collect_view()
    };
    // The heaviest number of the readout; a memo, so that it is found once per picture.
    let to_tempered = Memo::new(move |_| {
        if !tempered.get() {
            return None;
        }
        let curve = tempered_curve(experiment, temperature.get());
        let range = experiment.plot_range();
        drawn.with(|d| {
            let density = &d.as_ref()?.density;
            Some(total_variation(density, &curve, range))
        })
    });
    let runner = move || {
        drawn.with(|d| {
            let Some(d) = d else {
                return UNKNOWN.to_owned();
            };
            let way = match d.device {
                DeviceUsed::Cpu => "network",
                DeviceUsed::CpuTable => "network tabulated",
                DeviceUsed::WebGpu => {
                    return engine.state.with(|state| match state {
                        EngineState::Settled(GpuStatus::Running { adapter }) => {
                            format!("WebGPU, {adapter}")
                        }
                        _ => "WebGPU".to_owned(),
                    });
                }
            };
            let simd = if d.relaxed_simd { ", relaxed SIMD" } else { "" };
            match d.threads {
                0 | 1 => format!("CPU, {way}{simd}"),
                threads => format!("CPU, {way}{simd}, {threads}\u{a0}threads"),
            }
        })
    };
    let sampled = move || {
        drawn.with(|d| match d {
            None => UNKNOWN.to_owned(),
            Some(d) if d.sampled < count.get() => format!(
                "{} of {}",
                thousands(d.sampled.into()),
                thousands(count.get().into())
            ),
            Some(d) => thousands(d.sampled.into()),
        })
    };
    view! {
        <div class="readout">
            <table class="mass">
                <caption>"Mass per mode"</caption>
                <thead>
                    <tr>
                        <th scope="col">"mode at"</th>
                        {means
                            .iter()
                            .map(|&mean| view! { <th scope="col">{place(mean)}</th> })
                            .collect_view()}
                    </tr>
                </thead>
                <tbody>
                    <tr>
                        <th scope="row">"target"</th>
                        {truth.iter().map(|&m| view! { <td>{percent(m, 1)}</td> }).collect_view()}
                    </tr>
                    <tr>
                        <th scope="row">"model, exact"</th>
                        {row(|b| &b.mode_mass)}
                    </tr>
                    <tr>
                        <th scope="row">"samples"</th>
                        {row(|b| &b.sampled_mode_mass)}
                    </tr>
                </tbody>
            </table>
            <dl>
                <dt>"Total variation to the target, exact"</dt>
                <dd class="tv">{told(|b| fixed(b.total_variation, 3))}</dd>
                <Show when=move || tempered.get()>
                    <dt>"Total variation to the tempered target"</dt>
                    <dd>
                        {move || to_tempered.get().map_or_else(|| UNKNOWN.into(), |tv| fixed(tv, 3))}
                    </dd>
                </Show>
                <dt>"log Z, learned"</dt>
                <dd>{told(|b| b.log_z.map_or_else(|| UNKNOWN.to_owned(), |z| fixed(z, 3)))}</dd>
                <dt>"log Z, true"</dt>
                <dd>{fixed(experiment.target().log_partition(), 3)}</dd>
                <dt>"Trajectories sampled"</dt>
                <dd>{sampled}</dd>
                <dt>"Time to sample"</dt>
                <dd>{told(|b| duration(b.sampling_ms))}</dd>
                <dt>"Engine that ran"</dt>
                <dd class="runner" title=runner>{runner}</dd>
            </dl>
        </div>
    }
}

pub fn device_name(device: DeviceUsed) -> &'static str {
    match device {
        DeviceUsed::Cpu => "cpu",
        DeviceUsed::CpuTable => "table",
        DeviceUsed::WebGpu => "webgpu",
    }
}

/// Whether WebGPU can still be chosen.
fn gpu_may_run(state: &EngineState) -> bool {
    !matches!(
        state,
        EngineState::Settled(GpuStatus::Unavailable { .. }) | EngineState::Gone(_)
    )
}

/// How a status is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Plain,
    Problem,
}

/// What the status line is about.
struct Situation {
    experiment: &'static Experiment,
    engine: EngineState,
    model: ModelState,
    restarted: Option<String>,
    failure: Option<String>,
    device: DeviceChoice,
    /// Whether the figure shows the trained model, or a snapshot of its training.
    has_model: bool,
    /// Whether the figure still is the article's.
    is_still: bool,
    /// Why the training cannot be shown.
    no_training: Option<String>,
    /// How far the training was that the figure shows, if not at its end.
    progress: Option<String>,
}

/// The numbers of a figure, as a table.
pub fn numbers(
    experiment: &Experiment,
    target: &Curve,
    tempered: Option<&Curve>,
    picture: &Picture,
) -> String {
    let curve = |curve: &Curve| in_rows(&curve.iter().map(|c| c.1 as f32).collect::<Vec<_>>());
    let mut heads = vec!["x", "target", "model", "samples"];
    let mut columns = vec![
        curve(target),
        in_rows(&picture.density),
        in_rows(&picture.histogram),
    ];
    if let Some(tempered) = tempered {
        heads.push("tempered");
        columns.push(curve(tempered));
    }
    let rows = as_table::rows_over(experiment.plot_range(), &columns, 3);
    as_table::html(
        "Densities over x, each a mean over an equal part of the plot",
        &heads,
        &rows,
    )
}

/// What a reader who changed something wants to know, in words.
fn finding(temperature: f64, batch: &BatchResult) -> String {
    let shares = |mass: &[f64]| {
        let shares: Vec<String> = mass.iter().map(|&m| percent(m, 0)).collect();
        shares.join(", ")
    };
    format!(
        "At temperature {}: total variation to the target {}; mass per mode {}; of {} samples {}.",
        fixed(temperature, 2),
        fixed(batch.total_variation, 3),
        shares(&batch.mode_mass),
        thousands(batch.sampled.into()),
        shares(&batch.sampled_mode_mass),
    )
}

/// How far the training of what a batch was drawn from was; none at its end.
fn progress(scrub: Option<Scrub>, batch: &BatchResult) -> Option<String> {
    batch.snapshot?;
    scrub.map(|scrub| scrub.progress(scrub.iteration(batch)))
}

fn status(now: &Situation) -> (Tone, String) {
    let shown = match now.is_still {
        true => "the figure shows what was drawn when the page was built".to_owned(),
        false => format!("the figure shows the placeholder policy (mean 0, std {PLACEHOLDER_STD})"),
    };
    if let ModelState::Failed(why) = &now.model {
        return (
            Tone::Problem,
            format!("{} Meanwhile {shown}.", sentence(why)),
        );
    }
    match &now.engine {
        EngineState::Gone(why) if now.has_model => {
            return (
                Tone::Problem,
                format!(
                    "The engine is gone ({why}). The figure stays as it is; reload the page to go on."
                ),
            );
        }
        EngineState::Gone(why) => {
            return (
                Tone::Problem,
                format!(
                    "The engine does not run ({why}), so {shown}. Reload the page to try again."
                ),
            );
        }
        EngineState::Starting if !now.has_model => {
            return (
                Tone::Plain,
                format!("The engine is loading; until then {shown}."),
            );
        }
        _ => {}
    }
    if let Some(why) = &now.failure {
        return (Tone::Problem, sentence(why));
    }
    if !now.has_model {
        return (
            Tone::Plain,
            format!("The weights are loading; until then {shown}."),
        );
    }
    if let Some(why) = &now.restarted {
        return (Tone::Problem, why.clone());
    }
    if let Some(why) = &now.no_training {
        let stays = "The training cannot be shown; the trained model goes on.";
        return (Tone::Problem, format!("{} {stays}", sentence(why)));
    }
    let name = now.experiment.name;
    let model = match &now.progress {
        None => format!("The trained model {name} is running."),
        Some(progress) => format!("{name} is running as it was after {progress} iterations."),
    };
    match &now.engine {
        EngineState::Settled(GpuStatus::Unavailable { why })
            if matches!(now.device, DeviceChoice::Auto | DeviceChoice::WebGpu) =>
        {
            (Tone::Plain, sentence(&format!("{model} On the CPU: {why}")))
        }
        _ => (Tone::Plain, model),
    }
}

/// `words` with one full stop at their end.
pub fn sentence(words: &str) -> String {
    format!("{}.", words.trim_end().trim_end_matches('.'))
}

/// The figure in words, for those who do not see it.
fn describe(
    experiment: &Experiment,
    temperature: f64,
    batch: Option<&BatchResult>,
    progress: Option<String>,
) -> String {
    let list = |values: &[f64], tell: &dyn Fn(f64) -> String| {
        let words: Vec<String> = values.iter().map(|&v| tell(v)).collect();
        words.join(", ")
    };
    let target = experiment.target();
    let mut means: Vec<f64> = experiment.modes.iter().map(|m| m.mean).collect();
    means.sort_by(f64::total_cmp);
    let shares = |mass: &[f64]| list(mass, &|m| percent(m, 1));
    let mut words = format!(
        "Above, densities over x: a target with modes at {}. Below, trajectories of {} steps from x = {}. ",
        list(&means, &place),
        experiment.steps,
        place(experiment.start),
    );
    words += &match batch {
        None => format!("The sampler is the placeholder policy, std {PLACEHOLDER_STD} a step."),
        Some(batch) => format!(
            "The sampler is {}, at temperature {}: total variation to the target {}; mass per mode {} (target {}); log Z learned {}, true {}; {} samples, of which per mode {}.",
            match progress {
                _ if batch.placeholder => "the placeholder policy".to_owned(),
                None => "the trained model".to_owned(),
                Some(progress) => format!("the model after {progress} iterations of training"),
            },
            fixed(temperature, 2),
            fixed(batch.total_variation, 3),
            shares(&batch.mode_mass),
            shares(&target.mode_mass()),
            batch
                .log_z
                .map_or_else(|| "unknown".into(), |z| fixed(z, 3)),
            fixed(target.log_partition(), 3),
            thousands(batch.sampled.into()),
            shares(&batch.sampled_mode_mass),
        ),
    };
    words
}
