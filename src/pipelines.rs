//! Creates pipelines at the start: on all cores at once, and cached on disk between runs if the
//! driver allows it (Vulkan).

use std::{
    ops::Deref,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    Result,
    digest::sha256_hex,
    files::{read_bounded, write_atomically},
    gpu::{Gpu, Kernel, Recording},
};

/// Environment variable with the folder of the cache, or `off`.
pub const CACHE_VARIABLE: &str = "SALIQ_PIPELINE_CACHE";
/// Largest cache in bytes; a larger one is neither read nor written.
const MOST_BYTES: usize = 64 << 20;

/// Creates all pipelines of `recordings` that do not exist yet, several at a time, and binds the
/// recordings' buffers.
///
/// # Errors
/// Errors of [`Recording::prepare`].
pub fn prepare(gpu: &Gpu, recordings: &[&Recording]) -> Result<()> {
    let kernels: Vec<_> =
        recordings.iter().flat_map(|recording| recording.kernels()).cloned().collect();
    create(gpu, &kernels)?;
    recordings.iter().try_for_each(|recording| recording.prepare(gpu))
}

/// As [`prepare`], for devices whose errors arrive later: one pipeline after the other, so that
/// others can use the device in between.
///
/// # Errors
/// As [`prepare`].
pub async fn prepare_in_turn(gpu: &Gpu, recordings: &[&Recording]) -> Result<()> {
    for kernel in recordings.iter().flat_map(|recording| recording.kernels()) {
        if !kernel.is_created() {
            kernel.created_on(gpu).await?;
        }
    }
    recordings.iter().try_for_each(|recording| recording.prepare(gpu))?;
    gpu.settled().await
}

/// Creates the pipelines of `kernels` that do not exist yet, several at a time.
///
/// # Errors
/// Errors of [`Kernel::create`].
pub fn create(gpu: &Gpu, kernels: &[Arc<Kernel>]) -> Result<()> {
    let mut kernels: Vec<_> = kernels.iter().filter(|one| !one.is_created()).collect();
    kernels.sort_by_key(|kernel| Arc::as_ptr(kernel));
    kernels.dedup_by_key(|kernel| Arc::as_ptr(kernel));
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(kernel) = kernels.get(next.fetch_add(1, Ordering::Relaxed)) {
            kernel.create(gpu)?;
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(kernels.len());
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let own = work();
        helpers.into_iter().fold(own, |result, helper| {
            let other = helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result.and(other)
        })
    })
}

/// A device with a pipeline cache on disk, which is read when the device is opened and written when
/// it is dropped.
pub struct CachedGpu {
    gpu: Gpu,
    file: Option<PathBuf>,
    read: Option<Vec<u8>>,
}

impl CachedGpu {
    /// `gpu` with the cache of its adapter and driver, in the folder of [`CACHE_VARIABLE`], else in
    /// the user's cache folder.
    pub fn new(gpu: Gpu) -> CachedGpu {
        let folder = match std::env::var_os(CACHE_VARIABLE) {
            Some(value) if value == "off" => None,
            Some(folder) => Some(PathBuf::from(folder)),
            None => crate::files::cache_dir().map(|folder| folder.join("pipelines")),
        };
        let file =
            folder.zip(gpu.pipeline_cache_key()).map(|(folder, key)| folder.join(file_name(&key)));
        let Some(file) = file else { return CachedGpu { gpu, file: None, read: None } };
        let read = read_bounded(&file, MOST_BYTES as u64).ok();
        gpu.use_pipeline_cache(read.as_deref());
        CachedGpu { gpu, file: Some(file), read }
    }
}

impl Deref for CachedGpu {
    type Target = Gpu;

    fn deref(&self) -> &Gpu {
        &self.gpu
    }
}

impl Drop for CachedGpu {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        let content = self.gpu.pipeline_cache_file().filter(|content| content.len() <= MOST_BYTES);
        let Some(content) = content.filter(|content| self.read.as_ref() != Some(content)) else {
            return;
        };
        if let Err(error) = write_atomically(file, &content) {
            log::info!("the pipeline cache was not written: {error}");
        }
    }
}

fn file_name(key: &str) -> String {
    format!("{}.bin", &sha256_hex([key.as_bytes()])[..24])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_has_a_file_of_its_own() {
        assert_ne!(file_name("adapter driver 1"), file_name("adapter driver 2"));
        assert!(
            file_name("../../x")
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '.')
        );
    }
}
