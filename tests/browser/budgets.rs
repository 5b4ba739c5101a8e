//! What a reader downloads, in bytes as hosts send them: Brotli at its highest quality.

use gflownet_tour::experiment::EXPERIMENTS;
use gflownet_tour::weights::forward_file;
use gflownet_tour_release::{list, plain};
use std::fs;
use std::path::Path;

/// The Brotli sizes of the files whose plain names are chosen, largest first.
fn sizes(dist: &Path, is_chosen: impl Fn(&str) -> bool) -> Vec<(u64, String)> {
    let names = list(dist).expect("it can be read");
    // A plain name beside the one with a hash is for others than the page.
    let is_fetched = |name: &str| plain(name) != name || name == "index.html";
    let chosen = names
        .iter()
        .filter(|name| is_fetched(name) && is_chosen(&plain(name)) && !name.ends_with(".br"))
        .filter(|name| !name.ends_with(".gz"));
    let mut sizes: Vec<(u64, String)> = chosen
        .map(|name| {
            let packed = dist.join(format!("{name}.br"));
            let packed = fs::metadata(&packed).unwrap_or_else(|why| {
                panic!("{}: {why}; run `cargo xtask build`", packed.display())
            });
            (packed.len(), plain(name))
        })
        .collect();
    sizes.sort_by(|a, b| b.cmp(a));
    sizes
}

#[test]
fn the_page_stays_within_its_budgets() {
    let Some(dist) = crate::dist() else { return };
    let html = fs::read_to_string(dist.join("index.html")).expect("it is there");
    let weights: Vec<String> = EXPERIMENTS
        .iter()
        .map(|experiment| format!("pretrained/{}", forward_file(experiment.name)))
        .collect();
    // Figures are what the HTML names.
    let named = |name: &str| {
        let stem = name.trim_end_matches(".svg");
        name.ends_with(".svg") && html.contains(&format!("\"./{stem}-"))
    };
    type Chosen<'a> = Box<dyn Fn(&str) -> bool + 'a>;
    let budgets: [(&str, u64, Chosen); 5] = [
        (
            "HTML, CSS, figures and their numbers",
            120_000,
            Box::new(|name| {
                ["index.html", "trainings.json"].contains(&name)
                    || name.ends_with(".css")
                    || named(name)
            }),
        ),
        (
            "the page's WASM and JavaScript",
            350_000,
            Box::new(|name| ["page_bg.wasm", "page.js", "start.js", "offline.js"].contains(&name)),
        ),
        (
            "the engine's WASM",
            1_000_000,
            Box::new(|name| name == "engine_bg.wasm"),
        ),
        (
            "the engine's JavaScript and the sampler for relaxed SIMD",
            60_000,
            Box::new(|name| {
                ["engine.js", "worker.js", "thread.js", "kernels.wasm"].contains(&name)
            }),
        ),
        (
            "the weights of the demos",
            100_000,
            Box::new(|name| weights.iter().any(|file| file == name)),
        ),
    ];
    let mut offenders = Vec::new();
    for (what, budget, is_chosen) in budgets {
        let sizes = sizes(&dist, is_chosen);
        let sum: u64 = sizes.iter().map(|(size, _)| size).sum();
        assert!(!sizes.is_empty(), "{what}: there is none");
        let list: Vec<String> = sizes
            .iter()
            .map(|(size, name)| format!("{name} {size}"))
            .collect();
        let line = format!("{what}: {sum} of {budget} bytes ({})", list.join(", "));
        eprintln!("{line}");
        if sum > budget {
            offenders.push(line);
        }
    }
    assert!(
        offenders.is_empty(),
        "over budget:\n{}",
        offenders.join("\n")
    );
    let fetched = sizes(&dist, |name| weights.iter().any(|file| file == name));
    assert_eq!(fetched.len(), EXPERIMENTS.len());
}
