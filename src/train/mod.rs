//! Training natively: the fused step of [`crate::trainer`], and burn's modules, autodiff and Adam,
//! which are its oracle. Progress comes as values; nothing here prints.
//!
//! [`train`], [`train_tempered`] and [`train_with_burn`] are the library's entries; [`command`] is the
//! `train_distill` program around them.

mod ablation;
pub mod command;
mod figure;
pub mod net;
mod output;
mod report;
mod tempered;

use crate::mixture::Mixture;
use crate::noise::ThreefryRng;
use crate::objective::FLOW_RATE;
use crate::options::Options;
use crate::policy::Policy;
use crate::rollout::Rollout;
use crate::trainer::{ADAM_BETA_1, ADAM_EPSILON, Progress, Trainer, noise_seed, stream};
use crate::weights::manifest::Recipe;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::{ParamGroup, list_param_ids};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::Device;
use net::{Loss, ReadError, Sampler};
use std::ops::ControlFlow;
pub use tempered::train_tempered;

/// A finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The forward policy.
    pub forward: Policy<f32>,
    /// The backward policy.
    pub backward: Policy<f32>,
    /// The learned log Z, in nats, or the last batch's estimate where none is learned.
    pub log_z: f32,
    /// Every iteration, in order.
    pub history: Vec<Progress>,
    /// What was kept on the way, in order.
    pub moments: Vec<Moment>,
}

/// A run as it was at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// Finished iterations.
    pub iteration: usize,
    /// The forward policy.
    pub forward: Policy<f32>,
    /// The learned log Z, in nats.
    pub log_z: f32,
}

/// Why a run gave no model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The callback asked for the end.
    #[error("the training was stopped after iteration {iteration}")]
    Stopped { iteration: usize },
    /// The loss, log Z or a weight is no finite number any more.
    #[error(
        "the training diverged at iteration {iteration} (loss {loss}, log Z {log_z}); \
         try another seed"
    )]
    Diverged {
        iteration: usize,
        loss: f32,
        log_z: f32,
    },
    /// burn's trainer, the oracle of the objectives, does not know every option.
    #[error(
        "burn trains the classic recipe with any objective, and this one has other options; leave \
         out --trainer burn and --device wgpu"
    )]
    HasOptions,
    /// The device failed.
    #[error(transparent)]
    Device(#[from] ReadError),
}

/// Trains the policies of `recipe` from `seed` with the fused step, on one thread. `on_progress`
/// hears of every iteration and can end the run. After each number of iterations in `keep`, which
/// rise from 0 or later, the forward policy is kept. The same recipe and seed on the same machine
/// give the same weights, bit for bit, whatever is kept.
///
/// # Errors
/// When the loss or a weight is not finite, or `on_progress` breaks.
pub fn train(
    recipe: &Recipe,
    seed: u64,
    keep: &[usize],
    on_progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    let mut trainer = Trainer::new(recipe, seed);
    let untrained = trainer.forward();
    let record = run(recipe, keep, untrained, on_progress, |is_kept| {
        let progress = trainer.step();
        Ok((progress, is_kept.then(|| trainer.forward())))
    })?;
    finish(
        trainer.forward(),
        trainer.backward(),
        trainer.log_z(),
        record,
    )
}

/// The same with burn on `device`: slower, and written so that it can be seen to be right. It takes
/// any objective, backward mean and range of standard deviations, but neither features nor schedules
/// nor backward rollouts.
///
/// # Errors
/// As [`train`], when the recipe has such options, and when the device fails.
pub fn train_with_burn(
    recipe: &Recipe,
    seed: u64,
    device: &Device,
    keep: &[usize],
    on_progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    let Options {
        objective,
        backward_mean,
        std_range,
        ..
    } = recipe.options;
    let known = Options {
        objective,
        backward_mean,
        std_range,
        ..Options::CLASSIC
    };
    if recipe.options != known {
        return Err(TrainError::HasOptions);
    }
    let device = device.clone().autodiff();
    let loss = Loss {
        objective,
        target: Mixture::new(recipe.modes.clone()),
        counted: recipe.backward_loop,
        mean: backward_mean,
    };
    let policy = |seed, stream| {
        let policy = Policy::init(recipe.hidden, &mut ThreefryRng::new(seed, stream));
        policy.with_std_range(std_range)
    };
    let noise = noise_seed(seed, stream::NOISE);
    let (forward, backward) = (
        policy(seed, stream::FORWARD),
        policy(seed, stream::BACKWARD),
    );
    let mut sampler = Sampler::new(&forward, &backward, 0.0, &device);
    if objective.learns_flow() {
        sampler = sampler.with_flow(&policy(noise, stream::FLOW), &device);
    }

    let log_z_group = ParamGroup::from_ids(vec![sampler.log_z.id]);
    let flow_group = ParamGroup::from_ids(sampler.flow.iter().flat_map(list_param_ids).collect());
    let rates = ModuleLrScheduler::new(recipe.learning_rate)
        .with_group(log_z_group, recipe.log_z_learning_rate)
        .with_group(flow_group, FLOW_RATE * recipe.learning_rate)
        .step();
    let mut adam = AdamConfig::new()
        .with_beta_1(ADAM_BETA_1 as f32)
        .with_beta_2(recipe.adam_beta_2 as f32)
        // Burn's default is 1e-5; the field's, and PyTorch's, is 1e-8.
        .with_epsilon(ADAM_EPSILON as f32)
        .init();

    let mut iteration = 0;
    let mut log_z = 0.0;
    let step = |is_kept: bool| {
        let rollout = Rollout {
            start: recipe.start,
            steps: recipe.steps,
            sigma_scale: 1.0,
            extra_std: match objective.is_off_policy() {
                true => recipe.exploration.extra_std(iteration, recipe.iterations),
                false => 0.0,
            },
            seed: noise,
            first: (iteration * recipe.batch) as u32,
        };
        let trajectories = sampler.draw(&rollout, recipe.batch)?;
        let evaluated = sampler.evaluate(&trajectories, &loss);
        let gradients = GradientsParams::from_grads(evaluated.differentiated.backward(), &sampler);
        sampler = adam.step(rates.clone(), sampler.clone(), gradients);
        iteration += 1;
        let value = net::values(evaluated.value.inner())?[0];
        log_z = match objective.learns_log_z() {
            true => net::values(sampler.log_z.val().inner())?[0],
            false => -net::values(evaluated.mean_residual.inner())?[0],
        };
        let progress = Progress {
            iteration,
            loss: value,
            log_z,
            is_finite: value.is_finite() && log_z.is_finite(),
        };
        let kept = is_kept.then(|| sampler.forward.to_policy()).transpose()?;
        Ok((progress, kept))
    };
    let record = run(recipe, keep, forward.clone(), on_progress, step)?;
    finish(
        sampler.forward.to_policy()?,
        sampler.backward.to_policy()?,
        log_z,
        record,
    )
}

type Record = (Vec<Progress>, Vec<Moment>);

/// Runs the recipe's iterations, as long as they stay finite and nobody says stop. `step` gives the
/// forward policy after the iteration when it is asked to.
fn run(
    recipe: &Recipe,
    keep: &[usize],
    untrained: Policy<f32>,
    mut on_progress: impl FnMut(&Progress) -> ControlFlow<()>,
    mut step: impl FnMut(bool) -> Result<(Progress, Option<Policy<f32>>), TrainError>,
) -> Result<Record, TrainError> {
    let mut history = Vec::with_capacity(recipe.iterations);
    let mut moments = Vec::with_capacity(keep.len());
    if keep.first() == Some(&0) {
        moments.push(Moment {
            iteration: 0,
            forward: untrained,
            log_z: 0.0,
        });
    }
    for iteration in 1..=recipe.iterations {
        let (progress, kept) = step(keep.binary_search(&iteration).is_ok())?;
        if !progress.is_finite {
            return Err(diverged(&progress));
        }
        history.push(progress);
        moments.extend(kept.map(|forward| Moment {
            iteration,
            forward,
            log_z: progress.log_z,
        }));
        if on_progress(&progress).is_break() {
            return Err(TrainError::Stopped { iteration });
        }
    }
    Ok((history, moments))
}

fn finish(
    forward: Policy<f32>,
    backward: Policy<f32>,
    log_z: f32,
    (history, moments): Record,
) -> Result<Trained, TrainError> {
    // The last update has no loss after it that would show a NaN.
    let weights = [&forward, &backward].map(Policy::parameters);
    match history.last() {
        Some(last) if !weights.concat().iter().all(|w| w.is_finite()) => Err(diverged(last)),
        _ => Ok(Trained {
            forward,
            backward,
            log_z,
            history,
            moments,
        }),
    }
}

fn diverged(at: &Progress) -> TrainError {
    TrainError::Diverged {
        iteration: at.iteration,
        loss: at.loss,
        log_z: at.log_z,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::BackwardMean;
    use crate::experiment::EXPERIMENTS;
    use crate::objective::Objective;
    use crate::options::Schedule;
    use crate::policy::StdRange;

    type Outcome = Result<Trained, TrainError>;

    fn recipe(iterations: usize) -> Recipe {
        Recipe {
            iterations,
            ..Recipe::of(&EXPERIMENTS[0])
        }
    }

    fn fused(recipe: &Recipe) -> Outcome {
        train(recipe, 3, &[], |_| ControlFlow::Continue(()))
    }

    fn burn(recipe: &Recipe) -> Outcome {
        train_with_burn(recipe, 3, &Device::flex(), &[], |_| {
            ControlFlow::Continue(())
        })
    }

    const TRAINERS: [fn(&Recipe) -> Outcome; 2] = [fused, burn];

    fn weights(trained: &Trained) -> Vec<f32> {
        [&trained.forward, &trained.backward]
            .map(Policy::parameters)
            .concat()
    }

    /// Adam's first step is the learning rate times the gradient's sign.
    #[test]
    fn the_networks_and_log_z_learn_at_their_own_rates() {
        for run in TRAINERS {
            let recipe = recipe(1);
            let trained = run(&recipe).unwrap();
            assert!((trained.log_z.abs() - 0.1).abs() < 1e-5);
            for (stream, after) in [
                (stream::FORWARD, &trained.forward),
                (stream::BACKWARD, &trained.backward),
            ] {
                let before = Policy::<f32>::init(recipe.hidden, &mut ThreefryRng::new(3, stream));
                let steps = before.parameters().iter().zip(after.parameters());
                let steps: Vec<f32> = steps.map(|(b, a)| (a - b).abs()).collect();
                assert!(steps.iter().all(|&step| step < 1.001e-3));
                let whole = steps.iter().filter(|&&step| step > 0.99e-3).count();
                assert!(whole > 4_000, "{whole}");
            }
        }
    }

    /// Rounding grows as training goes on, so this holds for a beginning only; but a wrong sign,
    /// rate or moment would show at once.
    #[test]
    fn the_fused_trainer_does_what_burn_does() {
        for experiment in &EXPERIMENTS {
            let recipe = Recipe {
                iterations: 60,
                ..Recipe::of(experiment)
            };
            let [fused, burn] = TRAINERS.map(|run| run(&recipe).unwrap());
            for (a, b) in fused.history.iter().zip(&burn.history) {
                assert!((a.loss - b.loss).abs() < 1e-3 * b.loss, "{a:?} {b:?}");
                assert!((a.log_z - b.log_z).abs() < 1e-3, "{a:?} {b:?}");
            }
            for (a, b) in weights(&fused).iter().zip(weights(&burn)) {
                assert!((a - b).abs() < 1e-3, "{}: {a} {b}", experiment.name);
            }
        }
    }

    #[test]
    fn the_fused_trainer_does_what_burn_does_by_any_objective() {
        for (objective, backward_mean) in Objective::ALL.into_iter().zip([
            BackwardMean::FixedBridge { step_std: 0.8 },
            BackwardMean::Bridge,
            BackwardMean::Net,
            BackwardMean::FixedBridge { step_std: 0.8 },
            BackwardMean::Net,
        ]) {
            let recipe = Recipe {
                iterations: 30,
                // More than one chunk, and no whole number of them.
                batch: 91,
                hidden: 24,
                options: Options {
                    objective,
                    backward_mean,
                    std_range: StdRange {
                        min_std: 0.05,
                        max_std: 1.5,
                    },
                    ..Options::CLASSIC
                },
                ..Recipe::of(&EXPERIMENTS[3])
            };
            let [fused, burn] = TRAINERS.map(|run| run(&recipe).unwrap());
            for (a, b) in fused.history.iter().zip(&burn.history) {
                let size = b.loss.abs().max(1.0);
                assert!(
                    (a.loss - b.loss).abs() < 1e-3 * size,
                    "{objective:?}: {a:?} {b:?}"
                );
                let size = b.log_z.abs().max(1.0);
                assert!(
                    (a.log_z - b.log_z).abs() < 1e-3 * size,
                    "{objective:?}: {a:?} {b:?}"
                );
            }
            assert_eq!(fused.log_z, fused.history[29].log_z);
            for (a, b) in weights(&fused).iter().zip(weights(&burn)) {
                assert!((a - b).abs() < 1e-3, "{objective:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_weights() {
        for run in TRAINERS {
            assert_eq!(run(&recipe(3)), run(&recipe(3)));
        }
    }

    /// A moment is what a shorter run of the same recipe ends with, and keeping it changes nothing.
    #[test]
    fn moments_are_the_run_as_it_was() {
        let go_on = |_: &Progress| ControlFlow::Continue(());
        let recipe = recipe(5);
        let keep = [0, 2, 5];
        let kept = [
            train(&recipe, 3, &keep, go_on).unwrap(),
            train_with_burn(&recipe, 3, &Device::flex(), &keep, go_on).unwrap(),
        ];
        for (run, kept) in TRAINERS.iter().zip(kept) {
            let plain = run(&recipe).unwrap();
            assert_eq!(weights(&kept), weights(&plain));
            assert_eq!(kept.history, plain.history);
            let iterations: Vec<usize> = kept.moments.iter().map(|m| m.iteration).collect();
            assert_eq!(iterations, keep);
            let untrained =
                Policy::<f32>::init(recipe.hidden, &mut ThreefryRng::new(3, stream::FORWARD));
            assert_eq!(
                (&kept.moments[0].forward, kept.moments[0].log_z),
                (&untrained, 0.0)
            );
            let shorter = run(&self::recipe(2)).unwrap();
            assert_eq!(kept.moments[1].forward, shorter.forward);
            assert_eq!(kept.moments[1].log_z, shorter.log_z);
            assert_eq!(kept.moments[2].forward, plain.forward);
            assert_eq!(kept.moments[2].log_z, plain.log_z);
        }
    }

    #[test]
    fn the_loss_falls() {
        let history = fused(&recipe(300)).unwrap().history;
        let mean = |part: &[Progress]| part.iter().map(|p| p.loss).sum::<f32>() / 20.0;
        assert!(mean(&history[280..]) < 0.1 * mean(&history[..20]));
    }

    #[test]
    fn burn_refuses_a_recipe_with_options() {
        let mut recipe = recipe(1);
        recipe.options.learning_rates = Schedule::WarmUpCosine {
            warm_up: 2,
            last: 0.1,
        };
        assert_eq!(burn(&recipe), Err(TrainError::HasOptions));
        assert!(fused(&recipe).is_ok());
    }

    #[test]
    fn the_callback_can_end_a_run() {
        let ended = train(&recipe(100), 3, &[], |progress| match progress.iteration {
            7 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        assert_eq!(ended, Err(TrainError::Stopped { iteration: 7 }));
    }

    #[test]
    fn a_training_that_diverges_is_an_error() {
        let recipe = Recipe {
            learning_rate: 1e30,
            ..recipe(100)
        };
        for run in TRAINERS {
            assert!(matches!(run(&recipe), Err(TrainError::Diverged { .. })));
        }
    }
}
