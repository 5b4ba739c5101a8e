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

/// Says that Cargo calls, and what is refused, if anything.
const REFUSED: &str = "GFLOWNET_TOUR_LINT";

/// Have the Cargo that `command` starts lint what it compiles and documents, and refuse what is
/// `refused`: `warnings`, say.
///
/// # Errors
/// When this program does not know its own place.
pub fn lint<'a>(command: &'a mut Command, refused: Option<&str>) -> Result<&'a mut Command> {
    let here = env::current_exe()
        .map_err(|why| Failure::Failed(format!("cannot tell where xtask is: {why}")))?;
    Ok(command
        .env("RUSTC_WORKSPACE_WRAPPER", &here)
        .env("RUSTDOC", &here)
        .env(REFUSED, refused.unwrap_or_default()))
}

/// The work, if it was Cargo that called so.
pub fn called_by_cargo(arguments: &[OsString]) -> Option<Result<()>> {
    env::var_os(REFUSED)?;
    match call(arguments)? {
        Call::Rustc(rustc, arguments) => Some(compile(rustc, arguments)),
        Call::Rustdoc => Some(document(arguments)),
    }
}

/// How Cargo calls.
#[derive(Debug, PartialEq)]
enum Call<'a> {
    /// By the path of rustc, and what that is told.
    Rustc(&'a Path, &'a [OsString]),
    /// As rustdoc.
    Rustdoc,
}

fn call(arguments: &[OsString]) -> Option<Call<'_>> {
    let (first, rest) = arguments.split_first()?;
    let first = Path::new(first);
    if first.file_stem() == Some(OsStr::new("rustc")) {
        Some(Call::Rustc(first, rest))
    } else {
        let names_crate = arguments.iter().any(|it| it == "--crate-name");
        names_crate.then_some(Call::Rustdoc)
    }
}

/// Clippy, then rustc.
fn compile(rustc: &Path, arguments: &[OsString]) -> Result<()> {
    let mut command = Command::new(rustc);
    command.args(arguments);
    if let Some(lints) = clippy_arguments(arguments) {
        accepted_by("Clippy", Command::new("clippy-driver").args(lints))?;
        // It has told rustc's warnings, too. What Cargo asks of rustc is answered by warnings as well.
        command.args(["--allow", "warnings"]);
    }
    replace_by(&mut command)
}

/// The documentation, then its tests.
fn document(arguments: &[OsString]) -> Result<()> {
    if let Some(lints) = rustdoc_arguments(arguments) {
        accepted_by("rustdoc", Command::new("rustdoc").args(lints))?;
    }
    replace_by(Command::new("rustdoc").args(arguments))
}

/// Runs one of them to its end, which says itself what it refuses.
fn accepted_by(name: &str, command: &mut Command) -> Result<()> {
    if let Some(refused) = env::var_os(REFUSED).filter(|it| !it.is_empty()) {
        command.arg("--deny").arg(refused);
    }
    let status = command
        .status()
        .map_err(|why| Failure::Failed(format!("cannot start {name}: {why}")))?;
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
    fn calls_by_cargo_are_told_from_a_readers() {
        let rustc = words("/bin/rustc --crate-name a --test");
        let call_of_rustc = Call::Rustc(Path::new("/bin/rustc"), &rustc[1..]);
        assert_eq!(call(&rustc), Some(call_of_rustc));
        let rustdoc = words("--edition=2024 --crate-name a --test");
        assert_eq!(call(&rustdoc), Some(Call::Rustdoc));
        for line in ["test", "serve --port 8080", "help", "bench rustc", "--help"] {
            assert_eq!(call(&words(line)), None, "{line}");
        }
        assert_eq!(call(&[]), None);
    }
}
