//! The policy network in vector code: many states at once, in the machine's widest vectors.
//!
//! Activations are row-major, one row a state, and neurons lie in the lanes. All the work is one
//! kind of loop: a few rows times a few vectors of columns, held in registers while a matrix goes
//! by (`tile`). The forward pass, the backward pass and the gradient of the weights differ in
//! what they feed it. Widths are padded with zeros to whole cache lines: a padded neuron has the
//! value 0 and stays there, in training too.

use crate::simd::{self, Aligned, mul_add};
use gflownet_tour_core::experiment::HIDDEN;
use gflownet_tour_core::layout::{FEATURE_ROW, LINE, Layout, ROW_TILE};
use gflownet_tour_core::policy::{
    FEATURES, FREQUENCIES, Inputs, LINEAR_GAIN, Policy, SQUARE_GAIN, StdRange, WAVE_GAIN,
};
use pulp::Simd;

/// Vectors of columns that a tile takes at once: with [`ROW_TILE`] rows, eight accumulators fill
/// the sixteen registers of AVX2 and what browsers make of simd128; AVX-512 has twice as many.
const fn column_tile<S: Simd>() -> usize {
    if S::F32_LANES >= LINE { 4 } else { 2 }
}

/// Where the states of a forward pass leave what they made of the network, a row each.
pub(crate) struct Activations<'a, V> {
    /// Features, rows of [`Layout::feature_row`]; empty where the state itself is read.
    pub features: &'a mut [f32],
    /// The first hidden layer, rows of the padded width.
    pub first: &'a mut [V],
    /// The second hidden layer, where somebody wants it.
    pub second: Option<&'a mut [V]>,
}

/// What makes a raw number a standard deviation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stds {
    pub least: f32,
    pub span: f32,
}

impl Stds {
    /// A standard deviation from its raw number.
    #[inline(always)]
    pub fn of<S: Simd>(self, simd: S, raw: S::f32s) -> S::f32s {
        mul_add(
            simd,
            simd::sigmoid(simd, raw),
            simd.splat_f32s(self.span),
            simd.splat_f32s(self.least),
        )
    }
}

/// A policy's parameters, laid out for vector code.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub(crate) layout: Layout,
    pub(crate) std_range: StdRange,
    pub(crate) parameters: Aligned,
    /// W1 as [in, out].
    pub(crate) transposed: Aligned,
}

impl Network {
    /// The network of a policy.
    pub fn new(policy: &Policy<f32>) -> Network {
        let layout = Layout::new(policy.inputs(), policy.hidden());
        let mut parameters = Aligned::zeros(layout.len());
        let floats = parameters.floats_mut();
        for (place, &value) in layout.places().zip(policy.parameters()) {
            floats[place] = value;
        }
        let mut network = Network {
            layout,
            std_range: policy.std_range(),
            parameters,
            transposed: Aligned::zeros(layout.width * layout.width),
        };
        network.transpose();
        network
    }

    /// The policy as it is now.
    #[expect(clippy::unreachable, reason = "the layout has a place for each")]
    pub fn to_policy(&self) -> Policy<f32> {
        let floats = self.parameters.floats();
        let parameters = self.layout.places().map(|place| floats[place]).collect();
        match Policy::with_inputs(self.layout.inputs, self.layout.hidden, parameters) {
            Some(policy) => policy.with_std_range(self.std_range),
            None => unreachable!("the layout has a place for every parameter"),
        }
    }

    /// Brings the transposed W1 up to date.
    pub(crate) fn transpose(&mut self) {
        const BLOCK: usize = 8;
        let width = self.layout.width;
        let from = self.layout.parts(self.parameters.floats(), 1)[1];
        let to = self.transposed.floats_mut();
        for j in (0..width).step_by(BLOCK) {
            for k in (0..width).step_by(BLOCK) {
                for jj in j..j + BLOCK {
                    for kk in k..k + BLOCK {
                        to[kk * width + jj] = from[jj * width + kk];
                    }
                }
            }
        }
    }

    /// The standard deviations' range, for vectors.
    #[inline(always)]
    pub(crate) fn stds(&self) -> Stds {
        Stds {
            least: self.std_range.min_std as f32,
            span: self.std_range.span() as f32,
        }
    }

    /// Means and raw numbers in the states (x[row], t). `room` takes the activations.
    ///
    /// The number of rows is a multiple of [`ROW_TILE`]; `mean` and `raw` have as many.
    #[inline(always)]
    pub(crate) fn forward<S: Simd>(
        &self,
        simd: S,
        (x, t): (&[f32], f32),
        room: Activations<'_, S::f32s>,
        mean: &mut [f32],
        raw: &mut [f32],
    ) {
        let layout = self.layout;
        let n = layout.width / S::F32_LANES;
        let Activations {
            features,
            first,
            second,
        } = room;
        let features = &mut features[..x.len() * layout.feature_row()];
        let layers = layout.parts(self.parameters.vectors::<S>(), S::F32_LANES)[0];
        let layer = &layers[layout.first_layer(t, S::F32_LANES)];
        match layout.inputs {
            Inputs::Raw => {
                let (from_x, rest) = layer.split_at(n);
                let (from_t, b0) = rest.split_at(n);
                let t = simd.splat_f32s(t);
                for v in 0..n {
                    let (slope, offset) = (from_x[v], mul_add(simd, from_t[v], t, b0[v]));
                    for (row, &x) in first.chunks_exact_mut(n).zip(x) {
                        row[v] = simd::elu(simd, mul_add(simd, slope, simd.splat_f32s(x), offset));
                    }
                }
            }
            Inputs::StepFeatures { .. } => {
                write_features(simd, x, features);
                let mut v = 0;
                while v < n {
                    if v + 4 <= n && column_tile::<S>() == 4 {
                        features_panel::<S, 4>(simd, features, layer, n, v, first);
                        v += 4;
                    } else if v + 2 <= n {
                        features_panel::<S, 2>(simd, features, layer, n, v, first);
                        v += 2;
                    } else {
                        features_panel::<S, 1>(simd, features, layer, n, v, first);
                        v += 1;
                    }
                }
            }
        }
        match (column_tile::<S>(), layout.width) {
            (4, _) => self.outputs::<S, 4, 0>(simd, first, second, mean, raw),
            (_, HIDDEN) => self.outputs::<S, 2, HIDDEN>(simd, first, second, mean, raw),
            _ => self.outputs::<S, 2, 0>(simd, first, second, mean, raw),
        }
    }

    /// The second hidden layer and the outputs, from the first. A padded width that is known when
    /// this is compiled is `WIDTH`, else that is 0: browsers are faster where addresses differ by
    /// constants.
    #[inline(always)]
    fn outputs<S: Simd, const V: usize, const WIDTH: usize>(
        &self,
        simd: S,
        first: &[S::f32s],
        mut second: Option<&mut [S::f32s]>,
        mean: &mut [f32],
        raw: &mut [f32],
    ) {
        const M: usize = ROW_TILE;
        let width = if WIDTH > 0 { WIDTH } else { self.layout.width };
        let n = width / S::F32_LANES;
        let parts = self
            .layout
            .parts(self.parameters.vectors::<S>(), S::F32_LANES);
        let [_, _, b1, to_mean, to_raw, _] = parts;
        let b2 = self.layout.parts(self.parameters.floats(), 1)[5];
        let matrix = self.transposed.vectors::<S>();
        let first: &[f32] = bytemuck::cast_slice(first);
        let rows = mean.len().min(raw.len());
        for (index, a) in first.chunks_exact(M * width).enumerate().take(rows / M) {
            let row = index * M;
            let mut sums = [[simd.splat_f32s(0.0); 2]; M];
            let mut v = 0;
            while v + V <= n {
                let mut init = [[b1[v]; V]; M];
                for init in &mut init {
                    init.copy_from_slice(&b1[v..v + V]);
                }
                let mut neurons = tile::<S, M, V>(simd, a, width, matrix, n, v, init);
                for m in 0..M {
                    for i in 0..V {
                        let neuron = simd::elu(simd, neurons[m][i]);
                        sums[m][0] = mul_add(simd, neuron, to_mean[v + i], sums[m][0]);
                        sums[m][1] = mul_add(simd, neuron, to_raw[v + i], sums[m][1]);
                        neurons[m][i] = neuron;
                    }
                }
                if let Some(second) = &mut second {
                    for m in 0..M {
                        for i in 0..V {
                            second[(row + m) * n + v + i] = neurons[m][i];
                        }
                    }
                }
                v += V;
            }
            while v < n {
                let neurons = tile::<S, M, 1>(simd, a, width, matrix, n, v, [[b1[v]]; M]);
                for m in 0..M {
                    let neuron = simd::elu(simd, neurons[m][0]);
                    sums[m][0] = mul_add(simd, neuron, to_mean[v], sums[m][0]);
                    sums[m][1] = mul_add(simd, neuron, to_raw[v], sums[m][1]);
                    if let Some(second) = &mut second {
                        second[(row + m) * n + v] = neuron;
                    }
                }
                v += 1;
            }
            for m in 0..M {
                mean[row + m] = simd.reduce_sum_f32s(sums[m][0]) + b2[0];
                raw[row + m] = simd.reduce_sum_f32s(sums[m][1]) + b2[1];
            }
        }
    }
}

/// [`gflownet_tour_core::policy::features`] of every state, a row of [`FEATURE_ROW`] each.
#[inline(always)]
fn write_features<S: Simd>(simd: S, x: &[f32], rows: &mut [f32]) {
    let states = x.chunks(S::F32_LANES);
    for (x, rows) in states.zip(rows.chunks_mut(S::F32_LANES * FEATURE_ROW)) {
        let mut state = simd.splat_f32s(0.0);
        let lanes: &mut [f32] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut state));
        lanes[..x.len()].copy_from_slice(x);
        let mut columns = [simd.splat_f32s(0.0); FEATURE_ROW];
        columns[0] = simd.mul_f32s(simd.splat_f32s(LINEAR_GAIN as f32), state);
        columns[1] = simd.mul_f32s(
            simd.mul_f32s(simd.splat_f32s(SQUARE_GAIN as f32), state),
            state,
        );
        for (i, &frequency) in FREQUENCIES.iter().enumerate() {
            let angle = simd.mul_f32s(simd.splat_f32s(frequency as f32), state);
            let (sin, cos) = simd::sin_cos(simd, angle);
            columns[2 + 2 * i] = simd.mul_f32s(simd.splat_f32s(WAVE_GAIN as f32), sin);
            columns[3 + 2 * i] = simd.mul_f32s(simd.splat_f32s(WAVE_GAIN as f32), cos);
        }
        columns[FEATURES] = simd.splat_f32s(1.0);
        let columns: &[f32] = bytemuck::cast_slice(&columns);
        for (lane, row) in rows.chunks_exact_mut(FEATURE_ROW).enumerate() {
            for (value, column) in row.iter_mut().zip(columns.chunks_exact(S::F32_LANES)) {
                *value = column[lane];
            }
        }
    }
}

/// Columns v.. of the first hidden layer, from the rows of features.
#[inline(always)]
fn features_panel<S: Simd, const V: usize>(
    simd: S,
    features: &[f32],
    layer: &[S::f32s],
    n: usize,
    v: usize,
    first: &mut [S::f32s],
) {
    const M: usize = ROW_TILE;
    let zeros = [[simd.splat_f32s(0.0); V]; M];
    for (rows, first) in features
        .chunks_exact(M * FEATURE_ROW)
        .zip(first.chunks_exact_mut(M * n))
    {
        let sums = tile::<S, M, V>(simd, rows, FEATURE_ROW, layer, n, v, zeros);
        for m in 0..M {
            for i in 0..V {
                first[m * n + v + i] = simd::elu(simd, sums[m][i]);
            }
        }
    }
}

/// M rows of `a` ([rows, depth]) times V vectors of columns of `b` ([depth, n] vectors), from
/// column vector `v` on, added to `init`.
#[inline(always)]
pub(crate) fn tile<S: Simd, const M: usize, const V: usize>(
    simd: S,
    a: &[f32],
    depth: usize,
    b: &[S::f32s],
    n: usize,
    v: usize,
    init: [[S::f32s; V]; M],
) -> [[S::f32s; V]; M] {
    let mut rows = [a; M];
    for m in 0..M {
        rows[m] = &a[m * depth..(m + 1) * depth];
    }
    let mut sums = init;
    for (k, b) in (0..depth).zip(b.chunks_exact(n)) {
        let b = &b[v..v + V];
        for m in 0..M {
            let a = simd.splat_f32s(rows[m][k]);
            for i in 0..V {
                sums[m][i] = mul_add(simd, a, b[i], sums[m][i]);
            }
        }
    }
    sums
}
