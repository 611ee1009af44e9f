//! The keys of cluster optimization. ONE_DRS of a cluster goes over them.

use super::{Key, number, yes_no};
use crate::model::policy::DrsPolicy;

/// A limit on migrations.
fn at_most(text: &str) -> Result<Option<u32>, &'static str> {
    match text {
        "-1" => Ok(None),
        text => text.parse().map(Some).map_err(|_| "a whole number from 0, or -1 for no limit"),
    }
}

/// In the order of the shipped file.
pub const KEYS: &[Key] = &[
    Key {
        name: "optimize.policy",
        default: "balance",
        help: "What `oneaio optimize` is after, unless ONE_DRS/POLICY of the cluster says otherwise:\n\
               balance (even out the hosts) or pack (empty hosts, least green first).",
        set: |s, text| {
            s.policy.optimize.policy = match text {
                "balance" => DrsPolicy::Balance,
                "pack" => DrsPolicy::Pack,
                _ => return Err("balance or pack"),
            };
            Ok(())
        },
    },
    Key {
        name: "optimize.migrations",
        default: "-1",
        help: "At most this many migrations in one plan, -1 for no limit. ONE_DRS/MIGRATION_THRESHOLD and\n\
               HOST_MIGRATION_THRESHOLD go over it.",
        set: |s, text| at_most(text).map(|limit| s.policy.optimize.migrations = limit),
    },
    Key {
        name: "optimize.datastore_migrations",
        default: "0",
        help: "At most this many migrations to another system datastore in one plan, -1 for no limit. They count\n\
               among all migrations. ONE_DRS/DS_MIGRATION_THRESHOLD goes over it.",
        set: |s, text| at_most(text).map(|limit| s.policy.optimize.datastore_migrations = limit),
    },
    Key {
        name: "optimize.datastore_limit",
        default: "0.9",
        help: "A shared system datastore that is fuller than this share of its room gives VMs to others of the\n\
               same TM_MAD, which stay below it. From 0 to 1.",
        set: |s, text| {
            number(text, 1.0).map(|value| s.policy.optimize.datastore_limit = value).ok_or("a number from 0 to 1")
        },
    },
    Key {
        name: "optimize.predictive",
        default: "0",
        help: "Share of oned's forecasts in what VMs will use; the rest is what they use. From 0 to 1.\n\
               ONE_DRS/PREDICTIVE goes over it.",
        set: |s, text| {
            number(text, 1.0).map(|value| s.policy.optimize.predictive = value).ok_or("a number from 0 to 1")
        },
    },
    Key {
        name: "optimize.minimum_gain",
        default: "0.02",
        help: "A migration must be worth this much D, as much as two hosts that come so much nearer to the\n\
               mean; else nothing moves. From 0 to 1.\n\
               ONE_DRS/MINIMUM_GAIN goes over it.",
        set: |s, text| {
            number(text, 1.0).map(|value| s.policy.optimize.minimum_gain = value).ok_or("a number from 0 to 1")
        },
    },
    Key {
        name: "optimize.move_pinned",
        default: "no",
        help: "Whether VMs with pinned CPUs or PCI devices may be migrated: yes or no.\n\
               ONE_DRS/MOVE_PINNED goes over it.",
        set: |s, text| yes_no(text).map(|value| s.policy.optimize.move_pinned = value),
    },
    Key {
        name: "optimize.pack_limit",
        default: "0.8",
        help: "pack fills hosts up to this share of their CPU and memory, as expected, with the deviations that\n\
               `overload` keeps free for CPU. From 0 to 1.\n\
               ONE_DRS/PACK_LIMIT goes over it.",
        set: |s, text| {
            number(text, 1.0).map(|value| s.policy.optimize.pack_limit = value).ok_or("a number from 0 to 1")
        },
    },
    Key {
        name: "drain.rate",
        default: "100",
        help: "MiB a second that a migration copies: for the times that `oneaio drain` tells, where HISTORY shows\n\
               fewer than three migrations. From 1 to 100000.",
        set: |s, text| {
            let rate = number(text, 100_000.0).filter(|rate| *rate >= 1.0);
            rate.map(|rate| s.policy.drain.rate = rate).ok_or("a number from 1 to 100000")
        },
    },
    Key {
        name: "drain.away",
        default: "600",
        help: "Seconds that hosts are away once they are empty, such as for a reboot: for the times of several waves\n\
               that `oneaio drain` tells. A whole number from 0 to 864000.",
        set: |s, text| {
            let away = text.parse().ok().filter(|seconds| *seconds <= 864_000);
            away.map(|away| s.policy.drain.away = away).ok_or("a whole number from 0 to 864000")
        },
    },
];
