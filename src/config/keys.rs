//! Every key of the configuration: name, default, meaning, and how it is set.

mod operate;
mod optimize;
mod serve;

use super::{LogLevel, Settings, Store};
use crate::model::policy::{GreenCost, Objective, Resources, Scheduler, Spare, Spread, classifier};

/// One key.
pub struct Key {
    /// As written, dotted where nested.
    pub name: &'static str,
    /// Its default, as written.
    pub default: &'static str,
    /// Meaning, unit and range; one or more lines.
    pub help: &'static str,
    /// Sets the value, or says what is allowed.
    pub set: fn(&mut Settings, &str) -> Result<(), &'static str>,
}

/// All keys, in the order of the shipped file.
pub fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(optimize::KEYS).chain(serve::KEYS).chain(operate::KEYS)
}

/// Keys, and sections of keys, that name files, addresses and services of one machine, or
/// what is told there. All others say how to decide.
const LOCAL: [&str; 10] = [
    "history.",
    "record.",
    "shadow.",
    "serve.",
    "decision_log",
    "log",
    "log_placements",
    "messages",
    "metrics",
    "model",
];

/// Whether a key belongs to the machine and not to decisions, so that a bundle does not carry it.
#[must_use]
pub fn is_local(key: &str) -> bool {
    LOCAL.iter().any(|local| if local.ends_with('.') { key.starts_with(local) } else { key == *local })
}

/// Those of all commands.
const KEYS: &[Key] = &[
    Key {
        name: "scheduler",
        default: "interference",
        help: "What chooses among the hosts that a VM may go to: interference, or random, to compare with.\n\
               AI-Orchestrator's names InterferenceAwareScheduler (also InteferenceAwareScheduler, as it\n\
               spells it) and RandomScheduler do as well.",
        set: |s, text| scheduler(text).map(|value| s.policy.scheduler = value),
    },
    Key {
        name: "objective",
        default: "joint",
        help: "How the choice by interference is made: joint (the distances D of all hosts, the worst ones\n\
               most, are made as small as possible for the whole batch), ai-orchestrator (VMs one after\n\
               another, each to the host with the smallest D) or ai-orchestrator-signed (the same without the\n\
               absolute value, as AI-Orchestrator's program does).",
        set: |s, text| {
            s.policy.objective = match text {
                "joint" => Objective::Joint,
                // the names of versions before 0.2 are still understood
                "ai-orchestrator" | "seed" => Objective::AiOrchestrator,
                "ai-orchestrator-signed" | "seed-signed" => Objective::AiOrchestratorSigned,
                _ => return Err("joint, ai-orchestrator or ai-orchestrator-signed"),
            };
            Ok(())
        },
    },
    Key {
        name: "seed",
        default: "0",
        help: "Number behind choices by chance (scheduler: random): equal seeds choose alike. A whole number.",
        set: |s, text| text.parse().map(|value| s.policy.seed = value).map_err(|_| "a whole number"),
    },
    Key {
        name: "planner.deadline",
        default: "1",
        help: "Seconds of CPU that the search for a better plan may take, counted in steps so that equal\n\
               requests get equal plans. The first plan is always finished; the search ends earlier when more\n\
               of it does not pay. More is never worse. A number from 0 to 3600.",
        set: |s, text| number(text, 3600.0).map(|value| s.policy.deadline = value).ok_or("a number from 0 to 3600"),
    },
    Key {
        name: "s_green",
        default: "1",
        help: "How much a host without renewable energy is worse: its distance D counts 1 + s_green times.\n\
               Hosts tell their share in ENERGY_RENEWABLE (YES, NO, 0.4, 40%), else their cluster does.\n\
               A number from 0 (green does not matter) to 1000.",
        set: |s, text| number(text, 1000.0).map(|value| s.policy.s_green = value).ok_or("a number from 0 to 1000"),
    },
    Key {
        name: "green_cost",
        default: "ai-orchestrator",
        help: "How energy counts. ai-orchestrator: D counts more the less renewable energy a host has.\n\
               energy: hosts where demand emits little are evened to more than the mean of all hosts, by\n\
               energy_budget: power (POWER_CURVE, or POWER_IDLE and POWER_MAX, watts) x carbon intensity\n\
               (CARBON_ZONE of a stored series, or CARBON_INTENSITY, gCO2/kWh, or any price). s_green 0\n\
               switches both off.",
        set: |s, text| {
            let known = GreenCost::NAMES.iter().find(|(name, _)| *name == text);
            known.map(|(_, cost)| s.policy.green_cost = *cost).ok_or("ai-orchestrator or energy")
        },
    },
    Key {
        name: "energy_budget",
        default: "0.7",
        help: "With green_cost: energy, how much more than the mean of all hosts the cleanest ones may carry, and\n\
               how much less the others, as a share of that mean. A number from 0 to 1.",
        set: |s, text| number(text, 1.0).map(|value| s.policy.energy_budget = value).ok_or("a number from 0 to 1"),
    },
    Key {
        name: "overload",
        default: "0.01",
        help: "Share of the time that a host may be over its capacity by what its VMs are expected to use: 0.01\n\
               keeps 2.33 deviations free beside the expected load, 0.5 none. Where no plan can, the\n\
               overload is made as small as it gets before anything else. A number from 0 to 0.5.",
        set: |s, text| number(text, 0.5).map(|value| s.policy.overload = value).ok_or("a number from 0 to 0.5"),
    },
    Key {
        name: "weights.cpu",
        default: "1",
        help: "Weight of CPU in the distance D. A number from 0 to 1000.",
        set: |s, text| number(text, 1000.0).map(|value| s.policy.weight_cpu = value).ok_or("a number from 0 to 1000"),
    },
    Key {
        name: "weights.memory",
        default: "1",
        help: "Weight of memory in the distance D. A number from 0 to 1000.",
        set: |s, text| {
            number(text, 1000.0).map(|value| s.policy.weight_memory = value).ok_or("a number from 0 to 1000")
        },
    },
    Key {
        name: "weights.disk_io",
        default: "0.1",
        help: "Weight of disk traffic in the distance D. No request tells what a host's disks can do, so the\n\
               mean host counts as half full: a small weight, that decides where CPU and memory do not.\n\
               Left out while nobody measures it. A number from 0 to 1000.",
        set: |s, text| {
            number(text, 1000.0).map(|value| s.policy.weight_disk_io = value).ok_or("a number from 0 to 1000")
        },
    },
    Key {
        name: "weights.net_io",
        default: "0.1",
        help: "Weight of network traffic in the distance D, likewise. A number from 0 to 1000.",
        set: |s, text| {
            number(text, 1000.0).map(|value| s.policy.weight_net_io = value).ok_or("a number from 0 to 1000")
        },
    },
    Key {
        name: "risk",
        default: "0.5",
        help: "Weight of uncertainty in the distance D, in weights of CPU: how far what a host's VMs use\n\
               together may be off (a standard deviation) is evened out over the hosts as a\n\
               resource is. 0 trusts the estimates. A number from 0 to 10.",
        set: |s, text| number(text, 10.0).map(|value| s.policy.risk = value).ok_or("a number from 0 to 10"),
    },
    Key {
        name: "resources",
        default: "metrics",
        help: "What is balanced: metrics (CPU, memory, disk and network traffic) or classes (how far VMs are\n\
               from each class of the model, as AI-Orchestrator has it).",
        set: |s, text| {
            s.policy.resources = match text {
                "metrics" => Resources::Metrics,
                "classes" => Resources::Classes,
                _ => return Err("metrics or classes"),
            };
            Ok(())
        },
    },
    Key {
        name: "classifier",
        default: "any",
        help: "Which classes: `train` fits this classifier, and `resources: classes` balances its vectors.\n\
               kmeans, mc2pca, idec, idec-soft or random; AI-Orchestrator's names ClassicalClassifier,\n\
               DLIR, DLClassifier and RandomClassifier do as well. any: train fits kmeans, and what is balanced are\n\
               the classes of the model that is there. idec and idec-soft are one model: either serves both.",
        set: |s, text| {
            s.policy.classifier = match text {
                "any" => None,
                _ => Some(
                    classifier(text)
                        .ok_or("any, kmeans, mc2pca, idec, idec-soft or random, or AI-Orchestrator's names")?,
                ),
            };
            Ok(())
        },
    },
    Key {
        name: "max_per_host",
        default: "0",
        help: "At most this many VMs of one request go to one host. 0 is no limit.",
        set: |s, text| {
            let value: u32 = text.parse().map_err(|_| "a whole number, 0 for no limit")?;
            s.policy.max_per_host = (value > 0).then_some(value);
            Ok(())
        },
    },
    Key {
        name: "spare",
        default: "no",
        help: "Room to keep for a failure (N+1): 1 for that of any one host, RACK or another attribute of hosts\n\
               for that of all hosts with one value of it. By allocation and the rules of hosts, groups and\n\
               clusters. Who would have no place is told with every plan; optimize.policy: pack keeps that room\n\
               on hosts that are in use. no, 1 or the name of an attribute.",
        set: |s, text| {
            let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && text.len() <= 64;
            s.policy.spare = match text {
                "no" | "0" | "none" => Spare::None,
                "1" => Spare::Host,
                _ if is_name => Spare::Domain(text.to_ascii_uppercase()),
                _ => return Err("no, 1 or the name of a host attribute, such as RACK"),
            };
            Ok(())
        },
    },
    Key {
        name: "max_actions_per_host",
        default: "1",
        help: "MAX_ACTIONS_PER_HOST of oned.conf: how many actions of a plan run on one host at once. Plans are\n\
               ordered and cut by it. Read from oned.conf where that is readable and nothing is said here. A whole\n\
               number from 1 to 1000.",
        set: |s, text| {
            let value = text.parse().ok().filter(|count| (1..=1000).contains(count));
            value.map(|count| s.policy.executor.per_host = count).ok_or("a whole number from 1 to 1000")
        },
    },
    Key {
        name: "max_actions_per_cluster",
        default: "30",
        help: "MAX_ACTIONS_PER_CLUSTER of oned.conf: how many actions of a plan run at once. A plan that starts\n\
               at once is over soon, and oned asks again; one that does not keeps the answers to newer requests\n\
               out. So plans are cut to what starts at once while starts are quick. Read from oned.conf like the\n\
               other. A whole number from 1 to 10000.",
        set: |s, text| {
            let value = text.parse().ok().filter(|count| (1..=10_000).contains(count));
            value.map(|count| s.policy.executor.per_cluster = count).ok_or("a whole number from 1 to 10000")
        },
    },
    Key {
        name: "sched_rank",
        default: "yes",
        help: "Whether SCHED_RANK and SCHED_DS_RANK of a VM go before our score: yes or no.",
        set: |s, text| yes_no(text).map(|value| s.policy.sched_rank = value),
    },
    Key {
        name: "datastores",
        default: "striping",
        help: "Which system datastore a VM gets among those that fit:\n\
               striping (most free first) or packing (least free first).",
        set: |s, text| spread(text).map(|value| s.policy.datastores = value),
    },
    Key {
        name: "networks",
        default: "striping",
        help: "Which network a NIC in auto mode gets among those that fit:\n\
               striping (most free leases first) or packing (fewest first).",
        set: |s, text| spread(text).map(|value| s.policy.networks = value),
    },
    Key {
        name: "different_vnets",
        default: "yes",
        help: "Whether the auto NICs of one VM must be on different networks: yes or no.",
        set: |s, text| yes_no(text).map(|value| s.policy.different_vnets = value),
    },
    Key {
        name: "memory_system_ds_scale",
        default: "0",
        help: "Reserves this factor x memory of a VM on its system datastore, for checkpoints.\n\
               A number from 0 to 100.",
        set: |s, text| {
            number(text, 100.0).map(|value| s.policy.memory_system_ds_scale = value).ok_or("a number from 0 to 100")
        },
    },
    Key {
        name: "monitoring_max_age",
        default: "600",
        help: "A host sample that is older than this many seconds, against the newest of the request,\n\
               does not count; what is allocated counts instead. A whole number; with 0 no sample counts.",
        set: |s, text| {
            let value: u32 = text.parse().map_err(|_| "a whole number of seconds")?;
            s.policy.monitoring_max_age = i64::from(value);
            Ok(())
        },
    },
    Key {
        name: "history.store",
        default: "sqlite:/var/lib/one/oneaio/history.db",
        help: "Where the history of VMs is kept: sqlite:FILE, postgresql://USER@HOST/DATABASE or none.\n\
               The default file is used where its folder exists. ENVSERVER_DB_HOST, _PORT, _USER and\n\
               _PASSWORD in the environment name a PostgreSQL server instead.",
        set: |s, text| {
            s.history = match text {
                DEFAULT_STORE => None,
                _ => Some(store(text)?),
            };
            Ok(())
        },
    },
    Key {
        name: "history.deadline",
        default: "2",
        help: "Seconds that `place` waits for history, connection included; then it decides from the\n\
               request alone. A number from 0.01 to 60.",
        set: |s, text| {
            let value = number(text, 60.0).filter(|value| *value >= 0.01);
            value.map(|value| s.history_deadline = value).ok_or("a number from 0.01 to 60")
        },
    },
    Key {
        name: "history.keep",
        default: "90",
        help: "Days that samples are kept; `collect` drops older ones once a day, estimates stay.\n\
               A whole number from 1 to 3650.",
        set: |s, text| {
            let value = text.parse().ok().filter(|days| (1..=3650).contains(days));
            value.map(|days| s.history_keep = days).ok_or("a whole number of days from 1 to 3650")
        },
    },
    Key {
        name: "model",
        default: "/var/lib/one/oneaio/model.safetensors",
        help: "The file that `oneaio train` writes: classes, and how history becomes estimates. `collect` and\n\
               `import` use it; without it estimates are simple means and percentiles. An absolute path.",
        set: |s, text| {
            s.model = (text != DEFAULT_MODEL).then(|| text.into());
            if text.starts_with('/') { Ok(()) } else { Err("an absolute path") }
        },
    },
    Key {
        name: "log",
        default: "info",
        help: "What is told on stderr, and so in oned.log and the logs of VMs:\n\
               error, warn, info or debug.",
        set: |s, text| {
            s.log = match text {
                "error" => LogLevel::Error,
                "warn" => LogLevel::Warn,
                "info" => LogLevel::Info,
                "debug" => LogLevel::Debug,
                _ => return Err("error, warn, info or debug"),
            };
            Ok(())
        },
    },
    Key {
        name: "log_placements",
        default: "200",
        help: "At most this many placed VMs of one request get a line in their log that says why they\n\
               go where they go: oned digests such lines slowly. 0 is none.",
        set: |s, text| {
            s.log_placements = text.parse().map_err(|_| "a whole number, 0 for none")?;
            Ok(())
        },
    },
    Key {
        name: "messages",
        default: "full",
        help: "What tenants are told in the logs and SCHED_MESSAGE of their VMs, and clients of `serve`. full:\n\
               the number that decides, and the nearest host. brief: the kind of reason and what they can do,\n\
               without names, ids or room of hosts, datastores and other VMs; the full reasons go to oned.log,\n\
               the decision log and `oneaio explain`.",
        set: |s, text| {
            s.brief = match text {
                "full" => false,
                "brief" => true,
                _ => return Err("full or brief"),
            };
            Ok(())
        },
    },
];

fn number(text: &str, max: f64) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| (0.0..=max).contains(value))
}

/// Where the packages make room for the model.
const DEFAULT_MODEL: &str = "/var/lib/one/oneaio/model.safetensors";

/// The store that the packages prepare.
const DEFAULT_STORE: &str = "sqlite:/var/lib/one/oneaio/history.db";

fn store(text: &str) -> Result<Store, &'static str> {
    if text == "none" {
        return Ok(Store::None);
    }
    if let Some(path) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        return Ok(Store::Sqlite(path.into()));
    }
    let address = text.starts_with("postgresql://") || text.starts_with("postgres://") || text.starts_with("host=");
    if address {
        Ok(Store::Postgres(text.to_owned()))
    } else {
        Err("sqlite:FILE, postgresql://USER@HOST/DATABASE or none")
    }
}

fn yes_no(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("yes or no"),
    }
}

fn spread(text: &str) -> Result<Spread, &'static str> {
    match text {
        "striping" => Ok(Spread::Striping),
        "packing" => Ok(Spread::Packing),
        _ => Err("striping or packing"),
    }
}

/// The names of schedulers, those of AI-Orchestrator among them; the service over HTTP takes them too.
///
/// # Errors
/// The names there are, when it is none of them.
pub fn scheduler(text: &str) -> Result<Scheduler, &'static str> {
    match text {
        "interference" | "InterferenceAwareScheduler" | "InteferenceAwareScheduler" => Ok(Scheduler::Interference),
        "random" | "RandomScheduler" => Ok(Scheduler::Random),
        _ => Err("interference (or InterferenceAwareScheduler) or random (or RandomScheduler)"),
    }
}

/// The shipped configuration file: each key at its default, commented out.
#[must_use]
pub fn file() -> String {
    let mut text = String::from(
        "# Configuration of oneaio. Every key stands here at its default, commented out.\n\
         # Unknown keys and impossible values are told with their line; until they are mended the\n\
         # last configuration that was good counts. `oneaio config --effective` shows what counts.\n",
    );
    for key in all() {
        text.push('\n');
        for line in key.help.lines() {
            text.push_str(&format!("# {}\n", line.trim()));
        }
        // whole names, so that one line can be uncommented alone
        text.push_str(&format!("#{}: {}\n", key.name, key.default));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_names_a_place_is_local() {
        for key in super::all() {
            let names_a_place = ["/", "none"].iter().any(|sign| key.default.contains(sign));
            assert!(!names_a_place || super::is_local(key.name), "{} would be taken from bundles", key.name);
        }
        for local in super::LOCAL {
            assert!(super::all().any(|key| key.name.starts_with(local)), "{local}");
        }
    }

    use super::*;
    use crate::config::settings;

    #[test]
    fn the_defaults_in_words_are_the_defaults_in_code() {
        for key in all() {
            let mut changed = Settings::default();
            (key.set)(&mut changed, key.default).unwrap_or_else(|allowed| panic!("{}: {allowed}", key.name));
            assert_eq!(changed, Settings::default(), "{}", key.name);
        }
    }

    #[test]
    fn the_shipped_file_says_nothing_new_when_uncommented() {
        let is_key = |line: &str| {
            let rest = line.trim_start_matches('#');
            rest.split_once(':').is_some_and(|(name, _)| all().any(|key| key.name == name))
        };
        let text: String =
            file().lines().filter(|l| is_key(l)).map(|l| format!("{}\n", l.trim_start_matches('#'))).collect();
        let found = settings(Some(("shipped", &text)), &[]).expect("the shipped file is valid");
        assert_eq!(found, Settings::default());
        assert_eq!(text.lines().count(), all().count(), "{text}");
        for line in text.lines() {
            assert_eq!(settings(Some(("one line", line)), &[]).as_ref(), Ok(&Settings::default()), "{line}");
        }
    }

    #[test]
    fn numbers_words_and_stores_are_taken_within_their_range() {
        assert_eq!((number("0", 5.0), number("5", 5.0), number("5.1", 5.0)), (Some(0.0), Some(5.0), None));
        assert_eq!((number("-0.1", 5.0), number("x", 5.0), number("NaN", 5.0)), (None, None, None));
        assert_eq!(
            (yes_no("YES"), yes_no("true"), yes_no("No"), yes_no("false")),
            (Ok(true), Ok(true), Ok(false), Ok(false))
        );
        assert_eq!(yes_no("maybe"), Err("yes or no"));
        assert_eq!(
            (spread("striping"), spread("packing"), spread("x").is_err()),
            (Ok(Spread::Striping), Ok(Spread::Packing), true)
        );
        assert_eq!((store("none"), store("sqlite:/a")), (Ok(Store::None), Ok(Store::Sqlite("/a".into()))));
        for address in ["postgresql://a", "postgres://a", "host=a"] {
            assert_eq!(store(address), Ok(Store::Postgres(address.to_owned())));
        }
        for odd in ["", "sqlite:", "mysql://a", "ahost=a"] {
            assert_eq!(store(odd), Err("sqlite:FILE, postgresql://USER@HOST/DATABASE or none"), "{odd}");
        }
        for name in ["interference", "InterferenceAwareScheduler", "InteferenceAwareScheduler"] {
            assert_eq!(scheduler(name), Ok(Scheduler::Interference));
        }
        assert_eq!((scheduler("random"), scheduler("RandomScheduler")), (Ok(Scheduler::Random), Ok(Scheduler::Random)));
        assert!(scheduler("rank").is_err());
    }

    #[test]
    fn the_file_has_each_key_behind_its_help() {
        let text = file();
        let begin = "# Configuration of oneaio. Every key stands here at its default, commented out.\n";
        assert!(text.starts_with(begin), "{text}");
        let key = all().find(|key| key.help.contains('\n')).unwrap();
        let help: String = key.help.lines().map(|line| format!("# {}\n", line.trim())).collect();
        assert!(text.contains(&format!("\n\n{help}#{}: {}\n", key.name, key.default)), "{text}");
    }
}
