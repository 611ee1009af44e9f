use super::*;
use crate::model::wish::{Spread, Together};

type Read<T> = fn(&mut Walker<'_>) -> Result<(Option<i32>, T, Odd), XmlError>;

fn of<T>(read: Read<T>, inside: &str) -> (Option<i32>, T, Odd) {
    let xml = format!("<X>{inside}</X>");
    let (mut walker, _) = Walker::open(&xml).unwrap();
    read(&mut walker).unwrap()
}

#[test]
fn a_datastore_is_read_value_by_value() {
    let (id, store, odd) = of(
        datastore,
        "<ID>100</ID><NAME>ssd</NAME><TYPE>1</TYPE><TM_MAD>ceph</TM_MAD><CLUSTERS><ID>5</ID><ID>0</ID><ID>5</ID>\
         </CLUSTERS><TOTAL_MB>100</TOTAL_MB><FREE_MB>70</FREE_MB><USED_MB>30</USED_MB><TEMPLATE><DS_MIGRATE>yes</DS_MIGRATE>\
         <DS_LIVE_MIGRATE>YES</DS_LIVE_MIGRATE><RACK>r1</RACK></TEMPLATE>",
    );
    assert_eq!(
        (id, store.id, store.name.as_str(), store.driver.as_str()),
        (Some(100), DatastoreId(100), "ssd", "ceph")
    );
    assert_eq!((store.free, store.total, store.clusters), (Disk(70), Disk(100), vec![ClusterId(0), ClusterId(5)]));
    assert!(store.system && store.shared && store.moves_live && odd.fatal.is_none() && odd.remarks.is_empty());
    assert_eq!(store.attributes.first_in(Section::Template, "RACK"), Some("r1"));
    assert_eq!(store.attributes.first_in(Section::Object, "TM_MAD"), Some("ceph"));
    let template = |text: &str| of(datastore, &format!("<ID>1</ID><TEMPLATE>{text}</TEMPLATE>")).1;
    // both have to say so
    assert!(!template("<DS_MIGRATE>YES</DS_MIGRATE>").moves_live);
    assert!(!template("<DS_LIVE_MIGRATE>YES</DS_LIVE_MIGRATE>").moves_live);
    let shared = |text: &str| template(&format!("<SHARED>{text}</SHARED>")).shared;
    assert_eq!(["YES", "NO", "x", ""].map(shared), [true, false, false, true]);
    let kind = |text: &str| of(datastore, &format!("<ID>1</ID><TYPE>{text}</TYPE>")).1.system;
    assert_eq!(["0", "1", "2", ""].map(kind), [false, true, false, false]);
    let (id, store, odd) = of(datastore, "<ID>x</ID><FREE_MB>much</FREE_MB>");
    assert_eq!((id, store.id), (None, DatastoreId(-1)));
    assert_eq!(odd.fatal.unwrap(), "FREE_MB is \"much\", not a usable number");
}

#[test]
fn a_network_has_the_leases_that_its_ranges_leave() {
    let ranges = |sizes: &[&str], used: &str| {
        let ranges: String = sizes.iter().map(|size| format!("<AR><SIZE>{size}</SIZE></AR>")).collect();
        let (_, net, odd) = of(
            vnet,
            &format!(
                "<ID>7</ID><NAME>n</NAME><USED_LEASES>{used}</USED_LEASES><AR_POOL>{ranges}</AR_POOL><CLUSTERS><ID>3</ID>\
                 </CLUSTERS><TEMPLATE><VLAN>5</VLAN></TEMPLATE>"
            ),
        );
        assert_eq!((net.id, net.name.as_str(), net.clusters), (VnetId(7), "n", vec![ClusterId(3)]));
        assert_eq!(net.attributes.first_in(Section::Template, "VLAN"), Some("5"));
        (net.free_leases, odd.fatal, odd.remarks)
    };
    assert_eq!(ranges(&["10", "5"], "4"), (11, None, vec![]));
    assert_eq!(ranges(&["10", "-5"], ""), (10, None, vec![]));
    assert_eq!(ranges(&["1"], "4"), (-3, None, vec![]));
    let told = "USED_LEASES is -4, below zero; it counts as 0".to_owned();
    assert_eq!(ranges(&["1"], "-4"), (1, None, vec![told]));
    assert_eq!(ranges(&["x"], "").1.unwrap(), "AR/SIZE is \"x\", not a usable number");
}

fn role(name: &str, more: &str) -> String {
    format!("<ROLE><NAME>{name}</NAME>{more}</ROLE>")
}

fn group(roles: &[String], more: &str) -> (VmGroup, Odd) {
    let (_, group, odd) = of(vm_group, &format!("<ID>4</ID><NAME>g</NAME><ROLES>{}</ROLES>{more}", roles.concat()));
    (group, odd)
}

#[test]
fn roles_are_read_by_name_with_their_hosts_and_vms() {
    let web = role("web", "<POLICY>affined</POLICY><VMS>3,1,3</VMS><HOST_AFFINED>9, 8</HOST_AFFINED>");
    let db = role("db", "<POLICY>ANTI_AFFINED</POLICY><HOST_ANTI_AFFINED>2</HOST_ANTI_AFFINED>");
    let (found, odd) = group(&[web, db, role("x", "<POLICY>other</POLICY>")], "<OTHER>1</OTHER>");
    assert!(odd.fatal.is_none() && odd.remarks.is_empty(), "{odd:?}");
    assert_eq!((found.id, found.name.as_str(), found.by_administrator), (GroupId(4), "g", false));
    let told: Vec<_> = found.roles.iter().map(|role| (role.name.as_str(), role.policy)).collect();
    let expected = [("db", RolePolicy::AntiAffined), ("web", RolePolicy::Affined), ("x", RolePolicy::None)];
    assert_eq!(told, expected);
    let (db, web) = (&found.roles[0], &found.roles[1]);
    assert_eq!((&web.vms, &web.hosts_affined), (&vec![VmId(1), VmId(3)], &vec![HostId(8), HostId(9)]));
    assert_eq!((&db.hosts_anti_affined, db.hosts_affined.len(), db.vms.len()), (&vec![HostId(2)], 0, 0));
    // a list that nobody can read allows no host, rather than all
    let (found, odd) = group(&[role("a", "<HOST_AFFINED>all</HOST_AFFINED><VMS>1,,x</VMS>")], "");
    assert_eq!((&found.roles[0].hosts_affined, &found.roles[0].vms), (&vec![HostId(-1)], &vec![VmId(1)]));
    let passed = |name: &str, text: &str| {
        format!("{name} of role \"a\" is {text:?}: not all of it are ids; the others are passed over")
    };
    assert_eq!(odd.remarks, [passed("VMS", "1,,x"), passed("HOST_AFFINED", "all")]);
    let twice = group(&[role("a", ""), role("b", ""), role("a", "")], "").1;
    assert_eq!(twice.fatal.unwrap(), "two of its roles have one name");
}

#[test]
fn rules_between_roles_name_them_by_their_place() {
    let roles = ["a", "b", "c"].map(|name| role(name, ""));
    let of = |rules: &str| {
        let (found, odd) = group(&roles, &format!("<TEMPLATE>{rules}<OTHER>x</OTHER></TEMPLATE>"));
        (found.affined, found.anti_affined, odd.remarks)
    };
    let (affined, anti, told) =
        of("<AFFINED>c, a,c</AFFINED><AFFINED>a,b</AFFINED><AFFINED>b , a</AFFINED><AFFINED> , </AFFINED>\
         <ANTI_AFFINED>b,c</ANTI_AFFINED>");
    assert_eq!((affined, anti, told), (vec![vec![0, 1], vec![0, 2]], vec![vec![1, 2]], vec![]));
    let (affined, anti, told) = of("<AFFINED>a,x</AFFINED><ANTI_AFFINED>y</ANTI_AFFINED>");
    let ignored =
        |kind: &str, rule: &str| format!("{kind} rule {rule:?} names an unknown role and is ignored, as oned does");
    assert_eq!((affined.len(), anti.len()), (0, 0));
    assert_eq!(told, [ignored("AFFINED", "a,x"), ignored("ANTI_AFFINED", "y")]);
}

#[test]
fn a_group_is_an_administrators_by_its_user_or_group() {
    let of = |uid: &str, gid: &str| group(&[], &format!("<UID>{uid}</UID><GID>{gid}</GID>")).0.by_administrator;
    let told = [of("0", "1"), of("1", "0"), of("0", "0"), of("1", "1"), of("x", "")];
    assert_eq!(told, [true, true, true, false, false]);
}

#[test]
fn wishes_are_those_of_the_group_and_of_each_role() {
    let spread = |by: &str, skew, soft| Some(Spread { by: by.to_owned(), skew, soft });
    let together = |by: &str, soft| Some(Together { by: by.to_owned(), soft });
    let web = "<ONEAIO_SPREAD>rack</ONEAIO_SPREAD><ONEAIO_SPREAD_SKEW>3</ONEAIO_SPREAD_SKEW>\
               <ONEAIO_SPREAD_SOFT>yes</ONEAIO_SPREAD_SOFT><ONEAIO_STAY>YES</ONEAIO_STAY>";
    let (found, odd) = group(
        &[role("web", web)],
        "<TEMPLATE><oneaio_together>ROOM</oneaio_together><ONEAIO_TOGETHER_SOFT>Yes</ONEAIO_TOGETHER_SOFT>\
         <ONEAIO_YIELD>yes</ONEAIO_YIELD><ONEAIO_PRIORITY>7</ONEAIO_PRIORITY><ONEAIO_PRIORITY>8</ONEAIO_PRIORITY></TEMPLATE>",
    );
    assert!(odd.remarks.is_empty(), "{odd:?}");
    let (whole, role) = (&found.wishes, &found.roles[0].wishes);
    assert_eq!((&whole.together, &whole.spread), (&together("ROOM", true), &None));
    assert_eq!((whole.priority, whole.yields, whole.stay), (7, true, false));
    assert_eq!((&role.spread, &role.together), (&spread("RACK", 3, true), &None));
    assert_eq!((role.stay, role.yields, role.priority), (true, false, 0));
}

#[test]
fn wishes_that_cannot_be_read_are_told_by_whose_they_are() {
    let of = |name: &str, text: &str| {
        let wish = format!("<{name}>{text}</{name}>");
        let (found, odd) = group(&[role("web", &format!("<ONEAIO_SPREAD>RACK</ONEAIO_SPREAD>{wish}"))], "");
        (found.roles[0].wishes.clone(), odd.remarks)
    };
    let skew = |text: &str| {
        let (wishes, told) = of("ONEAIO_SPREAD_SKEW", text);
        (wishes.spread.unwrap().skew, told.len())
    };
    assert_eq!((skew("1"), skew("5"), skew(" ")), ((1, 0), (5, 0), (1, 0)));
    assert_eq!((skew("0"), skew("-1"), skew("x")), ((1, 1), (1, 1), (1, 1)));
    assert_eq!(
        of("ONEAIO_SPREAD_SKEW", "0").1,
        ["ONEAIO_SPREAD_SKEW of role \"web\" is \"0\"; it must be a whole number from 1, and counts as 1"]
    );
    let (wishes, told) = of("ONEAIO_STAY", "maybe");
    assert!(!wishes.stay);
    assert_eq!(told, ["ONEAIO_STAY of role \"web\" is \"maybe\"; it must be YES or NO, and counts as NO"]);
    assert_eq!((of("ONEAIO_STAY", "no").1.len(), of("ONEAIO_STAY", " yes ").0.stay), (0, true));
    let attribute = |text: &str| {
        let (wishes, told) = of("ONEAIO_TOGETHER", text);
        (wishes.together.map(|together| together.by), told.len())
    };
    assert_eq!((attribute(" room_1 "), attribute("")), ((Some("ROOM_1".to_owned()), 0), (None, 0)));
    assert_eq!((attribute("a b"), attribute("a-b")), ((None, 1), (None, 1)));
    let long = "x".repeat(64);
    assert_eq!((attribute(&long), attribute(&format!("{long}x"))), ((Some(long.to_uppercase()), 0), (None, 1)));
    let priority = |text: &str| {
        let (wishes, told) = of("ONEAIO_PRIORITY", text);
        (wishes.priority, told.len())
    };
    assert_eq!((priority("100"), priority("0"), priority(" ")), ((100, 0), (0, 0), (0, 0)));
    assert_eq!((priority("101"), priority("-1")), ((0, 1), (0, 1)));
    let likings = |text: &str| {
        let (wishes, told) = of("ONEAIO_AVOID", text);
        (wishes.likings.iter().map(|liking| liking.weight).collect::<Vec<_>>(), told.len())
    };
    assert_eq!(likings("3, RACK=r1:2.5, 4 : 1000, 5:0"), (vec![-1.0, -2.5, -1000.0, 0.0], 0));
    assert_eq!(likings("3:-1, RACK=, =r1, x, 4:1000.5, 5:y"), (vec![], 6));
}
