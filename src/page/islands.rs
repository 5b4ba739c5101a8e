//! The article's islands. The article is there before this program is; here its islands are found and
//! given their parts. Each is a task of its own, so that a reader who scrolls or presses meanwhile is
//! answered between two of them: what comes near the view at once, the rest when the reader has done
//! something and rests.

use super::algebra::BugAlgebra;
use super::demo::Demo;
use super::flow_panel::FlowPanel;
use super::history::{self, History};
use super::laboratory::{self, Laboratory};
use super::predict::{Predict, Question};
use super::still::{Still, StudyStill};
use super::tempered::Tempered;
use super::trace_panel::TracePanel;
use gflownet_tour_core::experiment;
use gflownet_tour_widgets::island::{ISLAND, Island, MODEL};
use gflownet_tour_widgets::screen::once_near;
use gflownet_tour_widgets::worker::listen;
use js_sys::Date;
use leptos::ev;
use leptos::mount::mount_to;
use leptos::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

/// The attribute of an island that was found, with what became of it.
const LIVE: &str = "data-live";
/// What a reader does.
const SIGNS: [&str; 6] = [
    "scroll",
    "pointermove",
    "pointerdown",
    "keydown",
    "focusin",
    "resize",
];
/// How long a reader who does nothing rests, at least: longer than a hand does within a drag.
const REST: Duration = Duration::from_secs(1);

/// The islands that have no part yet. A handle: copies are the same.
#[derive(Clone, Copy)]
struct Waiting(StoredValue<Queue, LocalStorage>);

struct Queue {
    /// What the parts share.
    owner: Owner,
    near: VecDeque<Element>,
    /// In the article's order.
    far: VecDeque<Element>,
    /// When the reader last did something, in milliseconds.
    sign: Option<f64>,
    /// The task that is on its way.
    task: Option<TimeoutHandle>,
}

/// Finds the islands, and has them become live. What belongs to the owner at hand is theirs, too.
pub fn wake() {
    let Some(owner) = Owner::current() else {
        return;
    };
    let mut far = VecDeque::new();
    let next = format!("[{ISLAND}]:not([{LIVE}])");
    while let Ok(Some(place)) = document().query_selector(&next) {
        if place.set_attribute(LIVE, "soon").is_err() {
            break;
        }
        far.push_back(place);
    }
    let places = far.clone();
    let waiting = Waiting(StoredValue::new_local(Queue {
        owner,
        near: VecDeque::new(),
        far,
        sign: None,
        task: None,
    }));
    for place in places {
        if place.get_attribute(ISLAND).as_deref() == Some(Island::Laboratory.name()) {
            let place = place.clone();
            let look = move || {
                if laboratory::is_asked_for() {
                    waiting.call(&place);
                }
            };
            look();
            window_event_listener(ev::hashchange, move |_| look());
        }
        once_near(&place.clone(), move || waiting.call(&place));
    }
    for sign in SIGNS {
        listen(&window(), sign, move |_| waiting.heed());
    }
}

impl Waiting {
    /// An island is to be live at once.
    fn call(self, place: &Element) {
        self.0.update_value(|queue| {
            if let Some(at) = queue.far.iter().position(|far| far == place) {
                queue.near.extend(queue.far.remove(at));
            }
        });
        self.go_on(Duration::ZERO);
    }

    /// The reader did something.
    fn heed(self) {
        self.0.update_value(|queue| queue.sign = Some(Date::now()));
        self.go_on(REST);
    }

    /// Sees to it that the next island has its turn, after `delay` unless it has one before.
    fn go_on(self, delay: Duration) {
        self.0.update_value(|queue| {
            let is_idle = queue.near.is_empty() && (queue.far.is_empty() || queue.sign.is_none());
            if is_idle || queue.task.is_some() && !delay.is_zero() {
                return;
            }
            if let Some(later) = queue.task.take() {
                later.clear();
            }
            queue.task = set_timeout_with_handle(move || self.step(), delay).ok();
        });
    }

    /// Gives one island its part.
    fn step(self) {
        let next = self.0.try_update_value(|queue| {
            queue.task = None;
            let rests = |sign: f64| Date::now() - sign >= REST.as_millis() as f64;
            let next = queue.near.pop_front();
            let next = next.or_else(|| match queue.sign {
                Some(sign) if rests(sign) => queue.far.pop_front(),
                _ => None,
            });
            next.map(|place| (queue.owner.clone(), place))
        });
        let Some((owner, place)) = next.flatten() else {
            return self.go_on(REST);
        };
        let outcome = owner.with(|| fill(&place));
        let live = if outcome.is_ok() { "yes" } else { "no" };
        // Setting an attribute with a valid name does not fail.
        let _ = place.set_attribute(LIVE, live);
        if let Err(why) = outcome {
            tell(&place, &why);
        }
        self.go_on(Duration::ZERO);
    }
}

/// Puts its part into an island.
fn fill(place: &Element) -> Result<(), String> {
    let name = place.get_attribute(ISLAND).unwrap_or_default();
    match Island::read(&name, place.get_attribute(MODEL).as_deref())? {
        Island::Demo(experiment) => {
            let index = experiment::place(experiment.name)
                .ok_or_else(|| format!("there is no model `{}`", experiment.name))?;
            mount(place, move || view! { <Demo index /> })
        }
        Island::Algebra => mount(place, || view! { <BugAlgebra /> }),
        Island::Flow => mount(place, || view! { <FlowPanel /> }),
        Island::Trace => mount(place, || view! { <TracePanel /> }),
        Island::History => {
            let models = history::runs()?;
            mount(place, move || view! { <History models /> })
        }
        Island::Tempered => mount(place, || view! { <Tempered /> }),
        Island::Predict => {
            let question = Question::read(place)?;
            mount(place, move || view! { <Predict question /> })
        }
        Island::Laboratory => mount(place, || view! { <Laboratory /> }),
    }
}

/// Makes a part and then, in one go, puts it where the article's picture was, which the part gets.
pub fn mount<V: IntoView + 'static>(
    place: &Element,
    part: impl FnOnce() -> V + 'static,
) -> Result<(), String> {
    let (still, study) = (Still::read(place), StudyStill::read(place));
    let frame = document()
        .create_element("div")
        .ok()
        .and_then(|frame| frame.dyn_into::<HtmlElement>().ok())
        .ok_or("the browser makes no element")?;
    let handle = mount_to(frame.clone(), move || {
        if let Some(still) = still {
            provide_context(still);
        }
        provide_context(study);
        part()
    });
    handle.forget();
    place.set_inner_html("");
    place
        .append_child(&frame)
        .map_err(|_| "the browser refused it")?;
    Ok(())
}

/// Says below an island why it stands still.
fn tell(place: &Element, why: &str) {
    let Ok(notice) = document().create_element("p") else {
        return;
    };
    notice.set_class_name("notice");
    notice.set_text_content(Some(&format!(
        "This part stands still as it was drawn when the page was built ({why})."
    )));
    // Where even that is refused nothing more can be said.
    let _ = place.append_child(&notice);
}
