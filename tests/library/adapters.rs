//! Checks of drivers without a driver: every pipeline is created on a device that executes nothing,
//! and the translation of a user's shader contains the guards of wgpu.

use saliq::{
    check::{ShaderSource, check_bytes, create_own_pipelines, to_spirv},
    shaders::kernel_names,
};

/// wgpu's own validation of bindings, layouts and limits, in every specialisation, as for a
/// software adapter and as for a GPU.
#[test]
fn every_pipeline_is_created_on_the_device_that_runs_nothing() {
    let created = create_own_pipelines().unwrap();
    assert!(created > 4 * kernel_names().len(), "{created}");
}

/// Opcodes of the instructions of a SPIR-V module, in order.
fn opcodes(words: &[u32]) -> Vec<u32> {
    let mut rest = &words[5..];
    let mut found = Vec::new();
    while let Some(&first) = rest.first() {
        found.push(first & 0xffff);
        rest = &rest[(first >> 16) as usize..];
    }
    found
}

#[test]
fn users_shaders_keep_every_check_at_run_time() {
    const OP_ARRAY_LENGTH: u32 = 68;
    const OP_EXT_INST: u32 = 12;
    const INDEXED: &str = "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) \
        { x[id.x] = 1u; }";
    const ENDLESS: &str = "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @compute @workgroup_size(1) fn main() { loop { if x[0] == 7u { break; } } }";
    let written = |wgsl: &str, user| {
        let source =
            ShaderSource { name: "shader".into(), wgsl: wgsl.into(), constants: Vec::new(), user };
        opcodes(&to_spirv(&source).unwrap())
    };
    // An index is compared with the length of its array (UMin), in a user's shader and in saliq's
    // own.
    for user in [true, false] {
        let indexed = written(INDEXED, user);
        assert!(
            indexed.contains(&OP_ARRAY_LENGTH) && indexed.contains(&OP_EXT_INST),
            "{indexed:?}"
        );
    }
    // Iterations of a loop are counted in a user's shader.
    assert!(written(ENDLESS, true).len() > written(ENDLESS, false).len() + 5);
    assert!(!check_bytes("endless", ENDLESS.into()).failed());
}

#[test]
fn a_shader_in_memory_has_nothing_to_import() {
    let report = check_bytes("shader", b"import package::common::c;\nfn f() { c(); }".to_vec());
    assert!(report.parse.is_fail(), "{report:?}");
    assert!(check_bytes("shader", vec![0xff, 0xfe]).parse.is_fail());
}
