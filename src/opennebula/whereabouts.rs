//! Where a VM is and what it is doing, as `one.vm.info` and `one.vmpool.infoextended` tell: enough
//! to find one by its name, and to follow one that is on its way from host to host.

use super::elements::{Elements, LONGEST, PayloadError};
use super::number;
use super::vector::Vector;
use super::vm::First;
use super::xml::{Walker, XmlError};
use crate::model::ids::{ClusterId, HostId, VmId};
use std::io::{BufRead, Read};

/// STATE of VMs, as OpenNebula numbers them.
const ACTIVE: i64 = 3;
const SUSPENDED: i64 = 5;
const DONE: i64 = 6;
const POWEROFF: i64 = 8;

/// LCM_STATE, likewise.
const RUNNING: i64 = 3;

/// LCM_STATEs in which a VM stays until somebody recovers it: BOOT_FAILURE to EPILOG_UNDEPLOY_FAILURE,
/// PROLOG_MIGRATE_POWEROFF_FAILURE, PROLOG_MIGRATE_SUSPEND_FAILURE, BOOT_UNDEPLOY_FAILURE to
/// PROLOG_UNDEPLOY_FAILURE, and PROLOG_MIGRATE_UNKNOWN_FAILURE.
const FAILED: [i64; 14] = [36, 37, 38, 39, 40, 41, 42, 44, 46, 47, 48, 49, 50, 61];

/// A VM at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// ID.
    pub id: VmId,
    /// NAME.
    pub name: String,
    state: i64,
    lcm_state: i64,
    last: Stay,
}

/// The latest HISTORY record; zeros where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stay {
    host: Option<i32>,
    cluster: Option<i32>,
    /// From 1 on.
    number: i64,
    /// RSTIME: when it began to run there, seconds since 1970.
    runs_since: i64,
    /// PETIME: when its files were there.
    prepared_at: i64,
}

impl Whereabouts {
    /// The host of its latest HISTORY record, as long as it is not done.
    #[must_use]
    pub fn host(&self) -> Option<HostId> {
        self.last.host.filter(|_| !self.is_done()).map(HostId)
    }

    /// The cluster of that record.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.last.cluster.map(ClusterId)
    }

    /// HISTORY records so far: each attempt to move it adds one, and one more where it fails.
    #[must_use]
    pub fn stays(&self) -> i64 {
        self.last.number
    }

    /// It has ended, and holds no host.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == DONE
    }

    /// It runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state == ACTIVE && self.lcm_state == RUNNING
    }

    /// It is powered off or suspended, and holds its host.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        matches!(self.state, SUSPENDED | POWEROFF)
    }

    /// It stays as it is until somebody recovers it.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state == ACTIVE && FAILED.contains(&self.lcm_state)
    }

    /// Whether it has arrived where its latest record says, and is at rest there. Right after oned was told to
    /// move it, the record names the new host and the VM still runs on the old one.
    #[must_use]
    pub fn has_settled(&self) -> bool {
        self.runs() && self.last.runs_since > 0 || self.is_parked() && self.last.prepared_at > 0
    }

    /// Its state in a few words.
    #[must_use]
    pub fn doing(&self) -> String {
        match self.state {
            ACTIVE if self.lcm_state == RUNNING => "runs".to_owned(),
            ACTIVE => format!("is in STATE 3, LCM_STATE {}", self.lcm_state),
            SUSPENDED => "is suspended".to_owned(),
            POWEROFF => "is powered off".to_owned(),
            DONE => "is done".to_owned(),
            1 => "is pending".to_owned(),
            state => format!("is in STATE {state}"),
        }
    }
}

/// The VM of a `one.vm.info` payload.
///
/// # Errors
/// When it is no VM, or longer than 1 MiB.
pub fn vm(payload: impl BufRead) -> Result<Whereabouts, PayloadError> {
    let mut xml = String::new();
    payload.take(LONGEST as u64).read_to_string(&mut xml)?;
    read(&xml)
        .ok()
        .flatten()
        .ok_or_else(|| PayloadError::Root { root: "VM", found: super::envelope::beginning(xml.as_bytes()) })
}

/// Hands every VM of a `one.vmpool.infoextended` payload to `visit`; how many there were, also of those
/// that cannot be read.
///
/// # Errors
/// When the document as a whole is another one or does not end.
pub fn vms(payload: impl BufRead, visit: &mut dyn FnMut(Whereabouts)) -> Result<usize, PayloadError> {
    let mut elements = Elements::open(payload, "VM_POOL")?;
    let mut count = 0;
    while let Some(element) = elements.child()? {
        if element.name == "VM" {
            count += 1;
            if let Some(vm) = element.xml.as_deref().and_then(|xml| read(xml).ok().flatten()) {
                visit(vm);
            }
        }
    }
    Ok(count)
}

/// `None` where it has no ID, or another root.
fn read(xml: &str) -> Result<Option<Whereabouts>, XmlError> {
    let (mut walker, root) = Walker::open(xml)?;
    let (mut id, mut name, mut state, mut lcm_state) = (None, First::default(), First::default(), First::default());
    let mut last = Stay::default();
    walker.children(|w, tag| match tag {
        "ID" => {
            id = id.or(number::id(&w.text()?));
            Ok(())
        }
        "NAME" => name.fill(w),
        "STATE" => state.fill(w),
        "LCM_STATE" => lcm_state.fill(w),
        "HISTORY_RECORDS" => w.children(|w, _| {
            let record = Vector::read(w)?;
            let whole = |name: &str| number::integer(record.get(name)).unwrap_or(0);
            let number = whole("SEQ").saturating_add(1);
            if number > last.number {
                let (host, cluster) = (number::id(record.get("HID")), number::id(record.get("CID")));
                last = Stay { host, cluster, number, runs_since: whole("RSTIME"), prepared_at: whole("PETIME") };
            }
            Ok(())
        }),
        _ => w.skip(),
    })?;
    walker.finish()?;
    let whole = |text: &First| number::integer(text.text()).unwrap_or(-1);
    Ok(id.filter(|_| root == "VM").map(|id| Whereabouts {
        id: VmId(id),
        name: name.text().to_owned(),
        state: whole(&state),
        lcm_state: whole(&lcm_state),
        last,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(state: i64, lcm: i64, records: &str) -> Whereabouts {
        let xml = format!(
            "<VM><ID>7</ID><NAME>web</NAME><STATE>{state}</STATE><LCM_STATE>{lcm}</LCM_STATE>\
             <HISTORY_RECORDS>{records}</HISTORY_RECORDS></VM>"
        );
        vm(xml.as_bytes()).unwrap()
    }

    #[test]
    fn a_vm_has_settled_when_it_runs_where_its_latest_record_says() {
        let old = "<HISTORY><SEQ>0</SEQ><HID>1</HID><CID>5</CID><RSTIME>10</RSTIME></HISTORY>";
        let ordered = format!("{old}<HISTORY><SEQ>1</SEQ><HID>2</HID><CID>5</CID><RSTIME>0</RSTIME></HISTORY>");
        let arrived = ordered.replace("<RSTIME>0<", "<RSTIME>20<");
        let found = at(3, 3, old);
        assert_eq!(
            (found.id, found.host(), found.cluster(), found.stays()),
            (VmId(7), Some(HostId(1)), Some(ClusterId(5)), 1)
        );
        assert!(found.has_settled());
        // oned has been told, the VM has not left
        assert_eq!((at(3, 3, &ordered).host(), at(3, 3, &ordered).has_settled()), (Some(HostId(2)), false));
        assert!(!at(3, 4, &arrived).has_settled() && at(3, 3, &arrived).has_settled());
        // the order of records does not matter
        let turned = format!("<HISTORY><SEQ>1</SEQ><HID>2</HID><RSTIME>9</RSTIME></HISTORY>{old}");
        assert_eq!((at(3, 3, &turned).host(), at(3, 3, &turned).stays()), (Some(HostId(2)), 2));
        // one that is powered off never runs
        let parked = "<HISTORY><SEQ>0</SEQ><HID>2</HID><PETIME>5</PETIME></HISTORY>";
        assert!(at(8, 0, parked).has_settled() && !at(8, 0, old).has_settled());
        assert!(
            at(3, 37, &arrived).has_failed() && !at(3, 3, &arrived).has_failed() && !at(8, 37, parked).has_failed()
        );
        assert_eq!((at(6, 0, old).host(), at(3, 4, old).doing().as_str()), (None, "is in STATE 3, LCM_STATE 4"));
    }

    #[test]
    fn what_is_no_vm_is_told_and_pools_pass_over_it() {
        for text in ["", "<VM/>", "<HOST><ID>1</ID></HOST>", "<VM><ID>1</ID>", "<VM><ID>-1</ID></VM>"] {
            assert!(vm(text.as_bytes()).is_err(), "{text}");
        }
        let pool = "<VM_POOL><VM><ID>1</ID><NAME>a</NAME></VM><VM><NAME>b</NAME></VM></VM_POOL>";
        let mut names = Vec::new();
        assert_eq!(vms(pool.as_bytes(), &mut |vm| names.push(vm.name)).unwrap(), 2);
        assert_eq!(names, ["a"]);
    }

    #[test]
    fn what_a_vm_does_is_told_by_its_states() {
        let ran = "<HISTORY><SEQ>0</SEQ><HID>1</HID><RSTIME>1</RSTIME><PETIME>1</PETIME></HISTORY>";
        // runs, parked, failed, done, settled
        for (state, lcm, doing, told) in [
            (3, 3, "runs", [true, false, false, false, true]),
            (3, 36, "is in STATE 3, LCM_STATE 36", [false, false, true, false, false]),
            (3, 43, "is in STATE 3, LCM_STATE 43", [false, false, false, false, false]),
            (5, 3, "is suspended", [false, true, false, false, true]),
            (8, 0, "is powered off", [false, true, false, false, true]),
            (6, 3, "is done", [false, false, false, true, false]),
            (1, 0, "is pending", [false, false, false, false, false]),
            (4, 0, "is in STATE 4", [false, false, false, false, false]),
        ] {
            let vm = at(state, lcm, ran);
            let found = [vm.runs(), vm.is_parked(), vm.has_failed(), vm.is_done(), vm.has_settled()];
            assert_eq!((vm.doing().as_str(), found), (doing, told), "{state} {lcm}");
        }
        // one is never both at rest and without a moment of it
        let never = "<HISTORY><SEQ>0</SEQ><HID>1</HID></HISTORY>";
        assert!(!at(3, 3, never).has_settled() && !at(8, 0, never).has_settled());
        let only = |name: &str| format!("<HISTORY><SEQ>0</SEQ><HID>1</HID><{name}>5</{name}></HISTORY>");
        assert!(at(3, 3, &only("RSTIME")).has_settled() && !at(3, 3, &only("PETIME")).has_settled());
        assert!(at(5, 0, &only("PETIME")).has_settled() && !at(5, 0, &only("RSTIME")).has_settled());
    }

    #[test]
    fn without_records_it_is_nowhere_and_of_two_of_a_sequence_the_first_counts() {
        let none = at(1, 0, "");
        assert_eq!((none.host(), none.cluster(), none.stays()), (None, None, 0));
        let twice = "<HISTORY><SEQ>0</SEQ><HID>1</HID></HISTORY><HISTORY><SEQ>0</SEQ><HID>2</HID></HISTORY>";
        assert_eq!((at(3, 3, twice).host(), at(3, 3, twice).stays()), (Some(HostId(1)), 1));
        let plain = vm(&b"<VM><ID>7</ID><ID>8</ID><NAME>a</NAME><NAME>b</NAME><OTHER/></VM>"[..]).unwrap();
        assert_eq!((plain.id, plain.name.as_str(), plain.doing().as_str()), (VmId(7), "a", "is in STATE -1"));
        let pool = "<VM_POOL><HOST><ID>3</ID></HOST><VM><ID>1</ID></VM></VM_POOL>";
        let mut ids = Vec::new();
        assert_eq!(vms(pool.as_bytes(), &mut |vm| ids.push(vm.id.0)).unwrap(), 1);
        assert_eq!(ids, [1]);
        assert!(vms(&b"<HOST_POOL/>"[..], &mut |_| ()).is_err());
    }
}
