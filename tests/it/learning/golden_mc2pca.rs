//! MC2PCA against reference numbers, which are not part of the project: they are looked for
//! beside it, in `../shared/golden`, and `../shared/traces`.

use crate::support::skip::shared;
use oneaio::demand::classifier::mc2pca::{Mc2Pca, standardised};
use oneaio::demand::classifier::scaled;
use oneaio::demand::window::{FEATURES, Row, Window};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Read;

fn json(name: &str) -> Option<Value> {
    Some(serde_json::from_str(&std::fs::read_to_string(shared(name)?).unwrap()).unwrap())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().replace("Infinity", "inf").parse().unwrap())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn reference(ncp: usize) -> Option<Mc2Pca> {
    let axes = json("golden/mc2pca-reference-axes.json")?;
    let of_class = |class: &Value| -> Vec<[f64; FEATURES]> {
        (0..ncp).map(|c| std::array::from_fn(|j| number(&class[j][c]))).collect()
    };
    Some(Mc2Pca::of_axes(axes["axes"].as_array().unwrap().iter().map(of_class).collect()))
}

fn close(found: f64, expected: f64, relative: f64) -> bool {
    (found - expected).abs() <= relative * expected.abs().max(1e-6)
}

#[test]
fn errors_and_vectors_are_the_references() {
    let (Some(one), Some(four)) = (reference(1), reference(4)) else { return };
    let mut compared = 0;
    for file in ["golden/golden-dev.json", "golden/golden-edge.json"] {
        let golden = json(file).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let rows: Vec<Row> =
                case["input"].as_array().unwrap().iter().map(|row| numbers(row).try_into().unwrap()).collect();
            if rows.iter().flatten().any(|x| !x.is_finite()) {
                // the ancestor gives zeros; here it is a gap, filled before any classifier sees it
                let whole: Vec<Option<Row>> = rows.iter().copied().map(Some).collect();
                let window = Window::from_rows(&whole).unwrap();
                assert_eq!(window.gaps().iter().filter(|gap| **gap).count(), 1);
                continue;
            }
            let rows = standardised(&rows);
            let found = one.errors(&rows);
            let norm: f64 = rows.iter().flatten().map(|x| x * x).sum();
            if case["delicate"] == true {
                assert!(norm < 1e-6, "{}: a constant window stays one", case["id"]);
                continue;
            }
            compared += 1;
            for (key, found) in
                [("errors_ncp1", found.clone()), ("errors_ncp4", four.errors(&rows)), ("vector", scaled(&found))]
            {
                for (found, expected) in found.iter().zip(numbers(&case[key])) {
                    assert!(close(*found, expected, 1e-9), "{} {key}: {found} {expected}", case["id"]);
                }
            }
        }
    }
    assert!(compared >= 18, "only {compared} cases were compared");
}

/// Window w of a VM: samples 112 w to 112 w + 111 of its metrics.
fn windows(listed: &[(i64, usize)]) -> Option<Vec<Window>> {
    let mut sizes: HashMap<i64, [f64; 3]> = HashMap::new();
    for line in std::fs::read_to_string(shared("traces/vms-dev.csv")?).unwrap().lines().skip(1) {
        let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        sizes.insert(cells[0] as i64, [cells[1], cells[2], cells[3]]);
    }
    let mut text = String::new();
    let file = std::fs::File::open(shared("traces/metrics-dev.csv.gz")?).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut rows: HashMap<i64, Vec<Option<Row>>> = HashMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let [cores, mhz, memory] = sizes[&(cells[1] as i64)];
        let row = [cores, mhz, cells[2], memory, cells[3], cells[5], cells[7]];
        rows.entry(cells[1] as i64).or_default().push(Some(row));
    }
    Some(listed.iter().map(|(vm, w)| Window::from_rows(&rows[vm][w * 112..w * 112 + 112]).unwrap()).collect())
}

#[test]
fn training_gives_the_references_labels_axes_and_error() {
    let Some(golden) = json("golden/mc2pca-train-small-dev.json") else { return };
    let pairs = numbers(&golden["vmid"]).into_iter().zip(numbers(&golden["window_index"]));
    let listed: Vec<(i64, usize)> = pairs.map(|(vm, w)| (vm as i64, w as usize)).collect();
    let Some(windows) = windows(&listed) else { return };
    for run in golden["runs"].as_array().unwrap().iter().filter(|run| run["degenerate"] == false) {
        let ncp = run["ncp"].as_u64().unwrap() as usize;
        let fit = Mc2Pca::fit_windows(&windows, 3, ncp, &|_| {}).unwrap();
        let labels: Vec<f64> = fit.labels.iter().map(|label| *label as f64).collect();
        assert_eq!(labels, numbers(&run["labels"]), "ncp {ncp}");
        assert!(close(fit.total_error, number(&run["total_error"]), 1e-6), "ncp {ncp}: {}", fit.total_error);
        for (class, axes) in fit.fitted.axes().iter().enumerate() {
            for (component, axis) in axes.iter().enumerate() {
                let theirs: Vec<f64> = (0..FEATURES).map(|j| number(&run["axes"][class][j][component])).collect();
                let along: f64 = axis.iter().zip(&theirs).map(|(a, b)| a * b).sum();
                assert!((along.abs() - 1.0).abs() < 1e-6, "ncp {ncp} class {class} axis {component}: {along}");
            }
        }
    }
}
