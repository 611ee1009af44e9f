//! Where bytes come in from outside, one function for each kind of input. What they promise:
//! any bytes end in an answer or in an error that can be told in a line, never in a panic; and
//! no plan breaks a rule.

use super::draw::Draw;
use super::requests;
use oneaio::config;
use oneaio::config::operate::Destination;
use oneaio::decide;
use oneaio::demand::memory::Memory;
use oneaio::demand::model::Model;
use oneaio::history::import::{self, Capacities, Origin};
use oneaio::model::expression::{Facts, parse_rank, parse_requirement};
use oneaio::model::history::Recall;
use oneaio::model::ids::VmId;
use oneaio::model::policy::Policy;
use oneaio::opennebula::xmlrpc::Answer;
use oneaio::opennebula::{cloud, external, identity, monitoring, plan_xml};
use oneaio::placement::check;

/// One kind of input.
pub struct Entry {
    /// As its target is called.
    pub name: &'static str,
    /// Takes any bytes.
    pub take: fn(&[u8]),
    /// Inputs to begin with, from the tree alone.
    pub seeds: &'static [&'static [u8]],
}

/// All kinds.
pub const ENTRIES: &[Entry] = &[
    Entry { name: "request", take: request, seeds: &[b"<SCHEDULER_DRIVER_ACTION/>", include_bytes!("../../../fixtures/d_vmgroups/request.xml")] },
    Entry { name: "tight", take: tight, seeds: &[b"", b"tight", b"0123456789abcdef0123456789abcdef"] },
    Entry {
        name: "expression",
        take: expression,
        seeds: &[
            b"ARCH = \"x86*\" & !(CURRENT_VMS = 7) | FREE_CPU > 20.5",
            b"FREE_CPU - 2 * RUNNING_VMS / (MAX_CPU + 1)",
            b"((((((((((ID=\"1\"))))))))))",
        ],
    },
    Entry { name: "xmlrpc", take: xmlrpc, seeds: &[ANSWER] },
    Entry { name: "state", take: state, seeds: &[b"", b"\x01\x00\x00\x00"] },
    Entry {
        name: "table",
        take: table,
        seeds: &[
            b"ts,vmid,cores,cpu_percent,mem_kb,disk_read_kbps,disk_write_kbps,net_rx_kbps,net_tx_kbps\n1,2,3,4,5,6,7,8,9\n",
            b"Timestamp [ms];CPU cores;CPU usage [%];Memory usage [KB]\n1376314846;2;3.5;1000\n",
            b"2013-08-12T13:40:46Z,120.5\n2013-08-12 14:40:46,119\n",
        ],
    },
    Entry { name: "configuration", take: configuration, seeds: &[include_bytes!("../../../oned-config/oneaio.conf"), b"weights:\n  cpu: 2\n"] },
    Entry {
        name: "batch",
        take: batch,
        seeds: &[
            br#"{"VMS":[{"ID":32,"STATE":"PENDING","HOST_IDS":[3,4,5],"HOST_ID":3,"CAPACITY":{"CPU":1.5,"MEMORY":131072,"DISK_SIZE":1024},"VM_ATTRIBUTES":{"FLAVOURS":"nginx"}}]}"#,
            br#"{"VMS":null}"#,
        ],
    },
    Entry { name: "moment", take: moment, seeds: &[b"2013-08-12T13:40:46.123+02:00", b"1376314846", b"12/08/2013 13:40"] },
];

const ANSWER: &[u8] = b"<?xml version=\"1.0\"?><methodResponse><params><param><value><array><data><value><boolean>1</boolean></value>\
<value><string>&lt;HOST_POOL&gt;&lt;HOST&gt;&lt;ID&gt;1&lt;/ID&gt;&lt;STATE&gt;2&lt;/STATE&gt;&lt;/HOST&gt;&lt;/HOST_POOL&gt;</string></value>\
</data></array></value></param></params></methodResponse>";

/// A request as oned writes it.
pub fn request(bytes: &[u8]) {
    let Ok(snapshot) = decide::read(bytes.to_vec()) else { return };
    // streamed it says the same
    assert!(decide::read_recorded(bytes, 1 << 30).is_ok());
    let policy = Policy::default();
    if let Some(cluster) = snapshot.clusters.first().cloned() {
        if let Ok(optimized) = decide::optimize(snapshot, None, &Recall::default(), &policy) {
            assert!(optimized.dropped.is_empty(), "{:?}", optimized.dropped);
            let own = cluster.drs.over(&policy);
            let found = check::migration_breaches(&optimized.snapshot, &cluster, &optimized.migrated.plan, &own);
            assert!(found.is_empty(), "{found:?}");
        }
        return;
    }
    let decided = decide::place_snapshot(snapshot, &Recall::default(), &policy);
    assert!(decided.dropped.is_empty(), "{:?}", decided.dropped);
    let plan = &decided.planned.plan;
    let found = check::breaches(&decided.snapshot, plan, &policy);
    assert!(found.is_empty(), "{found:?}");
    let asked = decided.snapshot.candidates.len() + decided.snapshot.set_aside.len();
    assert_eq!(plan.actions.len() + decided.planned.report.refusals.len(), asked, "every VM has an action or a reason");
    assert!(plan_xml::write(plan, plan_xml::PLACEMENT).ends_with("</PLAN>\n"));
}

/// A tight request that the bytes choose.
pub fn tight(bytes: &[u8]) {
    let mut draw = Draw::of(bytes);
    if draw.rarely(2) {
        let xml = requests::placement(&mut draw).xml();
        let _shown = Shown(xml.clone());
        let policy = Policy::default();
        let Ok(decided) = decide::place(xml.into_bytes(), &policy) else { return };
        assert!(decided.dropped.is_empty(), "{:?}", decided.dropped);
        let found = check::breaches(&decided.snapshot, &decided.planned.plan, &policy);
        assert!(found.is_empty(), "{found:?}");
    } else {
        let cluster = requests::optimization(&mut draw);
        let _shown = Shown(cluster.request().xml());
        requests::lawful(&cluster);
    }
}

/// Shows a request when it is not lawfully decided.
struct Shown(String);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

struct Nobody;

impl Facts for Nobody {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        ["12.5", name, "x86_64"].into_iter().any(visit)
    }

    fn runs(&self, vm: VmId) -> bool {
        vm.0 % 2 == 0
    }
}

/// A requirement, and a rank.
pub fn expression(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(requirement) = parse_requirement(&text) {
        requirement.holds(&Nobody);
        requirement.each_vm_wanted(&mut |_| {});
    }
    if let Ok(rank) = parse_rank(&text) {
        assert!(rank.value(&|_| Some(2.0)).is_finite());
    }
}

/// An answer of oned over XML-RPC.
pub fn xmlrpc(bytes: &[u8]) {
    type Read = fn(&mut Answer<&[u8]>);
    let reads: [Read; 5] = [
        |answer| drop(cloud::hosts(std::io::BufReader::new(answer), &mut |_| {})),
        |answer| drop(cloud::vms(std::io::BufReader::new(answer), &mut |_| {})),
        |answer| drop(cloud::clusters(std::io::BufReader::new(answer), &mut |_, _| {})),
        |answer| drop(identity::identities(std::io::BufReader::new(answer), &mut |_, _, _| {})),
        |answer| drop(monitoring::records(std::io::BufReader::new(answer), &mut |_| {})),
    ];
    for read in reads {
        if let Ok(mut answer) = Answer::open(bytes) {
            read(&mut answer);
            let _ = answer.finish();
        }
    }
    // the payload alone, as fuzzers get to it
    let _ = cloud::hosts(bytes, &mut |_| {});
    let _ = cloud::vms(bytes, &mut |_| {});
    let _ = monitoring::records(bytes, &mut |_| {});
}

/// A model, and the state of a VM's estimate.
pub fn state(bytes: &[u8]) {
    if let Ok(model) = Model::from_bytes(bytes) {
        let _ = model.to_bytes();
    }
    if let Some(mut memory) = Memory::from_bytes(bytes) {
        let usage = oneaio::model::demand::Usage { cpu: 10.0, memory: 1e6, disk_io: Some(1.0), net_io: None };
        memory.add(&oneaio::model::sample::VmSample { vm: VmId(1), at: 1_700_000_000, usage });
        let estimate = oneaio::demand::mix::unfitted(&memory.traits());
        assert!(!estimate.level.cpu.is_nan() && !estimate.peak.cpu.is_nan(), "{estimate:?}");
        let _ = memory.to_bytes();
    }
    if let Ok(recall) = serde_json::from_slice::<Recall>(bytes) {
        let text = crate::support::request::request(
            &[crate::support::request::host(1)],
            &[crate::support::request::vm(1, &[1])],
        )
        .xml();
        if let Ok(snapshot) = decide::read(text.into_bytes()) {
            let decided = decide::place_snapshot(snapshot, &recall, &Policy::default());
            assert!(decided.dropped.is_empty());
        }
    }
}

/// A table of samples, of sizes, or of carbon intensity.
pub fn table(bytes: &[u8]) {
    let (capacities, _) = Capacities::read(bytes).unwrap_or_default();
    let origin = Origin { vm: Some(VmId(7)), capacities: &capacities };
    let _ = import::read_samples(bytes, &origin, &mut |_| {}, &mut |sample| {
        assert!(sample.usage.cpu >= 0.0 && sample.usage.cpu.is_finite());
    });
    let _ = import::read_carbon(bytes, &mut |_, grams| assert!(grams.is_finite()));
}

/// A configuration file, of ours and of a bundle.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(problems) = config::settings(Some(("file", &text)), &[]) {
        assert!(!problems.is_empty() && problems.len() <= 21);
    }
    if let Ok((settings, _)) = config::settings_of_bundle("bundle", &text, &[]) {
        assert!(settings.history.is_none() && settings.model.is_none());
        assert_eq!(settings.operate.record, Destination::Default);
        assert_eq!(settings.serve, config::serve::Serve::default());
    }
    let _ = config::assignments(Some(&text), &[]);
}

/// The body of mm_sched.
pub fn batch(bytes: &[u8]) {
    if let Ok(batch) = external::read(bytes) {
        let ids: std::collections::HashSet<VmId> = batch.vms.iter().map(|vm| vm.vm).collect();
        assert_eq!(ids.len(), batch.vms.len());
        assert!(batch.vms.iter().all(|vm| vm.vm.0 >= 0 && vm.hosts.is_sorted()));
        assert!(batch.odd.iter().all(|odd| odd.field.starts_with("VMS[")));
    }
}

/// A moment in a table.
pub fn moment(bytes: &[u8]) {
    let cell: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r' | b',')).collect();
    let of = |text: &[u8]| [b"ts,vmid,cores,cpu_percent,mem_kb\n".as_slice(), text, b",1,1,1,1\n"].concat();
    let origin = Origin { vm: None, capacities: &Capacities::default() };
    let _ = import::read_samples(of(&cell).as_slice(), &origin, &mut |_| {}, &mut |_| {});
    let text = String::from_utf8_lossy(bytes);
    if let Ok(seconds) = text.trim().parse() {
        let _ = oneaio::model::moment::utc(seconds);
    }
}
