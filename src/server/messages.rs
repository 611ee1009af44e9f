//! Why VMs wait, written where their owners look: USER_TEMPLATE/SCHED_MESSAGE, which the external
//! scheduler of OpenNebula 6 cannot reach by its answer. An answer never waits for this, and a
//! lost oned costs the message alone.
//!
//! mm_sched writes its own words there ("Cannot dispatch VM to any Host. Possible reasons: ...")
//! for each VM that it does not start, right after our answer. So ours come a moment later, and
//! again when a look at oned shows other words in their place; what stands there already is not
//! written. mm_sched takes the message away when it starts the VM.

use super::view::{Cloud, View};
use crate::machine::locks::lock;
use crate::model::ids::VmId;
use crate::oned::Oned;
use crate::opennebula::message;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// mm_sched goes through all VMs in about this time after an answer.
const AFTER_MM_SCHED: Duration = Duration::from_secs(2);
/// How long it waits for a batch before it looks again whether it is to end.
const IDLE: Duration = Duration::from_secs(3600);
/// No batch writes more messages; others follow with the next one.
const MOST: usize = 100;

/// The messages of the latest batch, and the thread that writes them.
#[derive(Debug)]
pub struct Messages {
    state: Mutex<State>,
    changed: Condvar,
    view: Arc<View>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the latest batch; earlier ones are outdated.
    wanted: BTreeMap<VmId, String>,
    /// When to write.
    due: Option<Instant>,
    stopped: bool,
}

impl Messages {
    /// Nothing is to be written yet.
    pub fn new(view: Arc<View>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), view }
    }

    /// Hands over why VMs of an answered batch wait; never waits.
    pub fn put(&self, texts: BTreeMap<VmId, String>) {
        let wanted: BTreeMap<VmId, String> = texts.into_iter().map(|(vm, text)| (vm, message::shown(&text))).collect();
        let mut state = lock(&self.state);
        if !wanted.is_empty() {
            state.due = Some(state.due.unwrap_or_else(|| Instant::now() + AFTER_MM_SCHED));
        }
        state.wanted = wanted;
        drop(state);
        self.changed.notify_all();
    }

    /// Ends the writer.
    pub fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }

    /// Writes what is handed over until told to stop, or until oned refuses who we are.
    pub fn write(&self, oned: &Oned) {
        let mut written = Written::default();
        let mut lost = false;
        while let Some(wanted) = self.next() {
            let cloud = self.view.cloud();
            for (vm, text) in written.choose(&wanted, cloud.as_deref()) {
                if lock(&self.state).stopped {
                    return;
                }
                match oned.set_sched_message(vm, &text) {
                    Ok(()) => {
                        log::debug!("vm={vm} SCHED_MESSAGE={text:?}");
                        written.note(vm, text);
                        lost = false;
                    }
                    // it has gone: there is nobody to tell
                    Err(error) if error.is_about_the_object() => written.note(vm, text),
                    Err(error) if error.refuses_us() => {
                        log::warn!("reasons are no longer written to VMs (serve.sched_message): {error}");
                        return;
                    }
                    Err(error) => {
                        if !lost {
                            log::warn!("reasons are not written to VMs for now (serve.sched_message): {error}");
                        }
                        lost = true;
                        break;
                    }
                }
            }
        }
    }

    /// The messages of the latest batch, once they are due; `None` for the end.
    fn next(&self) -> Option<BTreeMap<VmId, String>> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return None;
            }
            let left = state.due.map(|due| due.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                state.due = None;
                return Some(std::mem::take(&mut state.wanted));
            }
            let patience = left.unwrap_or(IDLE);
            state = match self.changed.wait_timeout(state, patience) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// What was written, and when.
#[derive(Debug, Default)]
struct Written(HashMap<VmId, (String, Instant)>);

impl Written {
    /// What there is to write: news, those first that were never or longest ago written.
    fn choose(&mut self, wanted: &BTreeMap<VmId, String>, cloud: Option<&Cloud>) -> Vec<(VmId, String)> {
        let pending: HashSet<VmId> = cloud.into_iter().flat_map(|cloud| cloud.vms.keys().copied()).collect();
        self.0.retain(|vm, _| wanted.contains_key(vm) || pending.contains(vm));
        // what oned showed after the last time that it was written
        let stands = |vm: &VmId, since: Option<Instant>| {
            let cloud = cloud.filter(|cloud| since.is_none_or(|since| cloud.at > since))?;
            cloud.vms.get(vm).map(|vm| vm.sched_message.as_str())
        };
        let is_news = |(vm, text): &(&VmId, &String)| {
            let last = self.0.get(vm);
            match stands(vm, last.map(|(_, at)| *at)) {
                Some(standing) => standing != text.as_str(),
                None => last.is_none_or(|(written, _)| written != *text),
            }
        };
        let mut news: Vec<(VmId, String)> =
            wanted.iter().filter(is_news).map(|(vm, text)| (*vm, text.clone())).collect();
        news.sort_by_key(|(vm, _)| (self.0.get(vm).map(|(_, at)| *at), *vm));
        news.truncate(MOST);
        news
    }

    fn note(&mut self, vm: VmId, text: String) {
        self.0.insert(vm, (text, Instant::now()));
    }
}

#[cfg(test)]
impl Messages {
    /// Who is to be told something.
    pub fn wanted(&self) -> Vec<VmId> {
        lock(&self.state).wanted.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Vm;
    use crate::model::units::{Cpu, Memory};
    use crate::oned::testing::{Scripted, refused, success};
    use crate::opennebula::xmlrpc::{AUTHORIZATION, NO_SUCH_OBJECT};

    fn wanted(texts: &[(i32, &str)]) -> BTreeMap<VmId, String> {
        texts.iter().map(|(vm, text)| (VmId(*vm), (*text).to_owned())).collect()
    }

    fn cloud(messages: &[(i32, &str)], at: Instant) -> Cloud {
        let vm = |(id, text): &(i32, &str)| {
            let vm = Vm { sched_message: (*text).to_owned(), ..Vm::plain(VmId(*id), Cpu(100), Memory(1024)) };
            (VmId(*id), vm)
        };
        Cloud { hosts: Vec::new(), vms: messages.iter().map(vm).collect(), at }
    }

    fn ids(chosen: Vec<(VmId, String)>) -> Vec<i32> {
        chosen.into_iter().map(|(vm, _)| vm.0).collect()
    }

    #[test]
    fn only_news_are_written() {
        let mut written = Written::default();
        let before = Instant::now();
        // what a run before this one has written stands there already
        let known = cloud(&[(1, "a"), (2, "Cannot dispatch VM")], before);
        assert_eq!(ids(written.choose(&wanted(&[(1, "a"), (2, "b"), (3, "c")]), Some(&known))), [2, 3]);
        written.note(VmId(2), "b".to_owned());
        written.note(VmId(3), "c".to_owned());
        // the look is older than what was written since
        assert!(written.choose(&wanted(&[(1, "a"), (2, "b"), (3, "c")]), Some(&known)).is_empty());
        assert_eq!(ids(written.choose(&wanted(&[(2, "new"), (3, "c")]), Some(&known))), [2]);
        // mm_sched has written over one of them
        let later = cloud(&[(2, "b"), (3, "Cannot dispatch VM")], Instant::now() + Duration::from_secs(1));
        assert_eq!(ids(written.choose(&wanted(&[(2, "b"), (3, "c")]), Some(&later))), [3]);
        // without any look only what changes
        assert_eq!(ids(written.choose(&wanted(&[(2, "b"), (3, "other")]), None)), [3]);
        // who is gone is forgotten
        assert!(written.choose(&wanted(&[]), None).is_empty() && written.0.is_empty());
    }

    #[test]
    fn of_many_the_longest_ago_come_first() {
        let mut written = Written::default();
        let all: BTreeMap<VmId, String> = (0..250).map(|vm| (VmId(vm), "a".to_owned())).collect();
        let mut seen = HashSet::new();
        for round in [100, 100, 50, 0] {
            let chosen = written.choose(&all, None);
            assert_eq!(chosen.len(), round);
            for (vm, text) in chosen {
                assert!(seen.insert(vm));
                written.note(vm, text);
            }
        }
    }

    fn messages() -> Messages {
        Messages::new(Arc::new(View::new(IDLE, false)))
    }

    /// As if mm_sched had had its time.
    fn make_due(messages: &Messages) {
        lock(&messages.state).due = Some(Instant::now());
        messages.changed.notify_all();
    }

    #[test]
    fn what_was_handed_over_last_is_due_a_moment_after_the_first_batch() {
        let messages = messages();
        let state = || {
            let state = lock(&messages.state);
            (state.due, state.wanted.clone())
        };
        let begun = Instant::now();
        messages.put(wanted(&[]));
        assert_eq!(state(), (None, wanted(&[])), "there is nothing to write");
        messages.put(wanted(&[(1, "a \"b\"\nc")]));
        let due = state().0.unwrap();
        assert!(due >= begun + AFTER_MM_SCHED && due <= Instant::now() + AFTER_MM_SCHED);
        assert_eq!(state().1, wanted(&[(1, &message::shown("a \"b\"\nc"))]));
        messages.put(wanted(&[(2, "b")]));
        assert_eq!(state(), (Some(due), wanted(&[(2, "b")])));
        messages.put(wanted(&[]));
        assert_eq!(state(), (Some(due), wanted(&[])), "nobody waits any more");
    }

    #[test]
    fn they_come_once_when_they_are_due_and_no_more_after_the_end() {
        let messages = messages();
        messages.put(wanted(&[(2, "b")]));
        make_due(&messages);
        assert_eq!(messages.next(), Some(wanted(&[(2, "b")])));
        assert!(lock(&messages.state).due.is_none() && lock(&messages.state).wanted.is_empty());
        // who waits is woken by a batch, and by the end
        std::thread::scope(|scope| {
            let next = scope.spawn(|| (messages.next(), messages.next()));
            messages.put(wanted(&[(3, "c")]));
            make_due(&messages);
            while lock(&messages.state).due.is_some() {
                std::thread::yield_now();
            }
            messages.stop();
            assert_eq!(next.join().unwrap(), (Some(wanted(&[(3, "c")])), None));
        });
        messages.put(wanted(&[(3, "c")]));
        make_due(&messages);
        assert_eq!(messages.next(), None);
    }

    /// The VMs that are written to, in turn.
    fn written_to(asked: &[crate::oned::testing::Call]) -> Vec<&str> {
        asked.iter().map(|(_, params)| params[0].as_str()).collect()
    }

    #[test]
    fn each_message_is_written_once_and_a_vm_that_is_gone_is_not_asked_again() {
        let (scripted, messages) = (Scripted::start(), messages());
        let oned = scripted.client();
        scripted.answer("one.vm.update", &[success(""), refused(NO_SUCH_OBJECT), success("")]);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| messages.write(&oned));
            messages.put(wanted(&[(1, "a"), (2, "b")]));
            make_due(&messages);
            let asked = scripted.asked_at_least(2);
            assert_eq!(written_to(&asked), ["<i4>1</i4>", "<i4>2</i4>"]);
            assert_eq!(asked[0].1[1], "<string>SCHED_MESSAGE = \"a\"</string>");
            messages.put(wanted(&[(1, "a"), (2, "b"), (3, "c")]));
            make_due(&messages);
            assert_eq!(written_to(&scripted.asked_at_least(1)), ["<i4>3</i4>"]);
            messages.stop();
            writing.join().unwrap();
        });
        assert!(scripted.asked().is_empty());
    }

    #[test]
    fn who_is_refused_writes_no_more_and_a_lost_oned_costs_this_batch() {
        let (scripted, messages) = (Scripted::start(), messages());
        let oned = scripted.client();
        scripted.answer("one.vm.update", &[refused(0x1000), success(""), refused(AUTHORIZATION)]);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| messages.write(&oned));
            messages.put(wanted(&[(1, "a"), (2, "b")]));
            make_due(&messages);
            assert_eq!(written_to(&scripted.asked_at_least(1)), ["<i4>1</i4>"]);
            // what was not written is still news
            messages.put(wanted(&[(1, "a"), (7, "x"), (8, "y")]));
            make_due(&messages);
            assert_eq!(written_to(&scripted.asked_at_least(2)), ["<i4>1</i4>", "<i4>7</i4>"]);
            // it ends by itself
            writing.join().unwrap();
        });
        assert!(scripted.asked().is_empty());
    }

    #[test]
    fn a_look_of_the_same_moment_shows_nothing_new_and_the_longest_ago_is_written_first() {
        let mut written = Written::default();
        let at = Instant::now();
        let before = at.checked_sub(Duration::from_secs(1)).unwrap();
        written.0.insert(VmId(1), ("a".to_owned(), at));
        written.0.insert(VmId(2), ("b".to_owned(), before));
        let other = cloud(&[(1, "x"), (2, "y")], at);
        assert_eq!(ids(written.choose(&wanted(&[(1, "a"), (2, "b")]), Some(&other))), [2]);
        assert_eq!(ids(written.choose(&wanted(&[(1, "c"), (2, "c"), (3, "c")]), None)), [3, 2, 1]);
        // who is still pending is not forgotten, though it is not of this batch
        written.choose(&wanted(&[(9, "z")]), Some(&cloud(&[(2, "b")], at)));
        assert_eq!(written.0.keys().collect::<Vec<_>>(), [&VmId(2)]);
        written.choose(&wanted(&[(2, "b")]), None);
        assert_eq!(written.0.len(), 1);
    }
}
