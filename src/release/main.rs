//! The last step of every build of the page: see [`gflownet_tour_release`].

use std::env;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: gflownet-tour-release                        finish the folder that Trunk is building
       gflownet-tour-release finish FOLDER          finish a folder
       gflownet-tour-release compress FOLDER KEPT   put .br and .gz beside its files; what was
                                                    compressed before is taken from KEPT";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [] => match env::var("TRUNK_STAGING_DIR") {
            Ok(folder) => gflownet_tour_release::finish(Path::new(&folder)),
            Err(_) => {
                eprintln!("error: TRUNK_STAGING_DIR is not set; Trunk sets it\n\n{USAGE}");
                return ExitCode::from(2);
            }
        },
        ["finish", folder] => gflownet_tour_release::finish(Path::new(folder)),
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
