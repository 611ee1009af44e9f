//! The password where the address has none, as libpq finds it: `PGPASSWORD`, else the line of
//! `passfile`, `PGPASSFILE` or `~/.pgpass` that fits. A file that others may read is not used.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The variables that count.
pub type Variable<'v> = &'v dyn Fn(&str) -> Option<String>;

/// For whom.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Name, address, or folder of a socket.
    pub host: &'a str,
    /// As a number.
    pub port: u16,
    /// The database.
    pub database: &'a str,
    /// The role.
    pub user: &'a str,
}

/// The password, if there is one. A file that cannot be used is told.
pub fn find(account: Account<'_>, passfile: Option<&str>, variable: Variable<'_>) -> Option<String> {
    if let Some(password) = variable("PGPASSWORD").filter(|password| !password.is_empty()) {
        return Some(password);
    }
    let named = passfile.map(str::to_owned).or_else(|| variable("PGPASSFILE")).map(PathBuf::from);
    let file = named.or_else(|| Some(Path::new(&variable("HOME")?).join(".pgpass")))?;
    let mode = std::fs::metadata(&file).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        log::warn!("{} is not used for the password of the store: others may read it (chmod 600)", file.display());
        return None;
    }
    let text = std::fs::read_to_string(&file).ok()?;
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| fits(line, account))
}

/// The password of a line `host:port:database:user:password` that fits.
fn fits(line: &str, account: Account<'_>) -> Option<String> {
    let port = account.port.to_string();
    let mut fields = fields(line).into_iter();
    // a socket's folder is called localhost there
    let hosts = [account.host, if account.host.starts_with('/') { "localhost" } else { account.host }];
    let field = fields.next()?;
    let mut same = field == "*" || hosts.contains(&field.as_str());
    for wanted in [port.as_str(), account.database, account.user] {
        let field = fields.next()?;
        same &= field == "*" || field == wanted;
    }
    fields.next().filter(|_| same)
}

/// Fields at colons; a backslash takes the next sign as it is. The last holds the rest.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        let last = fields.len() - 1;
        match sign {
            ':' if last < 4 => fields.push(String::new()),
            '\\' => fields[last].extend(signs.next()),
            other => fields[last].push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account<'_> = Account { host: "db1", port: 5432, database: "one", user: "oneadmin" };

    #[test]
    fn the_first_line_that_fits_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".pgpass");
        let lines = "# a comment\nother:*:*:*:no\ndb1:5433:*:*:no\n*:5432:one:oneadmin:a\\:b:c\ndb1:*:*:*:late\n";
        std::fs::write(&file, lines).unwrap();
        let home = |name: &str| (name == "HOME").then(|| folder.path().display().to_string());
        let chmod = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        chmod(0o644);
        assert_eq!(find(ACCOUNT, None, &home), None, "others may read it");
        chmod(0o600);
        assert_eq!(find(ACCOUNT, None, &home).as_deref(), Some("a:b:c"));
        let named = file.display().to_string();
        assert_eq!(find(ACCOUNT, Some(&named), &|_| None).as_deref(), Some("a:b:c"));
        let socket = Account { host: "/run/postgresql", ..ACCOUNT };
        std::fs::write(&file, "localhost:*:*:*:by socket\n").unwrap();
        assert_eq!(find(socket, None, &home).as_deref(), Some("by socket"));
        assert_eq!(find(ACCOUNT, None, &home), None);
        let variable = |name: &str| (name == "PGPASSWORD").then(|| "at once".to_owned());
        assert_eq!(find(ACCOUNT, Some(&named), &variable).as_deref(), Some("at once"));
    }

    #[test]
    fn files_are_looked_for_in_their_turn_and_an_empty_password_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, password: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, format!("*:*:*:*:{password}\n")).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
            file.display().to_string()
        };
        let (named, other) = (put("named", "a"), put("other", "b"));
        put(".pgpass", "c");
        let home = folder.path().display().to_string();
        let of = |passfile: Option<&str>, variables: &[(&str, &str)]| {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
            find(ACCOUNT, passfile, &variable)
        };
        let all = [("PGPASSWORD", ""), ("PGPASSFILE", other.as_str()), ("HOME", home.as_str())];
        assert_eq!(of(Some(&named), &all).as_deref(), Some("a"));
        assert_eq!(of(None, &all).as_deref(), Some("b"));
        assert_eq!(of(None, &all[2..]).as_deref(), Some("c"));
        assert_eq!((of(None, &[]), of(None, &[("HOME", "/nowhere")])), (None, None));
    }

    #[test]
    fn each_field_of_a_line_has_to_fit() {
        for (line, fits_it) in [
            ("db1:5432:one:oneadmin:x", true),
            ("*:*:*:*:x", true),
            ("db2:5432:one:oneadmin:x", false),
            ("db1:5433:one:oneadmin:x", false),
            ("db1:5432:two:oneadmin:x", false),
            ("db1:5432:one:other:x", false),
            ("localhost:5432:one:oneadmin:x", false),
            ("db1:5432:one:oneadmin", false),
            ("", false),
        ] {
            assert_eq!(fits(line, ACCOUNT).is_some(), fits_it, "{line}");
        }
        assert_eq!(fields("a\\:b:c\\\\:d:e:f:g\\"), ["a:b", "c\\", "d", "e", "f:g"]);
    }
}
