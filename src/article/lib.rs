//! The article: the page's text and pictures as static HTML, made when the page is built. What is
//! live takes its place in the browser ([`gflownet_tour_widgets::island`]); until then, and without
//! scripts, everything can be read.
//!
//! Nothing here has a style attribute or a script: colours and sizes are the style sheet's, by
//! classes, so that both themes and a strict security policy work.

pub mod blank;
pub mod figures;
pub mod islands;
pub mod models;
pub mod prose;
pub mod references;
pub mod studies;

use gflownet_tour_widgets::numbers;
use maud::{Markup, html};
use models::Models;

/// The body of the page.
pub fn body(models: &Models) -> Markup {
    let sections = prose::sections(models);
    html! {
        a.skip href="#text" { "To the text" }
        header {
            div.theme-place {
                div.theme {
                    label for="theme" { "Colours" }
                    select #theme disabled { option { "as the system" } }
                }
            }
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
            // start.js says here why the page's program did not come.
            p #still .notice role="status" {
                "The live parts of this page could not be loaded, so its pictures stand still as \
                 they were drawn when it was built. Reload the page to try again. "
            }
            noscript {
                p.notice {
                    "Scripts are off, so the pictures stand still: they were drawn when this page \
                     was built. With scripts on, the models run here and the pictures move."
                }
            }
        }
        // The skip link's goal: it can have the focus, and Tab goes on from it.
        main #text tabindex="-1" {
            @for section in &sections {
                section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                    (heading(2, section.id, section.title))
                    (section.text)
                }
            }
        }
        footer {
            p { a href="licences.txt" { "What this page is made of, and under which licences" } }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::experiment::EXPERIMENTS;
    use gflownet_tour_widgets::island::{ISLAND, Island, MODEL, OTHERS};
    use std::path::Path;

    fn article() -> String {
        let pretrained = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pretrained");
        body(&Models::read(&pretrained).unwrap()).into_string()
    }

    /// The values of an attribute, in order.
    fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
        let begin = format!(" {attribute}=\"");
        let parts = html.split(begin.as_str()).skip(1);
        parts.filter_map(|part| part.split('"').next()).collect()
    }

    #[test]
    fn the_page_can_read_every_island_and_none_is_missing() {
        let html = article();
        let mut found = Vec::new();
        for tag in html.split('<').filter(|tag| tag.contains(ISLAND)) {
            let model = values(tag, MODEL).first().copied();
            found.push(Island::read(values(tag, ISLAND)[0], model).unwrap());
        }
        for island in OTHERS
            .into_iter()
            .chain(EXPERIMENTS.iter().map(Island::Demo))
        {
            assert!(found.contains(&island), "{island:?}");
        }
    }

    /// The page's policy forbids them, and a browser would leave them out without a word.
    #[test]
    fn nothing_has_a_style_of_its_own_or_a_script_that_runs() {
        let html = article();
        assert_eq!(values(&html, "style"), [] as [&str; 0]);
        assert!(values(&html, "onclick").is_empty());
        assert_eq!(html.matches("<script").count(), 0);
    }

    #[test]
    fn names_and_links_within_the_page_meet() {
        let html = article();
        let mut ids = values(&html, "id");
        for link in values(&html, "href") {
            if let Some(place) = link.strip_prefix('#') {
                let place = place.split('?').next().unwrap_or_default();
                assert!(ids.contains(&place), "{link} leads nowhere");
            }
        }
        for of in values(&html, "for") {
            assert!(ids.contains(&of), "a label for {of}, which is not there");
        }
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "a name is used twice");
    }

    #[test]
    fn without_weights_there_is_an_article_all_the_same() {
        let html = body(&Models::default()).into_string();
        assert_eq!(html.matches("<section").count(), 10);
        assert!(html.contains("This build has no trained model."));
    }
}
