//! Every body over its committed corpus, without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use fuzz_targets::{TARGETS, seeds};

/// What a corpus may be: small, or nobody keeps it in a repository.
const MOST_FILES: usize = 50;
const MOST_BYTES: usize = 4096;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names and bytes of a corpus, in order.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = fuzz().join("corpus").join(target);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a readable directory").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, fs::read(&path).expect("a readable file"))
        })
        .collect();
    files.sort();
    files
}

fn run(target: &str) {
    let (_, body) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    let files = files(target);
    assert!(
        (1..=MOST_FILES).contains(&files.len()),
        "{} files",
        files.len()
    );
    for (name, bytes) in &files {
        assert!(
            bytes.len() <= MOST_BYTES,
            "{name} has {} bytes",
            bytes.len()
        );
        panic::catch_unwind(|| body(bytes))
            .unwrap_or_else(|_| panic!("{target} fails on fuzz/corpus/{target}/{name}"));
    }
    // And nothing at all.
    body(&[]);
}

macro_rules! targets {
    ($($target:ident),* $(,)?) => {
        $(#[test]
        fn $target() {
            run(stringify!($target));
        })*

        #[test]
        fn every_target_has_a_test_a_wrapper_and_a_corpus() {
            let all: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(all, BTreeSet::from([$(stringify!($target)),*]));
            let names = |directory: &str, suffix: &str| -> BTreeSet<String> {
                let entries = fs::read_dir(fuzz().join(directory)).expect("a readable directory");
                let names = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned());
                names.map(|name| name.trim_end_matches(suffix).to_owned()).collect()
            };
            let all: BTreeSet<String> = all.into_iter().map(str::to_owned).collect();
            assert_eq!(names("fuzz_targets", ".rs"), all);
            assert_eq!(names("corpus", ""), all);
        }
    };
}

targets!(
    memory_request,
    peer_request,
    manifest,
    dt_tree,
    dt_wire,
    byte_ring,
    console_mux,
    pv_console,
    trap,
    instruction,
    image,
    stage1,
    hypercall,
    exits,
    timer_request,
    xenstore,
    gpt,
    block_requests,
    blkif,
    netif,
    leave,
);

#[test]
fn seeds_are_what_their_source_says() {
    for (target, _) in TARGETS {
        let committed = files(target);
        for (name, bytes) in seeds::of(target) {
            let file = committed.iter().find(|(committed, _)| committed == name);
            assert!(
                file.is_some_and(|(_, committed)| *committed == bytes),
                "{target}/{name} is stale: cargo run -p fuzz-targets --example write-seeds"
            );
        }
    }
}
