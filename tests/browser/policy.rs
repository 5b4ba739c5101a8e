//! The page's policy: nothing from elsewhere, nothing inline, nothing sent.

use crate::chrome::Gpu;
use crate::{question, visit};
use gflownet_tour_release::policy;
use serde_json::Value;
use std::fs;

const WATCH: &str = "window.refused = [];
    document.addEventListener('securitypolicyviolation', event =>
        window.refused.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));";
const REFUSED: &str = "window.refused";

#[test]
fn a_whole_visit_breaks_no_policy_and_sends_nothing() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    visit.chrome.before_pages(WATCH);
    visit.chrome.open(&visit.site.url());
    visit.engine_is("cpu");
    for name in [
        "easy_correct",
        "easy_buggy",
        "four_mode",
        "four_mode_solved",
    ] {
        visit.shows(name, "model", "table");
    }
    visit.open_study("algebra", "easy_buggy");
    let bug = question("bug");
    visit
        .chrome
        .eval(&format!("{bug}.querySelectorAll('input')[1].click()"));
    visit.scroll_to_conditional();
    visit.chrome.eval(
        "location.hash = 'lab?v=1&preset=easy_correct&batch=16&iterations=40';
         document.querySelector('#lab').scrollIntoView()",
    );
    visit
        .chrome
        .until("document.querySelector('#lab-app .lab') !== null");
    visit.lab_click(".lab-play");
    visit.lab_phase("finished");
    // All files that a reader can take away.
    let buttons = "document.querySelectorAll('.lab-keep button')";
    assert!(visit.chrome.number(&format!("{buttons}.length")) > 3.0);
    visit.chrome.eval(&format!(
        "for (const it of {buttons}) if (!it.matches('.lab-forget')) it.click()"
    ));
    visit.chrome.until("document.readyState === 'complete'");
    visit
        .chrome
        .until("navigator.serviceWorker.controller !== null");
    assert_eq!(visit.chrome.eval(REFUSED), serde_json::json!([]));
    visit.went_well();

    assert_eq!(visit.site.sent(), [] as [String; 0]);
    assert_eq!(visit.chrome.text("document.cookie"), "");
    let elsewhere = visit.chrome.eval(
        "performance.getEntriesByType('resource').map(entry => entry.name)
            .filter(name => !name.startsWith(new URL('./', location).href))",
    );
    assert_eq!(elsewhere, serde_json::json!([]));
}

/// What a policy is for: this page refuses what others would run, load or send.
#[test]
fn the_policy_is_in_force() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    visit.chrome.before_pages(WATCH);
    visit.chrome.open(&visit.site.url());
    visit.shows("easy_correct", "model", "table");
    for (act, directive) in [
        (
            "const it = document.createElement('script');
             it.textContent = 'window.ran = true';
             document.body.append(it);",
            "script-src",
        ),
        (
            "document.body.setAttribute('style', 'color: red')",
            "style-src",
        ),
        (
            "fetch('http://127.0.0.1:9/').catch(() => {})",
            "connect-src",
        ),
        (
            "const it = document.createElement('img');
             it.src = 'http://127.0.0.1:9/';",
            "img-src",
        ),
        (
            "const it = document.createElement('form');
             it.method = 'post';
             document.body.append(it);
             it.submit();",
            "form-action",
        ),
    ] {
        visit.chrome.eval(&format!("{REFUSED} = []; {{ {act} }}"));
        visit.chrome.until(&format!(
            "{REFUSED}.some(text => text.startsWith('{directive}'))"
        ));
    }
    assert_eq!(visit.chrome.eval("window.ran === true"), Value::Bool(false));
}

/// What hosts are told is what the HTML says.
#[test]
fn hosts_are_told_the_same_policy() {
    let Some(dist) = crate::dist() else { return };
    let html = fs::read_to_string(dist.join("index.html")).expect("it is there");
    let policy = policy(&html).expect("it has one");
    for part in [
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "object-src 'none'",
    ] {
        assert!(policy.split("; ").any(|it| it == part), "{policy}");
    }
    assert!(!policy.contains("unsafe-inline") && !policy.contains("http"));
    let headers = fs::read_to_string(dist.join("_headers")).expect("it is there");
    assert!(headers.contains(&format!("\n  Content-Security-Policy: {policy}\n")));
}
