//! The few things that the worker takes from its global scope. There is no `window` in a worker.

use js_sys::{Function, Promise, Uint8Array};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = postMessage, catch)]
    fn post_message(message: &JsValue, transfer: &js_sys::Array) -> Result<(), JsValue>;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, ms: f64) -> f64;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: f64);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_name = fetch)]
    fn fetch_url(url: &str) -> Promise;
    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    fn console_warn(text: &str);

    #[wasm_bindgen(thread_local_v2, js_name = self)]
    static SCOPE: Scope;
    type Scope;
    #[wasm_bindgen(method, setter)]
    fn set_onmessage(this: &Scope, handler: &Function);

    type MessageChannel;
    #[wasm_bindgen(constructor)]
    fn new() -> MessageChannel;
    #[wasm_bindgen(method, getter)]
    fn port1(this: &MessageChannel) -> MessagePort;
    #[wasm_bindgen(method, getter)]
    fn port2(this: &MessageChannel) -> MessagePort;

    type MessagePort;
    #[wasm_bindgen(method, setter)]
    fn set_onmessage(this: &MessagePort, handler: &Function);
    #[wasm_bindgen(method, js_name = postMessage)]
    fn post(this: &MessagePort, message: &JsValue);
}

/// Calls `handler` with the data of every message from the page, for as long as the worker runs.
pub fn on_message(handler: impl Fn(JsValue) + 'static) {
    let handler =
        Closure::<dyn Fn(web_sys::MessageEvent)>::new(move |event: web_sys::MessageEvent| {
            handler(event.data())
        });
    SCOPE.with(|scope| scope.set_onmessage(handler.as_ref().unchecked_ref()));
    // The worker's end is this closure's end.
    handler.forget();
}

/// Sends bytes to the page without copying them twice.
pub fn post(bytes: &[u8]) {
    let message = Uint8Array::from(bytes);
    let transfer = js_sys::Array::of1(&message.buffer());
    if let Err(error) = post_message(&message, &transfer) {
        warn(&format!("the engine could not post a message: {error:?}"));
    }
}

/// Milliseconds on a clock that only goes forward.
pub fn now_ms() -> f64 {
    performance_now()
}

/// What an error that came from JavaScript, or the event of one in a worker, says.
pub fn words_of(error: &JsValue) -> String {
    let message = js_sys::Reflect::get(error, &"message".into());
    let message = message.ok().and_then(|message| message.as_string());
    message
        .filter(|words| !words.is_empty())
        .unwrap_or_else(|| format!("{error:?}"))
}

/// A line on the console that is not an error.
pub fn warn(text: &str) {
    console_warn(text);
}

/// The body of `url`.
///
/// # Errors
/// What went wrong, without the file's name: no connection, or a status that is not success.
pub async fn fetch(url: &str) -> Result<Vec<u8>, String> {
    let unreachable = |_| "the server could not be reached; check the connection".to_owned();
    let response = JsFuture::from(fetch_url(url)).await.map_err(unreachable)?;
    let response: web_sys::Response = response.unchecked_into();
    match response.status() {
        _ if response.ok() => {}
        404 => return Err("not found on the server (HTTP 404)".to_owned()),
        status => return Err(format!("the server answered HTTP {status}")),
    }
    let body = response.array_buffer().map_err(unreachable)?;
    let body = JsFuture::from(body).await.map_err(unreachable)?;
    Ok(Uint8Array::new(&body).to_vec())
}

/// Lets the worker take its messages. A resolved promise would not: it wakes before them. Nor is
/// a timer good, which browsers hold back to 4 ms when it is set again and again.
pub async fn let_messages_in() {
    let promise = Promise::new(&mut |resolve, _| {
        let channel = MessageChannel::new();
        channel.port1().set_onmessage(&resolve);
        channel.port2().post(&JsValue::NULL);
    });
    // The promise is never rejected.
    let _ = JsFuture::from(promise).await;
}

/// Waits for `ms`.
pub async fn pause(ms: f64) {
    within(ms, std::future::pending::<()>()).await;
}

/// The result of `work`, or `None` when it takes longer than `limit_ms`.
pub async fn within<T>(limit_ms: f64, work: impl Future<Output = T>) -> Option<T> {
    let mut timer = None;
    let promise = Promise::new(&mut |resolve, _| {
        timer = Some((set_timeout(&resolve, limit_ms), resolve));
    });
    let mut limit = JsFuture::from(promise);
    let mut work = pin!(work);
    let result = std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => pin!(&mut limit).poll(context).map(|_| None),
    })
    .await;
    if let Some((timer, resolve)) = timer {
        clear_timeout(timer);
        // A promise that is never settled keeps what waits for it for good.
        let _ = resolve.call0(&JsValue::UNDEFINED);
    }
    result
}
