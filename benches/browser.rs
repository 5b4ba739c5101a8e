//! Benchmarks in a real browser: `bench_browser FOLDER` writes FOLDER/browser.json. The variable
//! GFLOWNET_TOUR_DIST names a build of the page, CHROME the browser. With GFLOWNET_TOUR_ORT, a
//! folder that holds ONNX Runtime Web and `four_mode.onnx`, the peer runs beside it.

#[path = "../tests/browser/chrome.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod chrome;
#[path = "results.rs"]
mod results;
#[path = "../tests/browser/site.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod site;
#[path = "../tests/browser/socket.rs"]
mod socket;

use chrome::{Chrome, Gpu};
use gflownet_tour_core::experiment::Experiment;
use gflownet_tour_core::files::Files;
use gflownet_tour_core::message::{
    BatchResult, DeviceChoice, FromEngine, GpuStatus, SampleRequest, ToEngine, decode, encode,
};
use results::{Results, command};
use serde_json::Value;
use site::Site;
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args().nth(1).ok_or("usage: bench_browser FOLDER")?);
    let dist = env::var_os("GFLOWNET_TOUR_DIST").ok_or("GFLOWNET_TOUR_DIST is not set")?;
    let dist = PathBuf::from(dist);
    let mut results = Results {
        command: command(),
        ..Results::default()
    };
    results.about.push("median, 5 % and 95 % quantile".into());

    workers(&dist, Gpu::Denied, &mut results);
    two_threads(&dist, &mut results);
    workers(&dist, Gpu::Allowed, &mut results);
    dragging(&dist, &mut results);
    match env::var_os("GFLOWNET_TOUR_ORT") {
        Some(ort) => peer(Path::new(&ort), &mut results),
        None => results.about.push("ONNX Runtime Web: not available".into()),
    }
    results.write(&folder.join("browser.json"))?;
    Ok(())
}

/// The page's engine in its worker, without the page.
struct Engine {
    chrome: Chrome,
    _site: Site,
    id: u32,
}

impl Engine {
    fn start(dist: &Path, gpu: Gpu, threads: u32, results: &mut Results) -> Option<Engine> {
        let site = Site::serve(dist);
        for script in ["start.js", "offline.js"] {
            site.edit(script, |_| Vec::new());
        }
        let mut chrome = Chrome::launch(gpu);
        chrome.open(&site.url());
        chrome.eval(
            "window.files = document.getElementById('files').textContent;
                 const { 'worker.js': worker, 'engine.js': script, 'engine_bg.wasm': code } =
                     JSON.parse(window.files);
                 window.inbox = [];
                 window.engine = new Worker(`${worker}#${script},${code}`, { type: 'module' });
                 window.engine.onmessage = e => window.inbox.push([...e.data]);
                 0",
        );
        let mut engine = Engine {
            chrome,
            _site: site,
            id: 0,
        };
        engine.answer(|m| matches!(m, FromEngine::Ready { .. }));
        let folder = engine.chrome.text("new URL('./', location).href");
        let table = engine.chrome.text("window.files");
        engine.tell(&ToEngine::Start {
            files: Files::new(&folder, &table),
            threads,
            gpu: gpu == Gpu::Allowed,
        });
        let status = engine.answer(|m| matches!(m, FromEngine::Gpu(_)));
        match (gpu, status) {
            (Gpu::Allowed, FromEngine::Gpu(GpuStatus::Running { adapter })) => {
                results.about.push(format!("WebGPU: {adapter}"));
            }
            (Gpu::Allowed, status) => {
                results
                    .about
                    .push(format!("WebGPU: not available ({status:?})"));
                return None;
            }
            (Gpu::Denied, _) => {
                let agent = engine.chrome.text("navigator.userAgent");
                results.about.push(format!("browser: {agent}"));
            }
        }
        engine.tell(&ToEngine::Load {
            model: "four_mode".into(),
        });
        engine.answer(|m| matches!(m, FromEngine::Model { .. }));
        if gpu == Gpu::Denied {
            let vectors = engine.vectors();
            results
                .about
                .push(format!("vectors in the browser: {vectors}"));
        }
        Some(engine)
    }

    /// What the CPU draws with, once the file for relaxed SIMD has had the time to start.
    fn vectors(&mut self) -> &'static str {
        for _ in 0..30 {
            if self.batch(1_000, DeviceChoice::Cpu, 1.0).relaxed_simd {
                return "relaxed SIMD";
            }
            sleep(Duration::from_millis(100));
        }
        "simd128"
    }

    fn tell(&mut self, message: &ToEngine) {
        let bytes = encode(message).expect("a message can be written");
        self.chrome.eval(&format!(
            "window.engine.postMessage(Uint8Array.from({bytes:?})); 0"
        ));
    }

    /// The next message that is wanted.
    fn answer(&mut self, wanted: impl Fn(&FromEngine) -> bool) -> FromEngine {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let inbox = self.chrome.eval("window.inbox.splice(0)");
            for message in inbox.as_array().into_iter().flatten() {
                let bytes: Vec<u8> = serde_json::from_value(message.clone()).expect("bytes");
                let message = decode(&bytes).expect("a message of this build");
                if wanted(&message) {
                    return message;
                }
            }
            assert!(Instant::now() < deadline, "the engine does not answer");
            sleep(Duration::from_millis(2));
        }
    }

    /// Time in the sampler, for the density, and for the model's table.
    fn sample(&mut self, count: u32, device: DeviceChoice, sigma_scale: f64) -> [f64; 3] {
        let batch = self.batch(count, device, sigma_scale);
        [batch.sampling_ms, batch.density_ms, batch.table_ms]
    }

    fn batch(&mut self, count: u32, device: DeviceChoice, sigma_scale: f64) -> BatchResult {
        self.id += 1;
        let experiment = Experiment::named("four_mode").expect("it is in the table");
        let id = self.id;
        self.tell(&ToEngine::Sample(SampleRequest {
            demo: 0,
            id,
            model: "four_mode".into(),
            snapshot: None,
            beta: None,
            sigma_scale,
            seed: u64::from(id),
            count,
            device,
            paths: 120,
            range: experiment.plot_range(),
            bins: 80,
            cells: 401,
        }));
        match self.answer(|m| matches!(m, FromEngine::Batch(batch) if batch.id == id)) {
            FromEngine::Batch(batch) => batch,
            other => panic!("{other:?} is no batch"),
        }
    }

    fn repeat(&mut self, count: u32, device: DeviceChoice, times: usize) -> Vec<f64> {
        self.sample(count, device, 1.0);
        (0..times)
            .map(|_| self.sample(count, device, 1.0)[0])
            .collect()
    }
}

fn workers(dist: &Path, gpu: Gpu, results: &mut Results) {
    let Some(mut engine) = Engine::start(dist, gpu, 1, results) else {
        return;
    };
    if gpu == Gpu::Allowed {
        for count in [2_000, 10_000, 100_000] {
            let times = engine.repeat(count, DeviceChoice::WebGpu, 7);
            results.add(format!("WebGPU/{count} trajectories"), &times);
        }
        return;
    }
    // The table is made once for a model: a fresh worker makes it again.
    let built = engine.sample(1_000, DeviceChoice::CpuTable, 1.0)[2];
    let mut tables = vec![built];
    for count in [1_000, 2_000, 10_000, 100_000, 1_000_000] {
        let times = if count < 100_000 { 25 } else { 9 };
        let network = engine.repeat(count, DeviceChoice::Cpu, times.min(9));
        results.add(format!("network/{count} trajectories"), &network);
        let table = engine.repeat(count, DeviceChoice::CpuTable, times);
        results.add(format!("table/{count} trajectories"), &table);
    }
    // Each at a sigma scale of its own, so that none is remembered.
    let density: Vec<f64> = (0..25)
        .map(|i| engine.sample(1_000, DeviceChoice::CpuTable, 0.9 + 0.01 * f64::from(i))[1])
        .collect();
    results.add("density, total variation and masses/401 cells", &density);
    let mut train = |model: &str, iterations: u32| {
        engine.tell(&ToEngine::Train {
            model: model.into(),
            seed: 4444,
            iterations,
        });
        match engine.answer(|m| matches!(m, FromEngine::Trained(_))) {
            FromEngine::Trained(Ok(trained)) => trained,
            other => panic!("{other:?}"),
        }
    };
    let each: Vec<f64> = (0..9)
        .map(|_| train("easy_correct", 200).training_ms / 200.0)
        .collect();
    results.add("training iteration/fused, batch 256, 5 steps", &each);
    let whole = train("easy_correct", 5_000);
    results.add(
        "training/easy_correct, all 5000 iterations",
        &[whole.training_ms],
    );
    results.about.push(format!(
        "easy_correct trained in the browser: total variation {:.4}, log Z {:.3}",
        whole.total_variation, whole.log_z
    ));
    drop(engine);
    for _ in 0..4 {
        if let Some(mut engine) = Engine::start(dist, gpu, 1, &mut Results::default()) {
            tables.push(engine.sample(1_000, DeviceChoice::CpuTable, 1.0)[2]);
        }
    }
    results.add("table/build", &tables);
}

/// The sampler of relaxed SIMD by two threads.
fn two_threads(dist: &Path, results: &mut Results) {
    let Some(mut engine) = Engine::start(dist, Gpu::Denied, 2, &mut Results::default()) else {
        return;
    };
    for (device, name, count) in [
        (DeviceChoice::Cpu, "network", 10_000),
        (DeviceChoice::Cpu, "network", 100_000),
        (DeviceChoice::CpuTable, "table", 100_000),
        (DeviceChoice::CpuTable, "table", 1_000_000),
    ] {
        // The second one is started by the first batch that is large enough.
        let deadline = Instant::now() + Duration::from_secs(5);
        while engine.batch(count, device, 1.0).threads < 2 {
            if Instant::now() > deadline {
                results
                    .about
                    .push("two threads in the browser: not available".into());
                return;
            }
        }
        let times = engine.repeat(count, device, 9);
        results.add(format!("{name}, two threads/{count} trajectories"), &times);
    }
}

/// From an input event of the real page's slider to the frame that shows its batch.
fn dragging(dist: &Path, results: &mut Results) {
    for (device, count) in [
        ("cpu", 10_000),
        ("table", 10_000),
        ("table", 100_000),
        ("table", 1_000_000),
    ] {
        let site = Site::serve(dist);
        let mut chrome = Chrome::launch(Gpu::Denied);
        chrome.screen(1280, 900, "light");
        chrome.open(&site.url());
        let demo = "document.querySelector('.demo[data-demo=four_mode]')";
        chrome.until(&format!("{demo} !== null"));
        chrome.eval(&format!("{demo}.scrollIntoView({{ block: 'center' }})"));
        chrome.until(&format!("{demo}.dataset.state === 'model'"));
        for (control, value) in [("device", device.to_owned()), ("count", count.to_string())] {
            chrome.eval(&format!(
                "(() => {{
                        const it = {demo}.querySelector('select.{control}');
                        it.value = '{value}';
                        it.dispatchEvent(new Event('change', {{ bubbles: true }}));
                    }})()"
            ));
        }
        chrome.until(&format!(
            "{demo}.dataset.device === '{device}' && {demo}.dataset.sampled === '{count}'"
        ));
        // One event after the other.
        let latency = chrome.eval(&format!(
            "(async () => {{
                    const demo = {demo}, slider = demo.querySelector('input.temperature');
                    const times = [];
                    for (let i = 0; i < 60; i++) {{
                        await new Promise(requestAnimationFrame);
                        const before = demo.dataset.batch, begin = performance.now();
                        slider.value = 0.5 + 0.02 * i;
                        slider.dispatchEvent(new Event('input', {{ bubbles: true }}));
                        await new Promise(done => new MutationObserver((_, watch) => {{
                            if (demo.dataset.batch !== before) {{ watch.disconnect(); done(); }}
                        }}).observe(demo, {{ attributes: true }}));
                        times.push(performance.now() - begin);
                    }}
                    return times;
                }})()"
        ));
        results.add(
            format!("dragging/{device}, {count}: event to picture"),
            &numbers(&latency),
        );
        // An event in every frame, for two seconds.
        let drag = chrome.eval(&format!(
                "(async () => {{
                    const demo = {demo}, slider = demo.querySelector('input.temperature');
                    const frames = []; let pictures = 0, seen = demo.dataset.batch;
                    let last = await new Promise(requestAnimationFrame);
                    for (let i = 0; i < 120; i++) {{
                        slider.value = 1 + 0.6 * Math.sin(i / 15);
                        slider.dispatchEvent(new Event('input', {{ bubbles: true }}));
                        const now = await new Promise(requestAnimationFrame);
                        frames.push(now - last); last = now;
                        if (demo.dataset.batch !== seen) {{ pictures++; seen = demo.dataset.batch; }}
                    }}
                    return [pictures, frames];
                }})()"
            ));
        results.add(
            format!("dragging/{device}, {count}: frame"),
            &numbers(&drag[1]),
        );
        results.about.push(format!(
            "dragging {device}, {count}: {} pictures in 120 frames",
            drag[0]
        ));
    }
}

/// The exported policy in ONNX Runtime Web, with its noise made beforehand.
fn peer(folder: &Path, results: &mut Results) {
    let site = Site::serve(folder);
    let mut chrome = Chrome::launch(Gpu::Denied);
    chrome.open(&site.url());
    let outcome = chrome.eval(
            "(async () => {
                const ort = await import('./ort.wasm.min.mjs');
                ort.env.wasm.numThreads = 1;
                const session = await ort.InferenceSession.create('four_mode.onnx');
                const run = async (count, noise) => {
                    const x = new Float32Array(count);
                    for (let t = 0; t < 5; t++) {
                        const state = new Float32Array(2 * count);
                        for (let i = 0; i < count; i++) { state[2 * i] = x[i]; state[2 * i + 1] = t; }
                        const { policy } = await session.run({
                            state: new ort.Tensor('float32', state, [count, 2]),
                        });
                        const law = policy.data;
                        for (let i = 0; i < count; i++)
                            x[i] += law[2 * i] + law[2 * i + 1] * noise[t * count + i];
                    }
                    return x;
                };
                const out = {};
                for (const count of [2000, 100000]) {
                    const noise = Float32Array.from({ length: 5 * count }, () => Math.random() - 0.5);
                    await run(count, noise);
                    out[count] = [];
                    for (let i = 0; i < 7; i++) {
                        const begin = performance.now();
                        await run(count, noise);
                        out[count].push(performance.now() - begin);
                    }
                }
                out.version = ort.env.versions.web;
                return out;
            })()",
        );
    let version = outcome["version"].as_str().unwrap_or("of unknown version");
    results
        .about
        .push(format!("ONNX Runtime Web {version}, wasm, one thread"));
    for count in ["2000", "100000"] {
        results.add(
            format!("ONNX Runtime Web/{count} trajectories"),
            &numbers(&outcome[count]),
        );
    }
}

fn numbers(values: &Value) -> Vec<f64> {
    let values = values.as_array().into_iter().flatten();
    values.filter_map(Value::as_f64).collect()
}
