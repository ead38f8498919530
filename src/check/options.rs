//! What a shader is checked for.

use std::collections::BTreeMap;

use super::diagnostic::Platform;

/// What a shader is checked for: targets, features and limits.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckOptions {
    /// The targets whose failures fail a shader.
    pub targets: Vec<Platform>,
    /// Names of the features that a device has; `None` if every need of one is only listed.
    pub features: Option<Vec<String>>,
    /// Limits of the device, by the names of the WebGPU specification; `None` if a need of more
    /// than the defaults is only listed. A limit that is not named has its default.
    pub limits: Option<BTreeMap<String, u64>>,
    /// Needs that a shader may have; `None` if it may have any.
    pub allowed_needs: Option<Vec<String>>,
    /// Whether validators that are installed judge what is written.
    pub tools: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions {
            targets: vec![Platform::WebGpu, Platform::Vulkan, Platform::Metal, Platform::Dx12],
            features: None,
            limits: None,
            allowed_needs: None,
            tools: false,
        }
    }
}
