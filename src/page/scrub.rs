//! Moving a demo through the training of its model: a slider and a play button over snapshots,
//! which are fetched when a reader first touches them.

use super::link::{Engine, ModelState};
use super::share::AddressBar;
use gflownet_tour_core::address::Control;
use gflownet_tour_core::experiment;
use gflownet_tour_core::exploration::Exploration;
use gflownet_tour_core::message::BatchResult;
use gflownet_tour_widgets::format::{fixed, thousands};
use gflownet_tour_widgets::numbers;
use gflownet_tour_widgets::record;
use gflownet_tour_widgets::screen::is_calm;
use leptos::html;
use leptos::leptos_dom::helpers::set_interval_with_handle;
use leptos::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// A frame of the playback, if the engine keeps up.
const FRAME: Duration = Duration::from_millis(140);
/// The same for readers who asked for less motion: about ten stills in all, each for a while.
const STILL: Duration = Duration::from_millis(1_500);
const STILLS: usize = 10;

/// A demo's place in the training of its model. A handle: copies are the same place.
#[derive(Clone, Copy)]
pub struct Scrub {
    index: usize,
    engine: Engine,
    /// Finished iterations at each snapshot; the last is the shipped model.
    iterations: &'static [usize],
    /// The snapshot that the reader chose.
    place: RwSignal<usize>,
    is_playing: RwSignal<bool>,
}

impl Scrub {
    /// The training of the experiment with the given place in the table, at its end; none where
    /// the manifest lists no snapshots.
    pub fn new(index: usize, engine: Engine, bar: AddressBar) -> Option<Scrub> {
        let entry = numbers::model(experiment::at(index).name)?;
        let iterations = entry.snapshots.as_ref()?.iterations.as_slice();
        let scrub = Scrub {
            index,
            engine,
            iterations,
            place: RwSignal::new(iterations.len().checked_sub(1)?),
            is_playing: RwSignal::new(false),
        };
        Effect::new(move |_| {
            if scrub.failure().is_some() {
                scrub.is_playing.set(false);
                scrub.place.set(scrub.last());
            }
        });
        scrub.keep(bar);
        Some(scrub)
    }

    /// Keeps the place and what the address says of it the same.
    fn keep(self, bar: AddressBar) {
        let asked = bar.signal(|state, index| &mut state.demos[index].iteration, self.index);
        let told = move |place| {
            let iteration = self.iterations.get(place).map(|i| *i as u32);
            iteration.filter(|_| place < self.last())
        };
        Effect::new(move |_| {
            let asked = asked.get();
            if asked != told(self.place.get_untracked()) {
                let after = asked.map_or(self.last(), |iteration| {
                    let off = |at: &usize| self.iterations[*at].abs_diff(iteration as usize);
                    (0..self.last()).min_by_key(off).unwrap_or(self.last())
                });
                self.is_playing.set(false);
                self.go_to(after);
            }
        });
        Effect::new(move |_| asked.set(told(self.place.get())));
    }

    fn last(self) -> usize {
        self.iterations.len() - 1
    }

    /// The snapshot to draw; none at the end, which is the shipped model, and as long as the
    /// snapshots are not there.
    pub fn snapshot(self) -> Option<u32> {
        let is_loaded = self.engine.trainings[self.index].get() == Some(ModelState::Loaded);
        let place = self.place.get();
        (is_loaded && place < self.last()).then_some(place as u32)
    }

    /// Why the training cannot be shown, if it cannot.
    pub fn failure(self) -> Option<String> {
        match self.engine.trainings[self.index].get() {
            Some(ModelState::Failed(why)) => Some(why),
            _ => None,
        }
    }

    /// Finished iterations of what a batch was drawn from.
    pub fn iteration(self, batch: &BatchResult) -> usize {
        let place = batch.snapshot.map_or(self.last(), |place| place as usize);
        self.iterations[place.min(self.last())]
    }

    /// Finished iterations in words: `1,225 of 5,000`.
    pub fn progress(self, iteration: usize) -> String {
        let last = self.iterations[self.last()];
        format!(
            "{} of {}",
            thousands(iteration as u64),
            thousands(last as u64)
        )
    }

    /// Whether it moves on by itself.
    pub fn is_playing(self) -> bool {
        self.is_playing.get()
    }

    fn go_to(self, place: usize) {
        self.engine.load_snapshots(self.index);
        self.place.set(place.min(self.last()));
    }

    /// The next frame of the playback, once the figure shows the one before.
    fn advance(self, drawn: Option<Option<u32>>) {
        let place = self.place.get_untracked();
        if place == self.last() {
            self.is_playing.set(false);
        } else if drawn == Some(Some(place as u32)) {
            let stride = if is_calm() {
                self.last().div_ceil(STILLS)
            } else {
                1
            };
            self.place.set((place + stride).min(self.last()));
        }
    }
}

/// The slider, the play button and what they show. `drawn` is the batch on the demo's canvas.
#[component]
pub fn Scrubber(scrub: Scrub, drawn: RwSignal<Option<Arc<BatchResult>>>) -> impl IntoView {
    let experiment = experiment::at(scrub.index);
    let id = format!("{}-training", experiment.name);
    let drawn_snapshot = move || drawn.with_untracked(|d| d.as_ref().map(|d| d.snapshot));
    Effect::new(move |_| {
        let frame = move || scrub.advance(drawn_snapshot());
        let pause = if is_calm() { STILL } else { FRAME };
        if scrub.is_playing.get()
            && let Ok(timer) = set_interval_with_handle(frame, pause)
        {
            // When the reader stops it, and when the demo goes.
            on_cleanup(move || timer.clear());
        }
    });
    let bar = expect_context::<AddressBar>();
    let hides = move || bar.hides(Control::Training);
    let verb = move || {
        if scrub.is_playing.get() {
            "Pause"
        } else {
            "Play"
        }
    };
    let play = move |_| {
        let is_at_end = scrub.place.get_untracked() == scrub.last();
        let plays = !scrub.is_playing.get_untracked();
        if plays {
            scrub.go_to(match is_at_end {
                true => 0,
                false => scrub.place.get_untracked(),
            });
        }
        scrub.is_playing.set(plays);
    };
    let field = NodeRef::<html::Input>::new();
    let show = move |iteration: usize| {
        if let Some(field) = field.get() {
            field.set_value(&iteration.to_string());
        }
    };
    Effect::new(move |_| show(scrub.iterations[scrub.place.get().min(scrub.last())]));
    let slide = move |ev| {
        scrub.is_playing.set(false);
        if let Ok(place) = event_target_value(&ev).parse() {
            scrub.go_to(place);
        }
    };
    let type_done = move |ev| {
        scrub.is_playing.set(false);
        let typed = event_target_value(&ev).trim().parse();
        let now = scrub.place.get_untracked();
        let next = typed.map_or(now, |typed| record::toward(scrub.iterations, now, typed));
        scrub.go_to(next);
        // Also where the place stays and the words that were typed do not.
        show(scrub.iterations[next]);
    };
    let is_broken = Memo::new(move |_| scrub.failure().is_some());
    let chosen = move || scrub.iterations[scrub.place.get().min(scrub.last())];
    let readout = move || {
        if scrub.engine.trainings[scrub.index].get() == Some(ModelState::Loading) {
            return "the snapshots are loading".to_owned();
        }
        drawn.with(|batch| {
            let batch = batch.as_ref().filter(|batch| !batch.placeholder);
            batch.map_or_else(String::new, |batch| tell(scrub, batch))
        })
    };
    view! {
        <div class="field wide" hidden=hides>
            <label for=id.clone()>"Training"</label>
            <input
                type="range"
                class="training"
                id=id
                min="0"
                max=scrub.last().to_string()
                step="1"
                prop:value=move || scrub.place.get().to_string()
                aria-valuetext=move || format!("iteration {}", scrub.progress(chosen()))
                disabled=move || is_broken.get()
                on:pointerdown=move |_| scrub.engine.load_snapshots(scrub.index)
                on:focus=move |_| scrub.engine.load_snapshots(scrub.index)
                on:input=slide
            />
            <input
                type="number"
                class="training-number"
                node_ref=field
                aria-label="Iteration of the training, as a number"
                min=scrub.iterations[0].to_string()
                max=scrub.iterations[scrub.last()].to_string()
                inputmode="numeric"
                disabled=move || is_broken.get()
                on:focus=move |_| scrub.engine.load_snapshots(scrub.index)
                on:change=type_done
            />
            <button
                type="button"
                class="play"
                aria-label=move || format!("{}: the training of {}", verb(), experiment.title)
                disabled=move || is_broken.get()
                on:click=play
            >
                {verb}
            </button>
        </div>
        <p class="training-readout" hidden=hides>{readout}</p>
    }
}

/// What a batch was drawn from, in words.
fn tell(scrub: Scrub, batch: &BatchResult) -> String {
    let iteration = scrub.iteration(batch);
    let mut words = format!(
        "iteration {}, log Z {}, total variation {}",
        scrub.progress(iteration),
        fixed(batch.log_z.unwrap_or(f64::NAN), 3),
        fixed(batch.total_variation, 3),
    );
    // The recipe that this model was trained by, which need not be the table's of today.
    let entry = numbers::model(experiment::at(scrub.index).name);
    if let Some(recipe) = entry.map(|entry| &entry.recipe)
        && recipe.exploration != Exploration::None
    {
        let extra_std = recipe.exploration.extra_std(iteration, recipe.iterations);
        words += &format!(", exploration noise {}", fixed(extra_std, 2));
    }
    words
}
