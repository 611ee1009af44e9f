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
                None => return Err(lack(host, request, &taken)),
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
        last = vm.pci.last().or(last);
    }
    match last {
        Some(request) if asked > free => Err(lack(host, request, &vec![None; host.pci.len()])),
        _ => Ok(()),
    }
}

/// What the host has of a request: nothing, or devices that others hold.
fn lack(host: &Host, request: &PciRequest, taken: &[Option<VmId>]) -> Want {
    let (mut count, mut held, mut excluded, mut free) = (0, 0, 0, 0);
    let mut holders = Vec::new();
    for (device, taken) in host.pci.iter().zip(taken).filter(|(device, _)| request.matches(device)) {
        count += 1;
        match device.holder.or(*taken) {
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
    let need = format!("PCI device {}", request.text());
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
    if free > 0 {
        parts.push(format!("{free} free, for more requests than that"));
    }
    let has = match count {
        0 => "has no such device".to_owned(),
        _ => format!("has none free: {}", parts.join(", ")),
    };
    Want { need, has, never: count == 0 }
}

/// VMs that want one certain device go first, so that nobody takes it by chance.
pub fn wants_certain_device(vm: &Vm) -> bool {
    vm.pci.iter().any(names_device)
}

fn names_device(request: &PciRequest) -> bool {
    matches!(request, PciRequest::Address(_))
}
