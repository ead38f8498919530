//! The nodes and weights of Integrated Gradients along its path.

/// A rule for an integral over [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quadrature {
    /// Gauss–Legendre nodes: exact for polynomials of degree 2n − 1.
    #[default]
    GaussLegendre,
    /// Riemann sum at the midpoints of n equal steps.
    Riemann,
}

impl Quadrature {
    /// (node in (0, 1), weight) of the rule with `steps` nodes, in ascending order; the weights sum
    /// to 1.
    pub fn nodes(self, steps: u32) -> Vec<(f64, f64)> {
        let n = steps.max(1);
        match self {
            Quadrature::Riemann => {
                (0..n).map(|i| ((f64::from(i) + 0.5) / f64::from(n), 1.0 / f64::from(n))).collect()
            }
            Quadrature::GaussLegendre => (1..=n).rev().map(|i| gauss_legendre(n, i)).collect(),
        }
    }
}

/// Node `i` (1 to `n`, descending) of the `n`-point rule: a root of the Legendre polynomial P_n by
/// Newton's method, mapped from [−1, 1] to [0, 1].
fn gauss_legendre(n: u32, i: u32) -> (f64, f64) {
    let mut x = (std::f64::consts::PI * (f64::from(i) - 0.25) / (f64::from(n) + 0.5)).cos();
    let mut slope = 1.0;
    for _ in 0..100 {
        let (mut previous, mut value) = (1.0, x);
        for k in 2..=n {
            let k = f64::from(k);
            (previous, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * previous) / k);
        }
        slope = f64::from(n) * (x * value - previous) / (x * x - 1.0);
        let step = value / slope;
        x -= step;
        if step.abs() < 1e-15 {
            break;
        }
    }
    (0.5 * (1.0 + x), 1.0 / ((1.0 - x * x) * slope * slope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_integrate_polynomials() {
        for (rule, steps, degree, tolerance) in [
            (Quadrature::GaussLegendre, 1, 1, 1e-14),
            (Quadrature::GaussLegendre, 5, 9, 1e-14),
            (Quadrature::GaussLegendre, 50, 40, 1e-13),
            (Quadrature::Riemann, 1000, 3, 1e-6),
        ] {
            let nodes = rule.nodes(steps);
            assert_eq!(nodes.len(), steps as usize);
            assert!(nodes.windows(2).all(|pair| pair[0].0 < pair[1].0));
            for power in 0..=degree {
                let sum: f64 = nodes.iter().map(|(x, weight)| weight * x.powi(power)).sum();
                assert!(
                    (sum - 1.0 / f64::from(power + 1)).abs() < tolerance,
                    "{rule:?} {steps} x^{power}: {sum}"
                );
            }
        }
    }

    #[test]
    fn one_node_is_the_middle() {
        assert_eq!(Quadrature::GaussLegendre.nodes(1), [(0.5, 1.0)]);
    }
}
