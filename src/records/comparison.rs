//! Two schedulers over the same requests: one that answered, and oneaio beside it.

use super::verdict::{Tally, Verdict};
use crate::decide::Decided;
use crate::model::ids::VmId;
use crate::model::plan::Plan;
use crate::model::policy::Policy;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// What became of both.
#[derive(Debug, Default)]
pub struct Comparison {
    verdict: Verdict,
    /// Requests whose answer cannot be read.
    unreadable: usize,
    /// Breaches of rules in both, and an example of each rule.
    breaches: [BTreeMap<String, usize>; 2],
    /// When a VM was first asked for, and when each placed it.
    waits: HashMap<VmId, (i64, [Option<i64>; 2])>,
    span: Option<(i64, i64)>,
}

impl Comparison {
    /// Takes in a request with the answer that was given.
    pub fn add(&mut self, decided: &Decided, answered: Option<&Plan>, measure: &Policy) {
        let Some(answered) = answered else {
            self.unreadable += 1;
            return;
        };
        let at = decided.snapshot.taken_at;
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        for candidate in &decided.snapshot.candidates {
            self.waits.entry(decided.snapshot.vms[candidate.vm].id).or_insert((at, [None; 2]));
        }
        let plans = [answered, &decided.planned.plan];
        let tallies = [&mut self.verdict.before, &mut self.verdict.after];
        for (side, (plan, tally)) in plans.into_iter().zip(tallies).enumerate() {
            let judged = decided.judge(plan, measure);
            tally.add(&Tally::of_plan(&judged));
            for breach in &judged.breaches {
                *self.breaches[side].entry(breach.to_string()).or_default() += 1;
            }
            for action in &plan.actions {
                if let Some((_, placed)) = self.waits.get_mut(&action.vm) {
                    placed[side].get_or_insert(at);
                }
            }
        }
    }

    /// Whether there was anything to compare.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verdict.before.requests == 0
    }

    /// Rows of a table: what, who answered, oneaio, difference.
    #[must_use]
    pub fn rows(&self) -> Vec<[String; 4]> {
        let mut rows = self.verdict.rows();
        // nothing migrates in a placement
        rows.retain(|row| row[0] != "migrations");
        let breaches = [0, 1].map(|side| self.breaches[side].values().sum::<usize>());
        rows.push(["rules broken".to_owned(), breaches[0].to_string(), breaches[1].to_string(), {
            let more = breaches[1] as i64 - breaches[0] as i64;
            format!("{more:+}")
        }]);
        if let Some((count, a, b)) = self.waited() {
            let name = format!("mean wait of the {count} VMs that both placed");
            rows.push([name, format!("{a:.0} s"), format!("{b:.0} s"), format!("{:+.0} s", b - a)]);
        }
        rows
    }

    /// Mean seconds that VMs waited which both placed, by who answered and by oneaio, and how many they are.
    fn waited(&self) -> Option<(u32, f64, f64)> {
        let both = self.waits.values().filter_map(|(first, placed)| Some((*first, placed[0]?, placed[1]?)));
        let (mut count, mut theirs, mut ours) = (0_u32, 0.0, 0.0);
        for (first, a, b) in both {
            count += 1;
            theirs += (a - first) as f64;
            ours += (b - first) as f64;
        }
        let mean = |sum: f64| sum / f64::from(count);
        (count > 0).then(|| (count, mean(theirs), mean(ours)))
    }

    /// All of it, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let broken = |side: usize| self.breaches[side].values().sum::<usize>();
        let waited = self.waited().map(|(vms, theirs, ours)| json!({ "vms": vms, "answered": theirs, "oneaio": ours }));
        json!({
            "answered": self.verdict.before,
            "oneaio": self.verdict.after,
            "rules_broken": { "answered": broken(0), "oneaio": broken(1) },
            "waited": waited,
            "unreadable": self.unreadable,
            "days": self.span.map(|(first, last)| (last - first) as f64 / 86_400.0),
        })
    }

    /// What the table does not say.
    #[must_use]
    pub fn remarks(&self) -> String {
        let mut text = self.verdict.sentence() + "\n";
        if let Some((first, last)) = self.span {
            let days = (last - first) as f64 / 86_400.0;
            text.push_str(&format!("{} requests over {days:.1} days\n", self.verdict.before.requests));
        }
        if self.unreadable > 0 {
            text.push_str(&format!("requests whose answer cannot be read: {}\n", self.unreadable));
        }
        for (side, name) in ["who answered", "oneaio"].into_iter().enumerate() {
            for (breach, count) in self.breaches[side].iter().take(5) {
                text.push_str(&format!("{name} broke a rule, {count} times: {breach}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_does_not_say_is_said_below_it() {
        let mut compared = Comparison { span: Some((0, 129_600)), unreadable: 2, ..Comparison::default() };
        compared.verdict.before.requests = 7;
        compared.breaches[0].extend((1..=6).map(|rule| (format!("rule {rule}"), rule)));
        compared.breaches[1].insert("capacity".to_owned(), 1);
        let text = compared.remarks();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines[..2], ["7 requests over 1.5 days", "requests whose answer cannot be read: 2"]);
        assert_eq!(lines[2], "who answered broke a rule, 1 times: rule 1");
        // five of each at most
        assert_eq!(
            lines[6..],
            ["who answered broke a rule, 5 times: rule 5", "oneaio broke a rule, 1 times: capacity"]
        );
        assert_eq!(Comparison::default().remarks().lines().count(), 1);
    }

    #[test]
    fn waits_count_of_vms_that_both_placed_and_rules_are_counted_by_side() {
        let mut compared = Comparison { span: Some((100, 86_500)), unreadable: 1, ..Comparison::default() };
        assert!(compared.is_empty());
        compared.verdict.before.requests = 1;
        assert!(!compared.is_empty());
        assert_eq!(compared.rows().last().unwrap()[0], "rules broken", "nobody was placed by both");
        let waits = [(1, (100, [Some(160), Some(130)])), (2, (200, [Some(220), Some(290)])), (3, (0, [Some(9), None]))];
        compared.waits = waits.into_iter().map(|(vm, one)| (VmId(vm), one)).collect();
        compared.breaches =
            [BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 3)]), BTreeMap::from([("a".to_owned(), 1)])];
        let rows = compared.rows();
        assert!(rows.len() == 9 && rows.iter().all(|row| row[0] != "migrations"), "{rows:?}");
        assert_eq!(rows[7], ["rules broken", "5", "1", "-4"].map(str::to_owned));
        // 60 and 20 seconds, and 30 and 90
        let waited = ["mean wait of the 2 VMs that both placed", "40 s", "60 s", "+20 s"];
        assert_eq!(rows[8], waited.map(str::to_owned));
        let found = compared.json();
        assert_eq!(found["rules_broken"], json!({ "answered": 5, "oneaio": 1 }));
        assert_eq!(found["waited"], json!({ "vms": 2, "answered": 40.0, "oneaio": 60.0 }));
        assert_eq!((&found["unreadable"], &found["days"]), (&json!(1), &json!(1.0)));
        assert_eq!(found["answered"]["requests"], 1);
        assert_eq!(Comparison::default().json()["waited"], Value::Null);
    }

    #[test]
    fn each_request_counts_for_both_sides_and_vms_wait_from_when_they_were_first_asked_for() {
        use crate::decide;
        use crate::model::history::Recall;
        use crate::placement::testing::{ask, cloud};
        let policy = Policy::default();
        let decided = |at: i64| {
            let mut snapshot = cloud(&[8]);
            ask(&mut snapshot, 1, &[0]);
            ask(&mut snapshot, 2, &[0]);
            snapshot.taken_at = at;
            decide::place_snapshot(snapshot, &Recall::default(), &policy)
        };
        let mut compared = Comparison::default();
        compared.add(&decided(50), None, &policy);
        assert!(compared.is_empty() && compared.span.is_none() && compared.unreadable == 1);
        // the other one waits for a request before it places VM 1, and never places VM 0
        let late = decided(200);
        let mut theirs = late.planned.plan.clone();
        theirs.actions.retain(|action| action.vm == VmId(1));
        compared.add(&decided(100), Some(&Plan::default()), &policy);
        compared.add(&late, Some(&theirs), &policy);
        compared.add(&decided(150), Some(&theirs), &policy);
        assert_eq!(compared.span, Some((100, 200)));
        let waits: BTreeMap<VmId, _> = compared.waits.iter().map(|(vm, one)| (*vm, *one)).collect();
        let expected = [(VmId(0), (100, [None, Some(100)])), (VmId(1), (100, [Some(200), Some(100)]))];
        assert_eq!(waits, expected.into());
        let (before, after) = (compared.verdict.before, compared.verdict.after);
        assert_eq!((before.requests, before.placements, before.placed, before.waiting), (3, 3, 2, 4));
        assert_eq!((after.requests, after.placements, after.placed, after.waiting), (3, 3, 6, 0));
        assert_eq!(compared.waited(), Some((1, 100.0, 0.0)));
        assert!(compared.breaches.iter().all(BTreeMap::is_empty), "{:?}", compared.breaches);
        // one that breaks a rule is told as often as it does
        let mut twice = late.planned.plan.clone();
        twice.actions[0].host = crate::model::ids::HostId(99);
        compared.add(&late, Some(&twice), &policy);
        compared.add(&late, Some(&twice), &policy);
        assert_eq!(compared.breaches[0].values().copied().max(), Some(2), "{:?}", compared.breaches);
        assert!(compared.breaches[1].is_empty());
    }
}
