//! What a recipe can do beside the classic training: named options from the literature, each with a
//! default that leaves the classic training as it is.

use crate::archive::BackwardRollouts;
use crate::balance::BackwardMean;
use crate::objective::Objective;
use crate::policy::{Inputs, StdRange};
use serde::{Deserialize, Serialize};

/// The options of a training run. Those that were added since the first models are left out of a
/// text where they are classic, so that old texts stay as they are; a format that does not name its
/// fields, postcard for one, cannot hold them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// What both networks read.
    #[serde(default)]
    pub inputs: Inputs,
    /// Where the backward network's mean is measured from.
    #[serde(default)]
    pub backward_mean: BackwardMean,
    /// How the learning rates change during the run.
    #[serde(default)]
    pub learning_rates: Schedule,
    /// Which rows of a batch are drawn backwards, and from where.
    #[serde(default)]
    pub backward_rollouts: BackwardRollouts,
    /// What is minimised.
    #[serde(default, skip_serializing_if = "is_default")]
    pub objective: Objective,
    /// The standard deviations that both policies can give.
    #[serde(default, skip_serializing_if = "is_default")]
    pub std_range: StdRange,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Options {
    /// No option at all.
    pub const CLASSIC: Options = Options {
        inputs: Inputs::Raw,
        backward_mean: BackwardMean::Net,
        learning_rates: Schedule::Constant,
        backward_rollouts: BackwardRollouts::None,
        objective: Objective::TrajectoryBalance,
        std_range: StdRange::USUAL,
    };

    /// Whether these are [`Options::CLASSIC`].
    pub fn is_classic(&self) -> bool {
        *self == Options::CLASSIC
    }
}

/// A factor on the learning rates of both networks and of log Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// 1 throughout.
    #[default]
    Constant,
    /// A cosine from 1 to `last` over the run, times a straight line up over the first `warm_up`
    /// iterations (Loshchilov and Hutter 2017).
    WarmUpCosine {
        /// Iterations until the factor is the cosine's.
        warm_up: usize,
        /// The factor at the end.
        last: f64,
    },
}

impl Schedule {
    /// The factor at `iteration` (from 0) of `iterations`.
    pub fn factor(&self, iteration: usize, iterations: usize) -> f64 {
        match *self {
            Schedule::Constant => 1.0,
            Schedule::WarmUpCosine { warm_up, last } => {
                let line = ((iteration + 1) as f64 / warm_up.max(1) as f64).min(1.0);
                let progress = iteration as f64 / iterations.saturating_sub(1).max(1) as f64;
                let wave = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
                line * (last + (1.0 - last) * wave)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_classic() {
        assert!(Options::default().is_classic());
        assert_eq!(
            serde_json::from_str::<Options>("{}").unwrap(),
            Options::CLASSIC
        );
    }

    /// The manifest and the files of the first models know nothing of the later options.
    #[test]
    fn later_options_are_named_where_they_are_not_classic() {
        let text = serde_json::to_string(&Options::CLASSIC).unwrap();
        assert!(!text.contains("objective") && !text.contains("std_range"));
        for objective in Objective::ALL {
            let options = Options {
                objective,
                std_range: StdRange {
                    min_std: 0.05,
                    max_std: 2.0,
                },
                backward_mean: BackwardMean::FixedBridge { step_std: 0.5 },
                ..Options::CLASSIC
            };
            let text = serde_json::to_string(&options).unwrap();
            assert_eq!(serde_json::from_str::<Options>(&text).unwrap(), options);
        }
    }

    #[test]
    fn the_learning_rate_warms_up_and_falls() {
        let schedule = Schedule::WarmUpCosine {
            warm_up: 10,
            last: 0.01,
        };
        let factor = |iteration| schedule.factor(iteration, 1_001);
        assert!((factor(0) - 0.1).abs() < 1e-12);
        assert!((factor(9) - 1.0).abs() < 1e-3);
        assert!((factor(500) - 0.505).abs() < 1e-12);
        assert!((factor(1_000) - 0.01).abs() < 1e-12);
        assert_eq!(Schedule::Constant.factor(7, 10), 1.0);
        // A run of one iteration is at its beginning.
        assert_eq!(
            Schedule::WarmUpCosine {
                warm_up: 0,
                last: 0.5
            }
            .factor(0, 1),
            1.0
        );
    }
}
