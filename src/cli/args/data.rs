//! Arguments of `saliq data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `saliq data`.
#[derive(Clone, Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct DataArgs {
    /// List or fetch.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// What to do with data sets.
#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// What is available, and where it was found
    List(ListArgs),
    /// Download data sets, with resume and checksums
    Fetch(FetchArgs),
}

/// `saliq data list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Where data sets are looked up first [default: SALIQ_DATA_DIR, the cache folder,
    /// /usr/share/datasets]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `saliq data fetch`.
#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// Data sets, such as mnist or fashion-mnist (see `saliq data list`)
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Where to store them [default: SALIQ_DATA_DIR, else the cache folder]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}
