use super::super::{Checkpoint, kind};
use super::adam::Adam;
use super::settings::Settings;
use super::training::{Loss, Run, State, centroids, descend};
use super::*;
use crate::demand::window::{LENGTH, Row};
use crate::model::chance::Random;
use std::cell::RefCell;
use std::collections::BTreeMap;

type Numbers = BTreeMap<String, f64>;

/// Idle, busy and full VMs with some noise.
fn windows(count: u32) -> Vec<Window> {
    (0..count)
        .map(|seed| {
            let cpu = [5.0, 45.0, 90.0][seed as usize % 3];
            let noise = |i: u32| f64::from((i * 7919 + seed * 104_729) % 1000) / 200.0;
            let row = |i: u32| -> Row {
                [2.0, 6400.0, cpu + noise(i), 4096.0, 2000.0 + cpu + noise(i + 7), cpu + noise(i + 3), 1.0]
            };
            Window::from_rows(&(0..112).map(|i| Some(row(i))).collect::<Vec<_>>()).unwrap()
        })
        .collect()
}

/// Small and quick.
fn settings(more: &[(&str, f64)]) -> Numbers {
    let small = [("hidden1", 16.0), ("hidden2", 0.0), ("embedded", 3.0), ("pretraining", 12.0), ("epochs", 8.0)];
    let usual = [("batch", 16.0), ("rate", 0.003), ("still", 0.0)];
    small.iter().chain(&usual).chain(more).map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

fn training<'a>(windows: &'a [Window], settings: &'a Numbers) -> Training<'a> {
    Training { windows, seed: 5, classes: Some(3), settings, progress: &|_| {}, checkpoint: None }
}

fn fit(training: &Training<'_>) -> Result<Idec, FitError> {
    Idec::fit(training, Answer::Representation)
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let network = Network::autoencoder(&[6, 5, 4, 2]);
    let mut random = Random::apart(11);
    let mut next = || random.share() * 2.0 - 1.0;
    let inputs = DMatrix::<f64>::from_fn(6, 7, |_, _| next());
    let mut weights: Vec<f64> = (0..network.size() + 3 * 2).map(|_| next()).collect();
    let points = network.embed(&weights, inputs.clone());
    let goal = assignment::target(&assignment::soft(&points, &centroids(&network, &weights)));
    for (goal, gamma) in [(None, 0.0), (Some(&goal), 0.7)] {
        let loss = |weights: &[f64]| {
            let mut unused = vec![0.0; weights.len()];
            let Loss { reconstruction, divergence } =
                descend(&network, weights, inputs.clone(), goal, gamma, &mut unused);
            reconstruction + gamma * divergence
        };
        let mut gradient = vec![0.0; weights.len()];
        descend(&network, &weights, inputs.clone(), goal, gamma, &mut gradient);
        let mut largest: f64 = 0.0;
        for index in 0..weights.len() {
            let (before, step) = (weights[index], 1e-6);
            weights[index] = before + step;
            let above = loss(&weights);
            weights[index] = before - step;
            let slope = (above - loss(&weights)) / (2.0 * step);
            weights[index] = before;
            let close = (slope - gradient[index]).abs() < 1e-7 * slope.abs().max(1.0);
            assert!(close, "weight {index}: {slope} by differences, {} by formula", gradient[index]);
            largest = largest.max(slope.abs());
        }
        assert!(largest > 0.01, "there are slopes to compare");
    }
}

#[test]
fn shares_and_targets_are_what_hands_compute() {
    // distances 0 and 2 of one point, 1 and 1 of the other
    let points = DMatrix::from_column_slice(1, 2, &[0.0, 1.0]);
    let centroids = DMatrix::from_column_slice(1, 2, &[0.0, 2.0]);
    let shares = assignment::soft::<f64>(&points, &centroids);
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    near(shares[(0, 0)], 1.0 / 1.2);
    near(shares[(1, 1)], 0.5);
    // q^2 / f: f0 = 5/6 + 1/2 = 4/3, f1 = 1/6 + 1/2 = 2/3
    let target = assignment::target(&shares);
    let (sure, other) = (25.0 / 36.0 / (4.0 / 3.0), 1.0 / 36.0 / (2.0 / 3.0));
    near(target[(0, 0)], sure / (sure + other));
    near(target[(0, 1)], (0.25 / (4.0 / 3.0)) / (0.25 / (4.0 / 3.0) + 0.25 / (2.0 / 3.0)));
    assert_eq!(assignment::labels(&shares), [0, 0]);
}

#[test]
fn adams_first_steps_are_those_of_the_paper() {
    let mut adam = Adam::new(2);
    let mut weights = vec![1.0_f64, -1.0];
    adam.step(&mut weights, &[0.5, -2.0], 0.1);
    // the first step is the rate, whatever the slope
    assert!((weights[0] - 0.9).abs() < 1e-6 && (weights[1] + 0.9).abs() < 1e-6, "{weights:?}");
    adam.step(&mut weights, &[0.5, 2.0], 0.1);
    // m = (0.9 * -0.2 + 0.1 * 2) / 0.19, v = 4: up by 0.1 * 0.10526 / 2
    assert!(
        (weights[0] - 0.8).abs() < 1e-6 && (weights[1] + 0.9 + 0.1 * 0.02 / 0.19 / 2.0).abs() < 1e-6,
        "{weights:?}"
    );
}

#[test]
fn three_kinds_of_vms_are_three_classes_numbered_by_load() {
    let (seen, settings) = (windows(90), settings(&[("pretraining", 60.0)]));
    let lines = RefCell::new(Vec::new());
    let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
    let fitted = fit(&Training { progress: &progress, ..training(&seen, &settings) }).unwrap();
    for (index, window) in windows(99).iter().enumerate() {
        assert_eq!(fitted.classify(window).class, index % 3, "window {index}");
    }
    let loss = |line: &String| line.split("reconstruction ").nth(1).unwrap().split(',').next().unwrap().parse::<f64>();
    let losses: Vec<f64> =
        lines.borrow().iter().filter(|line| line.contains("reconst")).map(|line| loss(line).unwrap()).collect();
    assert_eq!(losses.len(), 68, "{lines:?}");
    assert!(losses[59] < losses[0] / 4.0, "{losses:?}");
    let q = fitted.assignment(&seen[0]);
    assert!((q.iter().sum::<f64>() - 1.0).abs() < 1e-12 && q[0] > 0.5, "{q:?}");
    assert_eq!(fitted.vector(&seen[0]), scaled(&fitted.representation(&seen[0])));
    let soft = (kind("dlclassifier").unwrap().load)(&fitted.parts()).unwrap();
    assert_eq!(soft.vector(&seen[0]), scaled(&q));
    let again = (kind("DLIR").unwrap().load)(&fitted.parts()).unwrap();
    assert_eq!(again.coordinates(&seen[7]), fitted.representation(&seen[7]));
    assert_eq!(again.parts(), fitted.parts());
}

#[test]
fn resumed_training_ends_with_the_same_bytes() {
    let (windows, settings) = (windows(48), settings(&[("update", 2.0)]));
    let kept: RefCell<Vec<(u64, Parts)>> = RefCell::default();
    let keep = |mark: u64, parts: &dyn Fn() -> Parts| kept.borrow_mut().push((mark, parts()));
    let checkpoint = Some(Checkpoint { resume: &|_| None, keep: &keep });
    let whole = Training { checkpoint, ..training(&windows, &settings) };
    let fitted = fit(&whole).unwrap();
    assert_eq!(fitted.parts(), fit(&training(&windows, &settings)).unwrap().parts());
    let kept = kept.borrow().clone();
    assert_eq!(kept.len(), 12 + 4);
    for at in [0, 5, 11, 12, 15] {
        let resume = |mark| (mark == kept[at].0).then(|| kept[at].1.clone());
        let checkpoint = Some(Checkpoint { resume: &resume, keep: &|_, _| {} });
        let resumed = fit(&Training { checkpoint, ..whole }).unwrap();
        assert_eq!(resumed.parts(), fitted.parts(), "from state {at}");
    }
    // another seed is another training: the state is not asked for
    let asked = RefCell::new(Vec::new());
    let resume = |mark| {
        asked.borrow_mut().push(mark);
        None
    };
    let checkpoint = Some(Checkpoint { resume: &resume, keep: &|_, _| {} });
    fit(&Training { seed: 6, checkpoint, ..whole }).unwrap();
    assert!(asked.borrow().len() == 1 && asked.borrow()[0] != kept[0].0);
    let damaged = |change: &dyn Fn(&mut Parts)| {
        let mut parts = kept[12].1.clone();
        change(&mut parts);
        let resume = |_| Some(parts.clone());
        let checkpoint = Some(Checkpoint { resume: &resume, keep: &|_, _| {} });
        fit(&Training { checkpoint, ..whole }).unwrap_err().to_string()
    };
    let lacks = damaged(&|parts| drop(parts.arrays.remove("squares")));
    assert!(lacks.contains("remove it") && lacks.contains("lacks squares"), "{lacks}");
    let short = damaged(&|parts| *parts = parts.clone().with_f32("means", &[1], vec![0.0]));
    assert!(short.contains("remove it"), "{short}");
}

#[test]
fn what_cannot_be_trained_is_refused_with_the_way_out() {
    let (many, usual) = (windows(30), settings(&[]));
    let refusal =
        |windows: &[Window], settings: &Numbers| fit(&training(windows, settings)).map(|_| ()).unwrap_err().to_string();
    assert!(refusal(&many[..2], &usual).contains("2 different windows are too few for 3 classes"));
    let same = vec![many[0].clone(); 20];
    assert!(refusal(&same, &usual).contains("1 different windows"));
    assert!(refusal(&many, &settings(&[("rate", 1e8)])).contains("set rate below 100000000"));
    assert!(refusal(&many, &settings(&[("batch", 0.0)])).contains("batch must be from 1 to 65536, not 0"));
    assert!(refusal(&many, &settings(&[("embedded", 2.5)])).contains("whole number"));
    let none = Training { classes: Some(0), ..training(&many, &usual) };
    assert!(fit(&none).is_err());
}

#[test]
fn constant_features_and_odd_windows_give_finite_numbers() {
    let rows = |cpu: f64, length: usize| vec![Some([1.0, 3200.0, cpu, 1024.0, 512.0, 0.0, 0.0]); length];
    let flat: Vec<Window> = (0..12).map(|i| Window::from_rows(&rows(f64::from(i * 8), 112)).unwrap()).collect();
    let fitted = fit(&training(&flat, &settings(&[]))).unwrap();
    let huge = Window::from_rows(&vec![Some([1e300; 7]); 112]).unwrap();
    let (short, long) = (Window::from_rows(&rows(4.0, 2)).unwrap(), Window::from_rows(&rows(4.0, 500)).unwrap());
    for window in [&huge, &short, &long] {
        assert!(fitted.distances(window).iter().chain(&fitted.vector(window)).all(|x| x.is_finite()));
    }
    assert_eq!(fitted.distances(&short), fitted.distances(&long));
}

#[test]
fn weights_of_other_shapes_are_refused_by_name() {
    let parts = fit(&training(&windows(12), &settings(&[("pretraining", 1.0), ("epochs", 1.0)]))).unwrap().parts();
    let refusal = |change: &dyn Fn(&mut Parts)| {
        let mut changed = parts.clone();
        change(&mut changed);
        Idec::load(&changed, Answer::Assignment).unwrap_err().to_string()
    };
    for name in parts.arrays.keys() {
        let without = refusal(&|parts| drop(parts.arrays.remove(name)));
        assert!(without.contains(name.as_str()), "{without}");
        let other = refusal(&|parts| *parts = parts.clone().with_f32(name, &[1, 1], vec![1.0]));
        assert!(other.contains(name.as_str()), "{other}");
    }
    let nan = refusal(&|parts| *parts = parts.clone().with_f32("centroids", &[3, 3], vec![f32::NAN; 9]));
    assert!(nan.contains("centroids"), "{nan}");
    for layers in [0.0, 1.5, 3.0, 1e9] {
        let odd = refusal(&|parts| *parts = parts.clone().with_number("layers", layers));
        assert!(odd.contains("layers") || odd.contains("encoder.3"), "{odd}");
    }
}

#[test]
fn joint_training_ends_when_hardly_a_window_changes_its_class() {
    let seen = windows(30);
    let told = |still: f64| {
        let settings = settings(&[("hidden1", 0.0), ("pretraining", 20.0), ("epochs", 4.0), ("still", still)]);
        let lines = RefCell::new(Vec::new());
        let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
        fit(&Training { progress: &progress, ..training(&seen, &settings) }).unwrap();
        let lines = lines.into_inner();
        let first = lines.iter().position(|line| line.starts_with("classes")).unwrap();
        lines[first..].to_vec()
    };
    // three kinds that nobody mistakes: after the first epoch nothing moves any more
    let lines = told(1.0);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with(", 0.00 % changed class"), "{lines:?}");
    assert_eq!(lines[1], "0.00 % of windows changed class: done");
    // with 0 no change is little enough
    assert_eq!(told(0.0).len(), 4);
}

#[test]
fn the_losses_that_are_told_are_means_over_all_windows() {
    let given = windows(40);
    // hardly a step, so that all batches see the same weights; the last batch is smaller
    let numbers = settings(&[("rate", 1e-9), ("pretraining", 1.0), ("epochs", 1.0)]);
    let settings = Settings::of(&training(&given, &numbers)).unwrap();
    let mut random = Random::apart(3);
    let inputs = DMatrix::<f32>::from_fn(settings.widths[0], 40, |_, column| {
        random.share() as f32 + [0.0, 2.0, 4.0][column % 3]
    });
    let lines = RefCell::new(Vec::new());
    let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
    let network = || Network::autoencoder(&settings.widths);
    let run = Run { network: network(), settings: &settings, inputs: &inputs, progress: &progress, keep: &|_| {} };
    let start = State::new(&network(), settings.seed);
    let mut unused = vec![0.0; start.weights.len()];
    let alone = descend(&network(), &start.weights, inputs.clone(), None, 0.0, &mut unused);
    let end = run.finish(start).unwrap();
    let shares = assignment::soft(&run.embedded(&end.weights), &centroids(&network(), &end.weights));
    let goal = assignment::target(&shares);
    let mut unused = vec![0.0; end.weights.len()];
    let both = descend(&network(), &end.weights, inputs.clone(), Some(&goal), 0.05, &mut unused);
    let lines = lines.into_inner();
    let number = |line: usize, name: &str| -> f64 {
        let rest = lines[line].split(&format!("{name} ")).nth(1).unwrap();
        rest.split([',', ' ']).next().unwrap().parse().unwrap()
    };
    let near = |found: f64, expected: f32| {
        let expected = f64::from(expected);
        assert!((found - expected).abs() < 1e-4 * expected.abs() + 2e-6, "{found} {expected}: {lines:?}");
    };
    assert_eq!(lines.len(), 3, "{lines:?}");
    near(number(0, "reconstruction"), alone.reconstruction);
    near(number(2, "reconstruction"), both.reconstruction);
    near(number(2, "divergence"), both.divergence);
    assert!(both.divergence > 1e-4, "there is something to tell: {both:?}");
}

#[test]
fn adam_moves_hardly_where_the_slope_is_next_to_nothing() {
    // as steep as its smallest divisor: half of the rate, on the first step and on later ones
    let mut adam = Adam::new(1);
    let mut weights = vec![0.0_f64];
    for step in 1..=3 {
        adam.step(&mut weights, &[1e-8], 0.1);
        let moved = -weights[0] / f64::from(step);
        assert!((moved - 0.05).abs() < 1e-9, "step {step}: {moved}");
    }
}

#[test]
fn slopes_do_not_depend_on_what_stood_there_before() {
    let network = Network::autoencoder(&[5, 4, 2]);
    let mut random = Random::apart(12);
    let mut next = || random.share() * 2.0 - 1.0;
    let inputs = DMatrix::<f64>::from_fn(5, 6, |_, _| next());
    let weights: Vec<f64> = (0..network.size() + 2 * 2).map(|_| next()).collect();
    let points = network.embed(&weights, inputs.clone());
    let goal = assignment::target(&assignment::soft(&points, &centroids(&network, &weights)));
    let slopes = |before: f64| {
        let mut gradient = vec![before; weights.len()];
        descend(&network, &weights, inputs.clone(), Some(&goal), 0.5, &mut gradient);
        gradient
    };
    assert_eq!(slopes(0.0), slopes(1e3));
}

#[test]
fn settings_have_defaults_and_ranges() {
    let of = |classes: Option<usize>, settings: &[(&str, f64)]| {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Settings::of(&Training { classes, ..training(&[], &settings) }).map_err(|error| error.to_string())
    };
    let usual = Settings {
        widths: vec![784, 128, 64, 20],
        classes: 3,
        gamma: 0.05,
        rate: 0.001,
        batch: 256,
        pretraining: 150,
        epochs: 30,
        update: 1,
        still: 0.1,
        windows: 20_000,
        logarithmic: false,
        weights: [0.1, 0.1, 1.0, 0.1, 1.0, 0.3, 0.3],
        seed: 5,
    };
    assert_eq!(of(None, &[]), Ok(usual.clone()));
    let other = Settings {
        widths: vec![784, 7, 9, 4],
        classes: 200,
        logarithmic: true,
        weights: [0.5, 0.5, 1.0, 0.5, 1.0, 0.0, 0.0],
        ..usual
    };
    let given = [("hidden1", 7.0), ("hidden2", 0.0), ("hidden3", 9.0), ("embedded", 4.0)];
    let more = [("logarithmic", 1.0), ("sizes", 0.5), ("traffic", 0.0)];
    assert_eq!(of(Some(200), &[given.as_slice(), &more].concat()), Ok(other));
    for classes in [0, 201] {
        assert_eq!(of(Some(classes), &[]), Err(format!("classes must be from 1 to 200, not {classes}")));
    }
    for (name, least, most) in [
        ("hidden1", 0.0, 4096.0),
        ("hidden2", 0.0, 4096.0),
        ("hidden3", 0.0, 4096.0),
        ("embedded", 1.0, 256.0),
        ("gamma", 0.0, 100.0),
        ("rate", 1e-9, 1e9),
        ("batch", 1.0, 65_536.0),
        ("pretraining", 0.0, 100_000.0),
        ("epochs", 0.0, 100_000.0),
        ("update", 1.0, 1000.0),
        ("still", 0.0, 100.0),
        ("windows", 1.0, 10_000_000.0),
        ("logarithmic", 0.0, 1.0),
        ("sizes", 0.0, 1.0),
        ("traffic", 0.0, 1.0),
    ] {
        assert!(of(None, &[(name, least)]).is_ok() && of(None, &[(name, most)]).is_ok(), "{name}");
        for odd in [least - 1.0, most + 1.0, f64::NAN] {
            let text = format!("{name} must be from {least} to {most}, not {odd}");
            assert_eq!(of(None, &[(name, odd)]), Err(text));
        }
    }
    assert_eq!(of(None, &[("epochs", 1.5)]), Err("epochs must be a whole number, not 1.5".to_owned()));
}

#[test]
fn windows_are_scaled_by_the_range_that_the_training_windows_had() {
    let row = |cpu: f64, disk: f64| Some([2.0, 6400.0, cpu, 4096.0, 100.0, disk, 0.0]);
    let of = |rows: &[Option<Row>]| Window::from_rows(rows).unwrap();
    let (low, high) = (of(&[row(10.0, 0.0), row(20.0, 3.0)]), of(&[row(50.0, 1.0), row(30.0, 7.0)]));
    let weights = [0.1, 0.1, 1.0, 0.1, 1.0, 0.5, 0.3];
    let plain = Scaling::of(&[&low, &high], false, weights);
    let bent = Scaling::of(&[&low, &high], true, weights);
    let first = |feature: usize| feature * LENGTH;
    // CPU from 10 to 50, disk from 0 to 7 or to ln 8; what does not vary is nothing
    assert_eq!((plain.scale[first(2)], plain.offset[first(2)]), (0.05, -1.5));
    assert_eq!((plain.scale[first(5)], plain.offset[first(5) + 7]), (1.0 / 7.0, -0.5));
    assert_eq!((bent.scale[first(5)], bent.offset[first(5)]), (1.0 / 8.0_f64.ln(), -0.5));
    for constant in [0, 1, 3, 4, 6] {
        assert_eq!((plain.scale[first(constant)], plain.offset[first(constant)]), (0.0, 0.0), "{constant}");
    }
    assert_eq!((plain.scale.len(), plain.offset.len(), plain.held, plain.weights), (INPUTS, INPUTS, true, weights));
    assert_eq!((plain.logarithmic, bent.logarithmic), ([false; 7], [false, false, false, false, false, true, true]));
    // the newest step is the last; before the first there is the first
    let inputs = plain.inputs(&low);
    assert_eq!(inputs.len(), INPUTS);
    assert_eq!((inputs[first(2)], inputs[first(2) + 110], inputs[first(2) + 111]), (-1.0, -1.0, -0.5));
    let close = |found: f32, expected: f64| assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
    close(bent.inputs(&low)[first(5) + 111], 0.5 * (2.0 * 4.0_f64.ln() / 8.0_f64.ln() - 1.0));
    let long = of(&(0..500).map(|i| row(f64::from(i) / 10.0, 0.0)).collect::<Vec<_>>());
    close(plain.inputs(&long)[first(2)], 0.05 * 38.8 - 1.5);
    close(plain.inputs(&long)[first(2) + 111], 0.05 * 49.9 - 1.5);
    // what is beyond the range is held, unless an older model does not
    let beyond = of(&[row(90.0, 99.0), row(0.0, 99.0)]);
    let held = plain.inputs(&beyond);
    assert_eq!((held[first(2)], held[first(2) + 111], held[first(5)]), (1.0, -1.0, 0.5));
    let free = Scaling { held: false, ..plain }.inputs(&beyond);
    close(free[first(2)], 3.0);
    close(free[first(2) + 111], -1.5);
}

#[test]
fn layers_lie_one_after_another() {
    let (encoder, both) = (Network::encoder(&[3, 2, 1]), Network::autoencoder(&[3, 2, 1]));
    assert_eq!((encoder.layers(), encoder.size(), encoder.embedded_width()), (2, 4 * 2 + 3, 1));
    assert_eq!((both.layers(), both.size(), both.embedded_width()), (4, 4 * 2 + 3 + 2 * 2 + 3 * 3, 1));
    assert_eq!((0..5).map(|layer| both.start(layer)).collect::<Vec<_>>(), [0, 8, 11, 15, 24]);
    assert_eq!((0..4).map(|layer| both.shape(layer)).collect::<Vec<_>>(), [(3, 2), (2, 1), (1, 2), (2, 3)]);
    // as far apart as there are inputs: the root of 4
    let wide = Network::encoder(&[4, 1]);
    let mut numbers = [1.0, 0.0, 0.5, 0.75, 0.25].into_iter().cycle();
    let weights: Vec<f64> = wide.initial(&mut || numbers.next().unwrap());
    assert_eq!(weights, [0.5, -0.5, 0.0, 0.25, -0.25]);
}

#[test]
fn what_is_negative_is_cut_off_but_not_where_points_and_windows_come_out() {
    // weights, then the bias, of each layer
    let both = Network::autoencoder(&[1, 1, 1]);
    let weights = [2.0, -3.0, 1.0, -5.0, -1.0, 0.5, 4.0, -90.0];
    let given = |x: f64| -> Vec<f64> {
        both.forward(&weights, DMatrix::from_element(1, 1, x)).iter().map(|layer| layer[(0, 0)]).collect()
    };
    assert_eq!(given(1.0), [1.0, 0.0, -5.0, 5.5, -68.0]);
    assert_eq!(given(5.0), [5.0, 7.0, 2.0, 0.0, -90.0]);
    let embedded = both.embed(&weights, DMatrix::from_row_slice(1, 2, &[1.0, 5.0]));
    assert_eq!(embedded.as_slice(), [-5.0, 2.0]);
    let encoder = Network::encoder(&[1, 1, 1]);
    assert_eq!(
        (encoder.embed_one(&weights, vec![1.0]), encoder.embed_one(&weights, vec![5.0])),
        (vec![-5.0], vec![2.0])
    );
    assert_eq!(both.embedded_of(&both.forward(&weights, DMatrix::from_element(1, 1, 5.0)))[(0, 0)], 2.0);
}

#[test]
fn a_class_without_points_and_a_target_of_nothing_give_no_nonsense() {
    let shares = DMatrix::from_column_slice(2, 2, &[1.0_f64, 0.0, 1.0, 0.0]);
    assert_eq!(assignment::target(&shares), shares);
    // of two classes that are as near the first counts
    let even = DMatrix::from_column_slice(2, 1, &[0.5_f64, 0.5]);
    assert_eq!(assignment::labels(&even), [0]);
    // one point between two centroids, of which the target knows one: ln 2, and slopes by hand
    let (points, centroids) = (DMatrix::from_element(1, 1, 0.0_f64), DMatrix::from_column_slice(1, 2, &[1.0, -1.0]));
    let found = assignment::divergence(&points, &centroids, &DMatrix::from_column_slice(2, 1, &[1.0, 0.0]));
    assert!((found.loss - 2.0_f64.ln()).abs() < 1e-12, "{}", found.loss);
    // 2 x 1/2 x (1 - 1/2) x (0 - 1), and 2 x 1/2 x (0 - 1/2) x (0 + 1)
    assert_eq!(found.by_points[(0, 0)], -1.0);
    assert_eq!(found.by_centroids.as_slice(), [0.5, 0.5]);
}

#[test]
fn a_kept_state_is_taken_only_by_a_training_that_it_fits() {
    let numbers = settings(&[]);
    let settings = Settings::of(&training(&[], &numbers)).unwrap();
    let network = Network::autoencoder(&settings.widths);
    let mut with_classes = State::new(&network, 7);
    let start = with_classes.clone();
    assert_eq!((start.weights.len(), start.pretrained, start.joint, start.labels.len()), (network.size(), 0, 0, 0));
    with_classes.weights.extend([1.0; 9]);
    with_classes.adam = Adam::new(network.size() + 9);
    (with_classes.adam.steps, with_classes.pretrained, with_classes.joint) = (4, 12, 3);
    with_classes.labels = vec![0, 2, 1, 2];
    let loaded = |state: &State, windows: usize| state::load(&state::parts(state), &network, &settings, windows);
    assert_eq!(loaded(&start, 4), Ok(start.clone()));
    assert_eq!(loaded(&with_classes, 4), Ok(with_classes.clone()));
    assert!(loaded(&with_classes, 5).is_err(), "of other windows");
    let changed = |change: &dyn Fn(&mut State)| {
        let mut state = with_classes.clone();
        change(&mut state);
        loaded(&state, 4).is_ok()
    };
    assert!(changed(&|_| ()));
    assert!(!changed(&|state| state.labels[1] = 3) && !changed(&|state| state.weights.truncate(5)));
    assert!(!changed(&|state| state.adam.means.truncate(5)) && !changed(&|state| state.adam.squares.truncate(5)));
    assert!(!changed(&|state| state.labels.clear()), "without classes there are no centroids");
    // the mark tells settings and windows apart
    let inputs = DMatrix::<f32>::from_element(2, 2, 1.0);
    let mark = state::mark(&settings, &inputs);
    assert_eq!(state::mark(&settings, &inputs.clone()), mark);
    assert_ne!(state::mark(&Settings { epochs: 9, ..settings.clone() }, &inputs), mark);
    assert_ne!(state::mark(&settings, &DMatrix::from_element(2, 2, 1.5)), mark);
}

#[test]
fn of_many_windows_every_so_many_are_trained_on() {
    let given = windows(31);
    let quick = [("hidden1", 0.0), ("pretraining", 0.0), ("epochs", 0.0), ("windows", 10.0)];
    let numbers = settings(&quick);
    let lines = RefCell::new(Vec::new());
    let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
    let fitted = fit(&Training { progress: &progress, ..training(&given, &numbers) }).unwrap();
    let every: Vec<Window> = given.iter().step_by(4).cloned().collect();
    assert_eq!(fitted.parts(), fit(&training(&every, &settings(&quick[..3]))).unwrap().parts());
    let lines = lines.into_inner();
    assert!(lines.len() == 1 && lines[0].starts_with("k-means in the embedded space: silhouette "), "{lines:?}");
    assert_eq!((fitted.name(), fitted.distances(&given[0]).len()), ("idec", 3));
    // both names answer from the same weights, their own first
    let soft = Idec { answer: Answer::Assignment, ..fitted.clone() };
    let names = |idec: &Idec| idec.vectors(&given[0]).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(
        (names(&fitted), names(&soft)),
        (vec!["idec".to_owned(), "idec-soft".to_owned()], vec!["idec-soft".to_owned(), "idec".to_owned()])
    );
    assert_eq!(fitted.vectors(&given[0])[0].1, fitted.vector(&given[0]));
    assert_eq!((soft.name(), soft.vectors(&given[0])[0].1.clone()), ("idec-soft", soft.vector(&given[0])));
    assert_eq!(soft.coordinates(&given[0]), fitted.assignment(&given[0]));
    // without windows there is nothing to train on
    assert!(fit(&training(&[], &numbers)).is_err());
}

#[test]
fn classes_without_windows_are_told_and_shares_fall_with_the_square_of_the_distance() {
    let given = windows(6);
    let numbers = settings(&[("hidden1", 0.0), ("embedded", 1.0)]);
    let settings = Settings::of(&Training { classes: Some(2), ..training(&given, &numbers) }).unwrap();
    let refs: Vec<&Window> = given.iter().collect();
    let scaling = Scaling::of(&refs, false, settings.weights);
    let inputs = DMatrix::from_iterator(INPUTS, 6, given.iter().flat_map(|window| scaling.inputs(window)));
    let lines = RefCell::new(Vec::new());
    let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
    let network = Network::autoencoder(&settings.widths);
    let mut state = State::new(&network, 1);
    // all points are 0, and so is the second centroid; the first is 3 away
    state.weights.fill(0.0);
    state.weights.extend([3.0, 0.0]);
    let run = Run { network, settings: &settings, inputs: &inputs, progress: &progress, keep: &|_| {} };
    let found = Idec::of_state(&run, &state, &refs, scaling, Answer::Assignment);
    assert_eq!(lines.into_inner(), ["1 of 2 classes have no window: fewer would do"]);
    // the empty one has no load, and comes first
    assert_eq!(found.distances(&given[0]), [3.0, 0.0]);
    let shares = found.assignment(&given[0]);
    assert!((shares[0] - 1.0 / 11.0).abs() < 1e-12 && (shares[1] - 10.0 / 11.0).abs() < 1e-12, "{shares:?}");
    // weights of nothing are weights, less is none
    let parts = found.parts();
    let weighed = |weight: f64| {
        Idec::load(&parts.clone().with("weights", &[FEATURES], vec![weight; FEATURES]), Answer::Assignment)
    };
    assert!(weighed(0.0).is_ok() && weighed(-0.1).is_err());
    let layers = |layers: f64| Idec::load(&parts.clone().with_number("layers", layers), Answer::Assignment).is_ok();
    assert!(layers(1.0) && !layers(2.0) && !layers(17.0));
}

#[test]
fn what_varies_by_rounding_alone_is_constant() {
    let row = |cpu: f64, memory: f64| Some([2.0, 6400.0, cpu, 4096.0, memory, 0.0, 0.0]);
    let window = Window::from_rows(&[row(10.0, 1e10), row(50.0, 1e10 + 5.0)]).unwrap();
    let found = Scaling::of(&[&window], false, [1.0; 7]);
    assert_eq!((found.scale[2 * LENGTH], found.scale[4 * LENGTH]), (0.05, 0.0));
}

#[test]
fn as_many_different_windows_as_classes_are_enough() {
    let given = windows(3);
    let numbers = settings(&[("hidden1", 0.0), ("pretraining", 0.0), ("epochs", 0.0)]);
    assert_eq!(fit(&training(&given, &numbers)).unwrap().centroids.len(), 3);
    assert!(fit(&training(&given[..2], &numbers)).is_err());
}

#[test]
fn all_windows_are_embedded_however_many_they_are() {
    let numbers = settings(&[]);
    let settings = Settings::of(&training(&[], &numbers)).unwrap();
    let network = || Network::autoencoder(&[3, 2]);
    let mut random = Random::apart(4);
    let inputs = DMatrix::<f32>::from_fn(3, 1100, |_, _| random.share() as f32);
    let weights = State::new(&network(), 2).weights;
    let run = |inputs: &DMatrix<f32>| {
        let run = Run { network: network(), settings: &settings, inputs, progress: &|_| {}, keep: &|_| {} };
        run.embedded(&weights)
    };
    let (found, whole) = (run(&inputs), network().embed(&weights, inputs.clone()));
    assert_eq!(found.shape(), (2, 1100));
    assert!(found.iter().zip(whole.iter()).all(|(a, b)| (a - b).abs() < 1e-5));
    assert_eq!(run(&DMatrix::zeros(3, 0)).ncols(), 0);
    let mut gradient = vec![0.0; weights.len()];
    let nothing = descend(&network(), &weights, DMatrix::<f32>::zeros(3, 0), None, 0.0, &mut gradient);
    assert_eq!(nothing, Loss::default());
}

#[test]
fn the_share_of_windows_that_changed_their_class_is_told() {
    let given = windows(40);
    let numbers = settings(&[("hidden1", 0.0), ("pretraining", 0.0), ("epochs", 1.0), ("rate", 1e-9)]);
    let settings = Settings::of(&training(&given, &numbers)).unwrap();
    let refs: Vec<&Window> = given.iter().collect();
    let scaling = Scaling::of(&refs, false, settings.weights);
    let inputs = DMatrix::from_iterator(INPUTS, 40, given.iter().flat_map(|window| scaling.inputs(window)));
    let lines = RefCell::new(Vec::new());
    let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
    let network = || Network::autoencoder(&settings.widths);
    let run = Run { network: network(), settings: &settings, inputs: &inputs, progress: &progress, keep: &|_| {} };
    let first = run.finish(State::new(&network(), settings.seed)).unwrap();
    assert_eq!((first.labels.len(), first.joint), (40, 1));
    let mut odd = State { joint: 0, ..first.clone() };
    odd.labels[7] = (odd.labels[7] + 1) % 3;
    let again = run.finish(odd).unwrap();
    let lines = lines.into_inner();
    assert!(lines.last().unwrap().ends_with(", 2.50 % changed class"), "{lines:?}");
    assert_eq!(again.labels, first.labels);
    // without an epoch of both there are classes as well
    let none = Settings { epochs: 0, ..settings.clone() };
    let run = Run { network: network(), settings: &none, inputs: &inputs, progress: &|_| {}, keep: &|_| {} };
    assert_eq!(run.finish(State::new(&network(), settings.seed)).unwrap().labels.len(), 40);
    // numbers that are none are told with their epoch
    let wild = Settings { rate: 1e9, epochs: 3, pretraining: 2, ..settings.clone() };
    let run = Run { network: network(), settings: &wild, inputs: &inputs, progress: &|_| {}, keep: &|_| {} };
    let text = run.finish(State::new(&network(), settings.seed)).unwrap_err().to_string();
    let epochs = [1, 2, 3].map(|epoch| {
        format!("training came to numbers that are none in epoch {epoch}: the learning rate is too high, set rate below 1000000000")
    });
    assert!(epochs.contains(&text), "{text}");
}
