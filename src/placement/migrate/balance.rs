//! Evens out hosts by migrations: the search, over units that are where they run, with the
//! price of a migration. What gains less than its price is worth is not done.

use super::state::State;
use crate::placement::search::{Change, Effort, Piece, Rules, Search};

/// Improves the hosts until nothing pays; with `only_overfull` those that have more allocated
/// than they have.
pub fn balance(state: &mut State<'_>, only_overfull: bool) {
    let scene = state.scene();
    state.aim();
    // units whose hosts nobody knows, or that are torn apart, are not part of it
    let units: Vec<usize> = (0..scene.units.len()).filter(|&unit| state.home(unit).is_some()).collect();
    let limit = scene.limit();
    let counted = limit != usize::MAX;
    let piece = |&unit: &usize| {
        let one = scene.unit(unit);
        // where migrations are counted, each counts
        let cost = if counted { one.members.len() as f64 } else { one.cost };
        Piece { amount: &one.amount, hosts: &one.hosts, price: one.price, cost }
    };
    let pieces: Vec<Piece<'_>> = units.iter().map(piece).collect();
    let at = units.iter().filter_map(|&unit| state.home(unit)).collect();
    let load = state.load().clone();
    let mut rules = Moves { state, units: &units, only_overfull, limit, taken: Vec::new() };
    let effort = Effort { only_overfull, ..Effort::MIGRATING };
    Search::new(scene.context.space, &pieces, at, load, &mut rules, effort).run();
}

/// The rules as a state knows them.
struct Moves<'s, 'a> {
    state: &'s mut State<'a>,
    units: &'s [usize],
    only_overfull: bool,
    /// At most this many migrations.
    limit: usize,
    /// By change: where its VMs were, in the order in which they moved.
    taken: Vec<Vec<(usize, Option<usize>)>>,
}

impl Rules for Moves<'_, '_> {
    /// Where no migration more is allowed, only what has moved already may go elsewhere, or back.
    fn may_leave(&self, piece: usize) -> bool {
        self.state.moved() < self.limit || self.state.has_moved(self.units[piece])
    }

    /// Migrations of a plan run side by side.
    fn has_room(&self, piece: usize, host: usize, less: Option<usize>) -> bool {
        let unit = self.units[piece];
        let free = || self.state.more_moved(unit, host) <= 0;
        self.state.has_room_beside(unit, host, less.map(|less| self.units[less]))
            && (self.state.moved() < self.limit || free())
    }

    /// One migration after another, in an order in which each has room.
    fn apply(&mut self, changes: &[Change]) -> bool {
        let moves: Vec<(usize, usize)> = changes.iter().map(|c| (self.units[c.piece], c.to)).collect();
        if !self.state.within_limit(moves.iter().map(|&(unit, to)| self.state.more_moved(unit, to)).sum()) {
            return false;
        }
        let scene = self.state.scene();
        let wish = |&(unit, to): &(usize, usize)| {
            self.state.home(unit).map_or(0.0, |from| self.state.wish(unit, to) - self.state.wish(unit, from))
        };
        if moves.iter().map(wish).sum::<f64>() < 0.0 {
            return false;
        }
        for order in orders(moves) {
            let members = order.iter().flat_map(|(unit, _)| &scene.unit(*unit).members);
            let before = members.map(|&member| (member, self.state.at(member))).collect();
            if self.state.go_all(&order).is_ok() {
                self.taken.push(before);
                // where the mean moves, what is taken may yet be given up
                if scene.context.space.mean_is_fixed() && !self.only_overfull {
                    scene.context.work.found();
                }
                return true;
            }
        }
        false
    }

    fn undo(&mut self, count: usize) {
        for before in self.taken.split_off(self.taken.len().saturating_sub(count)).into_iter().rev() {
            for (member, at) in before.into_iter().rev() {
                self.state.put(member, at);
            }
        }
    }

    fn keep(&mut self) {
        self.taken.clear();
        // to relieve one overfull host of several is not always better than nothing
        if !self.only_overfull {
            self.state.scene().context.work.found();
        }
    }

    fn go_on(&mut self, steps: usize) -> bool {
        let work = self.state.scene().context.work;
        work.spend(steps);
        !work.spent()
    }
}

/// All orders of a few moves; the one given is the first.
fn orders(moves: Vec<(usize, usize)>) -> Vec<Vec<(usize, usize)>> {
    match moves[..] {
        [a, b] => vec![vec![a, b], vec![b, a]],
        [a, b, c] => vec![vec![a, b, c], vec![c, b, a], vec![b, a, c], vec![b, c, a], vec![a, c, b], vec![c, a, b]],
        _ => vec![moves],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::Cluster;
    use crate::model::ids::HostId;
    use crate::model::policy::{Optimize, Policy};
    use crate::model::snapshot::Snapshot;
    use crate::model::wish::{Liked, Liking};
    use crate::placement::Stop;
    use crate::placement::migrate::scene::{MigrationInput, Scene};
    use crate::placement::rules::context::Purpose;
    use crate::placement::testing::{cloud, demands, run};

    /// Calls `look` with the scene of a policy, whose search is told to stop as soon as it has something.
    fn scene<T>(asked: &Snapshot, policy: &Policy, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let (cluster, all, told) = (Cluster::default(), demands(asked), || true);
        let input = MigrationInput { stop: Stop::when(&told), ..MigrationInput::new(asked, &cluster, &all) };
        Scene::with(&input, policy, Purpose::Optimize, look)
    }

    fn limited(migrations: Option<u32>) -> Policy {
        Policy { optimize: Optimize { migrations, ..Optimize::default() }, ..Policy::default() }
    }

    fn moves<'s, 'a>(state: &'s mut State<'a>, units: &'s [usize], only_overfull: bool) -> Moves<'s, 'a> {
        let limit = state.scene().limit();
        Moves { state, units, only_overfull, limit, taken: Vec::new() }
    }

    fn goes(piece: usize, to: usize) -> Change {
        Change { piece, to }
    }

    /// Hosts of 4 cores: two VMs of 2 on host 0, one of 3 on host 1.
    fn three() -> Snapshot {
        let mut asked = cloud(&[4, 4, 4]);
        for (cores, on) in [(2, 0), (2, 0), (3, 1)] {
            run(&mut asked, cores, on, &[0, 1, 2]);
        }
        asked
    }

    #[test]
    fn what_is_moved_is_moved_back_the_last_first_until_it_is_kept() {
        scene(&three(), &limited(None), |scene| {
            let mut state = State::new(scene);
            let units = [0, 1, 2];
            let mut rules = moves(&mut state, &units, false);
            let at = |rules: &Moves<'_, '_>| rules.state.all_at().into_iter().flatten().collect::<Vec<_>>();
            // in this order host 1 has no room, in the other it has
            assert!(rules.apply(&[goes(0, 1), goes(2, 2)]));
            assert_eq!(at(&rules), [1, 0, 2]);
            assert!(rules.apply(&[goes(0, 0)]));
            assert!(!rules.apply(&[goes(2, 0)]), "it has no room there");
            assert_eq!(at(&rules), [0, 0, 2]);
            rules.undo(1);
            assert_eq!(at(&rules), [1, 0, 2]);
            rules.undo(1);
            assert_eq!(at(&rules), [0, 0, 1]);
            assert!(rules.apply(&[goes(0, 2)]));
            rules.keep();
            rules.undo(1);
            assert_eq!(at(&rules), [2, 0, 1]);
            assert!(rules.apply(&[goes(1, 2)]) && rules.apply(&[goes(2, 0)]));
            rules.undo(9);
            assert_eq!(at(&rules), [2, 0, 1]);
        });
    }

    #[test]
    fn there_is_room_where_a_unit_fits_or_takes_the_place_of_another_within_the_limit() {
        // with so many migrations allowed, and the first VM moved to host 2 or not: room for the second one on host 2,
        // on host 1, on host 1 though the third one leaves; for the third one on host 2, with the first one gone again
        // and with it; for the first one at home
        for (migrations, moved, expected) in [
            (None, true, [true, false, false, true, false, true]),
            (Some(1), false, [true, false, false, true, true, true]),
            (Some(1), true, [false, false, false, false, false, true]),
            (Some(2), true, [true, false, false, true, false, true]),
        ] {
            scene(&three(), &limited(migrations), |scene| {
                let mut state = State::new(scene);
                let units = [0, 1, 2];
                let mut rules = moves(&mut state, &units, false);
                assert!(!moved || rules.apply(&[goes(0, 2)]));
                let found = [
                    rules.has_room(1, 2, None),
                    rules.has_room(1, 1, None),
                    rules.has_room(1, 1, Some(2)),
                    rules.has_room(2, 2, Some(0)),
                    rules.has_room(2, 2, None),
                    rules.has_room(0, 0, None),
                ];
                assert_eq!(found, expected, "{migrations:?} {moved}");
                // where no more are allowed, only what has moved may leave
                let more = migrations != Some(1) || !moved;
                assert_eq!([0, 1].map(|piece| rules.may_leave(piece)), [true, more], "{migrations:?} {moved}");
                let left = migrations.unwrap_or(9) as usize - usize::from(moved);
                assert_eq!(rules.apply(&[goes(1, 2)]), left >= 1, "{migrations:?} {moved}");
            });
        }
    }

    #[test]
    fn nobody_goes_where_less_is_liked_for_the_sake_of_others() {
        let mut asked = three();
        let liking = |host: i32, weight: f64| vec![Liking { hosts: Liked::Host(HostId(host)), weight }];
        asked.vms[0].likings = liking(0, 1.0);
        asked.vms[1].likings = liking(2, 1.5);
        scene(&asked, &limited(None), |scene| {
            let mut state = State::new(scene);
            assert_eq!([0, 1, 2].map(|host| state.wish(0, host)), [1.0, 0.0, 0.0]);
            assert_eq!([0, 1, 2].map(|host| state.wish(1, host)), [0.0, 0.0, 1.5]);
            let units = [0, 1, 2];
            let mut rules = moves(&mut state, &units, false);
            assert!(!rules.apply(&[goes(0, 2)]));
            assert!(rules.apply(&[goes(0, 2), goes(1, 2)]), "together it is liked more");
            assert!(rules.apply(&[goes(0, 0)]));
        });
    }

    #[test]
    fn a_search_ends_with_its_steps_and_something_found_lets_others_end_it() {
        scene(&three(), &Policy { deadline: 0.000_001, ..limited(None) }, |scene| {
            let mut state = State::new(scene);
            let mut rules = moves(&mut state, &[0], false);
            let left = 100 - scene.context.work.done() as usize;
            assert!(rules.go_on(left - 1) && !rules.go_on(1));
        });
        for only_overfull in [false, true] {
            scene(&three(), &limited(None), |scene| {
                scene.context.work.spend(1_000_000);
                let mut state = State::new(scene);
                let mut rules = moves(&mut state, &[0], only_overfull);
                assert!(scene.context.work.told() && !scene.context.work.ends());
                rules.keep();
                assert_eq!(scene.context.work.ends(), !only_overfull);
            });
        }
    }

    #[test]
    fn all_orders_of_a_few_moves_are_looked_at() {
        assert_eq!(orders(vec![(0, 1)]), [[(0, 1)]]);
        assert_eq!(orders(vec![(0, 1), (1, 0)]), [[(0, 1), (1, 0)], [(1, 0), (0, 1)]]);
        let mut three = orders(vec![(0, 1), (1, 2), (2, 0)]);
        assert_eq!(three[0], [(0, 1), (1, 2), (2, 0)]);
        three.sort();
        three.dedup();
        assert_eq!(three.len(), 6);
    }
}
