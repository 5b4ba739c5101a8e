//! `cargo xtask`: the project's commands. What each needs is set up first, by [`setup`].
//!
//! Only the standard library is used, so that the first command on a fresh machine starts within
//! seconds, and programs are started directly, never through a shell.

mod bench;
mod lint;
mod process;
mod setup;

use lint::lint;
use process::{Failure, Result, Steps, cargo, replace_by};
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  serve [--port N]    build the page and serve it on 127.0.0.1 (port 8080), again on every change
  build               build the page into dist/, ready to be put on any static host
  test                run every check: format, lints, docs, tests, and the page in a real browser
  audit               check the dependencies' advisories, licences, sources and duplicates
  bench [MACHINE]     measure speed, natively, in a browser and against the peers, and write
                      benches/runs/DATE-MACHINE/ and the README's table
  train-distill ...   train the bundled models (`cargo xtask train-distill --help` lists more)

Each command first sets up the tools that it needs, and says what it does.";

/// The toolchains whose lints this code was last checked with. Newer ones know lints that it has
/// not met: there warnings are shown but do not fail the check. If updating, also see
/// `rust-version` in Cargo.toml.
const LINTED_WITH: [(u32, u32); 2] = [(1, 95), (1, 96)];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let outcome = lint::called_by_cargo(&arguments).unwrap_or_else(|| called_by_reader(&arguments));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(why)) => {
            eprintln!("error: {why}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(why)) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn called_by_reader(arguments: &[OsString]) -> Result<()> {
    let (command, rest) = match arguments {
        [command, rest @ ..] => (command.to_string_lossy(), rest),
        [] => ("help".into(), arguments),
    };
    match &*command {
        "help" | "-h" | "--help" => {
            usage();
            Ok(())
        }
        // The trainer reads its own arguments, --help too.
        "train-distill" => train_distill(rest),
        "serve" | "build" | "test" | "audit" | "bench"
            if rest.iter().any(|a| a == "--help" || a == "-h") =>
        {
            usage();
            Ok(())
        }
        "serve" => port(rest).and_then(serve),
        "build" => no_arguments("build", rest).and_then(|()| build()),
        "test" => no_arguments("test", rest).and_then(|()| test()),
        "audit" => no_arguments("audit", rest).and_then(|()| audit()),
        "bench" => bench::machine(rest).and_then(|machine| bench::run(&root(), &machine)),
        _ => Err(Failure::Usage(format!("there is no command `{command}`"))),
    }
}

/// Print the usage; a reader who has seen enough and closes the pipe is no error.
fn usage() {
    let _ = writeln!(io::stdout(), "{USAGE}");
}

/// The folder that holds the workspace's Cargo.toml.
fn root() -> PathBuf {
    // Cargo sets the variable when it runs us; the compiled-in path serves a binary run by hand.
    let xtask = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_owned)
}

fn no_arguments(command: &str, arguments: &[OsString]) -> Result<()> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => Err(Failure::Usage(format!(
            "`{command}` takes no argument, `{}` was given",
            argument.to_string_lossy()
        ))),
    }
}

/// The port in the arguments of `serve`.
fn port(arguments: &[OsString]) -> Result<u16> {
    let words: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let value = match words.as_slice() {
        [] => return Ok(8080),
        ["--port", value] => *value,
        [word] if word.starts_with("--port=") => &word["--port=".len()..],
        _ => {
            return Err(Failure::Usage(format!(
                "`serve` takes `--port N` and nothing else, `{}` was given",
                words.join(" ")
            )));
        }
    };
    match value.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Failure::Usage(format!(
            "a port is a number from 1 to 65535, `{value}` was given"
        ))),
    }
}

fn serve(port: u16) -> Result<()> {
    // Asked now, because Trunk asks only after a build of minutes.
    if let Err(why) = TcpListener::bind(("127.0.0.1", port)) {
        return Err(Failure::Failed(format!(
            "cannot serve on 127.0.0.1:{port} ({why}): choose another port with --port N"
        )));
    }
    let root = root();
    let tools = setup::page(&root)?;
    println!(
        "\nBuilding; the first time takes some seven minutes on two cores. Then open\n\n    http://127.0.0.1:{port}/\n\nCtrl-C ends the server.\n"
    );
    replace_by(
        tools
            .trunk("serve")
            .args(["--address", "127.0.0.1", "--port", &port.to_string()])
            .current_dir(&root),
    )
}

fn build() -> Result<()> {
    let root = root();
    let tools = setup::page(&root)?;
    let mut steps = Steps::start();
    steps.run("build the page", tools.trunk("build").current_dir(&root))?;
    steps.run("compress it", &mut compress(&root))?;
    println!(
        "\nThe page is in {}: copy it to any static host, at any path.",
        root.join("dist").display()
    );
    Ok(())
}

/// Puts `.br` and `.gz` beside the files in dist/. Brotli takes its time, so not while serving, and
/// what did not change since the last time is kept.
fn compress(root: &Path) -> Command {
    let mut command = cargo(["run", "--locked", "--quiet", "--release"]);
    command
        .args(["--package", "gflownet-tour-release", "--"])
        .args(["compress", "dist", "target/compressed"])
        .current_dir(root);
    command
}

fn train_distill(arguments: &[OsString]) -> Result<()> {
    replace_by(
        cargo(["run", "--release", "--bin", "train_distill", "--"])
            .args(arguments)
            .current_dir(root()),
    )
}

/// Every check. What is built for the tests is linted as it is built.
fn test() -> Result<()> {
    let root = root();
    let mut steps = Steps::start();
    setup::rust_components()?;
    let browser = setup::browser()?;
    setup::vulkan();
    let tools = setup::page(&root)?;
    steps.note("set-up");

    let native = |arguments: &[&str]| -> Command {
        let mut command = cargo(arguments);
        command.current_dir(&root);
        command
    };
    let refused = deny_warnings(process::rustc_version(&mut Command::new("rustc"))?);
    let wasm_rustc = process::rustc_version(&mut tools.wasm(Command::new("rustc")))?;

    steps.run("format", &mut native(&["fmt", "--all", "--check"]))?;
    steps.run(
        "the repository's rules",
        &mut native(&["test", "--quiet", "--package", "xtask", "--test", "tidy"]),
    )?;
    let mut tests = native(&["test", "--release", "--workspace"]);
    // The browser's tests wait for the page.
    tests.env_remove("GFLOWNET_TOUR_DIST");
    steps.run("lints, documentation, tests", lint(&mut tests, refused)?)?;
    let mut page = tools.trunk("build");
    page.current_dir(&root);
    steps.run(
        "build the page, with lints",
        lint(&mut page, deny_warnings(wasm_rustc))?,
    )?;
    steps.run("compress it", &mut compress(&root))?;
    // With the whole workspace, whose features then are those of the step before: else burn would be
    // compiled again.
    let mut browser_tests = native(&["test", "--release", "--workspace", "--test", "browser"]);
    browser_tests
        .env("GFLOWNET_TOUR_DIST", root.join("dist"))
        .env("CHROME", browser);
    steps.run("the page in a browser", lint(&mut browser_tests, refused)?)?;
    steps.summary();
    Ok(())
}

/// What deny.toml asks of the dependencies. Not a part of [`test`]: its tool takes minutes to compile
/// and its answer changes with the day.
fn audit() -> Result<()> {
    let root = root();
    let deny = setup::cargo_deny()?;
    // The targets of cargo-fuzz are a workspace of their own. What deny.toml excuses is there only in part.
    const HERE: &[&str] = &["--workspace", "check"];
    const FUZZING: &[&str] = &[
        "--manifest-path",
        "tests/fuzz/Cargo.toml",
        "--config",
        "deny.toml",
        "check",
        "--allow",
        "unmatched-skip",
        "--allow",
        "unnecessary-skip",
        "--allow",
        "license-exception-not-encountered",
        "--allow",
        "license-not-encountered",
    ];
    let check = |workspace: &[&str], what: &[&str]| {
        let mut command = Command::new(&deny);
        command
            .arg("--locked")
            .args(workspace)
            .args(what)
            .current_dir(&root);
        command
    };
    let mut steps = Steps::start();
    let lasting = ["licenses", "sources", "bans"];
    steps.run("licences, sources, duplicates", &mut check(HERE, &lasting))?;
    steps.run("the same of tests/fuzz", &mut check(FUZZING, &lasting))?;
    if !setup::reachable("github.com:443") {
        return Err(Failure::Failed(
            "the advisories were not checked: their database is on github.com, which cannot be \
             reached from here"
                .into(),
        ));
    }
    steps.run("advisories", &mut check(HERE, &["advisories"]))?;
    steps.run("those of tests/fuzz", &mut check(FUZZING, &["advisories"]))?;
    steps.summary();
    Ok(())
}

/// What lints refuse under the toolchain of this version.
fn deny_warnings(version: (u32, u32)) -> Option<&'static str> {
    LINTED_WITH.contains(&version).then_some("warnings")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port_of(words: &[&str]) -> Option<u16> {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        port(&words).ok()
    }

    #[test]
    fn the_port_is_read_in_both_spellings_and_rubbish_is_refused() {
        assert_eq!(port_of(&[]), Some(8080));
        assert_eq!(port_of(&["--port", "9000"]), Some(9000));
        assert_eq!(port_of(&["--port=9000"]), Some(9000));
        for bad in [
            &["--port"][..],
            &["--port", "0"],
            &["--port=65536"],
            &["--port", "http"],
            &["9000"],
            &["--port", "1", "2"],
        ] {
            assert_eq!(port_of(bad), None, "{bad:?}");
        }
    }
}
