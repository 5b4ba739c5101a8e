//! The article: the page's text and pictures as static HTML, made when the page is built. What is
//! live takes its place in the browser ([`gflownet_tour_page::island`]); until then, and without
//! scripts, everything can be read.
//!
//! Nothing here has a style attribute or a script: colours and sizes are the style sheet's, by
//! classes, so that both themes and a strict security policy work.

pub mod figures;
pub mod islands;
pub mod models;
pub mod prose;
pub mod references;

use gflownet_tour_page::numbers;
use maud::{Markup, PreEscaped, html};
use models::Models;

/// The body of the page.
pub fn body(models: &Models) -> Markup {
    let sections = prose::sections(models);
    html! {
        header {
            h1 { "A GFlowNet, taken apart" }
            p.promise {
                "A GFlowNet is a neural network that learns to draw samples from a landscape which \
                 it can only ask about, one point at a time. Small ones run on this page. Watch one \
                 work, one break, one collapse, and two recover."
            }
            nav aria-label="Contents" {
                ol {
                    @for section in &sections {
                        li { a href={ "#" (section.id) } { (section.title) } }
                    }
                }
            }
            @if let Some(why) = numbers::problem() {
                p.notice {
                    "The numbers in this text are missing, and dashes stand for them: " (why)
                    ". To make them, run " code { "cargo xtask train-distill" } "."
                }
            }
            noscript {
                p.notice {
                    "Scripts are off, so the pictures stand still: they were drawn when this page \
                     was built. With scripts on, the models run here and the pictures move."
                }
            }
        }
        main {
            @for section in &sections {
                section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                    (heading(2, section.id, section.title))
                    (section.text)
                }
            }
        }
        // What the page's program reads of the trainings; not a script that runs.
        script #(numbers::ELEMENT) type="application/json" { (PreEscaped(models.shown())) }
    }
}

/// A heading, and beside it a mark that links to it. A section's heading (level 2) is named after the
/// section, which has the id itself.
fn heading(level: u8, id: &str, title: &str) -> Markup {
    html! {
        div.heading {
            @if level == 2 {
                h2 id={ (id) "-title" } { (title) }
            } @else {
                h3 id=(id) { (title) }
            }
            a.anchor href={ "#" (id) } aria-label={ "Link to: " (title) } { "#" }
        }
    }
}
