//! The laboratory: a reader chooses a target and a training, and watches it. An application of its
//! own, in a WASM file of its own, which the page puts into a section.
//!
//! What a run is so far is one plain value, [`record::Record`]; everything that is shown is read
//! from it.

pub mod ensemble;
pub mod export;
pub mod kept;
pub mod objectives;
pub mod record;
pub mod svg;

#[cfg(target_arch = "wasm32")]
mod app;
#[cfg(target_arch = "wasm32")]
mod compare;
#[cfg(target_arch = "wasm32")]
mod editor;
#[cfg(target_arch = "wasm32")]
mod form;
#[cfg(target_arch = "wasm32")]
mod keep;
#[cfg(target_arch = "wasm32")]
mod link;
#[cfg(target_arch = "wasm32")]
mod seeds;
#[cfg(target_arch = "wasm32")]
mod watch;

#[cfg(target_arch = "wasm32")]
pub use app::run;
