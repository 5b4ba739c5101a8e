//! Exact answers about one model: what its loss asks for, its flow from both ends, one trajectory
//! term by term. Here a [`Question`] is checked and its answer packed.

use crate::balance::BackwardLoop;
use crate::density::{Laws, TerminalDensity};
use crate::divergence;
use crate::experiment::Experiment;
use crate::flow::{self, Backward, Flow, Retargeted};
use crate::message::{Asked, FlowMap, MOST_CELLS, Question, Study, TraceStudy, Walk};
use crate::mixture::Mixture;
use crate::policy::{Gaussian, Policy};
use crate::rollout::Rollout;
use crate::trace::{self, Trace};
use crate::weights;
use crate::weights::manifest::Recipe;

/// A trained model as studies want it: both policies, in double precision.
#[derive(Clone, Debug)]
pub struct Subject {
    recipe: Recipe,
    forward: Policy<f64>,
    backward: Policy<f64>,
    log_z: f64,
}

/// The centres of equal cells, as a first point, a last point and a number.
#[derive(Clone, Copy)]
struct Centres {
    first: f64,
    last: f64,
    count: usize,
}

impl Centres {
    fn of((lo, hi): (f64, f64), cells: u32) -> Result<Self, String> {
        if !(lo.is_finite() && hi.is_finite() && lo < hi) {
            return Err(format!("the x-range goes from {lo} to {hi}"));
        }
        // Two at least, since a density is asked for between two points.
        let count = cells.clamp(2, MOST_CELLS);
        let half = 0.5 * (hi - lo) / f64::from(count);
        Ok(Centres {
            first: lo + half,
            last: hi - half,
            count: count as usize,
        })
    }

    fn points(self) -> Vec<f64> {
        let spacing = (self.last - self.first) / (self.count as f64 - 1.0);
        (0..self.count)
            .map(|i| self.first + i as f64 * spacing)
            .collect()
    }
}

fn narrow(values: impl IntoIterator<Item = f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

impl Subject {
    /// The model of an experiment.
    pub fn new(experiment: &Experiment, model: &weights::Model) -> Self {
        let policies = (&model.forward, &model.backward);
        Subject::of(Recipe::of(experiment), policies, model.log_z)
    }

    /// What a training of `recipe` has made.
    pub fn of(
        recipe: Recipe,
        (forward, backward): (&Policy<f32>, &Policy<f32>),
        log_z: f32,
    ) -> Self {
        Subject {
            recipe,
            forward: forward.cast(),
            backward: backward.cast(),
            log_z: f64::from(log_z),
        }
    }

    fn target(&self) -> Mixture {
        Mixture::new(self.recipe.modes.clone())
    }

    /// The answer to a question. Numbers of cells beyond their bounds are brought to them.
    ///
    /// # Errors
    /// When the x-range is empty or, like the place of a walk's end, no number.
    pub fn answer(&self, question: &Question) -> Result<Study, String> {
        match *question {
            Question::Asked { range, cells } => {
                Ok(Study::Asked(self.asked(Centres::of(range, cells)?)))
            }
            Question::Flow { range, cells } => {
                Ok(Study::Flow(self.flow(Centres::of(range, cells)?)))
            }
            Question::Trace { walk, seed } => Ok(Study::Trace(self.trace(walk, seed)?)),
        }
    }

    fn backward(&self) -> Backward<'_, Policy<f64>> {
        Backward {
            network: &self.backward,
            mean: self.recipe.options.backward_mean,
            start: self.recipe.start,
        }
    }

    fn terminal(&self) -> TerminalDensity {
        let Recipe { start, steps, .. } = self.recipe;
        TerminalDensity::of(&self.forward, start, steps, 1.0)
    }

    fn asked(&self, centres: Centres) -> Asked {
        let Recipe { start, steps, .. } = self.recipe;
        let target = self.target();
        let terminal = self.terminal();
        let to_target = divergence::total_variation(&terminal, &target);
        let log_z_true = target.log_partition();
        let points = centres.points();
        let (asked, to_asked, log_z_asked) = match self.recipe.backward_loop {
            BackwardLoop::CountsForced => {
                let answer = Retargeted::of(&self.backward(), &target, start, steps);
                let h = flow::forced_density(&self.backward(), start, steps, &points);
                let scale = answer.log_partition();
                let density = points
                    .iter()
                    .zip(h)
                    .map(|(&x, h)| (target.log_reward(x) - scale).exp() * h);
                (
                    narrow(density),
                    answer.total_variation(&terminal),
                    answer.log_partition(),
                )
            }
            counted => {
                let density = points.iter().map(|&x| target.density(x));
                let above = if counted == BackwardLoop::DropsReal {
                    flow::first_step_entropy(&self.forward, start)
                } else {
                    0.0
                };
                (narrow(density), to_target, log_z_true + above)
            }
        };
        Asked {
            density: narrow(terminal.points(centres.first, centres.last, centres.count)),
            asked,
            to_asked,
            to_target,
            log_z: self.log_z,
            log_z_asked,
            log_z_true,
        }
    }

    fn flow(&self, centres: Centres) -> FlowMap {
        let Recipe { start, steps, .. } = self.recipe;
        let target = self.target();
        let (forward, backward) = (&self.forward, self.backward());
        let flow = Flow::of(forward, &backward, self.log_z, &target, start, steps);
        let (first, last, count) = (centres.first, centres.last, centres.count);
        let points = centres.points();
        let mut map = FlowMap {
            log_forward: Vec::new(),
            log_backward: Vec::new(),
            forward_mean: Vec::new(),
            forward_std: Vec::new(),
            backward_mean: Vec::new(),
            backward_std: Vec::new(),
        };
        let extend = |means: &mut Vec<f32>, stds: &mut Vec<f32>, laws: Vec<Gaussian<f64>>| {
            means.extend(laws.iter().map(|law| law.mean as f32));
            stds.extend(laws.iter().map(|law| law.std as f32));
        };
        for t in 1..=steps {
            let row = flow.row(t, first, last, count);
            map.log_forward.extend(narrow(row.log_forward));
            map.log_backward.extend(narrow(row.log_backward));
            let laws = forward.laws(&points, t - 1);
            extend(&mut map.forward_mean, &mut map.forward_std, laws);
            let laws = backward.laws(&points, t);
            extend(&mut map.backward_mean, &mut map.backward_std, laws);
        }
        map
    }

    fn trace(&self, walk: Walk, seed: u64) -> Result<TraceStudy, String> {
        let Recipe { start, steps, .. } = self.recipe;
        let states = match walk {
            Walk::Forward => {
                let rollout = Rollout {
                    start,
                    steps,
                    sigma_scale: 1.0,
                    extra_std: 0.0,
                    seed,
                    first: 0,
                };
                rollout.draw(&self.forward, 1).states
            }
            Walk::Backward { from } if from.is_finite() => {
                trace::walk_back(&self.backward(), start, steps, from, seed, 0)
            }
            Walk::Backward { from } => return Err(format!("a walk cannot end at x = {from}")),
        };
        let target = self.target();
        let counted = self.recipe.backward_loop;
        let trace = Trace::of(
            &self.forward,
            &self.backward(),
            self.log_z,
            &target,
            counted,
            &states,
        );
        let end = states.last().copied().unwrap_or(start);
        let midpoints = target.midpoints();
        let basin = midpoints.iter().filter(|&&edge| edge < end).count();
        let edge = |i: usize| midpoints.get(i).copied();
        let lower = basin.checked_sub(1).and_then(edge);
        let chance = self.terminal().mass_between(
            lower.unwrap_or(f64::NEG_INFINITY),
            edge(basin).unwrap_or(f64::INFINITY),
        );
        Ok(TraceStudy {
            trace,
            basin: basin as u32,
            chance,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::ThreefryRng;
    use std::collections::BTreeMap;

    fn subject(name: &str) -> Subject {
        let policy = |seed| Policy::init(64, &mut ThreefryRng::new(seed, 0));
        let model = weights::Model {
            forward: policy(1),
            backward: policy(2),
            flow: None,
            log_z: 0.25,
            metadata: BTreeMap::new(),
        };
        Subject::new(Experiment::named(name).unwrap(), &model)
    }

    fn asked(name: &str) -> Asked {
        let question = Question::Asked {
            range: (-4.0, 4.0),
            cells: 400,
        };
        match subject(name).answer(&question) {
            Ok(Study::Asked(asked)) => asked,
            other => panic!("{other:?}"),
        }
    }

    /// Half the sum of the differences, over cells of 0.02.
    fn distance(p: &[f32], q: &[f32]) -> f64 {
        let differences = p.iter().zip(q).map(|(p, q)| f64::from((p - q).abs()));
        0.5 * 0.02 * differences.sum::<f64>()
    }

    #[test]
    fn each_loop_asks_for_its_own_answer() {
        for name in ["easy_correct", "easy_dropped", "easy_buggy"] {
            let asked = asked(name);
            assert_eq!((asked.density.len(), asked.asked.len()), (400, 400));
            let area = 0.02 * asked.asked.iter().map(|&p| f64::from(p)).sum::<f64>();
            assert!((area - 1.0).abs() < 1e-3, "{name}: {area}");
            // The curves carry the distance that is told, but for their ends.
            let drawn = distance(&asked.density, &asked.asked);
            assert!((drawn - asked.to_asked).abs() < 1e-3, "{name}: {drawn}");
            assert_eq!(asked.log_z, 0.25);
        }
        let [correct, dropped, buggy] = ["easy_correct", "easy_dropped", "easy_buggy"].map(asked);
        assert_eq!(correct.log_z_asked, correct.log_z_true);
        assert!(dropped.log_z_asked > dropped.log_z_true);
        assert_eq!(correct.asked, dropped.asked);
        assert!(distance(&correct.asked, &buggy.asked) > 0.01);
    }

    #[test]
    fn the_map_has_a_row_for_every_step() {
        let subject = subject("easy_correct");
        let range = (-3.0, 3.0);
        let question = Question::Flow { range, cells: 60 };
        let Ok(Study::Flow(map)) = subject.answer(&question) else {
            panic!("no flow");
        };
        let FlowMap {
            log_forward,
            log_backward,
            forward_mean,
            forward_std,
            backward_mean,
            backward_std,
        } = map;
        for values in [
            &log_forward,
            &log_backward,
            &forward_mean,
            &forward_std,
            &backward_mean,
            &backward_std,
        ] {
            assert_eq!(values.len(), 5 * 60);
            assert!(values.iter().all(|value| value.is_finite()));
        }
        // The cell around 0.05, at each end.
        let (cell, x) = (30, 0.05);
        let last = log_backward[4 * 60 + cell];
        let log_reward = subject.target().log_reward(x);
        assert!((f64::from(last) - log_reward).abs() < 1e-5);
        let law = subject.forward.evaluate(x, 4.0);
        assert!((f64::from(forward_mean[4 * 60 + cell]) - law.mean).abs() < 1e-5);
        let law = subject.backward.evaluate(x, 1.0);
        assert!((f64::from(backward_std[cell]) - law.std).abs() < 1e-5);
    }

    #[test]
    fn a_trace_knows_where_it_ended_and_how_likely_that_was() {
        let subject = subject("hard_on_policy");
        let trace = |walk, seed| match subject.answer(&Question::Trace { walk, seed }) {
            Ok(Study::Trace(trace)) => trace,
            other => panic!("{other:?}"),
        };
        let forward = trace(Walk::Forward, 7);
        assert_eq!(forward.trace.states.len(), 6);
        assert_ne!(trace(Walk::Forward, 8), forward);
        let left = trace(Walk::Backward { from: -3.0 }, 7);
        let right = trace(Walk::Backward { from: 3.0 }, 7);
        assert_eq!((left.basin, right.basin), (0, 1));
        assert_eq!(right.trace.states[5], 3.0);
        assert!((left.chance + right.chance - 1.0).abs() < 1e-6);
    }

    #[test]
    fn questions_without_a_sensible_reading_are_refused_by_name() {
        let subject = subject("easy_correct");
        let refused = |question| subject.answer(&question).unwrap_err();
        for range in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0)] {
            let cells = 10;
            assert!(refused(Question::Flow { range, cells }).contains("x-range"));
            assert!(refused(Question::Asked { range, cells }).contains("x-range"));
        }
        let walk = Walk::Backward { from: f64::NAN };
        assert!(refused(Question::Trace { walk, seed: 1 }).contains("NaN"));
    }
}
