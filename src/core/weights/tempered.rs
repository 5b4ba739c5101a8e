//! The model of every temperature on disk: `tempered.safetensors`, in and out.

use super::{
    Tensor, WeightsError, assemble, damaged, metadata, policy, push_policy, read, unfilled,
};
use crate::policy::Policy;
use crate::tempered::{Conditional, LOG_Z_HIDDEN, LogZ, TemperedModel};
use safetensors::SafeTensors;
use std::collections::BTreeMap;

/// A policy's slopes, beside its state dict.
const SLOPE: &str = "0.slope";
/// The names and shapes of log Z's parts, in storage order: a state dict of PyTorch's
/// `Sequential(Linear, Tanh, Linear)`.
const LOG_Z: [(&str, &[usize]); 4] = [
    ("log_z.0.weight", &[LOG_Z_HIDDEN, 1]),
    ("log_z.0.bias", &[LOG_Z_HIDDEN]),
    ("log_z.2.weight", &[1, LOG_Z_HIDDEN]),
    ("log_z.2.bias", &[1]),
];

/// What the file of the model of every temperature holds: both policies at β = 1 as
/// [`super::Model`] has them; `forward.0.slope` and `backward.0.slope`, shaped as `0.bias`, which
/// times log β is added to that bias; and `log_z.0.weight` `[16, 1]`, `log_z.0.bias` `[16]`,
/// `log_z.2.weight` `[1, 16]`, `log_z.2.bias` `[1]`, a network of log β with tanh in its middle.
#[derive(Clone, Debug, PartialEq)]
pub struct TemperedFile {
    /// The model.
    pub model: TemperedModel<f32>,
    /// What the file says of itself: the recipe (JSON), the seed, the model's name.
    pub metadata: BTreeMap<String, String>,
}

/// Reads the file. `file` is the name that errors give.
///
/// # Errors
/// As [`super::parse`].
pub fn parse(file: &str, bytes: &[u8]) -> Result<TemperedFile, WeightsError> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(file, bytes, &error))?;
    let mut log_z = Vec::with_capacity(LogZ::<f32>::LEN);
    for (name, shape) in LOG_Z {
        log_z.extend(read(file, &tensors, name, shape)?);
    }
    Ok(TemperedFile {
        model: TemperedModel {
            forward: conditional(file, &tensors, "forward")?,
            backward: conditional(file, &tensors, "backward")?,
            log_z: LogZ::new(log_z).ok_or_else(|| unfilled(file))?,
        },
        // Its policies have the usual standard deviations.
        metadata: metadata(file, bytes)?.0,
    })
}

fn conditional(
    file: &str,
    tensors: &SafeTensors,
    prefix: &str,
) -> Result<Conditional<f32>, WeightsError> {
    let base = policy(file, tensors, prefix)?;
    let [_, shape, ..] = Policy::<f32>::shapes(base.inputs(), base.hidden());
    let slopes = read(file, tensors, &format!("{prefix}.{SLOPE}"), &shape)?;
    Conditional::new(base, slopes).ok_or_else(|| unfilled(file))
}

/// The bytes of the file.
pub fn serialize(file: &TemperedFile) -> Vec<u8> {
    let TemperedModel {
        forward,
        backward,
        log_z,
    } = &file.model;
    let mut tensors = Vec::new();
    for (prefix, policy) in [("backward", backward), ("forward", forward)] {
        push_policy(&mut tensors, prefix, policy.base());
        let [_, shape, ..] = Policy::<f32>::shapes(policy.base().inputs(), policy.base().hidden());
        tensors.push(Tensor::f32(
            format!("{prefix}.{SLOPE}"),
            shape,
            policy.slopes(),
        ));
    }
    let mut rest = log_z.parameters();
    for (name, shape) in LOG_Z {
        let (part, tail) = rest.split_at(shape.iter().product());
        tensors.push(Tensor::f32(name.into(), shape.to_vec(), part));
        rest = tail;
    }
    assemble(&file.metadata, &tensors)
}

#[cfg(test)]
mod tests {
    use super::super::tests::replace_tensor;
    use super::*;
    use crate::experiment::HIDDEN;
    use crate::noise::ThreefryRng;
    use crate::policy::Inputs;
    use safetensors::Dtype;

    fn file() -> TemperedFile {
        let rng = &mut ThreefryRng::new(1, 0);
        let inputs = Inputs::StepFeatures { steps: 5 };
        TemperedFile {
            model: TemperedModel {
                forward: Conditional::init_with(inputs, HIDDEN, rng),
                backward: Conditional::init_with(inputs, HIDDEN, rng),
                log_z: LogZ::init(rng),
            },
            metadata: [("seed".to_owned(), "7".to_owned())].into(),
        }
    }

    fn zeros(shape: &[usize]) -> Option<(Dtype, Vec<usize>, Vec<u8>)> {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        Some((Dtype::F32, shape.to_vec(), bytes))
    }

    fn check(name: &str, tensor: Option<(Dtype, Vec<usize>, Vec<u8>)>, message: &str) {
        let bytes = replace_tensor(&serialize(&file()), name, tensor);
        let error = parse("t.safetensors", &bytes).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_model_survives_and_the_same_model_gives_the_same_bytes() {
        let bytes = serialize(&file());
        assert_eq!(parse("t.safetensors", &bytes).unwrap(), file());
        assert_eq!(serialize(&file()), bytes);
        // Its policies at β = 1 are a model as any other, but for its log Z.
        let error = super::super::parse("t.safetensors", &bytes).unwrap_err();
        assert!(error.to_string().contains("no tensor `log_z`"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_tensor_is_named() {
        check(
            "backward.0.slope",
            None,
            "t.safetensors has no tensor `backward.0.slope`: \
             it is not a model of this tour; retrain it",
        );
        check(
            "forward.0.slope",
            zeros(&[64]),
            "t.safetensors: tensor `forward.0.slope` has shape [64] instead of [5, 64]; retrain it",
        );
        check(
            "log_z.2.weight",
            zeros(&[16]),
            "t.safetensors: tensor `log_z.2.weight` has shape [16] instead of [1, 16]; retrain it",
        );
        let mut data = vec![0; 64];
        data[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        check(
            "log_z.0.bias",
            Some((Dtype::F32, vec![16], data)),
            "t.safetensors: tensor `log_z.0.bias` holds NaN at index 2; retrain the model",
        );
    }

    #[test]
    fn a_cut_file_is_named_as_one() {
        let bytes = serialize(&file());
        for length in [0, 8, 100, bytes.len() - 1] {
            let error = parse("t.safetensors", &bytes[..length]).unwrap_err();
            assert!(matches!(error, WeightsError::Truncated { .. }), "{error}");
        }
    }
}
