//! What several integration tests share.

// Each test is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub mod golden;
