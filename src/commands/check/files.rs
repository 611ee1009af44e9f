//! What `check` finds in files: wrappers, oned.conf, folders and their rights.

use super::Findings;
use crate::config::Settings;
use crate::machine::installation::Installation;
use crate::records::decision_log;
use crate::records::record;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The wrappers that one_sched runs.
pub fn wrappers(installation: &Installation, findings: &mut Findings) {
    let folder = installation.wrappers();
    let mut fine = true;
    for name in ["place", "optimize"] {
        let file = folder.join(name);
        match fs::metadata(&file) {
            Err(error) => {
                let fix = "install the package again, or run /usr/share/oneaio/one-location for a ONE_LOCATION";
                findings.error("wrappers", format!("{}: {error}", file.display()), fix);
                fine = false;
            }
            Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
                let fix = format!("chmod 755 {}", file.display());
                findings.error("wrappers", format!("{} is not executable", file.display()), fix);
                fine = false;
            }
            Ok(_) => {}
        }
    }
    if fine {
        findings.ok("wrappers", folder.display().to_string());
    }
}

/// Whether who answers in our place is there.
pub fn shadow(installation: &Installation, settings: &Settings, findings: &mut Findings) {
    let operate = &settings.operate;
    for (action, name) in [("place", &operate.shadow_place), ("optimize", &operate.shadow_optimize)] {
        let Some(name) = name else { continue };
        let program = installation.scheduler(name, action);
        match fs::metadata(&program) {
            Ok(file) if file.permissions().mode() & 0o111 != 0 => {
                let text = format!("shadow.{action}: {} answers, oneaio only plans beside it", program.display());
                findings.warning("shadow", text, "`oneaio replay --compare` tells when to switch: remove the key then");
            }
            Ok(_) => {
                let text = format!("shadow.{action}: {} is not executable, so oneaio answers", program.display());
                findings.error("shadow", text, "name a scheduler that is there, or none");
            }
            Err(error) => {
                let text = format!("shadow.{action}: {}: {error}, so oneaio answers", program.display());
                findings.error("shadow", text, "name a scheduler that is there, or none");
            }
        }
    }
}

/// Whether oned names us.
pub fn oned_conf(installation: &Installation, findings: &mut Findings) {
    let file = installation.oned_conf();
    let text = match fs::read(&file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            let fix = "run this on the front-end as root or oneadmin";
            return findings.warning("oned.conf", format!("{}: {error}", file.display()), fix);
        }
    };
    let named = named(&text);
    let roles = [("-p", "places"), ("-o", "optimizes")];
    let ours: Vec<&str> = roles.iter().filter(|(flag, _)| named.contains(flag)).map(|(_, role)| *role).collect();
    match ours.as_slice() {
        [] => {
            let fix = "SCHED_MAD = [ EXECUTABLE = \"one_sched\", ARGUMENTS = \"-t 15 -p oneaio -o oneaio\" ], and restart oned";
            findings.warning("oned.conf", format!("{} does not name oneaio", file.display()), fix);
        }
        ours => findings.ok("oned.conf", format!("{}: oneaio {}", file.display(), ours.join(" and "))),
    }
}

/// The flags of one_sched that name us: `-p`, `-o`, or both. Comments and quotes are passed over.
fn named(text: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or("")) {
        let words: Vec<&str> =
            line.split(|c: char| c.is_whitespace() || "\"',[]=".contains(c)).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2).filter(|pair| pair[1] == "oneaio") {
            match pair[0] {
                "-p" | "--place" => found.push("-p"),
                "-o" | "--optimize" => found.push("-o"),
                _ => {}
            }
        }
        found.extend(words.contains(&"-poneaio").then_some("-p"));
        found.extend(words.contains(&"-ooneaio").then_some("-o"));
    }
    found
}

/// Folders and files that are written on the placement path, and what faults have left.
pub fn folders(installation: &Installation, settings: &Settings, findings: &mut Findings) {
    let home = installation.home();
    if home.is_dir() {
        owner(&home, findings);
    }
    let config = installation.config_file();
    if fs::metadata(&config).is_ok_and(|file| file.permissions().mode() & 0o007 != 0) {
        let fix = format!("chmod 640 {}", config.display());
        findings.warning(
            "configuration",
            format!("{} may be read by all; it may hold a password", config.display()),
            fix,
        );
    }
    if let Some(log) = decision_log::file(settings) {
        match log.parent().filter(|folder| folder.is_dir()) {
            Some(_) => findings.ok("decision log", log.display().to_string()),
            None => findings.warning(
                "decision log",
                format!("the folder of {} is missing", log.display()),
                "make it for oneadmin",
            ),
        }
    }
    if let Some(folder) = record::folder(settings) {
        findings.ok("records", format!("{}: {} bundles", folder.display(), record::bundles(&folder).len()));
    }
    let faults = record::bundles(&installation.faults()).len();
    if faults > 0 {
        let text =
            format!("{faults} requests that met a fault or the deadline lie in {}", installation.faults().display());
        findings.warning("faults", text, "report one, then move it away; `oneaio replay` decides it again");
    }
}

/// The store and records are written by oneadmin, who runs us.
fn owner(home: &Path, findings: &mut Findings) {
    let wanted = users().into_iter().find(|(name, _)| name == "oneadmin").map(|(_, id)| id);
    let found = fs::metadata(home).map(|folder| folder.uid()).ok();
    match (wanted, found) {
        (Some(wanted), Some(found)) if wanted != found => {
            let fix = format!("chown -R oneadmin:oneadmin {}", home.display());
            findings.error("folders", format!("{} does not belong to oneadmin", home.display()), fix);
        }
        _ => findings.ok("folders", home.display().to_string()),
    }
    // made by a run as root, such a file stops oneadmin
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    let foreign =
        entries.filter(|entry| entry.metadata().is_ok_and(|file| wanted.is_some_and(|wanted| file.uid() != wanted)));
    for entry in foreign.take(5) {
        let fix = format!("chown oneadmin:oneadmin {}", entry.path().display());
        findings.error("folders", format!("{} does not belong to oneadmin", entry.path().display()), fix);
    }
}

/// Names and ids of /etc/passwd.
fn users() -> Vec<(String, u32)> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oned_conf_names_us_however_it_is_written() {
        for (text, expected) in [
            ("SCHED_MAD = [ EXECUTABLE = \"one_sched\", ARGUMENTS = \"-t 15 -p oneaio -o one_drs\" ]", vec!["-p"]),
            (
                "SCHED_MAD = [\n  EXECUTABLE = \"one_sched\",\n  ARGUMENTS  = \"-t 15 -p oneaio -o oneaio\"\n]",
                vec!["-p", "-o"],
            ),
            ("ARGUMENTS=\"-p rank -o one_drs\" # not -p oneaio", vec![]),
            ("# ARGUMENTS=\"-p oneaio\"", vec![]),
            ("ARGUMENTS=\"--place=oneaio\"", vec!["-p"]),
            ("ARGUMENTS=\"-p oneaio2\"", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
    }
}
