//! Bounds of the configuration, for all keys that there are: what a key tells of its range
//! is what it takes.

use oneaio::config::keys::{self, Key};
use oneaio::config::{Settings, settings};

/// Keys whose number has no range of its own in words, with values that they take and that
/// they do not.
const WITHOUT_RANGE: &[(&str, &[&str], &[&str])] = &[
    ("seed", &["0", "7", "18446744073709551615"], &["-1", "1.5", "18446744073709551616"]),
    ("max_per_host", &["0", "1", "4294967295"], &["-1", "1.5", "4294967296"]),
    ("monitoring_max_age", &["0", "1", "4294967295"], &["-1", "0.5", "4294967296"]),
    ("log_placements", &["0", "1"], &["-1", "0.5", "99999999999999999999"]),
    ("optimize.migrations", &["-1", "0", "12"], &["-2", "0.5", "99999999999999999999"]),
    ("optimize.datastore_migrations", &["-1", "0", "12"], &["-2", "0.5", "99999999999999999999"]),
    ("serve.port", &["0", "65535"], &["-1", "65536", "80.0"]),
    ("serve.max_dispatch", &["0", "30"], &["-1", "0.5", "4294967296"]),
    ("serve.max_host", &["0", "3"], &["-1", "0.5", "4294967296"]),
    ("serve.oned_refresh", &["0", "0.1", "3600"], &["-0.1", "3600.1"]),
];

/// No key takes these.
const NEVER: &[&str] = &["inf", "-inf", "infinity", "nan", "NaN", "-nan", "1e999", "-1e999", "", "much", "1,5", "0x10"];

fn is_number(key: &Key) -> bool {
    key.default.parse::<f64>().is_ok()
}

fn set(key: &Key, text: &str) -> Result<Settings, String> {
    let problems = settings(None, &[format!("{}={text}", key.name)]);
    problems.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// "from A to B", or "From A to B", of the help.
fn range(key: &Key) -> Option<(&'static str, &'static str)> {
    // without what stands in brackets
    let pieces = key.help.split(['(', ')']).step_by(2);
    let words: Vec<&'static str> = pieces.flat_map(str::split_whitespace).collect();
    let found = words.windows(4).find(|four| four[0].eq_ignore_ascii_case("from") && four[2] == "to")?;
    let bounds = [found[1], found[3]].map(|word| word.trim_end_matches(['.', ',', ';']));
    bounds.iter().all(|bound| bound.parse::<f64>().is_ok()).then_some((bounds[0], bounds[1]))
}

#[test]
fn no_number_is_infinite_or_not_a_number() {
    for key in keys::all().filter(|key| is_number(key)) {
        for text in NEVER {
            let told = set(key, text).expect_err(&format!("{} takes {text:?}", key.name));
            assert!(told.contains(key.name) && told.contains("must be"), "{told}");
        }
    }
}

#[test]
fn a_key_takes_the_range_that_it_tells_of_and_nothing_beyond() {
    let mut ranges = 0;
    for key in keys::all().filter(|key| is_number(key)) {
        let known = WITHOUT_RANGE.iter().find(|(name, ..)| *name == key.name);
        let Some((low, high)) = range(key) else {
            assert!(known.is_some(), "{} tells no range: say one, or add it to this test", key.name);
            continue;
        };
        ranges += 1;
        let whole = key.help.to_lowercase().replace('\n', " ").contains("whole");
        let step = if whole { 1.0 } else { 0.0001 };
        let number = |text: &str, more: f64| (text.parse::<f64>().unwrap() + more).to_string();
        for good in [low, high] {
            assert!(set(key, good).is_ok(), "{} does not take {good}", key.name);
        }
        for bad in [number(low, -step), number(high, step), number(low, -1e12), number(high, 1e12)] {
            let told = set(key, &bad).expect_err(&format!("{} takes {bad}", key.name));
            assert!(told.contains(&format!("{low} to {high}")), "{} names another range: {told}", key.name);
        }
        assert!(!whole || set(key, &number(low, 0.5)).is_err(), "{} takes half a number", key.name);
    }
    assert!(ranges >= 20, "{ranges} ranges");
}

#[test]
fn numbers_without_a_range_end_somewhere_too() {
    for (name, good, bad) in WITHOUT_RANGE {
        let key = keys::all().find(|key| key.name == *name).unwrap_or_else(|| panic!("no key {name}"));
        for text in *good {
            assert!(set(key, text).is_ok(), "{name} does not take {text}");
        }
        for text in *bad {
            assert!(set(key, text).is_err(), "{name} takes {text}");
        }
    }
}

#[test]
fn two_values_of_a_key_are_two_settings() {
    for key in keys::all().filter(|key| is_number(key)) {
        let default: f64 = key.default.parse().unwrap();
        let of_table = WITHOUT_RANGE.iter().find(|(name, ..)| *name == key.name).map(|(_, good, _)| *good);
        let ends = range(key).map(|(low, high)| [low, high]);
        let values = of_table.unwrap_or_else(|| ends.as_ref().unwrap());
        for text in values.iter().filter(|text| (text.parse::<f64>().unwrap() - default).abs() > 1e-9) {
            assert_ne!(set(key, text).unwrap(), Settings::default(), "{} = {text} changes nothing", key.name);
        }
    }
}

#[test]
fn a_store_that_is_refused_is_told_without_its_password() {
    for address in [
        "mysql://oneaio:hunter2secret@db/one",
        "user=oneaio password=hunter2secret host=db",
        "postgres:hunter2secret@db",
        "hunter2secret",
        "sqlite:",
        "",
    ] {
        for (file, overrides) in [
            (None, vec![format!("history.store={address}")]),
            (Some(("x.conf", format!("history:\n  store: \"{address}\"\n"))), Vec::new()),
        ] {
            let file = file.as_ref().map(|(name, text)| (*name, text.as_str()));
            let problems = settings(file, &overrides).expect_err(address);
            let told = problems.iter().map(ToString::to_string).collect::<String>();
            assert!(!told.contains("hunter2secret"), "{told}");
            assert!(told.contains("history.store") && told.contains("sqlite:FILE"), "{told}");
        }
    }
    // and one that is taken is shown without it, wherever settings are printed
    for address in ["postgresql://oneaio:hunter2secret@db/one", "host=db password=hunter2secret"] {
        let settings = settings(None, &[format!("history.store={address}")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2secret"));
    }
}
