//! In which order gradients come about, and which of the places that are written in turns each
//! takes.

use super::{
    steps::{Source, Step},
    turns::{Place, Turns},
};

/// How the gradient with respect to what a step reads comes about. A value that several steps read
/// gets a share from each: the last step's first, the others' in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// It is where the gradient of the step's output is.
    Alias,
    /// The step writes it, to the place of this turn; none for the images' own place.
    Write(Option<usize>),
    /// The gradient of the step's output is copied likewise.
    Copy(Option<usize>),
    /// The gradient of the step's output is added to the shares that are there.
    Add,
    /// The step's share is written to the place of this turn, and added.
    WriteAndAdd(usize),
}

/// The gradient with respect to one input of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    /// The step.
    pub step: usize,
    /// Which of its inputs.
    pub input: usize,
    /// Where that comes from.
    pub source: Source,
    /// Whether it exists for all images at once.
    pub whole: bool,
    /// How it comes about.
    pub passing: Passing,
}

impl Hop {
    /// Which of the places that are written in turns it takes if it has no other.
    pub fn turn(self) -> Option<usize> {
        match self.passing {
            Passing::Write(turn) | Passing::Copy(turn) => turn,
            Passing::WriteAndAdd(turn) => Some(turn),
            Passing::Alias | Passing::Add => None,
        }
    }

    /// The step whose value's gradient is written for the first time.
    pub fn written(self) -> Option<usize> {
        match self.passing {
            Passing::Write(Some(_)) | Passing::Copy(Some(_)) => self.source.step(),
            _ => None,
        }
    }
}

/// The gradients between `steps`, in the order in which they are written; those behind `seam` exist
/// for all images at once.
pub(super) fn hops(steps: &[Step], seam: usize) -> Vec<Hop> {
    let (mut hops, mut turns) = (Vec::new(), Turns::default());
    let mut places: Vec<Option<Place>> = vec![None; steps.len()];
    let mut has_images = false;
    if let Some(last) = places.last_mut() {
        *last = Some(Place::Own);
    }
    for (index, step) in steps.iter().enumerate().rev() {
        let Some(own) = places[index] else { continue };
        let whole = index > seam;
        let mut is_handed_on = false;
        for (input, &source) in step.sources.iter().enumerate() {
            let is_first = match source {
                Source::Images => !std::mem::replace(&mut has_images, true),
                Source::Step(front) => places[front].is_none(),
            };
            let is_last = input + 1 == step.sources.len();
            // Where what is written first goes.
            let is_images = source.step().is_none_or(|front| leads_to_images(steps, front));
            let mut place = || if is_images { None } else { Some(turns.take(whole)) };
            // Of the images' gradient only what went there in place is there already.
            let is_there = match source {
                Source::Images => own == Place::Own && index + 1 < steps.len(),
                Source::Step(_) => step.keeps_format[input],
            };
            let passing = match (step.hands_on, is_first) {
                (true, true) if is_last && is_there => {
                    is_handed_on = true;
                    Passing::Alias
                }
                (true, true) => Passing::Copy(place()),
                (true, false) => Passing::Add,
                (false, true) => Passing::Write(place()),
                (false, false) => Passing::WriteAndAdd(turns.take(whole)),
            };
            let at = match passing {
                Passing::Alias => Some(own),
                Passing::Write(turn) | Passing::Copy(turn) => {
                    Some(turn.map_or(Place::Own, |turn| Place::Turn(whole, turn)))
                }
                Passing::WriteAndAdd(turn) => {
                    turns.free(Place::Turn(whole, turn));
                    None
                }
                Passing::Add => None,
            };
            if let (Source::Step(front), Some(at)) = (source, at) {
                places[front] = Some(at);
            }
            hops.push(Hop { step: index, input, source, whole, passing });
        }
        if !is_handed_on {
            turns.free(own);
        }
    }
    hops
}

/// Whether the gradient of the value of step `index` becomes the images' in place: steps in place
/// are all there is in front, and each is the only reader of what it reads.
pub(super) fn leads_to_images(steps: &[Step], index: usize) -> bool {
    let step = &steps[index];
    let is_only = |source: &Source| {
        steps.iter().flat_map(|step| &step.sources).filter(|own| *own == source).count() == 1
    };
    step.is_in_place
        && is_only(&step.sources[0])
        && step.sources[0].step().is_none_or(|front| leads_to_images(steps, front))
}
