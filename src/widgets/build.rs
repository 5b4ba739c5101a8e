//! Prepares what the page and its article need at compile time: formulas as MathML, and what the
//! trainer wrote about the bundled models, where there is that.

use pulldown_latex::config::{DisplayMode, RenderConfig};
use pulldown_latex::{Parser, Storage, push_mathml};
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

const FORMULAS: &str = "formulas.txt";
const MANIFEST: &str = "../../pretrained/manifest.json";
const ABLATION: &str = "../../pretrained/four_mode_solved.ablation.json";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={FORMULAS}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("formulas.rs"),
        formulas(&fs::read_to_string(FORMULAS)?)?,
    )?;
    // The page's program reads the manifest from the article, and is not built anew for it.
    if env::var("CARGO_CFG_TARGET_ARCH")? == "wasm32" {
        return Ok(());
    }
    // A tree without trained models still builds: the article then says that its numbers are missing.
    for file in [MANIFEST, ABLATION] {
        println!("cargo::rerun-if-changed={file}");
        let text = match Path::new(file).exists() {
            true => fs::read_to_string(file)?,
            false => String::new(),
        };
        let name = Path::new(file).file_name().unwrap_or_default();
        fs::write(out.join(name), text)?;
    }
    Ok(())
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
