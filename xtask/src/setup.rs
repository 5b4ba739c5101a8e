//! What the commands need beyond Rust, found or installed.
//!
//! Everything here can be run again at no cost, prints what it does before it takes long, asks
//! nothing, and when it may not install something says the one line that does.
//!
//! Tools go to a folder of their own in the user's cache, so that nothing of the user's is
//! replaced and the next clone finds them. `GFLOWNET_TOUR_TOOLS` names another folder.

use crate::process::{Failure, Result, cargo, output, run, version};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The page's compilation target.
pub const WASM: &str = "wasm32-unknown-unknown";

/// Trunk builds and serves the page. 0.22 needs Rust 1.96.1, newer than the `rust-version` in
/// Cargo.toml: update the two together.
const TRUNK: [u32; 3] = [0, 21, 14];

/// The rustup toolchain made from the distribution's Rust where rustup cannot fetch the target.
const LINKED: &str = "gflownet-tour-wasm";

/// Debian's current Rust with its library's source, from which [`debian_toolchain`] builds the library
/// for wasm32, and the linker. If updating, also update [`LINKER`].
const DEBIAN_RUST: [&str; 6] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-llvm",
    "rust-web-clippy",
    "lld-22",
];

/// The linker in [`DEBIAN_RUST`]; its LLVM must not be older than the compiler's.
const LINKER: &str = "wasm-ld-22";

/// cargo-deny audits the dependencies.
const CARGO_DENY: &str = "0.20.2";

/// A part of an environment.
type Variables = Vec<(&'static str, OsString)>;

/// How to call what builds the page.
pub struct Tools {
    trunk: PathBuf,
    /// PATH, with our own tools first.
    path: OsString,
    /// What makes a Cargo call able to compile for wasm32.
    wasm: Variables,
}

impl Tools {
    /// Trunk with a subcommand.
    pub fn trunk(&self, subcommand: &str) -> Command {
        let mut trunk = self.wasm(Command::new(&self.trunk));
        // Trunk reads a boolean here; the convention is that any value counts.
        if env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            trunk.env("NO_COLOR", "true");
        }
        trunk.arg(subcommand);
        trunk
    }

    /// `command`, with what it needs to compile for wasm32.
    pub fn wasm(&self, mut command: Command) -> Command {
        command
            .env("PATH", &self.path)
            .envs(self.wasm.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// All that builds the page: the wasm32 target, Trunk and wasm-bindgen.
pub fn page(root: &Path) -> Result<Tools> {
    let wasm = wasm_target(root)?;
    let mut wanted = Vec::new();
    let mut folders = Vec::new();

    let trunk = match on_path("trunk").filter(|path| prints(path, trunk_fits)) {
        Some(path) => path,
        None => {
            let tool = Tool {
                program: "trunk",
                package: "trunk",
                version: TRUNK.map(|part| part.to_string()).join("."),
                // Locked: Trunk's own tested set. Its default features are TLS for its download of
                // wasm-bindgen, which we compile, and a look for updates at every start.
                arguments: &["--locked", "--no-default-features"],
                // It starts others' work and copies files.
                level: "0",
            };
            let path = tool.path()?;
            wanted.push(tool);
            path
        }
    };

    // Our own Trunk downloads nothing.
    let trunk_is_ours = !wanted.is_empty();
    let version_wanted =
        wasm_bindgen_version(&read(&root.join("Cargo.lock"))?).ok_or_else(|| {
            Failure::Failed("Cargo.lock names no wasm-bindgen: restore it from git".into())
        })?;
    let fits = |found: [u32; 3]| version(&version_wanted) == Some(found);
    let tool = Tool {
        program: "wasm-bindgen",
        package: "wasm-bindgen-cli",
        version: version_wanted.clone(),
        // Not locked: a locked dependency of this version is no longer in the registry. Its default
        // feature is TLS, for another of its programs.
        arguments: &["--bin", "wasm-bindgen", "--no-default-features"],
        level: "1",
    };
    if on_path("wasm-bindgen").is_some_and(|path| prints(&path, fits)) {
        // Trunk finds it there too.
    } else if trunk_is_ours || tool.path()?.exists() || !reachable("github.com:443") {
        folders.extend(tool.path()?.parent().map(Path::to_owned));
        wanted.push(tool);
    } else {
        println!(
            "setup: Trunk will download wasm-bindgen {version_wanted} from GitHub (seconds, once)"
        );
    }
    install(&wanted)?;

    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let path = env::join_paths(folders)
        .map_err(|why| Failure::Failed(format!("cannot extend PATH: {why}")))?;
    Ok(Tools { trunk, path, wasm })
}

/// A compiler that has the wasm32 target; the result is the environment that selects it.
fn wasm_target(root: &Path) -> Result<Variables> {
    let sysroot_with_target = |rustc: &mut Command| {
        let sysroot = PathBuf::from(printed(rustc, "sysroot")?);
        library(&sysroot).is_dir().then_some(sysroot)
    };
    let has_target = || sysroot_with_target(&mut Command::new("rustc")).is_some();
    if has_target() {
        return Ok(Vec::new());
    }

    // The way of machines that no Rust server serves: Debian's Rust and a library for wasm32 made
    // from the source that it brings.
    let needed = minimum_rust(&read(&root.join("Cargo.toml"))?);
    let new_enough = |rustc: &mut Command| {
        output(rustc.arg("--version")).and_then(|printed| version(&printed)) >= needed
    };
    let debian_is_here = || {
        new_enough(&mut debian("rustc"))
            && Path::new("/usr/bin/cargo-clippy").exists()
            && Path::new("/usr/lib/rustlib/src/rust/library/Cargo.lock").exists()
            && on_path(LINKER).is_some()
    };
    let linked = || {
        let sysroot = sysroot_with_target(Command::new("rustc").env("RUSTUP_TOOLCHAIN", LINKED))?;
        let is_current = debian_folder().is_ok_and(|folder| folder == sysroot);
        let variables: Variables = vec![
            ("RUSTUP_TOOLCHAIN", LINKED.into()),
            ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", LINKER.into()),
            // Clippy asks no rustc for it.
            ("SYSROOT", sysroot.into()),
        ];
        is_current.then_some(variables)
    };
    if debian_is_here()
        && let Some(variables) = linked()
    {
        return Ok(variables);
    }

    if on_path("rustup").is_none() {
        return Err(Failure::Failed(format!(
            "this Rust has no {WASM} target, and without rustup it is not ours to add: install \
             Rust from https://rustup.rs, or your distribution's package of that target"
        )));
    }
    let add = ["target", "add", WASM];
    println!("setup: rustup {} (seconds, once)", add.join(" "));
    if run(Command::new("rustup").args(add).stdin(Stdio::null())).is_ok() && has_target() {
        return Ok(Vec::new());
    }

    println!("setup: rustup cannot fetch the target; trying Debian's Rust (a minute, once)");
    if !debian_is_here() {
        apt_install(
            &DEBIAN_RUST,
            &format!("connect to the internet and run `rustup target add {WASM}`"),
        )?;
    }
    if !debian_is_here() {
        return Err(Failure::Failed(format!(
            "Debian's Rust here is too old or not whole: connect to the internet and run \
             `rustup target add {WASM}`"
        )));
    }
    let folder = debian_toolchain()?;
    run(Command::new("rustup")
        .args(["toolchain", "link", LINKED])
        .arg(&folder)
        .stdin(Stdio::null()))?;
    linked().ok_or_else(|| {
        Failure::Failed(format!(
            "Debian's Rust in {} has no {WASM} target: remove that folder and try again, or connect to \
             the internet and run `rustup target add {WASM}`",
            folder.display()
        ))
    })
}

/// Where a sysroot has its library for wasm32.
fn library(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(WASM).join("lib")
}

/// A program of Debian's Rust.
fn debian(program: &str) -> Command {
    Command::new(Path::new("/usr/bin").join(program))
}

/// What `rustc --print` says of `what`.
fn printed(rustc: &mut Command, what: &str) -> Option<String> {
    output(rustc.args(["--print", what])).map(|printed| printed.trim().to_owned())
}

/// Where the toolchain of Debian's Rust is made: a folder for each version.
fn debian_folder() -> Result<PathBuf> {
    let printed = output(debian("rustc").arg("--version")).unwrap_or_default();
    let found = version(&printed).unwrap_or_default();
    let name = format!("rust-{}", found.map(|part| part.to_string()).join("."));
    Ok(tools_folder()?.join(name))
}

/// Debian's Rust as a toolchain with a library for wasm32. Debian's programs take their library from
/// /usr, so the toolchain's rustc is a script that names another place.
///
/// The library is made once, by Cargo's `build-std`. As a variable for every build that would cost a
/// library for each profile, and one for the native programs of the build, too.
#[cfg(unix)]
fn debian_toolchain() -> Result<PathBuf> {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = debian_folder()?;
    if library(&folder).is_dir() {
        return Ok(folder);
    }
    println!(
        "setup: compiling Rust's library for {WASM} into {} (half a minute, once)",
        folder.display()
    );
    let new = tools_folder()?.join("build-rust");
    let source = new.join("library");
    let failed = |what: &Path, why: std::io::Error| {
        Failure::Failed(format!("cannot write {}: {why}", what.display()))
    };
    let written = |path: PathBuf, text: &str| {
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .map_err(|why| failed(&path, why))
    };
    // What an interrupted run has left, if there was one.
    let _ = fs::remove_dir_all(&new);
    written(
        source.join("Cargo.toml"),
        "[package]\nname = \"library\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n",
    )?;
    written(source.join("src/lib.rs"), "#![no_std]\n")?;
    run(debian("cargo")
        .args(["build", "--release", "--target", WASM])
        .arg("-Zbuild-std=std,panic_abort")
        .current_dir(&source)
        .stdin(Stdio::null())
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", "target"))?;

    let toolchain = new.join("toolchain");
    let to = library(&toolchain);
    fs::create_dir_all(&to).map_err(|why| failed(&to, why))?;
    let made = source.join("target").join(WASM).join("release/deps");
    for entry in fs::read_dir(&made)
        .map_err(|why| failed(&made, why))?
        .flatten()
    {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "rlib")
        {
            let copy = to.join(entry.file_name());
            fs::rename(&path, &copy).map_err(|why| failed(&copy, why))?;
        }
    }
    written(
        toolchain.join("bin/rustc"),
        &format!(
            "#!/bin/sh\nexec /usr/bin/rustc --sysroot '{}' \"$@\"\n",
            folder.display().to_string().replace('\'', r"'\''")
        ),
    )?;
    let rustc = toolchain.join("bin/rustc");
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))
        .map_err(|why| failed(&rustc, why))?;
    let native = printed(&mut debian("rustc"), "host-tuple").unwrap_or_default();
    for path in [
        "bin/cargo",
        "bin/cargo-clippy",
        "bin/clippy-driver",
        &format!("lib/rustlib/{native}"),
    ] {
        let link = toolchain.join(path);
        symlink(Path::new("/usr").join(path), &link).map_err(|why| failed(&link, why))?;
    }
    fs::rename(&toolchain, &folder).map_err(|why| failed(&folder, why))?;
    let _ = fs::remove_dir_all(&new);
    Ok(folder)
}

#[cfg(not(unix))]
fn debian_toolchain() -> Result<PathBuf> {
    Err(Failure::Failed("there is no Debian here".into()))
}

/// rustfmt and Clippy.
pub fn rust_components() -> Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if output(&mut cargo([subcommand, "--version"])).is_some() {
            continue;
        }
        println!("setup: rustup component add {component} (seconds, once)");
        run(Command::new("rustup")
            .args(["component", "add", component])
            .stdin(Stdio::null()))
        .map_err(|_| {
            Failure::Failed(format!(
                "`cargo {subcommand}` is missing: run `rustup component add {component}`"
            ))
        })?;
    }
    Ok(())
}

/// cargo-deny.
pub fn cargo_deny() -> Result<PathBuf> {
    let tool = Tool {
        program: "cargo-deny",
        package: "cargo-deny",
        version: CARGO_DENY.into(),
        arguments: &["--locked"],
        level: "1",
    };
    let path = tool.path()?;
    install(&[tool])?;
    Ok(path)
}

/// A Chrome or Chromium.
pub fn browser() -> Result<PathBuf> {
    if let Some(path) = env::var_os("CHROME").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Failure::Failed(format!(
                "CHROME names {}, which is no file: correct or unset it",
                path.display()
            )))
        };
    }
    let find = || {
        let names = [
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
            "chrome",
        ];
        let programs = ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"]
            .into_iter()
            .filter_map(env::var_os)
            .map(|folder| PathBuf::from(folder).join(r"Google\Chrome\Application\chrome.exe"));
        let applications = [
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium",
        ]
        .map(PathBuf::from);
        names.into_iter().find_map(on_path).or_else(|| {
            applications
                .into_iter()
                .chain(programs)
                .find(|path| path.is_file())
        })
    };
    if let Some(path) = find() {
        return Ok(path);
    }
    println!("setup: installing Chromium, for the tests of the page (a minute, once)");
    let hint = "install Chrome or Chromium, or set CHROME to its path";
    apt_install(&["chromium"], hint)?;
    find().ok_or_else(|| Failure::Failed(format!("no browser was found: {hint}")))
}

/// A Vulkan driver on Linux, where the native test of the GPU kernel runs on it. Other systems
/// bring their own graphics interface, and without any that test says that it did not run, so
/// this only tries.
pub fn vulkan() {
    let folders = [
        "/usr/share/vulkan/icd.d",
        "/etc/vulkan/icd.d",
        "/usr/local/share/vulkan/icd.d",
    ];
    let present = folders
        .into_iter()
        .any(|folder| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()));
    if !cfg!(target_os = "linux") || present {
        return;
    }
    println!("setup: installing a Vulkan driver, for the native GPU test (a minute, once)");
    if let Err(Failure::Failed(why)) = apt_install(
        &["mesa-vulkan-drivers", "libvulkan1"],
        "install a Vulkan driver (Mesa's lavapipe will do)",
    ) {
        println!("setup: going on without one: {why}");
    }
}

/// Install Debian packages, where there is a Debian and it may be changed; else the error says
/// what to run, or, where there is no apt-get, the `otherwise`.
fn apt_install(packages: &[&str], otherwise: &str) -> Result<()> {
    if on_path("apt-get").is_none() {
        return Err(Failure::Failed(otherwise.into()));
    }
    let is_root = output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    let has_sudo = || output(Command::new("sudo").args(["-n", "true"])).is_some();
    let prefix: &[&str] = if is_root {
        &[]
    } else if has_sudo() {
        &["sudo", "-n"]
    } else {
        return Err(Failure::Failed(format!(
            "this needs root: run `sudo apt-get install -y --no-install-recommends {}`",
            packages.join(" ")
        )));
    };
    let apt = |arguments: &[&str]| {
        let words: Vec<&str> = prefix
            .iter()
            .chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
            .chain(arguments)
            .copied()
            .collect();
        println!("setup: {}", words.join(" "));
        run(Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null()))
    };
    // Old lists may still do, so only the installation has to succeed.
    let _ = apt(&["update", "-q"]);
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(packages);
    apt(&install)
}

/// A program that Cargo compiles into our folder.
struct Tool {
    program: &'static str,
    /// The package that has it.
    package: &'static str,
    version: String,
    /// What else `cargo install` is told.
    arguments: &'static [&'static str],
    /// Its level of optimisation. These run for seconds in a build of minutes: compile time is what
    /// counts.
    level: &'static str,
}

impl Tool {
    fn folder(&self) -> Result<PathBuf> {
        Ok(tools_folder()?.join(format!("{}-{}", self.program, self.version)))
    }

    /// Where [`install`] puts it.
    fn path(&self) -> Result<PathBuf> {
        let file = format!("{}{}", self.program, env::consts::EXE_SUFFIX);
        Ok(self.folder()?.join("bin").join(file))
    }

    fn compile(&self, is_quiet: bool) -> Result<()> {
        let folder = tools_folder()?;
        let build = folder.join(format!("build-{}", self.program));
        fs::create_dir_all(&build).map_err(|why| {
            Failure::Failed(format!("cannot make the folder {}: {why}", build.display()))
        })?;
        let mut command = cargo(["install", self.package, "--version", &self.version]);
        if is_quiet {
            command.arg("--quiet");
        }
        run(command
            .args(self.arguments)
            .arg("--root")
            .arg(self.folder()?)
            // Outside the workspace, whose Cargo settings are not meant for tools.
            .current_dir(&folder)
            .stdin(Stdio::null())
            // Kept until it is done, so that an interrupted build goes on where it stopped.
            .env("CARGO_TARGET_DIR", &build)
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", self.level)
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"))?;
        // Left-overs would cost only space.
        let _ = fs::remove_dir_all(&build);
        if self.path()?.exists() {
            Ok(())
        } else {
            Err(Failure::Failed(format!(
                "cargo install {} did not make {}",
                self.package,
                self.path()?.display()
            )))
        }
    }
}

/// Compiles those of `tools` that our folder lacks, side by side: each has crates that all its others
/// wait for.
fn install(tools: &[Tool]) -> Result<()> {
    let mut missing = Vec::new();
    for tool in tools {
        if !tool.path()?.exists() {
            missing.push(tool);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing
        .iter()
        .map(|tool| format!("{} {}", tool.program, tool.version))
        .collect();
    println!(
        "setup: compiling {} into {} (some 5 minutes on two cores, once)",
        names.join(" and "),
        tools_folder()?.display()
    );
    thread::scope(|scope| {
        // Only the first, which takes longest, shows how far it is.
        let running: Vec<_> = missing
            .iter()
            .enumerate()
            .map(|(place, tool)| scope.spawn(move || tool.compile(place > 0)))
            .collect();
        let outcomes: Vec<Result<()>> = running
            .into_iter()
            .map(|it| it.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect();
        outcomes.into_iter().collect()
    })
}

fn tools_folder() -> Result<PathBuf> {
    let variable = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = variable("GFLOWNET_TOUR_TOOLS") {
        return Ok(folder);
    }
    let cache = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    cache
        .map(|cache| cache.join("gflownet-tour").join("tools"))
        .ok_or_else(|| {
            Failure::Failed(
                "no folder for tools: set GFLOWNET_TOUR_TOOLS to one that can be written".into(),
            )
        })
}

/// The path of `program`, if PATH has it.
fn on_path(program: &str) -> Option<PathBuf> {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

/// Whether the version that `program` prints is one that `fits`.
fn prints(program: &Path, fits: impl Fn([u32; 3]) -> bool) -> bool {
    output(Command::new(program).arg("--version"))
        .and_then(|printed| version(&printed))
        .is_some_and(fits)
}

fn trunk_fits(found: [u32; 3]) -> bool {
    found[..2] == TRUNK[..2] && found[2] >= TRUNK[2]
}

pub fn reachable(host: &str) -> bool {
    host.to_socket_addrs().is_ok_and(|mut addresses| {
        addresses
            .any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok())
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|why| Failure::Failed(format!("cannot read {}: {why}", path.display())))
}

/// The version of wasm-bindgen in a Cargo.lock. Its command line must have the very same.
fn wasm_bindgen_version(lock: &str) -> Option<String> {
    let mut lines = lock.lines();
    lines.find(|line| *line == r#"name = "wasm-bindgen""#)?;
    let version = lines.next()?.strip_prefix(r#"version = ""#)?;
    Some(version.strip_suffix('"')?.to_owned())
}

/// The `rust-version` in a Cargo.toml.
fn minimum_rust(manifest: &str) -> Option<[u32; 3]> {
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version"))?;
    version(line.trim_start_matches([' ', '=']).trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lockfile_tells_the_version_wasm_bindgen() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.1\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(wasm_bindgen_version(lock).as_deref(), Some("0.2.130"));
        assert_eq!(wasm_bindgen_version("[[package]]\nname = \"wasm\"\n"), None);
        assert!(wasm_bindgen_version(include_str!("../../Cargo.lock")).is_some());
    }

    #[test]
    fn the_manifest_tells_the_oldest_rust() {
        assert_eq!(minimum_rust("rust-version = \"1.95\"\n"), Some([1, 95, 0]));
        assert_eq!(minimum_rust("[package]\n"), None);
        assert!(minimum_rust(include_str!("../../Cargo.toml")).is_some());
    }

    #[test]
    fn trunk_may_be_a_later_patch_and_nothing_else() {
        assert!(trunk_fits(TRUNK) && trunk_fits([0, 21, 15]));
        assert!(!trunk_fits([0, 21, 13]) && !trunk_fits([0, 22, 14]) && !trunk_fits([1, 21, 14]));
    }

    #[test]
    fn a_program_is_found_on_the_path_or_not() {
        assert!(on_path("cargo").is_some());
        assert_eq!(on_path("no-such-program-of-ours"), None);
    }
}
