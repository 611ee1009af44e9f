//! `oneaio check`: is everything set up and well? One line per finding, each with the remedy;
//! the exit status is for monitoring. Looks only, changes nothing.

mod files;
mod model;
mod sched;

use super::show::terminal;
use super::{ConfigArgs, Exit, driver, logger};
use crate::config::{LogLevel, Settings, Store};
use crate::decide;
use crate::history::{StoreError, StoreStatus};
use crate::machine::clock::now;
use crate::machine::installation::Installation;
use crate::machine::settings::{self, Fallback, Loaded};
use crate::model::history::Trouble;
use crate::model::moment::utc;
use crate::model::policy::Spare;
use crate::oned::{Limits, Oned};
use crate::recall::history::{self, History};
use clap::Args;
use serde::Serialize;
use std::time::Duration;

/// Samples older than this tell that nobody collects.
const FRESH: i64 = 1800;

/// How to check.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Do not ask oned.
    #[arg(long)]
    pub offline: bool,
    /// Print JSON.
    #[arg(short, long)]
    pub json: bool,
    /// Print one line as a plugin of Nagios or Icinga does. Exit status: 0 OK, 1 WARNING,
    /// 2 CRITICAL, 3 UNKNOWN (wrong use).
    #[arg(long, conflicts_with = "json")]
    pub nagios: bool,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// VMs are placed, but not as well as they could be.
    Warning,
    /// VMs are not placed, or soon will not be.
    Error,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    grade: Grade,
    what: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// All findings, in the order in which they were looked for.
#[derive(Clone, Debug, Default)]
struct Findings(Vec<Finding>, Figures);

/// Performance data: name, seconds, and from where on they are too many.
type Figures = Vec<(&'static str, i64, i64)>;

impl Findings {
    fn ok(&mut self, what: &'static str, text: impl Into<String>) {
        self.0.push(Finding { grade: Grade::Ok, what, text: text.into(), fix: None });
    }

    fn warning(&mut self, what: &'static str, text: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { grade: Grade::Warning, what, text: text.into(), fix: Some(fix.into()) });
    }

    fn error(&mut self, what: &'static str, text: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { grade: Grade::Error, what, text: text.into(), fix: Some(fix.into()) });
    }
}

/// Looks at everything. 0 when all is well, 1 for warnings, 2 for errors: as monitoring wants it.
#[must_use]
pub fn run(args: &CheckArgs) -> Exit {
    logger::start(LogLevel::Error);
    terminal::colours();
    let mut findings = Findings::default();
    let settings = configuration(args, &mut findings);
    let installation = Installation::here();
    let stored = history(&settings, &mut findings);
    model::model(&settings, stored.as_ref(), now(), &mut findings);
    let mut asked = Findings::default();
    let remembered = || if stored.is_some() { troubles(&settings) } else { Vec::new() };
    let version = (!args.offline).then(|| oned(&installation, &settings, &remembered, &mut asked)).flatten();
    if sched::is_six(&installation, version.as_deref()) {
        sched::sched_conf(&installation, &settings, args.offline, &mut findings);
    } else {
        files::wrappers(&installation, &mut findings);
        files::shadow(&installation, &settings, &mut findings);
        files::oned_conf(&installation, &mut findings);
    }
    files::folders(&installation, &settings, &mut findings);
    findings.0.extend(asked.0);
    if args.nagios {
        return nagios(&findings);
    }
    let mut text = String::new();
    for finding in &findings.0 {
        if args.json {
            text.push_str(&serde_json::to_string(finding).unwrap_or_default());
        } else {
            let grade = match finding.grade {
                Grade::Ok => "ok      ",
                Grade::Warning => "WARNING ",
                Grade::Error => "ERROR   ",
            };
            text.push_str(&format!("{grade} {}: {}", finding.what, finding.text));
            if let Some(fix) = &finding.fix {
                text.push_str(&format!("\n         -> {fix}"));
            }
        }
        text.push('\n');
    }
    let text = if args.json { terminal::json(&text) } else { terminal::lines(&text) };
    if driver::print(&text) != Exit::Done {
        return Exit::Output;
    }
    match findings.0.iter().map(|finding| finding.grade).max() {
        Some(Grade::Error) => Exit::Usage,
        Some(Grade::Warning) => Exit::Different,
        _ => Exit::Done,
    }
}

/// All findings in one line, the worst first, and what can be drawn.
fn nagios(findings: &Findings) -> Exit {
    let of = |grade: Grade| findings.0.iter().filter(move |finding| finding.grade == grade);
    let (errors, warnings) = (of(Grade::Error).count(), of(Grade::Warning).count());
    let (word, exit) = match (errors, warnings) {
        (0, 0) => ("OK", Exit::Done),
        (0, _) => ("WARNING", Exit::Different),
        _ => ("CRITICAL", Exit::Usage),
    };
    let told = of(Grade::Error).chain(of(Grade::Warning)).map(|finding| format!("{}: {}", finding.what, finding.text));
    let told = told.collect::<Vec<_>>().join("; ");
    let told = if told.is_empty() { "all is well".to_owned() } else { told };
    let mut line = format!("ONEAIO {word} - {} | 'errors'={errors} 'warnings'={warnings}", plugin_text(&told));
    for (name, seconds, most) in &findings.1 {
        line.push_str(&format!(" '{name}'={seconds}s;{most}"));
    }
    if driver::print(&(line + "\n")) == Exit::Done { exit } else { Exit::Unusable }
}

/// What a plugin may say: one line, without the sign that ends it.
fn plugin_text(text: &str) -> String {
    let plain = |c: char| if c == '|' || c.is_control() { '/' } else { c };
    text.chars().take(1000).map(plain).collect()
}

/// The settings, or the defaults where they cannot be used.
fn configuration(args: &CheckArgs, findings: &mut Findings) -> Settings {
    let file = args.config.config.clone().or_else(settings::installed);
    match settings::load(file.as_deref(), &args.config.set) {
        Ok(loaded) => {
            let from = file.map_or("no file, all at their defaults".to_owned(), |file| file.display().to_string());
            findings.ok("configuration", from);
            loaded.settings
        }
        Err(problems) => {
            for problem in problems {
                let fix = "mend this line; `oneaio config` prints every key with its meaning";
                findings.error("configuration", problem.to_string(), fix);
            }
            if args.config.config.is_none()
                && let Ok(Loaded { fallback: Some(Fallback { since, .. }), .. }) =
                    settings::load_or_last_good(&args.config.set)
            {
                let text = format!("until then that of {} counts, the last that was good", utc(since));
                findings.warning("configuration", text, "mend the lines above");
            }
            Settings::default()
        }
    }
}

/// What the store holds, if it answers.
fn history(settings: &Settings, findings: &mut Findings) -> Option<StoreStatus> {
    let Some(chosen) = history::chosen(settings) else {
        let home = Installation::here().home();
        let fix = format!("make the folder {} for oneadmin, or set history.store", home.display());
        let text = "there is no store: VMs count as what they ask for, and none pauses that does not start";
        findings.warning("history", text, fix);
        return None;
    };
    // one that may not be looked at is there: opening it tells what lacks
    if let Store::Sqlite(path) = &chosen
        && !path.try_exists().unwrap_or(true)
    {
        let fix = "systemctl enable --now oneaio-collect.timer";
        findings.warning("history", format!("{} is not there yet", path.display()), fix);
        return None;
    }
    let status = history::open_to_describe(&chosen, Duration::from_secs(5)).and_then(|mut store| store.status());
    match status {
        Ok(status) => {
            stored(&chosen, &status, findings);
            Some(status)
        }
        Err(error) => {
            let fix = match error {
                StoreError::Schema(_) => "oneaio db init",
                _ => "until then VMs count as what they ask for; see the reason above",
            };
            findings.error("history", format!("{chosen:?}: {error}"), fix);
            None
        }
    }
}

fn stored(chosen: &Store, status: &StoreStatus, findings: &mut Findings) {
    let (vms, samples) = (status.vms, status.samples);
    findings.ok("history", format!("{chosen:?}, {}: {samples} samples of {vms} VMs", status.engine));
    for remark in &status.remarks {
        findings.warning("history", remark.clone(), "see the remark; `oneaio db status` tells more");
    }
    for (zone, newest) in &status.carbon {
        let age = now() - newest;
        if age > history::CARBON_AGE {
            let hours = age / 3600;
            let text =
                format!("the carbon intensity of zone {zone} ends {hours} hours ago and does not count any more");
            let fix =
                format!("oneaio import --carbon {zone} FILE, each hour by oneaio-carbon@{zone}.timer (stores.md)");
            findings.warning("history", text, fix);
        }
    }
    let age = status.span.map(|(_, last)| now() - last);
    findings.1.extend(age.map(|age| ("sample_age", age, FRESH)));
    let fix = "systemctl enable --now oneaio-collect.timer; its journal tells what is wrong";
    match age {
        None => findings.warning("history", "it holds no samples", fix),
        Some(age) if age > FRESH => {
            findings.warning("history", format!("the newest sample is {} minutes old", age / 60), fix);
        }
        Some(age) if age < -FRESH => {
            let text = format!("the newest sample lies {} minutes in the future", -age / 60);
            findings.warning("history", text, "compare the clocks of this machine and of the hosts");
        }
        Some(age) => findings.ok("history", format!("the newest sample is {} s old", age.max(0))),
    }
}

/// The version of oned, if it answers.
fn oned(
    installation: &Installation,
    settings: &Settings,
    remembered: &dyn Fn() -> Vec<Trouble>,
    findings: &mut Findings,
) -> Option<String> {
    let seconds = Duration::from_secs;
    let limits = Limits { connect: seconds(3), read: seconds(5), total: seconds(10) };
    let asked = Oned::of_environment(limits).map_err(anyhow::Error::from);
    let asked = asked.and_then(|oned| Ok((oned.system_version()?, oned)));
    let (version, oned) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            let fix = "run as oneadmin on the front-end, or set ONED_ADDR and ONE_AUTH; --offline leaves this out";
            findings.warning("oned", format!("{error:#}"), fix);
            return None;
        }
    };
    spare_room(&oned, settings, findings);
    failing_hosts(&oned, settings, &remembered(), findings);
    if version.starts_with("7.") || (version.starts_with("6.") && sched::names_a_server(installation)) {
        findings.ok("oned", format!("version {version}"));
    } else if version.starts_with("6.") {
        let fix = "use `oneaio serve` as EXTERNAL_SCHEDULER of sched.conf";
        findings.warning("oned", format!("version {version}: it has no scheduler drivers"), fix);
    } else {
        findings.warning("oned", format!("version {version}"), "oneaio is made for OpenNebula 7.x and 6.x");
    }
    Some(version)
}

/// What the store tells of what went wrong lately; that it does not answer is told elsewhere.
fn troubles(settings: &Settings) -> Vec<Trouble> {
    let store = history::chosen(settings).map(|store| History::start(store, 5.0));
    store.and_then(|store| store.troubles().ok()).unwrap_or_default()
}

/// Hosts on which VMs failed to start: the last stay of those that wait, as far as oned's list of them tells, and
/// what is remembered of others.
fn failing_hosts(oned: &Oned, settings: &Settings, remembered: &[Trouble], findings: &mut Findings) {
    let mut waiting = Vec::new();
    if let Err(error) = oned.pending_vms(&mut |vm| waiting.push(vm)) {
        findings.warning(
            "failing hosts",
            format!("the VMs that wait are not known: {error}"),
            "see what is said of oned",
        );
        return;
    }
    let failing = decide::failing_hosts(&waiting, remembered, now(), &settings.policy);
    for one in failing.iter().filter(|one| one.until.is_some()) {
        let fix = format!(
            "`onevm show` of one of them tells why; until it is mended: onehost disable {}, then onehost enable {0}",
            one.host
        );
        findings.warning("failing hosts", format!("host {}: {}", one.host, one.text()), fix);
    }
}

/// Whether any one host, or failure domain, may fail, where `spare` asks for it.
fn spare_room(oned: &Oned, settings: &Settings, findings: &mut Findings) {
    if settings.policy.spare == Spare::None {
        return;
    }
    let mut hosts = Vec::new();
    if let Err(error) = oned.hosts(&mut |host| hosts.push(host)) {
        findings.warning("spare room", format!("the hosts are not known: {error}"), "see what is said of oned");
        return;
    }
    let Some(room) = decide::spare_of_hosts(hosts, &settings.policy) else { return };
    let text = format!("{} (each VM as the mean of its host)", room.text());
    if room.failures == 0 {
        findings.warning("spare room", "oned shows no hosts", "run as oneadmin");
    } else if room.lacking.is_empty() {
        findings.ok("spare room", text);
    } else {
        let fix = "add hosts, or find room: `oneaio advise CLUSTER` names VMs that ask for more than they use";
        findings.warning("spare room", text, fix);
    }
}
