//! The answer: `{"VMS":[{"ID":32,"HOST_ID":4}]}`.

use crate::model::ids::{HostId, VmId};
use serde_json::Value;
use std::fmt::Write;

/// The answer for these VMs, compact: mm_sched keeps no more of it than its HTTP library
/// hands over in one piece. Those beyond `most` bytes are left out; how many are in.
#[must_use]
pub fn write(placed: &[(VmId, HostId)], most: usize) -> (String, usize) {
    let (mut json, end) = (String::from("{\"VMS\":["), "]}");
    for (written, (vm, host)) in placed.iter().enumerate() {
        let before = json.len();
        let comma = if written > 0 { "," } else { "" };
        // writing to a String cannot fail
        let _ = write!(json, "{comma}{{\"ID\":{vm},\"HOST_ID\":{host}}}");
        if json.len() + end.len() > most {
            json.truncate(before);
            return (json + end, written);
        }
    }
    (json + end, placed.len())
}

/// Adds a list to an answer under another key, which mm_sched passes over; nothing when it is
/// empty.
pub fn append(json: &mut String, key: &str, list: &[Value]) {
    if !list.is_empty() && json.ends_with('}') {
        json.pop();
        // writing to a String cannot fail
        let _ = write!(json, ",\"{key}\":{}}}", Value::from(list));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_told_beside_the_hosts() {
        let mut json = write(&[(VmId(1), HostId(2))], usize::MAX).0;
        append(&mut json, "MORE", &[]);
        append(&mut json, "MORE", &[Value::from("a\"b")]);
        assert_eq!(json, "{\"VMS\":[{\"ID\":1,\"HOST_ID\":2}],\"MORE\":[\"a\\\"b\"]}");
    }

    #[test]
    fn answers_are_what_mm_sched_reads() {
        let placed = [(VmId(32), HostId(4)), (VmId(33), HostId(5))];
        let all = "{\"VMS\":[{\"ID\":32,\"HOST_ID\":4},{\"ID\":33,\"HOST_ID\":5}]}";
        assert_eq!(write(&[], usize::MAX), ("{\"VMS\":[]}".to_owned(), 0));
        assert_eq!(write(&placed, usize::MAX), (all.to_owned(), 2));
        assert_eq!(write(&placed, all.len()), (all.to_owned(), 2));
        assert_eq!(write(&placed, all.len() - 1), ("{\"VMS\":[{\"ID\":32,\"HOST_ID\":4}]}".to_owned(), 1));
    }
}
