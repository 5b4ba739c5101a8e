//! Samples, counted: a histogram and the samples in each basin of the target.

use serde::{Deserialize, Serialize};

/// Counts of samples, block by block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    range: (f64, f64),
    bins: Vec<u32>,
    midpoints: Vec<f32>,
    /// Samples above each midpoint.
    above: Vec<u32>,
    /// Samples that are numbers: wild weights can overflow to NaN, which lies in no basin.
    numbers: u32,
    drawn: u32,
}

impl Counts {
    /// Nothing yet: `bins` equal bins over `range`, and basins between the ascending `midpoints`.
    pub fn new(range: (f64, f64), bins: usize, midpoints: &[f64]) -> Counts {
        Counts {
            range,
            bins: vec![0; bins],
            midpoints: midpoints.iter().map(|&m| m as f32).collect(),
            above: vec![0; midpoints.len()],
            numbers: 0,
            drawn: 0,
        }
    }

    /// Counts these samples.
    pub fn add(&mut self, samples: &[f32]) {
        let (lo, hi) = self.range;
        let per_unit = (self.bins.len() as f64 / (hi - lo)) as f32;
        let lo = lo as f32;
        for &x in samples {
            let place = (x - lo) * per_unit;
            // A negative place must not be cast: it would land in bin 0.
            if place >= 0.0
                && let Some(bin) = self.bins.get_mut(place as u32 as usize)
            {
                *bin += 1;
            }
        }
        for (above, &midpoint) in self.above.iter_mut().zip(&self.midpoints) {
            let counted = samples.iter().map(|&x| u32::from(x > midpoint));
            *above += counted.sum::<u32>();
        }
        let numbers = samples.iter().map(|x| u32::from(!x.is_nan()));
        self.numbers += numbers.sum::<u32>();
        self.drawn += samples.len() as u32;
    }

    /// Takes in samples that were counted elsewhere, in the same bins and basins.
    ///
    /// # Shapes
    /// - bins: one for each bin
    /// - above: one for each midpoint, the samples above it
    pub fn merge(&mut self, bins: &[u32], above: &[u32], numbers: u32, drawn: u32) {
        for (sum, &n) in self.bins.iter_mut().zip(bins) {
            *sum += n;
        }
        for (sum, &n) in self.above.iter_mut().zip(above) {
            *sum += n;
        }
        self.numbers += numbers;
        self.drawn += drawn;
    }

    /// Takes in what was counted elsewhere, in the same bins and basins.
    pub fn merge_counts(&mut self, other: &Counts) {
        self.merge(&other.bins, &other.above, other.numbers, other.drawn);
    }

    /// How many samples two counts, in the same bins and basins, have put into different places:
    /// a sample at an edge may fall to either side when engines round differently.
    pub fn difference(&self, other: &Counts) -> u32 {
        let apart =
            |a: &[u32], b: &[u32]| a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).sum::<u32>();
        apart(&self.bins, &other.bins)
            + apart(&self.above, &other.above)
            + self.numbers.abs_diff(other.numbers)
            + self.drawn.abs_diff(other.drawn)
    }

    /// The x-range of the bins.
    pub fn range(&self) -> (f64, f64) {
        self.range
    }

    /// How many bins there are.
    pub fn bins(&self) -> usize {
        self.bins.len()
    }

    /// The points between the basins.
    pub fn midpoints(&self) -> &[f32] {
        &self.midpoints
    }

    /// Samples counted so far.
    pub fn drawn(&self) -> u32 {
        self.drawn
    }

    /// Per bin, the share of all samples (those outside of the range included) over the bin's
    /// width: a density, on the scale of the exact one.
    pub fn density(&self) -> Vec<f32> {
        let (lo, hi) = self.range;
        let density = self.bins.len() as f64 / ((hi - lo) * f64::from(self.drawn.max(1)));
        let counts = self.bins.iter();
        counts.map(|&n| (f64::from(n) * density) as f32).collect()
    }

    /// Per basin, from left to right, the share of all samples in it.
    pub fn basin_shares(&self) -> Vec<f64> {
        let all = f64::from(self.drawn.max(1));
        let from = std::iter::once(&self.numbers).chain(&self.above);
        let to = self.above.iter().chain(&[0]);
        let basins = from.zip(to);
        basins
            .map(|(from, to)| f64::from(from - to) / all)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_land_in_their_bins_and_basins() {
        let mut counts = Counts::new((-4.0, 4.0), 8, &[0.0, 2.0]);
        counts.add(&[-9.0, -4.0, -0.5, 0.5]);
        counts.add(&[3.999, 4.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(counts.drawn(), 9);
        let share = |n: f32| (f64::from(n) / 9.0) as f32;
        let expected = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0].map(share);
        assert_eq!(counts.density(), expected);
        assert_eq!(counts.basin_shares(), [4.0, 1.0, 3.0].map(|n| n / 9.0));

        let mut elsewhere = Counts::new((-4.0, 4.0), 8, &[0.0, 2.0]);
        elsewhere.merge(&[1, 0, 0, 1, 1, 0, 0, 1], &[4, 3], 8, 9);
        assert_eq!(elsewhere, counts);
        assert_eq!(elsewhere.difference(&counts), 0);
        elsewhere.add(&[3.0]);
        assert_eq!(elsewhere.difference(&counts), 5);
    }
}
