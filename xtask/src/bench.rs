//! `cargo xtask bench`: the benchmarks and their peers, one after the other on a quiet machine.

use crate::process::{Failure, Result, Steps, cargo, output};
use crate::setup;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

/// The peers' versions. If updating, run the benchmarks again.
const PYTHON_PEERS: [&str; 3] = ["numpy", "onnxruntime", "torch"];
const ORT_WEB: &str = "onnxruntime-web@1";

/// The name of this machine in the arguments of `bench`, or one made of its processor.
pub fn machine(arguments: &[OsString]) -> Result<String> {
    let slug = |text: &str| {
        let words = text.to_lowercase();
        let words = words.split(|c: char| !c.is_ascii_alphanumeric());
        words
            .filter(|w| !w.is_empty())
            .collect::<Vec<_>>()
            .join("-")
    };
    let named = match arguments {
        [] => {
            let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            let model = about
                .lines()
                .find_map(|line| line.strip_prefix("model name"));
            let model = model.map_or(env::consts::ARCH, |m| {
                m.trim_start_matches([' ', '\t', ':'])
            });
            let cores = thread::available_parallelism().map_or(1, usize::from);
            slug(&format!("{model} {cores} cores"))
        }
        [name] => slug(&name.to_string_lossy()),
        _ => String::new(),
    };
    if named.is_empty() {
        return Err(Failure::Usage(
            "`bench` takes a name for this machine and nothing else".into(),
        ));
    }
    Ok(named)
}

pub fn run(root: &Path, machine: &str) -> Result<()> {
    let mut steps = Steps::start();
    let browser = setup::browser()?;
    let tools = setup::page(root)?;
    // The programs run in the root and write down how they were called: no path of this machine.
    let folder = Path::new("benches/runs").join(format!("{}-{machine}", today()));
    make(&root.join(&folder))?;
    let work = root.join("target/bench");
    make(&work)?;
    let python = python_peers(&work);
    let web = web_peer(&work);
    steps.note("set-up");

    steps.run("build the page", tools.trunk("build").current_dir(root))?;
    steps.run(
        "build the benchmarks",
        cargo(["build", "--release", "--workspace", "--bins"]).current_dir(root),
    )?;
    let program = |name: &str| {
        let mut command = Command::new(root.join("target/release").join(name));
        command.current_dir(root);
        command
    };
    // Made anew: a model of an older program may be none of this one's.
    let model = work.join("model");
    let _ = fs::remove_dir_all(&model);
    make(&model)?;
    steps.run(
        "the model for the peers",
        program("train_distill")
            .args([
                "--only",
                "four_mode",
                "--format",
                "onnx",
                "--quiet",
                "--out",
            ])
            .arg(&model),
    )?;
    steps.run("native", program("bench_native").arg(&folder))?;
    let mut in_browser = program("bench_browser");
    in_browser
        .arg(&folder)
        .env("GFLOWNET_TOUR_DIST", root.join("dist"))
        .env("CHROME", browser);
    if let Some(web) = web {
        copy(&model.join("four_mode.onnx"), &web.join("four_mode.onnx"))?;
        in_browser.env("GFLOWNET_TOUR_ORT", web);
    }
    steps.run("in the browser", &mut in_browser)?;
    if let Some(python) = python {
        let mut peers = Command::new(python);
        peers
            .arg("benches/peers.py")
            .arg(model.join("four_mode.onnx"))
            .arg(folder.join("peers.json"))
            .current_dir(root);
        steps.run("the native peers", &mut peers)?;
    }
    // These files again with their functions' names; the next build of the page strips them.
    let mut files = Vec::new();
    for (package, bin, profile) in [
        ("gflownet-tour-page", "page", "page"),
        ("gflownet-tour-lab", "lab", "page"),
        ("gflownet-tour-engine", "engine", "wasm"),
    ] {
        let mut link = tools.wasm(cargo(["rustc", "--package", package, "--bin", bin]));
        link.args(["--profile", profile, "--target", setup::WASM])
            .args(["--", "-C", "strip=none"])
            .current_dir(root);
        steps.run("link with names", &mut link)?;
        let folder = Path::new("target").join(setup::WASM).join(profile);
        files.push(folder.join(bin).with_extension("wasm"));
    }
    steps.run(
        "sizes by crate",
        program("bench_sizes").arg(&folder).args(files),
    )?;
    steps.run(
        "the table",
        program("bench_report").arg(&folder).arg("README.md"),
    )?;
    steps.summary();
    println!("The raw results are in {}.", folder.display());
    Ok(())
}

/// A Python that has the native peers, or none, with a line that says so.
fn python_peers(work: &Path) -> Option<PathBuf> {
    let environment = work.join("python");
    let python = environment.join("bin/python");
    let has = |python: &Path| {
        let imports = format!("import {}", PYTHON_PEERS.join(", "));
        output(Command::new(python).args(["-c", &imports])).is_some()
    };
    if !has(&python) {
        println!(
            "bench: installing {} for Python (minutes, once)",
            PYTHON_PEERS.join(", ")
        );
        output(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        )?;
        output(
            Command::new(&python)
                .args(["-m", "pip", "install", "-q"])
                .args(PYTHON_PEERS),
        );
    }
    let found = has(&python).then_some(python);
    if found.is_none() {
        println!("bench: ONNX Runtime and PyTorch are not available here; going on without");
    }
    found
}

/// A folder with ONNX Runtime Web and a page, or none, with a line that says so.
fn web_peer(work: &Path) -> Option<PathBuf> {
    let package = work.join("node_modules/onnxruntime-web/dist");
    if !package.is_dir() {
        println!("bench: installing {ORT_WEB} with npm (seconds, once)");
        output(
            Command::new("npm")
                .args(["install", "--silent", "--prefix"])
                .arg(work)
                .arg(ORT_WEB),
        );
    }
    let folder = work.join("web");
    let files = [
        "ort.wasm.min.mjs",
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.wasm",
    ];
    let copied = fs::create_dir_all(&folder)
        .and_then(|()| {
            fs::write(
                folder.join("index.html"),
                "<!doctype html><title>peer</title>",
            )
        })
        .and_then(|()| {
            files
                .iter()
                .try_for_each(|file| fs::copy(package.join(file), folder.join(file)).map(|_| ()))
        });
    if copied.is_err() {
        println!("bench: ONNX Runtime Web is not available here; going on without");
    }
    copied.is_ok().then_some(folder)
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .map_err(|why| Failure::Failed(format!("cannot make {}: {why}", folder.display())))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .map(|_| ())
        .map_err(|why| Failure::Failed(format!("cannot copy {}: {why}", from.display())))
}

/// Today's date in UTC, as YYYY-MM-DD.
fn today() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    date((now.as_secs() / 86_400) as i64)
}

/// The date of a day since 1970-01-01, by counting in years that begin in March.
fn date(day: i64) -> String {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (day, expected) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_778, "2026-11-21"),
        ] {
            assert_eq!(date(day), expected);
        }
    }

    #[test]
    fn a_machine_gets_a_name_that_a_folder_can_have() {
        assert_eq!(
            machine(&["My Laptop (2)".into()]).ok().as_deref(),
            Some("my-laptop-2")
        );
        assert!(machine(&["a".into(), "b".into()]).is_err());
        assert!(machine(&["/".into()]).is_err());
    }
}
