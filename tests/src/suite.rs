//! Named tests, their lines and their count.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::machine::Failure;

/// Tests that share a machine or a name's beginning: they run one after the other, and beside those
/// of other scenes. Each gets a [`Suite`] of its own.
pub type Scene<'a> = Box<dyn FnOnce(&mut Suite) + Send + 'a>;

/// Runs tests one after the other, prints a line for each and counts.
#[derive(Default)]
pub struct Suite {
    filter: String,
    /// Only print the names.
    list: bool,
    passed: usize,
    failed: usize,
}

impl Suite {
    /// Tests whose names contain `filter` (all for an empty one); with `list` only their names are
    /// printed.
    #[must_use]
    pub fn new(filter: &str, list: bool) -> Self {
        Self {
            filter: filter.into(),
            list,
            ..Self::default()
        }
    }

    /// Whether one of `names`, tests that share a machine, is wanted; where names are only to be
    /// listed, lists those that are, and answers no.
    #[must_use]
    pub fn wants(&self, names: &[String]) -> bool {
        let mut wanted = names
            .iter()
            .filter(|name| name.contains(&self.filter))
            .peekable();
        if self.list {
            wanted.for_each(|name| println!("{name}"));
            return false;
        }
        wanted.peek().is_some()
    }

    /// Runs test `name` and tells whether it passed.
    pub fn run(&mut self, name: &str, test: impl FnOnce() -> Result<(), Failure>) -> bool {
        let start = Instant::now();
        let result = test();
        let seconds = start.elapsed().as_secs_f32();
        match &result {
            Ok(()) => {
                self.passed += 1;
                println!("ok      {name} ({seconds:.1} s)");
            }
            Err(failure) => {
                self.failed += 1;
                println!("FAILED  {name} ({seconds:.1} s): {failure}");
            }
        }
        result.is_ok()
    }

    /// Runs `scenes`, `at_once` of them beside each other, begun in their order.
    ///
    /// A machine in QEMU keeps one core of the host busy, so that one scene alone leaves the others
    /// idle. libtest-mimic, which runs tests in parallel too, has no word for tests that share a
    /// machine in a fixed order.
    pub fn run_scenes(&mut self, scenes: Vec<Scene<'_>>, at_once: usize) {
        // Names are listed in order.
        let at_once = if self.list { 1 } else { at_once.max(1) };
        let queue = Mutex::new(scenes.into_iter());
        let total = Mutex::new((0, 0));
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some(scene) = next() {
                        let mut suite = Self::new(&self.filter, self.list);
                        let ended = catch_unwind(AssertUnwindSafe(|| scene(&mut suite)));
                        if ended.is_err() {
                            suite.run("a scene", || {
                                Err(Failure("the test program panicked; see above".into()))
                            });
                        }
                        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                        *total = (total.0 + suite.passed, total.1 + suite.failed);
                    }
                });
            }
        });
        let (passed, failed) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.passed += passed;
        self.failed += failed;
    }

    /// Prints the count and tells whether nothing failed.
    #[must_use]
    pub fn finish(self) -> bool {
        if !self.list {
            println!("{} passed, {} failed, 0 skipped", self.passed, self.failed);
        }
        self.failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_filters_kept() {
        let mut suite = Suite::new("boot", false);
        assert!(suite.wants(&["release/boot".into()]));
        assert!(!suite.wants(&["release/shell".into()]));
        assert!(suite.run("boot", || Ok(())));
        assert!(!suite.run("boot again", || Err(Failure("no".into()))));
        assert_eq!((suite.passed, suite.failed), (1, 1));
        assert!(!suite.finish());
        assert!(!Suite::new("", true).wants(&["a".into()]));
    }

    #[test]
    fn scenes_run_beside_each_other_and_are_counted_together() {
        let mut suite = Suite::new("", false);
        let (meet, met) = (&std::sync::Barrier::new(2), || Ok(()));
        let scene = |fails: bool| -> Scene<'_> {
            Box::new(move |suite| {
                // Neither comes past this without the other.
                meet.wait();
                suite.run("met", met);
                assert!(!fails, "on purpose");
            })
        };
        suite.run_scenes(vec![scene(false), scene(true)], 2);
        assert_eq!((suite.passed, suite.failed), (2, 1), "a panic is a failure");
    }
}
