//! The repository's own rules, read off its files. They take seconds, so that `cargo xtask test`
//! begins with them; what a compiler can see is left to Clippy.
//!
//! Each rule gives a line for every offence, and is first shown something that offends.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A text of the repository.
struct File {
    /// Relative to the root, with slashes.
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> File {
        let (path, text) = (path.to_owned(), text.to_owned());
        File { path, text }
    }

    fn is(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }

    /// The lines with their numbers, as `path:number`.
    fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        let numbers = (1..).map(|number| format!("{}:{number}", self.path));
        numbers.zip(self.text.split_terminator('\n'))
    }

    /// As [`File::lines`], of Rust code: no comments, and no test modules, which come last.
    fn code(&self) -> impl Iterator<Item = (String, &str)> {
        self.lines()
            .take_while(|(_, line)| *line != "#[cfg(test)]")
            .map(|(at, line)| (at, line.split("//").next().unwrap_or(line)))
            .filter(|(_, line)| !line.trim().is_empty())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let run = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|why| panic!("{program}: {why}"));
    assert!(run.status.success(), "{program} {arguments:?} failed");
    String::from_utf8(run.stdout).unwrap()
}

/// Every file that git follows.
fn paths() -> Vec<String> {
    let listed = output("git", &["ls-files", "-z"]);
    let paths = listed.split_terminator('\0').map(str::to_owned);
    // One that was just deleted is still listed.
    paths.filter(|path| root().join(path).exists()).collect()
}

/// All of them that are text and ours.
fn texts() -> Vec<File> {
    let read = |path: String| {
        let text = String::from_utf8(fs::read(root().join(&path)).ok()?).ok()?;
        (!text.contains('\0')).then_some(File { path, text })
    };
    let ours = paths()
        .into_iter()
        .filter(|path| !path.contains("/vendor/"));
    ours.filter_map(read).collect()
}

/// What Cargo says of the workspace's own crates.
fn crates() -> Vec<Value> {
    let metadata = output(
        "cargo",
        &["metadata", "--no-deps", "--offline", "--format-version=1"],
    );
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

/// Nothing in the repository offends against `rule`, and each of these texts would.
fn check(rule: impl Fn(&[File]) -> Vec<String>, offenders: &[(&str, &str)]) {
    for (path, text) in offenders {
        let offences = rule(&[File::new(path, text)]);
        assert_eq!(offences.len(), 1, "{path}: {text:?} gives {offences:?}");
    }
    none(&rule(&texts()));
}

/// The identifiers of a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

/// What stands between single backticks in a Markdown text, outside of blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose
        .flat_map(|part| part.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn texts_have_plain_lines() {
    check(
        |files| {
            let mut offences = Vec::new();
            for file in files {
                // Written by other programs.
                let written = ["tests/golden/", "tests/fuzz/corpus/", "benches/runs/"];
                if written.iter().any(|folder| file.path.starts_with(folder)) {
                    continue;
                }
                if !file.text.is_empty() && (!file.text.ends_with('\n') || file.is("\n\n")) {
                    offences.push(format!("{}: end it with a line feed", file.path));
                }
                for (at, line) in file.lines() {
                    if line.ends_with([' ', '\r']) || line.contains('\t') {
                        offences.push(format!(
                            "{at}: no tabs, no carriage returns, no spaces at the end"
                        ));
                    }
                }
            }
            offences
        },
        &[
            ("a.md", "no end"),
            ("a.rs", "space \n"),
            ("a.toml", "return\r\n"),
            ("a.py", "\ttab\n"),
        ],
    );
}

/// Rustfmt wraps the code.
#[test]
fn prose_and_comments_are_wrapped() {
    const COLUMNS: usize = 120;
    check(
        |files| {
            let mut offences = Vec::new();
            for file in files {
                let (markdown, mut in_block) = (file.is(".md"), false);
                for (at, line) in file.lines() {
                    let text = line.trim_start();
                    in_block ^= text.starts_with("```");
                    let is_prose = if markdown {
                        !in_block && !text.starts_with('|') && !text.contains("](")
                    } else {
                        let sign = if file.is(".rs") { "//" } else { "#" };
                        let knows = [".rs", ".toml", ".yml", ".py"];
                        knows.iter().any(|ending| file.is(ending)) && text.starts_with(sign)
                    };
                    if is_prose && !text.contains("://") && line.chars().count() > COLUMNS {
                        offences.push(format!("{at}: wrap it, at 100 columns or so"));
                    }
                }
            }
            offences
        },
        &[
            ("a.md", &"word ".repeat(30)),
            ("a.rs", &format!("// {}", "word ".repeat(30))),
        ],
    );
}

#[test]
fn no_file_names_a_machine() {
    // In two parts, for the sake of this file.
    let homes = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("/tm", "p/"),
        concat!("C:", "\\"),
    ];
    check(
        |files| {
            let lines = files.iter().flat_map(File::lines);
            lines
                .filter(|(_, line)| homes.iter().any(|home| line.contains(home)))
                .map(|(at, _)| format!("{at}: the path is one machine's"))
                .collect()
        },
        &[("a.rs", concat!("read(\"/ho", "me/me/x\")"))],
    );
}

#[test]
fn what_is_left_to_do_has_an_owner() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    check(
        |files| {
            let mut offences = Vec::new();
            for (at, line) in files.iter().flat_map(File::lines) {
                for mark in marks {
                    let without = |rest: &str| !rest.starts_with('(');
                    if words(line).any(|word| word == mark) && line.split(mark).skip(1).all(without)
                    {
                        offences.push(format!("{at}: say who, as in {mark}(name)"));
                    }
                }
            }
            offences
        },
        &[("a.rs", concat!("// TO", "DO: this"))],
    );
}

#[test]
fn exceptions_to_lints_have_a_reason() {
    check(
        |files| {
            let mut offences = Vec::new();
            for file in files.iter().filter(|file| file.is(".rs")) {
                for sign in ["allow(", "expect("] {
                    let starts = [format!("#[{sign}"), format!("#![{sign}")];
                    for start in starts {
                        for rest in file.text.split(&start).skip(1) {
                            let attribute = rest.split(")]").next().unwrap_or(rest);
                            if !attribute.contains("reason = ") {
                                offences.push(format!(
                                    "{}: `{start}{attribute})]` has no reason",
                                    file.path
                                ));
                            }
                        }
                    }
                }
            }
            offences
        },
        &[("a.rs", concat!("#[al", "low(dead_code)]"))],
    );
}

/// Where `unsafe` may stand: launches of kernels whose bounds are checked before, and the borders of
/// WASM files.
const UNSAFE: [&str; 5] = [
    "benches/native.rs",
    "src/engine/gpu.rs",
    "src/engine/gpu_train.rs",
    "src/engine/main.rs",
    "src/kernels/lib.rs",
];

#[test]
fn unsafe_code_is_where_it_is_known_to_be() {
    check(
        |files| {
            let rust = files
                .iter()
                .filter(|file| file.is(".rs") && !UNSAFE.contains(&&*file.path));
            let unquoted = |line: &str| line.split('"').step_by(2).collect::<String>();
            rust.flat_map(File::code)
                .filter(|(_, line)| {
                    words(&unquoted(line)).any(|word| word == concat!("un", "safe"))
                })
                .map(|(at, _)| format!("{at}: do without `unsafe`, or enter the file in tidy.rs"))
                .collect()
        },
        &[("a.rs", concat!("un", "safe { f() }"))],
    );
}

/// ARCHITECTURE.md: "mathematics never reads a file, a clock, a DOM, a thread or global random
/// state, and does not know burn".
#[test]
fn mathematics_knows_nothing_of_the_world() {
    const WORLD: [&str; 20] = [
        "fs",
        "env",
        "net",
        "thread",
        "time",
        "process",
        "io",
        "Instant",
        "SystemTime",
        "Mutex",
        "RwLock",
        "OnceLock",
        "LazyLock",
        "thread_local",
        "thread_rng",
        "burn",
        "web_sys",
        "js_sys",
        "wasm_bindgen",
        "println",
    ];
    check(
        |files| {
            // What names the build runs before the mathematics is compiled.
            let core = files.iter().filter(|file| {
                file.path.starts_with("src/core/") && file.is(".rs") && !file.is("build.rs")
            });
            let mut offences = Vec::new();
            for (at, line) in core.flat_map(File::code) {
                // Known when it is compiled.
                let line = line.replace("env!(", "");
                let line: String = line.split('"').step_by(2).collect();
                let is_path = |word: &str| {
                    ["std::", "core::", "use "]
                        .iter()
                        .any(|from| line.contains(&format!("{from}{word}")))
                        || line.contains(&format!("{word}::"))
                        || line.contains(&format!("{word}!"))
                };
                if let Some(word) = WORLD
                    .into_iter()
                    .find(|&word| words(&line).any(|w| w == word) && is_path(word))
                {
                    offences.push(format!("{at}: mathematics has no `{word}`"));
                }
            }
            offences
        },
        &[
            ("src/core/a.rs", "use std::time::Instant;"),
            ("src/core/a.rs", "let x = std::fs::read(path);"),
            ("src/core/a.rs", "static X: Mutex<u32> = Mutex::new(0);"),
            ("src/core/a.rs", "println!(\"{x}\");"),
        ],
    );
}

/// ARCHITECTURE.md: "training prints nothing. Only `command` does."
#[test]
fn training_prints_nothing() {
    check(
        |files| {
            let train = files.iter().filter(|file| {
                file.path.starts_with("src/train/") && file.is(".rs") && !file.is("/command.rs")
            });
            train
                .flat_map(File::code)
                .filter(|(_, line)| {
                    ["print!", "println!", "dbg!"]
                        .iter()
                        .any(|sign| line.contains(sign))
                })
                .map(|(at, _)| format!("{at}: hand it to `command`, which prints"))
                .collect()
        },
        &[("src/train/a.rs", "eprintln!(\"{x}\");")],
    );
}

/// ARCHITECTURE.md: "a name that ends in `_std` is a standard deviation, in `_var` a variance". So
/// what is documented as one has such a name.
#[test]
fn deviations_and_variances_are_called_so() {
    check(
        |files| {
            let mut offences = Vec::new();
            let core = |file: &&File| file.path.starts_with("src/core/") && file.is(".rs");
            for file in files.iter().filter(core) {
                // What the first line of a documentation says that the item is.
                let (mut in_doc, mut ending) = (false, None);
                for (at, line) in file.lines() {
                    let line = line.trim_start();
                    if let Some(doc) = line.strip_prefix("///") {
                        let doc = doc.to_lowercase();
                        let subject = doc.split(['.', ',', '(']).next().unwrap_or_default();
                        let is_short = words(subject).count() <= 4;
                        let says = |what| is_short && subject.trim_end().ends_with(what);
                        if !in_doc {
                            ending = match () {
                                () if says("standard deviation") => Some("std"),
                                () if says("variance") => Some("var"),
                                () => None,
                            };
                        }
                        in_doc = true;
                    } else if !line.starts_with("#[") {
                        in_doc = false;
                        let Some(ending) = ending.take().filter(|_| line.starts_with("pub "))
                        else {
                            continue;
                        };
                        let keywords = ["pub", "const", "fn"];
                        let name = words(line).find(|word| !keywords.contains(word));
                        let name = name.unwrap_or_default().to_lowercase();
                        if name != ending && !name.ends_with(&format!("_{ending}")) {
                            offences.push(format!("{at}: let `{name}` end in `_{ending}`"));
                        }
                    }
                }
            }
            offences
        },
        &[
            (
                "src/core/a.rs",
                "    /// The standard deviation, in units of x.\n    pub sigma: f64,\n",
            ),
            (
                "src/core/a.rs",
                "/// The variance (not the standard deviation).\npub fn spread() {}\n",
            ),
        ],
    );
}

/// The crates, which of each other they may use, and whether they run in front of a reader.
const CRATES: [(&str, &[&str], bool); 13] = [
    ("gflownet-tour-article", &["core", "widgets"], false),
    ("gflownet-tour-core", &[], true),
    ("gflownet-tour-engine", &["core", "speed"], true),
    ("gflownet-tour-kernels", &["speed"], true),
    ("gflownet-tour-onnx", &["core"], true),
    ("gflownet-tour-page", &["core", "widgets"], true),
    (
        "gflownet-tour-lab",
        &["core", "onnx", "speed", "widgets"],
        true,
    ),
    ("gflownet-tour-release", &[], false),
    ("gflownet-tour-speed", &["core"], true),
    ("gflownet-tour-widgets", &["core"], true),
    (
        "gflownet-tour",
        &["core", "lab", "onnx", "release", "speed", "widgets"],
        false,
    ),
    (
        "gflownet-tour-benches",
        &["core", "gflownet-tour", "release"],
        false,
    ),
    ("xtask", &[], false),
];

/// What only these crates may use, tests included.
const USERS: [(&str, &[&str]); 6] = [
    ("burn", &["gflownet-tour", "benches"]),
    ("burn-wgpu", &["engine"]),
    ("leptos", &["lab", "page", "widgets"]),
    ("safetensors", &["core"]),
    ("wasm-bindgen", &["engine", "lab", "page", "widgets"]),
    ("web-sys", &["engine", "lab", "page", "widgets"]),
];

/// A crate's name without what all have in common.
fn short(name: &str) -> &str {
    name.strip_prefix("gflownet-tour-").unwrap_or(name)
}

/// The names of what `package` depends on.
fn dependencies(package: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = package["dependencies"].as_array().unwrap();
    all.iter().map(|d| (d["name"].as_str().unwrap(), d))
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

#[test]
fn arrows_between_crates_point_one_way() {
    let crates = crates();
    let known: BTreeSet<&str> = CRATES.iter().map(|(name, ..)| *name).collect();
    let found: BTreeSet<&str> = crates.iter().map(name).collect();
    assert_eq!(found, known, "CRATES in tidy.rs lists every crate");
    for package in &crates {
        let this = name(package);
        let uses: BTreeSet<&str> = dependencies(package).map(|(name, _)| name).collect();
        for (_, arrows, _) in CRATES.iter().filter(|(name, ..)| *name == this) {
            let own: BTreeSet<&str> = uses.intersection(&known).map(|name| short(name)).collect();
            assert_eq!(own, arrows.iter().copied().collect(), "{this} uses");
        }
        for (dependency, users) in USERS {
            let may = users.contains(&short(this));
            assert!(
                may || !uses.contains(dependency),
                "{this} uses {dependency}"
            );
        }
    }
}

/// ARCHITECTURE.md: xtask "builds in seconds from the standard library alone".
#[test]
fn xtask_needs_nothing_but_for_these_tests() {
    let crates = crates();
    let xtask = crates
        .iter()
        .find(|package| name(package) == "xtask")
        .unwrap();
    for (name, dependency) in dependencies(xtask) {
        assert_eq!(dependency["kind"], "dev", "xtask depends on {name}");
    }
}

#[test]
fn crates_agree_on_what_they_are() {
    let crates = crates();
    for package in &crates {
        for field in ["version", "edition", "rust_version", "license"] {
            let (found, first) = (&package[field], &crates[0][field]);
            assert!(
                found.is_string() && found == first,
                "{}: {field} is {found}, not {first}",
                name(package)
            );
        }
        let publish = package["publish"].as_array();
        assert!(
            publish.is_some_and(Vec::is_empty),
            "{}: say `publish = false`",
            name(package)
        );
    }
}

/// The oldest Rust is named where it has to be: continuous integration tests it, and Clippy's
/// warnings fail under it.
#[test]
fn the_oldest_rust_is_tested() {
    let rust = crates()[0]["rust_version"].as_str().unwrap().to_owned();
    let workflow = read(".github/workflows/ci.yml");
    assert!(
        workflow.contains(&format!("rust: [\"{rust}\", \"stable\"]")),
        "ci.yml: {rust}"
    );
    let linted = rust.replace('.', ", ");
    let xtask = read("xtask/src/main.rs");
    assert!(
        xtask.contains(&format!("LINTED_WITH: [(u32, u32); 2] = [({linted}), ")),
        "{linted}"
    );
    assert!(
        read("CONTRIBUTING.md").contains(&format!("Rust {rust}")),
        "CONTRIBUTING.md: {rust}"
    );
}

/// Crates in front of a reader have Clippy look for what panics.
#[test]
fn nothing_panics_in_front_of_a_reader() {
    let lints = read("Cargo.toml");
    let lints = lints.split("[workspace.lints.clippy]").nth(1).unwrap();
    for lint in [
        "expect_used",
        "panic",
        "todo",
        "unimplemented",
        "unreachable",
        "unwrap_used",
    ] {
        let line = format!("\n{lint} = \"warn\"\n");
        assert!(
            lints.contains(&line),
            "Cargo.toml does not warn of clippy::{lint}"
        );
    }
    for package in crates() {
        let known = CRATES.iter().find(|(known, ..)| *known == name(&package));
        let manifest = package["manifest_path"].as_str().unwrap();
        let text = fs::read_to_string(manifest).unwrap();
        let has = text.contains("\n[lints]\nworkspace = true\n");
        assert!(
            has || !known.unwrap().2,
            "{manifest} lacks `[lints] workspace = true`"
        );
    }
}

/// It made no file smaller, and a changed kernel would wait a minute for it.
#[test]
fn no_profile_optimises_across_crates() {
    check(
        |files| {
            let manifests = files.iter().filter(|file| file.is(".toml"));
            manifests
                .flat_map(File::lines)
                .filter(|(_, line)| line.starts_with("lto") && *line != "lto = false")
                .map(|(at, _)| format!("{at}: no link-time optimisation"))
                .collect()
        },
        &[("Cargo.toml", "lto = \"thin\"")],
    );
}

/// The commands that a text mentions: what follows `cargo xtask` in it.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.split("cargo xtask ").skip(1).map(|rest| {
        rest.split(['\n', '`', '#', ',', ';', '|', '>'])
            .next()
            .unwrap_or(rest)
            .trim()
    })
}

#[test]
fn commands_in_texts_exist() {
    let xtask = read("xtask/src/main.rs");
    let usage = xtask
        .split("Usage:")
        .nth(1)
        .unwrap()
        .split("\";")
        .next()
        .unwrap();
    let trainer = read("src/train/command.rs");
    check(
        |files| {
            let mut offences = Vec::new();
            for file in files
                .iter()
                .filter(|file| file.is(".md") || file.is(".yml") || file.is(".toml"))
            {
                for command in commands(&file.text) {
                    let mut words = command.split_whitespace();
                    let verb = words.next().unwrap_or_default();
                    if !usage
                        .lines()
                        .any(|line| line.split_whitespace().next() == Some(verb))
                    {
                        offences.push(format!(
                            "{}: there is no `cargo xtask {command}`",
                            file.path
                        ));
                    }
                    for option in words.filter_map(|word| word.strip_prefix("--")) {
                        let field = format!("    {}: ", option.replace('-', "_"));
                        let known = match verb {
                            "train-distill" => trainer.contains(&field),
                            _ => usage.contains(&format!("--{option}")),
                        };
                        if !known {
                            offences.push(format!("{}: `{verb}` has no --{option}", file.path));
                        }
                    }
                }
            }
            offences
        },
        &[
            ("a.md", "run `cargo xtask polish`"),
            ("a.md", "```sh\ncargo xtask train-distill --all\n```"),
            ("a.yml", "  - run: cargo xtask publish"),
        ],
    );
}

/// What Markdown files name: paths and links lead to something, modules and items are in the code.
/// The names of a file's tests.
fn tests(file: &File) -> impl Iterator<Item = &str> {
    let functions = file.text.split("#[test]").skip(1).filter_map(|rest| {
        let (_, function) = rest.split_once("fn ")?;
        function.split('(').next()
    });
    functions.map(str::trim)
}

/// Each fault has a test that brings it about.
#[test]
fn faults_have_tests() {
    let sources = texts();
    let tests: BTreeSet<&str> = sources.iter().flat_map(tests).collect();
    let mut rows = 0;
    for row in read("FAULTS.md")
        .lines()
        .filter(|line| line.starts_with("| "))
    {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [fault, sight, named] = cells[..] else {
            panic!("a row without three cells: {row}");
        };
        // The heads of the table and of its parts.
        if sight.is_empty() || named == "Test" {
            continue;
        }
        rows += 1;
        for name in named.split(", ") {
            assert!(
                tests.contains(name.trim_matches('`')),
                "{fault}: no test {name}"
            );
        }
    }
    assert!(rows > 30, "{rows} rows");
}

#[test]
fn documents_name_what_exists() {
    let paths = paths();
    let exists = |path: &str| {
        let path = path.trim_start_matches("./").trim_end_matches('/');
        paths
            .iter()
            .any(|p| p == path || p.starts_with(&format!("{path}/")))
    };
    let ignored = read(".gitignore");
    let is_made = |path: &str| {
        let first = path.split('/').next();
        ignored.lines().any(|line| line.strip_prefix('/') == first)
    };
    let stems: BTreeSet<&str> = paths
        .iter()
        .flat_map(|path| path.split('/'))
        .flat_map(|part| [part, part.split('.').next().unwrap_or(part)])
        .collect();
    let sources: Vec<File> = texts()
        .into_iter()
        .filter(|file| file.is(".rs") || file.is(".toml") || file.is(".yml"))
        .filter(|file| !file.is("tidy.rs"))
        .collect();
    let in_code: BTreeSet<&str> = sources
        .iter()
        .flat_map(File::code)
        .flat_map(|(_, line)| words(line))
        .chain(sources.iter().flat_map(tests))
        .collect();
    check(
        |files| {
            let mut offences = Vec::new();
            for file in files.iter().filter(|file| file.is(".md")) {
                let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let links = file
                    .text
                    .split("](")
                    .skip(1)
                    .filter_map(|rest| rest.split(')').next());
                for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
                    let mut path: Vec<&str> =
                        folder.split('/').filter(|part| !part.is_empty()).collect();
                    for part in link.split('/') {
                        match part {
                            ".." => drop(path.pop()),
                            part => path.push(part),
                        }
                    }
                    if !exists(&path.join("/")) {
                        offences.push(format!("{}: there is no {link}", file.path));
                    }
                }
                // The history names what was.
                if file.path == "CHANGELOG.md" {
                    continue;
                }
                for name in quoted(&file.text) {
                    let is_plain = |c: char| c.is_alphanumeric() || "_-./:".contains(c);
                    // Capitals stand for any name.
                    let is_pattern =
                        name.contains("NAME") || name.contains("DATE") || name.contains('*');
                    let is_affix = name.starts_with('_') || name.ends_with('_');
                    if !name.chars().all(is_plain) || is_pattern || is_affix || is_made(name) {
                        continue;
                    }
                    let known = if name == "application/wasm" {
                        true
                    } else if name.contains('/') {
                        exists(name) || exists(&format!("{folder}/{name}"))
                    } else {
                        let last = name.rsplit("::").next().unwrap_or(name);
                        stems.contains(last) || words(last).all(|word| in_code.contains(word))
                    };
                    if !known {
                        offences.push(format!("{}: there is no `{name}`", file.path));
                    }
                }
            }
            offences
        },
        &[
            ("a.md", "see [this](nowhere.md)"),
            ("src/a.md", "see [this](../../README.md/x)"),
            ("a.md", "in `src/nowhere.rs`"),
            ("a.md", "in `no_such_module`"),
            ("a.md", "in `policy::NoSuchThing`"),
        ],
    );
}

/// A stranger finds every crate on the map.
#[test]
fn the_map_has_every_crate() {
    let map = read("ARCHITECTURE.md");
    let root = fs::canonicalize(root()).unwrap();
    for package in crates() {
        let manifest = fs::canonicalize(package["manifest_path"].as_str().unwrap()).unwrap();
        let folder = manifest.parent().unwrap().strip_prefix(&root).unwrap();
        let folder = folder.to_str().unwrap().replace('\\', "/");
        let on_map = map.contains(&format!("`{folder}`")) || map.contains(&format!("**{folder}**"));
        assert!(
            folder.is_empty() || on_map,
            "ARCHITECTURE.md does not name `{folder}`"
        );
    }
}

/// Every model has its files, and every file its model.
#[test]
fn the_trained_models_are_whole() {
    let manifest: Value = serde_json::from_str(&read("pretrained/manifest.json")).unwrap();
    let mut expected: BTreeSet<String> = ["manifest.json", "README.md"].map(String::from).into();
    let models = manifest["models"].as_array().unwrap();
    for model in models {
        let name = model["name"].as_str().unwrap();
        expected.insert(format!("{name}.safetensors"));
        expected.insert(format!("snapshots/{name}.safetensors"));
        expected.insert(format!("figures/{name}.svg"));
    }
    expected.insert(manifest["tempered"]["file"].as_str().unwrap().to_owned());
    let paths = paths();
    let found = paths
        .iter()
        .filter_map(|path| path.strip_prefix("pretrained/"))
        .filter(|path| !path.ends_with(".ablation.json") && !path.ends_with(".objectives.json"));
    let found: BTreeSet<String> = found.map(str::to_owned).collect();
    let missing = expected.difference(&found);
    let stray = found.difference(&expected);
    let mut offences: Vec<String> = missing.map(|path| format!("no {path}")).collect();
    offences.extend(stray.map(|path| format!("{path} is no model of the manifest")));
    none(&offences);
}

/// What is cloned by everyone stays small.
#[test]
fn files_are_small() {
    const MOST: u64 = 1_000_000;
    let size = |path: &String| fs::metadata(root().join(path)).unwrap().len();
    let large: Vec<String> = paths()
        .into_iter()
        .filter(|path| size(path) > MOST)
        .map(|path| format!("{path}: more than a megabyte"))
        .collect();
    none(&large);
}
