//! A payload larger than memory should be: 20,000 samples are read in a few megabytes.
//! A crate of its own, because it measures its process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use oneaio::opennebula::monitoring;
use oneaio::opennebula::xmlrpc::Answer;
use std::fs;
use std::io::{self, BufReader, Read};
use std::time::Instant;

const SAMPLES: usize = 20_000;

/// An answer of oned that is made while it is read.
struct Endless {
    piece: Vec<u8>,
    given: usize,
    left: usize,
}

impl Endless {
    fn new() -> Self {
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n<param><value><array><data>\r\n\
                    <value><boolean>1</boolean></value>\r\n<value><string>&lt;MONITORING_DATA&gt;";
        Self { piece: head.into(), given: 0, left: SAMPLES + 1 }
    }

    fn advance(&mut self) {
        self.left -= 1;
        self.given = 0;
        self.piece.clear();
        if self.left == 0 {
            let tail = "&lt;/MONITORING_DATA&gt;</string></value>\r\n<value><i4>0</i4></value>\r\n\
                        </data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n";
            self.piece.extend_from_slice(tail.as_bytes());
            return;
        }
        self.piece.extend_from_slice(b"&lt;MONITORING&gt;");
        for name in ["CPU", "DISKRDBYTES", "DISKRDIOPS", "DISKWRBYTES", "DISKWRIOPS", "MEMORY", "NETRX", "NETTX"] {
            for suffix in ["", "_BW", "_BW_FORECAST", "_BW_FORECAST_FAR"] {
                let value = 1_000_000 + self.left * 7;
                self.element(&format!("{name}{suffix}"), &format!("{value}.25"));
            }
        }
        self.element("ID", &(self.left % 200).to_string());
        self.element("TIMESTAMP", &(1_795_443_968 + self.left).to_string());
        self.piece.extend_from_slice(b"&lt;/MONITORING&gt;");
    }

    fn element(&mut self, name: &str, value: &str) {
        let text = format!("&lt;{name}&gt;&lt;![CDATA[{value}]]&gt;&lt;/{name}&gt;");
        self.piece.extend_from_slice(text.as_bytes());
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.piece.len() && self.left > 0 {
            self.advance();
        }
        let count = (&self.piece[self.given..]).read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

/// The most memory that the process ever had, in KiB; Linux only.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn twenty_thousand_samples_take_little_memory() {
    let mut bytes = 0;
    let mut source = Endless::new();
    let mut buffer = vec![0; 1 << 16];
    let start = Instant::now();
    while let Ok(count @ 1..) = source.read(&mut buffer) {
        bytes += count;
    }
    let making = start.elapsed();
    let before = peak();
    let start = Instant::now();
    let mut answer = Answer::open(BufReader::with_capacity(1 << 16, Endless::new())).unwrap();
    let (mut count, mut sum) = (0, 0.0);
    let skipped = monitoring::records(&mut answer, &mut |counters| {
        count += 1;
        sum += counters.net.unwrap();
    });
    answer.finish().unwrap();
    let reading = start.elapsed().saturating_sub(making);
    assert_eq!((count, skipped.unwrap()), (SAMPLES, 0));
    assert!(sum > 0.0);
    eprintln!("{bytes} bytes, {SAMPLES} samples, {reading:?} without {making:?} for making them up");
    if let (Some(before), Some(after)) = (before, peak()) {
        eprintln!("peak memory {before} -> {after} KiB");
        assert!(after - before < 4096, "{before} -> {after} KiB");
    }
}
