//! The CPU sampler: whole trajectories, a block of states at a time, in vector code. The laws of
//! the steps come from the network, or from a [`Table`] of it, which is some four times as fast.

use crate::network::{Activations, Network};
use crate::simd::{self, ABREAST, Aligned, Level, mul_add};
use crate::table::{self, Table};
use gflownet_tour_core::density::Laws;
use gflownet_tour_core::layout::ROW_TILE;
use gflownet_tour_core::noise::Noise;
use gflownet_tour_core::policy::{Gaussian, Policy, StdRange};
use gflownet_tour_core::rollout::{Rollout, Trajectories};
use pulp::{Simd, WithSimd};

/// Trajectories that are walked side by side: a few vectors of any width, and activations that
/// stay in the first cache.
pub const BLOCK: usize = 32;

/// Up to [`BLOCK`] neighbouring trajectories of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The number of the first one within the batch.
    pub first: usize,
    /// How many there are; the rest of each row means nothing.
    pub len: usize,
    /// x_0, ..., x_N: a row of states each.
    pub states: &'a [[f32; BLOCK]],
}

impl Block<'_> {
    /// The terminal states x_N.
    pub fn terminals(&self) -> &[f32] {
        self.states
            .last()
            .map_or(&[], |terminals| &terminals[..self.len])
    }
}

/// Draws trajectories from a policy.
///
/// ```
/// use gflownet_tour_core::{policy::Policy, rollout::Rollout};
/// use gflownet_tour_speed::sampler::Sampler;
///
/// let rollout = Rollout {
///     start: 0.0,
///     steps: 5,
///     sigma_scale: 1.0,
///     extra_std: 0.0, // units of x
///     seed: 7,
///     first: 0,
/// };
/// let policy = Policy::<f32>::placeholder(64, 0.35);
/// let fast = Sampler::new(&policy).draw(&rollout, 100);
/// let plain = rollout.draw(&policy, 100);
/// for (fast, plain) in fast.terminals().zip(plain.terminals()) {
///     assert!((fast - plain).abs() < 1e-4);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sampler {
    network: Network,
    level: Level,
    table: Option<Table>,
}

impl Sampler {
    /// A sampler of `policy` that uses the widest vectors of the machine.
    pub fn new(policy: &Policy<f32>) -> Sampler {
        Sampler::at(Level::best(), policy)
    }

    /// A sampler of `policy` that uses these vectors.
    pub fn at(level: Level, policy: &Policy<f32>) -> Sampler {
        Sampler {
            network: Network::new(policy),
            level,
            table: None,
        }
    }

    /// The same sampler with its policy tabulated for trajectories of `steps` steps from `start`.
    /// It is used for rollouts that are no longer than that.
    #[must_use]
    pub fn tabulated(self, start: f64, steps: usize) -> Sampler {
        Sampler {
            table: Some(Table::of(&self.network, self.level, start, steps)),
            ..self
        }
    }

    /// Draws `count` trajectories, which `sink` takes block by block: what [`Rollout::draw`]
    /// gives, to rounding. The first step, which all take from the same state, is evaluated once.
    pub fn draw_blocks(&self, rollout: &Rollout, count: usize, sink: &mut dyn FnMut(Block<'_>)) {
        let covers = |table: &&Table| table.steps() >= rollout.steps;
        let table = self.table.as_ref().filter(covers);
        draw(&self.network, table, self.level, rollout, count, sink);
    }

    /// Draws `count` trajectories: what [`Rollout::draw`] gives, to rounding.
    pub fn draw(&self, rollout: &Rollout, count: usize) -> Trajectories<f32> {
        let row = rollout.steps + 1;
        let mut states = vec![0.0; count * row];
        self.draw_blocks(rollout, count, &mut |block| {
            let rows = states[block.first * row..][..block.len * row].chunks_exact_mut(row);
            for (i, trajectory) in rows.enumerate() {
                for (state, states) in trajectory.iter_mut().zip(block.states) {
                    *state = states[i];
                }
            }
        });
        Trajectories {
            steps: rollout.steps,
            states,
        }
    }
}

/// The laws that the sampler draws from, in its own precision.
impl Laws for Sampler {
    fn laws(&self, x: &[f64], t: usize) -> Vec<Gaussian<f64>> {
        let mut laws = Vec::with_capacity(x.len());
        self.level.dispatch(Evaluate {
            sampler: self,
            x,
            t,
            laws: &mut laws,
        });
        laws
    }

    fn std_range(&self) -> StdRange {
        self.network.std_range
    }
}

struct Evaluate<'a> {
    sampler: &'a Sampler,
    x: &'a [f64],
    t: usize,
    laws: &'a mut Vec<Gaussian<f64>>,
}

impl WithSimd for Evaluate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Sampler { network, table, .. } = self.sampler;
        let in_table = |table: &&Table| (1..table.steps()).contains(&self.t);
        let table = table.as_ref().filter(in_table);
        let mut laws = LawsOfBlock::new(network);
        for x in self.x.chunks(BLOCK) {
            let mut states = [0.0; BLOCK];
            for (state, &x) in states.iter_mut().zip(x) {
                *state = x as f32;
            }
            let rows = x.len().next_multiple_of(S::F32_LANES.max(ROW_TILE));
            laws.find(simd, network, table, (&states[..rows.min(BLOCK)], self.t));
            let found = laws.mean.floats().iter().zip(laws.std.floats());
            self.laws
                .extend(found.take(x.len()).map(|(&mean, &std)| Gaussian {
                    mean: f64::from(mean),
                    std: f64::from(std),
                }));
        }
    }
}

/// Room for the laws of a block of states.
struct LawsOfBlock {
    mean: Aligned,
    std: Aligned,
    features: Aligned,
    first_layer: Aligned,
    missing: Vec<usize>,
}

impl LawsOfBlock {
    fn new(network: &Network) -> Self {
        LawsOfBlock {
            mean: Aligned::zeros(BLOCK),
            std: Aligned::zeros(BLOCK),
            features: Aligned::zeros(BLOCK * network.layout.feature_row()),
            first_layer: Aligned::zeros(BLOCK * network.layout.width),
            missing: Vec::with_capacity(BLOCK),
        }
    }

    /// Means and standard deviations in the states (x, t), a number of whole vectors and tiles: by
    /// the table where there is one, by the network where there is none or the table says so.
    #[inline(always)]
    fn find<S: Simd>(
        &mut self,
        simd: S,
        network: &Network,
        table: Option<&Table>,
        (x, t): (&[f32], usize),
    ) {
        let LawsOfBlock {
            mean,
            std,
            features,
            first_layer,
            missing,
        } = self;
        let room = Activations {
            features: features.floats_mut(),
            first: first_layer.vectors_mut::<S>(),
            second: None,
        };
        if let Some(table) = table {
            table.laws(simd, (x, t), mean, std, missing);
            if !missing.is_empty() {
                let (mean, std) = (mean.floats_mut(), std.floats_mut());
                table::ask_network(simd, network, (x, t), missing, room, mean, std);
            }
            return;
        }
        network.forward(
            simd,
            (x, t as f32),
            room,
            &mut mean.floats_mut()[..x.len()],
            &mut std.floats_mut()[..x.len()],
        );
        let stds = network.stds();
        for std in &mut std.vectors_mut::<S>()[..x.len() / S::F32_LANES] {
            *std = stds.of(simd, *std);
        }
    }
}

/// Draws from a network, or from a table of it that is long enough.
pub(crate) fn draw(
    network: &Network,
    table: Option<&Table>,
    level: Level,
    rollout: &Rollout,
    count: usize,
    sink: &mut dyn FnMut(Block<'_>),
) {
    level.dispatch(Draw {
        network,
        table,
        rollout,
        count,
        sink,
    });
}

struct Draw<'a> {
    network: &'a Network,
    table: Option<&'a Table>,
    rollout: &'a Rollout,
    count: usize,
    sink: &'a mut dyn FnMut(Block<'_>),
}

impl WithSimd for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Draw {
            network,
            table,
            rollout,
            count,
            sink,
        } = self;
        let steps = rollout.steps;
        let start = rollout.start as f32;
        let scale = simd.splat_f32s(rollout.sigma_scale as f32);
        let extra = simd.splat_f32s(rollout.extra_std as f32);
        let mut walk = Walk::<S, BLOCK>::new(simd, rollout);
        let mut laws = LawsOfBlock::new(network);
        let mut states = vec![[start; BLOCK]; steps + 1];
        // The law of the first step, in every lane.
        laws.find(simd, network, None, (&states[0], 0));
        let first_law = (laws.mean.vectors::<S>()[0], laws.std.vectors::<S>()[0]);

        for first in (0..count).step_by(BLOCK) {
            let len = BLOCK.min(count - first);
            // A short last block needs no more rows than it has.
            let rows = len.next_multiple_of(S::F32_LANES.max(ROW_TILE)).min(BLOCK);
            for step in 0..steps {
                let z = walk.normals(simd, first as u32, step as u32, step + 1 == steps);
                let (before, after) = states.split_at_mut(step + 1);
                let (before, after) = (&before[step][..rows], &mut after[0]);
                if step > 0 {
                    laws.find(simd, network, table, (before, step));
                }
                let (from, _) = S::as_simd_f32s(before);
                let (to, _) = S::as_mut_simd_f32s(after);
                for v in 0..rows / S::F32_LANES {
                    let (mean, std) = if step == 0 {
                        first_law
                    } else {
                        (laws.mean.vectors::<S>()[v], laws.std.vectors::<S>()[v])
                    };
                    let std = mul_add(simd, std, scale, extra);
                    to[v] = mul_add(simd, std, z[v], simd.add_f32s(from[v], mean));
                }
            }
            sink(Block {
                first,
                len,
                states: &states,
            });
        }
    }
}

/// The noise of a block's steps. One block of Threefry gives the words of two neighbouring steps.
pub(crate) struct Walk<S: Simd, const N: usize> {
    key: [u32; 2],
    first: u32,
    lanes: S::u32s,
    words: [[S::u32s; N]; 2],
    odd: [S::f32s; N],
    even: [S::f32s; N],
}

impl<S: Simd, const N: usize> Walk<S, N> {
    pub fn new(simd: S, rollout: &Rollout) -> Self {
        let zeros = [simd.splat_f32s(0.0); N];
        Walk {
            key: Noise::new(rollout.seed).key(),
            first: rollout.first,
            lanes: simd::iota(simd),
            words: [[simd.splat_u32s(0); N]; 2],
            odd: zeros,
            even: zeros,
        }
    }

    /// The variates of N trajectories from number `first` of the batch on, in as many
    /// vectors as they fill. Steps are asked for in order, up to the `last`.
    #[inline(always)]
    pub fn normals(&mut self, simd: S, first: u32, step: u32, last: bool) -> &[S::f32s; N] {
        if step % 2 == 1 {
            return &self.odd;
        }
        let first = self.first.wrapping_add(first);
        let vectors = N / S::F32_LANES;
        let mut first = simd.add_u32s(self.lanes, simd.splat_u32s(first));
        let half = simd.splat_u32s(step / 2);
        let width = simd.splat_u32s(S::U32_LANES as u32);
        for v in (0..vectors).step_by(ABREAST) {
            let mut counters = [[first, half]; ABREAST];
            for counter in &mut counters {
                counter[0] = first;
                first = simd.add_u32s(first, width);
            }
            for (i, words) in simd::threefry2x32(simd, self.key, counters)
                .iter()
                .enumerate()
            {
                [self.words[0][v + i], self.words[1][v + i]] = *words;
            }
        }
        simd::normals_from_bits(simd, &self.words[0][..vectors], &mut self.even[..vectors]);
        if !last {
            simd::normals_from_bits(simd, &self.words[1][..vectors], &mut self.odd[..vectors]);
        }
        &self.even
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::noise::ThreefryRng;
    use gflownet_tour_core::policy::Inputs;

    const FEATURES: Inputs = Inputs::StepFeatures { steps: 5 };

    #[test]
    fn the_sampler_draws_what_the_plain_formula_draws() {
        for (inputs, hidden, steps, sigma_scale, extra_std, count, first) in [
            (64, 5, 1.0, 0.0, 100, 0),
            (64, 1, 0.02, 0.0, 1, 7),
            (16, 20, 0.5, 0.3, 13, u32::MAX - 4),
            (3, 8, 5.0, 2.0, 16, 1 << 20),
            (100, 2, 1.0, 0.0, 33, 5),
        ]
        .into_iter()
        .flat_map(|case| [Inputs::Raw, FEATURES].map(|inputs| (case, inputs)))
        .map(|((hidden, steps, scale, std, count, first), inputs)| {
            (inputs, hidden, steps, scale, std, count, first)
        }) {
            let mut rng = ThreefryRng::new(hidden as u64, 0);
            let range = match hidden {
                16 => StdRange {
                    min_std: 0.03,
                    max_std: 2.5,
                },
                _ => StdRange::USUAL,
            };
            let policy = Policy::<f64>::init_with(inputs, hidden, &mut rng).with_std_range(range);
            let rollout = Rollout {
                start: 0.25,
                steps,
                sigma_scale,
                extra_std,
                seed: 99,
                first,
            };
            let plain = rollout.draw(&policy, count);
            for level in Level::all() {
                let sampler = Sampler::at(level, &policy.cast());
                let tabulated = sampler.clone().tabulated(0.25, steps);
                for sampler in [sampler, tabulated] {
                    let fast = sampler.draw(&rollout, count);
                    assert_eq!(fast.states.len(), plain.states.len());
                    for (a, b) in plain.states.iter().zip(&fast.states) {
                        assert!(
                            (a - f64::from(*b)).abs() < 1e-4 * a.abs().max(1.0),
                            "{a} {b}"
                        );
                    }
                }
            }
        }
    }

    /// At most 1e-5 of the density's maximum, which is what a reader could not see either.
    #[test]
    fn network_and_table_have_the_same_terminal_density() {
        use gflownet_tour_core::density::{Tails, TerminalDensity};
        for (seed, scale) in [(0, 1.0), (1, 0.3), (2, 3.0)] {
            let policy = Policy::<f32>::init(64, &mut ThreefryRng::new(seed, 0));
            let network = Sampler::new(&policy);
            let table = network.clone().tabulated(0.0, 5);
            let of = |laws: &Sampler| TerminalDensity::with_tails(laws, 0.0, 5, scale, Tails::Bulk);
            let (network, table) = (of(&network), of(&table));
            let reach = 4.0 * network.std();
            let range = (network.mean() - reach, network.mean() + reach);
            let points = |d: &TerminalDensity| d.points(range.0, range.1, 401);
            let (network, table) = (points(&network), points(&table));
            let largest = network.iter().copied().fold(0.0, f64::max);
            for (a, b) in network.iter().zip(&table) {
                assert!((a - b).abs() < 1e-5 * largest, "{seed}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_network_gives_its_policy_back() {
        for hidden in [1, 16, 50, 64] {
            for inputs in [Inputs::Raw, FEATURES] {
                let policy = Policy::<f32>::init_with(inputs, hidden, &mut ThreefryRng::new(1, 0));
                assert_eq!(Network::new(&policy).to_policy(), policy);
            }
        }
    }
}
