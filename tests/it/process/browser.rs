//! The pages as a browser and a reader see them: nothing on the console, nothing from elsewhere,
//! texts that stand out from their ground.

use crate::support::front_end::FrontEnd;
use crate::support::server::{ScriptedOned, Service, hosts};
use crate::support::skip::skip;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a browser makes of a page: its document, and what it says on its console.
fn browse(folder: &Path, address: &str) -> Option<(String, Vec<String>)> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names.iter().find(|name| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok());
    let Some(name) = found else {
        skip("browser", "there is no chromium");
        return None;
    };
    let output = Command::new(name)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .args(["--dump-dom", address])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Some((String::from_utf8_lossy(&output.stdout).into_owned(), console))
}

#[test]
fn a_browser_shows_the_replayed_page_without_complaint() {
    let front_end = FrontEnd::new("");
    let page = front_end.path("page.html");
    let fixture = |name: &str| format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let bundles = [fixture("first_look"), fixture("d_vmgroups"), fixture("j_optimize20")];
    let mut arguments = vec!["replay", "--html", page.to_str().unwrap()];
    arguments.extend(bundles.iter().map(String::as_str));
    let ran = front_end.run(&arguments, "");
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    let folder = tempfile::tempdir().unwrap();
    let Some((document, console)) = browse(folder.path(), &format!("file://{}", page.display())) else { return };
    assert!(console.is_empty(), "{console:?}");
    for text in ["analytics", " cores, and free ", "solar1", "Migrations, in their order", "Course of 2 decisions"] {
        assert!(document.contains(text), "the page lacks {text}");
    }
}

#[test]
fn the_service_shows_its_last_decision_to_its_own_machine() {
    let folder = tempfile::tempdir().unwrap();
    let pool = hosts(&[(4, 8, 0, "YES", &[]), (5, 8, 0, "NO", &[])]);
    let oned = ScriptedOned::start(&[("one.hostpool.info", pool)]);
    let service = Service::start(folder.path(), Some(&oned), &[]);
    let (status, empty) = service.get("/");
    assert!(status == 200 && empty.contains("No decision yet") && empty.ends_with("</html>"), "{empty}");
    let body =
        "{\"VMS\":[{\"ID\":32,\"STATE\":\"PENDING\",\"HOST_IDS\":[4,5],\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1024}}]}";
    assert_eq!(service.batch(body).len(), 1);
    // it is remembered after the answer has left, and drawn at most once a second
    crate::support::server::eventually("the page shows the decision", || {
        service.get("/").1.contains("placed 1 of 1 VMs")
    });

    // names are for those who sit at this machine: not for a page of somebody else whose name leads here
    let stranger = service.raw(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(stranger.starts_with("HTTP/1.1 403") && !stranger.contains("VMs"), "{stranger}");
    let own = service.raw(b"GET / HTTP/1.1\r\nHost: [::1]:4567\r\nConnection: close\r\n\r\n");
    assert!(own.starts_with("HTTP/1.1 200"), "{own}");
    assert!(own.to_lowercase().contains("content-security-policy: default-src 'none'"), "{own}");

    let Some((document, console)) = browse(folder.path(), &format!("http://{}/", service.address)) else { return };
    assert!(console.is_empty(), "{console:?}");
    assert!(document.contains("oneaio serve: ") && document.contains("placed 1 of 1 VMs"), "{document}");
}

/// WCAG's contrast of two colours such as #57606a.
fn contrast(one: &str, other: &str) -> f64 {
    let luminance = |colour: &str| {
        let long =
            if colour.len() == 4 { colour[1..].chars().flat_map(|c| [c, c]).collect() } else { colour[1..].to_owned() };
        let part = |at: usize| {
            let share = f64::from(u8::from_str_radix(&long[at..at + 2], 16).unwrap()) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    };
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn texts_stand_out_from_their_ground_in_light_and_dark() {
    assert!((contrast("#fff", "#000000") - 21.0).abs() < 0.01);
    let front_end = FrontEnd::new("");
    let page = front_end.path("page.html");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/first_look");
    assert_eq!(front_end.run(&["replay", "--html", page.to_str().unwrap(), fixture], "").status, Some(0));
    let text = std::fs::read_to_string(page).unwrap();
    let schemes: Vec<&str> = text.split(":root{").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    assert_eq!(schemes.len(), 2, "light and dark");
    for scheme in schemes {
        let colour = |name: &str| {
            let rest = scheme.split(&format!("--{name}:")).nth(1).unwrap();
            rest.split(';').next().unwrap()
        };
        for name in ["text", "soft"] {
            let found = contrast(colour(name), colour("ground"));
            assert!(found >= 4.5, "{name} on its ground has {found:.2}: {scheme}");
        }
        // what is drawn has to stand out by 3
        for name in ["before", "after"] {
            let found = contrast(colour(name), colour("ground"));
            assert!(found >= 3.0, "{name} on its ground has {found:.2}: {scheme}");
        }
    }
}
