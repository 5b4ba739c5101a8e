//! How a network's parameters lie in memory for vector code, which is also how a [`Checkpoint`] keeps
//! them.
//!
//! [`Checkpoint`]: crate::checkpoint::Checkpoint

use crate::policy::{FEATURES, Inputs};

/// Floats in a cache line: rows begin at one and are padded with zeros to whole ones.
pub const LINE: usize = 16;

/// Rows of activations that vector code takes at once: numbers of rows are multiples of it.
pub const ROW_TILE: usize = 4;

/// A row of features: the features, a one that the bias is multiplied by, and zeros up to whole
/// tiles.
pub const FEATURE_ROW: usize = (FEATURES + 1).next_multiple_of(ROW_TILE);

/// Where the parts of a network lie in its buffer, in units of floats: the first layers, each its
/// columns by input, b0 and zeros; W1 [out, in]; b1; W2 by output (mean, raw number); and a line
/// for b2. A row has one place for each neuron and zeros up to the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What the first layer reads.
    pub inputs: Inputs,
    /// Neurons in each hidden layer.
    pub hidden: usize,
    /// The same, rounded up to whole cache lines.
    pub width: usize,
}

impl Layout {
    /// The layout of networks that read `inputs`, with `hidden` neurons a layer.
    pub fn new(inputs: Inputs, hidden: usize) -> Self {
        Layout {
            inputs,
            hidden,
            width: hidden.next_multiple_of(LINE),
        }
    }

    /// Rows of one first layer: a column of W0 for each input, b0, and zeros.
    pub const fn first_rows(self) -> usize {
        match self.inputs {
            Inputs::Raw => 3,
            Inputs::StepFeatures { .. } => FEATURE_ROW,
        }
    }

    /// Floats that a state's features take: none where the state itself is read.
    pub const fn feature_row(self) -> usize {
        match self.inputs {
            Inputs::Raw => 0,
            Inputs::StepFeatures { .. } => FEATURE_ROW,
        }
    }

    /// Floats in a network's buffer.
    #[expect(clippy::len_without_is_empty, reason = "no network is empty")]
    pub fn len(self) -> usize {
        let first = self.inputs.layers() * self.first_rows();
        self.width * (first + self.width + 3) + LINE
    }

    /// The place of every parameter of a [`Policy`](crate::policy::Policy), in its storage order.
    pub fn places(self) -> impl Iterator<Item = usize> {
        let Layout { hidden, width, .. } = self;
        let (layers, inputs) = (self.inputs.layers(), self.inputs.width());
        let layer = self.first_rows() * width;
        let w1 = layers * layer;
        let b1 = w1 + width * width;
        let weights = (0..layers).flat_map(move |l| {
            let neurons = 0..hidden;
            neurons.flat_map(move |i| (0..inputs).map(move |f| l * layer + f * width + i))
        });
        let b0 =
            (0..layers).flat_map(move |l| (0..hidden).map(move |i| l * layer + inputs * width + i));
        let square = (0..hidden).flat_map(move |j| (0..hidden).map(move |k| w1 + j * width + k));
        let rest = (0..3).flat_map(move |part| (0..hidden).map(move |i| b1 + part * width + i));
        let b2 = [b1 + 3 * width, b1 + 3 * width + 1];
        weights.chain(b0).chain(square).chain(rest).chain(b2)
    }

    /// How long the parts of a buffer are, in vectors of `lanes`.
    #[inline(always)]
    fn lengths(self, lanes: usize) -> [usize; 6] {
        let n = self.width / lanes;
        let first = self.inputs.layers() * self.first_rows();
        [first * n, n * self.width, n, n, n, LINE / lanes]
    }

    /// The parts of a buffer: the first layers, W1, b1, W2's row for the mean, its row for the raw
    /// number, b2.
    #[inline(always)]
    pub fn parts<T>(self, buffer: &[T], lanes: usize) -> [&[T]; 6] {
        let mut rest = buffer;
        self.lengths(lanes).map(|len| {
            let (part, tail) = rest.split_at(len);
            rest = tail;
            part
        })
    }

    /// The same parts, to write to.
    #[inline(always)]
    pub fn parts_mut<T>(self, buffer: &mut [T], lanes: usize) -> [&mut [T]; 6] {
        let mut rest = buffer;
        self.lengths(lanes).map(|len| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(len);
            rest = tail;
            part
        })
    }

    /// Where the first layer of `t` lies among the first layers, in vectors of `lanes`.
    #[inline(always)]
    pub fn first_layer(self, t: f32, lanes: usize) -> std::ops::Range<usize> {
        let len = self.first_rows() * self.width / lanes;
        let begin = self.inputs.layer(t as usize) * len;
        begin..begin + len
    }
}
