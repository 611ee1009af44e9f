//! PCI devices of one host, handed out as oned does: VM after VM in the order of
//! deployment, requests by address first, then the first free device that matches.

use crate::model::snapshot::{Host, Vm};
use crate::model::topology::PciRequest;

/// Whether the devices of `host` suffice for `vms` in this order; else the request
/// that goes without. O(requests x devices).
pub fn serve<'v>(host: &Host, vms: impl Iterator<Item = &'v Vm>) -> Result<(), String> {
    let mut taken: Vec<bool> = host.pci.iter().map(|device| !device.free).collect();
    for vm in vms {
        let (by_address, by_kind): (Vec<_>, Vec<_>) = vm.pci.iter().partition(|request| names_device(request));
        for request in by_address.into_iter().chain(by_kind) {
            let found = (0..taken.len()).find(|&i| !taken[i] && request.matches(&host.pci[i]));
            match found {
                Some(device) => taken[device] = true,
                None => return Err(request.text()),
            }
        }
    }
    Ok(())
}

/// Whether there are as many free devices as requests: the quick answer to most refusals.
pub fn enough<'v>(host: &Host, vms: impl Iterator<Item = &'v Vm>) -> Result<(), String> {
    let free = host.pci.iter().filter(|device| device.free).count();
    let (mut asked, mut last) = (0, None);
    for vm in vms {
        asked += vm.pci.len();
        last = vm.pci.last().or(last);
    }
    match last {
        Some(request) if asked > free => Err(request.text()),
        _ => Ok(()),
    }
}

/// VMs that want one certain device go first, so that nobody takes it by chance.
pub fn wants_certain_device(vm: &Vm) -> bool {
    vm.pci.iter().any(names_device)
}

fn names_device(request: &PciRequest) -> bool {
    matches!(request, PciRequest::Address(_))
}
