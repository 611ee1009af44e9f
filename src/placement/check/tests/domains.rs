use super::*;
use crate::model::ids::GroupId;
use crate::model::snapshot::{Role, RolePolicy, Section, VmGroup};
use crate::model::wish::{Spread, Together, Wishes};

fn spread(skew: u32, soft: bool) -> Wishes {
    Wishes { spread: Some(Spread { by: "RACK".to_owned(), skew, soft }), ..Wishes::default() }
}

fn together(soft: bool) -> Wishes {
    Wishes { together: Some(Together { by: "RACK".to_owned(), soft }), ..Wishes::default() }
}

/// Hosts in these racks, so many VMs to be placed anywhere, then one that runs on each of `running`: all of role
/// "web" of group "shop", whose role wishes this.
fn asked(racks: &[&str], pending: usize, running: &[usize], wishes: Wishes) -> Snapshot {
    let mut asked = cloud(&vec![80; racks.len()]);
    for (host, rack) in asked.hosts.iter_mut().zip(racks) {
        if !rack.is_empty() {
            host.attributes.push(Section::Template, "RACK", rack);
        }
    }
    let everywhere: Vec<u32> = (0..racks.len() as u32).collect();
    (0..pending).for_each(|_| {
        ask(&mut asked, 1, &everywhere);
    });
    running.iter().for_each(|host| {
        let request = run(&mut asked, 1, *host, &everywhere);
        asked.vms[request].resched = true;
    });
    let role = Role {
        name: "web".to_owned(),
        policy: RolePolicy::None,
        vms: asked.vms.iter().map(|vm| vm.id).collect(),
        hosts_affined: Vec::new(),
        hosts_anti_affined: Vec::new(),
        wishes,
    };
    asked.groups.push(VmGroup {
        id: GroupId(3),
        name: "shop".to_owned(),
        roles: vec![role],
        affined: Vec::new(),
        anti_affined: Vec::new(),
        wishes: Wishes::default(),
        by_administrator: false,
    });
    asked
}

fn at(places: &[(i32, i32)]) -> Vec<Action> {
    places.iter().map(|(vm, host)| deploy(*vm, *host)).collect()
}

#[test]
fn no_domain_gets_more_than_its_share() {
    let told_of = |skew: u32, soft: bool, places: &[(i32, i32)]| {
        told(&asked(&["a", "a", "b"], 4, &[], spread(skew, soft)), &at(places))
    };
    let too_many = |vms: &[i32], is: u32, least: u32, skew: u32| -> Vec<String> {
        vms.iter()
            .map(|vm| {
                let more = format!("another {least}; {skew} more are allowed");
                format!("VM {vm}, failure domain: RACK a has {is} VMs of web, {more}")
            })
            .collect()
    };
    assert_eq!(told_of(1, false, &[]), NOTHING);
    assert_eq!(told_of(1, false, &[(0, 0)]), NOTHING);
    assert_eq!(told_of(1, false, &[(0, 0), (1, 1)]), too_many(&[0, 1], 2, 0, 1));
    assert_eq!(told_of(2, false, &[(0, 0), (1, 1)]), NOTHING);
    assert_eq!(told_of(1, false, &[(0, 0), (1, 1), (2, 2)]), NOTHING);
    assert_eq!(told_of(1, false, &[(0, 0), (1, 1), (2, 2), (3, 0)]), too_many(&[0, 1, 3], 3, 1, 1));
    assert_eq!(told_of(1, true, &[(0, 0), (1, 1)]), NOTHING, "as far as possible");
    // three that run are even more than the plan brings, and count
    let uneven = asked(&["a", "a", "b"], 1, &[0, 0, 1], spread(1, false));
    assert_eq!(told(&uneven, &at(&[(0, 0)])), too_many(&[0], 4, 0, 1));
    assert_eq!(told(&uneven, &at(&[(0, 2)])), NOTHING, "what was uneven before is nobody's breach");
    assert_eq!(told(&uneven, &[migrate(1, 1)]), NOTHING, "within its rack");
    assert_eq!(told(&uneven, &[migrate(1, 2)]), NOTHING);
}

#[test]
fn a_domain_counts_where_a_member_may_go() {
    let left = |change: &dyn Fn(&mut Snapshot)| {
        let mut asked = asked(&["a", "b"], 2, &[], spread(1, false));
        change(&mut asked);
        told(&asked, &at(&[(0, 0), (1, 0)])).len()
    };
    assert_eq!(left(&|_| ()), 2);
    assert_eq!(left(&|asked| asked.hosts[1].enabled = false), 0);
    assert_eq!(left(&|asked| asked.hosts[1].closed = true), 0);
    let offered = |asked: &mut Snapshot, requests: usize| {
        asked.candidates.iter_mut().take(requests).for_each(|one| one.hosts = [0].into());
    };
    assert_eq!(left(&|asked| offered(asked, 2)), 0, "oned offers it for none");
    assert_eq!(left(&|asked| offered(asked, 1)), 2, "oned offers it for one");
    // what oned offers for others says nothing
    let others = |asked: &mut Snapshot| {
        ask(asked, 1, &[1]);
        offered(asked, 2);
    };
    assert_eq!(left(&others), 0);
}

#[test]
fn a_host_that_tells_no_domain_takes_no_member_where_others_tell_one() {
    let places = [(0, 1)];
    let over = asked(&["a", ""], 1, &[], spread(1, false));
    assert_eq!(told(&over, &at(&places)), ["VM 0, failure domain: host 1 tells no RACK, over which web is spread"]);
    let by = asked(&["a", ""], 1, &[], together(false));
    assert_eq!(told(&by, &at(&places)), ["VM 0, failure domain: host 1 tells no RACK, by which web is kept together"]);
    // nobody tells any: there is nothing to go by
    for wishes in [spread(1, false), together(false)] {
        assert_eq!(told(&asked(&["", ""], 2, &[], wishes), &at(&[(0, 0), (1, 1)])), NOTHING);
    }
    // others are judged all the same
    let mut three = asked(&["a", "", "b"], 3, &[], spread(1, false));
    assert_eq!(told(&three, &at(&[(0, 1), (1, 0), (2, 0)])).len(), 3);
    three.groups[0].roles[0].wishes = together(false);
    assert_eq!(
        told(&three, &at(&[(0, 1), (1, 0), (2, 2)])),
        [
            "VM 0, failure domain: host 1 tells no RACK, by which web is kept together",
            "VM 2, failure domain: RACK b is not where the others of web are"
        ]
    );
}

#[test]
fn members_go_where_the_others_are_or_all_to_one_domain() {
    let apart = |vms: &[i32], rack: &str| -> Vec<String> {
        let line = |vm| format!("VM {vm}, failure domain: RACK {rack} is not where the others of web are");
        vms.iter().map(line).collect()
    };
    let racks = ["a", "a", "b"];
    let new = asked(&racks, 3, &[], together(false));
    assert_eq!(told(&new, &at(&[(0, 0), (1, 1)])), NOTHING);
    assert_eq!(told(&new, &at(&[(2, 2), (0, 0), (1, 1)])), apart(&[2], "b"));
    assert_eq!(told(&asked(&racks, 3, &[], together(true)), &at(&[(0, 0), (1, 2)])), NOTHING);
    let joins = asked(&racks, 2, &[0], together(false));
    assert_eq!(told(&joins, &at(&[(0, 1), (1, 0)])), NOTHING);
    assert_eq!(told(&joins, &at(&[(0, 2), (1, 2)])), apart(&[0, 1], "b"));
    // they are in two already: either will do, and who stays in its own is nobody's breach
    let two = asked(&racks, 1, &[0, 2, 2], together(false));
    assert_eq!(told(&two, &at(&[(0, 0)])), NOTHING);
    assert_eq!(told(&two, &at(&[(0, 2)])), NOTHING);
    let alone = asked(&racks, 0, &[0, 2, 2], together(false));
    assert_eq!(told(&alone, &[migrate(0, 1)]), NOTHING);
    assert_eq!(told(&alone, &[migrate(0, 2)]), NOTHING);
    assert_eq!(told(&alone, &[migrate(1, 0)]), NOTHING);
    let whole = asked(&racks, 0, &[2, 2], together(false));
    assert_eq!(told(&whole, &[migrate(0, 0)]), apart(&[0], "a"));
    assert_eq!(told(&whole, &[migrate(0, 0), migrate(1, 1)]), NOTHING, "all go");
}

#[test]
fn a_member_is_where_it_runs_where_a_host_lists_it_or_where_it_was_powered_off() {
    // VM 0 comes; VM 1 was last on host 2
    let meets = |change: &dyn Fn(&mut Snapshot)| {
        let mut asked = asked(&["a", "b", "c"], 1, &[2], together(false));
        change(&mut asked);
        (0..3).filter(|host| told(&asked, &at(&[(0, *host)])).is_empty()).collect::<Vec<i32>>()
    };
    let on_1 = |asked: &mut Snapshot| {
        asked.hosts[2].vms.clear();
        asked.hosts[1].vms = vec![VmId(1)];
    };
    assert_eq!(meets(&|_| ()), [2]);
    assert_eq!(meets(&|asked| on_1(asked)), [2], "where it runs");
    let state = |state: VmState| {
        move |asked: &mut Snapshot| {
            on_1(asked);
            asked.vms[1].state = state;
        }
    };
    assert_eq!(meets(&state(VmState::Parked)), [1]);
    assert_eq!(meets(&state(VmState::Other)), [1]);
    let unlisted = |state: VmState| {
        move |asked: &mut Snapshot| {
            asked.hosts[2].vms.clear();
            asked.vms[1].state = state;
        }
    };
    assert_eq!(meets(&unlisted(VmState::Active)), [2]);
    assert_eq!(meets(&unlisted(VmState::Parked)), [2]);
    assert_eq!(meets(&unlisted(VmState::Other)), [0, 1, 2], "nobody knows where it is");
    // the host that it runs on is not in the request
    assert_eq!(
        meets(&|asked| {
            on_1(asked);
            asked.vms[1].host = Some(HostId(9));
        }),
        [1]
    );
}

#[test]
fn a_group_speaks_of_all_its_vms_and_a_role_of_those_that_name_it_too() {
    let mut shop = asked(&["a", "b"], 3, &[], Wishes::default());
    shop.groups[0].roles[0].vms = vec![VmId(0)];
    let other = Role { name: "db".to_owned(), vms: vec![VmId(1)], ..shop.groups[0].roles[0].clone() };
    shop.groups[0].roles.push(other);
    let plan = at(&[(0, 0), (1, 1), (2, 1)]);
    let judged = |change: &dyn Fn(&mut Snapshot)| {
        let mut shop = shop.clone();
        change(&mut shop);
        told(&shop, &plan)
    };
    assert_eq!(judged(&|_| ()), NOTHING);
    assert_eq!(judged(&|shop| shop.groups[0].roles[0].wishes = together(false)), NOTHING);
    let of = |vm: i32, whom: &str| format!("VM {vm}, failure domain: RACK b is not where the others of {whom} are");
    assert_eq!(judged(&|shop| shop.groups[0].wishes = together(false)), [of(1, "shop")]);
    let names = |id: i32, role: &str| {
        let named = Some((GroupId(id), role.to_owned()));
        judged(&|shop| {
            shop.groups[0].roles[0].wishes = together(false);
            shop.vms[2].group = named.clone();
        })
    };
    assert_eq!(names(3, "web"), [of(2, "web")]);
    assert_eq!((names(4, "web"), names(3, "db")), (vec![], vec![]));
}
