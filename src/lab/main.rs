//! The laboratory's WASM file, which the page fetches when a reader comes to it.

#[cfg(target_arch = "wasm32")]
fn main() {
    console_error_panic_hook::set_once();
    gflownet_tour_lab::run();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("The laboratory runs in a browser: `cargo xtask serve` builds and serves it.");
    std::process::exit(2);
}
