//! k-means on window statistics that keep the level of load. smartcore fits, from several
//! seeded starts; at run time a window goes to the nearest of the centroids kept here.
//!
//! Each statistic is divided by its deviation over the windows of the fit. Without a number
//! of classes, the one with the best silhouette is taken. There are never more classes than
//! windows that differ: k-means would give NaN without an error.

use super::clusters::{best_of, distinct, labels, silhouette, squared};
use super::{Classifier, FitError, Kind, Parts, PartsError, Training};
use crate::demand::features::{self, COUNT};
use crate::demand::window::Window;

/// For the registry.
pub const KIND: Kind = Kind {
    name: "kmeans",
    aliases: &["k-means"],
    about: "k-means on window statistics (settings: starts)",
    settings: &["starts"],
    fit: |training| Ok(Box::new(KMeans::fit(training)?)),
    load: |parts| Ok(Box::new(KMeans::load(parts)?)),
};

/// Fits are started from so many seeds; the one of least inertia counts.
const STARTS: f64 = 5.0;

/// Classes that are tried when nobody says how many.
const TRIED: std::ops::RangeInclusive<usize> = 3..=10;

/// More make no sense.
const MOST: usize = 200;

/// Differences below these are noise: percent of CPU and memory, logarithms of the rest.
const LEAST: Point = [5.0, 5.0, 5.0, 5.0, 5.0, 0.5, 0.5, 0.5];

type Point = [f64; COUNT];

/// Fitted centroids, in statistics over their scale.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    scale: Point,
    centroids: Vec<Point>,
}

impl KMeans {
    fn fit(training: &Training<'_>) -> Result<Self, FitError> {
        let points: Vec<Point> = training.windows.iter().map(features::of).collect();
        let scale = deviations(&points);
        let points: Vec<Point> = points.iter().map(|point| over(point, &scale)).collect();
        let different = distinct(&points);
        let starts = training.setting("starts", STARTS);
        if starts.fract() != 0.0 || !(1.0..=100.0).contains(&starts) {
            return Err(FitError::Setting(format!("starts must be a whole number from 1 to 100, not {starts}")));
        }
        let best = |k: usize| best_of(&points, k, starts as u64, training.seed);
        let centroids = match training.classes {
            Some(k) if !(1..=MOST).contains(&k) => {
                return Err(FitError::Setting(format!("classes must be from 1 to {MOST}, not {k}")));
            }
            Some(k) if k > different => return Err(FitError::TooFew { needed: k, found: different }),
            Some(k) => best(k)?,
            None if different == 0 => return Err(FitError::TooFew { needed: 1, found: 0 }),
            None => Self::chosen(&points, different, training, &best)?,
        };
        Ok(Self { scale, centroids: ordered(centroids) })
    }

    /// The number of classes with the best silhouette.
    fn chosen(
        points: &[Point],
        different: usize,
        training: &Training<'_>,
        best: &dyn Fn(usize) -> Result<Vec<Point>, FitError>,
    ) -> Result<Vec<Point>, FitError> {
        let mut found: Option<(f64, Vec<Point>)> = None;
        for k in TRIED.filter(|k| *k <= different) {
            let centroids = best(k)?;
            let silhouette = silhouette(points, &labels(points, &centroids));
            (training.progress)(&format!("{k} classes: silhouette {silhouette:.3}"));
            if found.as_ref().is_none_or(|(before, _)| silhouette > *before) {
                found = Some((silhouette, centroids));
            }
        }
        match found {
            Some((_, centroids)) => Ok(centroids),
            None => best(different),
        }
    }

    fn load(parts: &Parts) -> Result<Self, PartsError> {
        let (shape, values) = parts.array("centroids", 2)?;
        let (_, scale) = parts.array("scale", 1)?;
        let scale: Point = scale.try_into().map_err(|_| PartsError::Form("scale".to_owned()))?;
        if shape[0] == 0 || shape[1] != COUNT || scale.iter().any(|scale| *scale <= 0.0) {
            return Err(PartsError::Form("centroids".to_owned()));
        }
        let centroids = values.chunks_exact(COUNT).map(|row| std::array::from_fn(|j| row[j])).collect();
        Ok(Self { scale, centroids })
    }
}

impl Classifier for KMeans {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn distances(&self, window: &Window) -> Vec<f64> {
        let point = over(&features::of(window), &self.scale);
        self.centroids.iter().map(|centroid| squared(&point, centroid).sqrt()).collect()
    }

    fn parts(&self) -> Parts {
        let values = self.centroids.iter().flatten().copied().collect();
        Parts::default().with("scale", &[COUNT], self.scale.to_vec()).with(
            "centroids",
            &[self.centroids.len(), COUNT],
            values,
        )
    }
}

/// The deviation of each statistic, or what is noise where that is more.
fn deviations(points: &[Point]) -> Point {
    std::array::from_fn(|j| {
        let mean = features::mean(points.iter().map(|point| point[j]));
        let deviation = features::mean(points.iter().map(|point| (point[j] - mean).powi(2))).sqrt();
        deviation.max(LEAST[j])
    })
}

fn over(point: &Point, scale: &Point) -> Point {
    std::array::from_fn(|j| point[j] / scale[j])
}

/// By mean CPU, so that class numbers mean something.
fn ordered(mut centroids: Vec<Point>) -> Vec<Point> {
    centroids.sort_by(|a, b| {
        let order = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
        order.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    centroids
}

#[cfg(test)]
mod tests {
    use super::super::{fit, kind};
    use super::*;
    use std::collections::BTreeMap;

    fn window(cpu: f64, seed: u32) -> Window {
        let rows: Vec<_> = (0..112_u32)
            .map(|i| {
                let noise = f64::from((i * 7919 + seed * 104_729) % 1000) / 500.0;
                Some([2.0, 6400.0, cpu + noise, 4096.0, 2048.0, 1.0, 1.0])
            })
            .collect();
        Window::from_rows(&rows).unwrap()
    }

    fn training<'a>(windows: &'a [Window], classes: Option<usize>, none: &'a BTreeMap<String, f64>) -> Training<'a> {
        Training { windows, seed: 3, classes, settings: none, progress: &|_| {}, checkpoint: None }
    }

    #[test]
    fn idle_busy_and_full_are_found_and_numbered_by_load() {
        let windows: Vec<Window> = (0..60).map(|i| window([90.0, 2.0, 40.0][i as usize % 3], i)).collect();
        let none = BTreeMap::new();
        let fitted = fit("kmeans", &training(&windows, None, &none)).unwrap();
        let class = |cpu: f64| fitted.classify(&window(cpu, 999));
        assert_eq!(fitted.distances(&windows[0]).len(), 3);
        assert_eq!([class(2.0).class, class(40.0).class, class(90.0).class], [0, 1, 2]);
        assert!(class(40.0).confidence > 0.8);
        let loaded = (kind("k-means").unwrap().load)(&fitted.parts()).unwrap();
        assert_eq!(loaded.distances(&windows[5]), fitted.distances(&windows[5]));
        let again = fit("kmeans", &training(&windows, None, &none)).unwrap();
        assert_eq!(again.parts(), fitted.parts());
    }

    #[test]
    fn never_more_classes_than_windows_that_differ() {
        let (one, none) = (window(5.0, 1), BTreeMap::new());
        let same = vec![one.clone(), one.clone(), one.clone()];
        let refused = fit("kmeans", &training(&same, Some(2), &none)).map(|_| ()).unwrap_err();
        assert_eq!(refused, FitError::TooFew { needed: 2, found: 1 });
        let single = fit("kmeans", &training(&same, None, &none)).unwrap();
        assert_eq!(single.classify(&one).class, 0);
        assert!(single.distances(&one)[0] < 1e-9);
        assert!(fit("kmeans", &training(&[], None, &none)).is_err());
    }

    #[test]
    fn each_number_of_classes_that_is_tried_is_told_with_its_silhouette() {
        let windows: Vec<Window> = (0..5).map(|i| window([90.0, 2.0, 40.0, 60.0, 20.0][i as usize], i)).collect();
        let lines = std::cell::RefCell::new(Vec::new());
        let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
        let none = BTreeMap::new();
        fit("kmeans", &Training { progress: &progress, ..training(&windows, None, &none) }).unwrap();
        let begins: Vec<String> = lines.borrow().iter().map(|line| line.chars().take(22).collect()).collect();
        // never more than there are windows that differ
        assert_eq!(begins, ["3 classes: silhouette ", "4 classes: silhouette ", "5 classes: silhouette "]);
    }

    #[test]
    fn settings_out_of_range_are_refused_with_the_range() {
        let windows: Vec<Window> = (0..4).map(|i| window(f64::from(i) * 20.0, i)).collect();
        let refused = |classes: usize, starts: f64| {
            let settings = BTreeMap::from([("starts".to_owned(), starts)]);
            fit("kmeans", &training(&windows, Some(classes), &settings)).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!((refused(2, 1.0), refused(4, 100.0)), (Ok(()), Ok(())));
        for starts in [0.0, 101.0, 1.5, f64::NAN] {
            let text = format!("starts must be a whole number from 1 to 100, not {starts}");
            assert_eq!(refused(2, starts), Err(text));
        }
        for classes in [0, 201] {
            assert_eq!(refused(classes, 1.0), Err(format!("classes must be from 1 to 200, not {classes}")));
        }
        assert!(refused(200, 1.0).unwrap_err().starts_with("4 different windows are too few for 200 classes"));
    }

    #[test]
    fn a_statistic_is_measured_in_its_deviation_or_in_what_is_noise() {
        let point = |x: f64, disk: f64| [x, x, x, x, x, disk, disk, disk];
        let scale = deviations(&[point(0.0, 1.0), point(40.0, 1.5)]);
        assert_eq!(scale, [20.0, 20.0, 20.0, 20.0, 20.0, 0.5, 0.5, 0.5]);
        assert_eq!(deviations(&[point(3.0, 0.0), point(9.0, 8.0)]), [5.0, 5.0, 5.0, 5.0, 5.0, 4.0, 4.0, 4.0]);
        assert_eq!(over(&point(40.0, 3.0), &scale), [2.0, 2.0, 2.0, 2.0, 2.0, 6.0, 6.0, 6.0]);
    }

    #[test]
    fn classes_are_in_order_of_all_statistics_one_after_another() {
        let centroid = |cpu: f64, cores: f64| [cpu, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, cores];
        let given = vec![centroid(5.0, 1.0), centroid(2.0, 9.0), centroid(5.0, 0.0), centroid(2.0, 8.0)];
        let expected = vec![given[3], given[1], given[2], given[0]];
        assert_eq!(ordered(given), expected);
    }

    #[test]
    fn the_number_of_classes_is_that_of_the_best_silhouette_and_told() {
        let windows: Vec<Window> = (0..8).map(|i| window([90.0, 5.0, 30.0, 60.0][i as usize % 4], i)).collect();
        let (none, lines) = (BTreeMap::new(), std::cell::RefCell::new(Vec::new()));
        let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
        let fitted = fit("kmeans", &Training { progress: &progress, ..training(&windows, None, &none) }).unwrap();
        assert_eq!(fitted.distances(&windows[0]).len(), 4);
        // tried from three on, as far as there are windows
        let tried: Vec<String> = lines.into_inner();
        let counts: Vec<&str> = tried.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(counts, ["3", "4", "5", "6", "7", "8"]);
        assert!(tried.iter().all(|line| line.contains(" classes: silhouette ")), "{tried:?}");
        // two windows are two classes
        let fitted = fit("kmeans", &training(&windows[..2], None, &none)).unwrap();
        assert_eq!(fitted.distances(&windows[0]).len(), 2);
    }

    #[test]
    fn damaged_centroids_do_not_load() {
        let good = |rows: usize| {
            Parts::default().with("scale", &[COUNT], vec![1.0; COUNT]).with(
                "centroids",
                &[rows, COUNT],
                vec![2.0; rows * COUNT],
            )
        };
        let loaded =
            |parts: Parts| KMeans::load(&parts).map(|fitted| fitted.centroids.len()).map_err(|e| e.to_string());
        assert_eq!(loaded(good(3)), Ok(3));
        let refused = |name: &str| Err(format!("{name} has another form than this program knows"));
        assert_eq!(loaded(good(0)), refused("centroids"));
        assert_eq!(loaded(good(3).with("scale", &[7], vec![1.0; 7])), refused("scale"));
        assert_eq!(loaded(good(3).with("scale", &[8], vec![0.0; 8])), refused("centroids"));
        assert_eq!(loaded(good(3).with("centroids", &[8, 2], vec![1.0; 16])), refused("centroids"));
    }
}
