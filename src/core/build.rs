//! Names this build by a hash of the crate's sources, which hold all that page and engine say to
//! each other: [`message::BUILD`](src/core/message.rs) tells the two of one build from others.

use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo::rerun-if-changed={}", root.display());
    let mut sources = Vec::new();
    gather(&root, &mut sources)?;
    sources.sort();
    // FNV-1a, 64 bits.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for source in sources {
        // Line ends are the checkout's and not the build's.
        for byte in fs::read(source)?.into_iter().filter(|&byte| byte != b'\r') {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    println!("cargo::rustc-env=GFLOWNET_TOUR_BUILD={hash:016x}");
    Ok(())
}

fn gather(folder: &Path, sources: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    Ok(())
}
