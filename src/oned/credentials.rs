//! Who we are to oned: `user:password`, from where OpenNebula's own tools have it. The
//! password leaves this file only inside a request.

use super::error::SetupError;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Where the front-end keeps the credentials of oneadmin.
const OF_ONEADMIN: &str = "/var/lib/one/.one/one_auth";
/// No such file is longer; tokens may take some hundred bytes.
const LONGEST_FILE: u64 = 64 * 1024;

/// `user:password`, or `user:token`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    session: String,
    user: usize,
}

impl Credentials {
    /// From `user:password`.
    ///
    /// # Errors
    /// When there is no user or no colon.
    pub fn parse(text: &str) -> Result<Self, SetupError> {
        let session = text.trim();
        match session.find(':') {
            Some(user) if user > 0 => Ok(Self { session: session.to_owned(), user }),
            _ => Err(SetupError::NotCredentials),
        }
    }

    /// The first of: `explicit` (`user:password`), the password of oneadmin in ONED_PASS,
    /// the file that ONE_AUTH names, `.one/one_auth` in HOME, and that of oneadmin.
    ///
    /// # Errors
    /// When the first that is there cannot be used, or none is there.
    pub fn find(explicit: Option<&str>, var: &dyn Fn(&str) -> Option<String>) -> Result<Self, SetupError> {
        Self::find_from(explicit, var, Path::new(OF_ONEADMIN))
    }

    fn find_from(
        explicit: Option<&str>,
        var: &dyn Fn(&str) -> Option<String>,
        last: &Path,
    ) -> Result<Self, SetupError> {
        let var = |name: &str| var(name).filter(|text| !text.is_empty());
        if let Some(text) = explicit {
            return Self::parse(text);
        }
        if let Some(password) = var("ONED_PASS") {
            return Self::parse(&format!("oneadmin:{password}"));
        }
        if let Some(path) = var("ONE_AUTH") {
            return Self::read(Path::new(&path)).map_err(|error| unreadable("ONE_AUTH", &path, &error))?;
        }
        let own = var("HOME").map(|home| PathBuf::from(home).join(".one/one_auth"));
        for path in own.as_deref().into_iter().chain([last]) {
            match Self::read(path) {
                Ok(found) => return found,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable("the default", &path.display().to_string(), &error)),
            }
        }
        Err(SetupError::NoCredentials)
    }

    /// The first line of a file that is not empty.
    fn read(path: &Path) -> io::Result<Result<Self, SetupError>> {
        let mut text = String::new();
        File::open(path)?.take(LONGEST_FILE).read_to_string(&mut text)?;
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
        Ok(Self::parse(line).map_err(|_| SetupError::NotCredentialsIn(path.display().to_string())))
    }

    /// The name of the user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.session[..self.user]
    }

    /// As the first argument of each call.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// A text from outside without the password, should it be there.
    pub(super) fn redact(&self, text: &str) -> String {
        match &self.session[self.user + 1..] {
            "" => text.to_owned(),
            password => text.replace(password, "***"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}:***)", self.user())
    }
}

/// ONE_AUTH may by mistake hold the credentials themselves: not to be shown.
fn unreadable(name: &'static str, path: &str, error: &io::Error) -> SetupError {
    let path = if path.contains(':') { "(not shown, it may hold a password)" } else { path };
    SetupError::Unreadable { name, path: path.to_owned(), problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn find(explicit: Option<&str>, vars: &[(&str, &str)], last: &Path) -> Result<Credentials, SetupError> {
        let var = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Credentials::find_from(explicit, &var, last)
    }

    #[test]
    fn sources_come_in_their_order() {
        let folder = tempfile::tempdir().expect("folder");
        let home = folder.path().join("home");
        fs::create_dir_all(home.join(".one")).expect("folder");
        let (named, last) = (folder.path().join("named"), folder.path().join("last"));
        fs::write(&named, "\n  named:n:x \n").expect("file");
        fs::write(home.join(".one/one_auth"), "own:o").expect("file");
        fs::write(&last, "last:l").expect("file");
        let text = |path: &Path| path.display().to_string();
        let (named, home_text, nowhere) = (text(&named), text(&home), text(&folder.path().join("nowhere")));
        let session = |explicit, vars: &[(&str, &str)]| {
            find(explicit, vars, &last).map(|found| found.session().to_owned()).expect("found")
        };
        let all = [("ONED_PASS", "p:q"), ("ONE_AUTH", &named), ("HOME", &home_text)];
        assert_eq!(session(Some("me:x"), &all), "me:x");
        assert_eq!(session(None, &all), "oneadmin:p:q");
        assert_eq!(session(None, &all[1..]), "named:n:x");
        assert_eq!(session(None, &all[2..]), "own:o");
        assert_eq!(session(None, &[("HOME", &nowhere), ("ONE_AUTH", "")]), "last:l");
        let none = find(None, &[("HOME", &nowhere)], Path::new(&nowhere)).expect_err("none").to_string();
        assert!(none.contains("ONE_AUTH"), "{none}");
        let missing = find(None, &[("ONE_AUTH", &nowhere)], &last).expect_err("missing").to_string();
        assert!(missing.contains("nowhere"), "{missing}");
    }

    #[test]
    fn passwords_are_never_shown() {
        let credentials = Credentials::parse("me:secret").expect("parses");
        assert_eq!(format!("{credentials:?}"), "Credentials(me:***)");
        assert_eq!(credentials.redact("<b>me:secret</b>"), "<b>me:***</b>");
        let mistaken = find(None, &[("ONE_AUTH", "me:secret")], Path::new("x")).expect_err("no file").to_string();
        let bare = Credentials::parse("secret").expect_err("no user").to_string();
        assert!(!mistaken.contains("secret") && !bare.contains("secret"), "{mistaken} {bare}");
    }

    #[test]
    fn a_user_stands_before_the_first_colon() {
        let of = |text: &str| Credentials::parse(text).map(|found| (found.session, found.user)).ok();
        assert_eq!(of("  a:b:c\n"), Some(("a:b:c".to_owned(), 1)));
        assert_eq!((of(":b"), of("ab"), of("")), (None, None, None));
        assert_eq!(of("a:"), Some(("a:".to_owned(), 1)));
    }
}
