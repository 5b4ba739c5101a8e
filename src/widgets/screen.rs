//! What every figure must know of the screen: its colours, and when to draw again.

use crate::palette::{Palette, Theme};
use js_sys::Array;
use leptos::ev;
use leptos::prelude::*;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Element, IntersectionObserver, IntersectionObserverEntry, IntersectionObserverInit,
    MediaQueryList,
};

const DARK: &str = "(prefers-color-scheme: dark)";
const CALM: &str = "(prefers-reduced-motion: reduce)";
/// The attribute of the root that says in which theme's colours figures are drawn: the style sheet
/// cannot know it when the page is printed.
const DRAWN: &str = "data-drawn";
/// How often the screen's pixel ratio is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The window's event by which a reader's choice of theme is told.
pub const THEME_CHANGED: &str = "gflownet-tour-theme";

/// The screen, as the figures see it.
#[derive(Clone, Copy)]
pub struct Screen {
    /// The colours of the theme in force.
    pub palette: RwSignal<Palette>,
    /// Counts changes of size, zoom or pixel ratio.
    pub resized: RwSignal<u32>,
}

impl Screen {
    /// Reads the screen and follows its changes for as long as the page lives.
    pub fn watch() -> Self {
        let screen = Screen {
            palette: RwSignal::new(read_palette()),
            resized: RwSignal::new(0),
        };
        window_event_listener(ev::resize, move |_| {
            screen.resized.update(|n| *n = n.wrapping_add(1));
        });
        let recolour = move || screen.palette.set(read_palette());
        if let Ok(Some(query)) = window().match_media(DARK) {
            on_change(&query, recolour);
        }
        window_event_listener_untyped(THEME_CHANGED, move |_| recolour());
        screen.follow_ratio();
        screen
    }

    /// A window that is moved to a screen of another pixel ratio need not change its size, and not
    /// every change of the ratio is an event: so it is looked at now and then.
    fn follow_ratio(self) {
        let seen = StoredValue::new(window().device_pixel_ratio());
        let look = move || {
            let ratio = window().device_pixel_ratio();
            if ratio != seen.get_value() {
                seen.set_value(ratio);
                self.resized.update(|n| *n = n.wrapping_add(1));
            }
        };
        // Without a timer the figures stay as sharp as they are.
        let _ = set_interval_with_handle(look, LOOK);
    }
}

/// Calls `act` once, when `element` is in view or less than a screen away. The browser watches it: to
/// ask where an element is would have the page laid out at every scroll.
pub fn once_near(element: &Element, act: impl FnOnce() + 'static) {
    let act = Rc::new(Cell::new(Some(act)));
    let once = {
        let act = act.clone();
        move || {
            if let Some(act) = act.take() {
                act();
            }
        }
    };
    let see = Closure::<dyn FnMut(Array, IntersectionObserver)>::new(
        move |entries: Array, observer: IntersectionObserver| {
            let is_near = |entry: JsValue| {
                let entry = entry.unchecked_into::<IntersectionObserverEntry>();
                entry.is_intersecting()
            };
            if entries.iter().any(is_near) {
                observer.disconnect();
                once();
            }
        },
    );
    let options = IntersectionObserverInit::new();
    options.set_root_margin("100% 0px");
    let see = see.into_js_value();
    match IntersectionObserver::new_with_options(see.unchecked_ref(), &options) {
        Ok(observer) => observer.observe(element),
        // A browser that does not tell: everything is near.
        Err(_) => {
            if let Some(act) = act.take() {
                act();
            }
        }
    }
}

/// Whether the reader asked for less motion.
pub fn is_calm() -> bool {
    holds(CALM)
}

fn holds(query: &str) -> bool {
    let query = window().match_media(query).ok().flatten();
    query.is_some_and(|query| query.matches())
}

fn on_change(query: &MediaQueryList, act: impl FnMut() + 'static) {
    let act = Closure::<dyn FnMut()>::new(act).into_js_value();
    // A browser that refuses leaves the colours of the first moment, which can still be read.
    let _ = query.add_event_listener_with_callback("change", act.unchecked_ref());
}

fn read_palette() -> Palette {
    let root = document().document_element();
    let style = root
        .as_ref()
        .and_then(|root| window().get_computed_style(root).ok().flatten());
    let value = |name: &str| {
        style
            .as_ref()
            .and_then(|style| style.get_property_value(name).ok())
            .unwrap_or_default()
    };
    // As the style sheet's light-dark() chooses: what the root allows, and of two the system's.
    let theme = match value("color-scheme").trim() {
        "light" => Theme::Light,
        "dark" => Theme::Dark,
        _ if holds(DARK) => Theme::Dark,
        _ => Theme::Light,
    };
    if let Some(root) = root {
        let drawn = match theme {
            Theme::Light => "light",
            Theme::Dark => "dark",
        };
        // Without it figures in dark colours are pale on paper.
        let _ = root.set_attribute(DRAWN, drawn);
    }
    Palette::read(theme, value)
}
