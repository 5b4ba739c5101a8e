//! FAULTS.md names tests: each of them exists.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::{Path, PathBuf};

/// The Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_test_of_the_table_of_faults_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let mut tests = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" {
                is_test = true;
            } else if let Some(rest) = line.strip_prefix("fn ") {
                if is_test {
                    tests.extend(rest.split('(').next().map(str::to_owned));
                }
                is_test = false;
            }
        }
    }
    let table = fs::read_to_string(root.join("FAULTS.md")).unwrap();
    let mut rows = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [fault, sight, named] = cells[..] else {
            panic!("a row without three cells: {row}");
        };
        // The heads of the table and of its parts.
        if sight.is_empty() || named == "Test" {
            continue;
        }
        rows += 1;
        let mut count = 0;
        for name in named.split(", ") {
            let name = name.trim_matches('`');
            assert!(
                tests.iter().any(|test| test == name),
                "{fault}: no test `{name}`"
            );
            count += 1;
        }
        assert!(count > 0, "{fault}: no test");
    }
    assert!(rows > 30, "{rows} rows");
}
