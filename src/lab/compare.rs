//! Runs that are pinned beside the one on the bench: they go on in workers of their own, their
//! curves lie behind its, and a table says in what they differ and what came of them. The browser
//! keeps them over a reload.

use super::kept;
use super::link::RunLink;
use super::record::Record;
use gflownet_tour_core::lab::Settings;
use gflownet_tour_core::message::{Phase, ToRun};
use gflownet_tour_widgets::follow::follow;
use gflownet_tour_widgets::format::{UNKNOWN, duration, fixed, thousands};
use gflownet_tour_widgets::storage;
use leptos::prelude::*;
use std::time::Duration;

/// How often pinned runs that go on are written into the browser's storage.
const EVERY: Duration = Duration::from_secs(5);
/// The most runs that can be pinned: each holds a worker.
const MOST: usize = 4;

/// A pinned run.
#[derive(Clone, Copy)]
pub struct Pin {
    /// What a reader calls it.
    pub letter: char,
    pub link: RunLink,
}

impl Pin {
    /// The class of its line, in the curves and in the table.
    pub fn class(self) -> &'static str {
        const CLASSES: [&str; MOST] = ["pin-a", "pin-b", "pin-c", "pin-d"];
        CLASSES[(self.letter as usize - 'A' as usize) % MOST]
    }
}

/// The bench: the run that the controls are for, and the pinned ones.
#[derive(Clone, Copy)]
pub struct Bench {
    pub current: RwSignal<RunLink>,
    pub pins: RwSignal<Vec<Pin>>,
    /// Makes the link of another run, under the laboratory's owner.
    make: Callback<(), RunLink>,
}

impl Bench {
    pub fn new(first: RunLink) -> Self {
        let owner = Owner::current().unwrap_or_default();
        let make = move |()| {
            let look = first.look.get_untracked();
            owner.with(|| RunLink::new(look))
        };
        let kept = storage::get(kept::PINS_KEY).ok().flatten();
        let kept = kept.map_or_else(Vec::new, |text| kept::read_pins(&text));
        let pins = kept.into_iter().take(MOST).map(|(letter, record)| {
            // It has no worker until it is to go on.
            let link = make(());
            link.record.set(Some(record));
            Pin { letter, link }
        });
        Bench {
            current: RwSignal::new(first),
            pins: RwSignal::new(pins.collect()),
            make: Callback::new(make),
        }
    }

    /// Writes the pinned runs into the browser's storage. Returns whether it took them.
    fn write(self) -> bool {
        let text = self.pins.with_untracked(|pins| {
            let records = pins.iter().map(|pin| pin.link.record.get_untracked());
            let records: Vec<Option<Record>> = records.collect();
            let of = pins.iter().zip(&records);
            let of = of.filter_map(|(pin, record)| Some((pin.letter, record.as_ref()?)));
            let of: Vec<(char, &Record)> = of.collect();
            (!of.is_empty()).then(|| kept::write_pins(&of))
        });
        match text {
            None => {
                // Where nothing is kept, nothing has to go.
                let _ = storage::remove(kept::PINS_KEY);
                true
            }
            Some(text) => text.is_some_and(|text| storage::set(kept::PINS_KEY, &text).is_ok()),
        }
    }

    /// Keeps the pinned runs: when one is pinned, removed or stops, and now and then while one
    /// goes on. Says whether the browser refused.
    fn remember(self) -> RwSignal<bool> {
        let is_refused = RwSignal::new(false);
        let states = Memo::new(move |_| {
            let state = |pin: &Pin| {
                let phase = |record: &Record| (record.run, record.phase.clone());
                let state = pin.link.record.with(|record| record.as_ref().map(phase));
                (pin.letter, state)
            };
            self.pins
                .with(|pins| pins.iter().map(state).collect::<Vec<_>>())
        });
        Effect::new(move |_| {
            follow(states);
            is_refused.set(!self.write());
        });
        set_interval(
            move || {
                let plays = |pin: &Pin| pin.link.record.with_untracked(is_playing);
                if self.pins.with_untracked(|pins| pins.iter().any(plays)) {
                    is_refused.set(!self.write());
                }
            },
            EVERY,
        );
        is_refused
    }

    /// Pins the run on the bench, which goes on if it was going, and clears the bench.
    fn pin(self) {
        let link = self.current.get_untracked();
        let used = self
            .pins
            .with_untracked(|pins| pins.iter().map(|pin| pin.letter).collect::<Vec<_>>());
        let Some(letter) = ('A'..='Z').find(|letter| !used.contains(letter)) else {
            return;
        };
        let next = self.make.run(());
        next.look.set(link.look.get_untracked());
        // Nobody looks at its flow any more.
        link.look.update(|look| look.flow_cells = 0);
        self.pins.update(|pins| pins.push(Pin { letter, link }));
        self.current.set(next);
    }

    fn remove(self, letter: char) {
        self.pins.update(|pins| {
            pins.retain(|pin| {
                if pin.letter == letter {
                    pin.link.end();
                }
                pin.letter != letter
            });
        });
    }
}

fn is_playing(record: &Option<Record>) -> bool {
    let plays = |record: &Record| record.phase == Phase::Playing;
    record.as_ref().is_some_and(plays)
}

/// The button that pins, and the table.
#[component]
pub fn Compare(bench: Bench, settings: RwSignal<Settings>) -> impl IntoView {
    let Bench { current, pins, .. } = bench;
    let is_refused = bench.remember();
    let has_run = Memo::new(move |_| current.get().record.with(Option::is_some));
    let is_full = move || pins.with(|pins| pins.len() >= MOST);
    let rows = move || {
        pins.get()
            .into_iter()
            .map(|pin| row(pin, bench, settings))
            .collect_view()
    };
    view! {
        <div class="lab-compare">
            <p class="lab-hint">
                "Pin a run, change a setting, and train another beside it: a pinned run that is not done goes on in a thread of its own."
            </p>
            <button
                type="button"
                class="lab-pin"
                disabled=move || !has_run.get() || is_full()
                on:click=move |_| bench.pin()
            >
                "Pin this run"
            </button>
            <p class="status problem" role="status" hidden=move || !is_refused.get()>
                {move || {
                    is_refused
                        .get()
                        .then_some(
                            "This browser has no room for the pinned runs or keeps nothing: they will not be here after a reload.",
                        )
                }}
            </p>
            <div
                class="lab-table"
                tabindex="0"
                role="group"
                aria-label="Pinned runs"
                hidden=move || pins.with(Vec::is_empty)>
                <table>
                    <caption>"Pinned runs"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"run"</th>
                            <th scope="col">"differs from the settings above"</th>
                            <th scope="col">"iterations"</th>
                            <th scope="col">"total variation"</th>
                            <th scope="col">"log Z"</th>
                            <th scope="col">"time"</th>
                            <th scope="col">
                                <span class="lab-unseen">"what to do with it"</span>
                            </th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </div>
    }
}

fn row(pin: Pin, bench: Bench, settings: RwSignal<Settings>) -> impl IntoView {
    let Pin { letter, link } = pin;
    let told = move |tell: fn(&Record) -> Option<String>| {
        move || {
            link.record.with(|record| {
                let told = record.as_ref().and_then(tell);
                told.unwrap_or_else(|| UNKNOWN.to_owned())
            })
        }
    };
    let differences = move || {
        link.record.with(|record| {
            let Some(record) = record else {
                return UNKNOWN.to_owned();
            };
            let differences = settings.with(|now| record.settings.differences(now));
            match differences.is_empty() {
                true => "in nothing".to_owned(),
                false => differences.join("; "),
            }
        })
    };
    let plays = move || link.record.with(is_playing);
    let can_go_on = move || {
        let rests = |record: &Record| record.phase == Phase::Paused && record.checkpoint.is_some();
        link.record
            .with(|record| record.as_ref().is_some_and(rests))
    };
    let again = move |_| {
        let then = link
            .record
            .with_untracked(|record| Some(record.as_ref()?.settings.clone()));
        if let Some(then) = then {
            settings.set(then);
        }
    };
    view! {
        <tr class=format!("lab-pinned-{letter}")>
            <th scope="row">
                <span class=format!("key {}", pin.class())>{letter.to_string()}</span>
            </th>
            <td class="lab-differences">{differences}</td>
            <td>
                {told(|r| {
                    let (done, all) = (r.iteration.into(), r.settings.iterations.into());
                    Some(format!("{} of {}", thousands(done), thousands(all)))
                })}
            </td>
            <td>{told(|r| Some(fixed(r.scores.last()?.1, 3)))}</td>
            <td>{told(|r| Some(fixed(r.log_z, 3)))}</td>
            <td>{told(|r| Some(duration(r.training_ms)))}</td>
            <td class="lab-row-buttons">
                <button
                    type="button"
                    aria-label=format!("Pause run {letter}")
                    hidden=move || !plays()
                    on:click=move |_| link.say(ToRun::Pause)
                >
                    "Pause"
                </button>
                <button
                    type="button"
                    aria-label=format!("Choose the settings of run {letter}")
                    on:click=again
                >
                    "Use settings"
                </button>
                <button
                    type="button"
                    class="lab-pin-on"
                    aria-label=format!("Go on with run {letter}")
                    hidden=move || !can_go_on()
                    on:click=move |_| link.play()
                >
                    "Go on"
                </button>
                <button
                    type="button"
                    class="lab-unpin"
                    aria-label=format!("Remove run {letter}")
                    on:click=move |_| bench.remove(letter)
                >
                    "Remove"
                </button>
            </td>
        </tr>
    }
}
