//! Domains files of the repository, what is generated from them, and the command line.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dt_server::NoFiles;
use zazen_tools::board::{BOARDS, Board};
use zazen_tools::check::Severity;
use zazen_tools::generate::{system, system_xml};
use zazen_tools::limits;
use zazen_tools::load::{LoadError, Loaded, Missing, load, load_with};
use zazen_tools::system::System;

use common::has_dtc;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn domains(name: &str) -> PathBuf {
    root().join("domains").join(name)
}

fn board() -> &'static Board {
    Board::by_name("qemu_virt_aarch64").unwrap()
}

fn assumed(name: &str) -> Loaded {
    assumed_on(name, board())
}

fn assumed_on(name: &str, board: &'static Board) -> Loaded {
    load_with(&domains(name), &[], board, Missing::Assume)
        .unwrap_or_else(|error| panic!("{name}:\n{error}"))
}

/// A directory with small files in place of kernel and RAM disk; removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("zazen-tools-{test}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut image = vec![0; 4096];
        image[56..60].copy_from_slice(b"ARM\x64");
        fs::write(directory.join("Image"), image).unwrap();
        let mut archive = b"070701".to_vec();
        // As a RAM disk it needs whole sectors.
        archive.resize(1024, 0);
        for name in ["initrd.cpio", "debian-initrd.cpio", "disk-initrd.cpio"] {
            fs::write(directory.join(name), &archive).unwrap();
        }
        Self(directory)
    }
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn zazen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zazen"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_committed_system_description_is_fresh() {
    if !has_dtc("the_committed_system_description_is_fresh") {
        return;
    }
    let xml = system_xml(&assumed("two-linux.dts").config, board()).unwrap();
    let committed = fs::read_to_string(root().join("system.xml")).unwrap();
    assert!(
        xml == committed,
        "system.xml is stale; run: cargo run -p zazen-tools -- generate domains/two-linux.dts -o system.xml"
    );
}

/// The domains files of the repository and the board that each is for: the one that its name begins
/// with, or the default.
fn all_domains() -> Vec<(PathBuf, &'static Board)> {
    let files = fs::read_dir(root().join("domains")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "dts"));
    let of = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy();
        let mut boards = BOARDS.iter().copied();
        boards.find(|board| name.starts_with(&format!("{}-", board.name)))
    };
    sources
        .map(|path| (path.clone(), of(&path).unwrap_or(board())))
        .collect()
}

#[test]
fn all_domains_files_fit_microkit_on_every_board() {
    if !has_dtc("all_domains_files_fit_microkit_on_every_board") {
        return;
    }
    let all = all_domains();
    for (path, board) in &all {
        let loaded = load_with(path, &[], *board, Missing::Assume);
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        for board in BOARDS {
            let exceeded = limits::check(&system(&loaded.config, board));
            assert!(exceeded.is_empty(), "{}: {exceeded:?}", path.display());
        }
    }
    for board in BOARDS {
        let count = all.iter().filter(|(_, of)| of == board).count();
        assert!(count >= 1, "no domains file for {}", board.name);
    }
}

/// `build.sh` makes images only of what passes.
#[test]
fn all_domains_files_pass_the_check_for_their_board() {
    if !has_dtc("all_domains_files_pass_the_check_for_their_board") {
        return;
    }
    let scratch = Scratch::new("all-pass");
    fs::copy(scratch.0.join("Image"), scratch.0.join("probe.img")).unwrap();
    for (path, board) in all_domains() {
        let report = zazen_tools::check::check(&path, std::slice::from_ref(&scratch.0), board);
        let told: Vec<_> = report
            .mistakes
            .iter()
            .filter(|mistake| mistake.severity != Severity::Note)
            .collect();
        assert!(told.is_empty(), "{}: {told:#?}", path.display());
    }
}

#[test]
fn the_three_domains_files_give_what_they_promise() {
    if !has_dtc("the_three_domains_files_give_what_they_promise") {
        return;
    }
    for (name, ram, is_static) in [
        ("one-linux.dts", &[256][..], true),
        ("two-linux.dts", &[192, 192], true),
        ("heap-linux.dts", &[128, 128], false),
    ] {
        let config = assumed(name).config;
        assert!(config.warnings.is_empty(), "{name}: {}", config.warnings);
        let mib: Vec<u64> = config
            .domains
            .iter()
            .map(|domain| domain.ram() >> 20)
            .collect();
        assert_eq!(mib, ram, "{name}");
        for (i, domain) in config.domains.iter().enumerate() {
            let record = &domain.record;
            assert_eq!(record.name.as_str(), format!("linux{}", i + 1));
            assert_eq!(
                (record.is_static, domain.heap == 0, record.vpl011),
                (is_static, is_static, false)
            );
            let files: Vec<_> = domain.modules().collect();
            assert_eq!(files, [(0, "Image"), (1, "initrd.cpio")]);
            assert!(
                domain.bootargs.starts_with("console=hvc0 "),
                "{}",
                domain.bootargs
            );
            // Where the kernel owns nothing.
            assert!(
                domain
                    .static_mem
                    .iter()
                    .all(|r| r.start >= 0x4000_0000 && r.end() <= 0x6000_0000)
            );
        }
    }
}

#[test]
fn the_system_description_is_what_the_servers_expect() {
    if !has_dtc("the_system_description_is_what_the_servers_expect") {
        return;
    }
    let text = system_xml(&assumed("two-linux.dts").config, board()).unwrap();
    let xml = roxmltree::Document::parse(&text).unwrap();
    let all = |tag: &'static str| xml.descendants().filter(move |node| node.has_tag_name(tag));
    let pd = |name: &'static str| {
        all("protection_domain")
            .find(|node| node.attribute("name") == Some(name))
            .unwrap()
    };
    let maps = |pd: roxmltree::Node<'_, '_>| -> BTreeSet<String> {
        let maps = pd.children().filter(|node| node.has_tag_name("map"));
        maps.map(|map| {
            ["mr", "vaddr", "perms"]
                .map(|name| map.attribute(name).unwrap().to_owned())
                .join(" ")
        })
        .collect()
    };
    let names: Vec<_> = all("protection_domain")
        .map(|node| node.attribute("name").unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "fault_server",
            "memory_server",
            "dt_server",
            "timer_server",
            "xenstore_server",
            "pulse",
            "gate_linux1",
            "vmm_linux1",
            "gate_linux2",
            "vmm_linux2",
            "console"
        ]
    );
    // The fault server gets the faults of all but the console, by their numbers as clients of the
    // console.
    let children: Vec<_> = pd("fault_server")
        .children()
        .filter(|node| node.has_tag_name("protection_domain"))
        .map(|node| {
            (
                node.attribute("name").unwrap(),
                node.attribute("id").unwrap(),
            )
        })
        .collect();
    assert_eq!(
        children,
        [
            ("memory_server", "8"),
            ("dt_server", "9"),
            ("timer_server", "10"),
            ("xenstore_server", "12"),
            ("pulse", "21"),
            ("gate_linux1", "13"),
            ("vmm_linux1", "0"),
            ("gate_linux2", "14"),
            ("vmm_linux2", "1")
        ]
    );
    // Microkit's own way to make one passive would give each a capability to its monitor.
    assert!(all("protection_domain").all(|n| n.attribute("passive").is_none()));
    let time = |node: roxmltree::Node<'_, '_>| {
        ["budget", "period"].map(|name| node.attribute(name).unwrap().parse::<u64>().unwrap())
    };
    for guest in all("virtual_machine") {
        assert_eq!(time(guest), [500, 500]);
    }
    for (name, expected) in [
        ("vmm_linux1", [50, 50]),
        ("console", [50, 50]),
        ("timer_server", [50, 50]),
        ("xenstore_server", [50, 50]),
        ("fault_server", [500, 500]),
    ] {
        assert_eq!(time(pd(name)), expected, "{name}");
    }

    // Nobody but the console sees the UART, nobody but its owner a p2m, and modules cannot be
    // changed.
    let users = |region: &'static str| -> Vec<&str> {
        all("map")
            .filter(|map| map.attribute("mr") == Some(region))
            .map(|map| map.parent().unwrap().attribute("name").unwrap())
            .collect()
    };
    assert_eq!(users("uart"), ["console"]);
    assert_eq!(users("records"), ["memory_server"]);
    assert_eq!(users("boot_dtb"), ["dt_server"]);
    assert_eq!(users("p2m_linux1"), ["vmm_linux1"]);
    assert_eq!(users("gicv"), ["linux1", "linux2"]);
    assert_eq!(users("module_Image"), ["vmm_linux1", "vmm_linux2"]);
    assert_eq!(users("console_linux2"), ["vmm_linux2", "console"]);
    assert_eq!(users("store_linux2"), ["xenstore_server", "vmm_linux2"]);
    assert_eq!(users("store"), ["xenstore_server"]);
    for map in all("map").filter(|map| map.attribute("mr").unwrap().starts_with("module_")) {
        assert_eq!(map.attribute("perms"), Some("r"));
    }
    assert_eq!(
        maps(pd("vmm_linux2")),
        BTreeSet::from(
            [
                "console_linux2 0x10000000 rw",
                "store_linux2 0x10100000 rw",
                "p2m_linux2 0x1000000000 rw",
                "module_Image 0x2000000000 r",
                "module_initrd.cpio 0x2100000000 r",
            ]
            .map(String::from)
        )
    );
    let devices: Vec<_> = all("map")
        .filter(|m| m.attribute("cached") == Some("false"))
        .map(|m| m.attribute("mr").unwrap())
        .collect();
    assert_eq!(devices, ["gicv", "gicv", "uart"]);
    let irqs: Vec<_> = all("irq")
        .map(|irq| (irq.attribute("irq").unwrap(), irq.attribute("id").unwrap()))
        .collect();
    assert_eq!(irqs, [("30", "61"), ("33", "61")]);

    // VMMs and their gates call, the console and the xenstore server set their deadlines and the
    // fault server tells of VMMs that stopped; nobody else does.
    let callers: BTreeSet<_> = all("end")
        .filter(|end| end.attribute("pp") == Some("true"))
        .map(|end| end.attribute("pd").unwrap())
        .collect();
    assert_eq!(
        callers,
        BTreeSet::from([
            "console",
            "fault_server",
            "gate_linux1",
            "gate_linux2",
            "vmm_linux1",
            "vmm_linux2",
            "xenstore_server"
        ])
    );
    let between = |a: &str, b: &str| {
        all("channel").find_map(|channel| {
            let ends: Vec<_> = channel
                .children()
                .filter(|node| node.has_tag_name("end"))
                .collect();
            let [x, y] = ends[..] else {
                panic!("{} ends", ends.len())
            };
            (x.attribute("pd") == Some(a) && y.attribute("pd") == Some(b)).then(|| {
                (
                    x.attribute("id").unwrap().to_owned(),
                    y.attribute("id").unwrap().to_owned(),
                )
            })
        })
    };
    let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
    assert_eq!(between("gate_linux2", "memory_server"), pair("8", "1"));
    assert_eq!(between("gate_linux2", "dt_server"), pair("9", "1"));
    for server in ["memory_server", "dt_server"] {
        assert_eq!(between("vmm_linux2", server), None, "{server}");
    }
    assert_eq!(between("vmm_linux2", "timer_server"), pair("2", "1"));
    assert_eq!(between("vmm_linux2", "console"), pair("3", "1"));
    assert_eq!(between("memory_server", "console"), pair("60", "8"));
    assert_eq!(between("console", "timer_server"), pair("60", "59"));
    assert_eq!(between("fault_server", "memory_server"), pair("59", "59"));
    assert!(between("vmm_linux2", "xenstore_server").is_some());
    assert!(between("fault_server", "xenstore_server").is_some());
    assert_eq!(all("channel").count(), 2 * 8 + 9);
    assert_eq!(between("vmm_linux1", "vmm_linux2"), None);
}

#[test]
fn eight_domains_are_within_microkits_limits() {
    if !has_dtc("eight_domains_are_within_microkits_limits") {
        return;
    }
    let scratch = Scratch::new("eight");
    let domain = |i: usize| {
        format!(
            "d{i} {{ compatible = \"xen,domain\"; memory = <0 0x10000>; cpus = <1>;
               k {{ compatible = \"multiboot,kernel\", \"multiboot,module\"; zazen,file = \"{}\"; }}; }};",
            ["Image", "a/b", "a_b"][i % 3]
        )
    };
    let all: String = (0..8).map(domain).collect();
    let path = scratch.write(
        "eight.dts",
        &format!("/dts-v1/; / {{ chosen {{ {all} }}; }};"),
    );
    let config = load_with(&path, &[], board(), Missing::Assume)
        .unwrap_or_else(|error| panic!("{error}"))
        .config;
    let built = system(&config, board());
    assert_eq!(limits::check(&built), Vec::<String>::new());
    assert_eq!((built.pds.len(), built.channels.len()), (24, 8 * 8 + 10));
    // Two files whose names differ in a character that a region's name cannot have.
    let modules: Vec<_> = built
        .regions
        .iter()
        .filter(|r| r.prefill.is_some())
        .map(|r| r.name.as_str())
        .collect();
    assert_eq!(modules.len(), 4, "{modules:?}");
}

#[test]
fn sizes_for_the_image_are_exact() {
    if !has_dtc("sizes_for_the_image_are_exact") {
        return;
    }
    let scratch = Scratch::new("sizes");
    let loaded = load(
        &domains("two-linux.dts"),
        std::slice::from_ref(&scratch.0),
        board(),
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.files["Image"], scratch.0.join("Image"));
    let boot = loaded.boot_dtb().unwrap();
    // What the protection domain reads, with no files at hand, is what was read here.
    let mut padded = boot.clone();
    padded.resize(boot.len().next_multiple_of(4096), 0);
    let config = dt_server::parse(&padded, &NoFiles).unwrap_or_else(|found| panic!("{found}"));
    for (there, here) in config.domains.iter().zip(&loaded.config.domains) {
        assert_eq!(there.record, here.record);
        assert_eq!(
            (there.record.kernel.size, there.record.ramdisk.unwrap().size),
            (4096, 1024)
        );
    }
    assert_eq!(config.domains.len(), 2);
    // The result is a domains file too.
    let path = scratch.0.join("domains.dtb");
    fs::write(&path, boot).unwrap();
    assert_eq!(
        load(&path, &[], board())
            .unwrap_or_else(|error| panic!("{error}"))
            .config
            .domains
            .len(),
        2
    );
}

#[test]
fn check_says_where_each_mistake_is() {
    if !has_dtc("check_says_where_each_mistake_is") {
        return;
    }
    let scratch = Scratch::new("check");
    let good = fs::read_to_string(domains("two-linux.dts")).unwrap();
    let path = scratch.write("good.dts", &good);
    let output = zazen(&["check", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "domain 1: linux1, 192 MiB from static memory\ndomain 2: linux2, 192 MiB from static memory\n"
    );

    let bad = good
        .replacen("cpus = <1>", "cpus = <9>", 1)
        .replace("0x4c000000", "0x4b000000");
    let path = scratch.write("bad.dts", &bad);
    let line = |what: &str| 1 + bad.lines().position(|line| line.contains(what)).unwrap();
    let output = zazen(&["check", path.to_str().unwrap()]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    for (message, place) in [
        ("linux1: cpus: a GICv2", "cpus = <9>"),
        (
            "linux2: xen,static-mem: ",
            "xen,static-mem = <0x0 0x4b000000",
        ),
    ] {
        let place = format!("bad.dts:{}:4]", line(place));
        assert!(said.contains(message) && said.contains(&place), "{said}");
    }
    assert!(
        said.ends_with(&format!("2 errors in {}\n", path.display())),
        "{said}"
    );
}

#[test]
fn what_is_missing_is_named() {
    let output = zazen(&["check", "nowhere.dts"]);
    assert!(
        !output.status.success() && stderr(&output).contains("nowhere.dts"),
        "{}",
        stderr(&output)
    );
    let output = zazen(&["generate", "--board", "toaster", "x.dts"]);
    assert!(
        stderr(&output).contains("possible values: qemu_virt_aarch64"),
        "{}",
        stderr(&output)
    );
    // Without dtc.
    let output = Command::new(env!("CARGO_BIN_EXE_zazen"))
        .args(["check", domains("two-linux.dts").to_str().unwrap()])
        .env("PATH", "")
        .output()
        .unwrap();
    assert!(
        stderr(&output).contains("apt install device-tree-compiler"),
        "{}",
        stderr(&output)
    );
    if !has_dtc("what_is_missing_is_named (rest)") {
        return;
    }
    let scratch = Scratch::new("missing");
    let empty = scratch.0.join("empty");
    fs::create_dir_all(&empty).unwrap();
    let error = load(&domains("one-linux.dts"), &[empty], board()).unwrap_err();
    assert!(
        matches!(&error, LoadError::Mistakes { diagnostics, .. } if diagnostics.errors().len() == 2),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("zazen,file = \"initrd.cpio\": there is no file"),
        "{error}"
    );
    let path = scratch.write("syntax.dts", "/dts-v1/;\n/ { a = <1> };\n");
    let error = load(&path, &[], board()).unwrap_err().to_string();
    assert!(error.contains("syntax.dts:2"), "{error}");
}

#[test]
fn generate_needs_no_files() {
    if !has_dtc("generate_needs_no_files") {
        return;
    }
    let scratch = Scratch::new("generate");
    let out = scratch.0.join("system.xml");
    let output = zazen(&[
        "generate",
        domains("one-linux.dts").to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("\"Image\" is not at hand"));
    let without = fs::read_to_string(&out).unwrap();
    let files = scratch.0.to_str().unwrap();
    let output = zazen(&[
        "generate",
        domains("one-linux.dts").to_str().unwrap(),
        "--files",
        files,
    ]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), without);
    assert_eq!(stderr(&output), "");
}

/// The files for the ZCU102 generate systems that Microkit takes, and time is told without the
/// system counter there: everybody who needs it can read a counter and a page, and the timer server
/// alone can write them.
#[test]
fn zcu102_systems_tell_the_time_by_a_counter() {
    if !has_dtc("zcu102_systems_tell_the_time_by_a_counter") {
        return;
    }
    let board = Board::by_name("zcu102").unwrap();
    for name in ["zcu102-two-linux.dts", "zcu102-bad-guest.dts"] {
        let loaded = assumed_on(name, board);
        assert_eq!(loaded.config.board.name, "zcu102");
        let system = system(&loaded.config, board);
        assert_eq!(limits::check(&system), Vec::<String>::new());
        for region in ["clock_page", "clock_counter"] {
            let users: Vec<(&str, &str)> = system
                .pds
                .iter()
                .flat_map(|pd| pd.maps.iter().map(|map| (pd.name.as_str(), map)))
                .filter(|(_, map)| map.region == region)
                .map(|(pd, map)| (pd, map.perms))
                .collect();
            assert_eq!(
                users[..3],
                [
                    ("timer_server", "rw"),
                    ("console", "r"),
                    ("xenstore_server", "r")
                ],
                "{region}"
            );
            assert_eq!(users.len(), 3 + loaded.config.domains.len());
            assert!(
                users[3..]
                    .iter()
                    .all(|(pd, perms)| pd.starts_with("vmm_") && *perms == "r")
            );
        }
        let timer = system
            .pds
            .iter()
            .find(|pd| pd.name == "timer_server")
            .unwrap();
        let vm = timer.vm.as_ref().unwrap();
        let console = system.pds.iter().find(|pd| pd.name == "console").unwrap();
        assert!(
            console.priority < vm.priority && vm.priority < timer.priority,
            "the clock is set before anybody reads it"
        );
        assert!(vm.maps.iter().all(|map| !map.perms.contains('w')));
        assert_eq!((timer.irqs[0].0, console.irqs[0].0), (68, 53));
        let xml = system_xml(&loaded.config, board).unwrap();
        assert!(
            xml.contains("phys_addr=\"0xf906f000\""),
            "the last alias of GICV"
        );
        assert!(xml.contains("setvar_vaddr=\"zazen_clock_page\""));
    }
    // Elsewhere there is none of it.
    let xml = system_xml(&assumed("two-linux.dts").config, self::board()).unwrap();
    assert!(!xml.contains("clock"));
}

/// A network that leads outside brings a driver with registers of its own, in another page than the
/// disk's; one that does not brings none.
#[test]
fn an_uplink_brings_its_driver() {
    if !has_dtc("an_uplink_brings_its_driver") {
        return;
    }
    let both = system(&assumed("servers.dts").config, board());
    assert_eq!(limits::check(&both), Vec::<String>::new());
    let users = |region: &str| -> Vec<&str> {
        let pds = both.pds.iter();
        let users = pds.filter(|pd| pd.maps.iter().any(|map| map.region == region));
        users.map(|pd| pd.name.as_str()).collect()
    };
    assert_eq!(users("net_registers"), ["net_driver"]);
    assert_eq!(users("net_dma"), ["net_driver"]);
    for region in ["net_queue", "net_frames"] {
        assert_eq!(users(region), ["net_server", "net_driver"], "{region}");
    }
    let pages = ["disk_registers", "net_registers"].map(|name| {
        let region = both.regions.iter().find(|region| region.name == name);
        region.and_then(|region| region.phys_addr)
    });
    assert!(pages[0].is_some() && pages[1].is_some() && pages[0] != pages[1]);

    let inside = system_xml(&assumed("net.dts").config, board()).unwrap();
    assert!(!inside.contains("net_driver") && !inside.contains("net_queue"));
}

/// Disks bring a server and, where they are devices, a driver, which reaches nobody else's memory;
/// a guest without disks has no part in them.
#[test]
fn disks_bring_their_servers_and_nothing_where_there_are_none() {
    if !has_dtc("disks_bring_their_servers_and_nothing_where_there_are_none") {
        return;
    }
    let regions = |system: &System, name: &str| -> Vec<String> {
        let pd = system.pds.iter().find(|pd| pd.name == name);
        let maps = pd.into_iter().flat_map(|pd| &pd.maps);
        maps.map(|map| map.region.clone()).collect()
    };
    let has = |system: &System, region: &str| -> Vec<String> {
        let users = system.pds.iter();
        let users = users.filter(|pd| pd.maps.iter().any(|map| map.region == region));
        users.map(|pd| pd.name.clone()).collect()
    };
    let both = system(&assumed("disk.dts").config, board());
    assert_eq!(limits::check(&both), Vec::<String>::new());
    let driver = ["disk_queue", "disk_dma", "disk_registers"];
    assert_eq!(regions(&both, "block_driver"), driver);
    for (region, vmm) in [
        ("disks_linux1", "vmm_linux1"),
        ("data_linux1", "vmm_linux1"),
        ("data_linux2", "vmm_linux2"),
    ] {
        assert_eq!(has(&both, region), ["block_server", vmm], "{region}");
    }
    let talks = both.channels.iter().flat_map(|channel| {
        let ends = [(&channel.a, &channel.b), (&channel.b, &channel.a)];
        let found = ends.into_iter().find(|(end, _)| end.pd == "block_driver");
        found.map(|(_, other)| other.pd.as_str())
    });
    assert_eq!(talks.collect::<Vec<_>>(), ["block_server"]);

    let zcu102 = Board::by_name("zcu102").unwrap();
    let files = system(&assumed_on("zcu102-disk.dts", zcu102).config, zcu102);
    assert!(regions(&files, "block_driver").is_empty());
    let users = has(&files, "ramdisk_initrd.cpio");
    assert_eq!(users, ["block_server"]);
    assert!(!regions(&files, "block_server").contains(&"disk_queue".to_owned()));

    let none = system_xml(&assumed("two-linux.dts").config, board()).unwrap();
    assert!(!none.contains("disk") && !none.contains("block_"), "{none}");
}

#[test]
fn a_domain_cannot_be_called_like_the_virtual_machine_of_the_timer_server() {
    if !has_dtc("a_domain_cannot_be_called_like_the_virtual_machine_of_the_timer_server") {
        return;
    }
    let scratch = Scratch::new("clock-name");
    let text = fs::read_to_string(domains("one-linux.dts")).unwrap();
    let file = scratch.write("name.dts", &text.replace("linux1 {", "clock {"));
    let error = load(&file, &[], board()).unwrap_err().to_string();
    assert!(
        error.contains("\"clock\" is the name of a server"),
        "{error}"
    );
}
