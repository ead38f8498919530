//! Whether a step's update is made.

/// What is known of a step's numbers (`shaders/common/health.wgsl`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// Lowest index of a gradient that is not finite.
    pub gradient: Option<u32>,
    /// Lowest index of a parameter or state that the update would not leave finite.
    pub update: Option<u32>,
    /// Whether the step's update is made.
    pub apply: bool,
    /// Whether no update is made any more.
    pub halted: bool,
    /// Factor on the learning rate.
    pub rate: f64,
}

/// The verdict on a step with these sums (Σce, Σkl, Σcorrect, images) as (cause, index), and what
/// `health` is after it. `policy` 0 stops, 1 skips, 2 skips and halves the rate; `flagged` says
/// that a loss was not finite.
pub fn judge_step(
    policy: u32,
    exploded: f64,
    sums: [f64; 4],
    flagged: bool,
    health: &mut Health,
) -> (u32, Option<u32>) {
    let verdict = match *health {
        Health { halted: true, .. } => (5, None),
        _ if flagged => (1, None),
        _ if sums[0] > exploded * sums[3] => (2, None),
        Health { gradient: Some(index), .. } => (3, Some(index)),
        Health { update: Some(index), .. } => (4, Some(index)),
        _ => (0, None),
    };
    let bad = verdict.0 != 0;
    *health = Health {
        gradient: None,
        update: None,
        apply: !bad,
        halted: health.halted || (bad && policy == 0),
        rate: if bad && policy == 2 { health.rate / 2.0 } else { health.rate },
    };
    verdict
}
