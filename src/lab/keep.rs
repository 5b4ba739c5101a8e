//! Keeping a run: files to take away and to bring, and the browser's own memory of the last one.

use super::export::{Artifact, Taken, take};
use super::kept;
use super::link::RunLink;
use gflownet_tour_core::lab::{Asked, Settings};
use gflownet_tour_core::message::Phase;
use gflownet_tour_widgets::storage;
use js_sys::{Array, Uint8Array};
use leptos::html;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, DragEvent, File, HtmlAnchorElement, HtmlCanvasElement, Url};

/// How often a run that goes on is written into the browser's storage.
const EVERY: Duration = Duration::from_secs(5);
/// The largest file that is read. The largest network's weights take a fifth of it.
const MOST_BYTES: f64 = 5e6;

/// The run that the browser keeps, paused at its weights, with its preset.
pub fn remembered() -> Option<(super::record::Record, &'static str)> {
    kept::read(&storage::get(kept::KEY).ok().flatten()?)
}

/// Files out and in, and the memory of the last run.
#[component]
pub fn Keep(
    link: RunLink,
    settings: RwSignal<Settings>,
    preset: RwSignal<&'static str>,
    notes: RwSignal<Vec<String>>,
) -> impl IntoView {
    let said = RwSignal::new(String::new());
    remember(link, preset, said);

    let offer = move |artifact: Artifact| {
        let press = move |_| {
            let file = link.record.with_untracked(|record| match record {
                Some(record) => {
                    let preset = preset.get_untracked();
                    let name = artifact.file_name(preset, record.iteration);
                    artifact.file(record, preset).map(|bytes| (name, bytes))
                }
                None => Err("there is no run yet: press Train first".to_owned()),
            });
            said.set(match file {
                Ok((name, bytes)) => save(&name, &bytes),
                Err(why) => format!("Nothing was saved: {why}."),
            });
        };
        view! { <button type="button" on:click=press>{artifact.title()}</button> }
    };
    let picture = move |_| {
        let canvas = document()
            .query_selector(".lab-figure canvas")
            .ok()
            .flatten();
        let canvas = canvas.and_then(|canvas| canvas.dyn_into::<HtmlCanvasElement>().ok());
        let address = canvas.and_then(|canvas| canvas.to_data_url().ok());
        let name = format!("{}.png", preset.get_untracked());
        said.set(match address.map(|address| follow(&name, &address)) {
            Some(Ok(())) => format!("{name} is saved."),
            _ => "Nothing was saved: there is no picture yet.".to_owned(),
        });
    };

    let begin = move |Taken { asked, from }: Taken| {
        let Asked {
            preset: name,
            settings: taken,
            notes: changed,
        } = asked;
        preset.set(name);
        settings.set(taken.clone());
        notes.set(changed);
        if let Some(from) = from {
            link.begin_at(taken, Some(from));
        }
    };
    let bring = move |file: File| {
        leptos::task::spawn_local(async move {
            let name = file.name();
            let outcome = read(&file).await.and_then(|bytes| take(&name, &bytes));
            // The run was pinned meanwhile, and these are no longer its files.
            if said.is_disposed() {
                return;
            }
            said.set(match outcome {
                Ok(taken) => {
                    let what = match taken.from {
                        Some(_) => "a new run begins from its weights; press Train",
                        None => "its settings are chosen",
                    };
                    begin(taken);
                    format!("{name} is read: {what}.")
                }
                Err(why) => why,
            });
        });
    };
    let input = NodeRef::<html::Input>::new();
    let chosen = move |_| {
        let Some(input) = input.get_untracked() else {
            return;
        };
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            bring(file);
        }
        // So that the same file can be brought again.
        input.set_value("");
    };
    let dropped = move |event: DragEvent| {
        event.prevent_default();
        let files = event.data_transfer().and_then(|data| data.files());
        if let Some(file) = files.and_then(|files| files.get(0)) {
            bring(file);
        }
    };
    let forget = move |_| {
        let forgotten = storage::remove(kept::KEY).and(storage::remove(kept::PINS_KEY));
        said.set(match forgotten {
            Ok(()) => "The browser has forgotten the last run and the pinned ones.".to_owned(),
            Err(_) => "This browser keeps nothing of this page.".to_owned(),
        });
    };
    view! {
        <div
            class="lab-keep"
            on:dragover=|event: DragEvent| event.prevent_default()
            on:drop=dropped
        >
            <div class="lab-files">
                {Artifact::ALL.map(offer).collect_view()}
                <button type="button" on:click=picture>"Picture (PNG)"</button>
            </div>
            <div class="lab-files">
                <label for="lab-file">"Bring settings or weights"</label>
                <input
                    id="lab-file"
                    type="file"
                    accept=".json,.safetensors"
                    node_ref=input
                    on:change=chosen
                />
                <button type="button" class="lab-forget" on:click=forget>
                    "Forget the kept runs"
                </button>
            </div>
            <p class="lab-hint">
                "The last run and the pinned ones stay in this browser and are here after a reload. Files can also be dropped here. Nothing is sent anywhere."
            </p>
            <p class="status" role="status">{move || said.get()}</p>
        </div>
    }
}

/// Writes the run into the browser's storage: when it stops, and now and then while it goes on.
fn remember(link: RunLink, preset: RwSignal<&'static str>, said: RwSignal<String>) {
    let is_refused = StoredValue::new(false);
    let write = move || {
        let text = link
            .record
            .with_untracked(|record| kept::write(record.as_ref()?, preset.get_untracked()));
        let Some(text) = text else { return };
        let refused = storage::set(kept::KEY, &text).is_err();
        if refused && !is_refused.get_value() {
            said.set(
                "This browser has no room for the run or keeps nothing: it will not be here after \
                 a reload. Take its weights away as a file."
                    .to_owned(),
            );
        }
        is_refused.set_value(refused);
    };
    let at_rest = Memo::new(move |_| {
        link.record.with(|record| {
            let record = record.as_ref()?;
            let at = record.checkpoint.as_ref()?.iteration;
            (record.phase != Phase::Playing).then_some((record.run, at))
        })
    });
    Effect::new(move |_| {
        if at_rest.get().is_some() {
            write();
        }
    });
    // Another run's figure takes this one's place when it is pinned.
    let interval = set_interval_with_handle(
        move || {
            let plays = |record: &super::record::Record| record.phase == Phase::Playing;
            if link
                .record
                .with_untracked(|r| r.as_ref().is_some_and(plays))
            {
                write();
            }
        },
        EVERY,
    );
    on_cleanup(move || drop(interval.map(|interval| interval.clear())));
}

/// The bytes of a file that a reader brought.
async fn read(file: &File) -> Result<Vec<u8>, String> {
    if file.size() > MOST_BYTES {
        let name = file.name();
        return Err(format!("{name} is larger than any file of this page's."));
    }
    let buffer = JsFuture::from(file.array_buffer()).await;
    let buffer = buffer.map_err(|_| format!("{} could not be read.", file.name()))?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// Hands the bytes to the browser as a file. Returns what to say.
pub(super) fn save(name: &str, bytes: &[u8]) -> String {
    let parts = Array::of1(&Uint8Array::from(bytes));
    let blob = Blob::new_with_u8_array_sequence(&parts);
    let address = blob.and_then(|blob| Url::create_object_url_with_blob(&blob));
    let outcome = address.and_then(|address| {
        follow(name, &address)?;
        // Once the browser has surely begun to read it.
        set_timeout(
            move || drop(Url::revoke_object_url(&address)),
            Duration::from_secs(30),
        );
        Ok(())
    });
    match outcome {
        Ok(()) => format!("{name} is saved."),
        Err(_) => format!("The browser refused to save {name}."),
    }
}

/// Downloads an address under a name.
fn follow(name: &str, address: &str) -> Result<(), JsValue> {
    let anchor = document().create_element("a")?;
    let anchor = anchor.unchecked_into::<HtmlAnchorElement>();
    anchor.set_href(address);
    anchor.set_download(name);
    anchor.click();
    Ok(())
}
