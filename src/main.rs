//! The `saliq` program; everything is in the library.

fn main() -> std::process::ExitCode {
    saliq::cli::main()
}
