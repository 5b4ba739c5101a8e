//! `train_distill`: see [`gflownet_tour::train::command`].

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    gflownet_tour::train::command::main()
}

/// The trainer is native; Cargo has no targets by platform, so that a WASM build still needs a
/// `main` here.
#[cfg(target_arch = "wasm32")]
fn main() {}
