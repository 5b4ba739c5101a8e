//! A restless reader: minutes of random dragging, pressing, opening and scrolling, with no error on
//! the console and memory that stays where it was.
//!
//! The long run is `cargo test ... --test browser soak::a_long_one -- --ignored`, its length in
//! seconds from `GFLOWNET_TOUR_SOAK` (600). A run ends with its figures.

use crate::chrome::{Chrome, Gpu, Memory};
use crate::{Visit, visit_with};
use std::env;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a reader does: one of these at a time, drawn at random.
const READER: &str = "
window.reader = (() => {
    let state = 20260101;
    const random = () => {
        // Mulberry32.
        state = (state + 0x6d2b79f5) | 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const one = list => list[Math.floor(random() * list.length)];
    const all = selector => [...document.querySelectorAll(selector)].filter(it => !it.disabled);
    const tell = (it, ...kinds) => {
        for (const kind of kinds) it.dispatchEvent(new Event(kind, { bubbles: true }));
    };
    const pause = ms => new Promise(done => setTimeout(done, ms));
    const drag = async it => {
        const [min, max] = [Number(it.min), Number(it.max)];
        let at = Number(it.value);
        const to = min + random() * (max - min);
        for (let i = 1; i <= 12; i++) {
            it.value = at + (to - at) * i / 12;
            tell(it, 'input');
            await pause(16);
        }
        tell(it, 'change');
    };
    const choose = it => {
        // A million trajectories are for those who wait.
        const options = [...it.options].filter(o => !o.disabled && o.value !== '1000000');
        it.value = one(options).value;
        tell(it, 'input', 'change');
    };
    const hover = async it => {
        const place = it.getBoundingClientRect();
        for (let i = 0; i < 6; i++) {
            it.dispatchEvent(new PointerEvent('pointermove', { bubbles: true,
                clientX: place.left + random() * place.width,
                clientY: place.top + random() * place.height }));
            await pause(16);
        }
    };
    const acts = {
        drag: () => drag(one(all('input[type=range]'))),
        choose: () => choose(one(all('.demo select, details.study[open] select'))),
        resample: () => one(all('button.resample, button.play')).click(),
        radio: () => one(all('input[type=radio]')).click(),
        part: () => one(all('details > summary')).click(),
        scroll: () => window.scrollTo(0, random() * document.documentElement.scrollHeight),
        hover: () => hover(one(all('canvas, .curves'))),
    };
    const often = ['drag', 'drag', 'drag', 'drag', 'choose', 'resample', 'radio', 'part', 'scroll',
        'scroll', 'hover'];
    // Everything once, so that what comes later is nothing new: files are there, tables are made.
    const everything = async () => {
        for (const it of all('details > summary')) {
            it.scrollIntoView({ block: 'center' });
            it.click();
            await pause(300);
        }
        for (const it of all('select')) {
            it.scrollIntoView({ block: 'center' });
            const before = it.value;
            for (const option of it.options) {
                if (option.disabled || option.value === '1000000') continue;
                it.value = option.value;
                tell(it, 'input', 'change');
                await pause(150);
            }
            it.value = before;
            tell(it, 'input', 'change');
        }
        for (const it of all('input[type=radio]')) {
            it.click();
            await pause(100);
        }
        for (const it of all('input[type=range]')) {
            it.scrollIntoView({ block: 'center' });
            await drag(it);
        }
        // The laboratory is fetched by those who come to it.
        document.querySelector('#lab').scrollIntoView();
        while (!document.querySelector('#lab-app .lab')) await pause(100);
        return true;
    };
    const reader = async ms => {
        const end = performance.now() + ms;
        let count = 0;
        while (performance.now() < end) {
            await acts[one(often)]();
            await pause(30);
            count++;
        }
        return count;
    };
    return Object.assign(reader, { everything });
})()";

/// How much more memory may be held at the end than after the warm-up.
const GROWTH: f64 = 0.10;

/// The page on the CPU, in a browser that counts memory, after `before` ran.
fn counted(before: &str) -> Option<Visit> {
    let mut visit = visit_with(Gpu::Denied, |_, chrome| {
        chrome.count_memory();
        chrome.before_pages(before);
    })?;
    visit.engine_is("cpu");
    for experiment in &gflownet_tour::experiment::EXPERIMENTS {
        visit.shows(experiment.name, "model", "table");
    }
    Some(visit)
}

/// Let the reader do what they like for so long; returns how much they did.
fn read(chrome: &mut Chrome, length: Duration, round: &mut u32) -> u32 {
    let end = Instant::now() + length;
    let mut acts = 0;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        *round += 1;
        // The window's size and scheme are not the page's to change.
        let width = [1280, 390, 900][*round as usize % 3];
        let scheme = ["light", "dark"][*round as usize / 2 % 2];
        chrome.screen(width, 900, scheme);
        let ms = left.as_millis().clamp(100, 5_000);
        acts += chrome.number(&format!("reader({ms})")) as u32;
    }
    acts
}

/// What the page holds with the same in view each time: sections out of view hold less. Before, all is
/// drawn anew at another size: until then the browser keeps pictures of how far a reader came to see, 4 to
/// 156 MB of them in shared memory. Once leaves some of them.
fn held(chrome: &mut Chrome) -> Memory {
    for (width, scheme) in [(390, "dark"), (1280, "light")].repeat(2) {
        chrome.screen(width, 900, scheme);
        chrome.eval(
            "scrollTo({ top: 0, behavior: 'instant' });
             new Promise(done => setTimeout(done, 1000))",
        );
    }
    chrome.memory()
}

/// Warm up, then soak for `length`, each with its figures.
fn soak(warm_up: Duration, length: Duration) {
    let Some(mut visit) = counted("") else { return };
    visit.chrome.eval(READER);
    visit
        .chrome
        .eval("void (window.all = false, reader.everything().then(() => window.all = true))");
    let deadline = Instant::now() + Duration::from_secs(600);
    while visit.chrome.eval("window.all") != true {
        assert!(Instant::now() < deadline, "not all was seen in ten minutes");
        sleep(Duration::from_millis(200));
    }
    let mut round = 0;
    let mut acts = read(&mut visit.chrome, warm_up, &mut round);
    let before = held(&mut visit.chrome);
    let tell = |what: &str, acts: u32, memory: Memory| {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        eprintln!(
            "soak: {what}, {acts} acts: scripts {:.2} MB, WASM {:.2} MB, resident {:.0} MB",
            megabytes(memory.scripts),
            megabytes(memory.wasm),
            megabytes(memory.resident)
        );
    };
    tell("warm", acts, before);
    let begin = Instant::now();
    // In parts, so that a leak can be told from a step.
    let part = length / 5;
    while begin.elapsed() < length {
        acts += read(&mut visit.chrome, part, &mut round);
        let memory = held(&mut visit.chrome);
        tell(&format!("{:.0?}", begin.elapsed()), acts, memory);
    }
    let after = held(&mut visit.chrome);
    tell("end", acts, after);
    visit.went_well();
    let scripted = |memory: Memory| (memory.scripts + memory.wasm) as f64;
    assert!(
        scripted(after) <= (1.0 + GROWTH) * scripted(before),
        "{before:?} became {after:?}"
    );
    assert!(
        after.resident as f64 <= (1.0 + GROWTH) * before.resident as f64,
        "{before:?} became {after:?}"
    );
    // The page still does what it should.
    let name = "easy_correct";
    visit.scroll_to(name);
    visit.act(name, "button.resample", "it.click()");
    visit.went_well();
}

#[test]
fn a_short_one() {
    soak(Duration::from_secs(10), Duration::from_secs(20));
}

#[test]
#[ignore = "takes ten minutes"]
fn a_long_one() {
    let length = env::var("GFLOWNET_TOUR_SOAK").ok();
    let length = length.map_or(600, |text| text.parse().expect("seconds, a whole number"));
    soak(Duration::from_secs(120), Duration::from_secs(length));
}

/// Each wait for another thread once left its timer's promise, which a long soak tells, but no short one.
#[test]
fn a_batch_leaves_nothing_behind() {
    // Two threads, also where there is one core.
    let two = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 2 })";
    let Some(mut visit) = counted(two) else {
        return;
    };
    let demo = crate::demo("easy_correct");
    visit.scroll_to("easy_correct");
    // Such batches are shared between threads.
    visit.set("easy_correct", "select.device", "cpu");
    visit.set("easy_correct", "select.count", "10000");
    // A frame shows at most one batch.
    let mut draw = |batches: usize| {
        visit.chrome.eval(&format!(
            "(async () => {{
                const demo = {demo};
                for (let i = 0; i < {batches}; i++) {{
                    const before = demo.dataset.batch;
                    demo.querySelector('button.resample').click();
                    while (demo.dataset.batch === before)
                        await new Promise(requestAnimationFrame);
                }}
            }})()"
        ));
        visit.chrome.memory()
    };
    // Once, for what is kept; then twice as often, for what should not be.
    let before = draw(300);
    let after = draw(600);
    let readout = visit
        .chrome
        .text(&format!("{demo}.querySelector('.readout').textContent"));
    assert!(readout.contains("2\u{a0}threads"), "{readout}");
    let growth = after.scripts as i64 - before.scripts as i64;
    eprintln!("soak: 600 batches left {growth} bytes");
    // Four hundred bytes of each were left once.
    assert!(growth < 100_000, "{before:?} became {after:?}");
}
