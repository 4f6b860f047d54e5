//! Whatever the others do, a domain that wants to run gets its share and is not kept waiting for
//! long.

use el2_schedule::{SLICE_US, Schedule};
use proptest::prelude::*;
use topology::MAX_DOMAINS;
use topology::pd::time::{Time, VCPU};
use topology::share::{LEAST_BUDGET, MOST_BOUNDED, MOST_SLICE};

/// Ticks a second: a tick is a microsecond.
const FREQUENCY: u64 = 1_000_000;
/// The longest piece of work that the host does to its end.
const LONGEST: u64 = 500;
/// What a domain may keep each other one waiting, and what comes on top.
const EACH: u64 = 2000;
const MORE: u64 = 1000;
/// The time over which shares are looked at.
const WINDOW: u64 = 100_000;

/// What a domain does next: it computes, and sleeps where `sleep` is not 0. `work` is done to its
/// end first.
#[derive(Clone, Copy, Debug)]
struct Step {
    work: u64,
    compute: u64,
    sleep: u64,
}

#[derive(Clone, Debug)]
struct Domain {
    script: Vec<Step>,
    at: usize,
    step: Step,
    /// When it wakes, while it sleeps.
    wakes: Option<u64>,
    /// Since when it waits for the processor.
    waits: Option<u64>,
    ran: u64,
    longest: u64,
    /// When it ran, from and to.
    uses: Vec<(u64, u64)>,
}

impl Domain {
    fn new(script: Vec<Step>) -> Self {
        Self {
            step: script[0],
            script,
            at: 0,
            wakes: Some(0),
            waits: None,
            ran: 0,
            longest: 0,
            uses: Vec::new(),
        }
    }

    fn next_step(&mut self) {
        self.at = (self.at + 1) % self.script.len();
        self.step = self.script[self.at];
    }
}

struct Machine {
    schedule: Schedule,
    domains: Vec<Domain>,
    now: u64,
}

impl Machine {
    fn new(scripts: Vec<Vec<Step>>) -> Self {
        let times = vec![VCPU; scripts.len()];
        Self::with(&times, scripts)
    }

    fn with(times: &[Time], scripts: Vec<Vec<Step>>) -> Self {
        Self {
            schedule: Schedule::new(times, FREQUENCY),
            domains: scripts.into_iter().map(Domain::new).collect(),
            now: 0,
        }
    }

    /// Wakes those whose time has come; whether one of them overtakes.
    fn wake_due(&mut self) -> bool {
        let mut overtaken = false;
        for (n, domain) in self.domains.iter_mut().enumerate() {
            if domain.wakes.is_some_and(|tick| tick <= self.now) {
                domain.wakes = None;
                domain.waits = Some(self.now);
                overtaken |= self.schedule.wake(n, self.now);
            }
        }
        overtaken
    }

    fn next_wake(&self) -> u64 {
        let times = self.domains.iter().filter_map(|domain| domain.wakes);
        // The machine's timer is set for both.
        let release = self.schedule.clone().release(self.now);
        times.chain(release).min().unwrap_or(u64::MAX)
    }

    fn spend(&mut self, index: usize, ticks: u64) {
        self.now += ticks;
        self.domains[index].ran += ticks;
        if ticks != 0 {
            let domain = &mut self.domains[index];
            domain.uses.push((self.now - ticks, self.now));
        }
        self.schedule.charge(index, ticks, self.now);
    }

    /// Runs until tick `end`.
    fn run(&mut self, end: u64) {
        while self.now < end {
            self.wake_due();
            let Some(index) = self.schedule.start(self.now) else {
                self.now = self.next_wake().min(end);
                continue;
            };
            let waited = self.domains[index].waits.take();
            let waited = self.now - waited.expect("who runs has waited");
            self.domains[index].longest = self.domains[index].longest.max(waited);
            self.turn(index, end);
        }
    }

    /// One domain has the processor, until it sleeps or has to make way.
    fn turn(&mut self, index: usize, end: u64) {
        loop {
            let work = core::mem::take(&mut self.domains[index].step.work);
            self.spend(index, work);
            let left = self.schedule.left().unwrap_or(u64::MAX);
            let until_wake = self.next_wake().saturating_sub(self.now);
            let compute = self.domains[index].step.compute;
            let ticks = compute
                .min(left)
                .min(until_wake)
                .min(end.saturating_sub(self.now));
            self.spend(index, ticks);
            let domain = &mut self.domains[index];
            domain.step.compute -= ticks;
            if domain.step.compute == 0 {
                let sleep = domain.step.sleep;
                domain.next_step();
                if sleep != 0 {
                    domain.wakes = Some(self.now + sleep);
                    self.schedule.stop(false);
                    return;
                }
            }
            let release = self.schedule.release(self.now);
            let over = self.schedule.left() == Some(0) || release.is_some_and(|at| at <= self.now);
            if self.wake_due() || over || self.now >= end {
                self.domains[index].waits = Some(self.now);
                self.schedule.stop(true);
                return;
            }
        }
    }
}

/// A domain that always wants to run.
fn busy() -> Vec<Step> {
    vec![Step {
        work: 0,
        compute: 1_000_000,
        sleep: 0,
    }]
}

fn step() -> impl Strategy<Value = Step> {
    let sleep = prop_oneof![Just(0), 1..100_u64, 1..4000_u64, 1..40_000_u64];
    let compute = prop_oneof![
        1..50_u64,
        1..SLICE_US * 2,
        Just(SLICE_US - 1),
        Just(SLICE_US)
    ];
    let work = prop_oneof![Just(0), 0..LONGEST];
    (work, compute, sleep).prop_map(|(work, compute, sleep)| Step {
        work,
        compute,
        sleep,
    })
}

fn others() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let script = prop::collection::vec(step(), 1..12);
    prop::collection::vec(script, 1..MAX_DOMAINS)
}

/// Checks the first domain, which always wants to run, for ten windows.
fn check(scripts: Vec<Vec<Step>>) -> Result<(), TestCaseError> {
    let count = scripts.len() as u64;
    let bound = EACH * (count - 1) + MORE;
    let mut machine = Machine::new(scripts);
    // Everybody starts.
    machine.run(WINDOW);
    for window in 0..10 {
        for domain in &mut machine.domains {
            domain.ran = 0;
            domain.longest = 0;
        }
        let start = machine.now;
        machine.run(start + WINDOW);
        let length = machine.now - start;
        let victim = &machine.domains[0];
        prop_assert!(
            victim.ran * count * 10 >= length * 8,
            "window {window}: {} of {length} for one of {count}",
            victim.ran
        );
        for (n, domain) in machine.domains.iter().enumerate() {
            prop_assert!(
                domain.longest <= bound,
                "window {window}: domain {n} of {count} has waited {} of {bound}",
                domain.longest
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_others_do_a_busy_domain_has_its_share(others in others()) {
        let mut scripts = vec![busy()];
        scripts.extend(others);
        check(scripts)?;
    }
}

/// The most that somebody who ran at these times had of the processor in `length` ticks.
fn most_within(uses: &[(u64, u64)], length: u64) -> u64 {
    // It is in a window that begins with a use.
    let within = |from: u64, to: u64| -> u64 {
        let uses = uses.iter().skip_while(|(_, end)| *end <= from);
        let uses = uses.take_while(|(start, _)| *start < to);
        uses.map(|(start, end)| end.min(&to) - start.max(&from))
            .sum()
    };
    let starts = uses.iter().map(|(start, _)| *start);
    starts
        .map(|from| within(from, from + length))
        .max()
        .unwrap_or(0)
}

/// A bounded time of which others can have as many as there may be.
fn bounded() -> impl Strategy<Value = Time> {
    (LEAST_BUDGET..=MOST_BOUNDED, 1..20_u64).prop_map(|(budget, times)| Time {
        budget,
        period: budget + budget * times / 2 + 1,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Nobody has more than its budget in any period, wherever that begins, but for the one piece
    /// of work that the host does to its end; and the others have the fair share that they have
    /// without budgets.
    #[test]
    fn a_budget_is_a_bound_in_any_period(
        bounds in prop::collection::vec(bounded(), 1..MAX_DOMAINS),
        others in prop::collection::vec(prop::collection::vec(step(), 1..12), MAX_DOMAINS),
    ) {
        let mut scripts = vec![busy()];
        scripts.extend(others.into_iter().take(bounds.len()));
        let mut times = vec![VCPU];
        times.extend(&bounds);
        let count = scripts.len() as u64;
        let mut machine = Machine::with(&times, scripts);
        machine.run(WINDOW);
        machine.domains[0].ran = 0;
        let start = machine.now;
        machine.run(start + WINDOW);
        let length = machine.now - start;
        prop_assert!(machine.domains[0].ran * count * 10 >= length * 8);
        prop_assert!(machine.domains[0].longest <= EACH * (count - 1) + MORE);
        for (domain, time) in machine.domains[1..].iter().zip(&bounds) {
            let most = most_within(&domain.uses, time.period);
            prop_assert!(most <= time.budget + LONGEST, "{most} of {time:?}");
        }
    }

    /// Who is bounded gets all of its budget in each period, if nobody else wants the processor and
    /// while it wants it.
    #[test]
    fn a_budget_comes_whole(time in bounded()) {
        let mut machine = Machine::with(&[time], vec![busy()]);
        machine.run(10 * WINDOW);
        let least = machine.now / time.period * time.budget;
        let ran = machine.domains[0].ran;
        prop_assert!(ran >= least && ran <= least + 2 * time.budget, "{ran} of {least}");
    }
}

/// Slices are weights: who has half the slice of another has half its time.
#[test]
fn slices_are_weights() {
    let slice = |budget| Time {
        budget,
        period: budget,
    };
    for (a, b) in [(500, 250), (MOST_SLICE, LEAST_BUDGET), (1000, 500)] {
        let mut machine = Machine::with(&[slice(a), slice(b)], vec![busy(), busy()]);
        machine.run(10 * WINDOW);
        let ran: Vec<u64> = machine.domains.iter().map(|domain| domain.ran).collect();
        let wanted = machine.now * a / (a + b);
        assert!(ran[0].abs_diff(wanted) <= wanted / 50, "{a}:{b} {ran:?}");
        assert!(machine.domains.iter().all(|d| d.longest <= EACH));
        assert_eq!(machine.schedule.total(0), ran[0]);
    }
}

/// Who sleeps with its budget used is woken when there is some, and not before.
#[test]
fn who_wakes_with_nothing_left_waits_for_the_period() {
    let time = Time {
        budget: 100,
        period: 1000,
    };
    let mut schedule = Schedule::new(&[time, VCPU], FREQUENCY);
    assert!(schedule.wake(0, 0));
    assert_eq!(schedule.start(0), Some(0));
    // Nobody else wants to run, and it is bounded all the same.
    assert_eq!(schedule.left(), Some(100));
    schedule.charge(0, 100, 100);
    assert_eq!(schedule.left(), Some(0));
    schedule.stop(false);
    assert!(!schedule.wake(0, 200) && !schedule.wake(0, 300));
    assert_eq!(
        (schedule.start(999), schedule.release(999)),
        (None, Some(1000))
    );
    assert_eq!(
        (schedule.start(1000), schedule.release(1000)),
        (Some(0), None)
    );
}

/// Two that compute and one that wakes more often than a slice ends: the one of the two that comes
/// behind it starved.
#[test]
fn who_wakes_often_starves_nobody() {
    for period in [20, 200, 2000] {
        let ticks = vec![Step {
            work: 0,
            compute: 5,
            sleep: period,
        }];
        let mut machine = Machine::new(vec![busy(), busy(), ticks]);
        machine.run(10 * WINDOW);
        let ran: Vec<u64> = machine.domains.iter().map(|domain| domain.ran).collect();
        assert!(ran[0].abs_diff(ran[1]) <= 2 * SLICE_US, "{ran:?}");
        assert!(machine.domains[2].longest <= 2 * EACH + MORE);
    }
}

/// Who computes little runs when it wakes, at once.
#[test]
fn who_computes_little_does_not_wait() {
    let little = vec![Step {
        work: 0,
        compute: 100,
        sleep: 10_000,
    }];
    let mut scripts = vec![busy(); 7];
    scripts.push(little);
    let mut machine = Machine::new(scripts);
    machine.run(WINDOW);
    machine.domains[7].longest = 0;
    machine.run(10 * WINDOW);
    assert_eq!(machine.domains[7].longest, 0);
}

/// Who is alone is never stopped, and owes nothing for that afterwards.
#[test]
fn who_was_alone_owes_nothing() {
    let late = vec![
        Step {
            work: 0,
            compute: 1,
            sleep: 50_000,
        },
        Step {
            work: 0,
            compute: 1_000_000,
            sleep: 0,
        },
    ];
    let mut machine = Machine::new(vec![busy(), late]);
    machine.run(50_000);
    machine.domains[0].longest = 0;
    machine.run(WINDOW);
    assert!(machine.domains[0].longest <= EACH);
}

/// Domains that there are not, and who wants to run already, change nothing.
#[test]
fn domains_without_vcpus_on_a_core_are_not_there() {
    let mut schedule = Schedule::of_core(&[None, Some(VCPU), None, Some(VCPU)], FREQUENCY);
    assert!(!schedule.wake(0, 0) && !schedule.wake(2, 0));
    assert_eq!(schedule.start(0), None);
    let mut two = Schedule::new(&[VCPU; 2], FREQUENCY);
    // Whoever is there is treated as if nobody else were.
    let mut now = 0;
    for _ in 0..100 {
        assert_eq!(schedule.wake(1, now), two.wake(0, now));
        assert_eq!(schedule.wake(3, now), two.wake(1, now));
        let (there, alone) = (schedule.start(now), two.start(now));
        assert_eq!(there, alone.map(|index| 2 * index + 1));
        assert_eq!(schedule.left(), two.left());
        let Some((there, alone)) = there.zip(alone) else {
            panic!("both want to run");
        };
        let ticks = two.left().unwrap_or(1000).max(1);
        now += ticks;
        schedule.charge(there, ticks, now);
        two.charge(alone, ticks, now);
        schedule.stop(true);
        two.stop(true);
    }
}

#[test]
fn wakes_that_mean_nothing() {
    let mut schedule = Schedule::new(&[VCPU; 2], FREQUENCY);
    assert!(!schedule.wake(2, 0) && !schedule.wake(MAX_DOMAINS, 0));
    assert_eq!(schedule.start(0), None);
    assert!(schedule.wake(1, 0));
    assert!(!schedule.wake(1, 1));
    assert_eq!(schedule.start(1), Some(1));
    assert!(!schedule.wake(1, 2) && !schedule.contended());
    assert_eq!(schedule.left(), None);
    schedule.charge(1, 10, 2);
    assert!(schedule.wake(0, 3));
    assert_eq!(schedule.left(), Some(SLICE_US - 10));
    schedule.stop(true);
    schedule.stop(true);
    assert_eq!((schedule.start(3), schedule.current()), (Some(0), Some(0)));
}
