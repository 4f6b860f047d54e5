//! Both ends of the protocol, and what a peer that sends rubbish can do.

use dt_server_api::{
    Bank, Client, DomainRecord, DtServer, Error, GuestLayout, MAX_BANKS, MAX_EXTENDED, MAX_SHARED,
    MAX_WORDS, Message, Module, PvFeatures, RECORD_MAX, Request, reply,
};
use hv_types::Gpa;
use proptest::prelude::*;

fn record() -> impl Strategy<Value = DomainRecord> {
    (
        (
            any::<u16>(),
            "[a-z0-9]{1,16}",
            1u8..=8,
            any::<bool>(),
            any::<bool>(),
        ),
        prop::collection::vec((any::<u64>(), any::<u64>()), 0..=MAX_BANKS),
        (any::<bool>(), any::<u16>(), any::<u8>(), any::<bool>()),
        [
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
        ],
        any::<u64>(),
        prop::option::of(any::<u64>()),
    )
        .prop_map(
            |(
                (domid, name, vcpus, is_static, direct_map),
                banks,
                flags,
                layout,
                kernel,
                ramdisk,
            )| {
                let (vpl011, nr_spis, max_grant_frames, trap_unmapped) = flags;
                let banks = |most| {
                    banks
                        .iter()
                        .take(most)
                        .map(|(start, size)| Bank::new(Gpa::new(*start), *size))
                };
                let [gicd, gicc, vpl011_at, grant_region, magic] = layout.map(Gpa::new);
                DomainRecord {
                    domid,
                    domains: nr_spis.to_le_bytes()[0],
                    name: name.as_str().try_into().unwrap(),
                    vcpus,
                    banks: banks(MAX_BANKS).collect(),
                    max_banks: banks(MAX_BANKS).collect(),
                    extended: banks(MAX_EXTENDED).collect(),
                    shared: banks(MAX_SHARED).collect(),
                    layout: GuestLayout {
                        gicd,
                        gicc,
                        vpl011: vpl011_at,
                        vpl011_intid: nr_spis,
                        grant_region,
                        grant_region_size: kernel,
                        magic,
                    },
                    is_static,
                    direct_map,
                    pv: match nr_spis % 4 {
                        0 => PvFeatures::None,
                        1 => PvFeatures::NoXenstore,
                        2 => PvFeatures::Enabled,
                        _ => PvFeatures::Legacy,
                    },
                    vpl011,
                    nr_spis,
                    max_grant_frames,
                    trap_unmapped,
                    kernel: Module {
                        region: 0,
                        size: kernel,
                    },
                    ramdisk: ramdisk.map(|size| Module { region: 1, size }),
                    meets: nr_spis.to_le_bytes()[0],
                }
            },
        )
}

fn message() -> impl Strategy<Value = Message> {
    (
        prop_oneof![0u64..6, any::<u64>()],
        prop::collection::vec(prop_oneof![0u64..200, any::<u64>()], 0..=MAX_WORDS),
    )
        .prop_map(|(label, words)| Message {
            label,
            words: words.into_iter().collect(),
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_record_comes_through_whole(record in record()) {
        let message = reply::record(&record);
        prop_assert_eq!(message.label, 0);
        prop_assert_eq!(reply::read_record(&message), Ok(record));
    }

    #[test]
    fn a_record_with_a_byte_more_or_less_is_malformed(record in record(), more in any::<bool>()) {
        let mut encoded = [0; RECORD_MAX];
        let count = reply::read_bytes(&reply::record(&record), &mut encoded).unwrap();
        let count = if more { count + 1 } else { count - 1 };
        prop_assert_eq!(reply::read_record(&reply::bytes(&encoded[..count])), Err(Error::Malformed));
    }

    #[test]
    fn bytes_come_through_whole(bytes in prop::collection::vec(any::<u8>(), 0..=RECORD_MAX)) {
        let mut into = [0xff; RECORD_MAX];
        prop_assert_eq!(reply::read_bytes(&reply::bytes(&bytes), &mut into), Ok(bytes.len()));
        prop_assert_eq!(&into[..bytes.len()], bytes.as_slice());
    }

    #[test]
    fn requests_come_through(start in any::<u64>(), len in any::<u64>(), offset in any::<u32>()) {
        let end = start.saturating_add(len);
        for request in [
            Request::Record,
            Request::WriteTree { initrd: None },
            Request::WriteTree { initrd: Some((Gpa::new(start), Gpa::new(end))) },
            Request::ReadTree { offset },
        ] {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn rubbish_decodes_to_an_error_or_to_what_encodes_to_it(message in message()) {
        if let Ok(request) = Request::decode(&message) {
            prop_assert_eq!(request.encode(), message.clone());
        }
        let mut into = [0; RECORD_MAX];
        if let Ok(count) = reply::read_bytes(&message, &mut into) {
            prop_assert_eq!(reply::bytes(&into[..count]), message.clone());
        }
        if let Ok(size) = reply::read_size(&message) {
            prop_assert_eq!(reply::size(size), message.clone());
        }
        // Postcard accepts more than one encoding of a number, so only the value must be stable.
        if let Ok(record) = reply::read_record(&message) {
            prop_assert_eq!(reply::read_record(&reply::record(&record)), Ok(record));
        }
    }
}

#[test]
fn refusals_keep_their_number() {
    for error in [Error::Malformed, Error::NoDomain, Error::TooLarge] {
        assert_eq!(reply::read_record(&reply::error(error)), Err(error));
        assert_eq!(reply::read_size(&reply::error(error)), Err(error));
        assert_eq!(Error::from_raw(error as u64), Some(error));
    }
    assert_eq!(reply::read_size(&Message::empty(77)), Err(Error::Malformed));
}

#[test]
fn wrong_requests_are_malformed() {
    let of = |label, words: &[u64]| Message {
        label,
        words: words.iter().copied().collect(),
    };
    for message in [
        of(0, &[]),
        of(4, &[]),
        of(1, &[0]),
        of(2, &[1]),
        of(2, &[2, 1]),
        of(2, &[1, 2, 3]),
        of(3, &[]),
        of(3, &[1 << 32]),
    ] {
        assert_eq!(
            Request::decode(&message),
            Err(Error::Malformed),
            "{message:?}"
        );
    }
}

#[test]
fn padding_and_counts_are_checked() {
    let mut into = [0; RECORD_MAX];
    let mut message = reply::bytes(&[1, 2, 3]);
    message.words[1] |= 0xff << 56;
    assert_eq!(
        reply::read_bytes(&message, &mut into),
        Err(Error::Malformed)
    );
    let mut message = reply::bytes(&[1, 2, 3]);
    message.words[0] = 9;
    assert_eq!(
        reply::read_bytes(&message, &mut into),
        Err(Error::Malformed)
    );
    assert_eq!(
        reply::read_bytes(&reply::bytes(&[1, 2, 3]), &mut into[..2]),
        Err(Error::Malformed)
    );
}

#[test]
fn a_small_buffer_takes_the_front_of_a_piece() {
    let tree: Vec<u8> = (0..200u8).collect();
    let mut client = Client::new(|request: &Message| match Request::decode(request) {
        Ok(Request::ReadTree { offset }) => reply::bytes(&tree[offset as usize..]),
        _ => reply::error(Error::Malformed),
    });
    let mut into = [0; 16];
    assert_eq!(client.read_tree(100, &mut into), Ok(16));
    assert_eq!(into, tree[100..116]);
    let mut into = [0; 300];
    assert_eq!(client.read_tree(150, &mut into), Ok(50));
    assert_eq!(into[..50], tree[150..]);
    assert_eq!(client.record(), Err(Error::Malformed));
}
