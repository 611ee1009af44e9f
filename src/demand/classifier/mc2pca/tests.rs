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

/// X'X with these numbers on its diagonal.
fn diagonal(of: [f64; 7]) -> Square {
    Square::from_diagonal(&nalgebra::SVector::from(of))
}

fn axis(along: usize) -> Axis {
    std::array::from_fn(|j| f64::from(u8::from(j == along)))
}

#[test]
fn columns_are_standardised_but_for_those_that_are_constant() {
    let rows: Vec<Row> = [2.0, 6.0].iter().map(|x| [1.0, *x, 5.0 * x, 0.1, 0.0, 1e9 + x, 7.0]).collect();
    let found = standardised(&rows);
    assert_eq!(found[0], [0.0, -1.0, -1.0, 0.0, 0.0, -1.0, 0.0]);
    assert_eq!(found[1], [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    // rounding of a mean is no variance
    let third: Vec<Row> = (0..112).map(|_| [1.0 / 3.0 * 1e6; 7]).collect();
    assert!(standardised(&third).iter().flatten().all(|x| x.abs() < 1e-6));
    let products = product(&[[1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0], [4.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]]);
    assert_eq!((products[(0, 0)], products[(0, 1)], products[(1, 0)]), (17.0, 6.0, 6.0));
    assert_eq!((products[(6, 0)], products[(0, 6)], products[(6, 6)], products[(3, 3)]), (7.0, 7.0, 10.0, 0.0));
}

#[test]
fn the_axes_of_a_class_are_those_along_which_its_windows_vary_most() {
    let products = [
        diagonal([9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        diagonal([0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        diagonal([2.0, 5.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
    ];
    let found = |labels: [usize; 3], class: usize, ncp: usize| -> Vec<Vec<f64>> {
        let axes = common_axes(&products, &labels, class, ncp);
        axes.into_iter().map(|axis| axis.iter().map(|x| x.abs()).collect()).collect()
    };
    assert_eq!(found([0, 1, 1], 0, 1), [axis(0)]);
    assert_eq!(found([0, 1, 1], 1, 2), [axis(1), axis(0)]);
    assert_eq!(found([0, 0, 0], 0, 3), [axis(1), axis(0), axis(6)], "13, 11 and 3");
    // a class without windows has axes as well
    assert_eq!(found([0, 0, 0], 1, 1)[0].len(), 7);
    assert_eq!(found([0, 0, 0], 1, 1).len(), 1);
}

#[test]
fn a_window_is_nearest_to_the_axes_that_explain_most_of_it() {
    let of = |diagonal_of: [f64; 7]| {
        nearest(&diagonal(diagonal_of), &[vec![axis(0)], vec![axis(1), axis(2)], vec![axis(3)]])
    };
    assert_eq!(of([9.0, 4.0, 3.0, 1.0, 0.0, 0.0, 1.0]), (0, 9.0));
    assert_eq!(of([6.0, 4.0, 3.0, 1.0, 0.0, 0.0, 1.0]), (1, 8.0));
    assert_eq!(of([7.0, 4.0, 3.0, 7.0, 0.0, 0.0, 1.0]), (0, 15.0), "the first of equals");
}

#[test]
fn an_empty_class_gets_the_window_that_is_worst_off_among_company() {
    let refilled = |labels: &[usize], errors: &[f64], classes: usize| {
        let mut labels = labels.to_vec();
        let nearest: Vec<(usize, f64)> = labels.iter().copied().zip(errors.iter().copied()).collect();
        let done = refill(&mut labels, &nearest, classes);
        (done, labels)
    };
    assert_eq!(refilled(&[0, 0, 1], &[1.0, 2.0, 9.0], 2), (false, vec![0, 0, 1]));
    // the third is worse off, but alone where it is
    assert_eq!(refilled(&[0, 0, 1], &[1.0, 2.0, 9.0], 3), (true, vec![0, 2, 1]));
    assert_eq!(refilled(&[0, 0, 0], &[1.0, 5.0, 2.0], 3), (true, vec![0, 1, 2]));
    assert_eq!(refilled(&[0, 0], &[1.0, 5.0], 3), (true, vec![0, 1]), "who is left alone stays");
    // who is off by rounding alone is well off
    assert_eq!(refilled(&[0, 0], &[1e-7, 1e-6], 2), (false, vec![0, 0]));
}

#[test]
fn rounds_are_told_until_the_error_stands_still() {
    let windows: Vec<Window> = (0..12).map(|i| window(if i % 3 == 0 { 1.0 } else { -1.0 }, i)).collect();
    let lines = std::cell::RefCell::new(Vec::new());
    let fit = Mc2Pca::fit_windows(&windows, 2, 1, &|line| lines.borrow_mut().push(line.to_owned())).unwrap();
    let lines = lines.into_inner();
    assert_eq!(lines.len(), fit.rounds);
    assert_eq!(lines[fit.rounds - 1], format!("round {}, total error {:.3}", fit.rounds, fit.total_error));
    // the last round changed nothing, the one before did
    let error = |line: &String| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(
        (3..20).contains(&fit.rounds) && error(&lines[fit.rounds - 2]) == error(&lines[fit.rounds - 1]),
        "{lines:?}"
    );
    let sum: f64 = windows.iter().map(|one| fit.fitted.distances(one).into_iter().fold(f64::INFINITY, f64::min)).sum();
    assert!((sum - fit.total_error).abs() < 1e-6 * sum, "{sum} {}", fit.total_error);
    assert_eq!(fit.labels, windows.iter().map(|window| fit.fitted.classify(window).class).collect::<Vec<_>>());
}

#[test]
fn classes_and_components_out_of_range_are_refused_with_the_range() {
    let windows: Vec<Window> = (0..60).map(|i| window(1.0, i)).collect();
    let refused = |classes: usize, ncp: usize, windows: &[Window]| {
        Mc2Pca::fit_windows(windows, classes, ncp, &|_| {}).map(|_| ()).map_err(|error| error.to_string())
    };
    for classes in [0, 51] {
        assert_eq!(refused(classes, 1, &windows), Err(format!("classes must be from 1 to 50, not {classes}")));
    }
    // the last one is no class more than windows that vary
    assert_eq!((refused(2, 2, &windows[..2]), refused(1, 1, &windows[..1])), (Ok(()), Ok(())));
    assert_eq!(
        refused(2, 1, &windows[..1]),
        Err("1 different windows are too few for 2 classes: collect for longer, or ask for fewer classes".to_owned())
    );
    for ncp in [0, 3, 7] {
        let text = "ncp must be from 1 to 2: 3 of the features vary in these windows";
        assert_eq!(refused(2, ncp, &windows[..4]), Err(text.to_owned()), "{ncp}");
    }
    let ncp = BTreeMap::from([("ncp".to_owned(), 1.5)]);
    let text = Mc2Pca::fit(&training(&windows, &ncp)).map(|_| ()).unwrap_err().to_string();
    assert_eq!(text, "ncp must be a whole number from 1 to 6, not 1.5");
}

#[test]
fn axes_of_a_wrong_number_do_not_load_and_a_constant_window_has_no_vector() {
    let fitted = Mc2Pca::of_axes(vec![vec![axis(2)], vec![axis(5)]]);
    let parts = |shape: [usize; 3]| Parts::default().with("axes", &shape, vec![0.5; shape.iter().product()]);
    let loaded =
        |shape: [usize; 3]| Mc2Pca::load(&parts(shape)).map(|found| (found.axes.len(), found.axes[0].len())).ok();
    assert_eq!((loaded([1, 2, 7]), loaded([50, 1, 7]), loaded([3, 6, 7])), (Some((1, 2)), Some((50, 1)), Some((3, 6))));
    assert_eq!((loaded([51, 1, 7]), loaded([2, 1, 6]), loaded([2, 1, 8])), (None, None, None));
    assert_eq!((loaded([0, 1, 7]), loaded([1, 0, 7])), (None, None));
    // of 112 standardised rows CPU and disk vary together: each axis leaves the rest, here that of the other column
    let distances = fitted.distances(&window(1.0, 3));
    assert!(distances.iter().all(|x| *x > 100.0), "{distances:?}");
    let only_cpu: Vec<Option<Row>> = (0..112).map(|i| Some([1.0, 1.0, f64::from(i % 2), 1.0, 1.0, 0.0, 0.0])).collect();
    let only_cpu = Window::from_rows(&only_cpu).unwrap();
    assert_eq!((fitted.vector(&only_cpu), fitted.name()), (vec![0.0, 1.0], "mc2pca"));
}

#[test]
fn fitting_starts_with_each_window_in_the_next_class() {
    let (one, other) = (diagonal([9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), diagonal([0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
    let lines = std::cell::RefCell::new(Vec::new());
    let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
    let fit = refine(&[one, other, one, other, one, other], 2, 1, &progress);
    assert_eq!((fit.labels, fit.rounds), (vec![0, 1, 0, 1, 0, 1], 2));
    assert_eq!(lines.into_inner(), ["round 1, total error 0.000", "round 2, total error 0.000"]);
}
