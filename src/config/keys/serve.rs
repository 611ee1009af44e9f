//! The keys of `oneaio serve`.

use super::{Key, number, yes_no};
use std::path::PathBuf;

/// In the order of the shipped file.
pub const KEYS: &[Key] = &[
    Key {
        name: "serve.address",
        default: "127.0.0.1",
        help: "Where `oneaio serve` listens: an IP address of this machine, 0.0.0.0 or :: for all.\n\
               Whoever reaches it may ask for placements; see serve.token_file.",
        set: |s, text| text.parse().map(|address| s.serve.address = address).map_err(|_| "an IP address"),
    },
    Key {
        name: "serve.port",
        default: "4567",
        help: "Its port, the one of EXTERNAL_SCHEDULER in sched.conf. ML_MODEL_PORT in the environment\n\
               goes over it. 0 takes any free port.",
        set: |s, text| text.parse().map(|port| s.serve.port = port).map_err(|_| "a port from 0 to 65535"),
    },
    Key {
        name: "serve.token_file",
        default: "none",
        help: "A file whose first line is a secret. Requests that change classifier, scheduler or s_green\n\
               must then carry it: `Authorization: Bearer SECRET`. Placements never need it. With none,\n\
               only the user that runs the service, and root, may change them, on its machine.",
        set: |s, text| file(text).map(|path| s.serve.token_file = path),
    },
    Key {
        name: "serve.open_changes",
        default: "no",
        help: "Without serve.token_file: whether everybody who reaches the port may change classifier,\n\
               scheduler and s_green, as with AI-Orchestrator: yes or no.",
        set: |s, text| yes_no(text).map(|value| s.serve.open_changes = value),
    },
    Key {
        name: "serve.state_file",
        default: "none",
        help: "A file that keeps what is set over REST for the next start. With none, a restart brings\n\
               back what this file says.",
        set: |s, text| file(text).map(|path| s.serve.state_file = path),
    },
    Key {
        name: "serve.deadline",
        default: "8",
        help: "Seconds for one request; keep it below TIMEOUT of EXTERNAL_SCHEDULER (10). A number from\n\
               0.1 to 600.",
        set: |s, text| {
            seconds(text, 0.1, 600.0).map(|value| s.serve.deadline = value).ok_or("a number from 0.1 to 600")
        },
    },
    Key {
        name: "serve.max_body",
        default: "8",
        help: "The longest body of a request, in MiB. A number from 0.001 to 256.",
        set: |s, text| {
            let value = seconds(text, 0.001, 256.0).ok_or("a number from 0.001 to 256")?;
            s.serve.max_body = (value * f64::from(1 << 20)) as usize;
            Ok(())
        },
    },
    Key {
        name: "serve.max_connections",
        default: "512",
        help: "Connections at a time; one more closes the oldest that is not being answered. A whole\n\
               number from 8 to 65536.",
        set: |s, text| {
            let value = text.parse().ok().filter(|value| (8..=65_536).contains(value));
            value.map(|value| s.serve.max_connections = value).ok_or("a whole number from 8 to 65536")
        },
    },
    Key {
        name: "serve.max_host",
        default: "1",
        help: "MAX_HOST of sched.conf: mm_sched starts so many VMs per host in one cycle, more wait for the\n\
               next. A batch is spread that wide where it fits. 0 spreads by interference alone.",
        set: |s, text| {
            let value: u32 = text.parse().map_err(|_| "a whole number, 0 not to care")?;
            s.serve.max_host = (value > 0).then_some(value);
            Ok(())
        },
    },
    Key {
        name: "serve.max_dispatch",
        default: "30",
        help: "MAX_DISPATCH of sched.conf: mm_sched starts so many VMs in all in one cycle. Those that come next\n\
               do not count as placed yet. 0 is no limit.",
        set: |s, text| {
            let value: u32 = text.parse().map_err(|_| "a whole number, 0 for no limit")?;
            s.serve.max_dispatch = (value > 0).then_some(value);
            Ok(())
        },
    },
    Key {
        name: "serve.sched_message",
        default: "no",
        help: "Whether why VMs of mm_sched wait is written to USER_TEMPLATE/SCHED_MESSAGE, after the answer, by\n\
               the user of ONE_AUTH, who must be allowed to (oneadmin): yes or no.",
        set: |s, text| yes_no(text).map(|value| s.serve.sched_message = value),
    },
    Key {
        name: "serve.oned_refresh",
        default: "10",
        help: "Seconds between two looks at hosts and pending VMs of oned (ONED_ADDR, ONE_AUTH), in the\n\
               background. 0 never asks: hosts are then evened out by what requests say. Up to 3600.",
        set: |s, text| {
            let value = number(text, 3600.0).ok_or("a number from 0 to 3600")?;
            s.serve.oned_refresh = (value > 0.0).then_some(value.max(0.1));
            Ok(())
        },
    },
    Key {
        name: "serve.oned_max_age",
        default: "600",
        help: "Seconds for which the last known state of a lost oned is used. A number from 1 to 86400.",
        set: |s, text| {
            seconds(text, 1.0, 86_400.0).map(|value| s.serve.oned_max_age = value).ok_or("a number from 1 to 86400")
        },
    },
];

fn seconds(text: &str, min: f64, max: f64) -> Option<f64> {
    number(text, max).filter(|value| *value >= min)
}

fn file(text: &str) -> Result<Option<PathBuf>, &'static str> {
    match text {
        "" | "~" | "null" => Err("the name of a file, or none"),
        "none" => Ok(None),
        path => Ok(Some(path.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_a_least_and_a_most_and_files_a_name() {
        assert_eq!((seconds("1", 1.0, 9.0), seconds("9", 1.0, 9.0)), (Some(1.0), Some(9.0)));
        assert_eq!((seconds("0.9", 1.0, 9.0), seconds("9.1", 1.0, 9.0), seconds("x", 1.0, 9.0)), (None, None, None));
        assert_eq!((file("none"), file("/a")), (Ok(None), Ok(Some("/a".into()))));
        for odd in ["", "~", "null"] {
            assert_eq!(file(odd), Err("the name of a file, or none"), "{odd:?}");
        }
    }
}
