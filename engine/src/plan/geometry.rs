//! Where things lie in a drawing: scatter of points and its main axis, the order of seats along a row that may be slanted
//! or curved. Only additions, products, quotients and square roots, in a fixed order of points: a plan has the same layout on
//! every machine. Must never know what a seat is.

/// A place, or a direction, in a drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Point {
    pub(super) fn of((x, y): (f32, f32)) -> Self {
        Self { x: f64::from(x), y: f64::from(y) }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { x: self.x + other.x, y: self.y + other.y }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self { x: self.x - other.x, y: self.y - other.y }
    }

    pub(super) fn times(self, factor: f64) -> Self {
        Self { x: self.x * factor, y: self.y * factor }
    }

    pub(super) fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y
    }

    /// How far `other` lies to the right of this direction, in a drawing whose `y` grows downwards.
    pub(super) fn cross(self, other: Self) -> f64 {
        self.x * other.y - self.y * other.x
    }

    pub(super) fn length(self) -> f64 {
        self.dot(self).sqrt()
    }

    pub(super) fn distance(self, other: Self) -> f64 {
        self.minus(other).length()
    }

    /// The direction of this vector; none if it is no longer than `shortest`.
    pub(super) fn direction(self, shortest: f64) -> Option<Self> {
        let length = self.length();
        (length > shortest && length > 0.0).then(|| self.times(1.0 / length))
    }

    /// A quarter turn.
    pub(super) fn turned(self) -> Self {
        Self { x: -self.y, y: self.x }
    }
}

pub(super) fn mean(points: &[Point]) -> Point {
    let sum = points.iter().fold(Point::default(), |sum, point| sum.plus(*point));
    sum.times(1.0 / points.len().max(1) as f64)
}

/// How points are scattered about their means: sums of squares, to which those of other groups may be added.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scatter {
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Scatter {
    pub(super) fn of(points: &[Point]) -> Self {
        let middle = mean(points);
        points.iter().fold(Self::default(), |sum, point| {
            let off = point.minus(middle);
            Self { xx: sum.xx + off.x * off.x, xy: sum.xy + off.x * off.y, yy: sum.yy + off.y * off.y }
        })
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { xx: self.xx + other.xx, xy: self.xy + other.xy, yy: self.yy + other.yy }
    }

    /// The scatter along the main axis, and across it.
    fn spreads(self) -> (f64, f64) {
        let (half, off) = ((self.xx + self.yy) / 2.0, (self.xx - self.yy) / 2.0);
        let root = (off * off + self.xy * self.xy).sqrt();
        (half + root, (half - root).max(0.0))
    }

    /// The direction in which points are scattered most: to the right in the drawing, or downwards where it is rather upright.
    pub(super) fn axis(self) -> Point {
        let (along, _) = self.spreads();
        let one = Point { x: along - self.yy, y: self.xy };
        let other = Point { x: self.xy, y: along - self.xx };
        let longer = if one.dot(one) >= other.dot(other) { one } else { other };
        rightwards(longer.direction(0.0).unwrap_or(Point { x: 1.0, y: 0.0 }))
    }

    /// How much more they are scattered along the axis than across it, as a ratio of squares.
    pub(super) fn elongation(self) -> f64 {
        let (along, across) = self.spreads();
        if across > 0.0 {
            along / across
        } else if along > 0.0 {
            f64::INFINITY
        } else {
            1.0
        }
    }
}

/// The same direction or its opposite: to the right, or downwards where it is rather upright.
pub(super) fn rightwards(direction: Point) -> Point {
    let is_upright = direction.y.abs() > direction.x.abs();
    let leads = if is_upright { direction.y } else { direction.x };
    if leads < 0.0 { direction.times(-1.0) } else { direction }
}

/// Rows that bend by less than this (scatter across their axis to that along it) are in order along the axis; a half circle
/// has 0.23.
const BENT: f64 = 0.1;
/// An order around a centre must be so much shorter than the one along the axis.
const SHORTER: f64 = 0.95;
/// Fewer seats have no bend to speak of.
const FEWEST_BENT: usize = 5;

/// The order of a row's seats along it, as indexes into `points`, from left to right in the drawing (downwards where the row
/// is rather upright). Of seats at one place the earlier comes first.
pub(super) fn along(points: &[Point]) -> Vec<usize> {
    let scatter = Scatter::of(points);
    let axis = scatter.axis();
    let mut order: Vec<usize> = (0..points.len()).collect();
    let place = |at: usize| (points[at].dot(axis), axis.cross(points[at]));
    order.sort_by(|&a, &b| {
        let (a, b) = (place(a), place(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    if points.len() < FEWEST_BENT || scatter.elongation() > 1.0 / BENT {
        return order;
    }
    match around(points) {
        Some(bent) if path(points, &bent) < path(points, &order) * SHORTER => bent,
        Some(_) | None => order,
    }
}

/// The order around the centre of the circle that fits the points best, from the widest gap on.
fn around(points: &[Point]) -> Option<Vec<usize>> {
    let centre = circle(points)?;
    let mut order: Vec<usize> = (0..points.len()).collect();
    let turn = |at: usize| pseudo_angle(points[at].minus(centre));
    order.sort_by(|&a, &b| turn(a).total_cmp(&turn(b)).then(a.cmp(&b)));
    let count = order.len();
    let gap = |at: usize| points[order[at]].distance(points[order[(at + 1) % count]]);
    let widest = (0..count).map(gap).fold(0.0, f64::max);
    // Of gaps that are as wide (a closed ring) the lowest one in the drawing, then the rightmost.
    let low = |at: usize| {
        let between = points[order[at]].plus(points[order[(at + 1) % count]]);
        (between.y, between.x)
    };
    let cut = (0..count).filter(|&at| gap(at) >= widest * 0.99).max_by(|&a, &b| {
        let (a, b) = (low(a), low(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    })?;
    order.rotate_left((cut + 1) % count);
    let across = points[*order.last()?].minus(points[*order.first()?]);
    if rightwards(across) != across {
        order.reverse();
    }
    Some(order)
}

/// The centre of the circle that fits the points best (Kåsa's linear fit); none for points on a line.
fn circle(points: &[Point]) -> Option<Point> {
    let middle = mean(points);
    let Scatter { xx, xy, yy } = Scatter::of(points);
    let (u, v) = points.iter().fold((0.0, 0.0), |(u, v), point| {
        let off = point.minus(middle);
        let square = off.dot(off);
        (u + off.x * square, v + off.y * square)
    });
    let determinant = xx * yy - xy * xy;
    if determinant <= (xx + yy) * (xx + yy) * 1e-9 {
        return None;
    }
    let centre = Point { x: (u * yy - v * xy) / (2.0 * determinant), y: (v * xx - u * xy) / (2.0 * determinant) };
    Some(middle.plus(centre))
}

/// A number that grows with the angle, from 0 to 4, without a function that differs between machines.
fn pseudo_angle(off: Point) -> f64 {
    let sum = off.x.abs() + off.y.abs();
    if sum == 0.0 {
        return 0.0;
    }
    let slope = off.y / sum;
    if off.x < 0.0 {
        2.0 - slope
    } else if slope < 0.0 {
        4.0 + slope
    } else {
        slope
    }
}

/// How long the way from point to point is.
fn path(points: &[Point], order: &[usize]) -> f64 {
    order.windows(2).map(|pair| points[pair[0]].distance(points[pair[1]])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(places: &[(f64, f64)]) -> Vec<Point> {
        places.iter().map(|&(x, y)| Point { x, y }).collect()
    }

    /// An arc of so many degrees about the origin, its middle at the bottom of the drawing, its seats in a mixed order.
    fn arc(degrees: f64, seats: usize) -> (Vec<Point>, Vec<usize>) {
        let at = |number: usize| {
            let turn = (90.0 + degrees * (0.5 - number as f64 / (seats - 1) as f64)).to_radians();
            Point { x: 100.0 * turn.cos(), y: 100.0 * turn.sin() }
        };
        let mixed: Vec<usize> = (0..seats).map(|n| n * 7 % seats).collect();
        (mixed.iter().map(|&n| at(n)).collect(), mixed)
    }

    #[test]
    fn straight_slanted_and_upright_rows_are_in_order_along_their_axis() {
        assert_eq!(along(&points(&[(50.0, 0.0), (0.0, 0.0), (25.0, 0.0)])), [1, 2, 0]);
        assert_eq!(along(&points(&[(20.0, 10.0), (0.0, 0.0), (10.0, 5.0)])), [1, 2, 0]);
        assert_eq!(along(&points(&[(20.0, 0.0), (0.0, 10.0), (10.0, 5.0)])), [1, 2, 0]);
        assert_eq!(along(&points(&[(5.0, 40.0), (5.0, 0.0), (5.0, 20.0)])), [1, 2, 0]);
        assert_eq!(along(&points(&[(1.0, 1.0), (1.0, 1.0)])), [0, 1], "seats at one place keep their order");
    }

    #[test]
    fn arcs_of_any_length_are_in_order_along_them() {
        for (degrees, seats) in [(60.0, 9), (150.0, 13), (180.0, 13), (240.0, 20), (330.0, 23)] {
            let (points, mixed) = arc(degrees, seats);
            let order: Vec<usize> = along(&points).into_iter().map(|at| mixed[at]).collect();
            let straight: Vec<usize> = (0..seats).collect();
            assert_eq!(order, straight, "{degrees} degrees");
        }
    }

    #[test]
    fn a_closed_ring_is_cut_at_the_bottom() {
        let ring: Vec<Point> = (0..12)
            .map(|n| f64::from(n * 30 + 15).to_radians())
            .map(|turn| Point { x: turn.cos(), y: turn.sin() })
            .collect();
        let order = along(&ring);
        assert!(order.windows(2).all(|pair| ring[pair[0]].distance(ring[pair[1]]) < 0.6), "{order:?}");
        let (first, last) = (ring[order[0]], ring[order[11]]);
        assert!(first.y > 0.9 && last.y > 0.9 && first.x < last.x, "{first:?} {last:?}");
    }
}
