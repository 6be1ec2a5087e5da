//! Boxes in columns from left to right along their edges, with few crossings.
//!
//! The steps are those of Sugiyama's method: break cycles, give every box a column, cut long edges into pieces, order each
//! column by the middle of its neighbours, then move boxes towards their neighbours as far as order and distances allow. The
//! same input always gives the same places.

/// Width and height.
pub(super) type Size = (f64, f64);
/// A middle.
pub(super) type Point = (f64, f64);

/// Rounds over all columns in which orders are improved.
const SWEEPS: usize = 12;
/// Rounds in which boxes are moved towards their neighbours.
const MOVES: usize = 8;
/// The most columns that an edge is followed through piece by piece.
const LONGEST: usize = 24;

/// Space between columns and between the boxes of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gaps {
    pub(super) column: f64,
    pub(super) row: f64,
}

/// The middles of `boxes`, from (0, 0) on, and the size of all together.
pub(super) fn layered(boxes: &[Size], edges: &[(usize, usize)], gaps: Gaps) -> (Vec<Point>, Size) {
    let mut columns = Columns::new(boxes, edges);
    columns.order();
    columns.place(gaps)
}

/// The column of each box, ordered within it as [`layered`] would; for callers that place the boxes themselves.
pub(super) fn reading_order(boxes: &[Size], edges: &[(usize, usize)]) -> Vec<usize> {
    let mut columns = Columns::new(boxes, edges);
    columns.order();
    columns.columns.iter().flatten().copied().filter(|v| *v < boxes.len()).collect()
}

/// Boxes, and after them the pieces of long edges, in columns.
struct Columns {
    sizes: Vec<Size>,
    /// Neighbours in the column before and in the column behind.
    before: Vec<Vec<usize>>,
    behind: Vec<Vec<usize>>,
    columns: Vec<Vec<usize>>,
    rank: Vec<usize>,
}

impl Columns {
    fn new(boxes: &[Size], edges: &[(usize, usize)]) -> Self {
        let forward = without_cycles(boxes.len(), edges);
        let rank = ranks(boxes.len(), &forward);
        let width = rank.iter().max().map_or(0, |r| r + 1);
        let mut all = Self {
            sizes: boxes.to_vec(),
            before: vec![Vec::new(); boxes.len()],
            behind: vec![Vec::new(); boxes.len()],
            columns: vec![Vec::new(); width],
            rank,
        };
        for v in 0..boxes.len() {
            all.columns[all.rank[v]].push(v);
        }
        for (from, to) in forward {
            all.connect(from, to);
        }
        all
    }

    /// Connects two boxes by pieces in the columns between them.
    fn connect(&mut self, from: usize, to: usize) {
        let (first, last) = (self.rank[from], self.rank[to]);
        if last - first > LONGEST {
            return;
        }
        let mut at = from;
        for column in first + 1..last {
            let piece = self.sizes.len();
            self.sizes.push((0.0, 0.0));
            self.before.push(Vec::new());
            self.behind.push(Vec::new());
            self.rank.push(column);
            self.columns[column].push(piece);
            self.link(at, piece);
            at = piece;
        }
        self.link(at, to);
    }

    fn link(&mut self, from: usize, to: usize) {
        self.behind[from].push(to);
        self.before[to].push(from);
    }

    /// Orders every column, back and forth; the best order seen stays.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.columns.clone());
        for sweep in 0..SWEEPS {
            if best.0 == 0 {
                break;
            }
            let along = sweep % 2 == 0;
            let mut place = positions(&self.columns, self.sizes.len());
            let count = self.columns.len();
            for step in 1..count {
                let column = if along { step } else { count - 1 - step };
                let near = if along { &self.before } else { &self.behind };
                let middle = |v: usize| {
                    #[allow(clippy::cast_precision_loss, reason = "thousands")]
                    let own = place[v] as f64;
                    #[allow(clippy::cast_precision_loss, reason = "thousands")]
                    mean(near[v].iter().map(|n| place[*n] as f64)).unwrap_or(own)
                };
                let mut keyed: Vec<(f64, usize)> =
                    self.columns[column].iter().map(|v| (middle(*v), *v)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                for (at, (_, v)) in keyed.iter().enumerate() {
                    place[*v] = at;
                }
                self.columns[column] = keyed.into_iter().map(|(_, v)| v).collect();
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.columns.clone());
            }
        }
        self.columns = best.1;
    }

    /// How many pairs of edges between neighbouring columns cross.
    fn crossings(&self) -> usize {
        let place = positions(&self.columns, self.sizes.len());
        self.columns.windows(2).map(|pair| self.crossings_between(&pair[0], pair[1].len(), &place)).sum()
    }

    /// Counted with a Fenwick tree over the places of the right column.
    fn crossings_between(&self, left: &[usize], right: usize, place: &[usize]) -> usize {
        let mut tree = vec![0_usize; right + 1];
        let (mut crossings, mut seen) = (0, 0);
        for v in left {
            let mut ends: Vec<usize> = self.behind[*v].iter().map(|to| place[*to]).collect();
            ends.sort_unstable();
            for end in &ends {
                let (mut not_above, mut at) = (0, end + 1);
                while at > 0 {
                    not_above += tree[at];
                    at &= at - 1;
                }
                crossings += seen - not_above;
            }
            for end in ends {
                let mut at = end + 1;
                while at < tree.len() {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
                seen += 1;
            }
        }
        crossings
    }

    fn place(&self, gaps: Gaps) -> (Vec<Point>, Size) {
        let mut y = vec![0.0; self.sizes.len()];
        for column in &self.columns {
            let mut at = 0.0;
            for v in column {
                y[*v] = at + self.sizes[*v].1 / 2.0;
                at += self.sizes[*v].1 + gaps.row;
            }
        }
        for round in 0..MOVES {
            let near = if round % 2 == 0 { &self.before } else { &self.behind };
            for step in 0..self.columns.len() {
                let column = if round % 2 == 0 { step } else { self.columns.len() - 1 - step };
                self.settle(&self.columns[column], near, gaps.row, &mut y);
            }
        }
        let boxes = self.columns.iter().flatten().filter(|v| self.is_box(**v));
        let top = boxes.map(|v| y[*v] - self.sizes[*v].1 / 2.0).fold(f64::INFINITY, f64::min);
        let top = if top.is_finite() { top } else { 0.0 };
        let mut points = vec![(0.0, 0.0); self.sizes.len()];
        let (mut x, mut height) = (0.0_f64, 0.0_f64);
        for column in &self.columns {
            let width = column.iter().map(|v| self.sizes[*v].0).fold(0.0, f64::max);
            for v in column {
                points[*v] = (x + width / 2.0, y[*v] - top);
                if self.is_box(*v) {
                    height = height.max(y[*v] - top + self.sizes[*v].1 / 2.0);
                }
            }
            x += width + gaps.column;
        }
        let boxes = self.sizes.iter().take_while(|s| s.1 > 0.0).count();
        points.truncate(boxes);
        (points, ((x - gaps.column).max(0.0), height))
    }

    fn is_box(&self, v: usize) -> bool {
        self.sizes[v].1 > 0.0
    }

    /// Moves the boxes of a column to the middles of their neighbours, as near as order and distances allow: the least squares
    /// under an order, by pooling neighbours that would be out of order.
    fn settle(&self, column: &[usize], near: &[Vec<usize>], gap: f64, y: &mut [f64]) {
        let mut offset = 0.0;
        let mut offsets = Vec::with_capacity(column.len());
        let mut pools: Vec<(f64, usize)> = Vec::with_capacity(column.len());
        for (at, v) in column.iter().enumerate() {
            if at > 0 {
                let before = column[at - 1];
                offset += f64::midpoint(self.sizes[before].1, self.sizes[*v].1) + gap;
            }
            offsets.push(offset);
            let wanted = mean(near[*v].iter().map(|n| y[*n])).unwrap_or(y[*v]) - offset;
            pools.push((wanted, 1));
            while let [.., (left, m), (right, n)] = pools[..]
                && left > right
            {
                #[allow(clippy::cast_precision_loss, reason = "thousands")]
                let (a, b) = (m as f64, n as f64);
                pools.truncate(pools.len() - 2);
                pools.push(((left * a + right * b) / (a + b), m + n));
            }
        }
        let wanted = pools.iter().flat_map(|(value, count)| std::iter::repeat_n(*value, *count));
        for ((v, offset), value) in column.iter().zip(offsets).zip(wanted) {
            y[*v] = value + offset;
        }
    }
}

/// Edges with those turned round that would close a cycle; without loops and repetitions.
fn without_cycles(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut next = vec![Vec::new(); count];
    let mut entered = vec![false; count];
    for (from, to) in edges.iter().filter(|(from, to)| from != to) {
        next[*from].push(*to);
        entered[*to] = true;
    }
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut state = vec![State::New; count];
    let mut forward = Vec::with_capacity(edges.len());
    // Where nobody calls is where reading begins.
    let roots = (0..count).filter(|v| !entered[*v]).chain((0..count).filter(|v| entered[*v]));
    for root in roots.collect::<Vec<_>>() {
        let mut stack = vec![(root, 0)];
        while let Some((v, at)) = stack.pop() {
            if at == 0 {
                if state[v] != State::New {
                    continue;
                }
                state[v] = State::Open;
            }
            let Some(&to) = next[v].get(at) else {
                state[v] = State::Done;
                continue;
            };
            stack.push((v, at + 1));
            match state[to] {
                State::Open => forward.push((to, v)),
                State::New => {
                    forward.push((v, to));
                    stack.push((to, 0));
                }
                State::Done => forward.push((v, to)),
            }
        }
    }
    forward.sort_unstable();
    forward.dedup();
    forward
}

/// The longest path to each box; whatever nobody calls stands directly before what it calls.
fn ranks(count: usize, forward: &[(usize, usize)]) -> Vec<usize> {
    let mut next = vec![Vec::new(); count];
    let mut open = vec![0; count];
    for (from, to) in forward {
        next[*from].push(*to);
        open[*to] += 1;
    }
    let entered: Vec<bool> = open.iter().map(|o| *o > 0).collect();
    let mut rank = vec![0_usize; count];
    let mut ready: Vec<usize> = (0..count).filter(|v| open[*v] == 0).collect();
    while let Some(v) = ready.pop() {
        for to in &next[v] {
            rank[*to] = rank[*to].max(rank[v] + 1);
            open[*to] -= 1;
            if open[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    for v in (0..count).filter(|v| !entered[*v]) {
        if let Some(nearest) = next[v].iter().map(|to| rank[*to]).min() {
            rank[v] = nearest.saturating_sub(1);
        }
    }
    rank
}

fn positions(columns: &[Vec<usize>], count: usize) -> Vec<usize> {
    let mut place = vec![0; count];
    for column in columns {
        for (at, v) in column.iter().enumerate() {
            place[*v] = at;
        }
    }
    place
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAPS: Gaps = Gaps { column: 100.0, row: 10.0 };

    fn same(count: usize, edges: &[(usize, usize)]) -> Vec<Point> {
        layered(&vec![(100.0, 40.0); count], edges, GAPS).0
    }

    #[test]
    fn callers_stand_left_of_whom_they_call() {
        let points = same(5, &[(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]);
        assert!(points[0].0 < points[1].0 && points[1].0 < points[3].0 && points[3].0 < points[4].0);
        assert!((points[1].0 - points[2].0).abs() < 1e-9, "one column");
        // Between its two ways.
        assert!((points[0].1 - f64::midpoint(points[1].1, points[2].1)).abs() < 1.0, "{points:?}");
    }

    #[test]
    fn two_lines_do_not_cross() {
        let points = same(4, &[(0, 3), (1, 2)]);
        assert_eq!(points[0].1 < points[1].1, points[3].1 < points[2].1);
    }

    #[test]
    fn cycles_and_loops_end() {
        let points = same(3, &[(0, 1), (1, 2), (2, 0), (1, 1)]);
        assert!(points[0].0 < points[1].0 && points[1].0 < points[2].0, "{points:?}");
        assert!(same(0, &[]).is_empty());
    }

    #[test]
    fn boxes_never_touch() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..50 {
            let count = random.usize(1..60);
            let sizes: Vec<Size> =
                (0..count).map(|_| (random.f64() * 200.0 + 1.0, random.f64() * 200.0 + 1.0)).collect();
            let edges: Vec<_> =
                (0..count * 2).map(|_| (random.usize(0..count), random.usize(0..count))).collect();
            let (points, (width, height)) = layered(&sizes, &edges, GAPS);
            for (a, pa) in points.iter().enumerate() {
                assert!(pa.0 >= 0.0 && pa.0 <= width && pa.1 >= 0.0 && pa.1 <= height + 1e-6);
                for (b, pb) in points.iter().enumerate().take(a) {
                    let apart = (pa.0 - pb.0).abs() >= (sizes[a].0 + sizes[b].0) / 2.0 - 1e-6
                        || (pa.1 - pb.1).abs() >= (sizes[a].1 + sizes[b].1) / 2.0 - 1e-6;
                    assert!(apart, "{a} {b}: {pa:?} {pb:?}");
                }
            }
        }
    }
}
