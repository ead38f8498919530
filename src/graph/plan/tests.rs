//! Plans of small networks, and of random ones gone through as a backward pass does.

use std::collections::HashMap;

use super::*;

/// A step of values of `bytes` an image, with memory of its own, that reads `sources`.
fn step(index: usize, sources: &[Source], bytes: u64) -> Step {
    Step {
        sources: sources.to_vec(),
        reader: None,
        input_bytes: vec![bytes; sources.len()],
        keeps_format: vec![true; sources.len()],
        hands_on: false,
        is_in_place: false,
        multiplies: false,
        rectifies: true,
        activation: StepActivation::Relu,
        value: index,
        state: index,
        value_bytes: bytes,
    }
}

/// A step that changes the value of the step in front in place.
fn in_place(index: usize, before: &Step) -> Step {
    let own = step(index, &[Source::Step(index - 1)], before.value_bytes);
    let activation = StepActivation::None;
    let (value, state) = (before.value, before.value);
    Step { hands_on: true, is_in_place: true, activation, value, state, ..own }
}

/// A sum.
fn sum(index: usize, sources: &[usize], bytes: u64) -> Step {
    let sources: Vec<Source> = sources.iter().map(|&own| Source::Step(own)).collect();
    let activation = StepActivation::None;
    Step { hands_on: true, rectifies: false, activation, ..step(index, &sources, bytes) }
}

/// `all` with their readers, for `slots` images.
fn steps(mut all: Vec<Step>, slots: u64) -> Steps {
    for index in 0..all.len() {
        let reads = |own: &Step| own.sources.iter().filter(|&&s| s == Source::Step(index)).count();
        let mut readers = (0..all.len()).filter(|&at| reads(&all[at]) > 0);
        let is_one = all.iter().map(reads).sum::<usize>() == 1;
        all[index].reader = readers.next().filter(|_| is_one);
    }
    let storages = all.iter().map(|own| slots * own.value_bytes).collect();
    Steps { all, storages }
}

/// A chain of `count` steps of 1024 bytes an image.
fn chain(count: usize, slots: u64) -> Steps {
    let source = |index: usize| index.checked_sub(1).map_or(Source::Images, Source::Step);
    steps((0..count).map(|index| step(index, &[source(index)], 1024)).collect(), slots)
}

const NOTHING: PlanOptions = PlanOptions { training: false, masked: false };

#[test]
fn a_chain_takes_two_places_in_turns() {
    let chain = chain(5, 4);
    let plan = GradientPlan::new(&chain, BackwardPlan::whole(4), NOTHING);
    let passing: Vec<Passing> = plan.routes.iter().rev().map(|routes| routes[0].passing).collect();
    let turns = [Some(0), Some(1), Some(0), Some(1), None];
    assert_eq!(passing, turns.map(Passing::Write));
    // The places are for all images: the seam is in front.
    assert_eq!(plan.turns, [vec![], vec![4096, 4096]]);
    assert_eq!(plan.images, ImagePlace::Own(4096));
    // Kept apart, each has its own.
    let apart = GradientPlan::apart(&chain, BackwardPlan::whole(4));
    assert_eq!(apart.turns, [vec![], vec![4096; 4]]);
}

#[test]
fn training_writes_over_values_where_their_derivative_comes_along() {
    let chain = chain(3, 4);
    let options = PlanOptions { training: true, masked: true };
    let plan = GradientPlan::new(&chain, BackwardPlan::whole(4), options);
    assert_eq!(plan.routes[2][0].over_values, Some(OverValues::Rectified));
    assert_eq!(plan.is_rectified, [true, true, false]);
    assert_eq!(plan.images, ImagePlace::Half(2048));
    // Nothing has memory of its own.
    assert_eq!(plan.turns, [const { Vec::<u64>::new() }; 2]);
    // A kernel that cannot multiply leaves the values that a derivative is computed from.
    let mut pooled = chain.clone();
    pooled.all[2].rectifies = false;
    let plan = GradientPlan::new(&pooled, BackwardPlan::whole(4), options);
    assert_eq!(plan.routes[2][0].over_values, None);
    assert_eq!(plan.is_rectified, [true, false, false]);
    assert_eq!(plan.turns, [vec![], vec![4096]]);
}

#[test]
fn a_value_that_two_read_gets_the_sum() {
    let first = step(0, &[Source::Images], 1024);
    let way = step(1, &[Source::Step(0)], 1024);
    let all = steps(vec![first, way, sum(2, &[1, 0], 1024)], 4);
    let plan = GradientPlan::new(&all, BackwardPlan::whole(4), NOTHING);
    let passing: Vec<Passing> = plan.routes[2].iter().map(|route| route.passing).collect();
    // The way's share is a copy, as the other is where the sum's own gradient is.
    assert_eq!(passing, [Passing::Copy(Some(0)), Passing::Alias]);
    assert_eq!(plan.routes[1][0].passing, Passing::WriteAndAdd(1));
}

#[test]
fn chunks_are_as_large_as_the_goal_allows() {
    let chain = chain(4, 256);
    let kept = 256 * 4 * 1024;
    // 0.29 of what is kept, without 128 images' own gradient, for two turns of 1024 bytes.
    let plan = BackwardPlan::new(&chain.all, kept, 256, 0);
    assert_eq!((plan.chunk, plan.seam), (64, 3));
    let room = (0.29 * kept as f64) as u64 - 128 * 1024;
    assert!((2 * 1024 * 64..2 * 1024 * 128).contains(&room));
    // Where everything else takes the room, chunks are the least.
    assert_eq!(BackwardPlan::new(&chain.all, kept, 256, kept).chunk, BackwardPlan::LEAST);
    assert_eq!(BackwardPlan::new(&chain.all, kept, 64, 0), BackwardPlan::whole(64));
    // The gradients of small values exist for all images at once.
    let mut tailed = chain;
    for own in &mut tailed.all[2..] {
        own.input_bytes = vec![16];
    }
    let plan = BackwardPlan::new(&tailed.all, kept, 256, 0);
    assert_eq!((plan.seam, plan.images_of(1), plan.images_of(2)), (1, 256, 256));
    assert_eq!(plan.images_of(0), plan.chunk);
}

#[test]
fn gradients_behind_a_step_in_place_have_room_for_all_images() {
    // A `flatten`, and layers behind it.
    let first = Step { sources: vec![Source::Images], ..in_place(1, &step(0, &[], 1024)) };
    let layer = |index: usize| step(index, &[Source::Step(index - 1)], 1024);
    let all = steps(vec![first, layer(1), layer(2)], 256);
    let plan = BackwardPlan { slots: 256, chunk: 64, seam: 2 };
    for masked in [false, true] {
        let options = PlanOptions { training: true, masked };
        assert_eq!(GradientPlan::new(&all, plan, options).images, ImagePlace::Own(256 * 1024));
    }
}

/// Where a gradient lies in a pass over `steps` that goes by `plan`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lies {
    Logits,
    Images,
    Beside(Beside),
    Over(StorageId),
}

impl Lies {
    /// The bytes that it covers: of which memory, from where to where.
    fn covers(self, steps: &Steps, bytes: u64) -> (Lies, u64, u64) {
        match self {
            Lies::Beside(Beside::Half { storage, offset }) => {
                (Lies::Over(storage), offset, offset + bytes)
            }
            Lies::Over(storage) => (self, 0, steps.storages[storage]),
            _ => (self, 0, u64::MAX),
        }
    }

    fn meets(self, own: u64, other: Lies, others: u64, steps: &Steps) -> bool {
        let (a, b) = (self.covers(steps, own), other.covers(steps, others));
        a.0 == b.0 && a.1 < b.2 && b.1 < a.2
    }
}

/// Goes back through `steps` by `plan`: each gradient is read where it was written, and nothing is
/// written over one that is still waited for, nor over a value that is still to be read.
fn go(steps: &Steps, plan: &GradientPlan, training: bool, slots: u64) {
    let last = steps.all.len() - 1;
    let mut at: HashMap<Source, (Lies, u64)> =
        HashMap::from([(Source::Step(last), (Lies::Logits, slots * steps.all[last].value_bytes))]);
    for (index, step) in steps.all.iter().enumerate().rev() {
        let Some((own, own_bytes)) = at.remove(&Source::Step(index)) else { continue };
        for (number, route) in plan.routes[index].iter().enumerate() {
            let bytes = slots * step.input_bytes[number];
            let to = match (route.source, route.over_values.filter(|_| training), route.beside) {
                (Source::Step(front), Some(_), _) => Lies::Over(steps.all[front].value),
                (_, None, Some(beside)) => Lies::Beside(beside),
                _ => Lies::Images,
            };
            let is_last = number + 1 == plan.routes[index].len();
            match route.passing {
                Passing::Alias => {
                    assert!(is_last, "step {index}: others read what is handed on");
                    assert!(!at.contains_key(&route.source));
                    at.insert(route.source, (own, own_bytes));
                }
                Passing::Write(_) | Passing::Copy(_) | Passing::WriteAndAdd(_) => {
                    assert!(!own.meets(own_bytes, to, bytes, steps), "step {index}: {to:?}");
                    for (other, (place, others)) in &at {
                        assert!(
                            !place.meets(*others, to, bytes, steps),
                            "step {index} writes over the gradient of {other:?}: {to:?}"
                        );
                    }
                    if let (true, Lies::Over(storage)) = (training, to) {
                        // Whoever stands in front reads other memory, but for a ReLU whose
                        // derivative comes along.
                        let read = steps.all[..index].iter().enumerate().filter(|(at, own)| {
                            own.activation != StepActivation::None
                                && own.state == storage
                                && !plan.is_rectified[*at]
                        });
                        assert_eq!(read.count(), 0, "step {index} writes over a state");
                    }
                    let is_first = !at.contains_key(&route.source);
                    let adds = matches!(route.passing, Passing::WriteAndAdd(_));
                    assert_eq!(is_first, !adds, "step {index}");
                    if !adds {
                        at.insert(route.source, (to, bytes));
                    }
                }
                Passing::Add => assert!(at.contains_key(&route.source), "step {index}"),
            }
        }
    }
    assert!(at.contains_key(&Source::Images));
    assert_eq!(at.len(), 1, "{at:?}");
}

/// A network of random operations, the last of which leads to all others.
fn random(numbers: &mut impl FnMut(u64) -> u64, slots: u64) -> Steps {
    let mut all = vec![step(0, &[Source::Images], 512)];
    let mut unread = vec![0];
    for index in 1..3 + numbers(12) as usize {
        let before = all.len() - 1;
        let other = numbers(all.len() as u64) as usize;
        let own = match numbers(4) {
            0 if all[other].value_bytes == all[before].value_bytes && other != before => {
                sum(index, &[before, other], all[before].value_bytes)
            }
            1 if index > 1 => in_place(index, &all[before]),
            _ => {
                let activation = match numbers(3) {
                    0 => StepActivation::None,
                    1 => StepActivation::Relu,
                    _ => StepActivation::Other,
                };
                let bytes = [256, 512, 1024][numbers(3) as usize];
                let own = step(index, &[Source::Step(before)], all[before].value_bytes);
                let rectifies = numbers(2) == 0;
                Step { activation, rectifies, value_bytes: bytes, ..own }
            }
        };
        unread.retain(|&at| !own.sources.contains(&Source::Step(at)));
        unread.push(index);
        all.push(own);
    }
    assert_eq!(unread.len(), 1);
    // A value that others read is not changed in place: such a step has memory of its own.
    for index in 1..all.len() {
        let read = Source::Step(index - 1);
        let reads = |own: &Step| own.sources.iter().filter(|&&source| source == read).count();
        let readers: usize = all.iter().map(reads).sum();
        if all[index].is_in_place && readers > 1 {
            (all[index].value, all[index].state) = (index, index);
        } else if all[index].is_in_place {
            (all[index].value, all[index].state) = (all[index - 1].value, all[index - 1].value);
        }
    }
    steps(all, slots)
}

#[test]
fn nothing_is_written_over_what_is_waited_for() {
    let mut state = 7u64;
    let mut numbers = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let mut halves = 0;
    for _ in 0..2000 {
        let own = random(&mut numbers, 4);
        for (training, masked) in [(false, false), (true, false), (true, true), (false, true)] {
            let options = PlanOptions { training, masked };
            let plan = GradientPlan::new(&own, BackwardPlan::whole(4), options);
            let of_half = |route: &&Route| matches!(route.beside, Some(Beside::Half { .. }));
            halves += plan.routes.iter().flatten().filter(of_half).count();
            go(&own, &plan, training, 4);
            // The pass that takes gradients of clean images, before there are masked ones.
            go(&own, &plan, false, 2);
        }
    }
    assert!(halves > 1000, "{halves}");
}
