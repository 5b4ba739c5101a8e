//! The machine's own GPU, for the tests that hold a kernel against its twin.

use cubecl::future::block_on;
use gflownet_tour_engine::gpu::Gpu;
use std::io::Write;
use std::sync::OnceLock;

/// The GPU, or `None` with a printed line. A process can start it only once.
pub fn gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| {
        let started = block_on(Gpu::start());
        let line = match &started {
            Ok(gpu) => format!("gpu tests: running on {}", gpu.adapter()),
            Err(why) => format!("gpu tests: SKIPPED: {why}"),
        };
        // Past the test runner, which would keep `eprintln!` to itself.
        writeln!(std::io::stderr(), "{line}").expect("standard error takes a line");
        started.ok()
    })
    .as_ref()
}
