//! Further threads of the sampler for relaxed SIMD: workers of the engine's worker, which run the same
//! `kernels.wasm` and draw their shares of a batch. A share is known by the numbers of its first
//! trajectory and of its trajectories, so who draws it changes nothing.

use crate::scope;
use js_sys::{Array, Function, Promise, Uint8Array, WebAssembly};
use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::mem;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Event, MessageEvent, Worker};

/// A thread that takes longer than this to start, or to draw a share, which takes it a hundredth of
/// that, has failed.
const LIMIT_MS: f64 = 3_000.0;

/// One further thread.
pub struct Thread {
    worker: Worker,
    /// The numbers of the models that it has.
    models: RefCell<HashSet<u32>>,
    /// Requests that are sent with the next draw.
    waiting: RefCell<Vec<Uint8Array>>,
    /// Who wants to know of an error.
    failed: Rc<RefCell<Option<Function>>>,
    _on_error: Closure<dyn FnMut(Event)>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}

impl Thread {
    /// Starts the script at `url` with the compiled file.
    ///
    /// # Errors
    /// Why it did not start.
    pub async fn start(url: &str, file: &WebAssembly::Module) -> Result<Thread, String> {
        let worker = Worker::new(url).map_err(|error| scope::words_of(&error))?;
        let failed: Rc<RefCell<Option<Function>>> = Rc::default();
        let told = Rc::clone(&failed);
        let on_error = Closure::<dyn FnMut(Event)>::new(move |event: Event| {
            // Else it would be this worker's error, too, and the page would think it dead.
            event.prevent_default();
            if let Some(failed) = told.take() {
                let _ = failed.call1(&JsValue::NULL, &event);
            }
        });
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let thread = Thread {
            worker,
            models: RefCell::default(),
            waiting: RefCell::default(),
            failed,
            _on_error: on_error,
        };
        thread.ask(file).await?;
        Ok(thread)
    }

    /// Has a model unloaded that nobody will draw again, by the bytes of that request.
    pub fn forget(&self, model: u32, unload: &[u8]) {
        if self.models.borrow_mut().remove(&model) {
            self.waiting.borrow_mut().push(Uint8Array::from(unload));
        }
    }

    /// Has it draw: `draw` are the bytes of the request, `load` those that load the request's `model`,
    /// which are sent if it was not here before. It begins before the answer's bytes are waited for.
    ///
    /// # Errors
    /// What became of the thread. It is of no more use.
    pub fn draw(
        &self,
        model: u32,
        load: &[u8],
        draw: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, String>> + use<> {
        let mut requests = mem::take(&mut *self.waiting.borrow_mut());
        if self.models.borrow_mut().insert(model) {
            requests.push(Uint8Array::from(load));
        }
        requests.push(Uint8Array::from(draw));
        let answer = self.ask(&requests.into_iter().collect::<Array>());
        async move {
            let bytes = answer.await?.dyn_into::<Uint8Array>();
            let bytes = bytes.map_err(|_| "it answered something else")?;
            Ok(bytes.to_vec())
        }
    }

    /// Posts a message at once; the answer is the next message from there.
    fn ask(&self, message: &JsValue) -> impl Future<Output = Result<JsValue, String>> + use<> {
        let promise = Promise::new(&mut |answered, failed| {
            self.worker.set_onmessage(Some(&answered));
            *self.failed.borrow_mut() = Some(failed);
        });
        let posted = self.worker.post_message(message);
        async move {
            posted.map_err(|error| scope::words_of(&error))?;
            let answer = scope::within(LIMIT_MS, JsFuture::from(promise)).await;
            let answer = answer.ok_or("it did not answer in time")?;
            let event = answer.map_err(|error| scope::words_of(&error))?;
            Ok(event.unchecked_into::<MessageEvent>().data())
        }
    }
}
