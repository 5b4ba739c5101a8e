//! Prepares what the page needs at compile time: its formulas as MathML, and what the trainer
//! wrote about the bundled models, where there is that.

use pulldown_latex::config::{DisplayMode, RenderConfig};
use pulldown_latex::{Parser, Storage, push_mathml};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

const FORMULAS: &str = "formulas.txt";
const MANIFEST: &str = "../../pretrained/manifest.json";
/// How many models come first in the manifest and are shown with their training.
const TOUR: usize = 5;
const ABLATION: &str = "../../pretrained/four_mode_solved.ablation.json";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={FORMULAS}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("formulas.rs"),
        formulas(&fs::read_to_string(FORMULAS)?)?,
    )?;
    // A tree without trained models still builds: the page then says that its numbers are missing.
    for file in [MANIFEST, ABLATION] {
        println!("cargo::rerun-if-changed={file}");
        let text = if Path::new(file).exists() {
            let text = fs::read_to_string(file)?;
            if file == MANIFEST {
                // What is no manifest is the page's to tell.
                shown(&text).unwrap_or(text)
            } else {
                // Without its indentation, which is half of it.
                text.lines().map(str::trim_start).collect()
            }
        } else {
            String::new()
        };
        let name = Path::new(file).file_name().unwrap_or_default();
        fs::write(out.join(name), text)?;
    }
    Ok(())
}

/// The part of the manifest that the page shows, without its indentation: of the models that come
/// after the tour's, no training but its end, and no other seeds. It is part of the page's file.
fn shown(manifest: &str) -> Result<String, Box<dyn Error>> {
    let mut manifest: Value = serde_json::from_str(manifest)?;
    let models = manifest["models"].as_array_mut().into_iter().flatten();
    for model in models.skip(TOUR) {
        if let Some(curve) = model["curve"].as_array_mut() {
            curve.drain(..curve.len().saturating_sub(1));
        }
        if let Some(model) = model.as_object_mut() {
            model.remove("ensemble");
        }
    }
    Ok(manifest.to_string())
}

/// One Rust constant per formula: `NAME inline|block LaTeX`, a line each; `#` starts a comment.
fn formulas(table: &str) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for (number, line) in table.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{FORMULAS}:{}", number + 1);
        let mut words = line.splitn(3, char::is_whitespace);
        let (Some(name), Some(display), Some(latex)) = (words.next(), words.next(), words.next())
        else {
            return Err(format!("{place}: want `NAME inline|block LaTeX`, found `{line}`").into());
        };
        let latex = latex.trim();
        let display_mode = match display {
            "inline" => DisplayMode::Inline,
            "block" => DisplayMode::Block,
            other => return Err(format!("{place}: want inline or block, found `{other}`").into()),
        };
        let storage = Storage::new();
        // The writer puts a mistake on the page in red; here a mistake stops the build.
        if let Some(problem) = Parser::new(latex, &storage).find_map(Result::err) {
            return Err(format!("{place}: {problem}").into());
        }
        let mut mathml = String::new();
        let config = RenderConfig {
            display_mode,
            ..RenderConfig::default()
        };
        push_mathml(&mut mathml, Parser::new(latex, &storage), config)?;
        code += &format!("/// `{latex}`\npub const {name}: &str = {mathml:?};\n");
    }
    Ok(code)
}
