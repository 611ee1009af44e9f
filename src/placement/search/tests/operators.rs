//! Each operator of the search, where no other one relieves anybody.

use super::*;
use std::cell::Cell;

/// Percent of a core that a piece uses, and hosts that it may go to.
type Uses = (f64, &'static [u32]);

/// Idle hosts of 8 cores, and what is moved about on them.
fn made(hosts: i32, pieces: &[Uses]) -> Case {
    let usage = |cpu: f64| Usage { cpu, ..Usage::default() };
    let demand = |(cpu, _): &Uses| {
        let (level, peak) = (usage(*cpu), usage(*cpu));
        Demand { level, peak, cpu_deviation: 0.0, sketch: Sketch::default(), source: Source::History, class: None }
    };
    let idle = HostUse { usage: usage(0.0), spread: Default::default(), basis: Basis::History };
    Case {
        snapshot: Snapshot { hosts: (0..hosts).map(host).collect(), ..Snapshot::default() },
        demands: Demands {
            vms: pieces.iter().map(demand).collect(),
            hosts: (0..hosts).map(|_| idle).collect(),
            ..Demands::default()
        },
        policy: Policy { risk: 0.0, weight_memory: 0.0, s_green: 0.0, ..Policy::default() },
        allowed: pieces.iter().map(|(_, hosts)| (*hosts).into()).collect(),
    }
}

/// Where pieces are after `act`, and what that answered.
fn after<T>(
    case: &Case,
    at: &[usize],
    effort: Effort,
    act: impl FnOnce(&mut Search<'_, Free<'_>>) -> T,
) -> (T, Vec<usize>) {
    let space = Space::new(&case.snapshot, &case.demands, &case.policy);
    let (pieces, start) = (pieces(case, &space), load(case, &space, at));
    let mut rules = Free { case, at: at.to_vec(), history: Vec::new(), done: 0, limit: usize::MAX };
    let mut search = Search::new(&space, &pieces, at.to_vec(), start, &mut rules, effort);
    let answer = act(&mut search);
    (answer, rules.at)
}

/// Where pieces are after a search.
fn searched(case: &Case, at: &[usize], effort: Effort) -> Vec<usize> {
    after(case, at, effort, |search| search.run()).1
}

const NO_KICKS: Effort = Effort { kicks: 0, ..Effort::PLACING };

/// What the operators make of a case, those named last: whether a move or a swap relieves any host, whether a
/// chain relieves host 0.
fn relieved(case: &Case, at: &[usize]) -> (bool, bool, bool) {
    let hosts = case.snapshot.hosts.len();
    let partners = |host: usize| (0..hosts).filter(|&other| other != host).collect::<Vec<_>>();
    let by = |swaps: bool| {
        let any =
            |search: &mut Search<'_, Free<'_>>| (0..hosts).any(|host| search.relieve_by(host, &partners(host), swaps));
        after(case, at, NO_KICKS, any).0
    };
    (by(false), by(true), after(case, at, NO_KICKS, |search| search.rotate_over(0)).0)
}

#[test]
fn one_piece_moves() {
    let case = made(2, &[(400.0, &[0, 1]), (400.0, &[0, 1])]);
    let moved = after(&case, &[0, 0], NO_KICKS, |search| search.relieve_by(0, &[1], false));
    assert_eq!(moved, (true, vec![1, 0]));
    let found = searched(&case, &[0, 0], NO_KICKS);
    assert_eq!(found, [1, 0]);
}

#[test]
fn one_piece_comes_to_the_host_that_has_least() {
    // nobody is on the worst host, which is below the mean
    let case = made(3, &[(400.0, &[0, 1]), (400.0, &[1]), (600.0, &[2])]);
    let moved = after(&case, &[1, 1, 2], NO_KICKS, |search| search.relieve_by(0, &[1, 2], false));
    assert_eq!(moved, (true, vec![0, 1, 2]));
}

#[test]
fn two_pieces_swap() {
    // 1000 and 600; a move of any leaves the hosts as uneven, or more
    let case = made(2, &[(600.0, &[0, 1]), (400.0, &[0, 1]), (500.0, &[0, 1]), (100.0, &[0, 1])]);
    let at = [0, 0, 1, 1];
    assert_eq!(relieved(&case, &at), (false, true, false));
    let found = searched(&case, &at, NO_KICKS);
    assert_eq!(found, [1, 0, 0, 1]);
}

#[test]
fn a_move_goes_before_a_swap_that_gains_more_where_changes_have_a_price() {
    // moving 100 leaves 700 and 500, swapping 400 and 200 leaves them even
    let case = made(2, &[(400.0, &[0, 1]), (100.0, &[0, 1]), (300.0, &[0]), (200.0, &[0, 1]), (200.0, &[1])]);
    let at = [0, 0, 0, 1, 1];
    for (moves_first, expected) in [(false, [1, 0, 0, 0, 1]), (true, [0, 1, 0, 1, 1])] {
        let effort = Effort { moves_first, ..NO_KICKS };
        let (found, at) = after(&case, &at, effort, |search| search.relieve(0));
        assert_eq!((found, &at[..]), (true, &expected[..]), "{moves_first}");
    }
}

#[test]
fn a_piece_pushes_one_on_to_a_third_host_from_which_one_comes_back() {
    // 1000, 700 and 700; only all three together leave 800 everywhere
    let pieces: &[Uses] =
        &[(600.0, &[0, 1]), (400.0, &[0]), (500.0, &[1, 2]), (200.0, &[1]), (400.0, &[0, 2]), (300.0, &[2])];
    let (case, at) = (made(3, pieces), [0, 0, 1, 1, 2, 2]);
    assert_eq!(relieved(&case, &at), (false, false, true));
    let found = searched(&case, &at, NO_KICKS);
    assert_eq!(found, [1, 0, 2, 1, 0, 2]);
}

#[test]
fn a_piece_pushes_one_on_and_nobody_comes_back() {
    let case = made(3, &[(400.0, &[0, 1]), (400.0, &[0]), (400.0, &[1, 2])]);
    let at = [0, 0, 1];
    assert_eq!(relieved(&case, &at), (false, false, true));
    let found = searched(&case, &at, NO_KICKS);
    assert_eq!(found, [1, 0, 2]);
}

#[test]
fn one_comes_and_its_place_is_taken_though_nobody_goes() {
    // the host that has nothing is the worst
    let case = made(3, &[(400.0, &[1, 2]), (400.0, &[1]), (400.0, &[0, 2])]);
    let at = [1, 1, 2];
    assert_eq!(relieved(&case, &at), (false, false, true));
    let found = searched(&case, &at, NO_KICKS);
    assert_eq!(found, [2, 1, 0]);
}

#[test]
fn as_many_of_the_worst_hosts_are_relieved_by_chains_as_allowed() {
    // nothing relieves the worst host; a chain does the second
    let stuck: &[Uses] = &[(800.0, &[0]), (200.0, &[1, 2]), (200.0, &[1]), (200.0, &[2, 3])];
    let (case, at) = (made(4, stuck), [0, 1, 1, 2]);
    for (chains, expected) in [(1, [0, 1, 1, 2]), (8, [0, 2, 1, 3])] {
        let found = searched(&case, &at, Effort { chains, ..NO_KICKS });
        assert_eq!(found, expected, "{chains}");
    }
}

#[test]
fn a_kick_moves_a_few_pieces() {
    let pieces: Vec<Uses> = (0..12).map(|_| (100.0, &[0, 1, 2, 3][..])).collect();
    let (case, at) = (made(4, &pieces), (0..12).map(|piece| piece % 4).collect::<Vec<_>>());
    let changes = Cell::new(0);
    let ((), found) = after(&case, &at, Effort::PLACING, |search| {
        search.kick();
        changes.set(search.taken.len());
    });
    assert!((2..4).contains(&changes.get()), "{}", changes.get());
    assert_ne!(found, at);
}

#[test]
fn kicks_lead_out_of_where_descents_end() {
    let mut random = Random::new(5);
    let (mut cases, mut better) = (0, 0);
    while cases < 30 {
        let case = case(&mut random);
        if case.allowed.iter().all(|hosts| hosts.len() < 2) {
            continue;
        }
        cases += 1;
        let at: Vec<usize> = case.allowed.iter().map(|hosts| hosts[0] as usize).collect();
        let uneven = |effort: Effort| {
            let found = searched(&case, &at, effort);
            let space = Space::new(&case.snapshot, &case.demands, &case.policy);
            Standing::new(&load(&case, &space, &found).all_badness()).unevenness()
        };
        let (without, with) = (uneven(NO_KICKS), uneven(Effort::PLACING));
        assert!(with <= without + 1e-9, "{with} with kicks, {without} without");
        better += usize::from(with < without * 0.99);
    }
    assert!(better >= 5, "kicks helped in {better} of {cases} cases");
}

#[test]
fn chains_go_over_the_hosts_that_use_most_and_least() {
    let partners = |hosts: i32, of: usize| {
        // the more a host uses the smaller its number, but for two that use alike
        let cpu = |host: i32| f64::from(100 - 2 * host.max(7));
        let pieces: Vec<Uses> = (0..hosts).map(|host| (cpu(host), &[][..])).collect();
        let at: Vec<usize> = (0..hosts as usize).collect();
        let (mut found, _) = after(&made(hosts, &pieces), &at, NO_KICKS, |search| search.partners(of));
        found.sort_unstable();
        found
    };
    assert_eq!(partners(13, 4), [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12], "all others");
    assert_eq!(partners(3, 1), [0, 2]);
    // of those that use alike the first are nearest to those that use least
    assert_eq!(partners(15, 14), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(partners(16, 0), [2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15]);
}

/// Steps that `act` takes.
fn steps<T>(case: &Case, at: &[usize], act: impl FnOnce(&mut Search<'_, Free<'_>>) -> T) -> usize {
    let space = Space::new(&case.snapshot, &case.demands, &case.policy);
    let (pieces, start) = (pieces(case, &space), load(case, &space, at));
    let mut rules = Free { case, at: at.to_vec(), history: Vec::new(), done: 0, limit: usize::MAX };
    act(&mut Search::new(&space, &pieces, at.to_vec(), start, &mut rules, NO_KICKS));
    rules.done
}

#[test]
fn looks_cost_their_steps() {
    let two = made(2, &[(400.0, &[0, 1]), (100.0, &[0, 1])]);
    // the piece of host 0 goes, and the piece of host 1 comes though nobody goes
    assert_eq!(steps(&two, &[0, 1], |search| search.relieve_by(0, &[1], false)), 3 * (1 + 2));
    // and both, at which all is looked at
    assert_eq!(steps(&two, &[0, 1], |search| search.relieve_by(0, &[1], true)), 3 * (3 + 2));
    // who may not go is seen at once, and what is hopeless at the first of two looks
    let stays = made(2, &[(400.0, &[0]), (100.0, &[0, 1])]);
    assert_eq!(steps(&stays, &[0, 1], |search| search.relieve_by(0, &[1], true)), 3 * (1 + 2));
    // many partners cost a little by themselves
    let nine = made(9, &[]);
    let partners: Vec<usize> = (1..9).collect();
    assert_eq!(steps(&nine, &[], |search| search.relieve_by(0, &partners, true)), 3 * (8 / 4 + 8));
    // a chain over nobody is looked at once for each pair
    assert_eq!(steps(&made(4, &[]), &[], |search| search.rotate_over(0)), 2 * 6);
    // a kick draws four times where nothing can go
    let fixed = made(2, &[(100.0, &[0]), (100.0, &[1])]);
    let drawn = steps(&fixed, &[0, 1], |search| search.kick());
    assert!([2 * 4 * 4, 3 * 4 * 4].contains(&drawn), "{drawn}");
}

#[test]
fn a_chain_gains_what_all_its_pieces_cost() {
    // 1000, 700 and 700: a chain of three leaves 800 everywhere
    let pieces: &[Uses] =
        &[(600.0, &[0, 1]), (400.0, &[0]), (500.0, &[1, 2]), (200.0, &[1]), (400.0, &[0, 2]), (300.0, &[2])];
    let (case, at) = (made(3, pieces), [0, 0, 1, 1, 2, 2]);
    let space = Space::new(&case.snapshot, &case.demands, &case.policy);
    let rotates = |prices: [f64; 6]| {
        let free = super::pieces(&case, &space);
        let priced: Vec<Piece<'_>> =
            free.into_iter().zip(prices).map(|(piece, price)| Piece { price, ..piece }).collect();
        let mut rules = Free { case: &case, at: at.to_vec(), history: Vec::new(), done: 0, limit: usize::MAX };
        let mut search = Search::new(&space, &priced, at.to_vec(), load(&case, &space, &at), &mut rules, NO_KICKS);
        let worth = relief(&search.scores, &[0.0; 3]);
        (search.rotate_over(0), worth)
    };
    let (found, worth) = rotates([0.0; 6]);
    assert!(found && worth > 0.2, "{worth}");
    // who stays costs nothing
    assert!(rotates([0.0, 9.0, 0.0, 9.0, 0.0, 9.0]).0);
    let third = worth / 3.0;
    assert!(rotates([third - 1e-6, 0.0, third - 1e-6, 0.0, third - 1e-6, 0.0]).0);
    assert!(!rotates([third + 1e-6, 0.0, third, 0.0, third, 0.0]).0);
    assert!(!rotates([third, 0.0, third + 1e-6, 0.0, third, 0.0]).0);
    assert!(!rotates([third, 0.0, third, 0.0, third + 1e-6, 0.0]).0);
    for alone in [0, 2, 4] {
        let priced = |price: f64| std::array::from_fn(|piece| if piece == alone { price } else { 0.0 });
        assert_eq!((rotates(priced(worth - 1e-6)).0, rotates(priced(worth + 1e-6)).0), (true, false), "{alone}");
    }
}
