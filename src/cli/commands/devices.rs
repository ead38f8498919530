//! `saliq devices`.

use crate::{
    Result,
    cli::{
        args::{DevicesArgs, GlobalArgs},
        tuning,
    },
    gpu::{AdapterReport, adapters, no_adapter},
    report::Table,
};

/// Lists the adapters.
///
/// # Errors
/// [`crate::Error::NoAdapter`] if there are none, with advice on how to install one.
pub fn run(args: &DevicesArgs, global: &GlobalArgs) -> Result<()> {
    if args.tuning {
        return show_tuning(global);
    }
    let found = pollster::block_on(adapters(&global.adapter))?;
    if found.is_empty() {
        return Err(no_adapter());
    }
    global.output().result(&found, || describe(&found))
}

/// Prints the results of `saliq bench --autotune` on the selected adapter, and the file that stores
/// them.
fn show_tuning(global: &GlobalArgs) -> Result<()> {
    let gpu = super::open_gpu(global)?;
    let (path, tuning) = tuning::of_adapter(&gpu)?;
    let place = path.map_or("no cache folder".into(), |path| path.display().to_string());
    match tuning {
        Some(tuning) => {
            global.output().result(&tuning, || format!("{place}\n{}", tuning::describe(&tuning)))
        }
        None => global.output().result(&None::<()>, || {
            format!(
                "no measured tile sizes for {}: `saliq bench --autotune` would write {place}",
                gpu.adapter_description()
            )
        }),
    }
}

fn describe(adapters: &[AdapterReport]) -> String {
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let rows: Vec<_> = adapters
        .iter()
        .map(|adapter| {
            vec![
                format!("{}{}", adapter.index, if adapter.picked { " *" } else { "" }),
                adapter.name.clone(),
                adapter.backend.clone(),
                adapter.kind.clone(),
                adapter.driver.clone(),
                adapter.features.join(" "),
                mib(adapter.max_storage_binding_bytes),
            ]
        })
        .collect();
    let mut text = Table::new(
        ["#", "adapter", "backend", "type", "driver", "features", "binds at most"],
        rows,
    )
    .to_text(None);
    if let Some(picked) = adapters.iter().find(|adapter| adapter.picked) {
        text.push_str(&format!("\n* {} is picked: {}", picked.name, picked.reason));
    } else if let Some(first) = adapters.first() {
        text.push_str(&format!("\nnone is picked: {}", first.reason));
    }
    text
}
