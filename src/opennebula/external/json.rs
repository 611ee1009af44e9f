//! JSON bodies with errors that name the field: `VMS[3].ID`.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;
use thiserror::Error;

/// More of an offending value is not repeated in a message.
const LONGEST: usize = 300;

/// Why a body cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {problem}")]
pub struct BodyError {
    /// The field, such as `VMS[3].ID`; `body` when it is the whole.
    pub field: String,
    /// What is wrong with it and what would do.
    pub problem: String,
}

impl BodyError {
    /// About one field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// Reads a whole body.
///
/// # Errors
/// When it is not UTF-8, not JSON, or a field has the wrong type.
pub fn document<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BodyError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| BodyError::new("body", format!("is not UTF-8 at byte {}", error.valid_up_to())))?;
    if text.trim_ascii().is_empty() {
        return Err(BodyError::new("body", "is empty; a JSON object is expected"));
    }
    whole(text)
}

/// Reads a part of a body that stands at `place`.
///
/// # Errors
/// When a field has the wrong type.
pub fn part<'a, T: Deserialize<'a>>(place: &str, text: &'a str) -> Result<T, BodyError> {
    whole(text).map_err(|BodyError { field, problem }| match field.as_str() {
        "body" => BodyError::new(place, problem),
        field => BodyError::new(format!("{place}.{field}"), problem),
    })
}

fn whole<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BodyError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        // `?` stands for what had not been read when the document broke off
        let path = path.trim_end_matches('?').trim_end_matches('.');
        let problem = error.inner().to_string();
        let twice = problem.strip_prefix("duplicate field `").and_then(|rest| rest.split('`').next());
        let field = match (path, twice) {
            ("", None) => "body".to_owned(),
            (path, None) => path.to_owned(),
            ("", Some(name)) => name.to_owned(),
            (path, Some(name)) => format!("{path}.{name}"),
        };
        let problem: String = problem.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        BodyError { field, problem }
    })?;
    reader.end().map_err(|error| BodyError::new("body", format!("goes on after its end: {error}")))?;
    Ok(value)
}

/// A JSON object; a list, which would otherwise do for its fields in turn, is refused.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Whose id it is, for messages.
pub trait Kind {
    /// What a wrong value is told it must be.
    const EXPECTED: &'static str;
}

/// An id: a whole number from 0 to 2147483647.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<K>(pub i32, PhantomData<K>);

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor(PhantomData))
    }
}

struct IdVisitor<K>(PhantomData<K>);

impl<K: Kind> Visitor<'_> for IdVisitor<K> {
    type Value = Id<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(K::EXPECTED)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let id = i32::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))?;
        Ok(Id(id, PhantomData))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }
}

/// The id of a VM.
pub struct OfVm;

impl Kind for OfVm {
    const EXPECTED: &'static str = "a VM id, a whole number from 0 to 2147483647";
}

/// The id of a host.
pub struct OfHost;

impl Kind for OfHost {
    const EXPECTED: &'static str = "a host id, a whole number from 0 to 2147483647";
}
