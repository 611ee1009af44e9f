//! What power a host draws by its use of CPU, fitted to what was measured: a `POWER_CURVE`.
//!
//! Least squares over watts at five equal steps of utilisation, linear between. Where nothing was
//! measured a curve goes on as it comes, for bends cost a little. It knows no store and no meter.

use super::linear;

/// Steps of a curve, 0 to 100 %.
pub const KNOTS: usize = 5;

/// Points that a fit needs: two days of quarters of an hour.
pub const FEWEST: usize = 192;

/// What a bend costs against the squared errors of as many points: it decides only where
/// nothing was measured.
const STIFFNESS: f64 = 1e-3;

/// A curve and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Watts at 0, 25, 50, 75 and 100 %.
    pub watts: [f64; KNOTS],
    /// Share of the variance of the measured watts that it explains; 1 where there is none.
    pub r2: f64,
    /// Standard deviation of measured minus fitted, watts.
    pub error: f64,
    /// Points.
    pub points: usize,
    /// Least and most use that was seen, 0 to 1.
    pub seen: (f64, f64),
}

impl Curve {
    /// As an attribute of a host.
    #[must_use]
    pub fn attribute(&self) -> String {
        let watts: Vec<String> = self.watts.iter().map(|watts| format!("{watts:.0}")).collect();
        format!("POWER_CURVE = \"{}\"", watts.join(","))
    }

    fn at(&self, busy: f64) -> f64 {
        shares(busy).iter().zip(&self.watts).map(|(share, watts)| share * watts).sum()
    }
}

/// What each knot counts at a use.
fn shares(busy: f64) -> [f64; KNOTS] {
    let at = busy.clamp(0.0, 1.0) * (KNOTS - 1) as f64;
    std::array::from_fn(|knot| (1.0 - (at - knot as f64).abs()).max(0.0))
}

/// Fits a curve to (use, watts); `None` with fewer than [`FEWEST`] points.
#[must_use]
pub fn fit(points: &[(f64, f64)]) -> Option<Curve> {
    let usable = |(busy, watts): &(f64, f64)| (0.0..=1.0).contains(busy) && *watts >= 0.0 && watts.is_finite();
    let points: Vec<(f64, f64)> = points.iter().copied().filter(usable).collect();
    if points.len() < FEWEST {
        return None;
    }
    let bends = (1..KNOTS - 1).map(|knot| {
        let mut bend = [0.0; KNOTS];
        (bend[knot - 1], bend[knot], bend[knot + 1]) = (1.0, -2.0, 1.0);
        bend
    });
    let weight = (STIFFNESS * points.len() as f64).sqrt();
    let rows = points.iter().map(|(busy, watts)| (shares(*busy), *watts));
    let rows = rows.chain(bends.map(|bend| (bend.map(|x| x * weight), 0.0)));
    let (least, most) = points
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), (busy, _)| (least.min(*busy), most.max(*busy)));
    let watts = linear::least_squares(rows)?.map(|watts| watts.max(0.0));
    let mut curve = Curve { watts, r2: 1.0, error: 0.0, points: points.len(), seen: (least, most) };
    let count = points.len() as f64;
    let mean = points.iter().map(|(_, watts)| watts).sum::<f64>() / count;
    let around = points.iter().map(|(_, watts)| (watts - mean).powi(2)).sum::<f64>();
    let left = points.iter().map(|(busy, watts)| (watts - curve.at(*busy)).powi(2)).sum::<f64>();
    curve.error = (left / count).sqrt();
    if around > 0.0 {
        curve.r2 = 1.0 - left / around;
    }
    Some(curve)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(from: f64, to: f64, watts: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let at = |i: i32| from + (to - from) * f64::from(i) / 999.0;
        // what a meter adds has no mean
        (0..1000).map(|i| (at(i), watts(at(i)) + if i % 2 == 0 { 3.0 } else { -3.0 })).collect()
    }

    #[test]
    fn a_curve_is_found_again() {
        let bent = |busy: f64| if busy < 0.5 { 100.0 + 160.0 * busy } else { 180.0 + 80.0 * (busy - 0.5) };
        let curve = fit(&points(0.0, 1.0, bent)).unwrap();
        for (watts, expected) in curve.watts.iter().zip([100.0, 140.0, 180.0, 200.0, 220.0]) {
            assert!((watts - expected).abs() < 1.0, "{curve:?}");
        }
        assert!(curve.r2 > 0.99 && (curve.error - 3.0).abs() < 0.1, "{curve:?}");
        assert_eq!(curve.attribute(), "POWER_CURVE = \"100,140,180,200,220\"");
    }

    #[test]
    fn where_nothing_was_seen_it_goes_on_straight() {
        let curve = fit(&points(0.05, 0.3, |busy| 100.0 + 200.0 * busy)).unwrap();
        assert!((curve.watts[0] - 100.0).abs() < 2.0 && (curve.watts[4] - 300.0).abs() < 12.0, "{curve:?}");
        assert!((curve.seen.0 - 0.05).abs() < 1e-9 && (curve.seen.1 - 0.3).abs() < 1e-9);
        // one use alone says one thing alone
        let flat = fit(&points(0.1, 0.1, |_| 150.0)).unwrap();
        assert!(flat.watts.iter().all(|watts| watts.is_finite() && *watts >= 0.0), "{flat:?}");
    }

    #[test]
    fn few_points_or_none_give_no_curve() {
        let all = points(0.0, 1.0, |busy| 100.0 * busy);
        assert_eq!(fit(&all[..FEWEST - 1]), None);
        let wrong: Vec<(f64, f64)> = all.iter().map(|(busy, _)| (*busy, f64::NAN)).collect();
        assert_eq!(fit(&wrong), None);
    }

    #[test]
    fn a_use_lies_between_two_knots() {
        for (busy, expected) in [
            (0.0, [1.0, 0.0, 0.0, 0.0, 0.0]),
            (0.125, [0.5, 0.5, 0.0, 0.0, 0.0]),
            (0.5, [0.0, 0.0, 1.0, 0.0, 0.0]),
            (0.9375, [0.0, 0.0, 0.0, 0.25, 0.75]),
            (7.0, [0.0, 0.0, 0.0, 0.0, 1.0]),
            (-7.0, [1.0, 0.0, 0.0, 0.0, 0.0]),
        ] {
            assert_eq!(shares(busy), expected, "{busy}");
        }
        let curve =
            Curve { watts: [100.0, 140.0, 180.0, 200.0, 220.4], r2: 1.0, error: 0.0, points: 0, seen: (0.0, 1.0) };
        assert_eq!((curve.at(0.125), curve.at(0.75), curve.at(2.0)), (120.0, 200.0, 220.4));
        assert_eq!(curve.attribute(), "POWER_CURVE = \"100,140,180,200,220\"");
    }

    #[test]
    fn what_is_told_of_a_fit_is_what_was_measured() {
        // two uses with watts of 97 and 103, and of 197 and 203: what is off is 3 everywhere
        let off = |i: usize| if i % 4 < 2 { 3.0 } else { -3.0 };
        let at = |i: usize| if i.is_multiple_of(2) { (0.25, 100.0 + off(i)) } else { (0.75, 200.0 + off(i)) };
        let mut measured: Vec<(f64, f64)> = (0..FEWEST).map(at).collect();
        // none of these is a use or watts
        measured.extend([(-0.1, 100.0), (1.1, 100.0), (0.5, -1.0), (0.5, f64::INFINITY), (f64::NAN, 100.0)]);
        let curve = fit(&measured).unwrap();
        assert_eq!((curve.points, curve.seen), (FEWEST, (0.25, 0.75)));
        assert!((curve.error - 3.0).abs() < 1e-3, "{curve:?}");
        // 9 of 2509 are left
        assert!((curve.r2 - 2500.0 / 2509.0).abs() < 1e-6, "{curve:?}");
        assert!((curve.watts[0] - 50.0).abs() < 0.5 && (curve.watts[4] - 250.0).abs() < 0.5, "{curve:?}");
        // nothing varies: nothing is left to explain
        let still = fit(&[(0.5, 100.0); FEWEST]).unwrap();
        assert!((still.r2, still.points) == (1.0, FEWEST) && still.error < 1e-6, "{still:?}");
        assert_eq!(fit(&[(0.5, 100.0); FEWEST - 1]), None);
        // the edges are uses, and no watts are watts
        let edges = fit(&[[(0.0, 0.0); FEWEST / 2], [(1.0, 100.0); FEWEST / 2]].concat()).unwrap();
        assert_eq!((edges.points, edges.seen), (FEWEST, (0.0, 1.0)));
        // where a line would fall below nothing there is nothing
        let steep = fit(&points(0.5, 1.0, |busy| 10.0 + 200.0 * (busy - 0.5))).unwrap();
        assert_eq!(steep.watts[0], 0.0);
    }
}
