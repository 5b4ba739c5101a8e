//! The article without scripts, and what becomes of it with them.

use super::chrome::{Chrome, Gpu};
use super::site::Site;
use super::{visit, visit_with};
use gflownet_tour::experiment::{EXPERIMENTS, Experiment};
use gflownet_tour::widgets::island::{Island, OTHERS};
use gflownet_tour_release::FORWARD;
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// JavaScript that says of which islands, by name, something is not so.
fn islands_without(condition: &str) -> String {
    format!(
        "[...document.querySelectorAll('[data-island]')]
            .filter(it => !({condition})).map(it => it.dataset.island).join(' ')"
    )
}

/// The islands' names and models, in the order of the page.
const NAMES: &str = "[...document.querySelectorAll('[data-island]')]
    .map(it => it.dataset.island + ' ' + (it.dataset.model ?? '')).join('\\n')";

#[test]
fn everything_can_be_read_without_scripts() {
    let Some(dist) = super::dist() else { return };
    let site = Site::serve(&dist);
    let mut chrome = Chrome::launch(Gpu::Denied);
    for (width, scheme) in [(1280, "light"), (390, "dark")] {
        chrome.screen(width, 900, scheme);
        chrome.scripts(false);
        chrome.open(&site.url());
        assert_eq!(
            chrome.number("document.querySelectorAll('[data-live]').length"),
            0.0
        );
        assert_eq!(
            chrome.number("document.querySelectorAll('main > section').length"),
            10.0
        );
        let thin = chrome.text(
            "[...document.querySelectorAll('main > section')]
                .filter(it => it.textContent.length < 200 && it.id !== 'lab')
                .map(it => it.id).join(' ')",
        );
        assert_eq!(thin, "", "sections without a text");
        // Every link within the page leads somewhere.
        let lost = chrome.text(
            "[...document.querySelectorAll('a[href^=\"#\"]')].map(it => it.hash.slice(1).split('?')[0])
                .filter(id => document.getElementById(id) === null).join(' ')",
        );
        assert_eq!(lost, "");
        // A figure has a picture that says what it shows; what is opened or loaded has words.
        let pictured = "!it.querySelector('figure')
            || [...it.querySelectorAll('svg path')].filter(p => p.getAttribute('d')).length > 4
            && it.querySelector('figure [role=img]').ariaLabel.length > 40";
        assert_eq!(chrome.text(&islands_without(pictured)), "");
        assert_eq!(
            chrome.text(&islands_without("it.textContent.length > 60")),
            ""
        );
        for experiment in &EXPERIMENTS {
            let demo = format!("document.querySelector('[data-model={}]')", experiment.name);
            chrome.eval(&format!("{demo}.scrollIntoView()"));
            let drawn = format!("{demo}.querySelector('path.walk').getBoundingClientRect().height");
            assert!(chrome.number(&drawn) > 50.0, "{}", experiment.name);
        }
        // What does nothing is not there, and it is said why.
        let controls = "[...document.querySelectorAll('input, select, button')]
            .filter(it => it.offsetParent !== null).length";
        assert_eq!(chrome.number(controls), 0.0);
        assert!(
            chrome
                .text("document.querySelector('main').previousElementSibling.innerText")
                .contains("Scripts are off")
        );
        let width_of = "document.documentElement.scrollWidth";
        assert!(
            chrome.number(width_of) <= f64::from(width),
            "it scrolls sideways"
        );
    }
    assert_eq!(chrome.problems(), [] as [String; 0]);
}

#[test]
fn every_island_becomes_live() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    visit
        .chrome
        .until("document.querySelector('[data-live]') !== null");
    let still_there = visit
        .chrome
        .text(&islands_without("it.dataset.live === 'yes'"));
    assert_eq!(still_there, "");
    let names = visit.chrome.text(NAMES);
    let names: Vec<&str> = names.lines().collect();
    let has = |island: Island| {
        let name = format!("{} {}", island.name(), island.model().unwrap_or_default());
        names.contains(&name.as_str())
    };
    for island in OTHERS
        .into_iter()
        .chain(EXPERIMENTS.iter().map(Island::Demo))
    {
        assert!(has(island), "{island:?}: {names:?}");
    }
    assert!(
        Experiment::named("four_mode_solved")
            .map(Island::Demo)
            .is_some_and(has)
    );
    // The article's own pictures are gone once the live ones are drawn.
    visit.shows("easy_correct", "model", "table");
    visit
        .chrome
        .until("document.querySelector('[data-model=easy_correct] .still').offsetParent === null");
    visit.went_well();
}

/// What is out of sight stands still until a reader has done something and rests.
#[test]
fn parts_out_of_sight_wait_for_a_reader() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let still = "document.querySelectorAll('[data-live=soon]').length";
    visit.chrome.screen(1280, 2400, "light");
    visit.chrome.load("Page.reload", json!({}));
    visit.engine_is("cpu");
    visit
        .chrome
        .until("document.querySelector('[data-model=easy_correct]').dataset.live === 'yes'");
    visit
        .chrome
        .eval("new Promise(done => setTimeout(done, 1500))");
    assert!(visit.chrome.number(still) > 5.0);
    // In the middle of a movement nothing more comes.
    let before = visit.chrome.number(still);
    let moved = visit.chrome.number(&format!(
        "new Promise(done => {{
            const end = performance.now() + 1500;
            const move = () => {{
                dispatchEvent(new Event('pointermove'));
                performance.now() < end ? setTimeout(move, 20) : done({still});
            }};
            move();
        }})"
    ));
    assert_eq!(moved, before);
    visit.chrome.until(&format!("{still} === 0"));
    visit.went_well();
}

/// A demo that is live before its weights are there is told when they come.
#[test]
fn weights_that_come_late_are_used() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let name = "four_mode_solved";
    let file = format!("{FORWARD}{name}.safetensors");
    visit.engine_is("cpu");
    visit.site.hold(&file, true);
    let it = crate::demo(name);
    visit.chrome.eval(&format!("{it}.scrollIntoView()"));
    let asked = Instant::now();
    while visit.site.times_asked(&file) == 0 {
        assert!(asked.elapsed() < Duration::from_secs(20), "not asked for");
        sleep(Duration::from_millis(20));
    }
    visit.chrome.until(&format!(
        "{it}.querySelector('.status').textContent.includes('loading')"
    ));
    visit.site.hold(&file, false);
    visit.shows(name, "model", "table");
    visit.went_well();
}

/// What the page's program does not know stands still and says so; all else goes on.
#[test]
fn an_island_that_is_not_known_stays_as_it_was_drawn() {
    let spoil = |site: &Site| {
        site.edit("index.html", |html| {
            let html = String::from_utf8(html).expect("it is text");
            html.replace("data-model=\"easy_buggy\"", "data-model=\"nine_mode\"")
                .into_bytes()
        });
    };
    let Some(mut visit) = visit(Gpu::Denied, spoil) else {
        return;
    };
    let it = "document.querySelector('[data-model=nine_mode]')";
    visit.chrome.until(&format!("{it}.dataset.live === 'no'"));
    let words = visit
        .chrome
        .text(&format!("{it}.querySelector('.notice').textContent"));
    assert!(
        words.contains("stands still") && words.contains("`nine_mode`"),
        "{words}"
    );
    let picture = format!("{it}.querySelector('.plot > svg path.bug') !== null");
    assert_eq!(visit.chrome.eval(&picture), Value::Bool(true));
    visit.shows("easy_correct", "model", "table");
}

/// A part that a reader opens has its first answer from the article, and the engine's takes its
/// place to the pixel, with the same words.
#[test]
fn a_parts_first_answer_is_there_before_the_engines() {
    for width in [1280, 390] {
        let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
            return;
        };
        visit.chrome.screen(width, 900, "light");
        for name in ["algebra", "flow", "trace"] {
            let it = super::study(name);
            let shown = format!(
                "[it.getBoundingClientRect().height, it.querySelectorAll('.plot > svg[role=img]')
                    .length, [...it.querySelectorAll('{TOLD}')].filter(one => one.checkVisibility())
                    .map(one => one.textContent.trim()).join('|')]",
                TOLD = ".finding, .reading, .sum, .aside, td, dd, figcaption, .as-table summary"
            );
            // In one go: the engine has no time to answer.
            let first = visit.chrome.eval(&format!(
                "(it => {{ it.open = true; return {shown}; }})({it})"
            ));
            assert!(
                first[1].as_f64().is_some_and(|count| count >= 1.0),
                "{name}"
            );
            let words = first[2].as_str().unwrap_or_default();
            assert!(words.len() > 300, "{name}: {words}");
            visit
                .chrome
                .until(&format!("{it}.dataset.state === 'answered'"));
            let then = visit.chrome.eval(&format!("(it => {shown})({it})"));
            assert_eq!(then[1], 0.0, "{name}: the still picture stays");
            assert_eq!(then[2], first[2], "{name}, {width}");
            assert_eq!(then[0], first[0], "{name}, {width}: the height");
        }
        visit.went_well();
    }
}

/// On paper there is nothing to press, and every part shows what it found.
#[test]
fn on_paper_there_are_pictures_and_no_controls() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    visit.shows("easy_correct", "model", "table");
    visit.chrome.paper(true);
    let controls = "[...document.querySelectorAll('input, select, button, nav, .controls, .status,\
            .anchor, .card, #lab-app, .theme')]
        .filter(it => it.checkVisibility()).map(it => it.outerHTML.slice(0, 120)).join('\\n')";
    assert_eq!(visit.chrome.text(controls), "");
    // Every figure has a picture of some size, live or still.
    let bare = "[...document.querySelectorAll('figure')].filter(it => {
            const pictures = [...it.querySelectorAll('canvas, svg')];
            return it.checkVisibility() && !pictures.some(one => one.checkVisibility()
                && one.getBoundingClientRect().height > 40);
        }).map(it => it.outerHTML.slice(0, 160)).join('\\n')";
    assert_eq!(visit.chrome.text(bare), "");
    for name in ["algebra", "flow", "trace"] {
        let drawn = format!(
            "{}.querySelector('.plot > svg').getBoundingClientRect().height",
            super::study(name)
        );
        assert!(visit.chrome.number(&drawn) > 200.0, "{name}");
    }
    // Figures that were drawn for a dark screen are dark on light here.
    let shown = "getComputedStyle(document.querySelector('.demo canvas')).filter";
    assert_eq!(visit.chrome.text(shown), "none");
    visit.chrome.paper(false);
    visit.chrome.prefers("dark", "no-preference");
    let drawn = "document.documentElement.dataset.drawn === 'dark'";
    visit.chrome.until(drawn);
    visit.chrome.eval(
        "window.inPrint = Object.values(document.styleSheets).flatMap(it => [...it.cssRules])
            .filter(it => it.media?.mediaText === 'print')
            .flatMap(it => [...it.cssRules]).filter(it => it.selectorText?.endsWith(' canvas')
                && document.querySelector('.demo canvas').matches(it.selectorText))
            .map(it => it.style.filter).join()",
    );
    assert!(visit.chrome.text("window.inPrint").starts_with("invert(1)"));
    visit
        .chrome
        .until("document.querySelector('.demo .temperature').checkVisibility()");
    visit.went_well();
}

/// Adds up what moves without a reader's doing, in `window.shifted`.
const WATCH: &str = "window.shifted = 0;
    window.shifts = [];
    new PerformanceObserver(list => {
        for (const entry of list.getEntries()) {
            if (entry.hadRecentInput) continue;
            window.shifted += entry.value;
            window.shifts.push(entry.value.toFixed(4) + ' ' + entry.sources.map(s =>
                (s.node?.className || s.node?.nodeName) + ' from ' + s.previousRect.y
                    + ' to ' + s.currentRect.y).join(', '));
        }
    }).observe({ type: 'layout-shift', buffered: true });";

/// Nothing moves when the live parts take their places, at the top and on the way down.
#[test]
fn nothing_moves_when_parts_become_live() {
    let Some(dist) = super::dist() else { return };
    for width in [1280, 390] {
        let site = Site::serve(&dist);
        let mut chrome = Chrome::launch(Gpu::Denied);
        chrome.screen(width, 900, "light");
        chrome.before_pages(WATCH);
        chrome.open(&site.url());
        chrome.until("document.documentElement.dataset.engine === 'cpu'");
        let height = chrome.number("document.documentElement.scrollHeight");
        let mut top = 0.0;
        while top < height {
            chrome.eval(&format!(
                "scrollTo({{ top: {top}, behavior: 'instant' }});
                 new Promise(done => setTimeout(done, 120))"
            ));
            top += 300.0;
        }
        let shifted = chrome.number("window.shifted");
        let shifts = chrome.text("window.shifts.join('\\n')");
        assert!(shifted <= 0.01, "{width}: {shifted}\n{shifts}");
        // The measure itself works.
        chrome.eval(
            "scrollTo({ top: 0, behavior: 'instant' });
             new Promise(done => setTimeout(done, 200)).then(() => {
                const block = document.createElement('div');
                block.style.setProperty('height', '300px');
                document.querySelector('h1').before(block);
             })",
        );
        chrome.until(&format!("window.shifted > {shifted} + 0.01"));
    }
}

/// A reader may be at the laboratory's place before it is there.
#[test]
fn nothing_moves_when_the_laboratory_comes_late() {
    const CODE: &str = "lab_bg.wasm";
    for width in [1280, 390] {
        let Some(mut visit) = visit_with(Gpu::Denied, |_, chrome| chrome.before_pages(WATCH))
        else {
            return;
        };
        visit.chrome.screen(width, 900, "light");
        visit.engine_is("cpu");
        visit.site.hold(CODE, true);
        visit.chrome.eval(
            "document.querySelector('#lab-app').scrollIntoView({ behavior: 'instant' });
             scrollBy({ top: -400, behavior: 'instant' });
             new Promise(done => setTimeout(done, 2000))",
        );
        assert_eq!(visit.site.times_asked(CODE), 1, "{width}");
        let before = visit.chrome.number("window.shifted");
        visit.site.hold(CODE, false);
        visit
            .chrome
            .until("document.querySelector('#lab-app .lab-play') !== null");
        visit
            .chrome
            .eval("new Promise(done => setTimeout(done, 500))");
        let after = visit.chrome.number("window.shifted");
        let shifts = visit.chrome.text("window.shifts.join('\\n')");
        assert!(
            after - before <= 0.01,
            "{width}: {before}, {after}\n{shifts}"
        );
        visit.went_well();
    }
}
