//! Trained models on disk and on the wire: safetensors and the manifest, in and out, checked.

pub mod manifest;
