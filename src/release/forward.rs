//! What sampling needs of a model: the forward policy and log Z, without the backward policy, which
//! only the parts that a reader opens ask for. Half of the file, bit for bit.

use serde_json::{Map, Value, json};

const METADATA: &str = "__metadata__";

/// The safetensors file with the tensors of `file` that are not `backward.*`. None where there are
/// none of these, or no `log_z` and none `forward.*`: then it is of another kind.
///
/// # Errors
/// When `file` is not a safetensors file.
pub fn forward_part(file: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let damaged =
        || "it is not a safetensors file; retrain, or take it from the repository".to_owned();
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(damaged)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let header: Map<String, Value> = serde_json::from_slice(header).map_err(|_| damaged())?;
    let has = |prefix: &str| header.keys().any(|name| name.starts_with(prefix));
    if !has("forward.") || !has("backward.") || !header.contains_key("log_z") {
        return Ok(None);
    }
    let mut kept = Map::new();
    let mut tensors = Vec::new();
    for (name, entry) in header {
        if name == METADATA {
            kept.insert(name, entry);
        } else if !name.starts_with("backward.") {
            let offset = |i: usize| usize::try_from(entry["data_offsets"][i].as_u64()?).ok();
            let range = offset(0).zip(offset(1)).and_then(|(a, b)| data.get(a..b));
            tensors.push((name, range.ok_or_else(damaged)?, entry.clone()));
        }
    }
    // In the order of the data.
    tensors.sort_by_key(|(_, bytes, _)| bytes.as_ptr());
    let mut data = Vec::new();
    for (name, bytes, mut entry) in tensors {
        let begin = data.len();
        data.extend_from_slice(bytes);
        entry["data_offsets"] = json!([begin, data.len()]);
        kept.insert(name, entry);
    }
    let mut header = Value::Object(kept).to_string();
    // Tensors begin at a multiple of eight bytes.
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    Ok(Some(file))
}
