//! The laboratory's ensemble and pins, and what befalls a training: a lost GPU, a worker out of
//! memory, a hidden tab.

use crate::chrome::Gpu;
use crate::{LOSABLE, STRIKE, Visit, in_the_worker, laboratory, laboratory_with, saved_by, visit};
use base64::Engine;
use gflownet_tour::files::Files;
use gflownet_tour::message::{
    Begin, DeviceUsed, FromEngine, FromRun, GpuStatus, Look, Phase, Report, ToEngine, ToRun,
    decode, encode,
};
use gflownet_tour::trainer::Trainer;
use gflownet_tour_core::density::TerminalDensity;
use gflownet_tour_core::divergence;
use gflownet_tour_core::lab::{self, Settings};
use gflownet_tour_speed::sampler::Sampler;
use serde_json::Value;

/// A clock that, once the worker has told that its GPU runs (its second kind of message), moves by
/// half a second more whenever it is looked at, as the worker does around each iteration on the CPU,
/// but only around many on the GPU: one in software then seems faster, and trains.
const SLOW_CPU: &str = "const real = performance.now.bind(performance);
    let [skew, more] = [0, 0];
    const tell = self.postMessage.bind(self);
    self.postMessage = (message, ...rest) => {
        if (message[0] === 1) more = 500;
        tell(message, ...rest);
    };
    performance.now = () => real() + (skew += more);";

impl Visit {
    /// The files that buttons save, by name.
    fn lab_saved(&mut self, buttons: &str) -> Vec<(String, Vec<u8>)> {
        let files = self.chrome.eval(&saved_by(&format!("#lab-app {buttons}")));
        let files = files.as_object().into_iter().flatten();
        let decode = |text: &Value| {
            let text = text.as_str().unwrap_or_default();
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .unwrap()
        };
        files
            .map(|(name, text)| (name.clone(), decode(text)))
            .collect()
    }

    fn seeds_say(&mut self, words: &str) {
        self.chrome.until(&format!(
            "document.querySelector('.lab-seeds-status').textContent.includes('{words}')"
        ));
    }
}

#[test]
fn sixteen_seeds_are_trained_beside_a_run_and_taken_away() {
    let query = "v=1&preset=hard_on_policy&batch=32&hidden=16&iterations=100000";
    let Some(mut visit) = laboratory(query, |_| {}) else {
        return;
    };
    // The current run goes on meanwhile, and can be paused.
    visit.lab_click(".lab-play");
    visit.lab_phase("playing");
    visit.lab_set("#lab-seeds-iterations", "60");
    visit.lab_click(".lab-seeds-go");
    visit.seeds_say("All 16 runs of 60 iterations are over");
    assert!(visit.lab_iteration() > 0.0);
    visit.lab_click(".lab-play");
    visit.lab_phase("paused");

    // The figure, the table, and the words have every run.
    let count = |selector: &str| format!("document.querySelectorAll('#lab-app {selector}').length");
    let dots = visit.chrome.number(&count(".lab-band path.area"));
    assert_eq!(dots, 3.0 + 16.0);
    let rows = visit.chrome.number(&count(".lab-seeds tbody tr"));
    assert_eq!(rows, 16.0);
    let lost = visit
        .chrome
        .number("[...document.querySelectorAll('.lab-outcome')].filter(cell => cell.textContent.includes('lost')).length");
    let status = visit.lab_text(".lab-seeds-status");
    assert!(
        status.contains(&format!("{lost} of 16 lost a mode")),
        "{status}"
    );
    assert!(status.contains("Wilson"), "{status}");

    // The files have them, too, and a seed's run is the native one.
    let files = visit.lab_saved(".lab-seeds .lab-files button");
    let text = |kind: &str| {
        let name = format!("hard_on_policy-16-seeds.{kind}");
        let file = files.iter().find(|file| file.0 == name).expect(&name);
        String::from_utf8(file.1.clone()).expect("text")
    };
    assert_eq!(text("csv").lines().count(), 1 + 16 * 50);
    roxmltree::Document::parse(&text("svg")).expect("a sound picture");
    let json: Value = serde_json::from_str(&text("json")).expect("sound JSON");
    assert_eq!(json["lost"].as_f64(), Some(lost));
    let settings = lab::from_json(&json["settings"].to_string())
        .expect("settings")
        .settings;
    for place in [0, 7] {
        let run = &json["runs"][place];
        let mut trainer = Trainer::new(&settings.recipe(), run["seed"].as_u64().expect("a seed"));
        for _ in 0..60 {
            trainer.step();
        }
        let sampler = Sampler::new(&trainer.forward());
        let density = TerminalDensity::of(&sampler, settings.start, settings.steps as usize, 1.0);
        let expected = divergence::total_variation(&density, &settings.target());
        let shown = run["total_variation"].as_f64().expect("a number");
        assert!((shown - expected).abs() < 1e-3, "{shown} {expected}");
    }

    // A longer one can be stopped, and what was over stays.
    visit.lab_set("#lab-seeds-iterations", "3000");
    visit.lab_click(".lab-seeds-go");
    visit.seeds_say("Training: ");
    visit.lab_click(".lab-seeds-stop");
    visit.seeds_say("Stopped: ");
    let disabled = "document.querySelector('.lab-seeds-go').disabled";
    assert_eq!(visit.chrome.eval(disabled), Value::Bool(false));
    // A number that cannot be changes nothing.
    visit.lab_set("#lab-seeds-iterations", "0");
    assert!(
        visit
            .lab_text("#lab-seeds-why")
            .contains("Iterations cannot be 0")
    );
    visit.went_well();
}

#[test]
fn an_ensembles_worker_that_dies_is_told() {
    let query = "v=1&preset=easy_correct&batch=16";
    let Some(mut visit) = laboratory(query, |_| {}) else {
        return;
    };
    visit.lab_click(".lab-seeds-go");
    visit.seeds_say("Training: ");
    visit.chrome.eval(
        "window.workers.at(-1).dispatchEvent(new ErrorEvent('error', { message: 'it was killed' }))",
    );
    visit.seeds_say("it was killed");
    let disabled = "document.querySelector('.lab-seeds-stop').disabled";
    assert_eq!(visit.chrome.eval(disabled), Value::Bool(true));
    visit.lab_set("#lab-seeds-iterations", "20");
    visit.lab_click(".lab-seeds-go");
    visit.seeds_say("All 16 runs");
    visit.went_well();
}

#[test]
fn pinned_runs_survive_a_reload_and_go_on() {
    let query = "v=1&preset=easy_correct&batch=32&iterations=400";
    let Some(mut visit) = laboratory(query, |_| {}) else {
        return;
    };
    let address = format!("{}#lab?{query}", visit.site.url());
    // One that is done, and one that is not.
    visit.lab_click(".lab-play");
    visit.lab_phase("finished");
    visit.lab_click(".lab-pin");
    visit.lab_set("#lab-iterations", "100000");
    visit.lab_click(".lab-play");
    visit
        .chrome
        .until("Number(document.querySelector('.lab-watch').dataset.iteration) > 20");
    visit.lab_click(".lab-play");
    visit.lab_phase("paused");
    visit.lab_click(".lab-pin");
    // All but in what it differs from the settings, which the address has.
    let numbers = "[...document.querySelectorAll('.lab-pinned-A td')].slice(1, 4).map(td => td.textContent).join()";
    let before = visit.chrome.text(numbers);
    assert!(before.starts_with("400 of 400,"), "{before}");
    visit
        .chrome
        .until("localStorage.getItem('gflownet-tour.lab.pins.1') !== null");

    visit.chrome.open("about:blank");
    visit.chrome.open(&address);
    visit
        .chrome
        .until("document.querySelector('.lab-pinned-B') !== null");
    assert_eq!(visit.chrome.text(numbers), before);
    let lines = "document.querySelectorAll('.lab-curves path[class^=pin]').length";
    assert_eq!(visit.chrome.number(lines), 6.0);
    let iterations = |visit: &mut Visit| -> f64 {
        let text = visit.lab_text(".lab-pinned-B td:nth-of-type(2)");
        let number = text
            .split(" of ")
            .next()
            .unwrap_or_default()
            .replace(',', "");
        number.parse().expect("a number of iterations")
    };
    let kept = iterations(&mut visit);
    assert!(kept > 20.0);
    visit.lab_click(".lab-pinned-B .lab-pin-on");
    visit.chrome.until(&format!(
        "Number(document.querySelector('.lab-pinned-B td:nth-of-type(2)').textContent.split(' ')[0].replaceAll(',', '')) > {kept}"
    ));
    // Forgotten is forgotten, and a pin that was removed does not come back.
    for letter in ["A", "B"] {
        visit.lab_click(&format!(".lab-pinned-{letter} .lab-unpin"));
    }
    visit
        .chrome
        .until("localStorage.getItem('gflownet-tour.lab.pins.1') === null");
    visit.went_well();
}

#[test]
fn pins_that_cannot_be_kept_are_told_and_go_on() {
    let Some(mut visit) = laboratory("v=1&preset=easy_correct&batch=32&iterations=40", |_| {})
    else {
        return;
    };
    visit.chrome.eval(
        "for (const name of ['setItem', 'getItem', 'removeItem'])
            Storage.prototype[name] = () => { throw new DOMException('denied', 'SecurityError'); }",
    );
    visit.lab_click(".lab-play");
    visit.lab_phase("finished");
    visit.lab_click(".lab-pin");
    visit.chrome.until(
        "document.querySelector('.lab-compare .status').textContent.includes('no room for the pinned')",
    );
    assert!(visit.lab_text(".lab-pinned-A").contains("40 of 40"));
    visit.went_well();
}

#[test]
fn a_gpu_that_is_lost_in_mid_training_leaves_the_run_to_the_cpu() {
    let query = "v=1&preset=easy_correct&batch=16&hidden=16&iterations=100000";
    let Some(mut visit) = laboratory_with(Gpu::Allowed, query, |site| {
        in_the_worker(site, &format!("{SLOW_CPU}\n{LOSABLE}"));
    }) else {
        return;
    };
    // A first iteration brings the worker; the others wait for its GPU, so that the CPU seems slow
    // in nearly all that it does.
    visit.lab_click(".lab-step");
    visit.chrome.eval(
        "window.workers.at(-1).addEventListener('message', event => {
            if (event.data[0] === 1) window.gpuRuns = true;
        })",
    );
    visit.chrome.until("window.gpuRuns === true");
    visit.lab_click(".lab-play");
    let engine = "document.querySelector('.lab-numbers dd:nth-of-type(8)').textContent";
    visit.chrome.until(&format!("{engine} === 'WebGPU'"));
    assert!(visit.lab_text(".lab-status .status").contains("on WebGPU"));
    let before = visit.lab_iteration();
    visit.chrome.eval(STRIKE);
    visit
        .chrome
        .until(&format!("{engine} === 'CPU, one thread'"));
    let lost = visit.lab_iteration();
    assert!(lost >= before, "{before} {lost}");
    let status = visit.lab_text(".lab-status .status");
    assert!(
        status.contains("the GPU did a part of this run and stopped") && status.contains("kept"),
        "{status}"
    );
    assert!(
        visit
            .lab_text(".lab-why-cpu")
            .contains("does not train this run")
    );
    visit.chrome.until(&format!(
        "Number(document.querySelector('.lab-watch').dataset.iteration) > {}",
        lost + 100.0
    ));
    visit.lab_click(".lab-play");
    visit.lab_phase("paused");
    // What it learned is sound: it is no worse than where it began.
    let tv = "Number(document.querySelector('.lab-watch').dataset.tv)";
    let tv = visit.chrome.number(tv);
    assert!(tv > 0.0 && tv < 0.9, "{tv}");
}

/// A WASM file that has no memory left traps, and so does one that reads beyond it: an exception
/// in the middle of the training, from which the worker does not come back.
#[test]
fn a_worker_out_of_memory_is_told_and_the_run_goes_on_in_another() {
    let query = "v=1&preset=easy_correct&batch=16&iterations=100000";
    let Some(mut visit) = laboratory(query, |site| {
        in_the_worker(
            site,
            "const real = performance.now.bind(performance);
             let dies = false;
             new BroadcastChannel('fault').onmessage = () => { dies = true; };
             performance.now = () => {
                 if (dies) throw new WebAssembly.RuntimeError('out of memory');
                 return real();
             };",
        );
    }) else {
        return;
    };
    visit.lab_click(".lab-play");
    visit
        .chrome
        .until("Number(document.querySelector('.lab-watch').dataset.iteration) > 50");
    visit.chrome.eval(STRIKE);
    visit.chrome.until(
        "document.querySelector('.lab-status .status').textContent.includes('out of memory')",
    );
    assert!(visit.lab_text(".lab-status .status").contains("are kept"));
    visit.lab_click(".lab-go-on");
    visit.lab_phase("playing");
    let before = visit.lab_iteration();
    visit.chrome.until(&format!(
        "Number(document.querySelector('.lab-watch').dataset.iteration) > {before}"
    ));
}

#[test]
fn in_a_hidden_tab_the_training_goes_on_and_nothing_is_drawn() {
    let query = "v=1&preset=easy_correct&batch=16&iterations=100000";
    let Some(mut visit) = laboratory(query, |_| {}) else {
        return;
    };
    visit.chrome.eval(
        "window.drawn = 0;
         const clear = CanvasRenderingContext2D.prototype.clearRect;
         CanvasRenderingContext2D.prototype.clearRect = function (...all) {
             window.drawn += 1;
             return clear.apply(this, all);
         };",
    );
    visit.lab_click(".lab-play");
    visit.chrome.until("window.drawn > 5");
    visit.chrome.hide();
    visit.chrome.until("document.visibilityState === 'hidden'");
    let (drawn, before) = (visit.chrome.number("window.drawn"), visit.lab_iteration());
    visit.chrome.until(&format!(
        "Number(document.querySelector('.lab-watch').dataset.iteration) > {}",
        before + 200.0
    ));
    assert_eq!(visit.chrome.number("window.drawn"), drawn);
    visit.chrome.show();
    visit.chrome.until("document.visibilityState === 'visible'");
    visit.chrome.until(&format!("window.drawn > {drawn}"));
    visit.went_well();
}

#[test]
fn the_steady_off_policy_preset_reaches_both_modes() {
    let Some(mut visit) = laboratory("v=1&preset=hard_off_policy_steady", |_| {}) else {
        return;
    };
    let note = visit.lab_text(".lab-preset-note");
    assert!(note.contains("hold both modes"), "{note}");
    visit.lab_click(".lab-play");
    for iteration in (500..=5_000).step_by(500) {
        visit.chrome.until(&format!(
            "Number(document.querySelector('.lab-watch').dataset.iteration) >= {iteration}"
        ));
    }
    visit.lab_phase("finished");
    let masses = visit.chrome.eval(
        "[...document.querySelectorAll('.lab-numbers .mass tbody td:nth-of-type(2)')]
            .map(cell => parseFloat(cell.textContent))",
    );
    let masses: Vec<f64> = serde_json::from_value(masses).expect("numbers");
    eprintln!("the steady off-policy preset: {masses:?} % in its modes");
    assert_eq!(masses.len(), 2);
    assert!(masses.iter().all(|&mass| mass > 40.0), "{masses:?}");
    visit.went_well();
}

/// Trains `settings` in a worker of the built page, by messages alone, and returns its last report
/// and whether the GPU did a part.
fn trained_in_a_worker(visit: &mut Visit, settings: &Settings, gpu: bool) -> (Report, bool) {
    let begin = Begin {
        run: 1,
        settings: settings.clone(),
        look: Look {
            range: settings.plot_range(),
            cells: 10,
            bins: 10,
            samples: 10,
            paths: 0,
            sigma_scale: 1.0,
            flow_cells: 0,
        },
        from: None,
    };
    let start = ToEngine::Start {
        files: Files::default(),
        threads: 0,
        gpu,
    };
    let start = encode(&start).unwrap();
    let begin = message_of(ToRun::Begin(Box::new(begin)));
    visit.chrome.eval(&format!(
        "(() => {{
            window.heard = [];
            const files = JSON.parse(document.getElementById('files').textContent);
            const engine = `#${{files['engine.js']}},${{files['engine_bg.wasm']}}`;
            window.trainer = new Worker(files['worker.js'] + engine, {{ type: 'module' }});
            window.tell = bytes => window.trainer.postMessage(Uint8Array.from(bytes));
            window.trainer.onmessage = event => {{
                window.heard.push(Array.from(event.data));
                if (window.heard.length === 1) window.tell({});
            }};
        }})()",
        serde_json::json!(start)
    ));
    let (mut at, mut was_on_gpu, mut has_begun) = (0, false, false);
    loop {
        visit.chrome.until(&format!("window.heard.length > {at}"));
        let bytes = visit.chrome.eval(&format!("window.heard[{at}]"));
        at += 1;
        let bytes: Vec<u8> = serde_json::from_value(bytes).unwrap();
        let message = decode(&bytes);
        // The run begins when it is known what becomes of the GPU.
        if let Ok(FromEngine::Gpu(GpuStatus::Unavailable { why })) = &message {
            assert!(!gpu, "{why}");
        }
        if !has_begun && (matches!(message, Ok(FromEngine::Gpu(_))) || !gpu) {
            has_begun = true;
            for order in [&begin, &message_of(ToRun::Play)] {
                visit
                    .chrome
                    .eval(&format!("window.tell({})", serde_json::json!(order)));
            }
        }
        let Ok(FromEngine::Run(bytes)) = message else {
            continue;
        };
        match decode(&bytes).unwrap() {
            FromRun::Report(report) => {
                was_on_gpu |= report.device == DeviceUsed::WebGpu;
                let heard = message_of(ToRun::Heard(report.id));
                visit
                    .chrome
                    .eval(&format!("window.tell({})", serde_json::json!(heard)));
                if report.phase == Phase::Finished {
                    visit.chrome.eval("window.trainer.terminate()");
                    return (*report, was_on_gpu);
                }
            }
            FromRun::Refused { why, .. } => panic!("{why}"),
            FromRun::Seed(_) | FromRun::SeedsRefused { .. } => {}
        }
    }
}

fn message_of(order: ToRun) -> Vec<u8> {
    encode(&ToEngine::Run(encode(&order).unwrap())).unwrap()
}

/// Trains 200 iterations in the browser and natively: every weight is within `tolerance`.
fn is_the_native_training(gpu: Gpu, tolerance: f32) {
    let is_gpu = gpu == Gpu::Allowed;
    let Some(mut visit) = visit(gpu, |site| {
        if is_gpu {
            in_the_worker(site, SLOW_CPU);
        }
    }) else {
        return;
    };
    let settings = Settings {
        iterations: 200,
        ..Settings::default()
    };
    let (report, was_on_gpu) = trained_in_a_worker(&mut visit, &settings, is_gpu);
    assert_eq!(was_on_gpu, is_gpu, "{:?}", report.why_cpu);
    let recipe = settings.recipe();
    let mut native = Trainer::new(&recipe, settings.seed);
    for _ in 0..200 {
        native.step();
    }
    let mut browsers = Trainer::new(&recipe, settings.seed);
    assert!(browsers.restore(&report.checkpoint.expect("the last report has the weights")));
    assert_eq!(browsers.iteration(), 200);
    let mut largest = (browsers.log_z() - native.log_z()).abs();
    for (a, b) in [
        (browsers.forward(), native.forward()),
        (browsers.backward(), native.backward()),
    ] {
        for (a, b) in a.parameters().iter().zip(b.parameters()) {
            largest = largest.max((a - b).abs());
        }
    }
    let device = if is_gpu { "WebGPU" } else { "the CPU" };
    eprintln!(
        "{device} in the browser and native after 200 iterations: weights within {largest:e}"
    );
    assert!(largest < tolerance, "{largest}");
}

/// What a browser trains is what a native program trains.
#[test]
fn a_browsers_training_is_the_native_one() {
    is_the_native_training(Gpu::Denied, 1e-3);
}

#[test]
fn a_browsers_training_on_webgpu_is_the_native_one() {
    is_the_native_training(Gpu::Allowed, 1e-2);
}

/// Prints what a reader with this machine would feel; asserts no time. Run it on a quiet machine:
/// `cargo test --release --test browser -- --ignored --nocapture feels`.
#[test]
#[ignore = "it measures"]
fn how_the_laboratory_feels_while_it_trains() {
    let query = "v=1&preset=easy_correct&iterations=100000";
    let Some(mut visit) = laboratory(query, |_| {}) else {
        return;
    };
    visit.chrome.eval(
        "window.events = [];
         new PerformanceObserver(list => {
             for (const entry of list.getEntries())
                 if (entry.interactionId) window.events.push(entry.duration);
         }).observe({ type: 'event', durationThreshold: 16, buffered: true });",
    );
    visit.lab_click(".lab-play");
    visit
        .chrome
        .until("Number(document.querySelector('.lab-watch').dataset.iteration) > 300");
    visit
        .chrome
        .eval("document.querySelector('#lab-batch').scrollIntoView()");
    // Real input: keys in a number field, a slider, buttons.
    for id in ["#lab-batch", "#lab-temperature", "#lab-lr"] {
        visit
            .chrome
            .eval(&format!("document.querySelector('{id}').focus()"));
        for _ in 0..15 {
            visit.chrome.press("ArrowUp");
            visit.chrome.press("ArrowRight");
        }
    }
    let frames = visit.chrome.eval(
        "new Promise(done => {
            const times = [];
            let last = performance.now();
            const begin = last;
            const frame = now => {
                times.push(now - last);
                last = now;
                if (now - begin < 4000) requestAnimationFrame(frame);
                else done(times.slice(1).sort((a, b) => a - b));
            };
            requestAnimationFrame(frame);
        })",
    );
    let frames: Vec<f64> = serde_json::from_value(frames).expect("times");
    let events = visit.chrome.eval("window.events.sort((a, b) => a - b)");
    let events: Vec<f64> = serde_json::from_value(events).expect("durations");
    println!(
        "frames while training: median {:.1} ms, worst {:.1} of {}; interactions: worst {:?} ms of {}; \
         {} iterations a second",
        frames[frames.len() / 2],
        frames[frames.len() - 1],
        frames.len(),
        events.last(),
        events.len(),
        visit.lab_text(".lab-speed"),
    );
    assert!(frames.len() > 10);
}
