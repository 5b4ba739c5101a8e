//! A question before the answer: what a reader expects, remembered by the browser. Nothing is
//! hidden from those who skip it, and nobody keeps a score.

use super::share::AddressBar;
use gflownet_tour_core::address::Control;
use gflownet_tour_widgets::storage;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{Element, HtmlElement};

// Where the storage is denied, answers last as long as the page.

/// What is stored for a question that was skipped.
const SKIPPED: &str = "skipped";

/// What became of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Open,
    Skipped,
    Answer(usize),
}

impl Reply {
    fn read(text: Option<String>, answers: usize) -> Reply {
        match text.as_deref() {
            Some(SKIPPED) => Reply::Skipped,
            Some(text) => match text.parse() {
                Ok(answer) if answer < answers => Reply::Answer(answer),
                _ => Reply::Open,
            },
            None => Reply::Open,
        }
    }

    fn text(self) -> String {
        match self {
            Reply::Open => String::new(),
            Reply::Skipped => SKIPPED.into(),
            Reply::Answer(answer) => answer.to_string(),
        }
    }
}

/// A question with answers, each with what is said to those who chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its place in the browser's storage.
    name: String,
    question: String,
    answers: Vec<(String, String)>,
}

impl Question {
    /// Reads the question that the article asks in `place`.
    ///
    /// # Errors
    /// When there is none, or an answer has nothing that is said to it.
    pub fn read(place: &Element) -> Result<Question, String> {
        let find = |parent: &Element, selector: &str| {
            let found = parent.query_selector(selector).ok().flatten();
            found.ok_or_else(|| format!("its question has no `{selector}`"))
        };
        let words = |parent: &Element, selector: &str| {
            find(parent, selector).map(|found| found.text_content().unwrap_or_default())
        };
        let frame = find(place, "[data-question]")?;
        let mut answers = Vec::new();
        let mut next = Some(find(&frame, ".option")?);
        while let Some(option) = next {
            if option.class_name() == "option" {
                answers.push((words(&option, ".answer")?, words(&option, ".told")?));
            }
            next = option.next_element_sibling();
        }
        Ok(Question {
            name: frame.get_attribute("data-question").unwrap_or_default(),
            question: words(&frame, ".question")?,
            answers,
        })
    }
}

#[component]
pub fn Predict(question: Question) -> impl IntoView {
    let Question {
        name,
        question,
        answers,
    } = question;
    let bar = expect_context::<AddressBar>();
    let key = format!("gflownet-tour.prediction.{name}");
    let stored = storage::get(&key).ok().flatten();
    let reply = RwSignal::new(Reply::read(stored, answers.len()));
    let settle = move |answer: Reply| {
        reply.set(answer);
        // Denied or full, it is forgotten, which harms nothing.
        let _ = storage::set(&key, &answer.text());
    };
    let settle = StoredValue::new_local(settle);
    let settle = move |answer| settle.with_value(|settle| settle(answer));
    let (texts, outcomes): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    let group = format!("predict-{name}");
    let options = texts.into_iter().enumerate().map(|(place, text)| {
        view! {
            <label>
                <input
                    type="radio"
                    name=group.clone()
                    value=place.to_string()
                    prop:checked=move || reply.get() == Reply::Answer(place)
                    on:change=move |_| settle(Reply::Answer(place))
                />
                {text}
            </label>
        }
    });
    let options = options.collect_view();
    let outcome = move || match reply.get() {
        Reply::Answer(answer) => outcomes.get(answer).cloned(),
        _ => None,
    };
    // What is hidden cannot keep the focus: it goes to what takes its place.
    let (question_box, again) = (
        NodeRef::<html::Fieldset>::new(),
        NodeRef::<html::Button>::new(),
    );
    let skip = move |_| {
        settle(Reply::Skipped);
        request_animation_frame(move || {
            if let Some(again) = again.try_get_untracked().flatten() {
                let _ = again.focus();
            }
        });
    };
    let show = move |_| {
        settle(Reply::Open);
        request_animation_frame(move || {
            let first = question_box.try_get_untracked().flatten();
            let first = first.and_then(|question| question.query_selector("input").ok()?);
            if let Some(first) = first.and_then(|first| first.dyn_into::<HtmlElement>().ok()) {
                let _ = first.focus();
            }
        });
    };
    let is_skipped = Memo::new(move |_| reply.get() == Reply::Skipped);
    view! {
        <div
            class="predict"
            data-question=name
            data-answer=move || reply.get().text()
            hidden=move || bar.hides(Control::Questions)
        >
            <fieldset node_ref=question_box hidden=move || is_skipped.get()>
                <legend>
                    <b>"What do you expect? "</b>
                    {question}
                </legend>
                {options}
                <button
                    type="button"
                    class="skip"
                    hidden=move || reply.get() != Reply::Open
                    on:click=skip
                >
                    "Skip"
                </button>
            </fieldset>
            <button
                type="button"
                class="ask-again"
                node_ref=again
                hidden=move || !is_skipped.get()
                on:click=show
            >
                "A question stood here; show it"
            </button>
            <p class="outcome" role="status">{outcome}</p>
        </div>
    }
}
