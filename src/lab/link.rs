//! The laboratory's line to a worker that trains for it. Each run has a worker of its own, so that
//! the demos go on meanwhile.

use super::record::Record;
use gflownet_tour_core::checkpoint::Checkpoint;
use gflownet_tour_core::files::Files;
use gflownet_tour_core::lab::Settings;
use gflownet_tour_core::message::{
    Begin, FromEngine, FromRun, Look, Phase, ToEngine, ToRun, check_build, decode, encode,
};
use gflownet_tour_widgets::worker::{listen, start_worker};
use js_sys::Uint8Array;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::JsCast;
use web_sys::{ErrorEvent, MessageEvent, Worker};

/// How often it is looked whether a worker at work still speaks, and how often in a row it may not.
const TICK: Duration = Duration::from_secs(5);
const PATIENCE: u32 = 8;

/// A run and its worker. A handle: copies are the same run.
#[derive(Clone, Copy)]
pub struct RunLink {
    line: StoredValue<Line, LocalStorage>,
    /// All that is known of the run; none before the first.
    pub record: RwSignal<Option<Record>>,
    /// Why the run stands still, if that is a fault: its worker died, or refused the settings.
    pub trouble: RwSignal<Option<String>>,
    /// Whether a worker is on its way, or has not answered yet.
    pub is_starting: RwSignal<bool>,
    /// What the reports are to show.
    pub look: RwSignal<Look>,
    /// Iterations a second, at most.
    pub limit: RwSignal<Option<f64>>,
}

#[derive(Default)]
struct Line {
    worker: Option<Worker>,
    /// Which worker, counted; words of an earlier one are not heard.
    generation: u32,
    is_ready: bool,
    silent_ticks: u32,
    runs: u32,
    /// What to say once the worker listens.
    waiting: Vec<ToRun>,
}

impl RunLink {
    pub fn new(look: Look) -> Self {
        let link = RunLink {
            line: StoredValue::new_local(Line::default()),
            record: RwSignal::new(None),
            trouble: RwSignal::new(None),
            is_starting: RwSignal::new(false),
            look: RwSignal::new(look),
            limit: RwSignal::new(None),
        };
        Effect::new(move |_| {
            let look = link.look.get();
            link.say(ToRun::Look(look));
        });
        Effect::new(move |_| {
            let limit = link.limit.get();
            link.say(ToRun::Limit(limit));
        });
        set_interval(move || link.tick(), TICK);
        link
    }

    /// Begins a run of these settings, paused.
    pub fn begin(self, settings: Settings) {
        self.begin_at(settings, None);
    }

    /// Begins a run of these settings, paused, from these weights if there are any.
    pub fn begin_at(self, settings: Settings, from: Option<Checkpoint>) {
        let run = self.line.try_update_value(|line| {
            line.runs += 1;
            line.waiting.clear();
            line.runs
        });
        let record = Record {
            checkpoint: from,
            ..Record::new(run.unwrap_or(0), settings)
        };
        self.begin_from(record);
    }

    /// Takes up a run that was kept, paused at its weights.
    pub fn resume(self, record: Record) {
        let run = self.line.try_update_value(|line| {
            line.runs += 1;
            line.runs
        });
        let run = run.unwrap_or(0);
        self.begin_from(Record { run, ..record });
    }

    /// Goes on with a run that rests: where it stands, or, without a worker, at its last weights.
    pub fn play(self) {
        match self.line.with_value(|line| line.worker.is_some()) {
            true => self.say(ToRun::Play),
            false => self.go_on(),
        }
    }

    /// Goes on with the run where its last good weights are, in a new worker.
    pub fn go_on(self) {
        if let Some(record) = self.record.get_untracked() {
            self.drop_worker();
            self.begin_from(record);
            self.say(ToRun::Play);
        }
    }

    fn begin_from(self, record: Record) {
        let begin = Begin {
            run: record.run,
            settings: record.settings.clone(),
            look: self.look.get_untracked(),
            from: record.checkpoint.clone(),
        };
        self.trouble.set(None);
        self.is_starting.set(true);
        self.record.set(Some(record));
        let has_worker = self.line.with_value(|line| line.worker.is_some());
        if !has_worker {
            self.spawn();
        }
        self.say(ToRun::Begin(Box::new(begin)));
        self.say(ToRun::Limit(self.limit.get_untracked()));
    }

    /// Changes rates and noise of the run.
    pub fn tune(self, settings: &Settings) {
        self.record.update(|record| {
            if let Some(record) = record {
                record.settings = settings.clone();
            }
        });
        self.say(ToRun::Tune(Box::new(settings.clone())));
    }

    /// Gives an order, now or when the worker listens. Without a worker there is nobody to say it to.
    pub fn say(self, order: ToRun) {
        let Some(order) = self.line.try_update_value(|line| {
            line.worker.as_ref()?;
            if line.is_ready {
                Some(order)
            } else {
                line.waiting.push(order);
                None
            }
        }) else {
            return;
        };
        if let Some(order) = order
            && let Ok(bytes) = encode(&order)
        {
            self.send(&ToEngine::Run(bytes));
        }
    }

    fn send(self, message: &ToEngine) {
        let sent = self.line.with_value(|line| {
            let worker = line.worker.as_ref()?;
            let bytes = encode(message).ok()?;
            let bytes = Uint8Array::from(bytes.as_slice());
            worker.post_message(&bytes).ok()
        });
        if sent.is_none() {
            leptos::logging::warn!("the trainer could not be sent a message");
        }
    }

    /// Ends the run and its worker.
    pub fn end(self) {
        self.drop_worker();
        self.is_starting.set(false);
        self.record.set(None);
    }

    fn drop_worker(self) {
        self.line.update_value(|line| {
            if let Some(worker) = line.worker.take() {
                worker.terminate();
            }
            line.generation += 1;
            line.is_ready = false;
            line.waiting.clear();
        });
    }

    fn spawn(self) {
        let generation = self.line.try_update_value(|line| {
            line.generation += 1;
            line.silent_ticks = 0;
            line.generation
        });
        let generation = generation.unwrap_or(0);
        let worker = match start_worker() {
            Ok(worker) => worker,
            Err(why) => return self.mourn(generation, &why),
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
                let why = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message);
                let why = why.filter(|why| !why.is_empty());
                self.mourn(generation, why.as_deref().unwrap_or("it could not be run"));
            });
        }
        self.line.update_value(|line| line.worker = Some(worker));
    }

    fn mourn(self, generation: u32, why: &str) {
        if self.line.with_value(|line| line.generation) != generation {
            return;
        }
        self.drop_worker();
        self.is_starting.set(false);
        let at = self.record.with_untracked(|record| {
            let checkpoint = record.as_ref()?.checkpoint.as_ref()?;
            Some(checkpoint.iteration)
        });
        let kept = match at {
            Some(iteration) => {
                format!("The weights after {iteration} iterations are kept: go on from there.")
            }
            None => "Try again.".to_owned(),
        };
        self.record.update(|record| {
            if let Some(record) = record {
                record.phase = Phase::Paused;
            }
        });
        self.trouble.set(Some(format!(
            "The trainer stopped ({}). {kept}",
            why.trim_end_matches('.')
        )));
    }

    fn tick(self) {
        let is_owed = self.is_starting.get_untracked()
            || self.record.with_untracked(|record| {
                record.as_ref().is_some_and(|r| r.phase == Phase::Playing)
            });
        let lost = self.line.try_update_value(|line| {
            line.worker.as_ref()?;
            line.silent_ticks = if is_owed { line.silent_ticks + 1 } else { 0 };
            (line.silent_ticks >= PATIENCE).then_some(line.generation)
        });
        // A slow limit is silence too, but one that the page knows of.
        if let Some(generation) = lost.flatten() {
            self.mourn(generation, "no word from it for a long time");
        }
    }

    fn hear(self, generation: u32, bytes: &[u8]) {
        if self.line.with_value(|line| line.generation) != generation {
            return;
        }
        self.line.update_value(|line| line.silent_ticks = 0);
        match decode::<FromEngine>(bytes) {
            Ok(FromEngine::Ready { build }) => {
                if let Err(why) = check_build(&build) {
                    return self.mourn(generation, &why);
                }
                self.send(&ToEngine::Start {
                    files: Files::default(),
                    threads: 0,
                    gpu: true,
                });
                let waiting = self.line.try_update_value(|line| {
                    line.is_ready = true;
                    std::mem::take(&mut line.waiting)
                });
                for order in waiting.unwrap_or_default() {
                    self.say(order);
                }
            }
            Ok(FromEngine::Run(bytes)) => match decode::<FromRun>(&bytes) {
                Ok(FromRun::Report(report)) => {
                    self.say(ToRun::Heard(report.id));
                    self.is_starting.set(false);
                    self.record.update(|record| {
                        if let Some(record) = record {
                            record.add(*report);
                        }
                    });
                }
                Ok(FromRun::Refused { why, .. }) => {
                    self.is_starting.set(false);
                    self.trouble
                        .set(Some(format!("This run cannot begin: {why}")));
                }
                Ok(FromRun::Seed(_) | FromRun::SeedsRefused { .. }) => {}
                Err(error) => self.mourn(generation, &error.to_string()),
            },
            Ok(_) => {}
            Err(error) => self.mourn(generation, &error.to_string()),
        }
    }
}
