//! `article PRETRAINED OUT`: writes the body of the page to the file OUT, whole or not at all, with
//! the pictures of the models in the folder PRETRAINED.

use gflownet_tour_article::{body, models::Models};
use std::error::Error;
use std::path::Path;
use std::{env, fs, process};

fn main() {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [pretrained, out] = arguments.as_slice() else {
        eprintln!("usage: article PRETRAINED OUT");
        process::exit(2);
    };
    if let Err(why) = write(pretrained.as_ref(), out.as_ref()) {
        eprintln!("article: {why}");
        process::exit(1);
    }
}

fn write(pretrained: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let models = Models::read(pretrained)?;
    let text = body(&models).into_string();
    // Trunk looks at the file's time.
    if fs::read_to_string(out).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let place = |why: std::io::Error| format!("{}: {why}", out.display());
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder).map_err(place)?;
    }
    let part = out.with_extension("part");
    fs::write(&part, text).map_err(place)?;
    Ok(fs::rename(&part, out).map_err(place)?)
}
