//! What stands in the places of controls until their part is live. It is drawn and not real: browsers
//! ask of every real field whether they could fill it in, and lay out all that is out of sight for it.
//! For listeners there is nothing here.

use maud::{Markup, Render, html};

/// A slider.
pub fn slider() -> Markup {
    html! { span.blank.slider aria-hidden="true" {} }
}

/// A field with a number.
pub fn number(value: &str) -> Markup {
    html! { span.blank.number aria-hidden="true" { (value) } }
}

/// A choice among several, of which this is chosen.
pub fn choice(chosen: impl Render) -> Markup {
    html! { span.blank.choice aria-hidden="true" { (chosen) } }
}

/// A box to tick.
pub fn tick() -> Markup {
    html! { span.blank.tick aria-hidden="true" {} }
}

/// One of several, of which one is on.
pub fn option(is_on: bool) -> Markup {
    html! { span.blank.tick.round.on[is_on] aria-hidden="true" {} }
}
