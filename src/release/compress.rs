//! `.br` and `.gz` beside the files, for hosts that send what lies there.

use crate::names::{self, BROTLI, GZIP};
use crate::{Error, Result, list, write};
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::thread;

/// What grows smaller by it. PNG, for one, does not.
const COMPRESSIBLE: [&str; 9] = [
    ".css",
    ".html",
    ".js",
    ".json",
    ".safetensors",
    ".svg",
    ".txt",
    ".wasm",
    ".xml",
];

/// Puts `NAME.br` and `NAME.gz` beside every file that they are for. What was compressed before
/// is taken from the folder `kept`, which afterwards holds what this folder needs.
///
/// # Errors
/// When a file cannot be read or written.
pub fn compress(folder: &Path, kept: &Path) -> Result<()> {
    // By content: files of the same bytes are one piece of work, which two threads would otherwise
    // do at once, to the same file of `kept`.
    let mut contents: BTreeMap<String, Content> = BTreeMap::new();
    for name in list(folder)? {
        if COMPRESSIBLE.iter().any(|kind| name.ends_with(kind)) {
            let path = folder.join(&name);
            let bytes = fs::read(&path).map_err(|why| Error::File(path, why))?;
            contents
                .entry(names::hex(&Sha256::digest(&bytes)))
                .or_insert_with(|| Content {
                    bytes,
                    names: Vec::new(),
                })
                .names
                .push(name);
        }
    }
    let packed = |hash: &str, suffix: &str| format!("{hash}{suffix}");
    let used: BTreeSet<String> = contents
        .keys()
        .flat_map(|hash| [BROTLI, GZIP].map(|suffix| packed(hash, suffix)))
        .collect();
    // The largest first: they are taken from the end.
    let mut waiting: Vec<(String, Content)> = contents.into_iter().collect();
    waiting.sort_by_key(|(_, content)| content.bytes.len());
    let waiting = Mutex::new(waiting);
    let work = || -> Result<()> {
        while let Some((hash, content)) = pop(&waiting) {
            for (suffix, encode) in [(BROTLI, brotli as Encode), (GZIP, gzip)] {
                let path = kept.join(packed(&hash, suffix));
                let compressed = match fs::read(&path) {
                    Ok(compressed) => compressed,
                    Err(_) => {
                        let compressed =
                            encode(&content.bytes).map_err(|why| Error::File(path.clone(), why))?;
                        write_whole(&path, &compressed)?;
                        compressed
                    }
                };
                for name in &content.names {
                    write_whole(&folder.join(format!("{name}{suffix}")), &compressed)?;
                }
            }
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    for entry in list(kept)?.iter().filter(|entry| !used.contains(*entry)) {
        let path = kept.join(entry);
        fs::remove_file(&path).map_err(|why| Error::File(path, why))?;
    }
    Ok(())
}

/// The bytes that one or more files of the folder hold.
struct Content {
    bytes: Vec<u8>,
    names: Vec<String>,
}

type Encode = fn(&[u8]) -> io::Result<Vec<u8>>;

fn pop<T>(waiting: &Mutex<Vec<T>>) -> Option<T> {
    waiting
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .pop()
}

/// Brotli at its highest quality, as `brotli -q 11` has it.
fn brotli(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 24,
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut &*bytes, &mut out, &parameters)?;
    Ok(out)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_added_extension("part");
    write(&unfinished, bytes)?;
    fs::rename(&unfinished, path).map_err(|why| Error::File(path.to_owned(), why))
}
