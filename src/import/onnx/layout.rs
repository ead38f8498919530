//! How the axes of a tensor in a graph stand for channels, rows and columns. Transposes, reshapes
//! and flattenings of images move axes; the values stay where they are.

use super::{Fallible, constant::BATCH};
use crate::config::Shape;

/// An axis of a batch of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Axis {
    Batch,
    Channel,
    /// Which of so many groups of channels.
    Group(u32),
    /// Which channel of one of so many groups.
    Member(u32),
    Row,
    Column,
}

impl Axis {
    /// Its size for images of `shape`; that of the batch is not counted.
    fn size(self, shape: Shape) -> u64 {
        u64::from(match self {
            Axis::Batch => 1,
            Axis::Channel => shape.channels,
            Axis::Group(groups) => groups,
            Axis::Member(groups) => shape.channels / groups,
            Axis::Row => shape.height,
            Axis::Column => shape.width,
        })
    }

    /// Channels as `groups` groups of them, the two axes that they consist of.
    fn grouped(self, groups: u64, shape: Shape) -> Option<[Axis; 2]> {
        let groups = u32::try_from(groups).ok()?;
        let fits = self == Axis::Channel && groups > 1 && shape.channels.is_multiple_of(groups);
        fits.then_some([Axis::Group(groups), Axis::Member(groups)])
    }
}

/// The axes that each axis of a tensor consists of, outer ones first. Axes of one element are left
/// out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout(Vec<Vec<Axis>>);

impl Layout {
    /// `groups` for images of `shape`.
    pub(super) fn new(groups: &[&[Axis]], shape: Shape) -> Layout {
        let kept = |axis: &&Axis| **axis == Axis::Batch || axis.size(shape) > 1;
        Layout(groups.iter().map(|group| group.iter().filter(kept).copied().collect()).collect())
    }

    /// [batch, channels, rows, columns].
    pub(super) fn images(shape: Shape) -> Layout {
        use Axis::*;
        Layout::new(&[&[Batch], &[Channel], &[Row], &[Column]], shape)
    }

    /// [batch, rows, columns, channels].
    pub(super) fn channels_last(shape: Shape) -> Layout {
        use Axis::*;
        Layout::new(&[&[Batch], &[Row], &[Column], &[Channel]], shape)
    }

    /// [batch, features].
    pub(super) fn rows(shape: Shape) -> Layout {
        use Axis::*;
        Layout::new(&[&[Batch], &[Channel, Row, Column]], shape)
    }

    /// Number of axes.
    pub(super) fn rank(&self) -> usize {
        self.0.len()
    }

    /// What axis `index` consists of.
    pub(super) fn axis(&self, index: usize) -> &[Axis] {
        &self.0[index]
    }

    /// Elements along axis `index` of images of `shape`.
    pub(super) fn size(&self, index: usize, shape: Shape) -> u64 {
        self.0[index].iter().map(|axis| axis.size(shape)).product()
    }

    /// Whether axis `index` is the batch alone.
    pub(super) fn is_batch(&self, index: usize) -> bool {
        self.0[index] == [Axis::Batch]
    }

    /// The place of axis `axis` that may be counted from the end.
    pub(super) fn place(&self, axis: i64) -> Fallible<usize> {
        place(axis, self.rank())
    }

    /// The axis that has the channels alone.
    pub(super) fn channel_axis(&self) -> Option<usize> {
        self.0.iter().position(|group| group == &[Axis::Channel])
    }

    pub(super) fn transposed(&self, order: &[i64]) -> Fallible<Layout> {
        let mut places = Vec::new();
        for &axis in order {
            places.push(self.place(axis)?);
        }
        let mut sorted = places.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.rank()) {
            return Err(format!("perm {order:?} is no order of {} axes", self.rank()));
        }
        Ok(Layout(places.iter().map(|&place| self.0[place].clone()).collect()))
    }

    /// Without the axes `axes`, all of one element; without all of these if none is named.
    pub(super) fn squeezed(&self, axes: Option<&[i64]>, shape: Shape) -> Fallible<Layout> {
        let mut gone = vec![false; self.rank()];
        match axes {
            Some(axes) => {
                for &axis in axes {
                    let place = self.place(axis)?;
                    if self.is_batch(place) || self.size(place, shape) != 1 {
                        return Err(format!("axis {axis} has more than one element"));
                    }
                    gone[place] = true;
                }
            }
            None => {
                for (place, gone) in gone.iter_mut().enumerate() {
                    *gone = !self.is_batch(place) && self.size(place, shape) == 1;
                }
            }
        }
        let kept = self.0.iter().zip(gone).filter(|(_, gone)| !gone);
        Ok(Layout(kept.map(|(group, _)| group.clone()).collect()))
    }

    /// With axes of one element at `axes` of the result.
    pub(super) fn unsqueezed(&self, axes: &[i64]) -> Fallible<Layout> {
        let rank = self.rank().saturating_add(axes.len());
        if rank > 16 {
            return Err("a tensor has more than 16 axes".into());
        }
        let mut is_new = vec![false; rank];
        for &axis in axes {
            if std::mem::replace(&mut is_new[place(axis, rank)?], true) {
                return Err(format!("axis {axis} is added twice"));
            }
        }
        let mut own = self.0.iter();
        let group = |is_new: bool| if is_new { Some(Vec::new()) } else { own.next().cloned() };
        Ok(Layout(is_new.into_iter().filter_map(group).collect()))
    }

    /// With the axes at `places`, which are the rows and columns of images of `shape`, of one
    /// element, or without them.
    pub(super) fn without_plane(
        &self,
        places: &[usize],
        keeps: bool,
        shape: Shape,
    ) -> Option<Layout> {
        let is_gone = |place: &usize| places.contains(place);
        let gone = (0..self.rank()).filter(is_gone).flat_map(|place| self.0[place].clone());
        let mut gone: Vec<Axis> = gone.collect();
        gone.sort_unstable();
        let plane = [Axis::Row, Axis::Column].into_iter().filter(|axis| axis.size(shape) > 1);
        if places.is_empty() || !plane.eq(gone) {
            return None;
        }
        let group = |place: usize| match (is_gone(&place), keeps) {
            (false, _) => Some(self.0[place].clone()),
            (true, true) => Some(Vec::new()),
            (true, false) => None,
        };
        Some(Layout((0..self.rank()).filter_map(group).collect()))
    }

    /// Whether axis `index` has the rows (0) or the columns (1) of images of `shape`.
    pub(super) fn plane_axis(&self, index: usize, shape: Shape) -> Option<usize> {
        match self.0[index][..] {
            [Axis::Row] => return Some(0),
            [Axis::Column] => return Some(1),
            [] => {}
            _ => return None,
        }
        let first = if *self == Layout::images(shape) {
            2
        } else if *self == Layout::channels_last(shape) {
            1
        } else {
            return None;
        };
        index.checked_sub(first).filter(|&axis| axis < 2)
    }

    /// Axes from `axis` on as one, and those in front as one.
    pub(super) fn flattened(&self, axis: i64) -> Fallible<Layout> {
        let axis = if axis == self.rank() as i64 { self.rank() } else { self.place(axis)? };
        let flat = Layout(vec![self.0[..axis].concat(), self.0[axis..].concat()]);
        match flat.is_batch(0) {
            true => Ok(flat),
            false => Err("the images of a batch would be mixed".into()),
        }
    }

    /// In the shape `target` of a Reshape, for images of `shape`; 0 copies an axis unless
    /// `zero_is_size`. `batch` is the size of a fixed batch.
    pub(super) fn reshaped(
        &self,
        target: &[i64],
        zero_is_size: bool,
        batch: Option<i64>,
        shape: Shape,
    ) -> Fallible<Layout> {
        let mixed = || {
            let said: Vec<String> = target
                .iter()
                .map(|&size| if size == BATCH { "batch".into() } else { size.to_string() })
                .collect();
            format!(
                "the shape [{}] mixes the images of a batch, or does not fit {} features",
                said.join(", "),
                self.features(shape)
            )
        };
        let in_order: Vec<Axis> = self.0.concat();
        if in_order.first() != Some(&Axis::Batch) || target.is_empty() || target.len() > 16 {
            return Err(mixed());
        }
        let mut sizes = Vec::new();
        let mut open = None;
        for (place, &size) in target.iter().enumerate().skip(1) {
            sizes.push(match size {
                -1 if open.is_none() => {
                    open = Some(place - 1);
                    1
                }
                0 if !zero_is_size && place < self.rank() && !self.is_batch(place) => {
                    self.size(place, shape)
                }
                1.. => size as u64,
                _ => return Err(mixed()),
            });
        }
        let given = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
        let given = given.ok_or_else(mixed)?;
        let all = self.features(shape);
        if let Some(open) = open {
            if given == 0 || !all.is_multiple_of(given) {
                return Err(mixed());
            }
            sizes[open] = all / given;
        } else if given != all {
            return Err(mixed());
        }
        let is_batch = match target[0] {
            BATCH => true,
            -1 => open.is_none(),
            0 => !zero_is_size && self.is_batch(0),
            size => Some(size) == batch,
        };
        if !is_batch {
            return Err(mixed());
        }
        let mut groups = vec![vec![Axis::Batch]];
        // The next one last.
        let mut rest: Vec<Axis> = in_order[1..].iter().rev().copied().collect();
        for size in sizes {
            let (mut group, mut have) = (Vec::new(), 1);
            while have < size {
                let mut next = rest.pop().ok_or_else(mixed)?;
                if have * next.size(shape) > size
                    && let Some([outer, inner]) = next.grouped(size / have, shape)
                {
                    rest.push(inner);
                    next = outer;
                }
                have *= next.size(shape);
                group.push(next);
            }
            if have != size {
                return Err(format!("{size} elements are no whole axes of {shape} images"));
            }
            groups.push(joined(group));
        }
        Ok(Layout(groups))
    }

    /// The groups of channels that stand within each other in one axis, the members outside: the
    /// channels in another order.
    pub(super) fn shuffled(&self) -> Option<u32> {
        let mut pairs = self.0.iter().flat_map(|axes| axes.windows(2));
        pairs.find_map(|pair| match *pair {
            [Axis::Member(groups), Axis::Group(others)] if groups == others => Some(groups),
            _ => None,
        })
    }

    /// [`Self::shuffled`] channels as channels in order.
    pub(super) fn in_order(&self) -> Layout {
        let order = |axes: &Vec<Axis>| {
            let mut axes = axes.clone();
            for at in 1..axes.len() {
                if let [Axis::Member(groups), Axis::Group(_)] = axes[at - 1..=at] {
                    axes[at - 1..=at].copy_from_slice(&[Axis::Group(groups), Axis::Member(groups)]);
                }
            }
            joined(axes)
        };
        Layout(self.0.iter().map(order).collect())
    }

    /// The same axes for images of `shape`, which has fewer or more of everything.
    pub(super) fn resized(&self, shape: Shape) -> Layout {
        let groups: Vec<&[Axis]> = self.0.iter().map(|group| &group[..]).collect();
        Layout::new(&groups, shape)
    }

    fn features(&self, shape: Shape) -> u64 {
        self.0.concat().iter().map(|axis| axis.size(shape)).product()
    }

    /// For every feature of axis `index` in the order of the file, its place in C, H, W order.
    pub(super) fn feature_places(&self, index: usize, shape: Shape) -> Vec<usize> {
        let (rows, columns) = (u64::from(shape.height), u64::from(shape.width));
        let step = |axis: Axis| match axis {
            Axis::Batch | Axis::Column => 1,
            Axis::Row => columns,
            Axis::Channel | Axis::Member(_) => rows * columns,
            Axis::Group(groups) => u64::from(shape.channels / groups) * rows * columns,
        };
        let mut places = vec![0usize];
        for &axis in &self.0[index] {
            let size = axis.size(shape);
            let inner =
                |&place: &usize| (0..size).map(move |at| place + (at * step(axis)) as usize);
            places = places.iter().flat_map(inner).collect();
        }
        places
    }
}

/// `axes` with groups of channels and their members behind them as channels.
fn joined(axes: Vec<Axis>) -> Vec<Axis> {
    let mut all: Vec<Axis> = Vec::new();
    for axis in axes {
        match (all.last_mut(), axis) {
            (Some(last), Axis::Member(groups)) if *last == Axis::Group(groups) => {
                *last = Axis::Channel;
            }
            _ => all.push(axis),
        }
    }
    all
}

/// The place of `axis`, which may be counted from the end, among `rank`.
pub(super) fn place(axis: i64, rank: usize) -> Fallible<usize> {
    let from_front = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let place = from_front.and_then(|axis| usize::try_from(axis).ok());
    place.filter(|&place| place < rank).ok_or_else(|| format!("axis {axis} of {rank} axes"))
}

#[cfg(test)]
mod tests {
    use super::{Axis::*, *};

    const SHAPE: Shape = Shape::new(3, 4, 5);

    #[test]
    fn reshapes_keep_images_apart() {
        let images = Layout::images(SHAPE);
        let rows = Layout::rows(SHAPE);
        let reshaped = |target: &[i64]| images.reshaped(target, false, None, SHAPE);
        for target in [&[-1i64, 60][..], &[0, -1], &[BATCH, -1], &[BATCH, 60]] {
            assert_eq!(reshaped(target), Ok(rows.clone()), "{target:?}");
        }
        for target in [&[1i64, -1][..], &[-1, 97], &[-1], &[-1, -1], &[0, 7, -1], &[], &[2, 60]] {
            assert!(reshaped(target).is_err(), "{target:?}");
        }
        assert_eq!(images.reshaped(&[2, 60], true, Some(2), SHAPE), Ok(rows.clone()));
        assert!(images.reshaped(&[0, 60], true, None, SHAPE).is_err());
        assert_eq!(rows.reshaped(&[-1, 3, 4, 5], false, None, SHAPE), Ok(images.clone()));
        assert!(reshaped(&[0, 3, 2, 2, 5]).unwrap_err().contains("whole axes"));
    }

    #[test]
    fn channels_are_shuffled_in_groups() {
        let shape = Shape::new(6, 4, 5);
        let images = Layout::images(shape);
        let grouped = images.reshaped(&[0, 2, 3, 4, 5], false, None, shape).unwrap();
        assert_eq!((grouped.rank(), grouped.shuffled()), (5, None));
        assert_eq!(grouped.reshaped(&[0, 6, 4, 5], false, None, shape), Ok(images.clone()));
        let moved = grouped.transposed(&[0, 2, 1, 3, 4]).unwrap();
        let shuffled = moved.reshaped(&[-1, 6, 4, 5], false, None, shape).unwrap();
        assert_eq!(shuffled.shuffled(), Some(2));
        assert_eq!(shuffled.feature_places(1, shape), [0, 60, 20, 80, 40, 100]);
        assert_eq!(shuffled.in_order(), images);
        assert!(images.reshaped(&[0, 4, 30, 1], false, None, shape).is_err());
    }

    #[test]
    fn axes_follow_transposes() {
        let last = Layout::images(SHAPE).transposed(&[0, 2, 3, 1]).unwrap();
        assert_eq!(last, Layout::channels_last(SHAPE));
        assert_eq!(last.transposed(&[0, 3, 1, 2]), Ok(Layout::images(SHAPE)));
        assert!(last.transposed(&[0, 1, 1, 2]).is_err());
        let flat = last.flattened(1).unwrap();
        // The second feature of the file is the second channel of the first pixel.
        assert_eq!(flat.feature_places(1, SHAPE)[..4], [0, 20, 40, 1]);
        assert_eq!(Layout::rows(SHAPE).feature_places(1, SHAPE), (0..60).collect::<Vec<_>>());
    }

    #[test]
    fn axes_of_one_element_come_and_go() {
        let pooled = Shape::new(3, 1, 1);
        let images = Layout::images(pooled);
        assert_eq!(images.squeezed(Some(&[2, -1]), pooled), Ok(Layout::rows(pooled)));
        assert_eq!(images.squeezed(None, pooled), Ok(Layout::rows(pooled)));
        assert_eq!(Layout::rows(pooled).unsqueezed(&[2, 3]), Ok(images.clone()));
        assert!(images.squeezed(Some(&[1]), pooled).is_err());
        assert_eq!(images.axis(1), [Channel]);
    }
}
