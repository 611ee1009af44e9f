//! SCHEDULER_DRIVER_ACTION: the request that oned writes to a scheduler driver.
//! The document's form is fixed by oned 7.x; what is odd inside it is not.

use super::assemble::{self, Parsed, Raw, RawCandidates};
use super::odd::shortened;
use super::xml::{Content, Walker, XmlError};
use super::{cluster, host, number, pools, vm};
use crate::model::snapshot::Snapshot;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::BufRead;
use std::sync::Arc;
use thiserror::Error;

/// Why a document cannot be used at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Not XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Another document.
    #[error("the root of the request is {0:?}, not SCHEDULER_DRIVER_ACTION: is this a scheduler request?")]
    Root(String),
    /// A part without which nothing can be decided.
    #[error("the request has no {0}: nothing can be placed without it")]
    Missing(&'static str),
}

/// Pools without which nothing can be decided.
const NEEDED: [&str; 4] = ["VM_POOL", "HOST_POOL", "DATASTORE_POOL", "REQUIREMENTS"];

/// Reads a request.
///
/// Linear in the document; holds no copy of it.
///
/// # Errors
/// When the document is no XML, another document, or lacks VM_POOL, HOST_POOL,
/// DATASTORE_POOL or REQUIREMENTS.
pub fn read(xml: &str) -> Result<Snapshot, RequestError> {
    document(Walker::open(xml)?)
}

/// As [`read`], of a document that is never in memory as a whole.
///
/// # Errors
/// As [`read`], and when its source fails.
pub fn read_stream<'a>(xml: Box<dyn BufRead + 'a>) -> Result<Snapshot, RequestError> {
    document(Walker::open_stream(xml)?)
}

fn document<'a>((mut walker, root): (Walker<'a>, String)) -> Result<Snapshot, RequestError> {
    if root != "SCHEDULER_DRIVER_ACTION" {
        return Err(RequestError::Root(shortened(&root)));
    }
    let mut raw = Raw::default();
    let mut seen = [false; NEEDED.len()];
    let mut lists = IdLists::default();
    walker.children(|w, pool| {
        if let Some(needed) = NEEDED.iter().position(|name| *name == pool) {
            seen[needed] = true;
        }
        let nameless = &mut raw.nameless;
        match pool {
            "VM_POOL" => collect(w, ("VM", "VM"), nameless, &mut raw.vms, vm::read),
            "HOST_POOL" => collect(w, ("HOST", "host"), nameless, &mut raw.hosts, host::read),
            "DATASTORE_POOL" => collect(w, ("DATASTORE", "datastore"), nameless, &mut raw.datastores, pools::datastore),
            "VNET_POOL" => collect(w, ("VNET", "virtual network"), nameless, &mut raw.vnets, pools::vnet),
            "VM_GROUP_POOL" => collect(w, ("VM_GROUP", "VM group"), nameless, &mut raw.groups, pools::vm_group),
            "CLUSTER_POOL" => collect(w, ("CLUSTER", "cluster"), nameless, &mut raw.clusters, cluster::read),
            "REQUIREMENTS" => w.children(|w, tag| {
                if tag == "VM" {
                    raw.candidates.push(candidates(w, &mut lists)?);
                    return Ok(());
                }
                w.skip()
            }),
            _ => w.skip(),
        }
    })?;
    walker.finish()?;
    if let Some(missing) = seen.iter().position(|there| !there) {
        return Err(RequestError::Missing(NEEDED[missing]));
    }
    Ok(assemble::snapshot(raw))
}

type Reader<T> = fn(&mut Walker<'_>) -> Result<(Option<i32>, T, super::odd::Odd), XmlError>;

/// Reads the objects of a pool; those without an id are only counted.
fn collect<T>(
    w: &mut Walker<'_>,
    (tag, kind): (&str, &'static str),
    nameless: &mut BTreeMap<&'static str, usize>,
    into: &mut Vec<Parsed<T>>,
    read: Reader<T>,
) -> Result<(), XmlError> {
    w.children(|w, name| {
        if name != tag {
            return w.skip();
        }
        match read(w)? {
            (Some(id), item, odd) => into.push(Parsed { id, item, odd }),
            (None, ..) => *nameless.entry(kind).or_default() += 1,
        }
        Ok(())
    })
}

/// Id lists of REQUIREMENTS, each distinct one kept once: thousands of VMs share
/// a few lists of hosts, and the lists are most of a large document.
#[derive(Default)]
struct IdLists<'a> {
    known: HashMap<Vec<i32>, Arc<[i32]>>,
    /// The last ones as they are written, newest first: a VM mostly has the same as the one before.
    recent: VecDeque<(Content<'a>, Arc<[i32]>)>,
    scratch: Vec<i32>,
}

/// Lists of hosts and of datastores of two kinds of VMs, and those of a NIC.
const RECENT: usize = 6;

impl<'a> IdLists<'a> {
    fn read(&mut self, walker: &mut Walker<'a>) -> Result<Arc<[i32]>, XmlError> {
        for (content, list) in &self.recent {
            if walker.skip_alike(*content)? {
                return Ok(list.clone());
            }
        }
        self.scratch.clear();
        let content = walker.children_with_content(|w, _| {
            self.scratch.extend(number::id(&w.text()?));
            Ok(())
        })?;
        if !self.scratch.is_sorted() {
            self.scratch.sort_unstable();
        }
        self.scratch.dedup();
        let list = match self.known.get(&self.scratch) {
            Some(list) => list.clone(),
            None => {
                let list: Arc<[i32]> = self.scratch.as_slice().into();
                self.known.insert(self.scratch.clone(), list.clone());
                list
            }
        };
        if let Some(content) = content {
            self.recent.truncate(RECENT - 1);
            self.recent.push_front((content, list.clone()));
        }
        Ok(list)
    }
}

fn candidates<'a>(walker: &mut Walker<'a>, lists: &mut IdLists<'a>) -> Result<RawCandidates, XmlError> {
    let mut raw = RawCandidates::default();
    walker.children(|w, tag| {
        match tag {
            "ID" => raw.vm = number::id(&w.text()?),
            "HOSTS" => raw.hosts = lists.read(w)?,
            "DATASTORES" => raw.datastores = lists.read(w)?,
            "NIC" => {
                let (mut id, mut vnets) = (None, Arc::default());
                w.children(|w, tag| {
                    match tag {
                        "ID" => id = number::id(&w.text()?),
                        "VNETS" => vnets = lists.read(w)?,
                        _ => w.skip()?,
                    }
                    Ok(())
                })?;
                match id {
                    Some(id) => raw.nics.push((id, vnets)),
                    None => raw.bad_nic = true,
                }
            }
            _ => w.skip()?,
        }
        Ok(())
    })?;
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_all_its_pools_and_nothing_after_its_end() {
        let with = |pools: &[&str]| {
            let pools: String = pools.iter().map(|name| format!("<{name}/>")).collect();
            format!("<SCHEDULER_DRIVER_ACTION>{pools}</SCHEDULER_DRIVER_ACTION>")
        };
        let whole = with(&NEEDED);
        assert!(read(&whole).is_ok() && read(&format!("{whole}\n")).is_ok());
        assert!(read(&format!("{whole}<MORE/>")).is_err());
        for missing in 0..NEEDED.len() {
            let mut pools = NEEDED.to_vec();
            let name = pools.remove(missing);
            assert!(matches!(read(&with(&pools)), Err(RequestError::Missing(found)) if found == name), "{name}");
        }
        assert!(matches!(read("<OTHER/>"), Err(RequestError::Root(_))));
        assert!(read(&whole[..whole.len() - 5]).is_err());
    }

    /// A request with what some pools hold.
    fn of(pools: &[(&str, &str)]) -> Snapshot {
        let inside = |name: &str| pools.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text);
        let more = pools.iter().map(|(name, _)| *name).filter(|name| !NEEDED.contains(name));
        let all: String =
            NEEDED.iter().copied().chain(more).map(|name| format!("<{name}>{}</{name}>", inside(name))).collect();
        read(&format!("<SCHEDULER_DRIVER_ACTION>{all}</SCHEDULER_DRIVER_ACTION>")).unwrap()
    }

    fn texts(snapshot: &Snapshot) -> Vec<&str> {
        let mut texts: Vec<&str> = snapshot.notices.iter().map(|notice| notice.text.as_str()).collect();
        texts.sort_unstable();
        texts
    }

    #[test]
    fn what_a_cluster_says_for_itself_is_read_and_what_is_odd_is_told() {
        let drs = |values: &[(&str, &str)]| {
            let values: String = values.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
            let cluster = format!(
                "<CLUSTER><ID>7</ID><NAME>c</NAME><HOSTS><ID>3</ID><ID>1</ID><ID>3</ID></HOSTS><TEMPLATE><OTHER>x</OTHER><one_drs>{values}</one_drs>\
                 <ONE_DRS><POLICY>x</POLICY></ONE_DRS></TEMPLATE></CLUSTER>"
            );
            let snapshot = of(&[("CLUSTER_POOL", &cluster)]);
            let told: Vec<String> = texts(&snapshot).into_iter().map(str::to_owned).collect();
            let cluster = snapshot.clusters.into_iter().next().unwrap();
            assert_eq!(
                (cluster.name.as_str(), cluster.hosts.iter().map(|host| host.0).collect::<Vec<_>>()),
                ("c", vec![1, 3])
            );
            (cluster.drs, told)
        };
        let (found, told) = drs(&[
            ("AUTOMATION", "FULL"),
            ("POLICY", " pack "),
            ("MIGRATION_THRESHOLD", "5"),
            ("HOST_MIGRATION_THRESHOLD", "-1"),
            ("DS_MIGRATION_THRESHOLD", "0"),
            ("CPU_USAGE_WEIGHT", "0.5"),
            ("NET_WEIGHT", "1000"),
            ("PREDICTIVE", "1"),
            ("MINIMUM_GAIN", "0"),
            ("MOVE_PINNED", "yes"),
            ("PACK_LIMIT", "0.75"),
            ("S_GREEN", "1000"),
        ]);
        let weights = crate::model::policy::Weights {
            cpu_usage: 0.5,
            net: 1000.0,
            cpu: 0.0,
            memory_usage: 0.0,
            memory: 0.0,
            disk: 0.0,
        };
        let expected = crate::model::cluster::OneDrs {
            full: true,
            policy: Some(crate::model::policy::DrsPolicy::Pack),
            migrations: Some(Some(5)),
            host_migrations: Some(None),
            datastore_migrations: Some(Some(0)),
            weights: Some(weights),
            predictive: Some(1.0),
            minimum_gain: Some(0.0),
            move_pinned: Some(true),
            pack_limit: Some(0.75),
            s_green: Some(1000.0),
        };
        assert_eq!((found, told), (expected, vec![]));
        let (found, told) = drs(&[
            ("AUTOMATION", "some"),
            ("POLICY", "spread"),
            ("MIGRATION_THRESHOLD", "-2"),
            ("DS_MIGRATION_THRESHOLD", "few"),
            ("CPU_WEIGHT", "0"),
            ("DISK_WEIGHT", "1001"),
            ("PREDICTIVE", "1.5"),
            ("MOVE_PINNED", "maybe"),
            ("S_GREEN", "-1"),
        ]);
        assert_eq!(found, crate::model::cluster::OneDrs::default());
        assert_eq!(
            told,
            [
                "ONE_DRS has no weight above 0; those of the configuration count",
                "ONE_DRS/AUTOMATION is \"some\"; it must be manual or partial or full, and counts as not set",
                "ONE_DRS/DISK_WEIGHT is \"1001\"; it must be a number from 0 to 1000, and counts as not set",
                "ONE_DRS/DS_MIGRATION_THRESHOLD is \"few\"; it must be a whole number from 0, or -1 for no limit, and counts as not set",
                "ONE_DRS/MIGRATION_THRESHOLD is \"-2\"; it must be a whole number from 0, or -1 for no limit, and counts as not set",
                "ONE_DRS/MOVE_PINNED is \"maybe\"; it must be no or yes, and counts as not set",
                "ONE_DRS/POLICY is \"spread\"; it must be balance or pack, and counts as not set",
                "ONE_DRS/PREDICTIVE is \"1.5\"; it must be a number from 0 to 1, and counts as not set",
                "ONE_DRS/S_GREEN is \"-1\"; it must be a number from 0 to 1000, and counts as not set"
            ]
        );
        let (found, told) =
            drs(&[("POLICY", ""), ("AUTOMATION", "partial"), ("MOVE_PINNED", "NO"), ("POLICY", "BALANCE")]);
        assert_eq!((found.full, found.move_pinned, found.weights, told), (false, Some(false), None, vec![]));
    }

    fn vm(id: &str, more: &str) -> String {
        format!("<VM><ID>{id}</ID><STATE>1</STATE><TEMPLATE><CPU>1</CPU><MEMORY>8</MEMORY>{more}</TEMPLATE></VM>")
    }

    fn host(id: &str, share: &str) -> String {
        format!("<HOST><ID>{id}</ID><STATE>2</STATE><HOST_SHARE>{share}</HOST_SHARE></HOST>")
    }

    #[test]
    fn what_cannot_be_judged_is_left_out_with_its_reason() {
        let hosts = [
            host("1", "<MAX_CPU>100</MAX_CPU><CPU_USAGE>-5</CPU_USAGE>"),
            host("2", "<MAX_CPU>many</MAX_CPU>"),
            host("3", "<MAX_CPU>100</MAX_CPU>"),
            host("3", "<MAX_CPU>200</MAX_CPU>"),
            host("4", ""),
            host("4", ""),
            host("x", ""),
            host("", ""),
        ];
        let snapshot = of(&[
            ("HOST_POOL", &hosts.concat()),
            ("DATASTORE_POOL", "<DATASTORE/>"),
            (
                "VM_POOL",
                &[vm("5", ""), vm("6", "<DISK><SIZE>-1</SIZE></DISK>"), vm("7", "<DISK><SIZE>-1</SIZE></DISK>")]
                    .concat(),
            ),
            ("REQUIREMENTS", "<VM><ID>6</ID></VM><VM><ID>8</ID></VM><VM></VM><VM><ID>y</ID></VM>"),
        ]);
        assert_eq!(snapshot.hosts.iter().map(|host| host.id.0).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(
            texts(&snapshot),
            [
                "DISK/SIZE is below zero (-1); it counts where it is, and is not placed",
                "HOST_SHARE/CPU_USAGE is -5, below zero; it counts as 0",
                "HOST_SHARE/MAX_CPU is \"many\", not a usable number; it is left out",
                "REQUIREMENTS/VM without a usable ID: 2; left out",
                "datastore without a usable ID: 1; left out",
                "host without a usable ID: 2; left out",
                "stands in the request more than once, with different content; it is left out"
            ]
        );
        let aside: Vec<(i32, &str)> = snapshot.set_aside.iter().map(|(vm, text)| (vm.0, text.as_str())).collect();
        assert_eq!(
            aside,
            [
                (6, "cannot be placed: DISK/SIZE is below zero (-1)"),
                (8, "cannot be placed: it is in REQUIREMENTS but not in VM_POOL, so its size is unknown")
            ]
        );
        assert_eq!(snapshot.vms.iter().map(|vm| vm.id.0).collect::<Vec<_>>(), [5, 6, 7]);
    }

    #[test]
    fn a_vm_that_stands_twice_goes_only_where_both_allow() {
        let ids = |name: &str, ids: &[i32]| {
            let ids: String = ids.iter().map(|id| format!("<ID>{id}</ID>")).collect();
            format!("<{name}>{ids}</{name}>")
        };
        let wanted = |id: i32, hosts: &[i32], stores: &[i32], nics: &[(i32, &[i32])]| {
            let nics: String =
                nics.iter().map(|(id, nets)| format!("<NIC><ID>{id}</ID>{}</NIC>", ids("VNETS", nets))).collect();
            format!("<VM><ID>{id}</ID>{}{}{nics}</VM>", ids("HOSTS", hosts), ids("DATASTORES", stores))
        };
        let auto = "<NIC><NIC_ID>0</NIC_ID><NETWORK_MODE>auto</NETWORK_MODE></NIC>";
        let hosts: String = (1..=3).map(|id| host(&id.to_string(), "")).collect();
        let named =
            |tag: &str, ids: &[i32]| ids.iter().map(|id| format!("<{tag}><ID>{id}</ID></{tag}>")).collect::<String>();
        let requirements = [
            wanted(5, &[3, 1, 2], &[100, 101], &[(0, &[7, 8])]),
            wanted(5, &[2, 3, 9], &[101], &[(0, &[8, 9])]),
            wanted(6, &[1], &[100], &[]),
            "<VM><ID>7</ID><NIC><VNETS/></NIC></VM>".to_owned(),
            wanted(8, &[11, 12, 13, 14, 15, 16, 11], &[], &[]),
        ];
        let snapshot = of(&[
            ("HOST_POOL", &hosts),
            ("DATASTORE_POOL", &named("DATASTORE", &[100, 101])),
            ("VNET_POOL", &named("VNET", &[7, 8])),
            ("VM_POOL", &[vm("5", auto), vm("6", auto), vm("7", ""), vm("8", "")].concat()),
            ("REQUIREMENTS", &requirements.concat()),
        ]);
        let of_vm = |id: i32| snapshot.candidates.iter().find(|one| snapshot.vms[one.vm].id.0 == id).unwrap();
        assert_eq!((&*of_vm(5).hosts, &*of_vm(5).datastores), (&[1, 2][..], &[1][..]));
        assert_eq!(of_vm(5).nics.iter().map(|nic| (nic.nic.0, nic.vnets.to_vec())).collect::<Vec<_>>(), [(0, vec![1])]);
        let aside: Vec<(i32, &str)> = snapshot.set_aside.iter().map(|(vm, text)| (vm.0, text.as_str())).collect();
        assert_eq!(
            aside,
            [
                (6, "cannot be placed: NIC 0 is in auto mode, but oned offers no network for it"),
                (7, "cannot be placed: REQUIREMENTS lists a NIC without an ID")
            ]
        );
        assert!(of_vm(8).hosts.is_empty());
        assert_eq!(
            texts(&snapshot),
            [
                "REQUIREMENTS names hosts that are not usable in the request: 11, 12, 13, 14, 15, ...; they are passed over"
            ]
        );
    }

    #[test]
    fn disks_are_summed_up_by_where_they_lie() {
        let disk = |store: &str, clone: &str, target: &str, size: i32| {
            format!(
                "<DISK><DATASTORE_ID>{store}</DATASTORE_ID><CLONE>{clone}</CLONE><CLONE_TARGET>{target}</CLONE_TARGET>\
                 <LN_TARGET>NONE</LN_TARGET><SIZE>{size}</SIZE></DISK>"
            )
        };
        let disks = [
            "<DISK><TYPE>swap</TYPE><SIZE>3</SIZE></DISK>".to_owned(),
            disk("9", "YES", "SELF", 10),
            disk("2", "YES", "self", 20),
            disk("9", "YES", "SELF", 40),
            disk("9", "YES", "SYSTEM", 80),
            disk("9", "NO", "SELF", 160),
            disk("9", "", "SELF", 320),
            disk("4", "YES", "SELF", 0),
        ];
        let snapshot = of(&[("VM_POOL", &vm("5", &disks.concat()))]);
        let found: Vec<(i32, i64)> = snapshot.vms[0].image_disks.iter().map(|(id, size)| (id.0, size.0)).collect();
        assert_eq!((snapshot.vms[0].system_disk.0, found), (83, vec![(2, 20), (9, 50)]));
    }

    #[test]
    fn wishes_that_cannot_be_read_are_told_and_count_for_nothing() {
        let of_vm = |wishes: &str| {
            let vm = format!(
                "<VM><ID>5</ID><STATE>1</STATE><TEMPLATE><CPU>1</CPU><MEMORY>8</MEMORY></TEMPLATE><USER_TEMPLATE>{wishes}</USER_TEMPLATE></VM>"
            );
            let snapshot = of(&[("VM_POOL", &vm)]);
            let told: Vec<String> = texts(&snapshot).into_iter().map(str::to_owned).collect();
            (snapshot.vms[0].likings.len(), snapshot.vms[0].priority, told)
        };
        assert_eq!(
            of_vm("<ONEAIO_PRIORITY>100</ONEAIO_PRIORITY><ONEAIO_PREFER>3, RACK = r1:2,</ONEAIO_PREFER>"),
            (2, 100, vec![])
        );
        let (likings, priority, told) =
            of_vm("<ONEAIO_PRIORITY>101</ONEAIO_PRIORITY><ONEAIO_PREFER>3:1001, =x, RACK=, 4:1000</ONEAIO_PREFER>");
        assert_eq!((likings, priority, told.len()), (1, 0, 4));
        assert_eq!(
            told.last().unwrap(),
            "ONEAIO_PRIORITY of the VM is \"101\"; it must be a whole number from 0 to 100, and counts as 0"
        );
        let many: String = (0..33).map(|id| format!("{id},")).collect();
        let (likings, _, told) = of_vm(&format!("<ONEAIO_PREFER>{many}</ONEAIO_PREFER>"));
        assert_eq!((likings, told.len()), (32, 1));
        assert!(told[0].ends_with("it has more than 32 terms; the first 32 count"), "{told:?}");
        assert_eq!(of_vm(&format!("<ONEAIO_PREFER>{}</ONEAIO_PREFER>", many.trim_start_matches("0,"))).0, 32);
    }

    #[test]
    fn a_host_is_read_in_order_and_each_thing_once() {
        let text = "<HOST><ID>1</ID><NAME>h</NAME><STATE>2</STATE><CLUSTER_ID>100</CLUSTER_ID><HOST_SHARE>\
                    <MAX_CPU>800</MAX_CPU><TOTAL_CPU>1000</TOTAL_CPU><CPU_USAGE>300</CPU_USAGE><MAX_MEM>4096</MAX_MEM>\
                    <MEM_USAGE>1024</MEM_USAGE><RUNNING_VMS>2</RUNNING_VMS><FREE_DISK>77</FREE_DISK>\
                    <DATASTORES><DS><ID>9</ID><FREE_MB>5</FREE_MB></DS><DS><ID>3</ID><FREE_MB>x</FREE_MB></DS>\
                    <DS><ID>9</ID><FREE_MB>7</FREE_MB></DS><DS><ID>z</ID></DS></DATASTORES></HOST_SHARE>\
                    <VMS><ID>7</ID><ID>5</ID><ID>7</ID><ID>x</ID></VMS><TEMPLATE><PIN_POLICY>pinned</PIN_POLICY><RACK>r1</RACK></TEMPLATE>\
                    <CLUSTER_TEMPLATE><ZONE>z</ZONE></CLUSTER_TEMPLATE></HOST>";
        let snapshot = of(&[("HOST_POOL", text)]);
        let host = &snapshot.hosts[0];
        assert_eq!(
            (host.id.0, host.name.as_str(), host.cluster.0, host.enabled, host.pinned, host.closed),
            (1, "h", 100, true, true, false)
        );
        assert_eq!((host.cpu.0, host.cpu_allocated.0, host.memory.0, host.memory_allocated.0), (800, 300, 4096, 1024));
        assert_eq!((host.total.0.0, host.total.1.0, host.running_vms, host.free_disk.0), (1000, 4096, 2, 77));
        assert_eq!(host.vms.iter().map(|vm| vm.0).collect::<Vec<_>>(), [5, 7]);
        let local: Vec<(i32, i64)> = host.local_datastores.iter().map(|(id, free)| (id.0, free.0)).collect();
        assert_eq!(local, [(3, 0), (9, 5)], "what cannot be read has no room");
        use crate::model::snapshot::Section;
        let attribute = |section, name| host.attributes.first_in(section, name);
        assert_eq!(attribute(Section::Template, "RACK"), Some("r1"));
        assert_eq!(attribute(Section::ClusterTemplate, "ZONE"), Some("z"));
        assert_eq!((host.monitoring, snapshot.taken_at), (None, 0));
        // who says nothing of its state is enabled, and a cluster that is none is none
        let state = |state: &str| {
            let text = format!("<HOST><ID>1</ID><STATE>{state}</STATE></HOST>");
            let snapshot = of(&[("HOST_POOL", &text)]);
            (snapshot.hosts[0].enabled, snapshot.hosts[0].cluster.0)
        };
        assert_eq!(
            ["", "1", "2", "0", "3", "x"].map(state),
            [true, true, true, false, false, false].map(|yes| (yes, -1))
        );
    }

    #[test]
    fn a_sample_of_a_host_counts_where_it_can_be_true() {
        let sampled = |timestamp: &str, cpu: &str, memory: &str, free: &str, vms: &str| {
            let text = format!(
                "<HOST><ID>1</ID><STATE>2</STATE><VMS>{vms}</VMS><MONITORING><TIMESTAMP>{timestamp}</TIMESTAMP><CAPACITY><USED_CPU>{cpu}</USED_CPU>\
                 <FREE_MEMORY>{free}</FREE_MEMORY></CAPACITY><SYSTEM><USED_MEMORY>{memory}</USED_MEMORY></SYSTEM><OTHER>x</OTHER></MONITORING></HOST>"
            );
            let snapshot = of(&[("HOST_POOL", &text)]);
            let found =
                snapshot.hosts[0].monitoring.map(|found| (found.timestamp, found.cpu_used.0, found.memory_used.0));
            assert_eq!(snapshot.taken_at, found.map_or(0, |(at, ..)| at));
            found
        };
        let vm = "<ID>5</ID>";
        for (timestamp, cpu, memory, free, vms, expected) in [
            ("50", "10", "20", "0", vm, Some((50, 10, 20))),
            ("50", "0", "20", "1", vm, Some((50, 0, 20))),
            ("50", "10", "0", "", vm, Some((50, 10, 0))),
            ("50", "0", "0", "", vm, None),
            ("50", "0", "0", "", "", Some((50, 0, 0))),
            ("50", "-1", "20", "", vm, None),
            ("50", "10", "-1", "", vm, None),
            ("50", "10", "20", "-0.5", vm, None),
            ("0", "10", "20", "", vm, None),
            ("x", "10", "20", "", vm, None),
            ("50", "", "20", "", vm, None),
        ] {
            assert_eq!(sampled(timestamp, cpu, memory, free, vms), expected, "{timestamp} {cpu} {memory} {free} {vms}");
        }
    }

    #[test]
    fn a_host_is_closed_where_all_of_it_is_reserved() {
        let told = |max_cpu: &str, total_cpu: &str, max_mem: &str, total_mem: &str| {
            let share = format!(
                "<MAX_CPU>{max_cpu}</MAX_CPU><TOTAL_CPU>{total_cpu}</TOTAL_CPU><MAX_MEM>{max_mem}</MAX_MEM><TOTAL_MEM>{total_mem}</TOTAL_MEM>"
            );
            let snapshot = of(&[("HOST_POOL", &host("1", &share))]);
            let host = &snapshot.hosts[0];
            (host.closed, host.total.0.0, host.total.1.0)
        };
        assert_eq!(told("100", "200", "10", "20"), (false, 200, 20));
        assert_eq!(told("100", "50", "10", ""), (false, 100, 10));
        assert_eq!(told("-1", "", "10", "20"), (true, -1, 20));
        assert_eq!(told("0", "200", "10", "20"), (true, 200, 20));
        assert_eq!(told("100", "200", "0", "20"), (true, 200, 20));
        // never monitored
        assert_eq!((told("0", "", "0", ""), told("0", "0", "0", "0")), ((false, 0, 0), (false, 0, 0)));
    }

    #[test]
    fn rooms_of_datastores_are_what_their_limit_leaves() {
        let told = |text: &str| {
            let store = format!("<DATASTORE><ID>1</ID><NAME>d</NAME>{text}</DATASTORE>");
            let snapshot = of(&[("DATASTORE_POOL", &store)]);
            let one = &snapshot.datastores[0];
            (one.free.0, one.total.0, one.system, one.shared, texts(&snapshot).first().map(|text| (*text).to_owned()))
        };
        let sizes = "<USED_MB>30</USED_MB><FREE_MB>70</FREE_MB><TOTAL_MB>100</TOTAL_MB>";
        let limit = |limit: &str| {
            told(&format!("{sizes}<TYPE>1</TYPE><TEMPLATE><LIMIT_MB>{limit}</LIMIT_MB><SHARED>NO</SHARED></TEMPLATE>"))
        };
        assert_eq!(told(sizes), (70, 100, false, true, None));
        assert_eq!((limit("50"), limit(" ")), ((20, 50, true, false, None), (70, 100, true, false, None)));
        assert_eq!((limit("20"), limit("-5")), ((0, 20, true, false, None), (0, 0, true, false, None)));
        let text = "LIMIT_MB is \"much\", not a number; FREE_MB counts".to_owned();
        assert_eq!(limit("much"), (70, 100, true, false, Some(text)));
    }
}
