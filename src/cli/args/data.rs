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

/// The commands of `saliq data`.
#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// List the data sets that are available, and where they were found
    List(ListArgs),
    /// Download data sets; an interrupted download is resumed, and checksums are verified
    Fetch(FetchArgs),
}

/// `saliq data list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Folder in which data sets are looked up first [default: SALIQ_DATA_DIR, the cache folder,
    /// /usr/share/datasets]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `saliq data fetch`.
#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// Names of data sets, such as mnist or fashion-mnist (see `saliq data list`)
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Folder in which to store them [default: SALIQ_DATA_DIR, else the cache folder]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}
