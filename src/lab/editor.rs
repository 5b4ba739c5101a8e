//! The target's editor: handles on the curve, moved by pointer or keyboard, and a table.

use gflownet_tour_core::lab::{self, MOST_MODES, PEAK_NUMBERS, Peak, Settings};
use gflownet_tour_widgets::format::{fixed, place};
use gflownet_tour_widgets::picture::centres;
use gflownet_tour_widgets::record::{Axis, BOX, path};
use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::html;
use leptos::prelude::*;
use web_sys::Element;

/// Points of the curve.
const POINTS: usize = 240;
/// How much higher the plot is than the reward, so that a peak can be drawn up.
const AIR: f64 = 1.35;

/// The axes of the plot. They stay where they are while a handle is dragged.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axes {
    x: Axis,
    y: Axis,
}

impl Axes {
    fn of(settings: &Settings) -> Axes {
        let (lo, hi) = settings.plot_range();
        let target = settings.target();
        let peak = centres((lo, hi), POINTS)
            .map(|x| target.log_reward(x).exp())
            .chain(settings.modes.iter().map(Peak::height))
            .fold(0.0, f64::max);
        let axis = |lo, hi| Axis {
            lo,
            hi,
            is_log: false,
        };
        Axes {
            x: axis(lo, hi),
            y: axis(0.0, AIR * peak),
        }
    }
}

/// What a handle moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handle {
    /// The centre, and the weight by the height.
    Peak(usize),
    /// The width, one standard deviation to the right.
    Width(usize),
}

impl Handle {
    fn mode(self) -> usize {
        match self {
            Handle::Peak(mode) | Handle::Width(mode) => mode,
        }
    }

    /// Where it stands, as (x, reward).
    fn place(self, peak: &Peak) -> (f64, f64) {
        match self {
            Handle::Peak(_) => (peak.centre, peak.height()),
            Handle::Width(_) => (peak.centre + peak.width, peak.height() * (-0.5f64).exp()),
        }
    }

    /// Moves it to a place: only what it moves changes.
    fn drag(self, peak: &mut Peak, (x, reward): (f64, f64)) {
        let [centre, width, weight] = PEAK_NUMBERS;
        let round = |value: f64| (100.0 * value).round() / 100.0;
        match self {
            Handle::Peak(_) => {
                centre.set(peak, round(x));
                let share = reward / peak.height();
                weight.set(peak, round(peak.weight * share));
            }
            Handle::Width(_) => width.set(peak, round(x - peak.centre)),
        }
    }

    /// Moves it by a key. Returns whether the key was meant for it.
    fn press(self, peak: &mut Peak, key: &str, is_far: bool) -> bool {
        let [centre, width, weight] = PEAK_NUMBERS;
        let (number, sign) = match (self, key) {
            (Handle::Peak(_), "ArrowLeft") => (centre, -1.0),
            (Handle::Peak(_), "ArrowRight") => (centre, 1.0),
            (Handle::Peak(_), "ArrowDown") => (weight, -1.0),
            (Handle::Peak(_), "ArrowUp") => (weight, 1.0),
            (Handle::Width(_), "ArrowLeft" | "ArrowDown") => (width, -1.0),
            (Handle::Width(_), "ArrowRight" | "ArrowUp") => (width, 1.0),
            _ => return false,
        };
        let by = number.step * sign * if is_far { 10.0 } else { 1.0 };
        let moved = number.get(peak) + by;
        number.set(peak, (1_000.0 * moved).round() / 1_000.0);
        true
    }
}

#[component]
pub fn Editor(settings: RwSignal<Settings>) -> impl IntoView {
    let area = NodeRef::<html::Div>::new();
    let dragged = RwSignal::new(None::<Handle>);
    let axes = RwSignal::new(settings.with_untracked(Axes::of));
    Effect::new(move |_| {
        let now = settings.with(Axes::of);
        if dragged.get().is_none() && axes.get_untracked() != now {
            axes.set(now);
        }
    });
    let count = Memo::new(move |_| settings.with(|settings| settings.modes.len()));
    let change = move |mode: usize, act: &dyn Fn(&mut Peak)| {
        settings.update(|settings| {
            if let Some(peak) = settings.modes.get_mut(mode) {
                act(peak);
            }
        });
    };
    let curve = move || {
        let Axes { x, y } = axes.get();
        settings.with(|settings| {
            let target = settings.target();
            let points = centres((x.lo, x.hi), POINTS).map(|x| (x, target.log_reward(x).exp()));
            path(points, x, y)
        })
    };
    let drag = move |ev: PointerEvent| {
        let (Some(handle), Some(area)) = (dragged.get_untracked(), area.get_untracked()) else {
            return;
        };
        let place = area.get_bounding_client_rect();
        let right = (f64::from(ev.client_x()) - place.left()) / place.width().max(1.0);
        let up = 1.0 - (f64::from(ev.client_y()) - place.top()) / place.height().max(1.0);
        let Axes { x, y } = axes.get_untracked();
        let to = (x.value(right.clamp(0.0, 1.0)), y.value(up.clamp(0.01, 1.0)));
        change(handle.mode(), &|peak| handle.drag(peak, to));
    };
    let release = move |_: PointerEvent| dragged.set(None);
    let peak_of = move |mode: usize| settings.with(|settings| settings.modes.get(mode).copied());
    let dot = move |handle: Handle| {
        let mode = handle.mode();
        let style = move || {
            let Axes { x, y } = axes.get();
            peak_of(mode).map_or_else(String::new, |peak| {
                let (at, reward) = handle.place(&peak);
                format!(
                    "left: {:.2}%; bottom: {:.2}%",
                    100.0 * x.share(at),
                    100.0 * y.share(reward)
                )
            })
        };
        let number = match handle {
            Handle::Peak(_) => PEAK_NUMBERS[0],
            Handle::Width(_) => PEAK_NUMBERS[1],
        };
        let now = move || peak_of(mode).map_or(0.0, |peak| number.get(&peak));
        let words = move || {
            peak_of(mode).map_or_else(String::new, |peak| match handle {
                Handle::Peak(_) => format!(
                    "centre {}, weight {}",
                    fixed(peak.centre, 2),
                    fixed(peak.weight, 2)
                ),
                Handle::Width(_) => format!("width {}", fixed(peak.width, 2)),
            })
        };
        let label = match handle {
            Handle::Peak(_) => format!("Mode {}: centre, and weight by up and down", mode + 1),
            Handle::Width(_) => format!("Mode {}: width", mode + 1),
        };
        let press = move |ev: KeyboardEvent| {
            let (key, is_far) = (ev.key(), ev.shift_key());
            let is_meant = settings.try_update(|settings| {
                let peak = settings.modes.get_mut(mode);
                peak.is_some_and(|peak| handle.press(peak, &key, is_far))
            });
            if is_meant == Some(true) {
                ev.prevent_default();
            }
        };
        let grasp = move |ev: PointerEvent| {
            dragged.set(Some(handle));
            // Without it the drag ends where the pointer leaves the handle.
            let _ = event_target::<Element>(&ev).set_pointer_capture(ev.pointer_id());
        };
        let class = match handle {
            Handle::Peak(_) => "lab-handle",
            Handle::Width(_) => "lab-handle width",
        };
        view! {
            <span
                class=class
                prop:style=style
                role="slider"
                tabindex="0"
                aria-label=label
                aria-valuemin=number.range.0.to_string()
                aria-valuemax=number.range.1.to_string()
                aria-valuenow=move || fixed(now(), 2).replace('\u{2212}', "-")
                aria-valuetext=words
                on:keydown=press
                on:pointerdown=grasp
                on:pointermove=drag
                on:pointerup=release
                on:pointercancel=release
            ></span>
        }
    };
    let dots = move || {
        (0..count.get())
            .map(|mode| (dot(Handle::Width(mode)), dot(Handle::Peak(mode))))
            .collect_view()
    };
    let ticks = move || {
        let x = axes.get().x;
        let whole = Axis {
            lo: x.lo.ceil(),
            hi: x.hi.floor(),
            is_log: false,
        };
        let ticks = whole.ticks(8).into_iter().map(|value| {
            let style = format!("left: {:.2}%", 100.0 * x.share(value));
            view! { <span class="tick" prop:style=style>{place(value)}</span> }
        });
        ticks.collect_view()
    };
    let start = move || {
        let at = axes.get().x.share(settings.with(|settings| settings.start));
        format!("left: {:.2}%", 100.0 * at)
    };
    view! {
        <div class="lab-editor">
            <p class="plot-name">"reward R(x)"</p>
            <div class="curve lab-target" node_ref=area>
                <svg
                    viewBox=format!("0 0 {BOX} {BOX}")
                    preserveAspectRatio="none"
                    aria-hidden="true"
                >
                    <path class="ink" d=curve />
                </svg>
                <span class="lab-start" prop:style=start></span>
                {dots}
            </div>
            <div class="x-ticks">{ticks}</div>
            <p class="lab-hint">
                "Drag a dot to move a mode and change its weight, a bar to change its width; or
                focus one and use the arrow keys, with Shift for ten steps."
            </p>
            <Table settings count />
        </div>
    }
}

#[component]
fn Table(settings: RwSignal<Settings>, count: Memo<usize>) -> impl IntoView {
    let wrong = RwSignal::new(None::<String>);
    let add = move |_: leptos::ev::MouseEvent| {
        settings.update(|settings| {
            if settings.modes.len() < MOST_MODES {
                // To the right of all, where it can be seen, or else left of them.
                let ends = settings.modes.iter().map(|peak| peak.centre);
                let (lo, hi) = ends.fold((0.0f64, 0.0f64), |(lo, hi), x| (lo.min(x), hi.max(x)));
                let mut peak = settings.modes.last().copied().unwrap_or(Peak {
                    centre: 0.0,
                    width: 0.5,
                    weight: 1.0,
                });
                let centre = if hi + 3.0 <= PEAK_NUMBERS[0].range.1 {
                    hi + 3.0
                } else {
                    lo - 3.0
                };
                PEAK_NUMBERS[0].set(&mut peak, centre);
                settings.modes.push(peak);
            }
        });
    };
    let cell = move |mode: usize, place: usize| {
        let number = PEAK_NUMBERS[place];
        let value = Memo::new(move |_| {
            settings.with(|settings| settings.modes.get(mode).map(|peak| number.get(peak)))
        });
        let shown = move || {
            let rounded = (1e4 * value.get().unwrap_or(0.0)).round() / 1e4;
            rounded.to_string()
        };
        let change = move |ev| {
            let typed = event_target_value(&ev);
            let checked =
                lab::read_number(&typed).and_then(|value| number.check(value).map(|()| value));
            match checked {
                Ok(value) => {
                    wrong.set(None);
                    settings.update(|settings| {
                        if let Some(peak) = settings.modes.get_mut(mode) {
                            number.set(peak, value);
                        }
                    });
                }
                Err(why) => wrong.set(Some(format!("Mode {}: {why}", mode + 1))),
            }
        };
        view! {
            <td>
                <input
                    type="number"
                    step="any"
                    min=number.range.0.to_string()
                    max=number.range.1.to_string()
                    aria-label=format!("Mode {}, {}", mode + 1, number.name)
                    prop:value=shown
                    on:change=change
                />
            </td>
        }
    };
    let row = move |mode: usize| {
        let remove = move |_: leptos::ev::MouseEvent| {
            settings.update(|settings| {
                if settings.modes.len() > 1 && mode < settings.modes.len() {
                    settings.modes.remove(mode);
                }
            });
        };
        view! {
            <tr>
                <th scope="row">{mode + 1}</th>
                {(0..3).map(|place| cell(mode, place)).collect_view()}
                <td>
                    <button
                        type="button"
                        class="lab-remove"
                        aria-label=format!("Remove mode {}", mode + 1)
                        disabled=move || { count.get() == 1 }
                        on:click=remove
                    >
                        "×"
                    </button>
                </td>
            </tr>
        }
    };
    view! {
        <table class="lab-modes">
            <caption>"Modes: width is a standard deviation, weight the area"</caption>
            <thead>
                <tr>
                    <th scope="col">"mode"</th>
                    <th scope="col">"centre"</th>
                    <th scope="col">"width"</th>
                    <th scope="col">"weight"</th>
                    <th scope="col"><span class="lab-unseen">"remove"</span></th>
                </tr>
            </thead>
            <tbody>{move || (0..count.get()).map(row).collect_view()}</tbody>
        </table>
        <p class="lab-wrong" aria-live="polite">{move || wrong.get()}</p>
        <button
            type="button"
            class="lab-add"
            disabled=move || { count.get() == MOST_MODES }
            on:click=add
        >
            "Add a mode"
        </button>
    }
}
