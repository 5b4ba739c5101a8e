//! Where a batch of trajectories runs: the CPU's sampler, the GPU kernel, the choice between them,
//! and the browser worker around both.
//!
//! A crate of its own, because the kernel compiler below burn-wgpu registers itself when a WASM
//! file starts, which keeps all of it in every file that links it: 9 MB that the page's own file
//! must not carry.

#![warn(missing_docs, clippy::missing_errors_doc, clippy::missing_panics_doc)]

pub mod batch;
pub mod ensemble;
pub mod gpu;
pub mod gpu_train;
#[cfg(target_arch = "wasm32")]
mod relaxed;
pub mod run;
pub mod schedule;
#[cfg(target_arch = "wasm32")]
mod scope;
#[cfg(target_arch = "wasm32")]
mod threads;
#[cfg(target_arch = "wasm32")]
pub mod worker;
