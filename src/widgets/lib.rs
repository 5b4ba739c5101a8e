//! What the page, the laboratory and the article show things with: numbers in words, formulas, colours,
//! pictures as data, the article's list of live parts ([`island`]), and in a browser plots and controls.
//! What can be tested without a browser is compiled everywhere; the rest only for wasm32.
//!
//! A crate of its own, so that a change of the page builds neither its laboratory nor its article.

pub mod as_table;
pub mod flow_map;
pub mod format;
pub mod island;
pub mod numbers;
pub mod palette;
pub mod picture;
pub mod record;
pub mod study;
pub mod walk;

#[cfg(target_arch = "wasm32")]
pub mod dial;
#[cfg(target_arch = "wasm32")]
pub mod follow;
#[cfg(target_arch = "wasm32")]
pub mod maps;
#[cfg(target_arch = "wasm32")]
pub mod math;
#[cfg(target_arch = "wasm32")]
pub mod plot;
#[cfg(target_arch = "wasm32")]
pub mod screen;
#[cfg(target_arch = "wasm32")]
pub mod spoken;
#[cfg(target_arch = "wasm32")]
pub mod storage;
#[cfg(target_arch = "wasm32")]
pub mod worker;

/// The formulas of `formulas.txt` as MathML.
pub mod formulas {
    include!(concat!(env!("OUT_DIR"), "/formulas.rs"));
}
