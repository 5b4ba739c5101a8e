//! Native benchmarks, by criterion: `bench_native FOLDER` writes FOLDER/native.json.

#[cfg(target_arch = "x86_64")]
mod peak;
#[path = "results.rs"]
mod results;

use burn::tensor::Device;
use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use gflownet_tour::density::{Laws, Tails, TerminalDensity};
use gflownet_tour::experiment::EXPERIMENTS;
use gflownet_tour::mixture::Mode;
use gflownet_tour::noise::Noise;
use gflownet_tour::policy::Policy;
use gflownet_tour::rollout::Rollout;
use gflownet_tour::sampler::Sampler;
use gflownet_tour::simd::Level;
use gflownet_tour::table::Table;
use gflownet_tour::train::train_with_burn;
use gflownet_tour::trainer::Trainer;
use gflownet_tour::weights::{self, manifest::Recipe};
use results::{Measured, Results, command};
use std::error::Error;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

const ROLLOUT: Rollout = Rollout {
    start: 0.0,
    steps: 5,
    sigma_scale: 1.0,
    extra_std: 0.0,
    seed: 1,
    first: 0,
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args().nth(1).ok_or("usage: bench_native FOLDER")?);
    let policy = four_mode()?;
    let raw = folder.join("criterion");
    let mut criterion = Criterion::default()
        .output_directory(&raw)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500));
    sampling(&mut criterion, &policy);
    density(&mut criterion, &policy);
    training(&mut criterion);
    matrix_product(&mut criterion);
    #[cfg(target_arch = "x86_64")]
    multiply_adds(&mut criterion);

    let levels = Level::all();
    let mut results = Results {
        command: command(),
        about: vec![
            "median and its 95 % confidence interval, by criterion".into(),
            format!(
                "this machine's vectors: {}",
                levels
                    .iter()
                    .map(|l| l.name())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ],
        results: Vec::new(),
    };
    collect(&raw, &mut results)?;
    results.results.sort_by(|a, b| a.id.cmp(&b.id));
    results.write(&folder.join("native.json"))?;
    fs::remove_dir_all(&raw)?;
    Ok(())
}

fn four_mode() -> Result<Policy<f32>, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pretrained/four_mode.safetensors");
    Ok(weights::parse("four_mode.safetensors", &fs::read(path)?)?.forward)
}

fn draw(sampler: &Sampler, rollout: &Rollout, count: usize) {
    sampler.draw_blocks(rollout, count, &mut |block| {
        black_box(block.terminals());
    });
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, id: String, mut f: impl FnMut()) {
    group.bench_function(id, |b| b.iter(&mut f));
}

fn sampling(criterion: &mut Criterion, policy: &Policy<f32>) {
    let mut group = criterion.benchmark_group("network");
    for level in Level::all() {
        let sampler = Sampler::at(level, policy);
        for count in [2_000, 100_000] {
            let id = format!("{}, {count} trajectories", level.name());
            bench(&mut group, id, || draw(&sampler, &ROLLOUT, count));
        }
    }
    let best = Sampler::new(policy);
    bench(
        &mut group,
        "two threads, 100000 trajectories".into(),
        || {
            thread::scope(|scope| {
                for half in 0..2u32 {
                    let sampler = &best;
                    scope.spawn(move || {
                        let first = half * 50_000;
                        draw(sampler, &Rollout { first, ..ROLLOUT }, 50_000);
                    });
                }
            });
        },
    );
    for count in [1_000, 10_000, 1_000_000] {
        let id = format!("best, {count} trajectories");
        bench(&mut group, id, || draw(&best, &ROLLOUT, count));
    }
    for steps in [1, 2, 5, 10, 20] {
        let id = format!("best, 20000 trajectories of {steps} steps");
        bench(&mut group, id, || {
            draw(&best, &Rollout { steps, ..ROLLOUT }, 20_000)
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("table");
    bench(&mut group, "build".into(), || {
        black_box(Table::new(policy, 0.0, 5));
    });
    for level in Level::all() {
        let sampler = Sampler::at(level, policy).tabulated(0.0, 5);
        let id = format!("{}, 1000000 trajectories", level.name());
        bench(&mut group, id, || draw(&sampler, &ROLLOUT, 1_000_000));
    }
    let best = Sampler::new(policy).tabulated(0.0, 20);
    for count in [1_000, 10_000, 100_000] {
        let id = format!("best, {count} trajectories");
        bench(&mut group, id, || draw(&best, &ROLLOUT, count));
    }
    for steps in [1, 2, 5, 10, 20] {
        let id = format!("best, 200000 trajectories of {steps} steps");
        bench(&mut group, id, || {
            draw(&best, &Rollout { steps, ..ROLLOUT }, 200_000)
        });
    }
    group.finish();
}

fn density(criterion: &mut Criterion, policy: &Policy<f32>) {
    let mut group = criterion.benchmark_group("density");
    let (lo, hi) = EXPERIMENTS[4].plot_range();
    let network = Sampler::new(policy);
    let table = network.clone().tabulated(0.0, 5);
    let of = |laws: &dyn Fn() -> TerminalDensity| {
        black_box(laws().averages(lo, hi, 401));
    };
    fn bulk(laws: &impl Laws) -> TerminalDensity {
        TerminalDensity::with_tails(laws, 0.0, 5, 1.0, Tails::Bulk)
    }
    let plain = policy.cast::<f64>();
    bench(&mut group, "401 cells, plain f64 network".into(), || {
        of(&|| bulk(&plain))
    });
    bench(&mut group, "401 cells, vector network".into(), || {
        of(&|| bulk(&network))
    });
    bench(&mut group, "401 cells, table".into(), || {
        of(&|| bulk(&table))
    });
    group.finish();
}

fn training(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training iteration");
    let recipe = Recipe::of(&EXPERIMENTS[0]);
    for level in Level::all() {
        let mut trainer = Trainer::new(&recipe, 1).at(level);
        bench(&mut group, level.name().into(), || {
            black_box(trainer.step());
        });
    }
    let two = |level: Level| {
        let mut trainers = [1, 2].map(|seed| Trainer::new(&recipe, seed).at(level));
        move || {
            thread::scope(|scope| {
                for trainer in &mut trainers {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            black_box(trainer.step());
                        }
                    });
                }
            });
        }
    };
    let mut both = two(Level::best());
    bench(
        &mut group,
        "20 of each of two runs on two threads".into(),
        &mut both,
    );
    for modes in [1usize, 2, 4, 8, 16] {
        let recipe = Recipe {
            modes: (0..modes).map(|k| Mode::new(k as f64, 0.2)).collect(),
            ..recipe.clone()
        };
        let mut trainer = Trainer::new(&recipe, 1);
        bench(&mut group, format!("best, {modes} modes"), || {
            black_box(trainer.step());
        });
    }
    for steps in [1, 2, 5, 10, 20] {
        let recipe = Recipe {
            steps,
            ..recipe.clone()
        };
        let mut trainer = Trainer::new(&recipe, 1);
        bench(&mut group, format!("best, {steps} steps"), || {
            black_box(trainer.step());
        });
    }
    group.bench_function("burn, flex", |b| {
        b.iter_custom(|iterations| {
            let recipe = Recipe {
                iterations: iterations as usize,
                ..recipe.clone()
            };
            let begin = Instant::now();
            let trained = train_with_burn(&recipe, 1, &Device::flex(), &[], |_| {
                ControlFlow::Continue(())
            });
            black_box(trained.map(|t| t.log_z).ok());
            begin.elapsed()
        });
    });
    group.finish();
}

/// What bounds a training iteration: its matrix products alone, six of [1024, 64] x [64, 64]
/// (forward, backward and weights of both networks), by a well-kept gemm.
fn matrix_product(criterion: &mut Criterion) {
    let (m, n, k) = (1_024usize, 64usize, 64usize);
    let noise = Noise::new(1);
    let matrix = |len: usize| -> Vec<f32> { (0..len as u32).map(|i| noise.normal(i, 0)).collect() };
    let (a, b) = (matrix(m * k), matrix(k * n));
    let mut c = vec![0.0f32; m * n];
    let mut group = criterion.benchmark_group("matrix product");
    bench(&mut group, "six of 1024 x 64 x 64".into(), || {
        for _ in 0..6 {
            // SAFETY: the three matrices are row-major and as large as m, n and k say.
            unsafe {
                gemm::gemm(
                    m,
                    n,
                    k,
                    c.as_mut_ptr(),
                    1,
                    n as isize,
                    false,
                    a.as_ptr(),
                    1,
                    k as isize,
                    b.as_ptr(),
                    1,
                    n as isize,
                    0.0f32,
                    1.0f32,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
            black_box(&c);
        }
    });
    group.finish();
}

/// What bounds the sampling of 100,000 trajectories: its multiply-adds alone.
#[cfg(target_arch = "x86_64")]
fn multiply_adds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("multiply-adds");
    for (level, mut work) in peak::all() {
        let id = format!("{level}, of 100000 trajectories");
        bench(&mut group, id, &mut work);
    }
    group.finish();
}

/// Reads what criterion wrote.
fn collect(folder: &Path, into: &mut Results) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let (about, estimates) = (path.join("benchmark.json"), path.join("estimates.json"));
        if path.ends_with("new") && about.is_file() && estimates.is_file() {
            let about: serde_json::Value = serde_json::from_slice(&fs::read(about)?)?;
            let estimates: serde_json::Value = serde_json::from_slice(&fs::read(estimates)?)?;
            let ms = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN) / 1e6;
            let median = &estimates["median"];
            into.results.push(Measured {
                id: about["full_id"].as_str().unwrap_or_default().to_owned(),
                median_ms: ms(&median["point_estimate"]),
                low_ms: ms(&median["confidence_interval"]["lower_bound"]),
                high_ms: ms(&median["confidence_interval"]["upper_bound"]),
            });
        } else {
            collect(&path, into)?;
        }
    }
    Ok(())
}
