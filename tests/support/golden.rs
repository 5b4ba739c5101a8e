//! Reads the golden files.

use gflownet_tour::balance::BackwardLoop;
use gflownet_tour::mixture::{Mixture, Mode};
use gflownet_tour::policy::{Policy, Scalar};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub const LOOPS: [(&str, BackwardLoop); 3] = [
    ("correct", BackwardLoop::Correct),
    ("counts_forced", BackwardLoop::CountsForced),
    ("drops_real", BackwardLoop::DropsReal),
];

#[derive(Deserialize)]
pub struct Golden {
    pub name: String,
    pub env: Env,
    pub forward: Net,
    pub backward: Net,
    pub log_z: f64,
    pub outputs: Outputs,
    pub trajectories: Given,
    pub density: Density,
    pub metrics_t1: GoldenMetrics,
}

#[derive(Deserialize)]
pub struct Env {
    pub means: Vec<f64>,
    pub variances: Vec<f64>,
    pub start: f64,
    pub steps: usize,
}

#[derive(Deserialize)]
#[serde(transparent)]
pub struct Net(BTreeMap<String, Vec<f64>>);

#[derive(Deserialize)]
pub struct Outputs {
    pub x: Vec<f64>,
    pub t: Vec<f64>,
    pub mu: Vec<f64>,
    pub sigma: Vec<f64>,
    pub backward_t: Vec<f64>,
    pub backward_mu: Vec<f64>,
    pub backward_sigma: Vec<f64>,
}

#[derive(Deserialize)]
pub struct Given {
    pub actions: Vec<f64>,
    pub log_pf: Vec<f64>,
    pub log_reward: Vec<f64>,
    pub log_pb: BTreeMap<String, Vec<f64>>,
    pub tb_loss: BTreeMap<String, f64>,
    pub grad_of_correct_tb_loss: BTreeMap<String, Gradient>,
    pub grad_log_z: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Gradient {
    Tensor { l2: f64, first8: Vec<f64> },
    Scalar(f64),
}

#[derive(Deserialize)]
pub struct Density {
    pub x_lo: f64,
    pub x_hi: f64,
    pub n: usize,
    pub by_sigma_scale: BTreeMap<String, Points>,
}

#[derive(Deserialize)]
pub struct Points {
    pub p: Vec<f64>,
}

#[derive(Deserialize)]
pub struct GoldenMetrics {
    #[serde(rename = "TV")]
    pub tv: f64,
    #[serde(rename = "JS")]
    pub js: f64,
    #[serde(rename = "KL_target_model")]
    pub kl_target_model: f64,
    #[serde(rename = "KL_model_target")]
    pub kl_model_target: f64,
    #[serde(rename = "W1")]
    pub w1: f64,
    pub basins: Vec<f64>,
    pub true_basins: Vec<f64>,
    pub mean: f64,
    pub std: f64,
}

impl Net {
    pub fn policy<F: Scalar>(&self) -> Policy<F> {
        let hidden = self.0["b0"].len();
        let parameters = Policy::<F>::LAYOUT
            .iter()
            .flat_map(|part| &self.0[*part])
            // Nine digits name one f32, and that is what the models were trained in.
            .map(|&v| F::from(v as f32).unwrap())
            .collect();
        Policy::new(hidden, parameters).expect("the parts have the shapes of the layout")
    }
}

impl Golden {
    pub fn target(&self) -> Mixture {
        let modes = self.env.means.iter().zip(&self.env.variances);
        Mixture::new(modes.map(|(&mean, &var)| Mode::new(mean, var)).collect())
    }

    /// The N + 1 states of the trajectory with these actions.
    pub fn states(&self, actions: &[f64]) -> Vec<f64> {
        let mut x = self.env.start;
        let mut states = vec![x];
        for action in actions {
            x += action;
            states.push(x);
        }
        states
    }
}

/// Every golden file, at least one.
pub fn all() -> Vec<Golden> {
    let folder = std::env::var_os("GFLOWNET_TOUR_GOLDEN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")),
        PathBuf::from,
    );
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no golden files in {}", folder.display());
    files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect()
}
