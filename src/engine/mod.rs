//! Where a batch of trajectories runs: the CPU kernel, the GPU kernel, the choice between them
//! and the messages that a page exchanges with the engine's worker.

pub mod cpu;
pub mod gpu;
pub mod message;
#[cfg(target_arch = "wasm32")]
pub mod worker;
