use super::super::fitting::fit;
use super::super::study::Study;
use super::*;
use crate::model::demand::Usage;
use crate::model::ids::VmId;
use crate::model::sample::VmSample;

/// Twelve VMs of three habits, six days.
fn study() -> Study {
    let mut study = Study::default();
    for vm in 0..12_i32 {
        let identity = VmIdentity { cpu: 200, memory: 1 << 20, owner: Some(vm % 3), ..VmIdentity::default() };
        let noise = |i: i64| ((i * 7919 + i64::from(vm) * 104_729) % 17) as f64;
        let level = [5.0, 60.0, 120.0][vm as usize % 3];
        let sample = |i: i64| VmSample {
            vm: VmId(vm),
            at: 1_700_000_000 + 300 * i,
            usage: Usage { cpu: level + noise(i), memory: 5e5, disk_io: Some(1e4 + noise(i)), net_io: None },
        };
        study.add(VmId(vm), &identity, (0..6 * 288).map(sample).collect());
    }
    study
}

fn options(classifier: &str) -> Options {
    Options { classifier: classifier.to_owned(), classes: Some(3), settings: BTreeMap::new(), seed: 5 }
}

fn model(classifier: &str) -> Model {
    let study = study();
    let (cases, young): (Vec<&Case>, Vec<&Case>) = (study.cases.iter().collect(), study.young.iter().collect());
    let options = options(classifier);
    let fitted = fit(&cases, &young, &options, &|_| {}).unwrap();
    Model::new(fitted, &cases, &options, study.span.unwrap().1, None)
}

#[test]
fn same_data_and_seed_give_the_same_bytes_and_loading_changes_nothing() {
    for classifier in ["kmeans", "mc2pca", "random"] {
        let bytes = model(classifier).to_bytes().unwrap();
        let again = model(classifier).to_bytes().unwrap();
        let differs = bytes.iter().zip(&again).position(|(a, b)| a != b);
        assert_eq!((differs, bytes.len()), (None, again.len()), "{classifier}");
        let loaded = Model::from_bytes(&bytes).unwrap();
        assert!(loaded.to_bytes().unwrap() == bytes, "{classifier}");
        assert_eq!(loaded.trained_until(), 1_700_000_000 + 300 * (6 * 288 - 1));
    }
}

#[test]
fn damaged_models_are_refused_with_what_to_do() {
    let bytes = model("kmeans").to_bytes().unwrap();
    let refused = |bytes: &[u8]| Model::from_bytes(bytes).map(|_| ()).unwrap_err();
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(refused(&bytes[..length]), ModelError::Damaged(_)), "{length}");
    }
    let mut changed = bytes.clone();
    let last = changed.len() - 3;
    changed[last] ^= 1;
    assert!(matches!(refused(&changed), ModelError::Damaged(_)));
    let replaced = |from: &str, to: &str| {
        // of the same length, so that the rest stays in its place
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut bytes = bytes.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    assert_eq!(refused(&replaced("\\\"format\\\":3", "\\\"format\\\":9")), ModelError::Format(9));
    let text = refused(&replaced("cpu_percent", "cpu_permill")).to_string();
    assert!(text.starts_with("the model was fitted on other features (112 x 300 s of cores,"), "{text}");
}

#[test]
fn classes_are_a_prior_for_short_histories_and_no_size_means_no_class() {
    let model = model("kmeans");
    let identity = VmIdentity { cpu: 200, memory: 1 << 20, ..VmIdentity::default() };
    let mut memory = Memory::new();
    let sample = |i: i64| VmSample {
        vm: VmId(99),
        at: 1_700_000_000 + 300 * i,
        usage: Usage { cpu: 61.0 + (i % 17) as f64, memory: 5e5, disk_io: None, net_io: None },
    };
    (0..20).for_each(|i| memory.add(&sample(i)));
    let (young, vectors) = model.learn(&memory, Some(&identity));
    assert!(young.trust < 1.0 && young.class.is_none() && vectors.is_empty(), "{young:?}");
    (20..112).for_each(|i| memory.add(&sample(i)));
    let (estimate, vectors) = model.learn(&memory, Some(&identity));
    assert_eq!(estimate.class.unwrap().number, 1);
    assert!(estimate.trust > young.trust, "{estimate:?}");
    assert!(vectors.len() == 1 && vectors[0].0 == "kmeans" && vectors[0].1.len() == 3, "{vectors:?}");
    assert!((estimate.level.cpu - 68.0).abs() < 8.0, "{estimate:?}");
    assert!(model.learn(&memory, None).1.is_empty());
    // VCPU above CPU: what was used stands, however little was asked for
    let small = VmIdentity { cpu: 25, ..identity };
    let (estimate, _) = model.learn(&memory, Some(&small));
    assert!(
        estimate.level.cpu > 40.0 && estimate.peak.cpu <= super::super::mix::unfitted(&memory.traits()).peak.cpu,
        "{estimate:?}"
    );
    assert_eq!(model.header.classes.len(), 3);
    assert!((model.header.classes.iter().map(|class| class.share).sum::<f64>() - 1.0).abs() < 1e-3);
}

/// One class, that says nothing, and no calibration.
fn of_one_class() -> Fitted {
    let parts = Parts::default().with_number("classes", 1.0).with_number("seed", 5.0);
    let classifier = (kind("random").unwrap().load)(&parts).unwrap();
    let fitting = Fitting { classifier, calibration: None, fit: Fit::default() };
    Fitted { fitting, relatives: Default::default(), class_means: Vec::new(), windows: 7 }
}

/// A case of a VM with a window that does not vary.
fn still(vm: i32, at: i64, cores: f64, cpu: f64, gib: f64, io: (f64, f64)) -> Case {
    let memory = gib * 1_048_576.0;
    let row = Some([cores, cores * 3200.0, cpu, memory, memory / 4.0, io.0, io.1]);
    let window = Window::from_rows(&[row; LENGTH]).unwrap();
    Case { window: Some(std::sync::Arc::new(window)), ..super::super::study::plain(vm, at) }
}

#[test]
fn a_class_is_told_in_the_means_of_its_windows() {
    let cases = [
        still(1, 10 * 3600, 2.0, 20.0, 2.0, (3.0, 8.0)),
        still(2, 86_400 + 20 * 3600, 4.0, 60.0, 1.0, (5.0, 2.0)),
        super::super::study::plain(2, 0),
    ];
    let cases: Vec<&Case> = cases.iter().collect();
    let scores = Scores { ours: [Some(0.123_456), None, None, None], ..Scores::default() };
    let model = Model::new(of_one_class(), &cases, &Options { seed: 9, ..options("random") }, 77, Some(scores));
    // from three quarters of an hour after midnight to ten, and from a quarter to eleven to eight
    let day = |hour: usize| match hour {
        0..=9 => 20.0,
        10 => (20.0 + 3.0 * 60.0) / 4.0,
        11..=20 => 60.0,
        _ => 0.0,
    };
    let class = ClassSummary {
        share: 1.0,
        cores: 3.0,
        memory: 1.5,
        cpu: (40.0, 40.0),
        memory_used: 25.0,
        io: (4.0, 5.0),
        day: (0..24).map(day).collect(),
    };
    let rounded = Scores { ours: [Some(0.1235), None, None, None], ..scores };
    let header = Header {
        format: 3,
        classifier: "random".to_owned(),
        features: window::NAMES.map(str::to_owned).to_vec(),
        window: (112, 300),
        seed: 9,
        trained_until: 77,
        vms: 2,
        windows: 7,
        scores: Some(rounded),
        classes: vec![class],
        ..Header::default()
    };
    assert_eq!((&model.header, model.trained_until()), (&header, 77));
    // and all of it comes back
    let bytes = model.to_bytes().unwrap();
    let read = Model::from_bytes(&bytes).unwrap();
    assert!(read.fitting().calibration.is_none() && read.fitting().fit == Fit::default());
    assert_eq!((read.header.classes, read.header.scores), (header.classes, header.scores));
    let again = Model::from_bytes(&bytes).unwrap().to_bytes().unwrap();
    assert!(again == bytes);
    let mut changed = bytes.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let told = |bytes: &[u8]| Model::from_bytes(bytes).map(|_| ()).unwrap_err().to_string();
    let text = "the model is damaged or no model of oneaio (its checksum is wrong): run `oneaio train` again";
    assert_eq!(told(&changed), text);
    let foreign = serialize(Vec::<(&str, TensorView<'_>)>::new(), None).unwrap();
    let text = "the model is damaged or no model of oneaio (it has no header of ours): run `oneaio train` again";
    assert_eq!(told(&foreign), text);
    assert_eq!(
        ModelError::Format(2).to_string(),
        "the model is of format 2, this oneaio reads 3: run `oneaio train` again"
    );
    // a model without windows has no classes to tell of
    assert_eq!(summaries(model.fitting.classifier.as_ref(), &cases[2..]), []);
}

#[test]
fn the_checksum_is_that_of_names_and_bytes_in_their_order() {
    let of = |arrays: &[(&str, &[u8])]| checksum(arrays.iter().copied());
    assert_eq!(of(&[]), "cbf29ce484222325");
    assert_eq!(of(&[("classifier.a", &[1, 2, 3])]), "9e2e2a7a671b3e13");
    assert_eq!(of(&[("classifier", b".a"), ("", &[1, 2, 3])]), "9e2e2a7a671b3e13");
    assert_ne!(of(&[("a", &[1]), ("b", &[2])]), of(&[("b", &[2]), ("a", &[1])]));
    assert_eq!([rounded(0.123_45), rounded(0.123_44), rounded(-2.0)], [0.1235, 0.1234, -2.0]);
}
