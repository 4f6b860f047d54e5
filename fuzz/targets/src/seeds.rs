//! Where fuzzing starts: inputs that get past the first check of each decoder, written so that a
//! person can read them.
//!
//! `cargo run -p fuzz-targets --example write-seeds` writes them to `fuzz/corpus`, where a test
//! holds the files against this module. Of `dt_tree` the files of `domains/`, compiled by dtc, are
//! seeds too; other files of a corpus are what the fuzzer found.

/// Concatenates pieces of a seed; an integer stands for its little-endian bytes.
macro_rules! seed {
    ($($piece:expr),* $(,)?) => {{
        let mut bytes: Vec<u8> = Vec::new();
        $(bytes.extend_from_slice(&$crate::seeds::Piece::bytes(&$piece));)*
        bytes
    }};
}

/// A piece of a seed.
trait Piece {
    fn bytes(&self) -> Vec<u8>;
}

macro_rules! integers {
    ($($t:ty),*) => {$(impl Piece for $t {
        fn bytes(&self) -> Vec<u8> {
            self.to_le_bytes().to_vec()
        }
    })*};
}
integers!(u8, u16, u32, u64);

impl<const N: usize> Piece for [u8; N] {
    fn bytes(&self) -> Vec<u8> {
        self.to_vec()
    }
}

impl Piece for Vec<u8> {
    fn bytes(&self) -> Vec<u8> {
        self.clone()
    }
}

/// A number; all eight bytes come from the input.
fn wide(number: u64) -> Vec<u8> {
    seed![0xffu8, number]
}

/// Names and bytes of a target's seeds.
pub fn of(target: &str) -> Vec<(&'static str, Vec<u8>)> {
    match target {
        "memory_request" => memory_request(),
        "peer_request" => peer_request(),
        "manifest" => manifest(),
        "dt_tree" => dt_tree(),
        "dt_wire" => dt_wire(),
        "byte_ring" => byte_ring(),
        "console_mux" => console_mux(),
        "pv_console" => pv_console(),
        "blkif" => blkif(),
        "netif" => netif(),
        "leave" => leave(),
        "trap" => trap(),
        "instruction" => instruction(),
        "image" => image(),
        "stage1" => stage1(),
        "hypercall" => hypercall(),
        "exits" => exits(),
        "timer_request" => timer_request(),
        "xenstore" => xenstore(),
        "gpt" => gpt(),
        "block_requests" => block_requests(),
        _ => Vec::new(),
    }
}

/// Sender, label, number of words; then the words, `0x80 + n` being the n-th slot that the sender
/// was given.
fn memory_request() -> Vec<(&'static str, Vec<u8>)> {
    let (fixed, loose) = (0u8, 1u8);
    let (blocks, pages, release, split) = (3u8, 4u8, 5u8, 6u8);
    let give = 13u8;
    let (split_done, tables, create, destroy, abort) = (7u8, 8u8, 9u8, 10u8, 11u8);
    vec![
        // Both domains take blocks, split one, give pages back.
        (
            "blocks-and-splits",
            seed![
                fixed, blocks, 2u8, 0u8, 2u8, // gfn 0, two blocks
                loose, blocks, 2u8, 0u8, 1u8, //
                loose, split, 1u8, 0x80u8, loose, split_done, 1u8, 0x80u8, //
                loose, release, 1u8, 0x85u8, fixed, split, 1u8, 0x80u8, //
                fixed, release, 1u8, 0x82u8, loose, pages, 2u8, 1u8, 9u8,
            ],
        ),
        // What one domain returns comes back to it, goes to another, and becomes an extra page.
        (
            "returned-pages",
            seed![
                loose, pages, 3u8, 4u8, 1u8, 2u8, // four pages
                loose, give, 2u8, 1u8, 0x80u8, loose, give, 2u8, 1u8, 0x81u8, //
                loose, pages, 2u8, 1u8, 7u8, loose, give, 2u8, 2u8, 0x80u8, //
                fixed, create, 1u8, 0u8, loose, blocks, 2u8, 0u8, 1u8, //
                loose, release, 1u8, 0x80u8, loose, blocks, 2u8, 0u8, 1u8,
            ],
        ),
        // A split that is taken back, and one in which the kernel refuses.
        (
            "aborted-split",
            seed![
                loose, blocks, 2u8, 0u8, 1u8, loose, split, 1u8, 0x80u8, loose, abort, 1u8,
                0x80u8, //
                0xe1u8, 3u8, split, 1u8, 0x80u8, // the fourth operation fails
            ],
        ),
        // A page of the copy is gone, so the split cannot be taken back; nor can the source be
        // released.
        (
            "abort-with-a-page-missing",
            seed![
                loose, blocks, 2u8, 0u8, 1u8, loose, split, 1u8, 0x80u8, loose, release, 1u8,
                0x85u8, loose, abort, 1u8, 0x80u8, loose, release, 1u8, 0x80u8, loose, split_done,
                1u8, 0x80u8,
            ],
        ),
        (
            "extra-pages-and-tables",
            seed![
                fixed, create, 1u8, 0u8, loose, create, 1u8, 1u8, loose, create, 1u8, 66u8, //
                loose, tables, 1u8, 16u8, fixed, tables, 1u8, 2u8, loose, destroy, 1u8,
                1u8,    //
                0xffu8, // the second domain is destroyed
                loose, create, 1u8, 1u8,
            ],
        ),
        (
            "usage-and-rubbish",
            seed![fixed, 1u8, 0u8, loose, 2u8, 0u8, fixed, 99u8, 7u8, [1u8; 7]],
        ),
    ]
}

/// A flag (even: with magic number and version), then words from the third on, each after a byte
/// that is not 0; a 0 is followed by the word's number to go on at.
fn manifest() -> Vec<(&'static str, Vec<u8>)> {
    let words =
        |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|w| seed![1u8, wide(*w)]).collect() };
    let untyped = |paddr: u64, bits: u64, device: u64, purpose: u64, domain: u64| {
        words(&[paddr, bits | device << 8 | purpose << 16 | domain << 24])
    };
    let domain = |domid: u64, is_static: u64, radix: u64| {
        words(&[
            domid | is_static << 16,
            0x6b6e_6177,
            0,
            1024,
            16,
            radix,
            0,
            0,
        ])
    };
    vec![
        (
            "two-domains",
            seed![
                0u8,
                words(&[2, 4, 8]), // domains, untypeds, splits
                0u8,
                8u16,
                domain(1, 1, 13),
                domain(2, 0, 14), //
                0u8,
                72u16, // untypeds
                untyped(0x4000_0000, 22, 1, 1, 0),
                untyped(0x8000_0000, 24, 0, 0, 0), //
                untyped(0x9000_0000, 16, 0, 2, 0),
                untyped(0x9001_0000, 16, 0, 2, 1),
            ],
        ),
        (
            "more-memory-than-there-is",
            seed![
                0u8,
                words(&[1, 2, 0xffff]),
                0u8,
                8u16,
                domain(1, 0, 24),
                0u8,
                72u16, //
                untyped(0, 47, 1, 0, 0),
                untyped(1 << 63, 47, 1, 0, 0),
            ],
        ),
        ("without-magic", seed![1u8, words(&[1, 0, 0])]),
    ]
}

/// The default domains file with one value changed, in the order of its cells.
fn dt_tree() -> Vec<(&'static str, Vec<u8>)> {
    let tree = include_bytes!("../../corpus/dt_tree/two-linux.dtb");
    let change = |from: [u64; 2], to: [u64; 2]| {
        let [from, to] = [from, to].map(|cells| cells.map(u64::to_be_bytes).concat());
        let found = tree.windows(16).rposition(|bytes| bytes == from);
        let at = found.expect("the default domains file has the value");
        let mut tree = tree.to_vec();
        tree[at..at + 16].copy_from_slice(&to);
        tree
    };
    let second = [0x4c00_0000, 0x0c00_0000];
    vec![
        // The static memory of the second domain is the first one's, wraps, or is not what `memory`
        // says.
        ("overlap", change(second, [0x4000_0000, 0x0c00_0000])),
        ("wraps", change(second, [u64::MAX - 0xfff, 0x0c00_0000])),
        ("too-much", change(second, [0x4c00_0000, 1 << 63])),
        (
            "no-ram",
            change([0x4000_0000, 0x8000_0000], [0x1_0000_0000, 0x8000_0000]),
        ),
    ]
}

/// A side, the label, the number of words, the words.
fn dt_wire() -> Vec<(&'static str, Vec<u8>)> {
    let record = [0u64, 0x7800_6b6e_6177_0402, 0x0101_0101_0101_0101];
    let words = |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|w| wide(*w)).collect() };
    vec![
        (
            "requests",
            seed![
                [0u8, 1, 0], // the first client asks for its record
                [1u8, 2, 2],
                wide(0x4800_0000),
                wide(0x4900_0000), // the second has its tree written
                [1u8, 3, 1, 0],
                [1u8, 3, 1, 0x89],
                [0u8, 3, 1, 5],
                [2u8, 1, 0],
                [0u8, 9, 1, 1],
            ],
        ),
        (
            "replies",
            seed![
                [4u8, 0, 3],
                words(&[16]),
                words(&record[1..]),
                [5u8, 0, 1, 0x8e],
                [6u8, 0, 2, 8, 0x90],
                [7u8, 4, 0, 0, 2, 8, 1]
            ],
        ),
        (
            "a-record",
            // domid 1 of 2, "guest", one vCPU, a bank of 8 MiB at 0x40000000; its 32 bytes in four
            // words.
            seed![
                [4u8, 0, 5],
                words(&[32]),
                words(&[
                    u64::from_le_bytes([1, 2, 5, b'g', b'u', b'e', b's', b't']),
                    u64::from_le_bytes([1, 1, 0x80, 0x80, 0x80, 0x80, 4, 0x80]),
                    u64::from_le_bytes([0x80, 0x80, 4, 1, 0, 1, 1, 32]),
                    u64::from_le_bytes([4, 1, 0, 0x40, 0, 0, 0, 0]),
                ]),
            ],
        ),
    ]
}

/// The indices at the start; then operation and count, a write to a shared word (5) with the value.
fn byte_ring() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "full-and-empty",
            seed![
                0u8,
                [0u8, 70, 2, 10, 1, 40, 0, 50, 3, 9, 4, 0, 1, 255, 1, 1]
            ],
        ),
        (
            "wraps-at-32-bits",
            seed![wide(0xffff_fff0), [0u8, 40, 1, 30, 0, 40, 1, 255]],
        ),
        (
            "corrupt",
            seed![
                0u8,
                [0u8, 40, 5, 0],
                wide(0x8000_0000),
                [1u8, 10, 5, 0, 40, 5, 1, 0x7f, 0, 60, 1, 60]
            ],
        ),
        // The producer's index a ring and one byte ahead, then the consumer's as far behind.
        (
            "one-too-many",
            seed![
                0u8,
                [1u8, 255, 5, 0],
                wide(64),
                [2u8, 255, 5, 0],
                wide(65),
                [1u8, 255, 2, 255, 3, 255], //
                [5u8, 1],
                wide(0xffff_ffc0),
                [0u8, 70, 5, 1],
                wide(0xffff_ffbf),
                [0u8, 70]
            ],
        ),
    ]
}

/// The output ring's index at the start; then operations modulo 10.
fn console_mux() -> Vec<(&'static str, Vec<u8>)> {
    let print = |text: &str| {
        let count = u8::try_from(text.len()).expect("a short text");
        seed![1u8, count, text.as_bytes().to_vec(), 9u8]
    };
    let say = 5u8;
    let (fifo, wait) = (seed![7u8, 100u16], seed![8u8, 50u8]);
    let typed = |keys: &str| {
        let count = u8::try_from(keys.len()).expect("few keys");
        seed![count * 10 + 6, keys.as_bytes().to_vec()]
    };
    vec![
        (
            "lines",
            seed![
                0u8,
                print("Linux version 6\n[    0.1] half a li"),
                say,
                fifo,
                wait,
                print("ne\n"),
                say,
                fifo
            ],
        ),
        (
            "escapes",
            seed![
                0u8,
                print("\x1b[31mred\x1b[0m\r\x1b[2J\x08\x08\x07\n\x1b]0;title\x07\u{9b}3;4H"),
                say,
                fifo,
                wait
            ],
        ),
        (
            "monitor",
            seed![
                0u8,
                typed("\x01\x01\x01"),
                typed("hs"),
                typed("l1"),
                say,
                fifo,
                fifo,
                wait,
                print("srv: line 0\n")
            ],
        ),
        (
            "corrupt",
            seed![
                wide(0xffff_fff0),
                print("x\n"),
                0u8,
                wide(0x8000_0000),
                9u8,
                fifo,
                10u8,
                0u8,
                9u8,
                say,
                30u8,
                0x9fu8,
                typed("keys")
            ],
        ),
        (
            "flood",
            seed![0u8, 0x97u8, 200u8, [b'\r'; 200], 9u8, say, fifo, wait],
        ),
    ]
}

/// Operations modulo 6; the indices `in_cons`, `in_prod`, `out_cons`, `out_prod` by the upper two
/// bits of a 0.
fn pv_console() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("output", seed![[3u8], 5000u16, [1u8, 200, 5, 1, 100, 5]]),
        (
            "input",
            seed![
                [4u8, 5],
                *b"hello",
                [5u8],
                [4u8, 200],
                [b'x'; 200],
                [5u8, 5, 0, 100, 5]
            ],
        ),
        (
            "full-console",
            seed![[3u8], 10u16, [1u8, 250, 5, 3], 20u16, [5u8]],
        ),
        (
            "wraps",
            seed![
                [3u8],
                9000u16,
                [0x84u8],
                wide(0xffff_ffc0),
                [0xc0u8],
                wide(0xffff_ffc0),
                [0x80u8],
                wide(0xffff_ffc0),
                [1u8, 255, 5]
            ],
        ),
        (
            "broken",
            seed![
                [3u8],
                9000u16,
                [0xc0u8],
                wide(0x8000_0000),
                [5u8, 0xc0, 5, 5],
                [0u8],
                wide(0xffff_ffff),
                [5u8]
            ],
        ),
        // As much as the rings hold, and one byte more.
        (
            "full-rings",
            seed![
                [3u8],
                9000u16,
                [0xc0u8],
                wide(2048),
                [4u8, 9],
                *b"more keys",
                [0x40u8],
                wide(1024),
                [5u8]
            ],
        ),
        (
            "more-than-full",
            seed![
                [3u8],
                9000u16,
                [0xc0u8],
                wide(2049),
                [4u8, 9],
                *b"more keys",
                [0x40u8],
                wide(1025),
                [5u8]
            ],
        ),
        (
            "the-whole-page",
            seed![[2u8], 3060u16, [40u8], [0xffu8; 40], [5u8]],
        ),
    ]
}

/// `ESR_EL2`, an address, a value.
fn trap() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("hvc", seed![0x5a00_0ea1u32, 0u64, 0u64]),
        ("mrs-cntpct", seed![0x6232_f921u32, 0u64, 0u64]),
        ("ldrsb", seed![0x9321_8007u32, 0x0300_1004u64, 0x80u64]),
        ("str-w", seed![0x9381_0047u32, 0x2200_0000u64, u64::MAX]),
        ("wfit", seed![0x07e0_0002u32, 0u64, 0u64]),
    ]
}

/// The word, the ISS, the address of the abort, the base.
fn instruction() -> Vec<(&'static str, Vec<u8>)> {
    let seed = |word: u32, iss: u32, base: u64| seed![word, iss, 0x0300_1404u64, base];
    vec![
        ("ldr-w-post", seed(0xb840_4401, 7, 0x0300_1404)),
        ("str-w-pre", seed(0xb800_4c01, 7 | 1 << 6, 0x400)),
        ("ldrsb-post", seed(0x3880_1462, 7, 0x404)),
        ("str-x-sp", seed(0xf80f_f7e1, 7 | 1 << 6, u64::MAX)),
        ("base-is-value", seed(0xb840_4400, 7, 0x404)),
        ("ldp", seed(0x28c1_0801, 7, 0x404)),
    ]
}

/// Bank, device tree, RAM disk (after a flag), reserved ranges (after their number); then the file.
fn image() -> Vec<(&'static str, Vec<u8>)> {
    let file = |text_offset: u64, size: u64, flags: u64| {
        let magic = u32::from_le_bytes(*b"ARM\x64");
        seed![
            0u64,
            text_offset,
            size,
            flags,
            [0u8; 24],
            magic,
            0u32,
            [0xabu8; 64]
        ]
    };
    // 512 MiB at 0x40000000 (2^30).
    let bank = [0x9eu8, 0x9d];
    vec![
        (
            "linux",
            seed![bank, 0x95u8, [1u8, 0x98], 0u8, file(0, 0x200_0000, 0xa)],
        ),
        (
            "reserved",
            seed![
                bank,
                0x95u8,
                [1u8, 0x98],
                1u8,
                wide(0x4800_0000),
                0x95u8,
                file(0x8_0000, 0x200_0000, 0xa)
            ],
        ),
        ("old", seed![bank, 0x90u8, 0u8, 0u8, file(0x123, 0, 0)]),
        (
            "big-endian",
            seed![bank, 0x90u8, 0u8, 0u8, file(0, 0x1000, 1)],
        ),
        (
            "past-64-bits",
            seed![
                wide(0xffff_ffff_ffe0_0000),
                0x95u8,
                0x95u8,
                0u8,
                0u8,
                file(u64::MAX, u64::MAX, 0)
            ],
        ),
        ("gzip", seed![bank, 0x90u8, 0u8, 0u8, [0x1fu8, 0x8b, 8, 0]]),
        ("zboot", seed![bank, 0x90u8, 0u8, 0u8, *b"MZ\0\0zimg"]),
    ]
}

/// `SCTLR_EL1` (8 bits), `TCR_EL1`; then tables' entries and addresses.
fn stage1() -> Vec<(&'static str, Vec<u8>)> {
    // An entry of table `table` that leads to table `to`; one that is a page or block of RAM.
    let link = |table: u8, index: u8, to: u8| seed![table, index, to];
    let leaf = |table: u8, index: u8, address: u64, flags: u16| {
        seed![32 + table, index, flags, wide(address)]
    };
    let look = |gva: u64| seed![0x60u8, 0u8, wide(gva)];
    // 39 bits in both halves, 40-bit addresses; granules of 4, 16 and 64 KiB (TG0 0, 2, 1; TG1 2,
    // 1, 3).
    let tcr = |tg0: u64, tg1: u64| 25 | tg0 << 14 | 25 << 16 | tg1 << 30 | 2 << 32;
    vec![
        (
            "mmu-off",
            seed![0u8, 0u64, look(0x4000_0000), look(1 << 48)],
        ),
        (
            "pages-of-4k",
            seed![
                5u8,
                tcr(0, 2),
                link(0, 1, 2),
                link(2, 0, 3),
                leaf(3, 0, 0x4000_0000, 3),
                leaf(3, 1, 0x4000_1000, 0x83), //
                leaf(2, 1, 0x4020_0000, 1),
                look(0x4000_0010),
                look(0x4000_1018),
                look(0x4020_0018),
                look(0x5000_0000),
            ],
        ),
        (
            "upper-half",
            seed![
                5u8,
                tcr(0, 2),
                leaf(1, 0, 0x4000_0000, 1),
                0x61u8,
                0u8,
                wide(0xffff_ff80_0000_1000)
            ],
        ),
        (
            "hardware-flags",
            seed![
                5u8,
                tcr(0, 2) | 3 << 39,
                leaf(0, 1, 0x4000_0000, 0x401),
                leaf(0, 2, 0x4000_0000, 1 << 7 | 1),
                look(0x4000_0000),
                look(0x8000_0000)
            ],
        ),
        (
            "pages-of-16k",
            seed![
                5u8,
                tcr(2, 1),
                link(0, 0, 0),
                leaf(0, 1, 0x4000_0000, 1),
                look(0x200_0000),
                look(0)
            ],
        ),
        (
            "pages-of-64k",
            seed![
                5u8,
                tcr(1, 3),
                link(0, 0, 0),
                leaf(0, 1, 0x4000_0000, 1),
                look(0x2000_0000),
                look(0)
            ],
        ),
        ("loop", seed![5u8, tcr(0, 2), link(0, 0, 0), look(0)]),
    ]
}

/// Flags of the guest; then words of arguments (operations below 0x80) and hypercalls
/// (0x80 + 0x40 + number, five registers; see `guest::value`).
fn hypercall() -> Vec<(&'static str, Vec<u8>)> {
    let call = |nr: u8, args: [u8; 5]| seed![0xc0 | nr, args];
    // Arguments lie at 0x80, lists at 0x81; frames of free RAM are 0x90 on; 0xa0 is DOMID_SELF.
    let (arg, list, free, own) = (0x80u8, 0x81u8, 0x90u8, 0xa0u8);
    let extents = |cmd: u8, count: u8, order: u8| {
        let fields = seed![
            [0u8, list, 1u8, count],
            [0x64u8, order],
            [0x66u8, own, 0x67u8, 0]
        ];
        seed![fields, call(12, [cmd, arg, 0, 0, 0])]
    };
    let lists = |n: u8| -> Vec<u8> { (0..n).flat_map(|n| [0x20 + n, free + n]).collect() };
    vec![
        (
            "version",
            seed![
                3u8,
                call(17, [0, 0, 0, 0, 0]),
                call(17, [6, arg, 0, 0, 0]),
                call(17, [1, arg, 0, 0, 0])
            ],
        ),
        (
            "balloon",
            seed![
                3u8,
                lists(4),
                extents(1, 4, 0),
                extents(6, 4, 0),
                extents(1, 1, 9),
                extents(6, 1, 9)
            ],
        ),
        (
            "balloon-heap",
            seed![2u8, lists(2), extents(1, 2, 0), extents(6, 2, 0)],
        ),
        // XENMEM_add_to_physmap: shared_info to a free frame, then grant frame 1; remove.
        (
            "physmap",
            seed![
                3u8,
                [0x60u8, own, 0x61u8, 0, 1u8, 0, 2u8, free],
                call(12, [7, arg, 0, 0, 0]), //
                [0x60u8, own, 0x61u8, 1, 1u8, 1, 2u8, 0xac],
                call(12, [7, arg, 0, 0, 0]), //
                [0u8, own, 1u8, free],
                call(12, [15, arg, 0, 0, 0]),
            ],
        ),
        // EVTCHNOP_alloc_unbound, bind_interdomain, send, status, close.
        (
            "events",
            seed![
                3u8,
                [0x60u8, 0xf6],
                0x7ff0_7ff0u32,
                call(32, [6, arg, 0, 0, 0]),
                [0x60u8, own, 0x61u8, 2], //
                call(32, [0, arg, 0, 0, 0]),
                [0x60u8, 3],
                call(32, [4, arg, 0, 0, 0]),
                call(32, [5, arg, 0, 0, 0]),
                call(32, [3, arg, 0, 0, 0]),
            ],
        ),
        // GNTTABOP_setup_table, query_size, copy within the guest.
        (
            "grants",
            seed![
                3u8,
                [0x60u8, own, 0x61u8, 2, 1u8, 0, 2u8, list],
                call(20, [2, arg, 1, 0, 0]),
                call(20, [6, arg, 1, 0, 0]), //
                [0u8, free, 0x62u8, own, 2u8, 0x91, 0x66u8, own, 4u8, 0x77],
                call(20, [5, arg, 1, 0, 0]),
            ],
        ),
        (
            "console",
            seed![
                3u8,
                [0u8, 0xf8],
                *b"hello g\n",
                call(18, [0, 8, arg, 0, 0]),
                call(18, [1, 8, arg, 0, 0])
            ],
        ),
        (
            "multicall",
            seed![
                3u8,
                [0u8, 17, 1u8, 0, 2u8, 0, 8u8, 29, 10u8, 0],
                call(13, [arg, 2, 0, 0, 0])
            ],
        ),
        (
            "sched",
            seed![
                3u8,
                call(29, [0, 0, 0, 0, 0]),
                [0u8, list, 0x62u8, 1, 2u8, 5, 0x20u8, 1],
                call(29, [3, arg, 0, 0, 0]),
                call(29, [2, arg, 0, 0, 0])
            ],
        ),
        (
            "vcpu",
            seed![
                3u8,
                [0u8, list],
                call(24, [5, 0, arg, 0, 0]),
                [0u8, free, 0x62u8, 64],
                call(24, [10, 0, arg, 0, 0])
            ],
        ),
        // Arguments in a hole, across the end of RAM, across a page, without alignment, at the end
        // of all addresses.
        (
            "pointers",
            seed![
                3u8,
                call(17, [1, 0xae, 0, 0, 0]),
                call(17, [1, 0xa2, 0, 0, 0]),
                call(17, [1, 0xa3, 0, 0, 0]), //
                call(17, [1, 0xf0, 0, 0, 0]),
                call(17, [1, 0xf3, 0, 0, 0]),
                call(18, [0, 16, 0xa2, 0, 0]), //
                call(18, [0, 16, 0xa7, 0, 0]),
                call(13, [0xa2, 1, 0, 0, 0]),
                call(13, [0xa3, 0xf1, 0, 0, 0]), //
                call(12, [1, 0xa4, 0, 0, 0]),
                call(32, [6, 0xa6, 0, 0, 0]),
                call(20, [5, 0xa2, 1, 0, 0]), //
                call(20, [5, 0xa0, 0xf1, 0, 0]),
                call(24, [5, 0, 0xa2, 0, 0]),
                call(29, [3, 0xf3, 0, 0, 0]), //
                [0u8, 0xf3, 0x62u8, 4],
                call(29, [3, arg, 0, 0, 0]),
            ],
        ),
        (
            "hvm-param",
            seed![
                3u8,
                [0x60u8, own, 0x61u8, 17],
                call(34, [1, arg, 0, 0, 0]),
                call(34, [0, arg, 0, 0, 0])
            ],
        ),
    ]
}

/// Flags of the guest; then registers, memory and exits, see `exits`.
fn exits() -> Vec<(&'static str, Vec<u8>)> {
    let store = |device: u8, size: u8, offset: u16, value: u8| {
        seed![4u8, value, 0xd0 | 0x10 | device << 2 | size, offset]
    };
    let load = |device: u8, size: u8, offset: u16| seed![0xd0 | device << 2 | size, offset];
    // The 0x10 of the base and of a store meet: stores are 0xe0 on.
    let store = |device: u8, size: u8, offset: u16, value: u8| {
        let mut bytes = store(device, size, offset, value);
        bytes[2] = 0xe0 | device << 2 | size;
        bytes
    };
    let trap = |esr: u32| seed![0xa0u8, esr];
    let wfi = 0x07e0_0000;
    vec![
        (
            "hypercalls",
            seed![
                3u8,
                [0u8, 0, 1u8, 0, 0x70u8, 17],
                [0u8, 6, 1u8, 0x80, 0x70u8, 17],
                [0u8, 3, 0x71u8, 98]
            ],
        ),
        // GICD_CTLR, ISENABLER0 for the timer; the timer fires; its EOI; WFI.
        (
            "timer",
            seed![
                3u8,
                store(0, 2, 0, 1),
                store(0, 2, 0x100, 0xcb),
                [0x29u8, 1, 0x2au8, 100, 0xf8, 0xf0],
                trap(wfi),
                [0x50u8, 0xf8, 0xf4],
                load(0, 2, 0x200),
            ],
        ),
        (
            "distributor",
            seed![
                3u8,
                load(0, 2, 4),
                load(0, 2, 8),
                load(0, 0, 0x800),
                store(0, 0, 0x41f, 0xf1),
                store(0, 2, 0xf00, 0x80),
                load(0, 3, 0x104)
            ],
        ),
        (
            "uart",
            seed![
                3u8,
                load(2, 1, 0x18),
                store(2, 0, 0, 0x41),
                store(2, 1, 0x38, 0x50),
                store(2, 1, 0x44, 0x70),
                load(2, 0, 0),
                [0x60u8]
            ],
        ),
        (
            "nothing",
            seed![
                1u8,
                load(3, 2, 0),
                store(3, 2, 0, 1),
                load(1, 2, 0xc),
                [0xc0u8, 0xab],
                7u32,
                [0xc1u8, 0xab],
                7u32
            ],
        ),
        // PSCI_VERSION, CPU_SUSPEND, FEATURES; the registers of cntpct_el0; an unknown one.
        (
            "psci",
            seed![
                3u8,
                [0u8, 0xf6],
                0x8400_0000u32,
                trap(0x5e00_0000),
                [0u8, 0xf6],
                0x8400_000au32,
                trap(0x5a00_0000),
                trap(0x6232_f921),
                trap(0x6220_03e0)
            ],
        ),
        (
            "switched-off",
            seed![3u8, [0u8, 0xf6], 0x8400_0008u32, trap(0x5e00_0000)],
        ),
        // MMU on with nothing mapped; an HVC there.
        (
            "mmu",
            seed![
                3u8,
                [0x23u8, 25, 0x20u8, 5, 0x21u8, 0x80],
                [0x90u8, 0x83],
                [0x90u8, 0xf0],
                [0x24u8, 0xf3],
                trap(0x5a00_0ea1)
            ],
        ),
        ("unknown", seed![3u8, [0xffu8]]),
    ]
}

/// Who, what above two bits, and a refusal of the kernel in bit 6; then what that takes.
fn peer_request() -> Vec<(&'static str, Vec<u8>)> {
    // The second one grants its first page to the first, and says where it is.
    let granted = seed![[8u8 << 2 | 1, 3, 1, 1, 0], [6u8 << 2 | 1, 0, 1]];
    let map = seed![[1u8 << 2, 2, 3, 1]];
    vec![
        ("map", seed![granted.clone(), map.clone(), [4u8 << 2, 2]]),
        (
            "refused",
            seed![
                granted.clone(),
                [1u8 << 2 | 0x40, 1, 2, 3, 1],
                map.clone(),
                [4u8 << 2 | 0x40, 1, 2],
                [4u8 << 2, 2]
            ],
        ),
        (
            "given-up",
            seed![
                granted.clone(),
                map.clone(),
                [10u8 << 2 | 1, 0],
                [11u8 << 2 | 1, 0],
                [1u8 << 2, 3, 3, 1],
                [4u8 << 2, 2]
            ],
        ),
        (
            "ends",
            seed![
                granted.clone(),
                map.clone(),
                [13u8 << 2 | 1, 0, 1],
                granted,
                map,
                [13u8 << 2, 0, 0],
                [14u8 << 2, 6, 4, 0, 1, 3, 1]
            ],
        ),
    ]
}

/// A client below 0x80 with label and words, or the time after 0x80.
fn timer_request() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "deadlines",
            seed![
                [0u8, 1, 1, 100],
                [3u8, 1, 1, 50],
                [0x80u8, 49],
                [0x80u8, 50],
                [0x80u8, 120]
            ],
        ),
        (
            "never",
            seed![
                [1u8, 1, 1],
                wide(u64::MAX),
                [61u8, 1, 1],
                wide(u64::MAX - 1),
                [0x80u8],
                wide(u64::MAX)
            ],
        ),
        (
            "rubbish",
            seed![
                [62u8, 1, 1, 5],
                [0u8, 2, 1, 5],
                [0u8, 1, 0],
                [0u8, 1, 2, 5, 6],
                [127u8, 1, 3, 1, 2, 3]
            ],
        ),
    ]
}

/// Requests (the honest guest's 0 and 2, the other's 1 and 3; below 2 with a NUL at the end): kind,
/// transaction, length, payload. 4 is bytes, 5 a word and its value, 6 takes what has come, 7 a
/// wish; 8 and 9 are requests of back ends: kind, transaction, directory, length, payload.
fn xenstore() -> Vec<(&'static str, Vec<u8>)> {
    let (read, write, rm, perms, watch) = (2u8, 11u8, 13u8, 14u8, 4u8);
    let (start, end) = (6u8, 7u8);
    let request = |op: u8, kind: u8, tx: u8, payload: &[u8]| {
        let len = u8::try_from(payload.len()).expect("a short payload");
        seed![op, kind, tx, len, payload.to_vec()]
    };
    vec![
        (
            "read-and-write",
            seed![
                request(0, watch, 0, b"data\0t"),
                request(2, write, 0, b"data/a/b\0value"),
                request(0, read, 0, b"data/a"),
                request(0, perms, 0, b"data/a\0n2\0r1"),
                request(0, rm, 0, b"data/a"),
            ],
        ),
        (
            "back-ends",
            seed![
                request(0, watch, 0, b"/local/domain/0/backend/vbd/2/51712\0t"),
                seed![9u8, write, 0u8, 0u8, 7u8, b"state\x004".to_vec()],
                seed![8u8, watch, 0u8, 1u8, 7u8, b"state\0t".to_vec()],
                seed![8u8, write, 0u8, 2u8, 10u8, b"/tool/a\0bc".to_vec()],
                seed![8u8, rm, 0u8, 0u8, 5u8, b"state".to_vec()],
            ],
        ),
        (
            "transactions",
            seed![
                request(0, start, 0, b""),
                request(2, write, 1, b"data/a\0mine"),
                request(2, write, 0, b"data/a\0other"),
                request(0, end, 1, b"T"),
                request(1, start, 0, b""),
                request(3, write, 1, b"data/x\0y"),
                request(1, end, 1, b"T"),
            ],
        ),
        (
            "a-vmm-of-its-own-mind",
            seed![
                [5u8, 0, 0xff],
                u64::from(u32::MAX),
                [5u8, 6, 0x85],
                [4u8, 16, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 0, 0],
                [7u8, 2, 1],
                request(1, read, 0, b"domid"),
                [6u8],
                [7u8, 0],
            ],
        ),
    ]
}

/// The bytes of slots, one after the other.
fn blkif() -> Vec<(&'static str, Vec<u8>)> {
    // Operation, segments, the front end's handle and number, and the first sector.
    let front = |op: u8, segments: u8| seed![op, segments, 0u16, 0u32, 7u64, 64u64];
    // A grant, first and last sector.
    let segment = seed![8u32, 0u8, 7u8, 0u16];
    vec![
        ("read", seed![front(0, 2), segment.clone(), segment]),
        (
            "indirect",
            seed![6u8, 1u8, 256u16, 0u32, 7u64, 64u64, 0u32, 9u32],
        ),
        ("discard", seed![front(5, 0), 100u64]),
    ]
}

/// The bytes of slots, one after the other.
fn netif() -> Vec<(&'static str, Vec<u8>)> {
    // A grant, the first byte, flags, the front end's number, bytes.
    let slot = |flags: u16, size: u16| seed![8u32, 16u16, flags, 7u16, size];
    // Its type, flags, the size of a segment, its kind; a slot has four bytes more.
    let cut = seed![1u8, 0u8, 1448u16, 1u8, 0u8, 0u16, 0u32];
    vec![
        ("short", slot(0, 60)),
        (
            "in-parts",
            seed![slot(5, 3000), slot(4, 1000), slot(0, 500)],
        ),
        ("to-be-cut", seed![slot(13, 4000), cut, slot(0, 2000)]),
        ("goes-on", slot(4, 60)),
    ]
}

/// What is asked for, and frames of TCP over either kind of IP.
fn leave() -> Vec<(&'static str, Vec<u8>)> {
    let station = [2u8, 0, 0, 0, 0, 1];
    let ports = [0x80u8, 0, 0, 80];
    // Sequence, acknowledgement, bytes of the header and flags, window, no checksum.
    let tcp = seed![ports, [0u8; 8], [0x50u8, 0x18, 1, 0], 0u32];
    let v4 = |total: u8| {
        let header = [0x45u8, 0, 0, total, 0, 1, 0x40, 0, 64, 6, 0, 0];
        seed![
            station,
            station,
            [8u8, 0],
            header,
            [10u8, 0, 2, 15, 10, 0, 2, 2],
            tcp.clone()
        ]
    };
    // One extension header before TCP.
    let v6 = |bytes: u8| {
        let header = [0x60u8, 0, 0, 0, 0, bytes, 0, 64];
        let options = [6u8, 0, 1, 4, 0, 0, 0, 0];
        seed![
            station,
            station,
            [0x86u8, 0xdd],
            header,
            [7u8; 32],
            options,
            tcp.clone()
        ]
    };
    vec![
        ("plain", seed![0u8, 0u16, 60u16, v4(46)]),
        ("blank", seed![4u8, 0u16, 200u16, v4(186)]),
        ("blank-v6", seed![4u8, 0u16, 200u16, v6(146)]),
        ("cut", seed![5u8, 30u16, 214u16, v4(200)]),
        ("cut-v6", seed![6u8, 30u16, 214u16, v6(160)]),
    ]
}

/// A table with one entry of 128 bytes in each copy; the checksums are put right by the target.
fn gpt() -> Vec<(&'static str, Vec<u8>)> {
    let header = |here: u64, other: u64, entries: u64| {
        let sums = [0u8; 4];
        let mut header = seed![
            *b"EFI PART",
            0x1_0000u32,
            92u32,
            sums,
            0u32,
            here,
            other,
            3u64,
            92u64,
            [7u8; 16],
            entries,
            1u32,
            128u32,
            sums
        ];
        header.resize(512, 0);
        header
    };
    let entry = |last: u64| {
        let mut entry = seed![[7u8; 32], 3u64, last, 0u64, *b"r\0o\0o\0t\0"];
        entry.resize(512, 0);
        entry
    };
    let disk = |last: u64| {
        let mut disk = vec![1];
        disk.resize(1 + 446 + 4, 0);
        disk.push(0xee);
        disk.resize(1 + 510, 0);
        disk.extend([0x55, 0xaa]);
        disk.extend(header(1, 95, 2));
        disk.extend(entry(last));
        disk
    };
    vec![
        ("one-partition", disk(50)),
        ("past-the-end", disk(95)),
        ("no-table", vec![0; 600]),
    ]
}

/// Words at places of the region; requests are in its second page.
fn block_requests() -> Vec<(&'static str, Vec<u8>)> {
    let word = |at: u16, value: u64| seed![0u8, at, wide(value)];
    let read = |index: u16, sector: u64| {
        let at = 1024 + 8 * index;
        seed![
            word(at, 0),
            word(at + 1, 9),
            word(at + 3, 1),
            word(at + 4, sector)
        ]
    };
    vec![
        ("a-read", seed![read(0, 5), word(0, 8), 1u8, 1u8, 2u8, 3u8]),
        (
            "past-the-end",
            seed![read(0, u64::from(u32::MAX)), word(0, 8), 1u8, 1u8, 2u8, 3u8],
        ),
        (
            "indices-jump",
            seed![word(0, 0xffff_ffff), 1u8, 2u8, 3u8, word(64, 77), 1u8],
        ),
    ]
}
