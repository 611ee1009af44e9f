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
