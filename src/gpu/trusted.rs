//! The only unsafe code of this crate: three promises to wgpu, and what they rest on.
#![expect(
    unsafe_code,
    reason = "wgpu checks neither the loops of trusted shaders nor the pipeline caches that \
              drivers wrote, nor all of what is experimental"
)]

use sha2::{Digest, Sha256};

/// What a sealed cache begins with; the SHA-256 of key and data follows.
const MAGIC: &[u8; 16] = b"saliq pipelines\n";
const HEADER: usize = MAGIC.len() + 32;

/// One of our own kernels as a module: bounds checks stay on, loops are not counted.
pub(super) fn own_shader_module(
    device: &wgpu::Device,
    name: &'static str,
    source: &str,
) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    };
    let checks = wgpu::ShaderRuntimeChecks {
        force_loop_bounding: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: every loop in our own kernels has a bound that a pipeline constant or a buffer filled
    // by us fixes.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}

/// What a device with `features` must be asked with: experimental are cooperative matrices alone.
pub(super) fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    match features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        // SAFETY: one kernel of ours uses them, at addresses that are in its workgroup memory by
        // the sizes of its tiles.
        true => unsafe { wgpu::ExperimentalFeatures::enabled() },
        false => wgpu::ExperimentalFeatures::disabled(),
    }
}

/// A cache of pipelines with the content of `file`, which [`sealed`] made for the same `key`; an
/// empty one where it did not.
pub(super) fn pipeline_cache(
    device: &wgpu::Device,
    key: &str,
    file: Option<&[u8]>,
) -> wgpu::PipelineCache {
    let data = file.and_then(|file| unsealed(key, file));
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("saliq"), data, fallback: true };
    // SAFETY: the data is what a driver gave us on the adapter and driver that `key` names,
    // unchanged: its checksum says so. That nobody has made up a file with the right one rests on
    // the folder being the user's own, as with the program itself.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

/// `data` of the driver that `key` names, as a file.
pub(super) fn sealed(key: &str, data: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &checksum(key, data), data].concat()
}

/// The data in a file, if it is whole and of that driver.
fn unsealed<'a>(key: &str, file: &'a [u8]) -> Option<&'a [u8]> {
    let (header, data) = file.split_at_checked(HEADER)?;
    (header.strip_prefix(MAGIC)? == checksum(key, data)).then_some(data)
}

fn checksum(key: &str, data: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update((key.len() as u64).to_le_bytes())
        .chain_update(key)
        .chain_update(data)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_files_of_the_same_driver_are_believed() {
        let file = sealed("driver 1", b"what a driver said");
        assert_eq!(unsealed("driver 1", &file), Some(&b"what a driver said"[..]));
        assert_eq!(unsealed("driver 2", &file), None);
        assert_eq!(unsealed("driver 1", &file[..HEADER - 1]), None);
        assert_eq!(unsealed("driver 1", &file[..file.len() - 1]), None);
        for at in [0, MAGIC.len(), HEADER, file.len() - 1] {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(unsealed("driver 1", &damaged), None, "byte {at}");
        }
        assert_eq!(unsealed("driver 1", b""), None);
    }
}
