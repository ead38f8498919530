//! A device with what was made on it and is shared: kernels, and measured tiles.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, OnceLock},
};

use super::{
    abilities::Abilities,
    buffer::Buffer,
    device::{Device, GpuOptions},
    kernel::Kernel,
    lock::lock,
    readback::Staging,
    tuning::Tuning,
};
use crate::{Result, shaders::Specialization};

/// A [`Device`] with its kernels and its measured tiles. Cheap to share by reference; one per
/// process is enough.
pub struct Gpu {
    own: Device,
    kernels: Mutex<HashMap<(&'static str, Specialization), Arc<Kernel>>>,
    tuning: Mutex<Option<Arc<Tuning>>>,
    /// Whether products of cooperative matrices were found to be right.
    matrices: OnceLock<bool>,
}

/// Whoever has a `Gpu` has its device.
impl Deref for Gpu {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.own
    }
}

impl Gpu {
    /// Opens the adapter that `options` names.
    ///
    /// # Errors
    /// [`Error::NoAdapter`](crate::Error::NoAdapter) without a match,
    /// [`Error::Gpu`](crate::Error::Gpu) when the driver refuses a device.
    pub async fn new(options: &GpuOptions) -> Result<Gpu> {
        Ok(Gpu::with(Device::open(options).await?))
    }

    /// Another device like this one, with nothing on it: after
    /// [`Error::DeviceLost`](crate::Error::DeviceLost) there is no way back to the old one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn reopen(&self) -> Result<Gpu> {
        let gpu = Gpu::with(self.own.reopen().await?);
        *lock(&gpu.tuning) = self.tuning();
        Ok(Gpu { matrices: self.matrices.clone(), ..gpu })
    }

    /// A device that validates everything and runs nothing; needs no driver. It passes for a
    /// software adapter, or for a GPU, with `abilities`.
    #[cfg(not(target_family = "wasm"))]
    pub fn noop(software: bool, abilities: Abilities) -> Gpu {
        Gpu::with(Device::noop(software, abilities))
    }

    fn with(own: Device) -> Gpu {
        Gpu {
            own,
            kernels: Mutex::default(),
            tuning: Mutex::default(),
            matrices: OnceLock::default(),
        }
    }

    /// Has networks that are made on this device from now on take the measured tiles of `tuning`
    /// before the table's.
    pub fn use_tuning(&self, tuning: Tuning) {
        *lock(&self.tuning) = Some(Arc::new(tuning));
    }

    /// The measured tiles in use.
    pub fn tuning(&self) -> Option<Arc<Tuning>> {
        lock(&self.tuning).clone()
    }

    /// Whether cooperative matrices may be used: where the adapter has them, what `test` finds the
    /// first time. A device that runs nothing has no wrong answers.
    pub fn trusts_matrices(&self, test: impl FnOnce(&Gpu) -> Result<bool>) -> bool {
        if self.abilities().cooperative_side.is_none() {
            return false;
        }
        *self.matrices.get_or_init(|| {
            if !self.executes() {
                return true;
            }
            let found = test(self);
            match &found {
                Ok(true) => log::debug!("cooperative matrices: the test product is right"),
                Ok(false) => log::warn!(
                    "{}: the driver's products of cooperative matrices are wrong; they are not \
                     used",
                    self.adapter_description()
                ),
                Err(error) => log::warn!(
                    "{}: cooperative matrices are not used, because their test failed: {error}",
                    self.adapter_description()
                ),
            }
            matches!(found, Ok(true))
        })
    }

    /// Kernel `name` with these constants: the same one for the same constants. Its pipeline is
    /// created when it is first needed.
    pub fn kernel(
        &self,
        name: &'static str,
        specialization: Specialization,
    ) -> Result<Arc<Kernel>> {
        let key = (name, specialization);
        let mut kernels = lock(&self.kernels);
        if let Some(kernel) = kernels.get(&key) {
            return Ok(Arc::clone(kernel));
        }
        let kernel = Arc::new(Kernel::new(name, key.1.clone()));
        kernels.insert(key, Arc::clone(&kernel));
        Ok(kernel)
    }

    /// Every kernel asked for so far: what this program needed.
    pub fn kernels_in_use(&self) -> Vec<Arc<Kernel>> {
        let mut all: Vec<_> = lock(&self.kernels).values().cloned().collect();
        all.sort_by(|a, b| (a.name(), a.specialization()).cmp(&(b.name(), b.specialization())));
        all
    }

    /// Reads `count` elements from element `first` of `buffer`.
    pub async fn read<T: bytemuck::Pod>(
        &self,
        buffer: &Buffer,
        first: u64,
        count: u64,
    ) -> Result<Vec<T>> {
        let size = std::mem::size_of::<T>() as u64;
        Staging::start(self, buffer, first * size, count * size)?.finish(self).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{ProductShape, ProductTiles, TunedProduct};

    #[test]
    fn a_device_has_measured_tiles_of_its_own() {
        let product =
            ProductShape { weight_gradient: false, column_groups: 16, rows: 576, inner: 72 };
        let tuned = |rows| {
            let tiles = ProductTiles { row_lanes: 8, column_lanes: 8, rows, deep: 8, slices: 1 };
            let products = vec![TunedProduct { product, tiles, table_ms: 2.0, ms: 1.0 }];
            Tuning { adapter: "any".into(), version: "any".into(), products }
        };
        let [first, second, third] = [(); 3].map(|()| Gpu::noop(false, Abilities::default()));
        first.use_tuning(tuned(4));
        second.use_tuning(tuned(8));
        let rows = |gpu: &Gpu| {
            gpu.tuning().and_then(|tuning| tuning.tiles_of(product)).map(|tiles| tiles.rows)
        };
        assert_eq!([&first, &second, &third].map(rows), [Some(4), Some(8), None]);
        // Another device in the place of a lost one computes as that did.
        let again = pollster::block_on(first.reopen()).unwrap();
        assert_eq!(rows(&again), Some(4));
    }
}
