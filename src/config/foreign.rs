//! Configurations of OpenNebula's own schedulers in our words: rank.conf and sched.conf
//! (OpenNebula's syntax), one_drs.conf (YAML). What has no counterpart is told, never dropped.

use super::{settings, yaml};
use std::fmt::Write as _;

/// One value of another scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    /// Upper case, dotted where nested.
    key: String,
    value: String,
}

/// What becomes of a value.
enum Becomes {
    /// A line of ours.
    Key(&'static str, String),
    /// Nothing, because of this.
    Told(&'static str),
}
use Becomes::{Key, Told};

const OURS: &str = "oneaio evens out what hosts really use, which takes its place";
const NO_RANK: &str = "there is no rank for all VMs; SCHED_RANK in the templates of VMs is honoured";
const NO_PRIORITY: &str = "there are no fixed priorities; SCHED_RANK in the templates of VMs can name them";
const NO_PACKING: &str =
    "new VMs are not packed; `oneaio optimize` empties hosts with optimize.policy: pack or ONE_DRS/POLICY";
const STORAGE: &str = "hosts come first; full datastores get what is left of the migrations";
const IN_ONED: &str = "it stands in oned.conf since OpenNebula 7, and is read there";
const NOT_NEEDED: &str = "it is not needed";

/// Our configuration with the same policies, from files (name, text); a comment tells where
/// each line is from, and what has no counterpart.
///
/// # Errors
/// Which file cannot be read, and why.
pub fn translated(files: &[(String, String)]) -> Result<String, String> {
    let mut text = String::from("# Configuration of oneaio, with the policies of other schedulers.\n");
    let mut taken: Vec<&str> = Vec::new();
    for (name, content) in files {
        let _ = writeln!(text, "\n# {name}");
        let given = read(content).map_err(|problem| format!("{name}: {problem}"))?;
        // rank.conf has neither
        let old = given.iter().any(|one| one.key.starts_with("SCHED_INTERVAL") || one.key == "MAX_DISPATCH");
        let less = host_limit_is_less(&given);
        for Given { key, value } in &given {
            let becomes = match key.as_str() {
                "OPTIMIZE.MIGRATION_THRESHOLD" if less => Told("HOST_MIGRATION_THRESHOLD allows fewer, and counts"),
                _ => becomes(key, value, old),
            };
            match becomes {
                Key(ours, _) if taken.contains(&ours) => {
                    let _ = writeln!(text, "# {key} = {value}: {ours} stands above");
                }
                Key(ours, ours_value) => match settings(None, &[format!("{ours}={ours_value}")]) {
                    Ok(_) => {
                        taken.push(ours);
                        let _ = writeln!(text, "{ours}: {ours_value}  # {key} = {value}");
                    }
                    Err(problems) => {
                        let why = problems.first().map_or(String::new(), |problem| problem.text.clone());
                        let _ = writeln!(text, "# {key} = {value}: not taken over, {why}");
                    }
                },
                Told(why) => {
                    let _ = writeln!(text, "# {key} = {value}: {why}");
                }
            }
        }
    }
    Ok(text)
}

/// Whether fewer migrations between hosts are allowed than migrations in all, which include those between
/// datastores: we have none of these, so that the smaller limit counts. -1 is no limit.
fn host_limit_is_less(given: &[Given]) -> bool {
    let limit = |key: &str| {
        let value = given.iter().find(|one| one.key == key)?.value.parse::<i64>().ok()?;
        Some(if value < 0 { i64::MAX } else { value })
    };
    let (all, hosts) = (limit("OPTIMIZE.MIGRATION_THRESHOLD"), limit("OPTIMIZE.HOST_MIGRATION_THRESHOLD"));
    all.zip(hosts).is_some_and(|(all, hosts)| hosts < all)
}

fn becomes(key: &str, value: &str, old: bool) -> Becomes {
    let number = value.parse::<f64>().ok();
    match key {
        "DEFAULT_SCHED.POLICY" => match value {
            "0" => Told(NO_PACKING),
            "1" | "2" => Told(OURS),
            "3" => Told(NO_RANK),
            _ => Told(NO_PRIORITY),
        },
        "DEFAULT_SCHED.RANK" => Told(NO_RANK),
        "DEFAULT_DS_SCHED.POLICY" => spread("datastores", value),
        "DEFAULT_NIC_SCHED.POLICY" => spread("networks", value),
        "DEFAULT_DS_SCHED.RANK" | "DEFAULT_NIC_SCHED.RANK" => Told(NO_RANK),
        "MAX_HOST" if old => Key("serve.max_host", value.to_owned()),
        "MAX_HOST" => Key("max_per_host", value.to_owned()),
        "MAX_DISPATCH" if old => Key("serve.max_dispatch", value.to_owned()),
        "DIFFERENT_VNETS" => Key("different_vnets", value.to_lowercase()),
        "MEMORY_SYSTEM_DS_SCALE" => Key("memory_system_ds_scale", value.to_owned()),
        "LOG.DEBUG_LEVEL" => match number {
            Some(..1.0) => Key("log", "error".to_owned()),
            Some(..2.0) => Key("log", "warn".to_owned()),
            _ => Told("as much is told as with `log: info`; `log: debug` tells all"),
        },
        "LOG.SYSTEM" => Told("what is said goes to oned.log, or to the journal of the unit"),
        "SCHED_INTERVAL" | "MAX_VM" => Told("mm_sched goes on to read it; OpenNebula 7 has SCHED_MAX_WND_*"),
        "LIVE_RESCHEDS" | "COLD_MIGRATE_MODE" => Told(IN_ONED),
        "ONE_XMLRPC" => Told("set ONED_ADDR for oneaio-serve and oneaio-collect, if it is not the default"),
        "MESSAGE_SIZE" | "TIMEOUT" | "HTTP_PROXY" | "VM_ATTRIBUTE" => Told(NOT_NEEDED),
        "DEFAULT_SCHED.SOLVER" | "DEFAULT_SCHED.SOLVER_PATH" => Told("no solver is needed; see planner.deadline"),
        "PLACE.POLICY" if value.eq_ignore_ascii_case("pack") => Told(NO_PACKING),
        "PLACE.POLICY" => Told(OURS),
        "PLACE.WEIGHTS.CPU" | "OPTIMIZE.WEIGHTS.CPU_USAGE" => Key("weights.cpu", value.to_owned()),
        "PLACE.WEIGHTS.MEMORY" | "OPTIMIZE.WEIGHTS.MEMORY" => Key("weights.memory", value.to_owned()),
        "OPTIMIZE.WEIGHTS.DISK" => Key("weights.disk_io", value.to_owned()),
        "OPTIMIZE.WEIGHTS.NET" => Key("weights.net_io", value.to_owned()),
        "OPTIMIZE.WEIGHTS.CPU" => Told("what is allocated is kept within the hosts; what is used is evened out"),
        "OPTIMIZE.POLICY" => Key("optimize.policy", value.to_lowercase()),
        "OPTIMIZE.MIGRATION_THRESHOLD" => Key("optimize.migrations", value.to_owned()),
        "OPTIMIZE.HOST_MIGRATION_THRESHOLD" if value == "-1" => Told("no limit, as here"),
        "OPTIMIZE.HOST_MIGRATION_THRESHOLD" => Key("optimize.migrations", value.to_owned()),
        "OPTIMIZE.DS_MIGRATION_THRESHOLD" => Key("optimize.datastore_migrations", value.to_owned()),
        "OPTIMIZE.PRIORITIZE_STORAGE_MIGRATIONS" => Told(STORAGE),
        "PREDICTIVE" | "OPTIMIZE.PREDICTIVE" => Key("optimize.predictive", value.to_owned()),
        _ if key.starts_with("EXTERNAL_SCHEDULER.") => Told("it stays in sched.conf, and names oneaio-serve there"),
        _ => Told("it has no counterpart"),
    }
}

fn spread(ours: &'static str, policy: &str) -> Becomes {
    match policy {
        "0" => Key(ours, "packing".to_owned()),
        "1" => Key(ours, "striping".to_owned()),
        "2" => Told(NO_RANK),
        _ => Told(NO_PRIORITY),
    }
}

/// All values of a file in either syntax.
fn read(text: &str) -> Result<Vec<Given>, String> {
    let first = text.lines().map(str::trim).find(|line| !(line.is_empty() || line.starts_with('#')));
    let is_yaml = first.is_some_and(|line| {
        let colon = line.find(':');
        line == "---" || colon.is_some() && line.find('=').is_none_or(|equals| colon < Some(equals))
    });
    if !is_yaml {
        return template(text);
    }
    let entries = yaml::entries(text).map_err(|problem| {
        problem.line.map_or(problem.text.clone(), |line| format!("line {line}: {}", problem.text))
    })?;
    Ok(entries.into_iter().map(|entry| Given { key: entry.key.to_uppercase(), value: entry.value }).collect())
}

/// `KEY = VALUE` and `KEY = [ A = B, C = "D" ]`, over any number of lines.
fn template(text: &str) -> Result<Vec<Given>, String> {
    let mut given = Vec::new();
    let text = without_comments(text);
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) =
            rest.split_once('=').ok_or_else(|| format!("{:?} is not of the form KEY = VALUE", line(rest)))?;
        let (key, after) = (key.trim().to_uppercase(), after.trim_start_matches([' ', '\t']));
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(format!("{:?} is not of the form KEY = VALUE", line(rest)));
        }
        if let Some(inner) = after.strip_prefix('[') {
            let mut inner = inner.trim_start();
            while !inner.starts_with(']') {
                // one without an end has no further `=` in the end
                let (name, after) = inner.split_once('=').ok_or_else(|| format!("{key} = [ is not closed"))?;
                let (value, after) = value(after.trim_start(), true);
                given.push(Given { key: format!("{key}.{}", name.trim().to_uppercase()), value });
                inner = after.trim_start().trim_start_matches(',').trim_start();
            }
            rest = inner[1..].trim_start();
        } else {
            let (value, after) = value(after, false);
            given.push(Given { key, value });
            rest = after.trim_start();
        }
    }
    Ok(given)
}

/// A value, quoted or not, and what follows it.
fn value(text: &str, in_list: bool) -> (String, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"').unwrap_or(quoted.len());
        return (quoted[..end].to_owned(), quoted.get(end + 1..).unwrap_or(""));
    }
    let ends = |c: char| c == '\n' || in_list && (c == ',' || c == ']');
    let end = text.find(ends).unwrap_or(text.len());
    (text[..end].trim().to_owned(), &text[end..])
}

/// Without what follows `#` outside of quotes.
fn without_comments(text: &str) -> String {
    let line = |line: &str| {
        let mut quoted = false;
        let begin = line.find(|c| {
            quoted ^= c == '"';
            c == '#' && !quoted
        });
        line[..begin.unwrap_or(line.len())].to_owned() + "\n"
    };
    text.lines().map(line).collect()
}

/// The first line, at most 60 characters of it.
fn line(text: &str) -> String {
    text.lines().next().unwrap_or("").chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        translated(&[("x.conf".to_owned(), text.to_owned())]).unwrap()
    }

    #[test]
    fn both_syntaxes_become_ours() {
        let rank = "# rank\nMAX_HOST = 2\nDIFFERENT_VNETS=\"YES\" # each\nDEFAULT_SCHED = [\n  POLICY = 4 ]\n\
                    DEFAULT_DS_SCHED = [ POLICY = 0 ]\nLOG = [ SYSTEM = \"file\", DEBUG_LEVEL = 0 ]\nODD = \"a # b\"\n";
        let text = of(rank);
        for line in [
            "max_per_host: 2  # MAX_HOST = 2",
            "different_vnets: yes  # DIFFERENT_VNETS = YES",
            "datastores: packing  # DEFAULT_DS_SCHED.POLICY = 0",
            "log: error  # LOG.DEBUG_LEVEL = 0",
            "# ODD = a # b: it has no counterpart",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(text.contains(&format!("# DEFAULT_SCHED.POLICY = 4: {NO_PRIORITY}")), "{text}");
        let drs = "---\nPLACE:\n  POLICY: PACK\nOPTIMIZE:\n  POLICY: BALANCE\n  MIGRATION_THRESHOLD: 10\n  WEIGHTS:\n    CPU_USAGE: 0.7\n    NET: 2000\nPREDICTIVE: 0.3\n";
        let text = of(drs);
        for line in [
            "optimize.policy: balance  # OPTIMIZE.POLICY = BALANCE",
            "optimize.migrations: 10  # OPTIMIZE.MIGRATION_THRESHOLD = 10",
            "weights.cpu: 0.7  # OPTIMIZE.WEIGHTS.CPU_USAGE = 0.7",
            "optimize.predictive: 0.3  # PREDICTIVE = 0.3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(text.contains("# OPTIMIZE.WEIGHTS.NET = 2000: not taken over"), "{text}");
        for (all, hosts, counts) in [("-1", "5", "5"), ("7", "5", "5"), ("3", "5", "3"), ("3", "-1", "3")] {
            let text = of(&format!("OPTIMIZE:\n  MIGRATION_THRESHOLD: {all}\n  HOST_MIGRATION_THRESHOLD: {hosts}\n"));
            assert!(text.contains(&format!("\noptimize.migrations: {counts}  #")), "{text}");
        }
        assert!(settings(Some(("translated", &text)), &[]).is_ok(), "{text}");
    }

    #[test]
    fn what_is_odd_is_told_and_ends() {
        for text in ["just words", "A = [ B", "A = [ B = 1", "= 3", "two words = 3", "A = \"open"] {
            let outcome = translated(&[("x.conf".to_owned(), text.to_owned())]);
            assert!(outcome.is_err() || text.starts_with("A = \"") || text.contains("B = 1"), "{text}: {outcome:?}");
        }
        let twice = [("a".to_owned(), "MAX_HOST=1".to_owned()), ("b".to_owned(), "MAX_HOST=3".to_owned())];
        assert!(translated(&twice).unwrap().contains("# MAX_HOST = 3: max_per_host stands above"));
        assert!(of("SCHED_INTERVAL = 15\nMAX_HOST = 1\n").contains("serve.max_host: 1"));
        assert!(of("MAX_DISPATCH = 60\nMAX_HOST = 1\n").contains("serve.max_dispatch: 60  # MAX_DISPATCH = 60"));
    }

    #[test]
    fn each_value_is_told_with_what_becomes_of_it() {
        let rank = "MAX_HOST = many\nDEFAULT_SCHED = [ POLICY = 0 ]\nDEFAULT_SCHED = [ POLICY = 1, RANK = \"FREE_CPU\" ]\n\
                    DEFAULT_DS_SCHED = [ POLICY = 1 ]\nDEFAULT_NIC_SCHED = [ POLICY = 2 ]\nLOG = [ DEBUG_LEVEL = 1 ]\n\
                    DEFAULT_SCHED = [ POLICY = 2 ]\nDEFAULT_SCHED = [ POLICY = 3 ]\nTIMEOUT = 60\n";
        let drs = "PLACE:\n  POLICY: BALANCE\n  WEIGHTS:\n    CPU: 0.5\nOPTIMIZE:\n  HOST_MIGRATION_THRESHOLD: -1\n";
        let files = [("rank.conf".to_owned(), rank.to_owned()), ("one_drs.conf".to_owned(), drs.to_owned())];
        assert_eq!(
            translated(&files).unwrap(),
            format!(
                "# Configuration of oneaio, with the policies of other schedulers.\n\n# rank.conf\n\
                 # MAX_HOST = many: not taken over, max_per_host is \"many\"; it must be a whole number, 0 for no limit\n\
                 # DEFAULT_SCHED.POLICY = 0: {NO_PACKING}\n\
                 # DEFAULT_SCHED.POLICY = 1: {OURS}\n\
                 # DEFAULT_SCHED.RANK = FREE_CPU: {NO_RANK}\n\
                 datastores: striping  # DEFAULT_DS_SCHED.POLICY = 1\n\
                 # DEFAULT_NIC_SCHED.POLICY = 2: {NO_RANK}\n\
                 log: warn  # LOG.DEBUG_LEVEL = 1\n\
                 # DEFAULT_SCHED.POLICY = 2: {OURS}\n\
                 # DEFAULT_SCHED.POLICY = 3: {NO_RANK}\n\
                 # TIMEOUT = 60: {NOT_NEEDED}\n\n\
                 # one_drs.conf\n\
                 # PLACE.POLICY = BALANCE: {OURS}\n\
                 weights.cpu: 0.5  # PLACE.WEIGHTS.CPU = 0.5\n\
                 # OPTIMIZE.HOST_MIGRATION_THRESHOLD = -1: no limit, as here\n"
            )
        );
    }

    #[test]
    fn the_smaller_limit_of_migrations_counts() {
        let less = |all: &str, hosts: &str| {
            let one = |key: &str, value: &str| Given { key: format!("OPTIMIZE.{key}"), value: value.to_owned() };
            let hosts = one("HOST_MIGRATION_THRESHOLD", hosts);
            host_limit_is_less(&[one("POLICY", "9"), hosts, one("MIGRATION_THRESHOLD", all)])
        };
        for (all, hosts, expected) in [
            ("7", "5", true),
            ("5", "5", false),
            ("5", "7", false),
            ("-1", "0", true),
            ("0", "-1", false),
            ("x", "1", false),
        ] {
            assert_eq!(less(all, hosts), expected, "{all} {hosts}");
        }
        assert!(!host_limit_is_less(&[]));
    }

    #[test]
    fn a_file_is_yaml_where_a_colon_comes_before_any_equals_sign() {
        let keys =
            |text: &str| read(text).map(|all| all.into_iter().map(|one| (one.key, one.value)).collect::<Vec<_>>());
        let one = |key: &str, value: &str| Ok(vec![(key.to_owned(), value.to_owned())]);
        assert_eq!(keys("\n# a: comment\n  a: b=c\n"), one("A", "b=c"));
        assert_eq!(keys("# a = b\n\nURL = http://x:1\n"), one("URL", "http://x:1"));
        assert_eq!(keys("---\nmax: 1\n"), one("MAX", "1"));
        assert_eq!(keys("# nothing\n\n"), Ok(Vec::new()));
        assert_eq!(keys("a: 1\na: 2\n"), Err("line 2: a is given twice".to_owned()));
        assert_eq!(keys("---\n- 1\n"), Err("line 2: it must be lines of the form key: value".to_owned()));
    }

    #[test]
    fn values_end_where_they_end() {
        for (text, in_list, expected) in [
            ("  2 3 \nB", false, ("2 3", "\nB")),
            ("a, b", false, ("a, b", "")),
            ("a , b ]", true, ("a", ", b ]")),
            ("b ] c", true, ("b", "] c")),
            ("\"a, ]\" rest", true, ("a, ]", " rest")),
            ("\"open", false, ("open", "")),
            ("", false, ("", "")),
        ] {
            let (value, rest) = value(text, in_list);
            assert_eq!((value.as_str(), rest), expected, "{text:?}");
        }
        assert_eq!(without_comments("a # b\n#c\n\"d # e\" f # g"), "a \n\n\"d # e\" f \n");
        let long = "x".repeat(61);
        assert_eq!((line(&format!("{long}\nmore")), line("")), ("x".repeat(60), String::new()));
        for (text, problem) in [
            ("just words\nmore", "\"just words\" is not of the form KEY = VALUE"),
            ("two words = 3", "\"two words = 3\" is not of the form KEY = VALUE"),
            ("= 3", "\"= 3\" is not of the form KEY = VALUE"),
            ("A = [ B = 1, C", "A = [ is not closed"),
        ] {
            assert_eq!(template(text), Err(problem.to_owned()));
        }
    }
}
