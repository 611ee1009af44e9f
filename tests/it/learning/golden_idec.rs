//! The encoder and the soft assignment of IDEC against reference numbers, which are not part
//! of the project: they are looked for beside it, in `../shared/golden`.

use crate::support::skip::shared;
use oneaio::demand::classifier::idec::{Answer, Idec};
use oneaio::demand::classifier::{Classifier, Parts};
use oneaio::demand::window::{FEATURES, Row, Window};
use safetensors::SafeTensors;
use serde_json::Value;

fn golden(name: &str) -> Option<Vec<u8>> {
    shared(&format!("golden/idec/{name}")).map(|path| std::fs::read(path).unwrap())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Their tensors under our names.
fn reference(bytes: &[u8]) -> Idec {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let values = |name: &str| -> Vec<f32> {
        let data = tensors.tensor(name).unwrap().data();
        data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    let wide = |name: &str| -> Vec<f64> { values(name).into_iter().map(f64::from).collect() };
    let mut parts = Parts::default()
        .with_number("layers", 4.0)
        .with_number("held", 0.0)
        .with("logarithmic", &[FEATURES], vec![0.0; FEATURES])
        .with("weights", &[FEATURES], vec![1.0; FEATURES])
        .with("scale", &[784], wide("norm_scale"))
        .with("offset", &[784], wide("norm_offset"))
        .with_f32("centroids", &[3, 10], values("cluster_layer"));
    for (index, theirs) in ["enc_1", "enc_2", "enc_3", "z_layer"].iter().enumerate() {
        for kind in ["weight", "bias"] {
            let theirs = format!("ae.{theirs}.{kind}");
            let shape = tensors.tensor(&theirs).unwrap().shape().to_vec();
            parts = parts.with_f32(&format!("encoder.{}.{kind}", index + 1), &shape, values(&theirs));
        }
    }
    Idec::load(&parts, Answer::Representation).unwrap()
}

#[test]
fn representations_and_shares_are_the_references() {
    let (Some(weights), Some(cases)) = (golden("idec-encoder-f32.safetensors"), golden("idec-golden-dev.json")) else {
        return;
    };
    let idec = reference(&weights);
    let golden: Value = serde_json::from_slice(&cases).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 10);
    let mut worst: [f64; 2] = [0.0; 2];
    for case in cases {
        let rows: Vec<Option<Row>> =
            case["input"].as_array().unwrap().iter().map(|row| Some(numbers(row).try_into().unwrap())).collect();
        let window = Window::from_rows(&rows).unwrap();
        let found = [idec.representation(&window), idec.assignment(&window)];
        for ((found, key), worst) in found.iter().zip(["z", "q"]).zip(&mut worst) {
            let expected = numbers(&case[key]);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                *worst = worst.max((found - expected).abs());
                assert!((found - expected).abs() < 1e-5, "{} {key}: {found} {expected}", case["id"]);
            }
        }
        assert_eq!(idec.classify(&window).class as u64, case["label"].as_u64().unwrap(), "{}", case["id"]);
    }
    println!("largest differences: z {:.1e}, q {:.1e}", worst[0], worst[1]);
}
