//! The notices that must go along with what is published: the crates in the WASM files, with the texts of
//! their licences.

use crate::{Error, Result, content};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The crates that become WASM files.
const PUBLISHED: [&str; 4] = [
    "gflownet-tour-engine",
    "gflownet-tour-kernels",
    "gflownet-tour-lab",
    "gflownet-tour-page",
];

const TARGET: &str = "wasm32-unknown-unknown";

/// What begins the name of a file with a licence or a notice.
const KINDS: [&str; 6] = [
    "licence",
    "license",
    "copying",
    "copyright",
    "notice",
    "unlicense",
];

const APACHE: &str = include_str!("../../LICENSE-APACHE");
const MIT: &str = include_str!("../../LICENSE-MIT");
const MIT_HOLDER: &str = "2026 The gflownet-tour authors";

const HEAD: &str = "\
What the programs of this page are made of
==========================================

Each line names a part, its licence, where its source is, and the numbers of the texts further below that
came with it.
";

/// A part of a WASM file.
#[derive(Debug)]
pub(crate) struct Part {
    pub name: String,
    /// An SPDX expression.
    pub licence: String,
    pub source: String,
    pub texts: Vec<String>,
}

/// The text to publish beside the WASM files of the workspace at `root`: every crate that they are compiled
/// from, and the texts of its licences. Cargo says which crates these are; macros and what only builds are
/// not among them.
///
/// # Errors
/// When Cargo cannot say it, a crate's files cannot be read, or a crate has neither a licence's text nor a
/// licence whose text is known here.
pub fn licences(root: &Path) -> Result<String> {
    let mut tree = vec![
        "tree",
        "--locked",
        "--edges=normal,no-proc-macro",
        "--target",
        TARGET,
        "--prefix=none",
        "--format={p}",
    ];
    tree.extend(PUBLISHED.iter().flat_map(|name| ["--package", name]));
    let tree = cargo(root, &tree)?;
    let metadata = [
        "metadata",
        "--locked",
        "--format-version=1",
        "--filter-platform",
        TARGET,
    ];
    let metadata: Value = serde_json::from_str(&cargo(root, &metadata)?)
        .map_err(|why| Error::Content("cargo metadata".into(), why.to_string()))?;

    let mut parts = vec![
        Part {
            name: "gflownet-tour, this page itself".into(),
            licence: "MIT OR Apache-2.0".into(),
            source: "its own repository".into(),
            texts: vec![APACHE.into(), MIT.into()],
        },
        Part {
            name: "Rust's standard library".into(),
            licence: "MIT OR Apache-2.0".into(),
            source: "https://github.com/rust-lang/rust".into(),
            texts: vec![APACHE.into()],
        },
    ];
    for (name, version) in named(&tree) {
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let mut packages = packages.filter(|p| p["name"] == name && p["version"] == version);
        let Some(package) = packages.next() else {
            return content(name, format!("Cargo has no such package in {version}"));
        };
        // Ours.
        if package["source"].is_null() {
            continue;
        }
        parts.push(part(package)?);
    }
    Ok(listed(&parts))
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<String> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|why| Error::File("cargo".into(), why))?;
    if !run.status.success() {
        let why = String::from_utf8_lossy(&run.stderr);
        return content(&format!("cargo {}", arguments[0]), why.trim());
    }
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}

/// The names and versions in what `cargo tree` prints: `name v1.2.3`, and more in brackets.
pub(crate) fn named(tree: &str) -> BTreeSet<(&str, &str)> {
    tree.lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(" v")?;
            Some((name, rest.split(' ').next()?))
        })
        .collect()
}

/// A package of `cargo metadata`.
pub(crate) fn part(package: &Value) -> Result<Part> {
    let word = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let (name, version, licence) = (word("name"), word("version"), word("license"));
    let manifest = PathBuf::from(word("manifest_path"));
    let mut texts = texts(manifest.parent().unwrap_or(&manifest))?;
    if texts.is_empty() {
        let authors = package["authors"].as_array().into_iter().flatten();
        let authors: Vec<&str> = authors.filter_map(Value::as_str).collect();
        let Some(text) = known(&licence, &authors.join(", ")) else {
            return content(
                &format!("{name} {version}"),
                format!(
                    "its package has no file with its licence, `{licence}`: add that licence's text to \
                     src/release/licences.rs"
                ),
            );
        };
        texts.push(text);
    }
    Ok(Part {
        source: format!("https://crates.io/crates/{name}/{version}"),
        name: format!("{name} {version}"),
        licence,
        texts,
    })
}

/// The licences and notices in a package's folder.
fn texts(folder: &Path) -> Result<Vec<String>> {
    let failed = |why| Error::File(folder.to_owned(), why);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if KINDS.iter().any(|kind| name.starts_with(kind)) && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let bytes = fs::read(&path).map_err(|why| Error::File(path, why))?;
        let text = String::from_utf8_lossy(&bytes);
        // A single word is the path of a link whose end was not packed.
        if text.split_whitespace().nth(1).is_some() {
            texts.push(text.into_owned());
        }
    }
    Ok(texts)
}

/// The text of a licence for a package that comes without one.
pub(crate) fn known(licence: &str, authors: &str) -> Option<String> {
    // Either of several will do, but not one of several that all hold.
    if licence.contains("AND") || licence.contains("WITH") {
        return None;
    }
    let mut choices = licence.split([' ', '/', '(', ')']);
    if choices.clone().any(|word| word == "Apache-2.0") {
        Some(APACHE.into())
    } else if choices.clone().any(|word| word == "MIT") {
        let holder = match authors {
            "" => "its authors",
            authors => authors,
        };
        Some(MIT.replace(MIT_HOLDER, holder))
    } else if choices.any(|word| word == "MPL-2.0") {
        let text = "This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0. \
                    You can obtain a copy of it at https://mozilla.org/MPL/2.0/";
        Some(text.into())
    } else {
        None
    }
}

/// The parts, each with the numbers of its texts, and every text once: two that differ only in how their
/// lines are broken are one.
pub(crate) fn listed(parts: &[Part]) -> String {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut texts: Vec<(String, &str)> = Vec::new();
    let mut out = HEAD.to_owned();
    for part in parts {
        let numbers: Vec<String> = part
            .texts
            .iter()
            .map(|text| {
                let flat = flat(text);
                let number = texts.iter().position(|(known, _)| *known == flat);
                let number = number.unwrap_or_else(|| {
                    texts.push((flat, text));
                    texts.len() - 1
                });
                (number + 1).to_string()
            })
            .collect();
        let Part {
            name,
            licence,
            source,
            ..
        } = part;
        out += &format!(
            "\n{name}: {licence}\n    {source}\n    texts: {}\n",
            numbers.join(", ")
        );
    }
    for (number, (_, text)) in (1..).zip(&texts) {
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        out += &format!(
            "\n\nText {number}\n{}\n\n{}\n",
            "-".repeat(40),
            lines.join("\n").trim_matches('\n')
        );
    }
    out
}
