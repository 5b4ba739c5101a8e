//! From trajectories to what a plot needs: a request checked, samples counted, the exact density
//! beside them.

use gflownet_tour_core::counts::Counts;
use gflownet_tour_core::density::{Laws, Tails, TerminalDensity};
use gflownet_tour_core::divergence;
use gflownet_tour_core::experiment::{Experiment, TEMPERED, TEMPERED_BETAS};
use gflownet_tour_core::message::{MOST_CELLS, SampleRequest};
use gflownet_tour_core::mixture::Mixture;
use gflownet_tour_core::rollout::{Rollout, Trajectories};
use gflownet_tour_speed::sampler::Block;

/// The sigma scales that a batch can have.
pub const SIGMA_SCALES: std::ops::RangeInclusive<f64> = 0.02..=5.0;
/// The most trajectories that one batch draws.
pub const MOST_TRAJECTORIES: u32 = 1_000_000;
/// The most paths that one batch sends back whole.
pub const MOST_PATHS: u32 = 10_000;

/// A request that can be run: the experiment found, every number within its bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The request, with its numbers brought within their bounds.
    pub request: SampleRequest,
    /// The experiment whose target, start and horizon apply.
    pub experiment: &'static Experiment,
}

impl Plan {
    /// Checks a request. Counts, the exponent and the sigma scale beyond their bounds are brought to
    /// the nearest bound; there is always at least one trajectory, bin and cell.
    ///
    /// # Errors
    /// When the model is none of the experiments, or has an exponent and is not the model of every
    /// temperature, or that one has none; or the sigma scale, the exponent or the x-range is not a
    /// number or the range is empty: there is no nearest sensible value.
    pub fn of(mut request: SampleRequest) -> Result<Plan, String> {
        let experiment = match request.beta {
            None => Experiment::named(&request.model),
            Some(_) => (request.model == TEMPERED.name).then_some(&TEMPERED),
        };
        let Some(experiment) = experiment else {
            let at = request
                .beta
                .map_or(String::new(), |b| format!(" at β = {b}"));
            return Err(format!("there is no experiment `{}`{at}", request.model));
        };
        if let Some(beta) = &mut request.beta {
            if beta.is_nan() {
                return Err(format!("the exponent is {beta}"));
            }
            *beta = beta.clamp(TEMPERED_BETAS.0, TEMPERED_BETAS.1);
        }
        if !request.sigma_scale.is_finite() {
            return Err(format!("the sigma scale is {}", request.sigma_scale));
        }
        let (lo, hi) = request.range;
        if !(lo.is_finite() && hi.is_finite() && lo < hi) {
            return Err(format!("the x-range goes from {lo} to {hi}"));
        }
        request.sigma_scale = request
            .sigma_scale
            .clamp(*SIGMA_SCALES.start(), *SIGMA_SCALES.end());
        request.count = request.count.clamp(1, MOST_TRAJECTORIES);
        request.paths = request.paths.min(MOST_PATHS).min(request.count);
        request.bins = request.bins.clamp(1, MOST_CELLS);
        request.cells = request.cells.clamp(1, MOST_CELLS);
        Ok(Plan {
            request,
            experiment,
        })
    }

    /// How to draw the trajectories from number `first` on.
    pub fn rollout(&self, first: u32) -> Rollout {
        Rollout {
            start: self.experiment.start,
            steps: self.experiment.steps,
            sigma_scale: self.request.sigma_scale,
            extra_std: 0.0,
            seed: self.request.seed,
            first,
        }
    }
}

/// Samples, counted as they come.
#[derive(Clone, Debug)]
pub struct Tally {
    counts: Counts,
    paths_wanted: usize,
    paths: Vec<f32>,
    /// States in a path.
    width: usize,
}

impl Tally {
    /// An empty tally for a batch.
    pub fn new(plan: &Plan) -> Self {
        let midpoints = plan.experiment.target().midpoints();
        let bins = plan.request.bins as usize;
        Tally {
            counts: Counts::new(plan.request.range, bins, &midpoints),
            paths_wanted: plan.request.paths as usize,
            paths: Vec::new(),
            width: plan.experiment.steps + 1,
        }
    }

    /// Counts the next trajectories of the batch, block by block.
    pub fn add_block(&mut self, block: &Block<'_>) {
        self.counts.add(block.terminals());
        self.width = block.states.len();
        let missing = self.paths_wanted.saturating_sub(self.whole_paths());
        for i in 0..missing.min(block.len) {
            self.paths
                .extend(block.states.iter().map(|states| states[i]));
        }
    }

    /// What counts, for those that count elsewhere, and how many paths are still wanted.
    pub fn parts(&mut self) -> (&mut Counts, usize) {
        let missing = self.paths_wanted.saturating_sub(self.whole_paths());
        (&mut self.counts, missing)
    }

    /// Takes whole trajectories that were counted elsewhere.
    pub fn add_paths(&mut self, trajectories: &Trajectories<f32>) {
        self.width = trajectories.steps + 1;
        self.paths.extend_from_slice(&trajectories.states);
    }

    fn whole_paths(&self) -> usize {
        self.paths.len() / self.width.max(1)
    }

    /// Trajectories counted so far.
    pub fn drawn(&self) -> u32 {
        self.counts.drawn()
    }

    /// Per bin, the share of all samples over the bin's width.
    pub fn histogram(&self) -> Vec<f32> {
        self.counts.density()
    }

    /// Per mode, the share of the samples in its basin.
    pub fn mode_mass(&self) -> Vec<f64> {
        self.counts.basin_shares()
    }

    /// The first trajectories of the batch, row-major [paths, steps + 1].
    pub fn into_paths(self) -> Vec<f32> {
        self.paths
    }
}

/// What is exact about a batch: it depends on the policy and the sigma scale, not on the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Exact {
    /// The terminal density, averaged over each of the request's cells.
    pub density: Vec<f32>,
    /// Total variation to the target, in [0, 1].
    pub total_variation: f64,
    /// Mass per mode.
    pub mode_mass: Vec<f64>,
}

impl Exact {
    /// The exact part of a batch under `policy`.
    pub fn of(plan: &Plan, policy: &impl Laws) -> Self {
        let Plan {
            request,
            experiment,
        } = plan;
        let target: Mixture = experiment.target();
        let terminal = TerminalDensity::with_tails(
            policy,
            experiment.start,
            experiment.steps,
            request.sigma_scale,
            // A drag asks for this at every frame, and nothing drawn reaches into deep tails.
            Tails::Bulk,
        );
        let (lo, hi) = request.range;
        let density = terminal.averages(lo, hi, request.cells as usize);
        Exact {
            density: density.iter().map(|&density| density as f32).collect(),
            total_variation: match request.beta {
                None => divergence::total_variation(&terminal, &target),
                Some(beta) => {
                    divergence::total_variation_tempered(&terminal, &target.tempered(1.0 / beta))
                }
            },
            mode_mass: divergence::mode_mass(&terminal, &target),
        }
    }
}

/// The last [`Exact`] of one policy, so that drawing anew at the same sigma scale does not
/// compute it again.
#[derive(Clone, Debug, Default)]
pub struct ExactCache {
    last: Option<(Key, Exact)>,
}

type Key = (&'static str, Option<u64>, u64, (u64, u64), u32);

impl ExactCache {
    /// The exact part of `plan` under `policy`, which must be the same at every call for the
    /// same experiment.
    pub fn get(&mut self, plan: &Plan, policy: &impl Laws) -> &Exact {
        let request = &plan.request;
        let key = (
            plan.experiment.name,
            request.beta.map(f64::to_bits),
            request.sigma_scale.to_bits(),
            (request.range.0.to_bits(), request.range.1.to_bits()),
            request.cells,
        );
        let (_, exact) = match self.last.take() {
            Some(hit) if hit.0 == key => self.last.insert(hit),
            _ => self.last.insert((key, Exact::of(plan, policy))),
        };
        exact
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::message::DeviceChoice;
    use gflownet_tour_core::policy::Policy;
    use gflownet_tour_speed::sampler::Sampler;

    fn request() -> SampleRequest {
        SampleRequest {
            demo: 0,
            id: 1,
            model: "easy_correct".into(),
            snapshot: None,
            beta: None,
            sigma_scale: 1.0,
            seed: 1,
            count: 20_000,
            device: DeviceChoice::Auto,
            paths: 3,
            range: (-4.0, 4.0),
            bins: 8,
            cells: 64,
        }
    }

    fn plan() -> Plan {
        Plan::of(request()).unwrap()
    }

    #[test]
    fn numbers_beyond_their_bounds_are_brought_to_them() {
        let plan = Plan::of(SampleRequest {
            sigma_scale: 1e9,
            count: u32::MAX,
            paths: u32::MAX,
            bins: 0,
            cells: u32::MAX,
            ..request()
        })
        .unwrap();
        assert_eq!(plan.request.sigma_scale, 5.0);
        let tempered = |beta| {
            let model = "tempered".into();
            let beta = Some(beta);
            let plan = Plan::of(SampleRequest {
                model,
                beta,
                ..request()
            });
            plan.unwrap().request.beta
        };
        assert_eq!(tempered(9.0), Some(4.0));
        assert_eq!(tempered(f64::NEG_INFINITY), Some(0.25));
        assert_eq!(plan.request.count, MOST_TRAJECTORIES);
        assert_eq!(plan.request.paths, MOST_PATHS);
        assert_eq!(plan.request.bins, 1);
        assert_eq!(plan.request.cells, MOST_CELLS);
    }

    #[test]
    fn requests_without_a_sensible_reading_are_refused_by_name() {
        let refused = |request| Plan::of(request).unwrap_err();
        let model = "nine_mode".to_string();
        assert!(refused(SampleRequest { model, ..request() }).contains("`nine_mode`"));
        let (beta, model) = (Some(0.5), "tempered".to_string());
        assert!(refused(SampleRequest { beta, ..request() }).contains("at β = 0.5"));
        let none = SampleRequest {
            model: model.clone(),
            ..request()
        };
        assert!(refused(none).contains("`tempered`"));
        let nan = SampleRequest {
            model,
            beta: Some(f64::NAN),
            ..request()
        };
        assert!(refused(nan).contains("exponent is NaN"));
        let sigma_scale = f64::NAN;
        assert!(
            refused(SampleRequest {
                sigma_scale,
                ..request()
            })
            .contains("NaN")
        );
        for range in [(1.0, 1.0), (2.0, 1.0), (0.0, f64::INFINITY)] {
            assert!(refused(SampleRequest { range, ..request() }).contains("x-range"));
        }
    }

    #[test]
    fn the_first_paths_come_back_whole_however_the_batch_was_cut() {
        let policy = Policy::<f32>::placeholder(8, 0.3);
        let plan = plan();
        let whole = plan.rollout(0).draw(&policy, 5);
        let mut tally = Tally::new(&plan);
        for first in 0..5 {
            let (counts, wanted) = tally.parts();
            let next = plan.rollout(first).draw(&policy, 1);
            counts.add(&next.terminals().collect::<Vec<f32>>());
            if wanted > 0 {
                tally.add_paths(&next);
            }
        }
        assert_eq!(tally.drawn(), 5);
        assert_eq!(tally.into_paths(), whole.states[..3 * 6]);

        let mut tally = Tally::new(&plan);
        let sampler = Sampler::new(&policy);
        for first in 0..5 {
            sampler.draw_blocks(&plan.rollout(first), 1, &mut |block| {
                tally.add_block(&block)
            });
        }
        assert_eq!(tally.drawn(), 5);
        for (got, expected) in tally.into_paths().iter().zip(&whole.states[..3 * 6]) {
            assert!((got - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn the_exact_part_agrees_with_the_samples() {
        let plan = plan();
        let policy = Policy::<f64>::placeholder(16, 0.5);
        let mut tally = Tally::new(&plan);
        Sampler::new(&policy.cast()).draw_blocks(&plan.rollout(0), 20_000, &mut |block| {
            tally.add_block(&block);
        });
        let exact = Exact::of(&plan, &policy);
        let histogram = tally.histogram();
        let (lo, hi) = plan.request.range;
        let per_bin = exact.density.len() / histogram.len();
        for (bin, cells) in histogram.iter().zip(exact.density.chunks(per_bin)) {
            let density = cells.iter().sum::<f32>() / per_bin as f32;
            let width = ((hi - lo) / histogram.len() as f64) as f32;
            let share = density * width;
            let five_sigma = 5.0 * (share * (1.0 - share) / 20_000.0).sqrt() / width;
            assert!(
                (bin - density).abs() <= five_sigma + 1e-4,
                "{bin} {density}"
            );
        }
        for (sampled, exact) in tally.mode_mass().iter().zip(&exact.mode_mass) {
            assert!((sampled - exact).abs() < 5.0 * (0.25f64 / 20_000.0).sqrt());
        }
        assert!(exact.total_variation > 0.05 && exact.total_variation < 1.0);
    }

    #[test]
    fn the_cache_knows_what_its_answer_depends_on() {
        let policy = Policy::<f64>::placeholder(16, 0.5);
        let mut cache = ExactCache::default();
        for request in [
            request(),
            SampleRequest {
                seed: 9,
                ..request()
            },
            SampleRequest {
                sigma_scale: 0.5,
                ..request()
            },
            SampleRequest {
                range: (-3.0, 5.0),
                ..request()
            },
            SampleRequest {
                cells: 32,
                ..request()
            },
            SampleRequest {
                model: "hard_off_policy".into(),
                ..request()
            },
            SampleRequest {
                model: "tempered".into(),
                beta: Some(0.5),
                ..request()
            },
            SampleRequest {
                model: "tempered".into(),
                beta: Some(2.0),
                ..request()
            },
        ] {
            let plan = Plan::of(request).unwrap();
            assert_eq!(*cache.get(&plan, &policy), Exact::of(&plan, &policy));
        }
    }
}
