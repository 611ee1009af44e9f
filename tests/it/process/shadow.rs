//! Shadow mode: another scheduler answers, byte for byte, while oneaio plans beside it.

use crate::support::front_end::FrontEnd;
use crate::support::request::{host, request, vm};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn cloud() -> String {
    request(&[host(1), host(2)], &[vm(0, &[1, 2]), vm(1, &[1, 2])]).xml()
}

/// A front-end with a scheduler `old` beside ours, which does what `script` says.
fn front_end(script: &str) -> FrontEnd {
    let front_end = FrontEnd::new("shadow.place: old\nshadow.optimize: old\ndeadline: 20\n");
    let folder = front_end.path("var/remotes/scheduler/old");
    fs::create_dir_all(&folder).unwrap();
    for action in ["place", "optimize"] {
        fs::write(folder.join(action), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(folder.join(action), fs::Permissions::from_mode(0o755)).unwrap();
    }
    front_end
}

/// Sends VM 0 to host 1, and VM 1 nowhere.
const ANSWER: &str = "<PLAN><ID>-1</ID><ACTION><VM_ID>0</VM_ID><OPERATION>deploy</OPERATION><HOST_ID>1</HOST_ID><DS_ID>100</DS_ID></ACTION></PLAN>";

#[test]
fn the_other_answers_and_both_plans_are_kept_and_compared() {
    let front_end =
        front_end(&format!("cat > \"$ONE_LOCATION/seen\"; echo 'INFO: old speaks' >&2; printf '%s' '{ANSWER}'"));
    let placed = front_end.run(&["place"], &cloud());
    assert_eq!((placed.status, placed.out.as_str()), (Some(0), ANSWER), "{}", placed.said);
    assert_eq!(fs::read_to_string(front_end.path("seen")).unwrap(), cloud(), "it got the request as it came");
    assert!(placed.said.contains("INFO: old speaks") && placed.said.contains("oneaio would have placed 2 of 2"));
    assert!(!placed.said.contains("goes to host"), "no VM's log holds a plan that is not carried out: {}", placed.said);
    let folder = front_end.path("var/oneaio/shadow");
    let bundle = fs::read_dir(&folder).unwrap().next().expect("a bundle").unwrap().path();
    assert_eq!(fs::read_to_string(bundle.join("answered.xml")).unwrap(), ANSWER);
    let ours = fs::read_to_string(bundle.join("expected/plan.xml")).unwrap();
    assert_eq!(ours.matches("<ACTION>").count(), 2);
    let compared = front_end.run(&["replay", "--compare", folder.to_str().unwrap()], "");
    assert_eq!(compared.status, Some(0), "{}", compared.said);
    let row = |name: &str| {
        let row = compared.out.lines().find(|line| line.starts_with(&format!("| {name} "))).expect("a row");
        row.split('|').map(|cell| cell.trim().to_owned()).skip(2).take(3).collect::<Vec<_>>()
    };
    assert_eq!(row("VMs placed"), ["1", "2", "+1"]);
    assert_eq!(row("VMs waiting"), ["1", "0", "-1"]);
    assert_eq!(row("rules broken")[1], "0", "{}", compared.out);
    assert!(compared.out.contains("1 more VMs are placed"), "{}", compared.out);
    let json = front_end.run(&["replay", "--compare", "--json", folder.to_str().unwrap()], "");
    let told: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&told["answered"]["placed"], &told["oneaio"]["placed"]), (&1.into(), &2.into()), "{told}");
    assert_eq!(
        (&told["rules_broken"]["oneaio"], &told["unreadable"], &told["waited"]["vms"]),
        (&0.into(), &0.into(), &1.into())
    );
    crate::process::forms::agree("oneaio replay --compare --json", &json.out);
    let csv = front_end.run(&["replay", "--compare", "--csv", folder.to_str().unwrap()], "").out;
    assert!(csv.starts_with("what,who answered,oneaio,change\n") && csv.contains("\nVMs placed,1,2,+1\n"), "{csv}");
    let check = front_end.run(&["check", "--offline"], "");
    assert!(check.out.contains("old/place answers, oneaio only plans beside it"), "{}", check.out);
}

#[test]
fn what_the_other_does_wrong_is_its_own_and_a_missing_one_is_replaced() {
    let failing = front_end("printf 'half'; exit 3");
    let ran = failing.run(&["place"], &cloud());
    assert_eq!((ran.status, ran.out.as_str()), (Some(3), "half"), "{}", ran.said);
    assert!(ran.said.contains("old/place failed") && ran.said.contains("does not answer instead"), "{}", ran.said);
    // one that never ends is ended at the deadline; one that reads nothing is no trouble
    let hanging = front_end("exec sleep 600");
    let ran = hanging.run(&["place", "--set", "deadline=1"], &cloud());
    assert_eq!((ran.status, ran.out.as_str()), (Some(3), ""), "{}", ran.said);
    assert!(ran.said.contains("did not answer within `deadline`"), "{}", ran.said);
    // what we cannot read the other still may
    let odd = front_end("cat > /dev/null; printf odd");
    let ran = odd.run(&["place"], "not a request");
    assert_eq!((ran.status, ran.out.as_str()), (Some(0), "odd"), "{}", ran.said);
    let gone = FrontEnd::new("shadow.place: old\n");
    let ran = gone.run(&["place"], &cloud());
    assert_eq!((ran.status, ran.out.matches("<ACTION>").count()), (Some(0), 2), "{}", ran.said);
    assert!(ran.said.contains("cannot be started") && ran.said.contains("so oneaio answers"), "{}", ran.said);
    assert_eq!(gone.run(&["replay", "--compare", gone.path("var").to_str().unwrap()], "").status, Some(2));
}

#[test]
fn optimizations_have_a_shadow_too() {
    let front_end = front_end("cat > /dev/null; printf 'answer for %s' \"$1\"");
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/j_optimize20/request.xml")).unwrap();
    let ran = front_end.run(&["optimize", "104"], &text);
    assert_eq!((ran.status, ran.out.as_str()), (Some(0), "answer for 104"), "{}", ran.said);
}
