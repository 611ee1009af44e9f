//! The one local search over a whole assignment: minimises how uneven all hosts are. A change has a price: none for a VM that does not run yet, what a migration costs
//! for one that does. Plain arrays and formulas; what is allowed is asked of [`Rules`].
//!
//! | file | what it tries |
//! |---|---|
//! | `descent` | one piece moves, or two swap, where that pays for the two hosts |
//! | `rotation` | chains over three hosts, when nothing else relieves the worst ones |
//! | `kick` | a few moves by chance, from which the descent starts again |
//!
//! Deterministic, and anytime: the work that is allowed only says where the one path that
//! it always takes ends, and the best assignment on that path is the answer.

mod descent;
mod kick;
mod rotation;
#[cfg(test)]
mod tests;

use super::score::load::Load;
use super::score::objective::Standing;
use super::score::space::{Share, Space};
use crate::model::chance::Random;

/// What is moved as one: a VM, or VMs that share a host.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// What it takes, in the units of the space.
    pub amount: &'a Share,
    /// Hosts that it may go to, sorted.
    pub hosts: &'a [u32],
    /// What moving it must gain.
    pub price: f64,
    /// What moving it costs: of two gains the one that costs less is taken.
    pub cost: f64,
}

impl<'a> Piece<'a> {
    /// A piece that may be moved for nothing.
    #[must_use]
    pub fn free(amount: &'a Share, hosts: &'a [u32]) -> Self {
        Self { amount, hosts, price: 0.0, cost: 0.0 }
    }
}

/// A piece goes to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The piece.
    pub piece: usize,
    /// Where it goes.
    pub to: usize,
}

/// The hard rules, and what was spent on asking them.
pub trait Rules {
    /// Whether a piece may leave where it is for any host at all.
    fn may_leave(&self, _piece: usize) -> bool {
        true
    }
    /// The cheap part of the rules: room for the piece on the host if `less` left it.
    fn has_room(&self, piece: usize, host: usize, less: Option<usize>) -> bool;
    /// Takes all changes where all rules allow that, else none.
    fn apply(&mut self, changes: &[Change]) -> bool;
    /// Takes back the latest `count` of the `apply` that were taken.
    fn undo(&mut self, count: usize);
    /// Nothing before this is taken back any more.
    fn keep(&mut self);
    /// Counts work; false when it has to end.
    fn go_on(&mut self, steps: usize) -> bool;
}

/// What a search tries.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Kicks in a row without a gain after which the search ends. Without any, a search that
    /// begins where another one ended finds nothing.
    pub kicks: usize,
    /// At most this many of the worst hosts are relieved by chains.
    pub chains: usize,
    /// Two pieces swap only where no move pays.
    pub moves_first: bool,
    /// Only hosts with more allocated than they have are relieved.
    pub only_overfull: bool,
}

impl Effort {
    /// For VMs that do not run yet. The work that is allowed mostly ends earlier.
    pub const PLACING: Self = Self { kicks: 200, chains: 1, moves_first: false, only_overfull: false };
    /// For migrations: what pays depends on where VMs are alone, not on how that was found.
    pub const MIGRATING: Self = Self { kicks: 0, chains: 8, moves_first: true, only_overfull: false };
}

/// Changes of a descent among many hosts after which it is judged.
const UNJUDGED: usize = 16;

/// An assignment in the making.
pub struct Search<'a, R: Rules> {
    space: &'a Space,
    pieces: &'a [Piece<'a>],
    rules: &'a mut R,
    effort: Effort,
    load: Load,
    /// By piece.
    at: Vec<usize>,
    /// By host.
    on: Vec<Vec<usize>>,
    /// By host, against the mean aimed at.
    scores: Vec<f64>,
    mean_is_fixed: bool,
    clock: u64,
    /// By host: when it last changed, and when nothing was found for it.
    changed: Vec<u64>,
    checked: Vec<u64>,
    /// When no chain was found.
    rotated: u64,
    /// The best assignment so far, and how many changes there were since one was judged.
    best: Standing,
    unjudged: usize,
    /// Changes since the best assignment, with where the pieces came from.
    taken: Vec<Vec<Change>>,
    random: Random,
}

impl<'a, R: Rules> Search<'a, R> {
    /// A search from an assignment (host by piece) whose load is `load`.
    pub fn new(
        space: &'a Space,
        pieces: &'a [Piece<'a>],
        at: Vec<usize>,
        load: Load,
        rules: &'a mut R,
        effort: Effort,
    ) -> Self {
        let hosts = load.hosts();
        let mut on = vec![Vec::new(); hosts];
        for (piece, &host) in at.iter().enumerate() {
            on[host].push(piece);
        }
        let mut search = Self {
            space,
            pieces,
            rules,
            effort,
            at,
            on,
            scores: vec![0.0; hosts],
            mean_is_fixed: space.mean_is_fixed(),
            clock: 1,
            changed: vec![1; hosts],
            checked: vec![0; hosts],
            rotated: 0,
            best: Standing::default(),
            unjudged: 0,
            taken: Vec::new(),
            random: Random::new(0x6F6E_6561_696F),
            load,
        };
        search.aim();
        search
    }

    /// Searches until nothing more is found or work ends.
    pub fn run(&mut self) {
        self.best = self.standing();
        if self.pieces.is_empty() || self.best.largest() <= 0.0 {
            return;
        }
        let mut patience = self.effort.kicks;
        loop {
            let ended = !self.descend();
            // where the mean moves a descent may rise a little before it falls; only what
            // is judged on the way counts, wherever the work ends
            let judged = !ended || self.mean_is_fixed;
            let improves = judged && self.judge();
            if improves {
                patience = patience.max(self.effort.kicks / 2);
            } else {
                self.go_back();
            }
            if ended || !self.rules.go_on(self.scores.len()) {
                return;
            }
            match patience {
                // the mean has moved: what pays against it as it is now?
                0 if improves && !self.mean_is_fixed => self.aim(),
                0 => return,
                _ => {
                    patience -= 1;
                    self.kick();
                }
            }
        }
    }

    /// Keeps the assignment if it is the best so far.
    fn judge(&mut self) -> bool {
        self.unjudged = 0;
        let standing = self.standing();
        let improves = standing.improves(&self.best);
        if improves {
            self.best = standing;
            self.taken.clear();
            self.rules.keep();
        }
        improves
    }

    /// Judges now and then on the way, where that matters.
    fn judge_on_the_way(&mut self) {
        self.unjudged += 1;
        let every = if self.best.has_few_hosts() { 1 } else { UNJUDGED };
        if !self.mean_is_fixed && self.unjudged >= every {
            self.rules.go_on(2 * self.scores.len());
            self.judge();
        }
    }

    /// Distances against the mean as it is.
    fn standing(&self) -> Standing {
        if self.mean_is_fixed { Standing::new(&self.scores) } else { Standing::new(&self.load.all_badness()) }
    }

    /// Scores count against the mean as it is now.
    fn aim(&mut self) {
        self.load.aim(self.load.mean());
        for host in 0..self.scores.len() {
            self.scores[host] = self.load.badness(host);
        }
        if !self.mean_is_fixed {
            self.clock += 1;
            self.changed.fill(self.clock);
        }
    }

    fn amount(&self, piece: usize) -> &Share {
        self.pieces[piece].amount
    }

    fn share(&self, piece: usize, host: usize) -> Share {
        self.space.scaled(self.pieces[piece].amount, host)
    }

    /// The pieces of a host that may leave it.
    fn leavers(&self, host: usize) -> impl Iterator<Item = usize> {
        self.on[host].iter().copied().filter(|&piece| self.rules.may_leave(piece))
    }

    fn may_go(&self, piece: usize, host: usize) -> bool {
        let hosts = self.pieces[piece].hosts;
        hosts.len() == self.on.len() || u32::try_from(host).is_ok_and(|host| hosts.binary_search(&host).is_ok())
    }

    /// What changes must gain together.
    fn price(&self, pieces: impl Iterator<Item = usize>) -> f64 {
        pieces.map(|piece| self.pieces[piece].price).sum()
    }

    /// Takes changes if all rules allow them.
    fn take(&mut self, changes: &[Change]) -> bool {
        if !self.rules.apply(changes) {
            return false;
        }
        let back: Vec<Change> = changes.iter().map(|c| Change { piece: c.piece, to: self.at[c.piece] }).collect();
        self.relocate(changes);
        self.taken.push(back);
        true
    }

    /// Brings arrays up to changes that the rules have taken.
    fn relocate(&mut self, changes: &[Change]) {
        self.clock += 1;
        for change in changes {
            let from = self.at[change.piece];
            self.load.remove(from, &self.share(change.piece, from));
            self.load.add(change.to, &self.share(change.piece, change.to));
            self.on[from].retain(|&piece| piece != change.piece);
            self.on[change.to].push(change.piece);
            self.at[change.piece] = change.to;
            for host in [from, change.to] {
                self.changed[host] = self.clock;
                self.scores[host] = self.load.badness(host);
            }
        }
    }

    /// Back to the best assignment.
    fn go_back(&mut self) {
        self.rules.undo(self.taken.len());
        while let Some(back) = self.taken.pop() {
            self.relocate(&back);
        }
    }

    /// The host with the largest distance among those wanted; the first of equals.
    fn worst(&self, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let concerned = |host: usize| !self.effort.only_overfull || self.load.is_overfull(host);
        let wanted = (0..self.scores.len()).filter(|&host| wanted(host) && concerned(host));
        wanted.reduce(|worst, host| if self.scores[host] > self.scores[worst] { host } else { worst })
    }
}
