use super::*;

fn one(vm: &str) -> Asked {
    let batch = read(format!("{{\"VMS\":[{vm}]}}").as_bytes()).expect(vm);
    batch.vms.into_iter().next().expect("one")
}

#[test]
fn the_documented_request_is_read() {
    let asked = one(
        r#"{"ID":32,"STATE":"PENDING","HOST_IDS":[5,3,4,3],"CAPACITY":{"CPU":1.5,"MEMORY":131072,"DISK_SIZE":1024},
            "VM_ATTRIBUTES":{"FLAVOURS":"nginx"}}"#,
    );
    let hosts = vec![HostId(3), HostId(4), HostId(5)];
    let capacity = Some((Cpu(150), Memory(131_072)));
    assert_eq!(asked, Asked { vm: VmId(32), hosts, capacity, current: None, flavours: "nginx".to_owned() });
}

#[test]
fn all_forms_that_mm_sched_is_known_to_send_are_read() {
    assert_eq!(read(br#"{"VMS":null}"#), Ok(Batch::default()));
    assert_eq!(read(br#"{"VMS":[],"MORE":{"x":[1]}}"#), Ok(Batch::default()));
    let moved = one(r#"{"ID":1,"HOST_IDS":[2],"HOST_ID":7,"STATE":"RUNNING","VM_ATTRIBUTES":null}"#);
    assert_eq!((moved.current, moved.capacity), (Some(HostId(7)), None));
    assert_eq!(one(r#"{"ID":1,"HOST_IDS":[2],"HOST_ID":-1}"#).current, None);
    let old = one(r#"{"ID":1,"HOST_IDS":[2],"TEMPLATE":{"CPU":"0.1","MEMORY":"128","DISK":[{"SIZE":"1"}]},
            "USER_TEMPLATE":{"NOTE":"x","flavours":"web, db"}}"#);
    assert_eq!((old.capacity, old.flavours.as_str()), (Some((Cpu(10), Memory(131_072))), "web, db"));
    let path = one(r#"{"ID":1,"HOST_IDS":[2],"VM_ATTRIBUTES":{"/VM/USER_TEMPLATE/FLAVOURS":"db"}}"#);
    assert_eq!(path.flavours, "db");
    assert_eq!(one(r#"{"ID":1,"HOST_IDS":[],"VM_ATTRIBUTES":[]}"#).hosts, []);
}

#[test]
fn each_fault_names_its_field() {
    let vm = |vm: &str| format!("{{\"VMS\":[{{\"ID\":1,\"HOST_IDS\":[2]}},{vm}]}}");
    for (body, field) in [
        ("", "body"),
        ("  ", "body"),
        ("x", "body"),
        ("[]", "body"),
        ("null", "body"),
        ("7", "body"),
        ("{", "body"),
        ("{\"VMS\":[]} x", "body"),
        ("{}", "VMS"),
        ("{\"VMS\":7}", "VMS"),
        ("{\"VMS\":{}}", "VMS"),
    ] {
        let error = read(body.as_bytes()).expect_err(body);
        assert_eq!(error.field, field, "{body}: {error}");
        assert!(!error.problem.is_empty());
    }
    for (body, field) in [
        (&vm("7"), "VMS[1]"),
        (&vm("null"), "VMS[1]"),
        (&vm("[1,[2]]"), "VMS[1]"),
        (&vm("{\"ID\":2,\"HOST_IDS\":null}"), "VMS[1].HOST_IDS"),
        (&vm("{}"), "VMS[1].ID"),
        (&vm("{\"ID\":2}"), "VMS[1].HOST_IDS"),
        (&vm("{\"ID\":null,\"HOST_IDS\":[]}"), "VMS[1].ID"),
        (&vm("{\"ID\":\"2\",\"HOST_IDS\":[2]}"), "VMS[1].ID"),
        (&vm("{\"ID\":2.5,\"HOST_IDS\":[2]}"), "VMS[1].ID"),
        (&vm("{\"ID\":-2,\"HOST_IDS\":[2]}"), "VMS[1].ID"),
        (&vm("{\"ID\":2147483648,\"HOST_IDS\":[2]}"), "VMS[1].ID"),
        (&vm("{\"ID\":99999999999999999999999999,\"HOST_IDS\":[2]}"), "VMS[1].ID"),
        (&vm("{\"ID\":1,\"HOST_IDS\":[2]}"), "VMS[1].ID"),
        (&vm("{\"ID\":2,\"ID\":3,\"HOST_IDS\":[2]}"), "VMS[1].ID"),
        (&vm("{\"ID\":2,\"HOST_IDS\":{}}"), "VMS[1].HOST_IDS"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1,\"x\"]}"), "VMS[1].HOST_IDS[1]"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1,4294967296]}"), "VMS[1].HOST_IDS[1]"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1],\"HOST_ID\":\"a\"}"), "VMS[1].HOST_ID"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1],\"HOST_ID\":4294967296}"), "VMS[1].HOST_ID"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1],\"CAPACITY\":7}"), "VMS[1].CAPACITY"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1],\"CAPACITY\":{\"CPU\":\"much\"}}"), "VMS[1].CAPACITY.CPU"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1],\"CAPACITY\":{\"CPU\":-1}}"), "VMS[1].CAPACITY.CPU"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1],\"CAPACITY\":{\"MEMORY\":1e300}}"), "VMS[1].CAPACITY.MEMORY"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1],\"VM_ATTRIBUTES\":7}"), "VMS[1].VM_ATTRIBUTES"),
        (&vm("{\"ID\":2,\"HOST_IDS\":[1],\"VM_ATTRIBUTES\":{\"FLAVOURS\":7}}"), "VMS[1].VM_ATTRIBUTES.FLAVOURS"),
    ] {
        let batch = read(body.as_bytes()).expect(body);
        let fields: Vec<&str> = batch.odd.iter().map(|odd| odd.field.as_str()).collect();
        assert_eq!(fields, [field], "{body}: {:?}", batch.odd);
        assert!(!batch.odd[0].problem.is_empty());
        assert_eq!(batch.vms.iter().map(|asked| asked.vm).collect::<Vec<_>>(), [VmId(1)], "{body}");
    }
    assert_eq!(read(b"{\"VMS\":[\xff]}").expect_err("not UTF-8").problem, "is not UTF-8 at byte 8");
    let hosts: Vec<i32> = (0..=50_000).collect();
    let many = read(vm(&format!("{{\"ID\":2,\"HOST_IDS\":{hosts:?}}}")).as_bytes()).expect("many hosts");
    assert_eq!((many.vms.len(), many.odd[0].field.as_str()), (1, "VMS[1].HOST_IDS"));
    let deep = format!("{{\"VMS\":[{{\"ID\":1,\"X\":{}", "[".repeat(100_000));
    assert!(read(deep.as_bytes()).is_err());
}
