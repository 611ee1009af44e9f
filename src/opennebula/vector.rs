//! Vector attributes: an element with single values below it, such as DISK or HISTORY.

use super::xml::{Walker, XmlError};

/// The names and values of a vector attribute such as DISK.
#[derive(Clone)]
pub struct Vector(Vec<(String, String)>);

impl Vector {
    /// Reads all single values below the element.
    pub fn read(walker: &mut Walker<'_>) -> Result<Self, XmlError> {
        let mut values = Vec::new();
        walker.children(|w, tag| {
            let name = tag.to_ascii_uppercase();
            values.push((name, w.text()?.into_owned()));
            Ok(())
        })?;
        Ok(Self(values))
    }

    /// The first value of that name, empty when absent.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
