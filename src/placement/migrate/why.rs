//! Why a VM moves or stays, and why nothing moves: blocked by a rule, no gain, or nothing allowed, told apart.
//! Looks at one VM and one host at a time and decides nothing.

use super::report;
use super::scene::{MigrationInput, Scene};
use super::state::State;
use crate::model::explanation::{Gain, MigrationExplanation, MigrationOutcome, MigrationVerdict};
use crate::model::ids::VmId;
use crate::model::migration::Migrated;
use crate::model::policy::{DrsPolicy, Policy};
use crate::placement::rules::context::Purpose;
use crate::placement::rules::reason::Reason;
use crate::placement::score::objective;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Pairs of VM and host that are looked at to say why nothing moves.
const LOOKS: usize = 20_000;

/// One way that a unit might go.
struct Look {
    to: usize,
    /// The rule against it.
    rule: Option<Reason>,
    gain: Gain,
}

/// Takes the decision about one VM apart; `None` for a VM that the request does not offer.
#[must_use]
pub fn explain(
    input: &MigrationInput<'_>,
    policy: &Policy,
    migrated: &Migrated,
    vm: VmId,
) -> Option<MigrationExplanation> {
    let policy = input.cluster.drs.over(policy);
    Scene::with(input, &policy, Purpose::Optimize, |scene| explained(scene, migrated, vm))
}

fn explained(scene: &Scene<'_>, migrated: &Migrated, vm: VmId) -> Option<MigrationExplanation> {
    let snapshot = scene.context.snapshot;
    let request = snapshot.candidates.iter().position(|candidates| snapshot.vms[candidates.vm].id == vm);
    let staying = migrated.staying.iter().find(|(staying, _)| *staying == vm);
    let aside = snapshot.set_aside.iter().find(|(aside, _)| *aside == vm);
    let nothing = |reason: &str, from| MigrationExplanation {
        vm,
        with: Vec::new(),
        from,
        outcome: MigrationOutcome::Stays(reason.to_owned()),
        hosts: Vec::new(),
    };
    let (Some(request), None) = (request, staying) else {
        let (_, reason) = staying.or(aside)?;
        return Some(nothing(reason, snapshot.vm(vm).and_then(|vm| vm.host)));
    };
    let from = scene.vm(request).host;
    let Some(unit) = scene.unit_of[request] else {
        return Some(nothing("is offered no host by oned", from));
    };
    let mut state = after(scene, migrated);
    let members = scene.unit(unit).members.clone();
    for &member in &members {
        state.put(member, scene.context.home(member));
    }
    let looks = looks(&mut state, unit);
    let outcome = match migrated.migrations.iter().find(|one| one.vm == vm) {
        Some(one) if one.leaves_datastore() => {
            MigrationOutcome::ChangesDatastore { to: one.to_datastore, why: one.why.clone() }
        }
        Some(one) => MigrationOutcome::Moves { to: one.to, why: one.why.clone() },
        None => MigrationOutcome::Stays(stays(&state, migrated, unit, &looks)),
    };
    let hosts = looks.into_iter().map(|look| MigrationVerdict {
        host: snapshot.hosts[look.to].id,
        name: snapshot.hosts[look.to].name.clone(),
        verdict: look.rule.map_or(Ok(look.gain), |rule| Err(format!("{}: {}", rule.rule(), rule.text()))),
    });
    let with = members.iter().filter(|&&member| member != request).map(|&member| scene.vm(member).id);
    Some(MigrationExplanation { vm, with: with.collect(), from, outcome, hosts: hosts.collect() })
}

/// The cluster after a plan.
fn after<'a>(scene: &'a Scene<'a>, migrated: &Migrated) -> State<'a> {
    let snapshot = scene.context.snapshot;
    let mut state = State::new(scene);
    let requests: BTreeMap<VmId, usize> =
        snapshot.candidates.iter().enumerate().map(|(request, c)| (snapshot.vms[c.vm].id, request)).collect();
    for one in &migrated.migrations {
        if let (Some(&request), Some(host)) = (requests.get(&one.vm), snapshot.host_index(one.to)) {
            state.put(request, Some(host));
        }
    }
    state.aim();
    state
}

/// Every other host that oned offers for a unit.
fn looks(state: &mut State<'_>, unit: usize) -> Vec<Look> {
    let scene = state.scene();
    let from = state.home(unit);
    let others: Vec<usize> = others(scene, unit, from).collect();
    let mut found = Vec::with_capacity(others.len());
    for to in others {
        let rule = state.possible(&[(unit, to)]).err();
        found.push(Look { to, rule, gain: gain(state, unit, from, to) });
    }
    found
}

/// Every host that oned offers for a unit but its own.
fn others(scene: &Scene<'_>, unit: usize, from: Option<usize>) -> impl Iterator<Item = usize> {
    scene.unit(unit).hosts.iter().map(|&host| host as usize).filter(move |host| Some(*host) != from)
}

/// What a migration of a unit would be worth to its two hosts.
fn gain(state: &State<'_>, unit: usize, from: Option<usize>, to: usize) -> Gain {
    let scene = state.scene();
    let load = state.load();
    let price = scene.unit(unit).price;
    let Some(from) = from else {
        return Gain { before: load.score(to), after: load.score(to), gain: 0.0, price, pays: false };
    };
    let before = [load.badness(from), load.badness(to)];
    let after = [state.badness_without(unit, from), state.badness_with(unit, to)];
    let worst = |pair: [f64; 2]| pair[0].max(pair[1]);
    Gain {
        before: worst(before),
        after: worst(after),
        gain: objective::relief(&before, &after),
        price,
        pays: objective::pays(&before, &after, price),
    }
}

/// Why a VM stays that might have been moved.
fn stays(state: &State<'_>, migrated: &Migrated, unit: usize, looks: &[Look]) -> String {
    let scene = state.scene();
    let broken = report::broken(state);
    let member = |request: &usize| scene.unit(unit).members.contains(request);
    let broken = broken
        .iter()
        .find(|(request, _)| member(request))
        .map(|(_, rule)| format!("breaks a rule there ({rule}), and "));
    let told = broken.unwrap_or_default();
    if let Some(limit) = limit_reached(scene, migrated) {
        return format!("{told}{limit}");
    }
    let label = |look: &Look| label(scene, look.to);
    let paying = || looks.iter().filter(|look| look.gain.pays);
    if let Some((look, rule)) = paying().find_map(|look| Some((look, look.rule.as_ref()?))) {
        return format!(
            "{told}would gain {:.3} on {}, but {} ({})",
            look.gain.gain,
            label(look),
            rule.text(),
            rule.rule()
        );
    }
    if let Some(look) = paying().next() {
        let pack = scene.context.policy.optimize.policy == DrsPolicy::Pack;
        let why = if pack {
            "POLICY pack moves only what empties a host"
        } else {
            "the plan as a whole is better without it"
        };
        return format!("{told}would gain {:.3} on {}, but {why}", look.gain.gain, label(look));
    }
    let free = looks.iter().filter(|look| look.rule.is_none());
    if scene.context.policy.optimize.policy == DrsPolicy::Pack && free.clone().next().is_some() {
        return format!("{told}is left alone: POLICY pack moves only what empties a host");
    }
    match free.max_by(|a, b| a.gain.gain.total_cmp(&b.gain.gain).then(b.to.cmp(&a.to))) {
        Some(best) => format!("{told}{}", no_gain(&best.gain, &label(best))),
        None if looks.is_empty() => format!("{told}is offered no other host by oned"),
        None => format!("{told}fits no other host: {}", by_rule(scene, looks.iter())),
    }
}

/// What to say where no other host is better by enough.
fn no_gain(gain: &Gain, label: &str) -> String {
    if gain.gain <= 0.0 && gain.after < gain.before {
        return format!(
            "is best where it is: {label}, the next best, would lose more than its own host gains (larger D of the two {:.3} \
             instead of {:.3})",
            gain.after, gain.before
        );
    }
    if gain.gain <= 0.0 {
        return format!(
            "is best where it is: on {label}, the next best, D would be {:.3} instead of {:.3}",
            gain.after, gain.before
        );
    }
    if gain.gain <= gain.price {
        return format!(
            "gains too little: {:.3} on {label}, and its migration has to gain {:.3}",
            gain.gain, gain.price
        );
    }
    format!("gains too little: {:.3} on {label}, less than 2 % of the distance", gain.gain)
}

/// The tightest limit on migrations, by its name.
fn limit(scene: &Scene<'_>) -> Option<(&'static str, u32)> {
    let optimize = &scene.context.policy.optimize;
    let named = [("MIGRATION_THRESHOLD", optimize.migrations), ("HOST_MIGRATION_THRESHOLD", optimize.host_migrations)];
    named.into_iter().filter_map(|(name, limit)| Some((name, limit?))).min_by_key(|(_, limit)| *limit)
}

/// Which limit on migrations is used up.
fn limit_reached(scene: &Scene<'_>, migrated: &Migrated) -> Option<String> {
    let (name, limit) = limit(scene)?;
    if limit == 0 {
        return Some(format!("may not move: {name} is 0"));
    }
    (migrated.migrations.len() >= limit as usize)
        .then(|| format!("has no migration left: the {limit} that {name} allows went to others"))
}

/// Why an optimization moves nothing, in a sentence.
pub fn idle(scene: &Scene<'_>) -> String {
    if let Some(limit) = limit_reached(scene, &Migrated::default()) {
        return limit.replace("may not move", "no migration is allowed");
    }
    if scene.units.is_empty() {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        scene.staying.iter().for_each(|(_, reason)| *reasons.entry(reason).or_default() += 1);
        let most = reasons.iter().max_by_key(|(reason, count)| (**count, Reverse(**reason)));
        return most.map_or("there is no VM to move".to_owned(), |(reason, count)| {
            format!(
                "no VM may be moved: of {}, the most common reason ({count}) is that a VM {reason}",
                scene.staying.len()
            )
        });
    }
    let mut state = State::new(scene);
    state.aim();
    if scene.context.policy.optimize.policy == DrsPolicy::Pack {
        return not_emptied(&mut state);
    }
    let mut blocked: Vec<(usize, Look)> = Vec::new();
    let mut best: Option<(usize, Look)> = None;
    let mut refused: Vec<(usize, Look)> = Vec::new();
    let mut spent = 0;
    for unit in 0..scene.units.len() {
        if spent > LOOKS || scene.context.work.spent() {
            break;
        }
        let from = state.home(unit);
        let others: Vec<usize> = others(scene, unit, from).collect();
        spent += others.len().max(1);
        for to in others {
            let gain = gain(&state, unit, from, to);
            // rules cost most: what neither pays nor is the best need not be asked for
            if !gain.pays && best.as_ref().is_some_and(|(_, known)| gain.gain <= known.gain.gain) {
                continue;
            }
            let look = Look { to, rule: state.possible(&[(unit, to)]).err(), gain };
            if look.gain.pays && look.rule.is_some() {
                blocked.push((unit, look));
            } else if look.rule.is_some() {
                refused.push((unit, look));
            } else if best.as_ref().is_none_or(|(_, known)| look.gain.gain > known.gain.gain) {
                best = Some((unit, look));
            }
        }
    }
    let vm = |unit: usize| scene.vm(scene.unit(unit).members[0]).id;
    // of migrations that would pay, the one that gains most says what is in the way
    let most = blocked.iter().max_by(|(a, x), (b, y)| x.gain.gain.total_cmp(&y.gain.gain).then(b.cmp(a)));
    if let Some((unit, look)) = most
        && let Some(rule) = &look.rule
    {
        let counts = counts(blocked.iter().map(|(_, look)| look));
        return format!(
            "what would pay is blocked ({counts}): VM {} to {}: {} ({})",
            vm(*unit),
            label(scene, look.to),
            rule.text(),
            rule.rule()
        );
    }
    match best {
        Some((_, look)) if look.gain.pays => {
            "no migration would make the cluster as a whole more even: the mean moves along".to_owned()
        }
        Some((_, look)) if look.gain.gain <= 0.0 => "no migration would make hosts more even".to_owned(),
        Some((unit, look)) => {
            let price = look.gain.price;
            let (vm, to, gain) = (vm(unit), label(scene, look.to), look.gain.gain);
            format!(
                "no migration gains enough: the best, VM {vm} to {to}, gains {gain:.3}, and it has to gain {price:.3}"
            )
        }
        None => match refused.first() {
            Some((unit, look)) => {
                let rule = look.rule.as_ref().map(Reason::text).unwrap_or_default();
                let counts = counts(refused.iter().map(|(_, look)| look));
                format!(
                    "no VM may go to any other host ({counts}): VM {} to {}: {rule}",
                    vm(*unit),
                    label(scene, look.to)
                )
            }
            None => "oned offers no VM any other host".to_owned(),
        },
    }
}

/// Why `POLICY pack` empties no host: the host with fewest VMs, and what is in its way.
fn not_emptied(state: &mut State<'_>) -> String {
    let scene = state.scene();
    let snapshot = scene.context.snapshot;
    let in_use: Vec<usize> = (0..snapshot.hosts.len()).filter(|&host| state.count(host) > 0).collect();
    let host = match in_use.as_slice() {
        [] => return "POLICY pack: no host is in use".to_owned(),
        [only] => return format!("POLICY pack: all VMs are on {} already", label(scene, *only)),
        _ => in_use.iter().copied().min_by_key(|&host| (state.count(host), host)).unwrap_or_default(),
    };
    let head = format!("POLICY pack: no host can be emptied; on {}", label(scene, host));
    if let Some((name, limit)) = limit(scene).filter(|(_, limit)| state.count(host) > *limit as usize) {
        return format!("{head}, {} VMs are more than the {limit} that {name} allows to migrate", state.count(host));
    }
    let there = |vm: VmId| snapshot.vm(vm).and_then(|vm| vm.host) == Some(snapshot.hosts[host].id);
    if let Some((vm, reason)) = scene.staying.iter().find(|(vm, _)| there(*vm)) {
        return format!("{head}, VM {vm} {reason}");
    }
    let mut units = state.units(host).to_vec();
    units.sort_by(|&a, &b| scene.unit(a).larger_first(scene.unit(b)).then(a.cmp(&b)));
    for unit in units {
        let used = |look: &Look| in_use.contains(&look.to);
        let looks: Vec<Look> = looks(state, unit).into_iter().filter(used).collect();
        if looks.iter().all(|look| look.rule.is_some()) {
            let vm = scene.vm(scene.unit(unit).members[0]).id;
            let rules = by_rule(scene, looks.iter());
            return format!("{head}, VM {vm} fits no other host in use ({rules})");
        }
    }
    let limit = scene.context.policy.optimize.pack_limit;
    format!("{head}, VMs do not fit together into the others with at most {:.0} % used", limit * 100.0)
}

/// `datastore 12, CPU 3`: which rules are in the way, how often.
fn counts<'l>(looks: impl Iterator<Item = &'l Look>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    looks.filter_map(|look| look.rule.as_ref()).for_each(|rule| *counts.entry(rule.rule()).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(rule, count)| (Reverse(*count), *rule));
    counts.iter().take(3).map(|(rule, count)| format!("{rule} {count} times")).collect::<Vec<_>>().join(", ")
}

/// The rules in the way, with the first host as an example.
fn by_rule<'l>(scene: &Scene<'_>, looks: impl Iterator<Item = &'l Look> + Clone) -> String {
    let example = looks.clone().find_map(|look| Some((look, look.rule.as_ref()?)));
    let example =
        example.map_or(String::new(), |(look, rule)| format!("; on {}: {}", label(scene, look.to), rule.text()));
    format!("{}{example}", counts(looks))
}

fn label(scene: &Scene<'_>, host: usize) -> String {
    let host = &scene.context.snapshot.hosts[host];
    format!("host {}, {}", host.id, host.name)
}

#[cfg(test)]
mod tests;
