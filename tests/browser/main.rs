//! The built page in a real headless browser: with WebGPU, without, and with faults injected.
//!
//! `cargo xtask test` builds the page and runs these. Elsewhere they say that they were skipped,
//! unless the variable `GFLOWNET_TOUR_DIST` names a folder that holds a build of the page.
#![cfg(not(target_arch = "wasm32"))]

mod access;
mod article;
mod budgets;
mod chrome;
mod faults;
mod firefox;
mod lab;
mod offline;
mod pictures;
mod policy;
mod share;
mod site;
mod soak;
mod socket;

use base64::Engine;
use chrome::{Chrome, Gpu};
use gflownet_tour::experiment::EXPERIMENTS;
use gflownet_tour::weights::manifest::Manifest;
use serde_json::Value;
use site::Site;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The page in a browser.
struct Visit {
    chrome: Chrome,
    site: Site,
}

/// Open the built page, after `prepare` had its way with the server.
/// None, with a line that says so, where there is no build to test.
fn visit(gpu: Gpu, prepare: impl FnOnce(&Site)) -> Option<Visit> {
    visit_with(gpu, |site, _| prepare(site))
}

/// As [`visit`], after `prepare` had its way with the browser, too.
fn visit_with(gpu: Gpu, prepare: impl FnOnce(&Site, &mut Chrome)) -> Option<Visit> {
    let site = Site::serve(&dist()?);
    let mut chrome = Chrome::launch(gpu);
    prepare(&site, &mut chrome);
    chrome.screen(1280, 900, "light");
    chrome.open(&site.url());
    Some(Visit { chrome, site })
}

fn dist() -> Option<PathBuf> {
    let Some(dist) = env::var_os("GFLOWNET_TOUR_DIST") else {
        eprintln!("browser: SKIPPED, GFLOWNET_TOUR_DIST is not set; `cargo xtask test` sets it");
        return None;
    };
    let dist = PathBuf::from(dist);
    assert!(
        dist.join("index.html").is_file(),
        "GFLOWNET_TOUR_DIST is {}, which holds no build of the page",
        dist.display()
    );
    Some(dist)
}

/// JavaScript for the demo of an experiment.
fn demo(name: &str) -> String {
    format!("document.querySelector('.demo[data-demo={name}]')")
}

/// JavaScript for a part that a reader opens.
fn study(name: &str) -> String {
    format!("document.querySelector('details.study[data-study={name}]')")
}

/// JavaScript that says whether a canvas shows a picture: it has many colours.
fn painted(canvas: &str) -> String {
    format!(
        "(() => {{
            const canvas = {canvas};
            if (canvas.width === 0 || canvas.height === 0) return false;
            const pixels = new Uint32Array(canvas.getContext('2d')
                .getImageData(0, 0, canvas.width, canvas.height).data.buffer);
            return new Set(pixels).size > 20;
        }})()"
    )
}

impl Visit {
    /// Open a part and wait for its answer about `model`.
    fn open_study(&mut self, name: &str, model: &str) {
        let it = study(name);
        self.chrome.until(&format!("{it} !== null"));
        assert_eq!(self.chrome.text(&format!("{it}.dataset.state")), "waiting");
        self.chrome
            .eval(&format!("{it}.querySelector('summary').click()"));
        self.study_shows(name, model);
    }

    /// Wait until a part has an answer about `model`, and see that it is drawn.
    fn study_shows(&mut self, name: &str, model: &str) {
        let it = study(name);
        self.chrome.until(&format!(
            "{it}?.dataset.state === 'answered' && {it}.dataset.model === '{model}'"
        ));
        let count = self
            .chrome
            .number(&format!("{it}.querySelectorAll('canvas').length"));
        for canvas in 0..count as usize {
            self.chrome.until(&painted(&format!(
                "{it}.querySelectorAll('canvas')[{canvas}]"
            )));
            let label = format!("{it}.querySelectorAll('canvas')[{canvas}].ariaLabel");
            assert!(self.chrome.text(&label).len() > 40, "{name}: no words");
        }
    }

    fn study_text(&mut self, name: &str, selector: &str) -> String {
        let it = study(name);
        self.chrome
            .text(&format!("{it}.querySelector('{selector}').textContent"))
    }

    /// A number that a part shows.
    fn study_number(&mut self, name: &str, selector: &str) -> f64 {
        let text = self.study_text(name, selector).replace('\u{2212}', "-");
        text.trim()
            .parse()
            .unwrap_or_else(|_| panic!("{name} {selector}: `{text}` is no number"))
    }

    /// Set a part's control to a value, as a reader does.
    fn set_study(&mut self, name: &str, control: &str, value: &str) {
        let it = study(name);
        self.chrome.eval(&format!(
            "(() => {{
                const it = {it}.querySelector('{control}');
                it.value = '{value}';
                for (const kind of ['input', 'change'])
                    it.dispatchEvent(new Event(kind, {{ bubbles: true }}));
            }})()"
        ));
    }

    /// Wait until the engine runs on `device`.
    fn engine_is(&mut self, device: &str) {
        self.chrome.until(&format!(
            "document.documentElement.dataset.engine === '{device}'"
        ));
    }

    fn scroll_to(&mut self, name: &str) {
        let demo = demo(name);
        self.chrome.until(&format!("{demo} !== null"));
        self.chrome.eval(&format!(
            "{demo}.querySelector('canvas').scrollIntoView({{ block: 'center' }})"
        ));
    }

    /// Bring a demo to view and wait until its figure shows `state` as drawn on `device`.
    fn shows(&mut self, name: &str, state: &str, device: &str) {
        self.scroll_to(name);
        let demo = demo(name);
        self.chrome.until(&format!(
            "{demo}.dataset.state === '{state}' && {demo}.dataset.device === '{device}'"
        ));
    }

    fn data(&mut self, name: &str, key: &str) -> String {
        let demo = demo(name);
        self.chrome.text(&format!("{demo}.dataset.{key}"))
    }

    fn status(&mut self, name: &str) -> String {
        let demo = demo(name);
        self.chrome
            .text(&format!("{demo}.querySelector('.status').textContent"))
    }

    /// Do something to a demo's control in JavaScript, where `it` is the control, then wait until
    /// the figure shows a newer batch and no more come.
    fn act(&mut self, name: &str, control: &str, action: &str) {
        let demo = demo(name);
        self.chrome.eval(&format!(
            "(() => {{
                const before = {demo}.dataset.batch;
                const it = {demo}.querySelector('{control}');
                window.quietSince = null;
                clearInterval(window.quietWatch);
                let seen = before;
                window.quietWatch = setInterval(() => {{
                    const now = {demo}.dataset.batch;
                    if (now !== seen) window.quietSince = performance.now();
                    seen = now;
                }}, 20);
                {action};
            }})()"
        ));
        self.chrome
            .until("window.quietSince !== null && performance.now() - window.quietSince > 400");
    }

    /// Set a control to a value, as a reader does.
    fn set(&mut self, name: &str, control: &str, value: &str) {
        self.act(
            name,
            control,
            &format!(
                "it.value = '{value}';
                 for (const kind of ['input', 'change'])
                     it.dispatchEvent(new Event(kind, {{ bubbles: true }}))"
            ),
        );
    }

    /// Whether a demo's canvas shows a picture: many colours, and not the same in every row.
    fn is_painted(&mut self, name: &str) -> bool {
        let canvas = format!("{}.querySelector('canvas')", demo(name));
        self.chrome.eval(&painted(&canvas)) == Value::Bool(true)
    }

    /// The browser may report the 404 of `file`, whatever hash is in its name, and that is all.
    #[track_caller]
    fn lacked(&self, file: &str) {
        let problems = self.chrome.problems();
        let (stem, ending) = file.split_once('.').unwrap_or((file, ""));
        let of_file = |problem: &String| problem.contains(stem) && problem.contains(ending);
        assert!(problems.iter().all(of_file), "{problems:#?}");
    }

    /// No console error, no exception, and nothing asked for that is not there.
    #[track_caller]
    fn went_well(&self) {
        assert_eq!(self.chrome.problems(), [] as [String; 0]);
        assert_eq!(self.site.strays(), [] as [String; 0]);
    }
}

/// Every demo shows its model, drawn on `device`, with the scores that the manifest has.
fn all_five_run(visit: &mut Visit, device: &str) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("pretrained/manifest.json");
    let manifest = fs::read(manifest).expect("the repository has a manifest");
    let manifest: Manifest = serde_json::from_slice(&manifest).expect("the manifest is sound");
    for experiment in &EXPERIMENTS {
        let name = experiment.name;
        visit.shows(name, "model", device);
        assert!(visit.is_painted(name), "{name}: the canvas is blank");
        let entry = manifest.models.iter().find(|m| m.name == name);
        let expected = entry.expect(name).metrics.total_variation;
        let shown: f64 = visit.data(name, "tv").parse().expect("a number");
        // The page's density stops at the bulk, the manifest's follows the tails.
        assert!(
            (shown - expected).abs() < 0.0005,
            "{name}: the page says {shown}, the manifest {expected}"
        );
        let alternative = visit.chrome.text(&format!(
            "{}.querySelector('canvas').getAttribute('aria-label')",
            demo(name)
        ));
        assert!(
            alternative.contains(&format!("{shown:.3}")),
            "{name}: the text alternative has no total variation: {alternative}"
        );
    }
}

#[test]
fn all_five_demos_run_on_webgpu() {
    let Some(mut visit) = visit(Gpu::Allowed, |_| {}) else {
        return;
    };
    visit.engine_is("webgpu");
    all_five_run(&mut visit, "webgpu");

    // To the CPU and back. The choice holds for all demos, and the samples stay the same ones.
    let name = "easy_correct";
    visit.scroll_to(name);
    let on_gpu = visit.data(name, "tv");
    visit.set(name, "select.device", "cpu");
    visit.shows(name, "model", "cpu");
    assert_eq!(visit.data(name, "tv"), on_gpu);
    let mirrored = format!("{}.querySelector('select.device').value", demo("four_mode"));
    assert_eq!(visit.chrome.text(&mirrored), "cpu");
    let runner = format!("{}.querySelector('.readout').textContent", demo(name));
    assert!(visit.chrome.text(&runner).contains("CPU"));
    visit.shows("four_mode", "model", "cpu");
    visit.scroll_to(name);
    visit.set(name, "select.device", "table");
    visit.shows(name, "model", "table");
    assert!(visit.chrome.text(&runner).contains("tabulated"));
    visit.set(name, "select.device", "webgpu");
    visit.shows(name, "model", "webgpu");
    assert!(visit.chrome.text(&runner).contains("WebGPU"));
    visit.went_well();
}

#[test]
fn all_five_demos_run_on_the_cpu_and_say_why() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    visit.engine_is("cpu");
    all_five_run(&mut visit, "table");
    for experiment in &EXPERIMENTS {
        let status = visit.status(experiment.name);
        assert!(
            status.contains("CPU") && status.contains("GPU "),
            "{}: {status}",
            experiment.name
        );
    }
    let name = "easy_correct";
    let choice = format!(
        "{}.querySelector('select.device option[value=webgpu]').disabled",
        demo(name)
    );
    assert_eq!(visit.chrome.eval(&choice), Value::Bool(true));

    // The network instead of its table: the same samples, so the same figure to a bin or two.
    let tabulated = visit.data(name, "tv");
    visit.set(name, "select.device", "cpu");
    visit.shows(name, "model", "cpu");
    assert_eq!(visit.data(name, "tv"), tabulated);
    visit.went_well();
}

/// The sampler for relaxed SIMD draws where the browser has that, and when its file is not what it
/// should be the engine's own sampler draws, without a word to the reader.
#[test]
fn relaxed_simd_is_used_and_its_file_may_fail() {
    let name = "easy_correct";
    let runner = format!("{}.querySelector('.readout').textContent", demo(name));
    let sound = |_: &Site| {};
    let missing = |site: &Site| site.hide("kernels.wasm");
    let cut = |site: &Site| {
        site.edit("kernels.wasm", |mut bytes| {
            bytes.truncate(bytes.len() / 2);
            bytes
        });
    };
    // The exponential's log2(e) is another number wherever it stands.
    let wrong = |site: &Site| {
        site.edit("kernels.wasm", |mut bytes| {
            let log2_e = std::f32::consts::LOG2_E.to_le_bytes();
            let places: Vec<usize> = (0..bytes.len() - 4)
                .filter(|&i| bytes[i..i + 4] == log2_e)
                .collect();
            assert!(!places.is_empty(), "kernels.wasm has no exponential");
            for place in places {
                bytes[place..place + 4].copy_from_slice(&1.25f32.to_le_bytes());
            }
            bytes
        });
    };
    let files: [&dyn Fn(&Site); 4] = [&sound, &missing, &cut, &wrong];
    let mut shown = Vec::new();
    for (number, file) in files.into_iter().enumerate() {
        let relaxed = number == 0;
        let Some(mut visit) = visit(Gpu::Denied, file) else {
            return;
        };
        visit.shows(name, "model", "table");
        visit.scroll_to(name);
        // The first batches may come before the file has passed its test.
        visit.set(name, "select.device", "cpu");
        visit.act(name, "button.resample", "it.click()");
        let text = visit.chrome.text(&runner);
        assert_eq!(text.contains("relaxed SIMD"), relaxed, "{number}: {text}");
        shown.push(visit.data(name, "tv"));
        match relaxed {
            true => visit.went_well(),
            false => visit.lacked("kernels.wasm"),
        }
    }
    assert!(shown.iter().all(|tv| *tv == shown[0]), "{shown:?}");
}

/// Large batches are drawn by several threads, where they run; who draws changes nothing.
#[test]
fn threads_draw_the_same_and_any_may_fail() {
    type Fault = fn(&Site);
    let faults: [(&str, Fault); 5] = [
        ("none", |_| {}),
        ("missing", |site| site.hide("thread.js")),
        ("that do not start", |site| {
            site.edit("thread.js", |_| b"throw new Error('today not');".to_vec());
        }),
        ("that fail in a batch", |site| {
            site.edit("thread.js", |script| {
                [
                    &script,
                    &b"const sound = onmessage; let asked = 0;
                       onmessage = (event) => {
                           if (++asked === 4) throw new Error('now not');
                           sound(event);
                       };"[..],
                ]
                .concat()
            });
        }),
        ("that fall silent", |site| {
            site.edit("thread.js", |script| {
                [
                    &script,
                    &b"const sound = onmessage; let asked = 0;
                       onmessage = (event) => { if (++asked < 4) sound(event); };"[..],
                ]
                .concat()
            });
        }),
    ];
    let name = "four_mode";
    let runner = format!("{}.querySelector('.readout').textContent", demo(name));
    let mut shown: Vec<[String; 2]> = Vec::new();
    for (fault, spoil) in faults {
        let Some(mut visit) = visit(Gpu::Denied, |site| {
            site.edit("start.js", |script| {
                let three =
                    b"Object.defineProperty(navigator, 'hardwareConcurrency', { value: 3 });\n";
                [&three[..], &script].concat()
            });
            spoil(site);
        }) else {
            return;
        };
        visit.shows(name, "model", "table");
        visit.set(name, "select.device", "cpu");
        visit.set(name, "select.count", "50000");
        // The first of these batches starts the threads.
        for temperature in ["0.5", "0.6", "0.7"] {
            visit.set(name, "input.temperature", temperature);
            shown.push([visit.data(name, "histogram"), visit.data(name, "tv")]);
        }
        let text = visit.chrome.text(&runner);
        assert!(text.contains("relaxed SIMD"), "{fault}: {text}");
        assert!(visit.site.times_asked("thread.js") > 0, "{fault}");
        let is_sound = fault == "none";
        assert_eq!(text.contains("3\u{a0}threads"), is_sound, "{fault}: {text}");
        match is_sound {
            true => visit.went_well(),
            false => visit.lacked("thread.js"),
        }
    }
    assert!(
        shown.chunks(3).all(|three| three == &shown[..3]),
        "{shown:?}"
    );
}

#[test]
fn the_controls_change_the_figure() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let name = "easy_correct";
    visit.shows(name, "model", "table");
    let first = (visit.data(name, "histogram"), visit.data(name, "tv"));
    let readout = format!("{}.querySelector('.tv').textContent", demo(name));
    let first_readout = visit.chrome.text(&readout);

    // Temperature changes what is drawn and what is read.
    visit.set(name, "input.temperature", "0.3");
    assert_ne!(visit.data(name, "histogram"), first.0);
    assert_ne!(visit.data(name, "tv"), first.1);
    assert_ne!(visit.chrome.text(&readout), first_readout);
    let number = format!("{}.querySelector('.temperature-number').value", demo(name));
    assert_eq!(visit.chrome.text(&number), "0.30");

    // The same temperature again moves the same samples back.
    visit.set(name, "input.temperature-number", "1");
    assert_eq!(visit.data(name, "histogram"), first.0);
    assert_eq!(visit.data(name, "tv"), first.1);
    let slider = format!("{}.querySelector('input.temperature').value", demo(name));
    assert_eq!(visit.chrome.number(&format!("Number({slider})")), 1.0);

    // A drag ends on its last position, however many batches were dropped on the way.
    let drag = "for (let i = 0; i <= 100; i++) {
        it.value = 1 + i / 100;
        it.dispatchEvent(new Event('input', { bubbles: true }));
    }";
    visit.act(name, "input.temperature", drag);
    let dragged = (visit.data(name, "histogram"), visit.data(name, "tv"));
    visit.set(name, "input.temperature", "1");
    visit.set(name, "input.temperature", "2");
    assert_eq!(
        (visit.data(name, "histogram"), visit.data(name, "tv")),
        dragged
    );

    // The keyboard moves the slider by its step, and to its ends.
    let control = format!("{}.querySelector('input.temperature')", demo(name));
    visit.chrome.eval(&format!("{control}.focus()"));
    for (key, expected) in [
        ("ArrowRight", 2.01),
        ("ArrowLeft", 2.0),
        ("End", 3.0),
        ("Home", 0.05),
    ] {
        let batch = visit.data(name, "batch");
        visit.chrome.press(key);
        visit.chrome.until(&format!(
            "Math.abs({control}.value - {expected}) < 1e-9 && {}.dataset.batch > {batch}",
            demo(name)
        ));
    }

    // Fresh samples of the same model.
    visit.set(name, "input.temperature", "1");
    visit.act(name, "button.resample", "it.click()");
    assert_ne!(visit.data(name, "histogram"), first.0);
    assert_eq!(visit.data(name, "tv"), first.1);

    // Fewer and more of them.
    for count in ["500", "100000", "1000000"] {
        visit.set(name, "select.count", count);
        assert_eq!(visit.data(name, "sampled"), count);
    }
    visit.went_well();
}

#[test]
fn bad_weights_are_named_and_the_other_demos_go_on() {
    let Some(mut visit) = visit(Gpu::Denied, |site| {
        site.hide("pretrained/forward/easy_correct.safetensors");
        site.edit("pretrained/forward/easy_buggy.safetensors", |mut bytes| {
            bytes.truncate(bytes.len() / 2);
            bytes
        });
        site.edit(
            "pretrained/forward/hard_on_policy.safetensors",
            |mut bytes| {
                // The last four bytes are a number of the last tensor.
                let end = bytes.len();
                bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
                bytes
            },
        );
    }) else {
        return;
    };
    for (name, reason) in [
        ("easy_correct", "not found"),
        ("easy_buggy", ""),
        ("hard_on_policy", "NaN"),
    ] {
        visit.shows(name, "placeholder", "table");
        let file = format!("{name}.safetensors");
        visit.chrome.until(&format!(
            "{}.querySelector('.status').textContent.includes('{file}')",
            demo(name)
        ));
        let status = visit.status(name);
        assert!(
            status.contains(reason) && status.contains("placeholder"),
            "{name}: {status}"
        );
    }
    for name in ["hard_off_policy", "four_mode"] {
        visit.shows(name, "model", "table");
        assert!(!visit.status(name).contains("safetensors"));
    }
    visit.lacked("easy_correct.safetensors");
}

#[test]
fn the_bug_as_algebra_says_what_each_loss_asked_for() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let name = "algebra";
    visit.open_study(name, "easy_buggy");
    assert!(visit.study_number(name, ".to-asked") <= 0.06);
    let nats =
        visit.study_number(name, ".learned-log-z") - visit.study_number(name, ".asked-log-z");
    assert!(nats.abs() <= 0.061, "{nats}");
    assert!(
        visit
            .study_text(name, ".finding")
            .contains("wrong question")
    );

    // The third loop's model is fetched when it is asked for; the first was there all along.
    for model in ["easy_dropped", "easy_correct"] {
        let radio = format!("{}.querySelector('input[value={model}]')", study(name));
        visit.chrome.eval(&format!("{radio}.click()"));
        visit.study_shows(name, model);
        let above = visit.study_number(name, ".asked-log-z") - std::f64::consts::LN_2;
        assert_eq!(above > 0.1, model == "easy_dropped", "{above}");
    }
    visit.went_well();
}

#[test]
fn the_flow_is_read_by_sliders_keys_and_pointer() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let name = "flow";
    visit.open_study(name, "hard_on_policy");
    let half = visit.study_text(name, ".finding");
    assert!(
        half.contains("50\u{202f}% of the reward is missed"),
        "{half}"
    );

    let reading = format!("{}.querySelector('.reading').textContent", study(name));
    visit.set_study(name, "#flow-t", "0");
    visit.chrome.until(&format!("{reading}.includes('S₀')"));
    visit
        .chrome
        .eval("document.getElementById('flow-t').focus()");
    visit.chrome.press("ArrowRight");
    visit.chrome.until(&format!("{reading}.includes('t = 1.')"));
    let before = visit.chrome.text(&reading);
    visit
        .chrome
        .eval("document.getElementById('flow-x').focus()");
    visit.chrome.press("ArrowRight");
    visit
        .chrome
        .until(&format!("{reading} !== {}", Value::from(before.as_str())));

    // In the middle of the topmost row, below the heading.
    visit.chrome.eval(&format!(
        "(() => {{
            const it = {}.querySelector('canvas.maps');
            const {{ left, top, width }} = it.getBoundingClientRect();
            it.dispatchEvent(new PointerEvent('pointermove', {{ bubbles: true,
                clientX: left + 46 + (width - 56) / 2 + 1, clientY: top + 44 }}));
        }})()",
        study(name)
    ));
    visit.chrome.until(&format!(
        "{reading}.startsWith('x = 0.0') && {reading}.includes('t = 5.')"
    ));

    // A cursor's class of another figure once took the sliders off the page.
    let visible = format!("{}.querySelector('#flow-x').checkVisibility()", study(name));
    assert_eq!(visit.chrome.eval(&visible), Value::Bool(true));
    let below = format!(
        "{it}.querySelector('#flow-x').getBoundingClientRect().top
            > {it}.querySelector('canvas.maps').getBoundingClientRect().bottom",
        it = study(name)
    );
    assert_eq!(visit.chrome.eval(&below), Value::Bool(true));

    visit.set_study(name, "#flow-model", "1");
    visit.study_shows(name, "easy_buggy");
    assert_ne!(visit.study_text(name, ".finding"), half);
    visit.went_well();
}

#[test]
fn one_walk_is_stepped_through() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let name = "trace";
    visit.open_study(name, "hard_on_policy");
    let missing = visit.study_text(name, ".finding");
    assert!(
        missing.contains("·\u{202f}10⁻") && missing.contains("On-policy"),
        "{missing}"
    );
    let sum = visit.study_text(name, ".sum");

    // Every term is reached, and the last place is the residual.
    let button = format!("{}.querySelector('button.later')", study(name));
    let mut seen = vec![visit.study_text(name, ".reading")];
    while visit.chrome.eval(&format!("{button}.disabled")) == Value::Bool(false) {
        visit.chrome.eval(&format!("{button}.click()"));
        let reading = visit.study_text(name, ".reading");
        assert!(!seen.contains(&reading), "{reading}");
        seen.push(reading);
    }
    assert_eq!(seen.len(), 2 * EXPERIMENTS[2].steps + 2);
    assert!(seen.last().is_some_and(|last| last.contains("residual")));
    let residual = seen
        .last()
        .map(|last| last.split_whitespace().nth(5).unwrap_or_default());
    assert!(
        residual.is_some_and(|residual| sum.contains(residual)),
        "{residual:?} {sum}"
    );

    // Another walk, then one that the policy draws itself.
    visit.chrome.eval(&format!(
        "{}.querySelector('.resample').click()",
        study(name)
    ));
    let shown = format!("{}.querySelector('.sum').textContent", study(name));
    visit
        .chrome
        .until(&format!("{shown} !== {}", Value::from(sum.as_str())));
    visit.set_study(name, "#trace-walk", "forward");
    let finding = format!("{}.querySelector('.finding').textContent", study(name));
    visit.chrome.until(&format!("{finding}.includes('100.0')"));
    visit.went_well();
}

#[test]
fn a_part_without_its_weights_says_so_and_the_others_go_on() {
    let Some(mut visit) = visit(Gpu::Denied, |site| {
        site.hide("pretrained/easy_dropped.safetensors");
    }) else {
        return;
    };
    let name = "algebra";
    visit.open_study(name, "easy_buggy");
    let radio = |model| format!("{}.querySelector('input[value={model}]')", study(name));
    visit
        .chrome
        .eval(&format!("{}.click()", radio("easy_dropped")));
    visit
        .chrome
        .until(&format!("{}.dataset.state === 'failed'", study(name)));
    let status = visit.study_text(name, ".status");
    assert!(status.contains("easy_dropped.safetensors"), "{status}");
    let hidden = format!("{}.querySelector('.study-body').hidden", study(name));
    assert_eq!(visit.chrome.eval(&hidden), Value::Bool(true));
    visit
        .chrome
        .eval(&format!("{}.click()", radio("easy_correct")));
    visit.study_shows(name, "easy_correct");
    assert_eq!(visit.chrome.eval(&hidden), Value::Bool(false));
}

/// JavaScript for the figure of the model of every temperature.
const CONDITIONAL: &str = "document.querySelector('.demo.conditional')";

impl Visit {
    /// Bring the figure of the model of every temperature to view.
    fn scroll_to_conditional(&mut self) {
        self.chrome.until(&format!("{CONDITIONAL} !== null"));
        self.chrome.eval(&format!(
            "{CONDITIONAL}.scrollIntoView({{ block: 'center' }})"
        ));
    }

    fn conditional(&mut self, key: &str) -> String {
        self.chrome.text(&format!("{CONDITIONAL}.dataset.{key}"))
    }

    /// Set one of the two controls of β, and wait until the figure shows another batch.
    fn set_beta(&mut self, control: &str, value: f64) {
        let before = self.conditional("batch");
        self.chrome.eval(&format!(
            "(() => {{
                const it = {CONDITIONAL}.querySelector('input.{control}');
                it.value = '{value}';
                for (const kind of ['input', 'change'])
                    it.dispatchEvent(new Event(kind, {{ bubbles: true }}));
            }})()"
        ));
        self.chrome
            .until(&format!("{CONDITIONAL}.dataset.batch !== '{before}'"));
    }
}

/// At each β of the manifest the figure, drawn on `device`, has the manifest's scores.
fn follows_beta(gpu: Gpu, engine: &str, device: &str) {
    let Some(mut visit) = visit(gpu, |_| {}) else {
        return;
    };
    visit.engine_is(engine);
    let file = "pretrained/tempered.safetensors";
    assert_eq!(visit.site.times_asked(file), 0, "fetched before it is near");
    visit.scroll_to_conditional();
    visit.chrome.until(&format!(
        "{CONDITIONAL}.dataset.state === 'model' && {CONDITIONAL}.dataset.device === '{device}'"
    ));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("pretrained/manifest.json");
    let manifest = fs::read(manifest).expect("the repository has a manifest");
    let manifest: Manifest = serde_json::from_slice(&manifest).expect("the manifest is sound");
    let scores = manifest
        .tempered
        .expect("a model of every temperature")
        .scores;
    let mut histograms = Vec::new();
    for score in &scores {
        // The slider has the powers of two.
        visit.set_beta("beta", score.beta.log2());
        let number = |visit: &mut Visit, key| visit.conditional(key).parse::<f64>().unwrap();
        assert_eq!(number(&mut visit, "beta"), score.beta);
        let tv = number(&mut visit, "tv");
        assert!((tv - score.total_variation).abs() < 5e-4, "{tv} {score:?}");
        let log_z = number(&mut visit, "logZ");
        assert!((log_z - score.log_z).abs() < 1e-5, "{log_z} {score:?}");
        histograms.push(visit.conditional("histogram"));
        let canvas = format!("{CONDITIONAL}.querySelector('canvas')");
        visit.chrome.until(&painted(&canvas));
        let label = visit.chrome.text(&format!("{canvas}.ariaLabel"));
        assert!(label.contains(&format!("{tv:.3}")), "{label}");
    }
    histograms.dedup();
    assert_eq!(histograms.len(), scores.len());
    // Scaled steps are further away than the model that was told.
    let scaled = format!("{CONDITIONAL}.querySelector('dd.scaled').textContent");
    visit.chrome.until(&format!(
        "parseFloat({scaled}) > 2 * parseFloat({CONDITIONAL}.dataset.tv)"
    ));

    // By the keyboard, and by a number that is beyond the range.
    let before = visit.conditional("batch");
    visit.chrome.eval(&format!(
        "{CONDITIONAL}.querySelector('input.beta').focus()"
    ));
    visit.chrome.press("ArrowLeft");
    visit
        .chrome
        .until(&format!("{CONDITIONAL}.dataset.batch !== '{before}'"));
    assert!(visit.conditional("beta").parse::<f64>().unwrap() < 4.0);
    visit.set_beta("beta-number", 9.0);
    assert_eq!(visit.conditional("beta"), "4.0000");
    let status = format!("{CONDITIONAL}.querySelector('.status').textContent");
    assert!(visit.chrome.text(&status).contains("9 became 4"));
    assert_eq!(visit.site.times_asked(file), 1);
    visit.went_well();
}

#[test]
fn one_model_follows_the_slider_of_beta_on_the_cpu() {
    follows_beta(Gpu::Denied, "cpu", "table");
}

#[test]
fn one_model_follows_the_slider_of_beta_on_webgpu() {
    follows_beta(Gpu::Allowed, "webgpu", "webgpu");
}

#[test]
fn without_its_file_the_model_of_every_temperature_hides_and_says_why() {
    let file = "tempered.safetensors";
    let Some(mut visit) = visit(Gpu::Denied, |site| {
        site.hide("pretrained/tempered.safetensors");
    }) else {
        return;
    };
    visit.scroll_to_conditional();
    visit
        .chrome
        .until(&format!("{CONDITIONAL}.dataset.state === 'failed'"));
    let status = format!("{CONDITIONAL}.querySelector('.status').textContent");
    let status = visit.chrome.text(&status);
    assert!(
        status.contains(file) && status.contains("not found"),
        "{status}"
    );
    let shown = format!("{CONDITIONAL}.querySelector('canvas').offsetParent !== null");
    assert_eq!(visit.chrome.eval(&shown), Value::Bool(false));
    visit.shows("four_mode", "model", "table");
    visit.lacked(file);
}

/// Run `script` in the worker before the engine starts.
fn in_the_worker(site: &Site, script: &str) {
    site.edit("worker.js", |loader| {
        [script.as_bytes(), b"\n", &loader].concat()
    });
}

/// The GPU of such a worker is lost at [`STRIKE`].
const LOSABLE: &str = "const ask = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (it) {
        const device = await ask.call(this, it);
        new BroadcastChannel('fault').onmessage = () => device.destroy();
        return device;
    };";
/// JavaScript by which the page brings about the fault that waits in its worker.
const STRIKE: &str = "new BroadcastChannel('fault').postMessage(0)";

/// Deny the page all storage.
fn without_storage(site: &Site) {
    const DENY: &[u8] = b"Object.defineProperty(window, 'localStorage', {
        get() { throw new DOMException('denied', 'SecurityError'); },
    });\n";
    site.edit("start.js", |script| [DENY, &script].concat());
}

/// With this script in the worker, the page goes on with the CPU and says `reason`.
fn falls_back_to_the_cpu(script: &str, reason: &str) {
    let Some(mut visit) = visit(Gpu::Allowed, |site| in_the_worker(site, script)) else {
        return;
    };
    visit.engine_is("cpu");
    for name in ["easy_correct", "four_mode"] {
        visit.shows(name, "model", "table");
        let status = visit.status(name);
        assert!(
            status.contains("CPU") && status.contains(reason),
            "{name}: {status}"
        );
    }
    assert_eq!(visit.site.strays(), [] as [String; 0]);
}

#[test]
fn without_an_adapter_the_cpu_runs() {
    falls_back_to_the_cpu(
        "GPU.prototype.requestAdapter = async () => null;",
        "adapter",
    );
}

#[test]
fn a_gpu_that_computes_wrongly_is_not_used() {
    falls_back_to_the_cpu(
        "const make = GPUDevice.prototype.createShaderModule;
         GPUDevice.prototype.createShaderModule = function (it) {
             return make.call(this, { ...it, code: it.code.replaceAll('exp(', 'exp(0.9f * ') });
         };",
        "CPU",
    );
}

#[test]
fn a_gpu_that_refuses_the_kernel_is_not_used() {
    // Nothing but an uncaptured error event tells of this, and what is read back is stale.
    falls_back_to_the_cpu(
        "const make = GPUDevice.prototype.createShaderModule;
         GPUDevice.prototype.createShaderModule = function (it) {
             return make.call(this, { ...it, code: it.code + ' no WGSL' });
         };",
        "CPU",
    );
}

#[test]
fn the_page_fits_phones_and_desks_in_both_schemes() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    fs::create_dir_all(&pictures).expect("the target folder can be written");
    for section in [
        "setup",
        "happy-case",
        "pedagogical-bug",
        "mode-collapse",
        "off-policy",
        "harder-case",
        "temperature",
        "colophon",
    ] {
        visit
            .chrome
            .until(&format!("document.getElementById('{section}') !== null"));
    }
    for (name, model) in [
        ("algebra", "easy_buggy"),
        ("flow", "hard_on_policy"),
        ("trace", "hard_on_policy"),
    ] {
        visit.open_study(name, model);
    }
    for width in [390, 1280] {
        for scheme in ["light", "dark"] {
            visit.chrome.screen(width, 900, scheme);
            for experiment in &EXPERIMENTS {
                visit.shows(experiment.name, "model", "table");
            }
            visit
                .chrome
                .screenshot(&pictures.join(format!("{width}-{scheme}.png")));
            // The outermost elements that stick out, when the page can be scrolled sideways.
            let wide = visit.chrome.eval(
                "(() => {
                    const { clientWidth: edge, scrollWidth } = document.documentElement;
                    if (scrollWidth <= edge) return [];
                    const out = it => it.getBoundingClientRect().right > edge + 0.5;
                    return [`${scrollWidth} px`, ...[...document.body.querySelectorAll('*')]
                        .filter(it => out(it) && !out(it.parentElement))
                        .map(it => it.outerHTML.slice(0, 200))];
                })()",
            );
            assert_eq!(
                wide,
                Value::Array(Vec::new()),
                "{width} px, {scheme}: the page scrolls sideways"
            );
            // A formula that was wider than a phone lost its left end.
            let cut = visit.chrome.eval(
                "[...document.querySelectorAll('.formula')]
                    .filter(it => it.scrollWidth > it.clientWidth)
                    .map(it => it.textContent)",
            );
            assert_eq!(
                cut,
                Value::Array(Vec::new()),
                "{width} px: formulas are cut off"
            );
        }
    }
    // Every control has a name that a screen reader can tell.
    let nameless = visit.chrome.eval(
        "[...document.querySelectorAll('input, select, button, canvas')]
            .filter(it => !it.getAttribute('aria-label') && !it.labels?.length
                && !it.textContent.trim())
            .map(it => it.outerHTML)",
    );
    assert_eq!(nameless, Value::Array(Vec::new()));
    visit.went_well();
}

/// Fetched when the slider is touched and not before, and only once; back at the end it is the
/// shipped model with the very samples of before.
#[test]
fn the_training_of_a_model_can_be_scrubbed_and_played() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let name = "hard_on_policy";
    let file = "pretrained/snapshots/hard_on_policy.safetensors";
    visit.shows(name, "model", "table");
    let end = (visit.data(name, "histogram"), visit.data(name, "tv"));
    assert_eq!(visit.data(name, "snapshot"), "end");
    assert_eq!(visit.site.times_asked(file), 0);

    visit.set(name, "input.training", "0");
    assert_eq!(visit.data(name, "snapshot"), "0");
    let untrained: f64 = visit.data(name, "tv").parse().expect("a number");
    assert!(untrained > 0.7, "{untrained}");
    assert_ne!(visit.data(name, "histogram"), end.0);
    let demo = demo(name);
    let readout = format!("{demo}.querySelector('.training-readout').textContent");
    assert!(visit.chrome.text(&readout).contains("iteration 0 of 5,000"));
    let slider = format!("{demo}.querySelector('input.training')");
    let spoken = format!("{slider}.getAttribute('aria-valuetext')");
    assert_eq!(visit.chrome.text(&spoken), "iteration 0 of 5,000");
    assert!(visit.status(name).contains("after 0 of 5,000"));

    // Temperature and fresh samples work in the middle of the training, too.
    let before = visit.data(name, "tv");
    visit.set(name, "input.temperature", "0.5");
    assert_eq!(visit.data(name, "snapshot"), "0");
    assert_ne!(visit.data(name, "tv"), before);
    visit.set(name, "input.temperature", "1");

    // The keyboard: a step, and the end.
    visit.chrome.eval(&format!("{slider}.focus()"));
    visit.chrome.press("ArrowRight");
    visit
        .chrome
        .until(&format!("{demo}.dataset.snapshot === '1'"));
    visit.chrome.press("End");
    visit
        .chrome
        .until(&format!("{demo}.dataset.snapshot === 'end'"));
    assert_eq!((visit.data(name, "histogram"), visit.data(name, "tv")), end);

    // Played from the end, it begins anew, passes the middle and ends where it should.
    let button = format!("{demo}.querySelector('button.play')");
    visit.chrome.eval(&format!("{button}.click()"));
    visit
        .chrome
        .until(&format!("{button}.textContent === 'Pause'"));
    visit
        .chrome
        .until(&format!("Number({demo}.dataset.snapshot) > 5"));
    visit.chrome.eval(&format!("{button}.click()"));
    visit
        .chrome
        .until(&format!("{button}.textContent === 'Play'"));
    visit.chrome.eval(&format!("{button}.click()"));
    visit.chrome.until(&format!(
        "{button}.textContent === 'Play' && {demo}.dataset.snapshot === 'end'"
    ));
    assert_eq!(visit.data(name, "histogram"), end.0);
    assert_eq!(visit.site.times_asked(file), 1);
    visit.went_well();
}

#[test]
fn damaged_snapshots_are_named_and_the_model_goes_on() {
    let Some(mut visit) = visit(Gpu::Denied, |site| {
        site.hide("pretrained/snapshots/easy_correct.safetensors");
        site.edit(
            "pretrained/snapshots/easy_buggy.safetensors",
            |mut bytes| {
                bytes.truncate(bytes.len() / 2);
                bytes
            },
        );
        site.edit(
            "pretrained/snapshots/hard_on_policy.safetensors",
            |mut bytes| {
                // The lowest bit of a weight: still a sound file, and another one.
                let end = bytes.len();
                bytes[end - 2] ^= 1;
                bytes
            },
        );
    }) else {
        return;
    };
    for (name, reason) in [
        ("easy_correct", "not found"),
        ("easy_buggy", "cut short"),
        ("hard_on_policy", "SHA-256"),
    ] {
        visit.shows(name, "model", "table");
        let shown = visit.data(name, "histogram");
        let demo = demo(name);
        visit.chrome.eval(&format!(
            "(() => {{
                const it = {demo}.querySelector('input.training');
                it.value = '3';
                it.dispatchEvent(new Event('input', {{ bubbles: true }}));
            }})()"
        ));
        visit.chrome.until(&format!(
            "{demo}.querySelector('.status').textContent.includes('snapshots/{name}.safetensors')"
        ));
        let status = visit.status(name);
        assert!(status.contains(reason), "{name}: {status}");
        for control in ["input.training", "button.play"] {
            let disabled = format!("{demo}.querySelector('{control}').disabled");
            assert_eq!(visit.chrome.eval(&disabled), Value::Bool(true), "{control}");
        }
        assert_eq!(visit.data(name, "snapshot"), "end");
        assert_eq!(visit.data(name, "histogram"), shown);
        visit.set(name, "input.temperature", "0.5");
        assert_ne!(visit.data(name, "histogram"), shown);
    }
    visit.shows("hard_off_policy", "model", "table");
    visit.set("hard_off_policy", "input.training", "3");
    assert_eq!(visit.data("hard_off_policy", "snapshot"), "3");
    visit.lacked("easy_correct.safetensors");
}

#[test]
fn curves_are_read_by_pointer_and_by_keyboard() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let readout = "document.querySelector('.history-readout').textContent";
    visit
        .chrome
        .until("document.querySelector('.curves') !== null");
    let runs = visit.chrome.text(
        "[...document.querySelectorAll('input[name=history-run]')].map(it => it.value).join(' ')",
    );
    assert!(runs.starts_with("hard_on_policy easy_buggy "), "{runs}");
    assert!(
        visit
            .chrome
            .text(readout)
            .contains("iteration 5,000 of 5,000")
    );
    visit
        .chrome
        .eval("document.querySelector('.curves').focus()");
    visit.chrome.press("Home");
    visit
        .chrome
        .until(&format!("{readout}.includes('iteration 1 of 5,000')"));
    visit.chrome.press("ArrowRight");
    visit
        .chrome
        .until(&format!("{readout}.includes('iteration 2 of 5,000')"));
    visit.chrome.until(
        "document.querySelector('.curves').getAttribute('aria-valuetext')
            === document.querySelector('.history-readout').textContent",
    );
    // The field beside them has the same number, and takes the nearest that was recorded.
    let field = "document.querySelector('#history-iteration')";
    visit.chrome.until(&format!("{field}.value === '2'"));
    for (typed, shown) in [
        ("3000", "3,0"),
        ("", "3,0"),
        ("99999", "5,000"),
        ("1", "1 "),
    ] {
        visit.chrome.eval(&format!(
            "(() => {{ {field}.value = '{typed}'; {field}.dispatchEvent(new Event('change')); }})()"
        ));
        visit
            .chrome
            .until(&format!("{readout}.startsWith('iteration {shown}')"));
        let text = format!("{readout}.split(' ')[1].replace(',', '') === {field}.value");
        visit.chrome.until(&text);
    }
    let gauge = "document.querySelector('.gauge-words').textContent";
    let early = visit.chrome.text(gauge);
    visit.chrome.eval(
        "(() => {
            const it = document.querySelector('.curves');
            const place = it.querySelector('.area').getBoundingClientRect();
            it.dispatchEvent(new PointerEvent('pointermove', {
                bubbles: true, clientX: place.right, clientY: place.top + 9,
            }));
        })()",
    );
    visit
        .chrome
        .until(&format!("{readout}.includes('iteration 5,000 of 5,000')"));
    assert_ne!(visit.chrome.text(gauge), early);
    visit
        .chrome
        .eval("document.querySelector('input[name=history-run][value=four_mode]').click()");
    visit.chrome.until(&format!(
        "{gauge}.endsWith('of 4') && {readout}.includes('of 10,000')"
    ));
    // Every experiment has a strip, and every seed a dot.
    assert_eq!(
        visit
            .chrome
            .number("document.querySelectorAll('.strip .run').length"),
        80.0
    );
    visit.went_well();
}

/// JavaScript for a question, once it is live.
fn question(name: &str) -> String {
    format!("document.querySelector('.predict[data-question={name}][data-answer]')")
}

#[test]
fn predictions_are_remembered_and_can_be_skipped() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let (bug, collapse) = (question("bug"), question("collapse"));
    visit.chrome.until(&format!("{bug} !== null"));
    let outcome = format!("{bug}.querySelector('.outcome').textContent");
    assert_eq!(visit.chrome.text(&outcome), "");
    visit
        .chrome
        .eval(&format!("{bug}.querySelectorAll('input')[1].click()"));
    visit.chrome.until(&format!("{outcome}.includes('0.')"));
    visit
        .chrome
        .eval(&format!("{collapse}.querySelector('.skip').click()"));
    visit
        .chrome
        .until(&format!("{collapse}.querySelector('fieldset').hidden"));
    // Whoever came with the keyboard goes on from there.
    visit
        .chrome
        .until("document.activeElement.className === 'ask-again'");

    visit.chrome.open(&visit.site.url());
    visit.chrome.until(&format!("{bug} !== null"));
    assert_eq!(visit.chrome.text(&format!("{bug}.dataset.answer")), "1");
    let checked = format!("{bug}.querySelectorAll('input')[1].checked");
    assert_eq!(visit.chrome.eval(&checked), Value::Bool(true));
    assert!(visit.chrome.text(&outcome).contains("0."));
    let hidden = format!("{collapse}.querySelector('fieldset').hidden");
    assert_eq!(visit.chrome.eval(&hidden), Value::Bool(true));
    // Whoever skipped reads the same section, and can change their mind.
    visit.shows("hard_on_policy", "model", "table");
    visit
        .chrome
        .eval(&format!("{collapse}.querySelector('.ask-again').click()"));
    visit.chrome.until(&format!("!{hidden}"));
    visit
        .chrome
        .until("document.activeElement.type === 'radio'");
    visit.went_well();
}

#[test]
fn without_storage_predictions_last_as_long_as_the_page() {
    let Some(mut visit) = visit(Gpu::Denied, without_storage) else {
        return;
    };
    let bug = question("bug");
    visit.chrome.until(&format!("{bug} !== null"));
    visit
        .chrome
        .eval(&format!("{bug}.querySelectorAll('input')[2].click()"));
    visit.chrome.until(&format!(
        "{bug}.querySelector('.outcome').textContent !== ''"
    ));
    visit.chrome.open(&visit.site.url());
    visit.chrome.until(&format!("{bug} !== null"));
    assert_eq!(visit.chrome.text(&format!("{bug}.dataset.answer")), "");
    visit.went_well();
}

/// The laboratory of the page, begun by a link.
fn laboratory(query: &str, prepare: impl FnOnce(&Site)) -> Option<Visit> {
    laboratory_with(Gpu::Denied, query, prepare)
}

fn laboratory_with(gpu: Gpu, query: &str, prepare: impl FnOnce(&Site)) -> Option<Visit> {
    let mut visit = visit(gpu, prepare)?;
    visit
        .chrome
        .until("document.documentElement.dataset.engine !== undefined");
    // Tests that stop a worker have to know it, and it is not the demos'.
    visit.chrome.eval(
        "window.workers = [];
         window.Worker = class extends Worker {
             constructor(...all) { super(...all); window.workers.push(this); }
         }",
    );
    visit
        .chrome
        .until("document.querySelector('#lab') !== null");
    visit.chrome.eval(&format!(
        "location.hash = 'lab?{query}'; document.querySelector('#lab').scrollIntoView()"
    ));
    visit
        .chrome
        .until("document.querySelector('#lab-app .lab') !== null");
    Some(visit)
}

impl Visit {
    fn lab_phase(&mut self, phase: &str) {
        self.chrome.until(&format!(
            "document.querySelector('.lab-watch').dataset.phase === '{phase}'"
        ));
    }

    fn lab_iteration(&mut self) -> f64 {
        self.chrome
            .number("Number(document.querySelector('.lab-watch').dataset.iteration)")
    }

    fn lab_click(&mut self, selector: &str) {
        self.chrome.eval(&format!(
            "document.querySelector('#lab-app {selector}').click()"
        ));
    }

    fn lab_text(&mut self, selector: &str) -> String {
        self.chrome.text(&format!(
            "document.querySelector('#lab-app {selector}').textContent"
        ))
    }

    /// Sets a control as a reader does.
    fn lab_set(&mut self, selector: &str, value: &str) {
        self.chrome.eval(&format!(
            "(() => {{
                const it = document.querySelector('#lab-app {selector}');
                it.value = '{value}';
                for (const kind of ['input', 'change'])
                    it.dispatchEvent(new Event(kind, {{ bubbles: true }}));
            }})()"
        ));
    }
}

#[test]
fn the_laboratory_trains_the_easy_preset() {
    let Some(mut visit) = laboratory("v=1&preset=easy_correct", |_| {}) else {
        return;
    };
    visit.lab_click(".lab-play");
    for iteration in (500..=5_000).step_by(500) {
        visit.chrome.until(&format!(
            "Number(document.querySelector('.lab-watch').dataset.iteration) >= {iteration}"
        ));
    }
    visit.lab_phase("finished");
    let tv = visit
        .chrome
        .number("Number(document.querySelector('.lab-watch').dataset.tv)");
    eprintln!(
        "the easy preset: total variation {tv}, {} in training, {} iterations a second at the end",
        visit.lab_text(".lab-numbers dd:nth-of-type(7)"),
        visit.lab_text(".lab-speed"),
    );
    assert!(tv > 0.0 && tv <= 0.08, "{tv}");
    let canvas = "document.querySelector('#lab-app .lab-figure canvas')";
    visit.chrome.until(&painted(canvas));
    let lines = visit.chrome.number(
        "[...document.querySelectorAll('.lab-curves path')].filter(p => p.getAttribute('d').length > 200).length",
    );
    assert_eq!(lines, 3.0);
    visit.went_well();
}

/// JavaScript that presses the buttons that `selector` finds and gives the files that they save, by
/// name, as Base64. The page's policy lets nobody fetch what is saved, so it is caught as it is made.
fn saved_by(selector: &str) -> String {
    format!(
        "(async () => {{
            const files = {{}};
            const clicked = [];
            const blobs = new Map();
            const {{ click }} = HTMLAnchorElement.prototype;
            const {{ createObjectURL }} = URL;
            HTMLAnchorElement.prototype.click = function () {{ clicked.push(this); }};
            URL.createObjectURL = blob => {{
                const url = createObjectURL(blob);
                blobs.set(url, blob);
                return url;
            }};
            for (const button of document.querySelectorAll('{selector}'))
                button.click();
            HTMLAnchorElement.prototype.click = click;
            URL.createObjectURL = createObjectURL;
            for (const anchor of clicked) {{
                const [head, data] = anchor.href.split(',');
                const blob = blobs.get(anchor.href);
                if (blob) {{
                    let text = '';
                    for (const byte of new Uint8Array(await blob.arrayBuffer()))
                        text += String.fromCharCode(byte);
                    files[anchor.download] = btoa(text);
                }} else files[anchor.download] = head.endsWith('base64') ? data : btoa(data);
            }}
            return files;
        }})()"
    )
}

impl Visit {
    /// Presses each button that saves a file, and returns the files by name, as Base64.
    fn lab_files(&mut self) -> Value {
        self.chrome
            .eval(&saved_by(".lab-keep .lab-files:first-child button"))
    }

    /// Brings a file to the laboratory.
    fn lab_bring(&mut self, name: &str, base64: &str) {
        self.chrome.eval(&format!(
            "(() => {{
                const bytes = Uint8Array.from(atob('{base64}'), c => c.charCodeAt(0));
                const files = new DataTransfer();
                files.items.add(new File([bytes], '{name}'));
                const input = document.querySelector('#lab-file');
                input.files = files.files;
                input.dispatchEvent(new Event('change', {{ bubbles: true }}));
            }})()"
        ));
        self.chrome.until(&format!(
            "document.querySelector('.lab-keep .status').textContent.includes('{name}')"
        ));
    }
}

#[test]
fn a_run_survives_a_reload_and_its_files_the_way_out_and_in() {
    let query = "v=1&preset=hard_off_policy&batch=32&iterations=60";
    let Some(mut visit) = laboratory(query, |_| {}) else {
        return;
    };
    let address = format!("{}#lab?{query}", visit.site.url());
    visit.lab_click(".lab-forget");
    visit.lab_click(".lab-keep .lab-files button");
    assert!(visit.lab_text(".lab-keep .status").contains("press Train"));
    visit.lab_click(".lab-play");
    visit.lab_phase("finished");
    visit
        .chrome
        .until("localStorage.getItem('gflownet-tour.lab.1') !== null");

    // Every file can be taken away, and is what it says.
    visit
        .chrome
        .until(&painted("document.querySelector('.lab-figure canvas')"));
    let files = visit.lab_files();
    let bytes = |name: &str| {
        let text = files[name].as_str().unwrap_or_default();
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap_or_default()
    };
    let text = |name: &str| String::from_utf8(bytes(name)).unwrap_or_default();
    let weights = bytes("hard_off_policy-60.safetensors");
    let model = gflownet_tour::weights::parse("exported", &weights).expect("whole weights");
    assert_eq!(model.metadata["iteration"], "60");
    assert!(!bytes("hard_off_policy-60.onnx").is_empty());
    assert!(text("hard_off_policy-settings.json").contains("\"batch\": 32"));
    let curves = text("hard_off_policy-curves.csv");
    assert!(curves.lines().any(|row| row.starts_with("60,")), "{curves}");
    assert!(text("hard_off_policy.py").contains("BATCH = 32"));
    assert!(bytes("hard_off_policy.png").starts_with(b"\x89PNG"));
    for name in ["hard_off_policy.svg", "hard_off_policy-curves.svg"] {
        let text = text(name);
        let picture = roxmltree::Document::parse(&text).expect(name);
        let lines = picture
            .descendants()
            .filter(|node| node.has_tag_name("path"));
        assert!(lines.count() > 5, "{name}");
    }

    // A reload keeps the run, and it can go on where there is more to do.
    visit.chrome.open("about:blank");
    visit.chrome.open(&address);
    visit
        .chrome
        .until("document.querySelector('.lab-watch')?.dataset.iteration === '60'");

    // Other settings, then those of the file again, then its weights.
    visit.lab_set("#lab-batch", "64");
    let settings = files["hard_off_policy-settings.json"]
        .as_str()
        .unwrap_or_default();
    visit.lab_bring("mine.json", settings);
    let batch = "document.querySelector('#lab-batch').value";
    visit.chrome.until(&format!("{batch} === '32'"));
    let weights = files["hard_off_policy-60.safetensors"]
        .as_str()
        .unwrap_or_default();
    visit.lab_bring("mine.safetensors", weights);
    visit
        .chrome
        .until("document.querySelector('.lab-watch').dataset.iteration === '0'");
    visit.lab_click(".lab-step");
    visit
        .chrome
        .until("document.querySelector('.lab-watch').dataset.iteration === '1'");
    visit.lab_bring("half.safetensors", &weights[..weights.len() / 8 * 4]);
    assert!(
        visit
            .lab_text(".lab-keep .status")
            .contains("half.safetensors")
    );

    // Forgotten is forgotten.
    visit.lab_click(".lab-forget");
    visit.chrome.open("about:blank");
    visit.chrome.open(&address);
    visit
        .chrome
        .until("document.querySelector('.lab-watch')?.dataset.phase !== undefined");
    let iteration = "document.querySelector('.lab-watch').dataset.iteration ?? ''";
    assert_eq!(visit.chrome.text(iteration), "\u{2013}");
    visit.went_well();
}

#[test]
fn a_pinned_run_goes_on_beside_another() {
    let query = "v=1&preset=easy_correct&batch=32&iterations=2000";
    let Some(mut visit) = laboratory(query, |_| {}) else {
        return;
    };
    visit.lab_click(".lab-play");
    visit
        .chrome
        .until("Number(document.querySelector('.lab-watch').dataset.iteration) > 20");
    visit.lab_click(".lab-pin");
    // The bench is empty, the pinned run goes on, and its curve is there.
    let iteration = "document.querySelector('.lab-watch').dataset.iteration";
    assert_eq!(visit.chrome.text(iteration), "\u{2013}");
    let lines = "document.querySelectorAll('.lab-curves path.pin-a').length";
    assert_eq!(visit.chrome.number(lines), 3.0);
    visit.lab_set("#lab-batch", "16");
    visit.lab_click(".lab-play");
    visit.lab_phase("finished");
    visit
        .chrome
        .until("document.querySelector('.lab-pinned-A').textContent.includes('2,000 of 2,000')");
    assert_eq!(visit.lab_text(".lab-pinned-A .lab-differences"), "Batch 32");
    let workers = "window.workers.length";
    assert_eq!(visit.chrome.number(workers), 2.0);
    for width in [1280, 390] {
        visit.chrome.screen(width, 900, "light");
        let page = "document.documentElement.scrollWidth";
        assert!(visit.chrome.number(page) <= f64::from(width), "{width}");
    }
    // A second pin, the settings of the first, and both away.
    visit.lab_click(".lab-pin");
    assert_eq!(
        visit.lab_text(".lab-pinned-B .lab-differences"),
        "in nothing"
    );
    visit.lab_click(".lab-pinned-A .lab-row-buttons button:nth-child(2)");
    visit
        .chrome
        .until("document.querySelector('#lab-batch').value === '32'");
    for letter in ["A", "B"] {
        visit.lab_click(&format!(".lab-pinned-{letter} .lab-unpin"));
    }
    visit
        .chrome
        .until("document.querySelector('.lab-compare .lab-table').hidden");
    visit.went_well();
}

#[test]
fn a_full_storage_is_told_and_the_run_goes_on() {
    let Some(mut visit) = laboratory("v=1&preset=easy_correct&batch=32&iterations=40", |_| {})
    else {
        return;
    };
    visit.chrome.eval(
        "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }",
    );
    visit.lab_click(".lab-play");
    visit.lab_phase("finished");
    visit
        .chrome
        .until("document.querySelector('.lab-keep .status').textContent.includes('no room')");
    visit.went_well();
}

#[test]
fn the_laboratorys_controls_change_the_run() {
    let Some(mut visit) = laboratory("v=1&preset=easy_correct&batch=32", |_| {}) else {
        return;
    };
    assert_eq!(
        visit
            .chrome
            .text("document.querySelector('#lab-batch').value"),
        "32"
    );
    // One iteration, and one more.
    for iteration in ["1", "2"] {
        visit.lab_click(".lab-step");
        visit.chrome.until(&format!(
            "document.querySelector('.lab-watch').dataset.iteration === '{iteration}'"
        ));
        visit.lab_phase("paused");
    }
    visit
        .chrome
        .until(&painted("document.querySelector('.lab-figure canvas')"));

    // A value that cannot be says why and changes nothing.
    visit.lab_set("#lab-batch", "5");
    assert!(
        visit
            .lab_text("#lab-batch-why")
            .contains("Batch cannot be 5")
    );
    assert!(visit.chrome.text("location.hash").contains("batch=32"));

    // A speed limit holds, and a rate changes without a new run.
    visit.lab_set("#lab-limit", "10");
    visit.lab_click(".lab-play");
    visit.lab_phase("playing");
    visit.lab_set("#lab-lr", "0.0005");
    visit.chrome.until("location.hash.includes('lr=0.0005')");
    visit
        .chrome
        .until("Number(document.querySelector('.lab-watch').dataset.iteration) > 4");
    visit.lab_click(".lab-play");
    visit.lab_phase("paused");
    let paused = visit.lab_iteration();
    assert!(paused > 4.0 && paused < 1_000.0, "{paused}");
    assert!(visit.lab_text(".lab-status .status").contains("Paused"));

    // The temperature of the samples is seen at once, also in a pause.
    let histogram = "document.querySelector('.lab-figure canvas').ariaLabel";
    let before = visit.chrome.text(histogram);
    visit.lab_set("#lab-temperature", "0.2");
    visit
        .chrome
        .until(&format!("{histogram} !== {}", serde_json::json!(before)));

    // The flow is computed when it is opened.
    visit.lab_click(".lab-flow summary");
    visit
        .chrome
        .until(&painted("document.querySelector('.lab-flow canvas')"));

    // The target by keyboard and by table; it is another run's then.
    visit
        .chrome
        .eval("document.querySelectorAll('.lab-handle:not(.width)')[1].focus()");
    visit.chrome.press("ArrowRight");
    visit.chrome.until("location.hash.includes('1.1,')");
    visit.lab_click(".lab-add");
    visit
        .chrome
        .until("document.querySelectorAll('.lab-modes tbody tr').length === 3");
    visit.lab_set(".lab-modes tbody tr:last-child input", "3,5");
    visit.lab_set(".lab-modes tbody tr:last-child input", "3.5");
    visit.chrome.until("location.hash.includes('3.5,')");
    visit.lab_click(".lab-modes tbody tr .lab-remove");
    visit
        .chrome
        .until("document.querySelectorAll('.lab-modes tbody tr').length === 2");
    assert!(
        visit
            .lab_text(".lab-status .status")
            .contains("another run")
    );
    visit.lab_set("#lab-limit", "");
    visit.lab_click(".lab-reset");
    visit
        .chrome
        .until("document.querySelector('.lab-watch').dataset.iteration === '0'");

    // What reverse KL cannot do is said before it is tried.
    visit.lab_set("#lab-noise", "constant");
    visit.lab_set("#lab-objective", "reverse_kl");
    assert!(visit.lab_text(".lab-status .status").contains("reverse KL"));
    assert_eq!(
        visit
            .chrome
            .eval("document.querySelector('.lab-play').disabled"),
        Value::Bool(true)
    );

    // A preset is a link.
    visit.lab_click(".lab-presets a[href$=four_mode]");
    visit
        .chrome
        .until("document.querySelectorAll('.lab-modes tbody tr').length === 4");
    visit.went_well();
}

#[test]
fn a_trainer_that_dies_goes_on_from_its_last_good_weights() {
    let Some(mut visit) = laboratory("v=1&preset=easy_correct&batch=16", |_| {}) else {
        return;
    };
    visit.lab_click(".lab-play");
    visit
        .chrome
        .until("Number(document.querySelector('.lab-watch').dataset.iteration) > 50");
    visit.chrome.eval(
        "(() => {
            const worker = window.workers.at(-1);
            worker.terminate();
            worker.dispatchEvent(new ErrorEvent('error', { message: 'it was killed' }));
        })()",
    );
    visit.chrome.until(
        "document.querySelector('.lab-status .status').textContent.includes('it was killed')",
    );
    assert!(visit.lab_text(".lab-status .status").contains("are kept"));
    let before = visit.lab_iteration();
    visit.lab_click(".lab-go-on");
    visit.lab_phase("playing");
    visit.chrome.until(&format!(
        "Number(document.querySelector('.lab-watch').dataset.iteration) > {before}"
    ));
    visit.lab_click(".lab-play");
    visit.lab_phase("paused");
    visit.went_well();
}

#[test]
fn a_training_that_diverges_says_so_and_keeps_its_weights() {
    let Some(mut visit) = laboratory(
        "v=1&preset=easy_correct&batch=16&lr=1&lr_z=1&beta2=0.5",
        |_| {},
    ) else {
        return;
    };
    visit.lab_click(".lab-play");
    visit.lab_phase("diverged");
    let status = visit.lab_text(".lab-status .status");
    assert!(status.contains("diverged at iteration") && status.contains("Lower the learning rate"));
    visit.lab_set("#lab-lr", "0.001");
    visit.lab_set("#lab-lr_z", "0.1");
    visit.lab_click(".lab-play");
    visit
        .chrome
        .until("Number(document.querySelector('.lab-watch').dataset.iteration) > 100");
    visit.went_well();
}

#[test]
fn a_hand_edited_link_is_clamped_and_it_is_said() {
    let Some(mut visit) = laboratory("v=1&batch=1e9&steps=99&modes=zero&colour=red", |_| {}) else {
        return;
    };
    let notes = visit.lab_text(".lab-notes");
    for part in [
        "Batch cannot be",
        "Steps cannot be 99",
        "`modes` was left out",
        "`colour`",
    ] {
        assert!(notes.contains(part), "{notes}");
    }
    assert_eq!(
        visit
            .chrome
            .text("document.querySelector('#lab-batch').value"),
        "4096"
    );
    visit.went_well();
}

#[test]
fn a_laboratory_that_cannot_be_loaded_says_why_and_the_page_goes_on() {
    let Some(mut visit) = visit(Gpu::Denied, |site| site.hide("lab_bg.wasm")) else {
        return;
    };
    visit
        .chrome
        .eval("document.querySelector('#lab').scrollIntoView()");
    visit
        .chrome
        .until("!document.querySelector('.lab-retry').parentElement.hidden");
    let words = visit
        .chrome
        .text("document.querySelector('.lab-retry').parentElement.textContent");
    assert!(words.contains("could not be loaded"), "{words}");
    visit.shows("easy_correct", "model", "table");
    visit.lacked("lab_bg.wasm");
}
