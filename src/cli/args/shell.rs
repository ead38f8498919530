//! Arguments of `saliq completions` and `saliq man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `saliq completions`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  saliq completions bash > ~/.local/share/bash-completion/completions/saliq
  saliq completions zsh > ~/.zfunc/_saliq
  saliq completions fish > ~/.config/fish/completions/saliq.fish
  saliq completions powershell >> $PROFILE")]
pub struct CompletionsArgs {
    /// The shell: bash, zsh, fish, elvish or powershell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// `saliq man`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  saliq man --out ~/.local/share/man/man1
  saliq man --out man && man man/saliq-train.1")]
pub struct ManArgs {
    /// Folder for saliq.1 and a page for each command
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
