//! Answers in the form in which oned writes them: numbers in CDATA, forecasts beside what was
//! measured, attributes that nobody here asks for. The recorded ones of `../shared` are more;
//! these say which number is which.

use crate::support::oned::{client, http, raw, serve, success};
use crate::support::server::{self, ScriptedOned, Service};
use oneaio::model::sample::Counters;
use oneaio::oned::Window;

/// NAME with its forecasts, as oned writes them.
fn measured(name: &str, value: &str) -> String {
    let forecast = "1234567.89";
    format!(
        "<{name}><![CDATA[{value}]]></{name}><{name}_FORECAST><![CDATA[{forecast}]]></{name}_FORECAST>\
         <{name}_FORECAST_FAR><![CDATA[{forecast}]]></{name}_FORECAST_FAR>"
    )
}

/// A counter and its bandwidth.
fn counted(name: &str, value: &str) -> String {
    format!("<{name}><![CDATA[{value}]]></{name}>{}", measured(&format!("{name}_BW"), "777.00"))
}

fn vm_sample() -> String {
    let all = [
        measured("CPU", "49.36"),
        counted("DISKRDBYTES", "2576349"),
        counted("DISKRDIOPS", "628"),
        counted("DISKWRBYTES", "16066331"),
        counted("DISKWRIOPS", "3922"),
        "<ID><![CDATA[9]]></ID>".to_owned(),
        measured("MEMORY", "569012"),
        counted("NETRX", "128502"),
        counted("NETTX", "9325627"),
        "<TIMESTAMP><![CDATA[1795443968]]></TIMESTAMP>".to_owned(),
    ];
    format!("<MONITORING_DATA><MONITORING>{}</MONITORING></MONITORING_DATA>", all.concat())
}

fn host_sample() -> String {
    let capacity = ["FREE_CPU", "FREE_MEMORY"].map(|name| measured(name, "6.6e+07")).concat()
        + &measured("USED_CPU", "28")
        + &measured("USED_MEMORY", "1033470");
    let system = counted("NETRX", "693169636293") + &counted("NETTX", "795446424195");
    format!(
        "<MONITORING_DATA><MONITORING><TIMESTAMP>1795446424</TIMESTAMP><ID>713</ID><CAPACITY>{capacity}</CAPACITY>\
         <SYSTEM>{system}</SYSTEM></MONITORING></MONITORING_DATA>"
    )
}

#[test]
fn of_a_sample_the_counters_count_and_not_what_is_foreseen() {
    let (address, _requests) = serve([vm_sample(), host_sample()].map(|data| raw(http("200 OK", &success(&data)))));
    let client = client(address);
    let mut found = Vec::new();
    assert_eq!(client.vm_monitoring(Window::Last, &mut |counters: Counters| found.push(counters)).unwrap(), 0);
    assert_eq!(client.host_monitoring(Window::Last, &mut |counters: Counters| found.push(counters)).unwrap(), 0);
    let vm = Counters {
        id: 9,
        at: 1_795_443_968,
        cpu: Some(49.36),
        memory: Some(569_012.0),
        disk: Some(2_576_349.0 + 16_066_331.0),
        net: Some(128_502.0 + 9_325_627.0),
    };
    let host = Counters {
        id: 713,
        at: 1_795_446_424,
        cpu: Some(28.0),
        memory: Some(1_033_470.0),
        disk: None,
        net: Some(693_169_636_293.0 + 795_446_424_195.0),
    };
    assert_eq!(found, [vm, host]);
}

#[test]
fn of_a_vm_its_size_image_template_and_state_are_told() {
    let vm = "<VM_POOL><VM><ID>1707</ID><UID>4</UID><GID>0</GID><UNAME>oneadmin</UNAME><NAME>x-vm25</NAME>\
              <PERMISSIONS><OWNER_U>1</OWNER_U></PERMISSIONS><LAST_POLL>0</LAST_POLL><STATE>2</STATE>\
              <LCM_STATE>0</LCM_STATE><DEPLOY_ID></DEPLOY_ID><MONITORING></MONITORING><TEMPLATE>\
              <AUTOMATIC_REQUIREMENTS><![CDATA[(CLUSTER_ID = 122) & !(PIN_POLICY = PINNED)]]></AUTOMATIC_REQUIREMENTS>\
              <CPU><![CDATA[0.1]]></CPU><DISK><DISK_ID><![CDATA[0]]></DISK_ID><IMAGE_ID><![CDATA[5]]></IMAGE_ID>\
              <SIZE><![CDATA[2048]]></SIZE></DISK><DISK><IMAGE_ID><![CDATA[6]]></IMAGE_ID></DISK>\
              <MEMORY><![CDATA[256]]></MEMORY><TEMPLATE_ID><![CDATA[31]]></TEMPLATE_ID></TEMPLATE>\
              <USER_TEMPLATE><FLAVOURS><![CDATA[nginx, postgres]]></FLAVOURS></USER_TEMPLATE></VM>\
              <VM><NAME>of nobody</NAME></VM></VM_POOL>";
    let (address, _requests) = serve([raw(http("200 OK", &success(vm)))]);
    let mut found = Vec::new();
    let skipped = client(address).vm_identities(&mut |id, identity, state| found.push((id, identity, state))).unwrap();
    assert_eq!((skipped, found.len()), (1, 1));
    let (id, identity, state) = &found[0];
    assert_eq!((id.0, *state), (1707, 2));
    assert_eq!((identity.name.as_str(), identity.flavours.as_str()), ("x-vm25", "nginx, postgres"));
    // the first image counts; CPU in percent of a core, memory in KiB
    assert_eq!((identity.template, identity.image, identity.owner), (Some(31), Some(5), Some(4)));
    assert_eq!((identity.cpu, identity.memory), (10, 256 * 1024));
}

fn host(id: i32, state: i32, cpu_usage: i32, pin_policy: &str) -> String {
    format!(
        "<HOST><ID>{id}</ID><NAME>x-h{id}</NAME><STATE>{state}</STATE><PREV_STATE>2</PREV_STATE>\
         <IM_MAD><![CDATA[dummy]]></IM_MAD><CLUSTER_ID>123</CLUSTER_ID><CLUSTER>x-west</CLUSTER><HOST_SHARE>\
         <MEM_USAGE>4194304</MEM_USAGE><CPU_USAGE>{cpu_usage}</CPU_USAGE><TOTAL_MEM>33554432</TOTAL_MEM>\
         <TOTAL_CPU>1600</TOTAL_CPU><MAX_MEM>33554432</MAX_MEM><MAX_CPU>1600</MAX_CPU><RUNNING_VMS>1</RUNNING_VMS>\
         <VMS_THREAD>1</VMS_THREAD><DATASTORES><FREE_DISK><![CDATA[195080]]></FREE_DISK></DATASTORES>\
         <PCI_DEVICES></PCI_DEVICES><NUMA_NODES></NUMA_NODES></HOST_SHARE><VMS><ID>3</ID></VMS><TEMPLATE>\
         <HYPERVISOR><![CDATA[kvm]]></HYPERVISOR><PIN_POLICY><![CDATA[{pin_policy}]]></PIN_POLICY></TEMPLATE>\
         <MONITORING></MONITORING></HOST>"
    )
}

#[test]
fn the_service_places_by_what_oned_tells_of_hosts_and_pending_vms() {
    let hosts = [
        host(713, 2, 1600, "NONE"), // full
        host(714, 2, 0, "PINNED"),  // for pinned VMs only
        host(715, 4, 0, "NONE"),    // disabled when oned was looked at
        host(716, 2, 1400, "NONE"), // two cores are left
    ];
    let pending = "<VM_POOL><VM><ID>1701</ID><UID>0</UID><NAME>x-vm1</NAME><STATE>1</STATE><LCM_STATE>0</LCM_STATE>\
                   <TEMPLATE><CPU><![CDATA[1.5]]></CPU><MEMORY><![CDATA[512]]></MEMORY></TEMPLATE><USER_TEMPLATE/></VM>\
                   <VM><ID>1702</ID><UID>0</UID><NAME>x-vm2</NAME><STATE>1</STATE><LCM_STATE>0</LCM_STATE><TEMPLATE>\
                   <CPU><![CDATA[2.5]]></CPU><MEMORY><![CDATA[512]]></MEMORY></TEMPLATE><USER_TEMPLATE/></VM></VM_POOL>";
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", server::success(&format!("<HOST_POOL>{}</HOST_POOL>", hosts.concat()))),
        ("one.hostpool.monitoring", server::success(&host_sample())),
        ("one.vmpool.infoextended", server::success(pending)),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), Some(&oned), &["log=debug"]);
    let ask = |vm: i32, hosts: &str| service.post("/api/place", format!("{{\"ID\":{vm},\"HOST_IDS\":[{hosts}]}}"));
    let (status, answer) = ask(1702, "713,714,716");
    assert_eq!(status, 409, "2.5 cores fit nowhere: {answer}");
    assert_eq!(ask(1701, "713,714,716"), (200, serde_json::json!({ "ID": 1701, "HOST_ID": 716 })));
    // whoever offers a disabled host has looked later
    assert_eq!(ask(1702, "713,715").1["HOST_ID"], 715);
    let log = service.log();
    assert!(log.contains("looked at oned: 4 hosts") && log.contains(" 0 unreadable"), "{log}");
}
