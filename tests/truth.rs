//! The exact mathematics behind the pictures, held against the bundled models and the golden
//! vectors: what a wrong loop asks for is what its model learned.

mod support;

use gflownet_tour::balance::BackwardLoop;
use gflownet_tour::density::TerminalDensity;
use gflownet_tour::experiment::Experiment;
use gflownet_tour::flow::{Backward, Flow, Retargeted, first_step_entropy, forced_density};
use gflownet_tour::policy::Policy;
use gflownet_tour::trace::{self, Term, Trace};
use gflownet_tour::weights::manifest::{self, ModelEntry};
use gflownet_tour::weights::{self, Model};
use std::f64::consts::{E, TAU};
use std::fs;
use std::path::Path;
use support::golden::{self, Gradient};

fn read(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("pretrained")
        .join(file);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A bundled model, with all that a test wants of it.
struct Bundled {
    entry: ModelEntry,
    experiment: &'static Experiment,
    forward: Policy<f64>,
    backward: Policy<f64>,
    log_z: f64,
}

fn bundled() -> Vec<Bundled> {
    let text = String::from_utf8(read("manifest.json")).unwrap();
    let manifest = manifest::parse("manifest.json", &text).unwrap();
    let models = manifest.models.into_iter().map(|entry| {
        let Model {
            forward,
            backward,
            log_z,
            ..
        } = weights::parse(&entry.file, &read(&entry.file)).unwrap();
        Bundled {
            experiment: Experiment::named(&entry.name).unwrap(),
            entry,
            forward: forward.cast(),
            backward: backward.cast(),
            log_z: f64::from(log_z),
        }
    });
    models.collect()
}

fn trained_with(counted: BackwardLoop) -> Vec<Bundled> {
    let models = bundled().into_iter();
    models
        .filter(|model| model.experiment.backward_loop == counted)
        .collect()
}

impl Bundled {
    fn terminal(&self) -> TerminalDensity {
        let Experiment { start, steps, .. } = *self.experiment;
        TerminalDensity::of(&self.forward, start, steps, 1.0)
    }

    fn backward(&self) -> Backward<'_, Policy<f64>> {
        Backward {
            network: &self.backward,
            mean: self.experiment.options.backward_mean,
            start: self.experiment.start,
        }
    }

    fn retargeted(&self) -> Retargeted {
        let Experiment { start, steps, .. } = *self.experiment;
        Retargeted::of(&self.backward(), &self.experiment.target(), start, steps)
    }

    fn flow(&self) -> Flow {
        let Experiment { start, steps, .. } = *self.experiment;
        let target = self.experiment.target();
        Flow::of(
            &self.forward,
            &self.backward(),
            self.log_z,
            &target,
            start,
            steps,
        )
    }
}

/// The buggy model is the right answer to a wrong question.
#[test]
fn models_that_count_the_forced_step_sample_r_times_h() {
    let models = trained_with(BackwardLoop::CountsForced);
    assert!(!models.is_empty());
    for model in models {
        let answer = model.retargeted();
        let tv = answer.total_variation(&model.terminal());
        let nats = model.log_z - answer.log_partition();
        let name = &model.entry.name;
        eprintln!("{name}: TV to R·h/Z' {tv:.4}, log Z - log Z' {nats:+.4}");
        assert!(tv <= 0.06, "{name}: TV {tv}");
        assert!(nats.abs() <= 0.06, "{name}: {nats} nats");
        // And not to the question that was meant.
        assert!(model.entry.metrics.total_variation > 3.0 * tv, "{name}");
    }
}

/// The flow's panel: with the bug "the ratio shows the mean density of the forced step".
#[test]
fn the_log_ratio_of_a_buggy_model_is_log_h() {
    for model in trained_with(BackwardLoop::CountsForced) {
        let Experiment { start, steps, .. } = *model.experiment;
        let (lo, hi) = model.experiment.plot_range();
        let row = model.flow().row(steps, lo, hi, 401);
        let x: Vec<f64> = (0..401)
            .map(|i| lo + (hi - lo) * f64::from(i) / 400.0)
            .collect();
        let h = forced_density(&model.backward(), start, steps, &x);
        let (mut error, mut weight) = (0.0, 0.0);
        for (i, h) in h.iter().enumerate() {
            let log_ratio = row.log_forward[i] - row.log_backward[i];
            let flow = row.log_forward[i].exp();
            error += flow * (log_ratio - h.ln()).abs();
            weight += flow;
        }
        let error = error / weight;
        assert!(error < 0.1, "{}: {error} nats on average", model.entry.name);
    }
}

/// Relative agreement with a golden number, whose trajectories are printed to nine digits.
#[track_caller]
fn close(what: &str, got: f64, expected: f64, scale: f64) {
    let error = (got - expected).abs() / scale;
    assert!(error < 1e-5, "{what}: {got}, expected {expected}");
}

/// The terms of the golden trajectories, and the derivatives by them: those by the last layer's
/// biases are their sums.
#[test]
fn traces_of_the_golden_trajectories_agree() {
    for golden in golden::all() {
        let (forward, backward): (Policy<f64>, Policy<f64>) =
            (golden.forward.policy(), golden.backward.policy());
        let (target, given) = (golden.target(), &golden.trajectories);
        for (name, counted) in golden::LOOPS {
            let actions = given.actions.chunks(golden.env.steps);
            let traces: Vec<Trace> = actions
                .map(|actions| {
                    let states = golden.states(actions);
                    let log_z = golden.log_z;
                    Trace::of(&forward, &backward, log_z, &target, counted, &states)
                })
                .collect();
            for (i, trace) in traces.iter().enumerate() {
                let what = format!("{} {name} {i}", golden.name);
                let log_pf = given.log_pf[i];
                close(&what, trace.log_forward(), log_pf, log_pf.abs().max(1.0));
                let log_pb = given.log_pb[name][i];
                close(&what, trace.log_backward(), log_pb, log_pb.abs().max(1.0));
                let log_reward = given.log_reward[i];
                close(
                    &what,
                    trace.log_reward,
                    log_reward,
                    log_reward.abs().max(1.0),
                );
            }
            let mean = |value: &dyn Fn(&Trace) -> f64| {
                traces.iter().map(value).sum::<f64>() / traces.len() as f64
            };
            let loss = given.tb_loss[name];
            close(name, mean(&|trace| trace.residual.powi(2)), loss, loss);
            if counted != BackwardLoop::Correct {
                continue;
            }
            type Terms = fn(&Trace) -> &[Term];
            let sides: [(&str, Terms); 2] = [
                ("forward.b2", |trace| &trace.forward),
                ("backward.b2", |trace| &trace.backward),
            ];
            for (tensor, terms) in sides {
                let Gradient::Tensor { l2, first8 } = &given.grad_of_correct_tb_loss[tensor] else {
                    panic!("{tensor} is a scalar in the golden file");
                };
                let by: [fn(&Term) -> f64; 2] = [|term| term.by_mean, |term| term.by_raw_std];
                for (by, &expected) in by.iter().zip(first8) {
                    let got = mean(&|trace| terms(trace).iter().map(by).sum());
                    close(tensor, got, expected, *l2);
                }
            }
            let expected = given.grad_log_z.unwrap();
            let got = mean(&|trace| trace.by_log_z);
            close("log Z", got, expected, 2.0 * loss.sqrt());
        }
    }
}

/// The log-ratio of the two flows at the end is log Z·p(x) - log R(x), which other code computes.
#[test]
fn the_flows_meet_the_reward_and_the_terminal_density() {
    for model in bundled() {
        let Experiment { steps, .. } = *model.experiment;
        let target = model.experiment.target();
        let terminal = model.terminal();
        let (lo, hi) = model.experiment.plot_range();
        let row = model.flow().row(steps, lo, hi, 101);
        for (i, (log_forward, log_backward)) in
            row.log_forward.iter().zip(&row.log_backward).enumerate()
        {
            let x = lo + (hi - lo) * i as f64 / 100.0;
            let log_reward = target.log_reward(x);
            if log_reward > -30.0 {
                assert!((log_backward - log_reward).abs() < 1e-6, "{x}");
            }
            let expected = model.log_z + terminal.density(x).ln();
            if expected > -30.0 {
                assert!((log_forward - expected).abs() < 1e-6, "{x}");
            }
        }
    }
}

/// A loss that drops a real step asks for a first step that says nothing of the second: its log Z
/// lies above ln K, and not further than the entropy of the widest step.
#[test]
fn models_that_drop_a_real_step_inflate_log_z_within_the_bound() {
    for model in trained_with(BackwardLoop::DropsReal) {
        let entropy = first_step_entropy(&model.forward, model.experiment.start);
        let log_k = model.entry.log_z_true;
        let widest = 0.5 * (TAU * E).ln();
        let name = &model.entry.name;
        eprintln!(
            "{name}: log Z {:.4}, ln K + H(x_1|x_2) {:.4}, ln K + widest {:.4}, TV {:.4}",
            model.log_z,
            log_k + entropy,
            log_k + widest,
            model.entry.metrics.total_variation,
        );
        // "The model spends its first step on noise and undoes it with the second."
        assert!(entropy < widest && entropy > widest - 0.05, "{name}");
        assert!(model.log_z > log_k + 0.5, "{name}: {}", model.log_z);
        assert!(model.log_z < log_k + entropy, "{name}: {}", model.log_z);
        assert!(model.log_z > log_k + entropy - 0.1, "{name}");
        // "The samples are about right."
        assert!(model.entry.metrics.total_variation < 0.15, "{name}");
    }
}

/// The stepper on the collapsed model: walks to the missing mode are never drawn, and the loss
/// there would be enormous; on the other mode all is well.
#[test]
fn the_collapsed_model_never_meets_the_residuals_of_its_missing_mode() {
    let mut models = bundled().into_iter();
    let model = models.find(|m| m.entry.name == "hard_on_policy").unwrap();
    let Experiment { start, steps, .. } = *model.experiment;
    let target = model.experiment.target();
    let terminal = model.terminal();
    let middle = target.midpoints()[0];
    let chances = [
        terminal.mass_between(f64::NEG_INFINITY, middle),
        terminal.mass_between(middle, f64::INFINITY),
    ];
    let missing = usize::from(chances[1] < chances[0]);
    let walks = (model.entry.recipe.iterations * model.entry.recipe.batch) as f64;
    assert!(chances[missing] * walks < 1e-3, "{chances:?}");
    let residuals = |mode: usize| -> Vec<f64> {
        let from = model.experiment.modes[mode].mean;
        (0..50)
            .map(|walk| {
                let states = trace::walk_back(&model.backward(), start, steps, from, 1, walk);
                let counted = model.experiment.backward_loop;
                let (forward, backward) = (&model.forward, &model.backward());
                Trace::of(forward, backward, model.log_z, &target, counted, &states).residual
            })
            .collect()
    };
    let largest = |r: &[f64]| r.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let [never_met, met] = [residuals(missing), residuals(1 - missing)];
    eprintln!(
        "chances {chances:?}; residuals {:?}; {:?}",
        &never_met[..5],
        &met[..5]
    );
    assert!(largest(&never_met) < -10.0);
    assert!(met.iter().all(|r| r.abs() < 1.0));
}

/// The flow's panel: a perfect model has one flow, and "the solved models come close".
#[test]
fn the_solved_models_have_nearly_one_flow() {
    let mut solved = 0;
    for model in bundled() {
        if !model.entry.name.ends_with("_solved") {
            continue;
        }
        solved += 1;
        let (lo, hi) = model.experiment.plot_range();
        let flow = model.flow();
        let (mut error, mut weight) = (0.0, 0.0);
        for t in 1..=model.experiment.steps {
            let row = flow.row(t, lo, hi, 401);
            for (log_forward, log_backward) in row.log_forward.iter().zip(&row.log_backward) {
                // What has faded adds nothing, and its logarithm may be no number.
                if *log_forward > -30.0 {
                    error += log_forward.exp() * (log_forward - log_backward).abs();
                    weight += log_forward.exp();
                }
            }
        }
        let error = error / weight;
        assert!(error < 0.1, "{}: {error} nats on average", model.entry.name);
    }
    assert!(solved > 0, "no solved models are bundled");
}
