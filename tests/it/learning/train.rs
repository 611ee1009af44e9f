//! `import`, `train`, `evaluate`, `classify` and `classes` as processes, from made-up usage
//! tables to placements that change by what was learnt; and what bad data and damaged models
//! do to them.

use crate::support::skip::skip;
use crate::support::training::{BEGIN, Bench, Ran, STEPS, fixture, made_up, said, shared_traces};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A cell of a table's row that begins with these two cells.
fn cell(table: &str, history: &str, estimate: &str, column: usize) -> f64 {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let row = table.lines().map(cells).find(|row| row.len() > 2 && row[1] == history && row[2] == estimate);
    let row = row.unwrap_or_else(|| panic!("no row {history} {estimate} in {table}"));
    row[column].parse().unwrap_or_else(|_| panic!("{row:?}"))
}

/// Columns of R2 for levels and peaks at both horizons.
const R2: [usize; 4] = [3, 7, 11, 15];

#[test]
fn from_a_table_to_a_model_its_classes_and_their_worth() {
    let bench = Bench::trained();
    let model = fs::read(bench.path("model.safetensors")).unwrap();
    let plot = bench.path("fit.svg");
    let evaluated = bench.run(&["evaluate", "--plot", plot.to_str().unwrap()]);
    assert_eq!(evaluated.status, 0, "{}", evaluated.said);
    for column in R2 {
        let ours = cell(&evaluated.out, "own", "ours", column);
        assert!(ours > 0.9, "{}", evaluated.out);
        for simple in ["request taken as used", "mean of VMs of that size", "class mean"] {
            assert!(ours > cell(&evaluated.out, "own", simple, column), "{simple}: {}", evaluated.out);
        }
    }
    assert!(evaluated.out.contains("percent of the VM's cores"), "{}", evaluated.out);
    let drawn = fs::read_to_string(plot).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>\n") && drawn.matches("<circle").count() > 100);
    for (resource, unit) in [("memory", "percent of the VM's memory"), ("disk", "KiB/s"), ("network", "KiB/s")] {
        let table = bench.run(&["evaluate", "--draws", "1", "--resource", resource]);
        assert!(table.out.contains(&format!("Errors in {unit}.")), "{}", table.out);
        assert!(R2.iter().all(|column| cell(&table.out, "own", "ours", *column) > 0.0), "{resource}: {}", table.out);
    }
    assert_eq!(fs::read(bench.path("model.safetensors")).unwrap(), model, "who evaluates changes nothing");

    let classes = bench.run(&["classes"]);
    let rows: Vec<&str> = classes.out.lines().filter(|line| line.contains(" % |")).collect();
    assert!(rows.len() >= 3 && rows[0].contains("idle") && rows[rows.len() - 1].contains("full"), "{}", classes.out);
    assert!(classes.out.contains("kmeans, fitted on "), "{}", classes.out);

    let busy = bench.run(&["classify", "3"]);
    assert_eq!(busy.status, 0, "{}", busy.said);
    assert!(busy.out.starts_with("VM 3  (4 cores, 8.0 GiB): 4032 samples over 14.0 days\n"), "{}", busy.out);
    assert!(busy.out.contains("own history"), "{}", busy.out);
    assert!(busy.out.contains("confidence ") && busy.out.contains("distances "), "{}", busy.out);
    assert!(busy.out.contains("next 3 days: CPU level"), "{}", busy.out);
    // VM 3 uses about 85 % of four cores
    let level = said(&busy.out, "estimate", "CPU ");
    assert!((300.0..380.0).contains(&level), "{}", busy.out);
    let both = bench.run(&["classify", "0", "999"]);
    assert_eq!(both.status, 3, "one of them is not known");
    assert!(both.out.contains("VM 999: nothing is known of it; it counts as what it asks for"), "{}", both.out);
    assert!(both.out.contains("VM 0 "), "{}", both.out);
}

#[test]
fn the_same_data_and_seed_give_the_same_bytes() {
    let (bench, other) = (Bench::trained(), Bench::new());
    // the same rows in another order, and some of them twice
    let (usage, sizes) = made_up();
    let mut rows: Vec<&str> = usage.lines().skip(1).collect();
    rows.reverse();
    rows.extend_from_within(..500);
    let header = usage.lines().next().unwrap();
    other.import(&format!("{header}\n{}\n", rows.join("\n")), &sizes);
    assert_eq!(other.run(&["train"]).status, 0);
    let bytes = |bench: &Bench| fs::read(bench.path("model.safetensors")).unwrap();
    assert!(bytes(&bench) == bytes(&other), "the order of rows and doubles do not matter");
    let again = bench.path("again.safetensors");
    let ran = bench.run(&["train", "--output", again.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{}", ran.said);
    // what VMs do is for the account of the service
    assert_eq!(fs::metadata(&again).unwrap().permissions().mode() & 0o027, 0);
    assert!(fs::read(again).unwrap() == bytes(&bench));
}

#[test]
fn a_worse_model_replaces_a_better_one_only_when_told() {
    let bench = Bench::trained();
    let before = fs::read(bench.path("model.safetensors")).unwrap();
    let refused = bench.run(&["train", "--classifier", "RandomClassifier"]);
    assert_eq!(refused.status, 3, "{}", refused.said);
    assert!(refused.said.contains("is worse than") && refused.said.contains("--force"), "{}", refused.said);
    assert!(fs::read(bench.path("model.safetensors")).unwrap() == before, "the better one stays");
    let forced = bench.run(&["train", "--classifier", "RandomClassifier", "--force"]);
    assert_eq!(forced.status, 0, "{}", forced.said);
    assert!(bench.run(&["classes"]).out.contains("random, fitted on"));
    let better = bench.run(&["train"]);
    assert_eq!(better.status, 0, "{}", better.said);
    assert!(fs::read(bench.path("model.safetensors")).unwrap() == before);
}

#[test]
fn what_cannot_be_trained_says_so_and_keeps_the_model() {
    let bench = Bench::trained();
    let before = fs::read(bench.path("model.safetensors")).unwrap();
    let refused = |ran: &Ran, words: &str| {
        assert_eq!((ran.status, ran.said.contains(words)), (3, true), "{}", ran.said);
        assert_eq!(ran.said.lines().count(), 1, "{}", ran.said);
        assert!(ran.said.starts_with("ERROR: no model was written: "), "{}", ran.said);
        assert!(fs::read(bench.path("model.safetensors")).unwrap() == before);
    };
    refused(&bench.run(&["train", "--classifier", "kmean"]), "is no classifier; there are kmeans, mc2pca");
    refused(&bench.run(&["train", "--with", "ncp=2"]), "\"ncp\" is no setting of kmeans");
    refused(&bench.run(&["train", "--classifier", "mc2pca", "--with", "ncp=7"]), "ncp must be from 1 to");
    refused(&bench.run(&["train", "--classes", "0"]), "classes must be from 1 to");
    refused(&bench.run(&["train", "--classes", "190"]), "different windows are too few for 190 classes");
    refused(
        &bench.run(&["train", "--output", "/nowhere/at/all", "--classes", "3"]),
        "/nowhere/at/all cannot be written",
    );
    let empty = bench.path("empty.db").display().to_string();
    let nothing = bench.run(&["train", "--set", &format!("history.store=sqlite:{empty}")]);
    refused(&nothing, "no VM of the store has both history and a known size");
    // three hours of two VMs
    let young = Bench::new();
    let (usage, sizes) = made_up();
    let rows: Vec<&str> =
        usage.lines().filter(|line| line.contains(",1,") || line.starts_with("ts")).take(37).collect();
    young.import(&format!("{}\n", rows.join("\n")), &sizes);
    let ran = young.run(&["train"]);
    assert_eq!(ran.status, 3, "{}", ran.said);
    assert!(ran.said.contains("there is too little history to tell how good estimates are"), "{}", ran.said);
    assert!(!young.path("model.safetensors").exists());
    // without a model, estimates are simple and classes are none
    let plain = young.run(&["classify", "1"]);
    assert_eq!(plain.status, 0, "{}", plain.said);
    assert!(plain.out.contains("36 samples") && !plain.out.contains("class"), "{}", plain.out);
    assert!(plain.said.contains("there is no model, so there are no classes: `oneaio train` makes one"));
    assert_eq!(young.run(&["classes"]).status, 3);
}

#[test]
fn a_model_that_cannot_be_used_is_told_and_done_without() {
    let bench = Bench::trained();
    let path = bench.path("model.safetensors");
    let good = fs::read(&path).unwrap();
    let replaced = |from: &str, to: &str| {
        let at = good.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let format = good.windows(11).position(|part| part == b"\\\"format\\\":").unwrap() + 11;
    let mut of_other_format = good.clone();
    of_other_format[format] = b'9';
    let mut flipped = good.clone();
    let last = flipped.len() - 9;
    flipped[last] ^= 64;
    let huge = [&u64::MAX.to_le_bytes()[..], &good[8..]].concat();
    let damaged = "the model is damaged or no model of oneaio";
    let cases = [
        (of_other_format, "the model is of format 9, this oneaio reads"),
        (replaced("cpu_percent", "cpu_permill"), "the model was fitted on other features (112 x 300 s of cores,"),
        (good[..good.len() / 2].to_vec(), damaged),
        (good[..good.len() - 1].to_vec(), damaged),
        (flipped, "its checksum is wrong"),
        (huge, damaged),
        (Vec::new(), damaged),
        (b"a text, perhaps a configuration".to_vec(), damaged),
    ];
    let pending = bench.bundle(&fixture("h_green"));
    let plan = |ran: &Ran| ran.out.clone();
    for (bytes, reason) in &cases {
        fs::write(&path, bytes).unwrap();
        let classified = bench.run(&["classify", "3"]);
        assert_eq!(classified.status, 0, "{reason}: {}", classified.said);
        assert!(classified.said.contains(reason) && classified.said.contains("run `oneaio train` again"));
        assert!(classified.out.contains("4032 samples") && !classified.out.contains("class"), "{}", classified.out);
        let classes = bench.run(&["classes"]);
        assert_eq!((classes.status, classes.said.contains(reason)), (3, true), "{}", classes.said);
        // estimates lie in the store: placements go on as they were
        let placed = bench.run(&["replay", "--json", pending.to_str().unwrap()]);
        assert_eq!(placed.status, 0, "{}", placed.said);
        assert!(plan(&placed).contains("\"placed\": 5") || plan(&placed).contains("\"placed\":5"), "{}", placed.out);
    }
    let trained = bench.run(&["train"]);
    assert_eq!(trained.status, 0, "{}", trained.said);
    assert!(trained.said.contains("the old model does not count"), "{}", trained.said);
    assert!(fs::read(&path).unwrap() == good);
}

#[test]
fn odd_data_are_told_or_passed_over_and_estimates_stay_sound() {
    let bench = Bench::new();
    let (mut usage, mut sizes) = made_up();
    let mut row = |vm: i32, step: i32, values: &str| {
        usage.push_str(&format!("{},{vm},{values}\n", BEGIN + 300 * i64::from(step)));
    };
    for step in 0..STEPS {
        row(40, step, "25,1000000,5,5,5,5"); // constant
        let spike = if [700, 3700, 4025].contains(&step) { "1e14" } else { "7" };
        row(41, step, &format!("30,1000000,{spike},1,{spike},1")); // a counter that jumps
        row(42, step, if step % 2 == 0 { "114.03,1000000,1,1,1,1" } else { "90,1000000,1,1,1,1" });
        if !(1000..1600).contains(&step) {
            row(43, step, "50,1000000,1,1,1,1"); // two days are missing
        }
        if step % 3 == 0 {
            row(44, step, "20,1000000,1,1,1,1"); // two of three samples are missing
        }
        row(46, step, ["nan,1,1,1,1,1", "-5,1,1,1,1,1", "inf,1,1,1,1,1", "60,1000000,1,1,1,1"][step as usize % 4]);
        row(47, step, "95,1000000,1,1,1,1"); // four cores, then one
    }
    row(45, STEPS - 1, "33,1000000,1,1,1,1"); // one sample
    for vm in [40, 41, 42, 43, 44, 45, 46] {
        sizes.push_str(&format!("{vm},2,2097152,\n"));
    }
    sizes.push_str(&format!("47,4,4194304,{BEGIN}\n47,1,1048576,{}\n", BEGIN + 300 * 3000));
    let imported = bench.import(&usage, &sizes);
    assert!(imported.said.contains("rows left out 3024"), "{}", imported.said);
    assert!(imported.said.contains("cpu_percent is no number") && imported.said.contains("is negative"));
    let trained = bench.run(&["train"]);
    assert_eq!(trained.status, 0, "{}", trained.said);
    let ids = ["40", "41", "42", "43", "44", "45", "46", "47"];
    let told = bench.run(&[&["classify"], &ids[..]].concat());
    assert_eq!(told.status, 0, "{}", told.said);
    assert!(!told.out.to_lowercase().contains("nan") && !told.out.contains("inf"), "{}", told.out);
    let paragraphs: Vec<&str> = told.out.split("VM 4").skip(1).collect();
    assert_eq!(paragraphs.len(), ids.len(), "{}", told.out);
    let cpu = |vm: usize| said(paragraphs[vm], "estimate", "CPU ");
    // constant, a spike elsewhere, a gap long ago: what was used
    for (vm, used) in [(0, 50.0), (1, 60.0), (3, 100.0)] {
        assert!((cpu(vm) - used).abs() < 12.0, "{}", paragraphs[vm]);
        assert!(paragraphs[vm].contains("  class "), "{}", paragraphs[vm]);
    }
    assert!(said(paragraphs[1], "estimate", "network ") < 1000.0, "{}", paragraphs[1]);
    // never above what the VM has
    assert!((150.0..=200.0).contains(&cpu(2)), "{}", paragraphs[2]);
    assert!((50.0..=100.0).contains(&cpu(7)) && paragraphs[7].contains("(1 cores, 1.0 GiB)"), "{}", paragraphs[7]);
    // too few samples for a class, an estimate all the same
    for vm in [4, 5, 6] {
        assert!(
            paragraphs[vm].contains("no class: ") && paragraphs[vm].contains(" of 112 steps have no usable sample")
        );
        assert!(cpu(vm) > 0.0, "{}", paragraphs[vm]);
    }
    // a spike teaches nothing: the others' table is what it was without it
    let table = bench.run(&["evaluate", "--resource", "network"]);
    assert!([4, 8, 12, 16].iter().all(|mae| cell(&table.out, "own", "ours", *mae) < 1000.0), "{}", table.out);
}

#[test]
fn clouds_are_evaluated_one_by_one_and_as_json() {
    let bench = Bench::new();
    let (usage, sizes) = made_up();
    let write = |name: &str, text: &str| {
        fs::write(bench.path(name), text).unwrap();
        bench.path(name).to_str().unwrap().to_owned()
    };
    let names = [write("a.csv", &usage), write("b.csv", &usage), write("sizes.csv", &sizes)];
    let [a, b, sizes] = names.each_ref().map(String::as_str);
    let one = ["evaluate", "--draws", "1", "--json", "--vms", sizes];
    let told = bench.run(&[&one[..], &["--vms", sizes, a, b]].concat());
    assert_eq!(told.status, 0, "{}", told.said);
    let found: Value = serde_json::from_str(&told.out).unwrap();
    let clouds = found["clouds"].as_array().unwrap();
    assert_eq!(clouds.iter().map(|cloud| cloud["cloud"].as_str().unwrap()).collect::<Vec<_>>(), ["a.csv", "b.csv"]);
    // the same numbers make the same scores
    assert_eq!(clouds[0]["rows"], clouds[1]["rows"]);
    let ours = clouds[0]["rows"].as_array().unwrap().last().unwrap();
    assert!(ours["estimate"] == "ours" && ours["scores"][0]["r2"].as_f64().unwrap() > 0.9, "{ours}");
    let covered = clouds[0]["coverage"]["rows"].as_array().unwrap();
    let within: Vec<f64> = covered[0]["within"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert!(within[0] > 0.5 && within.is_sorted() && covered[0]["count"].as_u64().unwrap() > 50, "{covered:?}");
    let wrong = bench.run(&[&one[..], &["--vms", sizes, a, b, a]].concat());
    assert!(wrong.status == 2 && wrong.said.contains("named 2 times for 3 usage tables"), "{}", wrong.said);
}

#[test]
fn placements_follow_what_was_learnt_and_say_why() {
    let bench = Bench::new();
    let (mut usage, mut sizes) = made_up();
    // the pending VMs of the request have been here before: 59 and 62 keep their core busy
    for vm in 59..=62 {
        for step in 0..STEPS {
            let level = if vm == 59 || vm == 62 { 80 } else { 2 } + (step * 7 + vm) % 11;
            usage.push_str(&format!("{},{vm},{level},524288,5,5,5,5\n", BEGIN + 300 * i64::from(step)));
        }
        sizes.push_str(&format!("{vm},1,1048576,\n"));
    }
    bench.import(&usage, &sizes);
    let request = bench.bundle(&fixture("h_green"));
    let decide = |more: &[&str]| {
        let ran = bench.run(&[&["replay", "--json", request.to_str().unwrap()], more].concat());
        assert_eq!(ran.status, 0, "{}", ran.said);
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    assert_eq!(bench.run(&["train"]).status, 0);
    let without = decide(&["--set", "green_cost=seed"]);
    fs::copy(bench.path("history.db"), request.join("history.db")).unwrap();
    let with = decide(&[]);
    let of = |decided: &Value, vm: i64| {
        let all = decided["decisions"].as_array().unwrap();
        all.iter().find(|one| one["vm"] == vm).unwrap_or_else(|| panic!("{decided}")).clone()
    };
    assert_eq!(with["placed"], 5);
    assert_ne!(with["plan"], without["plan"], "what VMs use counts");
    for vm in 59..=63 {
        assert_eq!(of(&without, vm)["demand"], "request");
    }
    let busy: Vec<Value> = [59, 62].iter().map(|vm| of(&with, *vm)).collect();
    let idle: Vec<Value> = [60, 61].iter().map(|vm| of(&with, *vm)).collect();
    for one in busy.iter().chain(&idle) {
        assert_eq!(one["demand"], "history");
        assert!(one["cpu_deviation"].as_f64().unwrap() > 0.0, "{one}");
        assert!(one["class"]["confidence"].as_f64().unwrap() > 0.0, "{one}");
    }
    assert!(busy.iter().all(|one| one["class"]["number"] != idle[0]["class"]["number"]), "{busy:?} {idle:?}");
    assert_eq!(busy[0]["class"]["number"], busy[1]["class"]["number"]);
    assert_ne!(busy[0]["host"], busy[1]["host"], "they do not meet");
    // VM 63 is new: VMs of its size are all there is to go by
    assert_eq!(of(&with, 63)["demand"], "size");
    let table = bench.run(&["replay", request.to_str().unwrap()]);
    let line = table.out.lines().find(|line| line.starts_with("| 59 ")).unwrap();
    assert!(line.contains("history, CPU +- ") && line.contains(", class "), "{line}");
}

/// Takes minutes: `ONEAIO_LONG=1` asks for it. The same is asked of made-up traces always.
#[test]
fn real_traces_train_and_change_a_real_placement() {
    if std::env::var_os("ONEAIO_LONG").is_none() {
        return skip("long", "ONEAIO_LONG=1 runs it");
    }
    let Some((usage, sizes)) = shared_traces() else { return };
    let bench = Bench::new();
    let imported = bench.run(&["import", "--vms", sizes.to_str().unwrap(), usage.to_str().unwrap()]);
    assert_eq!(imported.status, 0, "{}", imported.said);
    let trained = bench.run(&["train"]);
    assert_eq!(trained.status, 0, "{}", trained.said);
    let request = bench.bundle(&fixture("k1_place_100h_300vm"));
    let decide = || {
        let ran = bench.run(&["replay", "--json", request.to_str().unwrap()]);
        assert_eq!(ran.status, 0, "{}", ran.said);
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let without = decide();
    fs::copy(bench.path("history.db"), request.join("history.db")).unwrap();
    let with = decide();
    assert_eq!(with["placed"], without["placed"]);
    assert_ne!(with["plan"], without["plan"]);
    let decisions = with["decisions"].as_array().unwrap();
    let sources: Vec<&str> = decisions.iter().map(|one| one["demand"].as_str().unwrap()).collect();
    assert!(sources.iter().all(|source| *source != "request"), "{sources:?}");
    assert!(decisions.iter().all(|one| one["cpu_deviation"].as_f64().unwrap() > 0.0));
    let table = bench.run(&["evaluate", "--draws", "3"]);
    let simple =
        ["mean of VMs of that size", "last hour", "last 9.3 h (persistence)", "last 24 h", "last 7 days", "class mean"];
    for column in R2 {
        let ours = cell(&table.out, "own", "ours", column);
        for other in simple {
            assert!(ours > cell(&table.out, "own", other, column), "{other}, column {column}: {}", table.out);
        }
        let cold = cell(&table.out, "none", "ours, no history", column);
        assert!(cold > cell(&table.out, "none", "mean of VMs of that size", column), "{}", table.out);
    }
}
