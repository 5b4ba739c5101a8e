//! The engine's Web Worker, the largest of the page's WebAssembly files.

#[cfg(target_arch = "wasm32")]
unsafe extern "C" {
    /// What the linker gathers of functions that are to run before `main`: the kernel compiler's
    /// registrations.
    fn __wasm_call_ctors();
}

#[cfg(target_arch = "wasm32")]
fn main() {
    // Where nothing calls it, the linker calls it in every exported function, every time: half a
    // millisecond for each object that crosses between here and JavaScript.
    // SAFETY: it is called once, before anything that it sets up is used.
    unsafe { __wasm_call_ctors() };
    gflownet_tour_engine::worker::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("engine runs in a browser's worker: `cargo xtask serve` builds and serves it");
}
