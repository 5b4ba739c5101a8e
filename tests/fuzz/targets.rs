//! What is fuzzed: each function takes any bytes and must not panic, hang, or accept what it cannot
//! write again. Used by cargo-fuzz and, without it, by `tests/fuzzing.rs`.

use gflownet_tour_core::address;
use gflownet_tour_core::density::{Tails, TerminalDensity};
use gflownet_tour_core::lab::{self, Asked};
use gflownet_tour_core::message::{self, FromEngine, FromRun, ToEngine, ToRun};
use gflownet_tour_core::policy::{Inputs, Policy};
use gflownet_tour_core::rollout::Rollout;
use gflownet_tour_core::weights;
use gflownet_tour_speed::kernels::{Answer, Request};
use gflownet_tour_speed::sampler::Sampler;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A name and what it stands for.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("address", address),
    ("manifest", manifest),
    ("messages", messages),
    ("settings", settings),
    ("snapshots", snapshots),
    ("tempered", tempered),
    ("weights", weights),
    ("wild_weights", wild_weights),
];

/// The page's address. What is read can be written again.
pub fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let asked = address::parse(&text);
    // The laboratory reads the rest.
    trains(&lab::from_query(&asked.rest));
    assert!(asked.notes.iter().map(String::len).sum::<usize>() < 10_000);
    if let Some(state) = asked.state {
        let again = address::parse(&address::write("setup", &state, ""));
        assert_eq!(again.state.unwrap_or_default(), state);
        assert_eq!(again.notes, [] as [String; 0]);
    }
}

/// A link's words and a file of the laboratory's settings. What is read can be trained.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    link(&text);
    if let Ok(asked) = lab::from_json(&text) {
        trains(&asked);
        let text = lab::to_json(&asked.settings, asked.preset).expect("settings can be written");
        let again = lab::from_json(&text).expect("what was written can be read");
        trains(&again);
    }
}

/// A link's words.
pub fn link(text: &str) {
    let asked = lab::from_query(text);
    trains(&asked);
    let again = lab::from_query(&asked.settings.to_query(asked.preset));
    assert_eq!(again.settings, asked.settings);
    assert_eq!(again.notes, [] as [String; 0]);
}

fn trains(asked: &Asked) {
    assert_eq!(asked.settings.problems(), []);
    // A reader is told in sentences, not in pages.
    assert!(asked.notes.iter().map(String::len).sum::<usize>() < 100_000);
}

/// The manifest.
pub fn manifest(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(manifest) = weights::manifest::parse("manifest.json", &text) {
        let text = weights::manifest::to_json(&manifest).expect("a manifest can be written");
        serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON");
    }
}

/// A model's file.
pub fn weights(bytes: &[u8]) {
    match weights::parse("model.safetensors", bytes) {
        Ok(model) => {
            let again = weights::parse("again.safetensors", &weights::serialize(&model));
            let again = again.expect("what was written can be read");
            assert_eq!(again.forward.parameters(), model.forward.parameters());
            assert_eq!(again.backward.parameters(), model.backward.parameters());
            draws(&model.forward);
        }
        Err(error) => assert!(error.to_string().contains("model.safetensors")),
    }
}

/// A file of snapshots.
pub fn snapshots(bytes: &[u8]) {
    match weights::snapshots::parse("snapshots.safetensors", bytes) {
        Ok(snapshots) => {
            for snapshot in snapshots.iter().take(3) {
                draws(&snapshot.forward);
            }
        }
        Err(error) => assert!(error.to_string().contains("snapshots.safetensors")),
    }
}

/// The file of the model of every temperature.
pub fn tempered(bytes: &[u8]) {
    match weights::tempered::parse("tempered.safetensors", bytes) {
        Ok(file) => {
            let again = weights::tempered::serialize(&file);
            weights::tempered::parse("again.safetensors", &again)
                .expect("what was written can be read");
            draws(&file.model.forward.at(0.5));
        }
        Err(error) => assert!(error.to_string().contains("tempered.safetensors")),
    }
}

/// What page, engine, laboratory and kernels say to each other.
pub fn messages(bytes: &[u8]) {
    crosses::<ToEngine>(bytes);
    crosses::<FromEngine>(bytes);
    crosses::<ToRun>(bytes);
    crosses::<FromRun>(bytes);
    crosses::<Request>(bytes);
    crosses::<Answer>(bytes);
}

fn crosses<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(message) = message::decode::<T>(bytes) {
        let written = message::encode(&message).expect("a message can be written");
        let again: T = message::decode(&written).expect("what was written can be read");
        assert_eq!(message::encode(&again).expect("and again"), written);
    }
}

/// Any numbers as a policy: bad weights give bad numbers, and no more.
pub fn wild_weights(bytes: &[u8]) {
    const HIDDEN: usize = 16;
    let shapes = Policy::<f32>::shapes(Inputs::Raw, HIDDEN);
    let len = shapes
        .iter()
        .map(|shape| shape.iter().product::<usize>())
        .sum();
    let (words, _) = bytes.as_chunks::<4>();
    let words: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
    // Few bytes make a whole policy, which then repeats itself.
    let parameters = words.iter().copied().cycle().take(len).collect();
    let Some(policy) = Policy::with_inputs(Inputs::Raw, HIDDEN, parameters) else {
        return;
    };
    draws(&policy);
    let sampler = Sampler::new(&policy).tabulated(0.0, 5);
    let _ = TerminalDensity::with_tails(&sampler, 0.0, 5, 1.0, Tails::Bulk);
}

fn draws(policy: &Policy<f32>) {
    let rollout = Rollout {
        start: 0.0,
        steps: 5,
        sigma_scale: 1.0,
        extra_std: 0.0,
        seed: 7,
        first: 0,
    };
    let mut drawn = 0;
    Sampler::new(policy).draw_blocks(&rollout, 20, &mut |block| drawn += block.len);
    assert_eq!(drawn, 20);
}
