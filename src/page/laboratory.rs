//! The laboratory's section. The laboratory is an application of its own, in a WASM file of its own,
//! which is fetched when a reader comes near; here are its words, its place, and what is said when it
//! cannot be had.

use gflownet_tour_widgets::screen::once_near;
use gflownet_tour_widgets::worker::{beside_the_page, listen};
use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::Event;

/// The laboratory's script and its code, beside the page.
const SCRIPT: &str = "lab.js";
const CODE: &str = "lab_bg.wasm";
/// The script that runs it.
const START: &str = "start.js";
/// The event by which that script says that it failed; the laboratory's place then has the reason.
const FAILED: &str = "failed";

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Away,
    Loading,
    Failed(String),
}

/// Whether the address is a link into the laboratory.
pub fn is_asked_for() -> bool {
    location_hash().is_some_and(|hash| hash.starts_with("lab?"))
}

#[component]
pub fn Laboratory() -> impl IntoView {
    let place = NodeRef::<html::Div>::new();
    let state = RwSignal::new(State::Away);
    let tries = StoredValue::new(0);
    let load = move || {
        let Some(place) = place.get_untracked() else {
            return;
        };
        tries.update_value(|tries| *tries += 1);
        state.set(match start(&place, tries.get_value()) {
            Ok(()) => State::Loading,
            Err(why) => State::Failed(why),
        });
    };
    Effect::new(move |_| {
        let Some(place) = place.get() else { return };
        listen(&place, FAILED, move |event| {
            let place = event_target::<web_sys::Element>(&event);
            let why = place.get_attribute("data-failed").unwrap_or_default();
            state.set(State::Failed(why));
        });
        once_near(&place.clone(), move || {
            if state.get_untracked() == State::Away {
                load();
            }
        });
        // The browser knows no such place, so it is shown here.
        let show = move || {
            if is_asked_for() && state.get_untracked() == State::Away {
                place.scroll_into_view();
                load();
            }
        };
        show();
        window_event_listener(ev::hashchange, move |_| show());
    });
    let failure = move || match state.get() {
        State::Failed(why) => Some(why),
        _ => None,
    };
    view! {
        <div id="lab-app" node_ref=place>
            <p class="status" role="status">"The laboratory is loaded when you come here."</p>
        </div>
        <div hidden=move || failure().is_none()>
            <p class="notice">
                "The laboratory could not be loaded (" {failure}
                "). Check the connection; the rest of the page does not need it."
            </p>
            <button type="button" class="lab-retry" on:click=move |_| load()>
                "Try again"
            </button>
        </div>
    }
}

/// Runs the laboratory's script in the page. WASM code has no `import()` of its own, so an element
/// does it.
fn start(place: &web_sys::Element, attempt: u32) -> Result<(), String> {
    let files = beside_the_page()?;
    let refused = |_| "the browser refused its script".to_owned();
    let element = document().create_element("script").map_err(refused)?;
    // A browser may remember that an address failed.
    let again = |file: &str| match attempt {
        ..=1 => files.url(file),
        _ => format!("{}?{attempt}", files.url(file)),
    };
    for (name, value) in [
        ("data-script", again(SCRIPT)),
        ("data-code", files.url(CODE)),
        ("data-place", place.id()),
        ("src", again(START)),
    ] {
        element.set_attribute(name, &value).map_err(refused)?;
    }
    listen(&element, "error", {
        let place = place.clone();
        move |_| {
            let told = place.set_attribute("data-failed", "its script could not be fetched");
            let failed = Event::new(FAILED);
            // Attributes and events of these names are never refused.
            let _ = told.and(failed).map(|event| place.dispatch_event(&event));
        }
    });
    let place: &web_sys::Node = place.unchecked_ref();
    let parent = place.parent_node().ok_or("it has no place on the page")?;
    parent.append_child(&element).map_err(refused)?;
    Ok(())
}
