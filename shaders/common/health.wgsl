// State of a step's numbers, one word each. The optimiser's probe writes it, `judge_step` decides,
// and the optimiser follows.

// The lowest index of a gradient that is NaN or infinite; NONE if all are finite.
const GRADIENT = 0u;
const UPDATE = 1u; // likewise of a parameter or an optimiser's state as the update would leave it
const APPLY = 2u; // 1: the step's update is made
const HALTED = 3u; // 1: no update is made any more
const RATE = 4u; // the factor on the learning rate: the bits of an f32

const NONE = 0xffffffffu;

// The lowest index of the bad ones among parameters 4·at … 4·at + 3.
fn first_of(bad: vec4<bool>, at: u32) -> u32 {
    let index = select(vec4u(NONE), vec4u(at * 4u) + vec4u(0u, 1u, 2u, 3u), bad);
    return min(min(index.x, index.y), min(index.z, index.w));
}
