//! Images as the packer makes them, from a program that is only a header.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use el2_boot::payload::{ALIGN, DOMAINS};
use el2_boot::{Payload, plan};
use zazen_el2_pack::pack;
use zazen_tools::board::{Board, DEFAULT};
use zazen_tools::check::{Severity, check};
use zazen_tools::generate;

/// Bytes of memory that the program asks for, more than its file has.
const PROGRAM: u64 = 0x2000;

struct Files(PathBuf);

impl Files {
    /// A directory of its own with a program, a kernel and a domains file that names it.
    fn new(test: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("zazen-el2-pack-{}-{test}", std::process::id()));
        fs::create_dir_all(&directory).expect("a temporary directory can be made");
        let files = Self(directory);
        files.write(
            "program",
            &header(PROGRAM + plan::GUARD + plan::STACK, 0x100),
        );
        files.write("probe.img", &header(0x3000, 0x1800));
        let domains = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../domains/abi.dts");
        fs::copy(domains, files.path("abi.dts")).expect("the repository has the domains file");
        files
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a temporary file can be written");
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An arm64 Image of `length` bytes that asks for `size`.
fn header(size: u64, length: usize) -> Vec<u8> {
    let mut image = vec![0x5a; length];
    image[..64].fill(0);
    image[16..24].copy_from_slice(&size.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Whether dtc is there; tells where nobody can overlook it that `test` is skipped if not.
fn has_dtc(test: &str) -> bool {
    let there = Command::new("dtc").arg("--version").output().is_ok();
    if !there {
        eprintln!("SKIPPED {test}: dtc is missing (Debian: device-tree-compiler)");
    }
    there
}

#[test]
fn an_image_has_everything_and_lies_where_nothing_else_is() {
    if !has_dtc("an_image_has_everything_and_lies_where_nothing_else_is") {
        return;
    }
    let files = Files::new("all");
    let packed = pack(&files.path("program"), &files.path("abi.dts"), &[], DEFAULT)
        .expect("the files are in order");
    // 2 GiB from 0x40000000; the first 16 MiB are a guest's.
    assert_eq!(number(&packed.image, 8), packed.base - 0x4000_0000);
    assert!(packed.base.is_multiple_of(2 << 20) && packed.base >= 0x4100_0000);
    let end = packed.base + packed.image.len() as u64 + packed.own;
    assert!(
        end + (2 << 20) < 0xc000_0000,
        "QEMU's device tree has room behind it"
    );
    assert_eq!(
        number(&packed.image, 16),
        packed.image.len() as u64 + packed.own
    );

    let at = usize::try_from(PROGRAM).expect("small");
    assert!(
        packed.image[0x100..at].iter().all(|byte| *byte == 0),
        "bss is zero"
    );
    // Aligned as in memory.
    let words: Vec<u64> = packed.image[at..]
        .chunks(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    let bytes = zerocopy::IntoBytes::as_bytes(words.as_slice());
    let payload = Payload::read(bytes).expect("a whole payload");
    assert_eq!(payload.own(), packed.own);
    assert_eq!(
        payload.file("probe.img"),
        Some(&header(0x3000, 0x1800)[..]),
        "once, though two domains name it"
    );
    let tree = payload.file(DOMAINS).expect("the device tree");
    let config = dt_server::parse(tree, &dt_server::NoFiles).expect("its modules have their sizes");
    assert_eq!(config.domains[1].record.kernel.size, 0x1800);
    assert_eq!(packed.program, packed.image.len() as u64 - 0x1800);
    assert!(packed.image.len() <= at + 4 * ALIGN);
}

/// The ZCU102 has RAM at 0 and at 32 GiB; boot loaders count from 0.
#[test]
fn the_image_lies_in_the_boards_first_ram_whatever_the_file_names_first() {
    let test = "the_image_lies_in_the_boards_first_ram_whatever_the_file_names_first";
    if !has_dtc(test) {
        return;
    }
    let files = Files::new("banks");
    let text = fs::read_to_string(files.path("abi.dts")).expect("written above");
    let text = text.replace(
        "xen,static-mem = <0x0 0x40000000",
        "xen,static-mem = <0x8 0x0",
    );
    let board = Board::by_name("zcu102").expect("a board");
    for memory in [
        "<0x8 0x0 0x0 0x80000000>, <0x0 0x0 0x0 0x78000000>",
        "<0x0 0x10000000 0x0 0x68000000>, <0x8 0x0 0x0 0x80000000>",
    ] {
        let changed = text.replace("<0x0 0x40000000 0x0 0x80000000>", memory);
        assert_ne!(changed, text);
        files.write("abi.dts", changed.as_bytes());
        let packed = pack(&files.path("program"), &files.path("abi.dts"), &[], board);
        let packed = packed.expect("the files are in order");
        assert_eq!(number(&packed.image, 8), packed.base, "{memory}");
        let end = packed.base + packed.image.len() as u64 + packed.own;
        assert!(
            (0x7000_0000..0x7800_0000).contains(&end),
            "{memory}: {end:#x}"
        );
    }
}

#[test]
fn the_same_files_make_the_same_image() {
    if !has_dtc("the_same_files_make_the_same_image") {
        return;
    }
    let files = Files::new("same");
    let image = || {
        pack(&files.path("program"), &files.path("abi.dts"), &[], DEFAULT)
            .expect("in order")
            .image
    };
    assert_eq!(image(), image());
}

#[test]
fn what_cannot_be_packed_is_told() {
    if !has_dtc("what_cannot_be_packed_is_told") {
        return;
    }
    let files = Files::new("bad");
    let error = |program: &str| {
        pack(&files.path(program), &files.path("abi.dts"), &[], DEFAULT).expect_err(program)
    };
    assert!(error("nothing").contains("cannot be read"));
    assert!(error("abi.dts").contains("no arm64 Image"));
    files.write("cut", &header(PROGRAM + plan::GUARD + plan::STACK, 0x3000));
    assert!(
        error("cut").contains("no arm64 Image"),
        "larger than the memory it asks for"
    );
    let text = fs::read_to_string(files.path("abi.dts")).expect("written above");
    files.write(
        "abi.dts",
        text.replace("0x0 0x80000000>", "0x0 0x1400000>").as_bytes(),
    );
    let little = error("program");
    assert!(
        little.contains("of the first RAM are left in one piece"),
        "{little}"
    );
    fs::remove_file(files.path("probe.img")).expect("written above");
    assert!(error("program").contains("probe.img"));
}

/// One rule for all: what the checker accepts, the packer packs and the generator has a system
/// description for.
#[test]
fn what_the_checker_accepts_is_built_on_every_host() {
    if !has_dtc("what_the_checker_accepts_is_built_on_every_host") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = Files::new("every");
    files.write("Image", &header(0x3000, 0x1800));
    // It is a RAM disk too, in whole sectors.
    let mut archive = b"070701".to_vec();
    archive.resize(512, 0);
    files.write("initrd.cpio", &archive);
    for name in ["debian-initrd.cpio", "disk-initrd.cpio"] {
        files.write(name, &archive);
    }
    // Files with long names, and a tree that leaves the RAM to the board.
    let text = fs::read_to_string(files.path("abi.dts")).expect("written above");
    for length in [1, 48, 49, 255] {
        let name = "n".repeat(length);
        files.write(&name, &header(0x3000, 0x1800));
        let named = text.replace("\"probe.img\"", &format!("\"{name}\""));
        assert_ne!(named, text);
        files.write(&format!("name-{length}.dts"), named.as_bytes());
    }
    files.write("domains.dtb", &header(0x3000, 0x1800));
    let named = text.replace("\"probe.img\"", "\"domains.dtb\"");
    files.write("name-of-the-tree.dts", named.as_bytes());
    let memory = text.find("memory@40000000 {").expect("a memory node");
    let end = memory + text[memory..].find("};").expect("its end") + 2;
    let nowhere = format!("{}{}", &text[..memory], &text[end..]);
    files.write("no-memory-node.dts", nowhere.as_bytes());

    let mut built = 0;
    for directory in [
        files.path(""),
        root.join("domains"),
        root.join("tools/tests/samples"),
    ] {
        let entries = fs::read_dir(&directory).expect("a directory of the repository");
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "dts"));
        for path in paths {
            let board = match path.to_string_lossy().contains("zcu102") {
                true => Board::by_name("zcu102").expect("a board"),
                false => DEFAULT,
            };
            let search = [files.path("")];
            let report = check(&path, &search, board);
            let name = path.display();
            if report.count(Severity::Error) > 0 {
                let ours = directory == root.join("tools/tests/samples");
                assert!(ours, "{name}: {:?}", report.mistakes);
                continue;
            }
            let config = report.config.expect("there is no error");
            generate::system_xml(&config, board).unwrap_or_else(|error| panic!("{name}: {error}"));
            pack(&files.path("program"), &path, &search, board)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            built += 1;
        }
    }
    assert!(built >= 40, "{built}");
}
