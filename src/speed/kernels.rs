//! The sampler behind messages of bytes, for a WASM file of its own that is built with vector
//! instructions which not every browser has: the engine's worker asks it where it can run, and
//! its own sampler where it cannot.
//!
//! Both ends are built from one source: the format needs no version.

use crate::sampler::{BLOCK, Sampler};
use gflownet_tour_core::counts::Counts;
use gflownet_tour_core::message;
use gflownet_tour_core::policy::{Inputs, Policy, StdRange};
use gflownet_tour_core::rollout::Rollout;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Keep these weights under the number `model`, for trajectories of `steps` steps from `start`.
    Load {
        model: u32,
        weights: Weights,
        start: f64,
        steps: u32,
    },
    /// Forget them.
    Unload { model: u32 },
    /// Draw and count trajectories.
    Draw(Draw),
}

/// A policy on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// First layers of step features; none where the state is read as it is.
    layers: Option<u32>,
    hidden: u32,
    std_range: StdRange,
    parameters: Vec<f32>,
}

/// Trajectories to draw and count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// The number of loaded weights.
    pub model: u32,
    /// By the network's table, which is made when it is first needed; else by the network.
    pub table: bool,
    pub rollout: Rollout,
    /// Trajectories to draw.
    pub count: u32,
    /// How many of the first ones are wanted whole.
    pub paths: u32,
    /// The x-range of the histogram.
    pub range: (f64, f64),
    /// Its bins.
    pub bins: u32,
    /// The points between the basins, ascending.
    pub midpoints: Vec<f32>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Drawn(Drawn),
    /// What was asked for cannot be.
    Refused(String),
}

/// Counted trajectories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    pub counts: Counts,
    /// Row-major [paths, steps + 1], start included.
    pub paths: Vec<f32>,
}

impl Draw {
    /// The fewest trajectories of a share, by the network and by its table: they take one to two
    /// milliseconds, many times what it takes to hand them over.
    const SMALLEST: [u32; 2] = [1_024, 16_384];

    /// Cuts it into at most `most` draws, one for each thread, which follow each other and together
    /// are it. Of what is too little to be shared there is one.
    pub fn shares(&self, most: usize) -> Vec<Draw> {
        // The sampler walks blocks of so many.
        let unit = BLOCK as u32;
        let worth = self.count / Self::SMALLEST[usize::from(self.table)];
        let number = worth.clamp(1, most.max(1) as u32);
        let each = (self.count / number).next_multiple_of(unit);
        let share = |i: u32| {
            let begin = (i * each).min(self.count);
            let end = if i + 1 == number {
                self.count
            } else {
                ((i + 1) * each).min(self.count)
            };
            Draw {
                rollout: Rollout {
                    first: self.rollout.first.wrapping_add(begin),
                    ..self.rollout
                },
                count: end - begin,
                paths: self.paths.saturating_sub(begin).min(end - begin),
                midpoints: self.midpoints.clone(),
                ..*self
            }
        };
        (0..number).map(share).collect()
    }
}

impl Drawn {
    /// Takes in the draw that follows.
    pub fn join(&mut self, next: &Drawn) {
        self.counts.merge_counts(&next.counts);
        self.paths.extend_from_slice(&next.paths);
    }
}

impl Weights {
    /// The weights of `policy`.
    pub fn of(policy: &Policy<f32>) -> Weights {
        Weights {
            layers: match policy.inputs() {
                Inputs::Raw => None,
                Inputs::StepFeatures { steps } => Some(steps as u32),
            },
            hidden: policy.hidden() as u32,
            std_range: policy.std_range(),
            parameters: policy.parameters().to_vec(),
        }
    }

    fn into_policy(self) -> Option<Policy<f32>> {
        let inputs = self.layers.map_or(Inputs::Raw, |steps| {
            let steps = steps as usize;
            Inputs::StepFeatures { steps }
        });
        let policy = Policy::with_inputs(inputs, self.hidden as usize, self.parameters)?;
        Some(policy.with_std_range(self.std_range))
    }
}

/// Loaded weights and what answers.
#[derive(Debug, Default)]
pub struct Kernels {
    models: HashMap<u32, Model>,
}

#[derive(Debug)]
struct Model {
    network: Sampler,
    table: Option<Sampler>,
    start: f64,
    steps: usize,
}

impl Kernels {
    /// The bytes of the [`Answer`] to the [`Request`] in `bytes`.
    pub fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let answer = match message::decode(bytes) {
            Ok(request) => self.run(request).unwrap_or_else(Answer::Refused),
            Err(error) => Answer::Refused(format!("a request that cannot be read: {error}")),
        };
        message::encode(&answer).unwrap_or_default()
    }

    fn run(&mut self, request: Request) -> Result<Answer, String> {
        match request {
            Request::Load {
                model,
                weights,
                start,
                steps,
            } => {
                let policy = weights.into_policy().ok_or("weights of another shape")?;
                let network = Sampler::new(&policy);
                let loaded = Model {
                    network,
                    table: None,
                    start,
                    steps: steps as usize,
                };
                self.models.insert(model, loaded);
                Ok(Answer::Done)
            }
            Request::Unload { model } => {
                self.models.remove(&model);
                Ok(Answer::Done)
            }
            Request::Draw(draw) => {
                let model = self.models.get_mut(&draw.model);
                let model = model.ok_or("weights that are not loaded")?;
                Ok(Answer::Drawn(model.draw(&draw)))
            }
        }
    }
}

impl Model {
    fn draw(&mut self, draw: &Draw) -> Drawn {
        let Model {
            network,
            table,
            start,
            steps,
        } = self;
        let sampler = match draw.table {
            false => &*network,
            true => table.get_or_insert_with(|| network.clone().tabulated(*start, *steps)),
        };
        let midpoints: Vec<f64> = draw.midpoints.iter().map(|&m| f64::from(m)).collect();
        let mut drawn = Drawn {
            counts: Counts::new(draw.range, draw.bins as usize, &midpoints),
            paths: Vec::new(),
        };
        sampler.draw_blocks(&draw.rollout, draw.count as usize, &mut |block| {
            drawn.counts.add(block.terminals());
            let wanted = (draw.paths as usize).saturating_sub(block.first);
            for i in 0..wanted.min(block.len) {
                let path = block.states.iter().map(|states| states[i]);
                drawn.paths.extend(path);
            }
        });
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::noise::ThreefryRng;

    fn ask(kernels: &mut Kernels, request: &Request) -> Answer {
        message::decode(&kernels.answer(&message::encode(request).unwrap())).unwrap()
    }

    fn load(policy: &Policy<f32>) -> Request {
        Request::Load {
            model: 3,
            weights: Weights::of(policy),
            start: 0.0,
            steps: 5,
        }
    }

    fn draw(table: bool) -> Draw {
        Draw {
            model: 3,
            table,
            rollout: Rollout {
                start: 0.0,
                steps: 5,
                sigma_scale: 0.8,
                extra_std: 0.0,
                seed: 5,
                first: 40,
            },
            count: 1_000,
            paths: 70,
            range: (-4.0, 4.0),
            bins: 60,
            midpoints: vec![-1.5, 0.25],
        }
    }

    #[test]
    fn answers_are_the_plain_rollouts() {
        for inputs in [Inputs::Raw, Inputs::StepFeatures { steps: 5 }] {
            let std_range = StdRange {
                min_std: 0.2,
                max_std: 1.5,
            };
            let policy = Policy::init_with(inputs, 16, &mut ThreefryRng::new(2, 0))
                .with_std_range(std_range);
            let mut kernels = Kernels::default();
            assert_eq!(ask(&mut kernels, &load(&policy)), Answer::Done);
            for table in [false, true] {
                let draw = draw(table);
                let plain = draw.rollout.draw(&policy, 1_000);
                let mut counts = Counts::new((-4.0, 4.0), 60, &[-1.5, 0.25]);
                counts.add(&plain.terminals().collect::<Vec<_>>());
                let Answer::Drawn(drawn) = ask(&mut kernels, &Request::Draw(draw)) else {
                    panic!("the trajectories were not drawn");
                };
                assert_eq!(drawn.counts.drawn(), 1_000);
                // At an edge between two bins a sample may fall to either side.
                assert!(drawn.counts.difference(&counts) <= 4);
                assert_eq!(drawn.paths.len(), 70 * 6);
                for (got, expected) in drawn.paths.iter().zip(&plain.states) {
                    assert!((got - expected).abs() < 2e-4, "{got} {expected}");
                }
            }
            assert_eq!(
                ask(&mut kernels, &Request::Unload { model: 3 }),
                Answer::Done
            );
            let gone = ask(&mut kernels, &Request::Draw(draw(false)));
            assert!(matches!(gone, Answer::Refused(_)));
        }
    }

    #[test]
    fn shares_of_a_draw_are_together_the_draw() {
        let policy = Policy::init(16, &mut ThreefryRng::new(2, 0));
        let mut kernels = Kernels::default();
        assert_eq!(ask(&mut kernels, &load(&policy)), Answer::Done);
        let mut drawn = |draw: Draw| match ask(&mut kernels, &Request::Draw(draw)) {
            Answer::Drawn(drawn) => drawn,
            other => panic!("{other:?}"),
        };
        for (table, count, most, expected) in [
            (false, 1_000, 4, 1),
            (false, 2_500, 4, 2),
            (false, 10_000, 1, 1),
            (false, 10_001, 3, 3),
            (true, 20_000, 4, 1),
            (true, 70_000, 0, 1),
            (true, 70_007, 4, 4),
        ] {
            // The paths of the first share, and some of the second's where there is one.
            for paths in [70, 1_300] {
                let draw = Draw {
                    count,
                    paths,
                    ..draw(table)
                };
                let shares = draw.shares(most);
                assert_eq!(shares.len(), expected, "{count}");
                let mut joined = drawn(shares[0].clone());
                for share in &shares[1..] {
                    joined.join(&drawn(share.clone()));
                }
                assert_eq!(joined, drawn(draw));
            }
        }
    }

    #[test]
    fn rubbish_is_refused() {
        let mut kernels = Kernels::default();
        let answer = kernels.answer(&[99, 1, 2]);
        assert!(matches!(
            message::decode(&answer).unwrap(),
            Answer::Refused(_)
        ));
        let weights = Weights {
            layers: Some(2),
            hidden: 16,
            std_range: StdRange::USUAL,
            parameters: vec![0.0; 3],
        };
        let load = Request::Load {
            model: 0,
            weights,
            start: 0.0,
            steps: 5,
        };
        assert!(matches!(ask(&mut kernels, &load), Answer::Refused(_)));
    }
}
