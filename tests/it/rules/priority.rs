//! Who goes first where not all find a place, and whose VMs stay.

use crate::support::cluster::{cluster, resident};
use crate::support::request::{Host, Request, Vm, group, host, request, vm};
use oneaio::decide;
use oneaio::model::chance::Random;
use oneaio::model::history::Recall;
use oneaio::model::ids::HostId;
use oneaio::model::policy::Policy;

/// Of an owner.
fn owned(id: i32, owner: i32) -> Vm {
    let mut one = vm(id, &[1]);
    one.more = format!("<UID>{owner}</UID>");
    one
}

fn first(one: Vm, priority: &str) -> Vm {
    one.user("ONEAIO_PRIORITY", priority)
}

/// One host of so many cores.
fn small(cores: i64) -> Host {
    host(1).cpu(cores * 100, 0)
}

fn placed(request: &Request) -> Vec<i32> {
    let decision = request.decide();
    request.vms.iter().map(|vm| vm.id).filter(|id| decision.host(*id).is_some()).collect()
}

/// A group with one role "a" of these members, owned by a user and a user group.
fn granted(members: &str, uid: i32, gid: i32, more: &str) -> String {
    let xml = group(7, &[("a", "NONE", members, more)], "");
    xml.replace("<NAME>g7</NAME>", &format!("<UID>{uid}</UID><GID>{gid}</GID><NAME>g7</NAME>"))
}

#[test]
fn a_vm_goes_before_others_of_its_owner_and_of_nobody_else() {
    // room for two of three
    let three = |a: Vm, b: Vm, c: Vm| placed(&request(&[small(2)], &[a, b, c]));
    let usual = three(owned(1, 5), owned(2, 5), owned(3, 5));
    assert_eq!(usual.len(), 2);
    let last = (1..=3).find(|id| !usual.contains(id)).unwrap();
    let urgent = |id: i32, owner: i32| if id == last { first(owned(id, owner), "10") } else { owned(id, 5) };
    // who waited goes first, of the same owner
    let found = three(urgent(1, 5), urgent(2, 5), urgent(3, 5));
    assert!(found.contains(&last) && found.len() == 2, "{found:?}");
    // a stranger's word counts for nothing among the VMs of others
    assert_eq!(three(urgent(1, 6), urgent(2, 6), urgent(3, 6)), usual);
    // nor that of a VM whose owner nobody knows
    let nobody = |id: i32| if id == last { first(vm(id, &[1]), "10") } else { vm(id, &[1]) };
    assert_eq!(three(nobody(1), nobody(2), nobody(3)), three(vm(1, &[1]), vm(2, &[1]), vm(3, &[1])));
    // equal ones stay as they are
    let all = |id| first(owned(id, 5), "10");
    assert_eq!(three(all(1), all(2), all(3)), usual);
}

#[test]
fn a_large_one_takes_the_room_of_several_small_ones_and_they_find_other_places() {
    let large = first(owned(9, 5).cpu("4"), "1");
    let small_ones = (1..=4).map(|id| owned(id, 5));
    let vms: Vec<Vm> = small_ones.chain([large]).collect();
    assert_eq!(placed(&request(&[small(4)], &vms)), [9], "four small ones wait for it");
    // a second host, which only two of the small ones may use
    let mut two = request(&[small(4), host(2).cpu(200, 0)], &vms);
    two.vms.iter_mut().take(2).for_each(|vm| vm.hosts = Some(vec![1, 2]));
    assert_eq!(placed(&two), [1, 2, 9]);
    // without a word most VMs count
    let plain: Vec<Vm> = (1..=4).map(|id| owned(id, 5)).chain([owned(9, 5).cpu("4")]).collect();
    assert_eq!(placed(&request(&[small(4)], &plain)), [1, 2, 3, 4]);
}

#[test]
fn only_an_administrators_group_goes_before_the_vms_of_others() {
    let cloud = |group: String| {
        let member = owned(9, 6).cpu("2").group(7, "a");
        placed(&request(&[small(2)], &[owned(1, 5), owned(2, 5), member]).group(group))
    };
    let priority = "<ONEAIO_PRIORITY>10</ONEAIO_PRIORITY>";
    assert_eq!(cloud(granted("9", 0, 1, priority)), [9], "oneadmin's");
    assert_eq!(cloud(granted("9", 4, 0, priority)), [9], "of his group");
    assert_eq!(cloud(granted("9", 6, 1, priority)), [1, 2], "a tenant's own group");
    assert_eq!(cloud(granted("9", 0, 0, "")), [1, 2], "who says nothing");
    // a tenant's own priority does not help against what is granted
    let mut rivals = request(&[small(2)], &[first(owned(1, 5), "100"), owned(9, 6).cpu("2").group(7, "a")]);
    rivals = rivals.group(granted("9", 0, 0, priority));
    assert_eq!(placed(&rivals), [9]);
}

#[test]
fn what_cannot_be_read_counts_as_nothing_and_is_told() {
    for text in ["101", "-1", "high"] {
        let decision = request(&[small(2)], &[first(owned(1, 5), text)]).decide();
        let told = decision.notices();
        assert!(told.contains(&format!("ONEAIO_PRIORITY of the VM is {text:?}; it must be a whole number")), "{told}");
        assert_eq!(decision.placed(), 1);
    }
}

#[test]
fn rules_hold_for_those_that_go_first_and_for_those_that_stay() {
    // 1 and 2 must be apart: 2 cannot take 1's host, whatever it says; 3 can be sent away by it
    let apart = |id: i32| owned(id, 5).group(7, "b");
    let rivals = request(
        &[small(1), host(2).cpu(100, 0)],
        &[
            Vm { hosts: Some(vec![1]), ..apart(1) },
            Vm { hosts: Some(vec![1, 2]), ..first(apart(2), "5") },
            Vm { hosts: Some(vec![2]), ..owned(3, 5) },
        ],
    );
    let decision = rivals.group(group(7, &[("b", "ANTI_AFFINED", "1,2", "")], "")).decide();
    assert_eq!((decision.host(1), decision.host(2), decision.host(3)), (Some(1), Some(2), None));
}

#[test]
fn vms_of_a_role_that_is_to_stay_are_never_migrated() {
    let member = |id: i32| resident(id, 1, "1", 100.0).change(|vm| vm.group(7, "a"));
    let four =
        |more: &str| cluster(2, &[1, 2, 3, 4].map(member)).group(group(7, &[("a", "NONE", "1,2,3,4", more)], ""));
    assert_eq!(four("").optimize().moves().len(), 2);
    let stays = four("<ONEAIO_STAY>YES</ONEAIO_STAY>");
    let outcome = stays.optimize();
    assert!(outcome.moves().is_empty());
    assert!(outcome.stays(1).contains("ONEAIO_STAY=YES"), "{}", outcome.stays(1));
    let snapshot = decide::read(stays.request().xml().into_bytes()).unwrap();
    let drained = decide::drain(&snapshot, HostId(1), &Recall::default(), &Policy::default()).unwrap();
    assert_eq!((drained.blockers.len(), drained.migrated.migrations.len()), (4, 0));
    // the judge knows the rule by itself
    let plan = four("").optimize().plan().clone();
    let cluster = &snapshot.clusters[0];
    let found = oneaio::placement::check::migration_breaches(&snapshot, cluster, &plan, &Policy::default());
    assert!(found.iter().any(|breach| breach.text.contains("ONEAIO_STAY")), "{found:?}");
}

/// What a VM says for itself, in the tables of the draw.
struct Said {
    owner: i32,
    priority: usize,
    cores: usize,
    hosts: Vec<i32>,
}

#[test]
fn nobody_waits_where_one_of_his_own_that_comes_after_has_a_place_for_him() {
    let mut chance = Random::new(5);
    let (mut waited, mut exchanged) = (0, 0);
    for round in 0..60 {
        let hosts: Vec<Host> = (1..=3).map(|id| host(id).cpu(100 * (2 + chance.below(4) as i64), 0)).collect();
        let said: Vec<Said> = (0..12)
            .map(|_| Said {
                owner: 5 + chance.below(2) as i32,
                priority: chance.below(3),
                cores: 1 + chance.below(3),
                hosts: (2..=3).filter(|_| chance.below(4) > 0).chain(std::iter::once(1)).collect(),
            })
            .collect();
        let vms = |with: bool| -> Vec<Vm> {
            (1..)
                .zip(&said)
                .map(|(id, one)| {
                    let vm = Vm { hosts: Some(one.hosts.clone()), ..owned(id, one.owner) }.cpu(&one.cores.to_string());
                    if with { first(vm, &one.priority.to_string()) } else { vm }
                })
                .collect()
        };
        let decision = request(&hosts, &vms(true)).decide();
        let plain = request(&hosts, &vms(false)).decide();
        let mut turned = request(&hosts, &vms(true));
        turned.vms.reverse();
        let turned = turned.decide();
        for (id, one) in (1..).zip(&said) {
            assert_eq!(decision.host(id), turned.host(id), "round {round}: the order of the document");
            exchanged += usize::from(decision.host(id).is_some() && plain.host(id).is_none());
            if decision.host(id).is_some() {
                continue;
            }
            waited += 1;
            for (other, behind) in (1..).zip(&said).filter(|(_, other)| other.owner == one.owner) {
                let place = decision.host(other).filter(|host| one.hosts.contains(host));
                let takes = behind.priority < one.priority && behind.cores >= one.cores && place.is_some();
                assert!(!takes, "round {round}: VM {id} waits, and VM {other} of the same owner has a place for it");
            }
        }
    }
    assert!(waited > 100 && exchanged > 20, "{waited} waited, {exchanged} exchanged: the draw is too easy");
}
