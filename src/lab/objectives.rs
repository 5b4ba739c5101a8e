//! What the laboratory says of its recipe for two far modes, and of how far each objective comes
//! with it: from the table that `train_distill --objectives` made.

use gflownet_tour_core::experiment::{EXPERIMENTS, STEADY};
use gflownet_tour_widgets::format::{fixed, percent};
use serde::Deserialize;
use std::sync::LazyLock;

/// The trainer's table, as far as it is shown: what reads all of it would be a tenth of the
/// laboratory's file.
#[derive(Debug, Deserialize)]
pub struct Table {
    /// The recipe's name.
    pub experiment: String,
    /// The seeds of every row.
    pub seeds: Vec<u64>,
    /// An objective each.
    pub rows: Vec<Row>,
}

/// An objective: medians over the seeds, as [`gflownet_tour_core::weights::ablation`] has them.
#[derive(Debug, Deserialize)]
pub struct Row {
    /// The objective's name.
    pub change: String,
    recipe: Recipe,
    total_variation: f64,
    log_z_error: f64,
    importance_log_z_error: f64,
    mode_masses: Vec<Vec<f64>>,
}

/// A classic recipe mentions no options.
#[derive(Debug, Deserialize)]
struct Recipe {
    #[serde(default)]
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    backward_rollouts: Rollouts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rollouts {
    rows: usize,
}

static TABLE: LazyLock<Option<Table>> = LazyLock::new(|| {
    let text = include_str!("../../pretrained/hard_off_policy_steady.objectives.json");
    serde_json::from_str(text).ok()
});

/// A mode with less than this part of the whole mass is not held. Both have a half of it.
const HELD: f64 = 0.25;

/// The table, where it can be read.
pub fn table() -> Option<&'static Table> {
    TABLE.as_ref()
}

/// For each seed of a row, the mass of the mode that has least.
fn least(row: &Row) -> impl Iterator<Item = f64> + '_ {
    let least = |masses: &Vec<f64>| masses.iter().copied().fold(f64::INFINITY, f64::min);
    row.mode_masses.iter().map(least)
}

/// How many seeds of a row hold every mode.
pub fn holding(row: &Row) -> usize {
    least(row).filter(|mass| *mass >= HELD).count()
}

/// What there is to say of a preset, if there is something.
pub fn note(preset: &str) -> Option<String> {
    let steady = STEADY.name == preset;
    if !steady && preset != EXPERIMENTS[3].name {
        return None;
    }
    let (usual, ours) = (EXPERIMENTS[3].adam_beta_2, STEADY.adam_beta_2);
    let why = format!(
        "Adam’s β₂ is {ours} instead of {usual}, so that the huge gradients of rare walks are \
         forgotten sooner"
    );
    let found = table().and_then(|table| {
        let row = table.rows.first()?;
        let lowest = least(row).fold(f64::INFINITY, f64::min);
        Some(format!(
            " Of {} seeds {} hold both modes; the smaller one has at least {} of the mass.",
            row.mode_masses.len(),
            holding(row),
            percent(lowest, 0),
        ))
    });
    let found = found.unwrap_or_default();
    Some(match steady {
        true => format!("The tour’s off-policy recipe with one change: {why}.{found}"),
        false => format!(
            "The tour’s own recipe, with which some seeds lose a mode. The steady one has one \
             change: {why}.{found}"
        ),
    })
}

/// A row's cells as text: what was trained, rows drawn backwards, total variation, log Z less the
/// truth as learned and importance-weighted, and the seeds that hold both modes.
pub fn cells(row: &Row) -> [String; 6] {
    let signed = |value: f64| match value >= 0.0 {
        true => format!("+{}", fixed(value, 3)),
        false => fixed(value, 3),
    };
    [
        row.change.clone(),
        row.recipe.options.backward_rollouts.rows.to_string(),
        fixed(row.total_variation, 3),
        signed(row.log_z_error),
        signed(row.importance_log_z_error),
        format!("{} of {}", holding(row), row.mode_masses.len()),
    ]
}

#[cfg(target_arch = "wasm32")]
pub use view::Objectives;

#[cfg(target_arch = "wasm32")]
mod view {
    use super::{STEADY, cells, table};
    use leptos::prelude::*;

    /// The table, to open.
    #[component]
    pub fn Objectives() -> impl IntoView {
        let table = table()?;
        let rows = table.rows.iter().map(|row| {
            let [name, values @ ..] = cells(row);
            let values = values.map(|value| view! { <td>{value}</td> });
            view! {
                <tr>
                    <th scope="row">{name}</th>
                    {values.collect_view()}
                </tr>
            }
        });
        Some(view! {
            <details class="lab-group lab-objectives">
                <summary>"How far each objective comes on two far modes"</summary>
                <div class="lab-table" tabindex="0" role="group" aria-label="Objectives">
                    <table>
                        <caption>
                            {STEADY.title} ": each objective, medians of " {table.seeds.len()}
                            " seeds. log Z is less its true value, in nats"
                        </caption>
                        <thead>
                            <tr>
                                <th scope="col">"objective"</th>
                                <th scope="col">"rows drawn backwards"</th>
                                <th scope="col">"total variation"</th>
                                <th scope="col">"log Z, learned"</th>
                                <th scope="col">"log Z, weighted"</th>
                                <th scope="col">"seeds that hold both modes"</th>
                            </tr>
                        </thead>
                        <tbody>{rows.collect_view()}</tbody>
                    </table>
                </div>
                <p class="lab-hint">
                    "Reverse KL learns from its own walks alone, and its divergence forgives a mode that is not visited: it loses one, as it must. The others learn from any walk, and hold both."
                </p>
            </details>
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::objective::Objective;
    use gflownet_tour_core::weights::ablation;
    use gflownet_tour_core::weights::manifest;

    #[test]
    fn the_table_is_of_the_preset_and_of_every_objective() {
        let text = include_str!("../../pretrained/hard_off_policy_steady.objectives.json");
        let whole = ablation::parse("objectives.json", text).unwrap();
        let table = table().expect("the table can be read");
        assert_eq!(table.experiment, STEADY.name);
        assert_eq!(table.seeds, whole.seeds);
        assert!(table.seeds.len() >= 5);
        assert_eq!(whole.rows[0].recipe, manifest::Recipe::of(&STEADY));
        assert_eq!(table.rows.len(), whole.rows.len());
        for objective in Objective::ALL {
            let rows = whole.rows.iter();
            let is_of = |row: &&ablation::Row| row.recipe.options.objective == objective;
            assert_eq!(
                rows.filter(is_of).count(),
                1 + usize::from(objective.is_off_policy())
            );
        }
        for (row, whole) in table.rows.iter().zip(&whole.rows) {
            assert_eq!(row.change, whole.change);
            assert_eq!(row.mode_masses, whole.mode_masses);
            assert_eq!(row.mode_masses.len(), table.seeds.len());
            let drawn_back = whole.recipe.options.backward_rollouts;
            let [_, rows, tv, ..] = cells(row);
            assert_eq!(rows, drawn_back.rows(whole.recipe.batch).to_string());
            assert_eq!(tv, fixed(whole.total_variation, 3));
        }
    }

    /// What the words below the table and the presets claim.
    #[test]
    fn the_words_are_the_tables() {
        let table = table().unwrap();
        let all = table.seeds.len();
        for row in &table.rows {
            match row.change.contains("KL") {
                true => assert_eq!(holding(row), 0),
                false => assert_eq!(holding(row), all, "{}", row.change),
            }
        }
        for preset in [STEADY.name, "hard_off_policy"] {
            let note = note(preset).unwrap();
            assert!(
                note.contains(&format!("Of {all} seeds {all} hold")),
                "{note}"
            );
            assert!(note.contains("0.99 instead of 0.999"), "{note}");
        }
        assert_eq!(note("easy_correct"), None);
    }

    /// The tour's own recipe loses a mode by some seeds, as the manifest says.
    #[test]
    fn the_tours_recipe_is_not_steady() {
        let json = include_str!("../../pretrained/manifest.json");
        let manifest = gflownet_tour_core::weights::manifest::parse("m", json).unwrap();
        let model = manifest.models.iter().find(|m| m.name == "hard_off_policy");
        let runs = &model.unwrap().ensemble;
        let is_lost = |masses: &Vec<f64>| masses.iter().any(|mass| *mass < HELD);
        assert!(runs.iter().any(|run| is_lost(&run.mode_mass)));
    }
}
