//! `messages: brief`: tenants are told the kind of reason and what they can do, and nothing of hosts, datastores
//! or VMs of others; the operator is told all.

use crate::support::cluster::{cluster, resident};
use crate::support::front_end::FrontEnd;
use crate::support::request::{Host, Request, Vm, datastore, group, host, request, running, vm, vnet};
use crate::support::server::{ScriptedOned, Service, eventually, hosts, pending};
use oneaio::model::policy::Policy;

/// Hosts of these tests have names and ids that nothing else has: node71, node72, ...
const HOSTS: [i32; 2] = [71, 72];

const NODE: &str = "<NUMA_NODES><NODE><NODE_ID>0</NODE_ID><CORE><ID>0</ID><CPUS>0:-1,1:-1</CPUS></CORE>\
                    <MEMORY><TOTAL>4194304</TOTAL><USAGE>0</USAGE></MEMORY></NODE></NUMA_NODES>";
const DEVICE: &str = "<PCI_DEVICES><PCI><ADDRESS>a</ADDRESS><VENDOR>10de</VENDOR><VMID>-1</VMID></PCI></PCI_DEVICES>";

fn one() -> Vm {
    vm(1, &HOSTS)
}

fn on(hosts: [Host; 2], vms: &[Vm]) -> Request {
    Request { hosts: hosts.into(), ..request(&[], vms) }
}

fn plain(vms: &[Vm]) -> Request {
    on([host(71), host(72)], vms)
}

fn pinned(cpus: i32) -> Vm {
    one().template(&format!(
        "<TOPOLOGY><PIN_POLICY>THREAD</PIN_POLICY></TOPOLOGY><NUMA_NODE><TOTAL_CPUS>{cpus}</TOTAL_CPUS>\
         <MEMORY>1024</MEMORY></NUMA_NODE>"
    ))
}

fn numa(vms: &[Vm]) -> Request {
    on([71, 72].map(|id| host(id).template("PIN_POLICY", "PINNED").share(NODE)), vms)
}

fn full() -> Request {
    on([71, 72].map(|id| host(id).cpu(800, 750)), &[one()])
}

/// What is asked, of which VM, what its owner is told, and a word of what the operator is told.
type Case = (&'static str, Request, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let members = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let in_group = |id: i32, role: &str| vm(id, &HOSTS).group(9, role);
    let far = |xml: Request, id: i32| xml.datastore(datastore(id, 1, &[44], 900_000, ""));
    vec![
        ("CPU, for ever", plain(&[one().cpu("9")]), "more CPU than any host that it may use has:", "node71"),
        ("memory, for ever", plain(&[one().memory(70_000)]), "more memory than any host", "node71"),
        ("CPU, now", full(), "more CPU than hosts that it may use have free now", "node71"),
        (
            "memory, now",
            on([71, 72].map(|id| host(id).memory(16 << 20, 16 << 20)), &[one()]),
            "more memory than hosts that it may use have free now",
            "node71",
        ),
        ("state", on([71, 72].map(|id| host(id).cpu(-200, 0)), &[one()]), "may go to no host now", "RESERVED_CPU"),
        ("pinning", plain(&[pinned(1)]), "PIN_POLICY", "PIN_POLICY"),
        ("NUMA, for ever", numa(&[pinned(4)]), "use more, smaller virtual nodes", "node71"),
        (
            "NUMA, now",
            on(
                [71, 72].map(|id| {
                    host(id).template("PIN_POLICY", "PINNED").share(&NODE.replace("0:-1,1:-1", "0:801,1:-1"))
                }),
                &[pinned(2)],
            ),
            "NUMA",
            "node71",
        ),
        ("no device", plain(&[one().template("<PCI><VENDOR>10de</VENDOR></PCI>")]), "PCI device", "PCI"),
        (
            "no free device",
            on(
                [71, 72].map(|id| host(id).share(&DEVICE.replace("-1", "802"))),
                &[one().template("<PCI><VENDOR>10de</VENDOR></PCI>")],
            ),
            "PCI device",
            "802",
        ),
        (
            "system datastore",
            plain(&[one().datastores(&[81]).disk(50_000, "SYSTEM", 82)]).datastore(datastore(81, 1, &[0], 777, "")),
            "more disk than datastores that it may use have free",
            "datastore 81",
        ),
        (
            "local system datastore",
            on(
                [71, 72]
                    .map(|id| host(id).share("<DATASTORES><DS><ID>81</ID><FREE_MB>777</FREE_MB></DS></DATASTORES>")),
                &[one().datastores(&[81]).disk(50_000, "SYSTEM", 82)],
            )
            .datastore(datastore(81, 1, &[0], 0, "<SHARED>NO</SHARED>")),
            "more disk than datastores that it may use have free",
            "datastore 81",
        ),
        (
            "image datastore",
            plain(&[one().disk(50_000, "SELF", 82)]).datastore(datastore(82, 0, &[0], 777, "")),
            "more disk than datastores that it may use have free",
            "image datastore 82",
        ),
        (
            "no datastore",
            far(plain(&[one().datastores(&[81])]), 81),
            "no system datastore that serves its hosts",
            "datastore",
        ),
        (
            "another datastore",
            plain(&[one().datastores(&[0]).resched(73, 83).datastores(&[0])]),
            "no system datastore that serves its hosts",
            "datastore 83",
        ),
        (
            "no network",
            plain(&[one().auto_nic(0, &[91])]).vnet(vnet(91, &[44], &[10], 0)),
            "no network that serves its hosts",
            "NIC 0",
        ),
        (
            "no lease",
            plain(&[one().auto_nic(0, &[91])]).vnet(vnet(91, &[0], &[10], 10)),
            "no free address in the networks",
            "network 91",
        ),
        (
            "one network for two NICs",
            plain(&[one().auto_nic(0, &[91]).auto_nic(1, &[91])]).vnet(vnet(91, &[0], &[10], 0)),
            "no free address in the networks",
            "2 auto NICs",
        ),
        (
            "a role's hosts",
            plain(&[in_group(1, "web")]).group(group(
                9,
                &[("web", "NONE", "1", "<HOST_AFFINED>79</HOST_AFFINED>")],
                "",
            )),
            "host rules of its role",
            "role",
        ),
        (
            "apart",
            on(
                [host(71).vms(&[801]), host(72).vms(&[802])],
                &[in_group(1, "web"), running(801, 71).group(9, "web"), running(802, 72).group(9, "web")],
            )
            .group(group(9, &[("web", "ANTI_AFFINED", &members(&[1, 801, 802]), "")], "")),
            "must be apart from",
            "VM 801",
        ),
        (
            "together",
            request(
                &[host(71), host(72), host(73).vms(&[801])],
                &[in_group(1, "web"), running(801, 73).group(9, "web")],
            )
            .group(group(9, &[("web", "AFFINED", &members(&[1, 801]), "")], "")),
            "must join its affined VMs",
            "VM 801 on host 73",
        ),
        (
            "failure domain",
            request(
                &[
                    host(71).template("RACK", "r1"),
                    host(72).template("RACK", "r2"),
                    host(73).vms(&[801]).template("RACK", "r9"),
                ],
                &[in_group(1, "web"), running(801, 73).group(9, "web")],
            )
            .group(group(9, &[("web", "NONE", "1,801", "")], "<ONEAIO_TOGETHER>RACK</ONEAIO_TOGETHER>")),
            "is kept from every host by spread or togetherness",
            "r9",
        ),
        (
            "its CURRENT_VMS",
            on(
                [host(71).vms(&[801]), host(72).vms(&[801])],
                &[one().user("SCHED_REQUIREMENTS", "CURRENT_VMS = 802"), running(801, 71)],
            ),
            "requirements with CURRENT_VMS",
            "CURRENT_VMS = 802",
        ),
        ("no host", request(&[host(71)], &[vm(1, &[])]), "is offered no host now", "no host"),
        (
            "locked",
            plain(&[Vm { more: "<LOCK><LOCKED>1</LOCKED></LOCK>".to_owned(), ..one() }]),
            "is locked",
            "is locked",
        ),
        ("its own template", plain(&[one().cpu("much")]), "TEMPLATE/CPU is \"much\"", "TEMPLATE/CPU is \"much\""),
        (
            "its affined set",
            plain(&[in_group(1, "web"), in_group(2, "web").cpu("much")]).group(group(
                9,
                &[("web", "AFFINED", "1,2", "")],
                "",
            )),
            "waits for another VM of its affined set",
            "VM 2",
        ),
        (
            "its affined set, for ever",
            plain(&[in_group(1, "web").cpu("5"), in_group(2, "web").cpu("5")]).group(group(
                9,
                &[("web", "AFFINED", "1,2", "")],
                "",
            )),
            "with its affined set needs more CPU than any host",
            "10 cores",
        ),
    ]
}

#[test]
fn nothing_of_a_host_leaks_whatever_the_reason() {
    for (what, request, told, whole) in cases() {
        let decision = request.decide();
        let refusals = &decision.0.planned.report.refusals;
        let refusal = refusals.iter().find(|refusal| refusal.vm.0 == 1);
        let refusal = refusal.unwrap_or_else(|| panic!("{what}: it does not wait"));
        let brief = refusal.in_brief();
        assert!(brief.contains(told), "{what}: {brief}");
        assert!(refusal.text.contains(whole), "{what}: {}", refusal.text);
        if !matches!(what, "locked" | "its own template") {
            assert!(!brief.contains(|c: char| c.is_ascii_digit()), "{what}: {brief}");
            assert_ne!(brief, refusal.text, "{what}");
        }
    }
    let quota = Policy { max_per_host: Some(1), ..Policy::default() };
    let three = request(&[host(71), host(72)], &[vm(1, &HOSTS), vm(2, &HOSTS), vm(3, &HOSTS)]);
    let decision = three.decide_with(&quota);
    let refusals = &decision.0.planned.report.refusals;
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].in_brief().contains("taken by this batch"), "{}", refusals[0].in_brief());
}

/// Lines about VMs, and all others.
fn lines(said: &str) -> (Vec<&str>, Vec<&str>) {
    said.lines().partition(|line| {
        let text = line.split_once(": ").map_or("", |(_, text)| text);
        text.starts_with(|c: char| c.is_ascii_digit())
    })
}

#[test]
fn lines_about_vms_say_nothing_of_hosts_and_the_log_says_all() {
    let request = on(
        [host(71).cpu(800, 555), host(72).cpu(800, 555)],
        &[
            vm(1, &HOSTS).cpu("2"),
            vm(2, &HOSTS).cpu("2"),
            vm(3, &HOSTS).cpu("2").user("SCHED_RANK", "1 / (CPU_USAGE - 555)"),
            vm(4, &HOSTS).cpu("2"),
        ],
    )
    .xml();
    let place = |messages: &str| {
        let front_end = FrontEnd::new(&format!("messages: {messages}\nhistory:\n  store: none\n"));
        let ran = front_end.run(&["place"], &request);
        assert_eq!(ran.status, Some(0), "{}", ran.said);
        (ran, front_end.decisions())
    };
    let (full, _) = place("full");
    assert!(lines(&full.said).0.iter().any(|line| line.contains("node7")), "{}", full.said);
    let (brief, decisions) = place("brief");
    assert_eq!(brief.out, full.out, "the plan is the same");
    let (of_vms, others) = lines(&brief.said);
    let kind = |level: &str| of_vms.iter().filter(|line| line.starts_with(level)).count();
    assert_eq!((kind("ERROR"), kind("INFO"), kind("WARN")), (2, 2, 0), "{}", brief.said);
    for line in &of_vms {
        let (_, text) = line.split_once(": ").unwrap();
        let (_, text) = text.split_once(' ').unwrap();
        assert!(!text.contains(|c: char| c.is_ascii_digit()) && !text.contains("node"), "{line}");
    }
    let others = others.join("\n");
    assert!(others.contains("waiting: needs 2 cores; the best of 2 candidate hosts (host 71, node71) has"), "{others}");
    assert!(others.contains("goes to host 7") && others.contains("divides by zero"), "{others}");
    assert!(decisions[0]["waiting"][0]["text"].as_str().unwrap().contains("node71"), "{decisions:?}");
}

#[test]
fn migrations_are_told_in_brief_too() {
    let residents: Vec<_> = (0..8).map(|id| resident(id, 1, "1", 90.0)).collect();
    let request = cluster(3, &residents).request().xml();
    let front_end = FrontEnd::new("messages: brief\nlog: debug\nhistory:\n  store: none\n");
    let ran = front_end.run(&["optimize", "5"], &request);
    assert!(ran.out.contains("<ACTION>"), "{}", ran.said);
    let (of_vms, others) = lines(&ran.said);
    assert!(
        !of_vms.is_empty() && of_vms.iter().all(|line| !line.contains("host ") && !line.contains("D 0")),
        "{of_vms:?}"
    );
    assert!(others.join("\n").contains("moves from host 1 to host"), "{}", ran.said);
}

#[test]
fn clients_of_the_service_are_told_in_brief_and_its_log_says_all() {
    let folder = tempfile::tempdir().unwrap();
    let body =
        "{\"VMS\":[{\"ID\":5,\"STATE\":\"PENDING\",\"HOST_IDS\":[71],\"CAPACITY\":{\"CPU\":64,\"MEMORY\":1024}}]}";
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", hosts(&[(71, 8, 0, "NO", &[])])),
        ("one.vmpool.infoextended", pending(&[])),
    ]);
    let service = Service::start(folder.path(), Some(&oned), &["messages=brief"]);
    eventually("ready", || service.get("/readyz").0 == 200);
    let (status, answer) = service.post("/", body);
    assert_eq!(status, 200, "{answer}");
    let told = answer["WAITING"][0]["error"].as_str().unwrap();
    assert!(told.starts_with("VM 5 needs more CPU than any host that it may use has"), "{answer}");
    eventually("told", || service.log().contains("vm=5 waits: needs 64 cores"));
}
