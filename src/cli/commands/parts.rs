//! The part of a study or a sweep that a command makes, and what became of its runs.

use crate::{
    cli::output::Output,
    study::{
        execute::Executed,
        shard::{Scheduled, Shard},
    },
};

/// The part to make: the one that is given, or the one of the array job that this process is of. A
/// note says which variables of a scheduler selected it; `whole` and `all` are words for what has
/// the parts.
pub(super) fn part(given: Option<Shard>, [whole, all]: [&str; 2], output: &Output) -> Shard {
    if let Some(shard) = given {
        return shard;
    }
    let Some(Scheduled { shard, variables, lacks }) =
        Scheduled::new(|name| std::env::var(name).ok())
    else {
        return Shard::WHOLE;
    };
    output.note(&match shard {
        Some(shard) => {
            format!("part {shard} of the {whole}, from {variables}; --shard none makes {all}")
        }
        None => format!(
            "the whole {whole}: {variables} is set, but not {}; --shard I/N makes a part",
            lacks.unwrap_or("the rest")
        ),
    });
    shard.unwrap_or(Shard::WHOLE)
}

/// Says what became of the runs.
pub(super) fn note_executed(executed: Executed, output: &Output) {
    let Executed { made, skipped, failed } = executed;
    output.note(&format!("{made} made, {skipped} there already, {failed} failed"));
}
