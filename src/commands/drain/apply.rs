//! `oneaio drain --apply`: the migrations of a plan, carried out by oned one after the other. Each is
//! looked after until its VM has arrived and is at rest; the first that fails ends it. Nothing is
//! taken back: what has arrived stays there, and what oned has begun goes on.

use super::DrainArgs;
use crate::commands::driver::{self, failed};
use crate::commands::show::terminal;
use crate::commands::{Exit, asked};
use crate::machine::installation::Installation;
use crate::model::ids::{HostId, VmId};
use crate::model::migration::Migration;
use crate::model::snapshot::Snapshot;
use crate::oned::{Move, Oned, OnedError};
use crate::opennebula::oned_conf;
use crate::opennebula::whereabouts::Whereabouts;
use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between the first two looks at a VM on its way; later ones are further apart.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// Between two later looks.
const LOOK: Duration = Duration::from_secs(2);
/// oned may be restarted meanwhile: so many looks in a row may get no answer.
const UNANSWERED: u32 = 5;

/// How VMs that run are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// They run on.
    Live,
    /// They are saved, moved and resumed.
    Save,
    /// They are shut down, moved and started.
    Poweroff,
    /// The same, without asking the guest.
    PoweroffHard,
}

impl How {
    /// As oned moves VMs by its own plans.
    fn of_oned() -> Self {
        let text = std::fs::read(Installation::here().oned_conf()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        match (
            oned_conf::whole_number(&text, "LIVE_RESCHEDS", 0..=1),
            oned_conf::whole_number(&text, "COLD_MIGRATE_MODE", 0..=2),
        ) {
            (Some(1), _) => Self::Live,
            (_, Some(1)) => Self::Poweroff,
            (_, Some(2)) => Self::PoweroffHard,
            _ => Self::Save,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Save => "saved and resumed",
            Self::Poweroff => "by a shutdown",
            Self::PoweroffHard => "by a hard power-off",
        }
    }

    fn of_a_vm(self) -> Move {
        match self {
            Self::Live => Move::Live,
            Self::Save => Move::Save,
            Self::Poweroff => Move::PowerOff,
            Self::PoweroffHard => Move::PowerOffHard,
        }
    }
}

/// Asks, unless told not to, and carries out.
pub fn carry_out(
    args: &DrainArgs,
    snapshot: &Snapshot,
    hosts: &[HostId],
    migrations: &[Migration],
) -> Result<Exit, Exit> {
    if migrations.is_empty() {
        return Ok(Exit::Done);
    }
    let how = args.how.unwrap_or_else(How::of_oned);
    // in an optimize request a host that is disabled is absent
    for host in hosts.iter().filter(|host| snapshot.host_index(**host).is_some()) {
        log::warn!("host {host} is enabled, new VMs may come to it: `onehost disable {host}` keeps them away");
    }
    if !args.yes && !agreed(migrations.len(), how) {
        return Ok(driver::print("nothing was done\n"));
    }
    let oned = asked::oned().map_err(|error| failed(Exit::Unusable, &error))?;
    let steps = Steps { oned: &oned, snapshot, how, patience: Duration::from_secs(u64::from(args.patience)) };
    let mut done: Vec<VmId> = Vec::new();
    for (number, migration) in (1..).zip(migrations) {
        let number: usize = number;
        let step = format!("{number} of {}: {}", migrations.len(), steps.told(migration));
        driver::print(&terminal::lines(&step));
        match steps.step(migration) {
            Ok(outcome) => {
                done.push(migration.vm);
                driver::print(&terminal::lines(&format!("        {outcome}")));
            }
            Err(error) => {
                let left: Vec<VmId> = migrations.iter().skip(done.len()).map(|one| one.vm).collect();
                driver::print(&terminal::lines(&format!("done: {}; not done: {}", all(&done), all(&left))));
                return Err(failed(Exit::Different, &error));
            }
        }
    }
    let hosts: Vec<String> = hosts.iter().map(|host| steps.label(*host)).collect();
    let all = if migrations.len() == 1 {
        "the migration is".to_owned()
    } else {
        format!("all {} migrations are", migrations.len())
    };
    Ok(driver::print(&terminal::lines(&format!("{all} done: {}", hosts.join(", ")))))
}

/// `VMs 3, 5, 8`: who carries on by hand has to know each.
fn all(vms: &[VmId]) -> String {
    let ids: Vec<String> = vms.iter().map(ToString::to_string).collect();
    if ids.is_empty() { "nothing".to_owned() } else { format!("VM {}", ids.join(", ")) }
}

/// Whether the operator wants it.
fn agreed(migrations: usize, how: How) -> bool {
    let mut stderr = std::io::stderr();
    let question = format!("carry out {migrations} migrations, VMs that run {}? [y/N] ", how.words());
    // who cannot be asked has not agreed
    let asked = stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush());
    let mut answer = String::new();
    asked.and_then(|()| std::io::stdin().read_line(&mut answer)).is_ok()
        && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

struct Steps<'a> {
    oned: &'a Oned,
    snapshot: &'a Snapshot,
    how: How,
    patience: Duration,
}

impl Steps<'_> {
    fn label(&self, host: HostId) -> String {
        let name = self.snapshot.host_index(host).map(|index| self.snapshot.hosts[index].name.as_str());
        name.map_or_else(|| format!("host {host}"), |name| format!("host {host} {name}"))
    }

    fn told(&self, migration: &Migration) -> String {
        let name = self.snapshot.vm(migration.vm).map_or("", |vm| vm.name.as_str());
        format!("VM {} {name} from {} to {}", migration.vm, self.label(migration.from), self.label(migration.to))
    }

    /// One migration, from a look at its VM to its arrival; what came of it.
    fn step(&self, migration: &Migration) -> Result<String> {
        let Migration { vm, from, to, .. } = *migration;
        let before = match self.oned.vm(vm) {
            Err(error) if error.is_about_the_object() => return Ok("gone meanwhile, nothing to move".to_owned()),
            found => found?,
        };
        if before.is_done() {
            return Ok("done meanwhile, nothing to move".to_owned());
        }
        if before.host() == Some(to) && before.has_settled() {
            return Ok("there already".to_owned());
        }
        if before.host() != Some(from) || !(before.runs() || before.is_parked()) {
            bail!("VM {vm} is not where the plan takes it from: it {}{}", before.doing(), self.on(&before));
        }
        self.oned.migrate(vm, to, self.how.of_a_vm())?;
        let begun = Instant::now();
        self.arrival(&before, to)?;
        Ok(format!("arrived after {} s", begun.elapsed().as_secs()))
    }

    /// Waits until a VM is at rest where it was sent.
    fn arrival(&self, before: &Whereabouts, to: HostId) -> Result<()> {
        let (vm, until) = (before.id, Instant::now() + self.patience);
        let (mut pause, mut unanswered) = (FIRST_LOOK, 0);
        loop {
            sleep(pause);
            pause = LOOK.min(pause * 2);
            let now = match self.oned.vm(vm) {
                Err(error) => {
                    unanswered += 1;
                    if unanswered >= UNANSWERED || error.refuses_us() {
                        return Err(lost(vm, error));
                    }
                    continue;
                }
                Ok(now) => now,
            };
            unanswered = 0;
            let at = self.on(&now);
            if now.has_failed() {
                bail!("VM {vm} has failed on its way: it {}{at}; its log tells why (onevm show {vm})", now.doing());
            }
            if now.stays() > before.stays() && now.has_settled() {
                if now.host() == Some(to) {
                    return Ok(());
                }
                bail!(
                    "VM {vm} did not get to {}: it {}{at}; its log tells why (onevm show {vm})",
                    self.label(to),
                    now.doing()
                );
            }
            if now.host().is_none() {
                bail!("VM {vm} did not get to {}: it {}", self.label(to), now.doing());
            }
            if Instant::now() >= until {
                let patience = self.patience.as_secs();
                bail!(
                    "VM {vm} has not arrived within {patience} s (--patience): it {}{at}; oned goes on with it",
                    now.doing()
                );
            }
        }
    }

    fn on(&self, vm: &Whereabouts) -> String {
        vm.host().map_or_else(String::new, |host| format!(" on {}", self.label(host)))
    }
}

fn lost(vm: VmId, error: OnedError) -> anyhow::Error {
    anyhow!(error).context(format!("what became of VM {vm} is not known, oned goes on with it"))
}
