use super::*;
use std::collections::BTreeMap;

/// CPU and disk move together, or against each other.
fn window(sign: f64, seed: u32) -> Window {
    let noise = |i: u32| f64::from((i * 7919 + seed * 104_729) % 1000) / 1000.0;
    let rows: Vec<Option<Row>> = (0..112)
        .map(|i| {
            let x = noise(i);
            Some([2.0, 6400.0, 50.0 + 30.0 * x, 4096.0, 2048.0 + noise(i + 500), 50.0 + sign * 20.0 * x, 1.0])
        })
        .collect();
    Window::from_rows(&rows).unwrap()
}

fn training<'a>(windows: &'a [Window], settings: &'a BTreeMap<String, f64>) -> Training<'a> {
    Training { windows, seed: 1, classes: Some(2), settings, progress: &|_| {}, checkpoint: None }
}

#[test]
fn the_error_is_what_the_axes_do_not_explain() {
    // one varying column of 112 standardised rows: 112 (1 - a^2)
    let rows: Vec<Row> = (0..112).map(|i| [1.0, 1.0, f64::from(i % 2), 1.0, 1.0, 0.0, 0.0]).collect();
    let axis = [0.0, 0.0, 0.6, 0.0, 0.8, 0.0, 0.0];
    let errors = Mc2Pca::of_axes(vec![vec![axis]]).errors(&standardised(&rows));
    assert!((errors[0] - 112.0 * 0.64).abs() < 1e-9, "{errors:?}");
}

#[test]
fn two_ways_to_move_are_two_classes() {
    let windows: Vec<Window> = (0..40).map(|i| window(if i % 3 == 0 { 1.0 } else { -1.0 }, i)).collect();
    let fit = Mc2Pca::fit_windows(&windows, 2, 1, &|_| {}).unwrap();
    for (index, label) in fit.labels.iter().enumerate() {
        assert_eq!(*label == fit.labels[0], index % 3 == 0, "{index}");
    }
    let loaded = Mc2Pca::load(&fit.fitted.parts()).unwrap();
    assert_eq!(loaded, fit.fitted);
}

#[test]
fn what_cannot_be_told_apart_is_refused_with_a_reason() {
    let flat = vec![Some([1.0, 3200.0, 5.0, 4096.0, 100.0, 0.0, 0.0]); 112];
    let constant = Window::from_rows(&flat).unwrap();
    let none = BTreeMap::new();
    let refused = |windows: &[Window], settings: &BTreeMap<String, f64>| {
        Mc2Pca::fit(&training(windows, settings)).map(|_| ()).unwrap_err().to_string()
    };
    let text = refused(&[constant.clone(), constant.clone()], &none);
    assert!(text.starts_with("0 different windows are too few for 2 classes"), "{text}");
    let windows: Vec<Window> = (0..4).map(|i| window(1.0, i)).collect();
    let text = refused(&windows, &BTreeMap::from([("ncp".to_owned(), 3.0)]));
    assert_eq!(text, "ncp must be from 1 to 2: 3 of the features vary in these windows");
    let fit = Mc2Pca::fit_windows(&windows, 2, 1, &|_| {}).unwrap();
    assert_eq!(fit.fitted.vector(&constant), [0.0, 0.0]);
    assert!(fit.fitted.distances(&constant).iter().all(|error| error.is_finite()));
}

#[test]
fn a_class_that_loses_all_windows_gets_the_worst_off() {
    let windows: Vec<Window> = (0..9).map(|i| window(1.0, i)).collect();
    let fit = Mc2Pca::fit_windows(&windows, 3, 1, &|_| {}).unwrap();
    assert!(fit.total_error.is_finite() && fit.rounds <= ROUNDS);
    assert!(fit.fitted.axes().iter().flatten().flatten().all(|x| x.is_finite()));
}

#[test]
fn damaged_axes_do_not_load() {
    let fit = Mc2Pca::fit_windows(&[window(1.0, 1), window(-1.0, 2)], 2, 1, &|_| {}).unwrap();
    let good = fit.fitted.parts();
    assert!(Mc2Pca::load(&Parts::default()).is_err());
    assert!(Mc2Pca::load(&good.clone().with("axes", &[2, 1, 6], vec![0.0; 12])).is_err());
    assert!(Mc2Pca::load(&good.with("axes", &[2, 1, 7], vec![f64::NAN; 14])).is_err());
}

#[test]
fn where_nobody_says_how_many_there_are_as_many_classes_as_the_ancestor_has() {
    let windows: Vec<Window> = (0..12).map(|i| window(if i % 3 == 0 { 1.0 } else { -1.0 }, i)).collect();
    let none = BTreeMap::new();
    let fitted = Mc2Pca::fit(&Training { classes: None, ..training(&windows, &none) }).unwrap();
    assert_eq!(fitted.axes.len(), CLASSES);
    assert!(Mc2Pca::fit(&Training { classes: Some(0), ..training(&windows, &none) }).is_err());
    for ncp in [0.0, 7.5, 8.0, f64::NAN] {
        let settings = BTreeMap::from([("ncp".to_owned(), ncp)]);
        assert!(Mc2Pca::fit(&training(&windows, &settings)).is_err(), "{ncp}");
    }
}
