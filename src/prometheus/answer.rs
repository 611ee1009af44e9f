//! Answers of the HTTP API, series by series: what a page holds is never in memory as a whole.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

/// A value of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since 1970.
    pub at: i64,
    /// Finite and not negative.
    pub value: f64,
}

/// Takes what a VM's series holds.
pub type Take<'t> = dyn FnMut(i32, Point) + 't;

/// Whose series are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One of each VM; those without a VM's id are passed over.
    Vms,
    /// A single one, which counts as of VM 0.
    Host,
}

/// Reads an answer to a query. Values that are no amounts are passed over.
pub fn series(body: impl Read, whose: Whose, take: &mut Take<'_>) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_reader(body);
    Whole(whose, take).deserialize(&mut reader)?;
    reader.end()
}

/// Reads a list of series' labels.
pub fn labels(body: impl Read) -> Result<Vec<BTreeMap<String, String>>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Found {
        data: Vec<BTreeMap<String, String>>,
    }
    serde_json::from_reader(body).map(|found: Found| found.data)
}

/// Reads a list of names.
pub fn values(body: impl Read) -> Result<Vec<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Names {
        data: Vec<String>,
    }
    serde_json::from_reader(body).map(|names: Names| names.data)
}

/// What a refusal says.
pub fn refusal(body: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    serde_json::from_str(body).ok().map(|refusal: Refusal| refusal.error)
}

/// `{"status":"success","data":{"resultType":"matrix","result":[...]}}`
struct Whole<'a, 't>(Whose, &'a mut Take<'t>);

impl<'de> DeserializeSeed<'de> for Whole<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of Prometheus")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "data" => {
                    map.next_value_seed(Data(self.0, self.1))?;
                    seen = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if seen { Ok(()) } else { Err(A::Error::missing_field("data")) }
    }
}

struct Data<'a, 't>(Whose, &'a mut Take<'t>);

impl<'de> DeserializeSeed<'de> for Data<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Data<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("resultType and result")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "result" => map.next_value_seed(List(self.0, self.1))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The list of series.
struct List<'a, 't>(Whose, &'a mut Take<'t>);

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(one) = list.next_element::<Series>()? {
            let vm = match self.0 {
                Whose::Vms => one.metric.one_vm_id.and_then(|id| id.parse().ok()),
                Whose::Host => Some(0),
            };
            let Some(vm) = vm else { continue };
            for (at, text) in one.values.into_iter().chain(one.value) {
                let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
                if let Some(value) = value {
                    // whole steps were asked for
                    self.1(vm, Point { at: at as i64, value });
                }
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: Labels,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    value: Option<(f64, String)>,
}

#[derive(Default, Deserialize)]
struct Labels {
    one_vm_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_and_what_is_no_amount_is_passed_over() {
        let text = r#"{"status":"success","warnings":["w"],"data":{"resultType":"matrix","result":[
            {"metric":{"one_vm_id":"7","x":"y"},"values":[[300,"1.5"],[600,"NaN"],[900,"-1"],[1200,"+Inf"],[1500,"2"]]},
            {"metric":{},"values":[[300,"9"]]},{"metric":{"one_vm_id":"web"},"values":[[300,"9"]]},
            {"metric":{"one_vm_id":"8"},"value":[300.5,"3"]}]}}"#;
        let mut found = Vec::new();
        series(text.as_bytes(), Whose::Vms, &mut |vm, point| found.push((vm, point.at, point.value))).unwrap();
        assert_eq!(found, [(7, 300, 1.5), (7, 1500, 2.0), (8, 300, 3.0)]);
        let text = r#"{"data":{"result":[{"metric":{},"values":[[300,"9"]]}]}}"#;
        found.clear();
        series(text.as_bytes(), Whose::Host, &mut |vm, point| found.push((vm, point.at, point.value))).unwrap();
        assert_eq!(found, [(0, 300, 9.0)]);
        let found = labels(&br#"{"status":"success","data":[{"__name__":"x","one_host_id":"3"}]}"#[..]).unwrap();
        assert_eq!(found[0]["one_host_id"], "3");
    }

    #[test]
    fn an_answer_that_ends_early_or_is_none_is_an_error() {
        let whole = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert!(series(whole.as_bytes(), Whose::Vms, &mut |_, _| {}).is_ok());
        for cut in 0..whole.len() {
            assert!(series(&whole.as_bytes()[..cut], Whose::Vms, &mut |_, _| {}).is_err(), "{cut}");
        }
        assert!(series(&b"<html>"[..], Whose::Vms, &mut |_, _| {}).is_err());
        assert_eq!(refusal(r#"{"status":"error","error":"too many"}"#).as_deref(), Some("too many"));
    }
}
