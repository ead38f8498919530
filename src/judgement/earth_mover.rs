//! The exact earth mover's distance of two maps: the least mass · distance that turns one map into
//! the other.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::config::Shape;

/// A mass below this is a rounding error.
const NOTHING: f64 = 1e-12;

/// Earth mover's distance of |a| and |b| (means over the channels, each scaled to mass 1), both [C,
/// H, W], with the Manhattan distance in pixels. A map of zeros counts as a uniform map.
///
/// Mass moves between neighbouring pixels, so the problem is a flow on the grid instead of one
/// between all pairs (Ling and Okada 2007). Successive shortest paths with potentials solve it
/// exactly, in about the square of the number of pixels.
pub fn earth_mover_distance(a: &[f32], b: &[f32], shape: Shape) -> f64 {
    let mut flow = Flow::new(&mass(a, shape), &mass(b, shape), shape.width as usize);
    while flow.augment() {}
    flow.cost
}

/// |φ| as a distribution over the pixels.
fn mass(map: &[f32], shape: Shape) -> Vec<f64> {
    let pixels = shape.pixels() as usize;
    let magnitude = |pixel: usize| {
        map.iter().skip(pixel).step_by(pixels).map(|value| f64::from(value.abs())).sum::<f64>()
    };
    let values: Vec<f64> = (0..pixels).map(magnitude).collect();
    let total: f64 = values.iter().sum();
    if total > 0.0 {
        values.iter().map(|value| value / total).collect()
    } else {
        vec![1.0 / pixels as f64; pixels]
    }
}

/// A minimum-cost flow on the grid: a step to a neighbour costs 1 and has unlimited capacity;
/// moving mass back costs −1.
struct Flow {
    width: usize,
    /// Mass that must leave (positive) or arrive (negative).
    excess: Vec<f64>,
    potential: Vec<i64>,
    /// Mass moved to the right, left, lower and upper neighbour.
    moved: Vec<[f64; 4]>,
    cost: f64,
}

impl Flow {
    fn new(from: &[f64], to: &[f64], width: usize) -> Flow {
        let excess: Vec<f64> = from.iter().zip(to).map(|(from, to)| from - to).collect();
        Flow {
            width,
            potential: vec![0; excess.len()],
            moved: vec![[0.0; 4]; excess.len()],
            excess,
            cost: 0.0,
        }
    }

    /// The neighbour in `direction`; its opposite is `direction ^ 1`.
    fn neighbour(&self, at: usize, direction: usize) -> Option<usize> {
        let column = at % self.width;
        match direction {
            0 => (column + 1 < self.width).then(|| at + 1),
            1 => (column > 0).then(|| at - 1),
            2 => Some(at + self.width).filter(|&below| below < self.excess.len()),
            _ => at.checked_sub(self.width),
        }
    }

    /// Sends mass along one shortest path; returns false when all mass has arrived.
    fn augment(&mut self) -> bool {
        let count = self.excess.len();
        let mut distance = vec![i64::MAX; count];
        let mut came: Vec<Option<(usize, usize)>> = vec![None; count];
        let mut queue = BinaryHeap::new();
        for at in (0..count).filter(|&at| self.excess[at] > NOTHING) {
            distance[at] = 0;
            queue.push(Reverse((0, at)));
        }
        // The update below keeps all sources at potential 0, so one search from all of them is
        // exact.
        let mut end = None;
        while let Some(Reverse((far, at))) = queue.pop() {
            if far > distance[at] {
                continue;
            }
            if self.excess[at] < -NOTHING {
                end = Some((far, at));
                break;
            }
            for direction in 0..4 {
                let Some(next) = self.neighbour(at, direction) else { continue };
                let back = self.moved[next][direction ^ 1] > NOTHING;
                let cost = if back { -1 } else { 1 } + self.potential[at] - self.potential[next];
                if far + cost < distance[next] {
                    distance[next] = far + cost;
                    came[next] = Some((at, direction));
                    queue.push(Reverse((far + cost, next)));
                }
            }
        }
        let Some((reach, end)) = end else { return false };
        for (potential, distance) in self.potential.iter_mut().zip(&distance) {
            *potential += (*distance).min(reach);
        }
        let mut amount = -self.excess[end];
        let mut at = end;
        while let Some((previous, direction)) = came[at] {
            if self.moved[at][direction ^ 1] > NOTHING {
                amount = amount.min(self.moved[at][direction ^ 1]);
            }
            at = previous;
        }
        amount = amount.min(self.excess[at]);
        self.excess[at] -= amount;
        self.excess[end] += amount;
        let mut at = end;
        while let Some((previous, direction)) = came[at] {
            if self.moved[at][direction ^ 1] > NOTHING {
                self.moved[at][direction ^ 1] -= amount;
                self.cost -= amount;
            } else {
                self.moved[previous][direction] += amount;
                self.cost += amount;
            }
            at = previous;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_distances() {
        let shape = Shape::new(1, 3, 4);
        let at = |pixel: usize| {
            (0..12).map(|other| if other == pixel { 5.0 } else { 0.0 }).collect::<Vec<f32>>()
        };
        assert!((earth_mover_distance(&at(0), &at(11), shape) - 5.0).abs() < 1e-12);
        assert_eq!(earth_mover_distance(&at(7), &at(7), shape), 0.0);
        let two: Vec<f32> = at(0).iter().zip(at(3)).map(|(a, b)| a - b).collect();
        assert!((earth_mover_distance(&two, &at(0), shape) - 1.5).abs() < 1e-12);
        let one_row = Shape::new(2, 1, 3);
        // Channels are averaged: (0.5, 0, 0.5) to (0, 1, 0).
        assert!(
            (earth_mover_distance(
                &[2.0, 0.0, 0.0, 0.0, 0.0, -2.0],
                &[0.0, 1.0, 0.0, 0.0, 3.0, 0.0],
                one_row
            ) - 1.0)
                .abs()
                < 1e-12
        );
    }

    /// In one dimension the distance is the area between the cumulative distributions.
    #[test]
    fn a_row_of_pixels_agrees_with_the_cumulative_distributions() {
        let shape = Shape::new(1, 1, 40);
        let values = |seed: u32| -> Vec<f32> {
            (0..40)
                .map(|i| {
                    crate::random::uniform01(
                        crate::random::random_bits([seed, 0, 0, 1], i, 0, 0)[0],
                    )
                })
                .collect()
        };
        let (a, b) = (values(1), values(2));
        let (p, q) = (mass(&a, shape), mass(&b, shape));
        let mut difference = 0.0;
        let expected: f64 = p
            .iter()
            .zip(&q)
            .map(|(p, q)| {
                difference += p - q;
                f64::abs(difference)
            })
            .sum();
        assert!((earth_mover_distance(&a, &b, shape) - expected).abs() < 1e-9);
    }
}
