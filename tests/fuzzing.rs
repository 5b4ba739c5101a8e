//! Fuzzing without a fuzzer: the corpus of `tests/fuzz` replayed, and changed at random.
//!
//! Ten million links: `cargo test --release --test fuzzing -- --ignored links`.
#![cfg(not(target_arch = "wasm32"))]

#[path = "fuzz/targets.rs"]
mod targets;

use gflownet_tour::lab::{kept, record::Record};
use gflownet_tour::message::{
    BatchResult, Begin, DeviceChoice, DeviceUsed, FromEngine, Look, SampleRequest, ToEngine, ToRun,
    encode,
};
use gflownet_tour::noise::ThreefryRng;
use gflownet_tour::policy::{Inputs, Policy};
use gflownet_tour::tempered::{Conditional, LogZ, TemperedModel};
use gflownet_tour::trainer::Trainer;
use gflownet_tour::weights::manifest;
use gflownet_tour::weights::snapshots::{self, Snapshot};
use gflownet_tour::weights::tempered::{self, TemperedFile};
use gflownet_tour::weights::{self, Model};
use gflownet_tour_core::lab::{self, CHOICES, NUMBERS, Settings};
use gflownet_tour_speed::kernels;
use rand::RngExt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::panicking;
use targets::{TARGETS, Target};

fn folder(target: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fuzz/corpus").join(target)
}

/// The committed inputs of a target, in an order that does not depend on the machine.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder(target)).unwrap_or_else(|why| panic!("{target}: {why}"));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Prints the input on which a target panics.
struct Trying<'a>(&'a str, &'a [u8]);

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        if panicking() {
            eprintln!(
                "{} panicked on {:?}",
                self.0,
                String::from_utf8_lossy(self.1)
            );
            eprintln!("in bytes: {:?}", &self.1[..self.1.len().min(4_096)]);
        }
    }
}

#[test]
fn the_corpus_is_replayed() {
    let mut bytes = 0;
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            bytes += input.len();
            let _trying = Trying(name, &input);
            target(&input);
        }
    }
    assert!(
        bytes < 200_000,
        "the corpus holds {bytes} bytes: minimise it"
    );
}

/// Changes inputs at random.
struct Mutator {
    rng: ThreefryRng,
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        let mut words: Vec<String> = NUMBERS.iter().map(|n| format!("&{}=", n.key)).collect();
        for choice in CHOICES {
            words.extend(
                choice
                    .options
                    .iter()
                    .map(|o| format!("&{}={}", choice.key, o.0)),
            );
        }
        for name in [
            "easy_correct.",
            "four_mode.",
            "tempered.",
            "flow.",
            "trace.",
            "algebra.",
        ] {
            for key in [
                "temperature",
                "seed",
                "count",
                "iteration",
                "open",
                "model",
                "walk",
                "term",
            ] {
                words.push(format!("&{name}{key}="));
            }
        }
        let odd = [
            "&engine=",
            "&controls=",
            "?",
            "lab?",
            ".",
            "&modes=",
            "1,2,3;",
            "&preset=",
            "&v=",
            "1e999",
            "-1e-999",
            "NaN",
            "inf",
            "-0",
            "%",
            "%00",
            "%ff",
            "%C3%A4",
            "\u{2212}5",
            "\u{fffd}",
            "=",
            ";",
            ",",
            "&",
            "0.1",
            "9007199254740993",
            "18446744073709551616",
            "\"",
            "{",
            "}",
            "[",
            "]",
            ":",
            "null",
            "true",
            "\\u0000",
        ];
        words.extend(odd.map(str::to_owned));
        Mutator {
            rng: ThreefryRng::new(seed, 0),
            corpus,
            words: words.into_iter().map(String::into_bytes).collect(),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        (self.rng.random::<u64>() % end.max(1) as u64) as usize
    }

    fn one(&mut self) -> Vec<u8> {
        let place = self.below(self.corpus.len());
        self.corpus[place].clone()
    }

    fn next(&mut self) -> Vec<u8> {
        let mut input = self.one();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + 1 + self.below(8)).min(input.len());
            match self.below(7) {
                // A bit, a byte, a word, a part away, a part twice, another input's end, the end away.
                0 => {
                    let bit = 1 << self.below(8);
                    if let Some(byte) = input.get_mut(at) {
                        *byte ^= bit;
                    }
                }
                1 => {
                    let new = self.rng.random::<u64>() as u8;
                    if let Some(byte) = input.get_mut(at) {
                        *byte = new;
                    }
                }
                2 => {
                    let word = self.below(self.words.len());
                    let word = self.words[word].clone();
                    input.splice(at..at, word);
                }
                3 => drop(input.drain(at.min(end)..end)),
                4 => {
                    let part = input[at.min(end)..end].to_vec();
                    input.splice(at..at, part);
                }
                5 => {
                    let other = self.one();
                    let from = self.below(other.len() + 1);
                    input.truncate(at);
                    input.extend(&other[from..]);
                }
                _ => input.truncate(at),
            }
        }
        input
    }
}

/// So many changed inputs through a target.
fn mutated(target: &Target, seed: u64, corpus: Vec<Vec<u8>>, count: usize) {
    let (name, target) = target;
    let mut mutator = Mutator::new(seed, corpus);
    for _ in 0..count {
        let input = mutator.next();
        let _trying = Trying(name, &input);
        target(&input);
    }
}

/// Links: to the laboratory, those of every preset and those of the corpus; to the page, those of the
/// corpus.
fn links(seed: u64, count: usize) {
    let presets = gflownet_tour::experiment::all().map(|e| Settings::of(e).to_query(DEFAULT));
    let mut inputs: Vec<Vec<u8>> = presets.map(String::into_bytes).collect();
    inputs.extend(
        corpus("settings")
            .into_iter()
            .filter(|input| input.len() < 500),
    );
    let link = |bytes: &[u8]| targets::link(&String::from_utf8_lossy(bytes));
    mutated(&("link", link), seed, inputs, count);
    mutated(
        &("address", targets::address),
        seed,
        corpus("address"),
        count,
    );
}

const DEFAULT: &str = lab::DEFAULT_PRESET;

#[test]
fn links_by_the_hundred_thousand() {
    links(1, 200_000);
}

#[test]
#[ignore = "takes minutes"]
fn links_by_ten_million() {
    links(2, 10_000_000);
}

#[test]
fn changed_inputs_do_no_harm() {
    for target in TARGETS {
        let count = if target.0 == "wild_weights" {
            300
        } else {
            5_000
        };
        mutated(target, 3, corpus(target.0), count);
    }
}

/// A run that the browser kept: its own text, and the bytes in it, changed.
#[test]
fn kept_runs_that_were_changed_do_no_harm() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

    let settings = Settings {
        hidden: 16,
        batch: 16,
        ..Settings::default()
    };
    let mut trainer = Trainer::new(&settings.recipe(), settings.seed);
    trainer.step();
    let mut record = Record::new(1, settings);
    record.checkpoint = Some(trainer.checkpoint());
    let text = kept::write(&record, DEFAULT).expect("a small run can be kept");
    assert!(kept::read(&text).is_some());
    let bytes = BASE64.decode(&text).unwrap();
    let read = |text: &str| {
        if let Some((record, _)) = kept::read(text) {
            // What is taken up can be trained.
            let checkpoint = record.checkpoint.expect("a kept run has weights");
            let mut trainer = Trainer::new(&record.settings.recipe(), record.settings.seed);
            assert!(trainer.restore(&checkpoint));
        }
    };
    let mut mutator = Mutator::new(4, vec![text.into_bytes()]);
    for _ in 0..500 {
        let input = mutator.next();
        let _trying = Trying("kept text", &input);
        read(&String::from_utf8_lossy(&input));
    }
    let mut mutator = Mutator::new(5, vec![bytes]);
    for _ in 0..2_000 {
        let input = mutator.next();
        let _trying = Trying("kept bytes", &input);
        read(&BASE64.encode(&input));
    }
}

/// Writes what fuzzing begins with: small whole files of every kind.
#[test]
#[ignore = "writes tests/fuzz/corpus"]
fn seeds_are_written() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(folder(target)).unwrap();
        fs::write(folder(target).join(format!("seed-{name}")), bytes).unwrap();
    };
    const HIDDEN: usize = 16;
    let features = Inputs::StepFeatures { steps: 1 };
    for (name, inputs) in [("raw", Inputs::Raw), ("features", features)] {
        let policy = |stream| Policy::init_with(inputs, HIDDEN, &mut ThreefryRng::new(1, stream));
        let model = Model {
            forward: policy(0),
            backward: policy(1),
            flow: None,
            log_z: 0.5,
            metadata: [("seed".to_owned(), "7".to_owned())].into(),
        };
        write("weights", name, &weights::serialize(&model));
        let at = |iteration| Snapshot {
            iteration,
            forward: policy(2),
            log_z: 0.1,
            extra_std: 1.0,
        };
        let bytes = snapshots::serialize(&[at(0), at(10)], &model.metadata);
        write("snapshots", name, &bytes);
        write(
            "wild_weights",
            name,
            &encode(&model.forward.parameters()[..40].to_vec()).unwrap(),
        );
    }
    let rng = &mut ThreefryRng::new(1, 0);
    let file = TemperedFile {
        model: TemperedModel {
            forward: Conditional::init_with(features, HIDDEN, rng),
            backward: Conditional::init_with(features, HIDDEN, rng),
            log_z: LogZ::init(rng),
        },
        metadata: Default::default(),
    };
    write("tempered", "features", &tempered::serialize(&file));

    for name in ["easy_buggy", "four_mode_solved"] {
        let settings = Settings::preset(name).unwrap();
        write(
            "settings",
            &format!("{name}-link"),
            settings.to_query(DEFAULT).as_bytes(),
        );
        let json = lab::to_json(&settings, name).unwrap();
        write("settings", &format!("{name}-json"), json.as_bytes());
    }

    for (name, text) in [
        ("place", "off-policy"),
        (
            "demos",
            "setup?v=1&easy_correct.temperature=0.4&four_mode.seed=77&four_mode.count=10000\
             &easy_buggy.tempered=1&hard_on_policy.iteration=250&tempered.beta=0.5",
        ),
        (
            "parts",
            "trace?v=1&flow.open=1&flow.model=easy_buggy&flow.cell=12&flow.t=2&trace.open=1\
             &trace.walk=1&trace.seed=3&trace.term=4&algebra.open=1&algebra.loop=drops_real",
        ),
        (
            "laboratory",
            "lab?v=1&preset=easy_buggy&batch=64&engine=table&controls=temperature,link",
        ),
    ] {
        write("address", name, text.as_bytes());
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("pretrained/manifest.json")).unwrap();
    let mut whole = manifest::parse("manifest.json", &text).unwrap();
    whole.models.truncate(1);
    for model in &mut whole.models {
        model.ensemble.truncate(1);
        model.curve.drain(..model.curve.len() - 1);
    }
    if let Some(tempered) = &mut whole.tempered {
        tempered.ensemble.truncate(1);
    }
    let text = manifest::to_json(&whole).unwrap();
    write("manifest", "one", text.as_bytes());

    let look = Look {
        range: (-5.0, 13.0),
        cells: 40,
        bins: 20,
        samples: 100,
        paths: 3,
        sigma_scale: 0.5,
        flow_cells: 0,
    };
    let begin = Begin {
        run: 3,
        settings: Settings::preset("four_mode_solved").unwrap(),
        look,
        from: None,
    };
    let request = SampleRequest {
        demo: 3,
        id: 77,
        model: "four_mode".into(),
        snapshot: Some(7),
        beta: Some(0.5),
        sigma_scale: 0.35,
        seed: 1,
        count: 100,
        device: DeviceChoice::WebGpu,
        paths: 12,
        range: (-5.0, 13.0),
        bins: 8,
        cells: 4,
    };
    let batch = BatchResult {
        demo: 1,
        id: 2,
        snapshot: None,
        device: DeviceUsed::Cpu,
        relaxed_simd: true,
        threads: 2,
        placeholder: false,
        sampled: 10,
        sampling_ms: 1.5,
        density_ms: 0.5,
        table_ms: 0.0,
        histogram: vec![0.5; 3],
        sampled_mode_mass: vec![0.5; 2],
        paths: vec![0.25; 6],
        density: vec![0.5; 4],
        total_variation: 0.25,
        mode_mass: vec![0.5; 2],
        log_z: Some(0.7),
    };
    let policy = Policy::init(HIDDEN, &mut ThreefryRng::new(1, 0));
    let load = kernels::Request::Load {
        model: 0,
        weights: kernels::Weights::of(&policy),
        start: 0.0,
        steps: 5,
    };
    let ready = FromEngine::Ready {
        build: "0123456789abcdef".into(),
    };
    for (name, bytes) in [
        ("ready", encode(&ready)),
        ("sample", encode(&ToEngine::Sample(request))),
        ("batch", encode(&FromEngine::Batch(batch))),
        ("begin", encode(&ToRun::Begin(Box::new(begin)))),
        ("load", encode(&load)),
    ] {
        write("messages", name, &bytes.unwrap());
    }
}
