//! `article PRETRAINED FOLDER`: writes the body of the page, with the pictures of the models in the
//! folder PRETRAINED, and beside it what the page's program reads of their trainings.

use gflownet_tour_article::{body, models::Models};
use gflownet_tour_widgets::numbers::TRAININGS;
use std::error::Error;
use std::path::Path;
use std::{env, fs, process};

fn main() {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [pretrained, folder] = arguments.as_slice() else {
        eprintln!("usage: article PRETRAINED FOLDER");
        process::exit(2);
    };
    if let Err(why) = run(pretrained.as_ref(), folder.as_ref()) {
        eprintln!("article: {why}");
        process::exit(1);
    }
}

fn run(pretrained: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let models = Models::read(pretrained)?;
    write(&folder.join("article.html"), body(&models).into_string())?;
    write(&folder.join(TRAININGS), models.trainings())
}

/// Writes a file, whole or not at all, unless it says that already: Trunk looks at its time.
fn write(file: &Path, text: String) -> Result<(), Box<dyn Error>> {
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let place = |why: std::io::Error| format!("{}: {why}", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(place)?;
    }
    let part = file.with_extension("part");
    fs::write(&part, text).map_err(place)?;
    Ok(fs::rename(&part, file).map_err(place)?)
}
