//! Whether a plan is whole and legal, by two judges; equal plans are judged once.

use super::front_end::Request;
use crate::support::skip::shared;
use oneaio::decide;
use oneaio::model::ids::{ClusterId, DatastoreId, HostId, NicId, VmId, VnetId};
use oneaio::model::plan::{Action, Operation, Plan};
use oneaio::model::policy::Policy;
use oneaio::model::snapshot::Snapshot;
use oneaio::placement::check;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Reads `request file TAB plan file` lines and answers one line each.
const SCRIPT: &str = "
import sys, check_plan
requests = {}
for line in sys.stdin:
    request, plan = line.rstrip('\\n').split('\\t')
    if request not in requests:
        requests[request] = open(request, 'rb').read()
    told = check_plan.check(requests[request], open(plan, 'rb').read())
    print('valid' if told['valid'] else str(told['breaches'])[:2000], flush=True)
";

/// Judges.
pub struct Judge {
    folder: tempfile::TempDir,
    snapshots: Vec<(Snapshot, String)>,
    python: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
    seen: HashSet<(usize, String)>,
}

impl Judge {
    /// For plans of these requests.
    pub fn new(requests: &[Request]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = requests.iter().enumerate().map(|(index, request)| {
            let file = folder.path().join(format!("request{index}"));
            std::fs::write(&file, &request.bytes).unwrap();
            (decide::read(request.bytes.clone()).unwrap(), file.display().to_string())
        });
        let snapshots = snapshots.collect();
        Self { folder, snapshots, python: python(), seen: HashSet::new() }
    }

    /// What is wrong with a plan, if anything is.
    pub fn breaches(&mut self, request: usize, text: &str) -> Option<String> {
        if !self.seen.insert((request, text.to_owned())) {
            return None;
        }
        let Some(plan) = read(text) else { return Some(format!("no whole plan: {text:?}")) };
        let (snapshot, file) = &self.snapshots[request];
        let policy = Policy::default();
        let own = match snapshot.clusters.first() {
            Some(cluster) => {
                let own = cluster.drs.over(&policy);
                check::migrations_without_breaches(snapshot, cluster, plan, &own).1
            }
            None => check::breaches(snapshot, &plan, &policy),
        };
        if !own.is_empty() {
            return Some(format!("{own:?}"));
        }
        let (_, questions, answers) = self.python.as_mut()?;
        let plan = self.folder.path().join("plan");
        std::fs::write(&plan, text).unwrap();
        writeln!(questions, "{file}\t{}", plan.display()).unwrap();
        let mut told = String::new();
        answers.read_line(&mut told).unwrap();
        (told != "valid\n").then_some(told)
    }

    /// Different plans.
    pub fn judged(&self) -> usize {
        self.seen.len()
    }

    /// By whom.
    pub fn by(&self) -> &'static str {
        if self.python.is_some() { "check_plan.py and our own judge" } else { "our own judge" }
    }
}

fn python() -> Option<(Child, ChildStdin, BufReader<ChildStdout>)> {
    let tools = shared("tools/check_plan.py")?.parent()?.to_owned();
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT]).env("PYTHONPATH", tools).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let (questions, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
    Some((child, questions, answers))
}

/// A plan as oned reads it; `None` where it is not whole.
fn read(text: &str) -> Option<Plan> {
    let body = text.trim_end().strip_suffix("</PLAN>")?.split_once("<PLAN>")?.1;
    let number = |block: &str, tag: &str| -> Option<i32> {
        block.split_once(&format!("<{tag}>"))?.1.split_once('<')?.0.trim().parse().ok()
    };
    number(body, "ID").map(ClusterId)?;
    let actions = body.split("<ACTION>").skip(1).map(|block| {
        let block = block.split_once("</ACTION>")?.0;
        let (head, nics) = block.split_once("<NIC>").unwrap_or((block, ""));
        let nics = nics.split("<NIC>").filter(|nic| !nic.trim().is_empty());
        Some(Action {
            vm: VmId(number(head, "VM_ID")?),
            operation: if head.contains(">deploy<") { Operation::Deploy } else { Operation::Migrate },
            host: HostId(number(head, "HOST_ID")?),
            datastore: DatastoreId(number(head, "DS_ID")?),
            nics: nics
                .map(|nic| Some((NicId(number(nic, "NIC_ID")?), VnetId(number(nic, "NETWORK_ID")?))))
                .collect::<Option<_>>()?,
        })
    });
    Some(Plan { actions: actions.collect::<Option<_>>()? })
}
