//! The page as a whole: its head, its sections and what they share.

use super::link::{Engine, EngineState};
use super::numbers;
use super::screen::Screen;
use super::sections::{
    Bug, Collapse, Colophon, HappyCase, Harder, LieDetector, OffPolicy, SECTIONS, Setup,
    Temperature, TrainHere,
};
use super::share::{AddressBar, Notices};
use super::theme::ThemeSwitch;
use gflownet_tour_core::message::GpuStatus;
use leptos::prelude::*;

/// Puts the page into the document's body.
pub fn run() {
    leptos::mount::mount_to_body(App);
}

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
    view! {
        <header>
            <ThemeSwitch />
            <h1>"A GFlowNet, taken apart"</h1>
            <p class="promise">
                "A GFlowNet is a neural network that learns to draw samples from a landscape which it
                can only ask about, one point at a time. Small ones run on this page. Watch one
                work, one break, one collapse, and two recover."
            </p>
            <nav aria-label="Contents">
                <ol>
                    {SECTIONS
                        .map(|(id, title)| {
                            view! {
                                <li>
                                    <a href=format!("#{id}")>{title}</a>
                                </li>
                            }
                        })
                        .collect_view()}
                </ol>
            </nav>
            {numbers::problem()
                .map(|why| {
                    view! {
                        <p class="notice">
                            "The numbers in this text are missing, and dashes stand for them: " {why}
                            ". To make them, run " <code>"cargo xtask train-distill"</code> "."
                        </p>
                    }
                })}
        </header>
        <main>
            <Setup />
            <HappyCase />
            <Bug />
            <Collapse />
            <OffPolicy />
            <Harder />
            <LieDetector />
            <Temperature />
            <TrainHere />
            <Colophon />
        </main>
        <Notices />
    }
}
