//! A training run as a PyTorch script: the same target, networks, loss and schedules, in plain
//! code, for those who want to go on from it.
//!
//! The script is cut from a template, `script.py`, whose lines between `#: if NAME` and `#: end`
//! stay where the recipe has what NAME says. `tests/python/check_script.py` holds scripts against
//! the golden vectors.

use crate::archive::{BackwardRollouts, Priority};
use crate::balance::{BackwardLoop, BackwardMean};
use crate::exploration::Exploration;
use crate::objective::FLOW_RATE;
use crate::objective::Objective;
use crate::options::Schedule;
use crate::policy::Inputs;
use crate::weights::manifest::Recipe;
use std::fmt::Write;

const TEMPLATE: &str = include_str!("script.py");

/// The script of a run of `recipe` from `seed`. The random numbers are PyTorch's own, so a run
/// comes out alike, not equal.
pub fn script(recipe: &Recipe, seed: u64) -> String {
    let (settings, flags) = describe(recipe, seed);
    let mut script = String::new();
    // Whether the recipe has what each open `if` says, the innermost last.
    let mut open: Vec<bool> = Vec::new();
    for line in TEMPLATE.lines() {
        match line.strip_prefix("#: ") {
            None if open.iter().all(|&holds| holds) => {
                script.push_str(line);
                script.push('\n');
            }
            None => {}
            Some("end") => drop(open.pop()),
            Some(command) => match command.strip_prefix("if ") {
                Some(flag) => open.push(flags.contains(&flag)),
                None => script.push_str(&settings),
            },
        }
    }
    script
}

/// The constants at the script's head, and the names of what the recipe has.
fn describe(recipe: &Recipe, seed: u64) -> (String, Vec<&'static str>) {
    let options = &recipe.options;
    let mut flags = Vec::new();
    let mut numbers: Vec<(&str, f64)> = Vec::new();

    let objective = options.objective;
    if objective.learns_flow() {
        flags.push("learned_flow");
        numbers.push(("FLOW_RATE", FLOW_RATE));
    } else {
        flags.push("whole");
    }
    if objective.learns_log_z() {
        flags.push("learned_log_z");
    }
    match objective {
        Objective::TrajectoryBalance => flags.push("trajectory_balance"),
        Objective::LogVariance => flags.push("log_variance"),
        Objective::ReverseKl => flags.push("reverse_kl"),
        // The pairs of neighbours, and no others.
        Objective::DetailedBalance => numbers.push(("PAIR_WEIGHT", 0.0)),
        Objective::SubTrajectoryBalance { lambda } => numbers.push(("PAIR_WEIGHT", lambda)),
    }

    flags.push(match options.inputs {
        Inputs::Raw => "raw",
        Inputs::StepFeatures { .. } => "features",
    });
    match options.backward_mean {
        BackwardMean::Net => flags.extend(["net", "learned_backward"]),
        BackwardMean::Bridge => flags.extend(["bridge", "learned_backward"]),
        BackwardMean::FixedBridge { step_std } => {
            flags.push("fixed_bridge");
            numbers.push(("BRIDGE_STD", step_std));
        }
    }
    flags.push(match recipe.backward_loop {
        BackwardLoop::Correct => "correct",
        BackwardLoop::CountsForced => "counts_forced",
        BackwardLoop::DropsReal => "drops_real",
    });

    // Reverse KL is a mean under the forward policy alone.
    let explores = objective.is_off_policy();
    match recipe.exploration {
        Exploration::Constant { std } if explores => {
            flags.push("constant_noise");
            numbers.push(("EXPLORE_STD", std));
        }
        Exploration::Linear { from_std, to_std } if explores => {
            flags.push("line");
            numbers.extend(line(from_std, to_std, 1.0));
        }
        Exploration::LinearByFraction {
            from_std,
            to_std,
            fraction,
        } if explores => {
            flags.push("line");
            numbers.extend(line(from_std, to_std, fraction));
        }
        _ => flags.push("on_policy"),
    }
    let mut counts = vec![
        ("STEPS", recipe.steps),
        ("HIDDEN", recipe.hidden),
        ("BATCH", recipe.batch),
        ("ITERATIONS", recipe.iterations),
        (
            "FIRST_COUNTED",
            *recipe.backward_loop.counted_steps(recipe.steps).start(),
        ),
    ];
    let rows = options.backward_rollouts.rows(recipe.batch);
    match options.backward_rollouts {
        BackwardRollouts::Archive {
            from_iteration,
            priority,
            ..
        } if explores => {
            flags.extend(["replay", "archive"]);
            counts.extend([("REPLAY_ROWS", rows), ("REPLAY_FROM", from_iteration)]);
            match priority {
                Priority::Rank => flags.push("by_rank"),
                Priority::Reward => {
                    flags.push("by_reward");
                    numbers.push(("REPLAY_POWER", 1.0));
                }
            }
        }
        BackwardRollouts::Tempered { exponent, .. } if explores => {
            flags.extend(["replay", "tempered", "by_reward"]);
            counts.extend([("REPLAY_ROWS", rows), ("REPLAY_FROM", 0)]);
            numbers.push(("REPLAY_POWER", exponent));
        }
        _ => flags.push("no_replay"),
    }
    match options.learning_rates {
        Schedule::Constant => flags.push("constant_rates"),
        Schedule::WarmUpCosine { warm_up, last } => {
            flags.push("cosine");
            counts.push(("WARM_UP", warm_up));
            numbers.push(("LAST_FACTOR", last));
        }
    }
    let stds = options.std_range;
    numbers.extend([
        ("MIN_STD", stds.min_std),
        ("MAX_STD", stds.max_std),
        ("START", recipe.start),
        ("LEARNING_RATE", recipe.learning_rate),
        ("ADAM_BETA_2", recipe.adam_beta_2),
    ]);
    if objective.learns_log_z() {
        numbers.push(("LOG_Z_LEARNING_RATE", recipe.log_z_learning_rate));
    }

    let mut head = format!(
        "\"\"\"A GFlowNet that draws from a mixture on the real line, trained by {}.\n\n\
         Made by gflownet-tour. It needs PyTorch (pip install torch). The settings are those of the\n\
         run it was made from; the random numbers are PyTorch's, so it comes out alike, not equal.\n\
         \"\"\"\n\nimport math\n\nimport torch\n\ntorch.manual_seed({seed})\n\n\
         # The target: means, standard deviations and weights of its modes.\n",
        objective.title()
    );
    let list = |of: &dyn Fn(usize) -> f64| {
        let items: Vec<String> = (0..recipe.modes.len()).map(|i| python(of(i))).collect();
        items.join(", ")
    };
    let lists = [
        ("MEANS", list(&|i| recipe.modes[i].mean)),
        ("STDS", list(&|i| recipe.modes[i].var.sqrt())),
        ("WEIGHTS", list(&|i| recipe.modes[i].weight)),
    ];
    // Writing to a string cannot fail.
    for (name, items) in lists {
        let _ = writeln!(head, "{name} = torch.tensor([{items}])");
    }
    head.push_str("# The run.\n");
    for (name, value) in counts {
        let _ = writeln!(head, "{name} = {value}");
    }
    for (name, value) in numbers {
        let _ = writeln!(head, "{name} = {}", python(value));
    }
    (head, flags)
}

fn line(from_std: f64, to_std: f64, fraction: f64) -> [(&'static str, f64); 3] {
    [
        ("EXPLORE_FROM", from_std),
        ("EXPLORE_TO", to_std),
        ("EXPLORE_FRACTION", fraction),
    ]
}

/// A number as Python reads it: always a float, with every digit.
fn python(value: f64) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment;
    use crate::options::Options;

    fn names_are_defined(script: &str) {
        let defined = |name: &str| script.matches(&format!("\n{name} = ")).count() == 1;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for word in script.split(|c: char| !is_part(c)) {
            let is_constant = !["P_F", "P_B"].contains(&word)
                && word.len() > 2
                && word.contains(|c: char| c.is_ascii_uppercase())
                && !word.contains(|c: char| c.is_ascii_lowercase());
            if is_constant {
                assert!(defined(word), "{word} is not defined:\n{script}");
            }
        }
    }

    /// Every recipe that can be named gives a script whose constants are all defined, once.
    #[test]
    fn every_recipe_has_a_whole_script() {
        let mut recipes: Vec<Recipe> = experiment::all().map(Recipe::of).collect();
        let classic = recipes[3].clone();
        let with = |options: Options| Recipe {
            options,
            ..classic.clone()
        };
        for objective in Objective::ALL {
            recipes.push(with(Options {
                objective,
                ..Options::CLASSIC
            }));
        }
        recipes.push(with(Options {
            backward_mean: BackwardMean::FixedBridge { step_std: 0.7 },
            backward_rollouts: BackwardRollouts::Tempered {
                rows: 50,
                exponent: 0.5,
            },
            ..Options::CLASSIC
        }));
        recipes.push(Recipe {
            exploration: Exploration::Constant { std: 0.5 },
            ..with(Options {
                backward_rollouts: BackwardRollouts::Archive {
                    rows: 20,
                    from_iteration: 5,
                    priority: Priority::Rank,
                },
                ..Options::CLASSIC
            })
        });
        for recipe in recipes {
            let script = script(&recipe, 7);
            names_are_defined(&script);
            assert!(!script.contains("#:"), "{script}");
            for function in ["log_reward", "draw", "terms", "loss_of", "train", "report"] {
                let head = format!("\ndef {function}(");
                assert_eq!(script.matches(&head).count(), 1, "{function}");
            }
            // Each body has its one way out.
            for function in ["backward_law", "extra_std", "rate_factor"] {
                let body = script.split(&format!("def {function}(")).nth(1).unwrap();
                let body = body.split("\n\n\n").next().unwrap();
                assert_eq!(body.matches("return").count(), 1, "{body}");
            }
            let loss = script.split("def loss_of(").nth(1).unwrap();
            let loss = loss.split("\n\n\n").next().unwrap();
            assert_eq!(loss.matches("return").count(), 1, "{loss}");
        }
    }

    #[test]
    fn the_settings_are_the_runs() {
        let script = script(&Recipe::of(&experiment::EXPERIMENTS[4]), 4444);
        for line in [
            "torch.manual_seed(4444)",
            "MEANS = torch.tensor([-3.0, 4.0, 6.0, 10.0])",
            "ITERATIONS = 10000",
            "ADAM_BETA_2 = 0.99",
            "EXPLORE_FROM = 2.0",
            "FIRST_COUNTED = 2",
        ] {
            assert!(script.lines().any(|l| l == line), "{line}");
        }
    }
}
