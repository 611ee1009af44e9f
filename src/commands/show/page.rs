//! A decision as a page to look at: one file, without scripts and without anything from
//! elsewhere, in light and dark. Names come from users; the template escapes them.

use crate::decide::{Decided, Optimized};
use crate::model::explanation::{Explanation, Score};
use crate::model::ids::VmId;
use crate::model::moment::utc;
use crate::model::policy::Policy;
use crate::model::report::SpareRoom;
use crate::opennebula::message::is_obeyed;
use crate::server::{Point, Shown};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

/// VMs that wait, and VMs that were placed, that are taken apart host by host. A page of 500
/// hosts and 1000 VMs must stay below 1 MB.
const TAKEN_APART: usize = 10;

/// Candidate hosts that a VM's table shows, the best first.
const CANDIDATES: usize = 20;

/// Parts of D, by resource, then energy; told apart by colour-blind people too (Okabe and Ito).
const PARTS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

/// Contrast of texts is at least 4.5 to 1 on either ground (WCAG AA).
const STYLE: &str = "
:root{color-scheme:light dark;--ground:#fff;--text:#1b1f24;--soft:#57606a;--line:#d0d7de;--before:#8c959f;--after:#0072b2}
@media(prefers-color-scheme:dark){:root{--ground:#0d1117;--text:#e6edf3;--soft:#9da7b1;--line:#30363d;--before:#6e7681;--after:#56b4e9}}
body{background:var(--ground);color:var(--text);font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}p.soft,td.soft{color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:middle}
th{color:var(--soft);font-weight:600;font-size:.85rem}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
svg{display:inline-block;vertical-align:middle;margin-right:.5em}summary{cursor:pointer;padding:.3rem 0}summary:focus-visible{outline:2px solid var(--after)}
svg.wide{width:100%;max-width:680px;height:auto;display:block}svg.wide text{font-size:11px;fill:var(--soft)}
.key span{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em;vertical-align:-.05em}";

/// One request on the page.
pub enum Section<'a> {
    /// A placement, with the policy that it was decided by.
    Placed(&'a Decided, &'a Policy),
    /// Migrations.
    Migrated(&'a Optimized),
}

/// The page of `oneaio serve`: how it stands, the course of its decisions, the last one.
pub fn served(shown: Option<&Shown>, course: &[Point], stands: &Value) -> String {
    let decision = match shown {
        Some(shown) => section("The last decision", &Section::Placed(&shown.decided, &shown.policy)),
        None => html! { h1 { "No decision yet" } p { "Nothing was asked since the service began." } },
    };
    page(&[standing(stands), trend(course), decision])
}

/// What /readyz says, in words.
fn standing(stands: &Value) -> Markup {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let age = |value: &Value| value.as_f64().map_or("-".to_owned(), |seconds| span(seconds.round()));
    html! {
        h1 { "oneaio serve: " (word(&stands["status"])) }
        div.scroll { table {
            thead { tr { th { "what it rests on" } th { "state" } th.n { "age" } th { "problem" } } }
            tbody { @for (key, name) in [("oned", "oned"), ("store", "store of history"), ("model", "model of demands")] { tr {
                td { (name) } td { (word(&stands[key]["state"])) } td.n { (age(&stands[key]["age_seconds"])) }
                td.soft { (word(&stands[key]["problem"])) }
            } } }
        } }
    }
}

/// Seconds in the largest unit that fits.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// The largest D after each decision over time; nothing for fewer than two.
pub fn trend(course: &[Point]) -> Markup {
    let mut course = course.to_vec();
    course.sort_by_key(|point| point.at);
    let (Some(first), Some(last)) = (course.first(), course.last()) else { return html! {} };
    if course.len() < 2 || last.at <= first.at {
        return html! {};
    }
    let top = course.iter().map(|point| point.largest).filter(|value| value.is_finite()).fold(0.0, f64::max).max(1e-9);
    #[allow(clippy::cast_precision_loss)]
    let x = |at: i64| 40.0 + 560.0 * (at - first.at) as f64 / (last.at - first.at) as f64;
    let y = |value: f64| 90.0 - 80.0 * value.clamp(0.0, top) / top;
    let line: Vec<String> = course.iter().map(|one| format!("{:.1},{:.1}", x(one.at), y(one.largest))).collect();
    let text = format!("largest D from {:.3} to {:.3} over {} decisions", first.largest, last.largest, course.len());
    let (placed, waiting) = (course.iter().map(|one| one.placed).sum::<usize>(), last.waiting);
    html! {
        h2 { "Course of " (course.len()) " decisions" }
        p.soft { (placed) " VMs placed in all, " (waiting) " still waiting at the end; largest D after each" }
        svg.wide role="img" aria-label=(text) viewBox="0 0 680 112" {
            title { (text) }
            @for (share, value) in [(0.0, 0.0), (0.5, top / 2.0), (1.0, top)] {
                line x1="40" x2="600" y1=(format!("{:.1}", 90.0 - 80.0 * share)) y2=(format!("{:.1}", 90.0 - 80.0 * share)) stroke="var(--line)" {}
                text x="34" y=(format!("{:.1}", 94.0 - 80.0 * share)) text-anchor="end" { (format!("{value:.2}")) }
            }
            polyline points=(line.join(" ")) fill="none" stroke="var(--after)" stroke-width="2" {}
            text x="606" y=(format!("{:.1}", y(last.largest) + 4.0)) { "D " (number(last.largest)) }
            text x="40" y="108" { (utc(first.at)) }
            text x="600" y="108" text-anchor="end" { (utc(last.at)) }
        }
    }
}

/// The whole page from its sections.
pub fn page(sections: &[Markup]) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { "oneaio: decisions" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { @for section in sections { (section) } } }
        }
    }
    .into_string()
    // marks of direction show a page in another order as well
    .replace(|c: char| c != '\n' && is_obeyed(c), " ")
}

/// One request; `name` is where it lies.
pub fn section(name: &str, section: &Section<'_>) -> Markup {
    match section {
        Section::Placed(decided, policy) => placed(name, decided, policy),
        Section::Migrated(optimized) => migrated(name, optimized),
    }
}

fn placed(name: &str, decided: &Decided, policy: &Policy) -> Markup {
    let (report, snapshot) = (&decided.planned.report, &decided.snapshot);
    let label = |vm: VmId| snapshot.vm(vm).map_or(String::new(), |vm| vm.name.clone());
    let mut hosts: Vec<_> = report.hosts.iter().collect();
    hosts.sort_by(|a, b| b.score.1.total_cmp(&a.score.1).then(a.id.cmp(&b.id)));
    let explained = |vms: &mut dyn Iterator<Item = VmId>| -> Vec<Explanation> {
        vms.take(TAKEN_APART).filter_map(|vm| decided.explain(vm, policy)).collect()
    };
    let waiting = explained(&mut report.refusals.iter().map(|refusal| refusal.vm));
    let chosen = explained(&mut report.decisions.iter().map(|decision| decision.vm));
    html! {
        h1 { (name) }
        p { (report.summary()) }
        p.soft { "request of " (utc(snapshot.taken_at)) "; D is made of " (report.resources_text()) }
        @if let Some(green) = &report.green { p.soft { (green.text()) } }
        (spare_room(report.spare.as_ref()))
        @if !report.refusals.is_empty() {
            h2 { "Waiting VMs" }
            div.scroll { table {
                thead { tr { th.n { "VM" } th { "name" } th { "why" } th { "what would place it" } } }
                tbody { @for refusal in &report.refusals { tr {
                    td.n { (refusal.vm) } td { (label(refusal.vm)) } td { (refusal.text) }
                    td.soft { (remedy(&waiting, refusal.vm)) }
                } } }
            } }
        }
        h2 { "Hosts, the most uneven first" }
        (key(&[("before", "var(--before)"), ("after", "var(--after)")]))
        div.scroll { table {
            thead { tr {
                th.n { "host" } th { "name" } th { "CPU allocated" } th { "memory allocated" }
                th.n { "D before" } th.n { "after" } th.n { "green" } th.n { "new VMs" }
            } }
            tbody { @for host in hosts { tr {
                td.n { (host.id) } td { (host.name) }
                td { (bars("CPU", host.cpu_allocated)) } td { (bars("memory", host.memory_allocated)) }
                td.n { (number(host.score.0)) } td.n { (number(host.score.1)) }
                td.n { (percent(host.green)) } td.n { (host.arrivals) }
            } } }
        } }
        @if !chosen.is_empty() || !waiting.is_empty() {
            h2 { "VMs, host by host" }
            p.soft { "The VMs that wait first; at most " (TAKEN_APART) " of each kind. " code { "oneaio explain VM" } " tells of any." }
            @for (place, one) in waiting.iter().chain(&chosen).enumerate() { (apart(one, &label(one.vm), place == 0)) }
        }
    }
}

fn migrated(name: &str, optimized: &Optimized) -> Markup {
    let (migrated, snapshot) = (&optimized.migrated, &optimized.snapshot);
    let mut hosts: Vec<_> = migrated.hosts.iter().collect();
    hosts.sort_by(|a, b| b.score.0.total_cmp(&a.score.0).then(a.id.cmp(&b.id)));
    html! {
        h1 { (name) }
        p { (crate::commands::logger::summary(migrated)) }
        p.soft { "request of " (utc(snapshot.taken_at)) }
        (spare_room(migrated.spare.as_ref()))
        h2 { "Migrations, in their order" }
        div.scroll { table {
            thead { tr {
                th.n { "step" } th.n { "VM" } th { "name" } th.n { "from" } th.n { "to" } th { "to copy" }
                th.n { "D before" } th.n { "after" } th { "why" }
            } }
            tbody { @for (step, one) in migrated.migrations.iter().enumerate() { tr {
                td.n { (step + 1) } td.n { (one.vm) }
                td { (snapshot.vm(one.vm).map_or("", |vm| vm.name.as_str())) }
                @if one.leaves_datastore() {
                    td.n { "datastore " (one.datastore) } td.n { "datastore " (one.to_datastore) } td { (one.disk.text()) }
                } @else {
                    td.n { "host " (one.from) } td.n { "host " (one.to) } td { (one.memory.text()) }
                }
                td.n { (number(one.score.0)) } td.n { (number(one.score.1)) } td { (one.why) }
            } } }
        } }
        h2 { "Hosts, the most uneven first" }
        (key(&[("before", "var(--before)"), ("after", "var(--after)")]))
        div.scroll { table {
            thead { tr {
                th.n { "host" } th { "name" } th { "CPU used" } th { "memory used" } th.n { "D before" } th.n { "after" }
                th.n { "green" } th.n { "VMs" } th.n { "after" }
            } }
            tbody { @for host in hosts { tr {
                td.n { (host.id) } td { (host.name) } td { (bars("CPU", host.cpu)) } td { (bars("memory", host.memory)) }
                td.n { (number(host.score.0)) } td.n { (number(host.score.1)) } td.n { (percent(host.green)) }
                td.n { (host.vms.0) } td.n { (host.vms.1) }
            } } }
        } }
    }
}

/// Room for a failure after the plan; nothing where none is asked for.
fn spare_room(spare: Option<&SpareRoom>) -> Markup {
    let Some(spare) = spare else { return html! {} };
    html! {
        h2 { "Room for a failure (N+1)" }
        p { (spare.text()) }
        @if !spare.lacking.is_empty() { div.scroll { table {
            thead { tr { th { "what fails" } th.n { "VMs" } th.n { "without a place" } th.n { "CPU" } th.n { "memory" } } }
            tbody { @for one in spare.lacking.iter().take(CANDIDATES) { tr {
                td { @if one.domain.is_empty() { "host " (one.hosts.first().map_or(String::new(), ToString::to_string)) } @else { (one.domain) } }
                td.n { (one.of) } td.n { (one.vms) } td.n { (one.cpu.text()) } td.n { (one.memory.text()) }
            } } }
        } } }
    }
}

/// A VM with its candidate hosts: the parts of D of those that would do, the rule against others.
fn apart(explanation: &Explanation, name: &str, open: bool) -> Markup {
    let mut hosts: Vec<_> = explanation.hosts.iter().collect();
    let score = |verdict: &Result<Score, String>| verdict.as_ref().map_or(f64::INFINITY, |score| score.after);
    hosts.sort_by(|a, b| score(&a.verdict).total_cmp(&score(&b.verdict)).then(a.host.cmp(&b.host)));
    let most = hosts.iter().filter_map(|host| host.verdict.as_ref().ok()).map(|score| score.after).fold(0.0, f64::max);
    let names = explanation.resources.iter().map(String::as_str).chain(["energy"]);
    let parts: Vec<(&str, &str)> = names.zip(PARTS.iter().copied().cycle()).collect();
    html! {
        details open[open] {
            summary { "VM " (explanation.vm) " " (name) }
            @if !explanation.tipped.is_empty() { p.soft { "What tipped it: " (explanation.tipped) "." } }
            (key(&parts))
            div.scroll { table {
                thead { tr { th.n { "host" } th { "name" } th { "D with the VM, by its parts" } th.n { "D" } } }
                tbody {
                    @for host in hosts.iter().take(CANDIDATES) { tr {
                        td.n { (host.host) } td { (host.name) }
                        @match &host.verdict {
                            Ok(score) => { td { (stacked(score, most, &parts)) } td.n { (number(score.after)) } }
                            Err(rule) => { td.soft { (rule) } td.n { "-" } }
                        }
                    } }
                }
            } }
            @if hosts.len() > CANDIDATES { p.soft { "and " (hosts.len() - CANDIDATES) " hosts more" } }
        }
    }
}

fn remedy(explained: &[Explanation], vm: VmId) -> String {
    let remedy = explained.iter().find(|one| one.vm == vm).and_then(|one| one.remedy.as_ref());
    remedy.map_or(String::new(), |remedy| format!("on host {}: {}", remedy.host, remedy.changes.join(", and ")))
}

/// Before above after, from 0 to 100 %; what is beyond is cut and told in the text.
fn bars(what: &str, (before, after): (f64, f64)) -> Markup {
    let width = |share: f64| format!("{:.1}", 100.0 * share.clamp(0.0, 1.0));
    let text = format!("{what} {:.1} % before, {:.1} % after", 100.0 * before, 100.0 * after);
    html! {
        svg role="img" aria-label=(text) width="160" height="14" viewBox="0 0 100 14" preserveAspectRatio="none" {
            title { (text) }
            rect width="100" height="14" fill="var(--line)" opacity=".4" {}
            rect y="1" width=(width(before)) height="5" fill="var(--before)" {}
            rect y="8" width=(width(after)) height="5" fill="var(--after)" {}
        }
        span { (percent(Some(after))) }
    }
}

/// The parts of D side by side; those that lower it are left out.
fn stacked(score: &Score, most: f64, parts: &[(&str, &str)]) -> Markup {
    let values: Vec<f64> = score.terms.iter().copied().chain([score.green]).map(|term| term.max(0.0)).collect();
    let scale = if most > 0.0 { 100.0 / most.max(values.iter().sum()) } else { 0.0 };
    let told = parts.iter().zip(&values).map(|((name, _), value)| format!("{name} {value:.3}"));
    let text = told.collect::<Vec<_>>().join(", ");
    let mut at = 0.0;
    let mut pieces = Vec::with_capacity(values.len());
    for (value, (_, colour)) in values.iter().zip(parts) {
        pieces.push((format!("{at:.1}"), format!("{:.1}", value * scale), *colour));
        at += value * scale;
    }
    html! {
        svg role="img" aria-label=(text) width="260" height="10" viewBox="0 0 100 10" preserveAspectRatio="none" {
            title { (text) }
            @for (x, width, colour) in pieces { rect x=(x) width=(width) height="10" fill=(colour) {} }
        }
    }
}

fn key(parts: &[(&str, &str)]) -> Markup {
    html! { p.key { @for (name, colour) in parts { span style={ "background:" (colour) } {} (name) } } }
}

fn number(value: f64) -> String {
    format!("{value:.3}")
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share))
}
