//! The sampler's second WASM file, for browsers with relaxed SIMD: fetched, held against the
//! engine's own sampler, and asked in its place, where batches are large by several threads. A
//! browser without these instructions never fetches it, and whatever goes wrong, the engine's own
//! sampler draws on.

use crate::scope;
use crate::threads::Thread;
use gflownet_tour_core::counts::Counts;
use gflownet_tour_core::experiment::HIDDEN;
use gflownet_tour_core::message;
use gflownet_tour_core::noise::ThreefryRng;
use gflownet_tour_core::policy::Policy;
use gflownet_tour_core::rollout::Rollout;
use gflownet_tour_speed::kernels::{Answer, Draw, Drawn, Request, Weights};
use gflownet_tour_speed::sampler::Sampler;
use js_sys::{Function, Object, Reflect, Uint8Array, WebAssembly};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// A module of one function that uses `f32x4.relaxed_madd`.
const PROBE: [u8; 40] = [
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // WebAssembly, version 1
    1, 5, 1, 0x60, 0, 1, 0x7b, // a type: nothing in, a vector out
    3, 2, 1, 0, // a function of that type
    10, 19, 1, 17, // its code, 17 bytes:
    0,  // no locals
    0x41, 0, 0xfd, 17, // zeros
    0x41, 0, 0xfd, 17, // zeros
    0x41, 0, 0xfd, 17, // zeros
    0xfd, 0x85, 2,    // relaxed_madd
    0x0b, // end
];

/// The largest difference to the engine's own states, in units of x, that the test forgives.
const TOLERANCE: f32 = 1e-3;
/// Trajectories of the test, enough that the browser begins to optimise the file's code.
const TESTED: u32 = 2_048;
/// How many of these may be counted in other places: at the edges of the bins.
const MISCOUNTS: u32 = 32;

/// The most threads that draw a batch.
const MOST_THREADS: u32 = 4;

/// The running file.
pub struct Relaxed {
    room: Function,
    answer: Function,
    answer_start: Function,
    memory: WebAssembly::Memory,
    loaded: Cell<u32>,
    /// What further threads run, and their script.
    compiled: WebAssembly::Module,
    script: String,
    /// How many threads may draw, this one among them.
    most_threads: usize,
    /// The further ones; none before there was work for them.
    further: RefCell<Option<Vec<Rc<Thread>>>>,
}

/// A policy in the file's memory, for as long as this lives.
pub struct Model {
    file: Rc<Relaxed>,
    number: u32,
    /// The bytes of the request that loads it.
    load: Vec<u8>,
}

impl Drop for Model {
    fn drop(&mut self) {
        let Ok(unload) = message::encode(&Request::Unload { model: self.number }) else {
            return;
        };
        for thread in self.file.threads() {
            thread.forget(self.number, &unload);
        }
        // Should it fail, the file is of no more use, and the next draw says so.
        let _ = self.file.ask(&unload);
    }
}

impl Relaxed {
    /// Fetches the file at `url`, runs it and tests it. None where the browser has no relaxed
    /// SIMD. Large batches are drawn by at most `threads` threads, whose script is at the second
    /// address.
    ///
    /// # Errors
    /// What went wrong with the file, or how it differs from the engine's own sampler.
    pub async fn start(
        [url, script]: [String; 2],
        threads: u32,
    ) -> Option<Result<Rc<Relaxed>, String>> {
        let probe: JsValue = Uint8Array::from(&PROBE[..]).into();
        if !WebAssembly::validate(&probe).unwrap_or(false) {
            return None;
        }
        Some(Relaxed::fetch(&url, script, threads).await)
    }

    async fn fetch(url: &str, script: String, threads: u32) -> Result<Rc<Relaxed>, String> {
        let bytes = scope::fetch(url).await?;
        let made = WebAssembly::instantiate_buffer(&bytes, &Object::new());
        let made = JsFuture::from(made).await.map_err(unusable)?;
        let part = |name: &str| Reflect::get(&made, &name.into()).map_err(unusable);
        let instance: WebAssembly::Instance = part("instance")?.unchecked_into();
        let exports = instance.exports();
        let export = |name: &str| Reflect::get(&exports, &name.into()).map_err(unusable);
        let function = |name: &str| {
            export(name)?
                .dyn_into::<Function>()
                .map_err(|_| format!("it has no function `{name}`"))
        };
        let relaxed = Rc::new(Relaxed {
            room: function("room")?,
            answer: function("answer")?,
            answer_start: function("answer_start")?,
            memory: export("memory")?
                .dyn_into()
                .map_err(|_| "it has no memory".to_owned())?,
            loaded: Cell::new(0),
            compiled: part("module")?.unchecked_into(),
            script,
            most_threads: threads.min(MOST_THREADS) as usize,
            further: RefCell::default(),
        });
        relaxed.test()?;
        Ok(relaxed)
    }

    /// Loads a policy, for trajectories of `steps` steps from `start`.
    ///
    /// # Errors
    /// When the file fails.
    pub fn load(
        self: &Rc<Self>,
        policy: &Policy<f32>,
        start: f64,
        steps: usize,
    ) -> Result<Model, String> {
        let number = self.loaded.replace(self.loaded.get() + 1);
        let load = Request::Load {
            model: number,
            weights: Weights::of(policy),
            start,
            steps: steps as u32,
        };
        let load = message::encode(&load).map_err(|error| error.to_string())?;
        match self.ask(&load)? {
            Answer::Done => Ok(Model {
                file: Rc::clone(self),
                number,
                load,
            }),
            other => Err(refused(other)),
        }
    }

    /// The further threads that draw.
    fn threads(&self) -> Vec<Rc<Thread>> {
        self.further.borrow().clone().unwrap_or_default()
    }

    /// Starts the further threads, if they were not. Until they are there, and should they fail, the
    /// others draw.
    fn start_threads(self: &Rc<Self>) {
        if self.further.borrow().is_some() {
            return;
        }
        *self.further.borrow_mut() = Some(Vec::new());
        for _ in 1..self.most_threads {
            let file = Rc::clone(self);
            spawn_local(async move {
                match Thread::start(&file.script, &file.compiled).await {
                    Ok(thread) => file
                        .further
                        .borrow_mut()
                        .get_or_insert_default()
                        .push(thread.into()),
                    Err(why) => lost(&why),
                }
            });
        }
    }

    /// Ends a thread that failed. What it was to draw is drawn by others.
    fn end(&self, thread: &Rc<Thread>, why: &str) {
        lost(why);
        if let Some(threads) = &mut *self.further.borrow_mut() {
            threads.retain(|one| !Rc::ptr_eq(one, thread));
        }
    }

    /// Bytes in, bytes out. They are copied: the two files have a memory each.
    fn ask(&self, bytes: &[u8]) -> Result<Answer, String> {
        let number = |value: JsValue| value.as_f64().unwrap_or(0.0) as u32;
        let room = self
            .room
            .call1(&JsValue::NULL, &(bytes.len() as u32).into());
        let room = number(room.map_err(unusable)?);
        self.view(room, bytes.len() as u32).copy_from(bytes);
        let len = number(self.answer.call0(&JsValue::NULL).map_err(unusable)?);
        let start = number(self.answer_start.call0(&JsValue::NULL).map_err(unusable)?);
        message::decode(&self.view(start, len).to_vec()).map_err(|error| error.to_string())
    }

    /// A part of the file's memory, as it is now: memory that grows is another buffer.
    fn view(&self, start: u32, len: u32) -> Uint8Array {
        Uint8Array::new_with_byte_offset_and_length(&self.memory.buffer(), start, len)
    }

    fn test(self: &Rc<Self>) -> Result<(), String> {
        let policy = Policy::init(HIDDEN, &mut ThreefryRng::new(1, 0));
        let (start, steps) = (0.25, 5);
        let model = self.load(&policy, start, steps)?;
        let own = Sampler::new(&policy);
        for table in [false, true] {
            let draw = Draw {
                model: 0,
                table,
                rollout: Rollout {
                    start,
                    steps,
                    sigma_scale: 0.7,
                    extra_std: 0.0,
                    seed: 0x0123_4567_89ab_cdef,
                    first: 1_000,
                },
                count: TESTED,
                paths: TESTED,
                range: (-3.0, 3.0),
                bins: 40,
                midpoints: vec![-0.5, 0.25],
            };
            let expected = own.draw(&draw.rollout, TESTED as usize);
            let mut counts = Counts::new(draw.range, 40, &[-0.5, 0.25]);
            counts.add(&expected.terminals().collect::<Vec<f32>>());
            let drawn = model.draw_here(&draw)?;
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE;
            let states = drawn.paths.iter().zip(&expected.states);
            if drawn.paths.len() != expected.states.len() || !states.into_iter().all(close) {
                return Err("its test trajectories differ from the engine's own".to_owned());
            }
            if drawn.counts.difference(&counts) > MISCOUNTS {
                return Err("it counts its test trajectories in the wrong places".to_owned());
            }
        }
        Ok(())
    }
}

impl Model {
    /// Draws and counts by as many threads as are worth it, and says how many; `draw` need not know the
    /// model's number.
    ///
    /// # Errors
    /// When the file fails.
    pub async fn draw(&self, draw: &Draw) -> Result<(Drawn, u32), String> {
        if draw.shares(self.file.most_threads).len() > 1 {
            self.file.start_threads();
        }
        let threads = self.file.threads();
        let shares = draw.shares(1 + threads.len());
        let mut elsewhere = Vec::new();
        for (share, thread) in shares[1..].iter().zip(&threads) {
            let request = self.request(share)?;
            elsewhere.push((
                share,
                thread,
                thread.draw(self.number, &self.load, &request),
            ));
        }
        let mut drawn = self.draw_here(&shares[0])?;
        for (share, thread, answer) in elsewhere {
            let theirs = answer.await.and_then(|bytes| {
                drawn_of(message::decode(&bytes).map_err(|error| error.to_string())?)
            });
            drawn.join(&match theirs {
                Ok(drawn) => drawn,
                Err(why) => {
                    self.file.end(thread, &why);
                    self.draw_here(share)?
                }
            });
        }
        Ok((drawn, shares.len() as u32))
    }

    /// Draws in this thread.
    fn draw_here(&self, draw: &Draw) -> Result<Drawn, String> {
        drawn_of(self.file.ask(&self.request(draw)?)?)
    }

    /// The bytes of a request to draw.
    fn request(&self, draw: &Draw) -> Result<Vec<u8>, String> {
        let model = self.number;
        let midpoints = draw.midpoints.clone();
        let request = Request::Draw(Draw {
            model,
            midpoints,
            ..*draw
        });
        message::encode(&request).map_err(|error| error.to_string())
    }
}

fn drawn_of(answer: Answer) -> Result<Drawn, String> {
    match answer {
        Answer::Drawn(drawn) => Ok(drawn),
        other => Err(refused(other)),
    }
}

fn lost(why: &str) {
    scope::warn(&format!("a thread of the sampler is not in use: {why}"));
}

fn refused(answer: Answer) -> String {
    match answer {
        Answer::Refused(why) => why,
        other => format!("it answered {other:?}"),
    }
}

fn unusable(error: JsValue) -> String {
    scope::words_of(&error)
}
