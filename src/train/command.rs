//! The `train_distill` program: arguments, threads, progress bars and files around [`train`].

use super::output::{OutputError, Staging};
use super::report::{self, Scored};
use super::{TrainError, ablation, figure, tempered, train, train_tempered, train_with_burn};
use crate::experiment::{self, DEFAULT_SEED, Experiment, TEMPERED};
use crate::pytorch;
use crate::tempered::TemperedRecipe;
use crate::trainer::Progress;
use crate::weights::ablation::{self as table, Ablation, Row};
use crate::weights::manifest::{self, Manifest, ModelEntry, Recipe, TemperedEntry};
use crate::weights::{self, WeightsError};
use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use gflownet_tour_core::lab;
use gflownet_tour_onnx as onnx;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Train the tour's models and write weights, manifest and figures, whole or not at all.
#[derive(Debug, Parser)]
#[command(name = "train-distill", version)]
struct Args {
    /// Train only these models, and keep the manifest's other entries
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    only: Vec<String>,
    /// The seed of the models that are written
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Train this many seeds, from --seed on, and report median and range
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// Train for this many iterations instead of the recipe's
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// Measure what each option of this model's recipe is worth: train it with one option changed
    /// at a time and write NAME.ablation.json, but no model. Give it --seeds too
    #[arg(long, value_name = "NAME", conflicts_with_all = ["only", "trainer", "device", "format"])]
    ablate: Option<String>,
    /// Print this model's run as a PyTorch script (with --seed and --iterations), and train nothing
    #[arg(long, value_name = "NAME", conflicts_with_all = ["only", "trainer", "device", "format", "ablate"])]
    pytorch: Option<String>,
    /// Train this model's recipe by every objective and write NAME.objectives.json, but no model.
    /// NAME may also be the laboratory's recipe, hard_off_policy_steady. Give it --seeds too
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        default_missing_value = "hard_off_policy",
        conflicts_with_all = ["only", "ablate", "trainer", "device", "format"]
    )]
    objectives: Option<String>,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = "pretrained")]
    out: PathBuf,
    /// List the models and their recipes, and train nothing
    #[arg(long)]
    list: bool,
    /// Show no progress bars
    #[arg(long)]
    quiet: bool,
    /// Where to train
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// What trains: `fused` on the CPU, or `burn`, its oracle. Left out: `burn` with --device wgpu,
    /// else `fused`
    #[arg(long, value_enum)]
    trainer: Option<TrainerName>,
    /// What to write beside the manifest; `onnx` adds the forward policy as NAME.onnx
    #[arg(long, value_enum, default_value_t = Format::Safetensors)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DeviceName {
    /// One thread a run
    Cpu,
    /// A GPU by wgpu, one run after the other
    Wgpu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TrainerName {
    /// Our own step in vector code
    Fused,
    /// burn's modules, autodiff and Adam
    Burn,
}

/// What trains the runs.
enum Runner {
    Fused,
    Burn(Device),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Safetensors,
    Onnx,
}

/// Why the program ends without having written anything.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum CommandError {
    #[error("no model is called `{name}`; there are {}", names())]
    UnknownModel { name: String },
    #[error(
        "{name} has no options that --ablate changes; there are {}",
        names_with_options()
    )]
    NoOptions { name: String },
    #[error("--{argument} is 0; give 1 or more")]
    Zero { argument: &'static str },
    #[error("--seed {seed} leaves no room for {seeds} seeds below 2^64; give a smaller one")]
    SeedTooLarge { seed: u64, seeds: u64 },
    #[error(
        "--trainer fused runs on the CPU: leave out --device wgpu, or give --trainer burn with it"
    )]
    FusedOnGpu,
    #[error(
        "burn trains the classic recipes only, and {name} has options: name the classic models \
         with --only, or leave out --trainer burn and --device wgpu"
    )]
    BurnIsClassic { name: &'static str },
    #[error("there is no GPU for --device wgpu ({why}); train with --device cpu")]
    NoGpu { why: String },
    #[error(
        "{} cannot be read ({source}); move it away, or train all models to replace it",
        path.display()
    )]
    UnreadableManifest {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0}; or train all models to replace it")]
    BadManifest(WeightsError),
    #[error("{model}, seed {seed}: {source}; nothing was changed")]
    Training {
        model: String,
        seed: u64,
        source: TrainError,
    },
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("the {what} of {model} cannot be made ({why}); nothing was changed")]
    Artifact {
        what: &'static str,
        model: String,
        why: String,
    },
    #[error("interrupted; nothing was changed")]
    Interrupted,
    #[error("Ctrl-C cannot be caught ({0}); nothing was changed")]
    Handler(#[from] ctrlc::Error),
}

impl CommandError {
    fn status(&self) -> u8 {
        match self {
            CommandError::Interrupted => 130,
            CommandError::Training { .. } => 1,
            _ => 2,
        }
    }
}

fn names() -> String {
    let all = experiment::all().chain([&TEMPERED]);
    let names: Vec<&str> = all.map(|e| e.name).collect();
    names.join(", ")
}

fn names_with_options() -> String {
    let with_options = experiment::all().filter(|e| !e.options.is_classic());
    let names: Vec<&str> = with_options.map(|e| e.name).collect();
    names.join(", ")
}

/// Runs the program on the process's arguments. An error is one line on stderr; the status is 2
/// for bad input and files that cannot be written, 1 for a training that fails, and 130 after
/// Ctrl-C. Nothing in the target folder is changed unless the status is 0.
pub fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("train-distill: {error}");
            ExitCode::from(error.status())
        }
    }
}

fn run(args: &Args) -> Result<(), CommandError> {
    if args.list {
        print!("{}", report::experiments_table());
        return Ok(());
    }
    let experiments = chosen(args)?;
    if let Some(name) = &args.pytorch {
        let named = experiments.iter().find(|e| e.name == name);
        let recipe = named.map(Recipe::of);
        let recipe = recipe.ok_or_else(|| CommandError::UnknownModel { name: name.clone() })?;
        print!("{}", pytorch::script(&recipe, args.seed));
        return Ok(());
    }
    if let Some(name) = &args.ablate {
        return tabulate(args, name, "ablation", &experiments, ablation::row);
    }
    if let Some(name) = &args.objectives {
        return tabulate(
            args,
            name,
            "objectives",
            &experiments,
            ablation::objective_row,
        );
    }
    let runner = runner(args)?;
    if let Runner::Burn(_) = runner
        && let Some(name) = with_options(args, &experiments)
    {
        return Err(CommandError::BurnIsClassic { name });
    }
    let mut staging = Staging::open(&args.out)?;
    // Only a part is trained: the rest of the manifest has to be known, and had better be sound
    // before minutes are spent.
    let old = match args.only.is_empty() {
        true => None,
        false => existing_manifest(&args.out)?,
    };

    let interrupted = interrupted()?;
    let runs = train_models(args, &experiments, &runner, interrupted)?;
    let mut entries = Vec::new();
    for (experiment, scored) in experiments.iter().zip(runs) {
        entries.push(stage(args, experiment, &scored, &mut staging)?);
    }
    let tempered = match wants_tempered(args) {
        true => Some(stage_tempered(args, &mut staging, interrupted)?),
        false => None,
    };
    let manifest = report::merge(old, entries, tempered);
    let text = manifest::to_json(&manifest).map_err(artifact("manifest", "all models"))?;
    staging.write("manifest.json", text.as_bytes())?;
    // From here on Ctrl-C comes too late: the renames take a moment and end in a whole set.
    if interrupted.load(Ordering::Relaxed) {
        return Err(CommandError::Interrupted);
    }
    staging.commit()?;
    print!("{}", report::models_table(&manifest));
    print!("{}", report::ensemble_table(&manifest));
    if let Some(tempered) = &manifest.tempered {
        print!("{}", tempered::scores_table(tempered));
    }
    Ok(())
}

/// Whether the model of every temperature is to be trained.
fn wants_tempered(args: &Args) -> bool {
    args.only.is_empty() || args.only.iter().any(|name| name == TEMPERED.name)
}

/// The first of the models to train whose recipe has options.
fn with_options(args: &Args, experiments: &[Experiment]) -> Option<&'static str> {
    let model = experiments.iter().find(|e| !e.options.is_classic());
    let tempered = wants_tempered(args).then_some(TEMPERED.name);
    model.map(|e| e.name).or(tempered)
}

/// A flag that Ctrl-C raises.
fn interrupted() -> Result<&'static AtomicBool, CommandError> {
    let interrupted: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    ctrlc::set_handler(|| interrupted.store(true, Ordering::Relaxed))?;
    Ok(interrupted)
}

/// Trains variants of the recipe called `name`, scores them by `row`, and writes the table, whose
/// file says its `kind`.
fn tabulate(
    args: &Args,
    name: &str,
    kind: &str,
    variants: &[Experiment],
    row: fn(&str, &[Scored]) -> Row,
) -> Result<(), CommandError> {
    let mut staging = Staging::open(&args.out)?;
    let interrupted = interrupted()?;
    let runs = train_models(args, variants, &Runner::Fused, interrupted)?;
    let rows = variants.iter().zip(&runs);
    let ablation = Ablation {
        experiment: name.to_owned(),
        seeds: (0..args.seeds).map(|i| args.seed + i).collect(),
        rows: rows.map(|(e, runs)| row(e.name, runs)).collect(),
    };
    let text = table::to_json(&ablation).map_err(artifact("table", name))?;
    staging.write(format!("{name}.{kind}.json"), text.as_bytes())?;
    if interrupted.load(Ordering::Relaxed) {
        return Err(CommandError::Interrupted);
    }
    staging.commit()?;
    print!("{}", ablation::text(&ablation));
    Ok(())
}

/// The experiments to train, in the order of the table: with --ablate or --objectives, the rows of
/// its table.
fn chosen(args: &Args) -> Result<Vec<Experiment>, CommandError> {
    let base = args.objectives.as_deref().map(lab::preset_named);
    for name in args.only.iter().chain(&args.ablate).chain(&args.objectives) {
        let is_named = Experiment::named(name).is_some() || name == TEMPERED.name;
        if !is_named && base.flatten().is_none_or(|base| base.name != name) {
            return Err(CommandError::UnknownModel { name: name.clone() });
        }
    }
    if args.iterations == Some(0) {
        return Err(CommandError::Zero {
            argument: "iterations",
        });
    }
    if args.seeds == 0 {
        return Err(CommandError::Zero { argument: "seeds" });
    }
    if args.seed.checked_add(args.seeds - 1).is_none() {
        return Err(CommandError::SeedTooLarge {
            seed: args.seed,
            seeds: args.seeds,
        });
    }
    let iterations = |e: &Experiment| Experiment {
        iterations: args.iterations.unwrap_or(e.iterations),
        ..*e
    };
    if let Some(name) = &args.ablate {
        let base = Experiment::named(name).map(iterations);
        let variants = base.as_ref().map(ablation::variants).unwrap_or_default();
        return match variants.is_empty() {
            true => Err(CommandError::NoOptions { name: name.clone() }),
            false => Ok(variants),
        };
    }
    if let Some(base) = base.flatten() {
        return Ok(ablation::objectives(&iterations(base)));
    }
    let only: BTreeSet<&str> = args.only.iter().map(String::as_str).collect();
    let wanted = |e: &&Experiment| only.is_empty() || only.contains(e.name);
    let experiments = experiment::all().filter(wanted);
    Ok(experiments.map(iterations).collect())
}

fn runner(args: &Args) -> Result<Runner, CommandError> {
    match (args.trainer, args.device) {
        (None | Some(TrainerName::Fused), DeviceName::Cpu) => Ok(Runner::Fused),
        (Some(TrainerName::Burn), DeviceName::Cpu) => Ok(Runner::Burn(Device::flex())),
        (Some(TrainerName::Fused), DeviceName::Wgpu) => Err(CommandError::FusedOnGpu),
        (None | Some(TrainerName::Burn), DeviceName::Wgpu) => Device::wgpu_options()
            .init()
            .map(Runner::Burn)
            .map_err(|error| CommandError::NoGpu {
                // One line, whatever the drivers say.
                why: error.to_string().replace('\n', " "),
            }),
    }
}

fn existing_manifest(out: &Path) -> Result<Option<Manifest>, CommandError> {
    let path = out.join("manifest.json");
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).map_err(|source| CommandError::UnreadableManifest {
        path: path.clone(),
        source,
    })?;
    let manifest = manifest::parse(&path.display().to_string(), &text);
    manifest.map(Some).map_err(CommandError::BadManifest)
}

/// Trains every seed of every experiment, and returns the scored runs by experiment, in the order
/// of the seeds.
fn train_models(
    args: &Args,
    experiments: &[Experiment],
    runner: &Runner,
    interrupted: &AtomicBool,
) -> Result<Vec<Vec<Scored>>, CommandError> {
    let subjects: Vec<Subject> = experiments.iter().map(Subject::of).collect();
    let train_one = |index: usize, seed: u64, watch: &mut Watch| {
        // Only the first seed's model is written, with its history.
        let keep = match seed == args.seed {
            true => report::moments(subjects[index].iterations),
            false => Vec::new(),
        };
        let recipe = Recipe::of(&experiments[index]);
        match runner {
            Runner::Fused => train(&recipe, seed, &keep, watch),
            Runner::Burn(device) => train_with_burn(&recipe, seed, device, &keep, watch),
        }
    };
    let runs = train_all(args, &subjects, interrupted, train_one)?;
    let scored = experiments.iter().zip(runs).map(|(experiment, runs)| {
        let score = |(seed, trained)| {
            let recipe = Recipe::of(experiment);
            Scored::new(experiment.name, recipe, seed, trained)
        };
        runs.into_iter().map(score).collect()
    });
    Ok(scored.collect())
}

/// Trains every seed of the model of every temperature, stages its file and returns its entry.
fn stage_tempered(
    args: &Args,
    staging: &mut Staging,
    interrupted: &AtomicBool,
) -> Result<TemperedEntry, CommandError> {
    let mut recipe = TemperedRecipe::bundled();
    recipe.base.iterations = args.iterations.unwrap_or(recipe.base.iterations);
    let subject = Subject {
        name: TEMPERED.name,
        iterations: recipe.base.iterations,
    };
    let mut runs = train_all(args, &[subject], interrupted, |_, seed, watch| {
        train_tempered(&recipe, seed, watch)
    })?;
    let runs = runs.remove(0);
    let scored = runs
        .iter()
        .map(|(seed, (model, history))| tempered::scored(&recipe, *seed, model, history));
    let ensemble = scored.collect();
    let (seed, (model, _)) = &runs[0];
    let bytes =
        tempered::serialized(&recipe, *seed, model).map_err(artifact("recipe", TEMPERED.name))?;
    let entry = tempered::entry(recipe, &bytes, ensemble);
    staging.write(&entry.file, &bytes)?;
    Ok(entry)
}

/// What is trained, to a progress bar.
struct Subject {
    name: &'static str,
    iterations: usize,
}

impl Subject {
    fn of(experiment: &Experiment) -> Self {
        Subject {
            name: experiment.name,
            iterations: experiment.iterations,
        }
    }
}

/// Hears of every iteration of a run and can end it.
type Watch<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// Trains every seed of every subject by `train_one`, on as many threads as there are cores (a GPU
/// takes one run at a time), and returns seeds and runs by subject, in the order of the seeds.
fn train_all<T: Send>(
    args: &Args,
    subjects: &[Subject],
    interrupted: &AtomicBool,
    train_one: impl Fn(usize, u64, &mut Watch) -> Result<T, TrainError> + Sync,
) -> Result<Vec<Vec<(u64, T)>>, CommandError> {
    /// Iterations between two looks at the bar: text costs time as well.
    const REFRESH: usize = 25;
    let mut jobs: Vec<(usize, u64)> = (0..subjects.len())
        .flat_map(|index| (0..args.seeds).map(move |i| (index, args.seed + i)))
        .collect();
    // The longest first: the threads then end at about the same time.
    jobs.sort_by_key(|&(index, _)| std::cmp::Reverse(subjects[index].iterations));
    let threads = match args.device {
        DeviceName::Cpu => thread::available_parallelism().map_or(1, usize::from),
        DeviceName::Wgpu => 1,
    };

    let bars = MultiProgress::with_draw_target(match args.quiet {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    });
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                while let Some(&(index, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let bar = bars.add(progress_bar(&subjects[index], seed));
                    let mut watch = |progress: &Progress| {
                        if progress.iteration.is_multiple_of(REFRESH) {
                            bar.set_position(progress.iteration as u64);
                            bar.set_message(format!(
                                "loss {:.4}, log Z {:.3}",
                                progress.loss, progress.log_z
                            ));
                        }
                        let stop = [interrupted, &failed].map(|flag| flag.load(Ordering::Relaxed));
                        match stop.contains(&true) {
                            true => ControlFlow::Break(()),
                            false => ControlFlow::Continue(()),
                        }
                    };
                    let outcome = train_one(index, seed, &mut watch);
                    bars.remove(&bar);
                    if outcome.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    let mut outcomes = outcomes.lock().unwrap_or_else(|e| e.into_inner());
                    outcomes.push((index, seed, outcome));
                }
            });
        }
    });

    let mut runs: Vec<Vec<(u64, T)>> = subjects.iter().map(|_| Vec::new()).collect();
    let mut outcomes = outcomes.into_inner().unwrap_or_else(|e| e.into_inner());
    if interrupted.load(Ordering::Relaxed) {
        return Err(CommandError::Interrupted);
    }
    // Runs that were stopped because another failed come after the one that says why.
    outcomes.sort_by_key(|(index, seed, outcome)| {
        let stopped = matches!(outcome, Err(TrainError::Stopped { .. }));
        (stopped, *index, *seed)
    });
    for (index, seed, outcome) in outcomes {
        let trained = outcome.map_err(|source| CommandError::Training {
            model: subjects[index].name.to_owned(),
            seed,
            source,
        })?;
        runs[index].push((seed, trained));
    }
    Ok(runs)
}

fn progress_bar(subject: &Subject, seed: u64) -> ProgressBar {
    const TEMPLATE: &str =
        "{prefix:21} [{wide_bar}] {pos:>5}/{len} {per_sec:>11} {eta:>4} left, {msg}";
    let style =
        ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(subject.iterations as u64)
        .with_style(style.progress_chars("=> "))
        .with_prefix(format!("{} {seed}", subject.name))
}

fn artifact<E: ToString>(what: &'static str, model: &str) -> impl FnOnce(E) -> CommandError {
    let model = model.to_owned();
    move |error| CommandError::Artifact {
        what,
        model,
        why: error.to_string(),
    }
}

/// Stages the files of one experiment and returns its entry. `runs` are its seeds; the first is
/// the one that is written.
fn stage(
    args: &Args,
    experiment: &Experiment,
    runs: &[Scored],
    staging: &mut Staging,
) -> Result<ModelEntry, CommandError> {
    let name = experiment.name;
    let scored = &runs[0];
    let ensemble = match runs.len() {
        1 => Vec::new(),
        _ => runs.iter().map(|run| run.result.clone()).collect(),
    };
    let model = scored.model().map_err(artifact("recipe", name))?;
    let bytes = weights::serialize(&model);
    let (snapshots, snapshots_entry) = scored.snapshots_file();
    staging.write(&snapshots_entry.file, &snapshots)?;
    let entry = scored.entry(&bytes, snapshots_entry, ensemble);
    let picture = figure::svg(scored, &entry.curve, experiment.plot_range())
        .map_err(artifact("figure", name))?;
    staging.write(&entry.file, &bytes)?;
    if args.format == Format::Onnx {
        staging.write(format!("{name}.onnx"), &onnx::serialize(&model.forward))?;
    }
    staging.write(format!("figures/{name}.svg"), picture.as_bytes())?;
    Ok(entry)
}
