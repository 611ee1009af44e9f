//! What goes wrong around the loop, as a request and what is remembered show it: each is said once for as long as
//! it lasts, and remembered until it is over.
//!
//! | trouble | seen by |
//! |---|---|
//! | failed | a short stay of a waiting VM on a host (`failures`); it counts for half an hour, also when the VM runs elsewhere by then |
//! | unsampled | a sample of a host older than `monitoring_max_age`, beside newer ones of others |
//! | clock | the newest sample lies ahead of the clock, or far behind it |
//! | dropped | nobody whom the latest answers placed has left the queue |
//! | unfinished | the rest of a long plan still waits when its time is over |
//!
//! Nothing of this changes a placement, but for what failed. Without a memory nothing is said: it would be said
//! time and again.

use super::failures;
use super::underway::UnderWay;
use crate::model::history::{Recall, Trouble, TroubleKind};
use crate::model::ids::HostId;
use crate::model::moment::utc;
use crate::model::policy::Policy;
use crate::model::snapshot::{Notice, Snapshot, Subject};

/// Clocks that differ by less are not worth a word, in seconds; NTP keeps them within a second.
const CLOCKS: i64 = 120;

/// A request whose newest sample is older than this was recorded, and is no sign of a clock. In seconds.
const RECORDED: i64 = 86_400;

/// So many answers in a row that oned did not apply are worth a word: one or two are usual under load.
const DROPPED: u32 = 3;

/// At most so many are remembered, the newest of those that failed: more say nothing that these do not.
const KEPT: usize = 1000;

/// So many hosts are named.
const NAMED: usize = 5;

/// What goes wrong now, and what is to be said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// All of it, sorted: what the next request has to know.
    pub all: Vec<Trouble>,
    /// What the last request did not know yet.
    pub notices: Vec<Notice>,
}

/// Looks at a request. O(hosts + VMs + what is remembered).
#[must_use]
pub fn troubles(snapshot: &Snapshot, recall: &Recall, under_way: &UnderWay, policy: &Policy) -> Troubles {
    let now = recall.now;
    if now == 0 {
        return Troubles::default();
    }
    let mut found = Troubles { all: failures::remembered(snapshot, recall, policy), notices: Vec::new() };
    found.hosts(snapshot, recall, policy);
    let age = now - snapshot.taken_at;
    let clock = match age {
        _ if snapshot.taken_at == 0 || policy.monitoring_max_age == 0 => None,
        ..0 if -age > CLOCKS => Some(format!(
            "the newest sample is {} min ahead of the clock here: set the clocks of the front-end and of the hosts (NTP)",
            -age / 60
        )),
        0..RECORDED if age > policy.monitoring_max_age + CLOCKS => Some(format!(
            "the newest sample is {} min old: oned gets no samples, or the clock here is ahead; VMs count as what they \
             are expected to use",
            age / 60
        )),
        _ => None,
    };
    if let Some(text) = clock {
        found.tell_once(recall, TroubleKind::Clock, now, text);
    }
    found.answers(recall, under_way);
    if let Some(many) = found.all.len().checked_sub(KEPT) {
        found.all.sort_by_key(|one| (one.kind == TroubleKind::Failed, one.at));
        let first = found.all.iter().position(|one| one.kind == TroubleKind::Failed).unwrap_or(found.all.len());
        found.all.drain(first..(first + many).min(found.all.len()));
    }
    found.all.sort();
    found
}

impl Troubles {
    /// Hosts whose samples have stopped.
    fn hosts(&mut self, snapshot: &Snapshot, recall: &Recall, policy: &Policy) {
        let stale = snapshot.hosts.iter().filter_map(|host| {
            let at = host.monitoring.map(|sample| sample.timestamp).filter(|at| *at > 0)?;
            (policy.monitoring_max_age > 0 && !snapshot.is_fresh(at, policy.monitoring_max_age))
                .then_some((host.id, at))
        });
        let known = |host: HostId| {
            recall.notes.troubles.iter().any(|one| one.kind == TroubleKind::Unsampled && one.host == Some(host))
        };
        let mut fresh = Vec::new();
        for (host, at) in stale {
            self.all.push(Trouble { host: Some(host), ..Trouble::new(TroubleKind::Unsampled, at) });
            if !known(host) {
                fresh.push((host, at));
            }
        }
        let what = "its VMs count as what they are expected to use";
        match &fresh[..] {
            [] => {}
            [(host, at)] => {
                let text = format!("has had no sample since {}: {what}", utc(*at));
                self.notices.push(Notice { subject: Subject::Host(*host), text });
            }
            many => {
                let named: Vec<String> = many.iter().take(NAMED).map(|(host, _)| host.to_string()).collect();
                let more = if many.len() > NAMED { format!(" and {} more", many.len() - NAMED) } else { String::new() };
                let since = many.iter().map(|(_, at)| *at).min().unwrap_or(0);
                let named = named.join(", ");
                let text = format!(
                    "hosts {named}{more} have had no sample since {} or later: their VMs count as what they are \
                     expected to use",
                    utc(since)
                );
                self.notices.push(Notice { subject: Subject::Request, text });
            }
        }
    }

    /// What oned did not do of our answers.
    fn answers(&mut self, recall: &Recall, under_way: &UnderWay) {
        if let Some(at) = under_way.dropped {
            let before = recall.notes.troubles.iter().find(|one| one.kind == TroubleKind::Dropped);
            let count = match before {
                Some(before) if before.at == at => before.count,
                Some(before) => before.count.saturating_add(1),
                None => 1,
            };
            if count >= DROPPED && before.is_none_or(|before| before.count < DROPPED) {
                let text = format!(
                    "oned has applied none of the last {count} answers: it drops them while an earlier plan is still \
                     being applied; what they placed is placed anew"
                );
                self.notices.push(Notice { subject: Subject::Request, text });
            }
            self.all.push(Trouble { count, ..Trouble::new(TroubleKind::Dropped, at) });
        }
        if let Some((at, vms)) = under_way.unfinished {
            let vms = if vms == 1 { "one VM".to_owned() } else { format!("{vms} VMs") };
            let text = format!(
                "oned has not started {vms} of the answer of {}, perhaps because it was restarted: what still waits is \
                 placed anew",
                utc(at)
            );
            self.tell_once(recall, TroubleKind::Unfinished, at, text);
        }
    }

    /// Says what was not there at the last request.
    fn tell_once(&mut self, recall: &Recall, kind: TroubleKind, at: i64, text: String) {
        let before = recall.notes.troubles.iter().find(|one| one.kind == kind && one.host.is_none());
        let goes_on = before.filter(|before| kind == TroubleKind::Clock || before.at == at);
        if goes_on.is_none() {
            self.notices.push(Notice { subject: Subject::Request, text });
        }
        self.all.push(Trouble::new(kind, goes_on.map_or(at, |before| before.at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::underway::Pace;
    use crate::model::history::Notes;
    use crate::model::history::TroubleKind::{Clock, Dropped, Failed, Unfinished, Unsampled};
    use crate::model::ids::VmId;
    use crate::model::snapshot::{Candidates, Host, HostMonitoring, Stay, Vm};
    use crate::model::units::{Cpu, Memory};

    const NOW: i64 = 1_700_000_000;

    /// Hosts with samples of so many seconds ago.
    fn request(ages: &[i64]) -> Snapshot {
        let sampled = |(id, age): (i32, &i64)| {
            let mut host = Host::plain(HostId(id), Cpu(400), Memory(1024));
            let (cpu_used, memory_used) = (Cpu(0), Memory(0));
            host.monitoring = Some(HostMonitoring { timestamp: NOW - age, cpu_used, memory_used });
            host
        };
        let hosts: Vec<_> = (0..).zip(ages).map(sampled).collect();
        Snapshot { hosts, taken_at: NOW - ages.iter().min().unwrap_or(&0), ..Snapshot::default() }
    }

    fn knowing(troubles: &[Trouble]) -> Recall {
        Recall { now: NOW, notes: Notes { troubles: troubles.to_vec(), ..Notes::default() }, ..Recall::default() }
    }

    /// What is told, and what is to be remembered.
    fn told(snapshot: &Snapshot, recall: &Recall, under_way: &UnderWay) -> (Vec<String>, Vec<Trouble>) {
        let found = troubles(snapshot, recall, under_way, &Policy::default());
        let texts = found.notices.iter().map(|notice| format!("{}: {}", notice.subject, notice.text));
        (texts.collect(), found.all)
    }

    fn nothing() -> UnderWay {
        UnderWay::nothing(Pace::Quick)
    }

    #[test]
    fn samples_that_stop_are_told_once_until_they_are_back() {
        let stale = request(&[10, 700, 20]);
        let (first, all) = told(&stale, &knowing(&[]), &nothing());
        assert_eq!(
            first,
            ["host 1: has had no sample since 2023-11-14T22:01:40Z: its VMs count as what they are expected to use"]
        );
        let one = |host: i32, age: i64| Trouble { host: Some(HostId(host)), ..Trouble::new(Unsampled, NOW - age) };
        assert_eq!(all, [one(1, 700)]);
        assert_eq!(told(&stale, &knowing(&all), &nothing()), (vec![], all.clone()), "it was said");
        assert_eq!(told(&request(&[10, 20, 20]), &knowing(&all), &nothing()), (vec![], vec![]), "it is back");
        let (again, _) = told(&stale, &knowing(&[]), &nothing());
        assert_eq!(again, first, "and gone again");
        // many are one line; one that was known is not named again
        let (many, all) =
            told(&request(&[10, 700, 701, 702, 703, 704, 705, 706]), &knowing(&[one(1, 700)]), &nothing());
        assert_eq!(all.len(), 7);
        assert_eq!(
            many,
            ["hosts 2, 3, 4, 5, 6 and 1 more have had no sample since 2023-11-14T22:01:34Z or later: their VMs count \
              as what they are expected to use"
                .to_owned()]
            .map(|text| format!("{}: {text}", Subject::Request))
        );
        // where nothing is remembered it would be said at each request
        assert_eq!(troubles(&stale, &Recall::default(), &nothing(), &Policy::default()), Troubles::default());
        let unmonitored = Policy { monitoring_max_age: 0, ..Policy::default() };
        assert_eq!(troubles(&stale, &knowing(&[]), &nothing(), &unmonitored), Troubles::default());
    }

    #[test]
    fn clocks_that_differ_are_told_once() {
        for (age, text) in [
            (0, None),
            (-CLOCKS, None),
            (-CLOCKS - 1, Some("2 min ahead of the clock here")),
            (600 + CLOCKS, None),
            (600 + CLOCKS + 1, Some("12 min old: oned gets no samples, or the clock here is ahead")),
            (RECORDED - 1, Some("1439 min old")),
            (RECORDED, None),
        ] {
            let (first, all) = told(&request(&[age]), &knowing(&[]), &nothing());
            assert_eq!(first.len(), usize::from(text.is_some()), "{age}");
            assert!(first.iter().all(|told| text.is_some_and(|text| told.contains(text))), "{age}: {first:?}");
            assert_eq!(told(&request(&[age]), &knowing(&all), &nothing()), (vec![], all), "{age}");
        }
        let clock = Trouble::new(Clock, NOW - 50);
        let (_, all) = told(&request(&[-500]), &knowing(std::slice::from_ref(&clock)), &nothing());
        assert_eq!(all, [clock], "since when it is so");
        // a request without samples tells no time
        let bare = Snapshot::default();
        assert_eq!(told(&bare, &knowing(&[]), &nothing()), (vec![], vec![]));
    }

    #[test]
    fn answers_that_oned_drops_are_told_when_they_are_three_in_a_row() {
        let mut known = Vec::new();
        let mut said = Vec::new();
        for answer in 1..=10 {
            let dropped = UnderWay { dropped: Some(NOW - 100 + answer), ..nothing() };
            let (texts, all) = told(&request(&[0]), &knowing(&known), &dropped);
            assert_eq!(all, [Trouble { count: answer as u32, ..Trouble::new(Dropped, NOW - 100 + answer) }]);
            said.extend(texts.into_iter().map(|text| (answer, text)));
            known = all;
            // a request in between that was answered with nothing counts no answer twice
            known = told(&request(&[0]), &knowing(&known), &dropped).1;
        }
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].0, 3);
        assert!(said[0].1.contains("has applied none of the last 3 answers"), "{}", said[0].1);
        assert_eq!(told(&request(&[0]), &knowing(&known), &nothing()).1, [], "one was applied");
        // another trouble is no count of answers
        let other = Trouble { count: 2, ..Trouble::new(Clock, NOW - 200) };
        let dropped = UnderWay { dropped: Some(NOW - 50), ..nothing() };
        let (texts, all) = told(&request(&[0]), &knowing(&[other]), &dropped);
        assert_eq!((texts.len(), all.iter().map(|one| one.count).max()), (0, Some(1)), "{texts:?}");
    }

    #[test]
    fn an_answer_that_oned_left_unfinished_is_told_once() {
        let left = |at, vms| UnderWay { unfinished: Some((at, vms)), ..nothing() };
        let (first, all) = told(&request(&[0]), &knowing(&[]), &left(NOW - 200, 7));
        let right = "oned has not started 7 VMs of the answer of 2023-11-14T22:10:00Z, perhaps because it was restarted: \
                     what still waits is placed anew";
        assert_eq!(first, [format!("{}: {right}", Subject::Request)]);
        assert_eq!(all, [Trouble::new(Unfinished, NOW - 200)]);
        assert_eq!(told(&request(&[0]), &knowing(&all), &left(NOW - 200, 7)), (vec![], all.clone()));
        let (another, _) = told(&request(&[0]), &knowing(&all), &left(NOW - 100, 1));
        assert!(another[0].contains("has not started one VM of the answer of"), "{another:?}");
    }

    #[test]
    fn failures_are_remembered_of_vms_that_run_elsewhere_by_now() {
        let failed = |vm: i32, host: i32, age: i64| Trouble {
            host: Some(HostId(host)),
            vm: Some(VmId(vm)),
            ..Trouble::new(Failed, NOW - age)
        };
        let mut asked = request(&[0, 0, 0]);
        let stay = Stay { host: HostId(1), began: NOW - 70, ended: NOW - 60 };
        asked.vms = vec![Vm { stays: vec![stay], ..Vm::plain(VmId(5), Cpu(100), Memory(1)) }];
        asked.candidates =
            vec![Candidates { vm: 0, hosts: vec![0, 1, 2].into(), datastores: Vec::new().into(), nics: Vec::new() }];
        asked.hosts[2].vms = vec![VmId(9)];
        let known = [
            failed(5, 0, 100),   // waits, and says something else by now
            failed(6, 0, 1800),  // counts for the last time
            failed(7, 0, 1801),  // long ago
            failed(8, 2, 100),   // runs elsewhere
            failed(9, 2, 100),   // runs on that very host
            failed(10, 0, -100), // of a clock that was wrong
        ];
        let (texts, all) = told(&asked, &knowing(&known), &nothing());
        assert_eq!((texts, all), (vec![], vec![failed(6, 0, 1800), failed(5, 1, 60), failed(8, 2, 100)]));
        // of too many the newest
        let many: Vec<Trouble> = (0..1_010).map(|vm| failed(100 + vm, 0, 1_010 - i64::from(vm))).collect();
        let (_, all) = told(&request(&[0]), &knowing(&many), &nothing());
        let oldest = all.iter().map(|one| one.at).min();
        assert_eq!((all.len(), oldest), (1000, Some(NOW - 1000)));
    }

    #[test]
    fn what_is_no_failure_is_remembered_however_much_it_is() {
        let mut ages = vec![0];
        ages.resize(KEPT + 3, 5_000);
        let failed = |vm: i32| Trouble {
            host: Some(HostId(0)),
            vm: Some(VmId(vm)),
            ..Trouble::new(Failed, NOW - 100 + i64::from(vm))
        };
        let kept = |failures: i32| {
            let known: Vec<Trouble> = (0..failures).map(failed).collect();
            let all = told(&request(&ages), &knowing(&known), &nothing()).1;
            let stopped = all.iter().filter(|one| one.kind == Unsampled).count();
            (stopped, all.len() - stopped)
        };
        assert_eq!((kept(0), kept(1), kept(5)), ((KEPT + 2, 0), (KEPT + 2, 0), (KEPT + 2, 0)));
        ages.truncate(KEPT - 1);
        let known: Vec<Trouble> = (0..5).map(failed).collect();
        let all = told(&request(&ages), &knowing(&known), &nothing()).1;
        let failures: Vec<i32> =
            all.iter().filter(|one| one.kind == Failed).filter_map(|one| one.vm).map(|vm| vm.0).collect();
        assert_eq!((all.len(), failures), (KEPT, vec![3, 4]), "the newest");
    }
}
