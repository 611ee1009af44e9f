//! Soak: recorded requests in a row through the real binary, while things break around it.
//! What is answered must be a valid plan, what is interrupted nothing or a whole plan, and
//! nothing may pile up. Seeds are explicit; a failure names the run that repeats it.
//!
//! `ONEAIO_SOAK=N` changes how many requests. Plans are judged by the validator of `../shared`
//! where it is, in one Python process, and by our own judge always; equal plans once.

mod front_end;
mod judge;

use front_end::{FrontEnd, Run};
use judge::Judge;
use std::collections::BTreeMap;
use std::io::Write;

/// Splitmix64: small, seeded, the same everywhere.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

/// What breaks during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// All is well.
    None,
    /// The folder of the store is not there.
    StoreGone,
    /// Another process holds the store.
    StoreLocked,
    /// The store's file was overwritten in places.
    StoreDamaged,
    /// No file may grow.
    DiskFull,
    /// The decision log cannot be written.
    LogFull,
    /// The store's moments lie years ahead or back.
    ClockJump,
    /// Another process answers at the same time.
    TwoAtOnce,
    /// SIGKILL at some moment.
    Killed,
}

const FAULTS: [Fault; 9] = [
    Fault::None,
    Fault::StoreGone,
    Fault::StoreLocked,
    Fault::StoreDamaged,
    Fault::DiskFull,
    Fault::LogFull,
    Fault::ClockJump,
    Fault::TwoAtOnce,
    Fault::Killed,
];

/// Runs, whole plans, runs without an answer.
type Count = [usize; 3];

#[test]
fn whatever_breaks_no_plan_is_wrong_and_nothing_piles_up() {
    let runs: u64 = std::env::var("ONEAIO_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(80);
    let mut random = Random(7);
    let mut front_end = FrontEnd::new();
    let mut judge = Judge::new(&front_end.requests);
    let mut counts: BTreeMap<Fault, Count> = BTreeMap::new();
    let mut run = 0;
    while run < runs {
        let fault = FAULTS[usize::try_from(random.below(FAULTS.len() as u64)).unwrap()];
        let request = usize::try_from(random.below(front_end.requests.len() as u64)).unwrap();
        let seed = (random.below(4) == 0).then(|| random.below(1_000_000));
        for Run { status, plan, said } in front_end.answer(request, fault, seed, &mut random) {
            run += 1;
            let context = || format!("run {run}, {} with {fault:?}: {said}", front_end.requests[request].name);
            let count = counts.entry(fault).or_default();
            count[0] += 1;
            if plan.is_empty() {
                assert!(fault == Fault::Killed && status.is_none(), "no answer in {}", context());
                count[2] += 1;
                continue;
            }
            assert!(status == Some(0) || fault == Fault::Killed, "status {status:?} in {}", context());
            assert!(!said.contains("has a fault") && !said.contains("broke a rule"), "{}", context());
            let on_their_way = said.contains("on their way or come next");
            let nothing = !plan.contains("<ACTION>") && front_end.requests[request].has_actions && !on_their_way;
            assert!(!nothing, "a plan of nothing in {}", context());
            if let Some(breaches) = judge.breaches(request, &plan) {
                panic!("{breaches} in {}", context());
            }
            count[1] += 1;
        }
    }
    front_end.is_clean(&counts);
    let mut told = format!("soak: {runs} requests, {} different plans judged ({})\n", judge.judged(), judge.by());
    for (fault, [runs, plans, nothing]) in counts {
        told.push_str(&format!("  {fault:?}: {runs} runs, {plans} valid plans, {nothing} without an answer\n"));
    }
    let _ = std::io::stderr().write_all(told.as_bytes());
}
