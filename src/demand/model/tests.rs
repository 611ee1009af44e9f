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
    assert_eq!(refused(&replaced("\\\"format\\\":2", "\\\"format\\\":9")), ModelError::Format(9));
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
