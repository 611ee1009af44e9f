//! What monitoring sees: numbers of `place` and `optimize` for node_exporter, and `check` as a
//! plugin.

use crate::support::front_end::FrontEnd;
use crate::support::request::{host, request, vm};
use std::collections::BTreeMap;
use std::fs;

fn cloud() -> String {
    cloud_after("")
}

/// VMs 0 and 1 have room and have failed with `error`, if any; VM 2 asks for more than there is.
fn cloud_after(error: &str) -> String {
    let small = |id| if error.is_empty() { vm(id, &[1, 2]) } else { vm(id, &[1, 2]).user("ERROR", error) };
    request(&[host(1), host(2)], &[small(0), small(1), vm(2, &[1, 2]).cpu("99")]).xml()
}

/// The samples of a file in the classic text format; anything that is none fails.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let (mut types, mut last) = (BTreeMap::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and type");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} has two types");
            last = name.to_owned();
        } else if !line.starts_with("# HELP ") {
            // no moment may follow: node_exporter refuses the whole file then
            let (sample, value) = line.rsplit_once(' ').expect("sample and value");
            let name = sample.split('{').next().unwrap();
            assert!(name.starts_with(&last), "{name} stands under {last}");
            assert!(types[&last] != "counter" || name.ends_with("_total"), "{name}");
            assert!(found.insert(sample.to_owned(), value.parse().expect("a number")).is_none(), "{sample} twice");
        }
    }
    found
}

#[test]
fn decisions_are_counted_on_over_short_processes() {
    let front_end = FrontEnd::new("");
    assert_eq!(front_end.run(&["place"], &cloud()).status, Some(0));
    let file = front_end.path("var/oneaio/metrics/oneaio.prom");
    assert!(!file.exists(), "without the folder nothing is written");
    fs::create_dir(front_end.path("var/oneaio/metrics")).unwrap();
    for error in ["no image", "no network"] {
        assert_eq!(front_end.run(&["place"], &cloud_after(error)).status, Some(0));
    }
    let now = samples(&fs::read_to_string(&file).unwrap());
    for (sample, value) in [
        ("oneaio_requests_total{command=\"place\",result=\"done\"}", 2.0),
        ("oneaio_decisions_total{result=\"placed\"}", 4.0),
        ("oneaio_decisions_total{result=\"waiting\"}", 2.0),
        ("oneaio_waiting_vms{cause=\"cpu\"}", 1.0),
        ("oneaio_decision_seconds_count{command=\"place\"}", 2.0),
        ("oneaio_configuration_good", 1.0),
    ] {
        assert_eq!(now.get(sample), Some(&value), "{sample}: {now:?}");
    }
    assert!(now["oneaio_last_decision_timestamp_seconds{command=\"place\"}"] > 1.7e9);
    assert!(now.contains_key("oneaio_host_interference{one_host_id=\"1\"}"));
    // the store remembers that both were sent, twice; that they come again tells on their hosts
    let failed: f64 = now.iter().filter(|(name, _)| name.starts_with("oneaio_failed_starts")).map(|(_, n)| n).sum();
    assert_eq!(failed, 4.0, "{now:?}");
    let request = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/j_optimize20/request.xml")).unwrap();
    let request = String::from_utf8(request).unwrap();
    let cluster = request.split("<CLUSTER_POOL>").nth(1).and_then(|rest| rest.split("<ID>").nth(1)).unwrap();
    let cluster = cluster.split('<').next().unwrap();
    let optimized = front_end.run(&["optimize", cluster], &request);
    assert_eq!(optimized.status, Some(0), "{}", optimized.said);
    let later = samples(&fs::read_to_string(&file).unwrap());
    assert!(later[&format!("oneaio_plan_migrations{{one_cluster_id=\"{cluster}\"}}")] > 0.0);
    assert_eq!(later["oneaio_decisions_total{result=\"placed\"}"], 4.0);
    // a wrong configuration shows
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), "s_gren: 1\n").unwrap();
    assert_eq!(front_end.run(&["place"], &cloud()).status, Some(0));
    assert_eq!(samples(&fs::read_to_string(&file).unwrap())["oneaio_configuration_good"], 0.0);
}

#[test]
fn spare_room_is_a_number_while_it_is_asked_for() {
    let front_end = FrontEnd::new("");
    fs::create_dir(front_end.path("var/oneaio/metrics")).unwrap();
    // two cores of each host are in use, and the second takes six more: seven of eight would have to fit in six
    let full = |id, vms: &[i32], cores: i64| host(id).cpu(800, cores * 100).vms(vms);
    let cloud = request(&[full(1, &[11], 2), full(2, &[12], 6)], &[vm(2, &[2]).cpu("2")]).xml();
    let now = |spare: &str| {
        let ran = front_end.run(&["place", "--set", spare], &cloud);
        assert_eq!(ran.status, Some(0), "{}", ran.said);
        samples(&fs::read_to_string(front_end.path("var/oneaio/metrics/oneaio.prom")).unwrap())
    };
    let (lacking, homeless) =
        ("oneaio_spare_lacking_failures{command=\"place\"}", "oneaio_spare_homeless_vms{command=\"place\"}");
    let asked = now("spare=1");
    // host 1's VM finds nothing on a full host 2, of host 2's two VMs one has a place
    assert_eq!((asked.get(lacking), asked.get(homeless)), (Some(&2.0), Some(&1.0)), "{asked:?}");
    let not = now("spare=no");
    assert!(!not.contains_key(lacking) && !not.contains_key(homeless), "{not:?}");
}

#[test]
fn hosts_that_fail_starts_are_counted_as_long_as_vms_wait_for_it() {
    let front_end = FrontEnd::new("");
    fs::create_dir(front_end.path("var/oneaio/metrics")).unwrap();
    let failed = |xml: &str| {
        assert_eq!(front_end.run(&["place"], xml).status, Some(0));
        let now = samples(&fs::read_to_string(front_end.path("var/oneaio/metrics/oneaio.prom")).unwrap());
        let of =
            |(name, value): (&String, &f64)| Some((name.strip_prefix("oneaio_host_failed_vms")?.to_owned(), *value));
        now.iter().filter_map(of).collect::<Vec<_>>()
    };
    // the same, a few minutes before the samples
    let one = include_str!("../looping/requests/failed-1.xml");
    let lately =
        one.replace("<STIME>1795441168", "<STIME>1795443800").replace("<ETIME>1795441268", "<ETIME>1795443900");
    assert_eq!(failed(&lately), [("{one_host_id=\"1\"}".to_owned(), 1.0)]);
    assert_eq!(failed(&cloud()), []);
}

#[test]
fn front_ends_that_answer_at_once_lose_no_count() {
    let front_end = FrontEnd::new("history.store: none\n");
    fs::create_dir(front_end.path("var/oneaio/metrics")).unwrap();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| front_end.run(&["place"], &cloud()))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let told = outcomes.iter().filter(|ran| ran.said.contains("the metrics")).count();
    let now = samples(&fs::read_to_string(front_end.path("var/oneaio/metrics/oneaio.prom")).unwrap());
    assert_eq!(now["oneaio_requests_total{command=\"place\",result=\"done\"}"] as usize, 4 - told);
}

#[test]
fn check_speaks_as_a_plugin() {
    let front_end = FrontEnd::new("s_green: much\n");
    let critical = front_end.run(&["check", "--offline", "--nagios"], "");
    assert_eq!(critical.status, Some(2));
    assert_eq!(critical.out.lines().count(), 1);
    assert!(critical.out.starts_with("ONEAIO CRITICAL - configuration: "), "{}", critical.out);
    let (told, figures) = critical.out.trim_end().split_once(" | ").expect("performance data");
    assert!(!told.contains('|') && figures.starts_with("'errors'="), "{}", critical.out);
    let wrong = front_end.run(&["check", "--nagios", "--json"], "");
    assert_eq!(wrong.status, Some(3), "wrong use is UNKNOWN");
}
