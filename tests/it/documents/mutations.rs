//! Thousands of damaged requests: never a panic, never a plan that breaks a rule of what
//! could still be read. Seeds are explicit; a failure names the seed that repeats it.
//!
//! `ONEAIO_MUTATIONS=N` changes how many are tried per fixture.

use oneaio::decide;
use oneaio::model::policy::Policy;
use oneaio::opennebula::{envelope, plan_xml};
use oneaio::placement::check;
use oneaio::records::bundle::Bundle;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Splitmix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "-2",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "1e300",
    "1.5e3",
    "0.004",
    "NaN",
    "abc",
    "YES",
    "auto",
    "1,2,3",
    " 5 ",
    "]]&gt;",
    "&#0;",
    "&lt;x&gt;",
    "CURRENT_VMS = 1 & !",
    "((((((",
];

/// The byte ranges of the texts between tags, and of elements.
fn spans(xml: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (at, _) in xml.match_indices('<') {
        if xml[at..].starts_with("</") {
            let end = xml[at..].find('>').map_or(xml.len(), |e| at + e + 1);
            spans.extend(open.pop().map(|start| (start, end)));
        } else if !xml[at..].starts_with("<!") && !xml[at..].starts_with("<?") {
            let end = xml[at..].find('>').map_or(xml.len(), |e| at + e + 1);
            if xml[..end].ends_with("/>") { spans.push((at, end)) } else { open.push(at) }
        }
    }
    spans
}

/// One random damage.
fn mutate(xml: &str, random: &mut Random) -> Vec<u8> {
    let spans = spans(xml);
    let (start, end) = spans.get(random.below(spans.len())).copied().unwrap_or((0, xml.len()));
    let element = &xml[start..end];
    let replaced = |new: &str| format!("{}{new}{}", &xml[..start], &xml[end..]).into_bytes();
    match random.below(9) {
        0 => replaced(""),
        1 => replaced(&element.repeat(2)),
        2 => {
            let (other_start, other_end) = spans.get(random.below(spans.len())).copied().unwrap_or((0, 0));
            replaced(&xml[other_start..other_end])
        }
        3 => xml.as_bytes()[..random.below(xml.len())].to_vec(),
        4 => {
            let mut bytes = xml.as_bytes().to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            bytes
        }
        _ => match (element.find('>'), element.rfind("</")) {
            (Some(open), Some(close)) if open < close => {
                let text = random.pick(VALUES);
                replaced(&format!("{}{text}{}", &element[..=open], &element[close..]))
            }
            _ => replaced(&element.repeat(2)),
        },
    }
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    // the large one would take all the time
    found.retain(|path| path.is_dir() && !path.ends_with("k1_place_100h_300vm"));
    found
}

#[test]
fn no_damage_leads_to_a_panic_or_an_illegal_plan() {
    let rounds: u64 = std::env::var("ONEAIO_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let policy = Policy::default();
    let mut decided_count = 0;
    for path in fixtures() {
        let request = Bundle::open(&path).and_then(|bundle| bundle.request()).unwrap();
        let xml = envelope::open(request).unwrap().xml;
        for seed in 0..rounds {
            let mut random = Random(seed);
            let mut bytes = mutate(&xml, &mut random);
            for _ in 0..random.below(3) {
                bytes = mutate(&String::from_utf8_lossy(&bytes), &mut random);
            }
            let place = || format!("{} with seed {seed}", path.display());
            let Ok(decided) = decide::place(bytes, &policy) else { continue };
            decided_count += 1;
            assert!(decided.dropped.is_empty(), "{}: {:?}", place(), decided.dropped);
            let plan = &decided.planned.plan;
            let found = check::breaches(&decided.snapshot, plan, &policy);
            assert!(found.is_empty(), "{}: {found:?}", place());
            let report = &decided.planned.report;
            let told: HashSet<_> =
                plan.actions.iter().map(|a| a.vm).chain(report.refusals.iter().map(|r| r.vm)).collect();
            let schedulable = decided.snapshot.candidates.len() + decided.snapshot.set_aside.len();
            assert_eq!(told.len(), schedulable, "{}: every VM has an action or a reason", place());
            assert_eq!(plan.actions.len() + report.refusals.len(), schedulable, "{}: exactly one", place());
            assert!(plan_xml::write(plan, plan_xml::PLACEMENT).ends_with("</PLAN>\n"));
        }
    }
    assert!(decided_count > rounds, "most damage must leave a request that can be decided: {decided_count}");
}
