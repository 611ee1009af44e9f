//! Several hosts emptied in waves: every wave is judged on a request that is written anew with what the
//! waves before it have done, so that the planner's own picture of that is judged too.

use crate::support::cluster::{Cluster, cluster, resident};
use crate::support::request::{datastore, group};
use oneaio::decide;
use oneaio::model::chance::Random;
use oneaio::model::history::Recall;
use oneaio::model::ids::HostId;
use oneaio::model::migration::{Rolling, Wave};
use oneaio::model::policy::{Policy, Spare};
use oneaio::placement::check;
use std::collections::BTreeMap;

fn waves(cluster: &Cluster, hosts: &[i32], most: usize, policy: &Policy) -> Rolling {
    let snapshot = decide::read(cluster.request().xml().into_bytes()).unwrap();
    let hosts: Vec<HostId> = hosts.iter().map(|host| HostId(*host)).collect();
    decide::drain_in_waves(&snapshot, &hosts, most, &Recall::default(), policy).unwrap()
}

fn ids(wave: &Wave) -> Vec<i32> {
    wave.hosts.iter().map(|host| host.0).collect()
}

/// Carries out all waves on documents: each is legal, goes to no host of its own, and leaves these empty.
fn carry_out(before: &Cluster, rolling: &Rolling, policy: &Policy) -> Cluster {
    let mut now = before.clone();
    for wave in &rolling.waves {
        let snapshot = decide::read(now.request().xml().into_bytes()).unwrap();
        let own = snapshot.clusters[0].drs.over(policy);
        let found = check::migration_breaches(&snapshot, &snapshot.clusters[0], &wave.migrated.plan, &own);
        assert!(found.is_empty(), "{found:?}");
        let into = wave.migrated.plan.actions.iter().find(|action| wave.hosts.contains(&action.host));
        assert!(into.is_none(), "{into:?} goes to a host that is being emptied");
        now = now.after(&wave.migrated.plan);
        let left = now.spread();
        assert!(
            ids(wave).iter().all(|host| left.get(host).is_none_or(|count| *count == 0)),
            "{left:?} {:?}",
            wave.hosts
        );
    }
    now
}

#[test]
fn a_whole_cluster_goes_through_its_only_empty_host_and_no_vm_is_lost() {
    // three hosts of eight cores with six each, and one that is empty
    let full = |host: i32| [resident(host * 10, host, "4", 50.0), resident(host * 10 + 1, host, "2", 20.0)];
    let residents: Vec<_> = (1..=3).flat_map(full).collect();
    let before = cluster(4, &residents);
    let rolling = waves(&before, &[1, 2, 3, 4], 9, &Policy::default());
    assert!(rolling.blocked.is_empty(), "{:?}", rolling.blocked);
    // one host after another: each fits only where the one before has left
    assert_eq!(rolling.waves.iter().map(|wave| wave.hosts.len()).collect::<Vec<_>>(), [1, 1, 1, 1]);
    assert_eq!(ids(&rolling.waves[0]), [4], "the one without VMs first");
    let after = carry_out(&before, &rolling, &Policy::default());
    assert_eq!(after.spread().values().sum::<usize>(), 6);
    let moves: usize = rolling.waves.iter().map(|wave| wave.migrated.migrations.len()).sum();
    assert_eq!(moves, 6, "nobody moves twice");
}

#[test]
fn waves_are_as_large_as_others_bear_and_as_allowed() {
    let before = cluster(6, &(1..=6).map(|id| resident(id, id, "2", 50.0)).collect::<Vec<_>>());
    let all: Vec<i32> = (1..=6).collect();
    let wide = waves(&before, &all, 99, &Policy::default());
    // twelve cores asked for: two hosts of eight bear them
    assert_eq!(wide.waves[0].hosts.len(), 4, "{:?}", wide.waves.iter().map(ids).collect::<Vec<_>>());
    carry_out(&before, &wide, &Policy::default());
    let narrow = waves(&before, &all, 2, &Policy::default());
    assert!(narrow.waves.iter().all(|wave| wave.hosts.len() <= 2));
    carry_out(&before, &narrow, &Policy::default());
    // any one host more may fail while a wave is away
    let spare = Policy { spare: Spare::Host, ..Policy::default() };
    let kept = waves(&before, &all, 99, &spare);
    carry_out(&before, &kept, &spare);
    assert!(kept.blocked.is_empty() && kept.waves.iter().all(|wave| wave.lacking.is_empty()), "{kept:?}");
    assert!(kept.waves[0].hosts.len() < 4, "three hosts must stay: two bear all, one may fail");
    assert!(kept.waves[0].hosts.len() >= 2, "{:?}", ids(&kept.waves[0]));
}

#[test]
fn where_n_plus_1_cannot_be_kept_hosts_go_one_by_one_and_it_is_said() {
    let before = cluster(3, &(1..=3).map(|id| resident(id, id, "5", 50.0)).collect::<Vec<_>>());
    let tight = waves(&before, &[1], 9, &Policy { spare: Spare::Host, ..Policy::default() });
    // five cores more fit nowhere
    assert!(tight.waves.is_empty());
    let loose = cluster(3, &(1..=3).map(|id| resident(id, id, "3", 50.0)).collect::<Vec<_>>());
    let rolling = waves(&loose, &[1, 2], 9, &Policy { spare: Spare::Host, ..Policy::default() });
    assert_eq!(rolling.waves.iter().map(ids).collect::<Vec<_>>(), [[1], [2]]);
    let lacking = &rolling.waves[0].lacking;
    assert!(lacking.iter().any(|notice| notice.text.starts_with("N+1: 1 of ")), "{lacking:?}");
}

#[test]
fn what_blocks_is_named_and_the_others_go_on() {
    let mut before = cluster(4, &[1, 2, 3].map(|id| resident(id, id, "2", 50.0)));
    before.residents[0] = before.residents[0].clone().change(|vm| vm.user("ONEDRS_BLOCKED", "YES"));
    let member = |id: i32| resident(id, id - 8, "1", 10.0).change(|vm| vm.group(7, "a"));
    before.residents.extend((9..=12).map(member));
    let before = before.group(group(7, &[("a", "ANTI_AFFINED", "9,10,11,12", "")], ""));
    let rolling = waves(&before, &[1, 2, 3], 9, &Policy::default());
    assert_eq!(rolling.waves.len(), 0);
    let told: BTreeMap<i32, String> = rolling
        .blocked
        .iter()
        .map(|(host, vms)| (host.0, vms.iter().map(|(vm, text)| format!("{vm}: {text}\n")).collect()))
        .collect();
    assert!(told[&1].contains("1: has ONEDRS_BLOCKED=YES"), "{told:?}");
    assert!(told[&2].contains("10: ") && told[&2].contains("must be apart"), "{told:?}");
    // with a host to spare all but the first are emptied, one after another
    let mut roomy = before.clone();
    roomy.hosts.push(crate::support::request::host(5));
    let rolling = waves(&roomy, &[1, 2, 3], 9, &Policy::default());
    assert_eq!(rolling.waves.iter().map(ids).collect::<Vec<_>>(), [[2], [3]]);
    assert_eq!(rolling.blocked.iter().map(|(host, _)| host.0).collect::<Vec<_>>(), [1]);
    carry_out(&roomy, &rolling, &Policy::default());
}

#[test]
fn a_host_that_the_request_does_not_hold_is_emptied_and_takes_nobody() {
    let mut before = cluster(2, &[resident(1, 9, "4", 10.0), resident(2, 1, "3", 10.0)]);
    before.hidden = vec![9];
    let rolling = waves(&before, &[9, 1], 9, &Policy::default());
    assert!(rolling.blocked.is_empty(), "{:?}", rolling.blocked);
    carry_out(&before, &rolling, &Policy::default());
}

#[test]
fn times_come_from_history_where_it_tells_and_from_the_assumption_where_not() {
    let before = cluster(3, &[1, 2, 3].map(|id| resident(id, 1, "1", 0.0).memory(1000)));
    let assumed = waves(&before, &[1], 9, &Policy::default());
    assert_eq!((assumed.pace.measured, assumed.pace.mib_per_second), (0, 100.0));
    let copied: f64 = assumed.waves[0].copied.iter().sum();
    assert!((copied - 3000.0).abs() < 1.0, "{copied}");
    // two to one host after each other, one beside them
    assert!((assumed.waves[0].seconds - 20.0).abs() < 0.1, "{}", assumed.waves[0].seconds);
    // each came from host 2 within 50 s: 20 MiB/s
    let earlier = "<HISTORY_RECORDS><HISTORY><SEQ>0</SEQ><HID>2</HID><DS_ID>0</DS_ID><STIME>100</STIME><ETIME>1050</ETIME>\
                   </HISTORY><HISTORY><SEQ>1</SEQ><STIME>1000</STIME><ETIME>0</ETIME>";
    let xml = before.request().xml().replace("<HISTORY_RECORDS><HISTORY><SEQ>0</SEQ>", earlier);
    let snapshot = decide::read(xml.into_bytes()).unwrap();
    let told = decide::drain_in_waves(&snapshot, &[HostId(1)], 9, &Recall::default(), &Policy::default()).unwrap();
    assert_eq!(told.pace.measured, 3);
    assert!((told.pace.mib_per_second - 20.0).abs() < 0.1, "{:?}", told.pace);
    assert!((told.waves[0].seconds - 100.0).abs() < 1.0, "{}", told.waves[0].seconds);
}

#[test]
fn a_vm_with_devices_moves_once_and_says_why_not_again() {
    let device = |slot: i32, vm: i32| {
        format!(
            "<PCI><ADDRESS>0000:0{slot}:00:0</ADDRESS><SHORT_ADDRESS>0{slot}:00.0</SHORT_ADDRESS><VENDOR>10de</VENDOR>\
             <DEVICE>1</DEVICE><CLASS>3</CLASS><VMID>{vm}</VMID></PCI>"
        )
    };
    let wants = "<PCI><VENDOR>10de</VENDOR><DEVICE>1</DEVICE><CLASS>3</CLASS></PCI>";
    let mut before = cluster(2, &[resident(1, 1, "1", 10.0).change(|vm| vm.template(wants))]).drs("MOVE_PINNED", "YES");
    for (host, holder) in before.hosts.iter_mut().zip([1, -1]) {
        *host = host.clone().share(&format!("<PCI_DEVICES>{}</PCI_DEVICES>", device(1, holder)));
    }
    let rolling = waves(&before, &[1, 2], 1, &Policy::default());
    // the empty host first: then the VM moves but once
    assert_eq!(rolling.waves.iter().map(ids).collect::<Vec<_>>(), [[2], [1]], "{:?}", rolling.blocked);
    // a larger VM on the other host puts it last, and the device that it would want is not known then
    before.residents.push(resident(2, 2, "1", 10.0).memory(4096));
    let rolling = waves(&before, &[1, 2], 1, &Policy::default());
    let told: Vec<_> =
        rolling.blocked.iter().flat_map(|(_, vms)| vms).map(|(vm, text)| format!("{vm} {text}")).collect();
    assert_eq!(rolling.waves.iter().map(ids).collect::<Vec<_>>(), [[1]]);
    assert!(told[0].starts_with("1 moves with an earlier wave, and which devices"), "{told:?}");
}

/// Clusters by chance: tight and loose ones, with groups, local datastores and VMs that may not move.
fn drawn(chance: &mut Random) -> (Cluster, Vec<i32>) {
    let hosts = 3 + chance.below(6) as i32;
    let mut free: BTreeMap<i32, i64> = (1..=hosts).map(|host| (host, 8)).collect();
    let mut residents = Vec::new();
    for id in 1..=(hosts * 3) {
        let (host, cores) = (1 + chance.below(hosts as usize) as i32, 1 + chance.below(3) as i64);
        let room = free.get_mut(&host).unwrap();
        if *room < cores || chance.below(4) == 0 {
            continue;
        }
        *room -= cores;
        let mut one = resident(id, host, &cores.to_string(), chance.below(90) as f64 * cores as f64);
        if chance.below(40) == 0 {
            one = one.change(|vm| vm.user("ONEDRS_BLOCKED", "YES"));
        }
        residents.push(one.memory(256 + 256 * chance.below(8) as i64));
    }
    let mut made = cluster(hosts, &residents);
    if chance.below(3) == 0 {
        let mut apart: BTreeMap<i32, i32> = BTreeMap::new();
        residents.iter().for_each(|one| {
            apart.entry(one.vm.history.unwrap().0).or_insert(one.vm.id);
        });
        let members: Vec<i32> = apart.into_values().take(3).collect();
        for one in made.residents.iter_mut().filter(|one| members.contains(&one.vm.id)) {
            *one = one.clone().change(|vm| vm.group(7, "a"));
        }
        let listed = members.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        made = made.group(group(7, &[("a", "ANTI_AFFINED", &listed, "")], ""));
    }
    if chance.below(3) == 0 {
        made.datastores = vec![datastore(0, 1, &[0], 1_000_000, "<SHARED>NO</SHARED>")];
    }
    let asked = (1..=hosts).filter(|_| chance.below(5) > 0).collect();
    (made, asked)
}

#[test]
fn waves_of_clusters_by_chance_are_legal_and_whole_whatever_the_order() {
    let mut chance = Random::new(11);
    let (mut emptied, mut blocked) = (0, 0);
    for round in 0..60 {
        let (before, asked) = drawn(&mut chance);
        let spare = if round % 2 == 0 { Spare::None } else { Spare::Host };
        let policy = Policy { spare, ..Policy::default() };
        let rolling = waves(&before, &asked, 3, &policy);
        carry_out(&before, &rolling, &policy);
        let mut told: Vec<i32> = rolling.waves.iter().flat_map(ids).collect();
        emptied += told.len();
        blocked += rolling.blocked.len();
        told.extend(rolling.blocked.iter().map(|(host, _)| host.0));
        told.sort_unstable();
        assert_eq!(told, asked, "round {round}: each host once");
        assert!(rolling.blocked.iter().all(|(_, vms)| !vms.is_empty()), "round {round}: {:?}", rolling.blocked);
        let reversed: Vec<i32> = asked.iter().rev().copied().collect();
        let again = waves(&before, &reversed, 3, &policy);
        assert_eq!(format!("{again:?}"), format!("{rolling:?}"), "round {round}");
    }
    assert!(emptied > 100 && blocked > 5, "{emptied} emptied, {blocked} blocked: the draw is too easy or too hard");
}
