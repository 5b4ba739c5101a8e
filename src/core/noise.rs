//! Counter-based random numbers: the normal variate of (seed, trajectory, step) is a pure
//! function, so every engine and every machine draws the same trajectories, in any order.
//!
//! The bits come from Threefry-2x32-20 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
//! as easy as 1, 2, 3", SC 2011), which needs only additions, rotations and exclusive ors and so
//! runs the same on a GPU. Bits become a normal variate by the inverse normal distribution
//! function, one word each: no pairs to carry, and only a logarithm and a square root that
//! engines may round differently.

use rand::TryRng;
use std::convert::Infallible;

/// Threefry-2x32 with 20 rounds: 64 random bits for a key and a counter.
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let schedule = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let mut x0 = counter[0].wrapping_add(schedule[0]);
    let mut x1 = counter[1].wrapping_add(schedule[1]);
    for group in 0..5 {
        for rotation in ROTATIONS[group % 2] {
            x0 = x0.wrapping_add(x1);
            x1 = x1.rotate_left(rotation) ^ x0;
        }
        let injection = group + 1;
        x0 = x0.wrapping_add(schedule[injection % 3]);
        x1 = x1
            .wrapping_add(schedule[(injection + 1) % 3])
            .wrapping_add(injection as u32);
    }
    [x0, x1]
}

/// A standard normal variate from 32 random bits (the top 23 are used), by M. Giles'
/// single-precision inverse error function ("Approximating the erfinv function", GPU Computing
/// Gems 2, 2010). The values lie in ±5.3 and are symmetric about zero.
#[inline(always)]
pub fn normal_from_bits(bits: u32) -> f32 {
    // The middle of one of 2^23 equal cells of (-1, 1): exact in f32.
    let x = ((bits >> 9) as f32 + 0.5) * (1.0 / 4_194_304.0) - 1.0;
    let w = -((1.0 - x) * (1.0 + x)).ln();
    inverse_erf_core(x, w)
}

/// sqrt(2) erfinv(x), given x and w = -ln(1 - x²). Split off so that engines with a logarithm of
/// their own share the polynomial.
#[inline(always)]
pub fn inverse_erf_core(x: f32, w: f32) -> f32 {
    let horner = |w: f32, c: &[f32; 9]| {
        let mut p = c[0];
        for &c in &c[1..] {
            p = p * w + c;
        }
        p
    };
    let p = if w < 5.0 {
        horner(w - 2.5, &CENTRAL)
    } else {
        horner(w.sqrt() - 3.0, &TAIL)
    };
    p * x * std::f32::consts::SQRT_2
}

/// Coefficients of Giles' polynomial for w < 5, in (w - 2.5), highest power first.
pub const CENTRAL: [f32; 9] = [
    2.810_226_4e-8,
    3.432_739_4e-7,
    -3.523_387_7e-6,
    -4.391_506_5e-6,
    0.000_218_580_87,
    -0.001_253_725,
    -0.004_177_681_6,
    0.246_640_73,
    1.501_409_4,
];

/// Coefficients of Giles' polynomial for w >= 5, in (sqrt(w) - 3), highest power first.
pub const TAIL: [f32; 9] = [
    -0.000_200_214_26,
    0.000_100_950_56,
    0.001_349_343_2,
    -0.003_673_428_4,
    0.005_739_507_7,
    -0.007_622_461_3,
    0.009_438_870_5,
    1.001_674,
    2.832_976_8,
];

/// The noise of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    key: [u32; 2],
}

impl Noise {
    /// The noise that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Noise {
            key: [seed as u32, (seed >> 32) as u32],
        }
    }

    /// The Threefry key: the seed's low and high words.
    pub fn key(&self) -> [u32; 2] {
        self.key
    }

    /// The standard normal variate of a trajectory's step (from 0). Two neighbouring steps share
    /// one Threefry block: the counter is (trajectory, step / 2), the word step % 2.
    #[inline]
    pub fn normal(&self, trajectory: u32, step: u32) -> f32 {
        let words = threefry2x32(self.key, [trajectory, step / 2]);
        normal_from_bits(words[(step % 2) as usize])
    }
}

impl Noise {
    /// A number in [0, 1) that belongs to a trajectory, by a counter that no step has.
    pub fn uniform(&self, trajectory: u32) -> f64 {
        let [word, _] = threefry2x32(self.key, [trajectory, u32::MAX]);
        f64::from(word) / 4_294_967_296.0
    }
}

/// The same generator as a stream for `rand`'s distributions: a key and a running counter.
#[derive(Clone, Debug)]
pub struct ThreefryRng {
    key: [u32; 2],
    counter: u64,
    spare: Option<u32>,
}

impl ThreefryRng {
    /// A stream for `seed`; streams of different `stream` numbers do not overlap within 2^32
    /// blocks.
    pub fn new(seed: u64, stream: u32) -> Self {
        ThreefryRng {
            key: [seed as u32, (seed >> 32) as u32],
            counter: u64::from(stream) << 32,
            spare: None,
        }
    }
}

impl TryRng for ThreefryRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        if let Some(word) = self.spare.take() {
            return Ok(word);
        }
        let [first, second] =
            threefry2x32(self.key, [self.counter as u32, (self.counter >> 32) as u32]);
        self.counter = self.counter.wrapping_add(1);
        self.spare = Some(second);
        Ok(first)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = u64::from(self.try_next_u32()?);
        let high = u64::from(self.try_next_u32()?);
        Ok(high << 32 | low)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(4) {
            let word = self.try_next_u32()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threefry_passes_the_known_answer_tests_of_its_authors() {
        // Random123 1.14, tests/kat_vectors, "threefry2x32 20".
        let cases: [([u32; 2], [u32; 2], [u32; 2]); 3] = [
            ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
            (
                [u32::MAX, u32::MAX],
                [u32::MAX, u32::MAX],
                [0x1cb9_96fc, 0xbb00_2be7],
            ),
            (
                [0x1319_8a2e, 0x0370_7344],
                [0x243f_6a88, 0x85a3_08d3],
                [0xc492_3a9c, 0x483d_f7a0],
            ),
        ];
        for (key, counter, expected) in cases {
            assert_eq!(threefry2x32(key, counter), expected);
        }
    }

    #[test]
    fn the_normal_variate_inverts_the_normal_distribution_function() {
        for k in (0..1u32 << 23).step_by(9973) {
            let z = f64::from(normal_from_bits(k << 9));
            let expected = (f64::from(k) + 0.5) / f64::from(1u32 << 23);
            let got = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
            let tail = expected.min(1.0 - expected);
            assert!(
                (got - expected).abs() < 2e-6 * tail + 2e-7,
                "{k}: {got} for {expected}"
            );
        }
        assert_eq!(normal_from_bits(0), -normal_from_bits(u32::MAX));
        assert!(normal_from_bits(u32::MAX) < 5.3);
    }

    #[test]
    fn the_variates_have_the_moments_of_a_normal() {
        let noise = Noise::new(7);
        let n = 200_000u32;
        let mut sums = [0.0f64; 4];
        let mut cross = 0.0;
        for i in 0..n {
            let z = f64::from(noise.normal(i, 3));
            for (power, sum) in sums.iter_mut().enumerate() {
                *sum += z.powi(power as i32 + 1);
            }
            cross += z * f64::from(noise.normal(i, 2));
        }
        let n = f64::from(n);
        // Five standard errors of each moment under the normal law.
        for (sum, expected, variance) in [
            (sums[0], 0.0, 1.0),
            (sums[1], 1.0, 2.0),
            (sums[2], 0.0, 15.0),
            (sums[3], 3.0, 96.0),
            (cross, 0.0, 1.0),
        ] {
            let error: f64 = sum / n - expected;
            assert!(error.abs() < 5.0 * f64::sqrt(variance / n), "{error}");
        }
    }

    #[test]
    fn seeds_and_streams_differ() {
        assert_ne!(Noise::new(1).normal(0, 0), Noise::new(2).normal(0, 0));
        assert_ne!(Noise::new(1).normal(0, 0), Noise::new(1 << 32).normal(0, 0));
        let word = |seed, stream| ThreefryRng::new(seed, stream).try_next_u32();
        assert_ne!(word(1, 0), word(1, 1));
    }
}
