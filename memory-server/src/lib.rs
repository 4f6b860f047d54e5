//! Owns every frame: retypes, mints, revokes and accounts.
//!
//! The server holds all untyped memory of the system and is the only one that does. VMMs ask for
//! frames by protected calls ([`memory_server_api`]); the server decides from its own records and
//! puts capabilities into the caller's grant CNode, which the VMM can use but not change.
//!
//! # Memory
//!
//! The image builder hands over untypeds with a purpose ([`manifest`]). Each is carved, when first
//! needed, into 2 MiB *blocks*. A block is free, granted whole as one 2 MiB frame, or split into
//! 4 KiB pages. These pools never mix (SM-1, SM-26):
//!
//! * the **reserve** of each domain with static memory: its home for ever (SM-28), so that it has
//!   the same memory at every start (SM-23), first in first out. Single pages go before whole
//!   blocks, so that no block is split while a page is free. A direct-mapped domain gets the frame
//!   that it names instead.
//! * the **heap**: RAM of the other domains, whose split blocks may hold pages of several domains,
//!   and extra pages ([`memory_server_api::Extra`]) of all domains, which never count as RAM
//!   (EX-4).
//! * **shared memory** (Xen's `xen,shared-mem`): regions whose frames the domains that the file
//!   names have together, for ever. Nobody's RAM, and nobody's end takes it away or clears it
//!   (`share`).
//! * **page tables**: an untyped for each domain, made straight into its grant CNode, because
//!   seL4 does not copy the capability of a page table that is not mapped.
//!
//! # When memory is zeroed (SM-14)
//!
//! | frame goes to | zeroed |
//! |---|---|
//! | a domain that never gave it away while another had it (same live domain) | no |
//! | any domain, first grant since boot, memory that the kernel owns | no: the kernel has zeroed it at boot |
//! | the same, other memory | yes: it holds what was there before a warm reset, perhaps of another guest |
//! | another domain (heap), also after it was returned | yes |
//! | the same domain after it was destroyed | yes |
//! | any domain as an extra page | yes (EX-3) |
//! | those who share it | once after boot, as at a first grant; never again |
//! | a domain, after a grant that failed | no: nobody saw it |
//!
//! Retyping kernel memory zeroes it, so a block that was split or merged in between is clean. What
//! the boot loader preloads (guests' kernels and RAM disks) lies in memory that this server does
//! not have.
//!
//! # Failure
//!
//! A request that fails changes nothing a caller can see (SM-9): each step that the kernel refuses
//! is undone. If the kernel refuses the undoing as well, the frame is *lost*: withdrawn from every
//! pool, counted and logged. Memory that nobody can vouch for is not given to anybody.
//!
//! # Returned memory
//!
//! What a living domain gives back keeps its capabilities until somebody else needs it: it is
//! *returned*, not RAM and not free, and the domain's own next request gets it again without an
//! operation of the kernel. Only memory that is revoked is free (SM-5).
//!
//! # Merging
//!
//! Split heap blocks whose pages are all free or returned become whole again when a whole block is
//! wanted and none is left, or a split record. Windows, records and page slots are reused.
//!
//! # Splitting
//!
//! A guest can give up any single page at any time, so what the split of its block needs is kept
//! for it: nobody can grow into the last free blocks of the heap (`spare`).
//!
//! A split costs what its record does. The pages get frames and capabilities, 16 pages at a time,
//! when their holder asks for one of them, and a page of them that leaves needs none (`split`).
//!
//! # What outlives what (LU-1)
//!
//! Preserved, should anything here ever be replaced while guests live: RAM, extra pages and page
//! tables, with the records that say whose they are. Ephemeral: everything else, that is scrub
//! mappings, text rings and logs. The purpose of an untyped says which it is. No protection domain
//! maps a frame that is not granted to it; this server maps one only while it zeroes it (LU-8).
//!
//! # When a VMM stops
//!
//! The fault server says so, by a channel of its own ([`MemoryServer::on_crash`]): what the domain
//! holds is taken back as at the end of a guest, whatever was half done, and no request of that VMM
//! is served any more (LU-7).
//!
//! # What one message can cost
//!
//! The server runs above everybody, so what a client can make it do at once is bounded, whatever
//! its neighbours have prepared: each message has [`cost::MESSAGE`], a million instructions of the
//! release kernel, for what it makes, deletes and zeroes, counted by capabilities, objects and
//! bytes before it is done ([`cost`]). That is 2 MiB zeroed, by the kernel or by the server, or
//! some 1,500 capabilities deleted, or 64 pages revoked, zeroed and granted. What does not fit is
//! left for the next message: a batch or a run is shorter, an end says that something is left, and
//! everything else is refused with [`memory_server_api::Error::Again`], for the client to repeat.
//! Each part is kept in the records, as free memory in another shape or as pages that are revoked,
//! so a client that never repeats leaves nothing behind that its end does not find.
//!
//! On top of that come at most [`cost::BEFORE`] of short steps before the longest one, one page of
//! a batch, and searches through the records of splits, windows and blocks, about 20 for a page or
//! a block and [`cost::LOOK`] instructions a record: with 1 GiB of heap all split, 6,000
//! instructions each.
#![no_std]
#![forbid(unsafe_code)]

mod alias;
mod blocks;
pub mod cost;
mod destroy;
mod direct;
mod domain;
mod dump;
mod extra;
pub mod kernel;
pub mod layout;
mod lend;
pub mod manifest;
mod new;
mod page_record;
mod pages;
mod populate;
mod records;
mod report;
mod returned;
mod runs;
mod server;
mod shape;
mod share;
mod spare;
mod split;
mod totals;
mod wipe;

pub use dump::{Dump, RUNS_MAX};
pub use manifest::{DomainConfig, DomainIndex, Manifest, Purpose, Shares, Untyped};
pub use new::{NewError, Tables};
pub use records::{BlockRecord, SplitRecord};
pub use report::Report;
pub use server::{Life, MemoryServer, UntypedRecord};
pub use totals::Totals;
