//! Where a batch of trajectories runs: the CPU kernel, the GPU kernel, the choice between them
//! and the messages that a page exchanges with the engine's worker.

pub mod batch;
pub mod cpu;
pub mod gpu;
pub mod message;
pub mod schedule;
#[cfg(target_arch = "wasm32")]
mod scope;
#[cfg(target_arch = "wasm32")]
pub mod worker;
