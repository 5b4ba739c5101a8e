//! The mathematics of `gflownet-tour-core` in vector code: one source for AVX-512, AVX2, simd128 and
//! plain scalars, chosen when the program runs ([`simd::Level`]).
//!
//! A crate of its own, so that a changed kernel builds only what samples and trains. Everything here
//! has a plain twin in the core, and a test that compares them at every level that the machine has.

#![warn(missing_docs, clippy::missing_errors_doc, clippy::missing_panics_doc)]

#[expect(missing_docs, reason = "messages: a field that needs a word has it")]
pub mod kernels;
pub mod network;
pub mod sampler;
pub mod simd;
pub mod table;
pub mod trainer;
