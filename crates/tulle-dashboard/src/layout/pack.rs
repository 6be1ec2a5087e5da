//! Rooms beside each other, and what nothing leads to.

use super::layered::{Gaps, Point, Size, layered, reading_order};

/// Space between frames.
const OUTER: Gaps = Gaps { column: 130.0, row: 48.0 };
/// How wide a picture may be for its height, and how narrow.
const WIDEST: f64 = 3.2;
const NARROWEST: f64 = 0.4;
/// The shape that is filled row by row where layers would be out of these.
const SHAPE: f64 = 1.7;

/// The middles of rooms: in layers, or, where these would be a long strip, in rows of the same order.
pub(super) fn place(rooms: &[Size], edges: &[(usize, usize)]) -> Vec<Point> {
    let (points, (width, height)) =
        with_loose(rooms, edges, OUTER, |rooms, edges| layered(rooms, edges, OUTER));
    let shape = width / height.max(1.0);
    if rooms.len() <= 6 || (NARROWEST..=WIDEST).contains(&shape) {
        return points;
    }
    in_rows(rooms, &reading_order(rooms, edges), OUTER, SHAPE).0
}

/// What has edges as `connected` places it; what has none in rows below.
pub(super) fn with_loose(
    boxes: &[Size],
    edges: &[(usize, usize)],
    gaps: Gaps,
    connected: impl Fn(&[Size], &[(usize, usize)]) -> (Vec<Point>, Size),
) -> (Vec<Point>, Size) {
    let mut tied = vec![false; boxes.len()];
    for (from, to) in edges.iter().filter(|(from, to)| from != to) {
        (tied[*from], tied[*to]) = (true, true);
    }
    let (held, loose): (Vec<usize>, Vec<usize>) = (0..boxes.len()).partition(|v| tied[*v]);
    let mut place_of = vec![0; boxes.len()];
    for (at, v) in held.iter().enumerate() {
        place_of[*v] = at;
    }
    let sizes: Vec<Size> = held.iter().map(|v| boxes[*v]).collect();
    let inner: Vec<(usize, usize)> = edges
        .iter()
        .filter(|(from, to)| tied[*from] && tied[*to])
        .map(|(from, to)| (place_of[*from], place_of[*to]))
        .collect();
    let (upper, upper_size) = connected(&sizes, &inner);
    let sizes: Vec<Size> = loose.iter().map(|v| boxes[*v]).collect();
    let order: Vec<usize> = (0..loose.len()).collect();
    let (lower, lower_size) = in_rows(&sizes, &order, gaps, SHAPE);
    let shift = if held.is_empty() { 0.0 } else { upper_size.1 + gaps.row };
    let mut points = vec![(0.0, 0.0); boxes.len()];
    for (v, point) in held.iter().zip(upper) {
        points[*v] = point;
    }
    for (v, (x, y)) in loose.iter().zip(lower) {
        points[*v] = (x, y + shift);
    }
    let height = if loose.is_empty() { upper_size.1 } else { shift + lower_size.1 };
    (points, (upper_size.0.max(lower_size.0), height))
}

/// Boxes in rows, in that order, so that all together have about that shape (width through height).
fn in_rows(boxes: &[Size], order: &[usize], gaps: Gaps, shape: f64) -> (Vec<Point>, Size) {
    let area: f64 = boxes.iter().map(|(w, h)| (w + gaps.column) * (h + gaps.row)).sum();
    let widest = boxes.iter().map(|b| b.0).fold(0.0, f64::max);
    let limit = (area * shape).sqrt().max(widest);
    let mut points = vec![(0.0, 0.0); boxes.len()];
    let (mut x, mut y, mut row, mut width) = (0.0_f64, 0.0, 0.0_f64, 0.0_f64);
    for v in order {
        let (w, h) = boxes[*v];
        if x > 0.0 && x + w > limit {
            (x, y, row) = (0.0, y + row + gaps.row, 0.0);
        }
        points[*v] = (x + w / 2.0, y + h / 2.0);
        width = width.max(x + w);
        row = row.max(h);
        x += w + gaps.column;
    }
    (points, (width, y + row))
}
