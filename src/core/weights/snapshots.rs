//! A model's forward policy at points of its training: `snapshots/NAME.safetensors`, in and out.
//!
//! Weights are kept as halves (IEEE binary16), which is half the file. Their rounding moves the
//! total variation of a bundled snapshot by less than .002 (`tests/pretrained.rs`). The
//! end of the training is in the model's own file without rounding.

use super::{LOG_Z, PARTS, Tensor, WeightsError};
use super::{assemble, damaged, finite, hidden, metadata, read, read_bytes, with_std_range};
use crate::experiment::HIDDEN;
use crate::policy::{Inputs, Policy, StdRange};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// The forward policy at one point of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Finished iterations.
    pub iteration: u32,
    /// The policy.
    pub forward: Policy<f32>,
    /// The learned log Z, in nats.
    pub log_z: f32,
    /// The standard deviation that exploration adds to the steps of the next batch, in units of x.
    pub extra_std: f32,
}

/// Where the snapshots of the model `name` are, in the folder of its weights.
pub fn file_name(name: &str) -> String {
    format!("snapshots/{name}.safetensors")
}

const ITERATION: &str = "iteration";
const EXTRA_STD: &str = "extra_std";

/// The name of a stacked part of the policy.
fn stacked(part: &str) -> String {
    format!("forward.{part}")
}

/// What the policies read, by the shape of their first weights: those with a first layer for each
/// step have a dimension more.
fn inputs(tensors: &SafeTensors) -> Inputs {
    let first = tensors.tensor(&stacked(PARTS[0]));
    match first.as_ref().map(|first| first.shape()) {
        Ok(&[_, steps, _, _]) if steps > 0 => Inputs::StepFeatures { steps },
        _ => Inputs::Raw,
    }
}

/// Reads snapshots, in the order of their iterations. `file` is the name that errors give.
///
/// # Errors
/// When the bytes are not a whole safetensors file, a tensor is missing, of the wrong shape or
/// kind, or holds a value that is not finite, or the iterations do not rise.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Snapshot>, WeightsError> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(file, bytes, &error))?;
    let count = tensors
        .tensor(ITERATION)
        .map_or(0, |tensor| tensor.shape().first().copied().unwrap_or(0));
    let data = read_bytes(file, &tensors, ITERATION, Dtype::U32, &[count])?;
    if count == 0 {
        // Of nothing, any shape has enough.
        return Ok(Vec::new());
    }
    let (words, _) = data.as_chunks::<4>();
    let iterations: Vec<u32> = words.iter().map(|&w| u32::from_le_bytes(w)).collect();
    if let Some(pair) = iterations.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(WeightsError::Order {
            file: file.into(),
            before: pair[0],
            after: pair[1],
        });
    }
    let log_z = read(file, &tensors, LOG_Z, &[count])?;
    let extra_std = read(file, &tensors, EXTRA_STD, &[count])?;
    let mut parameters = vec![Vec::new(); count];
    let inputs = inputs(&tensors);
    let hidden = hidden(&tensors, &stacked(PARTS[2]));
    let (_, std_range) = metadata(file, bytes)?;
    for (part, shape) in PARTS.iter().zip(Policy::<f32>::shapes(inputs, hidden)) {
        let name = stacked(part);
        let shape = [&[count], shape.as_slice()].concat();
        let data = read_bytes(file, &tensors, &name, Dtype::F16, &shape)?;
        let (halves, _) = data.as_chunks::<2>();
        let values = halves.iter().map(|&half| widen(u16::from_le_bytes(half)));
        let values = finite(file, &name, values.collect())?;
        let size = shape[1..].iter().product::<usize>();
        for (policy, rows) in parameters.iter_mut().zip(values.chunks_exact(size)) {
            policy.extend_from_slice(rows);
        }
    }
    let snapshots = parameters.into_iter().enumerate().map(|(i, parameters)| {
        let forward = Policy::with_inputs(inputs, hidden, parameters);
        let forward = forward.ok_or_else(|| WeightsError::NotSafetensors {
            file: file.into(),
            why: "its tensors do not fill the policy".into(),
        })?;
        Ok(Snapshot {
            iteration: iterations[i],
            forward: forward.with_std_range(std_range),
            log_z: log_z[i],
            extra_std: extra_std[i],
        })
    });
    snapshots.collect()
}

/// The bytes of a snapshots file, of policies of one shape and one range of standard deviations:
/// for S snapshots the parts of the forward policy, stacked `[S, ..]`, F16, under the names of a
/// state dict; `log_z` and `extra_std` `[S]`, F32; and `iteration` `[S]`, U32.
pub fn serialize(snapshots: &[Snapshot], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let count = snapshots.len();
    let mut tensors = vec![
        Tensor::f32(
            EXTRA_STD.into(),
            vec![count],
            &all(snapshots, |s| s.extra_std),
        ),
        Tensor::f32(LOG_Z.into(), vec![count], &all(snapshots, |s| s.log_z)),
        Tensor {
            name: ITERATION.into(),
            dtype: "U32",
            shape: vec![count],
            data: snapshots
                .iter()
                .flat_map(|s| s.iteration.to_le_bytes())
                .collect(),
        },
    ];
    let (inputs, hidden, std_range) = match snapshots.first() {
        Some(Snapshot { forward, .. }) => (forward.inputs(), forward.hidden(), forward.std_range()),
        None => (Inputs::Raw, HIDDEN, StdRange::USUAL),
    };
    let shapes = Policy::<f32>::shapes(inputs, hidden);
    for (place, (part, shape)) in PARTS.iter().zip(shapes).enumerate() {
        let values = snapshots.iter().flat_map(|s| s.forward.parts()[place]);
        tensors.push(Tensor {
            name: stacked(part),
            dtype: "F16",
            shape: [&[count], shape.as_slice()].concat(),
            data: values.flat_map(|&v| narrow(v).to_le_bytes()).collect(),
        });
    }
    assemble(&with_std_range(metadata.clone(), std_range), &tensors)
}

fn all(snapshots: &[Snapshot], of: impl Fn(&Snapshot) -> f32) -> Vec<f32> {
    snapshots.iter().map(of).collect()
}

/// A half's exponent bias is 15, a float's 127; their significands have 10 and 23 bits.
const BIAS: u32 = 127 - 15;
const SIGNIFICAND: u32 = 23 - 10;
/// The distance between halves below the smallest normal one.
const SMALLEST_HALF: f32 = 1.0 / (1 << 24) as f32;
const SMALLEST_NORMAL_HALF: f32 = 1.0 / (1 << 14) as f32;

/// The value as it is read back from a snapshots file: the nearest half, ties to even. Values
/// beyond all halves become infinite.
pub fn rounded(value: f32) -> f32 {
    widen(narrow(value))
}

/// The bits of the half nearest to `value`.
fn narrow(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let size = f32::from_bits(magnitude);
    let half = if size.is_nan() {
        0x7e00
    } else if size >= 65_520.0 {
        0x7c00
    } else if size < SMALLEST_NORMAL_HALF {
        (size / SMALLEST_HALF).round_ties_even() as u16
    } else {
        // A carry out of the significand is the next exponent, as it should be.
        let tie_to_even = (magnitude >> SIGNIFICAND) & 1;
        let nearest = magnitude + (1 << (SIGNIFICAND - 1)) - 1 + tie_to_even;
        ((nearest >> SIGNIFICAND) - (BIAS << 10)) as u16
    };
    sign | half
}

/// The value of a half.
fn widen(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let (exponent, significand) = (u32::from(half >> 10) & 0x1f, u32::from(half & 0x3ff));
    let magnitude = match exponent {
        0 => (significand as f32 * SMALLEST_HALF).to_bits(),
        0x1f => 0x7f80_0000 | (significand << SIGNIFICAND),
        _ => ((exponent + BIAS) << 23) | (significand << SIGNIFICAND),
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::ThreefryRng;
    use crate::weights::tests::replace_tensor;

    fn snapshots() -> Vec<Snapshot> {
        snapshots_of(Inputs::Raw)
    }

    fn snapshots_of(inputs: Inputs) -> Vec<Snapshot> {
        snapshots_with(inputs, HIDDEN, StdRange::USUAL)
    }

    fn snapshots_with(inputs: Inputs, hidden: usize, range: StdRange) -> Vec<Snapshot> {
        let of = |(i, iteration): (u32, u32)| {
            let policy = Policy::<f32>::init_with(inputs, hidden, &mut ThreefryRng::new(1, i));
            let halves = policy.parameters().iter().map(|&v| rounded(v)).collect();
            let forward = Policy::with_inputs(inputs, hidden, halves).unwrap();
            Snapshot {
                iteration,
                forward: forward.with_std_range(range),
                log_z: 0.1 * i as f32,
                extra_std: 2.0 - i as f32,
            }
        };
        [(0, 0), (1, 7), (2, 500)].map(of).into()
    }

    fn bytes() -> Vec<u8> {
        serialize(&snapshots(), &BTreeMap::new())
    }

    fn check(bytes: &[u8], message: &str) {
        let error = parse("s.safetensors", bytes).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    /// The file of [`snapshots`] with one tensor replaced, or removed where there is none.
    fn with_tensor(name: &str, tensor: Option<(Dtype, Vec<usize>, Vec<u8>)>) -> Vec<u8> {
        replace_tensor(&bytes(), name, tensor)
    }

    #[test]
    fn snapshots_survive() {
        assert_eq!(parse("s.safetensors", &bytes()).unwrap(), snapshots());
        let features = snapshots_of(Inputs::StepFeatures { steps: 5 });
        let bytes = serialize(&features, &BTreeMap::new());
        assert_eq!(parse("s.safetensors", &bytes).unwrap(), features);
        let range = StdRange {
            min_std: 0.05,
            max_std: 2.0,
        };
        let narrow = snapshots_with(Inputs::Raw, 24, range);
        let bytes = serialize(&narrow, &BTreeMap::new());
        assert_eq!(parse("s.safetensors", &bytes).unwrap(), narrow);
        assert_eq!(
            parse("s.safetensors", &serialize(&[], &BTreeMap::new())).unwrap(),
            []
        );
    }

    #[test]
    fn a_damaged_file_is_named_with_what_is_wrong() {
        let whole = bytes();
        for length in [0, 5, 8, 100, 2_000, whole.len() - 1] {
            check(&whole[..length], "was cut short");
        }
        check(
            b"<!doctype html><title>404</title>",
            "not a safetensors file",
        );
        for name in ["iteration", "log_z", "extra_std", "forward.2.weight"] {
            check(&with_tensor(name, None), &format!("no tensor `{name}`"));
        }
        check(
            &with_tensor(
                "forward.4.bias",
                Some((Dtype::F16, vec![2, 3], vec![0; 12])),
            ),
            "tensor `forward.4.bias` has shape [2, 3] instead of [3, 2]",
        );
        check(
            &with_tensor(
                "forward.4.bias",
                Some((Dtype::F32, vec![3, 2], vec![0; 24])),
            ),
            "tensor `forward.4.bias` holds F32 instead of F16",
        );
        check(
            &with_tensor("iteration", Some((Dtype::U32, vec![], vec![0; 4]))),
            "tensor `iteration` has shape [] instead of [0]",
        );
        let infinite = [0, 0, 0, 0x7c, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
        check(
            &with_tensor("forward.4.bias", Some((Dtype::F16, vec![3, 2], infinite))),
            "tensor `forward.4.bias` holds inf at index 1",
        );
        let falling = [0u32, 9, 8].iter().flat_map(|i| i.to_le_bytes()).collect();
        check(
            &with_tensor("iteration", Some((Dtype::U32, vec![3], falling))),
            "goes from 9 to 8, and must rise",
        );
    }

    /// All of the 65,536 halves, and what lies between two neighbours.
    #[test]
    fn halves_are_the_standards() {
        for (half, value) in [
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65_504.0),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(widen(half), value);
        }
        for half in 0..=u16::MAX {
            let value = widen(half);
            if value.is_nan() {
                assert!(rounded(value).is_nan());
                continue;
            }
            assert_eq!(narrow(value), half, "{value}");
            let next = widen(half.wrapping_add(1));
            let between = 0.5 * (value + next);
            if next.is_finite() && value.signum() == next.signum() && value.abs() < next.abs() {
                let even = if half % 2 == 0 { value } else { next };
                assert_eq!(rounded(between), even, "{value} {next}");
                assert_eq!(rounded(value + 0.49 * (next - value)), value);
                assert_eq!(rounded(value + 0.51 * (next - value)), next);
            }
        }
        assert_eq!(rounded(65_519.0), 65_504.0);
        assert_eq!(rounded(65_520.0), f32::INFINITY);
    }
}
