//! The command line: help, completions, manual pages, and what each command ends with.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::has_dtc;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn zazen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zazen"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_says_what_a_manual_page_says() {
    let all = stdout(&zazen(&["--help"]));
    for part in ["Exit status:", "Environment:", "Files:", "See also:"] {
        assert!(all.contains(part), "{all}");
    }
    for command in ["check", "generate", "explain"] {
        assert!(all.contains(&format!("  {command} ")), "{all}");
        let help = stdout(&zazen(&[command, "--help"]));
        for part in ["Exit status:", "Examples:", "See also:"] {
            assert!(help.contains(part), "{command}: {help}");
        }
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
    }
    // Files that help names are there.
    for file in [
        "docs/domains.md",
        "docs/check.md",
        "system.xml",
        "SUPPORT.md",
    ] {
        assert!(root().join(file).is_file(), "{file}");
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = stdout(&zazen(&["completions", shell]));
        for word in ["check", "explain", "generate", "deny-warnings", "board"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let directory = std::env::temp_dir().join(format!("zazen-man-{}", std::process::id()));
    let output = zazen(&["man", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(directory.join("zazen-check.1")).unwrap();
    assert!(
        page.contains("deny") && page.contains("EXIT STATUS"),
        "{page}"
    );
    assert!(directory.join("zazen.1").is_file());
    let _ = fs::remove_dir_all(&directory);
    // A file in the way.
    let output = zazen(&["man", "system.xml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("system.xml"));
}

#[test]
fn explain_ends_as_it_says() {
    let output = zazen(&["explain", "-22"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("EINVAL"));
    let output = zazen(&["explain", "memory_op", "6"]);
    assert!(stdout(&output).starts_with("memory_op populate_physmap"));
    let output = zazen(&["explain", "popul_physmap"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("did you mean: populate_physmap?"));
    assert_eq!(zazen(&["explain"]).status.code(), Some(0));
    assert_eq!(
        zazen(&["explain", "--domains", "nowhere.dts", "12"])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn explain_reads_a_log() {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_zazen"))
        .args(["explain", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let log = b"Linux version 6.1\nvmm_a stopped: read of address 0x8; pc 0x200000\nhello\n";
    child.stdin.take().unwrap().write_all(log).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = stdout(&output);
    assert!(text.starts_with("vmm_a stopped"), "{text}");
    assert!(
        text.contains("    Where: 0x8 is no address at all"),
        "{text}"
    );
    assert!(!text.contains("hello"));
}

#[test]
fn priorities_that_break_the_rule_of_calls_are_refused() {
    if !has_dtc("priorities_that_break_the_rule_of_calls_are_refused") {
        return;
    }
    let generate =
        |priority: &str| zazen(&["generate", "domains/two-linux.dts", "--priority", priority]);
    // Below its callers, the gates: each is named.
    let output = generate("memory_server=1");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for gate in ["gate_linux1", "gate_linux2"] {
        let line = said
            .lines()
            .find(|line| line.starts_with(&format!("error: {gate} ")));
        let line = line.unwrap_or_else(|| panic!("{said}"));
        let says = "calls memory_server (priority 1); a call goes to a strictly higher priority";
        assert!(line.contains(says), "{line}");
    }
    assert_eq!(stdout(&output), "");
    let output = generate("console=225");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("<protection_domain name=\"console\" priority=\"225\""));
    assert_eq!(generate("nobody=1").status.code(), Some(2));
    assert_eq!(generate("console=255").status.code(), Some(2));
    assert_eq!(generate("console").status.code(), Some(2));
}

/// What a build has to look at: the file, what it includes in whatever way, and modules wherever
/// they were found.
#[test]
fn check_lists_the_files_of_a_system() {
    if !has_dtc("check_lists_the_files_of_a_system") {
        return;
    }
    let scratch = std::env::temp_dir().join(format!("zazen-inputs-{}", std::process::id()));
    let elsewhere = scratch.join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    fs::copy(samples.join("files/Image"), elsewhere.join("Image")).unwrap();
    fs::copy(
        samples.join("files/initrd.cpio"),
        elsewhere.join("initrd.cpio"),
    )
    .unwrap();
    let absolute = elsewhere.join("Image");
    let text = format!(
        "/dts-v1/; /include/ \"two words.dtsi\" / {{ #address-cells = <2>; #size-cells = <2>; chosen {{ a {{ \
         compatible = \"xen,domain\"; memory = <0 0x10000>; cpus = <1>; vpl011; \
         k {{ compatible = \"multiboot,kernel\", \"multiboot,module\"; zazen,file = \"{}\"; }}; \
         r {{ compatible = \"multiboot,ramdisk\", \"multiboot,module\"; zazen,file = \"initrd.cpio\"; }}; }}; }}; }};",
        absolute.display()
    );
    let file = scratch.join("a.dts");
    fs::write(&file, &text).unwrap();
    fs::write(scratch.join("two words.dtsi"), "/ { model = \"x\"; };").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_zazen"))
        .args(["check", "--list-files", "--files"])
        .args([&elsewhere, &file])
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let mut listed: Vec<PathBuf> = listed.lines().map(PathBuf::from).collect();
    listed.sort();
    let mut wanted = [
        file,
        scratch.join("two words.dtsi"),
        absolute,
        elsewhere.join("initrd.cpio"),
    ];
    wanted.sort();
    let _ = fs::remove_dir_all(&scratch);
    assert_eq!(listed, wanted);
}

/// `check -` reads what is piped into it, and says the same as of a file.
#[test]
fn check_reads_standard_input() {
    if !has_dtc("check_reads_standard_input") {
        return;
    }
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    for name in ["syntax-hex.dts", "cpus-nine.dts", "dtb-overlap.dtb"] {
        let run = |file: &str| {
            let input = fs::File::open(samples.join(name)).unwrap();
            let output = Command::new(env!("CARGO_BIN_EXE_zazen"))
                .args(["check", file])
                .current_dir(&samples)
                .stdin(input)
                .output()
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            (said, output.status.code())
        };
        let (of_file, status) = run(name);
        let (piped, piped_status) = run("-");
        assert_eq!(status, piped_status, "{name}");
        // Frames are as wide as the names.
        assert_eq!(piped.replace("<stdin>", name), of_file, "{name}");
    }
}
