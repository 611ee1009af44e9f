//! PCI devices of one host, handed out as oned does: VM after VM in the order of
//! deployment, requests by address first, then the first free device that matches.

use super::reason::Want;
use crate::model::ids::{VmId, listed};
use crate::model::snapshot::{Host, Vm};
use crate::model::topology::PciRequest;

/// Whether the devices of `host` suffice for `vms` in this order; else the request
/// that goes without. O(requests x devices).
pub fn serve<'v>(host: &Host, vms: impl Iterator<Item = &'v Vm>) -> Result<(), Want> {
    let mut taken: Vec<Option<VmId>> = vec![None; host.pci.len()];
    for vm in vms {
        let (by_address, by_kind): (Vec<_>, Vec<_>) = vm.pci.iter().partition(|request| names_device(request));
        for request in by_address.into_iter().chain(by_kind) {
            let is_free = |device: usize| host.pci[device].free && taken[device].is_none();
            let found = (0..taken.len()).find(|&i| is_free(i) && request.matches(&host.pci[i]));
            match found {
                Some(device) => taken[device] = Some(vm.id),
                None => return Err(lack(host, vm, request, &taken)),
            }
        }
    }
    Ok(())
}

/// Whether there are as many free devices as requests: the quick answer to most refusals.
pub fn enough<'v>(host: &Host, vms: impl Iterator<Item = &'v Vm>) -> Result<(), Want> {
    let free = host.pci.iter().filter(|device| device.free).count();
    let (mut asked, mut last) = (0, None);
    for vm in vms {
        asked += vm.pci.len();
        last = vm.pci.last().map(|request| (vm, request)).or(last);
    }
    match last {
        Some((vm, request)) if asked > free => Err(lack(host, vm, request, &vec![None; host.pci.len()])),
        _ => Ok(()),
    }
}

/// What the host has of a request: nothing, or devices that others hold.
fn lack(host: &Host, vm: &Vm, request: &PciRequest, taken: &[Option<VmId>]) -> Want {
    let (mut count, mut held, mut excluded, mut free) = (0, 0, 0, 0);
    let mut holders = Vec::new();
    for (device, taken) in host.pci.iter().zip(taken).filter(|(device, _)| request.matches(device)) {
        count += 1;
        // what it was given itself, for a request before this one, is free for it
        match device.holder.or(taken.filter(|holder| *holder != vm.id)) {
            Some(holder) => {
                held += 1;
                holders.push(holder);
            }
            None if device.free => free += 1,
            None => excluded += 1,
        }
    }
    holders.sort_unstable();
    holders.dedup();
    let asked = vm.pci.iter().filter(|other| *other == request).count();
    let need = match asked {
        0 | 1 => format!("PCI device {}", request.text()),
        _ => format!("{asked} PCI devices {}", request.text()),
    };
    let mut parts = Vec::new();
    if !holders.is_empty() {
        let verb = if holders.len() == 1 { "holds" } else { "hold" };
        let gone = |vm: &VmId| host.vms.binary_search(vm).is_err() && !taken.contains(&Some(*vm));
        let gone = if holders.iter().all(gone) { ", not on the host's list," } else { "" };
        let what = if held == count && count > 1 { format!("all {held}") } else { held.to_string() };
        parts.push(format!("{}{gone} {verb} {what}", listed(&holders)));
    }
    if excluded > 0 {
        parts.push(format!("{excluded} excluded by the operator"));
    }
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    let has = match (count, free) {
        (0, _) => "has no such device".to_owned(),
        _ if count < asked => format!("has only {count} in all{parts}"),
        (_, 0) => format!("has none free{parts}"),
        _ => format!("has {free} of {count} free{parts}"),
    };
    Want { need, has, never: count < asked.max(1) }
}

/// VMs that want one certain device go first, so that nobody takes it by chance.
pub fn wants_certain_device(vm: &Vm) -> bool {
    vm.pci.iter().any(names_device)
}

fn names_device(request: &PciRequest) -> bool {
    matches!(request, PciRequest::Address(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::HostId;
    use crate::model::topology::PciDevice;
    use crate::model::units::{Cpu, Memory};

    /// A device of vendor 1, or 2, that is free, excluded, or held by a VM.
    fn device(number: usize, (vendor, free, holder): &(u32, bool, Option<i32>)) -> PciDevice {
        PciDevice {
            address: format!("0000:00:0{number}:0"),
            short_address: format!("00:0{number}.0"),
            vendor: Some(*vendor),
            device: Some(2),
            class: Some(3),
            free: *free,
            holder: holder.map(VmId),
        }
    }

    fn host(devices: &[(u32, bool, Option<i32>)]) -> Host {
        let pci = devices.iter().enumerate().map(|(number, one)| device(number, one)).collect();
        Host { pci, vms: vec![VmId(70), VmId(71)], ..Host::plain(HostId(1), Cpu(800), Memory(1)) }
    }

    fn kind(vendor: u32) -> PciRequest {
        PciRequest::Kind { vendor: Some(vendor), device: None, class: None }
    }

    fn at(number: usize) -> PciRequest {
        PciRequest::Address(format!("00:0{number}.0"))
    }

    fn vm(id: i32, pci: &[PciRequest]) -> Vm {
        Vm { pci: pci.to_vec(), ..Vm::plain(VmId(id), Cpu(100), Memory(1)) }
    }

    const FREE: (u32, bool, Option<i32>) = (1, true, None);
    const EXCLUDED: (u32, bool, Option<i32>) = (1, false, None);
    const OTHER: (u32, bool, Option<i32>) = (2, true, None);

    const fn held(by: i32) -> (u32, bool, Option<i32>) {
        (1, false, Some(by))
    }

    #[test]
    fn each_request_gets_a_device_of_its_own_those_by_address_first() {
        for (devices, vms, served) in [
            (&[FREE, FREE][..], vec![vm(1, &[kind(1), at(0)])], true),
            (&[FREE, FREE], vec![vm(1, &[kind(1)]), vm(2, &[at(0)])], false),
            (&[FREE, FREE], vec![vm(2, &[at(0)]), vm(1, &[kind(1)])], true),
            (&[FREE, OTHER], vec![vm(1, &[kind(1)]), vm(2, &[kind(2)])], true),
            (&[FREE, OTHER], vec![vm(1, &[kind(1), kind(1)])], false),
            (&[EXCLUDED], vec![vm(1, &[kind(1)])], false),
            (&[], vec![vm(1, &[])], true),
        ] {
            assert_eq!(serve(&host(devices), vms.iter()).is_ok(), served, "{devices:?} {vms:?}");
        }
        for (devices, vms, enough_of_them) in [
            (&[FREE, FREE][..], vec![vm(1, &[kind(1)]), vm(2, &[kind(1)])], true),
            (&[FREE, EXCLUDED], vec![vm(1, &[kind(1)]), vm(2, &[kind(1)])], false),
            (&[FREE, OTHER], vec![vm(1, &[kind(1), kind(1)])], true),
            (&[FREE, EXCLUDED], vec![vm(1, &[kind(1), kind(1)]), vm(2, &[])], false),
            (&[FREE], vec![vm(2, &[]), vm(1, &[kind(1)]), vm(3, &[])], true),
            (&[], vec![vm(1, &[])], true),
        ] {
            assert_eq!(enough(&host(devices), vms.iter()).is_ok(), enough_of_them, "{devices:?} {vms:?}");
        }
        let certain = |pci: &[PciRequest]| wants_certain_device(&vm(1, pci));
        assert_eq!([certain(&[]), certain(&[kind(1)]), certain(&[kind(1), at(0)])], [false, false, true]);
    }

    #[test]
    fn who_holds_what_a_vm_goes_without_is_told() {
        let (one, two) = ("PCI device 0001:*:*", "2 PCI devices 0001:*:*");
        for (devices, vms, need, has, never) in [
            (&[OTHER][..], vec![vm(1, &[kind(1)])], one, "has no such device", true),
            (&[held(70)], vec![vm(1, &[kind(1)])], one, "has none free: VM 70 holds 1", false),
            (&[held(70), held(70)], vec![vm(1, &[kind(1)])], one, "has none free: VM 70 holds all 2", false),
            (&[held(70), held(71)], vec![vm(1, &[kind(1)])], one, "has none free: VMs 70 and 71 hold all 2", false),
            (
                &[held(80), EXCLUDED],
                vec![vm(1, &[kind(1)])],
                one,
                "has none free: VM 80, not on the host's list, holds 1, 1 excluded by the operator",
                false,
            ),
            (&[held(80), held(70)], vec![vm(1, &[kind(1)])], one, "has none free: VMs 70 and 80 hold all 2", false),
            (&[FREE], vec![vm(1, &[kind(1), kind(1)])], two, "has only 1 in all", true),
            (&[FREE, held(70)], vec![vm(1, &[kind(1), kind(1)])], two, "has 1 of 2 free: VM 70 holds 1", false),
            // an earlier VM of the plan holds it, and is not on the list yet
            (&[FREE], vec![vm(5, &[kind(1)]), vm(1, &[kind(1)])], one, "has none free: VM 5 holds 1", false),
        ] {
            let want = serve(&host(devices), vms.iter()).expect_err("it lacks");
            assert_eq!((want.need.as_str(), want.has.as_str(), want.never), (need, has, never), "{devices:?} {vms:?}");
        }
        let want = enough(&host(&[FREE]), [vm(5, &[kind(1)]), vm(1, &[at(0)])].iter()).expect_err("one is left over");
        assert_eq!((want.need.as_str(), want.has.as_str()), ("PCI device at 00:00.0", "has 1 of 1 free"));
    }
}
