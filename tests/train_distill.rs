//! The `train_distill` program: what it writes, and that it writes all of it or nothing.

use gflownet_tour::experiment::{self, Experiment};
use gflownet_tour::objective::Objective;
use gflownet_tour::tempered::TemperedRecipe;
use gflownet_tour::weights::ablation;
use gflownet_tour::weights::manifest::{self, Manifest, Recipe};
use gflownet_tour::weights::snapshots::{self, rounded};
use gflownet_tour::weights::{self, Model};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_train_distill"))
}

/// Runs the program with `arguments`, writing to `out`.
fn run(out: &Path, arguments: &[&str]) -> Output {
    let mut command = program();
    command.arg("--out").arg(out).args(arguments);
    command.output().unwrap()
}

fn assert_success(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
}

/// Every file below `folder` with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

fn names(folder: &Path) -> Vec<String> {
    let relative = |path: &PathBuf| {
        let path = path.strip_prefix(folder).unwrap();
        path.to_str().unwrap().replace('\\', "/")
    };
    files(folder).keys().map(relative).collect()
}

fn manifest_of(folder: &Path) -> Manifest {
    let text = fs::read_to_string(folder.join("manifest.json")).unwrap();
    manifest::parse("manifest.json", &text).unwrap()
}

fn model_of(folder: &Path, name: &str) -> Model {
    let file = format!("{name}.safetensors");
    weights::parse(&file, &fs::read(folder.join(&file)).unwrap()).unwrap()
}

/// A folder with a set of files that a failing run must leave alone.
fn with_old_files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert_success(&run(
        folder.path(),
        &["--only", "easy_correct", "--iterations", "1"],
    ));
    folder
}

/// `arguments` end with status 2 and one line that contains `message`, and change nothing.
fn check_refused(arguments: &[&str], message: &str) {
    let folder = with_old_files();
    let before = files(folder.path());
    check_failure(&run(folder.path(), arguments), message);
    assert_eq!(files(folder.path()), before);
}

fn check_failure(output: &Output, message: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains(message), "{errors}");
    assert!(output.stdout.is_empty());
}

#[test]
fn it_writes_all_models_and_the_same_files_twice() {
    let [first, second] = [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        assert_success(&run(
            folder.path(),
            &["--iterations", "3", "--seeds", "2", "--format", "onnx"],
        ));
        folder
    });
    let mut expected = vec!["manifest.json".to_owned()];
    for experiment in experiment::all() {
        let name = experiment.name;
        expected.push(format!("figures/{name}.svg"));
        expected.push(format!("{name}.onnx"));
        expected.push(format!("{name}.safetensors"));
        expected.push(format!("snapshots/{name}.safetensors"));
    }
    expected.push("tempered.safetensors".to_owned());
    expected.sort();
    assert_eq!(names(first.path()), expected);
    for (a, b) in files(first.path()).iter().zip(files(second.path())) {
        assert!(*a.1 == b.1, "{} differs between two runs", a.0.display());
    }

    let manifest = manifest_of(first.path());
    assert_eq!(manifest.models.len(), experiment::all().count());
    for (entry, experiment) in manifest.models.iter().zip(experiment::all()) {
        assert_eq!(entry.name, experiment.name);
        let recipe = Recipe {
            iterations: 3,
            ..Recipe::of(experiment)
        };
        assert_eq!(entry.recipe, recipe);
        assert_eq!(entry.curve.len(), 3);
        let seeds: Vec<u64> = entry.ensemble.iter().map(|seed| seed.seed).collect();
        assert_eq!(seeds, [4444, 4445]);
        assert_eq!(entry.ensemble[0].log_z, entry.log_z);
        assert_ne!(entry.ensemble[1].log_z, entry.log_z);

        let bytes = fs::read(first.path().join(&entry.file)).unwrap();
        assert_eq!(entry.sha256, weights::sha256(&bytes));
        let model = model_of(first.path(), experiment.name);
        assert_eq!(model.metadata["experiment"], experiment.name);
        assert_eq!(model.metadata["seed"], "4444");
        let stated: Recipe = serde_json::from_str(&model.metadata["recipe"]).unwrap();
        assert_eq!(stated, recipe);

        let listed = entry.snapshots.as_ref().unwrap();
        let bytes = fs::read(first.path().join(&listed.file)).unwrap();
        assert_eq!(listed.sha256, weights::sha256(&bytes));
        let snapshots = snapshots::parse(&listed.file, &bytes).unwrap();
        let iterations: Vec<u32> = snapshots.iter().map(|s| s.iteration).collect();
        assert_eq!(iterations, [0, 1, 2, 3]);
        let halves = model.forward.parameters().iter().map(|&w| rounded(w));
        assert!(halves.eq(snapshots[3].forward.parameters().iter().copied()));
        assert_eq!(snapshots[3].log_z, model.log_z);
        assert_ne!(snapshots[0].forward, snapshots[1].forward);
    }
    check_tempered(first.path(), 3, &[4444, 4445]);
}

/// The folder has the model of every temperature, whole, and the manifest's entry is of its bytes.
fn check_tempered(folder: &Path, iterations: usize, seeds: &[u64]) {
    let entry = manifest_of(folder).tempered.unwrap();
    let mut recipe = TemperedRecipe::bundled();
    recipe.base.iterations = iterations;
    assert_eq!(entry.recipe, recipe);
    let bytes = fs::read(folder.join(&entry.file)).unwrap();
    assert_eq!(entry.sha256, weights::sha256(&bytes));
    let file = weights::tempered::parse(&entry.file, &bytes).unwrap();
    assert_eq!(file.metadata["experiment"], "tempered");
    let stated: TemperedRecipe = serde_json::from_str(&file.metadata["recipe"]).unwrap();
    assert_eq!(stated, recipe);
    let ran: Vec<u64> = entry.ensemble.iter().map(|seed| seed.seed).collect();
    assert_eq!(ran, seeds);
    assert_eq!(entry.seed, seeds[0]);
    assert_eq!(file.metadata["seed"], seeds[0].to_string());
    assert_eq!(entry.ensemble[0].scores, entry.scores);
    for (i, seed) in entry.ensemble.iter().enumerate() {
        assert_eq!(entry.ensemble.iter().position(|s| s == seed), Some(i));
    }
}

#[test]
fn the_model_of_every_temperature_is_trained_alone_and_leaves_the_others() {
    let folder = with_old_files();
    let old = files(folder.path());
    let arguments = ["--only", "tempered", "--iterations", "2", "--seeds", "3"];
    let output = run(folder.path(), &arguments);
    assert_success(&output);
    check_tempered(folder.path(), 2, &[4444, 4445, 4446]);
    let mut now = files(folder.path());
    now.remove(&folder.path().join("tempered.safetensors"));
    let manifest = folder.path().join("manifest.json");
    assert_ne!(now.remove(&manifest), Some(old[&manifest].clone()));
    assert!(now.iter().all(|(path, bytes)| old[path] == *bytes));
    assert_eq!(manifest_of(folder.path()).models.len(), 1);
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines = printed.lines().filter(|line| line.starts_with("tempered "));
    assert_eq!(lines.count(), 5, "{printed}");
    // Another model's training keeps it.
    let entry = manifest_of(folder.path()).tempered;
    assert_success(&run(
        folder.path(),
        &["--only", "easy_buggy", "--iterations", "1"],
    ));
    assert_eq!(manifest_of(folder.path()).tempered, entry);
}

#[test]
fn it_ends_with_a_table_of_the_models_and_of_the_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--iterations", "1", "--seeds", "3"]);
    assert_success(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    for experiment in experiment::all() {
        let lines = text
            .lines()
            .filter(|line| line.split_whitespace().next() == Some(experiment.name));
        assert_eq!(lines.count(), 2, "{text}");
    }
    assert!(
        text.contains("(0.693)") && text.contains("(1.386)"),
        "{text}"
    );
    // Not a terminal: no bars.
    assert!(output.stderr.is_empty());
}

#[test]
fn only_trains_the_named_models_and_keeps_the_others() {
    let folder = with_old_files();
    let old = files(folder.path());
    let arguments = ["--only", "four_mode,easy_buggy", "--iterations", "2"];
    assert_success(&run(folder.path(), &arguments));
    let manifest = manifest_of(folder.path());
    let listed: Vec<&str> = manifest.models.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(listed, ["easy_correct", "easy_buggy", "four_mode"]);
    assert_eq!(manifest.models[0].recipe.iterations, 1);
    assert_eq!(manifest.models[2].recipe.iterations, 2);
    let kept = folder.path().join("easy_correct.safetensors");
    assert_eq!(fs::read(&kept).unwrap(), old[&kept]);
}

#[test]
fn the_seed_decides_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |seed: &str| {
        let arguments = [
            "--only",
            "easy_correct",
            "--iterations",
            "2",
            "--seed",
            seed,
        ];
        assert_success(&run(folder.path(), &arguments));
        model_of(folder.path(), "easy_correct").forward
    };
    assert_ne!(weights("1"), weights("2"));
}

#[test]
fn ablate_writes_a_table_and_no_model() {
    let folder = with_old_files();
    let old = files(folder.path());
    let arguments = [
        "--ablate",
        "four_mode_solved",
        "--iterations",
        "30",
        "--seeds",
        "2",
    ];
    let output = run(folder.path(), &arguments);
    assert_success(&output);
    let name = "four_mode_solved.ablation.json";
    let text = fs::read_to_string(folder.path().join(name)).unwrap();
    let table = ablation::parse(name, &text).unwrap();
    assert_eq!(table.experiment, "four_mode_solved");
    assert_eq!(table.seeds, [4444, 4445]);
    let recipe = Recipe {
        iterations: 30,
        ..Recipe::of(Experiment::named("four_mode_solved").unwrap())
    };
    assert_eq!(table.rows[0].recipe, recipe);
    assert_eq!(table.rows[0].parameters, 9_090);
    let last = table.rows.last().unwrap();
    assert!(last.change == "classic" && last.recipe.options.is_classic());
    let printed = String::from_utf8(output.stdout).unwrap();
    for row in &table.rows {
        let [a, b] = row.total_variations[..] else {
            panic!("{} has not two seeds", row.change);
        };
        assert!((row.total_variation - 0.5 * (a + b)).abs() < 1e-5);
        assert!(printed.contains(&row.change), "{printed}");
    }
    // Nothing else was touched.
    let mut now = files(folder.path());
    now.retain(|path, _| !path.ends_with(name));
    assert_eq!(now.len(), old.len());
    assert!(now.iter().zip(&old).all(|(a, b)| a.1 == b.1));
}

#[test]
fn objectives_writes_its_table_and_nothing_else() {
    let folder = with_old_files();
    let old = files(folder.path());
    let output = run(folder.path(), &["--objectives", "--iterations", "20"]);
    assert_success(&output);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with("hard_off_policy"), "{printed}");
    for objective in Objective::ALL {
        assert!(printed.contains(objective.title()), "{printed}");
    }
    let name = "hard_off_policy.objectives.json";
    let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
    let table = ablation::parse(name, &text).unwrap();
    assert_eq!(table.rows.len(), 9);
    assert!(table.rows.iter().all(|row| row.mode_masses.len() == 1));
    std::fs::remove_file(folder.path().join(name)).unwrap();
    assert_eq!(files(folder.path()), old);
}

#[test]
fn only_recipes_with_options_can_be_ablated() {
    check_refused(
        &["--ablate", "four_mode"],
        "four_mode has no options that --ablate changes; there are easy_solved, hard_solved, \
         four_mode_solved",
    );
    check_refused(
        &["--ablate", "tempered"],
        "tempered has no options that --ablate changes",
    );
    check_refused(
        &["--ablate", "nine_mode"],
        "no model is called `nine_mode`; there are easy_correct, easy_buggy, hard_on_policy, \
         hard_off_policy, four_mode, easy_dropped, easy_solved, hard_solved, four_mode_solved, \
         tempered",
    );
}

#[test]
fn burn_trains_no_recipe_with_options() {
    check_refused(
        &[
            "--only",
            "easy_solved",
            "--trainer",
            "burn",
            "--iterations",
            "1",
        ],
        "burn trains the classic recipes only, and easy_solved has options",
    );
    check_refused(
        &["--only", "tempered", "--trainer", "burn"],
        "burn trains the classic recipes only, and tempered has options",
    );
}

#[test]
fn list_names_the_models_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--list"]);
    assert_success(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    let named = |e: &Experiment| {
        let mut first_words = text.lines().map(|line| line.split_whitespace().next());
        first_words.any(|word| word == Some(e.name))
    };
    let all = experiment::all().chain([&experiment::TEMPERED]);
    assert!(all.into_iter().all(named), "{text}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn an_unknown_name_is_refused_with_the_known_ones() {
    check_refused(
        &["--only", "easy_correct,nine_mode", "--iterations", "1"],
        "no model is called `nine_mode`; there are easy_correct, easy_buggy, hard_on_policy, \
         hard_off_policy, four_mode, easy_dropped, easy_solved, hard_solved, four_mode_solved, \
         tempered",
    );
}

#[test]
fn zero_iterations_are_refused() {
    check_refused(&["--iterations", "0"], "--iterations is 0; give 1 or more");
}

#[test]
fn zero_seeds_are_refused() {
    check_refused(&["--seeds", "0"], "--seeds is 0; give 1 or more");
}

#[test]
fn seeds_beyond_the_last_are_refused() {
    let last = u64::MAX.to_string();
    check_refused(
        &["--seed", &last, "--seeds", "2"],
        "leaves no room for 2 seeds",
    );
}

#[test]
fn a_broken_manifest_is_not_merged_into() {
    let folder = with_old_files();
    fs::write(folder.path().join("manifest.json"), "{\"format\": 9}").unwrap();
    let before = files(folder.path());
    let output = run(folder.path(), &["--only", "four_mode", "--iterations", "1"]);
    check_failure(&output, "manifest.json has format 9");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_folder_that_cannot_be_made_is_refused_before_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "old").unwrap();
    // At its full length the training would take minutes.
    let output = run(&file.join("out"), &[]);
    check_failure(&output, "cannot make the folder");
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
}

#[test]
fn a_gpu_that_is_not_there_is_refused() {
    let folder = with_old_files();
    let before = files(folder.path());
    let mut command = program();
    command.args(["--device", "wgpu", "--iterations", "1", "--out"]);
    command.arg(folder.path());
    // Whatever this machine has, it has no hundred GPUs.
    command.env("CUBECL_WGPU_DEFAULT_DEVICE", "DiscreteGpu(99)");
    // Without it Mesa adds lines of its own.
    command.env("XDG_RUNTIME_DIR", folder.path());
    let output = command.output().unwrap();
    check_failure(&output, "there is no GPU for --device wgpu");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn the_fused_trainer_does_not_run_on_a_gpu() {
    check_refused(
        &["--trainer", "fused", "--device", "wgpu"],
        "--trainer fused runs on the CPU",
    );
}

#[test]
fn burn_trains_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--only", "easy_correct", "--iterations", "2"];
    assert_success(&run(
        folder.path(),
        &[&arguments[..], &["--trainer", "burn"]].concat(),
    ));
    let burn = model_of(folder.path(), "easy_correct");
    assert_success(&run(folder.path(), &arguments));
    let fused = model_of(folder.path(), "easy_correct");
    let pairs = burn
        .forward
        .parameters()
        .iter()
        .zip(fused.forward.parameters());
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
}

/// A limit on the size of files stands in for a full disk: the weights no longer fit.
#[cfg(target_os = "linux")]
#[test]
fn a_write_that_fails_leaves_the_old_files() {
    let folder = with_old_files();
    let before = files(folder.path());
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_train_distill"))
        .args(["--iterations", "1", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    check_failure(&output, "cannot write");
    assert_eq!(files(folder.path()), before);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_old_files_and_gives_status_130() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let folder = with_old_files();
    let before = files(folder.path());
    let mut command = program();
    command.args(["--iterations", "1000000", "--out"]);
    command.arg(folder.path()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // The staging folder shows that the run has begun; the handler is set right after it, so a
    // signal that comes too early ends the process with no status and is a failure below.
    let started = Instant::now();
    let staged = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".train");
    while !fs::read_dir(folder.path())
        .unwrap()
        .any(|e| staged(e.unwrap()))
    {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "it never began"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert_eq!(errors, "train-distill: interrupted; nothing was changed\n");
    assert_eq!(files(folder.path()), before);
}
