//! What the text cites: one table, from which the cards beside the text and the list at its end are
//! made, and how the page itself is cited.

use maud::{Markup, html};

/// A work that the text cites.
pub struct Reference {
    /// Its name in links: its element is `ref-KEY`.
    pub key: &'static str,
    /// How sentences name it.
    pub short: &'static str,
    pub authors: &'static str,
    pub title: &'static str,
    /// Where and when it appeared.
    pub venue: &'static str,
    /// What it is here for, where its title does not say so.
    pub note: &'static str,
    pub url: &'static str,
    /// The address as it is shown.
    pub at: &'static str,
}

/// All works that the text cites, in the order of the list.
pub const REFERENCES: [Reference; 9] = [
    Reference {
        key: "bengio",
        short: "Bengio et al. (2021)",
        authors: "E. Bengio, M. Jain, M. Korablyov, D. Precup and Y. Bengio",
        title: "Flow network based generative models for non-iterative diverse candidate generation",
        venue: "NeurIPS 2021",
        note: "",
        url: "https://arxiv.org/abs/2106.04399",
        at: "arXiv:2106.04399",
    },
    Reference {
        key: "malkin",
        short: "Malkin et al. (2022)",
        authors: "N. Malkin, M. Jain, E. Bengio, C. Sun and Y. Bengio",
        title: "Trajectory balance: improved credit assignment in GFlowNets",
        venue: "NeurIPS 2022",
        note: "",
        url: "https://arxiv.org/abs/2201.13259",
        at: "arXiv:2201.13259",
    },
    Reference {
        key: "lahlou",
        short: "Lahlou et al. (2023)",
        authors: "S. Lahlou, T. Deleu, P. Lemos, D. Zhang, A. Volokhova, A. Hernández-García, \
                  L. N. Ezzine, Y. Bengio and N. Malkin",
        title: "A theory of continuous generative flow networks",
        venue: "ICML 2023, PMLR 202, 18269–18300",
        note: "",
        url: "https://arxiv.org/abs/2301.12594",
        at: "arXiv:2301.12594",
    },
    Reference {
        key: "torchgfn",
        short: "notebook of torchgfn",
        authors: "J. D. Viviano, O. G. Younis, S. Choi, V. Schmidt, Y. Bengio and S. Lahlou",
        title: "torchgfn: a PyTorch GFlowNet library",
        venue: "2023; arXiv:2305.14594",
        note: "The notebook is its introduction to continuous GFlowNets, on a line.",
        url: "https://github.com/GFNOrg/torchgfn/tree/master/tutorials/notebooks",
        at: "github.com/GFNOrg/torchgfn",
    },
    Reference {
        key: "viviano",
        short: "Viviano (2026)",
        authors: "J. D. Viviano",
        title: "An interactive tour of sampling a continuous mixture distribution with trajectory balance",
        venue: "Blog post, 2026",
        note: "The idea of such a tour, and the five experiments, are from there; text, code and \
               weights here are our own.",
        url: "https://www.viviano.ca/blog/2026/gflownets-continuous/",
        at: "viviano.ca",
    },
    Reference {
        key: "foundations",
        short: "Bengio et al. (2023)",
        authors: "Y. Bengio, S. Lahlou, T. Deleu, E. J. Hu, M. Tiwari and E. Bengio",
        title: "GFlowNet foundations",
        venue: "JMLR 24 (210), 1–55, 2023",
        note: "Detailed balance.",
        url: "https://jmlr.org/papers/v24/22-0364.html",
        at: "jmlr.org",
    },
    Reference {
        key: "madan",
        short: "Madan et al. (2023)",
        authors: "K. Madan, J. Rector-Brooks, M. Korablyov, E. Bengio, M. Jain, A. Nica, T. Bosc, \
                  Y. Bengio and N. Malkin",
        title: "Learning GFlowNets from partial episodes for improved convergence and stability",
        venue: "ICML 2023",
        note: "Sub-trajectory balance.",
        url: "https://arxiv.org/abs/2209.12782",
        at: "arXiv:2209.12782",
    },
    Reference {
        key: "richter",
        short: "Richter et al. (2020)",
        authors: "L. Richter, A. Boustati, N. Nüsken, F. J. R. Ruiz and Ö. D. Akyildiz",
        title: "VarGrad: a low-variance gradient estimator for variational inference",
        venue: "NeurIPS 2020",
        note: "The log-variance loss.",
        url: "https://arxiv.org/abs/2010.10436",
        at: "arXiv:2010.10436",
    },
    Reference {
        key: "variational",
        short: "Malkin et al. (2023)",
        authors: "N. Malkin, S. Lahlou, T. Deleu, X. Ji, E. Hu, K. Everett, D. Zhang and Y. Bengio",
        title: "GFlowNets and variational inference",
        venue: "ICLR 2023",
        note: "",
        url: "https://arxiv.org/abs/2210.00580",
        at: "arXiv:2210.00580",
    },
];

/// How to cite the page.
const BIBTEX: &str = "@software{gflownet_tour,
  title = {gflownet-tour: continuous GFlowNets, seen in a browser},
  author = {{The gflownet-tour authors}},
  year = {2026},
}";

/// A work by name in a sentence, with a card that says what it is.
///
/// # Panics
/// When the table has no such key: the text then cites what is not there.
pub fn cite(key: &str) -> Markup {
    let found = REFERENCES.iter().find(|reference| reference.key == key);
    let found = found.unwrap_or_else(|| panic!("the text cites `{key}`, which is no reference"));
    // The card is for those who see it: others hear the list's entry as the link's description.
    html! {
        span.cite {
            a href={ "#ref-" (key) } aria-describedby={ "ref-" (key) } { (found.short) }
            span.card aria-hidden="true" {
                span { (found.authors) ". " cite { (found.title) } ". " (found.venue) ". " (found.note) }
            }
        }
    }
}

/// The list at the end of the text.
pub fn list() -> Markup {
    html! {
        ul.references {
            @for reference in &REFERENCES {
                li id={ "ref-" (reference.key) } {
                    (reference.authors) ". " cite { (reference.title) } ". " (reference.venue) ". "
                    (reference.note) " "
                    a href=(reference.url) { (reference.at) }
                }
            }
        }
    }
}

/// How to cite the page, to be copied.
pub fn bibtex() -> Markup {
    html! {
        pre tabindex="0" { code #bibtex { (BIBTEX) } }
        // Shown by the page's program, which does what it says.
        button.copy-text type="button" data-copies="bibtex" hidden { "Copy" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reference_is_listed_once_and_can_be_cited() {
        let keys: HashSet<_> = REFERENCES.iter().map(|reference| reference.key).collect();
        assert_eq!(keys.len(), REFERENCES.len());
        let list = list().into_string();
        for reference in &REFERENCES {
            let entry = format!("<li id=\"ref-{}\">", reference.key);
            assert_eq!(list.matches(&entry).count(), 1);
            let cited = cite(reference.key).into_string();
            assert!(cited.contains(&format!("href=\"#ref-{}\"", reference.key)));
            assert!(cited.contains(reference.title));
        }
    }

    #[test]
    fn the_readme_cites_the_page_as_the_page_does() {
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
        let readme = std::fs::read_to_string(readme).expect("the repository has a README");
        assert!(readme.contains(BIBTEX));
    }
}
