//! The page: what is live in the article (`gflownet_tour_widgets::island`). What can be tested without a browser
//! (the schedule of requests) is compiled everywhere; the rest only for wasm32.
//!
//! A crate of its own, so that a change here builds nothing but the page.

pub mod schedule;

#[cfg(target_arch = "wasm32")]
mod algebra;
#[cfg(target_arch = "wasm32")]
mod app;
#[cfg(target_arch = "wasm32")]
mod demo;
#[cfg(target_arch = "wasm32")]
mod flow_panel;
#[cfg(target_arch = "wasm32")]
mod history;
#[cfg(target_arch = "wasm32")]
mod islands;
#[cfg(target_arch = "wasm32")]
mod laboratory;
#[cfg(target_arch = "wasm32")]
mod link;
#[cfg(target_arch = "wasm32")]
mod predict;
#[cfg(target_arch = "wasm32")]
mod scrub;
#[cfg(target_arch = "wasm32")]
mod share;
#[cfg(target_arch = "wasm32")]
mod still;
#[cfg(target_arch = "wasm32")]
mod study;
#[cfg(target_arch = "wasm32")]
mod tempered;
#[cfg(target_arch = "wasm32")]
mod theme;
#[cfg(target_arch = "wasm32")]
mod trace_panel;

#[cfg(target_arch = "wasm32")]
pub use app::run;
