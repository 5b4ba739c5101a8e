//! Continuous GFlowNets on one-dimensional mixtures: sampling, exact scores, training and a
//! page that shows them.
//!
//! The rooms and what each must not know are drawn in `ARCHITECTURE.md`. In short, arrows point
//! one way: the page knows the engine's messages, the engine knows the mathematics, and the
//! mathematics knows nothing: no file, no clock, no DOM, no thread, no global random state.

pub use gflownet_tour_core::{
    address, archive, balance, counts, density, divergence, experiment, exploration, files, flow,
    limits, message, mixture, network, noise, objective, options, policy, pytorch, rollout,
    sampler, simd, table, tempered, trace, trainer, weights,
};

pub use gflownet_tour_lab as lab;
pub use gflownet_tour_page as page;

#[cfg(not(target_arch = "wasm32"))]
pub mod train;
