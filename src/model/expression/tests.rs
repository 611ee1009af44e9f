use super::*;

struct Object {
    attributes: Vec<(&'static str, &'static str)>,
    vms: Vec<i32>,
}

impl Facts for Object {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        self.attributes.iter().any(|(n, v)| *n == name && visit(v))
    }

    fn runs(&self, vm: VmId) -> bool {
        self.vms.contains(&vm.0)
    }
}

fn host() -> Object {
    Object {
        attributes: vec![("ARCH", "x86_64"), ("FREE_CPU", "750"), ("LABEL", "a"), ("LABEL", "b"), ("G", "0.4")],
        vms: vec![5, 9],
    }
}

#[test]
fn requirements_hold_as_in_oned() {
    for (text, expected) in [
        ("", true),
        ("ARCH = \"x86_64\"", true),
        ("ARCH = \"x86*\"", true),
        ("ARCH != \"arm*\"", true),
        ("ARCH=x86_64", true),
        ("MISSING != \"x\"", false),
        ("!(MISSING = \"x\")", true),
        ("ARCH = \"\"", false),
        ("FREE_CPU > 700", true),
        ("FREE_CPU < 700", false),
        ("FREE_CPU = 750", true),
        ("G > 0.3 & G < 0.5", true),
        ("G = 0", true),
        ("LABEL = b", false),
        ("LABEL @> b", true),
        ("LABEL @> \"[bc]\"", true),
        ("CURRENT_VMS = 5", true),
        ("CURRENT_VMS = \"9\"", true),
        ("CURRENT_VMS != 5", false),
        ("CURRENT_VMS != 6", true),
        ("!(CURRENT_VMS = 6) & ARCH = x86_64", true),
        // one precedence, to the left: (a | b) & c, not a | (b & c)
        ("ARCH = x86_64 | FREE_CPU > 1 & CURRENT_VMS = 1", false),
        ("CURRENT_VMS = 1 & ARCH = arm | FREE_CPU > 1", true),
        ("! ARCH = arm & CURRENT_VMS = 5", true),
    ] {
        let parsed = parse_requirement(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed.holds(&host()), expected, "{text}");
    }
}

#[test]
fn what_is_no_requirement_is_refused_with_its_column() {
    for (text, column) in [
        ("ARCH", 1),
        ("ARCH =", 6),
        ("= 5", 1),
        ("(A = 1", 6),
        ("A = 1)", 6),
        ("A = \"x", 5),
        ("A # 1", 3),
        ("A > abc", 5),
        ("A = 1 B = 2", 7),
    ] {
        let error = parse_requirement(text).expect_err(text);
        assert_eq!(error.column, column, "{text}: {error}");
    }
    assert!(parse_requirement(&"(".repeat(50_000)).is_err());
    assert!(parse_requirement(&"!".repeat(50_000)).is_err());
    assert!(parse_requirement(&vec!["A=1"; 20_000].join("&")).is_err());
}

#[test]
fn ranks_are_whole_numbers_of_left_associative_arithmetic() {
    let value = |name: &str| match name {
        "FREE_CPU" => Some(750.0),
        "RUNNING_VMS" => Some(4.0),
        _ => None,
    };
    for (text, expected) in [
        ("", 0.0),
        ("FREE_CPU", 750.0),
        ("-RUNNING_VMS", -4.0),
        ("FREE_CPU - 2 * RUNNING_VMS", 742.0),
        ("FREE_CPU -5", 745.0),
        ("10 - 3 - 2", 5.0),
        ("(10 - 3) * 2", 14.0),
        ("7 / 2", 3.0),
        ("-7 / 2", -3.0),
        ("MISSING + 1.5", 1.0),
        ("1 / MISSING", f64::MIN),
    ] {
        let parsed = parse_rank(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed.value(&value), expected, "{text}");
    }
    assert!(parse_rank("FREE_CPU +").is_err());
    assert!(parse_rank(&"-".repeat(50_000)).is_err());
    assert!(parse_rank(&"(".repeat(50_000)).is_err());
}

#[test]
fn the_vms_that_a_requirement_asks_for_are_known() {
    let mut wanted = Vec::new();
    let parsed = parse_requirement("CURRENT_VMS = 5 | !(CURRENT_VMS != 7) & CURRENT_VMS != 8 & !(CURRENT_VMS = 9)");
    parsed.expect("parses").each_vm_wanted(&mut |vm| wanted.push(vm.0));
    assert_eq!(wanted, [5, 7]);
}
