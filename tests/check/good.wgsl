// Every output passes for this one.
struct Params { count: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
override width: u32 = 64;
var<workgroup> tile: array<f32, 64>;

@compute @workgroup_size(width)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    tile[lane] = input[id.x];
    workgroupBarrier();
    if id.x < params.count {
        output[id.x] = params.scale * tile[width - 1 - lane];
    }
}
