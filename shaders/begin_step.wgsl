// Starts a step: copies the next entry of the epoch's table to `current` and writes the ranges of images that later kernels work on,
// so that a recorded step can be submitted again and again without the host writing anything.
//
// `ranges` holds four `Images` records at bytes 0, 256, 512 and 768: the clean half {0, count}, the masked half {count, masked}, both
// {0, count + masked}, and the clean images that have a masked twin, {0, masked}. `masked` is the count but for the entry's `unmasked`, and 0
// without SGT.

import package::common::step::Step;

override SGT: u32 = 1u;

@group(0) @binding(0) var<storage, read> table: array<Step>;
@group(0) @binding(1) var<storage, read_write> cursor: array<u32>;
@group(0) @binding(2) var<storage, read_write> current: Step;
@group(0) @binding(3) var<storage, read_write> ranges: array<u32>;

const RECORD = 64u; // 256 bytes, the largest alignment a uniform's offset can need

fn write_range(record: u32, first: u32, count: u32, batch: u32, accumulate: u32) {
    let at = record * RECORD;
    ranges[at] = first;
    ranges[at + 1u] = count;
    ranges[at + 2u] = batch;
    ranges[at + 3u] = accumulate;
}

@compute @workgroup_size(1)
fn main() {
    let entry = table[cursor[0]];
    cursor[0] += 1u;
    current = entry;
    let accumulate = select(0u, 1u, entry.part > 0u);
    write_range(0u, 0u, entry.count, entry.batch, accumulate);
    let masked = select(0u, entry.count - min(entry.unmasked, entry.count), SGT != 0u);
    write_range(1u, entry.count, masked, entry.batch, accumulate);
    write_range(2u, 0u, entry.count + masked, entry.batch, accumulate);
    write_range(3u, 0u, masked, entry.batch, accumulate);
}
