//! The device: creation, errors, submissions, the cache of pipelines.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Buffer, Kernel,
    adapter::{self, DeviceProfile},
    buffer::Memory,
    trusted,
    tuning::Tuning,
};
use crate::{Error, Loss, Result, Shortage, panics::caught, shaders::Specialization};

/// Submissions that may be unfinished at once; more are not handed over before the oldest is done.
const SUBMISSIONS_IN_FLIGHT: usize = 3;

/// What kernels may use beyond WebGPU's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Invocations of every subgroup, where all are of one size.
    pub subgroup_lanes: Option<u32>,
    /// A side of cooperative matrices of f16 that are summed in f32.
    pub cooperative_side: Option<u32>,
}

impl Abilities {
    /// Of `adapter`, with those of its features that were asked for.
    fn new(adapter: &wgpu::Adapter, features: wgpu::Features) -> Self {
        let info = adapter.get_info();
        let same_size = features.contains(wgpu::Features::SUBGROUP)
            && info.subgroup_min_size == info.subgroup_max_size;
        let sides = |properties: wgpu::CooperativeMatrixProperties| {
            let wgpu::CooperativeMatrixProperties {
                m_size, n_size, k_size, ab_type, cr_type, ..
            } = properties;
            let types = (ab_type, cr_type)
                == (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
            (types && m_size == n_size && n_size == k_size && matches!(m_size, 8 | 16))
                .then_some(m_size)
        };
        let cooperative = features
            .contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16);
        let properties =
            if cooperative { adapter.cooperative_matrix_properties() } else { Vec::new() };
        Abilities {
            subgroup_lanes: same_size.then_some(info.subgroup_min_size),
            cooperative_side: properties.into_iter().filter_map(sides).max(),
        }
    }
}

/// How to make a [`Gpu`].
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// `auto`, an index of `saliq devices`, or a part of a name.
    pub adapter: String,
    /// Limits and features to ask for.
    pub profile: DeviceProfile,
}

/// How often the host touched the device; tests hold the training step to it.
#[derive(Debug, Default)]
pub struct Counters {
    submissions: AtomicU64,
    maps: AtomicU64,
    writes: AtomicU64,
    copies: AtomicU64,
}

impl Counters {
    /// Queue submissions, buffers mapped for reading, host writes, and buffer copies so far.
    pub fn snapshot(&self) -> [u64; 4] {
        [&self.submissions, &self.maps, &self.writes, &self.copies]
            .map(|counter| counter.load(Ordering::Relaxed))
    }

    pub(super) fn count_map(&self) {
        self.maps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_copy(&self) {
        self.copies.fetch_add(1, Ordering::Relaxed);
    }
}

/// How a device came to be: to open another like it.
#[derive(Clone)]
enum Origin {
    Adapter(GpuOptions),
    Noop { software: bool },
}

#[derive(Default)]
struct Faults {
    first_error: Mutex<Option<Error>>,
    lost: Mutex<Option<Loss>>,
}

impl Faults {
    fn failed(&self, error: wgpu::Error) {
        let typed = match error {
            wgpu::Error::OutOfMemory { .. } => {
                let advice = "lower --batch-size or close other programs that use this GPU";
                Error::OutOfMemory(Shortage::new("an allocation failed", advice))
            }
            other => Error::Gpu(one_line(&other.to_string())),
        };
        lock(&self.first_error).get_or_insert(typed);
    }

    fn lost(&self, message: &str) {
        // The callback brings no more than a text. For memory that has run out it is that of wgpu's
        // own error.
        let out_of_memory = message == wgpu::hal::DeviceError::OutOfMemory.to_string();
        lock(&self.lost).get_or_insert(Loss { reason: one_line(message), out_of_memory });
    }

    /// The device's loss, or else the first error, which is taken out.
    fn check(&self) -> Result<()> {
        if let Some(loss) = lock(&self.lost).clone() {
            // An operation that fails for want of memory and takes the device along reports both.
            let fell_short = matches!(*lock(&self.first_error), Some(Error::OutOfMemory(_)));
            return Err(Error::DeviceLost(Loss {
                out_of_memory: loss.out_of_memory || fell_short,
                ..loss
            }));
        }
        lock(&self.first_error).take().map_or(Ok(()), Err)
    }
}

/// A device with its queue, pipelines and error state. Cheap to share by reference; one per process
/// is enough.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    origin: Origin,
    abilities: Abilities,
    faults: Arc<Faults>,
    kernels: Mutex<HashMap<(&'static str, Specialization), Arc<Kernel>>>,
    pub(super) pipeline_cache: OnceLock<wgpu::PipelineCache>,
    in_flight: Mutex<VecDeque<wgpu::SubmissionIndex>>,
    memory: Arc<Memory>,
    tuning: Mutex<Option<Arc<Tuning>>>,
    /// Counts of submissions, maps, writes and copies.
    pub counters: Counters,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Opens the adapter that `options` names.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] without a match, [`Error::Gpu`] when the driver refuses a device.
    pub async fn new(options: &GpuOptions) -> Result<Gpu> {
        let adapter = adapter::select(&options.adapter).await?;
        let info = adapter.get_info();
        let (features, limits) = match options.profile {
            DeviceProfile::Full => {
                let wanted = wgpu::Features::TIMESTAMP_QUERY
                    | wgpu::Features::SUBGROUP
                    | wgpu::Features::SHADER_F16
                    | wgpu::Features::PIPELINE_CACHE
                    | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
                (adapter.features() & wanted, adapter.limits())
            }
            DeviceProfile::WebGpuDefaults => (wgpu::Features::empty(), wgpu::Limits::default()),
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("saliq"),
            experimental_features: trusted::experimental(features),
            required_features: features,
            required_limits: limits,
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| Error::Gpu(format!("{}: {error}", info.name)))?;
        let origin = Origin::Adapter(options.clone());
        Ok(Gpu {
            abilities: Abilities::new(&adapter, features),
            ..Gpu::from_device(device, queue, info, origin)
        })
    }

    /// Another device like this one, with nothing on it: after [`Error::DeviceLost`] there is no
    /// way back to the old one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn reopen(&self) -> Result<Gpu> {
        let gpu = match &self.origin {
            Origin::Adapter(options) => Gpu::new(options).await?,
            Origin::Noop { software } => Gpu::noop(*software, self.abilities),
        };
        gpu.limit_memory(self.memory.limit.load(Ordering::Relaxed));
        *lock(&gpu.tuning) = self.tuning();
        Ok(gpu)
    }

    /// A device that validates everything and runs nothing; needs no driver. It passes for a
    /// software adapter, or for a GPU, with `abilities`.
    pub fn noop(software: bool, abilities: Abilities) -> Gpu {
        let mut required_features = wgpu::Features::empty();
        required_features.set(wgpu::Features::SUBGROUP, abilities.subgroup_lanes.is_some());
        let matrices = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
        required_features.set(matrices, abilities.cooperative_side.is_some());
        let experimental_features = trusted::experimental(required_features);
        let descriptor = wgpu::DeviceDescriptor {
            required_features,
            experimental_features,
            ..Default::default()
        };
        let (device, queue) = wgpu::Device::noop(&descriptor);
        let mut info = device.adapter_info();
        info.device_type =
            if software { wgpu::DeviceType::Cpu } else { wgpu::DeviceType::DiscreteGpu };
        Gpu { abilities, ..Gpu::from_device(device, queue, info, Origin::Noop { software }) }
    }

    fn from_device(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: wgpu::AdapterInfo,
        origin: Origin,
    ) -> Gpu {
        let faults = Arc::new(Faults::default());
        let errors = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error| errors.failed(error)));
        let losses = Arc::clone(&faults);
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                losses.lost(&message);
            }
        });
        Gpu {
            device,
            queue,
            info,
            origin,
            abilities: Abilities::default(),
            faults,
            kernels: Mutex::default(),
            pipeline_cache: OnceLock::new(),
            in_flight: Mutex::default(),
            memory: Arc::default(),
            tuning: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// The adapter's name, for people.
    pub fn adapter_name(&self) -> &str {
        &self.info.name
    }

    /// Name, backend and driver on one line, for result files.
    pub fn adapter_description(&self) -> String {
        format!(
            "{} ({}, {} {})",
            self.info.name, self.info.backend, self.info.driver, self.info.driver_info
        )
    }

    /// Whether the adapter is a software driver on the CPU.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// What kernels may use beyond WebGPU's defaults.
    pub fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// The device's limits.
    pub fn limits(&self) -> wgpu::Limits {
        self.device.limits()
    }

    /// The device's features.
    pub fn features(&self) -> wgpu::Features {
        self.device.features()
    }

    /// Bytes of all buffers that are alive (recordings keep theirs alive).
    pub fn allocated_bytes(&self) -> u64 {
        self.memory.allocated.load(Ordering::Relaxed)
    }

    /// The most that [`Self::allocated_bytes`] has been.
    pub fn peak_bytes(&self) -> u64 {
        self.memory.peak.load(Ordering::Relaxed)
    }

    /// From now on buffers of more than `bytes` together are refused with [`Error::OutOfMemory`],
    /// as an adapter with less memory would.
    pub fn limit_memory(&self, bytes: u64) {
        self.memory.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that the driver's memory is reserved with, as far as the backend tells.
    pub fn reserved_bytes(&self) -> Option<u64> {
        self.device.generate_allocator_report().map(|report| report.total_reserved_bytes)
    }

    /// Submissions that may be unfinished.
    pub fn submissions_in_flight(&self) -> usize {
        lock(&self.in_flight).len()
    }

    /// Gives the device up: everything that is asked of it from now on fails with
    /// [`Error::DeviceLost`], as after a driver's reset.
    pub fn destroy(&self) {
        lock(&self.faults.lost).get_or_insert(Loss::new("it was given up"));
        self.device.destroy();
    }

    /// The first error since the last call, if any: a lost device, out of memory, or a refused
    /// command.
    pub fn check(&self) -> Result<()> {
        self.faults.check()
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

    /// Names what [`Self::pipeline_cache_file`] is good for: this adapter with this driver. `None`
    /// where there is no such cache.
    pub fn pipeline_cache_key(&self) -> Option<String> {
        let key = wgpu::util::pipeline_cache_key(&self.info)
            .filter(|_| self.features().contains(wgpu::Features::PIPELINE_CACHE))?;
        Some(format!("{key} {} {}", self.info.driver, self.info.driver_info))
    }

    /// Pipelines created from now on are looked up in `file`, a [`Self::pipeline_cache_file`] of
    /// the same [`Self::pipeline_cache_key`]; any other is an empty one.
    pub fn use_pipeline_cache(&self, file: Option<&[u8]>) {
        if let Some(key) = self.pipeline_cache_key() {
            self.pipeline_cache.get_or_init(|| trusted::pipeline_cache(&self.device, &key, file));
        }
    }

    /// The driver's translations of all pipelines since [`Self::use_pipeline_cache`], with a
    /// checksum, to be used again.
    pub fn pipeline_cache_file(&self) -> Option<Vec<u8>> {
        let data = self.pipeline_cache.get()?.get_data()?;
        Some(trusted::sealed(&self.pipeline_cache_key()?, &data))
    }

    /// A zeroed buffer of `bytes` (rounded up to 16) for kernels to read and write.
    pub fn buffer(&self, label: &'static str, bytes: u64) -> Result<Buffer> {
        self.create_buffer(
            label,
            bytes,
            wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
        )
    }

    /// A small zeroed buffer that kernels read as a uniform and one kernel may write as storage.
    pub fn uniform(&self, label: &'static str, bytes: u64) -> Result<Buffer> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE;
        self.create_buffer(
            label,
            bytes,
            usage | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        )
    }

    pub(super) fn create_buffer(
        &self,
        label: &'static str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer> {
        let size = bytes.max(16).next_multiple_of(16);
        Ok(Buffer::new(self.uncounted_buffer(label, size, usage)?, label, size, &self.memory))
    }

    /// A buffer that must fit like any other and is not part of [`Self::allocated_bytes`]: the
    /// host's, for what is read back.
    pub(super) fn uncounted_buffer(
        &self,
        label: &'static str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        let limits = self.limits();
        let limit = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        if size > limit && usage.contains(wgpu::BufferUsages::STORAGE) {
            return Err(Error::OutOfMemory(Shortage::new(
                format!("{label} needs {size} bytes and {} binds at most {limit}", self.info.name),
                "lower --batch-size or the size of the network or data set",
            )));
        }
        let taken = self.allocated_bytes();
        let allowed = self.memory.limit.load(Ordering::Relaxed);
        if taken.saturating_add(size) > allowed {
            let asked =
                format!("{label} asked for {size} bytes where {taken} of {allowed} are taken");
            return Err(Error::OutOfMemory(Shortage::new(asked, "lower --batch-size")));
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        });
        if let Err(error) = self.check() {
            return Err(match error {
                Error::OutOfMemory(_) => Error::OutOfMemory(Shortage::new(
                    format!("{label} asked for {size} bytes"),
                    "lower --batch-size",
                )),
                other => other,
            });
        }
        Ok(buffer)
    }

    /// A buffer with `data` in it.
    pub fn upload<T: bytemuck::NoUninit>(&self, label: &'static str, data: &[T]) -> Result<Buffer> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let buffer = self.buffer(label, bytes.len() as u64)?;
        if bytes.len().is_multiple_of(4) {
            self.write(&buffer, 0, bytes);
        } else {
            // The buffer ends with a whole word.
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(4), 0);
            self.write(&buffer, 0, &padded);
        }
        Ok(buffer)
    }

    /// Writes `data` at byte `offset`: before the next submission, never inside a recorded step.
    /// Both are multiples of 4 bytes: others are refused by the device, since what lies behind
    /// would be written to.
    pub fn write<T: bytemuck::NoUninit>(&self, buffer: &Buffer, offset: u64, data: &[T]) {
        self.counters.count_write();
        self.queue.write_buffer(&buffer.inner, offset, bytemuck::cast_slice(data));
    }

    /// Hands a finished list of commands to the device; waits first while too many submissions are
    /// unfinished.
    pub fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<()> {
        let index = self.queue.submit([encoder.finish()]);
        self.counters.submissions.fetch_add(1, Ordering::Relaxed);
        let oldest = {
            let mut in_flight = lock(&self.in_flight);
            in_flight.push_back(index);
            (in_flight.len() > SUBMISSIONS_IN_FLIGHT).then(|| in_flight.pop_front()).flatten()
        };
        if let Some(index) = oldest {
            self.poll(wgpu::PollType::Wait { submission_index: Some(index), timeout: None })?;
        }
        self.check()
    }

    /// Waits until everything submitted is done.
    pub fn wait(&self) -> Result<()> {
        lock(&self.in_flight).clear();
        self.poll(wgpu::PollType::wait_indefinitely())?;
        self.check()
    }

    fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        // wgpu panics where a device is lost while it is waited for, after it has called back.
        let waited = caught(|| self.device.poll(poll));
        self.check()?;
        match waited {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Error::Gpu(error.to_string())),
            None => Err(Error::DeviceLost(Loss::new("the driver failed while it was waited for"))),
        }
    }

    /// An empty list of commands.
    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }
}

/// Driver and validator messages span lines; users get one.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{ProductShape, ProductTiles, TunedProduct};

    fn loss(faults: &Faults) -> Loss {
        match faults.check() {
            Err(Error::DeviceLost(loss)) => loss,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn memory_that_took_the_device_along_is_told_from_other_losses() {
        let lost = |message: &str| {
            let faults = Faults::default();
            faults.lost(message);
            loss(&faults)
        };
        assert!(lost(&wgpu::hal::DeviceError::OutOfMemory.to_string()).out_of_memory);
        // Other words of a driver decide nothing.
        for message in ["Device is lost", "reset by the watchdog, it was not out of memory", ""] {
            assert!(!lost(message).out_of_memory, "{message}");
        }
        assert_eq!(lost("two\n lines").reason, "two lines");
        // wgpu reports the type of the failed operation beside the loss.
        for (error, out_of_memory) in [
            (wgpu::Error::OutOfMemory { source: "none left".into() }, true),
            (
                wgpu::Error::Internal { source: "x".into(), description: "out of memory".into() },
                false,
            ),
        ] {
            let faults = Faults::default();
            faults.failed(error);
            faults.lost("Device is lost");
            assert_eq!(
                [loss(&faults).out_of_memory; 2],
                [out_of_memory, loss(&faults).out_of_memory]
            );
        }
    }

    #[test]
    fn nothing_behind_what_is_written_changes() {
        let gpu = Gpu::noop(true, Abilities::default());
        let buffer = gpu.upload("bytes", &[1u8, 2, 3, 4, 5, 6]).unwrap();
        gpu.write(&buffer, 0, &[9u8]);
        assert!(matches!(gpu.check(), Err(Error::Gpu(_))));
        assert_eq!(
            pollster::block_on(gpu.read::<u8>(&buffer, 0, 8)).unwrap(),
            [1, 2, 3, 4, 5, 6, 0, 0]
        );
    }

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
