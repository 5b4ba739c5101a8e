//! A real headless Chrome or Chromium, driven over the DevTools protocol.
//!
//! The protocol is JSON over one WebSocket, and the tests need few of its commands: a client of
//! our own compiles in a second and sees the worker's console as well as the page's.

use crate::socket::Socket;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

/// How many browsers of these tests run.
static RUNNING: Mutex<usize> = Mutex::new(0);
static ONE_ENDED: Condvar = Condvar::new();

/// How many may: one leaves half of two cores idle, more than the machine has cores slow each other down
/// until waits end too early, and more than four want much memory.
fn lanes() -> usize {
    available_parallelism().map_or(1, |cores| cores.get().min(4))
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Has a page or a worker know the bytes of its WASM memories, as `wasmBytes()`. The protocol's own way,
/// `Runtime.queryObjects`, crashes workers of Chromium 156 at times.
const WASM_BYTES: &str = "{
    const memories = new Set();
    const noted = instance => {
        for (const it of Object.values(instance.exports))
            if (it instanceof WebAssembly.Memory) memories.add(new WeakRef(it));
        return instance;
    };
    const { instantiate, instantiateStreaming } = WebAssembly;
    const noting = real => async (...all) => {
        const made = await real.apply(WebAssembly, all);
        noted(made.instance ?? made);
        return made;
    };
    WebAssembly.instantiate = noting(instantiate);
    WebAssembly.instantiateStreaming = noting(instantiateStreaming);
    WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
        construct: (Instance, all) => noted(new Instance(...all)),
    });
    const bytes = memory => memory.deref()?.buffer.byteLength ?? 0;
    globalThis.wasmBytes = () => [...memories].reduce((sum, memory) => sum + bytes(memory), 0);
}";

/// Leave to run a browser, given back when dropped.
pub struct Turn(());

/// Waits until another browser may run.
pub fn turn() -> Turn {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut running = ONE_ENDED
        .wait_while(running, |running| *running >= lanes())
        .unwrap_or_else(PoisonError::into_inner);
    *running += 1;
    Turn(())
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ONE_ENDED.notify_one();
    }
}

/// Whether the browser may use WebGPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gpu {
    /// SwiftShader, a GPU emulated on the CPU, where the machine has no real one.
    Allowed,
    /// `navigator.gpu` may be there, but gives no adapter.
    Denied,
}

/// Bytes that a page and its workers hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// JavaScript's objects.
    pub scripts: u64,
    /// The memories of WASM.
    pub wasm: u64,
    /// All that the page's processes hold of the machine's memory, where the system tells.
    pub resident: u64,
}

/// A browser with one tab; it ends when dropped.
pub struct Chrome {
    process: Child,
    socket: Socket,
    /// The tab, and its protocol session.
    tab: String,
    session: String,
    /// Its workers' sessions.
    workers: Vec<String>,
    last_id: u64,
    /// Console errors and uncaught exceptions of the page and its workers.
    problems: Vec<String>,
    runs_scripts: bool,
    /// Whether the page and its workers count their memories.
    counts_memory: bool,
    /// Events that are still to be waited for.
    events: VecDeque<Value>,
    _profile: tempfile::TempDir,
    _turn: Turn,
}

impl Chrome {
    /// Start the browser that the variable CHROME names, else Chromium from PATH.
    pub fn launch(gpu: Gpu) -> Chrome {
        let turn = turn();
        let program = std::env::var_os("CHROME").unwrap_or_else(|| "chromium".into());
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(&program);
        command
            .args([
                "--headless",
                // The sandbox needs what containers and root do not have; the only pages
                // opened are ours.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                // Nothing outside this machine is asked: a page that tries shows an error.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if gpu == Gpu::Allowed {
            command.arg("--enable-unsafe-webgpu");
        }
        let process = command
            .arg("about:blank")
            .spawn()
            .unwrap_or_else(|why| panic!("cannot start {}: {why}; set CHROME", program.display()));

        // Chrome writes its port and path to this file once it listens.
        let port_file = profile.path().join("DevToolsActivePort");
        let deadline = Instant::now() + Duration::from_secs(60);
        let socket = loop {
            let written = fs::read_to_string(&port_file).unwrap_or_default();
            if let Some((port, path)) = written.split_once('\n')
                && let Ok(port) = port.parse()
            {
                break Socket::connect(port, path.trim(), PATIENCE).expect("Chrome listens");
            }
            assert!(Instant::now() < deadline, "Chrome did not start in 60 s");
            sleep(Duration::from_millis(20));
        };

        let mut chrome = Chrome {
            process,
            socket,
            tab: String::new(),
            session: String::new(),
            workers: Vec::new(),
            last_id: 0,
            problems: Vec::new(),
            runs_scripts: true,
            counts_memory: false,
            events: VecDeque::new(),
            _profile: profile,
            _turn: turn,
        };
        let tab = chrome.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = chrome.call(
            "Target.attachToTarget",
            json!({ "targetId": tab["targetId"], "flatten": true }),
        );
        chrome.tab = text(&tab["targetId"]);
        chrome.session = text(&attached["sessionId"]);
        for (method, parameters) in [
            ("Page.enable", json!({})),
            ("Runtime.enable", json!({})),
            ("Log.enable", json!({})),
            ("Inspector.enable", json!({})),
            ("Target.setAutoAttach", attach_to_workers()),
        ] {
            chrome.call(method, parameters);
        }
        chrome
    }

    /// Load a page; returns when it and its style sheets are there, and of ours also all live parts,
    /// which come when a reader does something and rests, or the word that they cannot be had. A page
    /// that has neither after a while is as it is.
    pub fn open(&mut self, url: &str) {
        self.load("Page.navigate", json!({ "url": url }));
        self.settle();
    }

    /// Load the page again, as [`Chrome::open`].
    pub fn reload(&mut self) {
        self.load("Page.reload", json!({}));
        self.settle();
    }

    fn settle(&mut self) {
        let settled = "document.getElementById('still') === null
            || document.getElementById('still').dataset.failed !== undefined
            || document.documentElement.dataset.engine !== undefined
                && (window.isGreeted ||= window.dispatchEvent(new Event('pointermove')))
                && document.querySelector('[data-live=soon]') === null";
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.runs_scripts
            && self.eval(settled) != Value::Bool(true)
            && Instant::now() < deadline
        {
            sleep(Duration::from_millis(20));
        }
    }

    /// Load a page; returns when it and its style sheets are there, whatever its scripts still do.
    pub fn load(&mut self, method: &str, parameters: Value) {
        self.events.clear();
        let answer = self.call(method, parameters);
        assert!(answer.get("errorText").is_none(), "{method}: {answer}");
        loop {
            while let Some(event) = self.events.pop_front() {
                if event["method"] == "Page.loadEventFired" {
                    return;
                }
            }
            self.receive();
        }
    }

    /// Run `script` in every page that is opened from now on, before its own scripts.
    pub fn before_pages(&mut self, script: &str) {
        self.call(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": script }),
        );
    }

    /// Freeze the page, as browsers do with tabs that nobody looks at, or wake it.
    pub fn freeze(&mut self, is_frozen: bool) {
        let state = if is_frozen { "frozen" } else { "active" };
        self.call("Page.setWebLifecycleState", json!({ "state": state }));
    }

    /// Have the pages opened from now on, and all their workers, count their memory for
    /// [`Chrome::memory`].
    pub fn count_memory(&mut self) {
        self.counts_memory = true;
        self.before_pages(WASM_BYTES);
    }

    /// What the page and its workers hold after a collection of garbage.
    pub fn memory(&mut self) -> Memory {
        assert!(
            self.counts_memory,
            "call `count_memory` before the page is opened"
        );
        let mut memory = Memory::default();
        // What the browser would give back when memory is short is not held.
        self.call(
            "Memory.simulatePressureNotification",
            json!({ "level": "critical" }),
        );
        let page = self.session.clone();
        for session in self.workers.clone().into_iter().chain([page]) {
            let held = self.held(&session, &mut memory);
            // A worker may have ended meanwhile, and then holds nothing.
            let is_there = session == self.session || self.workers.contains(&session);
            assert!(held.is_ok() || !is_there, "{held:?}");
        }
        let processes = self
            .call_in("", "SystemInfo.getProcessInfo", json!({}))
            .expect("the browser knows its processes");
        for process in processes["processInfo"].as_array().into_iter().flatten() {
            if process["type"] == "renderer" {
                memory.resident += resident(process["id"].as_u64().unwrap_or(0));
            }
        }
        memory
    }

    fn held(&mut self, session: &str, memory: &mut Memory) -> Result<(), Value> {
        self.call_in(session, "HeapProfiler.collectGarbage", json!({}))?;
        let heap = self.call_in(session, "Runtime.getHeapUsage", json!({}))?;
        memory.scripts += heap["usedSize"].as_u64().unwrap_or(0);
        let sum = self.call_in(
            session,
            "Runtime.evaluate",
            json!({ "expression": "wasmBytes()", "returnByValue": true }),
        )?;
        let sum = sum["result"]["value"].as_u64();
        memory.wasm += sum.ok_or_else(|| json!("it does not count its memory"))?;
        Ok(())
    }

    /// What the JavaScript expression gives; a promise is awaited.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }),
        );
        if let Some(exception) = answer.get("exceptionDetails") {
            panic!("{expression}\nthrew {}", describe(exception));
        }
        answer["result"]["value"].clone()
    }

    /// [`Chrome::eval`] for an expression that gives a string.
    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        text(&self.eval(expression))
    }

    /// [`Chrome::eval`] for an expression that gives a number.
    #[track_caller]
    pub fn number(&mut self, expression: &str) -> f64 {
        let value = self.eval(expression);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{expression} gave {value}, not a number"))
    }

    /// Wait until the JavaScript condition holds; fails after two minutes with what the page says.
    #[track_caller]
    pub fn until(&mut self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.eval(condition) != Value::Bool(true) {
            if Instant::now() > deadline {
                let page = self.text(
                    "document.documentElement.dataset.engine + '\\n' + [...document\
                     .querySelectorAll('.demo')].map(d => JSON.stringify(d.dataset) + ' '\
                     + d.querySelector('.status')?.textContent).join('\\n')",
                );
                panic!(
                    "after two minutes this is still not so: {condition}\nproblems: {:#?}\nengine: {page}",
                    self.problems
                );
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Press and release a key, by its DOM name, where the focus is.
    pub fn press(&mut self, key: &str) {
        // Chrome acts on keys without a character by their old Windows code.
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Space" => 32,
            "Escape" => 27,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => panic!("no code for the key {key}"),
        };
        // A key that has a character does nothing without it.
        let character = match key {
            "Enter" => "\r",
            "Space" => " ",
            _ => "",
        };
        let name = if key == "Space" { " " } else { key };
        for kind in ["rawKeyDown", "char", "keyUp"] {
            if kind == "char" && character.is_empty() {
                continue;
            }
            self.call(
                "Input.dispatchKeyEvent",
                json!({
                    "type": kind,
                    "key": name,
                    "code": key,
                    "text": character,
                    "windowsVirtualKeyCode": code,
                }),
            );
        }
    }

    /// Lets the pages that are opened from now on run scripts, or not.
    pub fn scripts(&mut self, are_allowed: bool) {
        self.runs_scripts = are_allowed;
        self.call(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": !are_allowed }),
        );
    }

    /// Set the viewport's size in CSS pixels and the colour scheme, "light" or "dark".
    pub fn screen(&mut self, width: u32, height: u32, scheme: &str) {
        self.screen_of(width, height, 1);
        self.prefers(scheme, "no-preference");
    }

    /// Set the viewport's size in CSS pixels, and how many of the screen's make one of these.
    pub fn screen_of(&mut self, width: u32, height: u32, ratio: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({
                "width": width,
                "height": height,
                "deviceScaleFactor": ratio,
                "mobile": width < 600,
            }),
        );
    }

    /// Set the reader's colour scheme, and "reduce" or "no-preference" for motion.
    pub fn prefers(&mut self, scheme: &str, motion: &str) {
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": [
                { "name": "prefers-color-scheme", "value": scheme },
                { "name": "prefers-reduced-motion", "value": motion },
            ] }),
        );
    }

    /// Show the page as on paper, or again as on the screen.
    pub fn paper(&mut self, is_paper: bool) {
        let media = if is_paper { "print" } else { "" };
        self.call("Emulation.setEmulatedMedia", json!({ "media": media }));
    }

    /// Add a style sheet of the reader's own, which the page's policy does not concern.
    pub fn style(&mut self, css: &str) {
        for domain in ["DOM.enable", "CSS.enable"] {
            self.call(domain, json!({}));
        }
        let tree = self.call("Page.getFrameTree", json!({}));
        let frame = &tree["frameTree"]["frame"]["id"];
        let sheet = self.call("CSS.createStyleSheet", json!({ "frameId": frame }));
        let id = &sheet["styleSheetId"];
        self.call(
            "CSS.setStyleSheetText",
            json!({ "styleSheetId": id, "text": css }),
        );
    }

    /// Move the pointer to a place in the window, in CSS pixels.
    pub fn point(&mut self, x: f64, y: f64) {
        self.call(
            "Input.dispatchMouseEvent",
            json!({ "type": "mouseMoved", "x": x, "y": y }),
        );
    }

    /// Put another tab before this one: the page is hidden, and nothing of it is drawn.
    pub fn hide(&mut self) {
        self.activate(None);
    }

    /// Bring the tab back.
    pub fn show(&mut self) {
        self.activate(Some(self.tab.clone()));
    }

    /// Brings a tab to the front; none is a new one.
    fn activate(&mut self, tab: Option<String>) {
        // Tabs are the browser's matter.
        let session = std::mem::take(&mut self.session);
        let tab = tab.unwrap_or_else(|| {
            let other = self.call("Target.createTarget", json!({ "url": "about:blank" }));
            text(&other["targetId"])
        });
        self.call("Target.activateTarget", json!({ "targetId": tab }));
        self.session = session;
    }

    /// Whether pages may write to the clipboard, and can do so without a reader in front of them.
    pub fn clipboard(&mut self, setting: &str) {
        self.call(
            "Emulation.setFocusEmulationEnabled",
            json!({ "enabled": true }),
        );
        for name in ["clipboard-write", "clipboard-read"] {
            self.call(
                "Browser.setPermission",
                json!({ "permission": { "name": name }, "setting": setting }),
            );
        }
    }

    /// Write a picture of the whole page, as PNG.
    pub fn screenshot(&mut self, path: &Path) {
        self.capture(path, true);
    }

    /// Write a picture of what is in view, as PNG.
    pub fn picture(&mut self, path: &Path) {
        self.capture(path, false);
    }

    fn capture(&mut self, path: &Path, is_whole: bool) {
        use base64::Engine;
        let answer = self.call(
            "Page.captureScreenshot",
            json!({ "format": "png", "captureBeyondViewport": is_whole }),
        );
        let picture = base64::engine::general_purpose::STANDARD
            .decode(text(&answer["data"]))
            .expect("the picture is in base 64");
        fs::write(path, picture).expect("the picture can be written");
    }

    /// Console errors and uncaught exceptions so far, in the page and its workers.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Send a command to the tab, or to the browser before there is one, and wait for its answer.
    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        let session = self.session.clone();
        self.call_in(&session, method, parameters)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Send a command to one of the sessions, the browser's having no name, and wait for its answer.
    /// A worker that ends meanwhile gives none.
    fn call_in(&mut self, session: &str, method: &str, parameters: Value) -> Result<Value, Value> {
        let is_there = |chrome: &Chrome| chrome.workers.iter().any(|worker| worker == session);
        let is_worker = is_there(self);
        let id = self.send(session, method, parameters);
        loop {
            let Some(answer) = self.receive() else {
                if is_worker && !is_there(self) {
                    return Err(json!("this worker ended"));
                }
                continue;
            };
            if answer["id"] != id {
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(error.clone()),
                None => Ok(answer["result"].clone()),
            };
        }
    }

    fn send(&mut self, session: &str, method: &str, parameters: Value) -> u64 {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if !session.is_empty() {
            command["sessionId"] = session.into();
        }
        self.socket
            .send(&command.to_string())
            .expect("Chrome still listens");
        self.last_id
    }

    /// Read one message: an answer is returned, an event is dealt with.
    fn receive(&mut self) -> Option<Value> {
        let message = self.socket.receive();
        let message = message.expect("Chrome answers within 2 minutes");
        let message: Value = serde_json::from_str(&message).expect("Chrome speaks JSON");
        if message.get("id").is_some() {
            return Some(message);
        }
        let parameters = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => {
                let problem = describe(&parameters["exceptionDetails"]);
                // A version that cannot be kept whole is refused so; `offline` has the tests of that.
                if !(problem.contains("at async install (") && problem.contains("/sw.js:")) {
                    self.problems.push(problem);
                }
            }
            "Runtime.consoleAPICalled"
                if matches!(parameters["type"].as_str(), Some("error" | "assert")) =>
            {
                let words: Vec<String> = parameters["args"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|arg| text(arg.get("value").unwrap_or(&arg["description"])))
                    .collect();
                self.problems.push(format!("console: {}", words.join(" ")));
            }
            "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
                let entry = &parameters["entry"];
                self.problems.push(format!(
                    "log: {} {}",
                    text(&entry["text"]),
                    text(&entry["url"])
                ));
            }
            // The tab is known.
            "Target.attachedToTarget" if parameters["targetInfo"]["type"] != "page" => {
                let worker = text(&parameters["sessionId"]);
                // Answers to these are of no interest.
                self.send(&worker, "Runtime.enable", json!({}));
                self.send(&worker, "Log.enable", json!({}));
                if self.counts_memory {
                    let expression = json!({ "expression": WASM_BYTES });
                    self.send(&worker, "Runtime.evaluate", expression);
                    self.send(&worker, "Target.setAutoAttach", attach_to_workers());
                }
                self.send(&worker, "Runtime.runIfWaitingForDebugger", json!({}));
                self.workers.push(worker);
            }
            "Target.detachedFromTarget" => {
                let gone = text(&parameters["sessionId"]);
                self.workers.retain(|worker| *worker != gone);
            }
            // A service worker that is stopped says the same.
            "Inspector.targetCrashed" if message["sessionId"] == *self.session => {
                panic!("Chrome's process of the page crashed")
            }
            _ => self.events.push_back(message),
        }
        None
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        // Its other processes end with the first.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A worker waits until its console is listened to.
fn attach_to_workers() -> Value {
    json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true })
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn describe(exception: &Value) -> String {
    let thrown = &exception["exception"];
    let what = thrown.get("description").or(thrown.get("value"));
    format!("exception: {}", text(what.unwrap_or(&exception["text"])))
}

/// The memory that a process holds, in bytes, where the system tells.
fn resident(process: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    1024 * kilobytes.unwrap_or(0u64)
}
