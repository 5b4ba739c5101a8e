//! `bench_report FOLDER README.md`: makes the README's table from a run's raw results.

#[path = "results.rs"]
#[allow(dead_code, reason = "this program writes no results")]
mod results;

use results::Results;
use std::error::Error;
use std::path::Path;
use std::{env, fs};

const BEGIN: &str = "<!-- made by `cargo xtask bench` -->";
const END: &str = "<!-- end -->";

/// The bound of sampling.
const MULTIPLY_ADDS: &str = "its multiply-adds alone, in registers";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, readme] = arguments.as_slice() else {
        return Err("usage: bench_report FOLDER README.md".into());
    };
    let folder = Path::new(folder);
    let run = Run {
        native: read(&folder.join("native.json"))?,
        browser: read(&folder.join("browser.json"))?,
        peers: read(&folder.join("peers.json"))?,
    };
    let text = fs::read_to_string(readme)?;
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        return Err(format!("{readme} has no place for the table: `{BEGIN}` and `{END}`").into());
    };
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let table = format!("{BEGIN}\n\n{}\n{}", run.table(), run.where_from(&name));
    fs::write(
        readme,
        format!("{}{table}\n{}", &text[..begin], &text[end..]),
    )?;
    print!("{table}");
    Ok(())
}

/// A missing file is a part that was not available.
fn read(path: &Path) -> Result<Results, Box<dyn Error>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(_) => Ok(Results::default()),
    }
}

struct Run {
    native: Results,
    browser: Results,
    peers: Results,
}

/// The median of a result, in milliseconds.
fn of(results: &Results, id: &str) -> Option<f64> {
    let found = results.results.iter().find(|r| r.id == id);
    found.map(|r| r.median_ms)
}

impl Run {
    fn table(&self) -> String {
        let native = |id: &str| of(&self.native, id);
        let browser = |id: &str| of(&self.browser, id);
        let peers = |id: &str| of(&self.peers, id);
        let torch = [
            "batched, fused Adam, compiled",
            "batched, fused Adam",
            "a call per step",
        ]
        .map(|id| peers(&format!("PyTorch training iteration/{id}")))
        .into_iter()
        .flatten()
        .reduce(f64::min);
        let ort = peers("ONNX Runtime/100000 trajectories");
        let ort_web = browser("ONNX Runtime Web/100000 trajectories");
        let bound = native("matrix product/six of 1024 x 64 x 64");
        let rows = [
            (
                "100,000 trajectories, native, AVX-512",
                native("network/AVX-512, 100000 trajectories"),
                "ONNX Runtime",
                ort,
            ),
            (
                "100,000 trajectories, native, AVX2",
                native("network/AVX2, 100000 trajectories"),
                "ONNX Runtime",
                ort,
            ),
            (
                "100,000 trajectories, native, AVX-512",
                native("network/AVX-512, 100000 trajectories"),
                MULTIPLY_ADDS,
                native("multiply-adds/AVX-512, of 100000 trajectories"),
            ),
            (
                "100,000 trajectories, native, AVX2",
                native("network/AVX2, 100000 trajectories"),
                MULTIPLY_ADDS,
                native("multiply-adds/AVX2, of 100000 trajectories"),
            ),
            (
                "100,000 trajectories, native, two threads",
                native("network/two threads, 100000 trajectories"),
                "ONNX Runtime",
                ort,
            ),
            (
                "100,000 trajectories, Chromium",
                browser("network/100000 trajectories"),
                "ONNX Runtime Web",
                ort_web,
            ),
            (
                "100,000 trajectories, Chromium, two threads",
                browser("network, two threads/100000 trajectories"),
                "ONNX Runtime Web",
                ort_web,
            ),
            (
                "2,000 trajectories, Chromium",
                browser("network/2000 trajectories"),
                "ONNX Runtime Web",
                browser("ONNX Runtime Web/2000 trajectories"),
            ),
            (
                "100,000 trajectories, Chromium, tabulated",
                browser("table/100000 trajectories"),
                "ONNX Runtime Web",
                ort_web,
            ),
            (
                "1,000,000 trajectories, native, tabulated",
                native("table/AVX-512, 1000000 trajectories")
                    .or(native("table/AVX2, 1000000 trajectories")),
                "ten times ONNX Runtime's 100,000",
                ort.map(|ms| 10.0 * ms),
            ),
            (
                "1,000,000 trajectories, Chromium, tabulated",
                browser("table/1000000 trajectories"),
                "ten times ONNX Runtime Web's 100,000",
                ort_web.map(|ms| 10.0 * ms),
            ),
            (
                "1,000,000 trajectories, Chromium, tabulated, two threads",
                browser("table, two threads/1000000 trajectories"),
                "ten times ONNX Runtime Web's 100,000",
                ort_web.map(|ms| 10.0 * ms),
            ),
            (
                "a training iteration, native, AVX-512",
                native("training iteration/AVX-512"),
                "PyTorch's best",
                torch,
            ),
            (
                "a training iteration, native, AVX2",
                native("training iteration/AVX2"),
                "PyTorch's best",
                torch,
            ),
            (
                "a training iteration, Chromium",
                browser("training iteration/fused, batch 256, 5 steps"),
                "PyTorch's best, native",
                torch,
            ),
            (
                "a training iteration, native",
                native("training iteration/AVX-512").or(native("training iteration/AVX2")),
                "its matrix products alone, by gemm",
                bound,
            ),
        ];
        let mut table = String::from(
            "| work, one thread unless said | here | the peer | there | ratio |\n|---|---:|---|---:|---:|\n",
        );
        for (work, ours, peer, theirs) in rows {
            let Some(ours) = ours else { continue };
            let (theirs, ratio) = match theirs {
                Some(theirs) => (ms(theirs), format!("{:.2}", theirs / ours)),
                None => ("not available".into(), "".into()),
            };
            table += &format!("| {work} | {} | {peer} | {theirs} | {ratio} |\n", ms(ours));
        }
        table
    }

    fn where_from(&self, name: &str) -> String {
        let mut about = Vec::new();
        for results in [&self.native, &self.browser, &self.peers] {
            about.extend(results.about.iter().filter(|line| {
                line.starts_with("ONNX") || line.starts_with("PyTorch") || line.starts_with("torch")
            }));
        }
        let about: Vec<&str> = about.into_iter().map(String::as_str).collect();
        format!(
            "Medians of one run, [benches/runs/{name}](benches/runs/{name}), against {}.\n",
            about.join("; ")
        )
    }
}

fn ms(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.2} ms"),
        v if v < 100.0 => format!("{v:.1} ms"),
        v => format!("{v:.0} ms"),
    }
}
