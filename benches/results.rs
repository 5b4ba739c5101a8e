//! The file of a benchmark: what was measured, in milliseconds.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything that one program measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The program and its arguments.
    pub command: String,
    /// Versions and settings that matter.
    pub about: Vec<String>,
    pub results: Vec<Measured>,
}

/// One thing measured, over and over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// What, as path/of/words.
    pub id: String,
    /// The median, in milliseconds.
    pub median_ms: f64,
    /// The fastest or the lower end of an interval, in milliseconds.
    pub low_ms: f64,
    /// The slowest or the upper end of an interval, in milliseconds.
    pub high_ms: f64,
}

impl Results {
    /// Adds what `times_ms` are, in any order: median and 5 % and 95 % quantiles.
    #[allow(dead_code, reason = "criterion does it for the native program")]
    pub fn add(&mut self, id: impl Into<String>, times_ms: &[f64]) {
        let mut sorted = times_ms.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quantile = |q: f64| sorted[((sorted.len() - 1) as f64 * q).round() as usize];
        let measured = Measured {
            id: id.into(),
            median_ms: quantile(0.5),
            low_ms: quantile(0.05),
            high_ms: quantile(0.95),
        };
        eprintln!("{:55} {:10.3} ms", measured.id, measured.median_ms);
        self.results.push(measured);
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text)
    }
}

/// The command line of this process.
pub fn command() -> String {
    let words: Vec<String> = std::env::args()
        .map(|word| match Path::new(&word).file_name() {
            Some(name) if word.contains("/bench_") => name.to_string_lossy().into_owned(),
            _ => word,
        })
        .collect();
    words.join(" ")
}
