// Collects a part of a batch from the data set: order, augmentation, normalisation (p/255 −
// MEAN)/DEVIATION, with constants of all channels or of each, or the bytes as they are.
//
// The data set is bytes [image, channel, row, column], four per word; the batch is [image, row,
// column, channel / 4] vec4. Image i of the part is number `order(position + i)` of the data set,
// in the epoch's permutation or in file order. Of a data set in shards, a dispatch gathers the
// images of one; of one that is larger than the memory, the images of this submission are at hand,
// in the order of the batch. Augmentation draws one mirroring, one shift and one square to cut out
// per image, keyed by step and position in the epoch, so that the cuts between parts do not matter.
// Pixels shifted in from outside are byte 0. Labels are written for the clean and for the masked
// half.

import constants::{LANES, STRIP};
import kinds::stream::{AUGMENT, SHUFFLE as SHUFFLE_STREAM};
import package::common::step::Step;
import package::common::channels::real_channels;
import package::common::storage::{Output, store_output};
import package::common::random::{permute, random_bits, random_key};

override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override SHUFFLE: u32 = 0u;
override SHIFT: u32 = 0u; // largest shift in pixels, each way
override HFLIP: u32 = 0u;
override CUTOUT: u32 = 0u; // side of a square that becomes 0 after normalisation
@if(shard) override FIRST_IMAGE: u32; // of the shard
@if(shard) override IMAGES: u32; // most of a shard
@if(window) override PART: u32; // images of a part of a batch
override MEAN: f32 = 0.0;
override DEVIATION: f32 = 1.0;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read> data: array<u32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> pixels: array<Output>;
@group(0) @binding(4) var<storage, read_write> batch_labels: array<u32>;
// Four channels each: their means, then their standard deviations.
@if(constants_of_channels) @group(0) @binding(5) var<storage, read> constants: array<vec4f>;
// The numbers of the images that an epoch draws, where these are not all of them once.
@if(drawn) @group(0) @binding(6) var<storage, read> drawn_images: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let image = workgroup.y;
    if (image >= current.count) { return; }
    let place = current.position + image;
    var source = place;
    if (SHUFFLE != 0u) {
        source = permute(place, current.epoch_images,
            random_key(current.seed_low, current.seed_high, current.epoch, SHUFFLE_STREAM));
    }
    @if(drawn) { source = drawn_images[source]; }
    var stored = source; // among the images at hand
    @if(shard) {
        stored = source - FIRST_IMAGE;
        if (stored >= IMAGES) { return; } // wraps for those in front
    }
    @if(window) { stored = current.part * PART + image; }
    var mirrored = false;
    var shift = vec2u();
    if (SHIFT != 0u || HFLIP != 0u) {
        let draw = random_bits(
            random_key(current.seed_low, current.seed_high, current.step, AUGMENT), place, 0u, 0u);
        shift = draw.xy % vec2u(2u * SHIFT + 1u) - vec2u(SHIFT);
        mirrored = HFLIP != 0u && (draw.z >> 31u) != 0u;
    }
    var centre = vec2u(); // of the square
    if (CUTOUT != 0u) {
        let key = random_key(current.seed_low, current.seed_high, current.step, AUGMENT);
        centre = random_bits(key, place, 1u, 0u).xy % vec2u(HEIGHT, WIDTH);
    }
    if (workgroup.x == 0u && lane == 0u) {
        batch_labels[image] = labels[source];
        batch_labels[image + current.count] = labels[source];
    }
    let groups = (CHANNELS + 3u) / 4u;
    let elements = HEIGHT * WIDTH * groups;
    for (var strip = 0u; strip < STRIP; strip++) {
        let element = (workgroup.x * STRIP + strip) * LANES + lane;
        if (element >= elements) { break; }
        let group = element % groups;
        let pixel = element / groups;
        // Unsigned: coordinates to the left of or above the image wrap to large numbers.
        let y = pixel / WIDTH - shift.y;
        var x = pixel % WIDTH - shift.x;
        if (mirrored) { x = WIDTH - 1u - x; }
        let inside = x < WIDTH && y < HEIGHT;
        var bytes = vec4f();
        for (var c = 0u; c < 4u; c++) {
            let channel = group * 4u + c;
            if (inside && channel < CHANNELS) {
                let at = ((stored * CHANNELS + channel) * HEIGHT + y) * WIDTH + x;
                bytes[c] = f32((data[at / 4u] >> (at % 4u * 8u)) & 255u);
            }
        }
        // Integer inference takes the raw bytes.
        @if(output_u8) pixels[image * elements + element] = store_output(bytes);
        @if(!output_u8) {
            @if(!constants_of_channels) let normalized = (bytes / 255.0 - MEAN) / DEVIATION;
            @if(constants_of_channels)
            let normalized = (bytes / 255.0 - constants[2u * group]) / constants[2u * group + 1u];
            // Unsigned: places in front of the square wrap to large numbers.
            let inner = vec2u(pixel / WIDTH, pixel % WIDTH) + CUTOUT / 2u - centre;
            let is_cut = inner.x < CUTOUT && inner.y < CUTOUT;
            let is_kept = real_channels(group, CHANNELS) & vec4<bool>(!is_cut);
            pixels[image * elements + element] =
                store_output(select(vec4f(), normalized, is_kept));
        }
    }
}
