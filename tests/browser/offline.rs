//! The page without a connection, and from one version to the next.

use crate::chrome::Gpu;
use crate::site::Site;
use crate::{Visit, all_five_run, dist, visit};
use gflownet_tour_release::{finish, list, plain};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// The version that the HTML of the open page has.
const VERSION: &str = "document.getElementById('files').dataset.version";

fn version_of(dist: &Path) -> String {
    let html = fs::read_to_string(dist.join("index.html")).expect("it is there");
    let (_, rest) = html
        .split_once("data-version=\"")
        .expect("it has a version");
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// A later version of the page: of the kinds of files that it starts with, each one is another.
fn later_version(dist: &Path) -> TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = place.path().join("dist");
    let edited = ["style.css", "start.js", "page.js", "worker.js", "engine.js"];
    for name in list(dist).expect("it can be read") {
        let mut bytes = fs::read(dist.join(&name)).expect(&name);
        if edited.contains(&plain(&name).as_str()) {
            bytes.extend_from_slice(b"\n/* later */\n");
        }
        let path = folder.join(&name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        fs::write(path, bytes).expect("it can be written");
    }
    finish(&folder, None).expect("a sound folder");
    place
}

impl Visit {
    /// Wait until a version is kept whole, and its worker is the page's.
    fn keeps(&mut self, version: &str) {
        self.chrome.until(&format!(
            "(async () => {{
                const keys = (await caches.keys()).filter(key => key.endsWith(' {version}'));
                return keys.length === 1 && navigator.serviceWorker.controller !== null
                    && await (await caches.open(keys[0])).match('./') !== undefined;
            }})()"
        ));
    }

    /// The page that is open is of the version in `dist`, with its files and no others.
    fn is_all_of(&mut self, dist: &Path) {
        assert_eq!(self.chrome.text(VERSION), version_of(dist));
        self.shows("easy_correct", "model", "table");
        let files: BTreeSet<String> = list(dist).expect("it can be read").into_iter().collect();
        let loaded = self.chrome.eval(
            "performance.getEntriesByType('resource')
                .map(entry => new URL(entry.name))
                .map(url => url.href.slice(new URL('./', location).href.length).split(/[?#]/)[0])",
        );
        let loaded: Vec<String> = serde_json::from_value(loaded).expect("names");
        assert!(loaded.len() > 4, "{loaded:?}");
        for name in loaded {
            assert!(files.contains(&name), "{name} is of another version");
        }
        // The worker's files are not among these; the server lacks those of other versions.
        assert_eq!(self.site.strays(), [] as [String; 0]);
    }
}

#[test]
fn a_visited_page_works_without_a_connection() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let dist = dist().expect("there is one");
    visit.keeps(&version_of(&dist));
    // What is used once is kept, too.
    visit
        .chrome
        .eval("document.querySelector('#lab').scrollIntoView()");
    let laboratory = "document.querySelector('#lab-app .lab') !== null";
    visit.chrome.until(laboratory);
    let snapshots = "pretrained/snapshots/easy_correct.safetensors";
    assert_eq!(visit.site.times_asked(snapshots), 0, "nobody wanted it");
    visit.chrome.until(
        "(async () => {
            const files = JSON.parse(document.getElementById('files').textContent);
            return await caches.match(files['lab_bg.wasm']) !== undefined;
        })()",
    );

    visit.site.unreachable(true);
    visit.chrome.open(&visit.site.url());
    visit.engine_is("cpu");
    all_five_run(&mut visit, "table");
    visit
        .chrome
        .eval("document.querySelector('#lab').scrollIntoView()");
    visit.chrome.until(laboratory);
    visit.lab_click(".lab-play");
    visit
        .chrome
        .until("Number(document.querySelector('.lab-watch').dataset.iteration) > 5");
}

#[test]
fn a_later_version_is_taken_whole_and_not_in_mid_use() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let first = dist().expect("there is one");
    visit.keeps(&version_of(&first));
    visit.is_all_of(&first);
    let fetched = visit.site.times_asked("engine_bg.wasm");
    let place = later_version(&first);
    let second = place.path().join("dist");
    assert_ne!(version_of(&first), version_of(&second));

    visit.site.deploy(&second);
    visit.chrome.open(&visit.site.url());
    visit.is_all_of(&first);
    visit.keeps(&version_of(&second));
    assert_eq!(visit.chrome.text(VERSION), version_of(&first));
    // What both have was not fetched again.
    assert_eq!(visit.site.times_asked("engine_bg.wasm"), fetched);
    visit.act("easy_correct", "button.resample", "it.click()");

    visit.chrome.open(&visit.site.url());
    visit.is_all_of(&second);
    visit.site.unreachable(true);
    visit.chrome.open(&visit.site.url());
    visit.is_all_of(&second);
}

#[test]
fn a_half_deployed_version_leaves_the_old_one_working() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    let first = dist().expect("there is one");
    visit.keeps(&version_of(&first));
    let place = later_version(&first);
    let second = place.path().join("dist");
    let faults: [fn(&Site); 3] = [
        |site| site.hide("engine.js"),
        // As from a host that answers with its own page for what it has not.
        |site| site.edit("engine.js", |_| b"<!doctype html>".to_vec()),
        // The HTML is still the old one.
        |site| site.edit("index.html", |_| b"<!doctype html>".to_vec()),
    ];
    for (number, fault) in faults.iter().enumerate() {
        visit.site.deploy(&second);
        fault(&visit.site);
        visit.site.asked();
        visit.chrome.open(&visit.site.url());
        visit.is_all_of(&first);
        // The browser comes for the new one, and leaves without.
        let file = if number < 2 {
            "engine.js"
        } else {
            "index.html"
        };
        for _ in 0..1200 {
            if visit.site.times_asked(file) > 0 {
                break;
            }
            // Workers wait until a question to the browser has them noticed.
            visit.chrome.eval("0");
            sleep(Duration::from_millis(50));
        }
        assert!(visit.site.times_asked(file) > 0, "nobody came for {file}");
        let kept = format!(
            "(async () => (await caches.keys()).some(key => key.endsWith('{}')))()",
            version_of(&second)
        );
        visit.chrome.until(&format!("{kept}.then(is => !is)"));
        visit.chrome.open(&visit.site.url());
        visit.is_all_of(&first);
    }
    visit.site.deploy(&second);
    visit.chrome.open(&visit.site.url());
    visit.keeps(&version_of(&second));
    visit.chrome.open(&visit.site.url());
    visit.is_all_of(&second);
}

/// What an earlier page registered here goes when there is no version any more: `trunk serve`.
#[test]
fn a_worker_without_a_version_retires() {
    let Some(mut visit) = visit(Gpu::Denied, |_| {}) else {
        return;
    };
    visit.keeps(&version_of(&dist().expect("there is one")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/sw.js");
    let source = fs::read(source).expect("it is there");
    visit.site.edit("sw.js", |_| source);
    visit.chrome.open(&visit.site.url());
    visit.chrome.until(
        "(async () => (await caches.keys()).length === 0
            && (await navigator.serviceWorker.getRegistrations()).length === 0)()",
    );
    visit.shows("easy_correct", "model", "table");
    visit.went_well();
}

#[test]
fn without_service_workers_the_page_is_what_it_is() {
    for deny in [
        "Object.defineProperty(Navigator.prototype, 'serviceWorker', { get() {} });",
        "ServiceWorkerContainer.prototype.register = async () => {
             throw new DOMException('denied', 'SecurityError');
         };",
    ] {
        let Some(mut visit) = visit(Gpu::Denied, |site| {
            site.edit("offline.js", |script| {
                [deny.as_bytes(), b"\n", &script].concat()
            });
        }) else {
            return;
        };
        visit.shows("easy_correct", "model", "table");
        visit.engine_is("cpu");
        visit.went_well();
        assert_eq!(visit.site.times_asked("sw.js"), 0);
    }
}
