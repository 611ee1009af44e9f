//! What a VM without history of its own will use: what its relatives use.
//!
//! From wide to near: everyone, VMs of a size, of its owner and size, of its image, of its
//! template, of its flavour. Each group's mean is shrunk to the next wider estimate by how
//! many VMs stand behind it (empirical Bayes): `(sum + k wider) / (n + k)`, with k the
//! variance within groups over the variance between groups of that kind. A size is seldom met
//! twice, so VMs of other sizes count too, the less the more they differ: a straight line in
//! the logarithms of cores and memory, fitted around the VM's own size (ridge regression,
//! weighted by nearness). Width and strengths were chosen on VMs left out and on times before
//! those that the evaluation scores.
//!
//! Amounts are [`Comparable`], so that relatives of another size say something.
//!
//! **Owners.** Whoever owns a VM chooses its flavour and its load, and so could tell strangers
//! what their VMs will use. In a group of strangers each owner therefore counts once, by the mean
//! of his VMs; none may raise the range that the others have; the group never counts for more
//! than its owners and `STRANGERS` more; and a single owner is no group. With each group of
//! strangers comes the same one of the own owner's VMs, which is nearer, and where each counts.
//! VMs whose owner is not known count each for itself: they come from imports and not from
//! tenants.

use crate::model::chance;
use crate::model::comparable::{Comparable, unit};
use crate::model::demand::{Demand, Source};
use crate::model::history::{Estimate, Group};
use crate::model::ids::VmId;
use crate::model::resource::Resource;
use crate::model::sample::VmIdentity;
use crate::model::sketch::Sketch;
use nalgebra::{Matrix3, Vector3};
use std::collections::{BTreeMap, HashMap};

/// How many VMs' worth the wider estimate counts beside VMs of about the same size.
const SIZE_SHRINK: f64 = 0.5;

/// What holds back the slopes, in VMs one doubling away.
const SLOPE_SHRINK: f64 = 1.0;

/// Width of "about the same size", in doublings of cores and of memory.
const SIZE_WIDTH: f64 = 1.5;

/// How many VMs' worth those of about the same size count at least beside the very same size.
const SAME_SIZE: f64 = 5.0;

/// VMs of about the same size that make it more than a guess from everyone.
const NEAR: f64 = 1.0;

/// Bounds of k for the other kinds, and what it is where groups are too few to tell.
const SHRINK: (f64, f64) = (0.5, 20.0);
const SHRINK_UNKNOWN: f64 = 2.0;

/// How many owners' worth the wider estimate counts at least beside a group of strangers: one
/// owner among two then has a quarter of the say.
const STRANGERS: f64 = 2.0;

/// More of a flavour is not told apart, in characters: users write it.
const FLAVOUR: usize = 100;

/// The key of the group of all.
const EVERYONE: &str = "everyone";

/// Parts of all VMs that are left out, one after another, to find what sizes tell; fewer VMs than
/// this tell nothing.
const PARTS: u64 = 10;
const LEAST: usize = 10;

/// Fewer samples than this make no relative.
pub const ENOUGH: u64 = 6;

/// Estimates of this trust and more make a relative.
const TRUSTED: f64 = 0.5;

/// Means of a group, and how sure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prior {
    /// Mean level.
    pub level: Comparable,
    /// Mean peak.
    pub peak: Comparable,
    /// Variance of CPU levels among the relatives, squared percent of what is asked for.
    pub cpu_variance: f64,
    /// Mean sketch of the relatives, percent of what is asked for: what they do at the same time.
    pub sketch: Sketch,
}

/// A group that a VM belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// What they have in common.
    pub source: Source,
    /// As the store has it.
    pub key: String,
    /// Whether all are of the VM's own owner.
    own: bool,
}

/// A VM's groups, nearest first.
#[must_use]
pub fn kin(identity: &VmIdentity) -> Vec<Kin> {
    let mut kin = Vec::new();
    let (cpu, memory) = (identity.cpu, identity.memory);
    let flavour: String = identity.flavours.trim().chars().take(FLAVOUR).collect();
    let shared = [
        (Source::Flavour, "flavour", Some(flavour).filter(|flavour| !flavour.is_empty())),
        (Source::Template, "template", identity.template.map(|id| id.to_string())),
        (Source::Image, "image", identity.image.map(|id| id.to_string())),
    ];
    for (source, kind, of) in shared {
        let Some(of) = of else { continue };
        kin.extend(identity.owner.map(|owner| Kin { source, key: format!("own-{kind}:{owner}/{of}"), own: true }));
        kin.push(Kin { source, key: format!("{kind}:{of}"), own: false });
    }
    let own_size = |owner| Kin { source: Source::Owner, key: format!("owner:{owner}/{cpu}/{memory}"), own: true };
    kin.extend(identity.owner.map(own_size));
    kin.push(Kin { source: Source::Size, key: format!("size:{cpu}/{memory}"), own: false });
    kin.push(Kin { source: Source::Everyone, key: EVERYONE.to_owned(), own: false });
    kin
}

/// The keys of a VM's groups, nearest first.
#[must_use]
pub fn keys(identity: &VmIdentity) -> Vec<(Source, String)> {
    kin(identity).into_iter().map(|kin| (kin.source, kin.key)).collect()
}

/// Groups of all VMs with an estimate, by key.
#[must_use]
pub fn groups(vms: &[(VmIdentity, Estimate)]) -> Vec<(String, Group)> {
    let usable = |(identity, estimate): &&(VmIdentity, Estimate)| {
        identity.cpu > 0 && identity.memory > 0 && estimate.samples >= ENOUGH && estimate.trust >= TRUSTED
    };
    let members: Vec<&(VmIdentity, Estimate)> = vms.iter().filter(usable).collect();
    let mut all = gathered(&members, &|_| true);
    let sizes_tell = sizes_tell(&members);
    for (_, everyone) in all.iter_mut().filter(|(key, _)| key == EVERYONE) {
        everyone.sizes_tell = sizes_tell;
    }
    all
}

/// Groups of those kinds, of VMs that make relatives.
fn gathered(members: &[&(VmIdentity, Estimate)], wanted: &dyn Fn(Source) -> bool) -> Vec<(String, Group)> {
    let mut own: BTreeMap<String, Group> = BTreeMap::new();
    let mut strangers: BTreeMap<String, Strangers> = BTreeMap::new();
    for (identity, estimate) in members {
        let one = Member::of(identity, estimate);
        for kin in kin(identity).into_iter().filter(|kin| wanted(kin.source)) {
            let group = match kin.own {
                true => own.entry(kin.key).or_default(),
                false => {
                    let known = strangers.entry(kin.key).or_default();
                    identity.owner.map_or(&mut known.nobodys, |owner| known.owners.entry(owner).or_default())
                }
            };
            join(group, &one);
        }
    }
    let mut all: Vec<(String, Group)> = own.into_iter().collect();
    let mut shared: Vec<&String> = Vec::new();
    for (key, known) in &strangers {
        // all there is, or all of about a size, has no narrower group of an owner in its place
        let only = kind(key) != key && kind(key) != "size";
        if let Some(group) = known.counted(only) {
            all.push((key.clone(), group));
            shared.extend((!known.owners.is_empty()).then_some(key));
        }
    }
    settle(&mut all);
    for (key, group) in &mut all {
        if shared.binary_search(&&*key).is_ok() {
            group.shrink = group.shrink.max(STRANGERS);
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// How much sizes tell of what VMs use: the share of the way from everyone's mean to that of VMs
/// of about the same size that would have been best for VMs left out, a part of them after
/// another. The VMs of an owner are left out together, and count for one. `None` of too few.
fn sizes_tell(members: &[&(VmIdentity, Estimate)]) -> Option<f64> {
    if members.len() < LEAST {
        return None;
    }
    let mut owned: BTreeMap<i32, f64> = BTreeMap::new();
    members.iter().filter_map(|(identity, _)| identity.owner).for_each(|owner| *owned.entry(owner).or_default() += 1.0);
    let part = |index: usize, identity: &VmIdentity| {
        let of = identity.owner.map_or(index as u64, |owner| (1 << 32) + u64::from(owner.unsigned_abs()));
        chance::mixed(&[of]) % PARTS
    };
    // the way and what would have been best, and what that counts
    let mut ways: Vec<(f64, f64, f64)> = Vec::new();
    for left_out in 0..PARTS {
        let parted = members.iter().enumerate().map(|(index, one)| (part(index, &one.0) == left_out, *one));
        let (out, others): (Vec<_>, Vec<_>) = parted.partition(|(out, _)| *out);
        let others: Vec<&(VmIdentity, Estimate)> = others.into_iter().map(|(_, one)| one).collect();
        let groups: HashMap<String, Group> =
            gathered(&others, &|of| matches!(of, Source::Size | Source::Everyone)).into_iter().collect();
        let relatives = Relatives::new(&groups);
        for (_, (identity, estimate)) in out {
            let size = VmIdentity { cpu: identity.cpu, memory: identity.memory, ..VmIdentity::default() };
            let sized = relatives.prior(&size).map(|(prior, _)| prior.level[Resource::Cpu]);
            if let (Some(sized), Some(everyone)) = (sized, groups.get(EVERYONE)) {
                let mean = everyone.level[Resource::Cpu] / everyone.vms.max(1) as f64;
                let used = Comparable::of(&estimate.usual.level, identity)[Resource::Cpu];
                let counts = identity.owner.and_then(|owner| owned.get(&owner)).map_or(1.0, |vms| 1.0 / vms);
                ways.push((sized - mean, used - mean, counts));
            }
        }
    }
    Some(share_of(&ways))
}

/// The share of each way that is best for all, of ways and what would have been best, with what each counts: 0 to 1,
/// less where they differ much.
fn share_of(ways: &[(f64, f64, f64)]) -> f64 {
    let all: f64 = ways.iter().map(|(.., counts)| counts).sum();
    let squares: f64 = ways.iter().map(|(way, _, counts)| counts * way * way).sum();
    if squares <= 0.0 {
        return 0.0;
    }
    let share = ways.iter().map(|(way, best, counts)| counts * way * best).sum::<f64>() / squares;
    // a share within two standard errors of nothing is nothing, one far from it stays
    let left: f64 = ways.iter().map(|(way, best, counts)| counts * (best - share * way).powi(2)).sum();
    let error = left / all / squares;
    (share * (1.0 - 4.0 * error / share.powi(2).max(1e-12)).max(0.0)).clamp(0.0, 1.0)
}

/// A VM as a relative, or the mean of an owner's.
struct Member {
    level: Comparable,
    peak: Comparable,
    sketch: Sketch,
}

impl Member {
    fn of(identity: &VmIdentity, estimate: &Estimate) -> Self {
        Self {
            level: Comparable::of(&estimate.usual.level, identity),
            peak: Comparable::of(&estimate.usual.peak, identity),
            sketch: estimate.sketch.times(1.0 / unit(identity)[Resource::Cpu]),
        }
    }
}

/// The VMs of a group by their owners.
#[derive(Default)]
struct Strangers {
    owners: BTreeMap<i32, Group>,
    /// Those without a known owner.
    nobodys: Group,
}

impl Strangers {
    /// Each owner once. `None` where a single one would speak for all, if that is `alone` refused.
    fn counted(&self, alone: bool) -> Option<Group> {
        if alone && self.owners.len() == 1 && self.nobodys.vms == 0 {
            return None;
        }
        let means = |of: fn(&Group) -> &Comparable, resource: Resource| {
            let mut means: Vec<f64> =
                self.owners.values().map(|group| of(group)[resource] / group.vms as f64).collect();
            means.extend((self.nobodys.vms > 0).then(|| of(&self.nobodys)[resource] / self.nobodys.vms as f64));
            means.sort_by(f64::total_cmp);
            means
        };
        // the range of all but the highest; a CPU or a memory may be in full use
        let bound = |of, resource: Resource| {
            let others = means(of, resource);
            let second = others.len().checked_sub(2).map_or(f64::INFINITY, |at| others[at]);
            if matches!(resource, Resource::Cpu | Resource::Memory) { second.max(100.0) } else { second }
        };
        let level = Comparable::from_fn(|resource| bound(|group| &group.level, resource));
        let peak = Comparable::from_fn(|resource| bound(|group| &group.peak, resource));
        let length = |group: &Group| group.sketch.squared().sqrt() / group.vms as f64;
        let mut lengths: Vec<f64> = self.owners.values().map(length).collect();
        lengths.extend((self.nobodys.vms > 0).then(|| length(&self.nobodys)));
        lengths.sort_by(f64::total_cmp);
        let longest = lengths.len().checked_sub(2).map_or(f64::INFINITY, |at| lengths[at]);
        let mut group = self.nobodys;
        for of_one in self.owners.values() {
            let own = length(of_one);
            let shorter = if own > longest { longest / own } else { 1.0 };
            let mean = |sums: &Comparable, most: &Comparable| {
                Comparable::from_fn(|resource| (sums[resource] / of_one.vms as f64).min(most[resource]))
            };
            let one = Member {
                level: mean(&of_one.level, &level),
                peak: mean(&of_one.peak, &peak),
                sketch: of_one.sketch.times(shorter / of_one.vms as f64),
            };
            join(&mut group, &one);
        }
        Some(group)
    }
}

/// Adds a member.
fn join(group: &mut Group, one: &Member) {
    group.vms += 1;
    group.cpu_squares += one.level[Resource::Cpu].powi(2);
    group.sketch += one.sketch;
    for resource in Resource::ALL {
        group.level[resource] += one.level[resource];
        group.peak[resource] += one.peak[resource];
    }
}

/// Finds k of each kind: the variance of CPU within its groups over that between them.
fn settle(groups: &mut [(String, Group)]) {
    let mut kinds: BTreeMap<String, Vec<Group>> = BTreeMap::new();
    for (key, group) in groups.iter() {
        kinds.entry(kind(key).to_owned()).or_default().push(*group);
    }
    let shrinks: BTreeMap<String, f64> = kinds.into_iter().map(|(kind, groups)| (kind, shrink(&groups))).collect();
    for (key, group) in groups {
        group.shrink = shrinks.get(kind(key)).copied().unwrap_or(SHRINK_UNKNOWN);
    }
}

fn kind(key: &str) -> &str {
    key.split_once(':').map_or(key, |(kind, _)| kind)
}

fn shrink(groups: &[Group]) -> f64 {
    let members = groups.iter().map(|group| group.vms as f64).sum::<f64>();
    let count = groups.len() as f64;
    if count < 3.0 || members - count < 3.0 {
        return SHRINK_UNKNOWN;
    }
    let mean = |group: &Group| group.level[Resource::Cpu] / group.vms as f64;
    let within: f64 = groups.iter().map(|group| group.cpu_squares - group.vms as f64 * mean(group).powi(2)).sum();
    let within = (within / (members - count)).max(0.0);
    let overall = groups.iter().map(|group| group.level[Resource::Cpu]).sum::<f64>() / members;
    let spread: f64 = groups.iter().map(|group| group.vms as f64 * (mean(group) - overall).powi(2)).sum();
    // the usual estimate of the variance between groups of unequal sizes, which is about one VM at least
    let size = (members - groups.iter().map(|group| (group.vms as f64).powi(2)).sum::<f64>() / members) / (count - 1.0);
    let between = (spread / (count - 1.0) - within) / size;
    if between <= 0.0 { SHRINK.1 } else { (within / between).clamp(SHRINK.0, SHRINK.1) }
}

/// Groups ready for asking.
pub struct Relatives<'a> {
    groups: &'a HashMap<String, Group>,
    sizes: Vec<([f64; 2], &'a Group)>,
}

impl<'a> Relatives<'a> {
    /// What the relatives of a VM use, scaled to its size; `None` when there is nobody.
    #[must_use]
    pub fn demand(&self, identity: &VmIdentity) -> Option<Demand> {
        let (prior, source) = self.prior(identity)?;
        Some(demand(&prior, source, identity))
    }

    /// Sorted once; asked often.
    #[must_use]
    pub fn new(groups: &'a HashMap<String, Group>) -> Self {
        let mut keyed: Vec<(&String, &Group)> = groups.iter().filter(|(key, _)| key.starts_with("size:")).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let sizes = keyed.into_iter().filter_map(|(key, group)| Some((size_of(key)?, group))).collect();
        Self { groups, sizes }
    }

    /// What the relatives of a VM use, and the nearest group that told; `None` when there is
    /// nobody.
    #[must_use]
    pub fn prior(&self, identity: &VmIdentity) -> Option<(Prior, Source)> {
        let everyone = self.groups.get(EVERYONE).filter(|group| group.vms > 0)?;
        let mut prior = Prior::default();
        shrunk(&mut prior, everyone, everyone.vms as f64, 0.0);
        let (mean, mut nearest) = (prior, Source::Everyone);
        for Kin { source, key, .. } in kin(identity).iter().rev().skip(1) {
            let mut k = 0.0;
            if *source == Source::Size {
                k = SAME_SIZE;
                if self.by_size(identity, &mut prior) >= NEAR {
                    nearest = Source::Size;
                }
            }
            if let Some(group) = self.groups.get(key).filter(|group| group.vms > 0) {
                nearest = *source;
                shrunk(&mut prior, group, group.vms as f64, group.shrink.max(k));
            }
            if let (Source::Size, Some(share)) = (source, everyone.sizes_tell) {
                prior = between(&mean, &prior, share);
            }
        }
        Some((prior, nearest))
    }

    /// The line through VMs of about the same size, at the VM's own; how many VMs' worth they
    /// are.
    fn by_size(&self, identity: &VmIdentity, prior: &mut Prior) -> f64 {
        let Some(here) = place(identity.cpu as f64, identity.memory as f64) else { return 0.0 };
        let near: Vec<([f64; 3], f64, &Group)> = self
            .sizes
            .iter()
            .map(|(there, group)| ([1.0, there[0] - here[0], there[1] - here[1]], group))
            .map(|(away, group)| (away, nearness(&away), *group))
            .filter(|(_, weight, _)| *weight > 1e-6)
            .collect();
        let mut products = Matrix3::from_diagonal(&Vector3::new(SIZE_SHRINK, SLOPE_SHRINK, SLOPE_SHRINK));
        let (mut members, mut level, mut squares) = (0.0, 0.0, 0.0);
        for (away, weight, group) in &near {
            let (row, weight) = (Vector3::from(*away), weight * group.vms as f64);
            products += row * row.transpose() * weight;
            members += weight;
            level += weight * group.level[Resource::Cpu] / group.vms as f64;
            squares += weight * group.cpu_squares / group.vms as f64;
        }
        let Some(inverse) = products.try_inverse().filter(|_| members > 1e-6) else { return 0.0 };
        let wider = *prior;
        for (away, weight, group) in &near {
            // what one VM of that size moves the line by, here
            let part = weight * (inverse.row(0) * Vector3::from(*away))[0];
            let vms = group.vms as f64;
            for resource in Resource::ALL {
                prior.level[resource] += part * (group.level[resource] - vms * wider.level[resource]);
                prior.peak[resource] += part * (group.peak[resource] - vms * wider.peak[resource]);
            }
        }
        // VMs may use more CPU than they ask for (VCPU above CPU), but a line may not invent it
        let within = |values: Comparable, of: fn(&Group) -> &Comparable| {
            let cpu = |group: &Group| of(group)[Resource::Cpu] / group.vms as f64;
            let most = near.iter().map(|(_, _, group)| cpu(group)).fold(100.0, f64::max);
            Comparable::from_fn(|resource| match resource {
                Resource::Cpu => values[resource].clamp(0.0, most),
                Resource::Memory => values[resource].clamp(0.0, 100.0),
                Resource::DiskIo | Resource::NetIo => values[resource].max(0.0),
            })
        };
        prior.level = within(prior.level, |group| &group.level);
        prior.peak = within(prior.peak, |group| &group.peak);
        let variance = (squares / members - (level / members).powi(2)).max(0.0);
        prior.cpu_variance = (variance * members + SIZE_SHRINK * wider.cpu_variance) / (members + SIZE_SHRINK);
        members
    }
}

/// Moves a prior to what a group's sums say, held back by `k` VMs' worth of it.
fn shrunk(prior: &mut Prior, sums: &Group, members: f64, k: f64) {
    let mixed = |wider: f64, sum: f64| (sum + k * wider) / (members + k);
    let mean = sums.level[Resource::Cpu] / members;
    let variance = (sums.cpu_squares / members - mean * mean).max(0.0);
    prior.cpu_variance = (variance * members + k * prior.cpu_variance) / (members + k);
    prior.sketch = (sums.sketch + prior.sketch.times(k)).times(1.0 / (members + k));
    for resource in Resource::ALL {
        prior.level[resource] = mixed(prior.level[resource], sums.level[resource]);
        prior.peak[resource] = mixed(prior.peak[resource], sums.peak[resource]);
    }
}

/// A share of the way from one prior to another.
fn between(from: &Prior, to: &Prior, share: f64) -> Prior {
    let way = |from: f64, to: f64| from + (to - from) * share;
    let of = |from: &Comparable, to: &Comparable| Comparable::from_fn(|of| way(from[of], to[of]));
    Prior {
        level: of(&from.level, &to.level),
        peak: of(&from.peak, &to.peak),
        cpu_variance: way(from.cpu_variance, to.cpu_variance),
        sketch: from.sketch.times(1.0 - share) + to.sketch.times(share),
    }
}

fn place(cpu: f64, memory: f64) -> Option<[f64; 2]> {
    (cpu > 0.0 && memory > 0.0).then(|| [cpu.log2(), memory.log2()])
}

fn size_of(key: &str) -> Option<[f64; 2]> {
    let (cpu, memory) = key.strip_prefix("size:")?.split_once('/')?;
    place(cpu.parse().ok()?, memory.parse().ok()?)
}

/// 1 for the same size, towards 0 for those some doublings away.
fn nearness([_, cores, memory]: &[f64; 3]) -> f64 {
    (-(cores * cores + memory * memory) / (2.0 * SIZE_WIDTH * SIZE_WIDTH)).exp()
}

/// A prior as the demand of a VM of a size.
#[must_use]
pub fn demand(prior: &Prior, source: Source, asked: &VmIdentity) -> Demand {
    let amounts = |of: &Comparable| {
        let sane = Comparable::from_fn(|resource| match resource {
            Resource::Memory => of[resource].clamp(0.0, 100.0),
            Resource::Cpu | Resource::DiskIo | Resource::NetIo => of[resource].max(0.0),
        });
        sane.usage(asked)
    };
    let cpu_deviation = prior.cpu_variance.sqrt() / 100.0 * asked.cpu as f64;
    let sketch = prior.sketch.times(unit(asked)[Resource::Cpu]);
    Demand { level: amounts(&prior.level), peak: amounts(&prior.peak), cpu_deviation, sketch, source, class: None }
}

/// Everybody of a store with an estimate and an identity.
#[must_use]
pub fn members(
    identities: Vec<(VmId, VmIdentity)>,
    estimates: &HashMap<VmId, Estimate>,
) -> Vec<(VmIdentity, Estimate)> {
    identities.into_iter().filter_map(|(vm, identity)| Some((identity, *estimates.get(&vm)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::demand::Usage;
    use crate::model::history::Usual;

    fn vm(template: i32, cores: i64, used: f64, samples: u64) -> (VmIdentity, Estimate) {
        let identity =
            VmIdentity { template: Some(template), cpu: cores * 100, memory: 1 << 20, ..VmIdentity::default() };
        let usage = Usage { cpu: used * cores as f64, memory: 1e5, disk_io: Some(10.0), net_io: None };
        let estimate = Estimate {
            level: usage,
            peak: usage,
            usual: Usual { level: usage, peak: usage },
            cpu_deviation: 1.0,
            sketch: Sketch::default(),
            trust: 1.0,
            class: None,
            samples,
            last_at: 0,
        };
        (identity, estimate)
    }

    fn prior(vms: &[(VmIdentity, Estimate)], of: &VmIdentity) -> Option<(Prior, Source)> {
        let groups: HashMap<String, Group> = groups(vms).into_iter().collect();
        Relatives::new(&groups).prior(of)
    }

    /// VMs of one owner with a flavour, each of 2 cores that are used so much, in percent.
    fn owned(owner: i32, flavour: &str, used: f64, count: usize) -> Vec<(VmIdentity, Estimate)> {
        let (identity, estimate) = vm(1, 2, used, 100);
        let identity = VmIdentity { owner: Some(owner), flavours: flavour.to_owned(), ..identity };
        vec![(VmIdentity { template: None, ..identity }, estimate); count]
    }

    fn cpu_of(vms: &[(VmIdentity, Estimate)], owner: i32, flavour: &str) -> f64 {
        prior(vms, &owned(owner, flavour, 0.0, 1)[0].0).unwrap().0.level[Resource::Cpu]
    }

    /// The say that one owner has in the estimate of a stranger's VM, whatever he does.
    #[test]
    fn no_owner_has_more_than_his_say_in_the_estimates_of_others() {
        for honest in [1, 2, 4, 9] {
            let others: Vec<_> = (0..honest).flat_map(|owner| owned(owner, "db", 60.0, 5)).collect();
            let before = cpu_of(&others, 77, "db");
            assert!((before - 60.0).abs() < 1e-9, "{before}");
            let mut found = Vec::new();
            for (used, count) in [(0.0, 1), (0.0, 80), (0.0, 5000), (100.0, 80), (4000.0, 80)] {
                let poisoned = [others.clone(), owned(66, "db", used, count)].concat();
                let after = cpu_of(&poisoned, 77, "db");
                // in everyone, about the size, the size, and the flavour: where there are n others he
                // is one of n + 1, and a quarter at most of what comes nearer
                let n = f64::from(honest);
                let say = 1.0 - (1.0 - 1.0 / (n + 1.0)).powi(3) * (1.0 - 1.0 / (n + 1.0 + STRANGERS));
                let farthest = f64::max(60.0, 100.0 - 60.0);
                assert!((after - before).abs() <= say * farthest + 1e-9, "{honest} {used} {count}: {after}, {say}");
                found.push(after);
            }
            // it does not matter how many VMs he has, nor how far beyond all others they are
            assert!((found[0] - found[2]).abs() < 1e-9 && (found[1] - found[2]).abs() < 1e-9, "{found:?}");
            assert!((found[3] - found[4]).abs() < 1e-9, "{found:?}");
            // nor does he change what an owner is told who has VMs of the kind
            let own = [others.clone(), owned(66, "db", 0.0, 80), owned(77, "db", 60.0, 20)].concat();
            assert!((cpu_of(&own, 77, "db") - 60.0).abs() < 6.0, "{}", cpu_of(&own, 77, "db"));
        }
    }

    #[test]
    fn a_single_owner_speaks_for_nobody_else_and_wholly_for_himself() {
        let mut vms: Vec<_> = (0..6).flat_map(|owner| owned(owner, "web", 50.0, 5)).collect();
        vms.extend(owned(66, "db", 0.0, 80));
        let stranger = cpu_of(&vms, 77, "db");
        assert!((stranger - cpu_of(&vms, 77, "other")).abs() < 1e-9, "{stranger}");
        assert!(cpu_of(&vms, 66, "db") < 2.0, "{}", cpu_of(&vms, 66, "db"));
        // who owns all there is learns from all
        let alone: Vec<_> = [owned(0, "web", 20.0, 40), owned(0, "db", 80.0, 40)].concat();
        assert!(cpu_of(&alone, 0, "db") > 75.0 && cpu_of(&alone, 0, "web") < 25.0);
    }

    #[test]
    fn many_relatives_are_believed_few_are_not() {
        let mut vms: Vec<_> = (0..60).map(|i| vm(i % 3, 2, [10.0, 50.0, 90.0][i as usize % 3], 100)).collect();
        let (many, source) = prior(&vms, &vm(1, 2, 0.0, 0).0).unwrap();
        assert_eq!(source, Source::Template);
        assert!((many.level[Resource::Cpu] - 50.0).abs() < 1.0, "{many:?}");
        vms.push(vm(9, 2, 100.0, 100));
        let (one, _) = prior(&vms, &vm(9, 2, 0.0, 0).0).unwrap();
        assert!(one.level[Resource::Cpu] > 55.0 && one.level[Resource::Cpu] < 95.0, "{one:?}");
        let (none, source) = prior(&vms, &vm(77, 2, 0.0, 0).0).unwrap();
        assert_eq!(source, Source::Size);
        assert!((none.level[Resource::Cpu] - 50.8).abs() < 1.0, "{none:?}");
        let (other_size, source) = prior(&vms, &vm(77, 64, 0.0, 0).0).unwrap();
        assert_eq!(source, Source::Everyone);
        assert!((other_size.level[Resource::Cpu] - 50.8).abs() < 1.0, "{other_size:?}");
    }

    #[test]
    fn nearly_the_same_size_counts_and_young_vms_do_not() {
        let vms: Vec<_> =
            (0..20).map(|i| vm(1, if i < 10 { 1 } else { 16 }, if i < 10 { 80.0 } else { 5.0 }, 50)).collect();
        let stranger = |cores| VmIdentity { template: None, ..vm(1, cores, 0.0, 0).0 };
        let (small, _) = prior(&vms, &stranger(1)).unwrap();
        let (big, _) = prior(&vms, &stranger(14)).unwrap();
        assert!(small.level[Resource::Cpu] > 70.0 && big.level[Resource::Cpu] < 15.0, "{small:?} {big:?}");
        let young: Vec<_> = (0..9).map(|_| vm(1, 1, 50.0, ENOUGH - 1)).collect();
        assert_eq!(prior(&young, &stranger(1)), None);
    }

    #[test]
    fn relatives_that_use_more_than_they_ask_for_say_so_and_lines_invent_nothing() {
        let mut vms: Vec<_> = (0..20).map(|_| vm(1, 2, 300.0, 50)).collect();
        vms.extend((0..20).map(|_| vm(1, 8, 90.0, 50)));
        let (same, source) = prior(&vms, &vm(1, 2, 0.0, 0).0).unwrap();
        assert!(same.level[Resource::Cpu] > 150.0, "{same:?}");
        let asked = VmIdentity { cpu: 200, memory: 1_000_000, ..VmIdentity::default() };
        let demand = demand(&same, source, &asked);
        assert!(demand.level.cpu > 300.0, "{demand:?}");
        // the line through both would say some 500 % for half a core
        let tiny = VmIdentity { cpu: 50, template: None, ..vm(1, 2, 0.0, 0).0 };
        let (tiny, _) = prior(&vms, &tiny).unwrap();
        assert!(tiny.level[Resource::Cpu] <= 300.0, "{tiny:?}");
    }

    #[test]
    fn sizes_count_for_what_they_tell_of_vms_left_out() {
        let told = |vms: &[(VmIdentity, Estimate)]| {
            groups(vms).into_iter().find(|(key, _)| key == EVERYONE).and_then(|(_, group)| group.sizes_tell).unwrap()
        };
        // the same mixture of every size, and by doublings of the size
        let number = |i: i64| [10.0, 70.0, 30.0, 50.0, 90.0][(i / 4) as usize % 5];
        let of = |used: &dyn Fn(i64) -> f64| -> Vec<_> { (0..80).map(|i| vm(1, 1 << (i % 4), used(i), 50)).collect() };
        let (chance, by_size) = (of(&number), of(&|i| 80.0 - 20.0 * (i % 4) as f64));
        assert!(told(&chance) < 0.05 && told(&by_size) > 0.9, "{} {}", told(&chance), told(&by_size));
        assert!(groups(&chance[..9]).iter().all(|(_, group)| group.sizes_tell.is_none()), "too few to tell");
    }

    #[test]
    fn owners_without_a_rhythm_have_none_together() {
        let vms: Vec<_> = (0..3).flat_map(|owner| owned(owner, "db", 60.0, 5)).collect();
        let (found, _) = prior(&vms, &owned(77, "db", 0.0, 1)[0].0).unwrap();
        assert_eq!(found.sketch, Sketch::default());
        assert!(found.level[Resource::Cpu].is_finite());
    }

    #[test]
    fn how_far_apart_relatives_are_is_told_as_their_variance() {
        let of = |levels: [f64; 2]| {
            let vms: Vec<_> = (0..200).map(|index| vm(1, 2, levels[index % 2], 100)).collect();
            prior(&vms, &vm(1, 2, 0.0, 0).0).unwrap().0
        };
        let apart = of([20.0, 60.0]);
        assert!((apart.level[Resource::Cpu] - 40.0).abs() < 1.0, "{apart:?}");
        assert!((apart.cpu_variance - 400.0).abs() < 20.0, "{apart:?}");
        assert!(of([40.0, 40.0]).cpu_variance < 1e-6);
    }

    #[test]
    fn a_group_moves_what_wider_ones_say_as_far_as_it_has_members() {
        let wider = || Prior {
            level: Comparable::from_fn(|_| 10.0),
            peak: Comparable::from_fn(|_| 20.0),
            cpu_variance: 100.0,
            sketch: Sketch::common(8.0),
        };
        // four members: 50 on average, with a variance of 36
        let sums = Group {
            vms: 4,
            level: Comparable::from_fn(|_| 200.0),
            peak: Comparable::from_fn(|_| 240.0),
            cpu_squares: 4.0 * (2500.0 + 36.0),
            sketch: Sketch::common(4.0),
            ..Group::default()
        };
        let mut found = wider();
        shrunk(&mut found, &sums, 4.0, 4.0);
        let of = |prior: &Prior| {
            (prior.level[Resource::Memory], prior.peak[Resource::Cpu], prior.cpu_variance, prior.sketch)
        };
        assert_eq!(of(&found), (30.0, 40.0, 68.0, Sketch::common((4.0 + 32.0) / 8.0)));
        assert_eq!(of(&between(&wider(), &found, 0.25)), (15.0, 25.0, 92.0, Sketch::common(6.0 + 1.125)));
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    #[test]
    fn a_vm_has_groups_from_near_to_wide_and_those_of_its_owner_before_strangers() {
        let identity = VmIdentity {
            flavours: " web ".to_owned(),
            template: Some(4),
            image: Some(9),
            owner: Some(7),
            cpu: 200,
            memory: 1024,
            ..VmIdentity::default()
        };
        let keys_of = |identity: &VmIdentity| keys(identity).into_iter().map(|(_, key)| key).collect::<Vec<_>>();
        assert_eq!(
            keys_of(&identity),
            [
                "own-flavour:7/web",
                "flavour:web",
                "own-template:7/4",
                "template:4",
                "own-image:7/9",
                "image:9",
                "owner:7/200/1024",
                "size:200/1024",
                "everyone"
            ]
        );
        let sources: Vec<Source> = keys(&identity).into_iter().map(|(source, _)| source).collect();
        assert_eq!(sources[..3], [Source::Flavour, Source::Flavour, Source::Template]);
        assert_eq!(sources[5..], [Source::Image, Source::Owner, Source::Size, Source::Everyone]);
        let own: Vec<bool> = kin(&identity).iter().map(|kin| kin.own).collect();
        assert_eq!(own, [true, false, true, false, true, false, true, false, false]);
        let nobodys = VmIdentity { owner: None, flavours: "  ".to_owned(), image: None, ..identity.clone() };
        assert_eq!(keys_of(&nobodys), ["template:4", "size:200/1024", "everyone"]);
        let long = VmIdentity { flavours: "x".repeat(101), ..identity };
        assert_eq!(keys_of(&long)[1], format!("flavour:{}", "x".repeat(100)));
    }

    #[test]
    fn relatives_have_a_size_enough_samples_and_half_of_the_trust() {
        let known = |change: &dyn Fn(&mut (VmIdentity, Estimate))| {
            let mut one = vm(1, 2, 50.0, ENOUGH);
            change(&mut one);
            !groups(&[one]).is_empty()
        };
        assert!(known(&|_| ()) && known(&|one| one.1.trust = 0.5));
        assert!(!known(&|one| one.1.trust = 0.499) && !known(&|one| one.1.samples = ENOUGH - 1));
        assert!(!known(&|one| one.0.cpu = 0) && !known(&|one| one.0.memory = 0));
    }

    /// A group of VMs that use so much CPU each.
    fn group(levels: &[f64]) -> Group {
        let mut group = Group::default();
        for level in levels {
            let level = Comparable::from_fn(|_| *level);
            join(&mut group, &Member { level, peak: level, sketch: Sketch::common(1.0) });
        }
        group
    }

    #[test]
    fn a_group_is_the_sum_of_its_members() {
        let found = group(&[10.0, 30.0]);
        assert_eq!((found.vms, found.cpu_squares, found.sketch), (2, 1000.0, Sketch::common(2.0)));
        assert_eq!(Resource::ALL.map(|of| (found.level[of], found.peak[of])), [(40.0, 40.0); 4]);
    }

    #[test]
    fn what_holds_a_kind_back_is_the_variance_within_over_that_between() {
        // within: 2, 2 and 2 over three degrees of freedom; means of 1, 5 and 9 around 5
        let three = [group(&[0.0, 2.0]), group(&[4.0, 6.0]), group(&[8.0, 10.0])];
        // between: ((2 x 16 + 2 x 16) / 2 - 2) / 2 = 15; 2 / 15 is less than a half
        near(shrink(&three), 0.5);
        let wide = [group(&[0.0, 20.0]), group(&[10.0, 30.0]), group(&[20.0, 40.0])];
        // within 200; between ((2 x 100 + 2 x 100) / 2 - 200) / 2 = 0: groups tell nothing
        near(shrink(&wide), 20.0);
        // within 50; between ((2 x 100 + 2 x 100) / 2 - 50) / 2 = 75
        let some = [group(&[5.0, 15.0]), group(&[15.0, 25.0]), group(&[25.0, 35.0])];
        near(shrink(&some), 50.0 / 75.0);
        // of unequal sizes: means of 2, 8 and 14; (7 - 17 / 7) / 2 = 16 / 7 VMs each
        let unequal = [group(&[-2.0, 6.0]), group(&[4.0, 12.0]), group(&[10.0, 14.0, 18.0])];
        let (within, overall) = (96.0 / 4.0, 62.0 / 7.0);
        let off = |mean: f64| (mean - overall) * (mean - overall);
        let spread = 2.0 * off(2.0) + 2.0 * off(8.0) + 3.0 * off(14.0);
        near(shrink(&unequal), within / ((spread / 2.0 - within) / (16.0 / 7.0)));
        // two groups, and three with two VMs more, are too few
        near(shrink(&three[..2]), 2.0);
        near(shrink(&[group(&[0.0, 2.0]), group(&[4.0, 6.0]), group(&[8.0])]), 2.0);
    }

    #[test]
    fn each_kind_is_held_back_by_what_its_groups_tell() {
        let mut all: Vec<(String, Group)> = Vec::new();
        for (index, levels) in [[5.0, 15.0], [15.0, 25.0], [25.0, 35.0]].iter().enumerate() {
            all.push((format!("template:{index}"), group(levels)));
        }
        all.push(("image:1".to_owned(), group(&[1.0, 2.0])));
        settle(&mut all);
        assert_eq!(
            all.iter().map(|(_, group)| group.shrink).collect::<Vec<_>>(),
            [50.0 / 75.0, 50.0 / 75.0, 50.0 / 75.0, 2.0]
        );
        assert_eq!((kind("own-flavour:7/a:b"), kind("everyone")), ("own-flavour", "everyone"));
    }

    #[test]
    fn a_group_of_strangers_is_held_back_by_two_owners_at_least() {
        let of = |owner: Option<i32>, image: i32, used: f64| {
            let (identity, estimate) = vm(1, 2, used, 100);
            (VmIdentity { owner, image: Some(image), template: None, ..identity }, estimate)
        };
        // images whose groups differ far more than their VMs do
        let all = |owners: [Option<i32>; 2]| -> Vec<(VmIdentity, Estimate)> {
            (0..4).flat_map(|image| owners.map(|owner| of(owner, image, f64::from(image) * 20.0))).collect()
        };
        let shrink_of = |owners: [Option<i32>; 2], key: &str| {
            groups(&all(owners)).into_iter().find(|(known, _)| known == key).map(|(_, group)| group.shrink)
        };
        assert_eq!(shrink_of([Some(1), Some(2)], "image:3"), Some(2.0));
        assert_eq!(shrink_of([None, None], "image:3"), Some(0.5));
        assert_eq!(shrink_of([Some(1), Some(1)], "image:3"), None);
        assert_eq!(shrink_of([Some(1), Some(1)], "own-image:1/3"), Some(0.5));
        assert_eq!(shrink_of([Some(1), None], "image:3"), Some(2.0));
    }

    #[test]
    fn of_strangers_each_owner_counts_once_and_the_highest_no_more_than_the_next() {
        let strangers = |owners: &[(i32, &[f64])], nobodys: &[f64]| Strangers {
            owners: owners.iter().map(|(owner, levels)| (*owner, group(levels))).collect(),
            nobodys: group(nobodys),
        };
        let told = |of: &Strangers| {
            let found = of.counted(false).unwrap();
            (found.vms, Resource::ALL.map(|resource| found.level[resource]), found.peak[Resource::NetIo])
        };
        // means of 200, 300 and 700: the last counts as 300
        let three = strangers(&[(1, &[100.0, 300.0]), (2, &[300.0]), (3, &[700.0, 700.0, 700.0])], &[]);
        assert_eq!(told(&three), (3, [800.0; 4], 800.0));
        assert!((three.counted(false).unwrap().sketch[0] - 3.0).abs() < 1e-9);
        // a CPU and a memory may be in full use, whatever the others do
        let idle = strangers(&[(1, &[10.0]), (2, &[90.0])], &[]);
        assert_eq!(told(&idle), (2, [100.0, 100.0, 20.0, 20.0], 20.0));
        // those without an owner count each for itself, and their mean is one of the means
        let mixed = strangers(&[(1, &[500.0])], &[200.0, 400.0]);
        assert_eq!(told(&mixed), (3, [900.0; 4], 900.0));
        // a single owner is bounded by nobody, and is no group where that is asked
        let alone = strangers(&[(1, &[500.0, 700.0])], &[]);
        assert_eq!(told(&alone), (1, [600.0; 4], 600.0));
        let counts = |of: &Strangers| of.counted(true).is_some();
        assert_eq!(
            (counts(&alone), counts(&mixed), counts(&three), counts(&strangers(&[], &[1.0]))),
            (false, true, true, true)
        );
    }

    #[test]
    fn the_longest_rhythm_of_an_owner_counts_as_long_as_the_next() {
        let with = |length: f64, vms: i64| Group { vms, sketch: Sketch::common(length), ..Group::default() };
        let of = |owners: [Group; 3], nobodys: Group| {
            let found = Strangers { owners: (1..).zip(owners).collect(), nobodys }.counted(false).unwrap();
            found.sketch[0]
        };
        // lengths for a VM of 2, 3 and 8
        near(of([with(4.0, 2), with(3.0, 1), with(24.0, 3)], Group::default()), 2.0 + 3.0 + 3.0);
        // beside 10 for a VM of those without an owner
        near(of([with(4.0, 2), with(3.0, 1), with(24.0, 3)], with(20.0, 2)), 20.0 + 2.0 + 3.0 + 8.0);
    }

    #[test]
    fn a_line_through_sizes_is_held_back_and_bounded() {
        let sized = |sizes: &[(i64, &[f64])]| -> HashMap<String, Group> {
            sizes.iter().map(|(cpu, levels)| (format!("size:{cpu}/1024"), group(levels))).collect()
        };
        let wider = Prior {
            level: Comparable::from_fn(|_| 20.0),
            peak: Comparable::from_fn(|_| 30.0),
            cpu_variance: 9.0,
            sketch: Sketch::default(),
        };
        let of = |groups: &HashMap<String, Group>, cpu: i64| {
            let mut prior = wider;
            let identity = VmIdentity { cpu, memory: 1024, ..VmIdentity::default() };
            let members = Relatives::new(groups).by_size(&identity, &mut prior);
            (members, prior)
        };
        // four of the very size beside half a VM's worth of what is wider
        let (members, found) = of(&sized(&[(100, &[40.0, 60.0, 40.0, 60.0])]), 100);
        near(members, 4.0);
        near(found.level[Resource::Cpu], 20.0 + (200.0 - 80.0) / 4.5);
        near(found.peak[Resource::DiskIo], 30.0 + (200.0 - 120.0) / 4.5);
        near(found.cpu_variance, (100.0 * 4.0 + 0.5 * 9.0) / 4.5);
        // one doubling away each way: no slope
        let w = (-1.0_f64 / 4.5).exp();
        let (members, found) = of(&sized(&[(100, &[40.0]), (400, &[60.0])]), 200);
        near(members, 2.0 * w);
        near(found.level[Resource::Memory], 20.0 + w * (20.0 + 40.0) / (0.5 + 2.0 * w));
        near(found.cpu_variance, (100.0 * 2.0 * w + 0.5 * 9.0) / (2.0 * w + 0.5));
        // on one side alone, half of what a slope could tell is held back: a ridge of 1 beside it
        let (members, found) = of(&sized(&[(400, &[60.0, 60.0])]), 200);
        near(members, 2.0 * w);
        let determinant = (0.5 + 2.0 * w) * (1.0 + 2.0 * w) - 4.0 * w * w;
        near(found.level[Resource::Cpu], 20.0 + w / determinant * (120.0 - 40.0));
        near(found.cpu_variance, 0.5 * 9.0 / (2.0 * w + 0.5));
        // a line invents no CPU beyond all and beyond what VMs of about the size use, and no memory beyond all
        let steep = sized(&[(100, &[10.0; 9]), (200, &[90.0; 9])]);
        let (_, found) = of(&steep, 400);
        near(found.level[Resource::Cpu], 100.0);
        near(found.level[Resource::Memory], 100.0);
        near(found.peak[Resource::Cpu], 100.0);
        near(found.peak[Resource::Memory], 100.0);
        assert!(found.level[Resource::DiskIo] > 105.0 && found.peak[Resource::DiskIo] > 105.0, "{found:?}");
        let (_, found) = of(&steep, 50);
        assert_eq!(Resource::ALL.map(|resource| (found.level[resource], found.peak[resource])), [(0.0, 0.0); 4]);
        let beyond = sized(&[(100, &[10.0; 9]), (200, &[150.0; 9])]);
        near(of(&beyond, 400).1.level[Resource::Cpu], 150.0);
        // nobody is near, or the VM has no size
        for (groups, cpu) in [(&steep, 1 << 30), (&HashMap::new(), 100), (&steep, 0)] {
            let (members, found) = of(groups, cpu);
            assert!(members < 1e-6 && found == wider, "{cpu}: {members} {found:?}");
        }
    }

    #[test]
    fn sizes_are_compared_in_doublings() {
        assert_eq!((place(8.0, 1024.0), place(0.0, 1.0), place(1.0, 0.0)), (Some([3.0, 10.0]), None, None));
        assert_eq!(
            (size_of("size:8/1024"), size_of("size:8"), size_of("owner:8/1024")),
            (Some([3.0, 10.0]), None, None)
        );
        assert_eq!((size_of("size:x/1024"), size_of("size:8/y"), size_of("size:0/1")), (None, None, None));
        near(nearness(&[1.0, 0.0, 0.0]), 1.0);
        near(nearness(&[1.0, 1.5, 0.0]), (-0.5_f64).exp());
        near(nearness(&[1.0, -1.5, 1.5]), (-1.0_f64).exp());
    }

    #[test]
    fn a_prior_goes_from_everyone_to_the_nearest_group() {
        let identity = VmIdentity { template: Some(4), cpu: 100, memory: 1024, ..VmIdentity::default() };
        let asked = |more: &[(&str, Group)]| {
            let mut groups = HashMap::from([(EVERYONE.to_owned(), group(&[20.0, 40.0]))]);
            groups.extend(more.iter().map(|(key, group)| ((*key).to_owned(), *group)));
            let (prior, source) = Relatives::new(&groups).prior(&identity).unwrap();
            (prior.level[Resource::Cpu], prior.cpu_variance, source)
        };
        assert_eq!(asked(&[]), (30.0, 100.0, Source::Everyone));
        // two of the template, held back by two
        let held = Group { shrink: 2.0, ..group(&[50.0, 50.0]) };
        assert_eq!(asked(&[("template:4", held)]), (40.0, 50.0, Source::Template));
        assert_eq!(asked(&[("template:5", held), ("template:4", Group::default())]), (30.0, 100.0, Source::Everyone));
        // one of the very size: two thirds of the line, and then one beside five
        let size = group(&[60.0]);
        let (level, _, source) = asked(&[("size:100/1024", size)]);
        near(level, (60.0 + 5.0 * (30.0 + 30.0 / 1.5)) / 6.0);
        assert_eq!(source, Source::Size);
        // sizes that tell nothing are passed over, though they are the nearest
        let everyone = |share: f64| Group { sizes_tell: Some(share), ..group(&[20.0, 40.0]) };
        near(asked(&[("size:100/1024", size), (EVERYONE, everyone(0.0))]).0, 30.0);
        near(asked(&[("size:100/1024", size), (EVERYONE, everyone(0.5))]).0, (30.0 + level) / 2.0);
        // VMs of about that size make it more than a guess from one on
        let near_by = |vms: usize| asked(&[("size:101/1024", group(&vec![60.0; vms]))]).2;
        assert_eq!((near_by(1), near_by(2)), (Source::Everyone, Source::Size));
        assert_eq!(Relatives::new(&HashMap::from([(EVERYONE.to_owned(), Group::default())])).prior(&identity), None);
    }

    #[test]
    fn a_demand_is_what_relatives_use_of_that_size() {
        let asked = VmIdentity { cpu: 400, memory: 2000, ..VmIdentity::default() };
        let prior = Prior {
            level: Comparable::from_fn(|of| [25.0, 50.0, 7.0, -1.0][of as usize]),
            peak: Comparable::from_fn(|of| [-3.0, 150.0, -7.0, 9.0][of as usize]),
            cpu_variance: 16.0,
            sketch: Sketch::common(3.0),
        };
        let found = demand(&prior, Source::Image, &asked);
        assert_eq!(found.level, Usage { cpu: 100.0, memory: 1000.0, disk_io: Some(7.0), net_io: Some(0.0) });
        assert_eq!(found.peak, Usage { cpu: 0.0, memory: 2000.0, disk_io: Some(0.0), net_io: Some(9.0) });
        assert_eq!((found.cpu_deviation, found.sketch, found.source), (16.0, Sketch::common(12.0), Source::Image));
        let low = Prior { level: Comparable::from_fn(|_| -1.0), ..prior };
        assert_eq!(demand(&low, Source::Image, &asked).level.memory, 0.0);
    }

    #[test]
    fn members_are_those_with_an_estimate_and_an_identity() {
        let (identity, estimate) = vm(1, 2, 50.0, 9);
        let estimates = HashMap::from([(VmId(1), estimate), (VmId(2), estimate)]);
        let found = members(vec![(VmId(1), identity.clone()), (VmId(3), identity.clone())], &estimates);
        assert_eq!(found, [(identity, estimate)]);
    }

    #[test]
    fn the_share_of_the_way_is_that_of_least_squares_less_twice_its_error() {
        let near = |ways: &[(f64, f64, f64)], expected: f64| {
            let found = share_of(ways);
            assert!((found - expected).abs() < 1e-9, "{ways:?}: {found}, expected {expected}");
        };
        near(&[], 0.0);
        near(&[(0.0, 5.0, 1.0)], 0.0);
        near(&[(2.0, 1.0, 1.0), (-4.0, -2.0, 1.0)], 0.5);
        // more than all, and the other way
        near(&[(2.0, 3.0, 1.0)], 1.0);
        near(&[(2.0, -1.0, 1.0)], 0.0);
        near(&[(2.0, 0.0, 1.0)], 0.0);
        // 0.75 of the way; what is left of two is 2 x 0.0625, the error of the share 0.125 / 2 / 2
        near(&[(1.0, 1.0, 1.0), (1.0, 0.5, 1.0)], 0.75 * (1.0 - 4.0 * 0.03125 / 0.5625));
        // an owner of three VMs counts for one: 2.5 of 3 ways, with what is left of that
        let three = [(1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 0.5, 1.0)];
        let left = (2.0 * (1.0_f64 / 6.0).powi(2) + (1.0_f64 / 3.0).powi(2)) / 9.0;
        near(&three, 5.0 / 6.0 * (1.0 - 4.0 * left / (25.0 / 36.0)));
        near(&three.map(|(way, best, _)| (way, best, 0.25)), {
            let left = left * 9.0 * 0.25 / 0.75 / 0.75;
            5.0 / 6.0 * (1.0 - 4.0 * left / (25.0 / 36.0))
        });
        // within two errors of nothing
        near(&[(1.0, 1.0, 1.0), (1.0, -0.75, 1.0)], 0.0);
        // by the square of the way
        near(&[(1.0, 0.0, 1.0), (3.0, 3.0, 1.0)], {
            let left = 0.81 + (3.0_f64 - 2.7).powi(2);
            0.9 * (1.0 - 4.0 * (left / 2.0 / 10.0) / 0.81)
        });
    }

    #[test]
    fn a_relative_is_what_it_uses_of_what_it_asks_for() {
        let (identity, mut estimate) = vm(1, 4, 50.0, 9);
        estimate.usual.peak.cpu = 300.0;
        estimate.sketch = Sketch::common(8.0);
        let found = Member::of(&identity, &estimate);
        assert_eq!((found.level[Resource::Cpu], found.peak[Resource::Cpu]), (50.0, 75.0));
        assert_eq!(found.sketch, Sketch::common(2.0));
    }
}
