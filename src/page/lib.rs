//! The page: what is live in the article ([`island`]). What can be tested without a browser (numbers, pictures as
//! data, the schedule of requests) is compiled everywhere; the rest only for wasm32.
//!
//! A crate of its own, so that a change here builds nothing but the page, and its laboratory.

pub mod as_table;
pub mod flow_map;
pub mod format;
pub mod island;
pub mod numbers;
pub mod palette;
pub mod picture;
pub mod record;
pub mod schedule;

#[cfg(target_arch = "wasm32")]
mod algebra;
#[cfg(target_arch = "wasm32")]
mod app;
#[cfg(target_arch = "wasm32")]
pub mod demo;
#[cfg(target_arch = "wasm32")]
pub mod dial;
#[cfg(target_arch = "wasm32")]
pub mod flow_panel;
#[cfg(target_arch = "wasm32")]
mod history;
#[cfg(target_arch = "wasm32")]
mod laboratory;
#[cfg(target_arch = "wasm32")]
pub mod link;
#[cfg(target_arch = "wasm32")]
pub mod plot;
#[cfg(target_arch = "wasm32")]
mod predict;
#[cfg(target_arch = "wasm32")]
pub mod screen;
#[cfg(target_arch = "wasm32")]
mod scrub;
#[cfg(target_arch = "wasm32")]
mod share;
#[cfg(target_arch = "wasm32")]
pub mod spoken;
#[cfg(target_arch = "wasm32")]
mod still;
#[cfg(target_arch = "wasm32")]
pub mod storage;
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

/// The formulas of `formulas.txt` as MathML.
pub mod formulas {
    include!(concat!(env!("OUT_DIR"), "/formulas.rs"));
}
