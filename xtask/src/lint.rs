//! Clippy's and rustdoc's warnings from the tests' own builds.
//!
//! `cargo clippy` and `cargo doc` check every dependency anew, for each target: Cargo shares nothing
//! between what is checked and what is built, and for burn and wgpu that is minutes. So Cargo is told
//! to call this program where it would call rustc for a crate of this workspace: here Clippy looks at
//! the crate first, then rustc compiles it as always. Where it would call rustdoc for the tests in
//! the documentation, that is built first.

use crate::process::{Failure, Result, replace_by};
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

/// What both are told to refuse.
const DENIED: &str = "GFLOWNET_TOUR_DENIED";

/// Have the Cargo that `command` starts lint what it compiles and documents, and refuse what is
/// `denied`: `warnings`, say.
///
/// # Errors
/// When this program does not know its own place.
pub fn lint<'a>(command: &'a mut Command, denied: Option<&str>) -> Result<&'a mut Command> {
    let here = env::current_exe()
        .map_err(|why| Failure::Failed(format!("cannot tell where xtask is: {why}")))?;
    command
        .env("RUSTC_WORKSPACE_WRAPPER", &here)
        .env("RUSTDOC", &here);
    Ok(match denied {
        Some(denied) => command.env(DENIED, denied),
        None => command.env_remove(DENIED),
    })
}

/// The work, if it was Cargo that called us so.
pub fn called_by_cargo(arguments: &[OsString]) -> Option<Result<()>> {
    let first = Path::new(arguments.first()?);
    if first.file_stem() == Some(OsStr::new("rustc")) {
        Some(compile(first, &arguments[1..]))
    } else if arguments.iter().any(|it| it == "--crate-name") {
        Some(document(arguments))
    } else {
        None
    }
}

/// Clippy, then rustc.
fn compile(rustc: &Path, arguments: &[OsString]) -> Result<()> {
    let mut command = Command::new(rustc);
    command.args(arguments);
    if let Some(lints) = clippy_arguments(arguments) {
        refused_by("Clippy", Command::new("clippy-driver").args(lints))?;
        // It has told rustc's warnings, too. What Cargo asks of rustc is answered by warnings as well.
        command.args(["--allow", "warnings"]);
    }
    replace_by(&mut command)
}

/// The documentation, then its tests.
fn document(arguments: &[OsString]) -> Result<()> {
    if let Some(lints) = rustdoc_arguments(arguments) {
        refused_by("rustdoc", Command::new("rustdoc").args(lints))?;
    }
    replace_by(Command::new("rustdoc").args(arguments))
}

/// Runs one of them to its end, which says itself what it refuses.
fn refused_by(name: &str, command: &mut Command) -> Result<()> {
    let denied = env::var_os(DENIED).map(|denied| [OsString::from("--deny"), denied]);
    let status = command.args(denied.into_iter().flatten()).status();
    let status = status.map_err(|why| Failure::Failed(format!("cannot start {name}: {why}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Failed(format!("{name} refused this crate")))
    }
}

/// What Clippy is told where rustc is told `arguments`; nothing where those compile nothing.
///
/// Clippy is a rustc: it must write something to look at a crate whole. It writes less than Cargo wants,
/// to another folder, and does not tell of it, since Cargo would take it for rustc's.
fn clippy_arguments(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let mut compiles = false;
    let mut is_folder = false;
    let changed = arguments.iter().map(|argument| {
        if std::mem::replace(&mut is_folder, argument == "--out-dir") {
            return Path::new(argument).join("lint").into_os_string();
        }
        match argument.to_str().and_then(|text| text.split_once('=')) {
            Some(("--emit", _)) => {
                compiles = true;
                "--emit=metadata".into()
            }
            Some(("--json", all)) => {
                let kept: Vec<_> = all.split(',').filter(|it| *it != "artifacts").collect();
                format!("--json={}", kept.join(",")).into()
            }
            _ => argument.clone(),
        }
    });
    let changed = changed.collect();
    compiles.then_some(changed)
}

/// What documents a crate where rustdoc is told by `arguments` to run its tests; nothing where it is not.
fn rustdoc_arguments(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let built = arguments
        .iter()
        .find_map(|argument| argument.to_str()?.strip_prefix("dependency="))?;
    let mut changed = vec![
        OsString::from("--out-dir"),
        Path::new(built).join("lint").into_os_string(),
    ];
    let mut tests = false;
    let mut all = arguments.iter();
    while let Some(argument) = all.next() {
        match argument.to_str() {
            Some("--test") => tests = true,
            Some("--test-run-directory") => {
                all.next();
            }
            _ => changed.push(argument.clone()),
        }
    }
    tests.then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(Into::into).collect()
    }

    #[test]
    fn clippy_writes_beside_what_rustc_writes_and_tells_cargo_of_warnings_only() {
        let rustc = "--crate-name a src/lib.rs --error-format=json \
                     --json=diagnostic-rendered-ansi,artifacts,future-incompat --crate-type lib \
                     --emit=dep-info,metadata,link -C opt-level=3 --out-dir /t/release/deps -L x";
        let clippy = "--crate-name a src/lib.rs --error-format=json \
                      --json=diagnostic-rendered-ansi,future-incompat --crate-type lib \
                      --emit=metadata -C opt-level=3 --out-dir /t/release/deps/lint -L x";
        assert_eq!(clippy_arguments(&words(rustc)), Some(words(clippy)));
        for question in ["-vV", "- --crate-name ___ --print=file-names --print cfg"] {
            assert_eq!(clippy_arguments(&words(question)), None);
        }
    }

    #[test]
    fn documentation_is_built_where_its_tests_are_run() {
        let tests = "--edition=2024 --crate-type lib --crate-name a --test src/lib.rs \
                     --test-run-directory /w -L dependency=/t/deps --error-format human";
        let built = "--out-dir /t/deps/lint --edition=2024 --crate-type lib --crate-name a \
                     src/lib.rs -L dependency=/t/deps --error-format human";
        assert_eq!(rustdoc_arguments(&words(tests)), Some(words(built)));
        assert_eq!(rustdoc_arguments(&words("-vV")), None);
    }

    #[test]
    fn commands_of_a_reader_are_not_calls_by_cargo() {
        for line in ["test", "serve --port 8080", "help", "bench rustc", "--help"] {
            assert!(called_by_cargo(&words(line)).is_none(), "{line}");
        }
        assert!(called_by_cargo(&[]).is_none());
    }
}
