//! What an adapter can do beyond WebGPU's defaults.

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
    pub(super) fn new(adapter: &wgpu::Adapter, features: wgpu::Features) -> Self {
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
