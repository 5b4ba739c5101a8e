//! Vector code for the hot loops: one source for AVX-512, AVX2, WASM's simd128 and plain scalars,
//! chosen when the program runs.
//!
//! [`pulp`] gives the vectors and the choice. Here are the few functions of a vector that it does
//! not have: the exponential, ELU, the logarithm and normal variates. Each has a plain twin that a
//! test compares it with.

use bytemuck::{Pod, Zeroable};
use gflownet_tour_core::layout::LINE;
use gflownet_tour_core::noise::{CENTRAL, TAIL};
use pulp::{Arch, Simd, WithSimd};

/// A set of vector instructions that this machine has.
#[derive(Clone, Copy, Debug)]
pub struct Level(Arch);

impl Level {
    /// The widest that the machine has.
    pub fn best() -> Level {
        Level(Arch::new())
    }

    /// All that the machine has and this code is built for, plain scalars last.
    pub fn all() -> Vec<Level> {
        #[cfg(target_arch = "x86_64")]
        let mut levels: Vec<Level> = [
            pulp::x86::V4::try_new().map(|v4| Level(Arch::V4(v4))),
            pulp::x86::V3::try_new().map(|v3| Level(Arch::V3(v3))),
        ]
        .into_iter()
        .flatten()
        .collect();
        #[cfg(not(target_arch = "x86_64"))]
        let mut levels = vec![Level::best()];
        // In a browser there is nothing below simd128: see `dispatch`.
        let has_scalars = matches!(levels.last(), Some(Level(Arch::Scalar)));
        if !cfg!(target_arch = "wasm32") && !has_scalars {
            levels.push(Level(Arch::Scalar));
        }
        levels
    }

    /// What the field calls it.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Arch::V3(_) => "AVX2",
            #[cfg(target_arch = "wasm32")]
            Arch::Simd128(_) => "simd128",
            #[cfg(target_arch = "wasm32")]
            Arch::RelaxedSimd(_) => "relaxed SIMD",
            #[cfg(target_arch = "aarch64")]
            Arch::Neon(_) => "NEON",
            Arch::Scalar => "scalar",
            #[allow(unreachable_patterns, reason = "pulp's list of architectures is open")]
            _ => "vectors",
        }
    }

    #[allow(clippy::unreachable, reason = "see there")]
    #[inline(always)]
    pub(crate) fn dispatch<Op: WithSimd>(self, op: Op) -> Op::Output {
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        match self.0 {
            // One of the two: what the file was built with.
            #[cfg(not(target_feature = "relaxed-simd"))]
            Arch::Simd128(simd) => Simd::vectorize(simd, op),
            #[cfg(target_feature = "relaxed-simd")]
            Arch::RelaxedSimd(simd) => Simd::vectorize(simd, op),
            // So the file carries no second copy of everything in plain scalars.
            _ => unreachable!("a browser without these vectors refuses the whole file"),
        }
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        self.0.dispatch(op)
    }
}

/// Floats that start on a cache line, so that no vector straddles two.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

impl Aligned {
    /// Zeros, as many as `len` and what fills the last line.
    pub fn zeros(len: usize) -> Self {
        Aligned {
            lines: vec![Line([0.0; LINE]); len.div_ceil(LINE)],
        }
    }

    pub fn floats(&self) -> &[f32] {
        bytemuck::cast_slice(&self.lines)
    }

    pub fn floats_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }

    pub fn vectors<S: Simd>(&self) -> &[S::f32s] {
        bytemuck::cast_slice(&self.lines)
    }

    pub fn vectors_mut<S: Simd>(&mut self) -> &mut [S::f32s] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }
}

/// a·b + c, in one rounding where the machine has that.
#[inline(always)]
pub(crate) fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(a, b, c)
}

/// Operations that [`pulp`] does one lane at a time in WASM, by the vector instruction there.
#[cfg(target_arch = "wasm32")]
mod wasm {
    use core::arch::wasm32::{self, v128};
    use pulp::Simd;

    /// Whether the vectors are simd128's.
    #[inline(always)]
    pub const fn is_simd128<S: Simd>() -> bool {
        S::F32_LANES == 4
    }

    #[inline(always)]
    pub fn floats<S: Simd>(f: fn(v128, v128) -> v128, a: S::f32s, b: S::f32s) -> S::f32s {
        bytemuck::cast(f(bytemuck::cast(a), bytemuck::cast(b)))
    }

    #[inline(always)]
    pub fn shift<S: Simd>(f: fn(v128, u32) -> v128, a: S::u32s, by: u32) -> S::u32s {
        bytemuck::cast(f(bytemuck::cast(a), by))
    }

    #[inline(always)]
    pub fn min(a: v128, b: v128) -> v128 {
        wasm32::f32x4_pmin(b, a)
    }

    #[inline(always)]
    pub fn max(a: v128, b: v128) -> v128 {
        wasm32::f32x4_pmax(b, a)
    }

    #[inline(always)]
    pub fn shl(a: v128, by: u32) -> v128 {
        wasm32::u32x4_shl(a, by)
    }

    #[inline(always)]
    pub fn shr(a: v128, by: u32) -> v128 {
        wasm32::u32x4_shr(a, by)
    }
}

/// The smaller of each pair; `b` where `a` is no number.
#[inline(always)]
pub(crate) fn min<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    #[cfg(target_arch = "wasm32")]
    if wasm::is_simd128::<S>() {
        return wasm::floats::<S>(wasm::min, a, b);
    }
    simd.min_f32s(a, b)
}

/// The larger of each pair; `b` where `a` is no number.
#[inline(always)]
pub(crate) fn max<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    #[cfg(target_arch = "wasm32")]
    if wasm::is_simd128::<S>() {
        return wasm::floats::<S>(wasm::max, a, b);
    }
    simd.max_f32s(a, b)
}

#[inline(always)]
fn shl<S: Simd>(simd: S, a: S::u32s, by: u32) -> S::u32s {
    #[cfg(target_arch = "wasm32")]
    if wasm::is_simd128::<S>() {
        return wasm::shift::<S>(wasm::shl, a, by);
    }
    simd.wrapping_dyn_shl_u32s(a, simd.splat_u32s(by))
}

#[inline(always)]
fn shr<S: Simd>(simd: S, a: S::u32s, by: u32) -> S::u32s {
    #[cfg(target_arch = "wasm32")]
    if wasm::is_simd128::<S>() {
        return wasm::shift::<S>(wasm::shr, a, by);
    }
    simd.wrapping_dyn_shr_u32s(a, simd.splat_u32s(by))
}

#[inline(always)]
fn horner<S: Simd>(simd: S, x: S::f32s, coefficients: &[f32]) -> S::f32s {
    let mut p = simd.splat_f32s(coefficients[0]);
    for &c in &coefficients[1..] {
        p = simd.mul_add_e_f32s(p, x, simd.splat_f32s(c));
    }
    p
}

/// 1.5·2^23 + 127: adding it leaves the nearest integer, biased as an exponent is, in the low bits.
const SHIFT: f32 = 12_583_039.0;

/// The polynomial of degree 5 that is 1 at 0 and nearest to 2^f on [-1/2, 1/2] in the largest
/// relative error, 9.2e-8. Highest power first; by reweighted least squares.
#[allow(clippy::approx_constant, reason = "the best slope is not quite ln 2")]
const EXP2: [f32; 6] = [
    1.326_472_7e-3,
    9.671_513e-3,
    5.550_733_7e-2,
    2.402_224_2e-1,
    0.693_147,
    1.0,
];

/// The powers of two and the fraction's exponential that make up e^x: e^x = scale · p.
#[inline(always)]
fn exp_parts<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let log2_e = simd.splat_f32s(std::f32::consts::LOG2_E);
    let shift = simd.splat_f32s(SHIFT);
    let shifted = mul_add(simd, x, log2_e, shift);
    let whole = simd.sub_f32s(shifted, shift);
    let fraction = mul_add(simd, x, log2_e, simd.neg_f32s(whole));
    let p = horner(simd, fraction, &EXP2);
    let bits = shl(simd, simd.transmute_u32s_f32s(shifted), 23);
    (simd.transmute_f32s_u32s(bits), p)
}

/// e^x for x in [-87, 87], clamped outside. The relative error is below 3e-7 + 8e-8·|x|.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = max(
        simd,
        min(simd, x, simd.splat_f32s(87.0)),
        simd.splat_f32s(-87.0),
    );
    let (scale, p) = exp_parts(simd, x);
    simd.mul_f32s(scale, p)
}

/// ELU: x for x > 0, else e^x - 1. The absolute error is below 4e-7.
#[inline(always)]
pub(crate) fn elu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let below = max(
        simd,
        min(simd, x, simd.splat_f32s(0.0)),
        simd.splat_f32s(-87.0),
    );
    let (scale, p) = exp_parts(simd, below);
    // e^x - 1 >= x everywhere, and it is exactly 0 at 0.
    max(simd, x, mul_add(simd, scale, p, simd.splat_f32s(-1.0)))
}

/// ELU's slope, from its value: 1 above zero, e^x = value + 1 below.
#[inline(always)]
pub(crate) fn elu_slope<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    simd.add_f32s(min(simd, value, simd.splat_f32s(0.0)), simd.splat_f32s(1.0))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.neg_f32s(x))))
}

/// ln x for normal x > 0, to 2 units in the last place and 1e-7.
#[inline(always)]
pub(crate) fn ln<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // The Cephes library's coefficients for ln(1 + f) - f + f²/2, over f³.
    const P: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_87e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    // x = m·2^e with m in [√½, √2).
    let bits = simd.add_u32s(
        simd.transmute_u32s_f32s(x),
        simd.splat_u32s(0x3f80_0000 - 0x3f35_04f3),
    );
    let exponent = shr(simd, bits, 23);
    let m = simd.add_u32s(
        simd.and_u32s(bits, simd.splat_u32s(0x007f_ffff)),
        simd.splat_u32s(0x3f35_04f3),
    );
    // 2^23 + exponent, as a float's bits.
    let e = simd.sub_f32s(
        simd.transmute_f32s_u32s(simd.or_u32s(exponent, simd.splat_u32s(0x4b00_0000))),
        simd.splat_f32s(8_388_608.0 + 127.0),
    );
    let f = simd.sub_f32s(simd.transmute_f32s_u32s(m), simd.splat_f32s(1.0));
    let square = simd.mul_f32s(f, f);
    let tail = simd.mul_f32s(simd.mul_f32s(horner(simd, f, &P), f), square);
    let tail = mul_add(simd, e, simd.splat_f32s(-2.121_944_4e-4), tail);
    let tail = mul_add(simd, square, simd.splat_f32s(-0.5), tail);
    mul_add(
        simd,
        e,
        simd.splat_f32s(0.693_359_4),
        simd.add_f32s(f, tail),
    )
}

/// π/2 in three parts, the first two so short that their products with whole numbers up to 2^13
/// are exact.
const HALF_PI: [f32; 3] = [1.570_312_5, 4.837_513e-4, 7.549_79e-8];
/// The largest angle that [`sin_cos`] takes, in radians.
const MOST_ANGLE: f32 = 8_192.0;

/// Sine and cosine of an angle in radians, clamped to ±8192. The absolute error is below 2e-7.
#[inline(always)]
pub(crate) fn sin_cos<S: Simd>(simd: S, angle: S::f32s) -> (S::f32s, S::f32s) {
    // The Cephes library's coefficients on [-π/4, π/4].
    const SIN: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];
    const COS: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];
    // 1.5·2^23: adding it leaves the nearest integer in the low bits.
    let shift = simd.splat_f32s(12_582_912.0);
    let most = simd.splat_f32s(MOST_ANGLE);
    let angle = max(simd, min(simd, angle, most), simd.neg_f32s(most));
    let per_quadrant = simd.splat_f32s(std::f32::consts::FRAC_2_PI);
    let shifted = mul_add(simd, angle, per_quadrant, shift);
    let quadrant = simd.transmute_u32s_f32s(shifted);
    let whole = simd.neg_f32s(simd.sub_f32s(shifted, shift));
    let mut r = angle;
    for part in HALF_PI {
        r = mul_add(simd, whole, simd.splat_f32s(part), r);
    }
    let square = simd.mul_f32s(r, r);
    let sin = mul_add(
        simd,
        simd.mul_f32s(horner(simd, square, &SIN), square),
        r,
        r,
    );
    let cos = simd.mul_f32s(simd.mul_f32s(horner(simd, square, &COS), square), square);
    let one = simd.splat_f32s(1.0);
    let cos = simd.add_f32s(mul_add(simd, square, simd.splat_f32s(-0.5), one), cos);
    // Odd quadrants swap the two. The sign of the sine is the quadrant's second bit, and that of
    // the cosine the next quadrant's.
    let lowest = simd.splat_u32s(1);
    let is_odd = simd.equal_u32s(simd.and_u32s(quadrant, lowest), lowest);
    let next = simd.add_u32s(quadrant, lowest);
    (
        signed(simd, quadrant, simd.select_f32s(is_odd, cos, sin)),
        signed(simd, next, simd.select_f32s(is_odd, sin, cos)),
    )
}

/// `value`, negative where the second bit of `quadrant` is set.
#[inline(always)]
fn signed<S: Simd>(simd: S, quadrant: S::u32s, value: S::f32s) -> S::f32s {
    let sign = shl(simd, simd.and_u32s(quadrant, simd.splat_u32s(2)), 30);
    simd.transmute_f32s_u32s(simd.xor_u32s(simd.transmute_u32s_f32s(value), sign))
}

/// Counters that are hashed side by side: each round waits for the one before, and two chains
/// keep the machine busy.
pub(crate) const ABREAST: usize = 2;

/// Two words of each of [`ABREAST`] vectors of blocks.
type Blocks<S> = [[<S as Simd>::u32s; 2]; ABREAST];

/// One of Threefry's rounds, with its rotation.
#[inline(always)]
fn round<S: Simd, const LEFT: u32>(simd: S, mut blocks: Blocks<S>) -> Blocks<S> {
    for [x0, x1] in &mut blocks {
        *x0 = simd.add_u32s(*x0, *x1);
        let rotated = simd.or_u32s(shl(simd, *x1, LEFT), shr(simd, *x1, 32 - LEFT));
        *x1 = simd.xor_u32s(rotated, *x0);
    }
    blocks
}

/// Four rounds and the key that follows them. The rotations are constants because a shift by a
/// variable costs several times as much.
#[inline(always)]
fn four_rounds<S: Simd, const A: u32, const B: u32, const C: u32, const D: u32>(
    simd: S,
    x: Blocks<S>,
    key: [u32; 2],
) -> Blocks<S> {
    let x = round::<S, A>(simd, x);
    let x = round::<S, B>(simd, x);
    let x = round::<S, C>(simd, x);
    let x = round::<S, D>(simd, x);
    inject(simd, x, key)
}

#[inline(always)]
fn inject<S: Simd>(simd: S, mut blocks: Blocks<S>, key: [u32; 2]) -> Blocks<S> {
    for [x0, x1] in &mut blocks {
        *x0 = simd.add_u32s(*x0, simd.splat_u32s(key[0]));
        *x1 = simd.add_u32s(*x1, simd.splat_u32s(key[1]));
    }
    blocks
}

/// [`gflownet_tour_core::noise::threefry2x32`] for vectors of counters.
#[inline(always)]
pub(crate) fn threefry2x32<S: Simd>(simd: S, key: [u32; 2], counters: Blocks<S>) -> Blocks<S> {
    let [k0, k1] = key;
    let k2 = 0x1BD1_1BDA ^ k0 ^ k1;
    let x = inject(simd, counters, [k0, k1]);
    let x = four_rounds::<S, 13, 15, 26, 6>(simd, x, [k1, k2.wrapping_add(1)]);
    let x = four_rounds::<S, 17, 29, 16, 24>(simd, x, [k2, k0.wrapping_add(2)]);
    let x = four_rounds::<S, 13, 15, 26, 6>(simd, x, [k0, k1.wrapping_add(3)]);
    let x = four_rounds::<S, 17, 29, 16, 24>(simd, x, [k1, k2.wrapping_add(4)]);
    four_rounds::<S, 13, 15, 26, 6>(simd, x, [k2, k0.wrapping_add(5)])
}

/// [`gflownet_tour_core::noise::normal_from_bits`] for vectors of words.
#[inline(always)]
pub(crate) fn normals_from_bits<S: Simd>(simd: S, bits: &[S::u32s], normals: &mut [S::f32s]) {
    let root_2 = simd.splat_f32s(std::f32::consts::SQRT_2);
    let mut largest = simd.splat_f32s(0.0);
    for (&bits, normal) in bits.iter().zip(&mut *normals) {
        let (x, w) = uniform(simd, bits);
        let p = horner(simd, simd.sub_f32s(w, simd.splat_f32s(2.5)), &CENTRAL);
        *normal = simd.mul_f32s(simd.mul_f32s(p, x), root_2);
        largest = max(simd, largest, w);
    }
    // One variate in three hundred lies in the tails.
    if simd.reduce_max_f32s(largest) >= 5.0 {
        for (&bits, normal) in bits.iter().zip(&mut *normals) {
            let (x, w) = uniform(simd, bits);
            let root = simd.sub_f32s(simd.sqrt_f32s(w), simd.splat_f32s(3.0));
            let tail = simd.mul_f32s(simd.mul_f32s(horner(simd, root, &TAIL), x), root_2);
            let is_tail = simd.greater_than_or_equal_f32s(w, simd.splat_f32s(5.0));
            *normal = simd.select_f32s(is_tail, tail, *normal);
        }
    }
}

/// A number x of (-1, 1) from the top 23 bits of a word, exact, and w = -ln(1 - x²).
#[inline(always)]
fn uniform<S: Simd>(simd: S, bits: S::u32s) -> (S::f32s, S::f32s) {
    // The bits as the mantissa of a float in [1, 2).
    let mantissa = simd.or_u32s(shr(simd, bits, 9), simd.splat_u32s(0x3f80_0000));
    let x = simd.add_f32s(
        mul_add(
            simd,
            simd.transmute_f32s_u32s(mantissa),
            simd.splat_f32s(2.0),
            simd.splat_f32s(-3.0),
        ),
        simd.splat_f32s(0.5 / 4_194_304.0),
    );
    let one = simd.splat_f32s(1.0);
    let w = simd.neg_f32s(ln(
        simd,
        simd.mul_f32s(simd.sub_f32s(one, x), simd.add_f32s(one, x)),
    ));
    (x, w)
}

/// 0, 1, 2, ... in the lanes of a vector.
#[inline(always)]
pub(crate) fn iota<S: Simd>(simd: S) -> S::u32s {
    let mut lanes = simd.splat_u32s(0);
    for (i, lane) in bytemuck::cast_slice_mut::<S::u32s, u32>(std::slice::from_mut(&mut lanes))
        .iter_mut()
        .enumerate()
    {
        *lane = i as u32;
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::noise;

    /// A function of one vector, on every lane of `x`.
    struct Map<'a> {
        x: &'a [f32],
        f: Function,
    }

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Elu,
        Ln,
        Sin,
        Cos,
        NormalFromBits,
    }

    impl WithSimd for Map<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut out = Aligned::zeros(self.x.len());
            out.floats_mut()[..self.x.len()].copy_from_slice(self.x);
            if let Function::NormalFromBits = self.f {
                let bits = bytemuck::cast_slice(out.floats()).to_vec();
                normals_from_bits(simd, &bits, out.vectors_mut::<S>());
                return out.floats()[..self.x.len()].to_vec();
            }
            for v in out.vectors_mut::<S>() {
                *v = match self.f {
                    Function::Exp => exp(simd, *v),
                    Function::Elu => elu(simd, *v),
                    Function::Ln => ln(simd, *v),
                    Function::Sin => sin_cos(simd, *v).0,
                    Function::Cos => sin_cos(simd, *v).1,
                    Function::NormalFromBits => *v,
                };
            }
            out.floats()[..self.x.len()].to_vec()
        }
    }

    /// The largest of `error(got, x)` over all that the machine has.
    fn largest(x: &[f32], f: Function, error: impl Fn(f32, f32) -> f64) -> f64 {
        Level::all()
            .into_iter()
            .flat_map(|level| level.dispatch(Map { x, f }).into_iter().zip(x))
            .map(|(got, &x)| error(got, x))
            .fold(0.0, f64::max)
    }

    fn range(lo: f32, hi: f32) -> Vec<f32> {
        let n = 100_003;
        (0..=n)
            .map(|i| lo + (hi - lo) * i as f32 / n as f32)
            .collect()
    }

    #[test]
    fn the_vector_exponential_has_the_stated_error() {
        let worst = largest(&range(-87.0, 87.0), Function::Exp, |got, x| {
            let exact = f64::from(x).exp();
            (f64::from(got) / exact - 1.0).abs() / (3e-7 + 8e-8 * f64::from(x.abs()))
        });
        assert!(worst < 1.0, "{worst}");
        let clamped = |x| largest(&[x], Function::Exp, |got, _| f64::from(got));
        assert!(clamped(-1e30) < 1e-37 && clamped(1e30) < 1e38);
    }

    #[test]
    fn elu_has_the_stated_error() {
        let mut x = range(-100.0, 20.0);
        x.extend(range(-2.0, 0.1));
        x.extend([0.0, -0.0, -1e-30, 1e-30, -3e38, 3e38]);
        let worst = largest(&x, Function::Elu, |got, x| {
            let exact = if x > 0.0 {
                f64::from(x)
            } else {
                f64::from(x).exp_m1()
            };
            (f64::from(got) - exact).abs()
        });
        assert!(worst < 4e-7, "{worst}");
    }

    #[test]
    fn the_vector_logarithm_has_the_stated_error() {
        let mut x = range(1e-7, 1.0);
        x.extend(range(1e-7, 1e-4));
        x.extend(range(1.0, 100.0));
        let worst = largest(&x, Function::Ln, |got, x| {
            let exact = f64::from(x).ln();
            (f64::from(got) - exact).abs() / (exact.abs() * 2.0 * f64::from(f32::EPSILON) + 1e-7)
        });
        assert!(worst < 1.0, "{worst}");
    }

    #[test]
    fn sine_and_cosine_have_the_stated_error() {
        let mut x = range(-8.0, 8.0);
        x.extend(range(-300.0, 300.0));
        x.extend(range(-8_192.0, 8_192.0));
        x.extend([0.0, -0.0, 1e-30, 1e-3]);
        for (f, exact) in [
            (Function::Sin, f64::sin as fn(f64) -> f64),
            (Function::Cos, f64::cos),
        ] {
            let error = |got: f32, x: f32| (f64::from(got) - exact(f64::from(x))).abs();
            assert!(largest(&x, f, error) < 2e-7);
            let beyond = largest(&[1e30, -1e30, f32::INFINITY], f, |got, _| {
                f64::from(got.abs())
            });
            assert!(beyond <= 1.0, "{beyond}");
        }
    }

    #[test]
    fn vector_normals_are_the_plain_ones() {
        let bits: Vec<u32> = (0..200_000u32)
            .map(|i| i.wrapping_mul(0x9E37_79B9))
            .chain([0, 1, 511, 512, u32::MAX, u32::MAX - 512, 1 << 31])
            .collect();
        let x: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
        let worst = largest(&x, Function::NormalFromBits, |got, x| {
            let plain = noise::normal_from_bits(x.to_bits());
            f64::from((got - plain).abs() / plain.abs().max(1.0))
        });
        assert!(worst < 3e-6, "{worst}");
    }

    #[test]
    fn vector_threefry_is_threefry() {
        struct Words;
        impl WithSimd for Words {
            type Output = Vec<[u32; 2]>;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> Vec<[u32; 2]> {
                let next = simd.splat_u32s(S::U32_LANES as u32);
                let high = simd.splat_u32s(0x243f_6a88);
                let low = [iota(simd), simd.add_u32s(iota(simd), next)];
                let counters = [[low[0], high], [low[1], high]];
                let mut words = Vec::new();
                for block in threefry2x32(simd, [0x1319_8a2e, 0x0370_7344], counters) {
                    let lanes: &[u32] = bytemuck::cast_slice(&block);
                    let (first, second) = lanes.split_at(S::U32_LANES);
                    words.extend(first.iter().zip(second).map(|(&a, &b)| [a, b]));
                }
                words
            }
        }
        for level in Level::all() {
            for (i, got) in level.dispatch(Words).into_iter().enumerate() {
                let plain =
                    noise::threefry2x32([0x1319_8a2e, 0x0370_7344], [i as u32, 0x243f_6a88]);
                assert_eq!(got, plain);
            }
        }
    }
}
