//! What bounds all that computes: the machine's fused multiply-adds, with nothing to load or store.

use pulp::x86::{V3, V4};
use pulp::{Simd, WithSimd};
use std::hint::black_box;

/// The multiply-adds of 100,000 trajectories of five steps through a network of 1, 64, 64 and 2 numbers,
/// time being a part of the bias: four steps each, since the first is the same for all.
pub const OF_100_000_TRAJECTORIES: u64 = 100_000 * 4 * (64 + 64 * 64 + 64 * 2);

/// As many sums at once as keep both units of a core busy and fit in AVX2's registers.
const SUMS: usize = 12;

/// So many multiply-adds of floats.
struct MultiplyAdds(u64);

impl WithSimd for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat_f32s(black_box(0.5));
        let term = simd.splat_f32s(black_box(1.0));
        let mut sums = [simd.splat_f32s(0.0); SUMS];
        for _ in 0..self.0 / (SUMS * S::F32_LANES) as u64 {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(factor, *sum, term);
            }
        }
        let [first, rest @ ..] = sums;
        simd.reduce_sum_f32s(rest.into_iter().fold(first, |a, b| simd.add_f32s(a, b)))
    }
}

/// The name of a set of vectors, and what they do.
pub type Work = (&'static str, Box<dyn FnMut()>);

/// Those of [`OF_100_000_TRAJECTORIES`] by each set of vectors that the machine has, with its name.
pub fn all() -> Vec<Work> {
    fn with(name: &'static str, simd: impl Simd) -> Work {
        let work = move || {
            black_box(Simd::vectorize(simd, MultiplyAdds(OF_100_000_TRAJECTORIES)));
        };
        (name, Box::new(work))
    }
    let wide = V4::try_new().map(|simd| with("AVX-512", simd));
    let narrow = V3::try_new().map(|simd| with("AVX2", simd));
    wide.into_iter().chain(narrow).collect()
}
