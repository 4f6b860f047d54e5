//! From a ring to the server: requests are copied, checked and given places in the data area.

use block_server_api::{DiskPort, Op, Request, Status};
use guest_mem::Window;
use xen_abi::blkif::{SEGMENTS_PER_PAGE, Segment, status};

use super::flight::Flying;
use super::request::{Asked, Segments, Work, decode, sectors};
use super::{PvBlock, QUEUES, extent};
use crate::host::Host;
use crate::hypercall::grant::backend::{Access, Grants};
use crate::memory::pages::Pages;

/// Requests that one call takes from the rings.
const MOST_REQUESTS: u32 = 64;
/// Segments that one call copies for them, but for those of the last.
const MOST_SEGMENTS: usize = 64;

impl PvBlock {
    /// Takes requests from the rings, in turn, and hands them to the server, as far as there is
    /// room.
    pub(super) fn stage<H: Host, P: Pages>(&mut self, host: &mut H, grants: &Grants<'_, P>) {
        let (mut requests, mut segments) = (MOST_REQUESTS, MOST_SEGMENTS);
        // Queues in a row that had nothing.
        let mut idle = 0;
        self.ask(host);
        while idle < QUEUES {
            if requests == 0 || segments == 0 {
                self.more = true;
                return;
            }
            match self.stage_one(host, grants, self.turn) {
                Staged::Nothing => idle += 1,
                Staged::Full => return,
                Staged::One(count) => {
                    requests -= 1;
                    segments = segments.saturating_sub(count);
                    idle = 0;
                    self.ask(host);
                }
            }
            self.turn = (self.turn + 1) % QUEUES;
        }
    }

    /// The next request of a queue.
    fn stage_one<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        number: usize,
    ) -> Staged {
        let Some(Some(queue)) = self.queues.get(number) else {
            return Staged::Nothing;
        };
        if queue.is_shut {
            return Staged::Nothing;
        }
        let waiting = queue
            .ring
            .waiting(host, grants)
            .and_then(|waiting| Ok(waiting > 0 || queue.ring.rest(host, grants, 1)?));
        let bytes = match waiting {
            Ok(false) => return Staged::Nothing,
            Ok(true) => queue.ring.peek(host, grants, 0),
            Err(broken) => Err(broken),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(broken) => {
                self.on_broken(host, number, broken);
                return Staged::Nothing;
            }
        };
        let asked = decode(&bytes);
        let count = match asked.work {
            Ok(Work::Move { segments, .. }) => segments.count(),
            _ => 0,
        };
        if !self.flight.has_room(count) {
            return Staged::Full;
        }
        if let Some(Some(queue)) = self.queues.get_mut(number) {
            queue.ring.take(1);
            let flying = Flying::new((number, queue.disk), &asked);
            self.begin(host, grants, &asked, flying);
        }
        Staged::One(count)
    }

    /// Stages a request, or answers it.
    fn begin<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        asked: &Asked,
        flying: Flying,
    ) {
        let done = asked
            .work
            .and_then(|work| self.prepare(host, grants, &work, flying));
        if let Err(status) = done {
            self.respond(host, grants, &Flying { status, ..flying });
        }
    }

    fn prepare<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        work: &Work,
        flying: Flying,
    ) -> Result<(), i16> {
        let disk = flying.disk;
        let info = host.disks().info(disk).ok_or(status::ERROR)?;
        let request = |op, sector, count| Request {
            id: 0,
            disk,
            op,
            offset: 0,
            sector,
            count,
        };
        match *work {
            Work::Bare { op, sector, count } => {
                let check = info.check(&request(op, sector, count));
                check.map_err(refusal)?;
                let bare = Some(count);
                self.flight.stage(
                    Flying {
                        op,
                        sector,
                        bare,
                        ..flying
                    },
                    None,
                );
            }
            Work::Move {
                op,
                sector,
                segments,
            } => {
                // Before anything is copied: whether it may be at all.
                info.check(&request(op, sector, 0)).map_err(refusal)?;
                let (head, count) = self.gather(host, grants, op, &segments)?;
                if let Err(refused) = info.check(&request(op, sector, count)) {
                    self.flight.free_chain(Some(head));
                    return Err(refusal(refused));
                }
                self.flight.stage(
                    Flying {
                        op,
                        sector,
                        ..flying
                    },
                    Some(head),
                );
            }
        }
        Ok(())
    }

    /// Gives each segment a slot, with the bytes that are to be written; the first slot, and how
    /// many sectors there are.
    fn gather<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        op: Op,
        segments: &Segments,
    ) -> Result<(u8, u32), i16> {
        let (mut head, mut last, mut total) = (None, None, 0);
        for number in 0..segments.count() {
            let place = segment(host, grants, segments, number).and_then(|segment| {
                let count = sectors(&segment)?;
                let slot = self
                    .flight
                    .take_slot(last.map_or(0, |last: u8| last.saturating_add(1)))?;
                let done = self.copy_in(host, grants, op, slot, &segment);
                if done.is_none() {
                    self.flight.free_slot(slot);
                }
                done.map(|()| (slot, count))
            });
            let Some((slot, count)) = place else {
                self.flight.free_chain(head);
                return Err(status::ERROR);
            };
            total += count;
            match last {
                Some(last) => self.flight.link(last, slot),
                None => head = Some(slot),
            }
            last = Some(slot);
        }
        head.map(|head| (head, total)).ok_or(status::ERROR)
    }

    /// Opens a segment's grant and fills its slot.
    fn copy_in<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        op: Op,
        slot: u8,
        segment: &Segment,
    ) -> Option<()> {
        let access = if op == Op::Read {
            Access::Write
        } else {
            Access::Read
        };
        let (granted, page) = grants.open(host, segment.gref, access)?;
        let place = self.flight.slot(slot)?;
        place.granted = granted;
        place.sectors = (segment.first, segment.last);
        if op == Op::Write {
            let (guest, there, len) = extent(page, slot, place.sectors)?;
            let (window, disks) = host.window_and_disks();
            window.copy_to(guest, disks.data()?, there, len);
        }
        Some(())
    }
}

/// What became of a queue's turn.
enum Staged {
    /// It has no request.
    Nothing,
    /// Its request has to wait for room.
    Full,
    /// A request of so many segments.
    One(usize),
}

impl Flying {
    fn new((queue, disk): (usize, u8), asked: &Asked) -> Self {
        Self {
            // Below QUEUES.
            queue: u8::try_from(queue).unwrap_or(0),
            disk,
            code: asked.op,
            id: asked.id,
            ..Self::EMPTY
        }
    }
}

/// The segment of that number.
fn segment<H: Host, P: Pages>(
    host: &mut H,
    grants: &Grants<'_, P>,
    segments: &Segments,
    number: usize,
) -> Option<Segment> {
    match segments {
        Segments::Here(all, _) => all.get(number).copied(),
        Segments::There(pages, _) => {
            let gref = *pages.get(number / SEGMENTS_PER_PAGE)?;
            let (_, page) = grants.open(host, gref, Access::Read)?;
            let offset = number % SEGMENTS_PER_PAGE * size_of::<Segment>();
            let at = page.checked_add(u64::try_from(offset).ok()?)?;
            Some(host.window().read_obj(at))
        }
    }
}

/// What the front end is told where a disk refuses a request.
const fn refusal(status: Status) -> i16 {
    match status {
        Status::Unsupported => status::UNSUPPORTED,
        _ => status::ERROR,
    }
}
