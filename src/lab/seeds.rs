//! "16 seeds": an ensemble of short trainings of the reader's settings, in workers of its own beside
//! the run, with its figure, its table and its files.

use super::ensemble::{Ensemble, ITERATIONS, LOST, SEEDS, SeedRun, median};
use super::keep::save;
use super::svg;
use gflownet_tour_core::lab::{Number, Settings, read_number};
use gflownet_tour_core::message::{
    BeginSeeds, FromEngine, FromRun, ToEngine, ToRun, check_build, decode, encode,
};
use gflownet_tour_widgets::follow::follow;
use gflownet_tour_widgets::format::{UNKNOWN, fixed, percent, place, thousands};
use gflownet_tour_widgets::picture::CELLS;
use gflownet_tour_widgets::record::Fate;
use gflownet_tour_widgets::screen::Screen;
use gflownet_tour_widgets::worker::{cores, listen, start_worker};
use js_sys::Uint8Array;
use leptos::html;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::JsCast;
use web_sys::{ErrorEvent, MessageEvent, Worker};

/// The most workers that an ensemble takes: the page and a run want a core, too.
const MOST_WORKERS: usize = 2;
/// How often it is looked whether the workers still speak, and how often in a row they may not.
const TICK: Duration = Duration::from_secs(5);
const PATIENCE: u32 = 8;

/// An ensemble and its workers. A handle: copies are the same.
#[derive(Clone, Copy)]
struct SeedsLink {
    line: StoredValue<Line, LocalStorage>,
    ensemble: RwSignal<Option<Ensemble>>,
    is_going: RwSignal<bool>,
    trouble: RwSignal<Option<String>>,
}

#[derive(Default)]
struct Line {
    workers: Vec<Worker>,
    /// Which ensemble, counted; words of an earlier one's workers are not heard.
    generation: u32,
    silent_ticks: u32,
}

impl SeedsLink {
    fn new() -> Self {
        let link = SeedsLink {
            line: StoredValue::new_local(Line::default()),
            ensemble: RwSignal::new(None),
            is_going: RwSignal::new(false),
            trouble: RwSignal::new(None),
        };
        set_interval(move || link.tick(), TICK);
        link
    }

    fn begin(self, settings: Settings) {
        self.end();
        self.trouble.set(None);
        self.is_going.set(true);
        let generation = self.line.with_value(|line| line.generation);
        let ensemble = Ensemble::new(settings.clone());
        for seeds in ensemble.shares(cores().clamp(1, MOST_WORKERS)) {
            let order = BeginSeeds {
                settings: settings.clone(),
                seeds,
                range: ensemble.range,
                cells: CELLS,
            };
            self.spawn(generation, order);
        }
        self.ensemble.set(Some(ensemble));
    }

    /// Ends the workers. What is finished stays.
    fn end(self) {
        self.line.update_value(|line| {
            for worker in line.workers.drain(..) {
                worker.terminate();
            }
            line.generation += 1;
            line.silent_ticks = 0;
        });
        self.is_going.set(false);
    }

    fn spawn(self, generation: u32, order: BeginSeeds) {
        let worker = match start_worker() {
            Ok(worker) => worker,
            Err(why) => return self.mourn(generation, &why),
        };
        let (speaker, mut order) = (worker.clone(), Some(ToRun::Seeds(Box::new(order))));
        listen(&worker, "message", move |event| {
            let Some(event) = event.dyn_ref::<MessageEvent>() else {
                return;
            };
            if self.line.with_value(|line| line.generation) != generation {
                return;
            }
            self.line.update_value(|line| line.silent_ticks = 0);
            match decode::<FromEngine>(&Uint8Array::new(&event.data()).to_vec()) {
                Ok(FromEngine::Ready { build }) => {
                    if let Err(why) = check_build(&build) {
                        return self.mourn(generation, &why);
                    }
                    let Some(order) = order.take() else { return };
                    let bytes = encode(&order).map(ToEngine::Run);
                    let bytes = bytes.and_then(|message| encode(&message));
                    let sent = bytes
                        .map(|bytes| speaker.post_message(&Uint8Array::from(bytes.as_slice())));
                    if !matches!(sent, Ok(Ok(()))) {
                        self.mourn(generation, "it could not be sent its seeds");
                    }
                }
                Ok(FromEngine::Run(bytes)) => match decode::<FromRun>(&bytes) {
                    Ok(words) => self.hear(generation, words),
                    Err(error) => self.mourn(generation, &error.to_string()),
                },
                Ok(_) => {}
                Err(error) => self.mourn(generation, &error.to_string()),
            }
        });
        for kind in ["error", "messageerror"] {
            listen(&worker, kind, move |event| {
                event.prevent_default();
                let why = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message);
                let why = why.filter(|why| !why.is_empty());
                self.mourn(generation, why.as_deref().unwrap_or("it could not be run"));
            });
        }
        self.line.update_value(|line| line.workers.push(worker));
    }

    fn hear(self, generation: u32, words: FromRun) {
        match words {
            FromRun::Seed(report) => {
                self.ensemble.update(|ensemble| {
                    if let Some(ensemble) = ensemble {
                        ensemble.add(*report);
                    }
                });
                let is_finished = |ensemble: &Option<Ensemble>| {
                    ensemble.as_ref().is_some_and(Ensemble::is_finished)
                };
                if self.ensemble.with_untracked(is_finished) {
                    self.end();
                }
            }
            FromRun::SeedsRefused { why } => self.mourn(generation, &why),
            FromRun::Report(_) | FromRun::Refused { .. } => {}
        }
    }

    fn mourn(self, generation: u32, why: &str) {
        if self.line.with_value(|line| line.generation) != generation {
            return;
        }
        self.end();
        self.trouble.set(Some(format!(
            "The ensemble stopped ({}). The runs that are over stay; train it again for the others.",
            why.trim_end_matches('.')
        )));
    }

    fn tick(self) {
        let is_going = self.is_going.get_untracked();
        let lost = self.line.try_update_value(|line| {
            line.silent_ticks = if is_going { line.silent_ticks + 1 } else { 0 };
            (line.silent_ticks >= PATIENCE).then_some(line.generation)
        });
        if let Some(generation) = lost.flatten() {
            self.mourn(generation, "no word from its workers for a long time");
        }
    }
}

/// The controls of the ensemble, its figure, its table and its files.
#[component]
pub fn Seeds(settings: RwSignal<Settings>, preset: RwSignal<&'static str>) -> impl IntoView {
    let link = SeedsLink::new();
    // None follows the settings.
    let chosen = RwSignal::new(None::<f64>);
    let lost = RwSignal::new(LOST);
    let wrong = RwSignal::new(None::<String>);
    let said = RwSignal::new(String::new());
    let iterations = Memo::new(move |_| {
        let of_settings = settings.with(|settings| settings.iterations);
        chosen
            .get()
            .map_or(of_settings.min(ITERATIONS), |chosen| chosen as u32)
    });
    let choose = move |ev| {
        let typed = event_target_value(&ev);
        let checked = read_number(&typed).and_then(|value| match Number::named("iterations") {
            Some(number) => number.check(value).map(|()| value),
            None => Ok(value),
        });
        wrong.set(checked.as_ref().err().cloned());
        if let Ok(value) = checked {
            chosen.set(Some(value));
        }
    };
    let choose_lost = move |ev| match read_number(&event_target_value(&ev)) {
        Ok(value) if (1.0..=90.0).contains(&value) => {
            wrong.set(None);
            lost.set(value / 100.0);
        }
        _ => wrong.set(Some(
            "The share below which a mode is lost is a number from 1 to 90.".to_owned(),
        )),
    };
    let is_sound = move || settings.with(|settings| settings.problems().is_empty());
    let begin = move |_| {
        said.set(String::new());
        link.begin(Settings {
            iterations: iterations.get_untracked(),
            ..settings.get_untracked()
        });
    };
    let stop = move |_| link.end();
    let with = move |tell: &dyn Fn(&Ensemble) -> String| {
        link.ensemble
            .with(|ensemble| ensemble.as_ref().map_or_else(String::new, tell))
    };
    // It changes with the runs that are over, and not with the iterations.
    let over = Memo::new(move |_| {
        link.ensemble
            .with(|ensemble| Some(ensemble.as_ref()?.finished().count()))
    });
    let words = Memo::new(move |_| {
        if let Some(trouble) = link.trouble.get() {
            return trouble;
        }
        follow(over);
        let (is_going, lost) = (link.is_going.get(), lost.get());
        link.ensemble.with_untracked(|ensemble| match ensemble {
            Some(ensemble) => tell(ensemble, is_going, lost),
            None => String::new(),
        })
    });
    let differs = Memo::new(move |_| {
        follow(over);
        link.ensemble.with_untracked(|ensemble| {
            let ensemble = ensemble.as_ref()?;
            let now = settings.with(|settings| Settings {
                iterations: ensemble.settings.iterations,
                ..settings.clone()
            });
            let differences = ensemble.settings.differences(&now);
            (!differences.is_empty()).then(|| differences.join("; "))
        })
    });
    let file = move |kind: &'static str| {
        move |_| {
            let preset = preset.get_untracked();
            let text = link.ensemble.with_untracked(|ensemble| {
                let ensemble = ensemble
                    .as_ref()
                    .ok_or("there are no runs yet".to_owned())?;
                match kind {
                    "csv" => Ok(ensemble.csv()),
                    "svg" => Ok(svg::ensemble(ensemble, lost.get_untracked(), svg::WIDTH)),
                    _ => ensemble
                        .json(preset, lost.get_untracked())
                        .map_err(|error| error.to_string()),
                }
            });
            let name = format!("{preset}-{SEEDS}-seeds.{kind}");
            said.set(match text {
                Ok(text) => save(&name, text.as_bytes()),
                Err(why) => format!("Nothing was saved: {why}."),
            });
        }
    };
    let is_empty = move || over.get().is_none();
    view! {
        <div class="lab-seeds">
            <p class="lab-hint">
                "One training says little of a recipe. This trains the settings above by "
                {SEEDS.to_string()}
                " seeds, the chosen one and those after it, in threads of their own. With fewer iterations they take less time; noise and rates that fall during a run then fall sooner."
            </p>
            <div class="controls lab-controls">
                <button
                    type="button"
                    class="lab-seeds-go"
                    disabled=move || link.is_going.get() || !is_sound()
                    on:click=begin
                >
                    {format!("Train {SEEDS} seeds")}
                </button>
                <button
                    type="button"
                    class="lab-seeds-stop"
                    disabled=move || !link.is_going.get()
                    on:click=stop
                >
                    "Stop"
                </button>
                <div class="field">
                    <label for="lab-seeds-iterations">"Iterations of each run"</label>
                    <input
                        type="number"
                        id="lab-seeds-iterations"
                        min="1"
                        max="100000"
                        step="any"
                        prop:value=move || iterations.get().to_string()
                        aria-describedby="lab-seeds-why"
                        on:change=choose
                    />
                </div>
                <div class="field">
                    <label for="lab-seeds-lost">"A mode is lost below this % of its own mass"</label>
                    <input
                        type="number"
                        id="lab-seeds-lost"
                        min="1"
                        max="90"
                        step="any"
                        prop:value=move || percent_number(lost.get())
                        aria-describedby="lab-seeds-why"
                        on:change=choose_lost
                    />
                </div>
            </div>
            <p class="lab-wrong" id="lab-seeds-why" hidden=move || wrong.get().is_none()>
                {move || wrong.get()}
            </p>
            <progress
                aria-label="Part of the ensemble that is trained"
                hidden=move || !link.is_going.get()
                max="1"
                prop:value=move || {
                    link.ensemble
                        .with(|ensemble| ensemble.as_ref().map_or(0.0, Ensemble::progress))
                }
            ></progress>
            <p
                class="status lab-seeds-status"
                role="status"
                class:problem=move || link.trouble.with(Option::is_some)
            >
                {words}
            </p>
            <p class="lab-hint" hidden=move || differs.with(Option::is_none)>
                "These runs differ from the settings above: " {differs} "."
            </p>
            <div hidden=is_empty>
                <Band link lost over />
                <div class="lab-table" tabindex="0" role="group" aria-label="Runs of the ensemble">
                    <table>
                        <caption>"Each run at its end"</caption>
                        <thead>
                            <tr>
                                <th scope="col">"seed"</th>
                                <th scope="col">"total variation"</th>
                                <th scope="col">"log Z"</th>
                                <th scope="col">"mass per mode, left to right"</th>
                                <th scope="col">"outcome"</th>
                            </tr>
                        </thead>
                        <tbody>
                            {move || {
                                follow(over);
                                let lost = lost.get();
                                link.ensemble
                                    .with_untracked(|ensemble| {
                                        let ensemble = ensemble.as_ref()?;
                                        let rows = ensemble.finished();
                                        Some(
                                            rows
                                                .map(|run| row(ensemble, run, lost))
                                                .collect_view(),
                                        )
                                    })
                            }}
                        </tbody>
                    </table>
                </div>
                <p class="lab-hint">
                    {move || {
                        follow(over);
                        with(&|ensemble| {
                            let means = ensemble.settings.target();
                            let mut means: Vec<f64> = means.modes().iter().map(|m| m.mean).collect();
                            means.sort_by(f64::total_cmp);
                            let means: Vec<String> = means.into_iter().map(place).collect();
                            format!("The modes are at {}.", means.join(", "))
                        })
                    }}
                </p>
                <div class="lab-files">
                    <button type="button" class="lab-seeds-csv" on:click=file("csv")>
                        "Runs (CSV)"
                    </button>
                    <button type="button" class="lab-seeds-json" on:click=file("json")>
                        "Runs (JSON)"
                    </button>
                    <button type="button" class="lab-seeds-svg" on:click=file("svg")>
                        "Figure (SVG)"
                    </button>
                </div>
                <p class="status" role="status">{move || said.get()}</p>
            </div>
        </div>
    }
}

/// A share as the number of per cent that a field shows.
fn percent_number(share: f64) -> String {
    ((share * 1e4).round() / 1e2).to_string()
}

/// What the ensemble says so far, in words.
fn tell(ensemble: &Ensemble, is_going: bool, lost: f64) -> String {
    let all = ensemble.runs.len();
    let over = ensemble.finished().count();
    let collapse = ensemble.collapse(lost);
    let mut words = match (is_going, over == all) {
        (true, _) => format!("Training: {over} of {all} runs are over."),
        (false, true) => format!(
            "All {all} runs of {} iterations are over.",
            thousands(ensemble.settings.iterations.into())
        ),
        (false, false) => format!("Stopped: {over} of {all} runs are over."),
    };
    if collapse.of > 0 {
        let (low, high) = collapse.interval;
        words += &format!(
            " {} of {} lost a mode: {}, with a 95 % interval (Wilson) from {} to {}.",
            collapse.lost,
            collapse.of,
            percent(collapse.lost as f64 / collapse.of as f64, 0),
            percent(low, 0),
            percent(high, 0),
        );
        let scores = ensemble.finished().filter_map(SeedRun::total_variation);
        let mut scores: Vec<f64> = scores.filter(|score| score.is_finite()).collect();
        scores.sort_by(f64::total_cmp);
        if let Some(middle) = median(&scores) {
            words += &format!(" Median total variation {}.", fixed(middle, 3));
        }
    }
    if collapse.diverged > 0 {
        words += &format!(" {} diverged and are not counted.", collapse.diverged);
    }
    words
}

fn row(ensemble: &Ensemble, run: &SeedRun, lost: f64) -> impl IntoView + use<> {
    let number = |value: Option<f64>| value.map_or_else(|| UNKNOWN.to_owned(), |v| fixed(v, 3));
    let end = run.end.as_ref();
    let masses = end.map_or_else(String::new, |end| {
        let masses = end.mode_mass.iter().map(|&mass| percent(mass, 1));
        masses.collect::<Vec<_>>().join(", ")
    });
    let outcome = match (
        end.and_then(|end| end.diverged_at),
        ensemble.fate(run, lost),
    ) {
        (Some(at), _) => format!("diverged at iteration {}", thousands(at.into())),
        (None, Some(Fate::Whole)) => "all modes".to_owned(),
        (None, Some(Fate::FellLeft)) => "lost a mode, fell to the left".to_owned(),
        (None, Some(Fate::FellRight)) => "lost a mode, fell to the right".to_owned(),
        (None, None) => UNKNOWN.to_owned(),
    };
    view! {
        <tr>
            <th scope="row">{run.seed.to_string()}</th>
            <td>{number(run.total_variation())}</td>
            <td>{number(run.log_z())}</td>
            <td>{masses}</td>
            <td class="lab-outcome">{outcome}</td>
        </tr>
    }
}

/// The figure, drawn when a run is over or the page changes its width.
#[component]
fn Band(link: SeedsLink, lost: RwSignal<f64>, over: Memo<Option<usize>>) -> impl IntoView {
    const NARROWEST: f64 = 240.0;
    let screen = expect_context::<Screen>();
    let place = NodeRef::<html::Div>::new();
    let drawing = Memo::new(move |_| {
        screen.resized.track();
        over.get()?;
        let width = f64::from(place.get()?.client_width()).clamp(NARROWEST, svg::WIDTH);
        let lost = lost.get();
        link.ensemble
            .with_untracked(|ensemble| Some(svg::ensemble(ensemble.as_ref()?, lost, width)))
    });
    view! {
        <figure class="lab-band">
            <div node_ref=place inner_html=move || drawing.get().unwrap_or_default()></div>
        </figure>
    }
}
