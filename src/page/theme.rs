//! The reader's choice of colours: the system's, light, or dark. The style sheet reads it from the
//! root's `data-theme`.

use gflownet_tour_widgets::screen::THEME_CHANGED;
use gflownet_tour_widgets::storage;
use leptos::prelude::*;
use web_sys::Event;

/// The choice's place in the browser's storage; where that is denied it lasts as long as the page.
const KEY: &str = "gflownet-tour.theme";
/// The attribute of the root.
const ATTRIBUTE: &str = "data-theme";
/// What can be chosen: in storage and styles, and in words. The first is the system's theme.
const THEMES: [(&str, &str); 3] = [
    ("auto", "as the system"),
    ("light", "light"),
    ("dark", "dark"),
];

/// The place in [`THEMES`] of a stored choice.
fn place(text: &str) -> usize {
    THEMES.iter().position(|theme| theme.0 == text).unwrap_or(0)
}

fn put_on(theme: usize) {
    let Some(root) = document().document_element() else {
        return;
    };
    // Neither fails with a valid name.
    let _ = match theme {
        0 => root.remove_attribute(ATTRIBUTE),
        theme => root.set_attribute(ATTRIBUTE, THEMES[theme].0),
    };
    if let Ok(event) = Event::new(THEME_CHANGED) {
        let _ = window().dispatch_event(&event);
    }
}

/// The switch. The remembered choice is put on where this is made.
#[component]
pub fn ThemeSwitch() -> impl IntoView {
    let remembered = storage::get(KEY).ok().flatten();
    let first = place(&remembered.unwrap_or_default());
    put_on(first);
    let choose = move |ev| {
        let theme = place(&event_target_value(&ev));
        put_on(theme);
        let _ = storage::set(KEY, THEMES[theme].0);
    };
    let options = THEMES.iter().enumerate().map(|(i, (value, words))| {
        view! {
            <option value=*value selected=i == first>
                {*words}
            </option>
        }
    });
    view! {
        <div class="theme">
            <label for="theme">"Colours"</label>
            <select id="theme" on:change=choose>
                {options.collect_view()}
            </select>
        </div>
    }
}
