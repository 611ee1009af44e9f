//! Writes XML elements in the three notations oned uses.

use std::fmt::Display;
use std::io::{self, Write};

/// Plain elements one after the other: `plain!(x; ID: 7, NAME: "seven")?`
macro_rules! plain {
    ($x:expr; $($tag:ident: $value:expr),+ $(,)?) => {
        Ok(())$(.and_then(|()| $x.plain(stringify!($tag), &$value)))+
    };
}

/// CDATA elements one after the other: `data!(x; CPU: 2, MEMORY: 1024)?`
macro_rules! data {
    ($x:expr; $($tag:ident: $value:expr),+ $(,)?) => {
        Ok(())$(.and_then(|()| $x.data(stringify!($tag), &$value)))+
    };
}

pub(super) use {data, plain};

/// An XML stream. Values are not escaped: the generator only has harmless ones.
pub struct Xml<W: Write>(W);

impl<W: Write> Xml<W> {
    pub fn new(out: W) -> Self {
        Self(out)
    }

    /// `<TAG>...</TAG>` around whatever `content` writes.
    pub fn inside<F>(&mut self, tag: &str, content: F) -> io::Result<()>
    where
        F: FnOnce(&mut Self) -> io::Result<()>,
    {
        write!(self.0, "<{tag}>")?;
        content(self)?;
        write!(self.0, "</{tag}>")
    }

    /// `<TAG>value</TAG>`, as oned writes the fields of an object.
    pub fn plain(&mut self, tag: &str, value: impl Display) -> io::Result<()> {
        write!(self.0, "<{tag}>{value}</{tag}>")
    }

    /// `<TAG><![CDATA[value]]></TAG>`, as oned writes template attributes.
    pub fn data(&mut self, tag: &str, value: impl Display) -> io::Result<()> {
        write!(self.0, "<{tag}><![CDATA[{value}]]></{tag}>")
    }

    /// `<TAG/>`
    pub fn empty(&mut self, tag: &str) -> io::Result<()> {
        write!(self.0, "<{tag}/>")
    }

    /// `<TAG><ID>1</ID><ID>2</ID></TAG>`
    pub fn ids(&mut self, tag: &str, ids: impl IntoIterator<Item = u32>) -> io::Result<()> {
        self.inside(tag, |x| ids.into_iter().try_for_each(|id| x.plain("ID", id)))
    }

    /// Text that is XML already.
    pub fn raw(&mut self, xml: &[u8]) -> io::Result<()> {
        self.0.write_all(xml)
    }

    pub fn into_inner(self) -> W {
        self.0
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    /// Owner and permissions, which VMs, datastores, networks and VM groups begin with.
    /// `group_use` is the group's USE bit, 0 or 1.
    pub fn owned(&mut self, id: u32, name: &str, group_use: u8) -> io::Result<()> {
        plain!(self; ID: id, UID: 0, GID: 0, UNAME: "oneadmin", GNAME: "oneadmin", NAME: name)?;
        self.inside("PERMISSIONS", |x| {
            plain!(x; OWNER_U: 1, OWNER_M: 1, OWNER_A: 0, GROUP_U: group_use, GROUP_M: 0,
                GROUP_A: 0, OTHER_U: 0, OTHER_M: 0, OTHER_A: 0)
        })
    }
}

/// A number as C++ streams print it: six significant digits, `1.70656e+07` from a million up.
pub fn six_digits(value: f64) -> String {
    let scientific = format!("{value:.5e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<usize>() {
        Ok(power) if power < 6 => trimmed(&format!("{value:.*}", 5 - power)).to_owned(),
        Ok(power) => format!("{}e+{power:02}", trimmed(mantissa)),
        Err(_) => format!("{}e{exponent}", trimmed(mantissa)),
    }
}

/// A decimal fraction without the zeros at its end.
fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}
