//! The answer: `{"VMS":[{"ID":32,"HOST_ID":4}]}`.

use crate::model::ids::{HostId, VmId};
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

#[cfg(test)]
mod tests {
    use super::*;

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
