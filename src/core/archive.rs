//! Where training trajectories can be drawn backwards from: an archive of terminal states that were
//! met, or the reward itself.
//!
//! The x-axis is cut into cells, and a cell keeps the latest terminal state that fell into it: of one
//! batch the last row, and the rows that were drawn backwards from a cell come last. A
//! cell is then drawn by a priority, and a trajectory walks back from its state by the backward
//! policy. Such rows keep a mode in the batch that the forward policy has found and would lose.

use crate::mixture::Mixture;
use serde::{Deserialize, Serialize};

/// Which rows of a batch are drawn backwards, and from where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BackwardRollouts {
    /// None: every row is drawn forwards.
    #[default]
    None,
    /// From terminal states of earlier batches.
    Archive {
        /// Rows of a batch.
        rows: usize,
        /// The first iteration (from 0) that has them.
        from_iteration: usize,
        /// Which states come first.
        priority: Priority,
    },
    /// From the density R^`exponent` / ∫R^`exponent`, which uses knowledge of R: it is no option
    /// for a reward that can only be asked for where a trajectory ends.
    Tempered {
        /// Rows of a batch.
        rows: usize,
        /// The exponent: 1 draws from the target itself, 0 evenly.
        exponent: f64,
    },
}

impl BackwardRollouts {
    /// Rows of a batch of `batch` rows that are drawn backwards, once they are.
    pub fn rows(&self, batch: usize) -> usize {
        match *self {
            BackwardRollouts::None => 0,
            BackwardRollouts::Archive { rows, .. } | BackwardRollouts::Tempered { rows, .. } => {
                rows.min(batch)
            }
        }
    }
}

/// The probability by which a cell of the archive is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Proportional to its state's reward.
    Reward,
    /// Proportional to 1 / (k/100 + rank) for the rank of its state's reward among the k cells in
    /// use, from 0 (Tripp et al. 2020).
    Rank,
}

/// The archive reaches from -[`REACH`] to [`REACH`].
const REACH: f32 = 30.0;
/// Cells of the archive to a unit of x.
const PER_UNIT: f32 = 10.0;
const CELLS: usize = (2.0 * REACH * PER_UNIT) as usize;

/// Terminal states by place.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The latest state of each cell.
    states: Vec<f32>,
    /// Its log R; minus infinity in a cell without one.
    log_rewards: Vec<f32>,
    /// Cells in use by falling reward, where ranks are asked for.
    order: Vec<u16>,
    /// Sums of the weights of the cells, one after the other.
    cumulative: Vec<f64>,
}

impl Archive {
    /// An archive without a state.
    pub fn empty() -> Self {
        Archive {
            states: vec![0.0; CELLS],
            log_rewards: vec![f32::NEG_INFINITY; CELLS],
            order: Vec::with_capacity(CELLS),
            cumulative: vec![0.0; CELLS],
        }
    }

    /// An archive of the middles of all cells.
    pub fn full(target: &Mixture) -> Self {
        let mut archive = Archive::empty();
        for cell in 0..CELLS {
            let state = (cell as f32 + 0.5) / PER_UNIT - REACH;
            archive.add(state, target.log_reward(f64::from(state)) as f32);
        }
        archive
    }

    /// Keeps a state, unless it or its reward is out of range.
    pub fn add(&mut self, state: f32, log_reward: f32) {
        let place = (state + REACH) * PER_UNIT;
        if (0.0..CELLS as f32).contains(&place) && log_reward.is_finite() {
            self.states[place as usize] = state;
            self.log_rewards[place as usize] = log_reward;
        }
    }

    /// Prepares the drawing by R^`exponent`.
    pub fn weigh_by_reward(&mut self, exponent: f64) {
        let largest = self.log_rewards.iter().copied().fold(f32::MIN, f32::max);
        let mut sum = 0.0;
        for (cumulative, &log_reward) in self.cumulative.iter_mut().zip(&self.log_rewards) {
            if log_reward.is_finite() {
                sum += (exponent * f64::from(log_reward - largest)).exp();
            }
            *cumulative = sum;
        }
    }

    /// Prepares the drawing by rank.
    pub fn weigh_by_rank(&mut self) {
        let Archive {
            log_rewards,
            order,
            cumulative,
            ..
        } = self;
        order.clear();
        order.extend((0..CELLS as u16).filter(|&cell| log_rewards[cell as usize].is_finite()));
        let reward = |cell: u16| log_rewards[cell as usize];
        // By place where rewards are equal, so that the order depends on the states alone.
        order.sort_unstable_by(|&a, &b| reward(b).total_cmp(&reward(a)).then(a.cmp(&b)));
        cumulative.fill(0.0);
        let offset = order.len() as f64 / 100.0;
        for (rank, &cell) in order.iter().enumerate() {
            cumulative[cell as usize] = 1.0 / (offset + rank as f64);
        }
        let mut sum = 0.0;
        for weight in cumulative {
            sum += *weight;
            *weight = sum;
        }
    }

    /// The state of the cell in which the share `at`, in [0, 1), of all weight is reached; `None`
    /// where no cell has a weight.
    pub fn draw(&self, at: f64) -> Option<f32> {
        let total = self.cumulative[CELLS - 1];
        let wanted = at * total;
        let cell = self.cumulative.partition_point(|&sum| sum <= wanted);
        (total > 0.0).then(|| self.states[cell.min(CELLS - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mixture::Mode;

    fn shares(archive: &Archive) -> Vec<(f32, f64)> {
        const DRAWS: usize = 100_000;
        let mut counts: Vec<(f32, f64)> = Vec::new();
        for i in 0..DRAWS {
            let state = archive.draw((i as f64 + 0.5) / DRAWS as f64).unwrap();
            match counts.last_mut() {
                Some((last, count)) if *last == state => *count += 1.0 / DRAWS as f64,
                _ => counts.push((state, 1.0 / DRAWS as f64)),
            }
        }
        counts
    }

    fn check(archive: &Archive, expected: &[(f32, f64)]) {
        let got = shares(archive);
        assert_eq!(got.len(), expected.len());
        for ((state, share), (expected_state, expected)) in got.into_iter().zip(expected) {
            assert_eq!(state, *expected_state);
            assert!((share - expected).abs() < 1e-4, "{state}: {share}");
        }
    }

    #[test]
    fn cells_are_drawn_by_their_latest_reward() {
        let mut archive = Archive::empty();
        assert_eq!(archive.draw(0.5), None);
        archive.add(-3.04, 5.0);
        archive.add(1.0, 3f32.ln());
        archive.add(-3.01, 0.0);
        // What cannot be kept.
        for state in [f32::NAN, 30.5, -31.0, f32::INFINITY] {
            archive.add(state, 9.0);
        }
        archive.add(2.0, f32::NAN);
        archive.weigh_by_reward(1.0);
        check(&archive, &[(-3.01, 0.25), (1.0, 0.75)]);
        archive.weigh_by_reward(0.0);
        check(&archive, &[(-3.01, 0.5), (1.0, 0.5)]);
    }

    #[test]
    fn ranks_forget_how_far_rewards_are_apart() {
        let mut archive = Archive::empty();
        archive.add(0.0, -80.0);
        archive.add(5.0, 2.0);
        archive.add(7.0, 1.9);
        archive.weigh_by_rank();
        let weights = [1.0 / 2.03, 1.0 / 0.03, 1.0 / 1.03];
        let sum: f64 = weights.iter().sum();
        let states = [0.0, 5.0, 7.0];
        let expected: Vec<_> = states.into_iter().zip(weights.map(|w| w / sum)).collect();
        check(&archive, &expected);
    }

    #[test]
    fn a_full_archive_is_the_target() {
        let target = Mixture::new(vec![Mode::new(-3.0, 0.2), Mode::new(3.0, 0.2)]);
        let mut archive = Archive::full(&target);
        archive.weigh_by_reward(1.0);
        let right: f64 = shares(&archive)
            .into_iter()
            .filter(|(state, _)| *state > 0.0)
            .map(|(_, share)| share)
            .sum();
        assert!((right - 0.5).abs() < 1e-3, "{right}");
    }
}
