//! The keys of operation: records, decision log, metrics, deadline, pauses of VMs that do not start.

use super::{Key, number, yes_no};
use crate::config::operate::Destination;

const DEFAULT_LOG: &str = "/var/log/one/oneaio-decisions.log";
const DEFAULT_RECORDS: &str = "/var/lib/one/oneaio/bundles";
const DEFAULT_METRICS: &str = "/var/lib/one/oneaio/metrics/oneaio.prom";

/// In the order of the shipped file.
pub const KEYS: &[Key] = &[
    Key {
        name: "deadline",
        default: "30",
        help: "Seconds for one request of `place` or `optimize`, history included. oned waits for ever. After\n\
               four fifths of it the best plan so far is given. There is a first plan however short it is: it\n\
               has at least 2 s, and 0.1 s for each MB of the request. A number from 0.001 to 3600.",
        set: |s, text| {
            let value = number(text, 3600.0).filter(|value| *value >= 0.001);
            value.map(|value| s.operate.deadline = value).ok_or("a number from 0.001 to 3600")
        },
    },
    Key {
        name: "decision_log",
        default: DEFAULT_LOG,
        help: "A file with one JSON object per request and line: what was decided and why. The default\n\
               file is used where its folder exists; none is no log. `oneaio explain` reads it.",
        set: |s, text| {
            destination(text, DEFAULT_LOG).map(|value| s.operate.decision_log = value).ok_or("a file, or none")
        },
    },
    Key {
        name: "metrics",
        default: DEFAULT_METRICS,
        help: "A file for the textfile collector of node_exporter: decisions of `place` and `optimize` in\n\
               numbers. The default file is used where its folder exists; none writes none.",
        set: |s, text| {
            destination(text, DEFAULT_METRICS).map(|value| s.operate.metrics = value).ok_or("a file, or none")
        },
    },
    Key {
        name: "shadow.place",
        default: "none",
        help: "The scheduler that answers placements while oneaio only plans beside it: the name of its\n\
               folder, such as rank, or the path of its program. Both answers are kept (record.dir, or a\n\
               folder of their own) for `oneaio replay --compare`. none: oneaio answers.",
        set: |s, text| scheduler(text).map(|value| s.operate.shadow_place = value).ok_or(A_SCHEDULER),
    },
    Key {
        name: "shadow.optimize",
        default: "none",
        help: "The same for optimizations, such as one_drs.",
        set: |s, text| scheduler(text).map(|value| s.operate.shadow_optimize = value).ok_or(A_SCHEDULER),
    },
    Key {
        name: "record.dir",
        default: DEFAULT_RECORDS,
        help: "A folder that keeps the last requests as bundles, with answer, settings and estimates, for\n\
               `oneaio explain` and `oneaio replay`. Bundles may be read by oneadmin only. The default\n\
               folder is used where the one that holds it exists, and for requests of at most 16 MiB; one\n\
               that is named takes all. none keeps none.",
        set: |s, text| {
            destination(text, DEFAULT_RECORDS).map(|value| s.operate.record = value).ok_or("a folder, or none")
        },
    },
    Key {
        name: "record.keep",
        default: "2000",
        help: "So many bundles are kept, the newest: more than a day of the requests that oned makes each\n\
               minute while a VM waits. A whole number from 1 to 1000000.",
        set: |s, text| {
            let value: usize = text.parse().map_err(|_| "a whole number from 1 to 1000000")?;
            if !(1..=1_000_000).contains(&value) {
                return Err("a whole number from 1 to 1000000");
            }
            s.operate.record_keep = value;
            Ok(())
        },
    },
    Key {
        name: "record.max_size",
        default: "256",
        help: "MiB that all bundles take together at most; older ones go. A number from 1 to 1000000.",
        set: |s, text| {
            let value = number(text, 1e6).filter(|value| *value >= 1.0).ok_or("a number from 1 to 1000000")?;
            s.operate.record_max_size = (value * f64::from(1 << 20)) as u64;
            Ok(())
        },
    },
    Key {
        name: "record.redact",
        default: "yes",
        help: "Whether bundles leave out what users wrote into CONTEXT and USER_TEMPLATE, passwords and keys\n\
               among them, but for what decisions rest on (SCHED_*, FLAVOURS and the like): yes or no.",
        set: |s, text| yes_no(text).map(|value| s.operate.record_redact = value),
    },
    Key {
        name: "retry.after",
        default: "3",
        help: "A VM that was placed and did not start so many times comes after all others and has to pause\n\
               before the next attempt, so that it does not hold room that others need. 0 never pauses. Needs\n\
               a store (history.store). A whole number from 0 to 1000.",
        set: |s, text| {
            whole(text, 1000).map(|value| s.policy.retry.after = value).ok_or("a whole number from 0 to 1000")
        },
    },
    Key {
        name: "retry.pause",
        default: "120",
        help: "Seconds of the first pause; each further one is twice as long. A whole number from 0 to 86400.",
        set: |s, text| {
            whole(text, DAY).map(|value| s.policy.retry.pause = value).ok_or("a whole number from 0 to 86400")
        },
    },
    Key {
        name: "retry.max_pause",
        default: "1800",
        help: "Seconds of the longest pause. A whole number from 0 to 86400.",
        set: |s, text| {
            whole(text, DAY).map(|value| s.policy.retry.longest = value).ok_or("a whole number from 0 to 86400")
        },
    },
];

/// Seconds.
const DAY: u32 = 86_400;

const A_SCHEDULER: &str = "none, the name of a scheduler's folder, or an absolute path";

/// `None` inside for none.
fn scheduler(text: &str) -> Option<Option<String>> {
    let is_name = |text: &str| !text.is_empty() && !text.starts_with('.') && !text.contains('/') && text != "oneaio";
    match text {
        "none" => Some(None),
        text if text.starts_with('/') || is_name(text) => Some(Some(text.to_owned())),
        _ => None,
    }
}

fn destination(text: &str, default: &str) -> Option<Destination> {
    match text {
        "" => None,
        "none" => Some(Destination::None),
        text if text == default => Some(Destination::Default),
        file => Some(Destination::File(file.into())),
    }
}

fn whole(text: &str, most: u32) -> Option<u32> {
    text.parse().ok().filter(|number| *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_scheduler_is_named_by_its_folder_or_path() {
        assert_eq!(scheduler("none"), Some(None));
        for name in ["rank", "/usr/lib/x", "/", "a.b"] {
            assert_eq!(scheduler(name), Some(Some(name.to_owned())));
        }
        for odd in ["", ".hidden", "../x", "a/b", "oneaio"] {
            assert_eq!(scheduler(odd), None, "{odd}");
        }
    }

    #[test]
    fn destinations_and_whole_numbers_are_what_they_say() {
        assert_eq!(destination("", "/d"), None);
        assert_eq!(
            (destination("none", "/d"), destination("/d", "/d")),
            (Some(Destination::None), Some(Destination::Default))
        );
        assert_eq!(destination("/e", "/d"), Some(Destination::File("/e".into())));
        assert_eq!(
            (whole("7", 7), whole("0", 7), whole("8", 7), whole("-1", 7), whole("1.5", 7)),
            (Some(7), Some(0), None, None, None)
        );
    }
}
