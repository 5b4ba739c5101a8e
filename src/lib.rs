//! Continuous GFlowNets on one-dimensional mixtures: sampling, exact scores, training and a
//! page that shows them.
//!
//! The rooms and what each must not know are drawn in `ARCHITECTURE.md`. In short, arrows point
//! one way: the page knows the engine's messages, the engine knows the mathematics, and the
//! mathematics knows nothing: no file, no clock, no DOM, no thread, no global random state.
//!
//! A fifth of a bundled model's training, and how near its samples come to the target:
//!
//! ```
//! use gflownet_tour::weights::manifest::Recipe;
//! use gflownet_tour::{density::TerminalDensity, divergence, experiment::Experiment, train};
//! use std::ops::ControlFlow;
//!
//! let experiment = Experiment::named("easy_correct").ok_or("no such experiment")?;
//! let recipe = Recipe { iterations: 1_000, ..Recipe::of(experiment) };
//! let trained = train::train(&recipe, 4444, &[], |_| ControlFlow::Continue(()))?;
//! assert_eq!(trained.history.len(), 1_000); // losses in nats²
//! let policy = trained.forward.cast::<f64>();
//! let density = TerminalDensity::of(&policy, recipe.start, recipe.steps, 1.0);
//! assert!(divergence::total_variation(&density, &experiment.target()) < 0.15);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use gflownet_tour_core::{
    address, archive, balance, checkpoint, counts, density, divergence, experiment, exploration,
    files, flow, layout, limits, message, mixture, noise, objective, options, policy, pytorch,
    rollout, tempered, trace, weights,
};
pub use gflownet_tour_speed::{network, sampler, simd, table, trainer};

pub use gflownet_tour_lab as lab;
pub use gflownet_tour_widgets as widgets;

#[cfg(not(target_arch = "wasm32"))]
pub mod train;

/// The code in `pretrained/README.md`.
#[cfg(doctest)]
#[doc = include_str!("../pretrained/README.md")]
struct Readme;
