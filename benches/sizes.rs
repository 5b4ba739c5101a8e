//! `bench_sizes FOLDER FILE.wasm ...`: what each WASM file is made of, by crate. The files are to
//! have their name sections, as they come from the linker unstripped.

use rustc_demangle::demangle;
use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::{env, fs};
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

/// One file, before wasm-bindgen cuts out what only it needs.
#[derive(Serialize)]
struct File {
    file: String,
    /// Bytes of functions.
    code: usize,
    /// Bytes of the memory's first content.
    data: usize,
    /// Bytes of functions by crate, the largest first.
    crates: Vec<(String, usize)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, files @ ..] = arguments.as_slice() else {
        return Err("usage: bench_sizes FOLDER FILE.wasm ...".into());
    };
    let mut report = Vec::new();
    for path in files {
        let path = Path::new(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = measure(&name, &fs::read(path)?)?;
        println!("{name}: code {}, data {}", file.code, file.data);
        for (name, bytes) in file.crates.iter().take(12) {
            let share = 100.0 * *bytes as f64 / file.code as f64;
            println!("  {name:30} {bytes:9} {share:5.1} %");
        }
        report.push(file);
    }
    let text = serde_json::to_string_pretty(&report)? + "\n";
    Ok(fs::write(Path::new(folder).join("sizes.json"), text)?)
}

fn measure(name: &str, wasm: &[u8]) -> Result<File, Box<dyn Error>> {
    let mut imported = 0;
    let mut bodies = Vec::new();
    let mut data = 0;
    let mut names = BTreeMap::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imported += usize::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.range().len()),
            Payload::DataSection(section) => data = section.range().len(),
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(subsections) = section.as_known() {
                    for subsection in subsections {
                        if let Name::Function(map) = subsection? {
                            for naming in map {
                                let naming = naming?;
                                names.insert(naming.index as usize, crate_of(naming.name));
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
    if names.is_empty() {
        return Err(format!("{name} has no name section: link it with `-C strip=none`").into());
    }
    let mut crates = BTreeMap::new();
    for (index, bytes) in bodies.iter().enumerate() {
        let owner = names.get(&(imported + index));
        let owner = owner.map_or("without a name", String::as_str);
        *crates.entry(owner.to_owned()).or_insert(0) += bytes;
    }
    let mut crates: Vec<(String, usize)> = crates.into_iter().collect();
    crates.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Ok(File {
        file: name.to_owned(),
        code: bodies.iter().sum(),
        data,
        crates,
    })
}

/// The crate that a symbol's path begins with. A method of a generic type belongs to the type's
/// crate, one of a built-in type to the crate of its trait where it has one.
fn crate_of(symbol: &str) -> String {
    let path = format!("{:#}", demangle(symbol));
    let words = path.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let owner = words
        .filter_map(|word| word.split_once("::"))
        .map(|(first, _)| first)
        .find(|first| !first.is_empty());
    owner.unwrap_or("bindings, built-in types").to_owned()
}
