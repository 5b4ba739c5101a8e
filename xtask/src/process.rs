//! Starting programs, and telling what became of them.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why a command of ours ends early.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: exit status 2, with the usage.
    Usage(String),
    /// Something went wrong, as the text says: exit status 1.
    Failed(String),
}

pub type Result<T> = std::result::Result<T, Failure>;

/// Cargo with these arguments. Taken from PATH, where rustup's proxy heeds `RUSTUP_TOOLCHAIN`;
/// the `CARGO` variable names one toolchain's own binary, which does not.
pub fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments);
    command
}

/// Run `command` to its end in the reader's terminal.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|why| Failure::Failed(format!("cannot start `{}`: {why}", line(command))))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Failed(format!(
            "`{}` failed ({status})",
            line(command)
        )))
    }
}

/// What `command` prints, if it can be started and succeeds.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Let `command` take this process's place: signals, terminal and exit status are then its own.
/// Where a process cannot be replaced, run it and end with its exit status.
pub fn replace_by(command: &mut Command) -> Result<()> {
    #[cfg(unix)]
    let outcome: std::io::Result<()> = Err(std::os::unix::process::CommandExt::exec(command));
    #[cfg(not(unix))]
    let outcome = command
        .status()
        .map(|status| std::process::exit(status.code().unwrap_or(1)));
    outcome.map_err(|why| Failure::Failed(format!("cannot start `{}`: {why}", line(command))))
}

/// A command as one would type it.
pub fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Major and minor version of the compiler that `rustc` starts.
pub fn rustc_version(rustc: &mut Command) -> Result<(u32, u32)> {
    output(rustc.arg("--version"))
        .as_deref()
        .and_then(version)
        .map(|[major, minor, _]| (major, minor))
        .ok_or_else(|| {
            Failure::Failed("`rustc --version` does not tell a version: is Rust installed?".into())
        })
}

/// The first `A.B.C` (or `A.B`, then C is 0) in what a tool prints about itself.
pub fn version(printed: &str) -> Option<[u32; 3]> {
    printed.split_whitespace().find_map(|word| {
        let mut parts = word
            .split(['.', '-', '+'])
            .map(|part| part.parse::<u32>().ok());
        let (major, minor) = (parts.next()??, parts.next()??);
        Some([major, minor, parts.next().flatten().unwrap_or(0)])
    })
}

/// Named steps with their times.
pub struct Steps {
    done: Vec<(&'static str, Duration)>,
    since: Instant,
}

impl Steps {
    pub fn start() -> Steps {
        Steps {
            done: Vec::new(),
            since: Instant::now(),
        }
    }

    /// Run one step.
    pub fn run(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        println!("\n== {name}: {}", line(command));
        run(command)?;
        self.note(name);
        Ok(())
    }

    /// Note that `name` ended now and began when the step before it ended.
    pub fn note(&mut self, name: &'static str) {
        let took = self.since.elapsed();
        println!("== {name}: done in {}", minutes(took));
        self.done.push((name, took));
        self.since = Instant::now();
    }

    /// Print all steps with their times.
    pub fn summary(&self) {
        println!();
        for (name, took) in &self.done {
            println!("  {name:<24} {:>9}", minutes(*took));
        }
        let total = self.done.iter().map(|(_, took)| *took).sum();
        println!("  {:<24} {:>9}", "everything passed", minutes(total));
    }
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", seconds as u64 / 60, seconds as u64 % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_print() {
        assert_eq!(version("trunk 0.21.14\n"), Some([0, 21, 14]));
        assert_eq!(version("wasm-bindgen 0.2.130 (a1b2c3)"), Some([0, 2, 130]));
        assert_eq!(
            version("rustc 1.97.0-nightly (x 2026-01-01)"),
            Some([1, 97, 0])
        );
        assert_eq!(version("1.95"), Some([1, 95, 0]));
        assert_eq!(version("no version here"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn times_read_well() {
        assert_eq!(minutes(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(minutes(Duration::from_secs(605)), "10 min 05 s");
    }
}
