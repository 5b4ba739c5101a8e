//! Continuous GFlowNets on one-dimensional mixtures: the mathematics, the experiments, and the
//! formats of weights and messages.
//!
//! Nothing here knows a file, a clock, a DOM, a thread or global random state. The crate
//! `gflownet-tour` hands all of it on; it is a crate of its own so that the page, the engine and
//! the trainer build without each other.
//!
//! How far the samples of a bundled model are from its target, exactly:
//!
//! ```
//! use gflownet_tour_core::{density::TerminalDensity, divergence, experiment::Experiment, weights};
//!
//! let experiment = Experiment::named("easy_correct").ok_or("no such experiment")?;
//! let file = "../../pretrained/easy_correct.safetensors";
//! let model = weights::parse(file, &std::fs::read(file)?)?;
//! let policy = model.forward.cast::<f64>();
//! let density = TerminalDensity::of(&policy, experiment.start, experiment.steps, 1.0);
//! let total_variation = divergence::total_variation(&density, &experiment.target());
//! assert!(total_variation < 0.075);
//! // log Z in nats: the target's two modes have area one each.
//! assert!((f64::from(model.log_z) - 2f64.ln()).abs() < 0.1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs, clippy::missing_errors_doc, clippy::missing_panics_doc)]

pub mod address;
pub mod archive;
pub mod balance;
pub mod checkpoint;
pub mod counts;
pub mod density;
pub mod divergence;
pub mod experiment;
pub mod exploration;
pub mod flow;
pub mod lab;
pub mod layout;
pub mod limits;
pub mod mixture;
pub mod noise;
pub mod objective;
pub mod options;
pub mod policy;
pub mod pytorch;
pub mod rollout;
pub mod tempered;
pub mod trace;

pub mod files;
#[expect(missing_docs, reason = "messages: a field that needs a word has it")]
pub mod message;
pub mod study;
pub mod weights;
