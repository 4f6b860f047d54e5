//! Named tests, their lines and their count.

use std::time::Instant;

use crate::machine::Failure;

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
    /// Tests whose names contain `filter` (all for an empty one); with `list` only their names are printed.
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
}
