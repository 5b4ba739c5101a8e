//! The page's address: state in links, links that are copied, and what teachers hide.

use super::chrome::Gpu;
use super::{Visit, demo, visit};
use serde_json::Value;

/// The page opened by a link with this address.
fn opened(address: &str) -> Option<Visit> {
    let mut visit = visit(Gpu::Denied, |_| {})?;
    visit.open_at(address);
    Some(visit)
}

const HASH: &str = "location.hash.slice(1)";
const TOAST: &str = "document.querySelector('.toast').textContent";

impl Visit {
    pub(super) fn open_at(&mut self, address: &str) {
        // From elsewhere: a browser does not load a page anew for another address on it.
        self.chrome.open("about:blank");
        self.chrome.open(&format!("{}#{address}", self.site.url()));
    }

    fn value(&mut self, name: &str, control: &str) -> String {
        let demo = demo(name);
        self.chrome
            .text(&format!("{demo}.querySelector('{control}').value"))
    }

    fn address_is(&mut self, address: &str) {
        self.chrome.until(&format!("{HASH} === '{address}'"));
    }

    fn is_true(&mut self, condition: &str) -> bool {
        self.chrome.eval(condition) == Value::Bool(true)
    }
}

#[test]
fn a_link_sets_the_controls_and_a_reload_shows_the_same() {
    let name = "easy_correct";
    let address = "happy-case?v=1&easy_correct.temperature=0.5&easy_correct.seed=77\
                   &easy_correct.count=10000&easy_correct.tempered=1&easy_correct.iteration=0\
                   &hard_on_policy.seed=5&tempered.beta=0.5&engine=cpu";
    let Some(mut visit) = opened(address) else {
        return;
    };
    visit.chrome.until(&format!("{} !== null", demo(name)));
    // The section is in view without anyone having scrolled.
    visit
        .chrome
        .until("Math.abs(document.getElementById('happy-case').getBoundingClientRect().top) < 60");
    visit.shows(name, "model", "cpu");
    visit
        .chrome
        .until(&format!("{}.dataset.snapshot === '0'", demo(name)));
    assert_eq!(visit.value(name, ".temperature"), "0.5");
    assert_eq!(visit.value(name, ".temperature-number"), "0.50");
    assert_eq!(visit.value(name, "select.count"), "10000");
    assert_eq!(visit.value(name, "select.device"), "cpu");
    assert_eq!(visit.value(name, ".training"), "0");
    assert_eq!(visit.data(name, "sampled"), "10000");
    assert!(visit.is_true(&format!(
        "{}.querySelector('input.tempered').checked",
        demo(name)
    )));
    assert_eq!(
        visit
            .chrome
            .text("document.querySelector('.demo.conditional').dataset.beta"),
        "0.5000"
    );
    let seen = visit.data(name, "histogram");

    // Another seed gives another picture, the same link the same one.
    visit.open_at(&address.replace("seed=77", "seed=78"));
    visit.shows(name, "model", "cpu");
    visit
        .chrome
        .until(&format!("{}.dataset.snapshot === '0'", demo(name)));
    assert_ne!(visit.data(name, "histogram"), seen);
    visit.open_at(address);
    visit.shows(name, "model", "cpu");
    let again = format!("{}.dataset.histogram === '{seen}'", demo(name));
    visit.chrome.until(&again);
    assert!(!visit.is_true(&format!("{TOAST}.includes('link')")));

    // A reader scrolls on; a reload leaves them there.
    visit
        .chrome
        .eval("document.querySelector('#harder-case').scrollIntoView()");
    visit.chrome.reload();
    visit.shows(name, "model", "cpu");
    visit.chrome.until(&again);
    visit.went_well();
}

#[test]
fn the_address_follows_the_controls_and_the_controls_the_address() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let name = "hard_on_policy";
    visit.shows(name, "model", "table");
    assert_eq!(
        visit.chrome.text(HASH),
        "",
        "an untouched page says nothing"
    );
    let entries = visit.chrome.number("history.length");
    visit.set(name, ".temperature", "0.7");
    visit.address_is("mode-collapse?v=1&hard_on_policy.temperature=0.7");
    visit.set(name, "select.count", "500");
    visit.shows("four_mode", "model", "table");
    visit.set("four_mode", ".temperature", "2");
    visit.address_is(
        "harder-case?v=1&hard_on_policy.temperature=0.7&hard_on_policy.count=500\
         &four_mode.temperature=2",
    );
    visit.set("four_mode", ".temperature", "1");
    visit.address_is("harder-case?v=1&hard_on_policy.temperature=0.7&hard_on_policy.count=500");
    assert_eq!(visit.chrome.number("history.length"), entries);

    // A place in the contents changes no demo, and the address still says all.
    visit
        .chrome
        .eval("document.querySelector('nav a[href=\"#setup\"]').click()");
    visit.address_is("setup?v=1&hard_on_policy.temperature=0.7&hard_on_policy.count=500");
    assert_eq!(visit.value(name, ".temperature"), "0.7");

    // By hand.
    visit
        .chrome
        .eval("void (location.hash = 'off-policy?v=1&hard_on_policy.temperature=0.9')");
    let slider = format!("{}.querySelector('.temperature').value", demo(name));
    visit.chrome.until(&format!("{slider} === '0.9'"));
    assert_eq!(visit.value(name, "select.count"), "2000");
    visit
        .chrome
        .until("Math.abs(document.getElementById('off-policy').getBoundingClientRect().top) < 60");
    visit.address_is("off-policy?v=1&hard_on_policy.temperature=0.9");
    // And back.
    visit.chrome.eval("history.back()");
    visit.chrome.until(&format!("{slider} === '0.7'"));
    visit.went_well();
}

#[test]
fn parts_to_open_are_in_the_address() {
    let address = "mode-collapse?v=1&flow.open=1&flow.model=four_mode&flow.cell=7&flow.t=1\
                   &trace.open=1&trace.walk=forward&trace.term=6\
                   &algebra.open=1&algebra.loop=correct";
    let Some(mut visit) = opened(address) else {
        return;
    };
    visit.study_shows("flow", "four_mode");
    visit.study_shows("algebra", "easy_correct");
    visit.study_shows("trace", "hard_on_policy");
    assert!(visit.study_text("flow", ".reading").contains("t = 1."));
    let value = |id| format!("document.getElementById('{id}').value");
    assert_eq!(visit.chrome.text(&value("flow-x")), "7");
    assert_eq!(visit.chrome.text(&value("flow-model")), "4");
    assert_eq!(visit.chrome.text(&value("trace-walk")), "forward");
    assert!(visit.is_true("document.querySelector('input[name=bug-loop]').checked"));
    visit.set_study("flow", "#flow-t", "4");
    visit
        .chrome
        .eval("document.querySelector('details[data-study=trace] summary').click()");
    let heading = visit
        .chrome
        .text("document.querySelector('details[data-study=trace]').closest('section').id");
    visit.chrome.until(&format!("{HASH}.includes('flow.t=4')"));
    visit
        .chrome
        .until(&format!("!{HASH}.includes('trace.open')"));
    assert!(!heading.is_empty());
    visit.went_well();
}

#[test]
fn what_a_link_asks_for_in_vain_is_told() {
    let Some(mut visit) = opened(
        "happy-case?v=9&easy_correct.temperature=99&nine_mode.seed=1&colour=red&hard_on_policy.seed=5",
    ) else {
        return;
    };
    for part in [
        "version 9",
        "It is 3 now.",
        "no demo `nine_mode`",
        "`colour` was left out",
    ] {
        visit.chrome.until(&format!("{TOAST}.includes('{part}')"));
    }
    assert_eq!(visit.value("easy_correct", ".temperature"), "3");
    assert_eq!(
        visit
            .chrome
            .text("document.querySelector('.toast > div').getAttribute('role')"),
        "status"
    );
    visit
        .chrome
        .eval("document.querySelector('.toast button').focus()");
    visit.chrome.press("Escape");
    visit.chrome.until(&format!("!{TOAST}.includes('version')"));
    visit.went_well();
}

#[test]
fn a_demos_link_is_copied() {
    let name = "four_mode_solved";
    let Some(mut visit) = opened("setup?v=1&easy_correct.seed=1&four_mode_solved.seed=2") else {
        return;
    };
    visit.chrome.clipboard("granted");
    let press = format!("{}.querySelector('.copy-link').click()", demo(name));
    visit.chrome.until(&format!("{} !== null", demo(name)));
    visit.chrome.eval(&press);
    visit.chrome.until(&format!("{TOAST}.includes('Copied.')"));
    let link = visit.chrome.text("navigator.clipboard.readText()");
    assert_eq!(
        link,
        format!("{}#solved?v=1&four_mode_solved.seed=2", visit.site.url())
    );

    // Refused, the link is shown, and can be copied by hand.
    visit.chrome.clipboard("denied");
    visit.chrome.eval(&press);
    visit
        .chrome
        .until("document.querySelector('.toast .by-hand').checkVisibility()");
    assert_eq!(
        visit
            .chrome
            .text("document.querySelector('.toast .by-hand').value"),
        link
    );
    // All of it is selected.
    assert!(visit.is_true(
        "(it => it.selectionEnd - it.selectionStart === it.value.length)(
            document.querySelector('.toast .by-hand'))"
    ));
    visit.went_well();
}

/// The card of a citation comes by pointer and by focus, can be pointed at itself, and goes by Escape.
#[test]
fn a_citations_card_comes_stays_and_goes() {
    let Some(mut visit) = opened("happy") else {
        return;
    };
    visit.chrome.eval(
        "window.cite = document.querySelector('.cite');
         window.card = cite.querySelector('.card');
         cite.scrollIntoView({ block: 'center', behavior: 'instant' })",
    );
    let shown = "getComputedStyle(card).visibility === 'visible'";
    let middle = |visit: &mut Visit, of: &str| {
        let [x, y] = ["left + it.width / 2", "top + it.height / 2"].map(|place| {
            visit
                .chrome
                .number(&format!("(it => it.{place})({of}.getBoundingClientRect())"))
        });
        (x, y)
    };
    let link = middle(&mut visit, "cite.querySelector('a')");
    let text = middle(&mut visit, "card.firstElementChild");
    let away = (3.0, 3.0);
    assert!(!visit.is_true(shown));
    visit.chrome.point(link.0, link.1);
    visit.chrome.until(shown);
    // It says what the list at the end says, and lies over what is below it.
    assert!(visit.is_true(
        "document.querySelector(cite.querySelector('a').hash).textContent
            .includes(card.querySelector('cite').textContent)"
    ));
    let (x, y) = text;
    assert!(visit.is_true(&format!(
        "card.contains(document.elementFromPoint({x}, {y}))"
    )));
    // On the way from the link to the words, and there, it stays.
    for step in 0..=8 {
        let part = f64::from(step) / 8.0;
        let along = |from: f64, to: f64| from + part * (to - from);
        visit
            .chrome
            .point(along(link.0, text.0), along(link.1, text.1));
        assert!(visit.is_true(shown), "gone after {part} of the way");
    }
    visit.chrome.press("Escape");
    visit.chrome.until(&format!("!({shown})"));
    // It stays shut for as long as the pointer is there, and comes again.
    visit.chrome.point(link.0, link.1);
    assert!(!visit.is_true(shown));
    visit.chrome.point(away.0, away.1);
    visit.chrome.point(link.0, link.1);
    visit.chrome.until(shown);
    visit.chrome.point(away.0, away.1);
    visit.chrome.until(&format!("!({shown})"));

    visit.chrome.eval("cite.querySelector('a').focus()");
    visit.chrome.until(shown);
    visit.chrome.press("Escape");
    visit.chrome.until(&format!("!({shown})"));
    visit.chrome.press("Tab");
    visit.chrome.eval("cite.querySelector('a').focus()");
    visit.chrome.until(shown);
    visit.went_well();
}

/// A mark beside a heading brings the reader to the heading, and its link to the clipboard.
#[test]
fn a_headings_mark_links_to_it_and_copies_the_link() {
    let Some(mut visit) = opened("setup") else {
        return;
    };
    visit.chrome.clipboard("granted");
    let marks = visit
        .chrome
        .text("[...document.querySelectorAll('.anchor')].map(it => it.hash.slice(1)).join(' ')");
    let marks: Vec<&str> = marks.split(' ').collect();
    assert!(marks.len() >= 10, "{marks:?}");
    for id in [marks[1], marks[marks.len() - 1]] {
        visit.chrome.eval(&format!(
            "document.querySelector('.anchor[href=\"#{id}\"]').click()"
        ));
        visit.address_is(id);
        visit.chrome.until(&format!("{TOAST}.includes('Copied.')"));
        let wanted = format!("{}#{id}", visit.site.url());
        assert_eq!(visit.chrome.text("navigator.clipboard.readText()"), wanted);
        visit.chrome.press("Escape");
        visit.chrome.until(&format!("!{TOAST}.includes('Copied.')"));
    }
    // The place is named after its heading.
    let names = visit.chrome.text(
        "[...document.querySelectorAll('.heading')].filter(it => it.querySelector('.anchor')
            .getAttribute('aria-label') !== 'Link to: ' + it.firstElementChild.textContent)
            .map(it => it.textContent).join()",
    );
    assert_eq!(names, "");
    visit.went_well();
}

#[test]
fn the_bibtex_entry_is_copied_as_it_stands() {
    let Some(mut visit) = opened("setup") else {
        return;
    };
    visit.chrome.clipboard("granted");
    let button = "document.querySelector('button[data-copies=bibtex]')";
    visit.chrome.until(&format!("{button}.checkVisibility()"));
    visit.chrome.eval(&format!("{button}.focus()"));
    visit.chrome.press("Enter");
    visit.chrome.until(&format!("{TOAST}.includes('Copied.')"));
    let copied = visit.chrome.text("navigator.clipboard.readText()");
    assert_eq!(
        copied,
        visit
            .chrome
            .text("document.getElementById('bibtex').innerText")
    );
    assert!(
        copied.starts_with("@software{") && copied.ends_with("\n}"),
        "{copied}"
    );
    // Refused, it can be copied by hand.
    visit.chrome.clipboard("denied");
    visit.chrome.press("Enter");
    let by_hand = "document.querySelector('.toast .by-hand')";
    visit.chrome.until(&format!("{by_hand}.checkVisibility()"));
    assert_eq!(visit.chrome.text(&format!("{by_hand}.value")), copied);
    visit.went_well();
}

#[test]
fn a_teacher_hides_controls() {
    let name = "easy_correct";
    let shown = |control: &str| {
        format!(
            "{}.querySelector('{control}').checkVisibility()",
            demo(name)
        )
    };
    let Some(mut visit) = opened("happy-case?v=1&controls=temperature,resample") else {
        return;
    };
    visit.shows(name, "model", "table");
    let all = [
        (".temperature", true),
        (".temperature-number", true),
        (".resample", true),
        ("select.count", false),
        ("select.device", false),
        ("input.tempered", false),
        (".training", false),
        (".play", false),
        (".copy-link", false),
    ];
    for (control, is_shown) in all {
        assert_eq!(visit.is_true(&shown(control)), is_shown, "{control}");
    }
    // The keyboard finds nothing else in the demo.
    visit.chrome.eval(&format!(
        "{}.querySelector('.temperature').focus()",
        demo(name)
    ));
    let place =
        "document.activeElement.className + ' ' + !!document.activeElement.closest('.demo')";
    for expected in ["temperature-number true", "resample true"] {
        visit.chrome.press("Tab");
        assert_eq!(visit.chrome.text(place), expected);
    }
    visit.chrome.press("Tab");
    assert!(!visit.chrome.text(place).ends_with(name));
    assert!(visit.is_true(
        "![...document.querySelectorAll('details.study, .predict')].some(d => d.checkVisibility())"
    ));
    // What is left goes on, and keeps the rest hidden.
    visit.set(name, ".temperature", "2");
    visit.address_is("happy-case?v=1&easy_correct.temperature=2&controls=temperature,resample");

    visit
        .chrome
        .eval("void (location.hash = 'happy-case?v=1&controls=none')");
    visit.chrome.until(&format!("!{}", shown(".temperature")));
    assert!(visit.is_true(
        "![...document.querySelectorAll('.demo button, .demo input, .demo select')]\
         .some(c => c.checkVisibility())"
    ));
    visit.chrome.eval("void (location.hash = 'happy-case?v=1')");
    visit.chrome.until(&shown(".play"));
    visit.went_well();
}

/// The laboratory's words and the page's are in one address, and neither takes the other's away.
#[test]
fn the_laboratory_shares_the_address() {
    let Some(mut visit) = opened("lab?v=1&preset=hard_on_policy&batch=64&easy_correct.seed=3")
    else {
        return;
    };
    visit
        .chrome
        .until("document.querySelector('#lab-app .lab') !== null");
    let batch = "document.querySelector('#lab-batch').value";
    assert_eq!(visit.chrome.text(batch), "64");
    assert!(visit.is_true("document.querySelector('.lab-notes').hidden"));
    visit.chrome.eval(
        "(() => {
            const it = document.querySelector('#lab-batch');
            it.value = '32';
            for (const kind of ['input', 'change'])
                it.dispatchEvent(new Event(kind, { bubbles: true }));
        })()",
    );
    visit.address_is("lab?v=1&preset=hard_on_policy&batch=32&easy_correct.seed=3");
    visit.scroll_to("easy_correct");
    visit.set("easy_correct", ".temperature", "2");
    visit.address_is(
        "happy-case?v=1&preset=hard_on_policy&batch=32&easy_correct.temperature=2&easy_correct.seed=3",
    );
    // A preset is the laboratory's alone.
    visit
        .chrome
        .eval("document.querySelector('.lab-presets a[href$=four_mode]').click()");
    visit.chrome.until(&format!("{batch} === '256'"));
    visit.address_is("lab?v=1&preset=four_mode&easy_correct.temperature=2&easy_correct.seed=3");
    assert_eq!(visit.value("easy_correct", ".temperature"), "2");
    visit.went_well();
}
