//! What hard rules are called: in reports, in `why not`, in `explain`, by `drain` and by the judge of plans.
//! Names only. Planner and judge each know for themselves what a rule says.

/// The plan has one action for each VM.
pub const DUPLICATE: &str = "duplicate";
/// oned asks for the VM.
pub const SCHEDULABLE: &str = "schedulable";
/// oned offers the host for the VM, and the host takes VMs.
pub const HOST: &str = "host";
/// Pinned VMs go to PINNED hosts, others never.
pub const PIN_POLICY: &str = "pin policy";
/// Deploy or migrate.
pub const OPERATION: &str = "operation";
/// States in which oned carries the action out.
pub const STATE: &str = "state";
/// CPU as allocated.
pub const CPU: &str = "CPU";
/// Memory as allocated.
pub const MEMORY: &str = "memory";
/// The configuration's limit per host and plan.
pub const MAX_PER_HOST: &str = "max_per_host";
/// HOST_AFFINED and HOST_ANTI_AFFINED of a role.
pub const HOST_AFFINITY: &str = "host affinity";
/// AFFINED roles and rules.
pub const AFFINITY: &str = "affinity";
/// ANTI_AFFINED roles and rules.
pub const ANTI_AFFINITY: &str = "anti-affinity";
/// ONEAIO_SPREAD and ONEAIO_TOGETHER of VM groups and roles.
pub const DOMAIN: &str = "failure domain";
/// Requirements that speak of CURRENT_VMS.
pub const CURRENT_VMS: &str = "CURRENT_VMS";
/// System and image datastores.
pub const DATASTORE: &str = "datastore";
/// Virtual networks and their leases.
pub const NETWORK: &str = "network";
/// PCI devices.
pub const PCI: &str = "PCI";
/// NUMA nodes, pinned CPUs, hugepages.
pub const NUMA: &str = "NUMA";
/// Migrations stay in their cluster.
pub const CLUSTER: &str = "cluster";
/// ONEDRS_BLOCKED, RESCHED.
pub const BLOCKED: &str = "blocked";
/// `optimize.move_pinned`.
pub const PINNED: &str = "pinned";
/// Limits on migrations.
pub const THRESHOLD: &str = "threshold";
/// A rule from outside of this crate.
pub const OTHER: &str = "rule";
