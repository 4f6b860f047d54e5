//! The dt-server: device trees, and messages in both directions.

use std::sync::OnceLock;

use dt_server::{Config, DtServer, Entropy, FileInfo, Files, NoFiles, Seeds, parse};
use dt_server_api::{Client, DtServer as _, Message, RECORD_MAX, Request, reply};
use hv_types::Gpa;

use crate::input::Input;

/// Guests get seeds, and the same ones each time.
fn seeds() -> Seeds {
    let mut entropy = Entropy::new();
    entropy.give(&[0x5a; 32]);
    Seeds::new(entropy)
}

/// Every file is there; a name that begins with `initrd` is a RAM disk, any other a kernel.
struct AnyFile;

impl Files for AnyFile {
    fn probe(&self, name: &str) -> Option<FileInfo> {
        let mut head = [0; 64];
        if name.starts_with("initrd") {
            head[..2].copy_from_slice(&[0x1f, 0x8b]);
            return Some(FileInfo {
                size: 0x12_3456,
                head: Some(head),
            });
        }
        head[16..24].copy_from_slice(&0x30_0000u64.to_le_bytes());
        head[56..60].copy_from_slice(b"ARM\x64");
        Some(FileInfo {
            size: 0x20_1234,
            head: Some(head),
        })
    }
}

/// Any bytes as a boot device tree: a tree is refused with reasons, or every domain in it is served
/// and has memory of its own.
pub fn dt_tree(data: &[u8]) {
    for files in [&NoFiles as &dyn Files, &AnyFile] {
        match parse(data, files) {
            Err(found) => {
                assert!(found.has_errors());
                assert!(!found.to_string().is_empty());
            }
            Ok(config) => serve(config),
        }
    }
}

fn serve(config: Config) {
    let count = config.domains.len();
    assert!((1..=8).contains(&count));
    let mut memory: Vec<(u64, u64)> = Vec::new();
    for domain in &config.domains {
        let record = &domain.record;
        assert_eq!(usize::from(record.domains), count);
        assert_eq!(record.is_static, !domain.static_mem.is_empty());
        assert_eq!(
            domain.static_mem.iter().map(|r| r.size).sum::<u64>() + domain.heap,
            domain.ram()
        );
        memory.extend(domain.static_mem.iter().map(|r| (r.start, r.size)));
        // RAM, what it may grow into, and what never becomes RAM.
        assert!(domain.ram() <= domain.max_ram());
        let mut places: Vec<_> = record.max_banks.iter().chain(&record.extended).collect();
        places.sort_by_key(|place| place.start());
        for places in [record.banks.iter().collect(), places] {
            for pair in places.windows(2) {
                assert!(
                    pair[0].start().raw() + pair[0].size() <= pair[1].start().raw(),
                    "{record:?}"
                );
            }
        }
    }
    memory.sort_unstable();
    for pair in memory.windows(2) {
        assert!(
            pair[0].0 + pair[0].1 <= pair[1].0,
            "static memory overlaps: {pair:x?}"
        );
    }
    let records: Vec<_> = config.domains.iter().map(|d| d.record.clone()).collect();
    let mut server = DtServer::new(config, seeds());
    for (index, record) in records.iter().enumerate() {
        let mut client = Client::new(|message: &Message| server.on_ppc(index, message));
        assert_eq!(client.record().as_ref(), Ok(record));
        let initrd = record
            .ramdisk
            .map(|m| (Gpa::new(0x4800_0000), Gpa::new(0x4800_0000 + m.size)));
        let size = client
            .write_tree(initrd)
            .expect("a domain that was accepted has a tree");
        let mut tree = vec![0; size as usize];
        let mut at = 0;
        while at < tree.len() {
            let offset = u32::try_from(at).expect("the size is 32 bits");
            let got = client
                .read_tree(offset, &mut tree[at..])
                .expect("a piece of it");
            assert!(got > 0, "the tree ends at {at} of {size}");
            at += got;
        }
        assert_eq!(tree[..4], [0xd0, 0x0d, 0xfe, 0xed]);
    }
}

/// The configuration of the default domains file.
fn default_config() -> Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let tree = include_bytes!("../../corpus/dt_tree/two-linux.dtb");
            parse(tree, &AnyFile).unwrap_or_else(|errors| panic!("{errors}"))
        })
        .clone()
}

/// A message of any label and words.
fn message(input: &mut Input<'_>) -> Message {
    let mut message = Message::empty(input.number());
    let count = usize::from(input.get::<u8>()).min(message.words.capacity());
    for _ in 0..count {
        let pushed = message.words.push(input.number());
        assert!(pushed.is_ok(), "at most the capacity");
    }
    message
}

/// Any messages to the server, and any replies to its client.
pub fn dt_wire(data: &[u8]) {
    let mut input = Input::new(data);
    let mut server = DtServer::new(default_config(), seeds());
    while let Some(operation) = input.operation() {
        match operation % 8 {
            // More clients than there are domains.
            client @ 0..4 => {
                let message = message(&mut input);
                if let Ok(request) = Request::decode(&message) {
                    assert_eq!(request.encode(), message, "one encoding for each request");
                }
                let answer = server.on_ppc(usize::from(client), &message);
                assert!(client < 2 || answer.label != 0, "there is no such client");
            }
            // What a client believes of any reply is something that could have been sent.
            4 => {
                let answer = message(&mut input);
                if let Ok(record) = reply::read_record(&answer) {
                    assert_eq!(reply::read_record(&reply::record(&record)), Ok(record));
                }
            }
            5 => {
                let answer = message(&mut input);
                if let Ok(size) = reply::read_size(&answer) {
                    assert_eq!(reply::size(size), answer);
                }
            }
            6 => {
                let answer = message(&mut input);
                let mut into = [0; RECORD_MAX];
                if let Ok(count) = reply::read_bytes(&answer, &mut into) {
                    assert_eq!(reply::bytes(&into[..count]), answer);
                }
            }
            _ => {
                let mut into = vec![0; usize::from(input.get::<u16>() % 2048)];
                let answer = message(&mut input);
                let mut client = Client::new(|_: &Message| answer.clone());
                let got = client.read_tree(0, &mut into);
                assert!(got.is_err() || got.is_ok_and(|count| count <= into.len()));
                let size = client.write_tree(None);
                assert_eq!(size, reply::read_size(&answer));
                let record = client.record();
                assert_eq!(record, reply::read_record(&answer));
            }
        }
    }
}
