//! The page's state in the address bar, both ways; links that are copied; and what is said of them.

use gflownet_tour_core::address::{self, Control, State};
use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::prelude::*;
use web_sys::{Element, EventTarget};

/// How long the page has to rest before its address follows: browsers refuse to have it changed too
/// often.
const REST: Duration = Duration::from_millis(400);
/// How long a confirmation stays.
const GLANCE: Duration = Duration::from_secs(6);
/// What the browser remembers of a place where a reader has been brought already. A reload then leaves
/// them where they have scrolled to since.
const SEEN: &str = "seen";

#[wasm_bindgen]
extern "C" {
    type History;
    #[wasm_bindgen(thread_local_v2, js_name = history)]
    static HISTORY: History;
    #[wasm_bindgen(method, getter, catch)]
    fn state(this: &History) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, js_name = replaceState, catch)]
    fn replace_state(this: &History, mark: &str, title: &str, url: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(js_namespace = ["navigator", "clipboard"], js_name = writeText, catch)]
    async fn write_to_clipboard(text: &str) -> Result<JsValue, JsValue>;
}

/// What is said at the foot of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Notice {
    words: Vec<String>,
    /// What is to be copied by hand.
    text: Option<String>,
}

/// The address bar, for all that has a state. A handle: copies are the same bar.
#[derive(Clone, Copy)]
pub struct AddressBar {
    state: RwSignal<State>,
    /// Counts what was read after the start.
    read: RwSignal<u32>,
    /// What the address bar said last, as far as this page wrote or read it.
    known: StoredValue<(String, State)>,
    timer: StoredValue<Option<TimeoutHandle>>,
    notice: RwSignal<Notice>,
}

impl AddressBar {
    /// Reads the address, and follows it and is followed by it for as long as the page lives.
    pub fn start() -> Self {
        let hash = here();
        let asked = address::parse(&hash);
        let state = asked.state.unwrap_or_default();
        let bar = AddressBar {
            state: RwSignal::new(state.clone()),
            read: RwSignal::new(0),
            known: StoredValue::new((hash, state)),
            timer: StoredValue::new(None),
            notice: RwSignal::new(Notice::default()),
        };
        window_event_listener(ev::hashchange, move |event| bar.follow(&event.old_url()));
        window_event_listener(ev::click, move |event| {
            let around = |selector| around(event.target(), selector);
            // The marks beside headings are links like any other; pressed, they are copied as well.
            if let Some(place) = around("a.anchor").and_then(|mark| mark.get_attribute("href")) {
                bar.copy(place.trim_start_matches('#'));
            }
            let of = around("button[data-copies]").and_then(|it| it.get_attribute("data-copies"));
            if let Some(element) = of.and_then(|id| document().get_element_by_id(&id)) {
                bar.copy_text(element.text_content().unwrap_or_default());
            }
        });
        bar.close_on_escape();
        // Buttons that do nothing without this program.
        while let Ok(Some(button)) = document().query_selector("button[data-copies][hidden]") {
            if button.remove_attribute("hidden").is_err() {
                break;
            }
        }
        Effect::new(move |_| {
            bar.state.track();
            if let Some(timer) = bar.timer.get_value() {
                timer.clear();
            }
            let write = set_timeout_with_handle(move || bar.write(), REST);
            bar.timer.set_value(write.ok());
        });
        // What is there before a reader's software listens is not read out.
        set_timeout(
            move || {
                bar.tell(asked.notes);
                if asked.place.is_empty() || HISTORY.with(|h| h.state().is_ok_and(|s| !s.is_null()))
                {
                    return;
                }
                bar.go_to(&asked.place);
            },
            Duration::ZERO,
        );
        bar
    }

    /// Keeps a signal and its part of the state the same; the state, which has what the address
    /// asked for, comes first. `index` is handed to `part`.
    pub fn keep<T>(
        self,
        signal: RwSignal<T>,
        part: fn(&mut State, usize) -> &mut T,
        index: usize,
    ) -> RwSignal<T>
    where
        T: Copy + PartialEq + Send + Sync + 'static,
    {
        let put = move || {
            let asked = self
                .state
                .try_maybe_update(|state| (false, *part(state, index)));
            if let Some(asked) = asked
                && asked != signal.get_untracked()
            {
                signal.set(asked);
            }
        };
        put();
        Effect::new(move |_| {
            self.read.track();
            put();
        });
        Effect::new(move |_| {
            let value = signal.get();
            self.state.maybe_update(|state| {
                let part = part(state, index);
                let is_new = *part != value;
                *part = value;
                is_new
            });
        });
        signal
    }

    /// A signal that is kept the same as its part of the state.
    pub fn signal<T>(self, part: fn(&mut State, usize) -> &mut T, index: usize) -> RwSignal<T>
    where
        T: Copy + PartialEq + Send + Sync + 'static,
    {
        let first = *part(&mut self.state.get_untracked(), index);
        self.keep(RwSignal::new(first), part, index)
    }

    /// Whether a teacher's link hides controls of this kind.
    pub fn hides(self, control: Control) -> bool {
        self.state.with(|state| !state.controls.show(control))
    }

    /// The address was changed, by a reader or a link.
    fn follow(self, before: &str) {
        let hash = here();
        if self.known.with_value(|known| known.0 == hash) {
            return;
        }
        let asked = address::parse(&hash);
        match asked.state {
            Some(state) => {
                self.known.set_value((hash, state.clone()));
                self.state.set(state);
                self.read.update(|n| *n = n.wrapping_add(1));
                self.go_to(&asked.place);
            }
            // A place, or a link of the laboratory: what the address said of the rest is said again.
            None => {
                let before = before.split_once('#').map_or("", |(_, hash)| hash);
                let rest = match asked.rest {
                    rest if rest.is_empty() => address::parse(before).rest,
                    rest => rest,
                };
                let state = self.state.get_untracked();
                if state != State::default() || !rest.is_empty() {
                    self.put(address::write(&asked.place, &state, &rest), state);
                }
            }
        }
        self.tell(asked.notes);
    }

    /// Writes the address, if the page is no longer what the address says.
    fn write(self) {
        let state = self.state.get_untracked();
        let Some(group) = self
            .known
            .with_value(|known| address::changed(&known.1, &state))
        else {
            return;
        };
        let asked = address::parse(&here());
        let place = place_of(group).unwrap_or(asked.place);
        self.put(address::write(&place, &state, &asked.rest), state);
    }

    fn put(self, address: String, state: State) {
        // Where the browser refuses, the address keeps what it said before.
        let _ = HISTORY.with(|h| h.replace_state(SEEN, "", &format!("#{address}")));
        self.known.set_value((address, state));
    }

    /// Brings the reader to a place. The browser does it, so that the keyboard goes on from there; it
    /// only does not know that what follows the `?` is no part of the name.
    fn go_to(self, place: &str) {
        if document().get_element_by_id(place).is_none() {
            return;
        }
        let whole = here();
        let _ = window().location().replace(&format!("#{place}"));
        let _ = HISTORY.with(|h| h.replace_state(SEEN, "", &format!("#{whole}")));
    }

    /// Copies a link to this page with another address.
    fn copy(self, address: &str) {
        let page = window().location().href().unwrap_or_default();
        let page = page.split_once('#').map_or(&*page, |(page, _)| page);
        self.copy_text(format!("{page}#{address}"));
    }

    fn copy_text(self, text: String) {
        leptos::task::spawn_local(async move {
            let is_copied = write_to_clipboard(&text).await.is_ok();
            let words = if is_copied {
                "Copied."
            } else {
                "The browser does not let this page copy. Copy this by hand:"
            };
            let notice = Notice {
                words: vec![words.into()],
                text: (!is_copied).then_some(text),
            };
            self.notice.set(notice.clone());
            if is_copied {
                let close = move || {
                    if self.notice.get_untracked() == notice {
                        self.notice.set(Notice::default());
                    }
                };
                set_timeout(close, GLANCE);
            }
        });
    }

    /// Escape shuts the notice and the card of a citation, which stays shut while the reader is there.
    fn close_on_escape(self) {
        let Some(root) = document().document_element() else {
            return;
        };
        // These attributes can be set and removed.
        let shut = StoredValue::new_local(move |is_shut| {
            let _ = match is_shut {
                true => root.set_attribute("data-cards", "shut"),
                false => root.remove_attribute("data-cards"),
            };
        });
        let shut = move |is_shut: bool| shut.with_value(|shut| shut(is_shut));
        window_event_listener(ev::keydown, move |event| {
            if event.key() == "Escape" {
                self.notice.set(Notice::default());
                shut(true);
            }
        });
        window_event_listener(ev::focusin, move |_| shut(false));
        window_event_listener(ev::pointerover, move |event| {
            let focused = document().active_element();
            let is_focused = around(focused.map(Into::into), ".cite").is_some();
            if !is_focused && around(event.target(), ".cite").is_none() {
                shut(false);
            }
        });
    }

    fn tell(self, notes: Vec<String>) {
        if !notes.is_empty() {
            let words = ["The link was not read as it stood:".to_owned()];
            let words = words.into_iter().chain(notes).collect();
            self.notice.set(Notice { words, text: None });
        }
    }
}

/// The address, without its `#`.
fn here() -> String {
    location_hash().unwrap_or_default()
}

/// The nearest element with this selector, from where an event was upwards.
fn around(target: Option<EventTarget>, selector: &str) -> Option<Element> {
    let element = target?.dyn_into::<Element>().ok()?;
    element.closest(selector).ok().flatten()
}

/// The id of the heading above a demo or a part to open, given by its group of words.
fn place_of(group: &str) -> Option<String> {
    let selector = format!("[data-demo='{group}'], [data-study='{group}']");
    let mut element = document().query_selector(&selector).ok().flatten()?;
    while element.tag_name() != "SECTION" {
        element = match element.previous_element_sibling() {
            Some(before) => {
                if let Ok(Some(heading)) = before.query_selector("h3[id]") {
                    return Some(heading.id());
                }
                before
            }
            None => element.parent_element()?,
        };
    }
    Some(element.id()).filter(|id| !id.is_empty())
}

/// A button that copies a link to a demo, or a part to open, as it is now.
#[component]
pub fn CopyLink(
    /// The group of its words: the demo's name.
    group: &'static str,
    /// What the link is to, for those who hear the button.
    about: &'static str,
) -> impl IntoView {
    let bar = expect_context::<AddressBar>();
    let press = move |_| {
        let place = place_of(group).unwrap_or_default();
        let address = bar
            .state
            .with_untracked(|state| address::write_one(&place, state, group));
        bar.copy(&address);
    };
    view! {
        <button
            type="button"
            class="copy-link"
            aria-label=format!("Copy link: {about}")
            hidden=move || bar.hides(Control::Link)
            on:click=press
        >
            "Copy link"
        </button>
    }
}

/// What is said of links, at the foot of the screen.
#[component]
pub fn Notices() -> impl IntoView {
    let bar = expect_context::<AddressBar>();
    let field = NodeRef::<html::Textarea>::new();
    let close = move || bar.notice.set(Notice::default());
    let is_empty = move || bar.notice.with(|notice| notice.words.is_empty());
    let text = move || bar.notice.with(|notice| notice.text.clone());
    Effect::new(move |_| {
        if let (Some(text), Some(field)) = (text(), field.get()) {
            field.set_value(&text);
            field.select();
        }
    });
    view! {
        <div class="toast" class:shown=move || !is_empty()>
            <div role="status">
                {move || {
                    let words = bar.notice.get().words.into_iter();
                    words.map(|words| view! { <p>{words}</p> }).collect_view()
                }}
            </div>
            <textarea
                readonly
                rows="2"
                class="by-hand"
                aria-label="To copy by hand"
                node_ref=field
                hidden=move || text().is_none()
            ></textarea>
            <button type="button" hidden=is_empty on:click=move |_| close()>
                "Close"
            </button>
        </div>
    }
}
