//! What a recipe may hold: the ranges in which training is fast enough to watch and its numbers
//! mean something, and an error for each field that lies outside.

use crate::archive::BackwardRollouts;
use crate::balance::BackwardMean;
use crate::exploration::Exploration;
use crate::objective::Objective;
use crate::options::Schedule;
use crate::policy::Inputs;
use crate::weights::manifest::Recipe;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Modes of the target.
pub const MODES: RangeInclusive<usize> = 1..=8;
/// A mode's mean and the start, in units of x.
pub const PLACE: RangeInclusive<f64> = -20.0..=20.0;
/// A mode's variance, in squared units of x: standard deviations from .1 to 5.
pub const VAR: RangeInclusive<f64> = 0.01..=25.0;
/// A mode's weight.
pub const WEIGHT: RangeInclusive<f64> = 0.01..=100.0;
/// The horizon N.
pub const STEPS: RangeInclusive<usize> = 1..=20;
/// Neurons in each hidden layer.
pub const HIDDEN: RangeInclusive<usize> = 16..=128;
/// Trajectories in a batch.
pub const BATCH: RangeInclusive<usize> = 16..=4_096;
/// Iterations of a run.
pub const ITERATIONS: RangeInclusive<usize> = 1..=1_000_000;
/// Learning rates, of the networks and of log Z.
pub const LEARNING_RATE: RangeInclusive<f64> = 1e-6..=1.0;
/// Adam's β2.
pub const ADAM_BETA_2: RangeInclusive<f64> = 0.5..=0.999_99;
/// What exploration adds to the standard deviation, in units of x.
pub const EXTRA_STD: RangeInclusive<f64> = 0.0..=10.0;
/// The part of a run over which a schedule moves, and the learning rate's last factor.
pub const SHARE: RangeInclusive<f64> = 0.0..=1.0;
/// Both ends of the policies' standard deviations, and a fixed bridge's, in units of x.
pub const STD: RangeInclusive<f64> = 0.02..=5.0;
/// λ of sub-trajectory balance.
pub const LAMBDA: RangeInclusive<f64> = 0.05..=2.0;
/// The exponent of a tempered reward that rows are drawn from.
pub const EXPONENT: RangeInclusive<f64> = 0.0..=2.0;

/// What cannot be trained.
///
/// ```
/// use gflownet_tour_core::experiment::EXPERIMENTS;
/// use gflownet_tour_core::weights::manifest::Recipe;
/// let recipe = Recipe { steps: 25, ..Recipe::of(&EXPERIMENTS[0]) };
/// let error = recipe.validate().unwrap_err();
/// assert_eq!(error.field(), "steps");
/// assert_eq!(error.to_string(), "`steps` is 25; give 1 to 20");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the message tells")]
pub enum RecipeError {
    /// A number outside of its range.
    #[error("`{field}` is {found}; give {least} to {most}")]
    Range {
        field: String,
        found: String,
        least: String,
        most: String,
    },
    /// A range whose ends are in the wrong order, or one point.
    #[error("`std_range.max_std` is {max_std}; give more than `std_range.min_std`, {min_std}")]
    EmptyStdRange { min_std: f64, max_std: f64 },
    /// More backward rows than the batch has.
    #[error("`backward_rollouts.rows` is {rows}; give at most `batch`, {batch}")]
    TooManyRows { rows: usize, batch: usize },
    /// First layers for another horizon.
    #[error("`inputs.steps` is {found}; give what `steps` is, {steps}")]
    InputsSteps { found: usize, steps: usize },
    /// Reverse KL is a mean under the forward policy.
    #[error(
        "`{field}` draws trajectories that the forward policy does not, and reverse KL is a mean \
         over its own; turn it off or take another objective"
    )]
    OnPolicyOnly { field: &'static str },
}

impl RecipeError {
    /// The field that it is about, as the recipe's text names it.
    pub fn field(&self) -> &str {
        match self {
            RecipeError::Range { field, .. } => field,
            RecipeError::EmptyStdRange { .. } => "std_range.max_std",
            RecipeError::TooManyRows { .. } => "backward_rollouts.rows",
            RecipeError::InputsSteps { .. } => "inputs.steps",
            RecipeError::OnPolicyOnly { field } => field,
        }
    }
}

impl Recipe {
    /// Whether a run of this recipe can be trained.
    ///
    /// # Errors
    /// The first of [`Recipe::errors`].
    pub fn validate(&self) -> Result<(), RecipeError> {
        self.errors().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is wrong with the recipe, in the order of its fields.
    pub fn errors(&self) -> Vec<RecipeError> {
        let mut errors = Vec::new();
        let options = &self.options;
        within(&mut errors, "modes", self.modes.len(), MODES);
        for (i, mode) in self.modes.iter().enumerate() {
            within(&mut errors, &format!("modes[{i}].mean"), mode.mean, PLACE);
            within(&mut errors, &format!("modes[{i}].var"), mode.var, VAR);
            let field = format!("modes[{i}].weight");
            within(&mut errors, &field, mode.weight, WEIGHT);
        }
        within(&mut errors, "start", self.start, PLACE);
        within(&mut errors, "steps", self.steps, STEPS);
        within(&mut errors, "iterations", self.iterations, ITERATIONS);
        within(&mut errors, "batch", self.batch, BATCH);
        within(&mut errors, "hidden", self.hidden, HIDDEN);
        let rates = [
            ("learning_rate", self.learning_rate),
            ("log_z_learning_rate", self.log_z_learning_rate),
        ];
        for (field, rate) in rates {
            within(&mut errors, field, rate, LEARNING_RATE);
        }
        within(&mut errors, "adam_beta_2", self.adam_beta_2, ADAM_BETA_2);
        let (stds, fraction) = match self.exploration {
            Exploration::None => (vec![], None),
            Exploration::Constant { std } => (vec![("std", std)], None),
            Exploration::Linear { from_std, to_std } => {
                (vec![("from_std", from_std), ("to_std", to_std)], None)
            }
            Exploration::LinearByFraction {
                from_std,
                to_std,
                fraction,
            } => (
                vec![("from_std", from_std), ("to_std", to_std)],
                Some(fraction),
            ),
        };
        let explores = stds.iter().any(|&(_, std)| std != 0.0);
        for (part, std) in stds {
            within(&mut errors, &format!("exploration.{part}"), std, EXTRA_STD);
        }
        if let Some(fraction) = fraction {
            within(&mut errors, "exploration.fraction", fraction, SHARE);
        }
        if let Inputs::StepFeatures { steps: found } = options.inputs
            && found != self.steps
        {
            let steps = self.steps;
            errors.push(RecipeError::InputsSteps { found, steps });
        }
        if let BackwardMean::FixedBridge { step_std } = options.backward_mean {
            within(&mut errors, "backward_mean.step_std", step_std, STD);
        }
        if let Schedule::WarmUpCosine { last, .. } = options.learning_rates {
            within(&mut errors, "learning_rates.last", last, SHARE);
        }
        let rows = match options.backward_rollouts {
            BackwardRollouts::None => 0,
            BackwardRollouts::Archive { rows, .. } => rows,
            BackwardRollouts::Tempered { rows, exponent } => {
                within(
                    &mut errors,
                    "backward_rollouts.exponent",
                    exponent,
                    EXPONENT,
                );
                rows
            }
        };
        if rows > self.batch {
            let batch = self.batch;
            errors.push(RecipeError::TooManyRows { rows, batch });
        }
        if let Objective::SubTrajectoryBalance { lambda } = options.objective {
            within(&mut errors, "objective.lambda", lambda, LAMBDA);
        }
        let range = options.std_range;
        within(&mut errors, "std_range.min_std", range.min_std, STD);
        within(&mut errors, "std_range.max_std", range.max_std, STD);
        if range.min_std >= range.max_std {
            errors.push(RecipeError::EmptyStdRange {
                min_std: range.min_std,
                max_std: range.max_std,
            });
        }
        if !options.objective.is_off_policy() {
            let off_policy = [("exploration", explores), ("backward_rollouts", rows > 0)];
            for (field, _) in off_policy.into_iter().filter(|(_, is_on)| *is_on) {
                errors.push(RecipeError::OnPolicyOnly { field });
            }
        }
        errors
    }
}

fn within<T: PartialOrd + Display>(
    errors: &mut Vec<RecipeError>,
    field: &str,
    found: T,
    range: RangeInclusive<T>,
) {
    // No number is no member of a range, either.
    if !range.contains(&found) {
        errors.push(RecipeError::Range {
            field: field.to_owned(),
            found: found.to_string(),
            least: range.start().to_string(),
            most: range.end().to_string(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment;
    use crate::mixture::Mode;
    use crate::options::Options;
    use crate::policy::StdRange;

    fn recipe() -> Recipe {
        Recipe::of(&experiment::EXPERIMENTS[3])
    }

    #[test]
    fn every_experiment_can_be_trained() {
        for experiment in experiment::all() {
            assert_eq!(Recipe::of(experiment).errors(), []);
        }
    }

    fn check(change: impl FnOnce(&mut Recipe), expected: &[(&str, &str)]) {
        let mut recipe = recipe();
        change(&mut recipe);
        let errors = recipe.errors();
        let texts: Vec<(&str, String)> =
            errors.iter().map(|e| (e.field(), e.to_string())).collect();
        let texts: Vec<(&str, &str)> = texts.iter().map(|(f, t)| (*f, t.as_str())).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn what_cannot_be_trained_is_named() {
        check(
            |r| r.modes.clear(),
            &[("modes", "`modes` is 0; give 1 to 8")],
        );
        check(
            |r| r.modes[1] = Mode::new(f64::NAN, 0.0).weighing(-1.0),
            &[
                ("modes[1].mean", "`modes[1].mean` is NaN; give -20 to 20"),
                ("modes[1].var", "`modes[1].var` is 0; give 0.01 to 25"),
                (
                    "modes[1].weight",
                    "`modes[1].weight` is -1; give 0.01 to 100",
                ),
            ],
        );
        check(
            |r| (r.batch, r.hidden, r.learning_rate) = (8, 1_000, f64::INFINITY),
            &[
                ("batch", "`batch` is 8; give 16 to 4096"),
                ("hidden", "`hidden` is 1000; give 16 to 128"),
                (
                    "learning_rate",
                    "`learning_rate` is inf; give 0.000001 to 1",
                ),
            ],
        );
        check(
            |r| {
                r.options.std_range = StdRange {
                    min_std: 1.0,
                    max_std: 0.5,
                };
            },
            &[(
                "std_range.max_std",
                "`std_range.max_std` is 0.5; give more than `std_range.min_std`, 1",
            )],
        );
        check(
            |r| {
                r.options = Options {
                    objective: Objective::ReverseKl,
                    inputs: Inputs::StepFeatures { steps: 3 },
                    backward_rollouts: BackwardRollouts::Tempered {
                        rows: 300,
                        exponent: 1.0,
                    },
                    ..Options::CLASSIC
                };
            },
            &[
                (
                    "inputs.steps",
                    "`inputs.steps` is 3; give what `steps` is, 5",
                ),
                (
                    "backward_rollouts.rows",
                    "`backward_rollouts.rows` is 300; give at most `batch`, 256",
                ),
                (
                    "exploration",
                    "`exploration` draws trajectories that the forward policy does not, and \
                     reverse KL is a mean over its own; turn it off or take another objective",
                ),
                (
                    "backward_rollouts",
                    "`backward_rollouts` draws trajectories that the forward policy does not, and \
                     reverse KL is a mean over its own; turn it off or take another objective",
                ),
            ],
        );
        check(
            |r| {
                r.options.objective = Objective::ReverseKl;
                r.exploration = Exploration::Constant { std: 0.0 };
            },
            &[],
        );
        check(
            |r| r.options.objective = Objective::SubTrajectoryBalance { lambda: 0.0 },
            &[(
                "objective.lambda",
                "`objective.lambda` is 0; give 0.05 to 2",
            )],
        );
    }
}
