//! What is live on the page. The article is there before this program is; here its islands are
//! found and given their parts, which share one engine.

use super::algebra::BugAlgebra;
use super::demo::Demo;
use super::flow_panel::FlowPanel;
use super::history::History;
use super::laboratory::Laboratory;
use super::link::{Engine, EngineState};
use super::predict::{Predict, Question};
use super::share::{AddressBar, Notices};
use super::still::{Still, StudyStill};
use super::tempered::Tempered;
use super::theme::ThemeSwitch;
use super::trace_panel::TracePanel;
use gflownet_tour_core::experiment;
use gflownet_tour_core::message::GpuStatus;
use gflownet_tour_widgets::island::{ISLAND, Island, MODEL};
use gflownet_tour_widgets::screen::Screen;
use leptos::mount::mount_to;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

/// The attribute of an island that was found, with what became of it.
const LIVE: &str = "data-live";

/// Makes the page live.
pub fn run() {
    leptos::mount::mount_to_body(App);
}

/// The owner of all that the islands share, and what is said at the foot of the screen.
#[component]
fn App() -> impl IntoView {
    provide_context(Screen::watch());
    let engine = Engine::start();
    provide_context(engine);
    let bar = AddressBar::start();
    provide_context(bar);
    bar.keep(engine.device, |state, _| &mut state.engine, 0);
    Effect::new(move |_| {
        let name = engine.state.with(|state| match state {
            EngineState::Starting | EngineState::Ready => "starting",
            EngineState::Settled(GpuStatus::Running { .. }) => "webgpu",
            EngineState::Settled(GpuStatus::Unavailable { .. }) => "cpu",
            EngineState::Gone(_) => "gone",
        });
        if let Some(root) = document().document_element() {
            // Setting an attribute with a valid name does not fail.
            let _ = root.set_attribute("data-engine", name);
        }
    });
    let next = format!("[{ISLAND}]:not([{LIVE}])");
    while let Ok(Some(place)) = document().query_selector(&next) {
        let outcome = fill(&place);
        let live = if outcome.is_ok() { "yes" } else { "no" };
        if place.set_attribute(LIVE, live).is_err() {
            break;
        }
        if let Err(why) = outcome {
            tell(&place, &why);
        }
    }
    // Without it the colours are the system's.
    if let Ok(Some(place)) = document().query_selector(".theme-place") {
        let _ = mount(&place, || view! { <ThemeSwitch /> });
    }
    view! { <Notices /> }
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
        Island::History => mount(place, || view! { <History /> }),
        Island::Tempered => mount(place, || view! { <Tempered /> }),
        Island::Predict => {
            let question = Question::read(place)?;
            mount(place, move || view! { <Predict question /> })
        }
        Island::Laboratory => mount(place, || view! { <Laboratory /> }),
    }
}

/// Makes a part and then, in one go, puts it where the article's picture was, which the part gets.
fn mount<V: IntoView + 'static>(
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
