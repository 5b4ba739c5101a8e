//! The laboratory as a whole.

use leptos::prelude::*;
use wasm_bindgen::JsCast;

/// Puts the laboratory into its place on the page.
pub fn run() {
    let Some(place) = document().get_element_by_id("lab-app") else {
        return leptos::logging::warn!("the page has no place for the laboratory");
    };
    let place = place.unchecked_into::<web_sys::HtmlElement>();
    leptos::mount::mount_to(place, Lab).forget();
}

#[component]
fn Lab() -> impl IntoView {
    view! { <p class="lab">"here"</p> }
}
