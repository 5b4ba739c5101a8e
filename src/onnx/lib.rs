//! The forward policy as an ONNX model: the few messages of `onnx.proto` that it takes, by field
//! number, and the graph.
//!
//! Input `state` [batch, 2], rows (x, t); output `policy` [batch, 2], rows (mean, standard
//! deviation) of the action. `tests/python/check_pretrained.py` runs it in ONNX Runtime.

#![warn(missing_docs, clippy::missing_errors_doc, clippy::missing_panics_doc)]

use gflownet_tour_core::policy::{
    FREQUENCIES, Inputs, LINEAR_GAIN, Policy, SQUARE_GAIN, WAVE_GAIN,
};
use prost::Message;

/// The operator set: the first one of 2023, which every runtime in use reads.
const OPSET: i64 = 17;
/// The format version that came with it.
const IR_VERSION: i64 = 8;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetIdProto {
    /// Empty for the standard operators.
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
}

/// An attribute whose value is one integer.
#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(enumeration = "AttributeType", tag = "20")]
    r#type: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
enum AttributeType {
    Undefined = 0,
    Int = 2,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(enumeration = "DataType", tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
enum DataType {
    Undefined = 0,
    Float = 1,
    Int64 = 7,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorTypeProto {
    #[prost(enumeration = "DataType", tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(oneof = "Extent", tags = "1, 2")]
    extent: Option<Extent>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Extent {
    #[prost(int64, tag = "1")]
    Fixed(i64),
    #[prost(string, tag = "2")]
    Named(String),
}

fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Option<(&str, i64)>) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        input: owned(inputs),
        output: owned(outputs),
        name: format!("{op} to {}", outputs.join(", ")),
        op_type: op.to_owned(),
        attribute: attribute
            .map(|(name, value)| AttributeProto {
                name: name.to_owned(),
                i: value,
                r#type: AttributeType::Int.into(),
            })
            .into_iter()
            .collect(),
    }
}

fn floats(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: DataType::Float.into(),
        name: name.to_owned(),
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn integers(name: &str, dims: &[usize], values: &[i64]) -> TensorProto {
    TensorProto {
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: DataType::Int64.into(),
        name: name.to_owned(),
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// A float matrix [batch, 2].
fn rows_of_two(name: &str) -> ValueInfoProto {
    let extents = [Extent::Named("batch".to_owned()), Extent::Fixed(2)];
    let dim = extents.map(|extent| Dimension {
        extent: Some(extent),
    });
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: DataType::Float.into(),
                shape: Some(TensorShapeProto { dim: dim.into() }),
            }),
        }),
    }
}

/// The weights of a layer are [out, in].
const OUT_IN: Option<(&str, i64)> = Some(("transB", 1));

/// The nodes from `state` to `z0`, the first layer's sums, and the constants that they read.
fn first_layer(inputs: Inputs) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let Inputs::StepFeatures { steps } = inputs else {
        let layer = node("Gemm", &["state", "W0", "b0"], &["z0"], OUT_IN);
        return (vec![layer], Vec::new());
    };
    let to_int64 = Some(("to", DataType::Int64 as i64));
    let nodes = vec![
        node(
            "Split",
            &["state", "halves"],
            &["x", "t"],
            Some(("axis", 1)),
        ),
        // The features: x and x², and waves, of which a cosine is a sine a quarter turn ahead.
        node("Mul", &["x", "linear gain"], &["linear"], None),
        node("Mul", &["x", "x"], &["xx"], None),
        node("Mul", &["xx", "square gain"], &["square"], None),
        node("MatMul", &["x", "frequencies"], &["kx"], None),
        node("Add", &["kx", "phases"], &["angles"], None),
        node("Sin", &["angles"], &["unit waves"], None),
        node("Mul", &["unit waves", "wave gain"], &["waves"], None),
        node(
            "Concat",
            &["linear", "square", "waves"],
            &["features"],
            Some(("axis", 1)),
        ),
        // Each row's own layer.
        node("Cast", &["t"], &["whole t"], to_int64),
        node("Mod", &["whole t", "steps"], &["column"], None),
        node("Squeeze", &["column", "axis 1"], &["layer"], None),
        node("Gather", &["W0", "layer"], &["weights"], None),
        node("Gather", &["b0", "layer"], &["biases"], None),
        node("Unsqueeze", &["features", "axis 2"], &["vectors"], None),
        node("MatMul", &["weights", "vectors"], &["products"], None),
        node("Squeeze", &["products", "axis 2"], &["sums"], None),
        node("Add", &["sums", "biases"], &["z0"], None),
    ];
    let twice = |values: [f64; 2]| values.map(|v| v as f32);
    let waves = FREQUENCIES.map(|k| twice([k, k])).concat();
    let phases = FREQUENCIES.map(|_| twice([0.0, std::f64::consts::FRAC_PI_2]));
    let constants = vec![
        floats("linear gain", &[], &[LINEAR_GAIN as f32]),
        floats("square gain", &[], &[SQUARE_GAIN as f32]),
        floats("wave gain", &[], &[WAVE_GAIN as f32]),
        floats("frequencies", &[1, waves.len()], &waves),
        floats("phases", &[waves.len()], &phases.concat()),
        integers("steps", &[], &[steps as i64]),
        integers("axis 1", &[1], &[1]),
        integers("axis 2", &[1], &[2]),
    ];
    (nodes, constants)
}

/// The bytes of the policy's `.onnx` file.
pub fn serialize(policy: &Policy<f32>) -> Vec<u8> {
    let (mut nodes, constants) = first_layer(policy.inputs());
    nodes.extend([
        node("Elu", &["z0"], &["h0"], None),
        node("Gemm", &["h0", "W1", "b1"], &["z1"], OUT_IN),
        node("Elu", &["z1"], &["h1"], None),
        node("Gemm", &["h1", "W2", "b2"], &["out"], OUT_IN),
        node(
            "Split",
            &["out", "halves"],
            &["mean", "raw"],
            Some(("axis", 1)),
        ),
        node("Sigmoid", &["raw"], &["share"], None),
        node("Mul", &["share", "span"], &["above"], None),
        node("Add", &["above", "least"], &["std"], None),
        node("Concat", &["mean", "std"], &["policy"], Some(("axis", 1))),
    ]);
    let shapes = Policy::<f32>::shapes(policy.inputs(), policy.hidden());
    let parts = Policy::<f32>::LAYOUT.iter().zip(shapes).zip(policy.parts());
    let mut initializer: Vec<TensorProto> = parts
        .map(|((name, shape), values)| floats(name, &shape, values))
        .collect();
    let stds = policy.std_range();
    initializer.push(floats("span", &[], &[stds.span() as f32]));
    initializer.push(floats("least", &[], &[stds.min_std as f32]));
    initializer.push(integers("halves", &[2], &[1, 1]));
    initializer.extend(constants);
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        graph: Some(GraphProto {
            node: nodes,
            name: "forward policy".to_owned(),
            initializer,
            input: vec![rows_of_two("state")],
            output: vec![rows_of_two("policy")],
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gflownet_tour_core::noise::ThreefryRng;

    fn check(policy: &Policy<f32>, first_weights: &[i64]) {
        let model = ModelProto::decode(serialize(policy).as_slice()).unwrap();
        let graph = model.graph.unwrap();
        let tensor = |name: &str| graph.initializer.iter().find(|t| t.name == name).unwrap();
        assert_eq!(tensor("W0").dims, first_weights);
        assert_eq!(tensor("W1").dims, [64, 64]);
        let first = policy.parts()[2][0].to_le_bytes();
        assert_eq!(tensor("W1").raw_data[..4], first);
        // Every name that a node reads was given by the input, a weight or an earlier node.
        let mut known = vec!["state".to_owned()];
        known.extend(graph.initializer.into_iter().map(|t| t.name));
        for node in graph.node {
            assert!(
                node.input.iter().all(|name| known.contains(name)),
                "{node:?}"
            );
            known.extend(node.output);
        }
        assert!(known.contains(&"policy".to_owned()));
    }

    #[test]
    fn the_file_holds_the_weights_and_the_graph() {
        let mut rng = ThreefryRng::new(4, 0);
        check(&Policy::init(64, &mut rng), &[64, 2]);
        let inputs = Inputs::StepFeatures { steps: 5 };
        check(&Policy::init_with(inputs, 64, &mut rng), &[5, 64, 14]);
    }
}
