//! Measures how the time of a step grows with the batch, the filters and the pixels.

use serde::{Deserialize, Serialize};

use super::{
    adapter::AdapterName,
    configuration::configuration,
    timing::{median, time_step},
};
use crate::{
    Result,
    config::{LayerKind, RunConfig, Shape},
    data::{Dataset, Split},
    gpu::Gpu,
    random,
    report::{LineChart, Quantity, Series},
    train::Trainer,
};

/// The varied size; everything else is as in Table I.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sweep {
    /// Images per step.
    Batch,
    /// Filters of conv2; its own work and that of fc1 grow with them.
    Filters,
    /// Pixels of a square image.
    Pixels,
}

/// One measured point.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SweepPoint {
    /// The batch size, the number of filters, or the number of pixels.
    pub value: u32,
    /// Median time of a step.
    pub median_ms: f64,
    /// Images per second.
    pub images_per_second: f64,
}

/// The JSON of `saliq bench --sweep … --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SweepResult {
    /// The adapter.
    pub adapter: AdapterName,
    /// The varied size.
    pub sweep: Sweep,
    /// Images per step, if they were not varied.
    pub batch_size: Option<u32>,
    /// The points, by value.
    pub points: Vec<SweepPoint>,
    /// Slope of the least-squares line through the points.
    pub ms_per_unit: f64,
    /// Its value at 0.
    pub offset_ms: f64,
    /// Share of the variance that it explains.
    pub r_squared: f64,
}

impl Sweep {
    /// The unit of the values.
    pub fn unit(self) -> &'static str {
        match self {
            Sweep::Batch => "images a step",
            Sweep::Filters => "filters of conv2",
            Sweep::Pixels => "pixels of an image",
        }
    }

    /// The values, each with its configuration and the shape of the images.
    fn cases(self, batch_size: u32) -> Result<Vec<(u32, RunConfig, Dataset)>> {
        let case = |value: u32, side: u32, batch: u32| {
            let dataset = noise(Shape::new(1, side, side), batch);
            let mut config = configuration(&dataset, batch)?;
            for layer in &mut config.network.layers {
                if let LayerKind::Conv(own) = &mut layer.kind
                    && self == Sweep::Filters
                    && layer.name.as_deref() == Some("conv2")
                {
                    own.out_channels = value;
                }
            }
            Ok((value, config, dataset))
        };
        match self {
            Sweep::Batch => (1..=6)
                .map(|sixth| (batch_size * sixth / 6).max(1))
                .map(|batch| case(batch, 28, batch))
                .collect(),
            Sweep::Filters => [16, 32, 64, 96, 128]
                .into_iter()
                .map(|filters| case(filters, 28, batch_size))
                .collect(),
            Sweep::Pixels => [16, 20, 28, 34, 40]
                .into_iter()
                .map(|side| case(side * side, side, batch_size))
                .collect(),
        }
    }
}

/// As many images of random bytes as a step needs; their contents do not affect its time.
fn noise(shape: Shape, count: u32) -> Dataset {
    let key = random::random_key(0, 0, random::INITIALIZE);
    let bytes = (0..count * shape.elements())
        .map(|index| random::random_bits(key, index, 0, 0)[0] as u8)
        .collect();
    let train = Split { images: bytes, labels: (0..count).map(|index| index % 10).collect() };
    let mut test = train.clone();
    test.truncate(1, shape);
    Dataset {
        name: "noise".into(),
        shape,
        classes: 10,
        class_names: Vec::new(),
        train,
        test,
        published_normalization: Some((0.5, 0.3)),
        source: "generated".into(),
        details: Default::default(),
    }
}

/// Times `rounds` steps of every point. The points take turns, so that a change of the machine's
/// speed affects all of them.
///
/// # Errors
/// Errors of the timed training runs.
pub fn sweep(
    gpu: &Gpu,
    sweep: Sweep,
    batch_size: u32,
    rounds: u32,
    progress: &mut dyn FnMut(&str),
) -> Result<SweepResult> {
    let cases = sweep.cases(batch_size)?;
    let mut trainers = Vec::new();
    for (value, config, dataset) in &cases {
        progress(&format!("{value} {}", sweep.unit()));
        let trainer = Trainer::new(gpu, config, dataset)?;
        trainer.begin_benchmark();
        time_step(gpu, &trainer)?;
        trainers.push(trainer);
    }
    let mut times = vec![Vec::new(); trainers.len()];
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}"));
        for (own, trainer) in times.iter_mut().zip(&trainers) {
            own.push(time_step(gpu, trainer)?);
        }
    }
    let point = |((value, config, _), times): (&(u32, RunConfig, Dataset), &mut Vec<f64>)| {
        let median_ms = median(times);
        SweepPoint {
            value: *value,
            median_ms,
            images_per_second: f64::from(config.batch_size) / median_ms * 1e3,
        }
    };
    let points: Vec<_> = cases.iter().zip(&mut times).map(point).collect();
    let [ms_per_unit, offset_ms, r_squared] = line_through(&points);
    Ok(SweepResult {
        adapter: AdapterName::of(gpu),
        sweep,
        batch_size: (sweep != Sweep::Batch).then_some(batch_size),
        points,
        ms_per_unit,
        offset_ms,
        r_squared,
    })
}

/// Slope, value at 0 and coefficient of determination of the least-squares line.
fn line_through(points: &[SweepPoint]) -> [f64; 3] {
    let mean =
        |f: &dyn Fn(&SweepPoint) -> f64| points.iter().map(f).sum::<f64>() / points.len() as f64;
    let x = |point: &SweepPoint| f64::from(point.value);
    let (mean_x, mean_y) = (mean(&x), mean(&|point| point.median_ms));
    let covariance = mean(&|point| (x(point) - mean_x) * (point.median_ms - mean_y));
    let variance = |f: &dyn Fn(&SweepPoint) -> f64, middle: f64| {
        mean(&|point| (f(point) - middle).powi(2)).max(f64::MIN_POSITIVE)
    };
    let (variance_x, variance_y) =
        (variance(&x, mean_x), variance(&|point| point.median_ms, mean_y));
    let slope = covariance / variance_x;
    [slope, mean_y - slope * mean_x, covariance * covariance / (variance_x * variance_y)]
}

impl SweepResult {
    /// The points and the line through them.
    pub fn chart(&self) -> LineChart {
        let last = self.points.last().map_or(0.0, |point| f64::from(point.value));
        let fixed =
            self.batch_size.map_or(String::new(), |batch| format!(", {batch} images a step"));
        let line = Series {
            name: format!(
                "{:.3} ms + {:.4} ms a unit, R² = {:.4}",
                self.offset_ms, self.ms_per_unit, self.r_squared
            ),
            points: vec![(0.0, self.offset_ms), (last, self.offset_ms + self.ms_per_unit * last)],
            ..Series::default()
        };
        let measured = Series {
            name: "median time of a step".into(),
            points: self
                .points
                .iter()
                .map(|point| (f64::from(point.value), point.median_ms))
                .collect(),
            ..Series::default()
        };
        LineChart {
            title: format!("SGT step against {}{fixed}", self.sweep.unit()),
            x_label: self.sweep.unit().into(),
            y_label: "time of a step, ms".into(),
            quantity: Quantity::WithZero,
            series: vec![measured, line],
            ..LineChart::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_through_points() {
        let point = |value, median_ms| SweepPoint { value, median_ms, images_per_second: 0.0 };
        let [slope, offset, r_squared] =
            line_through(&[point(1, 5.0), point(2, 7.0), point(4, 11.0)]);
        assert!(
            (slope - 2.0).abs() < 1e-12
                && (offset - 3.0).abs() < 1e-12
                && (r_squared - 1.0).abs() < 1e-12
        );
        // A rise and a fall of equal size: the line explains nothing.
        let [slope, offset, r_squared] =
            line_through(&[point(1, 1.0), point(2, 2.0), point(3, 1.0)]);
        assert!(slope.abs() < 1e-12 && (offset - 4.0 / 3.0).abs() < 1e-12 && r_squared < 1e-12);
    }

    #[test]
    fn each_case_varies_one_thing() {
        for (own, values) in [
            (Sweep::Batch, vec![8, 16, 24, 32, 40, 48]),
            (Sweep::Filters, vec![16, 32, 64, 96, 128]),
            (Sweep::Pixels, vec![256, 400, 784, 1156, 1600]),
        ] {
            let cases = own.cases(48).unwrap();
            assert_eq!(cases.iter().map(|case| case.0).collect::<Vec<_>>(), values);
            let parameters: std::collections::BTreeSet<_> =
                cases.iter().map(|case| format!("{:?}", case.1.network)).collect();
            assert_eq!(parameters.len(), if own == Sweep::Batch { 1 } else { values.len() });
            assert!(cases.iter().all(|case| case.1.batch_size as usize == case.2.train.len()));
        }
    }
}
