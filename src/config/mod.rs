//! Written configuration to a checked [`Policy`]: every key at its default, all
//! problems told at once with file, line, key and what would do.
//!
//! A key is one row of [`keys::all`]; nothing else names it. Order: built-in
//! defaults, the file, `--set key=value`.

pub mod foreign;
pub mod keys;
pub mod operate;
pub mod reference;
pub mod serve;
pub mod yaml;

use crate::model::policy::Policy;
use keys::Key;
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

/// What a run is configured to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The planner's part.
    pub policy: Policy,
    /// Which lines go to stderr.
    pub log: LogLevel,
    /// At most this many lines tell of placed VMs, one each; beyond, only the summary.
    pub log_placements: usize,
    /// Tenants are told nothing of hosts.
    pub brief: bool,
    /// Where history is kept; `None` is the default place.
    pub history: Option<Store>,
    /// The model file; `None` is the default place.
    pub model: Option<PathBuf>,
    /// Seconds after which history that has not answered is done without.
    pub history_deadline: f64,
    /// Days that samples are kept; estimates outlive them.
    pub history_keep: u32,
    /// The HTTP service.
    pub serve: serve::Serve,
    /// Records, decision log, deadline.
    pub operate: operate::Operate,
}

/// A store of history.
#[derive(Clone, PartialEq, Eq)]
pub enum Store {
    /// No history at all.
    None,
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL address or `host=... user=...`; may hold a password.
    Postgres(String),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgresql (address not shown)"),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            log: LogLevel::default(),
            log_placements: 200,
            brief: false,
            history: None,
            model: None,
            history_deadline: 2.0,
            history_keep: 90,
            serve: serve::Serve::default(),
            operate: operate::Operate::default(),
        }
    }
}

/// Least important lines that are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what was odd.
    Warn,
    /// And a summary, and a line per placed VM.
    #[default]
    Info,
    /// And how it came about.
    Debug,
}

/// A problem of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File and line, or `--set`.
    pub place: String,
    /// What is wrong and what would do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// More problems than this are summed up.
const TOLD: usize = 20;

/// Every key and value that a file and overrides give, in their order; the last of a key
/// counts. Empty where they cannot be read.
#[must_use]
pub fn assignments(file: Option<&str>, overrides: &[String]) -> Vec<(String, String)> {
    let entries = file.and_then(|text| yaml::entries(text).ok()).unwrap_or_default();
    let given = overrides.iter().filter_map(|text| text.split_once('='));
    let given = given.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    entries.into_iter().map(|entry| (entry.key, entry.value)).chain(given).collect()
}

/// Where each key has its value from, and the value as written: file and line, `--set`, or the
/// default. In the order of the shipped file; addresses of stores are not shown, they may hold
/// a password.
#[must_use]
pub fn origins(file: Option<(&str, &str)>, overrides: &[String]) -> Vec<(&'static str, String, String)> {
    let entries = file.and_then(|(_, text)| yaml::entries(text).ok()).unwrap_or_default();
    let name = file.map_or("", |(name, _)| name);
    let given = |key: &Key| {
        let over = overrides.iter().rev().filter_map(|text| text.split_once('='));
        let over = over.map(|(known, value)| (known.trim(), value.trim().to_owned(), "--set".to_owned()));
        let written = entries.iter().rev();
        let written = written.map(|one| (one.key.as_str(), one.value.clone(), format!("{name} line {}", one.line)));
        over.chain(written).find(|(known, ..)| *known == key.name).map(|(_, value, from)| (value, from))
    };
    let shown = |key: &'static Key| {
        let (value, from) = given(key).unwrap_or_else(|| (key.default.to_owned(), "default".to_owned()));
        let hidden = key.name == "history.store" && !value.starts_with("sqlite:") && value != "none";
        (key.name, if hidden { "(address not shown)".to_owned() } else { value }, from)
    };
    keys::all().map(shown).collect()
}

/// Settings from a file's text (if any) and `key=value` overrides.
///
/// # Errors
/// All problems there are, in the order of lines.
pub fn settings(file: Option<(&str, &str)>, overrides: &[String]) -> Result<Settings, Vec<Problem>> {
    read(file, overrides, &mut |_, _| false)
}

/// Seconds of search that a bundle may ask for.
const FOREIGN_DEADLINE: f64 = 60.0;

/// As [`settings`], from the text of a bundle, which may come from elsewhere: what names a
/// place, an address or a service of a machine is passed over, and told with its line.
///
/// # Errors
/// As [`settings`].
pub fn settings_of_bundle(
    name: &str,
    text: &str,
    overrides: &[String],
) -> Result<(Settings, Vec<Problem>), Vec<Problem>> {
    let mut passed = Vec::new();
    let mut settings = read(Some((name, text)), overrides, &mut |key, place| {
        let local = keys::is_local(key);
        if local {
            let text = format!("{key} is not taken from a bundle: it belongs to the machine that it was recorded on");
            passed.push(Problem { place, text });
        }
        local
    })?;
    if settings.policy.deadline > FOREIGN_DEADLINE && !overrides.iter().any(|key| key.starts_with("planner.deadline")) {
        let text = format!("planner.deadline is {}; a bundle gets {FOREIGN_DEADLINE}", settings.policy.deadline);
        passed.push(Problem { place: name.to_owned(), text });
        settings.policy.deadline = FOREIGN_DEADLINE;
    }
    Ok((settings, passed))
}

fn read(
    file: Option<(&str, &str)>,
    overrides: &[String],
    passes_over: &mut dyn FnMut(&str, String) -> bool,
) -> Result<Settings, Vec<Problem>> {
    let mut settings = Settings::default();
    let mut problems = Vec::new();
    if let Some((name, text)) = file {
        match yaml::entries(text) {
            Ok(entries) => {
                let mut seen = HashSet::new();
                for entry in entries {
                    let place = || format!("{name} line {}", entry.line);
                    if !seen.insert(entry.key.clone()) {
                        problems.push(Problem { place: place(), text: format!("{} is given twice", entry.key) });
                        continue;
                    }
                    if passes_over(&entry.key, place()) {
                        continue;
                    }
                    apply(&mut settings, &entry.key, &entry.value, place, &mut problems);
                }
            }
            Err(problem) => {
                let place = problem.line.map_or(name.to_owned(), |line| format!("{name} line {line}"));
                problems.push(Problem { place, text: problem.text });
            }
        }
    }
    for text in overrides {
        match text.split_once('=') {
            Some((key, value)) => apply(&mut settings, key.trim(), value.trim(), || "--set".to_owned(), &mut problems),
            None => problems
                .push(Problem { place: "--set".to_owned(), text: format!("{text:?} is not of the form key=value") }),
        }
    }
    if problems.len() > TOLD {
        let text = format!("and {} more problems", problems.len() - TOLD);
        let place = problems[TOLD].place.clone();
        problems.truncate(TOLD);
        problems.push(Problem { place, text });
    }
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

fn apply(settings: &mut Settings, key: &str, value: &str, place: impl Fn() -> String, problems: &mut Vec<Problem>) {
    let text = match keys::all().find(|known| known.name == key) {
        None => format!("unknown key {key}{}", nearest(key)),
        Some(known) => match set(settings, known, value) {
            Ok(()) => return,
            // the value may hold a password
            Err(allowed) if key == "history.store" => format!("{key} must be {allowed}"),
            Err(allowed) => format!("{key} is {value:?}; it must be {allowed}"),
        },
    };
    problems.push(Problem { place: place(), text });
}

/// As written, or in lower case: OpenNebula writes PACK, YES and DEBUG. What may be a path or
/// an address is left as it is.
fn set(settings: &mut Settings, key: &Key, value: &str) -> Result<(), &'static str> {
    let word = value.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    (key.set)(settings, value).or_else(|allowed| match word {
        true => (key.set)(settings, &value.to_lowercase()),
        false => Err(allowed),
    })
}

fn nearest(key: &str) -> String {
    let near = |known: &&'static Key| strsim::damerau_levenshtein(known.name, key);
    match keys::all().min_by_key(near).filter(|known| near(known) <= known.name.len().div_ceil(2)) {
        Some(known) => format!("; did you mean {}?", known.name),
        None => "; `oneaio config` lists all keys".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_overrides_make_settings() {
        let text = "---\ns_green: 2.5\nmax_per_host: 1\nweights:\n  cpu: 0.5\nlog: debug # more\n";
        let found = settings(Some(("x.conf", text)), &["s_green=3".to_owned()]).expect("valid");
        assert!((found.policy.s_green - 3.0).abs() < 1e-12);
        assert_eq!(found.policy.max_per_host, Some(1));
        assert!((found.policy.weight_cpu - 0.5).abs() < 1e-12);
        assert_eq!(found.log, LogLevel::Debug);
    }

    #[test]
    fn a_bundle_decides_nothing_but_decisions() {
        let text = "s_green: 2\nplanner:\n  deadline: 3600\nmodel: /tmp/x\nrecord:\n  dir: /tmp/y\nlog: debug\n\
                    history:\n  store: sqlite:/tmp/z\ndecision_log: /tmp/l\nserve:\n  state_file: /tmp/s\n";
        let (found, passed) = settings_of_bundle("b", text, &["risk=2".to_owned()]).expect("valid");
        let mut right = Settings::default();
        (right.policy.s_green, right.policy.risk, right.policy.deadline) = (2.0, 2.0, 60.0);
        assert_eq!(found, right);
        let told: Vec<String> = passed.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 7, "{told:?}");
        assert!(told[0].starts_with("b line 4: model is not taken from a bundle"), "{told:?}");
        let (found, _) = settings_of_bundle("b", text, &["history.store=sqlite:/o".to_owned()]).expect("valid");
        assert_eq!(found.history, Some(Store::Sqlite("/o".into())));
    }

    #[test]
    fn words_may_be_written_in_any_case() {
        let text = "log: DEBUG\noptimize:\n  policy: PACK\ndifferent_vnets: No\ndatastores: Packing\n";
        let found = settings(Some(("x.conf", text)), &[]).expect("valid");
        assert_eq!((found.log, found.policy.different_vnets), (LogLevel::Debug, false));
        let problems = settings(None, &["log=LOUD".to_owned()]).expect_err("no such level");
        assert!(problems[0].text.contains("\"LOUD\""), "{problems:?}");
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(settings(Some(("x", text)), &[]).expect("valid"), Settings::default(), "{text:?}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once_with_line_and_remedy() {
        let text = "s_gren: 1\ns_green: -1\nweights:\n  cpu: much\n  disk: 1\nmax_per_host: [1]\n";
        let problems = settings(Some(("x.conf", text)), &["log".to_owned(), "log=loud".to_owned()]).expect_err("bad");
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "x.conf line 1: unknown key s_gren; did you mean s_green?");
        assert!(texts[1].starts_with("x.conf line 2: s_green is \"-1\"; it must be a number"), "{}", texts[1]);
        assert!(texts[2].starts_with("x.conf line 4: weights.cpu is \"much\""), "{}", texts[2]);
        assert!(texts[3].starts_with("x.conf line 5: unknown key weights.disk"), "{}", texts[3]);
        assert!(texts[4].starts_with("x.conf line 6: max_per_host"), "{}", texts[4]);
        assert!(texts[5].contains("not of the form key=value"), "{}", texts[5]);
        assert!(texts[6].contains("log is \"loud\""), "{}", texts[6]);
    }

    #[test]
    fn what_is_no_yaml_is_one_clear_problem() {
        for text in ["a: b: c\n", "- 1\n- 2\n", "just text", "a: 1\na: 2\n", "a: [\n"] {
            let problems = settings(Some(("x.conf", text)), &[]).expect_err(text);
            assert!(!problems.is_empty() && problems[0].place.starts_with("x.conf"), "{text:?}: {problems:?}");
        }
    }

    const PASSWORD: &str = "history.store=postgresql://oneaio:secret@db/x";

    fn words(of: &[&str]) -> Vec<String> {
        of.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn assignments_are_those_of_the_file_and_then_of_the_overrides() {
        let found = assignments(Some("s_green: 2\nlog: debug\n"), &words(&[" log = warn ", "odd", "risk=a=b"]));
        let expected = [("s_green", "2"), ("log", "debug"), ("log", "warn"), ("risk", "a=b")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(assignments(Some("a: [\n"), &[]), []);
        assert_eq!(assignments(None, &[]), []);
    }

    #[test]
    fn each_key_is_told_with_where_it_is_from() {
        let text = "s_green: 2\nlog: debug\n";
        let of = |key: &str, overrides: &[&str]| {
            let all = origins(Some(("x.conf", text)), &words(overrides));
            assert_eq!(all.len(), keys::all().count());
            let (_, value, from) = all.into_iter().find(|(name, ..)| *name == key).unwrap();
            (value, from)
        };
        let told = |value: &str, from: &str| (value.to_owned(), from.to_owned());
        assert_eq!(of("log", &[]), told("debug", "x.conf line 2"));
        assert_eq!(of("log", &["log=error", " log = warn ", "odd"]), told("warn", "--set"));
        assert_eq!(of("s_green", &["log=error"]), told("2", "x.conf line 1"));
        assert_eq!(of("messages", &[]).1, "default");
        // an address may hold a password; a file and none do not
        assert_eq!(of("history.store", &[PASSWORD]), told("(address not shown)", "--set"));
        assert_eq!(of("history.store", &["history.store=sqlite:/a"]), told("sqlite:/a", "--set"));
        assert_eq!(of("history.store", &["history.store=none"]), told("none", "--set"));
        assert_eq!(origins(None, &[]).iter().filter(|(_, _, from)| from != "default").count(), 0);
    }

    #[test]
    fn a_bundle_may_ask_for_a_minute_unless_the_operator_says_more() {
        let of = |text: &str, overrides: &[&str]| {
            let (found, passed) = settings_of_bundle("b", text, &words(overrides)).unwrap();
            (found.policy.deadline, passed.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(of("planner.deadline: 60\n", &[]), (60.0, vec![]));
        let told = "b: planner.deadline is 61; a bundle gets 60".to_owned();
        assert_eq!(of("planner.deadline: 61\n", &["log=warn"]), (60.0, vec![told]));
        assert_eq!(of("planner.deadline: 5\n", &["planner.deadline=61"]), (61.0, vec![]));
    }

    #[test]
    fn problems_have_their_place_and_are_summed_up() {
        let problems = |file: Option<&str>, overrides: &[&str]| -> Vec<String> {
            let found = settings(file.map(|text| ("x.conf", text)), &words(overrides)).unwrap_err();
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(problems(Some("a: 1\na: 2\n"), &[]), ["x.conf line 2: a is given twice"]);
        assert_eq!(problems(Some("just text"), &[]), ["x.conf line 1: it must be lines of the form key: value"]);
        assert_eq!(
            problems(None, &[" log = loud "]),
            ["--set: log is \"loud\"; it must be error, warn, info or debug"]
        );
        assert_eq!(problems(None, &["log"]), ["--set: \"log\" is not of the form key=value"]);
        // what may hold a password is not said again
        let text = &problems(None, &["history.store=postgres:secret"])[0];
        assert!(text.starts_with("--set: history.store must be sqlite:FILE") && !text.contains("secret"), "{text}");
        let many = |count: usize| -> Vec<String> {
            let lines: Vec<String> = (0..count).map(|i| format!("odd{i}=1")).collect();
            settings(None, &lines).unwrap_err().iter().map(ToString::to_string).collect()
        };
        assert_eq!((many(20).len(), many(20)[19].starts_with("--set: unknown key odd19")), (20, true));
        assert_eq!((many(21).len(), many(21)[20].clone()), (21, "--set: and 1 more problems".to_owned()));
        assert_eq!(many(25)[20], "--set: and 5 more problems");
    }

    #[test]
    fn the_nearest_key_is_named_where_it_is_near() {
        assert_eq!(nearest("s_gren"), "; did you mean s_green?");
        assert_eq!(nearest("lg"), "; did you mean log?");
        // of the seven letters of s_green four may be wrong
        assert_eq!(nearest("s_gxxxx"), "; did you mean s_green?");
        assert_eq!(nearest("zzzzzzzzzzzz"), "; `oneaio config` lists all keys");
    }

    #[test]
    fn words_alone_are_tried_in_lower_case() {
        let of = |text: &str| settings(None, &words(&[text]));
        assert_eq!(of("datastores=PACKING"), of("datastores=packing"));
        assert!(of("datastores=PACKING").is_ok() && of("datastores=PACKING1").is_err());
        assert_eq!(of("objective=AI-Orchestrator-SIGNED"), of("objective=ai-orchestrator-signed"));
        assert!(of("objective=AI-Orchestrator-SIGNED").is_ok() && of("history.store=SQLITE:/A").is_err());
        assert_eq!(of("model=/A/B").unwrap().model, Some("/A/B".into()));
        assert_eq!(format!("{:?}", of(PASSWORD).unwrap().history), "Some(postgresql (address not shown))");
        assert_eq!(format!("{:?}", of("history.store=sqlite:/a").unwrap().history), "Some(sqlite:/a)");
        assert_eq!(format!("{:?}", of("history.store=none").unwrap().history), "Some(none)");
    }
}
