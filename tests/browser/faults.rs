//! Faults that a reader can meet, one after the other: FAULTS.md has the table. In each the text
//! can be read on, the CPU takes over where it can, and the status says what happened.

use crate::chrome::{Chrome, Gpu};
use crate::site::Site;
use crate::{
    CONDITIONAL, LOSABLE, STRIKE, demo, falls_back_to_the_cpu, in_the_worker, laboratory, study,
    visit, without_storage,
};
use gflownet_tour::experiment::{self, EXPERIMENTS};
use gflownet_tour::message::BUILD;
use serde_json::Value;
use std::env;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The page's text can be read: its headings are there and long paragraphs below them.
fn reads_on(chrome: &mut Chrome) {
    chrome.until("document.querySelectorAll('h2').length > 5");
    let text = "[...document.querySelectorAll('main p')].filter(it => it.checkVisibility())
        .map(it => it.textContent.trim()).join('').length";
    assert!(chrome.number(text) > 10_000.0);
}

#[test]
fn without_webgpu_the_cpu_runs() {
    falls_back_to_the_cpu(
        "delete Object.getPrototypeOf(navigator).gpu;
         if (navigator.gpu) throw new Error('it is still there');",
        "GPU",
    );
}

#[test]
fn an_adapter_without_a_device_is_not_used() {
    falls_back_to_the_cpu(
        "GPUAdapter.prototype.requestDevice = async () => {
             throw new DOMException('no device today', 'OperationError');
         };",
        "no device today",
    );
}

#[test]
fn a_device_that_is_lost_at_once_is_not_used() {
    falls_back_to_the_cpu(
        "const ask = GPUAdapter.prototype.requestDevice;
         GPUAdapter.prototype.requestDevice = async function (it) {
             const device = await ask.call(this, it);
             device.destroy();
             return device;
         };",
        "lost",
    );
}

/// As often as it happens: a page that is loaded again has a GPU again.
#[test]
fn a_gpu_that_is_lost_again_and_again_leaves_the_cpu() {
    let Some(mut visit) = visit(Gpu::Allowed, |site| in_the_worker(site, LOSABLE)) else {
        return;
    };
    let name = "easy_correct";
    for time in 0..2 {
        if time > 0 {
            visit.chrome.open(&visit.site.url());
        }
        visit.engine_is("webgpu");
        visit.shows(name, "model", "webgpu");
        // In the middle of a large batch, and once more when there is nothing left to lose.
        visit.chrome.eval(&format!(
            "(() => {{
                const it = {}.querySelector('select.count');
                it.value = '100000';
                it.dispatchEvent(new Event('change', {{ bubbles: true }}));
                for (const ms of [200, 400]) setTimeout(() => {STRIKE}, ms);
            }})()",
            demo(name)
        ));
        visit.shows(name, "model", "table");
        visit.engine_is("cpu");
        visit
            .chrome
            .until(&format!("{}.dataset.sampled === '100000'", demo(name)));
        let status = visit.status(name);
        assert!(
            status.contains("CPU") && status.contains("lost"),
            "{status}"
        );
        let webgpu = format!(
            "{}.querySelector('option[value=webgpu]').disabled",
            demo(name)
        );
        assert_eq!(visit.chrome.eval(&webgpu), true);
        visit.act(name, "button.resample", "it.click()");
        assert_eq!(visit.data(name, "device"), "table");
    }
}

/// The GPU is tried for a training when the CPU has begun it, and here lost when it gets its kernel.
#[test]
fn a_gpu_that_is_lost_in_a_training_leaves_it_to_the_cpu() {
    let Some(mut visit) = visit(Gpu::Allowed, |site| {
        in_the_worker(
            site,
            "const make = GPUDevice.prototype.createShaderModule;
             GPUDevice.prototype.createShaderModule = function (it) {
                 if (it.code.includes('fn walk_kernel')) this.destroy();
                 return make.call(this, it);
             };",
        );
    }) else {
        return;
    };
    // So large that the CPU is not done when the GPU is ready.
    visit
        .chrome
        .until("document.querySelector('#lab') !== null");
    visit.chrome.eval(
        "location.hash = 'lab?v=1&preset=easy_correct&batch=512&iterations=100000';
         document.querySelector('#lab').scrollIntoView()",
    );
    visit
        .chrome
        .until("document.querySelector('#lab-app .lab') !== null");
    visit.lab_click(".lab-play");
    let why = "document.querySelector('#lab-app .lab-numbers dd[title*=lost]')";
    let deadline = Instant::now() + Duration::from_secs(180);
    while visit.chrome.eval(&format!("{why} !== null")) != true {
        let titles = "[...document.querySelectorAll('.lab-numbers dd')].map(it => it.title).join()";
        let told = visit.chrome.text(titles);
        assert!(Instant::now() < deadline, "no word of the lost GPU: {told}");
        sleep(Duration::from_millis(200));
    }
    let runner = visit.chrome.text(&format!("{why}.textContent"));
    assert!(runner.contains("CPU"), "{runner}");
    let before = visit.lab_iteration();
    visit.chrome.until(&format!(
        "Number(document.querySelector('.lab-watch').dataset.iteration) > {before}"
    ));
    visit.lab_click(".lab-play");
    visit.lab_phase("paused");
    reads_on(&mut visit.chrome);
}

/// An error in the worker that nobody catches, whenever it is told to have one.
const MORTAL: &str = "new BroadcastChannel('fault').onmessage = () => {
    throw new Error('it was killed');
};";

#[test]
fn a_worker_that_dies_is_started_again_until_it_is_given_up() {
    let Some(mut visit) = visit(Gpu::Denied, |site| in_the_worker(site, MORTAL)) else {
        return;
    };
    let name = "easy_correct";
    let said = |words: &str| {
        format!(
            "{}.querySelector('.status').textContent.includes('{words}')",
            demo(name)
        )
    };
    visit.shows(name, "model", "table");
    for death in 0..2 {
        let before = visit.data(name, "batch");
        visit.chrome.eval(STRIKE);
        visit.chrome.until(&said("was started again"));
        let status = visit.status(name);
        assert!(status.contains("it was killed"), "{death}: {status}");
        visit.shows(name, "model", "table");
        visit.act(name, "button.resample", "it.click()");
        assert_ne!(visit.data(name, "batch"), before);
    }
    visit.chrome.eval(STRIKE);
    visit.chrome.until(&said("engine is gone"));
    assert!(visit.status(name).contains("reload the page"));
    visit.engine_is("gone");
    // Its last picture stays, and controls do no harm.
    assert!(visit.is_painted(name));
    let slider = format!("{}.querySelector('input.temperature')", demo(name));
    visit.chrome.eval(&format!("{slider}.focus()"));
    visit.chrome.press("ArrowRight");
    reads_on(&mut visit.chrome);
    visit.lacked("it was killed");
}

/// A worker that says nothing for a minute; here minutes are short.
#[test]
fn a_worker_that_hangs_is_started_again() {
    let Some(mut visit) = visit(Gpu::Denied, |site| {
        in_the_worker(
            site,
            "new BroadcastChannel('fault').onmessage = () => {
                 new BroadcastChannel('struck').postMessage(0);
                 for (;;);
             };",
        );
    }) else {
        return;
    };
    visit.chrome.before_pages(
        "{ const every = window.setInterval;
           window.setInterval = (act, ms, ...rest) => every(act, ms / 3, ...rest); }",
    );
    visit.chrome.open(&visit.site.url());
    let name = "easy_correct";
    visit.shows(name, "model", "table");
    // Once it hangs: what it is asked for before, it would answer.
    visit.chrome.eval(&format!(
        "new Promise(hangs => {{
            new BroadcastChannel('struck').onmessage = () => hangs(true);
            {STRIKE}
        }})"
    ));
    let batch = visit.data(name, "batch");
    visit.chrome.eval(&format!(
        "{}.querySelector('button.resample').click()",
        demo(name)
    ));
    visit.chrome.until(&format!(
        "{}.querySelector('.status').textContent.includes('no answer for a minute')",
        demo(name)
    ));
    visit
        .chrome
        .until(&format!("{}.dataset.batch !== '{batch}'", demo(name)));
    visit.shows(name, "model", "table");
    visit.went_well();
}

/// A change of the files that the server has.
type Spoil = fn(&Site);

/// Without an engine that runs, the text and the article's pictures stay, and every part says why.
#[test]
fn an_engine_that_cannot_be_had_is_told() {
    let faults: [(&str, &str, Spoil); 5] = [
        ("its script missing", "engine", |site| {
            site.hide("worker.js")
        }),
        ("its bindings missing", "engine", |site| {
            site.hide("engine.js")
        }),
        ("its code missing", "engine", |site| {
            site.hide("engine_bg.wasm")
        }),
        ("its code cut short", "engine", |site| {
            site.edit("engine_bg.wasm", |mut code| {
                code.truncate(code.len() / 2);
                code
            });
        }),
        ("of another build", "another build", |site| {
            site.edit("engine_bg.wasm", |code| {
                let build = BUILD.as_bytes();
                let other = [b'0'; 16];
                let place = code.windows(16).position(|bytes| bytes == build);
                let place = place.expect("the page was built from the sources of these tests");
                [&code[..place], &other, &code[place + 16..]].concat()
            });
        }),
    ];
    for (fault, reason, spoil) in faults {
        let Some(mut visit) = visit(Gpu::Denied, spoil) else {
            return;
        };
        visit.engine_is("gone");
        reads_on(&mut visit.chrome);
        for experiment in &EXPERIMENTS[..2] {
            visit.scroll_to(experiment.name);
            let status = visit.status(experiment.name);
            assert!(
                status.contains("does not run") && status.contains("when the page was built"),
                "{fault}: {status}"
            );
            if reason == "another build" {
                assert!(
                    status.contains("two versions") && status.contains(BUILD),
                    "{status}"
                );
            }
            let picture = "querySelector('.still:not([hidden]) svg path.walk')";
            let picture = format!("{}.{picture} !== null", demo(experiment.name));
            assert_eq!(
                visit.chrome.eval(&picture),
                Value::Bool(true),
                "{fault}: no picture"
            );
        }
        let algebra = study("algebra");
        visit
            .chrome
            .eval(&format!("{algebra}.querySelector('summary').click()"));
        visit.chrome.until(&format!(
            "{algebra}.querySelector('.status').textContent.includes('engine does not run')"
        ));
        let hidden = format!("{algebra}.querySelector('.study-body').hidden");
        assert_eq!(visit.chrome.eval(&hidden), true, "{fault}");
        visit.scroll_to_conditional();
        visit
            .chrome
            .until(&format!("{CONDITIONAL}.dataset.state === 'failed'"));
        visit.lacked("engine");
    }
}

/// What the page reads of the trainings, missing or not to be read: the demos run without it.
#[test]
fn without_the_trainings_their_part_stands_still_and_says_so() {
    type Spoil = fn(&Site);
    let faults: [(&str, Spoil); 3] = [
        ("could not be fetched", |site| site.hide("trainings.json")),
        ("trainings.json is not a manifest", |site| {
            site.edit("trainings.json", |mut text| {
                text.truncate(text.len() / 2);
                text
            });
        }),
        ("format 99", |site| {
            site.edit("trainings.json", |_| {
                br#"{"format": 99, "models": []}"#.to_vec()
            });
        }),
    ];
    for (reason, spoil) in faults {
        let Some(mut visit) = visit(Gpu::Denied, spoil) else {
            return;
        };
        let it = "document.querySelector('[data-island=history]')";
        visit.chrome.until(&format!("{it}.dataset.live === 'no'"));
        let words = visit
            .chrome
            .text(&format!("{it}.querySelector('.notice').textContent"));
        assert!(
            words.contains("stands still") && words.contains(reason),
            "{words}"
        );
        let rows = format!("{it}.querySelectorAll('tbody tr').length");
        assert!(visit.chrome.number(&rows) >= 5.0, "{reason}");
        visit.shows("easy_correct", "model", "table");
        reads_on(&mut visit.chrome);
        if reason == "could not be fetched" {
            visit.lacked("trainings");
        } else {
            visit.went_well();
        }
    }
}

/// The laboratory's worker is the same file.
#[test]
fn a_laboratory_without_an_engine_says_so() {
    let Some(mut visit) = laboratory("v=1&preset=easy_correct", |site| {
        site.hide("engine_bg.wasm");
    }) else {
        return;
    };
    visit.lab_click(".lab-play");
    visit.chrome.until(
        "document.querySelector('.lab-status .status').textContent.includes('trainer stopped')",
    );
    reads_on(&mut visit.chrome);
    visit.lacked("engine");
}

#[test]
fn a_laboratory_of_half_a_file_says_why_and_the_page_goes_on() {
    let Some(mut visit) = visit(Gpu::Denied, |site| {
        site.edit("lab_bg.wasm", |mut code| {
            code.truncate(code.len() / 2);
            code
        });
    }) else {
        return;
    };
    visit
        .chrome
        .eval("document.querySelector('#lab').scrollIntoView()");
    visit
        .chrome
        .until("!document.querySelector('.lab-retry').parentElement.hidden");
    visit.shows("easy_correct", "model", "table");
    visit.lacked("lab");
}

/// Every file of weights with one fault: what is wrong is said where the model is missed.
fn weights_with(fault: &str, reason: &str, spoil: fn(Vec<u8>) -> Option<Vec<u8>>) {
    let names: Vec<&str> = experiment::all()
        .map(|experiment| experiment.name)
        .collect();
    let Some(mut visit) = visit(Gpu::Denied, |site| {
        for name in names.iter().chain(&["tempered"]) {
            // The whole, which a reader asks for, and what samples, which comes first.
            let whole = format!("pretrained/{name}.safetensors");
            let part = format!("pretrained/forward/{name}.safetensors");
            let part = (*name != "tempered").then_some(part);
            for file in [Some(whole), part].into_iter().flatten() {
                let mut is_gone = false;
                site.edit(&file, |bytes| {
                    spoil(bytes).unwrap_or_else(|| {
                        is_gone = true;
                        Vec::new()
                    })
                });
                if is_gone {
                    site.hide(&file);
                }
            }
        }
    }) else {
        return;
    };
    for name in EXPERIMENTS
        .iter()
        .map(|e| e.name)
        .chain(["four_mode_solved"])
    {
        visit.shows(name, "placeholder", "table");
        visit.chrome.until(&format!(
            "{}.querySelector('.status').textContent.includes('{name}.safetensors')",
            demo(name)
        ));
        let status = visit.status(name);
        assert!(
            status.contains(reason) && status.contains("placeholder"),
            "{fault}, {name}: {status}"
        );
        assert!(visit.is_painted(name), "{fault}, {name}");
    }
    // What asks for weights by itself.
    let algebra = study("algebra");
    visit
        .chrome
        .eval(&format!("{algebra}.querySelector('summary').click()"));
    for model in ["easy_buggy", "easy_dropped"] {
        visit.chrome.eval(&format!(
            "{algebra}.querySelector('input[value={model}]').click()"
        ));
        visit.chrome.until(&format!(
            "{algebra}.dataset.state === 'failed' &&
                {algebra}.querySelector('.status').textContent.includes('{model}.safetensors')"
        ));
        let status = visit.study_text("algebra", ".status");
        assert!(status.contains(reason), "{fault}, {model}: {status}");
    }
    visit.scroll_to_conditional();
    visit
        .chrome
        .until(&format!("{CONDITIONAL}.dataset.state === 'failed'"));
    let status = format!("{CONDITIONAL}.querySelector('.status').textContent");
    let status = visit.chrome.text(&status);
    assert!(
        status.contains("tempered.safetensors") && status.contains(reason),
        "{fault}: {status}"
    );
    reads_on(&mut visit.chrome);
    visit.lacked("safetensors");
}

#[test]
fn weights_that_are_missing_are_told() {
    weights_with("missing", "not found", |_| None);
}

#[test]
fn weights_that_are_cut_short_are_told() {
    weights_with("cut short", "cut short", |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        Some(bytes)
    });
}

/// The lowest bit of a weight: still a sound file, and another one.
#[test]
fn weights_with_a_flipped_bit_are_told() {
    weights_with("a flipped bit", "SHA-256", |mut bytes| {
        let end = bytes.len();
        bytes[end - 4] ^= 1;
        Some(bytes)
    });
}

#[test]
fn weights_with_a_number_that_is_none_are_told() {
    weights_with("NaN", "NaN", |mut bytes| {
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        Some(bytes)
    });
}

/// The biases of a second layer as a column.
#[test]
fn weights_of_another_shape_are_told() {
    weights_with("another shape", "shape", |bytes| {
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let text = String::from_utf8(bytes[8..header].to_vec()).unwrap();
        let text = text.replace("\"shape\":[64]", "\"shape\":[64,1]");
        let mut spoiled = (text.len() as u64).to_le_bytes().to_vec();
        spoiled.extend(text.as_bytes());
        spoiled.extend(&bytes[header..]);
        Some(spoiled)
    });
}

#[test]
fn a_laboratory_without_storage_trains_and_says_so() {
    let query = "v=1&preset=easy_correct&batch=32&iterations=40";
    let Some(mut visit) = laboratory(query, without_storage) else {
        return;
    };
    visit.lab_click(".lab-play");
    visit.lab_phase("finished");
    visit
        .chrome
        .until("document.querySelector('.lab-keep .status').textContent !== ''");
    visit.shows("easy_correct", "model", "table");
    visit.went_well();
}

/// A tab that nobody looks at is frozen: by default for some seconds, for the seconds that
/// GFLOWNET_TOUR_HIDDEN names if there are any.
#[test]
fn a_tab_that_was_hidden_goes_on() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let seconds = env::var("GFLOWNET_TOUR_HIDDEN").ok();
    let seconds = seconds.map_or(8, |text| text.parse().expect("seconds, a whole number"));
    let name = "easy_correct";
    visit.shows(name, "model", "table");
    // With a batch on its way.
    visit.chrome.eval(&format!(
        "(() => {{
            const it = {}.querySelector('select.count');
            it.value = '1000000';
            it.dispatchEvent(new Event('change', {{ bubbles: true }}));
        }})()",
        demo(name)
    ));
    visit.chrome.freeze(true);
    sleep(Duration::from_secs(seconds));
    visit.chrome.freeze(false);
    visit
        .chrome
        .until(&format!("{}.dataset.sampled === '1000000'", demo(name)));
    visit.set(name, "select.count", "2000");
    let before = visit.data(name, "histogram");
    visit.set(name, "input.temperature", "0.4");
    assert_ne!(visit.data(name, "histogram"), before);
    let status = visit.status(name);
    assert!(!status.contains("again"), "{status}");
    visit.went_well();
}

#[test]
fn a_page_without_its_program_says_so_and_can_be_read() {
    let half = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    for fault in ["missing", "cut short"] {
        let prepare = |site: &Site| match fault {
            "missing" => site.hide("page_bg.wasm"),
            _ => site.edit("page_bg.wasm", half),
        };
        let Some(mut visit) = visit(Gpu::Denied, prepare) else {
            return;
        };
        let said = "document.getElementById('still')";
        visit.chrome.until(&format!("{said}.checkVisibility()"));
        let why = visit.chrome.text(&format!("{said}.dataset.failed"));
        assert!(!why.is_empty(), "{fault}");
        reads_on(&mut visit.chrome);
        for experiment in &EXPERIMENTS {
            let demo = format!("document.querySelector('[data-model={}]')", experiment.name);
            let picture = format!("{demo}.querySelector('svg path.walk') !== null");
            assert_eq!(visit.chrome.eval(&picture), Value::Bool(true), "{fault}");
            let status = format!("{demo}.querySelector('.status').checkVisibility()");
            assert_eq!(visit.chrome.eval(&status), Value::Bool(false), "{fault}");
        }
    }
}
