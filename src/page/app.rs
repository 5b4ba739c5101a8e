//! What is live on the page: what all islands share, and the start of them.

use super::islands;
use super::link::{Engine, EngineState};
use super::share::{AddressBar, Notices};
use super::theme::ThemeSwitch;
use gflownet_tour_core::message::GpuStatus;
use gflownet_tour_widgets::screen::Screen;
use leptos::prelude::*;

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
    // Without it the colours are the system's.
    if let Ok(Some(place)) = document().query_selector(".theme-place") {
        let _ = islands::mount(&place, || view! { <ThemeSwitch /> });
    }
    islands::wake();
    view! { <Notices /> }
}
