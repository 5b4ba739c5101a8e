//! Formulas in text.

use leptos::prelude::*;

/// A formula inside a sentence.
#[component]
pub fn Math(formula: &'static str) -> impl IntoView {
    view! { <span class="math" inner_html=formula></span> }
}
