//! The engine's Web Worker: takes the page's messages, draws batches, answers.
//!
//! One loop draws, chunk by chunk; between chunks it lets messages in. What runs next is
//! [`Schedule`]'s to say, what a batch gives is [`batch`](crate::batch)'s; here is only what needs
//! a browser.

use crate::batch::{ExactCache, Plan, Tally};
use crate::ensemble::Ensemble;
use crate::gpu::{Gpu, GpuPolicy};
use crate::gpu_train::{self, GpuTrainer};
use crate::relaxed::{self, Relaxed};
use crate::run::{self, Run};
use crate::schedule::{Next, Pace, Schedule};
use crate::scope;
use gflownet_tour_core::density::{Tails, TerminalDensity};
use gflownet_tour_core::divergence;
use gflownet_tour_core::experiment::{EXPERIMENTS, Experiment, HIDDEN, TEMPERED};
use gflownet_tour_core::files::Files;
use gflownet_tour_core::message::{
    self, BatchResult, DeviceChoice, DeviceUsed, FromEngine, FromRun, GpuStatus, PLACEHOLDER_STD,
    Study, StudyRequest, StudyResult, ToEngine, ToRun, TrainingResult,
};
use gflownet_tour_core::noise::ThreefryRng;
use gflownet_tour_core::policy::{Inputs, Policy};
use gflownet_tour_core::rollout::Trajectories;
use gflownet_tour_core::study::Subject;
use gflownet_tour_core::tempered::TemperedModel;
use gflownet_tour_core::weights::manifest::Recipe;
use gflownet_tour_core::weights::snapshots::{self, Snapshot};
use gflownet_tour_core::weights::{self, WeightsError};
use gflownet_tour_speed::kernels::Draw;
use gflownet_tour_speed::sampler::Sampler;
use gflownet_tour_speed::trainer::Trainer;
use js_sys::Uint8Array;
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;

/// A GPU that takes longer than this to start and pass its test has failed. Long, since nobody
/// waits for it: batches run on the CPU meanwhile.
const GPU_START_LIMIT_MS: f64 = 60_000.0;

/// A GPU that takes longer than this to return a chunk has failed: a lost device may never answer
/// at all.
const GPU_LIMIT_MS: f64 = 20_000.0;
const SILENT: &str = "the GPU did not answer in time";

/// Where the weights are, and the sampler for relaxed SIMD.
const PRETRAINED: &str = "pretrained/";
const KERNELS: &str = "kernels.wasm";
/// The script of its further threads.
const THREAD: &str = "thread.js";

/// The most tables that are made to warm up, and the time in milliseconds that a warm one takes.
const WARM_UPS: usize = 24;
const WARM_MS: f64 = 5.0;

/// Installs the message handler and reports for duty.
pub fn start() {
    console_error_panic_hook::set_once();
    let worker = Worker::default();
    scope::on_message(move |data| worker.receive(&data));
    post(&FromEngine::Ready {
        build: message::BUILD.to_owned(),
    });
}

fn post(message: &FromEngine) {
    match message::encode(message) {
        Ok(bytes) => scope::post(&bytes),
        Err(error) => scope::warn(&format!("the engine could not write a message: {error}")),
    }
}

fn tell(words: &FromRun) {
    match message::encode(words) {
        Ok(bytes) => post(&FromEngine::Run(bytes)),
        Err(error) => scope::warn(&format!("the engine could not write a report: {error}")),
    }
}

fn experiment(model: &str) -> Result<&'static Experiment, String> {
    Experiment::named(model).ok_or_else(|| format!("there is no experiment `{model}`"))
}

fn unread(error: &dyn std::fmt::Display) {
    scope::warn(&format!(
        "the engine ignored a message that it cannot read: {error}"
    ));
}

/// A handle on the worker's state. No borrow of it is held across an await.
#[derive(Clone, Default)]
struct Worker(Rc<RefCell<State>>);

struct State {
    files: Files,
    models: HashMap<&'static str, Rc<Model>>,
    subjects: HashMap<&'static str, Rc<Subject>>,
    trainings: HashMap<&'static str, Training>,
    tempered: Option<Tempered>,
    placeholder: Rc<Model>,
    /// The sampler for relaxed SIMD, once it has passed its test.
    relaxed: Option<Rc<Relaxed>>,
    gpu: Option<Rc<Gpu>>,
    /// The kinds of input whose kernel agreed with the CPU on this GPU, beside the raw one's.
    tested: Vec<Inputs>,
    schedule: Schedule<Job>,
    drawing: bool,
    questions: VecDeque<StudyRequest>,
    studying: bool,
    cpu_pace: Pace,
    table_pace: Pace,
    gpu_pace: Pace,
    run: Option<Run>,
    on_gpu: OnGpu,
    training: bool,
    seeds: Option<Ensemble>,
}

/// The GPU's part in the laboratory's run.
enum OnGpu {
    /// It was not asked yet.
    Unknown,
    /// It trains, in so many iterations at once. Of the first chunks, their number and the fewest
    /// milliseconds of an iteration are kept, until it is known that this is faster than the CPU.
    Trains {
        trainer: Rc<GpuTrainer>,
        pace: Pace,
        trials: (u32, f64),
    },
    /// The CPU trains alone.
    No,
}

impl Default for State {
    fn default() -> Self {
        State {
            files: Files::default(),
            models: HashMap::new(),
            subjects: HashMap::new(),
            trainings: HashMap::new(),
            tempered: None,
            placeholder: Rc::new(Model::new(
                Policy::placeholder(HIDDEN, PLACEHOLDER_STD),
                EXPERIMENTS[0].start,
                EXPERIMENTS[0].steps,
                None,
            )),
            relaxed: None,
            gpu: None,
            tested: Vec::new(),
            schedule: Schedule::default(),
            drawing: false,
            questions: VecDeque::new(),
            studying: false,
            cpu_pace: Pace::new(8_192),
            table_pace: Pace::new(32_768),
            gpu_pace: Pace::new(4_096),
            run: None,
            on_gpu: OnGpu::Unknown,
            training: false,
            seeds: None,
        }
    }
}

impl State {
    fn pace(&mut self, device: DeviceUsed) -> &mut Pace {
        match device {
            DeviceUsed::Cpu => &mut self.cpu_pace,
            DeviceUsed::CpuTable => &mut self.table_pace,
            DeviceUsed::WebGpu => &mut self.gpu_pace,
        }
    }
}

/// A policy in every form that a batch needs.
struct Model {
    weights: Policy<f32>,
    network: Sampler,
    /// The same with its table, made when it is first needed, and the time that took in
    /// milliseconds.
    table: OnceCell<(Sampler, f64)>,
    /// Start and horizon, which the table is made for.
    walk: (f64, usize),
    exact: RefCell<ExactCache>,
    on_gpu: RefCell<Option<GpuPolicy>>,
    in_relaxed: RefCell<Option<Rc<relaxed::Model>>>,
    /// The learned log Z; none marks the placeholder.
    log_z: Option<f64>,
}

impl Model {
    fn new(weights: Policy<f32>, start: f64, steps: usize, log_z: Option<f64>) -> Self {
        Model {
            network: Sampler::new(&weights),
            table: OnceCell::new(),
            walk: (start, steps),
            exact: RefCell::default(),
            on_gpu: RefCell::default(),
            in_relaxed: RefCell::default(),
            weights,
            log_z,
        }
    }

    fn tabulated(&self) -> &Sampler {
        let (start, steps) = self.walk;
        let (sampler, _) = self.table.get_or_init(|| {
            let begin = scope::now_ms();
            let sampler = self.network.clone().tabulated(start, steps);
            (sampler, scope::now_ms() - begin)
        });
        sampler
    }

    fn table_ms(&self) -> f64 {
        self.table.get().map_or(0.0, |(_, ms)| *ms)
    }

    /// The model in the sampler for relaxed SIMD.
    fn within(&self, relaxed: &Rc<Relaxed>) -> Result<Rc<relaxed::Model>, String> {
        let mut loaded = self.in_relaxed.borrow_mut();
        if let Some(model) = &*loaded {
            return Ok(Rc::clone(model));
        }
        let (start, steps) = self.walk;
        let model = Rc::new(relaxed.load(&self.weights, start, steps)?);
        Ok(loaded.insert(model).clone())
    }

    fn on(&self, gpu: &Gpu) -> GpuPolicy {
        self.on_gpu
            .borrow_mut()
            .get_or_insert_with(|| gpu.load(&self.weights))
            .clone()
    }
}

/// The snapshots of a training.
struct Training {
    snapshots: Vec<Snapshot>,
    /// The one that was drawn last, by its place: a reader who drags the temperature stays with it.
    last: RefCell<Option<(u32, Rc<Model>)>>,
}

impl Training {
    fn model(&self, place: u32, experiment: &Experiment) -> Option<Rc<Model>> {
        let mut last = self.last.borrow_mut();
        if let Some((drawn, model)) = last.as_ref()
            && *drawn == place
        {
            return Some(Rc::clone(model));
        }
        let snapshot = self.snapshots.get(place as usize)?;
        let model = Rc::new(Model::new(
            snapshot.forward.clone(),
            experiment.start,
            experiment.steps,
            Some(f64::from(snapshot.log_z)),
        ));
        *last = Some((place, Rc::clone(&model)));
        Some(model)
    }
}

/// The model of every temperature.
struct Tempered {
    model: TemperedModel<f32>,
    /// The policy that was drawn last, by its exponent.
    last: RefCell<Option<(f64, Rc<Model>)>>,
}

impl Tempered {
    fn at(&self, beta: f64) -> Rc<Model> {
        let mut last = self.last.borrow_mut();
        if let Some((drawn, model)) = last.as_ref()
            && *drawn == beta
        {
            return Rc::clone(model);
        }
        let log_beta = beta.ln() as f32;
        let model = Rc::new(Model::new(
            self.model.forward.at(log_beta),
            TEMPERED.start,
            TEMPERED.steps,
            Some(f64::from(self.model.log_z.at(log_beta))),
        ));
        *last = Some((beta, Rc::clone(&model)));
        model
    }
}

/// A batch in progress.
struct Job {
    plan: Plan,
    model: Rc<Model>,
    tally: Tally,
    device: DeviceUsed,
    relaxed_simd: bool,
    threads: u32,
    sampling_ms: f64,
}

impl Worker {
    fn receive(&self, data: &JsValue) {
        let Some(bytes) = data.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec) else {
            return scope::warn("the engine ignored a message that is not a Uint8Array");
        };
        match message::decode(&bytes) {
            Ok(ToEngine::Start {
                files,
                threads,
                gpu,
            }) => {
                let urls = [KERNELS, THREAD].map(|file| files.url(file));
                self.0.borrow_mut().files = files;
                let worker = self.clone();
                spawn_local(async move {
                    // The weights come first: they are what a reader waits for.
                    warm_up().await;
                    if threads > 0 {
                        worker.start_relaxed(urls, threads).await;
                    }
                });
                if gpu {
                    let worker = self.clone();
                    spawn_local(async move { worker.start_gpu().await });
                } else {
                    post(&unavailable("the page asked for the CPU only"));
                }
            }
            Ok(ToEngine::Load { model }) => {
                let worker = self.clone();
                spawn_local(async move {
                    let outcome = worker.load(&model).await;
                    post(&FromEngine::Model { model, outcome });
                });
            }
            Ok(ToEngine::LoadSnapshots {
                model,
                file,
                sha256,
            }) => {
                let worker = self.clone();
                spawn_local(async move {
                    let outcome = worker.load_snapshots(&model, &file, &sha256).await;
                    post(&FromEngine::Snapshots { model, outcome });
                });
            }
            Ok(ToEngine::Sample(request)) => {
                let mut state = self.0.borrow_mut();
                state.schedule.submit(request);
                if !state.drawing {
                    state.drawing = true;
                    let worker = self.clone();
                    spawn_local(async move { worker.draw().await });
                }
            }
            Ok(ToEngine::Study(request)) => {
                let mut state = self.0.borrow_mut();
                state
                    .questions
                    .retain(|waiting| waiting.panel != request.panel);
                state.questions.push_back(request);
                if !state.studying {
                    state.studying = true;
                    let worker = self.clone();
                    spawn_local(async move { worker.study().await });
                }
            }
            Ok(ToEngine::Train {
                model,
                seed,
                iterations,
            }) => {
                spawn_local(async move {
                    post(&FromEngine::Trained(train(&model, seed, iterations).await));
                });
            }
            Ok(ToEngine::Run(order)) => match message::decode(&order) {
                Ok(order) => self.take_order(order),
                Err(error) => unread(&error),
            },
            Err(error) => unread(&error),
        }
    }

    /// Starts the sampler for relaxed SIMD. Without it nothing is lost but time.
    async fn start_relaxed(&self, urls: [String; 2], threads: u32) {
        match Relaxed::start(urls, threads).await {
            Some(Ok(relaxed)) => self.0.borrow_mut().relaxed = Some(relaxed),
            Some(Err(why)) => without_relaxed(&why),
            None => {}
        }
    }

    /// Takes an order of the laboratory.
    fn take_order(&self, order: ToRun) {
        let mut state = self.0.borrow_mut();
        match order {
            ToRun::Begin(begin) => {
                let id = begin.run;
                state.on_gpu = OnGpu::Unknown;
                state.run = match Run::begin(*begin) {
                    Ok(run) => Some(run),
                    Err(why) => return tell(&FromRun::Refused { run: id, why }),
                };
            }
            ToRun::Seeds(begin) => {
                let is_idle = state.seeds.is_none();
                match Ensemble::begin(*begin) {
                    Ok(seeds) => state.seeds = Some(seeds),
                    Err(why) => return tell(&FromRun::SeedsRefused { why }),
                }
                if is_idle {
                    let worker = self.clone();
                    spawn_local(async move { worker.train_seeds().await });
                }
                return;
            }
            order => {
                let Some(run) = &mut state.run else { return };
                run.take(order);
            }
        }
        if !state.training {
            state.training = true;
            let worker = self.clone();
            spawn_local(async move { worker.train().await });
        }
    }

    /// Trains the ensemble to its end.
    async fn train_seeds(&self) {
        loop {
            let work = match &mut self.0.borrow_mut().seeds {
                Some(seeds) => seeds.work(&scope::now_ms),
                None => return,
            };
            let (report, is_more) = work;
            if let Some(report) = report {
                tell(&FromRun::Seed(Box::new(report)));
            }
            if !is_more {
                self.0.borrow_mut().seeds = None;
                return;
            }
            scope::let_messages_in().await;
        }
    }

    /// Trains until the run has nothing to do. A run that waits for its time looks for orders
    /// meanwhile, a moment at a time.
    async fn train(&self) {
        const LONGEST_MS: f64 = 20.0;
        loop {
            let was_on_gpu = self.train_on_gpu().await;
            let work = match &mut self.0.borrow_mut().run {
                Some(run) if was_on_gpu => run.report_if_due(scope::now_ms(), &scope::now_ms),
                Some(run) => run.work(&scope::now_ms),
                None => break,
            };
            let (report, next) = work;
            if let Some(report) = report {
                tell(&FromRun::Report(Box::new(report)));
            }
            match next {
                run::Next::Now => scope::let_messages_in().await,
                run::Next::After(ms) => scope::pause(ms.min(LONGEST_MS)).await,
                run::Next::Waiting => break,
            }
        }
        self.0.borrow_mut().training = false;
    }

    /// Trains on the GPU, where it can do what the run needs, agrees with the CPU and is faster.
    /// Returns whether it did. The CPU begins a run, so that there is a time to compare with, and
    /// goes on with it whatever becomes of the GPU.
    async fn train_on_gpu(&self) -> bool {
        const SMALLEST: u32 = 8;
        const TRIALS: u32 = 3;
        // No later trial is so much better than the first: a GPU in software, for one.
        const HOPELESS: f64 = 8.0;
        let (id, gpu, recipe) = {
            let state = self.0.borrow();
            let (Some(gpu), Some(run)) = (&state.gpu, &state.run) else {
                return false;
            };
            let is_new = matches!(state.on_gpu, OnGpu::Unknown);
            if matches!(state.on_gpu, OnGpu::No) || is_new && run.cpu_ms().is_none() {
                return false;
            }
            let recipe = is_new.then(|| run.trainer().recipe().clone());
            (run.id(), Rc::clone(gpu), recipe)
        };
        if let Some(recipe) = recipe {
            let tested = scope::within(GPU_LIMIT_MS, gpu_train::self_test(&gpu, &recipe)).await;
            let trainer = match tested.unwrap_or_else(|| Err(SILENT.to_owned())) {
                Ok(()) => GpuTrainer::new(&gpu, &recipe),
                Err(why) => Err(why),
            };
            self.settle(id, |_| {
                Ok(OnGpu::Trains {
                    trainer: Rc::new(trainer?),
                    pace: Pace::new(SMALLEST),
                    trials: (0, f64::INFINITY),
                })
            });
            return false;
        }
        let begin = scope::now_ms();
        let (advance, count) = {
            let state = self.0.borrow();
            let (OnGpu::Trains { trainer, pace, .. }, Some(run)) = (&state.on_gpu, &state.run)
            else {
                return false;
            };
            let count = run.due(pace.chunk(u32::MAX) as usize, begin);
            if count == 0 {
                return false;
            }
            (trainer.advance(run.trainer(), count), count)
        };
        let outcome = scope::within(GPU_LIMIT_MS, advance).await;
        let ms = scope::now_ms() - begin;
        self.settle(id, |state| {
            let (checkpoint, progress) = outcome.unwrap_or_else(|| Err(SILENT.to_owned()))?;
            let (
                OnGpu::Trains {
                    trainer,
                    mut pace,
                    trials,
                },
                Some(run),
            ) = (
                std::mem::replace(&mut state.on_gpu, OnGpu::No),
                &mut state.run,
            )
            else {
                // A new run has begun meanwhile.
                return Ok(OnGpu::Unknown);
            };
            run.take_iterations((&checkpoint, &progress), ms, begin + ms);
            pace.learn(count as u32, ms);
            let each = ms / count as f64;
            let trials = match count as u32 >= SMALLEST {
                true => (trials.0 + 1, trials.1.min(each)),
                false => trials,
            };
            match run.cpu_ms() {
                Some(cpu)
                    if trials.0 == TRIALS && trials.1 > cpu
                        || trials.0 > 0 && trials.1 > HOPELESS * cpu =>
                {
                    Err(format!(
                    "the CPU is faster for this run: {cpu:.2} ms an iteration, the GPU {:.2} ms",
                    trials.1
                ))
                }
                _ => Ok(OnGpu::Trains {
                    trainer,
                    pace,
                    trials,
                }),
            }
        });
        true
    }

    /// Decides on the GPU's part in a run, if it still is the same.
    fn settle(&self, id: u32, decide: impl FnOnce(&mut State) -> Result<OnGpu, String>) {
        let state = &mut *self.0.borrow_mut();
        if state.run.as_ref().is_none_or(|run| run.id() != id) {
            return;
        }
        state.on_gpu = decide(state).unwrap_or_else(|why| {
            // A lost device may never answer, and knows better why.
            let fault = state.gpu.as_ref().and_then(|gpu| gpu.fault());
            let why = fault.map_or(why, str::to_owned);
            if let Some(run) = &mut state.run {
                run.stay_on_cpu(why);
            }
            OnGpu::No
        });
    }

    /// Starts the GPU, holds it against the CPU and tells the page what became of it.
    async fn start_gpu(&self) {
        if self.0.borrow().gpu.is_some() {
            return;
        }
        let started = scope::within(GPU_START_LIMIT_MS, async {
            let gpu = Gpu::start().await?;
            gpu.self_test(Inputs::Raw).await?;
            Ok::<Gpu, String>(gpu)
        });
        let status = match started.await {
            Some(Ok(gpu)) => {
                let adapter = gpu.adapter().to_owned();
                self.0.borrow_mut().gpu = Some(Rc::new(gpu));
                FromEngine::Gpu(GpuStatus::Running { adapter })
            }
            Some(Err(why)) => unavailable(&why),
            None => unavailable("the GPU did not start in time"),
        };
        post(&status);
    }

    /// Ends the use of the GPU: for the fault that it reported itself, or else for `why`.
    fn drop_gpu(&self, why: &str) {
        let gpu = self.0.borrow_mut().gpu.take();
        if let Some(gpu) = gpu {
            post(&unavailable(gpu.fault().unwrap_or(why)));
        }
    }

    /// Fetches a file from the folder of the weights and reads it. What is no such file at all is
    /// named as such before its checksum is.
    async fn fetch<T>(
        &self,
        file: &str,
        parse: impl FnOnce(&str, &[u8]) -> Result<T, WeightsError>,
    ) -> Result<T, String> {
        let plain = format!("{PRETRAINED}{file}");
        let url = self.0.borrow().files.url(&plain);
        let bytes = scope::fetch(&url).await;
        let bytes = bytes.map_err(|why| format!("{file}: {why}"))?;
        let parsed = parse(file, &bytes).map_err(|error| error.to_string())?;
        self.0.borrow().files.check(&plain, &bytes)?;
        Ok(parsed)
    }

    /// Fetches what of a model samples.
    async fn load(&self, model: &str) -> Result<(), String> {
        if model == TEMPERED.name {
            let file = format!("{model}.safetensors");
            let parsed = self.fetch(&file, weights::tempered::parse).await?;
            self.0.borrow_mut().tempered = Some(Tempered {
                model: parsed.model,
                last: RefCell::default(),
            });
            return Ok(());
        }
        let experiment = experiment(model)?;
        let file = weights::forward_file(model);
        let (forward, log_z) = self.fetch(&file, weights::parse_forward).await?;
        let log_z = Some(f64::from(log_z));
        let loaded = Model::new(forward, experiment.start, experiment.steps, log_z);
        self.0
            .borrow_mut()
            .models
            .insert(experiment.name, Rc::new(loaded));
        Ok(())
    }

    /// What studies of a model are made of, its backward policy included.
    async fn subject(&self, model: &str) -> Result<Rc<Subject>, String> {
        if let Some(subject) = self.0.borrow().subjects.get(model) {
            return Ok(Rc::clone(subject));
        }
        let experiment = experiment(model)?;
        let file = format!("{model}.safetensors");
        let parsed = self.fetch(&file, weights::parse).await?;
        let subject = Rc::new(Subject::new(experiment, &parsed));
        let mut state = self.0.borrow_mut();
        state.subjects.insert(experiment.name, Rc::clone(&subject));
        Ok(subject)
    }

    async fn load_snapshots(&self, model: &str, file: &str, sha256: &str) -> Result<(), String> {
        let experiment = experiment(model)?;
        if self.0.borrow().trainings.contains_key(experiment.name) {
            return Ok(());
        }
        let parse = |file: &str, bytes: &[u8]| {
            let snapshots = snapshots::parse(file, bytes)?;
            weights::check_sha256(file, bytes, sha256)?;
            Ok(snapshots)
        };
        let training = Training {
            snapshots: self.fetch(file, parse).await?,
            last: RefCell::default(),
        };
        self.0
            .borrow_mut()
            .trainings
            .insert(experiment.name, training);
        Ok(())
    }

    /// Answers until there is no question left.
    async fn study(&self) {
        loop {
            let next = self.0.borrow_mut().questions.pop_front();
            let Some(request) = next else { break };
            let outcome = self.answer(&request).await;
            let StudyRequest {
                panel, id, model, ..
            } = request;
            post(&FromEngine::Study(StudyResult {
                panel,
                id,
                model,
                outcome,
            }));
            scope::let_messages_in().await;
        }
        self.0.borrow_mut().studying = false;
    }

    async fn answer(&self, request: &StudyRequest) -> Result<Study, String> {
        let subject = self.subject(&request.model).await?;
        subject.answer(&request.question)
    }

    /// Draws until there is nothing left to draw.
    async fn draw(&self) {
        loop {
            let next = self.0.borrow_mut().schedule.take();
            let job = match next {
                None => break,
                Some(Next::Continue(job)) => Ok(job),
                Some(Next::Begin(request)) => {
                    let (demo, id) = (request.demo, request.id);
                    Plan::of(request)
                        .and_then(|plan| self.begin(plan))
                        .map_err(|why| FromEngine::Failed { demo, id, why })
                }
            };
            match job {
                Ok(mut job) => {
                    self.draw_chunk(&mut job).await;
                    scope::let_messages_in().await;
                    let mut state = self.0.borrow_mut();
                    if state
                        .schedule
                        .enough(job.tally.drawn(), job.plan.request.count)
                    {
                        state.schedule.finish();
                        drop(state);
                        post(&FromEngine::Batch(job.result()));
                    } else {
                        state.schedule.put_back(job);
                    }
                }
                Err(failed) => {
                    self.0.borrow_mut().schedule.finish();
                    post(&failed);
                }
            }
        }
        self.0.borrow_mut().drawing = false;
    }

    fn begin(&self, plan: Plan) -> Result<Job, String> {
        let state = self.0.borrow();
        let name = plan.experiment.name;
        let model = match (plan.request.beta, plan.request.snapshot) {
            (Some(beta), _) => state
                .tempered
                .as_ref()
                .map(|tempered| tempered.at(beta))
                .ok_or("the model of every temperature is not loaded")?,
            (None, None) => state.models.get(name).unwrap_or(&state.placeholder).clone(),
            (None, Some(place)) => state
                .trainings
                .get(name)
                .and_then(|training| training.model(place, plan.experiment))
                .ok_or_else(|| format!("snapshot {place} of `{name}` is not loaded"))?,
        };
        let device = match plan.request.device {
            DeviceChoice::Auto | DeviceChoice::WebGpu if state.gpu.is_some() => DeviceUsed::WebGpu,
            DeviceChoice::Cpu => DeviceUsed::Cpu,
            _ => DeviceUsed::CpuTable,
        };
        Ok(Job {
            model,
            tally: Tally::new(&plan),
            device,
            relaxed_simd: false,
            threads: 1,
            sampling_ms: 0.0,
            plan,
        })
    }

    /// Draws the next chunk of a job. When the GPU fails, the job begins anew on the CPU.
    async fn draw_chunk(&self, job: &mut Job) {
        if job.device == DeviceUsed::WebGpu {
            match self.gpu_chunk(job).await {
                Ok(()) => return,
                Err(why) => {
                    // A lost device says so a moment after its reads have failed.
                    scope::pause(100.0).await;
                    self.drop_gpu(&why);
                    job.device = DeviceUsed::CpuTable;
                    job.tally = Tally::new(&job.plan);
                    job.sampling_ms = 0.0;
                }
            }
        }
        let drawn = job.tally.drawn();
        let rest = job.plan.request.count - drawn;
        let count = self.0.borrow_mut().pace(job.device).chunk(rest);
        let relaxed = self.0.borrow().relaxed.clone();
        let begin = scope::now_ms();
        let threads = match relaxed {
            Some(relaxed) => job.relaxed_chunk(&relaxed, count).await,
            None => Ok(0),
        };
        if let Err(why) = &threads {
            without_relaxed(why);
            self.0.borrow_mut().relaxed = None;
        }
        let threads = threads.unwrap_or(0);
        job.relaxed_simd = threads > 0;
        job.threads = threads.max(1);
        if !job.relaxed_simd {
            job.own_chunk(count);
        }
        let ms = scope::now_ms() - begin;
        self.0.borrow_mut().pace(job.device).learn(count, ms);
        job.sampling_ms += ms;
    }

    async fn gpu_chunk(&self, job: &mut Job) -> Result<(), String> {
        let (gpu, pace) = {
            let state = self.0.borrow();
            (state.gpu.clone(), state.gpu_pace)
        };
        let gpu = gpu.ok_or("the GPU is no longer in use")?;
        let drawn = job.tally.drawn();
        let count = pace.chunk(job.plan.request.count - drawn);
        let inputs = job.model.weights.inputs();
        if inputs != Inputs::Raw && !self.0.borrow().tested.contains(&inputs) {
            // Another kernel than the one that was tested at the start.
            scope::within(GPU_LIMIT_MS, gpu.self_test(inputs))
                .await
                .ok_or("the GPU did not answer in time")??;
            self.0.borrow_mut().tested.push(inputs);
        }
        let begin = scope::now_ms();
        let policy = job.model.on(&gpu);
        let rollout = job.plan.rollout(drawn);
        let (counts, paths) = job.tally.parts();
        let counting = gpu.count(&policy, &rollout, count as usize, paths, counts);
        let whole = scope::within(GPU_LIMIT_MS, counting)
            .await
            .ok_or("the GPU did not answer in time")??;
        job.tally.add_paths(&whole);
        let ms = scope::now_ms() - begin;
        self.0.borrow_mut().gpu_pace.learn(count, ms);
        job.sampling_ms += ms;
        Ok(())
    }
}

/// Makes tables that nobody asked for, while the weights are on their way. Browsers run fresh code
/// slowly and optimise what runs often: the first table that is wanted then costs a tenth.
async fn warm_up() {
    let policy = Policy::init(HIDDEN, &mut ThreefryRng::new(0, 0));
    let network = Sampler::new(&policy);
    for _ in 0..WARM_UPS {
        let begin = scope::now_ms();
        let table = network
            .clone()
            .tabulated(EXPERIMENTS[0].start, EXPERIMENTS[0].steps);
        drop(std::hint::black_box(table));
        if scope::now_ms() - begin < WARM_MS {
            break;
        }
        scope::let_messages_in().await;
    }
}

/// Trains for a moment at a time, so that batches run meanwhile.
async fn train(model: &str, seed: u64, iterations: u32) -> Result<TrainingResult, String> {
    const MOMENT_MS: f64 = 30.0;
    let Some(experiment) = Experiment::named(model) else {
        return Err(format!("there is no experiment `{model}`"));
    };
    let mut trainer = Trainer::new(&Recipe::of(experiment), seed);
    let mut training_ms = 0.0;
    let mut loss = f32::NAN;
    while trainer.iteration() < iterations as usize {
        let begin = scope::now_ms();
        while trainer.iteration() < iterations as usize && scope::now_ms() - begin < MOMENT_MS {
            loss = trainer.step().loss;
        }
        training_ms += scope::now_ms() - begin;
        if !(loss.is_finite() && trainer.log_z().is_finite()) {
            let iteration = trainer.iteration();
            return Err(format!("the training diverged at iteration {iteration}"));
        }
        scope::let_messages_in().await;
    }
    let (start, steps) = (experiment.start, experiment.steps);
    let sampler = Sampler::new(&trainer.forward());
    let terminal = TerminalDensity::with_tails(&sampler, start, steps, 1.0, Tails::Bulk);
    Ok(TrainingResult {
        training_ms,
        loss,
        log_z: trainer.log_z(),
        total_variation: divergence::total_variation(&terminal, &experiment.target()),
    })
}

impl Job {
    /// Draws the next `count` trajectories by the engine's own sampler.
    fn own_chunk(&mut self, count: u32) {
        let rollout = self.plan.rollout(self.tally.drawn());
        let sampler = match self.device {
            DeviceUsed::Cpu => &self.model.network,
            _ => self.model.tabulated(),
        };
        let tally = &mut self.tally;
        sampler.draw_blocks(&rollout, count as usize, &mut |block| {
            tally.add_block(&block)
        });
    }

    /// Draws them by the sampler for relaxed SIMD. Returns how many threads did.
    async fn relaxed_chunk(&mut self, relaxed: &Rc<Relaxed>, count: u32) -> Result<u32, String> {
        let rollout = self.plan.rollout(self.tally.drawn());
        let (counts, paths) = self.tally.parts();
        let draw = Draw {
            model: 0,
            table: self.device == DeviceUsed::CpuTable,
            rollout,
            count,
            paths: paths as u32,
            range: counts.range(),
            bins: counts.bins() as u32,
            midpoints: counts.midpoints().to_vec(),
        };
        let (drawn, threads) = self.model.within(relaxed)?.draw(&draw).await?;
        counts.merge_counts(&drawn.counts);
        self.tally.add_paths(&Trajectories {
            steps: rollout.steps,
            states: drawn.paths,
        });
        Ok(threads)
    }

    /// The answer, with the exact part computed.
    fn result(self) -> BatchResult {
        let begin = scope::now_ms();
        let exact = self
            .model
            .exact
            .borrow_mut()
            .get(&self.plan, self.model.tabulated())
            .clone();
        let density_ms = scope::now_ms() - begin;
        BatchResult {
            demo: self.plan.request.demo,
            id: self.plan.request.id,
            snapshot: self.plan.request.snapshot,
            device: self.device,
            relaxed_simd: self.relaxed_simd,
            threads: self.threads,
            placeholder: self.model.log_z.is_none(),
            sampled: self.tally.drawn(),
            sampling_ms: self.sampling_ms,
            density_ms,
            table_ms: self.model.table_ms(),
            histogram: self.tally.histogram(),
            sampled_mode_mass: self.tally.mode_mass(),
            paths: self.tally.into_paths(),
            density: exact.density,
            total_variation: exact.total_variation,
            mode_mass: exact.mode_mass,
            log_z: self.model.log_z,
        }
    }
}

fn without_relaxed(why: &str) {
    scope::warn(&format!("kernels.wasm is not in use: {why}"));
}

fn unavailable(why: &str) -> FromEngine {
    FromEngine::Gpu(GpuStatus::Unavailable {
        why: why.to_owned(),
    })
}
