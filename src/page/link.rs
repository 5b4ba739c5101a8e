//! The page's end of the engine: owns the worker, speaks its messages, starts it again when it
//! dies, and shows all of it as signals.

use super::schedule::Schedule;
use gflownet_tour_core::experiment::{self, COUNT, EXPERIMENTS, TEMPERED};
use gflownet_tour_core::message::{
    BatchResult, DeviceChoice, FromEngine, GpuStatus, Question, SampleRequest, StudyRequest,
    StudyResult, ToEngine, check_build, decode, encode,
};
use gflownet_tour_widgets::numbers;
use gflownet_tour_widgets::worker::{WORKER, beside_the_page, cores, listen, start_worker};
use js_sys::Uint8Array;
use leptos::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use wasm_bindgen::JsCast;
use web_sys::{ErrorEvent, MessageEvent, Worker};

/// How often a worker that dies is started again before the page gives up.
const RESTARTS: u32 = 2;
/// How often the page looks whether the worker still answers.
const TICK: Duration = Duration::from_secs(5);
/// Ticks without a word, while one is owed, after which the worker counts as dead. Ticks and not a
/// clock: a laptop that slept an hour has not waited an hour.
const PATIENCE: u32 = 12;

/// What the engine is up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// The worker has not spoken yet.
    Starting,
    /// The worker takes requests; the GPU is still being looked for.
    Ready,
    /// The GPU was found, or not.
    Settled(GpuStatus),
    /// There is no engine, for the reason given.
    Gone(String),
}

/// What became of a model's weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelState {
    Loading,
    Loaded,
    /// They cannot be used, for the reason given.
    Failed(String),
}

/// What the page sets of a request; the rest is the figure's.
pub type Draft = SampleRequest;

/// One figure's line to the engine.
#[derive(Clone, Copy)]
pub struct Slot {
    index: usize,
    /// The newest answer.
    pub batch: RwSignal<Option<Arc<BatchResult>>>,
    /// Why the newest request had no answer.
    pub failure: RwSignal<Option<String>>,
}

/// One panel's line to the engine: questions about a model, one answer at a time.
#[derive(Clone, Copy)]
pub struct StudySlot {
    index: usize,
    /// The newest answer.
    pub answer: RwSignal<Option<Arc<StudyResult>>>,
}

/// The engine, for all figures. A handle: copies are the same engine.
#[derive(Clone, Copy)]
pub struct Engine {
    link: StoredValue<Link, LocalStorage>,
    /// What the engine is up to.
    pub state: RwSignal<EngineState>,
    /// What became of each experiment's weights, in the order of the tables.
    pub models: [RwSignal<ModelState>; COUNT],
    /// What became of the snapshots of each experiment's training; none while nobody asked.
    pub trainings: [RwSignal<Option<ModelState>>; COUNT],
    /// What became of the weights of the model of every temperature; none while nobody asked.
    pub tempered: RwSignal<Option<ModelState>>,
    /// The reader's choice, one for the page.
    pub device: RwSignal<DeviceChoice>,
    /// What the reader should know of an engine that had to be started again.
    pub restarted: RwSignal<Option<String>>,
}

#[derive(Default)]
struct Link {
    worker: Option<Worker>,
    /// Which worker, counted; words of an earlier one are not heard.
    generation: u32,
    is_ready: bool,
    silent_ticks: u32,
    slots: Vec<(Slot, Schedule<Draft>)>,
    studies: Vec<(StudySlot, Schedule<(&'static str, Question)>)>,
    /// The models beside the tour's that were asked for.
    further: Vec<usize>,
}

impl Engine {
    /// Starts the engine.
    pub fn start() -> Self {
        let engine = Engine {
            link: StoredValue::new_local(Link::default()),
            state: RwSignal::new(EngineState::Starting),
            models: [(); COUNT].map(|()| RwSignal::new(ModelState::Loading)),
            trainings: [(); COUNT].map(|()| RwSignal::new(None)),
            tempered: RwSignal::new(None),
            device: RwSignal::new(DeviceChoice::Auto),
            restarted: RwSignal::new(None),
        };
        engine.spawn();
        set_interval(move || engine.tick(), TICK);
        engine
    }

    /// Asks for an experiment's weights, given by its place, unless they were asked for before. The
    /// tour's five are asked for when the engine starts.
    pub fn load(self, index: usize) {
        let is_due = self.link.try_update_value(|link| {
            let is_new = index >= EXPERIMENTS.len() && !link.further.contains(&index);
            if is_new {
                link.further.push(index);
            }
            // What is asked before the worker listens is sent when it does.
            is_new && link.is_ready
        });
        if is_due == Some(true) {
            self.send_load(index);
        }
    }

    fn send_load(self, index: usize) {
        self.send_load_of(experiment::at(index).name);
    }

    fn send_load_of(self, model: &str) {
        let model = model.to_owned();
        self.send(&ToEngine::Load { model });
    }

    /// Asks for the weights of the model of every temperature, unless they were asked for before.
    pub fn load_tempered(self) {
        if self.is_first(self.tempered) {
            self.send_load_of(TEMPERED.name);
        }
    }

    /// Marks what was never asked for as loading. Returns whether it is to be asked for now: what
    /// is asked before the worker listens is sent when it does, and without an engine it has failed.
    fn is_first(self, asked: RwSignal<Option<ModelState>>) -> bool {
        if asked.get_untracked().is_some() {
            return false;
        }
        if let EngineState::Gone(why) = self.state.get_untracked() {
            asked.set(Some(ModelState::Failed(why)));
            return false;
        }
        asked.set(Some(ModelState::Loading));
        self.link.with_value(|link| link.is_ready)
    }

    /// What is asked for only when a reader wants it.
    fn asked_for(self) -> impl Iterator<Item = RwSignal<Option<ModelState>>> {
        self.trainings.into_iter().chain([self.tempered])
    }

    /// Asks for the snapshots of an experiment's training, given by its place in the table, unless
    /// they were asked for before.
    pub fn load_snapshots(self, index: usize) {
        if self.is_first(self.trainings[index]) {
            self.send_load_snapshots(index);
        }
    }

    fn send_load_snapshots(self, index: usize) {
        let name = experiment::at(index).name;
        if let Some(snapshots) = numbers::model(name).and_then(|model| model.snapshots.as_ref()) {
            self.send(&ToEngine::LoadSnapshots {
                model: name.to_owned(),
                file: snapshots.file.clone(),
                sha256: snapshots.sha256.clone(),
            });
        }
    }

    /// A line to the engine for one figure.
    pub fn open(self) -> Slot {
        self.link
            .try_update_value(|link| {
                let slot = Slot {
                    index: link.slots.len(),
                    batch: RwSignal::new(None),
                    failure: RwSignal::new(None),
                };
                link.slots.push((slot, Schedule::default()));
                slot
            })
            .unwrap_or_else(|| Slot {
                index: usize::MAX,
                batch: RwSignal::new(None),
                failure: RwSignal::new(None),
            })
    }

    /// Asks for a batch. Its `demo` and `id` are filled in here.
    pub fn ask(self, slot: Slot, draft: Draft) {
        let next = self.link.try_update_value(|link| {
            let (_, schedule) = link.slots.get_mut(slot.index)?;
            // What is asked before the worker listens is kept and sent when it does.
            schedule.ask(draft).filter(|_| link.is_ready)
        });
        self.send_sample(slot.index, next.flatten());
    }

    /// Whether a figure's newest request is without an answer. Tracks nothing.
    pub fn is_busy(self, slot: Slot) -> bool {
        self.link.with_value(|link| {
            let (_, schedule) = link.slots.get(slot.index)?;
            Some(schedule.is_busy())
        }) == Some(true)
    }

    fn send_sample(self, index: usize, next: Option<(u32, Draft)>) {
        if let Some((id, draft)) = next {
            self.send(&ToEngine::Sample(SampleRequest {
                demo: index as u32,
                id,
                ..draft
            }));
        }
    }

    /// A line to the engine for one panel.
    pub fn open_study(self) -> StudySlot {
        let answer = RwSignal::new(None);
        let index = self.link.try_update_value(|link| {
            let index = link.studies.len();
            let slot = StudySlot { index, answer };
            link.studies.push((slot, Schedule::default()));
            index
        });
        StudySlot {
            index: index.unwrap_or(usize::MAX),
            answer,
        }
    }

    /// Asks a question about the model called `model`.
    pub fn study(self, slot: StudySlot, model: &'static str, question: Question) {
        let next = self.link.try_update_value(|link| {
            let (_, schedule) = link.studies.get_mut(slot.index)?;
            // As above: kept until the worker listens.
            schedule.ask((model, question)).filter(|_| link.is_ready)
        });
        self.send_study(slot.index, next.flatten());
    }

    fn send_study(self, index: usize, next: Option<(u32, (&'static str, Question))>) {
        if let Some((id, (model, question))) = next {
            self.send(&ToEngine::Study(StudyRequest {
                panel: index as u32,
                id,
                model: model.to_owned(),
                question,
            }));
        }
    }

    fn settle_study(self, result: StudyResult) {
        let index = result.panel as usize;
        let settled = self.link.try_update_value(|link| {
            let (slot, schedule) = link.studies.get_mut(index)?;
            Some((*slot, schedule.answered(result.id)))
        });
        if let Some((slot, next)) = settled.flatten() {
            self.send_study(index, next);
            slot.answer.set(Some(Arc::new(result)));
        }
    }

    fn send(self, message: &ToEngine) {
        let sent = self.link.with_value(|link| {
            let worker = link.worker.as_ref()?;
            let bytes = encode(message).ok()?;
            worker
                .post_message(&Uint8Array::from(bytes.as_slice()))
                .ok()
        });
        if sent.is_none() {
            leptos::logging::warn!("the engine could not be sent {message:?}");
        }
    }

    fn spawn(self) {
        let Some(generation) = self.link.try_update_value(|link| {
            link.generation += 1;
            link.is_ready = false;
            link.silent_ticks = 0;
            link.generation
        }) else {
            return;
        };
        let worker = match start_worker() {
            Ok(worker) => worker,
            Err(why) => return self.give_up(&why),
        };
        listen(&worker, "message", move |event| {
            if let Some(event) = event.dyn_ref::<MessageEvent>() {
                self.hear(generation, &Uint8Array::new(&event.data()).to_vec());
            }
        });
        for kind in ["error", "messageerror"] {
            listen(&worker, kind, move |event| {
                // Told here; the browser need not report it again.
                event.prevent_default();
                let why = event
                    .dyn_ref::<ErrorEvent>()
                    .map(ErrorEvent::message)
                    .filter(|message| !message.is_empty())
                    .unwrap_or_else(|| format!("{WORKER} could not be run"));
                self.mourn(generation, &why);
            });
        }
        self.link.update_value(|link| link.worker = Some(worker));
    }

    fn is_current(self, generation: u32) -> bool {
        self.link.with_value(|link| link.generation == generation)
    }

    /// The worker died. Starts another one without the GPU, which is the likeliest cause, or
    /// gives up.
    fn mourn(self, generation: u32, why: &str) {
        if !self.is_current(generation) {
            return;
        }
        self.link.with_value(|link| {
            if let Some(worker) = &link.worker {
                worker.terminate();
            }
        });
        if generation > RESTARTS {
            return self.give_up(why);
        }
        self.restarted.set(Some(format!(
            "The engine stopped ({why}) and was started again; the GPU is lost, the CPU goes on."
        )));
        for model in self.models {
            model.set(ModelState::Loading);
        }
        for asked in self.asked_for() {
            asked.update(|state| *state = state.as_ref().map(|_| ModelState::Loading));
        }
        self.state.set(EngineState::Starting);
        self.spawn();
    }

    /// Ends a worker that must not be spoken to, for good: another one would be like it.
    fn dismiss(self, why: &str) {
        self.link.with_value(|link| {
            if let Some(worker) = &link.worker {
                worker.terminate();
            }
        });
        self.give_up(why);
    }

    fn give_up(self, why: &str) {
        self.link.update_value(|link| {
            link.worker = None;
            link.is_ready = false;
        });
        self.state.set(EngineState::Gone(why.to_owned()));
        for asked in self.asked_for() {
            asked.update(|state| {
                *state = state.as_ref().map(|_| ModelState::Failed(why.to_owned()));
            });
        }
    }

    fn tick(self) {
        let lost = self.link.try_update_value(|link| {
            link.worker.as_ref()?;
            let owes = !link.is_ready
                || link.slots.iter().any(|(_, s)| s.is_busy())
                || link.studies.iter().any(|(_, s)| s.is_busy());
            link.silent_ticks = if owes { link.silent_ticks + 1 } else { 0 };
            (link.silent_ticks >= PATIENCE).then_some(link.generation)
        });
        if let Some(generation) = lost.flatten() {
            self.mourn(generation, "no answer for a minute");
        }
    }

    fn hear(self, generation: u32, bytes: &[u8]) {
        if !self.is_current(generation) {
            return;
        }
        self.link.update_value(|link| link.silent_ticks = 0);
        match decode::<FromEngine>(bytes) {
            Ok(FromEngine::Ready { build }) => match check_build(&build) {
                Ok(()) => self.introduce(),
                Err(why) => self.dismiss(&why),
            },
            Ok(FromEngine::Gpu(status)) => self.state.set(EngineState::Settled(status)),
            Ok(FromEngine::Model { model, outcome }) => {
                if model == TEMPERED.name {
                    self.tempered.set(Some(settled(outcome)));
                } else if let Some(index) = experiment::place(&model) {
                    self.models[index].set(settled(outcome));
                }
            }
            Ok(FromEngine::Snapshots { model, outcome }) => {
                if let Some(index) = experiment::place(&model) {
                    self.trainings[index].set(Some(settled(outcome)));
                }
            }
            Ok(FromEngine::Batch(batch)) => {
                let (demo, id) = (batch.demo as usize, batch.id);
                self.settle(demo, id, |slot| {
                    slot.failure.set(None);
                    slot.batch.set(Some(Arc::new(batch)));
                });
            }
            Ok(FromEngine::Study(result)) => self.settle_study(result),
            // Benchmarks and the laboratory train, in workers of their own.
            Ok(FromEngine::Trained(_) | FromEngine::Run(_)) => {}
            Ok(FromEngine::Failed { demo, id, why }) => {
                self.settle(demo as usize, id, |slot| slot.failure.set(Some(why)));
            }
            Err(error) => self.mourn(generation, &format!("it sent what is no message: {error}")),
        }
    }

    /// The worker listens: tells it where the weights are, which to load, and what was asked
    /// meanwhile.
    fn introduce(self) {
        let files = match beside_the_page() {
            Ok(files) => files,
            Err(why) => return self.give_up(&why),
        };
        let gpu = self.restarted.with_untracked(Option::is_none);
        self.send(&ToEngine::Start {
            files,
            threads: cores() as u32,
            gpu,
        });
        let further = self.link.with_value(|link| link.further.clone());
        for index in (0..EXPERIMENTS.len()).chain(further) {
            self.send_load(index);
        }
        if self.tempered.get_untracked().is_some() {
            self.send_load_of(TEMPERED.name);
        }
        for (index, training) in self.trainings.iter().enumerate() {
            if training.get_untracked().is_some() {
                self.send_load_snapshots(index);
            }
        }
        self.state.set(EngineState::Ready);
        let asked = self.link.try_update_value(|link| {
            link.is_ready = true;
            let slots = link.slots.iter_mut().map(|(_, s)| s.restart());
            let studies = link.studies.iter_mut().map(|(_, s)| s.restart());
            (slots.collect::<Vec<_>>(), studies.collect::<Vec<_>>())
        });
        let (samples, studies) = asked.unwrap_or_default();
        for (index, next) in samples.into_iter().enumerate() {
            self.send_sample(index, next);
        }
        for (index, next) in studies.into_iter().enumerate() {
            self.send_study(index, next);
        }
    }

    fn settle(self, index: usize, id: u32, show: impl FnOnce(Slot)) {
        let settled = self.link.try_update_value(|link| {
            let (slot, schedule) = link.slots.get_mut(index)?;
            Some((*slot, schedule.answered(id)))
        });
        if let Some((slot, next)) = settled.flatten() {
            self.send_sample(index, next);
            show(slot);
        }
    }
}

fn settled(outcome: Result<(), String>) -> ModelState {
    match outcome {
        Ok(()) => ModelState::Loaded,
        Err(why) => ModelState::Failed(why),
    }
}
