//! The picture that the article has of a figure, and its numbers, until the live ones are there.

use leptos::html;
use leptos::prelude::*;
use web_sys::Element;

/// A picture that was drawn when the page was built.
#[derive(Clone)]
pub struct Still {
    /// The SVG.
    picture: Node,
    /// What it shows, in words.
    pub label: String,
    /// The numbers beside it.
    numbers: Option<Node>,
}

/// An element of the article, which is moved: writing it as HTML and reading that again is work for
/// the very moment in which a reader begins.
pub type Node = StoredValue<Element, LocalStorage>;

impl Still {
    /// The picture in an island of the article, if it has one.
    pub fn read(place: &Element) -> Option<Still> {
        let find = |selector| place.query_selector(selector).ok().flatten();
        let picture = find(".plot > svg")?;
        Some(Still {
            label: picture.get_attribute("aria-label")?,
            picture: StoredValue::new_local(picture),
            numbers: find(".readout").map(StoredValue::new_local),
        })
    }
}

/// The reference to an element that takes `node` in.
pub fn holds(node: Node) -> NodeRef<html::Div> {
    let holder = NodeRef::<html::Div>::new();
    Effect::new(move |_| {
        if let Some(holder) = holder.get() {
            // Refused, it leaves a place without a picture, until the live one is drawn.
            let _ = node.with_value(|node| holder.append_child(node));
        }
    });
    holder
}

/// What the article has of a part that a reader opens.
#[derive(Clone, Default)]
pub struct StudyStill {
    /// The answer to the part's first question, if there is one.
    pub body: Option<Node>,
    /// The words below every answer, as HTML.
    pub aside: String,
}

impl StudyStill {
    /// What stands in an island of the article.
    pub fn read(place: &Element) -> StudyStill {
        let find = |selector| place.query_selector(selector).ok().flatten();
        StudyStill {
            body: find(".study-still").map(StoredValue::new_local),
            aside: find(".study-still > .aside")
                .map_or_else(String::new, |words| words.inner_html()),
        }
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
                node_ref=holds(still.picture)
            ></div>
        }
    });
    view! { <div class="plot-frame">{still} {children()}</div> }
}

/// Numbers, and in their place the article's for as long as nothing is `drawn`.
#[component]
pub fn Told(
    still: Option<Still>,
    #[prop(into)] drawn: Signal<bool>,
    children: Children,
) -> impl IntoView {
    let has_still = still.is_some();
    let still = still.and_then(|still| still.numbers).map(|numbers| {
        view! { <div hidden=move || drawn.get() node_ref=holds(numbers)></div> }
    });
    view! {
        <div hidden=move || has_still && !drawn.get()>{children()}</div>
        {still}
    }
}
