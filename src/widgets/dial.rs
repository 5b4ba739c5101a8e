//! A number that a reader sets: a slider, and a field beside it that always has the same number.

use crate::format::{fixed, typed};
use leptos::html;
use leptos::prelude::*;

/// What a slider's place means. Its own scale need not be the number's.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Lowest and highest place.
    pub ends: Signal<(f64, f64)>,
    /// The step between two places.
    pub step: f64,
    /// The place of a number, and the number of a place.
    pub place: Callback<f64, f64>,
    pub value: Callback<f64, f64>,
}

impl Scale {
    /// Places that are the numbers themselves.
    pub fn plain(ends: impl Into<Signal<(f64, f64)>>, step: f64) -> Self {
        Scale {
            ends: ends.into(),
            step,
            place: Callback::new(|value| value),
            value: Callback::new(|place| place),
        }
    }
}

/// Label, slider and field. The slider has the class `class`, the field `class-number`.
#[component]
pub fn Dial(
    id: String,
    class: &'static str,
    /// What the number is called, where its label is not at hand.
    name: &'static str,
    /// The letter that stands for it.
    symbol: &'static str,
    /// Decimals.
    digits: usize,
    scale: Scale,
    /// The lowest and highest number.
    #[prop(into)]
    range: Signal<(f64, f64)>,
    #[prop(into)] value: Signal<f64>,
    /// Called with a number in the range.
    set: Callback<f64>,
    /// What to tell of what was typed: none when all is well.
    note: Callback<Option<String>>,
    children: Children,
) -> impl IntoView {
    let field = NodeRef::<html::Input>::new();
    let written = move |value: f64| format!("{value:.digits$}");
    // The field follows the number, except while a reader types another.
    let is_typing = StoredValue::new(false);
    let show = move || {
        if let Some(field) = field.get_untracked() {
            field.set_value(&written(value.get_untracked()));
        }
    };
    Effect::new(move |_| {
        field.track();
        value.track();
        if !is_typing.get_value() {
            show();
        }
    });
    let slide = move |ev| {
        if let Ok(place) = event_target_value(&ev).parse() {
            let (lo, hi) = range.get_untracked();
            note.run(None);
            set.run(scale.value.run(place).clamp(lo, hi));
        }
    };
    let read = move |text: &str| {
        let (lo, hi) = range.get_untracked();
        typed(name, text, lo..=hi)
    };
    let type_on = move |ev| {
        is_typing.set_value(true);
        let typed = read(&event_target_value(&ev));
        if let (Some(value), None) = (typed.value, typed.note) {
            note.run(None);
            set.run(value);
        }
    };
    let type_done = move |ev| {
        is_typing.set_value(false);
        let typed = read(&event_target_value(&ev));
        note.run(typed.note);
        if let Some(value) = typed.value {
            set.run(value);
        }
        show();
    };
    let place = move || format!("{:.4}", scale.place.run(value.get()));
    let step = 10f64.powi(-(digits as i32));
    view! {
        <label for=id.clone()>{children()}</label>
        <input
            type="range"
            class=class
            id=id
            min=move || scale.ends.get().0.to_string()
            max=move || scale.ends.get().1.to_string()
            step=scale.step.to_string()
            prop:value=place
            aria-valuetext=move || format!("{symbol} = {}", fixed(value.get(), digits))
            on:input=slide
        />
        <input
            type="number"
            class=format!("{class}-number")
            node_ref=field
            aria-label=format!("{name} as a number")
            min=move || range.get().0.to_string()
            max=move || range.get().1.to_string()
            step=format!("{step:.digits$}")
            inputmode="decimal"
            on:input=type_on
            on:change=type_done
            on:blur=move |_| {
                is_typing.set_value(false);
                show();
            }
        />
    }
}
