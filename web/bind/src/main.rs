//! wasm-bindgen's program, in the version that the library's lock file has: `bind INPUT.wasm OUT`.

use std::{env, process::ExitCode};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let [input, out] = match env::args().skip(1).collect::<Vec<_>>().try_into() {
        Ok(both) => both,
        Err(_) => {
            eprintln!("usage: bind INPUT.wasm OUT");
            return ExitCode::from(2);
        }
    };
    let [input, out]: [String; 2] = [input, out];
    let made = Bindgen::new().input_path(input).out_name("saliq").web(true).and_then(|own| {
        own.typescript(false).remove_producers_section(true).remove_name_section(true).generate(out)
    });
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
