// Starts a step: copies the next entry of the epoch's table to `current` and writes the ranges of
// images for later kernels, so that a recorded step can be submitted repeatedly without writes from
// the host.
//
// `ranges` holds four `Images` records at bytes 0, 256, 512 and 768: the clean half {0, count}, the
// masked half {count, masked}, both {0, count + masked}, and the clean images with a masked copy,
// {0, masked}. `masked` is the count minus the entry's `unmasked`, and 0 without SGT. Behind them
// are two `Chunk` records for each of the CHUNKS chunks of CHUNK images of a backward pass, for the
// images with a masked copy and for both halves: {0, images of it in the chunk}, and their
// position. Gradients of a later chunk, or of a later part of the batch, are added to those of
// earlier ones.

import package::common::step::Step;

override SGT: u32 = 1u;
override CHUNK: u32 = 1u;
override CHUNKS: u32 = 0u;

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
    for (var c = 0u; c < CHUNKS; c++) {
        let place = c * CHUNK;
        let added = select(1u, accumulate, c == 0u);
        write_range(4u + 2u * c, 0u, min(max(masked, place) - place, CHUNK), entry.batch, added);
        write_range(5u + 2u * c, 0u, min(max(entry.count + masked, place) - place, CHUNK),
            entry.batch, added);
        ranges[(4u + 2u * c) * RECORD + 4u] = place;
        ranges[(5u + 2u * c) * RECORD + 4u] = place;
    }
}
