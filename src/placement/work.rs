//! A bound on the work of one plan, in steps instead of seconds: the core has no clock,
//! and equal input must give equal plans. A step is about ten nanoseconds of CPU.
//!
//! Who needs a bound in real time brings a [`Stop`] along; only when it tells to stop does
//! a plan depend on it. It ends the search for something better. The first plan is finished
//! all the same, so that there is one, unless it is told to end at once.

use std::cell::Cell;
use std::fmt;

/// Steps in a second of `planner.deadline`.
const STEPS_PER_SECOND: f64 = 1e8;

/// Steps that one attempt may spend on placing what did not fit at once.
const SECOND_THOUGHTS: u64 = 15_000_000;

/// Steps that improving a plan may take for each pair of VMs, since pairs are what it tries,
/// within bounds; or so many times those of placing all VMs once, where that is more.
const SEARCH_PER_PAIR: u64 = 60;
const SEARCH_LEAST: u64 = 20_000;
const SEARCH_MOST: u64 = 3_000_000;
const SEARCH_TIMES: u64 = 3;

/// A unit that took more than so many times the steps of half of the units counts as so many.
const ODD_TIMES: u64 = 4;

/// Steps between two looks at the stop.
const POLL: u64 = 50_000;

/// Asked now and then whether to stop, with the best plan so far.
#[derive(Clone, Copy, Default)]
pub struct Stop<'a> {
    asked: Option<&'a dyn Fn() -> bool>,
    at_once: Option<&'a dyn Fn() -> bool>,
}

impl<'a> Stop<'a> {
    /// Stops when `asked` says so: as soon as there is a first plan, which has each VM tried once.
    #[must_use]
    pub fn when(asked: &'a dyn Fn() -> bool) -> Self {
        Self { asked: Some(asked), at_once: None }
    }

    /// Whether it says so now.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.asked.is_some_and(|asked| asked())
    }

    /// Stops in the midst of the first plan as well, when `at_once` says so too.
    #[must_use]
    pub fn or_at_once(self, at_once: &'a dyn Fn() -> bool) -> Self {
        Self { at_once: Some(at_once), ..self }
    }
}

impl fmt::Debug for Stop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.asked.is_some() { "Stop(..)" } else { "Stop(never)" })
    }
}

/// Counts steps.
#[derive(Debug)]
pub struct Work<'a> {
    done: Cell<u64>,
    /// Where the present phase ends.
    limit: Cell<u64>,
    /// Where all ends.
    deadline: u64,
    /// What placing all VMs once took.
    once: Cell<u64>,
    stop: Stop<'a>,
    polled: Cell<u64>,
    /// There is no plan yet, so that the next pass, or the search for a first improvement, is finished.
    needed: Cell<bool>,
    /// So is the present pass.
    whole: Cell<bool>,
    /// Somebody told to stop.
    told: Cell<bool>,
    /// Somebody told to stop at once.
    at_once: Cell<bool>,
}

impl<'a> Work<'a> {
    /// Work of this many seconds of CPU.
    #[must_use]
    pub fn new(seconds: f64, stop: Stop<'a>) -> Self {
        Self {
            done: Cell::new(0),
            limit: Cell::new(u64::MAX),
            // casts saturate
            deadline: (seconds * STEPS_PER_SECOND) as u64,
            once: Cell::new(0),
            stop,
            polled: Cell::new(0),
            needed: Cell::new(true),
            whole: Cell::new(false),
            told: Cell::new(false),
            at_once: Cell::new(false),
        }
    }

    /// Counts what was done.
    pub fn spend(&self, steps: usize) {
        let done = self.done.get().saturating_add(steps as u64);
        self.done.set(done);
        if done.saturating_sub(self.polled.get()) >= POLL {
            self.polled.set(done);
            self.told.set(self.told.get() || self.stop.is_told());
            if self.told.get() {
                self.at_once.set(self.at_once.get() || self.stop.at_once.is_some_and(|stop| stop()));
            }
        }
    }

    /// Whether there is no plan yet: the next pass is finished then, although somebody tells to stop.
    pub fn need(&self, needed: bool) {
        self.needed.set(needed);
    }

    /// Something is found that is better than nothing.
    pub fn found(&self) {
        self.needed.set(false);
    }

    /// A pass over all VMs begins.
    pub fn begin_pass(&self) {
        self.limit.set(u64::MAX);
        self.whole.set(self.needed.replace(false));
    }

    /// Whether the pass has to end.
    pub fn ends_pass(&self) -> bool {
        self.at_once.get() || (self.told.get() && !self.whole.get())
    }

    /// The pass is over, and took these steps for one unit after another. One that cost many times what others
    /// did counts as a few: by what few write the search for all does not become longer.
    pub fn end_pass(&self, mut units: Vec<u64>) {
        units.sort_unstable();
        let median = units.get(units.len() / 2).copied().unwrap_or(0);
        let most = median.saturating_mul(ODD_TIMES).max(1);
        self.once.set(units.iter().map(|steps| (*steps).min(most)).sum());
    }

    /// Steps so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.get()
    }

    /// What the attempt does for those that found no place is bounded.
    pub fn allow_second_thoughts(&self) {
        self.allow(SECOND_THOUGHTS);
    }

    /// A plan is to be improved; more than a few times what it took to make it does not pay.
    pub fn allow_search(&self, vms: usize) {
        let pairs = (vms as u64).saturating_mul(vms as u64) / 2;
        let by_pairs = pairs.saturating_mul(SEARCH_PER_PAIR).clamp(SEARCH_LEAST, SEARCH_MOST);
        self.allow(by_pairs.max(self.once.get().saturating_mul(SEARCH_TIMES)));
    }

    /// What placing all VMs once took.
    #[must_use]
    pub fn pass(&self) -> u64 {
        self.once.get()
    }

    /// Does a part of the present phase, which has to end after so many steps; with the steps that it took.
    pub fn at_most<T>(&self, steps: u64, part: impl FnOnce() -> T) -> (T, u64) {
        let (limit, begun) = (self.limit.get(), self.done.get());
        self.limit.set(limit.min(begun.saturating_add(steps)));
        let done = part();
        self.limit.set(limit);
        (done, self.done.get() - begun)
    }

    fn allow(&self, steps: u64) {
        self.limit.set(self.done.get().saturating_add(steps));
    }

    /// Whether the present phase has to end.
    pub fn spent(&self) -> bool {
        self.done.get() >= self.limit.get() || self.exhausted()
    }

    /// Whether everything has to end.
    pub fn exhausted(&self) -> bool {
        self.done.get() >= self.deadline || self.ends()
    }

    /// Whether somebody from outside ends everything.
    pub fn ends(&self) -> bool {
        self.at_once.get() || (self.told.get() && !self.needed.get())
    }

    /// Whether somebody from outside told to stop.
    pub fn told(&self) -> bool {
        self.told.get()
    }

    /// Whether somebody from outside told to stop at once.
    pub fn at_once(&self) -> bool {
        self.at_once.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endless() -> Work<'static> {
        Work::new(3600.0, Stop::default())
    }

    /// Steps that a phase takes until it is told to end.
    fn steps(work: &Work<'_>) -> u64 {
        let begun = work.done();
        while !work.spent() {
            work.spend(10);
        }
        work.done() - begun
    }

    #[test]
    fn a_deadline_is_a_hundred_million_steps_a_second() {
        assert_eq!(steps(&Work::new(0.001, Stop::default())), 100_000);
        let work = Work::new(0.000_001, Stop::default());
        work.spend(99);
        assert!(!work.exhausted() && !work.spent());
        work.spend(1);
        assert!(work.exhausted() && work.spent() && !work.ends());
    }

    #[test]
    fn a_search_goes_by_pairs_within_bounds_and_by_what_a_pass_took() {
        let search = |vms: usize, once: u64| {
            let work = endless();
            work.end_pass(vec![once]);
            work.allow_search(vms);
            steps(&work)
        };
        assert_eq!(search(2, 0), 20_000);
        assert_eq!(search(100, 0), 60 * 5_000);
        assert_eq!(search(10_000, 0), 3_000_000);
        assert_eq!(search(2, 10_000), 30_000);
        assert_eq!(search(100, 1_500_000), 4_500_000);
        let work = endless();
        work.spend(500);
        work.allow_second_thoughts();
        assert_eq!(steps(&work), 15_000_000);
    }

    #[test]
    fn a_unit_that_took_many_times_what_half_of_them_did_counts_as_a_few() {
        let pass = |units: &[u64]| {
            let work = endless();
            work.end_pass(units.to_vec());
            work.pass()
        };
        assert_eq!(pass(&[10, 12, 11]), 33);
        assert_eq!(pass(&[1_000_000, 10, 12]), 10 + 12 + 48);
        assert_eq!(pass(&[48, 10, 12]), 70);
        assert_eq!(pass(&[49, 10, 12]), 70);
        assert_eq!(pass(&[0, 0, 50]), 1);
        assert_eq!(pass(&[]), 0);
    }

    #[test]
    fn a_part_has_its_own_bound_and_gives_the_phase_back_its_own() {
        let work = endless();
        work.allow_second_thoughts();
        let (inside, spent) = work.at_most(1_000, || steps(&work));
        assert_eq!((inside, spent), (1_000, 1_000));
        assert!(!work.spent());
        // never more than the phase has
        let (inside, _) = work.at_most(u64::MAX, || steps(&work));
        assert_eq!(inside, 15_000_000 - 1_000);
        assert!(work.spent());
        work.begin_pass();
        assert!(!work.spent());
    }

    #[test]
    fn the_first_plan_is_finished_although_somebody_tells_to_stop() {
        let (asked, at_once) = (Cell::new(false), Cell::new(false));
        let (ask, ask_at_once) = (|| asked.get(), || at_once.get());
        let work = Work::new(3600.0, Stop::when(&ask).or_at_once(&ask_at_once));
        let look = || (work.told(), work.ends_pass(), work.ends(), work.exhausted());
        work.begin_pass();
        work.spend(POLL as usize);
        assert_eq!(look(), (false, false, false, false));
        asked.set(true);
        work.spend(POLL as usize - 1);
        assert_eq!(look(), (false, false, false, false), "it asks only now and then");
        work.spend(1);
        // the pass is whole, but what comes after it is not needed
        assert_eq!(look(), (true, false, true, true));
        work.begin_pass();
        assert_eq!(look(), (true, true, true, true));
        // there is none yet after all
        work.need(true);
        assert_eq!(look(), (true, true, false, false));
        work.begin_pass();
        assert_eq!(look(), (true, false, true, true));
        work.need(true);
        work.found();
        assert!(work.ends() && !work.at_once());
        at_once.set(true);
        work.need(true);
        work.spend(POLL as usize);
        assert_eq!(look(), (true, true, true, true));
        assert!(work.at_once());
    }

    #[test]
    fn nobody_is_asked_to_end_at_once_before_somebody_tells_to_stop() {
        let (ask, ask_at_once) = (|| false, || true);
        let work = Work::new(3600.0, Stop::when(&ask).or_at_once(&ask_at_once));
        work.spend(POLL as usize);
        assert!(!work.at_once() && !work.told());
        assert_eq!(format!("{:?} {:?}", Stop::when(&ask), Stop::default()), "Stop(..) Stop(never)");
    }
}
