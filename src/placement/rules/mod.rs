//! What is allowed: one file for each hard rule.
//!
//! | file | rule |
//! |---|---|
//! | `groups` | VM groups: who must share a host, who must not |
//! | `occupancy` | CURRENT_VMS: who is on a host as the plan grows |
//! | `storage`, `networks`, `pci`, `numa` | room on datastores, leases, devices, cores and memory nodes |
//! | `reason` | why not, with numbers and the nearest miss |

pub mod groups;
pub mod networks;
pub mod numa;
pub mod occupancy;
pub mod pci;
pub mod reason;
pub mod storage;
