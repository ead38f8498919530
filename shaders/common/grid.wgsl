// Index of a workgroup in a dispatch that was spread over two dimensions, because one dimension
// holds at most 65,535.
fn linear_workgroup(workgroup: vec3u, count: vec3u) -> u32 {
    return workgroup.y * count.x + workgroup.x;
}
