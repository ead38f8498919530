//! How far a student's map is from its teacher's.

/// 1 − cos of the maps of an image, and its gradient with respect to the student's times `weight`.
/// A map of norm 0 has distance 1 and no gradient.
pub fn align_maps(student: &[f64], teacher: &[f64], weight: f64) -> (f64, Vec<f64>) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = [student, teacher].map(|map| dot(map, map).sqrt());
    if lengths.contains(&0.0) {
        return (1.0, vec![0.0; student.len()]);
    }
    let [own, other] = lengths;
    let cosine = dot(student, teacher) / (own * other);
    let gradient = student.iter().zip(teacher).map(|(s, t)| (cosine * s / own - t / other) / own);
    (1.0 - cosine, gradient.map(|value| weight * value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_the_difference_quotient() {
        let (student, teacher) = ([0.3, -1.2, 0.0, 2.0, 0.7], [1.1, 0.2, -0.4, 0.9, 0.0]);
        let (_, gradient) = align_maps(&student, &teacher, 0.25);
        for (at, gradient) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut student = student;
                student[at] += by;
                0.25 * align_maps(&student, &teacher, 1.0).0
            };
            assert!((gradient - (moved(1e-6) - moved(-1e-6)) / 2e-6).abs() < 1e-9);
        }
    }

    #[test]
    fn maps_of_norm_0_have_distance_1_and_scale_does_not_matter() {
        let map = [1.0, -2.0, 0.5];
        for (student, teacher) in [([0.0; 3], map), (map, [0.0; 3]), ([0.0; 3], [0.0; 3])] {
            assert_eq!(align_maps(&student, &teacher, 1.0), (1.0, vec![0.0; 3]));
        }
        let (distance, gradient) = align_maps(&map, &map.map(|value| 4.0 * value), 1.0);
        assert!(distance.abs() < 1e-15 && gradient.iter().all(|value| value.abs() < 1e-15));
        assert!((align_maps(&map, &map.map(|value| -value), 1.0).0 - 2.0).abs() < 1e-15);
    }
}
