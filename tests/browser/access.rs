//! The page for everyone: axe-core's rules, keys, sizes, themes, motion, sharpness, and what is said
//! aloud and put in words.

use super::{EXPERIMENTS, Gpu, Visit, demo, painted, study, visit, without_storage};
use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// axe-core 4.14.1 as its makers publish it, <https://www.npmjs.com/package/axe-core>.
const AXE: &str = include_str!("vendor/axe.min.js");

/// JavaScript for all that a reader can reach by keys, in the page's order: of a group of radio
/// buttons one.
const CONTROLS: &str = "(() => {
    const groups = new Set();
    return [...document.querySelectorAll('a[href], button, input, select, textarea, summary,\
        [tabindex=\"0\"]')].filter(it => {
        if (it.disabled || !it.checkVisibility() || it.tabIndex < 0) return false;
        if (it.matches('summary') && it !== it.parentElement.querySelector('summary')) return false;
        if (it.type !== 'radio') return true;
        const group = [...document.getElementsByName(it.name)];
        const checked = group.find(one => one.checked);
        if (checked) return it === checked;
        return groups.has(it.name) ? false : groups.add(it.name);
    });
})()";

/// JavaScript that says in few words which element `it` is.
const WHICH: &str = "(it => it === null ? 'nothing' : it.cloneNode(false).outerHTML.slice(0, 160)
    + ' in ' + (it.closest('[data-demo], [data-study], section, header')?.cloneNode(false)
        .outerHTML.slice(0, 60)))";

/// The whole page, with every demo drawn, every part open and answered, and the laboratory there.
fn whole_page() -> Option<Visit> {
    let mut visit = visit(Gpu::Denied, |_| {})?;
    visit.engine_is("cpu");
    for experiment in &EXPERIMENTS {
        visit.shows(experiment.name, "model", "table");
    }
    visit
        .chrome
        .eval("document.querySelector('#lab').scrollIntoView()");
    visit
        .chrome
        .until("document.querySelector('#lab-app .lab-watch') !== null");
    visit.lab_click(".lab-step");
    visit.shows("four_mode_solved", "model", "table");
    visit.scroll_to_conditional();
    for (name, model) in [
        ("algebra", "easy_buggy"),
        ("flow", "hard_on_policy"),
        ("trace", "hard_on_policy"),
    ] {
        visit.open_study(name, model);
    }
    visit
        .chrome
        .eval("document.querySelectorAll('details').forEach(it => it.open = true)");
    visit.chrome.until(
        "[...document.querySelectorAll('.as-table')].every(it => it.querySelector('td'))
            && document.querySelector('.demo.conditional').dataset.state === 'model'",
    );
    Some(visit)
}

/// No violation of any of axe's rules, WCAG's and best practice.
#[track_caller]
fn axe_finds_nothing(visit: &mut Visit, where_: &str) {
    let found = visit.chrome.eval(
        "axe.run(document, { resultTypes: ['violations'] }).then(results =>
            results.violations.map(it => `${it.id} (${it.impact}): ${it.help}\\n` + it.nodes.map(
                node => `    ${node.target}  ${node.html.slice(0, 200)}\\n        ${
                    [...node.any, ...node.all, ...node.none].map(check => check.message)
                        .join('; ')}`).join('\\n')))",
    );
    let found: Vec<&str> = found
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    assert!(found.is_empty(), "axe, {where_}:\n{}", found.join("\n"));
}

#[test]
fn axe_finds_nothing_in_either_theme_at_any_width() {
    let Some(mut visit) = whole_page() else {
        return;
    };
    visit.chrome.eval(AXE);
    for (width, scheme) in [
        (1280, "light"),
        (1280, "dark"),
        (390, "light"),
        (390, "dark"),
    ] {
        visit.chrome.screen(width, 900, scheme);
        axe_finds_nothing(&mut visit, &format!("{width} px, {scheme}"));
    }
    // The dark theme that a reader chose, where the page is narrowest.
    visit.chrome.screen(320, 640, "light");
    choose_theme(&mut visit, "dark");
    axe_finds_nothing(&mut visit, "320 px, dark by choice");
    visit.went_well();
}

#[test]
fn keys_reach_every_control_in_order_and_the_focus_is_seen() {
    let Some(mut visit) = whole_page() else {
        return;
    };
    visit.chrome.eval(&format!(
        "window.controls = {CONTROLS}; document.activeElement.blur(); window.scrollTo(0, 0)"
    ));
    let count = visit.chrome.number("window.controls.length") as usize;
    assert!(count > 100, "{count} controls");
    for place in 0..count {
        visit.chrome.press("Tab");
        let wrong = visit.chrome.text(&format!(
            "(() => {{
                const which = {WHICH};
                const [wanted, it] = [window.controls[{place}], document.activeElement];
                if (it !== wanted) return `reached ${{which(it)}}, not ${{which(wanted)}}`;
                const {{ outlineStyle, outlineWidth, outlineColor }} = getComputedStyle(it);
                if (outlineStyle === 'none' || parseFloat(outlineWidth) < 2
                    || outlineColor === 'rgba(0, 0, 0, 0)') return `no focus on ${{which(it)}}`;
                const {{ top, bottom, left, right }} = it.getBoundingClientRect();
                if (bottom < 0 || top > innerHeight || right < 0 || left > innerWidth)
                    return `out of sight: ${{which(it)}}`;
                return '';
            }})()"
        ));
        assert_eq!(wrong, "", "Tab number {}", place + 1);
    }
    visit.went_well();
}

/// Each kind of control answers to its keys. Links and buttons are only seen to be pressed: what they
/// do has tests of its own.
#[test]
fn every_control_answers_to_keys() {
    let Some(mut visit) = whole_page() else {
        return;
    };
    visit.chrome.eval(&format!(
        "window.controls = {CONTROLS};
         window.pressed = 0;
         window.addEventListener('click', event => {{
             if (!event.target.closest('a, button, [type=file]')) return;
             window.pressed += 1;
             event.preventDefault();
             event.stopImmediatePropagation();
         }}, true)"
    ));
    let count = visit.chrome.number("window.controls.length") as usize;
    let state = "(it => it.matches('summary') ? it.parentElement.open
        : it.type === 'checkbox' ? it.checked
        : it.type === 'radio' ? document.querySelector(`[name='${it.name}']:checked`)?.value
        : it.role === 'slider' ? it.getAttribute('aria-valuetext')
        : 'value' in it && !it.matches('a, button, [type=file]') ? it.value : window.pressed)";
    let mut kinds = std::collections::BTreeMap::new();
    for place in 0..count {
        // What was reached before may have hidden it.
        let kind = visit.chrome.text(&format!(
            "(() => {{
                const it = window.controls[{place}];
                if (!it.isConnected || it.disabled || !it.checkVisibility()) return 'gone';
                it.focus();
                window.before = {state}(it);
                return it.matches('[role=group], pre') ? 'table'
                    : it.role === 'slider' ? 'slider' : it.matches('input') ? it.type : it.localName;
            }})()"
        ));
        // At one of its ends a number or slider goes only the other way.
        let keys: &[&str] = match kind.as_str() {
            "gone" | "table" => continue,
            "range" | "slider" => &["ArrowLeft", "ArrowRight"],
            "number" => &["ArrowDown", "ArrowUp"],
            "radio" | "select" => &["ArrowDown", "ArrowUp"],
            "checkbox" => &["Space"],
            _ => &["Enter"],
        };
        let answered = keys.iter().any(|key| {
            visit.chrome.press(key);
            visit.chrome.eval(&format!(
                "{state}(window.controls[{place}]) !== window.before"
            )) == Value::Bool(true)
        });
        let which = visit
            .chrome
            .text(&format!("{WHICH}(window.controls[{place}])"));
        assert!(answered, "{kind}: {keys:?} did nothing to {which}");
        *kinds.entry(kind).or_insert(0) += 1;
    }
    for kind in [
        "a", "button", "checkbox", "number", "radio", "range", "select", "slider", "summary",
    ] {
        assert!(kinds.contains_key(kind), "no {kind} among {kinds:?}");
    }
    visit.went_well();
}

/// WCAG 2.5.8: 24 px, but for links in the midst of a text.
#[test]
fn targets_are_large_enough_for_a_thumb() {
    let Some(mut visit) = whole_page() else {
        return;
    };
    for width in [1280, 390] {
        visit.chrome.screen(width, 900, "light");
        let small = visit.chrome.eval(
            "[...document.querySelectorAll('a[href], button, input, select, summary,\
                [role=slider]')].filter(it => {
                if (!it.checkVisibility() || it.matches('p a, li a:not(nav a, .lab-presets a)'))
                    return false;
                const boxes = [it, ...(it.labels ?? [])].map(one => one.getBoundingClientRect());
                return !boxes.some(({ width, height }) => width >= 24 && height >= 24);
            }).map(it => it.outerHTML.slice(0, 200))",
        );
        assert_eq!(small, Value::Array(Vec::new()), "{width} px");
    }
    visit.went_well();
}

/// WCAG 1.4.10: 320 px are 1,280 at four times the size.
#[test]
fn at_320_px_and_four_times_the_size_nothing_is_to_the_side() {
    let Some(mut visit) = whole_page() else {
        return;
    };
    for (height, ratio) in [(640, 1), (256, 4)] {
        visit.chrome.screen_of(320, height, ratio);
        let wide = visit.chrome.eval(
            "(() => {
                const { clientWidth: edge, scrollWidth } = document.documentElement;
                if (scrollWidth <= edge) return [];
                const out = it => it.getBoundingClientRect().right > edge + 0.5
                    && !it.closest('.scroll, .formula, pre');
                return [`${scrollWidth} px`, ...[...document.body.querySelectorAll('*')]
                    .filter(it => out(it) && !out(it.parentElement))
                    .map(it => it.outerHTML.slice(0, 200))];
            })()",
        );
        assert_eq!(wide, Value::Array(Vec::new()), "{ratio} times");
    }
    visit.went_well();
}

/// WCAG 1.4.12: with the spacing that a reader may need nothing is cut off, covered or to the side.
#[test]
fn words_have_room_for_a_readers_spacing() {
    let Some(mut visit) = whole_page() else {
        return;
    };
    visit.chrome.style(
        "* { line-height: 1.5 !important; letter-spacing: .12em !important;
            word-spacing: .16em !important }
         p { margin-bottom: 2em !important }
         main > section { content-visibility: visible !important }",
    );
    for width in [1280, 390] {
        visit.chrome.screen(width, 900, "light");
        let spacing =
            "parseFloat(getComputedStyle(document.querySelector('main p')).letterSpacing)";
        assert!(visit.chrome.number(spacing) > 1.5);
        let wrong = visit.chrome.eval(
            "(() => {
                const { clientWidth: edge, scrollWidth } = document.documentElement;
                const wrong = scrollWidth > edge ? [`${scrollWidth} px wide`] : [];
                const say = (what, it) => wrong.push(`${what}: ${it.outerHTML.slice(0, 160)}`);
                const heard = '.unseen, .lab-unseen, a.skip, [aria-hidden=true] *, .card *';
                for (const it of document.body.querySelectorAll('*')) {
                    if (!it.checkVisibility() || it.matches(heard) || it.closest('svg')) continue;
                    const style = getComputedStyle(it);
                    const cuts = !['visible', 'auto', 'scroll'].includes(style.overflowY)
                        || !['visible', 'auto', 'scroll'].includes(style.overflowX);
                    const isText = [...it.childNodes].some(n => n.nodeType === 3 && n.data.trim());
                    if (cuts && isText && !it.matches('select, input, textarea')
                        && (it.scrollHeight > it.clientHeight + 1
                            || it.scrollWidth > it.clientWidth + 1)) say('cut off', it);
                    const { right } = it.getBoundingClientRect();
                    if (isText && right > edge + 1 && !it.closest('.scroll, .formula, pre, .lab-table'))
                        say('to the side', it);
                }
                // Words of one block do not lie on those of another.
                const blocks = [...document.querySelectorAll('main :is(p, h2, h3, li, dt, dd, th, td,'
                    + ' label, legend, button, caption, figcaption, summary)')]
                    .filter(it => it.checkVisibility() && it.textContent.trim()
                        && !it.closest('.unseen, .lab-unseen, .cursor, svg, .scroll'));
                const lines = blocks.map(it => {
                    const range = document.createRange();
                    const words = document.createTreeWalker(it, NodeFilter.SHOW_TEXT);
                    const rects = [];
                    while (words.nextNode()) {
                        const { parentElement } = words.currentNode;
                        if (parentElement.closest('.unseen, .lab-unseen, select')
                            || !parentElement.checkVisibility({ visibilityProperty: true })) continue;
                        range.selectNodeContents(words.currentNode);
                        rects.push(...range.getClientRects());
                    }
                    return rects.filter(r => r.width > 1 && r.height > 1);
                });
                const boxes = lines.map(rects => rects.length === 0 ? null : {
                    top: Math.min(...rects.map(r => r.top)), bottom: Math.max(...rects.map(r => r.bottom)),
                });
                const order = boxes.map((_, i) => i).filter(i => boxes[i])
                    .sort((a, b) => boxes[a].top - boxes[b].top);
                for (const [place, i] of order.entries()) {
                    for (const j of order.slice(place + 1)) {
                        if (boxes[j].top >= boxes[i].bottom) break;
                        if (blocks[i].contains(blocks[j]) || blocks[j].contains(blocks[i])) continue;
                        const meets = lines[i].some(a => lines[j].some(b =>
                            Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
                            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
                                > 0.4 * Math.min(a.height, b.height)));
                        if (meets) say('covered by ' + blocks[j].outerHTML.slice(0, 90)
                            + JSON.stringify([lines[i], lines[j]]), blocks[i]);
                    }
                }
                return wrong.slice(0, 12);
            })()",
        );
        assert_eq!(wrong, Value::Array(Vec::new()), "{width} px");
    }
    visit.went_well();
}

/// The canvas has a pixel for each of the screen's, also after the window came to another screen.
#[test]
fn figures_are_sharp_at_any_pixel_ratio_also_when_it_changes() {
    let Some(mut visit) = whole_page() else {
        return;
    };
    for ratio in [3, 1, 2] {
        visit.chrome.screen_of(1280, 900, ratio);
        // A coarse screen's figures have twice as many pixels, which are averaged.
        let pixels = if ratio < 2 { 2 * ratio } else { ratio };
        let blurred = format!(
            "[...document.querySelectorAll('canvas')].filter(it => it.checkVisibility()
                && !(it.width === Math.round(it.clientWidth * {pixels})
                    && it.height === Math.round(it.clientHeight * {pixels})))
                .map(it => `${{it.width}} x ${{it.height}} at ${{devicePixelRatio}}: `
                    + it.cloneNode(false).outerHTML)"
        );
        let deadline = Instant::now() + Duration::from_secs(30);
        while visit.chrome.eval(&blurred) != Value::Array(Vec::new()) && Instant::now() < deadline {
            sleep(Duration::from_millis(100));
        }
        assert_eq!(
            visit.chrome.eval(&blurred),
            Value::Array(Vec::new()),
            "{ratio}"
        );
        for name in ["easy_correct", "four_mode"] {
            assert!(visit.is_painted(name), "{name} at {ratio}");
        }
    }
    visit.went_well();
}

fn choose_theme(visit: &mut Visit, theme: &str) {
    visit.chrome.eval(&format!(
        "(() => {{
            const it = document.getElementById('theme');
            it.value = '{theme}';
            it.dispatchEvent(new Event('change', {{ bubbles: true }}));
        }})()"
    ));
}

/// JavaScript that gives the share of a demo's canvas that has a custom property's colour.
fn share_of(name: &str, property: &str) -> String {
    format!(
        "(() => {{
            const canvas = {}.querySelector('canvas');
            const probe = document.body.appendChild(document.createElement('i'));
            probe.style.color = 'var({property})';
            const [r, g, b] = getComputedStyle(probe).color.match(/[0-9]+/g).map(Number);
            probe.remove();
            const colour = (255 << 24 | b << 16 | g << 8 | r) >>> 0;
            const pixels = new Uint32Array(canvas.getContext('2d')
                .getImageData(0, 0, canvas.width, canvas.height).data.buffer);
            return pixels.filter(it => it === colour).length / pixels.length;
        }})()",
        demo(name)
    )
}

/// By the system, by the reader against the system, and remembered.
#[test]
fn the_theme_follows_the_system_or_the_reader() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let name = "easy_correct";
    visit.shows(name, "model", "table");
    let paper = "getComputedStyle(document.body).backgroundColor";
    let light = visit.chrome.text(paper);
    let wears = |visit: &mut Visit| {
        // The figure's bars and model have the theme's own colours.
        for property in ["--sample", "--model"] {
            visit
                .chrome
                .until(&format!("{} > 0.001", share_of(name, property)));
        }
    };
    wears(&mut visit);
    visit.chrome.prefers("dark", "no-preference");
    visit.chrome.until(&format!("{paper} !== '{light}'"));
    let dark = visit.chrome.text(paper);
    wears(&mut visit);
    choose_theme(&mut visit, "light");
    assert_eq!(visit.chrome.text(paper), light);
    wears(&mut visit);
    visit.chrome.prefers("light", "no-preference");
    choose_theme(&mut visit, "dark");
    assert_eq!(visit.chrome.text(paper), dark);
    wears(&mut visit);
    // The laboratory is an application of its own.
    visit
        .chrome
        .eval("document.querySelector('#lab').scrollIntoView()");
    let figure = "document.querySelector('.lab-figure canvas')";
    visit.chrome.until(&format!("{figure} !== null"));
    visit.chrome.until(&painted(figure));
    let drawn = format!("{figure}.toDataURL()");
    let before = visit.chrome.text(&drawn);
    choose_theme(&mut visit, "light");
    visit
        .chrome
        .until(&format!("{drawn} !== {}", Value::from(before)));
    choose_theme(&mut visit, "dark");

    visit.chrome.open(&visit.site.url());
    visit.chrome.until(&format!("{paper} === '{dark}'"));
    assert_eq!(
        visit.chrome.text("document.getElementById('theme').value"),
        "dark"
    );
    visit.shows(name, "model", "table");
    wears(&mut visit);
    choose_theme(&mut visit, "auto");
    assert_eq!(visit.chrome.text(paper), light);
    visit.went_well();
}

#[test]
fn without_storage_the_theme_lasts_as_long_as_the_page() {
    let Some(mut visit) = visit(Gpu::Denied, without_storage) else {
        return;
    };
    visit
        .chrome
        .until("document.querySelector('#theme:not([disabled])') !== null");
    let paper = "getComputedStyle(document.body).backgroundColor";
    let light = visit.chrome.text(paper);
    choose_theme(&mut visit, "dark");
    assert_ne!(visit.chrome.text(paper), light);
    visit.chrome.open(&visit.site.url());
    visit
        .chrome
        .until("document.querySelector('#theme:not([disabled])') !== null");
    assert_eq!(visit.chrome.text(paper), light);
    visit.went_well();
}

/// One polite line a demo, silent until the reader does something and through a drag; then it says
/// what the figure shows.
#[test]
fn a_drag_is_told_once_at_its_end() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    for experiment in &EXPERIMENTS {
        visit.shows(experiment.name, "model", "table");
    }
    let lines = visit.chrome.eval(
        "[...document.querySelectorAll('.demo')].map(it => it.querySelectorAll(
            '[role=status], [role=alert], [aria-live]:not([aria-live=off]), output').length)",
    );
    assert_eq!(lines, Value::from(vec![1; EXPERIMENTS.len() + 2]));
    let name = "easy_correct";
    visit.scroll_to(name);
    visit.chrome.eval(&format!(
        "window.said = [];
         for (const it of document.querySelectorAll('.demo [role=status]'))
             new MutationObserver(() => window.said.push(it.textContent))
                 .observe(it, {{ childList: true, characterData: true, subtree: true }});
         window.dragged = new Promise(done => {{
             const it = {}.querySelector('input.temperature');
             let count = 0;
             const handle = setInterval(() => {{
                 count += 1;
                 it.value = 1 + count / 50;
                 it.dispatchEvent(new Event('input', {{ bubbles: true }}));
                 if (count === 40) {{ clearInterval(handle); done(window.said.length); }}
             }}, 60);
         }})",
        demo(name)
    ));
    assert_eq!(
        visit.chrome.number("window.dragged"),
        0.0,
        "while it is dragged"
    );
    visit.chrome.until("window.said.length > 0");
    // Twice as long as words rest.
    visit
        .chrome
        .eval("new Promise(done => setTimeout(done, 1500))");
    let said = visit.chrome.eval("window.said");
    assert_eq!(said.as_array().map(Vec::len), Some(1), "{said}");
    let said = said[0].as_str().unwrap_or_default();
    let shown = visit
        .chrome
        .text(&format!("{}.querySelector('.tv').textContent", demo(name)));
    assert!(
        said.contains("temperature 1.80") && said.contains(&shown),
        "{said}"
    );
    visit.went_well();
}

#[test]
fn a_training_is_played_in_stills_where_less_motion_is_asked_for() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    visit.chrome.prefers("light", "reduce");
    let name = "hard_on_policy";
    visit.shows(name, "model", "table");
    let it = demo(name);
    let last = visit
        .chrome
        .number(&format!("Number({it}.querySelector('.training').max)"));
    visit
        .chrome
        .eval(&format!("{it}.querySelector('button.play').click()"));
    visit
        .chrome
        .until(&format!("{it}.dataset.snapshot === '0'"));
    visit
        .chrome
        .until(&format!("{it}.dataset.snapshot !== '0'"));
    let next: f64 = visit.data(name, "snapshot").parse().expect("a snapshot");
    assert!(next >= last / 10.0 && next < last, "{next} of {last}");
    visit.went_well();
}

/// The number that stands in a cell.
fn number(cell: &Value) -> f64 {
    let text = cell.as_str().unwrap_or_default().replace('\u{2212}', "-");
    text.parse().unwrap_or(f64::NAN)
}

/// Made when it is opened, and the figure's own numbers.
#[test]
fn a_figures_numbers_are_a_table() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let experiment = &EXPERIMENTS[4];
    let name = experiment.name;
    visit.shows(name, "model", "table");
    let table = format!("{}.querySelector('.as-table')", demo(name));
    assert_eq!(
        visit
            .chrome
            .number(&format!("{table}.querySelectorAll('td').length")),
        0.0
    );
    visit
        .chrome
        .eval(&format!("{table}.querySelector('summary').click()"));
    visit
        .chrome
        .until(&format!("{table}.querySelector('td') !== null"));
    let rows = visit.chrome.eval(&format!(
        "[...{table}.querySelectorAll('tbody tr')].map(row => [...row.children].map(
            cell => cell.textContent))"
    ));
    let rows = rows.as_array().cloned().unwrap_or_default();
    assert_eq!(rows.len(), 40);
    let (lo, hi) = experiment.plot_range();
    let target = experiment.target();
    let mut sums = [0.0; 3];
    for row in &rows {
        let x = number(&row[0]);
        let width = (hi - lo) / 40.0;
        let mean = target.mass_between(x - width / 2.0, x + width / 2.0) / width;
        assert!((number(&row[1]) - mean).abs() < 0.005, "{row} {mean}");
        for (column, sum) in sums.iter_mut().enumerate() {
            *sum += number(&row[column + 1]) * width;
        }
    }
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 0.02), "{sums:?}");
    // The table follows the figure.
    let model = format!("{table}.querySelectorAll('tbody tr')[20].children[2].textContent");
    let before = visit.chrome.text(&model);
    visit.set(name, "input.temperature", "0.3");
    assert_ne!(visit.chrome.text(&model), before);

    // The parts that open, too.
    visit.open_study("flow", "hard_on_policy");
    let flow = format!("{}.querySelector('.as-table')", study("flow"));
    visit
        .chrome
        .eval(&format!("{flow}.querySelector('summary').click()"));
    visit.chrome.until(&format!(
        "{flow}.querySelectorAll('tbody tr').length === 40
            && {flow}.querySelector('caption').textContent.includes('t = 3')"
    ));
    visit.set_study("flow", ".flow-t-number", "5");
    visit.chrome.until(&format!(
        "{flow}.querySelector('caption').textContent.includes('t = 5')"
    ));
    visit.went_well();
}
