//! Every sample file in `samples/` has one mistake, except where it says otherwise; the whole
//! message about each is kept beside it.
//!
//! `ZAZEN_BLESS=1 cargo test -p zazen-tools --test samples` writes the messages anew: read what
//! changed before you commit it.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use zazen_tools::board::DEFAULT;
use zazen_tools::check::{Severity, check};

use common::has_dtc;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

/// Names of all samples, `.dts` and `.dtb`.
fn samples() -> Vec<String> {
    let entries = fs::read_dir(directory()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with(".dts") || name.ends_with(".dtb"))
        .collect();
    names.sort();
    names
}

/// Runs `zazen check` on a sample where it lies; standard error, standard output and the status.
fn said(name: &str, options: &[&str]) -> (String, String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_zazen"))
        .arg("check")
        .args(options)
        .arg(name)
        .current_dir(directory())
        .output()
        .unwrap();
    (
        String::from_utf8(output.stderr).unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        output.status.code().unwrap(),
    )
}

/// What `zazen check --json` says.
fn json(name: &str) -> serde_json::Value {
    let (_, text, _) = said(name, &["--json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
}

#[test]
fn every_message_is_as_it_was() {
    if !has_dtc("every_message_is_as_it_was") {
        return;
    }
    let bless = std::env::var_os("ZAZEN_BLESS").is_some();
    let mut stale = Vec::new();
    let names = samples();
    assert!(names.len() >= 60, "{}", names.len());
    let mut texts = BTreeSet::new();
    for name in &names {
        let (errors, output, status) = said(name, &[]);
        let text = format!("$ zazen check {name}\n{errors}{output}status {status}\n");
        assert!(texts.insert(text.clone()), "{name} is told like another");
        let path = directory().join(format!("{name}.txt"));
        if bless {
            fs::write(&path, text).unwrap();
        } else if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            stale.push(text);
        }
    }
    assert!(
        stale.is_empty(),
        "{} of {} messages changed (see the head of this file):\n{}",
        stale.len(),
        names.len(),
        stale.join("\n")
    );
    // No message of a sample that has gone.
    let kept = fs::read_dir(directory()).unwrap();
    let kept = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for text in kept.filter_map(|name| name.strip_suffix(".txt").map(str::to_owned)) {
        assert!(names.contains(&text), "{text}.txt is of no sample");
    }
}

#[test]
fn every_rule_of_the_host_has_a_sample() {
    if !has_dtc("every_rule_of_the_host_has_a_sample") {
        return;
    }
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for name in samples() {
        let report = json(&name);
        for found in report["diagnostics"].as_array().unwrap() {
            seen.entry(found["code"].as_str().unwrap().to_owned())
                .or_insert_with(|| name.clone());
        }
    }
    for (code, sample) in [
        ("zazen::static::overlap", "dtb-overlap.dtb"),
        ("zazen::dtb::truncated", "dtb-truncated.dtb"),
    ] {
        assert_eq!(seen.get(code).map(String::as_str), Some(sample));
    }
    let unseen: Vec<&str> = zazen_tools::check::all_rules()
        .iter()
        .map(|rule| rule.code)
        .filter(|code| !seen.contains_key(*code))
        .collect();
    // Rules whose samples cannot be a file: no file, no dtc, limits that a domains file does not
    // reach, and lists of 257 ranges; each has a test of its own in dt-server, `limits` or
    // tools.rs.
    let elsewhere = [
        "zazen::file::no-dtc",
        "zazen::file::unreadable",
        "zazen::host::memory",
        "zazen::host::reserved-memory",
        "zazen::host::too-many-ranges",
        "zazen::microkit::limit",
    ];
    let unexplained: Vec<_> = unseen
        .iter()
        .filter(|code| !elsewhere.contains(code))
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

/// What must be refused, each with its own rule.
#[test]
fn each_of_the_classic_mistakes_is_refused_by_its_own_rule() {
    if !has_dtc("each_of_the_classic_mistakes_is_refused_by_its_own_rule") {
        return;
    }
    let classic = [
        ("static-overlap.dts", "zazen::static::overlap"),
        ("static-sum.dts", "zazen::static::sum"),
        ("direct-map-alone.dts", "zazen::domain::direct-map"),
        (
            "board-kernel-ram-border.dts",
            "zazen::board::kernel-ram-border",
        ),
        (
            "kernel-larger-than-ram.dts",
            "zazen::module::kernel-too-large",
        ),
        (
            "initrd-overlaps-kernel.dts",
            "zazen::module::ramdisk-overlaps-kernel",
        ),
        ("enhanced-foo.dts", "zazen::domain::enhanced"),
        ("cpus-zero.dts", "zazen::domain::cpus"),
        ("static-cells.dts", "zazen::tree::cells"),
        ("file-missing.dts", "zazen::module::file-missing"),
        ("dtb-truncated.dtb", "zazen::dtb::truncated"),
        ("syntax-semicolon.dts", "zazen::dts::syntax"),
    ];
    for (name, code) in classic {
        let report = json(name);
        let found = report["diagnostics"].as_array().unwrap();
        let errors: Vec<&str> = found
            .iter()
            .filter(|found| found["severity"] == "error")
            .map(|found| found["code"].as_str().unwrap())
            .collect();
        assert_eq!(errors, [code], "{name}");
        assert_eq!(said(name, &[]).2, 1, "{name}");
        // A place, unless there is no source.
        let placed = found[0]["line"].as_u64().is_some_and(|line| line > 1);
        assert_eq!(placed, name.ends_with(".dts"), "{name}");
    }
    let overlap = &json("static-overlap.dts")["diagnostics"][0];
    let message = overlap["message"].as_str().unwrap();
    assert!(
        message.contains("linux2") && message.contains("linux1") && message.contains("one page"),
        "{message}"
    );
    assert_eq!(overlap["related"][0]["line"], 19);
    assert_eq!(
        (&overlap["line"], &overlap["column"]),
        (&38.into(), &4.into())
    );
}

/// Each proposed change, made in the source, mends its mistake.
#[test]
fn proposed_changes_mend() {
    if !has_dtc("proposed_changes_mend") {
        return;
    }
    let scratch = std::env::temp_dir().join(format!("zazen-samples-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let mut tried = 0;
    for name in samples() {
        let path = directory().join(&name);
        let search = [directory()];
        let report = check(&path, &search, DEFAULT);
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for mistake in &report.mistakes {
            let Some(edit) = mistake.fix.as_ref().and_then(|fix| fix.edit.as_ref()) else {
                continue;
            };
            if edit.at.file != path.to_string_lossy() {
                continue;
            }
            let at = |line: usize, column: usize| {
                let before: usize = text
                    .split_inclusive('\n')
                    .take(line - 1)
                    .map(str::len)
                    .sum();
                before + column - 1
            };
            let (start, end) = (edit.at.start, edit.at.end);
            let mended = format!(
                "{}{}{}",
                &text[..at(start.line, start.column)],
                edit.text,
                &text[at(end.line, end.column)..]
            );
            let file = scratch.join(&name);
            fs::write(&file, &mended).unwrap();
            let after = check(&file, &search, DEFAULT);
            assert!(after.readable);
            let same = after.mistakes.iter().find(|other| {
                (other.rule, &other.path, &other.property)
                    == (mistake.rule, &mistake.path, &mistake.property)
                    && other.message == mistake.message
            });
            assert!(
                same.is_none(),
                "{name}: {} is still there after: {}\n{mended}",
                mistake.message,
                mistake.fix.as_ref().unwrap().summary
            );
            tried += 1;
        }
    }
    let _ = fs::remove_dir_all(&scratch);
    assert!(tried >= 40, "{tried}");
}

/// All proposed changes together, as `--mend` makes them, mend all of these mistakes, and the file
/// stays one that dtc reads.
#[test]
fn proposed_changes_go_together() {
    if !has_dtc("proposed_changes_go_together") {
        return;
    }
    let scratch = std::env::temp_dir().join(format!("zazen-mended-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let search = [directory()];
    let mut tried = 0;
    for name in samples() {
        let path = directory().join(&name);
        let mut before = check(&path, &search, DEFAULT);
        let here = path.to_string_lossy();
        let of_here = |mistake: &&zazen_tools::check::Mistake| {
            let edit = mistake.fix.as_ref().and_then(|fix| fix.edit.as_ref());
            edit.is_some_and(|edit| edit.at.file == here)
        };
        let proposed: Vec<_> = before.mistakes.iter().filter(of_here).cloned().collect();
        let Some(mended) = before.mended().filter(|_| proposed.len() > 1) else {
            continue;
        };
        let file = scratch.join(&name);
        fs::write(&file, &mended).unwrap();
        let after = check(&file, &search, DEFAULT);
        for mistake in &after.mistakes {
            let code = mistake.rule.code;
            // What was removed may be named by something that has a mistake of its own.
            let dangling = mistake.message.ends_with(" is not defined");
            assert!(
                dangling || !code.starts_with("zazen::dts::"),
                "{name}: {}\n{mended}",
                mistake.message
            );
            let same = proposed.iter().any(|old| {
                (old.rule, &old.path, &old.property, &old.message)
                    == (
                        mistake.rule,
                        &mistake.path,
                        &mistake.property,
                        &mistake.message,
                    )
            });
            assert!(
                !same,
                "{name}: {} is still there\n{mended}",
                mistake.message
            );
            let overlap = code == "zazen::static::overlap";
            assert!(!overlap, "{name}: {}\n{mended}", mistake.message);
        }
        tried += 1;
    }
    let _ = fs::remove_dir_all(&scratch);
    assert!(tried >= 10, "{tried}");
}

/// What `--mend` writes has no error left where it could be known what was meant, however many
/// mistakes were behind each other.
#[test]
fn what_mend_writes_passes() {
    if !has_dtc("what_mend_writes_passes") {
        return;
    }
    let mended = [
        "bank-too-small.dts",
        "console-hvc0.dts",
        "initrd-overlaps-kernel.dts",
        "memory-decimal.dts",
        "memory-in-bytes.dts",
        "memory-in-gib.dts",
        "memory-in-mib.dts",
        "memory-little.dts",
        "memory-max-in-mib.dts",
        "memory-text.dts",
        "memory-with-unit.dts",
        "static-decimal.dts",
        "static-in-kib.dts",
        "static-in-mib.dts",
        "static-memory-in-bytes.dts",
        "syntax-cells-no-end.dts",
        "syntax-comma-in-cells.dts",
        "syntax-dash.dts",
        "syntax-hex-h.dts",
        "syntax-hex.dts",
        "syntax-invisible.dts",
        "syntax-last-brace.dts",
        "syntax-name-with-space.dts",
        "syntax-no-comma.dts",
        "syntax-no-quotes-words.dts",
        "syntax-no-quotes.dts",
        "syntax-property-with-space.dts",
        "syntax-two-semicolons.dts",
        "syntax-unit-memory.dts",
        "xsm-policy.dts",
    ];
    for name in mended {
        let mut before = check(&directory().join(name), &[], DEFAULT);
        let (text, after) = before.mended_whole(&[]).unwrap();
        assert_eq!(
            after.count(Severity::Error),
            0,
            "{name}: {:?}\n{text}",
            after.mistakes
        );
        // 128 MiB is what a distribution's kernel needs; who wrote more gets that.
        for domain in &after.config.unwrap().domains {
            assert!(domain.ram() >= 64 << 20, "{name}: {} bytes", domain.ram());
        }
    }
}

/// Every syntax error is reported with a line, a column and what is there.
#[test]
fn every_syntax_error_has_a_place() {
    if !has_dtc("every_syntax_error_has_a_place") {
        return;
    }
    let file = std::env::temp_dir().join(format!("zazen-syntax-{}.dts", std::process::id()));
    let text = fs::read_to_string(directory().join("syntax-hex.dts")).unwrap();
    let text = text.replace("0x0 c000000>", "0x0 0xc000000>");
    let lines: Vec<&str> = text.lines().collect();
    let mut refused = 0;
    for (number, line) in (1..).zip(&lines).skip(5) {
        for stray in [
            "é", "$", "\u{a0}", "<", ">", "\"", "}", "{", "=", "(", "=x", "\\", "\u{7}",
        ] {
            let broken: Vec<String> = (1..)
                .zip(&lines)
                .map(|(at, other)| match at == number {
                    true => format!("{line} {stray}"),
                    false => (*other).to_owned(),
                })
                .collect();
            fs::write(&file, broken.join("\n")).unwrap();
            let report = check(&file, &[directory()], DEFAULT);
            let syntax = report
                .mistakes
                .iter()
                .filter(|mistake| mistake.rule.code == "zazen::dts::syntax");
            for mistake in syntax {
                refused += 1;
                let at = mistake
                    .at
                    .as_ref()
                    .unwrap_or_else(|| panic!("{stray:?} in line {number}: {}", mistake.message));
                assert!(at.start.line >= 1 && at.start.column >= 1);
                assert_ne!(mistake.message, "syntax error");
                assert!(!mistake.hint.is_empty(), "{}", mistake.message);
            }
        }
    }
    let _ = fs::remove_file(&file);
    assert!(refused > 200, "{refused}");
}

#[test]
fn scripts_see_the_status() {
    if !has_dtc("scripts_see_the_status") {
        return;
    }
    assert_eq!(said("enhanced-foo.dts", &[]).2, 1);
    // Warnings alone are no reason to stop, unless asked for.
    assert_eq!(said("misspelt-property.dts", &[]).2, 0);
    assert_eq!(said("misspelt-property.dts", &["--deny-warnings"]).2, 1);
    // Notes never are.
    assert_eq!(said("board-kernel-ram.dts", &["--deny-warnings"]).2, 0);
    assert_eq!(said("nowhere.dts", &[]).2, 2);
    assert_eq!(said("static-sum.dts", &["--bord"]).2, 2);
}

#[test]
fn editors_see_everything() {
    if !has_dtc("editors_see_everything") {
        return;
    }
    let report = json("many.dts");
    assert_eq!(report["version"], 1);
    assert_eq!(report["ok"], false);
    assert_eq!(report["file"], "many.dts");
    assert_eq!(report["board"], "qemu_virt_aarch64");
    let found = report["diagnostics"].as_array().unwrap();
    assert_eq!(report["errors"], 5);
    let codes: Vec<_> = found
        .iter()
        .map(|found| found["code"].as_str().unwrap())
        .collect();
    for code in [
        "zazen::domain::memory",
        "zazen::domain::cpus",
        "zazen::domain::enhanced",
        "zazen::module::file-missing",
        "zazen::static::overlap",
    ] {
        assert!(codes.contains(&code), "{codes:?}");
    }
    for found in found {
        for field in [
            "code", "severity", "message", "file", "line", "column", "end", "related", "rule",
            "hint", "fix",
        ] {
            assert!(found.get(field).is_some(), "{field}: {found}");
        }
        assert!(found["end"]["line"].as_u64() >= found["line"].as_u64());
    }
    // Nothing is wrong: the answer is the list of domains.
    let good = check(
        &directory().join("../../../domains/two-linux.dts"),
        &[directory().join("files")],
        DEFAULT,
    );
    assert_eq!(good.count(Severity::Error), 0, "{:?}", good.mistakes);
    let text = good.json().unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["domains"][1]["name"], "linux2");
    assert_eq!(value["domains"][1]["memory_kib"], 192 * 1024);
}
