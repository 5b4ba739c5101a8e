//! The picture that the article has of a figure until the live one is drawn.

use leptos::prelude::*;
use web_sys::Element;

/// A picture that was drawn when the page was built.
#[derive(Clone, PartialEq, Eq)]
pub struct Still {
    /// The SVG.
    picture: String,
    /// What it shows, in words.
    pub label: String,
}

impl Still {
    /// The picture in an island of the article, if it has one.
    pub fn read(place: &Element) -> Option<Still> {
        let picture = place.query_selector(".plot > svg").ok().flatten()?;
        Some(Still {
            label: picture.get_attribute("aria-label")?,
            picture: picture.outer_html(),
        })
    }
}

/// A canvas, and below it the article's picture for as long as nothing is `drawn` on it.
#[component]
pub fn Framed(
    still: Option<Still>,
    #[prop(into)] drawn: Signal<bool>,
    children: Children,
) -> impl IntoView {
    let still = still.map(|still| {
        view! {
            <div
                class="plot still"
                aria-hidden="true"
                hidden=move || drawn.get()
                inner_html=still.picture
            ></div>
        }
    });
    view! { <div class="plot-frame">{still} {children()}</div> }
}
