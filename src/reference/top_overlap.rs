//! Overlap of the features that lead two rankings.

/// |A ∩ B| / |A ∪ B| of the features at places below `k` of every image's `a` and `b`.
pub fn top_overlap(a: &[u32], b: &[u32], features: usize, k: u32) -> Vec<f64> {
    let of_image = |(a, b): (&[u32], &[u32])| {
        let count = |leads: &dyn Fn(u32, u32) -> bool| {
            a.iter().zip(b).filter(|&(&a, &b)| leads(a, b)).count() as f64
        };
        count(&|a, b| a < k && b < k) / count(&|a, b| a < k || b < k)
    };
    a.chunks(features).zip(b.chunks(features)).map(of_image).collect()
}
