//! What each option of a recipe is worth: the recipe with one option changed at a time, and the
//! recipe by each objective.

use super::report::{Scored, median, rounded, table};
use crate::archive::{BackwardRollouts, Priority};
use crate::balance::{self, BackwardMean};
use crate::experiment::{self, Experiment};
use crate::exploration::Exploration;
use crate::mixture::Mixture;
use crate::objective::Objective;
use crate::options::{Options, Schedule};
use crate::policy::Inputs;
use crate::rollout::{Rollout, Trajectories};
use crate::sampler::Sampler;
use crate::trainer::{noise_seed, stream};
use crate::weights::ablation::{Ablation, Row};
use crate::weights::manifest::Recipe;

/// Trajectories of an importance-weighted log Z.
const WEIGHTED: usize = 20_000;

/// The rows of the table for an experiment with options, as experiments whose names are what was
/// changed; empty for an experiment without options.
pub fn variants(base: &Experiment) -> Vec<Experiment> {
    if base.options.is_classic() {
        return Vec::new();
    }
    let options = base.options;
    let with = |name, options| Experiment {
        name,
        options,
        ..*base
    };
    let mut rows = vec![with("all options", options)];
    let changes = [
        (
            "inputs: raw (x, t)",
            Options {
                inputs: Inputs::Raw,
                ..options
            },
        ),
        (
            "backward mean: the network alone",
            Options {
                backward_mean: BackwardMean::Net,
                ..options
            },
        ),
        (
            "learning rates: constant",
            Options {
                learning_rates: Schedule::Constant,
                ..options
            },
        ),
        (
            "backward rollouts: none",
            Options {
                backward_rollouts: BackwardRollouts::None,
                ..options
            },
        ),
    ];
    rows.extend(changes.map(|(name, options)| with(name, options)));
    if let BackwardRollouts::Archive {
        rows: count,
        from_iteration,
        ..
    } = options.backward_rollouts
    {
        let from = |name, backward_rollouts| {
            let options = Options {
                backward_rollouts,
                ..options
            };
            with(name, options)
        };
        rows.push(from(
            "backward rollouts: archive by rank",
            BackwardRollouts::Archive {
                rows: count,
                from_iteration,
                priority: Priority::Rank,
            },
        ));
        rows.push(from(
            "backward rollouts: from R itself (uses knowledge of R)",
            BackwardRollouts::Tempered {
                rows: count,
                exponent: 1.0,
            },
        ));
    }
    rows.push(Experiment {
        name: "noise: to the end of the run",
        exploration: Exploration::Linear {
            from_std: 2.0,
            to_std: 0.0,
        },
        ..*base
    });
    rows.push(Experiment {
        name: "Adam's beta 2: the usual .999",
        adam_beta_2: 0.999,
        ..*base
    });
    // An option that the recipe does not have cannot be changed.
    let recipe = Recipe::of(base);
    let mut is_first = true;
    rows.retain(|row| std::mem::take(&mut is_first) || Recipe::of(row) != recipe);
    let is_classic = |e: &&Experiment| e.options.is_classic() && e.modes == base.modes;
    let correct = |e: &&Experiment| e.backward_loop == base.backward_loop;
    if let Some(classic) = experiment::all().filter(is_classic).filter(correct).last() {
        rows.push(Experiment {
            name: "classic",
            iterations: base.iterations,
            ..*classic
        });
    }
    rows
}

/// The rows of a batch that are drawn backwards in the second half of the table of objectives: as
/// many as in the solved recipes.
const REPLAY: BackwardRollouts = BackwardRollouts::Archive {
    rows: 50,
    from_iteration: 20,
    priority: Priority::Reward,
};

/// The recipe of an experiment by every objective, as experiments with the objectives' names. One
/// that has to draw its own trajectories does so. Where the recipe draws no row backwards, the
/// others follow once more, with 50 rows of an archive.
pub fn objectives(base: &Experiment) -> Vec<Experiment> {
    let with = |objective: Objective| {
        let options = Options {
            objective,
            ..base.options
        };
        let row = Experiment {
            name: objective.title(),
            options,
            ..*base
        };
        match objective.is_off_policy() {
            true => row,
            false => Experiment {
                name: "reverse KL, on-policy",
                exploration: Exploration::None,
                options: Options {
                    backward_rollouts: BackwardRollouts::None,
                    ..options
                },
                ..row
            },
        }
    };
    let mut rows: Vec<Experiment> = Objective::ALL.map(with).into();
    if base.options.backward_rollouts == BackwardRollouts::None {
        let replayed = rows
            .clone()
            .into_iter()
            .filter(|row| row.options.objective.is_off_policy());
        rows.extend(replayed.map(|row| Experiment {
            options: Options {
                backward_rollouts: REPLAY,
                ..row.options
            },
            ..row
        }));
    }
    rows
}

/// Whether a row of [`objectives`] has the rows drawn backwards that its base has not.
fn is_replayed(row: &Row) -> bool {
    row.recipe.options.backward_rollouts == REPLAY
}

/// The importance-weighted log Z of a run, in nats.
fn importance_log_z(run: &Scored, target: &Mixture) -> f64 {
    let rollout = Rollout {
        start: run.recipe.start,
        steps: run.recipe.steps,
        sigma_scale: 1.0,
        extra_std: 0.0,
        seed: noise_seed(run.seed, stream::SCORE),
        first: 0,
    };
    let drawn = Sampler::new(&run.trained.forward).draw(&rollout, WEIGHTED);
    let trajectories = Trajectories {
        steps: drawn.steps,
        states: drawn.states.into_iter().map(f64::from).collect(),
    };
    let policies = (&run.trained.forward, &run.trained.backward);
    let policies = (&policies.0.cast(), &policies.1.cast());
    let mean = run.recipe.options.backward_mean;
    balance::importance_log_z(target, policies, mean, &trajectories)
}

/// The largest relative error of a mode's mass.
fn mode_mass_error(run: &Scored, target: &Mixture) -> f64 {
    let masses = run.result.mode_mass.iter().zip(target.mode_mass());
    masses.fold(0.0, |worst, (got, truth)| {
        (got / truth - 1.0).abs().max(worst)
    })
}

/// The row of one variant's runs.
pub fn row(change: &str, runs: &[Scored]) -> Row {
    let recipe = runs[0].recipe.clone();
    let target = Mixture::new(recipe.modes.clone());
    let log_z = target.log_partition();
    let of = |value: &dyn Fn(&Scored) -> f64| rounded(median(runs.iter().map(value).collect()), 6);
    Row {
        change: change.to_owned(),
        parameters: runs[0].trained.forward.parameters().len(),
        total_variation: of(&|run| run.metrics.total_variation),
        kl_target_model: of(&|run| run.metrics.kl_target_model),
        mode_mass_error: of(&|run| mode_mass_error(run, &target)),
        log_z_error: of(&|run| f64::from(run.trained.log_z) - log_z),
        importance_log_z_error: of(&|run| importance_log_z(run, &target) - log_z),
        total_variations: runs
            .iter()
            .map(|run| rounded(run.metrics.total_variation, 6))
            .collect(),
        mode_masses: Vec::new(),
        recipe,
    }
}

/// The row of an objective's runs: with every seed's mass per mode, which says who lost one.
pub fn objective_row(objective: &str, runs: &[Scored]) -> Row {
    let masses = runs.iter().map(|run| run.result.mode_mass.iter());
    Row {
        mode_masses: masses
            .map(|masses| masses.map(|&mass| rounded(mass, 6)).collect())
            .collect(),
        ..row(objective, runs)
    }
}

/// The table as text.
pub fn text(ablation: &Ablation) -> String {
    let head = [
        &format!(
            "{}, median of {} seeds",
            ablation.experiment,
            ablation.seeds.len()
        ),
        "parameters",
        "TV",
        "KL",
        "mass off by",
        "log Z off by",
        "weighted",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for row in &ablation.rows {
        rows.push(vec![
            match is_replayed(row) && !row.mode_masses.is_empty() {
                true => format!("{}, 50 rows backwards", row.change),
                false => row.change.clone(),
            },
            row.parameters.to_string(),
            format!("{:.4}", row.total_variation),
            format!("{:.4}", row.kl_target_model),
            format!("{:.1} %", 100.0 * row.mode_mass_error),
            format!("{:+.3}", row.log_z_error),
            format!("{:+.3}", row.importance_log_z_error),
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_objective_has_a_row_that_can_be_trained() {
        for base in experiment::all() {
            let rows = objectives(base);
            for (row, objective) in rows.iter().zip(Objective::ALL) {
                assert_eq!(row.options.objective, objective);
                assert_eq!(Recipe::of(row).validate(), Ok(()));
            }
            assert_eq!(Recipe::of(&rows[0]), Recipe::of(base));
            let is_replayed = base.options.backward_rollouts != BackwardRollouts::None;
            assert_eq!(rows.len(), if is_replayed { 5 } else { 9 });
            for row in &rows[5..] {
                assert_eq!(row.options.backward_rollouts, REPLAY);
                assert_eq!(Recipe::of(row).validate(), Ok(()));
            }
        }
    }

    #[test]
    fn every_row_changes_one_thing_and_the_last_is_classic() {
        for name in ["easy_solved", "hard_solved", "four_mode_solved"] {
            let base = Experiment::named(name).unwrap();
            let rows = variants(base);
            let recipes: Vec<Recipe> = rows.iter().map(Recipe::of).collect();
            assert_eq!(recipes[0], Recipe::of(base));
            for (i, recipe) in recipes.iter().enumerate() {
                assert!(!recipes[..i].contains(recipe), "{}", rows[i].name);
                assert_eq!(recipe.iterations, base.iterations);
                assert_eq!(recipe.modes, base.modes);
            }
            assert!(recipes.last().unwrap().options.is_classic());
        }
        assert!(variants(Experiment::named("four_mode").unwrap()).is_empty());
    }
}
