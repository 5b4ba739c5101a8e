//! Continuous GFlowNets on one-dimensional mixtures: the mathematics, the experiments, and the
//! formats of weights and messages.
//!
//! Nothing here knows a file, a clock, a DOM, a thread or global random state. The crate
//! `gflownet-tour` hands all of it on; it is a crate of its own so that the page, the engine and
//! the trainer build without each other.

pub mod address;
pub mod archive;
pub mod balance;
pub mod counts;
pub mod density;
pub mod divergence;
pub mod experiment;
pub mod exploration;
pub mod flow;
pub mod kernels;
pub mod lab;
pub mod limits;
pub mod mixture;
pub mod network;
pub mod noise;
pub mod objective;
pub mod options;
pub mod policy;
pub mod pytorch;
pub mod rollout;
pub mod sampler;
pub mod simd;
pub mod table;
pub mod tempered;
pub mod trace;
pub mod trainer;

pub mod message;
pub mod weights;
