//! Workers with the engine, and what else lies beside the page.

use gflownet_tour_core::files::Files;
use js_sys::Reflect;
use leptos::prelude::*;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, EventTarget, Url, Worker, WorkerOptions, WorkerType};

/// The worker's script, beside the page.
pub const WORKER: &str = "worker.js";
/// What it runs.
const ENGINE: [&str; 2] = ["engine.js", "engine_bg.wasm"];

/// Has `act` called at every event of this kind, for good.
pub fn listen(target: &EventTarget, kind: &str, act: impl FnMut(Event) + 'static) {
    let act = Closure::<dyn FnMut(Event)>::new(act).into_js_value();
    // The browsers that have workers do not refuse a listener.
    let _ = target.add_event_listener_with_callback(kind, act.unchecked_ref());
}

/// A new worker with the engine.
pub fn start_worker() -> Result<Worker, String> {
    let files = beside_the_page()?;
    let [script, code] = ENGINE.map(|file| files.name(file));
    let url = format!("{}#{script},{code}", files.url(WORKER));
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    Worker::new_with_options(&url, &options)
        .map_err(|error| format!("{WORKER} could not be started: {error:?}"))
}

/// The machine's cores, as far as the browser says; one where it does not.
pub fn cores() -> usize {
    let of = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).ok();
    let navigator = of(&js_sys::global(), "navigator");
    let cores = navigator.and_then(|navigator| of(&navigator, "hardwareConcurrency")?.as_f64());
    cores.map_or(1, |cores| cores as usize)
}

/// The files in the page's own folder, by the table in its HTML.
pub fn beside_the_page() -> Result<Files, String> {
    let base = document().base_uri().ok().flatten();
    let folder = base.and_then(|base| Url::new_with_base("./", &base).ok());
    let folder =
        folder.ok_or("the page does not know its own address, so not that of its files")?;
    let table = document().get_element_by_id("files");
    let table = table.and_then(|table| table.text_content());
    Ok(Files::new(&folder.href(), &table.unwrap_or_default()))
}
