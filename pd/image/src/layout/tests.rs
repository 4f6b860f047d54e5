use super::*;
use crate::needs::DomainNeeds;
use untyped_plan::Paddr;

fn span(start: u64, size: u64) -> Span {
    Span::sized(Paddr(start), size).unwrap()
}

/// qemu_virt: 512 MiB of device RAM, then the ladder that the kernel leaves.
fn boot() -> Vec<BootUntyped> {
    let mut boot = vec![BootUntyped::new(Paddr(0x4000_0000), 29, true)];
    boot.extend(
        (20..29).map(|bits| BootUntyped::new(Paddr(0x6000_0000 + (1 << bits)), bits, false)),
    );
    boot.push(BootUntyped::new(Paddr(0x8000_0000), 29, false));
    boot
}

fn domain(name: &str, domid: u16, static_mem: Vec<Span>, heap: u64) -> DomainNeeds {
    let max_ram = static_mem.iter().map(|span| span.size()).sum::<u64>() + heap;
    DomainNeeds {
        name: name.into(),
        domid,
        max_ram,
        static_mem,
        heap,
        tables: 5 << 19,
        extra: 67 << 12,
        ..DomainNeeds::default()
    }
}

fn two_static() -> Needs {
    Needs {
        domains: vec![
            domain("a", 1, vec![span(0x4000_0000, 0x1000_0000)], 0),
            domain("b", 2, vec![span(0x5000_0000, 0x1000_0000)], 0),
        ],
        static_heap: vec![],
        ram: vec![span(0x4000_0000, 0x8000_0000)],
        ..Needs::default()
    }
}

fn choose(needs: &Needs, heap: Heap, occupied: &[Span]) -> Result<Layout, Error> {
    let named = Layout::named(needs, &boot())?;
    Layout::choose(needs, heap, named, &boot(), occupied, &[])
}

#[test]
fn static_memory_outside_the_kernel_is_one_device_untyped_a_guest() {
    let layout = choose(&two_static(), Heap::Needed, &[]).unwrap();
    let first = layout.untypeds[0];
    assert_eq!(
        first.chunk,
        Chunk {
            paddr: Paddr(0x4000_0000),
            bits: 28
        }
    );
    assert!(first.device);
    assert_eq!(first.purpose, Purpose::Static(DomainIndex(0)));
    assert_eq!(layout.untypeds[1].purpose, Purpose::Static(DomainIndex(1)));
    let normal: u64 = layout
        .untypeds
        .iter()
        .filter(|h| !h.device)
        .map(|h| h.chunk.size())
        .sum();
    // 2.5 MiB of tables each, and extra pages.
    assert_eq!(normal, (5 << 20) + (576 << 10));
}

#[test]
fn heap_guests_get_their_ram_from_the_kernels_memory() {
    let mut needs = two_static();
    needs.domains[1] = domain("b", 2, vec![], 0x1000_0000);
    let layout = choose(&needs, Heap::Needed, &[]).unwrap();
    let heap: u64 = layout
        .untypeds
        .iter()
        .filter(|h| h.purpose == Purpose::Heap)
        .map(|h| h.chunk.size())
        .sum();
    assert_eq!(heap, (256 << 20) + (4 << 20));
    assert!(
        layout
            .untypeds
            .iter()
            .all(|h| h.device || h.chunk.paddr.0 >= 0x6000_0000)
    );
}

#[test]
fn all_is_99_percent_of_what_is_left() {
    let used = [span(0x6010_0000, 0x12_3450)];
    let layout = choose(&two_static(), Heap::All, &used).unwrap();
    let handed: u64 = layout
        .untypeds
        .iter()
        .filter(|h| !h.device)
        .map(|h| h.chunk.size())
        .sum();
    let free = Arena::new(&boot(), &used).free();
    assert!(handed * 100 >= free * 99, "{handed} of {free}");
    // The second guest's memory is taken; nothing outside the kernel is left.
    assert_eq!(layout.untypeds.iter().filter(|h| h.device).count(), 2);
}

#[test]
fn too_much_names_the_amounts() {
    let mut needs = two_static();
    needs.domains[1] = domain("b", 2, vec![], 8 << 30);
    let error = choose(&needs, Heap::Needed, &[]).unwrap_err().to_string();
    assert!(error.contains("8 GiB of it RAM"), "{error}");
    assert!(error.contains("xen,static-mem"), "{error}");
}

#[test]
fn a_static_range_in_the_kernels_image_is_refused_by_name() {
    let mut needs = two_static();
    needs.domains[0].static_mem = vec![span(0x6000_0000, 0x20_0000)];
    let error = choose(&needs, Heap::Needed, &[]).unwrap_err().to_string();
    assert!(
        error.contains("domain 'a'") && error.contains("0x60000000..0x60100000"),
        "{error}"
    );
}

#[test]
fn a_static_heap_that_is_too_small_is_refused() {
    let mut needs = two_static();
    needs.domains[1] = domain("b", 2, vec![], 0x1000_0000);
    needs.static_heap = vec![span(0x8000_0000, 0x1000_0000)];
    let error = choose(&needs, Heap::Needed, &[]).unwrap_err().to_string();
    assert!(
        error.contains("256 MiB") && error.contains("258 MiB"),
        "{error}"
    );
    needs.static_heap = vec![span(0x8000_0000, 0x1100_0000)];
    let layout = choose(&needs, Heap::Needed, &[]).unwrap();
    let heap = layout
        .untypeds
        .iter()
        .filter(|h| h.purpose == Purpose::Heap);
    assert_eq!(heap.map(|h| h.chunk.size()).sum::<u64>(), 0x1100_0000);
}

/// 256 blocks and two short ones: no nodes but for these, and for the domains' tails.
#[test]
fn all_blocks_can_be_split_and_no_other_has_slots() {
    let layout = choose(&two_static(), Heap::Needed, &[]).unwrap();
    assert_eq!(layout.splits, 258);
    let slots: u32 = 193 + 2 * 258 + 27 + 258 * 32 + 2 * 512;
    assert_eq!(layout.own_nodes, slots.div_ceil(2048));
    for domain in &layout.domains {
        assert_eq!(domain.grant_radix, 17);
        let expected: Vec<u32> = (0..32).chain([63]).collect();
        assert_eq!(domain.grant_nodes, expected);
    }
}

#[test]
fn the_manifest_is_accepted_by_the_server() {
    let needs = two_static();
    let layout = choose(&needs, Heap::Needed, &[]).unwrap();
    let words = layout.manifest(&needs).unwrap();
    let manifest = Manifest::decode(&words).unwrap();
    assert_eq!(manifest.untypeds().count(), layout.untypeds.len());
    assert_eq!(manifest.splits(), layout.splits);
    assert_eq!(server_layout::own_radix(&manifest), layout.own_radix);
}

/// SH-1: with xen,static-heap nothing else becomes heap, even where all that is left is asked for.
#[test]
fn a_static_heap_is_all_the_heap_there_is() {
    let mut needs = two_static();
    needs.domains[1] = domain("b", 2, vec![], 64 << 20);
    needs.static_heap = vec![span(0x9000_0000, 0x0800_0000), span(0x9900_0000, 0x1_0000)];
    for how in [Heap::Needed, Heap::All] {
        let layout = choose(&needs, how, &[]).unwrap();
        let heap: Vec<Chunk> = layout
            .untypeds
            .iter()
            .filter(|h| h.purpose == Purpose::Heap)
            .map(|h| h.chunk)
            .collect();
        let bytes: u64 = heap.iter().map(|chunk| chunk.size()).sum();
        assert_eq!(bytes, 0x0801_0000);
        for chunk in heap {
            assert!(
                needs
                    .static_heap
                    .iter()
                    .any(|range| range.contains(chunk.span())),
                "{chunk:?}"
            );
        }
    }
    needs.static_heap = vec![span(0x9000_0000, 0x0400_0000)];
    let error = choose(&needs, Heap::Needed, &[]).unwrap_err().to_string();
    assert!(error.contains("xen,static-heap is 64 MiB"), "{error}");
}

/// DM-6: a direct-mapped domain gets no memory but its own, where others get a block to split
/// theirs with.
#[test]
fn a_direct_mapped_domain_has_no_spare_block() {
    let mut needs = two_static();
    needs.domains[1].static_mem = vec![span(0x9000_0000, 0x1000_0000)];
    let blocks = |needs: &Needs| {
        let layout = choose(needs, Heap::Needed, &[]).unwrap();
        let own = Purpose::Static(DomainIndex(1));
        let own = layout.untypeds.iter().filter(|h| h.purpose == own);
        own.map(|h| h.chunk.size()).sum::<u64>()
    };
    assert_eq!(blocks(&needs), (256 << 20) + (2 << 20));
    needs.domains[1].direct = true;
    assert_eq!(blocks(&needs), 256 << 20);
    let layout = choose(&needs, Heap::Needed, &[]).unwrap();
    let words = layout.manifest(&needs).unwrap();
    let domains: Vec<bool> = Manifest::decode(&words)
        .unwrap()
        .domains()
        .map(|(_, domain)| domain.direct)
        .collect();
    assert_eq!(domains, [false, true]);
}
