//! The laboratory as a whole, and the link in the address bar that holds its settings.

use super::compare::{Bench, Compare};
use super::editor::Editor;
use super::form::Form;
use super::keep::{Keep, remembered};
use super::link::RunLink;
use super::objectives::{Objectives, note};
use super::seeds::Seeds;
use super::watch::Watch;
use gflownet_tour_core::address;
use gflownet_tour_core::lab::{self, Asked, DEFAULT_PRESET, Settings};
use gflownet_tour_core::message::Look;
use gflownet_tour_widgets::picture::{BINS, CELLS, PATHS};
use gflownet_tour_widgets::screen::Screen;
use leptos::ev;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::prelude::*;

/// The beginning of the laboratory's part of an address.
const HASH: &str = "lab?";
/// Samples in the histogram.
const SAMPLES: u32 = 2_000;
/// How long the settings have to rest before the address follows them: browsers refuse to have it
/// changed too often.
const REST: Duration = Duration::from_millis(400);

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = history, js_name = replaceState, catch)]
    fn replace_state(data: &JsValue, title: &str, url: &str) -> Result<(), JsValue>;
}

/// Puts the laboratory into its place on the page.
pub fn run() {
    let Some(place) = document().get_element_by_id("lab-app") else {
        return leptos::logging::warn!("the page has no place for the laboratory");
    };
    let place = place.unchecked_into::<web_sys::HtmlElement>();
    // What was said while it was loaded.
    place.set_text_content(None);
    leptos::mount::mount_to(place, Lab).forget();
}

/// What the address asks for, if it is about the laboratory.
fn asked() -> Option<Asked> {
    lab::from_address(&location_hash()?)
}

#[component]
fn Lab() -> impl IntoView {
    provide_context(Screen::watch());
    let first = asked();
    let is_asked = first.is_some();
    let first = first.unwrap_or_else(|| Asked {
        preset: DEFAULT_PRESET,
        settings: Settings::default(),
        notes: Vec::new(),
    });
    let preset = RwSignal::new(first.preset);
    let settings = RwSignal::new(first.settings);
    let notes = RwSignal::new(first.notes);
    let link = RunLink::new(Look {
        range: settings.with_untracked(Settings::plot_range),
        cells: CELLS,
        bins: BINS,
        samples: SAMPLES,
        paths: PATHS,
        sigma_scale: 1.0,
        flow_cells: 0,
    });

    // A run that the browser kept is taken up, unless the address asks for another.
    if let Some((record, name)) = remembered()
        && (!is_asked || record.settings == settings.get_untracked())
    {
        preset.set(name);
        settings.set(record.settings.clone());
        link.resume(record);
    }

    let bench = Bench::new(link);

    window_event_listener(ev::hashchange, move |_| {
        if let Some(now) = asked() {
            preset.set(now.preset);
            notes.set(now.notes);
            settings.set(now.settings);
        }
    });
    // The address follows the settings, once a reader has touched them.
    let write = move |query: &String, before: Option<&String>, _| {
        let is_first = before.is_none() && !is_asked;
        if !is_first && before != Some(query) {
            // Where the browser refuses, the address keeps what it said before.
            let now = location_hash().unwrap_or_default();
            let _ = replace_state(
                &JsValue::NULL,
                "",
                &format!("#{}", address::with_lab(&now, query)),
            );
        }
        query.clone()
    };
    let query = Memo::new(move |_| {
        let preset = preset.get();
        settings.with(|settings| settings.to_query(preset))
    });
    let timer = StoredValue::new(None::<TimeoutHandle>);
    Effect::new(move |before: Option<String>| {
        let query = query.get();
        if let Some(timer) = timer.get_value() {
            timer.clear();
        }
        let (now, before_it) = (query.clone(), before);
        let handle = set_timeout_with_handle(
            move || {
                write(&now, before_it.as_ref(), ());
            },
            REST,
        );
        timer.set_value(handle.ok());
        query
    });

    let presets = lab::presets().map(|experiment| {
        let name = experiment.name;
        view! {
            <li>
                <a
                    href=format!("#{HASH}v={}&preset={name}", lab::VERSION)
                    aria-current=move || (preset.get() == name).then_some("true")
                >
                    {experiment.title}
                </a>
            </li>
        }
    });
    view! {
        <div class="lab">
            <h3>"Choose"</h3>
            <p class="lab-hint" id="lab-presets">"Begin with one of the trainings of this page:"</p>
            <ul class="lab-presets" aria-labelledby="lab-presets">
                {presets.collect_view()}
            </ul>
            <p class="lab-hint lab-preset-note" hidden=move || note(preset.get()).is_none()>
                {move || note(preset.get())}
            </p>
            <div class="notice lab-notes" role="alert" hidden=move || notes.with(Vec::is_empty)>
                <p>"The link was not read as it stood:"</p>
                <ul>
                    {move || {
                        let notes = notes.get().into_iter();
                        notes.map(|note| view! { <li>{note}</li> }).collect_view()
                    }}
                </ul>
            </div>
            <div class="lab-choose">
                <Editor settings />
                <Form settings />
            </div>
            <Objectives />
            <h3>"Watch"</h3>
            {move || {
                let link = bench.current.get();
                view! { <Watch link settings pins=bench.pins /> }
            }}
            <h3>"Compare"</h3>
            <Compare bench settings />
            <h3>"16 seeds"</h3>
            <Seeds settings preset />
            <h3>"Keep"</h3>
            {move || {
                let link = bench.current.get();
                view! { <Keep link settings preset notes /> }
            }}
        </div>
    }
}
