//! The model of every temperature: its run, what it scores, and what is written of it.

use super::report::{FINAL_ITERATIONS, mean_loss, median, rounded, row, table, widened};
use super::{TrainError, diverged, run};
use crate::experiment::TEMPERED;
use crate::mixture::Mixture;
use crate::policy::Policy;
use crate::tempered::{Conditional, SCORED_BETAS, Score, TemperedModel, TemperedRecipe};
use crate::trainer::Progress;
use crate::trainer::tempered::TemperedTrainer;
use crate::weights;
use crate::weights::manifest::{TemperedEntry, TemperedSeed};
use crate::weights::tempered::TemperedFile;
use std::ops::ControlFlow;

/// Trains the model of every temperature from `seed` with the fused step, on one thread.
/// `on_progress` hears of every iteration, with log Z at β = 1, and can end the run. The same
/// recipe and seed on the same machine give the same weights, bit for bit.
///
/// # Errors
/// When the loss or a weight is not finite, or `on_progress` breaks.
pub fn train_tempered(
    recipe: &TemperedRecipe,
    seed: u64,
    on_progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(TemperedModel<f32>, Vec<Progress>), TrainError> {
    let mut trainer = TemperedTrainer::new(recipe, seed);
    // Nothing is kept on the way.
    let untrained = Policy::placeholder(1, 0.3);
    let step = |_| Ok((trainer.step(), None));
    let (history, _) = run(&recipe.base, &[], untrained, on_progress, step)?;
    let model = trainer.model();
    match history.last() {
        Some(last) if !is_finite(&model) => Err(diverged(last)),
        _ => Ok((model, history)),
    }
}

fn is_finite(model: &TemperedModel<f32>) -> bool {
    let sides = [&model.forward, &model.backward];
    let weights = sides.map(|side: &Conditional<f32>| [side.base().parameters(), side.slopes()]);
    let mut all = weights.concat().concat();
    all.extend(model.log_z.parameters());
    all.iter().all(|weight| weight.is_finite())
}

/// The model's bytes as a file, from the run of `seed`.
///
/// # Errors
/// Never for a finite recipe.
pub fn serialized(
    recipe: &TemperedRecipe,
    seed: u64,
    model: &TemperedModel<f32>,
) -> Result<Vec<u8>, serde_json::Error> {
    let metadata = [
        ("experiment", TEMPERED.name.to_owned()),
        ("format", weights::FORMAT.to_string()),
        ("recipe", serde_json::to_string(recipe)?),
        ("seed", seed.to_string()),
    ];
    Ok(weights::tempered::serialize(&TemperedFile {
        model: model.clone(),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
    }))
}

/// What a run scores at every exponent of [`SCORED_BETAS`].
pub fn scored(
    recipe: &TemperedRecipe,
    seed: u64,
    model: &TemperedModel<f32>,
    history: &[Progress],
) -> TemperedSeed {
    let target = Mixture::new(recipe.base.modes.clone());
    let (start, steps) = (recipe.base.start, recipe.base.steps);
    let scores = SCORED_BETAS.map(|beta| {
        let score = model.score(&target, start, steps, beta);
        Score {
            beta,
            total_variation: rounded(score.total_variation, 6),
            log_z: widened(score.log_z as f32),
            log_z_true: rounded(score.log_z_true, 9),
        }
    });
    let last = history.len().saturating_sub(FINAL_ITERATIONS);
    TemperedSeed {
        seed,
        final_loss: rounded(mean_loss(&history[last..]), 6),
        scores: scores.into(),
    }
}

/// The manifest's entry for the weights `bytes`, which are those of the first seed.
pub fn entry(recipe: TemperedRecipe, bytes: &[u8], ensemble: Vec<TemperedSeed>) -> TemperedEntry {
    TemperedEntry {
        file: format!("{}.safetensors", TEMPERED.name),
        sha256: weights::sha256(bytes),
        recipe,
        seed: ensemble[0].seed,
        scores: ensemble[0].scores.clone(),
        ensemble,
    }
}

/// One line an exponent: TV and log Z of the weights, and their medians over the seeds.
pub fn scores_table(entry: &TemperedEntry) -> String {
    let head = [
        "model",
        "beta",
        "TV",
        "log Z (true)",
        "seeds",
        "TV",
        "log Z off",
    ];
    let mut rows = vec![row(head)];
    for (i, score) in entry.scores.iter().enumerate() {
        let seeds = entry.ensemble.iter().map(|seed| &seed.scores[i]);
        let of = |value: fn(&Score) -> f64| median(seeds.clone().map(value).collect());
        rows.push(vec![
            TEMPERED.name.to_owned(),
            score.beta.to_string(),
            format!("{:.4}", score.total_variation),
            format!("{:.3} ({:.3})", score.log_z, score.log_z_true),
            entry.ensemble.len().to_string(),
            format!("{:.4}", of(|s| s.total_variation)),
            format!("{:+.3}", of(|s| s.log_z - s.log_z_true)),
        ]);
    }
    format!("\n{}", table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(iterations: usize) -> TemperedRecipe {
        let mut recipe = TemperedRecipe::bundled();
        recipe.base.iterations = iterations;
        recipe
    }

    #[test]
    fn the_same_seed_gives_the_same_model_and_another_gives_another() {
        let run = |seed| train_tempered(&recipe(3), seed, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(run(3), run(3));
        assert_ne!(run(3).0, run(4).0);
        assert_eq!(run(3).1.len(), 3);
    }

    #[test]
    fn the_callback_can_end_a_run_and_divergence_is_an_error() {
        let ended = train_tempered(&recipe(100), 3, |progress| match progress.iteration {
            7 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        assert_eq!(ended, Err(TrainError::Stopped { iteration: 7 }));
        let mut wild = recipe(100);
        wild.base.learning_rate = 1e30;
        let diverged = train_tempered(&wild, 3, |_| ControlFlow::Continue(()));
        assert!(matches!(diverged, Err(TrainError::Diverged { .. })));
    }
}
