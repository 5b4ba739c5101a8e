//! `pretrained/NAME.ablation.json`: what each option of a recipe is worth. The trainer retrains the
//! recipe with one option changed at a time, over several seeds.

use crate::weights::WeightsError;
use crate::weights::manifest::Recipe;
use serde::{Deserialize, Serialize};

/// The table of one experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ablation {
    /// The experiment's name.
    pub experiment: String,
    /// The seeds of every row.
    pub seeds: Vec<u64>,
    /// The whole recipe first, then one changed option a row, then the classic recipe.
    pub rows: Vec<Row>,
}

/// One recipe: medians over the seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was changed, in words.
    pub change: String,
    /// The recipe that was trained.
    pub recipe: Recipe,
    /// Parameters of each of the two policies.
    pub parameters: usize,
    /// Exact total variation to the target, in [0, 1].
    pub total_variation: f64,
    /// Exact KL(target, model), in nats.
    pub kl_target_model: f64,
    /// The largest relative error of a mode's mass.
    pub mode_mass_error: f64,
    /// The learned log Z less the true one, in nats.
    pub log_z_error: f64,
    /// The importance-weighted log Z less the true one, in nats.
    pub importance_log_z_error: f64,
    /// The total variation of every seed, in the order of the seeds.
    pub total_variations: Vec<f64>,
    /// The mass per mode of every seed; empty in a table of options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mode_masses: Vec<Vec<f64>>,
}

/// Reads a table. `file` is the name that errors give.
///
/// # Errors
/// When the text is not the JSON of such a table, or a row has not one number a seed.
pub fn parse(file: &str, text: &str) -> Result<Ablation, WeightsError> {
    let not_a_table = |why: String| WeightsError::NotAblation {
        file: file.into(),
        why,
    };
    let table: Ablation =
        serde_json::from_str(text).map_err(|error| not_a_table(error.to_string()))?;
    let seeds = table.seeds.len();
    match table
        .rows
        .iter()
        .find(|row| row.total_variations.len() != seeds)
    {
        Some(row) => Err(not_a_table(format!(
            "row `{}` has {} seeds of {seeds}",
            row.change,
            row.total_variations.len()
        ))),
        None => Ok(table),
    }
}

/// The text of a table: JSON, indented, with a newline at the end.
///
/// # Errors
/// Never for finite numbers; the caller still gets a `Result`, not a panic.
pub fn to_json(table: &Ablation) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(table)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::FURTHER;

    fn table() -> Ablation {
        Ablation {
            experiment: "two".into(),
            seeds: vec![1, 2],
            rows: vec![Row {
                change: "nothing".into(),
                recipe: Recipe::of(&FURTHER[3]),
                parameters: 9_090,
                total_variation: 0.03,
                kl_target_model: 0.01,
                mode_mass_error: 0.05,
                log_z_error: -0.04,
                importance_log_z_error: 0.001,
                total_variations: vec![0.03, 0.04],
                mode_masses: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_table_survives_and_rubbish_is_refused() {
        let text = to_json(&table()).unwrap();
        assert_eq!(parse("a.json", &text).unwrap(), table());
        for text in ["", "<!doctype html>", "{}", &text[..200]] {
            let error = parse("a.json", text).unwrap_err();
            assert!(matches!(error, WeightsError::NotAblation { .. }), "{text}");
        }
        let mut uneven = table();
        uneven.rows[0].total_variations.pop();
        let error = parse("a.json", &to_json(&uneven).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.json is not a table of options (row `nothing` has 1 seeds of 2); make it anew with \
             train-distill --ablate"
        );
    }
}
