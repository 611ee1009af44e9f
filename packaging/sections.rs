//! What man pages tell beside the options: examples, files, environment, exit status.

/// Examples of each command, by its name below `oneaio`: what it does, and the line.
pub const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    ("", &[("Look whether all is well", "oneaio check"), ("Why does VM 58 wait?", "oneaio explain 58")]),
    ("place", &[("As one_sched runs it, by hand", "oneaio place --set history.store=none")]),
    (
        "optimize",
        &[
            ("What would be migrated, nothing done", "oneaio optimize --dry-run production"),
            ("Plan cluster 100 as oned asks for it", "oneaio optimize 100 --set optimize.policy=pack"),
        ],
    ),
    (
        "drain",
        &[
            ("Can this host be emptied?", "oneaio drain node7"),
            ("Empty it, after a question", "oneaio drain node7 --apply"),
            ("From a recorded request", "oneaio drain 43 --from fixtures/j_optimize20"),
            (
                "A rolling reboot of three hosts, such that one more may fail",
                "oneaio drain node1 node2 node3 --set spare=1",
            ),
        ],
    ),
    (
        "advise",
        &[
            ("Which VMs of a cluster are far too large?", "oneaio advise production"),
            ("From a recorded request, for programs", "oneaio advise --json --from fixtures/m_advise"),
        ],
    ),
    (
        "replay",
        &[
            ("Decide a recorded request and show why", "oneaio replay fixtures/first_look"),
            (
                "What would twice the weight of energy change?",
                "oneaio replay --summary --set s_green=2 /var/lib/one/oneaio/bundles",
            ),
            ("After some days of shadow mode", "oneaio replay --compare /var/lib/one/oneaio/shadow"),
            ("A page to look at", "oneaio replay --html /tmp/decisions.html /var/lib/one/oneaio/bundles"),
        ],
    ),
    ("serve", &[("Another port", "oneaio serve --set serve.port=50090")]),
    (
        "collect",
        &[
            ("Once, as the timer does", "oneaio collect"),
            ("Every minute until it is stopped", "oneaio collect --watch 60"),
        ],
    ),
    (
        "import",
        &[
            ("Weeks of history from Prometheus", "oneaio import --prometheus http://fe1:9090 --since 15d"),
            ("Carbon intensity of a zone", "oneaio import --carbon BE carbon-BE.csv"),
        ],
    ),
    ("train", &[("Another classifier", "oneaio train --classifier mc2pca")]),
    ("classify", &[("Two VMs", "oneaio classify 42 43")]),
    ("classes", &[("The classes of the model", "oneaio classes")]),
    ("evaluate", &[("With a plot", "oneaio evaluate --plot fit.svg")]),
    ("power", &[("POWER_CURVE of every measured host", "oneaio power")]),
    ("db", &[("How the store stands", "oneaio db status")]),
    ("db-init", &[("Make the tables", "oneaio db init")]),
    ("db-status", &[("How the store stands", "oneaio db status")]),
    ("db-prune", &[("Drop what is older than history.keep", "oneaio db prune")]),
    (
        "explain",
        &[
            ("The last decision about VM 58", "oneaio explain 58"),
            ("Why does this VM stay where it runs?", "oneaio explain web-a --living"),
            ("Host by host, from a recorded request", "oneaio explain 63 --from fixtures/first_look"),
        ],
    ),
    ("check", &[("For monitoring", "oneaio check --nagios"), ("Without asking oned", "oneaio check --offline --json")]),
    ("simulate", &[("A month of a trace", "oneaio simulate metrics.csv.gz --vms vms.csv")]),
    (
        "config",
        &[
            ("A file to begin with", "oneaio config"),
            ("What counts, and from where", "oneaio config --effective"),
            ("Take over what rank was told", "oneaio config --from /etc/one/schedulers/rank.conf"),
        ],
    ),
];

/// Files, and what they are.
const FILES: &[(&str, &str)] = &[
    ("/etc/one/schedulers/oneaio.conf", "the configuration, see oneaio.conf(5)"),
    ("/var/lib/one/oneaio", "history, model, recorded requests, faults, the last configuration that was good"),
    ("/var/log/one/oneaio-decisions.log", "a JSON object for each decision"),
    ("/usr/share/doc/oneaio", "README.md and more"),
];

/// Variables that count.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("ONE_LOCATION", "the folder of an OpenNebula that is not installed by packages; all files are below it"),
    ("ONED_ADDR, ONE_XMLRPC", "where oned listens; without both, what oned.conf of this machine says"),
    ("ONE_AUTH, ONED_PASS", "a file with user:password for oned; the password of oneadmin"),
    ("COLUMNS, NO_COLOR", "width of tables; set: no colours"),
];

/// How commands end.
const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "done"),
    ("1", "a replay differs from what was expected, or a host cannot be emptied, or was not to its end"),
    ("2", "the command line or the configuration is wrong"),
    ("3", "what was to be read cannot be used: request, store, oned"),
    ("4", "the answer cannot be written"),
    ("70", "a fault of oneaio itself"),
];

/// The sections of the page of a command, in roff.
#[allow(dead_code)] // a test reads the examples alone
pub fn roff(command: &str) -> String {
    let mut text = String::new();
    let listed = |text: &mut String, title: &str, rows: &[(&str, &str)]| {
        text.push_str(&format!(".SH {title}\n"));
        for (name, meaning) in rows {
            text.push_str(&format!(".TP\n.B {}\n{}\n", escaped(name), escaped(meaning)));
        }
    };
    listed(&mut text, "EXIT STATUS", EXIT_STATUS);
    if command == "check" {
        text.push_str(".PP\ncheck ends with 0 where all is well, 1 with warnings, 2 with errors.\n");
    }
    listed(&mut text, "ENVIRONMENT", ENVIRONMENT);
    listed(&mut text, "FILES", FILES);
    text.push_str(".SH EXAMPLES\n");
    for (_, examples) in EXAMPLES.iter().filter(|(name, _)| *name == command) {
        for (what, line) in *examples {
            let colon = if what.ends_with('?') { "" } else { ":" };
            text.push_str(&format!("{}{colon}\n.PP\n.RS 4\n{}\n.RE\n.PP\n", escaped(what), escaped(line)));
        }
    }
    text.push_str(".SH SEE ALSO\noneaio(1), oneaio.conf(5), oneaio\\-check(1), oneaio\\-explain(1)\n");
    text
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
