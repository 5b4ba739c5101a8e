//! What the parts that a reader opens have in common: a question to the engine about a model, its
//! answer, and a line that says why there is none. Nothing is computed before the part is open.

use super::link::{Engine, EngineState, ModelState};
use super::share::{AddressBar, CopyLink};
use super::still::{StudyStill, holds};
use gflownet_tour_core::address::Control;
use gflownet_tour_core::experiment::{self, Experiment};
use gflownet_tour_core::message::{Study, StudyResult};
use gflownet_tour_widgets::island::Island;
use gflownet_tour_widgets::palette::Palette;
use gflownet_tour_widgets::screen::Screen;
use gflownet_tour_widgets::spoken::Spoken;
use gflownet_tour_widgets::study::{Inquired, opening};
use leptos::html;
use leptos::prelude::*;
use std::sync::Arc;
use web_sys::{Element, HtmlCanvasElement};

/// One part's question and what became of it.
#[derive(Clone, Copy)]
pub struct Inquiry {
    /// Whether the reader has the part open.
    is_open: RwSignal<bool>,
    question: Memo<Inquired>,
    /// The newest answer, good or not.
    answer: RwSignal<Option<Arc<StudyResult>>>,
    engine: Engine,
}

impl Inquiry {
    /// Asks `question` (a model's name, and what to know of it) when the part is opened, and again
    /// whenever it changes while the part is open. `is_open` says whether it is.
    pub fn new(
        is_open: RwSignal<bool>,
        question: impl Fn() -> Inquired + Send + Sync + 'static,
    ) -> Self {
        let engine = expect_context::<Engine>();
        let slot = engine.open_study();
        let question = Memo::new(move |_| question());
        Effect::new(move |_| {
            if !is_open.get() {
                return;
            }
            let (Experiment { name: model, .. }, question) = question.get();
            // The worker answers one question after the other: none waits there for its weights.
            let Some(index) = experiment::place(model) else {
                return;
            };
            engine.load(index);
            if engine.models[index].get() != ModelState::Loading {
                engine.study(slot, model, question);
            }
        });
        Inquiry {
            is_open,
            question,
            answer: slot.answer,
            engine,
        }
    }

    /// What `tell` makes of the newest answer, if it is a good one. Follows changes.
    pub fn told<T>(self, tell: impl FnOnce(&StudyResult, &Study) -> Option<T>) -> Option<T> {
        self.answer.with(|answer| {
            let answer = answer.as_ref()?;
            tell(answer, answer.outcome.as_ref().ok()?)
        })
    }

    fn is_answered(self) -> bool {
        self.told(|_, _| Some(())).is_some()
    }

    /// What a reader should know while there is no answer, and whether it is a problem.
    fn trouble(self) -> Option<(bool, String)> {
        let failure = self.answer.with(|answer| {
            let answer = answer.as_ref()?;
            answer.outcome.as_ref().err().cloned()
        });
        if let Some(why) = failure {
            let why = why.trim_end_matches('.');
            return Some((true, format!("This cannot be computed: {why}.")));
        }
        if self.is_answered() {
            return None;
        }
        Some(match self.engine.state.get() {
            EngineState::Gone(why) => (
                true,
                format!(
                    "The engine does not run ({why}), so this cannot be computed. Reload the page to try again."
                ),
            ),
            _ => (false, "The engine is at work.".to_owned()),
        })
    }

    /// Draws on `canvas` in the next frame, now and whenever the part is opened, the answer comes,
    /// the screen changes, or something changes that `track` reads.
    pub fn draw(
        self,
        canvas: NodeRef<html::Canvas>,
        track: impl Fn() + 'static,
        draw: impl Fn(&HtmlCanvasElement, &Palette) -> Result<(), String> + Copy + 'static,
    ) {
        let screen = expect_context::<Screen>();
        Effect::new(move |_| {
            self.is_open.track();
            self.answer.track();
            screen.resized.track();
            track();
            let palette = screen.palette.get();
            let Some(canvas) = canvas.get() else { return };
            request_animation_frame(move || {
                // What is drawn goes with the part.
                if self.is_open.is_disposed() {
                    return;
                }
                if let Err(why) = untrack(|| draw(&canvas, &palette)) {
                    leptos::logging::warn!("the figure could not be drawn: {why}");
                }
            });
        });
    }
}

/// A choice of one model among all; `chosen` is its place, for [`subject`].
#[component]
pub fn ModelChoice(
    id: &'static str,
    chosen: RwSignal<usize>,
    /// Called with the new place before it is set.
    #[prop(optional, into)]
    before: Option<Callback<usize>>,
) -> impl IntoView {
    let choose = move |ev| {
        if let Ok(index) = event_target_value(&ev).parse() {
            if let Some(before) = before {
                before.run(index);
            }
            chosen.set(index);
        }
    };
    view! {
        <div class="field">
            <label for=id>"Model"</label>
            <select id=id on:change=choose>
                {experiment::all()
                    .enumerate()
                    .map(|(index, experiment)| {
                        view! {
                            <option value=index.to_string() prop:selected=move || chosen.get() == index>
                                {experiment.title}
                            </option>
                        }
                    })
                    .collect_view()}
            </select>
        </div>
    }
}

/// A part that a reader opens. `controls` stay when there is no answer; `children` are hidden
/// then, and a status line says why.
#[component]
pub fn StudyPanel(
    /// Its name is one for links, styles and tests.
    island: Island,
    inquiry: Inquiry,
    /// What a listener is told of an answer, and of what was done with it.
    #[prop(into)]
    spoken: Signal<String>,
    #[prop(into)] controls: ViewFn,
    children: Children,
) -> impl IntoView {
    let bar = expect_context::<AddressBar>();
    let (name, title) = (island.name(), island.title());
    let trouble = Memo::new(move |_| inquiry.trouble());
    let state = move || {
        inquiry.answer.with(|answer| match answer {
            None => "waiting",
            Some(answer) if answer.outcome.is_err() => "failed",
            Some(_) => "answered",
        })
    };
    let about = move || {
        inquiry
            .answer
            .with(|answer| answer.as_ref().map(|answer| answer.model.clone()))
    };
    let words = Signal::derive(move || {
        let words = trouble
            .get()
            .map_or_else(|| spoken.get(), |trouble| trouble.1);
        inquiry.is_open.get().then_some(words)
    });
    let toggle = move |ev| {
        let is_open = event_target::<Element>(&ev).has_attribute("open");
        inquiry.is_open.set(is_open);
    };
    // Until there is an answer the article's stands here, where it is to the same question.
    let StudyStill { body, aside } = use_context().unwrap_or_default();
    let opening = opening(island);
    let is_still = Memo::new(move |_| {
        let is_waiting = inquiry.answer.with(Option::is_none);
        is_waiting
            && inquiry
                .question
                .with(|asked| Some(asked) == opening.as_ref())
    });
    let still = move || {
        let body = body.filter(|_| is_still.get())?;
        Some(view! { <div node_ref=holds(body)></div> })
    };
    view! {
        <details class="study" data-study=name data-state=state data-model=about
            prop:open=move || inquiry.is_open.get()
            hidden=move || bar.hides(Control::Parts)
            on:toggle=toggle
        >
            <summary>{title}</summary>
            <div class="controls">{controls.run()} <CopyLink group=name about=title /></div>
            <p
                class="status"
                class:problem=move || trouble.get().is_some_and(|trouble| trouble.0)
                hidden=move || {
                    trouble.get().is_none_or(|(is_problem, _)| is_still.get() && !is_problem)
                }
            >
                {move || trouble.get().map(|trouble| trouble.1)}
            </p>
            <Spoken words />
            <div class="study-body" hidden=move || !inquiry.is_answered()>
                {children()} <p class="aside" inner_html=aside></p>
            </div>
            {still}
        </details>
    }
}
