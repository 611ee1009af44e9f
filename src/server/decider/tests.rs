use super::super::chosen::Chosen;
use super::super::memory::StoreHealth;
use super::super::metrics::Moment;
use super::*;
use crate::model::ids::ClusterId;
use crate::model::plan::Operation;
use crate::model::snapshot::{Host, Section, Subject};
use crate::opennebula::external::Asked;

/// A store that knows this, and notes what it is asked and told.
#[derive(Default)]
struct Noted {
    recall: Recall,
    asked: Mutex<Vec<Policy>>,
    told: Mutex<Vec<(Vec<VmId>, i64)>>,
}

impl Memory for Noted {
    fn recall(&self, _: &Snapshot, policy: &Policy, now: i64) -> Recall {
        lock(&self.asked).push(policy.clone());
        Recall { now, ..self.recall.clone() }
    }

    fn remember(&self, decided: &Decided, now: i64) {
        lock(&self.told).push((decided.planned.plan.actions.iter().map(|action| action.vm).collect(), now));
    }

    fn health(&self) -> StoreHealth {
        StoreHealth::default()
    }

    fn model_age(&self) -> Option<Duration> {
        None
    }
}

/// A decider and what it tells.
struct Desk {
    decider: Decider,
    view: Arc<View>,
    metrics: Arc<Metrics>,
    memory: Arc<Noted>,
    board: Arc<Board>,
    logged: Arc<Mutex<Vec<i64>>>,
}

impl Desk {
    fn new(settings: Settings, cloud: Option<Cloud>) -> Self {
        Self::with(settings, cloud, Chosen::default(), Recall::default())
    }

    fn with(settings: Settings, cloud: Option<Cloud>, chosen: Chosen, recall: Recall) -> Self {
        let view = Arc::new(View::new(Duration::from_secs(60), cloud.is_some()));
        cloud.into_iter().for_each(|cloud| view.show(cloud));
        let (metrics, memory) = (Arc::new(Metrics::default()), Arc::new(Noted { recall, ..Noted::default() }));
        let board = Arc::new(Board::new(Box::new(|_, course, _| course.len().to_string())));
        let logged: Arc<Mutex<Vec<i64>>> = Arc::default();
        let log = logged.clone();
        let decider = Decider::new(
            settings,
            Arc::new(Choice::new(chosen, None)),
            view.clone(),
            memory.clone(),
            metrics.clone(),
            Box::new(move |_, now| lock(&log).push(now)),
            board.clone(),
        );
        Self { decider, view, metrics, memory, board, logged }
    }

    fn ask(&self, batch: &Batch) -> (Outcome, Option<After>) {
        self.ask_as(batch, true, changers::Origin::Own)
    }

    fn ask_as(&self, batch: &Batch, mm_sched: bool, from: changers::Origin) -> (Outcome, Option<After>) {
        self.decider.decide(batch, Asker { request: "r", mm_sched, from, stop: Stop::default() })
    }

    /// Decides and answers.
    fn answer(&self, batch: &Batch) -> Outcome {
        let (outcome, after) = self.ask(batch);
        self.decider.finish(&after.unwrap(), true);
        outcome
    }

    fn number(&self, name: &str) -> String {
        let text = self.metrics.text(&Moment::default()).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(&format!("oneaio_{name} ")).map(str::to_owned));
        found.unwrap_or_default()
    }
}

/// VMs (id, cores) that may go to these hosts.
fn batch(vms: &[(i32, i64, &[i32])]) -> Batch {
    let asked = |(id, cores, hosts): &(i32, i64, &[i32])| Asked {
        vm: VmId(*id),
        hosts: hosts.iter().copied().map(HostId).collect(),
        capacity: (*cores > 0).then_some((Cpu(cores * 100), Size(1 << 20))),
        current: None,
        flavours: String::new(),
    };
    Batch { vms: vms.iter().map(asked).collect(), odd: Vec::new() }
}

/// Hosts of (id, cores, cores allocated), and VMs (id, cores, message) that wait.
fn cloud(hosts: &[(i32, i64, i64)], vms: &[(i32, i64, &str)]) -> Cloud {
    let host = |(id, cores, allocated): &(i32, i64, i64)| Host {
        cluster: ClusterId(0),
        cpu_allocated: Cpu(allocated * 100),
        ..Host::plain(HostId(*id), Cpu(cores * 100), Size(64 << 20))
    };
    let vm = |(id, cores, text): &(i32, i64, &str)| {
        let vm = Vm::plain(VmId(*id), Cpu(cores * 100), Size(1 << 20));
        (VmId(*id), Vm { sched_message: (*text).to_owned(), ..vm })
    };
    Cloud { hosts: hosts.iter().map(host).collect(), vms: vms.iter().map(vm).collect(), at: Instant::now() }
}

/// As many VMs as there is room for begin at once.
fn at_once() -> Settings {
    let mut settings = Settings::default();
    (settings.serve.max_host, settings.serve.max_dispatch) = (None, None);
    settings
}

fn pairs(pairs: &[(i32, i32)]) -> Vec<(VmId, HostId)> {
    pairs.iter().map(|(vm, host)| (VmId(*vm), HostId(*host))).collect()
}

fn refused(outcome: &Outcome) -> Vec<i32> {
    outcome.refused.iter().map(|one| one.vm.0).collect()
}

#[test]
fn a_vm_without_a_size_is_placed_for_others_and_left_to_mm_sched() {
    let desk = Desk::new(at_once(), None);
    let sizeless = batch(&[(1, 0, &[4])]);
    let (outcome, after) = desk.ask(&sizeless);
    assert!(after.is_none() && outcome.placed.is_empty() && outcome.oned_age.is_none());
    assert_eq!(outcome.left_out, [LeftOut { index: 0, vm: VmId(1), why: Why::UnknownSize }]);
    assert_eq!(desk.number("refusals_total{reason=\"CAPACITY\"}"), "1");
    assert!(lock(&desk.memory.asked).is_empty(), "nobody is asked for nothing");
    let (outcome, after) = desk.ask_as(&sizeless, false, changers::Origin::Own);
    assert_eq!((outcome.placed, after.is_some()), (pairs(&[(1, 4)]), true));
}

#[test]
fn who_is_left_out_is_counted_by_cause_and_an_unknown_host_asks_for_a_look() {
    let desk = Desk::new(at_once(), Some(cloud(&[(4, 8, 0)], &[])));
    let mut asked = batch(&[(1, 1, &[]), (2, 0, &[4]), (3, 1, &[4])]);
    asked.odd = vec![crate::opennebula::external::BodyError::new("VMS[3].ID", "is odd"); 2];
    let outcome = desk.ask(&asked).0;
    assert_eq!(outcome.left_out.iter().map(|out| out.why).collect::<Vec<_>>(), [Why::NoHosts, Why::UnknownSize]);
    assert!(outcome.oned_age.is_some() && !desk.view.is_poked());
    assert_eq!(outcome.placed, pairs(&[(3, 4)]));
    desk.ask(&batch(&[(1, 1, &[77]), (2, 1, &[78])]));
    assert!(desk.view.is_poked());
    for (reason, count) in [("CAPACITY", "1"), ("HOST_IDS", "3"), ("form", "2")] {
        assert_eq!(desk.number(&format!("refusals_total{{reason=\"{reason}\"}}")), count, "{reason}");
    }
}

#[test]
fn what_is_answered_takes_room_and_is_kept_and_what_nobody_hears_is_not() {
    let desk = Desk::new(at_once(), Some(cloud(&[(4, 4, 0)], &[])));
    let first = batch(&[(1, 3, &[4])]);
    let (outcome, after) = desk.ask(&first);
    assert_eq!(outcome.placed, pairs(&[(1, 4)]));
    desk.decider.finish(after.as_ref().unwrap(), false);
    assert!(lock(&desk.memory.told).is_empty() && lock(&desk.logged).is_empty());
    assert_eq!(&*desk.board.text(&serde_json::Value::Null), "0");
    assert_eq!(desk.ask(&batch(&[(2, 3, &[4])])).0.placed, pairs(&[(2, 4)]), "its room is free");
    let after = after.unwrap();
    desk.decider.finish(&after, true);
    assert_eq!(*lock(&desk.memory.told), [(vec![VmId(1)], after.now)]);
    assert_eq!(*lock(&desk.logged), [after.now]);
    let outcome = desk.ask(&batch(&[(2, 3, &[4])])).0;
    assert_eq!((outcome.placed, outcome.refused[0].vm), (vec![], VmId(2)));
    // asked again it does not stand in its own way
    assert_eq!(desk.ask(&first).0.placed, pairs(&[(1, 4)]));
    // a later look shows what became of it
    let later = Cloud { at: Instant::now() + Duration::from_secs(31), ..cloud(&[(4, 4, 0)], &[]) };
    desk.view.show(later);
    assert_eq!(desk.ask(&batch(&[(2, 3, &[4])])).0.placed, pairs(&[(2, 4)]));
    assert_eq!((desk.number("decisions_total").as_str(), desk.number("spare_lacking_failures").as_str()), ("4", "-1"));
    assert_eq!(desk.number("refusals_total{reason=\"cpu\"}"), "1");
}

#[test]
fn the_page_shows_what_was_answered() {
    let desk = Desk::new(at_once(), None);
    desk.answer(&batch(&[(1, 1, &[4])]));
    assert_eq!(&*desk.board.text(&serde_json::Value::Null), "1");
}

#[test]
fn an_answer_counts_where_somebody_will_act_on_it() {
    use changers::Origin::{Elsewhere, Own, Stranger};
    let known = || Some(cloud(&[(4, 8, 0)], &[(1, 2, ""), (2, 1, "")]));
    for (what, cloud, vms, from, counts) in [
        ("ours", known(), &[(9, 2)][..], Own, true),
        ("another user's", known(), &[(1, 2)], Stranger, false),
        ("another user's, of whom nothing is known", None, &[(1, 2)], Stranger, false),
        ("from elsewhere, as it waits", known(), &[(1, 2), (2, 1)], Elsewhere, true),
        ("from elsewhere, one is unknown", known(), &[(1, 2), (9, 1)], Elsewhere, false),
        ("from elsewhere, of another size", known(), &[(1, 3)], Elsewhere, false),
        ("from elsewhere, and nothing is known", None, &[(9, 2)], Elsewhere, true),
    ] {
        let desk = Desk::new(at_once(), cloud);
        let vms: Vec<(i32, i64, &[i32])> = vms.iter().map(|(vm, cores)| (*vm, *cores, &[4][..])).collect();
        let (outcome, after) = desk.ask_as(&batch(&vms), true, from);
        assert_eq!((outcome.placed.len(), after.as_ref().unwrap().counts), (vms.len(), counts), "{what}");
        desk.decider.finish(&after.unwrap(), true);
        assert_eq!(lock(&desk.memory.told).len(), usize::from(counts), "{what}");
    }
}

#[test]
fn what_is_set_over_rest_counts_and_nobody_pauses() {
    let chosen = Chosen { energy_cost_scalar: Some(7.0), ..Chosen::default() };
    let desk = Desk::with(at_once(), None, chosen, Recall::default());
    desk.ask(&batch(&[(1, 1, &[4])]));
    let asked = lock(&desk.memory.asked);
    let retry = Retry { pause: 0, ..Policy::default().retry };
    assert_eq!((asked.len(), asked[0].s_green, asked[0].retry), (1, 7.0, retry));
}

#[test]
fn classes_by_chance_are_those_of_vms_and_of_where_our_own_answers_sent_them() {
    let chosen = || Chosen { classifier: Some("RandomClassifier".to_owned()), ..Chosen::default() };
    let known = cloud(&[(4, 8, 0), (5, 8, 0)], &[]);
    // the store knows an older answer for VM 9, and one for VM 8
    let placements = [8, 9].map(|vm| crate::model::history::Placement { vm: VmId(vm), host: HostId(5), at: 0 });
    let recall = Recall { placements: placements.to_vec(), ..Recall::default() };
    let desk = Desk::with(at_once(), Some(known), chosen(), recall);
    desk.answer(&batch(&[(9, 1, &[4])]));
    let after = desk.ask(&batch(&[(1, 1, &[4, 5])])).1.unwrap();
    let found = after.decided.demands.classes.as_ref().unwrap();
    let of = |vm: i32| chosen().random_vector(VmId(vm)).unwrap();
    // nobody knows VM 8, which counts as the others do on average
    let usual: Vec<f64> = of(1).iter().zip(of(9)).map(|(a, b)| (a + b) / 2.0).collect();
    assert_eq!(found.hosts, [of(9), usual]);
    assert_eq!(found.vms.len(), 1);
}

#[test]
fn who_would_be_started_before_the_others_is_planned_before_them() {
    // by size 2 would go first, but mm_sched goes by id and has room for 1 then
    let asked = batch(&[(1, 4, &[4]), (2, 6, &[4]), (3, 1, &[5])]);
    let desk = Desk::new(at_once(), Some(cloud(&[(4, 8, 0), (5, 8, 0)], &[])));
    let (outcome, after) = desk.ask(&asked);
    assert_eq!((&outcome.placed, refused(&outcome)), (&pairs(&[(1, 4), (3, 5)]), vec![2]));
    assert_eq!((outcome.held, outcome.next), (pairs(&[(2, 4)]), vec![]));
    let planned = &after.unwrap().decided.planned;
    assert_eq!(planned.plan.actions.iter().map(|action| action.vm.0).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(planned.report.decisions.iter().map(|one| one.vm.0).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(planned.plan.actions[0].operation, Operation::Deploy);
    // who is no mm_sched, or has to come to an end, gets the plan as it is
    let outcome = desk.ask_as(&asked, false, changers::Origin::Own).0;
    assert_eq!((outcome.placed, outcome.held), (pairs(&[(2, 4), (3, 5)]), vec![]));
    let stop = || true;
    let asker = Asker { request: "r", mm_sched: true, from: changers::Origin::Own, stop: Stop::when(&stop) };
    let outcome = desk.decider.decide(&asked, asker).0;
    assert_eq!((refused(&outcome), outcome.held), (vec![1], vec![]));
}

#[test]
fn of_many_that_would_be_started_before_the_others_only_some_are() {
    let hosts: Vec<(i32, i64, i64)> = (100..117).map(|id| (id, 8, 0)).collect();
    let ids: Vec<[i32; 1]> = hosts.iter().map(|(id, ..)| [*id]).collect();
    let small = ids.iter().zip(1..).map(|(host, vm)| (vm, 4, &host[..]));
    let large = ids.iter().zip(51..).map(|(host, vm)| (vm, 6, &host[..]));
    let asked = batch(&small.chain(large).collect::<Vec<_>>());
    let outcome = Desk::new(at_once(), Some(cloud(&hosts, &[]))).ask(&asked).0;
    let firsts = outcome.placed.iter().filter(|(vm, _)| vm.0 < 50).count();
    assert_eq!((firsts, outcome.held.len(), outcome.placed.len()), (FIRST, FIRST, 17));
}

#[test]
fn beyond_the_limits_of_a_cycle_they_come_next_also_where_nothing_is_known() {
    let asked = batch(&[(1, 1, &[4, 5]), (2, 1, &[4, 5]), (3, 1, &[4, 5])]);
    for cloud in [None, Some(cloud(&[(4, 8, 0), (5, 8, 0)], &[]))] {
        let desk = Desk::new(Settings::default(), cloud);
        let (outcome, after) = desk.ask(&asked);
        let ids = |pairs: &[(VmId, HostId)]| pairs.iter().map(|(vm, _)| vm.0).collect::<Vec<_>>();
        assert_eq!((ids(&outcome.placed), ids(&outcome.next)), (vec![1, 2], vec![3]));
        let later = &after.as_ref().unwrap().decided.planned.report.later;
        let text = "in one cycle mm_sched starts at most 1 on each host (serve.max_host), and 30 in all \
                    (serve.max_dispatch)";
        assert!(later.len() == 1 && later[0].1.ends_with(text), "{later:?}");
        assert_eq!(desk.number("decisions_total"), "2");
        // an answer to somebody else knows no cycles
        let outcome = desk.ask_as(&asked, false, changers::Origin::Own).0;
        assert_eq!((outcome.placed.len(), outcome.next.len()), (3, 0));
    }
}

#[test]
fn vms_are_told_why_they_wait_and_that_they_come_next_where_other_words_stand() {
    let refusal = |vm: i32| Refusal {
        vm: VmId(vm),
        text: "needs 9 cores; host 4 has 1".to_owned(),
        lack: Some(Lack::Cpu),
        brief: crate::model::brief::Brief::Full(Lack::Cpu),
        set: false,
    };
    let later = vec![(VmId(2), "fits on host 4".to_owned()), (VmId(3), "fits on host 5".to_owned())];
    let later = [later, vec![(VmId(4), "fits on host 5".to_owned())]].concat();
    let report = Report { refusals: vec![refusal(1)], later, ..Report::default() };
    let known = || Some(cloud(&[(4, 8, 0)], &[(2, 1, "Cannot dispatch VM"), (3, 1, "")]));
    let of = |brief: bool, cloud: Option<Cloud>| {
        let texts = Desk::new(Settings { brief, ..at_once() }, cloud).decider.texts(&report);
        texts.into_iter().map(|(vm, text)| (vm.0, text)).collect::<Vec<_>>()
    };
    let full = (1, "needs 9 cores; host 4 has 1".to_owned());
    assert_eq!(of(false, known()), [full.clone(), (2, "fits on host 4".to_owned())]);
    assert_eq!(of(false, None), [full]);
    let in_brief = refusal(1).in_brief().into_owned();
    assert_eq!(of(true, known()), [(1, in_brief.clone()), (2, NEXT.to_owned())]);
    assert!(!in_brief.contains("host 4"), "{in_brief}");
}

#[test]
fn vms_of_mm_sched_alone_are_told_anything() {
    let desk = Desk::new(at_once(), Some(cloud(&[(4, 4, 0)], &[])));
    let messages = Arc::new(Messages::new(desk.view.clone()));
    let desk = Desk { decider: desk.decider.telling(Some(messages.clone())), ..desk };
    for (mm_sched, told) in [(false, vec![]), (true, vec![VmId(2)])] {
        let (_, after) = desk.ask_as(&batch(&[(2, 9, &[4])]), mm_sched, changers::Origin::Own);
        desk.decider.finish(&after.unwrap(), true);
        assert_eq!(messages.wanted(), told);
    }
}

#[test]
fn the_same_oddity_is_told_once_until_it_has_gone() {
    let desk = Desk::new(at_once(), None);
    let notice = |text: &str| Notice { subject: Subject::Request, text: text.to_owned() };
    let report = |texts: &[&str]| Report { notices: texts.iter().copied().map(notice).collect(), ..Report::default() };
    let mut told = BTreeSet::new();
    desk.decider.tell(&report(&["a", "b"]), "r", &mut told);
    assert_eq!(told, [notice("a"), notice("b")].into());
    desk.decider.tell(&report(&["b", "c"]), "r", &mut told);
    assert_eq!(told, [notice("b"), notice("c")].into());
    desk.decider.tell(&report(&[]), "r", &mut told);
    assert!(told.is_empty());
}

#[test]
fn a_batch_is_spread_as_far_as_all_find_a_place() {
    let even = cloud(&[(4, 80, 0), (5, 80, 0), (6, 8, 0)], &[]);
    let full = cloud(&[(4, 80, 0), (5, 80, 80)], &[]);
    let one_each = Policy { max_per_host: Some(1), ..Policy::default() };
    let two: &[(i32, i64, &[i32])] = &[(1, 1, &[4, 5]), (2, 1, &[4, 5])];
    let one_too_large: &[(i32, i64, &[i32])] = &[(1, 1, &[4, 5]), (2, 1, &[4, 5]), (3, 99, &[6])];
    for (what, cloud, vms, max_host, policy, expected) in [
        ("without a limit", &even, two, None, Policy::default(), &[4, 4][..]),
        ("one on each host", &even, two, Some(1), Policy::default(), &[4, 5]),
        ("two on each host", &even, two, Some(2), Policy::default(), &[4, 4]),
        ("the policy allows no more anyway", &even, two, Some(1), one_each.clone(), &[4, 5]),
        ("the policy allows less", &even, two, Some(2), one_each, &[4, 5]),
        ("only one host has room", &full, two, Some(1), Policy::default(), &[4, 4]),
        ("one finds no place either way", &even, one_too_large, Some(1), Policy::default(), &[4, 5]),
    ] {
        let mut snapshot = compose(&batch(vms), Some(cloud), &Booked::default(), None, 100).snapshot;
        // all rather go to host 4
        snapshot.hosts[0].attributes.push(Section::Template, "GOOD", "9");
        snapshot.hosts[1].attributes.push(Section::Template, "GOOD", "1");
        snapshot.vms.iter_mut().for_each(|vm| vm.rank = "GOOD".to_owned());
        let decided = spread(snapshot, &Recall::default(), &policy, max_host, Stop::default());
        let mut hosts: Vec<i32> = placed(&decided).iter().map(|(_, host)| host.0).collect();
        hosts.sort_unstable();
        assert_eq!(hosts, expected, "{what}");
    }
}

#[test]
fn of_a_plan_for_one_vm_the_first_action_counts() {
    let of = |vms: &[(i32, i64, &[i32])]| {
        let snapshot = compose(&batch(vms), None, &Booked::default(), None, 0).snapshot;
        spread(snapshot, &Recall::default(), &Policy::default(), None, Stop::default())
    };
    let (action, decision) = only(&of(&[(1, 1, &[4])])).unwrap();
    assert_eq!((action.vm, action.host, decision.vm, decision.host), (VmId(1), HostId(4), VmId(1), HostId(4)));
    assert!(only(&of(&[])).is_none());
    let found = placed(&of(&[(9, 1, &[4]), (1, 9, &[5]), (5, 5, &[6])]));
    assert_eq!(found, pairs(&[(1, 5), (5, 6), (9, 4)]), "by VM");
}

#[test]
fn hosts_on_which_starts_failed_are_counted() {
    let now = now();
    let run = crate::model::snapshot::LastRun { sequence: 0, began: now - 90, ended: now - 60 };
    let stay = crate::model::snapshot::Stay { host: HostId(4), began: now - 90, ended: now - 60 };
    let mut known = cloud(&[(4, 8, 0), (5, 8, 0)], &[(1, 1, ""), (2, 1, "")]);
    for vm in known.vms.values_mut() {
        (vm.last_run, vm.stays) = (Some(run), vec![stay]);
    }
    let desk = Desk::new(at_once(), Some(known));
    desk.ask(&batch(&[(1, 1, &[4, 5]), (2, 1, &[4, 5])]));
    assert_eq!(desk.number("host_failed_vms{one_host_id=\"4\"}"), "2");
}

#[test]
fn so_many_vms_go_to_one_host_at_least() {
    let of = |lists: &[&[u32]]| {
        let candidate = |hosts: &&[u32]| Candidates {
            vm: 0,
            hosts: Arc::from(*hosts),
            datastores: Arc::from([]),
            nics: Vec::new(),
        };
        fewest_per_host(&lists.iter().map(candidate).collect::<Vec<_>>())
    };
    for (lists, expected) in [
        (&[][..], 0),
        (&[&[0][..]][..], 1),
        (&[&[0, 1], &[0, 1], &[0, 1]], 2),
        // three of four have one host alone
        (&[&[0], &[0], &[0], &[1, 2]], 3),
        // five on two hosts, whatever their lists
        (&[&[0], &[1], &[0, 1], &[1], &[0]], 3),
        // without any host nobody goes anywhere: one would need two
        (&[&[], &[], &[5]], 3),
    ] {
        assert_eq!(of(lists), expected, "{lists:?}");
    }
}
