//! The controls of the settings, made from the tables of what they may be.

use gflownet_tour_core::lab::{
    self, BackwardPolicy, Choice, Loss, Noise, Number, Replay, Settings,
};
use gflownet_tour_widgets::formulas as tex;
use gflownet_tour_widgets::math::Math;
use leptos::prelude::*;

/// The groups of controls: a title, and the names of choices and numbers in links.
const GROUPS: [(&str, &[&str]); 4] = [
    (
        "Objective",
        &["objective", "lambda", "backward", "bridge_std", "loop"],
    ),
    (
        "Exploration",
        &[
            "noise",
            "noise_std",
            "noise_until",
            "replay",
            "rows",
            "power",
        ],
    ),
    (
        "Training",
        &[
            "iterations",
            "batch",
            "lr",
            "lr_z",
            "rates",
            "beta2",
            "seed",
        ],
    ),
    (
        "Walk and networks",
        &["start", "steps", "min_std", "max_std", "hidden", "inputs"],
    ),
];

/// Whether a field means something with these settings.
fn is_used(key: &str, settings: &Settings) -> bool {
    match key {
        "lambda" => settings.objective == Loss::SubTrajectoryBalance,
        "bridge_std" => settings.backward == BackwardPolicy::Bridge,
        "noise_std" => settings.noise != Noise::None,
        "noise_until" => settings.noise == Noise::Linear,
        "rows" => settings.replay != Replay::None,
        "power" => settings.replay == Replay::Reward,
        "lr_z" => !matches!(settings.objective, Loss::LogVariance | Loss::ReverseKl),
        _ => true,
    }
}

/// Fields that can change in the middle of a run.
const TUNED: [&str; 5] = ["lr", "lr_z", "noise", "noise_std", "noise_until"];

/// All settings but the target.
#[component]
pub fn Form(settings: RwSignal<Settings>) -> impl IntoView {
    let groups = GROUPS.into_iter().enumerate().map(|(i, (title, keys))| {
        let fields = keys.iter().map(|key| match Number::named(key) {
            Some(number) => view! { <NumberField number settings /> }.into_any(),
            None => Choice::named(key)
                .map(|choice| view! { <ChoiceField choice settings /> })
                .into_any(),
        });
        view! {
            <details class="lab-group" open=i < 2>
                <summary>{title}</summary>
                <div class="lab-fields">{fields.collect_view()}</div>
                {(i == 0).then(|| view! { <Equation settings /> })}
            </details>
        }
    });
    view! {
        <div class="lab-form">
            {groups.collect_view()}
            <p class="lab-hint">"Fields marked with ↻ can change while a run goes on."</p>
        </div>
    }
}

/// What the chosen objective makes small, on the average over a batch.
#[component]
fn Equation(settings: RwSignal<Settings>) -> impl IntoView {
    let objective = Memo::new(move |_| settings.with(|settings| settings.objective));
    let words = move || match objective.get() {
        Loss::TrajectoryBalance => (
            tex::LAB_TB,
            "The loss of the text above: one residual a walk. The text’s “one walk, every term” is of this one.",
        ),
        Loss::LogVariance => (
            tex::LAB_VARGRAD,
            "The variance over the batch: its mean takes the place of log Z, which is not learned.",
        ),
        Loss::DetailedBalance => (
            tex::LAB_DB,
            "Balance at each step, with a third network for the flow F, which learns faster than the policies; F at the ends is Z and R.",
        ),
        Loss::SubTrajectoryBalance => (
            tex::LAB_SUBTB,
            "Balance on every stretch of the walk; λ weighs long stretches against short ones.",
        ),
        Loss::ReverseKl => (
            tex::LAB_KL,
            "No balance: the divergence of variational inference, a mean over the policy’s own walks. It cannot learn from others, so exploration has to be none.",
        ),
    };
    view! {
        <p class="lab-hint">{move || words().1}</p>
        // On a narrow screen they scroll, which keys can do only where they have the focus.
        <div class="formula" tabindex="0" role="group" aria-label="The loss" inner_html=move || words().0></div>
        <p class="lab-hint">"The mean over a batch, with"</p>
        <div class="formula" tabindex="0" role="group" aria-label="Its terms">
            <Math formula=tex::LAB_TERM />
        </div>
    }
}

fn mark(key: &str) -> &'static str {
    if TUNED.contains(&key) { " ↻" } else { "" }
}

#[component]
fn NumberField(number: &'static Number, settings: RwSignal<Settings>) -> impl IntoView {
    let wrong = RwSignal::new(None::<String>);
    let value = Memo::new(move |_| settings.with(|settings| number.get(settings)));
    let is_hidden = move || settings.with(|settings| !is_used(number.key, settings));
    let change = move |ev| {
        let typed = event_target_value(&ev);
        let checked = lab::read_number(&typed)
            .map_err(|why| format!("{why}: {} stays as it was.", number.name))
            .and_then(|value| number.check(value).map(|()| value));
        match checked {
            Ok(value) => {
                wrong.set(None);
                settings.update(|settings| number.set(settings, value));
            }
            Err(why) => wrong.set(Some(why)),
        }
    };
    // A value that comes from elsewhere takes the place of a wrong one.
    Effect::new(move |_| {
        settings.track();
        wrong.set(None);
    });
    let id = format!("lab-{}", number.key);
    let why = format!("{id}-why");
    view! {
        <div class="lab-field" hidden=is_hidden>
            <label for=id.clone()>{number.name}{mark(number.key)}</label>
            <input
                type="number"
                id=id.clone()
                min=number.range.0.to_string()
                max=number.range.1.to_string()
                step="any"
                prop:value=move || value.get().to_string()
                aria-invalid=move || wrong.get().is_some().to_string()
                aria-describedby=why.clone()
                on:change=change
            />
            <p class="lab-wrong" id=why aria-live="polite">{move || wrong.get()}</p>
        </div>
    }
}

#[component]
fn ChoiceField(choice: &'static Choice, settings: RwSignal<Settings>) -> impl IntoView {
    let place = Memo::new(move |_| settings.with(|settings| choice.get(settings)));
    let id = format!("lab-{}", choice.key);
    let change = move |ev| {
        let key = event_target_value(&ev);
        if let Some(place) = choice.options.iter().position(|option| option.0 == key) {
            settings.update(|settings| choice.set(settings, place));
        }
    };
    let options = choice.options.iter().enumerate().map(|(i, (key, label))| {
        view! {
            <option value=*key prop:selected=move || place.get() == i>
                {*label}
            </option>
        }
    });
    view! {
        <div class="lab-field">
            <label for=id.clone()>{choice.name}{mark(choice.key)}</label>
            <select id=id on:change=change>
                {options.collect_view()}
            </select>
        </div>
    }
}
