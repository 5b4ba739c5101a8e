//! The parts that a reader opens: what each asks of a model, at first and later, and what the answer
//! says in words and numbers. The article has the first answers, the page all that follow.

use crate::as_table;
use crate::flow_map::View;
use crate::format::{UNKNOWN, fixed, place};
use crate::island::Island;
use crate::numbers;
use crate::picture::{CELLS, Curve, ROWS, axis_top, centres, in_rows, target_curve};
use gflownet_tour_core::address::{self, FLOW_CELLS, State};
use gflownet_tour_core::balance::BackwardLoop;
use gflownet_tour_core::experiment::{self, EXPERIMENTS, Experiment};
use gflownet_tour_core::message::{Asked, Question, Walk};

/// A model, and what to know of it.
pub type Inquired = (&'static Experiment, Question);

/// What a part asks before a reader changes anything; none of other islands.
pub fn opening(island: Island) -> Option<Inquired> {
    let state = State::default();
    match island {
        Island::Algebra => Some(algebra_question(state.algebra.counted)),
        Island::Flow => Some(flow_question(subject(state.flow.model))),
        Island::Trace => {
            let experiment = subject(state.trace.model);
            let end = end_of(experiment, state.trace.walk);
            Some(walk_question(experiment, end, state.trace.seed))
        }
        _ => None,
    }
}

/// What the bug as algebra asks of the model that was trained with a loop.
pub fn algebra_question(counted: BackwardLoop) -> Inquired {
    let experiment = taught(counted);
    let (range, cells) = (experiment.plot_range(), CELLS);
    (experiment, Question::Asked { range, cells })
}

/// The densities of the bug as algebra over x, and where their axis ends.
#[derive(Clone, Debug)]
pub struct AskedCurves {
    /// What the reward is in proportion to.
    pub target: Curve,
    /// What the loss asks for.
    pub asked: Curve,
    /// The model's own.
    pub model: Curve,
    /// The top of the axis, per unit of x.
    pub top: f64,
}

impl AskedCurves {
    /// Those of an answer about `experiment`.
    pub fn of(experiment: &Experiment, asked: &Asked) -> AskedCurves {
        let range = experiment.plot_range();
        let curve = |density: &[f32]| -> Curve {
            let values = density.iter().map(|&d| f64::from(d));
            centres(range, density.len()).zip(values).collect()
        };
        let peak = |curve: &Curve| curve.iter().fold(0.0, |p: f64, point| p.max(point.1));
        let target = target_curve(experiment);
        let (wanted, model) = (curve(&asked.asked), curve(&asked.density));
        AskedCurves {
            top: axis_top(peak(&target).max(peak(&wanted)), peak(&model)),
            target,
            asked: wanted,
            model,
        }
    }
}

/// What the flow's maps ask of a model.
pub fn flow_question(experiment: &'static Experiment) -> Inquired {
    let (range, cells) = (experiment.plot_range(), FLOW_CELLS as u32);
    (experiment, Question::Flow { range, cells })
}

/// What the walk term by term asks of a model; `end` is the mode, counted from the left, that the
/// walk comes back from, and none where the forward policy draws it.
pub fn walk_question(experiment: &'static Experiment, end: Option<usize>, seed: u64) -> Inquired {
    let from = end.and_then(|mode| means(experiment).get(mode).copied());
    let walk = from.map_or(Walk::Forward, |from| Walk::Backward { from });
    (experiment, Question::Trace { walk, seed })
}

/// The mode that a chosen walk comes back from, counted from the left; none where it goes forward.
pub fn end_of(experiment: &Experiment, walk: address::Walk) -> Option<usize> {
    match walk {
        address::Walk::Poorest => poorest(experiment),
        address::Walk::Forward => None,
        address::Walk::Mode(mode) => Some(mode.min(experiment.modes.len() - 1)),
    }
}

/// The experiment with this place among all, the tour's first.
pub fn subject(index: usize) -> &'static Experiment {
    experiment::all().nth(index).unwrap_or(&EXPERIMENTS[0])
}

/// Means of the modes, from left to right.
pub fn means(experiment: &Experiment) -> Vec<f64> {
    let mut means: Vec<f64> = experiment.modes.iter().map(|m| m.mean).collect();
    means.sort_by(f64::total_cmp);
    means
}

/// The mode that the model serves worst: its place from left to right.
fn poorest(experiment: &Experiment) -> Option<usize> {
    let masses = &numbers::model(experiment.name)?.mode_mass;
    let (mode, _) = masses
        .iter()
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(b.1))?;
    Some(mode)
}

/// The experiment that teaches a loop: the first of all that has it.
pub fn taught(counted: BackwardLoop) -> &'static Experiment {
    let found = experiment::all().find(|e| e.backward_loop == counted);
    found.unwrap_or(&EXPERIMENTS[0])
}

/// A loop in words.
pub fn loop_title(counted: BackwardLoop) -> String {
    let steps = counted.counted_steps(taught(counted).steps);
    let what = match counted {
        BackwardLoop::CountsForced => "counts the forced step",
        BackwardLoop::DropsReal => "drops a real step",
        _ => "correct",
    };
    format!("t = {} to {}: {what}", steps.start(), steps.end())
}

/// What the numbers say, in a sentence.
pub fn asked_finding(experiment: &Experiment, asked: &Asked) -> String {
    let (to_asked, to_target) = (fixed(asked.to_asked, 3), fixed(asked.to_target, 3));
    let gap = fixed((asked.log_z - asked.log_z_asked).abs(), 3);
    match experiment.backward_loop {
        BackwardLoop::CountsForced => format!(
            "The right answer to a wrong question: the model lies at total variation {to_asked} from \
             R·h/Z\u{2032}, which its loss asks for, and at {to_target} from the target. Its log Z is off \
             by {} nats, and within {gap} of ln Z\u{2032}.",
            fixed((asked.log_z - asked.log_z_true).abs(), 3),
        ),
        BackwardLoop::DropsReal => format!(
            "The samples are about right, at total variation {to_target} from the target; log Z is \
             too high by {} nats, and {gap} below the most that this first step allows.",
            fixed(asked.log_z - asked.log_z_true, 3),
        ),
        _ => format!(
            "The loss asks for the target itself: the model lies at total variation {to_target} from \
             it, and its log Z within {gap} nats of the truth."
        ),
    }
}

/// The figure's numbers as a table.
pub fn asked_numbers(experiment: &Experiment, asked: &Asked) -> String {
    let target: Vec<f32> = target_curve(experiment)
        .iter()
        .map(|c| c.1 as f32)
        .collect();
    let columns = [&target, &asked.asked, &asked.density].map(|cells| in_rows(cells));
    as_table::html(
        "Densities over x, each a mean over an equal part of the plot",
        &["x", "target", "asked for", "model"],
        &as_table::rows_over(experiment.plot_range(), &columns, 3),
    )
}

/// The cursor's values in words.
pub fn flow_reading(experiment: &Experiment, view: &View, cell: usize, t: usize) -> String {
    let Some(x) = centres(experiment.plot_range(), view.cells).nth(cell) else {
        return UNKNOWN.into();
    };
    let mut words = format!("x = {}, t = {t}. ", fixed(x, 2));
    words += &match view.at(cell, t) {
        Some(reading) => format!(
            "Log flow: forward {}, backward {}, ratio {} nats. ",
            fixed(reading.log_forward, 2),
            fixed(reading.log_backward, 2),
            fixed(reading.log_ratio(), 2),
        ),
        None => format!(
            "Before the first step all flow is at S₀, x = {}. ",
            place(experiment.start)
        ),
    };
    for (name, law) in [
        ("Forward", view.forward_law(cell, t)),
        ("Backward", view.backward_law(cell, t)),
    ] {
        if let Some((mean, std)) = law {
            words += &format!("{name} step: μ {}, σ {}. ", fixed(mean, 2), fixed(std, 2));
        }
    }
    words
}

/// Flow and policies at step `t` as a table.
pub fn flow_numbers(experiment: &Experiment, view: &View, t: usize) -> String {
    let xs: Vec<f64> = centres(experiment.plot_range(), view.cells).collect();
    let stride = (view.cells / ROWS).max(1);
    let row = |cell: usize| {
        let reading = view.at(cell, t);
        let logs = reading.map_or([f64::NAN; 3], |r| {
            [r.log_forward, r.log_backward, r.log_ratio()]
        });
        let laws = [view.forward_law(cell, t), view.backward_law(cell, t)];
        let laws = laws.map(|law| law.unwrap_or((f64::NAN, f64::NAN)));
        let laws = laws.into_iter().flat_map(|(mean, std)| [mean, std]);
        let numbers = [xs[cell]].into_iter().chain(logs).chain(laws);
        numbers.map(|number| fixed(number, 2)).collect()
    };
    let cells = (stride / 2..view.cells).step_by(stride);
    as_table::html(
        &format!("At step t = {t}: logarithms of the flow, and the policies' steps"),
        &[
            "x",
            "forward",
            "backward",
            "ratio",
            "forward μ",
            "forward σ",
            "backward μ",
            "backward σ",
        ],
        &cells.map(row).collect::<Vec<_>>(),
    )
}
