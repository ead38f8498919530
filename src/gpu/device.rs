//! The device: creation, limits, memory, submissions.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, OnceLock, atomic::Ordering},
};

use super::{
    abilities::Abilities,
    adapter::{self, DeviceProfile},
    buffer::{Buffer, Memory},
    counters::Counters,
    faults::Faults,
    lock::lock,
    trusted,
};
use crate::{Error, Loss, Result, Shortage, error::phrase, panics::caught, shaders::Linked};

/// Submissions that may be unfinished at once; more are not handed over before the oldest is done.
const SUBMISSIONS_IN_FLIGHT: usize = 3;

/// How to open a device.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// `auto`, an index of `saliq devices`, or a part of a name.
    pub adapter: String,
    /// Limits and features to ask for.
    pub profile: DeviceProfile,
}

/// How a device came to be: to open another like it.
#[derive(Clone)]
enum Origin {
    Adapter(GpuOptions),
    #[cfg(not(target_family = "wasm"))]
    Noop {
        software: bool,
    },
}

/// A device with its queue, memory, errors and submissions.
pub struct Device {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    origin: Origin,
    abilities: Abilities,
    faults: Arc<Faults>,
    pub(super) pipeline_cache: OnceLock<wgpu::PipelineCache>,
    /// Modules of linked kernels by their addresses, which are theirs as long as they are here.
    modules: Mutex<HashMap<usize, (Arc<Linked>, wgpu::ShaderModule)>>,
    in_flight: Mutex<VecDeque<wgpu::SubmissionIndex>>,
    memory: Arc<Memory>,
    /// Counts of submissions, maps, writes and copies.
    pub counters: Counters,
}

impl Device {
    /// Opens the adapter that `options` names.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] without a match, [`Error::Gpu`] when the driver refuses a device.
    pub(super) async fn open(options: &GpuOptions) -> Result<Device> {
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
        Ok(Device {
            abilities: Abilities::new(&adapter, features),
            ..Device::from_device(device, queue, info, origin)
        })
    }

    /// Another device like this one, with nothing on it: after [`Error::DeviceLost`] there is no
    /// way back to the old one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) async fn reopen(&self) -> Result<Device> {
        let device = match &self.origin {
            Origin::Adapter(options) => Device::open(options).await?,
            #[cfg(not(target_family = "wasm"))]
            Origin::Noop { software } => Device::noop(*software, self.abilities),
        };
        device.limit_memory(self.memory.limit.load(Ordering::Relaxed));
        Ok(device)
    }

    /// A device that validates everything and runs nothing; needs no driver. It passes for a
    /// software adapter, or for a GPU, with `abilities`.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn noop(software: bool, abilities: Abilities) -> Device {
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
        Device { abilities, ..Device::from_device(device, queue, info, Origin::Noop { software }) }
    }

    fn from_device(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: wgpu::AdapterInfo,
        origin: Origin,
    ) -> Device {
        let faults = Arc::new(Faults::default());
        let errors = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error| errors.failed(error)));
        let losses = Arc::clone(&faults);
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                losses.lost(&message);
            }
        });
        Device {
            device,
            queue,
            info,
            origin,
            abilities: Abilities::default(),
            faults,
            pipeline_cache: OnceLock::new(),
            modules: Mutex::default(),
            in_flight: Mutex::default(),
            memory: Arc::default(),
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

    /// Most iterations of all loops of an invocation, where the driver ends them: llvmpipe goes on
    /// behind a loop after 65,535, without a word (`LP_MAX_TGSI_LOOP_ITERATIONS`).
    pub fn most_iterations(&self) -> Option<u64> {
        self.info.driver.starts_with("llvmpipe").then_some(65_535)
    }

    /// Whether what is submitted is run: not on a device that only validates.
    pub(super) fn executes(&self) -> bool {
        match self.origin {
            Origin::Adapter(_) => true,
            #[cfg(not(target_family = "wasm"))]
            Origin::Noop { .. } => false,
        }
    }

    /// Whether kernels with long unrolled loops take seconds to minutes to compile: on SwiftShader,
    /// and on the software driver of a browser, which does not say what it is. A device with
    /// WebGPU's defaults has a browser's kernels.
    pub fn compiles_slowly(&self) -> bool {
        let browser = cfg!(target_family = "wasm") || self.has_webgpu_defaults();
        self.is_software() && (browser || self.info.driver.starts_with("SwiftShader"))
    }

    fn has_webgpu_defaults(&self) -> bool {
        matches!(&self.origin, Origin::Adapter(options)
            if options.profile == DeviceProfile::WebGpuDefaults)
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
        self.faults.given_up();
        self.device.destroy();
    }

    /// The first error since the last call, if any: a lost device, out of memory, or a refused
    /// command.
    pub fn check(&self) -> Result<()> {
        self.faults.check()
    }

    /// Names what [`Self::pipeline_cache_file`] is good for: this adapter with this driver. `None`
    /// where there is no such cache.
    pub fn pipeline_cache_key(&self) -> Option<String> {
        let key = wgpu::util::pipeline_cache_key(&self.info)
            .filter(|_| self.features().contains(wgpu::Features::PIPELINE_CACHE))?;
        Some(format!("{key} {} {}", self.info.driver, self.info.driver_info))
    }

    /// `linked`, the kernel `name`, as a module: one for all its pipelines.
    pub(super) fn module(&self, name: &'static str, linked: &Arc<Linked>) -> wgpu::ShaderModule {
        let address = Arc::as_ptr(linked).addr();
        if let Some((_, module)) = lock(&self.modules).get(&address) {
            return module.clone();
        }
        let module = trusted::own_shader_module(&self.device, name, &linked.wgsl);
        lock(&self.modules).insert(address, (linked.clone(), module.clone()));
        module
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
                phrase!("lower <batch-size> or the size of the network or data set"),
            )));
        }
        let taken = self.allocated_bytes();
        let allowed = self.memory.limit.load(Ordering::Relaxed);
        if taken.saturating_add(size) > allowed {
            let asked =
                format!("{label} asked for {size} bytes where {taken} of {allowed} are taken");
            return Err(Error::OutOfMemory(Shortage::new(asked, phrase!("lower <batch-size>"))));
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
                    phrase!("lower <batch-size>"),
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
        self.counters.count_submission();
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

    /// As [`Self::check`], of everything that was asked of the device so far. In a browser errors
    /// arrive later, in the order of what caused them; elsewhere there is nothing to wait for.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn settled(&self) -> Result<()> {
        // A scope around nothing: its answer comes behind all errors from before.
        self.device.push_error_scope(wgpu::ErrorFilter::Validation).pop().await;
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

    /// Adds to `encoder` a copy of `bytes` from one buffer to another, from and to these offsets in
    /// bytes: multiples of 4, all of them.
    pub fn copy(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        [source, target]: [&Buffer; 2],
        [from, to]: [u64; 2],
        bytes: u64,
    ) {
        encoder.copy_buffer_to_buffer(&source.inner, from, &target.inner, to, bytes);
        self.counters.count_copy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Gpu;

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
}
