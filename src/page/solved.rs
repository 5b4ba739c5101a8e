//! The four modes, solved: the demo of that model, what its recipe does differently, and what each
//! part of it is worth.

use super::demo::{Demo, Math};
use super::format::{fixed, percent, spelled, thousands};
use super::formulas as tex;
use super::numbers;
use gflownet_tour_core::archive::BackwardRollouts;
use gflownet_tour_core::experiment::{self, BATCH, Experiment};
use gflownet_tour_core::exploration::Exploration;
use gflownet_tour_core::options::Schedule;
use gflownet_tour_core::policy::FEATURES;
use gflownet_tour_core::weights::ablation::{Ablation, Row};
use leptos::prelude::*;

const NAME: &str = "four_mode_solved";
const CLASSIC: &str = "four_mode";

#[component]
pub fn Solved() -> impl IntoView {
    let Some(index) = experiment::place(NAME) else {
        return ().into_any();
    };
    let experiment = experiment::at(index);
    view! {
        <h3 id="solved">"The same problem, solved"</h3>
        <p>
            "Nothing in the problem stands in the way. Here are the same four modes after the same "
            {thousands(experiment.iterations as u64)} " rounds of " {BATCH} " walks with the same "
            {spelled(experiment.steps)} " steps, trained by a better recipe."
        </p>
        <Demo index />
        <p>
            "Total variation is " {numbers::total_variation(NAME)} ", where it was "
            {numbers::total_variation(CLASSIC)} ". The modes get " {numbers::masses(NAME)} " instead of "
            {numbers::target_masses(NAME)} ", and " <Math formula=tex::LOG_Z /> " is short by "
            {numbers::log_z_gap(NAME)} ". As everywhere in this tour, training looked at the reward only
            where walks had ended."
        </p>
        {recipe(experiment)}
        {numbers::ablation().map(|ablation| view! { <Worth ablation /> })}
    }
    .into_any()
}

/// What the recipe does, in words; its numbers are the experiment's own.
fn recipe(experiment: &Experiment) -> impl IntoView + use<> {
    let options = experiment.options;
    let quiet = match experiment.exploration {
        Exploration::LinearByFraction { fraction, .. } => percent(fraction, 0),
        _ => percent(1.0, 0),
    };
    let rates = match options.learning_rates {
        Schedule::WarmUpCosine { warm_up, last } => format!(
            "They rise to {} over {} rounds and then fall along a cosine to {} of that.",
            experiment.learning_rate,
            thousands(warm_up as u64),
            percent(last, 0)
        ),
        _ => "They stay as they are.".to_owned(),
    };
    let rows = match options.backward_rollouts {
        BackwardRollouts::Archive { rows, .. } => rows,
        _ => 0,
    };
    view! {
        <ul>
            <li>
                <strong>"Inputs. "</strong>
                "The networks read the position as " {FEATURES} " features, waves of several lengths among
                them, and each step has a first layer of its own. The layers behind it are shared."
            </li>
            <li>
                <strong>"A bridge. "</strong>
                "The backward walk is aimed straight home to S₀, and its network learns only what to add."
            </li>
            <li>
                <strong>"Learning rates. "</strong> {rates} " Adam's second constant is "
                {experiment.adam_beta_2.to_string()} ", a memory of some tens of rounds."
            </li>
            <li>
                <strong>"Noise. "</strong>
                "It is gone after " {quiet} " of the rounds; from then on, what is drawn forwards is drawn
                from the model itself."
            </li>
            <li>
                <strong>"An archive. "</strong> {rows} " of the " {BATCH}
                " walks of each round are drawn backwards, from where earlier walks had ended, the better
                rewarded the more often."
            </li>
        </ul>
    }
}

/// The table of options, one changed at a time.
#[component]
fn Worth(ablation: &'static Ablation) -> impl IntoView {
    let row = |row: &'static Row| {
        view! {
            <tr>
                <th scope="row">{row.change.as_str()}</th>
                <td class="minor">{thousands(row.parameters as u64)}</td>
                <td>{fixed(row.total_variation, 3)}</td>
                <td>{percent(row.mode_mass_error, 0)}</td>
                <td>{fixed(row.log_z_error, 3)}</td>
                <td class="minor">{fixed(row.importance_log_z_error, 3)}</td>
            </tr>
        }
    };
    view! {
        <table class="wide ablation">
            <caption>
                "What the parts are worth: one changed at a time, medians of "
                {spelled(ablation.seeds.len())} " seeds. The densities are exact; log Z is weighted "
                "over sampled walks."
            </caption>
            <thead>
                <tr>
                    <th scope="col">"what is changed"</th>
                    <th scope="col" class="minor">"parameters"</th>
                    <th scope="col">"total variation"</th>
                    <th scope="col">"worst mode off by"</th>
                    <th scope="col"><Math formula=tex::LOG_Z />" off, learned"</th>
                    <th scope="col" class="minor"><Math formula=tex::LOG_Z />" off, weighted"</th>
                </tr>
            </thead>
            <tbody>{ablation.rows.iter().map(row).collect_view()}</tbody>
        </table>
    }
}
