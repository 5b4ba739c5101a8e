//! The last step of every build of the page: see [`gflownet_tour_release`].

use std::env;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: gflownet-tour-release assemble ARTICLE FILE...
                                                    put the article and these files into the folder
                                                    that Trunk is building, and finish it; the
                                                    variable GFLOWNET_TOUR_ADDRESS may say
                                                    where it will be, as https://HOST/PATH/
       gflownet-tour-release licences FILE          write what the WASM files are made of, and under
                                                    which licences, into a file to put in
       gflownet-tour-release finish FOLDER          finish a folder again
       gflownet-tour-release compress FOLDER KEPT   put .br and .gz beside its files; what was
                                                    compressed before is taken from KEPT";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let address = env::var(gflownet_tour_release::ADDRESS).ok();
    let finish =
        |folder: &str| gflownet_tour_release::finish(Path::new(folder), address.as_deref());
    let outcome = match arguments.as_slice() {
        ["assemble", article, parts @ ..] => match env::var("TRUNK_STAGING_DIR") {
            Ok(folder) => {
                gflownet_tour_release::assemble(Path::new(&folder), Path::new(article), parts)
                    .and_then(|()| finish(&folder))
            }
            Err(_) => {
                eprintln!("error: TRUNK_STAGING_DIR is not set; Trunk sets it\n\n{USAGE}");
                return ExitCode::from(2);
            }
        },
        ["licences", file] => gflownet_tour_release::licences(Path::new("."))
            .and_then(|text| gflownet_tour_release::write(Path::new(file), text.as_bytes())),
        ["finish", folder] => finish(folder),
        #[cfg(feature = "compress")]
        ["compress", folder, kept] => {
            gflownet_tour_release::compress(Path::new(folder), Path::new(kept))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
