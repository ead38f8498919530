//! What the program does, run as a user runs it, and what its runs leave behind. `tests/library`
//! says what stands where.

#[path = "../common/mod.rs"]
mod common;
#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod batch_norm;
mod book;
mod c_header;
mod commands;
mod cost;
mod formats;
mod gpu_stages;
mod hostile_files;
mod hostile_names;
mod import;
mod judgement;
mod networks;
mod pictures;
mod quantize;
mod reproduce;
mod schemas;
mod search;
mod sweep;
mod training;
