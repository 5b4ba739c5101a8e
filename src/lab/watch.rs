//! A run as it goes: its controls, its figures and its numbers.

use super::compare::Pin;
use super::link::RunLink;
use super::record::Record;
use gflownet_tour_core::balance::BackwardLoop;
use gflownet_tour_core::lab::Settings;
use gflownet_tour_core::message::{DeviceUsed, Phase, ToRun};
use gflownet_tour_core::mixture::{Mixture, Mode};
use gflownet_tour_widgets::as_table::{self, AsTable};
use gflownet_tour_widgets::dial::{Dial, Scale};
use gflownet_tour_widgets::flow_map::View;
use gflownet_tour_widgets::follow::follow;
use gflownet_tour_widgets::format::{
    TEMPERATURE_STEP, TEMPERATURES, UNKNOWN, duration, fixed, percent, place, superscript,
    thousands,
};
use gflownet_tour_widgets::maps::draw_maps;
use gflownet_tour_widgets::palette::Palette;
use gflownet_tour_widgets::picture::{CELLS, Curve, Landscape, Picture, centres, in_rows};
use gflownet_tour_widgets::plot::{Layout, Scene, draw};
use gflownet_tour_widgets::record::{Axis, BOX, loss as loss_words, path};
use gflownet_tour_widgets::screen::{Screen, is_calm};
use gflownet_tour_widgets::spoken::Spoken;
use leptos::html;
use leptos::prelude::*;
use std::time::Duration;
use web_sys::{Element, HtmlCanvasElement};

/// Cells of the flow map, when it is open.
const FLOW_CELLS: u32 = 120;
/// How long a picture stands for readers who asked for less motion.
const STILL: Duration = Duration::from_secs(2);
/// Rows of the curves' numbers as a table.
const CURVE_ROWS: usize = 24;
/// The speed limits that can be chosen, in iterations a second.
const LIMITS: [f64; 4] = [1.0, 10.0, 100.0, 1_000.0];

/// What the figures show of some settings, kept while these do not change.
#[derive(Clone, Debug, PartialEq)]
struct Ground {
    modes: Vec<Mode>,
    start: f64,
    steps: usize,
    is_bug: bool,
}

impl Ground {
    fn of(settings: &Settings) -> Ground {
        Ground {
            modes: settings.mixture_modes(),
            start: settings.start,
            steps: settings.steps as usize,
            is_bug: settings.backward_loop != BackwardLoop::Correct,
        }
    }

    fn landscape(&self) -> Landscape<'_> {
        Landscape {
            modes: &self.modes,
            start: self.start,
            steps: self.steps,
        }
    }
}

/// What to do with the run; `settings` are the reader's, which may ask for another one.
#[derive(Clone, Copy)]
struct Wish {
    link: RunLink,
    settings: RwSignal<Settings>,
}

impl Wish {
    /// Whether the reader's settings are another run's than the one that is there.
    fn is_new(self) -> bool {
        self.link.record.with(|record| {
            let record = record.as_ref();
            self.settings
                .with(|settings| record.is_none_or(|record| !record.is_tuned_by(settings)))
        })
    }

    fn is_sound(self) -> bool {
        self.settings
            .with(|settings| settings.problems().is_empty())
    }

    fn begin_if_new(self) {
        let has_trouble = self.link.trouble.with_untracked(Option::is_some);
        if untrack(|| self.is_new()) {
            self.link.begin(self.settings.get_untracked());
        } else if has_trouble {
            self.link.go_on();
        }
    }
}

#[component]
pub fn Watch(
    link: RunLink,
    settings: RwSignal<Settings>,
    pins: RwSignal<Vec<Pin>>,
) -> impl IntoView {
    let wish = Wish { link, settings };
    // What is to be said of a typed number.
    let note = RwSignal::new(None);
    // Rates and noise of a run follow the reader's.
    Effect::new(move |_| {
        let now = settings.get();
        let is_due = link.record.with_untracked(|record| {
            let record = record.as_ref();
            record.is_some_and(|r| r.settings != now && r.is_tuned_by(&now))
        });
        if is_due && now.problems().is_empty() {
            link.tune(&now);
        }
    });
    // The figure's range and the temperature are the look's.
    let told = move |tell: fn(&Record) -> String| {
        move || {
            link.record
                .with(|record| record.as_ref().map_or_else(|| UNKNOWN.to_owned(), tell))
        }
    };
    view! {
        <div
            class="lab-watch"
            data-phase=told(|record| phase_name(&record.phase).to_owned())
            data-iteration=told(|record| record.iteration.to_string())
            data-tv=told(|record| {
                record.scores.last().map_or_else(String::new, |score| format!("{:.6}", score.1))
            })
        >
            <Controls wish note />
            <Status wish note />
            <div class="lab-figures">
                <Figure link settings />
                <div class="lab-side">
                    <Curves link pins />
                    <Numbers link />
                </div>
            </div>
            <Flow link />
        </div>
    }
}

/// Where a run is trained, and what became of the GPU, in a sentence.
fn where_it_runs(record: &Record) -> String {
    match (record.device, &record.why_cpu) {
        (DeviceUsed::WebGpu, _) => "Training, on WebGPU.".to_owned(),
        (_, Some(why)) if record.was_on_gpu => format!(
            "Training, on the CPU: the GPU did a part of this run and stopped ({}). What was trained is kept.",
            why.trim_end_matches('.')
        ),
        _ => "Training, on the CPU.".to_owned(),
    }
}

fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Paused => "paused",
        Phase::Playing => "playing",
        Phase::Finished => "finished",
        Phase::Diverged { .. } => "diverged",
    }
}

#[component]
fn Controls(wish: Wish, note: RwSignal<Option<String>>) -> impl IntoView {
    let Wish { link, settings } = wish;
    let phase = Memo::new(move |_| {
        link.record
            .with(|record| record.as_ref().map(|record| record.phase.clone()))
    });
    let is_playing = move || phase.get() == Some(Phase::Playing);
    let is_over = move || phase.get() == Some(Phase::Finished) && !wish.is_new();
    let play = move |_| {
        if is_playing() && !untrack(|| wish.is_new()) {
            return link.say(ToRun::Pause);
        }
        wish.begin_if_new();
        link.say(ToRun::Play);
    };
    let step = move |_| {
        wish.begin_if_new();
        link.say(ToRun::Step);
    };
    let reset = move |_| link.begin(settings.get_untracked());
    let name = move || match (is_playing(), wish.is_new()) {
        (true, false) => "Pause",
        (_, true) => "Train",
        _ if link
            .record
            .with(|r| r.as_ref().is_some_and(|r| r.iteration > 0)) =>
        {
            "Go on"
        }
        _ => "Train",
    };
    let cannot = move || !wish.is_sound();
    let limit = move |ev| {
        link.limit.set(event_target_value(&ev).parse().ok());
    };
    let (lowest, highest) = (*TEMPERATURES.start(), *TEMPERATURES.end());
    view! {
        <div class="controls lab-controls">
            <button type="button" class="lab-play" on:click=play disabled=move || cannot() || is_over()>
                {name}
            </button>
            <button type="button" class="lab-step" on:click=step disabled=move || cannot() || is_over()>
                "One iteration"
            </button>
            <button type="button" class="lab-reset" on:click=reset disabled=cannot>
                "Reset"
            </button>
            <div class="field">
                <label for="lab-limit">"Speed"</label>
                <select id="lab-limit" on:change=limit>
                    <option value="">"as fast as it goes"</option>
                    {LIMITS
                        .map(|limit| {
                            let name = format!("{} a second", thousands(limit as u64));
                            view! { <option value=limit.to_string()>{name}</option> }
                        })
                        .collect_view()}
                </select>
            </div>
            <div class="field wide">
                <Dial
                    id="lab-temperature".to_owned()
                    class="lab-temperature"
                    name="Temperature of the samples"
                    symbol="T"
                    digits=2
                    scale=Scale::plain((lowest, highest), TEMPERATURE_STEP)
                    range=(lowest, highest)
                    value=Signal::derive(move || link.look.with(|look| look.sigma_scale))
                    set=Callback::new(move |value| {
                        link.look.update(|look| look.sigma_scale = value);
                    })
                    note=Callback::new(move |words| note.set(words))
                >
                    "Temperature of the samples"
                </Dial>
            </div>
        </div>
    }
}

/// One polite line: what the run is doing, what is wrong, and what to do. It changes with the phase
/// and not with the iterations, which would never let a listener go.
#[component]
fn Status(wish: Wish, note: RwSignal<Option<String>>) -> impl IntoView {
    let Wish { link, settings } = wish;
    let playing = Memo::new(move |_| {
        let told = link
            .record
            .with(|record| record.as_ref().map(where_it_runs));
        told.unwrap_or_default() + " It goes on when this tab is hidden."
    });
    let words = Memo::new(move |_| {
        if let Some(note) = note.get() {
            return (true, note);
        }
        if let Some(problem) = settings.with(|settings| settings.problems().into_iter().next()) {
            return (true, problem.words);
        }
        if let Some(trouble) = link.trouble.get() {
            return (true, trouble);
        }
        if link.is_starting.get() {
            return (false, "The trainer is starting.".to_owned());
        }
        let phase = link.record.with(|record| {
            record
                .as_ref()
                .map(|record| (record.phase.clone(), record.iteration))
        });
        let Some((phase, iteration)) = phase else {
            return (false, "Nothing was trained yet: press Train.".to_owned());
        };
        if phase != Phase::Playing && wish.is_new() {
            return (
                false,
                "These settings are another run’s: Train begins it anew.".to_owned(),
            );
        }
        match phase {
            Phase::Playing if wish.is_new() => (
                false,
                "Training goes on with the settings from before; Train begins a run of the new ones."
                    .to_owned(),
            ),
            Phase::Playing => (false, playing.get()),
            Phase::Paused => (
                false,
                format!("Paused after {} iterations.", thousands(iteration.into())),
            ),
            Phase::Finished => (
                false,
                format!("Finished: {} iterations.", thousands(iteration.into())),
            ),
            Phase::Diverged { at } => (
                true,
                format!(
                    "The training diverged at iteration {}: its loss or its weights left all bounds. It is back at its last good weights, after {}. Lower the learning rate and go on, or reset; a larger batch or less noise can help, too.",
                    thousands(at.into()),
                    thousands(iteration.into()),
                ),
            ),
        }
    });
    let is_lost = move || {
        link.trouble.with(Option::is_some) && link.record.with(Option::is_some) && !wish.is_new()
    };
    // A run that rests is told with its numbers.
    let finding = Memo::new(move |_| {
        link.record.with(|record| {
            let record = record.as_ref().filter(|r| r.phase != Phase::Playing)?;
            let picture = record.picture.as_ref()?;
            Some(format!(
                "Total variation {}, log Z {}, true {}.",
                fixed(picture.total_variation, 3),
                fixed(record.log_z, 3),
                fixed(record.settings.target().log_partition(), 3),
            ))
        })
    });
    let has_run = Memo::new(move |_| link.record.with(Option::is_some));
    let spoken = move || {
        let (is_problem, words) = words.get();
        let finding = finding.get().unwrap_or_default();
        (is_problem || has_run.get()).then(|| format!("{words} {finding}"))
    };
    view! {
        <div class="lab-status">
            <p class="status" class:problem=move || words.get().0>
                {move || words.get().1}
            </p>
            <Spoken words=Signal::derive(spoken) />
            <button
                type="button"
                class="lab-go-on"
                hidden=move || !is_lost()
                on:click=move |_| link.go_on()
            >
                "Go on from the kept weights"
            </button>
        </div>
    }
}

#[component]
fn Figure(link: RunLink, settings: RwSignal<Settings>) -> impl IntoView {
    let screen = expect_context::<Screen>();
    let canvas = NodeRef::<html::Canvas>::new();
    // The run's target, or that of the settings while there is no run.
    let ground = Memo::new(move |_| {
        let of_run = link
            .record
            .with(|record| record.as_ref().map(|r| Ground::of(&r.settings)));
        of_run.unwrap_or_else(|| settings.with(Ground::of))
    });
    let scene = Memo::new(move |_| {
        let ground = ground.get();
        let target = Mixture::new(ground.modes.clone());
        let range = ground.landscape().plot_range();
        let curve: Curve = centres(range, CELLS as usize)
            .map(|x| (x, target.density(x)))
            .collect();
        (ground, curve)
    });
    Effect::new(move |_| {
        let range = scene.with(|scene| scene.0.landscape().plot_range());
        if link.look.with_untracked(|look| look.range != range) {
            link.look.update(|look| look.range = range);
        }
    });
    let paint = move |canvas: &HtmlCanvasElement, palette: &Palette| {
        link.record.with_untracked(|record| {
            scene.with_untracked(|(ground, target)| {
                let picture = record.as_ref().and_then(|record| record.picture.as_ref());
                let picture = picture.map(|picture| Picture {
                    steps: ground.steps,
                    histogram: picture.histogram.clone(),
                    density: picture.density.clone(),
                    paths: picture.paths.clone(),
                });
                let picture = picture.unwrap_or_else(|| Picture {
                    steps: ground.steps,
                    ..Picture::default()
                });
                let scene = Scene {
                    landscape: ground.landscape(),
                    layout: Layout::Both,
                    target,
                    tempered: None,
                    top: None,
                    picture: &picture,
                    model: if ground.is_bug {
                        palette.bug
                    } else {
                        palette.model
                    },
                };
                draw(canvas, &scene, palette)
            })
        })
    };
    let pictured = Memo::new(move |_| {
        link.record.with(|record| {
            let record = record.as_ref()?;
            let picture = record.picture.as_ref()?;
            let sigma = picture.sigma_scale.to_bits();
            Some((record.run, picture.iteration, sigma, picture.density.len()))
        })
    });
    let queued = StoredValue::new(false);
    Effect::new(move |_| {
        follow(pictured);
        follow(scene);
        screen.resized.track();
        screen.palette.track();
        let Some(canvas) = canvas.get() else { return };
        // However many reports come in a frame, it is drawn once; in a hidden tab, never.
        if queued.get_value() {
            return;
        }
        queued.set_value(true);
        let act = move || {
            // A run that was pinned meanwhile has no figure any more.
            if queued.try_set_value(false).is_some() {
                return;
            }
            let palette = screen.palette.get_untracked();
            if let Err(why) = paint(&canvas, &palette) {
                leptos::logging::warn!("the figure could not be drawn: {why}");
            }
        };
        let plays = |record: &Record| record.phase == Phase::Playing;
        let is_moving = link
            .record
            .with_untracked(|r| r.as_ref().is_some_and(plays));
        if is_moving && is_calm() {
            set_timeout(act, STILL);
        } else {
            request_animation_frame(act);
        }
    });
    let label = move || {
        let modes = scene.with(|scene| {
            let places: Vec<String> = scene.0.modes.iter().map(|m| place(m.mean)).collect();
            places.join(", ")
        });
        let model = link.record.with(|record| {
            let picture = record.as_ref().and_then(|record| record.picture.as_ref());
            picture.map_or_else(
                || "No model yet.".to_owned(),
                |picture| {
                    let shares: Vec<String> =
                        picture.mode_mass.iter().map(|&m| percent(m, 1)).collect();
                    format!(
                        "After {} iterations the model has total variation {} to the target, and mass {} at the modes.",
                        thousands(picture.iteration.into()),
                        fixed(picture.total_variation, 3),
                        shares.join(", "),
                    )
                },
            )
        });
        format!(
            "Above, densities over x: a target with modes at {modes}. Below, trajectories. {model}"
        )
    };
    // Not while the run goes on: a table that changes all the time cannot be read.
    let rests = resting(link);
    let table = move || {
        follow(rests);
        let (ground, target) = scene.get();
        let target: Vec<f32> = target.iter().map(|point| point.1 as f32).collect();
        link.record.with_untracked(|record| {
            let picture = record.as_ref().and_then(|record| record.picture.as_ref());
            let of = |cells: Option<&Vec<f32>>| cells.map_or_else(Vec::new, |cells| in_rows(cells));
            let columns = [
                in_rows(&target),
                of(picture.map(|picture| &picture.density)),
                of(picture.map(|picture| &picture.histogram)),
            ];
            let after = picture.map_or(0, |picture| picture.iteration);
            as_table::html(
                &format!(
                    "Densities over x after {} iterations, each a mean over an equal part of the plot",
                    thousands(after.into())
                ),
                &["x", "target", "model", "samples"],
                &as_table::rows_over(ground.landscape().plot_range(), &columns, 3),
            )
        })
    };
    view! {
        <figure class="lab-figure">
            <canvas class="plot" node_ref=canvas role="img" aria-label=label></canvas>
            <figcaption>
                <span class="key line target">"target"</span>
                <span class="key line model">"the model, exactly"</span>
                <span class="key bar">"samples"</span>
                <span class="key dash">"modes"</span>
                <span class="key dot">"start, S₀"</span>
                <span class="key line path">"trajectories"</span>
            </figcaption>
            <AsTable of="The numbers of the run's figure".to_owned() table />
        </figure>
    }
}

/// Changes when the run begins or ends to rest, and with each picture while it rests.
fn resting(link: RunLink) -> Memo<Option<u32>> {
    Memo::new(move |_| {
        link.record.with(|record| {
            let record = record.as_ref().filter(|r| r.phase != Phase::Playing)?;
            Some(
                record
                    .picture
                    .as_ref()
                    .map_or(0, |picture| picture.iteration),
            )
        })
    })
}

#[component]
fn Curves(link: RunLink, pins: RwSignal<Vec<Pin>>) -> impl IntoView {
    // What every record that is shown has of something: the run's own, and the pinned ones'.
    let all = move |tell: &mut dyn FnMut(&Record)| {
        let pinned = pins.get().into_iter().map(|pin| pin.link);
        for link in pinned.chain([link]) {
            link.record
                .with(|record| record.iter().for_each(&mut *tell));
        }
    };
    let x = Memo::new(move |_| {
        let mut most = None;
        all(&mut |record| most = most.max(Some(record.settings.iterations)));
        Axis {
            lo: 0.0,
            hi: f64::from(most.unwrap_or(5_000)),
            is_log: false,
        }
    });
    let with = move |tell: &dyn Fn(&Record) -> String| {
        link.record
            .with(|record| record.as_ref().map_or_else(String::new, tell))
    };
    let losses = Memo::new(move |_| {
        let mut losses = Vec::new();
        all(&mut |record| losses.extend(record.curve.iter().map(|p| f64::from(p.loss))));
        // Reverse KL is no square: its loss may be negative.
        if losses.iter().any(|&loss| loss <= 0.0) {
            Axis::units(losses.into_iter())
        } else {
            Axis::decades(losses.into_iter())
        }
    });
    let log_zs = Memo::new(move |_| {
        let mut log_zs = vec![0.0];
        all(&mut |record| {
            log_zs.push(record.settings.target().log_partition());
            log_zs.extend(record.curve.iter().map(|p| f64::from(p.log_z)));
        });
        Axis::units(log_zs.into_iter())
    });
    let tv = Axis {
        lo: 0.0,
        hi: 1.0,
        is_log: false,
    };
    let ticks = move |axis: Memo<Axis>| {
        let axis = axis.get();
        let has_run = link.record.with(Option::is_some) || !pins.with(Vec::is_empty);
        has_run.then(|| {
            let ticks = axis.ticks(3).into_iter().map(|value| {
                let words = if axis.is_log && !(0.9..1e4).contains(&value) {
                    format!("10{}", superscript(value.log10().round() as i32))
                } else {
                    fixed(value, 0)
                };
                let style = format!("bottom: {:.2}%", 100.0 * axis.share(value));
                view! { <span class="tick" prop:style=style>{words}</span> }
            });
            ticks.collect_view()
        })
    };
    let loss_of = move |record: &Record| {
        let points = record.curve.iter();
        let points = points.map(|p| (f64::from(p.iteration), f64::from(p.loss)));
        path(points, x.get(), losses.get())
    };
    let log_z_of = move |record: &Record| {
        let points = record.curve.iter();
        let points = points.map(|p| (f64::from(p.iteration), f64::from(p.log_z)));
        path(points, x.get(), log_zs.get())
    };
    let tv_of = move |record: &Record| {
        let points = record.scores.iter().map(|s| (f64::from(s.0), s.1));
        path(points, x.get(), tv)
    };
    let loss_line = move || with(&loss_of);
    let log_z_line = move || with(&log_z_of);
    let tv_line = move || with(&tv_of);
    let truth = move || {
        with(&|record| {
            let truth = record.settings.target().log_partition();
            let down = BOX * (1.0 - log_zs.get().share(truth));
            format!("M0 {down:.0}H{BOX}")
        })
    };
    let tv_ticks = [0.0, 0.5, 1.0].map(|value| {
        let style = format!("bottom: {:.0}%", 100.0 * value);
        view! { <span class="tick" prop:style=style>{fixed(value, 1)}</span> }
    });
    let frame = move |line: AnyView| {
        view! {
            <svg viewBox=format!("0 0 {BOX} {BOX}") preserveAspectRatio="none" aria-hidden="true">
                {line}
            </svg>
        }
    };
    let x_ticks = move || {
        let x = x.get();
        [0.0, 0.5, 1.0]
            .map(|share| {
                let style = format!("left: {:.0}%", 100.0 * share);
                let words = thousands(x.value(share).round() as u64);
                view! { <span class="tick" prop:style=style>{words}</span> }
            })
            .collect_view()
    };
    let label = move || {
        let now = with(&|record| {
            let (Some(point), Some(score)) = (record.curve.last(), record.scores.last()) else {
                return String::new();
            };
            format!(
                " After {} iterations: loss {}, log Z {} (true {}), total variation {}.",
                thousands(point.iteration.into()),
                loss_words(f64::from(point.loss)),
                fixed(f64::from(point.log_z), 3),
                fixed(record.settings.target().log_partition(), 3),
                fixed(score.1, 3),
            )
        });
        format!("Curves of loss, log Z and total variation over the iterations.{now}")
    };
    let rests = resting(link);
    let table = move || {
        follow(rests);
        link.record
            .with_untracked(|record| record.as_ref().map_or_else(String::new, numbers))
    };
    view! {
        <div class="lab-curves" role="img" aria-label=label>
            <p class="plot-name">"loss"</p>
            <div class="curve">
                {move || ticks(losses)}
                {frame(view! { {pinned(pins, loss_of)} <path d=loss_line /> }.into_any())}
            </div>
            <p class="plot-name">"log Z (nats); dashed, the truth"</p>
            <div class="curve">
                {move || ticks(log_zs)}
                {frame(
                    view! {
                        <path class="truth" d=truth />
                        {pinned(pins, log_z_of)}
                        <path d=log_z_line />
                    }
                        .into_any(),
                )}
            </div>
            <p class="plot-name">"total variation, exact"</p>
            <div class="curve">
                {tv_ticks.into_iter().collect_view()}
                {frame(view! { {pinned(pins, tv_of)} <path d=tv_line /> }.into_any())}
            </div>
            <div class="x-ticks">{x_ticks}</div>
            <p class="x-name">"iteration"</p>
        </div>
        <AsTable of="The numbers of the run's curves".to_owned() table />
    }
}

/// The curves at some iterations, as a table. The scores have iterations of their own: each row has
/// the newest until then.
fn numbers(record: &Record) -> String {
    let stride = record.curve.len().div_ceil(CURVE_ROWS).max(1);
    let last = record.curve.len().saturating_sub(1);
    let points = record.curve.iter().enumerate();
    let rows = points.filter(|(i, _)| i % stride == 0 || *i == last);
    let rows = rows.map(|(_, point)| {
        let scores = record.scores.iter();
        let score = scores.rev().find(|score| score.0 <= point.iteration);
        vec![
            thousands(point.iteration.into()),
            loss_words(f64::from(point.loss)),
            fixed(f64::from(point.log_z), 3),
            score.map_or_else(|| UNKNOWN.to_owned(), |score| fixed(score.1, 3)),
        ]
    });
    as_table::html(
        "The run's curves",
        &["iteration", "loss", "log Z", "total variation"],
        &rows.collect::<Vec<_>>(),
    )
}

/// The lines of the pinned runs, each with dashes of its own.
fn pinned(
    pins: RwSignal<Vec<Pin>>,
    line: impl Fn(&Record) -> String + Copy + Send + 'static,
) -> impl IntoView {
    move || {
        let lines = pins.get().into_iter().map(|pin| {
            let d = move || {
                let record = pin.link.record;
                record.with(|record| record.as_ref().map_or_else(String::new, line))
            };
            view! { <path class=pin.class() d=d /> }
        });
        lines.collect_view()
    }
}

#[component]
fn Numbers(link: RunLink) -> impl IntoView {
    let told = move |tell: fn(&Record) -> Option<String>| {
        move || {
            link.record.with(|record| {
                let told = record.as_ref().and_then(tell);
                told.unwrap_or_else(|| UNKNOWN.to_owned())
            })
        }
    };
    let why_cpu = Memo::new(move |_| {
        link.record.with(|record| {
            let why = record.as_ref()?.why_cpu.as_ref()?;
            Some(why.trim_end_matches('.').to_owned())
        })
    });
    let modes = Memo::new(move |_| {
        link.record.with(|record| {
            let record = record.as_ref()?;
            let target = record.settings.target();
            let mut means: Vec<f64> = target.modes().iter().map(|mode| mode.mean).collect();
            means.sort_by(f64::total_cmp);
            Some((means, target.mode_mass()))
        })
    });
    let rows = move || {
        let (means, truth) = modes.get().unwrap_or_default();
        let rows = means.into_iter().zip(truth).enumerate();
        let rows = rows.map(|(mode, (mean, truth))| {
            let share = move |of: fn(&gflownet_tour_core::message::RunPicture) -> &[f64]| {
                move || {
                    link.record.with(|record| {
                        let picture = record.as_ref().and_then(|r| r.picture.as_ref());
                        let share = picture.and_then(|picture| of(picture).get(mode));
                        share.map_or_else(|| UNKNOWN.to_owned(), |&share| percent(share, 1))
                    })
                }
            };
            view! {
                <tr>
                    <th scope="row">{fixed(mean, 1)}</th>
                    <td>{percent(truth, 1)}</td>
                    <td>{share(|picture| &picture.mode_mass)}</td>
                    <td>{share(|picture| &picture.sampled_mode_mass)}</td>
                </tr>
            }
        });
        rows.collect_view()
    };
    view! {
        <div class="lab-numbers">
            <dl>
                <dt>"Iteration"</dt>
                <dd>
                    {told(|r| {
                        let (done, all) = (r.iteration.into(), r.settings.iterations.into());
                        Some(format!("{} of {}", thousands(done), thousands(all)))
                    })}
                </dd>
                <dt>"Loss"</dt>
                <dd>{told(|r| Some(loss_words(f64::from(r.curve.last()?.loss))))}</dd>
                <dt>"Total variation to the target, exact"</dt>
                <dd class="tv">
                    {told(|r| Some(fixed(r.picture.as_ref()?.total_variation, 3)))}
                </dd>
                <dt>"log Z, learned"</dt>
                <dd>{told(|r| Some(fixed(r.log_z, 3)))}</dd>
                <dt>"log Z, true"</dt>
                <dd>{told(|r| Some(fixed(r.settings.target().log_partition(), 3)))}</dd>
                <dt>"Iterations a second"</dt>
                <dd class="lab-speed">
                    {told(|r| Some(fixed(r.per_second?, if r.per_second? < 10.0 { 1 } else { 0 })))}
                </dd>
                <dt>"Time in training"</dt>
                <dd>{told(|r| Some(duration(r.training_ms)))}</dd>
                <dt>"Engine"</dt>
                <dd title=told(|r| r.why_cpu.clone())>
                    {told(|r| {
                        let is_gpu = r.device == DeviceUsed::WebGpu;
                        Some(if is_gpu { "WebGPU" } else { "CPU, one thread" }.to_owned())
                    })}
                </dd>
            </dl>
            <p class="lab-hint lab-why-cpu" hidden=move || why_cpu.with(Option::is_none)>
                "The GPU does not train this run: " {why_cpu} "."
            </p>
            <table class="mass">
                <caption>"Mass per mode"</caption>
                <thead>
                    <tr>
                        <th scope="col">"mode at"</th>
                        <th scope="col">"target"</th>
                        <th scope="col">"exact"</th>
                        <th scope="col">"samples"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}

/// The flow of the model, computed only while a reader has it open.
#[component]
fn Flow(link: RunLink) -> impl IntoView {
    let screen = expect_context::<Screen>();
    let canvas = NodeRef::<html::Canvas>::new();
    let toggle = move |ev| {
        let is_open = event_target::<Element>(&ev).has_attribute("open");
        let cells = if is_open { FLOW_CELLS } else { 0 };
        if link.look.with_untracked(|look| look.flow_cells != cells) {
            link.look.update(|look| look.flow_cells = cells);
        }
    };
    let queued = StoredValue::new(false);
    let ground = Memo::new(move |_| {
        link.record
            .with(|record| record.as_ref().map(|r| Ground::of(&r.settings)))
    });
    Effect::new(move |_| {
        let is_there = link
            .record
            .with(|r| r.as_ref().is_some_and(|r| r.flow.is_some()));
        screen.resized.track();
        screen.palette.track();
        let (Some(canvas), Some(ground)) = (canvas.get(), ground.get()) else {
            return;
        };
        if !is_there || queued.get_value() {
            return;
        }
        queued.set_value(true);
        request_animation_frame(move || {
            if queued.try_set_value(false).is_some() {
                return;
            }
            let palette = screen.palette.get_untracked();
            link.record.with_untracked(|record| {
                let Some(map) = record.as_ref().and_then(|record| record.flow.as_ref()) else {
                    return;
                };
                if let Some(view) = View::of(map, ground.steps)
                    && let Err(why) = draw_maps(&canvas, ground.landscape(), &view, None, &palette)
                {
                    leptos::logging::warn!("the flow could not be drawn: {why}");
                }
            });
        });
    });
    let label = move || {
        let finding = link.record.with(|record| {
            let record = record.as_ref()?;
            let view = View::of(record.flow.as_ref()?, record.settings.steps as usize)?;
            Some(format!(
                " {} of the forward flow lies within a quarter of a nat of the backward flow; {} of the reward is missed.",
                percent(view.balanced(), 0),
                percent(view.missed(), 0),
            ))
        });
        format!(
            "Heat maps over x and step t: the forward flow, the backward flow, and their log-ratio, which is zero in a perfect model.{}",
            finding.unwrap_or_default()
        )
    };
    view! {
        <details class="study lab-flow" on:toggle=toggle>
            <summary>"The flow, from both ends"</summary>
            <figure>
                <canvas
                    class="plot maps"
                    node_ref=canvas
                    role="img"
                    aria-label=label
                ></canvas>
                <figcaption>
                    <span class="scale">"flow, low" <span class="ramp flow"></span> "high"</span>
                    <span class="scale">
                        "ratio, too little" <span class="ramp ratio"></span> "too much"
                    </span>
                </figcaption>
            </figure>
        </details>
    }
}
