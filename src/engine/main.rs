//! The engine's Web Worker, the second of the page's two WebAssembly files.

#[cfg(target_arch = "wasm32")]
fn main() {
    gflownet_tour_engine::worker::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("engine runs in a browser's worker: `cargo xtask serve` builds and serves it");
}
