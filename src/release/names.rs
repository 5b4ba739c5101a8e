//! Names with a hash of the content, and back.

use sha2::{Digest, Sha256};

/// Digits of a hash in a name: 64 bits.
const DIGITS: usize = 16;

/// What is added to the name of a file that is compressed.
pub(crate) const BROTLI: &str = ".br";
pub(crate) const GZIP: &str = ".gz";

pub(crate) fn is_compressed(name: &str) -> bool {
    name.ends_with(BROTLI) || name.ends_with(GZIP)
}

/// Sixteen digits of a SHA-256.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest[..DIGITS / 2]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The name that a file gets: `page.js` becomes `page-0123456789abcdef.js`.
pub fn hashed(name: &str, bytes: &[u8]) -> String {
    let hash = hex(&Sha256::digest(bytes));
    let folder = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name[folder..]
        .rfind('.')
        .map_or(name.len(), |dot| folder + dot);
    let (stem, extension) = name.split_at(dot);
    format!("{stem}-{hash}{extension}")
}

/// The name of a file without its hash; a name without one is returned as it is.
///
/// ```
/// use gflownet_tour_release::{hashed, plain};
/// assert_eq!(plain("page_bg-0123456789abcdef.wasm"), "page_bg.wasm");
/// assert_eq!(plain(&hashed("pretrained/a.safetensors", b"")), "pretrained/a.safetensors");
/// assert_eq!(plain("sw.js"), "sw.js");
/// ```
pub fn plain(name: &str) -> String {
    let folder = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name[folder..]
        .rfind('.')
        .map_or(name.len(), |dot| folder + dot);
    let (stem, extension) = name.split_at(dot);
    let is_hash = |hash: &str| {
        hash.len() == DIGITS && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    match stem.rsplit_once('-') {
        Some((stem, hash)) if is_hash(hash) => format!("{stem}{extension}"),
        _ => name.to_owned(),
    }
}
