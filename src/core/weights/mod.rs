//! Trained models on disk and on the wire: safetensors and the manifest, in and out, checked.
//!
//! This room reads and writes bytes; whoever owns the disk or the network brings them.

pub mod ablation;
pub mod manifest;
pub mod snapshots;
pub mod tempered;

use crate::experiment;
use crate::limits;
use crate::policy::{Inputs, Policy, StdRange};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A trained model: what a `.safetensors` file holds.
///
/// Each policy's tensors are the state dict of PyTorch's `Sequential(Linear, ELU, Linear, ELU,
/// Linear)` under a prefix: `forward.0.weight` `[64, 2]`, `forward.0.bias` `[64]`,
/// `forward.2.weight` `[64, 64]`, `forward.2.bias` `[64]`, `forward.4.weight` `[2, 64]`,
/// `forward.4.bias` `[2]`, the same under `backward.`, and `log_z` `[1]`; all F32, little-endian,
/// row-major. Where a policy reads step features, its first layer is one for each step: `0.weight`
/// `[5, 64, 14]` and `0.bias` `[5, 64]`. Other widths than 64 are told by the shapes, and standard
/// deviations that are not the usual ones by the metadata `std_range`, as `{"min_std":0.05,
/// "max_std":2.0}`. A model whose objective learned a flow has that network too, of the same shape
/// under `flow.`: the first of its two outputs is log F(x, t).
///
/// ```
/// use gflownet_tour_core::weights::{self, Model};
/// let file = "../../pretrained/four_mode_solved.safetensors";
/// let bytes = std::fs::read(file)?;
/// let model: Model = weights::parse(file, &bytes)?;
/// assert_eq!(model.metadata["experiment"], "four_mode_solved");
/// assert_eq!(model.forward.inputs().layers(), 5);
/// // What is written again is the same file.
/// assert_eq!(weights::serialize(&model), bytes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The forward policy, which samples.
    pub forward: Policy<f32>,
    /// The backward policy, which only training needs.
    pub backward: Policy<f32>,
    /// The network whose mean is log F(x, t), in nats, where the objective learned one.
    pub flow: Option<Policy<f32>>,
    /// The learned log Z, in nats.
    pub log_z: f32,
    /// What the file says of itself: the recipe (JSON), the seed, the experiment's name.
    pub metadata: BTreeMap<String, String>,
}

/// What can be wrong with a weights file or a manifest.
///
/// ```
/// use gflownet_tour_core::weights::{WeightsError, parse};
/// let error = parse("four_mode.safetensors", b"<!doctype html>").unwrap_err();
/// assert!(matches!(error, WeightsError::NotSafetensors { .. }));
/// assert!(error.to_string().starts_with("four_mode.safetensors is not a safetensors file"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the message tells")]
pub enum WeightsError {
    /// The bytes end before, or go on after, the end that the header gives.
    #[error(
        "{file} holds {found} bytes, which is not the length its header gives: \
         it was cut short or damaged on the way; fetch it again or retrain"
    )]
    Truncated { file: String, found: usize },
    /// The bytes are something else, a "not found" page for example.
    #[error(
        "{file} is not a safetensors file ({why}): check that the server sends the file itself"
    )]
    NotSafetensors { file: String, why: String },
    /// A tensor of the policy is not there.
    #[error("{file} has no tensor `{tensor}`: it is not a model of this tour; retrain it")]
    MissingTensor { file: String, tensor: String },
    /// A tensor has another shape than the policy's.
    #[error("{file}: tensor `{tensor}` has shape {found:?} instead of {expected:?}; retrain it")]
    Shape {
        file: String,
        tensor: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    /// A tensor holds numbers of another kind.
    #[error("{file}: tensor `{tensor}` holds {found} instead of {expected}; save it as {expected}")]
    Dtype {
        file: String,
        tensor: String,
        found: String,
        expected: String,
    },
    /// A weight is NaN or infinite.
    #[error("{file}: tensor `{tensor}` holds {found} at index {index}; retrain the model")]
    NotFinite {
        file: String,
        tensor: String,
        index: usize,
        found: f32,
    },
    /// The file is whole, and yet another one than the manifest lists.
    #[error(
        "{file} has SHA-256 {found} instead of the manifest's {expected}: it was damaged on the way \
         or belongs to another training; fetch it again or retrain"
    )]
    Checksum {
        file: String,
        found: String,
        expected: String,
    },
    /// Snapshots that do not follow each other.
    #[error("{file}: tensor `iteration` goes from {before} to {after}, and must rise; retrain it")]
    Order {
        file: String,
        before: u32,
        after: u32,
    },
    /// An entry of the metadata that decides what the weights mean cannot be read.
    #[error("{file}: the metadata `{key}` is `{found}`, where {expected} belongs; retrain it")]
    Metadata {
        file: String,
        key: &'static str,
        found: String,
        expected: &'static str,
    },
    /// The manifest was written by another version of the trainer.
    #[error(
        "{file} has format {found}, and this build reads format {expected}: \
         use the build it came with, or retrain"
    )]
    Format {
        file: String,
        found: u64,
        expected: u32,
    },
    /// The manifest is not the JSON that it should be.
    #[error("{file} is not a manifest ({why}); retrain, or take the file from the repository")]
    NotManifest { file: String, why: String },
    /// A table of options is not the JSON that it should be.
    #[error("{file} is not a table of options ({why}); make it anew with train-distill --ablate")]
    NotAblation { file: String, why: String },
    /// A field of the manifest contradicts another or cannot be.
    #[error("{file}: model `{model}` has {found} in `{field}`, where {expected} belongs; retrain")]
    Field {
        file: String,
        model: String,
        field: &'static str,
        found: String,
        expected: String,
    },
}

/// The format of a weights file, which its metadata names. The manifest's counts by itself.
pub const FORMAT: u32 = 1;

/// The state dict's names for the parts of a policy, in the order of [`Policy::LAYOUT`].
const PARTS: [&str; 6] = [
    "0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias",
];
const LOG_Z: &str = "log_z";
const STD_RANGE: &str = "std_range";

/// Neurons in a hidden layer, by the shape of the square weights between the layers; the usual
/// number where that cannot be.
fn hidden(tensors: &SafeTensors, name: &str) -> usize {
    let square = tensors.tensor(name);
    match square.as_ref().map(|square| square.shape()) {
        Ok(&[.., rows, columns]) if rows == columns && limits::HIDDEN.contains(&rows) => rows,
        _ => experiment::HIDDEN,
    }
}

type Metadata = BTreeMap<String, String>;

/// What a file says of itself, and the standard deviations of its policies, which are taken out.
fn metadata(file: &str, bytes: &[u8]) -> Result<(Metadata, StdRange), WeightsError> {
    let (_, header) =
        SafeTensors::read_metadata(bytes).map_err(|error| damaged(file, bytes, &error))?;
    let mut metadata: Metadata = header.metadata().clone().into_iter().flatten().collect();
    let Some(text) = metadata.remove(STD_RANGE) else {
        return Ok((metadata, StdRange::USUAL));
    };
    match serde_json::from_str::<StdRange>(&text) {
        Ok(range) if 0.0 < range.min_std && range.min_std < range.max_std => Ok((metadata, range)),
        _ => Err(WeightsError::Metadata {
            file: file.into(),
            key: STD_RANGE,
            found: text,
            expected: "a range like {\"min_std\":0.1,\"max_std\":1.0}",
        }),
    }
}

/// The metadata of a file of policies with these standard deviations.
fn with_std_range(mut metadata: Metadata, range: StdRange) -> Metadata {
    if range != StdRange::USUAL {
        metadata.insert(STD_RANGE.into(), json!(range).to_string());
    }
    metadata
}

/// What the policy under `prefix` reads, by the shape of its first weights: a first layer for each
/// step has a dimension more.
fn inputs(tensors: &SafeTensors, prefix: &str) -> Inputs {
    let first = tensors.tensor(&format!("{prefix}.{}", PARTS[0]));
    match first.as_ref().map(|first| first.shape()) {
        Ok(&[steps, _, _]) if steps > 0 => Inputs::StepFeatures { steps },
        _ => Inputs::Raw,
    }
}

/// Reads a model. `file` is the name that errors give; tensors that the tour does not know are
/// left alone.
///
/// # Errors
/// When the bytes are not a whole safetensors file, or a tensor is missing, of the wrong shape or
/// kind, or holds a value that is not finite.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Model, WeightsError> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(file, bytes, &error))?;
    let (metadata, std_range) = metadata(file, bytes)?;
    Ok(Model {
        forward: policy(file, &tensors, "forward")?.with_std_range(std_range),
        backward: policy(file, &tensors, "backward")?.with_std_range(std_range),
        flow: match tensors.names().iter().any(|name| name.starts_with("flow.")) {
            true => Some(policy(file, &tensors, "flow")?),
            false => None,
        },
        log_z: read(file, &tensors, LOG_Z, &[1])?[0],
        metadata,
    })
}

/// Where the part of the model `name` that samples is, in the folder of its weights: the tensors of
/// [`parse`]'s file without the backward policy's. The last step of the page's build cuts it out.
pub fn forward_file(name: &str) -> String {
    format!("forward/{name}.safetensors")
}

/// Reads the forward policy and log Z, in nats, of a model or of its forward part.
///
/// # Errors
/// As [`parse`], for these tensors.
pub fn parse_forward(file: &str, bytes: &[u8]) -> Result<(Policy<f32>, f32), WeightsError> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(file, bytes, &error))?;
    let (_, std_range) = metadata(file, bytes)?;
    Ok((
        policy(file, &tensors, "forward")?.with_std_range(std_range),
        read(file, &tensors, LOG_Z, &[1])?[0],
    ))
}

/// The policy under `prefix`, with the usual standard deviations.
fn policy(file: &str, tensors: &SafeTensors, prefix: &str) -> Result<Policy<f32>, WeightsError> {
    let inputs = inputs(tensors, prefix);
    let hidden = hidden(tensors, &format!("{prefix}.{}", PARTS[2]));
    let mut parameters = Vec::new();
    for (part, shape) in PARTS.iter().zip(Policy::<f32>::shapes(inputs, hidden)) {
        parameters.extend(read(file, tensors, &format!("{prefix}.{part}"), &shape)?);
    }
    Policy::with_inputs(inputs, hidden, parameters).ok_or_else(|| unfilled(file))
}

fn unfilled(file: &str) -> WeightsError {
    WeightsError::NotSafetensors {
        file: file.into(),
        why: "its tensors do not fill the policy".into(),
    }
}

fn damaged(file: &str, bytes: &[u8], error: &SafeTensorError) -> WeightsError {
    // A header length beyond the file means a cut file when the header at least begins as one.
    let begins_well = bytes.get(8).is_none_or(|&b| b == b'{');
    match error {
        SafeTensorError::HeaderTooSmall
        | SafeTensorError::InvalidHeaderLength
        | SafeTensorError::MetadataIncompleteBuffer
            if begins_well =>
        {
            WeightsError::Truncated {
                file: file.into(),
                found: bytes.len(),
            }
        }
        _ => WeightsError::NotSafetensors {
            file: file.into(),
            why: error.to_string(),
        },
    }
}

/// The numbers of an F32 tensor, all finite.
fn read(
    file: &str,
    tensors: &SafeTensors,
    name: &str,
    expected: &[usize],
) -> Result<Vec<f32>, WeightsError> {
    let data = read_bytes(file, tensors, name, Dtype::F32, expected)?;
    let (words, _) = data.as_chunks::<4>();
    finite(
        file,
        name,
        words.iter().map(|&word| f32::from_le_bytes(word)).collect(),
    )
}

/// The bytes of a tensor of this kind and shape.
fn read_bytes<'a>(
    file: &str,
    tensors: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], WeightsError> {
    let tensor = tensors
        .tensor(name)
        .map_err(|_| WeightsError::MissingTensor {
            file: file.into(),
            tensor: name.into(),
        })?;
    if tensor.dtype() != dtype {
        return Err(WeightsError::Dtype {
            file: file.into(),
            tensor: name.into(),
            found: tensor.dtype().to_string(),
            expected: dtype.to_string(),
        });
    }
    if tensor.shape() != shape {
        return Err(WeightsError::Shape {
            file: file.into(),
            tensor: name.into(),
            found: tensor.shape().to_vec(),
            expected: shape.to_vec(),
        });
    }
    Ok(tensor.data())
}

fn finite(file: &str, name: &str, values: Vec<f32>) -> Result<Vec<f32>, WeightsError> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(WeightsError::NotFinite {
            file: file.into(),
            tensor: name.into(),
            index,
            found: values[index],
        }),
        None => Ok(values),
    }
}

/// The bytes of a model's safetensors file. Both policies have the forward one's standard deviations.
pub fn serialize(model: &Model) -> Vec<u8> {
    let mut tensors = Vec::new();
    let policies = [("backward", &model.backward), ("forward", &model.forward)];
    let flow = model.flow.as_ref().map(|flow| ("flow", flow));
    for (prefix, policy) in policies.into_iter().chain(flow) {
        push_policy(&mut tensors, prefix, policy);
    }
    tensors.push(Tensor::f32(LOG_Z.into(), vec![1], &[model.log_z]));
    let metadata = with_std_range(model.metadata.clone(), model.forward.std_range());
    assemble(&metadata, &tensors)
}

fn push_policy(tensors: &mut Vec<Tensor>, prefix: &str, policy: &Policy<f32>) {
    let shapes = Policy::<f32>::shapes(policy.inputs(), policy.hidden());
    for ((part, shape), values) in PARTS.iter().zip(shapes).zip(policy.parts()) {
        tensors.push(Tensor::f32(format!("{prefix}.{part}"), shape, values));
    }
}

/// A tensor on its way into a file.
struct Tensor {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    /// Little-endian, row-major.
    data: Vec<u8>,
}

impl Tensor {
    fn f32(name: String, shape: Vec<usize>, values: &[f32]) -> Self {
        Tensor {
            name,
            dtype: "F32",
            shape,
            data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}

/// The bytes of a safetensors file.
///
/// The header is written here and not by the safetensors crate, whose metadata is a `HashMap`:
/// its order changes from run to run, and the same training must give the same bytes.
fn assemble(metadata: &BTreeMap<String, String>, tensors: &[Tensor]) -> Vec<u8> {
    let mut entries = serde_json::Map::new();
    entries.insert("__metadata__".into(), json!(metadata));
    let mut data = Vec::new();
    for tensor in tensors {
        let begin = data.len();
        data.extend_from_slice(&tensor.data);
        entries.insert(
            tensor.name.clone(),
            json!({
                "dtype": tensor.dtype,
                "shape": tensor.shape,
                "data_offsets": [begin, data.len()],
            }),
        );
    }
    let mut header = serde_json::Value::Object(entries).to_string().into_bytes();
    // The data start on a multiple of eight bytes, as the crate's own files do.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    bytes
}

/// Checks that `bytes` are the file that a manifest lists.
///
/// # Errors
/// When their SHA-256 is not `expected`.
pub fn check_sha256(file: &str, bytes: &[u8], expected: &str) -> Result<(), WeightsError> {
    let found = sha256(bytes);
    if found == expected {
        return Ok(());
    }
    Err(WeightsError::Checksum {
        file: file.into(),
        found,
        expected: expected.into(),
    })
}

/// The SHA-256 of `bytes` in lower-case hexadecimal, as the manifest gives it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::HIDDEN;
    use crate::noise::ThreefryRng;
    use safetensors::tensor::TensorView;

    fn model() -> Model {
        Model {
            forward: Policy::init(HIDDEN, &mut ThreefryRng::new(1, 0)),
            backward: Policy::init(HIDDEN, &mut ThreefryRng::new(1, 1)),
            flow: None,
            log_z: 0.625,
            metadata: ["name", "recipe", "seed"]
                .map(|key| (key.to_owned(), format!("the \"{key}\"")))
                .into(),
        }
    }

    /// The file of [`model`] with one tensor replaced, or removed where there is none.
    fn with_tensor(name: &str, tensor: Option<(Dtype, Vec<usize>, Vec<u8>)>) -> Vec<u8> {
        with_tensor_of(&model(), name, tensor)
    }

    fn with_tensor_of(
        model: &Model,
        name: &str,
        tensor: Option<(Dtype, Vec<usize>, Vec<u8>)>,
    ) -> Vec<u8> {
        replace_tensor(&serialize(model), name, tensor)
    }

    /// A file with one tensor replaced, or removed where there is none.
    pub fn replace_tensor(
        bytes: &[u8],
        name: &str,
        tensor: Option<(Dtype, Vec<usize>, Vec<u8>)>,
    ) -> Vec<u8> {
        let parsed = SafeTensors::deserialize(bytes).unwrap();
        let mut tensors: BTreeMap<String, TensorView> = parsed.tensors().into_iter().collect();
        tensors.remove(name).unwrap();
        if let Some((dtype, shape, data)) = &tensor {
            let view = TensorView::new(*dtype, shape.clone(), data).unwrap();
            tensors.insert(name.into(), view);
        }
        safetensors::serialize(tensors, None).unwrap()
    }

    fn check(bytes: &[u8], message: &str) {
        assert_eq!(
            parse("m.safetensors", bytes).unwrap_err().to_string(),
            message
        );
    }

    #[test]
    fn a_model_survives_and_the_same_model_gives_the_same_bytes() {
        let bytes = serialize(&model());
        assert_eq!(parse("m.safetensors", &bytes).unwrap(), model());
        assert_eq!(serialize(&model()), bytes);
    }

    fn model_with_features() -> Model {
        let inputs = Inputs::StepFeatures { steps: 5 };
        let policy = |stream| Policy::init_with(inputs, HIDDEN, &mut ThreefryRng::new(1, stream));
        Model {
            forward: policy(0),
            backward: policy(1),
            ..model()
        }
    }

    #[test]
    fn a_model_with_features_survives_and_is_checked_as_one() {
        let model = model_with_features();
        let bytes = serialize(&model);
        assert_eq!(parse("m.safetensors", &bytes).unwrap(), model);
        for length in (0..bytes.len()).step_by(997) {
            assert!(parse("m.safetensors", &bytes[..length]).is_err());
        }
        // The features of another build, and a bias that is not the weights'.
        let zeros = |shape: &[usize]| {
            let bytes = vec![0; 4 * shape.iter().product::<usize>()];
            Some((Dtype::F32, shape.to_vec(), bytes))
        };
        check(
            &with_tensor_of(&model, "forward.0.weight", zeros(&[5, 64, 15])),
            "m.safetensors: tensor `forward.0.weight` has shape [5, 64, 15] instead of \
             [5, 64, 14]; retrain it",
        );
        check(
            &with_tensor_of(&model, "backward.0.bias", zeros(&[4, 64])),
            "m.safetensors: tensor `backward.0.bias` has shape [4, 64] instead of [5, 64]; \
             retrain it",
        );
        check(
            &with_tensor_of(&model, "forward.0.weight", zeros(&[0, 64, 14])),
            "m.safetensors: tensor `forward.0.weight` has shape [0, 64, 14] instead of [64, 2]; \
             retrain it",
        );
    }

    #[test]
    fn a_model_with_a_flow_survives_and_is_checked_as_one() {
        let inputs = Inputs::StepFeatures { steps: 5 };
        let flows = [
            (model(), Policy::init(HIDDEN, &mut ThreefryRng::new(1, 8))),
            (
                model_with_features(),
                Policy::init_with(inputs, HIDDEN, &mut ThreefryRng::new(1, 8)),
            ),
        ];
        for (model, flow) in flows {
            let model = Model {
                flow: Some(flow),
                ..model
            };
            assert_eq!(parse("m.safetensors", &serialize(&model)).unwrap(), model);
            check(
                &with_tensor_of(&model, "flow.2.bias", None),
                "m.safetensors has no tensor `flow.2.bias`: it is not a model of this tour; \
                 retrain it",
            );
        }
        assert!(!String::from_utf8_lossy(&serialize(&model())).contains("flow."));
    }

    #[test]
    fn a_model_of_another_width_and_range_survives() {
        let std_range = StdRange {
            min_std: 0.05,
            max_std: 2.0,
        };
        let policy = |stream| {
            let policy = Policy::init(48, &mut ThreefryRng::new(1, stream));
            policy.with_std_range(std_range)
        };
        let model = Model {
            forward: policy(0),
            backward: policy(1),
            ..model()
        };
        let bytes = serialize(&model);
        assert_eq!(parse("m.safetensors", &bytes).unwrap(), model);
        let mut wrong = serialize(&model);
        let at = wrong.windows(4).position(|w| w == b"0.05").unwrap();
        wrong[at..at + 4].copy_from_slice(b"3.05");
        check(
            &wrong,
            "m.safetensors: the metadata `std_range` is `{\"max_std\":2.0,\"min_std\":3.05}`, \
             where a range like {\"min_std\":0.1,\"max_std\":1.0} belongs; retrain it",
        );
        // Usual models do not mention it.
        let usual = serialize(&self::model());
        assert!(!String::from_utf8_lossy(&usual).contains("std_range"));
    }

    #[test]
    fn the_safetensors_crate_finds_every_tensor_where_pytorch_would() {
        let bytes = serialize(&model());
        let parsed = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(parsed.len(), 13);
        let weight = parsed.tensor("backward.2.weight").unwrap();
        assert_eq!(weight.shape(), [64, 64]);
        let first = f32::from_le_bytes(weight.data()[..4].try_into().unwrap());
        assert_eq!(first, model().backward.parts()[2][0]);
    }

    #[test]
    fn a_cut_file_is_told_from_another_file() {
        let bytes = serialize(&model());
        for length in [0, 5, 8, 100, 2_000, bytes.len() - 1] {
            let error = parse("m.safetensors", &bytes[..length]).unwrap_err();
            assert!(
                matches!(error, WeightsError::Truncated { found, .. } if found == length),
                "{length}: {error}"
            );
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(
            parse("m.safetensors", &longer),
            Err(WeightsError::Truncated { .. })
        ));
        check(
            b"<!doctype html><title>404</title>",
            "m.safetensors is not a safetensors file (header too large): \
             check that the server sends the file itself",
        );
    }

    #[test]
    fn a_missing_tensor_is_named() {
        check(
            &with_tensor("forward.2.bias", None),
            "m.safetensors has no tensor `forward.2.bias`: \
             it is not a model of this tour; retrain it",
        );
    }

    #[test]
    fn a_wrong_shape_is_named() {
        check(
            &with_tensor(
                "backward.4.weight",
                Some((Dtype::F32, vec![64, 2], vec![0; 512])),
            ),
            "m.safetensors: tensor `backward.4.weight` has shape [64, 2] instead of [2, 64]; \
             retrain it",
        );
    }

    #[test]
    fn a_wrong_dtype_is_named() {
        check(
            &with_tensor("log_z", Some((Dtype::F64, vec![1], vec![0; 8]))),
            "m.safetensors: tensor `log_z` holds F64 instead of F32; save it as F32",
        );
    }

    #[test]
    fn a_value_that_is_not_finite_is_named() {
        for (value, text) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
            let mut data = vec![0; 256];
            data[12..16].copy_from_slice(&value.to_le_bytes());
            check(
                &with_tensor("forward.0.bias", Some((Dtype::F32, vec![64], data))),
                &format!(
                    "m.safetensors: tensor `forward.0.bias` holds {text} at index 3; \
                     retrain the model"
                ),
            );
        }
    }

    #[test]
    fn sha256_of_abc_is_the_standards_example() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        check_sha256("abc", b"abc", &sha256(b"abc")).unwrap();
        let error = check_sha256("abc", b"abd", &sha256(b"abc")).unwrap_err();
        assert!(
            error.to_string().starts_with("abc has SHA-256 a52d159f"),
            "{error}"
        );
    }
}
