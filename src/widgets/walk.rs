//! One walk, term by term, in words: a stepper through the formula with its numbers.

use crate::format::{UNKNOWN, chance, fixed, place, thousands};
use crate::study::means;
use gflownet_tour_core::experiment::{BATCH, Experiment};
use gflownet_tour_core::exploration::Exploration;
use gflownet_tour_core::message::TraceStudy;
use gflownet_tour_core::trace::{Term, Trace};

/// What a table of the terms has, and what its last column means.
pub const CAPTION: &str = "The terms of this walk: logarithms, in nats. Push: the negative \
    derivatives of the squared residual by μ, and by the network's raw number for σ";

/// Where the reader has stepped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// log P_F of the step from t to t + 1.
    Forward(usize),
    /// log R at the end.
    Reward,
    /// log P_B of the step from t back to t - 1.
    Backward(usize),
    /// The residual.
    Sum,
}

impl Stop {
    /// How many places there are.
    pub fn count(steps: usize) -> usize {
        2 * steps + 2
    }

    /// The place number `index`: forward from the start to the reward, then back.
    pub fn at(index: usize, steps: usize) -> Stop {
        match index {
            i if i < steps => Stop::Forward(i),
            i if i == steps => Stop::Reward,
            i if i <= 2 * steps => Stop::Backward(2 * steps + 1 - i),
            _ => Stop::Sum,
        }
    }

    /// The term of the place, where it has one.
    pub fn term(self, trace: &Trace) -> Option<&Term> {
        match self {
            Stop::Forward(t) => trace.forward.get(t),
            Stop::Backward(t) => trace.backward.get(t.checked_sub(1)?),
            _ => None,
        }
    }

    /// What the place takes the logarithm of, as the formula has it.
    pub fn name(self, steps: usize) -> String {
        let sub = |t: usize| char::from_u32('₀' as u32 + t as u32).unwrap_or('ₜ');
        match self {
            Stop::Forward(t) => format!("P_F(x{}|x{})", sub(t + 1), sub(t)),
            Stop::Backward(t) => format!("P_B(x{}|x{})", sub(t.saturating_sub(1)), sub(t)),
            Stop::Reward => format!("R(x{})", sub(steps)),
            Stop::Sum => "residual".into(),
        }
    }
}

/// A row of the table: name, law, action, value, push and the row's class.
pub fn row(stop: Stop, trace: &Trace, now: Stop) -> [String; 6] {
    let none = String::new;
    let steps = trace.forward.len();
    let Some(term) = stop.term(trace) else {
        let class = if stop == now { "now" } else { "" };
        let value = fixed(trace.log_reward, 2);
        return [
            stop.name(steps),
            none(),
            none(),
            value,
            none(),
            class.into(),
        ];
    };
    let class = match (stop == now, term.is_counted) {
        (true, _) => "now",
        (false, true) => "",
        (false, false) => "uncounted",
    };
    let (value, push) = if term.is_counted {
        let push = format!("{}, {}", signed(-term.by_mean), signed(-term.by_raw_std));
        (fixed(term.log_density, 2), push)
    } else {
        ("uncounted".into(), none())
    };
    [
        stop.name(steps),
        format!("{} ± {}", fixed(term.mean, 2), fixed(term.std, 2)),
        fixed(term.action, 2),
        value,
        push,
        class.into(),
    ]
}

/// A number with its sign, as short as its size allows.
fn signed(value: f64) -> String {
    let digits = if value.abs() < 9.95 { 1 } else { 0 };
    let text = fixed(value, digits);
    if value > 0.0 {
        format!("+{text}")
    } else {
        text
    }
}

/// What the place says, in a sentence or two.
pub fn explain(trace: &Trace, stop: Stop) -> String {
    let steps = trace.forward.len();
    let state = |t: usize| {
        trace
            .states
            .get(t)
            .map_or_else(|| UNKNOWN.into(), |&x| fixed(x, 2))
    };
    let law = |term: &Term| format!("μ = {}, σ = {}", fixed(term.mean, 2), fixed(term.std, 2));
    match (stop, stop.term(trace)) {
        (Stop::Forward(t), Some(term)) => format!(
            "Step {} of {steps}, forward: at x = {} the policy says {}, and the step was {}. log {} = {}. {}",
            t + 1,
            state(t),
            law(term),
            fixed(term.action, 2),
            stop.name(steps),
            fixed(term.log_density, 2),
            push(term),
        ),
        (Stop::Backward(t), Some(term)) if term.is_counted => format!(
            "Back from t = {t}: at x = {} the backward policy says {}, and the step was {}. log {} = {}. {}",
            state(t),
            law(term),
            fixed(term.action, 2),
            stop.name(steps),
            fixed(term.log_density, 2),
            push(term),
        ),
        (Stop::Backward(t), _) => format!(
            "Back from t = {t} to x = {}: this loss does not count the step{}",
            state(t.saturating_sub(1)),
            if t == 1 { ", which is forced." } else { "." },
        ),
        (Stop::Reward, _) => format!(
            "The walk has ended at x = {}. log R = {}.",
            state(steps),
            fixed(trace.log_reward, 2)
        ),
        _ => format!(
            "All together: a residual of {} nats, a loss of {}. The gradient moves log Z {}.",
            fixed(trace.residual, 2),
            fixed(trace.residual.powi(2), 2),
            if trace.by_log_z > 0.0 { "down" } else { "up" },
        ),
    }
}

/// Which way the gradient moves a law.
fn push(term: &Term) -> String {
    let toward = (term.action > term.mean) == (term.by_mean < 0.0);
    format!(
        "The gradient moves μ {} this step, and makes σ {}.",
        if toward { "toward" } else { "away from" },
        if term.by_raw_std < 0.0 {
            "wider"
        } else {
            "narrower"
        },
    )
}

/// The formula with this walk's numbers.
pub fn sum(trace: &Trace) -> String {
    let in_brackets = |value: f64| {
        let text = fixed(value, 2);
        if value < 0.0 {
            format!("({text})")
        } else {
            text
        }
    };
    format!(
        "log Z + Σ log P_F \u{2212} log R \u{2212} Σ log P_B = {} + {} \u{2212} {} \u{2212} {} = {}; squared, {}.",
        fixed(trace.log_z, 2),
        in_brackets(trace.log_forward()),
        in_brackets(trace.log_reward),
        in_brackets(trace.log_backward()),
        fixed(trace.residual, 2),
        fixed(trace.residual.powi(2), 2),
    )
}

/// How likely walks to this basin are, and what that means for training.
pub fn rarity(experiment: &Experiment, study: &TraceStudy) -> String {
    let mean = means(experiment).get(study.basin as usize).copied();
    let trained = (experiment.iterations * BATCH) as f64;
    let mut words = format!(
        "The chance that a walk of this model ends nearest the mode at {} is {}, exactly. Its \
         training saw {} walks. ",
        place(mean.unwrap_or(f64::NAN)),
        chance(study.chance),
        thousands(trained as u64),
    );
    if study.chance * trained < 0.01 {
        let residual = study.trace.residual;
        words += &format!(
            "As the model is now, not one of as many would come here: the residual of {} nats, a loss \
             of {}, enters no average. ",
            fixed(residual, 1),
            thousands(residual.powi(2).round() as u64),
        );
        if experiment.exploration == Exploration::None {
            words += "On-policy, nothing can pull this walk into balance.";
        }
    }
    words
}
