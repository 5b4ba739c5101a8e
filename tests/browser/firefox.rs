//! The page in Firefox, on the CPU: all five demos with Chromium's scores, and the laboratory.
//!
//! Firefox is driven over WebDriver BiDi, JSON over one WebSocket, which it speaks itself: no other
//! program is needed. `GFLOWNET_TOUR_FIREFOX` names the browser, else `firefox-esr` or `firefox` is
//! taken from PATH; where there is none, the test says that it was skipped.

use crate::chrome::{Gpu, Turn, turn};
use crate::site::Site;
use crate::socket::Socket;
use crate::{demo, dist, painted, visit};
use gflownet_tour::experiment::EXPERIMENTS;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

/// Firefox with one tab; it ends when dropped.
struct Firefox {
    process: Child,
    socket: Socket,
    /// The tab.
    context: String,
    last_id: u64,
    /// Errors that were logged.
    problems: Vec<String>,
    _profile: tempfile::TempDir,
    _turn: Turn,
}

/// What a test profile needs: nothing is fetched but the page, and no WebGPU, where Firefox has it.
const PREFERENCES: &str = r#"
user_pref("dom.webgpu.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
user_pref("toolkit.telemetry.enabled", false);
user_pref("remote.active-protocols", 1);
"#;

/// The browser to test with, if there is one.
fn program() -> Option<OsString> {
    if let Some(named) = env::var_os("GFLOWNET_TOUR_FIREFOX") {
        return Some(named);
    }
    let path = env::var_os("PATH")?;
    let names = ["firefox-esr", "firefox"];
    let found = names.iter().find_map(|name| {
        env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    });
    found.map(Into::into)
}

impl Firefox {
    fn launch(program: &Path) -> Firefox {
        let turn = turn();
        let profile = tempfile::tempdir().expect("a temporary folder");
        fs::write(profile.path().join("user.js"), PREFERENCES).expect("it can be written to");
        let process = Command::new(program)
            .args([
                "--headless",
                "--no-remote",
                "--remote-debugging-port=0",
                "--profile",
            ])
            .arg(profile.path())
            .arg("about:blank")
            // Its own home: a container's may belong to another user, which Firefox refuses.
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|why| panic!("cannot start {}: {why}", program.display()));
        // It writes its port to this file once it listens.
        let file = profile.path().join("WebDriverBiDiServer.json");
        let deadline = Instant::now() + Duration::from_secs(120);
        let socket = loop {
            let written = fs::read_to_string(&file).unwrap_or_default();
            let written: Value = serde_json::from_str(&written).unwrap_or_default();
            if let Some(port) = written["ws_port"].as_u64().and_then(|p| p.try_into().ok()) {
                break Socket::connect(port, "/session", Duration::from_secs(120))
                    .expect("Firefox listens");
            }
            assert!(
                Instant::now() < deadline,
                "Firefox did not start in 2 minutes"
            );
            sleep(Duration::from_millis(50));
        };
        let mut firefox = Firefox {
            process,
            socket,
            context: String::new(),
            last_id: 0,
            problems: Vec::new(),
            _profile: profile,
            _turn: turn,
        };
        firefox.call("session.new", json!({ "capabilities": {} }));
        firefox.call("session.subscribe", json!({ "events": ["log.entryAdded"] }));
        let tree = firefox.call("browsingContext.getTree", json!({}));
        firefox.context = tree["contexts"][0]["context"]
            .as_str()
            .expect("Firefox has a tab")
            .to_owned();
        firefox
    }

    fn open(&mut self, url: &str) {
        let context = self.context.clone();
        self.call(
            "browsingContext.setViewport",
            json!({ "context": context, "viewport": { "width": 1280, "height": 900 } }),
        );
        self.call(
            "browsingContext.navigate",
            json!({ "context": context, "url": url, "wait": "complete" }),
        );
    }

    /// What the JavaScript expression gives; a promise is awaited.
    #[track_caller]
    fn eval(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "script.evaluate",
            json!({
                "expression": format!("Promise.resolve({expression}).then(it => JSON.stringify(it ?? null))"),
                "target": { "context": self.context },
                "awaitPromise": true,
            }),
        );
        assert_eq!(answer["type"], "success", "{expression}\nthrew {answer}");
        let text = answer["result"]["value"].as_str().unwrap_or("null");
        serde_json::from_str(text).expect("JSON.stringify writes JSON")
    }

    #[track_caller]
    fn text(&mut self, expression: &str) -> String {
        let value = self.eval(expression);
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    }

    /// Wait until the JavaScript condition holds.
    #[track_caller]
    fn until(&mut self, condition: &str) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.eval(condition) != Value::Bool(true) {
            if Instant::now() > deadline {
                let page = self.text(
                    "[document.documentElement.dataset.engine, ...[...document\
                     .querySelectorAll('.demo')].map(d => JSON.stringify(d.dataset))].join('\\n')",
                );
                panic!(
                    "after two minutes this is still not so: {condition}\nproblems: {:#?}\n{page}",
                    self.problems
                );
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Set a demo's control, or press it, and wait for another batch.
    fn act(&mut self, name: &str, control: &str, action: &str) {
        let demo = demo(name);
        let before = self.text(&format!("{demo}.dataset.batch"));
        self.eval(&format!(
            "(() => {{ const it = {demo}.querySelector('{control}'); {action}; }})()"
        ));
        self.until(&format!("{demo}.dataset.batch !== '{before}'"));
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let command = json!({ "id": self.last_id, "method": method, "params": parameters });
        self.socket
            .send(&command.to_string())
            .expect("Firefox still listens");
        loop {
            let message = self
                .socket
                .receive()
                .expect("Firefox answers within 2 minutes");
            let message: Value = serde_json::from_str(&message).expect("Firefox speaks JSON");
            if message["method"] == "log.entryAdded" && message["params"]["level"] == "error" {
                let entry = &message["params"];
                self.problems
                    .push(format!("{} {}", entry["text"], entry["stackTrace"]));
            }
            if message["id"] == self.last_id {
                assert_eq!(message["type"], "success", "{method}: {message}");
                return message["result"].clone();
            }
        }
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        // Its other processes end with the first.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// JavaScript that sets a control to a value, as a reader does.
fn set(value: &str) -> String {
    format!(
        "it.value = '{value}';
         for (const kind of ['input', 'change'])
             it.dispatchEvent(new Event(kind, {{ bubbles: true }}))"
    )
}

#[test]
fn firefox_shows_what_chromium_shows() {
    let Some(dist) = dist() else {
        return;
    };
    let Some(program) = program() else {
        eprintln!(
            "firefox: SKIPPED, there is no firefox-esr or firefox on PATH, and GFLOWNET_TOUR_FIREFOX \
             names none; Debian has it as `apt-get install firefox-esr`"
        );
        return;
    };
    let mut expected = Vec::new();
    {
        let mut visit = visit(Gpu::Denied, |_| {}).expect("there is a page");
        for experiment in &EXPERIMENTS {
            visit.shows(experiment.name, "model", "table");
            expected.push(
                visit
                    .data(experiment.name, "tv")
                    .parse::<f64>()
                    .expect("a number"),
            );
        }
    }
    let site = Site::serve(&dist);
    let mut firefox = Firefox::launch(Path::new(&program));
    firefox.open(&site.url());
    firefox.until(
        "document.documentElement.dataset.engine === 'cpu'
            && (window.isGreeted ||= window.dispatchEvent(new Event('pointermove')))
            && document.querySelector('[data-live=soon]') === null",
    );
    eprintln!("firefox: {}", firefox.text("navigator.userAgent"));
    for (experiment, expected) in EXPERIMENTS.iter().zip(expected) {
        let name = experiment.name;
        let it = demo(name);
        firefox.eval(&format!(
            "void {it}.querySelector('canvas').scrollIntoView({{ block: 'center' }})"
        ));
        firefox.until(&format!(
            "{it}.dataset.state === 'model' && {it}.dataset.device === 'table'"
        ));
        firefox.until(&painted(&format!("{it}.querySelector('canvas')")));
        let shown: f64 = firefox
            .text(&format!("{it}.dataset.tv"))
            .parse()
            .expect("a number");
        eprintln!("firefox: {name}: total variation {shown}, in Chromium {expected}");
        assert!(
            (shown - expected).abs() <= 1e-4,
            "{name}: {shown} {expected}"
        );
        let status = firefox.text(&format!("{it}.querySelector('.status').textContent"));
        assert!(status.contains("CPU"), "{name}: {status}");
    }

    // A drag, fresh samples, and the network in the place of its table.
    let name = "easy_correct";
    let it = demo(name);
    let picture = format!("{it}.querySelector('canvas').toDataURL()");
    let state = format!("{it}.dataset.histogram + {it}.dataset.tv");
    let mut seen = vec![(firefox.text(&picture), firefox.text(&state))];
    let drag = "for (let i = 0; i <= 50; i++) {
        it.value = 1 - i / 100;
        it.dispatchEvent(new Event('input', { bubbles: true }));
    }";
    for (control, action) in [
        ("input.temperature", drag),
        ("button.resample", "it.click()"),
        ("select.count", &set("10000")),
    ] {
        firefox.act(name, control, action);
        firefox.until(&format!(
            "{picture} !== {} && {state} !== {}",
            Value::from(seen[seen.len() - 1].0.as_str()),
            Value::from(seen[seen.len() - 1].1.as_str())
        ));
        sleep(Duration::from_millis(500));
        seen.push((firefox.text(&picture), firefox.text(&state)));
    }
    firefox.act(name, "select.device", &set("cpu"));
    firefox.until(&format!("{it}.dataset.device === 'cpu'"));

    // A part that asks the worker, and the laboratory.
    let algebra = crate::study("algebra");
    firefox.eval(&format!("void {algebra}.querySelector('summary').click()"));
    firefox.until(&format!("{algebra}.dataset.state === 'answered'"));
    firefox.eval(
        "(location.hash = 'lab?v=1&preset=easy_correct&batch=32&iterations=40',
          void document.querySelector('#lab').scrollIntoView())",
    );
    firefox.until("document.querySelector('#lab-app .lab') !== null");
    firefox.eval("void document.querySelector('#lab-app .lab-play').click()");
    firefox.until("document.querySelector('.lab-watch').dataset.phase === 'finished'");
    firefox.until(&painted(
        "document.querySelector('#lab-app .lab-figure canvas')",
    ));
    let iteration = firefox.text("document.querySelector('.lab-watch').dataset.iteration");
    assert_eq!(iteration, "40");

    assert_eq!(firefox.problems, [] as [String; 0]);
    assert_eq!(site.strays(), [] as [String; 0]);
}
